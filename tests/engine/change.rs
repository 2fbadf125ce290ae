//! Definitions that change under a running engine: what is judged at once, what keeps its time, what nothing touches.

use ninewatch::domain::alarm::{AlarmState, AlarmStep, ClearReason};
use ninewatch::domain::journal::OperatorAction;
use ninewatch::domain::rule::{Repeat, RuleDef};
use ninewatch::domain::time::Millis;

use crate::bench::{Bench, high, low, often, rule, slow, text};
use crate::schedule::{closed_hours, during};

/// `rule` with another condition.
fn when(rule: RuleDef, when: &str) -> RuleDef {
    RuleDef {
        when: when.to_owned(),
        ..rule
    }
}

#[test]
fn a_new_rule_judges_the_present_values_at_once() {
    let mut bench = Bench::with(vec![slow()]);
    bench.lel(60.0);
    bench.define(vec![slow(), low(), high()]);
    assert_eq!(bench.seen(), ["gas-high raised", "gas-low raised"]);
    assert_eq!(bench.engine.standing_count(), 2);
}

#[test]
fn a_lowered_limit_raises_without_a_further_reading() {
    let mut bench = Bench::with(vec![low()]);
    bench.lel(15.0);
    bench.wait(3_600_000);
    bench.define(vec![when(low(), "lel >= 10.0")]);
    let event = bench.effects.alarms.first().expect("raised");
    assert!(event.alarm.first_out);
    assert_eq!(event.alarm.values, [("lel".to_owned(), serde_json::json!(15.0))]);
    let id = bench.raised();
    bench.operate(id, OperatorAction::Acknowledge).unwrap();
    assert_eq!(bench.seen(), ["gas-low acknowledged"]);
}

#[test]
fn what_raises_at_once_is_told_of_only_if_nothing_explains_it() {
    let explained = RuleDef {
        suppressed_by: vec!["gas-high".to_owned()],
        ..low()
    };
    let mut bench = Bench::with(vec![slow()]);
    bench.lel(60.0);
    bench.define(vec![slow(), explained, high()]);
    assert_eq!(bench.told(), ["gas-high raised"]);
}

#[test]
fn a_suppressor_that_goes_leaves_its_alarm_announced() {
    let explained = RuleDef {
        suppressed_by: vec!["gas-high".to_owned()],
        ..low()
    };
    let mut bench = Bench::with(vec![explained, high()]);
    bench.lel(60.0);
    assert_eq!(bench.told(), ["gas-high raised"]);
    bench.define(vec![low()]);
    assert_eq!(bench.told(), ["gas-high cleared", "gas-low announced"]);
}

#[test]
fn a_raised_limit_ends_nothing_until_a_reading_proves_normal() {
    let mut bench = Bench::with(vec![low()]);
    bench.lel(30.0);
    assert_eq!(bench.seen(), ["gas-low raised"]);
    bench.define(vec![RuleDef {
        clear: Some("lel < 35.0".to_owned()),
        ..when(low(), "lel >= 40.0")
    }]);
    bench.wait(60_000);
    assert!(bench.seen().is_empty(), "the change itself ends nothing");
    bench.lel(30.0);
    assert_eq!(bench.seen(), ["gas-low recovered", "gas-low cleared"]);
}

#[test]
fn a_recovery_by_the_old_condition_does_not_end_by_the_clock() {
    let slow_end = RuleDef {
        keep_for: Millis(30_000),
        ..low()
    };
    let mut bench = Bench::with(vec![slow_end.clone()]);
    bench.lel(30.0);
    bench.lel(10.0);
    bench.wait(20_000);
    bench.define(vec![RuleDef {
        clear: Some("lel < 5.0".to_owned()),
        ..slow_end
    }]);
    bench.wait(60_000);
    assert_eq!(bench.seen(), ["gas-low raised"], "10 is not below 5");
    bench.lel(4.0);
    bench.wait(30_000);
    assert_eq!(bench.seen(), ["gas-low recovered", "gas-low cleared"]);
}

#[test]
fn a_recovered_alarm_is_raised_again_under_its_id_when_the_new_condition_holds() {
    let quick = RuleDef {
        keep_for: Millis(0),
        ..high()
    };
    let mut bench = Bench::with(vec![quick.clone()]);
    bench.lel(60.0);
    let id = bench.raised();
    bench.lel(15.0);
    assert_eq!(bench.seen(), ["gas-high recovered"]);
    bench.define(vec![RuleDef {
        clear: Some("lel < 5.0".to_owned()),
        ..when(quick, "lel >= 10.0")
    }]);
    let event = bench.effects.alarms.first().expect("raised again");
    assert_eq!(event.alarm.state, AlarmState::ActiveUnacknowledged);
    assert_eq!(bench.raised(), id);
}

