//! JSON payloads: a tree of the members that a profile maps, compiled once, that drives one pass over the
//! bytes. No value tree is built and nothing is allocated for a good payload. Knows no topics.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::Reject;
use super::flat::mute;
use super::place::{array_place, path};
use super::wire::field::Field;
use super::wire::scalar::{Scalar, bad_value, read_bool, read_seq};
use super::wire::time::TimeForm;
use crate::domain::kind::{ONLINE, PointIndex};
use crate::domain::time::Timestamp;

/// What a mapped member means.
#[derive(Debug)]
pub(super) enum Target {
    /// A point's value.
    Point(Field),
    /// The device's time.
    Time(TimeForm),
    /// The self-test mark.
    Test,
    /// The backlog mark.
    History,
    /// The message's number.
    Seq,
}

/// A place in the payload: what its value means, and the mapped places below it.
#[derive(Debug, Default)]
pub(super) struct Node {
    targets: Vec<Target>,
    /// At most one a target: fewer than 128.
    members: Vec<Member>,
}

#[derive(Debug)]
struct Member {
    name: String,
    /// The name as a place in an array.
    place: Option<usize>,
    node: Node,
}

impl Node {
    /// Puts `target` at `pointer` (RFC 6901) below this node. The error says what is wrong with the pointer.
    pub(super) fn insert(&mut self, pointer: &str, target: Target) -> Result<(), String> {
        let names = path(pointer)?;
        let node = names.into_iter().fold(self, Node::member);
        node.targets.push(target);
        Ok(())
    }

    /// Whether `online` is the only point here or below; false when there is none.
    pub(super) fn only_online(&self) -> bool {
        let mut points = self.points();
        points.next() == Some(ONLINE) && points.next().is_none()
    }

    fn points(&self) -> Box<dyn Iterator<Item = PointIndex> + '_> {
        let own = self.targets.iter().filter_map(|target| match target {
            Target::Point(field) => Some(field.point),
            Target::Time(_) | Target::Test | Target::History | Target::Seq => None,
        });
        Box::new(own.chain(self.members.iter().flat_map(|member| member.node.points())))
    }

    /// Puts `target` at the top-level member called `name`.
    pub(super) fn insert_member(&mut self, name: &str, target: Target) {
        self.member(name.to_owned()).targets.push(target);
    }

    fn member(&mut self, name: String) -> &mut Node {
        let at = self.members.iter().position(|member| member.name == name);
        let at = at.unwrap_or_else(|| {
            self.members.push(Member {
                place: array_place(&name),
                name,
                node: Node::default(),
            });
            self.members.len() - 1
        });
        #[expect(clippy::indexing_slicing, reason = "found or pushed above")]
        let member = &mut self.members[at];
        &mut member.node
    }

    /// Reads `payload`, which must be one JSON object and nothing else, into `sink`.
    pub(super) fn read(&self, payload: &str, sink: &mut Sink<'_>) -> Result<(), Reject> {
        let mut json = serde_json::Deserializer::from_str(payload);
        let root = Walk { node: self, sink };
        let outcome = json.deserialize_map(root).and_then(|()| json.end());
        outcome.map_err(|error| match sink.duplicate.take() {
            Some(name) => Reject::DuplicateMember(name),
            None => Reject::InvalidJson(error.to_string()),
        })
    }
}

/// What has been read of a payload so far.
#[derive(Debug)]
pub(super) struct Sink<'s> {
    /// Point values, each point at most once.
    pub(super) points: &'s mut Vec<(PointIndex, f64)>,
    /// The device's time.
    pub(super) device_at: Option<Timestamp>,
    /// The self-test mark.
    pub(super) test: bool,
    /// The backlog mark.
    pub(super) history: bool,
    /// The message's number.
    pub(super) seq: Option<u64>,
    /// The first value that could not be used.
    pub(super) reject: Option<Reject>,
    /// Whether `online` was due and has not been read: without another point the message then proves no life.
    online_lost: bool,
    duplicate: Option<String>,
    /// Where the message's points begin.
    from: usize,
}

