//! The big property: stop anywhere, restore, go on ≡ never stopped.

use std::sync::Arc;

use ninewatch::domain::alarm::Operator;
use ninewatch::domain::almanac::{ScheduleDef, VenueFacts};
use ninewatch::domain::definitions::{DefinitionSource, Definitions};
use ninewatch::domain::device::DeviceKey;
use ninewatch::domain::engine::{Effects, Engine};
use ninewatch::domain::id::Id;
use ninewatch::domain::journal::{
    self, DefinitionsInput, Input, Journal, OperatorAction, OperatorInput, ServiceAction, ServiceInput,
};
use ninewatch::domain::reading::{Arrival, Reading, ReadingKind};
use ninewatch::domain::rule::{Repeat, RuleDef};
use ninewatch::domain::schedule::{DEFAULT_TIME_ZONE, Day, Hours, Interval, OnHolidays};
use ninewatch::domain::time::{Millis, Moment, Ticks, Timestamp};
use proptest::prelude::*;

use crate::bench::{
    LEL, START, STATE, device_time, gas_kind, high, key, limited, low, often, operation, rule, service, slow,
    stale_gas_kind,
};

/// One step of a random run.
#[derive(Debug, Clone)]
enum Action {
    Read {
        device: u32,
        /// `None`: only its state.
        lel: Option<f64>,
        state: f64,
        at: Option<i64>,
        seq: Option<u64>,
    },
    Wait(u64),
    /// On the alarm that came so many before the last.
    Operate(OperatorAction, usize),
    Serve(u32, ServiceAction),
    Define(usize),
    Listen(bool),
    /// The wall clock is set by so many milliseconds.
    SetClock(i64),
    /// The gateway is known from now on.
    Introduce,
}

fn reading() -> impl Strategy<Value = Action> {
    let times = prop::option::of(-90_000_i64..90_000);
    let numbers = prop::option::weighted(0.3, 0_u64..3);
    // Few values, now and then, so that messages with the same number repeat each other.
    let levels = prop::option::weighted(0.8, prop_oneof![3 => 0.0_f64..80.0, 1 => Just(45.0)]);
    (0_u32..3, levels, 0_u8..3, times, numbers).prop_map(|(device, lel, state, at, seq)| Action::Read {
        device,
        lel,
        state: f64::from(state),
        at,
        seq,
    })
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        6 => reading(),
        3 => (1_u64..40_000).prop_map(Action::Wait),
        4 => (operation(), 0_usize..4).prop_map(|(action, back)| Action::Operate(action, back)),
        1 => (0_u32..3, service()).prop_map(|(device, action)| Action::Serve(device, action)),
        2 => (0_usize..3).prop_map(Action::Define),
        1 => any::<bool>().prop_map(Action::Listen),
        1 => (-600_000_i64..600_000).prop_map(Action::SetClock),
    ]
}

/// In force for a minute of every two, from `first` past eight in Shanghai, where the run starts at eight.
fn minutes(first: u16) -> Hours {
    let minute = |minute: u16| Interval {
        days: Day::ALL.to_vec(),
        from: 480 + minute,
        to: 481 + minute,
    };
    Hours {
        time_zone: DEFAULT_TIME_ZONE.to_owned(),
        weekly: (0..30).map(|turn| minute(first + 2 * turn)).collect(),
        holidays: Vec::new(),
        on_holidays: OnHolidays::Never,
    }
}

fn scheduled(name: &str, rule: RuleDef) -> RuleDef {
    RuleDef {
        id: format!("{}-{name}", rule.id),
        schedule: Some(name.to_owned()),
        ..rule
    }
}

/// `rules`, and others on schedules that begin at `first`.
fn timed(first: u16, mut rules: Vec<RuleDef>) -> DefinitionSource {
    for name in ["turns", "venue-open", "venue-closed"] {
        let at_once = rule("timed", "lel >= 20.0", Some("lel < 10.0"));
        rules.extend([slow(), often(), at_once].map(|rule| scheduled(name, rule)));
    }
    rules.extend(on_venue(first));
    DefinitionSource {
        kinds: vec![gas_kind()],
        rules,
        schedules: vec![ScheduleDef {
            name: "turns".to_owned(),
            hours: minutes(first),
        }],
        venues: vec![VenueFacts {
            venue: "v1".to_owned(),
            time_zone: DEFAULT_TIME_ZONE.to_owned(),
            hours: Some(minutes(3 * first)),
            expiries: Vec::new(),
            confirms: false,
        }],
        ..DefinitionSource::default()
    }
}

