//! Golden tests of profiles: one message and what it should say, one command and what should be published. Pure.

use super::command::{Address, CommandBook, OrderFacts};
use super::decoder::{Decoder, Part, Resolved};
use super::wire::bytes;
use crate::domain::device::DeviceKey;
use crate::domain::kind::{Kind, ValueType};
use crate::domain::reading::ReadingKind;
use crate::domain::time::{Moment, Timestamp};

/// The command id in tests.
pub const COMMAND_ID: &str = "01JAAAAAAAAAAAAAAAAAAAAAAA";

/// When commands of tests expire: 2026-01-01T00:00:10Z.
pub const EXPIRES_AT: Timestamp = Timestamp(1_767_225_610_000);

/// A test.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// Its name, perhaps empty.
    pub title: String,
    /// What happens, and what should come of it.
    pub stimulus: Stimulus,
}

/// What happens, and what should come of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Stimulus {
    /// A message arrives.
    Message {
        /// On this topic.
        topic: String,
        /// With this payload.
        payload: Vec<u8>,
        /// What it says.
        expect: Vec<ExpectedPart>,
        /// The reason for which something of it is not used.
        reject: Option<String>,
        /// The answer to a command: device, id, whether it agrees.
        ack: Option<(String, Option<String>, bool)>,
        /// It means nothing to anybody.
        ignored: bool,
    },
    /// A command is given.
    Command {
        /// The command.
        command: String,
        /// The kind of the device.
        kind: String,
        /// The device.
        device: String,
        /// What the device's messages gave.
        captures: Vec<(String, String)>,
        /// Where it is published.
        topic: String,
        /// What is published.
        payload: Vec<u8>,
    },
}

/// What a message should say of a device. What is left out is not compared.
#[derive(Debug, Clone, PartialEq)]
pub struct ExpectedPart {
    /// The device's kind.
    pub kind: Option<String>,
    /// The device.
    pub device: String,
    /// Points and their values as written; all of them.
    pub points: Vec<(String, String)>,
    /// Points that are unknown from now on.
    pub unset: Vec<String>,
    /// The device's time.
    pub at: Option<Timestamp>,
    /// Live, test or history.
    pub reading: ReadingKind,
    /// The device above.
    pub parent: Option<String>,
}

/// A difference: what was expected, and what was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What was expected, in lines.
    pub expected: Vec<String>,
    /// What was seen, in lines.
    pub seen: Vec<String>,
}

/// The bytes that a hexadecimal text spells.
pub fn hex(text: &str) -> Option<Vec<u8>> {
    let mut all = Vec::new();
    bytes::hex(text, &mut all).map(|()| all)
}

/// Runs tests of the last of the profiles that `decoder` and `book` have.
#[derive(Debug)]
pub struct Stage<'s> {
    /// Reads messages.
    pub decoder: Decoder,
    /// Writes commands.
    pub book: CommandBook,
    /// The kinds of the decoder.
    pub kinds: &'s [Kind],
    /// The profile of which the tests are.
    pub profile: &'s str,
}

