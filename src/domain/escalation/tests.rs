//! Who is told when of an alarm's life, as long as nobody acknowledges, and across restarts.

mod reload;

use std::sync::Arc;

use super::super::alarm::{ClearReason, Operator, Quality};
use super::super::chain::{Addressee, Chain, Level};
use super::super::device::DeviceKey;
use super::super::officer::Officer;
use super::super::route::Route;
use super::super::rule::{Priority, RuleDef};
use super::*;

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn officer(id: &str, channel: &str) -> Officer {
    Officer {
        id: id.to_owned(),
        channels: words(&[channel]),
        ..Officer::default()
    }
}

fn level(after: u64, repeat: u64, officers: &[&str]) -> Level {
    Level {
        to: officers
            .iter()
            .map(|id| Addressee::Officer((*id).to_owned()))
            .collect(),
        after: Millis(after * 1_000),
        repeat: (repeat > 0).then_some(Millis(repeat * 1_000)),
    }
}

/// Wang at once and after a minute, Li after three minutes, the chief after ten and every ten; all is written to `record`.
fn directions() -> Directions {
    Directions {
        routes: vec![Route {
            name: "gas".to_owned(),
            targets: words(&["record"]),
            chain: Some("gas".to_owned()),
            ..Route::default()
        }],
        chains: vec![Chain {
            name: "gas".to_owned(),
            levels: vec![
                level(0, 60, &["wang"]),
                level(180, 0, &["li"]),
                level(600, 600, &["chief"]),
            ],
        }],
        officers: vec![
            officer("wang", "group"),
            officer("li", "group"),
            officer("chief", "phone"),
        ],
        targets: words(&["record", "group", "phone", "siren"]),
        ..Directions::default()
    }
}

fn view(state: AlarmState) -> AlarmView {
    let rule = RuleDef {
        priority: Priority::Critical,
        ..RuleDef::new("gas-high", "gas_detector", "lel >= 50.0")
    };
    let operator = Operator {
        by: "Wang".to_owned(),
        note: None,
    };
    let acknowledged = matches!(
        state,
        AlarmState::ActiveAcknowledged | AlarmState::RecoveredAcknowledged
    );
    AlarmView {
        id: Id::from_bits(7),
        rule: Arc::new(rule),
        device: Arc::new(DeviceKey::default()),
        state,
        raised_at: Timestamp(0),
        ack: if acknowledged {
            Ack::Acknowledged {
                operator,
                at: Timestamp(0),
            }
        } else {
            Ack::Unacknowledged
        },
        recovered_at: None,
        first_out: true,
        late_by_ms: None,
        chatter: None,
        mask: Mask::None,
        quality: Quality::Good,
        handling: None,
        ended: None,
        values: Vec::new(),
    }
}

fn at(second: u64) -> Moment {
    Moment {
        wall: Timestamp(1_000_000 + i64::try_from(second).unwrap() * 1_000),
        ticks: Ticks(second * 1_000),
    }
}

/// Escalations in their surroundings, with the engine's part: what is due becomes an event as long as the alarm waits.
struct Scene {
    escalations: Escalations,
    directions: Directions,
    state: AlarmState,
    stored: Option<String>,
}

impl Scene {
    fn new() -> Scene {
        Scene {
            escalations: Escalations::default(),
            directions: directions(),
            state: AlarmState::ActiveUnacknowledged,
            stored: None,
        }
    }

    /// Whom the step is owed to: target and people.
    fn step(&mut self, step: AlarmStep, state: AlarmState, second: u64) -> Vec<String> {
        self.state = state;
        let notify = !matches!(step, AlarmStep::Shelved { .. } | AlarmStep::Suppressed);
        let mut alarm = view(state);
        if step == AlarmStep::Suppressed {
            alarm.mask = Mask::Suppressed {
                by: "power".to_owned(),
            };
        }
        let event = AlarmEvent {
            id: Id::from_bits(1),
            at: at(second).wall,
            step,
            notify,
            alarm,
        };
        let registry = Registry::default();
        let way = Way {
            directions: &self.directions,
            registry: &registry,
        };
        let owed = self.escalations.follow(&event, way, at(second));
        for change in self.escalations.changes().unwrap() {
            self.stored = change.state;
        }
        let people = |owed: &Owed| {
            let people: Vec<&str> = owed.people.iter().map(|person| person.officer.as_str()).collect();
            format!("{}: {}", owed.target, people.join(" "))
                .trim_end_matches(": ")
                .to_owned()
        };
        owed.iter().map(people).collect()
    }

