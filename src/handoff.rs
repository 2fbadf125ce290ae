//! What is handed from owner to owner along the journey: envelopes from ingest to the gateway, commands from the gateway
//! to actuate, batches from the gateway to the store, receipts back to ingest, reports from notify to the store. Data only.

pub mod opening;
pub mod outbox;

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;

use self::opening::Opening;
use self::outbox::OutboxWork;
use crate::domain::alarm::AlarmEvent;
use crate::domain::definitions::{Definitions, DefinitionsHash};
use crate::domain::device::{DeviceIndex, DeviceKey};
use crate::domain::directions::{Directions, Owed};
use crate::domain::engine::Refusal;
use crate::domain::escalation::EscalationChange;
use crate::domain::history::{HistoryPoint, Samples};
use crate::domain::id::Id;
use crate::domain::interlock::CommandEvent;
use crate::domain::journal::{CommandInput, OperatorInput, ServiceInput};
use crate::domain::profile::Reject;
use crate::domain::registry::Registry;
use crate::domain::service::DeviceEvent;
use crate::domain::time::{Moment, Timestamp};

/// What came off the wire. Nobody has looked into the payload yet.
#[derive(Debug, Clone)]
pub struct Envelope {
    /// The topic it was published on.
    pub topic: String,
    /// Its bytes; empty when `oversize`.
    pub payload: Bytes,
    /// When it was read from the socket.
    pub received: Moment,
    /// The broker says that it may have been delivered before.
    pub duplicate: bool,
    /// It is the topic's retained message, not news.
    pub retained: bool,
    /// How many bytes the payload had, when that was over the limit and it was not kept.
    pub oversize: Option<usize>,
    /// What is owed to the broker once everything it caused is durable; `None` at QoS 0.
    pub receipt: Option<Receipt>,
}

/// An acknowledgement owed to the broker. Void once the connection it came over has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// The connection it belongs to, counted from 1.
    pub connection: u32,
    /// The MQTT packet identifier.
    pub packet_id: u16,
}

/// How many bytes of a dead letter's payload are kept: enough to see what it was.
pub const KEPT_PAYLOAD: usize = 4 * 1024;

/// A command in the form in which its device understands it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandMessage {
    /// For whom.
    pub device: DeviceIndex,
    /// The command; the same through all its attempts.
    pub id: Id,
    /// The topic to publish on.
    pub topic: String,
    /// Its bytes.
    pub payload: Bytes,
    /// From then on it must not be obeyed, so it is not sent either.
    pub expires_at: Timestamp,
    /// There if it brings the danger back. Such a message waits for no connection, and may be withdrawn.
    pub opening: Option<Opening>,
}

impl CommandMessage {
    /// Whether it must not leave any more.
    pub fn is_withdrawn(&self) -> bool {
        self.opening.as_ref().is_some_and(Opening::is_withdrawn)
    }
}

/// The broker has acknowledged a command: it is on its way to the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommandSent {
    /// For whom it is.
    pub device: DeviceIndex,
    /// The command.
    pub id: Id,
}

/// A message that could not be used, or not wholly.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// When it came.
    pub at: Timestamp,
    /// Its topic.
    pub topic: String,
    /// Its first bytes, at most [`KEPT_PAYLOAD`]; empty when it was oversize.
    pub payload: Bytes,
    /// How many bytes it had.
    pub size: usize,
    /// Why it is here.
    pub reject: Reject,
}

/// An alarm event ready to be stored.
#[derive(Debug)]
pub struct AlarmCommit {
    /// The event.
    pub event: AlarmEvent,
    /// The alarm after it as the API shows it: a JSON object.
    pub alarm: String,
    /// The whole event as targets get it: a JSON object.
    pub body: String,
    /// Who is owed it.
    pub owed: Vec<Owed>,
}

/// A device's event ready to be stored.
#[derive(Debug)]
pub struct DeviceCommit {
    /// The event.
    pub event: DeviceEvent,
    /// The whole event: a JSON object.
    pub body: String,
}

/// An event of an order ready to be stored.
#[derive(Debug)]
pub struct CommandCommit {
    /// The event.
    pub event: CommandEvent,
    /// The order after it as the API shows it: a JSON object.
    pub order: String,
    /// The whole event as targets get it: a JSON object.
    pub body: String,
    /// Who is owed it.
    pub owed: Vec<Owed>,
}

/// What became of an operator's request: the order that a command made or joined, `None` for any other act; or why not.
pub type Outcome = Result<Option<Id>, Refusal>;

