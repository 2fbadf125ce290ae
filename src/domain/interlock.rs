//! Commands: what a device is told to do, and whether its own feedback proves that it did. The life of one order; who
//! orders what, the engine decides.
//!
//! ```text
//! Requested ──broker has it──▶ Sent ──device says yes──▶ Acknowledged
//!     │                         │      (or no: Declined)      │
//!     └───────────── its points fulfil `verify` ──────────────┴──▶ Verified
//!     └── time over: sent again while attempts are left, then ──▶ Failed
//!     └── a command that matters more ──▶ Superseded
//! ```
//!
//! Neither the broker's word nor the device's acknowledgement is success: only what the device reports of itself after
//! the order was given (DESIGN §7).

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::alarm::{AlarmView, Operator};
use super::device::{DeviceIndex, DeviceKey};
use super::id::Id;
use super::text::Text;
use super::time::{Millis, Timestamp};

/// How long a device has for an attempt where nobody says (`within`).
pub const DEFAULT_WITHIN: Millis = Millis(10_000);

/// How often a command is sent at most where nobody says (`attempts`).
pub const DEFAULT_ATTEMPTS: u8 = 3;

/// How old the sample behind an alarm may be for the alarm to command anything, where nobody says (`max_age`).
pub const DEFAULT_MAX_AGE: Millis = Millis(60_000);

/// A command that devices of a kind obey, as written in a kinds file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CommandDef {
    /// Its name, as in the messages to the device: `close`.
    pub id: String,
    /// Its name for people.
    pub title: Text,
    /// CEL: when the device's own points show that it has obeyed.
    pub verify: String,
    /// CEL: when they show that it has not, whatever `verify` says.
    pub unless: Option<String>,
    /// How long the device has for each attempt.
    pub within: Millis,
    /// How often it is sent at most.
    pub attempts: u8,
    /// It brings the danger back (opens a valve, switches a port on): no rule may order it, and an operator only where the
    /// device's registration allows it.
    pub opens: bool,
}

/// What a rule's alarm orders, as written in a rules file (`[[rule.then]]`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionDef {
    /// The command.
    pub command: String,
    /// The kind of the devices in the alarm's venue that are to obey; `None`: the alarm's own device.
    pub to: Option<String>,
    /// In the place of the kind's own.
    pub verify: Option<String>,
    /// In the place of the kind's own.
    pub within: Option<Millis>,
    /// In the place of the kind's own.
    pub attempts: Option<u8>,
    /// How old the sample behind the alarm may be.
    pub max_age: Millis,
}

/// What an order asks, and how it is seen that it was obeyed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// The command.
    pub command: Arc<str>,
    /// CEL: obeyed.
    pub verify: Arc<str>,
    /// CEL: not obeyed, whatever `verify` says.
    pub unless: Option<Arc<str>>,
    /// How long the device has for each attempt.
    pub within: Millis,
    /// How often it is sent at most.
    pub attempts: u8,
    /// It brings the danger back.
    pub opens: bool,
}

impl Task {
    /// To obey `command`, as its kind says.
    pub fn of(command: &CommandDef) -> Task {
        Task {
            command: command.id.as_str().into(),
            verify: command.verify.as_str().into(),
            unless: command.unless.as_deref().map(Arc::from),
            within: command.within,
            attempts: command.attempts,
            opens: command.opens,
        }
    }
}

/// What the alarms of a rule order, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// The kind of the devices in the alarm's venue that are to obey; `None`: the alarm's own device.
    pub to: Option<Arc<str>>,
    /// What they are to do.
    pub task: Task,
    /// How old the sample behind the alarm may be.
    pub max_age: Millis,
}

/// Who wants it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Cause {
    /// An alarm, as it was when it was raised.
    Alarm(Box<AlarmView>),
    /// A person.
    Operator(Operator),
    /// The device's proof test is due.
    Exercise,
}

impl Cause {
    /// The person, if it is one.
    pub const fn operator(&self) -> Option<&Operator> {
        match self {
            Cause::Operator(operator) => Some(operator),
            Cause::Alarm(_) | Cause::Exercise => None,
        }
    }
}

/// How far an order is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// It is on its way to the broker.
    Requested,
    /// The broker has it.
    Sent,
    /// The device says that it has it.
    Acknowledged,
    /// The device says that it does not obey. Its points may still show that it did.
    Declined,
}

/// What comes to an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// The broker has it.
    Sent,
    /// The device says that it obeys.
    Acknowledged,
    /// The device says that it does not.
    Declined,
    /// Its profile has no words for it: nothing was sent.
    Unwritable,
    /// The device's own points show that it has obeyed.
    Proven,
    /// The time of the attempt is over.
    Deadline,
    /// A command that matters more takes its place.
    Superseded,
    /// It brings the danger back, and nobody can hear the device or a danger has begun: whoever wanted it has to want it again.
    /// Or its device is out of use.
    Abandoned,
}

/// What comes back of an order from outside, as an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Report {
    /// The broker has it.
    Sent,
    /// The device says that it obeys.
    Acknowledged,
    /// The device says that it does not.
    Declined,
    /// Its profile has no words for it: nothing was sent.
    Unwritable,
}

