//! What alarm systems commonly get wrong: one test for each, named after what must not happen.

use ninewatch::domain::device::{DeviceIndex, DeviceKey};
use ninewatch::domain::journal::{OperatorAction, ServiceAction};
use ninewatch::domain::kind::PointIndex;
use ninewatch::domain::reading::{Arrival, Reading, ReadingKind};
use ninewatch::domain::rule::{Class, Repeat, RuleDef};
use ninewatch::domain::time::{ClockBounds, Millis, Timestamp};

use crate::bench::{Bench, LEL, START, high, key, low, rule, slow};
use crate::schedule::{HOUR, closed_hours, during};

/// A reading with the device's own time, so many milliseconds after the start.
fn at(bench: &mut Bench, lel: f64, device_ms: i64) {
    bench.read(&[(LEL, lel)], Some(START + device_ms), ReadingKind::Live);
}

#[test]
fn a_schedules_edge_does_not_wait_for_the_next_reading() {
    let mut bench = closed_hours(vec![during("closed-hours", low())]);
    bench.lel(60.0);
    bench.pass(14 * HOUR - 1);
    assert!(bench.seen().is_empty(), "it is not yet ten in the evening");
    bench.pass(1);
    assert_eq!(bench.seen(), ["gas-low raised"]);
    bench.pass(8 * HOUR - 1);
    assert!(bench.seen().is_empty(), "nor six in the morning");
    bench.pass(1);
    assert_eq!(bench.seen(), ["gas-low recovered", "gas-low cleared"]);
}

#[test]
fn a_slow_device_clock_does_not_make_an_on_delay_fire_early() {
    let mut bench = Bench::with(vec![slow()]);
    at(&mut bench, 12.0, -9_000);
    bench.wait(2_000);
    at(&mut bench, 12.0, -7_000);
    assert!(bench.seen().is_empty(), "only two seconds have passed");
    bench.wait(8_000);
    assert_eq!(bench.seen(), ["gas-slow raised"]);
}

#[test]
fn a_future_time_does_not_mute_the_device() {
    let mut bench = Bench::with(vec![low()]);
    at(&mut bench, 5.0, 30_000);
    bench.wait(1_000);
    at(&mut bench, 60.0, 1_000);
    let event = bench.effects.alarms.first().expect("raised");
    assert_eq!(event.alarm.late_by_ms, None);
}

#[test]
fn a_sample_that_was_kept_for_days_is_late_where_its_profile_believes_it() {
    for (days, late) in [(3, Some(2 * 86_400_000)), (1, None)] {
        let mut bench = Bench::with(vec![low()]);
        let bounds = ClockBounds {
            max_behind: Millis(days * 86_400_000),
            ..ClockBounds::default()
        };
        at(&mut bench, 5.0, 0);
        bench.feed(Reading {
            device: DeviceIndex(0),
            seq: None,
            device_at: Some(bounds.judge(Timestamp(START - 2 * 86_400_000), bench.now.wall)),
            kind: ReadingKind::Live,
            arrival: Arrival::First,
            points: &[(LEL, 60.0)],
        });
        let event = bench.effects.alarms.first().expect("raised");
        assert_eq!(event.alarm.late_by_ms, late, "{days} d");
    }
}

#[test]
fn a_clock_that_was_set_back_does_not_mute_the_device() {
    let mut bench = Bench::with(vec![slow()]);
    at(&mut bench, 5.0, 0);
    for beat in 1..=31 {
        bench.wait(10_000);
        at(&mut bench, 12.0, beat * 10_000 - 3_600_000);
    }
    assert!(
        bench.seen().is_empty(),
        "an on-delay cannot be judged by late samples"
    );
    bench.wait(10_000);
    at(&mut bench, 12.0, 320_000 - 3_600_000);
    assert_eq!(
        bench.seen(),
        ["gas-slow raised"],
        "after five minutes in step with our clock the device is believed again"
    );
    at(&mut bench, 1.0, 321_000 - 3_600_000);
    assert_eq!(bench.seen(), ["gas-slow recovered", "gas-slow cleared"]);
}

#[test]
fn a_backlog_is_not_taken_for_a_clock_that_was_set_back() {
    let mut bench = Bench::with(vec![low()]);
    at(&mut bench, 60.0, 0);
    assert_eq!(bench.seen(), ["gas-low raised"]);
    for sample in 0_i32..60 {
        bench.wait(5);
        at(&mut bench, 1.0, i64::from(sample) * 10_000 - 3_600_000);
    }
    assert!(
        bench.seen().is_empty(),
        "what was measured an hour ago ends nothing"
    );
}

