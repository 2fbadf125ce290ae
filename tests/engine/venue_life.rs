//! The alarms of venues in time: their evidence, their delays, their masks, and a venue that has just come to be known.

use ninewatch::domain::alarm::Operator;
use ninewatch::domain::definitions::DefinitionSource;
use ninewatch::domain::engine::Refusal;
use ninewatch::domain::id::Id;
use ninewatch::domain::journal::{Input, OperatorAction, OperatorInput};
use ninewatch::domain::kind::PointIndex;
use ninewatch::domain::rule::{Repeat, RuleDef};
use ninewatch::domain::time::{ClockBounds, Millis};

use crate::bench::rule;
use crate::schedule::{self, HOUR};
use crate::venue::{GAS, LEL, Town, venue_rule};

const HIGH: &str = "gas_detector.exists(d, d.lel >= 25.0)";

/// The venue's alarm that was raised last.
fn raised(town: &Town) -> Id {
    let mut alarms = town.effects.alarms.iter();
    let of_venue = alarms.rfind(|event| event.alarm.device.device.is_empty());
    of_venue.expect("the venue's alarm").alarm.id
}

fn operate(town: &mut Town, alarm: Id, action: OperatorAction) -> Result<(), Refusal> {
    let operator = Operator {
        by: "duty".to_owned(),
        note: None,
    };
    let input = OperatorInput {
        alarm,
        action,
        operator,
    };
    town.engine
        .handle(&Input::Operator(&input), town.now, &mut town.effects)
}

#[test]
fn a_shelf_of_a_venues_alarm_ends_after_a_restart_too() {
    for restart in [false, true] {
        let mut town = Town::with(vec![venue_rule("high", HIGH)]);
        town.lel("g1", 30.0);
        let alarm = raised(&town);
        operate(&mut town, alarm, OperatorAction::Shelve(Millis(60_000))).unwrap();
        town.seen();
        if restart {
            town.restart();
        }
        town.wait(3_600_000);
        assert_eq!(town.seen(), ["high v1 unshelved", "high v1 announced"]);
    }
}

#[test]
fn what_is_held_on_a_venue_is_confirmed_by_every_reading() {
    let mut town = Town::with(vec![
        venue_rule("held", &format!("held('10m', {HIGH})")),
        RuleDef {
            hold: Millis(25_000),
            max_gap: Millis(21_000),
            ..venue_rule("longer", &format!("held('20s', {HIGH})"))
        },
    ]);
    for _ in 0..120 {
        town.lel("g1", 30.0);
        town.wait(10_000);
    }
    assert_eq!(town.seen(), ["longer v1 raised", "held v1 raised"]);
}

#[test]
fn a_new_rule_has_the_evidence_of_the_devices_last_word_also_after_a_restart() {
    let rule = |level: &str| RuleDef {
        hold: Millis(10_000),
        max_gap: Millis(12_000),
        ..venue_rule("late", &format!("gas_detector.exists(d, d.lel >= {level})"))
    };
    for restart in [false, true] {
        for (silent, raises) in [(0, true), (60_000, false)] {
            let mut town = Town::with(vec![rule("50.0")]);
            for _ in 0..10 {
                town.lel("g1", 10.0);
                town.wait(5_000);
            }
            if restart {
                town.restart();
            }
            town.lel("g1", 10.0);
            town.wait(silent);
            town.define(vec![rule("5.0")]);
            town.wait(10_000);
            assert_eq!(!town.seen().is_empty(), raises, "silent for {silent} ms");
        }
    }
}

