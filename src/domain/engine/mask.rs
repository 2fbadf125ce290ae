//! Which of a device's alarms nobody is told of, and why: shelves, a device out of service, and other alarms that
//! explain one. Brings masks up to date; what follows from that is the ledger's.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::alarm::{AlarmStep, Life, Mask, MaskChange, MaskReason, Operator, Pause};
use super::super::definitions::KindRules;
use super::super::device::{DeviceIndex, DeviceKey};
use super::super::rule::RuleDef;
use super::super::service::{DeviceEvent, DeviceStep};
use super::super::time::Ticks;
use super::Effects;
use super::derive::Turn;
use super::device::Device;
use super::due::Due;
use super::ledger::{Ledger, Remask};
use super::orders::Call;
use super::step::Step;

/// What people keep quiet on a device.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Masks {
    pub(super) out_of_service: Option<Box<Pause>>,
    /// At most one for each rule.
    shelves: Vec<Shelf>,
    /// The rules on the device's venue whose active alarms may explain the device's.
    pub(super) venue: Vec<String>,
    /// The rules on the devices through which it speaks whose active alarms may explain its own.
    #[serde(skip)]
    pub(super) above: Vec<Arc<RuleDef>>,
    /// Through which device it speaks, as its profile says; what the registry says counts before it.
    pub(super) named: Option<Box<Named>>,
}

/// The device that a profile names.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Named {
    pub(super) parent: DeviceKey,
    /// It speaks in the end through the device of which it is said to be the parent: that counts for nothing.
    pub(super) circular: bool,
}

/// A rule that is shelved on a device.
#[derive(Debug, Serialize, Deserialize)]
struct Shelf {
    /// The rule's place.
    place: u16,
    pause: Pause,
}

impl Masks {
    fn is_above(&self, rule: &str) -> bool {
        self.above.iter().any(|above| above.id == rule)
    }

    fn shelf(&self, place: usize) -> Option<&Pause> {
        let found = self
            .shelves
            .iter()
            .find(|shelf| usize::from(shelf.place) == place);
        found.map(|shelf| &shelf.pause)
    }

    /// Shelves the rule in `place`, in the place of an earlier shelf.
    pub(super) fn shelve(&mut self, place: u16, pause: Pause) {
        self.unshelve(place);
        self.shelves.push(Shelf { place, pause });
    }

    /// Takes the rule in `place` off its shelf; whether it was on one.
    pub(super) fn unshelve(&mut self, place: u16) -> bool {
        let before = self.shelves.len();
        self.shelves.retain(|shelf| shelf.place != place);
        self.shelves.len() < before
    }

    /// The shelves under the rules' new places; of a rule that is gone, none.
    pub(super) fn moved(&mut self, place: impl Fn(u16) -> Option<u16>) {
        let shelves = std::mem::take(&mut self.shelves).into_iter();
        let moved = shelves.filter_map(|shelf| {
            Some(Shelf {
                place: place(shelf.place)?,
                ..shelf
            })
        });
        self.shelves = moved.collect();
    }

    /// A shelf whose time is over.
    fn over(&self, now: Ticks) -> Option<u16> {
        let over = self.shelves.iter().find(|shelf| shelf.pause.ends <= now);
        over.map(|shelf| shelf.place)
    }

    fn next_end(&self) -> Option<Ticks> {
        let shelves = self.shelves.iter().map(|shelf| shelf.pause.ends);
        let service = self.out_of_service.as_ref().map(|pause| pause.ends);
        shelves.chain(service).min()
    }
}

impl Device {
    /// Why nobody would be told of an alarm of the rule in `place`, its limit apart.
    pub(super) fn mask_reason<'a>(&'a self, place: usize, rules: &'a KindRules) -> MaskReason<'a> {
        if let Some(pause) = &self.masks.out_of_service {
            return MaskReason::Service(pause);
        }
        if let Some(pause) = self.masks.shelf(place) {
            return MaskReason::Shelf(pause);
        }
        let Some(rule) = rules.rules.get(place) else {
            return MaskReason::Nothing;
        };
        let of_venue = || {
            let mut names = rule.def.suppressed_by.iter();
            names.find(|name| self.masks.venue.contains(name) || self.masks.is_above(name))
        };
        let suppressors = rule.suppressors.iter().map(|other| usize::from(*other));
        let mut explaining = suppressors.filter(|other| self.explains(*other));
        let found = explaining.find_map(|other| Some(&rules.rules.get(other)?.def.id));
        found
            .or_else(of_venue)
            .map_or(MaskReason::Nothing, |id| MaskReason::Rule(id))
    }

