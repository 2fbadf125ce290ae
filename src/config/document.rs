//! Walks the tree of a TOML file: tables that report every key nobody asked for, and values that report what they
//! should have been. Says nothing about which keys there are.

use toml::de::{DeTable, DeValue};

use super::finding::{Nature, did_you_mean};
use super::source::{Place, Report, Scope};
use super::value::Value;
use crate::domain::text::Text;

/// A table: ask for each key it may have; when it goes out of use it reports those that are missing and
/// those nobody asked for, so that no reader can forget to.
#[derive(Debug)]
pub(super) struct Table<'d> {
    scope: &'d Scope<'d>,
    /// As findings call it, for example `[mqtt]`.
    title: String,
    place: Place,
    /// `None`: it is not in the file.
    entries: Option<&'d DeTable<'d>>,
    known: Vec<&'static str>,
    missing: Vec<String>,
    /// What is missing was said already.
    excused: bool,
}

impl<'d> Table<'d> {
    /// The whole file.
    pub(super) fn root(scope: &'d Scope<'d>, entries: &'d DeTable<'d>) -> Table<'d> {
        Table::new(scope, "the file", scope.place(0..0), Some(entries))
    }

    pub(super) fn new(
        scope: &'d Scope<'d>,
        title: impl Into<String>,
        place: Place,
        entries: Option<&'d DeTable<'d>>,
    ) -> Table<'d> {
        Table {
            scope,
            title: title.into(),
            place,
            entries,
            known: Vec::new(),
            missing: Vec::new(),
            excused: false,
        }
    }

    /// Where it stands: its header, or all of an inline table.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// The file's report.
    pub(super) fn report(&self) -> &'d Report {
        self.scope.report
    }

    /// Whether it is in the file at all.
    pub(super) fn is_present(&self) -> bool {
        self.entries.is_some()
    }

    /// Whether there is anything under `key`: an empty list is nothing.
    pub(super) fn has(&self, key: &str) -> bool {
        let value = self.entries.and_then(|entries| entries.get(key));
        value.is_some_and(|value| !value.get_ref().as_array().is_some_and(|items| items.is_empty()))
    }

    /// The value of `key`, if it is there.
    pub(super) fn optional(&mut self, key: &'static str) -> Option<Value<'d>> {
        self.known.push(key);
        let (key, value) = self.entries?.get_key_value(key)?;
        Some(Value::entry(self.scope, key, value))
    }

    /// The value of `key`, which must be there.
    pub(super) fn required(&mut self, key: &'static str) -> Option<Value<'d>> {
        let value = self.optional(key);
        if value.is_none() {
            self.missing(format!("`{key}`"));
        }
        value
    }

    /// Takes note that `what` is missing: all that a table lacks is one finding.
    pub(super) fn missing(&mut self, what: impl Into<String>) {
        self.missing.push(what.into());
    }

    /// Of two keys that exclude each other, the one that is there.
    pub(super) fn either(&mut self, first: &'static str, second: &'static str) -> Option<Value<'d>> {
        match (self.optional(first), self.optional(second)) {
            (Some(_), Some(other)) => {
                let message = format!("both `{first}` and `{second}` are given");
                self.report()
                    .add(other.key_place().problem(message).label("keep one of them"));
                Some(other)
            }
            (one, other) => one.or(other),
        }
    }

    /// The sub-table `key`; when it is not in the file, an empty one that says so where a key is required.
    pub(super) fn section(&mut self, key: &'static str) -> Table<'d> {
        let title = format!("[{key}]");
        let absent = self.scope.place(0..0);
        let value = self.optional(key);
        // One that is no table was reported: nothing more is to be said of what it lacks.
        let reported = value.is_some();
        value.and_then(|value| value.table(&title)).unwrap_or_else(|| {
            let mut table = Table::new(self.scope, title, absent, None);
            table.excused = reported;
            table
        })
    }

    /// The tables of the list `[[key]]`; none when it is not in the file.
    pub(super) fn tables(&mut self, key: &'static str, title: &str) -> Vec<Table<'d>> {
        let Some(value) = self.optional(key) else {
            return Vec::new();
        };
        let DeValue::Array(items) = value.tree else {
            let help = format!("write `{title}`, once for each");
            value.wrong_type_with("a list of tables", help);
            return Vec::new();
        };
        items
            .iter()
            .filter_map(|item| {
                Value {
                    tree: item.get_ref(),
                    span: item.span(),
                    ..value.clone()
                }
                .table(title)
            })
            .collect()
    }

    /// All keys and values in the order of the file, whatever they are called.
    pub(super) fn entries(&mut self) -> Vec<(String, Value<'d>)> {
        let scope = self.scope;
        let mut entries: Vec<_> = self
            .entries
            .take()
            .into_iter()
            .flatten()
            .map(|(key, value)| (key.get_ref().to_string(), Value::entry(scope, key, value)))
            .collect();
        entries.sort_by_key(|(_, value)| value.key_span.start);
        entries
    }
}

impl<'d> Value<'d> {
    /// A table, called `title` in findings.
    pub(super) fn table(&self, title: &str) -> Option<Table<'d>> {
        let DeValue::Table(entries) = self.tree else {
            self.wrong_type("a table");
            return None;
        };
        Some(Table::new(self.scope, title, self.place(), Some(entries)))
    }

    /// A text in both languages: `{ zh = "…", en = "…" }`.
    pub(super) fn title(&self) -> Option<Text> {
        let DeValue::Table(_) = self.tree else {
            let help = "write { zh = \"…\", en = \"…\" }";
            self.wrong_type_with("a text in both languages", help.to_owned());
            return None;
        };
        let mut table = self.table(&format!("`{}`", self.key))?;
        let zh = table.required("zh").and_then(|text| text.filled_text());
        let en = table.required("en").and_then(|text| text.filled_text());
        Some(Text {
            zh: zh?.into_owned(),
            en: en?.into_owned(),
        })
    }
}

impl Drop for Table<'_> {
    fn drop(&mut self) {
        if !self.missing.is_empty() && !self.excused {
            let (title, missing) = (&self.title, self.missing.join(", "));
            let message = if self.is_present() {
                format!("{title} has no {missing}")
            } else {
                format!("the section {title} is missing; it needs {missing}")
            };
            self.report()
                .add(self.place.problem(message).nature(Nature::Missing));
        }
        let Some(entries) = self.entries else {
            return;
        };
        for key in entries.keys() {
            let name = key.get_ref().as_ref();
            if self.known.contains(&name) {
                continue;
            }
            let message = format!("unknown key `{name}` in {}", self.title);
            self.report().add(
                self.scope
                    .place(key.span())
                    .problem(message)
                    .nature(Nature::UnknownKey)
                    .help(did_you_mean(name, self.known.iter().copied())),
            );
        }
    }
}
