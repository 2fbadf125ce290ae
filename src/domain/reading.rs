//! What a device said: one device, one instant, some points.

use serde::{Deserialize, Serialize};

use super::device::DeviceIndex;
use super::kind::PointIndex;
use super::time::DeviceTime;

/// What sort of message a reading came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum ReadingKind {
    /// The device's present state.
    #[default]
    Live,
    /// A self-test: recorded, never acted upon.
    Test,
    /// A backlog sample sent later: recorded, never acted upon.
    History,
}

/// A decoded message of one device. Borrows the decoder's scratch space: nothing is allocated per reading.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Reading<'a> {
    /// Who said it.
    pub device: DeviceIndex,
    /// The device's own time, if it sent one that could be read.
    pub device_at: Option<DeviceTime>,
    /// The number that the device gave the message, if it gave one.
    pub seq: Option<u64>,
    /// Live, test or history.
    pub kind: ReadingKind,
    /// The broker kept it for new subscribers: it may be of any age.
    pub retained: bool,
    /// The points it carried: number as it is, bool as 0 or 1, enum as the index of its value. Never NaN.
    pub points: &'a [(PointIndex, f64)],
}
