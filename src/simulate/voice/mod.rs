//! How simulated devices speak: their points as topics and bytes, and bytes on their command topics as orders. One file
//! a profile, named like the profile that reads it. Pure.

mod charging_station;
mod chirpstack;
mod esphome;
mod jetlinks;
mod native;
mod shelly;
mod sparkplug;
mod tasmota;
#[cfg(test)]
mod tests;
mod thingsboard;
mod words;
mod zigbee2mqtt;

use std::fmt::Debug;

use self::words::plain_id;
use super::body::{Command, Points};
use super::unit::Order;
use crate::domain::device::DeviceKey;
use crate::domain::time::Timestamp;

/// A message that a device publishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its topic.
    pub topic: String,
    /// Its bytes.
    pub payload: Vec<u8>,
    /// The broker keeps it.
    pub retain: bool,
}

impl Message {
    fn new(topic: String, payload: impl Into<Vec<u8>>) -> Message {
        Message {
            topic,
            payload: payload.into(),
            retain: false,
        }
    }

    fn kept(self) -> Message {
        Message { retain: true, ..self }
    }
}

/// What bytes on a command topic mean to a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// It is to do something.
    Order(Order),
    /// They are for another device.
    Others,
    /// They are no command.
    Unreadable,
    /// Whoever listens there is to say everything anew, from the births on.
    Rebirth,
}

/// A wire form.
trait Form: Debug + Send + Sync {
    /// The profile that reads it.
    fn name(&self) -> &'static str;

    /// The kinds of device that it has words for.
    fn kinds(&self) -> &'static [&'static str];

    /// The id under which the profile knows `key`.
    fn id(&self, key: &DeviceKey) -> String {
        plain_id(key)
    }

    /// What `key` publishes to say `points`.
    fn say(&mut self, key: &DeviceKey, points: &Points, now: Timestamp) -> Vec<Message>;

    /// Whether the devices of a venue speak through one of them, all in one message: [`Form::say_all`].
    fn is_joint(&self) -> bool {
        false
    }

    /// What is published to say the points of several devices of a venue.
    fn say_all(&mut self, all: &[(&DeviceKey, &Points)], now: Timestamp) -> Vec<Message> {
        all.iter()
            .flat_map(|(key, points)| self.say(key, points, now))
            .collect()
    }

    /// Of a device that has a connection of its own: what the broker is to say when that breaks (`false`), and what the
    /// device says when it is there.
    fn will(&self, key: &DeviceKey, online: bool) -> Option<Message>;

    /// Of a device behind a hub: what the hub says when it comes or goes.
    fn presence(&mut self, _: &DeviceKey, _: bool, _: Timestamp) -> Vec<Message> {
        Vec::new()
    }

    /// The filters under which commands come.
    fn filters(&self) -> &'static [&'static str];

    /// Where commands for `key` come; `None`: nobody commands it.
    fn command_topic(&self, key: &DeviceKey) -> Option<String>;

    /// What bytes on the command topic of `key` mean to it.
    fn hear(&self, key: &DeviceKey, payload: &[u8]) -> Heard;

    /// What `key` publishes to say that it took `order`, or that it will not, if the form has such a word.
    fn acknowledgement(&self, _: &DeviceKey, _: &Order, _: bool) -> Option<Message> {
        None
    }

    /// What `key` publishes when it has done what it was told, before it says its points.
    fn done(&self, _: &DeviceKey, _: Command) -> Vec<Message> {
        Vec::new()
    }

    /// The births of whoever `key` speaks through are to be said anew.
    fn forget(&mut self, _: &DeviceKey) {}

    /// What is published when the town ends.
    fn farewell(&mut self, _: Timestamp) -> Vec<Message> {
        Vec::new()
    }

    /// Nonsense from `key`, which would say `points`: a different sort each turn.
    fn lie(&mut self, key: &DeviceKey, points: &Points, (turn, now): (usize, Timestamp)) -> Message {
        let last = self.say(key, points, now).pop();
        let mut message = last.unwrap_or_else(|| Message::new(String::new(), Vec::new()));
        match turn % 4 {
            0 => message.payload.truncate(message.payload.len() / 2),
            1 => message.payload = vec![0xff, 0xfe, 0x00, 0x42],
            2 => message.payload = b"-4000.1e999".to_vec(),
            _ => message.payload.clear(),
        }
        message
    }
}

/// A form, by its place among all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Voice(usize);

impl Voice {
    /// ninewatch's own form, which has words for every kind.
    pub const NATIVE: Voice = Voice(0);
}

/// All forms, with what they remember of what was said.
#[derive(Debug)]
pub struct Voices(Vec<Box<dyn Form>>);

