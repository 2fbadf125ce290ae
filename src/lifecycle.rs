//! Tasks with names and a way to stop, and what the process knows of its own health. Decides nothing.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::handoff::{StoreCondition, StoreTrouble};

/// The tasks of the process. Each is told to stop through the token; one that ends unasked ends the process.
#[derive(Debug, Default)]
pub struct Tasks {
    tasks: JoinSet<(&'static str, anyhow::Result<()>)>,
    stop: CancellationToken,
}

impl Tasks {
    /// No tasks yet.
    pub fn new() -> Tasks {
        Tasks::default()
    }

    /// The token that is cancelled when the process stops.
    pub fn stopping(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Starts `task` under `name`.
    pub fn spawn<F>(&mut self, name: &'static str, task: F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        self.tasks.spawn(async move { (name, task.await) });
    }

    /// Waits for the next task to end: its name and outcome. `None` when there is none left.
    pub async fn next_ended(&mut self) -> Option<Result<(&'static str, anyhow::Result<()>), JoinError>> {
        self.tasks.join_next().await
    }

    /// Tells every task to stop.
    pub fn stop(&self) {
        self.stop.cancel();
    }
}

/// What `/-/ready` answers from. Each part writes its own flag.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<Flags>);

#[derive(Debug, Default)]
struct Flags {
    broker: watch::Sender<bool>,
    store: AtomicBool,
    condition: watch::Sender<StoreCondition>,
    tries: AtomicU64,
    /// Since when the writer waits for the disk.
    committing: watch::Sender<Option<Instant>>,
    /// Set only where acknowledgements wait for PostgreSQL.
    replica_away: AtomicBool,
}

impl Health {
    /// Nothing is up yet.
    pub fn new() -> Health {
        Health::default()
    }

    /// The broker session is up, or not.
    pub fn set_broker(&self, up: bool) {
        self.0.broker.send_replace(up);
    }

    /// The store takes commits, or does not.
    pub fn set_store(&self, up: bool) {
        self.0.store.store(up, Ordering::Relaxed);
    }

    /// PostgreSQL, which acknowledgements wait for, is away, or not.
    pub fn set_replica_away(&self, away: bool) {
        self.0.replica_away.store(away, Ordering::Relaxed);
    }

    /// Whether PostgreSQL is away, and acknowledgements wait for it.
    pub fn replica_away(&self) -> bool {
        self.0.replica_away.load(Ordering::Relaxed)
    }

    /// Whether the broker session is up.
    pub fn broker(&self) -> bool {
        *self.0.broker.borrow()
    }

    /// Follows whether the broker session is up.
    pub fn follow_broker(&self) -> watch::Receiver<bool> {
        self.0.broker.subscribe()
    }

    /// Whether the store takes commits.
    pub fn store(&self) -> bool {
        self.0.store.load(Ordering::Relaxed)
    }

    /// The store's condition is this from now on.
    pub fn set_store_condition(&self, condition: StoreCondition) {
        self.0.condition.send_if_modified(|known| {
            let changed = *known != condition;
            *known = condition;
            changed
        });
    }

    /// The writer turns to the disk.
    pub fn commit_begins(&self, now: Instant) {
        self.0.committing.send_replace(Some(now));
    }

    /// The disk has answered, whatever it said.
    pub fn commit_ends(&self) {
        self.0.committing.send_replace(None);
    }

    /// Notes that the writer is stuck when it has waited for the disk for `patience`: it cannot say so itself.
    pub fn notice_stuck(&self, patience: Duration) {
        let stuck = self
            .0
            .committing
            .borrow()
            .is_some_and(|since| since.elapsed() >= patience);
        if stuck {
            self.set_store(false);
            let condition = StoreCondition {
                failed: Some(StoreTrouble::Stuck),
                ..self.store_condition()
            };
            self.set_store_condition(condition);
        }
    }

    /// The store's condition.
    pub fn store_condition(&self) -> StoreCondition {
        *self.0.condition.borrow()
    }

    /// Follows the store's condition.
    pub fn follow_store(&self) -> watch::Receiver<StoreCondition> {
        self.0.condition.subscribe()
    }

    /// The writer has tried a commit once more in vain: it is stuck on its disk, and alive.
    pub fn count_failed_try(&self) {
        self.0.tries.fetch_add(1, Ordering::Relaxed);
    }

    /// How often the writer has tried a commit in vain.
    pub fn failed_tries(&self) -> u64 {
        self.0.tries.load(Ordering::Relaxed)
    }
}
