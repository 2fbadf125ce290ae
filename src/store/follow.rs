//! What a follower reads to copy the store elsewhere: everything after a cursor, in bounded slices, each of one moment.
//! Knows nothing of where it goes.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{StoreError, StoreReader, recover};
use crate::domain::device::DeviceKey;
use crate::domain::history::{PointNumber, Sample, samples};
use crate::domain::id::Id;
use crate::domain::kind::ONLINE_NAME;
use crate::domain::time::Timestamp;

/// The most devices, points or events of a slice.
const ROWS: i64 = 2_000;

/// The most runs of samples of a slice.
const RUNS: i64 = 4_096;

/// No run begins in a slice that has so many samples already.
const SAMPLES: usize = 65_536;

/// A place in the two sequences that a follower copies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Followed {
    /// The last event.
    pub event: i64,
    /// The last row of the history.
    pub history: i64,
}

impl Followed {
    /// Whether everything up to `other` is within it.
    pub const fn covers(self, other: Followed) -> bool {
        self.event >= other.event && self.history >= other.history
    }
}

/// What a follower has copied so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// Events and history.
    pub followed: Followed,
    /// The number of the last device; -1 before the first.
    pub device: i64,
    /// The number of the last point; -1 before the first.
    pub point: i64,
}

impl Cursor {
    /// Before everything.
    pub const START: Cursor = Cursor {
        followed: Followed { event: 0, history: 0 },
        device: -1,
        point: -1,
    };
}

/// A device of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FollowedDevice {
    /// Its number in samples.
    pub number: i64,
    /// Who it is.
    pub key: DeviceKey,
    /// When it was seen first.
    pub first_seen: Timestamp,
}

/// A point of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FollowedPoint {
    /// Its number in samples.
    pub number: i64,
    /// The device kind's id.
    pub kind: String,
    /// The point's id.
    pub point: String,
    /// The type of its values: JSON.
    pub value: String,
}

/// An event of the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FollowedEvent {
    /// Its place in the chain.
    pub seq: i64,
    /// Its id.
    pub id: Id,
    /// When it happened.
    pub at: Timestamp,
    /// Its type, for example `alarm.raised`.
    pub event_type: String,
    /// The alarm it belongs to.
    pub alarm: Option<Id>,
    /// The event: JSON.
    pub body: String,
    /// SHA-256 over the previous hash, the place and the body.
    pub hash: Vec<u8>,
}

/// An alarm as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FollowedAlarm {
    /// Its id.
    pub id: Id,
    /// Whether its life has not ended.
    pub standing: bool,
    /// Its state, as a word.
    pub state: String,
    /// Its rule's class, as a word.
    pub class: String,
    /// Its rule's priority, as a word.
    pub priority: String,
    /// Its rule's id.
    pub rule: String,
    /// Whose it is.
    pub device: DeviceKey,
    /// When it was raised.
    pub raised_at: Timestamp,
    /// The alarm as the API shows it: JSON.
    pub body: String,
}

/// A row of the history that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedRun {
    /// The table whose rows are missing for it.
    pub table: &'static str,
    /// The row.
    pub row: i64,
    /// Why not.
    pub reason: String,
}

/// What comes next after a cursor.
#[derive(Debug, Clone)]
pub struct Slice {
    /// Devices, by number.
    pub devices: Vec<FollowedDevice>,
    /// Points, by number.
    pub points: Vec<FollowedPoint>,
    /// Events, in order.
    pub events: Vec<FollowedEvent>,
    /// The alarms that the events belong to, as they stand now: perhaps after later events.
    pub alarms: Vec<FollowedAlarm>,
    /// Samples, in order.
    pub samples: Vec<Sample>,
    /// What cannot be copied.
    pub damaged: Vec<DamagedRun>,
    /// The points whose samples say whether a device is there.
    pub online: Vec<PointNumber>,
    /// The cursor after it.
    pub next: Cursor,
    /// The instant of the oldest thing in it; `None` when there is nothing.
    pub oldest: Option<Timestamp>,
}

impl StoreReader {
    /// When this database began (milliseconds): tells it from an earlier one of the same gateway.
    pub async fn epoch(&self) -> Result<i64, StoreError> {
        self.ask("read the store's epoch", |connection| {
            connection.query_row("SELECT epoch FROM store", [], |row| row.get(0))
        })
        .await
    }

