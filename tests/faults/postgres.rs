//! PostgreSQL stops, freezes, refuses, and the gateway dies while it copies. Every row arrives there once: all tables are
//! compared with the store's, row by row. Where receipts wait for PostgreSQL, none leaves before it has its rows.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{interval, sleep};

use crate::crash::{Random, SEED};
use crate::support::eventually::stays;
use crate::support::gateway::Gateway;
use crate::support::ledger::{Ledger, publish};
use crate::support::mosquitto::Mosquitto;
use crate::support::postgres::Postgres;
use crate::support::publisher::Publisher;
use crate::support::replica::{CATCH_UP, assert_same, caught_up, open, readings_of};
use crate::support::sink::Sink;
use crate::support::{PATIENCE, eventually};
use crate::{BROKER, flowing, scale, under_stream};

const SOME: u64 = 100;

/// Beside the stream of alarms some devices change their values all the time: so many a second.
const CHANGES: u32 = 100;

/// A value that PostgreSQL is made to refuse, and that no other reading has.
const REFUSED: f64 = 33.25;

fn times() -> u32 {
    scale("NINEWATCH_FAULTS", 3)
}

fn away() -> Duration {
    Duration::from_secs(u64::from(scale("NINEWATCH_PG_AWAY_S", 10)))
}

/// A gateway with a PostgreSQL and all else that a case needs.
struct Site {
    ledger: Ledger,
    broker: Mosquitto,
    sink: Sink,
    server: Postgres,
    gateway: Gateway,
    devices: Publisher,
    changing: Publisher,
}

impl Site {
    async fn start(fault: &'static str, settings: &str) -> Site {
        let server = Postgres::start("");
        let broker = Mosquitto::start(BROKER);
        let sink = Sink::start();
        let postgres = format!("[postgres]\nurl = \"{}\"\n{settings}\n[files]", server.url());
        let gateway = Gateway::prepare(broker.port, &sink.url()).edited("[files]", &postgres);
        Site {
            ledger: Ledger::of(fault),
            gateway: gateway.start().await,
            devices: Publisher::start(broker.port, "devices"),
            changing: Publisher::start(broker.port, "changing"),
            broker,
            sink,
            server,
        }
    }

    /// Does `work` while messages flow.
    async fn under_load(&mut self, work: impl AsyncFnOnce(&mut Gateway, &mut Postgres, &mut Ledger)) {
        let (stop, stopped) = watch::channel(false);
        let (gateway, server, ledger) = (&mut self.gateway, &mut self.server, &mut self.ledger);
        let stream = under_stream(&mut self.devices, async {
            flowing(gateway, SOME).await;
            work(gateway, server, ledger).await;
            stop.send_replace(true);
        });
        tokio::join!(stream, change_until(&mut self.changing, stopped));
    }

    /// Waits until PostgreSQL has caught up, compares both sides, and closes the ledger.
    async fn same(mut self, refused: &[String]) {
        let (gateway, server) = (&mut self.gateway, &self.server);
        // The broker keeps the order: what it took before has come when this one has.
        self.changing.flush().await;
        publish(&mut self.devices).await;
        let ledger = &mut self.ledger;
        let recovered = async {
            gateway.wait_ready().await;
            caught_up(gateway, server).await;
        };
        ledger.recovering(recovered).await;
        let sinks = [&self.sink];
        ledger.wait_complete(gateway, &self.devices, &sinks).await;
        caught_up(gateway, server).await;
        assert_same(gateway, server, refused);
        let rows = server.rows("SELECT count(*) FROM replica_refused");
        assert_eq!(rows, [refused.len().to_string()], "refused rows");
        self.ledger.settle(&mut self.gateway, &self.devices, &sinks).await;
        drop(self.broker);
    }
}

