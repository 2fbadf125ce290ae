//! The way of the commands to a real mosquitto: at least once, never retained, over outages, not beyond their expiry.

#![cfg(test)]

mod support;

use std::time::Duration;

use ninewatch::actuate::Actuate;
use ninewatch::clock::{self, Clock};
use ninewatch::config::{BrokerUrl, MqttSettings, MqttTls, Secret};
use ninewatch::domain::device::DeviceIndex;
use ninewatch::domain::id::Id;
use ninewatch::domain::time::Timestamp;
use ninewatch::handoff::{CommandMessage, CommandSent};
use ninewatch::metrics::Metrics;
use ninewatch::mqtt::connect::ConnectError;
use rumqttc::QoS;
use support::eventually::stays;
use support::mosquitto::Mosquitto;
use support::proxy::{Line, Proxy};
use support::subscriber::Subscriber;
use support::{PATIENCE, eventually};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Longer than any test.
const LONG: i64 = 600_000;

struct Running {
    commands: mpsc::Sender<CommandMessage>,
    sent: mpsc::Receiver<CommandSent>,
    metrics: Metrics,
    stop: CancellationToken,
    task: JoinSet<Result<(), ConnectError>>,
}

impl Running {
    fn start(settings: MqttSettings, sent_queue: usize) -> Running {
        let (commands, from_gateway) = mpsc::channel(1024);
        let (to_gateway, sent) = mpsc::channel(sent_queue);
        let metrics = Metrics::new();
        let actuate = Actuate {
            settings,
            clock: Clock::new(),
            metrics: metrics.clone(),
            commands: from_gateway,
            sent: to_gateway,
            link: watch::channel(false).0,
        };
        let stop = CancellationToken::new();
        let mut task = JoinSet::new();
        task.spawn(actuate.run(stop.clone()));
        Running {
            commands,
            sent,
            metrics,
            stop,
            task,
        }
    }

    async fn order(&self, device: u32, within_ms: i64) {
        self.give(command(device, within_ms)).await;
    }

    async fn give(&self, command: CommandMessage) {
        self.commands.send(command).await.expect("it takes commands");
    }

    async fn up(&self) {
        self.linked(1).await;
    }

    async fn down(&self) {
        self.linked(0).await;
    }

    async fn linked(&self, up: i64) {
        eventually(&format!("the link's gauge is {up}"), PATIENCE, async || {
            (self.metrics.command_link_connected.get() == up).then_some(())
        })
        .await;
    }

    /// Waits for the next acknowledgement: whose command it was.
    async fn told(&mut self) -> u32 {
        let told = timeout(PATIENCE, self.sent.recv()).await;
        let told = told.expect("an acknowledgement in time").expect("it runs");
        assert_eq!(told.id, id(told.device.0));
        told.device.0
    }

    /// Stops it as the process does: no more commands come.
    async fn stop(self) -> Result<(), ConnectError> {
        let Running {
            commands,
            mut task,
            stop,
            sent: _sent,
            ..
        } = self;
        stop.cancel();
        drop(commands);
        let ended = timeout(PATIENCE, task.join_next()).await;
        ended.expect("it ends").expect("one task").expect("no panic")
    }
}

fn settings(port: u16) -> MqttSettings {
    MqttSettings {
        url: BrokerUrl::Remote {
            host: "127.0.0.1".to_owned(),
            port,
            tls: false,
        },
        client_id: "ninewatch-test".to_owned(),
        username: None,
        password: None,
        tls: MqttTls::default(),
        keep_alive: Duration::from_secs(1),
        max_packet_size: 256 * 1024,
        queue: 10_000,
    }
}

fn id(device: u32) -> Id {
    Id::from_bits(1000 + u128::from(device))
}

fn command(device: u32, within_ms: i64) -> CommandMessage {
    CommandMessage {
        device: DeviceIndex(device),
        id: id(device),
        topic: format!("v/{device}/command"),
        payload: format!("close {device}").into(),
        expires_at: Timestamp(clock::wall().0 + within_ms),
        opening: None,
    }
}

fn topics(came: &[rumqttc::Publish]) -> Vec<String> {
    came.iter().map(|publish| publish.topic.clone()).collect()
}

