//! A start with 100 000 devices: from the checkpoint, and with the longest usual journal behind it. Beside it, in the
//! same run, its floors: the same bytes out of SQLite, and their decoding alone. Then commits while checkpoints are
//! made without a pause, and without them.
//!
//! `cargo bench --bench restart`

#![expect(clippy::expect_used, reason = "a bench that breaks down has failed")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::thread;

use divan::Bencher;
use ninewatch::checkpoint::Checkpoints;
use ninewatch::clock;
use ninewatch::config::{self, StoreSettings};
use ninewatch::domain::device::{DeviceIndex, DeviceKey};
use ninewatch::domain::engine::{Effects, Engine, SavedDevices};
use ninewatch::domain::journal::{DefinitionsInput, Input, Journal};
use ninewatch::domain::kind::PointIndex;
use ninewatch::domain::reading::{Arrival, Reading, ReadingKind};
use ninewatch::domain::time::{Moment, Ticks, Timestamp};
use ninewatch::handoff::{Batch, CheckpointHead, CheckpointPart, Receipt, StoredDefinitions, Work};
use ninewatch::lifecycle::Health;
use ninewatch::metrics::Metrics;
use ninewatch::restore::restore;
use ninewatch::store::{History, Outlets, PART_BYTES, Store, Writer};
use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot, watch};

const CONFIG: &str = "[gateway]\nid = 'bench'\n[mqtt]\nurl = 'mqtt://127.0.0.1:1'\n[http]\nauth = 'none'\n";

/// Readings in a journal row, as under load.
const ROW: u32 = 1_024;

/// Readings in a measured commit.
const COMMIT: u32 = 64;

/// What is measured: `cargo test` only looks whether it works.
static DEVICES: LazyLock<u32> = LazyLock::new(|| if measured() { 100_000 } else { 1_000 });
static READINGS: LazyLock<u32> = LazyLock::new(|| if measured() { 200_000 } else { 2_000 });

/// A store with a checkpoint in which every device has spoken, and the journal of [`READINGS`] after it.
static RECORDED: LazyLock<(TempDir, u64)> = LazyLock::new(|| {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let next_input = record(&folder.path().join("long"), *READINGS);
    record(&folder.path().join("short"), 0);
    (folder, next_input)
});

fn measured() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}

fn main() {
    let bytes = checkpoint("short").len();
    println!(
        "{} devices, a checkpoint of {bytes} bytes, {} readings after it",
        *DEVICES, *READINGS
    );
    divan::main();
}

#[divan::bench(sample_count = 10, sample_size = 1)]
fn start_from_the_checkpoint(bencher: Bencher<'_, '_>) {
    bencher.bench_local(|| start("short"));
}

#[divan::bench(sample_count = 10, sample_size = 1)]
fn start_with_the_longest_journal(bencher: Bencher<'_, '_>) {
    bencher.bench_local(|| start("long"));
}

#[divan::bench(sample_count = 10, sample_size = 1)]
fn floor_read_the_checkpoint(bencher: Bencher<'_, '_>) {
    bencher.bench_local(|| checkpoint("short"));
}

#[divan::bench(sample_count = 10, sample_size = 1)]
fn floor_read_and_decode_it(bencher: Bencher<'_, '_>) {
    bencher.bench_local(|| SavedDevices::read(&checkpoint("short")).expect("it is whole"));
}

#[divan::bench(sample_count = 2_000, sample_size = 1)]
fn commit_while_checkpoints_are_made(bencher: Bencher<'_, '_>) {
    commits(bencher, true);
}

#[divan::bench(sample_count = 2_000, sample_size = 1)]
fn floor_commit_alone(bencher: Bencher<'_, '_>) {
    commits(bencher, false);
}

fn folder(name: &str) -> PathBuf {
    RECORDED.0.path().join(name)
}

fn start(name: &str) -> Engine {
    let (store, _) = Store::open(&folder(name)).expect("it opens");
    let history = History::open(&folder(name)).expect("it opens");
    let engine = restore("bench", &history, |_| None, || true)
        .expect("it is restored")
        .engine;
    drop(store);
    engine
}

fn checkpoint(name: &str) -> Vec<u8> {
    let history = History::open(&folder(name)).expect("it opens");
    history
        .checkpoint()
        .expect("it reads")
        .expect("there is one")
        .state
}

fn commits(bencher: Bencher<'_, '_>, with_checkpoints: bool) {
    let copy = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    fs::copy(
        folder("long").join("ninewatch.db"),
        copy.path().join("ninewatch.db"),
    )
    .expect("it can be copied");
    let (works, writer, mut receipts) = run(copy.path());
    let stop = Arc::new(AtomicBool::new(!with_checkpoints));
    let maker = {
        let (stop, works, data_dir) = (Arc::clone(&stop), works.clone(), copy.path().to_owned());
        thread::spawn(move || {
            let mut made = 0;
            while !stop.load(Ordering::Relaxed) {
                make(&data_dir, &works);
                made += 1;
            }
            made
        })
    };
    let mut next_input = RECORDED.1;
    bencher
        .with_inputs(|| {
            let mut journal = Journal::default();
            for turn in 0..COMMIT {
                read(turn, |now, input| {
                    journal.push(now, input).expect("it is journalled");
                });
            }
            let mut batch = batch(next_input, journal);
            batch.receipts.push(Receipt {
                connection: 1,
                packet_id: 1,
            });
            next_input += u64::from(COMMIT);
            Work::Batch(Box::new(batch))
        })
        .bench_local_values(|work| {
            works.blocking_send(work).expect("the writer takes works");
            receipts.blocking_recv().expect("the writer releases receipts")
        });
    stop.store(true, Ordering::Relaxed);
    let made = maker.join().expect("it is made");
    assert_eq!(made > 0, with_checkpoints, "{made} checkpoints");
    drop(works);
    writer.join().expect("the writer ends well");
}

