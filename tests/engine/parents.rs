//! Who speaks through whom: by the registry, else as a profile says; what explains what by that, also after a restart.

use std::sync::Arc;

use ninewatch::domain::definitions::{DefinitionSource, Definitions};
use ninewatch::domain::device::{DeviceIndex, DeviceKey};
use ninewatch::domain::engine::{Effects, Engine};
use ninewatch::domain::journal::{self, DefinitionsInput, Input, Journal};
use ninewatch::domain::kind::{Kind, PointIndex};
use ninewatch::domain::reading::{Arrival, Reading, ReadingKind};
use ninewatch::domain::roll::Enrolled;
use ninewatch::domain::rule::RuleDef;
use ninewatch::domain::time::{Moment, Ticks, Timestamp};
use proptest::prelude::*;

use crate::bench::{START, key, rule, text};

fn bridge(id: &str) -> DeviceKey {
    DeviceKey {
        kind: "bridge".to_owned(),
        ..key(id)
    }
}

/// Silent devices, explained by an offline bridge; `b1` may stand above `g1` in the registry, or `b2`.
fn definitions(registered: Option<&str>) -> Arc<Definitions> {
    let kind = |id: &str| Kind::new(id.to_owned(), text(id), Vec::new());
    let silent = RuleDef {
        suppressed_by: vec!["bridge-offline".to_owned()],
        ..rule("silent", "!online", None)
    };
    let offline = RuleDef {
        on: vec!["bridge".to_owned()],
        ..rule("bridge-offline", "!online", None)
    };
    let devices = registered.map(|parent| Enrolled {
        key: key("g1"),
        parent: Some(bridge(parent)),
        ..Enrolled::default()
    });
    let source = DefinitionSource {
        kinds: vec![kind("gas_detector"), kind("bridge")],
        rules: vec![silent, offline],
        devices: devices.into_iter().collect(),
        ..DefinitionSource::default()
    };
    Arc::new(Definitions::compile(source).unwrap())
}

/// An engine with its journal.
struct Run {
    engine: Engine,
    sets: Vec<Arc<Definitions>>,
    saved: Vec<u8>,
    rows: Vec<(u64, Vec<u8>)>,
    now: Moment,
    log: Vec<String>,
}

impl Run {
    /// The devices are `b1`, `b2`, `g1` and `g2`, in this order.
    fn new() -> Run {
        let engine = Engine::new("test");
        let saved = engine.snapshot().unwrap();
        let mut run = Run {
            engine,
            sets: [None, Some("b1"), Some("b2")].map(definitions).into(),
            saved,
            rows: Vec::new(),
            now: Moment {
                wall: Timestamp(START),
                ticks: Ticks(0),
            },
            log: Vec::new(),
        };
        run.define(0);
        run.feed(&Input::Listening(true));
        for device in [bridge("b1"), bridge("b2"), key("g1"), key("g2")] {
            run.feed(&Input::Device(&device));
        }
        run
    }

    fn feed(&mut self, input: &Input<'_>) {
        let mut journal = Journal::default();
        let mut effects = Effects::default();
        let first = self.engine.next_input();
        journal.push(self.now, input).unwrap();
        self.engine.handle(input, self.now, &mut effects).unwrap();
        for event in &effects.alarms {
            let told = if event.notify { "" } else { " quietly" };
            self.log.push(format!(
                "{} {} {}{told}",
                event.alarm.device.device,
                event.alarm.rule.id,
                event.step.as_str()
            ));
        }
        self.rows.push((first, journal.into_bytes()));
    }

    fn define(&mut self, number: usize) {
        let definitions = Arc::clone(&self.sets[number]);
        let hash = definitions.source().stored().unwrap().1;
        self.feed(&Input::Definitions(DefinitionsInput {
            hash,
            definitions: &definitions,
        }));
    }

    fn online(&mut self, device: u32, online: bool) {
        self.now.wall.0 += 1_000;
        self.now.ticks.0 += 1_000;
        self.feed(&Input::Reading(Reading {
            device: DeviceIndex(device),
            device_at: None,
            seq: None,
            kind: ReadingKind::Live,
            arrival: Arrival::First,
            points: &[(PointIndex(0), f64::from(u8::from(online)))],
        }));
    }

    fn part_of(&mut self, device: u32, parent: &DeviceKey) {
        self.feed(&Input::PartOf {
            device: DeviceIndex(device),
            parent,
        });
    }

    fn checkpoint(&mut self) {
        self.saved = self.engine.snapshot().unwrap();
        self.rows.clear();
    }

