//! Rosters: tables over turns, shifts, holidays and changes of the clock; turns against a search minute by minute.

use proptest::prelude::*;

use super::*;

const MINUTE: i64 = 60_000;

fn at(text: &str) -> Timestamp {
    Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
}

fn ids(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

fn rotation(officers: &[&str], each_days: u16, from: &str) -> Rotation {
    Rotation {
        officers: ids(officers),
        each_days,
        from: from.parse().unwrap(),
        hand_over: 8 * 60,
        days: Vec::new(),
        hours: None,
    }
}

fn def(zone: &str, rotations: Vec<Rotation>) -> RosterDef {
    RosterDef {
        name: "duty".to_owned(),
        time_zone: zone.to_owned(),
        rotations,
        overrides: Vec::new(),
        holidays: Vec::new(),
    }
}

fn roster(def: RosterDef) -> Roster {
    Roster::new(def).unwrap()
}

/// The turns between two instants as `Mon 01-05 08:00 wang li`, by the clock of the roster.
fn turns(roster: &Roster, from: &str, to: &str) -> Vec<String> {
    let turns = roster.turns(at(from), at(to)).into_iter();
    turns
        .map(|turn| {
            let from = jiff::Timestamp::from_millisecond(turn.from.0).unwrap();
            let from = from.to_zoned_datetime(roster.zone.clone());
            format!("{} {}", from.strftime("%a %m-%d %H:%M"), turn.officers.join(" "))
        })
        .collect()
}

#[test]
fn turns_change_by_the_week_and_begin_again() {
    let weekly = roster(def(
        "Asia/Shanghai",
        vec![rotation(&["wang", "li", "zhao"], 7, "2026-01-05")],
    ));
    for (instant, wanted) in [
        ("2026-01-05T07:59:59.999+08:00", &[][..]),
        ("2026-01-05T08:00:00+08:00", &["wang"]),
        ("2026-01-12T07:59:00+08:00", &["wang"]),
        ("2026-01-12T08:00:00+08:00", &["li"]),
        ("2026-01-19T08:00:00+08:00", &["zhao"]),
        ("2026-01-26T08:00:00+08:00", &["wang"]),
        // 52 weeks later.
        ("2027-01-04T08:00:00+08:00", &["li"]),
    ] {
        assert_eq!(weekly.on_duty(at(instant)), wanted, "{instant}");
    }
    assert_eq!(
        weekly.next_change(at("2026-01-01T00:00:00Z")),
        Some(at("2026-01-05T08:00:00+08:00"))
    );
    assert_eq!(
        turns(&weekly, "2026-01-10T00:00:00+08:00", "2026-01-20T00:00:00+08:00"),
        [
            "Sat 01-10 00:00 wang",
            "Mon 01-12 08:00 li",
            "Mon 01-19 08:00 zhao"
        ]
    );
}

#[test]
fn day_and_night_shifts_run_at_once_and_a_shift_belongs_to_the_day_on_which_it_begins() {
    let workdays = vec![Day::Mon, Day::Tue, Day::Wed, Day::Thu, Day::Fri];
    let both = roster(def(
        "Asia/Shanghai",
        vec![
            Rotation {
                days: workdays.clone(),
                hours: Some((8 * 60, 18 * 60)),
                ..rotation(&["day"], 1, "2026-01-01")
            },
            Rotation {
                days: workdays,
                hours: Some((18 * 60, 8 * 60)),
                ..rotation(&["night", "other"], 7, "2026-01-05")
            },
        ],
    ));
    assert_eq!(
        turns(&both, "2026-01-08T12:00:00+08:00", "2026-01-13T00:00:00+08:00"),
        [
            "Thu 01-08 12:00 day",
            "Thu 01-08 18:00 night",
            "Fri 01-09 08:00 day",
            "Fri 01-09 18:00 night",
            "Sat 01-10 08:00 ",
            "Mon 01-12 08:00 day",
            "Mon 01-12 18:00 other"
        ]
    );
    assert_eq!(
        both.gaps(at("2026-01-08T12:00:00+08:00"), at("2026-01-13T00:00:00+08:00")),
        [(at("2026-01-10T08:00:00+08:00"), at("2026-01-12T08:00:00+08:00"))]
    );
}

#[test]
fn without_hours_a_day_of_duty_lasts_from_hand_over_to_hand_over() {
    let sundays = roster(def(
        "Asia/Shanghai",
        vec![Rotation {
            days: vec![Day::Sun],
            ..rotation(&["wang", "li"], 7, "2026-01-05")
        }],
    ));
    assert_eq!(
        turns(&sundays, "2026-01-10T00:00:00+08:00", "2026-01-20T00:00:00+08:00"),
        [
            "Sat 01-10 00:00 ",
            "Sun 01-11 08:00 wang",
            "Mon 01-12 08:00 ",
            "Sun 01-18 08:00 li",
            "Mon 01-19 08:00 "
        ]
    );
}

#[test]
fn an_override_wins_over_a_holiday_and_that_over_rotations() {
    let with = roster(RosterDef {
        overrides: vec![Override {
            from: "2026-02-18T20:00".parse().unwrap(),
            to: "2026-02-19T06:00".parse().unwrap(),
            officers: ids(&["li", "li"]),
        }],
        holidays: vec![Holiday {
            name: "春节".to_owned(),
            from: "2026-02-16".parse().unwrap(),
            to: "2026-02-22".parse().unwrap(),
            officers: ids(&["zhao"]),
        }],
        ..def("Asia/Shanghai", vec![rotation(&["wang"], 7, "2026-01-05")])
    });
    assert_eq!(
        turns(&with, "2026-02-15T12:00:00+08:00", "2026-02-24T00:00:00+08:00"),
        [
            "Sun 02-15 12:00 wang",
            "Mon 02-16 00:00 zhao",
            "Wed 02-18 20:00 li",
            "Thu 02-19 06:00 zhao",
            "Mon 02-23 00:00 wang"
        ]
    );
    assert_eq!(
        with.next_change(at("2026-03-01T00:00:00Z")),
        None,
        "one officer for ever"
    );
}

#[test]
fn a_leap_day_is_a_day_of_duty() {
    let daily = roster(def(
        "Asia/Shanghai",
        vec![rotation(&["a", "b", "c"], 1, "2028-02-27")],
    ));
    assert_eq!(
        turns(&daily, "2028-02-28T09:00:00+08:00", "2028-03-02T00:00:00+08:00"),
        ["Mon 02-28 09:00 b", "Tue 02-29 08:00 c", "Wed 03-01 08:00 a"]
    );
    assert_eq!(daily.def().name, daily.name());
}

#[test]
fn turns_change_by_the_wall_clock_where_that_is_set() {
    // On 29 March 2026 Berlin goes from 02:00 +01:00 to 03:00 +02:00; on 25 October from 03:00 +02:00 back to 02:00 +01:00.
    let daily = |hand_over| {
        roster(def(
            "Europe/Berlin",
            vec![Rotation {
                hand_over,
                ..rotation(&["a", "b"], 1, "2026-03-01")
            }],
        ))
    };
    let eight = daily(8 * 60);
    for instant in [
        "2026-03-28T08:00:00+01:00",
        "2026-03-29T08:00:00+02:00",
        "2026-10-25T08:00:00+01:00",
    ] {
        let change = eight.next_change(Timestamp(at(instant).0 - 1));
        assert_eq!(change, Some(at(instant)), "{instant}");
    }
    let night = daily(150);
    for (before, change) in [
        // The hour does not exist: its end.
        ("2026-03-28T12:00:00Z", "2026-03-29T03:00:00+02:00"),
        // The hour comes twice: the first.
        ("2026-10-24T12:00:00Z", "2026-10-25T02:30:00+02:00"),
        ("2026-10-25T00:30:00Z", "2026-10-26T02:30:00+01:00"),
    ] {
        assert_eq!(night.next_change(at(before)), Some(at(change)), "{before}");
    }
    // Samoa had no 30 December 2011: whoever had it is skipped.
    let apia = roster(def(
        "Pacific/Apia",
        vec![Rotation {
            hand_over: 0,
            ..rotation(&["a", "b", "c"], 1, "2011-12-29")
        }],
    ));
    assert_eq!(
        turns(&apia, "2011-12-29T12:00:00-10:00", "2012-01-01T12:00:00+14:00"),
        ["Thu 12-29 12:00 a", "Sat 12-31 00:00 c", "Sun 01-01 00:00 a"]
    );
}

#[test]
fn nobody_is_on_duty_where_there_is_nothing_to_say_it() {
    let empty = roster(def("Asia/Shanghai", Vec::new()));
    let nobody = roster(def("Asia/Shanghai", vec![rotation(&[], 0, "2026-01-05")]));
    for roster in [&empty, &nobody] {
        for instant in [i64::MIN, 0, 1_790_000_000_000, i64::MAX] {
            assert!(roster.on_duty(Timestamp(instant)).is_empty());
        }
        assert_eq!(roster.next_change(Timestamp(i64::MIN)), None);
        assert_eq!(
            roster.gaps(Timestamp(0), Timestamp(5)),
            [(Timestamp(0), Timestamp(5))]
        );
        assert!(roster.turns(Timestamp(5), Timestamp(5)).is_empty());
    }
    let unknown = def("Asia/Shanghia", Vec::new());
    assert!(Roster::new(unknown).is_none());
}

fn any_rotation() -> impl Strategy<Value = Rotation> {
    let officers = prop::sample::subsequence(vec!["a", "b", "c", "d"], 1..=4).prop_shuffle();
    let days = prop::sample::subsequence(Day::ALL.to_vec(), 0..=7);
    let hours = prop::option::of((0_u16..1440, 0_u16..=1440));
    (officers, 1_u16..10, 0_i64..20, 0_u16..1440, days, hours).prop_map(
        |(officers, each_days, first, hand_over, days, hours)| Rotation {
            hand_over,
            days,
            hours,
            ..rotation(&officers, each_days, &date(first).to_string())
        },
    )
}

/// So many days after 10 October 2026.
fn date(days: i64) -> Date {
    let first: Date = "2026-10-10".parse().unwrap();
    first.checked_add(jiff::Span::new().days(days)).unwrap()
}

fn any_roster() -> impl Strategy<Value = Roster> {
    let zones = [
        "Asia/Shanghai",
        "Europe/Berlin",
        "America/Havana",
        "Australia/Lord_Howe",
    ];
    let overrides = prop::collection::vec((0_i64..20, 0_i8..24, 1_i64..4), 0..3);
    let holidays = prop::collection::vec((0_i64..20, 0_i64..3), 0..3);
    (
        prop::sample::select(zones.to_vec()),
        prop::collection::vec(any_rotation(), 0..4),
        overrides,
        holidays,
    )
        .prop_map(|(zone, rotations, overrides, holidays)| {
            roster(RosterDef {
                overrides: overrides
                    .into_iter()
                    .map(|(first, hour, length)| Override {
                        from: date(first).at(hour, 15, 0, 0),
                        to: date(first + length).at(hour, 0, 0, 0),
                        officers: ids(&["x"]),
                    })
                    .collect(),
                holidays: holidays
                    .into_iter()
                    .map(|(first, length)| Holiday {
                        name: String::new(),
                        from: date(first),
                        to: date(first + length),
                        officers: ids(&["h"]),
                    })
                    .collect(),
                ..def(zone, rotations)
            })
        })
}

/// Who is on duty by the clock on the wall, found without looking for edges; away from days on which the clock is set.
fn by_the_wall(roster: &Roster, local: DateTime) -> Vec<String> {
    let def = roster.def();
    if def
        .overrides
        .iter()
        .any(|other| other.from <= local && local < other.to)
    {
        return ids(&["x"]);
    }
    let (today, minute) = (local.date(), minutes(local));
    if def
        .holidays
        .iter()
        .any(|holiday| holiday.from <= today && today <= holiday.to)
    {
        return ids(&["h"]);
    }
    let mut found = Vec::new();
    for rotation in &def.rotations {
        let (from, to) = rotation.hours.unwrap_or((rotation.hand_over, rotation.hand_over));
        let covers = |date: Date, minute: u16| {
            let day = Day::ALL[usize::try_from(date.weekday().to_monday_zero_offset()).unwrap()];
            let to = if to > from { to } else { to + 1440 };
            (rotation.days.is_empty() || rotation.days.contains(&day)) && (from..to).contains(&minute)
        };
        let always = rotation.days.is_empty() && rotation.hours.is_none();
        if !always && !covers(today, minute) && !covers(today.yesterday().unwrap(), minute + 1440) {
            continue;
        }
        let day = if minute >= rotation.hand_over {
            today
        } else {
            today.yesterday().unwrap()
        };
        let mut turn = rotation.from;
        let mut officers = rotation.officers.iter().cycle();
        while turn <= day {
            let next = turn
                .checked_add(jiff::Span::new().days(i64::from(rotation.each_days)))
                .unwrap();
            let officer = officers.next().unwrap();
            if day < next && !found.contains(officer) {
                found.push(officer.clone());
            }
            turn = next;
        }
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn turns_say_what_on_duty_says(roster in any_roster(), first in 0_i64..20 * 1440, length in 1_i64..14 * 1440) {
        let from = at("2026-10-10T00:00:00Z").0 + first * MINUTE;
        let to = from + length * MINUTE;
        let turns = roster.turns(Timestamp(from), Timestamp(to));
        prop_assert_eq!(turns[0].from, Timestamp(from));
        prop_assert_eq!(turns[turns.len() - 1].to, Timestamp(to));
        for pair in turns.windows(2) {
            prop_assert_eq!(pair[0].to, pair[1].from);
            prop_assert_ne!(&pair[0].officers, &pair[1].officers);
        }
        for minute in (from..to).step_by(7 * 60_000) {
            let turn = turns.iter().find(|turn| turn.from.0 <= minute && minute < turn.to.0).unwrap();
            prop_assert_eq!(&turn.officers, &roster.on_duty(Timestamp(minute)));
        }
        for turn in &turns {
            prop_assert_eq!(&turn.officers, &roster.on_duty(Timestamp(turn.to.0 - 1)));
        }
    }

    #[test]
    fn on_duty_is_what_the_clock_on_the_wall_says(roster in any_roster(), minute in 0_i64..40 * 1440) {
        let instant = at("2026-10-09T00:00:00Z").0 + minute * MINUTE;
        let zone = &roster.zone;
        // On the days on which the clock is set, the tables above say what is wanted.
        let near = |hours: i64| zone.to_offset(jiff::Timestamp::from_millisecond(instant + hours * 60 * MINUTE).unwrap());
        prop_assume!(near(-30) == near(30));
        let local = zone.to_datetime(jiff::Timestamp::from_millisecond(instant).unwrap());
        prop_assert_eq!(roster.on_duty(Timestamp(instant)), by_the_wall(&roster, local));
    }
}
