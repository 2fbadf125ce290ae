//! kill -9 in mid-stream, many times, and a stop by SIGTERM. Nothing may be missing, and the state is that of a
//! gateway which never stopped.

use std::time::Duration;

use tokio::time::sleep;

use crate::support::gateway::Gateway;
use crate::support::ledger::{Ledger, publish};
use crate::support::mosquitto::Mosquitto;
use crate::support::publisher::Publisher;
use crate::support::sink::Sink;
use crate::support::{reference, run_installed};
use crate::{BROKER, scale, under_stream};

pub(crate) const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// After so many kills one stop in good order, which leaves a checkpoint to go on from. A slow disk would take more
/// time than a stop has.
const STOP_EVERY: u32 = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_alarm_is_lost_over_many_kills() {
    let kills = scale("NINEWATCH_KILLS", 25);
    kill_in_mid_stream("kill -9 at a random moment", kills, &[]).await;
}

/// On a quick disk a commit takes a fraction of a millisecond, and few kills fall into one. Here each write takes
/// long, so that nearly every kill does: whatever is acknowledged before its commit is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_alarm_is_lost_on_a_slow_disk() {
    run_installed("strace", "strace", &["--version"]);
    // -D: strace is the grandchild, so that the process we started and kill is the gateway itself.
    let slow = ["strace", "-D", "-f", "--seccomp-bpf", "-q", "-o", "/dev/null"];
    let writes = ["-e", "trace=pwrite64", "-e", "inject=pwrite64:delay_enter=10000"];
    let kills = scale("NINEWATCH_SLOW_KILLS", 10);
    let slow = [slow.as_slice(), writes.as_slice()].concat();
    kill_in_mid_stream("kill -9 while the disk is slow", kills, &slow).await;
}

async fn kill_in_mid_stream(fault: &'static str, kills: u32, wrapper: &[&str]) {
    let mut ledger = Ledger::of(fault);
    let broker = Mosquitto::start(BROKER);
    let sink = Sink::start();
    // Each message is from a new device: a slow machine gets to more of them than are usually let in.
    let mut gateway = Gateway::prepare(broker.port, &sink.url())
        .edited("[mqtt]", "max_devices = 1000000\n\n[mqtt]")
        .under(wrapper)
        .start()
        .await;
    let mut devices = Publisher::start(broker.port, "devices");
    under_stream(&mut devices, async {
        let mut random = Random(SEED);
        for kill in 1..=kills {
            kill_at_some_moment(&mut gateway, &mut ledger, &mut random).await;
            if wrapper.is_empty() && kill.is_multiple_of(STOP_EVERY) {
                gateway.wait_ready().await;
                let status = gateway.terminate().await;
                assert!(status.success(), "SIGTERM ends with 0: {status}");
                gateway.launch();
            }
        }
    })
    .await;
    gateway.wait_ready().await;
    gateway.kill();
    reference::assert_restores_like_never_stopped(&gateway.data());
    gateway.launch();
    if wrapper.is_empty() {
        ledger.settle(&mut gateway, &devices, &[&sink]).await;
    } else {
        ledger.check(&mut gateway, &devices, &[&sink]).await;
        gateway.kill();
        reference::assert_restores_like_never_stopped(&gateway.data());
    }
    sink.assert_all_signed();
}

/// Kills it some moment after a start: often in mid-stream, sometimes before it is ready, and starts it again.
async fn kill_at_some_moment(gateway: &mut Gateway, ledger: &mut Ledger, random: &mut Random) {
    if random.below(4) != 0 {
        ledger.recovering(gateway.wait_ready()).await;
    }
    // The random moment is the point of the test: nothing is waited for here.
    sleep(Duration::from_millis(random.below(400))).await;
    gateway.kill();
    ledger.inject();
    gateway.launch();
}

/// xorshift: the same moments in every run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// A number below this one.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
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
    let mut ledger = Ledger::of("stopped by SIGTERM and started");
    let broker = Mosquitto::start(BROKER);
    let sink = Sink::start();
    let mut gateway = Gateway::prepare(broker.port, &sink.url()).start().await;
    let mut devices = Publisher::start(broker.port, "devices");
    for number in 0..MESSAGES {
        publish(&mut devices).await;
        if number % 150 == 100 {
            // Before it is up it has no way yet to end in good order.
            gateway.wait_ready().await;
            let status = gateway.terminate().await;
            assert!(status.success(), "SIGTERM ends with 0: {status}");
            ledger.inject();
            gateway.launch();
            ledger.recovering(gateway.wait_ready()).await;
        }
    }
    ledger.settle(&mut gateway, &devices, &[&sink]).await;
}
