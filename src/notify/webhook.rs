//! The generic webhook: a signed POST of a notice's body. One attempt at a time; it decides nothing about
//! retries, and no error of it names the address or the key.

use std::fmt::Write as _;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Client, Response, Url};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::asked::{addressee, asked};
use super::http::{client, deadline, failure};
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

/// A webhook and its pool of connections.
pub(super) struct Webhook {
    client: Client,
    url: Url,
    signer: Option<Signer>,
    deadline: Duration,
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

impl std::fmt::Debug for Webhook {
    /// Its kind alone: an address may hold a key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Webhook(<where it goes>)")
    }
}

impl Webhook {
    /// The webhook of these settings.
    pub(super) fn new(settings: &TargetSettings, back: Option<&Back>) -> Result<Webhook, NotifyError> {
        let (client, url) = client(settings)?;
        Ok(Webhook {
            client,
            url,
            signer: settings
                .secret
                .as_ref()
                .map(|secret| Signer::new(secret.expose())),
            deadline: deadline(settings),
            fall_over: Millis(u64::try_from(settings.fall_over.as_millis()).unwrap_or(u64::MAX)),
            links: back.map(|back| back.links.clone()),
            replies: back
                .filter(|_| settings.acknowledges)
                .map(|back| Replies::new(&settings.name, back.operators.clone(), &back.metrics)),
        })
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
            .map_err(|error| failure(&error, self.deadline))?;
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

async fn drain(mut answer: Response) {
    let mut read = 0;
    while let Ok(Some(chunk)) = answer.chunk().await {
        read += chunk.len();
        if read > ANSWER_LIMIT {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{NetworkSettings, Secret, TargetKind};
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
            refused: false,
        }
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
            network: NetworkSettings::default(),
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
