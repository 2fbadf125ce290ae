//! A real store in a folder of its own, and alarms to put into it, for the tests of notify and web.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ninewatch::clock::{Clock, wall};
use ninewatch::config::StoreSettings;
use ninewatch::domain::alarm::{Ack, AlarmEvent, AlarmState, AlarmStep, AlarmView, Mask, Quality};
use ninewatch::domain::device::DeviceKey;
use ninewatch::domain::directions::Owed;
use ninewatch::domain::id::{GatewayHash, Id};
use ninewatch::domain::interlock::{Cause, CommandEvent, CommandStep, OrderView, Stage};
use ninewatch::domain::notice_command::{CommandEventBody, OrderBody};
use ninewatch::domain::registry::Registry;
use ninewatch::domain::rule::{Priority, RuleDef};
use ninewatch::domain::text::Text;
use ninewatch::domain::time::{Millis, Timestamp};
use ninewatch::handoff::{AlarmCommit, Answer, Batch, CommandCommit, Receipt, Work};
use ninewatch::lifecycle::Health;
use ninewatch::link::Links;
use ninewatch::metrics::Metrics;
use ninewatch::store::{Outlets, Store, StoreReader, Writer};
use serde_json::json;
use tokio::sync::{mpsc, oneshot, watch};

/// How long anything in these tests may take before it counts as never.
pub(crate) const DEADLINE: Duration = Duration::from_mins(1);

/// The outcome of `future`, or a failure that says what was waited for.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let Ok(outcome) = tokio::time::timeout(DEADLINE, future).await else {
        panic!("{what}: not within {DEADLINE:?}");
    };
    outcome
}

/// A running store.
pub(crate) struct TestStore {
    pub(crate) reader: StoreReader,
    pub(crate) work: mpsc::Sender<Work>,
    pub(crate) committed: watch::Receiver<u64>,
    pub(crate) metrics: Metrics,
    pub(crate) health: Health,
    pub(crate) clock: Clock,
    pub(crate) links: Links,
    writer: Writer,
    _receipts: mpsc::Receiver<Vec<Receipt>>,
}

impl TestStore {
    pub(crate) fn open(folder: &Path) -> TestStore {
        let (store, recovered) = Store::open(folder).unwrap();
        let reader = store.reader().unwrap();
        let (metrics, health) = (Metrics::new(), Health::new());
        let (notices, committed) = watch::channel(0);
        let (receipts, kept) = mpsc::channel(16);
        let outlets = Outlets {
            follower: None,
            receipts,
            notices,
            metrics: metrics.clone(),
            health: health.clone(),
        };
        // Events of any time stay: the tests write old ones.
        let settings = StoreSettings {
            event_keep: Duration::from_hours(24 * 36_500),
            ..StoreSettings::default()
        };
        let (work, writer) = store.start(outlets, settings).unwrap();
        TestStore {
            reader,
            work,
            committed,
            metrics,
            health,
            clock: Clock::resuming(recovered.last),
            links: Links::open(folder, "http://gw.example").unwrap(),
            writer,
            _receipts: kept,
        }
    }

    /// Commits these steps in one batch, and waits until they are durable.
    pub(crate) async fn commit(&self, alarms: Vec<AlarmCommit>) {
        self.commit_all(alarms, Vec::new()).await;
    }

    /// Likewise, with these steps of orders.
    pub(crate) async fn commit_all(&self, alarms: Vec<AlarmCommit>, commands: Vec<CommandCommit>) {
        let (to, answered) = oneshot::channel();
        let batch = Batch {
            alarms,
            commands,
            answers: vec![Answer::Operator {
                to,
                outcome: Ok(None),
            }],
            ..Batch::default()
        };
        self.work.send(Work::Batch(Box::new(batch))).await.unwrap();
        within("commit", answered).await.unwrap().unwrap();
    }

    /// Ends the writer and waits for it. Every other sender of works must be gone.
    pub(crate) async fn close(self) {
        drop(self.work);
        let writer = self.writer;
        tokio::task::spawn_blocking(move || writer.join())
            .await
            .unwrap()
            .unwrap();
    }
}

/// The id of the `number`-th alarm (or event) of a test.
pub(crate) fn id(number: u64) -> Id {
    Id::derive(
        GatewayHash::of("test-01"),
        number,
        0,
        Timestamp(1_767_225_600_000),
    )
}

/// Step `number` of the test, on the `alarm`-th alarm, owed to `targets`.
pub(crate) fn step(number: u64, alarm: u64, state: AlarmState, targets: &[&str]) -> AlarmCommit {
    let (event_id, alarm_id) = (id(1_000_000 + number), id(alarm));
    let step = if state == AlarmState::Cleared {
        AlarmStep::Cleared(ninewatch::domain::alarm::ClearReason::Recovered)
    } else {
        AlarmStep::Raised
    };
    let shown = json!({
        "id": alarm_id, "state": state, "rule": "gas-high", "raised_at": "2026-01-01T00:00:00.000Z", "latched": true,
    });
    let body = json!({
        "id": event_id, "type": step.event_type(), "number": number, "title": "燃气浓度高报", "alarm": shown,
    });
    AlarmCommit {
        event: AlarmEvent {
            id: event_id,
            at: wall(),
            step,
            notify: true,
            alarm: AlarmView {
                id: alarm_id,
                rule: Arc::new(rule()),
                device: Arc::new(DeviceKey {
                    venue: "v1".to_owned(),
                    kind: "gas_detector".to_owned(),
                    device: format!("g{alarm}"),
                }),
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
                values: vec![("lel".to_owned(), json!(53.2))],
            },
        },
        alarm: shown.to_string(),
        body: body.to_string(),
        owed: targets.iter().map(|target| Owed::direct(target)).collect(),
    }
}

/// A step of the `order`-th order, for the gas detector `device`, wanted by `cause` and owed to `targets`.
pub(crate) fn ordered(
    order: u64,
    device: &str,
    (step, cause): (CommandStep, Cause),
    targets: &[&str],
) -> CommandCommit {
    let event = CommandEvent {
        id: id(2_000_000 + order),
        at: wall(),
        step,
        notify: true,
        order: OrderView {
            id: id(order),
            device: Arc::new(DeviceKey {
                venue: "v1".to_owned(),
                kind: "gas_detector".to_owned(),
                device: device.to_owned(),
            }),
            command: "close".into(),
            stage: Stage::Requested,
            attempt: 1,
            attempts: 3,
            requested_at: Timestamp(1_767_225_600_000),
            expires_at: Timestamp(1_767_225_610_000),
            took: Millis(0),
            causes: vec![cause],
        },
    };
    let registry = Registry::default();
    let shown = OrderBody::new(&event, &registry);
    let body = CommandEventBody::new(&event, &shown, &registry, ("test-01", "http://localhost"));
    CommandCommit {
        order: serde_json::to_string(&shown).unwrap(),
        body: serde_json::to_string(&body).unwrap(),
        owed: targets.iter().map(|target| Owed::direct(target)).collect(),
        event,
    }
}

fn rule() -> RuleDef {
    RuleDef {
        priority: Priority::Critical,
        latch: true,
        title: Text {
            zh: "燃气浓度高报".to_owned(),
            en: "Gas concentration high".to_owned(),
        },
        ..RuleDef::new("gas-high", "gas_detector", "lel >= 50.0")
    }
}
