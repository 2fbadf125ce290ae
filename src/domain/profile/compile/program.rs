//! One message for one kind → a program: the short one for points at fixed places, else the general one.

use std::sync::Arc;

use super::nearest;
use crate::domain::kind::{Kind, ONLINE};
use crate::domain::profile::command::Address;
use crate::domain::profile::def::{
    AckDef, ConditionDef, Form, MarkDef, MessageDef, Packing, ParentDef, PointMap, ProfileDef, SourceDef,
    TimeDef,
};
use crate::domain::profile::general::{AckRule, General, Parent, PointRule};
use crate::domain::profile::json::{Node, Target};
use crate::domain::profile::place::{path, steps};
use crate::domain::profile::plan::Plan;
use crate::domain::profile::source::{Condition, Mark, Source};
use crate::domain::profile::text::{Origin, TextTemplate};
use crate::domain::profile::topic::Template;
use crate::domain::profile::wire::field::Field;
use crate::domain::profile::wire::time::TimeForm;
use crate::domain::time::ClockBounds;

/// How a payload is read, for one message and one kind.
#[derive(Debug)]
pub(in crate::domain::profile) struct Program {
    /// How.
    pub(in crate::domain::profile) body: Body,
    /// How devices of the message are spoken to, without what their topics say; `None`: they are not.
    pub(in crate::domain::profile) address: Option<Address>,
    /// The names of the payload's captures.
    pub(in crate::domain::profile) names: Arc<[String]>,
}

/// The ways to read a payload.
#[derive(Debug)]
pub(in crate::domain::profile) enum Body {
    /// A JSON object of one device with points at fixed places.
    Flat {
        /// What is where.
        root: Node,
        /// Whether it maps nothing but `online`.
        only_online: bool,
        /// How far the device's clock may be off.
        clock: ClockBounds,
    },
    /// One text value of one device.
    Text(Field),
    /// Everything else.
    General(Box<General>),
}

/// What is wrong: the point spoken of, the problem, what was probably meant.
pub(super) type Problem = (Option<String>, String, Option<String>);

/// A message to be compiled.
#[derive(Debug, Clone, Copy)]
pub(super) struct Draft<'d> {
    pub(super) profile: &'d ProfileDef,
    pub(super) message: &'d MessageDef,
    pub(super) template: &'d Template,
    pub(super) kinds: &'d [Kind],
    pub(super) kind: &'d Kind,
}

