//! What systemd is told: ready, stopping, how things are, and that the pipeline moves. A ping is earned by a probe that has
//! been through the gateway's loop and the writer; no timer sends it. Without systemd only a stuck commit is
//! noticed here.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::handoff::Probe;
use crate::lifecycle::Health;

/// How often it is looked whether a writer whose commits fail goes on trying.
const TRIES_LOOK: Duration = Duration::from_secs(1);

/// How long a commit may take before it counts as one that does not end.
const STUCK: Duration = Duration::from_secs(5);

/// The process as systemd sees it. [`Run`](Supervise::run) it once all tasks are started.
#[derive(Debug)]
pub struct Supervise {
    probes: mpsc::Sender<Probe>,
    health: Health,
}

impl Supervise {
    /// What tells systemd of `health`, and sends `probes` through the gateway's loop.
    pub fn new(probes: mpsc::Sender<Probe>, health: &Health) -> Supervise {
        let health = health.clone();
        Supervise { probes, health }
    }

    /// Says that the process is ready, and goes on until it stops. A broker that is away does not hold it up: a gateway
    /// that cannot hear yet is up, and says so.
    pub async fn run(self, stop: CancellationToken) {
        tell(&[NotifyState::Ready]);
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.report() => {}
            () = self.ping() => {}
            () = self.watch_commits() => {}
        }
        tell(&[NotifyState::Stopping, NotifyState::Status("draining")]);
    }

    /// Keeps the status line.
    async fn report(&self) {
        let (mut broker, mut store) = (self.health.follow_broker(), self.health.follow_store());
        loop {
            let heard = if *broker.borrow_and_update() {
                "listening to the broker"
            } else {
                "the broker is away: no device is heard"
            };
            let condition = *store.borrow_and_update();
            let disk = match (condition.failed, condition.disk_low) {
                (Some(trouble), _) => format!("; the store takes no commits: {trouble}"),
                (None, true) => "; the disk is running full: telemetry is shed".to_owned(),
                (None, false) => String::new(),
            };
            tell(&[NotifyState::Status(&format!("{heard}{disk}"))]);
            tokio::select! {
                _ = broker.changed() => {}
                _ = store.changed() => {}
            }
        }
    }

    /// Sees to it that a disk which does not answer is told of before anybody ends the process for it.
    async fn watch_commits(&self) {
        loop {
            tokio::time::sleep(TRIES_LOOK).await;
            self.health.notice_stuck(STUCK);
        }
    }

    /// Earns and sends pings, twice in the time that systemd allows.
    async fn ping(&self) {
        let Some(allowed) = sd_notify::watchdog_enabled() else {
            return std::future::pending().await;
        };
        while self.moves().await {
            tell(&[NotifyState::Watchdog]);
            tokio::time::sleep(allowed / 2).await;
        }
        // The gateway's loop has ended: the process is about to.
        std::future::pending::<()>().await;
    }

    /// Waits until the pipeline has moved; for as long as it does not. `false`: there is none any more.
    async fn moves(&self) -> bool {
        let (taken_tx, taken) = oneshot::channel();
        let (committed_tx, mut committed) = oneshot::channel();
        let tries = self.health.failed_tries();
        let probe = Probe {
            taken: taken_tx,
            committed: committed_tx,
        };
        if self.probes.send(probe).await.is_err() || taken.await.is_err() {
            return false;
        }
        loop {
            tokio::select! {
                outcome = &mut committed => return outcome.is_ok(),
                () = tokio::time::sleep(TRIES_LOOK) => {
                    // A restart would not mend the disk, and would take the alarms' memory with it.
                    if self.health.failed_tries() > tries {
                        return true;
                    }
                }
            }
        }
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "cannot tell systemd");
    }
}
