//! The owner of the engine: receive → decode → step → the open batch. Decides nothing: the decoder and the engine do.
//! Waits for nothing and is told the time; its task (task.rs) does the waiting, a simulation calls it instead.

mod admission;
mod batch;
mod collect;
mod command;
mod counters;
mod dispatch;
mod escalate;
mod rebirth;
mod reconfigure;
mod survey;
mod task;

use std::sync::Arc;
use std::vec;

use prometheus::IntCounter;

use self::admission::Admission;
pub use self::batch::Due;
use self::batch::OpenBatch;
use self::counters::{profile_counters, reading_counters};
use self::dispatch::Outbound;
pub use self::reconfigure::Reconfiguration;
pub use self::task::Lines;
use crate::clock;
use crate::domain::definitions::Definitions;
use crate::domain::device::{DeviceIndex, DeviceKey};
use crate::domain::directions::Directions;
use crate::domain::engine::{Effects, Engine, Presence, SnapshotError};
use crate::domain::escalation::Escalations;
use crate::domain::history::HistoryError;
use crate::domain::journal::{Input, JournalError};
use crate::domain::kind;
use crate::domain::profile::Reject;
use crate::domain::profile::command::CommandBook;
use crate::domain::profile::decoder::{Decoder, Part, Resolved};
use crate::domain::profile::devices::SlotId;
use crate::domain::reading::{Arrival, Reading, ReadingKind};
use crate::domain::registry::Registry;
use crate::domain::time::{Moment, Ticks};
use crate::handoff::{
    Answer, Batch, Directory, Envelope, OperatorAct, OperatorRequest, Probe, SeenDevice, StoreCondition,
};
use crate::metrics::Metrics;

/// Why the gateway's task ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The writer is gone: nothing can be made durable, so nothing may be acknowledged.
    #[error("the store's writer has ended: nothing more can be made durable")]
    WriterEnded,
    /// An input could not be journalled.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A sample could not be packed.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// The checkpoint could not be made.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// A message body or the definitions could not be put into JSON.
    #[error("cannot write JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// What the gateway needs to know to put an alarm into words and on its way.
#[derive(Debug)]
pub struct Surroundings {
    /// The gateway's name.
    pub id: String,
    /// Where officers reach the API.
    pub public_url: String,
    /// The most devices taken in, those apart that nobody registered.
    pub max_devices: usize,
    /// The most devices taken in that nobody registered.
    pub max_unregistered: usize,
    /// Names and addresses.
    pub registry: Registry,
    /// Who is told of what.
    pub directions: Arc<Directions>,
    /// How orders are put into words.
    pub book: CommandBook,
    /// The definitions that the configuration wants in force.
    pub definitions: Arc<Definitions>,
}

impl Surroundings {
    /// What others need of it to put stored facts into words.
    pub fn directory(&self) -> Directory {
        Directory {
            registry: self.registry.clone(),
            definitions: Arc::clone(&self.definitions),
            directions: Arc::clone(&self.directions),
        }
    }
}

/// The owner of the engine. Every call that brings an input says when it came; what it causes gathers in the open
/// batch until [`Gateway::close`].
#[derive(Debug)]
pub struct Gateway {
    engine: Engine,
    decoder: Decoder,
    surroundings: Surroundings,
    metrics: Metrics,
    /// A counter for each kind, in the decoder's order.
    readings: Vec<IntCounter>,
    /// Counters for each profile, in the decoder's order: matched, unmatched, failed.
    profiles: Vec<[IntCounter; 3]>,
    effects: Effects,
    /// Whose the messages of the present run are; kept for its space.
    topics: Vec<Result<Resolved, Reject>>,
    open: OpenBatch,
    outbound: Outbound,
    escalations: Escalations,
    admission: Admission,
    /// How many rebirths were asked for, going round.
    asked: u32,
}

impl Gateway {
    /// A gateway that goes on from `engine`'s state.
    pub fn new(engine: Engine, decoder: Decoder, surroundings: Surroundings, metrics: Metrics) -> Gateway {
        let readings = reading_counters(&surroundings.definitions, &metrics);
        let profiles = profile_counters(&decoder, &metrics);
        command::prepare_counters(&surroundings.definitions, &metrics);
        let open = OpenBatch::new(engine.next_input());
        let admission = Admission::of(engine.keys(), &surroundings);
        Gateway {
            engine,
            decoder,
            surroundings,
            metrics,
            readings,
            profiles,
            effects: Effects::default(),
            topics: Vec::new(),
            open,
            outbound: Outbound::default(),
            escalations: Escalations::default(),
            admission,
            asked: 0,
        }
    }