impl Draft<'_> {
    /// The program. Every problem at once.
    pub(super) fn compile(self) -> Result<Program, Vec<Problem>> {
        let mut problems = Vec::new();
        let body = match self.message.form {
            Form::Text if self.is_flat() => self.text(&mut problems),
            Form::Json if self.is_flat() => self.flat(&mut problems),
            Form::Text | Form::Json | Form::Packed(_) => self.general(&mut problems),
        };
        match body {
            Some(body) if problems.is_empty() => Ok(Program {
                body,
                address: self.address(),
                names: self.message.capture.iter().map(|(name, _)| name.clone()).collect(),
            }),
            Some(_) | None => Err(problems),
        }
    }

    fn address(self) -> Option<Address> {
        let for_kind = |kind: &Option<String>| kind.as_ref().is_none_or(|kind| *kind == self.kind.id);
        let spoken_to = self.profile.commands.iter().any(|command| for_kind(&command.kind));
        spoken_to.then(|| Address::of(&self.profile.name))
    }

    /// Whether every value is at one place of the payload itself, and everything else is the topic's.
    fn is_flat(self) -> bool {
        let MessageDef {
            topic: _,
            except: _,
            kind: _,
            venue: _,
            device: _,
            parent,
            trust_payload_ids: _,
            capture,
            same,
            form,
            unpack,
            tags,
            records,
            each,
            conditions,
            name,
            time,
            test,
            history,
            reading,
            seq,
            by_name,
            points,
            ack,
        } = self.message;
        let one = |source: &SourceDef| {
            source.bytes.is_none() && matches!(source.at.as_slice(), [at] if at.starts_with('/'))
        };
        let plain = |mark: &Option<MarkDef>| mark.as_ref().is_none_or(|mark| mark.is.is_empty() && one(&mark.source));
        let simple = |map: &PointMap| {
            map.conditions.is_empty() && map.default.is_none() && !map.null_unsets && map.name.is_none()
        };
        let repeated = points
            .iter()
            .enumerate()
            .any(|(at, map)| points.iter().take(at).any(|other| other.point == map.point));
        let bare = parent.is_none()
            && capture.is_empty()
            && same.is_empty()
            && unpack.is_empty()
            && tags.is_empty()
            && records.is_none()
            && each.is_none()
            && conditions.is_empty()
            && name.is_none()
            && self.template.place("point").is_none()
            && reading.is_none()
            && ack.is_none()
            && !repeated
            && points.iter().all(simple);
        bare && match form {
            Form::Json => {
                time.as_ref().is_none_or(|time| one(&time.source))
                    && plain(test)
                    && plain(history)
                    && (seq.is_empty() || matches!(seq.as_slice(), [at] if at.starts_with('/')))
                    && points.iter().all(|map| one(&map.source))
            }
            Form::Text => {
                time.is_none()
                    && test.is_none()
                    && history.is_none()
                    && seq.is_empty()
                    && !by_name
                    && matches!(points.as_slice(), [map] if map.source == SourceDef::default())
            }
            Form::Packed(_) => false,
        }
    }

    fn text(self, problems: &mut Vec<Problem>) -> Option<Body> {
        let map = self.message.points.first()?;
        Some(Body::Text(self.field(map, problems)?))
    }

    fn flat(self, problems: &mut Vec<Problem>) -> Option<Body> {
        let mut root = Node::default();
        let message = self.message;
        let place = |source: &SourceDef| source.at.first().cloned().unwrap_or_default();
        let mut marks: Vec<(String, Target)> = Vec::new();
        if let Some(time) = &message.time
            && let Some(form) = time_form(time, problems)
        {
            marks.push((place(&time.source), Target::Time(form)));
        }
        marks.extend(message.test.as_ref().map(|mark| (place(&mark.source), Target::Test)));
        marks.extend(message.history.as_ref().map(|mark| (place(&mark.source), Target::History)));
        marks.extend(message.seq.first().map(|at| (at.clone(), Target::Seq)));
        for (at, target) in marks {
            note(None, root.insert(&at, target), problems);
        }
        for map in &message.points {
            if let Some(field) = self.field(map, problems) {
                let inserted = root.insert(&place(&map.source), Target::Point(field));
                note(Some(&map.point), inserted, problems);
            }
        }
        // `online` is ours: it comes from a mapped message, never from a member of that name.
        let mapped = |id: &str| message.points.iter().any(|map| map.point == id);
        let free = self.kind.points().filter(|(index, def)| *index != ONLINE && !mapped(&def.id));
        for (index, def) in free.filter(|_| message.by_name) {
            root.insert_member(&def.id, Target::Point(Field::plain(index, def)));
        }
        Some(Body::Flat {
            only_online: root.only_online(),
            clock: self.profile.clock,
            root,
        })
    }

    fn general(self, problems: &mut Vec<Problem>) -> Option<Body> {
        let message = self.message;
        let plan = message
            .each
            .as_ref()
            .map_or(Ok(Vec::new()), |each| steps(each))
            .and_then(|steps| Plan::new(steps, &message.tags, message.records));
        let mut plan = match plan {
            Ok(plan) => plan,
            Err(problem) => {
                problems.push((None, problem, None));
                return None;
            }
        };
        let mut builder = Builder {
            draft: self,
            plan: &mut plan,
            problems,
        };
        let form = builder.form();
        let name = builder.name();
        let parts = General {
            form,
            conditions: builder.conditions(None, &message.conditions),
            same: builder.same(),
            captures: builder.captures(),
            device: builder.device()?,
            parent: builder.parent(),
            time: builder.time(),
            test: builder.mark(message.test.as_ref()),
            history: builder.mark(message.history.as_ref()),
            reading: message.reading,
            seq: builder.seq(),
            points: builder.points(name.is_some()),
            ack: builder.ack(),
            clock: self.profile.clock,
            only_online: false,
            name,
            plan: Plan::default(),
        };
        let only_online = !parts.points.is_empty() && parts.points.iter().all(|rule| rule.field.point == ONLINE);
        Some(Body::General(Box::new(General {
            plan,
            only_online,
            ..parts
        })))
    }

    /// `None`: the kind has no such point (said elsewhere when no kind has it), or the mapping is wrong.
    fn field(self, map: &PointMap, problems: &mut Vec<Problem>) -> Option<Field> {
        let (index, def) = self.kind.point(&map.point)?;
        match Field::mapped(index, def, map, &self.profile.lel) {
            Ok(field) => Some(field),
            Err(wrong) => {
                problems.extend(wrong.into_iter().map(|problem| (Some(map.point.clone()), problem, None)));
                None
            }
        }
    }
}

