//! Rules on a schedule, the hours of venues and dates of expiry: what the wall clock decides, at its own instants.

use ninewatch::domain::almanac::{Expiry, ScheduleDef, VenueFacts};
use ninewatch::domain::definitions::DefinitionSource;
use ninewatch::domain::device::{DeviceIndex, DeviceKey};
use ninewatch::domain::journal::Input;
use ninewatch::domain::reading::{Arrival, Reading, ReadingKind};
use ninewatch::domain::rule::RuleDef;
use ninewatch::domain::schedule::{DEFAULT_TIME_ZONE, Day, Hours, Interval, OnHolidays};
use ninewatch::domain::time::{Millis, Timestamp};

use crate::bench::{Bench, LEL, START, key, low, often, rule, slow};

pub(crate) const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;

pub(crate) fn during(schedule: &str, rule: RuleDef) -> RuleDef {
    RuleDef {
        schedule: Some(schedule.to_owned()),
        ..rule
    }
}

/// Every day from hour to hour, in Shanghai; the bench starts there at eight in the morning.
fn daily(from: u16, to: u16) -> Hours {
    Hours {
        time_zone: DEFAULT_TIME_ZONE.to_owned(),
        weekly: vec![Interval {
            days: Day::ALL.to_vec(),
            from: from * 60,
            to: to * 60,
        }],
        holidays: Vec::new(),
        on_holidays: OnHolidays::Never,
    }
}

fn closed(from: u16, to: u16) -> Vec<ScheduleDef> {
    vec![ScheduleDef {
        name: "closed-hours".to_owned(),
        hours: daily(from, to),
    }]
}

pub(crate) fn venue(id: &str, hours: Option<Hours>, dates: &[(&str, &str)]) -> VenueFacts {
    let expiries = dates.iter().map(|(device, on)| Expiry {
        kind: "gas_detector".to_owned(),
        device: (*device).to_owned(),
        on: on.parse().unwrap(),
    });
    VenueFacts {
        venue: id.to_owned(),
        time_zone: DEFAULT_TIME_ZONE.to_owned(),
        hours,
        expiries: expiries.collect(),
        confirms: false,
    }
}

/// A bench with `rules` and the schedule `closed-hours` from ten in the evening to six in the morning.
pub(crate) fn closed_hours(rules: Vec<RuleDef>) -> Bench {
    bench(DefinitionSource {
        rules,
        schedules: closed(22, 6),
        ..DefinitionSource::default()
    })
}

pub(crate) fn bench(source: DefinitionSource) -> Bench {
    let mut bench = Bench::with(Vec::new());
    bench.define_all(source);
    bench
}

fn open_from_nine_to_ten(rules: Vec<RuleDef>) -> DefinitionSource {
    DefinitionSource {
        rules,
        venues: vec![venue("v1", Some(daily(9, 22)), &[])],
        ..DefinitionSource::default()
    }
}

/// Takes in the device, and a reading of it.
fn feed(bench: &mut Bench, device: &DeviceKey, lel: f64) {
    bench
        .engine
        .handle(&Input::Device(device), bench.now, &mut bench.effects)
        .unwrap();
    let device = bench.engine.find(device).unwrap();
    bench.feed(Reading {
        device,
        seq: None,
        device_at: None,
        kind: ReadingKind::Live,
        arrival: Arrival::First,
        points: &[(LEL, lel)],
    });
}

#[test]
fn an_alarm_is_raised_at_the_boundary_and_no_other_instant() {
    let mut bench = closed_hours(vec![during("closed-hours", low())]);
    bench.lel(60.0);
    bench.pass(DAY);
    let raised: Vec<i64> = bench
        .effects
        .alarms
        .iter()
        .map(|event| event.at.0 - START)
        .collect();
    let hour = i64::try_from(HOUR).unwrap();
    assert_eq!(
        raised,
        [14 * hour, 22 * hour, 22 * hour],
        "raised, recovered, cleared"
    );
    assert_eq!(
        bench.effects.alarms[0].alarm.raised_at,
        Timestamp(START + 14 * hour)
    );
}

#[test]
fn within_a_schedule_readings_raise_and_end_as_ever() {
    let mut bench = closed_hours(vec![during("closed-hours", low())]);
    bench.pass(15 * HOUR);
    bench.lel(60.0);
    assert_eq!(bench.seen(), ["gas-low raised"]);
    bench.lel(22.0);
    assert!(bench.seen().is_empty(), "hysteresis holds");
    bench.lel(5.0);
    assert_eq!(bench.seen(), ["gas-low recovered", "gas-low cleared"]);
    bench.pass(8 * HOUR);
    bench.lel(60.0);
    assert!(bench.seen().is_empty(), "it is seven in the morning");
}

