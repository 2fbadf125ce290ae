//! A damaged database is set aside whole and a new one begins; what is not ours or of a newer version is refused and left.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "helpers of tests: what cannot be set up fails its test"
)]

use std::fs;
use std::path::{Path, PathBuf};

use ninewatch::store::{Store, StoreError};
use tempfile::TempDir;

use crate::fixture::{Running, batch, connection, count, eventually, folder, raised};

const ROWS: u64 = 40;

/// A folder with a database of [`ROWS`] journal rows, an alarm each, closed well.
async fn filled() -> TempDir {
    let folder = folder();
    let mut running = Running::start(folder.path());
    for row in 0..ROWS {
        let mut batch = batch(row * 10, 10);
        batch.alarms.push(raised(row, &["duty"]));
        running.commit(batch).await;
    }
    running.stop();
    folder
}

fn database(folder: &TempDir) -> PathBuf {
    folder.path().join("ninewatch.db")
}

fn aside(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the folder can be read");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let is_aside = |path: &PathBuf| {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        name.starts_with("ninewatch.db.damaged-") && !name.ends_with("-wal") && !name.ends_with("-shm")
    };
    paths.filter(is_aside).collect()
}

/// The store opens with a new database; the old one is kept byte by byte, and the gateway is told until it is taken away.
async fn is_set_aside(folder: &TempDir, what: &str) {
    let damaged = fs::read(database(folder)).expect("it can be read");
    let mut running = Running::start(folder.path());
    assert!(
        running.recovered.checkpointed == 0 && running.recovered.last.is_none(),
        "{what}"
    );
    let kept = aside(folder.path());
    assert_eq!(kept.len(), 1, "{what}: {kept:?}");
    assert_eq!(fs::read(&kept[0]).expect("it is kept"), damaged, "{what}");
    eventually("it is told", || running.health.store_condition().history_lost).await;
    running.commit(batch(0, 1)).await;
    running.stop();
    assert_eq!(count(&connection(folder.path()), "journal"), 1, "{what}");
    let again = Running::start(folder.path());
    assert!(again.recovered.last.is_some(), "{what}: the new one is kept");
    eventually("it is still told", || again.health.store_condition().history_lost).await;
    again.stop();
    for part in ["", "-wal", "-shm"] {
        let file = format!("{}{part}", kept[0].display());
        if fs::exists(&file).expect("it can be asked") {
            fs::remove_file(&file).expect("it is taken away");
        }
    }
    let mut rescued = Running::start(folder.path());
    rescued.commit(batch(1, 1)).await;
    assert!(!rescued.health.store_condition().history_lost, "{what}");
    rescued.stop();
}

#[tokio::test]
async fn flipped_bits_in_the_header_set_it_aside() {
    for at in [0, 16, 20, 60] {
        let folder = filled().await;
        let mut bytes = fs::read(database(&folder)).expect("it can be read");
        // The magic, the page size, the reserved space; the user version makes it too new instead.
        bytes[at] ^= 0xFF;
        fs::write(database(&folder), &bytes).expect("it can be written");
        match at {
            60 => {
                let refused = Store::open(folder.path()).expect_err("too new");
                assert!(matches!(refused, StoreError::TooNew { .. }), "{refused}");
                assert!(aside(folder.path()).is_empty());
            }
            _ => is_set_aside(&folder, &format!("byte {at}")).await,
        }
    }
}

#[tokio::test]
async fn a_flipped_bit_in_a_journal_row_sets_it_aside() {
    let folder = filled().await;
    let mut bytes = fs::read(database(&folder)).expect("it can be read");
    // The entries of every row, one bit each: where SQLite has moved a row, its old place holds the same bytes.
    let mut flipped = 0;
    for at in (0..bytes.len()).step_by(200) {
        if bytes[at..].starts_with(&[0x5A; 60]) {
            bytes[at] ^= 1;
            flipped += 1;
        }
    }
    assert!(flipped >= 40, "{flipped} rows");
    fs::write(database(&folder), &bytes).expect("it can be written");
    is_set_aside(&folder, "a journal row").await;
}