#[test]
fn a_lost_broker_is_one_alarm_not_one_for_each_device() {
    let on = |kind: &str, rule: RuleDef| RuleDef {
        on: vec![kind.to_owned()],
        ..rule
    };
    let lost = RuleDef {
        hold: Millis(30_000),
        ..rule("lost", "!broker", None)
    };
    let mut bench = Bench::with(vec![
        on("gateway", lost),
        on("device", rule("offline", "online == false", None)),
        on("device", rule("silent", "age() >= '5m'", None)),
    ]);
    for device in ["g2", "g3", "g4"] {
        bench.admit(&key(device));
    }
    bench.admit(&DeviceKey::gateway("karuo-01"));
    bench.listen(true);
    bench.lel(1.0);
    bench.listen(false);
    bench.wait(29_999);
    assert!(bench.told().is_empty());
    bench.wait(86_400_000);
    assert_eq!(bench.told(), ["lost raised"]);
    bench.restart();
    bench.listen(false);
    bench.wait(86_400_000);
    assert!(bench.told().is_empty(), "a restart without the broker is no news");
    bench.listen(true);
    assert_eq!(bench.told(), ["lost recovered", "lost cleared"]);
    bench.wait(299_999);
    assert!(bench.told().is_empty(), "silence counts from now on");
}

#[test]
fn an_active_alarm_does_not_fall_back_to_pending() {
    let mut bench = Bench::with(vec![RuleDef {
        keep_for: Millis(10_000),
        ..slow()
    }]);
    bench.lel(12.0);
    bench.wait(10_000);
    assert_eq!(bench.seen(), ["gas-slow raised"]);
    bench.lel(1.0);
    bench.wait(5_000);
    bench.lel(12.0);
    bench.lel(12.0);
    bench.wait(60_000);
    assert!(bench.seen().is_empty(), "one alarm, told of once");
    assert_eq!(bench.engine.standing_count(), 1);
}

#[test]
fn silence_is_not_recovery() {
    let mut bench = Bench::with(vec![low()]);
    bench.lel(60.0);
    bench.wait(7 * 86_400_000);
    assert_eq!(bench.seen(), ["gas-low raised"]);
    bench.read(&[(PointIndex(0), 0.0)], None, ReadingKind::Live);
    assert!(bench.seen().is_empty(), "nor is a last will");
    assert_eq!(bench.engine.standing_count(), 1);
}

#[test]
fn an_edited_rule_neither_orphans_nor_resolves_its_alarm() {
    let mut bench = Bench::with(vec![low()]);
    bench.lel(60.0);
    let id = bench.raised();
    bench.define(vec![rule("gas-low", "lel >= 70.0", Some("lel < 65.0"))]);
    bench.wait(3_600_000);
    assert!(bench.seen().is_empty(), "an edit proves nothing");
    bench.lel(60.0);
    let ended = bench.effects.alarms.first().expect("a reading does");
    assert_eq!((ended.alarm.id, bench.seen().len()), (id, 2));
}

#[test]
fn severity_rises_at_once_and_falls_only_after_the_off_delay() {
    let high = RuleDef {
        latch: false,
        clear: Some("lel < 45.0".to_owned()),
        ..high()
    };
    let low = RuleDef {
        suppressed_by: vec!["gas-high".to_owned()],
        ..low()
    };
    let mut bench = Bench::with(vec![low, high]);
    bench.lel(30.0);
    assert_eq!(bench.told(), ["gas-low raised"]);
    bench.lel(60.0);
    assert_eq!(bench.told(), ["gas-high raised"], "at once, and alone");
    bench.lel(40.0);
    bench.wait(29_999);
    assert!(bench.told().is_empty(), "not over for long enough");
    bench.wait(1);
    assert_eq!(
        bench.told(),
        ["gas-high recovered", "gas-high cleared", "gas-low announced"]
    );
}

#[test]
fn what_still_stands_when_its_explanation_ends_is_told_of() {
    let offline = RuleDef {
        class: Class::Fault,
        ..rule("offline", "online == false", None)
    };
    let low = RuleDef {
        suppressed_by: vec!["offline".to_owned()],
        ..low()
    };
    let mut bench = Bench::with(vec![offline, low]);
    bench.read(&[(PointIndex(0), 0.0)], None, ReadingKind::Live);
    assert_eq!(bench.told(), ["offline raised"]);
    bench.kept(&[(LEL, 60.0)]);
    assert_eq!(bench.seen_untold(), ["gas-low raised"], "stored, and not told of");
    bench.lel(60.0);
    assert_eq!(
        bench.told(),
        ["offline recovered", "offline cleared", "gas-low announced"]
    );
}

