//! Rules on venues: what the devices tell, counted.

use std::collections::BTreeMap;
use std::sync::Arc;

use ninewatch::domain::definitions::{DefinitionSource, Definitions};
use ninewatch::domain::device::DeviceKey;
use ninewatch::domain::engine::{Effects, Engine};
use ninewatch::domain::journal::{DefinitionsInput, Input};
use ninewatch::domain::kind::{Keep, Kind, PointDef, PointIndex, ValueType};
use ninewatch::domain::notice::AlarmBody;
use ninewatch::domain::reading::{Arrival, Reading, ReadingKind};
use ninewatch::domain::registry::Registry;
use ninewatch::domain::rule::{Repeat, RuleDef};
use ninewatch::domain::time::{DeviceTime, Millis, Moment, Ticks, Timestamp};
use proptest::prelude::*;

use crate::bench::{START, gas_kind, text};

pub(crate) const GAS: &str = "gas_detector";
const VALVE: &str = "shutoff_valve";
pub(crate) const LEL: PointIndex = PointIndex(1);
const POSITION: PointIndex = PointIndex(1);
const OPEN: f64 = 1.0;
const CLOSED: f64 = 0.0;

/// A rule on venues that never counts as chattering.
pub(crate) fn venue_rule(id: &str, when: &str) -> RuleDef {
    RuleDef {
        chatter: Repeat {
            count: 16,
            within: Millis(1),
        },
        ..RuleDef::new(id, "venue", when)
    }
}

fn valve_kind() -> Kind {
    let position = PointDef {
        id: "position".to_owned(),
        value: ValueType::Enum {
            values: ["closed", "open"].map(str::to_owned).to_vec(),
        },
        default: None,
        stale_after: None,
        keep: Keep::default(),
        title: text("position"),
    };
    Kind::new(VALVE.to_owned(), text("valve"), vec![position])
}

/// An engine with several venues.
pub(crate) struct Town {
    pub(crate) engine: Engine,
    pub(crate) now: Moment,
    pub(crate) effects: Effects,
    definitions: Arc<Definitions>,
}

impl Town {
    pub(crate) fn with(rules: Vec<RuleDef>) -> Town {
        let mut town = Town {
            engine: Engine::new("test"),
            now: Moment {
                wall: Timestamp(START),
                ticks: Ticks(1_000),
            },
            effects: Effects::default(),
            definitions: Arc::default(),
        };
        town.define(rules);
        town
    }

    pub(crate) fn define(&mut self, rules: Vec<RuleDef>) {
        let source = DefinitionSource {
            kinds: vec![gas_kind(), valve_kind()],
            rules,
            ..DefinitionSource::default()
        };
        let (_, hash) = source.stored().unwrap();
        self.definitions = Arc::new(Definitions::compile(source).unwrap());
        let definitions = Arc::clone(&self.definitions);
        self.handle(&Input::Definitions(DefinitionsInput {
            hash,
            definitions: &definitions,
        }));
    }

    pub(crate) fn handle(&mut self, input: &Input<'_>) {
        self.engine.handle(input, self.now, &mut self.effects).unwrap();
    }

    pub(crate) fn restart(&mut self) {
        let saved = self.engine.snapshot().unwrap();
        let definitions = Arc::clone(&self.definitions);
        self.engine = Engine::restore("test", &saved, |_| Ok(Arc::clone(&definitions))).unwrap();
    }

    /// `venue/kind/device` says a value.
    pub(crate) fn say(&mut self, device: &str, point: PointIndex, value: f64) {
        self.say_at(device, (point, value), None);
    }

    /// The same, with the time of its own.
    pub(crate) fn say_at(&mut self, device: &str, point: (PointIndex, f64), at: Option<DeviceTime>) {
        let mut parts = device.split('/').map(str::to_owned);
        let key = DeviceKey {
            venue: parts.next().unwrap(),
            kind: parts.next().unwrap(),
            device: parts.next().unwrap(),
        };
        self.handle(&Input::Device(&key));
        let reading = Reading {
            device: self.engine.find(&key).unwrap(),
            seq: None,
            device_at: at,
            kind: ReadingKind::Live,
            arrival: Arrival::First,
            points: &[point],
        };
        self.handle(&Input::Reading(reading));
    }

    pub(crate) fn lel(&mut self, device: &str, lel: f64) {
        self.say(&format!("v1/{GAS}/{device}"), LEL, lel);
    }

    fn valve(&mut self, device: &str, position: f64) {
        self.say(&format!("v1/{VALVE}/{device}"), POSITION, position);
    }

    pub(crate) fn wait(&mut self, ms: u64) {
        self.now.wall.0 += i64::try_from(ms).unwrap();
        self.now.ticks.0 += ms;
        self.handle(&Input::Timeout);
    }

