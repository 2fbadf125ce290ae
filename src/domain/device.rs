//! Who speaks: the identity of a device and its place in the engine's tables.

use serde::{Deserialize, Serialize};

use super::kind::GATEWAY_KIND;

/// A device's identity, from its topic or the registry, never from the payload alone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct DeviceKey {
    /// The venue's id.
    pub venue: String,
    /// The device kind's id, for example `gas_detector`.
    pub kind: String,
    /// The device's own id, unique among the devices of that kind in its venue.
    pub device: String,
}

impl DeviceKey {
    /// The gateway called `id` as a device; it belongs to no venue.
    pub fn gateway(id: &str) -> DeviceKey {
        DeviceKey {
            venue: String::new(),
            kind: GATEWAY_KIND.to_owned(),
            device: id.to_owned(),
        }
    }
}

/// A device's place in the engine, given in order of first sight and never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeviceIndex(pub u32);

impl DeviceIndex {
    /// The index into a table of devices.
    pub const fn slot(self) -> usize {
        self.0 as usize
    }
}
