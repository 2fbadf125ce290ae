//! What is written to whom: one letter a person, in their language, about what is for them alone. Headers are made of cleaned
//! text, so that no name of a device begins another header.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};
use lettre::{Address, Message};
use sha2::{Digest, Sha256};

use super::Desk;
use crate::domain::directions::Recipient;
use crate::domain::officer::Language;
use crate::domain::time::Timestamp;
use crate::notify::asked::address;
use crate::notify::parcel::Parcel;
use crate::store::PendingNotice;
use crate::words::{Story, Style, Words, Written, name};

/// The most bytes of each part.
const TEXT: usize = 64 * 1024;

/// The most people named in a letter that stands in for letters of their own.
const NAMED: usize = 20;

/// A letter, ready to be sent.
#[derive(Debug)]
pub(super) struct Letter {
    /// Its Message-ID: of the same notices to the same person always the same.
    pub(super) id: String,
    /// Whose it is.
    pub(super) reader: Reader,
    /// Whether something in it must not wait.
    pub(super) urgent: bool,
    pub(super) to: Address,
    pub(super) bytes: Vec<u8>,
}

/// The letters of one parcel.
#[derive(Debug, Default)]
pub(super) struct Letters {
    /// Those to send, the officers' first.
    pub(super) ready: Vec<Letter>,
    /// Whose could not be put together.
    pub(super) failed: Vec<Reader>,
    /// The officers, by id, who are told through those who get what is for nobody in particular.
    pub(super) through_others: Vec<String>,
}

impl Letters {
    /// How many go, or should, to those who get what is for nobody in particular.
    pub(super) fn defaults(&self) -> usize {
        let readers = self.ready.iter().map(|letter| &letter.reader);
        readers
            .chain(&self.failed)
            .filter(|reader| reader.is_default())
            .count()
    }

    fn add(&mut self, mail: &Desk, draft: &Draft<'_>, (texts, at): (&(Written, Written), Timestamp)) {
        match written(mail, draft, (texts, at)) {
            Ok(letter) => self.ready.push(letter),
            Err(error) => {
                tracing::error!(%error, "an e-mail cannot be put together");
                self.failed.push(draft.reader.clone());
            }
        }
    }
}

/// Whose a letter is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reader {
    /// An officer's, by id.
    Officer(String),
    /// Of those who get what is for nobody in particular: which of them.
    Default(usize),
}

impl Reader {
    /// Whether it gets what is for nobody in particular.
    pub(super) const fn is_default(&self) -> bool {
        matches!(self, Reader::Default(_))
    }
}

/// What goes to one reader.
struct Draft<'a> {
    parcel: Parcel,
    to: Mailbox,
    reader: Reader,
    language: Language,
    /// Whom it is for beside its reader.
    others: &'a [&'a Recipient],
}

/// The letters of `parcel`.
pub(super) fn letters(mail: &Desk, parcel: &Parcel, at: Timestamp) -> Letters {
    let mut letters = Letters::default();
    let mut unreachable: Vec<&Recipient> = Vec::new();
    for person in people(parcel) {
        let Some(to) = mailbox(person) else {
            unreachable.push(person);
            continue;
        };
        let own = part(parcel, |notice| {
            let whole = notice.people.iter().any(|other| other.officer == person.officer);
            whole.then(|| PendingNotice {
                people: vec![person.clone()],
                ..notice.clone()
            })
        });
        if let Some(parcel) = own {
            let draft = Draft {
                parcel,
                to,
                reader: Reader::Officer(person.officer.clone()),
                language: person.language,
                others: &[],
            };
            letters.add(mail, &draft, (&texts(mail, &draft, at), at));
        }
    }
    let is_for_others = |notice: &PendingNotice| {
        let mut people = notice.people.iter();
        notice.people.is_empty()
            || people.any(|person| unreachable.iter().any(|other| other.officer == person.officer))
    };
    let rest = part(parcel, |notice| {
        is_for_others(notice).then(|| PendingNotice {
            people: Vec::new(),
            ..notice.clone()
        })
    });
    if let Some(parcel) = rest {
        // They all read the same: it is written once.
        let mut same = None;
        for (number, to) in mail.to.iter().enumerate() {
            let draft = Draft {
                parcel: parcel.clone(),
                to: to.clone(),
                reader: Reader::Default(number),
                language: mail.language,
                others: &unreachable,
            };
            let texts = same.get_or_insert_with(|| texts(mail, &draft, at));
            letters.add(mail, &draft, (texts, at));
        }
    }
    letters.through_others = unreachable.iter().map(|person| person.officer.clone()).collect();
    letters
}

/// Everybody a notice of `parcel` is for, each once.
pub(super) fn people(parcel: &Parcel) -> Vec<&Recipient> {
    let mut people: Vec<&Recipient> = Vec::new();
    for person in parcel.notices().flat_map(|notice| &notice.people) {
        if !people.iter().any(|known| known.officer == person.officer) {
            people.push(person);
        }
    }
    people
}

