//! What happens to a device beside its alarms: it is taken out of service, put back, and moves. Facts for the event chain; nobody
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
    /// It moved or was renamed: who it was before.
    Moved(Arc<DeviceKey>),
    /// Somebody registered it over the API, or described it anew.
    Registered(Operator),
    /// Somebody took it out of use over the API.
    Retired(Operator),
}

impl DeviceStep {
    /// The event's type, for example `device.in_service`.
    pub const fn event_type(&self) -> &'static str {
        match self {
            DeviceStep::OutOfService(_) => "device.out_of_service",
            DeviceStep::InService(_) => "device.in_service",
            DeviceStep::Moved(_) => "device.moved",
            DeviceStep::Registered(_) => "device.registered",
            DeviceStep::Retired(_) => "device.retired",
        }
    }

    /// The person behind it, if there is one.
    pub const fn operator(&self) -> Option<&Operator> {
        match self {
            DeviceStep::OutOfService(pause) => Some(&pause.operator),
            DeviceStep::InService(operator) => operator.as_ref(),
            DeviceStep::Registered(operator) | DeviceStep::Retired(operator) => Some(operator),
            DeviceStep::Moved(_) => None,
        }
    }

    /// Until when it lasts, as foreseen.
    pub const fn until(&self) -> Option<Timestamp> {
        match self {
            DeviceStep::OutOfService(pause) => Some(pause.until),
            DeviceStep::InService(_)
            | DeviceStep::Moved(_)
            | DeviceStep::Registered(_)
            | DeviceStep::Retired(_) => None,
        }
    }

    /// Who the device was before, if that is what happened.
    pub fn from(&self) -> Option<&DeviceKey> {
        match self {
            DeviceStep::Moved(from) => Some(from),
            DeviceStep::OutOfService(_)
            | DeviceStep::InService(_)
            | DeviceStep::Registered(_)
            | DeviceStep::Retired(_) => None,
        }
    }
}
