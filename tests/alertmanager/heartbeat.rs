//! The heartbeat of the real binary: it comes while commits succeed, stays away while none does, goes on afterwards, and none
//! is made up for.

use serde_json::Value;

use crate::support::alertmanager::Alertmanager;
use crate::support::gateway::{Gateway, ID};
use crate::support::mosquitto::Mosquitto;
use crate::support::sink::{Mood, Sink};
use crate::support::strace::{EIO, Strace};
use crate::support::{PATIENCE, eventually};

const WATCHDOG: &str = "[watchdog]\ntargets = [\"duty\"]\ninterval = \"1s\"\n\n[files]";

fn beats(sink: &Sink) -> Vec<Value> {
    let all = sink.attempts().into_iter().map(|attempt| attempt.json());
    all.filter(|body| body["type"] == "watchdog").collect()
}

/// Waits for so many more beats than there are.
async fn more(sink: &Sink, count: usize) {
    let before = beats(sink).len();
    eventually("heartbeats", PATIENCE, async || {
        (beats(sink).len() >= before + count).then_some(())
    })
    .await;
}

async fn skipped(gateway: &Gateway) -> u64 {
    let labels = [r#"target="duty""#, r#"result="skipped""#];
    gateway.metric("ninewatch_heartbeats_total", &labels).await
}

async fn refused(gateway: &Gateway) -> u64 {
    let labels = [r#"target="duty""#, r#"reason="configuration""#];
    gateway.metric("ninewatch_delivery_failures_total", &labels).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beats_come_while_the_pipeline_moves_and_not_otherwise() {
    let mut broker = Mosquitto::start("");
    let sink = Sink::start();
    let gateway = Gateway::prepare(broker.port, &sink.url())
        .edited("[files]", WATCHDOG)
        .start()
        .await;
    more(&sink, 3).await;
    let beat = beats(&sink).pop().unwrap();
    assert_eq!(beat["gateway"], ID);
    assert_eq!(beat["interval_s"], 1);
    assert_eq!(beat["mqtt_connected"], true);

    sink.set(Mood::Refuse(403));
    let failing = Strace::attach(gateway.pid(), EIO).await;
    gateway.wait_unready().await;
    // One may have been earned just before.
    let missed = skipped(&gateway).await;
    eventually("a heartbeat stays away", PATIENCE, async || {
        (skipped(&gateway).await > missed).then_some(())
    })
    .await;
    let (silent, missed) = (beats(&sink).len(), skipped(&gateway).await);
    eventually("further ones stay away", PATIENCE, async || {
        (skipped(&gateway).await >= missed + 3).then_some(())
    })
    .await;
    assert_eq!(beats(&sink).len(), silent, "a beat without a commit");
    // What is told of the store goes past it, and fails like anything else.
    let before = refused(&gateway).await;
    eventually("its failures are counted", PATIENCE, async || {
        (refused(&gateway).await > before).then_some(())
    })
    .await;
    sink.set(Mood::Accept);
    drop(failing);
    more(&sink, 3).await;

    // While nobody takes them they are not kept.
    sink.wait_for("alarm.recovered", "store-failed", ID).await;
    let before = refused(&gateway).await;
    sink.set(Mood::Refuse(403));
    more(&sink, 3).await;
    eventually("their failures are counted", PATIENCE, async || {
        (refused(&gateway).await >= before + 3).then_some(())
    })
    .await;
    sink.set(Mood::Accept);
    let taken = sink.delivered().len();
    eventually("the next is taken", PATIENCE, async || {
        (sink.delivered().len() > taken).then_some(())
    })
    .await;
    let mut ids: Vec<String> = beats(&sink).iter().map(|beat| beat["id"].to_string()).collect();
    let all = ids.len();
    assert!(ids.is_sorted(), "an old beat after a newer one: {ids:?}");
    ids.dedup();
    assert_eq!(ids.len(), all, "a beat came twice");
    // A broker that is away keeps no beat away, which says so.
    broker.stop();
    eventually("a beat that says that nobody is heard", PATIENCE, async || {
        let last = beats(&sink).pop()?;
        (last["mqtt_connected"] == false).then_some(())
    })
    .await;
    sink.assert_all_signed();
}

/// In Alertmanager the heartbeat is an alert that always fires, and is over soon after the last beat.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_watchdog_of_alertmanager_ends_with_the_gateway() {
    let broker = Mosquitto::start("");
    let sink = Sink::start();
    let alertmanager = Alertmanager::start(&sink.url()).await;
    let mut gateway = super::gateway(&broker, &alertmanager)
        .edited("[files]", WATCHDOG)
        .start()
        .await;
    let watchdog = async || {
        let mut alerts = alertmanager.firing().await.into_iter();
        alerts.find(|alert| alert["labels"]["alertname"] == "Watchdog")
    };
    let alert = eventually("Watchdog fires", PATIENCE, async || watchdog().await).await;
    assert_eq!(alert["labels"]["gateway"], ID);

    // What is told past the store stands in Alertmanager for as long as it lasts.
    let failing = Strace::attach(gateway.pid(), EIO).await;
    alertmanager.wait_firing("store-failed", ID).await;
    eventually("Watchdog is over", PATIENCE, async || {
        watchdog().await.is_none().then_some(())
    })
    .await;
    drop(failing);
    eventually("Watchdog fires again", PATIENCE, async || watchdog().await).await;
    alertmanager.wait_over("store-failed", ID).await;

    gateway.kill();
    eventually("Watchdog is over", PATIENCE, async || {
        watchdog().await.is_none().then_some(())
    })
    .await;
}
