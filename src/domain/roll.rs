//! What the registry says of devices as far as it decides anything. It stands in the definitions and is no input of its own:
//! it comes into force with the rules in one journalled step, a replay and a back-test have that of their time, and what it
//! changes is judged in the same pass as a changed rule.

use serde::{Deserialize, Serialize};

use super::device::DeviceKey;

/// A registered device.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Enrolled {
    /// Who it is.
    pub key: DeviceKey,
}

/// All registered devices.
#[derive(Debug, Clone, Copy)]
pub struct Roll<'a>(&'a [Enrolled]);

impl<'a> Roll<'a> {
    /// Those of `devices`, which are sorted by [`sort`].
    pub const fn of(devices: &'a [Enrolled]) -> Roll<'a> {
        Roll(devices)
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
