//! How a simulated device speaks: its points as topics and bytes, and bytes on its command topic as an order. One file
//! a profile. Pure.

mod native;

use super::body::Points;
use super::unit::Order;
use crate::domain::device::DeviceKey;
use crate::domain::time::Timestamp;

/// A message that a device publishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its topic.
    pub topic: String,
    /// Its bytes.
    pub payload: Vec<u8>,
}

/// A wire form, named like the profile that reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Voice {
    /// ninewatch's own.
    Native,
}

impl Voice {
    /// What `key` publishes to say `points`.
    pub fn telemetry(self, key: &DeviceKey, points: &Points, now: Timestamp) -> Vec<Message> {
        match self {
            Voice::Native => vec![native::telemetry(key, points, now)],
        }
    }

    /// What says that `key` is online, or not: retained, and its last will.
    pub fn status(self, key: &DeviceKey, online: bool) -> Message {
        match self {
            Voice::Native => native::status(key, online),
        }
    }

    /// Nonsense from `key`, a different sort each turn.
    pub fn lie(self, key: &DeviceKey, turn: usize, now: Timestamp) -> Message {
        match self {
            Voice::Native => native::lie(key, turn, now),
        }
    }

    /// The filters under which commands come.
    pub const fn subscriptions(self) -> &'static [&'static str] {
        match self {
            Voice::Native => &["ninewatch/+/+/+/command"],
        }
    }

    /// Where commands for `key` come.
    pub fn command_topic(self, key: &DeviceKey) -> String {
        match self {
            Voice::Native => native::topic(key, "command"),
        }
    }

    /// The order that these bytes on its command topic give. `None`: they give none.
    pub fn order(self, payload: &[u8]) -> Option<Order> {
        match self {
            Voice::Native => native::order(payload),
        }
    }

    /// What `key` publishes to say that it took `order`, or that it will not, if the form has such a word.
    pub fn acknowledgement(self, key: &DeviceKey, order: &Order, ok: bool) -> Option<Message> {
        match self {
            Voice::Native => native::acknowledgement(key, order, ok),
        }
    }
}
