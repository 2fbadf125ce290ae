//! Devices through which others speak: an alarm of a hub, a gateway or a station may explain those of the devices behind it,
//! which a rule says by `suppressed_by`, as of its venue. Who speaks through whom stands in the registry.

use std::sync::Arc;

use super::super::definitions::Definitions;
use super::super::device::DeviceIndex;
use super::super::rule::RuleDef;
use super::super::time::Moment;
use super::derive::Turn;
use super::device::Device;
use super::ledger::Ledger;
use super::step::Step;
use super::{Effects, Engine};

/// More rules than explain anything on the way up: a circle of parents, which the registry's reader refuses, would not end.
const MOST_ABOVE: usize = 32;

/// What a parent's alarms may explain, its own parent's included. Nothing, once they have ended.
fn explaining(definitions: &Definitions, parent: &Device) -> Vec<Arc<RuleDef>> {
    let rules = parent.kind.and_then(|kind| definitions.kind(kind));
    let rules = rules.map_or(&[][..], |rules| &rules.rules).iter().enumerate();
    let own = rules.filter(|(place, _)| parent.explains(*place));
    own.map(|(_, rule)| Arc::clone(&rule.def))
        .chain(parent.masks.above.iter().cloned())
        .take(MOST_ABOVE)
        .collect()
}

fn same(one: &[Arc<RuleDef>], other: &[Arc<RuleDef>]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| Arc::ptr_eq(one, other))
}

impl Ledger {
    /// An alarm of the venue or device in this place has moved.
    pub(super) fn note_move(&mut self, index: DeviceIndex) {
        if self.moved.last() != Some(&index) {
            self.moved.push(index);
        }
    }
}

impl Engine {
    /// Lets a device that is new know what its parent's alarms explain.
    pub(super) fn ask_parent(&mut self, index: DeviceIndex) {
        let enrolled = self
            .devices
            .get(index.slot())
            .and_then(|device| self.definitions.roll().find(&device.key));
        let parent = enrolled.and_then(|enrolled| enrolled.parent.as_ref());
        let parent = parent.and_then(|parent| self.find(parent));
        let above = parent.and_then(|parent| self.devices.get(parent.slot()));
        let above = above.map(|parent| explaining(&self.definitions, parent));
        if let (Some(above), Some(device)) = (above, self.devices.get_mut(index.slot())) {
            device.masks.above = above;
        }
    }

    /// Lets every device know what its parents' alarms explain, before it is judged by other definitions.
    pub(super) fn inform_children(&mut self) {
        for device in &mut self.devices {
            device.masks.above = Vec::new();
        }
        let definitions = Arc::clone(&self.definitions);
        for parent in definitions.parents() {
            if let Some(index) = self.find(parent) {
                self.pass_down(index, |_, _| {});
            }
        }
    }

    /// The alarms of a device have moved: those of the devices behind it may be explained now, or no longer.
    pub(super) fn tell_children(&mut self, index: DeviceIndex, now: Moment, effects: &mut Effects) {
        self.pass_down(index, |engine, child| {
            let listening = engine.listening;
            if let Some((device, rules, ledger)) = engine.subject(child) {
                let turn = Turn::new(child, rules, listening, now);
                device.explain(&Step::of(&turn), ledger, effects);
            }
        });
    }

    /// Passes on what the alarms of a device explain to those behind it, and to those behind them; `then` is done for each to
    /// which that is new.
    fn pass_down(&mut self, from: DeviceIndex, mut then: impl FnMut(&mut Engine, DeviceIndex)) {
        let definitions = Arc::clone(&self.definitions);
        let mut waiting = vec![from];
        while let Some(parent) = waiting.pop() {
            let Some(parent) = self.devices.get(parent.slot()) else {
                continue;
            };
            let children = definitions.children_of(&parent.key);
            if children.is_empty() {
                continue;
            }
            let above = explaining(&definitions, parent);
            for child in children {
                let Some(index) = self.find(child) else { continue };
                let Some(device) = self.devices.get_mut(index.slot()) else {
                    continue;
                };
                if !same(&device.masks.above, &above) {
                    device.masks.above.clone_from(&above);
                    then(self, index);
                    waiting.push(index);
                }
            }
        }
    }
}
