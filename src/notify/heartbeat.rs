//! The heartbeat: says at an interval that the gateway works, so that its silence can be noticed elsewhere. A beat is earned by a
//! probe that has been through the gateway's loop and the writer, and is sent once, now or never: none is queued.

use std::sync::Arc;
use std::time::Duration;

use prometheus::IntCounter;
use serde::Serialize;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::NotifyError;
use super::any::AnyTarget;
use super::parcel::Parcel;
use super::reason::Failures;
use super::target::{SendError, Target};
use crate::clock::Clock;
use crate::config::{TargetSettings, WatchdogSettings};
use crate::domain::id::{GatewayHash, Id};
use crate::domain::time::Timestamp;
use crate::handoff::Probe;
use crate::metrics::Metrics;
use crate::store::PendingNotice;
use crate::words::InForce;

/// How long a probe may be under way before a beat is not earned, unless beats come faster.
const PATIENCE: Duration = Duration::from_secs(10);

/// A number that no input of the engine ever has: the ids made of it are not those of its events.
const SEQUENCE: u64 = 0x00FF_FFFF_FFFF;

/// Beats and the notices past the outbox have the same sequence number: beats have this ordinal.
const ORDINAL: u32 = 0xFFFF;

/// Everything it needs: give it these and [`run`](Heartbeat::run) it.
#[derive(Debug)]
pub struct Heartbeat {
    /// Every target there is; those that `watchdog` names get beats.
    pub targets: Vec<TargetSettings>,
    /// Who gets beats, and how often; `None`: nobody.
    pub watchdog: Option<WatchdogSettings>,
    /// The gateway's name.
    pub gateway: String,
    /// Goes through the gateway's loop.
    pub probes: mpsc::Sender<Probe>,
    /// Whether the broker is heard.
    pub broker: watch::Receiver<bool>,
    /// The process's metrics.
    pub metrics: Metrics,
    /// The process's clock.
    pub clock: Clock,
}

/// CONTRACT's body of a heartbeat.
#[derive(Serialize)]
struct Beat<'a> {
    id: Id,
    r#type: &'static str,
    at: String,
    gateway: &'a str,
    /// In how many seconds the next one comes.
    interval_s: u64,
    /// Whether devices can be heard at all.
    mqtt_connected: bool,
}

impl Heartbeat {
    /// Beats until told to stop.
    pub async fn run(self, stop: CancellationToken) -> Result<(), NotifyError> {
        let Some(watchdog) = &self.watchdog else {
            stop.cancelled().await;
            return Ok(());
        };
        let vocabulary = InForce::default();
        let mut senders = JoinSet::new();
        let mut lines = Vec::new();
        for settings in self
            .targets
            .iter()
            .filter(|target| watchdog.targets.contains(&target.name))
        {
            let target = AnyTarget::new(settings, &vocabulary, None, None)?;
            // It holds one beat: who is not ready for it misses it.
            let (line, beats) = mpsc::channel(1);
            let meters = self.meters(&settings.name);
            senders.spawn(send_all(target, beats, meters, watchdog.interval));
            lines.push((settings.name.as_str(), line));
        }
        let beating = self.beat(watchdog.interval, &lines);
        tokio::select! {
            () = stop.cancelled() => {}
            () = beating => {}
        }
        senders.shutdown().await;
        Ok(())
    }

    async fn beat(&self, interval: Duration, lines: &[(&str, mpsc::Sender<Arc<PendingNotice>>)]) {
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut pulse = Pulse::default();
        loop {
            ticks.tick().await;
            let moves = tokio::time::timeout(interval.min(PATIENCE), pulse.moves(&self.probes)).await;
            let moves = matches!(moves, Ok(true));
            if !moves {
                tracing::error!("the pipeline does not move: no heartbeat is sent");
            }
            let beat = self.notice(self.clock.now().wall, interval).map(Arc::new);
            for (target, line) in lines {
                let beat = beat.as_ref().filter(|_| moves);
                let sent = beat.is_some_and(|beat| line.try_send(Arc::clone(beat)).is_ok());
                if !sent {
                    self.metrics.past_outbox.heartbeats(target, "skipped").inc();
                }
            }
        }
    }

    fn meters(&self, target: &str) -> Meters {
        let counter = |result| self.metrics.past_outbox.heartbeats(target, result);
        Meters {
            name: target.to_owned(),
            sent: counter("delivered"),
            failed: counter("failed"),
            failures: Failures::of(target, &self.metrics),
        }
    }

    fn notice(&self, at: Timestamp, interval: Duration) -> Option<PendingNotice> {
        let id = Id::derive(GatewayHash::of(&self.gateway), SEQUENCE, ORDINAL, at);
        let beat = Beat {
            id,
            r#type: "watchdog",
            at: at.to_rfc3339(),
            gateway: &self.gateway,
            interval_s: interval.as_secs().max(1),
            mqtt_connected: *self.broker.borrow(),
        };
        Some(PendingNotice {
            row: 0,
            id,
            alarm: id,
            body: serde_json::to_string(&beat).ok()?,
            created_at: at,
            attempts: 0,
            due_at: at,
            critical: false,
            urgent: false,
            people: Vec::new(),
            refused: false,
        })
    }
}

/// The probe that is under way. There is one at a time, however long it takes: a writer that is stuck gets no heap of them.
#[derive(Default)]
struct Pulse {
    under_way: Option<oneshot::Receiver<()>>,
}

impl Pulse {
    /// Waits until the pipeline moves: a probe has come through now. `false`: there is no pipeline any more. May be given up
    /// at any time.
    async fn moves(&mut self, probes: &mpsc::Sender<Probe>) -> bool {
        // One that has come through meanwhile says nothing about now.
        if self
            .under_way
            .as_mut()
            .is_some_and(|probe| probe.try_recv() != Err(oneshot::error::TryRecvError::Empty))
        {
            self.under_way = None;
        }
        if self.under_way.is_none() {
            let Ok(place) = probes.reserve().await else {
                return false;
            };
            let (taken, _) = oneshot::channel();
            let (committed, done) = oneshot::channel();
            place.send(Probe { taken, committed });
            self.under_way = Some(done);
        }
        let Some(probe) = &mut self.under_way else {
            return false;
        };
        let moved = probe.await.is_ok();
        self.under_way = None;
        moved
    }
}

/// What becomes of the beats of a target.
struct Meters {
    name: String,
    sent: IntCounter,
    failed: IntCounter,
    failures: Failures,
}

/// Sends beats to one target, each once, and none for longer than until the next is due.
async fn send_all(
    target: AnyTarget,
    mut beats: mpsc::Receiver<Arc<PendingNotice>>,
    meters: Meters,
    interval: Duration,
) {
    let name = &meters.name;
    let mut failing = false;
    while let Some(beat) = beats.recv().await {
        let at = beat.created_at;
        let parcel = Parcel::single(PendingNotice::clone(&beat));
        let outcome = tokio::time::timeout(interval, target.send(&parcel, at)).await;
        match outcome.unwrap_or(Err(SendError::Timeout(interval))) {
            Ok(_) => {
                meters.sent.inc();
                if std::mem::take(&mut failing) {
                    tracing::info!(target_name = %name, "heartbeats are taken again");
                }
            }
            Err(error) => {
                meters.failed.inc();
                meters.failures.count(&error);
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(target_name = %name, %error, "a heartbeat was not taken; the next one comes in its time");
                }
            }
        }
    }
}
