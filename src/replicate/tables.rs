//! What goes into which table: slices of the store and the registry, encoded for COPY. Pure: sends nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::copy::Rows;
use super::month::Month;
use crate::domain::history::Sample;
use crate::domain::registry::{RegisteredDevice, Registry, Venue};
use crate::domain::time::Timestamp;
use crate::store::{Cursor, FollowedAlarm, FollowedDevice, FollowedEvent, FollowedPoint, Slice};

/// A table, and how rows get into it.
#[derive(Debug)]
pub struct Table {
    /// Its name, also in metrics.
    pub name: &'static str,
    /// Takes the rows.
    pub(super) copy: &'static str,
    /// Merges them, where they were only put aside: the table may have them already.
    pub(super) merge: Option<&'static str>,
}

const DEVICE: Table = Table {
    name: "device",
    copy: "COPY device (store, number, venue, kind, device, first_seen) FROM STDIN BINARY",
    merge: None,
};
const POINT: Table = Table {
    name: "point",
    copy: "COPY point (store, number, kind, point, value) FROM STDIN BINARY",
    merge: None,
};
const EVENT: Table = Table {
    name: "event",
    copy: "COPY event (store, seq, id, at, type, alarm, body, hash) FROM STDIN BINARY",
    merge: None,
};
const ALARM: Table = Table {
    name: "alarm",
    copy: "COPY stage_alarm (store, id, standing, state, class, priority, rule, venue, kind, device, raised_at, body)
           FROM STDIN BINARY",
    merge: Some(
        "INSERT INTO alarm SELECT * FROM stage_alarm ON CONFLICT (store, id) DO UPDATE SET
         standing = excluded.standing, state = excluded.state, class = excluded.class, priority = excluded.priority,
         rule = excluded.rule, venue = excluded.venue, kind = excluded.kind, device = excluded.device,
         raised_at = excluded.raised_at, body = excluded.body",
    ),
};
const READING: Table = Table {
    name: "reading",
    copy: "COPY reading (at, value, store, device, point) FROM STDIN BINARY",
    merge: None,
};
const DEVICE_STATE: Table = Table {
    name: "device_state",
    copy: "COPY stage_device_state (store, device, last_seen, online, online_at) FROM STDIN BINARY",
    merge: Some(
        "INSERT INTO device_state SELECT * FROM stage_device_state ON CONFLICT (store, device) DO UPDATE SET
         last_seen = greatest(device_state.last_seen, excluded.last_seen),
         online = CASE WHEN excluded.online_at >= coalesce(device_state.online_at, '-infinity')
                       THEN excluded.online ELSE device_state.online END,
         online_at = greatest(device_state.online_at, excluded.online_at)",
    ),
};
const VENUE: Table = Table {
    name: "venue",
    copy: "COPY venue (gateway, id, name, kind, address) FROM STDIN BINARY",
    merge: None,
};
const REGISTERED: Table = Table {
    name: "registered_device",
    copy: "COPY registered_device (gateway, venue, kind, device, name) FROM STDIN BINARY",
    merge: None,
};

/// Rows on their way into a table.
#[derive(Debug)]
pub(super) struct Load {
    /// The table.
    pub(super) table: Table,
    /// The rows.
    pub(super) rows: Rows,
    /// What each row is, in words, for the record of a refused one; by its number.
    pub(super) names: Names,
}

/// What rows are called.
#[derive(Debug)]
pub(super) enum Names {
    /// As listed.
    Listed(Vec<String>),
    /// Samples: too many to list.
    Samples(Vec<Sample>),
}

impl Names {
    /// What the row with this number is.
    pub(super) fn of(&self, row: usize) -> String {
        let name = match self {
            Names::Listed(names) => names.get(row).cloned(),
            Names::Samples(samples) => samples.get(row).map(name_of),
        };
        name.unwrap_or_default()
    }
}

fn name_of(sample: &Sample) -> String {
    let Sample {
        device,
        point,
        at,
        value,
    } = sample;
    format!("device {} point {} at {} value {value}", device.0, point.0, at.0)
}

