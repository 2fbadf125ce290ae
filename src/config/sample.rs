//! The points of a message as tests write them: `{ lel = 53.2, state = "normal" }` → slot values.

use super::finding::did_you_mean;
use super::value::Value;
use crate::domain::kind::{Kind, PointDef, PointIndex, ValueType};

/// The points of a message; `None` where the kind is not known, so that nothing can be said of them.
pub(super) fn read_points(value: &Value<'_>, kind: Option<&Kind>) -> Option<Vec<(PointIndex, f64)>> {
    let entries = value.table("`points`")?.entries();
    let kind = kind?;
    let mut points = Vec::new();
    for (name, value) in entries {
        let Some((index, point)) = kind.point(&name) else {
            let known = kind.points.iter().map(|point| point.id.as_str());
            value.scope.report.add(
                value
                    .key_place()
                    .problem(format!("the kind `{}` has no point `{name}`", kind.id))
                    .help(did_you_mean(&name, known)),
            );
            continue;
        };
        points.extend(slot(&value, point).map(|slot| (index, slot)));
    }
    Some(points)
}

/// What a value as written is in its slot.
fn slot(value: &Value<'_>, point: &PointDef) -> Option<f64> {
    match &point.value {
        ValueType::Number { min, max, .. } => {
            let number = value.number()?;
            if !(*min..=*max).contains(&number) {
                value.wrong_with(
                    format!("{number} is outside {min} to {max}"),
                    "the gateway takes such a value as a fault of the message, not as a reading".to_owned(),
                );
            }
            Some(number)
        }
        ValueType::Bool => value.boolean().map(f64::from),
        ValueType::Enum { values } => {
            let words: Vec<(&str, f64)> = (0_u32..)
                .zip(values)
                .map(|(place, word)| (word.as_str(), f64::from(place)))
                .collect();
            value.word(&format!("`{}`", point.id), &words)
        }
    }
}
