//! Sparkplug B: protobuf payloads whose meaning depends on births heard before. Keeps the births of all edge nodes,
//! counts their messages, asks for a rebirth when something was missed, and turns metrics into points. Total: any
//! topic and any bytes give an answer. What it keeps is bounded and not journalled: a new start asks for rebirths.

mod mapping;
mod node;
mod parts;
mod rebirth;
mod subjects;
#[cfg(test)]
mod tests;
mod topic;
mod wire;

use foldhash::HashMapExt as _;
use prost::Message as _;
use serde::{Deserialize, Serialize};

use self::mapping::Mapped;
use self::node::{Bound, Counted, Device, Node, Standing};
use self::parts::{Entry, Parts};
pub(super) use self::parts::{Part, SubjectId};
pub(super) use self::subjects::Subject;
use self::subjects::Subjects;
use self::topic::{Said, Verb};
use self::wire::{Metric, Payload};
use super::Reject;
use super::command::Outgoing;
use super::def::PointMap;
use crate::domain::kind::{Kind, ONLINE};
use crate::domain::time::{Millis, Moment, Timestamp};

/// The most edge nodes known at a time. Topics of further ones are refused.
pub(super) const MAX_NODES: usize = 10_000;

/// The most devices an edge node may have.
pub(super) const MAX_DEVICES: usize = 1_024;

/// The most names and aliases kept for all edge nodes together.
pub(super) const MAX_METRICS: usize = 500_000;

/// An edge node reports what changes, so a device whose values stand still is silent. As its node must report its
/// death, the node's own messages are signs of its life; so often they are passed on.
const LIFE_SIGN_EVERY: Millis = Millis(60_000);

/// Space kept from one message to the next: a larger payload's is given back.
const KEPT_METRICS: usize = 4_096;

/// What a Sparkplug profile maps.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SparkplugDef {
    /// The metrics that are points. A metric that none names is passed over.
    pub metrics: Vec<MetricDef>,
    /// Gases and the concentration in ppm that is 100 %LEL of each; before the built-in table.
    pub lel: Vec<(String, f64)>,
}

/// One metric that is a point.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricDef {
    /// The metric's name, for example `Gas/LEL`. `{child}` in it stands for a part without `/` that names a device
    /// of its own: `Port{child}/Power`.
    pub name: String,
    /// The kind of the device that has the point.
    pub kind: String,
    /// The point and how its value is read; of [`PointMap`] its place, conditions and default are not used.
    pub map: PointMap,
}

/// A topic's message: what it does, and to whom. Good as long as the codec that gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line {
    verb: Verb,
    node: u32,
    device: u32,
}

/// The codec and all that it remembers.
#[derive(Debug)]
pub(super) struct Sparkplug {
    mapping: Vec<Mapped>,
    subjects: Subjects,
    nodes: Vec<Node>,
    by_name: foldhash::HashMap<Box<str>, u32>,
    /// How many more names and aliases may be kept.
    room: usize,
    payload: Payload,
    parts: Parts,
    requests: Vec<Outgoing>,
}

impl Sparkplug {
    /// The codec for `def`. The errors: which of its metrics, and what is wrong with it.
    pub(super) fn new(def: &SparkplugDef, kinds: &[Kind]) -> Result<Sparkplug, Vec<(usize, String)>> {
        Ok(Sparkplug {
            mapping: mapping::compile(def, kinds)?,
            subjects: Subjects::default(),
            nodes: Vec::new(),
            by_name: foldhash::HashMap::new(),
            room: MAX_METRICS,
            payload: Payload::default(),
            parts: Parts::default(),
            requests: Vec::new(),
        })
    }

    /// The MQTT filters of all messages it reads.
    pub(super) fn filters() -> Vec<String> {
        topic::filters()
    }

    /// What `topic` is: `Ok(None)` for what is not for us, `None` for what is none of Sparkplug's.
    pub(super) fn resolve(&mut self, topic: &str) -> Option<Result<Option<Line>, Reject>> {
        match topic::parse(topic)? {
            Said::NotForUs => Some(Ok(None)),
            Said::Message {
                verb,
                group,
                edge,
                device,
            } => Some(
                self.line(verb, group, edge, device)
                    .map(Some)
                    .ok_or(Reject::TooManyDevices),
            ),
        }
    }

