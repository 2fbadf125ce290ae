//! The simulated town: who speaks when, where gas leaks, who lies, who falls silent. Pure: no socket, no clock;
//! one seed and one series of instants always give the same messages.

use std::collections::HashMap;

use super::device::{self, Air, LEAK_OVER, Leak, Port};
use super::dice::Dice;
use super::town::Town;
use crate::domain::device::DeviceKey;
use crate::domain::time::Timestamp;

/// The first leak comes this long after the start, in milliseconds: the viewer has just read the banner.
const FIRST_LEAK: i64 = 3_000;
/// How often a detector speaks, in milliseconds.
const DETECTOR_PERIOD: i64 = 1_000;
/// How often a detector speaks while its value is high.
const DETECTOR_PERIOD_IN_LEAK: i64 = 500;
/// How often a charging port speaks.
const PORT_PERIOD: i64 = 1_000;
/// How often a valve speaks when nothing changes.
const VALVE_PERIOD: i64 = 5_000;
/// How often the lying detector speaks.
const LIAR_PERIOD: i64 = 2_000;
/// The silent device falls silent this long after it appeared.
const SPEAKS_FOR: i64 = 20_000;
/// And comes back after this long: longer than a restart of its router takes, so that it is told of.
const SILENT_FOR: i64 = 75_000;

/// A message that a device publishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its topic.
    pub topic: String,
    /// Its bytes.
    pub payload: Vec<u8>,
}

/// What happens in the town.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// A device publishes.
    Publish(Message),
    /// The device with a connection of its own publishes over that.
    PublishAlone(Message),
    /// That device connects and says `online`.
    Appear,
    /// That device's connection breaks without a word: the broker publishes its last will.
    Vanish,
}

/// The town at work.
#[derive(Debug)]
pub struct Simulator {
    /// For the values, which depend on how often the simulator is asked.
    dice: Dice,
    /// For the incidents, which must not.
    fate: Dice,
    speakers: Vec<Speaker>,
    /// The last leak of each venue.
    leaks: HashMap<String, (Leak, String)>,
    /// Venues where gas may leak.
    candidates: Vec<DeviceKey>,
    next_leak: Timestamp,
    /// When the device with its own connection appears or vanishes next, and which of the two.
    next_turn: (Timestamp, Act),
    alone: Option<DeviceKey>,
}

#[derive(Debug)]
struct Speaker {
    key: DeviceKey,
    topic: String,
    next: Timestamp,
    role: Role,
}

#[derive(Debug)]
enum Role {
    Detector(Air),
    Liar { turn: usize },
    Silent { air: Air, there: bool },
    Valve { position: &'static str },
    Port(Port),
}

impl Simulator {
    /// The town `town` from `now` on, as `seed` has it.
    pub fn new(town: &Town, seed: u64, now: Timestamp) -> Simulator {
        let mut dice = Dice::new(seed);
        let detectors: Vec<&DeviceKey> = keys(town, "gas_detector").collect();
        // The two odd ones stand at the end, so that gas leaks first where the reader looks first.
        let liar = detectors.last().copied().filter(|_| detectors.len() > 1);
        let alone = detectors
            .iter()
            .rev()
            .nth(1)
            .copied()
            .filter(|_| detectors.len() > 2);
        let candidates = detectors
            .iter()
            .filter(|key| Some(**key) != liar && Some(**key) != alone)
            .map(|key| (**key).clone())
            .collect();
        let mut speakers = Vec::with_capacity(town.devices.len());
        for key in town.devices.iter().map(|device| &device.key) {
            let role = if Some(key) == liar {
                Role::Liar { turn: 0 }
            } else if Some(key) == alone {
                Role::Silent {
                    air: Air::new(&mut dice),
                    there: false,
                }
            } else {
                match key.kind.as_str() {
                    "shutoff_valve" => Role::Valve { position: "open" },
                    "charging_port" => Role::Port(Port::new(now, &mut dice)),
                    _ => Role::Detector(Air::new(&mut dice)),
                }
            };
            speakers.push(Speaker {
                key: key.clone(),
                topic: topic(key, "telemetry"),
                // Spread over the first second, so that they do not all speak at once.
                next: Timestamp(now.0 + dice.whole(0, 1_000)),
                role,
            });
        }
        Simulator {
            dice,
            fate: Dice::new(!seed),
            speakers,
            leaks: HashMap::new(),
            candidates,
            next_leak: Timestamp(now.0 + FIRST_LEAK),
            next_turn: (now, Act::Appear),
            alone: alone.cloned(),
        }
    }

