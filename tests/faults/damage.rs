//! What a power cut or a bad disk leaves behind: a log torn inside a commit or behind the last one, and flipped bits. What
//! was acknowledged is in the store, or in the file that was set aside.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::support::gateway::Gateway;
use crate::support::ledger::{Ledger, publish};
use crate::support::mosquitto::Mosquitto;
use crate::support::publisher::Publisher;
use crate::support::sink::Sink;
use crate::support::{PATIENCE, eventually, repository};
use crate::{BROKER, flowing, scale, under_stream};

const SOME: u64 = 100;
/// The headers of a write-ahead log and of each page in it, in bytes.
const LOG_HEAD: usize = 32;
const FRAME_HEAD: usize = 24;

fn times() -> u32 {
    scale("NINEWATCH_FAULTS", 3)
}

/// A write-ahead log, and where its commits end.
struct Log {
    file: File,
    frame: usize,
    ends: Vec<usize>,
}

impl Log {
    fn of(data: &Path) -> Log {
        let path = data.join("ninewatch.db-wal");
        let bytes = fs::read(&path).expect("a killed gateway leaves its log");
        let word = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        let frame = FRAME_HEAD + word(8) as usize;
        let mut ends = Vec::new();
        let mut at = LOG_HEAD;
        // What an earlier round of the log has left behind the end has other salts.
        while at + frame <= bytes.len() && bytes[at + 8..at + 16] == bytes[16..24] {
            at += frame;
            // The database's size stands in the last page of a transaction, and 0 in the others.
            if word(at - frame + 4) != 0 {
                ends.push(at);
            }
        }
        let file = File::options()
            .write(true)
            .open(&path)
            .expect("the log can be written");
        Log { file, frame, ends }
    }

    /// Where the last commit begins and ends.
    fn last(&self) -> (usize, usize) {
        let end = *self.ends.last().expect("a log with a commit");
        let before = self
            .ends
            .len()
            .checked_sub(2)
            .map_or(LOG_HEAD, |last| self.ends[last]);
        (before, end)
    }

    fn cut(&self, at: usize) {
        self.file.set_len(at as u64).expect("the log can be cut");
    }

    fn spoil(&self, at: usize, bytes: usize) {
        let rubbish = vec![0xA5; bytes];
        self.file
            .write_all_at(&rubbish, at as u64)
            .expect("the log can be written");
    }
}

