//! The embedded store: journal, alarms, event chain, outbox, dead letters, checkpoint; a batch is one
//! transaction. One thread writes; readers have connections of their own.

mod chain;
mod follow;
mod history;
mod hold;
mod reader;
mod recover;
mod schema;
mod seal;
mod transaction;
mod upkeep;
mod writer;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use tokio::sync::{mpsc, watch};

pub use self::chain::{Fault, Hash, Verified, verify};
pub use self::follow::{
    Cursor, DamagedRun, Followed, FollowedAlarm, FollowedDevice, FollowedEvent, FollowedPoint, Slice,
};
pub use self::history::History;
pub use self::hold::{FollowerEnds, FollowerLine};
pub use self::reader::{AlarmFilter, AlarmRow, DeadLetterRow, StoreReader};
pub use self::upkeep::JOURNAL_KEPT_MS;
pub use self::writer::Writer;

use self::chain::Head;
use self::hold::Hold;
use self::upkeep::Upkeep;
use self::writer::WriterThread;
use crate::domain::id::Id;
use crate::domain::time::{Moment, Timestamp};
use crate::handoff::{Receipt, Work};
use crate::lifecycle::Health;
use crate::metrics::Metrics;

/// How many works may wait for the writer before their senders do. While one transaction is on its way to the
/// disk the next gathers here; more would only add to what a crash makes the broker deliver again.
const WORKS: usize = 8;

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The data folder, or the file in it, cannot be made or written to.
    #[error(
        "cannot use {path} for the store: {source}; the data folder must exist, or be creatable, on a local disk, and be writable by this user"
    )]
    Folder {
        /// The folder or file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another process holds the lock.
    #[error(
        "the data folder {0} is in use by another ninewatch; stop that one, or give this one a data_dir of its own"
    )]
    InUse(PathBuf),
    /// There is nothing to read.
    #[error("there is no database {0}; is this the data_dir of a gateway that has run?")]
    NoDatabase(PathBuf),
    /// The file holds something else.
    #[error("{0} is not an SQLite database; move it away, and ninewatch starts with a new one")]
    NotADatabase(PathBuf),
    /// A database of another program.
    #[error("{0} is a database of another program; give ninewatch a data_dir of its own")]
    NotOurs(PathBuf),
    /// Written by a later version.
    #[error(
        "{path} was written by a newer ninewatch (schema {found}, this one knows {known}); run that version"
    )]
    TooNew {
        /// The database.
        path: PathBuf,
        /// Its schema version.
        found: i64,
        /// The newest known here.
        known: usize,
    },
    /// SQLite found it damaged.
    #[error(
        "the database {path} is damaged ({detail}); keep a copy, then restore a backup or rescue it with `sqlite3 .recover`"
    )]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What SQLite says.
        detail: String,
    },
    /// Inputs are missing from the journal: the state after them would be a guess.
    #[error(
        "the journal in {path} lacks the inputs {expected} to {found}; keep a copy, then restore a backup or move the file away"
    )]
    JournalGap {
        /// The database.
        path: PathBuf,
        /// The first missing input.
        expected: u64,
        /// The first one after the gap.
        found: u64,
    },
    /// Any other failure of SQLite's.
    #[error("could not {doing} ({path}): {source}")]
    Sqlite {
        /// What was attempted.
        doing: &'static str,
        /// The database.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// The process stopped while commits were failing.
    #[error(
        "{works} works could not be committed to {path} before the stop ({source}); none was acknowledged, the broker delivers them again"
    )]
    Unwritten {
        /// How many.
        works: usize,
        /// The database.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// A thread could not be started.
    #[error("could not start a thread of the store: {0}")]
    Thread(io::Error),
    /// A fault in ninewatch itself.
    #[error("the store's writer thread panicked; please report it with the log")]
    WriterPanicked,
    /// The reading thread has ended.
    #[error("the store's reading thread has ended")]
    ReaderGone,
}

/// Where the writer sends what a commit releases.
#[derive(Debug)]
pub struct Outlets {
    /// Receipts of committed messages, in the order of their batches.
    pub receipts: mpsc::Sender<Vec<Receipt>>,
    /// Changes after every commit that added notices.
    pub notices: watch::Sender<u64>,
    /// Whoever copies the store elsewhere; `None` when nobody does.
    pub follower: Option<FollowerLine>,
    /// Commit times, errors, standing alarms, alarm events, pending notices, queue and file sizes are kept there.
    pub metrics: Metrics,
    /// Told whether commits succeed.
    pub health: Health,
}

