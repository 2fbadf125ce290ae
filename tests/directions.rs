//! Who is told, from the configuration on: what the files say arrives as written.

use std::path::Path;

use ninewatch::config;
use ninewatch::domain::chain::Addressee;
use ninewatch::domain::officer::Language;
use ninewatch::domain::schedule::Day;
use ninewatch::domain::time::Timestamp;

#[test]
fn who_is_told_arrives_in_the_settings() {
    let settings = config::load(Path::new("tests/config/valid/directions.toml")).unwrap();
    let directions = &settings.directions;
    let (wang, li) = (
        directions.officer("wang").unwrap(),
        directions.officer("li").unwrap(),
    );
    assert_eq!((wang.language, li.language), (Language::Zh, Language::En));
    assert_eq!(wang.channels, ["group", "second"]);
    assert_eq!(wang.contact.wecom.as_deref(), Some("WangLei"));
    assert_eq!(wang.quiet_hours.as_deref(), Some("night"));
    let duty = directions.roster("duty").unwrap().def();
    assert_eq!(
        (duty.rotations[0].each_days, duty.rotations[0].hand_over),
        (7, 8 * 60)
    );
    let weekend = &duty.rotations[1];
    assert_eq!((weekend.each_days, weekend.hand_over), (3, 9 * 60 + 30));
    assert_eq!(weekend.days, [Day::Sat, Day::Sun]);
    assert_eq!(weekend.hours, Some((18 * 60, 8 * 60)));
    assert_eq!((duty.overrides.len(), duty.holidays.len()), (2, 1));
    assert_eq!(duty.overrides[0].to.to_string(), "2026-02-11T08:00:00");
    let seconds = |chain: &str| -> Vec<(u64, Option<u64>)> {
        let levels = directions.chain(chain).unwrap().levels.iter();
        levels
            .map(|level| (level.after.0 / 1_000, level.repeat.map(|repeat| repeat.0 / 1_000)))
            .collect()
    };
    assert_eq!(
        seconds("gas"),
        [(0, Some(60)), (180, None), (600, Some(600))],
        "the usual times"
    );
    assert_eq!(seconds("short"), [(0, None), (300, Some(90))]);
    let to = &directions.chain("gas").unwrap().levels[0].to;
    let named = |name: &str| name.to_owned();
    assert_eq!(
        *to,
        [
            Addressee::Roster(named("duty")),
            Addressee::Target(named("second"))
        ]
    );
    let gas = &directions.routes[0];
    assert_eq!(
        (gas.rules.as_slice(), gas.districts.as_slice()),
        (&[named("hot-*")][..], &[named("karuo")][..])
    );
    assert_eq!(gas.events, ["raised", "cleared"]);
    assert!(directions.routes[1].targets.is_empty());
    assert_eq!(
        directions.almanac.in_force("night", "v1", Timestamp(0)),
        Some(false),
        "08:00 there"
    );
    assert_eq!(
        settings.registry.venue("v1").unwrap().district.as_deref(),
        Some("karuo")
    );
}
