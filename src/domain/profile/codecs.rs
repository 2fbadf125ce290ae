//! Profiles with a codec in the place of messages: Sparkplug B. Brings what a codec says to the devices it speaks of.

use std::sync::Arc;

use super::Reject;
use super::command::Outgoing;
use super::def::ProfileDef;
use super::devices::{Devices, SlotId, Spoken};
use super::parts::{Parts, RawPart};
use super::sparkplug::{Line, Sparkplug};
use crate::domain::kind::Kind;
use crate::domain::time::{ClockBounds, Moment};

/// The codecs of all profiles that have one.
#[derive(Debug)]
pub(super) struct Codecs(Vec<Codec>);

#[derive(Debug)]
struct Codec {
    /// The place of its profile.
    profile: usize,
    clock: ClockBounds,
    sparkplug: Sparkplug,
    /// By kind: where its devices stand.
    spoken: Vec<Spoken>,
    /// By the codec's numbers: the devices found so far.
    slots: Vec<Option<SlotId>>,
}

/// A topic that a codec reads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Coded {
    codec: usize,
    line: Line,
}

impl Codecs {
    /// The codecs of `profiles`, which have been compiled without error.
    pub(super) fn new(profiles: &[ProfileDef], kinds: &[Kind], devices: &mut Devices) -> Codecs {
        let codec = |(profile, def): (usize, &ProfileDef)| {
            // No program has this number: a codec's devices are learnt apart.
            let place = devices.place(usize::MAX - profile, None);
            let spoken = |kind| Spoken {
                place,
                kind,
                venue: None,
                address: None,
                names: Arc::from([]),
            };
            Some(Codec {
                profile,
                clock: def.clock,
                sparkplug: Sparkplug::new(def.sparkplug.as_ref()?, kinds).ok()?,
                spoken: (0..kinds.len()).map(spoken).collect(),
                slots: Vec::new(),
            })
        };
        Codecs(profiles.iter().enumerate().filter_map(codec).collect())
    }

    /// What `topic` is to the codec of the profile at `profile`: `Ok(None)` for what is not for us, `None` for what is
    /// none of its topics.
    pub(super) fn resolve(&mut self, profile: usize, topic: &str) -> Option<Result<Option<Coded>, Reject>> {
        let mut codecs = self.0.iter_mut().enumerate();
        let (at, codec) = codecs.find(|(_, codec)| codec.profile == profile)?;
        let resolved = codec.sparkplug.resolve(topic)?;
        Some(resolved.map(|line| line.map(|line| Coded { codec: at, line })))
    }

    /// Reads a payload into `parts`.
    pub(super) fn read(
        &mut self,
        Coded { codec: at, line }: Coded,
        (payload, now): (&[u8], Moment),
        devices: &mut Devices,
        parts: &mut Parts,
    ) -> Result<(), Reject> {
        let codec = self.0.get_mut(at).ok_or(Reject::UnknownTopic)?;
        if let Some(reject) = codec.sparkplug.receive(line, payload, now) {
            parts.refuse(reject);
        }
        for part in codec.sparkplug.parts() {
            let at = part.subject.0 as usize;
            if codec.slots.len() <= at {
                codec.slots.resize(at + 1, None);
            }
            let slot = if let Some(slot) = codec.slots.get(at).copied().flatten() {
                slot
            } else {
                let subject = codec
                    .sparkplug
                    .subject(part.subject)
                    .ok_or(Reject::UnknownTopic)?;
                let spoken = codec.spoken.get(subject.kind).ok_or(Reject::UnknownTopic)?;
                devices.child(spoken, &subject.id, |_| None)?
            };
            if let Some(place) = codec.slots.get_mut(at) {
                *place = Some(slot);
            }
            let from = parts.points.len();
            parts.points.extend_from_slice(codec.sparkplug.points(part));
            // Not joined to another: the codec has cut them.
            parts.all.push(RawPart {
                slot,
                device_at: part.device_at,
                clock: codec.clock,
                seq: None,
                kind: part.kind,
                parent: None,
                doubtful: part.doubtful,
                points: (from, parts.points.len()),
                unset: (0, 0),
            });
        }
        Ok(())
    }

    /// The devices found so far have been forgotten.
    pub(super) fn forget(&mut self) {
        for codec in &mut self.0 {
            codec.slots.clear();
        }
    }

    /// Messages may have been missed.
    pub(super) fn interrupted(&mut self, now: Moment) {
        for codec in &mut self.0 {
            codec.sparkplug.interrupted(now);
        }
    }

    /// What is to be published; each is given once.
    pub(super) fn requests(&mut self) -> impl Iterator<Item = Outgoing> + '_ {
        self.0.iter_mut().flat_map(|codec| codec.sparkplug.requests())
    }
}
