//! Shelly of the first generation: Gas with its valve, Smoke, and Plug S. Plain text, a topic a value.

use super::words::{METHANE_PPM, flag, is_on, number, plain_id, smells_gas, switch, word};
use super::{Form, Heard, Message};
use crate::domain::device::DeviceKey;
use crate::domain::time::Timestamp;
use crate::simulate::body::Points;
use crate::simulate::unit::Order;

/// The level, in %LEL, that a Shelly Gas calls heavy.
const HEAVY_AT: f64 = 40.0;

/// Shelly devices. A valve hangs on the venue's first gas detector, and has its id.
#[derive(Debug)]
pub(super) struct Shelly;

impl Form for Shelly {
    fn name(&self) -> &'static str {
        "shelly-gen1"
    }

    fn kinds(&self) -> &'static [&'static str] {
        &["gas_detector", "shutoff_valve", "charging_port", "smoke_detector"]
    }

    fn id(&self, key: &DeviceKey) -> String {
        match &*key.kind {
            "gas_detector" => format!("shellygas-{}", plain_id(key)),
            "shutoff_valve" => format!("shellygas-{}-g1", key.venue),
            "smoke_detector" => format!("shellysmoke-{}", plain_id(key)),
            _ => format!("shellyplug-s-{}", plain_id(key)),
        }
    }

    fn say(&mut self, key: &DeviceKey, points: &Points, _: Timestamp) -> Vec<Message> {
        let id = self.id(key);
        let text = |leaf: &str, text: String| Message::new(format!("shellies/{id}/{leaf}"), text);
        let figure =
            |leaf: &str, point: &str| number(points, point).map(|number| text(leaf, number.to_string()));
        match &*key.kind {
            "gas_detector" => gas(points)
                .into_iter()
                .map(|(leaf, value)| text(leaf, value))
                .collect(),
            "shutoff_valve" => vec![text("valve/0/state", valve(points).to_owned())],
            "smoke_detector" => {
                let smoke = text("sensor/smoke", flag(points, "smoke").to_string());
                let rest = [
                    figure("sensor/temperature", "temperature"),
                    figure("sensor/battery", "battery"),
                ];
                std::iter::once(smoke).chain(rest.into_iter().flatten()).collect()
            }
            _ => {
                let relay = match (word(points, "state"), is_on(points)) {
                    (Some("fault"), _) => "overpower",
                    (_, true) => "on",
                    (_, false) => "off",
                };
                let relay = text("relay/0", relay.to_owned());
                let rest = [
                    figure("relay/0/power", "power"),
                    figure("temperature", "temperature"),
                ];
                std::iter::once(relay).chain(rest.into_iter().flatten()).collect()
            }
        }
    }

    fn will(&self, key: &DeviceKey, online: bool) -> Option<Message> {
        // A valve has no connection: its detector has.
        let speaks = key.kind != "shutoff_valve";
        let topic = format!("shellies/{}/online", self.id(key));
        speaks.then(|| Message::new(topic, online.to_string()).kept())
    }

    fn filters(&self) -> &'static [&'static str] {
        &["shellies/+/valve/0/command", "shellies/+/relay/0/command"]
    }

    fn command_topic(&self, key: &DeviceKey) -> Option<String> {
        let part = match &*key.kind {
            "shutoff_valve" => "valve",
            "charging_port" => "relay",
            _ => return None,
        };
        Some(format!("shellies/{}/{part}/0/command", self.id(key)))
    }

    fn hear(&self, key: &DeviceKey, payload: &[u8]) -> Heard {
        let on = match payload {
            b"on" | b"open" => true,
            b"off" | b"close" => false,
            _ => return Heard::Unreadable,
        };
        Heard::Order(Order {
            command: Some(switch(&key.kind, on)),
            ..Order::default()
        })
    }
}

fn gas(points: &Points) -> [(&'static str, String); 3] {
    let lel = number(points, "lel").unwrap_or_default();
    let judged = match (lel >= HEAVY_AT, smells_gas(points)) {
        (true, _) => "heavy",
        (false, true) => "mild",
        (false, false) => "none",
    };
    let operation = word(points, "state").unwrap_or("normal");
    [
        ("sensor/operation", operation.to_owned()),
        ("sensor/gas", judged.to_owned()),
        ("sensor/concentration", (lel * METHANE_PPM).round().to_string()),
    ]
}

fn valve(points: &Points) -> &'static str {
    if flag(points, "fault") {
        return "failure";
    }
    match word(points, "position") {
        Some("open") => "opened",
        Some(word) => word,
        None => "unknown",
    }
}