impl Default for Voices {
    fn default() -> Voices {
        Voices(vec![
            Box::new(native::Native),
            Box::new(zigbee2mqtt::Zigbee2mqtt),
            Box::new(tasmota::Tasmota { topic_first: false }),
            Box::new(tasmota::Tasmota { topic_first: true }),
            Box::new(shelly::Shelly),
            Box::new(esphome::Esphome),
            Box::new(chirpstack::Chirpstack::default()),
            Box::new(thingsboard::Thingsboard),
            Box::new(jetlinks::Jetlinks::default()),
            Box::new(charging_station::Station::default()),
            Box::new(sparkplug::Sparkplug::default()),
        ])
    }
}

impl Voices {
    /// The names of all profiles that can be spoken, and the kinds that each has words for.
    pub fn all(&self) -> impl Iterator<Item = (Voice, &'static str, &'static [&'static str])> + '_ {
        let forms = self.0.iter().enumerate();
        forms.map(|(at, form)| (Voice(at), form.name(), form.kinds()))
    }

    /// The voice of the profile `name`.
    pub fn named(&self, name: &str) -> Option<Voice> {
        self.all()
            .find(|(_, own, _)| *own == name)
            .map(|(voice, ..)| voice)
    }

    /// `voice` when it has words for `kind`, else the native one.
    pub fn for_kind(&self, voice: Voice, kind: &str) -> Voice {
        let able = self.form(voice).is_some_and(|form| form.kinds().contains(&kind));
        if able { voice } else { Voice::NATIVE }
    }

    /// The profile that reads `voice`.
    pub fn profile(&self, voice: Voice) -> &'static str {
        self.form(voice).map_or("native", |form| form.name())
    }

    /// The id under which the profile of `voice` knows `key`.
    pub fn id(&self, voice: Voice, key: &DeviceKey) -> String {
        self.form(voice)
            .map_or_else(|| key.device.clone(), |form| form.id(key))
    }

    /// Whether devices of a venue that have this voice speak together.
    pub fn is_joint(&self, voice: Voice) -> bool {
        self.form(voice).is_some_and(Form::is_joint)
    }

    /// What is published to say these points of devices of a venue.
    pub fn say(&mut self, voice: Voice, all: &[(&DeviceKey, &Points)], now: Timestamp) -> Vec<Message> {
        self.form_mut(voice)
            .map_or_else(Vec::new, |form| form.say_all(all, now))
    }

    /// What the broker is to say of `key` when its own connection breaks, and what the device says when it is back.
    /// `None`: it has none of its own.
    pub fn will(&self, voice: Voice, key: &DeviceKey, online: bool) -> Option<Message> {
        self.form(voice)?.will(key, online)
    }

    /// What the hub of `key` says when the device comes or goes.
    pub fn presence(
        &mut self,
        voice: Voice,
        key: &DeviceKey,
        (online, now): (bool, Timestamp),
    ) -> Vec<Message> {
        self.form_mut(voice)
            .map_or_else(Vec::new, |form| form.presence(key, online, now))
    }

    /// Nonsense from `key`, a different sort each turn.
    pub fn lie(
        &mut self,
        voice: Voice,
        (key, points): (&DeviceKey, &Points),
        turn: (usize, Timestamp),
    ) -> Option<Message> {
        Some(self.form_mut(voice)?.lie(key, points, turn))
    }

    /// The filters under which commands come.
    pub fn filters(&self, voice: Voice) -> &'static [&'static str] {
        self.form(voice).map_or(&[], |form| form.filters())
    }

    /// Where commands for `key` come.
    pub fn command_topic(&self, voice: Voice, key: &DeviceKey) -> Option<String> {
        self.form(voice)?.command_topic(key)
    }

    /// What bytes on the command topic of `key` mean to it.
    pub fn hear(&self, voice: Voice, key: &DeviceKey, payload: &[u8]) -> Heard {
        self.form(voice)
            .map_or(Heard::Unreadable, |form| form.hear(key, payload))
    }

    /// What `key` publishes to say that it took `order`, or that it will not.
    pub fn acknowledgement(
        &self,
        voice: Voice,
        key: &DeviceKey,
        (order, ok): (&Order, bool),
    ) -> Option<Message> {
        self.form(voice)?.acknowledgement(key, order, ok)
    }

    /// What `key` publishes when it has done what it was told.
    pub fn done(&self, voice: Voice, key: &DeviceKey, command: Command) -> Vec<Message> {
        self.form(voice)
            .map_or_else(Vec::new, |form| form.done(key, command))
    }

    /// The births of whoever `key` speaks through are to be said anew.
    pub fn forget(&mut self, voice: Voice, key: &DeviceKey) {
        if let Some(form) = self.form_mut(voice) {
            form.forget(key);
        }
    }

    /// What is published when the town ends.
    pub fn farewell(&mut self, now: Timestamp) -> Vec<Message> {
        let forms = self.0.iter_mut();
        forms.flat_map(|form| form.farewell(now)).collect()
    }

    fn form(&self, voice: Voice) -> Option<&dyn Form> {
        self.0.get(voice.0).map(|form| &**form)
    }

    fn form_mut(&mut self, voice: Voice) -> Option<&mut Box<dyn Form>> {
        self.0.get_mut(voice.0)
    }
}
