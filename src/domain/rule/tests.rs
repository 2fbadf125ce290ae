//! Tables of conditions and of errors for the compiler as a whole.

use super::super::kind::{Kind, PointDef, PointIndex, ValueType};
use super::super::text::Text;
use super::{Program, Truth, compile};

const NAN: f64 = f64::NAN;

fn point(id: &str, value: ValueType) -> PointDef {
    PointDef {
        id: id.to_owned(),
        value,
        default: None,
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
        "rate(lel, '30s') > 5",
        "rate",
        "function `rate` is not supported",
        None,
    ),
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