/// An answer, given once what was asked for is durable.
#[derive(Debug)]
pub enum Answer {
    /// To an operator.
    Operator {
        /// Where they wait.
        to: oneshot::Sender<Outcome>,
        /// What to tell them.
        outcome: Outcome,
    },
    /// To whoever has put a configuration in force.
    Reconfigured {
        /// Where they wait.
        to: oneshot::Sender<usize>,
        /// How many standing alarms ended because their rule is gone.
        ended: usize,
    },
    /// To whoever waits for no more than the commit: a probe, or one who hands over long work in slices.
    Done(oneshot::Sender<()>),
}

impl Answer {
    /// Gives it. Whoever asked may have gone away; what they asked for is done all the same.
    pub fn give(self) {
        match self {
            Answer::Operator { to, outcome } => drop(to.send(outcome)),
            Answer::Reconfigured { to, ended } => drop(to.send(ended)),
            Answer::Done(to) => drop(to.send(())),
        }
    }
}

/// Everything that a run of inputs caused: one transaction.
#[derive(Debug, Default)]
pub struct Batch {
    /// The engine's sequence number of the first journalled input.
    pub first_input: u64,
    /// How many inputs `journal` holds.
    pub inputs: u32,
    /// The inputs, encoded ([`crate::domain::journal`]). Empty when nothing reached the engine.
    pub journal: Vec<u8>,
    /// When it was closed. The next run's clock goes on from there: a message keeps the moment of its receipt, which may lie
    /// before that of a deadline already taken, so the last input's moment would let the clock go back.
    pub last: Moment,
    /// The devices seen for the first time, and those with a new name.
    pub seen: Vec<SeenDevice>,
    /// Points whose first samples are in this batch or a later one.
    pub points: Vec<HistoryPoint>,
    /// What the history keeps of the readings.
    pub samples: Samples,
    /// What happened to devices beside their alarms, in order. Stored before the alarm events, whose cause it may be.
    pub devices: Vec<DeviceCommit>,
    /// The alarm events, in order.
    pub alarms: Vec<AlarmCommit>,
    /// What happened to orders, in order. Stored after the alarm events, which may be their cause.
    pub commands: Vec<CommandCommit>,
    /// How far the chains of alarms have come.
    pub escalations: Vec<EscalationChange>,
    /// What could not be used.
    pub dead_letters: Vec<DeadLetter>,
    /// The sources of the definitions that journal entries name by hash.
    pub definitions: Vec<StoredDefinitions>,
    /// The engine's whole state after this batch, when it is the last of an orderly stop.
    pub checkpoint: Option<Vec<u8>>,
    /// What to release to the broker after the commit, in receive order (MQTT-4.6.0-2).
    pub receipts: Vec<Receipt>,
    /// Whom to answer after the commit.
    pub answers: Vec<Answer>,
    /// About how many bytes all that is: what waits for the disk is bounded by it.
    pub bytes: usize,
}

impl Batch {
    /// Whether there is nothing in it to write.
    pub fn is_empty(&self) -> bool {
        let inputs = self.journal.is_empty() && self.definitions.is_empty() && self.checkpoint.is_none();
        let history = self.seen.is_empty() && self.points.is_empty() && self.samples.count() == 0;
        let events = self.devices.is_empty() && self.alarms.is_empty() && self.commands.is_empty();
        let events = events && self.dead_letters.is_empty() && self.escalations.is_empty();
        inputs && history && events
    }
}

/// A device seen for the first time, or under a new name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenDevice {
    /// Its number: its place in the engine, never reused.
    pub number: DeviceIndex,
    /// Who it is.
    pub key: DeviceKey,
    /// When.
    pub at: Timestamp,
}

/// What is in force, for those who put stored facts into words.
#[derive(Debug, Clone, Default)]
pub struct Directory {
    /// Names and addresses.
    pub registry: Registry,
    /// The kinds and rules.
    pub definitions: Arc<Definitions>,
    /// Who is told, and when.
    pub directions: Arc<Directions>,
}

/// A source of definitions under its hash.
#[derive(Debug, Clone)]
pub struct StoredDefinitions {
    /// SHA-256 of `source`.
    pub hash: DefinitionsHash,
    /// The source as JSON.
    pub source: String,
}

/// What an operator wants done.
#[derive(Debug)]
pub enum OperatorAct {
    /// To an alarm.
    Alarm(OperatorInput),
    /// To a device.
    Device(ServiceInput),
    /// By a device. Whether it may be opened from afar, the gateway says.
    Command(CommandInput),
}

/// What an operator asks of the gateway.
#[derive(Debug)]
pub struct OperatorRequest {
    /// Who wants what done to what.
    pub act: OperatorAct,
    /// Where the answer goes.
    pub answer: oneshot::Sender<Outcome>,
}

