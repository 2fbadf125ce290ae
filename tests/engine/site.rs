//! A venue with gas detectors, shutoff valves and charging ports whose alarms command something, and an engine to watch over it.

use std::sync::Arc;

use ninewatch::domain::alarm::Operator;
use ninewatch::domain::almanac::VenueFacts;
use ninewatch::domain::definitions::{DefinitionSource, Definitions};
use ninewatch::domain::device::{DeviceIndex, DeviceKey};
use ninewatch::domain::engine::{Effects, Engine, Refusal};
use ninewatch::domain::id::Id;
use ninewatch::domain::interlock::{ActionDef, CommandDef, DEFAULT_MAX_AGE, Report};
use ninewatch::domain::journal::{
    CommandInput, Commanded, DefinitionsInput, Input, ServiceAction, ServiceInput,
};
use ninewatch::domain::kind::{Keep, Kind, PointDef, PointIndex, ValueType};
use ninewatch::domain::reading::{Arrival, Reading, ReadingKind};
use ninewatch::domain::roll::Enrolled;
use ninewatch::domain::rule::RuleDef;
use ninewatch::domain::schedule::{DEFAULT_TIME_ZONE, Day, Hours, Interval, OnHolidays};
use ninewatch::domain::time::{ClockBounds, Millis, Moment, Ticks, Timestamp};

use crate::bench::{LEL, START, gas_kind, text};

/// The valve's position.
pub(crate) const POSITION: PointIndex = PointIndex(1);
/// Its battery.
pub(crate) const BATTERY: PointIndex = PointIndex(2);
pub(crate) const OPEN: f64 = 0.0;
pub(crate) const CLOSED: f64 = 1.0;

fn point(id: &str, value: ValueType) -> PointDef {
    PointDef {
        id: id.to_owned(),
        value,
        default: None,
        stale_after: None,
        keep: Keep::default(),
        title: text(id),
    }
}

fn command(id: &str, verify: &str, opens: bool) -> CommandDef {
    CommandDef {
        id: id.to_owned(),
        title: text(id),
        verify: verify.to_owned(),
        unless: None,
        within: Millis(10_000),
        attempts: 3,
        opens,
    }
}

pub(crate) fn valve_kind() -> Kind {
    let position = ValueType::Enum {
        values: ["open", "closed", "moving"].map(str::to_owned).to_vec(),
    };
    let battery = ValueType::Number {
        unit: "%".to_owned(),
        min: 0.0,
        max: 100.0,
    };
    Kind {
        commands: vec![
            command("close", "position == 'closed'", false),
            command("open", "position == 'open'", true),
        ],
        ..Kind::new(
            "shutoff_valve".to_owned(),
            text("valve"),
            vec![point("position", position), point("battery", battery)],
        )
    }
}

/// Orders `command` of every device of the kind `to` in the venue; of the alarm's own device without it.
pub(crate) fn action(command: &str, to: Option<&str>) -> ActionDef {
    ActionDef {
        command: command.to_owned(),
        to: to.map(str::to_owned),
        verify: None,
        within: None,
        attempts: None,
        max_age: DEFAULT_MAX_AGE,
    }
}

/// Gas closes the valves.
pub(crate) fn gas_closes() -> RuleDef {
    RuleDef {
        clear: Some("lel < 20.0".to_owned()),
        then: vec![action("close", Some("shutoff_valve"))],
        ..RuleDef::new("gas-high", "gas_detector", "lel >= 50.0")
    }
}

/// Whoever failed a command.
pub(crate) fn close_failed() -> RuleDef {
    RuleDef::new("close-failed", "shutoff_valve", "command_failed()")
}

/// An engine over the venue `v1`, with its clock in hand.
pub(crate) struct Site {
    pub(crate) engine: Engine,
    pub(crate) now: Moment,
    pub(crate) effects: Effects,
    /// The ids of the attempts, in order.
    pub(crate) attempts: Vec<Id>,
}

