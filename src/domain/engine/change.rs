//! A change of definitions at run time: devices and alarms are carried over by name, and nothing is lost or
//! silently resolved (DESIGN §5).

use std::collections::HashSet;
use std::sync::Arc;

use super::super::alarm::{Life, Stimulus, Transition};
use super::super::definitions::{Definitions, DefinitionsHash, KindIndex, KindRules};
use super::super::interlock::Signal;
use super::super::kind::{PointIndex, SlotSet};
use super::super::rule::Rule;
use super::super::time::{Moment, Ticks};
use super::calendar::Look;
use super::derive::{DerivedRow, DerivedState, Turn};
use super::device::{Device, Flap, Slots, initial_slots, observe};
use super::orders::Call;
use super::record::{carried, nothing_kept};
use super::step::Step;
use super::venue::index_of;
use super::{DeviceIndex, Effects, Engine, Ledger};

impl Engine {
    /// Puts `definitions` in force. The alarms of a rule that is gone, or watches another kind now, are closed, and
    /// those events come first. A rule is the same rule by id: its alarms stand on until a reading proves the new
    /// condition normal. New and changed conditions judge the present values at once.
    pub(super) fn redefine(
        &mut self,
        hash: DefinitionsHash,
        definitions: &Arc<Definitions>,
        now: Moment,
        effects: &mut Effects,
    ) {
        let venues = self.move_devices(definitions, now, effects);
        let old = std::mem::replace(&mut self.definitions, Arc::clone(definitions));
        let rules = &definitions.source().rules;
        let limited = |id: &str| rules.iter().any(|rule| rule.id == id && rule.limit.is_some());
        self.ledger.limits.keep(limited);
        self.definitions_hash = Some(hash);
        self.recorder.plan(definitions, &mut effects.points);
        for (index, device) in (0_u32..).map(DeviceIndex).zip(&mut self.devices) {
            let before = device.kind.and_then(|kind| old.kind(kind));
            let kind = definitions.kind_of(&device.key);
            let after = kind.and_then(|kind| definitions.kind(kind));
            if let Some(before) = before {
                let step = Step::of(&Turn::new(index, before, self.listening, now));
                let was_in_use = device.kind.is_some_and(|kind| !old.is_out_of_use(kind));
                if was_in_use && kind.is_some_and(|kind| definitions.is_out_of_use(kind)) {
                    device.retire(&step, &mut self.ledger, effects);
                }
                close_removed(&mut self.ledger, device, &step, after, effects);
            }
            carry_over(device, kind, before, after);
            device.enrol(definitions);
            device.silence_at = after.and_then(|after| device.next_silence(after, self.listening));
        }
        for (number, venue) in (0_u32..).zip(&mut self.venues) {
            let step = |rules| Step {
                device: index_of(number),
                rules,
                now,
                late: None,
                operator: None,
            };
            let id = &venue.key.venue;
            let (before, after) = (old.on_venue(id), definitions.on_venue(id));
            close_removed(&mut self.ledger, venue, &step(before), Some(after), effects);
            carry_over(venue, None, Some(before), Some(after));
        }
        self.count_anew();
        self.settle_all();
        self.inform_all();
        self.adopt_all();
        self.show_failures();
        self.consult(Look::Renewed, now, effects);
        self.confront_all(&old, now, effects);
        for venue in venues {
            self.look_first(venue, now, effects);
        }
        self.give_up_unawaited(now, effects);
        self.call_standing();
    }

    /// Whose kind is gone proves nothing any more: people are told, where nobody would wait for it. What is out of use is
    /// told nothing again that only its venue or a person wanted.
    fn give_up_unawaited(&mut self, now: Moment, effects: &mut Effects) {
        for index in (0_u32..).map(DeviceIndex).take(self.devices.len()) {
            let Some(device) = self.devices.get(index.slot()) else {
                return;
            };
            let order = device.linkage.as_ref().and_then(|linkage| linkage.order.as_ref());
            let Some(order) = order.filter(|_| !self.is_in_use(device)) else {
                continue;
            };
            if device.kind.is_none() {
                self.signal((index, None), Signal::Unwritable, now, effects);
            } else if self.demanded(index, &order.task.command).is_none() {
                self.signal((index, None), Signal::Abandoned, now, effects);
            }
        }
    }

    /// Rules that ask for it for the first time see which orders have failed.
    fn show_failures(&mut self) {
        for device in &mut self.devices {
            let failed = device
                .linkage
                .as_ref()
                .is_some_and(|linkage| linkage.failed.is_some());
            if let Some(rules) = device
                .kind
                .filter(|_| failed)
                .and_then(|kind| self.definitions.kind(kind))
            {
                device.mark_failure(rules, true);
            }
        }
    }

