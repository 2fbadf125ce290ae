//! The gateway's ear, for tests: the real decoder with the shipped profiles, and what it has read so far.

use std::collections::BTreeMap;

use crate::config::Settings;
use crate::domain::device::DeviceKey;
use crate::domain::kind::{Kind, ValueType};
use crate::domain::profile::command::Address;
use crate::domain::profile::decoder::{Decoder, Resolved};
use crate::domain::time::Moment;
use crate::simulate::body::Said;
use crate::simulate::town::Town;
use crate::simulate::voice::{Message, Voice, Voices};

/// The gateway's ear, with the town in its registry.
pub(super) struct Ear {
    pub(super) decoder: Decoder,
    kinds: Vec<Kind>,
    /// The last value of each point of each device.
    read: BTreeMap<(DeviceKey, String), Said>,
    /// How each device that can be commanded is spoken to.
    pub(super) addresses: BTreeMap<DeviceKey, Address>,
    /// Devices that answered a command, and whether they agreed.
    pub(super) answers: Vec<(DeviceKey, Option<String>, bool)>,
}

impl Ear {
    pub(super) fn new(settings: &Settings, town: &Town, voices: &Voices, played: &[Voice]) -> Ear {
        let kinds = settings.definitions.source().kinds.clone();
        let registry = town.registry(voices, played);
        Ear {
            decoder: Decoder::new(&settings.profiles, &kinds, &registry).unwrap(),
            kinds,
            read: BTreeMap::new(),
            addresses: BTreeMap::new(),
            answers: Vec::new(),
        }
    }

    /// Hears a message, which must not be a dead letter.
    pub(super) fn hear(&mut self, message: &Message, now: Moment) {
        let shown = || format!("{} {}", message.topic, String::from_utf8_lossy(&message.payload));
        let topic = match self.decoder.resolve(&message.topic) {
            Ok(Resolved::Message(topic)) => topic,
            other => panic!("{other:?}: {}", shown()),
        };
        let decoded = self.decoder.decode(topic, &message.payload, now);
        assert_eq!(decoded.reject, None, "{}", shown());
        for at in 0..decoded.acks {
            let ack = self.decoder.ack(at).unwrap();
            let key = self.decoder.key(ack.device).clone();
            self.answers.push((key, ack.id.map(str::to_owned), ack.ok));
        }
        for at in 0..decoded.parts {
            let part = self.decoder.part(at).unwrap();
            assert!(!part.doubtful, "{}", shown());
            let key = self.decoder.key(part.device);
            if let Some(address) = self.decoder.address(part.device) {
                self.addresses.insert(key.clone(), address.clone());
            }
            let kind = &self.kinds[self.decoder.kind(part.device)];
            for (index, value) in part.points {
                let def = kind.point_at(*index).unwrap();
                let said = match &def.value {
                    ValueType::Number { .. } => Said::Number(*value),
                    ValueType::Bool => Said::Flag(*value > 0.5),
                    ValueType::Enum { values } => {
                        let words = values.iter().zip(0_u32..);
                        let mut word = words.filter(|(_, place)| (f64::from(*place) - value).abs() < 0.5);
                        Said::Word(Box::leak(word.next().unwrap().0.clone().into_boxed_str()))
                    }
                };
                self.read.insert((key.clone(), def.id.clone()), said);
            }
        }
    }

    pub(super) fn points_of(&self, key: &DeviceKey) -> BTreeMap<&str, Said> {
        let all = self.read.iter();
        all.filter(|((own, _), _)| own == key)
            .map(|((_, point), said)| (point.as_str(), *said))
            .collect()
    }
}
