//! The core as one state machine: `(state, input, now) → (state, effects)`. Holds no socket, file, clock or
//! task; makes the alarm events that the gateway then stores, and nothing else makes any.

mod book;
mod calendar;
mod change;
mod demands;
mod derive;
mod device;
mod due;
mod enrol;
mod exercise;
mod gateway;
mod judge;
mod ledger;
mod limit;
mod linkage;
mod mask;
mod operate;
mod orders;
mod parent;
mod record;
mod snapshot;
mod step;
mod subject;
mod survey;
mod venue;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use self::calendar::Watch;
use self::derive::Turn;
use self::device::Device;
use self::due::Due;
pub use self::enrol::Moved;
use self::judge::{judge, mature, read_late};
use self::ledger::Ledger;
use self::linkage::Said;
pub use self::operate::Refusal;
use self::orders::Call;
use self::record::Recorder;
pub use self::snapshot::{SavedDevices, SnapshotError};
use self::step::Step;
pub use self::survey::{Survey, Surveyed};
use self::venue::Word;
use super::alarm::{AlarmEvent, AlarmStep, ClearReason};
use super::definitions::{Definitions, DefinitionsHash};
use super::device::{DeviceIndex, DeviceKey};
use super::history::{HistoryPoint, Sample};
use super::id::GatewayHash;
use super::interlock::{Attempt, CommandEvent};
use super::journal::{Addressed, Commanded, DefinitionsInput, Input};
use super::kind::{BROKER, COMMAND_LINK, GATEWAY_KIND};
use super::profile::command::Address;
use super::reading::{Reading, ReadingKind};
use super::rule::News;
use super::service::DeviceEvent;
use super::time::{Moment, Ticks};

/// What the engine wants done. One value is reused from batch to batch.
#[derive(Debug, Default)]
pub struct Effects {
    /// Alarm events, in order.
    pub alarms: Vec<AlarmEvent>,
    /// What happened to devices beside their alarms, in order.
    pub devices: Vec<DeviceEvent>,
    /// What happened to orders, in order.
    pub commands: Vec<CommandEvent>,
    /// Commands that are to leave at once, in order.
    pub attempts: Vec<Attempt>,
    /// Devices that have another identity from now on.
    pub moved: Vec<Moved>,
    /// Points whose samples begin, before the first of them.
    pub points: Vec<HistoryPoint>,
    /// What the history keeps, in order of receipt.
    pub samples: Vec<Sample>,
    /// Rule conditions evaluated, for the counter.
    pub evaluations: u64,
    /// Readings that had been taken before, for the counter.
    pub repetitions: u64,
}

impl Effects {
    /// How many of the alarm events that a change of definitions made, the first ones, come from rules that are gone:
    /// their ends, and what those pushed out of the book of ended alarms in between.
    pub fn of_removed_rules(&self) -> usize {
        let removed = AlarmStep::Cleared(ClearReason::RuleRemoved);
        let last = self.alarms.iter().rposition(|event| event.step == removed);
        last.map_or(0, |last| last + 1)
    }
}

/// Devices by presence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Presence {
    /// Heard from, and not reported offline since.
    pub online: u32,
    /// Reported offline, by last will or status.
    pub offline: u32,
    /// Known only by an `online`-less history.
    pub unknown: u32,
}

/// The deterministic core of the gateway.
#[derive(Debug)]
pub struct Engine {
    definitions: Arc<Definitions>,
    definitions_hash: Option<DefinitionsHash>,
    devices: Vec<Device>,
    by_key: HashMap<Arc<DeviceKey>, DeviceIndex>,
    /// The venues of the devices, by their numbers.
    venues: Vec<Device>,
    /// The devices of each venue.
    members: Vec<Vec<DeviceIndex>>,
    /// What the devices of each venue know that its alarms explain.
    explained: Vec<Vec<String>>,
    /// By the device through which they speak, as their profiles say, whoever that is.
    named: HashMap<DeviceKey, BTreeSet<DeviceIndex>>,
    /// The gateway itself, once it is known.
    gateway: Option<DeviceIndex>,
    /// Since when the devices are listened to; `None` while they are not, and until that is said.
    listening: Option<Ticks>,
    /// When the wall clock next decides something.
    watch: Watch,
    recorder: Recorder,
    ledger: Ledger,
}

impl Engine {
    /// An engine that knows no definitions and no devices yet.
    pub fn new(gateway: &str) -> Engine {
        Engine {
            definitions: Arc::default(),
            definitions_hash: None,
            devices: Vec::new(),
            by_key: HashMap::new(),
            venues: Vec::new(),
            members: Vec::new(),
            explained: Vec::new(),
            named: HashMap::new(),
            gateway: None,
            listening: None,
            watch: Watch::default(),
            recorder: Recorder::default(),
            ledger: Ledger::new(GatewayHash::of(gateway)),
        }
    }