impl Site {
    /// With the usual rules, a detector `g1` and a valve `s1`.
    pub(crate) fn new() -> Site {
        let mut site = Site::with(vec![gas_closes(), close_failed()], false);
        site.admit("gas_detector", "g1");
        site.admit("shutoff_valve", "s1");
        site
    }

    /// With these rules and no device. `confirms`: the venue waits for a second signal.
    pub(crate) fn with(rules: Vec<RuleDef>, confirms: bool) -> Site {
        let mut site = Site {
            engine: Engine::new("test"),
            now: Moment {
                wall: Timestamp(START),
                ticks: Ticks(1_000),
            },
            effects: Effects::default(),
            attempts: Vec::new(),
        };
        site.define(rules, confirms);
        site.handle(&Input::Listening(true)).unwrap();
        site
    }

    /// With valves of this kind.
    pub(crate) fn with_valve(kind: Kind, rules: Vec<RuleDef>) -> Site {
        let mut site = Site::with(Vec::new(), false);
        let mut source = source(rules, false);
        source.kinds = vec![gas_kind(), kind];
        site.put_in_force(source);
        site
    }

    /// The kind of the valves is gone from the configuration.
    pub(crate) fn forget_valves(&mut self) {
        let mut source = source(Vec::new(), false);
        source.kinds = vec![gas_kind()];
        self.put_in_force(source);
    }

    pub(crate) fn define(&mut self, rules: Vec<RuleDef>, confirms: bool) {
        self.put_in_force(source(rules, confirms));
    }

    /// The valve is taken out of use.
    pub(crate) fn retire(&mut self, device: &str) {
        let mut source = source(vec![gas_closes(), close_failed()], false);
        source.devices.push(Enrolled {
            key: key("shutoff_valve", device),
            retired: true,
            ..Enrolled::default()
        });
        self.put_in_force(source);
    }

    fn put_in_force(&mut self, source: DefinitionSource) {
        let (_, hash) = source.stored().unwrap();
        let definitions = Arc::new(Definitions::compile(source).unwrap());
        let input = Input::Definitions(DefinitionsInput {
            hash,
            definitions: &definitions,
        });
        self.handle(&input).unwrap();
    }

    pub(crate) fn handle(&mut self, input: &Input<'_>) -> Result<(), Refusal> {
        self.engine.handle(input, self.now, &mut self.effects)
    }

    pub(crate) fn admit(&mut self, kind: &str, device: &str) -> DeviceIndex {
        let key = key(kind, device);
        self.handle(&Input::Device(&key)).unwrap();
        self.engine.find(&key).unwrap()
    }

    /// Lets so much time pass, with every deadline at its own instant.
    pub(crate) fn pass(&mut self, ms: u64) {
        let end = self.now.ticks.0 + ms;
        while let Some(at) = self.engine.next_deadline().filter(|at| at.0 <= end) {
            self.wait(at.0.saturating_sub(self.now.ticks.0));
            self.handle(&Input::Timeout).unwrap();
        }
        self.wait(end - self.now.ticks.0);
    }

    fn wait(&mut self, ms: u64) {
        self.now.wall.0 += i64::try_from(ms).unwrap();
        self.now.ticks.0 += ms;
    }

    pub(crate) fn gas(&mut self, device: &str, lel: f64) {
        self.say("gas_detector", device, &[(LEL, lel)]);
    }

    pub(crate) fn valve(&mut self, device: &str, position: f64) {
        self.say("shutoff_valve", device, &[(POSITION, position)]);
    }

    pub(crate) fn say(&mut self, kind: &str, device: &str, points: &[(PointIndex, f64)]) {
        let device = self.engine.find(&key(kind, device)).unwrap();
        self.feed(Reading {
            device,
            device_at: None,
            seq: None,
            kind: ReadingKind::Live,
            arrival: Arrival::First,
            points,
        });
    }

    pub(crate) fn feed(&mut self, reading: Reading<'_>) {
        self.handle(&Input::Reading(reading)).unwrap();
    }

