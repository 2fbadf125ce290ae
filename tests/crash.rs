//! kill -9 in mid-stream, many times, and a ledger: what the broker took from the devices, what stands in the store,
//! what the duty officer got. Nothing may be missing.

#![cfg(test)]

mod support;

use std::collections::{HashMap, HashSet};
use std::io::Write as _;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{interval, sleep, timeout};

use support::gateway::Gateway;
use support::mosquitto::Mosquitto;
use support::publisher::Publisher;
use support::sink::Sink;
use support::{PATIENCE, eventually, run_installed};

const KILLS: u32 = 25;
const SLOW_KILLS: u32 = 10;
/// One message in this many is worth an alarm.
const ALARM_EVERY: u64 = 3;
const PACE: Duration = Duration::from_millis(3);
/// A backlog of thousands of messages and deliveries on a loaded machine.
const CATCH_UP: Duration = Duration::from_mins(1);
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

const BROKER: &str = "max_inflight_messages 1000";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_alarm_is_lost_over_many_kills() {
    kill_in_mid_stream(KILLS, &[]).await;
}

/// On a quick disk a commit takes a fraction of a millisecond, and few kills fall into one. Here each write takes
/// long, so that nearly every kill does: whatever is acknowledged before its commit is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_alarm_is_lost_on_a_slow_disk() {
    run_installed("strace", "strace", &["--version"]);
    // -D: strace is the grandchild, so that the process we started and kill is the gateway itself.
    let slow = ["strace", "-D", "-f", "--seccomp-bpf", "-q", "-o", "/dev/null"];
    let writes = ["-e", "trace=pwrite64", "-e", "inject=pwrite64:delay_enter=10000"];
    kill_in_mid_stream(SLOW_KILLS, &[slow.as_slice(), writes.as_slice()].concat()).await;
}

async fn kill_in_mid_stream(kills: u32, wrapper: &[&str]) {
    let broker = Mosquitto::start(BROKER);
    let sink = Sink::start();
    let mut gateway = Gateway::prepare(broker.port, &sink.url())
        .under(wrapper)
        .start()
        .await;
    let mut devices = Publisher::start(broker.port, "devices");
    let (stop, stopped) = watch::channel(false);

    let killing = async {
        let mut random = Random(SEED);
        for _ in 0..kills {
            kill_at_some_moment(&mut gateway, &mut random).await;
        }
        stop.send_replace(true);
    };
    tokio::join!(publish_until(&mut devices, stopped), killing);

    gateway.wait_ready().await;
    devices.flush().await;
    let expected: HashSet<String> = devices
        .acked()
        .into_iter()
        .filter(|number| is_alarm(*number))
        .map(device)
        .collect();
    assert!(
        expected.len() > 100,
        "a stream worth killing into: {} alarms",
        expected.len()
    );
    // When something is lost this waits in vain; the ledger then says what.
    let complete = eventually("all is stored and delivered", CATCH_UP * 2, async || {
        let stored = gateway.metric("ninewatch_alarms_active", &[]).await >= expected.len() as u64;
        let waiting = gateway.metric("ninewatch_notices_pending", &[]).await;
        (stored && waiting == 0 && missing_deliveries(&sink, &expected) == 0).then_some(())
    });
    let _ = timeout(CATCH_UP, complete).await;
    let run = format!("kills={kills} published={}", devices.published());
    settle(&gateway, &sink, &expected, &run).await;
}