    /// The device that has a connection of its own and falls silent now and then, if the town is large enough.
    pub fn alone(&self) -> Option<&DeviceKey> {
        self.alone.as_ref()
    }

    /// Everything that happens up to `now`, since the last step.
    pub fn step(&mut self, now: Timestamp) -> Vec<Act> {
        let mut acts = Vec::new();
        self.turn_of_the_silent_one(now, &mut acts);
        self.spring_a_leak(now);
        let leaks = &self.leaks;
        for speaker in &mut self.speakers {
            speaker.speak(now, leaks, &mut self.dice, &mut acts);
        }
        acts
    }

    fn turn_of_the_silent_one(&mut self, now: Timestamp, acts: &mut Vec<Act>) {
        if self.alone.is_none() || now < self.next_turn.0 {
            return;
        }
        let appears = self.next_turn.1 == Act::Appear;
        for speaker in &mut self.speakers {
            if let Role::Silent { there, .. } = &mut speaker.role {
                *there = appears;
            }
        }
        let next = if appears {
            (Timestamp(now.0 + SPEAKS_FOR), Act::Vanish)
        } else {
            (Timestamp(now.0 + SILENT_FOR), Act::Appear)
        };
        acts.push(std::mem::replace(&mut self.next_turn, next).1);
    }

