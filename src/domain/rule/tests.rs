//! Tables of conditions and of errors for the compiler as a whole.

use super::super::kind::{Keep, Kind, PointDef, PointIndex, ValueType};
use super::super::text::Text;
use super::super::time::Millis;
use super::check::{Context, Scope};
use super::compile::compile_into;
use super::{Derivations, ExpressionError, Program, Truth, compile, compile_proof};

const NAN: f64 = f64::NAN;

fn point(id: &str, value: ValueType) -> PointDef {
    PointDef {
        id: id.to_owned(),
        value,
        default: None,
        stale_after: None,
        keep: Keep::default(),
        title: Text::default(),
    }
}

fn number() -> ValueType {
    ValueType::Number {
        unit: String::new(),
        min: -1e9,
        max: 1e9,
    }
}

/// A condition whose evidence counts for a second.
fn compile_with(source: &str, kind: &Kind, derived: &mut Derivations) -> Result<Program, ExpressionError> {
    let mut context = Context {
        kind,
        derived,
        max_gap: Millis(1_000),
        scope: Scope::Device,
    };
    compile_into(source, &mut context, None)
}

/// Slots: online, lel, temperature, wet, state, mode.
pub(super) fn kind() -> Kind {
    let words = |words: &[&str]| ValueType::Enum {
        values: words.iter().map(|&word| word.to_owned()).collect(),
    };
    Kind::new(
        "gas_detector".to_owned(),
        Text::default(),
        vec![
            point("lel", number()),
            point("temperature", number()),
            point("wet", ValueType::Bool),
            point("state", words(&["normal", "fault", "warmup", "故障"])),
            point("mode", words(&["auto", "manual"])),
        ],
    )
}

fn compiled(source: &str) -> Program {
    compile(source, &kind()).unwrap_or_else(|error| panic!("{source}: {error} at {:?}", error.span))
}

#[test]
fn conditions_decide_as_written() {
    use Truth::{False, True, Unknown};
    let normal = [1.0, 30.0, 20.0, 0.0, 0.0, 0.0];
    let fault = [0.0, 60.0, -5.5, 1.0, 1.0, 1.0];
    let silent = [NAN; 6];
    for (source, expected) in [
        ("lel >= 25", [True, True, Unknown]),
        ("lel >= 25.0 && lel < 50", [True, False, Unknown]),
        ("50u <= lel", [False, True, Unknown]),
        ("lel == 30", [True, False, Unknown]),
        ("lel != 30", [False, True, Unknown]),
        ("lel > temperature", [True, True, Unknown]),
        ("!(lel > 0x1E)", [True, False, Unknown]),
        ("temperature == -5.5", [False, True, Unknown]),
        ("-temperature > .5e1", [False, True, Unknown]),
        ("lel - temperature * 2 <= -10", [True, False, Unknown]),
        ("(lel - temperature) * 2 == 20", [True, False, Unknown]),
        ("10 - 3 - 2 == 5", [True, True, True]),
        ("lel / (temperature - 20) > 0", [Unknown, False, Unknown]),
        ("lel * 1e308 * 10 > 0", [Unknown, Unknown, Unknown]),
        ("online", [True, False, Unknown]),
        ("!online", [False, True, Unknown]),
        ("online == false", [False, True, Unknown]),
        ("online != wet", [True, True, Unknown]),
        ("(lel > 50) == wet", [True, True, Unknown]),
        ("state == 'fault'", [False, True, Unknown]),
        ("\"fault\" != state", [True, False, Unknown]),
        ("state == '故障' || lel > 50 // 高报", [False, True, Unknown]),
        ("state in ['fault', 'warmup']", [False, True, Unknown]),
        ("!(state in ['fault', 'warmup'])", [True, False, Unknown]),
        ("lel in [30, 31.0]", [True, False, Unknown]),
        ("wet ? lel > 50 : lel > 40", [False, True, Unknown]),
        ("(wet ? 50 : 25) < lel", [True, True, Unknown]),
        ("!(wet ? online : lel > 20)", [False, True, Unknown]),
        ("lel < 0 && online", [False, False, Unknown]),
        ("lel > 0 || online", [True, True, Unknown]),
        ("true", [True, True, True]),
        ("false && online", [False, False, False]),
        ("online || true", [True, True, True]),
        (
            "(lel > 50 && wet) || (state == 'normal' && temperature < 0)",
            [False, True, Unknown],
        ),
    ] {
        let program = compiled(source);
        let outcome = [&normal, &fault, &silent].map(|slots| program.evaluate(slots));
        assert_eq!(outcome, expected, "{source}");
    }
}

