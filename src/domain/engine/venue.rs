//! Venues as the rules on them see them: an entity whose slots count the venue's devices, brought up to date by what each
//! device tells when an answer of its own changes. Costs the same in a large venue as in a small one.

use std::sync::Arc;

use super::super::alarm::Quality;
use super::super::definitions::{Definitions, KindRules};
use super::super::device::{DeviceIndex, DeviceKey};
use super::super::kind::{PointIndex, SlotSet, VENUE};
use super::super::rule::{Feed, News, Quantity, Truth};
use super::super::time::{Moment, Ticks};
use super::derive::Turn;
use super::device::Device;
use super::judge::judge;
use super::ledger::Ledger;
use super::step::Step;
use super::{Effects, Engine};

/// Venues stand behind all devices.
const FIRST: u32 = 1 << 31;

/// A message of a device, as its venue takes note of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Word {
    pub(super) device: DeviceIndex,
    /// What it spoke of: evidence for rules that wait.
    pub(super) heard: SlotSet,
    /// It had been said before.
    pub(super) repeated: bool,
}

impl Word {
    /// What a device said in its turn.
    pub(super) const fn of(turn: &Turn<'_>, heard: SlotSet) -> Word {
        Word {
            device: turn.device,
            heard,
            repeated: turn.repeated,
        }
    }
}

/// An answer of a device that its venue counts has changed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told {
    slot: u8,
    before: Truth,
    after: Truth,
}

impl Told {
    pub(super) const fn new(feed: &Feed, before: Truth, after: Truth) -> Told {
        Told {
            slot: feed.slot,
            before,
            after,
        }
    }
}

/// What a device with this answer adds to how many do, and to how many may.
const fn counted(truth: Truth) -> [f64; 2] {
    match truth {
        Truth::True => [1.0, 1.0],
        Truth::Unknown => [0.0, 1.0],
        Truth::False => [0.0, 0.0],
    }
}

/// The place of a venue among the subjects of alarms.
pub(super) const fn index_of(venue: u32) -> DeviceIndex {
    DeviceIndex(FIRST | venue)
}

/// The number of the venue in this place; `None` for a device.
pub(super) const fn venue_at(index: DeviceIndex) -> Option<u32> {
    index.0.checked_sub(FIRST)
}

/// A venue of which nothing is known yet.
pub(super) fn entity(id: &str, number: u32, rules: &KindRules, now: Ticks) -> Device {
    let key = DeviceKey {
        venue: id.to_owned(),
        kind: VENUE.to_owned(),
        device: String::new(),
    };
    Device::new(Arc::new(key), number, None, Some(rules), now)
}

/// The rules on a venue whose active alarms may explain those of its devices.
fn explaining(definitions: &Definitions, venue: &Device) -> Vec<String> {
    let rules = &definitions.on_venue(&venue.key.venue).rules;
    let places = definitions.explaining().iter().map(|place| usize::from(*place));
    places
        .filter(|place| venue.explains(*place))
        .filter_map(|place| Some(rules.get(place)?.def.id.clone()))
        .collect()
}

impl Engine {
    /// The alarms' subject in this place, the rules on it, and the books.
    pub(super) fn subject(&mut self, index: DeviceIndex) -> Option<(&mut Device, &KindRules, &mut Ledger)> {
        let Engine {
            definitions,
            devices,
            venues,
            ledger,
            ..
        } = self;
        if let Some(venue) = venue_at(index) {
            let venue = venues.get_mut(venue as usize)?;
            let rules = definitions.on_venue(&venue.key.venue);
            return Some((venue, rules, ledger));
        }
        let device = devices.get_mut(index.slot())?;
        let rules = definitions.kind(device.kind?)?;
        Some((device, rules, ledger))
    }

    /// Takes a device into its venue's counts.
    pub(super) fn join(&mut self, index: DeviceIndex, now: Moment, effects: &mut Effects) {
        let Some(device) = self.devices.get_mut(index.slot()) else {
            return;
        };
        let venue = device.venue;
        let Some(rules) = device.kind.and_then(|kind| self.definitions.kind(kind)) else {
            return;
        };
        device.tell_anew(rules, &mut self.ledger);
        if let Some(members) = self.members.get_mut(venue as usize) {
            members.push(index);
        }
        if let Some(explained) = self.explained.get(venue as usize) {
            device.masks.venue.clone_from(explained);
        }
        self.ask_parent(index);
        let word = Word {
            device: index,
            heard: SlotSet::EMPTY,
            repeated: false,
        };
        self.tell(word, now, effects);
    }

