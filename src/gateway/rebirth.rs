//! What profiles' codecs want to be told again, on its way to the devices. Kept apart from commands: nobody is in danger
//! by one that is lost, and the codec asks again.

use super::Gateway;
use crate::domain::device::DeviceIndex;
use crate::domain::id::Id;
use crate::domain::time::{Millis, Moment, Timestamp};
use crate::handoff::CommandMessage;

/// How long a request is worth sending: soon after, the codec asks anew.
const WORTH: Millis = Millis(5_000);

/// Requests that may wait for the broker beside each other. Of two in one place the later counts.
const PLACES: u32 = 1_024;

/// The id of every request: no command has it, for those are made of the gateway's name and an input's number.
pub(super) const REQUEST: Id = Id::from_bits(0);

impl Gateway {
    /// Hands over the codecs' requests. What finds no room is asked for again with the node's next message.
    pub(super) fn ask(&mut self, now: Moment) {
        let Some(commands) = self.outbound.sender() else {
            return;
        };
        let worth = i64::try_from(WORTH.0).unwrap_or(i64::MAX);
        for request in self.decoder.requests() {
            self.asked = self.asked.wrapping_add(1) % PLACES;
            let message = CommandMessage {
                // No device has a number so high: a request never takes the place of a command.
                device: DeviceIndex(u32::MAX - self.asked),
                id: REQUEST,
                topic: request.topic,
                payload: request.payload.into(),
                expires_at: Timestamp(now.wall.0.saturating_add(worth)),
                opening: None,
            };
            if let Err(refused) = commands.try_send(message) {
                tracing::debug!(%refused, "a rebirth is asked for later");
            }
        }
    }
}
