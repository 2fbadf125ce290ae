//! Golden configurations: every file of `valid/` loads, every file of `invalid/` gives exactly the findings that
//! stand beside it, all at once.

#[path = "config/doubts.rs"]
mod doubts;
#[path = "config/outside.rs"]
mod outside;

use std::path::{Path, PathBuf};
use std::time::Duration;

use ninewatch::config::{self, Auth, BrokerUrl, Cast, Durability, Findings, PostgresTls, Script};
use ninewatch::domain::definitions::DefinitionSource;
use ninewatch::domain::device::DeviceKey;
use ninewatch::domain::schedule::{Day, OnHolidays};
use ninewatch::simulate::town::Town;

#[expect(clippy::unwrap_used, reason = "a test may panic")]
/// The configurations in `tests/config/<folder>`; at least `least`, or the loop over them proves nothing.
fn files(folder: &str, least: usize) -> Vec<PathBuf> {
    let folder = Path::new("tests/config").join(folder);
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    assert!(
        files.len() >= least,
        "only {} configurations in {}",
        files.len(),
        folder.display()
    );
    files
}

#[test]
fn valid_configurations_load() {
    for path in files("valid", 3) {
        if let Err(findings) = config::load(&path) {
            panic!("{} should be fine:\n{findings}", path.display());
        }
    }
}

