//! Tests of the whole decoder: kinds, a registry and short ways to write profiles; the tests stand beside.

mod general;
mod mapping;
mod native_form;
mod properties;
mod shared;
mod shipped;
mod topics;

use super::Reject;
use super::decoder::{Decoder, Resolved, TopicId};
use super::def::{Form, MessageDef, PointMap, ProfileDef, SourceDef, TimeDef, TimeUnit};
use super::native::native;
use crate::domain::device::DeviceKey;
use crate::domain::kind::{Keep, Kind, PointDef, PointIndex, ValueType};
use crate::domain::reading::ReadingKind;
use crate::domain::registry::{RegisteredDevice, Registry};
use crate::domain::text::Text;
use crate::domain::time::{ClockBounds, Moment, Timestamp};

const TELEMETRY: &str = "ninewatch/v1/gas_detector/g1/telemetry";
const STATUS: &str = "ninewatch/v1/gas_detector/g1/status";

fn number(id: &str, min: f64, max: f64) -> PointDef {
    let unit = String::new();
    point(id, ValueType::Number { unit, min, max })
}

fn words(id: &str, values: &[&str]) -> PointDef {
    let values = values.iter().map(|value| (*value).to_owned()).collect();
    point(id, ValueType::Enum { values })
}

fn point(id: &str, value: ValueType) -> PointDef {
    PointDef {
        id: id.to_owned(),
        value,
        default: None,
        stale_after: None,
        keep: Keep::default(),
        title: Text::default(),
    }
}

fn kinds() -> Vec<Kind> {
    let gas = vec![
        number("lel", 0.0, 100.0),
        number("temperature", -40.0, 125.0),
        number("battery", 0.0, 100.0),
        words("state", &["normal", "warmup", "fault", "end_of_life"]),
        point("fault", ValueType::Bool),
    ];
    let port = vec![
        number("power", 0.0, 10_000.0),
        number("current", 0.0, 100.0),
        number("voltage", 0.0, 500.0),
    ];
    vec![
        Kind::new("gas_detector".to_owned(), Text::default(), gas),
        Kind::new("charging_port".to_owned(), Text::default(), port),
    ]
}

fn registry() -> Registry {
    let device = |kind: &str, device: &str| RegisteredDevice {
        key: key("v9", kind, device),
        name: String::new(),
        ..Default::default()
    };
    Registry::new(
        Vec::new(),
        vec![
            device("gas_detector", "kitchen"),
            device("charging_port", "plug-1"),
        ],
    )
}

fn key(venue: &str, kind: &str, device: &str) -> DeviceKey {
    DeviceKey {
        venue: venue.to_owned(),
        kind: kind.to_owned(),
        device: device.to_owned(),
    }
}

fn decoder(more: &[ProfileDef]) -> Decoder {
    let profiles: Vec<ProfileDef> = std::iter::once(native()).chain(more.iter().cloned()).collect();
    Decoder::new(&profiles, &kinds(), &registry()).unwrap()
}

fn topic(decoder: &mut Decoder, topic: &str) -> TopicId {
    match decoder.resolve(topic) {
        Ok(Resolved::Message(id)) => id,
        other => panic!("{topic}: {other:?}"),
    }
}

/// A payload of one part, as owned.
#[derive(Debug, PartialEq)]
struct Seen {
    device_at: Option<Timestamp>,
    clock: ClockBounds,
    seq: Option<u64>,
    kind: ReadingKind,
    points: Vec<(PointIndex, f64)>,
    /// Whether there is a part at all.
    usable: bool,
    reject: Option<Reject>,
}

fn read(decoder: &mut Decoder, id: TopicId, payload: &[u8]) -> Seen {
    let answer = decoder.decode(id, payload, Moment::default());
    assert!(answer.parts < 2, "{answer:?}");
    let part = decoder.part(0);
    Seen {
        device_at: part.and_then(|part| part.device_at),
        clock: part.map(|part| part.clock).unwrap_or_default(),
        seq: part.and_then(|part| part.seq),
        kind: part.map(|part| part.kind).unwrap_or_default(),
        points: part.map(|part| part.points.to_vec()).unwrap_or_default(),
        usable: part.is_some(),
        reject: answer.reject,
    }
}

fn named(decoder: &Decoder, id: TopicId, points: &[(PointIndex, f64)]) -> Vec<(String, f64)> {
    let kinds = kinds();
    let kind = &kinds[decoder.kind(decoder.slot(id).unwrap())];
    points
        .iter()
        .map(|(index, value)| (kind.point_at(*index).unwrap().id.clone(), *value))
        .collect()
}

fn key_of(decoder: &Decoder, id: TopicId) -> DeviceKey {
    decoder
        .slot(id)
        .map_or(key("", "", ""), |slot| decoder.key(slot).clone())
}

/// The points of `payload` by name, and its reject's reason.
fn points_of(payload: &str) -> (Vec<(String, f64)>, Option<&'static str>) {
    let mut decoder = decoder(&[]);
    let id = topic(&mut decoder, TELEMETRY);
    let seen = read(&mut decoder, id, payload.as_bytes());
    assert!(seen.usable, "{payload}: {seen:?}");
    (
        named(&decoder, id, &seen.points),
        seen.reject.as_ref().map(Reject::reason),
    )
}

fn map(point: &str, at: &str) -> PointMap {
    PointMap {
        point: point.to_owned(),
        source: if at.is_empty() {
            SourceDef::default()
        } else {
            SourceDef::at(at)
        },
        ..PointMap::default()
    }
}

fn with_map(point: &str, at: &str, words: &[(&str, &str)]) -> PointMap {
    let words = words
        .iter()
        .map(|(wire, own)| ((*wire).to_owned(), (*own).to_owned()));
    PointMap {
        map: words.collect(),
        ..map(point, at)
    }
}

fn time(at: &str, unit: TimeUnit) -> TimeDef {
    TimeDef {
        source: SourceDef::at(at),
        base: None,
        unit,
        zone: None,
    }
}

fn json(points: Vec<PointMap>, time: Option<TimeDef>) -> MessageDef {
    MessageDef {
        time,
        points,
        ..MessageDef::default()
    }
}

fn text(point: PointMap) -> MessageDef {
    MessageDef {
        form: Form::Text,
        points: vec![point],
        ..MessageDef::default()
    }
}

fn message(topic: &str, payload: MessageDef) -> MessageDef {
    MessageDef {
        topic: topic.to_owned(),
        kind: Some("gas_detector".to_owned()),
        venue: Some("v1".to_owned()),
        ..payload
    }
}

fn profile(messages: Vec<MessageDef>) -> ProfileDef {
    ProfileDef {
        name: "p".to_owned(),
        messages,
        ..ProfileDef::default()
    }
}

/// Decodes with a profile of one JSON message `x/{device}`.
fn mapped(points: Vec<PointMap>, payload: &str) -> (Vec<(String, f64)>, Option<Reject>) {
    let mut decoder = decoder(&[profile(vec![message("x/{device}", json(points, None))])]);
    let id = topic(&mut decoder, "x/g1");
    let seen = read(&mut decoder, id, payload.as_bytes());
    (named(&decoder, id, &seen.points), seen.reject)
}
