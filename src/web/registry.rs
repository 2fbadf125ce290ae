//! `PUT /api/v1/venues/{id}`, `PUT` and `DELETE /api/v1/devices/{id}`: registers venues and devices, and takes devices out of
//! use. Answers once it is in force and durable; what the venues files describe stays as it is there.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::{Map, Value};

use super::Shared;
use super::api::{Asked, asked};
use super::devices::{DevicePath, Which, directory};
use super::operate::{NAME_LIMIT, accountable, filled, required};
use super::problem::Problem;
use super::reload::request;
use crate::clock;
use crate::config::{Registering, Registration};
use crate::domain::alarm::Operator;
use crate::domain::device::DeviceKey;

/// `PUT /api/v1/venues/{id}`.
pub(super) async fn put_venue(
    State(shared): State<Shared>,
    path: DevicePath,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let (id, mut says) = described(path, &headers, body).await?;
    let operator = signed(&mut says)?;
    register(&shared, Registering::Venue { id, says }, operator).await
}

/// `PUT /api/v1/devices/{id}`; the body says of which venue and kind.
pub(super) async fn put_device(
    State(shared): State<Shared>,
    path: DevicePath,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let (device, mut says) = described(path, &headers, body).await?;
    let operator = signed(&mut says)?;
    let key = DeviceKey {
        venue: needed(&mut says, "venue")?,
        kind: needed(&mut says, "kind")?,
        device,
    };
    register(&shared, Registering::Device { key, says }, operator).await
}

/// `DELETE /api/v1/devices/{id}`: retires it. Its history stays.
pub(super) async fn retire(
    State(shared): State<Shared>,
    path: DevicePath,
    query: Asked<Which>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let which = asked(query)?;
    let Path(id) = path.map_err(|rejection| Problem::path(rejection.body_text()))?;
    let mut says: Map<String, Value> = required(&headers, body).await?;
    let operator = signed(&mut says)?;
    if let Some(key) = says.keys().next() {
        return Err(Problem::body(format!(
            "unknown field `{key}`, expected `by` or `note`"
        )));
    }
    let key = registered(&shared, &id, &which)?;
    register(&shared, Registering::Retire(key), operator).await
}

/// The one registered device with this id.
fn registered(shared: &Shared, id: &str, which: &Which) -> Result<DeviceKey, Problem> {
    let meant = |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
    let directory = directory(shared);
    let mut found = directory
        .registry
        .devices()
        .map(|device| &device.key)
        .filter(|key| key.device == id && meant(&which.venue, &key.venue) && meant(&which.kind, &key.kind));
    match (found.next(), found.next()) {
        (Some(key), None) => Ok(key.clone()),
        (Some(_), Some(_)) => {
            let detail = format!("several devices have the id `{id}`; say which one with venue and kind");
            Err(Problem::conflict(
                "ambiguous-device",
                "Several such devices",
                detail,
            ))
        }
        (None, _) => Err(Problem::no_such_device(format!("no device `{id}` is registered"))),
    }
}

/// The id in the path, and what the body says of it.
async fn described(
    path: DevicePath,
    headers: &HeaderMap,
    body: Body,
) -> Result<(String, Map<String, Value>), Problem> {
    let Path(id) = path.map_err(|rejection| Problem::path(rejection.body_text()))?;
    let mut says: Map<String, Value> = required(headers, body).await?;
    if says.remove("id").is_some_and(|said| said != id.as_str()) {
        return Err(Problem::body(
            "id in the body is another than in the path".to_owned(),
        ));
    }
    // Who may call the API must not be able to allow themselves what only a file allows.
    if says
        .get("remote_open")
        .is_some_and(|allowed| *allowed != Value::Bool(false))
    {
        let detail = "remote_open is allowed in a venues file only".to_owned();
        return Err(Problem::opening_refused(detail));
    }
    // In a file these stand for the environment and for other files, which are nobody's business here.
    if says.values().any(points_elsewhere) {
        return Err(Problem::body(
            "{\"env\": …} and {\"file\": …} are for files only".to_owned(),
        ));
    }
    Ok((id, says))
}

fn points_elsewhere(value: &Value) -> bool {
    match value {
        Value::Object(members) => {
            members.contains_key("env")
                || members.contains_key("file")
                || members.values().any(points_elsewhere)
        }
        Value::Array(items) => items.iter().any(points_elsewhere),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// Who wants it and why: what is registered decides who is missed and who is heard.
fn signed(says: &mut Map<String, Value>) -> Result<Operator, Problem> {
    let missing = |name: &str| Problem::body(format!("{name} is missing"));
    let by = taken(says, "by")?.ok_or_else(|| missing("by"))?;
    let note = taken(says, "note")?.ok_or_else(|| missing("note"))?;
    accountable(by, note)
}

fn needed(says: &mut Map<String, Value>, name: &str) -> Result<String, Problem> {
    let text = taken(says, name)?.ok_or_else(|| Problem::body(format!("{name} is missing")))?;
    filled(name, text, NAME_LIMIT)
}

fn taken(says: &mut Map<String, Value>, name: &str) -> Result<Option<String>, Problem> {
    match says.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Problem::body(format!("{name} is a text"))),
    }
}

async fn register(shared: &Shared, what: Registering, operator: Operator) -> Result<Response, Problem> {
    let at = clock::wall().to_rfc3339();
    request(shared, Some(Registration { what, operator, at })).await
}
