//! A gas detector's kind and rules, and an engine with its clock in hand.

use std::sync::Arc;

use ninewatch::domain::alarm::{Operator, Verdict};
use ninewatch::domain::definitions::{DefinitionSource, Definitions};
use ninewatch::domain::device::{DeviceIndex, DeviceKey};
use ninewatch::domain::engine::{Effects, Engine, Refusal};
use ninewatch::domain::id::Id;
use ninewatch::domain::journal::{
    DefinitionsInput, Input, OperatorAction, OperatorInput, ServiceAction, ServiceInput,
};
use ninewatch::domain::kind::{Keep, Kind, PointDef, PointIndex, ValueType};
use ninewatch::domain::reading::{Arrival, Reading, ReadingKind};
use ninewatch::domain::rule::{Class, Priority, Repeat, RuleDef};
use ninewatch::domain::text::Text;
use ninewatch::domain::time::{ClockBounds, DeviceTime, Millis, Moment, Ticks, Timestamp};
use proptest::prelude::*;

pub(crate) const LEL: PointIndex = PointIndex(1);
pub(crate) const STATE: PointIndex = PointIndex(2);
pub(crate) const NORMAL: f64 = 0.0;
pub(crate) const WARMUP: f64 = 1.0;
pub(crate) const START: i64 = 1_767_225_600_000;

pub(crate) fn text(en: &str) -> Text {
    Text {
        zh: en.to_owned(),
        en: en.to_owned(),
    }
}

pub(crate) fn gas_kind() -> Kind {
    let lel = PointDef {
        id: "lel".to_owned(),
        value: ValueType::Number {
            unit: "%LEL".to_owned(),
            min: -20.0,
            max: 1000.0,
        },
        default: None,
        stale_after: None,
        keep: Keep::default(),
        title: text("lel"),
    };
    let state = PointDef {
        id: "state".to_owned(),
        value: ValueType::Enum {
            values: vec!["normal".to_owned(), "warmup".to_owned(), "fault".to_owned()],
        },
        default: Some(NORMAL),
        stale_after: None,
        keep: Keep::default(),
        title: text("state"),
    };
    Kind {
        faulty: Some("state == 'fault'".to_owned()),
        ..Kind::new("gas_detector".to_owned(), text("gas"), vec![lel, state])
    }
}

/// A gas detector whose concentration is unknown again after so long.
pub(crate) fn stale_gas_kind(stale_after: Millis) -> Kind {
    let mut kind = gas_kind();
    for point in &mut kind.points {
        if point.id == "lel" {
            point.stale_after = Some(stale_after);
        }
    }
    kind
}

pub(crate) fn rule(id: &str, when: &str, clear: Option<&str>) -> RuleDef {
    RuleDef {
        clear: clear.map(str::to_owned),
        ..RuleDef::new(id, "gas_detector", when)
    }
}

pub(crate) fn high() -> RuleDef {
    RuleDef {
        latch: true,
        keep_for: Millis(30_000),
        priority: Priority::Critical,
        ..rule(
            "gas-high",
            "lel >= 50.0 && state != 'warmup'",
            Some("lel < 20.0 && state != 'warmup'"),
        )
    }
}

pub(crate) fn low() -> RuleDef {
    rule("gas-low", "lel >= 25.0", Some("lel < 20.0"))
}

pub(crate) fn slow() -> RuleDef {
    RuleDef {
        hold: Millis(10_000),
        class: Class::Warning,
        ..rule("gas-slow", "lel >= 10.0", None)
    }
}

/// Raises at the third finding within a minute.
pub(crate) fn often() -> RuleDef {
    RuleDef {
        after: Some(Repeat {
            count: 3,
            within: Millis(60_000),
        }),
        ..rule("often", "lel >= 40.0", None)
    }
}

