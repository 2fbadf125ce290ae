//! Tests of the Sparkplug codec: a town of one edge node, payloads by an encoder of their own, and shown parts.

mod births;
mod bounds;
mod properties;
mod values;
mod wire_form;

use std::fmt::Write as _;

use super::{MetricDef, Sparkplug, SparkplugDef};
use crate::domain::kind::{Keep, Kind, PointDef, ValueType};
use crate::domain::profile::def::PointMap;
use crate::domain::reading::ReadingKind;
use crate::domain::text::Text;
use crate::domain::time::{Moment, Ticks, Timestamp};

/// 2026-01-01T00:00:00Z.
const T0: u64 = 1_767_225_600_000;

const NBIRTH: &str = "spBv1.0/plant/NBIRTH/e1";
const NDEATH: &str = "spBv1.0/plant/NDEATH/e1";
const NDATA: &str = "spBv1.0/plant/NDATA/e1";
const DBIRTH: &str = "spBv1.0/plant/DBIRTH/e1/g1";
const DDEATH: &str = "spBv1.0/plant/DDEATH/e1/g1";
const DDATA: &str = "spBv1.0/plant/DDATA/e1/g1";
const NCMD: &str = "spBv1.0/plant/NCMD/e1";

const INT8: u32 = 1;
const INT16: u32 = 2;
const INT32: u32 = 3;
const INT64: u32 = 4;
const UINT32: u32 = 7;
const DOUBLE: u32 = 10;

fn at(seconds: u64) -> Moment {
    Moment {
        wall: Timestamp(i64::try_from(T0 + seconds * 1_000).unwrap()),
        ticks: Ticks(seconds * 1_000),
    }
}

fn kinds() -> Vec<Kind> {
    let point = |id: &str, value: ValueType| PointDef {
        id: id.to_owned(),
        value,
        default: None,
        stale_after: None,
        keep: Keep::default(),
        title: Text::default(),
    };
    let number = |id: &str| {
        let unit = String::new();
        let (min, max) = (-100_000.0, 100_000.0);
        point(id, ValueType::Number { unit, min, max })
    };
    let words = |id: &str, values: &[&str]| {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        point(id, ValueType::Enum { values })
    };
    vec![
        Kind::new(
            "gas_detector".to_owned(),
            Text::default(),
            vec![
                number("lel"),
                number("temperature"),
                words("state", &["normal", "fault"]),
            ],
        ),
        Kind::new(
            "shutoff_valve".to_owned(),
            Text::default(),
            vec![
                words("position", &["open", "closed"]),
                point("fault", ValueType::Bool),
            ],
        ),
        Kind::new("charging_port".to_owned(), Text::default(), vec![number("power")]),
    ]
}

fn metric(name: &str, kind: &str, point: &str) -> MetricDef {
    MetricDef {
        name: name.to_owned(),
        kind: kind.to_owned(),
        map: PointMap {
            point: point.to_owned(),
            ..PointMap::default()
        },
    }
}

fn mapped(name: &str, kind: &str, point: &str, words: &[(&str, &str)]) -> MetricDef {
    let mut metric = metric(name, kind, point);
    metric.map.map = words
        .iter()
        .map(|(wire, word)| ((*wire).to_owned(), (*word).to_owned()))
        .collect();
    metric
}

fn def() -> SparkplugDef {
    SparkplugDef {
        metrics: vec![
            metric("Gas/LEL", "gas_detector", "lel"),
            metric("Temperature", "gas_detector", "temperature"),
            mapped(
                "Gas/State",
                "gas_detector",
                "state",
                &[("0", "normal"), ("9", "fault")],
            ),
            mapped(
                "Valve/State",
                "shutoff_valve",
                "position",
                &[("0", "open"), ("1", "closed"), ("9", "closed")],
            ),
            mapped(
                "Valve/State",
                "shutoff_valve",
                "fault",
                &[("0", "false"), ("1", "false"), ("9", "true")],
            ),
            metric("Port{child}/Power", "charging_port", "power"),
        ],
        ..SparkplugDef::default()
    }
}

/// Everything that is said, in short: `gas_detector plant/e1/g1 @5s lel=12.5`, a rejection's reason, the requests.
struct Desk {
    codec: Sparkplug,
    kinds: Vec<Kind>,
}

impl Desk {
    fn new() -> Desk {
        let kinds = kinds();
        Desk {
            codec: Sparkplug::new(&def(), &kinds).unwrap(),
            kinds,
        }
    }

