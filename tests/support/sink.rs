//! A real HTTP server that stands for the duty officer's webhook: it keeps what it got, checks each signature by a
//! computation of its own, and can fail, hang, be down and come back on the same port.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::gateway::SECRET;
use super::{PATIENCE, eventually};

const BODY_LIMIT: usize = 1024 * 1024;
const BACKLOG: u32 = 1024;
/// Standard Webhooks: a receiver refuses what is older or newer.
const TOLERANCE_SECONDS: u64 = 300;

/// What the sink does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Takes it: 200.
    Accept,
    /// Takes it, and answers with this body.
    Say(&'static str),
    /// Refuses it with this status.
    Refuse(u16),
    /// Never answers.
    Hang,
}

/// One request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    pub(crate) id: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
    /// Whether the sink took it.
    pub(crate) accepted: bool,
    /// What is wrong with its signature, if anything.
    pub(crate) flaw: Option<String>,
}

impl Attempt {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a webhook body is JSON")
    }
}

/// The server and what it got.
pub(crate) struct Sink {
    pub(crate) port: u16,
    mood: watch::Sender<Mood>,
    attempts: watch::Sender<Vec<Attempt>>,
    /// The listener's task with its connections in it: aborted as one.
    server: JoinSet<()>,
    /// Holds the port while the sink is down, so that nobody else takes it.
    held: Option<TcpSocket>,
}

impl Sink {
    /// Starts on a free port, in the mood to accept.
    pub(crate) fn start() -> Sink {
        let socket = bound(0);
        let port = socket.local_addr().expect("a bound socket has an address").port();
        let mut sink = Sink {
            port,
            mood: watch::Sender::new(Mood::Accept),
            attempts: watch::Sender::new(Vec::new()),
            server: JoinSet::new(),
            held: Some(socket),
        };
        sink.up();
        sink
    }

    /// Where to post.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook", self.port)
    }

    /// From now on it does this.
    pub(crate) fn set(&self, mood: Mood) {
        self.mood.send_replace(mood);
    }

    /// Closes the port and every connection: connections are refused.
    pub(crate) async fn down(&mut self) {
        self.server.shutdown().await;
        self.held = Some(bound(self.port));
    }

    /// Opens the port again.
    pub(crate) fn up(&mut self) {
        let socket = self.held.take().expect("the sink is down");
        let listener = socket.listen(BACKLOG).expect("a bound socket can listen");
        self.server
            .spawn(serve(listener, self.mood.subscribe(), self.attempts.clone()));
    }

    /// Everything that came, accepted or not.
    pub(crate) fn attempts(&self) -> Vec<Attempt> {
        self.attempts.borrow().clone()
    }

    /// What was accepted, each id once, in order of first acceptance.
    pub(crate) fn delivered(&self) -> Vec<Attempt> {
        let mut seen = std::collections::HashSet::new();
        let attempts = self.attempts.borrow();
        attempts
            .iter()
            .filter(|attempt| attempt.accepted && seen.insert(attempt.id.clone()))
            .cloned()
            .collect()
    }

    /// How many attempts came, accepted or not.
    pub(crate) fn count(&self) -> usize {
        self.attempts.borrow().len()
    }

    /// Waits for the accepted message of this type about this rule and device.
    pub(crate) async fn wait_for(&self, event: &str, rule: &str, device: &str) -> Attempt {
        eventually(
            &format!("webhook {event} of {rule} for {device}"),
            PATIENCE,
            async || self.of(event, rule, device).into_iter().next(),
        )
        .await
    }

    /// The accepted messages of this type about this rule and device, each id once.
    pub(crate) fn of(&self, event: &str, rule: &str, device: &str) -> Vec<Attempt> {
        let matching = |attempt: &Attempt| {
            let body = attempt.json();
            body["type"] == event && body["alarm"]["rule"] == rule && body["alarm"]["device"]["id"] == device
        };
        self.delivered().into_iter().filter(matching).collect()
    }

    /// Panics when any message so far had a bad signature.
    pub(crate) fn assert_all_signed(&self) {
        for attempt in self.attempts.borrow().iter() {
            assert_eq!(attempt.flaw, None, "webhook {} is not signed well", attempt.id);
        }
    }
}