    /// What falls due up to `second`: when, and whom it is owed to.
    fn until(&mut self, second: u64) -> Vec<(u64, Vec<String>)> {
        let mut told = Vec::new();
        while let Some(due) = self
            .escalations
            .next_deadline()
            .filter(|due| due.0 <= second * 1_000)
        {
            let now = due.0 / 1_000;
            let Some(input) = self.escalations.take_due(due) else {
                continue;
            };
            if waits(&view(self.state)) {
                let owed = self.step(AlarmStep::Escalated(input.telling), self.state, now);
                told.push((now, owed));
            }
        }
        told
    }

    fn raise(&mut self, second: u64) -> Vec<String> {
        self.step(AlarmStep::Raised, AlarmState::ActiveUnacknowledged, second)
    }

    /// These levels are in force from `second` on.
    fn reload(&mut self, levels: Vec<Level>, second: u64) {
        self.directions.chains[0].levels = levels;
        self.renew(second);
    }

    fn renew(&mut self, second: u64) {
        let registry = Registry::default();
        let way = Way {
            directions: &self.directions,
            registry: &registry,
        };
        let standing = [view(self.state)];
        self.escalations.renew(standing.into_iter(), way, at(second));
    }

    fn restart(&mut self, now: Moment) {
        self.escalations = Escalations::default();
        if let Some(stored) = &self.stored {
            self.escalations.restore(Id::from_bits(7), stored, now).unwrap();
        }
    }
}

fn acknowledged() -> AlarmStep {
    AlarmStep::Acknowledged(Operator {
        by: "Wang".to_owned(),
        note: None,
    })
}

#[test]
fn nobody_acknowledges() {
    let mut scene = Scene::new();
    assert_eq!(scene.raise(0), ["record", "group: wang"]);
    let told = scene.until(1_800);
    let expected = [
        (60, "group: wang"),
        (120, "group: wang"),
        (180, "group: li"),
        (600, "phone: chief"),
        (1_200, "phone: chief"),
        (1_800, "phone: chief"),
    ];
    assert_eq!(
        told,
        expected.map(|(at, who)| (at, vec!["record".to_owned(), who.to_owned()]))
    );
}

#[test]
fn an_acknowledgement_ends_it_and_whoever_was_told_hears_of_it() {
    let mut scene = Scene::new();
    scene.raise(0);
    scene.until(200);
    let told = scene.step(acknowledged(), AlarmState::ActiveAcknowledged, 201);
    assert_eq!(told, ["record", "group: wang li"]);
    assert_eq!(scene.escalations.next_deadline(), None);
    let told = scene.step(AlarmStep::Recovered, AlarmState::RecoveredAcknowledged, 300);
    assert_eq!(told, ["record", "group: wang li"]);
    let cleared = AlarmStep::Cleared(ClearReason::Recovered);
    let told = scene.step(cleared, AlarmState::Cleared, 301);
    assert_eq!(told, ["record", "group: wang li"]);
    assert_eq!(scene.stored, None);
    assert!(scene.escalations.runs.is_empty());
}

#[test]
fn one_that_comes_again_begins_anew_unless_it_still_runs() {
    let mut scene = Scene::new();
    scene.raise(0);
    assert_eq!(scene.raise(30), ["record", "group: wang"]);
    assert_eq!(scene.until(60).len(), 1, "as if it had not come again");
    scene.step(acknowledged(), AlarmState::ActiveAcknowledged, 61);
    scene.step(AlarmStep::Recovered, AlarmState::RecoveredAcknowledged, 70);
    assert_eq!(scene.raise(100), ["record", "group: wang"]);
    assert_eq!(
        scene.until(160),
        [(160, vec!["record".to_owned(), "group: wang".to_owned()])]
    );
}

#[test]
fn what_is_masked_is_told_of_no_more_and_announced_again() {
    let mut scene = Scene::new();
    scene.raise(0);
    assert_eq!(
        scene.step(AlarmStep::Suppressed, AlarmState::ActiveUnacknowledged, 10),
        [""; 0]
    );
    assert_eq!(scene.until(5_000), []);
    let told = scene.step(AlarmStep::Announced, AlarmState::ActiveUnacknowledged, 5_000);
    assert_eq!(told, ["record", "group: wang"]);
    assert_eq!(scene.escalations.next_deadline(), Some(Ticks(5_060_000)));
}

