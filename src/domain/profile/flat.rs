//! Payloads of one device with every value at one place: read straight into one part.

use super::Reject;
use super::devices::SlotId;
use super::json::Sink;
use super::parts::{Parts, RawPart};
use super::wire::field::Field;
use super::wire::scalar::Scalar;
use crate::domain::kind::ONLINE;
use crate::domain::reading::ReadingKind;
use crate::domain::time::ClockBounds;

/// What all payloads of a message have in common.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sender {
    /// Whether the message says nothing but `online`.
    pub(super) only_online: bool,
    /// How far the device's clock may be off.
    pub(super) clock: ClockBounds,
}

impl Sender {
    /// Reads a payload of a device into a part.
    pub(super) fn read(
        self,
        (slot, payload): (Option<SlotId>, &[u8]),
        parts: &mut Parts,
        read: impl FnOnce(&str, &mut Sink<'_>) -> Result<(), Reject>,
    ) -> Result<(), Reject> {
        let text = std::str::from_utf8(payload).map_err(|_| Reject::InvalidUtf8)?;
        let slot = slot.ok_or(Reject::UnknownTopic)?;
        let from = parts.points.len();
        let mut sink = Sink::new(&mut parts.points, self.only_online);
        if let Err(reject) = read(text, &mut sink) {
            // What was read before the bytes went bad is not to be believed either.
            sink.points.truncate(from);
            return Err(reject);
        }
        let usable = sink.close();
        let kind = match (sink.test, sink.history) {
            (true, _) => ReadingKind::Test,
            (false, true) => ReadingKind::History,
            (false, false) => ReadingKind::Live,
        };
        let (device_at, seq, reject) = (sink.device_at, sink.seq, sink.reject);
        if let Some(reject) = reject {
            parts.refuse(reject);
        }
        if !usable {
            return Ok(());
        }
        parts.push(RawPart {
            slot,
            device_at,
            clock: self.clock,
            seq,
            kind,
            parent: None,
            doubtful: false,
            points: (from, parts.points.len()),
            unset: (parts.unset.len(), parts.unset.len()),
        })
    }
}

/// Reads a payload that is one text value.
pub(super) fn read_text(
    message: (Option<SlotId>, &[u8]),
    field: &Field,
    parts: &mut Parts,
) -> Result<(), Reject> {
    let sender = Sender {
        only_online: field.point == ONLINE,
        clock: ClockBounds::default(),
    };
    sender.read(message, parts, |text, sink| {
        sink.point(field, Scalar::Text(text.trim()));
        Ok(())
    })
}
