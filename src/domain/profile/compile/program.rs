//! One message for one kind → a program: the short one for points at fixed places, else the general one.

use std::sync::Arc;

use super::builder::Builder;
use crate::domain::kind::{Kind, ONLINE};
use crate::domain::profile::command::Address;
use crate::domain::profile::def::{Form, MarkDef, MessageDef, PointMap, ProfileDef, SourceDef, TimeDef};
use crate::domain::profile::flat::Sender;
use crate::domain::profile::general::General;
use crate::domain::profile::json::{Node, Target};
use crate::domain::profile::place::steps;
use crate::domain::profile::plan::Plan;
use crate::domain::profile::topic::Template;
use crate::domain::profile::wire::field::Field;
use crate::domain::profile::wire::time::TimeForm;

/// How a payload is read, for one message and one kind.
#[derive(Debug)]
pub(in crate::domain::profile) struct Program {
    /// How.
    pub(in crate::domain::profile) body: Body,
    /// The form of the payload.
    pub(in crate::domain::profile) form: Form,
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
        /// What its payloads have in common.
        sender: Sender,
    },
    /// One text value of one device.
    Text(Field),
    /// Everything else.
    General(Box<General>),
}

/// A plan, and the form of the payloads that it reads.
#[derive(Debug)]
pub(in crate::domain::profile) struct Shared {
    pub(in crate::domain::profile) plan: Plan,
    pub(in crate::domain::profile) form: Form,
}

