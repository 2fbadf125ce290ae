//! What has to hold of orders, input by input as the journal has them: who may give one, what proves it, and that people hear
//! of every one that failed.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use ninewatch::domain::alarm::{AlarmEvent, AlarmState, AlarmStep, Mask};
use ninewatch::domain::engine::{Effects, Engine};
use ninewatch::domain::id::Id;
use ninewatch::domain::interlock::{CommandEvent, CommandStep, DEFAULT_MAX_AGE};
use ninewatch::domain::journal::Entry;
use ninewatch::domain::kind::PointIndex;
use ninewatch::domain::reading::{Arrival, ReadingKind};
use ninewatch::domain::time::{Moment, Ticks};

use super::signals::Signals;
use super::site::{CLOSING, Linkage};
use super::town::DEVICES;
use super::valves::{REMOTE, VALVES};
use super::world::gas_detector;

/// The gas level among a detector's points.
const LEVEL: PointIndex = PointIndex(1);

/// The valve's position among its points, and its values.
const POSITION: PointIndex = PointIndex(1);
const OPEN: f64 = 0.0;
const CLOSED: f64 = 1.0;

/// How often an order is sent anew because the devices can be heard again.
const RENEWALS: usize = 3;

/// When each message of a valve reached the gateway as news, by its number.
pub(crate) type Live = HashMap<u64, Vec<Moment>>;

struct Order {
    device: String,
    command: String,
    requested: Ticks,
    renewals: usize,
    over: bool,
}

/// A command that went to the broker.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) id: Id,
    pub(crate) topic: String,
    pub(crate) payload: String,
    /// How many crashes there had been.
    pub(crate) life: usize,
}

/// All orders that the journal knows.
#[derive(Default)]
pub(crate) struct Orders {
    known: BTreeMap<Id, Order>,
    under_way: HashMap<String, Id>,
    /// The alarms that demand valves closed, or will on a second signal, with their venues and whether somebody has masked
    /// them since.
    demanding: HashMap<Id, (String, bool)>,
    signals: Signals,
    /// Valves whose last order to close failed.
    failed: HashSet<String>,
    /// Those of which people were told since the danger began.
    told: HashSet<String>,
    pub(crate) verified: usize,
    pub(crate) failures: usize,
}

impl Orders {
    /// Takes in what `entry` caused.
    pub(crate) fn note(
        &mut self,
        (moment, entry): (Moment, &Entry),
        effects: &Effects,
        engine: &Engine,
        live: &Live,
    ) -> Result<(), String> {
        self.note_level(entry, engine);
        for event in &effects.alarms {
            self.note_alarm(event);
            self.signals.note_alarm(event);
        }
        for event in &effects.commands {
            let wrong = |what: &str| format!("{what}: {event:?}, by {entry:?}");
            self.note_step(event, moment).map_err(|what| wrong(&what))?;
            let (device, command) = (&event.order.device, &*event.order.command);
            match &event.step {
                CommandStep::Requested | CommandStep::Repeated if command == "open" => {
                    let asked = if let Entry::Command(input) = entry {
                        input.command == "open" && input.remote_open
                    } else {
                        event.step != CommandStep::Requested
                    };
                    if !asked || !REMOTE.contains(&device.device.as_str()) {
                        return Err(wrong("nobody allowed this opening"));
                    }
                    if self.demanding.values().any(|(venue, _)| *venue == device.venue) {
                        return Err(wrong("an opening while an alarm demands the contrary"));
                    }
                }
                CommandStep::Repeated => {
                    let order = self.known.get_mut(&event.order.id).expect("it was noted");
                    order.renewals += usize::from(matches!(entry, Entry::Listening(true)));
                }
                CommandStep::Verified => {
                    self.verified += 1;
                    let index = engine.find(device);
                    let requested = self.known[&event.order.id].requested;
                    if !index.is_some_and(|index| proves(entry, index.0, (moment, command), requested, live))
                    {
                        return Err(wrong("nothing proves this"));
                    }
                }
                CommandStep::Requested => {
                    self.signals
                        .check_order(&event.order)
                        .map_err(|what| wrong(&what))?;
                }
                CommandStep::Joined
                | CommandStep::Sent
                | CommandStep::Acknowledged
                | CommandStep::Declined
                | CommandStep::Failed(_)
                | CommandStep::Superseded => {}
            }
        }
        Ok(())
    }

    /// Definitions of this linkage are in force from now on.
    pub(crate) fn configure(&mut self, linkage: Option<Linkage>) {
        self.signals.configure(linkage);
    }

    fn note_level(&mut self, entry: &Entry, engine: &Engine) {
        let Entry::Reading {
            device,
            device_at,
            seq,
            kind: ReadingKind::Live,
            arrival: Arrival::First | Arrival::Again,
            points,
        } = entry
        else {
            return;
        };
        let fresh = device_at.is_none() && seq.is_none();
        let level = points.iter().find(|(point, _)| *point == LEVEL);
        for (venue, name) in DEVICES {
            if let Some((_, level)) = level
                && engine.find(&gas_detector(venue, name)) == Some(*device)
            {
                self.signals.note_level(name, *level, fresh);
            }
        }
    }

