//! PostgreSQL beside the whole gateway: what mosquitto delivers and the gateway decides stands in the tables and views.

#![cfg(test)]

mod support;

use support::gateway::Gateway;
use support::mosquitto::Mosquitto;
use support::postgres::Postgres;
use support::publisher::Publisher;
use support::sink::Sink;
use support::{PATIENCE, eventually};

fn configured(broker: &Mosquitto, sink: &Sink, section: &str) -> Gateway {
    let section = format!("[postgres]\n{section}\n\n[http]");
    Gateway::prepare(broker.port, &sink.url()).edited("[http]", &section)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alarm_arrives_in_postgresql() {
    let broker = Mosquitto::start("");
    let sink = Sink::start();
    let server = Postgres::start("");
    let url = format!("url = \"{}\"", server.url());
    let gateway = configured(&broker, &sink, &url).start().await;
    let mut device = Publisher::start(broker.port, "device");
    device.gas("g1", r#"{"lel":53.2,"temperature":21.4}"#).await;
    sink.wait_for("alarm.raised", "test-high", "g1").await;
    let current = "SELECT gateway, rule, class, venue_name, device_name, title_en FROM current_alarms";
    let wanted = "test-gateway|test-high|alarm|示例餐馆|厨房|Test high".to_owned();
    eventually("the alarm is in PostgreSQL", PATIENCE, async || {
        server.count("current_alarms")?;
        server.rows(current).contains(&wanted).then_some(())
    })
    .await;
    let metrics = gateway.metrics().await;
    assert!(metrics.contains("ninewatch_replication_connected 1"), "{metrics}");
    assert!(
        metrics.contains("ninewatch_replication_rows_total{table=\"event\"}"),
        "{metrics}"
    );
}

/// With `durability = "replicated"` the broker gets its acknowledgement once PostgreSQL is back, and the officer is told
/// at once all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledgements_wait_for_postgresql_and_officers_do_not() {
    let broker = Mosquitto::start("");
    let sink = Sink::start();
    let mut server = Postgres::start("");
    let section = format!("url = \"{}\"\ndurability = \"replicated\"", server.url());
    let gateway = configured(&broker, &sink, &section).start().await;
    let acknowledged = "ninewatch_messages_acknowledged_total";
    let mut device = Publisher::start(broker.port, "device");
    device.gas("g1", r#"{"lel":1.0}"#).await;
    gateway.wait_acknowledged(1).await;
    server.stop();
    device.gas("g1", r#"{"lel":53.2}"#).await;
    sink.wait_for("alarm.raised", "test-high", "g1").await;
    let ready = gateway.url("/-/ready");
    eventually("it is not ready", PATIENCE, async || {
        let answer = support::http::try_get(&ready).await?;
        (answer.status == 503 && answer.text.contains("PostgreSQL")).then_some(())
    })
    .await;
    assert_eq!(gateway.metric(acknowledged, &[]).await, 1);
    server.resume();
    gateway.wait_acknowledged(2).await;
    assert_eq!(server.count("current_alarms"), Some(1));
}
