//! What a commit does and releases, in which order.

use std::sync::Arc;

use ninewatch::domain::alarm::{AlarmState, AlarmStep, ClearReason};
use ninewatch::domain::rule::{Class, Priority};
use ninewatch::domain::service::{DeviceEvent, DeviceStep};
use ninewatch::domain::time::Timestamp;
use ninewatch::handoff::outbox::{DeliveryOutcome, DeliveryReport, OutboxWork};
use ninewatch::handoff::{Answer, Batch, DeviceCommit, Work};
use ninewatch::store::{AlarmFilter, Verified, verify};
use tokio::sync::oneshot;

use crate::fixture::{
    Running, batch, connection, count, dead_letter, eventually, folder, id, raised, receipt, step,
};

#[tokio::test]
async fn receipts_leave_only_when_their_batch_can_be_read() {
    let folder = folder();
    let mut running = Running::start(folder.path());
    let beside = connection(folder.path());
    for round in 0_u16..100 {
        let mut batch = batch(u64::from(round), 1);
        batch.receipts.push(receipt(round));
        running.send(batch).await;
        let receipts = running.next_receipts().await;
        assert_eq!(receipts, [receipt(round)]);
        assert_eq!(count(&beside, "journal"), i64::from(round) + 1);
    }
    running.stop();
}

#[tokio::test]
async fn receipts_keep_the_order_of_their_batches_though_nobody_takes_them_for_a_while() {
    let folder = folder();
    let mut running = Running::start_with_receipts(folder.path(), 1);
    for round in 0_u16..40 {
        let mut batch = batch(u64::from(round) * 2, 2);
        batch.receipts = vec![receipt(round * 2), receipt(round * 2 + 1)];
        running.send(batch).await;
    }
    let beside = connection(folder.path());
    eventually("everything is committed", || count(&beside, "journal") == 40).await;
    let mut released = Vec::new();
    while released.len() < 80 {
        released.extend(running.next_receipts().await);
    }
    assert_eq!(released, (0..80).map(receipt).collect::<Vec<_>>());
    running.stop();
}

#[tokio::test]
async fn an_operator_is_answered_after_the_commit() {
    let folder = folder();
    let running = Running::start(folder.path());
    let (to, answered) = oneshot::channel();
    let mut batch = batch(0, 1);
    batch.answers.push(Answer::Operator {
        to,
        outcome: Ok(None),
    });
    running.send(batch).await;
    assert_eq!(answered.await.expect("the writer answers"), Ok(None));
    assert_eq!(count(&connection(folder.path()), "journal"), 1);
    running.stop();
}

#[tokio::test]
async fn a_batch_without_inputs_writes_no_journal_row() {
    let folder = folder();
    let mut running = Running::start(folder.path());
    running
        .commit(Batch {
            dead_letters: vec![dead_letter(b"?")],
            ..Batch::default()
        })
        .await;
    let beside = connection(folder.path());
    assert_eq!((count(&beside, "journal"), count(&beside, "dead_letter")), (0, 1));
    running.stop();
}