#[test]
fn values_over_time_are_compared_by_their_bounds() {
    use Truth::{False, True, Unknown};
    const INF: f64 = f64::INFINITY;
    // Behind the six points stand the least and the greatest that the value may be.
    for (source, expected) in [
        ("max(lel, '5m') > 50", [True, Unknown, False, True, Unknown]),
        ("50 < max(lel, '5m')", [True, Unknown, False, True, Unknown]),
        ("!(max(lel, '5m') > 50)", [False, Unknown, True, False, Unknown]),
        ("max(lel, '5m') <= 50", [False, Unknown, True, False, Unknown]),
        ("max(lel, '5m') == 60", [True, Unknown, False, Unknown, Unknown]),
        ("max(lel, '5m') != 60", [False, Unknown, True, Unknown, Unknown]),
        (
            "max(lel, '5m') in [60, 61]",
            [True, Unknown, False, Unknown, Unknown],
        ),
        (
            "max(lel, '5m') - 10 > 40",
            [True, Unknown, False, Unknown, Unknown],
        ),
        ("-max(lel, '5m') < -50", [True, Unknown, False, Unknown, Unknown]),
        (
            "max(lel, '5m') > temperature",
            [True, Unknown, True, Unknown, Unknown],
        ),
        (
            "wet || max(lel, '5m') > 50",
            [True, Unknown, False, True, Unknown],
        ),
    ] {
        let program = compiled(source);
        let outcome = [[60.0, 60.0], [40.0, INF], [40.0, 40.0], [60.0, INF], [NAN, NAN]]
            .map(|[least, most]| program.evaluate(&[1.0, 30.0, 20.0, 0.0, 0.0, 0.0, least, most]));
        assert_eq!(outcome, expected, "{source}");
    }
    for (source, expected) in [
        ("held('2h', lel > 5)", [True, False, Unknown]),
        ("age() >= '10m'", [True, False, Unknown]),
        ("'10m' < age()", [True, False, Unknown]),
        ("!(age() > '10m') && online", [False, True, Unknown]),
        ("clock_skew()", [True, False, Unknown]),
        ("!registered()", [False, True, Unknown]),
        ("!clock_skew() && online", [False, True, Unknown]),
        ("command_failed()", [True, False, Unknown]),
    ] {
        let program = compiled(source);
        let outcome = [1.0, 0.0, NAN].map(|value| program.evaluate(&[1.0, 30.0, 20.0, 0.0, 0.0, 0.0, value]));
        assert_eq!(outcome, expected, "{source}");
    }
}