    fn line(&mut self, verb: Verb, group: &str, edge: &str, device: Option<&str>) -> Option<Line> {
        let name = format!("{group}/{edge}");
        let at = match self.by_name.get(name.as_str()) {
            Some(at) => *at,
            None if self.nodes.len() >= MAX_NODES => return None,
            None => {
                let at = u32::try_from(self.nodes.len()).ok()?;
                self.nodes.push(Node::new(group, edge));
                self.by_name.insert(name.into(), at);
                at
            }
        };
        let node = self.nodes.get_mut(at as usize)?;
        let device = node.device(device)?;
        Some(Line {
            verb,
            node: at,
            device,
        })
    }

    /// Reads a message. What it says stands in [`Sparkplug::parts`] until the next one. The error, or the first bad
    /// value: the parts beside it count all the same.
    pub(super) fn receive(&mut self, line: Line, payload: &[u8], now: Moment) -> Option<Reject> {
        self.parts.clear();
        if self.payload.metrics.capacity() > KEPT_METRICS {
            self.payload = Payload::default();
        }
        self.payload.clear();
        if let Err(error) = self.payload.merge(payload) {
            return Some(Reject::InvalidProtobuf(error.to_string()));
        }
        let node = self.nodes.get_mut(line.node as usize)?;
        let of_node = line.device == Node::OWN;
        if of_node && line.verb == Verb::Death {
            if node.dies(bd_seq(&self.payload)) {
                for device in &mut node.devices {
                    bury(device, &mut self.parts);
                }
            }
            return None;
        }
        let born = of_node && line.verb == Verb::Birth;
        let counted = if born {
            self.room = self
                .room
                .saturating_add(node.is_born(self.payload.seq, bd_seq(&self.payload)));
            Counted::InOrder
        } else {
            node.count(self.payload.seq)
        };
        let device = node.devices.get_mut(line.device as usize)?;
        let reject = match line.verb {
            Verb::Death => {
                bury(device, &mut self.parts);
                None
            }
            Verb::Birth => {
                self.room = self.room.saturating_add(device.is_born());
                self.read(line)
            }
            Verb::Data => self.read(line),
        };
        self.life_signs(line, now);
        self.parts.close();
        self.ask(line, counted, now);
        reject
    }

    /// What the last message says, device by device.
    pub(super) fn parts(&self) -> &[Part] {
        self.parts.list()
    }

    /// The points of one of the [`Sparkplug::parts`].
    pub(super) fn points(&self, part: &Part) -> &[(crate::domain::kind::PointIndex, f64)] {
        self.parts.points(part)
    }

    /// The device that a part speaks of.
    pub(super) fn subject(&self, id: SubjectId) -> Option<&Subject> {
        self.subjects.get(id)
    }

