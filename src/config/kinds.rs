//! Kinds files: `[[kind]]` and its `[[kind.point]]`; its commands are read by `commands`.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::commands;
use super::document::Table;
use super::finding::did_you_mean;
use super::names::{Names, identifier};
use super::source::{Report, Scope, Source};
use super::value::Value;
use crate::domain::kind::{Keep, Kind, MAX_POINTS, ONLINE_NAME, PointDef, RESERVED, ValueType};
use crate::domain::rule::compile;
use crate::domain::time::Millis;

const MAX_INTERVAL: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(7 * 24);

const STALE_AFTER: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(90 * 24);

const SERVICE_LIFE_YEARS: RangeInclusive<i64> = 1..=50;

/// A kind, and whether it was read without a finding: only then can what refers to its points be checked.
#[derive(Debug)]
pub(super) struct KindDraft {
    pub(super) kind: Kind,
    pub(super) whole: bool,
    /// How many years its devices live from the day they are installed.
    pub(super) service_life_years: Option<i64>,
}

/// All kinds of all files.
#[derive(Debug)]
pub(super) struct Kinds {
    pub(super) drafts: Vec<KindDraft>,
    pub(super) names: Names,
}

impl Kinds {
    /// Whether all kinds are known wholly.
    pub(super) fn complete(&self) -> bool {
        self.drafts.iter().all(|draft| draft.whole)
    }

    /// The kind called `id`, if it was read without a finding.
    pub(super) fn whole(&self, id: &str) -> Option<&Kind> {
        self.drafts
            .iter()
            .find(|draft| draft.kind.id == id)
            .filter(|draft| draft.whole)
            .map(|draft| &draft.kind)
    }

    /// How many years devices of the kind `id` live from the day they are installed; `None`: nobody has said.
    pub(super) fn service_life_years(&self, id: &str) -> Option<i64> {
        let draft = self.drafts.iter().find(|draft| draft.kind.id == id)?;
        draft.service_life_years
    }

    /// The kinds that were read without a finding.
    pub(super) fn all_whole(&self) -> impl Iterator<Item = &Kind> {
        self.drafts
            .iter()
            .filter(|draft| draft.whole)
            .map(|draft| &draft.kind)
    }
}

/// Reads every kinds file.
pub(super) fn read(sources: &[Arc<Source>], report: &Report) -> Kinds {
    let mut kinds = Kinds {
        drafts: Vec::new(),
        names: Names::new("kind"),
    };
    for source in sources {
        let scope = Scope {
            source: Arc::clone(source),
            report,
        };
        let tree = source.tree();
        let mut root = Table::root(&scope, tree.get_ref());
        let tables = root.tables("kind", "[[kind]]");
        if tables.is_empty() {
            root.missing("[[kind]]");
            report.mark_incomplete();
        }
        for table in tables {
            let before = report.count();
            let (kind, service_life_years) = read_kind(table, &mut kinds.names);
            kinds.drafts.push(KindDraft {
                kind,
                service_life_years,
                whole: report.count() == before && report.is_complete(),
            });
        }
    }
    kinds
}

fn read_kind(mut table: Table<'_>, names: &mut Names) -> (Kind, Option<i64>) {
    let report = table.report();
    let before = report.count();
    let place = table.place().clone();
    let id_value = table.required("id");
    let id = id_value.as_ref().and_then(identifier).unwrap_or_default();
    if let Some(value) = id_value.filter(|_| !id.is_empty()) {
        names.add(&id, &value, report);
        if RESERVED.contains(&id.as_str()) {
            value.wrong(format!(
                "no kind can be called `{id}`: it has a meaning of its own in the `on` of rules"
            ));
        }
    }
    let title = table.required("title").and_then(|title| title.title());
    let mut point_names = Names::new("point");
    let points: Vec<PointDef> = table
        .tables("point", "[[kind.point]]")
        .into_iter()
        .map(|point| read_point(point, &mut point_names))
        .collect();
    if points.len() >= MAX_POINTS {
        let most = MAX_POINTS - 1;
        report.add(place.problem(format!(
            "a kind has at most {most} points, this one {}",
            points.len()
        )));
    }
    let mut kind = Kind::new(id, title.unwrap_or_default(), points);
    if let Some(faulty) = table.optional("faulty") {
        kind.faulty = faulty.filled_text().map(String::from);
        let source = kind.faulty.as_deref().unwrap_or_default();
        // Of a kind that is itself in doubt nothing sure can be said.
        if report.count() == before
            && let Err(problem) = compile(source, &kind)
        {
            faulty.place().explain(source, &problem, report);
        }
    }
    commands::read(&mut table, &mut kind, before);
    let service_life = table.optional("service_life_years");
    (
        kind,
        service_life.and_then(|years| years.integer(SERVICE_LIFE_YEARS)),
    )
}

#[derive(Clone, Copy)]
enum Type {
    Number,
    Bool,
    Enum,
}

const TYPES: [(&str, Type); 3] = [
    ("number", Type::Number),
    ("bool", Type::Bool),
    ("enum", Type::Enum),
];

