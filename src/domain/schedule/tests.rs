//! Hours on the wall clock: tables over days, holidays and changes of the clock, and the next change against a search.

use jiff::civil::DateTime;
use proptest::prelude::*;

use super::super::time::Timestamp;
use super::{Calendar, Day, Hours, Interval, OnHolidays, time_zone, time_zone_names};

const MINUTE: i64 = 60_000;

fn clock(text: &str) -> u16 {
    let (hours, minutes) = text.split_once(':').unwrap();
    hours.parse::<u16>().unwrap() * 60 + minutes.parse::<u16>().unwrap()
}

fn interval(days: &[Day], from: &str, to: &str) -> Interval {
    Interval {
        days: days.to_vec(),
        from: clock(from),
        to: clock(to),
    }
}

fn hours(zone: &str, weekly: Vec<Interval>) -> Hours {
    Hours {
        time_zone: zone.to_owned(),
        weekly,
        holidays: Vec::new(),
        on_holidays: OnHolidays::Never,
    }
}

fn calendar(hours: Hours) -> Calendar {
    Calendar::new(hours).unwrap()
}

/// An instant with its offset, as `2026-10-01T22:00:00+08:00`.
fn at(text: &str) -> Timestamp {
    Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
}

/// Every change after `from`, as local time with offset; at most `count`.
fn changes(calendar: &Calendar, from: &str, count: usize) -> Vec<String> {
    let mut now = at(from);
    let mut found = Vec::new();
    while let Some(next) = calendar.next_change(now).filter(|_| found.len() < count) {
        assert!(next > now, "a change is ahead");
        let instant = jiff::Timestamp::from_millisecond(next.0).unwrap();
        let local = instant.to_zoned_datetime(calendar.zone.clone());
        let side = if calendar.in_force(next) { "on" } else { "off" };
        found.push(format!("{side} {}", local.strftime("%a %m-%d %H:%M %:z")));
        now = next;
    }
    found
}

#[test]
fn a_night_belongs_to_the_day_on_which_it_begins() {
    let nights = calendar(hours(
        "Asia/Shanghai",
        vec![interval(&[Day::Fri, Day::Sun], "22:00", "06:00")],
    ));
    for (instant, wanted) in [
        ("2026-07-03T21:59:59.999+08:00", false),
        ("2026-07-03T22:00:00+08:00", true),
        ("2026-07-04T00:00:00+08:00", true),
        ("2026-07-04T05:59:59.999+08:00", true),
        ("2026-07-04T06:00:00+08:00", false),
        ("2026-07-04T23:00:00+08:00", false),
        ("2026-07-05T23:00:00+08:00", true),
        ("2026-07-06T01:00:00+08:00", true),
    ] {
        assert_eq!(nights.in_force(at(instant)), wanted, "{instant}");
    }
    assert_eq!(
        changes(&nights, "2026-07-04T12:00:00+08:00", 3),
        [
            "on Sun 07-05 22:00 +08:00",
            "off Mon 07-06 06:00 +08:00",
            "on Fri 07-10 22:00 +08:00"
        ]
    );
}

#[test]
fn parts_that_touch_or_overlap_are_one() {
    let days = calendar(hours(
        "Asia/Shanghai",
        vec![
            interval(&[Day::Mon], "20:00", "24:00"),
            interval(&[Day::Tue], "00:00", "02:00"),
            interval(&[Day::Tue], "01:00", "03:00"),
        ],
    ));
    assert_eq!(
        changes(&days, "2026-07-05T00:00:00+08:00", 3),
        [
            "on Mon 07-06 20:00 +08:00",
            "off Tue 07-07 03:00 +08:00",
            "on Mon 07-13 20:00 +08:00"
        ]
    );
}

#[test]
fn what_is_always_or_never_in_force_does_not_change() {
    let always = calendar(hours(
        "Europe/Berlin",
        vec![interval(&Day::ALL, "00:00", "24:00")],
    ));
    let round = calendar(hours(
        "Europe/Berlin",
        vec![interval(&Day::ALL, "02:30", "02:30")],
    ));
    let never = calendar(hours("Europe/Berlin", Vec::new()));
    for (calendar, wanted) in [(always, true), (round, true), (never, false)] {
        for instant in [
            "2026-03-29T01:30:00Z",
            "2026-10-25T00:30:00Z",
            "2026-10-25T01:30:00Z",
        ] {
            assert_eq!(calendar.in_force(at(instant)), wanted);
            assert_eq!(calendar.next_change(at(instant)), None);
        }
    }
}

