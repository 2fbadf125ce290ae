//! The space on the disk: how much is free, what is shed when it runs short, and the ballast, a file that keeps space for
//! alarms against everybody else on the disk. Never touches what recovery needs.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode};
use rustix::fs::{FallocateFlags, fallocate, statvfs};

use super::{StoreError, quarantine};
use crate::clock;
use crate::metrics::Metrics;

/// The file that keeps space, in the data folder.
const BALLAST: &str = "ninewatch.ballast";

/// How often the free space is asked for.
const LOOK: Duration = Duration::from_secs(1);

/// More free bytes than a start needs.
const A_START: u64 = 8 * 1024 * 1024;

/// How often room is made while it is low.
const ROOM: Duration = Duration::from_secs(10);

/// The part of the whole disk that the ballast takes at the most.
const MOST_OF_DISK: u64 = 20;

/// In how many steps the ballast is given up: all at once would go to whoever fills the disk.
const STEPS: u64 = 8;

/// How many rows of a table are deleted at a time to make room.
const ROWS: u32 = 1024;

/// What is not written. The order is that of DESIGN §8: alarms, events, outbox and journal always go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Shedding {
    Nothing,
    /// The samples of the history.
    Samples,
    /// Those, and the payloads of dead letters.
    SamplesAndPayloads,
}

impl Shedding {
    /// What to shed with `free` bytes left of a `reserve`, while `self` is shed. It ends a quarter above the reserve: at
    /// its edge it would begin and end with every commit.
    fn next(self, free: u64, reserve: u64) -> Shedding {
        if free < reserve / 2 {
            Shedding::SamplesAndPayloads
        } else if free < reserve {
            self.max(Shedding::Samples)
        } else if free < enough(reserve) {
            self
        } else {
            Shedding::Nothing
        }
    }
}

/// The bytes from which on a reserve counts as restored.
const fn enough(reserve: u64) -> u64 {
    reserve.saturating_add(reserve / 4)
}

/// What is known of the disk. Owned by the writer.
#[derive(Debug)]
pub(super) struct Disk {
    folder: PathBuf,
    ballast: PathBuf,
    reserve: u64,
    /// How large the ballast should be, in bytes.
    goal: u64,
    /// How large it is.
    kept: u64,
    /// Some of it had to be given up, and it is not whole again.
    gave: bool,
    shedding: Shedding,
    /// A damaged database lies in the folder.
    pub(super) history_lost: bool,
    look_at: Instant,
    room_at: Instant,
}

impl Disk {
    /// The disk of `folder`, on which `reserve` bytes are to stay free; 0: it is not looked after.
    pub(super) fn new(folder: &Path, reserve: u64) -> Disk {
        let ballast = folder.join(BALLAST);
        let kept = fs::metadata(&ballast).map_or(0, |found| found.len());
        Disk {
            folder: folder.to_owned(),
            ballast,
            reserve,
            goal: 0,
            kept,
            gave: false,
            shedding: Shedding::Nothing,
            history_lost: quarantine::lies_in(folder),
            look_at: clock::monotonic(),
            room_at: clock::monotonic(),
        }
    }

    /// What is not to be written.
    pub(super) const fn shedding(&self) -> Shedding {
        self.shedding
    }

    /// Whether less than the reserve is free.
    pub(super) fn is_low(&self) -> bool {
        self.shedding > Shedding::Nothing
    }

    /// Whether it is low and time to make room: each time may hold up a commit.
    pub(super) fn wants_room(&mut self) -> bool {
        let now = clock::monotonic();
        if !self.is_low() || now < self.room_at {
            return false;
        }
        self.room_at = now + ROOM;
        true
    }

    /// Whether space that was kept for alarms had to be given up.
    pub(super) const fn is_full(&self) -> bool {
        self.gave
    }

    /// Looks how much is free, when it is time to. Whether it looked.
    pub(super) fn look(&mut self, metrics: &Metrics) -> bool {
        let now = clock::monotonic();
        if now < self.look_at {
            return false;
        }
        self.look_at = now + LOOK;
        self.history_lost = quarantine::lies_in(&self.folder);
        match space(&self.folder) {
            Ok((free, total)) => {
                metrics
                    .disk_free_bytes
                    .set(i64::try_from(free).unwrap_or(i64::MAX));
                if self.reserve > 0 {
                    self.judge(free, total);
                }
                metrics.store_shedding.set(i64::from(self.is_low()));
            }
            Err(error) => {
                tracing::warn!(%error, folder = %self.folder.display(), "cannot ask how much of the disk is free");
            }
        }
        true
    }

    fn judge(&mut self, free: u64, total: u64) {
        let next = self.shedding.next(free, self.reserve);
        if next > self.shedding {
            tracing::error!(free, reserve = self.reserve, shedding = ?next, "the disk is running full: telemetry is shed, alarms go on");
        } else if next < self.shedding {
            tracing::info!(
                free,
                reserve = self.reserve,
                "the disk has space again: nothing is shed"
            );
        }
        self.shedding = next;
        self.goal = self.reserve.min(total / MOST_OF_DISK);
        let missing = self.goal.saturating_sub(self.kept);
        if missing > 0 && free >= enough(self.reserve).saturating_add(missing) {
            match allocate(&self.ballast, self.goal) {
                Ok(()) => self.kept = self.goal,
                Err(error) => {
                    tracing::warn!(%error, file = %self.ballast.display(), "cannot keep space for alarms: they have none when another program fills the disk");
                }
            }
        }
        self.gave &= self.kept < self.goal;
    }

