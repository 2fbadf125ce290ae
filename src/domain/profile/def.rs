//! Profiles as written: what a profile file says, in the words of the file. Says nothing about how it is read.

use serde::{Deserialize, Serialize};

use super::sparkplug::SparkplugDef;
use crate::domain::reading::ReadingKind;
use crate::domain::time::ClockBounds;

/// A profile as written: which topics, and how their payloads map to points.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ProfileDef {
    /// Its name.
    pub name: String,
    /// MQTT filters to subscribe to.
    pub subscribe: Vec<String>,
    /// Filters of topics that are known and not for us (our own commands, say).
    pub ignore: Vec<String>,
    /// How far the devices' clocks may be off.
    pub clock: ClockBounds,
    /// Gases and the concentration in ppm that is 100 %LEL of each; before the built-in table.
    pub lel: Vec<(String, f64)>,
    /// The mappings, tried in order.
    pub messages: Vec<MessageDef>,
    /// How commands are written.
    pub commands: Vec<CommandDef>,
    /// The codec that reads its messages, in the place of mappings.
    pub sparkplug: Option<SparkplugDef>,
}

/// One sort of message: a topic template and what its payload means. Messages of one profile with the same topic all
/// read the payload; of different topics the first that matches.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct MessageDef {
    /// Topic levels with captures in braces: `ninewatch/{venue}/{kind}/{device}/telemetry`, `shellygas-{id}`,
    /// `zigbee2mqtt/{device...}`.
    pub topic: String,
    /// Filters of topics that the template matches and that are not meant.
    pub except: Vec<String>,
    /// The device kind; `None`: captured from the topic as `{kind}`.
    pub kind: Option<String>,
    /// The venue; `None`: captured as `{venue}`, else looked up in the registry by (kind, device).
    pub venue: Option<String>,
    /// The device's id, a template of captures; `None`: `{device}`.
    pub device: Option<String>,
    /// The device that this one is part of.
    pub parent: Option<ParentDef>,
    /// Ids may come from the payload alone: whoever may publish on the topic may speak for any device.
    pub trust_payload_ids: bool,
    /// Values of the payload with a name, for templates.
    pub capture: Vec<(String, SourceDef)>,
    /// Places of the payload that must say what the template says: else the message is refused.
    pub same: Vec<(String, String)>,
    /// How to read the payload.
    pub form: Form,
    /// Texts of the payload that hold something themselves, by pointer.
    pub unpack: Vec<(String, Packing)>,
    /// Bytes are tagged values: the tag in hexadecimal, and how many bytes follow it.
    pub tags: Vec<(String, usize)>,
    /// Bytes are records of one size.
    pub records: Option<RecordsDef>,
    /// How texts are split into parts; `None`: `a=1,b=2`.
    pub fields: Option<FieldsDef>,
    /// Each item of an array (`/ports/*`, `/ports/[]`) or entry of an object is a part of its own.
    pub each: Option<String>,
    /// Places of an item that count for the items behind it too, until another says something else.
    pub carry: Vec<String>,
    /// When it applies: all of these.
    pub conditions: Vec<ConditionDef>,
    /// The name by which the points are chosen, a template; `None`: `{point}` if the topic has it.
    pub name: Option<String>,
    /// Where the device's time stands.
    pub time: Option<TimeDef>,
    /// What marks a self-test.
    pub test: Option<MarkDef>,
    /// What marks a backlog sample.
    pub history: Option<MarkDef>,
    /// What all readings of this message are; `None`: live unless marked.
    pub reading: Option<ReadingKind>,
    /// Where a number or text stands that is another in each message of a device.
    pub seq: Vec<String>,
    /// Take every point of the kind from the member of its own name (the native form).
    pub by_name: bool,
    /// Points mapped one by one; they go before `by_name`.
    pub points: Vec<PointMap>,
    /// The message answers a command.
    pub ack: Option<AckDef>,
}

/// How a payload is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Form {
    /// JSON.
    #[default]
    Json,
    /// One text value.
    Text,
    /// Text or bytes that hold something.
    Packed(Packing),
}

/// What a text, or the payload as a whole, holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Packing {
    /// JSON in a JSON text.
    Json,
    /// Hexadecimal bytes.
    Hex,
    /// Bytes in base64.
    Base64,
    /// JSON in base64.
    Base64Json,
    /// The bytes themselves (a payload only).
    Bytes,
    /// Parts between separators, some with names.
    Fields,
    /// An array of bytes as numbers.
    Octets,
    /// An array of 16-bit registers as numbers: two bytes each, the most significant first.
    Registers,
}

/// How a text is split into parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldsDef {
    /// Each of these characters separates two parts; with white space among them, empty parts do not count.
    pub between: String,
    /// What stands between a part's name and its value; empty: parts have no names.
    pub pair: String,
}

impl Default for FieldsDef {
    fn default() -> FieldsDef {
        FieldsDef {
            between: ",".to_owned(),
            pair: "=".to_owned(),
        }
    }
}

/// Records of one size in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordsDef {
    /// Where the first begins.
    pub start: usize,
    /// How many bytes each has, at least 1.
    pub size: usize,
    /// The byte that says how many there are; `None`: to the end.
    pub count: Option<usize>,
}

/// A value: the first place that has one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SourceDef {
    /// Places: a JSON Pointer below the item (`""`: the item itself), `key`, `index`, `number` (index + 1) of the
    /// item, `{name}` of a topic capture; each `^` before it goes one level out.
    pub at: Vec<String>,
    /// Some bytes of what stands there.
    pub bytes: Option<ByteField>,
}

