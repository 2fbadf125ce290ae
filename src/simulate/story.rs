//! The incidents that come by themselves, without a script: gas leaks every half minute or so, now and then a mute
//! valve, a hot port, an e-bike in the lift; one detector lies throughout, one is offline now and then. Pure.

use std::collections::HashMap;

use super::dice::Dice;
use super::town::Town;
use crate::config::{FOREVER, Happening, Incident};
use crate::domain::device::DeviceKey;
use crate::domain::time::Millis;

/// The first leak: the viewer has just read the banner.
const FIRST_LEAK: u64 = 3_000;
/// The offline device is there for so long, then away.
const SPEAKS_FOR: u64 = 20_000;
/// Away for longer than a restart of its router takes, so that it is told of.
const SILENT_FOR: u64 = 75_000;
/// Time in which a venue sees no second incident.
const QUIET: u64 = 80_000;

/// Makes incidents up, one after the other.
#[derive(Debug)]
pub struct Story {
    dice: Dice,
    told: u64,
    next_leak: u64,
    next_silence: u64,
    /// When something last happened at a venue.
    busy: HashMap<String, u64>,
    detectors: Vec<DeviceKey>,
    others: Vec<DeviceKey>,
    liar: Option<DeviceKey>,
    silent: Option<DeviceKey>,
}

impl Story {
    /// The story of `town` as `seed` has it.
    pub fn new(town: &Town, seed: u64) -> Story {
        let keys = || town.devices.iter().map(|device| &device.key);
        let mut detectors: Vec<DeviceKey> =
            keys().filter(|key| key.kind == "gas_detector").cloned().collect();
        // The two odd ones stand at the end, so that gas leaks first where the reader looks first.
        let mut odd = || (detectors.len() > 1).then(|| detectors.pop()).flatten();
        let (liar, silent) = (odd(), odd());
        let others = keys().filter(|key| unusual(&key.kind).is_some()).cloned();
        Story {
            dice: Dice::new(!seed),
            told: 0,
            next_leak: FIRST_LEAK,
            next_silence: if silent.is_some() { SPEAKS_FOR } else { u64::MAX },
            busy: HashMap::new(),
            others: others.collect(),
            detectors,
            liar,
            silent,
        }
    }

    /// The device that is offline now and then, if the town is large enough.
    pub fn silent(&self) -> Option<&DeviceKey> {
        self.silent.as_ref()
    }

    /// What begins next, and when the story wants to be asked again. Both in milliseconds since the start, the same
    /// or later than `now`.
    pub fn go_on(&mut self, now: u64) -> (Vec<Incident>, u64) {
        let mut incidents = Vec::new();
        let mut begin = |device: &DeviceKey, lasts: Millis, what: Happening| {
            incidents.push(Incident {
                at: Millis(now),
                lasts,
                device: device.clone(),
                what,
            });
        };
        if let Some(liar) = self.liar.take() {
            begin(&liar, FOREVER, Happening::Lie);
        }
        if let Some(silent) = self.silent.as_ref().filter(|_| now >= self.next_silence) {
            begin(silent, Millis(SILENT_FOR), Happening::Offline);
            self.next_silence = now + SILENT_FOR + SPEAKS_FOR;
        }
        if now >= self.next_leak {
            self.next_leak = now + self.dice.millis(25_000, 30_000);
            self.leak(now, &mut begin);
            if self.told > 1 && self.told.is_multiple_of(2) {
                self.something_else(now, &mut begin);
            }
            self.told += 1;
        }
        (incidents, self.next_leak.min(self.next_silence))
    }

    fn leak(&mut self, now: u64, begin: &mut impl FnMut(&DeviceKey, Millis, Happening)) {
        let busy = &self.busy;
        let quiet: Vec<&DeviceKey> = self
            .detectors
            .iter()
            .filter(|key| is_quiet(busy, key, now))
            .collect();
        // The first two where the reader looks first.
        let choices = if self.told < 2 {
            quiet.get(..1).unwrap_or_default()
        } else {
            quiet.as_slice()
        };
        let Some(key) = self.dice.pick(choices).map(|key| (*key).clone()) else {
            return;
        };
        let peak = self.dice.between(54.0, 72.0);
        let rise = Millis(7_000);
        // The second leak, and every fifth from there, finds a valve that does not answer.
        if self.told % 5 == 1 {
            let valve = DeviceKey {
                kind: "shutoff_valve".to_owned(),
                device: "valve".to_owned(),
                ..key.clone()
            };
            begin(&valve, Millis(60_000), Happening::Mute);
            begin(&key, Millis(40_000), Happening::GasLeak { rise, peak });
        } else {
            begin(&key, Millis(9_000), Happening::GasLeak { rise, peak });
        }
        self.busy.insert(key.venue, now);
    }

    fn something_else(&mut self, now: u64, begin: &mut impl FnMut(&DeviceKey, Millis, Happening)) {
        let busy = &self.busy;
        let quiet: Vec<&DeviceKey> = self
            .others
            .iter()
            .filter(|key| is_quiet(busy, key, now))
            .collect();
        let Some(key) = self.dice.pick(&quiet).map(|key| (*key).clone()) else {
            return;
        };
        if let Some(what) = unusual(&key.kind) {
            begin(&key, Millis(30_000), what);
            self.busy.insert(key.venue, now);
        }
    }
}

fn is_quiet(busy: &HashMap<String, u64>, key: &DeviceKey, now: u64) -> bool {
    busy.get(&key.venue).is_none_or(|since| now - since > QUIET)
}

/// What befalls a device that is no gas detector.
fn unusual(kind: &str) -> Option<Happening> {
    match kind {
        "charging_port" => Some(Happening::Overheat {
            rise: Millis(10_000),
            peak: 75.0,
        }),
        "lift_blocker" => Some(Happening::Ebike),
        "smoke_detector" => Some(Happening::Fire {
            rise: Millis(10_000),
            peak: 35.0,
        }),
        "swap_cabinet" => Some(Happening::Water),
        _ => None,
    }
}
