//! A PostgreSQL that keeps what is committed to it, and nothing else; the network may take a commit, or the answer to it.
//! Reads the rows as they come, in binary COPY format, and refuses some for what is in them.

use std::collections::{HashMap, HashSet};
use std::ops::RangeInclusive;

use ninewatch::domain::device::DeviceIndex;
use ninewatch::domain::history::{PointNumber, Sample};
use ninewatch::domain::time::Timestamp;
use ninewatch::store::{Cursor, Store};

use super::kept::Taken;
use super::ledger::sql;

/// PostgreSQL counts from 2000-01-01.
const EPOCH_MS: i64 = 946_684_800_000;

/// One of so many rows is refused by a server that is strict.
const ONE_IN: u64 = 25;

/// How a row is told of that retention took before it was copied.
pub(crate) const DELETED: &str = "deleted by retention before they were copied";

/// A row by its columns; `None`: NULL.
pub(crate) type Columns = Vec<Option<Vec<u8>>>;

/// What one transaction brings.
#[derive(Debug)]
pub(crate) struct Transaction {
    pub(crate) connection: u64,
    pub(crate) old: Cursor,
    pub(crate) next: Cursor,
    pub(crate) rows: Vec<(&'static str, Columns)>,
    /// Table and name of each.
    pub(crate) refused: Vec<(&'static str, String)>,
    /// What is passed over because it was deleted: table and places.
    pub(crate) gaps: Vec<(&'static str, RangeInclusive<i64>)>,
}

/// How a transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    Committed,
    /// The cursor was not where the transaction had it.
    Moved,
}

/// Outside the gateway: survives its crashes.
#[derive(Default)]
pub(crate) struct Postgres {
    strict: bool,
    pub(crate) away: bool,
    cursor: Option<Cursor>,
    connections: u64,
    /// On its way: the last statement was sent, the answer has not come.
    in_flight: Option<Transaction>,
    answer: Option<(u64, Ended)>,
    events: HashMap<i64, (String, Vec<u8>)>,
    readings: Vec<Sample>,
    devices: HashSet<i64>,
    points: HashSet<i64>,
    alarms: HashMap<String, (bool, String)>,
    refused: HashMap<(&'static str, String), usize>,
    gaps: Vec<(&'static str, RangeInclusive<i64>)>,
    /// For a bug: the cursor that comes after its rows.
    pub(crate) late_cursor: Option<Cursor>,
    pub(crate) commits: usize,
    pub(crate) broken_connections: usize,
}

impl Postgres {
    /// It is there, and empty. `strict`: it refuses rows.
    pub(crate) fn new(strict: bool) -> Postgres {
        Postgres {
            strict,
            ..Postgres::default()
        }
    }

    /// What it has.
    pub(crate) fn cursor(&self) -> Cursor {
        self.cursor.unwrap_or(Cursor::START)
    }

    /// A new connection, and where its predecessors left off.
    pub(crate) fn connect(&mut self) -> Option<(u64, Cursor)> {
        if self.away {
            return None;
        }
        self.connections += 1;
        Some((self.connections, self.cursor()))
    }

    /// Whether it takes these rows; if so, they are the transaction's.
    pub(crate) fn take(
        &self,
        table: &'static str,
        stream: &[u8],
        into: &mut Transaction,
    ) -> Result<(), String> {
        let rows = rows(stream);
        if let Some(row) = rows.iter().find(|row| self.refuses(row)) {
            return Err(format!("{table}: it does not like {row:?}"));
        }
        into.rows.extend(rows.into_iter().map(|row| (table, row)));
        Ok(())
    }

    fn refuses(&self, row: &Columns) -> bool {
        let bytes = row.iter().flatten().flatten();
        // FNV-1a: the same row is refused whenever it comes.
        let sum = bytes.fold(0xCBF2_9CE4_8422_2325_u64, |sum, byte| {
            (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3)
        });
        self.strict && (sum >> 32).is_multiple_of(ONE_IN)
    }

    /// The commit is on its way.
    pub(crate) fn send(&mut self, transaction: Transaction) {
        self.in_flight = Some(transaction);
    }

    /// The commit arrives. `apart`: a bug, the cursor is left for later.
    pub(crate) fn arrive(&mut self, apart: bool) {
        let Some(transaction) = self.in_flight.take() else {
            return;
        };
        let connection = transaction.connection;
        if transaction.old != self.cursor() {
            self.answer = Some((connection, Ended::Moved));
            return;
        }
        self.commits += 1;
        for (table, row) in &transaction.rows {
            self.keep(table, row);
        }
        for refused in transaction.refused {
            *self.refused.entry(refused).or_default() += 1;
        }
        self.gaps.extend(transaction.gaps);
        if apart {
            self.late_cursor = Some(transaction.next);
        } else {
            self.cursor = Some(transaction.next);
        }
        self.answer = Some((connection, Ended::Committed));
    }

    fn keep(&mut self, table: &str, row: &Columns) {
        match table {
            "event" => {
                let event = (text(row, 6), bytes(row, 7).to_vec());
                let again = self.events.insert(long(row, 1), event);
                assert!(
                    again.is_none(),
                    "its primary key refuses event {} a second time",
                    long(row, 1)
                );
            }
            "reading" => self.readings.push(reading(row)),
            "device" => assert!(self.devices.insert(long(row, 1)), "a device twice"),
            "point" => assert!(self.points.insert(i64::from(int(row, 1))), "a point twice"),
            "alarm" => {
                let standing = bytes(row, 2) == [1];
                self.alarms.insert(text(row, 1), (standing, text(row, 11)));
            }
            "device_state" => {}
            _ => panic!("there is no table {table}"),
        }
    }

    /// The answer to the commit of `connection`.
    pub(crate) fn answer(&mut self, connection: u64) -> Option<Ended> {
        if let Some(cursor) = self.late_cursor.take() {
            self.cursor = Some(cursor);
        }
        self.answer
            .take_if(|(of, _)| *of == connection)
            .map(|(_, ended)| ended)
    }

    /// Connections end: a commit on its way arrives or not, without an answer, or stays on its way for a while.
    pub(crate) fn break_connections(&mut self, fate: u64) {
        self.broken_connections += 1;
        self.late_cursor = None;
        match fate {
            0 => self.in_flight = None,
            1 => self.arrive(false),
            _ => {}
        }
        self.answer = None;
    }

    /// Everything up to the cursor is there, once and as it is in the store, but for what it refused and what retention
    /// was faster with; of that it knows by name.
    pub(crate) fn check(&self, store: &Store, taken: &Taken) -> Result<(), String> {
        let disk = store.connection();
        let followed = self.cursor().followed;
        if let Some((row, times)) = self.refused.iter().find(|(_, times)| **times > 1)
            && row.0 != "alarm"
            && row.0 != "device_state"
            && row.0 != "reading"
        {
            return Err(format!("{row:?} was set aside {times} times"));
        }
        let mut passed_over = 0;
        for event in taken.all_events(disk).map_err(sql)? {
            let fate = [
                self.events
                    .get(&event.seq)
                    .is_some_and(|(body, hash)| *body == event.body && *hash == event.hash),
                self.refused
                    .contains_key(&("event", format!("event {}", event.seq))),
                self.in_gap("event", event.seq),
            ];
            let fates = fate.iter().filter(|holds| **holds).count();
            if fates != usize::from(event.seq <= followed.event) {
                return Err(format!(
                    "event {} of {followed:?}: copied, refused, deleted: {fate:?}",
                    event.seq
                ));
            }
            passed_over += usize::from(!fate[0] && fates > 0);
        }
        let expected = followed.event.unsigned_abs() - passed_over as u64;
        if self.events.len() as u64 != expected {
            return Err(format!("it has {} events, {expected} were", self.events.len()));
        }
        self.check_gaps(taken)?;
        self.check_readings(store, taken)?;
        self.check_alarms(store, taken)
    }

    fn in_gap(&self, table: &str, place: i64) -> bool {
        self.gaps
            .iter()
            .any(|(of, places)| *of == table && places.contains(&place))
    }

    /// Nothing is passed over that is there.
    fn check_gaps(&self, taken: &Taken) -> Result<(), String> {
        for (table, places) in &self.gaps {
            let gone = match *table {
                "event" => taken.events.last().map_or(0, |event| event.seq),
                _ => taken.runs.last().map_or(0, |run| run.row),
            };
            if *places.end() > gone {
                return Err(format!(
                    "{table} {places:?} are passed over, gone are those up to {gone}"
                ));
            }
        }
        Ok(())
    }

    fn check_readings(&self, store: &Store, taken: &Taken) -> Result<(), String> {
        let mut due: HashMap<(u32, u16, i64, u64), i64> = HashMap::new();
        let mut count = |sample: &Sample, by: i64| {
            let Sample {
                device,
                point,
                at,
                value,
            } = sample;
            *due.entry((device.0, point.0, at.0, value.to_bits())).or_default() += by;
        };
        let mut refused = self.refused.clone();
        for run in taken.all_runs(store.connection()).map_err(sql)? {
            if run.row > self.cursor().followed.history || self.in_gap("reading", run.row) {
                continue;
            }
            for sample in &run.samples {
                let Sample {
                    device,
                    point,
                    at,
                    value,
                } = sample;
                let name = format!("device {} point {} at {} value {value}", device.0, point.0, at.0);
                match refused.get_mut(&("reading", name)) {
                    Some(times) if *times > 0 => *times -= 1,
                    Some(_) | None => count(sample, 1),
                }
            }
        }
        self.readings.iter().for_each(|sample| count(sample, -1));
        match due.iter().find(|(_, missing)| **missing != 0) {
            None => Ok(()),
            Some((sample, missing)) => Err(format!("the sample {sample:?} is missing {missing} times")),
        }
    }

    /// An alarm whose last event is copied is as it stands.
    fn check_alarms(&self, store: &Store, taken: &Taken) -> Result<(), String> {
        let mut query = store
            .connection()
            .prepare_cached(
                "SELECT alarm.id, standing, alarm.body, max(event.seq) FROM alarm JOIN event ON event.alarm = alarm.id
                 GROUP BY alarm.id",
            )
            .map_err(sql)?;
        let alarms: Vec<([u8; 16], bool, String, i64)> = query
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
            .and_then(Iterator::collect)
            .map_err(sql)?;
        for (id, standing, body, last) in alarms {
            let name = ninewatch::domain::id::Id::from_bits(u128::from_be_bytes(id)).to_string();
            let passed_over =
                self.in_gap("event", last) || self.refused.contains_key(&("alarm", format!("alarm {name}")));
            if last > self.cursor().followed.event || passed_over || taken.alarms.contains(&id) {
                continue;
            }
            if self.alarms.get(&name) != Some(&(standing, body.clone())) {
                return Err(format!(
                    "alarm {name} is {:?} there, and {body} here",
                    self.alarms.get(&name)
                ));
            }
        }
        Ok(())
    }

    /// How many rows were set aside.
    pub(crate) fn set_aside(&self) -> usize {
        self.refused.values().sum()
    }

    /// How many stretches were passed over.
    pub(crate) const fn passed_over(&self) -> usize {
        self.gaps.len()
    }
}

/// The rows of a binary COPY stream.
fn rows(stream: &[u8]) -> Vec<Columns> {
    let (head, mut rest) = stream.split_at(19);
    assert!(head.starts_with(b"PGCOPY\n\xff\r\n\0"), "it is no COPY stream");
    let mut rows = Vec::new();
    loop {
        let columns = i16::from_be_bytes(cut(&mut rest));
        let Ok(columns) = usize::try_from(columns) else {
            assert!(rest.is_empty(), "something comes after the end");
            return rows;
        };
        let column = |_| {
            let length = usize::try_from(i32::from_be_bytes(cut(&mut rest))).ok()?;
            let (column, after) = rest.split_at(length);
            rest = after;
            Some(column.to_vec())
        };
        rows.push((0..columns).map(column).collect());
    }
}

fn cut<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    let (head, tail) = rest.split_first_chunk().expect("it goes on");
    *rest = tail;
    *head
}

fn bytes(row: &Columns, column: usize) -> &[u8] {
    row[column].as_deref().expect("it is not NULL")
}

fn text(row: &Columns, column: usize) -> String {
    String::from_utf8(bytes(row, column).to_vec()).expect("it is text")
}

fn long(row: &Columns, column: usize) -> i64 {
    i64::from_be_bytes(bytes(row, column).try_into().expect("eight bytes"))
}

fn int(row: &Columns, column: usize) -> i32 {
    i32::from_be_bytes(bytes(row, column).try_into().expect("four bytes"))
}

fn reading(row: &Columns) -> Sample {
    Sample {
        at: Timestamp(long(row, 0) / 1_000 + EPOCH_MS),
        value: f64::from_be_bytes(bytes(row, 1).try_into().expect("eight bytes")),
        device: DeviceIndex(u32::try_from(int(row, 3)).expect("a device")),
        point: PointNumber(u16::try_from(int(row, 4)).expect("a point")),
    }
}

/// What `slice`, read after `from`, passes over because retention was faster.
pub(crate) fn places(
    slice: &ninewatch::store::Slice,
    from: Cursor,
) -> Vec<(&'static str, RangeInclusive<i64>)> {
    let deleted = slice.damaged.iter().filter(|run| run.reason.contains(DELETED));
    let places = deleted.map(|run| match run.table {
        "event" => (run.table, from.followed.event + 1..=run.row),
        _ => (run.table, from.followed.history + 1..=run.row),
    });
    places.collect()
}
