//! ninewatch's own wire form.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Message;
use crate::domain::device::DeviceKey;
use crate::domain::time::Timestamp;
use crate::simulate::body::{Command, Points, Said};
use crate::simulate::unit::Order;

/// The topic of `key` with this last level.
pub(super) fn topic(key: &DeviceKey, leaf: &str) -> String {
    format!("ninewatch/{}/{}/{}/{leaf}", key.venue, key.kind, key.device)
}

pub(super) fn telemetry(key: &DeviceKey, points: &Points, now: Timestamp) -> Message {
    let mut members = Map::new();
    members.insert("ts".to_owned(), json!(now.0));
    for (name, said) in points {
        let value = match said {
            Said::Number(number) => json!(number),
            Said::Flag(flag) => json!(flag),
            Said::Word(word) => json!(word),
        };
        members.insert((*name).to_owned(), value);
    }
    Message {
        topic: topic(key, "telemetry"),
        payload: Value::Object(members).to_string().into_bytes(),
    }
}

pub(super) fn status(key: &DeviceKey, online: bool) -> Message {
    Message {
        topic: topic(key, "status"),
        payload: if online { "online" } else { "offline" }.into(),
    }
}

/// In turn every sort of nonsense that devices in the field have been seen to send, then a stretch of one value that
/// never moves.
pub(super) fn lie(key: &DeviceKey, turn: usize, now: Timestamp) -> Message {
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
    Message {
        topic: topic(key, "telemetry"),
        payload,
    }
}

#[derive(Deserialize)]
struct Wire {
    id: String,
    command: String,
    expires_at: i64,
}

pub(super) fn order(payload: &[u8]) -> Option<Order> {
    let wire: Wire = serde_json::from_slice(payload).ok()?;
    Some(Order {
        id: Some(wire.id),
        command: Command::parse(&wire.command),
        expires_at: Some(Timestamp(wire.expires_at)),
    })
}

pub(super) fn acknowledgement(key: &DeviceKey, order: &Order, ok: bool) -> Option<Message> {
    let id = order.id.as_ref()?;
    Some(Message {
        topic: topic(key, "ack"),
        payload: json!({ "id": id, "ok": ok }).to_string().into_bytes(),
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
