//! From danger to proof: what is ordered when, what proves it, and what never does.

use ninewatch::domain::engine::Refusal;
use ninewatch::domain::interlock::{CommandStep, Failure, Report};
use ninewatch::domain::journal::Input;
use ninewatch::domain::reading::{Arrival, Reading, ReadingKind};
use ninewatch::domain::rule::RuleDef;

use crate::bench::LEL;
use crate::site::{BATTERY, CLOSED, OPEN, POSITION, Site, action, close_failed, gas_closes, key};

const NOTHING: [&str; 0] = [];

#[test]
fn a_leak_closes_the_valve_and_the_valve_proves_it() {
    let mut site = Site::new();
    site.valve("s1", OPEN);
    site.gas("g1", 60.0);
    assert_eq!(site.alarms(), ["gas-high raised"]);
    assert_eq!(site.sent(), ["s1 close 1"]);
    site.report(Report::Sent);
    site.report(Report::Acknowledged);
    // An acknowledgement is no proof, nor is anything else that the valve says.
    site.say("shutoff_valve", "s1", &[(BATTERY, 80.0)]);
    site.valve("s1", 2.0);
    assert_eq!(
        site.steps(),
        ["s1 close requested", "s1 close sent", "s1 close acknowledged"]
    );
    site.pass(1_200);
    site.valve("s1", CLOSED);
    let verified = site.effects.commands.last().unwrap();
    assert_eq!(verified.order.took.0, 1_200);
    assert_eq!(site.steps(), ["s1 close verified!"]);
    // Proven: nothing is sent any more.
    site.pass(600_000);
    assert_eq!(site.sent(), NOTHING);
    assert_eq!(site.alarms(), NOTHING);
}

#[test]
fn a_mute_valve_is_told_again_and_then_people_are() {
    let mut site = Site::new();
    site.gas("g1", 60.0);
    site.report(Report::Sent);
    site.pass(9_999);
    assert_eq!(site.sent(), ["s1 close 1"]);
    site.pass(1);
    assert_eq!(site.sent(), ["s1 close 2"]);
    site.pass(10_000);
    assert_eq!(site.sent(), ["s1 close 3"]);
    assert_eq!(site.attempts[0], site.attempts[2], "one order");
    site.pass(10_000);
    assert_eq!(site.sent(), NOTHING);
    assert_eq!(
        site.steps(),
        [
            "s1 close requested",
            "s1 close sent",
            "s1 close repeated",
            "s1 close repeated",
            "s1 close failed!"
        ]
    );
    assert_eq!(site.alarms(), ["gas-high raised", "close-failed raised"]);
    // It closes late: that is known, and the alarm of its failure ends.
    site.valve("s1", CLOSED);
    assert_eq!(site.alarms(), ["close-failed recovered", "close-failed cleared"]);
}

#[test]
fn a_valve_that_failed_is_tried_again_when_it_speaks_and_told_of_once() {
    let mut site = Site::new();
    site.gas("g1", 60.0);
    site.pass(30_000);
    assert_eq!(site.sent().len(), 3);
    site.valve("s1", OPEN);
    assert_eq!(site.sent(), NOTHING, "not at once");
    site.pass(60_000);
    site.valve("s1", OPEN);
    assert_eq!(site.sent(), ["s1 close 1"]);
    site.pass(30_000);
    site.effects.attempts.clear();
    let failures = site
        .steps()
        .iter()
        .filter(|step| step.ends_with("failed!"))
        .count();
    assert_eq!(failures, 1);
    assert_eq!(site.alarms(), ["gas-high raised", "close-failed raised"]);
    site.pass(60_000);
    site.valve("s1", OPEN);
    site.valve("s1", CLOSED);
    let steps = site.steps();
    assert_eq!(steps.last().map(String::as_str), Some("s1 close verified!"));
}

#[test]
fn what_is_no_live_word_of_the_valve_proves_nothing() {
    let mut site = Site::new();
    let valve = site.engine.find(&key("shutoff_valve", "s1")).unwrap();
    let closed = Reading {
        device: valve,
        device_at: None,
        seq: None,
        kind: ReadingKind::Live,
        arrival: Arrival::First,
        points: &[(POSITION, CLOSED)],
    };
    // Before the order: a valve that has closed by itself is a state, not an answer.
    site.feed(Reading {
        seq: Some(7),
        ..closed
    });
    site.gas("g1", 60.0);
    for arrival in [Arrival::Kept, Arrival::Again] {
        site.feed(Reading { arrival, ..closed });
    }
    site.feed(Reading {
        seq: Some(7),
        ..closed
    });
    for kind in [ReadingKind::Test, ReadingKind::History] {
        site.feed(Reading { kind, ..closed });
    }
    site.say("shutoff_valve", "s1", &[(BATTERY, 50.0)]);
    assert_eq!(site.steps(), ["s1 close requested"]);
    site.feed(closed);
    assert_eq!(site.steps(), ["s1 close verified!"]);
}

