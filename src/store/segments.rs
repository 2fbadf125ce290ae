//! Rewrites closed stretches of the history, which the batches left in their order, by device, so that one device's
//! past is found without reading everybody's. Reads on a connection of its own; what it makes goes through the writer.

use std::collections::{BTreeMap, btree_map};
use std::iter::Peekable;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use tokio::sync::mpsc::{Sender, WeakSender};
use tokio::sync::oneshot;

use super::{StoreError, recover, schema, seal};
use crate::clock;
use crate::domain::device::DeviceIndex;
use crate::domain::history::{PointNumber, Sample, Samples, samples};
use crate::domain::time::Timestamp;
use crate::handoff::{SegmentDone, SegmentRow, SegmentSlice, Work};

/// The most samples of a stretch, which is gathered in memory: about four megabytes.
const STRETCH_SAMPLES: u64 = 262_144;

/// How long a stretch gathers, in milliseconds.
const STRETCH_MS: i64 = 60 * 60 * 1000;

/// How many rows of batches one read transaction covers: a longer one would keep the write-ahead log from being reused.
const ROWS: i64 = 64;

/// How many devices one transaction of the writer takes on: it must not hold up an alarm.
const SLICE: usize = 64;

/// How long after a look that found nothing the next one comes.
const ROUND: Duration = Duration::from_secs(10);

/// The thread that makes segments.
#[derive(Debug)]
pub(super) struct Segments {
    stop: SyncSender<()>,
    thread: JoinHandle<()>,
}

impl Segments {
    /// Starts the thread. It hands its slices to `works`, which it does not keep open.
    pub(super) fn start(database: &Path, works: &Sender<Work>) -> Result<Segments, StoreError> {
        let sorter = Sorter::new(database, STRETCH_SAMPLES)?;
        let works = works.downgrade();
        let (stop, stopped) = sync_channel(1);
        let thread = thread::Builder::new()
            .name("store-segments".to_owned())
            .spawn(move || sort(sorter, &works, &stopped))
            .map_err(StoreError::Thread)?;
        Ok(Segments { stop, thread })
    }

    /// Ends the thread. Nobody may wait for the works that it sends any more.
    pub(super) fn stop(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            tracing::error!("the thread that makes segments of the history panicked");
        }
    }
}

/// Samples gathered by device.
#[derive(Debug, Default)]
struct Stretch {
    devices: BTreeMap<DeviceIndex, Samples>,
    count: u64,
    span: Option<(Timestamp, Timestamp)>,
    /// The latest instant in its first row: about when that came. A single sample may be of any age.
    begun: Option<Timestamp>,
    last_row: i64,
}

impl Stretch {
    /// What comes after the row `last_row`.
    fn after(last_row: i64) -> Stretch {
        Stretch {
            last_row,
            ..Stretch::default()
        }
    }

    fn push(&mut self, sample: &Sample) -> Result<(), StoreError> {
        self.devices.entry(sample.device).or_default().push(sample)?;
        self.count += 1;
        self.span = Some(match self.span {
            None => (sample.at, sample.at),
            Some((from, to)) => (from.min(sample.at), to.max(sample.at)),
        });
        Ok(())
    }

    fn is_closed(&self, most_samples: u64, now: Timestamp) -> bool {
        let old = |begun| now.since(begun) >= STRETCH_MS;
        self.count >= most_samples || self.begun.is_some_and(old)
    }
}

/// Makes segments: gathers stretches of the history, and gives each, when it is closed, in slices for the writer. Waits
/// for nobody and is told the time; its thread does the waiting, a simulation calls it instead.
#[derive(Debug)]
pub struct Sorter {
    connection: Connection,
    database: PathBuf,
    most_samples: u64,
    stretch: Stretch,
    /// A closed stretch of which slices are left.
    closed: Option<Closed>,
}

/// What a step along the history came to.
#[derive(Debug)]
pub enum Sorted {
    /// Something for the writer. The next step comes when the receiver is told that it is durable.
    Slice(SegmentSlice, oneshot::Receiver<()>),
    /// There is more at once.
    More,
    /// There is nothing to do for now.
    Idle,
}

/// A closed stretch on its way.
#[derive(Debug)]
struct Closed {
    segment: i64,
    devices: Peekable<btree_map::IntoIter<DeviceIndex, Samples>>,
    done: SegmentDone,
}

impl Sorter {
    /// Goes on where the last finished segment of `database` ended. A stretch is closed when it has `most_samples`, or
    /// is an hour old.
    pub(super) fn new(database: &Path, most_samples: u64) -> Result<Sorter, StoreError> {
        Ok(Sorter {
            connection: schema::open_to_read(database)?,
            database: database.to_owned(),
            most_samples,
            stretch: Stretch::after(i64::MIN),
            closed: None,
        })
    }

