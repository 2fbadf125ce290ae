//! `/api/v1/venues` and `/api/v1/devices`: who is registered and who was heard of, and what was kept of them last.
//! Changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Shared;
use super::api::{Asked, asked, json_text, list as listed, page, read};
use super::problem::Problem;
use crate::domain::device::{DeviceIndex, DeviceKey};
use crate::domain::history::{HistoryPoint, Sample};
use crate::domain::kind::{GATEWAY_KIND, ONLINE_NAME};
use crate::domain::registry::{Registry, Venue};
use crate::domain::time::Timestamp;
use crate::handoff::Directory;
use crate::store::{CommandFilter, DeviceFilter, DeviceRow};

/// Devices of one id that an answer names, when it is not clear which is meant.
const NAMESAKES: u32 = 20;

/// How many of a device's commands are shown with it.
const LAST_COMMANDS: u32 = 10;

/// The id of a device in a path, as far as it is text.
pub(super) type DevicePath = Result<Path<String>, PathRejection>;

/// The query of `GET /api/v1/venues`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VenuesQuery {
    limit: Option<u32>,
    after: Option<String>,
}

/// The query of `GET /api/v1/devices`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DevicesQuery {
    venue: Option<String>,
    kind: Option<String>,
    limit: Option<u32>,
    after: Option<String>,
}

/// Which of several devices with one id is meant.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    pub(super) venue: Option<String>,
    pub(super) kind: Option<String>,
}

/// A device that is registered, was heard of, or both.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) key: DeviceKey,
    /// Its number and when it was heard of first.
    pub(super) seen: Option<(DeviceIndex, Timestamp)>,
}

/// `GET /api/v1/venues`: those of the configuration and those that devices named, by id.
pub(super) async fn venues(
    State(shared): State<Shared>,
    query: Asked<VenuesQuery>,
) -> Result<Response, Problem> {
    let query = asked(query)?;
    let limit = page(query.limit)?;
    let directory = directory(&shared);
    let mut devices: BTreeMap<String, u64> = read(&shared, shared.reader.venues()).await?;
    for venue in directory.registry.venues() {
        devices.entry(venue.id.clone()).or_default();
    }
    let after = query.after.unwrap_or_default();
    let items = devices
        .into_iter()
        .filter(|(id, _)| *id > after)
        .take(at_most(limit) + 1)
        .map(|(id, devices)| {
            let item = venue(&id, directory.registry.venue(&id), devices);
            (json!(id), item.to_string())
        });
    Ok(listed(items.collect(), limit))
}

fn venue(id: &str, registered: Option<&Venue>, devices: u64) -> Value {
    let mut shown = json!({
        "id": id,
        "registered": registered.is_some(),
        "name": registered.map(|venue| &venue.name),
        "kind": registered.map(|venue| &venue.kind),
        "address": registered.map(|venue| &venue.address),
        "devices_seen": devices,
    });
    let district = registered.and_then(|venue| venue.district.as_deref());
    if let (Some(district), Value::Object(members)) = (district, &mut shown) {
        members.insert("district".to_owned(), json!(district));
    }
    shown
}

/// `GET /api/v1/devices`: by venue, kind and id. The gateway, itself a device, is told of only when its kind is asked for.
pub(super) async fn list(
    State(shared): State<Shared>,
    query: Asked<DevicesQuery>,
) -> Result<Response, Problem> {
    let query = asked(query)?;
    let limit = page(query.limit)?;
    let after = match query.after.as_deref().map(cursor) {
        None => None,
        Some(Some(key)) => Some(key),
        Some(None) => return Err(Problem::query("after is not the next of a page".to_owned())),
    };
    let filter = DeviceFilter {
        venue: query.venue,
        kind: query.kind,
        device: None,
        after,
        // The gateway may be among them, and is not told of.
        limit: limit + 2,
    };
    let directory = directory(&shared);
    let mut devices = known(&shared, &directory.registry, filter.clone()).await?;
    if filter.kind.as_deref() != Some(GATEWAY_KIND) {
        devices.retain(|device| device.key.kind != GATEWAY_KIND);
    }
    devices.truncate(at_most(limit) + 1);
    let items = describe(&shared, &directory, &devices).await?;
    let items = devices.iter().zip(items);
    let items = items.map(|(device, item)| (json!(place(&device.key)), item.to_string()));
    Ok(listed(items.collect(), limit))
}

/// `GET /api/v1/devices/{id}`.
pub(super) async fn one(
    State(shared): State<Shared>,
    path: DevicePath,
    query: Asked<Which>,
) -> Result<Response, Problem> {
    let which = asked(query)?;
    let device = find(&shared, path, which).await?;
    let directory = directory(&shared);
    let items = describe(&shared, &directory, std::slice::from_ref(&device)).await?;
    let mut item = items.into_iter().next().unwrap_or_default();
    if let Some(members) = item.as_object_mut() {
        members.insert("commands".to_owned(), last_commands(&shared, device.key).await?);
    }
    Ok(json_text(item.to_string()))
}