/// With `UPDATE_EXPECTED=1` the findings of today are written down as the expected ones: read them before you
/// commit them.
#[test]
fn invalid_configurations_give_the_expected_findings() {
    let update = std::env::var_os("UPDATE_EXPECTED").is_some();
    let mut wrong = Vec::new();
    for path in files("invalid", 10) {
        let shown = match config::load(&path) {
            Ok(_) => "fine\n".to_owned(),
            Err(findings) => format!("{findings}\n"),
        };
        let expected_path = path.with_extension("expected");
        if update {
            std::fs::write(&expected_path, &shown).unwrap();
        }
        let expected = std::fs::read_to_string(&expected_path).unwrap_or_default();
        if shown != expected {
            wrong.push(format!(
                "{}\n--- expected\n{expected}--- found\n{shown}",
                path.display()
            ));
        }
        if shown.contains("hunter2") {
            wrong.push(format!("{} shows a secret", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn all_errors_of_a_file_appear_at_once_and_in_order() {
    let findings = config::load(Path::new("tests/config/invalid/everything.toml")).unwrap_err();
    let wrong_lines = std::fs::read_to_string("tests/config/invalid/everything.toml")
        .unwrap()
        .lines()
        .zip(1..)
        .filter(|(line, _)| line.contains("# wrong"))
        .map(|(_, number)| number)
        .collect::<Vec<usize>>();
    let found: Vec<usize> = findings
        .iter()
        .filter(|finding| finding.file.ends_with("everything.toml"))
        .map(|finding| finding.line)
        .collect();
    assert_eq!(found, wrong_lines, "{findings}");
    assert!(wrong_lines.len() >= 15);
}

#[test]
fn the_shipped_configuration_loads() {
    let settings =
        config::load(Path::new("config/ninewatch.toml")).unwrap_or_else(|findings| panic!("{findings}"));
    assert_eq!(settings.gateway.id, "karuo-01");
    assert_eq!(settings.mqtt.client_id, "ninewatch-karuo-01");
    assert_eq!(
        settings.mqtt.url,
        BrokerUrl::Remote {
            host: "127.0.0.1".to_owned(),
            port: 1883,
            tls: false
        }
    );
    assert!(matches!(settings.http.auth, Auth::None));
    assert_eq!(settings.definitions.source().kinds.len(), 8);
    assert_eq!(settings.definitions.source().rules.len(), 84);
    assert_eq!(settings.profiles[0].name, "native");
    assert!(settings.profiles.len() > 1, "the shipped profiles are read");
    assert_eq!(settings.registry.venue("v1").unwrap().kind, "restaurant");
    assert_eq!(settings.directions.routes[0].classes.len(), 4);
}

#[test]
fn every_shipped_rule_pack_is_built_in() {
    let shipped = config::load(Path::new("config/ninewatch.toml")).unwrap();
    let text = "[gateway]\nid = 'demo'\n[mqtt]\nurl = 'mqtt://127.0.0.1'\n[http]\nauth = 'none'\n";
    let built_in = config::load_str("demo", text, Path::new("config")).unwrap();
    let ids = |settings: &config::Settings| -> Vec<String> {
        let rules = &settings.definitions.source().rules;
        rules.iter().map(|rule| rule.id.clone()).collect()
    };
    assert_eq!(ids(&built_in), ids(&shipped));
}

#[test]
fn the_list_of_shipped_rules_says_what_they_say() {
    let shipped = config::load(Path::new("config/ninewatch.toml")).unwrap();
    let list = std::fs::read_to_string("docs/rule-packs.md").unwrap();
    let rules = &shipped.definitions.source().rules;
    for rule in rules {
        let in_table = |condition: &str| condition.replace('|', "\\|");
        let row = format!("| `{}` | `{}` |", rule.id, in_table(&rule.when));
        let row = list.lines().find(|line| line.starts_with(&row));
        let row = row.unwrap_or_else(|| panic!("no row for {} with {}", rule.id, rule.when));
        let clear = rule.clear.as_deref().unwrap_or("when it no longer holds");
        assert!(row.contains(&in_table(clear)), "{}: {clear}", rule.id);
        let urgency = format!("| {}, {} |", rule.class.as_str(), rule.priority.as_str());
        assert!(row.contains(&urgency), "{}: {urgency}", rule.id);
    }
    assert_eq!(
        list.lines().filter(|line| line.starts_with("| `")).count(),
        rules.len()
    );
}

#[test]
fn every_shipped_rule_has_title_and_reason_in_both_languages() {
    let shipped = config::load(Path::new("config/ninewatch.toml")).unwrap();
    let rules = &shipped.definitions.source().rules;
    assert!(rules.len() >= 70, "only {} rules", rules.len());
    for rule in rules {
        let reason = rule.reason.as_ref();
        let reason = reason.unwrap_or_else(|| panic!("{} has no reason", rule.id));
        for text in [&rule.title, reason] {
            let chinese = |text: &str| {
                text.chars()
                    .any(|letter| ('\u{4e00}'..='\u{9fff}').contains(&letter))
            };
            let english = |text: &str| text.chars().filter(char::is_ascii_lowercase).count() >= 3;
            assert!(chinese(&text.zh), "{}: {}", rule.id, text.zh);
            assert!(english(&text.en), "{}: {}", rule.id, text.en);
        }
    }
}

#[test]
fn what_the_file_says_of_postgresql_arrives_in_the_settings() {
    let settings = config::load(Path::new("tests/config/valid/everything.toml")).unwrap();
    let postgres = settings.postgres.unwrap();
    assert!(!format!("{postgres:?}").contains("hunter2"));
    assert_eq!(postgres.password.unwrap().expose(), "hunter2hunter2");
    assert_eq!(postgres.server.get_dbname(), Some("fire"));
    assert_eq!(postgres.server.get_ports(), [5433]);
    assert_eq!(postgres.server.get_options(), Some("-c search_path=fire"));
    assert!(matches!(postgres.tls, PostgresTls::Verified { ca_file: Some(_) }));
    assert_eq!(postgres.durability, Durability::Replicated);
    let day = Duration::from_hours(24);
    assert_eq!((postgres.keep, postgres.readings_keep), (day * 400, day * 100));
}

#[test]
fn what_the_file_says_arrives_in_the_settings() {
    let settings = config::load(Path::new("tests/config/valid/everything.toml")).unwrap();
    assert_eq!(settings.gateway.data_dir, Path::new("tests/config/valid/state"));
    assert_eq!(settings.gateway.max_devices, 2_000);
    assert_eq!(settings.gateway.public_url, "https://gw.example.com/fire");
    assert_eq!(
        settings.mqtt.url,
        BrokerUrl::Remote {
            host: "::1".to_owned(),
            port: 8883,
            tls: true
        }
    );
    assert_eq!(settings.mqtt.username.as_deref(), Some(env!("CARGO_PKG_NAME")));
    assert_eq!(settings.mqtt.password.unwrap().expose(), "hunter2hunter2");
    assert_eq!(settings.mqtt.keep_alive, Duration::from_mins(1));
    assert!(matches!(&settings.http.auth, Auth::Token(token) if token.expose() == "hunter2hunter2"));
    assert_eq!(settings.targets[0].url.expose(), "http://127.0.0.1:9000/hook");
    assert_eq!(settings.targets[0].timeout, Duration::from_millis(500));
    assert_eq!(
        settings.targets[1].secret.as_ref().unwrap().expose(),
        "hunter2hunter2"
    );
    assert_eq!(settings.directions.routes[0].targets, ["duty", "second"]);
    let rules = &settings.definitions.source().rules;
    assert_eq!(rules.len(), 8, "a file that two patterns match is read once");
    assert_eq!(rules[0].when, "level > 5.0 &&\n  mode == 'auto'");
    let reason = rules[0].reason.as_ref().unwrap();
    assert_eq!(
        (reason.zh.as_str(), reason.en.as_str()),
        ("泵房地面最低处", "The lowest place of the pump room")
    );
    assert_eq!(rules[1].reason, None);
    assert_eq!(rules[2].when, "age() >= '5m'", "`absent` stands for it");
    assert!(
        rules
            .iter()
            .any(|rule| rule.schedule.as_deref() == Some("nights"))
    );
    assert_eq!(
        (rules[0].hold.0, rules[0].keep_for.0, rules[0].max_gap.0),
        (2_000, 3_600_000, 86_400_000)
    );
    assert!(rules[0].latch);
    assert_eq!(
        (rules[0].chatter.count, rules[0].chatter.within.0),
        (16, 30 * 86_400_000)
    );
    assert_eq!((rules[1].chatter.count, rules[1].chatter.within.0), (5, 600_000));
    assert_eq!((rules[1].max_gap.0, rules[1].latch), (300_000, false));

    let kind = &settings.definitions.source().kinds[0];
    let defaults: Vec<_> = kind.points.iter().map(|point| point.default).collect();
    assert_eq!(defaults, [None, Some(3.0), Some(0.0), Some(1.0)]);
    let keeps = kind.points.iter();
    let keeps: Vec<_> = keeps
        .map(|point| (point.keep.deadband, point.keep.max_interval.0))
        .collect();
    assert_eq!(
        keeps,
        [(0.0, 600_000), (0.25, 90_000), (0.0, 600_000), (0.0, 600_000)]
    );
    let topics: Vec<_> = settings.profiles[1]
        .messages
        .iter()
        .map(|message| &message.topic)
        .collect();
    assert_eq!(topics, ["probe/{device}/up", "probe/{device}/lwt"]);
    assert!(settings.registry.find("probe", "d1").is_some());
}

#[test]
fn a_configuration_from_memory_starts_from_the_given_folder() {
    let text = "[gateway]\nid = 'demo'\n[mqtt]\nurl = 'mqtt://127.0.0.1'\n[http]\nauth = 'none'\n[files]\nrules = ['rules/gas.toml']\n";
    let settings = config::load_str("demo", text, Path::new("config")).unwrap();
    assert_eq!(settings.gateway.data_dir, Path::new("config/data"));
    assert_eq!(settings.gateway.public_url, "http://127.0.0.1:9464");
    assert_eq!(settings.definitions.source().rules.len(), 9);

    let findings = config::load_str("demo", "[gateway]\nid = 5\n", Path::new("config")).unwrap_err();
    let first = findings.iter().find(|finding| finding.line == 2).unwrap();
    assert_eq!(
        (first.file.as_str(), first.column, first.span.clone()),
        ("demo", 6, 15..16)
    );
}

#[cfg(feature = "embedded-broker")]
#[test]
fn the_broker_can_be_the_embedded_one() {
    let text = "[gateway]\nid = 'demo'\n[mqtt]\nurl = 'embedded'\n[http]\nauth = 'none'\n";
    let settings = config::load_str("demo", text, Path::new("")).unwrap();
    assert_eq!(settings.mqtt.url, BrokerUrl::Embedded);
}

#[test]
fn a_file_that_is_not_there_is_one_clear_finding() {
    let findings = config::load(Path::new("no/such.toml")).unwrap_err();
    assert_eq!(findings.len(), 1);
    assert!(
        findings
            .to_string()
            .starts_with("error: cannot read the configuration"),
        "{findings}"
    );
}

#[test]
fn colour_is_only_there_when_asked_for() {
    let findings = config::load(Path::new("tests/config/invalid/missing.toml")).unwrap_err();
    assert!(findings.render(true).contains('\u{1b}'));
    assert!(!findings.to_string().contains('\u{1b}'));
}

#[test]
fn schedules_and_hours_arrive_as_written() {
    let settings = config::load(Path::new("tests/config/valid/everything.toml")).unwrap();
    let source = settings.definitions.source();
    let nights = &source.schedules[0];
    assert_eq!(
        (nights.name.as_str(), nights.hours.time_zone.as_str()),
        ("nights", "Europe/Berlin")
    );
    let weekly: Vec<(&[Day], u16, u16)> = nights
        .hours
        .weekly
        .iter()
        .map(|interval| (interval.days.as_slice(), interval.from, interval.to))
        .collect();
    assert_eq!(
        weekly,
        [
            (&[Day::Fri, Day::Sat, Day::Sun, Day::Mon][..], 1_320, 360),
            (&[Day::Tue, Day::Wed, Day::Thu], 1_410, 1_440)
        ]
    );
    assert_eq!(nights.hours.on_holidays, OnHolidays::As(Day::Sun));
    let dates: Vec<String> = nights.hours.holidays.iter().map(ToString::to_string).collect();
    assert_eq!(dates, ["2026-12-25", "2026-12-26"]);

    let venue = &source.venues[0];
    assert_eq!(
        (venue.venue.as_str(), venue.time_zone.as_str()),
        ("店-1", "Europe/Berlin")
    );
    let hours = venue.hours.as_ref().unwrap();
    assert_eq!((hours.weekly[1].from, hours.weekly[1].to), (600, 120));
    assert_eq!(hours.on_holidays, OnHolidays::Always);
    let expiries = venue
        .expiries
        .iter()
        .map(|expiry| (expiry.device.as_str(), expiry.on.to_string()));
    let expected = ["d1", "d2"].map(|device| (device, "2027-05-01".to_owned()));
    assert_eq!(expiries.collect::<Vec<_>>(), expected);

    let (stored, hash) = source.stored().unwrap();
    let read = DefinitionSource::from_stored(&stored).unwrap();
    assert_eq!(
        (&read, read.stored().unwrap().1),
        (source, hash),
        "a replay finds the same hours"
    );
}

#[test]
fn venues_and_devices_arrive_from_csv_as_from_toml() {
    let settings = config::load(Path::new("tests/config/valid/roster.toml")).unwrap();
    let registry = &settings.registry;
    let device = |kind: &str, device: &str| {
        let key = registry.find(kind, device).unwrap();
        registry.device(key).unwrap()
    };
    let (r1, v1) = (registry.venue("r1").unwrap(), registry.venue("v1").unwrap());
    assert_eq!(
        (r1.name.as_str(), r1.address.as_str()),
        ("老灶火锅, 一店", "示例路 9 号")
    );
    assert_eq!((r1.confirm_linkage, v1.confirm_linkage), (true, true));
    assert_eq!(registry.venue("r2").unwrap().name, "空场所");
    let valve = device("shutoff_valve", "v1");
    assert_eq!(
        (valve.name.as_str(), valve.profile.as_deref()),
        ("进气总管", Some("native"))
    );
    assert_eq!(valve.parent.as_ref(), Some(&key("r1", "gas_detector", "g1")));
    assert_eq!(
        valve.aliases,
        [
            key("r1", "shutoff_valve", "old-v1"),
            key("r0", "shutoff_valve", "v7")
        ]
    );
    let g2 = device("gas_detector", "g2");
    assert_eq!(g2.silent_after.map(|length| length.0), Some(3 * 86_400_000));
    assert!(g2.retired && !valve.retired && !valve.remote_open);
    assert_eq!(
        device("gas_detector", "g8").key.venue,
        "v1",
        "beside a venue in TOML"
    );
    let in_toml = device("shutoff_valve", "valve");
    assert!(in_toml.remote_open);
    assert_eq!(in_toml.parent.as_ref(), Some(&key("v1", "gas_detector", "g8b")));
    assert_eq!(in_toml.aliases[1], key("v0", "shutoff_valve", "valve"));
    assert_eq!(registry.venue("x1").unwrap().name, "幸福小吃", "GBK");
    assert_eq!(registry.venue("u1").unwrap().name, "便民旅馆", "UTF-16");
}

fn key(venue: &str, kind: &str, device: &str) -> DeviceKey {
    DeviceKey {
        venue: venue.to_owned(),
        kind: kind.to_owned(),
        device: device.to_owned(),
    }
}

#[test]
fn a_device_expires_when_it_says_so_else_by_the_life_of_its_kind() {
    let settings = config::load(Path::new("tests/config/valid/roster.toml")).unwrap();
    let mut expiries: Vec<(&str, &str, String)> = Vec::new();
    for venue in &settings.definitions.source().venues {
        let of_venue = venue.expiries.iter();
        expiries.extend(of_venue.map(|expiry| (&*venue.venue, &*expiry.device, expiry.on.to_string())));
    }
    let expected = [
        ("r1", "g1", "2029-05-01"),
        ("r1", "v1", "2031-01-01"),
        ("v1", "valve", "2034-02-28"),
        ("x1", "g1", "2029-11-03"),
    ];
    expiries.sort();
    assert_eq!(
        expiries,
        expected.map(|(venue, device, on)| (venue, device, on.to_owned()))
    );
}

#[test]
fn ten_thousand_wrong_lines_are_a_hundred_findings_and_a_count() {
    let folder = tempfile::tempdir().unwrap();
    let mut text = "venue,venue_name,venue_kind,kind,device\nv1,x,shop,,\n".to_owned();
    text.extend((0..10_000).map(|device| format!("v1,,,gas_detectr,d{device}\n")));
    std::fs::write(folder.path().join("venues.csv"), text).unwrap();
    let main = "[gateway]\nid = 'g'\n[mqtt]\nurl = 'mqtt://127.0.0.1'\n[http]\nauth = 'none'\n[files]\nvenues = ['venues.csv']\n";
    let findings = config::load_str("main", main, folder.path()).unwrap_err();
    assert_eq!(findings.len(), 101);
    let last = findings.iter().last().unwrap();
    assert_eq!(
        (last.line, last.message.as_str()),
        (103, "9900 more findings in this file, from here on")
    );
}

fn script(path: &str, venues: usize) -> Result<Script, Findings> {
    let town = Town::new(venues);
    let devices: Vec<DeviceKey> = town.devices.into_iter().map(|device| device.key).collect();
    let profiles: [(&str, &[&str]); 2] = [
        ("zigbee2mqtt", &["gas_detector", "shutoff_valve"]),
        ("tasmota", &["gas_detector", "charging_port"]),
    ];
    let cast = Cast {
        devices: &devices,
        profiles: &profiles,
    };
    config::load_script(Path::new(path), &cast)
}

#[test]
fn the_example_of_a_script_can_be_played() {
    let script = script("config/incidents.toml", 3).unwrap_or_else(|findings| panic!("{findings}"));
    assert_eq!(script.incidents.len(), 5);
    let text = std::fs::read_to_string("config/incidents.toml").unwrap();
    for word in ["gas_leak", "welded", "overcharge", "offline"] {
        assert!(text.contains(&format!("\n# {word}")), "{word} is explained");
    }
}

#[test]
fn an_incident_of_a_venue_befalls_all_whom_it_can() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("script.toml");
    std::fs::write(
        &path,
        "[[incident]]\nat = '1s'\nvenue = 'v001'\nwhat = 'gas_leak'\n",
    )
    .unwrap();
    let script = script(path.to_str().unwrap(), 1).unwrap();
    let befallen: Vec<&str> = script
        .incidents
        .iter()
        .map(|incident| &*incident.device.device)
        .collect();
    assert_eq!(befallen, ["g1", "g2"]);
}

#[test]
fn a_wrong_script_gives_the_expected_findings() {
    for (name, lines) in [("invalid", 16), ("empty", 1), ("none", 1)] {
        let findings = script(&format!("tests/scripts/{name}.toml"), 3).unwrap_err();
        assert_eq!(findings.len(), lines, "{findings}");
        let expected_path = format!("tests/scripts/{name}.expected");
        let shown = format!("{findings}\n");
        if std::env::var_os("UPDATE_EXPECTED").is_some() {
            std::fs::write(&expected_path, &shown).unwrap();
        }
        assert_eq!(shown, std::fs::read_to_string(expected_path).unwrap());
    }
}
