//! What a target has refused too often is held back in the store, comes back by itself, and keeps nothing else waiting.

use std::sync::atomic::{AtomicBool, Ordering};

use ninewatch::domain::time::Timestamp;

use super::people::column;
use super::*;

/// Many more than are kept in memory.
const MANY: u64 = 600;

/// The target has refused the first so many rows once before.
async fn refused_before(store: &TestStore, count: u64) {
    store
        .commit(
            (1..=count)
                .map(|number| raised(number, number, &["duty"]))
                .collect(),
        )
        .await;
    let report = DeliveryReport {
        message: id(7),
        target: "duty".to_owned(),
        notices: (1..=count.cast_signed()).collect(),
        at: Timestamp(0),
        outcome: DeliveryOutcome::Retry {
            error: "the target answered HTTP 400".to_owned(),
            due_at: Timestamp(0),
            silent: false,
            refused: true,
        },
        moved: Vec::new(),
    };
    let work = Work::Outbox(OutboxWork::Delivery(report));
    store.work.send(work).await.unwrap();
    store.commit(Vec::new()).await;
}

async fn until(what: &str, folder: &std::path::Path, count: u64, condition: &str) {
    let query = format!("SELECT CAST(count(*) AS TEXT) FROM outbox WHERE {condition}");
    let reached = async {
        let mut tick = tokio::time::interval(Duration::from_millis(10));
        while column(folder, &query) != [count.to_string()] {
            tick.tick().await;
        }
    };
    within(what, reached).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_in_great_number_is_held_back_and_comes_again_when_its_time_has_come() {
    let folder = tempfile::tempdir().unwrap();
    let store = TestStore::open(folder.path());
    let mended = Arc::new(AtomicBool::new(false));
    let taking = Arc::clone(&mended);
    let mut sink = Sink::judging(move |got| {
        let old = got.number() <= MANY;
        let takes = !old || taking.load(Ordering::SeqCst);
        Answer::Status(if takes { 200 } else { 400 })
    })
    .await;
    refused_before(&store, MANY).await;
    let running = Running::start(&store, vec![target("duty", sink.address)]);
    until("all held back", folder.path(), MANY, "held = 1 AND refused = 1").await;
    let gauge = store.metrics.notices_refused("duty");
    assert_eq!(gauge.get(), MANY.cast_signed());
    store.commit(vec![raised(MANY + 1, MANY + 1, &["duty"])]).await;
    until("the new one", folder.path(), 1, "result = 'delivered'").await;

    // As if their ten minutes were over, the target mended meanwhile.
    mended.store(true, Ordering::SeqCst);
    running.stop().await;
    let put_away = OutboxWork::PutAway {
        notices: (1..=MANY.cast_signed()).collect(),
        until: Timestamp(0),
    };
    store.work.send(Work::Outbox(put_away)).await.unwrap();
    store.commit(Vec::new()).await;
    let _tried = sink.rest();
    let running = Running::start(&store, vec![target("duty", sink.address)]);
    all_delivered(&store, "duty").await;
    running.stop().await;
    assert_eq!(gauge.get(), 0);
    let mut again: Vec<u64> = sink.rest().iter().map(sink::Got::number).collect();
    again.sort_unstable();
    assert_eq!(again, (1..=MANY).collect::<Vec<u64>>(), "each once");
}
