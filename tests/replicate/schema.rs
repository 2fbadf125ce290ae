//! Migrations by several gateways at once, refusal of newer tables, partitions made ahead and dropped.

use std::time::Duration;

use ninewatch::config::Durability;
use ninewatch::domain::time::Timestamp;

use crate::fixture::batch;
use crate::follower::{BEGIN, Site, eventually, push, settings};
use crate::postgres::Postgres;

const DAY_MS: i64 = 86_400_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_that_start_at_once_make_the_tables_once() {
    let server = Postgres::start("");
    let names = ["a", "b", "c", "d"];
    let mut sites: Vec<Site> = names
        .iter()
        .map(|name| Site::start(name, Durability::Local))
        .collect();
    let followers: Vec<_> = sites.iter().map(|site| site.follow(settings(&server))).collect();
    for site in &mut sites {
        site.feed(3).await;
    }
    for site in &mut sites {
        site.same(&server).await;
    }
    let versions = server.rows("SELECT version FROM ninewatch_schema ORDER BY version");
    assert_eq!(versions, ["1", "2"]);
    for follower in &followers {
        assert_eq!(
            follower.metrics.replication_errors("server").get(),
            0,
            "nobody stumbled"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_of_a_newer_version_are_left_alone() {
    let server = Postgres::start("");
    server.execute(
        "CREATE TABLE ninewatch_schema (version integer PRIMARY KEY, applied_at timestamptz NOT NULL)",
    );
    server.execute("INSERT INTO ninewatch_schema VALUES (99, now())");
    server.execute("GRANT ALL ON ninewatch_schema TO ninewatch");
    let mut site = Site::start("g", Durability::Local);
    let follower = site.follow(settings(&server));
    site.feed(1).await;
    eventually("it is said", || {
        follower.metrics.replication_errors("schema").get() >= 2
    })
    .await;
    assert_eq!(server.rows("SELECT to_regclass('event') IS NULL"), ["t"]);
}

fn partitions(server: &Postgres) -> Vec<String> {
    server.rows(
        "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
         WHERE i.inhparent = 'reading'::regclass ORDER BY 1",
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_are_made_ahead_and_dropped_when_they_are_old() {
    let server = Postgres::start("");
    let site = Site::start("g", Durability::Local);
    let now = ninewatch::clock::wall();
    let mut old = batch(0, 1);
    push(&mut old, 0, 1, now.0 - 400 * DAY_MS, 1.0);
    push(&mut old, 0, 1, now.0 - 100 * DAY_MS, 2.0);
    site.running.send(old).await;
    let keeping = settings(&server);
    {
        let _follower = site.follow(keeping.clone());
        eventually("both are there", || server.count("reading") == Some(2)).await;
    }
    let ahead = "SELECT to_char(date_trunc('month', now()) + n * interval '1 month', '\"reading_\"YYYY_MM')
                 FROM generate_series(0, 2) n";
    let made = partitions(&server);
    for month in server.rows(ahead) {
        assert!(made.contains(&month), "{month} in {made:?}");
    }
    assert_eq!(made.len(), 5, "{made:?}");
    let year = Duration::from_hours(24 * 365);
    let _follower = site.follow(ninewatch::config::PostgresSettings {
        readings_keep: year,
        ..keeping
    });
    eventually("the old month is gone", || partitions(&server).len() == 4).await;
    assert_eq!(server.rows("SELECT value FROM reading"), ["2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_events_ended_alarms_and_records_are_deleted() {
    let server = Postgres::start("");
    let mut site = Site::start("g", Durability::Local);
    site.feed(6).await;
    let keeping = settings(&server);
    {
        let _follower = site.follow(keeping.clone());
        site.caught_up().await;
        eventually("all is there", || server.count("event") == Some(6)).await;
    }
    server.execute("UPDATE alarm SET standing = false WHERE id = (SELECT min(id) FROM alarm)");
    server.execute("UPDATE event SET at = now() WHERE seq = 6");
    server.execute(
        "INSERT INTO replica_refused (store, at, \"table\", row, reason)
         SELECT number, now() - days * interval '1 day', 'event', days::text, 'a test' FROM store, (VALUES (2), (0)) AS old (days)",
    );
    assert!(Timestamp(BEGIN) < ninewatch::clock::wall());
    let day = Duration::from_hours(24);
    let _follower = site.follow(ninewatch::config::PostgresSettings { keep: day, ..keeping });
    eventually("old events are gone", || {
        server.rows("SELECT seq FROM event") == ["6"]
    })
    .await;
    eventually("the ended alarm is gone", || server.count("alarm") == Some(2)).await;
    eventually("the old record is gone", || {
        server.rows("SELECT row FROM replica_refused") == ["0"]
    })
    .await;
}
