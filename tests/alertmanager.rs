//! A real Alertmanager as a target of the real binary: alarms fire there for as long as they stand, through restarts of both,
//! without flapping; and the heartbeat that says that the gateway works.

#![cfg(test)]

#[path = "alertmanager/heartbeat.rs"]
mod heartbeat;
#[path = "alertmanager/many.rs"]
mod many;
#[expect(dead_code, reason = "the tests of web and notify use the rest")]
mod outward;
mod support;

use std::collections::BTreeMap;

use ninewatch::domain::alert::Labels;
use serde_json::{Value, json};

use support::alertmanager::{Alertmanager, told};
use support::gateway::{Gateway, ID};
use support::mosquitto::Mosquitto;
use support::publisher::Publisher;
use support::sink::Sink;
use support::{PATIENCE, eventually};

/// As short as they may be. An alert that was not told again for so long would be over.
const SHORT: &str = "resend = \"1s\"\nhold = \"10s\"\n";

/// More rounds of telling again than an alert would survive without.
const ROUNDS: u64 = 12;

/// A gateway that tells `alertmanager` and no other, not started.
fn gateway(broker: &Mosquitto, alertmanager: &Alertmanager) -> Gateway {
    let target = format!("kind = \"alertmanager\"\n{SHORT}");
    Gateway::prepare(broker.port, &alertmanager.url())
        .edited("data_dir = ", "public_url = \"http://gw.example\"\ndata_dir = ")
        .edited("kind = \"webhook\"\n", &target)
        .edited("secret_file = \"hook.secret\"\n", "")
}