#[tokio::test]
async fn a_command_is_published_once_and_told_of() {
    let broker = Mosquitto::start("log_type all");
    let device = Subscriber::start(broker.port, "device", "v/#").await;
    let mut running = Running::start(settings(broker.port), 8);
    for number in 1..=3 {
        running.order(number, LONG).await;
    }
    for number in 1..=3 {
        assert_eq!(running.told().await, number);
    }
    let came = device.wait_for(3).await;
    assert_eq!(topics(&came), ["v/1/command", "v/2/command", "v/3/command"]);
    for publish in &came {
        assert!(!publish.retain && publish.qos == QoS::AtLeastOnce, "{publish:?}");
    }
    assert_eq!(came[0].payload, "close 1");
    assert!(
        broker.logged("as ninewatch-test-command (p2, c1") > 0,
        "a clean session of its own"
    );
    assert_eq!(running.metrics.commands_published.get(), 3);
    assert_eq!(running.metrics.queue_commands.get(), 0);
    running.stop().await.expect("it ends well");

    // Had any been retained, whoever comes later would get it.
    let late = Subscriber::start(broker.port, "late", "v/#").await;
    let again = Running::start(settings(broker.port), 8);
    again.order(9, LONG).await;
    assert_eq!(topics(&late.wait_for(1).await), ["v/9/command"]);
    assert_eq!(device.all().len(), 4, "each came once");
}

#[tokio::test]
async fn what_a_reset_connection_did_not_acknowledge_is_published_anew() {
    let broker = Mosquitto::start("");
    let mut proxy = Proxy::start(broker.port);
    let device = Subscriber::start(broker.port, "device", "v/#").await;
    let mut running = Running::start(settings(proxy.port), 8);
    running.up().await;
    running.order(1, LONG).await;
    assert_eq!(running.told().await, 1);
    // Sent into a line that moves nothing, and then breaks.
    proxy.set(Line::Freeze).await;
    running.order(2, LONG).await;
    eventually("it waits for its acknowledgement", PATIENCE, async || {
        (running.metrics.queue_commands.get() == 1).then_some(())
    })
    .await;
    proxy.set(Line::Reset).await;
    running.down().await;
    running.order(3, LONG).await;
    proxy.set(Line::Pass).await;
    let mut told = [running.told().await, running.told().await];
    told.sort_unstable();
    assert_eq!(told, [2, 3]);
    let mut came = topics(&device.wait_for(3).await);
    came.dedup();
    came.sort();
    assert_eq!(came, ["v/1/command", "v/2/command", "v/3/command"]);
    assert!(running.metrics.commands_repeated.get() <= 1);
}

#[tokio::test]
async fn a_silent_broker_is_left_for_a_new_connection() {
    let broker = Mosquitto::start("");
    let mut proxy = Proxy::start(broker.port);
    let device = Subscriber::start(broker.port, "device", "v/#").await;
    let mut running = Running::start(settings(proxy.port), 8);
    running.up().await;
    proxy.set(Line::Freeze).await;
    running.order(1, LONG).await;
    running.down().await;
    proxy.set(Line::Reset).await;
    proxy.set(Line::Pass).await;
    assert_eq!(running.told().await, 1);
    device.wait_for(1).await;
}

#[tokio::test]
async fn nothing_is_sent_after_its_expiry() {
    let mut broker = Mosquitto::start("");
    let port = broker.port;
    let mut running = Running::start(settings(port), 8);
    running.up().await;
    running.order(1, -1).await;
    broker.stop();
    running.down().await;
    running.order(2, 50).await;
    running.order(3, LONG).await;
    eventually("both are dropped", PATIENCE, async || {
        (running.metrics.commands_expired.get() == 2).then_some(())
    })
    .await;
    broker.resume();
    let device = Subscriber::start(port, "device", "v/#").await;
    assert_eq!(running.told().await, 3);
    // The third may have been published before the device subscribed; of the others there is nothing to come.
    running.order(4, LONG).await;
    assert_eq!(running.told().await, 4);
    eventually("the last has come", PATIENCE, async || {
        topics(&device.all())
            .contains(&"v/4/command".to_owned())
            .then_some(())
    })
    .await;
    let came = topics(&device.all());
    assert!(
        came.iter()
            .all(|topic| topic == "v/3/command" || topic == "v/4/command"),
        "{came:?}"
    );
}

#[tokio::test]
async fn a_later_command_takes_the_place_of_one_that_still_waits() {
    let mut broker = Mosquitto::start("");
    let mut running = Running::start(settings(broker.port), 8);
    running.up().await;
    broker.stop();
    running.down().await;
    running.order(1, LONG).await;
    let later = CommandMessage {
        payload: "open 1".into(),
        ..command(1, LONG)
    };
    running.give(later).await;
    eventually("it is replaced", PATIENCE, async || {
        (running.metrics.commands_replaced.get() == 1).then_some(())
    })
    .await;
    broker.resume();
    assert_eq!(running.told().await, 1);
    running.order(2, LONG).await;
    assert_eq!(running.told().await, 2);
    assert_eq!(running.metrics.commands_published.get(), 2);
}

