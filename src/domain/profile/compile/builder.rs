//! The parts of a general program, one after the other; each brings the places that it reads into the plan.

use super::nearest;
use super::program::{Draft, Problem, note, time_form};
use crate::domain::kind::ONLINE;
use crate::domain::profile::def::{
    AckDef, ConditionDef, Form, MarkDef, MessageDef, Packing, ParentDef, SourceDef,
};
use crate::domain::profile::general::{AckRule, Parent, PointRule, TimeRule};
use crate::domain::profile::place::path;
use crate::domain::profile::plan::Plan;
use crate::domain::profile::source::{Condition, Mark, Source};
use crate::domain::profile::text::{Origin, TextTemplate};
use crate::domain::profile::topic::Template;
use crate::domain::profile::wire::field::Field;

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
    let near = nearest(
        name,
        template.names().iter().map(String::as_str).chain(captures()),
    );
    let near = near
        .map(|near| format!("; did you mean {{{near}}}?"))
        .unwrap_or_default();
    Err(format!("neither the topic nor `capture` has {{{name}}}{near}"))
}

/// Builds a general program.
pub(super) struct Builder<'d, 'p> {
    /// The message.
    pub(super) draft: Draft<'d>,
    /// What it reads.
    pub(super) plan: &'p mut Plan,
    /// What is wrong with it.
    pub(super) problems: &'p mut Vec<Problem>,
}

impl Builder<'_, '_> {
    fn note<T>(&mut self, point: Option<&str>, outcome: Result<T, String>) -> Option<T> {
        note(point, outcome, self.problems)
    }

    fn source(&mut self, point: Option<&str>, def: &SourceDef) -> Option<Source> {
        let source = Source::new(def, self.plan, self.draft.template);
        self.note(point, source)
    }

    pub(super) fn form(&mut self) -> Form {
        let message = self.draft.message;
        for (pointer, packing) in &message.unpack {
            let path = path(pointer);
            let Some(path) = self.note(None, path) else {
                continue;
            };
            if *packing == Packing::Bytes {
                self.note::<()>(
                    None,
                    Err(format!(
                        "{pointer:?} holds text: json, hex, base64 or base64-json"
                    )),
                );
            }
            self.plan.unpack(&path, *packing);
        }
        if message.unpacks() {
            let split = self.plan.split(message);
            self.note(None, split);
        } else if !message.tags.is_empty() || message.records.is_some() || message.fields.is_some() {
            let problem = "`tags`, `records` and `fields` are about what a text holds: say which one by `payload` or `unpack`";
            self.note::<()>(None, Err(problem.to_owned()));
        }
        match message.form {
            Form::Packed(packing @ (Packing::Json | Packing::Octets | Packing::Registers)) => {
                self.plan.unpack(&[], packing);
                Form::Json
            }
            Form::Json | Form::Text | Form::Packed(_) => message.form,
        }
    }

    pub(super) fn name(&mut self) -> Option<TextTemplate> {
        let Draft {
            message, template, ..
        } = self.draft;
        let text = match &message.name {
            Some(text) => text.as_str(),
            None if template.place("point").is_some() => "{point}",
            None => return None,
        };
        let parsed = TextTemplate::parse(text, |name| origin(name, message, template));
        self.note(None, parsed)
    }

    pub(super) fn conditions(&mut self, point: Option<&str>, defs: &[ConditionDef]) -> Vec<Condition> {
        let template = self.draft.template;
        defs.iter()
            .filter_map(|def| {
                let condition = Condition::new(def, self.plan, template);
                self.note(point, condition)
            })
            .collect()
    }

    pub(super) fn same(&mut self) -> Vec<(Source, TextTemplate)> {
        let Draft {
            message, template, ..
        } = self.draft;
        let mut same = Vec::new();
        for (place, text) in &message.same {
            let source = self.source(None, &SourceDef::at(place));
            let parsed = TextTemplate::parse(text, |name| origin(name, message, template));
            same.extend(source.zip(self.note(None, parsed)));
        }
        same
    }

    pub(super) fn captures(&mut self) -> Vec<Source> {
        let Draft {
            message, template, ..
        } = self.draft;
        let mut captures = Vec::new();
        for (name, def) in &message.capture {
            if template.place(name).is_some() {
                self.note::<()>(None, Err(format!("{{{name}}} is captured by the topic too")));
            }
            captures.extend(self.source(None, def));
        }
        captures
    }

    pub(super) fn device(&mut self) -> Option<TextTemplate> {
        let device = device(self.draft.message, self.draft.template);
        self.note(None, device)
    }

    pub(super) fn parent(&mut self) -> Option<Parent> {
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

    pub(super) fn time(&mut self) -> Option<TimeRule> {
        let time = self.draft.message.time.as_ref()?;
        let form = time_form(time, self.problems);
        let source = self.source(None, &time.source);
        let base = match &time.base {
            None => None,
            Some(base) => Some(self.source(None, base)?),
        };
        let form = form?;
        if base.is_some() && !form.is_number() {
            let problem = "`base` is added to a number: the unit is s, ms, us, ns or epoch";
            self.note::<()>(None, Err(problem.to_owned()));
        }
        Some(TimeRule {
            source: source?,
            base,
            form,
        })
    }

    pub(super) fn carry(&mut self) {
        for pointer in &self.draft.message.carry {
            let carried = path(pointer).and_then(|path| self.plan.carry(&path));
            self.note(None, carried);
        }
    }

    pub(super) fn mark(&mut self, def: Option<&MarkDef>) -> Option<Mark> {
        let mark = Mark::new(def?, self.plan, self.draft.template);
        self.note(None, mark)
    }

    pub(super) fn seq(&mut self) -> Option<Source> {
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

    pub(super) fn points(&mut self, by_message_name: bool) -> Vec<PointRule> {
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
                    again: rules
                        .iter()
                        .any(|rule: &PointRule| rule.field.point == field.point),
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
        let free = kind
            .points()
            .filter(|(index, def)| *index != ONLINE && !mapped(&def.id));
        for (index, def) in free.filter(|_| message.by_name) {
            // A message that names its point has the value where the item is.
            let place = if by_message_name {
                SourceDef::at("")
            } else {
                SourceDef::at(&format!("/{}", def.id))
            };
            if let Some(source) = self.source(Some(&def.id), &place) {
                rules.push(PointRule {
                    again: false,
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

    pub(super) fn ack(&mut self) -> Option<AckRule> {
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
