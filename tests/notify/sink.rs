//! The HTTP server that notices are sent to: keeps what it gets, answers as it is told.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::outward::within;

/// A request as the sink got it.
#[derive(Debug, Clone)]
pub(super) struct Got {
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

impl Got {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(super) fn number(&self) -> u64 {
        self.member("/number").as_u64().unwrap()
    }

    pub(super) fn alarm(&self) -> String {
        self.member("/alarm/id").as_str().unwrap().to_owned()
    }

    pub(super) fn member(&self, pointer: &str) -> serde_json::Value {
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap();
        body.pointer(pointer).unwrap().clone()
    }

    pub(super) fn is_signed_with(&self, key: &str) -> bool {
        let mut mac: Hmac<Sha256> = Hmac::new_from_slice(key.as_bytes()).unwrap();
        let signed = [
            self.header("webhook-id"),
            self.header("webhook-timestamp"),
            &self.body,
        ]
        .join(".");
        mac.update(signed.as_bytes());
        let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        self.header("webhook-signature") == signature
    }
}

/// What the sink does with its n-th request.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    Status(u16),
    Redirect(String),
    Hang,
    /// Answers once the semaphore has a permit.
    When(Arc<Semaphore>),
}

/// An HTTP server that keeps what it gets and answers as it is told.
pub(super) struct Sink {
    pub(super) address: SocketAddr,
    pub(super) got: mpsc::Receiver<Got>,
    _server: JoinSet<()>,
}

impl Sink {
    pub(super) async fn start(answer: impl Fn(usize) -> Answer + Clone + Send + Sync + 'static) -> Sink {
        Sink::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), answer).await
    }

    pub(super) async fn start_at(
        address: SocketAddr,
        answer: impl Fn(usize) -> Answer + Clone + Send + Sync + 'static,
    ) -> Sink {
        let count = Arc::new(AtomicUsize::new(0));
        Sink::judging_at(address, move |_| answer(count.fetch_add(1, Ordering::SeqCst))).await
    }

    /// One that looks at what it gets.
    pub(super) async fn judging(judge: impl Fn(&Got) -> Answer + Clone + Send + Sync + 'static) -> Sink {
        Sink::judging_at(SocketAddr::from(([127, 0, 0, 1], 0)), judge).await
    }

    async fn judging_at(
        address: SocketAddr,
        judge: impl Fn(&Got) -> Answer + Clone + Send + Sync + 'static,
    ) -> Sink {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, got) = mpsc::channel(10_000);
        let handler = move |headers: HeaderMap, body: String| {
            let got = Got { headers, body };
            let answer = judge(&got);
            sender.try_send(got).unwrap();
            respond(answer)
        };
        let mut server = JoinSet::new();
        server.spawn(async move {
            axum::serve(listener, Router::new().fallback(handler))
                .await
                .unwrap();
        });
        Sink {
            address,
            got,
            _server: server,
        }
    }

    pub(super) async fn next(&mut self) -> Got {
        within("a request at the sink", self.got.recv()).await.unwrap()
    }

    /// What came and was not asked for yet.
    pub(super) fn rest(&mut self) -> Vec<Got> {
        std::iter::from_fn(|| self.got.try_recv().ok()).collect()
    }
}

async fn respond(answer: Answer) -> Response {
    match answer {
        Answer::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Answer::Redirect(to) => (StatusCode::FOUND, [(header::LOCATION, to)]).into_response(),
        Answer::Hang => std::future::pending().await,
        Answer::When(open) => {
            open.acquire().await.unwrap().forget();
            StatusCode::NO_CONTENT.into_response()
        }
    }
}
