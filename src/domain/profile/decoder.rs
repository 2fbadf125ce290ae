//! The decoder: topic → device, payload → points, with its caches and scratch space. Total: any topic and any
//! bytes give an answer. Binds devices but never makes them; knows no time and no alarm.

use std::collections::HashMap;

use foldhash::HashMapExt as _;

use super::compile::{Compiled, ProfileError, Program, Route, VenueSource, compile, venues_by_device};
use super::json::Sink;
use super::topic::filter_covers;
use super::value::Scalar;
use super::{ProfileDef, Reject};
use crate::domain::device::{DeviceIndex, DeviceKey};
use crate::domain::kind::{Kind, MAX_POINTS, ONLINE, PointIndex};
use crate::domain::reading::ReadingKind;
use crate::domain::registry::Registry;
use crate::domain::time::{ClockBounds, Timestamp};

/// Other topics remembered, ignored and refused ones. Apart from the known, so that a flood of foreign topics
/// does not push them out.
const MAX_OTHER_TOPICS: usize = 4_096;

/// The longest foreign topic worth remembering, in bytes.
const MAX_OTHER_BYTES: usize = 512;

/// A resolved topic. Good for the message at hand only: the next [`Decoder::resolve`] may forget it. A
/// forgotten one is answered like an unknown topic, never like another device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicId(u32);

/// What a topic is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolved {
    /// A device's message.
    Device(TopicId),
    /// Known, and not for us.
    Ignored,
}

/// A decoded payload.
#[derive(Debug, PartialEq)]
pub struct Decoded<'a> {
    /// The device's own time, if it sent one that could be read.
    pub device_at: Option<Timestamp>,
    /// How far that may be off and still be believed.
    pub clock: ClockBounds,
    /// The number that the device gave the message, if it gave one.
    pub seq: Option<u64>,
    /// Live, test or history; a payload marked as both is a test.
    pub kind: ReadingKind,
    /// The points it carried, each at most once, in the order of the payload.
    pub points: &'a [(PointIndex, f64)],
    /// Whether the message counts at all. `false`: it is a dead letter and nothing else. `true` without points:
    /// the device is alive.
    pub usable: bool,
    /// Why the payload, or the first bad value in it, was not used.
    pub reject: Option<Reject>,
}

/// Turns messages into points by the profiles.
#[derive(Debug)]
pub struct Decoder {
    compiled: Compiled,
    kind_ids: Vec<String>,
    venues: Vec<HashMap<String, String>>,
    known: foldhash::HashMap<Box<str>, TopicId>,
    slots: Vec<Slot>,
    /// The id of the first slot: ids are never given twice, so a stale one is never another topic's.
    first: u32,
    others: foldhash::HashMap<Box<str>, Result<(), Reject>>,
    points: Vec<(PointIndex, f64)>,
    nobody: DeviceKey,
}

#[derive(Debug)]
struct Slot {
    key: DeviceKey,
    device: Option<DeviceIndex>,
    kind: usize,
    program: usize,
}

impl Decoder {
    /// Topics of devices remembered: four each for 100 000 devices. Full, all are forgotten and learnt anew.
    pub const MAX_KNOWN_TOPICS: usize = 400_000;

    /// Compiles `profiles`, tried in this order, against `kinds`. The registry gives the venue where a topic
    /// does not; when it changes, a new decoder is made. Every error at once.
    pub fn new(
        profiles: &[ProfileDef],
        kinds: &[Kind],
        registry: &Registry,
    ) -> Result<Decoder, Vec<ProfileError>> {
        let compiled = compile(profiles, kinds)?;
        let venues = venues_by_device(&compiled, kinds, registry);
        Ok(Decoder {
            compiled,
            kind_ids: kinds.iter().map(|kind| kind.id.clone()).collect(),
            venues,
            known: foldhash::HashMap::new(),
            slots: Vec::new(),
            first: 0,
            others: foldhash::HashMap::new(),
            points: Vec::with_capacity(MAX_POINTS),
            nobody: DeviceKey {
                venue: String::new(),
                kind: String::new(),
                device: String::new(),
            },
        })
    }

    /// The MQTT filters to subscribe to; none covers another, so that no message comes twice.
    pub fn subscriptions(&self) -> Vec<String> {
        self.compiled.subscriptions.clone()
    }

    /// Whose topic this is. One hash look-up for a topic seen before.
    pub fn resolve(&mut self, topic: &str) -> Result<Resolved, Reject> {
        if let Some(id) = self.known.get(topic) {
            return Ok(Resolved::Device(*id));
        }
        if let Some(outcome) = self.others.get(topic) {
            return outcome.clone().map(|()| Resolved::Ignored);
        }
        match self.search(topic) {
            Ok(Some(slot)) => Ok(Resolved::Device(self.learn(topic, slot))),
            Ok(None) => {
                self.learn_other(topic, Ok(()));
                Ok(Resolved::Ignored)
            }
            Err(reject) => {
                self.learn_other(topic, Err(reject.clone()));
                Err(reject)
            }
        }
    }

    /// The device a topic belongs to.
    pub fn key(&self, topic: TopicId) -> &DeviceKey {
        self.slot(topic).map_or(&self.nobody, |slot| &slot.key)
    }

    /// The engine's device, once [`Decoder::bind`] has told it.
    pub fn device(&self, topic: TopicId) -> Option<DeviceIndex> {
        self.slot(topic)?.device
    }

    /// How many topics of devices are remembered; at most [`Decoder::MAX_KNOWN_TOPICS`].
    pub fn remembered(&self) -> usize {
        self.known.len()
    }

