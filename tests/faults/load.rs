//! More than there should be: bursts, a backlog of hours, ten times the load within little memory, a reload at every
//! moment.

use std::fs;
use std::time::Duration;

use serde_json::json;
use tokio::time::interval;

use crate::support::gateway::{Gateway, TEST_RULES, signal, write};
use crate::support::ledger::{Ledger, publish, publish_padded};
use crate::support::mosquitto::Mosquitto;
use crate::support::publisher::Publisher;
use crate::support::sink::Sink;
use crate::support::{http, run_installed};
use crate::{BROKER, flowing, scale, under_stream};

/// A power cut that ends: every device of a district speaks at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_messages_at_once() {
    let mut ledger = Ledger::of("1000 messages at once");
    let broker = Mosquitto::start(BROKER);
    let sink = Sink::start();
    let mut gateway = Gateway::prepare(broker.port, &sink.url()).start().await;
    let mut devices = Publisher::start(broker.port, "devices");
    for _ in 0..scale("NINEWATCH_BURSTS", 3) {
        for _ in 0..1_000 {
            publish(&mut devices).await;
        }
        ledger.inject();
        ledger
            .recovering(gateway.wait_acknowledged(devices.published()))
            .await;
    }
    ledger.settle(&mut gateway, &devices, &[&sink]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_of_two_hours() {
    const MESSAGES: u64 = 2 * 3_600;
    let mut ledger = Ledger::of("backlog of 2 h at 1 message/s");
    let broker = Mosquitto::start(BROKER);
    let sink = Sink::start();
    let mut gateway = Gateway::prepare(broker.port, &sink.url()).start().await;
    let status = gateway.terminate().await;
    assert!(status.success(), "SIGTERM ends with 0: {status}");
    let mut devices = Publisher::start(broker.port, "devices");
    for _ in 0..MESSAGES {
        publish(&mut devices).await;
    }
    devices.flush().await;
    ledger.inject();
    gateway.launch();
    ledger
        .recovering(async {
            gateway.wait_ready().await;
            gateway.wait_acknowledged(MESSAGES).await;
        })
        .await;
    ledger.settle(&mut gateway, &devices, &[&sink]).await;
}

/// What waits is more than the process may have: it takes no more than it can commit, and the broker keeps the rest.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_times_the_load_in_little_memory() {
    const LIMIT_MIB: u64 = 80;
    run_installed("prlimit", "util-linux", &["--version"]);
    let messages = u64::from(scale("NINEWATCH_LOAD", 13_000));
    let mut ledger = Ledger::of("10 times the load, memory limited");
    let broker = Mosquitto::start(BROKER);
    let sink = Sink::start();
    let limit = format!("--data={}", LIMIT_MIB << 20);
    // Each message is of a device of its own, and nobody registered them.
    let mut gateway = Gateway::prepare(broker.port, &sink.url())
        .edited("[gateway]\n", "[gateway]\nmax_unregistered = 100000\n")
        .under(&["prlimit", &limit])
        .start()
        .await;
    let padding = "x".repeat(8 * 1024);
    assert!(
        messages * (padding.len() as u64) > LIMIT_MIB << 20,
        "more than fits"
    );
    gateway.kill();
    let mut devices = Publisher::start(broker.port, "devices");
    for _ in 0..messages {
        publish_padded(&mut devices, &padding).await;
    }
    ledger.inject();
    gateway.launch();
    ledger
        .recovering(async {
            gateway.wait_ready().await;
            gateway.wait_acknowledged(messages).await;
        })
        .await;
    let status = fs::read_to_string(format!("/proc/{}/status", gateway.pid())).expect("it still runs");
    let peak = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap_or_default();
    eprintln!("the gateway's most memory: {peak}");
    ledger.settle(&mut gateway, &devices, &[&sink]).await;
}

/// The rules change ten times a second while messages come.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reloads_under_load() {
    let mut ledger = Ledger::of("reload every 100 ms under load");
    let broker = Mosquitto::start(BROKER);
    let sink = Sink::start();
    let mut gateway = Gateway::prepare(broker.port, &sink.url()).start().await;
    let mut devices = Publisher::start(broker.port, "devices");
    let rules = gateway.folder().join("rules/test.toml");
    let new = gateway.folder().join("new");
    under_stream(&mut devices, async {
        flowing(&gateway, 100).await;
        let mut pace = interval(Duration::from_millis(100));
        for time in 0..scale("NINEWATCH_RELOADS", 30) {
            pace.tick().await;
            // Another condition each time, and not of the rule that the ledger counts; never a file by half.
            let text = TEST_RULES.replace(
                "temperature >= 60.0",
                &format!("temperature >= {}.0", 60 + time % 5),
            );
            write(&new, &text);
            fs::rename(&new, &rules).expect("a file in the gateway's folder");
            signal(gateway.pid(), "HUP");
            ledger.inject();
        }
        let url = gateway.url("/-/reload");
        let answer = ledger.recovering(http::post(&url, &json!({}))).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    })
    .await;
    ledger.settle(&mut gateway, &devices, &[&sink]).await;
}