#[test]
fn a_holiday_is_out_in_or_like_another_day() {
    let with = |on_holidays| {
        calendar(Hours {
            holidays: vec!["2026-10-02".parse().unwrap(), "2026-10-01".parse().unwrap()],
            on_holidays,
            ..hours(
                "Asia/Shanghai",
                vec![
                    interval(
                        &[Day::Mon, Day::Tue, Day::Wed, Day::Thu, Day::Fri],
                        "22:00",
                        "06:00",
                    ),
                    interval(&[Day::Sun], "18:00", "20:00"),
                ],
            )
        })
    };
    let from = "2026-09-30T12:00:00+08:00";
    let rest = [
        "on Sun 10-04 18:00 +08:00",
        "off Sun 10-04 20:00 +08:00",
        "on Mon 10-05 22:00 +08:00",
    ];
    let begun = ["on Wed 09-30 22:00 +08:00"];
    let morning = ["off Thu 10-01 06:00 +08:00"];
    assert_eq!(
        changes(&with(OnHolidays::Never), from, 5),
        [&begun[..], &morning, &rest].concat()
    );
    assert_eq!(
        changes(&with(OnHolidays::Always), from, 5),
        [&begun[..], &["off Sat 10-03 00:00 +08:00"], &rest].concat()
    );
    let sundays = [
        "on Thu 10-01 18:00 +08:00",
        "off Thu 10-01 20:00 +08:00",
        "on Fri 10-02 18:00 +08:00",
        "off Fri 10-02 20:00 +08:00",
    ];
    assert_eq!(
        changes(&with(OnHolidays::As(Day::Sun)), from, 9),
        [&begun[..], &morning, &sundays, &rest].concat()
    );
}

#[test]
fn a_change_that_only_a_far_holiday_brings_is_found() {
    let open = calendar(Hours {
        holidays: vec!["2029-02-13".parse().unwrap()],
        ..hours("Asia/Shanghai", vec![interval(&Day::ALL, "00:00", "24:00")])
    });
    assert_eq!(
        changes(&open, "2026-01-01T00:00:00Z", 9),
        ["off Tue 02-13 00:00 +08:00", "on Wed 02-14 00:00 +08:00"]
    );
}

#[test]
fn an_edge_in_the_hour_that_does_not_exist_falls_on_its_end() {
    // On 29 March 2026 Berlin goes from 02:00 +01:00 to 03:00 +02:00.
    for (from, to, wanted) in [
        (
            "22:00",
            "06:00",
            &["on Sat 03-28 22:00 +01:00", "off Sun 03-29 06:00 +02:00"][..],
        ),
        (
            "02:30",
            "05:00",
            &["on Sun 03-29 03:00 +02:00", "off Sun 03-29 05:00 +02:00"],
        ),
        (
            "01:00",
            "02:30",
            &["on Sun 03-29 01:00 +01:00", "off Sun 03-29 03:00 +02:00"],
        ),
        (
            "02:10",
            "02:50",
            &["on Mon 03-30 02:10 +02:00", "off Mon 03-30 02:50 +02:00"],
        ),
    ] {
        let calendar = calendar(hours("Europe/Berlin", vec![interval(&Day::ALL, from, to)]));
        assert_eq!(
            changes(&calendar, "2026-03-28T12:00:00Z", 2),
            wanted,
            "{from} to {to}"
        );
    }
}

#[test]
fn in_the_hour_that_comes_twice_the_first_begins_and_the_second_ends() {
    // On 25 October 2026 Berlin goes from 03:00 +02:00 back to 02:00 +01:00.
    for (from, to, wanted) in [
        (
            "22:00",
            "06:00",
            ["on Sat 10-24 22:00 +02:00", "off Sun 10-25 06:00 +01:00"],
        ),
        (
            "02:30",
            "05:00",
            ["on Sun 10-25 02:30 +02:00", "off Sun 10-25 05:00 +01:00"],
        ),
        (
            "01:00",
            "02:30",
            ["on Sun 10-25 01:00 +02:00", "off Sun 10-25 02:30 +01:00"],
        ),
        (
            "02:10",
            "02:50",
            ["on Sun 10-25 02:10 +02:00", "off Sun 10-25 02:50 +01:00"],
        ),
    ] {
        let calendar = calendar(hours("Europe/Berlin", vec![interval(&Day::ALL, from, to)]));
        assert_eq!(
            changes(&calendar, "2026-10-24T12:00:00Z", 2),
            wanted,
            "{from} to {to}"
        );
    }
}

