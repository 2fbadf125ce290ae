//! The one task that owns the engine: receive → decode → step → hand the batch to the writer. Decides nothing:
//! the decoder and the engine do. Waits for no disk: the writer is another thread.

mod batch;
mod reconfigure;

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use prometheus::IntCounter;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use self::batch::OpenBatch;
pub use self::reconfigure::Reconfiguration;
use crate::clock::{self, Clock};
use crate::domain::definitions::Definitions;
use crate::domain::device::{DeviceIndex, DeviceKey};
use crate::domain::engine::{Effects, Engine, Presence, SnapshotError};
use crate::domain::history::HistoryError;
use crate::domain::journal::{Input, JournalError};
use crate::domain::notice::{AlarmBody, DeviceEventBody, EventBody};
use crate::domain::profile::Reject;
use crate::domain::profile::decoder::{Decoder, Resolved, TopicId};
use crate::domain::reading::Reading;
use crate::domain::registry::Registry;
use crate::domain::route::{self, Route};
use crate::domain::time::Moment;
use crate::handoff::{
    AlarmCommit, Answer, DeadLetter, DeviceCommit, Directory, Envelope, OperatorAct, OperatorRequest,
    SeenDevice, Work,
};
use crate::metrics::Metrics;

/// Inputs between two checkpoints: bounds the replay at the next start.
const CHECKPOINT_INPUTS: u64 = 200_000;

/// How often the gauges that cost a walk over all devices are set.
const CENSUS: Duration = Duration::from_secs(5);

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
    /// The most devices taken in.
    pub max_devices: usize,
    /// Names and addresses.
    pub registry: Registry,
    /// Who is told of what.
    pub routes: Vec<Route>,
    /// The definitions that the configuration wants in force.
    pub definitions: Arc<Definitions>,
}

impl Surroundings {
    /// What others need of it to put stored facts into words.
    pub fn directory(&self) -> Directory {
        Directory {
            registry: self.registry.clone(),
            definitions: Arc::clone(&self.definitions),
        }
    }
}

/// Where the gateway's inputs come from and its batches go.
#[derive(Debug)]
pub struct Lines {
    /// Runs of messages.
    pub envelopes: mpsc::Receiver<Vec<Envelope>>,
    /// What operators ask for.
    pub operators: mpsc::Receiver<OperatorRequest>,
    /// Configurations to put in force.
    pub reconfigurations: mpsc::Receiver<Reconfiguration>,
    /// Whether the devices can be heard.
    pub listening: watch::Receiver<bool>,
    /// The writer.
    pub work: mpsc::Sender<Work>,
}

/// The owner of the engine.
#[derive(Debug)]
pub struct Gateway {
    engine: Engine,
    decoder: Decoder,
    surroundings: Surroundings,
    clock: Clock,
    metrics: Metrics,
    /// A counter for each kind, in the decoder's order.
    readings: Vec<IntCounter>,
    effects: Effects,
    /// Whose the messages of the present run are; kept for its space.
    topics: Vec<Result<Resolved, Reject>>,
    open: OpenBatch,
    checkpoint_due: u64,
}

impl Gateway {
    /// A gateway that goes on from `engine`'s state.
    pub fn new(
        engine: Engine,
        decoder: Decoder,
        surroundings: Surroundings,
        clock: Clock,
        metrics: Metrics,
    ) -> Gateway {
        let readings = reading_counters(&surroundings.definitions, &metrics);
        let open = OpenBatch::new(engine.next_input());
        let checkpoint_due = engine.next_input() + CHECKPOINT_INPUTS;
        Gateway {
            engine,
            decoder,
            surroundings,
            clock,
            metrics,
            readings,
            effects: Effects::default(),
            topics: Vec::new(),
            open,
            checkpoint_due,
        }
    }