fn bound(port: u16) -> TcpSocket {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_reuseaddr(true).expect("a new socket takes options");
    socket
        .bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        .unwrap_or_else(|error| panic!("cannot bind port {port}: {error}"));
    socket
}

async fn serve(listener: TcpListener, mood: watch::Receiver<Mood>, attempts: watch::Sender<Vec<Attempt>>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            return;
        };
        connections.spawn(connection(stream, mood.clone(), attempts.clone()));
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(stream: TcpStream, mood: watch::Receiver<Mood>, attempts: watch::Sender<Vec<Attempt>>) {
    let service = service_fn(|request| answer(request, *mood.borrow(), &attempts));
    // A client that goes away is no concern of the sink.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn answer(
    request: Request<Incoming>,
    mood: Mood,
    attempts: &watch::Sender<Vec<Attempt>>,
) -> Result<Response<Body>, Infallible> {
    let (head, body) = request.into_parts();
    let headers: HashMap<String, String> = head
        .headers
        .iter()
        .map(|(name, value)| {
            (
                name.to_string(),
                String::from_utf8_lossy(value.as_bytes()).into_owned(),
            )
        })
        .collect();
    let status = match mood {
        Mood::Accept | Mood::Say(_) | Mood::Hang => StatusCode::OK,
        Mood::Refuse(code) => StatusCode::from_u16(code).expect("a status code"),
    };
    let Ok(body) = axum::body::to_bytes(Body::new(body), BODY_LIMIT).await else {
        return Ok(Response::new(Body::empty()));
    };
    let attempt = Attempt {
        id: headers.get("webhook-id").cloned().unwrap_or_default(),
        flaw: flaw(&headers, &body, SECRET),
        headers,
        body: body.to_vec(),
        accepted: matches!(mood, Mood::Accept | Mood::Say(_)),
    };
    attempts.send_modify(|all| all.push(attempt));
    if mood == Mood::Hang {
        std::future::pending::<()>().await;
    }
    let said = match mood {
        Mood::Say(said) => Body::from(said),
        Mood::Accept | Mood::Refuse(_) | Mood::Hang => Body::empty(),
    };
    let mut response = Response::new(said);
    *response.status_mut() = status;
    Ok(response)
}

/// What is wrong with the signature of a message under Standard Webhooks, if anything.
fn flaw(headers: &HashMap<String, String>, body: &[u8], secret: &str) -> Option<String> {
    let (Some(id), Some(timestamp), Some(signatures)) = (
        headers.get("webhook-id"),
        headers.get("webhook-timestamp"),
        headers.get("webhook-signature"),
    ) else {
        return Some("a webhook-* header is missing".to_owned());
    };
    let Ok(sent) = timestamp.parse::<u64>() else {
        return Some(format!("webhook-timestamp is no number: {timestamp:?}"));
    };
    if seconds().abs_diff(sent) > TOLERANCE_SECONDS {
        return Some(format!("webhook-timestamp {sent} is not near {}", seconds()));
    }
    let expected = signature(secret, id, timestamp, body);
    let good = signatures.split(' ').any(|signature| signature == expected);
    (!good).then(|| format!("signature is {signatures:?}, should be {expected:?}"))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the receiver's own clock, apart from the gateway's"
)]
fn seconds() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// `v1,` and HMAC-SHA256 in base64, written out from RFC 2104 so that it shares nothing with the gateway's code.
fn signature(secret: &str, id: &str, timestamp: &str, body: &[u8]) -> String {
    const BLOCK: usize = 64;
    let key = secret
        .strip_prefix("whsec_")
        .expect("the test's secret has the prefix");
    let key = STANDARD.decode(key).expect("the test's secret is base64");
    let padded = |mask: u8| -> Vec<u8> {
        (0..BLOCK)
            .map(|at| key.get(at).copied().unwrap_or(0) ^ mask)
            .collect()
    };
    let inner = Sha256::new()
        .chain_update(padded(0x36))
        .chain_update(format!("{id}.{timestamp}."))
        .chain_update(body)
        .finalize();
    let outer = Sha256::new()
        .chain_update(padded(0x5c))
        .chain_update(inner)
        .finalize();
    format!("v1,{}", STANDARD.encode(outer))
}

#[test]
fn the_signature_is_that_of_the_published_example() {
    let made = signature(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "1614265330",
        br#"{"test": 2432232314}"#,
    );
    assert_eq!(made, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}