    fn hear(&mut self, topic: &str, payload: &[u8], second: u64) -> Vec<String> {
        let line = self.codec.resolve(topic).unwrap().unwrap().unwrap();
        let reject = self.codec.receive(line, payload, at(second));
        let mut said: Vec<String> = self.codec.parts().iter().map(|part| self.shown(part)).collect();
        said.extend(reject.map(|reject| format!("! {}", reject.reason())));
        said.extend(
            self.codec
                .requests()
                .map(|request| format!("> {}", request.topic)),
        );
        said
    }

    fn shown(&self, part: &super::Part) -> String {
        let subject = self.codec.subject(part.subject).unwrap();
        let kind = &self.kinds[subject.kind];
        let mut text = format!("{} {}", kind.id, subject.id);
        if let Some(Timestamp(at)) = part.device_at {
            write!(text, " @{}s", (at - i64::try_from(T0).unwrap()) / 1_000).unwrap();
        }
        if part.doubtful {
            text += " doubtful";
        }
        match part.kind {
            ReadingKind::Live => {}
            ReadingKind::History => text += " history",
            ReadingKind::Test => text += " test",
        }
        for (point, value) in self.codec.points(part) {
            write!(text, " {}={value}", kind.point_at(*point).unwrap().id).unwrap();
        }
        text
    }

    /// The node and its gas detector are born: `Gas/LEL` is alias 7, `Temperature` alias 8.
    fn born(&mut self) {
        self.hear(NBIRTH, &payload(0, &[long("bdSeq", 3)]), 0);
        let metrics = [
            double("Gas/LEL", 1.5).alias(7),
            double("Temperature", 20.0).alias(8),
            long("Serial", 4_711).alias(9),
        ];
        self.hear(DBIRTH, &payload(1, &metrics), 0);
    }
}

/// A metric as the tests' own encoder writes it: key by key, in the order of the field numbers.
#[derive(Debug, Clone, Default)]
struct M(Vec<u8>);

impl M {
    fn key(mut self, field: u32, wire: u32) -> M {
        varint(&mut self.0, u64::from(field << 3 | wire));
        self
    }

    fn number(self, field: u32, value: u64) -> M {
        let mut metric = self.key(field, 0);
        varint(&mut metric.0, value);
        metric
    }

    fn bytes(self, field: u32, bytes: &[u8]) -> M {
        let mut metric = self.key(field, 2);
        varint(&mut metric.0, bytes.len() as u64);
        metric.0.extend(bytes);
        metric
    }

    fn name(self, name: &str) -> M {
        self.bytes(1, name.as_bytes())
    }

    fn alias(self, alias: u64) -> M {
        self.number(2, alias)
    }

    fn taken(self, second: u64) -> M {
        self.number(3, T0 + second * 1_000)
    }

    fn datatype(self, datatype: u32) -> M {
        self.number(4, u64::from(datatype))
    }

    fn historical(self) -> M {
        self.number(5, 1)
    }

    fn null(self) -> M {
        self.number(7, 1)
    }

    fn int(self, value: u32) -> M {
        self.number(10, u64::from(value))
    }

    fn long(self, value: u64) -> M {
        self.number(11, value)
    }

    fn float(self, value: f32) -> M {
        let mut metric = self.key(12, 5);
        metric.0.extend(value.to_le_bytes());
        metric
    }

    fn double(self, value: f64) -> M {
        let mut metric = self.key(13, 1);
        metric.0.extend(value.to_le_bytes());
        metric
    }

    fn boolean(self, value: bool) -> M {
        self.number(14, u64::from(value))
    }

    fn text(self, value: &str) -> M {
        self.bytes(15, value.as_bytes())
    }
}

fn double(name: &str, value: f64) -> M {
    M::default().name(name).datatype(DOUBLE).double(value)
}

fn long(name: &str, value: u64) -> M {
    M::default().name(name).datatype(INT64).long(value)
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap());
}

/// A payload sent at second 0.
fn payload(seq: u64, metrics: &[M]) -> Vec<u8> {
    payload_at(0, seq, metrics)
}

fn payload_at(second: u64, seq: u64, metrics: &[M]) -> Vec<u8> {
    let whole = metrics
        .iter()
        .fold(M::default().number(1, T0 + second * 1_000), |whole, metric| {
            whole.bytes(2, &metric.0)
        });
    whole.number(3, seq).0
}
