//! Ends at the worst moments, by fail points that abort the process: between step, commit and acknowledgement, and
//! between a delivery and its record. The gateway's tests are always built with them; the shipped binary never is.

use crate::support::gateway::Gateway;
use crate::support::ledger::Ledger;
use crate::support::mosquitto::Mosquitto;
use crate::support::publisher::Publisher;
use crate::support::sink::Sink;
use crate::support::{PATIENCE, eventually};
use crate::{BROKER, scale, under_stream};

/// The variable that the fail points are configured by, in the crate's own language.
const FAIL_POINTS: &str = "FAILPOINTS";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn between_step_and_commit() {
    end_at("store-gathered", "ends between step and commit").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_the_middle_of_a_commit() {
    end_at("store-written", "ends in the middle of a commit").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn between_commit_and_acknowledgement() {
    end_at("store-committed", "ends between commit and acknowledgement").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn right_after_the_acknowledgement() {
    end_at("store-released", "ends right after the acknowledgement").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn between_a_delivery_and_its_record() {
    end_at("notice-sent", "ends between a delivery and its record").await;
}

/// Lets the gateway end at `point` over and over, each time later in its life, while messages come.
async fn end_at(point: &str, fault: &'static str) {
    let times = scale("NINEWATCH_MOMENTS", 5);
    let mut ledger = Ledger::of(fault);
    let broker = Mosquitto::start(BROKER);
    let sink = Sink::start();
    // The first start makes the session that everything later is delivered to.
    let mut gateway = Gateway::prepare(broker.port, &sink.url()).start().await;
    let mut devices = Publisher::start(broker.port, "devices");
    under_stream(&mut devices, async {
        for time in 0..times {
            gateway.kill();
            // So many passes unharmed, then the end.
            gateway.set_environment(FAIL_POINTS, format!("{point}={}*off->return", 5 + time * 3));
            gateway.launch();
            let status = eventually("the gateway ends at its fail point", PATIENCE, async || {
                gateway.ended()
            });
            let status = status.await;
            assert!(!status.success(), "it was aborted: {status}");
            ledger.inject();
            gateway.set_environment(FAIL_POINTS, "");
            gateway.launch();
            ledger.recovering(gateway.wait_ready()).await;
        }
    })
    .await;
    ledger.settle(&mut gateway, &devices, &[&sink]).await;
}
