//! What PostgreSQL has of a gateway's store, against the store itself: every row of event, alarm, device, point and
//! reading, read past the gateway's own code for following.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use ninewatch::domain::history::samples;
use ninewatch::domain::id::Id;
use rusqlite::{Connection, OpenFlags, Row};

use super::eventually;
use super::gateway::Gateway;
use super::postgres::Postgres;

/// The follower waits up to half a minute between attempts, and a minute's backlog takes some time on a loaded machine.
pub(crate) const CATCH_UP: Duration = Duration::from_mins(3);

/// The bytes of a seal (form and checksum) before packed samples.
const SEAL: usize = 5;

/// The tables that are compared, with their columns as PostgreSQL shows them.
const TABLES: [(&str, &str); 5] = [
    (
        "device",
        "number, venue, kind, device, (extract(epoch FROM first_seen) * 1000)::bigint",
    ),
    ("point", "number, kind, point, value"),
    (
        "event",
        "seq, id, (extract(epoch FROM at) * 1000)::bigint, type, alarm, body, encode(hash, 'hex')",
    ),
    (
        "alarm",
        "id, standing, state, class, priority, rule, venue, kind, device,
         (extract(epoch FROM raised_at) * 1000)::bigint, body",
    ),
    (
        "reading",
        "device, point, (extract(epoch FROM at) * 1000)::bigint, value",
    ),
];

/// Waits until PostgreSQL has everything up to the store's end. Nothing may be published meanwhile.
pub(crate) async fn caught_up(gateway: &Gateway, server: &Postgres) {
    let store = open(&gateway.data());
    eventually("PostgreSQL has everything", CATCH_UP, async || {
        let end: String = store
            .query_row(
                "SELECT ifnull((SELECT max(seq) FROM event), 0) || '|'
                     || ifnull((SELECT seq FROM sqlite_sequence WHERE name = 'history'), 0)",
                [],
                |row| row.get(0),
            )
            .expect("the store's end");
        let copied = server.try_rows("SELECT event, history FROM store")?;
        (copied == [end]).then_some(())
    })
    .await;
}

/// Panics unless both sides have the same rows, each as often, but for those that PostgreSQL `refused` by agreement: as
/// rows of [`TABLES`].
pub(crate) fn assert_same(gateway: &Gateway, server: &Postgres, refused: &[String]) {
    let store = open(&gateway.data());
    for (table, columns) in TABLES {
        let mut expected = stored(&store, table);
        expected.retain(|row| table != "reading" || !refused.contains(row));
        let mut found = server.rows(&format!("SELECT {columns} FROM {table}"));
        assert!(!expected.is_empty(), "rows of {table} worth a comparison");
        expected.sort();
        found.sort();
        if expected != found {
            let mut surplus: BTreeMap<&str, i64> = BTreeMap::new();
            for row in &found {
                *surplus.entry(row).or_default() += 1;
            }
            for row in &expected {
                *surplus.entry(row).or_default() -= 1;
            }
            surplus.retain(|_, count| *count != 0);
            let some: Vec<_> = surplus.iter().take(6).collect();
            panic!(
                "{table}: {} rows in the store, {} in PostgreSQL; surplus there: {some:#?}",
                expected.len(),
                found.len()
            );
        }
    }
}

/// The rows of a table of the store, as PostgreSQL would show them.
fn stored(store: &Connection, table: &str) -> Vec<String> {
    let query = match table {
        "device" => "SELECT number, venue, kind, device, first_seen FROM device",
        "point" => "SELECT number, kind, point, value FROM point",
        "event" => "SELECT seq, id, at, type, alarm, body, hash FROM event",
        "alarm" => {
            "SELECT id, standing, state, class, priority, rule, venue, kind, device, raised_at, body FROM alarm"
        }
        "reading" => return readings(store),
        _ => panic!("no such table: {table}"),
    };
    let mut statement = store.prepare(query).expect("a query of the store");
    let columns = statement.column_count();
    let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let rows = statement.query_map([], |row| {
        let words = (0..columns).map(|column| word(row, column, &names[column]));
        Ok(words.collect::<Vec<_>>().join("|"))
    });
    let rows = rows.expect("rows of the store");
    rows.map(|row| row.expect("a row of the store")).collect()
}

/// A column as PostgreSQL shows it.
fn word(row: &Row<'_>, column: usize, name: &str) -> String {
    use rusqlite::types::ValueRef;
    let value = row.get_ref(column).expect("a column of the query");
    match (value, name) {
        (ValueRef::Null, _) => String::new(),
        (ValueRef::Integer(flag), "standing") => if flag == 1 { "t" } else { "f" }.to_owned(),
        (ValueRef::Integer(number), _) => number.to_string(),
        (ValueRef::Text(text), _) => String::from_utf8_lossy(text).into_owned(),
        (ValueRef::Blob(bytes), "hash") => hex(bytes),
        (ValueRef::Blob(bytes), _) => {
            let bits = bytes.try_into().map(u128::from_be_bytes).expect("an id");
            Id::from_bits(bits).to_string()
        }
        (ValueRef::Real(_), _) => panic!("{name} is no real number"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes it");
        text
    })
}

/// Every sample of the history. Nothing of it may be sorted into segments yet: that begins after an hour.
fn readings(store: &Connection) -> Vec<String> {
    let segments: i64 = store
        .query_row("SELECT count(*) FROM segment", [], |row| row.get(0))
        .expect("segments are counted");
    assert_eq!(segments, 0, "the whole history stands as it came");
    let mut statement = store.prepare("SELECT samples FROM history").expect("the history");
    let runs = statement
        .query_map([], |row| row.get::<_, Vec<u8>>(0))
        .expect("runs");
    let mut readings = Vec::new();
    for run in runs {
        let run = run.expect("a run of samples");
        for sample in samples(&run[SEAL..]) {
            let sample = sample.expect("a sample");
            let (device, point, at) = (sample.device.0, sample.point.0, sample.at.0);
            readings.push(format!("{device}|{point}|{at}|{}", sample.value));
        }
    }
    readings
}

/// A connection to the database in `data` that only reads.
pub(crate) fn open(data: &Path) -> Connection {
    Connection::open_with_flags(data.join("ninewatch.db"), OpenFlags::SQLITE_OPEN_READ_ONLY)
        .expect("the store can be read")
}

/// The rows of the reading table that hold `value`, as [`assert_same`] takes them.
pub(crate) fn readings_of(gateway: &Gateway, value: f64) -> Vec<String> {
    let mut all = readings(&open(&gateway.data()));
    all.retain(|row| row.ends_with(&format!("|{value}")));
    all
}