    /// Goes on. After an error it begins again where the last finished segment ended.
    ///
    /// # Errors
    /// When the history cannot be read.
    pub fn step(&mut self, now: Timestamp) -> Result<Sorted, StoreError> {
        let stepped = self.try_step(now);
        if stepped.is_err() {
            self.stretch = Stretch::after(i64::MIN);
            self.closed = None;
        }
        stepped
    }

    fn try_step(&mut self, now: Timestamp) -> Result<Sorted, StoreError> {
        if let Some(closed) = self.closed.take() {
            return self.slice(closed);
        }
        if self.stretch.last_row == i64::MIN {
            self.stretch = Stretch::after(last_sorted(&self.connection).map_err(self.failed())?);
        }
        let more = self.read_on()?;
        if self.stretch.is_closed(self.most_samples, now) {
            let stretch = std::mem::take(&mut self.stretch);
            self.stretch = Stretch::after(stretch.last_row);
            return self.close(stretch);
        }
        Ok(if more { Sorted::More } else { Sorted::Idle })
    }

    /// Takes the next rows into the stretch; whether there may be more.
    fn read_on(&mut self) -> Result<bool, StoreError> {
        let rows = rows_after(&self.connection, self.stretch.last_row, ROWS).map_err(self.failed())?;
        let more = i64::try_from(rows.len()).is_ok_and(|rows| rows == ROWS);
        for (row, to_at, sealed) in rows {
            self.stretch.last_row = row;
            self.stretch.begun.get_or_insert(to_at);
            // One damaged row takes no other with it: it stays where it is, and is told of.
            match seal::open(recover::HISTORY_FORM, &sealed) {
                Ok(bytes) => {
                    for sample in samples(bytes) {
                        self.stretch.push(&sample?)?;
                    }
                }
                Err(error) => tracing::error!(%error, row, "a row of the history cannot be read"),
            }
        }
        Ok(more)
    }

    /// Begins with the slices of a closed stretch.
    fn close(&mut self, stretch: Stretch) -> Result<Sorted, StoreError> {
        let Some((from_at, to_at)) = stretch.span else {
            return Ok(Sorted::More);
        };
        let segment = next_segment(&self.connection).map_err(self.failed())?;
        let done = SegmentDone {
            last_row: stretch.last_row,
            from_at,
            to_at,
        };
        self.closed = Some(Closed {
            segment,
            devices: stretch.devices.into_iter().peekable(),
            done,
        });
        // What an earlier run did not finish is in the way.
        let (slice, written) = SegmentSlice::clear(segment);
        Ok(Sorted::Slice(slice, written))
    }

    fn slice(&mut self, mut closed: Closed) -> Result<Sorted, StoreError> {
        let mut rows = Vec::with_capacity(SLICE);
        for (device, samples) in closed.devices.by_ref().take(SLICE) {
            let latest = self.latest(device, &samples)?;
            rows.push(SegmentRow {
                device,
                samples,
                latest,
            });
        }
        let segment = closed.segment;
        let done = closed.devices.peek().is_none().then_some(closed.done);
        if done.is_none() {
            self.closed = Some(closed);
        }
        let (slice, written) = SegmentSlice::of(segment, rows, done);
        Ok(Sorted::Slice(slice, written))
    }

    /// The newest sample of each point of `device`, with those of earlier segments.
    fn latest(&self, device: DeviceIndex, fresh: &Samples) -> Result<Samples, StoreError> {
        let mut newest = BTreeMap::new();
        let known = latest(&self.connection, device).map_err(self.failed())?;
        for sample in known.into_iter().map(Ok).chain(samples(fresh.bytes())) {
            note_newest(&mut newest, sample?);
        }
        let mut packed = Samples::default();
        newest.values().try_for_each(|sample| packed.push(sample))?;
        Ok(packed)
    }

    fn failed(&self) -> impl Fn(rusqlite::Error) -> StoreError {
        schema::failed(&self.database, "read the history")
    }
}

