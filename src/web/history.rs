//! `GET /api/v1/devices/{id}/history`: what was kept of a device, as it was or in buckets. Changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use serde_json::{Value, json};

use super::Shared;
use super::api::{json_text, read};
use super::devices::{DevicePath, Which, directory, find};
use super::problem::Problem;
use crate::clock;
use crate::domain::device::{DeviceIndex, DeviceKey};
use crate::domain::downsample::{Bucket, Buckets, Downsampler};
use crate::domain::history::{HistoryPoint, PointNumber};
use crate::domain::kind::{Keep, ValueType};
use crate::domain::time::{Millis, Timestamp};
use crate::handoff::Directory;
use crate::store::SampleQuery;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// The longest range, in days: more than is kept by default, and few enough questions to the store.
const LONGEST_DAYS: i64 = 400;

/// How many samples an answer has when nothing is asked for, and at most.
const SAMPLES: usize = 1_000;
const MOST_SAMPLES: usize = 10_000;

/// The most buckets of one point, and of all points of an answer together.
const MOST_BUCKETS: u64 = 2_000;
const MOST_BUCKETS_IN_ALL: u64 = 20_000;

/// How many samples the store gives at once.
const SLICE: usize = 50_000;

/// The longest time before the range from which a value may reach into it.
const LOOK_BACK: Millis = Millis(2 * 86_400_000);

type Pairs = Result<Query<Vec<(String, String)>>, QueryRejection>;

/// How the answer is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Sample by sample, at most so many.
    Raw(usize),
    /// In so many buckets.
    Buckets(u64),
    /// In buckets of this length.
    Step(Millis),
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Asked {
    points: BTreeSet<String>,
    from: Timestamp,
    to: Timestamp,
    form: Form,
    venue: Option<String>,
    kind: Option<String>,
}

/// The points of an answer.
type Points = BTreeMap<PointNumber, HistoryPoint>;

/// `GET /api/v1/devices/{id}/history`. `next` of samples is the `from` of the next page.
pub(super) async fn history(
    State(shared): State<Shared>,
    path: DevicePath,
    query: Pairs,
) -> Result<Response, Problem> {
    let Query(pairs) = query.map_err(|rejection| Problem::query(rejection.body_text()))?;
    let now = clock::wall();
    let asked = parse(&pairs, now).map_err(Problem::query)?;
    let which = Which {
        venue: asked.venue.clone(),
        kind: asked.kind.clone(),
    };
    let device = find(&shared, path, which).await?;
    let points = points(&shared, &device.key, &asked.points).await?;
    // One that was never heard of has no samples.
    let number = device.seen.map(|(number, _)| number);
    let (items, next, step) = match asked.form {
        Form::Raw(limit) => {
            let (items, next) = match number {
                Some(number) => raw(&shared, number, &points, (&asked, limit)).await?,
                None => (Vec::new(), None),
            };
            (items, next, None)
        }
        Form::Buckets(_) | Form::Step(_) => {
            let buckets = layout(&asked, points.len(), now).map_err(Problem::query)?;
            let items = match number {
                Some(number) => bucketed(&shared, (number, &device.key), &points, buckets).await?,
                None => Vec::new(),
            };
            (items, None, Some(buckets.step.0))
        }
    };
    let answer = json!({
        "device": {"id": device.key.device, "venue": device.key.venue, "kind": device.key.kind},
        "from": asked.from.to_rfc3339(),
        "to": asked.to.to_rfc3339(),
        "step_ms": step,
        "items": items,
        "next": next.map(Timestamp::to_rfc3339),
    });
    Ok(json_text(answer.to_string()))
}

fn parse(pairs: &[(String, String)], now: Timestamp) -> Result<Asked, String> {
    let mut points = BTreeSet::new();
    let mut single: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, value) in pairs {
        match name.as_str() {
            "point" => {
                points.insert(value.clone());
            }
            "from" | "to" | "buckets" | "step" | "limit" | "venue" | "kind" => {
                if single.insert(name, value).is_some() {
                    return Err(format!("{name} is there twice"));
                }
            }
            _ => return Err(format!("there is no parameter `{name}`")),
        }
    }
    let text = |name: &str| single.get(name).map(|text| (*text).to_owned());
    let instant = |name: &str| single.get(name).map(|text| instant(name, text)).transpose();
    let to = instant("to")?.unwrap_or(now);
    let from = instant("from")?.unwrap_or(Timestamp(to.0.saturating_sub(DAY_MS)));
    if from >= to {
        return Err("from must be before to".to_owned());
    }
    if to.since(from) > LONGEST_DAYS * DAY_MS {
        return Err(format!("from and to may be at most {LONGEST_DAYS} days apart"));
    }
    Ok(Asked {
        points,
        from,
        to,
        form: form(&single)?,
        venue: text("venue"),
        kind: text("kind"),
    })
}

