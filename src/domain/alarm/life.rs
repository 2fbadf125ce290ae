//! The condition axis of an alarm: the life of one (rule, device) as a state machine.
//!
//! ```text
//!            Holds, for = 0                     Clears, keep_for = 0 ┌─ not latched ─▶ Normal
//!  Normal ───────────────────────▶ Active ──────────────────────────▶│
//!    │  ▲                          ▲ ▲   │                           └─ latched ─▶ Recovered ─ Reset ─▶ Normal
//!    │  │ Lapses, Clears    Holds, │ │   │ Clears                         ▲  │
//!    ▼  │           deadline (for) │ │   ▼              deadline, Clears  │  │ Holds
//!   Pending ───────────────────────┘ └─ Recovering ──────────────────────┘  └──────▶ Active
//!                                 Holds, Lapses
//! ```
//!
//! Acknowledgement is an axis of its own: it never changes the condition. `Unknown` (missing data) moves nothing,
//! and a deadline counts only with evidence younger than the rule's `max_gap`: silence neither raises nor clears. A
//! rule with `after` is pending while it counts, and readings that do not hold leave its count alone.

use serde::{Deserialize, Serialize};

use super::super::rule::{Repeat, RuleDef};
use super::super::time::{Millis, Ticks, Timestamp};
use super::mask::Mask;
use super::view::AlarmState;
use super::{Ack, Standing};

/// When a condition was found holding, for a rule with `after`. Findings at the same instant are one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tally(Vec<Ticks>);

impl Tally {
    /// Whether a finding at `now` makes it enough.
    fn completes(&self, now: Ticks, after: Repeat) -> bool {
        let counted = self.0.iter().filter(|at| counts(**at, now, after)).count();
        counted + 1 >= usize::from(after.count)
    }

    /// Counts a finding at `now` and forgets those that are out of date.
    fn add(&mut self, now: Ticks, after: Repeat) {
        self.0.retain(|at| counts(*at, now, after));
        self.0.push(now);
    }
}

fn counts(at: Ticks, now: Ticks, after: Repeat) -> bool {
    at < now && now.since(at) < after.within
}

/// The condition axis of one (rule, device). Each state carries its own times.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub enum Life {
    /// Nothing is known to be wrong.
    #[default]
    Normal,
    /// The condition holds, not yet for the rule's `for`, or was not yet found holding as often as its `after` asks.
    Pending {
        /// Since when.
        since: Ticks,
        /// The last reading that showed it.
        confirmed: Ticks,
        /// For `after`: when it was found holding.
        tally: Tally,
    },
    /// The condition holds.
    Active(Box<Standing>),
    /// The condition is over, not yet for the rule's `keep_for`.
    Recovering {
        /// The alarm.
        standing: Box<Standing>,
        /// Since when it is over.
        since: Ticks,
        /// The last reading that showed it.
        confirmed: Ticks,
    },
    /// The condition is over for good; the latched alarm waits for its reset.
    Recovered {
        /// The alarm.
        standing: Box<Standing>,
        /// When its condition ended.
        at: Timestamp,
    },
}

/// What can happen to an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stimulus {
    /// A reading shows that the condition holds.
    Holds,
    /// A reading shows that it does not hold, and that `clear` does not either (hysteresis).
    Lapses,
    /// A reading shows that it is over.
    Clears,
    /// A reading leaves it open.
    Unknown,
    /// The deadline of the state has come.
    Deadline,
    /// An operator takes it on.
    Acknowledge,
    /// An operator resets it.
    Reset,
    /// Its rule is gone.
    RuleRemoved,
}

/// What a stimulus does to a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transition {
    /// Nothing.
    Stay,
    /// The state stays; its evidence is fresh.
    Confirm,
    /// Normal → Pending.
    Pend,
    /// Pending → Normal, with no alarm made.
    Lapse,
    /// Normal, Pending → Active: a new alarm.
    Raise,
    /// Recovered → Active: the standing alarm again, unacknowledged.
    RaiseAgain,
    /// Recovering → Active, silently: it had not recovered yet.
    Resume,
    /// Active → Recovering.
    BeginRecovery,
    /// Active, Recovering → Recovered, or → Normal when the rule does not latch.
    Recover,
    /// The acknowledgement axis moves.
    Acknowledge,
    /// Recovered → Normal.
    Reset,
    /// Whatever stands → Normal.
    Remove,
    /// An operator's wish that the state does not allow.
    Refuse,
}

