//! How an e-bike charging port behaves: it is taken, charges, is full, is free again; and what a cut relay does. Pure.

use super::body::{Points, Said};
use super::dice::Dice;
use super::swell::Swell;
use crate::domain::time::{Millis, Moment, Ticks, Timestamp};

/// What a session that never ends has on its clock when it is first seen: past ten hours, in seconds.
const ENDLESS: i64 = 36_060;
/// What a charger draws that does not stop, in watts.
const ENDLESS_POWER: f64 = 180.0;

/// A charging port. A charge takes one to three minutes here, not hours, so that a viewer sees the whole of it.
#[derive(Debug, Clone)]
pub struct Port {
    charge: Charge,
    ambient: f64,
    /// The relay was told to open, and nobody has reset the port since.
    cut: bool,
    /// A burning contact or battery, in ℃ above the rest.
    pub heat: Option<Swell>,
    /// Smoke is seen.
    pub smoke: bool,
    /// Since when it charges without an end.
    pub endless: Option<Ticks>,
}

#[derive(Debug, Clone, Copy)]
enum Charge {
    Idle { until: Ticks },
    Charging { since: Ticks, lasts: u64, peak: f64 },
    Full { since: Ticks, until: Ticks },
}

impl Port {
    /// A port that is free for a while.
    pub fn new(dice: &mut Dice) -> Port {
        Port {
            charge: Charge::Idle {
                until: Ticks(dice.millis(0, 60_000)),
            },
            ambient: dice.between(14.0, 24.0),
            cut: false,
            heat: None,
            smoke: false,
            endless: None,
        }
    }

    /// Whether its power is cut.
    pub const fn is_cut(&self) -> bool {
        self.cut
    }

    /// The relay opens. Unless it is `welded`, that ends what the power fed.
    pub fn cut(&mut self, now: Ticks, welded: bool) {
        self.cut = true;
        if welded {
            return;
        }
        self.endless = None;
        if let Some(heat) = &mut self.heat {
            heat.ebb(now);
        }
    }

    /// Somebody resets it: it is free.
    pub fn reset(&mut self, now: Ticks) {
        self.cut = false;
        self.charge = Charge::Idle {
            until: now.after(Millis(5_000)),
        };
    }

    /// What it measures at `now`.
    pub fn points(&mut self, now: Moment, (faulty, welded): (bool, bool), dice: &mut Dice) -> Points {
        self.charge = next_charge(self.charge, now, dice);
        let (state, power, session) = self.load(now.ticks, welded, dice);
        let state = if faulty { "fault" } else { state };
        let power = f64::max(power, 0.0);
        let voltage = 228.0 + dice.between(-4.0, 4.0);
        let heat = self.heat.map_or(0.0, |heat| heat.level(now.ticks));
        vec![
            ("state", Said::Word(state)),
            ("power", Said::tenths(power)),
            ("current", Said::thousandths(power / voltage)),
            ("voltage", Said::tenths(voltage)),
            ("temperature", Said::tenths(self.ambient + power / 25.0 + heat)),
            ("residual", Said::tenths(dice.between(0.4, 1.6))),
            ("smoke", Said::Flag(self.smoke)),
            ("session_s", Said::Number(session as f64)),
        ]
    }

    /// State, power in watts, seconds of the session.
    fn load(&self, now: Ticks, welded: bool, dice: &mut Dice) -> (&'static str, f64, i64) {
        let seconds = |since: Ticks| i64::try_from(now.since(since).0 / 1_000).unwrap_or(i64::MAX);
        let (state, power, session) = match (self.endless, self.charge) {
            (Some(since), _) => (
                "charging",
                ENDLESS_POWER + dice.between(-2.0, 2.0),
                ENDLESS + seconds(since),
            ),
            (None, Charge::Idle { .. }) => ("idle", 0.0, 0),
            (None, Charge::Charging { since, lasts, peak }) => {
                let part = now.since(since).0 as f64 / lasts as f64;
                // Constant current for the first two thirds, then the battery takes less and less.
                let taper = ((1.0 - part) * 3.0).clamp(0.04, 1.0);
                ("charging", peak * taper + dice.between(-2.0, 2.0), seconds(since))
            }
            (None, Charge::Full { since, .. }) => ("full", 3.0, seconds(since)),
        };
        match (self.cut, welded) {
            (false, _) => (state, power, session),
            (true, false) => ("idle", 0.0, 0),
            (true, true) => ("idle", f64::max(power, ENDLESS_POWER), 0),
        }
    }
}

fn next_charge(charge: Charge, now: Moment, dice: &mut Dice) -> Charge {
    match charge {
        Charge::Idle { until } if now.ticks >= until => Charge::Charging {
            since: now.ticks,
            lasts: dice.millis(60_000, 180_000),
            peak: dice.between(90.0, 360.0),
        },
        Charge::Charging { since, lasts, .. } if now.ticks.since(since).0 >= lasts => Charge::Full {
            since,
            until: now.ticks.after(Millis(dice.millis(8_000, 25_000))),
        },
        Charge::Full { until, .. } if now.ticks >= until => {
            // Riders plug in when they come home: at night a free port is soon taken.
            let free = if is_night(now.wall) {
                dice.millis(5_000, 40_000)
            } else {
                dice.millis(60_000, 300_000)
            };
            Charge::Idle {
                until: now.ticks.after(Millis(free)),
            }
        }
        Charge::Idle { .. } | Charge::Charging { .. } | Charge::Full { .. } => charge,
    }
}

/// Whether it is night, 20:00 to 07:00, in China (UTC+8, no summer time).
fn is_night(now: Timestamp) -> bool {
    let hour = (now.0.div_euclid(3_600_000) + 8).rem_euclid(24);
    !(7..20).contains(&hour)
}

#[cfg(test)]
mod tests {
    use super::{Port, is_night};
    use crate::domain::time::{Moment, Ticks, Timestamp};
    use crate::simulate::body::Said;
    use crate::simulate::dice::Dice;

    #[test]
    fn night_is_reckoned_in_china() {
        assert!(is_night(Timestamp(15 * 3_600_000)), "23:00 in China");
        assert!(!is_night(Timestamp(2 * 3_600_000)), "10:00 in China");
    }

    #[test]
    fn a_cut_port_is_idle_and_without_power_and_a_welded_one_is_not() {
        for (welded, without_power) in [(false, true), (true, false)] {
            let mut dice = Dice::new(1);
            let mut port = Port::new(&mut dice);
            port.endless = Some(Ticks(0));
            port.cut(Ticks(10), welded);
            let now = Moment {
                ticks: Ticks(20),
                ..Moment::default()
            };
            let points = port.points(now, (false, welded), &mut dice);
            assert_eq!(points[0], ("state", Said::Word("idle")));
            assert_eq!(points[1].1 == Said::Number(0.0), without_power, "{points:?}");
        }
    }
}
