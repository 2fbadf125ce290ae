//! One reading against the ten rules of its kind, as the engine decides them (only those whose answer can have changed)
//! and all anew, beside the same logic written by hand in Rust (the floor), over the same readings in the same run; and
//! what compiling one rule costs.

#![expect(
    clippy::expect_used,
    reason = "a bench whose own rules do not compile must stop"
)]

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use ninewatch::domain::definitions::{DefinitionSource, Definitions, KindRules};
use ninewatch::domain::kind::{Keep, Kind, PointDef, SlotSet, ValueType};
use ninewatch::domain::rule::{News, RuleDef, Truth, compile};
use ninewatch::domain::text::Text;

/// Ten rules in the manner of `config/rules`: mostly one to three comparisons.
const RULES: [&str; 10] = [
    "lel >= 25.0",
    "lel >= 50.0",
    "lel >= 10.0 && lel < 25.0",
    "state == 'fault'",
    "state in ['warmup', 'end_of_life']",
    "!online",
    "temperature > 60.0 || temperature < -10.0",
    "online && battery < 20.0",
    "lel >= 15.0 && (temperature > 50.0 || state == 'fault')",
    "lel - baseline > 8.0",
];

/// Readings in turn, so that neither the compiler nor the branch predictor knows the next one.
const READINGS: usize = 4096;

type Slots = [f64; 6];

fn main() {
    let rules = rules();
    for stream in STREAMS {
        let mut kept = Kept::new(&rules);
        for slots in readings(stream) {
            let expected = by_hand(&slots);
            assert_eq!(
                anew(&rules, &slots),
                expected,
                "{stream:?}: all anew over {slots:?}"
            );
            assert_eq!(
                kept.take(&slots),
                expected,
                "{stream:?}: what changed, over {slots:?}"
            );
        }
    }
    divan::main();
}

/// How the values of a device follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stream {
    /// Every value differs from the last by a little, as sensors in a quiet room do.
    Restful,
    /// Every value anywhere in its range, a few missing: what no sensor sends.
    Wild,
}

const STREAMS: [Stream; 2] = [Stream::Restful, Stream::Wild];

/// A device's present values with the answers to them: only what can have changed is asked again.
struct Kept<'a> {
    rules: &'a KindRules,
    slots: Slots,
    /// Two bits a rule, as [`pack`] has them.
    answers: u32,
}

impl Kept<'_> {
    fn new(rules: &KindRules) -> Kept<'_> {
        let slots = [f64::NAN; 6];
        Kept {
            rules,
            slots,
            answers: anew(rules, &slots),
        }
    }

    #[inline]
    fn take(&mut self, slots: &Slots) -> u32 {
        let mut news = News::default();
        for ((slot, old), new) in (0_u8..).zip(&mut self.slots).zip(slots) {
            self.rules
                .grid
                .note(slot, std::mem::replace(old, *new), *new, &mut news);
        }
        for place in self.rules.grid.due(news, SlotSet::EMPTY) {
            if let Some(rule) = self.rules.rules.get(place) {
                let answer = rule.when.evaluate(&self.slots) as u32;
                let shift = 2 * (RULES.len() - 1 - place);
                self.answers = self.answers & !(3 << shift) | answer << shift;
            }
        }
        self.answers
    }
}

/// Two bits a rule.
fn pack(answers: &[Truth]) -> u32 {
    answers
        .iter()
        .fold(0, |packed, answer| (packed << 2) | *answer as u32)
}

fn kind() -> Kind {
    let number = || ValueType::Number {
        unit: String::new(),
        min: -1000.0,
        max: 1000.0,
    };
    let state = ["normal", "fault", "warmup", "end_of_life"]
        .map(str::to_owned)
        .to_vec();
    let points = [
        ("lel", number()),
        ("temperature", number()),
        ("state", ValueType::Enum { values: state }),
        ("battery", number()),
        ("baseline", number()),
    ];
    let points = points.map(|(id, value)| PointDef {
        id: id.to_owned(),
        value,
        default: None,
        stale_after: None,
        keep: Keep::default(),
        title: Text::default(),
    });
    Kind::new("gas_detector".to_owned(), Text::default(), points.to_vec())
}

/// The rules on their kind, in the order of [`RULES`].
fn rules() -> KindRules {
    let rules = RULES
        .iter()
        .enumerate()
        .map(|(place, when)| RuleDef::new(&format!("rule-{place}"), "gas_detector", when));
    let source = DefinitionSource {
        kinds: vec![kind()],
        rules: rules.collect(),
        ..DefinitionSource::default()
    };
    let definitions = Definitions::compile(source).expect("the bench's rules are valid");
    definitions.kinds().next().expect("one kind").clone()
}