impl Transition {
    /// Whether the state is another one afterwards; renewed evidence leaves it as it is.
    pub const fn moves(self) -> bool {
        match self {
            Transition::Stay | Transition::Confirm | Transition::Refuse | Transition::Acknowledge => false,
            Transition::Pend
            | Transition::Lapse
            | Transition::Raise
            | Transition::RaiseAgain
            | Transition::Resume
            | Transition::BeginRecovery
            | Transition::Recover
            | Transition::Reset
            | Transition::Remove => true,
        }
    }
}

impl Life {
    /// The transition table: what `stimulus` does at `now` under `rule`.
    #[expect(clippy::match_same_arms, reason = "a table is read state by state")]
    pub fn transition(&self, stimulus: Stimulus, now: Ticks, rule: &RuleDef) -> Transition {
        use Stimulus as S;
        let over = |since: Ticks, delay| now.since(since) >= delay;
        let fresh = |confirmed: Ticks| now.since(confirmed) <= rule.max_gap;
        match (self, stimulus) {
            (Life::Normal, S::Holds) if rule.hold.0 == 0 && rule.after.is_none() => Transition::Raise,
            (Life::Normal, S::Holds) => Transition::Pend,
            (Life::Normal, S::Lapses | S::Clears | S::Unknown | S::Deadline | S::RuleRemoved) => {
                Transition::Stay
            }
            (Life::Normal | Life::Pending { .. }, S::Acknowledge | S::Reset) => Transition::Refuse,

            (Life::Pending { since, tally, .. }, S::Holds) => {
                let enough = match rule.after {
                    Some(after) => tally.completes(now, after),
                    None => over(*since, rule.hold),
                };
                if enough {
                    Transition::Raise
                } else {
                    Transition::Confirm
                }
            }
            (Life::Pending { .. }, S::Lapses | S::Clears) if rule.after.is_some() => Transition::Stay,
            (Life::Pending { .. }, S::Lapses | S::Clears | S::RuleRemoved) => Transition::Lapse,
            (Life::Pending { .. }, S::Unknown) => Transition::Stay,
            (Life::Pending { since, confirmed, .. }, S::Deadline) => match rule.after {
                Some(after) if over(*confirmed, after.within) => Transition::Lapse,
                None if over(*since, rule.hold) && fresh(*confirmed) => Transition::Raise,
                Some(_) | None => Transition::Stay,
            },

            (Life::Active(standing), S::Clears) if off_delay(standing, rule) == Millis::ZERO => {
                Transition::Recover
            }
            (Life::Active(_), S::Clears) => Transition::BeginRecovery,
            (Life::Active(_), S::Holds | S::Lapses | S::Unknown | S::Deadline) => Transition::Stay,

            (Life::Recovering { .. }, S::Holds | S::Lapses) => Transition::Resume,
            // Silence proves nothing: the off-delay starts anew. (A danger that is still there after a silence is
            // raised above all the same: doubt falls on the safe side.)
            (Life::Recovering { confirmed, .. }, S::Clears) if !fresh(*confirmed) => {
                Transition::BeginRecovery
            }
            (Life::Recovering { since, standing, .. }, S::Clears)
                if over(*since, off_delay(standing, rule)) =>
            {
                Transition::Recover
            }
            (Life::Recovering { .. }, S::Clears) => Transition::Confirm,
            (
                Life::Recovering {
                    since,
                    confirmed,
                    standing,
                },
                S::Deadline,
            ) if over(*since, off_delay(standing, rule)) && fresh(*confirmed) => Transition::Recover,
            (Life::Recovering { .. }, S::Unknown | S::Deadline) => Transition::Stay,

            (Life::Recovered { .. }, S::Holds) => Transition::RaiseAgain,
            (Life::Recovered { .. }, S::Reset) => Transition::Reset,
            (Life::Recovered { .. }, S::Lapses | S::Clears | S::Unknown | S::Deadline) => Transition::Stay,

            (Life::Active(_) | Life::Recovering { .. }, S::Reset) => Transition::Refuse,
            (Life::Active(_) | Life::Recovering { .. } | Life::Recovered { .. }, S::Acknowledge) => {
                Transition::Acknowledge
            }
            (Life::Active(_) | Life::Recovering { .. } | Life::Recovered { .. }, S::RuleRemoved) => {
                Transition::Remove
            }
        }
    }

