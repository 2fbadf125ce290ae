//! The generic webhook: a signed POST of a notice's body. One attempt at a time; it decides nothing about
//! retries, and no error of it names the address or the key.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Client, Response, Url, redirect};
use rustls::{ClientConfig, RootCertStore};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::asked::{addressee, asked};
use super::parcel::{Manners, Parcel};
use super::reply::Replies;
use super::sign::Signer;
use super::target::{SendError, Taken, Target};
use super::{Back, NotifyError};
use crate::config::TargetSettings;
use crate::domain::directions::Recipient;
use crate::domain::time::{Millis, Timestamp};
use crate::link::Links;
use crate::store::PendingNotice;

/// How much of an answer is read so that its connection can be used again.
const ANSWER_LIMIT: usize = 16 * 1024;

/// How long the rest of an answer is waited for once its status is known.
const ANSWER_WAIT: Duration = Duration::from_millis(500);

/// How long an unused connection is kept open.
const IDLE: Duration = Duration::from_mins(1);

/// A webhook and its pool of connections.
#[derive(Debug)]
pub(super) struct Webhook {
    client: Client,
    url: Url,
    signer: Option<Signer>,
    timeout: Duration,
    fall_over: Millis,
    links: Option<Links>,
    /// Where there: its answers may acknowledge.
    replies: Option<Replies>,
}

/// What only this target is told.
#[derive(Serialize)]
struct More<'a> {
    /// Whom it is to tell.
    #[serde(skip_serializing_if = "<[Recipient]>::is_empty")]
    to: &'a [Recipient],
    /// Where they acknowledge.
    #[serde(skip_serializing_if = "Option::is_none")]
    ack_link: Option<String>,
}

impl Webhook {
    /// The webhook of these settings. Proxy variables of the environment are not heeded: where a notice goes
    /// is what the configuration says.
    pub(super) fn new(settings: &TargetSettings, back: Option<&Back>) -> Result<Webhook, NotifyError> {
        let (client, url) = client(settings)?;
        let webhook = Webhook::over(client, url, settings);
        Ok(Webhook {
            links: back.map(|back| back.links.clone()),
            replies: back
                .filter(|_| settings.acknowledges)
                .map(|back| Replies::new(&settings.name, back.operators.clone(), &back.metrics)),
            ..webhook
        })
    }

    fn over(client: Client, url: Url, settings: &TargetSettings) -> Webhook {
        Webhook {
            client,
            url,
            signer: settings
                .secret
                .as_ref()
                .map(|secret| Signer::new(secret.expose())),
            timeout: settings.timeout,
            fall_over: Millis(u64::try_from(settings.fall_over.as_millis()).unwrap_or(u64::MAX)),
            links: None,
            replies: None,
        }
    }

    /// The stored body with whom it is for and where they acknowledge: the same bytes on every attempt.
    fn body(&self, notice: &PendingNotice) -> String {
        let mut body = notice.body.clone();
        let more = More {
            to: &notice.people,
            ack_link: self.link(notice),
        };
        let more = serde_json::to_string(&more).unwrap_or_default();
        // Both are objects: the members of the second follow those of the first.
        if let (Some(more), true) = (
            more.strip_prefix('{').filter(|more| *more != "}"),
            body.ends_with('}'),
        ) {
            body.pop();
            body.push(',');
            body.push_str(more);
        }
        body
    }

    /// Posts `body` as the one of `notice`.
    pub(super) async fn post(
        &self,
        notice: &PendingNotice,
        body: String,
        at: Timestamp,
    ) -> Result<Taken, SendError> {
        let answer = self
            .client
            .post(self.url.clone())
            .headers(self.headers(notice, &body, at))
            .body(body)
            .send()
            .await
            .map_err(|error| failure(&error, self.timeout))?;
        let status = answer.status();
        // The status decides.
        if !status.is_success() {
            finish(answer).await;
            return Err(SendError::Status(status.as_u16()));
        }
        match self.replies.as_ref().zip(asked(notice)) {
            Some((replies, link)) => replies.hear(link, answer).await,
            None => finish(answer).await,
        }
        Ok(Taken)
    }

