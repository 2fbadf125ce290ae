//! The shipped gas rules: what each set point raises, and what ends nothing.

use std::path::Path;
use std::sync::Arc;

use ninewatch::config;
use ninewatch::domain::definitions::Definitions;
use ninewatch::domain::device::DeviceIndex;
use ninewatch::domain::engine::{Effects, Engine};
use ninewatch::domain::journal::{DefinitionsInput, Input};
use ninewatch::domain::kind::{PointIndex, ValueType};
use ninewatch::domain::reading::{Arrival, Reading, ReadingKind};
use ninewatch::domain::time::{Moment, Ticks, Timestamp};

use crate::bench::key;

/// A site that says nothing of files gets the shipped kinds and rules.
const SITE: &str = "[gateway]\nid = \"t\"\ndata_dir = \"d\"\n[mqtt]\nurl = \"embedded\"\n[http]\nlisten = \"127.0.0.1:0\"\nauth = \"none\"\n";

struct Detector {
    engine: Engine,
    definitions: Arc<Definitions>,
    effects: Effects,
    now: Moment,
}

impl Detector {
    fn new() -> Detector {
        let settings = config::load_str("site", SITE, Path::new(".")).unwrap();
        let definitions = Arc::new(settings.definitions);
        let mut detector = Detector {
            engine: Engine::new("t"),
            definitions: Arc::clone(&definitions),
            effects: Effects::default(),
            now: Moment {
                wall: Timestamp(1_767_225_600_000),
                ticks: Ticks(0),
            },
        };
        let input = DefinitionsInput {
            hash: [1; 32],
            definitions: &definitions,
        };
        detector.feed(&Input::Definitions(input));
        detector.feed(&Input::Device(&key("g1")));
        detector
    }

    fn feed(&mut self, input: &Input<'_>) {
        self.engine.handle(input, self.now, &mut self.effects).unwrap();
    }

    fn point(&self, name: &str) -> PointIndex {
        let kind = self
            .definitions
            .kinds()
            .find(|kind| kind.kind.id == "gas_detector")
            .unwrap();
        kind.kind.point(name).unwrap().0
    }

    /// Reports `lel` and `state` twice, a minute and a half apart, so that every delay has passed; what happened.
    fn reports(&mut self, lel: f64, state: &str) -> Vec<String> {
        let kind = self
            .definitions
            .kinds()
            .find(|kind| kind.kind.id == "gas_detector")
            .unwrap();
        let (index, point) = kind.kind.point("state").unwrap();
        let ValueType::Enum { values } = &point.value else {
            panic!("state is an enum")
        };
        let word = values.iter().position(|value| value == state).unwrap();
        let points = [(self.point("lel"), lel), (index, word as f64)];
        for _ in 0..2 {
            let reading = Reading {
                device: DeviceIndex(0),
                device_at: None,
                seq: None,
                kind: ReadingKind::Live,
                arrival: Arrival::First,
                points: &points,
            };
            self.feed(&Input::Reading(reading));
            self.now.wall.0 += 90_000;
            self.now.ticks.0 += 90_000;
            self.feed(&Input::Timeout);
        }
        let events = self.effects.alarms.drain(..);
        events
            .map(|event| format!("{} {}", event.alarm.rule.id, event.step.as_str()))
            .collect()
    }
}

#[test]
fn each_set_point_raises_its_alarm_the_most_urgent_first() {
    for (lel, raised) in [
        (9.9, &[][..]),
        (10.0, &["gas-pre raised"][..]),
        (
            25.0,
            &[
                "gas-low raised",
                "gas-pre raised",
                "gas-low-held raised",
                "gas-low suppressed",
            ],
        ),
        (
            50.0,
            &[
                "gas-high raised",
                "gas-low raised",
                "gas-pre raised",
                "gas-low-held raised",
                "gas-low suppressed",
            ],
        ),
    ] {
        assert_eq!(Detector::new().reports(lel, "normal"), raised, "{lel} %LEL");
    }
}

#[test]
fn a_detector_that_warms_up_raises_nothing() {
    assert!(Detector::new().reports(80.0, "warmup").is_empty());
}

#[test]
fn a_detector_that_warms_up_or_is_broken_does_not_say_that_the_gas_is_gone() {
    for state in ["warmup", "fault"] {
        let mut detector = Detector::new();
        detector.reports(60.0, "normal");
        let seen = detector.reports(0.0, state);
        assert!(
            !seen
                .iter()
                .any(|step| step.starts_with("gas-high") || step.starts_with("gas-low")),
            "{seen:?}"
        );
        let seen = detector.reports(0.0, "normal");
        assert!(seen.contains(&"gas-high recovered".to_owned()), "{seen:?}");
    }
}

#[test]
fn a_broken_and_an_aged_detector_are_told_of() {
    assert_eq!(Detector::new().reports(0.0, "fault"), ["gas-sensor-fault raised"]);
    assert_eq!(
        Detector::new().reports(0.0, "end_of_life"),
        ["gas-end-of-life raised"]
    );
}