    /// A sample of `g1` taken so long ago.
    pub(crate) fn old_gas(&mut self, lel: f64, age_ms: i64) {
        let at = Timestamp(self.now.wall.0 - age_ms);
        let device = self.engine.find(&key("gas_detector", "g1")).unwrap();
        self.feed(Reading {
            device,
            device_at: Some(ClockBounds::default().judge(at, self.now.wall)),
            seq: None,
            kind: ReadingKind::Live,
            arrival: Arrival::First,
            points: &[(LEL, lel)],
        });
    }

    /// Something came back of the order under way for the valve `s1`.
    pub(crate) fn report(&mut self, report: Report) {
        let device = self.engine.find(&key("shutoff_valve", "s1")).unwrap();
        let commanded = Commanded {
            device,
            order: None,
            report,
        };
        self.handle(&Input::Commanded(commanded)).unwrap();
    }

    pub(crate) fn command(&mut self, command: &str, remote_open: bool) -> Result<(), Refusal> {
        let input = CommandInput {
            device: key("shutoff_valve", "s1"),
            command: command.to_owned(),
            remote_open,
            operator: operator(),
        };
        self.handle(&Input::Command(&input))
    }

    pub(crate) fn out_of_service(&mut self, device: &str) {
        let input = ServiceInput {
            device: key("gas_detector", device),
            action: ServiceAction::Out(Millis(600_000)),
            operator: operator(),
        };
        self.handle(&Input::Service(&input)).unwrap();
    }

    /// Throws the engine away and goes on from its snapshot.
    pub(crate) fn restart(&mut self) {
        let saved = self.engine.snapshot().unwrap();
        let definitions = Arc::clone(self.engine.definitions());
        self.engine = Engine::restore("test", &saved, |_| Ok(Arc::clone(&definitions))).unwrap();
    }

    /// What was to be sent since the last call, as `device command attempt`.
    pub(crate) fn sent(&mut self) -> Vec<String> {
        let attempts = self.effects.attempts.drain(..);
        attempts
            .map(|attempt| {
                self.attempts.push(attempt.id);
                format!("{} {} {}", attempt.key.device, attempt.command, attempt.attempt)
            })
            .collect()
    }

    /// What happened to orders since the last call, as `device command step`; with `!` what people are told of.
    pub(crate) fn steps(&mut self) -> Vec<String> {
        let events = self.effects.commands.drain(..);
        events
            .map(|event| {
                let step = event.step.event_type().trim_start_matches("command.");
                let told = if event.notify { "!" } else { "" };
                format!(
                    "{} {} {step}{told}",
                    event.order.device.device, event.order.command
                )
            })
            .collect()
    }

    /// What happened to alarms since the last call, as `rule step`.
    pub(crate) fn alarms(&mut self) -> Vec<String> {
        let events = self.effects.alarms.drain(..);
        events
            .map(|event| format!("{} {}", event.alarm.rule.id, event.step.as_str()))
            .collect()
    }
}

fn source(rules: Vec<RuleDef>, confirms: bool) -> DefinitionSource {
    DefinitionSource {
        kinds: vec![gas_kind(), valve_kind()],
        rules,
        devices: vec![Enrolled {
            key: key("shutoff_valve", "tried"),
            exercise: Some(Millis(10 * 86_400_000)),
            ..Enrolled::default()
        }],
        venues: vec![VenueFacts {
            venue: "v1".to_owned(),
            time_zone: DEFAULT_TIME_ZONE.to_owned(),
            // From ten to eight in the evening.
            hours: Some(Hours {
                time_zone: DEFAULT_TIME_ZONE.to_owned(),
                weekly: vec![Interval {
                    days: Day::ALL.to_vec(),
                    from: 600,
                    to: 1_200,
                }],
                holidays: Vec::new(),
                on_holidays: OnHolidays::Never,
            }),
            expiries: Vec::new(),
            confirms,
        }],
        ..DefinitionSource::default()
    }
}

fn operator() -> Operator {
    Operator {
        by: "duty".to_owned(),
        note: None,
    }
}

pub(crate) fn key(kind: &str, device: &str) -> DeviceKey {
    DeviceKey {
        venue: "v1".to_owned(),
        kind: kind.to_owned(),
        device: device.to_owned(),
    }
}
