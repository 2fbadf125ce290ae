//! Random conditions against a naive evaluator, and random text against the compiler.

use std::fmt::{self, Display};

use proptest::prelude::*;

use super::super::kind::SlotSet;
use super::tests::kind;
use super::venue_tests::compile_on_venue;
use super::{Derivations, Grid, News, Rule, RuleDef, Truth, compile};

#[derive(Debug, Clone)]
enum Number {
    Literal(f64),
    Point(usize),
    Negate(Box<Number>),
    Binary(char, Box<Number>, Box<Number>),
    Choose(Box<Bool>, Box<Number>, Box<Number>),
}

#[derive(Debug, Clone)]
enum Bool {
    Literal(bool),
    Point(usize),
    Compare(&'static str, Number, Number),
    Word(bool, usize),
    OneOf(Vec<usize>),
    NumberIn(Vec<f64>),
    Not(Box<Bool>),
    Binary(&'static str, Box<Bool>, Box<Bool>),
    Choose(Box<Bool>, Box<Bool>, Box<Bool>),
}

const POINTS: [&str; 6] = ["online", "lel", "temperature", "wet", "state", "mode"];
const WORDS: [&str; 4] = ["normal", "fault", "warmup", "故障"];

impl Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Number::Literal(value) => write!(f, "{value:?}"),
            Number::Point(slot) => f.write_str(POINTS[*slot]),
            Number::Negate(inner) => write!(f, "-({inner})"),
            Number::Binary(operator, left, right) => write!(f, "({left} {operator} {right})"),
            Number::Choose(condition, yes, no) => write!(f, "({} ? {yes} : {no})", condition.inside()),
        }
    }
}

impl Display for Bool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bool::Literal(value) => write!(f, "{value}"),
            Bool::Point(slot) => f.write_str(POINTS[*slot]),
            Bool::Compare(operator, left, right) => write!(f, "{left} {operator} {right}"),
            Bool::Word(true, word) => write!(f, "state == '{}'", WORDS[*word]),
            Bool::Word(false, word) => write!(f, "state != '{}'", WORDS[*word]),
            Bool::OneOf(words) => {
                let words: Vec<String> = words.iter().map(|word| format!("'{}'", WORDS[*word])).collect();
                write!(f, "state in [{}]", words.join(", "))
            }
            Bool::NumberIn(values) => write!(f, "lel in {values:?}"),
            Bool::Not(inner) => write!(f, "!({inner})"),
            Bool::Binary(operator @ ("&&" | "||"), left, right) => {
                write!(f, "{} {operator} {}", left.inside(), right.inside())
            }
            Bool::Binary(operator, left, right) => write!(f, "({left}) {operator} ({right})"),
            Bool::Choose(condition, yes, no) => {
                write!(f, "{} ? {} : {}", condition.inside(), yes.inside(), no.inside())
            }
        }
    }
}

impl Bool {
    /// As an operand: few brackets, because their depth is bounded.
    fn inside(&self) -> String {
        if matches!(self, Bool::Binary(..) | Bool::Choose(..)) {
            format!("({self})")
        } else {
            self.to_string()
        }
    }
}

impl Number {
    fn value(&self, slots: &[f64]) -> Option<f64> {
        let value = match self {
            Number::Literal(value) => *value,
            Number::Point(slot) => slots[*slot],
            Number::Negate(inner) => -inner.value(slots)?,
            Number::Binary(operator, left, right) => {
                let (left, right) = (left.value(slots)?, right.value(slots)?);
                match operator {
                    '+' => left + right,
                    '-' => left - right,
                    '*' => left * right,
                    _ => left / right,
                }
            }
            Number::Choose(condition, yes, no) => {
                let chosen = if condition.value(slots)? { yes } else { no };
                chosen.value(slots)?
            }
        };
        value.is_finite().then_some(value)
    }
}

