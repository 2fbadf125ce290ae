//! The wall clock jumps an hour, in a running gateway and across a restart, and a night with a change to summer time
//! begins: no timer fires or is held by it, no alarm is lost or doubled. libfaketime stands for the clock.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::gateway::{Gateway, write};
use crate::support::ledger::{Ledger, publish};
use crate::support::mosquitto::Mosquitto;
use crate::support::publisher::Publisher;
use crate::support::sink::Sink;
use crate::support::{PATIENCE, eventually};
use crate::{BROKER, flowing, under_stream};

/// Never matures within a test, but would by a jump of an hour.
const PATIENT_RULE: &str = r#"
[[rule]]
id = "test-patient"
on = "gas_detector"
when = "temperature >= 60.0"
for = "30m"
max_gap = "2h"
class = "warning"
priority = "high"
title = { zh = "测试持续", en = "Test patient" }
notify = "duty"

[[rule]]
id = "test-hot""#;

/// Offsets from the true time, in seconds.
const JUMPS: [&str; 4] = ["+3600", "+0", "-3600", "+0"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jumps_while_running() {
    let mut ledger = Ledger::of("clock jumps by an hour while running");
    let broker = Mosquitto::start(BROKER);
    let sink = Sink::start();
    let mut gateway = prepare(broker.port, &sink).start().await;
    let mut devices = Publisher::start(broker.port, "devices");
    let mut hot = Publisher::start(broker.port, "hot");
    hot.gas("patient", r#"{"temperature":70.0}"#).await;
    under_stream(&mut devices, async {
        for (jump, offset) in JUMPS.into_iter().enumerate() {
            flowing(&gateway, 50).await;
            let device = format!("hot-{jump}");
            hot.gas(&device, r#"{"temperature":70.0}"#).await;
            sink.wait_for("alarm.raised", "test-hot", &device).await;
            hot.gas(&device, r#"{"temperature":40.0}"#).await;
            // Its off-delay runs, or has just run out: a jump back may not stretch it to an hour.
            set_clock(&gateway, offset);
            ledger.inject();
            ledger
                .recovering(sink.wait_for("alarm.cleared", "test-hot", &device))
                .await;
            assert!(
                sink.of("alarm.raised", "test-patient", "patient").is_empty(),
                "half an hour has not passed"
            );
        }
    })
    .await;
    ledger.settle(&mut gateway, &devices, &[&sink]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jumps_while_stopped() {
    let mut ledger = Ledger::of("clock jumps by an hour across a kill");
    let broker = Mosquitto::start(BROKER);
    let sink = Sink::start();
    let mut gateway = prepare(broker.port, &sink).start().await;
    let mut devices = Publisher::start(broker.port, "devices");
    under_stream(&mut devices, async {
        for offset in JUMPS {
            flowing(&gateway, 50).await;
            gateway.kill();
            set_clock(&gateway, offset);
            ledger.inject();
            gateway.launch();
            ledger.recovering(gateway.wait_ready()).await;
        }
    })
    .await;
    ledger.settle(&mut gateway, &devices, &[&sink]).await;
}

/// In Berlin the hour from two to three is left out on that day: what begins at three begins one second after 01:59:59.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schedule_on_the_day_of_summer_time() {
    const SPRING: &str = "[[schedule]]\nname = \"early\"\ntime_zone = \"Europe/Berlin\"\n\
         weekly = [{ days = \"mon-sun\", from = \"03:00\", to = \"05:00\" }]\n";
    let mut ledger = Ledger::of("change to summer time at a schedule's begin");
    let broker = Mosquitto::start(BROKER);
    let sink = Sink::start();
    let mut gateway = prepare(broker.port, &sink)
        .with_rules_edited("id = \"test-high\"", "id = \"test-high\"\nschedule = \"early\"");
    let rules = gateway.folder().join("rules/schedule.toml");
    write(&rules, SPRING);
    gateway.set_environment("TZ", "Europe/Berlin");
    gateway.set_environment("FAKETIME", "@2026-03-29 01:59:50");
    let mut gateway = gateway.start().await;
    let mut devices = Publisher::start(broker.port, "devices");
    for _ in 0..30 {
        publish(&mut devices).await;
    }
    devices.flush().await;
    ledger.inject();
    let alarms = eventually("the schedule begins", PATIENCE, async || {
        let alarms = gateway.alarms("state=all").await;
        (!alarms.is_empty()).then_some(alarms)
    })
    .await;
    for alarm in alarms {
        let raised_at = alarm["raised_at"].as_str().expect("an alarm has its time");
        assert!(raised_at.starts_with("2026-03-29T01:00:0"), "{raised_at}");
    }
    ledger.settle(&mut gateway, &devices, &[&sink]).await;
}

/// A gateway whose wall clock the test sets; its monotonic clock is the true one.
fn prepare(mqtt_port: u16, sink: &Sink) -> Gateway {
    let mut gateway = Gateway::prepare(mqtt_port, &sink.url())
        .with_rules_edited("[[rule]]\nid = \"test-hot\"", PATIENT_RULE.trim_start());
    set_clock(&gateway, "+0");
    let offset = offset(&gateway).display().to_string();
    gateway.set_environment("LD_PRELOAD", library().display().to_string());
    gateway.set_environment("FAKETIME_TIMESTAMP_FILE", offset);
    gateway.set_environment("FAKETIME_NO_CACHE", "1");
    gateway.set_environment("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    gateway
}

fn set_clock(gateway: &Gateway, offset_seconds: &str) {
    let path = offset(gateway);
    let new = path.with_extension("new");
    write(&new, offset_seconds);
    // Never a file by half: each reading of the clock looks into it.
    fs::rename(&new, &path).expect("a file in the gateway's folder");
}

fn offset(gateway: &Gateway) -> PathBuf {
    gateway.folder().join("clock")
}

/// libfaketime for programs with threads. A missing one is a failure that names the package, never a skip.
fn library() -> PathBuf {
    let folders = fs::read_dir("/usr/lib").expect("a folder of libraries");
    folders
        .filter_map(Result::ok)
        .map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"))
        .chain([Path::new("/usr/lib/faketime/libfaketimeMT.so.1").to_owned()])
        .find(|library| library.exists())
        .unwrap_or_else(|| panic!("no libfaketimeMT.so.1; install it: apt-get install faketime"))
}