    /// Lets every device know what its venue's alarms explain, before it is judged by other definitions.
    pub(super) fn inform_all(&mut self) {
        self.explained = self
            .venues
            .iter()
            .map(|entity| explaining(&self.definitions, entity))
            .collect();
        for (explained, members) in self.explained.iter().zip(&self.members) {
            for index in members {
                if let Some(device) = self.devices.get_mut(index.slot()) {
                    device.masks.venue.clone_from(explained);
                }
            }
        }
        self.inform_children();
    }

    /// Lets the devices of the venues, and those behind the devices, whose own alarms have moved know what those explain now.
    pub(super) fn spread(&mut self, now: Moment, effects: &mut Effects) {
        while let Some(index) = self.ledger.moved.pop() {
            let Some(venue) = venue_at(index) else {
                self.tell_children(index, now, effects);
                continue;
            };
            let number = venue as usize;
            let (Some(entity), Some(members), Some(explained)) = (
                self.venues.get(number),
                self.members.get(number),
                self.explained.get_mut(number),
            ) else {
                continue;
            };
            let present = explaining(&self.definitions, entity);
            if *explained == present {
                continue;
            }
            for index in members {
                let Some(device) = self.devices.get_mut(index.slot()) else {
                    continue;
                };
                device.masks.venue.clone_from(&present);
                if let Some(rules) = device.kind.and_then(|kind| self.definitions.kind(kind)) {
                    let turn = Turn::new(*index, rules, self.listening, now);
                    device.explain(&Step::of(&turn), &mut self.ledger, effects);
                }
            }
            *explained = present;
        }
    }

    /// Passes on to a venue what one of its devices told, and judges the venue's rules.
    pub(super) fn tell(&mut self, word: Word, now: Moment, effects: &mut Effects) {
        let Engine {
            definitions,
            devices,
            venues,
            ledger,
            listening,
            ..
        } = self;
        let Some(device) = devices.get(word.device.slot()) else {
            return;
        };
        let (Some(kind), Some(entity)) = (
            device.kind.and_then(|kind| definitions.kind(kind)),
            venues.get_mut(device.venue as usize),
        ) else {
            return;
        };
        let rules = definitions.on_venue(&entity.key.venue);
        let awaited = entity.restless.union(rules.observed);
        if ledger.told().is_empty() && awaited.is_empty() {
            return;
        }
        let mut news = News::default();
        ledger.pass_on(|told| entity.count(told, rules, &mut news));
        for feed in &kind.feeds {
            if feed.condition.depends().intersects(word.heard) {
                news.heard = news.heard.with_slot(feed.slot);
            }
        }
        let mut turn = Turn::new(index_of(device.venue), rules, *listening, now);
        turn.repeated = word.repeated;
        judge(ledger, entity, &turn, news, effects);
    }

    /// Judges a venue of which something is known for the first time: that it has no device of a kind, for one thing.
    pub(super) fn look_first(&mut self, venue: u32, now: Moment, effects: &mut Effects) {
        let listening = self.listening;
        let index = index_of(venue);
        let Some((entity, rules, ledger)) = self.subject(index) else {
            return;
        };
        let mut counts = SlotSet::EMPTY;
        for derived in &rules.derived {
            counts = match derived.quantity {
                Quantity::Count { .. } => counts.union(derived.own()),
                Quantity::Window { .. }
                | Quantity::Held { .. }
                | Quantity::Silent { .. }
                | Quantity::Fact(_)
                | Quantity::CommandFailed
                | Quantity::ClockSkew => counts,
            };
        }
        let turn = Turn::new(index, rules, listening, now);
        judge(ledger, entity, &turn, News::all(counts), effects);
        self.consult_first(index, now, effects);
    }

