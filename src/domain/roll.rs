//! What the registry says of devices as far as it decides anything. It stands in the definitions and is no input of its own:
//! it comes into force with the rules in one journalled step, a replay and a back-test have that of their time, and what it
//! changes is judged in the same pass as a changed rule.

use serde::{Deserialize, Serialize};

use super::device::DeviceKey;
use super::time::Millis;

/// A registered device.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Enrolled {
    /// Who it is.
    pub key: DeviceKey,
    /// How long it may be silent, where its kind's rules allow less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silent_after: Option<Millis>,
    /// How often its command is tried out by itself; `None`: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exercise: Option<Millis>,
    /// The device through which it speaks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<DeviceKey>,
    /// It is no longer in use.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub retired: bool,
    /// Who it was before it moved or was renamed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<DeviceKey>,
}

/// All registered devices.
#[derive(Debug, Clone, Copy)]
pub struct Roll<'a>(&'a [Enrolled]);

impl<'a> Roll<'a> {
    /// Those of `devices`, which are sorted by [`sort`].
    pub const fn of(devices: &'a [Enrolled]) -> Roll<'a> {
        Roll(devices)
    }

    /// Those that moved or were renamed.
    pub fn moved(self) -> impl Iterator<Item = &'a Enrolled> {
        self.0.iter().filter(|device| !device.aliases.is_empty())
    }

    /// Who is out of use: those that are retired, and whoever somebody else was once.
    pub fn out_of_use(self) -> impl Iterator<Item = &'a DeviceKey> {
        let retired = self.0.iter().filter(|device| device.retired);
        let former = self.0.iter().flat_map(|device| &device.aliases);
        retired.map(|device| &device.key).chain(former)
    }

    /// The registered device with this identity.
    pub fn find(self, key: &DeviceKey) -> Option<&'a Enrolled> {
        let found = self.0.binary_search_by(|device| device.key.cmp(key));
        found.ok().and_then(|place| self.0.get(place))
    }

    /// Whether `key` is registered. Where nobody registers devices, none is missing from the register.
    pub fn has(self, key: &DeviceKey) -> bool {
        self.0.is_empty() || self.find(key).is_some()
    }
}

/// Puts `devices` in the order in which they are found.
pub fn sort(devices: &mut [Enrolled]) {
    devices.sort_by(|one, other| one.key.cmp(&other.key));
}
