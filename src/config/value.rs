//! One TOML value: reads it as what it should be, or reports what is wrong with it. `{ env = … }` and
//! `{ file = … }` stand for text from elsewhere.

use std::borrow::Cow;
use std::fmt::Display;
use std::ops::{Range, RangeInclusive};
use std::path::PathBuf;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::finding::{Nature, did_you_mean};
use super::settings::Secret;
use super::source::{Place, Report, Scope};
use crate::domain::time::Millis;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Value<'d> {
    pub(super) scope: &'d Scope<'d>,
    pub(super) key: &'d str,
    pub(super) key_span: Range<usize>,
    pub(super) tree: &'d DeValue<'d>,
    pub(super) span: Range<usize>,
}

/// A value that is not a list or a table.
enum Scalar<'d> {
    /// As written.
    Written(&'d DeValue<'d>),
    /// From the environment or a file: text, whatever it should be.
    Elsewhere(String),
}

impl<'d> Value<'d> {
    /// An entry of a table.
    pub(super) fn entry(
        scope: &'d Scope<'d>,
        key: &'d Spanned<DeString<'d>>,
        value: &'d Spanned<DeValue<'d>>,
    ) -> Value<'d> {
        Value {
            scope,
            key: key.get_ref(),
            key_span: key.span(),
            tree: value.get_ref(),
            span: value.span(),
        }
    }

    /// Where it stands.
    pub(super) fn place(&self) -> Place {
        self.scope.place(self.span.clone())
    }

    /// Where its key stands.
    pub(super) fn key_place(&self) -> Place {
        self.scope.place(self.key_span.clone())
    }

    fn report(&self) -> &'d Report {
        self.scope.report
    }

    /// Reports that the value is wrong.
    pub(super) fn wrong(&self, message: impl Into<String>) {
        self.report().add(self.place().problem(message));
    }

    /// Reports that the value is wrong, with advice.
    pub(super) fn wrong_with(&self, message: impl Into<String>, help: impl Into<Option<String>>) {
        self.report().add(self.place().problem(message).help(help));
    }

    /// Reports that it is hardly meant, with advice.
    pub(super) fn doubt(&self, message: &str, help: String) {
        self.report().warn(self.place().problem(message).help(help));
    }

    /// Reports that the key should not be there, or not alone.
    pub(super) fn key_wrong(&self, message: &str) {
        self.report().add(self.key_place().problem(message));
    }

    /// Reports that the value has the wrong type.
    pub(super) fn wrong_type(&self, expected: &str) {
        self.mistyped(expected, None);
    }

    /// Reports that the value has the wrong type, with advice.
    pub(super) fn wrong_type_with(&self, expected: &str, help: String) {
        self.mistyped(expected, Some(help));
    }

    fn mistyped(&self, expected: &str, help: Option<String>) {
        let found = match self.tree {
            DeValue::Table(entries) if entries.contains_key("env") => "taken from the environment",
            DeValue::Table(entries) if entries.contains_key("file") => "taken from a file",
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a float",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        let message = format!("`{}` is {found}, expected {expected}", self.key);
        self.report().add(
            self.place()
                .problem(message)
                .label(format!("expected {expected}"))
                .help(help),
        );
    }

    fn scalar(&self, expected: &str) -> Option<Scalar<'d>> {
        let DeValue::Table(entries) = self.tree else {
            return Some(Scalar::Written(self.tree));
        };
        if !entries.contains_key("env") && !entries.contains_key("file") {
            self.wrong_type(expected);
            return None;
        }
        self.elsewhere(entries).map(Scalar::Elsewhere)
    }

    /// The text that `{ env = … }` or `{ file = … }` stands for.
    fn elsewhere(&self, entries: &'d DeTable<'d>) -> Option<String> {
        let (mut environment, mut file) = (None, None);
        for (key, value) in entries {
            let entry = Value::entry(self.scope, key, value);
            match entry.key {
                "env" => environment = Some(entry),
                "file" => file = Some(entry),
                unknown => self.report().add(
                    entry
                        .key_place()
                        .problem(format!("unknown key `{unknown}` in `{}`", self.key))
                        .nature(Nature::UnknownKey)
                        .help(did_you_mean(unknown, ["env", "file"])),
                ),
            }
        }
        match (environment, file) {
            (Some(_), Some(file)) => {
                file.wrong("both `env` and `file` are given");
                None
            }
            (Some(name), None) => name.environment_text(),
            (None, Some(path)) => path.file_text(),
            (None, None) => None,
        }
    }

    fn environment_text(&self) -> Option<String> {
        let name = self.literal()?;
        match std::env::var(name) {
            Ok(text) => Some(text),
            Err(std::env::VarError::NotPresent) => {
                self.wrong(format!("the environment variable `{name}` is not set"));
                None
            }
            Err(std::env::VarError::NotUnicode(_)) => {
                self.wrong(format!("the environment variable `{name}` is not UTF-8"));
                None
            }
        }
    }

    fn file_text(&self) -> Option<String> {
        let path = self.scope.path(self.literal()?);
        match std::fs::read_to_string(&path) {
            Ok(text) => Some(text.trim_end_matches(['\n', '\r']).to_owned()),
            Err(error) => {
                self.wrong(format!("cannot read {}: {error}", path.display()));
                None
            }
        }
    }

    fn literal(&self) -> Option<&'d str> {
        let text = self.tree.as_str();
        if text.is_none() {
            self.wrong_type("a string");
        }
        text
    }

    /// A string.
    pub(super) fn text(&self) -> Option<Cow<'d, str>> {
        match self.scalar("a string")? {
            Scalar::Elsewhere(text) => Some(Cow::Owned(text)),
            Scalar::Written(DeValue::String(text)) => Some(Cow::Borrowed(text.as_ref())),
            Scalar::Written(_) => {
                self.wrong_type("a string");
                None
            }
        }
    }

    /// A string, number or boolean, as the text that stands for it.
    pub(super) fn any_scalar_text(&self) -> Option<String> {
        match self.tree {
            DeValue::Integer(value) => Some(value.to_string()),
            DeValue::Float(value) => Some(value.to_string()),
            DeValue::Boolean(value) => Some(value.to_string()),
            DeValue::String(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => {
                self.text().map(String::from)
            }
        }
    }

    /// A string with something in it.
    pub(super) fn filled_text(&self) -> Option<Cow<'d, str>> {
        let text = self.text()?;
        if text.trim().is_empty() {
            self.wrong(format!("`{}` is empty", self.key));
            return None;
        }
        Some(text)
    }

    /// A secret of this key: given here, or in the file that this `…_file` key names.
    pub(super) fn secret(&self) -> Option<Secret> {
        let text = if self.key.ends_with("_file") {
            Cow::Owned(self.file_text()?)
        } else {
            self.text()?
        };
        if text.is_empty() {
            self.wrong(format!("the secret that `{}` gives is empty", self.key));
            return None;
        }
        Some(Secret::new(text.into_owned()))
    }

    /// The path of a file that can be opened.
    pub(super) fn readable_file(&self) -> Option<PathBuf> {
        let path = self.scope.path(&self.filled_text()?);
        match std::fs::File::open(&path).and_then(|file| file.metadata()) {
            Ok(metadata) if metadata.is_file() => Some(path),
            Ok(_) => {
                self.wrong(format!("{} is not a file", path.display()));
                None
            }
            Err(error) => {
                self.wrong(format!("cannot read {}: {error}", path.display()));
                None
            }
        }
    }

    /// `true` or `false`.
    pub(super) fn boolean(&self) -> Option<bool> {
        const EXPECTED: &str = "`true` or `false`";
        let read = match self.scalar(EXPECTED)? {
            Scalar::Written(DeValue::Boolean(value)) => Some(*value),
            Scalar::Written(_) => None,
            Scalar::Elsewhere(text) => text.trim().parse().ok(),
        };
        if read.is_none() {
            self.wrong_type(EXPECTED);
        }
        read
    }

    /// An integer of `range`.
    pub(super) fn integer(&self, range: RangeInclusive<i64>) -> Option<i64> {
        const EXPECTED: &str = "an integer";
        let read = match self.scalar(EXPECTED)? {
            // Too large for 64 bits is out of any range we have.
            Scalar::Written(DeValue::Integer(value)) => {
                Some(i64::from_str_radix(value.as_str(), value.radix()).unwrap_or(i64::MAX))
            }
            Scalar::Written(_) => None,
            Scalar::Elsewhere(text) => text.trim().parse().ok(),
        };
        if read.is_none() {
            self.wrong_type(EXPECTED);
        }
        read.filter(|value| self.check_range(value, &range, ""))
    }

    /// A finite number.
    pub(super) fn number(&self) -> Option<f64> {
        const EXPECTED: &str = "a number";
        let read = match self.scalar(EXPECTED)? {
            Scalar::Written(DeValue::Integer(value)) => i64::from_str_radix(value.as_str(), value.radix())
                .ok()
                .map(|value| value as f64),
            Scalar::Written(DeValue::Float(value)) => value.as_str().parse().ok(),
            Scalar::Written(_) => None,
            Scalar::Elsewhere(text) => text.trim().parse().ok(),
        };
        match read {
            Some(value) if f64::is_finite(value) => Some(value),
            Some(_) => {
                self.wrong(format!("`{}` is not a finite number", self.key));
                None
            }
            None => {
                self.wrong_type(EXPECTED);
                None
            }
        }
    }

    /// A number of bytes within `range`, written like `20GB` (powers of ten).
    pub(super) fn bytes(&self, range: RangeInclusive<u64>) -> Option<u64> {
        const FORM: &str = "a number of bytes is a number and a unit: \"64KB\", \"256MB\", \"20GB\"";
        let (DeValue::String(_) | DeValue::Table(_)) = self.tree else {
            self.wrong_type_with("a number of bytes", FORM.to_owned());
            return None;
        };
        let text = self.text()?;
        let Some(bytes) = parse_bytes(&text) else {
            let message = format!("`{}` is not a number of bytes: {text:?}", self.key);
            self.wrong_with(message, FORM.to_owned());
            return None;
        };
        if !range.contains(&bytes) {
            let (least, most) = (show_bytes(*range.start()), show_bytes(*range.end()));
            self.wrong(format!(
                "`{}` must be between {least} and {most}, not {text}",
                self.key
            ));
            return None;
        }
        Some(bytes)
    }

    /// A length of time within `range`, written like `10s`.
    pub(super) fn duration(&self, range: RangeInclusive<Duration>) -> Option<Duration> {
        const FORM: &str =
            "a length of time is a number and a unit: \"500ms\", \"10s\", \"5m\", \"2h\", \"7d\"";
        let (DeValue::String(_) | DeValue::Table(_)) = self.tree else {
            self.wrong_type_with("a length of time", FORM.to_owned());
            return None;
        };
        let text = self.text()?;
        let Some(duration) = parse_duration(&text) else {
            let message = format!("`{}` is not a length of time: {text:?}", self.key);
            self.wrong_with(message, FORM.to_owned());
            return None;
        };
        if range.contains(&duration) {
            return Some(duration);
        }
        let (least, most) = (show_duration(*range.start()), show_duration(*range.end()));
        self.wrong(format!("`{}` must be {least} to {most}", self.key));
        None
    }

    fn check_range<T: PartialOrd + Display>(&self, value: &T, range: &RangeInclusive<T>, unit: &str) -> bool {
        let fits = range.contains(value);
        if !fits {
            let (least, most) = (range.start(), range.end());
            self.wrong(format!("`{}` must be {least} to {most}{unit}", self.key));
        }
        fits
    }

    /// One of these words: what it stands for.
    pub(super) fn word<T: Copy>(&self, what: &str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text()?;
        let found = words
            .iter()
            .find(|(word, _)| *word == text)
            .map(|(_, meaning)| *meaning);
        if found.is_none() {
            let help = did_you_mean(&text, words.iter().map(|(word, _)| *word));
            self.wrong_with(format!("unknown {what} `{text}`"), help);
        }
        found
    }

    /// The values of a list.
    pub(super) fn list(&self) -> Option<Vec<Value<'d>>> {
        let DeValue::Array(items) = self.tree else {
            self.wrong_type("a list");
            return None;
        };
        let item = |item: &'d Spanned<DeValue<'d>>| Value {
            tree: item.get_ref(),
            span: item.span(),
            ..self.clone()
        };
        Some(items.iter().map(item).collect())
    }
}

