//! A disk that runs full, also to the last byte, and one that fails to sync: what is acknowledged is kept, alarms are
//! delivered, and the officers hear of it past the store.

use std::os::unix::fs::symlink;

use crate::support::gateway::Gateway;
use crate::support::ledger::{Ledger, publish};
use crate::support::mosquitto::Mosquitto;
use crate::support::publisher::Publisher;
use crate::support::sink::Sink;
use crate::support::strace::{EIO, Strace};
use crate::support::tmpfs::Tmpfs;
use crate::support::{PATIENCE, eventually, http};
use crate::{BROKER, flowing, scale, under_stream};

const SOME: u64 = 100;

fn times() -> u32 {
    scale("NINEWATCH_FAULTS", 3)
}

/// A gateway with its data on `disk`, and when its reserve of space stands.
async fn on(disk: &Tmpfs, broker: &Mosquitto, sink: &Sink) -> Gateway {
    let gateway = Gateway::prepare(broker.port, &sink.url())
        .edited("[files]", "[store]\ndisk_reserve = \"4MB\"\n\n[files]");
    symlink(disk.path(), gateway.data()).expect("a link in the gateway's folder");
    let gateway = gateway.start().await;
    reserved(disk).await;
    gateway
}

async fn reserved(disk: &Tmpfs) {
    let ballast = disk.path().join("ninewatch.ballast");
    eventually("space is kept", PATIENCE, async || ballast.exists().then_some(())).await;
}

/// Waits until telemetry is shed, or is not.
async fn shedding(gateway: &Gateway, sheds: bool) {
    eventually("the disk is looked at", PATIENCE, async || {
        let shed = gateway.metric("ninewatch_store_shedding", &[]).await;
        (shed == u64::from(sheds)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_runs_full_and_has_space_again() {
    let mut ledger = Ledger::of("disk full and free again");
    let disk = Tmpfs::mount(100);
    let broker = Mosquitto::start(BROKER);
    let sink = Sink::start();
    let mut gateway = on(&disk, &broker, &sink).await;
    let mut devices = Publisher::start(broker.port, "devices");
    let mut hot = Publisher::start(broker.port, "hot");
    for time in 0..times() {
        disk.fill();
        ledger.inject();
        // Not more than fits into what is kept for it.
        for _ in 0..SOME {
            publish(&mut devices).await;
        }
        let device = format!("hot-{time}");
        hot.gas(&device, r#"{"temperature":70.0}"#).await;
        sink.wait_for("alarm.raised", "test-hot", &device).await;
        devices.flush().await;
        gateway
            .wait_acknowledged(devices.published() + hot.published())
            .await;
        shedding(&gateway, true).await;
        disk.empty();
        ledger.recovering(shedding(&gateway, false)).await;
        reserved(&disk).await;
    }
    ledger.settle(&mut gateway, &devices, &[&sink]).await;
}

/// Another program takes every byte that is given up: nothing can be stored, so nothing is acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_is_full_to_the_last_byte() {
    let mut ledger = Ledger::of("disk full to the last byte");
    let disk = Tmpfs::mount(100);
    let broker = Mosquitto::start(BROKER);
    let sink = Sink::start();
    let mut gateway = on(&disk, &broker, &sink).await;
    let mut devices = Publisher::start(broker.port, "devices");
    under_stream(&mut devices, async {
        for _ in 0..times() {
            flowing(&gateway, SOME).await;
            let url = gateway.url("/-/ready");
            eventually("nothing can be stored", PATIENCE * 2, async || {
                disk.fill();
                let answer = http::try_get(&url).await?;
                (answer.status != 200).then_some(())
            })
            .await;
            ledger.inject();
            disk.empty();
            ledger.recovering(gateway.wait_ready()).await;
            reserved(&disk).await;
        }
    })
    .await;
    ledger.settle(&mut gateway, &devices, &[&sink]).await;
}

/// Nothing is acknowledged until a sync has succeeded, whether the disk comes back to its senses or the gateway is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fails_to_sync() {
    let mut ledger = Ledger::of("every sync fails (EIO), half of the times until a kill -9");
    let broker = Mosquitto::start(BROKER);
    let sink = Sink::start();
    let mut gateway = Gateway::prepare(broker.port, &sink.url()).start().await;
    let mut devices = Publisher::start(broker.port, "devices");
    // No rule of this gateway's tells of its store: these are told past it.
    let told = || sink.of("alarm.raised", "store-failed", "test-gateway").len();
    let told_over = || sink.of("alarm.recovered", "store-failed", "test-gateway").len();
    under_stream(&mut devices, async {
        for time in 0..times() {
            flowing(&gateway, SOME).await;
            let before = told();
            let failing = Strace::attach(gateway.pid(), EIO).await;
            ledger.inject();
            gateway.wait_unready().await;
            eventually("the officers are told past the store", PATIENCE, async || {
                (told() > before).then_some(())
            })
            .await;
            let acknowledged = gateway.metric("ninewatch_messages_acknowledged_total", &[]).await;
            let received = gateway.metric("ninewatch_messages_received_total", &[]).await;
            assert!(
                received > acknowledged,
                "{received} received, {acknowledged} acknowledged"
            );
            if time.is_multiple_of(2) {
                gateway.kill();
                drop(failing);
                gateway.launch();
                ledger.recovering(gateway.wait_ready()).await;
                continue;
            }
            let over = told_over();
            drop(failing);
            ledger.recovering(gateway.wait_ready()).await;
            // A disk that fails again before that is the same trouble, of which nobody is told twice.
            eventually("the officers are told that it is over", PATIENCE, async || {
                (told_over() > over).then_some(())
            })
            .await;
        }
    })
    .await;
    ledger.settle(&mut gateway, &devices, &[&sink]).await;
    sink.assert_all_signed();
}
