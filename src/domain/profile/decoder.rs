//! The decoder: topic → devices, payload → points, with its caches and scratch space. Total: any topic and any
//! bytes give an answer. Binds devices but never makes them; knows no time and no alarm.

use foldhash::HashMapExt as _;

use super::Reject;
use super::codecs::Codecs;
use super::command::{Address, Outgoing};
use super::compile::{Compiled, ProfileError, compile, venues_by_device};
use super::def::ProfileDef;
use super::devices::{Devices, SlotId};
use super::flat::read_quickly;
use super::follow::{Topic, follow, topic_of, topic_of_codec};
use super::general::Scratch;
use super::hear::{Hearing, quick};
use super::parts::Parts;
use super::topic::filter_covers;
use crate::domain::device::{DeviceIndex, DeviceKey};
use crate::domain::kind::{Kind, MAX_POINTS, PointIndex};
use crate::domain::reading::ReadingKind;
use crate::domain::registry::Registry;
use crate::domain::time::{ClockBounds, Moment, Timestamp};

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
    /// A message of devices.
    Message(TopicId),
    /// Known, and not for us.
    Ignored,
}

/// A decoded payload. Its parts stand in scratch space that the next one reuses.
#[derive(Debug, PartialEq)]
pub struct Decoded {
    /// How many parts it has: [`Decoder::part`].
    pub parts: usize,
    /// How many answers to commands it has: [`Decoder::ack`].
    pub acks: usize,
    /// Why the payload, or the first bad value in it, was not used. Without parts and answers the message is a dead
    /// letter and nothing else; with neither of the three it means nothing to anybody.
    pub reject: Option<Reject>,
}

/// What a message says of one device at one instant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Part<'a> {
    /// The device.
    pub device: SlotId,
    /// The device that it is part of, when the profile says so.
    pub parent: Option<SlotId>,
    /// The device's own time, if it sent one that could be read.
    pub device_at: Option<Timestamp>,
    /// How far that may be off and still be believed.
    pub clock: ClockBounds,
    /// The number that the device gave the message, if it gave one.
    pub seq: Option<u64>,
    /// Live, test or history; a payload marked as both is a test.
    pub kind: ReadingKind,
    /// What it stands for is not certain: it may raise an alarm and must not end one, like a message that the broker
    /// kept.
    pub doubtful: bool,
    /// The points it carried, each at most once, in the order of the payload. None: the device is alive.
    pub points: &'a [(PointIndex, f64)],
    /// Points that are unknown from now on: the device said null where that means so.
    pub unset: &'a [PointIndex],
}

/// A device's answer to a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack<'a> {
    /// The device.
    pub device: SlotId,
    /// The command's id; `None`: whatever is under way.
    pub id: Option<&'a str>,
    /// Whether the device obeys.
    pub ok: bool,
}

/// Turns messages into points by the profiles.
#[derive(Debug)]
pub struct Decoder {
    compiled: Compiled,
    devices: Devices,
    known: foldhash::HashMap<Box<str>, TopicId>,
    topics: Vec<Topic>,
    /// The id of the first topic: ids are never given twice, so a stale one is never another topic's.
    first: u32,
    others: foldhash::HashMap<Box<str>, Result<(), Reject>>,
    codecs: Codecs,
    scratch: Scratch,
    parts: Parts,
    nobody: DeviceKey,
}

