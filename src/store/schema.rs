//! The database file: how it is opened, which tables it has, and how an older one is brought forward.
//! Holds no queries of the running gateway.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use super::StoreError;
use super::seal::SealError;

/// How long a statement waits for a lock that another connection holds. Short: the writer has its own retries.
const BUSY_TIMEOUT: Duration = Duration::from_secs(1);

/// "N9WC": marks the file as ours (`PRAGMA application_id`).
const APPLICATION_ID: i64 = 0x4E39_5743;

/// The size from which a write-ahead log is moved into the database in line, and to which its file is cut back.
pub(super) const WAL_CAP_BYTES: i64 = 64 * 1024 * 1024;

/// Statements kept prepared on a connection: more than either side uses.
const STATEMENTS: usize = 48;

/// The oldest schema that is brought forward: what came before was never released, and keeps its journal in another form.
const OLDEST: usize = 3;

/// Forward only: `user_version` says how many have been applied. A released one is never edited.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE journal (
        first_input INTEGER PRIMARY KEY,
        inputs      INTEGER NOT NULL,
        wall_ms     INTEGER NOT NULL,
        ticks       INTEGER NOT NULL,
        entries     BLOB    NOT NULL
    ) STRICT;
    CREATE TABLE checkpoint (
        id         INTEGER PRIMARY KEY CHECK (id = 1),
        next_input INTEGER NOT NULL,
        wall_ms    INTEGER NOT NULL,
        ticks      INTEGER NOT NULL,
        state      BLOB    NOT NULL
    ) STRICT;
    CREATE TABLE definitions (
        hash   BLOB PRIMARY KEY,
        source TEXT NOT NULL
    ) STRICT;
    CREATE TABLE alarm (
        id        BLOB    PRIMARY KEY,
        standing  INTEGER NOT NULL,
        state     TEXT    NOT NULL,
        class     TEXT    NOT NULL,
        priority  TEXT    NOT NULL,
        venue     TEXT    NOT NULL,
        device    TEXT    NOT NULL,
        kind      TEXT    NOT NULL,
        rule      TEXT    NOT NULL,
        raised_at INTEGER NOT NULL,
        body      TEXT    NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX alarm_standing ON alarm (id) WHERE standing = 1;
    CREATE TABLE event (
        seq   INTEGER PRIMARY KEY,
        id    BLOB    NOT NULL,
        at    INTEGER NOT NULL,
        type  TEXT    NOT NULL,
        alarm BLOB,
        body  TEXT    NOT NULL,
        hash  BLOB    NOT NULL
    ) STRICT;
    CREATE TABLE outbox (
        row          INTEGER PRIMARY KEY AUTOINCREMENT,
        id           BLOB    NOT NULL,
        target       TEXT    NOT NULL,
        alarm        BLOB    NOT NULL,
        body         TEXT    NOT NULL,
        created_at   INTEGER NOT NULL,
        attempts     INTEGER NOT NULL,
        due_at       INTEGER NOT NULL,
        delivered_at INTEGER,
        last_error   TEXT
    ) STRICT;
    CREATE INDEX outbox_pending ON outbox (target, row) WHERE delivered_at IS NULL;
    CREATE TABLE dead_letter (
        row     INTEGER PRIMARY KEY,
        at      INTEGER NOT NULL,
        topic   TEXT    NOT NULL,
        reason  TEXT    NOT NULL,
        detail  TEXT    NOT NULL,
        payload BLOB    NOT NULL,
        size    INTEGER NOT NULL
    ) STRICT;
    ",
    // `store.epoch` tells this database from an earlier one of the same gateway, whose numbers began at 1 as well.
    // `definitions.first_input`: the first input of the batch in which they last came into force. `chain_start`: the
    // last event that retention has deleted.
    "
    CREATE TABLE store (
        id    INTEGER PRIMARY KEY CHECK (id = 1),
        epoch INTEGER NOT NULL
    ) STRICT;
    INSERT INTO store (id, epoch) VALUES (1, CAST(unixepoch('subsec') * 1000 AS INTEGER));
    CREATE TABLE device (
        number     INTEGER PRIMARY KEY,
        venue      TEXT    NOT NULL,
        kind       TEXT    NOT NULL,
        device     TEXT    NOT NULL,
        first_seen INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX device_id ON device (device);
    CREATE TABLE point (
        number INTEGER PRIMARY KEY,
        kind   TEXT    NOT NULL,
        point  TEXT    NOT NULL,
        value  TEXT    NOT NULL
    ) STRICT;
    CREATE TABLE history (
        row     INTEGER PRIMARY KEY AUTOINCREMENT,
        from_at INTEGER NOT NULL,
        to_at   INTEGER NOT NULL,
        count   INTEGER NOT NULL,
        samples BLOB    NOT NULL
    ) STRICT;
    DROP TABLE checkpoint;
    CREATE TABLE checkpoint (
        id         INTEGER PRIMARY KEY CHECK (id = 1),
        generation INTEGER NOT NULL,
        next_input INTEGER NOT NULL,
        wall_ms    INTEGER NOT NULL,
        ticks      INTEGER NOT NULL,
        bytes      INTEGER NOT NULL,
        parts      INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE checkpoint_part (
        generation INTEGER NOT NULL,
        part       INTEGER NOT NULL,
        state      BLOB    NOT NULL,
        PRIMARY KEY (generation, part)
    ) STRICT;
    ALTER TABLE definitions ADD COLUMN first_input INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE alarm ADD COLUMN changed_at INTEGER NOT NULL DEFAULT 0;
    UPDATE alarm SET changed_at = raised_at;
    CREATE TABLE chain_start (
        id   INTEGER PRIMARY KEY CHECK (id = 1),
        seq  INTEGER NOT NULL,
        hash BLOB    NOT NULL
    ) STRICT;
",
    // A segment counts once its row in `segment` is there; `history` after `last_row` of the newest is not sorted yet.
    "
    CREATE INDEX device_key ON device (venue, kind, device);
    CREATE TABLE segment (
        number   INTEGER PRIMARY KEY,
        last_row INTEGER NOT NULL,
        from_at  INTEGER NOT NULL,
        to_at    INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE history_segment (
        segment INTEGER NOT NULL,
        device  INTEGER NOT NULL,
        from_at INTEGER NOT NULL,
        to_at   INTEGER NOT NULL,
        count   INTEGER NOT NULL,
        samples BLOB    NOT NULL,
        PRIMARY KEY (segment, device)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE history_latest (
        device  INTEGER PRIMARY KEY,
        samples BLOB    NOT NULL
    ) STRICT;
",
    // `open`: it is not over.
    "
    CREATE TABLE command (
        id           BLOB    PRIMARY KEY,
        open         INTEGER NOT NULL,
        state        TEXT    NOT NULL,
        venue        TEXT    NOT NULL,
        kind         TEXT    NOT NULL,
        device       TEXT    NOT NULL,
        command      TEXT    NOT NULL,
        requested_at INTEGER NOT NULL,
        changed_at   INTEGER NOT NULL,
        body         TEXT    NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX command_open ON command (id) WHERE open = 1;
    CREATE INDEX command_state ON command (state, id);
    CREATE INDEX command_device ON command (device, id);
",
    // `outbox.critical` is that of a whole line and decides who reads it, `urgent` that of the notice.
    // `delivery`: one message to a target, with one notice or several. `outbox.delivery` is the last that carried the
    // notice, `result` how it ended. `held`: it waits for its time, and then gets a new row.
    "
    ALTER TABLE outbox ADD COLUMN critical INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE outbox ADD COLUMN urgent INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE outbox ADD COLUMN people TEXT;
    ALTER TABLE outbox ADD COLUMN held INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE outbox ADD COLUMN delivery INTEGER;
    ALTER TABLE outbox ADD COLUMN result TEXT;
    UPDATE outbox SET result = 'delivered' WHERE delivered_at IS NOT NULL;
    DROP INDEX outbox_pending;
    CREATE INDEX outbox_pending ON outbox (target, critical, row) WHERE delivered_at IS NULL AND held = 0;
    CREATE INDEX outbox_held ON outbox (target, due_at) WHERE held = 1;
    CREATE INDEX outbox_alarm ON outbox (alarm, row);
    CREATE TABLE delivery (
        row     INTEGER PRIMARY KEY AUTOINCREMENT,
        message BLOB    NOT NULL,
        target  TEXT    NOT NULL,
        at      INTEGER NOT NULL,
        notices INTEGER NOT NULL,
        result  TEXT    NOT NULL,
        error   TEXT
    ) STRICT;
    CREATE INDEX delivery_target ON delivery (target, at);
    CREATE TABLE escalation (
        alarm BLOB PRIMARY KEY,
        state TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
",
    // Of which alarms a target has been told, by which labels it knows them, and when they ended. `store.proofs`: how often the
    // disk was asked for nothing but a proof that it writes.
    "
    CREATE TABLE told (
        alarm    BLOB NOT NULL,
        target   TEXT NOT NULL,
        labels   TEXT NOT NULL,
        notice   BLOB,
        ended_at INTEGER,
        PRIMARY KEY (alarm, target)
    ) STRICT, WITHOUT ROWID;
    CREATE UNIQUE INDEX told_labels ON told (target, labels);
    CREATE INDEX told_ended ON told (ended_at) WHERE ended_at IS NOT NULL;
    ALTER TABLE store ADD COLUMN proofs INTEGER NOT NULL DEFAULT 0;
",
    // `everyone`: besides its people a notice is for whoever reads its target.
    "
    ALTER TABLE outbox ADD COLUMN everyone INTEGER NOT NULL DEFAULT 0;
",
    // What is held of a line is looked for at each of its notices.
    "
    CREATE INDEX outbox_held_line ON outbox (alarm, target) WHERE held = 1;
",
    // `silent_until`: until then the target wants nothing at all, as it said then. `refused`: its target does not want this notice.
    "
    ALTER TABLE delivery ADD COLUMN silent_until INTEGER;
    ALTER TABLE outbox ADD COLUMN refused INTEGER NOT NULL DEFAULT 0;
",
    // What targets do not want is counted and listed, and costs nothing where it is not asked for.
    "
    DROP INDEX outbox_held;
    CREATE INDEX outbox_held ON outbox (target, refused, due_at) WHERE held = 1;
    CREATE INDEX outbox_refused ON outbox (target, row) WHERE refused = 1 AND delivered_at IS NULL;
",
];

/// The database inside `data_dir`.
pub(super) fn database(data_dir: &Path) -> PathBuf {
    data_dir.join("ninewatch.db")
}

/// Makes `data_dir` if it is missing and takes its exclusive lock, which lasts as long as the returned file.
pub(super) fn lock(data_dir: &Path) -> Result<File, StoreError> {
    let folder = |source| StoreError::Folder {
        path: data_dir.to_owned(),
        source,
    };
    fs::create_dir_all(data_dir).map_err(folder)?;
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(data_dir.join("ninewatch.lock"))
        .map_err(folder)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse(data_dir.to_owned())),
        Err(TryLockError::Error(source)) => Err(folder(source)),
    }
}

/// The connection that writes: WAL, durable at every commit, brought to the newest schema.
pub(super) fn open_to_write(database: &Path) -> Result<Connection, StoreError> {
    let failed = failed(database, "open the database");
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(database, flags).map_err(&failed)?;
    prepare(&connection).map_err(&failed)?;
    // Before anything is changed: the file may not be ours.
    let version = version(&connection, database)?;
    let unusable = |source: io::Error| StoreError::Folder {
        path: database.to_owned(),
        source,
    };
    // SQLite opens a file that it may not write to all the same, and fails at the first commit.
    if connection.is_readonly("main").map_err(&failed)? {
        return Err(unusable(io::ErrorKind::PermissionDenied.into()));
    }
    let mode: String = connection
        .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))
        .map_err(&failed)?;
    if mode != "wal" {
        let why = "its file system cannot share memory, which SQLite's write-ahead log needs";
        return Err(unusable(io::Error::other(why)));
    }
    let set_up = |connection: &Connection| -> rusqlite::Result<()> {
        connection.pragma_update(None, "synchronous", "FULL")?;
        // An automatic checkpoint would run inside some commit; ours run beside the commits (upkeep.rs).
        connection.pragma_update_and_check(None, "wal_autocheckpoint", 0, |_| Ok(()))?;
        connection.pragma_update_and_check(None, "journal_size_limit", WAL_CAP_BYTES, |_| Ok(()))
    };
    set_up(&connection).map_err(&failed)?;
    migrate(&mut connection, version).map_err(&failed)?;
    Ok(connection)
}

/// A database that lasts as long as its connection, with the newest schema.
pub(super) fn open_in_memory() -> Result<(Connection, PathBuf), StoreError> {
    let number = IN_MEMORY.fetch_add(1, Ordering::Relaxed);
    let name = PathBuf::from(format!("file:ninewatch-{number}?mode=memory&cache=shared"));
    let failed = failed(&name, "open a database in memory");
    let flags = OpenFlags::default() | OpenFlags::SQLITE_OPEN_URI;
    let mut connection = Connection::open_with_flags(&name, flags).map_err(&failed)?;
    prepare(&connection).map_err(&failed)?;
    migrate(&mut connection, 0).map_err(&failed)?;
    drop(failed);
    Ok((connection, name))
}

/// Databases in memory made so far: each has a name of its own, by which its readers find it.
static IN_MEMORY: AtomicU64 = AtomicU64::new(0);

/// A connection that only reads; it sees each commit once it is durable.
pub(super) fn open_to_read(database: &Path) -> Result<Connection, StoreError> {
    let failed = failed(database, "open the database for reading");
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let connection = Connection::open_with_flags(database, flags).map_err(&failed)?;
    prepare(&connection).map_err(&failed)?;
    let version = version(&connection, database)?;
    if version < MIGRATIONS.len() {
        return Err(StoreError::NotOurs(database.to_owned()));
    }
    Ok(connection)
}

/// The connection of the background checkpoints.
pub(super) fn open_to_checkpoint(database: &Path) -> Result<Connection, StoreError> {
    let failed = failed(database, "open the database for checkpoints");
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(database, flags).map_err(&failed)?;
    prepare(&connection).map_err(&failed)?;
    connection
        .pragma_update(None, "synchronous", "FULL")
        .map_err(&failed)?;
    Ok(connection)
}

fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(())
}

/// How many migrations the file has had; refuses one that is not ours or comes from a newer ninewatch.
fn version(connection: &Connection, database: &Path) -> Result<usize, StoreError> {
    let failed = failed(database, "read the database's header");
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let application = number("application_id").map_err(&failed)?;
    let version = number("user_version").map_err(&failed)?;
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(&failed)?;
    let fresh = application == 0 && version == 0 && tables == 0;
    if application != APPLICATION_ID && !fresh {
        return Err(StoreError::NotOurs(database.to_owned()));
    }
    match usize::try_from(version) {
        Ok(old) if !fresh && old < OLDEST => Err(StoreError::TooOld {
            path: database.to_owned(),
            found: version,
            oldest: OLDEST,
        }),
        Ok(version) if version <= MIGRATIONS.len() => Ok(version),
        Ok(_) | Err(_) => Err(StoreError::TooNew {
            path: database.to_owned(),
            found: version,
            known: MIGRATIONS.len(),
        }),
    }
}

fn migrate(connection: &mut Connection, version: usize) -> rusqlite::Result<()> {
    for (applied, migration) in (1_i64..).zip(MIGRATIONS).skip(version) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(migration)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", applied)?;
        transaction.commit()?;
    }
    Ok(())
}

/// Turns an error of SQLite's into one that names the file and says what to do.
pub(super) fn failed(database: &Path, doing: &'static str) -> impl Fn(rusqlite::Error) -> StoreError {
    move |source| {
        let path = database.to_owned();
        let code = source.sqlite_error_code();
        if code == Some(ErrorCode::NotADatabase) {
            StoreError::NotADatabase(path)
        } else if code == Some(ErrorCode::DatabaseCorrupt)
            || matches!(&source, rusqlite::Error::FromSqlConversionFailure(_, _, why) if !is_newer(why.as_ref()))
        {
            StoreError::Damaged {
                path,
                detail: source.to_string(),
            }
        } else {
            StoreError::Sqlite { doing, path, source }
        }
    }
}

/// Whether what cannot be read is whole, and of a version that this one does not know.
fn is_newer(why: &(dyn std::error::Error + 'static)) -> bool {
    matches!(why.downcast_ref(), Some(SealError::Form(_)))
}

/// An unsigned counter as SQLite keeps it. Sequences have 48 bits and ticks are milliseconds: it always fits.
pub(super) fn to_sql(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The counter back from SQLite.
pub(super) fn from_sql(value: i64) -> u64 {
    value.max(0).unsigned_abs()
}