#[test]
fn time_zones_are_those_of_the_program() {
    assert!(time_zone("Asia/Shanghai").is_some());
    assert!(time_zone("Asia/Shanghia").is_none());
    assert!(time_zone_names().iter().any(|name| name == "Europe/Berlin"));
}

#[test]
fn instants_beyond_all_calendars_are_out_of_every_schedule() {
    let always = calendar(hours(
        "Asia/Shanghai",
        vec![interval(&Day::ALL, "00:00", "24:00")],
    ));
    for instant in [i64::MIN, i64::MAX] {
        assert!(!always.in_force(Timestamp(instant)));
        assert_eq!(always.next_change(Timestamp(instant)), None);
    }
}

fn any_interval() -> impl Strategy<Value = Interval> {
    let days = prop::sample::subsequence(Day::ALL.to_vec(), 1..=7);
    (days, 0_u16..1440, 0_u16..=1440).prop_map(|(days, from, to)| Interval { days, from, to })
}

fn any_calendar() -> impl Strategy<Value = Calendar> {
    let like = prop_oneof![
        Just(OnHolidays::Never),
        Just(OnHolidays::Always),
        prop::sample::select(Day::ALL.to_vec()).prop_map(OnHolidays::As),
    ];
    let zones = [
        "Asia/Shanghai",
        "Europe/Berlin",
        "America/Havana",
        "Australia/Lord_Howe",
    ];
    (
        prop::sample::select(zones.to_vec()),
        prop::collection::vec(any_interval(), 0..4),
        prop::collection::btree_set(0_i64..14, 0..3),
        like,
    )
        .prop_map(|(zone, weekly, holidays, on_holidays)| {
            let first: jiff::civil::Date = "2026-10-20".parse().unwrap();
            calendar(Hours {
                holidays: holidays
                    .into_iter()
                    .map(|days| first.checked_add(jiff::Span::new().days(days)).unwrap())
                    .collect(),
                on_holidays,
                ..hours(zone, weekly)
            })
        })
}

/// What the clock on the wall says, read without looking for edges.
fn by_the_wall(calendar: &Calendar, local: DateTime) -> bool {
    let minute = u16::try_from(local.hour()).unwrap() * 60 + u16::try_from(local.minute()).unwrap();
    let today = local.date();
    let covers = |date: jiff::civil::Date, minute: u16| {
        let hours = calendar.hours();
        let day = match (hours.holidays.contains(&date), hours.on_holidays) {
            (true, OnHolidays::Never) => return false,
            (true, OnHolidays::Always) => return minute < 1440,
            (true, OnHolidays::As(day)) => day,
            (false, _) => Day::ALL[usize::try_from(date.weekday().to_monday_zero_offset()).unwrap()],
        };
        hours.weekly.iter().any(|interval| {
            let to = if interval.to > interval.from {
                interval.to
            } else {
                interval.to + 1440
            };
            interval.days.contains(&day) && (interval.from..to).contains(&minute)
        })
    };
    covers(today, minute) || covers(today.yesterday().unwrap(), minute + 1440)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_next_change_is_the_first_minute_that_differs(calendar in any_calendar(), start in 0_i64..14 * 1440) {
        // Two weeks around the last Sunday of October, when Berlin's clock is set back; Havana's follows.
        let start = at("2026-10-18T00:00:00Z").0 + start * MINUTE;
        let now = calendar.in_force(Timestamp(start));
        let found = calendar.next_change(Timestamp(start));
        let searched = (1..10 * 1440)
            .map(|minutes| Timestamp(start + minutes * MINUTE))
            .find(|minute| calendar.in_force(*minute) != now);
        if searched.is_some() {
            prop_assert_eq!(found, searched);
        } else if let Some(found) = found {
            prop_assert!(found.0 >= start + 10 * 1440 * MINUTE);
        }
    }

    #[test]
    fn in_force_is_what_the_clock_on_the_wall_says(calendar in any_calendar(), minute in 0_i64..365 * 1440) {
        let instant = at("2026-01-01T00:00:00Z").0 + minute * MINUTE;
        let local = calendar.zone.to_datetime(jiff::Timestamp::from_millisecond(instant).unwrap());
        // On the days on which the clock is set, the tables above say what is wanted.
        let near = |hours: i64| {
            let instant = jiff::Timestamp::from_millisecond(instant + hours * 60 * MINUTE).unwrap();
            calendar.zone.to_offset(instant)
        };
        prop_assume!(near(-3) == near(3));
        prop_assert_eq!(calendar.in_force(Timestamp(instant)), by_the_wall(&calendar, local));
    }
}