fn read_point(mut table: Table<'_>, names: &mut Names) -> PointDef {
    let report = table.report();
    let id_value = table.required("id");
    let id = id_value.as_ref().and_then(identifier).unwrap_or_default();
    if let Some(value) = id_value.filter(|_| !id.is_empty()) {
        names.add(&id, &value, report);
        if id == ONLINE_NAME {
            value.wrong(format!("every kind has the point `{ONLINE_NAME}` by itself"));
        }
    }
    let title = table.required("title").and_then(|title| title.title());
    let kind = table
        .required("type")
        .and_then(|kind| kind.word("type of point", &TYPES));
    let value = match kind {
        Some(Type::Number) => {
            not_for(&mut table, &["values"], "an enum");
            number(&mut table)
        }
        Some(Type::Bool) => {
            not_for(&mut table, &["unit", "min", "max"], "a number");
            not_for(&mut table, &["values"], "an enum");
            ValueType::Bool
        }
        Some(Type::Enum) => {
            not_for(&mut table, &["unit", "min", "max"], "a number");
            words(&mut table)
        }
        None => {
            for key in ["unit", "min", "max", "values"] {
                table.optional(key);
            }
            ValueType::Bool
        }
    };
    let keep = read_keep(&mut table, matches!(kind, Some(Type::Bool | Type::Enum)));
    let default = table.optional("default").filter(|_| kind.is_some());
    let stale_after = table.optional("stale_after").and_then(|stale_after| {
        if default.is_some() {
            stale_after
                .key_wrong("`stale_after` cannot stand beside `default`: such a point is never unknown");
        }
        let after = stale_after.duration(STALE_AFTER)?;
        u64::try_from(after.as_millis()).ok().map(Millis)
    });
    PointDef {
        id,
        stale_after,
        keep,
        default: default.and_then(|default| read_default(&default, &value)),
        value,
        title: title.unwrap_or_default(),
    }
}

/// When the history keeps a value; `words`: the point has no numbers.
fn read_keep(table: &mut Table<'_>, words: bool) -> Keep {
    let default = Keep::default();
    if words {
        not_for(table, &["deadband"], "a number");
    }
    let deadband = table.optional("deadband").and_then(|deadband| {
        let number = deadband.number()?;
        if number < 0.0 {
            deadband.wrong("a deadband cannot be negative: 0 keeps every change");
        }
        Some(number)
    });
    let max_interval = table.optional("max_interval").and_then(|interval| {
        let interval = interval.duration(MAX_INTERVAL)?;
        u64::try_from(interval.as_millis()).ok().map(Millis)
    });
    Keep {
        deadband: deadband.unwrap_or(default.deadband),
        max_interval: max_interval.unwrap_or(default.max_interval),
    }
}

fn not_for(table: &mut Table<'_>, keys: &[&'static str], owner: &str) {
    for key in keys {
        if let Some(value) = table.optional(key) {
            value.key_wrong(&format!("`{key}` is for {owner} only"));
        }
    }
}

fn number(table: &mut Table<'_>) -> ValueType {
    let unit = table.optional("unit").and_then(|unit| unit.text());
    let min = table.required("min").and_then(|min| min.number());
    let max_value = table.required("max");
    let max = max_value.as_ref().and_then(Value::number);
    if let (Some(min), Some(max), Some(value)) = (min, max, max_value)
        && min >= max
    {
        value.wrong(format!("`max` must be greater than `min`, which is {min}"));
    }
    ValueType::Number {
        unit: unit.unwrap_or_default().into_owned(),
        min: min.unwrap_or(f64::NEG_INFINITY),
        max: max.unwrap_or(f64::INFINITY),
    }
}

fn words(table: &mut Table<'_>) -> ValueType {
    let mut values: Vec<String> = Vec::new();
    if let Some(list) = table.required("values") {
        for word in list.list().unwrap_or_default() {
            let Some(text) = word.filled_text() else {
                continue;
            };
            if values.contains(&text.to_string()) {
                word.wrong(format!("the word `{text}` is listed twice"));
            }
            values.push(text.into_owned());
        }
        if values.is_empty() {
            list.wrong("an enum needs at least one word");
        }
    }
    ValueType::Enum { values }
}

/// The slot value of a default as written: a number, `true`/`false` or a word.
fn read_default(value: &Value<'_>, kind: &ValueType) -> Option<f64> {
    match kind {
        ValueType::Number { min, max, .. } => {
            let number = value.number()?;
            if !(*min..=*max).contains(&number) {
                value.wrong(format!("the default {number} is outside {min} to {max}"));
            }
            Some(number)
        }
        ValueType::Bool => value.boolean().map(|on| if on { 1.0 } else { 0.0 }),
        ValueType::Enum { values } => {
            let text = value.text()?;
            let place = values.iter().position(|word| *word == text);
            if place.is_none() && !values.is_empty() {
                let help = did_you_mean(&text, values.iter().map(String::as_str));
                value.wrong_with(format!("the default `{text}` is none of the point's words"), help);
            }
            place.map(|place| place as f64)
        }
    }
}
