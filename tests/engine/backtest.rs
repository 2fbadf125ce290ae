//! Backtests of what an engine recorded: the same rules raise the same, other rules and kinds what they should, and
//! what is missing is counted.

use std::collections::BTreeMap;
use std::sync::Arc;

use ninewatch::domain::alarm::{AlarmStep, Operator};
use ninewatch::domain::backtest::{Backtest, Gaps, Recorded, Tested};
use ninewatch::domain::definitions::{DefinitionSource, Definitions, DefinitionsHash};
use ninewatch::domain::engine::{Effects, Engine, SavedDevices};
use ninewatch::domain::journal::{DefinitionsInput, Input, Journal, OperatorAction, OperatorInput};
use ninewatch::domain::kind::{Kind, PointDef, PointIndex, ValueType};
use ninewatch::domain::reading::{Arrival, Reading, ReadingKind};
use ninewatch::domain::rule::RuleDef;
use ninewatch::domain::time::{Moment, Ticks, Timestamp};
use proptest::prelude::*;

use crate::bench::{LEL, START, STATE, gas_kind, high, key, low, often, rule, slow, text};

/// An engine that journals its inputs, row by row.
struct Recorder {
    engine: Engine,
    now: Moment,
    journal: Journal,
    rows: Vec<(u64, Vec<u8>)>,
    first_input: u64,
    kinds: BTreeMap<DefinitionsHash, Vec<Kind>>,
    raised: BTreeMap<String, u64>,
}

impl Recorder {
    fn start(kinds: Vec<Kind>, rules: Vec<RuleDef>) -> Recorder {
        let mut recorder = Recorder {
            engine: Engine::new("recorder"),
            now: Moment {
                wall: Timestamp(START),
                ticks: Ticks(1_000),
            },
            journal: Journal::default(),
            rows: Vec::new(),
            first_input: 0,
            kinds: BTreeMap::new(),
            raised: BTreeMap::new(),
        };
        recorder.define(kinds, rules);
        recorder.step(&Input::Listening(true));
        recorder
    }

    fn define(&mut self, kinds: Vec<Kind>, rules: Vec<RuleDef>) {
        let source = DefinitionSource {
            kinds,
            rules,
            ..DefinitionSource::default()
        };
        let (_, hash) = source.stored().unwrap();
        self.kinds.insert(hash, source.kinds.clone());
        let definitions = Arc::new(Definitions::compile(source).unwrap());
        self.step(&Input::Definitions(DefinitionsInput {
            hash,
            definitions: &definitions,
        }));
    }

    fn step(&mut self, input: &Input<'_>) {
        let mut effects = Effects::default();
        self.journal.push(self.now, input).unwrap();
        self.engine.handle(input, self.now, &mut effects).unwrap();
        for event in effects.alarms {
            if matches!(event.step, AlarmStep::Raised | AlarmStep::Chattering) {
                *self.raised.entry(event.alarm.rule.id.clone()).or_default() += 1;
            }
            if event.step == AlarmStep::Recovered && event.alarm.rule.latch {
                self.step(&Input::Operator(&OperatorInput {
                    alarm: event.alarm.id,
                    action: OperatorAction::Reset,
                    operator: Operator {
                        by: "duty".to_owned(),
                        note: None,
                    },
                }));
            }
        }
    }

    /// Moves on without a word, past any deadline.
    fn pause(&mut self, ms: u64) {
        self.now.ticks.0 += ms;
        self.now.wall.0 += i64::try_from(ms).unwrap();
    }

    /// Moves on, and lets each deadline come at its instant.
    fn wait(&mut self, ms: u64) {
        let until = self.now.ticks.0 + ms;
        while let Some(deadline) = self.engine.next_deadline().filter(|at| at.0 <= until) {
            self.pause(deadline.0.saturating_sub(self.now.ticks.0));
            self.step(&Input::Timeout);
        }
        self.pause(until - self.now.ticks.0);
    }

