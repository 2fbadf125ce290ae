//! When the files are looked after beside the commits: the write-ahead log is moved into the database, and what is out
//! of its retention is deleted. Does not say what that is.

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::retention::Retention;
use super::{StoreError, schema};
use crate::clock;
use crate::domain::time::Timestamp;

/// What one frame of the write-ahead log takes: SQLite's default page and its header.
const FRAME_BYTES: i64 = 4096 + 24;

/// The growth of the log that makes the background thread move it into the database.
const BACKGROUND_FRAMES: i64 = 8 * 1024 * 1024 / FRAME_BYTES;

/// The length at which the writer moves the log itself: under steady load a background checkpoint never
/// catches up with the last commit, and only a log that is wholly moved starts again from its beginning.
const CAP_FRAMES: i64 = schema::WAL_CAP_BYTES / FRAME_BYTES - CAP_STEP_FRAMES;

/// How much further the log may grow before the writer tries again, when a reader still needed it.
const CAP_STEP_FRAMES: i64 = 4 * 1024 * 1024 / FRAME_BYTES;

/// How long after a round with nothing left to do the next one begins.
const ROUND: Duration = Duration::from_secs(10);

/// How long a due round waits for an idle moment before it slips in between two commits.
const PATIENCE: Duration = Duration::from_mins(1);

/// The state of the upkeep between commits. Owned by the writer.
#[derive(Debug)]
pub(super) struct Upkeep {
    checkpointer: Checkpointer,
    /// The log's length when the background thread was last told.
    told_at: i64,
    /// The length from which the writer moves the log in line.
    cap: i64,
    retention: Retention,
    due_at: Instant,
}

impl Upkeep {
    /// Starts the background thread.
    pub(super) fn start(database: &Path, retention: Retention) -> Result<Upkeep, StoreError> {
        Ok(Upkeep {
            checkpointer: Checkpointer::start(database)?,
            told_at: 0,
            cap: CAP_FRAMES,
            retention,
            due_at: clock::monotonic(),
        })
    }

    /// After each commit: keeps the write-ahead log within its bounds.
    pub(super) fn after_commit(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let frames: i64 = connection
            .prepare_cached("PRAGMA wal_checkpoint(NOOP)")?
            .query_row([], |row| row.get(1))?;
        if frames < self.told_at {
            self.told_at = 0;
        }
        if frames < CAP_FRAMES {
            self.cap = CAP_FRAMES;
        }
        if frames >= self.cap {
            self.checkpointer.settle();
            checkpoint_and_restart(connection)?;
            self.cap = frames + CAP_STEP_FRAMES;
        } else if frames - self.told_at >= BACKGROUND_FRAMES {
            self.told_at = frames;
            self.checkpointer.tell();
        }
        Ok(())
    }

    /// Whether a round of deletions is due, for an idle moment.
    pub(super) fn due(&self) -> bool {
        clock::monotonic() >= self.due_at
    }

    /// Whether no idle moment has come for so long that a busy one must do.
    pub(super) fn overdue(&self) -> bool {
        clock::monotonic().saturating_duration_since(self.due_at) >= PATIENCE
    }

    /// Deletes one slice of what is out of its retention. Whether there is more to do at once.
    pub(super) fn delete_slice(&mut self, connection: &Connection, now: Timestamp) -> rusqlite::Result<bool> {
        let was_due = self.due_at;
        // After a failure too, the next try is a round away.
        self.due_at = clock::monotonic() + ROUND;
        let more = self.retention.delete_slice(connection, now)?;
        if more {
            // Still as overdue as it was: on a disk that is never idle a slice goes with every commit until it is done.
            self.due_at = was_due;
        }
        Ok(more)
    }

    /// Ends the background thread.
    pub(super) fn stop(self) {
        self.checkpointer.stop();
    }
}

/// Moves what it can of the log into the database without waiting for anyone.
fn passive_checkpoint(connection: &Connection) -> rusqlite::Result<()> {
    connection
        .prepare_cached("PRAGMA wal_checkpoint(PASSIVE)")?
        .query_row([], |_| Ok(()))
}

