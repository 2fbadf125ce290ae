//! `/api/v1`: reads alarms, events and dead letters from the store. Changes nothing.

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::Shared;
use super::problem::Problem;
use crate::domain::id::Id;
use crate::store::{AlarmFilter, DeadLetterRow, StoreError};

/// How many items a list has when nothing is asked for.
const PAGE: u32 = 100;

/// The most items a list may have.
const PAGE_LIMIT: u32 = 1_000;

/// The query of `GET /api/v1/alarms`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AlarmsQuery {
    #[serde(default)]
    state: StateFilter,
    limit: Option<u32>,
    after: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StateFilter {
    #[default]
    Active,
    Cleared,
    All,
}

/// The query of lists that are numbered.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NumberedQuery {
    limit: Option<u32>,
    #[serde(default)]
    after: i64,
}

/// The id of an alarm in a path, as far as it is text.
pub(super) type AlarmPath = Result<Path<String>, PathRejection>;

/// A query, as far as it can be read.
pub(super) type Asked<T> = Result<Query<T>, QueryRejection>;

/// `GET /api/v1/alarms`: newest first. `active` means every alarm whose life has not ended.
pub(super) async fn alarms(
    State(shared): State<Shared>,
    query: Asked<AlarmsQuery>,
) -> Result<Response, Problem> {
    let query = asked(query)?;
    let limit = page(query.limit)?;
    let after = match query.after.as_deref().map(str::parse::<Id>) {
        None => None,
        Some(Ok(id)) => Some(id),
        Some(Err(_)) => return Err(Problem::query("after is not an alarm id".to_owned())),
    };
    let filter = AlarmFilter {
        standing: match query.state {
            StateFilter::Active => Some(true),
            StateFilter::Cleared => Some(false),
            StateFilter::All => None,
        },
        after,
        limit: limit + 1,
    };
    let rows = read(&shared, shared.reader.alarms(filter)).await?;
    let items = rows.into_iter().map(|row| (json!(row.id), row.body)).collect();
    Ok(list(items, limit))
}

/// `GET /api/v1/alarms/{id}`.
pub(super) async fn alarm(State(shared): State<Shared>, path: AlarmPath) -> Result<Response, Problem> {
    stored_alarm(&shared, alarm_id(path)?).await
}

/// `GET /api/v1/events`: the hash chain, in order.
pub(super) async fn events(
    State(shared): State<Shared>,
    query: Asked<NumberedQuery>,
) -> Result<Response, Problem> {
    let query = asked(query)?;
    let limit = page(query.limit)?;
    let rows = read(&shared, shared.reader.events(query.after, limit + 1)).await?;
    let item = |seq: i64, hash: String, body: String| {
        let item = format!(r#"{{"seq":{seq},"hash":{},"event":{body}}}"#, json!(hash));
        (json!(seq), item)
    };
    let items = rows
        .into_iter()
        .map(|row| item(row.seq, row.hash, row.body))
        .collect();
    Ok(list(items, limit))
}

/// `GET /api/v1/dead-letters`: messages that could not be used, oldest first.
pub(super) async fn dead_letters(
    State(shared): State<Shared>,
    query: Asked<NumberedQuery>,
) -> Result<Response, Problem> {
    let query = asked(query)?;
    let limit = page(query.limit)?;
    let rows = read(&shared, shared.reader.dead_letters(query.after, limit + 1)).await?;
    let items = rows
        .into_iter()
        .map(|row| (json!(row.row), dead_letter(row).to_string()))
        .collect();
    Ok(list(items, limit))
}

/// The payload as text when it is text, else in base64.
fn dead_letter(row: DeadLetterRow) -> Value {
    let (encoding, payload) = match String::from_utf8(row.payload) {
        Ok(text) => ("utf-8", text),
        Err(bytes) => ("base64", STANDARD.encode(bytes.as_bytes())),
    };
    json!({
        "row": row.row,
        "at": row.at.to_rfc3339(),
        "topic": row.topic,
        "reason": row.reason,
        "detail": row.detail,
        "size": row.size,
        "encoding": encoding,
        "payload": payload,
    })
}

/// The alarm as it is committed.
pub(super) async fn stored_alarm(shared: &Shared, id: Id) -> Result<Response, Problem> {
    match read(shared, shared.reader.alarm(id)).await? {
        Some(row) => Ok(json_text(row.body)),
        None => Err(Problem::no_such_alarm("no alarm has this id")),
    }
}

/// The id in a path.
pub(super) fn alarm_id(path: AlarmPath) -> Result<Id, Problem> {
    let text = path.map_err(|rejection| Problem::path(rejection.body_text()))?;
    text.parse()
        .map_err(|_| Problem::no_such_alarm("this is not an alarm id: it has 26 letters and digits"))
}

/// The query, when it can be read.
pub(super) fn asked<T: DeserializeOwned>(query: Asked<T>) -> Result<T, Problem> {
    match query {
        Ok(Query(query)) => Ok(query),
        Err(rejection) => Err(Problem::query(rejection.body_text())),
    }
}

/// How many items are asked for.
pub(super) fn page(limit: Option<u32>) -> Result<u32, Problem> {
    let limit = limit.unwrap_or(PAGE);
    if (1..=PAGE_LIMIT).contains(&limit) {
        Ok(limit)
    } else {
        Err(Problem::query(format!(
            "limit must be between 1 and {PAGE_LIMIT}"
        )))
    }
}

/// What the store answers, unless it takes too long: a hanging disk must not take every connection with it.
pub(super) async fn read<T>(
    shared: &Shared,
    question: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, Problem> {
    match tokio::time::timeout(shared.limits.answer_wait, question).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => {
            tracing::warn!(%error, "the API cannot read the store");
            Err(Problem::unavailable("the store cannot be read; the log says why"))
        }
        Err(_) => Err(Problem::unavailable("the store has not answered in time")),
    }
}

/// A list of JSON texts, each with its place. One more than `limit` was read: then there is a next page.
pub(super) fn list(mut items: Vec<(Value, String)>, limit: u32) -> Response {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items
        .last()
        .filter(|_| more)
        .map_or(Value::Null, |(place, _)| place.clone());
    let texts: Vec<&str> = items.iter().map(|(_, text)| text.as_str()).collect();
    json_text(format!(r#"{{"items":[{}],"next":{next}}}"#, texts.join(",")))
}

/// An answer of this JSON.
pub(super) fn json_text(text: String) -> Response {
    let mut response = text.into_response();
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