    /// When the state wants its [`Stimulus::Deadline`].
    pub fn deadline(&self, rule: &RuleDef) -> Option<Ticks> {
        match self {
            Life::Pending { since, confirmed, .. } => Some(match rule.after {
                Some(after) => confirmed.after(after.within),
                None => since.after(rule.hold),
            }),
            Life::Recovering { since, standing, .. } => Some(since.after(off_delay(standing, rule))),
            Life::Normal | Life::Active(_) | Life::Recovered { .. } => None,
        }
    }

    /// The alarm, if one stands.
    pub fn standing(&self) -> Option<&Standing> {
        match self {
            Life::Normal | Life::Pending { .. } => None,
            Life::Active(standing) | Life::Recovering { standing, .. } | Life::Recovered { standing, .. } => {
                Some(standing)
            }
        }
    }

    /// The alarm, if one stands, to change its acknowledgement.
    pub fn standing_mut(&mut self) -> Option<&mut Standing> {
        match self {
            Life::Normal | Life::Pending { .. } => None,
            Life::Active(standing) | Life::Recovering { standing, .. } | Life::Recovered { standing, .. } => {
                Some(standing)
            }
        }
    }

    /// Takes the alarm out, leaving [`Life::Normal`].
    pub fn take_standing(&mut self) -> Option<Box<Standing>> {
        match std::mem::take(self) {
            Life::Normal | Life::Pending { .. } => None,
            Life::Active(standing) | Life::Recovering { standing, .. } | Life::Recovered { standing, .. } => {
                Some(standing)
            }
        }
    }

    /// Notes that a reading at `now` confirmed what the state waits for.
    pub fn confirm(&mut self, now: Ticks, rule: &RuleDef) {
        match self {
            Life::Pending { confirmed, tally, .. } => {
                *confirmed = now;
                if let Some(after) = rule.after {
                    tally.add(now, after);
                }
            }
            Life::Recovering { confirmed, .. } => *confirmed = now,
            Life::Normal | Life::Active(_) | Life::Recovered { .. } => {}
        }
    }

    /// Whether the condition is over, not yet for the rule's `keep_for`.
    pub const fn is_recovering(&self) -> bool {
        match self {
            Life::Recovering { .. } => true,
            Life::Normal | Life::Pending { .. } | Life::Active(_) | Life::Recovered { .. } => false,
        }
    }

    /// For an alarm that its rule's limit keeps from being told of: when there may be room. One that is about to
    /// recover is told of only if it comes back.
    pub fn waits_for_room(&self) -> Option<Ticks> {
        match self {
            Life::Active(standing) | Life::Recovered { standing, .. } => match standing.mask {
                Mask::Limited { room_at } => Some(room_at),
                Mask::None | Mask::Suppressed { .. } | Mask::Shelved(_) | Mask::OutOfService(_) => None,
            },
            Life::Normal | Life::Pending { .. } | Life::Recovering { .. } => None,
        }
    }

    /// Whether an alarm stands whose condition is not over.
    pub const fn is_active(&self) -> bool {
        match self {
            Life::Active(_) | Life::Recovering { .. } => true,
            Life::Normal | Life::Pending { .. } | Life::Recovered { .. } => false,
        }
    }

    /// Where the alarm stands, as shown; `None` when there is none.
    pub fn state(&self) -> Option<AlarmState> {
        let standing = self.standing()?;
        Some(match (self.is_active(), &standing.ack) {
            (true, Ack::Unacknowledged) => AlarmState::ActiveUnacknowledged,
            (true, Ack::Acknowledged { .. }) => AlarmState::ActiveAcknowledged,
            (false, Ack::Unacknowledged) => AlarmState::RecoveredUnacknowledged,
            (false, Ack::Acknowledged { .. }) => AlarmState::RecoveredAcknowledged,
        })
    }
}

/// How long a condition must be over: a chattering alarm is held for as long as its chattering was counted.
fn off_delay(standing: &Standing, rule: &RuleDef) -> Millis {
    match standing.chatter {
        Some(_) => rule.keep_for.max(rule.chatter.within),
        None => rule.keep_for,
    }
}