#[test]
fn an_on_delay_starts_at_the_boundary() {
    let mut bench = closed_hours(vec![during("closed-hours", slow())]);
    bench.pass(14 * HOUR - 60_000);
    bench.lel(12.0);
    bench.pass(69_999);
    assert!(bench.seen().is_empty());
    bench.pass(1);
    assert_eq!(
        bench.seen(),
        ["gas-slow raised"],
        "ten seconds behind the boundary"
    );
}

#[test]
fn an_on_delay_does_not_outlast_its_schedule() {
    let mut bench = closed_hours(vec![during("closed-hours", slow())]);
    bench.pass(22 * HOUR - 5_000);
    bench.lel(12.0);
    bench.pass(HOUR);
    assert!(bench.seen().is_empty());
}

#[test]
fn a_boundary_is_no_occurrence_for_a_rule_that_counts() {
    let mut bench = closed_hours(vec![during("closed-hours", often())]);
    bench.pass(14 * HOUR - 1_000);
    bench.lel(60.0);
    bench.pass(2_000);
    bench.lel(60.0);
    bench.pass(1_000);
    bench.lel(60.0);
    assert!(bench.seen().is_empty(), "found twice within the schedule");
    bench.pass(1_000);
    bench.lel(60.0);
    assert_eq!(bench.seen(), ["often raised"]);
    bench.pass(8 * HOUR);
    assert_eq!(bench.seen(), ["often recovered", "often cleared"]);
}

#[test]
fn a_boundary_does_not_confirm_what_a_reading_must() {
    let fact = "expires_within('30d') || lel > 10.0";
    let waiting = RuleDef {
        hold: Millis(400_000),
        ..rule("waiting", fact, None)
    };
    let mut bench = bench(DefinitionSource {
        rules: vec![waiting],
        venues: vec![venue("v1", None, &[("g1", "2026-02-01")])],
        ..DefinitionSource::default()
    });
    bench.pass(16 * HOUR - 350_000);
    bench.lel(12.0);
    bench.pass(399_999);
    assert!(
        bench.seen().is_empty(),
        "midnight, 30 days before the date, lies between"
    );
    bench.pass(HOUR);
    assert!(
        bench.seen().is_empty(),
        "the only reading is older than `max_gap`"
    );
}

#[test]
fn a_venues_hours_are_its_own() {
    let source = DefinitionSource {
        venues: vec![
            venue("v1", Some(daily(9, 22)), &[]),
            venue("v2", Some(daily(9, 12)), &[]),
        ],
        ..open_from_nine_to_ten(vec![
            during("venue-open", rule("open", "lel >= 25.0", None)),
            during("venue-closed", rule("shut", "lel >= 25.0", None)),
        ])
    };
    let mut bench = bench(source);
    let other = DeviceKey {
        venue: "v2".to_owned(),
        ..key("g1")
    };
    bench.lel(60.0);
    feed(&mut bench, &other, 60.0);
    assert_eq!(
        bench.seen(),
        ["shut raised", "shut raised"],
        "it is eight in the morning"
    );
    bench.pass(HOUR);
    assert_eq!(bench.effects.alarms.len(), 6);
    bench.seen();
    bench.pass(3 * HOUR);
    let devices = bench
        .effects
        .alarms
        .iter()
        .map(|event| event.alarm.device.venue.as_str());
    assert_eq!(devices.collect::<Vec<_>>(), ["v2"; 3]);
    let mut noon = bench.seen();
    noon.sort();
    assert_eq!(noon, ["open cleared", "open recovered", "shut raised"]);
}

#[test]
fn a_venue_whose_hours_nobody_has_said_is_neither_open_nor_closed() {
    let mut bench = bench(DefinitionSource {
        rules: ["venue-open", "venue-closed"]
            .map(|name| during(name, rule(name, "lel >= 25.0", Some("lel < 20.0"))))
            .to_vec(),
        ..DefinitionSource::default()
    });
    bench.lel(60.0);
    bench.pass(2 * DAY);
    bench.lel(60.0);
    assert!(bench.seen().is_empty());
}