    /// Takes one input at `now`.
    ///
    /// # Errors
    /// Only an operator's input can be refused; every other is total.
    pub fn handle(&mut self, input: &Input<'_>, now: Moment, effects: &mut Effects) -> Result<(), Refusal> {
        let outcome = match input {
            Input::Reading(reading) => {
                self.read(reading, now, effects);
                Ok(())
            }
            Input::Device(key) => {
                self.admit(key, now, effects);
                Ok(())
            }
            Input::Timeout => {
                self.expire(now, effects);
                Ok(())
            }
            Input::Operator(input) => self.operate(input, now, effects),
            Input::Service(input) => self.serve(input, now, effects),
            Input::Definitions(DefinitionsInput { hash, definitions }) => {
                self.redefine(*hash, definitions, now, effects);
                self.tell_gateway(None, now, effects);
                Ok(())
            }
            Input::Listening(listening) => {
                self.listen(*listening, now);
                self.renew_orders(*listening, now, effects);
                let connected = f64::from(u8::from(*listening));
                self.tell_gateway(Some((BROKER, connected)), now, effects);
                Ok(())
            }
            Input::Own { point, value } => {
                self.tell_gateway(Some((*point, *value)), now, effects);
                if *point == COMMAND_LINK && *value > 0.0 {
                    self.try_failed_again(now, effects);
                }
                Ok(())
            }
            Input::Commanded(Commanded {
                device,
                order,
                report,
            }) => {
                self.signal((*device, *order), (*report).into(), now, effects);
                Ok(())
            }
            Input::Command(input) => self.command(input, now, effects),
            Input::Escalate(input) => {
                self.escalate(input, now, effects);
                Ok(())
            }
            Input::Addressed(Addressed { device, address }) => {
                if let Some(device) = self.devices.get_mut(device.slot()) {
                    device.address = Some(Box::new((*address).clone()));
                }
                Ok(())
            }
            Input::PartOf { device, parent } => {
                self.name_parent(*device, parent, now, effects);
                Ok(())
            }
            Input::Registered(input) => {
                self.note_registered(input, now, effects);
                Ok(())
            }
        };
        self.follow_up(now, effects);
        self.ledger.advance();
        outcome
    }

    /// Looks at what readings of these devices will need. With many devices most of a reading's cost is waiting for
    /// memory: looked at together, they wait together. Changes nothing.
    pub fn approach(&self, devices: impl Iterator<Item = DeviceIndex>) {
        let rows = devices.filter_map(|index| self.devices.get(index.slot()));
        std::hint::black_box(rows.fold(0, |sum, device| sum ^ device.glance()));
    }

    /// The earliest instant at which [`Input::Timeout`] can change anything. It may turn out to change nothing.
    pub fn next_deadline(&self) -> Option<Ticks> {
        let watch = self.watch.next;
        self.ledger.next_deadline().into_iter().chain(watch).min()
    }

    /// The sequence number that the next input will have.
    pub const fn next_input(&self) -> u64 {
        self.ledger.sequence()
    }

    /// The definitions in force.
    pub const fn definitions(&self) -> &Arc<Definitions> {
        &self.definitions
    }

    /// The hash of the definitions in force; `None` before the first.
    pub const fn definitions_hash(&self) -> Option<DefinitionsHash> {
        self.definitions_hash
    }

    /// The device with this identity, if it has been seen.
    pub fn find(&self, key: &DeviceKey) -> Option<DeviceIndex> {
        self.by_key.get(key).copied()
    }

    /// How the device is spoken to; `None`: nobody has said, so in the native form.
    pub fn address(&self, device: DeviceIndex) -> Option<&Address> {
        self.devices.get(device.slot())?.address.as_deref()
    }

    /// How many devices have been seen, the gateway not counted.
    pub fn device_count(&self) -> usize {
        self.devices.len() - usize::from(self.gateway.is_some())
    }

    /// Who the devices are that have been seen, in the order of their numbers; the gateway is one.
    pub fn keys(&self) -> impl Iterator<Item = &DeviceKey> {
        self.devices.iter().map(|device| device.key.as_ref())
    }

    /// Each kind with its devices' presence, counted now; without the gateway.
    pub fn presence(&self) -> Vec<(&str, Presence)> {
        let mut counts: Vec<(&str, Presence)> = self
            .definitions
            .kinds()
            .map(|kind| (kind.kind.id.as_str(), Presence::default()))
            .collect();
        for device in &self.devices {
            let Some((_, count)) = device.kind.and_then(|kind| counts.get_mut(usize::from(kind.0))) else {
                continue;
            };
            match device.online() {
                Some(true) => count.online += 1,
                Some(false) => count.offline += 1,
                None => count.unknown += 1,
            }
        }
        counts.retain(|(kind, _)| *kind != GATEWAY_KIND);
        counts
    }

    /// Whether silence counts: the devices are listened to.
    pub const fn is_listening(&self) -> bool {
        self.listening.is_some()
    }

    /// How many alarms of class `alarm` have ended and are not closed.
    pub fn unclosed_count(&self) -> usize {
        self.ledger.book.len()
    }