/// A row that PostgreSQL does not get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Its table.
    pub table: &'static str,
    /// What it is.
    pub row: String,
    /// Why.
    pub reason: String,
}

/// A slice, ready to be sent.
#[derive(Debug)]
pub struct Prepared {
    /// What goes where, in this order.
    pub(super) loads: Vec<Load>,
    /// The months of its readings.
    pub(super) months: BTreeSet<Month>,
    /// What cannot be sent at all.
    pub(super) refused: Vec<Refused>,
    /// The cursor after it.
    pub next: Cursor,
}

/// Encodes `slice` as rows of the store with this number.
pub fn prepare(store: i32, slice: Slice) -> Prepared {
    let mut refused: Vec<Refused> = slice
        .damaged
        .iter()
        .map(|run| Refused {
            table: run.table,
            row: match run.table {
                "event" => format!("event {}", run.row),
                _ => format!("row {} of the history", run.row),
            },
            reason: run.reason.clone(),
        })
        .collect();
    let (samples, months) = dated(slice.samples, &mut refused);
    let states = states(store, &samples, |sample| slice.online.contains(&sample.point));
    let loads = [
        devices(store, &slice.devices),
        points(store, &slice.points),
        events(store, &slice.events),
        alarms(store, &slice.alarms),
        readings(store, samples),
        states,
    ];
    Prepared {
        loads: loads.into_iter().filter(|load| load.rows.len() > 0).collect(),
        months,
        refused,
        next: slice.next,
    }
}

/// The venues and the names of devices, which take the place of all that the gateway has there.
pub(super) fn registry(gateway: &str, registry: &Registry) -> [Load; 2] {
    let mut venues: Vec<&Venue> = registry.venues().collect();
    venues.sort_by(|one, other| one.id.cmp(&other.id));
    let mut devices: Vec<&RegisteredDevice> = registry.devices().collect();
    devices.sort_by(|one, other| one.key.cmp(&other.key));
    let venue = |venue: &&Venue| {
        let columns = [gateway, &venue.id, &venue.name, &venue.kind, &venue.address];
        (columns.map(str::to_owned), venue.id.clone())
    };
    let device = |device: &&RegisteredDevice| {
        let key = &device.key;
        let columns = [gateway, &key.venue, &key.kind, &key.device, &device.name];
        (
            columns.map(str::to_owned),
            format!("{}/{}/{}", key.venue, key.kind, key.device),
        )
    };
    [
        texts(VENUE, venues.iter().map(venue)),
        texts(REGISTERED, devices.iter().map(device)),
    ]
}

fn texts(table: Table, rows: impl Iterator<Item = ([String; 5], String)>) -> Load {
    let (mut encoded, mut names) = (Rows::default(), Vec::new());
    for (columns, name) in rows {
        encoded.push(5, |row| columns.iter().for_each(|column| row.text(column)));
        names.push(name);
    }
    Load {
        table,
        rows: encoded,
        names: Names::Listed(names),
    }
}

fn devices(store: i32, devices: &[FollowedDevice]) -> Load {
    let mut rows = Rows::default();
    for device in devices {
        rows.push(6, |row| {
            row.integer(store);
            row.bigint(device.number);
            row.text(&device.key.venue);
            row.text(&device.key.kind);
            row.text(&device.key.device);
            row.instant(device.first_seen);
        });
    }
    let names = devices.iter().map(|device| format!("device {}", device.number));
    Load {
        table: DEVICE,
        rows,
        names: Names::Listed(names.collect()),
    }
}

fn points(store: i32, points: &[FollowedPoint]) -> Load {
    let mut rows = Rows::default();
    for point in points {
        rows.push(5, |row| {
            row.integer(store);
            row.integer(i32::try_from(point.number).unwrap_or(i32::MAX));
            row.text(&point.kind);
            row.text(&point.point);
            row.text(&point.value);
        });
    }
    let names = points.iter().map(|point| format!("point {}", point.number));
    Load {
        table: POINT,
        rows,
        names: Names::Listed(names.collect()),
    }
}