    /// What has happened since the last call, as `rule subject step`.
    pub(crate) fn seen(&mut self) -> Vec<String> {
        let events = self.effects.alarms.drain(..);
        events
            .map(|event| {
                let key = &event.alarm.device;
                let subject = if key.device.is_empty() {
                    &key.venue
                } else {
                    &key.device
                };
                format!("{} {subject} {}", event.alarm.rule.id, event.step.as_str())
            })
            .collect()
    }
}

#[test]
fn two_of_n_confirm_each_other() {
    let mut town = Town::with(vec![venue_rule(
        "two",
        "gas_detector.filter(d, d.lel >= 25.0).size() >= 2",
    )]);
    town.lel("g1", 30.0);
    town.lel("g2", 3.0);
    town.lel("g3", 3.0);
    assert!(town.seen().is_empty(), "one alone");
    town.say("v2/gas_detector/g1", LEL, 40.0);
    assert!(town.seen().is_empty(), "another venue");
    town.lel("g1", 31.0);
    assert!(town.seen().is_empty(), "the same one again");
    town.lel("g3", 25.0);
    assert_eq!(town.seen(), ["two v1 raised"]);
    town.lel("g2", 25.0);
    town.lel("g1", 1.0);
    assert!(town.seen().is_empty(), "two are left");
    town.lel("g3", 1.0);
    assert_eq!(town.seen(), ["two v1 recovered", "two v1 cleared"]);
}

#[test]
fn kinds_are_asked_together() {
    let mut town = Town::with(vec![venue_rule(
        "gas-open",
        "gas_detector.exists(d, d.lel >= 25.0) && shutoff_valve.exists(v, v.position == 'open')",
    )]);
    town.lel("g1", 30.0);
    town.valve("k1", CLOSED);
    assert!(town.seen().is_empty());
    town.valve("k2", OPEN);
    assert_eq!(town.seen(), ["gas-open v1 raised"]);
    town.valve("k2", CLOSED);
    assert_eq!(town.seen(), ["gas-open v1 recovered", "gas-open v1 cleared"]);
}

#[test]
fn what_is_unknown_of_a_device_is_unknown_of_the_venue() {
    let unknown = |town: &mut Town| town.say(&format!("v1/{GAS}/g9"), PointIndex(2), 0.0);
    let mut town = Town::with(vec![
        venue_rule("all", "gas_detector.all(d, d.lel >= 25.0)"),
        venue_rule("one", "gas_detector.exists_one(d, d.lel >= 25.0)"),
        venue_rule("none", "!gas_detector.exists(d, d.lel >= 25.0)"),
    ]);
    // A detector that has said nothing of gas: neither all, nor one, nor none is known.
    unknown(&mut town);
    assert!(town.seen().is_empty());
    town.lel("g1", 30.0);
    assert!(town.seen().is_empty(), "it may be two");
    town.lel("g9", 1.0);
    assert_eq!(town.seen(), ["one v1 raised"]);
    town.lel("g9", 30.0);
    assert_eq!(
        town.seen(),
        ["all v1 raised", "one v1 recovered", "one v1 cleared"]
    );
    // Known unknowns end nothing either.
    town.say(&format!("v1/{GAS}/g8"), PointIndex(2), 0.0);
    assert!(town.seen().is_empty());
    town.lel("g8", 1.0);
    assert_eq!(town.seen(), ["all v1 recovered", "all v1 cleared"]);
}

#[test]
fn every_device_of_a_venue_counts_with_what_all_kinds_have() {
    let mut town = Town::with(vec![
        venue_rule("dark", "devices.all(d, !d.online) && devices.size() >= 2"),
        venue_rule("many", "gas_detector.size() > 1"),
    ]);
    town.lel("g1", 1.0);
    town.valve("k1", OPEN);
    assert!(town.seen().is_empty());
    let gone = PointIndex(0);
    town.say("v1/gas_detector/g1", gone, 0.0);
    assert!(town.seen().is_empty());
    town.say("v1/shutoff_valve/k1", gone, 0.0);
    assert_eq!(town.seen(), ["dark v1 raised"]);
    town.lel("g1", 1.0);
    assert_eq!(town.seen(), ["dark v1 recovered", "dark v1 cleared"]);
    town.lel("g2", 1.0);
    assert_eq!(town.seen(), ["many v1 raised"]);
}

