//! A change of definitions at run time: devices and alarms are carried over by name, and nothing is lost or
//! silently resolved (DESIGN §5).

use std::sync::Arc;

use super::super::alarm::{Life, Stimulus};
use super::super::definitions::{Definitions, DefinitionsHash, KindIndex, KindRules};
use super::super::time::Moment;
use super::device::{Device, initial_slots};
use super::ledger::Subject;
use super::{DeviceIndex, Effects, Engine};

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
                close_removed(&mut self.ledger, index, device, before, after, now, effects);
            }
            carry_over(device, kind, before, after);
        }
        self.adopt_all(now);
    }

    /// Enters every life into the ledger anew.
    pub(super) fn adopt_all(&mut self, now: Moment) {
        self.ledger.clear();
        for (index, device) in (0_u32..).map(DeviceIndex).zip(&self.devices) {
            let Some(rules) = device.kind.and_then(|kind| self.definitions.kind(kind)) else {
                continue;
            };
            for ((ordinal, life), rule) in (0_u16..).zip(&device.lives).zip(&rules.rules) {
                let subject = Subject {
                    device: index,
                    ordinal,
                    key: &device.key,
                    venue: device.venue,
                    kind: &rules.kind,
                    rule,
                    slots: &device.slots,
                    late_by_ms: None,
                    operator: None,
                    now,
                };
                self.ledger.adopt(life, &subject);
            }
        }
    }
}

#[expect(
    clippy::too_many_arguments,
    reason = "old and new side by side, for one device"
)]
fn close_removed(
    ledger: &mut super::Ledger,
    index: DeviceIndex,
    device: &mut Device,
    before: &KindRules,
    after: Option<&KindRules>,
    now: Moment,
    effects: &mut Effects,
) {
    let Device {
        key,
        venue,
        slots,
        lives,
        ..
    } = device;
    for ((ordinal, life), rule) in (0_u16..).zip(lives.iter_mut()).zip(&before.rules) {
        if after.is_some_and(|after| after.rules.iter().any(|kept| kept.def.id == rule.def.id)) {
            continue;
        }
        let subject = Subject {
            device: index,
            ordinal,
            key,
            venue: *venue,
            kind: &before.kind,
            rule,
            slots,
            late_by_ms: None,
            operator: None,
            now,
        };
        let transition = life.transition(Stimulus::RuleRemoved, now.ticks, &rule.def);
        ledger.apply(transition, life, &subject, effects);
    }
}

fn carry_over(
    device: &mut Device,
    kind: Option<KindIndex>,
    before: Option<&KindRules>,
    after: Option<&KindRules>,
) {
    let mut slots = after.map_or_else(Box::default, initial_slots);
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
    device.kind = kind;
    device.slots = slots;
    device.lives = lives;
}