/// A warning that is told of twice a minute in one venue.
pub(crate) fn limited() -> RuleDef {
    RuleDef {
        class: Class::Warning,
        limit: Some(Repeat {
            count: 2,
            within: Millis(60_000),
        }),
        ..rule("limited", "lel >= 12.0", None)
    }
}

/// Whatever an operator may do to an alarm.
pub(crate) fn operation() -> impl Strategy<Value = OperatorAction> {
    prop_oneof![
        2 => Just(OperatorAction::Acknowledge),
        2 => Just(OperatorAction::Reset),
        2 => (50_000_u64..200_000).prop_map(|ms| OperatorAction::Shelve(Millis(ms))),
        1 => Just(OperatorAction::Unshelve),
        2 => prop::sample::select(&Verdict::ALL[..]).prop_map(OperatorAction::Verdict),
        2 => Just(OperatorAction::Close),
    ]
}

/// Whatever an operator may do to a device.
pub(crate) fn service() -> impl Strategy<Value = ServiceAction> {
    prop_oneof![
        2 => (50_000_u64..200_000).prop_map(|ms| ServiceAction::Out(Millis(ms))),
        1 => Just(ServiceAction::In),
    ]
}

/// An engine with its clock in hand.
pub(crate) struct Bench {
    pub(crate) engine: Engine,
    pub(crate) now: Moment,
    pub(crate) effects: Effects,
}

impl Bench {
    pub(crate) fn with(rules: Vec<RuleDef>) -> Bench {
        let start = Moment {
            wall: Timestamp(START),
            ticks: Ticks(1_000),
        };
        let mut bench = Bench {
            engine: Engine::new("test"),
            now: start,
            effects: Effects::default(),
        };
        bench.define(rules);
        bench.admit(&key("g1"));
        bench
    }

    /// A device is seen for the first time.
    pub(crate) fn admit(&mut self, key: &DeviceKey) -> DeviceIndex {
        self.engine
            .handle(&Input::Device(key), self.now, &mut self.effects)
            .unwrap();
        self.engine.find(key).unwrap()
    }

    pub(crate) fn define(&mut self, rules: Vec<RuleDef>) {
        self.define_on(vec![gas_kind()], rules);
    }

    pub(crate) fn define_on(&mut self, kinds: Vec<Kind>, rules: Vec<RuleDef>) {
        self.define_all(DefinitionSource {
            kinds,
            rules,
            ..DefinitionSource::default()
        });
    }

    /// Puts `source` in force, with the gas detector's kind if it has none.
    pub(crate) fn define_all(&mut self, source: DefinitionSource) {
        let mut source = source;
        if source.kinds.is_empty() {
            source.kinds.push(gas_kind());
        }
        let (_, hash) = source.stored().unwrap();
        let definitions = Arc::new(Definitions::compile(source).unwrap());
        let input = Input::Definitions(DefinitionsInput {
            hash,
            definitions: &definitions,
        });
        self.engine.handle(&input, self.now, &mut self.effects).unwrap();
    }

    pub(crate) fn wait(&mut self, ms: u64) {
        self.now.wall.0 += i64::try_from(ms).unwrap();
        self.now.ticks.0 += ms;
        if self
            .engine
            .next_deadline()
            .is_some_and(|deadline| deadline <= self.now.ticks)
        {
            self.engine
                .handle(&Input::Timeout, self.now, &mut self.effects)
                .unwrap();
        }
    }

    /// Lets so much time pass, with every deadline at its own instant.
    pub(crate) fn pass(&mut self, ms: u64) {
        let end = self.now.ticks.0 + ms;
        while let Some(at) = self.engine.next_deadline().filter(|at| at.0 <= end) {
            self.wait(at.0.saturating_sub(self.now.ticks.0));
        }
        self.wait(end - self.now.ticks.0);
    }

    pub(crate) fn read(&mut self, points: &[(PointIndex, f64)], device_at: Option<i64>, kind: ReadingKind) {
        self.feed(Reading {
            device: DeviceIndex(0),
            device_at: device_at.map(|at| device_time(at, self.now)),
            seq: None,
            kind,
            arrival: Arrival::First,
            points,
        });
    }

