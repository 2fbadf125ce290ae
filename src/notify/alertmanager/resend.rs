//! Tells an Alertmanager again and again what stands, and for a while what has ended: it forgets alarms of which it hears
//! nothing, and all of them when it restarts. Past the outbox: that has what is new.

use std::sync::Arc;
use std::time::Duration;

use prometheus::IntCounter;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::api::{AT_ONCE, Alertmanager};
use crate::clock::Clock;
use crate::domain::id::Id;
use crate::handoff::Work;
use crate::notify::Notify;
use crate::notify::parcel::Fault;
use crate::notify::reason::Failures;

/// After a failure it is tried again sooner: in this part of the time between two rounds.
const SOONER: u32 = 4;

/// One Alertmanager that is told again.
pub(in crate::notify) struct Resend {
    target: Arc<Alertmanager>,
    clock: Clock,
    /// Gone when the store is.
    work: mpsc::Sender<Work>,
    sent: IntCounter,
    failed: IntCounter,
    failures: Failures,
    /// How far a round has come that failed.
    after: Option<Id>,
    /// The most alerts in one request: fewer after one was refused.
    most: usize,
    /// Whether the last request failed: said once.
    failing: bool,
}

impl Resend {
    /// Nothing told yet.
    pub(in crate::notify) fn new(target: Arc<Alertmanager>, notify: &Notify) -> Resend {
        let counter = |result| notify.metrics.past_outbox.resends(target.name(), result);
        let (sent, failed) = (counter("delivered"), counter("failed"));
        Resend {
            failures: Failures::of(target.name(), &notify.metrics),
            target,
            clock: notify.clock,
            work: notify.work.clone(),
            sent,
            failed,
            after: None,
            most: AT_ONCE,
            failing: false,
        }
    }

    /// Tells in rounds, the first at once, until told to stop.
    pub(in crate::notify) async fn run(mut self, stop: CancellationToken) {
        let work = self.work.clone();
        let rounds = async {
            loop {
                let wait = self.round().await;
                tokio::time::sleep(wait).await;
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = work.closed() => {}
            () = rounds => {}
        }
    }

    /// Tells all there is, in parts, so that what is new waits for one of them at the most. When to come again.
    async fn round(&mut self) -> Duration {
        let resend = self.target.resend();
        loop {
            let part = match self
                .target
                .tell_again((self.after, self.most), self.clock.now().wall)
                .await
            {
                Ok(Some(part)) => part,
                Ok(None) => {
                    self.after = None;
                    return resend;
                }
                Err(error) => {
                    tracing::warn!(target_name = %self.target.name(), %error, "cannot read what stands; trying again");
                    return resend / SOONER;
                }
            };
            match part.outcome {
                Ok(_) => {
                    self.sent.inc();
                    self.most = (self.most * 2).min(AT_ONCE);
                    if std::mem::take(&mut self.failing) {
                        tracing::info!(target_name = %self.target.name(), "what stands is told again");
                    }
                }
                Err(error) => {
                    self.failed.inc();
                    self.failures.count(&error);
                    if !std::mem::replace(&mut self.failing, true) {
                        tracing::warn!(target_name = %self.target.name(), %error, "what stands could not be told again; trying on");
                    }
                    if error.fault() != Fault::Notice {
                        return resend / SOONER;
                    }
                    // It may have been too much, or one of them what it does not want: that keeps no other from being told.
                    if part.count > 1 {
                        self.most = part.count / 2;
                        continue;
                    }
                }
            }
            self.after = Some(part.last);
        }
    }
}
