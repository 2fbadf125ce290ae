//! `ninewatch simulate` against a real mosquitto: every message counted on both sides, commands obeyed as devices
//! should, a clear word when there is no broker.

#![cfg(test)]

mod support;

use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
use serde_json::{Value, json};
use support::gateway::{BINARY, Gateway, signal, write};
use support::mosquitto::Mosquitto;
use support::proxy::{Line, Proxy};
use support::sink::Sink;
use support::{PATIENCE, eventually, free_port, repository, said};
use tokio::sync::watch;
use tokio::task::JoinSet;

const VALVE: &str = "ninewatch/v001/shutoff_valve/valve";

/// Everything that the broker passed on, and a way to publish.
struct Ear {
    client: AsyncClient,
    heard: watch::Receiver<Vec<(String, Value)>>,
    _connection: JoinSet<()>,
}

impl Ear {
    /// Returns when the broker has taken the subscription.
    async fn open(port: u16) -> Ear {
        let options = MqttOptions::new("ear", "127.0.0.1", port);
        let (client, mut events) = AsyncClient::new(options, 100);
        client.subscribe("ninewatch/#", QoS::AtLeastOnce).await.unwrap();
        let (adds, heard) = watch::channel(Vec::new());
        let (subscribed, mut is_subscribed) = watch::channel(false);
        let mut connection = JoinSet::new();
        connection.spawn(async move {
            while let Ok(event) = events.poll().await {
                if let Event::Incoming(Packet::SubAck(_)) = event {
                    subscribed.send_replace(true);
                }
                if let Event::Incoming(Packet::Publish(message)) = event {
                    let value = serde_json::from_slice(&message.payload).unwrap_or(Value::Null);
                    adds.send_modify(|all: &mut Vec<_>| all.push((message.topic, value)));
                }
            }
        });
        is_subscribed.wait_for(|done| *done).await.unwrap();
        Ear {
            client,
            heard,
            _connection: connection,
        }
    }

    async fn tell(&self, retain: bool, order: Value) {
        let topic = format!("{VALVE}/command");
        self.client
            .publish(topic, QoS::AtLeastOnce, retain, order.to_string())
            .await
            .unwrap();
    }

    fn of(&self, topic: &str) -> Vec<Value> {
        let heard = self.heard.borrow();
        let of = heard.iter().filter(|(known, _)| known == topic);
        of.map(|(_, value)| value.clone()).collect()
    }

    fn telemetry(&self) -> usize {
        let heard = self.heard.borrow();
        heard
            .iter()
            .filter(|(topic, _)| topic.ends_with("/telemetry"))
            .count()
    }
}

