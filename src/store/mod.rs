//! The embedded store: journal, alarms, commands, event chain, outbox, dead letters, checkpoint; a batch is one
//! transaction. One thread writes; readers have connections of their own.

mod chain;
mod checkpoint;
mod commands;
mod deliveries;
mod disk;
mod failing;
mod follow;
mod history;
mod hold;
mod outbox;
mod quarantine;
mod reader;
mod recover;
mod retention;
mod samples;
mod schema;
mod seal;
mod segments;
mod told;
mod transaction;
mod upkeep;
mod writer;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode};
use tokio::sync::{mpsc, watch};

pub use self::chain::{Fault, Hash, Verified, verify};
pub use self::checkpoint::PART_BYTES;
pub use self::commands::{CommandFilter, CommandRow, CommandState};
pub use self::deliveries::{DeliveryFilter, DeliveryRow, DeliveryState};
pub use self::follow::{
    Cursor, DamagedRun, Followed, FollowedAlarm, FollowedDevice, FollowedEvent, FollowedPoint, Slice,
};
pub use self::history::History;
pub use self::hold::{FollowerEnds, FollowerLine, Hold};
pub use self::reader::{AlarmFilter, AlarmRow, DeadLetterRow, StoreReader};
pub use self::retention::Retention;
pub use self::samples::{DeviceFilter, DeviceRow, SamplePage, SampleQuery};
pub use self::segments::{Sorted, Sorter};
pub use self::told::ToldAlarm;
pub use self::transaction::Changes;
pub use self::writer::{Writer, release};