    /// Runs until the envelopes' senders are gone, then hands over the rest with a checkpoint.
    ///
    /// # Errors
    /// When the writer is gone or an input cannot be journalled. Nothing unacknowledged is lost then: the broker
    /// still has it.
    pub async fn run(mut self, mut lines: Lines) -> Result<(), GatewayError> {
        self.adopt_definitions(&Arc::clone(&self.surroundings.definitions))?;
        self.introduce()?;
        lines.listening.mark_changed();
        let mut census = Instant::from_std(clock::monotonic());
        loop {
            let due = self.open.due().map(Instant::from_std);
            let room = self.open.has_room();
            tokio::select! {
                biased;
                permit = due_permit(&lines.work, due) => {
                    let permit = permit?;
                    permit.send(self.close_batch()?);
                }
                // People and deadlines before telemetry: both are few, and neither may starve under a backlog.
                Some(request) = lines.operators.recv(), if room => self.operate(request)?,
                Some(wanted) = lines.reconfigurations.recv(), if room => self.reconfigure(wanted)?,
                Ok(()) = lines.listening.changed(), if room => {
                    let up = *lines.listening.borrow_and_update();
                    self.listen(up)?;
                }
                () = until(self.deadline()), if room => self.expire()?,
                run = lines.envelopes.recv(), if room => match run {
                    Some(run) => {
                        self.metrics.queue_ingest.set(i64::try_from(lines.envelopes.len()).unwrap_or(i64::MAX));
                        self.receive(run)?;
                    }
                    None => break,
                },
                () = sleep_until(census) => {
                    self.count_devices();
                    census = Instant::from_std(clock::monotonic()) + CENSUS;
                }
            }
        }
        self.checkpoint_due = 0;
        let last = self.close_batch()?;
        lines.work.send(last).await.map_err(|_| GatewayError::WriterEnded)
    }

    /// The gateway is a device too. Whatever the last run heard last: until the session stands, nobody listens.
    fn introduce(&mut self) -> Result<(), GatewayError> {
        let now = self.clock.now();
        let own = DeviceKey::gateway(&self.surroundings.id);
        self.admit(&own, now)?;
        self.step(now, &Input::Listening(false))?;
        self.collect()
    }

    /// Silence counts only while the devices can be heard.
    fn listen(&mut self, up: bool) -> Result<(), GatewayError> {
        if !up && !self.engine.is_listening() {
            return Ok(());
        }
        self.step(self.clock.now(), &Input::Listening(up))?;
        self.collect()
    }

