//! Rows that PostgreSQL refuses: they are set aside with the reason, and all others arrive.

use ninewatch::config::Durability;
use ninewatch::handoff::Batch;

use crate::fixture::{batch, raised};
use crate::follower::{BEGIN, Site, eventually, push, seen, settings};
use crate::postgres::Postgres;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_is_refused_holds_up_no_other() {
    let server = Postgres::start("");
    let mut site = Site::start("g", Durability::Local);
    let first = site.next();
    site.running.send(first).await;
    {
        let _follower = site.follow(settings(&server));
        site.caught_up().await;
        eventually("the tables are there", || server.count("reading") == Some(2)).await;
    }
    server.execute("ALTER TABLE reading ADD CONSTRAINT sane CHECK (value <> 13)");
    let mut bad = batch(100, 1);
    for value in 0..100 {
        push(&mut bad, 0, 1, BEGIN + value, value as f64);
    }
    // A time that nobody has, and a name with a NUL byte in it.
    push(&mut bad, 0, 1, i64::MAX / 2, 1.0);
    bad.seen = vec![seen(7, "bad\0name"), seen(8, "good")];
    let mut alarm = raised(50, &[]);
    alarm.event.id = crate::fixture::id(3_000_000);
    alarm.body = r#"{"a":"raw NUL: "#.to_owned() + "\0\"}";
    bad.alarms = vec![alarm, raised(51, &[])];
    site.running.send(bad).await;
    site.running
        .send(Batch {
            alarms: vec![raised(52, &[])],
            ..Batch::default()
        })
        .await;
    let follower = site.follow(settings(&server));
    eventually("what is good is there", || {
        server.count("reading") == Some(2 + 99)
    })
    .await;
    eventually("all else is there", || {
        server.rows("SELECT seq FROM event ORDER BY seq") == ["1", "3", "4"]
    })
    .await;
    let refused =
        server.rows("SELECT \"table\", row, reason LIKE '%sane%' FROM replica_refused ORDER BY number");
    assert_eq!(refused.len(), 4, "{refused:?}");
    assert!(
        refused[0].starts_with("reading|device 0 point 1 at 4611686018427387903"),
        "{refused:?}"
    );
    assert!(refused.contains(&"device|device 7|f".to_owned()), "{refused:?}");
    assert!(refused.contains(&"event|event 2|f".to_owned()), "{refused:?}");
    let sample = format!("reading|device 0 point 1 at {} value 13|t", BEGIN + 13);
    assert!(refused.contains(&sample), "{refused:?}");
    assert_eq!(follower.metrics.replication_refused("reading").get(), 2);
    assert_eq!(follower.metrics.replication_refused("event").get(), 1);
    assert_eq!(
        server.rows("SELECT number FROM device ORDER BY number"),
        ["0", "8"]
    );
}

/// PostgreSQL was away for longer than the store keeps what it has not copied.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_retention_deleted_before_they_were_copied_are_named() {
    let server = Postgres::start("");
    let mut site = Site::start("g", Durability::Local);
    site.feed(4).await;
    eventually("they are committed", || site.ends.committed.borrow().event == 4).await;
    crate::fixture::connection(site.folder.path())
        .execute_batch(
            "BEGIN;
             INSERT INTO chain_start (id, seq, hash) SELECT 1, seq, hash FROM event WHERE seq = 2;
             DELETE FROM event WHERE seq <= 2;
             DELETE FROM history WHERE row <= 3;
             COMMIT",
        )
        .expect("the oldest rows are deleted");
    let follower = site.follow(settings(&server));
    eventually("what is left is there", || server.count("reading") == Some(2)).await;
    eventually("the events too", || {
        server.rows("SELECT seq FROM event ORDER BY seq") == ["3", "4"]
    })
    .await;
    let refused = server.rows("SELECT \"table\", row, reason FROM replica_refused ORDER BY \"table\"");
    assert_eq!(
        refused,
        [
            "event|event 2|the events from 1 on were deleted by retention before they were copied",
            "reading|row 3 of the history|the history rows from 1 on were deleted by retention before they were copied",
        ]
    );
    assert_eq!(follower.metrics.replication_refused("event").get(), 1);
    assert_eq!(follower.metrics.replication_refused("reading").get(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_run_of_samples_is_passed_over() {
    let server = Postgres::start("");
    let mut site = Site::start("g", Durability::Local);
    site.feed(3).await;
    eventually("they are committed", || site.ends.committed.borrow().event == 3).await;
    crate::fixture::connection(site.folder.path())
        .execute("UPDATE history SET samples = x'0100000000AA' WHERE row = 2", [])
        .expect("the row is damaged");
    let follower = site.follow(settings(&server));
    eventually("the others are there", || server.count("reading") == Some(4)).await;
    assert_eq!(follower.metrics.replication_refused("reading").get(), 1);
    let refused = server.rows("SELECT row FROM replica_refused");
    assert_eq!(refused, ["row 2 of the history"]);
}
