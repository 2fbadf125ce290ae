//! What a target has refused too often is held back in the store, comes back by itself, and keeps nothing else waiting.

use std::sync::atomic::{AtomicBool, Ordering};

use ninewatch::domain::rule::Priority;
use ninewatch::domain::time::Timestamp;
use ninewatch::handoff::AlarmCommit;

use super::alertmanager::told;
use super::people::column;
use super::*;

/// Many more than are kept in memory.
const MANY: u64 = 600;

/// The target has refused the first rows, one of each of these alarms, once before.
async fn refused_before(store: &TestStore, alarms: Vec<AlarmCommit>) {
    let count = i64::try_from(alarms.len()).unwrap();
    store.commit(alarms).await;
    let report = DeliveryReport {
        message: id(7),
        target: "duty".to_owned(),
        notices: (1..=count).collect(),
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
    let many = (1..=MANY).map(|number| raised(number, number, &["duty"]));
    refused_before(&store, many.collect()).await;
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

/// Holds back the first row, which the target has refused.
async fn put_away_until(store: &TestStore, until: Timestamp) {
    let put_away = OutboxWork::PutAway {
        notices: vec![1],
        until,
    };
    store.work.send(Work::Outbox(put_away)).await.unwrap();
    store.commit(Vec::new()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_was_put_back_holds_nothing_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let store = TestStore::open(folder.path());
    refused_before(&store, vec![raised(1, 1, &["duty"])]).await;
    for (ahead, released) in [(30, false), (365 * 24 * 60, true)] {
        let minutes: i64 = ahead * 60_000;
        put_away_until(&store, Timestamp(wall().0 + minutes)).await;
        let release = OutboxWork::Release {
            target: "duty".to_owned(),
            refused: 1,
        };
        store.work.send(Work::Outbox(release)).await.unwrap();
        store.commit(Vec::new()).await;
        let pending = store.reader.pending_notices(("duty", true), 0, 10).await.unwrap();
        assert_eq!(pending.len(), usize::from(released), "{ahead} minutes ahead");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_refused_keeps_no_critical_alarm_in_the_slow_lane() {
    let folder = tempfile::tempdir().unwrap();
    let store = TestStore::open(folder.path());
    let mild = (AlarmState::ActiveUnacknowledged, Priority::Low);
    refused_before(&store, vec![told(1, 1, mild, &["duty"])]).await;
    put_away_until(&store, Timestamp(i64::MAX)).await;
    let worse = (AlarmState::ActiveUnacknowledged, Priority::Critical);
    store.commit(vec![told(2, 1, worse, &["duty"])]).await;
    let critical = store.reader.pending_notices(("duty", true), 0, 10).await.unwrap();
    assert_eq!(critical.len(), 1);
}
