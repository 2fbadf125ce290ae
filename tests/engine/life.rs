//! One device, one rule after the other: what raises, what ends, what moves nothing.

use std::collections::BTreeSet;

use ninewatch::domain::alarm::{AlarmState, Telling};
use ninewatch::domain::engine::Refusal;
use ninewatch::domain::id::Id;
use ninewatch::domain::journal::{EscalateInput, Input, OperatorAction};
use ninewatch::domain::kind::PointIndex;
use ninewatch::domain::reading::ReadingKind;
use ninewatch::domain::rule::{Class, Repeat, RuleDef};
use ninewatch::domain::time::{Millis, Moment, Timestamp};

use crate::bench::{Bench, LEL, NORMAL, START, STATE, WARMUP, high, key, low, rule, slow};

#[test]
fn a_latched_alarm_lives_from_raise_to_reset() {
    let mut bench = Bench::with(vec![high()]);
    bench.lel(49.9);
    assert!(bench.seen().is_empty());
    bench.lel(53.2);
    let event = bench.effects.alarms.first().expect("raised at once");
    assert_eq!(event.alarm.state, AlarmState::ActiveUnacknowledged);
    assert!(event.alarm.first_out);
    assert_eq!(
        event.alarm.values.first(),
        Some(&("lel".to_owned(), serde_json::json!(53.2)))
    );
    let id = bench.raised();

    bench.lel(60.0);
    assert!(bench.seen().is_empty(), "a standing alarm is not raised twice");
    bench.operate(id, OperatorAction::Acknowledge).unwrap();
    assert_eq!(bench.seen(), ["gas-high acknowledged"]);
    bench.operate(id, OperatorAction::Acknowledge).unwrap();
    assert!(bench.seen().is_empty(), "acknowledging twice is no news");
    assert_eq!(
        bench.operate(id, OperatorAction::Reset),
        Err(Refusal::StillActive(AlarmState::ActiveAcknowledged))
    );

    bench.lel(30.0);
    bench.wait(60_000);
    assert!(bench.seen().is_empty(), "between the thresholds nothing ends");
    bench.lel(10.0);
    bench.wait(29_000);
    bench.lel(10.0);
    assert!(bench.seen().is_empty(), "keep_for has not passed");
    bench.wait(1_000);
    assert_eq!(bench.seen(), ["gas-high recovered"]);
    bench.operate(id, OperatorAction::Reset).unwrap();
    assert_eq!(bench.seen(), ["gas-high cleared"]);
    assert_eq!(
        bench.operate(id, OperatorAction::Reset),
        Err(Refusal::NoSuchAlarm)
    );
    assert_eq!(bench.engine.standing_count(), 0);
}

#[test]
fn an_alarm_is_told_on_only_while_it_waits_for_somebody() {
    fn escalate(bench: &mut Bench, alarm: Id) -> Vec<String> {
        let telling = Telling {
            chain: "gas".to_owned(),
            level: 2,
            repeat: 0,
        };
        let input = EscalateInput { alarm, telling };
        let never_refused = bench
            .engine
            .handle(&Input::Escalate(&input), bench.now, &mut bench.effects);
        assert_eq!(never_refused, Ok(()));
        assert!(bench.effects.alarms.iter().all(|event| event.notify));
        bench.seen()
    }
    let mut bench = Bench::with(vec![high()]);
    bench.lel(53.2);
    let id = bench.raised();
    assert_eq!(escalate(&mut bench, id), ["gas-high escalated"]);
    assert_eq!(bench.engine.standing(bench.now).len(), 1);
    bench.lel(10.0);
    bench.wait(30_000);
    bench.lel(10.0);
    assert_eq!(bench.seen(), ["gas-high recovered"]);
    assert_eq!(escalate(&mut bench, id), ["gas-high escalated"], "it still waits");
    bench.operate(id, OperatorAction::Shelve(Millis(60_000))).unwrap();
    bench.seen_untold();
    assert_eq!(escalate(&mut bench, id), [""; 0], "shelved");
    bench.operate(id, OperatorAction::Unshelve).unwrap();
    bench.seen();
    bench.operate(id, OperatorAction::Acknowledge).unwrap();
    bench.seen();
    assert_eq!(escalate(&mut bench, id), [""; 0], "acknowledged");
    bench.operate(id, OperatorAction::Reset).unwrap();
    bench.seen();
    assert_eq!(escalate(&mut bench, id), [""; 0], "over");
    assert!(bench.engine.standing(bench.now).is_empty());
}

