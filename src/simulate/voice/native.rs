//! ninewatch's own wire form.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::words::value;
use super::{Form, Heard, Message};
use crate::domain::device::DeviceKey;
use crate::domain::time::Timestamp;
use crate::simulate::body::{Command, Points};
use crate::simulate::unit::Order;

/// The native form.
#[derive(Debug)]
pub(super) struct Native;

impl Form for Native {
    fn name(&self) -> &'static str {
        "native"
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

    fn id(&self, key: &DeviceKey) -> String {
        key.device.clone()
    }

    fn say(&mut self, key: &DeviceKey, points: &Points, now: Timestamp) -> Vec<Message> {
        let mut members = Map::new();
        members.insert("ts".to_owned(), json!(now.0));
        for (name, said) in points {
            members.insert((*name).to_owned(), value(*said));
        }
        let payload = Value::Object(members).to_string();
        vec![Message::new(topic(key, "telemetry"), payload)]
    }

    fn will(&self, key: &DeviceKey, online: bool) -> Option<Message> {
        let word = if online { "online" } else { "offline" };
        Some(Message::new(topic(key, "status"), word).kept())
    }

    fn filters(&self) -> &'static [&'static str] {
        &["ninewatch/+/+/+/command"]
    }

    fn command_topic(&self, key: &DeviceKey) -> Option<String> {
        Some(topic(key, "command"))
    }

    fn hear(&self, _: &DeviceKey, payload: &[u8]) -> Heard {
        order(payload).map_or(Heard::Unreadable, Heard::Order)
    }

    fn acknowledgement(&self, key: &DeviceKey, order: &Order, ok: bool) -> Option<Message> {
        let id = order.id.as_ref()?;
        let payload = json!({ "id": id, "ok": ok }).to_string();
        Some(Message::new(topic(key, "ack"), payload))
    }

    /// In turn every sort of nonsense that devices in the field have been seen to send, then a stretch of one value
    /// that never moves.
    fn lie(&mut self, key: &DeviceKey, _: &Points, (turn, now): (usize, Timestamp)) -> Message {
        let ts = now.0;
        let payload = match turn % 12 {
            0 => format!(r#"{{"ts":{ts},"lel":NaN}}"#).into_bytes(),
            1 => format!(r#"{{"ts":{ts},"lel":12.4,"temper"#).into_bytes(),
            2 => format!(r#"{{"ts":{ts},"lel":"soon"}}"#).into_bytes(),
            3 => format!(r#"{{"ts":{ts},"lel":-4000}}"#).into_bytes(),
            4 => format!(r#"{{"ts":{ts},"lel":3.0,"lel":88.0}}"#).into_bytes(),
            5 => vec![0xff, 0xfe, 0x00, 0x42],
            _ => format!(r#"{{"ts":{ts},"lel":4.0,"temperature":21.0,"battery":77,"state":"normal"}}"#)
                .into_bytes(),
        };
        Message::new(topic(key, "telemetry"), payload)
    }
}

/// The topic of `key` with this last level.
fn topic(key: &DeviceKey, leaf: &str) -> String {
    format!("ninewatch/{}/{}/{}/{leaf}", key.venue, key.kind, key.device)
}

#[derive(Deserialize)]
struct Wire {
    id: String,
    command: String,
    expires_at: i64,
}

fn order(payload: &[u8]) -> Option<Order> {
    let wire: Wire = serde_json::from_slice(payload).ok()?;
    Some(Order {
        id: Some(wire.id),
        command: Command::parse(&wire.command),
        expires_at: Some(Timestamp(wire.expires_at)),
    })
}

#[cfg(test)]
mod tests {
    use super::order;
    use crate::domain::time::Timestamp;
    use crate::simulate::body::Command;
    use crate::simulate::unit::Order;

    #[test]
    fn a_command_is_read_and_what_is_none_is_not() {
        let written = br#"{"id":"01J","command":"close","expires_at":1767225610000}"#;
        let read = Order {
            id: Some("01J".to_owned()),
            command: Some(Command::Close),
            expires_at: Some(Timestamp(1_767_225_610_000)),
        };
        assert_eq!(order(written), Some(read));
        let unknown = order(br#"{"id":"1","command":"dance","expires_at":1}"#).unwrap();
        assert_eq!(unknown.command, None);
        for none in [
            "",
            "close",
            r#"{"command":"close"}"#,
            r#"{"id":"1","command":"close"}"#,
        ] {
            assert_eq!(order(none.as_bytes()), None, "{none}");
        }
    }
}