    /// What stands commands by the new rules; what it has commanded already stays commanded.
    fn call_standing(&mut self) {
        let mut commanding = HashSet::new();
        for (alarm, (index, place)) in self.ledger.standing_places() {
            let rules = match self.subject(index) {
                Some((_, rules, _)) => &rules.rules,
                None => continue,
            };
            if rules
                .get(usize::from(place))
                .is_some_and(|rule| !rule.actions.is_empty())
            {
                self.ledger.call(Call::Raised(index, place));
                commanding.insert(alarm);
            }
        }
        // What the new rules do not order nobody demands any more.
        for holder in self.devices.iter_mut().chain(&mut self.venues) {
            if let Some(linkage) = holder.linkage.as_mut() {
                linkage.keep(|alarm| commanding.contains(&alarm));
                holder.tidy_linkage();
            }
        }
        for (index, device) in (0_u32..).map(DeviceIndex).zip(&self.devices) {
            let obeys = device.kind.and_then(|kind| self.definitions.kind(kind));
            if obeys.is_some_and(|rules| !rules.kind.commands.is_empty()) {
                self.ledger.call(Call::Joined(index));
            }
        }
    }

    /// Judges what every venue and device said last by the rules that are new or were changed since `old`. Venues come
    /// first: their alarms may explain those of the devices.
    fn confront_all(&mut self, old: &Definitions, now: Moment, effects: &mut Effects) {
        self.confront_venues(old, now, effects);
        let Engine {
            definitions,
            devices,
            ledger,
            listening,
            ..
        } = self;
        let of_kinds: Vec<Vec<usize>> = definitions
            .all_kinds()
            .map(|after| {
                let before = old.kind_index(&after.kind.id).and_then(|kind| old.kind(kind));
                before.map_or_else(Vec::new, |before| unproven(before, after))
            })
            .collect();
        for (index, device) in (0_u32..).map(DeviceIndex).zip(devices) {
            let Some(kind) = device.kind else { continue };
            let (Some(rules), Some(unproven)) = (definitions.kind(kind), of_kinds.get(usize::from(kind.0)))
            else {
                continue;
            };
            let turn = Turn::new(index, rules, *listening, now);
            confront(ledger, device, &turn, unproven, effects);
        }
    }

    fn confront_venues(&mut self, old: &Definitions, now: Moment, effects: &mut Effects) {
        let unproven = unproven(old.venue(), self.definitions.venue());
        let words: Vec<Option<Ticks>> = (0_u32..)
            .take(self.venues.len())
            .map(|venue| self.last_word(venue))
            .collect();
        for ((number, venue), word) in (0_u32..).zip(&mut self.venues).zip(words) {
            // The evidence of a venue is no younger than its devices' last word.
            venue.heard = word.unwrap_or(venue.heard);
            let rules = self.definitions.on_venue(&venue.key.venue);
            let turn = Turn::new(index_of(number), rules, self.listening, now);
            confront(&mut self.ledger, venue, &turn, &unproven, effects);
        }
        self.inform_all();
    }

    /// Enters every life into the ledger anew.
    pub(super) fn adopt_all(&mut self) {
        self.ledger.clear();
        for (index, device) in (0_u32..).map(DeviceIndex).zip(&self.devices) {
            let Some(rules) = device.kind.and_then(|kind| self.definitions.kind(kind)) else {
                continue;
            };
            for ((ordinal, life), rule) in (0_u16..).zip(&device.lives).zip(&rules.rules) {
                self.ledger.adopt(life, (index, ordinal), device.venue, &rule.def);
            }
            device.adopt_deadlines(index, rules, &mut self.ledger);
            device.arm_mask(index, &mut self.ledger);
        }
        for (number, venue) in (0_u32..).zip(&self.venues) {
            let rules = self.definitions.on_venue(&venue.key.venue);
            let index = index_of(number);
            for ((ordinal, life), rule) in (0_u16..).zip(&venue.lives).zip(&rules.rules) {
                self.ledger.adopt(life, (index, ordinal), number, &rule.def);
            }
            venue.adopt_deadlines(index, rules, &mut self.ledger);
            venue.arm_mask(index, &mut self.ledger);
        }
    }
}

/// The places of the rules whose condition is not the one that the readings have been judged by. A kind that was not
/// known before has none: its devices have no values yet.
fn unproven(before: &KindRules, after: &KindRules) -> Vec<usize> {
    let same = |rule: &Rule| {
        let mut known = before.rules.iter();
        known.any(|known| {
            known.def.id == rule.def.id
                && known.def.when == rule.def.when
                && known.def.clear == rule.def.clear
                && known.def.schedule == rule.def.schedule
        })
    };
    let rules = after.rules.iter().enumerate();
    rules
        .filter(|(_, rule)| !same(rule))
        .map(|(place, _)| place)
        .collect()
}

