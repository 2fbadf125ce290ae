//! Tasmota: metering plugs, and gas detectors with an MQ sensor, in either order of topics.

use serde_json::json;

use super::words::{METHANE_PPM, is_on, members, number, plain_id};
use super::{Form, Heard, Message};
use crate::domain::device::DeviceKey;
use crate::domain::time::Timestamp;
use crate::simulate::body::{Command, Points};
use crate::simulate::unit::Order;

/// Tasmota devices.
#[derive(Debug)]
pub(super) struct Tasmota {
    /// `%topic%/%prefix%` in the place of `%prefix%/%topic%`.
    pub(super) topic_first: bool,
}

impl Tasmota {
    fn topic(&self, prefix: &str, key: &DeviceKey, leaf: &str) -> String {
        let id = self.id(key);
        if self.topic_first {
            format!("{id}/{prefix}/{leaf}")
        } else {
            format!("{prefix}/{id}/{leaf}")
        }
    }
}

impl Form for Tasmota {
    fn name(&self) -> &'static str {
        if self.topic_first {
            "tasmota-topic-first"
        } else {
            "tasmota"
        }
    }

    fn kinds(&self) -> &'static [&'static str] {
        &["gas_detector", "charging_port"]
    }

    fn id(&self, key: &DeviceKey) -> String {
        let id = plain_id(key);
        if key.kind == "gas_detector" {
            format!("gas-{id}")
        } else {
            id
        }
    }

    fn say(&mut self, key: &DeviceKey, points: &Points, now: Timestamp) -> Vec<Message> {
        let time = now.to_rfc3339();
        let time = time.get(..19).unwrap_or_default();
        let sensor = self.topic("tele", key, "SENSOR");
        if key.kind == "gas_detector" {
            let ppm = number(points, "lel").map(|lel| (lel * METHANE_PPM).round());
            let payload = json!({ "Time": time, "ANALOG": { "MQX": ppm } });
            return vec![Message::new(sensor, payload.to_string())];
        }
        let measured = members(points, &["power", "current", "voltage"]);
        let named = |name: &str| measured.get(name).cloned().unwrap_or_default();
        let energy =
            json!({ "Power": named("power"), "Voltage": named("voltage"), "Current": named("current") });
        let state = json!({ "Time": time, "POWER": power(is_on(points)) });
        vec![
            Message::new(sensor, json!({ "Time": time, "ENERGY": energy }).to_string()),
            Message::new(self.topic("tele", key, "STATE"), state.to_string()),
        ]
    }

    fn will(&self, key: &DeviceKey, online: bool) -> Option<Message> {
        let word = if online { "Online" } else { "Offline" };
        Some(Message::new(self.topic("tele", key, "LWT"), word).kept())
    }

    fn filters(&self) -> &'static [&'static str] {
        if self.topic_first {
            &["+/cmnd/POWER0"]
        } else {
            &["cmnd/+/POWER0"]
        }
    }

    fn command_topic(&self, key: &DeviceKey) -> Option<String> {
        Some(self.topic("cmnd", key, "POWER0"))
    }

    fn hear(&self, _: &DeviceKey, payload: &[u8]) -> Heard {
        let command = match payload {
            b"ON" => Command::On,
            b"OFF" => Command::Off,
            _ => return Heard::Unreadable,
        };
        Heard::Order(Order {
            command: Some(command),
            ..Order::default()
        })
    }

    fn done(&self, key: &DeviceKey, command: Command) -> Vec<Message> {
        let word = power(command == Command::On);
        vec![
            Message::new(
                self.topic("stat", key, "RESULT"),
                json!({ "POWER": word }).to_string(),
            ),
            Message::new(self.topic("stat", key, "POWER"), word),
        ]
    }
}

const fn power(on: bool) -> &'static str {
    if on { "ON" } else { "OFF" }
}
