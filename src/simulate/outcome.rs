//! What the incidents of a script led to: which commands came to the venue, and what its devices made of them. Pure.

use std::collections::HashMap;

use super::body::Command;
use crate::config::Incident;
use crate::domain::device::DeviceKey;

/// A command that comes so long after an incident's end still belongs to it, in milliseconds.
const AFTERMATH: u64 = 30_000;
/// Different ends of commands that are told of one incident.
const MOST_TOLD: usize = 16;

/// What became of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The device does it.
    Obeyed,
    /// It did it before, and said so again.
    Repeated,
    /// Such a device does no such thing.
    Refused,
    /// The broker had kept it.
    Retained,
    /// Too old.
    Expired,
    /// The device is offline or mute.
    Unheard,
    /// Bytes that are no command.
    Unreadable,
}

/// The incidents of a script, and what came of each.
#[derive(Debug, Clone, Default)]
pub struct Outcomes {
    all: Vec<Outcome>,
    by_venue: HashMap<String, Vec<usize>>,
}

#[derive(Debug, Clone)]
struct Outcome {
    incident: Incident,
    /// From when to when, in milliseconds since the start.
    span: Option<(u64, u64)>,
    told: Vec<Told>,
    /// Further ones.
    untold: u64,
}

#[derive(Debug, Clone)]
struct Told {
    device: String,
    command: Option<Command>,
    fate: Fate,
    /// The first one, in milliseconds after the incident began.
    after: u64,
    times: u64,
}

impl Outcomes {
    /// Those of `incidents`, none of which has begun.
    pub fn new(incidents: &[Incident]) -> Outcomes {
        let mut outcomes = Outcomes::default();
        for (number, incident) in incidents.iter().enumerate() {
            let venue = incident.device.venue.clone();
            outcomes.by_venue.entry(venue).or_default().push(number);
            outcomes.all.push(Outcome {
                incident: incident.clone(),
                span: None,
                told: Vec::new(),
                untold: 0,
            });
        }
        outcomes
    }

    /// The incident of this number begins.
    pub fn begin(&mut self, number: usize, at: u64) {
        if let Some(outcome) = self.all.get_mut(number) {
            outcome.span = Some((at, at.saturating_add(outcome.incident.lasts.0)));
        }
    }

    /// A command came to `key`.
    pub fn tell(&mut self, key: &DeviceKey, command: Option<Command>, fate: Fate, at: u64) {
        for &number in self.by_venue.get(&key.venue).map_or(&[][..], Vec::as_slice) {
            let Some(outcome) = self.all.get_mut(number) else {
                continue;
            };
            let Some((from, to)) = outcome.span else {
                continue;
            };
            if (from..=to.saturating_add(AFTERMATH)).contains(&at) {
                outcome.add(&key.device, command, (fate, at - from));
            }
        }
    }

    /// One line for each incident and each sort of command it led to; nothing without a script.
    pub fn lines(&self) -> Vec<String> {
        let outcomes = self.all.iter();
        outcomes.flat_map(Outcome::lines).collect()
    }
}

impl Outcome {
    fn add(&mut self, device: &str, command: Option<Command>, (fate, after): (Fate, u64)) {
        let same = |told: &&mut Told| (&*told.device, told.command, told.fate) == (device, command, fate);
        if let Some(told) = self.told.iter_mut().find(same) {
            told.times += 1;
        } else if self.told.len() < MOST_TOLD {
            self.told.push(Told {
                device: device.to_owned(),
                command,
                fate,
                after,
                times: 1,
            });
        } else {
            self.untold += 1;
        }
    }

    fn lines(&self) -> Vec<String> {
        let seconds = self.incident.at.0 / 1_000;
        let key = &self.incident.device;
        let head = format!(
            "  {:02}:{:02}  {:<10}  {} {:<8}",
            seconds / 60,
            seconds % 60,
            self.incident.what.word(),
            key.venue,
            key.device,
        );
        let mut ends: Vec<String> = self.told.iter().map(Told::text).collect();
        if self.untold > 0 {
            ends.push(format!("and {} more", self.untold));
        }
        if ends.is_empty() {
            let none = self.span.map_or("not begun", |_| "no command");
            ends.push(none.to_owned());
        }
        let width = head.chars().count();
        let heads = std::iter::once(head).chain(std::iter::repeat(" ".repeat(width)));
        heads
            .zip(ends)
            .map(|(head, end)| format!("{head}  {end}"))
            .collect()
    }
}

impl Told {
    fn text(&self) -> String {
        let command = self.command.map_or("?", Command::word);
        let fate = match self.fate {
            Fate::Obeyed => "obeyed",
            Fate::Repeated => "obeyed before",
            Fate::Refused => "refused",
            Fate::Retained => "retained, not obeyed",
            Fate::Expired => "expired, not obeyed",
            Fate::Unheard => "not heard",
            Fate::Unreadable => "unreadable",
        };
        let times = match self.times {
            1 => String::new(),
            more => format!(", {more} times"),
        };
        let (whole, tenths) = (self.after / 1_000, self.after % 1_000 / 100);
        format!(
            "{command} → {}: {fate} after {whole}.{tenths} s{times}",
            self.device
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{Fate, Outcomes};
    use crate::config::{Happening, Incident};
    use crate::domain::device::DeviceKey;
    use crate::domain::time::Millis;
    use crate::simulate::body::Command;

    fn key(venue: &str, device: &str) -> DeviceKey {
        DeviceKey {
            venue: venue.to_owned(),
            kind: "shutoff_valve".to_owned(),
            device: device.to_owned(),
        }
    }

    fn mute(venue: &str, at: u64) -> Incident {
        Incident {
            at: Millis(at),
            lasts: Millis(10_000),
            device: key(venue, "valve"),
            what: Happening::Mute,
        }
    }

    #[test]
    fn an_incident_is_told_of_its_venues_commands_while_it_lasts_and_a_little_longer() {
        let mut outcomes = Outcomes::new(&[mute("v1", 1_000), mute("v2", 2_000), mute("v3", 65_000)]);
        let close = Some(Command::Close);
        outcomes.tell(&key("v1", "valve"), close, Fate::Obeyed, 500);
        outcomes.begin(0, 1_000);
        outcomes.begin(1, 2_000);
        for at in [7_250, 9_000] {
            outcomes.tell(&key("v1", "valve"), close, Fate::Unheard, at);
        }
        outcomes.tell(&key("v1", "port1"), None, Fate::Unreadable, 8_000);
        outcomes.tell(&key("v1", "valve"), close, Fate::Obeyed, 41_001);
        assert_eq!(
            outcomes.lines(),
            [
                "  00:01  mute        v1 valve     close → valve: not heard after 6.2 s, 2 times",
                "                                  ? → port1: unreadable after 7.0 s",
                "  00:02  mute        v2 valve     no command",
                "  01:05  mute        v3 valve     not begun",
            ]
        );
    }
}
