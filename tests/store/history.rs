//! Looking back beside a running writer: the journal in slices, the newest checkpoint, what was raised when.

use std::collections::BTreeMap;

use ninewatch::domain::alarm::{AlarmState, AlarmStep, ClearReason};
use ninewatch::domain::notice::{AlarmBody, EventBody};
use ninewatch::domain::registry::Registry;
use ninewatch::domain::time::Timestamp;
use ninewatch::handoff::{AlarmCommit, Batch};
use ninewatch::store::{History, StoreError};

use crate::fixture::{Running, batch, folder, raised, step};

#[tokio::test]
async fn the_journal_comes_back_row_by_row_up_to_the_last_that_is_asked_for() {
    let folder = folder();
    let mut running = Running::start(folder.path());
    let history = History::open(folder.path()).expect("it opens beside the writer");
    assert_eq!(history.span().expect("it reads"), None);
    for row in 0..200 {
        running.send(batch(row * 3, 3)).await;
    }
    running.commit(Batch::default()).await;
    assert_eq!(history.span().expect("it reads"), Some((0, 597)));
    let (mut found, mut from, mut slices) = (Vec::new(), 0, 0);
    loop {
        let rows = history.rows(from, 594).expect("it reads");
        let Some(last) = rows.last() else { break };
        from = last.first_input + 1;
        found.extend(rows.iter().map(|row| row.first_input));
        slices += 1;
    }
    assert_eq!(found, (0..199).map(|row| row * 3).collect::<Vec<_>>());
    assert!(
        slices > 1,
        "one read of everything would hold up the writer's log"
    );
    running.stop();
}

/// `commit` as the gateway stores it, of an alarm raised at `raised_at`.
fn told(commit: AlarmCommit, at: i64, raised_at: i64) -> AlarmCommit {
    let mut commit = commit;
    commit.event.at = Timestamp(at);
    commit.event.alarm.raised_at = Timestamp(raised_at);
    let registry = Registry::default();
    let alarm = AlarmBody::new(&commit.event.alarm, &registry);
    let body = EventBody::new(&commit.event, &alarm, "test", "http://localhost");
    commit.body = serde_json::json!(body).to_string();
    commit
}

#[tokio::test]
async fn what_was_raised_is_counted_once_within_its_time() {
    let folder = folder();
    let mut running = Running::start(folder.path());
    let chattering = step(3, AlarmStep::Chattering, AlarmState::ActiveUnacknowledged, &[]);
    let cleared = AlarmStep::Cleared(ClearReason::Recovered);
    let announced = step(2, AlarmStep::Announced, AlarmState::ActiveUnacknowledged, &[]);
    let alarms = vec![
        told(raised(1, &[]), 100, 100),
        told(step(1, cleared, AlarmState::Cleared, &[]), 101, 100),
        // Masked when it is raised, and told of later.
        told(raised(2, &[]), 102, 102),
        told(chattering, 103, 103),
        told(announced, 104, 102),
    ];
    running
        .commit(Batch {
            alarms,
            ..Batch::default()
        })
        .await;
    let history = History::open(folder.path()).expect("it opens beside the writer");
    for (from, to, count) in [(0, 1_000, 3), (100, 102, 2), (101, 102, 1), (103, 103, 1)] {
        let seen = history.raised(Timestamp(from), Timestamp(to)).expect("it reads");
        assert_eq!(
            seen,
            BTreeMap::from([("gas-high".to_owned(), count)]),
            "{from} to {to}"
        );
    }
    assert!(
        history
            .raised(Timestamp(104), Timestamp(1_000))
            .expect("it reads")
            .is_empty()
    );
    running.stop();
}

#[tokio::test]
async fn the_newest_checkpoint_is_found() {
    let folder = folder();
    assert!(matches!(
        History::open(folder.path()),
        Err(StoreError::NoDatabase(_))
    ));
    let mut running = Running::start(folder.path());
    let history = History::open(folder.path()).expect("it opens beside the writer");
    assert!(history.checkpoint().expect("it reads").is_none());
    for (first_input, state) in [(0, vec![1]), (2, vec![2])] {
        let checkpoint = Some(state);
        running
            .commit(Batch {
                checkpoint,
                ..batch(first_input, 2)
            })
            .await;
    }
    let checkpoint = history.checkpoint().expect("it reads").expect("one was made");
    assert_eq!((checkpoint.next_input, checkpoint.state), (4, vec![2]));
    running.stop();
}
