//! The promise of the engine's path: a reading that moves no alarm allocates nothing, whatever the rules are made of.

#![expect(clippy::unwrap_used, reason = "a test: what fails shall panic")]

use std::sync::Arc;

use ninewatch::domain::definitions::{DefinitionSource, Definitions};
use ninewatch::domain::device::{DeviceIndex, DeviceKey};
use ninewatch::domain::engine::{Effects, Engine};
use ninewatch::domain::journal::{DefinitionsInput, Input};
use ninewatch::domain::kind::{Keep, Kind, PointDef, PointIndex, ValueType};
use ninewatch::domain::reading::{Arrival, Reading, ReadingKind};
use ninewatch::domain::rule::RuleDef;
use ninewatch::domain::text::Text;
use ninewatch::domain::time::{ClockBounds, Millis, Moment, Ticks, Timestamp};

/// Seventy rules, so that their places do not fit one word, of every form: compared, calculated with, over time, with
/// an off-delay, and one that waits for evidence all the time.
fn engine() -> Engine {
    let number = |id: &str| PointDef {
        id: id.to_owned(),
        value: ValueType::Number {
            unit: String::new(),
            min: -50.0,
            max: 200.0,
        },
        default: None,
        stale_after: None,
        keep: Keep::default(),
        title: Text::default(),
    };
    let when = |place: u32| match place % 5 {
        0 => format!("lel >= {}.5", 50 + place),
        1 => format!("lel - temperature > {}.0 && !online", 10 + place),
        2 => format!("lel > {place}.0 && (temperature > 60.0 || lel * 2.0 > 150.0)"),
        3 => "max(lel, '1m') - min(lel, '1m') > 100.0 && rate(lel, '30s') > 50.0".to_owned(),
        _ => "held('10m', lel > 100.0) || avg(temperature, '5m') > 90.0".to_owned(),
    };
    let mut rules: Vec<RuleDef> = (0..70)
        .map(|place| RuleDef {
            keep_for: Millis(30_000),
            ..RuleDef::new(&format!("rule-{place}"), "gas_detector", &when(place))
        })
        .collect();
    rules.push(RuleDef {
        hold: Millis(3_600_000),
        ..RuleDef::new("waiting", "gas_detector", "lel > 1.0")
    });
    let points = vec![number("lel"), number("temperature")];
    let definitions = Definitions::compile(DefinitionSource {
        kinds: vec![Kind::new("gas_detector".to_owned(), Text::default(), points)],
        rules,
        ..DefinitionSource::default()
    });
    let definitions = Arc::new(definitions.unwrap());
    let mut engine = Engine::new("g");
    let input = Input::Definitions(DefinitionsInput {
        hash: [0; 32],
        definitions: &definitions,
    });
    let mut effects = Effects::default();
    engine.handle(&input, Moment::default(), &mut effects).unwrap();
    let key = DeviceKey {
        venue: "v".to_owned(),
        kind: "gas_detector".to_owned(),
        device: "g1".to_owned(),
    };
    engine
        .handle(&Input::Device(&key), Moment::default(), &mut effects)
        .unwrap();
    engine
}

fn read(engine: &mut Engine, effects: &mut Effects, second: u32, lel: f64) {
    let points = [(PointIndex(1), lel), (PointIndex(2), 20.0)];
    let now = Moment {
        wall: Timestamp(1_767_225_600_000 + i64::from(second) * 1_000),
        ticks: Ticks(u64::from(second) * 1_000),
    };
    let reading = Reading {
        device: DeviceIndex(0),
        device_at: Some(ClockBounds::default().judge(now.wall, now.wall)),
        seq: None,
        kind: ReadingKind::Live,
        arrival: Arrival::First,
        points: &points,
    };
    // As the gateway does: it takes the samples out, and leaves the space.
    effects.samples.clear();
    engine.handle(&Input::Reading(reading), now, effects).unwrap();
}

#[test]
fn a_reading_in_steady_state_allocates_nothing() {
    for lel in [10.0, 51.0] {
        let mut engine = engine();
        let mut effects = Effects::default();
        for second in 0..10 {
            read(&mut engine, &mut effects, second, lel);
        }
        let raised = effects.alarms.len();
        assert_eq!(
            raised > 0,
            lel > 50.0,
            "one row is quiet, in the other alarms stand"
        );
        let evaluations = effects.evaluations;
        let seen = allocation_counter::measure(|| {
            for second in 10..110 {
                read(
                    &mut engine,
                    &mut effects,
                    second,
                    lel - f64::from(second) / 1_000.0,
                );
            }
        });
        assert!(
            effects.evaluations >= evaluations + 70 * 100,
            "one that waits asks every rule of the point, each time"
        );
        assert_eq!(effects.samples.len(), 1, "the lel differs each time, and is kept");
        assert_eq!(effects.alarms.len(), raised);
        assert_eq!(seen.count_total, 0, "{seen:?}");
    }
}

#[test]
fn the_counter_counts() {
    let mut engine = engine();
    let mut effects = Effects::default();
    let seen = allocation_counter::measure(|| read(&mut engine, &mut effects, 0, 51.0));
    assert!(seen.count_total > 0, "an alarm is allocated");
}
