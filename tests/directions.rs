//! Who is told, from the configuration on: what the files say arrives as written.

#![expect(clippy::expect_used, reason = "a test may panic")]

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

const AROUND: &str = "[gateway]\nid = 'g'\n[mqtt]\nurl = 'mqtt://127.0.0.1'\n[http]\nauth = 'none'\n\
    [[target]]\nname = 't'\nkind = 'webhook'\nurl = 'http://127.0.0.1:1/a'\n\
    [[officer]]\nid = 'wang'\nname = 'Wang'\nchannels = ['t']\n\
    [[officer]]\nid = 'li'\nname = 'Li'\nchannels = ['t']\n\
    [[roster]]\nname = 'days'\n\
    rotation = [{ officers = ['wang'], each = '1w', from = '2026-01-05', days = 'mon-fri' }]\n\
    [[route]]\nname = 'r'\nchain = 'c'\n";

/// What `check` says on Tuesday 6 January 2026 of `AROUND` with `more`: findings and warnings.
fn checked(more: &str) -> (Vec<String>, Vec<String>) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ninewatch.toml");
    std::fs::write(&path, format!("{AROUND}{more}")).expect("the folder can be written");
    let at = Timestamp(1_767_672_000_000);
    let messages = |findings: &config::Findings| -> Vec<String> {
        findings.iter().map(|finding| finding.message.clone()).collect()
    };
    assert!(config::load(&path).is_ok(), "a gateway runs with it");
    match config::check(&path, at) {
        Ok(settings) => (Vec::new(), messages(&settings.warnings)),
        Err(findings) => (messages(&findings), Vec::new()),
    }
}

#[test]
fn hours_in_which_nobody_is_on_duty_are_a_warning_and_a_finding_where_nobody_else_is_told() {
    let gap = "nobody is on duty by the roster `days` from Sat 2026-01-10 08:00 to Mon 2026-01-12 08:00";
    let level = "[[chain.level]]\nto = ";
    let chain = format!("[[chain]]\nname = 'c'\n{level}['roster:days']\n");
    let (findings, warnings) = checked(&format!("{chain}{level}['officer:li']\n"));
    assert_eq!((findings, warnings), (Vec::new(), vec![gap.to_owned()]));
    let (findings, _) = checked(&format!(
        "{chain}[[roster]]\nname = 'w'\nrotation = [{{ officers = ['li'], each = '1w', from = '2026-01-05' }}]\n"
    ));
    let alone = "nobody stands in any level of the chain `c` at Sat 2026-01-10 08:00";
    assert_eq!(findings, [alone]);
}

#[test]
fn what_nothing_leads_to_is_a_warning() {
    let level = "[[chain.level]]\nto = ";
    let (findings, warnings) = checked(&format!(
        "[[chain]]\nname = 'c'\n{level}['target:t']\n[[chain]]\nname = 'spare'\n{level}['officer:wang']\n"
    ));
    assert!(findings.is_empty());
    assert_eq!(
        warnings,
        [
            "the officer `li` is in no roster and no chain",
            "no chain leads to the roster `days`",
            "no route leads to the chain `spare`"
        ]
    );
}
