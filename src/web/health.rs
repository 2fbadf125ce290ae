//! `/-/healthy`, `/-/ready` and `/metrics`: what others watch the process by. Sets nothing.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::Shared;
use super::problem::Problem;

/// The content type of the Prometheus text format.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// 200 while the process serves.
pub(super) async fn healthy() -> Response {
    Json(json!({ "healthy": true })).into_response()
}

/// 200 when messages can come in and become durable; else 503 with what is away.
pub(super) async fn ready(State(shared): State<Shared>) -> Response {
    let (broker, store) = (shared.health.broker(), shared.health.store());
    let away = match (broker, store) {
        (true, true) if shared.health.replica_away() => {
            "PostgreSQL is away, and acknowledgements wait for it (durability = \"replicated\")"
        }
        (true, true) => {
            return Json(json!({ "ready": true, "broker": true, "store": true })).into_response();
        }
        (false, true) => "the MQTT session is down",
        (true, false) => "the store takes no commits",
        (false, false) => "the MQTT session is down and the store takes no commits",
    };
    let trouble = shared.health.store_condition().failed.filter(|_| !store);
    let away = trouble.map_or_else(|| away.to_owned(), |trouble| format!("{away}: {trouble}"));
    Problem::unavailable(&away)
        .with("ready", json!(false))
        .with("broker", json!(broker))
        .with("store", json!(store))
        .into_response()
}

/// All metrics. Rendered off the runtime: with many series it takes longer than a task should.
pub(super) async fn metrics(State(shared): State<Shared>) -> Result<Response, Problem> {
    let survey = shared.metrics.surveys.ask().await;
    let directory = Arc::clone(&shared.directory.borrow());
    let mut names = Arc::clone(&shared.names).lock_owned().await;
    let rendered = tokio::task::spawn_blocking(move || {
        let mut series = String::new();
        if let Some(survey) = survey {
            let dropped = names.write(&survey, &directory, shared.max_series, &mut series);
            let dropped = u64::try_from(dropped).unwrap_or(u64::MAX);
            shared.metrics.series_dropped.inc_by(dropped);
        }
        let mut text = shared.metrics.render()?;
        text.push_str(&series);
        Ok::<String, prometheus::Error>(text)
    })
    .await;
    let text = match rendered {
        Ok(Ok(text)) => text,
        Ok(Err(error)) => {
            tracing::error!(%error, "cannot render the metrics");
            return Err(Problem::internal());
        }
        Err(error) => {
            tracing::error!(%error, "rendering the metrics died");
            return Err(Problem::internal());
        }
    };
    let mut response = text.into_response();
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(METRICS_TYPE));
    Ok(response)
}