/// What the thread does: hands slices to `works`, which it does not keep open, and waits for each.
fn sort(mut sorter: Sorter, works: &WeakSender<Work>, stopped: &Receiver<()>) {
    loop {
        let pause = match sorter.step(clock::wall()) {
            Ok(Sorted::Slice(slice, written)) => {
                if !hand(works, slice, written) {
                    return;
                }
                Duration::ZERO
            }
            Ok(Sorted::More) => Duration::ZERO,
            Ok(Sorted::Idle) => ROUND,
            Err(error) => {
                tracing::warn!(%error, "could not sort the history by device; it is tried again");
                ROUND
            }
        };
        match stopped.recv_timeout(pause) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Waits until the writer has written `slice`; `false`: it has ended.
fn hand(works: &WeakSender<Work>, slice: SegmentSlice, written: oneshot::Receiver<()>) -> bool {
    let Some(works) = works.upgrade() else {
        return false;
    };
    let sent = works.blocking_send(Work::Segment(Box::new(slice))).is_ok();
    // Held on to, it would keep the writer from its end.
    drop(works);
    sent && written.blocking_recv().is_ok()
}

/// Keeps `sample` when it is the newest of its point.
pub(super) fn note_newest(newest: &mut BTreeMap<PointNumber, Sample>, sample: Sample) {
    let known = newest.entry(sample.point).or_insert(sample);
    if known.at <= sample.at {
        *known = sample;
    }
}

/// The row of the table `history` up to which segments are made.
pub(super) fn last_sorted(connection: &Connection) -> rusqlite::Result<i64> {
    let row: Option<i64> = connection
        .prepare_cached("SELECT last_row FROM segment ORDER BY number DESC LIMIT 1")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(row.unwrap_or(0))
}

/// The newest sample of each point of `device` up to the last segment.
pub(super) fn latest(connection: &Connection, device: DeviceIndex) -> rusqlite::Result<Vec<Sample>> {
    let sealed: Option<Vec<u8>> = connection
        .prepare_cached("SELECT samples FROM history_latest WHERE device = ?1")?
        .query_row([device.0], |row| row.get(0))
        .optional()?;
    match sealed {
        None => Ok(Vec::new()),
        Some(sealed) => unpacked(&sealed),
    }
}

/// The samples in a sealed run.
pub(super) fn unpacked(sealed: &[u8]) -> rusqlite::Result<Vec<Sample>> {
    let broken = |error: Box<dyn std::error::Error + Send + Sync>| {
        rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Blob, error)
    };
    let bytes = seal::open(recover::HISTORY_FORM, sealed).map_err(|error| broken(error.into()))?;
    samples(bytes)
        .collect::<Result<_, _>>()
        .map_err(|error| broken(error.into()))
}

/// Deletes one slice of the oldest segment when all in it is older than `before`; how many rows that were.
pub(super) fn prune(connection: &Connection, before: Timestamp) -> rusqlite::Result<usize> {
    let oldest: Option<i64> = connection
        .prepare_cached("SELECT number FROM segment WHERE to_at < ?1 ORDER BY number LIMIT 1")?
        .query_row([before.0], |row| row.get(0))
        .optional()?;
    let Some(oldest) = oldest else { return Ok(0) };
    let mut deleted = connection
        .prepare_cached(
            "DELETE FROM history_segment WHERE segment = ?1 AND device IN
             (SELECT device FROM history_segment WHERE segment = ?1 LIMIT ?2)",
        )?
        .execute(params![oldest, i64::try_from(SLICE).unwrap_or(i64::MAX)])?;
    if deleted < SLICE {
        // The newest stays: it says how far the history is sorted.
        deleted += connection
            .prepare_cached(
                "DELETE FROM segment WHERE number = ?1 AND number < (SELECT max(number) FROM segment)",
            )?
            .execute([oldest])?;
    }
    Ok(deleted)
}

fn rows_after(
    connection: &Connection,
    row: i64,
    limit: i64,
) -> rusqlite::Result<Vec<(i64, Timestamp, Vec<u8>)>> {
    connection
        .prepare_cached("SELECT row, to_at, samples FROM history WHERE row > ?1 ORDER BY row LIMIT ?2")?
        .query_map([row, limit], |row| {
            Ok((row.get(0)?, Timestamp(row.get(1)?), row.get(2)?))
        })?
        .collect()
}

fn next_segment(connection: &Connection) -> rusqlite::Result<i64> {
    connection
        .prepare_cached("SELECT coalesce(max(number), 0) + 1 FROM segment")?
        .query_row([], |row| row.get(0))
}

/// Writes a slice. The segment counts once its last slice is in.
pub(super) fn write(transaction: &Transaction<'_>, slice: &SegmentSlice) -> rusqlite::Result<()> {
    if slice.clear {
        transaction
            .prepare_cached("DELETE FROM history_segment WHERE segment >= ?1")?
            .execute([slice.segment])?;
    }
    for row in &slice.rows {
        let Some((from, to)) = row.samples.span() else {
            continue;
        };
        let sealed = |samples: &Samples| seal::seal(recover::HISTORY_FORM, samples.bytes());
        transaction
            .prepare_cached(
                "INSERT INTO history_segment (segment, device, from_at, to_at, count, samples)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                slice.segment,
                row.device.0,
                from.0,
                to.0,
                row.samples.count(),
                sealed(&row.samples),
            ])?;
        transaction
            .prepare_cached("INSERT OR REPLACE INTO history_latest (device, samples) VALUES (?1, ?2)")?
            .execute(params![row.device.0, sealed(&row.latest)])?;
    }
    if let Some(done) = &slice.done {
        transaction
            .prepare_cached("INSERT INTO segment (number, last_row, from_at, to_at) VALUES (?1, ?2, ?3, ?4)")?
            .execute([slice.segment, done.last_row, done.from_at.0, done.to_at.0])?;
    }
    Ok(())
}
