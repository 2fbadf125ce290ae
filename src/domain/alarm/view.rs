//! What others see of an alarm: its state in one word, the steps of its life as events, and the alarm at one instant.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::device::DeviceKey;
use super::super::id::Id;
use super::super::rule::{Priority, RuleDef};
use super::super::time::Timestamp;
use super::{Ack, Handling, Mask, Operator, Quality, Verdict};

/// Where an alarm stands, as shown: condition and acknowledgement together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlarmState {
    /// The condition holds; nobody has acknowledged.
    ActiveUnacknowledged,
    /// The condition holds; somebody has acknowledged.
    ActiveAcknowledged,
    /// The condition is over; it waits for a reset; nobody has acknowledged.
    RecoveredUnacknowledged,
    /// The condition is over; it waits for a reset; somebody has acknowledged.
    RecoveredAcknowledged,
    /// Its life has ended.
    Cleared,
}

impl AlarmState {
    /// The word used in messages, the API and the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            AlarmState::ActiveUnacknowledged => "active_unacknowledged",
            AlarmState::ActiveAcknowledged => "active_acknowledged",
            AlarmState::RecoveredUnacknowledged => "recovered_unacknowledged",
            AlarmState::RecoveredAcknowledged => "recovered_acknowledged",
            AlarmState::Cleared => "cleared",
        }
    }
}

/// Why an alarm's life ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClearReason {
    /// Its condition ended and its rule does not latch.
    Recovered,
    /// An operator reset it after recovery.
    Reset(Operator),
    /// Its rule is gone from the configuration.
    RuleRemoved,
    /// Its device is out of use: retired, or somebody else by now.
    DeviceRetired,
}

impl ClearReason {
    /// The word used in messages, the API and the event chain.
    pub const fn as_str(&self) -> &'static str {
        match self {
            ClearReason::Recovered => "recovered",
            ClearReason::Reset(_) => "reset",
            ClearReason::RuleRemoved => "rule_removed",
            ClearReason::DeviceRetired => "device_retired",
        }
    }

    /// Who ended it, if a person did.
    pub fn by(&self) -> Option<&str> {
        match self {
            ClearReason::Reset(operator) => Some(&operator.by),
            ClearReason::Recovered | ClearReason::RuleRemoved | ClearReason::DeviceRetired => None,
        }
    }
}

/// A step in an alarm's life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AlarmStep {
    /// The condition came to hold (again, when the alarm was recovered and latched).
    Raised,
    /// It came to hold too often: from now on it is held until it has been quiet for a while.
    Chattering,
    /// Nothing masks it any more, and it still stands.
    Announced,
    /// An alarm of another rule explains it from now on.
    Suppressed,
    /// Its mask is over, and its rule has been told of as often as its limit allows.
    Limited,
    /// Somebody shelved it.
    Shelved {
        /// Until when.
        until: Timestamp,
        /// Who.
        operator: Operator,
    },
    /// Its shelf ended: by somebody, or by itself.
    Unshelved(Option<Operator>),
    /// Somebody took its device out of service.
    OutOfService {
        /// Until when.
        until: Timestamp,
        /// Who.
        operator: Operator,
    },
    /// Its device is in service again: by somebody, or by itself.
    InService(Option<Operator>),
    /// Somebody took it on.
    Acknowledged(Operator),
    /// The condition ended.
    Recovered,
    /// Its life ended.
    Cleared(ClearReason),
    /// Somebody said what it was.
    Verified {
        /// What.
        verdict: Verdict,
        /// Who.
        operator: Operator,
    },
    /// Somebody closed the matter.
    Closed(Operator),
    /// Too many ended alarms wait to be closed: this one, the oldest, no longer can be.
    Unclosed,
    /// Nobody has acknowledged it in time: a chain tells again, or higher.
    Escalated(Telling),
}

/// A telling of a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Telling {
    /// The chain's name.
    pub chain: String,
    /// The level, from 1.
    pub level: u8,
    /// How often that level was told before.
    pub repeat: u32,
}