#[test]
fn each_different_value_over_time_has_slots_of_its_own_inner_ones_first() {
    let kind = kind();
    let mut derived = Derivations::new(&kind);
    for source in [
        "rate(lel, '30s') > 5 && rate(lel, '30s') < 9",
        "changes(state, '1h') > 3 || rate(lel, '30s') > 7",
        "held('2h', avg(temperature, '5m') > 60 || wet)",
        "age() >= '5m' || held('2h', avg(temperature, '5m') > 60 || wet)",
    ] {
        compile_with(source, &kind, &mut derived).expect(source);
    }
    let list = derived.into_list();
    let names: Vec<(&str, u8)> = list.iter().map(|one| (one.name.as_str(), one.slot)).collect();
    assert_eq!(
        names,
        [
            ("rate(lel, 30000)", 6),
            ("changes(state, 3600000)", 8),
            ("avg(temperature, 300000)", 10),
            (
                "held(7200000, avg(temperature, '5m') > 60 || wet) within 1000",
                12
            ),
            ("silent(300000)", 13),
        ]
    );
    let held: Vec<&str> = list[3].points(&kind).map(|point| point.id.as_str()).collect();
    assert_eq!(held, ["temperature", "wet"]);
    assert!(list[3].reads_slot(10) && !list[3].reads_slot(8));
}

