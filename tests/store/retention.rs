//! What goes when it has been kept long enough or the database is too large, and what must stay all the same.

#![expect(
    clippy::expect_used,
    reason = "a fixture that cannot be set up fails its test"
)]

use std::path::Path;
use std::time::Duration;

use ninewatch::clock;
use ninewatch::config::StoreSettings;
use ninewatch::domain::alarm::{AlarmState, AlarmStep, ClearReason};
use ninewatch::domain::time::Timestamp;
use ninewatch::handoff::{AlarmCommit, Batch, StoredDefinitions};
use ninewatch::store::{Fault, Store, Verified, verify};
use rusqlite::Connection;

use crate::fixture::{
    Running, batch, connection, count, eventually, folder, id, keeping_free, moment, raised, step,
};

const DAY: Duration = Duration::from_hours(24);
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// `commit`, `days` days ago.
fn ago(days: i64, commit: AlarmCommit) -> AlarmCommit {
    let mut commit = commit;
    commit.event.at = Timestamp(clock::wall().0 - days * DAY_MS);
    commit.event.alarm.raised_at = commit.event.at;
    commit
}

fn events_kept(days: u32) -> StoreSettings {
    StoreSettings {
        event_keep: DAY * days,
        ..keeping_free(0)
    }
}

/// 200 events of ten days ago, five of today.
async fn write_events(folder: &Path) {
    let mut running = Running::start(folder);
    let mut batch = batch(0, 1);
    batch.alarms = (1..=200).map(|alarm| ago(10, raised(alarm, &[]))).collect();
    batch
        .alarms
        .extend((201..=205).map(|alarm| ago(0, raised(alarm, &[]))));
    running.commit(batch).await;
    running.stop();
}

#[tokio::test]
async fn old_events_go_and_the_chain_still_holds_and_shows_what_was_changed() {
    let folder = folder();
    write_events(folder.path()).await;
    let mut running = Running::start_keeping(folder.path(), events_kept(5));
    let beside = connection(folder.path());
    eventually("the old events are gone", || count(&beside, "event") == 5).await;
    let mut more = batch(1, 1);
    more.alarms.push(ago(0, raised(300, &[])));
    running.commit(more).await;
    running.stop();
    let verified = verify(folder.path()).expect("it can be read");
    assert!(
        matches!(
            verified,
            Verified::Intact {
                events: 6,
                deleted: 200,
                ..
            }
        ),
        "{verified:?}"
    );

    let changed = "UPDATE event SET body = replace(body, 'raised', 'raiseD') WHERE seq = 201";
    assert_eq!(beside.execute(changed, []).expect("it changes"), 1);
    let found = verify(folder.path()).expect("it can be read");
    assert!(
        matches!(
            found,
            Verified::Broken {
                seq: 201,
                fault: Fault::Hash { .. }
            }
        ),
        "{found:?}"
    );
    beside
        .execute("DELETE FROM event WHERE seq <= 202", [])
        .expect("they go");
    let found = verify(folder.path()).expect("it can be read");
    let fault = Fault::Missing { next: 203 };
    assert_eq!(
        found,
        Verified::Broken { seq: 201, fault },
        "beyond what retention deleted"
    );
}

#[tokio::test]
async fn the_chain_goes_on_when_every_event_is_gone() {
    let folder = folder();
    let mut running = Running::start(folder.path());
    let mut old = batch(0, 1);
    old.alarms = (1..=3).map(|alarm| ago(10, raised(alarm, &[]))).collect();
    running.commit(old).await;
    running.stop();
    let running = Running::start_keeping(folder.path(), events_kept(5));
    let beside = connection(folder.path());
    eventually("the old events are gone", || count(&beside, "event") == 0).await;
    running.stop();
    let verified = verify(folder.path()).expect("it can be read");
    assert!(
        matches!(
            verified,
            Verified::Intact {
                events: 0,
                deleted: 3,
                ..
            }
        ),
        "{verified:?}"
    );

    let mut running = Running::start(folder.path());
    let mut new = batch(1, 1);
    new.alarms.push(ago(0, raised(9, &[])));
    running.commit(new).await;
    running.stop();
    let seq: i64 = beside
        .query_row("SELECT seq FROM event", [], |row| row.get(0))
        .expect("there is one");
    assert_eq!(seq, 4, "numbers are never used again");
    let verified = verify(folder.path()).expect("it can be read");
    assert!(
        matches!(
            verified,
            Verified::Intact {
                events: 1,
                deleted: 3,
                ..
            }
        ),
        "{verified:?}"
    );
}

