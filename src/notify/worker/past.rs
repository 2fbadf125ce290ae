//! What a worker takes up again: the limits and the silence of its target, which a restart must not forget, and what the
//! target had refused.

use super::{Cursor, Worker, after};
use crate::domain::time::{Millis, Ticks, Timestamp};
use crate::handoff::outbox::OutboxWork;
use crate::notify::parcel::LONGEST_SILENCE;
use crate::notify::schedule::refused::AGAIN;
use crate::notify::target::Target;

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
        match self.reader.refused(&self.name).await {
            Ok(refused) => self.schedule.refused().remember(refused),
            Err(error) => {
                tracing::warn!(target_name = %self.name, %error, "cannot count what was refused");
            }
        }
        self.show_refused();
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

    /// What was refused too often is held back in the store: whoever runs the target may mend it meanwhile. A clock that is put
    /// back lets it wait an hour longer at the most.
    pub(super) fn put_away(&mut self) {
        let notices = self.schedule.refused().take_leaving();
        if !notices.is_empty() {
            let until = after(self.clock.now().wall, AGAIN);
            self.reports.push_back(OutboxWork::PutAway { notices, until });
        }
        self.show_refused();
    }

    /// How many of those may be released: no more than can be kept in memory once everything is read.
    pub(super) fn room_for_refused(&mut self) -> usize {
        let unread = |cursor: &Cursor| cursor.reading || cursor.read_at.is_some();
        if unread(&self.critical) || unread(&self.others) {
            return 0;
        }
        self.schedule.refused().room()
    }

    pub(super) fn show_refused(&mut self) {
        let refused = i64::try_from(self.schedule.refused().count());
        self.refused.set(refused.unwrap_or(i64::MAX));
    }
}