#[test]
fn what_raises_without_commanding() {
    for (name, act) in [
        (
            "an old sample",
            (|site: &mut Site| {
                site.pass(120_000);
                site.old_gas(5.0, 0);
                site.old_gas(60.0, 60_001);
            }) as fn(&mut Site),
        ),
        ("a device out of service", |site| {
            site.out_of_service("g1");
            site.gas("g1", 60.0);
        }),
    ] {
        let mut site = Site::new();
        act(&mut site);
        assert!(
            site.alarms().iter().any(|alarm| alarm == "gas-high raised"),
            "{name}"
        );
        assert_eq!(site.sent(), NOTHING, "{name}");
    }
}

#[test]
fn a_young_late_sample_commands() {
    let mut site = Site::new();
    site.gas("g1", 5.0);
    let at = site.now;
    site.pass(30_000);
    site.old_gas(5.0, 0);
    site.old_gas(60.0, 20_000);
    assert!(site.now.wall > at.wall);
    assert_eq!(site.sent(), ["s1 close 1"]);
}

#[test]
fn a_device_back_in_service_commands_while_the_danger_lasts() {
    let mut site = Site::new();
    site.out_of_service("g1");
    site.gas("g1", 60.0);
    assert_eq!(site.sent(), NOTHING);
    site.pass(600_000);
    assert_eq!(site.sent(), ["s1 close 1"]);
}

#[test]
fn the_demand_stands_while_the_danger_does() {
    let mut site = Site::new();
    site.gas("g1", 60.0);
    site.valve("s1", CLOSED);
    // Somebody opens it by hand; and a second valve appears.
    site.valve("s1", OPEN);
    site.admit("shutoff_valve", "s2");
    assert_eq!(site.sent(), ["s1 close 1", "s1 close 1", "s2 close 1"]);
    site.valve("s1", CLOSED);
    site.valve("s2", CLOSED);
    assert_eq!(site.command("open", true), Err(Refusal::Interlocked));
    site.gas("g1", 5.0);
    // The danger is over: whoever is on site may open it, and an operator where that is allowed.
    site.valve("s1", OPEN);
    assert_eq!(site.sent(), NOTHING);
    assert_eq!(site.command("open", true), Ok(()));
    assert_eq!(site.sent(), ["s1 open 1"]);
}

#[test]
fn one_order_for_one_device() {
    let mut site = Site::new();
    site.admit("gas_detector", "g2");
    site.gas("g1", 60.0);
    site.gas("g2", 70.0);
    assert_eq!(site.command("close", false), Ok(()));
    assert_eq!(site.sent(), ["s1 close 1"]);
    assert_eq!(
        site.steps(),
        ["s1 close requested", "s1 close joined", "s1 close joined"]
    );
    // One of two dangers over: the demand stands.
    site.gas("g1", 5.0);
    site.valve("s1", CLOSED);
    site.valve("s1", OPEN);
    assert_eq!(site.sent(), ["s1 close 1"]);
}

#[test]
fn operators_open_only_where_that_is_allowed() {
    let mut site = Site::new();
    assert_eq!(site.command("open", false), Err(Refusal::OpeningRefused));
    assert_eq!(
        site.command("explode", true),
        Err(Refusal::NoSuchCommand {
            kind: "shutoff_valve".to_owned(),
            command: "explode".to_owned()
        })
    );
    assert_eq!(site.command("open", true), Ok(()));
    // A closing matters more, whoever wants it.
    site.gas("g1", 60.0);
    assert_eq!(site.sent(), ["s1 open 1", "s1 close 1"]);
    assert_eq!(
        site.steps(),
        ["s1 open requested", "s1 open superseded", "s1 close requested"]
    );
    site.gas("g1", 5.0);
    assert_eq!(
        site.command("open", true),
        Err(Refusal::Busy {
            command: "close".to_owned()
        })
    );
}