#[tokio::test]
async fn an_alarm_goes_when_it_has_ended_and_nothing_happened_to_it_for_long() {
    let folder = folder();
    let mut running = Running::start(folder.path());
    let ended = |alarm| {
        step(
            alarm,
            AlarmStep::Cleared(ClearReason::Recovered),
            AlarmState::Cleared,
            &[],
        )
    };
    let mut batch = batch(0, 1);
    let closed_lately = {
        let mut commit = ago(0, ended(1));
        commit.event.alarm.raised_at = Timestamp(clock::wall().0 - 10 * DAY_MS);
        commit
    };
    batch.alarms = vec![closed_lately, ago(10, raised(2, &[])), ago(0, ended(3))];
    batch.alarms.extend((4..=200).map(|alarm| ago(10, ended(alarm))));
    running.commit(batch).await;
    running.stop();
    let running = Running::start_keeping(folder.path(), events_kept(5));
    let beside = connection(folder.path());
    eventually("the old alarms are gone", || count(&beside, "alarm") == 3).await;
    for kept in 1..=3 {
        assert!(
            running.reader.alarm(id(kept)).await.expect("it reads").is_some(),
            "alarm {kept}"
        );
    }
    running.stop();
}

#[tokio::test]
async fn a_notice_that_nobody_takes_goes_with_the_events_and_is_counted() {
    let folder = folder();
    let mut running = Running::start(folder.path());
    let mut told = batch(0, 1);
    told.alarms = (1..=100).map(|alarm| raised(alarm, &["gone"])).collect();
    running.commit(told).await;
    running.stop();
    let beside = connection(folder.path());
    let old = clock::wall().0 - 10 * DAY_MS;
    beside
        .execute("UPDATE outbox SET created_at = ?1 WHERE row <= 90", [old])
        .expect("they age");
    let running = Running::start_keeping(folder.path(), events_kept(5));
    eventually("the old ones are gone", || count(&beside, "outbox") == 10).await;
    eventually("they are counted", || running.metrics.notices_expired.get() == 90).await;
    eventually("the rest waits", || {
        running.metrics.notices_pending("gone").get() == 10
    })
    .await;
    running.stop();
}

#[tokio::test]
async fn definitions_stay_while_the_checkpoint_or_a_journal_row_needs_them() {
    let folder = folder();
    // Retention looks while they are written, too: nothing is old yet.
    let for_ever = StoreSettings {
        journal_keep: 365 * DAY,
        ..keeping_free(0)
    };
    let mut running = Running::start_keeping(folder.path(), for_ever);
    let old = moment(clock::wall().0 - 10 * DAY_MS);
    let now = moment(clock::wall().0);
    // By the byte of their hash: 1 and 2 are out of force before the checkpoint, 3 in force at it, 4 only after it;
    // 5 was, and came back.
    for (input, hash, at) in [
        (0, 1, old),
        (1, 5, old),
        (2, 2, old),
        (3, 3, old),
        (4, 4, now),
        (5, 5, now),
    ] {
        let mut changed = batch(input, 1);
        changed.last = at;
        changed.definitions.push(StoredDefinitions {
            hash: [hash; 32],
            source: "{}".to_owned(),
        });
        if input == 3 {
            changed.checkpoint = Some(vec![1]);
        }
        running.commit(changed).await;
    }
    running.stop();
    let beside = connection(folder.path());
    let hashes = || -> Vec<u8> {
        let mut query = beside
            .prepare("SELECT hash FROM definitions ORDER BY hash")
            .expect("it is SQL");
        let rows = query
            .query_map([], |row| row.get::<_, [u8; 32]>(0))
            .expect("it reads");
        rows.map(|hash| hash.expect("it reads")[0]).collect()
    };
    assert_eq!(hashes(), [1, 2, 3, 4, 5], "the journal still names them");
    let settings = StoreSettings {
        journal_keep: DAY,
        ..keeping_free(0)
    };
    let running = Running::start_keeping(folder.path(), settings);
    eventually("those out of force are gone", || hashes() == [3, 4, 5]).await;
    assert_eq!(count(&beside, "journal"), 2);
    running.stop();
}

/// `rows` history rows of `days` days ago, of 20 kB each.
fn write_history(beside: &Connection, rows: i64, days: i64) {
    for _ in 0..rows {
        let at = clock::wall().0 - days * DAY_MS;
        beside
            .execute(
                "INSERT INTO history (from_at, to_at, count, samples) VALUES (?1, ?1, 1, zeroblob(20000))",
                [at],
            )
            .expect("it is written");
    }
}

#[tokio::test]
async fn history_goes_by_its_age() {
    let folder = folder();
    drop(Store::open(folder.path()).expect("it opens"));
    let beside = connection(folder.path());
    write_history(&beside, 100, 10);
    write_history(&beside, 3, 1);
    let settings = StoreSettings {
        history_keep: DAY * 5,
        ..keeping_free(0)
    };
    let running = Running::start_keeping(folder.path(), settings);
    eventually("the old rows are gone", || count(&beside, "history") == 3).await;
    running.stop();
}