#[test]
fn what_still_stands_when_its_suppressing_rule_is_removed_is_told_of() {
    let low = RuleDef {
        suppressed_by: vec!["gas-high".to_owned()],
        ..low()
    };
    let mut bench = Bench::with(vec![low.clone(), high()]);
    bench.lel(60.0);
    assert_eq!(bench.told(), ["gas-high raised"]);
    bench.define(vec![RuleDef {
        suppressed_by: Vec::new(),
        ..low
    }]);
    assert_eq!(bench.told(), ["gas-high cleared", "gas-low announced"]);
}

#[test]
fn a_suppressed_alarm_that_nobody_heard_of_ends_unheard() {
    let low = RuleDef {
        suppressed_by: vec!["gas-high".to_owned()],
        ..low()
    };
    let mut bench = Bench::with(vec![
        low,
        RuleDef {
            latch: false,
            ..high()
        },
    ]);
    bench.lel(60.0);
    assert_eq!(bench.told(), ["gas-high raised"]);
    bench.lel(5.0);
    assert!(bench.told().is_empty(), "gas-low came and went behind gas-high");
    assert_eq!(bench.engine.standing_count(), 1);
}

#[test]
fn an_alarm_raised_in_maintenance_is_announced_when_the_maintenance_ends() {
    let mut bench = Bench::with(vec![low()]);
    bench.lel(1.0);
    bench.serve(ServiceAction::Out(Millis(3_600_000))).unwrap();
    bench.wait(1_000);
    bench.lel(60.0);
    assert_eq!(bench.seen_untold(), ["gas-low raised"], "stored, and not told of");
    bench.restart();
    bench.wait(3_598_999);
    assert!(bench.seen().is_empty());
    bench.wait(1);
    assert_eq!(bench.told(), ["gas-low announced"]);
}

#[test]
fn a_shelf_always_ends() {
    for jump in [-86_400_000, 0, 86_400_000] {
        let mut bench = Bench::with(vec![low()]);
        bench.lel(60.0);
        let id = bench.raised();
        let week = Millis(7 * 86_400_000);
        bench.operate(id, OperatorAction::Shelve(week)).unwrap();
        bench.seen();
        bench.now.wall.0 += jump;
        bench.listen(false);
        bench.restart();
        bench.wait(week.0 - 1);
        assert!(bench.seen().is_empty(), "{jump}");
        bench.wait(1);
        assert_eq!(bench.told(), ["gas-low announced"], "{jump}");
    }
}

#[test]
fn a_shelved_alarm_silences_no_other_one() {
    let low = RuleDef {
        suppressed_by: vec!["gas-high".to_owned()],
        ..low()
    };
    let mut bench = Bench::with(vec![low, high()]);
    bench.lel(60.0);
    let id = bench.id_of("gas-high");
    bench.operate(id, OperatorAction::Shelve(Millis(60_000))).unwrap();
    assert_eq!(bench.told(), ["gas-low announced"]);
    bench.wait(60_000);
    assert_eq!(
        bench.seen(),
        ["gas-high unshelved", "gas-high announced", "gas-low suppressed"]
    );
}

#[test]
fn a_late_sample_does_not_raise_a_cleared_alarm_as_if_it_were_live() {
    let mut bench = Bench::with(vec![low()]);
    at(&mut bench, 60.0, 0);
    bench.wait(20_000);
    at(&mut bench, 1.0, 10_000);
    assert_eq!(
        bench.seen(),
        ["gas-low raised", "gas-low recovered", "gas-low cleared"]
    );
    at(&mut bench, 55.0, 5_000);
    let event = bench.effects.alarms.first().expect("raised, for it was danger");
    assert_eq!(event.alarm.late_by_ms, Some(15_000), "and marked as late");
}

#[test]
fn a_message_that_comes_twice_changes_nothing() {
    let mut bench = Bench::with(vec![low()]);
    at(&mut bench, 60.0, 0);
    bench.wait(10_000);
    at(&mut bench, 1.0, 10_000);
    bench.seen();
    at(&mut bench, 60.0, 0);
    at(&mut bench, 1.0, 10_000);
    assert!(bench.seen().is_empty());
    assert_eq!(bench.effects.repetitions, 2);
}

#[test]
fn a_clock_that_stands_still_does_not_mute_the_device() {
    let mut bench = Bench::with(vec![low()]);
    for _ in 0..3 {
        at(&mut bench, 60.0, 0);
        bench.wait(10_000);
        at(&mut bench, 1.0, 0);
        bench.wait(10_000);
        assert_eq!(
            bench.seen(),
            ["gas-low raised", "gas-low recovered", "gas-low cleared"]
        );
    }
}

