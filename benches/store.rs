//! Commit of one batch through the writer thread, from handing it over until its receipts are back, beside its
//! floor: the same bytes appended to a file and `fdatasync`ed. `TMPDIR` chooses the disk.

#![expect(clippy::expect_used, reason = "a bench that cannot be set up has no figure")]

use std::fs::File;
use std::io::Write;

use divan::Bencher;
use divan::counter::ItemsCount;
use ninewatch::clock;
use ninewatch::config::StoreSettings;
use ninewatch::domain::time::Moment;
use ninewatch::handoff::{Batch, Receipt, Work};
use ninewatch::lifecycle::Health;
use ninewatch::metrics::Metrics;
use ninewatch::store::{Outlets, Store};
use tokio::sync::{mpsc, watch};

/// Readings in a batch: light load, moderate load, the most a batch takes.
const READINGS: [u32; 3] = [1, 64, 1024];

/// What a journalled reading of four points takes.
const READING_BYTES: usize = 40;

fn main() {
    divan::main();
}

#[divan::bench(args = READINGS, sample_count = 200, sample_size = 1)]
fn commit(bencher: Bencher<'_, '_>, readings: u32) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (store, _) = Store::open(folder.path()).expect("the store opens");
    let (receipt_sender, mut receipts) = mpsc::channel(16);
    let outlets = Outlets {
        follower: None,
        receipts: receipt_sender,
        notices: watch::channel(0).0,
        metrics: Metrics::new(),
        health: Health::new(),
    };
    let (works, writer) = store
        .start(outlets, StoreSettings::default())
        .expect("the writer starts");
    let mut first_input = 0;
    bencher
        .counter(ItemsCount::new(readings))
        .with_inputs(|| {
            let batch = batch(first_input, readings);
            first_input += u64::from(readings);
            Work::Batch(Box::new(batch))
        })
        .bench_local_values(|work| {
            works.blocking_send(work).expect("the writer takes works");
            receipts.blocking_recv().expect("the writer releases receipts")
        });
    drop(works);
    writer.join().expect("the writer ends well");
}

#[divan::bench(args = READINGS, sample_count = 200, sample_size = 1)]
fn floor_append_and_fdatasync(bencher: Bencher<'_, '_>, readings: u32) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut file = File::create(folder.path().join("log")).expect("the file is made");
    bencher
        .counter(ItemsCount::new(readings))
        .with_inputs(|| batch(0, readings).journal)
        .bench_local_values(|journal| {
            file.write_all(&journal).expect("the bytes are written");
            file.sync_data().expect("the bytes are durable");
        });
}

fn batch(first_input: u64, readings: u32) -> Batch {
    Batch {
        first_input,
        inputs: readings,
        // Not all alike, as no journal is.
        journal: (0..=250)
            .cycle()
            .take(readings as usize * READING_BYTES)
            .collect(),
        last: Moment {
            wall: clock::wall(),
            ..Moment::default()
        },
        receipts: vec![
            Receipt {
                connection: 1,
                packet_id: 1
            };
            readings as usize
        ],
        ..Batch::default()
    }
}