    fn note_alarm(&mut self, event: &AlarmEvent) {
        let alarm = &event.alarm;
        if !CLOSING.contains(&alarm.rule.id.as_str()) {
            return;
        }
        let venue = &alarm.device.venue;
        match alarm.state {
            AlarmState::ActiveUnacknowledged | AlarmState::ActiveAcknowledged => {
                let begins = matches!(
                    event.step,
                    AlarmStep::Raised | AlarmStep::Suppressed | AlarmStep::Limited | AlarmStep::Chattering
                );
                let masked = matches!(alarm.mask, Mask::Shelved(_) | Mask::OutOfService(_));
                let old = alarm.late_by_ms.is_some_and(|age| age > DEFAULT_MAX_AGE.0);
                if begins && !masked && !old {
                    self.demanding.insert(alarm.id, (venue.clone(), false));
                } else if let Some((_, is_masked)) = self.demanding.get_mut(&alarm.id) {
                    *is_masked = masked;
                }
            }
            AlarmState::RecoveredUnacknowledged | AlarmState::RecoveredAcknowledged | AlarmState::Cleared => {
                self.demanding.remove(&alarm.id);
                if self.demanding.values().all(|(other, _)| other != venue) {
                    let here = |device: &str| VALVES.contains(&(venue.as_str(), device));
                    self.told.retain(|device| !here(device));
                }
            }
        }
    }

    /// One order a device at a time, and each ends once.
    fn note_step(&mut self, event: &CommandEvent, moment: Moment) -> Result<(), String> {
        let order = &event.order;
        let device = &order.device.device;
        if order.attempt > order.attempts {
            return Err("too many attempts".to_owned());
        }
        if event.step == CommandStep::Requested {
            if self.under_way.insert(device.clone(), order.id).is_some() {
                return Err("two orders for one device".to_owned());
            }
            let new = Order {
                device: device.clone(),
                command: order.command.to_string(),
                requested: moment.ticks,
                renewals: 0,
                over: false,
            };
            if self.known.insert(order.id, new).is_some() {
                return Err("two orders have one id".to_owned());
            }
        } else if self.under_way.get(device) != Some(&order.id) {
            return Err("a step of an order that is not under way".to_owned());
        }
        if event.step.result().is_some() {
            self.under_way.remove(device);
            let known = self.known.get_mut(&order.id).expect("it is under way");
            known.over = true;
            if &*order.command == "close" {
                if matches!(event.step, CommandStep::Failed(_)) {
                    self.failures += 1;
                    self.failed.insert(device.clone());
                    if event.notify {
                        self.told.insert(device.clone());
                    }
                } else {
                    self.failed.remove(device);
                }
            }
        }
        Ok(())
    }

    /// The orders that have to be sent again once the devices can be heard.
    pub(crate) fn to_renew(&self) -> BTreeSet<Id> {
        let open = self
            .known
            .iter()
            .filter(|(_, order)| !order.over && order.renewals < RENEWALS);
        open.map(|(id, _)| *id).collect()
    }

    /// Whatever went to the broker in the last life, the `life`, or was decided again after a crash, is an order of the
    /// journal, in its words.
    pub(crate) fn check_published(&self, published: &[Published], life: usize) -> Result<(), String> {
        for message in published {
            match self.known.get(&message.id) {
                Some(order) => {
                    let to = format!("/shutoff_valve/{}/command", order.device);
                    let says = format!("\"command\":\"{}\"", order.command);
                    if !message.topic.ends_with(&to) || !message.payload.contains(&says) {
                        return Err(format!("published in other words than ordered: {message:?}"));
                    }
                }
                None if message.life == life => {
                    return Err(format!("published, and never ordered: {message:?}"));
                }
                None => {}
            }
        }
        Ok(())
    }

    /// Where an alarm demands it a valve is closed, or people know that its order failed.
    pub(crate) fn check_demands(&self, closed: &HashSet<&str>) -> Result<(), String> {
        for (venue, device) in VALVES {
            let mut demanding = self.demanding.iter();
            let demanded = demanding
                .any(|(alarm, (other, masked))| other == venue && !masked && self.signals.demands(*alarm));
            let known = self.failed.contains(device) && self.told.contains(device);
            if demanded && !closed.contains(device) && !known {
                return Err(format!(
                    "{device} stands open, an alarm demands it closed, and nobody was told (its last order {})",
                    if self.failed.contains(device) {
                        "failed"
                    } else {
                        "did not fail"
                    }
                ));
            }
        }
        Ok(())
    }
}

/// Whether `entry` is the valve's own word, as news, that came after the order.
fn proves(
    entry: &Entry,
    index: u32,
    (moment, command): (Moment, &str),
    requested: Ticks,
    live: &Live,
) -> bool {
    let Entry::Reading {
        device,
        seq: Some(seq),
        kind: ReadingKind::Live,
        arrival: Arrival::First,
        points,
        ..
    } = entry
    else {
        return false;
    };
    let wanted = if command == "close" { CLOSED } else { OPEN };
    let says = points.contains(&(POSITION, wanted));
    let news = live.get(seq).is_some_and(|moments| moments.contains(&moment));
    device.0 == index && says && news && moment.ticks >= requested
}