fn time_form(time: &TimeDef, problems: &mut Vec<Problem>) -> Option<TimeForm> {
    let form = TimeForm::new(&time.unit, time.zone.as_deref());
    form.map_err(|problem| problems.push((None, problem, None))).ok()
}

fn note<T>(point: Option<&str>, outcome: Result<T, String>, problems: &mut Vec<Problem>) -> Option<T> {
    outcome
        .map_err(|problem| problems.push((point.map(str::to_owned), problem, None)))
        .ok()
}

/// The id of a message's device as it is compiled; the error says what to write instead.
pub(super) fn device(message: &MessageDef, template: &Template) -> Result<TextTemplate, String> {
    let text = match &message.device {
        Some(text) => text.as_str(),
        None if template.place("device").is_some() => "{device}",
        None => {
            return Err("no device: capture {device} in the topic, or give `device`".to_owned());
        }
    };
    id(text, message, template)
}

/// An id: of the topic, and of the payload only below the topic.
fn id(text: &str, message: &MessageDef, template: &Template) -> Result<TextTemplate, String> {
    let compiled = TextTemplate::parse(text, |name| origin(name, message, template))?;
    if message.trust_payload_ids {
        return Ok(compiled);
    }
    if compiled.uses_payload() && !compiled.uses_topic() {
        return Err(format!(
            "{text:?} comes from the payload alone, so whoever may publish here could speak for any device: \
             join it with a capture of the topic, or say `trust_payload_ids = true`"
        ));
    }
    compiled
        .strict()
        .ok_or_else(|| format!("{text:?}: put a text such as - between two names"))
}

fn origin(name: &str, message: &MessageDef, template: &Template) -> Result<Origin, String> {
    if let Some(place) = template.place(name) {
        return Ok(Origin::Topic(place));
    }
    let captures = || message.capture.iter().map(|(name, _)| name.as_str());
    if let Some(place) = captures().position(|capture| capture == name) {
        return Ok(Origin::Payload(place));
    }
    let near = nearest(name, template.names().iter().map(String::as_str).chain(captures()));
    let near = near.map(|near| format!("; did you mean {{{near}}}?")).unwrap_or_default();
    Err(format!("neither the topic nor `capture` has {{{name}}}{near}"))
}

struct Builder<'d, 'p> {
    draft: Draft<'d>,
    plan: &'p mut Plan,
    problems: &'p mut Vec<Problem>,
}

impl Builder<'_, '_> {
    fn note<T>(&mut self, point: Option<&str>, outcome: Result<T, String>) -> Option<T> {
        note(point, outcome, self.problems)
    }

    fn source(&mut self, point: Option<&str>, def: &SourceDef) -> Option<Source> {
        let source = Source::new(def, self.plan, self.draft.template);
        self.note(point, source)
    }

    fn form(&mut self) -> Form {
        let message = self.draft.message;
        for (pointer, packing) in &message.unpack {
            let path = path(pointer);
            let Some(path) = self.note(None, path) else { continue };
            if *packing == Packing::Bytes {
                self.note::<()>(None, Err(format!("{pointer:?} holds text: json, hex, base64 or base64-json")));
            }
            self.plan.unpack(0, &path, *packing);
        }
        if message.form == Form::Packed(Packing::Json) {
            self.plan.unpack(0, &[], Packing::Json);
            return Form::Json;
        }
        message.form
    }

    fn name(&mut self) -> Option<TextTemplate> {
        let Draft { message, template, .. } = self.draft;
        let text = match &message.name {
            Some(text) => text.as_str(),
            None if template.place("point").is_some() => "{point}",
            None => return None,
        };
        let parsed = TextTemplate::parse(text, |name| origin(name, message, template));
        self.note(None, parsed)
    }