    fn read(&mut self, device: &str, points: &[(PointIndex, f64)]) {
        let key = key(device);
        if self.engine.find(&key).is_none() {
            self.step(&Input::Device(&key));
        }
        let device = self.engine.find(&key).unwrap();
        self.step(&Input::Reading(Reading {
            device,
            device_at: None,
            seq: None,
            kind: ReadingKind::Live,
            arrival: Arrival::First,
            points,
        }));
    }

    fn lel(&mut self, lel: f64) {
        self.read("g1", &[(LEL, lel)]);
    }

    /// Ends a row.
    fn cut(&mut self) {
        let journal = std::mem::take(&mut self.journal);
        if journal.inputs() > 0 {
            self.rows.push((self.first_input, journal.into_bytes()));
            self.first_input = self.engine.next_input();
        }
    }

    /// What a checkpoint made now would tell.
    fn checkpoint(&self) -> Recorded {
        let devices = SavedDevices::read(&self.engine.snapshot().unwrap()).unwrap();
        let hash = devices.definitions.unwrap();
        Recorded {
            devices,
            kinds: self.kinds[&hash].clone(),
        }
    }

    /// Plays the rows under `rules` for gas detectors, counting from `since` after the start.
    fn test(&mut self, rules: Vec<RuleDef>, since_ms: i64) -> Tested {
        self.cut();
        self.test_with((vec![gas_kind()], rules), since_ms, Recorded::default())
    }

    fn test_with(
        &self,
        (kinds, rules): (Vec<Kind>, Vec<RuleDef>),
        since_ms: i64,
        recorded: Recorded,
    ) -> Tested {
        let definitions = Arc::new(
            Definitions::compile(DefinitionSource {
                kinds,
                rules,
                ..DefinitionSource::default()
            })
            .unwrap(),
        );
        let mut backtest = Backtest::new(&definitions, Timestamp(START + since_ms), recorded);
        for (first_input, entries) in &self.rows {
            let kinds = |hash: &DefinitionsHash| self.kinds.get(hash).cloned().ok_or("none".to_owned());
            backtest.play(*first_input, entries, kinds).unwrap();
        }
        backtest.finish()
    }
}

fn times(rule: &str, count: u64) -> BTreeMap<String, u64> {
    BTreeMap::from([(rule.to_owned(), count)])
}

fn all_rules() -> Vec<RuleDef> {
    let quiet = RuleDef {
        suppressed_by: vec!["gas-high".to_owned()],
        ..low()
    };
    vec![
        high(),
        quiet,
        slow(),
        often(),
        rule("silent", "age() >= '90s'", None),
    ]
}

proptest! {
    #[test]
    fn the_same_rules_raise_the_same(
        steps in prop::collection::vec((0_u32..3, 0.0_f64..80.0, 0_u64..40_000, prop::bool::weighted(0.2)), 1..80),
    ) {
        let mut recorder = Recorder::start(vec![gas_kind()], all_rules());
        for (device, lel, wait, cut) in steps {
            recorder.read(&format!("g{device}"), &[(LEL, lel), (STATE, 0.0)]);
            recorder.wait(wait);
            if cut {
                recorder.cut();
            }
        }
        // What came after the last entry is not recorded.
        recorder.step(&Input::Timeout);
        let tested = recorder.test(all_rules(), 0);
        prop_assert_eq!(tested.raised, recorder.raised);
        prop_assert_eq!(tested.gaps, Gaps::default());
    }
}

#[test]
fn a_lower_limit_raises_more_and_a_rule_that_is_gone_nothing() {
    let mut recorder = Recorder::start(vec![gas_kind()], vec![high(), low()]);
    for lel in [30.0, 1.0, 60.0, 1.0, 60.0] {
        recorder.lel(lel);
        recorder.wait(31_000);
    }
    recorder.lel(1.0);
    assert_eq!(
        recorder.raised,
        BTreeMap::from([("gas-high".to_owned(), 2), ("gas-low".to_owned(), 3)])
    );
    let latched = RuleDef {
        when: "lel >= 0.5".to_owned(),
        clear: None,
        ..high()
    };
    assert_eq!(
        recorder.test(vec![latched], 0).raised,
        times("gas-high", 1),
        "never over"
    );
    let lower = rule("gas-high", "lel >= 20.0", None);
    let tested = recorder.test(vec![lower], 0);
    assert_eq!(tested.raised, times("gas-high", 3));
    assert_eq!((tested.readings, tested.devices), (6, 1));
}

