//! Declarative payload mapping: topic and bytes → points. Total: any input gives points or a [`Reject`], never a panic.

mod codecs;
pub mod command;
pub mod compile;
pub mod decoder;
pub mod def;
pub mod devices;
mod flat;
mod follow;
mod general;
mod hear;
mod json;
pub mod native;
mod parts;
mod place;
mod plan;
mod scan;
mod source;
pub mod sparkplug;
mod table;
#[cfg(test)]
mod tests;
mod text;
mod topic;
pub mod trial;
mod unpack;
mod wire;

/// Why a message, or a part of it, was not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reject {
    /// No profile knows the topic.
    #[error("no profile matches the topic")]
    UnknownTopic,
    /// The topic names a kind that is not configured.
    #[error("device kind {0:?} is not one that devices can have: kinds.toml does not name it")]
    UnknownKind(String),
    /// The message does not say which device it is, or names another than its topic.
    #[error("which device speaks cannot be told: {0}")]
    BadIdentity(String),
    /// The message has more items or devices than one message may.
    #[error("more than {0} items in one message")]
    TooManyItems(usize),
    /// There are as many devices as the limit allows.
    #[error("the limit of devices is reached")]
    TooManyDevices,
    /// Nobody registered the device, and there are as many of those as the limit allows.
    #[error("nobody registered this device, and the limit of such devices is reached")]
    TooManyUnregistered,
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
    pub const REASONS: [&'static str; 14] = [
        "unknown_topic",
        "unknown_kind",
        "bad_identity",
        "too_many_items",
        "too_many_devices",
        "too_many_unregistered",
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
            Reject::BadIdentity(_) => "bad_identity",
            Reject::TooManyItems(_) => "too_many_items",
            Reject::TooManyDevices => "too_many_devices",
            Reject::TooManyUnregistered => "too_many_unregistered",
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