    /// The rebirths to ask for, at quality of service 0, not retained; each is given once.
    pub(super) fn requests(&mut self) -> impl Iterator<Item = Outgoing> + '_ {
        self.requests.drain(..)
    }

    /// Messages may have been missed: nothing is certain until the next births, which are asked for.
    pub(super) fn interrupted(&mut self, now: Moment) {
        self.requests.clear();
        for node in &mut self.nodes {
            node.doubt();
            if node.is_present() {
                self.requests.extend(node.ask(now));
            }
        }
    }

    /// Takes the values of a birth or of data over.
    fn read(&mut self, line: Line) -> Option<Reject> {
        let node = self.nodes.get_mut(line.node as usize)?;
        let device = node.devices.get_mut(line.device as usize)?;
        let birth = line.verb == Verb::Birth;
        let doubtful = device.standing != Standing::Born;
        let sent = self.payload.timestamp;
        let (mut reject, mut unknown) = (None, false);
        for metric in &self.payload.metrics {
            let named = metric.name.as_deref();
            // Two: an alias and a name. A birth is read all the same, for the next one forgets it.
            let has_room = self.room >= 2;
            let binds = |name: &&str| birth || (doubtful && has_room && !device.knows(name));
            let bound = if let Some(name) = named.filter(binds) {
                let (bound, problem) = bind(
                    device,
                    metric,
                    name,
                    (&self.mapping, &mut self.subjects, &mut self.room),
                );
                reject = reject.or(problem);
                bound
            } else {
                device.find(metric.alias, named)
            };
            let Some(bound) = bound else {
                // By name it is one that nobody maps.
                unknown |= named.is_none() && !birth;
                continue;
            };
            // A birth says what is now, however long ago that came to be.
            let taken = if birth { sent } else { metric.timestamp.or(sent) };
            let history = !birth && metric.is_historical == Some(true);
            let value = metric.value.as_ref().filter(|_| metric.is_null != Some(true));
            let Some(value) = value else { continue };
            let scalar = value.scalar(metric.datatype.unwrap_or(bound.datatype));
            for target in device.targets(bound) {
                let Some(mapped) = self.mapping.get(target.mapped) else {
                    continue;
                };
                match mapped.field.read(scalar) {
                    Ok(Some(value)) => self.parts.push(Entry {
                        subject: target.subject,
                        history,
                        doubtful,
                        taken: taken.and_then(|at| i64::try_from(at).ok()).map(Timestamp),
                        point: mapped.field.point,
                        value,
                    }),
                    Ok(None) => {}
                    Err(problem) => reject = reject.or(Some(problem)),
                }
            }
        }
        if birth {
            self.parts.present(&device.subjects, ONLINE);
        }
        if unknown {
            device.doubt();
            reject = reject.or(Some(Reject::NoBirth));
        }
        reject
    }

    /// Passes the node's sign of life on to all of its devices that were born, when the last is long ago.
    fn life_signs(&mut self, line: Line, now: Moment) {
        let Some(node) = self.nodes.get_mut(line.node as usize) else {
            return;
        };
        if node
            .signed
            .is_some_and(|at| now.ticks.since(at) < LIFE_SIGN_EVERY)
        {
            return;
        }
        node.signed = Some(now.ticks);
        for device in node
            .devices
            .iter()
            .filter(|device| device.standing == Standing::Born)
        {
            self.parts.alive(&device.subjects);
        }
    }

    fn ask(&mut self, line: Line, counted: Counted, now: Moment) {
        let Some(node) = self.nodes.get_mut(line.node as usize) else {
            return;
        };
        let device = node.devices.get(line.device as usize);
        let uncertain = device.is_some_and(|device| device.standing == Standing::Doubted)
            || (line.verb == Verb::Data && device.is_some_and(|device| device.standing != Standing::Born));
        if (counted == Counted::Missed || uncertain) && self.requests.len() < MAX_NODES {
            self.requests.extend(node.ask(now));
        }
    }
}

/// The device is gone. When it went is when we hear of it: a last will was written when the node connected.
fn bury(device: &mut Device, parts: &mut Parts) {
    device.standing = Standing::Dead;
    parts.gone(&device.subjects, ONLINE);
}

/// Keeps what a birth, or a name, says of a metric. Without room it counts for this message only.
fn bind(
    device: &mut Device,
    metric: &Metric,
    name: &str,
    (mapping, subjects, room): (&[Mapped], &mut Subjects, &mut usize),
) -> (Option<Bound>, Option<Reject>) {
    let mut problem = None;
    let first = device.next_target();
    for (at, mapped) in mapping.iter().enumerate() {
        let Some(child) = mapped.matches(name) else {
            continue;
        };
        match subjects.of(mapped.kind, &device.id, child) {
            Ok(subject) => device.aim(at, subject),
            Err(reject) => problem = problem.or(Some(reject)),
        }
    }
    let bound = device.bound(metric, first);
    if !device.keep(metric, name, bound, room) {
        problem = problem.or(Some(Reject::TooManyDevices));
    }
    (Some(bound), problem)
}

/// The number of the session in which a birth or death was written.
fn bd_seq(payload: &Payload) -> Option<u64> {
    let metric = payload
        .metrics
        .iter()
        .find(|metric| metric.name.as_deref() == Some("bdSeq"))?;
    match metric.value.as_ref()? {
        wire::Value::Int(number) => Some(u64::from(*number)),
        wire::Value::Long(number) => Some(*number),
        wire::Value::Float(_)
        | wire::Value::Double(_)
        | wire::Value::Bool(_)
        | wire::Value::Text(_)
        | wire::Value::Bytes(_)
        | wire::Value::DataSet(_)
        | wire::Value::Template(_) => None,
    }
}
