//! What the registry does to devices: they are taken in, move and are renamed, and go out of use. A device keeps its number,
//! and with it its values, alarms and history, whoever it is from now on.

use std::sync::Arc;

use super::super::alarm::{ClearReason, Mask, Transition};
use super::super::definitions::Definitions;
use super::super::device::{DeviceIndex, DeviceKey};
use super::super::journal::RegisteredInput;
use super::super::kind::GATEWAY_KIND;
use super::super::service::{DeviceEvent, DeviceStep};
use super::super::time::{Millis, Moment, Timestamp};
use super::derive::Turn;
use super::device::Device;
use super::due::Due;
use super::ledger::Ledger;
use super::orders::Call;
use super::step::Step;
use super::{Effects, Engine, venue};

/// A device that has another identity from now on.
#[derive(Debug, Clone)]
pub struct Moved {
    /// Its number, which stays.
    pub device: DeviceIndex,
    /// Who it is now.
    pub key: Arc<DeviceKey>,
    /// Since when.
    pub at: Timestamp,
}

impl Engine {
    /// Takes a device in; nothing if it is known.
    pub(super) fn admit(&mut self, key: &DeviceKey, now: Moment, effects: &mut Effects) {
        if self.by_key.contains_key(key) {
            return;
        }
        let Ok(index) = u32::try_from(self.devices.len()).map(DeviceIndex) else {
            return;
        };
        if venue::venue_at(index).is_some() {
            return;
        }
        let key = Arc::new(key.clone());
        let (venue, first) = self.found(&key.venue, now);
        let kind = self.definitions.kind_of(&key);
        let rules = kind.and_then(|kind| self.definitions.kind(kind));
        let mut device = Device::new(Arc::clone(&key), venue, kind, rules, now.ticks);
        device.enrol(&self.definitions);
        if let Some(rules) = rules {
            let turn = Turn::new(index, rules, self.listening, now);
            device.arm_silence(&turn, &mut self.ledger);
        }
        if let Some(at) = device.exercise.1 {
            self.ledger.insert_deadline(at, index, Due::Exercise);
        }
        self.devices.push(device);
        self.enter(key, index);
        self.consult_first(index, now, effects);
        self.join(index, now, effects);
        if first {
            self.look_first(venue, now, effects);
        }
        self.ledger.call(Call::Joined(index));
    }

    /// Has it on record who registered a device.
    pub(super) fn note_registered(&mut self, input: &RegisteredInput, now: Moment, effects: &mut Effects) {
        let operator = input.operator.clone();
        effects.devices.push(DeviceEvent {
            id: self.ledger.id(now.wall),
            at: now.wall,
            device: Arc::new(input.device.clone()),
            step: if input.retired {
                DeviceStep::Retired(operator)
            } else {
                DeviceStep::Registered(operator)
            },
        });
    }

    /// The number of the venue called `id`, and whether this is the first of it.
    fn found(&mut self, id: &str, now: Moment) -> (u32, bool) {
        let number = self.ledger.venue(id);
        let first = number as usize == self.venues.len();
        if first {
            let rules = self.definitions.on_venue(id);
            self.venues.push(venue::entity(id, number, rules, now.ticks));
            self.members.push(Vec::new());
            self.explained.push(Vec::new());
        }
        (number, first)
    }

    fn enter(&mut self, key: Arc<DeviceKey>, index: DeviceIndex) {
        if key.kind == GATEWAY_KIND {
            self.gateway = Some(index);
        }
        self.by_key.insert(key, index);
    }

    /// Gives the devices that `coming` knows by another name that name; the venues that they left or came to. Done before
    /// `coming` is in force. Where both names have been heard of there are two devices, and each keeps what is its own.
    pub(super) fn move_devices(
        &mut self,
        coming: &Definitions,
        now: Moment,
        effects: &mut Effects,
    ) -> Vec<u32> {
        let mut venues = Vec::new();
        for enrolled in coming.roll().moved() {
            if self.by_key.contains_key(&enrolled.key) {
                continue;
            }
            let mut former = enrolled.aliases.iter();
            let Some(index) = former.find_map(|alias| self.by_key.remove(alias)) else {
                continue;
            };
            let key = Arc::new(enrolled.key.clone());
            let (venue, _) = self.found(&key.venue, now);
            let Some(device) = self.devices.get_mut(index.slot()) else {
                continue;
            };
            let from = std::mem::replace(&mut device.key, Arc::clone(&key));
            for number in [std::mem::replace(&mut device.venue, venue), venue] {
                if from.venue != key.venue && !venues.contains(&number) {
                    venues.push(number);
                }
            }
            self.enter(Arc::clone(&key), index);
            self.ledger.call(Call::Joined(index));
            effects.devices.push(DeviceEvent {
                id: self.ledger.id(now.wall),
                at: now.wall,
                device: Arc::clone(&key),
                step: DeviceStep::Moved(from),
            });
            effects.moved.push(Moved {
                device: index,
                key,
                at: now.wall,
            });
        }
        venues
    }
}

impl Device {
    /// Takes over what the registry says of it.
    pub(super) fn enrol(&mut self, definitions: &Definitions) {
        let enrolled = definitions.roll().find(&self.key);
        let silent_after = enrolled.and_then(|enrolled| enrolled.silent_after);
        self.silent_after = silent_after.unwrap_or(Millis::ZERO);
        let every = enrolled
            .and_then(|enrolled| enrolled.exercise)
            .unwrap_or(Millis::ZERO);
        if every != self.exercise.0 {
            // Whether it was tried before that was wanted, nobody knows here.
            let first = self.heard.after(every);
            self.exercise = (every, Some(first).filter(|_| every > Millis::ZERO));
        }
    }

    /// It goes out of use, by somebody's word: its alarms end. What it says from then on is judged anew.
    pub(super) fn retire(&mut self, step: &Step<'_>, ledger: &mut Ledger, effects: &mut Effects) {
        for place in 0..self.lives.len() {
            if self.lives.get(place).is_none_or(|life| life.standing().is_none()) {
                continue;
            }
            if let Some(call) = self.call_before(place, Transition::Remove, step) {
                ledger.call(call);
            }
            self.with_subject(place, step, (Mask::None, 0), |life, subject| {
                ledger.end(ClearReason::DeviceRetired, life, subject, effects);
            });
        }
        let failed = self.linkage.as_mut().and_then(|linkage| linkage.failed.take());
        if failed.is_some() {
            self.mark_failure(step.rules, false);
        }
    }
}
