//! `/api/v1/commands`, and the way by which an operator commands a device. Whether the device may be told to, the gateway
//! decides.

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;

use super::Shared;
use super::api::{Asked, asked, json_text, list as listed, page, read};
use super::devices::{DevicePath, Which, find};
use super::operate::{NAME_LIMIT, accountable, act, filled, required};
use super::problem::Problem;
use crate::domain::id::Id;
use crate::domain::journal::CommandInput;
use crate::handoff::OperatorAct;
use crate::store::{CommandFilter, CommandState};

/// The id of a command in a path, as far as it is text.
type CommandPath = Result<Path<String>, PathRejection>;

/// Whoever commands a device says who they are and why.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CommandBody {
    command: String,
    by: String,
    note: String,
}

/// The query of `GET /api/v1/commands`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CommandsQuery {
    #[serde(default)]
    state: StateFilter,
    venue: Option<String>,
    kind: Option<String>,
    device: Option<String>,
    limit: Option<u32>,
    after: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StateFilter {
    Open,
    Verified,
    Failed,
    Superseded,
    #[default]
    All,
}

/// `POST /api/v1/devices/{id}/commands`: 202 once it is durable. Whether the device obeys is to be seen later.
pub(super) async fn command(
    State(shared): State<Shared>,
    path: DevicePath,
    query: Asked<Which>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let which = asked(query)?;
    let body: CommandBody = required(&headers, body).await?;
    let command = filled("command", body.command, NAME_LIMIT)?;
    let operator = accountable(body.by, body.note)?;
    let input = CommandInput {
        device: find(&shared, path, which).await?.key,
        command,
        remote_open: false,
        operator,
    };
    let Some(order) = act(&shared, OperatorAct::Command(input)).await? else {
        tracing::error!("the gateway took a command and named no order");
        return Err(Problem::internal());
    };
    let mut response = stored(&shared, order).await?;
    *response.status_mut() = StatusCode::ACCEPTED;
    if let Ok(location) = HeaderValue::try_from(format!("/api/v1/commands/{order}")) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// `GET /api/v1/commands`: newest first.
pub(super) async fn list(
    State(shared): State<Shared>,
    query: Asked<CommandsQuery>,
) -> Result<Response, Problem> {
    let query = asked(query)?;
    let limit = page(query.limit)?;
    let after = match query.after.as_deref().map(str::parse::<Id>) {
        None => None,
        Some(Ok(id)) => Some(id),
        Some(Err(_)) => return Err(Problem::query("after is not the id of a command".to_owned())),
    };
    let filter = CommandFilter {
        state: match query.state {
            StateFilter::Open => Some(CommandState::Open),
            StateFilter::Verified => Some(CommandState::Verified),
            StateFilter::Failed => Some(CommandState::Failed),
            StateFilter::Superseded => Some(CommandState::Superseded),
            StateFilter::All => None,
        },
        venue: query.venue,
        kind: query.kind,
        device: query.device,
        after,
        limit: limit + 1,
    };
    let rows = read(&shared, shared.reader.commands(filter)).await?;
    let items = rows.into_iter().map(|row| (json!(row.id), row.body)).collect();
    Ok(listed(items, limit))
}

/// `GET /api/v1/commands/{id}`.
pub(super) async fn one(State(shared): State<Shared>, path: CommandPath) -> Result<Response, Problem> {
    let Path(text) = path.map_err(|rejection| Problem::path(rejection.body_text()))?;
    let id = text.parse().map_err(|_| {
        Problem::no_such_command("this is not the id of a command: it has 26 letters and digits")
    })?;
    stored(&shared, id).await
}

/// The order as it is committed.
async fn stored(shared: &Shared, id: Id) -> Result<Response, Problem> {
    match read(shared, shared.reader.command(id)).await? {
        Some(row) => Ok(json_text(row.body)),
        None => Err(Problem::no_such_command("no command has this id")),
    }
}