impl Stage<'_> {
    /// Runs one test; `None`: it passes.
    pub fn run(&mut self, trial: &Trial) -> Option<Difference> {
        let (expected, seen) = match &trial.stimulus {
            Stimulus::Message {
                topic,
                payload,
                expect,
                reject,
                ack,
                ignored,
            } => {
                let mut expected: Vec<String> = expect.iter().map(expected).collect();
                expected.extend(
                    ack.as_ref()
                        .map(|(device, id, ok)| shown_ack(device, id.as_deref(), *ok)),
                );
                expected.extend(reject.as_ref().map(|reason| format!("rejected: {reason}")));
                expected.extend(ignored.then(|| "ignored".to_owned()));
                (expected, self.seen(topic, payload, expect))
            }
            Stimulus::Command {
                command,
                kind,
                device,
                captures,
                topic,
                payload,
            } => {
                let expected = vec![topic.clone(), canonical(payload)];
                (expected, self.written(command, (kind, device), captures))
            }
        };
        (expected != seen).then_some(Difference { expected, seen })
    }

    fn seen(&mut self, topic: &str, payload: &[u8], expect: &[ExpectedPart]) -> Vec<String> {
        let id = match self.decoder.resolve(topic) {
            Ok(Resolved::Message(id)) => id,
            Ok(Resolved::Ignored) => return vec!["ignored".to_owned()],
            Err(reject) => return vec![format!("rejected: {}", reject.reason())],
        };
        let answer = self.decoder.decode(id, payload, Moment::default());
        let mut seen = Vec::new();
        for at in 0..answer.parts {
            seen.extend(
                self.decoder
                    .part(at)
                    .map(|part| self.shown(&part, expect.get(at))),
            );
        }
        for at in 0..answer.acks {
            let ack = self.decoder.ack(at);
            seen.extend(ack.map(|ack| shown_ack(&self.decoder.key(ack.device).device, ack.id, ack.ok)));
        }
        let nothing = seen.is_empty() && answer.reject.is_none();
        seen.extend(
            answer
                .reject
                .map(|reject| format!("rejected: {}", reject.reason())),
        );
        seen.extend(nothing.then(|| "ignored".to_owned()));
        seen
    }

    fn written(
        &self,
        command: &str,
        (kind, device): (&str, &str),
        captures: &[(String, String)],
    ) -> Vec<String> {
        let key = DeviceKey {
            venue: "v1".to_owned(),
            kind: kind.to_owned(),
            device: device.to_owned(),
        };
        let mut address = Address::of(self.profile);
        address.captures = captures.to_vec();
        let order = OrderFacts {
            id: COMMAND_ID,
            key: &key,
            command,
            expires_at: EXPIRES_AT,
            attempt: 1,
        };
        match self.book.write(&address, &order) {
            Ok(out) => vec![out.topic, canonical(&out.payload)],
            Err(error) => vec![error.to_string()],
        }
    }

    /// A part with as much of it as `like` compares.
    fn shown(&self, part: &Part<'_>, like: Option<&ExpectedPart>) -> String {
        let kind = self.kinds.get(self.decoder.kind(part.device));
        let name = |index| kind.and_then(|kind| kind.point_at(index));
        let mut points: Vec<String> = part
            .points
            .iter()
            .filter_map(|(index, value)| {
                let def = name(*index)?;
                Some(format!("{}={}", def.id, shown_value(&def.value, *value)))
            })
            .collect();
        let unset = part.unset.iter().filter_map(|index| name(*index));
        points.extend(unset.map(|def| format!("{} unset", def.id)));
        points.sort();
        let key = self.decoder.key(part.device);
        let wants = |has: fn(&ExpectedPart) -> bool| like.is_none_or(has);
        let parent = part.parent.map(|parent| self.decoder.key(parent).device.as_str());
        line(
            (
                Some(key.kind.as_str()).filter(|_| wants(|like| like.kind.is_some())),
                &key.device,
            ),
            &points,
            part.kind,
            part.device_at.filter(|_| wants(|like| like.at.is_some())),
            parent.filter(|_| wants(|like| like.parent.is_some())),
        )
    }
}

fn expected(part: &ExpectedPart) -> String {
    let numbers = |value: &str| value.parse().map_or_else(|_| value.to_owned(), shown_number);
    let mut points: Vec<String> = part
        .points
        .iter()
        .map(|(point, value)| format!("{point}={}", numbers(value)))
        .collect();
    points.extend(part.unset.iter().map(|point| format!("{point} unset")));
    points.sort();
    line(
        (part.kind.as_deref(), &part.device),
        &points,
        part.reading,
        part.at,
        part.parent.as_deref(),
    )
}

fn line(
    (kind, device): (Option<&str>, &str),
    points: &[String],
    reading: ReadingKind,
    at: Option<Timestamp>,
    parent: Option<&str>,
) -> String {
    let mut line = kind.map(|kind| format!("{kind} ")).unwrap_or_default();
    line.push_str(device);
    line.push_str(": ");
    line.push_str(&points.join(" "));
    match reading {
        ReadingKind::Live => {}
        ReadingKind::Test => line.push_str(" (test)"),
        ReadingKind::History => line.push_str(" (history)"),
    }
    if let Some(at) = at {
        line.push_str(" at ");
        line.push_str(&at.to_rfc3339());
    }
    if let Some(parent) = parent {
        line.push_str(" below ");
        line.push_str(parent);
    }
    line
}

fn shown_value(def: &ValueType, value: f64) -> String {
    match def {
        ValueType::Number { .. } => shown_number(value),
        ValueType::Bool => (value > 0.5).to_string(),
        ValueType::Enum { values } => values
            .iter()
            .enumerate()
            .find(|(at, _)| (*at as f64 - value).abs() < 0.5)
            .map_or_else(|| value.to_string(), |(_, word)| word.clone()),
    }
}

/// Seven decimals: what scaling makes of the last bits is nobody's business.
fn shown_number(value: f64) -> String {
    let rounded = (value * 1e7).round() / 1e7;
    format!("{}", if rounded == 0.0 { 0.0 } else { rounded })
}

fn shown_ack(device: &str, id: Option<&str>, ok: bool) -> String {
    let answer = if ok { "agrees" } else { "refuses" };
    format!("{device} {answer}: {}", id.unwrap_or("whatever is under way"))
}

/// JSON in one form; anything else as it is.
fn canonical(payload: &[u8]) -> String {
    serde_json::from_slice::<serde_json::Value>(payload).map_or_else(
        |_| String::from_utf8_lossy(payload).into_owned(),
        |json| json.to_string(),
    )
}
