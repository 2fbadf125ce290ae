//! The open batch: what a run of inputs has caused so far, until the writer takes it. Knows when it is time.

use crate::domain::escalation::EscalationChange;
use crate::domain::history::{HistoryError, HistoryPoint, Sample, Samples};
use crate::domain::journal::Journal;
use crate::domain::time::Moment;
use crate::handoff::{
    AlarmCommit, Answer, Batch, CommandCommit, DeadLetter, DeviceCommit, Receipt, SeenDevice,
    StoredDefinitions,
};

/// The most messages one transaction takes. Large enough to share an fsync among thousands, small enough that
/// the writer never holds the acknowledgements of more than a blink.
pub(super) const MAX_MESSAGES: usize = 4096;

/// The size from which it is full: with the writer's queue and the transaction under way it bounds what waits for a slow disk
/// (DESIGN §1). Readings alone never get there; a flood of alarms or dead letters does.
const MAX_BYTES: usize = 1024 * 1024;

/// How many times as large it may grow, while the writer takes none, by what is not telemetry: people, deadlines, what came
/// back of orders.
const LAST_STRETCH: usize = 2;

/// When the open batch should go to the writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Something in it waits for nobody, or it is full.
    AtOnce,
    /// It may gather company for a moment.
    Gathering,
}

/// The most inputs that one transaction takes, those of deadlines and operators among them.
const MAX_INPUTS: usize = 16_384;

/// The batch that inputs go into.
#[derive(Debug, Default)]
pub(super) struct OpenBatch {
    pub(super) journal: Journal,
    first_input: u64,
    seen: Vec<SeenDevice>,
    points: Vec<HistoryPoint>,
    samples: Samples,
    devices: Vec<DeviceCommit>,
    alarms: Vec<AlarmCommit>,
    commands: Vec<CommandCommit>,
    escalations: Vec<EscalationChange>,
    dead_letters: Vec<DeadLetter>,
    definitions: Vec<StoredDefinitions>,
    checkpoint: Option<Vec<u8>>,
    receipts: Vec<Receipt>,
    answers: Vec<Answer>,
    messages: usize,
    /// How many bytes of text it holds beside its journal and samples.
    text: usize,
    urgent: bool,
}

impl OpenBatch {
    /// An empty batch whose first input will have this sequence number.
    pub(super) fn new(first_input: u64) -> OpenBatch {
        OpenBatch {
            first_input,
            ..OpenBatch::default()
        }
    }

    /// A message is in it whose `receipt` goes out with the commit.
    pub(super) fn message(&mut self, receipt: Option<Receipt>) {
        self.messages += 1;
        self.receipts.extend(receipt);
    }

    /// An alarm event: it waits for nobody.
    pub(super) fn alarm(&mut self, alarm: AlarmCommit) {
        self.text += alarm.alarm.len() + alarm.body.len();
        self.alarms.push(alarm);
        self.urgent = true;
    }

    /// An event of an order: it waits for nobody.
    pub(super) fn command(&mut self, command: CommandCommit) {
        self.text += command.order.len() + command.body.len();
        self.commands.push(command);
        self.urgent = true;
    }

    /// How far the chains of alarms have come. What told it to go on waits for nobody already.
    pub(super) fn escalated(&mut self, changes: Vec<EscalationChange>) {
        for change in changes {
            self.text += change.state.as_ref().map_or(0, String::len);
            self.escalations.push(change);
            self.urgent = true;
        }
    }

    /// A device is seen for the first time.
    pub(super) fn seen(&mut self, device: SeenDevice) {
        self.seen.push(device);
    }

    /// What the history keeps; both are empty afterwards.
    pub(super) fn keep(
        &mut self,
        points: &mut Vec<HistoryPoint>,
        samples: &mut Vec<Sample>,
    ) -> Result<(), HistoryError> {
        self.points.append(points);
        samples
            .drain(..)
            .try_for_each(|sample| self.samples.push(&sample))
    }

    /// Something that happened to a device.
    pub(super) fn device(&mut self, device: DeviceCommit) {
        self.text += device.body.len();
        self.devices.push(device);
        self.urgent = true;
    }

    /// A message, or a part of one, that could not be used.
    pub(super) fn dead_letter(&mut self, letter: DeadLetter) {
        self.text += letter.topic.len() + letter.payload.len();
        self.dead_letters.push(letter);
    }

    /// Somebody waits for the commit.
    pub(super) fn answer(&mut self, answer: Answer) {
        self.answers.push(answer);
        self.urgent = true;
    }

    /// Definitions that the journal names.
    pub(super) fn definitions(&mut self, definitions: StoredDefinitions) {
        self.definitions.push(definitions);
        self.urgent = true;
    }

    /// The engine's state after everything in it.
    pub(super) fn checkpoint(&mut self, state: Vec<u8>) {
        self.checkpoint = Some(state);
        self.urgent = true;
    }

    /// It goes to the writer, whatever is in it.
    pub(super) const fn want(&mut self) {
        self.urgent = true;
    }

    /// Whether it takes another run of messages.
    pub(super) fn has_room(&self) -> bool {
        self.fits(1)
    }

    /// Whether it takes what people want, deadlines, and what came back of orders.
    pub(super) fn has_last_room(&self) -> bool {
        self.fits(LAST_STRETCH)
    }

    fn fits(&self, times: usize) -> bool {
        self.messages < times * MAX_MESSAGES
            && (self.journal.inputs() as usize) < times * MAX_INPUTS
            && self.bytes() < times * MAX_BYTES
    }

    /// About how many bytes it holds.
    fn bytes(&self) -> usize {
        self.journal.size() + self.samples.bytes().len() + self.text
    }

    /// When it should go to the writer; `None` while it is empty.
    pub(super) fn due(&self) -> Option<Due> {
        if self.urgent || !self.fits(1) {
            Some(Due::AtOnce)
        } else if self.messages > 0 || self.journal.inputs() > 0 {
            Some(Due::Gathering)
        } else {
            None
        }
    }

    /// The batch for the writer, closed at `now`.
    pub(super) fn close(self, now: Moment) -> Batch {
        Batch {
            bytes: self.bytes(),
            first_input: self.first_input,
            inputs: self.journal.inputs(),
            last: now,
            journal: self.journal.into_bytes(),
            seen: self.seen,
            points: self.points,
            samples: self.samples,
            devices: self.devices,
            alarms: self.alarms,
            commands: self.commands,
            escalations: self.escalations,
            dead_letters: self.dead_letters,
            definitions: self.definitions,
            checkpoint: self.checkpoint,
            receipts: self.receipts,
            answers: self.answers,
        }
    }
}
