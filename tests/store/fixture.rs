//! A store in a folder of its own, and the batches the tests feed it. Asserts nothing about the store's rules.

#![expect(
    clippy::expect_used,
    reason = "a fixture that cannot be set up fails its test"
)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ninewatch::clock;
use ninewatch::config::StoreSettings;
use ninewatch::domain::alarm::{Ack, AlarmEvent, AlarmState, AlarmStep, AlarmView, Mask, Quality};
use ninewatch::domain::device::DeviceKey;
use ninewatch::domain::directions::Owed;
use ninewatch::domain::id::{GatewayHash, Id};
use ninewatch::domain::interlock::{Cause, CommandEvent, CommandStep, OrderView, Stage};
use ninewatch::domain::profile::Reject;
use ninewatch::domain::rule::{Priority, RuleDef};
use ninewatch::domain::text::Text;
use ninewatch::domain::time::{Millis, Moment, Ticks, Timestamp};
use ninewatch::handoff::{
    AlarmCommit, Batch, CheckpointHead, CheckpointPart, CommandCommit, DeadLetter, Receipt, Work,
};
use ninewatch::lifecycle::Health;
use ninewatch::metrics::Metrics;
use ninewatch::store::{Followed, FollowerLine, Outlets, Recovered, Store, StoreReader, Writer};
use rusqlite::Connection;
use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot, watch};

#[path = "../support/eventually.rs"]
#[expect(dead_code, reason = "nothing here has to stay as it is")]
pub(crate) mod waiting;

/// How long anything may take, on a disk that others use too.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// A running store and all its ends.
pub(crate) struct Running {
    pub(crate) works: mpsc::Sender<Work>,
    pub(crate) writer: Writer,
    pub(crate) receipts: mpsc::Receiver<Vec<Receipt>>,
    pub(crate) notices: watch::Receiver<u64>,
    pub(crate) metrics: Metrics,
    pub(crate) health: Health,
    pub(crate) reader: StoreReader,
    pub(crate) recovered: Recovered,
}

impl Running {
    pub(crate) fn start(folder: &Path) -> Running {
        Running::start_with(folder, 1024, (keeping_free(0), None))
    }

    pub(crate) fn start_keeping(folder: &Path, settings: StoreSettings) -> Running {
        Running::start_with(folder, 1024, (settings, None))
    }

    /// With a follower that has copied the history up to row `copied`.
    pub(crate) fn start_copied(folder: &Path, settings: StoreSettings, copied: i64) -> Running {
        let (line, ends) = FollowerLine::new(false);
        ends.followed.send_replace(Followed {
            event: 0,
            history: copied,
        });
        Running::start_with(folder, 1024, (settings, Some(line)))
    }

    pub(crate) fn start_with_receipts(folder: &Path, capacity: usize) -> Running {
        Running::start_with(folder, capacity, (keeping_free(0), None))
    }

    /// On a disk of which `reserve` bytes are to stay free.
    pub(crate) fn start_on(folder: &Path, reserve: u64) -> Running {
        Running::start_with(folder, 1024, (keeping_free(reserve), None))
    }

    /// With the store's side of a line to a follower, if there is one.
    pub(crate) fn start_with(
        folder: &Path,
        capacity: usize,
        (settings, follower): (StoreSettings, Option<FollowerLine>),
    ) -> Running {
        let (store, recovered) = Store::open(folder).expect("the store opens");
        let reader = store.reader().expect("a reader starts");
        let (receipt_sender, receipts) = mpsc::channel(capacity);
        let (notice_sender, notices) = watch::channel(0);
        let (metrics, health) = (Metrics::new(), Health::new());
        let outlets = Outlets {
            follower,
            receipts: receipt_sender,
            notices: notice_sender,
            metrics: metrics.clone(),
            health: health.clone(),
        };
        let (works, writer) = store.start(outlets, settings).expect("the writer starts");
        Running {
            works,
            writer,
            receipts,
            notices,
            metrics,
            health,
            reader,
            recovered,
        }
    }

    pub(crate) async fn send(&self, batch: Batch) {
        self.works
            .send(Work::Batch(Box::new(batch)))
            .await
            .expect("the writer takes works");
    }

    /// Commits one batch and waits for its receipts.
    pub(crate) async fn commit(&mut self, mut batch: Batch) {
        let receipt = Receipt {
            connection: 9,
            packet_id: 9,
        };
        batch.receipts.push(receipt);
        self.send(batch).await;
        let released = self.next_receipts().await;
        assert_eq!(released.last(), Some(&receipt));
    }

    /// Hands over a part of a checkpoint, and waits until it is written.
    pub(crate) async fn write_part(
        &self,
        (generation, number): (u64, u32),
        state: &[u8],
        complete: Option<CheckpointHead>,
    ) {
        let (written, done) = oneshot::channel();
        let part = CheckpointPart {
            generation,
            number,
            state: state.to_vec(),
            complete,
            written,
        };
        self.works
            .send(Work::Checkpoint(part))
            .await
            .expect("the writer takes works");
        tokio::time::timeout(DEADLINE, done)
            .await
            .expect("it is written in time")
            .expect("the writer runs");
    }

    /// The receipts that the writer releases next.
    pub(crate) async fn next_receipts(&mut self) -> Vec<Receipt> {
        tokio::time::timeout(DEADLINE, self.receipts.recv())
            .await
            .expect("receipts are released in time")
            .expect("the writer runs")
    }

