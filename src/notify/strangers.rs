//! What is owed to targets that are not configured any more: its people are told through the next of their channels, and what
//! nobody can be told of is counted out to whoever reads the log. Sends nothing itself.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::Notify;
use super::schedule::failed::move_on;
use crate::clock::Clock;
use crate::handoff::Work;
use crate::handoff::outbox::OutboxWork;
use crate::store::{StoreError, StoreReader};

/// How often it is looked: quiet hours end, and the next channel may be gone too.
const EVERY: Duration = Duration::from_mins(1);

/// What is older is told to nobody any more, but counted out: its alarm is long over, or somebody has been told otherwise.
const RECENT_MS: i64 = 24 * 60 * 60 * 1_000;

/// How many notices are read from the store at a time.
const CHUNK: u32 = 64;

/// Looks after what targets of before are owed.
pub(super) struct Strangers {
    known: HashSet<String>,
    reader: StoreReader,
    work: mpsc::Sender<Work>,
    clock: Clock,
    /// How far the outbox was looked at, of each and its critical lines or others: nothing changes in what was.
    looked: HashMap<(String, bool), i64>,
    /// What was said to be left of each.
    left: HashMap<String, u64>,
}

impl Strangers {
    /// Has looked at nothing yet.
    pub(super) fn new(notify: &Notify) -> Strangers {
        Strangers {
            known: notify.targets.iter().map(|target| target.name.clone()).collect(),
            reader: notify.reader.clone(),
            work: notify.work.clone(),
            clock: notify.clock,
            looked: HashMap::new(),
            left: HashMap::new(),
        }
    }

    /// Works until told to stop or until nobody takes what it finds.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut tick = tokio::time::interval(EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let work = self.work.clone();
        let rounds = async {
            loop {
                tick.tick().await;
                if let Err(error) = self.look().await {
                    tracing::warn!(%error, "cannot read what targets of before are owed; trying again");
                }
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = work.closed() => {}
            () = rounds => {}
        }
    }

    async fn look(&mut self) -> Result<(), StoreError> {
        for (name, owed) in self.reader.owing().await? {
            if self.known.contains(&name) {
                continue;
            }
            let moved = self.move_all(&name).await?;
            if moved > 0 {
                tracing::warn!(target_name = %name, notices = moved, "the target is not configured any more: its people are told through others");
            }
            let left = owed.saturating_sub(moved);
            if left > 0 && self.left.insert(name.clone(), left) != Some(left) {
                tracing::error!(target_name = %name, notices = left, "notices wait for a target that is not configured, and nobody gets them: configure it again, or look at /api/v1/deliveries?target= and tell whom they were for");
            }
        }
        Ok(())
    }

    /// How many notices nobody waits for at `target` any more, because their people are told otherwise.
    async fn move_all(&mut self, target: &str) -> Result<u64, StoreError> {
        self.hand_over(OutboxWork::Release {
            target: target.to_owned(),
            refused: usize::MAX,
        })
        .await;
        let mut gone = 0;
        for critical in [true, false] {
            let lane = (target.to_owned(), critical);
            let mut after = self.looked.get(&lane).copied().unwrap_or(0);
            loop {
                let rows = self
                    .reader
                    .pending_notices((target, critical), after, CHUNK)
                    .await?;
                let Some(last) = rows.last().map(|notice| notice.row) else {
                    break;
                };
                after = last;
                let now = self.clock.now().wall;
                let mut moved = Vec::new();
                for mut notice in rows
                    .into_iter()
                    .filter(|notice| now.since(notice.created_at) <= RECENT_MS)
                {
                    gone += u64::from(move_on(&mut notice, &mut moved));
                }
                if !moved.is_empty() {
                    self.hand_over(OutboxWork::Move {
                        target: target.to_owned(),
                        at: now,
                        moved,
                    })
                    .await;
                }
                self.looked.insert(lane.clone(), after);
            }
        }
        Ok(gone)
    }

    /// Once nobody takes it any more, the gateway ends, and the next start looks again.
    async fn hand_over(&self, work: OutboxWork) {
        let _ended = self.work.send(Work::Outbox(work)).await;
    }
}