fn form(single: &BTreeMap<&str, &str>) -> Result<Form, String> {
    let number = |name: &str, most: u64| match single.get(name).map(|text| text.parse::<u64>()) {
        None => Ok(None),
        Some(Ok(number)) if (1..=most).contains(&number) => Ok(Some(number)),
        Some(_) => Err(format!("{name} must be between 1 and {most}")),
    };
    let limit = number("limit", MOST_SAMPLES as u64)?;
    let buckets = number("buckets", MOST_BUCKETS)?;
    let step = match single.get("step").map(|text| Millis::parse(text)) {
        None => None,
        Some(Some(step)) if step.0 > 0 => Some(step),
        Some(_) => return Err("step is a length of time, for example 30s, 5m or 1h".to_owned()),
    };
    match (limit, buckets, step) {
        (limit, None, None) => {
            let limit = limit.and_then(|limit| usize::try_from(limit).ok());
            Ok(Form::Raw(limit.unwrap_or(SAMPLES)))
        }
        (None, Some(buckets), None) => Ok(Form::Buckets(buckets)),
        (None, None, Some(step)) => Ok(Form::Step(step)),
        (_, Some(_), Some(_)) => Err("say either buckets or step".to_owned()),
        (Some(_), Some(_), None) | (Some(_), None, Some(_)) => {
            Err("limit is for samples, not for buckets or step".to_owned())
        }
    }
}

/// RFC 3339, or milliseconds since 1970.
pub(super) fn instant(name: &str, text: &str) -> Result<Timestamp, String> {
    if let Ok(ms) = text.parse::<i64>() {
        return Ok(Timestamp(ms));
    }
    match text.parse::<jiff::Timestamp>() {
        Ok(at) => Ok(Timestamp(at.as_millisecond())),
        Err(_) => Err(format!(
            "{name} is neither RFC 3339 (2026-01-01T00:00:00Z; a `+` is written %2B) nor milliseconds since 1970"
        )),
    }
}

/// The buckets that are asked for.
fn layout(asked: &Asked, points: usize, now: Timestamp) -> Result<Buckets, String> {
    let length = asked.to.since(asked.from).unsigned_abs();
    let step = match asked.form {
        Form::Raw(_) => Millis(length),
        Form::Buckets(count) => Millis(length.div_ceil(count).max(1)),
        Form::Step(step) => step,
    };
    let buckets = Buckets {
        from: asked.from,
        to: asked.to,
        step,
        holds_for: Millis::ZERO,
        now: now.min(asked.to),
    };
    let of_all = buckets.count().saturating_mul(points as u64);
    if buckets.count() > MOST_BUCKETS || of_all > MOST_BUCKETS_IN_ALL {
        return Err(format!(
            "that makes {} buckets of {points} points: at most {MOST_BUCKETS}, and {MOST_BUCKETS_IN_ALL} for all points together",
            buckets.count()
        ));
    }
    Ok(buckets)
}

/// The numbers of the points called `wanted`, or of all. One name has several when its values once meant something else.
async fn points(shared: &Shared, device: &DeviceKey, wanted: &BTreeSet<String>) -> Result<Points, Problem> {
    let all = read(shared, shared.reader.points()).await?;
    let of_kind: Vec<HistoryPoint> = all
        .into_iter()
        .filter(|point| point.kind == device.kind)
        .collect();
    let names: BTreeSet<&str> = of_kind.iter().map(|point| point.point.as_str()).collect();
    if let Some(unknown) = wanted.iter().find(|name| !names.contains(name.as_str())) {
        let names: Vec<&str> = names.into_iter().collect();
        return Err(Problem::query(format!(
            "{} has no point `{unknown}`; it has {}",
            device.kind,
            names.join(", ")
        )));
    }
    let of_kind = of_kind.into_iter();
    Ok(of_kind
        .filter(|point| wanted.is_empty() || wanted.contains(&point.point))
        .map(|point| (point.number, point))
        .collect())
}

/// The samples of the range, and where the next page begins.
async fn raw(
    shared: &Shared,
    device: DeviceIndex,
    points: &Points,
    (asked, limit): (&Asked, usize),
) -> Result<(Vec<Value>, Option<Timestamp>), Problem> {
    let mut items = Vec::new();
    let mut from = asked.from;
    while from < asked.to {
        let query = SampleQuery {
            device,
            points: points.keys().copied().collect(),
            from,
            to: Timestamp(from.0.saturating_add(DAY_MS)).min(asked.to),
            limit: limit.saturating_sub(items.len()),
        };
        let page = read(shared, shared.reader.samples(query)).await?;
        for sample in &page.samples {
            if let Some(point) = points.get(&sample.point) {
                items.push(json!({
                    "point": point.point,
                    "at": sample.at.to_rfc3339(),
                    "value": point.value.shown(sample.value),
                }));
            }
        }
        from = page.until;
        if items.len() >= limit {
            break;
        }
    }
    Ok((items, (from < asked.to).then_some(from)))
}