#[tokio::test]
async fn what_happened_to_a_device_stands_in_the_chain_before_its_alarms() {
    let folder = folder();
    let mut running = Running::start(folder.path());
    let mut batch = batch(0, 1);
    batch.alarms = vec![raised(1, &[])];
    batch.devices = vec![DeviceCommit {
        event: DeviceEvent {
            id: id(7),
            at: Timestamp(5),
            device: Arc::clone(&batch.alarms[0].event.alarm.device),
            step: DeviceStep::InService(None),
        },
        body: r#"{"type":"device.in_service"}"#.to_owned(),
    }];
    running.commit(batch).await;
    let events = running.reader.events(0, 10).await.expect("it reads");
    let bodies: Vec<&str> = events.iter().map(|event| event.body.as_str()).collect();
    assert_eq!(bodies.len(), 2);
    assert_eq!(bodies[0], r#"{"type":"device.in_service"}"#);
    assert!(bodies[1].contains("alarm.raised"));
    running.stop();
    let verified = verify(folder.path()).expect("it can be read");
    assert!(
        matches!(verified, Verified::Intact { events: 2, .. }),
        "{verified:?}"
    );
}

#[tokio::test]
async fn a_notice_waits_until_it_is_reported_delivered() {
    let folder = folder();
    let mut running = Running::start(folder.path());
    running.notices.mark_unchanged();
    let mut batch = batch(0, 1);
    batch.alarms = vec![raised(1, &["duty", "backup"]), raised(2, &["duty"])];
    running.commit(batch).await;
    running.notices.changed().await.expect("the writer runs");
    let pending = running
        .reader
        .pending_notices(("duty", true), 0, 10)
        .await
        .expect("it reads");
    assert_eq!(
        pending.iter().map(|notice| notice.alarm).collect::<Vec<_>>(),
        [id(1), id(2)]
    );
    assert_eq!(pending[0].id, id(1_000_001), "a notice has its event's id");
    assert_eq!(
        (pending[0].attempts, pending[0].due_at),
        (0, pending[0].created_at)
    );
    assert_eq!(running.metrics.notices_pending("duty").get(), 2);

    let report = |notice, outcome| {
        Work::Outbox(OutboxWork::Delivery(DeliveryReport {
            message: id(1),
            target: "duty".to_owned(),
            notices: vec![notice],
            at: Timestamp(7),
            outcome,
            moved: Vec::new(),
        }))
    };
    let retry = DeliveryOutcome::Retry {
        error: "500".to_owned(),
        due_at: Timestamp(99),
        silent: false,
        refused: false,
    };
    for work in [
        report(pending[0].row, retry),
        report(pending[1].row, DeliveryOutcome::Delivered),
        report(pending[1].row, DeliveryOutcome::Delivered),
    ] {
        running.works.send(work).await.expect("the writer takes works");
    }
    running.commit(Batch::default()).await;
    let pending = running
        .reader
        .pending_notices(("duty", true), 0, 10)
        .await
        .expect("it reads");
    assert_eq!(pending.len(), 1);
    assert_eq!((pending[0].attempts, pending[0].due_at), (1, Timestamp(99)));
    assert_eq!(running.reader.pending_count("duty").await.expect("it reads"), 1);
    assert_eq!(running.reader.pending_count("backup").await.expect("it reads"), 1);
    assert_eq!(running.metrics.notices_pending("duty").get(), 1);
    running.stop();
    let again = Running::start(folder.path());
    assert_eq!(again.metrics.notices_pending("duty").get(), 1);
    again.stop();
}

#[tokio::test]
async fn an_alarm_counts_as_standing_once_from_raise_to_clear() {
    let folder = folder();
    let mut running = Running::start(folder.path());
    let critical = running.metrics.alarms_active(Class::Alarm, Priority::Critical);
    let mut first = batch(0, 1);
    first.alarms = vec![
        raised(1, &[]),
        raised(2, &[]),
        step(1, AlarmStep::Recovered, AlarmState::RecoveredUnacknowledged, &[]),
        raised(1, &[]),
    ];
    running.commit(first).await;
    assert_eq!(running.metrics.alarm_events("raised", Class::Alarm).get(), 3);
    assert_eq!(critical.get(), 2);
    let mut second = batch(1, 1);
    let cleared = AlarmStep::Cleared(ClearReason::RuleRemoved);
    second.alarms = vec![step(1, cleared, AlarmState::Cleared, &[])];
    running.commit(second).await;
    assert_eq!(critical.get(), 1);
    running.stop();
    let again = Running::start(folder.path());
    let critical = again.metrics.alarms_active(Class::Alarm, Priority::Critical);
    assert_eq!(critical.get(), 1, "the gauge starts from the table");
    again.stop();
}

#[tokio::test]
async fn alarms_are_listed_newest_first_page_by_page() {
    let folder = folder();
    let mut running = Running::start(folder.path());
    let mut batch = batch(0, 1);
    batch.alarms = (1..=5).map(|alarm| raised(alarm, &[])).collect();
    let cleared = AlarmStep::Cleared(ClearReason::Recovered);
    batch.alarms.push(step(4, cleared, AlarmState::Cleared, &[]));
    running.commit(batch).await;
    let list = async |standing, after, limit| {
        let filter = AlarmFilter {
            standing,
            after,
            limit,
        };
        let rows = running.reader.alarms(filter).await.expect("it reads");
        rows.into_iter().map(|row| row.id).collect::<Vec<_>>()
    };
    assert_eq!(list(None, None, 3).await, [id(5), id(4), id(3)]);
    assert_eq!(list(None, Some(id(3)), 3).await, [id(2), id(1)]);
    assert_eq!(list(Some(true), None, 9).await, [id(5), id(3), id(2), id(1)]);
    assert_eq!(list(Some(false), None, 9).await, [id(4)]);
    let row = running
        .reader
        .alarm(id(4))
        .await
        .expect("it reads")
        .expect("it is there");
    assert!(row.body.contains("cleared"), "{}", row.body);
    assert_eq!(running.reader.alarm(id(77)).await.expect("it reads"), None);
    running.stop();
}
