//! The profile that is always loaded: ninewatch's own topics and payloads (CONTRACT, "MQTT, the native form").

use super::{MessageDef, PayloadDef, PointMap, ProfileDef, TimeDef, TimeUnit};
use crate::domain::kind::ONLINE_NAME;
use crate::domain::time::ClockBounds;

/// The native profile. Telemetry members are the kind's points by name; `status` says `online` or `offline`.
pub fn native() -> ProfileDef {
    ProfileDef {
        name: "native".to_owned(),
        subscribe: vec!["ninewatch/#".to_owned()],
        ignore: vec![
            "ninewatch/+/+/+/command".to_owned(),
            "ninewatch/+/+/+/ack".to_owned(),
        ],
        clock: ClockBounds::default(),
        messages: vec![telemetry(), status()],
    }
}

fn telemetry() -> MessageDef {
    MessageDef {
        topic: "ninewatch/{venue}/{kind}/{device}/telemetry".to_owned(),
        kind: None,
        venue: None,
        payload: PayloadDef::Json {
            time: Some(TimeDef {
                at: "/ts".to_owned(),
                unit: TimeUnit::Milliseconds,
            }),
            test: Some("/test".to_owned()),
            history: Some("/history".to_owned()),
            seq: Some("/seq".to_owned()),
            by_name: true,
            points: Vec::new(),
        },
    }
}

fn status() -> MessageDef {
    let word = |wire: &str, value: &str| (wire.to_owned(), value.to_owned());
    MessageDef {
        topic: "ninewatch/{venue}/{kind}/{device}/status".to_owned(),
        kind: None,
        venue: None,
        payload: PayloadDef::Text {
            point: PointMap {
                point: ONLINE_NAME.to_owned(),
                at: String::new(),
                scale: 1.0,
                offset: 0.0,
                map: vec![word("online", "true"), word("offline", "false")],
            },
        },
    }
}