/// The gateway ends between a commit and its acknowledgements, and of that commit only a part is on the disk.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_torn_inside_a_commit() {
    let mut ledger = Ledger::of("power cut in a commit, log torn inside it");
    let broker = Mosquitto::start(BROKER);
    let sink = Sink::start();
    let mut gateway = Gateway::prepare(broker.port, &sink.url()).start().await;
    let mut devices = Publisher::start(broker.port, "devices");
    under_stream(&mut devices, async {
        for time in 0..times() * 4 {
            gateway.kill();
            gateway.set_environment(
                "FAILPOINTS",
                format!("store-committed={}*off->return", 5 + time * 3),
            );
            gateway.launch();
            let ended = eventually("the gateway ends at its fail point", PATIENCE, async || {
                gateway.ended()
            });
            assert!(!ended.await.success(), "it was aborted");
            let log = Log::of(&gateway.data());
            let (begin, end) = log.last();
            match time % 4 {
                0 => log.cut(begin + log.frame / 2),
                1 => log.cut(end - 1),
                2 => log.spoil(end - log.frame / 2, log.frame / 2),
                _ => log.spoil(begin, log.frame),
            }
            ledger.inject();
            gateway.set_environment("FAILPOINTS", "");
            gateway.launch();
            ledger.recovering(gateway.wait_ready()).await;
            flowing(&gateway, SOME).await;
        }
    })
    .await;
    ledger.settle(&mut gateway, &devices, &[&sink]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rubbish_behind_the_last_commit() {
    let mut ledger = Ledger::of("kill -9, log torn behind its last commit");
    let broker = Mosquitto::start(BROKER);
    let sink = Sink::start();
    let mut gateway = Gateway::prepare(broker.port, &sink.url()).start().await;
    let mut devices = Publisher::start(broker.port, "devices");
    under_stream(&mut devices, async {
        for time in 0..times() * 4 {
            flowing(&gateway, SOME).await;
            gateway.kill();
            let log = Log::of(&gateway.data());
            let (_, end) = log.last();
            log.cut(end);
            match time % 4 {
                0 => {}
                1 => log.spoil(end, log.frame / 2),
                2 => log.spoil(end, log.frame * 3),
                // The file that SQLite's processes share memory by is made anew from the log.
                _ => fs::remove_file(gateway.data().join("ninewatch.db-shm")).expect("it is there"),
            }
            ledger.inject();
            gateway.launch();
            ledger.recovering(gateway.wait_ready()).await;
        }
    })
    .await;
    ledger.settle(&mut gateway, &devices, &[&sink]).await;
}

/// The database is set aside whole, the officers hear of it, and with the bits turned back everything that was acknowledged
/// before is in it. The line is quiet at the fault: what notices still wait then, and which alarms stand, is lost until then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flipped_bits() {
    let mut ledger = Ledger::of("flipped bits, database set aside (counted with what it holds)");
    let broker = Mosquitto::start(BROKER);
    let sink = Sink::start();
    let gateway = Gateway::prepare(broker.port, &sink.url());
    fs::copy(
        repository("config/rules/gateway.toml"),
        gateway.folder().join("rules/gateway.toml"),
    )
    .expect("the shipped rules");
    let mut gateway = gateway.start().await;
    let mut devices = Publisher::start(broker.port, "devices");
    let told = || sink.of("alarm.raised", "history-lost", "test-gateway").len();
    for time in 0..times() {
        for _ in 0..SOME {
            publish(&mut devices).await;
        }
        ledger.wait_complete(&mut gateway, &devices, &[&sink]).await;
        let before = told();
        gateway.kill();
        let flipped = flip(&gateway.data(), time);
        ledger.inject();
        gateway.launch();
        let recovered = async {
            gateway.wait_ready().await;
            eventually("the officers are told", PATIENCE, async || {
                (told() > before).then_some(())
            })
            .await;
        };
        ledger.recovering(recovered).await;
        let rescued = gateway.folder().join(format!("rescued-{time}"));
        rescue(&gateway.data(), &rescued, &flipped);
        ledger.keep(rescued);
        eventually("nothing damaged lies there any more", PATIENCE, async || {
            let recovered = sink.of("alarm.recovered", "history-lost", "test-gateway").len();
            (recovered > before).then_some(())
        })
        .await;
    }
    for _ in 0..SOME {
        publish(&mut devices).await;
    }
    ledger.settle(&mut gateway, &devices, &[&sink]).await;
}

/// Flips a bit where a start must find it; the places.
fn flip(data: &Path, time: u32) -> Vec<usize> {
    let database = data.join("ninewatch.db");
    let connection = Connection::open(&database).expect("the database opens");
    // What stands in the log hides what stands in the file.
    let busy: i64 = connection
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
        .expect("the log is moved into the file");
    assert_eq!(busy, 0, "nobody else reads");
    let entries: Vec<u8> = connection
        .query_row(
            "SELECT entries FROM journal ORDER BY first_input DESC LIMIT 1",
            [],
            |row| row.get(0),
        )
        .expect("a journal row");
    drop(connection);
    let bytes = fs::read(&database).expect("it can be read");
    let needle = &entries[..entries.len().min(64)];
    let places: Vec<usize> = match time % 3 {
        // The head of the file, of its second page, and the newest journal row, wherever a copy of it lies.
        0 => vec![3],
        1 => vec![4096],
        _ => (0..bytes.len())
            .filter(|at| bytes[*at..].starts_with(needle))
            .collect(),
    };
    assert!(!places.is_empty(), "the row is in the file");
    turn(&database, &places);
    places
}

/// Flips the lowest bit of each of these bytes.
fn turn(database: &Path, places: &[usize]) {
    let mut bytes = fs::read(database).expect("it can be read");
    for at in places {
        bytes[*at] ^= 1;
    }
    fs::write(database, bytes).expect("it can be written");
}

/// Takes the database that was set aside to the new folder `to`, as its database, and turns the bits back.
fn rescue(data: &Path, to: &Path, flipped: &[usize]) {
    fs::create_dir(to).expect("a folder");
    let mut aside: Vec<PathBuf> = fs::read_dir(data)
        .expect("the data folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.display().to_string().contains("ninewatch.db.damaged-"))
        .collect();
    aside.sort();
    assert!(!aside.is_empty(), "a database was set aside");
    for path in aside {
        let name = path.display().to_string();
        let part = ["-wal", "-shm"].into_iter().find(|part| name.ends_with(part));
        let name = format!("ninewatch.db{}", part.unwrap_or_default());
        fs::rename(&path, to.join(name)).expect("a file of the data folder");
    }
    turn(&to.join("ninewatch.db"), flipped);
}
