//! A value that rises, stays and ebbs away: gas in a room, the heat of a fire. Pure.

use crate::domain::time::{Millis, Ticks};

/// Time in which an aired room loses all but 37 % of its gas, in milliseconds.
const AIRING: f64 = 3_500.0;
/// What is left when nobody can measure it any more.
const TRACE: f64 = 0.3;

/// It rises from nothing to a peak, stays there, and ebbs once its cause is gone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Swell {
    since: Ticks,
    rise: Millis,
    peak: f64,
    ebb: Option<(Ticks, f64)>,
}

impl Swell {
    /// One that begins now.
    pub const fn new(since: Ticks, rise: Millis, peak: f64) -> Swell {
        Swell {
            since,
            rise,
            peak,
            ebb: None,
        }
    }

    /// How much there is at `now`: smoothly up, a plateau, then down.
    pub fn level(&self, now: Ticks) -> f64 {
        if let Some((from, level)) = self.ebb {
            return level * (-(now.since(from).0 as f64) / AIRING).exp();
        }
        let part = now.since(self.since).0 as f64 / self.rise.0.max(1) as f64;
        let part = part.min(1.0);
        self.peak * part * part * (3.0 - 2.0 * part)
    }

    /// Its cause is gone. What ebbs already goes on ebbing.
    pub fn ebb(&mut self, now: Ticks) {
        self.ebb = self.ebb.or(Some((now, self.level(now))));
    }

    /// Whether nothing of it is left.
    pub fn is_over(&self, now: Ticks) -> bool {
        self.ebb.is_some() && self.level(now) < TRACE
    }
}

#[cfg(test)]
mod tests {
    use super::Swell;
    use crate::domain::time::{Millis, Ticks};

    #[test]
    fn it_rises_stays_and_ebbs_from_where_it_was() {
        let mut swell = Swell::new(Ticks(1_000), Millis(7_000), 60.0);
        for (at, level) in [(1_000, 0.0), (4_500, 30.0), (8_000, 60.0), (90_000, 60.0)] {
            assert!((swell.level(Ticks(at)) - level).abs() < 1e-9, "{at}");
        }
        let mut cut = swell;
        cut.ebb(Ticks(4_500));
        assert!((cut.level(Ticks(4_500)) - 30.0).abs() < 1e-9);
        assert!((cut.level(Ticks(8_000)) - 30.0 / std::f64::consts::E).abs() < 1e-9);
        cut.ebb(Ticks(8_000));
        assert!(cut.level(Ticks(8_001)) < 12.0, "it goes on from its first ebb");
        assert!(!swell.is_over(Ticks(900_000)));
        swell.ebb(Ticks(10_000));
        assert!(!swell.is_over(Ticks(20_000)) && swell.is_over(Ticks(40_000)));
    }

    #[test]
    fn without_a_rise_it_is_there_at_once() {
        let swell = Swell::new(Ticks(5), Millis(0), 80.0);
        assert!((swell.level(Ticks(6)) - 80.0).abs() < 1e-9);
    }
}
