//! The whole gateway on a disk that runs full or fails: what is acknowledged is kept, alarms are delivered, and when nothing
//! can be kept the officers hear of that at once, past the store.

#![cfg(test)]

mod support;

use std::fs;

use support::gateway::Gateway;
use support::mosquitto::Mosquitto;
use support::publisher::Publisher;
use support::sink::{Mood, Sink};
use support::strace::{EIO, Strace};
use support::tmpfs::Tmpfs;
use support::{PATIENCE, eventually, http, repository};

const BROKER: &str = "max_inflight_messages 1000";

/// A gateway whose rules tell of itself, with its data in `data`.
fn gateway(broker: &Mosquitto, sink: &Sink, data: &str) -> Gateway {
    let gateway = Gateway::prepare(broker.port, &sink.url());
    fs::copy(
        repository("config/rules/gateway.toml"),
        gateway.folder().join("rules/gateway.toml"),
    )
    .expect("the shipped rules");
    let store = format!("data_dir = \"{data}\"\n\n[store]\ndisk_reserve = \"4MB\"");
    gateway.edited("data_dir = \"data\"", &store)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_runs_full_sheds_telemetry_delivers_alarms_and_recovers() {
    let disk = Tmpfs::mount(100);
    let broker = Mosquitto::start(BROKER);
    let sink = Sink::start();
    let gateway = gateway(&broker, &sink, &disk.path().display().to_string());
    let gateway = gateway.start().await;
    let ballast = disk.path().join("ninewatch.ballast");
    eventually("space is kept", PATIENCE, async || ballast.exists().then_some(())).await;
    let mut devices = Publisher::start(broker.port, "devices");
    disk.fill();
    sink.wait_for("alarm.raised", "disk-low", "test-gateway").await;
    for number in 0..500 {
        devices
            .gas("quiet", &format!(r#"{{"lel":{}.0}}"#, number % 10))
            .await;
    }
    devices.gas("g1", r#"{"lel":60.0}"#).await;
    devices.flush().await;
    gateway.wait_acknowledged(501).await;
    sink.wait_for("alarm.raised", "test-high", "g1").await;
    assert_eq!(http::get(&gateway.url("/-/ready")).await.status, 200);
    disk.empty();
    sink.wait_for("alarm.recovered", "disk-low", "test-gateway").await;
    assert_eq!(gateway.metric("ninewatch_store_shedding", &[]).await, 0);
    assert_eq!(gateway.metric("ninewatch_store_errors_total", &[]).await, 0);
    assert!(ballast.exists());
    sink.assert_all_signed();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_disk_fails_to_sync_nothing_is_acknowledged_and_the_officers_are_told_past_the_store() {
    let broker = Mosquitto::start(BROKER);
    let sink = Sink::start();
    let mut gateway = gateway(&broker, &sink, "data").start().await;
    let mut devices = Publisher::start(broker.port, "devices");
    devices.gas("g1", r#"{"lel":1.0}"#).await;
    devices.flush().await;
    gateway.wait_acknowledged(1).await;
    let failing = Strace::attach(gateway.pid(), EIO).await;
    devices.gas("g2", r#"{"lel":60.0}"#).await;
    let told = sink
        .wait_for("alarm.raised", "store-failed", "test-gateway")
        .await;
    assert_eq!(told.json()["alarm"]["priority"], "critical");
    let ready = http::get(&gateway.url("/-/ready")).await;
    assert_eq!(ready.status, 503);
    assert!(ready.text.contains("the disk reports errors"), "{}", ready.text);
    assert_eq!(
        gateway.metric("ninewatch_messages_acknowledged_total", &[]).await,
        1
    );
    assert!(
        gateway.alarms("state=all").await.is_empty(),
        "nothing that failed is shown"
    );
    drop(failing);
    sink.wait_for("alarm.recovered", "store-failed", "test-gateway")
        .await;
    sink.wait_for("alarm.raised", "test-high", "g2").await;
    gateway.wait_acknowledged(2).await;
    assert_eq!(http::get(&gateway.url("/-/ready")).await.status, 200);
    sink.assert_all_signed();

    let failing = Strace::attach(gateway.pid(), EIO).await;
    sink.set(Mood::Hang);
    devices.gas("g3", r#"{"lel":60.0}"#).await;
    eventually("commits fail", PATIENCE, async || {
        (http::get(&gateway.url("/-/ready")).await.status == 503).then_some(())
    })
    .await;
    // CONTRACT's ten seconds hold with a failing disk and a hanging webhook too.
    let status = gateway.terminate().await;
    assert!(
        !status.success(),
        "a stop that lost its commits says so: {status}"
    );
    drop(failing);
    sink.set(Mood::Accept);
    let gateway = gateway.start().await;
    sink.wait_for("alarm.raised", "test-high", "g3").await;
    gateway.wait_acknowledged(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_database_is_set_aside_and_told_of() {
    let broker = Mosquitto::start(BROKER);
    let sink = Sink::start();
    let mut gateway = gateway(&broker, &sink, "data").start().await;
    assert!(gateway.terminate().await.success());
    let database = gateway.folder().join("data/ninewatch.db");
    fs::write(&database, vec![0xA5; 40_960]).expect("it can be written");
    let gateway = gateway.start().await;
    sink.wait_for("alarm.raised", "history-lost", "test-gateway")
        .await;
    assert!(gateway.log().contains("the database is damaged"));
}
