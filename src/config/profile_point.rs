//! `[[message.point]]` of a profile file: one value, from its place on the wire to the point.

use super::document::Table;
use super::kinds::Kinds;
use super::profile_source::{Words, conditions, source_of, words};
use super::source::Place;
use super::value::Value;
use crate::domain::profile::def::{Form, PointMap};

/// Reads one point of a message of `kind` whose payload has the form.
pub(super) fn point(
    mut table: Table<'_>,
    kind: Option<&str>,
    kinds: &Kinds,
    form: Form,
) -> (PointMap, Place) {
    let place = table.place().clone();
    let point = table.required("point").and_then(|point| {
        let id = point.filled_text()?;
        check_point(&id, &point, kind, kinds);
        Some(id.into_owned())
    });
    let has_place = table.has("at");
    let source = source_of(&mut table).unwrap_or_default();
    if form == Form::Json && !has_place {
        table.missing("`at`");
    }
    let mut text = |key| {
        let value: Option<Value<'_>> = table.optional(key);
        value.and_then(|value| value.any_scalar_text())
    };
    let (name, default, unit, gas) = (text("name"), text("default"), text("unit"), text("gas"));
    let map = PointMap {
        point: point.unwrap_or_default(),
        name,
        source,
        default,
        unit,
        gas,
        ..numbers(&mut table)
    };
    (map, place)
}

fn numbers(table: &mut Table<'_>) -> PointMap {
    let scale = table.optional("scale").and_then(|scale| {
        let factor = scale.number()?;
        if factor == 0.0 {
            scale.wrong("a scale of 0 makes every value 0");
        }
        Some(factor)
    });
    let whole = |value: Value<'_>, most| u64::try_from(value.integer(0..=most)?).ok();
    let mask = table.optional("mask").and_then(|mask| whole(mask, i64::MAX));
    let bit = table.optional("bit").and_then(|bit| whole(bit, 63));
    PointMap {
        conditions: table
            .optional("if")
            .map(|value| conditions(&value))
            .unwrap_or_default(),
        null_unsets: table
            .optional("null")
            .and_then(|null| null.word("meaning of null", &[("unset", true), ("nothing", false)]))
            .unwrap_or_default(),
        mask: bit.map(|bit| 1 << bit).or(mask),
        none: table
            .optional("none")
            .map(|none| words(&none))
            .unwrap_or_default(),
        valid: table.optional("valid").and_then(|valid| bounds(&valid)),
        clamp: table.optional("clamp").and_then(|clamp| bounds(&clamp)),
        scale: scale.unwrap_or(1.0),
        offset: table
            .optional("offset")
            .and_then(|offset| offset.number())
            .unwrap_or_default(),
        invert: table
            .optional("invert")
            .and_then(|invert| invert.boolean())
            .unwrap_or_default(),
        map: table
            .optional("map")
            .and_then(|map| read_map(&map))
            .unwrap_or_default(),
        ..PointMap::default()
    }
}

/// `[lowest, highest]`.
fn bounds(value: &Value<'_>) -> Option<(f64, f64)> {
    if let Words::List = Words::of(value)
        && let [low, high] = value.list()?.as_slice()
    {
        return Some((low.number()?, high.number()?));
    }
    value.wrong_type("two numbers, [lowest, highest]");
    None
}

/// A point must be one of the message's kind, or of any kind when the topic names it.
fn check_point(id: &str, value: &Value<'_>, kind: Option<&str>, kinds: &Kinds) {
    let report = value.scope.report;
    let candidates: Vec<_> = match kind {
        Some(kind) => kinds.whole(kind).into_iter().collect(),
        None => kinds.all_whole().collect(),
    };
    let all_known = kind.is_some() || candidates.len() == kinds.drafts.len();
    if candidates.is_empty() || !all_known || candidates.iter().any(|kind| kind.point(id).is_some()) {
        return;
    }
    let mut known: Vec<&str> = candidates
        .iter()
        .flat_map(|kind| &kind.points)
        .map(|point| point.id.as_str())
        .collect();
    known.sort_unstable();
    known.dedup();
    let owner = kind.map_or_else(|| "no kind".to_owned(), |kind| format!("kind `{kind}` does not"));
    let message = match kind {
        Some(_) => format!("{owner} have a point `{id}`"),
        None => format!("{owner} has a point `{id}`"),
    };
    report.add(
        value
            .place()
            .problem(message)
            .help(super::finding::did_you_mean(id, known)),
    );
}

/// Words on the wire → words of the point, in the order of the file.
fn read_map(value: &Value<'_>) -> Option<Vec<(String, String)>> {
    let mut table = value.table("`map`")?;
    let entries = table.entries();
    if entries.is_empty() {
        value.wrong("`map` is empty");
    }
    Some(
        entries
            .into_iter()
            .filter_map(|(from, to)| Some((from, to.any_scalar_text()?)))
            .collect(),
    )
}
