//! The gateway form of `ThingsBoard`: one topic for all devices, which are named in the payload.

use serde::Deserialize;
use serde_json::json;

use super::words::{members, plain_id};
use super::{Form, Heard, Message};
use crate::domain::device::DeviceKey;
use crate::domain::time::Timestamp;
use crate::simulate::body::{Command, Points};
use crate::simulate::unit::Order;

/// Devices behind a `ThingsBoard` gateway.
#[derive(Debug)]
pub(super) struct Thingsboard;

impl Form for Thingsboard {
    fn name(&self) -> &'static str {
        "thingsboard"
    }

    fn kinds(&self) -> &'static [&'static str] {
        &["gas_detector", "shutoff_valve", "charging_port", "smoke_detector"]
    }

    fn say(&mut self, key: &DeviceKey, points: &Points, now: Timestamp) -> Vec<Message> {
        // The sort of a device is known by its values: a port that says `smoke` would be a smoke detector too.
        let names: &[&str] = match &*key.kind {
            "gas_detector" => &["lel", "temperature", "state", "battery"],
            "shutoff_valve" => &["position", "battery", "fault"],
            "smoke_detector" => &["smoke", "temperature", "battery", "fault"],
            _ => &[
                "power",
                "current",
                "voltage",
                "temperature",
                "residual",
                "session_s",
            ],
        };
        let values = json!([{ "ts": now.0, "values": members(points, names) }]);
        let payload = json!({ (plain_id(key)): values });
        vec![Message::new(
            "v1/gateway/telemetry".to_owned(),
            payload.to_string(),
        )]
    }

    fn will(&self, _: &DeviceKey, _: bool) -> Option<Message> {
        None
    }

    fn filters(&self) -> &'static [&'static str] {
        &["v1/gateway/rpc"]
    }

    fn command_topic(&self, _: &DeviceKey) -> Option<String> {
        Some("v1/gateway/rpc".to_owned())
    }

    fn hear(&self, key: &DeviceKey, payload: &[u8]) -> Heard {
        let Ok(call) = serde_json::from_slice::<Call>(payload) else {
            return Heard::Unreadable;
        };
        if call.device != plain_id(key) {
            return Heard::Others;
        }
        Heard::Order(Order {
            id: Some(call.data.id),
            command: Command::parse(&call.data.method),
            expires_at: call.data.params.expires_at.map(Timestamp),
        })
    }
}

#[derive(Deserialize)]
struct Call {
    device: String,
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    id: String,
    method: String,
    #[serde(default)]
    params: Parameters,
}

#[derive(Deserialize, Default)]
struct Parameters {
    expires_at: Option<i64>,
}