#[test]
fn hours_that_are_said_no_more_end_no_alarm() {
    let rules = vec![during("venue-closed", low())];
    let mut bench = bench(open_from_nine_to_ten(rules.clone()));
    bench.lel(60.0);
    assert_eq!(bench.seen(), ["gas-low raised"]);
    bench.define(rules);
    bench.pass(2 * DAY);
    assert!(bench.seen().is_empty(), "unknown neither raises nor clears");
    bench.lel(5.0);
    assert_eq!(bench.seen(), ["gas-low recovered", "gas-low cleared"]);
}

#[test]
fn a_wall_clock_that_is_set_back_is_followed_within_the_hour() {
    let mut bench = closed_hours(vec![during("closed-hours", low())]);
    bench.lel(60.0);
    bench.pass(14 * HOUR + 60_000);
    assert_eq!(bench.seen(), ["gas-low raised"]);
    bench.now.wall.0 -= i64::try_from(2 * HOUR).unwrap();
    bench.pass(HOUR - 60_000);
    assert_eq!(
        bench.seen(),
        ["gas-low recovered", "gas-low cleared"],
        "it is nine"
    );
    bench.pass(HOUR - 1);
    assert!(bench.seen().is_empty());
    bench.pass(1);
    assert_eq!(bench.seen(), ["gas-low raised"], "it is ten again");
}

#[test]
fn any_timer_sees_that_the_wall_clock_was_set() {
    let mut bench = closed_hours(vec![during("closed-hours", low()), slow()]);
    bench.lel(60.0);
    bench.now.wall.0 += i64::try_from(14 * HOUR).unwrap();
    bench.pass(10_000);
    let mut seen = bench.seen();
    seen.sort();
    assert_eq!(seen, ["gas-low raised", "gas-slow raised"]);
}

#[test]
fn a_wall_clock_that_is_set_forward_is_followed_within_the_hour() {
    let mut bench = closed_hours(vec![during("closed-hours", low())]);
    bench.lel(60.0);
    bench.now.wall.0 += i64::try_from(14 * HOUR).unwrap();
    bench.pass(HOUR);
    assert_eq!(bench.seen(), ["gas-low raised"]);
}

#[test]
fn a_restart_keeps_the_schedule_and_its_next_boundary() {
    let mut bench = closed_hours(vec![during("closed-hours", low())]);
    bench.lel(60.0);
    bench.pass(14 * HOUR - 1);
    bench.restart();
    bench.pass(1);
    assert_eq!(bench.seen(), ["gas-low raised"]);
    bench.restart();
    bench.pass(8 * HOUR);
    assert_eq!(bench.seen(), ["gas-low recovered", "gas-low cleared"]);
}

#[test]
fn a_new_device_is_on_schedule_at_once() {
    let mut bench = closed_hours(vec![during("closed-hours", low())]);
    bench.pass(15 * HOUR);
    feed(&mut bench, &key("g2"), 60.0);
    assert_eq!(bench.seen(), ["gas-low raised"]);
}

#[test]
fn a_message_received_before_the_boundary_and_taken_in_after_it_is_on_schedule() {
    let mut bench = closed_hours(vec![during("closed-hours", low())]);
    bench.pass(14 * HOUR);
    bench.now.wall.0 -= 5;
    bench.now.ticks.0 -= 5;
    feed(&mut bench, &key("g2"), 60.0);
    assert_eq!(bench.seen(), ["gas-low raised"]);
}

#[test]
fn changed_hours_are_followed_at_once() {
    let mut bench = closed_hours(vec![during("closed-hours", low())]);
    bench.lel(60.0);
    let earlier = |from| DefinitionSource {
        rules: vec![during("closed-hours", low())],
        schedules: closed(from, 6),
        ..DefinitionSource::default()
    };
    bench.define_all(earlier(7));
    assert_eq!(bench.seen(), ["gas-low raised"], "it is eight in the morning");
    bench.define_all(earlier(20));
    assert_eq!(bench.seen(), ["gas-low recovered", "gas-low cleared"]);
    bench.pass(12 * HOUR);
    assert_eq!(bench.seen(), ["gas-low raised"]);
}

#[test]
fn an_edit_within_the_schedule_proves_nothing() {
    let mut bench = closed_hours(vec![during("closed-hours", low())]);
    bench.lel(60.0);
    bench.pass(14 * HOUR);
    assert_eq!(bench.seen(), ["gas-low raised"]);
    bench.define_all(DefinitionSource {
        rules: vec![during("closed-hours", rule("gas-low", "lel >= 70.0", None))],
        schedules: closed(22, 6),
        ..DefinitionSource::default()
    });
    bench.pass(HOUR);
    assert!(bench.seen().is_empty());
    bench.lel(60.0);
    assert_eq!(bench.seen(), ["gas-low recovered", "gas-low cleared"]);
}

