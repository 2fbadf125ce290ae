//! The page behind the address in a message. Looking at it changes nothing: link previews of chats and mail scanners look at
//! every address. Only its button acknowledges, and only the raise of the alarm that its message told of.

use axum::body::{Body, to_bytes};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use minijinja::{Environment, context};
use serde::Deserialize;
use serde_json::Value;

use super::Shared;
use super::operate::{NAME_LIMIT, act, filled};
use super::problem::Problem;
use crate::clock;
use crate::domain::alarm::Operator;
use crate::domain::journal::{OperatorAction, OperatorInput};
use crate::handoff::OperatorAct;
use crate::link::{Link, LinkError};

/// The largest form, in bytes.
const FORM_LIMIT: usize = 4 * 1024;

const PAGE: &str = include_str!("acknowledge.html");

/// Nothing of the page is kept, loaded from elsewhere, or shown inside another one, and its address goes nowhere.
const HEADERS: [(HeaderName, &str); 5] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
];

#[derive(Debug, Deserialize)]
pub(super) struct Officer {
    /// For whom the address was made; empty: whoever reads the message.
    #[serde(default)]
    o: String,
}

/// What the page says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Waits,
    Done,
    Over,
    RaisedAgain,
    Gone,
    Expired,
    Busy,
}

/// `GET /a/{token}`: shows the alarm, and a button while nobody has acknowledged it.
pub(super) async fn show(
    State(shared): State<Shared>,
    Path(token): Path<String>,
    Query(officer): Query<Officer>,
    headers: HeaderMap,
) -> Response {
    let (state, alarm) = look(&shared, &token, &officer.o).await;
    page(state, &alarm, &officer.o, &headers)
}

/// `POST /a/{token}`: acknowledges, once.
pub(super) async fn press(
    State(shared): State<Shared>,
    Path(token): Path<String>,
    Query(officer): Query<Officer>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let (state, alarm) = look(&shared, &token, &officer.o).await;
    let Some(link) = state.1.filter(|_| state.0 == Standing::Waits) else {
        return page(state, &alarm, &officer.o, &headers);
    };
    let by = match name(&officer.o, body).await {
        Ok(by) => by,
        Err(problem) => return problem.into_response(),
    };
    let input = OperatorInput {
        alarm: link.alarm,
        action: OperatorAction::AcknowledgeRaise(link.raised_at),
        operator: Operator {
            by,
            note: Some(format!("through the address in notice {}", link.notice)),
        },
    };
    match act(&shared, OperatorAct::Alarm(input)).await {
        Ok(_) => {
            let (state, alarm) = look(&shared, &token, &officer.o).await;
            page(state, &alarm, &officer.o, &headers)
        }
        Err(problem) => {
            let state = match problem.into_response().status() {
                StatusCode::NOT_FOUND => Standing::Over,
                StatusCode::CONFLICT => Standing::RaisedAgain,
                _ => Standing::Busy,
            };
            page((state, None), &alarm, &officer.o, &headers)
        }
    }
}

/// How the alarm behind `token` stands, and its body.
async fn look(shared: &Shared, token: &str, officer: &str) -> ((Standing, Option<Link>), Value) {
    let link = match shared.links.check(token, officer, clock::wall()) {
        Ok(link) => link,
        Err(LinkError::Forged) => return ((Standing::Gone, None), Value::Null),
        Err(LinkError::Expired) => return ((Standing::Expired, None), Value::Null),
    };
    let read = tokio::time::timeout(shared.limits.answer_wait, shared.reader.alarm(link.alarm));
    let row = match read.await {
        Ok(Ok(Some(row))) => row,
        Ok(Ok(None)) => return ((Standing::Over, None), Value::Null),
        Ok(Err(error)) => {
            tracing::error!(%error, "an alarm cannot be read for its page");
            return ((Standing::Busy, None), Value::Null);
        }
        Err(_) => return ((Standing::Busy, None), Value::Null),
    };
    let alarm: Value = serde_json::from_str(&row.body).unwrap_or_default();
    let text = |member: &str| alarm.get(member).and_then(Value::as_str).unwrap_or_default();
    let state = match text("state") {
        "cleared" => Standing::Over,
        // An address is for one raise: what has come again since waits for whoever is told of that.
        _ if text("raised_at") != link.raised_at.to_rfc3339() => Standing::RaisedAgain,
        "active_unacknowledged" | "recovered_unacknowledged" => Standing::Waits,
        _ => Standing::Done,
    };
    ((state, Some(link)), alarm)
}

/// Who presses: the officer for whom the address was made, or the name in the form.
async fn name(officer: &str, body: Body) -> Result<String, Problem> {
    if !officer.is_empty() {
        return filled("o", officer.to_owned(), NAME_LIMIT);
    }
    let form = to_bytes(body, FORM_LIMIT).await;
    let form = form.map_err(|_| Problem::too_large(FORM_LIMIT))?;
    let by = url::form_urlencoded::parse(&form).find(|(key, _)| key == "by");
    filled(
        "by",
        by.map(|(_, by)| by.into_owned()).unwrap_or_default(),
        NAME_LIMIT,
    )
}

fn page((state, _): (Standing, Option<Link>), alarm: &Value, officer: &str, headers: &HeaderMap) -> Response {
    let accepted = headers
        .get(header::ACCEPT_LANGUAGE)
        .and_then(|value| value.to_str().ok());
    let en = accepted.is_some_and(|accepted| accepted.starts_with("en"));
    let (status, word) = match state {
        Standing::Waits => (StatusCode::OK, "waits"),
        Standing::Done => (StatusCode::OK, "done"),
        Standing::Over => (StatusCode::OK, "over"),
        Standing::RaisedAgain => (StatusCode::OK, "raised-again"),
        Standing::Gone => (StatusCode::NOT_FOUND, "gone"),
        Standing::Expired => (StatusCode::GONE, "expired"),
        Standing::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
    };
    let mut environment = Environment::new();
    let rendered = environment
        .add_template("acknowledge.html", PAGE)
        .and_then(|()| environment.get_template("acknowledge.html"))
        .and_then(|template| template.render(context! { en, state => word, alarm, officer }));
    let mut response = match rendered {
        Ok(html) => (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], html).into_response(),
        Err(error) => {
            tracing::error!(%error, "the page of an alarm cannot be written");
            Problem::internal().into_response()
        }
    };
    for (name, value) in HEADERS {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}
