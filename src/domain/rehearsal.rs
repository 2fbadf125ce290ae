//! Unit tests of rules: readings and operators' acts at simulated instants go through the engine itself, and what
//! stands and what happened is compared with what was expected. Reads no file and no clock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::alarm::{AlarmEvent, AlarmStep, Operator};
use super::definitions::{Definitions, DefinitionsHash};
use super::device::{DeviceIndex, DeviceKey};
use super::engine::{Effects, Engine, Refusal};
use super::id::Id;
use super::interlock::{CommandEvent, Report};
use super::journal::{
    CommandInput, Commanded, DefinitionsInput, Input, OperatorAction, OperatorInput, ServiceAction,
    ServiceInput,
};
use super::kind::{PointIndex, VENUE};
use super::reading::{Arrival, Reading, ReadingKind};
use super::time::{ClockBounds, Moment, Ticks, Timestamp};

/// The venue of a device that is written without one; it is not shown either.
pub const USUAL_VENUE: &str = "v1";

/// What the gateway is called in tests.
pub const GATEWAY: &str = "gateway";

/// One test: what happens when, and what is expected of it.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleTest {
    /// What it shows.
    pub name: String,
    /// The wall clock at its first instant.
    pub start: Timestamp,
    /// What happens, in order of time.
    pub steps: Vec<Step>,
    /// What is expected, in order of time.
    pub expectations: Vec<Expectation>,
}

/// Something that happens.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// When, from the start.
    pub at: Ticks,
    /// To which device.
    pub device: DeviceKey,
    /// What.
    pub act: Act,
}

/// What can happen to a device.
#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    /// It sends a message.
    Read(Sample),
    /// The gateway gains or loses its connection to the broker.
    Broker(bool),
    /// The gateway knows something else of itself: these points, as slot values.
    Own(Vec<(PointIndex, f64)>),
    /// An operator acts on one of its alarms.
    Operate {
        /// The alarm's rule.
        rule: String,
        /// What they ask for.
        action: OperatorAction,
        /// Whether this should be refused.
        refused: bool,
    },
    /// An operator takes it out of service, or puts it back.
    Serve {
        /// Which.
        action: ServiceAction,
        /// Whether this should be refused.
        refused: bool,
    },
    /// An operator commands it.
    Command {
        /// The command.
        command: String,
        /// Whether its registration allows it to be opened from afar.
        remote_open: bool,
        /// Whether this should be refused.
        refused: bool,
    },
    /// Something comes back of the order that it has.
    Report(Report),
}

/// A message of a device.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The points it carries, as slot values.
    pub points: Vec<(PointIndex, f64)>,
    /// The device's own time relative to the instant of arrival, in milliseconds, if it sends one.
    pub sent_ms: Option<i64>,
    /// The number that the device gives the message, if it gives one.
    pub seq: Option<u64>,
    /// Live, test or history.
    pub kind: ReadingKind,
    /// Whether the broker had kept it.
    pub retained: bool,
}

/// What should be at an instant, after all that happens up to and including it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expectation {
    /// When, from the start.
    pub at: Ticks,
    /// The instant and the line as a person finds them.
    pub title: String,
    /// The alarms that stand, as `rule device`; `None`: not looked at.
    pub alarms: Option<Vec<String>>,
    /// What happened since the last expectation that listed events, as `rule device step`; `None`: not looked at.
    pub events: Option<Vec<String>>,
    /// What happened to orders since the last expectation that listed commands, as `command device step`; `None`: not
    /// looked at.
    pub commands: Option<Vec<String>>,
}

/// How a test went.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// What was not as expected; empty: the test passed.
    pub failures: Vec<Failure>,
    /// The rules that raised an alarm.
    pub raised: BTreeSet<String>,
}

/// Something that was not as expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// Other alarms stand. Both lists are sorted.
    Alarms {
        /// The expectation's title.
        title: String,
        /// What should stand.
        expected: Vec<String>,
        /// What stands.
        seen: Vec<String>,
    },
    /// Something else happened.
    Events {
        /// The expectation's title.
        title: String,
        /// What should have happened, in order.
        expected: Vec<String>,
        /// What happened, in order.
        seen: Vec<String>,
    },
    /// Something else happened to orders.
    Commands {
        /// The expectation's title.
        title: String,
        /// What should have happened, in order.
        expected: Vec<String>,
        /// What happened, in order.
        seen: Vec<String>,
    },
    /// An operator was refused and should not have been, or the other way round.
    Operator {
        /// When, from the start.
        at: Ticks,
        /// What they asked for: `reset of rule device`.
        request: String,
        /// Why it was refused; `None`: it was not.
        refusal: Option<Refusal>,
    },
}

/// Runs `test` under `definitions`.
pub fn rehearse(test: &RuleTest, definitions: &Arc<Definitions>) -> Outcome {
    let mut stage = Stage::new(test.start, definitions);
    let mut steps = test.steps.iter().peekable();
    for expectation in &test.expectations {
        while let Some(step) = steps.next_if(|step| step.at <= expectation.at) {
            stage.play(step);
        }
        stage.wait_until(expectation.at);
        stage.check(expectation);
    }
    for step in steps {
        stage.play(step);
    }
    stage.outcome
}

