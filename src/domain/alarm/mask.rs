//! The mask axis: why nobody is told of an alarm. A masked alarm is evaluated, stored and counted like any other,
//! and when its mask ends while it still stands, it is announced.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::super::time::{Millis, Moment, Ticks, Timestamp};
use super::Operator;

/// How long an alarm may be shelved: a minute to a week.
pub const SHELF: RangeInclusive<Millis> = Millis(60_000)..=Millis(7 * 86_400_000);

/// How long a device may be out of service: a minute to 30 days.
pub const OUT_OF_SERVICE: RangeInclusive<Millis> = Millis(60_000)..=Millis(30 * 86_400_000);

/// What a person keeps quiet, for how long, and why. It always ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// When it ends, in gateway time: this decides.
    pub ends: Ticks,
    /// When it ends by the wall clock, as foreseen when it began: for people.
    pub until: Timestamp,
    /// Who asked for it.
    pub operator: Operator,
}

impl Pause {
    /// A pause of this length from `now` on.
    pub fn new(now: Moment, length: Millis, operator: Operator) -> Pause {
        let wall_ms = i64::try_from(length.0).unwrap_or(i64::MAX);
        Pause {
            ends: now.ticks.after(length),
            until: Timestamp(now.wall.0.saturating_add(wall_ms)),
            operator,
        }
    }
}

/// Why nobody is told of an alarm, the weakest reason first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Mask {
    /// Nothing: people are told.
    #[default]
    None,
    /// Its rule was told of as often as its `limit` allows.
    Limited {
        /// When there may be room again.
        room_at: Ticks,
    },
    /// An active alarm of another rule, on the same device or on its venue, explains it.
    Suppressed {
        /// The other rule.
        by: String,
    },
    /// An operator has shelved its rule on this device.
    Shelved(Pause),
    /// Its device is out of service.
    OutOfService(Pause),
}

/// What explains an alarm at this moment, apart from its rule's limit, which counts only once it would be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaskReason<'a> {
    /// Nothing does.
    Nothing,
    /// An active alarm of the rule with this id.
    Rule(&'a str),
    /// It is shelved.
    Shelf(&'a Pause),
    /// Its device is out of service.
    Service(&'a Pause),
}

impl MaskReason<'_> {
    /// The mask that it puts on.
    pub fn mask(self) -> Mask {
        match self {
            MaskReason::Nothing => Mask::None,
            MaskReason::Rule(by) => Mask::Suppressed { by: by.to_owned() },
            MaskReason::Shelf(pause) => Mask::Shelved(pause.clone()),
            MaskReason::Service(pause) => Mask::OutOfService(pause.clone()),
        }
    }
}

/// What becomes of a standing alarm's mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaskChange {
    /// Nothing.
    Stay,
    /// It is kept although nothing explains the alarm any more: what is about to recover is told of only if it comes
    /// back.
    Hold,
    /// It is put on, or another one in its place.
    PutOn,
    /// It comes off and the alarm is announced, if its rule's limit has room; else it is limited.
    TakeOff,
}

impl Mask {
    /// The table of the mask axis: what `reason` does to it. `recovering`: the alarm's condition is over, not yet for
    /// long enough.
    pub fn change(&self, reason: MaskReason<'_>, recovering: bool) -> MaskChange {
        use MaskReason as R;
        match (self, reason) {
            (Mask::None, R::Nothing) => MaskChange::Stay,
            (
                Mask::Limited { .. } | Mask::Suppressed { .. } | Mask::Shelved(_) | Mask::OutOfService(_),
                R::Nothing,
            ) if recovering => MaskChange::Hold,
            (
                Mask::Limited { .. } | Mask::Suppressed { .. } | Mask::Shelved(_) | Mask::OutOfService(_),
                R::Nothing,
            ) => MaskChange::TakeOff,
            (Mask::Suppressed { by }, R::Rule(rule)) if by == rule => MaskChange::Stay,
            (Mask::Shelved(old), R::Shelf(pause)) if old == pause => MaskChange::Stay,
            (Mask::OutOfService(old), R::Service(pause)) if old == pause => MaskChange::Stay,
            (
                Mask::None
                | Mask::Limited { .. }
                | Mask::Suppressed { .. }
                | Mask::Shelved(_)
                | Mask::OutOfService(_),
                R::Rule(_) | R::Shelf(_) | R::Service(_),
            ) => MaskChange::PutOn,
        }
    }

    /// Whether people are told.
    pub const fn is_none(&self) -> bool {
        match self {
            Mask::None => true,
            Mask::Limited { .. } | Mask::Suppressed { .. } | Mask::Shelved(_) | Mask::OutOfService(_) => {
                false
            }
        }
    }

    /// The word used in messages and the API; `None` when there is no mask.
    pub const fn kind(&self) -> Option<&'static str> {
        match self {
            Mask::None => None,
            Mask::Limited { .. } => Some("limited"),
            Mask::Suppressed { .. } => Some("suppressed"),
            Mask::Shelved(_) => Some("shelved"),
            Mask::OutOfService(_) => Some("out_of_service"),
        }
    }
}
