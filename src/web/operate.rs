//! What operators ask for: reads their requests, hands them to the gateway, and answers once what they caused is
//! committed. Decides nothing about alarms.

use std::ops::RangeInclusive;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use super::Shared;
use super::api::{AlarmPath, alarm_id, stored_alarm};
use super::problem::Problem;
use crate::domain::alarm::{OUT_OF_SERVICE, Operator, SHELF, Verdict};
use crate::domain::device::DeviceKey;
use crate::domain::engine::Refusal;
use crate::domain::id::Id;
use crate::domain::journal::{OperatorAction, OperatorInput, ServiceAction, ServiceInput};
use crate::domain::time::Millis;
use crate::handoff::{OperatorAct, OperatorRequest};

/// The largest request body, in bytes.
const BODY_LIMIT: usize = 64 * 1024;

/// How long a request body may take.
const BODY_WAIT: Duration = Duration::from_secs(10);

/// The longest name of an operator, a venue, a kind or a device, in bytes.
pub(super) const NAME_LIMIT: usize = 128;

/// The longest remark, in bytes.
const NOTE_LIMIT: usize = 1_024;

/// Who asks, and what they say of it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct OperatorBody {
    by: Option<String>,
    note: Option<String>,
}

/// What keeps people from hearing of an alarm says who wants it, why, and for how long.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ShelveBody {
    r#for: String,
    by: String,
    note: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct VerdictBody {
    verdict: Verdict,
    by: Option<String>,
    note: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OutOfServiceBody {
    venue: String,
    kind: String,
    device: String,
    r#for: String,
    by: String,
    note: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct InServiceBody {
    venue: String,
    kind: String,
    device: String,
    by: Option<String>,
    note: Option<String>,
}

/// `POST /api/v1/alarms/{id}/acknowledge`.
pub(super) async fn acknowledge(
    State(shared): State<Shared>,
    path: AlarmPath,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    plain(&shared, path, OperatorAction::Acknowledge, (&headers, body)).await
}

/// `POST /api/v1/alarms/{id}/reset`.
pub(super) async fn reset(
    State(shared): State<Shared>,
    path: AlarmPath,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    plain(&shared, path, OperatorAction::Reset, (&headers, body)).await
}

/// `POST /api/v1/alarms/{id}/unshelve`.
pub(super) async fn unshelve(
    State(shared): State<Shared>,
    path: AlarmPath,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    plain(&shared, path, OperatorAction::Unshelve, (&headers, body)).await
}

/// `POST /api/v1/alarms/{id}/close`.
pub(super) async fn close(
    State(shared): State<Shared>,
    path: AlarmPath,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    plain(&shared, path, OperatorAction::Close, (&headers, body)).await
}

/// `POST /api/v1/alarms/{id}/shelve`.
pub(super) async fn shelve(
    State(shared): State<Shared>,
    path: AlarmPath,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let body: ShelveBody = required(&headers, body).await?;
    let action = OperatorAction::Shelve(length(&body.r#for, &SHELF)?);
    let operator = accountable(body.by, body.note)?;
    act_on_alarm(&shared, alarm_id(path)?, action, operator).await
}

/// `POST /api/v1/alarms/{id}/verdict`.
pub(super) async fn verdict(
    State(shared): State<Shared>,
    path: AlarmPath,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let body: VerdictBody = required(&headers, body).await?;
    let action = OperatorAction::Verdict(body.verdict);
    let operator = operator(body.by, body.note)?;
    act_on_alarm(&shared, alarm_id(path)?, action, operator).await
}

/// `POST /api/v1/devices/out-of-service`.
pub(super) async fn out_of_service(
    State(shared): State<Shared>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let body: OutOfServiceBody = required(&headers, body).await?;
    let action = ServiceAction::Out(length(&body.r#for, &OUT_OF_SERVICE)?);
    let operator = accountable(body.by, body.note)?;
    let device = device(body.venue, body.kind, body.device)?;
    act_on_device(&shared, device, action, operator).await
}

/// `POST /api/v1/devices/in-service`.
pub(super) async fn in_service(
    State(shared): State<Shared>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let body: InServiceBody = required(&headers, body).await?;
    let operator = operator(body.by, body.note)?;
    let device = device(body.venue, body.kind, body.device)?;
    act_on_device(&shared, device, ServiceAction::In, operator).await
}

/// An action that says nothing but who and why, and that only if they like.
async fn plain(
    shared: &Shared,
    path: AlarmPath,
    action: OperatorAction,
    (headers, body): (&HeaderMap, Body),
) -> Result<Response, Problem> {
    let body: OperatorBody = parsed(headers, body).await?.unwrap_or_default();
    let operator = operator(body.by, body.note)?;
    act_on_alarm(shared, alarm_id(path)?, action, operator).await
}

/// Has the gateway do it, and answers with the alarm as it stands then.
async fn act_on_alarm(
    shared: &Shared,
    alarm: Id,
    action: OperatorAction,
    operator: Operator,
) -> Result<Response, Problem> {
    let input = OperatorInput {
        alarm,
        action,
        operator,
    };
    act(shared, OperatorAct::Alarm(input)).await?;
    stored_alarm(shared, alarm).await
}

async fn act_on_device(
    shared: &Shared,
    device: DeviceKey,
    action: ServiceAction,
    operator: Operator,
) -> Result<Response, Problem> {
    let input = ServiceInput {
        device,
        action,
        operator,
    };
    act(shared, OperatorAct::Device(input)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Has the gateway do it; what it says of an order, once that is committed.
pub(super) async fn act(shared: &Shared, act: OperatorAct) -> Result<Option<Id>, Problem> {
    let (answer, answered) = oneshot::channel();
    let request = OperatorRequest { act, answer };
    let exchange = async {
        shared.operators.send(request).await.ok()?;
        answered.await.ok()
    };
    match tokio::time::timeout(shared.limits.answer_wait, exchange).await {
        Ok(Some(Ok(order))) => Ok(order),
        Ok(Some(Err(refusal))) => Err(refused(&refusal)),
        Ok(None) => Err(Problem::unavailable("the gateway is stopping")),
        Err(_) => Err(Problem::unavailable(
            "the gateway has not answered in time; it may still do what was asked",
        )),
    }
}

fn refused(refusal: &Refusal) -> Problem {
    let said = refusal.to_string();
    match refusal {
        Refusal::NoSuchAlarm | Refusal::NoOpenAlarm => Problem::no_such_alarm(&said),
        Refusal::NoSuchDevice => Problem::no_such_device(said),
        Refusal::StillActive(state) => {
            let detail = "the alarm can be reset only after its condition has ended".to_owned();
            Problem::conflict("still-active", "Still active", detail).with("state", state.as_str().into())
        }
        Refusal::PoorQuality(quality) => {
            Problem::conflict("poor-quality", "Poor quality", said).with("quality", quality.as_str().into())
        }
        Refusal::RaisedAgain => Problem::conflict("raised-again", "Raised again", said),
        Refusal::NotShelved => Problem::conflict("not-shelved", "Not shelved", said),
        Refusal::InService => Problem::conflict("in-service", "In service", said),
        Refusal::OtherClass(class) => {
            Problem::conflict("other-class", "Other class", said).with("class", class.as_str().into())
        }
        Refusal::NotVerified => Problem::conflict("not-verified", "Not verified", said),
        Refusal::NotEnded(state) => {
            Problem::conflict("not-ended", "Not ended", said).with("state", state.as_str().into())
        }
        Refusal::Length { .. } => Problem::body(said),
        Refusal::NoSuchCommand { .. } => Problem::unknown_command(said),
        Refusal::OpeningRefused => Problem::opening_refused(said),
        Refusal::Interlocked => Problem::conflict("interlocked", "Interlocked", said),
        Refusal::Retired => Problem::conflict("retired", "Device out of use", said),
        Refusal::Unheard => Problem::conflict("unheard", "Devices not heard", said),
        Refusal::Busy { command } => Problem::conflict("busy", "Another command is under way", said)
            .with("command", command.as_str().into()),
    }
}

/// A body that must be there.
pub(super) async fn required<T: DeserializeOwned>(headers: &HeaderMap, body: Body) -> Result<T, Problem> {
    parsed(headers, body)
        .await?
        .ok_or_else(|| Problem::body("a JSON body is needed".to_owned()))
}

/// The body as JSON; `None` when there is none.
async fn parsed<T: DeserializeOwned>(headers: &HeaderMap, body: Body) -> Result<Option<T>, Problem> {
    let bytes = tokio::time::timeout(BODY_WAIT, to_bytes(body, BODY_LIMIT))
        .await
        .map_err(|_| Problem::slow())?
        .map_err(|_| Problem::too_large(BODY_LIMIT))?;
    if bytes.is_empty() {
        return Ok(None);
    }
    let media_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .map_or("", str::trim);
    if !media_type.eq_ignore_ascii_case("application/json") {
        return Err(Problem::media_type());
    }
    let body = serde_json::from_slice(&bytes).map_err(|error| Problem::body(error.to_string()))?;
    Ok(Some(body))
}

fn operator(by: Option<String>, note: Option<String>) -> Result<Operator, Problem> {
    Ok(Operator {
        by: filled("by", by.unwrap_or_else(|| "api".to_owned()), NAME_LIMIT)?,
        note: note.map(|note| checked("note", note, NOTE_LIMIT)).transpose()?,
    })
}

/// Somebody who says who they are and why.
pub(super) fn accountable(by: String, note: String) -> Result<Operator, Problem> {
    Ok(Operator {
        by: filled("by", by, NAME_LIMIT)?,
        note: Some(filled("note", note, NOTE_LIMIT)?),
    })
}

fn device(venue: String, kind: String, device: String) -> Result<DeviceKey, Problem> {
    Ok(DeviceKey {
        venue: filled("venue", venue, NAME_LIMIT)?,
        kind: filled("kind", kind, NAME_LIMIT)?,
        device: filled("device", device, NAME_LIMIT)?,
    })
}

fn length(text: &str, range: &RangeInclusive<Millis>) -> Result<Millis, Problem> {
    let form = || {
        let days = range.end().0 / 86_400_000;
        Problem::body(format!(
            "for must be a length of time from 1m to {days}d: a whole number and a unit, like \"2h\""
        ))
    };
    Millis::parse(text)
        .filter(|length| range.contains(length))
        .ok_or_else(form)
}

pub(super) fn filled(name: &str, text: String, limit: usize) -> Result<String, Problem> {
    if text.trim().is_empty() {
        return Err(Problem::body(format!("{name} must not be empty")));
    }
    checked(name, text, limit)
}

fn checked(name: &str, text: String, limit: usize) -> Result<String, Problem> {
    if text.len() > limit {
        return Err(Problem::body(format!("{name} may have at most {limit} bytes")));
    }
    if text.chars().any(char::is_control) {
        return Err(Problem::body(format!(
            "{name} must not contain control characters"
        )));
    }
    Ok(text)
}