#[test]
fn a_kind_has_slots_for_so_many_values_over_time() {
    let kind = kind();
    let mut derived = Derivations::new(&kind);
    let mut compiled = 0;
    let error = loop {
        let source = format!("wet || max(lel, '{}s') > 5", compiled + 1);
        match compile_with(&source, &kind, &mut derived) {
            Ok(_) => compiled += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(compiled, 61, "128 slots, six of them points, two for each");
    assert!(error.message.contains("too many different functions"), "{error}");
    assert_eq!(error.span, 7..22, "the call");
}

#[test]
fn unknown_points_follow_kleene() {
    for (slots, and, or) in [
        ([1.0, NAN], Truth::Unknown, Truth::True),
        ([0.0, NAN], Truth::False, Truth::Unknown),
        ([NAN, 60.0], Truth::Unknown, Truth::True),
        ([NAN, 10.0], Truth::False, Truth::Unknown),
    ] {
        assert_eq!(compiled("online && lel > 50").evaluate(&slots), and);
        assert_eq!(compiled("online || lel > 50").evaluate(&slots), or);
        // The same through the stack.
        assert_eq!(compiled("online && lel * 1 > 50").evaluate(&slots), and);
        assert_eq!(compiled("online || lel * 1 > 50").evaluate(&slots), or);
    }
    assert_eq!(compiled("lel > 50").evaluate(&[]), Truth::Unknown, "a short row");
}

#[test]
fn depends_names_every_point_read() {
    let reads = compiled("(wet ? lel : 3) > 2 && state in ['fault']").depends();
    let read: Vec<u8> = (0..64)
        .filter(|&index| reads.contains(PointIndex(index)))
        .collect();
    assert_eq!(read, [1, 3, 4]);
}

/// (source, text of the span, part of the message, suggestion)
const ERRORS: &[(&str, &str, &str, Option<&str>)] = &[
    ("", "", "empty", None),
    (" \n", " \n", "empty", None),
    (
        "leel > 50",
        "leel",
        "no point `leel`; it has online, lel",
        Some("lel"),
    ),
    ("zzzzzz > 50", "zzzzzz", "no point `zzzzzz`", None),
    ("state == '故障' && le > 5", "le", "no point `le`", Some("lel")),
    ("state == fault", "fault", "put it in quotes", Some("'fault'")),
    ("state == 'falt'", "'falt'", "no word `falt`", Some("'fault'")),
    (
        "state == '故' || state == 'falt'",
        "'故'",
        "no word `故`",
        Some("'故障'"),
    ),
    (
        "state in ['fault', 'warmpu']",
        "'warmpu'",
        "no word `warmpu`",
        Some("'warmup'"),
    ),
    (
        "wet == 1",
        "wet == 1",
        "true or false cannot be compared with a number",
        Some("wet"),
    ),
    (
        "lel > 5 && (online) == 0",
        "(online) == 0",
        "cannot be compared",
        Some("!online"),
    ),
    (
        "lel == 'high'",
        "lel == 'high'",
        "a number cannot be compared with a word",
        None,
    ),
    ("state > 'fault'", "state > 'fault'", "only be compared", None),
    (
        "state == 1",
        "state == 1",
        "a point with words cannot be compared with a number",
        None,
    ),
    ("state == mode", "state == mode", "only be compared", None),
    ("online < wet", "online < wet", "no order", None),
    ("lel", "lel", "must be true or false, but this is a number", None),
    ("(lel + 1) * 2", "(lel + 1) * 2", "this is a number", None),
    ("state", "state", "== 'normal'", None),
    ("lel && wet", "lel", "each side of `&&`", None),
    ("wet || lel + -3", "lel + -3", "each side of `||`", None),
    ("wet + 1 > 2", "wet", "`+` needs numbers", None),
    ("lel > -'a'", "'a'", "`-` needs numbers", None),
    ("-wet", "wet", "`-` needs numbers", None),
    (
        "wet ? lel : online",
        "wet ? lel : online",
        "both sides of `:`",
        None,
    ),
    ("lel / 0 > 1", "lel / 0", "division by zero", None),
    ("lel in []", "[]", "list is empty", None),
    ("lel in temperature", "temperature", "needs a list", None),
    ("lel in [1, 'a']", "'a'", "of numbers", None),
    ("state in [1]", "1", "quoted words", None),
    ("wet in [true]", "wet", "on its left", None),
    ("lel == [1]", "[1]", "behind `in`", None),
    (
        "ratte(lel, '30s') > 5",
        "ratte",
        "function `ratte` is not",
        Some("rate"),
    ),
    ("size(lel) > 5", "size", "stands behind a kind", None),
    ("rate(leel, '30s') > 5", "leel", "no point `leel`", Some("lel")),
    ("rate(lel + 1, '30s') > 5", "lel + 1", "the name of a point", None),
    ("wet && rate(lel) > 5", "rate(lel)", "a point and a window", None),
    ("rate() > 5", "rate()", "a point and a window", None),
    (
        "max(lel, '5m', 3) > 5",
        "max(lel, '5m', 3)",
        "a point and a window",
        None,
    ),
    ("avg(state, '30s') > 5", "state", "a point with numbers", None),
    ("min(wet, '30s') > 5", "wet", "a point with numbers", None),
    (
        "rate(lel, '30 s') > 5",
        "'30 s'",
        "not a length of time",
        Some("'30s'"),
    ),
    (
        "rate(lel, '5M') > 5",
        "'5M'",
        "not a length of time",
        Some("'5m'"),
    ),
    ("rate(lel, 'abc') > 5", "'abc'", "not a length of time", None),
    ("rate(lel, 30) > 5", "30", "quoted length of time", None),
    ("rate(lel, '999ms') > 5", "'999ms'", "1s to 366d", None),
    ("rate(lel, '367d') > 5", "'367d'", "1s to 366d", None),
    ("rate(lel, '30s')", "rate(lel, '30s')", "this is a number", None),
    (
        "rate(lel, '30s') == '故障'",
        "rate(lel, '30s') == '故障'",
        "cannot be compared",
        None,
    ),
    (
        "held(wet) && wet",
        "held(wet)",
        "a length of time and a condition",
        None,
    ),
    (
        "held('2h', lel)",
        "lel",
        "what is held must be true or false",
        None,
    ),
    ("held('2h', rate(lel, '0s') > 5)", "'0s'", "1s to 366d", None),
    (
        "held('2h', wet) > 5",
        "held('2h', wet) > 5",
        "cannot be compared",
        None,
    ),
    ("age()", "age()", "compare age()", None),
    ("age('10m')", "age('10m')", "takes nothing", Some("age()")),
    (
        "clock_skew('1m')",
        "clock_skew('1m')",
        "takes nothing",
        Some("clock_skew()"),
    ),
    ("clock_skew() > 5", "clock_skew() > 5", "cannot be compared", None),
    (
        "command_failed(lel)",
        "command_failed(lel)",
        "takes nothing",
        Some("command_failed()"),
    ),
    (
        "registered('1m')",
        "registered('1m')",
        "takes nothing",
        Some("registered()"),
    ),
    ("clock_skw()", "clock_skw", "not supported", Some("clock_skew")),
    ("age() > 600", "age() > 600", "quoted length of time", None),
    ("age() >= '10x'", "'10x'", "not a length of time", None),
    (
        "age() < '10m'",
        "age() < '10m'",
        ">= or >",
        Some("!(age() >= '10m')"),
    ),
    ("age() == '10m'", "age() == '10m'", ">= or >", None),
    ("age() + 1 > 2", "age()", "`+` needs numbers", None),
    ("rate(,) > 5", ",", "value is missing before", None),
    ("rate(lel,) > 5", ")", "value is missing before", None),
    ("age(() > 5", ")", "value is missing before", None),
    ("state.startsWith('f')", ".", "field or method", None),
    ("has(state.x)", "has", "function `has`", None),
    ("lel[0] > 1", "[", "index", None),
    ("lel % 2 == 0", "%", "`%` is not supported", None),
    ("{'a': 1} == 1", "{", "maps", None),
    ("lel == null", "null", "no `null`", None),
    ("r'a' == state", "r", "prefix", None),
    ("lel = 5", "=", "written `==`", Some("==")),
    ("wet & online", "&", "written `&&`", Some("&&")),
    ("wet and online", "and", "operator is missing", Some("&&")),
    ("wet or online", "or", "operator is missing", Some("||")),
    ("not wet", "not", "written `!`", Some("!")),
    ("state == '故障' && lel ≥ 50", "≥", "no meaning", Some(">=")),
    ("lel > 5 &&", "&&", "value is missing after", None),
    ("&& lel > 5", "&&", "value is missing before", None),
    ("(lel > 5", "(", "never closed", None),
    ("lel > 5)", ")", "has no `(`", None),
    ("(lel > 5]", "]", "has no `[`", None),
    ("state == 'fault", "'fault", "not closed", None),
    ("!!wet", "!", "two signs", None),
    ("lel > 5x", "5x", "cannot stand here", None),
    ("state == '故障' && lel > 5x", "5x", "cannot stand here", None),
    (
        "lel > 99999999999999999999",
        "99999999999999999999",
        "invalid int literal",
        None,
    ),
    ("lel > 1e999", "1e999", "invalid double literal", None),
    ("wet ? lel > 5", "5", "cannot stand here", None),
    ("state == '故障' && wet : online", ":", "cannot stand here", None),
    ("lel > (1, 2)", ",", "cannot stand here", None),
    ("for > 5", "for", "reserved", None),
];

#[test]
fn errors_name_the_part_and_the_remedy() {
    for &(source, span, message, suggestion) in ERRORS {
        let error = compile(source, &kind()).expect_err(source);
        assert_eq!(
            source.get(error.span.clone()),
            Some(span),
            "{source}: {error} at {:?}",
            error.span
        );
        assert!(error.message.contains(message), "{source}: {error}");
        assert_eq!(error.suggestion.as_deref(), suggestion, "{source}: {error}");
    }
}

#[test]
fn a_proof_asks_points_and_nothing_else() {
    assert!(compile_proof("state == 'normal' || wet", &kind()).is_ok());
    for (source, part, message) in [
        ("wet && rate(lel, '30s') < 0.1", "rate(lel, '30s')", "only points"),
        ("held('5s', wet)", "held('5s', wet)", "only points"),
        ("wet && age() >= '10m'", "age() >= '10m'", "only points"),
        ("clock_skew() || wet", "clock_skew()", "only points"),
        ("!command_failed()", "command_failed()", "only points"),
        ("true", "true", "no point is asked"),
    ] {
        let error = compile_proof(source, &kind()).unwrap_err();
        assert_eq!(source.get(error.span.clone()), Some(part), "{source}: {error:?}");
        assert!(error.message.contains(message), "{source}: {error:?}");
    }
}
