//! What is known of venues and devices beyond their messages: names, addresses, kinds of venue.

use std::collections::HashMap;

use jiff::civil::Date;

use super::device::DeviceKey;
use super::roll::Enrolled;
use super::time::Millis;

/// The venue of devices that nobody registered and whose topics name no venue.
pub const UNREGISTERED: &str = "unregistered";

/// A place with people in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Venue {
    /// Its id, as in topics.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// One of the nine kinds or a configured one, for example `restaurant`.
    pub kind: String,
    /// Where it is.
    pub address: String,
    /// The district that it belongs to, if somebody has said so.
    pub district: Option<String>,
    /// Whether linkage in it waits for a second signal.
    pub confirm_linkage: bool,
}

/// A device that someone has registered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RegisteredDevice {
    /// Its identity.
    pub key: DeviceKey,
    /// Its name for people, for example where in the venue it hangs.
    pub name: String,
    /// The profile through which it speaks, for a command to a device that was never heard of.
    pub profile: Option<String>,
    /// The device through which it speaks: a hub, a gateway, a station.
    pub parent: Option<DeviceKey>,
    /// Whether it may be opened or switched on from afar.
    pub remote_open: bool,
    /// How long it may be silent, where its kind's rules allow less: a sleepy device.
    pub silent_after: Option<Millis>,
    /// How often it is tried out by itself whether it still obeys; `None`: never.
    pub exercise: Option<Millis>,
    /// The day on which it was installed.
    pub installed: Option<Date>,
    /// It is no longer in use.
    pub retired: bool,
    /// Who it was before it moved or was renamed.
    pub aliases: Vec<DeviceKey>,
}

impl RegisteredDevice {
    /// What of it decides anything.
    pub fn enrolled(&self) -> Enrolled {
        Enrolled {
            key: self.key.clone(),
            silent_after: self.silent_after,
            exercise: self.exercise,
            parent: self.parent.clone(),
            retired: self.retired,
            aliases: self.aliases.clone(),
        }
    }
}

/// The venues and devices of the configuration.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    venues: HashMap<String, Venue>,
    devices: HashMap<DeviceKey, RegisteredDevice>,
    /// (kind, device id) → venue, for profiles whose topics do not name the venue.
    by_id: HashMap<(String, String), DeviceKey>,
}

impl Registry {
    /// A registry of these venues and devices. Of two with one id the later counts; the loader reports them.
    pub fn new(venues: Vec<Venue>, devices: Vec<RegisteredDevice>) -> Registry {
        let by_id = devices
            .iter()
            .map(|device| {
                (
                    (device.key.kind.clone(), device.key.device.clone()),
                    device.key.clone(),
                )
            })
            .collect();
        Registry {
            venues: venues
                .into_iter()
                .map(|venue| (venue.id.clone(), venue))
                .collect(),
            devices: devices
                .into_iter()
                .map(|device| (device.key.clone(), device))
                .collect(),
            by_id,
        }
    }

    /// The venue with this id.
    pub fn venue(&self, id: &str) -> Option<&Venue> {
        self.venues.get(id)
    }

    /// The registered device with this identity.
    pub fn device(&self, key: &DeviceKey) -> Option<&RegisteredDevice> {
        self.devices.get(key)
    }

    /// Whether `key` is registered. Where nobody registers devices, none is missing from the register.
    pub fn has(&self, key: &DeviceKey) -> bool {
        self.devices.is_empty() || self.devices.contains_key(key)
    }

    /// The identity of the registered device of `kind` with this id, whatever its venue.
    pub fn find(&self, kind: &str, device: &str) -> Option<&DeviceKey> {
        self.by_id.get(&(kind.to_owned(), device.to_owned()))
    }

    /// All venues, in no particular order.
    pub fn venues(&self) -> impl Iterator<Item = &Venue> {
        self.venues.values()
    }

    /// All registered devices, in no particular order.
    pub fn devices(&self) -> impl Iterator<Item = &RegisteredDevice> {
        self.devices.values()
    }
}
