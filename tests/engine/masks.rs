//! Shelves, devices out of service and limits: who is told of what, and that every mask ends.

use ninewatch::domain::alarm::{AlarmState, Mask};
use ninewatch::domain::device::DeviceIndex;
use ninewatch::domain::engine::Refusal;
use ninewatch::domain::id::Id;
use ninewatch::domain::journal::{Input, OperatorAction, ServiceAction};
use ninewatch::domain::kind::PointIndex;
use ninewatch::domain::reading::{Arrival, Reading, ReadingKind};
use ninewatch::domain::rule::RuleDef;
use ninewatch::domain::time::{Millis, Timestamp};

use crate::bench::{Bench, LEL, START, high, key, limited, low, rule};

const HOUR: Millis = Millis(3_600_000);

fn shelve(bench: &mut Bench, alarm: Id) {
    bench.operate(alarm, OperatorAction::Shelve(HOUR)).unwrap();
}

#[test]
fn a_shelf_says_who_why_and_until_when_and_ends_by_hand_or_by_itself() {
    let mut bench = Bench::with(vec![low()]);
    bench.lel(60.0);
    let id = bench.raised();
    shelve(&mut bench, id);
    let event = bench.effects.alarms.first().expect("shelved");
    assert!(!event.notify);
    let Mask::Shelved(pause) = &event.alarm.mask else {
        panic!("{:?}", event.alarm.mask);
    };
    assert_eq!(pause.until, Timestamp(START + 3_600_000));
    assert_eq!(pause.operator.by, "duty");
    assert_eq!(bench.seen(), ["gas-low shelved"]);
    bench.operate(id, OperatorAction::Unshelve).unwrap();
    assert_eq!(bench.seen(), ["gas-low unshelved", "gas-low announced"]);
    assert_eq!(
        bench.operate(id, OperatorAction::Unshelve),
        Err(Refusal::NotShelved)
    );

    shelve(&mut bench, id);
    bench.seen();
    bench.wait(HOUR.0 - 1);
    assert!(bench.seen().is_empty());
    bench.wait(1);
    assert_eq!(bench.seen(), ["gas-low unshelved", "gas-low announced"]);
    assert_eq!(bench.engine.next_deadline(), None);
}

#[test]
fn a_shelf_masks_a_new_alarm_of_its_rule_and_device_too() {
    let mut bench = Bench::with(vec![low()]);
    bench.lel(60.0);
    let id = bench.raised();
    shelve(&mut bench, id);
    bench.lel(1.0);
    assert_eq!(bench.seen_untold(), ["gas-low shelved"]);
    bench.effects.alarms.clear();
    bench.restart();
    bench.lel(60.0);
    assert_eq!(bench.seen_untold(), ["gas-low raised"]);
    bench.wait(HOUR.0);
    assert_eq!(bench.told(), ["gas-low announced"]);
}

#[test]
fn what_was_told_before_its_shelf_is_told_of_its_end_and_not_announced_again_behind_it() {
    let mut bench = Bench::with(vec![RuleDef {
        keep_for: Millis(0),
        ..high()
    }]);
    bench.lel(60.0);
    let id = bench.raised();
    shelve(&mut bench, id);
    bench.lel(1.0);
    assert_eq!(bench.told(), ["gas-high recovered"]);
    bench.wait(HOUR.0);
    assert!(bench.told().is_empty(), "it was told of and is over");
}

#[test]
fn an_alarm_about_to_recover_when_its_shelf_ends_is_told_of_only_if_it_comes_back() {
    let low = RuleDef {
        keep_for: Millis(60_000),
        ..low()
    };
    let mut bench = Bench::with(vec![low]);
    bench.lel(60.0);
    let id = bench.raised();
    shelve(&mut bench, id);
    bench.wait(HOUR.0 - 1_000);
    bench.lel(1.0);
    bench.wait(1_000);
    assert_eq!(bench.seen(), ["gas-low shelved", "gas-low unshelved"]);
    bench.lel(60.0);
    assert_eq!(bench.told(), ["gas-low announced"]);
}

