//! E-mail: each person gets a letter of their own, the others of a notice do not see to whom else it went. One attempt at a
//! time, and one beside it for what is urgent; whoever has got a letter does not get it again because somebody else has not.

mod fault;
mod letter;
mod memory;
mod outcome;
mod server;
mod wire;

use std::sync::Arc;

use futures_util::FutureExt as _;
use lettre::message::Mailbox;
use tokio::sync::Mutex;

pub(super) use self::fault::MailError;
use self::letter::{Letters, letters};
use self::memory::{Memory, Turn};
use self::outcome::{Outcome, goes_on};
use self::server::Server;
use super::NotifyError;
use super::address::SystemLookUp;
use super::parcel::{Limit, Manners, Parcel};
use super::target::{SendError, Taken, Target};
use crate::config::{MailSettings, TargetSettings};
use crate::domain::officer::Language;
use crate::domain::schedule::{DEFAULT_TIME_ZONE, time_zone};
use crate::domain::time::{Millis, Timestamp};
use crate::link::Links;
use crate::words::{InForce, Style, Words};

/// How long an ordinary notice waits for company.
const GATHER: Millis = Millis(5_000);

/// A mail server, the words, and who gets what is for nobody in particular.
#[derive(Debug)]
pub(super) struct Mail {
    server: Server,
    per_minute: u32,
    fall_over: Millis,
    desk: Arc<Desk>,
    memory: Mutex<Memory>,
}

/// Where letters are written.
#[derive(Debug)]
struct Desk {
    from: Mailbox,
    to: Vec<Mailbox>,
    language: Language,
    zh: Phrases,
    en: Phrases,
    links: Option<Links>,
}

/// The words of one language.
#[derive(Debug)]
struct Phrases {
    plain: Words,
    html: Words,
}

impl Mail {
    /// The mail target of these settings; without `links` its letters have no address to acknowledge by.
    pub(super) fn new(
        settings: &TargetSettings,
        mail: &MailSettings,
        (vocabulary, links): (&InForce, Option<&Links>),
    ) -> Result<Mail, NotifyError> {
        let mailbox = |text: &String| {
            text.parse::<Mailbox>().map_err(|_| NotifyError::Mail {
                target: settings.name.clone(),
                problem: "an address in `from` or `to` is none",
            })
        };
        let from = mailbox(&mail.from)?;
        let zone = || time_zone(DEFAULT_TIME_ZONE).unwrap_or(jiff::tz::TimeZone::UTC);
        let phrases = |language| {
            let words = |style| Words::new(language, style, zone(), vocabulary.clone());
            let own = mail.template.as_deref().and_then(|source| {
                // It was tried when the configuration was read.
                words(Style::Html).with_template(source).ok()
            });
            Phrases {
                plain: words(Style::Plain),
                html: own.unwrap_or_else(|| words(Style::Html)),
            }
        };
        let hello = (from.email.domain(), SystemLookUp);
        Ok(Mail {
            server: Server::new(settings, mail, hello)?,
            per_minute: mail.per_minute,
            fall_over: Millis(u64::try_from(settings.fall_over.as_millis()).unwrap_or(u64::MAX)),
            desk: Arc::new(Desk {
                to: mail.to.iter().map(mailbox).collect::<Result<_, _>>()?,
                from,
                language: mail.language,
                zh: phrases(Language::Zh),
                en: phrases(Language::En),
                links: links.cloned(),
            }),
            memory: Mutex::default(),
        })
    }

    /// Posts those letters that have not been taken before. The first of them is always tried; none is begun once `timeout`
    /// is over since the attempt began.
    async fn post(&self, letters: &Letters) -> Outcome {
        let mut outcome = Outcome::of(letters);
        let mut owed = Vec::new();
        for letter in self.memory.lock().await.in_turn(&letters.ready) {
            match letter {
                Turn::Taken(letter) => outcome.note(&letter.reader, Ok(())),
                Turn::Owed(letter) => owed.push(letter),
            }
        }
        let mut over = std::pin::pin!(tokio::time::sleep(self.server.timeout()));
        let Some((first, others)) = owed.split_first() else {
            return outcome;
        };
        let mut conversation = match self.server.open().await {
            Ok(conversation) => conversation,
            Err(error) => {
                outcome.keep(error);
                return outcome;
            }
        };
        for letter in std::iter::once(first).chain(others) {
            if letter.id != first.id && over.as_mut().now_or_never().is_some() {
                outcome.keep(MailError::Slow(self.server.timeout()).into());
                break;
            }
            let posted = conversation
                .post(&self.desk.from.email, &letter.to, &letter.bytes)
                .await;
            self.memory.lock().await.note(letter, posted.is_ok());
            let goes_on = posted.as_ref().err().is_none_or(goes_on);
            outcome.note(&letter.reader, posted);
            if !goes_on {
                return outcome;
            }
        }
        conversation.close().await;
        outcome
    }
}

impl Desk {
    const fn phrases(&self, language: Language) -> &Phrases {
        match language {
            Language::Zh => &self.zh,
            Language::En => &self.en,
        }
    }
}

impl Target for Mail {
    fn manners(&self) -> Manners {
        Manners {
            // A long ordinary parcel keeps nothing urgent waiting.
            at_once: 2,
            for_urgent: 1,
            limits: vec![Limit {
                messages: self.per_minute,
                window: Millis(60_000),
            }],
            reserve: 4.min(self.per_minute / 4),
            gather: Some(GATHER),
            fall_over: self.fall_over,
        }
    }

    async fn send(&self, parcel: &Parcel, at: Timestamp) -> Result<Taken, SendError> {
        let (desk, whole) = (Arc::clone(&self.desk), parcel.clone());
        // A digest for many takes long enough to keep others of this thread waiting.
        let written = tokio::task::spawn_blocking(move || letters(&desk, &whole, at)).await;
        let letters = written.map_err(|_| MailError::Letter)?;
        if letters.ready.is_empty() && letters.failed.is_empty() {
            return Err(MailError::Address.into());
        }
        let outcome = self.post(&letters).await;
        if outcome.settles(&letters) {
            self.memory.lock().await.forget(&letters.ready);
        }
        outcome.said(&letters)
    }
}