/// Judges the present values by conditions that are new to them: a danger that stands is raised without waiting for
/// the next reading. Nothing that stands is ended by it.
fn confront(
    ledger: &mut Ledger,
    device: &mut Device,
    turn: &Turn<'_>,
    unproven: &[usize],
    effects: &mut Effects,
) {
    let step = Step::of(turn);
    for place in unproven {
        let (Some(rule), Some(life)) = (turn.rules.rules.get(*place), device.lives.get(*place)) else {
            continue;
        };
        effects.evaluations += 1;
        let stimulus = observe(rule, &device.slots, life);
        let transition = match (life, stimulus) {
            // Where a running delay's condition still holds, the delay decides, on the evidence that it has. Where it
            // does not, the delay would make an alarm of what the rule no longer speaks of.
            (Life::Normal | Life::Recovered { .. }, Stimulus::Holds)
            | (Life::Pending { .. }, Stimulus::Clears) => {
                life.transition(stimulus, turn.now.ticks, &rule.def)
            }
            // What was about to end by the old condition is not proven normal by the new one.
            (Life::Recovering { .. }, _) => Transition::Resume,
            (Life::Normal | Life::Pending { .. } | Life::Active(_) | Life::Recovered { .. }, _) => continue,
        };
        device.carry_out((*place, transition), &step, ledger, effects);
        if let Some(Life::Pending { confirmed, .. }) = device.lives.get_mut(*place)
            && rule.def.after.is_none()
        {
            // The evidence is no younger than the device's last word.
            *confirmed = (*confirmed).min(device.heard);
        }
    }
    device.explain(&step, ledger, effects);
}

/// Ends the alarms of the rules that are gone.
fn close_removed(
    ledger: &mut Ledger,
    device: &mut Device,
    step: &Step<'_>,
    after: Option<&KindRules>,
    effects: &mut Effects,
) {
    for (place, rule) in step.rules.rules.iter().enumerate() {
        if after.is_some_and(|after| after.rules.iter().any(|kept| kept.def.id == rule.def.id)) {
            continue;
        }
        let transition = device.respond(place, Stimulus::RuleRemoved, step);
        device.carry_out((place, transition), step, ledger, effects);
    }
}

fn carry_over(
    device: &mut Device,
    kind: Option<KindIndex>,
    before: Option<&KindRules>,
    after: Option<&KindRules>,
) {
    let mut slots = after.map_or_else(Slots::default, initial_slots);
    let mut lives: Box<[Life]> = after.map_or_else(Box::default, |after| {
        after.rules.iter().map(|_| Life::Normal).collect()
    });
    if let (Some(before), Some(after)) = (before, after) {
        for (slot, point) in slots.iter_mut().zip(&after.kind.points) {
            let old = before
                .kind
                .points()
                .find(|(_, old)| old.id == point.id && old.value == point.value);
            if let Some(value) = old.and_then(|(index, _)| device.slots.get(usize::from(index.0))) {
                *slot = *value;
            }
        }
        for (life, rule) in lives.iter_mut().zip(&after.rules) {
            let old = before.rules.iter().position(|old| old.def.id == rule.def.id);
            if let Some(old) = old.and_then(|place| device.lives.get_mut(place)) {
                *life = std::mem::take(old);
            }
        }
    }
    let states = after.map_or_else(Box::default, |after| {
        after.derived.iter().map(DerivedState::new).collect()
    });
    device.fresh = after.map_or_else(Box::default, |after| {
        let points = after.stale.iter();
        points
            .map(|(slot, _)| last_heard(device, *slot, before, after))
            .collect()
    });
    device.kept = match (before, after) {
        (Some(before), Some(after)) => carried(&device.kept, before, after),
        (None, Some(after)) => nothing_kept(after),
        (_, None) => Box::default(),
    };
    let mut old = DerivedRow {
        slots: std::mem::replace(&mut device.slots, slots),
        states: std::mem::replace(&mut device.derived, states),
    };
    let flaps = std::mem::take(&mut device.flaps);
    if let (Some(before), Some(after)) = (before, after) {
        device.inherit(&mut old, before, after);
        device.flaps = flaps
            .into_iter()
            .filter_map(|flap| {
                let place = moved(flap.place, before, after)?;
                Some(Flap { place, ..flap })
            })
            .collect();
        device.masks.moved(|place| moved(place, before, after));
    } else {
        device.masks.moved(|_| None);
    }
    device.kind = kind;
    device.lives = lives;
    device.restless = SlotSet::ALL;
}

/// When the point in `slot` was last heard of: if nobody took note of that, as late as may be.
fn last_heard(device: &Device, slot: u8, before: Option<&KindRules>, after: &KindRules) -> Ticks {
    let known = before.and_then(|before| {
        let point = after.kind.point_at(PointIndex(slot))?;
        let (index, _) = before.kind.point(&point.id)?;
        let place = before.stale.iter().position(|(old, _)| *old == index.0)?;
        device.fresh.get(place).copied()
    });
    known.unwrap_or(device.heard)
}

/// The new place of the rule in `place`, if it is still there.
fn moved(place: u16, before: &KindRules, after: &KindRules) -> Option<u16> {
    let id = &before.rules.get(usize::from(place))?.def.id;
    let place = after.rules.iter().position(|rule| rule.def.id == *id)?;
    u16::try_from(place).ok()
}