    /// Takes a run of messages through decoder and engine.
    fn receive(&mut self, run: Vec<Envelope>) -> Result<(), GatewayError> {
        self.open.open(clock::monotonic());
        // One message of each run is timed: two clock reads a message would cost as much as the rules.
        let mut timed = true;
        let mut topics = std::mem::take(&mut self.topics);
        topics.extend(run.iter().map(|envelope| self.decoder.resolve(&envelope.topic)));
        let known = topics.iter().filter_map(|topic| match topic {
            Ok(Resolved::Device(topic)) => self.decoder.device(*topic),
            Ok(Resolved::Ignored) | Err(_) => None,
        });
        self.engine.approach(known);
        for (envelope, topic) in run.into_iter().zip(topics.drain(..)) {
            let receipt = envelope.receipt;
            self.take(envelope, topic, timed)?;
            self.open.message(receipt);
            timed = false;
        }
        self.topics = topics;
        self.collect()
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
            Ok(Resolved::Device(topic)) => topic,
            Ok(Resolved::Ignored) => return Ok(()),
            Err(reject) => {
                self.bury(envelope, reject);
                return Ok(());
            }
        };
        let device = match self.device(topic, now)? {
            Ok(device) => device,
            Err(reject) => {
                self.bury(envelope, reject);
                return Ok(());
            }
        };
        let started = timed.then(clock::monotonic);
        let kind = self.decoder.kind(topic);
        let decoded = self.decoder.decode(topic, &envelope.payload);
        let decoded_at = timed.then(clock::monotonic);
        let reject = decoded.reject;
        if decoded.usable {
            let input = Input::Reading(Reading {
                device,
                device_at: decoded.device_at.map(|at| decoded.clock.judge(at, now.wall)),
                seq: decoded.seq,
                kind: decoded.kind,
                retained: envelope.retained,
                points: decoded.points,
            });
            self.open.journal.push(now, &input)?;
            // Only an operator's input can be refused.
            let _never_refused = self.engine.handle(&input, now, &mut self.effects);
            if let Some(counter) = self.readings.get(kind) {
                counter.inc();
            }
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

    /// The engine's index of the topic's device; takes it in at first sight.
    fn device(&mut self, topic: TopicId, now: Moment) -> Result<Result<DeviceIndex, Reject>, GatewayError> {
        if let Some(device) = self.decoder.device(topic) {
            return Ok(Ok(device));
        }
        let key = self.decoder.key(topic).clone();
        let most = self.surroundings.max_devices;
        if self.engine.find(&key).is_none() && self.engine.device_count() >= most {
            return Ok(Err(Reject::TooManyDevices));
        }
        Ok(match self.admit(&key, now)? {
            Some(device) => {
                self.decoder.bind(topic, device);
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
            self.open.seen(SeenDevice {
                number,
                key: key.clone(),
                at: now.wall,
            });
        }
        Ok(device)
    }

    fn operate(&mut self, request: OperatorRequest) -> Result<(), GatewayError> {
        self.open.open(clock::monotonic());
        let now = self.clock.now();
        let input = match &request.act {
            OperatorAct::Alarm(input) => Input::Operator(input),
            OperatorAct::Device(input) => Input::Service(input),
        };
        self.open.journal.push(now, &input)?;
        let outcome = self.engine.handle(&input, now, &mut self.effects);
        self.open.answer(Answer::Operator {
            to: request.answer,
            outcome,
        });
        self.collect()
    }

    fn expire(&mut self) -> Result<(), GatewayError> {
        let now = self.clock.now();
        if self
            .engine
            .next_deadline()
            .is_some_and(|deadline| deadline <= now.ticks)
        {
            self.step(now, &Input::Timeout)?;
            self.collect()?;
        }
        Ok(())
    }

    /// Journals an input that cannot be refused, and steps the engine.
    fn step(&mut self, now: Moment, input: &Input<'_>) -> Result<(), GatewayError> {
        self.open.open(clock::monotonic());
        self.open.journal.push(now, input)?;
        let _never_refused = self.engine.handle(input, now, &mut self.effects);
        Ok(())
    }

    /// Puts what the engine wants done into the open batch.
    fn collect(&mut self) -> Result<(), GatewayError> {
        self.metrics
            .rule_evaluations
            .inc_by(std::mem::take(&mut self.effects.evaluations));
        self.metrics
            .readings_repeated
            .inc_by(std::mem::take(&mut self.effects.repetitions));
        let effects = &mut self.effects;
        self.open.keep(&mut effects.points, &mut effects.samples)?;
        let around = &self.surroundings;
        for event in self.effects.devices.drain(..) {
            let body = DeviceEventBody::new(&event, &around.registry, &around.id);
            let body = serde_json::to_string(&body)?;
            self.open.device(DeviceCommit { event, body });
        }
        for event in self.effects.alarms.drain(..) {
            let targets = if event.notify {
                route::targets(&around.routes, &event.alarm)
            } else {
                Vec::new()
            };
            let targets = targets.into_iter().map(str::to_owned).collect();
            let alarm_body = AlarmBody::new(&event.alarm, &around.registry);
            let alarm = serde_json::to_string(&alarm_body)?;
            let body = EventBody::new(&event, &alarm_body, &around.id, &around.public_url);
            let body = serde_json::to_string(&body)?;
            self.open.alarm(AlarmCommit {
                event,
                alarm,
                body,
                targets,
            });
        }
        Ok(())
    }

    fn bury(&mut self, envelope: Envelope, reject: Reject) {
        self.metrics.dead_letter(&reject);
        self.open.dead_letter(DeadLetter {
            at: envelope.received.wall,
            topic: envelope.topic,
            payload: envelope.payload,
            reject,
        });
    }

    fn close_batch(&mut self) -> Result<Work, GatewayError> {
        if self.engine.next_input() >= self.checkpoint_due {
            self.open.checkpoint(self.engine.snapshot()?);
            self.checkpoint_due = self.engine.next_input() + CHECKPOINT_INPUTS;
        }
        let next = OpenBatch::new(self.engine.next_input());
        Ok(Work::Batch(Box::new(
            std::mem::replace(&mut self.open, next).close(self.clock.now()),
        )))
    }

    fn deadline(&self) -> Option<Instant> {
        let wait = self.clock.until(self.engine.next_deadline()?);
        Some(Instant::from_std(clock::monotonic()) + wait)
    }

    fn count_devices(&self) {
        for (kind, presence) in self.engine.presence() {
            self.show_presence(kind, presence);
        }
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

/// A counter for each kind, in the decoder's order.
fn reading_counters(definitions: &Definitions, metrics: &Metrics) -> Vec<IntCounter> {
    let kinds = definitions.source().kinds.iter();
    kinds.map(|kind| metrics.readings(&kind.id)).collect()
}

/// A place in the writer's queue, once the batch is due.
async fn due_permit(
    work: &mpsc::Sender<Work>,
    due: Option<Instant>,
) -> Result<mpsc::Permit<'_, Work>, GatewayError> {
    match due {
        None => pending().await,
        Some(due) => {
            // The runtime's timer rounds up to a millisecond; an alarm does not wait for that.
            if due > Instant::from_std(clock::monotonic()) {
                sleep_until(due).await;
            }
            work.reserve().await.map_err(|_| GatewayError::WriterEnded)
        }
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        None => pending().await,
        Some(deadline) => sleep_until(deadline).await,
    }
}