#[test]
fn an_alarm_that_does_not_latch_clears_itself_and_comes_back_as_a_new_one() {
    let mut bench = Bench::with(vec![low()]);
    bench.lel(30.0);
    let first = bench.raised();
    bench.lel(22.0);
    assert!(bench.seen().is_empty());
    bench.lel(19.0);
    assert_eq!(bench.seen(), ["gas-low recovered", "gas-low cleared"]);
    bench.lel(30.0);
    assert_ne!(bench.raised(), first);
}

#[test]
fn a_recovered_latched_alarm_is_announced_again_under_its_own_id() {
    let mut bench = Bench::with(vec![RuleDef {
        keep_for: Millis(0),
        ..high()
    }]);
    bench.lel(60.0);
    let id = bench.raised();
    bench.operate(id, OperatorAction::Acknowledge).unwrap();
    bench.lel(5.0);
    assert_eq!(bench.seen(), ["gas-high acknowledged", "gas-high recovered"]);
    bench.lel(60.0);
    let event = bench.effects.alarms.first().expect("raised again");
    assert_eq!(
        event.alarm.state,
        AlarmState::ActiveUnacknowledged,
        "a new occurrence wants a new acknowledgement"
    );
    assert_eq!(bench.raised(), id);
}

#[test]
fn what_one_was_told_of_is_acknowledged_and_not_what_came_after() {
    let mut bench = Bench::with(vec![RuleDef {
        keep_for: Millis(0),
        ..high()
    }]);
    bench.lel(60.0);
    let (id, first) = (bench.raised(), bench.now.wall);
    bench.operate(id, OperatorAction::Shelve(Millis(60_000))).unwrap();
    bench.operate(id, OperatorAction::Unshelve).unwrap();
    bench.seen_untold();
    bench.wait(1_000);
    bench.lel(5.0);
    bench.lel(60.0);
    let second = bench.now.wall;
    assert_eq!(bench.raised(), id);
    assert_eq!(
        bench.operate(id, OperatorAction::AcknowledgeRaise(first)),
        Err(Refusal::RaisedAgain)
    );
    assert!(bench.seen().is_empty(), "a refusal does nothing");
    // A shelf is no end of what was told of.
    bench.operate(id, OperatorAction::Shelve(Millis(60_000))).unwrap();
    bench.operate(id, OperatorAction::Unshelve).unwrap();
    bench.seen_untold();
    bench
        .operate(id, OperatorAction::AcknowledgeRaise(second))
        .unwrap();
    assert_eq!(bench.seen(), ["gas-high acknowledged"]);
    bench
        .operate(id, OperatorAction::AcknowledgeRaise(second))
        .unwrap();
    assert!(bench.seen().is_empty(), "acknowledging twice is no news");
}

#[test]
fn the_most_urgent_rule_is_announced_first_and_is_first_out() {
    let mut bench = Bench::with(vec![low(), high()]);
    bench.lel(60.0);
    let first_out: Vec<bool> = bench
        .effects
        .alarms
        .iter()
        .map(|event| event.alarm.first_out)
        .collect();
    assert_eq!(bench.seen(), ["gas-high raised", "gas-low raised"]);
    assert_eq!(first_out, [true, false]);
}

#[test]
fn an_on_delay_needs_the_condition_to_hold() {
    let mut bench = Bench::with(vec![slow()]);
    bench.lel(12.0);
    bench.wait(9_000);
    bench.lel(8.0);
    bench.wait(2_000);
    assert!(bench.seen().is_empty(), "it lapsed before its time");
    bench.lel(12.0);
    bench.wait(9_999);
    assert!(bench.seen().is_empty());
    bench.wait(1);
    assert_eq!(bench.seen(), ["gas-slow raised"]);
}

