//! What a town is to play, what it does, and how often its devices speak. Pure.

use super::body::Command;
use super::unit::{Order, Unit};
use super::voice::{Message, Voice};
use crate::config::{Happening, Incident};
use crate::domain::time::Moment;

/// Nanoseconds in a millisecond.
pub const MS: u64 = 1_000_000;
/// Nanoseconds in a second.
pub const SECOND: u64 = 1_000 * MS;

/// A device's place in the town.
pub type UnitNumber = usize;

/// What happens in the town.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// A device publishes.
    Publish(UnitNumber, Message),
    /// A device with a connection of its own connects.
    Appear(UnitNumber),
    /// Its connection breaks without a word: the broker publishes its last will.
    Vanish(UnitNumber),
}

/// What the town is to play.
#[derive(Debug, Default)]
pub struct Plan {
    /// The same seed plays the same.
    pub seed: u64,
    /// Regular reports a second of all devices together; `None`: as often as such devices do.
    pub rate: Option<f64>,
    /// What happens when.
    pub incidents: Vec<Incident>,
    /// Whether incidents come by themselves too.
    pub story: bool,
    /// How each device of the town speaks, in its order; natively where that ends.
    pub voices: Vec<Voice>,
}

/// Something due.
#[derive(Debug)]
pub(super) enum Due {
    /// A regular report.
    Speak(UnitNumber),
    /// An incident, and its number in the script.
    Begin(Incident, Option<usize>),
    End(UnitNumber, Happening),
    Obey(UnitNumber, Order),
    Finish(UnitNumber, Command),
    ByHand(UnitNumber),
    /// The births of whoever these speak through, and then all that they say.
    SayAnew(Vec<UnitNumber>),
    GoOn,
}

/// When something was due.
#[derive(Debug, Clone, Copy)]
pub(super) struct When {
    /// In nanoseconds since the start.
    pub(super) at: u64,
    /// The same.
    pub(super) then: Moment,
    /// When the town turns to it.
    pub(super) now: Moment,
}

/// A device and its rhythm.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) unit: Unit,
    /// Nanoseconds between two regular reports.
    pub(super) period: u64,
    /// When the next is due; what else the agenda says was put off.
    pub(super) next: u64,
    /// Reports of a lying device.
    pub(super) lies: usize,
    /// It has a connection of its own.
    pub(super) alone: bool,
}

/// How often a device of `kind` speaks, in nanoseconds.
pub(super) fn natural_period(kind: &str) -> u64 {
    match kind {
        "shutoff_valve" | "smoke_detector" | "swap_cabinet" => 5 * SECOND,
        _ => SECOND,
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates, and a period of nothing would be a loop without an end"
)]
pub(super) fn nanoseconds(value: f64) -> u64 {
    (value.round() as u64).max(1)
}
