//! The devices that messages speak for: found by one look-up of an id made in scratch space. Binds devices of the
//! engine but never makes them.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::HashMapExt as _;

use super::Reject;
use super::command::Address;
use crate::domain::device::{DeviceIndex, DeviceKey};
use crate::domain::registry::UNREGISTERED;

/// A device that a message speaks for. Good for the message at hand only: a later one may make the decoder forget it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotId(u32);

/// Where the devices of a message stand, beside their ids.
#[derive(Debug, Clone)]
pub(super) struct Spoken {
    /// [`Devices::place`] of the program and the venue: devices of different programs are learnt apart, for their
    /// addresses' sake.
    pub(super) place: u32,
    /// The devices' kind.
    pub(super) kind: usize,
    /// `None`: where the registry has the device.
    pub(super) venue: Option<Box<str>>,
    /// How they are spoken to, as far as the topic says; `None`: the profile has no commands.
    pub(super) address: Option<Address>,
    /// The names of the payload's captures.
    pub(super) names: Arc<[String]>,
}

/// All devices heard.
#[derive(Debug)]
pub(super) struct Devices {
    kind_ids: Vec<String>,
    /// By kind, the venue of each registered device.
    venues: Vec<HashMap<String, String>>,
    slots: Vec<Slot>,
    /// The id of the first slot: ids are never given twice, so a stale one is never another device's.
    first: u32,
    /// By kind, place and id.
    known: foldhash::HashMap<Box<[u8]>, SlotId>,
    /// How many of the slots are of devices that were refused.
    refused: usize,
    scratch: Vec<u8>,
    places: foldhash::HashMap<(usize, Option<Box<str>>), u32>,
    /// Never given twice: codecs keep theirs.
    next_place: u32,
}

#[derive(Debug)]
struct Slot {
    key: DeviceKey,
    kind: usize,
    device: Option<DeviceIndex>,
    refused: bool,
    address: Option<Box<Address>>,
}

impl Devices {
    /// Devices remembered: all are forgotten and learnt anew beyond that.
    pub(super) const MAX: usize = 400_000;

    /// Those of them that may have been refused: to learn a hundred thousand devices anew costs each of so many less than
    /// its own dead letter, and they take some 20 MB.
    const MAX_REFUSED: usize = 40_000;

    /// Nothing heard yet.
    pub(super) fn new(kind_ids: Vec<String>, venues: Vec<HashMap<String, String>>) -> Devices {
        Devices {
            kind_ids,
            venues,
            slots: Vec::new(),
            first: 0,
            known: foldhash::HashMap::new(),
            refused: 0,
            scratch: Vec::new(),
            places: foldhash::HashMap::new(),
            next_place: 0,
        }
    }

    /// Whether it is time to forget them.
    pub(super) const fn is_full(&self) -> bool {
        self.slots.len() >= Devices::MAX || self.refused >= Devices::MAX_REFUSED
    }

    /// Forgets all of them.
    #[expect(clippy::cast_possible_truncation, reason = "at most twice MAX slots")]
    pub(super) fn forget(&mut self) {
        self.first = self.first.wrapping_add(self.slots.len() as u32);
        self.known.clear();
        self.slots.clear();
        self.refused = 0;
        self.places.clear();
    }

    /// The number under which the devices of a program in a venue are learnt.
    pub(super) fn place(&mut self, program: usize, venue: Option<&str>) -> u32 {
        let key = (program, venue.map(Into::into));
        *self.places.entry(key).or_insert_with(|| {
            self.next_place = self.next_place.wrapping_add(1);
            self.next_place
        })
    }

    /// The kinds' ids.
    pub(super) fn kind_ids(&self) -> &[String] {
        &self.kind_ids
    }

