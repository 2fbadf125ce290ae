//! The simulated town at work: who speaks when, what happens to whom, which commands are obeyed. Pure: no socket, no
//! clock; one seed, one series of instants and commands always give the same messages.

use std::collections::HashMap;

use super::agenda::Agenda;
use super::body::{Body, Command};
use super::counts::Counts;
use super::dice::Dice;
use super::outcome::{Fate, Outcomes};
use super::story::Story;
use super::town::Town;
use super::unit::{Answer, Order, Unit};
use super::voice::{Message, Voice};
use crate::config::{Happening, Incident};
use crate::domain::device::DeviceKey;
use crate::domain::time::{Moment, Ticks, Timestamp};

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;
/// How often a device speaks at least while a value is out of the ordinary.
const ALARMED_PERIOD: u64 = 500 * MS;
/// A report that is late by more than this is left out: a town that was held up does not speak in a burst.
const LATEST: u64 = 5 * SECOND;
/// When somebody on site opens a valve, or resets a port, after a command.
const BY_HAND: u64 = 60 * SECOND;

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
}

/// Something due.
#[derive(Debug)]
enum Due {
    /// A regular report.
    Speak(UnitNumber),
    /// An incident, and its number in the script.
    Begin(Incident, Option<usize>),
    End(UnitNumber, Happening),
    Obey(UnitNumber, Order),
    Finish(UnitNumber, Command),
    ByHand(UnitNumber),
    GoOn,
}

/// The town at work.
#[derive(Debug)]
pub struct Simulator {
    /// For the values, which depend on how often a device is asked.
    dice: Dice,
    story: Option<Story>,
    agenda: Agenda<Due>,
    places: Vec<Place>,
    by_key: HashMap<DeviceKey, UnitNumber>,
    by_venue: HashMap<String, Vec<UnitNumber>>,
    by_topic: HashMap<String, Vec<UnitNumber>>,
    counts: Counts,
    outcomes: Outcomes,
    /// Of the step under way.
    acts: Vec<Act>,
}

/// When something was due.
#[derive(Debug, Clone, Copy)]
struct When {
    /// In nanoseconds since the start.
    at: u64,
    /// The same.
    then: Moment,
    /// When the town turns to it.
    now: Moment,
}

/// A device and its rhythm.
#[derive(Debug)]
struct Place {
    unit: Unit,
    /// Nanoseconds between two regular reports.
    period: u64,
    /// When the next is due; what else the agenda says was put off.
    next: u64,
    /// Reports of a lying device.
    lies: usize,
    /// It has a connection of its own.
    alone: bool,
}

impl Simulator {
    /// The town as `plan` has it, from instant 0 on.
    pub fn new(town: &Town, plan: Plan) -> Simulator {
        let mut simulator = Simulator {
            dice: Dice::new(plan.seed),
            story: plan.story.then(|| Story::new(town, plan.seed)),
            agenda: Agenda::new(),
            places: Vec::with_capacity(town.devices.len()),
            by_key: HashMap::new(),
            by_venue: HashMap::new(),
            by_topic: HashMap::new(),
            counts: Counts::default(),
            outcomes: Outcomes::new(&plan.incidents),
            acts: Vec::new(),
        };
        for device in &town.devices {
            simulator.settle(&device.key);
        }
        simulator.set_rhythm(plan.rate);
        simulator.let_the_lonely_connect(&plan.incidents);
        for (number, incident) in plan.incidents.into_iter().enumerate() {
            let at = incident.at.0.saturating_mul(MS);
            simulator.agenda.note(at, Due::Begin(incident, Some(number)));
        }
        if simulator.story.is_some() {
            simulator.agenda.note(0, Due::GoOn);
        }
        simulator
    }

    fn settle(&mut self, key: &DeviceKey) {
        let Some(body) = Body::of(&key.kind, &mut self.dice) else {
            return;
        };
        let number = self.places.len();
        let unit = Unit::new(key.clone(), body, Voice::Native);
        let topic = unit.voice.command_topic(key);
        self.by_topic.entry(topic).or_default().push(number);
        self.by_venue.entry(key.venue.clone()).or_default().push(number);
        self.by_key.insert(key.clone(), number);
        self.places.push(Place {
            period: natural_period(&key.kind),
            next: 0,
            lies: 0,
            alone: false,
            unit,
        });
    }

    /// Spreads the reports evenly; under a rate every period is stretched alike.
    fn set_rhythm(&mut self, rate: Option<f64>) {
        let natural: f64 = self
            .places
            .iter()
            .map(|place| SECOND as f64 / place.period as f64)
            .sum();
        let stretch = rate.map_or(1.0, |rate| natural / rate);
        let count = self.places.len() as u64;
        for (number, place) in (0_u64..).zip(&mut self.places) {
            place.period = nanoseconds(place.period as f64 * stretch);
            let within = match rate {
                Some(_) => place.period,
                None => place.period.min(SECOND),
            };
            place.next = nanoseconds(within as f64 * number as f64 / count as f64);
        }
        for (number, place) in self.places.iter().enumerate() {
            self.agenda.note(place.next, Due::Speak(number));
        }
    }