impl AlarmStep {
    /// The event type of CONTRACT's webhook body, for example `alarm.raised`.
    pub const fn event_type(&self) -> &'static str {
        match self {
            AlarmStep::Raised | AlarmStep::Announced => "alarm.raised",
            AlarmStep::Chattering => "alarm.chattering",
            AlarmStep::Suppressed => "alarm.suppressed",
            AlarmStep::Limited => "alarm.limited",
            AlarmStep::Shelved { .. } => "alarm.shelved",
            AlarmStep::Unshelved(_) => "alarm.unshelved",
            AlarmStep::OutOfService { .. } => "alarm.out_of_service",
            AlarmStep::InService(_) => "alarm.in_service",
            AlarmStep::Acknowledged(_) => "alarm.acknowledged",
            AlarmStep::Recovered => "alarm.recovered",
            AlarmStep::Cleared(_) => "alarm.cleared",
            AlarmStep::Verified { .. } => "alarm.verified",
            AlarmStep::Closed(_) => "alarm.closed",
            AlarmStep::Unclosed => "alarm.unclosed",
            AlarmStep::Escalated(_) => "alarm.escalated",
        }
    }

    /// The step's word in metrics and rule tests, for example `raised`.
    pub fn as_str(&self) -> &'static str {
        match self {
            AlarmStep::Announced => "announced",
            AlarmStep::Raised
            | AlarmStep::Chattering
            | AlarmStep::Suppressed
            | AlarmStep::Limited
            | AlarmStep::Shelved { .. }
            | AlarmStep::Unshelved(_)
            | AlarmStep::OutOfService { .. }
            | AlarmStep::InService(_)
            | AlarmStep::Acknowledged(_)
            | AlarmStep::Recovered
            | AlarmStep::Cleared(_)
            | AlarmStep::Verified { .. }
            | AlarmStep::Closed(_)
            | AlarmStep::Unclosed
            | AlarmStep::Escalated(_) => self.event_type().trim_start_matches("alarm."),
        }
    }

    /// Which telling of a chain it is, if it is one.
    pub const fn telling(&self) -> Option<&Telling> {
        if let AlarmStep::Escalated(telling) = self {
            return Some(telling);
        }
        None
    }

    /// Why the alarm's life ended, if this step ended it.
    pub const fn end(&self) -> Option<&ClearReason> {
        match self {
            AlarmStep::Cleared(reason) => Some(reason),
            AlarmStep::Raised
            | AlarmStep::Chattering
            | AlarmStep::Announced
            | AlarmStep::Suppressed
            | AlarmStep::Limited
            | AlarmStep::Shelved { .. }
            | AlarmStep::Unshelved(_)
            | AlarmStep::OutOfService { .. }
            | AlarmStep::InService(_)
            | AlarmStep::Acknowledged(_)
            | AlarmStep::Recovered
            | AlarmStep::Verified { .. }
            | AlarmStep::Closed(_)
            | AlarmStep::Unclosed
            | AlarmStep::Escalated(_) => None,
        }
    }

    /// The operator behind it, if a person made it.
    pub const fn operator(&self) -> Option<&Operator> {
        match self {
            AlarmStep::Acknowledged(operator)
            | AlarmStep::Cleared(ClearReason::Reset(operator))
            | AlarmStep::Shelved { operator, .. }
            | AlarmStep::OutOfService { operator, .. }
            | AlarmStep::Verified { operator, .. }
            | AlarmStep::Closed(operator) => Some(operator),
            AlarmStep::Unshelved(operator) | AlarmStep::InService(operator) => operator.as_ref(),
            AlarmStep::Raised
            | AlarmStep::Chattering
            | AlarmStep::Announced
            | AlarmStep::Suppressed
            | AlarmStep::Limited
            | AlarmStep::Recovered
            | AlarmStep::Cleared(
                ClearReason::Recovered | ClearReason::RuleRemoved | ClearReason::DeviceRetired,
            )
            | AlarmStep::Unclosed
            | AlarmStep::Escalated(_) => None,
        }
    }
}

/// One step of one alarm with everything a message or record of it needs.
#[derive(Debug, Clone)]
pub struct AlarmEvent {
    /// The event's own id, derived from the input that caused it.
    pub id: Id,
    /// When.
    pub at: Timestamp,
    /// What happened.
    pub step: AlarmStep,
    /// Whether people are told of it; it is stored in any case.
    pub notify: bool,
    /// The alarm after it.
    pub alarm: AlarmView,
}

impl AlarmEvent {
    /// Whether those who are told of it must not wait: a critical alarm has come.
    pub fn is_urgent(&self) -> bool {
        let comes = matches!(
            self.step,
            AlarmStep::Raised | AlarmStep::Chattering | AlarmStep::Announced | AlarmStep::Escalated(_)
        );
        comes && self.alarm.rule.priority == Priority::Critical
    }
}

/// An alarm as it stood at one instant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlarmView {
    /// The alarm's id; it keeps it through its life.
    pub id: Id,
    /// Its rule.
    pub rule: Arc<RuleDef>,
    /// Its device.
    pub device: Arc<DeviceKey>,
    /// Where it stands.
    pub state: AlarmState,
    /// When it was (last) raised.
    pub raised_at: Timestamp,
    /// Who acknowledged it and when.
    pub ack: Ack,
    /// When its condition ended, if it has.
    pub recovered_at: Option<Timestamp>,
    /// Whether it was the first of its class among its venue's standing alarms.
    pub first_out: bool,
    /// The age of the sample that raised it, in milliseconds, when that came late.
    pub late_by_ms: Option<u64>,
    /// How often it was raised, once it counts as chattering.
    pub chatter: Option<u32>,
    /// Why nobody is told of it.
    pub mask: Mask,
    /// How good the evidence was at this step.
    pub quality: Quality,
    /// How far its handling has come, for class `alarm`.
    pub handling: Option<Handling>,
    /// Why its life ended, once it has.
    pub ended: Option<ClearReason>,
    /// The device's known points at this step: name and value as shown.
    #[serde(with = "values")]
    pub values: Vec<(String, serde_json::Value)>,
}

/// Shown values in a form that bytes can keep exactly: JSON's own reader may lose a number's last digit.
mod values {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use serde_json::Value;

    #[derive(Serialize, Deserialize)]
    enum Kept {
        Number(f64),
        Bool(bool),
        Word(String),
        Nothing,
    }

    pub(super) fn serialize<S: Serializer>(
        values: &[(String, Value)],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let kept = values.iter().map(|(name, value)| {
            let kept = match value {
                Value::Number(number) => number.as_f64().map_or(Kept::Nothing, Kept::Number),
                Value::Bool(on) => Kept::Bool(*on),
                Value::String(word) => Kept::Word(word.clone()),
                Value::Null | Value::Array(_) | Value::Object(_) => Kept::Nothing,
            };
            (name, kept)
        });
        kept.collect::<Vec<_>>().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<(String, Value)>, D::Error> {
        let kept = Vec::<(String, Kept)>::deserialize(deserializer)?;
        let shown = kept.into_iter().map(|(name, kept)| {
            let value = match kept {
                Kept::Number(number) => number.into(),
                Kept::Bool(on) => on.into(),
                Kept::Word(word) => word.into(),
                Kept::Nothing => Value::Null,
            };
            (name, value)
        });
        Ok(shown.collect())
    }
}
