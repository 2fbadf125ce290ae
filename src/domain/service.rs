//! What happens to a device beside its alarms: it is taken out of service, and put back. Facts for the event chain; nobody
//! is told of them.

use std::sync::Arc;

use super::alarm::{Operator, Pause};
use super::device::DeviceKey;
use super::id::Id;
use super::time::Timestamp;

/// Something that happened to a device.
#[derive(Debug, Clone)]
pub struct DeviceEvent {
    /// The event's own id, derived from the input that caused it.
    pub id: Id,
    /// When.
    pub at: Timestamp,
    /// To which device.
    pub device: Arc<DeviceKey>,
    /// What.
    pub step: DeviceStep,
}

/// What can happen to a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceStep {
    /// Somebody took it out of service.
    OutOfService(Pause),
    /// It is in service again: by somebody, or by itself.
    InService(Option<Operator>),
}

impl DeviceStep {
    /// The event's type, for example `device.in_service`.
    pub const fn event_type(&self) -> &'static str {
        match self {
            DeviceStep::OutOfService(_) => "device.out_of_service",
            DeviceStep::InService(_) => "device.in_service",
        }
    }

    /// The person behind it, if there is one.
    pub const fn operator(&self) -> Option<&Operator> {
        match self {
            DeviceStep::OutOfService(pause) => Some(&pause.operator),
            DeviceStep::InService(operator) => operator.as_ref(),
        }
    }

    /// Until when it lasts, as foreseen.
    pub const fn until(&self) -> Option<Timestamp> {
        match self {
            DeviceStep::OutOfService(pause) => Some(pause.until),
            DeviceStep::InService(_) => None,
        }
    }
}