    /// How many alarms stand.
    pub fn standing_count(&self) -> usize {
        self.ledger.standing_count()
    }

    /// Silence while nobody listened says nothing: every device's counts from now at the earliest.
    fn listen(&mut self, listening: bool, now: Moment) {
        self.listening = listening.then_some(now.ticks);
        for (index, device) in (0_u32..).map(DeviceIndex).zip(&mut self.devices) {
            if let Some(rules) = device.kind.and_then(|kind| self.definitions.kind(kind)) {
                let turn = Turn::new(index, rules, self.listening, now);
                device.arm_silence(&turn, &mut self.ledger);
            }
        }
    }

    /// The hot path: no allocation, hash or look-up by name unless an alarm's state moves.
    fn read(&mut self, reading: &Reading<'_>, now: Moment, effects: &mut Effects) {
        let Some(device) = self.devices.get_mut(reading.device.slot()) else {
            return;
        };
        let Some(rules) = device.kind.and_then(|kind| self.definitions.kind(kind)) else {
            return;
        };
        let mut turn = Turn::new(reading.device, rules, self.listening, now);
        let heard = device.hear(&turn, reading, &mut self.ledger);
        let plans = self.recorder.plans(device.kind);
        match reading.kind {
            ReadingKind::Live => {}
            // Recorded by the journal; a self-test or backlog sample says only that the device speaks.
            ReadingKind::Test | ReadingKind::History => {
                let repeated = device.repeats(reading, now);
                effects.repetitions += u64::from(repeated);
                if !repeated {
                    device.keep_late(reading, &turn, plans, &mut effects.samples);
                }
                let news = judge(&mut self.ledger, device, &turn, heard, effects);
                self.tell(Word::of(&turn, news.heard), now, effects);
                return;
            }
        }
        turn.repeated = device.repeats(reading, now);
        effects.repetitions += u64::from(turn.repeated);
        if let Some(late_by_ms) = device.lateness(reading, now) {
            let news = judge(&mut self.ledger, device, &turn, heard, effects);
            if !turn.repeated {
                device.keep_late(reading, &turn, plans, &mut effects.samples);
                let (slots, updated) = device.as_of(reading);
                let slots = slots.get(..device.slots.len()).unwrap_or(&slots);
                let step = Step {
                    late: Some((late_by_ms, slots)),
                    ..Step::of(&turn)
                };
                read_late(&mut self.ledger, device, &step, updated, effects);
            }
            self.tell(Word::of(&turn, news.heard), now, effects);
            return;
        }
        let news = device.update(reading, rules, now).union(heard);
        if !turn.repeated {
            device.keep(reading, &turn, plans, &mut effects.samples);
        }
        device.refresh(&turn, news.heard, &mut self.ledger);
        // Before the rules: what raises an alarm is no second signal for it.
        if device.linkage.is_some() && !turn.repeated {
            self.ledger
                .call(Call::Spoke(reading.device, news.heard, Said::of(reading)));
        }
        let news = judge(&mut self.ledger, device, &turn, news, effects);
        if rules.feeds.is_empty() {
            return;
        }
        self.tell(Word::of(&turn, news.heard), now, effects);
    }

    fn expire(&mut self, now: Moment, effects: &mut Effects) {
        self.watch_calendar(now, effects);
        while let Some(due) = self.ledger.take_due(now.ticks) {
            self.fall_due(due, now, effects);
            self.follow_up(now, effects);
        }
    }

    /// What moved lives mean for others: what venues explain, and what is commanded.
    fn follow_up(&mut self, now: Moment, effects: &mut Effects) {
        self.spread(now, effects);
        self.answer_calls(now, effects);
        self.spread(now, effects);
    }

    fn fall_due(&mut self, (at, index, due): (Ticks, DeviceIndex, Due), now: Moment, effects: &mut Effects) {
        let listening = self.listening;
        let Some((device, rules, ledger)) = self.subject(index) else {
            return;
        };
        let turn = Turn::new(index, rules, listening, now);
        let changed = match due {
            Due::Rule(ordinal) => {
                mature(ledger, device, &turn, (ordinal, at), effects);
                return;
            }
            Due::Held(place) => {
                let changed = device.held_due(&turn, place, at);
                if changed.is_empty() {
                    // After a restart one comes again that came without evidence.
                    return;
                }
                changed
            }
            Due::Order => {
                self.order_due(index, at, now, effects);
                return;
            }
            Due::Exercise => {
                self.exercise_due(index, at, now, effects);
                return;
            }
            Due::Silence => device.silence_due(&turn, at, ledger),
            Due::Mask => {
                device.mask_due(&turn, at, ledger, effects);
                return;
            }
        };
        let news = judge(ledger, device, &turn, News::all(changed), effects);
        let word = Word::of(&turn, news.heard);
        if venue::venue_at(index).is_none() {
            self.tell(word, now, effects);
        }
    }
}
