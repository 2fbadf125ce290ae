//! A charging station: all ports of a venue in one array, in the units of the AP3000 protocol.

use serde::Deserialize;
use serde_json::{Value, json};

use super::words::{number, port, word};
use super::{Form, Heard, Message};
use crate::domain::device::DeviceKey;
use crate::domain::time::Timestamp;
use crate::simulate::body::{Command, Points};
use crate::simulate::unit::Order;

/// Charging stations, one a venue.
#[derive(Debug, Default)]
pub(super) struct Station {
    messages: i64,
}

impl Form for Station {
    fn name(&self) -> &'static str {
        "charging-station"
    }

    fn kinds(&self) -> &'static [&'static str] {
        &["charging_port"]
    }

    fn id(&self, key: &DeviceKey) -> String {
        format!("{}-{}", key.venue, port(key))
    }

    fn say(&mut self, key: &DeviceKey, points: &Points, now: Timestamp) -> Vec<Message> {
        self.say_all(&[(key, points)], now)
    }

    fn is_joint(&self) -> bool {
        true
    }

    fn say_all(&mut self, all: &[(&DeviceKey, &Points)], now: Timestamp) -> Vec<Message> {
        let Some((first, _)) = all.first() else {
            return Vec::new();
        };
        self.messages += 1;
        let station = &first.venue;
        let seconds = now.0.div_euclid(1_000);
        let ports: Vec<Value> = all.iter().map(|(key, points)| measured(key, points)).collect();
        let states: Vec<Value> = all.iter().map(|(key, points)| state(key, points)).collect();
        let values = json!({
            "ts": seconds,
            "message_id": now.0 * 1_000 + self.messages % 1_000,
            "ports": ports,
        });
        let heartbeat = json!({ "timestamp": seconds, "data": { "port_statuses": states } });
        vec![
            Message::new(format!("charging/{station}/ports"), values.to_string()),
            Message::new(format!("charging/{station}/heartbeat"), heartbeat.to_string()),
        ]
    }

    fn will(&self, _: &DeviceKey, _: bool) -> Option<Message> {
        None
    }

    fn filters(&self) -> &'static [&'static str] {
        &["charging/+/command"]
    }

    fn command_topic(&self, key: &DeviceKey) -> Option<String> {
        Some(format!("charging/{}/command", key.venue))
    }

    fn hear(&self, key: &DeviceKey, payload: &[u8]) -> Heard {
        let Ok(wire) = serde_json::from_slice::<Wire>(payload) else {
            return Heard::Unreadable;
        };
        if port(key).parse() != Ok(wire.port) {
            return Heard::Others;
        }
        Heard::Order(Order {
            id: Some(wire.id),
            command: Command::parse(&wire.command),
            expires_at: Some(Timestamp(wire.expires_at)),
        })
    }
}

#[derive(Deserialize)]
struct Wire {
    id: String,
    port: u32,
    command: String,
    expires_at: i64,
}

fn numbered(key: &DeviceKey) -> Option<u32> {
    port(key).parse().ok()
}

fn measured(key: &DeviceKey, points: &Points) -> Value {
    let in_units = |point: &str, factor: f64| number(points, point).map(|value| (value * factor).round());
    json!({
        "port": numbered(key),
        "power": in_units("power", 10.0),
        "current": in_units("current", 1_000.0),
        "voltage": in_units("voltage", 10.0),
        "temperature": number(points, "temperature").map(|value| value.round() + 65.0),
        "seconds": in_units("session_s", 1.0),
    })
}

fn state(key: &DeviceKey, points: &Points) -> Value {
    let status = match word(points, "state") {
        Some("idle") => 0,
        Some("charging") => 1,
        Some("full") => 3,
        _ => 7,
    };
    json!({ "port": numbered(key), "status": status })
}
