//! Follows the store by cursor into PostgreSQL, exactly once and in order, through outages of any length. Waits, tries
//! again, loses nothing; the gateway never waits for it, unless receipts are to (`durability = "replicated"`).

mod connect;
mod copy;
mod error;
mod keep;
mod month;
mod schema;
mod session;
mod tables;
mod transfer;

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use self::error::ReplicateError;
use self::session::Session;
pub use self::tables::{Prepared, Refused, Table, prepare};
pub use self::transfer::{Copied, Run, Transfer};
use crate::clock;
use crate::config::{Durability, PostgresSettings};
use crate::domain::time::Timestamp;
use crate::handoff::{Directory, Work};
use crate::lifecycle::Health;
use crate::metrics::Metrics;
use crate::store::{Followed, FollowerEnds, StoreReader};

/// The first and the longest wait after a failure.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// How often the lag is told while nothing moves.
const TELL: Duration = Duration::from_secs(1);

/// How often partitions are made and retention is looked after.
const TEND: Duration = Duration::from_hours(1);

/// How patient the follower is.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long the server may take for any answer.
    pub answer: Duration,
    /// How long rows are gathered before they are copied, where no receipt waits for them.
    pub linger: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            answer: Duration::from_secs(30),
            linger: Duration::from_millis(200),
        }
    }
}

/// Everything the follower needs: give it these and [`run`](Replicate::run) it.
#[derive(Debug)]
pub struct Replicate {
    /// Where to.
    pub settings: PostgresSettings,
    /// The gateway's id.
    pub gateway: String,
    /// The store, to read; with a thread of its own.
    pub reader: StoreReader,
    /// How far the store is, and how far PostgreSQL.
    pub ends: FollowerEnds,
    /// Wakes the writer where receipts wait.
    pub work: mpsc::Sender<Work>,
    /// The venues and devices of the configuration in force.
    pub directory: watch::Receiver<Arc<Directory>>,
    /// The process's metrics.
    pub metrics: Metrics,
    /// Told whether receipts wait for a server that is away.
    pub health: Health,
    /// How patient it is.
    pub limits: Limits,
}

impl Replicate {
    /// Copies until `stop`. What is under way then is undone and copied at the next start.
    pub async fn run(mut self, stop: CancellationToken) {
        let following = self.follow_for_ever();
        tokio::select! {
            () = stop.cancelled() => {}
            () = following => {}
        }
        self.metrics.replication_connected.set(0);
    }

    async fn follow_for_ever(&mut self) {
        let mut lag = Lag::default();
        let mut failures = 0_u32;
        self.set_connected(false);
        loop {
            let Err(error) = self.follow(&mut lag, &mut failures).await;
            self.set_connected(false);
            self.metrics.replication_errors(error.reason()).inc();
            let wait = wait(failures, RandomState::new().hash_one(failures));
            failures = failures.saturating_add(1);
            tracing::warn!(%error, ?wait, "PostgreSQL does not get its copy; it is tried again, and nothing is lost");
            let end = clock::monotonic() + wait;
            while let Some(left) = end
                .checked_duration_since(clock::monotonic())
                .filter(|left| !left.is_zero())
            {
                self.tell(&mut lag);
                sleep(left.min(TELL)).await;
            }
        }
    }

