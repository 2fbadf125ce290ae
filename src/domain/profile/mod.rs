//! Declarative payload mapping: topic and bytes → points. Total: any input gives points or a [`Reject`], never a panic.

pub mod compile;
pub mod decoder;
mod json;
pub mod native;
#[cfg(test)]
mod tests;
mod topic;
mod value;

use serde::{Deserialize, Serialize};

use super::time::ClockBounds;

/// Why a message, or a part of it, was not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reject {
    /// No profile knows the topic.
    #[error("no profile matches the topic")]
    UnknownTopic,
    /// The topic names a kind that is not configured.
    #[error("device kind {0:?} is not one that devices can have: kinds.toml does not name it")]
    UnknownKind(String),
    /// The profile takes the venue from the registry and the device is not in it.
    #[error("device {0:?} is not registered and its topic names no venue")]
    UnknownVenue(String),
    /// There are as many devices as the limit allows.
    #[error("the limit of devices is reached")]
    TooManyDevices,
    /// The payload is larger than allowed.
    #[error("payload of {0} bytes is over the limit")]
    TooLarge(usize),
    /// The payload is not UTF-8 text.
    #[error("payload is not UTF-8")]
    InvalidUtf8,
    /// The payload is not well-formed JSON (truncated, too deep, NaN, a number beyond `f64`).
    #[error("payload is not valid JSON: {0}")]
    InvalidJson(String),
    /// An object names a member twice: which one is meant cannot be told.
    #[error("member {0:?} occurs twice")]
    DuplicateMember(String),
    /// A member has the wrong type or a word that its map does not know. The other points were used.
    #[error("point {point:?}: {problem}")]
    BadValue {
        /// The point.
        point: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A number outside the point's credible range. The other points were used.
    #[error("point {0:?} is outside its range")]
    OutOfRange(String),
    /// The payload is no Sparkplug B message.
    #[error("payload is not valid protobuf: {0}")]
    InvalidProtobuf(String),
    /// A value came by an alias that no birth has explained; a rebirth is asked for. The other points were used.
    #[error("an alias that no birth has explained: what the value means is not known")]
    NoBirth,
}

impl Reject {
    /// Every reason, for counters resolved at start.
    pub const REASONS: [&'static str; 12] = [
        "unknown_topic",
        "unknown_kind",
        "unknown_venue",
        "too_many_devices",
        "too_large",
        "invalid_utf8",
        "invalid_json",
        "duplicate_member",
        "bad_value",
        "out_of_range",
        "invalid_protobuf",
        "no_birth",
    ];

    /// The reason as metrics and the store have it: one of [`Reject::REASONS`].
    pub const fn reason(&self) -> &'static str {
        match self {
            Reject::UnknownTopic => "unknown_topic",
            Reject::UnknownKind(_) => "unknown_kind",
            Reject::UnknownVenue(_) => "unknown_venue",
            Reject::TooManyDevices => "too_many_devices",
            Reject::TooLarge(_) => "too_large",
            Reject::InvalidUtf8 => "invalid_utf8",
            Reject::InvalidJson(_) => "invalid_json",
            Reject::DuplicateMember(_) => "duplicate_member",
            Reject::BadValue { .. } => "bad_value",
            Reject::OutOfRange(_) => "out_of_range",
            Reject::InvalidProtobuf(_) => "invalid_protobuf",
            Reject::NoBirth => "no_birth",
        }
    }
}

/// A profile as written: which topics, and how their payloads map to points.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProfileDef {
    /// Its name.
    pub name: String,
    /// MQTT filters to subscribe to.
    pub subscribe: Vec<String>,
    /// Filters of topics that are known and not for us (our own commands, say).
    pub ignore: Vec<String>,
    /// How far the devices' clocks may be off.
    pub clock: ClockBounds,
    /// The mappings, tried in order.
    pub messages: Vec<MessageDef>,
}

/// One sort of message: a topic template and what its payload means.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MessageDef {
    /// Topic levels, with captures of one whole level in braces: `ninewatch/{venue}/{kind}/{device}/telemetry`.
    /// `{device}` is required.
    pub topic: String,
    /// The device kind; `None`: captured from the topic as `{kind}`.
    pub kind: Option<String>,
    /// The venue; `None`: captured as `{venue}`, else looked up in the registry by (kind, device).
    pub venue: Option<String>,
    /// How to read the payload.
    pub payload: PayloadDef,
}

/// How a payload is read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum PayloadDef {
    /// A JSON object.
    Json {
        /// Where the device's time stands.
        time: Option<TimeDef>,
        /// JSON Pointer of a bool that marks a self-test.
        test: Option<String>,
        /// JSON Pointer of a bool that marks a backlog sample.
        history: Option<String>,
        /// JSON Pointer of a whole number that is another in each message of a device.
        seq: Option<String>,
        /// Take every point of the kind from the top-level member of its own name (the native form).
        by_name: bool,
        /// Points mapped one by one; they go before `by_name`.
        points: Vec<PointMap>,
    },
    /// The whole payload is one text value.
    Text {
        /// What it means; its `at` is not used.
        point: PointMap,
    },
}

/// Where a time stands and in which unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeDef {
    /// JSON Pointer.
    pub at: String,
    /// Its unit.
    pub unit: TimeUnit,
}

/// Units of device times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TimeUnit {
    /// Seconds since 1970, whole or fractional.
    Seconds,
    /// Milliseconds since 1970.
    Milliseconds,
    /// Microseconds since 1970.
    Microseconds,
    /// RFC 3339 text.
    Rfc3339,
}

/// One point of the kind from one place in the payload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PointMap {
    /// The kind's point.
    pub point: String,
    /// JSON Pointer (RFC 6901) of the value.
    pub at: String,
    /// Factor from the wire's unit to the point's (numbers only).
    pub scale: f64,
    /// Added after scaling.
    pub offset: f64,
    /// Word (or `true`/`false`/number as text) on the wire → word of the point's enum, `true`/`false` for a
    /// bool, or a number. Empty: the wire's value is the point's.
    pub map: Vec<(String, String)>,
}