    /// The devices can be heard from now on, or no longer.
    pub(crate) fn listen(&mut self, up: bool) {
        self.engine
            .handle(&Input::Listening(up), self.now, &mut self.effects)
            .unwrap();
    }

    /// Throws the engine away and goes on from its snapshot.
    pub(crate) fn restart(&mut self) {
        let saved = self.engine.snapshot().unwrap();
        let definitions = Arc::clone(self.engine.definitions());
        self.engine = Engine::restore("test", &saved, |_| Ok(Arc::clone(&definitions))).unwrap();
    }

    /// A message that the broker kept for new subscribers.
    pub(crate) fn kept(&mut self, points: &[(PointIndex, f64)]) {
        self.feed(Reading {
            device: DeviceIndex(0),
            device_at: None,
            seq: None,
            kind: ReadingKind::Live,
            arrival: Arrival::Kept,
            points,
        });
    }

    pub(crate) fn feed(&mut self, reading: Reading<'_>) {
        self.engine
            .handle(&Input::Reading(reading), self.now, &mut self.effects)
            .unwrap();
    }

    pub(crate) fn lel(&mut self, lel: f64) {
        self.read(&[(LEL, lel)], None, ReadingKind::Live);
    }

    pub(crate) fn operate(&mut self, alarm: Id, action: OperatorAction) -> Result<(), Refusal> {
        let operator = Operator {
            by: "duty".to_owned(),
            note: None,
        };
        let input = OperatorInput {
            alarm,
            action,
            operator,
        };
        self.engine
            .handle(&Input::Operator(&input), self.now, &mut self.effects)
    }

    /// Takes the device `g1` out of service, or puts it back.
    pub(crate) fn serve(&mut self, action: ServiceAction) -> Result<(), Refusal> {
        let input = ServiceInput {
            device: key("g1"),
            action,
            operator: Operator {
                by: "duty".to_owned(),
                note: Some("replaced".to_owned()),
            },
        };
        self.engine
            .handle(&Input::Service(&input), self.now, &mut self.effects)
    }

    /// The id of the latest alarm of `rule` among what has happened since the last call, which it forgets.
    pub(crate) fn id_of(&mut self, rule: &str) -> Id {
        let mut events = self.effects.alarms.drain(..);
        let found = events.rfind(|event| event.alarm.rule.id == rule);
        found.expect("an alarm of the rule").alarm.id
    }

    /// What has happened since the last call, as `rule step`.
    pub(crate) fn seen(&mut self) -> Vec<String> {
        let events = self.effects.alarms.drain(..);
        events
            .map(|event| format!("{} {}", event.alarm.rule.id, event.step.as_str()))
            .collect()
    }

    /// Of what has happened since the last call, what people are told of.
    pub(crate) fn told(&mut self) -> Vec<String> {
        self.effects.alarms.retain(|event| event.notify);
        self.seen()
    }

    /// Of what has happened since the last call, what people are not told of.
    pub(crate) fn seen_untold(&mut self) -> Vec<String> {
        self.effects.alarms.retain(|event| !event.notify);
        self.seen()
    }

    pub(crate) fn raised(&mut self) -> Id {
        let id = self
            .effects
            .alarms
            .iter()
            .map(|event| event.alarm.id)
            .next_back()
            .expect("an alarm was raised");
        self.effects.alarms.clear();
        id
    }
}

/// What a device says at `now` about the time, by the usual bounds.
pub(crate) fn device_time(at: i64, now: Moment) -> DeviceTime {
    ClockBounds::default().judge(Timestamp(at), now.wall)
}

pub(crate) fn key(device: &str) -> DeviceKey {
    DeviceKey {
        venue: "v1".to_owned(),
        kind: "gas_detector".to_owned(),
        device: device.to_owned(),
    }
}
