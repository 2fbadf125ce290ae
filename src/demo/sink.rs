//! The local webhook that stands for the duty officer's telephone: takes messages on loopback, checks their
//! signature, shows them. Never asks the gateway anything: what it shows is what was sent.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio_util::sync::CancellationToken;

use super::group;
use super::message::{Notice, Reader, languages};
use super::officer::{Case, Duty};
use super::screen::Screen;
use crate::clock;

/// Messages that may wait to be shown; a further one waits with its answer, and so in the gateway's outbox.
const WAITING: usize = 64;
/// Message ids remembered, to show a repeated one once. More than an outbox can have on its way.
const REMEMBERED: usize = 4_096;

/// A bound webhook receiver.
#[derive(Debug)]
pub struct Sink {
    listener: TcpListener,
    address: SocketAddr,
    secret: Arc<str>,
    tally: Tally,
}

/// What came in so far. Cloning shares the counts.
#[derive(Debug, Clone, Default)]
pub struct Tally(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    delivered: AtomicU64,
    repeated: AtomicU64,
    refused: AtomicU64,
}

impl Tally {
    /// Messages shown.
    pub fn delivered(&self) -> u64 {
        self.0.delivered.load(Ordering::Relaxed)
    }

    /// Messages that came again, under the same id.
    pub fn repeated(&self) -> u64 {
        self.0.repeated.load(Ordering::Relaxed)
    }

    /// Messages with a wrong signature or a body that is no notice.
    pub fn refused(&self) -> u64 {
        self.0.refused.load(Ordering::Relaxed)
    }
}

/// What came in, for the screen.
#[derive(Debug)]
pub(super) enum Arrived {
    /// For a telephone, with its id.
    Notice(String, Box<Notice>),
    /// For the group.
    Group(String),
}

#[derive(Debug, Clone)]
pub(super) struct Received {
    secret: Arc<str>,
    tally: Tally,
    pub(super) arrived: Sender<Arrived>,
}

impl Sink {
    /// Takes a free loopback port; messages must be signed with `secret`.
    pub async fn bind(secret: &str) -> std::io::Result<Sink> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        Ok(Sink {
            listener,
            address,
            secret: Arc::from(secret),
            tally: Tally::default(),
        })
    }

    /// Where messages for the telephones are to be sent.
    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// Where messages for the group are to be sent.
    pub fn group_url(&self) -> String {
        format!("http://{}/group?key=demo", self.address)
    }

    /// The counts, live.
    pub fn tally(&self) -> Tally {
        self.tally.clone()
    }

    /// Answers the gateway until `stop`. Messages go to the returned receiver's reader.
    pub fn serve(self, stop: CancellationToken) -> (impl Future<Output = std::io::Result<()>>, Arrivals) {
        let (arrived, arrivals) = channel(WAITING);
        let received = Received {
            secret: self.secret,
            tally: self.tally.clone(),
            arrived,
        };
        let router = Router::new()
            .route("/hook", post(receive))
            .route("/group", post(group::receive))
            .with_state(received);
        let serving = axum::serve(self.listener, router).with_graceful_shutdown(stop.cancelled_owned());
        let arrivals = Arrivals {
            arrivals,
            tally: self.tally,
        };
        (serving.into_future(), arrivals)
    }
}