    /// The hash of the event at `seq`; `None` when there is none, or retention has deleted it and later ones.
    pub async fn event_hash(&self, seq: i64) -> Result<Option<Vec<u8>>, StoreError> {
        self.ask("read an event's hash", move |connection| {
            let query =
                "SELECT hash FROM event WHERE seq = ?1 UNION ALL SELECT hash FROM chain_start WHERE seq = ?1";
            connection.query_row(query, [seq], |row| row.get(0)).optional()
        })
        .await
    }

    /// What comes next after `from`; a slice whose cursor is `from` has nothing.
    pub async fn follow(&self, from: Cursor) -> Result<Slice, StoreError> {
        self.ask("read what is to be copied", move |connection| {
            slice(connection, from)
        })
        .await
    }
}

/// The place of the last commit, also when retention has emptied the history since.
pub(super) fn committed(connection: &Connection) -> rusqlite::Result<Followed> {
    let query = "SELECT coalesce((SELECT max(seq) FROM event), (SELECT seq FROM chain_start), 0), ifnull((SELECT seq FROM sqlite_sequence WHERE name = 'history'), 0)";
    connection.query_row(query, [], |row| {
        Ok(Followed {
            event: row.get(0)?,
            history: row.get(1)?,
        })
    })
}

pub(super) fn slice(connection: &Connection, from: Cursor) -> rusqlite::Result<Slice> {
    // One transaction: what samples and events name is there as of the same moment.
    let connection = connection.unchecked_transaction()?;
    let online = connection
        .prepare_cached("SELECT number FROM point WHERE point = ?1")?
        .query_map([ONLINE_NAME], |row| row.get(0).map(PointNumber))?
        .collect::<rusqlite::Result<_>>()?;
    let mut slice = Slice {
        devices: devices(&connection, from.device)?,
        points: points(&connection, from.point)?,
        events: Vec::new(),
        alarms: Vec::new(),
        samples: Vec::new(),
        damaged: Vec::new(),
        online,
        next: from,
        oldest: None,
    };
    slice.next.device = slice.devices.last().map_or(from.device, |last| last.number);
    slice.next.point = slice.points.last().map_or(from.point, |last| last.number);
    // Samples come after the devices and points that they name.
    let full = ROWS.unsigned_abs();
    if slice.devices.len() as u64 == full || slice.points.len() as u64 == full {
        return Ok(slice);
    }
    slice.events = events(&connection, from.followed.event)?;
    if let Some(last) = slice.events.last() {
        slice.next.followed.event = last.seq;
        slice.alarms = alarms(&connection, from.followed.event, last.seq)?;
        slice.oldest = slice.events.iter().map(|event| event.at).min();
    }
    runs(&connection, &mut slice)?;
    note_gap(&connection, from, &mut slice)?;
    Ok(slice)
}

/// Retention may have deleted what was not copied yet: that is said, not passed over.
fn note_gap(connection: &Connection, from: Cursor, slice: &mut Slice) -> rusqlite::Result<()> {
    let deleted: i64 = connection
        .prepare_cached("SELECT coalesce((SELECT seq FROM chain_start), 0)")?
        .query_row([], |row| row.get(0))?;
    if deleted > from.followed.event {
        slice.next.followed.event = slice.next.followed.event.max(deleted);
        slice.damaged.push(DamagedRun {
            table: "event",
            row: deleted,
            reason: format!(
                "the events from {} on were deleted by retention before they were copied",
                from.followed.event + 1
            ),
        });
    }
    let end = committed(connection)?.history;
    let first: Option<i64> = connection
        .prepare_cached("SELECT min(row) FROM history WHERE row > ?1")?
        .query_row([from.followed.history], |row| row.get(0))?;
    let first = first.unwrap_or(end + 1);
    if first > from.followed.history + 1 {
        slice.next.followed.history = slice.next.followed.history.max(first - 1);
        slice.damaged.push(DamagedRun {
            table: "reading",
            row: first - 1,
            reason: format!(
                "the history rows from {} on were deleted by retention before they were copied",
                from.followed.history + 1
            ),
        });
    }
    Ok(())
}

