//! What the registry decides: who is told of as unregistered, who moved, who is out of use, who may be silent for long.

use ninewatch::domain::definitions::DefinitionSource;
use ninewatch::domain::device::{DeviceIndex, DeviceKey};
use ninewatch::domain::reading::{Arrival, Reading, ReadingKind};
use ninewatch::domain::roll::Enrolled;
use ninewatch::domain::rule::{Class, RuleDef};
use ninewatch::domain::time::Millis;

use crate::bench::{Bench, LEL, high, key, rule};

fn unregistered() -> RuleDef {
    RuleDef {
        class: Class::Hazard,
        ..rule("unregistered", "!registered()", None)
    }
}

fn enrolled(device: &str) -> Enrolled {
    Enrolled {
        key: key(device),
        ..Enrolled::default()
    }
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
    bench.feed(Reading {
        device: stranger,
        device_at: None,
        seq: None,
        kind: ReadingKind::Live,
        arrival: Arrival::First,
        points: &[(LEL, 60.0)],
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

/// `g1` of `v1`, which is `g7` of `v2` now.
fn renamed() -> Enrolled {
    Enrolled {
        key: DeviceKey {
            venue: "v2".to_owned(),
            ..key("g7")
        },
        aliases: vec![key("g1")],
        ..Enrolled::default()
    }
}

#[test]
fn a_device_that_moved_keeps_its_number_values_and_alarms() {
    let mut bench = bench(vec![enrolled("g1")]);
    bench.lel(60.0);
    assert_eq!(bench.seen(), ["gas-high raised"]);
    bench.define_all(source(vec![renamed()]));
    assert!(
        bench.seen().is_empty(),
        "its alarm stands on, and it is registered"
    );
    let moved: Vec<_> = bench.effects.moved.drain(..).collect();
    assert_eq!(
        moved
            .iter()
            .map(|moved| (moved.device, (*moved.key).clone()))
            .collect::<Vec<_>>(),
        [(DeviceIndex(0), renamed().key)]
    );
    let events: Vec<_> = bench.effects.devices.drain(..).collect();
    assert_eq!(events[0].step.event_type(), "device.moved");
    assert_eq!(events[0].step.from(), Some(&key("g1")));
    assert_eq!(bench.engine.find(&key("g1")), None);
    assert_eq!(bench.engine.find(&renamed().key), Some(DeviceIndex(0)));
    bench.restart();
    assert_eq!(bench.engine.find(&renamed().key), Some(DeviceIndex(0)));
    assert_eq!(bench.engine.standing_count(), 1);
    // It is quiet for half a minute, so its alarm recovers, under its new name.
    bench.lel(1.0);
    bench.pass(31_000);
    bench.lel(1.0);
    let event = bench.effects.alarms.pop().unwrap();
    assert_eq!(
        (event.step.as_str(), &*event.alarm.device),
        ("recovered", &renamed().key)
    );
    bench.define_all(source(vec![renamed(), enrolled("g9")]));
    assert!(bench.effects.moved.is_empty(), "once");
}

#[test]
fn a_venue_that_a_device_left_or_came_to_is_judged_anew() {
    let empty = RuleDef {
        on: vec!["venue".to_owned()],
        ..rule("no-detector", "gas_detector.size() == 0", None)
    };
    let with = |devices| DefinitionSource {
        rules: vec![empty.clone()],
        devices,
        ..DefinitionSource::default()
    };
    let mut bench = Bench::with(Vec::new());
    bench.define_all(with(vec![enrolled("g1")]));
    assert!(bench.seen().is_empty());
    bench.define_all(with(vec![renamed()]));
    assert_eq!(bench.seen(), ["no-detector raised"], "of the venue that it left");
}

#[test]
fn where_both_names_were_heard_of_the_former_goes_out_of_use_and_its_alarms_end() {
    let mut bench = bench(vec![enrolled("g1"), enrolled("g2")]);
    bench.lel(60.0);
    let later = bench.admit(&renamed().key);
    assert_eq!(bench.seen(), ["gas-high raised", "unregistered raised"]);
    bench.define_all(source(vec![renamed()]));
    assert_eq!(
        bench.seen(),
        [
            "gas-high cleared",
            "unregistered recovered",
            "unregistered cleared"
        ]
    );
    assert!(bench.effects.moved.is_empty());
    assert_eq!(bench.engine.find(&renamed().key), Some(later));
    assert_eq!(bench.engine.find(&key("g1")), Some(DeviceIndex(0)));
}

#[test]
fn of_a_retired_device_nobody_waits_for_a_word_and_a_danger_is_told_all_the_same() {
    let absent = RuleDef {
        class: Class::Fault,
        ..rule("silent", "age() >= '10m'", None)
    };
    let offline = RuleDef {
        class: Class::Fault,
        ..rule("offline", "online == false", None)
    };
    let with = |retired| DefinitionSource {
        rules: vec![absent.clone(), offline.clone(), high()],
        devices: vec![Enrolled {
            retired,
            ..enrolled("g1")
        }],
        ..DefinitionSource::default()
    };
    let mut bench = Bench::with(Vec::new());
    bench.listen(true);
    bench.define_all(with(false));
    bench.lel(1.0);
    bench.pass(600_000);
    assert_eq!(bench.seen(), ["silent raised"]);
    assert_eq!(bench.engine.presence()[0].1.online, 1);
    bench.define_all(with(true));
    let ended: Vec<_> = bench.effects.alarms.drain(..).collect();
    assert_eq!(ended.len(), 1);
    assert_eq!(ended[0].alarm.ended.as_ref().unwrap().as_str(), "device_retired");
    assert_eq!(
        bench.engine.presence()[0].1,
        ninewatch::domain::engine::Presence::default()
    );
    bench.read(&[(ninewatch::domain::kind::ONLINE, 0.0)], None, ReadingKind::Live);
    bench.pass(3_600_000);
    bench.restart();
    bench.pass(3_600_000);
    assert!(bench.seen().is_empty());
    bench.lel(60.0);
    assert_eq!(bench.seen(), ["gas-high raised"]);
    bench.define_all(with(true));
    assert!(bench.seen().is_empty(), "only going out of use ends an alarm");
    bench.define_all(with(false));
    bench.pass(600_000);
    assert_eq!(bench.seen(), ["silent raised"], "it is in use again");
}

#[test]
fn a_sleepy_device_may_be_silent_for_as_long_as_the_registry_says() {
    let absent = rule("silent", "age() >= '10m'", None);
    let with = |minutes: u64| DefinitionSource {
        rules: vec![absent.clone()],
        devices: vec![Enrolled {
            silent_after: Some(Millis(minutes * 60_000)),
            ..enrolled("g1")
        }],
        ..DefinitionSource::default()
    };
    let mut bench = Bench::with(Vec::new());
    bench.listen(true);
    bench.define_all(with(60));
    bench.lel(1.0);
    bench.pass(59 * 60_000);
    bench.restart();
    bench.pass(59_999);
    assert!(bench.seen().is_empty());
    bench.pass(1);
    assert_eq!(bench.seen(), ["silent raised"]);
    bench.lel(1.0);
    assert_eq!(bench.seen(), ["silent recovered", "silent cleared"]);
    // Less than its kind's rule allows does not count.
    bench.define_all(with(5));
    bench.pass(599_999);
    assert!(bench.seen().is_empty());
    bench.pass(1);
    assert_eq!(bench.seen(), ["silent raised"]);
}