impl<'s> Sink<'s> {
    /// An empty sink that goes on with `points`, for a message that says `only_online` or more.
    pub(super) fn new(points: &'s mut Vec<(PointIndex, f64)>, only_online: bool) -> Sink<'s> {
        Sink {
            from: points.len(),
            points,
            device_at: None,
            test: false,
            history: false,
            seq: None,
            reject: None,
            online_lost: only_online,
            duplicate: None,
        }
    }

    /// Reads one value of one point.
    pub(super) fn point(&mut self, field: &Field, scalar: Scalar<'_>) {
        if let Some(value) = field.quick(scalar) {
            self.points.push((field.point, value));
            return;
        }
        match field.read(scalar) {
            Ok(Some(value)) => self.points.push((field.point, value)),
            Ok(None) => {}
            Err(reject) => {
                self.online_lost |= field.point == ONLINE;
                self.refuse(reject);
            }
        }
    }

    /// Whether the message counts, now that all of it is read.
    pub(super) fn close(&mut self) -> bool {
        if !self.online_lost || self.points.len() > self.from {
            return true;
        }
        self.refuse(mute());
        false
    }

    fn refuse(&mut self, reject: Reject) {
        self.reject.get_or_insert(reject);
    }

    fn scalar(&mut self, node: &Node, scalar: Scalar<'_>) {
        for target in &node.targets {
            match target {
                Target::Point(field) => self.point(field, scalar),
                Target::Time(form) => self.time(form, scalar),
                Target::Test => self.test = self.mark("test", scalar),
                Target::History => self.history = self.mark("history", scalar),
                Target::Seq => self.seq(scalar),
            }
        }
        if node.targets.is_empty() && !matches!(scalar, Scalar::Null) {
            self.lose(node, scalar);
        }
    }

    /// A bare value stands where an object should hold what is below `node`.
    fn lose(&mut self, node: &Node, scalar: Scalar<'_>) {
        for target in &node.targets {
            if let Target::Point(field) = target {
                self.online_lost |= field.point == ONLINE;
                self.refuse(field.bad("an object or array around it", scalar));
            }
        }
        for member in &node.members {
            self.lose(&member.node, scalar);
        }
    }

    fn time(&mut self, form: &TimeForm, scalar: Scalar<'_>) {
        if matches!(scalar, Scalar::Null) {
            return;
        }
        self.device_at = form.read(scalar);
        if self.device_at.is_none() {
            self.refuse(bad_value("ts", form.wanted(), scalar));
        }
    }

    fn seq(&mut self, scalar: Scalar<'_>) {
        if matches!(scalar, Scalar::Null) {
            return;
        }
        self.seq = read_seq(scalar);
        if self.seq.is_none() {
            self.refuse(bad_value("seq", "a whole number of 64 bits or a text", scalar));
        }
    }

    /// An unreadable mark counts as absent: a reading taken as live is acted upon, which is the safe side.
    fn mark(&mut self, name: &str, scalar: Scalar<'_>) -> bool {
        if matches!(scalar, Scalar::Null) {
            return false;
        }
        read_bool(scalar).unwrap_or_else(|| {
            self.refuse(bad_value(name, "true or false", scalar));
            false
        })
    }
}

/// Reads the value at `node`.
struct Walk<'n, 's, 'p> {
    node: &'n Node,
    sink: &'s mut Sink<'p>,
}

impl<'de> DeserializeSeed<'de> for Walk<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.sink.scalar(self.node, Scalar::Bool(value));
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.sink.scalar(self.node, Scalar::Int(value));
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.sink.scalar(self.node, Scalar::Unsigned(value));
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.sink.scalar(self.node, Scalar::Float(value));
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.sink.scalar(self.node, Scalar::Text(value));
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.sink.scalar(self.node, Scalar::Null);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Walk { node, sink } = self;
        if !node.targets.is_empty() {
            sink.scalar(node, Scalar::Compound);
        }
        let mut seen = 0_u128;
        let mut expected = 0;
        while let Some(found) = map.next_key_seed(Key { node, expected })? {
            let Some((at, member)) = found else {
                map.next_value_seed(Skip)?;
                continue;
            };
            let bit = 1_u128 << (at & 127);
            if seen & bit != 0 {
                sink.duplicate = Some(member.name.clone());
                return Err(A::Error::custom("a member occurs twice"));
            }
            seen |= bit;
            expected = at + 1;
            map.next_value_seed(Walk {
                node: &member.node,
                sink,
            })?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Walk { node, sink } = self;
        if !node.targets.is_empty() {
            sink.scalar(node, Scalar::Compound);
        }
        for place in 0.. {
            let wanted = node.members.iter().find(|member| member.place == Some(place));
            let more = match wanted {
                Some(member) => seq.next_element_seed(Walk {
                    node: &member.node,
                    sink,
                })?,
                None => seq.next_element_seed(Skip)?,
            };
            if more.is_none() {
                break;
            }
        }
        Ok(())
    }
}

/// Finds a member's key among those mapped. Devices send their members in one order mostly, so the search
/// starts behind the last hit.
struct Key<'n> {
    node: &'n Node,
    expected: usize,
}

impl<'de, 'n> DeserializeSeed<'de> for Key<'n> {
    type Value = Option<(usize, &'n Member)>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_str(self)
    }
}

impl<'n> Visitor<'_> for Key<'n> {
    type Value = Option<(usize, &'n Member)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        let members = &self.node.members;
        let found = match members.get(self.expected) {
            Some(member) if member.name == name => Some(self.expected),
            Some(_) | None => members.iter().position(|member| member.name == name),
        };
        Ok(found.and_then(|at| Some((at, members.get(at)?))))
    }
}

/// Passes over a value that nobody asked for. Unlike `IgnoredAny` it holds numbers and nesting to the same
/// limits as mapped values, so that whether a payload is well-formed does not depend on the profile.
pub(super) struct Skip;

impl<'de> DeserializeSeed<'de> for Skip {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Skip {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_key::<IgnoredAny>()?.is_some() {
            map.next_value_seed(Skip)?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(Skip)?.is_some() {}
        Ok(())
    }
}
