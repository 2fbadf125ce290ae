//! What names may look like, and that no two things of a sort have the same one.

use std::collections::HashMap;

use super::document::Table;
use super::finding::{Nature, did_you_mean};
use super::source::{Place, Report};
use super::value::Value;

const LONGEST: usize = 64;

/// Words of CEL that cannot name a kind or a point.
const RESERVED: [&str; 21] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "false",
    "for",
    "function",
    "if",
    "import",
    "in",
    "let",
    "loop",
    "namespace",
    "null",
    "package",
    "return",
    "true",
    "var",
    "void",
    "while",
];

/// A name of letters, digits, `-`, `_` and `.`, such as goes into metrics, URLs and file names.
pub(super) fn name(value: &Value<'_>) -> Option<String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    checked(value, "use letters, digits, `-`, `_` and `.`", |text| {
        text.chars().all(allowed)
    })
}

/// The name of a kind or point, as rules write it: small letters, digits and `_`.
pub(super) fn identifier(value: &Value<'_>) -> Option<String> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let id = checked(
        value,
        "use small letters, digits and `_`, a letter first",
        |text| text.chars().all(allowed) && text.starts_with(|c: char| c.is_ascii_lowercase()),
    )?;
    if RESERVED.contains(&id.as_str()) {
        value.wrong(format!(
            "`{id}` is a word of the rule language and cannot be a name"
        ));
        return None;
    }
    Some(id)
}

/// The id of a venue or device: one level of an MQTT topic.
pub(super) fn topic_level(value: &Value<'_>) -> Option<String> {
    let allowed = |c: char| !matches!(c, '/' | '+' | '#') && !c.is_whitespace() && !c.is_control();
    checked(
        value,
        "it is one level of an MQTT topic: no `/`, `+`, `#` or space",
        |text| text.chars().all(allowed),
    )
}

fn checked(value: &Value<'_>, rule: &str, is_valid: impl Fn(&str) -> bool) -> Option<String> {
    let text = value.filled_text()?;
    if text.chars().count() > LONGEST {
        value.wrong(format!("`{}` is longer than {LONGEST} characters", value.key));
        None
    } else if is_valid(&text) {
        Some(text.into_owned())
    } else {
        value.wrong_with(
            format!("{text:?} is not a valid `{}`", value.key),
            rule.to_owned(),
        );
        None
    }
}

/// The names of one sort, each with where it was given first.
#[derive(Debug)]
pub(super) struct Names {
    what: &'static str,
    first: HashMap<String, Place>,
}

impl Names {
    /// No names yet of `what`, for example `target`.
    pub(super) fn new(what: &'static str) -> Names {
        Names {
            what,
            first: HashMap::new(),
        }
    }

    /// Takes in a name; reports it when there is one already.
    pub(super) fn add(&mut self, name: &str, value: &Value<'_>, report: &Report) {
        let place = value.place();
        if let Some(first) = self.first.get(name) {
            let earlier = first.problem("");
            let message = format!("there are two {}s called `{name}`", self.what);
            report.add(place.problem(message).label("the second one").help(format!(
                "the first is at {}:{}:{}",
                earlier.file, earlier.line, earlier.column
            )));
        } else {
            self.first.insert(name.to_owned(), place);
        }
    }

    /// Reports a reference to a name that does not exist; not while some file is unreadable, which may have it.
    pub(super) fn check(&self, name: &str, place: &Place, report: &Report) {
        self.check_or(name, None, place, report);
    }

    /// The same, of a reference to which `also` may stand too.
    pub(super) fn check_or(&self, name: &str, also: Option<&str>, place: &Place, report: &Report) {
        if !self.first.contains_key(name) && also != Some(name) && report.is_complete() {
            let mut known: Vec<&str> = self.first.keys().map(String::as_str).chain(also).collect();
            known.sort_unstable();
            let what = self.what;
            let help = did_you_mean(name, known).unwrap_or_else(|| format!("no {what} is configured"));
            report.add(
                place
                    .problem(format!("there is no {what} `{name}`"))
                    .nature(Nature::Missing)
                    .help(help),
            );
        }
    }
}

/// The name under `key`, checked and taken in.
pub(super) fn own_name(table: &mut Table<'_>, key: &'static str, names: &mut Names) -> String {
    let Some(value) = table.required(key) else {
        return String::new();
    };
    let Some(own) = name(&value) else {
        return String::new();
    };
    names.add(&own, &value, table.report());
    own
}
