//! The main job on real servers: a message enters through mosquitto, an alarm comes out as a signed webhook, stands
//! in the API and the metrics, is acknowledged, recovers, is reset; and what happens when servers come and go.

#![cfg(test)]

mod support;

use serde_json::{Value, json};

use support::gateway::{Gateway, sum, write};
use support::http;
use support::mosquitto::Mosquitto;
use support::publisher::Publisher;
use support::sink::{Attempt, Mood, Sink};
use support::{PATIENCE, eventually};

/// A broker that keeps sessions and messages through its own restart.
const KEEPING: &str = "persistence true\nautosave_interval 1\nautosave_on_changes true\n\
                       max_inflight_messages 1000";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alarm_goes_its_whole_way() {
    let broker = Mosquitto::start("");
    let sink = Sink::start();
    let gateway = Gateway::prepare(broker.port, &sink.url())
        .with_shipped_rules()
        .start()
        .await;
    let mut device = Publisher::start(broker.port, "device");

    device
        .gas("g1", r#"{"lel":53.2,"temperature":21.4,"battery":88}"#)
        .await;
    let raised = sink.wait_for("alarm.raised", "test-high", "g1").await;
    let alarm = check_raised(&raised, &gateway);
    check_listed(&gateway, &alarm).await;
    check_counted(&gateway).await;

    check_acknowledge(&gateway, &sink, &alarm).await;
    let refused = gateway.act(&alarm, "reset", "ops").await;
    assert_eq!(
        refused.status, 409,
        "a reset while the condition holds: {}",
        refused.text
    );
    assert!(
        refused.content_type.starts_with("application/problem+json"),
        "{}",
        refused.content_type
    );

    device.gas("g1", r#"{"lel":3.0}"#).await;
    let recovered = sink.wait_for("alarm.recovered", "test-high", "g1").await.json();
    assert_eq!(recovered["alarm"]["state"], "recovered_acknowledged");
    assert_eq!(recovered["alarm"]["id"], json!(alarm));

    let reset = gateway.act(&alarm, "reset", "ops").await;
    assert!(
        (200..300).contains(&reset.status),
        "reset: {} {}",
        reset.status,
        reset.text
    );
    let cleared = sink.wait_for("alarm.cleared", "test-high", "g1").await.json();
    assert_eq!(cleared["alarm"]["state"], "cleared");
    assert_eq!(cleared["alarm"]["cleared_reason"], "reset");
    assert_eq!(cleared["alarm"]["cleared_by"], cleared["by"]);
    eventually("the alarm is no longer listed as active", PATIENCE, async || {
        let active = gateway.alarms("state=active").await;
        (!active.iter().any(|listed| listed["id"] == json!(alarm))).then_some(())
    })
    .await;
    for event in ["raised", "acknowledged", "recovered", "cleared"] {
        assert_eq!(
            sink.of(&format!("alarm.{event}"), "test-high", "g1").len(),
            1,
            "alarm.{event}"
        );
    }
    gateway.wait_acknowledged(2).await;
    sink.assert_all_signed();
}

/// The shipped pack raises its own alarm of the same message.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shipped_gas_rules_raise_gas_high() {
    let broker = Mosquitto::start("");
    let sink = Sink::start();
    let gateway = Gateway::prepare(broker.port, &sink.url())
        .with_shipped_rules()
        .start()
        .await;
    let mut device = Publisher::start(broker.port, "device");
    device.gas("g2", r#"{"lel":60.0}"#).await;
    let raised = sink.wait_for("alarm.raised", "gas-high", "g2").await.json();
    assert_eq!(raised["alarm"]["class"], "alarm");
    assert_eq!(raised["alarm"]["priority"], "critical");
    drop(gateway);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unlatched_alarm_clears_by_itself() {
    let broker = Mosquitto::start("");
    let sink = Sink::start();
    let gateway = Gateway::prepare(broker.port, &sink.url()).start().await;
    let mut device = Publisher::start(broker.port, "device");
    device.gas("h1", r#"{"temperature":70.0}"#).await;
    sink.wait_for("alarm.raised", "test-hot", "h1").await;
    device.gas("h1", r#"{"temperature":30.0}"#).await;
    sink.wait_for("alarm.cleared", "test-hot", "h1").await;
    let active = gateway.alarms("state=active").await;
    assert!(active.is_empty(), "{active:?}");
}

/// Silence counts once the gateway hears the broker, and ends with the device's next word.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_falls_silent_is_told_of_until_it_speaks() {
    let mut broker = Mosquitto::start("");
    let sink = Sink::start();
    let gateway = Gateway::prepare(broker.port, &sink.url());
    write(
        &gateway.folder().join("rules/silent.toml"),
        "[[rule]]\nid = \"silent\"\non = \"gas_detector\"\nabsent = \"1s\"\nclass = \"fault\"\n\
         priority = \"high\"\ntitle = { zh = \"失联\", en = \"Silent\" }\n",
    );
    let mut gateway = gateway.start().await;
    let mut device = Publisher::start(broker.port, "device");
    device.gas("q1", r#"{"lel":3.0}"#).await;
    sink.wait_for("alarm.raised", "silent", "q1").await;
    broker.restart();
    gateway.wait_ready().await;
    assert!(
        sink.of("alarm.cleared", "silent", "q1").is_empty(),
        "an outage is no word of the device"
    );
    device.gas("q1", r#"{"lel":3.0}"#).await;
    sink.wait_for("alarm.cleared", "silent", "q1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_restart_in_mid_stream_loses_nothing() {
    const MESSAGES: usize = 400;
    let mut broker = Mosquitto::start(KEEPING);
    let sink = Sink::start();
    let mut gateway = Gateway::prepare(broker.port, &sink.url()).start().await;
    let mut device = Publisher::start(broker.port, "device");
    for number in 0..MESSAGES {
        if number == MESSAGES / 2 {
            sink.wait_for("alarm.raised", "test-high", "b0").await;
            broker.restart();
        }
        device.gas(&format!("b{number}"), r#"{"lel":55.0}"#).await;
    }
    device.flush().await;
    gateway.wait_ready().await;
    eventually("every message raised its alarm", PATIENCE, async || {
        (gateway.alarms("state=active").await.len() == MESSAGES).then_some(())
    })
    .await;
    eventually("every alarm was delivered", PATIENCE, async || {
        (sink.delivered().len() == MESSAGES).then_some(())
    })
    .await;
    sink.assert_all_signed();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn not_ready_while_the_broker_is_away() {
    let mut broker = Mosquitto::start("");
    let sink = Sink::start();
    let mut gateway = Gateway::prepare(broker.port, &sink.url()).start().await;
    broker.stop();
    let url = gateway.url("/-/ready");
    eventually("not ready without its broker", PATIENCE, async || {
        (http::get(&url).await.status == 503).then_some(())
    })
    .await;
    assert_eq!(
        http::get(&gateway.url("/-/healthy")).await.status,
        200,
        "alive all the same"
    );
    assert_eq!(gateway.metric("ninewatch_mqtt_connected", &[]).await, 0);
    broker.resume();
    gateway.wait_ready().await;
    assert_eq!(gateway.metric("ninewatch_mqtt_connected", &[]).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_that_fails_or_vanishes_gets_everything_in_the_end() {
    let broker = Mosquitto::start("");
    let mut sink = Sink::start();
    let gateway = Gateway::prepare(broker.port, &sink.url()).start().await;
    let mut device = Publisher::start(broker.port, "device");

    sink.set(Mood::Refuse(500));
    device.gas("s1", r#"{"lel":55.0}"#).await;
    eventually("a refused message is tried again", PATIENCE, async || {
        (sink.count() >= 2).then_some(())
    })
    .await;
    sink.down().await;
    device.gas("s2", r#"{"lel":55.0}"#).await;
    eventually("both notices wait", PATIENCE, async || {
        (gateway.metric("ninewatch_notices_pending", &[]).await >= 2).then_some(())
    })
    .await;
    sink.set(Mood::Accept);
    sink.up();
    let first = sink.wait_for("alarm.raised", "test-high", "s1").await;
    sink.wait_for("alarm.raised", "test-high", "s2").await;

    let tries: Vec<Attempt> = sink
        .attempts()
        .into_iter()
        .filter(|attempt| attempt.id == first.id)
        .collect();
    assert!(tries.len() >= 3, "{} attempts under one id", tries.len());
    assert!(
        tries.iter().all(|attempt| attempt.body == first.body),
        "every retry sends the same bytes"
    );
    assert!(
        gateway
            .metric("ninewatch_deliveries_total", &[r#"target="duty""#])
            .await
            >= 4
    );
    eventually("nothing waits any more", PATIENCE, async || {
        (gateway.metric("ninewatch_notices_pending", &[]).await == 0).then_some(())
    })
    .await;
    sink.assert_all_signed();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_keeps_a_standing_alarm_and_announces_it_once() {
    let broker = Mosquitto::start("");
    let sink = Sink::start();
    let mut gateway = Gateway::prepare(broker.port, &sink.url()).start().await;
    let mut device = Publisher::start(broker.port, "device");
    device.gas("r1", r#"{"lel":55.0}"#).await;
    let raised = sink.wait_for("alarm.raised", "test-high", "r1").await.json();
    let alarm = text(&raised["alarm"]["id"]);
    gateway.act(&alarm, "acknowledge", "ops").await;
    sink.wait_for("alarm.acknowledged", "test-high", "r1").await;

    let status = gateway.terminate().await;
    assert!(status.success(), "SIGTERM ends with 0: {status}");
    let mut gateway = gateway.start().await;
    let standing = gateway.alarms("state=active").await;
    assert_eq!(standing.len(), 1, "{standing:?}");
    assert_eq!(standing[0]["id"], json!(alarm));
    assert_eq!(standing[0]["state"], "active_acknowledged");

    device.gas("r1", r#"{"lel":56.0}"#).await;
    device.gas("r1", r#"{"lel":2.0}"#).await;
    sink.wait_for("alarm.recovered", "test-high", "r1").await;
    let reset = gateway.act(&alarm, "reset", "ops").await;
    assert!(
        (200..300).contains(&reset.status),
        "reset: {} {}",
        reset.status,
        reset.text
    );
    sink.wait_for("alarm.cleared", "test-high", "r1").await;
    for event in ["raised", "acknowledged", "recovered", "cleared"] {
        assert_eq!(
            sink.of(&format!("alarm.{event}"), "test-high", "r1").len(),
            1,
            "alarm.{event}"
        );
    }
    assert!(gateway.terminate().await.success());
}

/// Gateway time goes on where it stopped: a delay that was running at an idle stop has not run out meanwhile.
#[tokio::test]
async fn an_idle_stop_keeps_gateway_time() {
    let broker = Mosquitto::start("");
    let sink = Sink::start();
    let mut gateway = Gateway::prepare(broker.port, &sink.url())
        .with_rules_edited("keep_for = \"200ms\"", "keep_for = \"1h\"")
        .start()
        .await;
    let mut device = Publisher::start(broker.port, "device");
    device.gas("r3", r#"{"lel":55.0}"#).await;
    sink.wait_for("alarm.raised", "test-high", "r3").await;
    device.gas("r3", r#"{"lel":2.0}"#).await;
    gateway.wait_acknowledged(2).await;
    assert!(gateway.terminate().await.success());

    let mut gateway = gateway.start().await;
    device.gas("r3", r#"{"lel":2.0}"#).await;
    gateway.wait_acknowledged(1).await;
    let standing = gateway.alarms("state=active").await;
    assert_eq!(standing[0]["state"], "active_unacknowledged", "{standing:?}");
    assert!(gateway.terminate().await.success());
    let store = rusqlite::Connection::open(gateway.folder().join("data/ninewatch.db")).unwrap();
    let (wall, ticks): (i64, i64) = store
        .query_row("SELECT wall_ms, ticks FROM checkpoint", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    assert!(
        wall > 1_700_000_000_000,
        "the checkpoint says when it was made: {wall}"
    );
    assert!(ticks < 3_600_000, "and gateway time has not jumped: {ticks}");
}

/// What was on its way to recovery when the process stopped goes on after the start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recovery_goes_on_after_a_restart() {
    let broker = Mosquitto::start("");
    let sink = Sink::start();
    let mut gateway = Gateway::prepare(broker.port, &sink.url());
    let rules = support::gateway::TEST_RULES.replace("keep_for = \"200ms\"", "keep_for = \"3s\"");
    write(&gateway.folder().join("rules/test.toml"), &rules);
    gateway = gateway.start().await;
    let mut device = Publisher::start(broker.port, "device");
    device.gas("k1", r#"{"lel":55.0}"#).await;
    sink.wait_for("alarm.raised", "test-high", "k1").await;
    device.gas("k1", r#"{"lel":2.0}"#).await;
    gateway.wait_acknowledged(2).await;
    gateway.kill();
    let gateway = gateway.start().await;
    sink.wait_for("alarm.recovered", "test-high", "k1").await;
    assert_eq!(sink.of("alarm.raised", "test-high", "k1").len(), 1);
    drop(gateway);
}

/// Checks CONTRACT's webhook body field by field; gives the alarm's id.
fn check_raised(raised: &Attempt, gateway: &Gateway) -> String {
    assert_eq!(raised.flaw, None);
    assert!(raised.headers["content-type"].starts_with("application/json"));
    let body = raised.json();
    assert_eq!(body["id"], json!(raised.id), "webhook-id is the message's id");
    assert_eq!(body["type"], "alarm.raised");
    assert!(is_instant(&body["at"]), "{body}");
    assert_eq!(body["gateway"], "test-gateway");
    assert_eq!(body["level"], 1);
    let alarm = &body["alarm"];
    assert_eq!(alarm["rule"], "test-high");
    assert_eq!(alarm["class"], "alarm");
    assert_eq!(alarm["priority"], "critical");
    assert_eq!(alarm["state"], "active_unacknowledged");
    assert_eq!(alarm["title"], json!({"zh": "测试高报", "en": "Test high"}));
    let venue = json!({"id": "v1", "name": "示例餐馆", "kind": "restaurant", "address": "示例路 1 号"});
    assert_eq!(alarm["venue"], venue);
    assert_eq!(
        alarm["device"],
        json!({"id": "g1", "kind": "gas_detector", "name": "厨房"})
    );
    assert_eq!(
        alarm["values"],
        json!({"lel": 53.2}),
        "the points that the rule reads"
    );
    assert!(is_instant(&alarm["raised_at"]), "{alarm}");
    assert!(alarm["first_out"].is_boolean(), "{alarm}");
    assert_eq!(alarm["late"], false);
    assert_eq!(alarm["latched"], true);
    let id = text(&alarm["id"]);
    assert_eq!(id.len(), 26, "{id}");
    let ack_url = text(&body["ack_url"]);
    assert!(ack_url.contains(&id), "{ack_url}");
    assert!(ack_url.starts_with(&gateway.url("/")), "{ack_url}");
    id
}

async fn check_listed(gateway: &Gateway, alarm: &str) {
    let active = gateway.alarms("state=active").await;
    let listed = active
        .iter()
        .find(|listed| listed["id"] == json!(alarm))
        .expect("the alarm is listed");
    assert_eq!(listed["rule"], "test-high");
    assert_eq!(listed["state"], "active_unacknowledged");
    assert_eq!(listed["device"]["id"], "g1");
    let one = http::get(&gateway.url(&format!("/api/v1/alarms/{alarm}"))).await;
    assert_eq!(one.status, 200, "{}", one.text);
    let missing = http::get(&gateway.url("/api/v1/alarms/01ARZ3NDEKTSV4RRFFQ69G5FAV")).await;
    assert_eq!(missing.status, 404, "{}", missing.text);
}

async fn check_counted(gateway: &Gateway) {
    gateway.wait_acknowledged(1).await;
    let metrics = gateway.metrics().await;
    let raised = sum(
        &metrics,
        "ninewatch_alarm_events_total",
        &[r#"event="raised""#, r#"class="alarm""#],
    );
    assert!(raised >= 1, "{metrics}");
    let active = sum(
        &metrics,
        "ninewatch_alarms_active",
        &[r#"class="alarm""#, r#"priority="critical""#],
    );
    assert!(active >= 1, "{metrics}");
    assert_eq!(
        sum(
            &metrics,
            "ninewatch_messages_received_total",
            &[r#"source="mqtt""#]
        ),
        1
    );
    assert_eq!(
        sum(&metrics, "ninewatch_readings_total", &[r#"kind="gas_detector""#]),
        1
    );
    assert!(sum(&metrics, "ninewatch_rule_evaluations_total", &[]) >= 1);
    assert_eq!(sum(&metrics, "ninewatch_build_info", &[]), 1);
}

async fn check_acknowledge(gateway: &Gateway, sink: &Sink, alarm: &str) {
    let answer = gateway.act(alarm, "acknowledge", "ops").await;
    assert!(
        (200..300).contains(&answer.status),
        "acknowledge: {} {}",
        answer.status,
        answer.text
    );
    let acknowledged = sink
        .wait_for("alarm.acknowledged", "test-high", "g1")
        .await
        .json();
    assert_eq!(acknowledged["alarm"]["state"], "active_acknowledged");
    assert_eq!(acknowledged["by"], "ops");
    assert_eq!(acknowledged["note"], "from a test");
    let nobody = gateway
        .act("01ARZ3NDEKTSV4RRFFQ69G5FAV", "acknowledge", "ops")
        .await;
    assert_eq!(
        nobody.status, 404,
        "an alarm that does not exist: {}",
        nobody.text
    );
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("not a text: {value}"))
        .to_owned()
}

/// `2026-01-01T00:00:00.000Z`.
fn is_instant(value: &Value) -> bool {
    value
        .as_str()
        .is_some_and(|text| text.len() == 24 && text.ends_with('Z') && text.as_bytes()[10] == b'T')
}
