//! How fast the follower copies a backlog of samples to PostgreSQL, beside its floor: the same rows by a bare binary COPY
//! into the same table, in transactions as large. The server writes durably. `TMPDIR` chooses the disk.

#![expect(clippy::expect_used, reason = "a bench that cannot be set up has no figure")]

#[path = "../tests/support/postgres.rs"]
#[expect(dead_code, reason = "the tests use the rest of it")]
mod postgres;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use ninewatch::clock;
use ninewatch::config::{Durability, PostgresSettings, PostgresTls, StoreSettings};
use ninewatch::domain::device::DeviceIndex;
use ninewatch::domain::history::{PointNumber, Sample};
use ninewatch::domain::time::Timestamp;
use ninewatch::handoff::{Batch, Directory, Work};
use ninewatch::lifecycle::Health;
use ninewatch::metrics::Metrics;
use ninewatch::replicate::{Limits, Replicate};
use ninewatch::store::{FollowerLine, Outlets, Store};
use postgres::Postgres;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::Type;
use tokio_util::sync::CancellationToken;

/// Batches in the backlog, and samples in each: three quarters of a million rows.
const BATCHES: i64 = 750;
const SAMPLES: i64 = 1_000;

/// Rows in a transaction of the floor, as in a slice of the follower.
const SLICE: usize = 65_536;

/// The samples are of one hour of 2026: they stay, whatever the date.
const AGES: Duration = Duration::from_hours(24 * 36_500);
const RUNS: usize = 3;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(run());
}

async fn run() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut figures = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let server = Postgres::start("fsync = on");
        figures.0.push(follower(folder.path(), &server).await);
        figures.1.push(floor(&server).await);
    }
    let (follower, floor) = (median(figures.0), median(figures.1));
    println!("follower: {follower:.0} rows/s");
    println!("floor, a bare binary COPY of the same rows: {floor:.0} rows/s");
    println!("follower / floor: {:.2}", follower / floor);
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().expect("a run")
}

fn sample(number: i64) -> Sample {
    Sample {
        device: DeviceIndex(u32::try_from(number % 10_000).expect("in range")),
        point: PointNumber(u16::try_from(number % 4).expect("in range")),
        at: Timestamp(1_767_225_600_000 + number),
        value: number as f64 / 10.0,
    }
}

/// Rows a second of a follower that finds the whole backlog, from its start until PostgreSQL has committed the last.
async fn follower(folder: &Path, server: &Postgres) -> f64 {
    let (store, recovered) = Store::open(folder).expect("the store opens");
    let reader = store.reader().expect("a reader");
    let (line, ends) = FollowerLine::new(false);
    let (metrics, health) = (Metrics::new(), Health::new());
    let outlets = Outlets {
        receipts: mpsc::channel(16).0,
        notices: watch::channel(0).0,
        follower: Some(line),
        metrics: metrics.clone(),
        health: health.clone(),
    };
    let (work, writer) = store
        .start(
            outlets,
            StoreSettings {
                history_keep: AGES,
                ..StoreSettings::default()
            },
        )
        .expect("the writer starts");
    if recovered.last.is_none() {
        fill(&work).await;
    }
    let mut committed = ends.committed.clone();
    let filled = committed.wait_for(|committed| committed.history == BATCHES).await;
    drop(filled.expect("the writer runs"));
    let mut reached = ends.followed.subscribe();
    let follower = Replicate {
        settings: settings(server),
        gateway: "bench".to_owned(),
        reader,
        ends,
        work: work.clone(),
        directory: watch::channel(Arc::new(Directory::default())).1,
        metrics,
        health,
        limits: Limits::default(),
    };
    let stop = CancellationToken::new();
    let mut task = JoinSet::new();
    let started = clock::monotonic();
    task.spawn(follower.run(stop.clone()));
    let copied = reached.wait_for(|followed| followed.history == BATCHES).await;
    drop(copied.expect("the follower runs"));
    let seconds = started.elapsed().as_secs_f64();
    stop.cancel();
    task.join_all().await;
    drop(work);
    tokio::task::spawn_blocking(move || writer.join())
        .await
        .expect("joined")
        .expect("it ends well");
    assert_eq!(server.count("reading"), Some((BATCHES * SAMPLES).unsigned_abs()));
    (BATCHES * SAMPLES) as f64 / seconds
}

async fn fill(work: &mpsc::Sender<Work>) {
    for number in 0..BATCHES {
        let mut batch = Batch {
            first_input: number.unsigned_abs(),
            inputs: 1,
            journal: vec![1],
            ..Batch::default()
        };
        for place in 0..SAMPLES {
            batch
                .samples
                .push(&sample(number * SAMPLES + place))
                .expect("a sample packs");
        }
        work.send(Work::Batch(Box::new(batch)))
            .await
            .expect("the writer takes it");
    }
}

/// Rows a second of a program that does nothing else, into a table like that of the readings.
async fn floor(server: &Postgres) -> f64 {
    server.execute(
        "CREATE TABLE floor (LIKE reading) PARTITION BY RANGE (at);
         CREATE TABLE floor_2026 PARTITION OF floor FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
         CREATE INDEX ON floor USING brin (at); ALTER TABLE floor OWNER TO ninewatch",
    );
    server.execute("ALTER TABLE floor_2026 OWNER TO ninewatch");
    let (mut client, connection) = tokio_postgres::connect(&server.url(), tokio_postgres::NoTls)
        .await
        .expect("it connects");
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let types = [
        Type::TIMESTAMPTZ,
        Type::FLOAT8,
        Type::INT4,
        Type::INT4,
        Type::INT4,
    ];
    let all: Vec<i64> = (0..BATCHES * SAMPLES).collect();
    let started = clock::monotonic();
    for slice in all.chunks(SLICE) {
        let transaction = client.transaction().await.expect("a transaction");
        let sink = transaction
            .copy_in("COPY floor FROM STDIN BINARY")
            .await
            .expect("it copies");
        let mut writer = std::pin::pin!(BinaryCopyInWriter::new(sink, &types));
        for &number in slice {
            let sample = sample(number);
            let at = UNIX_EPOCH + Duration::from_millis(sample.at.0.unsigned_abs());
            let device = i32::try_from(sample.device.0).expect("in range");
            let point = i32::from(sample.point.0);
            writer
                .as_mut()
                .write(&[&at, &sample.value, &1_i32, &device, &point])
                .await
                .expect("a row");
        }
        writer.finish().await.expect("all rows");
        transaction.commit().await.expect("it commits");
    }
    all.len() as f64 / started.elapsed().as_secs_f64()
}

fn settings(server: &Postgres) -> PostgresSettings {
    let keep = Duration::from_hours(24 * 36_500);
    PostgresSettings {
        server: server.url().parse().expect("a URL"),
        password: None,
        tls: PostgresTls::Off,
        durability: Durability::Local,
        keep,
        readings_keep: keep,
    }
}