#[test]
fn a_device_that_declines_or_has_no_words_fails() {
    let mut site = Site::new();
    site.gas("g1", 60.0);
    // A valve that is moving may say no to a second order, and a no may come twice: the attempt keeps its time.
    site.report(Report::Declined);
    site.report(Report::Declined);
    assert_eq!(site.sent(), ["s1 close 1"]);
    assert_eq!(site.steps(), ["s1 close requested", "s1 close declined"]);
    site.pass(20_000);
    assert_eq!(site.sent(), ["s1 close 2", "s1 close 3"]);
    site.report(Report::Declined);
    site.pass(10_000);
    let last = site.effects.commands.last().unwrap();
    assert_eq!(last.step, CommandStep::Failed(Failure::Declined));

    let mut site = Site::new();
    site.gas("g1", 60.0);
    site.report(Report::Unwritable);
    assert_eq!(site.steps(), ["s1 close requested", "s1 close failed!"]);
    assert_eq!(site.alarms(), ["gas-high raised", "close-failed raised"]);
}

#[test]
fn an_unproven_order_is_sent_again_after_a_restart_and_after_an_outage() {
    let mut site = Site::new();
    site.gas("g1", 60.0);
    assert_eq!(site.sent(), ["s1 close 1"]);
    site.restart();
    site.handle(&Input::Listening(false)).unwrap();
    site.pass(9_000);
    site.handle(&Input::Listening(true)).unwrap();
    assert_eq!(site.sent(), ["s1 close 1"]);
    // It has its whole time again.
    site.pass(9_999);
    assert_eq!(site.sent(), NOTHING);
    site.valve("s1", CLOSED);
    assert_eq!(
        site.steps().last().map(String::as_str),
        Some("s1 close verified!")
    );
    assert_eq!(site.attempts[0], site.attempts[1]);
}

#[test]
fn an_outage_that_does_not_end_is_a_failure() {
    let mut site = Site::new();
    site.gas("g1", 60.0);
    site.handle(&Input::Listening(false)).unwrap();
    site.pass(40_000);
    assert_eq!(site.steps().last().map(String::as_str), Some("s1 close failed!"));
    // And when it does end, the danger still there, it is tried at once.
    site.effects.attempts.clear();
    site.handle(&Input::Listening(true)).unwrap();
    assert_eq!(site.sent(), ["s1 close 1"]);
}

#[test]
fn a_flapping_connection_does_not_put_the_failure_off_for_ever() {
    let mut site = Site::new();
    site.gas("g1", 60.0);
    for _ in 0..20 {
        site.pass(5_000);
        site.handle(&Input::Listening(false)).unwrap();
        site.handle(&Input::Listening(true)).unwrap();
    }
    assert!(site.steps().iter().any(|step| step == "s1 close failed!"));
}

#[test]
fn linkage_waits_for_a_second_signal_where_the_venue_says_so() {
    let begin = || {
        let mut site = Site::with(vec![gas_closes(), close_failed()], true);
        site.admit("gas_detector", "g1");
        site.admit("gas_detector", "g2");
        site.admit("shutoff_valve", "s1");
        site.gas("g1", 60.0);
        assert_eq!(site.alarms(), ["gas-high raised"]);
        assert_eq!(site.sent(), NOTHING, "one signal");
        site
    };
    let mut site = begin();
    site.gas("g2", 55.0);
    assert_eq!(site.sent(), ["s1 close 1"], "two detectors");
    let mut site = begin();
    site.pass(1_000);
    site.gas("g1", 61.0);
    assert_eq!(site.sent(), ["s1 close 1"], "one detector twice");
    let mut site = begin();
    site.gas("g1", 30.0);
    assert_eq!(site.sent(), NOTHING, "below the set point");
    site.gas("g1", 5.0);
    site.gas("g2", 55.0);
    assert_eq!(site.sent(), NOTHING, "the first is over");
    site.restart();
    site.gas("g2", 55.0);
    assert_eq!(site.sent(), ["s1 close 1"], "the first is remembered");
}

#[test]
fn a_venue_may_command_and_a_device_itself() {
    let venue = RuleDef {
        then: vec![action("close", Some("shutoff_valve"))],
        ..RuleDef::new(
            "two",
            "venue",
            "gas_detector.filter(d, d.lel >= 25.0).size() >= 2",
        )
    };
    let own = RuleDef {
        then: vec![action("close", None)],
        ..RuleDef::new("low-battery", "shutoff_valve", "battery < 5.0")
    };
    let mut site = Site::with(vec![venue, own], true);
    for (kind, device) in [
        ("gas_detector", "g1"),
        ("gas_detector", "g2"),
        ("shutoff_valve", "s1"),
        ("shutoff_valve", "s2"),
    ] {
        site.admit(kind, device);
    }
    site.gas("g1", 30.0);
    site.gas("g2", 30.0);
    assert_eq!(site.sent(), ["s1 close 1", "s2 close 1"]);
    site.gas("g1", 5.0);
    site.valve("s1", CLOSED);
    site.say("shutoff_valve", "s1", &[(BATTERY, 2.0)]);
    assert_eq!(site.sent(), NOTHING, "the venue wants a second signal");
    site.say("shutoff_valve", "s1", &[(BATTERY, 2.0)]);
    assert_eq!(site.sent(), ["s1 close 1"]);
}

