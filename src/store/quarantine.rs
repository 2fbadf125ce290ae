//! A damaged database is set aside, whole, and a new one takes its place: a gateway that watches with an empty memory is
//! better than none. Never deletes anything.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::{StoreError, schema};
use crate::domain::time::Timestamp;

/// What the files of a database that was set aside begin with.
const ASIDE: &str = "ninewatch.db.damaged-";

/// The file by which a running gateway says that its database turned out damaged.
const MARKER: &str = "ninewatch.damaged";

/// The largest database that is checked as a whole at the start, in bytes: about a second's reading. In a larger one only
/// what the start reads is checked.
const CHECKED_BYTES: u64 = 64 * 1024 * 1024;

/// Whether a database that was set aside lies in `folder`.
pub(super) fn lies_in(folder: &Path) -> bool {
    let Ok(entries) = fs::read_dir(folder) else {
        return false;
    };
    let mut names = entries.flatten().map(|entry| entry.file_name());
    names.any(|name| name.to_string_lossy().starts_with(ASIDE))
}

/// Whether `error` means that the file is ours and cannot be believed: not one of another program, of a newer version,
/// or of a disk that cannot be read just now.
pub(super) const fn calls_for_it(error: &StoreError) -> bool {
    match error {
        StoreError::NotADatabase(_) | StoreError::Damaged { .. } | StoreError::JournalGap { .. } => true,
        StoreError::Folder { .. }
        | StoreError::InUse(_)
        | StoreError::NoDatabase(_)
        | StoreError::NotOurs(_)
        | StoreError::TooOld { .. }
        | StoreError::TooNew { .. }
        | StoreError::Sqlite { .. }
        | StoreError::Unwritten { .. }
        | StoreError::History(_)
        | StoreError::Thread(_)
        | StoreError::WriterPanicked
        | StoreError::ReaderGone => false,
    }
}

/// Checks the structure of a database that is small enough to.
pub(super) fn check(connection: &Connection, database: &Path) -> Result<(), StoreError> {
    if fs::metadata(database).map_or(0, |found| found.len()) > CHECKED_BYTES {
        return Ok(());
    }
    let found: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(schema::failed(database, "check the database"))?;
    if found == "ok" {
        return Ok(());
    }
    Err(StoreError::Damaged {
        path: database.to_owned(),
        detail: found,
    })
}

/// Sets `database` and what belongs to it aside, at the time `now`; the new name of the database.
pub(super) fn set_aside(database: &Path, now: Timestamp) -> Result<PathBuf, StoreError> {
    let folder = database.parent().unwrap_or(Path::new("."));
    let at = now.to_rfc3339().replace([':', '.'], "-");
    let aside = folder.join(format!("{ASIDE}{at}"));
    let moved = || -> io::Result<()> {
        // Cut short between two files, the next start must go on with it: without its log the database is an older one.
        mark(database, "it was being set aside")?;
        // The log first: a new database must never find it, whenever this is cut short.
        for part in ["-wal", "-shm", ""] {
            let name = |path: &Path| -> PathBuf {
                let mut name = path.as_os_str().to_owned();
                name.push(part);
                name.into()
            };
            match fs::rename(name(database), name(&aside)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        match fs::remove_file(folder.join(MARKER)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        File::open(folder)?.sync_all()
    };
    moved().map_err(|source| StoreError::Folder {
        path: database.to_owned(),
        source,
    })?;
    Ok(aside)
}

/// Why the last run found its database damaged, if it did.
pub(super) fn marked(database: &Path) -> Option<StoreError> {
    let marker = database.with_file_name(MARKER);
    let detail = fs::read_to_string(marker).ok()?;
    Some(StoreError::Damaged {
        path: database.to_owned(),
        detail,
    })
}

/// Leaves word for the next start that `database` turned out damaged.
pub(super) fn mark(database: &Path, detail: &str) -> io::Result<()> {
    let mut marker = File::create(database.with_file_name(MARKER))?;
    marker.write_all(detail.as_bytes())?;
    marker.sync_all()?;
    File::open(database.parent().unwrap_or(Path::new(".")))?.sync_all()
}