    /// Whether the rule in `place` has an active alarm that may explain others. One that people are kept from hearing
    /// of explains nothing to them.
    pub(super) fn explains(&self, place: usize) -> bool {
        let Some(life) = self.lives.get(place).filter(|life| life.is_active()) else {
            return false;
        };
        let unheard = life.standing().is_some_and(|standing| match standing.mask {
            Mask::None | Mask::Suppressed { .. } => false,
            Mask::Limited { .. } => true,
            // Kept on although it is over.
            Mask::Shelved(_) | Mask::OutOfService(_) => life.is_recovering(),
        });
        !unheard && self.masks.shelf(place).is_none()
    }

    /// Brings it up to date of which of the device's alarms nobody is told.
    pub(super) fn explain(&mut self, step: &Step<'_>, ledger: &mut Ledger, effects: &mut Effects) {
        // A mask that comes off or goes on may change what explains another alarm; chains of suppression are no
        // longer than the list of rules.
        for _ in 0..=self.lives.len() {
            let mut changed = false;
            for place in 0..self.lives.len() {
                changed |= self.remask(place, None, step, (ledger, effects));
            }
            if !changed {
                break;
            }
        }
        self.arm_mask(step.device, ledger);
    }

    /// Brings the mask of the rule in `place` up to date, `because` of an operator's act or its end; whether it
    /// changed.
    pub(super) fn remask(
        &mut self,
        place: usize,
        because: Option<AlarmStep>,
        step: &Step<'_>,
        (ledger, effects): (&mut Ledger, &mut Effects),
    ) -> bool {
        let Some(life) = self.lives.get(place) else {
            return false;
        };
        let Some(standing) = life.standing() else {
            return false;
        };
        let reason = self.mask_reason(place, step.rules);
        let change = standing.mask.change(reason, life.is_recovering());
        if change == MaskChange::Stay && because.is_none() {
            return false;
        }
        let remask = Remask {
            change,
            mask: reason.mask(),
            because,
        };
        let mut changed = false;
        self.with_subject(place, step, (Mask::None, 0), |life, subject| {
            changed = ledger.remask(remask, life, subject, effects);
        });
        ledger.note_move(step.device);
        // One that stands when its shelf ends commands from then on.
        let acts = step
            .rules
            .rules
            .get(place)
            .is_some_and(|rule| !rule.actions.is_empty());
        if acts && let Ok(place) = u16::try_from(place) {
            ledger.call(Call::Raised(step.device, place));
        }
        changed
    }

    /// Ends what is over at the instant `at`, for which the device's timer for masks was set.
    pub(super) fn mask_due(
        &mut self,
        turn: &Turn<'_>,
        at: Ticks,
        ledger: &mut Ledger,
        effects: &mut Effects,
    ) {
        if self.next_mask_end() != Some(at) {
            return;
        }
        let step = Step::of(turn);
        let now = turn.now.ticks;
        if self
            .masks
            .out_of_service
            .as_ref()
            .is_some_and(|pause| pause.ends <= now)
        {
            self.end_service(None, &step, (ledger, effects));
        }
        while let Some(place) = self.masks.over(now) {
            self.masks.unshelve(place);
            let because = AlarmStep::Unshelved(None);
            self.remask(usize::from(place), Some(because), &step, (ledger, effects));
        }
        self.explain(&step, ledger, effects);
    }

    /// Makes an event of what happened to the device's service.
    pub(super) fn serviced(
        &self,
        told: DeviceStep,
        step: &Step<'_>,
        (ledger, effects): (&mut Ledger, &mut Effects),
    ) {
        effects.devices.push(DeviceEvent {
            id: ledger.id(step.now.wall),
            at: step.now.wall,
            device: Arc::clone(&self.key),
            step: told,
        });
    }

    /// Puts the device back in service.
    pub(super) fn end_service(
        &mut self,
        because: Option<&Operator>,
        step: &Step<'_>,
        (ledger, effects): (&mut Ledger, &mut Effects),
    ) {
        self.masks.out_of_service = None;
        let told = DeviceStep::InService(because.cloned());
        self.serviced(told, step, (&mut *ledger, &mut *effects));
        for place in 0..self.lives.len() {
            let because = AlarmStep::InService(because.cloned());
            self.remask(place, Some(because), step, (ledger, effects));
        }
    }

    /// When a mask of the device ends next, or may.
    pub(super) fn next_mask_end(&self) -> Option<Ticks> {
        let limited = self.lives.iter().filter_map(Life::waits_for_room);
        limited.chain(self.masks.next_end()).min()
    }

    /// Sees to it that the device's timer for masks comes in time. One that has become stale finds nothing to do.
    pub(super) fn arm_mask(&self, device: DeviceIndex, ledger: &mut Ledger) {
        if let Some(at) = self.next_mask_end() {
            ledger.insert_deadline(at, device, Due::Mask);
        }
    }
}
