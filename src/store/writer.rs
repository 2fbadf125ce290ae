//! The one thread that writes: gathers works, commits them together, and only then releases what depends on
//! them. Retries a failed transaction until it succeeds; loses and acknowledges nothing meanwhile.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::mpsc::error::{TryRecvError, TrySendError};
use tokio::sync::{mpsc, watch};

use super::chain::Head;
use super::hold::Hold;
use super::transaction::{self, Changes};
use super::upkeep::Upkeep;
use super::{Outlets, StoreError};
use crate::clock;
use crate::handoff::{Receipt, Work};

/// The most works in one transaction: bounds how long the first of them waits for its commit.
const MAX_WORKS: usize = 64;

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
}

impl Writer {
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
    pub(super) database: PathBuf,
    pub(super) connection: Connection,
    pub(super) head: Head,
    /// Held until the end: nobody else may write to the folder.
    pub(super) lock: File,
    pub(super) upkeep: Upkeep,
    pub(super) outlets: Outlets,
    pub(super) works: mpsc::Receiver<Work>,
    /// Receipts that wait for the follower.
    pub(super) hold: Hold,
    /// Receipts that found their channel full.
    pub(super) unsent: Vec<Receipt>,
}

impl WriterThread {
    /// Starts the thread.
    pub(super) fn spawn(self) -> Result<Writer, StoreError> {
        let (running, ended) = watch::channel(());
        let thread = thread::Builder::new()
            .name("store-write".to_owned())
            .spawn(move || {
                let outcome = self.run();
                drop(running);
                outcome
            })
            .map_err(StoreError::Thread)?;
        Ok(Writer { thread, ended })
    }

    fn run(mut self) -> Result<(), StoreError> {
        self.outlets.health.set_store(true);
        self.measure_files();
        let outcome = self.commit_all();
        self.outlets.health.set_store(false);
        self.close();
        outcome
    }

    fn commit_all(&mut self) -> Result<(), StoreError> {
        while let Some(works) = self.gather() {
            let changes = self.commit(&works)?;
            self.count(&works, &changes);
            self.release(works, &changes);
            if let Err(error) = self.upkeep.after_commit(&self.connection) {
                tracing::warn!(%error, "could not look after the write-ahead log; it is tried again");
            }
            if self.upkeep.overdue() {
                self.tidy();
            }
        }
        Ok(())
    }

    /// The next works: one, and all that wait behind it. `None` when every sender is gone.
    fn gather(&mut self) -> Option<Vec<Work>> {
        let mut works = vec![self.wait()?];
        while works.len() < MAX_WORKS {
            match self.works.try_recv() {
                Ok(work) => works.push(work),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
        }
        self.measure_queue();
        Some(works)
    }

    /// The next work. Uses the time until it comes for upkeep.
    fn wait(&mut self) -> Option<Work> {
        loop {
            match self.works.try_recv() {
                Ok(work) => return Some(work),
                Err(TryRecvError::Disconnected) => {
                    self.send_receipts();
                    return None;
                }
                Err(TryRecvError::Empty) => {}
            }
            if self.upkeep.due() && self.tidy() {
                continue;
            }
            if self.unsent.is_empty() {
                return self.works.blocking_recv();
            }
            thread::park_timeout(RECEIPT_PAUSE);
            self.send_receipts();
        }
    }

    /// One slice of upkeep; whether there is more to do at once.
    fn tidy(&mut self) -> bool {
        self.measure_files();
        match self.upkeep.delete_slice(&self.connection, clock::wall()) {
            Ok(more) => more,
            Err(error) => {
                tracing::warn!(%error, "could not delete rows out of their retention; it is tried again");
                false
            }
        }
    }

    /// Commits `works`, however often it takes. An error only when the process is stopping and it still fails.
    fn commit(&mut self, works: &[Work]) -> Result<Changes, StoreError> {
        let mut pause = FIRST_PAUSE;
        let mut last_tries = LAST_TRIES;
        loop {
            let started = clock::monotonic();
            let error = match transaction::write(&mut self.connection, works, self.head, clock::wall()) {
                Ok(changes) => {
                    self.outlets
                        .metrics
                        .commit_seconds
                        .observe(started.elapsed().as_secs_f64());
                    self.head = changes.head;
                    self.outlets.health.set_store(true);
                    return Ok(changes);
                }
                Err(error) => error,
            };
            self.outlets.health.set_store(false);
            self.outlets.metrics.store_errors.inc();
            self.measure_queue();
            tracing::error!(%error, database = %self.database.display(), "a commit failed; nothing is acknowledged until it succeeds");
            self.roll_back();
            if self.works.is_closed() {
                if last_tries == 0 {
                    return Err(StoreError::Unwritten {
                        works: works.len().saturating_add(self.works.len()),
                        path: self.database.clone(),
                        source: error,
                    });
                }
                last_tries -= 1;
            }
            thread::park_timeout(pause);
            pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
        }
    }

    /// A transaction that could not even be rolled back would fail every one after it.
    fn roll_back(&self) {
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "could not roll back");
        }
    }

    /// Counted before anything is released, so that whoever sees an effect of a commit sees its figures too.
    fn count(&self, works: &[Work], changes: &Changes) {
        let metrics = &self.outlets.metrics;
        for work in works {
            match work {
                Work::Batch(batch) => {
                    for alarm in &batch.alarms {
                        let class = alarm.event.alarm.rule.class;
                        metrics.alarm_events(alarm.event.step.as_str(), class).inc();
                    }
                }
                Work::Delivery(_) | Work::Followed => {}
            }
        }
        for (class, priority, by) in &changes.standing {
            metrics.alarms_active(*class, *priority).add(*by);
        }
        for (target, by) in &changes.pending {
            metrics.notices_pending(target).add(*by);
        }
    }

    /// Only here, after the commit, do receipts leave: a PUBACK promises that everything its message caused is
    /// durable. Answers to operators and notices promise the same.
    fn release(&mut self, works: Vec<Work>, changes: &Changes) {
        let (mut receipts, mut answers) = (Vec::new(), Vec::new());
        for work in works {
            match work {
                Work::Batch(mut batch) => {
                    receipts.append(&mut batch.receipts);
                    answers.append(&mut batch.answers);
                }
                Work::Delivery(_) | Work::Followed => {}
            }
        }
        self.hold.committed(changes.head.seq, changes.history);
        self.unsent.append(&mut self.hold.release(receipts));
        self.send_receipts();
        for answer in answers {
            answer.give();
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
        let wal = self.database.with_extension("db-wal");
        let bytes = size(&self.database).saturating_add(size(&wal));
        self.outlets
            .metrics
            .store_bytes
            .set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Leaves one file without a log behind, as far as no reader needs the log.
    fn close(self) {
        self.upkeep.stop();
        let truncated = self
            .connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        if let Err(error) = truncated {
            tracing::warn!(%error, "could not empty the write-ahead log; the next start reads it");
        }
        if let Err((_, error)) = self.connection.close() {
            tracing::warn!(%error, "could not close the database; nothing is lost");
        }
        drop(self.lock);
    }
}

fn size(file: &Path) -> u64 {
    fs::metadata(file).map_or(0, |metadata| metadata.len())
}