    fn conditions(&mut self, point: Option<&str>, defs: &[ConditionDef]) -> Vec<Condition> {
        let template = self.draft.template;
        defs.iter()
            .filter_map(|def| {
                let condition = Condition::new(def, self.plan, template);
                self.note(point, condition)
            })
            .collect()
    }

    fn same(&mut self) -> Vec<(Source, TextTemplate)> {
        let Draft { message, template, .. } = self.draft;
        let mut same = Vec::new();
        for (place, text) in &message.same {
            let source = self.source(None, &SourceDef::at(place));
            let parsed = TextTemplate::parse(text, |name| origin(name, message, template));
            same.extend(source.zip(self.note(None, parsed)));
        }
        same
    }

    fn captures(&mut self) -> Vec<Source> {
        let Draft { message, template, .. } = self.draft;
        let mut captures = Vec::new();
        for (name, def) in &message.capture {
            if template.place(name).is_some() {
                self.note::<()>(None, Err(format!("{{{name}}} is captured by the topic too")));
            }
            captures.extend(self.source(None, def));
        }
        captures
    }

    fn device(&mut self) -> Option<TextTemplate> {
        let device = device(self.draft.message, self.draft.template);
        self.note(None, device)
    }

    fn parent(&mut self) -> Option<Parent> {
        let Draft {
            message,
            template,
            kinds,
            ..
        } = self.draft;
        let ParentDef { kind, device } = message.parent.as_ref()?;
        let place = kinds.iter().position(|own| own.id == *kind);
        if place.is_none() {
            let near = nearest(kind, kinds.iter().map(|kind| kind.id.as_str()));
            self.problems
                .push((None, format!("kind {kind:?} is not configured"), near));
        }
        let device = id(device, message, template);
        Some(Parent {
            device: self.note(None, device)?,
            kind: place?,
        })
    }

    fn time(&mut self) -> Option<(Source, TimeForm)> {
        let time = self.draft.message.time.as_ref()?;
        let form = time_form(time, self.problems);
        self.source(None, &time.source).zip(form)
    }

    fn mark(&mut self, def: Option<&MarkDef>) -> Option<Mark> {
        let mark = Mark::new(def?, self.plan, self.draft.template);
        self.note(None, mark)
    }

    fn seq(&mut self) -> Option<Source> {
        let at = &self.draft.message.seq;
        if at.is_empty() {
            return None;
        }
        self.source(
            None,
            &SourceDef {
                at: at.clone(),
                bytes: None,
            },
        )
    }

    fn points(&mut self, by_message_name: bool) -> Vec<PointRule> {
        let Draft { message, kind, .. } = self.draft;
        let mut rules = Vec::new();
        for map in &message.points {
            let Some(field) = self.draft.field(map, self.problems) else {
                continue;
            };
            let default = map.default.as_ref().map(|word| field.own_value(word));
            let default = default.and_then(|default| self.note(Some(&map.point), default));
            let conditions = self.conditions(Some(&map.point), &map.conditions);
            if let Some(source) = self.source(Some(&map.point), &map.source) {
                rules.push(PointRule {
                    name: map.name.clone().unwrap_or_else(|| map.point.clone()),
                    source,
                    conditions,
                    default,
                    null_unsets: map.null_unsets,
                    field,
                });
            }
        }
        let mapped = |id: &str| message.points.iter().any(|map| map.point == id);
        let free = kind.points().filter(|(index, def)| *index != ONLINE && !mapped(&def.id));
        for (index, def) in free.filter(|_| message.by_name) {
            // A message that names its point has the value where the item is.
            let place = if by_message_name {
                SourceDef::at("")
            } else {
                SourceDef::at(&format!("/{}", def.id))
            };
            if let Some(source) = self.source(Some(&def.id), &place) {
                rules.push(PointRule {
                    name: def.id.clone(),
                    source,
                    conditions: Vec::new(),
                    default: None,
                    null_unsets: false,
                    field: Field::plain(index, def),
                });
            }
        }
        rules
    }

    fn ack(&mut self) -> Option<AckRule> {
        let AckDef { id, ok } = self.draft.message.ack.as_ref()?;
        Some(AckRule {
            id: match id {
                None => None,
                Some(id) => Some(self.source(None, id)?),
            },
            ok: self.mark(ok.as_ref()),
        })
    }
}
