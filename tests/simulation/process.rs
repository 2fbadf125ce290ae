//! The gateway's process: its core, the queues between its parts, and its writer. Dies in a crash; the store does not.

use std::collections::VecDeque;

use ninewatch::checkpoint::Made;
use ninewatch::clock;
use ninewatch::domain::alarm::Operator;
use ninewatch::domain::engine::Engine;
use ninewatch::domain::id::Id;
use ninewatch::domain::time::{Moment, Ticks, Timestamp};
use ninewatch::gateway::{Due, Gateway, Reconfiguration};
use ninewatch::handoff::{
    Answer, Batch, CheckpointHead, CheckpointPart, Envelope, OperatorAct, OperatorRequest, Outcome, Receipt,
    Work,
};
use ninewatch::restore::{Restored, restore};
use ninewatch::store::{FollowerLine, Hold, Recovered, Retention, Sorted, Sorter, Store, release};
use tokio::sync::oneshot;

use super::Bug;
use super::dice::Dice;
use super::follower::Follower;
use super::link::Link;
use super::manner::Manner;
use super::officer::Worker;
use super::site::{GATEWAY, Site, TARGETS};

/// Runs of messages that may wait for the gateway.
const RUNS: usize = 4;

/// Works that may wait for the writer.
const WORKS: usize = 8;

/// Small, so that a checkpoint has several parts.
const PART_BYTES: usize = 1_500;

/// Small, so that there are segments.
const STRETCH_SAMPLES: u64 = 12;

/// The newest snapshots, under the number of the input after them.
pub(crate) type Snapshots = std::collections::HashMap<u64, Vec<u8>>;

type Answered = oneshot::Receiver<Outcome>;

/// Everything that a crash ends.
pub(crate) struct Process {
    pub(crate) gateway: Gateway,
    /// How many rows its start played.
    pub(crate) replayed: u64,
    runs: VecDeque<Vec<Envelope>>,
    works: VecDeque<Work>,
    /// What the writer is about to commit, however often it takes.
    gathered: Vec<Work>,
    /// Committed, and not released.
    committed: Vec<Work>,
    asked: Vec<(String, Answered)>,
    pub(crate) workers: Vec<Worker>,
    started: i64,
    started_ticks: Ticks,
    /// A checkpoint in the making, and the number of its next part.
    making: Option<(Made, u32)>,
    hold: Hold,
    /// Where there is a PostgreSQL.
    pub(crate) follower: Option<Follower>,
    pub(crate) retention: Retention,
    sorter: Option<Sorter>,
    /// Told when the last slice of a segment is durable.
    sorting: Option<oneshot::Receiver<()>>,
    /// For [`Bug::SampleTwice`]: a message came again.
    pub(crate) again: bool,
    pub(crate) link: Link,
    /// The orders that ended in each batch closed since this was asked for.
    pub(crate) ended: Vec<Vec<Id>>,
}

impl Process {
    /// Starts as `app` does: the store's content, the engine restored from it, the first inputs.
    pub(crate) fn start(
        (site, variant): (&Site, usize),
        manner: Manner,
        store: &Store,
        recovered: &Recovered,
        (true_now, wall): (i64, i64),
    ) -> Result<Process, String> {
        let (line, ends) = FollowerLine::new(manner.holds());
        let followed = manner.follows().then(|| line.followed.clone());
        let hold = store
            .hold(manner.follows().then_some(line))
            .map_err(|error| error.to_string())?;
        let (decoder, surroundings) = site.configured(variant);
        let history = store.history().map_err(|error| error.to_string())?;
        let Restored { engine, rows, .. } = restore(GATEWAY, &history, |hash| site.find(hash).ok(), || true)
            .map_err(|error| error.to_string())?;
        let mut gateway = Gateway::new(engine, decoder, surroundings, site.metrics.clone());
        let (way, commands) = Link::new();
        gateway.connect(way);
        let now = Moment {
            wall: Timestamp(wall),
            ticks: clock::resumed_ticks(recovered.last, Timestamp(wall)),
        };
        gateway.resume(history.escalations().map_err(|error| error.to_string())?, now);
        Ok(Process {
            gateway,
            replayed: rows,
            runs: VecDeque::new(),
            works: VecDeque::new(),
            gathered: Vec::new(),
            committed: Vec::new(),
            asked: Vec::new(),
            workers: TARGETS.map(Worker::new).into(),
            started: true_now,
            started_ticks: clock::resumed_ticks(recovered.last, Timestamp(wall)),
            making: None,
            hold,
            follower: manner.follows().then(|| Follower::new(ends)),
            retention: Retention::new(manner.keeps, followed, site.metrics.clone()),
            sorter: None,
            sorting: None,
            again: false,
            link: commands,
            ended: Vec::new(),
        })
    }

