//! The journal's entries: every input of the engine in a compact binary form, and how they are played back.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::alarm::{Operator, Telling, Verdict};
use super::definitions::{Definitions, DefinitionsHash};
use super::device::{DeviceIndex, DeviceKey};
use super::engine::{Effects, Engine};
use super::id::Id;
use super::interlock::Report;
use super::kind::PointIndex;
use super::profile::command::Address;
use super::reading::{Arrival, Reading, ReadingKind};
use super::time::{DeviceTime, Millis, Moment, Timestamp};

/// An input of the engine. Its serialised form is what the journal keeps.
#[derive(Debug, Clone, Serialize)]
pub enum Input<'a> {
    /// A device seen for the first time.
    Device(&'a DeviceKey),
    /// A reading.
    Reading(Reading<'a>),
    /// Time has passed; a deadline may have come.
    Timeout,
    /// An operator acted on an alarm.
    Operator(&'a OperatorInput),
    /// Definitions came into force.
    Definitions(DefinitionsInput<'a>),
    /// From now on the devices can be heard, or no longer.
    Listening(bool),
    /// An operator takes a device out of service, or puts it back.
    Service(&'a ServiceInput),
    /// The gateway knows something of itself: one of the points of its kind, as a slot value.
    Own {
        /// Which.
        point: PointIndex,
        /// Its value.
        value: f64,
    },
    /// What came back of an order.
    Commanded(Commanded),
    /// An operator wants a device to do something.
    Command(&'a CommandInput),
    /// How a device is spoken to has become known, or changed.
    Addressed(Addressed<'a>),
    /// Through which device another speaks, as its profile says.
    PartOf {
        /// The one that speaks.
        device: DeviceIndex,
        /// The one through which it does.
        parent: &'a DeviceKey,
    },
    /// Nobody has acknowledged an alarm in time.
    Escalate(&'a EscalateInput),
    /// An operator has registered a device, or taken one out of use; the definitions say so already.
    Registered(&'a RegisteredInput),
}

/// A telling of a chain that is due for an alarm, as an input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EscalateInput {
    /// The alarm.
    pub alarm: Id,
    /// Which telling.
    pub telling: Telling,
}

/// How a device is spoken to.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Addressed<'a> {
    /// The device.
    pub device: DeviceIndex,
    /// Its profile and what that needs to know.
    pub address: &'a Address,
}

/// What came back of an order from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commanded {
    /// For whom the order is.
    pub device: DeviceIndex,
    /// The order; `None`: whichever is under way, for a device that acknowledges without a name.
    pub order: Option<Id>,
    /// What came back.
    pub report: Report,
}

/// An operator's command as an input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandInput {
    /// The device.
    pub device: DeviceKey,
    /// The command.
    pub command: String,
    /// Whether the device's registration allowed it to be opened from afar when they asked.
    pub remote_open: bool,
    /// Who they are.
    pub operator: Operator,
}

/// What an operator has registered, as an input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisteredInput {
    /// The device.
    pub device: DeviceKey,
    /// It is out of use from now on.
    pub retired: bool,
    /// Who they are.
    pub operator: Operator,
}

/// An operator's action as an input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorInput {
    /// The alarm.
    pub alarm: Id,
    /// What they ask for.
    pub action: OperatorAction,
    /// Who they are.
    pub operator: Operator,
}

/// What an operator can do to an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum OperatorAction {
    /// Take it on.
    Acknowledge,
    /// End a latched alarm after its recovery.
    Reset,
    /// Keep its rule quiet on its device for so long ([`SHELF`](super::alarm::SHELF)).
    Shelve(Millis),
    /// End that before its time.
    Unshelve,
    /// Say what the alarm was, while it stands or after its end.
    Verdict(Verdict),
    /// Close the matter of an alarm that has ended and has a verdict.
    Close,
    /// Take on what was raised at this time: one that has been raised again since is not what was told of.
    AcknowledgeRaise(Timestamp),
}

/// An operator's action on a device as an input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceInput {
    /// The device.
    pub device: DeviceKey,
    /// What they ask for.
    pub action: ServiceAction,
    /// Who they are.
    pub operator: Operator,
}