#[test]
fn an_alarm_that_has_recovered_and_waits_for_somebody_is_told_of_on() {
    let mut scene = Scene::new();
    scene.raise(0);
    scene.step(AlarmStep::Recovered, AlarmState::RecoveredUnacknowledged, 10);
    assert_eq!(scene.until(60).len(), 1);
}

#[test]
fn a_restart_at_any_moment_changes_nothing() {
    let mut without = Scene::new();
    without.raise(0);
    let expected = without.until(3_000);
    for stop in (1..3_000).step_by(37) {
        let mut scene = Scene::new();
        scene.raise(0);
        let mut told = scene.until(stop);
        scene.restart(at(stop));
        told.extend(scene.until(3_000));
        assert_eq!(told, expected, "stopped after {stop} s");
    }
}

/// Nothing is left out: each level has its time, only later.
#[test]
fn what_fell_due_while_nothing_ran_is_told_at_once() {
    let mut scene = Scene::new();
    scene.raise(0);
    scene.restart(at(4_000));
    let seconds: Vec<u64> = scene.until(4_300).into_iter().map(|(second, _)| second).collect();
    assert_eq!(seconds, [4_000, 4_060, 4_120]);
}

#[test]
fn a_wall_clock_that_jumped_holds_no_telling_for_ever() {
    let mut scene = Scene::new();
    scene.raise(0);
    let back = Moment {
        wall: Timestamp(-999_999_999_999),
        ticks: Ticks(1_000),
    };
    scene.restart(back);
    assert_eq!(
        scene.escalations.next_deadline(),
        Some(Ticks(1_000 + LONGEST_WAIT.0))
    );
}

#[test]
fn a_state_of_another_version_is_an_error_and_the_alarm_begins_anew() {
    let mut scene = Scene::new();
    let refused = scene.escalations.restore(Id::from_bits(7), "[{}]", at(0));
    assert!(refused.is_err());
    let registry = Registry::default();
    let way = Way {
        directions: &scene.directions,
        registry: &registry,
    };
    let standing = [view(AlarmState::ActiveUnacknowledged), view(AlarmState::Cleared)];
    scene.escalations.renew(standing.into_iter(), way, at(5));
    assert_eq!(
        scene.until(5),
        [(5, vec!["record".to_owned(), "group: wang".to_owned()])]
    );
}

#[test]
fn a_chain_that_is_gone_ends_and_a_new_one_begins_at_once() {
    let mut scene = Scene::new();
    scene.raise(0);
    scene.directions.chains[0].name = "other".to_owned();
    scene.directions.routes[0].chain = Some("other".to_owned());
    let registry = Registry::default();
    let way = Way {
        directions: &scene.directions,
        registry: &registry,
    };
    let standing = [view(AlarmState::ActiveUnacknowledged)];
    scene.escalations.renew(standing.into_iter(), way, at(10));
    let told = scene.until(100);
    let seconds: Vec<u64> = told.iter().map(|(second, _)| *second).collect();
    assert_eq!(seconds, [10, 70]);
}

#[test]
fn an_order_is_told_to_whoever_was_told_of_its_alarm() {
    use super::super::interlock::{Cause, CommandStep, Failure, OrderView, Stage};
    let mut scene = Scene::new();
    scene.raise(0);
    scene.until(200);
    let event = |notify, cause| CommandEvent {
        id: Id::from_bits(9),
        at: at(201).wall,
        step: CommandStep::Failed(Failure::NotProven),
        notify,
        order: OrderView {
            id: Id::from_bits(8),
            device: Arc::new(DeviceKey::default()),
            command: "close".into(),
            stage: Stage::Requested,
            attempt: 1,
            attempts: 3,
            requested_at: Timestamp(0),
            expires_at: Timestamp(0),
            took: Millis(0),
            causes: vec![cause],
        },
    };
    let registry = Registry::default();
    let way = Way {
        directions: &scene.directions,
        registry: &registry,
    };
    let of_alarm = Cause::Alarm(Box::new(view(AlarmState::ActiveUnacknowledged)));
    let people = |event: &CommandEvent| {
        let owed = scene.escalations.follow_order(event, way);
        owed.iter()
            .map(|owed| (owed.target.clone(), owed.people.len()))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        people(&event(true, of_alarm.clone())),
        [("record".to_owned(), 0), ("group".to_owned(), 2)]
    );
    assert_eq!(
        people(&event(true, Cause::Exercise)),
        [("record".to_owned(), 0), ("group".to_owned(), 1)]
    );
    assert_eq!(people(&event(false, of_alarm)), []);
}
