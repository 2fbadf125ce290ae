//! Whom a message calls, by what each service knows them as, and in whose language it is written. What is no id or number by
//! its form is taken for none: whoever has none that a service knows is named in plain text, and calls nobody else.

use std::collections::HashSet;

use crate::config::Service;
use crate::domain::directions::Recipient;
use crate::domain::officer::Language;
use crate::notify::parcel::Parcel;
use crate::words::{Style, name};

/// The most people called in one message.
const MOST: usize = 100;

/// How those who are called stand in a message.
pub(super) struct Notation {
    pub(super) service: Service,
    pub(super) style: Style,
    /// How many bytes they may take together; those who find no room are counted.
    pub(super) room: usize,
    /// How many bytes each takes beside the id, number or name.
    pub(super) each: usize,
}

/// Whom a message calls, each once.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Call<'p> {
    /// By their ids with the service.
    pub(super) ids: Vec<&'p str>,
    /// By their numbers.
    pub(super) mobiles: Vec<&'p str>,
    /// Whom the service cannot call, by their names, harmless in the style.
    names: Vec<String>,
    /// How many found no room.
    more: usize,
}

/// The people of those notices in `parcel` that are a reason to `call` somebody, each once.
pub(super) fn people<'p>(parcel: &'p Parcel, calls: &[bool]) -> Vec<&'p Recipient> {
    let mut known = HashSet::new();
    let calling = parcel
        .notices()
        .zip(calls)
        .filter(|(_, calls)| **calls)
        .flat_map(|(notice, _)| &notice.people);
    calling
        .filter(|person| known.insert(person.officer.as_str()))
        .collect()
}

/// The language of all for whom `parcel` is; `None`: they have none in common, or a notice is for whoever reads it.
pub(super) fn language(parcel: &Parcel) -> Option<Language> {
    let first = parcel.first().people.first()?.language;
    let shared = parcel.notices().all(|notice| {
        let mut languages = notice.people.iter().map(|person| person.language);
        !notice.people.is_empty() && languages.all(|language| language == first)
    });
    shared.then_some(first)
}

impl<'p> Call<'p> {
    /// How `people` are called.
    pub(super) fn of(people: &[&'p Recipient], notation: &Notation) -> Call<'p> {
        let mut call = Call::default();
        let mut room = notation.room;
        for (count, person) in people.iter().enumerate() {
            let contact = &person.contact;
            let (own, mobile) = match notation.service {
                Service::Wecom => (&contact.wecom, contact.mobile.as_deref()),
                Service::Dingtalk => (&contact.dingtalk, contact.mobile.as_deref()),
                Service::Feishu => (&contact.feishu, None),
            };
            let id = own.as_deref().filter(|id| is_id(id));
            let mobile = mobile.map(domestic).filter(|mobile| is_number(mobile));
            let named = || name(&person.name, notation.style);
            let handle = id.or(mobile).map_or_else(named, str::to_owned);
            let Some(left) = room
                .checked_sub(handle.len() + notation.each)
                .filter(|_| count < MOST)
            else {
                call.more += 1;
                continue;
            };
            room = left;
            match (id, mobile) {
                // Two officers may share a telephone.
                (Some(id), _) if call.ids.contains(&id) => {}
                (Some(id), _) => call.ids.push(id),
                (None, Some(mobile)) if call.mobiles.contains(&mobile) => {}
                (None, Some(mobile)) => call.mobiles.push(mobile),
                (None, None) => call.names.push(handle),
            }
        }
        call
    }

    /// All of them in one line, those whom the service calls as `mark` writes them; empty: nobody is called.
    pub(super) fn text(&self, language: Language, mark: impl Fn(&str) -> String) -> String {
        let handles = self.ids.iter().chain(&self.mobiles);
        self.line(language, handles.map(|handle| mark(handle)))
    }

    /// Those whom the service does not call, in one line; empty: it calls all of them.
    pub(super) fn unreached(&self, language: Language) -> String {
        self.line(language, std::iter::empty())
    }

    fn line(&self, language: Language, marked: impl Iterator<Item = String>) -> String {
        let (more, others) = (self.more, language.of("另", "and"));
        let rest = (more > 0).then(|| format!("{others} {more} {}", language.of("人", "more")));
        let all: Vec<String> = marked.chain(self.names.iter().cloned()).chain(rest).collect();
        if all.is_empty() {
            return String::new();
        }
        format!("{}{}", language.of("通知：", "For: "), all.join(" "))
    }
}

/// Whether `text` has the form of an id of these services, and is not the word that calls everybody.
fn is_id(text: &str) -> bool {
    let (text, everybody) = (text.as_bytes(), b"all");
    (1..=64).contains(&text.len())
        && text.first().is_some_and(u8::is_ascii_alphanumeric)
        && text
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-.@".contains(byte))
        && !text.eq_ignore_ascii_case(everybody)
}

/// A number as it is dialled in China, where these services know it without the country's code.
fn domestic(mobile: &str) -> &str {
    mobile.strip_prefix("+86").unwrap_or(mobile)
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or(text);
    (5..=20).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
}
