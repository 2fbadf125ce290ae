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

/// How a message came: whether what it says may be older than what is already known. Stored as its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Arrival {
    /// As far as known, when it was sent.
    #[default]
    First,
    /// The broker kept it for new subscribers: it may be of any age.
    Kept,
    /// The broker sent it once more, because its first delivery was not acknowledged: its news are still news, but without
    /// a time of its device's it may be older than an order given meanwhile, and proves none.
    Again,
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
    /// How it came.
    pub arrival: Arrival,
    /// The points it carried: number as it is, bool as 0 or 1, enum as the index of its value. Never NaN.
    pub points: &'a [(PointIndex, f64)],
}