#[test]
fn a_latched_alarm_counts_each_time_its_condition_comes_again() {
    let mut recorder = Recorder::start(vec![gas_kind()], Vec::new());
    for held in [11_000, 1_000, 1_000] {
        recorder.lel(60.0);
        recorder.wait(held);
        recorder.lel(1.0);
        recorder.wait(31_000);
    }
    let waiting = RuleDef {
        latch: true,
        ..slow()
    };
    let expected = BTreeMap::from([("gas-high".to_owned(), 3), ("gas-slow".to_owned(), 1)]);
    assert_eq!(
        recorder.test(vec![high(), waiting], 0).raised,
        expected,
        "after its reset a delay applies anew: only once does it hold for ten seconds"
    );
}

#[test]
fn a_delay_ends_at_its_own_instant() {
    let mut recorder = Recorder::start(vec![gas_kind()], Vec::new());
    recorder.lel(30.0);
    recorder.pause(60_000);
    recorder.lel(1.0);
    for (since_ms, raised) in [
        (0, times("gas-slow", 1)),
        (10_000, times("gas-slow", 1)),
        (10_001, BTreeMap::new()),
    ] {
        assert_eq!(
            recorder.test(vec![slow()], since_ms).raised,
            raised,
            "since {since_ms}"
        );
    }
}

#[test]
fn what_came_before_prepares_and_does_not_count() {
    let mut recorder = Recorder::start(vec![gas_kind()], Vec::new());
    recorder.lel(30.0);
    recorder.wait(20_000);
    recorder.lel(30.0);
    recorder.wait(20_000);
    let tested = recorder.test(vec![low()], 10_000);
    assert_eq!(tested.raised, BTreeMap::new(), "it stood already");
    assert_eq!(tested.readings, 1);
    assert_eq!(tested.begins, Some(Timestamp(START)));
    let at = Timestamp(START + 20_000);
    assert_eq!(tested.period, Some((at, at)));
}

fn gas_kind_of(points: Vec<PointDef>) -> Kind {
    Kind::new("gas_detector".to_owned(), text("gas"), points)
}

fn words(values: &[&str]) -> PointDef {
    PointDef {
        value: ValueType::Enum {
            values: values.iter().map(|&word| word.to_owned()).collect(),
        },
        ..gas_kind().point("state").unwrap().1.clone()
    }
}

fn lel_up_to(max: f64, unit: &str) -> PointDef {
    PointDef {
        value: ValueType::Number {
            unit: unit.to_owned(),
            min: 0.0,
            max,
        },
        ..gas_kind().point("lel").unwrap().1.clone()
    }
}

#[test]
fn points_go_by_name_and_words_by_word_across_changes_of_the_kinds() {
    let turned = gas_kind_of(vec![words(&["fault", "normal"]), lel_up_to(500.0, "%LEL")]);
    let mut recorder = Recorder::start(vec![gas_kind()], Vec::new());
    recorder.read("g1", &[(LEL, 60.0), (STATE, 2.0)]);
    recorder.read("g1", &[(LEL, 1.0), (STATE, 0.0)]);
    recorder.define(vec![turned], Vec::new());
    recorder.read("g1", &[(PointIndex(2), 60.0), (PointIndex(1), 0.0)]);
    recorder.read("g1", &[(PointIndex(2), 1.0), (PointIndex(1), 1.0)]);
    recorder.cut();
    let rules = vec![low(), rule("faulty", "state == 'fault'", None)];
    let other = gas_kind_of(vec![
        words(&["normal", "worn", "fault"]),
        lel_up_to(1000.0, "%LEL"),
    ]);
    let tested = recorder.test_with((vec![other], rules), 0, Recorded::default());
    let twice = BTreeMap::from([("gas-low".to_owned(), 2), ("faulty".to_owned(), 2)]);
    assert_eq!((tested.raised, tested.gaps), (twice, Gaps::default()));
}

