//! Messages that need more than points at fixed places: items, conditions, fallbacks, bytes, ids of the payload. One
//! pass fills the table, then each item becomes a part. Total; allocates nothing for a good payload of known
//! devices without escapes in its texts.

use super::Reject;
use super::compile::program::Shared;
use super::def::{Form, Packing};
use super::devices::{Devices, SlotId, Spoken};
use super::flat::mute;
use super::parts::{Parts, RawPart};
use super::source::{Condition, Mark, Source, Value, View, all};
use super::table::Table;
use super::text::{Origin, TextTemplate, sound};
use super::topic::Ranges;
use super::unpack::Unread;
use super::wire::field::Field;
use super::wire::scalar::{Scalar, bad_value, read_seq};
use super::wire::time::TimeForm;
use crate::domain::kind::ONLINE;
use crate::domain::reading::ReadingKind;
use crate::domain::time::{ClockBounds, Timestamp};

/// A compiled message for one kind.
#[derive(Debug)]
pub(super) struct General {
    pub(super) form: Form,
    /// The number of the plan by which payloads are read before.
    pub(super) plan: usize,
    /// The scope of its items.
    pub(super) leaf: usize,
    /// Whether it reads what has been unpacked.
    pub(super) unpacks: bool,
    pub(super) conditions: Vec<Condition>,
    pub(super) same: Vec<(Source, TextTemplate)>,
    pub(super) captures: Vec<Source>,
    pub(super) device: TextTemplate,
    pub(super) parent: Option<Parent>,
    pub(super) name: Option<TextTemplate>,
    pub(super) time: Option<TimeRule>,
    pub(super) test: Option<Mark>,
    pub(super) history: Option<Mark>,
    pub(super) reading: Option<ReadingKind>,
    pub(super) seq: Option<Source>,
    pub(super) points: Vec<PointRule>,
    pub(super) ack: Option<AckRule>,
    pub(super) clock: ClockBounds,
    /// Whether it maps nothing but `online`.
    pub(super) only_online: bool,
}

/// A compiled point.
#[derive(Debug)]
pub(super) struct PointRule {
    pub(super) name: String,
    /// Whether a mapping before it is of the same point.
    pub(super) again: bool,
    pub(super) source: Source,
    pub(super) conditions: Vec<Condition>,
    pub(super) default: Option<f64>,
    pub(super) null_unsets: bool,
    pub(super) field: Field,
}

/// A compiled time.
#[derive(Debug)]
pub(super) struct TimeRule {
    pub(super) source: Source,
    pub(super) base: Option<Source>,
    pub(super) form: TimeForm,
}

/// The device above.
#[derive(Debug)]
pub(super) struct Parent {
    pub(super) kind: usize,
    pub(super) device: TextTemplate,
}

/// A compiled answer to a command.
#[derive(Debug)]
pub(super) struct AckRule {
    pub(super) id: Option<Source>,
    pub(super) ok: Option<Mark>,
}

/// Space that is kept from message to message.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    table: Table,
    /// The texts of the payload's captures, and of a template.
    names: Vec<Option<(usize, usize)>>,
    texts: String,
    id: String,
}

/// A message and who may be speaking.
#[derive(Debug, Clone, Copy)]
pub(super) struct Speech<'m> {
    /// The topic.
    pub(super) topic: &'m str,
    /// What was taken from it.
    pub(super) captures: &'m Ranges,
    /// The device, when the topic alone says it.
    pub(super) slot: Option<SlotId>,
    /// Where devices named by the payload stand.
    pub(super) place: &'m Spoken,
    /// Its parent, when the topic alone says it.
    pub(super) parent: Option<SlotId>,
    /// The points' places, when the topic names its point.
    pub(super) chosen: Option<&'m [usize]>,
}

impl<'m> Speech<'m> {
    const fn view<'v>(&self, table: &'v Table, row: usize) -> View<'v>
    where
        'm: 'v,
    {
        View {
            table,
            row,
            topic: self.topic,
            captures: self.captures,
        }
    }
}

