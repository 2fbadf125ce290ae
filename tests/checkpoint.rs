//! Checkpoints made beside a gateway under load: a restart from one is the engine that has played every input.

#![cfg(test)]

use std::fs;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use ninewatch::checkpoint::Checkpoints;
use ninewatch::clock::{self, Clock};
use ninewatch::config::{self, Settings};
use ninewatch::domain::engine::Engine;
use ninewatch::gateway::{Gateway, Lines, Reconfiguration};
use ninewatch::handoff::{Envelope, OperatorRequest, Receipt};
use ninewatch::lifecycle::{Health, Tasks};
use ninewatch::metrics::Metrics;
use ninewatch::reload::configured;
use ninewatch::restore::{RestoreError, restore};
use ninewatch::store::{History, Outlets, Store, StoreError, Writer};
use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, watch};

const DEADLINE: Duration = Duration::from_mins(1);

fn settings(folder: &Path) -> Settings {
    let rules = "[[rule]]\nid = 'hot'\non = 'gas_detector'\nwhen = 'temperature >= 60.0'\nkeep_for = '1s'\n\
                 class = 'alarm'\npriority = 'high'\ntitle = { zh = '热', en = 'Hot' }\n\
                 [[rule]]\nid = 'rising'\non = 'gas_detector'\nwhen = \"avg(temperature, '1m') >= 50.0\"\n\
                 class = 'warning'\npriority = 'low'\ntitle = { zh = '升', en = 'Rising' }\n";
    fs::write(folder.join("rules.toml"), rules).expect("a file");
    let text = format!(
        "[gateway]\nid = 'test'\ndata_dir = '{}'\n[mqtt]\nurl = 'mqtt://127.0.0.1'\n[http]\nauth = 'none'\n\
         [files]\nrules = ['rules.toml']\n",
        folder.join("data").display()
    );
    config::load_str("t", &text, folder).expect("a sound configuration")
}

/// A gateway on a real store, with a test that plays ingest.
struct Running {
    envelopes: mpsc::Sender<Vec<Envelope>>,
    receipts: mpsc::Receiver<Vec<Receipt>>,
    clock: Clock,
    metrics: Metrics,
    tasks: Tasks,
    writer: Writer,
    turn: u32,
    _others: (
        mpsc::Sender<OperatorRequest>,
        mpsc::Sender<Reconfiguration>,
        Health,
    ),
}

impl Running {
    /// Starts it with a checkpoint every `inputs` inputs.
    fn start(settings: &Settings, inputs: u64) -> Running {
        let data_dir = settings.gateway.data_dir.clone();
        let (store, recovered) = Store::open(&data_dir).expect("it opens");
        let history = History::open(&data_dir).expect("it opens");
        let restored = restore("test", &history, |_| None, || true).expect("it is restored");
        let (decoder, surroundings) = configured(settings).expect("they fit");
        let (clock, metrics, health) = (Clock::resuming(recovered.last), Metrics::new(), Health::new());
        let (receipt_tx, receipts) = mpsc::channel(65_536);
        let outlets = Outlets {
            follower: None,
            receipts: receipt_tx,
            notices: watch::channel(0).0,
            metrics: metrics.clone(),
            health: health.clone(),
        };
        let (work, writer) = store.start(outlets, settings.store).expect("it starts");
        let checkpoints = Checkpoints {
            gateway: "test".to_owned(),
            data_dir,
            inputs,
            last: recovered.checkpointed,
            committed: writer.committed(),
            work: work.clone(),
            metrics: metrics.clone(),
        };
        let (envelope_tx, envelopes) = mpsc::channel(4);
        let (operator_tx, operators) = mpsc::channel(1);
        let (reconfigure_tx, reconfigurations) = mpsc::channel(1);
        let gateway = Gateway::new(restored.engine, decoder, surroundings, metrics.clone());
        let lines = Lines {
            envelopes,
            operators,
            reconfigurations,
            listening: health.follow_broker(),
            command_link: watch::channel(false).1,
            store: health.follow_store(),
            committed: writer.committed(),
            probes: mpsc::channel(1).1,
            commands: mpsc::channel(1).0,
            sent: mpsc::channel(1).1,
            work,
        };
        let mut tasks = Tasks::new();
        let stop = tasks.stopping();
        tasks.spawn("gateway", async move { Ok(gateway.run(clock, lines).await?) });
        tasks.spawn("checkpoint", async move {
            checkpoints.run(stop).await;
            Ok(())
        });
        Running {
            envelopes: envelope_tx,
            receipts,
            clock,
            metrics,
            tasks,
            writer,
            turn: 0,
            _others: (operator_tx, reconfigure_tx, health),
        }
    }

