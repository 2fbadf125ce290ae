//! What a worker takes up again: the limits and the silence of its target, which a restart must not forget, and what the
//! target had refused.

use super::{Done, Running, Worker};
use crate::domain::time::{Millis, Ticks, Timestamp};
use crate::notify::parcel::LONGEST_SILENCE;
use crate::notify::target::Target;
use crate::store::{PendingNotice, StoreError};

impl<T: Target> Worker<T> {
    /// What went out before a restart counts within the target's limits, and what it asked for then still holds.
    pub(super) async fn remember(&mut self) {
        let now = self.clock.now();
        let since = |span: Millis| Timestamp(now.wall.0.saturating_sub_unsigned(span.0));
        match self
            .reader
            .silence(&self.name, since(LONGEST_SILENCE), now.wall)
            .await
        {
            Ok(None) => {}
            Ok(Some(left)) => {
                tracing::info!(target_name = %self.name, wait_ms = left.0, "the target wanted nothing for a while, and still does not");
                self.schedule.silence(now.ticks.after(left));
            }
            Err(error) => {
                tracing::warn!(target_name = %self.name, %error, "cannot read whether the target wanted nothing; it may be disturbed");
            }
        }
        let Some(longest) = self.manners.limits.iter().map(|limit| limit.window).max() else {
            return;
        };
        match self.reader.sent_since(&self.name, since(longest)).await {
            Ok(sent) => {
                for at in sent {
                    let age = now.wall.since(at).clamp(0, i64::MAX).unsigned_abs();
                    self.schedule.remember(Ticks(now.ticks.0.saturating_sub(age)));
                }
            }
            Err(error) => {
                tracing::warn!(target_name = %self.name, %error, "cannot read what was sent last; its limits may be met");
            }
        }
    }

    /// What was put away is tried once more now and then: whoever runs the target may have mended it.
    pub(super) fn start_again(&mut self, now: Ticks, running: &Running) {
        let rows = self.schedule.refused().take_again(now);
        if rows.is_empty() {
            return;
        }
        let reader = self.reader.clone();
        running.push(Box::pin(async move {
            let read = reader.owed(rows.clone()).await;
            Done::Again(rows, read)
        }));
    }

    /// Takes it in, as far as it is owed still.
    pub(super) fn take_in_again(&mut self, rows: Vec<i64>, read: Result<Vec<PendingNotice>, StoreError>) {
        let now = self.clock.ticks();
        match read {
            Ok(notices) => {
                for notice in notices {
                    self.schedule.admit_again(notice, now);
                }
            }
            Err(error) => {
                self.schedule.refused().give_back(rows, now);
                tracing::warn!(target_name = %self.name, %error, "cannot read what was refused; trying again");
            }
        }
        self.show_refused();
    }

    pub(super) fn show_refused(&mut self) {
        let refused = i64::try_from(self.schedule.refused().count());
        self.refused.set(refused.unwrap_or(i64::MAX));
    }
}
