//! Orders → what is published, by the profile through which the device speaks. Pure; decides nothing and sends nothing.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::def::{CommandDef, CommandPayload, ProfileDef};
use super::native::NATIVE;
use super::text::{Written, pieces};
use crate::domain::device::DeviceKey;
use crate::domain::time::Timestamp;

/// How a device is spoken to: its profile, and what that took from the device's topic and payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// The profile's name.
    pub profile: Arc<str>,
    /// Names and texts.
    pub captures: Vec<(String, String)>,
}

impl Address {
    /// The address of a device of which nothing but its place in `profile` is known.
    pub fn of(profile: &str) -> Address {
        Address {
            profile: profile.into(),
            captures: Vec::new(),
        }
    }

    /// The address of a device that speaks the native form, or was never heard.
    pub fn native() -> Address {
        Address::of(NATIVE)
    }
}

/// What an order says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderFacts<'o> {
    /// The command's id.
    pub id: &'o str,
    /// Whom it is for.
    pub key: &'o DeviceKey,
    /// The command, as `close`.
    pub command: &'o str,
    /// When it must not be obeyed any more.
    pub expires_at: Timestamp,
    /// Which attempt this is, from 1.
    pub attempt: u8,
}

/// A command on the wire. Never retained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Where.
    pub topic: String,
    /// What.
    pub payload: Vec<u8>,
}

/// Why an order cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoWire {
    /// The profile is not loaded (any more).
    #[error("profile {0:?} is not loaded")]
    NoProfile(String),
    /// The profile has no such command.
    #[error("profile {profile:?} has no [[command]] {command:?} for kind {kind:?}")]
    NoCommand {
        /// The profile.
        profile: String,
        /// The device's kind.
        kind: String,
        /// The command.
        command: String,
    },
    /// The device has not been heard yet, and the command needs what its topic says.
    #[error("profile {profile:?} needs {{{name}}}, which is known once the device has spoken")]
    NoCapture {
        /// The profile.
        profile: String,
        /// The name.
        name: String,
    },
    /// The topic would be none.
    #[error("{0:?} is no topic to publish on")]
    BadTopic(String),
}

/// What a command template may name beside captures.
const FACTS: [&str; 7] = [
    "id",
    "command",
    "expires_at",
    "attempt",
    "venue",
    "kind",
    "device",
];

fn fits(def: &CommandDef, kind: &str, command: &str) -> bool {
    def.kind.as_ref().is_none_or(|of| of == kind) && def.command.as_ref().is_none_or(|known| known == command)
}

/// All profiles' commands.
#[derive(Debug, Clone, Default)]
pub struct CommandBook {
    profiles: Vec<(String, Vec<CommandDef>)>,
}

impl CommandBook {
    /// The commands of `profiles`, which have been compiled without error.
    pub fn new(profiles: &[ProfileDef]) -> CommandBook {
        CommandBook {
            profiles: profiles
                .iter()
                .map(|profile| (profile.name.clone(), profile.commands.clone()))
                .collect(),
        }
    }

    /// Whether `profile` has words for `command` to a device of `kind`; not for one that is not loaded.
    pub fn knows(&self, profile: &str, kind: &str, command: &str) -> bool {
        let mut profiles = self.profiles.iter().filter(|(name, _)| name == profile);
        profiles.any(|(_, commands)| commands.iter().any(|def| fits(def, kind, command)))
    }

    /// The order as it is published to the device at `address`.
    pub fn write(&self, address: &Address, order: &OrderFacts<'_>) -> Result<Outgoing, NoWire> {
        let name = &*address.profile;
        let commands = self.profiles.iter().find(|(profile, _)| profile == name);
        let (_, commands) = commands.ok_or_else(|| NoWire::NoProfile(name.to_owned()))?;
        let mut commands = commands.iter();
        let def = commands.find(|def| fits(def, &order.key.kind, order.command));
        let def = def.ok_or_else(|| NoWire::NoCommand {
            profile: name.to_owned(),
            kind: order.key.kind.clone(),
            command: order.command.to_owned(),
        })?;
        let writer = Writer { address, order };
        let topic = writer.text(&def.topic)?;
        if topic.is_empty() || topic.contains(['+', '#', '\0']) {
            return Err(NoWire::BadTopic(topic));
        }
        let payload = match &def.payload {
            CommandPayload::Text(text) => writer.text(text)?,
            CommandPayload::Json(json) => writer.json(json)?.to_string(),
        };
        Ok(Outgoing {
            topic,
            payload: payload.into_bytes(),
        })
    }
}