#[test]
fn delays_of_a_venue_run_on_the_evidence_of_its_devices() {
    let mut town = Town::with(vec![
        RuleDef {
            hold: Millis(60_000),
            max_gap: Millis(20_000),
            ..venue_rule("slow", "gas_detector.exists(d, d.lel >= 25.0)")
        },
        venue_rule("long", "held('2m', gas_detector.exists(d, d.lel >= 25.0))"),
    ]);
    town.lel("g1", 30.0);
    for _ in 0..3 {
        town.wait(19_000);
        assert!(town.seen().is_empty());
        town.lel("g1", 30.0);
    }
    town.wait(3_000);
    assert_eq!(town.seen(), ["slow v1 raised"]);
    town.restart();
    town.wait(60_000);
    assert_eq!(town.seen(), ["long v1 raised"]);
    town.lel("g1", 1.0);
    assert_eq!(
        town.seen(),
        [
            "slow v1 recovered",
            "slow v1 cleared",
            "long v1 recovered",
            "long v1 cleared"
        ]
    );
    town.lel("g1", 30.0);
    town.wait(60_000);
    assert!(town.seen().is_empty(), "the evidence is a minute old");
    town.lel("g1", 30.0);
    assert_eq!(town.seen(), ["slow v1 raised"]);
}

#[test]
fn values_over_time_are_those_of_each_device() {
    let mut town = Town::with(vec![
        venue_rule("rising", "gas_detector.exists(d, rate(d.lel, '10s') >= 1.0)"),
        venue_rule("silent", "devices.all(d, age(d) >= '5m')"),
    ]);
    town.handle(&Input::Listening(true));
    for lel in [0.0, 20.0, 40.0] {
        town.lel("g1", lel);
        town.lel("g2", 40.0);
        town.wait(5_000);
    }
    assert_eq!(town.seen(), ["rising v1 raised"]);
    town.wait(295_000);
    assert_eq!(town.seen(), ["silent v1 raised"]);
}

#[test]
fn a_venues_alarm_shows_its_counts_and_no_device() {
    let mut town = Town::with(vec![venue_rule(
        "two",
        "gas_detector.filter(d, d.lel >= 25.0).size() >= 2",
    )]);
    for device in ["g1", "g2", "g3"] {
        town.lel(device, 30.0);
    }
    let event = &town.effects.alarms[0];
    assert_eq!(
        event.alarm.values,
        [(
            "gas_detector.filter(d, d.lel >= 25.0).size()".to_owned(),
            serde_json::json!(2.0)
        )]
    );
    let registry = Registry::default();
    let body = AlarmBody::new(&event.alarm, &registry);
    let body = serde_json::to_value(&body).unwrap();
    assert_eq!(body["device"], serde_json::Value::Null);
    assert_eq!(body["venue"]["id"], "v1");
    assert_eq!(town.engine.device_count(), 3, "a venue is no device");
}

#[test]
fn only_answers_that_change_reach_the_venue() {
    let mut town = Town::with(vec![venue_rule(
        "two",
        "gas_detector.filter(d, d.lel >= 25.0).size() >= 2",
    )]);
    for device in 0..500 {
        town.lel(&format!("g{device}"), 3.0);
    }
    town.effects.evaluations = 0;
    for device in 0..500 {
        town.lel(&format!("g{device}"), 4.0);
    }
    assert_eq!(town.effects.evaluations, 0, "nobody's answer changed");
    town.lel("g7", 30.0);
    assert_eq!(town.effects.evaluations, 0, "one is not two");
    town.lel("g8", 30.0);
    assert_eq!(
        town.effects.evaluations, 1,
        "one rule, once, with 500 devices as with two"
    );
}

#[test]
fn an_alarm_of_the_venue_explains_those_of_its_devices() {
    let silent = |length: &str| format!("age() >= '{length}'");
    let rules = || {
        vec![
            venue_rule("dark", "devices.all(d, age(d) >= '4m')"),
            RuleDef {
                suppressed_by: vec!["dark".to_owned()],
                ..RuleDef::new("silent", GAS, &silent("5m"))
            },
        ]
    };
    let told = |town: &mut Town| {
        town.effects.alarms.retain(|event| event.notify);
        town.seen()
    };
    for jump in [60_000, 86_400_000] {
        let mut town = Town::with(rules());
        town.handle(&Input::Listening(true));
        for device in ["g1", "g2", "g3"] {
            town.lel(device, 1.0);
        }
        town.say("v2/gas_detector/g4", LEL, 1.0);
        town.wait(120_000);
        town.say("v2/gas_detector/g5", LEL, 1.0);
        town.wait(jump);
        town.wait(jump);
        town.wait(jump);
        assert_eq!(
            told(&mut town)[..1],
            ["dark v1 raised"],
            "one message for three devices; in the other venue one still speaks"
        );
        assert!(town.engine.standing_count() >= 4);
        town.restart();
        // The first that speaks again ends the venue's silence; the others are told of by themselves.
        town.lel("g1", 1.0);
        assert_eq!(
            told(&mut town),
            [
                "dark v1 recovered",
                "dark v1 cleared",
                "silent g2 announced",
                "silent g3 announced"
            ]
        );
        town.define(rules());
        assert!(town.seen().is_empty());
    }
}