pub(crate) fn thrice() -> RuleDef {
    RuleDef {
        after: Some(Repeat {
            count: 3,
            within: Millis(60_000),
        }),
        ..rule("thrice", "lel >= 25.0", None)
    }
}

#[test]
fn redelivery_does_not_count_as_another_occurrence() {
    let mut bench = Bench::with(vec![thrice()]);
    for _ in 0..5 {
        at(&mut bench, 30.0, 0);
        bench.wait(1_000);
    }
    at(&mut bench, 30.0, 6_000);
    assert!(bench.seen().is_empty(), "two findings, six messages");
    bench.wait(1_000);
    at(&mut bench, 30.0, 7_000);
    assert_eq!(bench.seen(), ["thrice raised"]);
}

#[test]
fn occurrences_count_within_their_time_whatever_lies_between() {
    let mut bench = Bench::with(vec![thrice()]);
    for lel in [30.0, 1.0, 30.0, 1.0] {
        bench.lel(lel);
        bench.wait(20_000);
    }
    bench.lel(30.0);
    assert!(bench.seen().is_empty(), "the first is out of date");
    bench.wait(19_000);
    bench.lel(30.0);
    assert_eq!(bench.seen(), ["thrice raised"]);
    let mut quiet = Bench::with(vec![thrice()]);
    quiet.lel(30.0);
    quiet.wait(1_000);
    quiet.lel(30.0);
    quiet.wait(60_000);
    assert_eq!(quiet.engine.next_deadline(), None, "nothing is counted any more");
}

#[test]
fn a_flapping_sensor_is_told_of_once_and_held() {
    let mut bench = Bench::with(vec![low()]);
    for _ in 0..4 {
        bench.lel(30.0);
        bench.lel(1.0);
        bench.wait(1_000);
    }
    assert_eq!(bench.told().len(), 12, "four alarms, each with its end");
    bench.lel(30.0);
    let event = bench.effects.alarms.first().expect("the fifth");
    assert_eq!(event.alarm.chatter, Some(5));
    assert_eq!(bench.told(), ["gas-low chattering"]);
    for _ in 0..50 {
        bench.lel(1.0);
        bench.wait(1_000);
        bench.lel(30.0);
        bench.wait(1_000);
    }
    assert!(bench.told().is_empty(), "held");
    bench.lel(1.0);
    for _ in 0..10 {
        bench.wait(60_000);
        bench.lel(1.0);
    }
    assert_eq!(bench.told(), ["gas-low recovered", "gas-low cleared"]);
    bench.wait(60_000);
    bench.lel(30.0);
    assert_eq!(bench.told(), ["gas-low raised"], "a new life");
}

#[test]
fn a_wall_clock_jump_neither_fires_nor_holds_a_timer() {
    for jump in [-3_600_000, 3_600_000] {
        let mut bench = Bench::with(vec![slow()]);
        bench.lel(12.0);
        bench.now.wall.0 += jump;
        bench.wait(9_999);
        assert!(bench.seen().is_empty(), "{jump}");
        bench.wait(1);
        assert_eq!(bench.seen(), ["gas-slow raised"], "{jump}");
    }
}

#[test]
fn an_on_delay_is_not_lost_on_a_restart() {
    let mut bench = Bench::with(vec![slow()]);
    bench.lel(12.0);
    bench.wait(6_000);
    bench.restart();
    bench.wait(3_999);
    assert!(bench.seen().is_empty(), "it does not end early");
    bench.wait(1);
    assert_eq!(bench.seen(), ["gas-slow raised"], "nor does it begin anew");
}

#[test]
fn a_restart_is_no_storm_of_silent_devices() {
    let silent = rule("silent", "age() >= '5m'", None);
    let mut bench = Bench::with(vec![silent]);
    bench.listen(true);
    bench.lel(1.0);
    // Stopped for a day, and nobody listened meanwhile.
    bench.restart();
    bench.now.wall.0 += 86_400_000;
    bench.now.ticks.0 += 86_400_000;
    bench.listen(false);
    bench.wait(60_000);
    bench.listen(true);
    bench.wait(299_999);
    assert!(
        bench.seen().is_empty(),
        "silence counts from the time at which we listen"
    );
    bench.wait(1);
    assert_eq!(
        bench.seen(),
        ["silent raised"],
        "a device that is gone is told of all the same"
    );
}
