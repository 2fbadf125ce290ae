//! How the values of one simulated device move, and what it says of them in the native form. Pure.

use super::dice::Dice;
use crate::domain::time::Timestamp;

/// Time from the start of a leak until its peak, in milliseconds.
const LEAK_RISE: f64 = 7_000.0;
/// When the venue's own hard-wired interlock has closed the valve and the air begins to clear.
const LEAK_TURN: f64 = 9_000.0;
/// Time in which an aired room loses all but 37 % of its gas.
const LEAK_AIRING: f64 = 3_500.0;
/// When nothing of a leak is left.
pub const LEAK_OVER: i64 = 30_000;
/// When the interlock closes the valve, after the start of the leak.
pub const VALVE_CLOSES: i64 = 8_000;
/// When somebody opens it again by hand.
pub const VALVE_OPENS: i64 = 75_000;

/// A gas leak at one detector.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Leak {
    /// When it began.
    pub since: Timestamp,
    /// The highest concentration it reaches, in %LEL.
    pub peak: f64,
}

impl Leak {
    /// What it adds to the air at `now`, in %LEL: up through the alarm levels, a short plateau, then down.
    pub fn level(&self, now: Timestamp) -> f64 {
        let age = now.since(self.since).max(0) as f64;
        if age < LEAK_RISE {
            let part = age / LEAK_RISE;
            self.peak * part * part * (3.0 - 2.0 * part)
        } else if age < LEAK_TURN {
            self.peak
        } else {
            self.peak * (-(age - LEAK_TURN) / LEAK_AIRING).exp()
        }
    }
}

/// The air at a gas detector.
#[derive(Debug, Clone)]
pub struct Air {
    base: f64,
    temperature: f64,
    battery: i64,
    phase: f64,
}

impl Air {
    /// Somewhere in a kitchen.
    pub fn new(dice: &mut Dice) -> Air {
        Air {
            base: dice.between(0.6, 2.6),
            temperature: dice.between(17.0, 28.0),
            battery: dice.whole(61, 100),
            phase: dice.between(0.0, std::f64::consts::TAU),
        }
    }

    /// What the detector says at `now`. It breathes: cooking and opened doors move it by about one %LEL.
    pub fn telemetry(&self, now: Timestamp, leak: Option<&Leak>, dice: &mut Dice) -> Vec<u8> {
        let minutes = now.0 as f64 / 60_000.0;
        let breath = 0.5 * (minutes * 2.1 + self.phase).sin() + dice.between(-0.25, 0.25);
        let lel = (self.base + breath).max(0.0) + leak.map_or(0.0, |leak| leak.level(now));
        let temperature = self.temperature + 0.6 * (minutes * 0.4 + self.phase).cos();
        format!(
            r#"{{"ts":{},"lel":{:.1},"temperature":{temperature:.1},"battery":{},"state":"normal"}}"#,
            now.0,
            lel.min(100.0),
            self.battery
        )
        .into_bytes()
    }
}