    /// Remembers the engine's device for a topic.
    pub fn bind(&mut self, topic: TopicId, device: DeviceIndex) {
        let at = self.place(topic);
        if let Some(slot) = self.slots.get_mut(at) {
            slot.device = Some(device);
        }
    }

    /// The device's kind: its place in the `kinds` given to [`Decoder::new`].
    pub fn kind(&self, topic: TopicId) -> usize {
        self.slot(topic).map_or(0, |slot| slot.kind)
    }

    /// Reads a payload. The points stand in scratch space that the next call reuses.
    pub fn decode(&mut self, topic: TopicId, payload: &[u8]) -> Decoded<'_> {
        let at = self.place(topic);
        let program = self
            .slots
            .get(at)
            .and_then(|slot| self.compiled.programs.get(slot.program));
        let Some(program) = program else {
            return unusable(Reject::UnknownTopic);
        };
        let Ok(text) = std::str::from_utf8(payload) else {
            return unusable(Reject::InvalidUtf8);
        };
        let (only_online, clock) = match program {
            Program::Json {
                only_online, clock, ..
            } => (*only_online, *clock),
            Program::Text(field) => (field.point == ONLINE, ClockBounds::default()),
        };
        let mut sink = Sink::new(&mut self.points, only_online);
        let outcome = match program {
            Program::Json { root, .. } => root.read(text, &mut sink),
            Program::Text(field) => {
                sink.point(field, Scalar::Text(text.trim()));
                Ok(())
            }
        };
        if let Err(reject) = outcome {
            return unusable(reject);
        }
        let usable = sink.close();
        Decoded {
            device_at: sink.device_at,
            clock,
            seq: sink.seq,
            kind: match (sink.test, sink.history) {
                (true, _) => ReadingKind::Test,
                (false, true) => ReadingKind::History,
                (false, false) => ReadingKind::Live,
            },
            usable,
            reject: sink.reject,
            points: sink.points,
        }
    }

    fn place(&self, topic: TopicId) -> usize {
        topic.0.wrapping_sub(self.first) as usize
    }

    fn slot(&self, topic: TopicId) -> Option<&Slot> {
        self.slots.get(self.place(topic))
    }

    #[expect(clippy::cast_possible_truncation, reason = "at most MAX_KNOWN_TOPICS slots")]
    fn learn(&mut self, topic: &str, slot: Slot) -> TopicId {
        if self.slots.len() >= Decoder::MAX_KNOWN_TOPICS {
            self.first = self.first.wrapping_add(self.slots.len() as u32);
            self.known.clear();
            self.slots.clear();
        }
        let id = TopicId(self.first.wrapping_add(self.slots.len() as u32));
        self.slots.push(slot);
        self.known.insert(topic.into(), id);
        id
    }

    fn learn_other(&mut self, topic: &str, outcome: Result<(), Reject>) {
        if topic.len() > MAX_OTHER_BYTES {
            return;
        }
        if self.others.len() >= MAX_OTHER_TOPICS {
            self.others.clear();
        }
        self.others.insert(topic.into(), outcome);
    }

    /// Goes through the profiles. A profile's `ignore` hides only its own messages, so that none can silence
    /// another's devices; `None`: ignored by one and known to none.
    fn search(&self, topic: &str) -> Result<Option<Slot>, Reject> {
        let mut ignored = false;
        let mut refused = None;
        for profile in &self.compiled.profiles {
            if profile.ignore.iter().any(|filter| filter_covers(filter, topic)) {
                ignored = true;
                continue;
            }
            for route in &profile.routes {
                match self.follow(route, topic) {
                    None => {}
                    Some(Ok(slot)) => return Ok(Some(slot)),
                    Some(Err(reject)) => {
                        refused.get_or_insert(reject);
                    }
                }
            }
        }
        match refused {
            Some(reject) => Err(reject),
            None if ignored => Ok(None),
            None => Err(Reject::UnknownTopic),
        }
    }

    fn follow(&self, route: &Route, topic: &str) -> Option<Result<Slot, Reject>> {
        let captures = match route.template.captures(topic)? {
            Ok(captures) => captures,
            Err(reject) => return Some(Err(reject)),
        };
        let kind = match (route.kind, captures.kind) {
            (Some(kind), _) => Some(kind),
            (None, Some(id)) => self.kind_ids.iter().position(|kind| kind == id),
            (None, None) => None,
        };
        let Some((kind, kind_id)) = kind.and_then(|kind| Some((kind, self.kind_ids.get(kind)?))) else {
            return Some(Err(Reject::UnknownKind(
                captures.kind.unwrap_or_default().to_owned(),
            )));
        };
        let program = route.programs.get(kind).copied().flatten()?;
        let venue = match &route.venue {
            VenueSource::Topic => captures.venue,
            VenueSource::Fixed(venue) => Some(venue.as_str()),
            VenueSource::Registry => self
                .venues
                .get(kind)
                .and_then(|venues| venues.get(captures.device))
                .map(String::as_str),
        };
        let Some(venue) = venue else {
            return Some(Err(Reject::UnknownVenue(captures.device.to_owned())));
        };
        Some(Ok(Slot {
            key: DeviceKey {
                venue: venue.to_owned(),
                kind: kind_id.clone(),
                device: captures.device.to_owned(),
            },
            device: None,
            kind,
            program,
        }))
    }
}

fn unusable(reject: Reject) -> Decoded<'static> {
    Decoded {
        device_at: None,
        clock: ClockBounds::default(),
        seq: None,
        kind: ReadingKind::Live,
        points: &[],
        usable: false,
        reject: Some(reject),
    }
}
