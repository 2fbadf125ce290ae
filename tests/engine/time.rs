//! Rules over time: windows by the device's clock, conditions that last, and silence.

use ninewatch::domain::device::DeviceIndex;
use ninewatch::domain::journal::OperatorAction;
use ninewatch::domain::kind::{ONLINE, PointIndex};
use ninewatch::domain::reading::{Arrival, Reading, ReadingKind};
use ninewatch::domain::rule::RuleDef;
use ninewatch::domain::time::Millis;

use crate::bench::{Bench, LEL, START, STATE, low, rule, stale_gas_kind};
use crate::wrong::thrice;

fn rising() -> RuleDef {
    rule("rising", "rate(lel, '30s') > 1.0", None)
}

fn silent() -> RuleDef {
    rule("silent", "age() >= '5m'", None)
}

/// A sample that the device says it took at `at` seconds of the test.
fn sample(bench: &mut Bench, lel: f64, at: i64) {
    bench.read(&[(LEL, lel)], Some(START + at * 1_000), ReadingKind::Live);
}

#[test]
fn a_burst_of_kept_back_samples_has_the_slope_of_the_devices_clock() {
    for (step, expected) in [(0.5, vec![]), (2.0, vec!["rising raised"])] {
        let mut bench = Bench::with(vec![rising()]);
        bench.wait(60_000);
        for second in [0, 10, 20, 30] {
            sample(&mut bench, 5.0 + step * second as f64, second);
        }
        assert_eq!(bench.seen(), expected, "{step} a second");
    }
}

#[test]
fn clocks_that_are_fast_or_slow_do_not_bend_the_slope() {
    for ahead in [-3_600, -5, 0, 5, 59] {
        for (step, expected) in [(0.5, vec![]), (2.0, vec!["rising raised"])] {
            let mut bench = Bench::with(vec![rising()]);
            for second in [0, 10, 20] {
                sample(&mut bench, 5.0 + step * second as f64, second + ahead);
                bench.wait(10_000);
            }
            assert_eq!(bench.seen(), expected, "{ahead} s ahead, {step} a second");
        }
    }
}

#[test]
fn a_message_that_comes_twice_is_no_second_sample() {
    for when in [
        "avg(lel, '1m') > 20.0",
        "changes(lel, '1m') > 1",
        "rate(lel, '1m') > 1.0",
    ] {
        for times in [1, 9] {
            let mut bench = Bench::with(vec![rule("twice", when, None)]);
            for (turn, lel) in [10.0, 10.0, 10.0, 10.0, 10.0, 10.0, 10.0, 40.0]
                .into_iter()
                .enumerate()
            {
                let second = 10 * i64::try_from(turn).unwrap();
                for _ in 0..if turn == 7 { times } else { 1 } {
                    sample(&mut bench, lel, second);
                    bench.wait(1);
                }
                bench.wait(10_000 - if turn == 7 { times } else { 1 });
            }
            assert_eq!(bench.seen(), [] as [&str; 0], "{when}: {times} times");
        }
    }
}

#[test]
fn a_clock_that_stands_still_mutes_no_window() {
    let mut bench = Bench::with(vec![rule("lasting", "min(lel, '1m') > 50.0", None)]);
    for _ in 0..8 {
        sample(&mut bench, 60.0, -315_360_000);
        bench.wait(10_000);
    }
    assert_eq!(bench.seen(), ["lasting raised"]);
    assert_eq!(bench.effects.repetitions, 7);
}

#[test]
fn a_late_sample_enters_no_window() {
    let mut bench = Bench::with(vec![rule("peak", "max(lel, '1m') > 40.0", None)]);
    sample(&mut bench, 5.0, 0);
    bench.wait(30_000);
    sample(&mut bench, 6.0, 30);
    sample(&mut bench, 80.0, 10);
    bench.wait(1_000);
    sample(&mut bench, 7.0, 31);
    assert!(bench.seen().is_empty());
    sample(&mut bench, 41.0, 31);
    assert_eq!(
        bench.seen(),
        ["peak raised"],
        "the greatest so far is enough to know"
    );
}

