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

/// The writer waits for the disk and can tell nobody: others see that it does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_does_not_end_is_told_of_while_it_hangs() {
    let broker = Mosquitto::start(BROKER);
    let sink = Sink::start();
    let gateway = gateway(&broker, &sink, "data").start().await;
    let mut devices = Publisher::start(broker.port, "devices");
    devices.gas("g1", r#"{"lel":1.0}"#).await;
    gateway.wait_acknowledged(1).await;
    let hanging = "inject=fdatasync,fsync:delay_enter=15000000:when=1";
    let hanging = Strace::attach(gateway.pid(), hanging).await;
    devices.gas("g2", r#"{"lel":60.0}"#).await;
    let told = sink
        .wait_for("alarm.raised", "store-failed", "test-gateway")
        .await;
    assert_eq!(
        told.json()["alarm"]["values"]["trouble"],
        "the disk does not answer"
    );
    let ready = http::get(&gateway.url("/-/ready")).await;
    assert_eq!(ready.status, 503);
    assert!(ready.text.contains("the disk does not answer"), "{}", ready.text);
    let acknowledged = gateway.metric("ninewatch_messages_acknowledged_total", &[]).await;
    assert_eq!(acknowledged, 1, "it still hangs");
    sink.wait_for("alarm.raised", "test-high", "g2").await;
    gateway.wait_acknowledged(2).await;
    sink.wait_for("alarm.recovered", "store-failed", "test-gateway")
        .await;
    assert_eq!(http::get(&gateway.url("/-/ready")).await.status, 200);
    drop(hanging);
}

/// The log takes commits, and the database, into which it is moved beside them, fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_beside_the_commits_ends_nothing_and_is_told_and_counted() {
    let disk = Tmpfs::mount(40);
    let broker = Mosquitto::start(BROKER);
    let sink = Sink::start();
    let data = disk.path().display().to_string();
    // Less is free than this: room is made all the time.
    let gateway = gateway(&broker, &sink, &data).edited("\"4MB\"", "\"100MB\"");
    let gateway = gateway.start().await;
    let mut devices = Publisher::start(broker.port, "devices");
    let database = disk.path().join("ninewatch.db");
    let failing = Strace::attach_to_file(gateway.pid(), EIO, &database).await;
    eventually("it is counted", PATIENCE, async || {
        devices.gas("g1", r#"{"lel":1.0}"#).await;
        let errors = gateway.metric("ninewatch_store_errors_total", &[]).await;
        (errors > 0).then_some(())
    })
    .await;
    sink.wait_for("alarm.raised", "store-failed", "test-gateway")
        .await;
    assert_eq!(http::get(&gateway.url("/-/ready")).await.status, 503);
    drop(failing);
    devices.gas("g2", r#"{"lel":60.0}"#).await;
    sink.wait_for("alarm.raised", "test-high", "g2").await;
    sink.wait_for("alarm.recovered", "store-failed", "test-gateway")
        .await;
    devices.flush().await;
    gateway.wait_acknowledged(devices.published()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_cannot_be_opened_is_told_of_and_opened_once_it_can_be() {
    let disk = Tmpfs::mount(20);
    let broker = Mosquitto::start(BROKER);
    let sink = Sink::start();
    let gateway = gateway(&broker, &sink, &disk.path().display().to_string());
    let mut gateway = gateway.start().await;
    let ballast = disk.path().join("ninewatch.ballast");
    eventually("space is kept", PATIENCE, async || ballast.exists().then_some(())).await;
    assert!(gateway.terminate().await.success());
    fs::remove_file(&ballast).expect("it is there");
    disk.fill();
    gateway.launch();
    sink.wait_for("alarm.raised", "store-failed", "test-gateway")
        .await;
    assert_eq!(gateway.ended(), None, "it goes on trying");
    disk.empty();
    gateway.wait_ready().await;
    sink.wait_for("alarm.recovered", "store-failed", "test-gateway")
        .await;
    sink.assert_all_signed();
}

/// A start that would fail for ever: the next one sets the store aside, and somebody watches again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_that_cannot_be_restored_costs_one_start() {
    let broker = Mosquitto::start(BROKER);
    let sink = Sink::start();
    let mut gateway = gateway(&broker, &sink, "data").start().await;
    let mut devices = Publisher::start(broker.port, "devices");
    devices.gas("g1", r#"{"lel":1.0}"#).await;
    gateway.wait_acknowledged(1).await;
    assert!(gateway.terminate().await.success());
    let database = gateway.folder().join("data/ninewatch.db");
    let beside = rusqlite::Connection::open(database).expect("it opens");
    // Those of today are in the configuration; these are not.
    let deleted = beside.execute("DELETE FROM definitions", []).expect("they go");
    assert_eq!(deleted, 1);
    drop(beside);
    let mut gateway = gateway.with_rules_edited("lel >= 50.0", "lel >= 45.0");
    gateway.launch();
    let status = gateway.wait_exit(PATIENCE).await;
    assert!(!status.success(), "a state that would be a guess is not used");
    assert!(gateway.log().contains("cannot restore the engine"), "it says why");
    let gateway = gateway.start().await;
    sink.wait_for("alarm.raised", "history-lost", "test-gateway")
        .await;
    devices.gas("g1", r#"{"lel":60.0}"#).await;
    sink.wait_for("alarm.raised", "test-high", "g1").await;
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