    /// The first inputs of a run: the configured definitions, and the gateway itself, which is a device too. Whatever
    /// the last run heard last: until the session stands, nobody listens.
    pub fn start(&mut self, now: Moment) -> Result<(), GatewayError> {
        self.adopt_definitions(&Arc::clone(&self.surroundings.definitions), now)?;
        let own = DeviceKey::gateway(&self.surroundings.id);
        self.admission = Admission::of(self.engine.keys(), &self.surroundings);
        self.admit(&own, now)?;
        self.admit_commanded(now)?;
        self.step(now, &Input::Listening(false))?;
        self.collect()?;
        self.renew_chains(now)
    }

    /// Silence counts only while the devices can be heard.
    pub fn listen(&mut self, up: bool, now: Moment) -> Result<(), GatewayError> {
        if !up && !self.engine.is_listening() {
            return Ok(());
        }
        if up {
            // What was said meanwhile at quality of service 0 is lost.
            self.decoder.interrupted(now);
        }
        self.step(now, &Input::Listening(up))?;
        self.collect()
    }

    /// What the store knows of itself is what the gateway knows of itself.
    pub fn note_store(&mut self, condition: StoreCondition, now: Moment) -> Result<(), GatewayError> {
        let points = [
            (kind::DISK_LOW, condition.disk_low),
            (kind::DISK_FULL, condition.disk_full),
            (kind::STORE_FAILED, condition.failed.is_some()),
            (kind::HISTORY_LOST, condition.history_lost),
        ];
        for (point, holds) in points {
            let value = f64::from(u8::from(holds));
            self.step(now, &Input::Own { point, value })?;
        }
        self.collect()
    }

    /// Has the open batch go to the writer, also when it is empty.
    pub(crate) const fn want_batch(&mut self) {
        self.open.want();
    }

    /// Lets `probe` through to the writer.
    pub fn pass(&mut self, probe: Probe) {
        // Whoever sent it may have given up on it.
        let _ = probe.taken.send(());
        self.open.answer(Answer::Done(probe.committed));
    }

    /// Takes a run of messages through decoder and engine. Each says itself when it came.
    pub fn receive(&mut self, run: Vec<Envelope>) -> Result<(), GatewayError> {
        let mut run = run.into_iter();
        while run.len() > 0 {
            self.receive_some(&mut run)?;
        }
        self.collect()
    }

    /// The same up to the first message that commands something, and without putting into words what it means.
    pub(super) fn receive_some(&mut self, run: &mut vec::IntoIter<Envelope>) -> Result<(), GatewayError> {
        // One message of each run is timed: two clock reads a message would cost as much as the rules.
        let mut timed = true;
        self.decoder.make_room(run.len());
        let mut topics = std::mem::take(&mut self.topics);
        let all = run.as_slice().iter();
        topics.extend(all.map(|envelope| self.decoder.resolve(&envelope.topic)));
        let known = topics.iter().filter_map(|topic| match topic {
            Ok(Resolved::Message(topic)) => self.decoder.expected(*topic),
            Ok(Resolved::Ignored) | Err(_) => None,
        });
        self.engine.approach(known);
        self.outbound.handed_over = false;
        for (topic, envelope) in topics.drain(..).zip(run) {
            let receipt = envelope.receipt;
            self.take(envelope, topic, timed)?;
            self.open.message(receipt);
            timed = false;
            if self.outbound.handed_over {
                break;
            }
        }
        self.topics = topics;
        Ok(())
    }

