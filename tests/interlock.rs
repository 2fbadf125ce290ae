//! From danger to proof with the real binary and a real broker: a leak closes the valve, a mute valve wakes people, a killed
//! gateway sends again, nobody opens what may not be opened, and what a broker has kept is never obeyed.

#![cfg(test)]

mod support;

use std::time::Duration;

use serde_json::{Value, json};

use support::eventually::stays;
use support::gateway::{Gateway, write};
use support::http;
use support::mosquitto::Mosquitto;
use support::proxy::{Line, Proxy};
use support::publisher::Publisher;
use support::sink::Sink;
use support::strace::{EIO, Strace};
use support::subscriber::Subscriber;
use support::{PATIENCE, eventually, repository};

const COMMAND_TOPIC: &str = "ninewatch/v1/shutoff_valve/s1/command";

/// A valve that may be opened from afar, and one that may not.
const VENUES: &str = r#"
[[venue]]
id = "v1"
name = "示例餐馆"
kind = "restaurant"
address = "示例路 1 号"

[[venue.device]]
id = "g1"
kind = "gas_detector"
name = "厨房"

[[venue.device]]
id = "s1"
kind = "shutoff_valve"
name = "总阀"

[[venue.device]]
id = "s2"
kind = "shutoff_valve"
name = "支阀"
remote_open = true
"#;

/// Gas closes the valve `s1` and all others; who does not is told of.
fn rules(within: &str) -> String {
    format!(
        r#"
[[rule]]
id = "leak"
on = "gas_detector"
when = "lel >= 50.0"
clear = "lel < 20.0"
class = "alarm"
priority = "critical"
title = {{ zh = "漏气", en = "Leak" }}

[[rule.then]]
command = "close"
to = "shutoff_valve"
within = "{within}"
attempts = 3

[[rule]]
id = "close-failed"
on = "shutoff_valve"
when = "command_failed()"
class = "alarm"
priority = "critical"
latch = true
title = {{ zh = "未关", en = "Not closed" }}
"#
    )
}

/// The broker, the officer's webhook, the gateway, the valve's ear, and a voice for all devices.
struct Site {
    broker: Mosquitto,
    sink: Sink,
    gateway: Gateway,
    valve: Subscriber,
    devices: Publisher,
}

impl Site {
    async fn start(within: &str) -> Site {
        let broker = Mosquitto::start("");
        let sink = Sink::start();
        let gateway = Gateway::prepare(broker.port, &sink.url());
        write(&gateway.folder().join("rules/test.toml"), &rules(within));
        write(&gateway.folder().join("venues.toml"), VENUES);
        let gateway = gateway.start().await;
        let valve = Subscriber::start(broker.port, "valve", COMMAND_TOPIC).await;
        let devices = Publisher::start(broker.port, "devices");
        Site {
            broker,
            sink,
            gateway,
            valve,
            devices,
        }
    }

    async fn gas(&mut self, lel: f64) {
        self.devices.gas("g1", &json!({ "lel": lel }).to_string()).await;
    }

    async fn says(&mut self, valve: &str, topic: &str, body: &Value) {
        let topic = format!("ninewatch/v1/shutoff_valve/{valve}/{topic}");
        self.devices.publish(&topic, body.to_string()).await;
    }

    /// The order in the command that the valve got as the `count`-th, and its id.
    async fn heard(&self, count: usize) -> (Value, String) {
        let came = self.valve.wait_for(count).await;
        let publish = came.get(count - 1).expect("so many came");
        assert!(!publish.retain, "{publish:?}");
        let order: Value = serde_json::from_slice(&publish.payload).expect("a command is JSON");
        let id = order["id"].as_str().expect("a command has an id").to_owned();
        (order, id)
    }

    /// The message of this type that the officer got.
    async fn told(&self, event_type: &str) -> Value {
        eventually(
            &format!("the officer is told of {event_type}"),
            PATIENCE,
            async || {
                let told = self.sink.delivered();
                told.into_iter()
                    .map(|attempt| attempt.json())
                    .find(|body| body["type"] == event_type)
            },
        )
        .await
    }

    /// Waits until the order has come so far.
    async fn wait_state(&self, id: &str, state: &str) -> Value {
        let url = self.gateway.url(&format!("/api/v1/commands/{id}"));
        eventually(&format!("the order is {state}"), PATIENCE, async || {
            let answer = http::try_get(&url).await?;
            let order = (answer.status == 200).then(|| answer.json())?;
            let over = ["verified", "failed", "superseded"]
                .iter()
                .any(|end| order["state"] == *end);
            assert!(!over || order["state"] == state, "{order}");
            (order["state"] == state).then_some(order)
        })
        .await
    }

