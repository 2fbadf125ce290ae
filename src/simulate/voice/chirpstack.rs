//! `ChirpStack` v4: `LoRaWAN` devices with a codec, tagged by their kind; valves of class C.

use serde::Deserialize;
use serde_json::json;

use super::words::members;
use super::{Form, Heard, Message};
use crate::domain::device::DeviceKey;
use crate::domain::time::Timestamp;
use crate::simulate::body::{Command, Points};
use crate::simulate::unit::Order;

/// What the codec makes of the payloads.
const OBJECT: [&str; 7] = [
    "lel",
    "temperature",
    "state",
    "battery",
    "smoke",
    "fault",
    "position",
];

/// The application of all devices.
const APPLICATION: &str = "1";

/// Devices of one `ChirpStack`.
#[derive(Debug, Default)]
pub(super) struct Chirpstack {
    uplinks: u64,
}

impl Form for Chirpstack {
    fn name(&self) -> &'static str {
        "chirpstack-v4"
    }

    fn kinds(&self) -> &'static [&'static str] {
        &["gas_detector", "shutoff_valve", "smoke_detector"]
    }

    /// The `DevEUI`.
    fn id(&self, key: &DeviceKey) -> String {
        // FNV-1a: the same device has the same DevEUI each time.
        let text = format!("{}/{}", key.venue, key.device);
        let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        format!("{hash:016x}")
    }

    fn say(&mut self, key: &DeviceKey, points: &Points, now: Timestamp) -> Vec<Message> {
        let eui = self.id(key);
        self.uplinks += 1;
        let payload = json!({
            "deduplicationId": format!("{:08x}-0000-4000-8000-{:012x}", self.uplinks & 0xffff_ffff, now.0),
            "time": now.to_rfc3339(),
            "deviceInfo": {
                "applicationId": APPLICATION,
                "applicationName": "simulated",
                "deviceName": format!("{} {}", key.venue, key.device),
                "devEui": eui,
                "deviceClassEnabled": "CLASS_C",
                "tags": { "kind": key.kind },
            },
            "fPort": 10,
            "object": members(points, &OBJECT),
        });
        vec![Message::new(topic(&eui, "event/up"), payload.to_string())]
    }

    fn will(&self, _: &DeviceKey, _: bool) -> Option<Message> {
        None
    }

    fn filters(&self) -> &'static [&'static str] {
        &["application/1/device/+/command/down"]
    }

    fn command_topic(&self, key: &DeviceKey) -> Option<String> {
        Some(topic(&self.id(key), "command/down"))
    }

    fn hear(&self, key: &DeviceKey, payload: &[u8]) -> Heard {
        let Ok(down) = serde_json::from_slice::<Down>(payload) else {
            return Heard::Unreadable;
        };
        if down.dev_eui != self.id(key) {
            return Heard::Unreadable;
        }
        Heard::Order(Order {
            command: Command::parse(&down.object.command),
            ..Order::default()
        })
    }
}

#[derive(Deserialize)]
struct Down {
    #[serde(rename = "devEui")]
    dev_eui: String,
    object: Object,
}

#[derive(Deserialize)]
struct Object {
    command: String,
}

fn topic(eui: &str, leaf: &str) -> String {
    format!("application/{APPLICATION}/device/{eui}/{leaf}")
}
