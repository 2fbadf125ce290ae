//! What keeps the files small, and what it must not touch.

use std::fs;

use ninewatch::clock;
use ninewatch::handoff::Batch;

use crate::fixture::{Running, batch, connection, count, dead_letter, eventually, folder, moment};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

#[tokio::test]
async fn the_write_ahead_log_stays_below_its_cap_under_steady_load() {
    let folder = folder();
    let mut running = Running::start(folder.path());
    let log = folder.path().join("ninewatch.db-wal");
    let mut longest = 0;
    for round in 0..160 {
        let mut batch = batch(round, 1);
        batch.journal = vec![0; 1024 * 1024];
        running.commit(batch).await;
        longest = longest.max(fs::metadata(&log).expect("there is a log").len());
    }
    assert!(longest <= 66 * 1024 * 1024, "the log grew to {longest} bytes");
    assert_eq!(count(&connection(folder.path()), "journal"), 160);
    running.stop();
}

#[tokio::test]
async fn only_old_journal_rows_before_the_checkpoint_are_deleted() {
    let folder = folder();
    let mut running = Running::start(folder.path());
    let old = moment(clock::wall().0 - 8 * DAY_MS);
    for round in 0..200 {
        let mut batch = batch(round, 1);
        batch.last = old;
        running.commit(batch).await;
    }
    running.commit(batch(200, 1)).await;
    running.stop();
    assert_eq!(
        count(&connection(folder.path()), "journal"),
        201,
        "without a checkpoint recovery needs every row"
    );

    let mut running = Running::start(folder.path());
    let mut checkpointed = batch(201, 1);
    checkpointed.checkpoint = Some(vec![1]);
    running.commit(checkpointed).await;
    let mut after = batch(202, 1);
    after.last = old;
    running.commit(after).await;
    running.stop();
    let mut running = Running::start(folder.path());
    running.commit(Batch::default()).await;
    let beside = connection(folder.path());
    eventually("the old rows are gone", || count(&beside, "journal") == 3).await;
    let first: i64 = beside
        .query_row("SELECT min(first_input) FROM journal", [], |row| row.get(0))
        .expect("it reads");
    assert_eq!(first, 200);
    running.stop();
}

#[tokio::test]
async fn delivered_notices_go_after_a_month_and_pending_ones_never() {
    let folder = folder();
    Running::start(folder.path()).stop();
    let beside = connection(folder.path());
    let now = clock::wall().0;
    for row in 0..300 {
        let created = now - 60 * DAY_MS + row;
        let delivered = (row % 3 != 0).then_some(created + 1);
        let id = [0_u8; 16];
        beside
            .execute(
                "INSERT INTO outbox (id, target, alarm, body, created_at, attempts, due_at, delivered_at)
                 VALUES (?1, 'gone', ?1, '{}', ?2, 0, ?2, ?3)",
                rusqlite::params![id, created, delivered],
            )
            .expect("the notice is written");
    }
    let mut running = Running::start(folder.path());
    running.commit(Batch::default()).await;
    eventually("the delivered ones are gone", || count(&beside, "outbox") == 100).await;
    assert_eq!(running.reader.pending_count("gone").await.expect("it reads"), 100);
    running.stop();
}

#[tokio::test]
async fn dead_letters_are_bounded() {
    let folder = folder();
    let mut running = Running::start(folder.path());
    for _ in 0..21 {
        let batch = Batch {
            dead_letters: vec![dead_letter(b"?"); 500],
            ..Batch::default()
        };
        running.commit(batch).await;
    }
    let beside = connection(folder.path());
    assert_eq!(count(&beside, "dead_letter"), 10_000);
    let letters = running.reader.dead_letters(0, 1).await.expect("it reads");
    assert_eq!(letters[0].row, 501, "the oldest went");
    running.stop();
}