    async fn ask(&self, device: &str, command: &str) -> http::Answer {
        let url = self.gateway.url(&format!("/api/v1/devices/{device}/commands"));
        http::post(
            &url,
            &json!({ "command": command, "by": "duty", "note": "from a test" }),
        )
        .await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leak_closes_the_valve_and_its_own_word_proves_it() {
    let mut site = Site::start("10s").await;
    site.says("s1", "telemetry", &json!({ "position": "open" })).await;
    site.gas(60.0).await;
    let (order, id) = site.heard(1).await;
    assert_eq!(order["command"], "close");
    assert!(order["expires_at"].as_i64().is_some(), "{order}");

    site.says("s1", "ack", &json!({ "id": id, "ok": true })).await;
    site.wait_state(&id, "acknowledged").await;
    site.says("s1", "telemetry", &json!({ "position": "closed" }))
        .await;
    let stored = site.wait_state(&id, "verified").await;
    assert_eq!(stored["causes"][0]["rule"], "leak", "{stored}");

    let told = site.told("command.verified").await;
    assert_eq!(told["command"]["id"], id.as_str());
    assert_eq!(told["command"]["device"]["id"], "s1");
    assert_eq!(told["alarm"]["rule"], "leak");
    eventually("it is counted", PATIENCE, async || {
        let labels = ["command=\"close\"", "result=\"verified\""];
        (site.gateway.metric("ninewatch_commands_total", &labels).await == 1).then_some(())
    })
    .await;
    assert_eq!(site.valve.all().len(), 1, "sent once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mute_valve_is_told_again_and_then_people_are() {
    let mut site = Site::start("1s").await;
    site.gas(60.0).await;
    let (_, id) = site.heard(1).await;
    let came = site.valve.wait_for(3).await;
    for publish in &came {
        let order: Value = serde_json::from_slice(&publish.payload).expect("a command is JSON");
        assert_eq!(order["id"], id.as_str(), "one order");
    }
    let stored = site.wait_state(&id, "failed").await;
    assert_eq!(stored["attempt"], 3);
    let told = site.told("command.failed").await;
    assert_eq!(told["command"]["reason"], "not_proven");
    let raised = eventually("the failure is an alarm of its own", PATIENCE, async || {
        let alarms = site.gateway.alarms("state=active").await;
        alarms.into_iter().find(|alarm| alarm["rule"] == "close-failed")
    })
    .await;
    assert_eq!(raised["priority"], "critical");
    assert_eq!(site.valve.all().len(), 3, "three attempts");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_gateway_sends_again_what_was_not_proven() {
    let mut site = Site::start("5s").await;
    site.gas(60.0).await;
    let (_, id) = site.heard(1).await;
    site.wait_state(&id, "sent").await;
    site.gateway.kill();
    site.gateway.launch();
    site.gateway.wait_ready().await;
    let (again, same) = site.heard(2).await;
    assert_eq!(same, id, "the same order: {again}");
    site.says("s1", "telemetry", &json!({ "position": "closed" }))
        .await;
    site.wait_state(&id, "verified").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn opening_is_refused_where_nobody_allowed_it_and_while_there_is_danger() {
    let mut site = Site::start("1s").await;
    for valve in ["s1", "s2"] {
        site.says(valve, "telemetry", &json!({ "position": "closed" }))
            .await;
    }
    site.devices.flush().await;
    site.gateway.wait_acknowledged(2).await;

    let refused = site.ask("s1", "open").await;
    assert_eq!(refused.status, 403, "{}", refused.text);
    assert_eq!(refused.content_type, "application/problem+json");
    assert!(site.valve.all().is_empty());

    let taken = site.ask("s2", "open").await;
    assert_eq!(taken.status, 202, "{}", taken.text);
    let id = taken.json()["id"]
        .as_str()
        .expect("an order has an id")
        .to_owned();
    site.says("s2", "telemetry", &json!({ "position": "open" })).await;
    let stored = site.wait_state(&id, "verified").await;
    assert_eq!(stored["causes"][0]["by"], "duty", "{stored}");

    site.gas(60.0).await;
    site.heard(1).await;
    let refused = site.ask("s2", "open").await;
    assert_eq!(refused.status, 409, "{}", refused.text);
    let unknown = site.ask("s2", "explode").await;
    assert_eq!(unknown.status, 422, "{}", unknown.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_broker_has_kept_is_neither_obeyed_nor_believed() {
    let mut site = Site::start("2s").await;
    let kept = |topic: &str| format!("ninewatch/v1/shutoff_valve/s1/{topic}");
    // Somebody retained a command, an answer and a position for ever.
    site.devices
        .retain(&kept("command"), br#"{"id":"x","command":"open","expires_at":1}"#)
        .await;
    site.devices
        .retain(&kept("telemetry"), br#"{"position":"closed"}"#)
        .await;
    site.gas(60.0).await;
    let came = site.valve.wait_for(2).await;
    let orders = came
        .iter()
        .map(|publish| serde_json::from_slice::<Value>(&publish.payload).expect("a command is JSON"));
    let ids = orders.map(|order| order["id"].as_str().expect("an id").to_owned());
    let id = ids.into_iter().find(|id| id != "x").expect("our command comes");
    site.devices
        .retain(
            &kept("ack"),
            json!({ "id": id, "ok": true }).to_string().as_bytes(),
        )
        .await;

    // A new session gets everything that is kept, as kept.
    site.devices.flush().await;
    site.wait_state(&id, "acknowledged").await;
    site.gateway.kill();
    site.gateway.launch();
    site.gateway.wait_ready().await;
    site.wait_state(&id, "failed").await;
    // None of ours is kept for whoever subscribes later.
    let later = Subscriber::start(site.broker.port, "later", COMMAND_TOPIC).await;
    site.gas(5.0).await;
    site.devices.flush().await;
    let came = later.wait_for(1).await;
    assert!(
        came.iter()
            .all(|publish| publish.payload.starts_with(br#"{"id":"x""#)),
        "{came:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_cannot_be_written_opens_nothing_and_closes_all_the_same() {
    let mut site = Site::start("10s").await;
    for (valve, position) in [("s1", "open"), ("s2", "closed")] {
        site.says(valve, "telemetry", &json!({ "position": position }))
            .await;
    }
    site.devices.flush().await;
    site.gateway.wait_acknowledged(2).await;
    let valves = "ninewatch/v1/shutoff_valve/+/command";
    let valves = Subscriber::start(site.broker.port, "valves", valves).await;
    let failing = Strace::attach(site.gateway.pid(), EIO).await;
    let url = |valve: &str| site.gateway.url(&format!("/api/v1/devices/{valve}/commands"));
    let asked = |command: &str| json!({ "command": command, "by": "duty", "note": "from a test" });
    let (open, close) = (asked("open"), asked("close"));
    let (open_s2, close_s1) = (url("s2"), url("s1"));
    // Nobody is answered before the commit.
    let answers = async { tokio::join!(http::post(&open_s2, &open), http::post(&close_s1, &close)) };
    let seen = async {
        let first = valves.wait_for(1).await;
        assert_eq!(first[0].topic, "ninewatch/v1/shutoff_valve/s1/command");
        stays("nothing is opened", Duration::from_secs(1), async || {
            valves.all().len() == 1
        })
        .await;
        drop(failing);
        let came = valves.wait_for(2).await;
        assert_eq!(came[1].topic, "ninewatch/v1/shutoff_valve/s2/command");
        let order: Value = serde_json::from_slice(&came[1].payload).expect("a command is JSON");
        let url = site.gateway.url(&format!(
            "/api/v1/commands/{}",
            order["id"].as_str().expect("an id")
        ));
        assert_eq!(http::get(&url).await.status, 200, "it is on record");
    };
    let ((opened, closed), ()) = tokio::join!(answers, seen);
    assert_eq!(
        (opened.status, closed.status),
        (202, 202),
        "{} {}",
        opened.text,
        closed.text
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_connection_for_commands_is_an_alarm_until_it_is_back() {
    let broker = Mosquitto::start("");
    let mut line = Proxy::start(broker.port);
    let sink = Sink::start();
    let gateway = Gateway::prepare(line.port, &sink.url());
    let shipped =
        std::fs::read_to_string(repository("config/rules/gateway.toml")).expect("the shipped rules");
    write(
        &gateway.folder().join("rules/gateway.toml"),
        &shipped.replace("\"10s\"", "\"1s\""),
    );
    let gateway = gateway.start().await;
    let links = ["ninewatch_mqtt_connected", "ninewatch_command_link_connected"];
    for link in links {
        eventually(&format!("{link} is 1"), PATIENCE, async || {
            (gateway.metric(link, &[]).await == 1).then_some(())
        })
        .await;
    }
    line.set(Line::Full).await;
    // Whoever comes under the same client id takes the connection.
    let _rival = Subscriber::start(broker.port, "ninewatch-test-command", "nothing").await;
    let told = sink
        .wait_for("alarm.raised", "command-link-lost", "test-gateway")
        .await;
    assert_eq!(told.json()["alarm"]["priority"], "critical");
    assert_eq!(gateway.metric(links[0], &[]).await, 1, "the devices are heard");
    line.set(Line::Pass).await;
    sink.wait_for("alarm.recovered", "command-link-lost", "test-gateway")
        .await;
    assert_eq!(gateway.metric(links[1], &[]).await, 1);
}
