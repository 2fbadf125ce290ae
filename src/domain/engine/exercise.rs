//! Proof tests: devices that are to be tried out by themselves whether they still obey, while their venue is closed. Off where
//! the registry does not ask for it.

use std::sync::Arc;

use super::super::almanac::Fact;
use super::super::device::DeviceIndex;
use super::super::interlock::{Cause, Task};
use super::super::rule::Truth;
use super::super::time::{Millis, Moment, Ticks};
use super::device::Device;
use super::due::Due;
use super::ledger::Ledger;
use super::linkage::Proof;
use super::{Effects, Engine};

/// How long after a moment that did not suit the next is looked at.
const LATER: Millis = Millis(600_000);

impl Engine {
    /// The time for the device's proof test, set for `at`, has come. Where it does not suit, the next does.
    pub(super) fn exercise_due(&mut self, index: DeviceIndex, at: Ticks, now: Moment, effects: &mut Effects) {
        let due = self
            .devices
            .get(index.slot())
            .is_some_and(|device| device.exercise.1 == Some(at));
        if !due {
            return;
        }
        let task = self.exercise_task(index, now);
        if let Some(device) = self.devices.get_mut(index.slot()) {
            let every = device.exercise.0;
            let wait = if task.is_some() { every } else { LATER };
            device.exercise_after(wait, (index, now), &mut self.ledger);
        }
        if let Some(task) = task {
            self.order(index, (&task, Cause::Exercise), now, effects);
        }
    }

    /// What the device is to be tried with now; `None`: now does not suit. It must stand where the command can move it, its
    /// venue be closed, and nobody want anything else of it.
    fn exercise_task(&mut self, index: DeviceIndex, now: Moment) -> Option<Task> {
        if self.is_demanded(index) {
            return None;
        }
        let definitions = Arc::clone(&self.definitions);
        let device = self.devices.get(index.slot())?;
        let kind = device.kind.filter(|kind| !definitions.is_out_of_use(*kind))?;
        let kind = &definitions.kind(kind)?.kind;
        let page = definitions.almanac().open(now.wall, definitions.roll());
        let closed = page.says(Fact::VenueClosed, &device.key) == Some(true);
        let idle = device
            .linkage
            .as_ref()
            .is_none_or(|linkage| linkage.order.is_none());
        let served = device.masks.out_of_service.is_none() && device.online() == Some(true);
        let task = Task::of(kind.commands.iter().find(|command| !command.opens)?);
        let moves = Proof::of(&task, kind)?.judge(&device.slots, &device.slots) == Truth::False;
        (closed && idle && served && moves).then_some(task)
    }
}

impl Device {
    /// The next proof test is due after `wait`.
    pub(super) fn exercise_after(
        &mut self,
        wait: Millis,
        (index, now): (DeviceIndex, Moment),
        ledger: &mut Ledger,
    ) {
        let next = Some(now.ticks.after(wait)).filter(|_| self.exercise.0 > Millis::ZERO);
        ledger.move_deadline((self.exercise.1, next), index, Due::Exercise);
        self.exercise.1 = next;
    }
}