#[expect(clippy::float_cmp, reason = "`==` in a rule means the number as written")]
impl Bool {
    fn value(&self, slots: &[f64]) -> Option<bool> {
        let known = |slot: usize| Some(slots[slot]).filter(|value| !value.is_nan());
        match self {
            Bool::Literal(value) => Some(*value),
            Bool::Point(slot) => known(*slot).map(|value| value == 1.0),
            Bool::Compare(operator, left, right) => {
                let (left, right) = (left.value(slots)?, right.value(slots)?);
                Some(match *operator {
                    "==" => left == right,
                    "!=" => left != right,
                    "<" => left < right,
                    "<=" => left <= right,
                    ">" => left > right,
                    _ => left >= right,
                })
            }
            Bool::Word(equal, word) => known(4).map(|value| (value == *word as f64) == *equal),
            Bool::OneOf(words) => known(4).map(|value| words.iter().any(|word| value == *word as f64)),
            Bool::NumberIn(values) => known(1).map(|value| values.contains(&value)),
            Bool::Not(inner) => inner.value(slots).map(|value| !value),
            Bool::Binary(operator, left, right) => {
                let (left, right) = (left.value(slots), right.value(slots));
                match (*operator, left, right) {
                    ("&&", Some(false), _) | ("&&", _, Some(false)) => Some(false),
                    ("||", Some(true), _) | ("||", _, Some(true)) => Some(true),
                    (_, None, _) | (_, _, None) => None,
                    ("&&", ..) => Some(true),
                    ("||", ..) => Some(false),
                    ("==", left, right) => Some(left == right),
                    (_, left, right) => Some(left != right),
                }
            }
            Bool::Choose(condition, yes, no) => {
                if condition.value(slots)? {
                    yes.value(slots)
                } else {
                    no.value(slots)
                }
            }
        }
    }
}

fn literal() -> impl Strategy<Value = f64> {
    prop_oneof![
        (0..4_i32).prop_map(f64::from),
        (0..400_i32).prop_map(|quarter| f64::from(quarter) / 4.0)
    ]
}

fn small_number() -> BoxedStrategy<Number> {
    prop_oneof![
        literal().prop_map(Number::Literal),
        (1..3_usize).prop_map(Number::Point)
    ]
    .boxed()
}

/// A number over points only, so that no two literals are folded into an error.
fn number(condition: BoxedStrategy<Bool>) -> BoxedStrategy<Number> {
    let leaf = (1..3_usize).prop_map(Number::Point);
    leaf.prop_recursive(3, 8, 3, move |inner| {
        let operator = prop::sample::select(vec!['+', '-', '*', '/']);
        prop_oneof![
            inner.clone().prop_map(|inner| Number::Negate(Box::new(inner))),
            (operator, inner.clone(), inner.clone()).prop_map(|(operator, left, right)| Number::Binary(
                operator,
                Box::new(left),
                Box::new(right)
            )),
            (Just('+'), inner.clone(), literal()).prop_map(|(operator, left, right)| Number::Binary(
                operator,
                Box::new(left),
                Box::new(Number::Literal(right))
            )),
            (condition.clone(), inner.clone(), inner).prop_map(|(condition, yes, no)| Number::Choose(
                Box::new(condition),
                Box::new(yes),
                Box::new(no)
            )),
        ]
    })
    .boxed()
}

fn leaf() -> BoxedStrategy<Bool> {
    let operator = || prop::sample::select(vec!["==", "!=", "<", "<=", ">", ">="]);
    prop_oneof![
        1 => any::<bool>().prop_map(Bool::Literal),
        3 => prop::sample::select(vec![0_usize, 3]).prop_map(Bool::Point),
        8 => (operator(), small_number(), small_number()).prop_map(|(o, l, r)| Bool::Compare(o, l, r)),
        2 => (any::<bool>(), 0..4_usize).prop_map(|(equal, word)| Bool::Word(equal, word)),
        2 => prop::collection::vec(0..4_usize, 1..4).prop_map(Bool::OneOf),
        1 => prop::collection::vec(literal(), 1..4).prop_map(Bool::NumberIn),
    ]
    .boxed()
}

fn condition() -> impl Strategy<Value = Bool> {
    let operator = || prop::sample::select(vec!["==", "!=", "<", "<=", ">", ">="]);
    let compare = (operator(), number(leaf()), number(leaf())).prop_map(|(o, l, r)| Bool::Compare(o, l, r));
    let start = prop_oneof![3 => leaf(), 1 => compare];
    start.prop_recursive(4, 16, 3, |inner| {
        let operator = prop::sample::select(vec!["&&", "||", "&&", "||", "==", "!="]);
        prop_oneof![
            1 => inner.clone().prop_map(|inner| Bool::Not(Box::new(inner))),
            4 => (operator, inner.clone(), inner.clone())
                .prop_map(|(o, left, right)| Bool::Binary(o, Box::new(left), Box::new(right))),
            1 => (inner.clone(), inner.clone(), inner)
                .prop_map(|(c, yes, no)| Bool::Choose(Box::new(c), Box::new(yes), Box::new(no))),
        ]
    })
}