#[test]
fn lengths_out_of_range_are_refused() {
    let mut bench = Bench::with(vec![low()]);
    bench.lel(60.0);
    let id = bench.raised();
    for ms in [0, 59_999, 7 * 86_400_000 + 1, u64::MAX] {
        let refused = bench.operate(id, OperatorAction::Shelve(Millis(ms))).unwrap_err();
        assert!(refused.to_string().contains("60 to 604800 seconds"), "{refused}");
    }
    for ms in [0, 59_999, 30 * 86_400_000 + 1] {
        assert!(matches!(
            bench.serve(ServiceAction::Out(Millis(ms))),
            Err(Refusal::Length { .. })
        ));
    }
    assert!(bench.seen().is_empty());
    assert_eq!(bench.serve(ServiceAction::In), Err(Refusal::InService));
}

#[test]
fn a_device_out_of_service_is_silent_until_it_is_back() {
    let mut bench = Bench::with(vec![high(), low()]);
    bench.lel(30.0);
    assert_eq!(bench.told(), ["gas-low raised"]);
    bench.serve(ServiceAction::Out(HOUR)).unwrap();
    bench.lel(60.0);
    assert_eq!(bench.seen_untold(), ["gas-low out_of_service", "gas-high raised"]);
    bench.serve(ServiceAction::In).unwrap();
    assert_eq!(
        bench.seen(),
        [
            "gas-high in_service",
            "gas-high announced",
            "gas-low in_service",
            "gas-low announced"
        ]
    );
    bench.wait(HOUR.0);
    assert!(bench.seen().is_empty());
}

#[test]
fn leave_and_return_of_a_device_are_facts_also_without_an_alarm() {
    let mut bench = Bench::with(vec![high()]);
    bench.serve(ServiceAction::Out(HOUR)).unwrap();
    bench.serve(ServiceAction::In).unwrap();
    bench.serve(ServiceAction::Out(Millis(60_000))).unwrap();
    bench.wait(60_000);
    assert!(bench.seen().is_empty());
    let facts: Vec<_> = bench
        .effects
        .devices
        .iter()
        .map(|event| {
            let by = event.step.operator().map(|operator| operator.by.as_str());
            (event.step.event_type(), event.device.device.as_str(), by)
        })
        .collect();
    assert_eq!(
        facts,
        [
            ("device.out_of_service", "g1", Some("duty")),
            ("device.in_service", "g1", Some("duty")),
            ("device.out_of_service", "g1", Some("duty")),
            ("device.in_service", "g1", None),
        ]
    );
    let until = bench.effects.devices[0].step.until();
    assert_eq!(until, Some(Timestamp(START + 3_600_000)));
}

#[test]
fn a_shelf_outlasts_the_leave_of_its_device() {
    let mut bench = Bench::with(vec![low()]);
    bench.lel(60.0);
    let id = bench.raised();
    shelve(&mut bench, id);
    bench.serve(ServiceAction::Out(Millis(60_000))).unwrap();
    bench.seen();
    bench.wait(60_000);
    let event = bench.effects.alarms.first().expect("in service");
    assert_eq!(event.alarm.mask.kind(), Some("shelved"));
    assert_eq!(bench.seen(), ["gas-low in_service"]);
    bench.wait(HOUR.0 - 60_000);
    assert_eq!(bench.seen(), ["gas-low unshelved", "gas-low announced"]);
}

#[test]
fn an_edit_of_the_rules_moves_no_shelf_to_another_rule() {
    let mut bench = Bench::with(vec![low(), high()]);
    bench.lel(30.0);
    let id = bench.raised();
    shelve(&mut bench, id);
    bench.define(vec![rule("other", "lel >= 26.0", None), low()]);
    bench.lel(35.0);
    assert_eq!(bench.told(), ["other raised"]);
    bench.define(vec![high()]);
    bench.seen();
    bench.define(vec![low()]);
    bench.lel(30.0);
    assert_eq!(
        bench.told(),
        ["gas-low raised"],
        "a rule that was gone is on no shelf"
    );
}

/// A bench with four devices under [`limited`].
fn four() -> Bench {
    let mut bench = Bench::with(vec![limited()]);
    for device in ["g2", "g3", "g4"] {
        let (now, effects) = (bench.now, &mut bench.effects);
        bench
            .engine
            .handle(&Input::Device(&key(device)), now, effects)
            .unwrap();
    }
    bench
}

