//! The one thread that writes: gathers works, commits them together, and only then releases what depends on
//! them. Retries a failed transaction until it succeeds; loses and acknowledges nothing meanwhile.

use std::fs;
use std::path::Path;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rusqlite::ErrorCode;
use tokio::sync::mpsc::error::{TryRecvError, TrySendError};
use tokio::sync::{mpsc, watch};

use super::disk::{self, Disk, Shedding};
use super::failing::Failing;
use super::hold::Hold;
use super::segments::Segments;
use super::transaction::Changes;
use super::upkeep::Upkeep;
use super::{Outlets, Store, StoreError, quarantine};
use crate::clock;
use crate::domain::interlock::CommandStep;
use crate::handoff::{Answer, CommandCommit, Receipt, StoreCondition, StoreTrouble, Work};

/// The most works in one transaction: bounds how long the first of them waits for its commit.
const MAX_WORKS: usize = 64;

/// A transaction that holds so many bytes takes no further work: while it is on its way to the disk the queue fills anew.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// Pauses between tries of a failed transaction.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How often a failing transaction is tried again once nobody sends works any more: the process is stopping and
/// has ten seconds in all; a try takes at most a second of waiting for a lock, plus the pause.
const LAST_TRIES: u32 = 3;

/// How soon receipts that found their channel full are offered again.
const RECEIPT_PAUSE: Duration = Duration::from_millis(1);

/// The running writer thread.
#[derive(Debug)]
pub struct Writer {
    thread: JoinHandle<Result<(), StoreError>>,
    ended: watch::Receiver<()>,
    committed: watch::Receiver<u64>,
}

impl Writer {
    /// Follows the next input after the newest commit; 0 before the first.
    pub fn committed(&self) -> watch::Receiver<u64> {
        self.committed.clone()
    }

    /// Resolves when the thread has ended, for whatever reason; [`Writer::join`] then says which without waiting.
    pub fn ended(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut ended = self.ended.clone();
        async move { while ended.changed().await.is_ok() {} }
    }

    /// Waits until the thread has ended, which it does once every sender of works is gone and the rest is
    /// committed. Blocks: not for a runtime's worker.
    pub fn join(self) -> Result<(), StoreError> {
        self.thread.join().map_err(|_| StoreError::WriterPanicked)?
    }
}

/// What the thread owns.
pub(super) struct WriterThread {
    pub(super) store: Store,
    pub(super) upkeep: Upkeep,
    pub(super) segments: Segments,
    pub(super) outlets: Outlets,
    pub(super) works: mpsc::Receiver<Work>,
    /// Receipts that wait for the follower.
    pub(super) hold: Hold,
    /// Receipts that found their channel full.
    pub(super) unsent: Vec<Receipt>,
    pub(super) disk: Disk,
    /// What keeps it from committing.
    pub(super) failing: Option<Failing>,
    /// A sync may have failed: what the log holds may be in memory alone, and a later sync that succeeds says nothing
    /// about it.
    pub(super) distrusted: bool,
    /// The next input after the newest commit.
    pub(super) committed: watch::Sender<u64>,
}

impl WriterThread {
    /// Starts the thread.
    pub(super) fn spawn(self) -> Result<Writer, StoreError> {
        let (running, ended) = watch::channel(());
        let committed = self.committed.subscribe();
        let thread = thread::Builder::new()
            .name("store-write".to_owned())
            .spawn(move || {
                let outcome = self.run();
                drop(running);
                outcome
            })
            .map_err(StoreError::Thread)?;
        Ok(Writer {
            thread,
            ended,
            committed,
        })
    }

    fn run(mut self) -> Result<(), StoreError> {
        self.outlets.health.set_store(true);
        self.measure_files();
        let outcome = self.look_at_disk().and_then(|()| self.commit_all());
        self.outlets.health.set_store(false);
        self.close();
        outcome
    }

