//! The promise of the decode path: a good payload of a known topic allocates nothing.

#![expect(clippy::unwrap_used, reason = "a test: what fails shall panic")]

use std::path::{Path, PathBuf};

use ninewatch::config::load_profile_tests;
use ninewatch::domain::kind::{Keep, Kind, PointDef, ValueType};
use ninewatch::domain::profile::decoder::{Decoder, Resolved, TopicId};
use ninewatch::domain::profile::def::{MessageDef, PointMap, ProfileDef, SourceDef};
use ninewatch::domain::profile::native::native;
use ninewatch::domain::profile::trial::Stimulus;
use ninewatch::domain::registry::Registry;
use ninewatch::domain::text::Text;
use ninewatch::domain::time::Moment;

const TELEMETRY: &str = "ninewatch/v1/gas_detector/g1/telemetry";
const STATUS: &str = "ninewatch/v1/gas_detector/g1/status";

fn decoder(profiles: &[ProfileDef]) -> Decoder {
    let point = |id: &str, value: ValueType| PointDef {
        id: id.to_owned(),
        value,
        default: None,
        stale_after: None,
        keep: Keep::default(),
        title: Text::default(),
    };
    let number = |id: &str| {
        point(
            id,
            ValueType::Number {
                unit: String::new(),
                min: -50.0,
                max: 200.0,
            },
        )
    };
    let state = ValueType::Enum {
        values: vec!["normal".to_owned(), "warmup".to_owned()],
    };
    let points = vec![number("lel"), number("temperature"), point("state", state)];
    let kinds = [Kind::new("gas_detector".to_owned(), Text::default(), points)];
    Decoder::new(profiles, &kinds, &Registry::default()).unwrap()
}

fn topic(decoder: &mut Decoder, name: &str) -> TopicId {
    match decoder.resolve(name) {
        Ok(Resolved::Message(topic)) => topic,
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn a_good_payload_of_a_known_topic_allocates_nothing() {
    let payload = br#"{"ts":1767225600000,"seq":4711,"lel":12.5,"temperature":"21.4","state":"warmup","tags":["a",{"b":1}],"test":false}"#;
    let mut decoder = decoder(&[native()]);
    topic(&mut decoder, TELEMETRY);
    topic(&mut decoder, STATUS);
    let mut points = 0;
    let seen = allocation_counter::measure(|| {
        for _ in 0..100 {
            let telemetry = topic(&mut decoder, TELEMETRY);
            let outcome = decoder.decode(telemetry, payload, Moment::default());
            assert!(outcome.parts == 1 && outcome.reject.is_none());
            points += decoder.part(0).unwrap().points.len();
            let status = topic(&mut decoder, STATUS);
            decoder.decode(status, b"online", Moment::default());
            points += decoder.part(0).unwrap().points.len();
        }
    });
    assert_eq!(points, 400);
    assert_eq!(seen.count_total, 0, "{seen:?}");
}

/// A station with ports in an array: the ports' ids are joined in scratch space.
fn station() -> ProfileDef {
    let place = |at: &str| SourceDef::at(at);
    ProfileDef {
        name: "station".to_owned(),
        messages: vec![MessageDef {
            topic: "fleet/{station}/up".to_owned(),
            kind: Some("gas_detector".to_owned()),
            device: Some("{station}-{port}".to_owned()),
            capture: vec![("port".to_owned(), place("/port"))],
            each: Some("/ports/*".to_owned()),
            seq: vec!["^/msgId".to_owned()],
            points: vec![
                PointMap {
                    point: "lel".to_owned(),
                    source: place("/lel"),
                    none: vec!["-1".to_owned()],
                    ..PointMap::default()
                },
                PointMap {
                    point: "state".to_owned(),
                    source: place("/status"),
                    map: vec![
                        ("0".to_owned(), "normal".to_owned()),
                        ("warm*".to_owned(), "warmup".to_owned()),
                    ],
                    ..PointMap::default()
                },
            ],
            ..MessageDef::default()
        }],
        ..ProfileDef::default()
    }
}

#[test]
fn a_good_payload_of_known_child_devices_allocates_nothing() {
    let payload = br#"{"msgId":"a-7","x":[1,{"y":null}],"ports":[{"port":1,"lel":3.5,"status":0},{"port":2,"lel":-1,"status":"Warming"}]}"#;
    let mut decoder = decoder(&[station()]);
    let id = topic(&mut decoder, "fleet/st-1/up");
    decoder.decode(id, payload, Moment::default());
    let mut points = 0;
    let seen = allocation_counter::measure(|| {
        for _ in 0..100 {
            let outcome = decoder.decode(id, payload, Moment::default());
            assert!(outcome.parts == 2 && outcome.reject.is_none());
            points += (0..2)
                .map(|at| decoder.part(at).unwrap().points.len())
                .sum::<usize>();
        }
    });
    assert_eq!(points, 300);
    assert_eq!(seen.count_total, 0, "{seen:?}");
}

/// Of every good message in the tests of every shipped profile, and of formats that none reads. A time by a pattern
/// (`strptime`) is the one thing that allocates.
#[test]
fn no_good_message_of_a_known_device_allocates() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<PathBuf> = std::fs::read_dir(root.join("config/profiles"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.push(root.join("tests/profiles/unseen.toml"));
    let mut tried = 0;
    for file in files {
        let own = load_profile_tests(&file).unwrap();
        if own.profiles.iter().any(|profile| profile.sparkplug.is_some()) {
            // Its tests are births, which are learnt.
            continue;
        }
        let mut decoder = Decoder::new(&own.profiles, &own.kinds, &Registry::default()).unwrap();
        for (line, test) in &own.tests {
            let Stimulus::Message {
                topic: name,
                payload,
                expect,
                ignored: false,
                ..
            } = &test.stimulus
            else {
                continue;
            };
            let Ok(Resolved::Message(id)) = decoder.resolve(name) else {
                continue;
            };
            // Of a word and an object on one topic the wrong one is refused first, with a text; both are rare.
            let mut points = expect.iter().flat_map(|part| &part.points);
            if points.any(|(point, _)| point == "online") {
                continue;
            }
            let first = decoder.decode(id, payload, Moment::default());
            if first.reject.is_some() {
                continue;
            }
            tried += 1;
            let seen = allocation_counter::measure(|| {
                let again = topic(&mut decoder, name);
                let answer = decoder.decode(again, payload, Moment::default());
                assert_eq!(
                    (answer.parts, answer.acks, answer.reject),
                    (first.parts, first.acks, None)
                );
            });
            assert_eq!(seen.count_total, 0, "{}:{line} {seen:?}", file.display());
        }
    }
    assert!(tried > 70, "{tried}");
}

#[test]
fn the_counter_counts() {
    let payload = br#"{"temperature":"hot"}"#;
    let mut decoder = decoder(&[native()]);
    let telemetry = topic(&mut decoder, TELEMETRY);
    let seen = allocation_counter::measure(|| {
        assert!(
            decoder
                .decode(telemetry, payload, Moment::default())
                .reject
                .is_some()
        );
    });
    assert!(seen.count_total > 0, "a rejection's text is allocated");
}
