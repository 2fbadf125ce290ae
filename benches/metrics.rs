//! The series of devices in `/metrics`: 12 500 registered devices with three points, 50 000 series. Beside it the same lines
//! written by hand from names and values that lie ready, and the same series as gauges of the crate `prometheus`.
//!
//! `cargo bench --bench metrics`

#![expect(clippy::expect_used, reason = "a bench that breaks down has failed")]

use std::fmt::Write as _;
use std::sync::Arc;

use divan::{Bencher, black_box};
use ninewatch::domain::definitions::{DefinitionSource, Definitions};
use ninewatch::domain::device::{DeviceIndex, DeviceKey};
use ninewatch::domain::engine::{Effects, Engine, Survey};
use ninewatch::domain::journal::{DefinitionsInput, Input};
use ninewatch::domain::kind::{Keep, Kind, PointDef, PointIndex, ValueType};
use ninewatch::domain::reading::{Arrival, Reading, ReadingKind};
use ninewatch::domain::registry::{RegisteredDevice, Registry};
use ninewatch::domain::text::Text;
use ninewatch::domain::time::Moment;
use ninewatch::handoff::Directory;
use ninewatch::series::Names;
use prometheus::{Encoder as _, GaugeVec, Opts, TextEncoder};

const DEVICES: u32 = 12_500;
const POINTS: [&str; 3] = ["lel", "temperature", "battery"];
const SERIES: usize = 50_000;

fn main() {
    let town = Town::new();
    let (ours, hand) = (town.written(), by_hand(&lines(&town)));
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(str::to_owned)
            .collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&ours).len(), SERIES);
    assert!(sorted(&ours) == sorted(&hand), "both write the same series");
    divan::main();
}

/// A town whose devices have all spoken.
struct Town {
    engine: Engine,
    directory: Arc<Directory>,
}

fn key(device: u32) -> DeviceKey {
    DeviceKey {
        venue: format!("v{:04}", device / 5),
        kind: "gas_detector".to_owned(),
        device: format!("g{device}"),
    }
}

fn value(device: u32, point: u8) -> f64 {
    f64::from(device % 97) / 10.0 + f64::from(point)
}

impl Town {
    fn new() -> Town {
        let point = |id: &&str| PointDef {
            id: (*id).to_owned(),
            value: ValueType::Number {
                unit: String::new(),
                min: 0.0,
                max: 1_000.0,
            },
            default: None,
            stale_after: None,
            keep: Keep::default(),
            title: Text::default(),
        };
        let points = POINTS.iter().map(point).collect();
        let kind = Kind::new("gas_detector".to_owned(), Text::default(), points);
        let source = DefinitionSource {
            kinds: vec![kind],
            ..DefinitionSource::default()
        };
        let definitions = Arc::new(Definitions::compile(source).expect("they are right"));
        let mut engine = Engine::new("bench");
        let mut effects = Effects::default();
        let mut take = |input: &Input<'_>| {
            engine
                .handle(input, Moment::default(), &mut effects)
                .expect("it is no operator's");
        };
        take(&Input::Definitions(DefinitionsInput {
            hash: [0; 32],
            definitions: &definitions,
        }));
        for device in 0..DEVICES {
            take(&Input::Device(&key(device)));
            let points = [1, 2, 3].map(|point| (PointIndex(point), value(device, point)));
            take(&Input::Reading(Reading {
                device: DeviceIndex(device),
                device_at: None,
                seq: None,
                kind: ReadingKind::Live,
                arrival: Arrival::First,
                points: &points,
            }));
        }
        let registered = |device| RegisteredDevice {
            key: key(device),
            ..RegisteredDevice::default()
        };
        Town {
            engine,
            directory: Arc::new(Directory {
                registry: Registry::new(Vec::new(), (0..DEVICES).map(registered).collect()),
                definitions,
                ..Directory::default()
            }),
        }
    }

    fn survey(&self) -> Survey {
        let mut survey = Survey::default();
        while !self.engine.survey(&mut survey, 2_048) {}
        survey
    }

    fn written(&self) -> String {
        let mut text = String::new();
        let dropped = Names::default().write(&self.survey(), &self.directory, SERIES, &mut text);
        assert_eq!(dropped, 0, "there is room for all");
        text
    }
}

/// Every series: its name with the space behind it, and its value.
fn lines(town: &Town) -> Vec<(String, f64)> {
    let devices = town.directory.registry.devices();
    let mut lines = Vec::with_capacity(SERIES);
    for device in devices {
        let DeviceKey { venue, kind, device } = &device.key;
        let labels = format!("venue=\"{venue}\",device=\"{device}\",kind=\"{kind}\"");
        let number = device.trim_start_matches('g').parse().expect("it has a number");
        lines.push((format!("ninewatch_device_up{{{labels}}} "), 1.0));
        for (place, point) in (1_u8..).zip(POINTS) {
            let name = format!("ninewatch_point_value{{{labels},point=\"{point}\"}} ");
            lines.push((name, value(number, place)));
        }
    }
    lines
}

fn by_hand(lines: &[(String, f64)]) -> String {
    let mut text = String::new();
    for (name, value) in lines {
        text.push_str(name);
        let _infallible = writeln!(text, "{value}");
    }
    text
}

/// A scrape: the names are there from the one before.
#[divan::bench]
fn ninewatch(bencher: Bencher<'_, '_>) {
    let town = Town::new();
    let survey = town.survey();
    let mut names = Names::default();
    bencher.bench_local(|| {
        let mut text = String::new();
        names.write(black_box(&survey), &town.directory, SERIES, &mut text);
        text
    });
}

/// The first scrape after a change of the configuration.
#[divan::bench]
fn ninewatch_names_anew(bencher: Bencher<'_, '_>) {
    let town = Town::new();
    let survey = town.survey();
    bencher.bench_local(|| {
        let mut text = String::new();
        Names::default().write(black_box(&survey), &town.directory, SERIES, &mut text);
        text
    });
}

/// What the gateway's task does for a scrape, all parts of it together.
#[divan::bench]
fn survey(bencher: Bencher<'_, '_>) {
    let town = Town::new();
    bencher.bench_local(|| black_box(&town).survey());
}

/// The floor.
#[divan::bench]
fn lines_by_hand(bencher: Bencher<'_, '_>) {
    let lines = lines(&Town::new());
    bencher.bench_local(|| by_hand(black_box(&lines)));
}

/// What was not taken.
#[divan::bench(sample_count = 20)]
fn crate_prometheus(bencher: Bencher<'_, '_>) {
    let labels = ["venue", "device", "kind", "point"];
    let gauges = GaugeVec::new(Opts::new("point_value", "Values."), &labels).expect("a sound name");
    for device in 0..DEVICES {
        let key = key(device);
        for (place, point) in (0_u8..).zip(["up"].into_iter().chain(POINTS)) {
            let values = [&*key.venue, &*key.device, &*key.kind, point];
            gauges.with_label_values(&values).set(value(device, place));
        }
    }
    let registry = prometheus::Registry::new();
    registry.register(Box::new(gauges)).expect("it is the only one");
    bencher.bench_local(|| {
        let mut text = Vec::new();
        TextEncoder::new()
            .encode(&registry.gather(), &mut text)
            .expect("it is sound");
        text
    });
}