/// Checks and prints the ledger.
async fn settle(gateway: &Gateway, sink: &Sink, expected: &HashSet<String>, run: &str) {
    let mut alarms: HashMap<String, u32> = HashMap::new();
    for alarm in gateway.alarms("state=all").await {
        let device = alarm["device"]["id"]
            .as_str()
            .expect("an alarm names its device")
            .to_owned();
        *alarms.entry(device).or_default() += 1;
    }
    let mut notices: HashMap<String, HashSet<String>> = HashMap::new();
    let accepted: Vec<_> = sink
        .attempts()
        .into_iter()
        .filter(|attempt| attempt.accepted)
        .collect();
    for attempt in &accepted {
        let body = attempt.json();
        assert_eq!(body["type"], "alarm.raised", "nothing but raises was caused");
        let device = body["alarm"]["device"]["id"]
            .as_str()
            .expect("a notice names its device")
            .to_owned();
        notices.entry(device).or_default().insert(attempt.id.clone());
    }
    let delivered: usize = notices.values().map(HashSet::len).sum();
    let lost = expected
        .iter()
        .filter(|device| !alarms.contains_key(*device) || !notices.contains_key(*device));
    let lost = lost.count();
    // Straight to the stream: the ledger is shown for a test that passes, too.
    writeln!(
        std::io::stderr(),
        "{run} alarms={} delivered={delivered} duplicates={} lost={lost}",
        alarms.len(),
        accepted.len() - delivered,
    )
    .expect("standard error takes a line");

    assert_eq!(lost, 0, "acknowledged alarms were lost");
    let twice: Vec<_> = alarms.iter().filter(|(_, count)| **count != 1).collect();
    assert!(
        twice.is_empty(),
        "more than one alarm for one condition: {twice:?}"
    );
    let twice: Vec<_> = notices.iter().filter(|(_, ids)| ids.len() != 1).collect();
    assert!(twice.is_empty(), "announced under more than one id: {twice:?}");
    let false_alarms: Vec<_> = alarms
        .keys()
        .filter(|device| !expected.contains(*device))
        .collect();
    assert!(
        false_alarms.is_empty(),
        "alarms that nothing caused: {false_alarms:?}"
    );
    sink.assert_all_signed();
}

/// Kills it some moment after a start: often in mid-stream, sometimes before it is ready, and starts it again.
async fn kill_at_some_moment(gateway: &mut Gateway, random: &mut Random) {
    if random.below(4) != 0 {
        gateway.wait_ready().await;
    }
    // The random moment is the point of the test: nothing is waited for here.
    sleep(Duration::from_millis(random.below(400))).await;
    gateway.kill();
    gateway.launch();
}

async fn publish_until(devices: &mut Publisher, mut stopped: watch::Receiver<bool>) {
    let mut pace = interval(PACE);
    while !*stopped.borrow_and_update() {
        pace.tick().await;
        let number = devices.published();
        let lel = if is_alarm(number) { "55.0" } else { "5.0" };
        devices.gas(&device(number), &format!(r#"{{"lel":{lel}}}"#)).await;
    }
}

fn missing_deliveries(sink: &Sink, expected: &HashSet<String>) -> usize {
    // Cheap before exact: the bodies are read only when the count can be right.
    if sink.count() < expected.len() {
        return expected.len() - sink.count();
    }
    let got: HashSet<String> = sink
        .delivered()
        .iter()
        .filter_map(|attempt| Some(attempt.json()["alarm"]["device"]["id"].as_str()?.to_owned()))
        .collect();
    expected.difference(&got).count()
}

fn is_alarm(number: u64) -> bool {
    number.is_multiple_of(ALARM_EVERY)
}

fn device(number: u64) -> String {
    format!("c{number}")
}

/// xorshift: the same moments in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// A stop by SIGTERM in mid-stream loses nothing either, and takes its queue with it in an orderly way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_in_mid_stream_loses_nothing() {
    const MESSAGES: u64 = 600;
    let broker = Mosquitto::start(BROKER);
    let sink = Sink::start();
    let mut gateway = Gateway::prepare(broker.port, &sink.url()).start().await;
    let mut devices = Publisher::start(broker.port, "devices");
    for number in 0..MESSAGES {
        devices.gas(&device(number), r#"{"lel":55.0}"#).await;
        if number % 150 == 100 {
            // Before it is up it has no way yet to end in good order.
            gateway.wait_ready().await;
            let status = gateway.terminate().await;
            assert!(status.success(), "SIGTERM ends with 0: {status}");
            gateway.launch();
        }
    }
    gateway.wait_ready().await;
    devices.flush().await;
    let expected: HashSet<String> = (0..MESSAGES).map(device).collect();
    eventually("every alarm was delivered", PATIENCE, async || {
        (missing_deliveries(&sink, &expected) == 0).then_some(())
    })
    .await;
    assert_eq!(gateway.alarms("state=active").await.len() as u64, MESSAGES);
}