#[test]
fn a_window_that_was_not_heard_of_wholly_clears_nothing() {
    let mut bench = Bench::with(vec![rule(
        "quiet",
        "max(lel, '1m') < 10.0",
        Some("max(lel, '1m') >= 10.0"),
    )]);
    for second in 0..6 {
        bench.lel(5.0);
        assert!(
            bench.seen().is_empty(),
            "{second}0 s: a greater one may have been before"
        );
        bench.wait(10_000);
    }
    bench.lel(5.0);
    assert_eq!(bench.seen(), ["quiet raised"]);
}

#[test]
fn what_lasts_raises_at_its_time_without_a_reading() {
    let mut bench = Bench::with(vec![rule("lasting", "held('10m', lel > 5.0)", None)]);
    bench.lel(6.0);
    bench.wait(299_000);
    bench.lel(6.0);
    bench.wait(300_999);
    assert!(bench.seen().is_empty());
    bench.wait(1);
    assert!(bench.seen().is_empty(), "the last evidence is older than max_gap");
    bench.lel(7.0);
    assert_eq!(bench.seen(), ["lasting raised"], "it had not been found broken");
    bench.lel(4.0);
    assert_eq!(bench.seen(), ["lasting recovered", "lasting cleared"]);
    bench.lel(6.0);
    bench.wait(300_000);
    bench.lel(6.0);
    bench.wait(299_999);
    assert!(bench.seen().is_empty());
    bench.wait(1);
    assert_eq!(bench.seen(), ["lasting raised"], "by the clock alone");
}

#[test]
fn silence_raises_once_and_ends_with_the_first_word() {
    let mut bench = Bench::with(vec![silent()]);
    bench.listen(true);
    for _ in 0..5 {
        bench.lel(1.0);
        bench.wait(299_999);
    }
    assert!(bench.seen().is_empty(), "it spoke in time");
    bench.wait(1);
    assert_eq!(bench.seen(), ["silent raised"]);
    bench.wait(3_600_000);
    bench.kept(&[(LEL, 1.0)]);
    bench.read(&[(ONLINE, 0.0)], None, ReadingKind::Live);
    assert!(
        bench.seen().is_empty(),
        "neither what the broker kept nor a last will is speech"
    );
    bench.read(&[(PointIndex(2), 0.0)], None, ReadingKind::Live);
    assert_eq!(bench.seen(), ["silent recovered", "silent cleared"]);
    bench.wait(300_000);
    assert_eq!(bench.seen(), ["silent raised"], "and again");
    bench.read(&[(LEL, 1.0)], None, ReadingKind::History);
    assert_eq!(
        bench.seen(),
        ["silent recovered", "silent cleared"],
        "a backlog is speech"
    );
}

#[test]
fn a_clock_outside_the_bounds_is_known_of_and_mutes_nothing() {
    let skew = rule("skew", "clock_skew()", None);
    let lasting = RuleDef {
        hold: Millis(600_000),
        ..rule("lasting", "clock_skew()", None)
    };
    let mut bench = Bench::with(vec![skew, lasting, rule("low", "lel >= 25.0", None)]);
    bench.lel(1.0);
    assert!(
        bench.seen().is_empty(),
        "a device that tells no time has no wrong one"
    );
    sample(&mut bench, 30.0, -86_401);
    assert_eq!(bench.seen(), ["skew raised", "low raised"], "judged as of now");
    bench.lel(30.0);
    bench.kept(&[(LEL, 30.0)]);
    let now = Some(START);
    for kind in [ReadingKind::Test, ReadingKind::History] {
        bench.read(&[(LEL, 30.0)], now, kind);
    }
    assert!(bench.seen().is_empty(), "only a live message with a time tells");
    bench.restart();
    for second in [200, 400, 600] {
        bench.wait(200_000);
        sample(&mut bench, 1.0, second + 61);
    }
    assert_eq!(
        bench.seen(),
        ["low recovered", "low cleared", "lasting raised"],
        "each message with a wrong time is evidence"
    );
    sample(&mut bench, 1.0, 660);
    let mut seen = bench.seen();
    seen.sort();
    assert_eq!(
        seen,
        [
            "lasting cleared",
            "lasting recovered",
            "skew cleared",
            "skew recovered"
        ],
        "a minute ahead is believed"
    );
}

