//! `[[target]]` of kind `email`: the mail server, how it is spoken to, and who writes to whom. What would go over the wire in
//! the clear is refused here.

use std::time::Duration;

use lettre::message::Mailbox;
use url::{Host, Url};

use super::document::Table;
use super::settings::{
    MailLogin, MailSettings, MailTls, NetworkSettings, Secret, TargetKind, TargetSettings,
};
use super::targets::{DEFAULT_FALL_OVER, FALL_OVER, TIMEOUT, is_of_this_machine};
use super::value::Value;
use super::{network, robots};
use crate::words::Style;

/// A mail server looks into a message before it takes it.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// The most messages in a minute, if nothing else is said: what submission servers take from one account.
const PER_MINUTE: u32 = 30;

/// The most who get what is for nobody in particular.
const MOST: usize = 100;

#[derive(Clone, Copy, PartialEq, Eq)]
enum TlsWord {
    Required,
    None,
}

const TLS: [(&str, TlsWord); 2] = [("required", TlsWord::Required), ("none", TlsWord::None)];

/// Where the server is.
struct Place {
    host: String,
    port: u16,
    from_the_start: bool,
    /// It is this machine, or an address written as such: no name service can send the letters elsewhere.
    literal: bool,
    local: bool,
}

/// Reads the rest of the target `name`.
pub(super) fn read(mut table: Table<'_>, name: String) -> TargetSettings {
    let url = table.either("url", "url_file");
    if url.is_none() {
        table.missing("`url` or `url_file`");
    }
    let secret = url.as_ref().and_then(Value::secret);
    let place = url
        .zip(secret.as_ref())
        .and_then(|(value, url)| place(url.expose(), &value));
    let tls = tls(&mut table, place.as_ref());
    let login = login(&mut table, (tls, place.as_ref()));
    let from = table.required("from").and_then(|value| mailbox(&value));
    let to = table.required("to").map(|value| mailboxes(&value));
    let per_minute = table
        .optional("per_minute")
        .and_then(|value| value.integer(1..=600))
        .and_then(|number| u32::try_from(number).ok());
    let network = network(&mut table, tls);
    let timeout = table.optional("timeout").and_then(|time| time.duration(TIMEOUT));
    let fall_over = table
        .optional("fall_over")
        .and_then(|time| time.duration(FALL_OVER));
    let language = robots::language(&mut table);
    let template = table
        .optional("template")
        .and_then(|value| robots::tried(&value, Style::Html));
    let mail = MailSettings {
        host: place.as_ref().map(|place| place.host.clone()).unwrap_or_default(),
        port: place.as_ref().map_or(0, |place| place.port),
        tls,
        login,
        from: from.unwrap_or_default(),
        to: to.unwrap_or_default(),
        per_minute: per_minute.unwrap_or(PER_MINUTE),
        language,
        template,
    };
    TargetSettings {
        name,
        kind: TargetKind::Mail(Box::new(mail)),
        url: secret.unwrap_or_else(|| Secret::new(String::new())),
        secret: None,
        timeout: timeout.unwrap_or(DEFAULT_TIMEOUT),
        fall_over: fall_over.unwrap_or(DEFAULT_FALL_OVER),
        acknowledges: false,
        network,
    }
}

/// The address may have a password in it: what is wrong with it is said without showing it.
fn place(url: &str, value: &Value<'_>) -> Option<Place> {
    let help = "write smtps://host:465, or smtp://host:587 for STARTTLS".to_owned();
    let url = match Url::parse(url) {
        Ok(url) if matches!(url.scheme(), "smtp" | "smtps") => url,
        Ok(_) => {
            let message = format!(
                "the address that `{}` gives is not that of a mail server",
                value.key
            );
            value.wrong_with(message, help);
            return None;
        }
        Err(error) => {
            let message = format!("the address that `{}` gives is not a URL: {error}", value.key);
            value.wrong_with(message, help);
            return None;
        }
    };
    if !url.username().is_empty() || url.password().is_some() {
        value.wrong_with(
            format!("`{}` has a name or password in it", value.key),
            "write `username` and `password_file`".to_owned(),
        );
        return None;
    }
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        value.wrong_with(format!("`{}` has more in it than host and port", value.key), help);
        return None;
    }
    let from_the_start = url.scheme() == "smtps";
    // In a scheme that is none of the web's, an address is not told from a name.
    let host = url
        .host_str()
        .filter(|host| !host.is_empty())
        .and_then(|host| Host::parse(host).ok());
    let Some(host) = host else {
        value.wrong_with(
            format!("the address that `{}` gives has no host", value.key),
            help,
        );
        return None;
    };
    let mut web = Url::parse("http://localhost").ok()?;
    web.set_host(Some(&host.to_string())).ok()?;
    Some(Place {
        port: url.port().unwrap_or(if from_the_start { 465 } else { 587 }),
        from_the_start,
        literal: !matches!(host, Host::Domain(_)),
        local: is_of_this_machine(&web),
        host: match host {
            Host::Ipv6(address) => address.to_string(),
            Host::Ipv4(address) => address.to_string(),
            Host::Domain(name) => name,
        },
    })
}