/// A length of time as written: a whole number and a unit.
pub(super) fn parse_duration(text: &str) -> Option<Duration> {
    Millis::parse(text.trim()).map(|length| Duration::from_millis(length.0))
}

const BYTE_UNITS: [(&str, u64); 4] = [
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
];

fn parse_bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let (number, unit) = BYTE_UNITS
        .into_iter()
        .find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, bytes)))?;
    number.trim_end().parse::<u64>().ok()?.checked_mul(unit)
}

fn show_bytes(bytes: u64) -> String {
    let unit = BYTE_UNITS
        .into_iter()
        .find(|(_, unit)| bytes.is_multiple_of(*unit));
    unit.map_or_else(
        || format!("{bytes} bytes"),
        |(name, unit)| format!("{}{name}", bytes / unit),
    )
}

fn show_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")]
        .into_iter()
        .find(|(unit_ms, _)| millis.is_multiple_of(*unit_ms) && millis > 0)
        .map_or_else(
            || {
                if millis == 0 {
                    "0s".to_owned()
                } else {
                    format!("{millis}ms")
                }
            },
            |(unit_ms, unit)| format!("{}{unit}", millis / unit_ms),
        )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{parse_bytes, parse_duration, show_bytes, show_duration};

    #[test]
    fn sizes_read_as_they_are_shown() {
        for (text, bytes) in [("64KB", 64_000), ("256MB", 256_000_000), ("20GB", 20_000_000_000)] {
            assert_eq!(parse_bytes(text), Some(bytes), "{text}");
            assert_eq!(show_bytes(bytes), text);
        }
        for text in [
            "",
            "20",
            "GB",
            "-1GB",
            "1.5GB",
            "20 GiB",
            "99999999999999999999GB",
        ] {
            assert_eq!(parse_bytes(text), None, "{text:?}");
        }
    }

    #[test]
    fn durations_read_as_they_are_shown() {
        for (text, millis) in [
            ("500ms", 500),
            ("10s", 10_000),
            ("5m", 300_000),
            ("2h", 7_200_000),
            ("7d", 604_800_000),
            ("0s", 0),
        ] {
            assert_eq!(
                parse_duration(text),
                Some(Duration::from_millis(millis)),
                "{text}"
            );
            assert_eq!(show_duration(Duration::from_millis(millis)), text);
        }
        for text in [
            "",
            "10",
            "s",
            "-1s",
            "1.5s",
            "10 s",
            "1w",
            "99999999999999999999s",
            "99999999999999999d",
        ] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }
}