#[test]
fn changed_rules_keep_what_is_demanded() {
    let mut site = Site::new();
    site.gas("g1", 60.0);
    let mut higher = gas_closes();
    higher.when = "lel >= 55.0".to_owned();
    site.define(vec![close_failed(), higher], false);
    site.valve("s1", CLOSED);
    site.valve("s1", OPEN);
    assert_eq!(site.sent(), ["s1 close 1", "s1 close 1"]);
    site.define(vec![close_failed()], false);
    site.valve("s1", CLOSED);
    site.valve("s1", OPEN);
    assert_eq!(site.sent(), NOTHING, "the rule is gone");
}

#[test]
fn a_rule_that_learns_to_command_does_so_while_its_alarm_stands() {
    let mut silent = gas_closes();
    silent.then.clear();
    let mut site = Site::with(vec![silent], false);
    site.admit("gas_detector", "g1");
    site.admit("shutoff_valve", "s1");
    site.gas("g1", 60.0);
    assert_eq!(site.sent(), NOTHING);
    site.define(vec![gas_closes()], false);
    assert_eq!(site.sent(), ["s1 close 1"]);
}

#[test]
fn a_rule_that_asks_for_failures_sees_one_of_before() {
    let mut site = Site::with(vec![gas_closes()], false);
    site.admit("gas_detector", "g1");
    site.admit("shutoff_valve", "s1");
    site.gas("g1", 60.0);
    site.pass(30_000);
    site.alarms();
    site.define(vec![gas_closes(), close_failed()], false);
    assert_eq!(site.alarms(), ["close-failed raised"]);
}

/// The run starts at eight in the morning in Shanghai; the venue is open from ten to eight.
#[test]
fn a_proof_test_comes_by_itself_while_the_venue_is_closed() {
    const DAY: u64 = 86_400_000;
    const HOUR: u64 = 3_600_000;
    let mut site = Site::new();
    site.admit("shutoff_valve", "tried");
    site.valve("tried", OPEN);
    site.valve("s1", OPEN);
    site.pass(10 * DAY - 1);
    assert_eq!(site.sent(), NOTHING);
    site.pass(1);
    assert_eq!(
        site.sent(),
        ["tried close 1"],
        "eight in the morning, before it opens"
    );
    let cause = site.effects.commands.last().unwrap().order.causes.len();
    assert_eq!(cause, 1);
    site.valve("tried", CLOSED);
    assert_eq!(site.steps(), ["tried close requested", "tried close verified!"]);
    site.valve("tried", OPEN);

    // Ten days after it was proven; but the venue is open then.
    site.pass(10 * DAY + 3 * HOUR);
    site.effects.attempts.clear();
    site.valve("tried", CLOSED);
    site.pass(DAY);
    assert_eq!(site.sent(), NOTHING, "a closed valve shows nothing by closing");
}

#[test]
fn a_proof_test_that_fails_is_told_like_any_failure() {
    let mut site = Site::new();
    site.admit("shutoff_valve", "tried");
    site.valve("tried", OPEN);
    site.pass(10 * 86_400_000);
    assert_eq!(site.sent(), ["tried close 1"]);
    site.restart();
    site.pass(30_000);
    assert_eq!(site.sent(), ["tried close 2", "tried close 3"]);
    assert_eq!(site.alarms(), ["close-failed raised"]);
    site.pass(86_400_000);
    assert_eq!(site.sent(), NOTHING, "not before the next time");
}

#[test]
fn a_proof_test_waits_while_the_venue_is_open() {
    let mut site = Site::new();
    site.pass(3 * 3_600_000);
    site.admit("shutoff_valve", "tried");
    site.valve("tried", OPEN);
    site.pass(10 * 86_400_000 + 8 * 3_600_000);
    assert_eq!(site.sent(), NOTHING, "from eleven to seven it is open");
    site.pass(2 * 3_600_000);
    assert_eq!(
        site.sent().first().map(String::as_str),
        Some("tried close 1"),
        "after eight"
    );
}

#[test]
fn the_level_matters_not_how_often_it_is_said() {
    let mut site = Site::new();
    for _ in 0..5 {
        site.say("gas_detector", "g1", &[(LEL, 60.0)]);
    }
    assert_eq!(site.sent(), ["s1 close 1"]);
}