/// What an operator can do to a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServiceAction {
    /// Keep all its alarms quiet for so long ([`OUT_OF_SERVICE`](super::alarm::OUT_OF_SERVICE)).
    Out(Millis),
    /// End that before its time.
    In,
}

/// Definitions as an input: only their hash is journalled, the source is stored beside.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct DefinitionsInput<'a> {
    /// SHA-256 of the stored source.
    pub hash: DefinitionsHash,
    /// The definitions themselves.
    #[serde(skip)]
    pub definitions: &'a Arc<Definitions>,
}

/// What [`Input`] looks like read back. The variants and their fields stand in the same order.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub enum Entry {
    /// A device seen for the first time.
    Device(DeviceKey),
    /// A [`Reading`], field by field.
    Reading {
        /// Whose it is.
        device: DeviceIndex,
        /// When the device says it was.
        device_at: Option<DeviceTime>,
        /// The device's own number for the message.
        seq: Option<u64>,
        /// Live, a test, or from the past.
        kind: ReadingKind,
        /// How it came.
        arrival: Arrival,
        /// The values.
        points: Vec<(PointIndex, f64)>,
    },
    /// Time has passed.
    Timeout,
    /// An operator acted on an alarm.
    Operator(OperatorInput),
    /// Definitions came into force.
    Definitions {
        /// SHA-256 of their stored source.
        hash: DefinitionsHash,
    },
    /// From now on the devices can be heard, or no longer.
    Listening(bool),
    /// An operator acted on a device.
    Service(ServiceInput),
    /// What the gateway knows of itself.
    Own {
        /// Of which of its points.
        point: PointIndex,
        /// Its value.
        value: f64,
    },
    /// What came back of an order.
    Commanded(Commanded),
    /// An operator commanded a device.
    Command(CommandInput),
    /// How a device is spoken to.
    Addressed {
        /// The device.
        device: DeviceIndex,
        /// Its profile and what that needs to know.
        address: Address,
    },
    /// Through which device another speaks.
    PartOf {
        /// The one that speaks.
        device: DeviceIndex,
        /// The one through which it does.
        parent: DeviceKey,
    },
    /// Nobody had acknowledged an alarm in time.
    Escalate(EscalateInput),
    /// An operator has registered a device.
    Registered(RegisteredInput),
}

/// The inputs of one batch on their way into the journal. The first carries its moment, each later one how far
/// the clocks had moved since the one before.
#[derive(Debug, Default)]
pub struct Journal {
    bytes: Vec<u8>,
    inputs: u32,
    last: Moment,
}

impl Journal {
    /// Appends an input.
    ///
    /// # Errors
    /// When the input cannot be serialised; nothing of it is kept then.
    pub fn push(&mut self, now: Moment, input: &Input<'_>) -> Result<(), JournalError> {
        let step = Step {
            wall: now.wall.0.wrapping_sub(self.last.wall.0),
            ticks: now.ticks.0.wrapping_sub(self.last.ticks.0),
        };
        let bytes = std::mem::take(&mut self.bytes);
        self.bytes = postcard::to_extend(&(step, input), bytes).map_err(JournalError::Encode)?;
        self.inputs += 1;
        self.last = now;
        Ok(())
    }

    /// How many inputs it holds.
    pub const fn inputs(&self) -> u32 {
        self.inputs
    }

    /// How many bytes they take.
    pub const fn size(&self) -> usize {
        self.bytes.len()
    }

    /// The moment of the last input.
    pub const fn last(&self) -> Moment {
        self.last
    }

    /// The bytes for the store.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Step {
    wall: i64,
    ticks: u64,
}

/// Why a journal could not be written or played back.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// An input could not be serialised.
    #[error("an input cannot be written to the journal: {0}")]
    Encode(#[source] postcard::Error),
    /// A row is damaged.
    #[error("input {input} of the journal cannot be read: {source}")]
    Decode {
        /// Its sequence number.
        input: u64,
        /// What is wrong.
        #[source]
        source: postcard::Error,
    },
    /// Rows are missing.
    #[error("the journal goes on with input {found} where {expected} was due: rows are missing")]
    Gap {
        /// The input that was due.
        expected: u64,
        /// The input that came.
        found: u64,
    },
    /// The definitions of that time are not to be had.
    #[error("the journal names definitions that cannot be had: {0}")]
    Definitions(String),
}