    /// A run of messages of 40 devices, some of them too hot, and waits for their receipts.
    async fn load(&mut self) {
        let run: Vec<Envelope> = (0..200_u16)
            .map(|packet_id| {
                self.turn += 1;
                let temperature = self.turn.wrapping_mul(2_654_435_761) >> 8;
                Envelope {
                    topic: format!("ninewatch/v1/gas_detector/g{}/telemetry", self.turn % 40),
                    payload: Bytes::from(format!(r#"{{"temperature":{}.0}}"#, temperature % 70)),
                    received: self.clock.now(),
                    duplicate: false,
                    retained: false,
                    oversize: None,
                    receipt: Some(Receipt {
                        connection: 1,
                        packet_id: packet_id + 1,
                    }),
                }
            })
            .collect();
        let mut owed = run.len();
        self.envelopes.send(run).await.expect("it runs");
        while owed > 0 {
            let receipts = tokio::time::timeout(DEADLINE, self.receipts.recv()).await;
            owed -= receipts.expect("in time").expect("it runs").len();
        }
    }

    async fn load_until(&mut self, what: &str, holds: impl Fn(&Metrics) -> bool) {
        let started = clock::monotonic();
        while !holds(&self.metrics) {
            assert!(started.elapsed() < DEADLINE, "never came true under load: {what}");
            self.load().await;
        }
    }

    async fn stop(self) {
        let Running {
            envelopes,
            mut tasks,
            writer,
            ..
        } = self;
        tasks.stop();
        drop(envelopes);
        while let Some(ended) = tasks.next_ended().await {
            let (name, outcome) = ended.expect("it does not panic");
            assert!(outcome.is_ok(), "{name}: {outcome:?}");
        }
        writer.ended().await;
        writer.join().expect("it ends well");
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for file in ["ninewatch.db", "ninewatch.db-wal"] {
        if from.join(file).exists() {
            fs::copy(from.join(file), to.join(file)).expect("the file can be copied");
        }
    }
}

fn hash(engine: &Engine) -> [u8; 32] {
    Sha256::digest(engine.snapshot().expect("it is saved")).into()
}

/// The hash of the engine that a restart in `data_dir` finds, of one that plays every input anew, and the checkpoint's
/// generation.
fn both_ways(data_dir: &Path) -> ([u8; 32], [u8; 32], u64) {
    let history = History::open(data_dir).expect("it opens");
    let restarted = restore("test", &history, |_| None, || true).expect("it is restored");
    drop(history);
    let beside = rusqlite::Connection::open(data_dir.join("ninewatch.db")).expect("it opens");
    beside.execute("DELETE FROM checkpoint", []).expect("it goes");
    let history = History::open(data_dir).expect("it opens");
    let replayed = restore("test", &history, |_| None, || true).expect("it is replayed");
    assert!(replayed.rows > restarted.rows, "the checkpoint spared it rows");
    (
        hash(&restarted.engine),
        hash(&replayed.engine),
        restarted.generation,
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_from_a_checkpoint_made_under_load_is_the_engine_that_played_every_input() {
    let (folder, copied) = (
        tempfile::tempdir().expect("a folder"),
        tempfile::tempdir().expect("a folder"),
    );
    let settings = settings(folder.path());
    let mut running = Running::start(&settings, 500);
    running
        .load_until("three checkpoints", |metrics| metrics.checkpoints_made.get() >= 3)
        .await;
    running.load().await;
    // What a killed process leaves: the files as they are, no last checkpoint.
    let killed = copied.path().join("killed");
    copy(&settings.gateway.data_dir, &killed);
    running.load().await;
    assert_eq!(running.metrics.checkpoints_failed.get(), 0);
    running.stop().await;

    let (restarted, replayed, generation) = both_ways(&killed);
    assert!(generation >= 3, "{generation}");
    assert_eq!(restarted, replayed);

    let mut running = Running::start(&settings, 500);
    running
        .load_until("one more", |metrics| metrics.checkpoints_made.get() >= 1)
        .await;
    running.stop().await;
    let (restarted, replayed, _) = both_ways(&settings.gateway.data_dir);
    assert_eq!(restarted, replayed, "across a stop, too");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_that_cannot_be_made_is_counted_and_the_gateway_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = settings(folder.path());
    let mut running = Running::start(&settings, 5_000);
    running.load().await;
    let beside =
        rusqlite::Connection::open(settings.gateway.data_dir.join("ninewatch.db")).expect("it opens");
    beside.busy_timeout(DEADLINE).expect("it waits");
    assert_eq!(beside.execute("DELETE FROM definitions", []).expect("they go"), 1);
    running
        .load_until("a failure", |metrics| metrics.checkpoints_failed.get() >= 1)
        .await;
    running.load().await;
    assert_eq!(running.metrics.checkpoints_made.get(), 0);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gap_and_a_damaged_row_are_refused_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = settings(folder.path());
    let data_dir = &settings.gateway.data_dir;
    let mut running = Running::start(&settings, u64::MAX);
    for _ in 0..4 {
        running.load().await;
    }
    running.stop().await;
    let beside = rusqlite::Connection::open(data_dir.join("ninewatch.db")).expect("it opens");
    beside.execute("DELETE FROM checkpoint", []).expect("it goes");
    let refused = || {
        let history = History::open(data_dir).expect("it opens");
        restore("test", &history, |_| None, || true).expect_err("a guess")
    };
    beside
        .execute("DELETE FROM journal WHERE first_input = 0", [])
        .expect("it goes");
    let gap = refused();
    assert!(
        matches!(
            gap,
            RestoreError::Store(StoreError::JournalGap { expected: 0, .. })
        ),
        "{gap}"
    );
    let middle = "first_input = (SELECT max(first_input) FROM journal WHERE length(entries) > 1000)";
    let flip = "CAST(substr(entries, 1, 500) || x'FF' || substr(entries, 502) AS BLOB)";
    let damage = format!("UPDATE journal SET entries = {flip} WHERE {middle}");
    assert_eq!(beside.execute(&damage, []).expect("it is damaged"), 1);
    let damaged = refused();
    assert!(
        matches!(damaged, RestoreError::Store(StoreError::Damaged { .. })),
        "{damaged}"
    );
}