/// An engine with its clock in hand.
struct Stage {
    engine: Engine,
    start: Timestamp,
    effects: Effects,
    /// The alarms that stand, as `rule device`.
    standing: BTreeSet<String>,
    /// The latest alarm of each `rule device`, standing or not.
    latest: BTreeMap<String, Id>,
    happened: Vec<String>,
    /// What happened to orders, as `command device step`.
    ordered: Vec<String>,
    outcome: Outcome,
}

impl Stage {
    fn new(start: Timestamp, definitions: &Arc<Definitions>) -> Stage {
        let mut stage = Stage {
            engine: Engine::new("rehearsal"),
            start,
            effects: Effects::default(),
            standing: BTreeSet::new(),
            latest: BTreeMap::new(),
            happened: Vec::new(),
            ordered: Vec::new(),
            outcome: Outcome::default(),
        };
        let hash = definitions
            .source()
            .stored()
            .map_or(DefinitionsHash::default(), |(_, hash)| hash);
        let input = Input::Definitions(DefinitionsInput { hash, definitions });
        stage.total(&input, Ticks(0));
        stage.total(&Input::Device(&DeviceKey::gateway(GATEWAY)), Ticks(0));
        stage.total(&Input::Listening(true), Ticks(0));
        stage
    }

    fn play(&mut self, step: &Step) {
        self.wait_until(step.at);
        match &step.act {
            Act::Read(sample) => self.read(&step.device, sample, step.at),
            Act::Broker(up) => self.total(&Input::Listening(*up), step.at),
            Act::Own(points) => {
                for (point, value) in points {
                    let (point, value) = (*point, *value);
                    self.total(&Input::Own { point, value }, step.at);
                }
            }
            Act::Operate {
                rule,
                action,
                refused,
            } => {
                let subject = shown(rule, &step.device);
                let request = format!("{} of {subject}", asked(*action));
                let outcome = self.operate(&subject, *action, step.at);
                self.judge(step.at, request, outcome, *refused);
            }
            Act::Serve { action, refused } => {
                let request = format!("{} of {}", asked_of_device(*action), named(&step.device));
                let input = ServiceInput {
                    device: step.device.clone(),
                    action: *action,
                    operator: operator(),
                };
                let outcome = self.hand(&Input::Service(&input), step.at);
                self.judge(step.at, request, outcome, *refused);
            }
            Act::Command {
                command,
                remote_open,
                refused,
            } => {
                let request = format!("command {command} to {}", named(&step.device));
                let input = CommandInput {
                    device: step.device.clone(),
                    command: command.clone(),
                    remote_open: *remote_open,
                    operator: operator(),
                };
                let outcome = self.hand(&Input::Command(&input), step.at);
                self.judge(step.at, request, outcome, *refused);
            }
            Act::Report(report) => self.report(&step.device, *report, step.at),
        }
        self.wait_until(step.at);
    }

    /// Compares the answer to an operator with what it should be.
    fn judge(&mut self, at: Ticks, request: String, outcome: Result<(), Refusal>, refused: bool) {
        let refusal = outcome.err();
        if refusal.is_some() != refused {
            self.outcome
                .failures
                .push(Failure::Operator { at, request, refusal });
        }
    }

    /// Lets every deadline up to and including `until` come, each at its own instant.
    fn wait_until(&mut self, until: Ticks) {
        while let Some(deadline) = self.engine.next_deadline().filter(|at| *at <= until) {
            self.total(&Input::Timeout, deadline);
        }
    }

    fn read(&mut self, key: &DeviceKey, sample: &Sample, at: Ticks) {
        let Some(device) = self.admitted(key, at) else {
            return;
        };
        let wall = self.moment(at).wall.0;
        let reading = Reading {
            device,
            device_at: sample
                .sent_ms
                .map(|sent_ms| Timestamp(wall.saturating_add(sent_ms)))
                .map(|at| ClockBounds::default().judge(at, Timestamp(wall))),
            seq: sample.seq,
            kind: sample.kind,
            arrival: if sample.retained {
                Arrival::Kept
            } else {
                Arrival::First
            },
            points: &sample.points,
        };
        self.total(&Input::Reading(reading), at);
    }

    fn report(&mut self, key: &DeviceKey, report: Report, at: Ticks) {
        if let Some(device) = self.engine.find(key) {
            let order = None;
            self.total(
                &Input::Commanded(Commanded {
                    device,
                    order,
                    report,
                }),
                at,
            );
        }
    }

    fn admitted(&mut self, key: &DeviceKey, at: Ticks) -> Option<DeviceIndex> {
        if self.engine.find(key).is_none() {
            self.total(&Input::Device(key), at);
        }
        self.engine.find(key)
    }

