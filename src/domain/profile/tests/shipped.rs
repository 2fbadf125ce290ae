//! The profiles of `config/profiles`, built here as the configuration builds them from the files, on payloads as
//! their makers document them.

use super::{decoder, json, key, key_of, map, message, named, profile, read, text, time, topic, with_map};
use crate::domain::profile::def::{MessageDef, ProfileDef, TimeUnit};
use crate::domain::registry::UNREGISTERED;
use crate::domain::time::Timestamp;

fn shipped(name: &str, kind: &str, subscribe: [&str; 2], messages: Vec<MessageDef>) -> ProfileDef {
    let of_kind = |message| MessageDef {
        kind: Some(kind.to_owned()),
        venue: None,
        ..message
    };
    ProfileDef {
        name: name.to_owned(),
        subscribe: subscribe.map(str::to_owned).to_vec(),
        ..profile(messages.into_iter().map(of_kind).collect())
    }
}

fn zigbee2mqtt_gas() -> ProfileDef {
    let points = vec![
        map("lel", "/gas_value"),
        with_map("state", "/preheat", &[("true", "warmup"), ("false", "normal")]),
        map("battery", "/battery"),
    ];
    let words = [("online", "true"), ("offline", "false")];
    let online = vec![with_map("online", "/state", &words)];
    shipped(
        "zigbee2mqtt-gas",
        "gas_detector",
        ["zigbee2mqtt/gas/+", "zigbee2mqtt/gas/+/availability"],
        vec![
            message(
                "zigbee2mqtt/gas/{device}",
                json(points, Some(time("/last_seen", TimeUnit::Rfc3339))),
            ),
            message("zigbee2mqtt/gas/{device}/availability", json(online, None)),
        ],
    )
}

fn tasmota_plug() -> ProfileDef {
    let points = vec![
        map("power", "/ENERGY/Power"),
        map("voltage", "/ENERGY/Voltage"),
        map("current", "/ENERGY/Current"),
    ];
    let point = with_map("online", "", &[("Online", "true"), ("Offline", "false")]);
    shipped(
        "tasmota-plug",
        "charging_port",
        ["tele/+/SENSOR", "tele/+/LWT"],
        vec![
            message("tele/{device}/SENSOR", json(points, None)),
            message("tele/{device}/LWT", text(point)),
        ],
    )
}

#[test]
fn shipped_profiles_read_their_makers_payloads() {
    let mut decoder = decoder(&[zigbee2mqtt_gas(), tasmota_plug()]);
    let table = [
        (
            "zigbee2mqtt/gas/kitchen",
            r#"{"gas":true,"gas_value":27,"preheat":false,"self_test":false,"linkquality":94,"last_seen":"2019-12-14T15:38:56.796Z"}"#,
            vec![("lel", 27.0), ("state", 0.0)],
            Some(1_576_337_936_796),
        ),
        (
            "zigbee2mqtt/gas/kitchen",
            r#"{"preheat":true}"#,
            vec![("state", 1.0)],
            None,
        ),
        (
            "zigbee2mqtt/gas/kitchen/availability",
            r#"{"state":"offline"}"#,
            vec![("online", 0.0)],
            None,
        ),
        (
            "tele/plug-1/SENSOR",
            r#"{"Time":"2018-02-15T17:37:10","ENERGY":{"TotalStartTime":"2018-01-01T00:00:00","Total":6.294,"Yesterday":5.340,"Today":0.954,"Period":217,"Power":2635,"ApparentPower":2650,"ReactivePower":282,"Factor":0.99,"Voltage":227,"Current":11.661}}"#,
            vec![("power", 2635.0), ("voltage", 227.0), ("current", 11.661)],
            None,
        ),
        ("tele/plug-1/LWT", "Offline", vec![("online", 0.0)], None),
        ("tele/plug-1/LWT", "Online", vec![("online", 1.0)], None),
    ];
    for (name, payload, expected, at) in table {
        let id = topic(&mut decoder, name);
        let seen = read(&mut decoder, id, payload.as_bytes());
        assert_eq!(
            (&seen.reject, seen.device_at),
            (&None, at.map(Timestamp)),
            "{payload}"
        );
        let points = seen.points.clone();
        let expected: Vec<_> = expected
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        assert_eq!(named(&decoder, id, &points), expected, "{payload}");
    }
    let kitchen = topic(&mut decoder, "zigbee2mqtt/gas/kitchen");
    assert_eq!(key_of(&decoder, kitchen), key("v9", "gas_detector", "kitchen"));
}

#[test]
fn a_plug_that_nobody_registered_is_taken_in_apart() {
    let mut decoder = decoder(&[tasmota_plug()]);
    let id = topic(&mut decoder, "tele/lamp/SENSOR");
    assert_eq!(key_of(&decoder, id), key(UNREGISTERED, "charging_port", "lamp"));
}
