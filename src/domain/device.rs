//! Who speaks: the identity of a device and its place in the engine's tables.

use serde::{Deserialize, Serialize};

/// A device's identity, from its topic or the registry, never from the payload alone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DeviceKey {
    /// The venue's id.
    pub venue: String,
    /// The device kind's id, for example `gas_detector`.
    pub kind: String,
    /// The device's own id, unique among the devices of that kind in its venue.
    pub device: String,
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