/// A folder with 200 journal rows of 20 kB, the last ten of them after the checkpoint, and 200 rows of history.
async fn write_much(folder: &Path) -> Connection {
    let mut running = Running::start(folder);
    for input in 0..200 {
        let mut large = batch(input, 1);
        large.journal = vec![7; 20_000];
        if input == 189 {
            large.checkpoint = Some(vec![1]);
        }
        running.commit(large).await;
    }
    running.stop();
    let beside = connection(folder);
    write_history(&beside, 200, 0);
    beside
}

fn at_most(max_size: u64) -> StoreSettings {
    StoreSettings {
        max_size,
        ..keeping_free(0)
    }
}

#[tokio::test]
async fn a_database_that_is_too_large_gives_up_the_oldest_inputs_first() {
    let folder = folder();
    let beside = write_much(folder.path()).await;
    let running = Running::start_keeping(folder.path(), at_most(7_000_000));
    eventually("there is room", || running.metrics.rows_given_up.get() > 0).await;
    running.stop();
    let journal = count(&beside, "journal");
    assert!((10..200).contains(&journal), "{journal} rows of the journal");
    assert_eq!(count(&beside, "history"), 200);
}

#[tokio::test]
async fn what_recovery_needs_and_what_the_follower_has_not_copied_is_not_given_up() {
    let folder = folder();
    let beside = write_much(folder.path()).await;
    let mut running = Running::start_copied(folder.path(), at_most(100_000), 150);
    running.commit(Batch::default()).await;
    eventually("nothing more may go", || count(&beside, "history") <= 50).await;
    running.stop();
    let first: i64 = beside
        .query_row("SELECT min(first_input) FROM journal", [], |row| row.get(0))
        .expect("it reads");
    assert_eq!((first, count(&beside, "journal")), (190, 10));
    let next: i64 = beside
        .query_row("SELECT ifnull(min(row), 0) FROM history", [], |row| row.get(0))
        .expect("it reads");
    assert_eq!(next, 151);
}

/// A clock that went back leaves a young row before old ones: what is kept has no gap for it.
#[tokio::test]
async fn only_an_unbroken_head_of_the_history_goes() {
    let folder = folder();
    let mut running = Running::start(folder.path());
    running.commit(batch(0, 1)).await;
    running.stop();
    let beside = connection(folder.path());
    write_history(&beside, 3, 10);
    write_history(&beside, 1, 0);
    write_history(&beside, 5, 10);
    let settings = StoreSettings {
        history_keep: DAY * 5,
        ..keeping_free(0)
    };
    let running = Running::start_copied(folder.path(), settings, 0);
    eventually("the head is gone", || count(&beside, "history") == 6).await;
    running.stop();
    let rows: (i64, i64) = beside
        .query_row("SELECT min(row), max(row) FROM history", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .expect("it reads");
    assert_eq!(rows, (4, 9), "what stands behind the young row stays with it");
}

/// Of what a target was told it is known for as long as it stands, whatever becomes of the outbox; of what has ended, until
/// the target has heard of it.
#[tokio::test]
async fn what_a_target_was_told_is_known_until_it_is_over_and_the_target_knows() {
    let folder = folder();
    let mut running = Running::start(folder.path());
    let told = |alarm: u64, commit: AlarmCommit| {
        let body = format!(
            r#"{{"type":"{}","alarm":{{"rule":"gas-high","device":{{"id":"g{alarm}"}}}}}}"#,
            commit.event.step.event_type()
        );
        AlarmCommit { body, ..commit }
    };
    let over = |alarm| {
        let step = step(
            alarm,
            AlarmStep::Cleared(ClearReason::Recovered),
            AlarmState::Cleared,
            &["am"],
        );
        told(alarm, ago(2, step))
    };
    let mut first = batch(0, 1);
    first.alarms = (1..=3)
        .map(|alarm| told(alarm, ago(40, raised(alarm, &["am"]))))
        .collect();
    first.alarms.extend([over(2), over(3)]);
    running.commit(first).await;
    let beside = connection(folder.path());
    assert_eq!(count(&beside, "told"), 3);
    let third: [u8; 16] = id(3).bits().to_be_bytes();
    beside
        .execute(
            "UPDATE outbox SET delivered_at = created_at, result = 'delivered' WHERE alarm <> ?1",
            [third],
        )
        .expect("it writes");
    beside
        .execute("DELETE FROM outbox WHERE delivered_at IS NOT NULL", [])
        .expect("it writes");
    running.stop();
    let mut running = Running::start(folder.path());
    running.commit(batch(1, 1)).await;
    eventually("what is over and known is gone", || count(&beside, "told") == 2).await;
    running.commit(batch(2, 1)).await;
    running.stop();
    let known: Vec<(Vec<u8>, bool)> = beside
        .prepare("SELECT alarm, ended_at IS NULL FROM told ORDER BY alarm")
        .expect("it reads")
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .expect("it reads")
        .collect::<rusqlite::Result<_>>()
        .expect("it reads");
    let first: [u8; 16] = id(1).bits().to_be_bytes();
    assert_eq!(known, [(first.to_vec(), true), (third.to_vec(), false)]);
}
