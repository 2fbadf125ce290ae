//! Locked, foreign, damaged, unusable: each has its message, and none loses or acknowledges anything.

use std::fs;

use ninewatch::store::{Store, StoreError};

use crate::fixture::{Running, batch, connection, count, eventually, folder, raised, receipt};

#[tokio::test]
async fn a_failed_transaction_is_retried_until_it_succeeds_once() {
    let folder = folder();
    let mut running = Running::start(folder.path());
    eventually("the store is up", || running.health.store()).await;
    let beside = connection(folder.path());
    beside.execute_batch("BEGIN IMMEDIATE").expect("the lock is free");
    let mut batch = batch(0, 1);
    batch.receipts.push(receipt(1));
    batch.alarms.push(raised(1, &["duty"]));
    running.send(batch).await;
    eventually("the store is down", || !running.health.store()).await;
    eventually("it failed twice", || running.metrics.store_errors.get() >= 2).await;
    assert!(
        running.receipts.try_recv().is_err(),
        "nothing is acknowledged meanwhile"
    );
    beside.execute_batch("ROLLBACK").expect("the lock goes");
    assert_eq!(running.next_receipts().await, [receipt(1)]);
    assert!(running.health.store());
    assert_eq!((count(&beside, "journal"), count(&beside, "event")), (1, 1));
    running.stop();
}

#[tokio::test]
async fn a_stop_while_commits_fail_ends_with_an_error_and_acknowledges_nothing() {
    let folder = folder();
    let mut running = Running::start(folder.path());
    let beside = connection(folder.path());
    beside.execute_batch("BEGIN IMMEDIATE").expect("the lock is free");
    let mut batch = batch(0, 1);
    batch.receipts.push(receipt(1));
    running.send(batch).await;
    drop(running.works);
    running.writer.ended().await;
    let ended = running.writer.join().expect_err("nothing could be committed");
    assert!(matches!(ended, StoreError::Unwritten { works: 1, .. }), "{ended}");
    assert_eq!(running.receipts.recv().await, None);
    assert_eq!(count(&beside, "journal"), 0);
}

#[tokio::test]
async fn the_end_of_the_writer_can_be_awaited() {
    let folder = folder();
    let running = Running::start(folder.path());
    let ended = running.writer.ended();
    drop(running.works);
    ended.await;
    running.writer.join().expect("it ended well");
    assert!(!running.health.store());
}

#[test]
fn two_gateways_on_one_folder_are_refused() {
    let folder = folder();
    let first = Store::open(folder.path()).expect("it opens");
    let second = Store::open(folder.path()).expect_err("it is taken");
    assert!(
        second.to_string().contains("is in use by another ninewatch"),
        "{second}"
    );
    drop(first);
    Store::open(folder.path()).expect("it is free again");
}

#[test]
fn a_folder_that_cannot_be_used_is_named() {
    let folder = folder();
    let file = folder.path().join("data");
    fs::write(&file, "").expect("the file is written");
    let refused = Store::open(&file).expect_err("not a folder");
    assert!(matches!(refused, StoreError::Folder { .. }), "{refused}");
    assert!(
        refused.to_string().contains(&file.display().to_string()),
        "{refused}"
    );
}

#[test]
fn a_database_of_another_program_is_left_alone() {
    let folder = folder();
    connection(folder.path())
        .execute_batch("CREATE TABLE notes (text)")
        .expect("the table is made");
    let refused = Store::open(folder.path()).expect_err("not ours");
    assert!(matches!(refused, StoreError::NotOurs(_)), "{refused}");
    assert_eq!(count(&connection(folder.path()), "notes"), 0);
}

/// Its journal has another form: it is not damaged, and is not set aside for it.
#[test]
fn a_database_of_before_the_first_release_is_refused_and_left_alone() {
    let folder = folder();
    drop(Store::open(folder.path()).expect("it opens"));
    connection(folder.path())
        .pragma_update(None, "user_version", 1)
        .expect("the version is set");
    let refused = Store::open(folder.path()).expect_err("too old");
    assert!(
        matches!(refused, StoreError::TooOld { found: 1, .. }),
        "{refused}"
    );
    assert!(folder.path().join("ninewatch.db").exists());
}

#[test]
fn a_database_of_a_newer_version_is_refused() {
    let folder = folder();
    drop(Store::open(folder.path()).expect("it opens"));
    connection(folder.path())
        .pragma_update(None, "user_version", 99)
        .expect("the version is set");
    let refused = Store::open(folder.path()).expect_err("too new");
    assert!(
        matches!(refused, StoreError::TooNew { found: 99, .. }),
        "{refused}"
    );
}
