//! The profile that is always loaded: ninewatch's own topics and payloads (CONTRACT, "MQTT, the native form").

use super::def::{
    AckDef, CommandDef, CommandPayload, Form, MarkDef, MessageDef, PointMap, ProfileDef, SourceDef, TimeDef,
    TimeUnit,
};
use crate::domain::kind::ONLINE_NAME;

/// The native profile's name.
pub const NATIVE: &str = "native";

/// The native profile. Telemetry members are the kind's points by name; `status` says `online` or `offline`; `ack`
/// answers a command.
pub fn native() -> ProfileDef {
    ProfileDef {
        name: NATIVE.to_owned(),
        subscribe: vec!["ninewatch/#".to_owned()],
        messages: vec![telemetry(), status(), ack()],
        commands: vec![command()],
        ..ProfileDef::default()
    }
}

fn telemetry() -> MessageDef {
    let mark = |at: &str| MarkDef {
        source: SourceDef::at(at),
        is: Vec::new(),
    };
    MessageDef {
        topic: "ninewatch/{venue}/{kind}/{device}/telemetry".to_owned(),
        time: Some(TimeDef {
            source: SourceDef::at("/ts"),
            base: None,
            unit: TimeUnit::Milliseconds,
            zone: None,
        }),
        test: Some(mark("/test")),
        history: Some(mark("/history")),
        seq: vec!["/seq".to_owned()],
        by_name: true,
        ..MessageDef::default()
    }
}

fn status() -> MessageDef {
    let word = |wire: &str, value: &str| (wire.to_owned(), value.to_owned());
    MessageDef {
        topic: "ninewatch/{venue}/{kind}/{device}/status".to_owned(),
        form: Form::Text,
        points: vec![PointMap {
            point: ONLINE_NAME.to_owned(),
            map: vec![word("online", "true"), word("offline", "false")],
            ..PointMap::default()
        }],
        ..MessageDef::default()
    }
}

fn ack() -> MessageDef {
    MessageDef {
        topic: "ninewatch/{venue}/{kind}/{device}/ack".to_owned(),
        ack: Some(AckDef {
            id: Some(SourceDef::at("/id")),
            ok: Some(MarkDef {
                source: SourceDef::at("/ok"),
                is: Vec::new(),
            }),
        }),
        ..MessageDef::default()
    }
}

fn command() -> CommandDef {
    let payload = serde_json::json!({
        "id": "{id}",
        "command": "{command}",
        "expires_at": "{expires_at}",
    });
    CommandDef {
        kind: None,
        command: None,
        topic: "ninewatch/{venue}/{kind}/{device}/command".to_owned(),
        payload: CommandPayload::Json(payload),
    }
}