fn part(parcel: &Parcel, chosen: impl Fn(&PendingNotice) -> Option<PendingNotice>) -> Option<Parcel> {
    Parcel::of(parcel.notices().filter_map(chosen).collect())
}

/// Where an officer reads e-mail, if that is an address that every server takes.
fn mailbox(person: &Recipient) -> Option<Mailbox> {
    let email = person.contact.email.as_deref().filter(|email| email.is_ascii())?;
    let name = name(&person.name, Style::Plain);
    Some(Mailbox::new(Some(name), email.parse().ok()?))
}

/// The letter of `draft`.
fn written(
    mail: &Desk,
    draft: &Draft<'_>,
    ((plain, html), at): (&(Written, Written), Timestamp),
) -> Result<Letter, lettre::error::Error> {
    let id = id(mail, draft);
    let message = put_together(mail, draft, (&id, at), (plain, html))?;
    Ok(Letter {
        id,
        reader: draft.reader.clone(),
        urgent: draft.parcel.is_urgent(),
        to: draft.to.email.clone(),
        bytes: message.formatted(),
    })
}

fn texts(mail: &Desk, draft: &Draft<'_>, at: Timestamp) -> (Written, Written) {
    let phrases = mail.phrases(draft.language);
    let link = mail
        .links
        .as_ref()
        .and_then(|links| address(links, &draft.parcel));
    let bodies: Vec<&str> = draft
        .parcel
        .notices()
        .map(|notice| notice.body.as_str())
        .collect();
    let write = |words: &Words, style| {
        let written = words.write(&Story {
            bodies: &bodies,
            now: at,
            link: link.as_deref(),
            mention: &named(draft, style),
            limit: TEXT,
        });
        if let Some(why) = &written.plain_because {
            tracing::error!(%why, "a template failed; the plain form is sent");
        }
        written
    };
    (
        write(&phrases.plain, Style::Plain),
        write(&phrases.html, Style::Html),
    )
}

/// Those who have no address of their own, in one line; empty: everybody has.
fn named(draft: &Draft<'_>, style: Style) -> String {
    if draft.others.is_empty() {
        return String::new();
    }
    let names = draft.others.iter().take(NAMED);
    // HTML is escaped where it is printed.
    let style = if style == Style::Html { Style::Plain } else { style };
    let names: Vec<String> = names.map(|person| name(&person.name, style)).collect();
    let more = draft.others.len().saturating_sub(NAMED);
    let rest = if more > 0 {
        format!(" +{more}")
    } else {
        String::new()
    };
    format!(
        "{}{}{rest}",
        draft.language.of("通知：", "For: "),
        names.join(" ")
    )
}

/// The same for the same notices to the same reader, through all attempts and restarts.
fn id(mail: &Desk, draft: &Draft<'_>) -> String {
    let mut hash = Sha256::new();
    hash.update(draft.to.email.to_string().as_bytes());
    if let Reader::Officer(officer) = &draft.reader {
        hash.update([0]);
        hash.update(officer.as_bytes());
    }
    let mut id = format!("<{}.", draft.parcel.id());
    for byte in hash.finalize().iter().take(4) {
        let _infallible = write!(id, "{byte:02x}");
    }
    let _infallible = write!(id, "@{}>", mail.from.email.domain());
    id
}

fn put_together(
    mail: &Desk,
    draft: &Draft<'_>,
    (id, at): (&str, Timestamp),
    (plain, html): (&Written, &Written),
) -> Result<Message, lettre::error::Error> {
    let date = SystemTime::UNIX_EPOCH + Duration::from_millis(at.0.max(0).unsigned_abs());
    let mut message = Message::builder()
        .from(mail.from.clone())
        .to(draft.to.clone())
        .date(date)
        .message_id(Some(id.to_owned()))
        .subject(format!("{} {}", plain.sign, plain.title))
        // RFC 3834: no machine answers it.
        .raw_header(header("Auto-Submitted", "auto-generated"));
    let alarm = draft.parcel.first().alarm;
    if draft.parcel.notices().all(|notice| notice.alarm == alarm) {
        // Readers' programs show what is of one alarm as one conversation.
        message = message.references(format!("<{alarm}@{}>", mail.from.email.domain()));
    }
    if draft
        .parcel
        .notices()
        .any(|notice| notice.critical && notice.urgent)
    {
        message = message
            .raw_header(header("X-Priority", "1 (Highest)"))
            .raw_header(header("Importance", "high"));
    }
    let part = |kind, text: &str| SinglePart::builder().header(kind).body(text.to_owned());
    let parts = MultiPart::alternative()
        .boundary(format!("ninewatch-{}", draft.parcel.id()))
        .singlepart(part(ContentType::TEXT_PLAIN, &plain.text))
        .singlepart(part(ContentType::TEXT_HTML, &html.text));
    message.multipart(parts)
}

fn header(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}
