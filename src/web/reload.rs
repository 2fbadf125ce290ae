//! `POST /-/reload`: has the configuration read anew, and says what is in force now or what is wrong, finding by
//! finding. Reads no file itself.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::Shared;
use super::problem::Problem;
use crate::config::{Finding, RegisterError, Registration};
use crate::reload::{ReloadError, ReloadRequest, Reloaded};

/// Answers once the new configuration is in force and durable. A client that goes away ends nothing.
pub(super) async fn reload(State(shared): State<Shared>) -> Result<Response, Problem> {
    request(&shared, None).await
}

/// Has the configuration read anew, with `registration` made, and says what is in force then.
pub(super) async fn request(
    shared: &Shared,
    registration: Option<Registration>,
) -> Result<Response, Problem> {
    let (answer, answered) = oneshot::channel();
    let request = ReloadRequest { registration, answer };
    let exchange = async {
        shared.reloads.send(request).await.ok()?;
        answered.await.ok()
    };
    match tokio::time::timeout(shared.limits.reload_wait, exchange).await {
        Ok(Some(Ok(Reloaded { summary, ended }))) => {
            Ok(axum::Json(json!({ "in_force": summary, "alarms_ended": ended })).into_response())
        }
        Ok(Some(Err(error))) => Err(refused(&error)),
        Ok(None) => Err(Problem::unavailable("the gateway is stopping")),
        Err(_) => Err(Problem::unavailable(
            "the reload is not over yet; it goes on, and the log will say how it ended",
        )),
    }
}

fn refused(error: &ReloadError) -> Problem {
    let detail = error.to_string();
    match error {
        ReloadError::Findings(findings) => {
            let findings = findings.iter().map(shown).collect();
            Problem::configuration(detail).with("findings", findings)
        }
        ReloadError::Register(error) => unregistered(error, detail),
        ReloadError::Unusable(_) => Problem::configuration(detail),
        ReloadError::NoFile => Problem::no_file(detail),
        ReloadError::Stopping => Problem::unavailable(&detail),
    }
}

fn unregistered(error: &RegisterError, detail: String) -> Problem {
    match error {
        RegisterError::Described { file, line, .. } => {
            Problem::conflict("described-in-file", "Described in a file", detail)
                .with("file", file.as_str().into())
                .with("line", (*line).into())
        }
        RegisterError::Unknown(_) => Problem::no_such_device(detail),
        RegisterError::Damaged { .. } => Problem::conflict("damaged-register", "Damaged register", detail),
        RegisterError::Findings(_) => Problem::configuration(detail),
        RegisterError::File { .. } => Problem::unavailable(&detail),
    }
}

fn shown(finding: &Finding) -> Value {
    json!({
        "file": finding.file,
        "line": finding.line,
        "column": finding.column,
        "message": finding.message,
        "label": finding.label,
        "suggestion": finding.suggestion,
    })
}