fn devices(connection: &Connection, after: i64) -> rusqlite::Result<Vec<FollowedDevice>> {
    connection
        .prepare_cached(
            "SELECT number, venue, kind, device, first_seen FROM device WHERE number > ?1 ORDER BY number LIMIT ?2",
        )?
        .query_map([after, ROWS], |row| {
            Ok(FollowedDevice {
                number: row.get(0)?,
                key: device_key(row, 1)?,
                first_seen: Timestamp(row.get(4)?),
            })
        })?
        .collect()
}

fn points(connection: &Connection, after: i64) -> rusqlite::Result<Vec<FollowedPoint>> {
    connection
        .prepare_cached(
            "SELECT number, kind, point, value FROM point WHERE number > ?1 ORDER BY number LIMIT ?2",
        )?
        .query_map([after, ROWS], |row| {
            Ok(FollowedPoint {
                number: row.get(0)?,
                kind: row.get(1)?,
                point: row.get(2)?,
                value: row.get(3)?,
            })
        })?
        .collect()
}

fn events(connection: &Connection, after: i64) -> rusqlite::Result<Vec<FollowedEvent>> {
    connection
        .prepare_cached(
            "SELECT seq, id, at, type, alarm, body, hash FROM event WHERE seq > ?1 ORDER BY seq LIMIT ?2",
        )?
        .query_map([after, ROWS], |row| {
            let alarm: Option<[u8; 16]> = row.get(4)?;
            Ok(FollowedEvent {
                seq: row.get(0)?,
                id: id(row.get(1)?),
                at: Timestamp(row.get(2)?),
                event_type: row.get(3)?,
                alarm: alarm.map(id),
                body: row.get(5)?,
                hash: row.get(6)?,
            })
        })?
        .collect()
}

fn alarms(connection: &Connection, after: i64, last: i64) -> rusqlite::Result<Vec<FollowedAlarm>> {
    connection
        .prepare_cached(
            "SELECT id, standing, state, class, priority, rule, venue, kind, device, raised_at, body FROM alarm
             WHERE id IN (SELECT alarm FROM event WHERE seq > ?1 AND seq <= ?2 AND alarm IS NOT NULL)
             ORDER BY id",
        )?
        .query_map(params![after, last], |row| {
            Ok(FollowedAlarm {
                id: id(row.get(0)?),
                standing: row.get(1)?,
                state: row.get(2)?,
                class: row.get(3)?,
                priority: row.get(4)?,
                rule: row.get(5)?,
                device: device_key(row, 6)?,
                raised_at: Timestamp(row.get(9)?),
                body: row.get(10)?,
            })
        })?
        .collect()
}

/// The next runs of samples. A damaged one is named and passed over: it must not hold up what comes after it.
fn runs(connection: &Connection, slice: &mut Slice) -> rusqlite::Result<()> {
    let mut query = connection
        .prepare_cached("SELECT row, samples, to_at FROM history WHERE row > ?1 ORDER BY row LIMIT ?2")?;
    let mut rows = query.query([slice.next.followed.history, RUNS])?;
    while slice.samples.len() < SAMPLES {
        let Some(row) = rows.next()? else { break };
        let number = row.get(0)?;
        let before = slice.samples.len();
        if let Err(reason) = unpack(row, &mut slice.samples) {
            slice.samples.truncate(before);
            slice.damaged.push(DamagedRun {
                table: "reading",
                row: number,
                reason,
            });
        }
        let to = Timestamp(row.get(2)?);
        slice.oldest = Some(slice.oldest.map_or(to, |oldest| oldest.min(to)));
        slice.next.followed.history = number;
    }
    Ok(())
}

fn unpack(row: &Row<'_>, into: &mut Vec<Sample>) -> Result<(), String> {
    let packed = recover::unsealed(row, 1, recover::HISTORY_FORM).map_err(|error| error.to_string())?;
    for sample in samples(&packed) {
        into.push(sample.map_err(|error| error.to_string())?);
    }
    Ok(())
}

/// The columns `venue, kind, device` that begin at `column`.
fn device_key(row: &Row<'_>, column: usize) -> rusqlite::Result<DeviceKey> {
    Ok(DeviceKey {
        venue: row.get(column)?,
        kind: row.get(column + 1)?,
        device: row.get(column + 2)?,
    })
}

fn id(bytes: [u8; 16]) -> Id {
    Id::from_bits(u128::from_be_bytes(bytes))
}