    fn take(
        &mut self,
        envelope: Envelope,
        topic: Result<Resolved, Reject>,
        timed: bool,
    ) -> Result<(), GatewayError> {
        let now = envelope.received;
        if let Some(bytes) = envelope.oversize {
            self.bury(envelope, Reject::TooLarge(bytes));
            return Ok(());
        }
        let topic = match topic {
            Ok(Resolved::Message(topic)) => topic,
            Ok(Resolved::Ignored) => return Ok(()),
            Err(reject) => {
                self.bury(envelope, reject);
                return Ok(());
            }
        };
        let started = timed.then(clock::monotonic);
        let decoded = self.decoder.decode(topic, &envelope.payload, now);
        let decoded_at = timed.then(clock::monotonic);
        if let Some([matched, unmatched, failed]) =
            self.decoder.profile(topic).and_then(|at| self.profiles.get(at))
        {
            match (&decoded.reject, decoded.parts + decoded.acks) {
                (Some(_), _) => failed.inc(),
                (None, 0) => unmatched.inc(),
                (None, _) => matched.inc(),
            }
        }
        let mut reject = decoded.reject;
        for at in 0..decoded.parts {
            if let Err(refused) = self.hear(at, arrival(&envelope), now)? {
                reject.get_or_insert(refused);
            }
        }
        for at in 0..decoded.acks {
            self.take_ack(at, envelope.retained, now)?;
        }
        if let (Some(started), Some(decoded_at)) = (started, decoded_at) {
            self.metrics
                .decode_seconds
                .observe((decoded_at - started).as_secs_f64());
            self.metrics
                .evaluate_seconds
                .observe(decoded_at.elapsed().as_secs_f64());
        }
        if let Some(reject) = reject {
            self.bury(envelope, reject);
        }
        Ok(())
    }

    /// Takes one part of the message just decoded through the engine.
    fn hear(&mut self, at: usize, arrival: Arrival, now: Moment) -> Result<Result<(), Reject>, GatewayError> {
        let Some(slot) = self.decoder.part(at).map(|part| part.device) else {
            return Ok(Ok(()));
        };
        let device = match self.device(slot, now)? {
            Ok(device) => device,
            Err(reject) => return Ok(Err(reject)),
        };
        // Where it hung once says nothing of where it hangs now; better than nothing it is.
        let is_news = |part: Part<'_>| part.kind == ReadingKind::Live && !part.doubtful;
        let is_news = arrival != Arrival::Kept && self.decoder.part(at).is_some_and(is_news);
        if is_news || self.engine.named_parent(device).is_none() {
            self.keep_parent(at, device, now)?;
        }
        let Some(part) = self.decoder.part(at) else {
            return Ok(Ok(()));
        };
        let input = Input::Reading(Reading {
            device,
            device_at: part.device_at.map(|at| part.clock.judge(at, now.wall)),
            seq: part.seq,
            kind: part.kind,
            // What is in doubt may raise an alarm and end none, like what was kept.
            arrival: if part.doubtful { Arrival::Kept } else { arrival },
            points: part.points,
        });
        self.open.journal.push(now, &input)?;
        // Only an operator's input can be refused.
        let _never_refused = self.engine.handle(&input, now, &mut self.effects);
        self.dispatch();
        if let Some(counter) = self.readings.get(self.decoder.kind(slot)) {
            counter.inc();
        }
        Ok(Ok(()))
    }

    /// The engine's index of a device that speaks; takes it in at first sight.
    fn device(&mut self, slot: SlotId, now: Moment) -> Result<Result<DeviceIndex, Reject>, GatewayError> {
        if let Some(device) = self.decoder.device(slot) {
            return Ok(Ok(device));
        }
        let key = self.decoder.key(slot).clone();
        if self.engine.find(&key).is_none()
            && let Err(reject) = self.admission.check(&key, &self.surroundings)
        {
            self.decoder.refuse(slot);
            return Ok(Err(reject));
        }
        Ok(match self.admit(&key, now)? {
            Some(device) => {
                self.decoder.bind(slot, device);
                self.keep_address(slot, device, now)?;
                Ok(device)
            }
            None => Err(Reject::TooManyDevices),
        })
    }

    /// The engine's index of the device `key`; takes it in when it is new. `None`: there is no room for it.
    fn admit(&mut self, key: &DeviceKey, now: Moment) -> Result<Option<DeviceIndex>, GatewayError> {
        if let Some(device) = self.engine.find(key) {
            return Ok(Some(device));
        }
        self.step(now, &Input::Device(key))?;
        let device = self.engine.find(key);
        if let Some(number) = device {
            self.admission.note(key, &self.surroundings);
            self.open.seen(SeenDevice {
                number,
                key: key.clone(),
                at: now.wall,
            });
        }
        Ok(device)
    }

