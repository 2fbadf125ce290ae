//! A change of definitions at run time: devices and alarms are carried over by name, and nothing is lost or
//! silently resolved (DESIGN §5).

use std::sync::Arc;

use super::super::alarm::{Life, Stimulus};
use super::super::definitions::{Definitions, DefinitionsHash, KindIndex, KindRules};
use super::super::kind::{PointIndex, SlotSet};
use super::super::time::{Moment, Ticks};
use super::derive::{DerivedRow, DerivedState};
use super::device::{Device, Flap, Slots, initial_slots};
use super::step::Step;
use super::{DeviceIndex, Effects, Engine, Ledger};

impl Engine {
    /// Puts `definitions` in force. A rule is the same rule by id: its alarms stand on until the new condition
    /// proves normal. The alarms of a rule that is gone, or watches another kind now, are closed.
    pub(super) fn redefine(
        &mut self,
        hash: DefinitionsHash,
        definitions: &Arc<Definitions>,
        now: Moment,
        effects: &mut Effects,
    ) {
        let old = std::mem::replace(&mut self.definitions, Arc::clone(definitions));
        self.definitions_hash = Some(hash);
        for (index, device) in (0_u32..).map(DeviceIndex).zip(&mut self.devices) {
            let before = device.kind.and_then(|kind| old.kind(kind));
            let kind = definitions.kind_index(&device.key.kind);
            let after = kind.and_then(|kind| definitions.kind(kind));
            if let Some(before) = before {
                let step = Step {
                    device: index,
                    rules: before,
                    now,
                    late: None,
                    operator: None,
                };
                close_removed(&mut self.ledger, device, &step, after, effects);
            }
            carry_over(device, kind, before, after);
            if let Some(after) = after {
                let step = Step {
                    device: index,
                    rules: after,
                    now,
                    late: None,
                    operator: None,
                };
                device.explain(&step, &mut self.ledger, effects);
            }
            device.silence_at = after.and_then(|after| device.next_silence(after, self.listening));
        }
        self.adopt_all();
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
        }
    }
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
    let mut old = DerivedRow {
        slots: std::mem::replace(&mut device.slots, slots),
        states: std::mem::replace(&mut device.derived, states),
    };
    let flaps = std::mem::take(&mut device.flaps);
    if let (Some(before), Some(after)) = (before, after) {
        device.inherit(&mut old, before, after);
        device.flaps = flaps
            .into_iter()
            .filter_map(|flap| moved(flap, before, after))
            .collect();
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

/// The count of raises under the rule's new place, if it is still there.
fn moved(flap: Flap, before: &KindRules, after: &KindRules) -> Option<Flap> {
    let id = &before.rules.get(usize::from(flap.place))?.def.id;
    let place = after.rules.iter().position(|rule| rule.def.id == *id)?;
    Some(Flap {
        place: u16::try_from(place).ok()?,
        ..flap
    })
}