    /// How far the evidence for the alarm of a venue's rule in `place` can be trusted: as far as that of the worst device
    /// of those that the rule asks.
    pub(super) fn quality_on_venue(&self, venue: u32, place: usize, now: Moment) -> Quality {
        let number = venue as usize;
        let (Some(entity), Some(members)) = (self.venues.get(number), self.members.get(number)) else {
            return Quality::Uncertain;
        };
        let Some(rule) = self.definitions.on_venue(&entity.key.venue).rules.get(place) else {
            return Quality::Uncertain;
        };
        let (mut stale, mut faulty) = (false, false);
        for device in members.iter().filter_map(|index| self.devices.get(index.slot())) {
            let Some(kind) = device.kind.and_then(|kind| self.definitions.kind(kind)) else {
                continue;
            };
            let asked = |feed: &Feed| rule.depends.contains(PointIndex(feed.slot));
            if !kind.feeds.iter().any(asked) {
                continue;
            }
            let silent = now.ticks.since(device.heard) > rule.def.max_gap;
            stale |= silent || device.online() == Some(false);
            faulty |= kind
                .faulty
                .as_ref()
                .is_some_and(|faulty| faulty.evaluate(&device.slots) == Truth::True);
        }
        Quality::of(false, stale, faulty)
    }

    /// When a device of the venue last spoke.
    pub(super) fn last_word(&self, venue: u32) -> Option<Ticks> {
        let members = self.members.get(venue as usize)?.iter();
        members
            .filter_map(|index| Some(self.devices.get(index.slot())?.heard))
            .max()
    }

    /// Counts every venue's devices anew: the definitions, or the whole state, have changed.
    pub(super) fn count_anew(&mut self) {
        let Engine {
            definitions,
            devices,
            venues,
            members,
            ledger,
            ..
        } = self;
        for venue in venues.iter_mut() {
            venue.empty(definitions.on_venue(&venue.key.venue));
        }
        members.clear();
        members.resize_with(venues.len(), Vec::new);
        for (index, device) in (0_u32..).map(DeviceIndex).zip(devices) {
            if let Some(members) = members.get_mut(device.venue as usize) {
                members.push(index);
            }
            let Some(kind) = device.kind.and_then(|kind| definitions.kind(kind)) else {
                continue;
            };
            device.tell_anew(kind, ledger);
            if let Some(venue) = venues.get_mut(device.venue as usize) {
                let rules = definitions.on_venue(&venue.key.venue);
                ledger.pass_on(|told| venue.count(told, rules, &mut News::default()));
            }
        }
    }
}

impl Device {
    /// Tells the venue every answer, as if none had been told before.
    fn tell_anew(&mut self, rules: &KindRules, ledger: &mut Ledger) {
        self.told = rules
            .feeds
            .iter()
            .map(|feed| feed.condition.evaluate(&self.slots))
            .collect();
        for (feed, answer) in rules.feeds.iter().zip(&self.told) {
            ledger.tell(Told::new(feed, Truth::False, *answer));
        }
    }

    /// Tells the venue when the answer to the feed in `place` has changed.
    pub(super) fn answer(&mut self, place: usize, rules: &KindRules, ledger: &mut Ledger) {
        let (Some(feed), Some(before)) = (rules.feeds.get(place), self.told.get_mut(place)) else {
            return;
        };
        let after = feed.condition.evaluate(&self.slots);
        let before = std::mem::replace(before, after);
        if before != after {
            ledger.tell(Told::new(feed, before, after));
        }
    }

    /// Counts what a device told.
    fn count(&mut self, told: Told, rules: &KindRules, news: &mut News) {
        let (before, after) = (counted(told.before), counted(told.after));
        for ((slot, before), after) in (told.slot..).zip(before).zip(after) {
            let present = self.slots.get(usize::from(slot)).copied().unwrap_or(0.0);
            self.put(slot, present - before + after, rules, news);
        }
    }

    /// Counts no device.
    fn empty(&mut self, rules: &KindRules) {
        for derived in &rules.derived {
            if derived.quantity.initial() < 1.0 {
                for slot in derived.slot..derived.slot.saturating_add(derived.quantity.width()) {
                    if let Some(place) = self.slots.get_mut(usize::from(slot)) {
                        *place = 0.0;
                    }
                }
            }
        }
    }
}