/// Moves the whole log, so that the next commit starts it again. Waits for readers at most as long as for any lock;
/// one that still holds the log then is passed over until the next step.
fn checkpoint_and_restart(connection: &Connection) -> rusqlite::Result<()> {
    connection
        .prepare_cached("PRAGMA wal_checkpoint(RESTART)")?
        .query_row([], |_| Ok(()))
}

/// The thread that checkpoints beside the commits, on a connection of its own.
#[derive(Debug)]
struct Checkpointer {
    tell: SyncSender<()>,
    done: Receiver<()>,
    /// It has been told, and has not said that it is done.
    at_work: bool,
    thread: JoinHandle<()>,
}

impl Checkpointer {
    fn start(database: &Path) -> Result<Checkpointer, StoreError> {
        let connection = schema::open_to_checkpoint(database)?;
        let (tell, told) = sync_channel(1);
        let (report, done) = sync_channel(1);
        let thread = thread::Builder::new()
            .name("store-checkpoint".to_owned())
            .spawn(move || checkpoint_when_told(&connection, &told, &report))
            .map_err(StoreError::Thread)?;
        Ok(Checkpointer {
            tell,
            done,
            at_work: false,
            thread,
        })
    }

    /// Asks for a checkpoint, unless one is under way. Never waits.
    fn tell(&mut self) {
        if self.at_work && self.done.try_recv().is_err() {
            return;
        }
        self.at_work = self.tell.try_send(()).is_ok();
    }

    /// Waits until no checkpoint is under way: another would only collide with it.
    fn settle(&mut self) {
        if self.at_work {
            // An error means that the thread is gone, and with it its checkpoint.
            let _ = self.done.recv();
            self.at_work = false;
        }
    }

    fn stop(self) {
        drop(self.tell);
        if self.thread.join().is_err() {
            tracing::error!("the checkpoint thread panicked");
        }
    }
}

fn checkpoint_when_told(connection: &Connection, told: &Receiver<()>, report: &SyncSender<()>) {
    while told.recv().is_ok() {
        if let Err(error) = passive_checkpoint(connection) {
            tracing::warn!(%error, "could not move the write-ahead log into the database; it is tried again");
        }
        // There is room: the writer takes each report before it asks again.
        let _ = report.try_send(());
    }
}

#[cfg(test)]
mod tests {
    use super::super::retention::SLICE;
    use super::super::schema;
    use super::*;
    use crate::config::StoreSettings;
    use crate::metrics::Metrics;

    #[test]
    fn a_backlog_of_deletions_stays_overdue_until_it_is_done() {
        let folder = tempfile::tempdir().unwrap();
        let database = schema::database(folder.path());
        let connection = schema::open_to_write(&database).unwrap();
        for input in 0..SLICE * 3 {
            connection
                .execute("INSERT INTO journal (first_input, inputs, wall_ms, ticks, entries) VALUES (?1, 1, 0, 0, x'')", [input])
                .unwrap();
        }
        connection
            .execute(
                "INSERT INTO checkpoint (id, generation, next_input, wall_ms, ticks, bytes, parts)
                 VALUES (1, 1, ?1, 0, 0, 0, 0)",
                [SLICE * 3],
            )
            .unwrap();
        let retention = Retention::new(StoreSettings::default(), None, Metrics::new());
        let mut upkeep = Upkeep::start(&database, retention).unwrap();
        upkeep.due_at = clock::monotonic().checked_sub(PATIENCE).unwrap();
        let mut slices = 0;
        while upkeep.overdue() {
            upkeep.delete_slice(&connection, clock::wall()).unwrap();
            slices += 1;
            assert!(slices < 10, "it ends");
        }
        let left: i64 = connection
            .query_row("SELECT count(*) FROM journal", [], |row| row.get(0))
            .unwrap();
        assert_eq!(left, 0, "after {slices} slices");
        upkeep.stop();
    }
}
