//! `/api/v1/roster`: who is on duty by each roster. Shows names, no telephone numbers. Changes nothing.

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Shared;
use super::api::{Asked, asked, json_text};
use super::devices::directory;
use super::history::instant;
use super::problem::Problem;
use crate::clock;
use crate::domain::directions::Directions;
use crate::domain::roster::Roster;
use crate::domain::time::Timestamp;

/// The query of `GET /api/v1/roster`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RosterQuery {
    at: Option<String>,
}

/// `GET /api/v1/roster`: who is on duty `at` an instant, or now, and until when.
pub(super) async fn roster(
    State(shared): State<Shared>,
    query: Asked<RosterQuery>,
) -> Result<Response, Problem> {
    let at = asked(query)?.at.map(|at| instant("at", &at)).transpose();
    let at = at.map_err(Problem::query)?.unwrap_or_else(clock::wall);
    let directory = directory(&shared);
    let directions = &directory.directions;
    let items: Vec<Value> = directions
        .rosters
        .iter()
        .map(|roster| item(roster, directions, at))
        .collect();
    Ok(json_text(json!({"items": items, "next": null}).to_string()))
}

fn item(roster: &Roster, directions: &Directions, at: Timestamp) -> Value {
    let officer = |id: &str| json!({"id": id, "name": directions.officer(id).map(|officer| &officer.name)});
    let officers: Vec<Value> = roster.on_duty(at).into_iter().map(officer).collect();
    json!({
        "roster": roster.name(),
        "officers": officers,
        "until": roster.next_change(at).map(Timestamp::to_rfc3339),
    })
}