    fn link(&self, notice: &PendingNotice) -> Option<String> {
        let links = self.links.as_ref()?;
        let officers = notice.people.iter().map(|person| person.officer.as_str());
        Some(links.address(asked(notice)?, addressee(officers)))
    }

    fn headers(&self, notice: &PendingNotice, body: &str, at: Timestamp) -> HeaderMap {
        let id = message_id(notice);
        let seconds = at.0.div_euclid(1_000);
        let mut headers = HeaderMap::with_capacity(4);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert("webhook-timestamp", HeaderValue::from(seconds));
        let signature = self
            .signer
            .as_ref()
            .map(|signer| signer.sign(&id, seconds, body.as_bytes()));
        let texts = [("webhook-id", Some(id)), ("webhook-signature", signature)];
        for (name, text) in texts {
            if let Some(value) = text.and_then(|text| HeaderValue::try_from(text).ok()) {
                headers.insert(name, value);
            }
        }
        headers
    }
}

/// The notice's id; for certain people one of theirs: whoever knows a message by its id must not take what is for one officer
/// for what another has got already.
fn message_id(notice: &PendingNotice) -> String {
    let mut id = notice.id.to_string();
    if notice.people.is_empty() {
        return id;
    }
    let mut hash = Sha256::new();
    for person in &notice.people {
        hash.update(person.officer.as_bytes());
        hash.update([0]);
    }
    id.push('-');
    for byte in hash.finalize().iter().take(4) {
        let _infallible = write!(id, "{byte:02x}");
    }
    id
}

impl Target for Webhook {
    fn manners(&self) -> Manners {
        Manners {
            fall_over: self.fall_over,
            ..Manners::default()
        }
    }

    async fn send(&self, parcel: &Parcel, at: Timestamp) -> Result<Taken, SendError> {
        let notice = parcel.first();
        self.post(notice, self.body(notice), at).await
    }
}

/// Reads what is left of an answer whose status is known, only to keep its connection.
pub(super) async fn finish(answer: Response) {
    let _ = tokio::time::timeout(ANSWER_WAIT, drain(answer)).await;
}

/// Why a request had no answer.
pub(super) fn failure(error: &reqwest::Error, timeout: Duration) -> SendError {
    if error.is_timeout() {
        SendError::Timeout(timeout)
    } else if error.is_connect() {
        SendError::Connect
    } else {
        SendError::Broken
    }
}

/// The client for a target's address, and the address.
pub(super) fn client(settings: &TargetSettings) -> Result<(Client, Url), NotifyError> {
    let url = address(settings)?;
    let tls = match url.scheme() {
        "https" => system_tls(&settings.name)?,
        // Without redirects an http address never comes to use TLS.
        _ => client_config(RootCertStore::empty(), &settings.name)?,
    };
    Ok((client_over(tls, settings)?, url))
}

fn client_over(tls: ClientConfig, settings: &TargetSettings) -> Result<Client, NotifyError> {
    Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(concat!("ninewatch/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .no_proxy()
        .timeout(settings.timeout)
        .connect_timeout(settings.timeout)
        .tcp_nodelay(true)
        .pool_idle_timeout(IDLE)
        .build()
        .map_err(|error| NotifyError::Client {
            target: settings.name.clone(),
            source: error.without_url(),
        })
}

async fn drain(mut answer: Response) {
    let mut read = 0;
    while let Ok(Some(chunk)) = answer.chunk().await {
        read += chunk.len();
        if read > ANSWER_LIMIT {
            return;
        }
    }
}

fn address(settings: &TargetSettings) -> Result<Url, NotifyError> {
    let url = settings.url.expose().parse::<Url>().ok();
    url.filter(|url| ["http", "https"].contains(&url.scheme()))
        .ok_or_else(|| NotifyError::Url {
            target: settings.name.clone(),
        })
}

/// TLS that trusts what the system trusts.
fn system_tls(target: &str) -> Result<ClientConfig, NotifyError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        return Err(NotifyError::NoAuthorities {
            target: target.to_owned(),
        });
    }
    client_config(roots, target)
}