    /// The device `id` of a message. `capture` gives the text of a capture of the payload.
    pub(super) fn child<'t>(
        &mut self,
        spoken: &Spoken,
        id: &str,
        capture: impl Fn(usize) -> Option<&'t str>,
    ) -> Result<SlotId, Reject> {
        self.find((spoken, spoken.kind), id, || {
            let mut address = spoken.address.clone()?;
            let texts = spoken.names.iter().enumerate();
            let texts = texts.filter_map(|(at, name)| Some((name.clone(), capture(at)?.to_owned())));
            address.captures.extend(texts);
            Some(Box::new(address))
        })
    }

    /// The device `id` of another kind in the same venue.
    pub(super) fn relative(&mut self, spoken: &Spoken, kind: usize, id: &str) -> Result<SlotId, Reject> {
        self.find((spoken, kind), id, || None)
    }

    /// The device `id` of a message, if it has been heard: then its id is sound.
    pub(super) fn known(&mut self, spoken: &Spoken, id: &str) -> Option<SlotId> {
        self.look_up(spoken, spoken.kind, id)
    }

    #[inline]
    fn look_up(&mut self, spoken: &Spoken, kind: usize, id: &str) -> Option<SlotId> {
        self.scratch.clear();
        self.scratch.extend_from_slice(&kind.to_le_bytes());
        self.scratch.extend_from_slice(&spoken.place.to_le_bytes());
        self.scratch.extend_from_slice(id.as_bytes());
        self.known.get(self.scratch.as_slice()).copied()
    }

    fn find(
        &mut self,
        (spoken, kind): (&Spoken, usize),
        id: &str,
        address: impl FnOnce() -> Option<Box<Address>>,
    ) -> Result<SlotId, Reject> {
        if let Some(slot) = self.look_up(spoken, kind, id) {
            return Ok(slot);
        }
        if self.slots.len() >= 2 * Devices::MAX {
            return Err(Reject::TooManyDevices);
        }
        let registered = || self.venues.get(kind).and_then(|venues| venues.get(id));
        let venue = spoken
            .venue
            .as_deref()
            .or_else(|| registered().map(String::as_str));
        let key = DeviceKey {
            venue: venue.unwrap_or(UNREGISTERED).to_owned(),
            kind: self.kind_ids.get(kind).cloned().unwrap_or_default(),
            device: id.to_owned(),
        };
        let slot = self.add(key, kind, address());
        self.known.insert(self.scratch.as_slice().into(), slot);
        Ok(slot)
    }

    #[expect(clippy::cast_possible_truncation, reason = "at most twice MAX slots")]
    fn add(&mut self, key: DeviceKey, kind: usize, address: Option<Box<Address>>) -> SlotId {
        let id = SlotId(self.first.wrapping_add(self.slots.len() as u32));
        self.slots.push(Slot {
            key,
            kind,
            device: None,
            refused: false,
            address,
        });
        id
    }

    fn slot(&self, id: SlotId) -> Option<&Slot> {
        self.slots.get(id.0.wrapping_sub(self.first) as usize)
    }

    /// Who it is; `None`: forgotten.
    pub(super) fn key(&self, id: SlotId) -> Option<&DeviceKey> {
        self.slot(id).map(|slot| &slot.key)
    }

    /// The place of its kind.
    pub(super) fn kind(&self, id: SlotId) -> usize {
        self.slot(id).map_or(0, |slot| slot.kind)
    }

    /// How it is spoken to, when its profile has commands.
    pub(super) fn address(&self, id: SlotId) -> Option<&Address> {
        self.slot(id)?.address.as_deref()
    }

    /// The engine's device, once it is bound.
    pub(super) fn device(&self, id: SlotId) -> Option<DeviceIndex> {
        self.slot(id)?.device
    }

    /// Takes note that a device was not taken in.
    pub(super) fn refuse(&mut self, id: SlotId) {
        let at = id.0.wrapping_sub(self.first) as usize;
        if let Some(slot) = self.slots.get_mut(at).filter(|slot| !slot.refused) {
            slot.refused = true;
            self.refused += 1;
        }
    }

    /// Remembers the engine's device.
    pub(super) fn bind(&mut self, id: SlotId, device: DeviceIndex) {
        let at = id.0.wrapping_sub(self.first) as usize;
        if let Some(slot) = self.slots.get_mut(at) {
            slot.device = Some(device);
        }
    }
}