/// Plays one journal row into `engine`. Its effects were recorded in the row's own transaction, so they are
/// dropped here. `definitions` finds the definitions with a given hash.
pub fn replay(
    engine: &mut Engine,
    first_input: u64,
    bytes: &[u8],
    definitions: impl Fn(&DefinitionsHash) -> Result<Arc<Definitions>, String>,
) -> Result<(), JournalError> {
    replay_into(engine, first_input, bytes, definitions, &mut Effects::default())
}

/// As [`replay`], and adds to `effects` what the row's own transaction recorded.
pub fn replay_into(
    engine: &mut Engine,
    first_input: u64,
    bytes: &[u8],
    definitions: impl Fn(&DefinitionsHash) -> Result<Arc<Definitions>, String>,
    effects: &mut Effects,
) -> Result<(), JournalError> {
    if first_input != engine.next_input() {
        return Err(JournalError::Gap {
            expected: engine.next_input(),
            found: first_input,
        });
    }
    for entry in entries(first_input, bytes) {
        let (now, entry) = entry?;
        play(engine, &entry, now, &definitions, effects)?;
    }
    Ok(())
}

/// The entries of one journal row with their moments; it ends at the first that cannot be read.
pub fn entries(
    first_input: u64,
    bytes: &[u8],
) -> impl Iterator<Item = Result<(Moment, Entry), JournalError>> {
    let mut rest = bytes;
    let mut now = Moment::default();
    let mut input = first_input;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        match postcard::take_from_bytes::<(Step, Entry)>(rest) {
            Ok(((step, entry), tail)) => {
                rest = tail;
                input = input.saturating_add(1);
                now.wall.0 = now.wall.0.wrapping_add(step.wall);
                now.ticks.0 = now.ticks.0.wrapping_add(step.ticks);
                Some(Ok((now, entry)))
            }
            Err(source) => {
                rest = &[];
                Some(Err(JournalError::Decode { input, source }))
            }
        }
    })
}

fn play(
    engine: &mut Engine,
    entry: &Entry,
    now: Moment,
    definitions: impl Fn(&DefinitionsHash) -> Result<Arc<Definitions>, String>,
    effects: &mut Effects,
) -> Result<(), JournalError> {
    let found;
    let input = match entry {
        Entry::Device(key) => Input::Device(key),
        Entry::Reading {
            device,
            device_at,
            seq,
            kind,
            arrival,
            points,
        } => Input::Reading(Reading {
            device: *device,
            device_at: *device_at,
            seq: *seq,
            kind: *kind,
            arrival: *arrival,
            points,
        }),
        Entry::Timeout => Input::Timeout,
        Entry::Operator(input) => Input::Operator(input),
        Entry::Definitions { hash } => {
            found = definitions(hash).map_err(JournalError::Definitions)?;
            Input::Definitions(DefinitionsInput {
                hash: *hash,
                definitions: &found,
            })
        }
        Entry::Listening(listening) => Input::Listening(*listening),
        Entry::Service(input) => Input::Service(input),
        Entry::Own { point, value } => Input::Own {
            point: *point,
            value: *value,
        },
        Entry::Commanded(commanded) => Input::Commanded(*commanded),
        Entry::Command(input) => Input::Command(input),
        Entry::Addressed { device, address } => Input::Addressed(Addressed {
            device: *device,
            address,
        }),
        Entry::PartOf { device, parent } => Input::PartOf {
            device: *device,
            parent,
        },
        Entry::Escalate(input) => Input::Escalate(input),
        Entry::Registered(input) => Input::Registered(input),
    };
    // A refusal was the operator's answer then; replayed it changes nothing again.
    let _refused = engine.handle(&input, now, effects);
    Ok(())
}
