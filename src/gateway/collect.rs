//! What the engine wants done, put into words for the open batch. After the commands went out, for it takes longer than they
//! do.

use bytes::Bytes;

use super::{Gateway, GatewayError};
use crate::domain::device::DeviceKey;
use crate::domain::notice::{AlarmBody, DeviceEventBody, EventBody};
use crate::domain::profile::Reject;
use crate::handoff::{AlarmCommit, DeadLetter, DeviceCommit, Envelope, KEPT_PAYLOAD, SeenDevice};

impl Gateway {
    /// Puts what the engine wants done into the open batch.
    pub(super) fn collect(&mut self) -> Result<(), GatewayError> {
        self.give_up_unwritable(self.open.journal.last())?;
        self.metrics
            .rule_evaluations
            .inc_by(std::mem::take(&mut self.effects.evaluations));
        self.metrics
            .readings_repeated
            .inc_by(std::mem::take(&mut self.effects.repetitions));
        let effects = &mut self.effects;
        self.open.keep(&mut effects.points, &mut effects.samples)?;
        for moved in effects.moved.drain(..) {
            self.open.seen(SeenDevice {
                number: moved.device,
                key: DeviceKey::clone(&moved.key),
                at: moved.at,
            });
        }
        let around = &self.surroundings;
        for event in self.effects.devices.drain(..) {
            let body = DeviceEventBody::new(&event, &around.registry, &around.id);
            let body = serde_json::to_string(&body)?;
            self.open.device(DeviceCommit { event, body });
        }
        let way = around.way();
        let moment = self.open.journal.last();
        for event in self.effects.alarms.drain(..) {
            let owed = self.escalations.follow(&event, way, moment);
            let alarm_body = AlarmBody::new(&event.alarm, &around.registry);
            let alarm = serde_json::to_string(&alarm_body)?;
            let body = EventBody::new(&event, &alarm_body, &around.id, &around.public_url);
            let body = serde_json::to_string(&body)?;
            self.open.alarm(AlarmCommit {
                event,
                alarm,
                body,
                owed,
            });
        }
        self.collect_commands()?;
        self.open.escalated(self.escalations.changes()?);
        Ok(())
    }

    pub(super) fn bury(&mut self, envelope: Envelope, reject: Reject) {
        self.metrics.dead_letter(&reject);
        let kept = envelope.payload.get(..KEPT_PAYLOAD).unwrap_or(&envelope.payload);
        self.open.dead_letter(DeadLetter {
            at: envelope.received.wall,
            topic: envelope.topic,
            size: envelope.oversize.unwrap_or(envelope.payload.len()),
            // A copy: the bytes of a read share their memory, and all of it would wait for the disk.
            payload: Bytes::copy_from_slice(kept),
            reject,
        });
    }
}