    fn crash(&mut self) {
        let hash = |set: &Definitions| set.source().stored().unwrap().1;
        let find = |wanted: &[u8; 32]| {
            let set = self.sets.iter().find(|set| hash(set) == *wanted);
            set.cloned().ok_or_else(String::new)
        };
        self.engine = Engine::restore("test", &self.saved, find).unwrap();
        for (first, bytes) in &self.rows {
            journal::replay(&mut self.engine, *first, bytes, find).unwrap();
        }
    }

    fn seen(&mut self) -> Vec<String> {
        std::mem::take(&mut self.log)
    }
}

const B1: u32 = 0;
const B2: u32 = 1;
const G1: u32 = 2;

#[test]
fn a_bridge_that_a_profile_names_explains_what_is_behind_it() {
    for restarts in [false, true] {
        let mut run = Run::new();
        run.part_of(G1, &bridge("b1"));
        if restarts {
            run.checkpoint();
            run.crash();
        }
        run.online(B1, false);
        run.online(G1, false);
        assert_eq!(
            run.seen(),
            ["b1 bridge-offline raised", "g1 silent raised quietly"]
        );
        if restarts {
            run.crash();
        }
        run.online(B1, true);
        let seen = run.seen();
        assert_eq!(
            seen.last().map(String::as_str),
            Some("g1 silent announced"),
            "{seen:?}"
        );
    }
}

#[test]
fn who_learns_that_it_is_behind_a_bridge_that_is_gone_is_explained_from_then_on() {
    let mut run = Run::new();
    run.online(B1, false);
    run.online(G1, false);
    assert_eq!(run.seen(), ["b1 bridge-offline raised", "g1 silent raised"]);
    run.part_of(G1, &bridge("b1"));
    assert_eq!(run.seen(), ["g1 silent suppressed quietly"]);
    // It moves to another, which is well, and to one that nobody has heard of.
    run.part_of(G1, &bridge("b2"));
    assert_eq!(run.seen(), ["g1 silent announced"]);
    run.part_of(G1, &bridge("b1"));
    run.seen();
    run.part_of(G1, &bridge("nobody"));
    assert_eq!(run.seen(), ["g1 silent announced"]);
}

#[test]
fn the_registry_counts_before_the_profile() {
    let mut run = Run::new();
    run.part_of(G1, &bridge("b2"));
    run.define(1);
    run.online(B2, false);
    run.online(G1, false);
    assert_eq!(run.seen(), ["b2 bridge-offline raised", "g1 silent raised"]);
    // What the profile says counts again once the registry says nothing.
    run.define(0);
    assert_eq!(run.seen(), ["g1 silent suppressed quietly"]);
    run.define(1);
    assert_eq!(run.seen(), ["g1 silent announced"]);
    run.define(2);
    assert_eq!(run.seen(), ["g1 silent suppressed quietly"]);
}

#[test]
fn a_circle_of_parents_explains_nothing() {
    let mut run = Run::new();
    run.part_of(B1, &bridge("b2"));
    run.part_of(B2, &bridge("b1"));
    run.part_of(G1, &key("g1"));
    run.online(B1, false);
    run.online(B2, false);
    run.online(G1, false);
    assert_eq!(
        run.seen(),
        [
            "b1 bridge-offline raised",
            "b2 bridge-offline raised",
            "g1 silent raised"
        ]
    );
}

/// One step of a random run.
#[derive(Debug, Clone)]
enum Action {
    Online(u32, bool),
    PartOf(u32, u32),
    Define(usize),
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        4 => (0_u32..4, any::<bool>()).prop_map(|(device, online)| Action::Online(device, online)),
        3 => (0_u32..4, 0_u32..5).prop_map(|(device, parent)| Action::PartOf(device, parent)),
        1 => (0_usize..3).prop_map(Action::Define),
    ]
}

fn run(actions: &[Action], stops: &[usize], snapshots: &[usize]) -> Vec<String> {
    let parents = [bridge("b1"), bridge("b2"), key("g1"), key("g2"), bridge("nobody")];
    let mut run = Run::new();
    for (place, action) in actions.iter().enumerate() {
        match action {
            Action::Online(device, online) => run.online(*device, *online),
            Action::PartOf(device, parent) => run.part_of(*device, &parents[*parent as usize]),
            Action::Define(number) => run.define(*number),
        }
        if snapshots.contains(&place) {
            run.checkpoint();
        }
        if stops.contains(&place) {
            run.crash();
        }
    }
    run.log
}

proptest! {
    #[test]
    fn stop_anywhere_and_go_on_is_the_same_as_never_stopped(
        actions in prop::collection::vec(action(), 1..50),
        stops in prop::collection::vec(0_usize..50, 0..6),
        snapshots in prop::collection::vec(0_usize..50, 0..4),
    ) {
        prop_assert_eq!(run(&actions, &[], &[]), run(&actions, &stops, &snapshots));
    }
}
