//! Places, conditions and words as profile files write them: short where there is one thing to say.

use toml::de::DeValue;

use super::document::Table;
use super::value::Value;
use crate::domain::profile::def::{ByteField, Coding, ConditionDef, SourceDef, TestDef};

const CODINGS: [(&str, Coding); 4] = [
    ("unsigned", Coding::Unsigned),
    ("signed", Coding::Signed),
    ("float", Coding::Float),
    ("bcd", Coding::Bcd),
];

/// Whether the least significant byte is first, and whether the least significant word of two bytes is.
const ORDERS: [(&str, (bool, bool)); 3] = [
    ("big", (false, false)),
    ("little", (true, false)),
    ("swapped", (false, true)),
];

/// What a value is written as.
pub(super) enum Words {
    /// A table.
    Table,
    /// A list.
    List,
    /// Anything else.
    One,
}

impl Words {
    /// What `value` is.
    pub(super) const fn of(value: &Value<'_>) -> Words {
        match value.tree {
            DeValue::Table(_) => Words::Table,
            DeValue::Array(_) => Words::List,
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => Words::One,
        }
    }
}

/// The texts of a list.
pub(super) fn texts(value: &Value<'_>) -> Vec<String> {
    let items = value.list().unwrap_or_default();
    let items = items.iter().filter_map(Value::filled_text);
    items.map(String::from).collect()
}

/// One word or a list of them; numbers, true and false too.
pub(super) fn words(value: &Value<'_>) -> Vec<String> {
    match Words::of(value) {
        Words::List => {
            let items = value.list().unwrap_or_default();
            items.iter().filter_map(word).collect()
        }
        Words::Table | Words::One => word(value).into_iter().collect(),
    }
}

/// A word; a whole number in any notation as its digits.
fn word(value: &Value<'_>) -> Option<String> {
    match value.tree {
        DeValue::Integer(_) => Some(value.integer(i64::MIN..=i64::MAX)?.to_string()),
        DeValue::String(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Array(_)
        | DeValue::Table(_) => value.any_scalar_text(),
    }
}

/// One place or a list of them, the first that has something counts.
pub(super) fn places(value: &Value<'_>) -> Option<Vec<String>> {
    match Words::of(value) {
        Words::List => value.list()?.iter().map(place).collect(),
        Words::Table | Words::One => Some(vec![place(value)?]),
    }
}

/// As [`places`]; none when something is wrong.
pub(super) fn pointers(value: &Value<'_>) -> Vec<String> {
    places(value).unwrap_or_default()
}

/// A JSON Pointer (RFC 6901: empty, or `/` before each step, `~` only as `~0` or `~1`), `key`, `index`, `number`, or a
/// capture in braces; `^` before it for each level out.
fn place(value: &Value<'_>) -> Option<String> {
    let text = value.text()?;
    let rest = text.trim_start_matches('^');
    let special = ["", "key", "index", "number"].contains(&rest) || rest.starts_with('{');
    let escapes_fit = text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    if special || (rest.starts_with('/') && escapes_fit) {
        return Some(text.into_owned());
    }
    let help = if escapes_fit {
        format!("did you mean \"/{}\"?", text.replace('.', "/"))
    } else {
        "`~` is written `~0`, and a `/` within a name `~1`".to_owned()
    };
    value.wrong_with(format!("{text:?} is not a JSON Pointer"), help);
    None
}

/// A place, a list of places, or `{ at, byte, width, … }`.
pub(super) fn source(value: &Value<'_>) -> Option<SourceDef> {
    match Words::of(value) {
        Words::Table => source_of(&mut value.table(&format!("`{}`", value.key))?),
        Words::List | Words::One => Some(SourceDef {
            at: places(value)?,
            bytes: None,
        }),
    }
}

/// The keys `at`, `byte`, `width`, `endian` and `coding` of a table.
pub(super) fn source_of(table: &mut Table<'_>) -> Option<SourceDef> {
    let at = table.optional("at").map(|at| places(&at));
    let bytes = bytes(table);
    Some(SourceDef {
        at: at.unwrap_or_else(|| Some(Vec::new()))?,
        bytes,
    })
}

fn bytes(table: &mut Table<'_>) -> Option<ByteField> {
    let byte = table.optional("byte");
    let width = table.optional("width");
    let endian = table.optional("endian");
    let coding = table.optional("coding");
    let signed = table.optional("signed");
    let Some(byte) = byte else {
        for value in [width, endian, coding, signed].into_iter().flatten() {
            value.key_wrong(&format!("`{}` is for bytes: give `byte` too", value.key));
        }
        return None;
    };
    let order = endian.and_then(|endian| endian.word("byte order", &ORDERS));
    let (little, swapped) = order.unwrap_or_default();
    let signed = signed.and_then(|signed| signed.boolean()) == Some(true);
    let usual = if signed { Coding::Signed } else { Coding::Unsigned };
    Some(ByteField {
        byte: i32::try_from(byte.integer(-65_535..=65_535)?).ok()?,
        width: width
            .and_then(|width| usize::try_from(width.integer(1..=8)?).ok())
            .unwrap_or(1),
        little,
        swapped,
        coding: coding
            .and_then(|coding| coding.word("coding", &CODINGS))
            .unwrap_or(usual),
    })
}

/// A condition, or a list of conditions that all must hold.
pub(super) fn conditions(value: &Value<'_>) -> Vec<ConditionDef> {
    match Words::of(value) {
        Words::List => {
            let items = value.list().unwrap_or_default();
            items.iter().filter_map(condition).collect()
        }
        Words::Table | Words::One => condition(value).into_iter().collect(),
    }
}

/// A place that must have something, or `{ at, is | not | present }`.
pub(super) fn condition(value: &Value<'_>) -> Option<ConditionDef> {
    let Words::Table = Words::of(value) else {
        return Some(ConditionDef {
            source: SourceDef {
                at: vec![place(value)?],
                bytes: None,
            },
            test: TestDef::Present(true),
        });
    };
    let mut table = value.table("the condition")?;
    let source = source_of(&mut table);
    let is = table.optional("is").map(|is| TestDef::Is(words(&is)));
    let not = table.optional("not").map(|not| TestDef::Not(words(&not)));
    let present = table.optional("present");
    let present = present
        .and_then(|present| present.boolean())
        .map(TestDef::Present);
    let tests: Vec<TestDef> = [is, not, present].into_iter().flatten().collect();
    if tests.len() > 1 {
        value.wrong("a condition has one of `is`, `not` and `present`");
    }
    Some(ConditionDef {
        source: source?,
        test: tests.into_iter().next().unwrap_or(TestDef::Present(true)),
    })
}

/// A TOML value as JSON.
pub(super) fn json(value: &DeValue<'_>) -> serde_json::Value {
    match value {
        DeValue::String(text) => serde_json::Value::from(text.as_ref()),
        DeValue::Integer(number) => {
            serde_json::Value::from(i64::from_str_radix(number.as_str(), number.radix()).unwrap_or(i64::MAX))
        }
        DeValue::Float(number) => serde_json::Value::from(number.as_str().parse::<f64>().unwrap_or(f64::NAN)),
        DeValue::Boolean(value) => serde_json::Value::from(*value),
        DeValue::Datetime(at) => serde_json::Value::from(at.to_string()),
        DeValue::Array(items) => items.iter().map(|item| json(item.get_ref())).collect(),
        DeValue::Table(entries) => entries
            .iter()
            .map(|(key, value)| (key.get_ref().to_string(), json(value.get_ref())))
            .collect::<serde_json::Map<_, _>>()
            .into(),
    }
}