struct Writer<'o> {
    address: &'o Address,
    order: &'o OrderFacts<'o>,
}

impl Writer<'_> {
    fn value(&self, name: &str) -> Option<String> {
        let captured = self.address.captures.iter().find(|(own, _)| own == name);
        Some(match name {
            "id" => self.order.id.to_owned(),
            "command" => self.order.command.to_owned(),
            "expires_at" => self.order.expires_at.0.to_string(),
            "attempt" => self.order.attempt.to_string(),
            "venue" => self.order.key.venue.clone(),
            "kind" => self.order.key.kind.clone(),
            _ => match captured {
                Some((_, text)) => text.clone(),
                None if name == "device" => self.order.key.device.clone(),
                None => return None,
            },
        })
    }

    fn known(&self, name: &str) -> Result<String, NoWire> {
        self.value(name).ok_or_else(|| NoWire::NoCapture {
            profile: self.address.profile.to_string(),
            name: name.to_owned(),
        })
    }

    fn text(&self, template: &str) -> Result<String, NoWire> {
        let mut text = String::with_capacity(template.len());
        for piece in pieces(template).unwrap_or_default() {
            match piece {
                Written::Literal(literal) => text.push_str(literal),
                Written::Name(name, _) => text.push_str(&self.known(name)?),
            }
        }
        Ok(text)
    }

    fn json(&self, template: &serde_json::Value) -> Result<serde_json::Value, NoWire> {
        use serde_json::Value;
        Ok(match template {
            Value::String(text) => match pieces(text).unwrap_or_default().as_slice() {
                [Written::Name(name, format)] => {
                    let value = self.known(name)?;
                    let number = *format == Some("number") || ["expires_at", "attempt"].contains(name);
                    match value.parse::<i64>() {
                        Ok(whole) if number => Value::from(whole),
                        Ok(_) | Err(_) => Value::String(value),
                    }
                }
                _ => Value::String(self.text(text)?),
            },
            Value::Array(items) => Value::Array(
                items
                    .iter()
                    .map(|item| self.json(item))
                    .collect::<Result<_, _>>()?,
            ),
            Value::Object(members) => Value::Object(
                members
                    .iter()
                    .map(|(name, value)| Ok((name.clone(), self.json(value)?)))
                    .collect::<Result<_, NoWire>>()?,
            ),
            Value::Null | Value::Bool(_) | Value::Number(_) => template.clone(),
        })
    }
}

/// What is wrong with a command as written, if anything; `captures` are the names that the profile's messages for the
/// kind give.
pub(super) fn check(def: &CommandDef, captures: &[String]) -> Result<(), String> {
    let mut texts = vec![def.topic.as_str()];
    match &def.payload {
        CommandPayload::Text(text) => texts.push(text),
        CommandPayload::Json(json) => gather(json, &mut texts),
    }
    if def.topic.contains(['+', '#']) {
        return Err(format!(
            "{:?} has wildcards: a command goes to one topic",
            def.topic
        ));
    }
    for text in texts {
        for piece in pieces(text)? {
            let Written::Name(name, format) = piece else {
                continue;
            };
            if !FACTS.contains(&name) && !captures.iter().any(|known| known == name) {
                return Err(format!(
                    "{{{name}}} is neither a fact ({}) nor captured by a [[message]] of the kind",
                    FACTS.join(", ")
                ));
            }
            if format.is_some_and(|format| format != "number") {
                return Err(format!("{{{name}}}: after the colon comes number"));
            }
        }
    }
    Ok(())
}

fn gather<'j>(json: &'j serde_json::Value, texts: &mut Vec<&'j str>) {
    match json {
        serde_json::Value::String(text) => texts.push(text),
        serde_json::Value::Array(items) => items.iter().for_each(|item| gather(item, texts)),
        serde_json::Value::Object(members) => members.values().for_each(|value| gather(value, texts)),
        serde_json::Value::Null | serde_json::Value::Bool(_) | serde_json::Value::Number(_) => {}
    }
}
