//! The only file that reads a clock. Makes the [`Moment`]s that everything else is given.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::domain::time::{Moment, Ticks, Timestamp};

/// The process's clock: the wall as it is, and gateway time, which goes on from where the last run stopped.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    started: Instant,
    started_ticks: Ticks,
}

impl Clock {
    /// A clock whose gateway time starts at zero: for the first start and for tests.
    pub fn new() -> Clock {
        Clock::resuming(None)
    }

    /// A clock that continues after the last recorded moment. The downtime counts as the wall clock has it; a
    /// wall clock that went backwards meanwhile counts as no time.
    pub fn resuming(last: Option<Moment>) -> Clock {
        Clock {
            started: monotonic(),
            started_ticks: resumed_ticks(last, wall()),
        }
    }

    /// Now, on both clocks.
    pub fn now(&self) -> Moment {
        Moment {
            wall: wall(),
            ticks: self.ticks(),
        }
    }

    /// Gateway time now.
    pub fn ticks(&self) -> Ticks {
        let elapsed = monotonic().saturating_duration_since(self.started);
        Ticks(
            self.started_ticks
                .0
                .saturating_add(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)),
        )
    }

    /// How long to wait from now until `deadline`.
    pub fn until(&self, deadline: Ticks) -> Duration {
        Duration::from_millis(deadline.since(self.ticks()).0)
    }
}

impl Default for Clock {
    fn default() -> Clock {
        Clock::new()
    }
}

/// The gateway time at which a run begins whose predecessor's last recorded moment was `last`.
pub fn resumed_ticks(last: Option<Moment>, wall: Timestamp) -> Ticks {
    last.map_or(Ticks(0), |last| {
        let downtime = wall.since(last.wall).max(0).unsigned_abs();
        Ticks(last.ticks.0.saturating_add(downtime))
    })
}

/// The wall clock now.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the wall clock"
)]
pub fn wall() -> Timestamp {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    Timestamp(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}

/// The monotonic clock now: for measuring how long something took.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the monotonic clock"
)]
pub fn monotonic() -> Instant {
    Instant::now()
}
