//! The gateway as a device: one alarm for a lost broker, however long its delays, and none of the usual devices' ways.

use ninewatch::domain::device::DeviceKey;
use ninewatch::domain::journal::OperatorAction;
use ninewatch::domain::notice::AlarmBody;
use ninewatch::domain::registry::Registry;
use ninewatch::domain::rule::{Repeat, RuleDef};
use ninewatch::domain::time::Millis;
use serde_json::json;

use crate::bench::{Bench, low, rule};

const MINUTE: u64 = 60_000;

fn lost() -> RuleDef {
    RuleDef {
        on: vec!["gateway".to_owned()],
        ..rule("lost", "!broker", None)
    }
}

/// A bench that knows the gateway beside its detector.
fn bench(rules: Vec<RuleDef>) -> Bench {
    let mut bench = Bench::with(rules);
    bench.admit(&DeviceKey::gateway("karuo-01"));
    bench
}

#[test]
fn delays_longer_than_any_evidence_lasts_end_in_time() {
    let mut bench = bench(vec![RuleDef {
        hold: Millis(30 * MINUTE),
        keep_for: Millis(20 * MINUTE),
        ..lost()
    }]);
    bench.listen(false);
    bench.wait(10 * MINUTE);
    bench.restart();
    bench.wait(20 * MINUTE - 1);
    assert!(bench.seen().is_empty());
    bench.wait(1);
    assert_eq!(bench.seen(), ["lost raised"]);
    bench.listen(true);
    bench.wait(20 * MINUTE - 1);
    assert!(bench.seen().is_empty());
    bench.wait(1);
    assert_eq!(bench.seen(), ["lost recovered", "lost cleared"]);
}

#[test]
fn functions_over_time_know_the_connection() {
    let mut bench = bench(vec![
        RuleDef {
            when: "held('30m', !broker)".to_owned(),
            ..lost()
        },
        RuleDef {
            id: "flapping".to_owned(),
            when: "changes(broker, '10m') >= 4".to_owned(),
            ..lost()
        },
    ]);
    bench.listen(false);
    bench.wait(30 * MINUTE);
    assert_eq!(bench.seen(), ["lost raised"]);
    for up in [true, false, true] {
        bench.listen(up);
        bench.wait(MINUTE);
    }
    assert_eq!(bench.seen(), ["lost recovered", "lost cleared"]);
    bench.listen(false);
    assert_eq!(bench.seen(), ["flapping raised"]);
}

#[test]
fn what_is_told_again_is_no_second_loss() {
    let mut bench = bench(vec![RuleDef {
        after: Some(Repeat {
            count: 2,
            within: Millis(10 * MINUTE),
        }),
        ..lost()
    }]);
    for up in [true, false, false, false, true] {
        bench.listen(up);
        bench.restart();
        bench.wait(1_000);
    }
    assert!(bench.seen().is_empty(), "lost once");
    bench.listen(false);
    assert_eq!(bench.seen(), ["lost raised"]);
}

#[test]
fn rules_that_come_while_the_broker_is_lost_know_of_it() {
    let mut bench = bench(Vec::new());
    bench.define(vec![lost()]);
    assert!(bench.seen().is_empty(), "not told yet");
    bench.define(Vec::new());
    bench.listen(false);
    bench.define(vec![lost()]);
    assert_eq!(bench.seen(), ["lost raised"]);
    bench.define(Vec::new());
    assert_eq!(bench.seen(), ["lost cleared"]);
}

#[test]
fn the_gateway_is_counted_among_no_devices() {
    let every = RuleDef {
        on: vec!["device".to_owned()],
        ..rule("here", "online", None)
    };
    let mut bench = bench(vec![every]);
    bench.listen(true);
    assert!(bench.seen().is_empty(), "`device` is not the gateway");
    bench.restart();
    assert_eq!(bench.engine.device_count(), 1);
    let kinds: Vec<&str> = bench.engine.presence().iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, ["gas_detector"]);
    bench.lel(1.0);
    assert_eq!(bench.seen(), ["here raised"]);
}

#[test]
fn messages_name_the_gateway_in_the_place_of_a_venue() {
    let mut bench = bench(vec![lost(), low()]);
    bench.lel(60.0);
    bench.seen();
    bench.listen(false);
    let event = bench.effects.alarms.first().expect("raised");
    assert!(event.alarm.first_out, "of no venue's alarms");
    let registry = Registry::default();
    let body = serde_json::to_value(AlarmBody::new(&event.alarm, &registry)).unwrap();
    assert_eq!(
        body["venue"],
        json!({"id": "", "name": "karuo-01", "kind": "gateway", "address": ""})
    );
    assert_eq!(
        body["device"],
        json!({"id": "karuo-01", "kind": "gateway", "name": "karuo-01"})
    );
    assert_eq!(body["values"], json!({"broker": false}));
    let id = bench.raised();
    bench.operate(id, OperatorAction::Acknowledge).unwrap();
    assert_eq!(bench.seen(), ["lost acknowledged"]);
}