#[tokio::test]
async fn a_gateway_that_does_not_listen_holds_up_no_command() {
    let broker = Mosquitto::start("");
    let device = Subscriber::start(broker.port, "device", "v/#").await;
    let mut running = Running::start(settings(broker.port), 1);
    for number in 1..=200 {
        running.order(number, LONG).await;
    }
    assert_eq!(device.wait_for(200).await.len(), 200);
    let mut told = Vec::new();
    for _ in 1..=200 {
        told.push(running.told().await);
    }
    assert_eq!(told, (1..=200).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_topic_that_no_broker_takes_costs_no_other_command() {
    let broker = Mosquitto::start("log_type all");
    let mut running = Running::start(settings(broker.port), 8);
    running
        .give(CommandMessage {
            topic: "v/+/command".to_owned(),
            ..command(1, LONG)
        })
        .await;
    running.order(2, LONG).await;
    assert_eq!(running.told().await, 2);
    assert_eq!(running.metrics.commands_unwritable.get(), 1);
    assert_eq!(
        broker.logged("as ninewatch-test-command (p2, c1"),
        1,
        "one connection"
    );
}

#[tokio::test]
async fn what_waits_goes_out_before_the_end() {
    let mut broker = Mosquitto::start("");
    let running = Running::start(settings(broker.port), 8);
    running.up().await;
    broker.stop();
    running.down().await;
    for number in 1..=50 {
        running.order(number, LONG).await;
    }
    let metrics = running.metrics.clone();
    let mut stopping = JoinSet::new();
    stopping.spawn(running.stop());
    broker.resume();
    let stopped = stopping.join_next().await.expect("one task");
    stopped.expect("no panic").expect("it ends well");
    assert_eq!(metrics.commands_published.get(), 50);
}

#[tokio::test]
async fn without_a_broker_it_ends_in_time_all_the_same() {
    let mut broker = Mosquitto::start("");
    let running = Running::start(settings(broker.port), 8);
    running.up().await;
    broker.stop();
    running.down().await;
    running.order(1, LONG).await;
    let metrics = running.metrics.clone();
    timeout(Duration::from_secs(10), running.stop())
        .await
        .expect("within the time that the process has")
        .expect("it ends well");
    assert_eq!(metrics.commands_published.get(), 0);
}

/// A broker with the shipped access rules, and these users, each with the password `secret`.
fn guarded(users: &[&str]) -> Mosquitto {
    let acl = support::repository("deploy/mosquitto.acl");
    let lines = format!(
        "allow_anonymous false\npassword_file {{folder}}/users\nacl_file {}\nlog_type all",
        acl.display()
    );
    Mosquitto::start_with(&lines, |folder| {
        let file = folder.join("users");
        std::fs::write(&file, "").expect("the folder can be written");
        for user in users {
            let made = support::run_installed(
                "mosquitto_passwd",
                "mosquitto",
                &["-b", &file.display().to_string(), user, "secret"],
            );
            assert!(made.status.success(), "{}", support::said(&made));
        }
    })
}

fn known_as(user: &str, port: u16) -> MqttSettings {
    MqttSettings {
        client_id: user.to_owned(),
        username: Some(user.to_owned()),
        password: Some(Secret::new("secret".to_owned())),
        ..settings(port)
    }
}

#[tokio::test]
async fn under_the_shipped_access_rules_only_the_gateway_commands() {
    let broker = guarded(&["ninewatch", "v1", "v2"]);
    let valve = Subscriber::start_as(broker.port, "valve", Some("v1"), "ninewatch/v1/#").await;
    let native = |device: u32| CommandMessage {
        topic: format!("ninewatch/v1/shutoff_valve/s{device}/command"),
        ..command(device, LONG)
    };
    // A device of the venue, and one of another, that speak like the gateway.
    for user in ["v1", "v2"] {
        let mut forger = Running::start(known_as(user, broker.port), 8);
        forger.give(native(1)).await;
        assert_eq!(forger.told().await, 1, "the broker takes it and drops it");
    }
    let mut gateway = Running::start(known_as("ninewatch", broker.port), 8);
    gateway.give(native(2)).await;
    assert_eq!(gateway.told().await, 2);
    let came = valve.wait_for(1).await;
    assert_eq!(topics(&came), ["ninewatch/v1/shutoff_valve/s2/command"]);
    stays("the connection stands", Duration::from_secs(3), async || {
        gateway.metrics.command_link_connected.get() == 1
    })
    .await;
}