/// Devices whose temperature goes up and down: no alarm, and every message a reading that is kept.
async fn change_until(changing: &mut Publisher, stopped: watch::Receiver<bool>) {
    let mut pace = interval(Duration::from_secs(1) / CHANGES);
    while !*stopped.borrow() {
        pace.tick().await;
        let number = changing.published();
        let temperature = 20 + number / 20 % 30;
        changing
            .gas(
                &format!("t{}", number % 20),
                &format!(r#"{{"temperature":{temperature}.5}}"#),
            )
            .await;
    }
}

/// Waits until the follower has failed for this reason.
async fn noticed(gateway: &Gateway, reason: &str) {
    let label = format!(r#"reason="{reason}""#);
    eventually("the follower notices", CATCH_UP, async || {
        let errors = gateway
            .metric("ninewatch_replication_errors_total", &[&label])
            .await;
        (errors > 0).then_some(())
    })
    .await;
}

async fn connected(gateway: &Gateway) {
    eventually("PostgreSQL is connected", CATCH_UP, async || {
        (gateway.metric("ninewatch_replication_connected", &[]).await == 1).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_stopped() {
    let mut site = Site::start("PostgreSQL stopped for long under load", "").await;
    site.under_load(async |gateway, server, ledger| {
        server.stop();
        ledger.inject();
        // The time is the point of the test: so long everything goes on without PostgreSQL.
        sleep(away()).await;
        flowing(gateway, SOME).await;
        server.resume();
    })
    .await;
    site.same(&[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stands_still() {
    let mut site = Site::start("PostgreSQL frozen (SIGSTOP) under load", "").await;
    site.under_load(async |gateway, server, ledger| {
        server.freeze();
        ledger.inject();
        sleep(away()).await;
        flowing(gateway, SOME).await;
        server.thaw();
    })
    .await;
    site.same(&[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_crashes_and_restarts() {
    let mut site = Site::start("PostgreSQL crashed and restarted (immediate)", "").await;
    site.under_load(async |gateway, server, ledger| {
        for _ in 0..times() {
            connected(gateway).await;
            flowing(gateway, SOME).await;
            server.kill();
            ledger.inject();
            server.resume();
            ledger.recovering(connected(gateway)).await;
        }
    })
    .await;
    site.same(&[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_read_only() {
    let mut site = Site::start("PostgreSQL read-only", "").await;
    site.under_load(async |gateway, server, ledger| {
        server.set_read_only(true);
        ledger.inject();
        noticed(gateway, "read_only").await;
        flowing(gateway, SOME).await;
        server.set_read_only(false);
    })
    .await;
    site.same(&[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_a_free_connection() {
    let mut site = Site::start("PostgreSQL out of connections", "").await;
    site.under_load(async |gateway, server, ledger| {
        connected(gateway).await;
        server.execute("ALTER ROLE ninewatch CONNECTION LIMIT 0");
        server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'ninewatch'");
        ledger.inject();
        noticed(gateway, "too_many_connections").await;
        flowing(gateway, SOME).await;
        server.execute("ALTER ROLE ninewatch CONNECTION LIMIT -1");
    })
    .await;
    site.same(&[]).await;
}

/// Exactly the rows that break the constraint are set aside, and every other one arrives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_constraint_that_one_row_breaks() {
    let mut site = Site::start("PostgreSQL refuses one row (constraint)", "").await;
    let mut bad = Publisher::start(site.broker.port, "bad");
    site.under_load(async |gateway, server, ledger| {
        eventually("the tables are there", PATIENCE, async || {
            (server.count("reading")? > 0).then_some(())
        })
        .await;
        server.execute(&format!(
            "ALTER TABLE reading ADD CONSTRAINT sane CHECK (value <> {REFUSED})"
        ));
        for time in 0..times() {
            let temperature = format!(r#"{{"temperature":{REFUSED}}}"#);
            bad.gas(&format!("bad{time}"), &temperature).await;
            ledger.inject();
            flowing(gateway, SOME).await;
        }
    })
    .await;
    bad.flush().await;
    eventually("the bad rows are stored", PATIENCE, async || {
        (readings_of(&site.gateway, REFUSED).len() == times() as usize).then_some(())
    })
    .await;
    let refused = readings_of(&site.gateway, REFUSED);
    caught_up(&site.gateway, &site.server).await;
    let names = site
        .server
        .rows("SELECT row FROM replica_refused WHERE \"table\" = 'reading'");
    let described = |row: &String| {
        let columns: Vec<&str> = row.split('|').collect();
        format!(
            "device {} point {} at {} value {}",
            columns[0], columns[1], columns[2], columns[3]
        )
    };
    for row in refused.iter().map(described) {
        assert!(names.contains(&row), "{row} in {names:?}");
    }
    site.same(&refused).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_is_killed_while_it_copies() {
    let mut site = Site::start("kill -9 while copying to PostgreSQL", "").await;
    site.under_load(async |gateway, _, ledger| {
        let mut random = Random(SEED);
        for _ in 0..scale("NINEWATCH_COPY_KILLS", 10) {
            connected(gateway).await;
            // The random moment is the point of the test: copying goes on all the time.
            sleep(Duration::from_millis(random.below(400))).await;
            gateway.kill();
            ledger.inject();
            gateway.launch();
            ledger.recovering(gateway.wait_ready()).await;
        }
    })
    .await;
    site.same(&[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_ends_between_the_rows_and_their_commit() {
    let mut site = Site::start("ends between PostgreSQL's rows and their commit", "").await;
    site.under_load(async |gateway, _, ledger| {
        for time in 0..scale("NINEWATCH_MOMENTS", 5) {
            gateway.kill();
            gateway.set_environment(
                "FAILPOINTS",
                format!("replicate-before-commit={}*off->return", time % 5),
            );
            gateway.launch();
            let ended = eventually("the gateway ends at its fail point", PATIENCE, async || {
                gateway.ended()
            });
            let status = ended.await;
            assert!(!status.success(), "it was aborted: {status}");
            ledger.inject();
            gateway.set_environment("FAILPOINTS", "");
            gateway.launch();
            ledger.recovering(gateway.wait_ready()).await;
            connected(gateway).await;
        }
    })
    .await;
    site.same(&[]).await;
}

/// While PostgreSQL is away nothing is acknowledged, and afterwards everything is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receipts_that_wait_for_the_server() {
    const ACKNOWLEDGED: &str = "ninewatch_messages_acknowledged_total";
    let fault = "PostgreSQL stopped, receipts wait for it (replicated)";
    let mut site = Site::start(fault, "durability = \"replicated\"").await;
    site.under_load(async |gateway, server, ledger| {
        connected(gateway).await;
        server.stop();
        ledger.inject();
        gateway.wait_unready().await;
        // What PostgreSQL had committed before it stopped may still be released.
        let held = eventually("receipts are held", PATIENCE, async || {
            let before = gateway.metric(ACKNOWLEDGED, &[]).await;
            let received = gateway.metric("ninewatch_messages_received_total", &[]).await;
            (received > before + SOME).then_some(before)
        })
        .await;
        let events = open(&gateway.data())
            .query_row("SELECT max(seq) FROM event", [], |row| row.get::<_, i64>(0))
            .expect("events");
        assert!(events > 0, "commits here go on");
        stays("nothing is acknowledged", away() / 2, async || {
            gateway.metric(ACKNOWLEDGED, &[]).await == held
        })
        .await;
        server.resume();
        let recovered = async {
            connected(gateway).await;
            gateway.wait_ready().await;
        };
        ledger.recovering(recovered).await;
    })
    .await;
    site.same(&[]).await;
}
