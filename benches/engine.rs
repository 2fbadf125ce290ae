//! One reading through the engine (state, ten rules, journal) against the same logic written by hand.
//!
//! `cargo bench --bench engine`

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a bench that breaks down has failed"
)]

use std::hint::black_box;
use std::sync::Arc;

use divan::Bencher;
use ninewatch::domain::definitions::{DefinitionSource, Definitions};
use ninewatch::domain::device::{DeviceIndex, DeviceKey};
use ninewatch::domain::engine::{Effects, Engine};
use ninewatch::domain::journal::{DefinitionsInput, Input, Journal};
use ninewatch::domain::kind::{Kind, PointDef, PointIndex, ValueType};
use ninewatch::domain::reading::{Reading, ReadingKind};
use ninewatch::domain::rule::RuleDef;
use ninewatch::domain::text::Text;
use ninewatch::domain::time::{Moment, Ticks, Timestamp};

fn main() {
    assert_eq!(
        by_engine(100, 10_000),
        by_hand(100, 10_000),
        "both must see the same number of conditions hold"
    );
    divan::main();
}

const RULES: [&str; 10] = [
    "lel >= 50.0 && state != 'warmup'",
    "lel >= 25.0 && state != 'warmup'",
    "lel >= 10.0 && state != 'warmup'",
    "state == 'fault'",
    "state == 'end_of_life'",
    "battery < 15.0",
    "temperature > 70.0",
    "temperature < -20.0",
    "lel > 5.0 && temperature > 60.0",
    "online == false",
];

fn number(id: &str) -> PointDef {
    PointDef {
        id: id.to_owned(),
        value: ValueType::Number {
            unit: String::new(),
            min: -1e9,
            max: 1e9,
        },
        default: None,
        title: Text::default(),
    }
}

fn definitions() -> Definitions {
    let words = ["normal", "warmup", "fault", "end_of_life"];
    let state = PointDef {
        id: "state".to_owned(),
        value: ValueType::Enum {
            values: words.map(str::to_owned).to_vec(),
        },
        default: Some(0.0),
        title: Text::default(),
    };
    let points = vec![number("lel"), number("temperature"), number("battery"), state];
    let kinds = vec![Kind::new("gas_detector".to_owned(), Text::default(), points)];
    let rules = RULES
        .iter()
        .enumerate()
        .map(|(place, when)| RuleDef::new(&format!("rule-{place}"), "gas_detector", when));
    Definitions::compile(DefinitionSource {
        kinds,
        rules: rules.collect(),
        ..DefinitionSource::default()
    })
    .expect("the rules are right")
}

fn engine(devices: u32) -> Engine {
    let mut engine = Engine::new("bench");
    let mut effects = Effects::default();
    let definitions = Arc::new(definitions());
    let input = Input::Definitions(DefinitionsInput {
        hash: [0; 32],
        definitions: &definitions,
    });
    engine
        .handle(&input, Moment::default(), &mut effects)
        .expect("only operators are refused");
    for device in 0..devices {
        let key = DeviceKey {
            venue: format!("v{}", device / 4),
            kind: "gas_detector".to_owned(),
            device: format!("g{device}"),
        };
        engine
            .handle(&Input::Device(&key), Moment::default(), &mut effects)
            .expect("only operators are refused");
    }
    engine
}

/// A restful reading that differs from the last.
fn values(turn: u32) -> [f64; 3] {
    let wave = f64::from(turn % 97) / 97.0;
    [4.0 * wave, 20.0 + wave, 90.0 - wave]
}

/// Steps through `readings`; how many conditions came to hold.
fn by_engine(devices: u32, readings: u32) -> usize {
    let mut engine = engine(devices);
    let mut effects = Effects::default();
    for turn in 0..readings {
        read(&mut engine, &mut effects, turn, devices);
    }
    effects.alarms.len()
}

fn read(engine: &mut Engine, effects: &mut Effects, turn: u32, devices: u32) -> Moment {
    let [lel, temperature, battery] = values(turn);
    let points = [
        (PointIndex(1), lel),
        (PointIndex(2), temperature),
        (PointIndex(3), battery),
    ];
    let now = Moment {
        wall: Timestamp(i64::from(turn)),
        ticks: Ticks(u64::from(turn)),
    };
    let reading = Reading {
        device: DeviceIndex(turn % devices),
        device_at: None,
        kind: ReadingKind::Live,
        retained: false,
        points: &points,
    };
    engine
        .handle(&Input::Reading(black_box(reading)), now, effects)
        .expect("only operators are refused");
    now
}

#[derive(Clone, Copy, Default)]
struct ByHand {
    lel: f64,
    temperature: f64,
    battery: f64,
    state: u8,
    offline: bool,
    standing: [bool; 10],
}

impl ByHand {
    fn read(&mut self, [lel, temperature, battery]: [f64; 3]) -> usize {
        (self.lel, self.temperature, self.battery, self.offline) = (lel, temperature, battery, false);
        let warm = self.state != 1;
        let holds = [
            self.lel >= 50.0 && warm,
            self.lel >= 25.0 && warm,
            self.lel >= 10.0 && warm,
            self.state == 2,
            self.state == 3,
            self.battery < 15.0,
            self.temperature > 70.0,
            self.temperature < -20.0,
            self.lel > 5.0 && self.temperature > 60.0,
            self.offline,
        ];
        let mut raised = 0;
        for (standing, holds) in self.standing.iter_mut().zip(holds) {
            if holds && !*standing {
                raised += 1;
            }
            *standing = holds;
        }
        raised
    }
}

fn by_hand(devices: u32, readings: u32) -> usize {
    let mut table = vec![ByHand::default(); devices as usize];
    (0..readings)
        .map(|turn| table[(turn % devices) as usize].read(values(turn)))
        .sum()
}

#[divan::bench(args = [100, 1_000, 100_000])]
fn ten_rules_by_engine(bencher: Bencher<'_, '_>, devices: u32) {
    let mut engine = engine(devices);
    let mut effects = Effects::default();
    let mut turn = 0;
    bencher.bench_local(|| {
        turn += 1;
        read(&mut engine, &mut effects, turn, devices)
    });
}

#[divan::bench(args = [100, 1_000, 100_000])]
fn ten_rules_by_hand(bencher: Bencher<'_, '_>, devices: u32) {
    let mut table = vec![ByHand::default(); devices as usize];
    let mut turn = 0;
    bencher.bench_local(|| {
        turn += 1;
        table[(turn % devices) as usize].read(black_box(values(turn)))
    });
}

#[divan::bench]
fn journal_a_reading(bencher: Bencher<'_, '_>) {
    let points = [(PointIndex(1), 1.5), (PointIndex(2), 21.0), (PointIndex(3), 88.0)];
    let mut journal = Journal::default();
    let mut turn = 0_u64;
    bencher.bench_local(|| {
        turn += 1;
        if journal.inputs() >= 4_096 {
            journal = Journal::default();
        }
        let now = Moment {
            wall: Timestamp(1_767_225_600_000),
            ticks: Ticks(turn),
        };
        let reading = Reading {
            device: DeviceIndex(7),
            device_at: Some(now.wall),
            kind: ReadingKind::Live,
            retained: false,
            points: &points,
        };
        journal
            .push(now, &Input::Reading(black_box(reading)))
            .expect("a reading can be written");
    });
}