/// Rules on the venue, which another set has with other numbers, and one on devices that they explain.
fn on_venue(set: u16) -> Vec<RuleDef> {
    let two = format!("gas_detector.filter(d, d.lel >= {}0.0).size() >= 2", set + 1);
    let slow = "gas_detector.exists(d, rate(d.lel, '30s') > 0.4) && !gas_detector.all(d, d.lel > 40.0)";
    vec![
        RuleDef {
            keep_for: Millis(5_000),
            latch: set == 2,
            ..RuleDef::new("venue-two", "venue", &two)
        },
        RuleDef {
            hold: Millis(15_000),
            max_gap: Millis(12_000),
            ..RuleDef::new("venue-slow", "venue", slow)
        },
        scheduled(
            "turns",
            RuleDef::new(
                "venue-held",
                "venue",
                "held('20s', devices.exists_one(d, d.online))",
            ),
        ),
        RuleDef {
            suppressed_by: vec!["venue-two".to_owned(), "venue-slow".to_owned()],
            ..rule("explained", "lel >= 35.0", None)
        },
    ]
}

/// An engine under test with everything that a restart needs.
struct Run {
    engine: Engine,
    sets: Vec<Arc<Definitions>>,
    saved: Vec<u8>,
    rows: Vec<(u64, Vec<u8>)>,
    now: Moment,
    /// Every alarm, the oldest first.
    known: Vec<Id>,
    log: Vec<String>,
}

/// The sets of rules, compiled; each on its own hours, and the second with a point that grows stale.
fn compile(sets: [Vec<RuleDef>; 3]) -> Vec<Arc<Definitions>> {
    let kinds = [gas_kind(), stale_gas_kind(Millis(50_000)), gas_kind()];
    let sets = (1..).zip(sets).zip(kinds);
    sets.map(|((first, rules), kind)| {
        let source = DefinitionSource {
            kinds: vec![kind],
            ..timed(first, rules)
        };
        Arc::new(Definitions::compile(source).unwrap())
    })
    .collect()
}

impl Run {
    /// What the rules are made of: three sets.
    fn sets() -> Vec<Arc<Definitions>> {
        let quiet = RuleDef {
            suppressed_by: vec!["gas-high".to_owned()],
            chatter: Repeat {
                count: 2,
                within: Millis(90_000),
            },
            ..low()
        };
        let rising = rule("rising", "rate(lel, '30s') > 0.5", Some("avg(lel, '1m') < 40.0"));
        let lasting = rule(
            "lasting",
            "held('1m', lel > 15.0 || max(lel, '40s') > 60.0)",
            None,
        );
        let restless = rule(
            "restless",
            "changes(state, '2m') >= 3 && min(lel, '1m') < 30.0",
            None,
        );
        let skewed = rule("skewed", "clock_skew() && lel > 5.0", None);
        let silent = rule("silent", "age() >= '45s'", None);
        let silence = rule("silence", "age() > '20s' || held('30s', age() > '20s')", None);
        let [lost, flapping] = of_the_gateway();
        let sets = [
            vec![
                lost.clone(),
                flapping.clone(),
                high(),
                low(),
                slow(),
                rising.clone(),
                lasting.clone(),
                restless,
                silent,
                often(),
                limited(),
                skewed.clone(),
            ],
            vec![
                limited(),
                slow(),
                silence,
                lasting,
                high(),
                rising,
                often(),
                quiet,
                skewed,
                lost,
                flapping,
            ],
            changed().to_vec(),
        ];
        compile(sets)
    }

    fn new() -> Run {
        let sets = Run::sets();
        let engine = Engine::new("test");
        let saved = engine.snapshot().unwrap();
        Run {
            engine,
            sets,
            saved,
            rows: Vec::new(),
            now: Moment {
                wall: Timestamp(START),
                ticks: Ticks(0),
            },
            known: Vec::new(),
            log: Vec::new(),
        }
    }