#[test]
fn silence_neither_raises_nor_clears() {
    let rule = RuleDef {
        max_gap: Millis(5_000),
        keep_for: Millis(10_000),
        ..slow()
    };
    let mut bench = Bench::with(vec![rule]);
    bench.lel(12.0);
    bench.wait(60_000);
    assert!(
        bench.seen().is_empty(),
        "one old reading does not show that it held"
    );
    bench.lel(12.0);
    assert_eq!(bench.seen(), ["gas-slow raised"], "the next reading does");
    bench.lel(1.0);
    bench.wait(60_000);
    assert!(
        bench.seen().is_empty(),
        "one old reading does not show that it stayed over"
    );
    bench.lel(1.0);
    assert!(
        bench.seen().is_empty(),
        "the off-delay starts anew behind a silence"
    );
    bench.wait(5_000);
    bench.lel(1.0);
    bench.wait(5_000);
    assert_eq!(bench.seen(), ["gas-slow recovered", "gas-slow cleared"]);
}

#[test]
fn a_message_that_the_broker_kept_may_raise_and_never_ends() {
    let offline = RuleDef {
        class: Class::Fault,
        ..rule("offline", "online == false", None)
    };
    let mut bench = Bench::with(vec![low(), offline]);
    bench.kept(&[(LEL, 60.0)]);
    let event = bench.effects.alarms.first().expect("raised");
    assert_eq!(event.alarm.late_by_ms, Some(0), "marked: its age is not known");
    assert_eq!(bench.seen(), ["gas-low raised"]);
    bench.kept(&[(LEL, 0.0)]);
    assert!(
        bench.seen().is_empty(),
        "an old value is no evidence that the gas is gone"
    );
    bench.kept(&[(PointIndex(0), 0.0)]);
    assert_eq!(bench.seen(), ["offline raised"], "a kept last will counts");
    bench.lel(0.0);
    assert_eq!(
        bench.seen(),
        [
            "gas-low recovered",
            "gas-low cleared",
            "offline recovered",
            "offline cleared"
        ]
    );
}

#[test]
fn an_unknown_point_moves_nothing() {
    let mut bench = Bench::with(vec![high()]);
    bench.read(&[(STATE, NORMAL)], None, ReadingKind::Live);
    assert!(bench.seen().is_empty(), "lel was never heard of");
}

#[test]
fn warm_up_neither_raises_nor_ends_an_alarm() {
    let mut bench = Bench::with(vec![RuleDef {
        keep_for: Millis(0),
        ..high()
    }]);
    bench.read(&[(LEL, 80.0), (STATE, WARMUP)], None, ReadingKind::Live);
    assert!(bench.seen().is_empty());
    bench.read(&[(STATE, NORMAL)], None, ReadingKind::Live);
    assert_eq!(bench.seen(), ["gas-high raised"]);
    bench.read(&[(LEL, 0.0), (STATE, WARMUP)], None, ReadingKind::Live);
    assert!(
        bench.seen().is_empty(),
        "a detector that starts anew does not say that the gas is gone"
    );
}

#[test]
fn a_late_sample_raises_marked_late_and_never_clears() {
    let mut bench = Bench::with(vec![low(), slow()]);
    bench.read(&[(LEL, 5.0)], Some(START), ReadingKind::Live);
    bench.read(&[(LEL, 60.0)], Some(START - 60_000), ReadingKind::Live);
    let event = bench.effects.alarms.first().expect("raised, late");
    assert_eq!(event.alarm.late_by_ms, Some(60_000));
    assert_eq!(
        bench.seen(),
        ["gas-low raised"],
        "an on-delay cannot be judged by one old sample"
    );
    bench.read(&[(LEL, 1.0)], Some(START - 30_000), ReadingKind::Live);
    assert!(bench.seen().is_empty(), "an old sample ends nothing");
    bench.read(&[(LEL, 1.0)], Some(START + 1_000), ReadingKind::Live);
    assert_eq!(bench.seen(), ["gas-low recovered", "gas-low cleared"]);
}

#[test]
fn a_device_clock_in_the_future_does_not_mute_the_device() {
    let mut bench = Bench::with(vec![low()]);
    for ahead in [50_000, 3_600_000] {
        bench.read(&[(LEL, 5.0)], Some(START + ahead), ReadingKind::Live);
        bench.wait(1_000);
        bench.read(&[(LEL, 60.0)], Some(START + 1_000), ReadingKind::Live);
        let event = bench.effects.alarms.first().expect("raised");
        assert_eq!(event.alarm.late_by_ms, None, "{ahead} ms ahead");
        bench.read(&[(LEL, 1.0)], Some(START + 1_000), ReadingKind::Live);
        bench.seen();
        bench.now = Moment {
            wall: Timestamp(START),
            ticks: bench.now.ticks,
        };
    }
}

