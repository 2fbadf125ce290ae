//! A payload of a known topic → what each of its messages says. Of a payload that several read, one pass.

use super::Reject;
use super::compile::Compiled;
use super::compile::program::Body;
use super::devices::{Devices, SlotId};
use super::flat::read_text;
use super::follow::{Speaker, Topic};
use super::general::{Scratch, Speech};
use super::parts::Parts;
use super::wire::field::Field;

/// A payload, and what reading it takes.
pub(super) struct Hearing<'h> {
    pub(super) compiled: &'h Compiled,
    pub(super) topic: &'h Topic,
    pub(super) payload: &'h [u8],
    pub(super) devices: &'h mut Devices,
    pub(super) scratch: &'h mut Scratch,
    pub(super) parts: &'h mut Parts,
    /// The plan that the scratch space was filled by, and why that did not go well.
    pub(super) scanned: Option<usize>,
    pub(super) broken: Option<Reject>,
}

/// The one text value that a topic brings to one device, if that is all: where it goes.
pub(super) fn quick<'c>(compiled: &'c Compiled, topic: &Topic) -> Option<(SlotId, &'c Field)> {
    let [speaker] = topic.speakers.as_slice() else {
        return None;
    };
    let program = compiled.programs.get(speaker.program)?;
    let field = match (&program.body, &speaker.place) {
        (Body::Text(field), _) => field,
        (Body::General(general), Some(placed)) => &general.points.get(placed.bare?)?.field,
        (Body::General(_), None) | (Body::Flat { .. }, _) => return None,
    };
    Some((speaker.slot?, field))
}

impl Hearing<'_> {
    /// Hears all speakers of the topic; why nothing was used, if nothing was.
    pub(super) fn all(&mut self) -> Option<Reject> {
        let topic = self.topic;
        if let [speaker] = topic.speakers.as_slice() {
            let failed = self.one(speaker).err();
            return failed.or_else(|| self.parts.reject.take());
        }
        // The form of a message that said something, and what went wrong with one that did not.
        let (mut said, mut failed) = (None, None);
        for speaker in &topic.speakers {
            let Some(program) = self.compiled.programs.get(speaker.program) else {
                continue;
            };
            let before = self.parts.said();
            let earlier = self.parts.reject.take();
            let outcome = self.one(speaker);
            let own = outcome.err().or(self.parts.reject.take());
            self.parts.reject = earlier;
            if self.parts.said() > before {
                said.get_or_insert(program.form);
                if let Some(reject) = own {
                    self.parts.refuse(reject);
                }
            } else if let Some(reject) = own {
                failed.get_or_insert((reject, program.form));
            }
        }
        // A payload that is of one form cannot be of another too.
        let failed = failed.filter(|(_, form)| said.is_none_or(|said| said == *form));
        self.parts.reject.take().or(failed.map(|(reject, _)| reject))
    }

    fn one(&mut self, speaker: &Speaker) -> Result<(), Reject> {
        let program = self.compiled.programs.get(speaker.program);
        let program = program.ok_or(Reject::UnknownTopic)?;
        let message = (speaker.slot, self.payload);
        let (general, placed) = match (&program.body, &speaker.place) {
            (Body::Flat { root, sender }, _) => {
                return sender.read(message, self.parts, |text, sink| root.read(text, sink));
            }
            (Body::Text(field), _) => return read_text(message, (field, field.is_online()), self.parts),
            (Body::General(general), Some(placed)) => (general, placed),
            (Body::General(_), None) => return Err(Reject::UnknownTopic),
        };
        let bare = placed.bare.and_then(|at| general.points.get(at));
        if let Some(rule) = bare {
            return read_text(message, (&rule.field, general.only_online), self.parts);
        }
        // Messages that share a plan stand beside each other mostly.
        if self.scanned != Some(general.plan) {
            let shared = self.compiled.plans.get(general.plan);
            let shared = shared.ok_or(Reject::UnknownTopic)?;
            self.scanned = Some(general.plan);
            self.broken = self.scratch.scan(shared, self.payload).err();
        }
        if let Some(reject) = &self.broken {
            return Err(reject.clone());
        }
        let speech = Speech {
            topic: &self.topic.text,
            captures: &self.topic.captures,
            slot: speaker.slot,
            place: &placed.spoken,
            parent: placed.parent,
            chosen: placed.chosen.as_deref(),
        };
        general.read(speech, self.scratch, self.devices, self.parts)
    }
}