#[test]
fn a_removed_rule_closes_with_its_reason() {
    let mut bench = Bench::with(vec![high(), low()]);
    bench.lel(60.0);
    bench.seen();
    bench.define(vec![high()]);
    let event = bench.effects.alarms.first().expect("closed");
    assert_eq!(event.step, AlarmStep::Cleared(ClearReason::RuleRemoved));
    assert_eq!(bench.seen(), ["gas-low cleared"]);
}

#[test]
fn an_edit_of_words_alone_changes_nothing() {
    let mut bench = Bench::with(vec![low(), slow()]);
    bench.lel(22.0);
    bench.lel(30.0);
    bench.wait(4_000);
    bench.seen();
    let evaluations = bench.effects.evaluations;
    let renamed = |rule: RuleDef| RuleDef {
        title: text("another title"),
        ..rule
    };
    bench.define(vec![renamed(slow()), renamed(low())]);
    assert!(bench.seen().is_empty());
    assert_eq!(bench.effects.evaluations, evaluations, "nothing is judged anew");
    bench.wait(6_000);
    assert_eq!(bench.seen(), ["gas-slow raised"], "its delay went on");
}

#[test]
fn what_is_pending_keeps_its_time_through_any_change_that_leaves_it_true() {
    for changed in [slow(), when(slow(), "lel >= 11.0")] {
        let mut bench = Bench::with(vec![slow()]);
        bench.lel(12.0);
        bench.wait(9_000);
        bench.define(vec![high(), changed]);
        bench.wait(999);
        assert!(bench.seen().is_empty());
        bench.wait(1);
        assert_eq!(bench.seen(), ["gas-slow raised"]);
    }
}

#[test]
fn a_delay_that_became_shorter_than_what_has_passed_ends_now() {
    let mut bench = Bench::with(vec![slow()]);
    bench.lel(12.0);
    bench.wait(6_000);
    bench.define(vec![RuleDef {
        hold: Millis(5_000),
        ..slow()
    }]);
    bench.wait(0);
    assert_eq!(bench.seen(), ["gas-slow raised"]);
}

#[test]
fn what_is_pending_makes_no_alarm_of_a_condition_that_no_longer_holds() {
    let mut bench = Bench::with(vec![slow()]);
    bench.lel(12.0);
    bench.wait(9_000);
    bench.define(vec![when(slow(), "lel >= 40.0")]);
    bench.wait(60_000);
    assert!(bench.seen().is_empty());
}

#[test]
fn a_new_delay_begins_with_the_change_and_needs_fresh_evidence() {
    let wary = RuleDef {
        max_gap: Millis(15_000),
        ..slow()
    };
    for (silence, expected) in [(2_000, &["gas-slow raised"][..]), (20_000, &[])] {
        let mut bench = Bench::with(vec![high()]);
        bench.lel(12.0);
        bench.wait(silence);
        bench.define(vec![high(), wary.clone()]);
        bench.wait(9_999);
        assert!(bench.seen().is_empty());
        bench.wait(1);
        assert_eq!(
            bench.seen(),
            expected,
            "silent for {silence} ms before the change"
        );
        bench.lel(12.0);
        bench.seen();
        assert_eq!(bench.engine.standing_count(), 1, "the next reading decides");
    }
}

#[test]
fn a_change_is_no_further_occurrence_for_a_rule_that_counts() {
    let twice = RuleDef {
        after: Some(Repeat {
            count: 2,
            within: Millis(60_000),
        }),
        ..often()
    };
    let mut bench = Bench::with(vec![twice.clone()]);
    bench.lel(50.0);
    for limit in ["lel >= 41.0", "lel >= 42.0", "lel >= 43.0"] {
        bench.wait(1_000);
        bench.define(vec![when(twice.clone(), limit)]);
    }
    assert!(bench.seen().is_empty());
    bench.lel(50.0);
    assert_eq!(bench.seen(), ["often raised"]);
}

#[test]
fn what_has_been_silent_long_enough_for_a_new_rule_is_told_of_at_once() {
    let mut bench = Bench::with(vec![high()]);
    bench.listen(true);
    bench.lel(1.0);
    bench.wait(60_000);
    bench.define(vec![high(), rule("silent", "age() >= '45s'", None)]);
    bench.wait(0);
    assert_eq!(bench.seen(), ["silent raised"]);
}

#[test]
fn a_missing_point_stays_unknown_to_a_new_rule() {
    let mut bench = Bench::with(vec![high()]);
    bench.define(vec![high(), rule("cold", "lel < 5.0", None)]);
    assert!(bench.seen().is_empty(), "lel was never heard of");
}