/// What the lying detector sends: in turn every sort of nonsense that devices in the field have been seen to
/// send, then a stretch of one value that never moves.
pub fn lie(turn: usize, now: Timestamp) -> Vec<u8> {
    let ts = now.0;
    match turn % 12 {
        0 => format!(r#"{{"ts":{ts},"lel":NaN}}"#).into_bytes(),
        1 => format!(r#"{{"ts":{ts},"lel":12.4,"temper"#).into_bytes(),
        2 => format!(r#"{{"ts":{ts},"lel":"soon"}}"#).into_bytes(),
        3 => format!(r#"{{"ts":{ts},"lel":-4000}}"#).into_bytes(),
        4 => format!(r#"{{"ts":{ts},"lel":3.0,"lel":88.0}}"#).into_bytes(),
        5 => vec![0xff, 0xfe, 0x00, 0x42],
        _ => format!(r#"{{"ts":{ts},"lel":4.0,"temperature":21.0,"battery":77,"state":"normal"}}"#)
            .into_bytes(),
    }
}

/// What a shutoff valve says.
pub fn valve(position: &str, now: Timestamp) -> Vec<u8> {
    format!(
        r#"{{"ts":{},"position":"{position}","battery":93,"fault":false}}"#,
        now.0
    )
    .into_bytes()
}

/// Where the valve of a venue stands, `age` milliseconds after the start of its last leak.
pub const fn valve_position(age: Option<i64>) -> &'static str {
    match age {
        Some(age) if age >= VALVE_CLOSES && age < VALVE_CLOSES + 1_000 => "moving",
        Some(age) if age >= VALVE_CLOSES && age < VALVE_OPENS => "closed",
        Some(_) | None => "open",
    }
}

/// An e-bike charging port. A charge takes one to three minutes here, not hours, so that a viewer sees the
/// whole of it.
#[derive(Debug, Clone)]
pub struct Port {
    charge: Charge,
    ambient: f64,
}

#[derive(Debug, Clone, Copy)]
enum Charge {
    Idle { until: Timestamp },
    Charging { since: Timestamp, lasts: i64, peak: f64 },
    Full { since: Timestamp, until: Timestamp },
}

impl Port {
    /// A free port.
    pub fn new(now: Timestamp, dice: &mut Dice) -> Port {
        Port {
            charge: Charge::Idle {
                until: Timestamp(now.0 + dice.whole(0, 60_000)),
            },
            ambient: dice.between(14.0, 24.0),
        }
    }

    /// What the port says at `now`.
    pub fn telemetry(&mut self, now: Timestamp, dice: &mut Dice) -> Vec<u8> {
        self.charge = next_charge(self.charge, now, dice);
        let (state, power, session) = match self.charge {
            Charge::Idle { .. } => ("idle", 0.0, 0),
            Charge::Charging { since, lasts, peak } => {
                let age = now.since(since);
                let part = age as f64 / lasts as f64;
                // Constant current for the first two thirds, then the battery takes less and less.
                let taper = ((1.0 - part) * 3.0).clamp(0.04, 1.0);
                ("charging", peak * taper + dice.between(-2.0, 2.0), age / 1_000)
            }
            Charge::Full { since, .. } => ("full", 3.0, now.since(since) / 1_000),
        };
        let voltage = 228.0 + dice.between(-4.0, 4.0);
        let power = f64::max(power, 0.0);
        format!(
            r#"{{"ts":{},"state":"{state}","power":{power:.1},"current":{:.3},"voltage":{voltage:.1},"temperature":{:.1},"residual":{:.1},"smoke":false,"session_s":{session}}}"#,
            now.0,
            power / voltage,
            self.ambient + power / 25.0,
            dice.between(0.4, 1.6),
        )
        .into_bytes()
    }
}

fn next_charge(charge: Charge, now: Timestamp, dice: &mut Dice) -> Charge {
    match charge {
        Charge::Idle { until } if now >= until => Charge::Charging {
            since: now,
            lasts: dice.whole(60_000, 180_000),
            peak: dice.between(90.0, 360.0),
        },
        Charge::Charging { since, lasts, .. } if now.since(since) >= lasts => Charge::Full {
            since,
            until: Timestamp(now.0 + dice.whole(8_000, 25_000)),
        },
        Charge::Full { until, .. } if now >= until => {
            // Riders plug in when they come home: at night a free port is soon taken.
            let free = if is_night(now) {
                dice.whole(5_000, 40_000)
            } else {
                dice.whole(60_000, 300_000)
            };
            Charge::Idle {
                until: Timestamp(now.0 + free),
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
    use super::{LEAK_OVER, Leak, is_night, valve_position};
    use crate::domain::time::Timestamp;

    #[test]
    fn a_leak_passes_every_alarm_level_and_is_gone_when_it_is_over() {
        let leak = Leak {
            since: Timestamp(0),
            peak: 60.0,
        };
        let first_above = |level: f64| (0..LEAK_OVER).find(|at| leak.level(Timestamp(*at)) >= level);
        assert!(first_above(10.0) < first_above(25.0));
        assert!(first_above(25.0) < first_above(50.0));
        assert!(first_above(50.0).is_some());
        assert!(leak.level(Timestamp(17_000)) < 15.0);
        assert!(leak.level(Timestamp(LEAK_OVER)) < 0.5);
    }

    #[test]
    fn the_valve_closes_after_a_leak_and_is_opened_again_by_hand() {
        let positions = [None, Some(0), Some(8_500), Some(20_000), Some(80_000)].map(valve_position);
        assert_eq!(positions, ["open", "open", "moving", "closed", "open"]);
    }

    #[test]
    fn night_is_reckoned_in_china() {
        assert!(is_night(Timestamp(15 * 3_600_000)), "23:00 in China");
        assert!(!is_night(Timestamp(2 * 3_600_000)), "10:00 in China");
    }
}
