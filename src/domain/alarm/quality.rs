//! The quality axis: how far the evidence of an alarm can be trusted. Moves nothing by itself.

use serde::{Deserialize, Serialize};

/// How good the evidence of an alarm is; of several reasons for doubt the gravest is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quality {
    /// The device speaks, is well, and its values decide the condition.
    Good,
    /// A value that the condition needs is not known.
    Uncertain,
    /// The device is offline, or has been silent for longer than the rule's `max_gap`.
    Stale,
    /// The device says that it is broken (`faulty` of its kind).
    Fault,
}

impl Quality {
    /// The quality of evidence that has these doubts about it.
    pub const fn of(unknown: bool, stale: bool, faulty: bool) -> Quality {
        if faulty {
            Quality::Fault
        } else if stale {
            Quality::Stale
        } else if unknown {
            Quality::Uncertain
        } else {
            Quality::Good
        }
    }

    /// The word used in messages and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Quality::Good => "good",
            Quality::Uncertain => "uncertain",
            Quality::Stale => "stale",
            Quality::Fault => "fault",
        }
    }
}