    fn let_the_lonely_connect(&mut self, incidents: &[Incident]) {
        let by_script = incidents
            .iter()
            .filter(|incident| incident.what == Happening::Offline)
            .map(|incident| &incident.device);
        let by_story = self.story.as_ref().and_then(Story::silent);
        for key in by_script.chain(by_story) {
            if let Some(place) = self
                .by_key
                .get(key)
                .and_then(|number| self.places.get_mut(*number))
            {
                place.alone = true;
            }
        }
    }

    /// The devices that have a connection of their own, because it will break.
    pub fn alone(&self) -> impl Iterator<Item = UnitNumber> {
        let places = self.places.iter().enumerate();
        places.filter(|(_, place)| place.alone).map(|(number, _)| number)
    }

    /// What the broker is to say of this device when its own connection breaks, and what the device says when it is
    /// back. Both retained.
    pub fn status(&self, number: UnitNumber, online: bool) -> Option<Message> {
        let unit = &self.places.get(number)?.unit;
        Some(unit.voice.status(&unit.key, online))
    }

    /// The filters under which commands for the town come.
    pub fn subscriptions(&self) -> Vec<&'static str> {
        let voices = self.places.iter().map(|place| place.unit.voice);
        let mut filters: Vec<_> = voices.flat_map(Voice::subscriptions).copied().collect();
        filters.sort_unstable();
        filters.dedup();
        filters
    }

    /// What came of it so far.
    pub const fn counts(&self) -> &Counts {
        &self.counts
    }

    /// What came of the script so far.
    pub const fn outcomes(&self) -> &Outcomes {
        &self.outcomes
    }

    /// A message on one of the [`subscriptions`](Simulator::subscriptions). A retained one is never obeyed: it is
    /// from before.
    pub fn hear(&mut self, topic: &str, payload: &[u8], retained: bool, now: Moment) {
        for &number in self.by_topic.get(topic).map_or(&[][..], Vec::as_slice) {
            let Some(place) = self.places.get(number) else {
                continue;
            };
            self.counts.heard += 1;
            let order = place.unit.voice.order(payload);
            let command = order.as_ref().and_then(|order| order.command);
            let key = &place.unit.key;
            if retained {
                self.counts.retained += 1;
                self.outcomes.tell(key, command, Fate::Retained, now.ticks.0);
                continue;
            }
            let Some(order) = order else {
                self.counts.unreadable += 1;
                self.outcomes.tell(key, None, Fate::Unreadable, now.ticks.0);
                continue;
            };
            let at = now.ticks.0 * MS + self.dice.millis(20, 60) * MS;
            self.agenda.note(at, Due::Obey(number, order));
        }
    }

    /// Everything that happens before `now`, since the last step.
    pub fn step(&mut self, now: Moment) -> Vec<Act> {
        let until = now.ticks.0 * MS;
        while let Some((at, due)) = self.agenda.next(until) {
            let ticks = Ticks(at / MS);
            let late = i64::try_from(now.ticks.since(ticks).0).unwrap_or(i64::MAX);
            let then = Moment {
                wall: Timestamp(now.wall.0.saturating_sub(late)),
                ticks,
            };
            let when = When { at, then, now };
            match due {
                Due::Speak(number) => self.speak(number, when),
                Due::Begin(incident, number) => {
                    if let Some(number) = number {
                        self.outcomes.begin(number, at / MS);
                    }
                    self.begin(&incident, when);
                }
                Due::End(number, happening) => self.end(number, happening, then),
                Due::Obey(number, order) => self.obey(number, &order, when),
                Due::Finish(number, command) => self.finish(number, command, when),
                Due::ByHand(number) => self.by_hand(number, then),
                Due::GoOn => self.go_on(at),
            }
        }
        std::mem::take(&mut self.acts)
    }

    fn speak(&mut self, number: UnitNumber, when: When) {
        let When { at, then, now } = when;
        let Some(place) = self.places.get_mut(number).filter(|place| place.next == at) else {
            return;
        };
        let alarmed = place.unit.body.is_alarmed(then.ticks);
        let period = if alarmed {
            place.period.min(ALARMED_PERIOD)
        } else {
            place.period
        };
        let missed = (now.ticks.0 * MS).saturating_sub(at + LATEST).div_ceil(period);
        place.next = at + period * missed.max(1);
        self.agenda.note(place.next, Due::Speak(number));
        if missed > 0 {
            self.counts.skipped += missed;
        } else if !place.unit.is_away() {
            self.counts.reports += 1;
            self.report(number, then);
        }
    }

    /// Says now what the device measures now.
    fn report(&mut self, number: UnitNumber, then: Moment) {
        let Some(place) = self.places.get_mut(number) else {
            return;
        };
        let unit = &mut place.unit;
        if unit.is_away() {
            return;
        }
        if unit.suffers(Happening::Lie) {
            let lie = unit.voice.lie(&unit.key, place.lies, then.wall);
            place.lies += 1;
            self.acts.push(Act::Publish(number, lie));
            return;
        }
        let ails = unit.ails();
        let points = unit.body.points(then, ails, &mut self.dice);
        let messages = unit.voice.telemetry(&unit.key, &points, then.wall);
        self.acts
            .extend(messages.into_iter().map(|message| Act::Publish(number, message)));
    }

    fn begin(&mut self, incident: &Incident, when: When) {
        let When { at, then, .. } = when;
        let Some(&number) = self.by_key.get(&incident.device) else {
            return;
        };
        self.counts.incidents += 1;
        let end = at.saturating_add(incident.lasts.0.saturating_mul(MS));
        self.agenda.note(end, Due::End(number, incident.what));
        let shut = self.gas_is_shut_off(&incident.device.venue);
        let Some(place) = self.places.get_mut(number) else {
            return;
        };
        place.unit.befall(incident.what);
        place.unit.body.begin(incident.what, then.ticks);
        if shut {
            place.unit.body.air_out(then.ticks);
        }
        if incident.what == Happening::Offline {
            self.acts.push(Act::Vanish(number));
        }
        place.next = at;
        self.agenda.note(at, Due::Speak(number));
    }

    fn end(&mut self, number: UnitNumber, happening: Happening, then: Moment) {
        let Some(place) = self.places.get_mut(number) else {
            return;
        };
        if !place.unit.recover(happening) {
            return;
        }
        place.unit.body.end(happening, then.ticks);
        if happening == Happening::Offline {
            self.acts.push(Act::Appear(number));
        }
        self.report(number, then);
    }

    fn obey(&mut self, number: UnitNumber, order: &Order, when: When) {
        // Whether it is too old is judged by the clock as it is, however late the town is.
        let When { at, now, .. } = when;
        let Some(place) = self.places.get_mut(number) else {
            return;
        };
        let answer = place.unit.obey(order, now.wall);
        let unit = &place.unit;
        let fate = self.counts.answered(answer);
        self.outcomes.tell(&unit.key, order.command, fate, at / MS);
        if let Answer::Obeyed(command, takes) = answer {
            self.agenda.note(at + takes.0 * MS, Due::Finish(number, command));
        }
        let ok = match fate {
            Fate::Obeyed | Fate::Repeated => true,
            Fate::Refused => false,
            Fate::Retained | Fate::Expired | Fate::Unheard | Fate::Unreadable => return,
        };
        let acknowledgement = unit.voice.acknowledgement(&unit.key, order, ok);
        self.acts
            .extend(acknowledgement.map(|message| Act::Publish(number, message)));
        self.report(number, now);
    }

    fn finish(&mut self, number: UnitNumber, command: Command, when: When) {
        let When { at, then, .. } = when;
        let Some(place) = self.places.get_mut(number) else {
            return;
        };
        let unit = &mut place.unit;
        unit.body.finish(command, unit.ails(), then.ticks);
        if unit.body.undo().is_some() {
            self.agenda.note(at + BY_HAND, Due::ByHand(number));
        }
        let venue = unit.key.venue.clone();
        if self.gas_is_shut_off(&venue) {
            self.air_out(&venue, then.ticks);
        }
        self.report(number, then);
    }

    fn by_hand(&mut self, number: UnitNumber, then: Moment) {
        let Some(place) = self.places.get_mut(number) else {
            return;
        };
        let Some(command) = place.unit.body.undo() else {
            return;
        };
        place.unit.body.finish(command, place.unit.ails(), then.ticks);
        self.report(number, then);
    }

    fn go_on(&mut self, at: u64) {
        let Some(story) = &mut self.story else { return };
        let (incidents, next) = story.go_on(at / MS);
        self.agenda.note(next.saturating_mul(MS), Due::GoOn);
        for incident in incidents {
            self.agenda.note(at, Due::Begin(incident, None));
        }
    }

    fn gas_is_shut_off(&self, venue: &str) -> bool {
        let mut units = self.by_venue.get(venue).into_iter().flatten();
        units.any(|number| {
            self.places
                .get(*number)
                .is_some_and(|place| place.unit.body.shuts_gas_off())
        })
    }

    fn air_out(&mut self, venue: &str, now: Ticks) {
        for &number in self.by_venue.get(venue).map_or(&[][..], Vec::as_slice) {
            if let Some(place) = self.places.get_mut(number) {
                place.unit.body.air_out(now);
            }
        }
    }
}

/// How often a device of `kind` speaks, in nanoseconds.
fn natural_period(kind: &str) -> u64 {
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
fn nanoseconds(value: f64) -> u64 {
    (value.round() as u64).max(1)
}