/// A part of a segment: closed history, sorted by device.
#[derive(Debug)]
pub struct SegmentSlice {
    /// The segment's number.
    pub segment: i64,
    /// What is there of this segment and later ones goes first: it was never finished.
    pub clear: bool,
    /// Devices of the segment.
    pub rows: Vec<SegmentRow>,
    /// With the last slice: what the whole segment covers.
    pub done: Option<SegmentDone>,
    /// Told when the slice is durable.
    pub written: oneshot::Sender<()>,
}

impl SegmentSlice {
    /// Makes room for `segment`; and where it is told that this is done.
    pub fn clear(segment: i64) -> (SegmentSlice, oneshot::Receiver<()>) {
        let (slice, written) = SegmentSlice::of(segment, Vec::new(), None);
        let slice = SegmentSlice { clear: true, ..slice };
        (slice, written)
    }

    /// Some devices of `segment`; and where it is told that they are written.
    pub fn of(
        segment: i64,
        rows: Vec<SegmentRow>,
        done: Option<SegmentDone>,
    ) -> (SegmentSlice, oneshot::Receiver<()>) {
        let (written, told) = oneshot::channel();
        let slice = SegmentSlice {
            segment,
            clear: false,
            rows,
            done,
            written,
        };
        (slice, told)
    }
}

/// The samples of one device in a segment.
#[derive(Debug)]
pub struct SegmentRow {
    /// Whose.
    pub device: DeviceIndex,
    /// All of the segment.
    pub samples: Samples,
    /// The newest of each point, of this segment and all before it.
    pub latest: Samples,
}

/// What a whole segment covers.
#[derive(Debug, Clone, Copy)]
pub struct SegmentDone {
    /// The last row of batches in it.
    pub last_row: i64,
    /// The earliest sample.
    pub from_at: Timestamp,
    /// The latest one.
    pub to_at: Timestamp,
}

/// A part of a checkpoint that is made beside the gateway.
#[derive(Debug)]
pub struct CheckpointPart {
    /// Which checkpoint: one more than the valid one.
    pub generation: u64,
    /// Which part of it, from 0.
    pub number: u32,
    /// Its bytes of the engine's state.
    pub state: Vec<u8>,
    /// With the last part, what makes the checkpoint valid.
    pub complete: Option<CheckpointHead>,
    /// Told once it is durable.
    pub written: oneshot::Sender<()>,
}

/// What a checkpoint is of, and what it consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckpointHead {
    /// The sequence number of the next input after it.
    pub next_input: u64,
    /// The moment of the last input before it.
    pub at: Moment,
    /// How many bytes the state has.
    pub bytes: u64,
    /// In how many parts.
    pub parts: u32,
}

/// What the writer thread is given to do.
#[derive(Debug)]
pub enum Work {
    /// Commit a batch, then release its receipts and answers.
    Batch(Box<Batch>),
    /// What a target's worker asks of the outbox, or somebody who wants a notice sent once more.
    Outbox(OutboxWork),
    /// Sort closed history by device.
    Segment(Box<SegmentSlice>),
    /// Write a part of a checkpoint.
    Checkpoint(CheckpointPart),
    /// Nothing to write: the follower has come farther, and receipts may wait for that.
    Followed,
}

impl Work {
    /// Whether it is a batch with nothing to write: somebody wants to know whether commits succeed.
    pub fn is_empty_batch(&self) -> bool {
        matches!(self, Work::Batch(batch) if batch.is_empty())
    }

    /// Whether there is nothing to write.
    pub fn writes_nothing(&self) -> bool {
        match self {
            Work::Batch(batch) => batch.is_empty(),
            Work::Followed => true,
            Work::Outbox(_) | Work::Segment(_) | Work::Checkpoint(_) => false,
        }
    }
}

/// What keeps the store from committing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StoreTrouble {
    /// No space is left, that kept for alarms included.
    #[error("the disk is full")]
    Full,
    /// The disk fails to read or write.
    #[error("the disk reports errors")]
    Disk,
    /// A commit has been under way for far too long.
    #[error("the disk does not answer")]
    Stuck,
    /// Anything else: a lock that another program holds, for example.
    #[error("commits fail; the log says why")]
    Other,
}

/// What the store knows of itself and its disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoreCondition {
    /// Less is free than the reserve: telemetry is shed.
    pub disk_low: bool,
    /// The space kept for alarms had to be given up, in part or wholly.
    pub disk_full: bool,
    /// Commits fail, and have failed long enough to tell somebody.
    pub failed: Option<StoreTrouble>,
    /// A damaged database lies in the data folder.
    pub history_lost: bool,
}

/// Whether the pipeline moves: goes through the gateway's loop and the writer, and comes back.
#[derive(Debug)]
pub struct Probe {
    /// Told when the gateway's loop has it.
    pub taken: oneshot::Sender<()>,
    /// Told after the next commit.
    pub committed: oneshot::Sender<()>,
}
