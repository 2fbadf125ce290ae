//! What becomes of an alarm after people have looked: verdict, closing, and the bounded book of what is not closed.

use ninewatch::domain::alarm::{AlarmState, Handling, Verdict};
use ninewatch::domain::engine::Refusal;
use ninewatch::domain::journal::OperatorAction;
use ninewatch::domain::rule::{Repeat, RuleDef};
use ninewatch::domain::time::Millis;

use crate::bench::{Bench, high, low, slow};

/// The handling that the last event shows.
fn handling(bench: &Bench) -> &'static str {
    let event = bench.effects.alarms.last().expect("an event");
    event.alarm.handling.as_ref().map_or("none", Handling::as_str)
}

#[test]
fn an_alarm_is_verified_ends_and_is_closed() {
    let mut bench = Bench::with(vec![low()]);
    bench.lel(60.0);
    assert_eq!(handling(&bench), "unverified");
    let id = bench.raised();
    bench.operate(id, OperatorAction::Verdict(Verdict::Test)).unwrap();
    assert_eq!(handling(&bench), "verified");
    assert_eq!(
        bench.operate(id, OperatorAction::Close),
        Err(Refusal::NotEnded(AlarmState::ActiveUnacknowledged))
    );
    bench.lel(1.0);
    assert_eq!(handling(&bench), "handled");
    bench.operate(id, OperatorAction::Verdict(Verdict::Real)).unwrap();
    let event = bench.effects.alarms.last().expect("corrected");
    assert!(!event.notify);
    assert_eq!(event.alarm.state, AlarmState::Cleared);
    let judgement = event.alarm.handling.as_ref().and_then(Handling::judgement);
    assert_eq!(judgement.map(|judgement| judgement.verdict), Some(Verdict::Real));
    bench.operate(id, OperatorAction::Close).unwrap();
    assert_eq!(handling(&bench), "closed");
    assert_eq!(
        bench.seen(),
        [
            "gas-low verified",
            "gas-low recovered",
            "gas-low cleared",
            "gas-low verified",
            "gas-low closed"
        ]
    );
    for action in [OperatorAction::Close, OperatorAction::Verdict(Verdict::Real)] {
        assert_eq!(bench.operate(id, action), Err(Refusal::NoOpenAlarm));
    }
}

#[test]
fn an_alarm_that_has_ended_can_be_verified_and_only_then_closed() {
    let mut bench = Bench::with(vec![low()]);
    bench.lel(60.0);
    let id = bench.raised();
    bench.lel(1.0);
    assert_eq!(handling(&bench), "unverified");
    assert_eq!(bench.engine.unclosed_count(), 1);
    bench.restart();
    assert_eq!(
        bench.operate(id, OperatorAction::Close),
        Err(Refusal::NotVerified)
    );
    bench.effects.alarms.clear();
    bench
        .operate(id, OperatorAction::Verdict(Verdict::False))
        .unwrap();
    assert_eq!(handling(&bench), "handled");
    let event = bench.effects.alarms.last().expect("verified");
    assert_eq!(event.alarm.values, [("lel".to_owned(), serde_json::json!(1.0))]);
    bench.operate(id, OperatorAction::Close).unwrap();
    assert_eq!(bench.engine.unclosed_count(), 0);
}

#[test]
fn a_new_occurrence_wants_a_new_verdict() {
    let mut bench = Bench::with(vec![RuleDef {
        keep_for: Millis(0),
        ..high()
    }]);
    bench.lel(60.0);
    let id = bench.raised();
    bench
        .operate(id, OperatorAction::Verdict(Verdict::Drill))
        .unwrap();
    bench.lel(1.0);
    assert_eq!(handling(&bench), "verified", "it still stands");
    bench.lel(60.0);
    assert_eq!(handling(&bench), "unverified");
}

#[test]
fn only_alarms_in_the_narrow_sense_are_handled() {
    let mut bench = Bench::with(vec![RuleDef {
        hold: Millis(0),
        ..slow()
    }]);
    bench.lel(60.0);
    assert_eq!(handling(&bench), "none");
    let id = bench.raised();
    for action in [OperatorAction::Verdict(Verdict::Real), OperatorAction::Close] {
        let refusal = bench.operate(id, action).unwrap_err();
        assert!(refusal.to_string().contains("of class `warning`"), "{refusal}");
    }
    bench.lel(1.0);
    assert_eq!(bench.engine.unclosed_count(), 0);
}

#[test]
fn the_book_is_bounded_and_whoever_leaves_it_is_named() {
    let mut bench = Bench::with(vec![RuleDef {
        chatter: Repeat {
            count: 255,
            within: Millis(1_000),
        },
        ..low()
    }]);
    bench.lel(60.0);
    let oldest = bench.raised();
    bench.lel(1.0);
    for _ in 1..10_000 {
        bench.wait(2_000);
        bench.lel(60.0);
        bench.lel(1.0);
    }
    assert!(!bench.seen().contains(&"gas-low unclosed".to_owned()));
    bench.wait(2_000);
    bench.lel(60.0);
    bench.lel(1.0);
    let event = bench.effects.alarms.last().expect("unclosed");
    assert_eq!((event.alarm.id, event.step.as_str()), (oldest, "unclosed"));
    assert_eq!(bench.engine.unclosed_count(), 10_000);
}
