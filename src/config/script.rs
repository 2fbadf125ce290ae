//! What may befall a simulated town: incidents, at whom, when and for how long. The nouns of `--script` files.

use crate::domain::device::DeviceKey;
use crate::domain::time::Millis;

/// One thing that happens to one device.
#[derive(Debug, Clone, PartialEq)]
pub struct Incident {
    /// When it begins, after the start.
    pub at: Millis,
    /// How long it stays, if no command ends it earlier.
    pub lasts: Millis,
    /// Whom it befalls.
    pub device: DeviceKey,
    /// What it is.
    pub what: Happening,
}

/// Which profile a device, or all devices of a venue, speak.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Speaks {
    /// The venue.
    pub venue: String,
    /// The device; `None`: all of the venue.
    pub device: Option<String>,
    /// The profile's name.
    pub profile: String,
}

impl Speaks {
    /// Whether it is said of `key`.
    pub fn is_about(&self, key: &DeviceKey) -> bool {
        self.venue == key.venue && self.device.as_ref().is_none_or(|device| *device == key.device)
    }
}

/// As long as anything goes on.
pub const FOREVER: Millis = Millis(u64::MAX / 2);

/// Every happening by its word, as scripts write it; those that swell with what they grow to when the script is silent.
pub(super) const WORDS: [(&str, Happening); 12] = [
    (
        "gas_leak",
        Happening::GasLeak {
            rise: Millis(7_000),
            peak: 60.0,
        },
    ),
    (
        "fire",
        Happening::Fire {
            rise: Millis(10_000),
            peak: 60.0,
        },
    ),
    (
        "overheat",
        Happening::Overheat {
            rise: Millis(10_000),
            peak: 75.0,
        },
    ),
    ("overcharge", Happening::Overcharge),
    ("water", Happening::Water),
    ("ebike", Happening::Ebike),
    ("offline", Happening::Offline),
    ("mute", Happening::Mute),
    ("lie", Happening::Lie),
    ("fault", Happening::Fault),
    ("stuck", Happening::Stuck),
    ("welded", Happening::Welded),
];

/// What can happen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Happening {
    /// Gas at a detector: up to `peak` %LEL within `rise`; it ebbs away once the venue's valve is closed.
    GasLeak {
        /// From the first trace to the peak.
        rise: Millis,
        /// In %LEL.
        peak: f64,
    },
    /// Smoke, and up to `peak` ℃ within `rise`: at a smoke detector, a charging port or a swap cabinet.
    Fire {
        /// From the first smoke to the peak.
        rise: Millis,
        /// In ℃.
        peak: f64,
    },
    /// A contact of a charging port burns: up to `peak` ℃ within `rise`, until its power is cut.
    Overheat {
        /// From the first warmth to the peak.
        rise: Millis,
        /// In ℃.
        peak: f64,
    },
    /// A port charges on and on, until its power is cut.
    Overcharge,
    /// Water in a swap cabinet.
    Water,
    /// An e-bike in the lift.
    Ebike,
    /// The connection breaks without a word: the broker publishes the last will.
    Offline,
    /// Connected, but it says nothing and does nothing: no power, a dead processor.
    Mute,
    /// It sends nonsense.
    Lie,
    /// It reports a fault of its own.
    Fault,
    /// The valve answers a command, and stays where it is.
    Stuck,
    /// The port answers a command, and its relay stays closed.
    Welded,
}

impl Happening {
    /// The kinds of device that it can befall; empty: any.
    pub const fn kinds(self) -> &'static [&'static str] {
        match self {
            Happening::GasLeak { .. } => &["gas_detector"],
            Happening::Fire { .. } => &["smoke_detector", "charging_port", "swap_cabinet"],
            Happening::Overheat { .. } | Happening::Overcharge | Happening::Welded => &["charging_port"],
            Happening::Water => &["swap_cabinet"],
            Happening::Ebike => &["lift_blocker"],
            Happening::Stuck => &["shutoff_valve"],
            Happening::Fault => &[
                "gas_detector",
                "shutoff_valve",
                "charging_port",
                "lift_blocker",
                "smoke_detector",
            ],
            Happening::Offline | Happening::Mute | Happening::Lie => &[],
        }
    }

    /// Its word in scripts.
    pub const fn word(self) -> &'static str {
        match self {
            Happening::GasLeak { .. } => "gas_leak",
            Happening::Fire { .. } => "fire",
            Happening::Overheat { .. } => "overheat",
            Happening::Overcharge => "overcharge",
            Happening::Water => "water",
            Happening::Ebike => "ebike",
            Happening::Offline => "offline",
            Happening::Mute => "mute",
            Happening::Lie => "lie",
            Happening::Fault => "fault",
            Happening::Stuck => "stuck",
            Happening::Welded => "welded",
        }
    }

    /// Whether it can befall a device of `kind`.
    pub fn can_befall(self, kind: &str) -> bool {
        self.kinds().is_empty() || self.kinds().contains(&kind)
    }
}

#[cfg(test)]
mod tests {
    use super::WORDS;

    #[test]
    fn every_word_is_the_happenings_own() {
        for (word, happening) in WORDS {
            assert_eq!(happening.word(), word);
        }
    }
}
