//! `/api/v1/deliveries`: what targets are owed and have got, and how a notice is sent once more. Sends nothing itself.

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::oneshot;

use super::Shared;
use super::api::{Asked, asked, list as listed, page, read};
use super::operate::{accountable, required};
use super::problem::Problem;
use crate::domain::id::Id;
use crate::handoff::Work;
use crate::handoff::outbox::OutboxWork;
use crate::store::{DeliveryFilter, DeliveryState};

/// The query of `GET /api/v1/deliveries`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DeliveriesQuery {
    #[serde(default)]
    state: StateFilter,
    target: Option<String>,
    /// An alarm or an order.
    about: Option<String>,
    limit: Option<u32>,
    after: Option<i64>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StateFilter {
    Pending,
    Held,
    Refused,
    Delivered,
    Moved,
    #[default]
    All,
}

/// Whoever sends something again says who they are and why.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ResendBody {
    by: String,
    note: String,
}

/// `GET /api/v1/deliveries`: newest first.
pub(super) async fn list(
    State(shared): State<Shared>,
    query: Asked<DeliveriesQuery>,
) -> Result<Response, Problem> {
    let query = asked(query)?;
    let limit = page(query.limit)?;
    let line = match query.about.as_deref().map(str::parse::<Id>) {
        None => None,
        Some(Ok(id)) => Some(id),
        Some(Err(_)) => {
            return Err(Problem::query(
                "about is not the id of an alarm or a command".to_owned(),
            ));
        }
    };
    let filter = DeliveryFilter {
        state: match query.state {
            StateFilter::Pending => Some(DeliveryState::Pending),
            StateFilter::Held => Some(DeliveryState::Held),
            StateFilter::Refused => Some(DeliveryState::Refused),
            StateFilter::Delivered => Some(DeliveryState::Delivered),
            StateFilter::Moved => Some(DeliveryState::Moved),
            StateFilter::All => None,
        },
        target: query.target,
        line,
        after: query.after,
        limit: limit + 1,
    };
    let rows = read(&shared, shared.reader.deliveries(filter)).await?;
    let items = rows
        .into_iter()
        .map(|row| (json!(row.id), json!(row).to_string()));
    Ok(listed(items.collect(), limit))
}

/// `POST /api/v1/deliveries/{id}/resend`: 202 once it is owed again, under the same notice id; 409 where its target is there no
/// more, or it is owed and will be tried anyway.
pub(super) async fn resend(
    State(shared): State<Shared>,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let Path(text) = path.map_err(|rejection| Problem::path(rejection.body_text()))?;
    let id: i64 = text.parse().map_err(|_| Problem::no_such_delivery())?;
    let body: ResendBody = required(&headers, body).await?;
    let operator = accountable(body.by, body.note)?;
    let found = read(&shared, shared.reader.delivery(id)).await?;
    let delivery = found.ok_or_else(Problem::no_such_delivery)?;
    let known = shared
        .directory
        .borrow()
        .directions
        .targets
        .contains(&delivery.target);
    if !known {
        return Err(Problem::conflict(
            "no-such-target",
            "No such target",
            format!(
                "the target {:?} is not configured any more: nobody would get it",
                delivery.target
            ),
        ));
    }
    if delivery.is_tried {
        let due = delivery.due_at.unwrap_or_default();
        return Err(Problem::conflict(
            "still-owed",
            "Still owed",
            format!(
                "the notice has not been delivered yet and is tried again by itself, at {due} or before: sent now, it would come twice"
            ),
        ));
    }
    tracing::info!(delivery = id, target_name = %delivery.target, by = %operator.by, note = ?operator.note, "a notice is sent once more");
    let (done, owed) = oneshot::channel();
    let work = Work::Outbox(OutboxWork::Resend { notice: id, done });
    let wait = async {
        shared.work.send(work).await.map_err(|_| ())?;
        owed.await.map_err(|_| ())
    };
    match tokio::time::timeout(shared.limits.answer_wait, wait).await {
        Ok(Ok(())) => Ok(StatusCode::ACCEPTED.into_response()),
        Ok(Err(())) => Err(Problem::unavailable("the gateway is stopping")),
        Err(_) => Err(Problem::unavailable(
            "the store has not answered in time; the notice may still be sent again",
        )),
    }
}