#[test]
fn a_changed_rule_of_a_venue_explains_at_once_and_a_removed_one_no_longer() {
    let by = |name: &str| RuleDef {
        suppressed_by: vec![name.to_owned()],
        ..RuleDef::new("high", GAS, "lel >= 50.0")
    };
    let two = || venue_rule("two", "gas_detector.filter(d, d.lel >= 40.0).size() >= 2");
    let mut town = Town::with(vec![RuleDef::new("high", GAS, "lel >= 50.0")]);
    town.lel("g1", 60.0);
    town.lel("g2", 45.0);
    assert_eq!(town.seen(), ["high g1 raised"]);
    town.define(vec![two(), by("two")]);
    assert_eq!(town.seen(), ["two v1 raised", "high g1 suppressed"]);
    town.define(vec![RuleDef::new("high", GAS, "lel >= 50.0")]);
    assert_eq!(town.seen(), ["two v1 cleared", "high g1 announced"]);
}

#[derive(Debug, Clone)]
enum Act {
    Gas(u8, u8, u8),
    Valve(u8, u8, bool),
    Restart,
    Redefine(bool),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        12 => (0_u8..2, 0_u8..4, 0_u8..60).prop_map(|(venue, device, lel)| Act::Gas(venue, device, lel)),
        4 => (0_u8..2, 0_u8..3, any::<bool>()).prop_map(|(venue, device, open)| Act::Valve(venue, device, open)),
        1 => Just(Act::Restart),
        1 => any::<bool>().prop_map(Act::Redefine),
    ]
}

proptest! {
    #[test]
    fn counts_are_those_of_a_census(acts in prop::collection::vec(act(), 1..80)) {
        let rules = || vec![
            venue_rule("two", "gas_detector.filter(d, d.lel >= 25.0).size() >= 2"),
            venue_rule("all", "gas_detector.all(d, d.lel >= 10.0) && gas_detector.size() > 2"),
            venue_rule("one", "shutoff_valve.exists_one(v, v.position == 'open')"),
            venue_rule("open", "gas_detector.exists(d, d.lel >= 50.0) && !shutoff_valve.exists(v, v.position == 'closed')"),
        ];
        let mut town = Town::with(rules());
        let mut standing: Vec<String> = Vec::new();
        let mut gas: BTreeMap<(u8, u8), u8> = BTreeMap::new();
        let mut valves: BTreeMap<(u8, u8), bool> = BTreeMap::new();
        for act in acts {
            town.wait(1_000);
            match act {
                Act::Gas(venue, device, lel) => {
                    gas.insert((venue, device), lel);
                    town.say(&format!("v{venue}/{GAS}/g{device}"), LEL, f64::from(lel));
                }
                Act::Valve(venue, device, open) => {
                    valves.insert((venue, device), open);
                    let position = if open { OPEN } else { CLOSED };
                    town.say(&format!("v{venue}/{VALVE}/k{device}"), POSITION, position);
                }
                Act::Restart => town.restart(),
                Act::Redefine(more) => {
                    let mut rules = rules();
                    if more {
                        rules.insert(0, venue_rule("more", "gas_detector.filter(d, d.lel >= 99.0).size() > 90"));
                    }
                    town.define(rules);
                }
            }
            for event in town.seen() {
                if let Some(subject) = event.strip_suffix(" raised") {
                    standing.push(subject.to_owned());
                } else if let Some(subject) = event.strip_suffix(" cleared") {
                    standing.retain(|known| known != subject);
                }
            }
            let mut expected = Vec::new();
            for venue in 0..2 {
                let lels: Vec<u8> = gas.iter().filter(|((of, _), _)| *of == venue).map(|(_, lel)| *lel).collect();
                let open: Vec<bool> = valves.iter().filter(|((of, _), _)| *of == venue).map(|(_, open)| *open).collect();
                let present = !lels.is_empty() || !open.is_empty();
                for (id, holds) in [
                    ("two", lels.iter().filter(|lel| **lel >= 25).count() >= 2),
                    ("all", lels.len() > 2 && lels.iter().all(|lel| *lel >= 10)),
                    ("one", open.iter().filter(|open| **open).count() == 1),
                    ("open", lels.iter().any(|lel| *lel >= 50) && open.iter().all(|open| *open)),
                ] {
                    if present && holds {
                        expected.push(format!("{id} v{venue}"));
                    }
                }
            }
            expected.sort();
            standing.sort();
            prop_assert_eq!(&standing, &expected);
        }
    }
}
