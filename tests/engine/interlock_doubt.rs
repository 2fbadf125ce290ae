//! Orders in doubt: late, old and refuting words, outages, causes and rules that end, kinds that go.

use ninewatch::domain::engine::Refusal;
use ninewatch::domain::interlock::Cause;
use ninewatch::domain::journal::Input;
use ninewatch::domain::kind::COMMAND_LINK;
use ninewatch::domain::reading::{Arrival, Reading, ReadingKind};
use ninewatch::domain::time::{ClockBounds, Timestamp};

use crate::site::{BATTERY, CLOSED, OPEN, POSITION, Site, close_failed, gas_closes, key, valve_kind};

const NOTHING: [&str; 0] = [];

#[test]
fn what_came_too_late_to_command_commands_once_it_is_heard_live() {
    let raised_late = || {
        let mut site = Site::new();
        site.pass(120_000);
        site.old_gas(5.0, 0);
        site.old_gas(60.0, 60_001);
        assert_eq!(site.alarms(), ["gas-high raised"]);
        assert_eq!(site.sent(), NOTHING);
        assert_eq!(site.command("open", true), Err(Refusal::Interlocked));
        site
    };
    let mut site = raised_late();
    site.gas("g1", 60.0);
    assert_eq!(site.sent(), ["s1 close 1"]);

    // A latched alarm that is raised again is as late as what raises it again.
    let mut latched = gas_closes();
    latched.latch = true;
    let mut site = raised_late();
    site.define(vec![latched, close_failed()], false);
    site.gas("g1", 5.0);
    assert_eq!(
        site.command("open", true),
        Err(Refusal::Interlocked),
        "it waits for its reset"
    );
    site.gas("g1", 60.0);
    assert_eq!(site.sent(), ["s1 close 1"]);
}

#[test]
fn what_is_ordered_after_a_change_of_the_rules_is_ordered_by_the_new_ones() {
    let mut site = Site::new();
    site.gas("g1", 60.0);
    assert_eq!(site.sent(), ["s1 close 1"]);
    site.valve("s1", CLOSED);
    let mut once = gas_closes();
    once.then[0].attempts = Some(1);
    site.define(vec![once, close_failed()], false);
    // Opened by hand while the danger lasts, and mute from then on.
    site.valve("s1", OPEN);
    assert_eq!(site.sent(), ["s1 close 1"]);
    site.pass(60_000);
    assert_eq!(site.sent(), NOTHING, "it had one attempt");
}

#[test]
fn a_valve_out_of_use_is_ordered_nothing() {
    // Under way, and the danger goes on.
    let mut site = Site::new();
    site.gas("g1", 60.0);
    assert_eq!(site.sent(), ["s1 close 1"]);
    site.retire("s1");
    assert_eq!(site.steps(), ["s1 close requested", "s1 close failed!"]);
    site.valve("s1", OPEN);
    site.pass(120_000);
    site.valve("s1", OPEN);
    site.handle(&Input::Listening(true)).unwrap();
    assert_eq!(site.sent(), NOTHING);
    for command in ["close", "open"] {
        assert_eq!(site.command(command, true), Err(Refusal::Retired));
    }
    assert_eq!(site.alarms(), ["gas-high raised"], "no valve failed to close");

    // It had failed: nobody waits for it any more.
    let mut site = Site::new();
    site.gas("g1", 60.0);
    site.pass(60_000);
    assert_eq!(site.sent().len(), 3);
    assert_eq!(site.alarms(), ["gas-high raised", "close-failed raised"]);
    site.retire("s1");
    assert_eq!(site.alarms(), ["close-failed cleared"]);
    site.pass(120_000);
    site.valve("s1", OPEN);
    assert_eq!(site.sent(), NOTHING);
    assert_eq!(site.alarms(), NOTHING);

    // In use again, and the danger goes on.
    site.define(vec![gas_closes(), close_failed()], false);
    site.pass(1_000);
    assert_eq!(site.sent(), ["s1 close 1"]);
}

#[test]
fn nothing_is_opened_while_nobody_can_hear_the_devices() {
    let mut site = Site::new();
    site.handle(&Input::Listening(false)).unwrap();
    assert_eq!(site.command("open", true), Err(Refusal::Unheard));
    assert_eq!(site.command("close", true), Ok(()));
    assert_eq!(site.sent(), ["s1 close 1"]);

    let mut site = Site::new();
    site.handle(&Input::Listening(false)).unwrap();
    site.handle(&Input::Listening(true)).unwrap();
    assert_eq!(site.command("open", true), Ok(()));
    assert_eq!(site.sent(), ["s1 open 1"]);
}

#[test]
fn nothing_opens_by_itself_after_an_outage() {
    for down in [true, false] {
        let mut site = Site::new();
        assert_eq!(site.command("open", true), Ok(()));
        assert_eq!(site.sent(), ["s1 open 1"]);
        site.restart();
        if down {
            site.handle(&Input::Listening(false)).unwrap();
        }
        site.handle(&Input::Listening(true)).unwrap();
        site.pass(60_000);
        assert_eq!(site.sent(), NOTHING);
        assert_eq!(site.steps(), ["s1 open requested", "s1 open failed!"]);
        assert_eq!(site.alarms(), NOTHING, "no valve failed to close");
    }
}