impl From<Report> for Signal {
    fn from(report: Report) -> Signal {
        match report {
            Report::Sent => Signal::Sent,
            Report::Acknowledged => Signal::Acknowledged,
            Report::Declined => Signal::Declined,
            Report::Unwritable => Signal::Unwritable,
        }
    }
}

/// Why an order failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// The broker never had its last attempt.
    NotSent,
    /// Nothing that the device reports shows that it has obeyed.
    NotProven,
    /// The device says that it does not obey.
    Declined,
    /// The device's profile has no words for it.
    Unwritable,
}

impl Failure {
    /// The word used in messages, the API and the event chain.
    pub const fn as_str(self) -> &'static str {
        match self {
            Failure::NotSent => "not_sent",
            Failure::NotProven => "not_proven",
            Failure::Declined => "declined",
            Failure::Unwritable => "unwritable",
        }
    }
}

/// What becomes of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Course {
    /// Nothing.
    Stay,
    /// It goes on in this stage.
    Move(Stage),
    /// It is sent again.
    Again,
    /// It is over: obeyed.
    Verify,
    /// It is over: not obeyed.
    Fail(Failure),
    /// It is over: something else matters more.
    Supersede,
}

impl Stage {
    /// What `signal` does to an order in this stage, of which `left` more attempts may be made.
    pub const fn course(self, signal: Signal, left: u8) -> Course {
        match (self, signal) {
            (Stage::Requested, Signal::Sent) => Course::Move(Stage::Sent),
            // The device's word may overtake the broker's.
            (Stage::Requested | Stage::Sent | Stage::Declined, Signal::Acknowledged) => {
                Course::Move(Stage::Acknowledged)
            }
            (Stage::Requested | Stage::Sent | Stage::Acknowledged, Signal::Declined) => {
                Course::Move(Stage::Declined)
            }
            (Stage::Sent | Stage::Acknowledged | Stage::Declined, Signal::Sent)
            | (Stage::Acknowledged, Signal::Acknowledged)
            | (Stage::Declined, Signal::Declined) => Course::Stay,
            (Stage::Requested | Stage::Sent | Stage::Acknowledged | Stage::Declined, Signal::Unwritable) => {
                Course::Fail(Failure::Unwritable)
            }
            (Stage::Requested | Stage::Sent | Stage::Acknowledged | Stage::Declined, Signal::Proven) => {
                Course::Verify
            }
            (Stage::Requested | Stage::Sent | Stage::Acknowledged | Stage::Declined, Signal::Deadline)
                if left > 0 =>
            {
                Course::Again
            }
            (Stage::Requested, Signal::Deadline | Signal::Abandoned) => Course::Fail(Failure::NotSent),
            (Stage::Declined, Signal::Deadline) => Course::Fail(Failure::Declined),
            (Stage::Sent | Stage::Acknowledged, Signal::Deadline)
            | (Stage::Sent | Stage::Acknowledged | Stage::Declined, Signal::Abandoned) => {
                Course::Fail(Failure::NotProven)
            }
            (Stage::Requested | Stage::Sent | Stage::Acknowledged | Stage::Declined, Signal::Superseded) => {
                Course::Supersede
            }
        }
    }

    /// The word used in messages and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Stage::Requested => "requested",
            Stage::Sent => "sent",
            Stage::Acknowledged => "acknowledged",
            Stage::Declined => "declined",
        }
    }
}

/// A step in an order's life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandStep {
    /// It was given.
    Requested,
    /// Somebody else wants it too.
    Joined,
    /// The broker has it.
    Sent,
    /// It is sent again.
    Repeated,
    /// The device says that it has it.
    Acknowledged,
    /// The device says that it does not obey.
    Declined,
    /// The device's own points show that it has obeyed.
    Verified,
    /// It was not obeyed.
    Failed(Failure),
    /// A command that matters more took its place.
    Superseded,
}

impl CommandStep {
    /// The event's type.
    pub const fn event_type(&self) -> &'static str {
        match self {
            CommandStep::Requested => "command.requested",
            CommandStep::Joined => "command.joined",
            CommandStep::Sent => "command.sent",
            CommandStep::Repeated => "command.repeated",
            CommandStep::Acknowledged => "command.acknowledged",
            CommandStep::Declined => "command.declined",
            CommandStep::Verified => "command.verified",
            CommandStep::Failed(_) => "command.failed",
            CommandStep::Superseded => "command.superseded",
        }
    }

    /// How it ended, as the label of a counter; `None`: it goes on.
    pub const fn result(&self) -> Option<&'static str> {
        match self {
            CommandStep::Verified => Some("verified"),
            CommandStep::Failed(_) => Some("failed"),
            CommandStep::Superseded => Some("superseded"),
            CommandStep::Requested
            | CommandStep::Joined
            | CommandStep::Sent
            | CommandStep::Repeated
            | CommandStep::Acknowledged
            | CommandStep::Declined => None,
        }
    }

    /// Why the order failed, if it did.
    pub const fn failure(&self) -> Option<Failure> {
        match self {
            CommandStep::Failed(failure) => Some(*failure),
            CommandStep::Requested
            | CommandStep::Joined
            | CommandStep::Sent
            | CommandStep::Repeated
            | CommandStep::Acknowledged
            | CommandStep::Declined
            | CommandStep::Verified
            | CommandStep::Superseded => None,
        }
    }

    /// The state of the order after it, as messages and the API show it, when it was in `stage` then.
    pub const fn state(&self, stage: Stage) -> &'static str {
        match self {
            CommandStep::Verified => "verified",
            CommandStep::Failed(_) => "failed",
            CommandStep::Superseded => "superseded",
            CommandStep::Requested
            | CommandStep::Joined
            | CommandStep::Sent
            | CommandStep::Repeated
            | CommandStep::Acknowledged
            | CommandStep::Declined => stage.as_str(),
        }
    }
}