use self::chain::Head;
use self::disk::{Disk, Shedding};
use self::segments::Segments;
use self::upkeep::Upkeep;
use self::writer::WriterThread;
use crate::clock;
use crate::config::StoreSettings;
use crate::domain::directions::Recipient;
use crate::domain::history::HistoryError;
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
    /// Written by a version whose form this one cannot bring forward.
    #[error(
        "{path} was written by a development version (schema {found}, this one needs {oldest}): run that version, or move the file away and begin anew"
    )]
    TooOld {
        /// The database.
        path: PathBuf,
        /// Its schema version.
        found: i64,
        /// The oldest that can be used.
        oldest: usize,
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
    /// A sample could not be packed or unpacked.
    #[error(transparent)]
    History(#[from] HistoryError),
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

impl StoreError {
    /// Whether the disk is full or fails: it may be better a moment later.
    pub fn is_of_disk(&self) -> bool {
        let StoreError::Sqlite { source, .. } = self else {
            return false;
        };
        let code = source.sqlite_error_code();
        matches!(code, Some(ErrorCode::DiskFull | ErrorCode::SystemIoFailure))
    }
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
    /// What is not written for want of space.
    shedding: Shedding,
    /// Held until the end: nobody else may write to the folder. `None`: there is no folder.
    lock: Option<File>,
}

impl Store {
    /// Opens the store in `data_dir`, which is made if it is missing, and looks how far the last run came. A damaged
    /// database is set aside, and a new one takes its place: an empty memory, but a gateway that watches.
    pub fn open(data_dir: &Path) -> Result<(Store, Recovered), StoreError> {
        let lock = schema::lock(data_dir)?;
        let database = schema::database(data_dir);
        let found = match quarantine::marked(&database) {
            Some(damage) => Err(damage),
            // Even to open it SQLite needs a little space.
            None => match read(&database) {
                Err(error) if disk::give_all(data_dir, &error) => read(&database),
                found => found,
            },
        };
        let (connection, head, recovered) = match found {
            Err(damage) if quarantine::calls_for_it(&damage) => {
                let aside = quarantine::set_aside(&database, clock::wall())?;
                tracing::error!(%damage, kept = %aside.display(), "the database is damaged: it is set aside, and a new one begins; what stood before is not known");
                read(&database)?
            }
            Ok(_) | Err(_) => found?,
        };
        let store = Store {
            database,
            connection,
            head,
            shedding: Shedding::Nothing,
            lock: Some(lock),
        };
        Ok((store, recovered))
    }

    /// A store without a file, which lasts as long as its connections: the disk of a simulation.
    pub fn in_memory() -> Result<Store, StoreError> {
        let (connection, database) = schema::open_in_memory()?;
        Ok(Store {
            database,
            connection,
            head: Head::START,
            shedding: Shedding::Nothing,
            lock: None,
        })
    }

    /// What [`Store::open`] finds after a crash that left nothing but what is committed.
    pub fn reopen(&mut self) -> Result<Recovered, StoreError> {
        self.roll_back();
        let (head, recovered) = found(&self.connection, &self.database)?;
        self.head = head;
        Ok(recovered)
    }

    /// What [`StoreReader::pending_notices`] answers, at once.
    pub fn pending_notices(
        &self,
        (target, critical): (&str, bool),
        after: i64,
        limit: u32,
    ) -> rusqlite::Result<Vec<PendingNotice>> {
        outbox::pending(&self.connection, (target, critical), after, limit)
    }

    /// What [`StoreReader::follow`] answers, at once.
    pub fn follow(&self, from: Cursor) -> rusqlite::Result<Slice> {
        follow::slice(&self.connection, from)
    }

    /// Nothing waits for the follower at the other end of `line`, which is told how far the store is.
    pub fn hold(&self, line: Option<FollowerLine>) -> rusqlite::Result<Hold> {
        Ok(Hold::new(line, follow::committed(&self.connection)?))
    }

    /// Sorts this store's history by device, in stretches of `most_samples` at the most.
    pub fn sorter(&self, most_samples: u64) -> Result<Sorter, StoreError> {
        Sorter::new(&self.database, most_samples)
    }

    /// What [`verify`] finds, in this store.
    pub fn verify(&self) -> rusqlite::Result<Verified> {
        chain::walk_all(&self.connection)
    }

    /// The connection that writes: for a simulation to damage and inspect what it calls its disk.
    pub const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// What is recorded, for a restart.
    pub fn history(&self) -> Result<History, StoreError> {
        History::of(self.database.clone())
    }

    /// Leaves word that what is stored cannot be used, and why: the next start sets it aside and begins anew, rather than
    /// that nobody watches.
    pub fn condemn(&self, why: &str) {
        if let Err(error) = quarantine::mark(&self.database, why) {
            tracing::error!(%error, "cannot leave word of it for the next start");
        }
    }

    /// A reader with a connection and a thread of its own. Take one for each user that must not wait for another.
    pub fn reader(&self) -> Result<StoreReader, StoreError> {
        StoreReader::start(self.database.clone())
    }

    /// Writes `works` in one transaction. On an error nothing of it is kept, and it may be tried again.
    pub fn commit(&mut self, works: &[Work], now: Timestamp) -> rusqlite::Result<Changes> {
        match transaction::write(&mut self.connection, works, self.head, now, self.shedding) {
            Ok(changes) => {
                self.head = changes.head;
                Ok(changes)
            }
            Err(error) => {
                self.roll_back();
                Err(error)
            }
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

    /// Starts the writer, which keeps what `settings` say. It ends when every clone of the sender is gone.
    pub fn start(
        self,
        mut outlets: Outlets,
        settings: StoreSettings,
    ) -> Result<(mpsc::Sender<Work>, Writer), StoreError> {
        self.set_gauges(&outlets.metrics)
            .map_err(schema::failed(&self.database, "count alarms and notices"))?;
        // The last run may have ended after a sync that failed. What it left in the log is written once more, into the
        // database, before anything new stands behind it.
        let distrusted = !matches!(disk::cut_log(&self.connection), Ok(true));
        let retention = Retention::new(
            settings,
            outlets.follower.as_ref().map(|line| line.followed.clone()),
            outlets.metrics.clone(),
        );
        let upkeep = Upkeep::start(&self.database, retention)?;
        let hold = self
            .hold(outlets.follower.take())
            .map_err(schema::failed(&self.database, "find the end of the store"))?;
        let data_dir = self.database.parent().unwrap_or(Path::new(".")).to_owned();
        let (sender, works) = mpsc::channel(WORKS);
        let segments = Segments::start(&self.database, &sender)?;
        let disk = Disk::new(&data_dir, settings.disk_reserve);
        let writer = WriterThread {
            store: self,
            upkeep,
            segments,
            disk,
            outlets,
            works,
            hold,
            unsent: Vec::new(),
            failing: None,
            distrusted,
            committed: watch::channel(0).0,
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

/// Opens and checks the database, and looks how far the last run came.
fn read(database: &Path) -> Result<(Connection, Head, Recovered), StoreError> {
    let connection = schema::open_to_write(database)?;
    quarantine::check(&connection, database)?;
    History::of(database.to_owned())?.check()?;
    let (head, recovered) = found(&connection, database)?;
    Ok((connection, head, recovered))
}

/// What a start has to know of the database.
fn found(connection: &Connection, database: &Path) -> Result<(Head, Recovered), StoreError> {
    checkpoint::delete_abandoned(connection)
        .map_err(schema::failed(database, "delete an unfinished checkpoint"))?;
    let recovered =
        recover::recover(connection).map_err(schema::failed(database, "look into the journal"))?;
    let head = Head::load(connection).map_err(schema::failed(database, "read the last event"))?;
    Ok((head, recovered))
}

/// How far the last run came.
#[derive(Debug, Clone, Copy, Default)]
pub struct Recovered {
    /// The next input after the last checkpoint; 0 without one.
    pub checkpointed: u64,
    /// The last recorded moment.
    pub last: Option<Moment>,
}

/// The engine's state at one point of the input sequence.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// Which one: later ones have higher numbers, from 1.
    pub generation: u64,
    /// The sequence number of the next input after it.
    pub next_input: u64,
    /// The moment of the last input before it.
    pub at: Moment,
    /// The engine's snapshot.
    pub state: Vec<u8>,
}

/// One batch's inputs.
#[derive(Debug, Clone)]
pub struct JournalRow {
    /// The sequence number of its first input.
    pub first_input: u64,
    /// How many there are.
    pub inputs: u64,
    /// The moment of the last.
    pub at: Moment,
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
    /// Whose line it stands in: the alarm it speaks of, or the order. The notices of one line go out in order.
    pub alarm: Id,
    /// The JSON body.
    pub body: String,
    /// When the event was committed.
    pub created_at: Timestamp,
    /// How many attempts have failed so far.
    pub attempts: u32,
    /// When the next attempt is due.
    pub due_at: Timestamp,
    /// Its line is one of a critical alarm or of an order: it is read past the others.
    pub critical: bool,
    /// It goes before those that are not, and waits for no company.
    pub urgent: bool,
    /// For whom it is; nobody in particular: whoever reads the target.
    pub people: Vec<Recipient>,
    /// Its target has not wanted it.
    pub refused: bool,
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
