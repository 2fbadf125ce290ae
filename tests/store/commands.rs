//! Orders in the store: their events stand in the chain, their notices wait in a line of their own, and each is listed as it
//! stands.

use std::time::Duration;

use ninewatch::clock;
use ninewatch::config::StoreSettings;
use ninewatch::domain::id::Id;
use ninewatch::domain::interlock::{Cause, CommandStep, Failure};
use ninewatch::domain::time::Timestamp;
use ninewatch::handoff::CommandCommit;
use ninewatch::store::{CommandFilter, CommandState, Verified, verify};

use crate::fixture::{
    Running, batch, connection, count, eventually, folder, id, keeping_free, ordered, raised,
};

const DAY: Duration = Duration::from_hours(24);

fn of_alarm(alarm: u64) -> Cause {
    Cause::Alarm(Box::new(raised(alarm, &[]).event.alarm))
}

fn exercised(order: u64, device: &str, step: CommandStep) -> CommandCommit {
    ordered(order, device, (step, Cause::Exercise), &[])
}

#[tokio::test]
async fn a_command_stands_in_the_chain_after_the_alarm_that_wants_it() {
    let folder = folder();
    let mut running = Running::start(folder.path());
    let mut batch = batch(0, 1);
    batch.commands = vec![
        ordered(7, "s1", (CommandStep::Requested, of_alarm(1)), &[]),
        exercised(8, "s2", CommandStep::Requested),
    ];
    batch.alarms = vec![raised(1, &[])];
    running.commit(batch).await;
    running.stop();
    let beside = connection(folder.path());
    let mut query = beside
        .prepare("SELECT type, alarm FROM event ORDER BY seq")
        .expect("it is SQL");
    let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
    let rows: Vec<(String, Option<Vec<u8>>)> = rows.and_then(Iterator::collect).expect("it reads");
    let alarm = Some(id(1).bits().to_be_bytes().to_vec());
    assert_eq!(
        rows,
        [
            ("alarm.raised".to_owned(), alarm.clone()),
            ("command.requested".to_owned(), alarm),
            ("command.requested".to_owned(), None),
        ]
    );
    let verified = verify(folder.path()).expect("it can be read");
    assert!(
        matches!(verified, Verified::Intact { events: 3, .. }),
        "{verified:?}"
    );
}

#[tokio::test]
async fn the_notice_of_a_command_waits_in_its_own_line_and_not_in_its_alarms() {
    let folder = folder();
    let mut running = Running::start(folder.path());
    running.notices.mark_unchanged();
    let failed = (CommandStep::Failed(Failure::NotProven), of_alarm(1));
    let mut batch = batch(0, 1);
    batch.alarms = vec![raised(1, &["duty"])];
    batch.commands = vec![ordered(7, "s1", failed, &["duty", "backup"])];
    running.commit(batch).await;
    running.notices.changed().await.expect("the writer runs");
    let pending = running.reader.pending_notices(("duty", true), 0, 10).await;
    let pending = pending.expect("it reads");
    let lines: Vec<(Id, Id)> = pending.iter().map(|notice| (notice.id, notice.alarm)).collect();
    assert_eq!(lines, [(id(1_000_001), id(1)), (id(2_000_007), id(7))]);
    assert!(pending[1].body.contains("command.failed"), "{}", pending[1].body);
    assert_eq!(running.metrics.notices_pending("backup").get(), 1);
    running.stop();
}

