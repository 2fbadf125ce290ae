//! Group robots of WeCom, DingTalk and Feishu: a text for officers, posted in the robot's own form. One attempt at a time; a
//! message counts as taken only when the answer's own code says so.

mod call;
mod dingtalk;
mod feishu;
#[cfg(test)]
mod tests;
mod verdict;
mod wecom;

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Client, Response, Url};
use serde_json::Value;
use sha2::Sha256;

use self::verdict::{Answer, verdict};
use super::NotifyError;
use super::asked::address;
use super::http::{client, deadline, failure};
use super::parcel::{Limit, Manners, Parcel};
use super::target::{SendError, Taken, Target};
use crate::config::{RobotSettings, Secret, Service, TargetSettings};
use crate::domain::directions::Recipient;
use crate::domain::officer::Language;
use crate::domain::schedule::{DEFAULT_TIME_ZONE, time_zone};
use crate::domain::time::{Millis, Timestamp};
use crate::link::Links;
use crate::words::{InForce, Story, Style, Words, Written, calls};

/// How much of an answer is read: more is no robot's answer.
const ANSWER_LIMIT: usize = 64 * 1024;

const MINUTE: Millis = Millis(60_000);

/// How long an ordinary notice waits for company.
const GATHER: Millis = Millis(5_000);

/// A robot, its words and its pool of connections.
pub(super) struct Robot {
    client: Client,
    url: Url,
    secret: Option<Secret>,
    deadline: Duration,
    fall_over: Millis,
    service: Service,
    mention_all: bool,
    /// Its own, where its readers have none in common.
    language: Language,
    zh: Phrases,
    en: Phrases,
    links: Option<Links>,
}

/// The words of one language.
#[derive(Debug)]
struct Phrases {
    words: Words,
    /// For messages that call whom the service's markup cannot.
    plain: Words,
}

/// What goes into one message.
struct Letter<'p> {
    bodies: Vec<&'p str>,
    at: Timestamp,
    language: Language,
    /// Everybody in the group is called.
    everybody: bool,
    /// Who is called: each once, the most important notice's first.
    people: Vec<&'p Recipient>,
    /// Where they acknowledge.
    link: Option<String>,
}

/// What is posted: where to, and the body.
struct Post {
    url: Url,
    body: Value,
}

impl std::fmt::Debug for Robot {
    /// Its kind alone: an address may hold a key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Robot(<where it goes>)")
    }
}

impl Robot {
    /// The robot of these settings; without `links` its texts have no address to acknowledge by.
    pub(super) fn new(
        settings: &TargetSettings,
        robot: &RobotSettings,
        (vocabulary, links): (&InForce, Option<&Links>),
    ) -> Result<Robot, NotifyError> {
        let (client, url) = client(settings)?;
        let zone = || time_zone(DEFAULT_TIME_ZONE).unwrap_or(jiff::tz::TimeZone::UTC);
        let style = style(robot.service);
        let phrases = |language| {
            let words = |style| Words::new(language, style, zone(), vocabulary.clone());
            let own = robot.template.as_deref().and_then(|source| {
                // It was tried when the configuration was read.
                words(style).with_template(source).ok()
            });
            Phrases {
                words: own.unwrap_or_else(|| words(style)),
                plain: words(Style::Plain),
            }
        };
        Ok(Robot {
            client,
            url,
            secret: settings.secret.clone(),
            deadline: deadline(settings),
            fall_over: Millis(u64::try_from(settings.fall_over.as_millis()).unwrap_or(u64::MAX)),
            service: robot.service,
            mention_all: robot.mention_all,
            language: robot.language,
            zh: phrases(Language::Zh),
            en: phrases(Language::En),
            links: links.cloned(),
        })
    }

    const fn phrases(&self, language: Language) -> &Phrases {
        match language {
            Language::Zh => &self.zh,
            Language::En => &self.en,
        }
    }

    fn post(&self, parcel: &Parcel, at: Timestamp) -> Post {
        let bodies: Vec<&str> = parcel.notices().map(|notice| notice.body.as_str()).collect();
        let letter = Letter {
            at,
            language: call::language(parcel).unwrap_or(self.language),
            everybody: self.mention_all && parcel.notices().any(|notice| notice.critical && notice.urgent),
            people: call::people(parcel, &calls(&bodies)),
            link: self.links.as_ref().and_then(|links| address(links, parcel)),
            bodies,
        };
        match self.service {
            Service::Wecom => wecom::post(self, &letter),
            Service::Dingtalk => dingtalk::post(self, &letter),
            Service::Feishu => feishu::post(self, &letter),
        }
    }
}

impl Target for Robot {
    fn manners(&self) -> Manners {
        let limit = |messages, window| Limit { messages, window };
        let limits = match self.service {
            // Both allow 20; DingTalk is silent for ten minutes after the 21st.
            Service::Wecom | Service::Dingtalk => vec![limit(18, MINUTE)],
            Service::Feishu => vec![limit(90, MINUTE), limit(4, Millis(1_000))],
        };
        Manners {
            at_once: 1,
            for_urgent: 0,
            limits,
            reserve: 4,
            gather: Some(GATHER),
            fall_over: self.fall_over,
        }
    }

    async fn send(&self, parcel: &Parcel, at: Timestamp) -> Result<Taken, SendError> {
        let Post { url, body } = self.post(parcel, at);
        let request = self
            .client
            .post(url)
            .header(CONTENT_TYPE, "application/json; charset=utf-8")
            .body(body.to_string());
        let answer = request
            .send()
            .await
            .map_err(|error| failure(&error, self.deadline))?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let text = read(answer)
            .await
            .map_err(|error| failure(&error, self.deadline))?;
        let header = |name: &str| text_of(&headers, name);
        verdict(
            self.service,
            &Answer {
                status,
                body: &text,
                date: header("date"),
                retry_after: header("retry-after"),
            },
            at,
        )
    }
}

/// The text of `letter`, in at most `limit` bytes with its link and those who are called.
fn write(words: &Words, letter: &Letter<'_>, mention: &str, limit: usize) -> Written {
    let written = words.write(&Story {
        bodies: &letter.bodies,
        now: letter.at,
        link: letter.link.as_deref(),
        mention,
        limit,
    });
    if let Some(why) = &written.plain_because {
        tracing::error!(%why, "a template failed; the plain form is sent");
    }
    written
}

/// An object of these members without the empty lists.
fn members<const N: usize>(members: [(&str, Value); N]) -> Value {
    let filled = members
        .into_iter()
        .filter(|(_, value)| value.as_array().is_none_or(|list| !list.is_empty()));
    filled.map(|(member, value)| (member.to_owned(), value)).collect()
}

/// What a service's readers understand.
const fn style(service: Service) -> Style {
    match service {
        Service::Wecom => Style::Wecom,
        Service::Dingtalk => Style::Dingtalk,
        Service::Feishu => Style::Feishu,
    }
}

fn text_of<'h>(headers: &'h HeaderMap, name: &str) -> &'h str {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default()
}

async fn read(mut answer: Response) -> Result<Vec<u8>, reqwest::Error> {
    let mut text = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        text.extend_from_slice(&chunk);
        if text.len() > ANSWER_LIMIT {
            break;
        }
    }
    Ok(text)
}

/// HMAC-SHA256.
#[expect(clippy::expect_used, reason = "HMAC takes a key of any length (RFC 2104 §2)")]
fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}
