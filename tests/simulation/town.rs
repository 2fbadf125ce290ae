//! The devices: levels that rise and fall, and everything that devices and lines do to a message on its way.

use bytes::Bytes;

use super::broker::{Mark, Message};
use super::dice::Dice;

/// The devices whose last level is held against the alarms.
pub(crate) const DEVICES: [(&str, &str); 4] = [("v1", "g1"), ("v1", "g2"), ("v1", "g3"), ("v2", "g4")];

/// A device as its owner knows it.
struct Device {
    level: i64,
    rising: bool,
}

/// All devices.
pub(crate) struct Town {
    devices: Vec<Device>,
    messages: u64,
    /// The sequence numbers of those at QoS 0.
    pub(crate) fleeting: Vec<u64>,
}

impl Town {
    pub(crate) fn new(dice: &mut Dice) -> Town {
        let devices = DEVICES.map(|_| Device {
            level: i64::try_from(dice.below(30)).expect("small"),
            rising: dice.chance(50),
        });
        Town {
            devices: devices.into(),
            messages: 0,
            fleeting: Vec::new(),
        }
    }

    /// What one device says at `now`, milliseconds on a true clock: mostly once.
    pub(crate) fn speak(&mut self, dice: &mut Dice, now: i64) -> Vec<Message> {
        self.messages += 1;
        let number = self.messages;
        let at = dice.index(DEVICES.len());
        let (venue, device) = DEVICES[at];
        let topic = format!("ninewatch/{venue}/gas_detector/{device}/telemetry");
        let state = &mut self.devices[at];
        if dice.chance(15) {
            state.rising = !state.rising;
        }
        let step = i64::try_from(dice.below(25)).expect("small");
        state.level = (state.level + if state.rising { step } else { -step }).clamp(0, 100);
        let level = state.level;
        match dice.below(100) {
            0..14 => {
                let points = format!("\"lel\":{level},\"seq\":{number}");
                let fleeting = dice.chance(70);
                if fleeting {
                    self.fleeting.push(number);
                }
                vec![Message {
                    fleeting,
                    retain: !fleeting,
                    ..telling(topic, &points, Mark::Seq(number))
                }]
            }
            14..50 => {
                let message = telling(
                    topic,
                    &format!("\"lel\":{level},\"seq\":{number}"),
                    Mark::Seq(number),
                );
                vec![message; if dice.chance(10) { 2 } else { 1 }]
            }
            50..70 => {
                let late = if dice.chance(30) { dice.below(600_000) } else { 0 };
                // The last digits are the message's own.
                let at = (now.saturating_sub_unsigned(late) / 10_000) * 10_000
                    + i64::try_from(number % 10_000).expect("small");
                vec![telling(
                    topic,
                    &format!("\"lel\":{level},\"ts\":{at}"),
                    Mark::At(at),
                )]
            }
            70..78 => vec![telling(topic, &format!("\"lel\":{level}"), Mark::Plain)],
            78..83 => {
                let state = dice.pick(&["normal", "fault", "warmup"]);
                let points = format!("\"lel\":{level},\"state\":\"{state}\",\"seq\":{number}");
                vec![telling(topic, &points, Mark::Seq(number))]
            }
            83..86 => {
                let topic = topic.replace("telemetry", "status");
                let status = dice.pick(&["online", "offline"]);
                vec![Message {
                    payload: Bytes::from_static(status.as_bytes()),
                    retain: true,
                    ..telling(topic, "", Mark::Plain)
                }]
            }
            86..92 => {
                let topic = format!("ninewatch/v3/gas_detector/u{}/telemetry", dice.below(7));
                vec![telling(
                    topic,
                    &format!("\"lel\":{level},\"seq\":{number}"),
                    Mark::Seq(number),
                )]
            }
            92..94 => vec![oversize(topic, number)],
            _ => vec![malformed(dice, topic, number)],
        }
    }

    /// Each device's level, said once more and without any trimming.
    pub(crate) fn last_words(&self) -> Vec<Message> {
        let said = DEVICES.iter().zip(&self.devices).map(|((venue, device), state)| {
            let topic = format!("ninewatch/{venue}/gas_detector/{device}/telemetry");
            let points = format!("\"lel\":{},\"state\":\"normal\"", state.level);
            telling(topic, &points, Mark::Plain)
        });
        said.collect()
    }

    /// Each device with its level.
    pub(crate) fn levels(&self) -> impl Iterator<Item = (&'static str, f64)> {
        let levels = DEVICES.iter().zip(&self.devices);
        levels.map(|((_, device), state)| (*device, state.level as f64))
    }
}

fn telling(topic: String, members: &str, mark: Mark) -> Message {
    Message {
        topic,
        payload: Bytes::from(format!("{{{members}}}")),
        oversize: None,
        mark,
        fleeting: false,
        retain: false,
    }
}

fn oversize(topic: String, number: u64) -> Message {
    let size = 100_000 + usize::try_from(number).expect("small");
    Message {
        payload: Bytes::new(),
        oversize: Some(size),
        ..telling(topic, "", Mark::Oversize(size))
    }
}

fn malformed(dice: &mut Dice, topic: String, number: u64) -> Message {
    let (topic, payload) = match dice.below(4) {
        0 => (topic, format!("{{\"lel\":{number}")),
        1 => (topic, format!("{{\"seq\":{number},\"lel\":1e999}}")),
        2 => (topic, format!("\u{1}{number}")),
        _ => (
            "ninewatch/v1/no_such_kind/d1/telemetry".to_owned(),
            format!("{{\"seq\":{number}}}"),
        ),
    };
    Message {
        payload: Bytes::from(payload),
        ..telling(topic, "", Mark::Letter)
    }
}