    /// Does one action as the gateway would: every input is journalled, one row an action.
    fn act(&mut self, action: &Action) {
        match action {
            Action::Read {
                device,
                lel,
                state,
                at,
                seq,
            } => {
                let name = key(&format!("g{device}"));
                if self.engine.find(&name).is_none() {
                    self.feed(&Input::Device(&name));
                }
                let device = self.engine.find(&name).unwrap();
                let points: Vec<_> = std::iter::once((STATE, *state))
                    .chain(lel.map(|lel| (LEL, lel)))
                    .collect();
                let device_at = at.map(|at| device_time(self.now.wall.0 + at, self.now));
                let kind = ReadingKind::Live;
                self.feed(&Input::Reading(Reading {
                    device,
                    device_at,
                    seq: *seq,
                    kind,
                    arrival: Arrival::First,
                    points: &points,
                }));
            }
            Action::Wait(ms) => {
                self.now.wall.0 += i64::try_from(*ms).unwrap();
                self.now.ticks.0 += ms;
                self.feed(&Input::Timeout);
            }
            Action::Operate(action, back) => {
                let alarm = self.known.iter().rev().nth(*back).copied();
                let alarm = alarm.unwrap_or(Id::from_bits(1));
                let operator = Operator {
                    by: "duty".to_owned(),
                    note: Some("on site".to_owned()),
                };
                self.feed(&Input::Operator(&OperatorInput {
                    alarm,
                    action: *action,
                    operator,
                }));
            }
            Action::SetClock(ms) => self.now.wall.0 += ms,
            Action::Serve(device, action) => self.feed(&Input::Service(&ServiceInput {
                device: key(&format!("g{device}")),
                action: *action,
                operator: Operator {
                    by: "duty".to_owned(),
                    note: None,
                },
            })),
            Action::Introduce => self.feed(&Input::Device(&DeviceKey::gateway("test"))),
            Action::Listen(up) => self.feed(&Input::Listening(*up)),
            Action::Define(number) => {
                let set = Arc::clone(&self.sets[*number]);
                let hash = hash(&set);
                self.feed(&Input::Definitions(DefinitionsInput {
                    hash,
                    definitions: &set,
                }));
            }
        }
    }

    fn feed(&mut self, input: &Input<'_>) {
        let mut journal = Journal::default();
        let mut effects = Effects::default();
        let first = self.engine.next_input();
        journal.push(self.now, input).unwrap();
        if let Err(refusal) = self.engine.handle(input, self.now, &mut effects) {
            self.log.push(format!("refused {refusal}"));
        }
        for event in &effects.alarms {
            if !self.known.contains(&event.alarm.id) {
                self.known.push(event.alarm.id);
            }
            self.log.push(format!("{event:?}"));
        }
        self.rows.push((first, journal.into_bytes()));
    }

    fn checkpoint(&mut self) {
        self.saved = self.engine.snapshot().unwrap();
        self.rows.clear();
    }

    /// Throws the engine away and makes it anew from the last snapshot and the journal since.
    fn crash(&mut self) {
        let find = |wanted: &[u8; 32]| {
            let set = self.sets.iter().find(|set| hash(set) == *wanted);
            set.cloned().ok_or_else(String::new)
        };
        self.engine = Engine::restore("test", &self.saved, find).unwrap();
        for (first, bytes) in &self.rows {
            journal::replay(&mut self.engine, *first, bytes, find).unwrap();
        }
    }
}

/// The rules of the other sets under other conditions, so that each change judges the present values.
fn changed() -> [RuleDef; 5] {
    let with = |rule: RuleDef, when: &str, clear: Option<&str>| RuleDef {
        when: when.to_owned(),
        clear: clear.map(str::to_owned),
        ..rule
    };
    [
        with(high(), "lel >= 35.0", Some("lel < 30.0")),
        with(low(), "lel >= 15.0", None),
        with(slow(), "lel >= 30.0", None),
        with(often(), "lel >= 20.0", None),
        rule("lasting", "held('30s', lel > 25.0)", None),
    ]
}

/// Rules on the gateway itself.
fn of_the_gateway() -> [RuleDef; 2] {
    let lost = RuleDef {
        hold: Millis(20_000),
        keep_for: Millis(400_000),
        ..rule("lost", "!broker", None)
    };
    let flapping = RuleDef {
        after: often().after,
        suppressed_by: vec!["lost".to_owned()],
        ..rule("flapping", "!broker || changes(broker, '2m') > 3", None)
    };
    [lost, flapping].map(|rule| RuleDef {
        on: vec!["gateway".to_owned()],
        ..rule
    })
}

fn hash(set: &Definitions) -> [u8; 32] {
    set.source().stored().unwrap().1
}

/// Runs `actions` with a checkpoint and a crash behind each of the given ones; what happened, as text.
fn run(actions: &[Action], stops: &[usize], snapshots: &[usize]) -> Vec<String> {
    let mut run = Run::new();
    for (place, action) in actions.iter().enumerate() {
        run.act(action);
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
    fn stop_anywhere_restore_and_go_on_is_the_same_as_never_stopped(
        actions in prop::collection::vec(action(), 1..60),
        stops in prop::collection::vec(0_usize..60, 0..6),
        snapshots in prop::collection::vec(0_usize..60, 0..4),
    ) {
        let mut begun = vec![Action::Define(0), Action::Introduce];
        begun.extend(actions);
        prop_assert_eq!(run(&begun, &[], &[]), run(&begun, &stops, &snapshots));
    }
}
