//! E-mail: each person gets a letter of their own, the others of a notice do not see to whom else it went. One attempt at a
//! time; whoever has got a letter does not get it again because somebody else has not.

mod fault;
mod letter;
mod server;

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use lettre::message::Mailbox;
use tokio::sync::Mutex;

pub(super) use self::fault::MailError;
use self::letter::{Letter, Letters, Reader, letters};
use self::server::Server;
use super::NotifyError;
use super::address::SystemLookUp;
use super::parcel::{Fault, Limit, Manners, Parcel, Told};
use super::target::{SendError, Taken, Target};
use crate::config::{MailSettings, TargetSettings};
use crate::domain::officer::Language;
use crate::domain::schedule::{DEFAULT_TIME_ZONE, time_zone};
use crate::domain::time::{Millis, Timestamp};
use crate::link::Links;
use crate::words::{Style, Vocabulary, Words};

/// How long an ordinary notice waits for company.
const GATHER: Millis = Millis(5_000);

/// Of so many letters it is remembered that they were taken, for when others of the same message were not.
const REMEMBERED: usize = 4_096;

/// A mail server, the words, and who gets what is for nobody in particular.
#[derive(Debug)]
pub(super) struct Mail {
    server: Server,
    per_minute: u32,
    fall_over: Millis,
    desk: Arc<Desk>,
    taken: Mutex<Memory>,
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

/// The ids of letters to those who get what is for nobody in particular: taken while others of their message were owed still.
#[derive(Debug, Default)]
struct Memory {
    known: HashSet<String>,
    order: VecDeque<String>,
}

/// What came of the letters of one parcel.
#[derive(Debug, Default)]
struct Outcome {
    /// The officers who have theirs.
    told: Vec<String>,
    /// Of those who get what is for nobody in particular: how many have theirs.
    defaults: usize,
    /// Which of those cannot be written to.
    unknown: Vec<(usize, SendError)>,
    /// The gravest of what went wrong for others.
    error: Option<SendError>,
}

impl Mail {
    /// The mail target of these settings; without `links` its letters have no address to acknowledge by.
    pub(super) fn new(
        settings: &TargetSettings,
        mail: &MailSettings,
        (vocabulary, links): (&Arc<Vocabulary>, Option<&Links>),
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
            let words = |style| Words::new(language, style, zone(), Arc::clone(vocabulary));
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
            taken: Mutex::default(),
        })
    }

    /// Posts those letters that have not been taken before.
    async fn post(&self, letters: &Letters, taken: &mut Memory) -> Outcome {
        let mut outcome = Outcome::of(letters);
        let (known, new): (Vec<&Letter>, Vec<&Letter>) = letters
            .ready
            .iter()
            .partition(|letter| taken.known.contains(&letter.id));
        for letter in known {
            outcome.note(&letter.reader, Ok(()));
        }
        if new.is_empty() {
            return outcome;
        }
        let mut conversation = match self.server.open().await {
            Ok(conversation) => conversation,
            Err(error) => {
                outcome.keep(error);
                return outcome;
            }
        };
        for letter in new {
            let posted = conversation
                .post(&self.desk.from.email, &letter.to, &letter.bytes)
                .await;
            let goes_on = match &posted {
                // Officers who have theirs are told of: their notices are for the others from then on.
                Ok(()) if letter.reader.is_default() => {
                    taken.remember(&letter.id);
                    true
                }
                Ok(()) => true,
                Err(error) => goes_on(error),
            };
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

/// Whether the server takes further letters after this.
const fn goes_on(error: &SendError) -> bool {
    // 421: it closes the connection.
    let busy = matches!(error, SendError::Mail(MailError::Busy(code)) if *code != 421);
    busy || matches!(
        error,
        SendError::Mail(MailError::Recipient(_)) | SendError::Refused(_)
    )
}

impl Outcome {
    /// Before the first letter is posted.
    fn of(letters: &Letters) -> Outcome {
        let mut outcome = Outcome::default();
        for reader in &letters.failed {
            outcome.note(reader, Err(MailError::Letter.into()));
        }
        outcome
    }

    fn note(&mut self, reader: &Reader, posted: Result<(), SendError>) {
        match (reader, posted) {
            (Reader::Officer(officer), Ok(())) => self.told.push(officer.clone()),
            (Reader::Default(_), Ok(())) => self.defaults += 1,
            (
                Reader::Default(number),
                Err(error @ SendError::Mail(MailError::Recipient(_) | MailError::Letter)),
            ) => self.unknown.push((*number, error)),
            (Reader::Officer(_) | Reader::Default(_), Err(error)) => self.keep(error),
        }
    }

    fn keep(&mut self, error: SendError) {
        // What concerns one alone goes before what will pass: they are told through another channel sooner.
        let of_one = |error: &SendError| matches!(error.fault(), Fault::Notice | Fault::Reader);
        if self
            .error
            .as_ref()
            .is_none_or(|known| of_one(&error) && !of_one(known))
        {
            self.error = Some(error);
        }
    }

    /// Whether everybody who gets what is for nobody in particular has theirs: all of `letters` that can be written to.
    fn rest(&self, letters: &Letters) -> bool {
        self.defaults > 0 && self.defaults + self.unknown.len() == letters.defaults()
    }

    /// What is said of it all.
    fn said(mut self, letters: &Letters) -> Result<Taken, SendError> {
        let rest = self.rest(letters);
        if rest {
            self.told.extend_from_slice(&letters.through_others);
        }
        for (number, error) in &self.unknown {
            let place = number + 1;
            tracing::error!(%error, place, "one of `to` is not written to");
        }
        if self.defaults == 0
            && let Some((_, error)) = self.unknown.pop()
        {
            self.error.get_or_insert(error);
        }
        match self.error {
            None => Ok(Taken),
            Some(cause) if self.told.is_empty() && !rest => Err(cause),
            Some(cause) => Err(SendError::Partly {
                told: Told {
                    officers: self.told,
                    rest,
                },
                cause: Box::new(cause),
            }),
        }
    }
}

impl Memory {
    fn remember(&mut self, id: &str) {
        if self.known.insert(id.to_owned()) {
            self.order.push_back(id.to_owned());
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    /// All of these are settled: a resend goes out again.
    fn forget(&mut self, letters: &[Letter]) {
        for letter in letters {
            if self.known.remove(&letter.id) {
                self.order.retain(|id| *id != letter.id);
            }
        }
    }
}

impl Target for Mail {
    fn manners(&self) -> Manners {
        Manners {
            at_once: 1,
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
        let mut taken = self.taken.lock().await;
        let outcome = self.post(&letters, &mut taken).await;
        if outcome.error.is_none() || outcome.rest(&letters) {
            taken.forget(&letters.ready);
        }
        outcome.said(&letters)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wang() -> Reader {
        Reader::Officer("wang".to_owned())
    }

    fn letter(reader: Reader) -> Letter {
        Letter {
            id: format!("<{reader:?}>"),
            reader,
            to: "wang@fire.example".parse().unwrap(),
            bytes: Vec::new(),
        }
    }

    /// What is said when `ready` are taken and those of `failed` could not be put together.
    fn said(ready: Vec<Reader>, failed: Vec<Reader>) -> Result<Taken, SendError> {
        let letters = Letters {
            ready: ready.into_iter().map(letter).collect(),
            failed,
            through_others: vec!["li".to_owned()],
        };
        let mut outcome = Outcome::of(&letters);
        for letter in &letters.ready {
            outcome.note(&letter.reader, Ok(()));
        }
        outcome.said(&letters)
    }

    fn partly(officers: &[&str], rest: bool) -> Result<Taken, SendError> {
        Err(SendError::Partly {
            told: Told {
                officers: officers.iter().map(|officer| (*officer).to_owned()).collect(),
                rest,
            },
            cause: Box::new(MailError::Letter.into()),
        })
    }

    #[test]
    fn a_letter_that_cannot_be_put_together_is_not_taken() {
        let alone = said(vec![], vec![wang()]);
        assert_eq!(alone, Err(MailError::Letter.into()));
        assert_eq!(MailError::Letter.fault(), Fault::Reader);
        let others = said(vec![Reader::Officer("ann".to_owned())], vec![wang()]);
        assert_eq!(others, partly(&["ann"], false));
        let one_of_to = said(vec![Reader::Default(1)], vec![Reader::Default(0)]);
        assert_eq!(one_of_to, Ok(Taken));
        assert_eq!(
            said(vec![], vec![Reader::Default(0)]),
            Err(MailError::Letter.into())
        );
        let rest = said(vec![Reader::Default(0)], vec![wang()]);
        assert_eq!(
            rest,
            partly(&["li"], true),
            "li is told through those who read for all"
        );
    }
}
