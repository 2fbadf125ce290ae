//! The demo's duty officer: takes on every second critical alarm through the gateway's own API, as a person
//! with a telephone would, and resets it after it has recovered. The others are left to the viewer.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::message::Notice;

/// How long a person needs to read and press the button.
const READS: Duration = Duration::from_secs(8);
/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Errands that may wait for the officer.
const WAITING: usize = 64;
/// Who the alarm history says it was.
const NAME: &str = "演示值班员 / the demo's duty officer";

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// The officer acknowledges it in about so many seconds.
    Taken(u64),
    /// It waits for the viewer's curl.
    Yours,
    /// Nothing to do.
    None,
}

/// One thing to do: a request to an address.
#[derive(Debug)]
struct Errand {
    url: String,
    note: &'static str,
}

/// Decides which alarms the officer takes.
#[derive(Debug)]
pub struct Duty {
    errands: Sender<Errand>,
    raised: u64,
    taken: HashSet<String>,
}

/// The officer at work.
#[derive(Debug)]
pub struct Officer {
    errands: Receiver<Errand>,
    client: reqwest::Client,
}

/// Why there is no officer.
#[derive(Debug, thiserror::Error)]
pub enum OfficerError {
    /// No TLS version is left to offer.
    #[error("cannot set up the demo's HTTP client: {0}")]
    Tls(#[from] rustls::Error),
    /// The HTTP client would not start.
    #[error("cannot set up the demo's HTTP client: {0}")]
    Client(#[from] reqwest::Error),
}

/// An officer and what gives them work.
pub fn on_duty() -> Result<(Duty, Officer), OfficerError> {
    let (sender, errands) = channel(WAITING);
    let duty = Duty {
        errands: sender,
        raised: 0,
        taken: HashSet::new(),
    };
    // Plain HTTP on loopback: no authority is trusted, none is needed.
    let tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy()
        .timeout(PATIENCE)
        .build()?;
    Ok((duty, Officer { errands, client }))
}

impl Duty {
    /// Hears of `notice`: of two critical alarms the officer takes the first.
    pub async fn tell(&mut self, notice: &Notice) -> Case {
        let alarm = &notice.alarm;
        match notice.event.as_str() {
            "alarm.raised" if alarm.priority == "critical" => {
                self.raised += 1;
                if self.raised.is_multiple_of(2) {
                    return Case::Yours;
                }
                self.taken.insert(alarm.id.clone());
                self.send(
                    notice.ack_url.clone(),
                    "演示：已派人到场 / demo: someone is on the way",
                )
                .await;
                Case::Taken(READS.as_secs())
            }
            "alarm.recovered" if alarm.latched && self.taken.remove(&alarm.id) => {
                let url = notice.ack_url.replace("/acknowledge", "/reset");
                self.send(
                    url,
                    "演示：现场已通风，阀门已关 / demo: aired, the valve is closed",
                )
                .await;
                Case::None
            }
            _ => Case::None,
        }
    }

    async fn send(&self, url: String, note: &'static str) {
        let _going_home = self.errands.send(Errand { url, note }).await;
    }
}

impl Officer {
    /// Does each errand about eight seconds after it came, until `stop`.
    pub async fn work(mut self, stop: CancellationToken) {
        let mut under_way = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                Some(_) = under_way.join_next() => {}
                errand = self.errands.recv() => {
                    let Some(errand) = errand else { return };
                    under_way.spawn(run(self.client.clone(), errand));
                }
            }
        }
    }
}

async fn run(client: reqwest::Client, errand: Errand) {
    tokio::time::sleep(READS).await;
    let body = serde_json::json!({ "by": NAME, "note": errand.note }).to_string();
    let answer = client
        .post(&errand.url)
        .header("content-type", "application/json")
        .body(body)
        .send()
        .await;
    match answer {
        // 409: the gas came back, or the viewer was faster.
        Ok(answer) if answer.status().is_success() || answer.status().as_u16() == 409 => {}
        Ok(answer) => {
            tracing::warn!(status = %answer.status(), url = errand.url, "the API refused the demo's duty officer");
        }
        Err(error) => tracing::warn!(%error, "the demo's duty officer could not reach the API"),
    }
}