#[test]
fn a_restart_after_a_change_goes_on_with_what_the_change_left() {
    let mut bench = Bench::with(vec![high()]);
    bench.lel(12.0);
    bench.define(vec![high(), slow(), when(low(), "lel >= 10.0")]);
    assert_eq!(bench.seen(), ["gas-low raised"]);
    bench.wait(5_000);
    bench.restart();
    bench.wait(5_000);
    assert_eq!(bench.seen(), ["gas-slow raised"]);
}

#[test]
fn a_rule_whose_schedule_is_taken_off_judges_at_once() {
    let plain = rule("open", "lel >= 25.0", None);
    let mut bench = closed_hours(vec![during("closed-hours", plain.clone())]);
    bench.lel(60.0);
    assert!(bench.seen().is_empty());
    bench.define(vec![plain]);
    assert_eq!(bench.seen(), ["open raised"]);
}

fn held_for_an_hour(when: &str, max_gap: u64) -> Vec<RuleDef> {
    vec![RuleDef {
        max_gap: Millis(max_gap),
        ..rule("held", when, None)
    }]
}

#[test]
fn how_long_a_condition_has_held_survives_an_edit_of_its_words_or_of_max_gap() {
    for (when, max_gap) in [
        ("held('1h', lel > 5.0)", 600_000),
        ("held('1h', lel > 5)", 300_000),
        ("held( '60m', ((lel > 5.00)) )", 300_000),
        ("state == 'fault' || held('1h', 5.0 < lel)", 300_000),
    ] {
        for minutes in [50, 70] {
            let mut bench = Bench::with(held_for_an_hour("held('1h', lel > 5.0)", 300_000));
            for _ in 0..minutes {
                bench.lel(10.0);
                bench.pass(60_000);
            }
            bench.define(held_for_an_hour(when, max_gap));
            for _ in 0..15 {
                bench.lel(10.0);
                bench.pass(60_000);
            }
            assert_eq!(
                bench.seen(),
                ["held raised"],
                "{when}, {max_gap}, after {minutes} minutes"
            );
        }
    }
}

#[test]
fn a_condition_under_held_that_is_new_ends_an_alarm_only_when_it_is_seen_broken() {
    let mut bench = Bench::with(held_for_an_hour("lel > 5.0", 300_000));
    bench.lel(10.0);
    assert_eq!(bench.seen(), ["held raised"]);
    bench.define(held_for_an_hour("held('1h', lel > 8.0)", 300_000));
    for _ in 0..90 {
        bench.lel(10.0);
        bench.pass(60_000);
    }
    assert_eq!(bench.seen(), [] as [&str; 0], "it may have held before");
    bench.define(held_for_an_hour("held('2h', lel > 8.0)", 300_000));
    bench.lel(10.0);
    assert_eq!(bench.seen(), [] as [&str; 0]);
    bench.lel(7.0);
    assert_eq!(bench.seen(), ["held recovered", "held cleared"]);
}

#[test]
fn another_length_or_condition_under_held_starts_anew() {
    for when in [
        "held('2h', lel > 5.0)",
        "held('1h', lel >= 5.0)",
        "held('1h', !(lel > 5.0))",
    ] {
        let mut bench = Bench::with(held_for_an_hour("held('1h', lel > 5.0)", 300_000));
        for _ in 0..59 {
            bench.lel(10.0);
            bench.pass(60_000);
        }
        bench.define(held_for_an_hour(when, 300_000));
        for _ in 0..30 {
            bench.lel(10.0);
            bench.pass(60_000);
        }
        assert_eq!(bench.seen(), [] as [&str; 0], "{when}");
    }
}

#[test]
fn the_ends_of_removed_rules_come_first_also_when_the_book_of_ended_alarms_is_full() {
    let calm = |id: &str| RuleDef {
        chatter: Repeat {
            count: 16,
            within: Millis(1),
        },
        ..rule(id, "lel >= 25.0", None)
    };
    let mut bench = Bench::with(vec![calm("a"), calm("b"), rule("kept", "lel >= 90.0", None)]);
    for _ in 0..5_000 {
        bench.lel(60.0);
        bench.wait(10);
        bench.lel(1.0);
        bench.wait(10);
    }
    bench.lel(60.0);
    bench.effects.alarms.clear();
    bench.define(vec![rule("kept", "lel >= 50.0", None)]);
    let removed = bench.effects.of_removed_rules();
    let mut seen = bench.seen();
    assert_eq!(
        seen.split_off(removed).last().map(String::as_str),
        Some("kept raised")
    );
    assert_eq!(seen, ["a cleared", "a unclosed", "b cleared"]);
    assert_eq!(bench.effects.of_removed_rules(), 0);
}