async fn receive(State(received): State<Received>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let id = header(&headers, "webhook-id");
    let notice = serde_json::from_slice::<Notice>(&body);
    match notice {
        Ok(notice) if signed(&received.secret, &headers, &body) => {
            // Only once it has its place before the officer is it delivered.
            match received
                .arrived
                .send(Arrived::Notice(id.to_owned(), Box::new(notice)))
                .await
            {
                Ok(()) => StatusCode::NO_CONTENT,
                Err(_) => StatusCode::SERVICE_UNAVAILABLE,
            }
        }
        Ok(_) | Err(_) => {
            received.tally.0.refused.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(id, "the sink refused a message: wrong signature or not a notice");
            StatusCode::BAD_REQUEST
        }
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

/// Whether the Standard Webhooks signature over id, timestamp and body is that of `secret`.
fn signed(secret: &str, headers: &HeaderMap, body: &[u8]) -> bool {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else {
        return false;
    };
    for part in [
        header(headers, "webhook-id"),
        ".",
        header(headers, "webhook-timestamp"),
        ".",
    ] {
        mac.update(part.as_bytes());
    }
    mac.update(body);
    header(headers, "webhook-signature")
        .split(' ')
        .filter_map(|signature| STANDARD.decode(signature.strip_prefix("v1,")?).ok())
        .any(|signature| mac.clone().verify_slice(&signature).is_ok())
}

/// The messages in order of arrival.
#[derive(Debug)]
pub struct Arrivals {
    arrivals: Receiver<Arrived>,
    tally: Tally,
}

impl Arrivals {
    /// Shows each message once, and tells the duty officer of it. Ends when the sink has.
    pub async fn show(mut self, reader: Reader, screen: Screen, mut duty: Duty, last: LastAlarm) {
        let mut seen = HashSet::new();
        let mut venue = String::new();
        while let Some(arrived) = self.arrivals.recv().await {
            let (id, notice) = match arrived {
                Arrived::Notice(id, notice) => (id, notice),
                Arrived::Group(text) => {
                    self.tally.0.delivered.fetch_add(1, Ordering::Relaxed);
                    screen.lines(group::lines(&text, reader.paint)).await;
                    venue.clear();
                    continue;
                }
            };
            if !seen.insert(id) {
                self.tally.0.repeated.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            if seen.len() >= REMEMBERED {
                seen.clear();
            }
            self.tally.0.delivered.fetch_add(1, Ordering::Relaxed);
            if notice.is_echo() {
                continue;
            }
            let took = clock::wall().0 - notice.at.as_millisecond();
            let mut lines = reader.lines(
                &notice,
                &format!("  delivered in {took} ms{}", notice.addressed()),
            );
            match duty.tell(&notice).await {
                Case::Taken(seconds) => lines.push(reader.remark(&format!(
                    "→ 演示值班员约{seconds}秒后确认 the demo's duty officer acknowledges it in about {seconds} s"
                ))),
                Case::Yours => {
                    let command = format!("→ 请您确认 yours:  curl -X POST {}", notice.ack_url);
                    lines.push(reader.remark(&command));
                }
                Case::None => {}
            }
            // A gap where the story moves on to another venue.
            if venue != notice.alarm.venue.name {
                notice.alarm.venue.name.clone_into(&mut venue);
                lines.insert(0, String::new());
            }
            if notice.event == "alarm.raised" {
                let (venue, _) = languages(&notice.alarm.venue.name);
                last.set(format!("{} {venue}", notice.alarm.title.zh));
            }
            screen.lines(lines).await;
        }
    }
}

/// The last alarm in a few words, for the status line. Cloning shares it.
#[derive(Debug, Clone)]
pub struct LastAlarm(Arc<tokio::sync::watch::Sender<String>>);

impl LastAlarm {
    /// None yet.
    pub fn new() -> LastAlarm {
        LastAlarm(Arc::new(tokio::sync::watch::Sender::new(String::new())))
    }

    /// In a few words; empty when there was none.
    pub fn get(&self) -> String {
        self.0.borrow().clone()
    }

    fn set(&self, text: String) {
        self.0.send_replace(text);
    }
}

impl Default for LastAlarm {
    fn default() -> LastAlarm {
        LastAlarm::new()
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue};

    use super::signed;

    /// `printf "%s" "$id.$timestamp.$body" | openssl dgst -sha256 -hmac "plain text key" -binary | base64`
    #[test]
    fn only_the_right_signature_over_the_right_body_counts() {
        let key = "plain text key";
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("webhook-id", "01KDVQX8000000000000000000"),
            ("webhook-timestamp", "1767225600"),
            (
                "webhook-signature",
                "v1,AAAA v1,MMWXlbZHOKfxBvmxYie0QQg/MhcViz+gSsyysWZHwxU=",
            ),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        let body = br#"{"id":"01KDVQX8000000000000000000","type":"alarm.raised"}"#;
        assert!(signed(key, &headers, body));
        assert!(!signed("another key", &headers, body));
        assert!(!signed(key, &headers, b"{}"));
        headers.remove("webhook-signature");
        assert!(!signed(key, &headers, body));
    }
}
