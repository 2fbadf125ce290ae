//! `durability = "replicated"`: no receipt leaves before PostgreSQL has what its message caused.

use ninewatch::config::{Durability, PostgresSettings};
use ninewatch::handoff::Batch;

use crate::fixture::receipt;
use crate::follower::{Site, eventually, settings};
use crate::postgres::Postgres;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receipts_wait_for_the_commit_of_postgresql_and_keep_their_order() {
    let mut server = Postgres::start("");
    let mut site = Site::start("g", Durability::Replicated);
    let replicated = PostgresSettings {
        durability: Durability::Replicated,
        ..settings(&server)
    };
    let follower = site.follow(replicated);
    let first = Batch {
        receipts: vec![receipt(1)],
        ..site.next()
    };
    site.running.send(first).await;
    assert_eq!(site.running.next_receipts().await, [receipt(1)]);
    assert_eq!(server.count("event"), Some(1), "it left after the commit");

    server.stop();
    for number in 2..=4 {
        let next = Batch {
            receipts: vec![receipt(number)],
            ..site.next()
        };
        site.running.send(next).await;
    }
    // One that caused nothing waits its turn behind them.
    site.running
        .send(Batch {
            receipts: vec![receipt(5)],
            ..Batch::default()
        })
        .await;
    eventually("all is committed here", || {
        site.ends.committed.borrow().event == 4
    })
    .await;
    eventually("it is missed", || {
        follower.metrics.replication_connected.get() == 0
    })
    .await;
    assert!(site.running.health.replica_away());
    assert!(
        site.running.receipts.try_recv().is_err(),
        "no receipt while PostgreSQL is down"
    );
    server.resume();
    let mut released = Vec::new();
    while released.len() < 4 {
        released.extend(site.running.next_receipts().await);
        assert!(server.count("event") >= Some(2));
    }
    assert_eq!(released, [2, 3, 4, 5].map(receipt));
    eventually("it is ready again", || !site.running.health.replica_away()).await;
}
