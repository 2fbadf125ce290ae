//! `[[officer]]`: the people who are told, and how each is reached.

use super::directions::Wanted;
use super::document::Table;
use super::names::{Names, own_name};
use super::source::Place;
use super::targets::Targets;
use super::value::Value;
use crate::domain::officer::{Contact, Language, Officer};

/// An officer and where its table stands.
#[derive(Debug)]
pub(super) struct OfficerDraft {
    pub(super) officer: Officer,
    pub(super) place: Place,
}

/// Reads every `[[officer]]`; their ids go to `names`, the schedules that they need to `wanted`.
pub(super) fn read(
    tables: Vec<Table<'_>>,
    names: &mut Names,
    targets: &Targets,
    wanted: &mut Wanted,
) -> Vec<OfficerDraft> {
    tables
        .into_iter()
        .map(|table| read_officer(table, names, targets, wanted))
        .collect()
}

fn read_officer(
    mut table: Table<'_>,
    names: &mut Names,
    targets: &Targets,
    wanted: &mut Wanted,
) -> OfficerDraft {
    let place = table.place().clone();
    let id = own_name(&mut table, "id", names);
    let name = table.required("name").and_then(|name| name.filled_text());
    let languages = Language::ALL.map(|language| (language.as_str(), language));
    let language = table.optional("language");
    let language = language.and_then(|language| language.word("language", &languages));
    let contact = read_contact(&mut table);
    let channels = read_channels(&mut table, contact.email.is_some(), targets);
    let quiet_hours = wanted.schedule(&mut table, "quiet_hours");
    OfficerDraft {
        officer: Officer {
            name: name.map_or_else(|| id.clone(), String::from),
            id,
            language: language.unwrap_or_default(),
            channels,
            contact,
            quiet_hours,
        },
        place,
    }
}

fn read_contact(table: &mut Table<'_>) -> Contact {
    let mut text = |key| {
        let value: Option<Value<'_>> = table.optional(key);
        value.and_then(|value| Some((value.filled_text()?.trim().to_owned(), value)))
    };
    let mobile = text("mobile");
    if let Some((mobile, value)) = &mobile
        && !is_number(mobile)
    {
        let form = "write digits only, with + and the country's code in front where it is another".to_owned();
        value.wrong_with(format!("{mobile:?} is not the number of a telephone"), form);
    }
    let email = text("email");
    if let Some((email, value)) = &email
        && !is_address(email)
    {
        value.wrong_with(
            format!("{email:?} is not an e-mail address"),
            "write name@example.org".to_owned(),
        );
    }
    let mut id = |key| text(key).map(|(id, _)| id);
    Contact {
        wecom: id("wecom"),
        dingtalk: id("dingtalk"),
        feishu: id("feishu"),
        mobile: mobile.map(|(mobile, _)| mobile),
        email: email.map(|(email, _)| email),
    }
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or(text);
    (5..=20).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_address(text: &str) -> bool {
    let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '<' | '>' | ',' | ';');
    let parts = text.split_once('@');
    parts.is_some_and(|(name, host)| !name.is_empty() && !host.is_empty() && !host.contains('@'))
        && !text.contains(odd)
}

fn read_channels(table: &mut Table<'_>, has_email: bool, targets: &Targets) -> Vec<String> {
    let report = table.report();
    let Some(list) = table.required("channels") else {
        return Vec::new();
    };
    let items = list.list();
    if items.as_ref().is_some_and(Vec::is_empty) {
        list.wrong("`channels` is empty: nothing would reach this officer");
    }
    let mut channels: Vec<String> = Vec::new();
    for value in items.unwrap_or_default() {
        let Some(name) = value.filled_text().map(String::from) else {
            continue;
        };
        targets.names.check(&name, &value.place(), report);
        if channels.contains(&name) {
            value.wrong(format!("channel `{name}` is listed twice"));
        }
        if targets.mail.contains(&name) && !has_email {
            let message = format!("`{name}` sends e-mail, and this officer has no `email`");
            value.wrong(message);
        }
        channels.push(name);
    }
    channels
}
