//! What arrives: every row as the store has it, several gateways side by side, names, views.

use std::sync::Arc;

use ninewatch::config::Durability;
use ninewatch::domain::alarm::{AlarmState, AlarmStep, ClearReason};
use ninewatch::domain::interlock::{Cause, CommandStep, Failure};
use ninewatch::domain::notice_command::{CommandEventBody, OrderBody};
use ninewatch::domain::registry::{RegisteredDevice, Registry};
use ninewatch::domain::time::Timestamp;
use ninewatch::handoff::{Batch, CommandCommit, Directory};

use crate::fixture::{batch, id, ordered, raised, step};
use crate::follower::{BEGIN, Site, eventually, names, push, seen, settings};
use crate::postgres::Postgres;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_arrives_as_the_store_has_it() {
    let server = Postgres::start("");
    let mut site = Site::start("g", Durability::Local);
    site.feed(60).await;
    let follower = site.follow(settings(&server));
    site.feed(60).await;
    site.same(&server).await;
    assert!(follower.metrics.replication_rows("reading").get() > 1_000);
    assert_eq!(follower.metrics.replication_connected.get(), 1);
    eventually("nothing is left", || {
        follower.metrics.replication_lag.get() == 0.0
    })
    .await;
    // Ending an alarm is an update of its row.
    let cleared = step(
        1,
        AlarmStep::Cleared(ClearReason::Recovered),
        AlarmState::Cleared,
        &[],
    );
    let alarms = vec![cleared];
    site.running
        .send(Batch {
            alarms,
            ..Batch::default()
        })
        .await;
    eventually("it is ended there", || {
        server.rows("SELECT count(*) FROM alarm WHERE NOT standing") == ["1"]
    })
    .await;
    site.same(&server).await;
    let rows = server.rows("SELECT count(*) FROM replica_refused");
    assert_eq!(rows, ["0"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_larger_than_a_slice_arrives_whole() {
    let server = Postgres::start("");
    let mut site = Site::start("g", Durability::Local);
    let first = site.next();
    site.running.send(first).await;
    // Devices beyond one slice, and samples beyond one.
    for block in 0..50 {
        let mut next = batch(100 + block, 1);
        for place in 0..100 {
            let device = 1 + u32::try_from(block).expect("few") * 100 + place;
            next.seen.push(seen(device, "x"));
            for sample in 0..20 {
                push(&mut next, device, 1, BEGIN + i64::from(sample), f64::from(device));
            }
        }
        site.running.send(next).await;
    }
    let _follower = site.follow(settings(&server));
    site.running.send(batch(1_000, 1)).await;
    eventually("all devices are there", || server.count("device") == Some(5_001)).await;
    eventually("all samples are there", || {
        server.count("reading") == Some(100_002)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_share_a_database() {
    let server = Postgres::start("");
    let mut sites = [
        Site::start("one", Durability::Local),
        Site::start("two", Durability::Local),
    ];
    let _followers: Vec<_> = sites.iter().map(|site| site.follow(settings(&server))).collect();
    for site in &mut sites {
        site.feed(40).await;
    }
    for site in &mut sites {
        site.same(&server).await;
    }
    let stores = server.rows("SELECT gateway FROM store ORDER BY gateway");
    assert_eq!(stores, ["one", "two"]);
    assert_eq!(
        server.rows("SELECT gateway, id FROM venue ORDER BY 1"),
        ["one|v1", "two|v1"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fresh_store_of_the_same_gateway_is_another_one() {
    let server = Postgres::start("");
    for stores in 1..=2 {
        let mut site = Site::start("g", Durability::Local);
        let _follower = site.follow(settings(&server));
        site.feed(5).await;
        eventually("its events are there", || {
            server.count("event") == Some(5 * stores)
        })
        .await;
    }
    assert_eq!(server.rows("SELECT count(DISTINCT store) FROM event"), ["2"]);
    assert_eq!(
        server.rows("SELECT count(*) FROM gateway"),
        ["1"],
        "the view has the newest"
    );
}

/// A step of order 7, or 8 that nobody's alarm wants, in its real words.
fn told(order: u64, step: CommandStep) -> CommandCommit {
    let alarm = raised(1, &[]).event.alarm;
    let cause = if order == 7 {
        Cause::Alarm(Box::new(alarm))
    } else {
        Cause::Exercise
    };
    let mut commit = ordered(order, "s1", (step, cause), &[]);
    let registry = names("示例餐馆").registry;
    let shown = OrderBody::new(&commit.event, &registry);
    let body = CommandEventBody::new(&commit.event, &shown, &registry, ("g", "http://gw"));
    commit.body = serde_json::to_string(&body).expect("it is JSON");
    commit
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_are_shown_as_they_stand_after_their_last_event() {
    let server = Postgres::start("");
    let site = Site::start("g", Durability::Local);
    let follower = site.follow(settings(&server));
    let mut first = batch(0, 1);
    first.alarms = vec![raised(1, &[])];
    first.commands = vec![
        told(7, CommandStep::Requested),
        told(8, CommandStep::Requested),
        told(7, CommandStep::Failed(Failure::NotProven)),
    ];
    site.running.send(first).await;
    eventually("its events are there", || server.count("event") == Some(4)).await;
    let view = "SELECT gateway, id, command, state, reason, venue, venue_name, kind, device, alarm, attempt, took_ms,
                       (extract(epoch FROM requested_at) * 1000)::bigint FROM commands ORDER BY id";
    let (alarm, seven, eight) = (id(1), id(7), id(8));
    let requested = 1_767_225_600_000_i64;
    assert_eq!(
        server.rows(view),
        [
            format!(
                "g|{seven}|close|failed|not_proven|v1|示例餐馆|shutoff_valve|s1|{alarm}|1|2500|{requested}"
            ),
            format!("g|{eight}|close|sent||v1|示例餐馆|shutoff_valve|s1||1|2500|{requested}"),
        ]
    );
    assert_eq!(follower.metrics.replication_refused("event").get(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_views_answer_with_names() {
    let server = Postgres::start("");
    let mut site = Site::start("g", Durability::Local);
    let follower = site.follow(settings(&server));
    site.feed(8).await;
    let mut more = batch(100, 1);
    push(&mut more, 0, 2, BEGIN + 3, 1.0);
    site.running.send(more).await;
    site.caught_up().await;
    eventually("all is there", || server.count("reading") == Some(17)).await;
    let alarms = "SELECT class, priority, venue_name, address, device_name FROM current_alarms LIMIT 1";
    assert_eq!(server.rows(alarms), ["alarm|critical|示例餐馆|示例路 1 号|g1"]);
    let days = "SELECT gateway, day::date, class, alarms FROM alarms_per_day_and_class";
    assert_eq!(server.rows(days), ["g|2026-01-01|alarm|4"]);
    let presence = "SELECT device, device_name, online, (extract(epoch FROM last_seen) * 1000)::bigint FROM device_presence";
    assert_eq!(server.rows(presence), [format!("d0|厨房|f|{}", BEGIN + 7_000)]);
    let readings = "SELECT device, point, value, unit, word FROM readings_named
                    WHERE point <> 'online' ORDER BY at LIMIT 2";
    assert_eq!(server.rows(readings), ["d0|lel|0.5|%LEL|", "d0|state|1||warmup"]);

    follower.directory.send_replace(Arc::new(names("新名字")));
    eventually("a reload's names are there", || {
        server.rows("SELECT name FROM venue") == ["新名字"]
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_was_renamed_keeps_its_number_here_and_there() {
    let server = Postgres::start("");
    let mut site = Site::start("g", Durability::Local);
    let follower = site.follow(settings(&server));
    site.feed(12).await;
    site.same(&server).await;
    let former = seen(0, "d");
    let mut renamed = former.clone();
    "kitchen".clone_into(&mut renamed.key.device);
    renamed.at = Timestamp(BEGIN + 60_000);
    let device = RegisteredDevice {
        key: renamed.key.clone(),
        // One of them was never heard of.
        aliases: vec![seen(7, "old").key, former.key],
        ..RegisteredDevice::default()
    };
    let mut next = batch(200, 1);
    next.seen.push(renamed);
    site.running.send(next).await;
    follower.directory.send_replace(Arc::new(Directory {
        registry: Registry::new(Vec::new(), vec![device]),
        ..Directory::default()
    }));
    eventually("it has its new name there", || {
        server.rows("SELECT number FROM device WHERE device = 'kitchen'") == ["0"]
    })
    .await;
    // It was first seen when it was.
    site.same(&server).await;
    assert_eq!(server.rows("SELECT count(*) FROM device"), ["2"]);
}