impl Scratch {
    /// Reads a payload by `plan`, for all messages that share it. An error: nothing of it can be used.
    pub(super) fn scan(&mut self, Shared { plan, form }: &Shared, payload: &[u8]) -> Result<(), Reject> {
        let table = &mut self.table;
        if *form == Form::Packed(Packing::Bytes) {
            return plan.value(Scalar::Bytes(payload), Some(Packing::Bytes), table);
        }
        let text = std::str::from_utf8(payload).map_err(|_| Reject::InvalidUtf8)?;
        match form {
            Form::Json => plan.json(text, table),
            Form::Text => plan.value(Scalar::Text(text.trim()), None, table),
            Form::Packed(packing) => plan.value(Scalar::Text(text), Some(*packing), table),
        }
    }
}

impl General {
    /// Turns what was read of a payload into `parts`. An error: nothing of it can be used.
    pub(super) fn read(
        &self,
        speech: Speech<'_>,
        scratch: &mut Scratch,
        devices: &mut Devices,
        parts: &mut Parts,
    ) -> Result<(), Reject> {
        let Scratch {
            table,
            names,
            texts,
            id,
        } = scratch;
        if self.unpacks
            && let Some(unread) = &table.unread
        {
            return if self.is_meant(speech, table, unread) {
                Err(unread.reject())
            } else {
                Ok(())
            };
        }
        for row in (0..table.len()).filter(|row| table.scope(*row) == self.leaf) {
            let view = speech.view(table, row);
            if !all(&self.conditions, &view) {
                continue;
            }
            self.note_captures(&view, names, texts);
            let named = Named { view, names, texts };
            let outcome = self.item(speech, &named, id, (devices, parts));
            if let Err(reject) = outcome {
                parts.refuse(reject);
            }
        }
        Ok(())
    }

    /// Whether a text that did not unpack is this message's trouble. It is none to a message whose conditions are about
    /// what stands beside it, and do not hold.
    fn is_meant(&self, speech: Speech<'_>, table: &Table, unread: &Unread) -> bool {
        if self.form != Form::Json || self.conditions.is_empty() || !unread.is_value() {
            return true;
        }
        (0..table.len())
            .filter(|row| table.scope(*row) == self.leaf)
            .any(|row| all(&self.conditions, &speech.view(table, row)))
    }

    fn note_captures(&self, view: &View<'_>, names: &mut Vec<Option<(usize, usize)>>, texts: &mut String) {
        names.clear();
        texts.clear();
        for source in &self.captures {
            let from = texts.len();
            let found = match source.value(view) {
                Value::Absent | Value::Short => false,
                Value::Found(scalar) => scalar.write(texts),
            };
            names.push(found.then_some((from, texts.len())));
        }
    }

    /// One item: an error says why it is not used.
    fn item(
        &self,
        speech: Speech<'_>,
        named: &Named<'_>,
        id: &mut String,
        (devices, parts): (&mut Devices, &mut Parts),
    ) -> Result<(), Reject> {
        for (source, template) in &self.same {
            named.check(source, template, id)?;
        }
        let slot = if let Some(slot) = speech.slot {
            slot
        } else {
            named.write(&self.device, id)?;
            if let Some(slot) = devices.known(speech.place, id) {
                slot
            } else {
                sound(id)?;
                devices.child(speech.place, id, |place| named.payload(place))?
            }
        };
        let parent = match (&self.parent, speech.parent) {
            (None, _) => None,
            (Some(_), Some(parent)) => Some(parent),
            (Some(parent), None) => {
                // Through whom it speaks is worth less than what it says.
                let found = named
                    .id(&parent.device, id)
                    .and_then(|()| devices.relative(speech.place, parent.kind, id));
                found.ok()
            }
        };
        if let Some(ack) = &self.ack {
            ack.read(&named.view, slot, parts)?;
            if self.points.is_empty() {
                return Ok(());
            }
        }
        let rules = self.points.iter();
        match (&self.name, speech.chosen) {
            (None, _) => self.say(named, (slot, parent), rules, parts),
            (Some(_), Some(chosen)) => {
                let rules = chosen.iter().filter_map(|at| self.points.get(*at));
                self.say(named, (slot, parent), rules, parts)
            }
            (Some(template), None) => {
                named.write(template, id)?;
                let name = id.as_str();
                self.say(
                    named,
                    (slot, parent),
                    rules.filter(|rule| rule.name == name),
                    parts,
                )
            }
        }
    }