/// The buckets of each point of which something is known.
async fn bucketed(
    shared: &Shared,
    (device, key): (DeviceIndex, &DeviceKey),
    points: &Points,
    buckets: Buckets,
) -> Result<Vec<Value>, Problem> {
    let directory = directory(shared);
    let mut series: BTreeMap<PointNumber, Downsampler> = BTreeMap::new();
    let mut reach = Millis::ZERO;
    for (number, point) in points {
        let holds_for = keep(&directory, key, &point.point).holds_for();
        reach = reach.max(holds_for.min(LOOK_BACK));
        series.insert(*number, Downsampler::new(Buckets { holds_for, ..buckets }));
    }
    let mut from = Timestamp(buckets.from.0.saturating_sub_unsigned(reach.0));
    let mut heard = BTreeSet::new();
    while from < buckets.to {
        let query = SampleQuery {
            device,
            points: points.keys().copied().collect(),
            from,
            to: Timestamp(from.0.saturating_add(DAY_MS)).min(buckets.to),
            limit: SLICE,
        };
        let page = read(shared, shared.reader.samples(query)).await?;
        for sample in page.samples {
            heard.insert(sample.point);
            if let Some(series) = series.get_mut(&sample.point) {
                series.push(sample.at, sample.value);
            }
        }
        from = page.until;
    }
    let mut items = Vec::new();
    for (number, series) in series {
        if let Some(point) = points.get(&number).filter(|_| heard.contains(&number)) {
            items.extend(series.finish().iter().map(|bucket| shown(point, bucket)));
        }
    }
    Ok(items)
}

/// How a point is kept by what is in force now.
fn keep(directory: &Directory, device: &DeviceKey, point: &str) -> Keep {
    let kind = directory.definitions.kind_index(&device.kind);
    let kind = kind.and_then(|kind| directory.definitions.kind(kind));
    let point = kind.and_then(|kind| kind.kind.point(point));
    point.map(|(_, point)| point.keep).unwrap_or_default()
}

/// A bucket as JSON. There is no middle between words, and none is greater than another.
fn shown(point: &HistoryPoint, bucket: &Bucket) -> Value {
    let value = |of: fn(&crate::domain::downsample::BucketValues) -> f64| bucket.values.as_ref().map(of);
    let word = |value: Option<f64>| value.map(|value| point.value.shown(value));
    let last = word(value(|values| values.last));
    let mut item = json!({
        "point": point.point,
        "at": bucket.at.to_rfc3339(),
        "count": bucket.count,
        "last": last,
    });
    let extremes = match point.value {
        ValueType::Number { .. } | ValueType::Bool => json!({
            "min": word(value(|values| values.min)),
            "max": word(value(|values| values.max)),
            "avg": value(|values| values.avg),
        }),
        ValueType::Enum { .. } => json!({}),
    };
    if let (Some(item), Value::Object(extremes)) = (item.as_object_mut(), extremes) {
        item.extend(extremes);
    }
    item
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_767_225_600_000);

    fn asked(query: &str) -> Result<Asked, String> {
        let pairs: Vec<(String, String)> = query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        parse(&pairs, NOW)
    }

    #[test]
    fn a_query_is_read_with_its_defaults() {
        let day = asked("").unwrap();
        assert_eq!((day.to, day.to.since(day.from)), (NOW, DAY_MS));
        assert_eq!(day.form, Form::Raw(SAMPLES));
        let full =
            asked("point=lel&point=battery&from=2025-12-31T00:00:00Z&to=1767225600000&step=5m&venue=v1");
        let full = full.unwrap();
        assert_eq!(full.points.len(), 2);
        assert_eq!(full.from, Timestamp(NOW.0 - DAY_MS));
        assert_eq!(full.form, Form::Step(Millis(300_000)));
        assert_eq!(full.venue.as_deref(), Some("v1"));
        assert_eq!(layout(&full, 2, NOW).unwrap().count(), 288);
    }

    #[test]
    fn a_wrong_query_says_what_is_wrong() {
        for (query, said) in [
            ("pint=lel", "no parameter `pint`"),
            ("from=yesterday", "from is neither RFC 3339"),
            ("from=5&to=5", "from must be before to"),
            ("from=0", "at most 400 days"),
            ("to=1&to=2", "to is there twice"),
            ("limit=0", "limit must be between 1 and 10000"),
            ("limit=10001", "limit must be between 1 and 10000"),
            ("buckets=2001", "buckets must be between 1 and 2000"),
            ("buckets=x", "buckets must be between 1 and 2000"),
            ("step=5", "step is a length of time"),
            ("step=0s", "step is a length of time"),
            ("step=5m&buckets=3", "either buckets or step"),
            ("step=5m&limit=3", "limit is for samples"),
        ] {
            let problem = asked(query).unwrap_err();
            assert!(problem.contains(said), "{query}: {problem}");
        }
        let many = asked("step=1s").unwrap();
        assert!(layout(&many, 1, NOW).unwrap_err().contains("86400 buckets"));
        let wide = asked("buckets=2000").unwrap();
        assert!(layout(&wide, 10, NOW).is_ok());
        assert!(layout(&wide, 11, NOW).is_err());
    }
}
