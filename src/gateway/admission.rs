//! Who may come in: as many registered devices as the limit allows, and beside them so many that nobody registered. Counts
//! them; takes none in.

use super::Surroundings;
use crate::domain::device::DeviceKey;
use crate::domain::kind::GATEWAY_KIND;
use crate::domain::profile::Reject;

/// How many devices were taken in.
#[derive(Debug, Default)]
pub(super) struct Admission {
    registered: usize,
    unregistered: usize,
}

impl Admission {
    /// Counts `devices` by what `around` says of them.
    pub(super) fn of<'a>(devices: impl Iterator<Item = &'a DeviceKey>, around: &Surroundings) -> Admission {
        let mut admission = Admission::default();
        for key in devices {
            admission.note(key, around);
        }
        admission
    }

    /// Whether `key` may come in. No flood of invented ids keeps a registered device out.
    pub(super) fn check(&self, key: &DeviceKey, around: &Surroundings) -> Result<(), Reject> {
        if around.registry.has(key) {
            if self.registered >= around.max_devices {
                return Err(Reject::TooManyDevices);
            }
        } else if self.unregistered >= around.max_unregistered {
            return Err(Reject::TooManyUnregistered);
        }
        Ok(())
    }

    /// `key` has come in.
    pub(super) fn note(&mut self, key: &DeviceKey, around: &Surroundings) {
        if key.kind == GATEWAY_KIND {
            return;
        }
        if around.registry.has(key) {
            self.registered += 1;
        } else {
            self.unregistered += 1;
        }
    }

    /// How many have come in that nobody registered.
    pub(super) const fn unregistered(&self) -> usize {
        self.unregistered
    }
}