    /// The place of the point, when a payload is one text value and `chosen` the one point that it can be.
    pub(super) fn bare(&self, chosen: &[usize]) -> Option<usize> {
        let [at] = chosen else {
            return None;
        };
        let rule = self.points.get(*at)?;
        let plain = self.form == Form::Text
            && self.leaf == 0
            && self.conditions.is_empty()
            && self.same.is_empty()
            && self.captures.is_empty()
            && self.parent.is_none()
            && self.time.is_none()
            && self.test.is_none()
            && self.history.is_none()
            && self.reading.is_none()
            && self.seq.is_none()
            && self.ack.is_none()
            && rule.conditions.is_empty()
            && rule.source.is_item();
        plain.then_some(*at)
    }

    /// The places of the points called `name`.
    pub(super) fn called(&self, name: &str) -> Box<[usize]> {
        let all = self.points.iter().enumerate();
        all.filter(|(_, rule)| rule.name == name)
            .map(|(at, _)| at)
            .collect()
    }

    /// What all points of an item share.
    fn part(&self, view: &View<'_>, slot: SlotId, parent: Option<SlotId>, parts: &mut Parts) -> RawPart {
        let kind = match self.reading {
            Some(kind) => kind,
            None if mark(self.test.as_ref(), "test", view, parts) => ReadingKind::Test,
            None if mark(self.history.as_ref(), "history", view, parts) => ReadingKind::History,
            None => ReadingKind::Live,
        };
        RawPart {
            slot,
            device_at: self.time.as_ref().and_then(|time| time.read(view, parts)),
            clock: self.clock,
            seq: self.seq(view, parts),
            kind,
            parent,
            doubtful: false,
            points: (parts.points.len(), parts.points.len()),
            unset: (parts.unset.len(), parts.unset.len()),
        }
    }

    fn seq(&self, view: &View<'_>, parts: &mut Parts) -> Option<u64> {
        let scalar = match self.seq.as_ref()?.value(view) {
            Value::Absent | Value::Short | Value::Found(Scalar::Null) => return None,
            Value::Found(scalar) => scalar,
        };
        let seq = read_seq(scalar);
        if seq.is_none() {
            parts.refuse(bad_value("seq", "a whole number of 64 bits or a text", scalar));
        }
        seq
    }

    /// The points of an item by `rules`; none of a message that names its point: nothing is said. Of several mappings of
    /// one point the first that says something counts.
    fn say<'r>(
        &self,
        named: &Named<'_>,
        (slot, parent): (SlotId, Option<SlotId>),
        rules: impl Iterator<Item = &'r PointRule>,
        parts: &mut Parts,
    ) -> Result<(), Reject> {
        let mut rules = rules.peekable();
        if self.name.is_some() && rules.peek().is_none() {
            return Ok(());
        }
        let view = &named.view;
        let part = self.part(view, slot, parent, parts);
        let (from, unset_from) = (part.points.0, part.unset.0);
        let mut online_lost = self.only_online;
        for rule in rules {
            let point = rule.field.point;
            let said = |parts: &Parts| {
                parts.points.iter().skip(from).any(|(other, _)| *other == point)
                    || parts.unset.iter().skip(unset_from).any(|other| *other == point)
            };
            if (rule.again && said(parts)) || !all(&rule.conditions, view) {
                continue;
            }
            let read = match rule.source.value(view) {
                Value::Absent => Ok(rule.default),
                Value::Short => Err(rule.field.bad("bytes up to its field", Scalar::Null)),
                Value::Found(Scalar::Null) if rule.null_unsets => {
                    parts.unset.push(point);
                    continue;
                }
                Value::Found(scalar) => {
                    if let Some(value) = rule.field.quick(scalar) {
                        parts.points.push((point, value));
                        continue;
                    }
                    rule.field.read(scalar)
                }
            };
            match read {
                Ok(Some(value)) => parts.points.push((point, value)),
                Ok(None) => {}
                Err(reject) => {
                    online_lost |= point == ONLINE;
                    parts.refuse(reject);
                }
            }
        }
        if online_lost && parts.points.len() == from && parts.unset.len() == unset_from {
            return Err(mute());
        }
        parts.push(part)
    }
}

