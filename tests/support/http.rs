//! A tiny HTTP client for the gateway's and Prometheus' own API.

use std::time::Duration;

use reqwest::Client;
use serde_json::Value;

/// An answer: status, content type, body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) text: String,
}

impl Answer {
    /// The body as JSON; panics with the body when it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text)
            .unwrap_or_else(|error| panic!("not JSON ({error}), status {}: {}", self.status, self.text))
    }
}

/// A client that uses no proxy and follows no redirect.
pub(crate) fn client() -> Client {
    // The second installation is refused and harmless: the first provider stays.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(10))
        .build()
        .expect("a client without options that can fail")
}

/// GET; `None` while nobody answers.
pub(crate) async fn try_get(url: &str) -> Option<Answer> {
    answer(client().get(url)).await
}

/// GET; panics when nobody answers.
pub(crate) async fn get(url: &str) -> Answer {
    try_get(url)
        .await
        .unwrap_or_else(|| panic!("nobody answers at {url}"))
}

/// POST with a JSON body; panics when nobody answers.
pub(crate) async fn post(url: &str, body: &Value) -> Answer {
    let request = client()
        .post(url)
        .header("content-type", "application/json")
        .body(body.to_string());
    answer(request)
        .await
        .unwrap_or_else(|| panic!("nobody answers at {url}"))
}

/// A request with a JSON body; panics when nobody answers.
pub(crate) async fn send(method: &str, url: &str, body: &Value) -> Answer {
    let method = method.parse().expect("a method");
    let request = client()
        .request(method, url)
        .header("content-type", "application/json")
        .body(body.to_string());
    answer(request)
        .await
        .unwrap_or_else(|| panic!("nobody answers at {url}"))
}

async fn answer(request: reqwest::RequestBuilder) -> Option<Answer> {
    let response = request.send().await.ok()?;
    let status = response.status().as_u16();
    let content_type = response
        .headers()
        .get("content-type")
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
        .to_owned();
    let text = response.text().await.ok()?;
    Some(Answer {
        status,
        content_type,
        text,
    })
}
