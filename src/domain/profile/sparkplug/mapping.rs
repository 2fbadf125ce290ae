//! Which metric is which point of which kind: the profile's `[[metric]]`s, compiled. Looked through once a metric at
//! birth, never per value.

use super::{MetricDef, SparkplugDef};
use crate::domain::kind::Kind;
use crate::domain::profile::wire::field::Field;

/// What stands in a metric's name for the part of it that is a device of its own.
const CHILD: &str = "{child}";

/// A compiled `[[metric]]`.
#[derive(Debug)]
pub(super) struct Mapped {
    name: Name,
    /// The kind: its place in the kinds given.
    pub(super) kind: usize,
    /// How its value is read.
    pub(super) field: Field,
}

#[derive(Debug)]
enum Name {
    Whole(String),
    /// What stands before and behind the child.
    WithChild(String, String),
}

impl Mapped {
    /// Whether this is the metric called `name`; then its child, empty when it has none.
    pub(super) fn matches<'n>(&self, name: &'n str) -> Option<&'n str> {
        match &self.name {
            Name::Whole(whole) => (whole == name).then_some(""),
            Name::WithChild(before, behind) => name
                .strip_prefix(before.as_str())?
                .strip_suffix(behind.as_str())
                .filter(|child| !child.is_empty() && !child.contains('/')),
        }
    }
}

/// Compiles the metrics of `def`: each problem with the place of the metric.
pub(super) fn compile(def: &SparkplugDef, kinds: &[Kind]) -> Result<Vec<Mapped>, Vec<(usize, String)>> {
    let mut mapped = Vec::new();
    let mut problems = Vec::new();
    for (at, metric) in def.metrics.iter().enumerate() {
        match compile_one(metric, kinds, &def.lel) {
            Ok(one) => mapped.push(one),
            Err(found) => problems.extend(found.into_iter().map(|problem| (at, problem))),
        }
        let twice = |other: &MetricDef| {
            (&other.name, &other.kind, &other.map.point) == (&metric.name, &metric.kind, &metric.map.point)
        };
        if def.metrics.iter().take(at).any(twice) {
            let problem = format!("metric {:?} is mapped to this point twice", metric.name);
            problems.push((at, problem));
        }
    }
    if problems.is_empty() {
        Ok(mapped)
    } else {
        Err(problems)
    }
}

fn compile_one(metric: &MetricDef, kinds: &[Kind], lel: &[(String, f64)]) -> Result<Mapped, Vec<String>> {
    let name = match metric.name.split_once(CHILD) {
        _ if metric.name.is_empty() => return Err(vec!["the name is empty".to_owned()]),
        None => Name::Whole(metric.name.clone()),
        Some((_, behind)) if behind.contains(CHILD) => {
            return Err(vec![format!("{CHILD} stands twice in {:?}", metric.name)]);
        }
        Some((before, behind)) => Name::WithChild(before.to_owned(), behind.to_owned()),
    };
    let found = kinds.iter().enumerate().find(|(_, kind)| kind.id == metric.kind);
    let Some((at, kind)) = found else {
        return Err(vec![format!("kind {:?} is not configured", metric.kind)]);
    };
    let Some((index, def)) = kind.point(&metric.map.point) else {
        let problem = format!("no such point in kind {}: {:?}", kind.id, metric.map.point);
        return Err(vec![problem]);
    };
    Ok(Mapped {
        name,
        kind: at,
        field: Field::mapped(index, def, &metric.map, lel)?,
    })
}