#[test]
fn an_expiry_is_told_of_its_days_before_without_a_reading() {
    let mut bench = bench(DefinitionSource {
        rules: vec![rule("expiring", "expires_within('30d')", None)],
        venues: vec![venue("v1", None, &[("g1", "2026-02-05")])],
        ..DefinitionSource::default()
    });
    feed(&mut bench, &key("g2"), 1.0);
    // The fifth of February is 35 days behind the first of January; both begin in Shanghai.
    bench.pass(5 * DAY - 8 * HOUR - 1);
    assert!(bench.seen().is_empty());
    bench.pass(1);
    let raised = bench
        .effects
        .alarms
        .iter()
        .map(|event| event.alarm.device.device.as_str());
    assert_eq!(raised.collect::<Vec<_>>(), ["g1"], "g2 has no date");
    bench.seen();
    bench.pass(60 * DAY);
    assert!(bench.seen().is_empty(), "what has expired stays so");
}

#[test]
fn a_date_that_is_moved_ends_the_alarm() {
    let with = |date: &str| DefinitionSource {
        rules: vec![rule("expiring", "expires_within('30d')", None)],
        venues: vec![venue("v1", None, &[("g1", date)])],
        ..DefinitionSource::default()
    };
    let mut bench = bench(with("2026-01-15"));
    assert_eq!(
        bench.seen(),
        ["expiring raised"],
        "a known device, without a reading"
    );
    bench.define_all(with("2027-01-15"));
    assert_eq!(bench.seen(), ["expiring recovered", "expiring cleared"]);
}

#[test]
fn a_second_rule_on_a_date_that_has_come_raises_too() {
    let first = rule("expiring", "expires_within('30d')", None);
    let with = |rules: Vec<RuleDef>| DefinitionSource {
        rules,
        venues: vec![venue("v1", None, &[("g1", "2026-01-15")])],
        ..DefinitionSource::default()
    };
    let mut bench = bench(with(vec![first.clone()]));
    assert_eq!(bench.seen(), ["expiring raised"]);
    let second = rule("soon", "expires_within('30d')", None);
    bench.define_all(with(vec![first, second]));
    assert_eq!(bench.seen(), ["soon raised"], "no reading would ever show it");
}

#[test]
fn a_device_whose_date_has_come_is_told_of_when_it_is_first_seen() {
    let mut bench = bench(DefinitionSource {
        rules: vec![rule("expiring", "expires_within('30d')", None)],
        venues: vec![venue("v1", None, &[("g2", "2026-01-15")])],
        ..DefinitionSource::default()
    });
    bench
        .engine
        .handle(&Input::Device(&key("g2")), bench.now, &mut bench.effects)
        .unwrap();
    assert_eq!(bench.engine.find(&key("g2")), Some(DeviceIndex(1)));
    assert_eq!(bench.seen(), ["expiring raised"]);
}

#[test]
fn no_rule_on_a_schedule_no_timer() {
    let bench = bench(DefinitionSource {
        rules: vec![low()],
        schedules: closed(22, 6),
        venues: vec![venue("v1", Some(daily(9, 22)), &[("g1", "2026-02-01")])],
        ..DefinitionSource::default()
    });
    assert_eq!(bench.engine.next_deadline(), None);
}

#[test]
fn what_holds_again_when_its_schedule_begins_again_goes_on() {
    let interval = |from, to| Interval {
        days: Day::ALL.to_vec(),
        from,
        to,
    };
    let hours = Hours {
        weekly: vec![interval(0, 14 * 60), interval(14 * 60 + 1, 24 * 60)],
        ..daily(0, 24)
    };
    let rule = RuleDef {
        keep_for: Millis(120_000),
        ..during("turns", rule("open", "lel >= 25.0", None))
    };
    let mut bench = bench(DefinitionSource {
        rules: vec![rule],
        schedules: vec![ScheduleDef {
            name: "turns".to_owned(),
            hours,
        }],
        ..DefinitionSource::default()
    });
    bench.lel(60.0);
    assert_eq!(bench.seen(), ["open raised"]);
    bench.pass(12 * HOUR);
    assert!(
        bench.seen().is_empty(),
        "out of force for a minute, and over only after two"
    );
}