    fn operate(&mut self, subject: &str, action: OperatorAction, at: Ticks) -> Result<(), Refusal> {
        let alarm = *self.latest.get(subject).ok_or(Refusal::NoSuchAlarm)?;
        let input = OperatorInput {
            alarm,
            action,
            operator: operator(),
        };
        self.hand(&Input::Operator(&input), at)
    }

    /// Hands in an input that the engine refuses never.
    fn total(&mut self, input: &Input<'_>, at: Ticks) {
        let outcome = self.hand(input, at);
        debug_assert_eq!(outcome, Ok(()), "only an operator can be refused");
    }

    fn hand(&mut self, input: &Input<'_>, at: Ticks) -> Result<(), Refusal> {
        let now = self.moment(at);
        let outcome = self.engine.handle(input, now, &mut self.effects);
        self.effects.samples.clear();
        // Nobody sends: what comes back of an order is a step of the test.
        self.effects.attempts.clear();
        for event in std::mem::take(&mut self.effects.commands) {
            self.note_order(&event);
        }
        for event in std::mem::take(&mut self.effects.alarms) {
            self.note(&event);
        }
        outcome
    }

    fn note(&mut self, event: &AlarmEvent) {
        let rule = &event.alarm.rule.id;
        let subject = shown(rule, &event.alarm.device);
        self.happened.push(format!("{subject} {}", event.step.as_str()));
        match event.step {
            AlarmStep::Raised | AlarmStep::Chattering => {
                self.outcome.raised.insert(rule.clone());
                self.latest.insert(subject.clone(), event.alarm.id);
                self.standing.insert(subject);
            }
            AlarmStep::Announced
            | AlarmStep::Suppressed
            | AlarmStep::Limited
            | AlarmStep::Shelved { .. }
            | AlarmStep::Unshelved(_)
            | AlarmStep::OutOfService { .. }
            | AlarmStep::InService(_)
            | AlarmStep::Acknowledged(_)
            | AlarmStep::Recovered
            | AlarmStep::Verified { .. }
            | AlarmStep::Closed(_)
            | AlarmStep::Unclosed
            | AlarmStep::Escalated(_) => {}
            AlarmStep::Cleared(_) => {
                self.standing.remove(&subject);
            }
        }
    }

    fn note_order(&mut self, event: &CommandEvent) {
        let order = &event.order;
        let step = event.step.event_type();
        let step = step.strip_prefix("command.").unwrap_or(step);
        let device = named(&order.device);
        self.ordered.push(format!("{} {device} {step}", order.command));
    }

    fn check(&mut self, expectation: &Expectation) {
        let title = &expectation.title;
        if let Some(alarms) = &expectation.alarms {
            let mut expected = alarms.clone();
            expected.sort();
            let seen: Vec<String> = self.standing.iter().cloned().collect();
            if expected != seen {
                self.outcome.failures.push(Failure::Alarms {
                    title: title.clone(),
                    expected,
                    seen,
                });
            }
        }
        if let Some(events) = &expectation.events {
            let seen = std::mem::take(&mut self.happened);
            if *events != seen {
                self.outcome.failures.push(Failure::Events {
                    title: title.clone(),
                    expected: events.clone(),
                    seen,
                });
            }
        }
        if let Some(commands) = &expectation.commands {
            let seen = std::mem::take(&mut self.ordered);
            if *commands != seen {
                self.outcome.failures.push(Failure::Commands {
                    title: title.clone(),
                    expected: commands.clone(),
                    seen,
                });
            }
        }
    }

    fn moment(&self, at: Ticks) -> Moment {
        let passed = i64::try_from(at.0).unwrap_or(i64::MAX);
        Moment {
            wall: Timestamp(self.start.0.saturating_add(passed)),
            ticks: at,
        }
    }
}

fn operator() -> Operator {
    Operator {
        by: "rehearsal".to_owned(),
        note: None,
    }
}

const fn asked(action: OperatorAction) -> &'static str {
    match action {
        OperatorAction::Acknowledge | OperatorAction::AcknowledgeRaise(_) => "acknowledgement",
        OperatorAction::Reset => "reset",
        OperatorAction::Shelve(_) => "shelving",
        OperatorAction::Unshelve => "unshelving",
        OperatorAction::Verdict(_) => "verdict",
        OperatorAction::Close => "closing",
    }
}

const fn asked_of_device(action: ServiceAction) -> &'static str {
    match action {
        ServiceAction::Out(_) => "taking out of service",
        ServiceAction::In => "putting back in service",
    }
}

/// An alarm as tests name it: `rule device`, or `rule venue` for a rule on venues.
fn shown(rule: &str, key: &DeviceKey) -> String {
    format!("{rule} {}", named(key))
}

/// A device as tests name it: the venue in front of it unless it is the usual one or there is none; a
/// venue by its id.
fn named(key: &DeviceKey) -> String {
    if key.kind == VENUE {
        key.venue.clone()
    } else if key.venue == USUAL_VENUE || key.venue.is_empty() {
        key.device.clone()
    } else {
        format!("{}/{}", key.venue, key.device)
    }
}