/// Makes a checkpoint as [`Checkpoints`] does, without its pauses.
fn make(data_dir: &Path, works: &mpsc::Sender<Work>) {
    let history = History::open(data_dir).expect("it opens");
    let restored = restore("bench", &history, |_| None, || true).expect("it is restored");
    let state = restored.engine.snapshot().expect("it is saved");
    let parts = u32::try_from(state.len().div_ceil(PART_BYTES)).expect("it fits");
    let head = CheckpointHead {
        next_input: restored.engine.next_input(),
        at: restored.last.unwrap_or_default(),
        bytes: state.len() as u64,
        parts,
    };
    drop(restored.engine);
    for (number, chunk) in (0_u32..).zip(state.chunks(PART_BYTES)) {
        let (written, done) = oneshot::channel();
        let part = CheckpointPart {
            generation: restored.generation + 1,
            number,
            state: chunk.to_vec(),
            complete: (number + 1 == parts).then_some(head),
            written,
        };
        works
            .blocking_send(Work::Checkpoint(part))
            .expect("the writer takes works");
        done.blocking_recv().expect("it is written");
    }
}

fn run(data_dir: &Path) -> (mpsc::Sender<Work>, Writer, mpsc::Receiver<Vec<Receipt>>) {
    let (store, _) = Store::open(data_dir).expect("it opens");
    let (receipt_tx, receipts) = mpsc::channel(16);
    let outlets = Outlets {
        follower: None,
        receipts: receipt_tx,
        notices: watch::channel(0).0,
        metrics: Metrics::new(),
        health: Health::new(),
    };
    let (works, writer) = store.start(outlets, StoreSettings::default()).expect("it starts");
    (works, writer, receipts)
}

fn batch(first_input: u64, journal: Journal) -> Batch {
    Batch {
        first_input,
        inputs: journal.inputs(),
        last: journal.last(),
        journal: journal.into_bytes(),
        ..Batch::default()
    }
}

/// The reading number `turn`, of one device after the other.
fn read(turn: u32, mut take: impl FnMut(Moment, &Input<'_>)) {
    let wave = f64::from(turn % 97) / 97.0;
    let points =
        [(1, 4.0 * wave), (2, 20.0 + wave), (3, 90.0)].map(|(point, value)| (PointIndex(point), value));
    let reading = Reading {
        device: DeviceIndex(turn % *DEVICES),
        device_at: None,
        seq: None,
        kind: ReadingKind::Live,
        arrival: Arrival::First,
        points: &points,
    };
    take(moment(turn), &Input::Reading(reading));
}

fn moment(turn: u32) -> Moment {
    Moment {
        wall: Timestamp(clock::wall().0),
        ticks: Ticks(u64::from(turn)),
    }
}

/// Records a gateway of [`DEVICES`] that have all spoken, under the shipped rules; after its checkpoint `readings` more.
/// The next input.
fn record(data_dir: &Path, readings: u32) -> u64 {
    let settings = config::load_str("bench", CONFIG, data_dir).expect("it is sound");
    let definitions = Arc::new(settings.definitions);
    let (source, hash) = definitions.source().stored().expect("it is JSON");
    let (mut engine, mut effects) = (Engine::new("bench"), Effects::default());
    let mut first = |input: &Input<'_>, now| {
        engine
            .handle(input, now, &mut effects)
            .expect("nobody is refused");
        effects = Effects::default();
    };
    let in_force = DefinitionsInput {
        hash,
        definitions: &definitions,
    };
    first(&Input::Definitions(in_force), moment(0));
    first(&Input::Listening(true), moment(0));
    for device in 0..*DEVICES {
        let key = DeviceKey {
            venue: format!("v{}", device / 4),
            kind: "gas_detector".to_owned(),
            device: format!("g{device}"),
        };
        first(&Input::Device(&key), moment(0));
    }
    for turn in 0..*DEVICES {
        read(turn, |now, input| first(input, now));
    }
    let mut next_input = engine.next_input();
    let (works, writer, receipts) = run(data_dir);
    drop(receipts);
    let checkpointed = Batch {
        first_input: next_input,
        definitions: vec![StoredDefinitions { hash, source }],
        checkpoint: Some(engine.snapshot().expect("it is saved")),
        ..Batch::default()
    };
    works
        .blocking_send(Work::Batch(Box::new(checkpointed)))
        .expect("it is taken");
    let mut journal = Journal::default();
    for turn in 0..readings {
        read(turn, |now, input| {
            journal.push(now, input).expect("it is journalled");
        });
        if journal.inputs() == ROW || turn + 1 == readings {
            let row = batch(next_input, std::mem::take(&mut journal));
            next_input += u64::from(row.inputs);
            works
                .blocking_send(Work::Batch(Box::new(row)))
                .expect("it is taken");
        }
    }
    drop(works);
    writer.join().expect("it ends well");
    assert!(u64::from(readings) <= Checkpoints::INPUTS, "no journal is longer");
    next_input
}