#[tokio::test]
async fn rubbish_in_the_middle_of_pages_sets_it_aside() {
    let folder = filled().await;
    let mut bytes = fs::read(database(&folder)).expect("it can be read");
    // Every page's head behind the first says what kind of page it is.
    for page in bytes.chunks_mut(4096).skip(1) {
        page[..200].fill(0xA5);
    }
    fs::write(database(&folder), &bytes).expect("it can be written");
    is_set_aside(&folder, "pages").await;
}

#[tokio::test]
async fn a_file_that_is_no_database_is_set_aside() {
    let folder = folder();
    fs::write(database(&folder), "these are somebody's notes\n".repeat(200)).expect("it can be written");
    is_set_aside(&folder, "notes").await;
}

#[tokio::test]
async fn a_gap_in_the_journal_is_not_played_over() {
    let folder = folder();
    let mut running = Running::start(folder.path());
    running.commit(batch(0, 2)).await;
    running.commit(batch(3, 1)).await;
    running.stop();
    is_set_aside(&folder, "a gap").await;
}

#[tokio::test]
async fn damage_found_by_the_writer_ends_it_and_the_next_start_sets_the_database_aside() {
    let folder = filled().await;
    let running = Running::start(folder.path());
    // Behind the writer's back, after the checks of the start: the events are where no page is.
    connection(folder.path())
        .execute_batch(
            "PRAGMA writable_schema = ON;
             UPDATE sqlite_schema SET rootpage = 1000000 WHERE name = 'event';
             PRAGMA schema_version = 1000",
        )
        .expect("the schema is wrong now");
    let mut next = batch(ROWS * 10, 1);
    next.alarms.push(raised(ROWS, &["duty"]));
    running.send(next).await;
    running.writer.ended().await;
    drop(running.works);
    let ended = running.writer.join().expect_err("it cannot go on");
    assert!(matches!(ended, StoreError::Damaged { .. }), "{ended}");
    drop(running.reader);
    assert!(folder.path().join("ninewatch.damaged").exists());
    is_set_aside(&folder, "found by the writer").await;
    assert!(!folder.path().join("ninewatch.damaged").exists());
}

/// SQLite goes back to the last commit that the log holds wholly. A cut through synced commits takes them: that is a loss
/// no program can see, as the log ends like after a crash; what is promised is that the rest is whole.
#[tokio::test]
async fn a_torn_log_ends_at_its_last_whole_commit() {
    let folder = folder();
    let mut running = Running::start(folder.path());
    let wal = folder.path().join("ninewatch.db-wal");
    let mut ends = Vec::new();
    for row in 0..10 {
        running.commit(batch(row, 1)).await;
        ends.push(fs::metadata(&wal).expect("there is a log").len());
    }
    // As kill -9 leaves it: the log was never moved into the database.
    let files = ["ninewatch.db", "ninewatch.db-wal"].map(|name| {
        let bytes = fs::read(folder.path().join(name)).expect("it can be read");
        (name, bytes)
    });
    running.stop();
    let first = *ends.first().expect("ten");
    let last = *ends.last().expect("ten");
    let cuts = (first..last).step_by(1_021).chain(ends.iter().copied());
    for cut in cuts {
        let copy = crate::fixture::folder();
        for (name, bytes) in &files {
            let length = if name.ends_with("-wal") {
                cut
            } else {
                bytes.len() as u64
            };
            let kept = &bytes[..usize::try_from(length).expect("small")];
            fs::write(copy.path().join(name), kept).expect("it can be written");
        }
        drop(Store::open(copy.path()).expect("it opens"));
        let whole = i64::try_from(ends.iter().filter(|end| **end <= cut).count()).expect("few");
        let kept = count(&connection(copy.path()), "journal");
        assert_eq!(kept, whole, "cut at {cut} of {ends:?}");
        assert!(aside(copy.path()).is_empty(), "cut at {cut}");
    }
}