#[test]
fn a_word_of_before_the_order_proves_nothing_however_late_it_comes() {
    let said = |site: &mut Site, ago_ms: i64, position: f64| {
        let at = Timestamp(site.now.wall.0 - ago_ms);
        let device = site.engine.find(&key("shutoff_valve", "s1")).unwrap();
        site.feed(Reading {
            device,
            device_at: Some(ClockBounds::default().judge(at, site.now.wall)),
            seq: None,
            kind: ReadingKind::Live,
            arrival: Arrival::First,
            points: &[(POSITION, position)],
        });
    };
    let mut site = Site::new();
    said(&mut site, 0, OPEN);
    site.pass(600_000);
    site.gas("g1", 60.0);
    said(&mut site, 300_000, CLOSED);
    assert_eq!(site.steps(), ["s1 close requested"]);
    said(&mut site, 0, CLOSED);
    assert_eq!(site.steps(), ["s1 close verified!"]);

    // A clock that is behind by as much as always does not mute the valve.
    let mut site = Site::new();
    said(&mut site, 300_000, OPEN);
    site.pass(10_000);
    site.gas("g1", 60.0);
    said(&mut site, 300_000, CLOSED);
    assert_eq!(site.steps(), ["s1 close requested", "s1 close verified!"]);
}

#[test]
fn what_is_known_of_before_refutes_a_proof() {
    let mut kind = valve_kind();
    kind.commands[0].unless = Some("battery < 1.0".to_owned());
    let mut site = Site::with_valve(kind, vec![gas_closes(), close_failed()]);
    site.admit("gas_detector", "g1");
    site.admit("shutoff_valve", "s1");
    site.say("shutoff_valve", "s1", &[(BATTERY, 0.5)]);
    site.gas("g1", 60.0);
    site.valve("s1", CLOSED);
    assert_eq!(site.steps(), ["s1 close requested"]);
    site.say("shutoff_valve", "s1", &[(BATTERY, 50.0)]);
    assert_eq!(site.steps(), ["s1 close verified!"]);
}

#[test]
fn a_rule_that_no_longer_commands_demands_nothing() {
    let mut silent = gas_closes();
    silent.then.clear();
    let mut site = Site::new();
    site.gas("g1", 60.0);
    site.valve("s1", CLOSED);
    site.sent();
    site.define(vec![silent, close_failed()], false);
    site.valve("s1", OPEN);
    assert_eq!(site.sent(), NOTHING);
}

#[test]
fn a_shelved_alarm_demands_nothing_until_it_is_back() {
    let mut site = Site::new();
    site.gas("g1", 60.0);
    site.valve("s1", CLOSED);
    site.sent();
    site.out_of_service("g1");
    site.valve("s1", OPEN);
    assert_eq!(site.sent(), NOTHING);
    site.pass(600_000);
    assert_eq!(site.sent(), ["s1 close 1"]);
}

#[test]
fn an_order_of_a_kind_that_is_gone_has_failed() {
    let mut site = Site::new();
    site.gas("g1", 60.0);
    site.steps();
    site.forget_valves();
    assert_eq!(site.steps(), ["s1 close failed!"]);
}

#[test]
fn an_alarm_that_ended_is_no_cause() {
    let mut site = Site::new();
    site.admit("gas_detector", "g2");
    site.gas("g1", 60.0);
    site.gas("g2", 60.0);
    site.valve("s1", CLOSED);
    site.gas("g1", 5.0);
    site.steps();
    site.valve("s1", OPEN);
    let event = site.effects.commands.first().unwrap();
    let Cause::Alarm(alarm) = &event.order.causes[0] else {
        panic!("an alarm wants it");
    };
    assert_eq!(alarm.device.device, "g2");
}

#[test]
fn a_failure_in_a_new_danger_is_told_again() {
    let mut site = Site::new();
    for danger in 1..=2 {
        site.gas("g1", 60.0);
        site.pass(30_000);
        let told = site.steps();
        assert_eq!(
            told.last().map(String::as_str),
            Some("s1 close failed!"),
            "danger {danger}"
        );
        // The valve has not said a word.
        site.gas("g1", 5.0);
    }
}

#[test]
fn what_failed_while_no_order_could_leave_is_tried_again_when_one_can() {
    let link = |site: &mut Site, up: bool| {
        let value = f64::from(u8::from(up));
        let point = COMMAND_LINK;
        site.handle(&Input::Own { point, value }).unwrap();
    };
    let mut site = Site::new();
    link(&mut site, false);
    site.gas("g1", 60.0);
    site.pass(30_000);
    assert_eq!(site.sent().len(), 3);
    assert_eq!(site.alarms(), ["gas-high raised", "close-failed raised"]);
    site.steps();
    // The valve says nothing for a day.
    link(&mut site, true);
    assert_eq!(site.sent(), ["s1 close 1"]);
    link(&mut site, true);
    assert_eq!(site.sent(), NOTHING, "it is under way");
    site.valve("s1", CLOSED);
    assert_eq!(site.steps(), ["s1 close requested", "s1 close verified!"]);

    // Nobody asks for it any more; nobody could hear that it obeyed.
    for unheard in [false, true] {
        let mut site = Site::new();
        site.gas("g1", 60.0);
        site.pass(30_000);
        if unheard {
            site.handle(&Input::Listening(false)).unwrap();
        } else {
            site.gas("g1", 5.0);
        }
        site.sent();
        link(&mut site, true);
        assert_eq!(site.sent(), NOTHING);
    }
}

#[test]
fn what_was_received_before_the_order_proves_nothing() {
    let mut site = Site::new();
    let before = site.now;
    site.pass(2_000);
    assert_eq!(site.command("close", false), Ok(()));
    // It waited for the gateway while the person commanded.
    let given = std::mem::replace(&mut site.now, before);
    site.valve("s1", CLOSED);
    assert_eq!(site.steps(), ["s1 close requested"]);
    site.now = given;
    site.say("shutoff_valve", "s1", &[(BATTERY, 90.0)]);
    assert_eq!(site.steps(), NOTHING, "only what came since");
    site.valve("s1", CLOSED);
    assert_eq!(site.steps(), ["s1 close verified!"]);
}