/// The same readings in every run.
fn readings(stream: Stream) -> Vec<Slots> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut below = |bound: u32| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let high = u32::try_from(state >> 33).unwrap_or(0);
        high % bound
    };
    (0..READINGS)
        .map(|_| {
            if stream == Stream::Restful {
                return [
                    1.0,
                    f64::from(below(90)) / 10.0,
                    20.0 + f64::from(below(50)) / 10.0,
                    0.0,
                    95.0 - f64::from(below(30)) / 10.0,
                    f64::from(below(20)) / 10.0,
                ];
            }
            let mut slots = [
                f64::from(u8::from(below(20) > 0)),
                f64::from(below(600)) / 10.0,
                f64::from(below(90)) - 15.0,
                f64::from(below(16).saturating_sub(12)),
                f64::from(below(100)),
                f64::from(below(100)) / 10.0,
            ];
            if below(32) == 0
                && let Some(slot) = slots.get_mut(below(6) as usize)
            {
                *slot = f64::NAN;
            }
            slots
        })
        .collect()
}

fn anew(rules: &KindRules, slots: &Slots) -> u32 {
    rules
        .rules
        .iter()
        .fold(0, |packed, rule| (packed << 2) | rule.when.evaluate(slots) as u32)
}

fn known(missing: bool, holds: bool) -> Truth {
    if missing {
        Truth::Unknown
    } else if holds {
        Truth::True
    } else {
        Truth::False
    }
}

fn and(left: Truth, right: Truth) -> Truth {
    if left == Truth::False || right == Truth::False {
        Truth::False
    } else if left == Truth::Unknown || right == Truth::Unknown {
        Truth::Unknown
    } else {
        Truth::True
    }
}

fn or(left: Truth, right: Truth) -> Truth {
    if left == Truth::True || right == Truth::True {
        Truth::True
    } else if left == Truth::Unknown || right == Truth::Unknown {
        Truth::Unknown
    } else {
        Truth::False
    }
}

/// The rules as a programmer would write them into a gateway for this one device, missing points included.
fn by_hand(slots: &Slots) -> u32 {
    let [online, lel, temperature, state, battery, baseline] = *slots;
    let (no_lel, no_temperature, no_state) = (lel.is_nan(), temperature.is_nan(), state.is_nan());
    let fault = known(no_state, (0.5..1.5).contains(&state));
    let outcomes = [
        known(no_lel, lel >= 25.0),
        known(no_lel, lel >= 50.0),
        known(no_lel, (10.0..25.0).contains(&lel)),
        fault,
        known(no_state, state > 1.5),
        known(online.is_nan(), online == 0.0),
        known(no_temperature, !(-10.0..=60.0).contains(&temperature)),
        and(
            known(online.is_nan(), online != 0.0),
            known(battery.is_nan(), battery < 20.0),
        ),
        and(
            known(no_lel, lel >= 15.0),
            or(known(no_temperature, temperature > 50.0), fault),
        ),
        known(no_lel || baseline.is_nan(), lel - baseline > 8.0),
    ];
    pack(&outcomes)
}

/// The measured figure is for all readings; divide by the items for one.
fn over_readings(bencher: Bencher<'_, '_>, stream: Stream, mut decide: impl FnMut(&Slots) -> u32) {
    let readings = readings(stream);
    bencher.counter(ItemsCount::new(READINGS)).bench_local(|| {
        let readings = black_box(&readings);
        readings
            .iter()
            // Readings come one at a time: no working on several at once.
            .fold(0_u32, |sum, slots| sum.wrapping_add(decide(black_box(slots))))
    });
}

#[divan::bench(args = STREAMS)]
fn ten_rules_by_hand(bencher: Bencher<'_, '_>, stream: Stream) {
    over_readings(bencher, stream, by_hand);
}

#[divan::bench(args = STREAMS)]
fn ten_rules(bencher: Bencher<'_, '_>, stream: Stream) {
    let rules = rules();
    let mut kept = Kept::new(&rules);
    over_readings(bencher, stream, |slots| black_box(&mut kept).take(slots));
}

#[divan::bench(args = STREAMS)]
fn ten_rules_all_anew(bencher: Bencher<'_, '_>, stream: Stream) {
    let rules = rules();
    over_readings(bencher, stream, |slots| anew(black_box(&rules), slots));
}

/// Each rule by itself, to see which forms are dear.
#[divan::bench(args = RULES)]
fn one_rule(bencher: Bencher<'_, '_>, source: &str) {
    let program = compile(source, &kind()).expect("the bench's rules are valid");
    over_readings(bencher, Stream::Wild, |slots| {
        black_box(&program).evaluate(slots) as u32
    });
}

#[divan::bench(args = ["lel >= 25.0", "lel >= 15.0 && (temperature > 50.0 || state == 'fault')"])]
fn compile_one_rule(bencher: Bencher<'_, '_>, source: &str) {
    let kind = kind();
    bencher.bench(|| compile(black_box(source), black_box(&kind)));
}
