//! Rules on several kinds, and on every kind: one rule, an alarm for each device, and what is said of a wrong one.

use ninewatch::domain::definitions::{DefinitionSource, Definitions, RuleProblem};
use ninewatch::domain::device::{DeviceIndex, DeviceKey};
use ninewatch::domain::kind::{Keep, Kind, ONLINE, PointDef, PointIndex, ValueType};
use ninewatch::domain::reading::{Arrival, Reading, ReadingKind};
use ninewatch::domain::rule::{RuleDef, RuleField};

use crate::bench::{Bench, LEL, gas_kind, high, key, rule, text};

const SMOKE: PointIndex = PointIndex(1);

fn smoke_kind() -> Kind {
    let smoke = PointDef {
        id: "smoke".to_owned(),
        value: ValueType::Bool,
        default: None,
        stale_after: None,
        keep: Keep::default(),
        title: text("smoke"),
    };
    let battery = PointDef {
        id: "battery".to_owned(),
        value: ValueType::Number {
            unit: "%".to_owned(),
            min: 0.0,
            max: 100.0,
        },
        ..smoke.clone()
    };
    Kind::new("smoke_detector".to_owned(), text("smoke"), vec![smoke, battery])
}

fn on(kinds: &[&str], rule: RuleDef) -> RuleDef {
    RuleDef {
        on: kinds.iter().map(|kind| (*kind).to_owned()).collect(),
        ..rule
    }
}

/// A bench with a gas detector and a smoke detector.
fn bench(rules: Vec<RuleDef>) -> (Bench, DeviceIndex) {
    let mut bench = Bench::with(Vec::new());
    bench.define_on(vec![gas_kind(), smoke_kind()], rules);
    let smoke = bench.admit(&DeviceKey {
        kind: "smoke_detector".to_owned(),
        ..key("s1")
    });
    (bench, smoke)
}

fn say(bench: &mut Bench, device: DeviceIndex, points: &[(PointIndex, f64)]) {
    bench.feed(Reading {
        device,
        device_at: None,
        seq: None,
        kind: ReadingKind::Live,
        arrival: Arrival::First,
        points,
    });
}

#[test]
fn one_rule_raises_for_each_device_of_its_kinds() {
    let kinds: [&[&str]; 2] = [&["gas_detector", "smoke_detector"], &["device"]];
    for kinds in kinds {
        let (mut bench, smoke) = bench(vec![on(kinds, rule("offline", "online == false", None))]);
        for device in [DeviceIndex(0), smoke] {
            say(&mut bench, device, &[(ONLINE, 0.0)]);
        }
        let alarms: Vec<(&str, &str)> = bench
            .effects
            .alarms
            .iter()
            .map(|event| (event.alarm.rule.id.as_str(), event.alarm.device.device.as_str()))
            .collect();
        assert_eq!(alarms, [("offline", "g1"), ("offline", "s1")], "{kinds:?}");
        say(&mut bench, smoke, &[(ONLINE, 1.0)]);
        assert_eq!(bench.engine.standing_count(), 1, "{kinds:?}");
    }
}

#[test]
fn a_rule_that_leaves_a_kind_ends_its_alarms_there() {
    let offline = rule("offline", "online == false", None);
    let (mut bench, smoke) = bench(vec![on(&["device"], offline.clone())]);
    for device in [DeviceIndex(0), smoke] {
        say(&mut bench, device, &[(ONLINE, 0.0)]);
    }
    bench.seen();
    bench.define_on(vec![gas_kind(), smoke_kind()], vec![offline]);
    assert_eq!(bench.seen(), ["offline cleared"]);
    assert_eq!(bench.engine.standing_count(), 1);
}

#[test]
fn suppression_is_among_the_rules_of_each_kind() {
    let quiet = RuleDef {
        suppressed_by: vec!["gas-high".to_owned()],
        ..rule("here", "online", None)
    };
    let (mut bench, smoke) = bench(vec![on(&["device"], quiet), high()]);
    say(&mut bench, DeviceIndex(0), &[(LEL, 60.0)]);
    assert_eq!(bench.seen_untold(), ["here raised"]);
    bench.effects.alarms.clear();
    say(&mut bench, smoke, &[(SMOKE, 0.0)]);
    assert_eq!(
        bench.told(),
        ["here raised"],
        "nothing explains that of the smoke detector"
    );
}

/// What is wrong with `rules`.
fn problems(rules: Vec<RuleDef>) -> Vec<String> {
    let kinds = vec![gas_kind(), smoke_kind()];
    let errors = Definitions::compile(DefinitionSource {
        kinds,
        rules,
        ..DefinitionSource::default()
    })
    .unwrap_err();
    let told = errors.into_iter().map(|error| match error.problem {
        RuleProblem::Expression(RuleField::When, error) => error.message,
        RuleProblem::Suppressor { problem, .. } => problem,
        other @ (RuleProblem::UnknownKind
        | RuleProblem::DuplicateId
        | RuleProblem::UnknownSchedule { .. }
        | RuleProblem::Faulty(_)
        | RuleProblem::Action(_)
        | RuleProblem::Expression(RuleField::Clear, _)) => format!("{other:?}"),
    });
    told.collect()
}

#[test]
fn an_error_names_the_kind_unless_it_is_the_same_on_each() {
    for (kinds, when, expected) in [
        (
            &["device"][..],
            "lel > 5",
            vec!["the kind `smoke_detector` has no point"],
        ),
        (
            &["smoke_detector", "gas_detector"],
            "max(lel, '5m') > 5 || smoke",
            vec!["the kind `gas_detector` has", "the kind `smoke_detector` has"],
        ),
        (
            &["device"],
            "battery || online",
            vec![
                "the kind `gas_detector` has",
                "on the kind `smoke_detector`: each side",
            ],
        ),
        (
            &["smoke_detector"],
            "lel > 5",
            vec!["the kind `smoke_detector` has no point `lel`"],
        ),
        (&["device"], "online >", vec!["a value is missing"]),
        (
            &["device"],
            "leel > 5",
            vec!["the kind `gas_detector` has", "the kind `smoke_detector` has"],
        ),
        (&["device", "valve"], "online", vec!["UnknownKind"]),
        (&[], "online", vec!["UnknownKind"]),
    ] {
        let told = problems(vec![on(kinds, rule("r", when, None))]);
        let fits = told.len() == expected.len()
            && told
                .iter()
                .zip(&expected)
                .all(|(told, expected)| told.starts_with(expected));
        assert!(fits, "{kinds:?} {when}: {told:?}");
    }
}

#[test]
fn a_suppressor_that_is_on_none_of_the_kinds_is_told_of_once() {
    let rules = vec![
        on(
            &["device"],
            RuleDef {
                suppressed_by: vec!["gas-hihg".to_owned()],
                ..rule("here", "online", None)
            },
        ),
        high(),
    ];
    let expected = ["no rule of any of its kinds is called `gas-hihg`"];
    assert_eq!(problems(rules), expected);
}

#[test]
fn definitions_stored_with_a_single_kind_are_still_read() {
    let source = DefinitionSource {
        kinds: vec![gas_kind()],
        rules: vec![high()],
        ..DefinitionSource::default()
    };
    let (stored, _) = source.stored().unwrap();
    let old = stored.replace(r#""on":["gas_detector"]"#, r#""on":"gas_detector""#);
    assert_ne!(old, stored);
    assert_eq!(DefinitionSource::from_stored(&old).unwrap(), source);
}