    fn commit_all(&mut self) -> Result<(), StoreError> {
        while let Some(works) = self.gather()? {
            fail::fail_point!("store-gathered", |_| std::process::abort());
            let changes = self.commit(&works)?;
            fail::fail_point!("store-committed", |_| std::process::abort());
            self.count(&works, &changes);
            self.release(works, &changes);
            fail::fail_point!("store-released", |_| std::process::abort());
            if let Err(error) = self.upkeep.after_commit(&self.store.connection) {
                tracing::warn!(%error, "could not look after the write-ahead log; it is tried again");
                self.weigh(&error)?;
            }
            if self.upkeep.overdue() {
                self.tidy()?;
            }
            self.look_at_disk()?;
        }
        Ok(())
    }

    /// The next works: one, and all that wait behind it. `None` when every sender is gone.
    fn gather(&mut self) -> Result<Option<Vec<Work>>, StoreError> {
        let Some(first) = self.wait()? else {
            return Ok(None);
        };
        let mut bytes = bytes(&first);
        let mut works = vec![first];
        while works.len() < MAX_WORKS && bytes < MAX_BYTES {
            match self.works.try_recv() {
                Ok(work) => {
                    bytes += self::bytes(&work);
                    works.push(work);
                }
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
        }
        self.measure_queue();
        Ok(Some(works))
    }

    /// The next work. Uses the time until it comes for upkeep.
    fn wait(&mut self) -> Result<Option<Work>, StoreError> {
        loop {
            match self.works.try_recv() {
                Ok(work) => return Ok(Some(work)),
                Err(TryRecvError::Disconnected) => {
                    self.send_receipts();
                    return Ok(None);
                }
                Err(TryRecvError::Empty) => {}
            }
            if self.upkeep.due() && self.tidy()? {
                continue;
            }
            if self.unsent.is_empty() {
                return Ok(self.works.blocking_recv());
            }
            thread::park_timeout(RECEIPT_PAUSE);
            self.send_receipts();
        }
    }

    /// One slice of upkeep; whether there is more to do at once.
    fn tidy(&mut self) -> Result<bool, StoreError> {
        self.measure_files();
        match self.upkeep.delete_slice(&self.store.connection, clock::wall()) {
            Ok(more) => Ok(more),
            Err(error) => {
                tracing::warn!(%error, "could not delete rows out of their retention; it is tried again");
                self.weigh(&error)?;
                Ok(false)
            }
        }
    }

    /// What an `error` beside the commits means for them: damage ends the writer, and after a failed sync nothing may be
    /// acknowledged until the log has begun anew (DESIGN §8).
    fn weigh(&mut self, error: &rusqlite::Error) -> Result<(), StoreError> {
        self.store.roll_back();
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::SystemIoFailure) => {
                self.note_failure(error)
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Commits `works`, however often it takes. An error when the process is stopping and it still fails, and when the
    /// database is damaged.
    fn commit(&mut self, works: &[Work]) -> Result<Changes, StoreError> {
        let mut pause = FIRST_PAUSE;
        let mut last_tries = LAST_TRIES;
        loop {
            self.outlets.health.commit_begins(clock::monotonic());
            let tried = self.try_commit(works);
            self.outlets.health.commit_ends();
            let error = match tried {
                Ok(changes) => {
                    self.note_success();
                    return Ok(changes);
                }
                Err(error) => error,
            };
            if is_full(&error) && self.disk.give() {
                self.tell_condition();
                continue;
            }
            self.note_failure(&error)?;
            if self.works.is_closed() {
                if last_tries == 0 {
                    return Err(StoreError::Unwritten {
                        works: works.len().saturating_add(self.works.len()),
                        path: self.store.database.clone(),
                        source: error,
                    });
                }
                last_tries -= 1;
            }
            thread::park_timeout(pause);
            pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
        }
    }

    fn try_commit(&mut self, works: &[Work]) -> rusqlite::Result<Changes> {
        if self.distrusted {
            // Nothing may be acknowledged that stands in the log behind pages which never reached the disk (DESIGN §8): what
            // is committed is written once more, into the database, and the log begins anew.
            if !disk::cut_log(&self.store.connection)? {
                return Err(busy());
            }
            self.distrusted = false;
        }
        let started = clock::monotonic();
        self.store.shedding = self.disk.shedding();
        let changes = self.store.commit(works, clock::wall())?;
        self.outlets
            .metrics
            .commit_seconds
            .observe(started.elapsed().as_secs_f64());
        Ok(changes)
    }

    /// Says what keeps it from committing. An error when no further try can help.
    fn note_failure(&mut self, error: &rusqlite::Error) -> Result<(), StoreError> {
        let (health, metrics) = (&self.outlets.health, &self.outlets.metrics);
        health.set_store(false);
        health.count_failed_try();
        metrics.store_errors.inc();
        tracing::error!(%error, database = %self.store.database.display(), "a commit failed; nothing is acknowledged until it succeeds");
        let code = error.sqlite_error_code();
        if matches!(code, Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)) {
            let detail = error.to_string();
            if let Err(error) = quarantine::mark(&self.store.database, &detail) {
                tracing::error!(%error, "cannot leave word of it for the next start");
            }
            let path = self.store.database.clone();
            return Err(StoreError::Damaged { path, detail });
        }
        let in_io = code == Some(ErrorCode::SystemIoFailure);
        self.distrusted |= in_io;
        let trouble = match (is_full(error), in_io) {
            (true, _) => StoreTrouble::Full,
            (false, true) => StoreTrouble::Disk,
            (false, false) => StoreTrouble::Other,
        };
        let failing = self.failing.get_or_insert_with(|| Failing::begun(trouble));
        failing.note(trouble);
        self.measure_queue();
        self.disk.look(&self.outlets.metrics);
        self.tell_condition();
        Ok(())
    }

    /// Commits succeed; whoever was told otherwise is told so once that has lasted.
    fn note_success(&mut self) {
        self.outlets.health.set_store(true);
        // While it was stuck only others could see it.
        if self.failing.is_none() && self.outlets.health.store_condition().failed.is_some() {
            let mut stuck = Failing::begun(StoreTrouble::Stuck);
            stuck.note(StoreTrouble::Stuck);
            self.failing = Some(stuck);
        }
        if self.failing.as_mut().is_some_and(Failing::ends) {
            tracing::info!("commits succeed again");
            self.failing = None;
            self.tell_condition();
        }
    }

    /// Looks how much of the disk is free, when it is time to, and makes room where there is little.
    fn look_at_disk(&mut self) -> Result<(), StoreError> {
        if !self.disk.look(&self.outlets.metrics) {
            return Ok(());
        }
        self.tell_condition();
        if self.disk.wants_room()
            && let Err(error) = disk::make_room(&self.store.connection)
        {
            tracing::warn!(%error, "could not make room on the disk; it is tried again");
            self.weigh(&error)?;
        }
        Ok(())
    }

    fn tell_condition(&self) {
        self.outlets.health.set_store_condition(StoreCondition {
            disk_low: self.disk.is_low(),
            disk_full: self.disk.is_full(),
            failed: self.failing.as_ref().and_then(Failing::told),
            history_lost: self.disk.history_lost,
        });
    }

    /// Counted before anything is released, so that whoever sees an effect of a commit sees its figures too.
    fn count(&self, works: &[Work], changes: &Changes) {
        let metrics = &self.outlets.metrics;
        let shedding = self.disk.shedding();
        metrics.shed_samples.inc_by(changes.shed_samples);
        for work in works {
            match work {
                Work::Batch(batch) => {
                    if shedding >= Shedding::SamplesAndPayloads {
                        let payloads = batch
                            .dead_letters
                            .iter()
                            .filter(|letter| !letter.payload.is_empty());
                        metrics.shed_payloads.inc_by(payloads.count() as u64);
                    }
                    for alarm in &batch.alarms {
                        let class = alarm.event.alarm.rule.class;
                        metrics.alarm_events(alarm.event.step.as_str(), class).inc();
                    }
                    for CommandCommit { event, .. } in &batch.commands {
                        if let Some(result) = event.step.result() {
                            metrics.commands(&event.order.command, result).inc();
                        }
                        if event.step == CommandStep::Verified {
                            metrics
                                .command_verify
                                .observe(event.order.took.0 as f64 / 1_000.0);
                        }
                    }
                }
                Work::Outbox(_) | Work::Segment(_) | Work::Checkpoint(_) | Work::Followed => {}
            }
        }
        for (class, priority, by) in &changes.standing {
            metrics.alarms_active(*class, *priority).add(*by);
        }
        for (target, by) in &changes.pending {
            metrics.notices_pending(target).add(*by);
        }
    }

    /// Only here, after the commit, do receipts leave. Answers to operators and notices likewise.
    fn release(&mut self, works: Vec<Work>, changes: &Changes) {
        let next_input = works.iter().rev().find_map(|work| match work {
            Work::Batch(batch) => Some(batch.first_input.saturating_add(u64::from(batch.inputs))),
            Work::Outbox(_) | Work::Segment(_) | Work::Checkpoint(_) | Work::Followed => None,
        });
        let mut receipts = Vec::new();
        let answers = release(works, &mut receipts);
        self.hold.committed(changes);
        self.unsent.append(&mut self.hold.release(receipts));
        self.send_receipts();
        for answer in answers {
            answer.give();
        }
        if let Some(next_input) = next_input {
            self.committed.send_replace(next_input);
        }
        if changes.notices_added {
            self.outlets.notices.send_modify(|commits| *commits += 1);
        }
    }

    /// Offers the receipts that are due. Never waits: whoever takes them may itself wait for the gateway, and the
    /// gateway for this thread. What finds the channel full is offered again; there are at most as many as the
    /// broker has messages in flight.
    fn send_receipts(&mut self) {
        if self.unsent.is_empty() {
            return;
        }
        match self.outlets.receipts.try_send(std::mem::take(&mut self.unsent)) {
            Ok(()) => {}
            Err(TrySendError::Full(receipts)) => self.unsent = receipts,
            Err(TrySendError::Closed(receipts)) => tracing::error!(
                receipts = receipts.len(),
                "nobody takes the receipts any more; the broker will deliver those messages again"
            ),
        }
    }

    fn measure_queue(&self) {
        self.outlets
            .metrics
            .queue_store
            .set(i64::try_from(self.works.len()).unwrap_or(i64::MAX));
    }

    fn measure_files(&self) {
        let wal = self.store.database.with_extension("db-wal");
        let bytes = size(&self.store.database).saturating_add(size(&wal));
        self.outlets
            .metrics
            .store_bytes
            .set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Leaves one file without a log behind, as far as no reader needs the log.
    fn close(self) {
        // Closed first: whoever still wants to hand over a slice must not wait for ever.
        drop(self.works);
        self.segments.stop();
        self.upkeep.stop();
        let truncated = self
            .store
            .connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        if let Err(error) = truncated {
            tracing::warn!(%error, "could not empty the write-ahead log; the next start reads it");
        }
        if let Err((_, error)) = self.store.connection.close() {
            tracing::warn!(%error, "could not close the database; nothing is lost");
        }
        drop(self.store.lock);
    }
}

/// What committed `works` release: their receipts go behind `receipts`, their answers are to be given. A PUBACK promises
/// that everything its message caused is durable: only for works that are committed.
pub fn release(works: Vec<Work>, receipts: &mut Vec<Receipt>) -> Vec<Answer> {
    let mut answers = Vec::new();
    for work in works {
        match work {
            Work::Batch(mut batch) => {
                receipts.append(&mut batch.receipts);
                answers.append(&mut batch.answers);
            }
            Work::Outbox(work) => answers.extend(work.into_done().map(Answer::Done)),
            Work::Followed => {}
            Work::Segment(slice) => answers.push(Answer::Done(slice.written)),
            Work::Checkpoint(part) => answers.push(Answer::Done(part.written)),
        }
    }
    answers
}

/// About how many bytes `work` holds. Parts and slices are small, and one is waited for before the next is sent.
fn bytes(work: &Work) -> usize {
    match work {
        Work::Batch(batch) => batch.bytes,
        Work::Outbox(_) | Work::Segment(_) | Work::Checkpoint(_) | Work::Followed => 0,
    }
}

/// Whether no space is left.
fn is_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DiskFull)
}

fn busy() -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY), None)
}

fn size(file: &Path) -> u64 {
    fs::metadata(file).map_or(0, |metadata| metadata.len())
}