/// An unreadable mark counts as absent: a reading taken as live is acted upon, which is the safe side.
fn mark(mark: Option<&Mark>, name: &str, view: &View<'_>, parts: &mut Parts) -> bool {
    match mark.map(|mark| mark.read(name, view)) {
        None | Some(Ok(None)) => false,
        Some(Ok(Some(set))) => set,
        Some(Err(reject)) => {
            parts.refuse(reject);
            false
        }
    }
}

impl TimeRule {
    fn read(&self, view: &View<'_>, parts: &mut Parts) -> Option<Timestamp> {
        let found = |source: &Source| match source.value(view) {
            Value::Absent | Value::Found(Scalar::Null) => None,
            Value::Short => Some(Scalar::Null),
            Value::Found(scalar) => Some(scalar),
        };
        let scalar = match (found(&self.source), self.base.as_ref().and_then(found)) {
            (None, None) => return None,
            (Some(scalar), None) | (None, Some(scalar)) => scalar,
            (Some(own), Some(base)) => {
                let sum = own
                    .parsed_number()
                    .zip(base.parsed_number())
                    .map(|(own, base)| own + base);
                sum.map_or(Scalar::Null, Scalar::Float)
            }
        };
        let at = self.form.read(scalar);
        if at.is_none() {
            parts.refuse(bad_value("ts", self.form.wanted(), scalar));
        }
        at
    }
}

impl AckRule {
    fn read(&self, view: &View<'_>, slot: SlotId, parts: &mut Parts) -> Result<(), Reject> {
        let id = match self.id.as_ref().map(|id| id.value(view)) {
            None => None,
            Some(Value::Found(scalar)) if !scalar.is_null() => Some(scalar),
            Some(Value::Found(_) | Value::Absent | Value::Short) => {
                return Err(Reject::BadValue {
                    point: "ack".to_owned(),
                    problem: "the answer does not say to which command".to_owned(),
                });
            }
        };
        let ok = match &self.ok {
            None => true,
            Some(ok) => ok.read("ok", view)?.unwrap_or(false),
        };
        parts.acknowledge(slot, id, ok);
        Ok(())
    }
}

/// An item and the texts of the payload's captures.
struct Named<'v> {
    view: View<'v>,
    names: &'v [Option<(usize, usize)>],
    texts: &'v str,
}

impl<'v> Named<'v> {
    fn payload(&self, place: usize) -> Option<&'v str> {
        let (from, to) = (*self.names.get(place)?)?;
        self.texts.get(from..to)
    }

    fn write(&self, template: &TextTemplate, into: &mut String) -> Result<(), Reject> {
        into.clear();
        template
            .write(into, |origin| match origin {
                Origin::Topic(place) => self.view.captured(place),
                Origin::Payload(place) => self.payload(place),
            })
            .ok_or_else(|| {
                Reject::BadIdentity(
                    "the payload lacks a part of it, or the part contains its separator".to_owned(),
                )
            })
    }

    fn id(&self, template: &TextTemplate, into: &mut String) -> Result<(), Reject> {
        self.write(template, into)?;
        sound(into)
    }

    /// One device cannot speak for another: what the payload says of itself is what the topic says.
    fn check(&self, source: &Source, template: &TextTemplate, scratch: &mut String) -> Result<(), Reject> {
        let scalar = match source.value(&self.view) {
            Value::Absent | Value::Short | Value::Found(Scalar::Null) => return Ok(()),
            Value::Found(scalar) => scalar,
        };
        self.write(template, scratch)?;
        let split = scratch.len();
        let said = scalar.write(scratch);
        let (topic, payload) = scratch.split_at(split);
        if said && topic.eq_ignore_ascii_case(payload) {
            return Ok(());
        }
        Err(Reject::BadIdentity(
            "the payload names another device than the topic".to_owned(),
        ))
    }
}