fn level(bench: &mut Bench, device: u32, lel: f64) {
    bench.feed(Reading {
        device: DeviceIndex(device),
        seq: None,
        device_at: None,
        kind: ReadingKind::Live,
        arrival: Arrival::First,
        points: &[(LEL, lel)],
    });
}

fn who(bench: &mut Bench) -> Vec<String> {
    let events = bench.effects.alarms.drain(..).filter(|event| event.notify);
    events
        .map(|event| format!("{} {}", event.alarm.device.device, event.step.as_str()))
        .collect()
}

#[test]
fn more_than_the_limit_wait_until_there_is_room() {
    let mut bench = four();
    for device in 0..4 {
        level(&mut bench, device, 15.0);
        bench.wait(10_000);
    }
    assert_eq!(who(&mut bench), ["g1 raised", "g2 raised"]);
    bench.restart();
    bench.wait(19_999);
    assert!(who(&mut bench).is_empty());
    bench.wait(1);
    assert_eq!(who(&mut bench), ["g3 announced"]);
    level(&mut bench, 3, 1.0);
    bench.wait(60_000);
    assert!(
        who(&mut bench).is_empty(),
        "what came and went unheard ends unheard"
    );
    assert_eq!(bench.engine.next_deadline(), None);
}

#[test]
fn without_its_limit_a_rule_is_told_of_at_once() {
    let mut bench = four();
    for device in 0..3 {
        level(&mut bench, device, 15.0);
    }
    who(&mut bench);
    bench.define(vec![RuleDef {
        limit: None,
        ..limited()
    }]);
    assert_eq!(who(&mut bench), ["g3 announced"]);
}

#[test]
fn what_is_limited_explains_nothing() {
    let low = RuleDef {
        suppressed_by: vec!["limited".to_owned()],
        ..low()
    };
    let mut bench = Bench::with(vec![limited(), low]);
    for _ in 0..2 {
        bench.lel(13.0);
        bench.lel(1.0);
    }
    bench.seen();
    bench.lel(60.0);
    assert_eq!(bench.told(), ["gas-low raised"], "nobody hears of the other");
    bench.wait(60_000);
    assert_eq!(bench.seen(), ["limited announced", "gas-low suppressed"]);
}

#[test]
fn the_evidence_of_an_alarm_is_shown_and_a_reset_needs_a_good_one() {
    let mut bench = Bench::with(vec![RuleDef {
        keep_for: Millis(0),
        ..high()
    }]);
    bench.lel(60.0);
    let id = bench.raised();
    bench.lel(1.0);
    bench.seen();
    let reset = |bench: &mut Bench| {
        let answer = bench.operate(id, OperatorAction::Reset);
        answer.map_err(|refusal| refusal.to_string())
    };
    bench.read(&[(crate::bench::STATE, 2.0)], None, ReadingKind::Live);
    assert!(reset(&mut bench).unwrap_err().contains("is fault"));
    bench.read(&[(crate::bench::STATE, 0.0)], None, ReadingKind::Live);
    bench.read(&[(PointIndex(0), 0.0)], None, ReadingKind::Live);
    assert!(reset(&mut bench).unwrap_err().contains("is stale"), "offline");
    bench.lel(1.0);
    bench.wait(300_001);
    assert!(reset(&mut bench).unwrap_err().contains("is stale"), "silent");
    bench.lel(f64::NAN);
    assert!(reset(&mut bench).unwrap_err().contains("is uncertain"));
    bench.lel(1.0);
    assert_eq!(reset(&mut bench), Ok(()));
    let event = bench.effects.alarms.first().expect("cleared");
    assert_eq!(event.alarm.state, AlarmState::Cleared);
}

#[test]
fn an_occurrence_under_a_shelf_is_told_of_only_when_that_ends() {
    let mut bench = Bench::with(vec![RuleDef {
        keep_for: Millis(0),
        ..high()
    }]);
    bench.lel(60.0);
    let id = bench.raised();
    bench.lel(1.0);
    bench.operate(id, OperatorAction::Acknowledge).unwrap();
    shelve(&mut bench, id);
    bench.effects.alarms.clear();
    bench.lel(60.0);
    bench.lel(1.0);
    assert!(bench.told().is_empty(), "neither that it came nor that it went");
    bench.wait(HOUR.0);
    assert_eq!(bench.told(), ["gas-high announced"]);
}
