//! A thunderstorm over two venues: many faults at once, which the group reads of in one message. Pure.

use crate::config::{Happening, Incident};
use crate::domain::device::DeviceKey;
use crate::domain::time::Millis;
use crate::simulate::town::Town;

/// When lightning strikes, after the first leak.
const AT: Millis = Millis(12_000);

/// How long the devices take to recover.
const LASTS: Millis = Millis(60_000);

/// The places among the venues that are struck; none of them is where the demo's first leaks are.
const STRUCK: std::ops::Range<usize> = 2..4;

/// The faults of the storm in this town.
pub fn storm(town: &Town) -> Vec<Incident> {
    let venues = town.venues.iter().skip(STRUCK.start).take(STRUCK.len());
    let struck: Vec<&str> = venues.map(|venue| venue.id.as_str()).collect();
    let devices = town.devices.iter().map(|device| &device.key);
    devices
        // A cabinet has no fault of its own to report.
        .filter(|key| struck.contains(&key.venue.as_str()) && key.kind != "swap_cabinet")
        .map(|key| Incident {
            at: AT,
            lasts: LASTS,
            device: DeviceKey::clone(key),
            what: Happening::Fault,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_strikes_more_devices_than_the_group_reads_of_singly() {
        for venues in [3, 50] {
            let struck = storm(&Town::new(venues));
            assert!(struck.len() > 3, "{struck:?}");
        }
        let struck = storm(&Town::new(50));
        assert!(struck.iter().all(|incident| incident.device.venue != "v001"));
        assert!(storm(&Town::new(1)).is_empty(), "nobody else is there");
    }
}