fn tls(table: &mut Table<'_>, place: Option<&Place>) -> MailTls {
    let value = table.optional("tls");
    let word = value.as_ref().and_then(|value| value.word("kind of TLS", &TLS));
    let Some(place) = place else {
        return MailTls::StartTls;
    };
    match (value, word) {
        (Some(value), Some(TlsWord::None)) if place.from_the_start => {
            let help = "write smtp:// in `url` to send in the clear".to_owned();
            value.wrong_with("an smtps:// server is spoken to with TLS only".to_owned(), help);
            MailTls::FromTheStart
        }
        (Some(value), Some(TlsWord::None)) if !place.literal && !place.local => {
            let message = "without TLS whoever answers for this name reads and keeps the messages";
            let help = "leave `tls` out, or write the address of a server in your own network as numbers";
            value.wrong_with(message.to_owned(), help.to_owned());
            MailTls::StartTls
        }
        (Some(_), Some(TlsWord::None)) => MailTls::None,
        (_, Some(TlsWord::Required) | None) if place.from_the_start => MailTls::FromTheStart,
        (_, Some(TlsWord::Required | TlsWord::None) | None) => MailTls::StartTls,
    }
}

/// To which addresses the server's name may lead, and whom TLS trusts.
fn network(table: &mut Table<'_>, tls: MailTls) -> NetworkSettings {
    let allow = table.optional("allow").and_then(|value| value.list());
    let ca = table.optional("ca_file");
    if let Some(ca) = ca.as_ref().filter(|_| tls == MailTls::None) {
        ca.key_wrong("`ca_file` has no effect without TLS");
    }
    NetworkSettings {
        allow: allow.iter().flatten().filter_map(network::network).collect(),
        authorities: ca
            .and_then(|value| network::authorities(&value))
            .unwrap_or_default(),
        ..NetworkSettings::default()
    }
}

fn login(table: &mut Table<'_>, (tls, place): (MailTls, Option<&Place>)) -> Option<MailLogin> {
    let username = table.optional("username");
    let password = table.either("password", "password_file");
    let (username, value) = match (username, password) {
        (None, None) => return None,
        (Some(username), Some(password)) => (username, password),
        (Some(username), None) => {
            let help = "add `password_file`, or leave it out where the server wants no login".to_owned();
            username.wrong_with("`username` is given without a password".to_owned(), help);
            return None;
        }
        (None, Some(password)) => {
            password.key_wrong("a password is given without `username`");
            return None;
        }
    };
    let local = place.is_none_or(|place| place.local);
    if tls == MailTls::None && !local {
        value.key_wrong("the password would go to another machine in the clear");
    }
    Some(MailLogin {
        username: username.filled_text()?.into_owned(),
        password: value.secret()?,
    })
}

fn mailbox(value: &Value<'_>) -> Option<String> {
    let text = value.filled_text()?;
    let read = text.parse::<Mailbox>().ok();
    let good = read.is_some_and(|mailbox| mailbox.email.to_string().is_ascii());
    if !good {
        let help = "write name@example.org, or Name <name@example.org>".to_owned();
        value.wrong_with(format!("{text:?} is not an e-mail address"), help);
    }
    good.then(|| text.into_owned())
}

fn mailboxes(value: &Value<'_>) -> Vec<String> {
    let items = value.list();
    if items.as_ref().is_some_and(Vec::is_empty) {
        value.wrong("`to` has nobody in it: what is for nobody in particular would reach nobody");
    }
    let items = items.unwrap_or_default();
    if items.len() > MOST {
        value.wrong(format!(
            "`to` has more than {MOST} in it: write to a list that the server keeps"
        ));
    }
    items.iter().take(MOST).filter_map(mailbox).collect()
}
