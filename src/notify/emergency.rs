//! Tells every target that the store cannot be written, past the outbox, which is in that store: once when it begins, once
//! when commits succeed again. What is told is in memory alone; the alarm `store-failed` is the record.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::NotifyError;
use super::any::AnyTarget;
use super::parcel::{Fault, Parcel};
use super::reason::Failures;
use super::target::Target;
use crate::clock::Clock;
use crate::config::TargetSettings;
use crate::domain::alarm::{Ack, AlarmEvent, AlarmState, AlarmStep, AlarmView, ClearReason, Mask, Quality};
use crate::domain::device::DeviceKey;
use crate::domain::id::{GatewayHash, Id};
use crate::domain::kind::Kind;
use crate::domain::notice::{AlarmBody, EventBody};
use crate::domain::registry::Registry;
use crate::domain::rule::{Class, Priority, RuleDef};
use crate::domain::text::Text;
use crate::handoff::{StoreCondition, StoreTrouble};
use crate::metrics::Metrics;
use crate::store::PendingNotice;
use crate::words::Vocabulary;

/// Pauses between the attempts to reach a target, in seconds; the last one again and again.
const PAUSES: [u64; 6] = [1, 2, 4, 8, 15, 30];

/// Notices that may wait for a target; of more, the newest is not sent.
const QUEUE: usize = 16;

/// A number that no input of the engine ever has: ids made of it are not those of its alarms.
const SEQUENCE: u64 = 0x00FF_FFFF_FFFF;

/// Everything it needs: give it these and [`run`](Emergency::run) it.
#[derive(Debug)]
pub struct Emergency {
    /// Where notices go: to all of these.
    pub targets: Vec<TargetSettings>,
    /// The gateway's name.
    pub gateway: String,
    /// Where officers reach the API.
    pub public_url: String,
    /// The store's condition.
    pub store: watch::Receiver<StoreCondition>,
    /// The process's metrics.
    pub metrics: Metrics,
    /// The process's clock.
    pub clock: Clock,
}

/// A notice past the outbox.
#[derive(Debug, Clone)]
struct Notice {
    pending: Arc<PendingNotice>,
    /// The trouble that it tells of is not over.
    stands: bool,
}