/// All plans, and which of them are of the messages of one topic and kind.
pub(super) struct Plans<'p> {
    pub(super) all: &'p mut Vec<Shared>,
    pub(super) own: &'p mut Vec<usize>,
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
    pub(super) fn compile(self, plans: &mut Plans<'_>) -> Result<Program, Vec<Problem>> {
        let mut problems = Vec::new();
        let body = match self.message.form {
            Form::Text if self.is_flat() => self.text(&mut problems),
            Form::Json if self.is_flat() => Some(self.flat(&mut problems)),
            Form::Text | Form::Json | Form::Packed(_) => self.general(plans, &mut problems),
        };
        match body {
            Some(body) if problems.is_empty() => Ok(Program {
                body,
                form: self.message.form,
                address: self.address(),
                names: self
                    .message
                    .capture
                    .iter()
                    .map(|(name, _)| name.clone())
                    .collect(),
            }),
            Some(_) | None => Err(problems),
        }
    }

    fn address(self) -> Option<Address> {
        let for_kind = |kind: &Option<String>| kind.as_ref().is_none_or(|kind| *kind == self.kind.id);
        let spoken_to = self
            .profile
            .commands
            .iter()
            .any(|command| for_kind(&command.kind));
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
            fields,
            each,
            carry,
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
            && fields.is_none()
            && carry.is_empty()
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
                time.as_ref()
                    .is_none_or(|time| one(&time.source) && time.base.is_none())
                    && plain(test.as_ref())
                    && plain(history.as_ref())
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

    fn flat(self, problems: &mut Vec<Problem>) -> Body {
        let mut root = Node::default();
        let message = self.message;
        let place = |source: &SourceDef| source.at.first().cloned().unwrap_or_default();
        let mut marks: Vec<(String, Target)> = Vec::new();
        if let Some(time) = &message.time
            && let Some(form) = time_form(time, problems)
        {
            marks.push((place(&time.source), Target::Time(form)));
        }
        marks.extend(
            message
                .test
                .as_ref()
                .map(|mark| (place(&mark.source), Target::Test)),
        );
        marks.extend(
            message
                .history
                .as_ref()
                .map(|mark| (place(&mark.source), Target::History)),
        );
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
        let free = self
            .kind
            .points()
            .filter(|(index, def)| *index != ONLINE && !mapped(&def.id));
        for (index, def) in free.filter(|_| message.by_name) {
            root.insert_member(&def.id, Target::Point(Field::plain(index, def)));
        }
        Body::Flat {
            sender: Sender {
                only_online: root.only_online(),
                clock: self.profile.clock,
            },
            root,
        }
    }

    /// Reads by a plan of the messages of its topic, where one takes what it reads.
    fn general(self, plans: &mut Plans<'_>, problems: &mut Vec<Problem>) -> Option<Body> {
        let mut own = Plan::new();
        let general = self.built(&mut own, problems)?;
        if let Err(problem) = own.check() {
            problems.push((None, problem, None));
        }
        if !problems.is_empty() {
            return None;
        }
        let takes = |shared: &Shared| shared.form == general.form && shared.plan.takes(&own);
        let mut shared = plans.own.iter().copied();
        let shared = shared.rfind(|at| plans.all.get(*at).is_some_and(takes));
        let Some((at, shared)) = shared.and_then(|at| Some((at, plans.all.get_mut(at)?))) else {
            let at = plans.all.len();
            plans.own.push(at);
            let form = general.form;
            plans.all.push(Shared { plan: own, form });
            return Some(Body::General(Box::new(General { plan: at, ..general })));
        };
        // Once more: its places have other numbers there.
        let general = self.built(&mut shared.plan, problems)?;
        Some(Body::General(Box::new(General { plan: at, ..general })))
    }

    fn built(self, plan: &mut Plan, problems: &mut Vec<Problem>) -> Option<General> {
        let message = self.message;
        match message.each.as_ref().map_or(Ok(Vec::new()), |each| steps(each)) {
            Ok(steps) => plan.begin(steps),
            Err(problem) => {
                problems.push((None, problem, None));
                return None;
            }
        }
        let leaf = plan.leaf();
        let mut builder = Builder {
            draft: self,
            plan,
            problems,
        };
        let form = builder.form();
        builder.carry();
        let name = builder.name();
        let points = builder.points(name.is_some());
        Some(General {
            form,
            plan: 0,
            leaf,
            unpacks: message.unpacks(),
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
            ack: builder.ack(),
            clock: self.profile.clock,
            only_online: !points.is_empty() && points.iter().all(|rule| rule.field.point == ONLINE),
            name,
            points,
        })
    }

    /// `None`: the kind has no such point (said elsewhere when no kind has it), or the mapping is wrong.
    pub(super) fn field(self, map: &PointMap, problems: &mut Vec<Problem>) -> Option<Field> {
        let (index, def) = self.kind.point(&map.point)?;
        match Field::mapped(index, def, map, &self.profile.lel) {
            Ok(field) => Some(field),
            Err(wrong) => {
                problems.extend(
                    wrong
                        .into_iter()
                        .map(|problem| (Some(map.point.clone()), problem, None)),
                );
                None
            }
        }
    }
}

/// Whether it is one place of the payload.
fn one(source: &SourceDef) -> bool {
    source.bytes.is_none() && matches!(source.at.as_slice(), [at] if at.starts_with('/'))
}

fn plain(mark: Option<&MarkDef>) -> bool {
    mark.is_none_or(|mark| mark.is.is_empty() && one(&mark.source))
}

fn simple(map: &PointMap) -> bool {
    map.conditions.is_empty() && map.default.is_none() && !map.null_unsets && map.name.is_none()
}

/// How a time is read.
pub(super) fn time_form(time: &TimeDef, problems: &mut Vec<Problem>) -> Option<TimeForm> {
    let form = TimeForm::new(&time.unit, time.zone.as_deref());
    form.map_err(|problem| problems.push((None, problem, None))).ok()
}

/// Notes the problem of a point or of the message.
pub(super) fn note<T>(
    point: Option<&str>,
    outcome: Result<T, String>,
    problems: &mut Vec<Problem>,
) -> Option<T> {
    outcome
        .map_err(|problem| problems.push((point.map(str::to_owned), problem, None)))
        .ok()
}