    /// Ends the writer as a stop does.
    pub(crate) fn stop(self) {
        drop(self.works);
        drop(self.reader);
        self.writer.join().expect("the writer ends well");
    }
}

pub(crate) fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// A connection past the store, as a curious operator would open one.
pub(crate) fn connection(folder: &Path) -> Connection {
    Connection::open(folder.join("ninewatch.db")).expect("the database opens")
}

pub(crate) fn count(connection: &Connection, table: &str) -> i64 {
    connection
        .query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))
        .expect("the table can be counted")
}

/// Waits until `condition` holds.
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    waiting::eventually(what, DEADLINE, async || condition().then_some(())).await;
}

pub(crate) fn moment(at: i64) -> Moment {
    Moment {
        wall: Timestamp(at),
        ticks: Ticks(at.unsigned_abs()),
    }
}

/// A batch of `inputs` journalled inputs from `first_input`, of now.
pub(crate) fn batch(first_input: u64, inputs: u32) -> Batch {
    Batch {
        first_input,
        inputs,
        journal: vec![0x5A; 40 * inputs as usize],
        last: moment(clock::wall().0),
        ..Batch::default()
    }
}

pub(crate) fn receipt(packet_id: u16) -> Receipt {
    Receipt {
        connection: 1,
        packet_id,
    }
}

pub(crate) fn id(sequence: u64) -> Id {
    Id::derive(GatewayHash::of("test"), sequence, 0, Timestamp(1_767_225_600_000))
}

/// A step of alarm `alarm`, owed to `targets`.
pub(crate) fn step(alarm: u64, step: AlarmStep, state: AlarmState, targets: &[&str]) -> AlarmCommit {
    let rule = RuleDef {
        priority: Priority::Critical,
        latch: true,
        title: Text {
            zh: "燃气浓度高报".to_owned(),
            en: "Gas concentration high".to_owned(),
        },
        ..RuleDef::new("gas-high", "gas_detector", "lel >= 50.0")
    };
    let device = DeviceKey {
        venue: "v1".to_owned(),
        kind: "gas_detector".to_owned(),
        device: "g1".to_owned(),
    };
    let body = format!(r#"{{"type":"{}","alarm":"{}"}}"#, step.event_type(), id(alarm));
    AlarmCommit {
        event: AlarmEvent {
            id: id(alarm + 1_000_000),
            at: Timestamp(1_767_225_600_000),
            step,
            notify: true,
            alarm: AlarmView {
                id: id(alarm),
                rule: Arc::new(rule),
                device: Arc::new(device),
                state,
                raised_at: Timestamp(1_767_225_600_000),
                ack: Ack::Unacknowledged,
                recovered_at: None,
                first_out: true,
                late_by_ms: None,
                chatter: None,
                mask: Mask::None,
                quality: Quality::Good,
                handling: None,
                ended: None,
                values: Vec::new(),
            },
        },
        alarm: format!(r#"{{"id":"{}","state":"{}"}}"#, id(alarm), state.as_str()),
        body,
        owed: targets.iter().map(|target| Owed::direct(target)).collect(),
    }
}

pub(crate) fn raised(alarm: u64, targets: &[&str]) -> AlarmCommit {
    step(
        alarm,
        AlarmStep::Raised,
        AlarmState::ActiveUnacknowledged,
        targets,
    )
}

/// A step of order `order` for the valve `device`, owed to `targets`.
pub(crate) fn ordered(
    order: u64,
    device: &str,
    (step, cause): (CommandStep, Cause),
    targets: &[&str],
) -> CommandCommit {
    let state = step.state(Stage::Sent);
    let body = format!(r#"{{"type":"{}","command":"{}"}}"#, step.event_type(), id(order));
    CommandCommit {
        event: CommandEvent {
            id: id(order + 2_000_000),
            at: Timestamp(1_767_225_600_000),
            step,
            notify: true,
            order: OrderView {
                id: id(order),
                device: Arc::new(DeviceKey {
                    venue: "v1".to_owned(),
                    kind: "shutoff_valve".to_owned(),
                    device: device.to_owned(),
                }),
                command: "close".into(),
                stage: Stage::Sent,
                attempt: 1,
                attempts: 3,
                requested_at: Timestamp(1_767_225_600_000),
                expires_at: Timestamp(1_767_225_610_000),
                took: Millis(2_500),
                causes: vec![cause],
            },
        },
        order: format!(r#"{{"id":"{}","state":"{state}"}}"#, id(order)),
        body,
        owed: targets.iter().map(|target| Owed::direct(target)).collect(),
    }
}

pub(crate) fn dead_letter(payload: &'static [u8]) -> DeadLetter {
    DeadLetter {
        at: Timestamp(1),
        topic: "somewhere/else".to_owned(),
        payload: Bytes::from_static(payload),
        size: payload.len(),
        reject: Reject::UnknownTopic,
    }
}

/// Events and samples of any time stay, since the tests write old ones; `reserve` bytes of the disk are to stay free.
pub(crate) fn keeping_free(reserve: u64) -> StoreSettings {
    StoreSettings {
        event_keep: Duration::from_hours(24 * 36_500),
        history_keep: Duration::from_hours(24 * 36_500),
        disk_reserve: reserve,
        ..StoreSettings::default()
    }
}