    /// One connection: copies until it fails.
    async fn follow(
        &mut self,
        lag: &mut Lag,
        failures: &mut u32,
    ) -> Result<std::convert::Infallible, ReplicateError> {
        let end = *self.ends.committed.borrow();
        let mut session = Session::open(self, end).await?;
        let directory = Arc::clone(&self.directory.borrow_and_update());
        let copied = session.register(&self.gateway, &directory.registry).await?;
        self.count(&copied);
        session.tend(self).await?;
        self.set_connected(true);
        *failures = 0;
        self.publish(session.cursor.followed);
        tracing::info!("PostgreSQL is connected");
        let mut tended = clock::monotonic();
        loop {
            if tended.elapsed() >= TEND {
                session.tend(self).await?;
                tended = clock::monotonic();
            }
            if self.directory.has_changed().unwrap_or(false) {
                let directory = Arc::clone(&self.directory.borrow_and_update());
                let copied = session.register(&self.gateway, &directory.registry).await?;
                self.count(&copied);
            }
            self.ends.committed.mark_unchanged();
            let slice = self.reader.follow(session.cursor).await?;
            if slice.next == session.cursor {
                *lag = Lag::default();
                self.tell(lag);
                self.wait_for_news().await;
                if session.is_closed() {
                    return Err(ReplicateError::Closed);
                }
                continue;
            }
            lag.oldest = slice.oldest;
            self.tell(lag);
            let copied = session.copy(slice).await?;
            self.count(&copied);
            self.publish(session.cursor.followed);
        }
    }

    /// Returns when there is something to do, or may be.
    async fn wait_for_news(&mut self) {
        let news = async {
            tokio::select! {
                Ok(()) = self.ends.committed.changed() => {}
                Ok(()) = self.directory.changed() => self.directory.mark_changed(),
                else => std::future::pending().await,
            }
        };
        let woken = timeout(LONGEST_WAIT, news).await.is_ok();
        if woken && self.settings.durability == Durability::Local {
            sleep(self.limits.linger).await;
        }
    }

    fn publish(&self, followed: Followed) {
        self.ends.followed.send_replace(followed);
        if self.settings.durability == Durability::Replicated {
            // When its queue is full the writer is awake, and looks at how far this is after its next commit.
            let _ = self.work.try_send(Work::Followed);
        }
    }

    fn set_connected(&self, connected: bool) {
        self.metrics.replication_connected.set(i64::from(connected));
        if self.settings.durability == Durability::Replicated {
            self.health.set_replica_away(!connected);
        }
    }

    fn count(&self, copied: &Copied) {
        for (table, rows) in &copied.rows {
            self.metrics.replication_rows(table).inc_by(*rows);
        }
        for refused in &copied.refused {
            self.metrics.replication_refused(refused.table).inc();
            let (table, row, reason) = (refused.table, &refused.row, &refused.reason);
            tracing::error!(
                table,
                row,
                reason,
                "PostgreSQL refused a row; the table replica_refused has it"
            );
        }
    }

    /// Sets the gauge. Without a slice at hand, what is not copied counts from when that was noticed.
    fn tell(&self, lag: &mut Lag) {
        let now = clock::wall();
        if lag.oldest.is_none() && !self.ends.followed.borrow().covers(*self.ends.committed.borrow()) {
            lag.oldest = Some(now);
        }
        let millis = lag.oldest.map_or(0, |oldest| now.since(oldest).max(0));
        self.metrics.replication_lag.set(millis as f64 / 1_000.0);
    }
}

/// Since when something is not copied.
#[derive(Debug, Default)]
struct Lag {
    oldest: Option<Timestamp>,
}

/// The wait after one more failure: it doubles up to half a minute, less up to half of it at random, so that many
/// gateways do not come back to one server in step.
fn wait(failures: u32, entropy: u64) -> Duration {
    let doubled = FIRST_WAIT
        .saturating_mul(2_u32.saturating_pow(failures))
        .min(LONGEST_WAIT);
    let share = (entropy % 1024) as f64 / 2048.0;
    doubled.mul_f64(1.0 - share)
}

#[cfg(test)]
mod tests {
    use super::{FIRST_WAIT, LONGEST_WAIT, wait};

    #[test]
    fn waits_double_to_half_a_minute_and_are_cut_by_half_at_most() {
        assert_eq!(wait(0, 0), FIRST_WAIT);
        assert_eq!(wait(3, 0), FIRST_WAIT * 8);
        for failures in [8, 31, 32, u32::MAX] {
            assert_eq!(wait(failures, 0), LONGEST_WAIT);
            assert!(wait(failures, u64::MAX) >= LONGEST_WAIT / 2);
        }
    }
}
