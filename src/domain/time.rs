//! Instants as the core sees them. It never reads a clock: `clock.rs` makes a [`Moment`] and hands it in.

use serde::{Deserialize, Serialize};

/// A wall-clock instant: milliseconds since 1970-01-01T00:00:00Z. For display, records and device clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// RFC 3339 in UTC with milliseconds, for example `2026-01-01T00:00:00.000Z`.
    pub fn to_rfc3339(self) -> String {
        jiff::Timestamp::from_millisecond(self.0).map_or_else(|_| self.0.to_string(), |at| format!("{at:.3}"))
    }

    /// Milliseconds from `earlier` to `self`; negative when `earlier` is the later one.
    pub const fn since(self, earlier: Timestamp) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Gateway time: milliseconds that only ever go forward, across restarts too. Every timer runs on it, so a
/// wall-clock jump neither fires nor holds one (DESIGN §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ticks(pub u64);

impl Ticks {
    /// `self` plus `duration`, saturating.
    #[must_use]
    pub const fn after(self, duration: Millis) -> Ticks {
        Ticks(self.0.saturating_add(duration.0))
    }

    /// Time from `earlier` to `self`; zero when `earlier` is the later one.
    pub const fn since(self, earlier: Ticks) -> Millis {
        Millis(self.0.saturating_sub(earlier.0))
    }
}

/// A length of time in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millis(pub u64);

impl Millis {
    /// No time at all.
    pub const ZERO: Millis = Millis(0);

    /// A length of time as people write it: a whole number and a unit, `500ms`, `30s`, `5m`, `2h`, `7d`. `None` for
    /// anything else, and for more than 64 bits of milliseconds.
    pub fn parse(text: &str) -> Option<Millis> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at_checked(digits)?;
        let unit: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        number.parse::<u64>().ok()?.checked_mul(unit).map(Millis)
    }
}

/// How far a device's clock may be from the gateway's and still be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockBounds {
    /// How far ahead.
    pub max_ahead: Millis,
    /// How far behind, at most [`ClockBounds::MOST_BEHIND`].
    pub max_behind: Millis,
}

impl ClockBounds {
    /// The farthest behind that a clock may be allowed to be: 30 days.
    pub const MOST_BEHIND: Millis = Millis(30 * 86_400_000);

    /// What a device says at `now` about the time, and whether that is believed.
    pub fn judge(self, at: Timestamp, now: Timestamp) -> DeviceTime {
        let bound = if at < now { self.max_behind } else { self.max_ahead };
        DeviceTime {
            at,
            believed: at.0.abs_diff(now.0) <= bound.0,
        }
    }
}

/// A minute ahead; a day behind: an unset clock (1970) is not a late sample.
impl Default for ClockBounds {
    fn default() -> ClockBounds {
        ClockBounds {
            max_ahead: Millis(60_000),
            max_behind: Millis(86_400_000),
        }
    }
}

/// When a device says that it took a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceTime {
    /// What it says.
    pub at: Timestamp,
    /// Whether that was within its profile's [`ClockBounds`] when it came.
    pub believed: bool,
}

/// One instant on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Moment {
    /// What the wall clock said.
    pub wall: Timestamp,
    /// What gateway time said.
    pub ticks: Ticks,
}

#[cfg(test)]
mod tests {
    use super::{ClockBounds, Millis, Timestamp};

    #[test]
    fn a_device_is_believed_within_its_bounds() {
        let usual = ClockBounds::default();
        let none = ClockBounds {
            max_ahead: Millis(0),
            max_behind: Millis(0),
        };
        for (bounds, off, believed) in [
            (usual, 60_000, true),
            (usual, 60_001, false),
            (usual, -86_400_000, true),
            (usual, -86_400_001, false),
            (none, 0, true),
            (none, 1, false),
            (none, -1, false),
        ] {
            let now = Timestamp(1_767_225_600_000);
            let seen = bounds.judge(Timestamp(now.0 + off), now);
            assert_eq!(seen.believed, believed, "{bounds:?} {off}");
        }
        for (at, now) in [(i64::MIN, i64::MAX), (i64::MAX, i64::MIN)] {
            assert!(!usual.judge(Timestamp(at), Timestamp(now)).believed);
        }
    }
}