    fn spring_a_leak(&mut self, now: Timestamp) {
        if now < self.next_leak {
            return;
        }
        let first = self.leaks.is_empty();
        self.next_leak = Timestamp(now.0 + self.fate.whole(25_000, 30_000));
        self.leaks
            .retain(|_, (leak, _)| now.since(leak.since) < device::VALVE_OPENS + VALVE_PERIOD);
        let quiet: Vec<&DeviceKey> = self
            .candidates
            .iter()
            .filter(|key| !self.leaks.contains_key(&key.venue))
            .collect();
        let choices = if first {
            quiet.get(..1).unwrap_or_default()
        } else {
            quiet.as_slice()
        };
        let Some(key) = self.fate.pick(choices).map(|key| (*key).clone()) else {
            return;
        };
        let leak = Leak {
            since: now,
            peak: self.fate.between(54.0, 72.0),
        };
        for speaker in self.speakers.iter_mut().filter(|speaker| speaker.key == key) {
            speaker.next = now;
        }
        self.leaks.insert(key.venue, (leak, key.device));
    }
}

impl Speaker {
    fn speak(
        &mut self,
        now: Timestamp,
        leaks: &HashMap<String, (Leak, String)>,
        dice: &mut Dice,
        acts: &mut Vec<Act>,
    ) {
        let venue_leak = leaks.get(&self.key.venue);
        if let Role::Valve { position } = &mut self.role {
            let stands = device::valve_position(venue_leak.map(|(leak, _)| now.since(leak.since)));
            if stands != *position {
                *position = stands;
                self.next = now;
            }
        }
        if now < self.next {
            return;
        }
        let (period, payload) = match &mut self.role {
            Role::Detector(air) => {
                let leak = venue_leak
                    .filter(|(leak, device)| *device == self.key.device && now.since(leak.since) < LEAK_OVER)
                    .map(|(leak, _)| leak);
                let period = if leak.is_some() {
                    DETECTOR_PERIOD_IN_LEAK
                } else {
                    DETECTOR_PERIOD
                };
                (period, Some(air.telemetry(now, leak, dice)))
            }
            Role::Liar { turn } => {
                *turn += 1;
                (LIAR_PERIOD, Some(device::lie(*turn - 1, now)))
            }
            Role::Silent { air, there } => (DETECTOR_PERIOD, there.then(|| air.telemetry(now, None, dice))),
            Role::Valve { position } => (VALVE_PERIOD, Some(device::valve(position, now))),
            Role::Port(port) => (PORT_PERIOD, Some(port.telemetry(now, dice))),
        };
        self.next = Timestamp((self.next.0 + period).max(now.0 + 1));
        let Some(payload) = payload else { return };
        let message = Message {
            topic: self.topic.clone(),
            payload,
        };
        acts.push(match self.role {
            Role::Silent { .. } => Act::PublishAlone(message),
            Role::Detector(_) | Role::Liar { .. } | Role::Valve { .. } | Role::Port(_) => {
                Act::Publish(message)
            }
        });
    }
}

/// The native topic of `key` with this last level.
pub fn topic(key: &DeviceKey, leaf: &str) -> String {
    format!("ninewatch/{}/{}/{}/{leaf}", key.venue, key.kind, key.device)
}

fn keys<'a>(town: &'a Town, kind: &'a str) -> impl Iterator<Item = &'a DeviceKey> {
    town.devices
        .iter()
        .map(|device| &device.key)
        .filter(move |key| key.kind == kind)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::{Act, Message, Simulator};
    use crate::demo::town::Town;
    use crate::domain::time::Timestamp;

    /// Noon in China on 2026-01-01.
    const START: i64 = 1_767_240_000_000;

    fn play(venues: usize, seed: u64, seconds: i64) -> Vec<(i64, Act)> {
        let town = Town::new(venues);
        let mut simulator = Simulator::new(&town, seed, Timestamp(START));
        (0..seconds * 10)
            .flat_map(|tick| {
                let at = tick * 100;
                simulator
                    .step(Timestamp(START + at))
                    .into_iter()
                    .map(move |act| (at, act))
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    fn messages(acts: &[(i64, Act)]) -> impl Iterator<Item = (i64, &Message)> {
        acts.iter().filter_map(|(at, act)| match act {
            Act::Publish(message) | Act::PublishAlone(message) => Some((*at, message)),
            Act::Appear | Act::Vanish => None,
        })
    }

    fn lel(message: &Message) -> Option<f64> {
        let value: Value = serde_json::from_slice(&message.payload).ok()?;
        value.get("lel")?.as_f64()
    }

    #[test]
    fn one_seed_plays_one_demo() {
        assert_eq!(play(8, 7, 30), play(8, 7, 30));
        assert_ne!(play(8, 7, 30), play(8, 8, 30));
    }

    #[test]
    fn a_venue_sends_two_to_five_messages_a_second() {
        let acts = play(50, 1, 60);
        let rate = messages(&acts).count() as f64 / (50.0 * 60.0);
        assert!((2.0..5.0).contains(&rate), "{rate}");
    }

    #[test]
    fn the_first_leak_passes_50_lel_within_ten_seconds_and_is_aired_within_twenty_five() {
        for venues in [1, 2, 50] {
            let acts = play(venues, 42, 35);
            let (at, high) = messages(&acts)
                .find(|(_, message)| lel(message).is_some_and(|lel| lel >= 50.0))
                .expect("gas leaks");
            assert!(at <= 10_000, "{venues} venues: {at} ms");
            let aired = messages(&acts)
                .find(|(later, message)| {
                    *later > at && message.topic == high.topic && lel(message).is_some_and(|lel| lel < 8.0)
                })
                .expect("the air clears");
            assert!(aired.0 <= 25_000, "{venues} venues: {} ms", aired.0);
        }
    }

    #[test]
    fn a_leak_comes_every_half_minute_or_so_and_its_valve_closes() {
        let acts = play(50, 3, 300);
        let mut leaking: Vec<&str> = messages(&acts)
            .filter(|(_, message)| lel(message).is_some_and(|lel| (50.0..80.0).contains(&lel)))
            .filter_map(|(_, message)| message.topic.split('/').nth(1))
            .collect();
        leaking.dedup();
        assert!((9..=13).contains(&leaking.len()), "{}", leaking.len());
        for venue in &leaking {
            let closed = format!("ninewatch/{venue}/shutoff_valve/valve/telemetry");
            assert!(
                messages(&acts).any(|(_, message)| message.topic == closed
                    && String::from_utf8_lossy(&message.payload).contains(r#""closed""#)),
                "{venue}"
            );
        }
    }

    #[test]
    fn one_device_lies_and_every_other_payload_is_sound() {
        let acts = play(50, 5, 60);
        let unsound = messages(&acts).filter(|(_, message)| {
            !serde_json::from_slice::<Value>(&message.payload).is_ok_and(|value| value["lel"] != "soon")
        });
        let mut topics: Vec<&str> = unsound.map(|(_, message)| message.topic.as_str()).collect();
        topics.dedup();
        assert_eq!(topics.len(), 1, "{topics:?}");
    }

    #[test]
    fn one_device_vanishes_says_nothing_and_comes_back() {
        let acts = play(50, 5, 100);
        let turns: Vec<(i64, &Act)> = acts
            .iter()
            .filter(|(_, act)| matches!(act, Act::Appear | Act::Vanish))
            .map(|(at, act)| (*at, act))
            .collect();
        assert_eq!(
            turns,
            [(0, &Act::Appear), (20_000, &Act::Vanish), (95_000, &Act::Appear)]
        );
        let spoke = acts
            .iter()
            .filter(|(at, act)| matches!(act, Act::PublishAlone(_)) && (20_000..95_000).contains(at));
        assert_eq!(spoke.count(), 0);
    }
}
