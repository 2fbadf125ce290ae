//! The handling axis of alarms of class `alarm`: what it was (核警), and when the matter was closed. It moves with
//! the alarm's life and goes on after it.

use serde::{Deserialize, Serialize};

use super::super::time::Timestamp;
use super::Operator;

/// What an alarm turned out to be (核警).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// 真实: the hazard was there.
    Real,
    /// 误报: it was not.
    False,
    /// 测试: somebody tested the device.
    Test,
    /// 演练: a drill.
    Drill,
}

impl Verdict {
    /// Every verdict.
    pub const ALL: [Verdict; 4] = [Verdict::Real, Verdict::False, Verdict::Test, Verdict::Drill];

    /// The word used in messages, the API and rule tests.
    pub const fn as_str(self) -> &'static str {
        match self {
            Verdict::Real => "real",
            Verdict::False => "false",
            Verdict::Test => "test",
            Verdict::Drill => "drill",
        }
    }
}

/// A verdict as it was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judgement {
    /// What the alarm was.
    pub verdict: Verdict,
    /// By whom.
    pub operator: Operator,
    /// When.
    pub at: Timestamp,
}

/// How far the handling of an alarm has come.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Handling {
    /// It stands; nobody has said what it is.
    #[default]
    Unverified,
    /// It stands, and somebody has.
    Verified(Judgement),
    /// Its life has ended before anybody did.
    Ended,
    /// Its life has ended, and somebody has.
    Handled(Judgement),
    /// The matter is closed.
    Closed(Judgement),
}

/// What can happen to the handling of an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandlingStimulus {
    /// An operator says what it is, or says otherwise than before.
    Verdict,
    /// The alarm's life ends.
    End,
    /// A recovered alarm is raised again: a new occurrence wants a new verdict.
    RaisedAgain,
    /// An operator closes the matter.
    Close,
}

/// What a stimulus does to the handling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandlingTransition {
    /// Nothing.
    Stay,
    /// → Verified.
    Verify,
    /// Unverified → Ended.
    End,
    /// → Handled.
    Handle,
    /// Verified → Unverified.
    Reopen,
    /// Handled → Closed.
    Close,
    /// An operator's wish that the state does not allow.
    Refuse,
}

impl Handling {
    /// The table of the handling axis.
    #[expect(clippy::match_same_arms, reason = "a table is read state by state")]
    pub const fn transition(&self, stimulus: HandlingStimulus) -> HandlingTransition {
        use HandlingStimulus as S;
        use HandlingTransition as T;
        match (self, stimulus) {
            (Handling::Unverified, S::Verdict) => T::Verify,
            (Handling::Unverified, S::End) => T::End,
            (Handling::Unverified, S::RaisedAgain) => T::Stay,
            (Handling::Unverified, S::Close) => T::Refuse,

            (Handling::Verified(_), S::Verdict) => T::Verify,
            (Handling::Verified(_), S::End) => T::Handle,
            (Handling::Verified(_), S::RaisedAgain) => T::Reopen,
            (Handling::Verified(_), S::Close) => T::Refuse,

            (Handling::Ended, S::Verdict) => T::Handle,
            (Handling::Ended, S::End | S::RaisedAgain) => T::Stay,
            (Handling::Ended, S::Close) => T::Refuse,

            (Handling::Handled(_), S::Verdict) => T::Handle,
            (Handling::Handled(_), S::End | S::RaisedAgain) => T::Stay,
            (Handling::Handled(_), S::Close) => T::Close,

            (Handling::Closed(_), S::End | S::RaisedAgain) => T::Stay,
            (Handling::Closed(_), S::Verdict | S::Close) => T::Refuse,
        }
    }

    /// Carries out what `stimulus` does; `new` is the verdict, when it is about one.
    pub fn advance(&mut self, stimulus: HandlingStimulus, new: Option<Judgement>) -> HandlingTransition {
        let transition = self.transition(stimulus);
        let judgement = new.or_else(|| self.judgement().cloned());
        *self = match (transition, judgement) {
            (HandlingTransition::Verify, Some(judgement)) => Handling::Verified(judgement),
            (HandlingTransition::Handle, Some(judgement)) => Handling::Handled(judgement),
            (HandlingTransition::Close, Some(judgement)) => Handling::Closed(judgement),
            (HandlingTransition::End, _) => Handling::Ended,
            (HandlingTransition::Reopen, _) => Handling::Unverified,
            (HandlingTransition::Stay | HandlingTransition::Refuse, _)
            | (HandlingTransition::Verify | HandlingTransition::Handle | HandlingTransition::Close, None) => {
                return transition;
            }
        };
        transition
    }

    /// The verdict, if there is one.
    pub const fn judgement(&self) -> Option<&Judgement> {
        match self {
            Handling::Unverified | Handling::Ended => None,
            Handling::Verified(judgement) | Handling::Handled(judgement) | Handling::Closed(judgement) => {
                Some(judgement)
            }
        }
    }

    /// The word used in messages and the API.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Handling::Unverified | Handling::Ended => "unverified",
            Handling::Verified(_) => "verified",
            Handling::Handled(_) => "handled",
            Handling::Closed(_) => "closed",
        }
    }
}
