//! A server that stops, freezes, refuses, and a follower that dies between the rows and their commit: nothing is lost,
//! nothing comes twice.

use ninewatch::config::Durability;

use crate::fixture::connection;
use crate::follower::{Site, eventually, settings};
use crate::postgres::Postgres;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stops_gets_the_rest_when_it_is_back() {
    let mut server = Postgres::start("");
    let mut site = Site::start("g", Durability::Local);
    let follower = site.follow(settings(&server));
    for crash in [false, true] {
        site.feed(30).await;
        eventually("it is in the middle", || {
            follower.metrics.replication_rows("event").get() > 0
        })
        .await;
        if crash {
            server.kill();
        } else {
            server.stop();
        }
        site.feed(30).await;
        eventually("it is missed", || {
            follower.metrics.replication_connected.get() == 0
        })
        .await;
        eventually("the lag is told", || follower.metrics.replication_lag.get() > 0.0).await;
        server.resume();
    }
    site.same(&server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_there_later_than_the_gateway_gets_everything() {
    let mut server = Postgres::start("");
    server.stop();
    let mut site = Site::start("g", Durability::Local);
    let follower = site.follow(settings(&server));
    site.feed(20).await;
    eventually("it tries", || {
        follower.metrics.replication_errors("connection").get() >= 2
    })
    .await;
    server.resume();
    site.same(&server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_server_is_noticed() {
    let server = Postgres::start("");
    let mut site = Site::start("g", Durability::Local);
    let follower = site.follow(settings(&server));
    site.feed(10).await;
    site.caught_up().await;
    server.freeze();
    site.feed(10).await;
    eventually("it is noticed", || {
        follower.metrics.replication_errors("timeout").get() >= 1
    })
    .await;
    assert_eq!(follower.metrics.replication_connected.get(), 0);
    server.thaw();
    site.same(&server).await;
}

/// A backup put back in place and grown past the cursor since: by its length alone nothing would be noticed, and its rows
/// would be copied under the numbers of others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_whose_last_copied_event_is_another_is_not_copied() {
    let server = Postgres::start("");
    let mut site = Site::start("g", Durability::Local);
    let follower = site.follow(settings(&server));
    site.feed(10).await;
    site.same(&server).await;
    drop(follower);
    let epoch = "SELECT epoch FROM store";
    let epoch: i64 = connection(site.folder.path())
        .query_row(epoch, [], |row| row.get(0))
        .expect("the store has one");

    let mut restored = Site::start("g", Durability::Local);
    connection(restored.folder.path())
        .execute("UPDATE store SET epoch = ?1", [epoch])
        .expect("it is taken");
    for number in 0..20 {
        let mut next = restored.next();
        if number == 9 {
            next.alarms[0].body = String::from(r#"{"another":"event"}"#);
        }
        restored.running.send(next).await;
    }
    eventually("it has grown", || restored.ends.committed.borrow().event >= 20).await;
    let follower = restored.follow(settings(&server));
    eventually("it is noticed", || {
        follower.metrics.replication_errors("restored").get() >= 2
    })
    .await;
    assert_eq!(server.rows("SELECT max(seq) FROM event"), ["10"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_only_server_is_waited_for() {
    let server = Postgres::start("");
    let mut site = Site::start("g", Durability::Local);
    let follower = site.follow(settings(&server));
    site.feed(10).await;
    site.caught_up().await;
    server.set_read_only(true);
    site.feed(10).await;
    eventually("it is noticed", || {
        follower.metrics.replication_errors("read_only").get() >= 1
    })
    .await;
    server.set_read_only(false);
    site.same(&server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_a_free_connection_is_waited_for() {
    let server =
        Postgres::start("max_connections = 7\nsuperuser_reserved_connections = 5\nmax_wal_senders = 0");
    // A connection that has just ended counts for a moment longer.
    let mut taken = Vec::new();
    while taken.len() < 2 {
        taken.extend(tokio_postgres::connect(&server.url(), tokio_postgres::NoTls).await);
    }
    let mut site = Site::start("g", Durability::Local);
    let follower = site.follow(settings(&server));
    site.feed(10).await;
    eventually("it is noticed", || {
        follower.metrics.replication_errors("too_many_connections").get() >= 1
    })
    .await;
    drop(taken);
    site.same(&server).await;
}

/// The cursor's row is locked by somebody, so that the follower stands between its rows and their commit; there it dies.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_dies_between_rows_and_commit_leaves_nothing_behind() {
    let server = Postgres::start("");
    let mut site = Site::start("g", Durability::Local);
    let mut follower = site.follow(settings(&server));
    site.feed(10).await;
    for _ in 0..3 {
        site.caught_up().await;
        let (mut blocker, connection) = tokio_postgres::connect(&server.url(), tokio_postgres::NoTls)
            .await
            .expect("a second connection");
        let mut driver = tokio::task::JoinSet::new();
        driver.spawn(connection);
        let lock = blocker.transaction().await.expect("a transaction");
        lock.execute("SELECT FROM store FOR NO KEY UPDATE", &[])
            .await
            .expect("the lock");
        site.feed(10).await;
        let waiting = "SELECT count(*) FROM pg_stat_activity
                       WHERE application_name = 'ninewatch g' AND wait_event_type = 'Lock' AND query LIKE '%UPDATE store%'";
        eventually("it waits to commit", || server.rows(waiting) == ["1"]).await;
        drop(follower);
        lock.rollback().await.expect("the lock is let go");
        follower = site.follow(settings(&server));
    }
    site.same(&server).await;
}

/// Two processes under one name: the cursor lets only one of them commit each slice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_followers_of_one_store_copy_nothing_twice() {
    let server = Postgres::start("");
    let mut site = Site::start("g", Durability::Local);
    let _followers = [site.follow(settings(&server)), site.follow(settings(&server))];
    for _ in 0..20 {
        site.feed(5).await;
    }
    site.same(&server).await;
    assert_eq!(server.rows("SELECT count(*) FROM replica_refused"), ["0"]);
}