impl Decoder {
    /// Topics remembered: four each for 100 000 devices. Full, all are forgotten and learnt anew.
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
        let mut parts = Parts::default();
        parts.points.reserve(MAX_POINTS);
        parts.all.reserve(1);
        let mut devices = Devices::new(kinds.iter().map(|kind| kind.id.clone()).collect(), venues);
        Ok(Decoder {
            codecs: Codecs::new(profiles, kinds, &mut devices),
            compiled,
            devices,
            known: foldhash::HashMap::new(),
            topics: Vec::new(),
            first: 0,
            others: foldhash::HashMap::new(),
            scratch: Scratch::default(),
            parts,
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

    /// The profiles' names, in the order of their places.
    pub fn profiles(&self) -> impl Iterator<Item = &str> {
        self.compiled.profiles.iter().map(|profile| profile.name.as_str())
    }

    /// Whose topic this is. One hash look-up for a topic seen before.
    pub fn resolve(&mut self, topic: &str) -> Result<Resolved, Reject> {
        if let Some(id) = self.known.get(topic) {
            return Ok(Resolved::Message(*id));
        }
        if let Some(outcome) = self.others.get(topic) {
            return outcome.clone().map(|()| Resolved::Ignored);
        }
        if self.topics.len() >= Decoder::MAX_KNOWN_TOPICS {
            self.forget();
        }
        match self.search(topic) {
            Ok(Some(learnt)) => Ok(Resolved::Message(self.learn(topic, learnt))),
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

    /// The first device of a topic, when the topic alone says it and the engine has it.
    pub fn expected(&self, topic: TopicId) -> Option<DeviceIndex> {
        self.devices.device(self.slot(topic)?)
    }

    /// The first device of a topic, when the topic alone says it.
    pub fn slot(&self, topic: TopicId) -> Option<SlotId> {
        self.topic(topic)?.speakers.first()?.slot
    }

    /// The place of the topic's profile.
    pub fn profile(&self, topic: TopicId) -> Option<usize> {
        Some(self.topic(topic)?.profile)
    }

    /// Makes room for a run of so many messages. What is remembered is forgotten and learnt anew when it is too much, or too
    /// much of it is of devices that were refused: between runs only, for an id resolved before is void then.
    pub fn make_room(&mut self, coming: usize) {
        let full = self.topics.len().saturating_add(coming) > Decoder::MAX_KNOWN_TOPICS;
        if full || self.devices.is_full() {
            self.forget();
        }
    }

    /// Takes note that a device was not taken in: a flood of ids shall not be remembered.
    pub fn refuse(&mut self, device: SlotId) {
        self.devices.refuse(device);
    }

    /// How many topics of devices are remembered; at most [`Decoder::MAX_KNOWN_TOPICS`].
    pub fn remembered(&self) -> usize {
        self.known.len()
    }

    /// Who a device is.
    pub fn key(&self, device: SlotId) -> &DeviceKey {
        self.devices.key(device).unwrap_or(&self.nobody)
    }

    /// The device's kind: its place in the `kinds` given to [`Decoder::new`].
    pub fn kind(&self, device: SlotId) -> usize {
        self.devices.kind(device)
    }

    /// How a device is spoken to; `None`: its profile has no commands for its kind.
    pub fn address(&self, device: SlotId) -> Option<&Address> {
        self.devices.address(device)
    }

    /// The engine's device, once [`Decoder::bind`] has told it.
    pub fn device(&self, device: SlotId) -> Option<DeviceIndex> {
        self.devices.device(device)
    }

    /// Remembers the engine's device.
    pub fn bind(&mut self, device: SlotId, index: DeviceIndex) {
        self.devices.bind(device, index);
    }

    /// Messages may have been missed: what depends on those before is not certain.
    pub fn interrupted(&mut self, now: Moment) {
        self.codecs.interrupted(now);
    }

    /// What the profiles' codecs want published, at quality of service 0 and not retained; each is given once.
    pub fn requests(&mut self) -> impl Iterator<Item = Outgoing> + '_ {
        self.codecs.requests()
    }

    /// Reads a payload that came at `now`. Its parts stand in scratch space that the next call reuses.
    pub fn decode(&mut self, topic: TopicId, payload: &[u8], now: Moment) -> Decoded {
        self.parts.clear();
        let at = topic.0.wrapping_sub(self.first) as usize;
        let Some(topic) = self.topics.get(at) else {
            return self.decoded(Some(Reject::UnknownTopic));
        };
        if let Some(coded) = topic.coded {
            let outcome = self
                .codecs
                .read(coded, (payload, now), &mut self.devices, &mut self.parts);
            return self.decoded(outcome.err());
        }
        if let Some((slot, field)) = quick(&self.compiled, topic)
            && read_quickly(slot, payload, field, &mut self.parts)
        {
            return Decoded {
                parts: 1,
                acks: 0,
                reject: None,
            };
        }
        let failed = Hearing {
            compiled: &self.compiled,
            topic,
            payload,
            devices: &mut self.devices,
            scratch: &mut self.scratch,
            parts: &mut self.parts,
            scanned: None,
            broken: None,
        }
        .all();
        self.decoded(failed)
    }

    fn decoded(&mut self, failed: Option<Reject>) -> Decoded {
        Decoded {
            parts: self.parts.all.len(),
            acks: self.parts.acks.len(),
            reject: self.parts.reject.take().or(failed),
        }
    }

    /// A part of the payload decoded last.
    pub fn part(&self, at: usize) -> Option<Part<'_>> {
        let part = self.parts.all.get(at)?;
        Some(Part {
            device: part.slot,
            parent: part.parent,
            device_at: part.device_at,
            clock: part.clock,
            seq: part.seq,
            kind: part.kind,
            doubtful: part.doubtful,
            points: self
                .parts
                .points
                .get(part.points.0..part.points.1)
                .unwrap_or_default(),
            unset: self
                .parts
                .unset
                .get(part.unset.0..part.unset.1)
                .unwrap_or_default(),
        })
    }

    /// An answer to a command in the payload decoded last.
    pub fn ack(&self, at: usize) -> Option<Ack<'_>> {
        let ack = self.parts.acks.get(at)?;
        Some(Ack {
            device: ack.slot,
            id: ack.id.and_then(|(from, to)| self.parts.texts.get(from..to)),
            ok: ack.ok,
        })
    }

    fn topic(&self, topic: TopicId) -> Option<&Topic> {
        self.topics.get(topic.0.wrapping_sub(self.first) as usize)
    }

    #[expect(clippy::cast_possible_truncation, reason = "at most MAX_KNOWN_TOPICS topics")]
    fn forget(&mut self) {
        self.first = self.first.wrapping_add(self.topics.len() as u32);
        self.known.clear();
        self.topics.clear();
        self.devices.forget();
        self.codecs.forget();
    }

    #[expect(clippy::cast_possible_truncation, reason = "at most MAX_KNOWN_TOPICS topics")]
    fn learn(&mut self, name: &str, topic: Topic) -> TopicId {
        let id = TopicId(self.first.wrapping_add(self.topics.len() as u32));
        self.topics.push(topic);
        self.known.insert(name.into(), id);
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
    fn search(&mut self, topic: &str) -> Result<Option<Topic>, Reject> {
        let mut ignored = false;
        let mut refused = None;
        for (at, profile) in self.compiled.profiles.iter().enumerate() {
            if profile.ignore.iter().any(|filter| filter_covers(filter, topic)) {
                ignored = true;
                continue;
            }
            match self.codecs.resolve(at, topic) {
                None => {}
                Some(Ok(None)) => ignored = true,
                Some(Ok(Some(coded))) => return Ok(Some(topic_of_codec(at, coded))),
                Some(Err(reject)) => {
                    refused.get_or_insert(reject);
                }
            }
            for route in &profile.routes {
                let followed = follow(route, topic, &self.compiled.programs, &mut self.devices);
                match followed {
                    None => {}
                    Some(Ok(speakers)) if speakers.is_empty() => ignored = true,
                    Some(Ok(speakers)) => return Ok(Some(topic_of(at, topic, route, speakers))),
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
}
