//! Devices through which others speak: an alarm of a hub, a gateway or a station may explain those of the devices behind it,
//! which a rule says by `suppressed_by`, as of its venue. Who speaks through whom stands in the registry, else the profile says it.

use std::sync::Arc;

use super::super::definitions::Definitions;
use super::super::device::{DeviceIndex, DeviceKey};
use super::super::rule::RuleDef;
use super::super::time::Moment;
use super::derive::Turn;
use super::device::Device;
use super::ledger::Ledger;
use super::mask::Named;
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
        let above = self.above(index);
        if let (Some(above), Some(device)) = (above, self.devices.get_mut(index.slot())) {
            device.masks.above = above;
        }
    }

    /// What the alarms of the device through which it speaks explain; `None` while that has not been heard of.
    fn above(&self, index: DeviceIndex) -> Option<Vec<Arc<RuleDef>>> {
        let parent = self.find(self.parent_of(index)?)?;
        let parent = self.devices.get(parent.slot())?;
        Some(explaining(&self.definitions, parent))
    }

    /// The device through which it speaks: that of the registry, else the one that its profile names.
    fn parent_of(&self, index: DeviceIndex) -> Option<&DeviceKey> {
        let device = self.devices.get(index.slot())?;
        let named = || device.masks.named.as_deref().filter(|named| !named.circular);
        self.registered_parent(&device.key)
            .or_else(|| named().map(|named| &named.parent))
    }

    fn registered_parent(&self, key: &DeviceKey) -> Option<&DeviceKey> {
        self.definitions.roll().find(key)?.parent.as_ref()
    }

    /// Whether `parent` speaks in the end through `key`.
    fn leads_to(&self, parent: &DeviceKey, key: &DeviceKey) -> bool {
        let mut above = Some(parent);
        for _ in 0..=self.devices.len() {
            let Some(next) = above else { return false };
            if next == key {
                return true;
            }
            above = match self.find(next) {
                Some(index) => self.parent_of(index),
                None => self.registered_parent(next),
            };
        }
        true
    }

    /// The device through which the profile of `device` says that it speaks.
    pub fn named_parent(&self, device: DeviceIndex) -> Option<&DeviceKey> {
        let named = self.devices.get(device.slot())?.masks.named.as_deref();
        named.map(|named| &named.parent)
    }

    /// A profile says through which device another speaks.
    pub(super) fn name_parent(
        &mut self,
        index: DeviceIndex,
        parent: &DeviceKey,
        now: Moment,
        effects: &mut Effects,
    ) {
        let Some(device) = self.devices.get_mut(index.slot()) else {
            return;
        };
        if let Some(former) = device.masks.named.take()
            && let Some(children) = self.named.get_mut(&former.parent)
        {
            children.remove(&index);
            if children.is_empty() {
                self.named.remove(&former.parent);
            }
        }
        self.named.entry(parent.clone()).or_default().insert(index);
        self.settle(index, parent.clone());
        let above = self.above(index).unwrap_or_default();
        let listening = self.listening;
        let Some((device, rules, ledger)) = self.subject(index) else {
            return;
        };
        if !same(&device.masks.above, &above) {
            device.masks.above = above;
            let turn = Turn::new(index, rules, listening, now);
            device.explain(&Step::of(&turn), ledger, effects);
            self.tell_children(index, now, effects);
        }
    }

    /// Takes `parent` over as the device that the profile names, which has none such now.
    fn settle(&mut self, index: DeviceIndex, parent: DeviceKey) {
        let key = self
            .devices
            .get(index.slot())
            .map(|device| Arc::clone(&device.key));
        let circular = key.is_none_or(|key| self.leads_to(&parent, &key));
        if let Some(device) = self.devices.get_mut(index.slot()) {
            device.masks.named = Some(Box::new(Named { parent, circular }));
        }
    }

    /// What the profiles name, beside another registry: none of it may lead back to itself.
    pub(super) fn settle_all(&mut self) {
        let mut named = Vec::new();
        for (index, device) in (0_u32..).map(DeviceIndex).zip(&mut self.devices) {
            named.extend(device.masks.named.take().map(|named| (index, named.parent)));
        }
        for (index, parent) in named {
            self.settle(index, parent);
        }
    }

    /// The devices that speak through `parent`: those that the registry says, then those whose profile does.
    fn children(&self, definitions: &Definitions, parent: &DeviceKey) -> Vec<DeviceIndex> {
        let registered = definitions.children_of(parent).iter();
        let registered = registered.filter_map(|child| self.find(child));
        let named = self.named.get(parent).into_iter().flatten().copied();
        let named = named.filter(|child| {
            let device = self.devices.get(child.slot());
            let enrolled = device.and_then(|device| definitions.roll().find(&device.key));
            // Those that the registry puts somewhere are in its list, or in another.
            enrolled.is_none_or(|enrolled| enrolled.parent.is_none())
                && self.parent_of(*child).is_some_and(|named| named == parent)
        });
        registered.chain(named).collect()
    }

    /// Lets every device know what its parents' alarms explain, before it is judged by other definitions.
    pub(super) fn inform_children(&mut self) {
        for device in &mut self.devices {
            device.masks.above = Vec::new();
        }
        let definitions = Arc::clone(&self.definitions);
        let named: Vec<DeviceIndex> = self.named.keys().filter_map(|parent| self.find(parent)).collect();
        let registered = definitions.parents().filter_map(|parent| self.find(parent));
        for parent in registered.collect::<Vec<DeviceIndex>>().into_iter().chain(named) {
            self.pass_down(parent, |_, _| {});
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
            let children = self.children(&definitions, &parent.key);
            if children.is_empty() {
                continue;
            }
            let above = explaining(&definitions, parent);
            for index in children {
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