fn slots() -> impl Strategy<Value = [f64; 6]> {
    let flag = || prop::sample::select(vec![0.0, 1.0, f64::NAN]);
    let measured = || prop_oneof![3 => literal(), 1 => Just(-2.5), 1 => Just(f64::NAN)];
    let word = || prop::sample::select(vec![0.0, 1.0, 2.0, 3.0, f64::NAN]);
    (flag(), measured(), measured(), flag(), word(), Just(0.0))
        .prop_map(|(online, lel, temperature, wet, state, mode)| [online, lel, temperature, wet, state, mode])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn programs_equal_the_naive_evaluator(
        condition in condition(),
        rows in prop::collection::vec(slots(), 8),
    ) {
        let source = condition.to_string();
        // What the bounds refuse is no counter-example.
        let program = match compile(&source, &kind()) {
            Ok(program) => program,
            Err(error) => {
                let bounded = ["operators", "too deep", "bytes long"];
                prop_assert!(bounded.iter().any(|bound| error.message.contains(bound)), "{}: {}", source, error);
                return Err(TestCaseError::reject("bounded"));
            }
        };
        for row in rows {
            let expected = Truth::from(condition.value(&row));
            prop_assert_eq!(program.evaluate(&row), expected, "{} over {:?}", source, row);
        }
    }

    #[test]
    fn a_rule_that_is_not_due_answers_as_before(
        condition in condition(),
        rows in prop::collection::vec(slots(), 8),
    ) {
        let source = condition.to_string();
        let def = RuleDef::new("rule", "kind", &source);
        let Ok(rule) = Rule::compile(&def, &kind(), &mut Derivations::new(&kind()), None) else {
            return Err(TestCaseError::reject("bounded"));
        };
        let grid = Grid::of(std::slice::from_ref(&rule), &[], kind().points.len());
        for pair in rows.windows(2) {
            let mut mixed = pair[0];
            for ((slot, value), new) in (0_u8..).zip(&mut mixed).zip(pair[1]) {
                let mut news = News::default();
                grid.note(slot, *value, new, &mut news);
                if grid.due(news, SlotSet::EMPTY).next().is_none() {
                    *value = new;
                }
            }
            let (before, after) = (rule.when.evaluate(&pair[0]), rule.when.evaluate(&mixed));
            prop_assert_eq!(after, before, "{} from {:?} to {:?}", source, pair[0], mixed);
        }
    }

    #[test]
    fn arbitrary_text_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        check_total(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn arbitrary_questions_never_panic(
        parts in prop::collection::vec(prop::sample::select(PIECES.to_vec()), 0..12),
        method in prop::sample::select(vec!["exists", "all", "exists_one", "filter", "size"]),
        behind in prop::sample::select(vec!["", ".size()", ".size() > 1", " && devices.size() > 1"]),
    ) {
        check_total(&format!("gas_detector.{method}(d, {}){behind}", parts.concat()));
    }

    #[test]
    fn arbitrary_tokens_never_panic(parts in prop::collection::vec(prop::sample::select(PIECES.to_vec()), 0..24)) {
        check_total(&parts.concat());
    }
}

const PIECES: [&str; 72] = [
    "gas_detector",
    "valve",
    "devices",
    ".",
    ".exists(",
    ".all(",
    ".exists_one(",
    ".filter(",
    ".size()",
    "d",
    "d, ",
    "d.",
    "d.lel",
    "age(d)",
    "clock_skew()",
    "command_failed()",
    "registered()",
    "rate(",
    "held(",
    "age()",
    "age(",
    "max(lel, '5m')",
    "'5m'",
    "changes",
    "lel",
    "online",
    "state",
    "'fault'",
    "'故障'",
    "\"a\"",
    "1",
    "2.5",
    "0x",
    "1e9",
    "1u",
    "5x",
    ".5",
    "true",
    "false",
    "null",
    " in ",
    "[",
    "]",
    "(",
    ")",
    ",",
    "==",
    "!=",
    "<",
    "<=",
    ">",
    ">=",
    "&&",
    "||",
    "!",
    "-",
    "+",
    "*",
    "/",
    "?",
    ":",
    " ",
    "\n",
    "'\\x'",
    "'\\u12'",
    "'\\377'",
    "'\\U00110000'",
    "'\\ud800'",
    "b",
    "é",
    "//",
    "\t",
];

/// Whatever the text, on a device and on a venue, an answer or an error with a span inside it.
fn check_total(source: &str) {
    match compile(source, &kind()) {
        Ok(program) => {
            program.evaluate(&[1.0; 6]);
        }
        Err(error) => assert!(source.get(error.span.clone()).is_some(), "{source:?}: {error:?}"),
    }
    match compile_on_venue(source) {
        Ok(compiled) => {
            compiled.rule.when.evaluate(&[1.0; 6]);
            for feed in compiled.feeds.iter().flatten() {
                feed.condition.evaluate(&[1.0; 6]);
            }
        }
        Err(error) => assert!(source.get(error.span.clone()).is_some(), "{source:?}: {error:?}"),
    }
}
