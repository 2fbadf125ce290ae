//! `Zigbee2MQTT`: gas and smoke detectors, valves like Novato's ZPV-01 and metering plugs, named by what they are.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::words::{
    flag, is_on, is_to_be_open, members, number, plain_id, said, smells_gas, switch, value, word,
};
use super::{Form, Heard, Message};
use crate::domain::device::DeviceKey;
use crate::domain::time::Timestamp;
use crate::simulate::body::Points;
use crate::simulate::unit::Order;

/// The devices of one `Zigbee2MQTT`.
#[derive(Debug)]
pub(super) struct Zigbee2mqtt;

impl Form for Zigbee2mqtt {
    fn name(&self) -> &'static str {
        "zigbee2mqtt"
    }

    fn kinds(&self) -> &'static [&'static str] {
        &["gas_detector", "shutoff_valve", "charging_port", "smoke_detector"]
    }

    fn say(&mut self, key: &DeviceKey, points: &Points, now: Timestamp) -> Vec<Message> {
        let mut all = match &*key.kind {
            "gas_detector" => gas(points),
            "smoke_detector" => smoke(points),
            "shutoff_valve" => valve(points),
            _ => plug(points),
        };
        if let Some(battery) = said(points, "battery") {
            all.insert("battery".to_owned(), value(battery));
        }
        all.insert("linkquality".to_owned(), json!(94));
        all.insert("last_seen".to_owned(), json!(now.to_rfc3339()));
        vec![Message::new(topic(key), Value::Object(all).to_string())]
    }

    fn will(&self, _: &DeviceKey, _: bool) -> Option<Message> {
        None
    }

    fn presence(&mut self, key: &DeviceKey, online: bool, _: Timestamp) -> Vec<Message> {
        let state = if online { "online" } else { "offline" };
        let topic = format!("{}/availability", topic(key));
        vec![Message::new(topic, json!({ "state": state }).to_string()).kept()]
    }

    fn filters(&self) -> &'static [&'static str] {
        &["zigbee2mqtt/valve/+/set", "zigbee2mqtt/port/+/set"]
    }

    fn command_topic(&self, key: &DeviceKey) -> Option<String> {
        Some(format!("{}/set", topic(key)))
    }

    fn hear(&self, key: &DeviceKey, payload: &[u8]) -> Heard {
        #[derive(Deserialize)]
        struct Set {
            state: String,
        }
        let Ok(set) = serde_json::from_slice::<Set>(payload) else {
            return Heard::Unreadable;
        };
        let command = match &*set.state {
            "ON" => Some(switch(&key.kind, true)),
            "OFF" => Some(switch(&key.kind, false)),
            _ => None,
        };
        Heard::Order(Order {
            command,
            ..Order::default()
        })
    }
}

fn topic(key: &DeviceKey) -> String {
    let sort = match &*key.kind {
        "gas_detector" => "gas",
        "smoke_detector" => "smoke",
        "shutoff_valve" => "valve",
        _ => "port",
    };
    format!("zigbee2mqtt/{sort}/{}", plain_id(key))
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    }
}

fn gas(points: &Points) -> Map<String, Value> {
    object(json!({
        "gas": smells_gas(points),
        "gas_value": number(points, "lel"),
        "fault_alarm": word(points, "state") == Some("fault"),
        "preheat": false,
    }))
}

fn smoke(points: &Points) -> Map<String, Value> {
    let mut all = members(points, &["smoke", "temperature"]);
    all.insert("fault_alarm".to_owned(), json!(flag(points, "fault")));
    all.insert("test".to_owned(), json!(false));
    all
}

/// What it was told, and where it stands.
fn valve(points: &Points) -> Map<String, Value> {
    let stands = match word(points, "position") {
        Some("open") => "open",
        Some("closed") => "close",
        _ => "unknown",
    };
    let told = if is_to_be_open(points) { "ON" } else { "OFF" };
    object(json!({ "state": told, "valve_state": stands }))
}

fn plug(points: &Points) -> Map<String, Value> {
    let mut all = members(points, &["power", "current", "voltage"]);
    all.insert(
        "state".to_owned(),
        json!(if is_on(points) { "ON" } else { "OFF" }),
    );
    all.extend(said(points, "temperature").map(|said| ("device_temperature".to_owned(), value(said))));
    all
}