#[test]
fn what_the_kinds_to_try_cannot_take_is_left_out_and_counted() {
    let mut recorder = Recorder::start(vec![gas_kind()], Vec::new());
    recorder.read("g1", &[(LEL, 60.0), (STATE, 1.0)]);
    recorder.cut();
    let gaps = |kind: Kind| {
        let on = kind.id.clone();
        let rules = vec![RuleDef::new("off", &on, "online == false")];
        recorder
            .test_with((vec![kind], rules), 0, Recorded::default())
            .gaps
    };
    let points = |points| Gaps {
        points,
        ..Gaps::default()
    };
    let without = gas_kind_of(vec![lel_up_to(100.0, "%LEL")]);
    assert_eq!(gaps(without), points(1), "no state");
    let narrow = gas_kind_of(vec![lel_up_to(50.0, "%LEL"), words(&["normal"])]);
    assert_eq!(gaps(narrow), points(2), "out of range, and no such word");
    let unit = gas_kind_of(vec![lel_up_to(100.0, "ppm"), words(&["normal", "warmup"])]);
    assert_eq!(gaps(unit), points(1), "another unit");
    let other = Kind::new("smoke".to_owned(), text("smoke"), Vec::new());
    let kinds = Gaps {
        kinds: 1,
        ..Gaps::default()
    };
    assert_eq!(gaps(other), kinds);
}

#[test]
fn a_journal_without_its_beginning_is_read_by_the_checkpoint() {
    let mut recorder = Recorder::start(vec![gas_kind()], Vec::new());
    recorder.lel(1.0);
    recorder.cut();
    recorder.pause(3_600_000);
    recorder.read("g2", &[(LEL, 60.0)]);
    recorder.pause(3_600_000);
    recorder.lel(60.0);
    recorder.cut();
    recorder.rows.remove(0);
    let rules = vec![low(), rule("silent", "age() >= '90s'", None)];
    let under = |recorded| recorder.test_with((vec![gas_kind()], rules.clone()), 0, recorded);
    let tested = under(recorder.checkpoint());
    // Of g1 nothing is recorded before it speaks.
    let raised = BTreeMap::from([("gas-low".to_owned(), 2), ("silent".to_owned(), 1)]);
    assert_eq!((tested.raised, tested.gaps), (raised, Gaps::default()));
    let unknown = Gaps {
        unrecorded: 2,
        ..Gaps::default()
    };
    assert_eq!(under(Recorded::default()).gaps, unknown);
}

#[test]
fn missing_rows_and_assumed_kinds_are_counted() {
    let mut recorder = Recorder::start(vec![gas_kind()], Vec::new());
    recorder.lel(1.0);
    recorder.cut();
    recorder.lel(60.0);
    recorder.cut();
    recorder.lel(2.0);
    recorder.lel(3.0);
    recorder.cut();
    recorder.define(vec![gas_kind()], vec![low()]);
    recorder.lel(4.0);
    recorder.cut();
    recorder.rows.remove(0);
    recorder.rows.remove(1);
    let tested = recorder.test_with((vec![gas_kind()], vec![low()]), 0, recorder.checkpoint());
    let gaps = Gaps {
        inputs: 2,
        assumed: 1,
        ..Gaps::default()
    };
    assert_eq!((tested.raised, tested.gaps), (times("gas-low", 1), gaps));
}

#[test]
fn a_damaged_row_and_lost_definitions_are_errors() {
    let definitions = Arc::new(Definitions::default());
    let fresh = || Backtest::new(&definitions, Timestamp(0), Recorded::default());
    let mut recorder = Recorder::start(vec![gas_kind()], Vec::new());
    recorder.cut();
    let (_, row) = &recorder.rows[0];
    let lost = fresh()
        .play(0, row, |_| Err("they are gone".to_owned()))
        .unwrap_err();
    assert!(lost.to_string().ends_with("they are gone"), "{lost}");
    let damaged = fresh().play(7, &[0xFF; 3], |_| Ok(Vec::new())).unwrap_err();
    assert!(
        damaged.to_string().starts_with("input 7 of the journal"),
        "{damaged}"
    );
}