impl Emergency {
    /// Follows the store's condition until told to stop.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), NotifyError> {
        let mut senders = JoinSet::new();
        let mut queues = Vec::new();
        let vocabulary = Vocabulary::of([&Kind::gateway()]).into();
        for settings in &self.targets {
            let (queue, notices) = mpsc::channel(QUEUE);
            let target = AnyTarget::new(settings, &vocabulary, None, None)?;
            let failures = Failures::of(&settings.name, &self.metrics);
            let name = settings.name.clone();
            senders.spawn(send_all(name, (target, failures), notices, self.clock));
            queues.push(queue);
        }
        let mut alarm: Option<AlarmView> = None;
        self.store.mark_changed();
        while self.changed(&stop).await {
            let failed = self.store.borrow_and_update().failed;
            let event = match (failed, alarm.take()) {
                (Some(trouble), None) => self.raise(trouble),
                (None, Some(standing)) => self.recover(standing),
                (still, standing) => {
                    alarm = standing.filter(|_| still.is_some());
                    continue;
                }
            };
            match self.notice(&event) {
                Ok(notice) => {
                    for queue in &queues {
                        if queue.try_send(notice.clone()).is_err() {
                            tracing::error!("a target takes no emergency notices; one more is not sent");
                        }
                    }
                }
                Err(error) => tracing::error!(%error, "cannot put an emergency notice into words"),
            }
            alarm = Some(event.alarm).filter(|alarm| alarm.state != AlarmState::Cleared);
        }
        senders.shutdown().await;
        Ok(())
    }

    /// Waits for news of the store. `false`: it is time to stop.
    async fn changed(&mut self, stop: &CancellationToken) -> bool {
        tokio::select! {
            () = stop.cancelled() => false,
            changed = self.store.changed() => {
                if changed.is_err() {
                    stop.cancelled().await;
                }
                changed.is_ok()
            }
        }
    }

    fn raise(&self, trouble: StoreTrouble) -> AlarmEvent {
        let at = self.clock.now().wall;
        let rule = RuleDef {
            class: Class::Fault,
            priority: Priority::Critical,
            title: Text {
                zh: "网关数据库无法写入".to_owned(),
                en: "Gateway cannot write its store".to_owned(),
            },
            ..RuleDef::new("store-failed", "gateway", "store_failed")
        };
        let values = [
            ("store_failed", json!(true)),
            ("trouble", json!(trouble.to_string())),
        ];
        AlarmEvent {
            id: self.id(1, at),
            at,
            step: AlarmStep::Raised,
            notify: true,
            alarm: AlarmView {
                id: self.id(0, at),
                rule: Arc::new(rule),
                device: Arc::new(DeviceKey::gateway(&self.gateway)),
                state: AlarmState::ActiveUnacknowledged,
                raised_at: at,
                ack: Ack::Unacknowledged,
                recovered_at: None,
                first_out: true,
                late_by_ms: None,
                chatter: None,
                mask: Mask::None,
                quality: Quality::Good,
                handling: None,
                ended: None,
                values: values.map(|(name, value)| (name.to_owned(), value)).into(),
            },
        }
    }

    fn recover(&self, alarm: AlarmView) -> AlarmEvent {
        let at = self.clock.now().wall;
        AlarmEvent {
            id: self.id(2, at),
            at,
            step: AlarmStep::Recovered,
            notify: true,
            alarm: AlarmView {
                state: AlarmState::Cleared,
                recovered_at: Some(at),
                ended: Some(ClearReason::Recovered),
                values: vec![("store_failed".to_owned(), json!(false))],
                ..alarm
            },
        }
    }

    fn id(&self, ordinal: u32, at: crate::domain::time::Timestamp) -> Id {
        Id::derive(GatewayHash::of(&self.gateway), SEQUENCE, ordinal, at)
    }

    /// What the targets get: the body that an alarm of this rule has out of the outbox.
    fn notice(&self, event: &AlarmEvent) -> serde_json::Result<Notice> {
        let registry = Registry::default();
        let alarm = AlarmBody::new(&event.alarm, &registry);
        let body = EventBody::new(event, &alarm, &self.gateway, &self.public_url);
        let pending = PendingNotice {
            row: 0,
            id: event.id,
            alarm: event.alarm.id,
            body: serde_json::to_string(&body)?,
            created_at: event.at,
            attempts: 0,
            due_at: event.at,
            critical: true,
            urgent: true,
            people: Vec::new(),
            refused: false,
        };
        Ok(Notice {
            pending: Arc::new(pending),
            stands: event.alarm.state != AlarmState::Cleared,
        })
    }
}

/// Sends the notices to one target, one after the other, each until it is taken. One that forgets is told again of what
/// stands.
async fn send_all(
    name: String,
    (target, failures): (AnyTarget, Failures),
    mut notices: mpsc::Receiver<Notice>,
    clock: Clock,
) {
    let mut standing: Option<Notice> = None;
    loop {
        let again = async {
            match (&standing, target.resend()) {
                (Some(notice), Some(wait)) => {
                    tokio::time::sleep(wait).await;
                    notice.clone()
                }
                (None, _) | (_, None) => std::future::pending().await,
            }
        };
        let notice = tokio::select! {
            next = notices.recv() => match next {
                Some(notice) => notice,
                None => return,
            },
            notice = again => notice,
        };
        standing = Some(notice.clone()).filter(|notice| notice.stands);
        let notice = notice.pending;
        let (mut pauses, mut pause) = (PAUSES.into_iter(), 1);
        let parcel = Parcel::single(PendingNotice::clone(&notice));
        loop {
            let Err(error) = target.send(&parcel, clock.now().wall).await else {
                tracing::info!(target_name = %name, notice = %notice.id, "an emergency notice was delivered");
                break;
            };
            tracing::error!(target_name = %name, notice = %notice.id, %error, "an emergency notice was not delivered");
            failures.count(&error);
            pause = pauses.next().unwrap_or(pause);
            if let Fault::Throttled(wait) = error.fault() {
                pause = pause.max(wait.0 / 1_000);
            }
            tokio::time::sleep(Duration::from_secs(pause)).await;
        }
    }
}