#[test]
fn self_tests_and_backlog_are_not_acted_upon() {
    let mut bench = Bench::with(vec![low()]);
    bench.read(&[(LEL, 60.0)], None, ReadingKind::Test);
    bench.read(&[(LEL, 60.0)], None, ReadingKind::History);
    assert!(bench.seen().is_empty());
}

#[test]
fn whoever_speaks_is_online() {
    let offline = RuleDef {
        class: Class::Fault,
        ..rule("offline", "online == false", None)
    };
    let mut bench = Bench::with(vec![offline]);
    bench.read(&[(PointIndex(0), 0.0)], None, ReadingKind::Live);
    assert_eq!(bench.seen(), ["offline raised"]);
    bench.lel(1.0);
    assert_eq!(bench.seen(), ["offline recovered", "offline cleared"]);
}

#[test]
fn changed_definitions_lose_no_alarm_and_close_only_what_is_gone() {
    let mut bench = Bench::with(vec![high(), low()]);
    bench.lel(60.0);
    assert_eq!(bench.seen(), ["gas-high raised", "gas-low raised"]);
    bench.define(vec![
        low(),
        RuleDef {
            when: "lel >= 70.0".to_owned(),
            ..high()
        },
    ]);
    assert!(bench.seen().is_empty(), "an edited rule keeps its alarm");
    bench.lel(65.0);
    assert!(bench.seen().is_empty(), "until its `clear` proves normal");
    bench.define(vec![high()]);
    assert_eq!(
        bench.seen(),
        ["gas-low cleared"],
        "a rule that is gone closes its alarm and says so"
    );
    bench.lel(1.0);
    bench.wait(30_000);
    assert_eq!(bench.seen(), ["gas-high recovered"]);
}

#[test]
fn acknowledging_does_not_clear() {
    let mut bench = Bench::with(vec![high()]);
    bench.lel(60.0);
    let id = bench.raised();
    bench.operate(id, OperatorAction::Acknowledge).unwrap();
    let event = bench.effects.alarms.first().expect("acknowledged");
    assert_eq!(event.alarm.state, AlarmState::ActiveAcknowledged);
    assert_eq!(bench.engine.standing_count(), 1);
}

#[test]
fn a_condition_that_comes_and_goes_leaves_no_timers_behind() {
    const DAY: Millis = Millis(86_400_000);
    for def in [
        rule("held", "held('1d', lel > 5.0)", None),
        RuleDef {
            hold: DAY,
            ..rule("slow", "lel > 5.0", None)
        },
        RuleDef {
            keep_for: DAY,
            ..rule("keep", "lel > 5.0", None)
        },
        RuleDef {
            after: Some(Repeat {
                count: 16,
                within: DAY,
            }),
            ..rule("often", "lel > 5.0 && lel < 9.0", None)
        },
    ] {
        let id = def.id.clone();
        let mut bench = Bench::with(vec![def]);
        for _ in 0..1_000 {
            bench.lel(if id == "often" { 1.0 } else { 10.0 });
            bench.lel(1.0);
            bench.wait(1_000);
        }
        for _ in 0..15 {
            bench.lel(7.0);
            bench.wait(1_000);
        }
        let mut timers = 0;
        while let Some(at) = bench.engine.next_deadline() {
            timers += 1;
            bench.wait(at.0.saturating_sub(bench.now.ticks.0));
        }
        assert!(timers <= 1, "{id}: {timers}");
    }
}

#[test]
fn every_alarm_and_event_has_an_id_of_its_own_however_many_one_instant_makes() {
    let silent = RuleDef {
        class: Class::Fault,
        ..rule("silent", "age() >= '5m'", None)
    };
    let mut bench = Bench::with(vec![silent]);
    bench.listen(true);
    for device in 0..40_000 {
        bench.admit(&key(&format!("d{device}")));
    }
    bench.wait(3_600_000);
    let events = &bench.effects.alarms;
    let alarms: BTreeSet<_> = events.iter().map(|event| event.alarm.id).collect();
    let ids: BTreeSet<_> = events.iter().map(|event| event.id).collect();
    assert_eq!(
        [alarms.len(), ids.len(), bench.engine.standing_count()],
        [40_001; 3]
    );
    assert!(alarms.is_disjoint(&ids));
}