/// A number in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByteField {
    /// The first byte, from 0; negative: from the end.
    pub byte: i32,
    /// How many bytes: 1 to 8.
    pub width: usize,
    /// Least significant byte first.
    pub little: bool,
    /// Words of two bytes, the least significant word first, each with its most significant byte first.
    pub swapped: bool,
    /// What the bits mean.
    pub coding: Coding,
}

/// What the bits of a number mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Coding {
    /// A whole number from 0.
    Unsigned,
    /// Two's complement.
    Signed,
    /// IEEE 754, of 4 or 8 bytes.
    Float,
    /// Two decimal digits a byte.
    Bcd,
}

/// Where a time stands and how it is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TimeDef {
    /// Where.
    pub source: SourceDef,
    /// Where a number stands that is added, in the same unit.
    pub base: Option<SourceDef>,
    /// How.
    pub unit: TimeUnit,
    /// The zone of a time that names none (IANA); `None`: such a time cannot be read.
    pub zone: Option<String>,
}

/// Forms of device times.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TimeUnit {
    /// Seconds since 1970, whole or fractional.
    Seconds,
    /// Milliseconds since 1970.
    Milliseconds,
    /// Microseconds since 1970.
    Microseconds,
    /// Nanoseconds since 1970.
    Nanoseconds,
    /// Seconds, milliseconds, microseconds or nanoseconds since 1970, by the number of digits (10, 13, 16, 19).
    Epoch,
    /// A number as in `Epoch`, a text as in `Iso`.
    Auto,
    /// RFC 3339 text.
    Rfc3339,
    /// Date and time as text: ISO 8601, extended or compact, with or without a zone.
    Iso,
    /// `yyyyMMddHHmmss` or `yyyyMMddHHmmssSSS` as digits, in the zone.
    Packed,
    /// Text of this `strptime` pattern.
    Pattern(String),
}

/// A mark: true or false, or one of some words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MarkDef {
    /// Where.
    pub source: SourceDef,
    /// The words that set it; empty: the value is true or false itself.
    pub is: Vec<String>,
}

/// A condition on one value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConditionDef {
    /// The value.
    pub source: SourceDef,
    /// What must be so.
    pub test: TestDef,
}

/// What must be so of a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TestDef {
    /// It is there (and not null), or not.
    Present(bool),
    /// It is one of these words (as in a map: `word`, `begin*`, `1..9`).
    Is(Vec<String>),
    /// It is none of them; also when it is absent.
    Not(Vec<String>),
}

/// A device above another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParentDef {
    /// Its kind.
    pub kind: String,
    /// Its id, a template of captures.
    pub device: String,
}

/// An answer to a command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AckDef {
    /// Where the command's id stands; `None`: the answer is to whatever is under way.
    pub id: Option<SourceDef>,
    /// What says that the device agrees; `None`: the answer itself does.
    pub ok: Option<MarkDef>,
}

/// One point of the kind from one place in the payload. Several of one point: the first that says something.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PointMap {
    /// The kind's point.
    pub point: String,
    /// The name by which the message chooses it; `None`: the point's own.
    pub name: Option<String>,
    /// Where the value stands.
    pub source: SourceDef,
    /// When it applies: all of these.
    pub conditions: Vec<ConditionDef>,
    /// What counts when the place has nothing.
    pub default: Option<String>,
    /// A null there makes the point unknown.
    pub null_unsets: bool,
    /// Only these bits of a whole number, moved down to the lowest.
    pub mask: Option<u64>,
    /// Words and numbers that are no reading (as in a map).
    pub none: Vec<String>,
    /// Numbers outside of these bounds are no reading.
    pub valid: Option<(f64, f64)>,
    /// Numbers outside of these bounds count as the bound. After scaling.
    pub clamp: Option<(f64, f64)>,
    /// The wire's unit; `None`: the point's own.
    pub unit: Option<String>,
    /// The gas, for a unit that becomes %LEL.
    pub gas: Option<String>,
    /// Factor from the wire's unit to the point's (numbers only).
    pub scale: f64,
    /// Added after scaling.
    pub offset: f64,
    /// True is false and false is true (bools only).
    pub invert: bool,
    /// Word on the wire (`word`, `begin*`, `1..9`, `*`) → word of the point's enum, `true`/`false` for a bool, a
    /// number, or nothing for no reading. Empty: the wire's value is the point's.
    pub map: Vec<(String, String)>,
}

impl MessageDef {
    /// Whether the payload or a text in it holds something.
    pub fn unpacks(&self) -> bool {
        matches!(self.form, Form::Packed(_)) || !self.unpack.is_empty()
    }
}

impl Default for PointMap {
    fn default() -> PointMap {
        PointMap {
            point: String::new(),
            name: None,
            source: SourceDef::default(),
            conditions: Vec::new(),
            default: None,
            null_unsets: false,
            mask: None,
            none: Vec::new(),
            valid: None,
            clamp: None,
            unit: None,
            gas: None,
            scale: 1.0,
            offset: 0.0,
            invert: false,
            map: Vec::new(),
        }
    }
}

impl SourceDef {
    /// One place.
    pub fn at(place: &str) -> SourceDef {
        SourceDef {
            at: vec![place.to_owned()],
            bytes: None,
        }
    }
}

/// How a command is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CommandDef {
    /// The kind that it is for; `None`: each.
    pub kind: Option<String>,
    /// The command; `None`: each.
    pub command: Option<String>,
    /// The topic, a template of captures and facts.
    pub topic: String,
    /// What is published.
    pub payload: CommandPayload,
}

/// What is published as a command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum CommandPayload {
    /// A text template.
    Text(String),
    /// JSON whose texts are templates: one that is nothing but `{expires_at}` or `{attempt}` becomes a number.
    Json(serde_json::Value),
}