fn events(store: i32, events: &[FollowedEvent]) -> Load {
    let mut rows = Rows::default();
    for event in events {
        rows.push(8, |row| {
            row.integer(store);
            row.bigint(event.seq);
            row.text(&event.id.to_string());
            row.instant(event.at);
            row.text(&event.event_type);
            match event.alarm {
                Some(alarm) => row.text(&alarm.to_string()),
                None => row.null(),
            }
            row.text(&event.body);
            row.bytes(&event.hash);
        });
    }
    let names = events.iter().map(|event| format!("event {}", event.seq));
    Load {
        table: EVENT,
        rows,
        names: Names::Listed(names.collect()),
    }
}

fn alarms(store: i32, alarms: &[FollowedAlarm]) -> Load {
    let mut rows = Rows::default();
    for alarm in alarms {
        rows.push(12, |row| {
            row.integer(store);
            row.text(&alarm.id.to_string());
            row.boolean(alarm.standing);
            for word in [&alarm.state, &alarm.class, &alarm.priority, &alarm.rule] {
                row.text(word);
            }
            for word in [&alarm.device.venue, &alarm.device.kind, &alarm.device.device] {
                row.text(word);
            }
            row.instant(alarm.raised_at);
            row.text(&alarm.body);
        });
    }
    let names = alarms.iter().map(|alarm| format!("alarm {}", alarm.id));
    Load {
        table: ALARM,
        rows,
        names: Names::Listed(names.collect()),
    }
}

/// The samples whose time has a month, and those months; the others are refused.
fn dated(mut samples: Vec<Sample>, refused: &mut Vec<Refused>) -> (Vec<Sample>, BTreeSet<Month>) {
    let mut months = BTreeSet::new();
    let mut last: Option<(i64, Month)> = None;
    samples.retain(|sample| {
        // An hour has one month: samples of the same one need no calendar.
        let hour = sample.at.0.div_euclid(3_600_000);
        let month = match last {
            Some((known, month)) if known == hour => Some(month),
            Some(_) | None => Month::of(sample.at),
        };
        if let Some(month) = month {
            last = Some((hour, month));
            months.insert(month);
        } else {
            refused.push(Refused {
                table: READING.name,
                row: name_of(sample),
                reason: "its time is outside the years 2000 to 2199".to_owned(),
            });
        }
        month.is_some()
    });
    (samples, months)
}

fn readings(store: i32, samples: Vec<Sample>) -> Load {
    let mut rows = Rows::default();
    for sample in &samples {
        rows.push(5, |row| {
            row.instant(sample.at);
            row.double(sample.value);
            row.integer(store);
            row.integer(i32::try_from(sample.device.0).unwrap_or(i32::MAX));
            row.integer(i32::from(sample.point.0));
        });
    }
    Load {
        table: READING,
        rows,
        names: Names::Samples(samples),
    }
}

/// The last word of each device.
struct State {
    last_seen: Timestamp,
    online: Option<(Timestamp, bool)>,
}

fn states(store: i32, samples: &[Sample], is_online: impl Fn(&Sample) -> bool) -> Load {
    let mut states: BTreeMap<u32, State> = BTreeMap::new();
    for sample in samples {
        let state = states.entry(sample.device.0).or_insert(State {
            last_seen: sample.at,
            online: None,
        });
        state.last_seen = state.last_seen.max(sample.at);
        if is_online(sample) && state.online.is_none_or(|(at, _)| at <= sample.at) {
            state.online = Some((sample.at, sample.value > 0.5));
        }
    }
    let mut rows = Rows::default();
    for (device, state) in &states {
        rows.push(5, |row| {
            row.integer(store);
            row.bigint(i64::from(*device));
            row.instant(state.last_seen);
            if let Some((at, online)) = state.online {
                row.boolean(online);
                row.instant(at);
            } else {
                row.null();
                row.null();
            }
        });
    }
    let names = states.keys().map(|device| format!("device {device}"));
    Load {
        table: DEVICE_STATE,
        rows,
        names: Names::Listed(names.collect()),
    }
}
