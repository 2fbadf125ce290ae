//! Payloads of one device with every value at one place: read straight into one part.

use super::Reject;
use super::devices::SlotId;
use super::json::Sink;
use super::parts::{Parts, RawPart};
use super::wire::field::Field;
use super::wire::scalar::Scalar;
use crate::domain::kind::{ONLINE, ONLINE_NAME};
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

/// Reads a payload that is one plainly good text value of a message that says nothing else; `false`: it is none.
#[inline]
pub(super) fn read_quickly(slot: SlotId, payload: &[u8], field: &Field, parts: &mut Parts) -> bool {
    let text = std::str::from_utf8(payload).ok();
    let Some(value) = text.and_then(|text| field.quick_text(text)) else {
        return false;
    };
    parts.points.push((field.point, value));
    let mut part = bare(slot, 0);
    part.points.1 = 1;
    parts.all.push(part);
    true
}

/// Reads a payload that is one text value, of a message that says nothing but `online` or more.
#[inline]
pub(super) fn read_text(
    (slot, payload): (Option<SlotId>, &[u8]),
    (field, only_online): (&Field, bool),
    parts: &mut Parts,
) -> Result<(), Reject> {
    let text = std::str::from_utf8(payload).map_err(|_| Reject::InvalidUtf8)?;
    let slot = slot.ok_or(Reject::UnknownTopic)?;
    let from = parts.points.len();
    match field.read(Scalar::Text(text.trim())) {
        Ok(Some(value)) => parts.points.push((field.point, value)),
        Ok(None) if only_online => return Err(mute()),
        Ok(None) => {}
        // It may have meant that the device is gone: that is no sign of life.
        Err(reject) if only_online || field.point == ONLINE => return Err(reject),
        Err(reject) => parts.refuse(reject),
    }
    let unset = parts.unset.len();
    parts.push(RawPart {
        unset: (unset, unset),
        ..bare(slot, from)
    })
}

/// A part of a device without any time, whose points begin at `from`.
fn bare(slot: SlotId, from: usize) -> RawPart {
    RawPart {
        slot,
        device_at: None,
        clock: ClockBounds::default(),
        seq: None,
        kind: ReadingKind::Live,
        parent: None,
        doubtful: false,
        points: (from, from),
        unset: (0, 0),
    }
}

/// The rejection of a message that is about `online` and does not say it.
pub(super) fn mute() -> Reject {
    Reject::BadValue {
        point: ONLINE_NAME.to_owned(),
        problem: "the message does not say".to_owned(),
    }
}
