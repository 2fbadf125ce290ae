//! What the registry decides: who is told of as unregistered.

use ninewatch::domain::definitions::DefinitionSource;
use ninewatch::domain::device::DeviceKey;
use ninewatch::domain::roll::Enrolled;
use ninewatch::domain::rule::{Class, RuleDef};

use crate::bench::{Bench, high, key, rule};

fn unregistered() -> RuleDef {
    RuleDef {
        class: Class::Hazard,
        ..rule("unregistered", "!registered()", None)
    }
}

fn enrolled(device: &str) -> Enrolled {
    Enrolled { key: key(device) }
}

/// Rules, and these registered devices.
fn source(devices: Vec<Enrolled>) -> DefinitionSource {
    DefinitionSource {
        rules: vec![unregistered(), high()],
        devices,
        ..DefinitionSource::default()
    }
}

/// A bench on which `g1` has been heard of and has said something.
fn bench(devices: Vec<Enrolled>) -> Bench {
    let mut bench = Bench::with(Vec::new());
    bench.lel(1.0);
    bench.define_all(source(devices));
    bench
}

#[test]
fn a_device_that_nobody_registered_is_told_of_once_and_no_more_when_it_is_registered() {
    let mut bench = bench(vec![enrolled("g2")]);
    assert_eq!(bench.told(), ["unregistered raised"]);
    for _ in 0..3 {
        bench.lel(1.0);
        bench.pass(7_200_000);
    }
    bench.restart();
    bench.lel(1.0);
    assert!(bench.seen().is_empty(), "once");
    bench.define_all(source(vec![enrolled("g2"), enrolled("g1")]));
    assert_eq!(bench.seen(), ["unregistered recovered", "unregistered cleared"]);
    bench.define_all(source(vec![enrolled("g2")]));
    assert_eq!(bench.seen(), ["unregistered raised"], "it was struck off");
}

#[test]
fn it_is_told_of_at_first_sight_and_judged_by_its_kind_all_the_same() {
    let mut bench = bench(vec![enrolled("g1")]);
    assert!(bench.seen().is_empty());
    let stranger = bench.admit(&DeviceKey {
        venue: "unregistered".to_owned(),
        ..key("g9")
    });
    assert_eq!(bench.seen(), ["unregistered raised"]);
    bench.feed(ninewatch::domain::reading::Reading {
        device: stranger,
        device_at: None,
        seq: None,
        kind: ninewatch::domain::reading::ReadingKind::Live,
        retained: false,
        points: &[(crate::bench::LEL, 60.0)],
    });
    assert_eq!(bench.seen(), ["gas-high raised"]);
}

#[test]
fn where_nobody_registers_devices_nobody_is_told_of() {
    let mut bench = bench(Vec::new());
    bench.admit(&key("g2"));
    bench.pass(7_200_000);
    assert!(bench.seen().is_empty());
}

#[test]
fn the_registry_is_found_in_any_order() {
    let names: Vec<String> = (0..20).map(|at| format!("g{}", (at * 7) % 20)).collect();
    let mut bench = bench(names.iter().map(|name| enrolled(name)).collect());
    for name in &names {
        bench.admit(&key(name));
    }
    assert!(bench.seen().is_empty());
    bench.admit(&key("g20"));
    assert_eq!(bench.seen(), ["unregistered raised"]);
}
