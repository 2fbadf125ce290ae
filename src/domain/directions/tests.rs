//! Whom directions name: direct targets, levels of chains, quiet hours, and who is told where nobody is on duty.

use super::super::almanac::{ScheduleDef, VENUE_CLOSED, VenueFacts};
use super::super::chain::Level;
use super::super::roster::{RosterDef, Rotation};
use super::super::rule::Class;
use super::super::schedule::{Day, Hours, Interval, OnHolidays};
use super::super::time::Millis;
use super::*;

fn at(text: &str) -> Timestamp {
    Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
}

fn hours(from: u16, to: u16) -> Hours {
    Hours {
        time_zone: "Asia/Shanghai".to_owned(),
        weekly: vec![Interval {
            days: Day::ALL.to_vec(),
            from: from * 60,
            to: to * 60,
        }],
        holidays: Vec::new(),
        on_holidays: OnHolidays::Never,
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn officer(id: &str, channels: &[&str], quiet_hours: Option<&str>) -> Officer {
    Officer {
        id: id.to_owned(),
        name: id.to_uppercase(),
        channels: words(channels),
        contact: Contact {
            mobile: Some("13800001111".to_owned()),
            ..Contact::default()
        },
        quiet_hours: quiet_hours.map(str::to_owned),
        ..Officer::default()
    }
}

/// On duty from 1 January 2026 at 08:00, one day in turn.
fn roster(name: &str, officers: &[&str], hours: Option<(u16, u16)>) -> Roster {
    let rotation = Rotation {
        officers: words(officers),
        each_days: 1,
        from: "2026-01-01".parse().unwrap(),
        hand_over: 8 * 60,
        days: Vec::new(),
        hours: hours.map(|(from, to)| (from * 60, to * 60)),
    };
    Roster::new(RosterDef {
        name: name.to_owned(),
        time_zone: "Asia/Shanghai".to_owned(),
        rotations: vec![rotation],
        overrides: Vec::new(),
        holidays: Vec::new(),
    })
    .unwrap()
}

fn level(after: u64, to: Vec<Addressee>) -> Level {
    Level {
        to,
        after: Millis(after),
        repeat: None,
    }
}

fn route(name: &str, targets: &[&str], chain: Option<&str>) -> Route {
    Route {
        name: name.to_owned(),
        targets: words(targets),
        chain: chain.map(str::to_owned),
        ..Route::default()
    }
}

/// Wang and Li share a group; Li is not to be woken; the chief has two channels. Who leads works from 9 to 17.
fn directions(routes: Vec<Route>) -> Directions {
    let by = |kind: fn(String) -> Addressee, name: &str| kind(name.to_owned());
    let night = ScheduleDef {
        name: "night".to_owned(),
        hours: hours(22, 6),
    };
    let venue = VenueFacts {
        venue: "v1".to_owned(),
        time_zone: "Asia/Shanghai".to_owned(),
        hours: Some(hours(9, 21)),
        expiries: Vec::new(),
        confirms: false,
    };
    Directions {
        routes,
        chains: vec![
            Chain {
                name: "gas".to_owned(),
                levels: vec![
                    level(
                        0,
                        vec![
                            by(Addressee::Roster, "duty"),
                            by(Addressee::Officer, "wang"),
                            by(Addressee::Officer, "li"),
                            by(Addressee::Target, "siren"),
                        ],
                    ),
                    level(180_000, vec![by(Addressee::Roster, "leaders")]),
                    level(600_000, vec![by(Addressee::Officer, "chief")]),
                ],
            },
            Chain {
                name: "office".to_owned(),
                levels: vec![level(0, vec![by(Addressee::Roster, "leaders")])],
            },
            Chain {
                name: "up".to_owned(),
                levels: vec![
                    level(0, vec![by(Addressee::Officer, "wang")]),
                    level(180_000, vec![by(Addressee::Roster, "leaders")]),
                ],
            },
        ],
        rosters: vec![
            roster("duty", &["wang", "zhao"], None),
            roster("leaders", &["chief"], Some((9, 17))),
        ],
        officers: vec![
            officer("wang", &["group", "wang-mail"], None),
            officer("li", &["group"], Some("night")),
            officer("zhao", &["zhao-phone"], None),
            officer("chief", &["chief-phone", "chief-mail"], None),
        ],
        targets: words(&["group", "siren", "mail"]),
        letters: words(&["mail"]),
        almanac: Arc::new(Almanac::new(&[night], &[venue])),
    }
}

const SUBJECT: Subject<'_> = Subject {
    class: Class::Alarm,
    priority: Priority::High,
    rule: "gas-high",
    notify: None,
    venue: "v1",
    venue_kind: "restaurant",
    district: None,
    event: "raised",
};

const NOON: &str = "2026-01-02T12:00:00+08:00";
const MIDNIGHT: &str = "2026-01-02T23:30:00+08:00";
const MORNING: &str = "2026-01-03T06:00:00+08:00";

/// `target: PEOPLE from time`, without the time where it is due at once.
fn shown(owed: &[Owed]) -> Vec<String> {
    let line = |owed: &Owed| {
        let people: Vec<&str> = owed.people.iter().map(|person| person.name.as_str()).collect();
        let from = owed
            .not_before
            .map_or_else(String::new, |at| format!(" from {}", at.to_rfc3339()));
        format!("{}: {}{from}", owed.target, people.join(" "))
    };
    owed.iter().map(line).collect()
}

#[test]
fn each_target_is_owed_one_message_of_all_routes_that_match() {
    let only_alarms = Route {
        classes: vec![Class::Alarm],
        ..route("b", &["second", "duty"], None)
    };
    let raised_only = Route {
        events: words(&["raised"]),
        ..route("c", &["third"], None)
    };
    let directions = directions(vec![route("a", &["duty"], None), only_alarms, raised_only]);
    let owed = directions.direct(&SUBJECT, at(NOON));
    assert_eq!(shown(&owed), ["duty: ", "second: ", "third: "]);
    assert_eq!(owed[0].why, Why::Routes(words(&["a", "b"])));
    assert_eq!(
        shown(&directions.told(&SUBJECT, at(NOON))),
        ["duty: ", "second: ", "third: "]
    );
    let fault = Subject {
        class: Class::Fault,
        event: "acknowledged",
        ..SUBJECT
    };
    assert_eq!(shown(&directions.direct(&fault, at(NOON))), ["duty: "]);
    let named = Subject {
        notify: Some("c"),
        ..SUBJECT
    };
    assert_eq!(shown(&directions.direct(&named, at(NOON))), ["third: "]);
    let matching: Vec<&str> = directions
        .matching(&fault, at(NOON))
        .map(|route| route.name.as_str())
        .collect();
    assert_eq!(matching, ["a", "c"], "an event that is not told is no condition");
}

#[test]
fn a_route_has_its_hours_and_what_is_not_known_keeps_nobody_away() {
    let in_hours = |schedule: &str| Route {
        schedule: Some(schedule.to_owned()),
        ..route("a", &["duty"], None)
    };
    let matches = |schedule: &str, venue: &str, instant: &str| {
        let directions = directions(vec![in_hours(schedule)]);
        let subject = Subject { venue, ..SUBJECT };
        directions.matching(&subject, at(instant)).count() == 1
    };
    for (schedule, venue, instant, wanted) in [
        ("night", "v1", NOON, false),
        ("night", "v1", MIDNIGHT, true),
        (VENUE_CLOSED, "v1", NOON, false),
        (VENUE_CLOSED, "v1", MIDNIGHT, true),
        ("venue-open", "v1", NOON, true),
        ("venue-open", "v1", MIDNIGHT, false),
        (VENUE_CLOSED, "v2", NOON, true),
        ("venue-open", "v2", NOON, true),
        ("no-such", "v1", NOON, true),
    ] {
        assert_eq!(
            matches(schedule, venue, instant),
            wanted,
            "{schedule} {venue} {instant}"
        );
    }
    let directions = directions(vec![in_hours("night")]);
    let mismatch = directions.mismatch(&directions.routes[0], &SUBJECT, at(NOON));
    assert_eq!(mismatch, Some(Mismatch::Schedule));
}

#[test]
fn a_level_names_people_by_their_first_channel_and_each_once() {
    let directions = directions(vec![route("a", &[], Some("gas"))]);
    let owed = directions.level("gas", 1, &SUBJECT, at(NOON));
    assert_eq!(shown(&owed), ["zhao-phone: ZHAO", "group: WANG LI", "siren: "]);
    let wang = &owed[1].people[0];
    assert_eq!(
        (wang.officer.as_str(), wang.next.as_slice()),
        ("wang", &words(&["wang-mail"])[..])
    );
    assert_eq!(wang.contact.mobile.as_deref(), Some("13800001111"));
    let level = |level, instead| Why::Level {
        chain: "gas".to_owned(),
        level,
        instead,
    };
    assert!(owed.iter().all(|owed| owed.why == level(1, None)));
    // The next day Wang himself is on duty.
    let owed = directions.level("gas", 1, &SUBJECT, at("2026-01-03T12:00:00+08:00"));
    assert_eq!(shown(&owed), ["group: WANG LI", "siren: "]);
    assert!(directions.level("gas", 0, &SUBJECT, at(NOON)).is_empty());
    assert!(directions.level("gas", 4, &SUBJECT, at(NOON)).is_empty());
    assert!(directions.level("no-such", 1, &SUBJECT, at(NOON)).is_empty());
}

#[test]
fn where_nobody_is_on_duty_another_level_is_told_and_at_last_the_targets_of_the_routes() {
    let later = Route {
        schedule: Some("night".to_owned()),
        ..route("b", &["second"], Some("office"))
    };
    let directions = directions(vec![
        route("a", &["duty"], Some("office")),
        later,
        route("c", &["x"], Some("gas")),
    ]);
    let instead = |owed: &[Owed]| match owed[0].why.clone() {
        Why::Level { instead, .. } => instead,
        Why::Routes(_) => panic!("a level has come"),
    };
    let owed = directions.level("gas", 2, &SUBJECT, at(NOON));
    assert_eq!(
        (shown(&owed), instead(&owed)),
        (words(&["chief-phone: CHIEF"]), None)
    );
    let owed = directions.level("gas", 2, &SUBJECT, at(MIDNIGHT));
    assert_eq!(shown(&owed), ["chief-phone: CHIEF"]);
    assert_eq!(instead(&owed), Some(Instead::Level(3)));
    let owed = directions.level("up", 2, &SUBJECT, at(MIDNIGHT));
    assert_eq!(
        (shown(&owed), instead(&owed)),
        (words(&["group: WANG"]), Some(Instead::Level(1)))
    );
    let owed = directions.level("office", 1, &SUBJECT, at(MIDNIGHT));
    assert_eq!(
        (shown(&owed), instead(&owed)),
        (words(&["duty: ", "second: "]), Some(Instead::Targets))
    );
    // Where no route matches any more, those that lead there at all.
    let fire = Subject {
        notify: Some("c"),
        ..SUBJECT
    };
    let owed = directions.level("office", 1, &fire, at(MIDNIGHT));
    assert_eq!(shown(&owed), ["duty: ", "second: "]);
}

#[test]
fn what_is_not_critical_waits_for_the_end_of_quiet_hours() {
    let quiet = |name: &str, targets: &[&str]| Route {
        quiet_hours: Some("night".to_owned()),
        ..route(name, targets, Some("gas"))
    };
    let critical = Subject {
        priority: Priority::Critical,
        ..SUBJECT
    };
    let morning = at(MORNING).to_rfc3339();
    let quiet_only = directions(vec![quiet("a", &["duty", "second"])]);
    let duty = |directions: &Directions, subject, instant| shown(&directions.direct(subject, at(instant)));
    assert_eq!(
        duty(&quiet_only, &SUBJECT, MIDNIGHT),
        [
            format!("duty:  from {morning}"),
            format!("second:  from {morning}")
        ]
    );
    assert_eq!(duty(&quiet_only, &SUBJECT, NOON), ["duty: ", "second: "]);
    assert_eq!(duty(&quiet_only, &critical, MIDNIGHT), ["duty: ", "second: "]);
    let people = quiet_only.level("gas", 3, &SUBJECT, at(MIDNIGHT));
    assert_eq!(shown(&people), [format!("chief-phone: CHIEF from {morning}")]);
    // One route that does not wait is enough.
    let both = directions(vec![
        quiet("a", &["duty", "second"]),
        route("b", &["duty"], Some("gas")),
    ]);
    assert_eq!(
        duty(&both, &SUBJECT, MIDNIGHT),
        ["duty: ".to_owned(), format!("second:  from {morning}")]
    );
    let people = both.level("gas", 3, &SUBJECT, at(MIDNIGHT));
    assert_eq!(shown(&people), ["chief-phone: CHIEF"]);
}

#[test]
fn who_is_not_to_be_woken_is_told_apart_from_the_others_of_a_channel() {
    let directions = directions(vec![route("a", &[], Some("gas"))]);
    let morning = at(MORNING).to_rfc3339();
    assert_eq!(
        shown(&directions.level("gas", 1, &SUBJECT, at(MIDNIGHT))),
        [
            "zhao-phone: ZHAO".to_owned(),
            "group: WANG".to_owned(),
            format!("group: LI from {morning}"),
            "siren: ".to_owned()
        ]
    );
    let critical = Subject {
        priority: Priority::Critical,
        ..SUBJECT
    };
    let owed = directions.level("gas", 1, &critical, at(MIDNIGHT));
    assert_eq!(shown(&owed), ["zhao-phone: ZHAO", "group: WANG LI", "siren: "]);
}

#[test]
fn each_chain_begins_once_and_its_first_level_is_told() {
    let directions = directions(vec![
        route("a", &["duty"], Some("gas")),
        route("b", &["siren"], Some("gas")),
        route("c", &[], Some("office")),
    ]);
    assert_eq!(directions.chains(&SUBJECT, at(NOON)), ["gas", "office"]);
    let told = directions.told(&SUBJECT, at(NOON)).into_iter();
    assert_eq!(
        told.map(|owed| owed.target).collect::<Vec<String>>(),
        ["duty", "siren", "zhao-phone", "group", "siren", "chief-phone"]
    );
    let named = Subject {
        notify: Some("c"),
        ..SUBJECT
    };
    assert_eq!(directions.chains(&named, at(NOON)), ["office"]);
}

#[test]
fn what_is_owed_is_kept_as_json() {
    let directions = directions(vec![route("a", &["duty"], Some("gas"))]);
    let mut owed = directions.direct(&SUBJECT, at(NOON));
    owed.extend(directions.level("gas", 2, &SUBJECT, at(MIDNIGHT)));
    let text = serde_json::to_string(&owed).unwrap();
    assert_eq!(serde_json::from_str::<Vec<Owed>>(&text).unwrap(), owed);
    assert_eq!(
        text,
        "[{\"target\":\"duty\",\"why\":{\"routes\":[\"a\"]}},\
         {\"target\":\"chief-phone\",\"people\":[{\"officer\":\"chief\",\"name\":\"CHIEF\",\"language\":\"zh\",\
         \"mobile\":\"13800001111\",\"next\":[\"chief-mail\"]}],\
         \"why\":{\"level\":{\"chain\":\"gas\",\"level\":2,\"instead\":{\"level\":3}}}}]"
    );
}

#[test]
fn whoever_reads_a_target_is_told_also_where_an_officer_is_called_there() {
    let leading = |target: &str| {
        let mut directions = directions(vec![route("a", &[target], Some("gas"))]);
        directions.officers[0].channels = words(&[target]);
        let to = vec![
            Addressee::Officer("wang".to_owned()),
            Addressee::Target(target.to_owned()),
        ];
        directions.chains[0].levels = vec![level(0, to)];
        directions
    };
    // A robot has one message, which remembers whom it is for.
    let group = leading("group");
    let owed = group.merged(group.told(&SUBJECT, at(MIDNIGHT)));
    assert_eq!(shown(&owed), ["group: WANG"]);
    assert!(owed[0].everyone);
    let again = group.again(&owed, &SUBJECT, at(MIDNIGHT));
    assert!(again[0].everyone, "{again:?}");
    // A letter for an officer nobody else reads.
    let mail = leading("mail");
    let owed = mail.merged(mail.told(&SUBJECT, at(MIDNIGHT)));
    assert_eq!(shown(&owed), ["mail: ", "mail: WANG"]);
    let again = mail.again(&owed, &SUBJECT, at(MIDNIGHT));
    assert_eq!(shown(&again), ["mail: ", "mail: WANG"]);
}