/// Waits until so many requests that tell again what stands have been taken by now.
async fn told_again(gateway: &Gateway, rounds: u64) {
    let count = async || {
        gateway
            .metric("ninewatch_alert_resends_total", &[r#"result="delivered""#])
            .await
    };
    let before = count().await;
    eventually("what stands is told again", PATIENCE, async || {
        (count().await >= before + rounds).then_some(())
    })
    .await;
}

fn once(statuses: &[&str]) -> BTreeMap<String, usize> {
    statuses.iter().map(|status| ((*status).to_owned(), 1)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alarm_fires_for_as_long_as_it_stands_and_is_told_once() {
    let broker = Mosquitto::start("");
    let sink = Sink::start();
    let mut alertmanager = Alertmanager::start(&sink.url()).await;
    let mut gateway = gateway(&broker, &alertmanager).start().await;
    let mut device = Publisher::start(broker.port, "device");
    device.gas("g1", r#"{"lel":53.2}"#).await;
    let first = alertmanager.wait_firing("test-high", "g1").await;
    check(&first);
    told_again(&gateway, ROUNDS).await;
    assert_eq!(told(&sink, "test-high", "g1"), once(&["firing"]));

    gateway.kill();
    gateway.launch();
    gateway.wait_ready().await;
    told_again(&gateway, ROUNDS).await;
    let after_kill = alertmanager.wait_firing("test-high", "g1").await;
    assert_eq!(after_kill["startsAt"], first["startsAt"]);
    assert_eq!(after_kill["fingerprint"], first["fingerprint"]);

    // It keeps no alerts on its disk.
    alertmanager.down();
    alertmanager.up().await;
    alertmanager.wait_firing("test-high", "g1").await;

    // Recovered and latched: it stands, and so it fires.
    device.gas("g1", r#"{"lel":3.0}"#).await;
    eventually("its state is told", PATIENCE, async || {
        let alert = alertmanager.find("test-high", "g1").await?;
        (alert["annotations"]["state"] == "recovered_unacknowledged").then_some(())
    })
    .await;
    told_again(&gateway, 2).await;
    assert_eq!(told(&sink, "test-high", "g1"), once(&["firing"]));

    let alarm = gateway.alarms("state=active").await[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let reset = gateway.act(&alarm, "reset", "ops").await;
    assert!((200..300).contains(&reset.status), "reset: {}", reset.text);
    alertmanager.wait_over("test-high", "g1").await;
    // That it is over is told again for a while: nothing comes of that.
    told_again(&gateway, 3).await;
    gateway.kill();
    gateway.launch();
    gateway.wait_ready().await;
    told_again(&gateway, 3).await;
    assert!(alertmanager.firing().await.is_empty());
    assert_eq!(told(&sink, "test-high", "g1"), once(&["firing", "resolved"]));
    let failed = gateway
        .metric("ninewatch_alert_resends_total", &[r#"result="failed""#])
        .await;
    assert_eq!(failed, 0);
}

fn check(alert: &Value) {
    assert_eq!(
        alert["labels"],
        json!({
            "alertname": "test-high", "class": "alarm", "device": "g1", "gateway": ID, "kind": "gas_detector",
            "priority": "critical", "venue": "v1",
        })
    );
    let labels = Labels::from_json(&alert["labels"].to_string()).unwrap();
    assert_eq!(alert["fingerprint"], labels.fingerprint());
    let annotations = &alert["annotations"];
    assert_eq!(annotations["summary"], "示例餐馆 测试高报（厨房）");
    assert_eq!(annotations["summary_en"], "Test high: 示例餐馆, 厨房");
    assert_eq!(annotations["address"], "示例路 1 号");
    assert_eq!(annotations["values"], "lel=53.2");
    let acknowledge = annotations["acknowledge"].as_str().unwrap();
    assert!(acknowledge.starts_with("http://gw.example/a/"), "{acknowledge}");
    let generator = alert["generatorURL"].as_str().unwrap();
    assert!(
        generator.starts_with("http://gw.example/api/v1/alarms/"),
        "{generator}"
    );
}

/// An unlatched alarm that comes and goes is one alert; each life of it is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alarm_that_comes_again_fires_again() {
    let broker = Mosquitto::start("");
    let sink = Sink::start();
    let alertmanager = Alertmanager::start(&sink.url()).await;
    let gateway = gateway(&broker, &alertmanager).start().await;
    let mut device = Publisher::start(broker.port, "device");
    for times in 1..=2 {
        device.gas("h1", r#"{"temperature":70.0}"#).await;
        alertmanager.wait_firing("test-hot", "h1").await;
        let told_firing = |status: &str| told(&sink, "test-hot", "h1").get(status) == Some(&times);
        eventually("it is told", PATIENCE, async || {
            told_firing("firing").then_some(())
        })
        .await;
        device.gas("h1", r#"{"temperature":30.0}"#).await;
        alertmanager.wait_over("test-hot", "h1").await;
        eventually("its end is told", PATIENCE, async || {
            told_firing("resolved").then_some(())
        })
        .await;
    }
    told_again(&gateway, 2).await;
    let twice = BTreeMap::from([("firing".to_owned(), 2), ("resolved".to_owned(), 2)]);
    assert_eq!(told(&sink, "test-hot", "h1"), twice);
}

/// While Alertmanager is away nothing is lost, and nothing waits that is over by then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alertmanager_that_comes_back_hears_what_stands() {
    let broker = Mosquitto::start("");
    let sink = Sink::start();
    let mut alertmanager = Alertmanager::start(&sink.url()).await;
    alertmanager.down();
    let gateway = gateway(&broker, &alertmanager).start().await;
    let mut device = Publisher::start(broker.port, "device");
    device.gas("h1", r#"{"temperature":70.0}"#).await;
    device.gas("h2", r#"{"temperature":70.0}"#).await;
    let failed = [r#"target="duty""#, r#"result="failed""#];
    eventually("it cannot be told", PATIENCE, async || {
        (gateway.metric("ninewatch_deliveries_total", &failed).await > 0).then_some(())
    })
    .await;
    device.gas("h2", r#"{"temperature":30.0}"#).await;
    eventually("only one stands", PATIENCE, async || {
        (gateway.alarms("state=active").await.len() == 1).then_some(())
    })
    .await;
    alertmanager.up().await;
    alertmanager.wait_firing("test-hot", "h1").await;
    eventually("nothing is owed any more", PATIENCE, async || {
        (gateway.metric("ninewatch_notices_pending", &[]).await == 0).then_some(())
    })
    .await;
    assert_eq!(told(&sink, "test-hot", "h1"), once(&["firing"]));
    assert!(alertmanager.find("test-hot", "h2").await.is_none());
    assert!(!told(&sink, "test-hot", "h2").contains_key("firing"));
}