#[test]
fn a_message_that_comes_twice_is_one_occurrence_for_the_venue() {
    let twice = RuleDef {
        after: Some(Repeat {
            count: 2,
            within: Millis(60_000),
        }),
        ..venue_rule("twice", HIGH)
    };
    let mut town = Town::with(vec![twice]);
    town.lel("g1", 1.0);
    let at = ClockBounds::default().judge(town.now.wall, town.now.wall);
    for _ in 0..2 {
        town.wait(1_000);
        town.say_at(&format!("v1/{GAS}/g1"), (LEL, 30.0), Some(at));
    }
    assert!(town.seen().is_empty());
    town.lel("g1", 30.0);
    assert_eq!(town.seen(), ["twice v1 raised"]);
}

#[test]
fn what_a_venue_lacks_is_known_from_its_first_device_on() {
    let rules = || {
        vec![
            venue_rule("none", "shutoff_valve.size() == 0"),
            venue_rule("vacuous", "shutoff_valve.all(v, v.position == 'closed')"),
            venue_rule("calm", &format!("!{HIGH}")),
        ]
    };
    let mut town = Town::with(rules());
    town.lel("g1", 1.0);
    assert_eq!(
        town.seen(),
        ["none v1 raised", "vacuous v1 raised", "calm v1 raised"]
    );
    let mut later = Town::with(vec![]);
    later.lel("g1", 1.0);
    later.define(rules());
    assert_eq!(
        later.seen(),
        ["none v1 raised", "vacuous v1 raised", "calm v1 raised"],
        "whichever came first"
    );
}

#[test]
fn delays_of_what_no_reading_shows_need_none() {
    let slow = |id: &str, when: &str| RuleDef {
        hold: Millis(600_000),
        ..venue_rule(id, when)
    };
    let mut town = Town::with(vec![
        slow("many", "gas_detector.size() >= 2"),
        slow("mute", "gas_detector.exists(d, age(d) >= '1m')"),
        RuleDef {
            on: vec![GAS.to_owned()],
            ..slow("silent", "age() >= '1m'")
        },
    ]);
    town.handle(&Input::Listening(true));
    town.lel("g1", 1.0);
    town.lel("g2", 1.0);
    for _ in 0..80 {
        town.lel("g2", 1.0);
        town.wait(10_000);
    }
    assert_eq!(
        town.seen(),
        ["many v1 raised", "silent g1 raised", "mute v1 raised"]
    );
}

#[test]
fn a_venues_alarm_is_reset_only_on_the_word_of_devices_that_are_there_and_well() {
    let latched = RuleDef {
        latch: true,
        ..venue_rule("high", HIGH)
    };
    let (online, state) = (PointIndex(0), PointIndex(2));
    for (point, value, why) in [
        (online, 0.0, "its only detector is gone"),
        (state, 2.0, "its only detector is broken"),
    ] {
        let mut town = Town::with(vec![latched.clone()]);
        town.lel("g1", 30.0);
        let alarm = raised(&town);
        town.lel("g1", 1.0);
        town.say(&format!("v1/{GAS}/g1"), point, value);
        let refused = operate(&mut town, alarm, OperatorAction::Reset);
        assert!(
            matches!(refused, Err(Refusal::PoorQuality(_))),
            "{why}: {refused:?}"
        );
        town.say(&format!("v1/{GAS}/g1"), state, 0.0);
        assert_eq!(operate(&mut town, alarm, OperatorAction::Reset), Ok(()));
        // A detector of which the rule does not ask may be as it likes.
        assert_eq!(town.seen().last().map(String::as_str), Some("high v1 cleared"));
    }
}

#[test]
fn a_date_needs_no_reading_to_be_confirmed() {
    let rule = RuleDef {
        hold: Millis(HOUR),
        ..rule("expiring", "expires_within('30d')", None)
    };
    let mut bench = schedule::bench(DefinitionSource {
        rules: vec![rule],
        venues: vec![schedule::venue("v1", None, &[("g1", "2026-01-10")])],
        ..DefinitionSource::default()
    });
    bench.pass(HOUR - 1);
    assert!(bench.seen().is_empty());
    bench.pass(1);
    assert_eq!(bench.seen(), ["expiring raised"]);
}