/// What the device was told last, newest first.
async fn last_commands(shared: &Shared, key: DeviceKey) -> Result<Value, Problem> {
    let filter = CommandFilter {
        venue: Some(key.venue),
        kind: Some(key.kind),
        device: Some(key.device),
        limit: LAST_COMMANDS,
        ..CommandFilter::default()
    };
    let rows = read(shared, shared.reader.commands(filter)).await?;
    let orders = rows.iter().map(|row| serde_json::from_str(&row.body));
    orders
        .collect::<Result<_, _>>()
        .map(Value::Array)
        .map_err(|error| {
            tracing::error!(%error, "a stored command is no JSON");
            Problem::internal()
        })
}

/// What is in force.
pub(super) fn directory(shared: &Shared) -> std::sync::Arc<Directory> {
    std::sync::Arc::clone(&shared.directory.borrow())
}

/// The one device with the id in `path`.
pub(super) async fn find(shared: &Shared, path: DevicePath, which: Which) -> Result<Known, Problem> {
    let Path(id) = path.map_err(|rejection| Problem::path(rejection.body_text()))?;
    let filter = DeviceFilter {
        venue: which.venue,
        kind: which.kind,
        device: Some(id.clone()),
        after: None,
        limit: NAMESAKES,
    };
    let directory = directory(shared);
    let mut found = known(shared, &directory.registry, filter).await?;
    if found.len() > 1 {
        let devices = found
            .iter()
            .map(|found| json!({"venue": found.key.venue, "kind": found.key.kind}));
        let devices: Value = devices.collect();
        let detail = format!("several devices have the id `{id}`; say which one with venue and kind");
        return Err(
            Problem::conflict("ambiguous-device", "Several such devices", detail).with("devices", devices),
        );
    }
    let detail = format!("no device `{id}` is registered or was heard of");
    found.pop().ok_or_else(|| Problem::no_such_device(detail))
}

/// The devices that are registered or were heard of and that `filter` lets through, in order, at most its limit.
async fn known(shared: &Shared, registry: &Registry, filter: DeviceFilter) -> Result<Vec<Known>, Problem> {
    let matches = |key: &DeviceKey| {
        let same =
            |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
        same(&filter.venue, &key.venue)
            && same(&filter.kind, &key.kind)
            && same(&filter.device, &key.device)
            && filter.after.as_ref().is_none_or(|after| key > after)
    };
    let registered = registry.devices().map(|device| &device.key);
    let mut known: BTreeMap<DeviceKey, Option<(DeviceIndex, Timestamp)>> = registered
        .filter(|key| matches(key))
        .map(|key| (key.clone(), None))
        .collect();
    let limit = at_most(filter.limit);
    for DeviceRow {
        number,
        key,
        first_seen,
    } in read(shared, shared.reader.devices(filter)).await?
    {
        known.insert(key, Some((number, first_seen)));
    }
    let known = known.into_iter().map(|(key, seen)| Known { key, seen });
    Ok(known.take(limit).collect())
}

/// Each device with its newest values.
async fn describe(shared: &Shared, directory: &Directory, devices: &[Known]) -> Result<Vec<Value>, Problem> {
    let numbers: BTreeSet<DeviceIndex> = devices
        .iter()
        .filter_map(|device| device.seen.map(|(number, _)| number))
        .collect();
    let points = read(shared, shared.reader.points()).await?;
    let latest = read(shared, shared.reader.latest(numbers)).await?;
    let devices = devices.iter().map(|device| {
        let samples = device.seen.and_then(|(number, _)| latest.get(&number));
        let mut values = newest(&points, samples.map_or(&[], Vec::as_slice));
        let online = values.remove(ONLINE_NAME);
        let online = |member: &str| online.as_ref().and_then(|online| online.get(member)).cloned();
        let registered = directory.registry.device(&device.key);
        json!({
            "id": device.key.device,
            "venue": device.key.venue,
            "kind": device.key.kind,
            "name": registered.map(|device| &device.name),
            "registered": registered.is_some(),
            "retired": registered.is_some_and(|device| device.retired),
            "first_seen": device.seen.map(|(_, at)| at.to_rfc3339()),
            "online": online("value"),
            "online_at": online("at"),
            "values": values,
        })
    });
    Ok(devices.collect())
}

/// The newest value of each point, by name. Of a point whose values meant something else once, the newest of all.
fn newest(points: &[HistoryPoint], samples: &[Sample]) -> Map<String, Value> {
    let mut sorted: Vec<&Sample> = samples.iter().collect();
    sorted.sort_by_key(|sample| sample.at);
    let mut values = Map::new();
    for sample in sorted {
        if let Some(point) = points.get(usize::from(sample.point.0)) {
            let value = json!({"value": point.value.shown(sample.value), "at": sample.at.to_rfc3339()});
            values.insert(point.point.clone(), value);
        }
    }
    values
}

/// A device's place in the list, as `next` gives it.
fn place(key: &DeviceKey) -> String {
    format!("{}/{}/{}", key.venue, key.kind, key.device)
}

fn cursor(text: &str) -> Option<DeviceKey> {
    let mut parts = text.splitn(3, '/').map(str::to_owned);
    Some(DeviceKey {
        venue: parts.next()?,
        kind: parts.next()?,
        device: parts.next()?,
    })
}

fn at_most(limit: u32) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}