#[test]
fn each_length_of_silence_has_its_own_time() {
    let mut bench = Bench::with(vec![silent(), rule("gone", "age() > '1h'", None)]);
    bench.listen(true);
    bench.lel(1.0);
    bench.wait(300_000);
    assert_eq!(bench.seen(), ["silent raised"]);
    bench.wait(60_000);
    bench.lel(1.0);
    assert_eq!(bench.seen(), ["silent recovered", "silent cleared"]);
    bench.wait(300_000);
    assert_eq!(bench.seen(), ["silent raised"]);
    bench.wait(3_299_999);
    assert!(bench.seen().is_empty());
    bench.wait(1);
    assert_eq!(bench.seen(), ["gone raised"]);
}

#[test]
fn silence_while_nobody_listened_does_not_count() {
    let mut bench = Bench::with(vec![silent()]);
    bench.lel(1.0);
    bench.wait(3_600_000);
    assert!(bench.seen().is_empty(), "nobody has listened yet");
    bench.listen(true);
    bench.wait(299_000);
    bench.listen(false);
    bench.wait(3_600_000);
    assert!(bench.seen().is_empty(), "the session is down");
    bench.restart();
    bench.listen(false);
    bench.wait(1_000);
    bench.listen(true);
    bench.wait(299_999);
    assert!(bench.seen().is_empty(), "a restart makes no storm");
    bench.wait(1);
    assert_eq!(bench.seen(), ["silent raised"]);
    bench.listen(false);
    bench.listen(true);
    bench.restart();
    assert!(
        bench.seen().is_empty(),
        "an outage of ours is no word of the device"
    );
    bench.lel(1.0);
    assert_eq!(bench.seen(), ["silent recovered", "silent cleared"]);
}

#[test]
fn a_point_not_heard_of_for_long_is_unknown_again() {
    let both = rule("both", "lel >= 25.0 && state == 'fault'", None);
    for (waited, expected) in [(1_799_999, vec!["both raised"]), (1_800_000, vec![])] {
        let mut bench = Bench::with(vec![]);
        bench.define_on(vec![stale_gas_kind(Millis(1_800_000))], vec![both.clone()]);
        bench.listen(true);
        bench.lel(5.0);
        bench.wait(900_000);
        bench.lel(60.0);
        bench.wait(waited);
        bench.restart();
        bench.read(&[(STATE, 2.0)], None, ReadingKind::Live);
        assert_eq!(bench.seen(), expected, "{waited} ms after the last level");
        bench.lel(26.0);
        assert_eq!(bench.engine.standing_count(), 1, "and known again");
    }
}

#[test]
fn a_stale_point_ends_no_alarm_and_is_shown_no_more() {
    let mut bench = Bench::with(vec![]);
    bench.define_on(vec![stale_gas_kind(Millis(60_000))], vec![low()]);
    bench.listen(true);
    bench.lel(60.0);
    let id = bench.raised();
    bench.wait(60_000);
    assert!(bench.seen().is_empty());
    bench.operate(id, OperatorAction::Acknowledge).unwrap();
    let event = bench.effects.alarms.first().expect("acknowledged");
    assert!(event.alarm.values.is_empty(), "{:?}", event.alarm.values);
    assert_eq!(bench.engine.next_deadline(), None, "nothing is left to wait for");
    bench.lel(5.0);
    bench.seen();
    assert_eq!(bench.engine.standing_count(), 0);
}

#[test]
fn a_point_grows_stale_only_while_somebody_listens() {
    let both = rule("both", "lel >= 25.0 && state == 'fault'", None);
    let mut bench = Bench::with(vec![]);
    bench.define_on(vec![stale_gas_kind(Millis(60_000))], vec![both.clone()]);
    bench.lel(60.0);
    bench.wait(3_600_000);
    bench.listen(true);
    bench.wait(59_999);
    // Whatever else it says, and other rules, leave the point as old as it is.
    bench.define_on(vec![stale_gas_kind(Millis(60_000))], vec![low(), both.clone()]);
    bench.seen();
    bench.read(&[(STATE, 2.0)], None, ReadingKind::Live);
    assert!(bench.seen().contains(&"both raised".to_owned()), "not yet");
    bench.read(&[(STATE, 0.0)], None, ReadingKind::Live);
    bench.wait(1);
    bench.seen();
    bench.read(&[(STATE, 2.0)], None, ReadingKind::Live);
    assert!(bench.seen().is_empty(), "now");
}

