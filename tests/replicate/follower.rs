//! A store with a follower on it, and the comparison of what either side has. Asserts equality, nothing else.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ninewatch::config::{Durability, PostgresSettings, PostgresTls};
use ninewatch::domain::device::{DeviceIndex, DeviceKey};
use ninewatch::domain::history::{HistoryPoint, PointNumber, Sample};
use ninewatch::domain::kind::ValueType;
use ninewatch::domain::registry::{RegisteredDevice, Registry, Venue};
use ninewatch::domain::time::Timestamp;
use ninewatch::handoff::{Batch, Directory, SeenDevice};
use ninewatch::metrics::Metrics;
use ninewatch::replicate::{Limits, Replicate};
use ninewatch::store::{Cursor, FollowedAlarm, FollowedEvent, FollowerEnds, FollowerLine, Slice};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::fixture::{Running, batch, folder, keeping_free, raised, waiting};
use crate::postgres::Postgres;

/// How long anything may take on a loaded machine.
const DEADLINE: Duration = Duration::from_secs(90);

/// When the tests' samples begin: 2026-01-01.
pub(crate) const BEGIN: i64 = 1_767_225_600_000;

/// A running store and what its followers need.
pub(crate) struct Site {
    pub(crate) folder: TempDir,
    pub(crate) running: Running,
    pub(crate) ends: FollowerEnds,
    pub(crate) gateway: String,
    batches: u64,
}

/// A running follower; it dies with this.
pub(crate) struct Follower {
    pub(crate) metrics: Metrics,
    pub(crate) directory: watch::Sender<Arc<Directory>>,
    _task: JoinSet<()>,
}

impl Site {
    pub(crate) fn start(gateway: &str, durability: Durability) -> Site {
        let folder = folder();
        let (line, ends) = FollowerLine::new(durability == Durability::Replicated);
        let running = Running::start_with(folder.path(), 1_024, (keeping_free(0), Some(line)));
        Site {
            folder,
            running,
            ends,
            gateway: gateway.to_owned(),
            batches: 0,
        }
    }

    /// Starts a follower to `settings` with a short patience.
    pub(crate) fn follow(&self, settings: PostgresSettings) -> Follower {
        let metrics = Metrics::new();
        let (sender, directory) = watch::channel(Arc::new(names("示例餐馆")));
        let follower = Replicate {
            settings,
            gateway: self.gateway.clone(),
            reader: self.running.reader.clone(),
            ends: self.ends.clone(),
            work: self.running.works.clone(),
            directory,
            metrics: metrics.clone(),
            health: self.running.health.clone(),
            limits: Limits {
                answer: Duration::from_secs(5),
                linger: Duration::from_millis(1),
            },
        };
        let mut task = JoinSet::new();
        task.spawn(follower.run(CancellationToken::new()));
        Follower {
            metrics,
            directory: sender,
            _task: task,
        }
    }

    /// Commits `count` batches, each with a sample of every device, an alarm, and now and then a new device.
    pub(crate) async fn feed(&mut self, count: u64) {
        for _ in 0..count {
            let next = self.next();
            self.running.send(next).await;
        }
    }

    /// The next batch.
    pub(crate) fn next(&mut self) -> Batch {
        let number = self.batches;
        self.batches += 1;
        // An alarm's steps have ids of their own.
        let mut alarm = raised(1 + number / 2, &[]);
        alarm.event.id = crate::fixture::id(2_000_000 + number);
        let mut next = Batch {
            alarms: vec![alarm],
            ..batch(number, 1)
        };
        if number == 0 {
            next.points = points();
        }
        if number.is_multiple_of(10) {
            next.seen = vec![seen(u32::try_from(number / 10).expect("few"), "d")];
        }
        for device in 0..=u32::try_from(number / 10).expect("few") {
            let at = BEGIN + i64::try_from(number).expect("few") * 1_000 + i64::from(device);
            push(
                &mut next,
                device,
                0,
                at,
                f64::from(u8::from(!number.is_multiple_of(7))),
            );
            push(&mut next, device, 1, at, number as f64 + 0.5);
        }
        next
    }

    /// Everything in the store.
    pub(crate) async fn all(&self) -> Slice {
        let mut all = self.running.reader.follow(Cursor::START).await.expect("it reads");
        loop {
            let more = self.running.reader.follow(all.next).await.expect("it reads");
            if more.next == all.next {
                return all;
            }
            all.next = more.next;
            all.devices.extend(more.devices);
            all.points.extend(more.points);
            all.events.extend(more.events);
            all.alarms
                .retain(|alarm| more.alarms.iter().all(|newer| newer.id != alarm.id));
            all.alarms.extend(more.alarms);
            all.samples.extend(more.samples);
        }
    }

    /// Waits until all that was fed is committed, and the follower has it.
    pub(crate) async fn caught_up(&self) {
        let fed = i64::try_from(self.batches).expect("few");
        eventually("the follower has everything", || {
            let committed = *self.ends.committed.borrow();
            committed.event >= fed && self.ends.followed.borrow().covers(committed)
        })
        .await;
    }

    /// Waits until the follower has everything, then compares both sides row by row.
    pub(crate) async fn same(&self, server: &Postgres) {
        self.caught_up().await;
        let store = self.all().await;
        let of = format!(
            "store = (SELECT number FROM store WHERE gateway = '{}')",
            self.gateway
        );
        for (table, columns, expected) in expected(&store) {
            let mut found = server.rows(&format!("SELECT {columns} FROM {table} WHERE {of}"));
            let mut expected = expected;
            found.sort();
            expected.sort();
            assert_eq!(found.len(), expected.len(), "rows of {table}");
            for (found, expected) in found.iter().zip(&expected) {
                assert_eq!(found, expected, "{table}");
            }
        }
    }
}