#[tokio::test]
async fn commands_are_listed_newest_first_by_state_and_device() {
    let folder = folder();
    let mut running = Running::start(folder.path());
    let mut batch = batch(0, 1);
    batch.commands = vec![
        exercised(1, "s1", CommandStep::Requested),
        exercised(2, "s2", CommandStep::Sent),
        exercised(3, "s1", CommandStep::Requested),
        exercised(4, "s1", CommandStep::Acknowledged),
        exercised(5, "s2", CommandStep::Superseded),
        exercised(1, "s1", CommandStep::Verified),
        exercised(3, "s1", CommandStep::Failed(Failure::NotSent)),
    ];
    running.commit(batch).await;
    let list = async |filter: CommandFilter| {
        let rows = running.reader.commands(filter).await.expect("it reads");
        rows.into_iter().map(|row| row.id).collect::<Vec<_>>()
    };
    let all = CommandFilter {
        limit: 9,
        ..CommandFilter::default()
    };
    let of = |state, device: Option<&str>| CommandFilter {
        state,
        device: device.map(str::to_owned),
        ..all.clone()
    };
    assert_eq!(list(all.clone()).await, [5, 4, 3, 2, 1].map(id));
    let page = CommandFilter {
        after: Some(id(4)),
        limit: 2,
        ..all.clone()
    };
    assert_eq!(list(page).await, [id(3), id(2)]);
    assert_eq!(list(of(Some(CommandState::Open), None)).await, [id(4), id(2)]);
    assert_eq!(list(of(Some(CommandState::Verified), None)).await, [id(1)]);
    assert_eq!(list(of(Some(CommandState::Failed), None)).await, [id(3)]);
    assert_eq!(list(of(Some(CommandState::Superseded), None)).await, [id(5)]);
    assert_eq!(list(of(None, Some("s1"))).await, [id(4), id(3), id(1)]);
    assert_eq!(list(of(Some(CommandState::Open), Some("s2"))).await, [id(2)]);
    let elsewhere = CommandFilter {
        venue: Some("v2".to_owned()),
        ..all.clone()
    };
    assert_eq!(list(elsewhere).await, []);
    let other_kind = CommandFilter {
        kind: Some("charging_port".to_owned()),
        ..all
    };
    assert_eq!(list(other_kind).await, []);
    let row = running.reader.command(id(3)).await.expect("it reads");
    let row = row.expect("it is there");
    assert!(row.body.contains("failed"), "{}", row.body);
    assert_eq!(running.reader.command(id(77)).await.expect("it reads"), None);
    running.stop();
}

#[tokio::test]
async fn how_commands_end_is_counted() {
    let folder = folder();
    let mut running = Running::start(folder.path());
    let mut batch = batch(0, 1);
    batch.commands = vec![
        exercised(1, "s1", CommandStep::Requested),
        exercised(1, "s1", CommandStep::Verified),
        exercised(2, "s2", CommandStep::Failed(Failure::Declined)),
        exercised(3, "s2", CommandStep::Superseded),
        exercised(4, "s3", CommandStep::Superseded),
    ];
    running.commit(batch).await;
    let ended = ["verified", "failed", "superseded"].map(|end| running.metrics.commands("close", end).get());
    assert_eq!(ended, [1, 1, 2]);
    let took = &running.metrics.command_verify;
    assert_eq!(took.get_sample_count(), 1, "the others proved nothing");
    assert!(
        (took.get_sample_sum() - 2.5).abs() < 1e-9,
        "{}",
        took.get_sample_sum()
    );
    running.stop();
}

#[tokio::test]
async fn a_command_goes_when_it_is_over_and_has_been_kept_as_long_as_events() {
    let folder = folder();
    let mut running = Running::start(folder.path());
    let old = Timestamp(clock::wall().0 - 10 * 24 * 60 * 60 * 1000);
    let ago = |mut commit: CommandCommit, changed: Timestamp| {
        commit.event.order.requested_at = old;
        commit.event.at = changed;
        commit
    };
    let mut batch = batch(0, 1);
    batch.commands = vec![
        ago(exercised(1, "s1", CommandStep::Sent), old),
        ago(exercised(2, "s1", CommandStep::Verified), clock::wall()),
    ];
    let ended = (3..=200).map(|order| ago(exercised(order, "s1", CommandStep::Verified), old));
    batch.commands.extend(ended);
    running.commit(batch).await;
    running.stop();
    let settings = StoreSettings {
        event_keep: DAY * 5,
        ..keeping_free(0)
    };
    let running = Running::start_keeping(folder.path(), settings);
    let beside = connection(folder.path());
    eventually("the old commands are gone", || count(&beside, "command") == 2).await;
    for kept in 1..=2 {
        let row = running.reader.command(id(kept)).await.expect("it reads");
        assert!(row.is_some(), "command {kept}");
    }
    running.stop();
}
