//! The official MQTT protocol of `JetLinks`: products named by the kinds of their devices, properties by the points.

use serde::Deserialize;
use serde_json::json;

use super::words::members;
use super::{Form, Heard, Message};
use crate::domain::device::DeviceKey;
use crate::domain::time::Timestamp;
use crate::simulate::body::{Command, Points};
use crate::simulate::unit::Order;

/// The properties that the profile reads.
const PROPERTIES: [&str; 12] = [
    "lel",
    "temperature",
    "state",
    "battery",
    "position",
    "fault",
    "smoke",
    "power",
    "current",
    "voltage",
    "residual",
    "session_s",
];

/// Devices of a `JetLinks` platform.
#[derive(Debug, Default)]
pub(super) struct Jetlinks {
    messages: u64,
}

impl Jetlinks {
    fn topic(&self, key: &DeviceKey, leaf: &str) -> String {
        format!("/{}/{}/{leaf}", key.kind, self.id(key))
    }
}

impl Form for Jetlinks {
    fn name(&self) -> &'static str {
        "jetlinks"
    }

    fn kinds(&self) -> &'static [&'static str] {
        &["gas_detector", "shutoff_valve", "charging_port", "smoke_detector"]
    }

    fn say(&mut self, key: &DeviceKey, points: &Points, now: Timestamp) -> Vec<Message> {
        self.messages += 1;
        let payload = json!({
            "deviceId": self.id(key),
            "messageId": format!("{}-{}", now.0, self.messages),
            "timestamp": now.0,
            "properties": members(points, &PROPERTIES),
        });
        vec![Message::new(
            self.topic(key, "properties/report"),
            payload.to_string(),
        )]
    }

    fn will(&self, _: &DeviceKey, _: bool) -> Option<Message> {
        None
    }

    fn presence(&mut self, key: &DeviceKey, online: bool, now: Timestamp) -> Vec<Message> {
        let leaf = if online { "online" } else { "offline" };
        let payload = json!({ "deviceId": self.id(key), "timestamp": now.0 });
        vec![Message::new(self.topic(key, leaf), payload.to_string())]
    }

    fn filters(&self) -> &'static [&'static str] {
        &["/+/+/function/invoke"]
    }

    fn command_topic(&self, key: &DeviceKey) -> Option<String> {
        Some(self.topic(key, "function/invoke"))
    }

    /// The profile writes into `timestamp` until when the call is to be obeyed.
    fn hear(&self, key: &DeviceKey, payload: &[u8]) -> Heard {
        let Ok(call) = serde_json::from_slice::<Call>(payload) else {
            return Heard::Unreadable;
        };
        if call.device != self.id(key) {
            return Heard::Unreadable;
        }
        Heard::Order(Order {
            id: Some(call.message),
            command: Command::parse(&call.function),
            expires_at: call.timestamp.map(Timestamp),
        })
    }

    fn acknowledgement(&self, key: &DeviceKey, order: &Order, ok: bool) -> Option<Message> {
        let payload = json!({ "messageId": order.id.as_ref()?, "deviceId": self.id(key), "success": ok });
        let topic = self.topic(key, "function/invoke/reply");
        Some(Message::new(topic, payload.to_string()))
    }
}

#[derive(Deserialize)]
struct Call {
    #[serde(rename = "messageId")]
    message: String,
    #[serde(rename = "deviceId")]
    device: String,
    #[serde(rename = "functionId")]
    function: String,
    timestamp: Option<i64>,
}