/// The store, opened and locked, not yet running.
#[derive(Debug)]
pub struct Store {
    database: PathBuf,
    connection: Connection,
    head: Head,
    lock: File,
}

impl Store {
    /// Opens the store in `data_dir`, which is made if it is missing, and reads what the last run left.
    pub fn open(data_dir: &Path) -> Result<(Store, Recovered), StoreError> {
        let lock = schema::lock(data_dir)?;
        let database = schema::database(data_dir);
        let connection = schema::open_to_write(&database)?;
        let recovered = recover::recover(&connection, &database)?;
        let head = Head::load(&connection).map_err(schema::failed(&database, "read the last event"))?;
        let store = Store {
            database,
            connection,
            head,
            lock,
        };
        Ok((store, recovered))
    }

    /// The source of the definitions with this hash, if it was ever stored.
    pub fn definitions(&self, hash: &[u8; 32]) -> Result<Option<String>, StoreError> {
        recover::definitions(&self.connection, &self.database, hash)
    }

    /// A reader with a connection and a thread of its own. Take one for each user that must not wait for another.
    pub fn reader(&self) -> Result<StoreReader, StoreError> {
        StoreReader::start(self.database.clone())
    }

    /// Starts the writer. It ends when every clone of the sender is gone.
    pub fn start(self, mut outlets: Outlets) -> Result<(mpsc::Sender<Work>, Writer), StoreError> {
        self.set_gauges(&outlets.metrics)
            .map_err(schema::failed(&self.database, "count alarms and notices"))?;
        let upkeep = Upkeep::start(&self.database)?;
        let committed = follow::committed(&self.connection)
            .map_err(schema::failed(&self.database, "find the end of the store"))?;
        let hold = Hold::new(outlets.follower.take(), committed);
        let (sender, works) = mpsc::channel(WORKS);
        let writer = WriterThread {
            database: self.database,
            connection: self.connection,
            head: self.head,
            lock: self.lock,
            upkeep,
            outlets,
            works,
            hold,
            unsent: Vec::new(),
        };
        Ok((sender, writer.spawn()?))
    }

    /// The gauges that later commits only add to.
    fn set_gauges(&self, metrics: &Metrics) -> rusqlite::Result<()> {
        let mut standing = self.connection.prepare(
            "SELECT class, priority, count(*) FROM alarm WHERE standing = 1 GROUP BY class, priority",
        )?;
        let mut rows = standing.query([])?;
        while let Some(row) = rows.next()? {
            let (class, priority): (String, String) = (row.get(0)?, row.get(1)?);
            if let Some((class, priority)) = transaction::parse_labels(&class, &priority) {
                metrics.alarms_active(class, priority).set(row.get(2)?);
            }
        }
        let mut pending = self
            .connection
            .prepare("SELECT target, count(*) FROM outbox WHERE delivered_at IS NULL GROUP BY target")?;
        let mut rows = pending.query([])?;
        while let Some(row) = rows.next()? {
            metrics
                .notices_pending(&row.get::<_, String>(0)?)
                .set(row.get(1)?);
        }
        Ok(())
    }
}

/// What the last run left behind.
#[derive(Debug, Default)]
pub struct Recovered {
    /// The last checkpoint, if there was one.
    pub checkpoint: Option<Checkpoint>,
    /// The journal rows after it, in order.
    pub journal: Vec<JournalRow>,
    /// The last recorded moment.
    pub last: Option<Moment>,
}

/// The engine's state at one point of the input sequence.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// The sequence number of the next input after it.
    pub next_input: u64,
    /// The engine's snapshot.
    pub state: Vec<u8>,
}

/// One batch's inputs.
#[derive(Debug, Clone)]
pub struct JournalRow {
    /// The sequence number of its first input.
    pub first_input: u64,
    /// The inputs, encoded.
    pub entries: Vec<u8>,
}

/// A notice that waits for its target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingNotice {
    /// The outbox row.
    pub row: i64,
    /// The notice's id, the same through all retries.
    pub id: Id,
    /// The alarm it speaks of: its notices go out in order.
    pub alarm: Id,
    /// The JSON body.
    pub body: String,
    /// When the event was committed.
    pub created_at: Timestamp,
    /// How many attempts have failed so far.
    pub attempts: u32,
    /// When the next attempt is due.
    pub due_at: Timestamp,
}

/// A stored event of the hash chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRow {
    /// Its place in the chain, from 1.
    pub seq: i64,
    /// The event as JSON.
    pub body: String,
    /// SHA-256 over the previous hash, the place and the body, in hex.
    pub hash: String,
}