/// An order as others see it.
#[derive(Debug, Clone)]
pub struct OrderView {
    /// Its id: the same through all its attempts.
    pub id: Id,
    /// Whom it is for.
    pub device: Arc<DeviceKey>,
    /// The command.
    pub command: Arc<str>,
    /// How far it is, or was when it ended.
    pub stage: Stage,
    /// Which attempt this is, from 1.
    pub attempt: u8,
    /// How often it is sent at most.
    pub attempts: u8,
    /// When it was given.
    pub requested_at: Timestamp,
    /// When the present attempt must not be obeyed any more.
    pub expires_at: Timestamp,
    /// How long it has been under way, in gateway time.
    pub took: Millis,
    /// Who wants it; the first is why it was given.
    pub causes: Vec<Cause>,
}

impl OrderView {
    /// The first alarm among those who want it.
    pub fn alarm(&self) -> Option<&AlarmView> {
        self.causes.iter().find_map(|cause| match cause {
            Cause::Alarm(alarm) => Some(&**alarm),
            Cause::Operator(_) | Cause::Exercise => None,
        })
    }
}

/// Something that happened to an order. A fact for the event chain.
#[derive(Debug, Clone)]
pub struct CommandEvent {
    /// The event's own id.
    pub id: Id,
    /// When.
    pub at: Timestamp,
    /// What.
    pub step: CommandStep,
    /// Whether people are told.
    pub notify: bool,
    /// The order after it.
    pub order: OrderView,
}

impl CommandEvent {
    /// Whether those who are told of it must not wait: a device did not do what it was told.
    pub const fn is_urgent(&self) -> bool {
        matches!(self.step, CommandStep::Failed(_))
    }

    /// The person behind it: of a joining, whoever joined; else the first who wants it.
    pub fn operator(&self) -> Option<&Operator> {
        match self.step {
            CommandStep::Joined => self.order.causes.last().and_then(Cause::operator),
            CommandStep::Requested
            | CommandStep::Sent
            | CommandStep::Repeated
            | CommandStep::Acknowledged
            | CommandStep::Declined
            | CommandStep::Verified
            | CommandStep::Failed(_)
            | CommandStep::Superseded => self.order.causes.iter().find_map(Cause::operator),
        }
    }
}

/// An attempt that is to leave now: one that brings the danger back once the record of it is durable, every other before
/// anything is written to the disk (DESIGN §7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// For whom.
    pub device: DeviceIndex,
    /// Who that is.
    pub key: Arc<DeviceKey>,
    /// The order.
    pub id: Id,
    /// The command.
    pub command: Arc<str>,
    /// Which attempt, from 1.
    pub attempt: u8,
    /// From then on it must not be obeyed.
    pub expires_at: Timestamp,
    /// It brings the danger back.
    pub opens: bool,
}

#[cfg(test)]
mod tests {
    use super::{Course, Failure, Signal, Stage};

    const STAGES: [Stage; 4] = [
        Stage::Requested,
        Stage::Sent,
        Stage::Acknowledged,
        Stage::Declined,
    ];

    #[test]
    fn every_stage_and_signal() {
        use Course::{Again, Fail, Move, Stay, Supersede, Verify};
        let unproven = Fail(Failure::NotProven);
        let (unsent, declined) = (Fail(Failure::NotSent), Fail(Failure::Declined));
        let yes = Move(Stage::Acknowledged);
        let no = Move(Stage::Declined);
        for (signal, left, courses) in [
            (Signal::Sent, 0, [Move(Stage::Sent), Stay, Stay, Stay]),
            (Signal::Acknowledged, 0, [yes, yes, Stay, yes]),
            (Signal::Declined, 1, [no, no, no, Stay]),
            (Signal::Unwritable, 2, [Fail(Failure::Unwritable); 4]),
            (Signal::Proven, 0, [Verify; 4]),
            (Signal::Deadline, 1, [Again; 4]),
            (Signal::Deadline, 0, [unsent, unproven, unproven, declined]),
            (Signal::Abandoned, 2, [unsent, unproven, unproven, unproven]),
            (Signal::Superseded, 2, [Supersede; 4]),
        ] {
            for (stage, course) in STAGES.into_iter().zip(courses) {
                assert_eq!(stage.course(signal, left), course, "{stage:?} {signal:?} {left}");
            }
        }
    }
}
