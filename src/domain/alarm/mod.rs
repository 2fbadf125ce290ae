//! The life of an alarm: one (rule, device). Its axes as state machines, and the record of each step. Axes move
//! independently: condition (`life`), acknowledgement, mask, handling, and the quality of the evidence.

mod handling;
mod life;
mod mask;
mod quality;
mod view;

use serde::{Deserialize, Serialize};

pub use self::handling::{Handling, HandlingStimulus, HandlingTransition, Judgement, Verdict};
pub use self::life::{Life, Stimulus, Tally, Transition};
pub use self::mask::{Mask, MaskChange, MaskReason, OUT_OF_SERVICE, Pause, SHELF};
pub use self::quality::Quality;
pub use self::view::{AlarmEvent, AlarmState, AlarmStep, AlarmView, ClearReason, Telling};
use super::id::Id;
use super::time::Timestamp;

/// Who did something, and what they said of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operator {
    /// The person's or system's name.
    pub by: String,
    /// Their remark.
    pub note: Option<String>,
}

/// The acknowledgement axis.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ack {
    /// Nobody has taken it on.
    Unacknowledged,
    /// Somebody has.
    Acknowledged {
        /// Who.
        operator: Operator,
        /// When.
        at: Timestamp,
    },
}

/// What is remembered of a standing alarm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// The alarm's id.
    pub id: Id,
    /// When it was (last) raised.
    pub raised_at: Timestamp,
    /// Whether it was the first of its class among the venue's standing alarms.
    pub first_out: bool,
    /// The age of the sample that raised it, in milliseconds, when that came late.
    pub late_by_ms: Option<u64>,
    /// The acknowledgement axis.
    pub ack: Ack,
    /// How often it was raised, once it counts as chattering.
    pub chatter: Option<u32>,
    /// The mask axis: why nobody is told of it.
    pub mask: Mask,
    /// Whether anybody was told of it: whoever was, is told of its end.
    pub announced: bool,
    /// The handling axis. It counts for class `alarm`.
    pub handling: Handling,
}
