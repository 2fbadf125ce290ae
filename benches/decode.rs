//! Decode of a native payload of about 160 bytes, beside its floor: the bare typed parse of the same bytes.
//! And the topic look-up, with 1 000 topics in rotation.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a bench on fixed input: what fails shall panic"
)]

use divan::{Bencher, black_box};
use ninewatch::domain::kind::{Keep, Kind, PointDef, PointIndex, ValueType};
use ninewatch::domain::profile::decoder::{Decoder, Resolved, TopicId};
use ninewatch::domain::profile::native::native;
use ninewatch::domain::registry::Registry;
use ninewatch::domain::text::Text;
use ninewatch::domain::time::Moment;
use serde::Deserialize;

const TOPICS: usize = 1_000;

const PAYLOAD: &[u8] = br#"{"ts":1767225600000,"seq":184467,"lel":12.5,"temperature":21.4,"battery":88,"state":"normal","humidity":41.25,"pressure":1013.2,"history":false,"test":false}"#;

fn main() {
    check();
    divan::main();
}

#[derive(Deserialize)]
struct Floor<'a> {
    ts: i64,
    lel: f64,
    temperature: f64,
    battery: f64,
    state: &'a str,
    humidity: f64,
    pressure: f64,
    history: bool,
    test: bool,
}

fn number(id: &str) -> PointDef {
    point(
        id,
        ValueType::Number {
            unit: String::new(),
            min: -100.0,
            max: 2_000.0,
        },
    )
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

fn decoder() -> Decoder {
    let words = ["normal", "warmup", "fault", "end_of_life"];
    let state = ValueType::Enum {
        values: words.map(str::to_owned).to_vec(),
    };
    let points = vec![
        number("lel"),
        number("temperature"),
        number("battery"),
        point("state", state),
        number("humidity"),
        number("pressure"),
    ];
    let kinds = [Kind::new("gas_detector".to_owned(), Text::default(), points)];
    Decoder::new(&[native()], &kinds, &Registry::default()).unwrap()
}

fn topic(decoder: &mut Decoder, name: &str) -> TopicId {
    match decoder.resolve(name) {
        Ok(Resolved::Message(topic)) => topic,
        other => panic!("{name}: {other:?}"),
    }
}

fn topics() -> Vec<String> {
    (0..TOPICS)
        .map(|at| format!("ninewatch/venue-{}/gas_detector/detector-{at}/telemetry", at / 4))
        .collect()
}

/// Both sides read the same values, or the figures mean nothing.
fn check() {
    let floor: Floor<'_> = serde_json::from_slice(PAYLOAD).unwrap();
    assert_eq!(floor.state, "normal");
    let mut decoder = decoder();
    let id = topic(&mut decoder, &topics()[0]);
    let outcome = decoder.decode(id, PAYLOAD, Moment::default());
    assert!(outcome.parts == 1 && outcome.reject.is_none());
    let part = decoder.part(0).unwrap();
    assert_eq!(part.device_at.map(|at| at.0), Some(floor.ts));
    let values = [
        floor.lel,
        floor.temperature,
        floor.battery,
        0.0,
        floor.humidity,
        floor.pressure,
    ];
    let expected: Vec<(PointIndex, f64)> = (1..).map(PointIndex).zip(values).collect();
    assert_eq!(part.points, expected);
    assert!(!floor.history && !floor.test);
}

#[divan::bench]
fn floor_typed_parse(bencher: Bencher) {
    bencher.bench(|| {
        let floor: Floor<'_> = serde_json::from_slice(black_box(PAYLOAD)).unwrap();
        floor.lel
            + floor.temperature
            + floor.battery
            + floor.humidity
            + floor.pressure
            + floor.state.len() as f64
    });
}

#[divan::bench]
fn decode(bencher: Bencher) {
    let mut decoder = decoder();
    let id = topic(&mut decoder, &topics()[0]);
    bencher.bench_local(|| {
        decoder.decode(id, black_box(PAYLOAD), Moment::default());
        let part = decoder.part(0).unwrap();
        part.points.iter().map(|(_, value)| value).sum::<f64>()
    });
}

#[divan::bench]
fn resolve_1000_topics_in_rotation(bencher: Bencher) {
    let topics = topics();
    let mut decoder = decoder();
    for name in &topics {
        topic(&mut decoder, name);
    }
    let mut turn = topics.iter().cycle();
    bencher.bench_local(|| turn.next().map(|name| decoder.resolve(black_box(name))));
}