fn client_config(roots: RootCertStore, target: &str) -> Result<ClientConfig, NotifyError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|source| NotifyError::Tls {
            target: target.to_owned(),
            source,
        })?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use rustls::ServerConfig;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::task::JoinSet;
    use tokio_rustls::TlsAcceptor;

    use super::*;
    use crate::config::{Secret, TargetKind};
    use crate::domain::id::Id;

    fn notice() -> PendingNotice {
        PendingNotice {
            row: 1,
            id: Id::from_bits(1),
            alarm: Id::from_bits(2),
            body: "{}".to_owned(),
            created_at: Timestamp(0),
            attempts: 0,
            due_at: Timestamp(0),
            critical: false,
            urgent: false,
            people: Vec::new(),
        }
    }

    /// A TLS server that answers every connection's first request with 204.
    async fn server(servers: &mut JoinSet<()>) -> (u16, CertificateDer<'static>) {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        servers.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if let Ok(mut stream) = acceptor.accept(stream).await {
                    let mut request = [0; 4_096];
                    assert!(stream.read(&mut request).await.unwrap() > 0);
                    let answer = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
                    stream.write_all(answer).await.unwrap();
                    stream.shutdown().await.unwrap();
                }
            }
        });
        (port, cert.der().clone())
    }

    #[tokio::test]
    async fn https_is_spoken_with_whom_the_roots_vouch_for_and_nobody_else() {
        let mut servers = JoinSet::new();
        let (port, certificate) = server(&mut servers).await;
        let settings = TargetSettings {
            name: "duty".to_owned(),
            kind: TargetKind::Webhook,
            url: Secret::new(format!("https://localhost:{port}/hook")),
            secret: None,
            timeout: Duration::from_secs(10),
            fall_over: Duration::from_secs(15),
            acknowledges: false,
        };
        let send = async |roots: RootCertStore| {
            let tls = client_config(roots, "duty").unwrap();
            let webhook = Webhook::over(
                client_over(tls, &settings).unwrap(),
                address(&settings).unwrap(),
                &settings,
            );
            webhook.send(&Parcel::single(notice()), Timestamp(0)).await
        };
        assert_eq!(send(RootCertStore::empty()).await, Err(SendError::Connect));
        let mut roots = RootCertStore::empty();
        roots.add(certificate).unwrap();
        assert_eq!(send(roots).await, Ok(Taken));
    }

    #[test]
    fn what_is_for_certain_people_has_an_id_of_theirs_through_all_attempts() {
        let person = |officer: &str| Recipient {
            officer: officer.to_owned(),
            name: String::new(),
            language: crate::domain::officer::Language::Zh,
            contact: crate::domain::officer::Contact::default(),
            next: Vec::new(),
        };
        let to = |people: &[&str]| {
            message_id(&PendingNotice {
                people: people.iter().map(|officer| person(officer)).collect(),
                ..notice()
            })
        };
        assert_eq!(to(&[]), notice().id.to_string());
        let ids = [to(&["wang"]), to(&["li"]), to(&["wang", "li"]), to(&["wangli"])];
        assert!(
            ids.iter().all(|id| id.starts_with(&format!("{}-", notice().id))),
            "{ids:?}"
        );
        assert_eq!(std::collections::HashSet::from(ids.clone()).len(), 4, "{ids:?}");
        assert_eq!(to(&["wang"]), ids[0]);
    }

    #[test]
    fn without_a_secret_there_is_no_signature() {
        let mut settings = TargetSettings {
            name: "duty".to_owned(),
            kind: TargetKind::Webhook,
            url: Secret::new("http://127.0.0.1:1/hook".to_owned()),
            secret: None,
            timeout: Duration::from_secs(1),
            fall_over: Duration::from_secs(15),
            acknowledges: false,
        };
        let at = Timestamp(1_767_225_600_999);
        let plain = Webhook::new(&settings, None)
            .unwrap()
            .headers(&notice(), "{}", at);
        assert!(!plain.contains_key("webhook-signature"));
        assert_eq!(plain["webhook-timestamp"], "1767225600");
        settings.secret = Some(Secret::new("key".to_owned()));
        let signed = Webhook::new(&settings, None)
            .unwrap()
            .headers(&notice(), "{}", at);
        assert!(signed["webhook-signature"].to_str().unwrap().starts_with("v1,"));
    }
}