fn simulate(port: u16, arguments: &[&str]) -> Child {
    Command::new(BINARY)
        .args(["simulate", "--mqtt", &format!("mqtt://127.0.0.1:{port}")])
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

async fn ended(mut child: Child) -> Output {
    eventually("the simulator ends", PATIENCE, async || child.try_wait().unwrap()).await;
    child.wait_with_output().unwrap()
}

fn in_a_minute() -> i64 {
    ninewatch::clock::wall().0 + 60_000
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rate_for_a_time_is_so_many_messages_all_acknowledged_and_all_passed_on() {
    let broker = Mosquitto::start("");
    let ear = Ear::open(broker.port).await;
    let child = simulate(broker.port, &["--venues", "5", "--rate", "400", "--for", "3s"]);
    let output = ended(child).await;
    let text = said(&output);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("messages   1200 sent"), "{text}");
    assert!(text.contains("1200 acknowledged by the broker"), "{text}");
    assert!(text.contains("1200 regular, 0 left out"), "{text}");
    assert!(!text.contains('\u{1b}'), "no colours in a file: {text}");
    eventually("all of it is passed on", PATIENCE, async || {
        (ear.telemetry() == 1_200).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_valid_command_is_obeyed_once_a_retained_or_expired_one_never() {
    let broker = Mosquitto::start("");
    let ear = Ear::open(broker.port).await;
    ear.tell(
        true,
        json!({ "id": "kept", "command": "close", "expires_at": in_a_minute() }),
    )
    .await;
    eventually("the broker keeps the command", PATIENCE, async || {
        (ear.of(&format!("{VALVE}/command")).len() == 1).then_some(())
    })
    .await;

    let child = simulate(broker.port, &["--venues", "2"]);
    let telemetry = format!("{VALVE}/telemetry");
    eventually("the valve speaks", PATIENCE, async || {
        (!ear.of(&telemetry).is_empty()).then_some(())
    })
    .await;
    ear.tell(false, json!({ "id": "old", "command": "close", "expires_at": 1 }))
        .await;
    let close = json!({ "id": "new", "command": "close", "expires_at": in_a_minute() });
    for _ in 0..2 {
        ear.tell(false, close.clone()).await;
    }
    eventually("the valve proves that it closed", PATIENCE, async || {
        ear.of(&telemetry)
            .last()
            .filter(|value| value["position"] == "closed")
            .map(drop)
    })
    .await;
    let acks = eventually("both are acknowledged", PATIENCE, async || {
        let acks = ear.of(&format!("{VALVE}/ack"));
        (acks.len() == 2).then_some(acks)
    })
    .await;
    assert!(acks.iter().all(|ack| *ack == json!({ "id": "new", "ok": true })));

    signal(child.id(), "INT");
    let output = ended(child).await;
    let text = said(&output);
    assert!(output.status.success(), "{text}");
    assert!(
        text.contains("4 heard: 1 obeyed, 1 repeated, 0 refused, 1 retained, 1 expired, 0 unheard"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_valve_stays_closed_whatever_the_broker_kept_or_brings_too_late() {
    let broker = Mosquitto::start("");
    let mut line = Proxy::start(broker.port);
    let ear = Ear::open(broker.port).await;
    let child = simulate(line.port, &["--venues", "2"]);
    let telemetry = format!("{VALVE}/telemetry");
    let order =
        |id: &str, command: &str, end: i64| json!({ "id": id, "command": command, "expires_at": end });
    eventually("the valve speaks", PATIENCE, async || {
        (!ear.of(&telemetry).is_empty()).then_some(())
    })
    .await;
    ear.tell(false, order("first", "close", in_a_minute())).await;
    eventually("the valve proves that it closed", PATIENCE, async || {
        let said = ear.of(&telemetry);
        said.last()
            .filter(|value| value["position"] == "closed")
            .map(drop)
    })
    .await;
    ear.tell(false, order("late", "open", 1)).await;
    ear.tell(false, order("first", "close", in_a_minute())).await;
    eventually("both have reached the valve", PATIENCE, async || {
        (ear.of(&format!("{VALVE}/ack")).len() == 2).then_some(())
    })
    .await;

    // What is kept comes as kept to whoever subscribes anew.
    line.set(Line::Reset).await;
    ear.tell(true, order("kept", "open", in_a_minute())).await;
    eventually("the broker keeps the command", PATIENCE, async || {
        (ear.of(&format!("{VALVE}/command")).len() == 4).then_some(())
    })
    .await;
    line.set(Line::Pass).await;
    eventually("the valve is back and obeys", PATIENCE, async || {
        ear.tell(false, order("last", "close", in_a_minute())).await;
        let acks = ear.of(&format!("{VALVE}/ack"));
        acks.iter().any(|ack| ack["id"] == "last").then_some(())
    })
    .await;

    signal(child.id(), "INT");
    let text = said(&ended(child).await);
    assert!(text.contains("0 refused, 1 retained, 1 expired"), "{text}");
    let acks = ear.of(&format!("{VALVE}/ack"));
    assert!(
        acks.iter().all(|ack| ack["id"] == "first" || ack["id"] == "last"),
        "{acks:?}"
    );
    let said = ear.of(&telemetry);
    let closed = said.iter().position(|value| value["position"] == "closed");
    let after = said.iter().skip(closed.expect("it closed"));
    assert!(
        after.clone().all(|value| value["position"] == "closed"),
        "{said:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_broker_it_says_where_it_looked_and_fails() {
    let port = free_port();
    let output = ended(simulate(port, &["--venues", "1"])).await;
    let text = said(&output);
    assert!(!output.status.success(), "{text}");
    assert!(
        text.contains(&format!("cannot connect to mqtt://127.0.0.1:{port}"))
            && text.contains("is a broker listening"),
        "{text}"
    );
    let arguments = ["simulate", "--mqtt", "mqtts://h:8883", "--venues", "1"];
    let refused = Command::new(BINARY).args(arguments).output().unwrap();
    assert!(!refused.status.success() && said(&refused).contains("TLS"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_restarts_finds_the_devices_again_and_the_end_says_so() {
    let mut broker = Mosquitto::start("");
    let child = simulate(broker.port, &["--venues", "2"]);
    let ear = Ear::open(broker.port).await;
    eventually("the town speaks", PATIENCE, async || {
        (ear.telemetry() > 0).then_some(())
    })
    .await;
    broker.restart();
    let ear = Ear::open(broker.port).await;
    eventually("it speaks again", PATIENCE, async || {
        (ear.telemetry() > 0).then_some(())
    })
    .await;
    let close = json!({ "id": "a", "command": "close", "expires_at": in_a_minute() });
    ear.tell(false, close).await;
    eventually("and hears again", PATIENCE + Duration::from_secs(5), async || {
        (!ear.of(&format!("{VALVE}/ack")).is_empty()).then_some(())
    })
    .await;
    signal(child.id(), "TERM");
    let output = ended(child).await;
    assert!(output.status.success());
    assert!(
        said(&output).contains("connection broke 1 times"),
        "{}",
        said(&output)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_script_in_another_profile_raises_its_alarm_at_the_gateway() {
    let broker = Mosquitto::start("");
    let sink = Sink::start();
    let gateway = Gateway::prepare(broker.port, &sink.url())
        .with_shipped_rules()
        .edited("[files]\n", "[files]\nprofiles = [\"zigbee2mqtt.toml\"]\n");
    let shipped = std::fs::read_to_string(repository("config/profiles/zigbee2mqtt.toml")).unwrap();
    write(&gateway.folder().join("zigbee2mqtt.toml"), &shipped);
    let venues = gateway.folder().join("venues.toml").display().to_string();
    let town = ["--venues", "2", "--profile", "zigbee2mqtt"];
    let registering = [&town[..], &["--for", "100ms", "--venues-file", &venues]].concat();
    let output = ended(simulate(broker.port, &registering)).await;
    assert!(output.status.success(), "{}", said(&output));
    let gateway = gateway.start().await;

    let script = gateway.folder().join("script.toml");
    write(
        &script,
        "[[incident]]\nat = \"500ms\"\nvenue = \"v002\"\ndevice = \"g1\"\nwhat = \"gas_leak\"\nrise = \"1s\"\npeak = 62\n\n\
         [[speaks]]\nvenue = \"v002\"\ndevice = \"valve\"\nprofile = \"zigbee2mqtt\"\n",
    );
    let script = script.display().to_string();
    let child = simulate(broker.port, &[&town[..], &["--script", &script]].concat());
    let raised = sink.wait_for("alarm.raised", "gas-high", "v002-g1").await.json();
    assert_eq!(raised["alarm"]["venue"]["id"], "v002", "{raised}");
    let standing = gateway.alarms("state=active").await;
    assert!(
        standing
            .iter()
            .any(|alarm| alarm["rule"] == "gas-high" && alarm["device"]["id"] == "v002-g1"),
        "{standing:?}"
    );
    assert_eq!(gateway.metric("ninewatch_dead_letters_total", &[]).await, 0);
    signal(child.id(), "INT");
    let text = said(&ended(child).await);
    assert!(text.contains("  00:00  gas_leak    v002 g1 "), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_played_is_said_before_anything_is() {
    let port = free_port();
    let wrong = repository("tests/scripts/invalid.toml").display().to_string();
    let output = ended(simulate(port, &["--venues", "3", "--script", &wrong])).await;
    let text = said(&output);
    assert!(!output.status.success(), "{text}");
    assert!(
        text.contains("did you mean `gas_leak`?") && !text.contains("connect"),
        "{text}"
    );
    let output = ended(simulate(port, &["--profile", "zigbee"])).await;
    let text = said(&output);
    assert!(
        !output.status.success() && text.contains("zigbee2mqtt, tasmota"),
        "{text}"
    );
}
