//! What a message said: its parts, one device and one instant each, and answers to commands. Scratch space.

use super::Reject;
use super::devices::SlotId;
use super::wire::scalar::Scalar;
use crate::domain::kind::PointIndex;
use crate::domain::reading::ReadingKind;
use crate::domain::time::{ClockBounds, Timestamp};

/// The most parts of one message.
const MAX_PARTS: usize = 512;

/// A part, its points and unset points by their places.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct RawPart {
    pub(super) slot: SlotId,
    pub(super) device_at: Option<Timestamp>,
    pub(super) clock: ClockBounds,
    pub(super) seq: Option<u64>,
    pub(super) kind: ReadingKind,
    pub(super) parent: Option<SlotId>,
    /// What it stands for is not certain.
    pub(super) doubtful: bool,
    pub(super) points: (usize, usize),
    pub(super) unset: (usize, usize),
}

/// An answer, the command's id by its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RawAck {
    pub(super) slot: SlotId,
    pub(super) id: Option<(usize, usize)>,
    pub(super) ok: bool,
}

/// Everything that a message said.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub(super) all: Vec<RawPart>,
    pub(super) points: Vec<(PointIndex, f64)>,
    pub(super) unset: Vec<PointIndex>,
    pub(super) acks: Vec<RawAck>,
    pub(super) texts: String,
    /// The first thing that could not be used.
    pub(super) reject: Option<Reject>,
}

impl Parts {
    /// Forgets the last message.
    #[inline]
    pub(super) fn clear(&mut self) {
        self.all.clear();
        self.points.clear();
        self.unset.clear();
        self.acks.clear();
        self.texts.clear();
        self.reject = None;
    }

    /// How much was said.
    pub(super) fn said(&self) -> usize {
        self.all.len() + self.acks.len() + self.points.len()
    }

    /// Notes why something was not used; the first counts.
    pub(super) fn refuse(&mut self, reject: Reject) {
        self.reject.get_or_insert(reject);
    }

    /// Adds a part whose points were put behind all others. It joins the one before when both are of one device and
    /// one instant and share no point.
    #[inline]
    pub(super) fn push(&mut self, mut part: RawPart) -> Result<(), Reject> {
        part.points.1 = self.points.len();
        part.unset.1 = self.unset.len();
        let ordinal = self.all.len();
        let last = self.all.last_mut();
        let last = last.filter(|last| {
            last.slot == part.slot
                && (last.device_at, last.kind, last.parent) == (part.device_at, part.kind, part.parent)
        });
        if let Some(last) = last {
            let adjoins = last.points.1 == part.points.0 && last.unset.1 == part.unset.1;
            let before = self.points.get(last.points.0..last.points.1).unwrap_or_default();
            let own = self.points.get(part.points.0..part.points.1).unwrap_or_default();
            let shares = own
                .iter()
                .any(|(point, _)| before.iter().any(|(other, _)| other == point));
            if adjoins && !shares {
                last.points.1 = part.points.1;
                return Ok(());
            }
        }
        if ordinal >= MAX_PARTS {
            return Err(Reject::TooManyItems(MAX_PARTS));
        }
        // Parts of one message are not repetitions of each other.
        part.seq = part
            .seq
            .map(|seq| seq ^ (ordinal as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        self.all.push(part);
        Ok(())
    }

    /// Adds an answer to a command.
    pub(super) fn acknowledge(&mut self, slot: SlotId, id: Option<Scalar<'_>>, ok: bool) {
        let from = self.texts.len();
        let id = id
            .filter(|id| id.write(&mut self.texts))
            .map(|_| (from, self.texts.len()));
        self.acks.push(RawAck { slot, id, ok });
    }
}