#[test]
fn other_rules_leave_windows_and_silence_as_they_were() {
    let lasting = rule("lasting", "held('10m', lel > 5.0)", None);
    let mut bench = Bench::with(vec![rising(), lasting.clone(), silent()]);
    bench.listen(true);
    bench.lel(6.0);
    bench.wait(290_000);
    bench.define(vec![
        rule("peak", "max(lel, '1h') > 90.0", None),
        silent(),
        lasting,
    ]);
    bench.wait(10_000);
    assert_eq!(bench.seen(), ["silent raised"]);
    bench.lel(6.0);
    assert_eq!(bench.seen(), ["silent recovered", "silent cleared"]);
    bench.wait(299_999);
    assert!(bench.seen().is_empty());
    bench.wait(1);
    let mut seen = bench.seen();
    seen.sort();
    assert_eq!(seen, ["lasting raised", "silent raised"]);
}

#[test]
fn a_latched_silence_waits_for_its_reset() {
    let mut bench = Bench::with(vec![RuleDef {
        latch: true,
        keep_for: Millis(0),
        ..silent()
    }]);
    bench.listen(true);
    bench.lel(1.0);
    bench.wait(300_000);
    let id = bench.raised();
    bench.lel(1.0);
    assert_eq!(bench.seen(), ["silent recovered"]);
    bench.operate(id, OperatorAction::Reset).unwrap();
    assert_eq!(bench.seen(), ["silent cleared"]);
}

#[test]
fn only_rules_whose_answer_may_have_changed_are_evaluated() {
    let mut bench = Bench::with(vec![
        rising(),
        silent(),
        rule("lasting", "held('10m', lel > 5.0)", None),
        rule("high", "lel >= 50.0", Some("lel < 20.0")),
        RuleDef {
            hold: Millis(60_000),
            ..rule("slow", "lel > 30.0", None)
        },
    ]);
    bench.listen(true);
    bench.lel(1.0);
    let first = std::mem::take(&mut bench.effects.evaluations);
    assert_eq!(first, 5, "each value is heard of for the first time");
    for (lel, evaluations, why) in [
        (2.0, 0, "no threshold lies between"),
        (
            19.0,
            0,
            "nor here: only `held` counts on 5, which changed no answer",
        ),
        (20.0, 2, "the end of `high`; `slow` reads the same point"),
        (30.0, 0, "`slow` is above 30"),
        (31.0, 2, "`slow` waits now"),
        (
            31.0,
            4,
            "an alarm waits for evidence: every rule of its points is asked",
        ),
        (50.0, 4, "still"),
        (4.9, 4, "`high` and `slow` end, and so does what `held` counts"),
        (4.0, 0, "all is quiet"),
    ] {
        bench.lel(lel);
        assert_eq!(
            std::mem::take(&mut bench.effects.evaluations),
            evaluations,
            "{lel}: {why}"
        );
    }
    bench.read(&[(PointIndex(2), 0.0)], None, ReadingKind::Live);
    assert_eq!(bench.effects.evaluations, 0, "no rule reads `state`");
}

#[test]
fn messages_with_a_number_are_told_apart_by_it() {
    let numbered = |bench: &mut Bench, lel: f64, seq: u64| {
        bench.feed(Reading {
            device: DeviceIndex(0),
            device_at: None,
            seq: Some(seq),
            kind: ReadingKind::Live,
            arrival: Arrival::First,
            points: &[(LEL, lel)],
        });
        bench.wait(1_000);
    };
    let mut bench = Bench::with(vec![thrice()]);
    for _ in 0..5 {
        numbered(&mut bench, 30.0, 7);
    }
    bench.restart();
    numbered(&mut bench, 30.0, 7);
    assert_eq!(bench.effects.repetitions, 5);
    numbered(&mut bench, 30.0, 8);
    assert!(bench.seen().is_empty(), "two findings, seven messages");
    numbered(&mut bench, 30.0, 9);
    assert_eq!(bench.seen(), ["thrice raised"]);
    let mut still = Bench::with(vec![thrice()]);
    for lel in [30.0, 31.0, 32.0] {
        numbered(&mut still, lel, 0);
    }
    assert_eq!(
        still.seen(),
        ["thrice raised"],
        "a counter that stands still mutes nothing"
    );
}
