//! Payloads and topics that no device should send: each is counted by reason and acknowledged, none stops an alarm.

#![cfg(test)]

mod support;

use support::gateway::Gateway;
use support::mosquitto::Mosquitto;
use support::publisher::Publisher;
use support::sink::Sink;
use support::{PATIENCE, eventually};

/// What is sent, and the reason it must be counted under (`None`: it may be usable).
struct Poison {
    name: &'static str,
    topic: &'static str,
    payload: Vec<u8>,
    reason: Option<&'static str>,
}

const TELEMETRY: &str = "ninewatch/v1/gas_detector/p1/telemetry";

fn poison(name: &'static str, payload: impl Into<Vec<u8>>, reason: &'static str) -> Poison {
    Poison {
        name,
        topic: TELEMETRY,
        payload: payload.into(),
        reason: Some(reason),
    }
}

fn stray(name: &'static str, topic: &'static str, reason: Option<&'static str>) -> Poison {
    Poison {
        name,
        topic,
        payload: br#"{"lel":5.0}"#.to_vec(),
        reason,
    }
}

fn poisons() -> Vec<Poison> {
    let deep = |open: &str, close: &str| format!("{}1{}", open.repeat(10_000), close.repeat(10_000));
    let megabyte = format!(r#"{{"lel":60.0,"pad":"{}"}}"#, "x".repeat(1024 * 1024));
    vec![
        poison("truncated", r#"{"lel":60.0,"temp"#, "invalid_json"),
        poison("truncated number", r#"{"lel":60."#, "invalid_json"),
        poison("two documents", r#"{"lel":60.0}{"lel":60.0}"#, "invalid_json"),
        poison("one megabyte", megabyte, "too_large"),
        poison("deep arrays", deep("[", "]"), "invalid_json"),
        poison("deep objects", deep(r#"{"a":"#, "}"), "invalid_json"),
        poison(
            "deep inside an unknown member",
            format!(r#"{{"x":{}}}"#, deep("[", "]")),
            "invalid_json",
        ),
        poison("unclosed nesting", "[".repeat(10_000), "invalid_json"),
        poison("NaN", r#"{"lel":NaN}"#, "invalid_json"),
        poison("infinity", r#"{"lel":Infinity}"#, "invalid_json"),
        poison("a number beyond f64", r#"{"lel":1e999}"#, "invalid_json"),
        poison("a word for a number", r#"{"lel":"high"}"#, "bad_value"),
        poison("a list for a number", r#"{"lel":[60.0]}"#, "bad_value"),
        poison("an object for a number", r#"{"lel":{"value":60.0}}"#, "bad_value"),
        poison("a bool for a number", r#"{"lel":true}"#, "bad_value"),
        poison(
            "a word the enum does not have",
            r#"{"state":"exploded"}"#,
            "bad_value",
        ),
        poison("below its range", r#"{"lel":-1e6}"#, "out_of_range"),
        poison("above its range", r#"{"lel":1e300}"#, "out_of_range"),
        poison(
            "invalid UTF-8",
            b"{\"lel\":60.0,\"state\":\"\xff\xfe\"}".as_slice(),
            "invalid_utf8",
        ),
        poison(
            "duplicate member",
            r#"{"lel":10.0,"lel":60.0}"#,
            "duplicate_member",
        ),
        poison("empty", "", "invalid_json"),
        poison("only a NUL", "\0", "invalid_json"),
        stray(
            "unknown kind",
            "ninewatch/v1/unicorn/u1/telemetry",
            Some("unknown_kind"),
        ),
        stray(
            "unknown topic",
            "ninewatch/v1/gas_detector/p1/nonsense",
            Some("unknown_topic"),
        ),
        stray(
            "odd characters",
            "ninewatch/v1/gas_detector/a b\"\\{}\u{1f525}'<script>/telemetry",
            None,
        ),
        stray("empty levels", "ninewatch//gas_detector//telemetry", None),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn poison_is_counted_acknowledged_and_stalls_nothing() {
    let broker = Mosquitto::start("");
    let sink = Sink::start();
    let gateway = Gateway::prepare(broker.port, &sink.url())
        .edited("client_id", "max_packet_size = 262144\nclient_id")
        .start()
        .await;
    let mut device = Publisher::start(broker.port, "device");

    device.gas("before", r#"{"lel":55.0}"#).await;
    for (number, poison) in poisons().into_iter().enumerate() {
        let counted = match poison.reason {
            Some(reason) => Some((reason, dead_letters(&gateway, reason).await)),
            None => None,
        };
        device.publish(poison.topic, poison.payload).await;
        device.gas(&format!("after-{number}"), r#"{"lel":55.0}"#).await;
        sink.wait_for("alarm.raised", "test-high", &format!("after-{number}"))
            .await;
        if let Some((reason, before)) = counted {
            let after = dead_letters(&gateway, reason).await;
            assert_eq!(
                after - before,
                1,
                "{}: one dead letter more for {reason:?}",
                poison.name
            );
        }
    }
    device.gas("last", r#"{"lel":55.0}"#).await;
    sink.wait_for("alarm.raised", "test-high", "before").await;
    sink.wait_for("alarm.raised", "test-high", "last").await;
    assert!(
        sink.of("alarm.raised", "test-high", "p1").is_empty(),
        "poison raises no alarm"
    );
    device.flush().await;
    gateway.wait_acknowledged(device.published()).await;
    sink.assert_all_signed();
}

/// One bad point must not hide a dangerous one beside it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_temperature_does_not_hide_the_gas() {
    let broker = Mosquitto::start("");
    let sink = Sink::start();
    let gateway = Gateway::prepare(broker.port, &sink.url()).start().await;
    let mut device = Publisher::start(broker.port, "device");
    for (number, payload) in [
        r#"{"lel":60.0,"temperature":"hot"}"#,
        r#"{"temperature":"hot","lel":60.0}"#,
        r#"{"temperature":{"a":[1,2]},"lel":60.0}"#,
        r#"{"temperature":99999.0,"lel":60.0}"#,
        r#"{"lel":60.0,"unknown":{"deep":[1,{"x":2}]}}"#,
    ]
    .iter()
    .enumerate()
    {
        let name = format!("t{number}");
        device.gas(&name, payload).await;
        let raised = sink.wait_for("alarm.raised", "test-high", &name).await.json();
        assert_eq!(raised["alarm"]["values"]["lel"], 60.0, "{payload}");
        assert!(
            raised["alarm"]["values"]["temperature"].is_null(),
            "{payload}: {raised}"
        );
    }
    assert_eq!(dead_letters(&gateway, "bad_value").await, 3);
    assert_eq!(dead_letters(&gateway, "out_of_range").await, 1);
}

/// A poison message that comes back after a crash (it was not acknowledged) must not become a crash loop.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn poison_that_is_redelivered_after_a_kill_does_no_harm() {
    let broker = Mosquitto::start("");
    let sink = Sink::start();
    let mut gateway = Gateway::prepare(broker.port, &sink.url()).start().await;
    let mut device = Publisher::start(broker.port, "device");
    gateway.kill();
    for poison in poisons() {
        device.publish(poison.topic, poison.payload).await;
    }
    device.gas("after", r#"{"lel":55.0}"#).await;
    device.flush().await;
    let mut gateway = gateway.start().await;
    sink.wait_for("alarm.raised", "test-high", "after").await;
    gateway.kill();
    let gateway = gateway.start().await;
    device.gas("again", r#"{"lel":55.0}"#).await;
    sink.wait_for("alarm.raised", "test-high", "again").await;
    eventually("every message received is acknowledged", PATIENCE, async || {
        let received = gateway.metric("ninewatch_messages_received_total", &[]).await;
        let acknowledged = gateway.metric("ninewatch_messages_acknowledged_total", &[]).await;
        (received == acknowledged).then_some(())
    })
    .await;
}

async fn dead_letters(gateway: &Gateway, reason: &str) -> u64 {
    gateway
        .metric("ninewatch_dead_letters_total", &[&format!("reason=\"{reason}\"")])
        .await
}