    /// The moment that this process's clock shows.
    pub(crate) fn now(&self, true_now: i64, wall: i64) -> Moment {
        Moment {
            wall: Timestamp(wall),
            ticks: Ticks(self.started_ticks.0 + (true_now - self.started).unsigned_abs()),
        }
    }

    /// Whether ingest may read on.
    pub(crate) fn reads(&self) -> bool {
        self.runs.len() < RUNS
    }

    pub(crate) fn read(&mut self, run: Vec<Envelope>) {
        self.again |= run.iter().any(|envelope| envelope.duplicate);
        self.runs.push_back(run);
    }

    /// Whether nothing is under way.
    pub(crate) fn is_idle(&self) -> bool {
        let queues = self.runs.is_empty() && self.works.is_empty();
        let writer = self.gathered.is_empty() && self.committed.is_empty();
        queues && writer && self.link.is_idle() && self.gateway.due().is_none()
    }

    /// The gateway takes a run of messages.
    pub(crate) fn receive(&mut self) -> Result<(), String> {
        if self.gateway.has_room()
            && let Some(run) = self.runs.pop_front()
        {
            self.gateway.receive(run).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    pub(crate) fn operate(&mut self, act: OperatorAct, now: Moment) -> Result<(), String> {
        let operator = match &act {
            OperatorAct::Alarm(input) => &input.operator,
            OperatorAct::Device(input) => &input.operator,
            OperatorAct::Command(input) => &input.operator,
        };
        let Operator { by, .. } = operator.clone();
        let (answer, answered) = oneshot::channel();
        self.asked.push((by, answered));
        let request = OperatorRequest { act, answer };
        self.gateway
            .operate(request, now)
            .map_err(|error| error.to_string())
    }

    pub(crate) fn reconfigure(&mut self, site: &Site, variant: usize, now: Moment) -> Result<(), String> {
        let (decoder, surroundings) = site.configured(variant);
        let (done, _) = oneshot::channel();
        let wanted = Reconfiguration {
            registered: None,
            decoder,
            surroundings,
            done,
        };
        self.gateway
            .reconfigure(wanted, now)
            .map_err(|error| error.to_string())
    }

    /// The open batch goes to the writer, when it is due and there is room.
    pub(crate) fn close(
        &mut self,
        now: Moment,
        snapshots: &mut Snapshots,
        dice: &mut Dice,
    ) -> Result<(), String> {
        let wait = match self.gateway.due() {
            None => true,
            Some(Due::AtOnce) => false,
            Some(Due::Gathering) => dice.chance(50),
        };
        if wait || self.works.len() >= WORKS {
            return Ok(());
        }
        let batch = self.gateway.close(now);
        let over = batch.commands.iter().map(|commit| &commit.event);
        let over = over.filter(|event| event.step.result().is_some());
        self.ended.push(over.map(|event| event.order.id).collect());
        let engine = self.gateway.engine();
        let snapshot = engine.snapshot().map_err(|error| error.to_string())?;
        snapshots.insert(engine.next_input(), snapshot);
        self.works.push_back(Work::Batch(Box::new(batch)));
        Ok(())
    }

    /// A checkpoint is begun beside the gateway, or its next part goes to the writer.
    pub(crate) fn checkpoint(&mut self, store: &Store, bug: Option<Bug>) -> Result<(), String> {
        let Some((made, number)) = &mut self.making else {
            let history = store.history().map_err(|error| error.to_string())?;
            let made =
                Made::new(GATEWAY, &history, PART_BYTES, || true).map_err(|error| error.to_string())?;
            self.making = Some((made, 0));
            return Ok(());
        };
        if self.works.len() >= WORKS {
            return Ok(());
        }
        match made.part(*number) {
            None => self.making = None,
            Some((mut part, _)) => {
                *number += 1;
                if bug == Some(Bug::CheckpointAhead) {
                    ahead(&mut part, self.gateway.engine())?;
                }
                self.works.push_back(Work::Checkpoint(part));
            }
        }
        Ok(())
    }

    /// Reports of deliveries go to the writer.
    pub(crate) fn report(&mut self) {
        for worker in &mut self.workers {
            while self.works.len() < WORKS
                && let Some(report) = worker.reports.pop_front()
            {
                self.works.push_back(Work::Outbox(report));
            }
        }
    }

    /// The history is sorted on, when the writer has written what there was.
    pub(crate) fn sort(&mut self, store: &Store, wall: i64) -> Result<(), String> {
        let written = self
            .sorting
            .as_mut()
            .is_none_or(|written| written.try_recv().is_ok());
        if !written || self.works.len() >= WORKS {
            return Ok(());
        }
        self.sorting = None;
        let sorter = match &mut self.sorter {
            Some(sorter) => sorter,
            none => none.insert(store.sorter(STRETCH_SAMPLES).map_err(|error| error.to_string())?),
        };
        match sorter.step(Timestamp(wall)).map_err(|error| error.to_string())? {
            Sorted::Slice(slice, written) => {
                self.sorting = Some(written);
                self.works.push_back(Work::Segment(Box::new(slice)));
            }
            Sorted::More | Sorted::Idle => {}
        }
        Ok(())
    }

    /// The follower has come farther.
    pub(crate) fn wake_writer(&mut self) {
        // When its queue is full the writer is awake.
        if self.works.len() < WORKS {
            self.works.push_back(Work::Followed);
        }
    }

    /// The writer tries to commit. `None`: there was nothing to do.
    pub(crate) fn commit(&mut self, store: &mut Store, wall: i64) -> Option<rusqlite::Result<()>> {
        if !self.committed.is_empty() {
            return None;
        }
        if self.gathered.is_empty() {
            self.gathered.extend(self.works.drain(..));
        }
        if self.gathered.is_empty() {
            return None;
        }
        let outcome = store.commit(&self.gathered, Timestamp(wall));
        Some(outcome.map(|changes| {
            self.hold.committed(&changes);
            self.committed = std::mem::take(&mut self.gathered);
        }))
    }

    /// The batches that are not committed.
    fn uncommitted(&mut self) -> impl Iterator<Item = &mut Batch> {
        let works = self.works.iter_mut().chain(&mut self.gathered);
        works.filter_map(|work| match work {
            Work::Batch(batch) => Some(batch.as_mut()),
            Work::Outbox(_) | Work::Segment(_) | Work::Checkpoint(_) | Work::Followed => None,
        })
    }

    /// For [`Bug::AckBeforeCommit`].
    pub(crate) fn release_early(&mut self, receipts: &mut Vec<Receipt>) {
        for batch in self.uncommitted() {
            receipts.append(&mut batch.receipts);
        }
    }

    /// For [`Bug::AnswerBeforeCommit`].
    pub(crate) fn answer_early(&mut self) {
        for batch in self.uncommitted() {
            batch.answers.drain(..).for_each(Answer::give);
        }
    }

    /// The writer lets go what the last commit allows.
    pub(crate) fn release(&mut self, receipts: &mut Vec<Receipt>, bug: Option<Bug>) {
        if self.committed.is_empty() {
            return;
        }
        let next = self.committed.iter().rev().find_map(|work| match work {
            Work::Batch(batch) => Some(batch.first_input + u64::from(batch.inputs)),
            Work::Outbox(_) | Work::Segment(_) | Work::Checkpoint(_) | Work::Followed => None,
        });
        let mut new = Vec::new();
        let answers = release(std::mem::take(&mut self.committed), &mut new);
        if bug == Some(Bug::AckBeforeReplica) {
            receipts.append(&mut new);
        }
        receipts.append(&mut self.hold.release(new));
        for answer in answers {
            answer.give();
        }
        if let Some(next) = next {
            self.gateway.note_committed(next);
        }
        for worker in &mut self.workers {
            worker.tell();
        }
    }

    /// The operators who have got an answer since they were last asked for.
    pub(crate) fn answered(&mut self) -> Vec<String> {
        let mut answered = Vec::new();
        self.asked.retain_mut(|(by, answer)| match answer.try_recv() {
            Ok(_) => {
                answered.push(by.clone());
                false
            }
            Err(_) => true,
        });
        answered
    }
}

/// For [`Bug::CheckpointAhead`]: all of the living engine's state in the place of this part's.
fn ahead(part: &mut CheckpointPart, engine: &Engine) -> Result<(), String> {
    let state = engine.snapshot().map_err(|error| error.to_string())?;
    part.number = 0;
    part.complete = Some(CheckpointHead {
        next_input: engine.next_input(),
        at: Moment::default(),
        bytes: state.len() as u64,
        parts: 1,
    });
    part.state = state;
    Ok(())
}
