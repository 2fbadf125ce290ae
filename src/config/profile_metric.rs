//! `[[metric]]` of a profile file with `codec = "sparkplug_b"`: a metric's name, and the point that it is.

use super::document::Table;
use super::kinds::Kinds;
use super::profile_point::point;
use super::source::Place;
use crate::domain::profile::def::Form;
use crate::domain::profile::sparkplug::MetricDef;

/// Reads one metric.
pub(super) fn metric(mut table: Table<'_>, kinds: &Kinds) -> (MetricDef, Place) {
    let place = table.place().clone();
    let name = table.required("name").and_then(|name| name.filled_text());
    let kind = table.required("kind").and_then(|kind| {
        let id = kind.filled_text()?;
        kinds.names.check(&id, &kind.place(), kind.scope.report);
        Some(id.into_owned())
    });
    for key in ["at", "byte", "if", "default", "null"] {
        if let Some(value) = table.optional(key) {
            value.key_wrong(&format!(
                "`{key}` is for [[message.point]] only: a metric is one value"
            ));
        }
    }
    let (map, _) = point(table, kind.as_deref(), kinds, Form::Text);
    let metric = MetricDef {
        name: name.unwrap_or_default().into_owned(),
        kind: kind.unwrap_or_default(),
        map,
    };
    (metric, place)
}
