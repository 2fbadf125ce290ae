//! The simulated town at work: who speaks when, what happens to whom, which commands are obeyed. Pure: no socket, no
//! clock; one seed, one series of instants and commands always give the same messages.

use std::collections::HashMap;

use super::agenda::Agenda;
use super::body::{Body, Command};
use super::counts::Counts;
use super::dice::Dice;
use super::outcome::{Fate, Outcomes};
use super::plan::{Act, Due, MS, Place, Plan, SECOND, UnitNumber, When, nanoseconds, natural_period};
use super::story::Story;
use super::town::Town;
use super::unit::{Answer, Order, Unit};
use super::voice::{Heard, Message, Voice, Voices};
use crate::config::{Happening, Incident};
use crate::domain::device::DeviceKey;
use crate::domain::time::{Moment, Ticks, Timestamp};

/// How often a device speaks at least while a value is out of the ordinary.
const ALARMED_PERIOD: u64 = 500 * MS;
/// A report that is late by more than this is left out: a town that was held up does not speak in a burst.
const LATEST: u64 = 5 * SECOND;
/// When somebody on site opens a valve, or resets a port, after a command.
const BY_HAND: u64 = 60 * SECOND;

/// The town at work.
#[derive(Debug)]
pub struct Simulator {
    /// For the values, which depend on how often a device is asked.
    dice: Dice,
    story: Option<Story>,
    voices: Voices,
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

impl Simulator {
    /// The town as `plan` has it, from instant 0 on.
    pub fn new(town: &Town, plan: Plan) -> Simulator {
        let mut simulator = Simulator {
            dice: Dice::new(plan.seed),
            story: plan.story.then(|| Story::new(town, plan.seed)),
            voices: Voices::default(),
            agenda: Agenda::new(),
            places: Vec::with_capacity(town.devices.len()),
            by_key: HashMap::new(),
            by_venue: HashMap::new(),
            by_topic: HashMap::new(),
            counts: Counts::default(),
            outcomes: Outcomes::new(&plan.incidents),
            acts: Vec::new(),
        };
        let voices = plan.voices.into_iter().chain(std::iter::repeat(Voice::NATIVE));
        for (device, voice) in town.devices.iter().zip(voices) {
            simulator.settle(&device.key, voice);
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

    fn settle(&mut self, key: &DeviceKey, voice: Voice) {
        let Some(body) = Body::of(&key.kind, &mut self.dice) else {
            return;
        };
        let number = self.places.len();
        let unit = Unit::new(key.clone(), body, voice);
        if let Some(topic) = self.voices.command_topic(voice, key) {
            self.by_topic.entry(topic).or_default().push(number);
        }
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
                let unit = &place.unit;
                place.alone = self.voices.will(unit.voice, &unit.key, false).is_some();
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
        self.voices.will(unit.voice, &unit.key, online)
    }

    /// The filters under which commands for the town come.
    pub fn subscriptions(&self) -> Vec<&'static str> {
        let voices = self.places.iter().map(|place| place.unit.voice);
        let mut filters: Vec<_> = voices
            .flat_map(|voice| self.voices.filters(voice))
            .copied()
            .collect();
        filters.sort_unstable();
        filters.dedup();
        filters
    }

    /// How `key` speaks.
    pub fn voice_of(&self, key: &DeviceKey) -> Option<Voice> {
        let number = *self.by_key.get(key)?;
        Some(self.places.get(number)?.unit.voice)
    }

    /// What is published when the town ends.
    pub fn farewell(&mut self, now: Moment) -> Vec<Message> {
        self.voices.farewell(now.wall)
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
        let mut reborn = Vec::new();
        for &number in self.by_topic.get(topic).map_or(&[][..], Vec::as_slice) {
            let Some(Unit { key, voice, .. }) = self.places.get(number).map(|place| &place.unit) else {
                continue;
            };
            let order = match self.voices.hear(*voice, key, payload) {
                Heard::Others => continue,
                Heard::Rebirth => {
                    reborn.push(number);
                    continue;
                }
                Heard::Order(order) => Some(order),
                Heard::Unreadable => None,
            };
            self.counts.heard += 1;
            let command = order.as_ref().and_then(|order| order.command);
            match order {
                Some(order) if !retained => {
                    let at = now.ticks.0 * MS + self.dice.millis(20, 60) * MS;
                    self.agenda.note(at, Due::Obey(number, order));
                }
                Some(_) | None => {
                    let (count, fate) = if retained {
                        (&mut self.counts.retained, Fate::Retained)
                    } else {
                        (&mut self.counts.unreadable, Fate::Unreadable)
                    };
                    *count += 1;
                    self.outcomes.tell(key, command, fate, now.ticks.0);
                }
            }
        }
        if !retained && !reborn.is_empty() {
            self.agenda.note(now.ticks.0 * MS, Due::SayAnew(reborn));
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
                Due::SayAnew(numbers) => self.say_anew(&numbers, then),
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
        let (voice, ails) = (unit.voice, unit.ails());
        if unit.suffers(Happening::Lie) {
            let points = unit.body.points(then, ails, &mut self.dice);
            let turn = (place.lies, then.wall);
            let lie = self.voices.lie(voice, (&unit.key, &points), turn);
            place.lies += 1;
            self.publish(number, lie);
            return;
        }
        let together = if self.voices.is_joint(voice) {
            self.fellows(number)
        } else {
            vec![number]
        };
        let mut measured = Vec::with_capacity(together.len());
        for fellow in together {
            if let Some(unit) = self.places.get_mut(fellow).map(|place| &mut place.unit) {
                let points = unit.body.points(then, unit.ails(), &mut self.dice);
                measured.push((unit.key.clone(), points));
            }
        }
        let measured: Vec<_> = measured.iter().map(|(key, points)| (key, points)).collect();
        let messages = self.voices.say(voice, &measured, then.wall);
        self.publish(number, messages);
    }

    /// The devices that speak together with this one: of its venue and voice, and in a state to say the truth.
    fn fellows(&self, number: UnitNumber) -> Vec<UnitNumber> {
        let Some(unit) = self.places.get(number).map(|place| &place.unit) else {
            return Vec::new();
        };
        let speaks = |other: &&UnitNumber| {
            let other = self.places.get(**other).map(|place| &place.unit);
            other.is_some_and(|other| {
                other.voice == unit.voice && !other.is_away() && !other.suffers(Happening::Lie)
            })
        };
        let of_venue = self.by_venue.get(&unit.key.venue);
        of_venue.into_iter().flatten().filter(speaks).copied().collect()
    }

    fn publish(&mut self, number: UnitNumber, messages: impl IntoIterator<Item = Message>) {
        let acts = messages.into_iter();
        self.acts
            .extend(acts.map(|message| Act::Publish(number, message)));
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
        place.next = at;
        if incident.what == Happening::Offline {
            self.come_or_go(number, false, then);
        }
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
            self.come_or_go(number, true, then);
        }
        self.report(number, then);
    }

    fn come_or_go(&mut self, number: UnitNumber, online: bool, then: Moment) {
        let Some(place) = self.places.get(number) else {
            return;
        };
        if place.alone {
            let act = if online { Act::Appear } else { Act::Vanish };
            self.acts.push(act(number));
            return;
        }
        let unit = &place.unit;
        let said = self.voices.presence(unit.voice, &unit.key, (online, then.wall));
        self.publish(number, said);
    }

    fn say_anew(&mut self, numbers: &[UnitNumber], then: Moment) {
        for place in numbers.iter().filter_map(|number| self.places.get(*number)) {
            self.voices.forget(place.unit.voice, &place.unit.key);
        }
        for number in numbers {
            self.report(*number, then);
        }
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
        let acknowledgement = self.voices.acknowledgement(unit.voice, &unit.key, (order, ok));
        self.publish(number, acknowledgement);
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
        if !unit.is_away() {
            let done = self.voices.done(unit.voice, &unit.key, command);
            self.publish(number, done);
        }
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
