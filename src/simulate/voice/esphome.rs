//! `ESPHome` nodes, one a device: every component is called by the point that it measures.

use super::words::{is_on, switch, word};
use super::{Form, Heard, Message};
use crate::domain::device::DeviceKey;
use crate::domain::time::Timestamp;
use crate::simulate::body::{Points, Said};
use crate::simulate::unit::Order;

/// Points that a text sensor says.
const TEXTS: [&str; 2] = ["state", "door"];

/// `ESPHome` nodes.
#[derive(Debug)]
pub(super) struct Esphome;

impl Form for Esphome {
    fn name(&self) -> &'static str {
        "esphome"
    }

    fn kinds(&self) -> &'static [&'static str] {
        &[
            "gas_detector",
            "shutoff_valve",
            "charging_port",
            "smoke_detector",
            "lift_blocker",
            "swap_cabinet",
        ]
    }

    fn say(&mut self, key: &DeviceKey, points: &Points, _: Timestamp) -> Vec<Message> {
        let node = node(self, key);
        let state = |component: &str, text: String| Message::new(format!("{node}/{component}/state"), text);
        let mut all = Vec::with_capacity(points.len());
        for (name, said) in points {
            all.extend(match said {
                Said::Number(number) => Some(state(&format!("sensor/{name}"), number.to_string())),
                Said::Flag(flag) => Some(state(&format!("binary_sensor/{name}"), relay(*flag).to_owned())),
                Said::Word(word) if TEXTS.contains(name) && key.kind != "charging_port" => {
                    Some(state(&format!("text_sensor/{name}"), (*word).to_owned()))
                }
                Said::Word(_) => None,
            });
        }
        let own = match &*key.kind {
            "shutoff_valve" => word(points, "position").map(|word| state("valve/position", word.to_owned())),
            "charging_port" => Some(state("switch/state", relay(is_on(points)).to_owned())),
            _ => None,
        };
        all.extend(own);
        all
    }

    fn will(&self, key: &DeviceKey, online: bool) -> Option<Message> {
        let word = if online { "online" } else { "offline" };
        Some(Message::new(format!("{}/status", node(self, key)), word).kept())
    }

    fn filters(&self) -> &'static [&'static str] {
        &[
            "esphome/shutoff_valve/+/valve/position/command",
            "esphome/charging_port/+/switch/state/command",
        ]
    }

    fn command_topic(&self, key: &DeviceKey) -> Option<String> {
        let component = match &*key.kind {
            "shutoff_valve" => "valve/position",
            "charging_port" => "switch/state",
            _ => return None,
        };
        Some(format!("{}/{component}/command", node(self, key)))
    }

    fn hear(&self, key: &DeviceKey, payload: &[u8]) -> Heard {
        let on = match payload {
            b"ON" | b"OPEN" => true,
            b"OFF" | b"CLOSE" => false,
            _ => return Heard::Unreadable,
        };
        Heard::Order(Order {
            command: Some(switch(&key.kind, on)),
            ..Order::default()
        })
    }
}

fn node(form: &Esphome, key: &DeviceKey) -> String {
    format!("esphome/{}/{}", key.kind, form.id(key))
}

const fn relay(on: bool) -> &'static str {
    if on { "ON" } else { "OFF" }
}