    /// Gives up a part of the ballast, so that the next commit finds space. `false`: there is none left.
    pub(super) fn give(&mut self) -> bool {
        if self.kept == 0 {
            return false;
        }
        let step = (self.goal.max(self.kept) / STEPS).max(1);
        let rest = self.kept.saturating_sub(step);
        let given = if rest == 0 {
            fs::remove_file(&self.ballast)
        } else {
            File::options()
                .write(true)
                .open(&self.ballast)
                .and_then(|file| file.set_len(rest))
        };
        if let Err(error) = given {
            tracing::error!(%error, file = %self.ballast.display(), "cannot give up the space kept for alarms");
            self.kept = 0;
            return false;
        }
        tracing::error!(left = rest, "the disk is full: space kept for alarms is given up");
        (self.kept, self.gave) = (rest, true);
        true
    }
}

/// Gives up the whole ballast when `error` may mean that the disk is full. `false`: there was none, or it is another error.
pub(super) fn give_all(folder: &Path, error: &StoreError) -> bool {
    let StoreError::Sqlite { source, .. } = error else {
        return false;
    };
    // Any other trouble of the disk looks alike; without space it is this one.
    if space(folder).is_ok_and(|(free, _)| free >= A_START) {
        return false;
    }
    let of_disk = [
        Some(ErrorCode::DiskFull),
        Some(ErrorCode::SystemIoFailure),
        Some(ErrorCode::CannotOpen),
    ];
    of_disk.contains(&source.sqlite_error_code()) && fs::remove_file(folder.join(BALLAST)).is_ok()
}

/// Bytes that are free for this user, and bytes in all, on the disk of `folder`.
fn space(folder: &Path) -> io::Result<(u64, u64)> {
    let found = statvfs(folder)?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    Ok((bytes(found.f_bavail), bytes(found.f_blocks)))
}

/// Makes `file` take `bytes` on the disk: a file with holes would keep no space.
fn allocate(file: &Path, bytes: u64) -> io::Result<()> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(file)?;
    fallocate(&file, FallocateFlags::empty(), 0, bytes)?;
    Ok(())
}

/// Deletes what neither recovery nor anybody who waits for a notice needs, and cuts the write-ahead log: its pages, and
/// the freed ones in the database, are used again.
pub(super) fn make_room(connection: &Connection) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "DELETE FROM journal WHERE first_input IN
             (SELECT first_input FROM journal
              WHERE first_input < (SELECT next_input FROM checkpoint) ORDER BY first_input LIMIT ?1)",
        )?
        .execute([ROWS])?;
    connection
        .prepare_cached(
            "DELETE FROM outbox WHERE row IN
             (SELECT row FROM outbox WHERE delivered_at IS NOT NULL ORDER BY row LIMIT ?1)",
        )?
        .execute([ROWS])?;
    cut_log(connection).map(drop)
}

/// Moves the whole write-ahead log into the database and cuts its file. Whether it could: not while a reader needs it.
pub(super) fn cut_log(connection: &Connection) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("PRAGMA wal_checkpoint(TRUNCATE)")?
        .query_row([], |row| Ok(row.get::<_, i64>(0)? == 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shed_follows_what_is_free_and_ends_well_above_the_reserve() {
        use Shedding::{Nothing, Samples, SamplesAndPayloads};
        let cases = [
            (Nothing, 1_000, Nothing),
            (Nothing, 999, Samples),
            (Nothing, 500, Samples),
            (Nothing, 499, SamplesAndPayloads),
            (Samples, 1_249, Samples),
            (Samples, 1_250, Nothing),
            (SamplesAndPayloads, 500, SamplesAndPayloads),
            (SamplesAndPayloads, 1_249, SamplesAndPayloads),
            (SamplesAndPayloads, 1_250, Nothing),
            (Samples, 0, SamplesAndPayloads),
        ];
        for (before, free, after) in cases {
            assert_eq!(before.next(free, 1_000), after, "{before:?} with {free}");
        }
    }

    #[test]
    fn the_ballast_is_really_allocated_and_given_up_in_steps() {
        use std::os::unix::fs::MetadataExt as _;
        let folder = tempfile::tempdir().unwrap();
        let mut disk = Disk::new(folder.path(), 1_000_000);
        disk.judge(100_000_000, 100_000_000);
        let file = folder.path().join("ninewatch.ballast");
        let found = fs::metadata(&file).unwrap();
        assert_eq!(found.len(), 1_000_000);
        assert!(found.blocks() * 512 >= 1_000_000, "{} blocks", found.blocks());
        let mut steps = 0;
        while disk.give() {
            steps += 1;
            assert!(disk.is_full());
        }
        assert_eq!(steps, STEPS);
        assert!(!file.exists());
        disk.judge(1_249_999, 100_000_000);
        assert!(
            disk.is_full() && !file.exists(),
            "not while it would take the reserve"
        );
        disk.judge(2_250_000, 100_000_000);
        assert!(!disk.is_full() && file.exists());
        assert_eq!(Disk::new(folder.path(), 1_000_000).kept, 1_000_000);
    }

    #[test]
    fn the_ballast_takes_a_twentieth_of_a_small_disk() {
        let folder = tempfile::tempdir().unwrap();
        let mut disk = Disk::new(folder.path(), 1_000_000);
        disk.judge(4_000_000, 4_000_000);
        let file = folder.path().join("ninewatch.ballast");
        assert_eq!(fs::metadata(file).unwrap().len(), 200_000);
    }
}