/// The rows of every table as `psql` shows them.
fn expected(store: &Slice) -> Vec<(&'static str, &'static str, Vec<String>)> {
    vec![
        (
            "device",
            "number, venue, kind, device, (extract(epoch FROM first_seen) * 1000)::bigint",
            store
                .devices
                .iter()
                .map(|device| {
                    let key = &device.key;
                    let at = device.first_seen.0;
                    format!("{}|{}|{}|{}|{at}", device.number, key.venue, key.kind, key.device)
                })
                .collect(),
        ),
        (
            "point",
            "number, kind, point, value",
            store
                .points
                .iter()
                .map(|point| format!("{}|{}|{}|{}", point.number, point.kind, point.point, point.value))
                .collect(),
        ),
        (
            "event",
            "seq, id, (extract(epoch FROM at) * 1000)::bigint, type, alarm, body, encode(hash, 'hex')",
            store.events.iter().map(event_row).collect(),
        ),
        (
            "alarm",
            "id, standing, state, class, priority, rule, venue, kind, device,
             (extract(epoch FROM raised_at) * 1000)::bigint, body",
            store.alarms.iter().map(alarm_row).collect(),
        ),
        (
            "reading",
            "device, point, (extract(epoch FROM at) * 1000)::bigint, value",
            store
                .samples
                .iter()
                .map(|sample| {
                    let Sample {
                        device,
                        point,
                        at,
                        value,
                    } = sample;
                    format!("{}|{}|{}|{value}", device.0, point.0, at.0)
                })
                .collect(),
        ),
    ]
}

fn event_row(event: &FollowedEvent) -> String {
    let mut hash = String::new();
    for byte in &event.hash {
        write!(hash, "{byte:02x}").expect("a string takes it");
    }
    let alarm = event.alarm.map(|alarm| alarm.to_string()).unwrap_or_default();
    let (id, at, body) = (event.id, event.at.0, &event.body);
    format!(
        "{}|{id}|{at}|{}|{alarm}|{body}|{hash}",
        event.seq, event.event_type
    )
}

fn alarm_row(alarm: &FollowedAlarm) -> String {
    let standing = if alarm.standing { "t" } else { "f" };
    let words = [&alarm.state, &alarm.class, &alarm.priority, &alarm.rule].map(String::as_str);
    let key = &alarm.device;
    let key = [&key.venue, &key.kind, &key.device].map(String::as_str).join("|");
    let (id, at, body) = (alarm.id, alarm.raised_at.0, &alarm.body);
    format!("{id}|{standing}|{}|{key}|{at}|{body}", words.join("|"))
}

pub(crate) fn push(batch: &mut Batch, device: u32, point: u16, at: i64, value: f64) {
    let sample = Sample {
        device: DeviceIndex(device),
        point: PointNumber(point),
        at: Timestamp(at),
        value,
    };
    batch.samples.push(&sample).expect("a sample packs");
}

pub(crate) fn seen(number: u32, name: &str) -> SeenDevice {
    SeenDevice {
        number: DeviceIndex(number),
        key: key(&format!("{name}{number}")),
        at: Timestamp(BEGIN),
    }
}

fn key(device: &str) -> DeviceKey {
    DeviceKey {
        venue: "v1".to_owned(),
        kind: "gas_detector".to_owned(),
        device: device.to_owned(),
    }
}

fn points() -> Vec<HistoryPoint> {
    let point = |number, point: &str, value| HistoryPoint {
        number: PointNumber(number),
        kind: "gas_detector".to_owned(),
        point: point.to_owned(),
        value,
    };
    let lel = ValueType::Number {
        unit: "%LEL".to_owned(),
        min: 0.0,
        max: 100.0,
    };
    let words = ["normal", "warmup"].map(str::to_owned).to_vec();
    vec![
        point(0, "online", ValueType::Bool),
        point(1, "lel", lel),
        point(2, "state", ValueType::Enum { values: words }),
    ]
}

/// One venue of this name with one device.
pub(crate) fn names(venue: &str) -> Directory {
    let venue = Venue {
        id: "v1".to_owned(),
        name: venue.to_owned(),
        kind: "restaurant".to_owned(),
        address: "示例路 1 号".to_owned(),
        ..Default::default()
    };
    let device = RegisteredDevice {
        key: key("d0"),
        name: "厨房".to_owned(),
        ..Default::default()
    };
    Directory {
        registry: Registry::new(vec![venue], vec![device]),
        ..Directory::default()
    }
}

/// Settings for `server`, without TLS. What the tests write lies in the past: it is kept.
pub(crate) fn settings(server: &Postgres) -> PostgresSettings {
    PostgresSettings {
        server: server.url().parse().expect("the server's URL"),
        password: None,
        tls: PostgresTls::Off,
        durability: Durability::Local,
        keep: Duration::from_hours(24 * 36_500),
        readings_keep: Duration::from_hours(24 * 36_500),
    }
}

pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    waiting::eventually(what, DEADLINE, async || condition().then_some(())).await;
}

pub(crate) fn write(folder: &Path, name: &str, text: &str) {
    fs::write(folder.join(name), text).expect("a file in the server's folder");
}