    /// Does what an operator asks for. The answer goes out with the commit.
    pub fn operate(&mut self, request: OperatorRequest, now: Moment) -> Result<(), GatewayError> {
        self.operate_at_once(request, now)?;
        self.collect()
    }

    /// The same without putting into words what it means.
    pub(super) fn operate_at_once(
        &mut self,
        mut request: OperatorRequest,
        now: Moment,
    ) -> Result<(), GatewayError> {
        if let OperatorAct::Command(input) = &mut request.act {
            command::fill_in(input, &self.surroundings.registry);
        }
        let input = match &request.act {
            OperatorAct::Alarm(input) => Input::Operator(input),
            OperatorAct::Device(input) => Input::Service(input),
            OperatorAct::Command(input) => Input::Command(input),
        };
        self.open.journal.push(now, &input)?;
        let outcome = self.engine.handle(&input, now, &mut self.effects);
        self.dispatch();
        self.open.answer(Answer::Operator {
            to: request.answer,
            outcome: outcome.map(|()| command::ordered(&self.effects.commands)),
        });
        Ok(())
    }

    /// Steps the engine when its deadline has come, and tells on where a chain's has.
    pub fn expire(&mut self, now: Moment) -> Result<(), GatewayError> {
        self.expire_at_once(now)?;
        self.collect()
    }

    /// The same without putting into words what it means.
    pub(super) fn expire_at_once(&mut self, now: Moment) -> Result<(), GatewayError> {
        if self.engine.next_deadline().is_some_and(|due| due <= now.ticks) {
            self.step(now, &Input::Timeout)?;
        }
        // After what has happened to the alarms: one that has just ended is told of no more.
        self.tell_on(now)
    }

    /// Journals an input that cannot be refused, and steps the engine.
    fn step(&mut self, now: Moment, input: &Input<'_>) -> Result<(), GatewayError> {
        self.open.journal.push(now, input)?;
        let _never_refused = self.engine.handle(input, now, &mut self.effects);
        self.dispatch();
        Ok(())
    }

    /// When [`Gateway::expire`] has something to do; `None`: never, as things stand.
    pub fn deadline(&self) -> Option<Ticks> {
        let tellings = self.escalations.next_deadline();
        self.engine.next_deadline().into_iter().chain(tellings).min()
    }

    /// Whether the open batch takes another run of messages.
    pub fn has_room(&self) -> bool {
        self.open.has_room()
    }

    /// Whether it takes what does not wait for the disk.
    pub(super) fn has_last_room(&self) -> bool {
        self.open.has_last_room()
    }

    /// Whether the open batch waits for company; `None` while it is empty.
    pub fn due(&self) -> Option<Due> {
        self.open.due()
    }

    /// Has the open batch carry a checkpoint: for the last one, after which nothing waits any more.
    pub fn checkpoint(&mut self) -> Result<(), GatewayError> {
        self.open.checkpoint(self.engine.snapshot()?);
        Ok(())
    }

    /// The open batch, for the writer; the next one is open.
    pub fn close(&mut self, now: Moment) -> Batch {
        let next = OpenBatch::new(self.engine.next_input());
        std::mem::replace(&mut self.open, next).close(now)
    }

    /// The engine: to look at, not to step.
    pub const fn engine(&self) -> &Engine {
        &self.engine
    }

    fn count_devices(&self) {
        for (kind, presence) in self.engine.presence() {
            self.show_presence(kind, presence);
        }
        let unregistered = i64::try_from(self.admission.unregistered());
        self.metrics.unregistered.set(unregistered.unwrap_or(i64::MAX));
    }

    fn show_presence(&self, kind: &str, presence: Presence) {
        for (name, count) in [
            ("online", presence.online),
            ("offline", presence.offline),
            ("unknown", presence.unknown),
        ] {
            self.metrics.devices(kind, name).set(i64::from(count));
        }
    }
}

/// How the broker gave the message out.
const fn arrival(envelope: &Envelope) -> Arrival {
    match (envelope.retained, envelope.duplicate) {
        (true, _) => Arrival::Kept,
        (false, true) => Arrival::Again,
        (false, false) => Arrival::First,
    }
}
