//! `[[target]]`: where notices go.

use std::collections::HashMap;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use url::{Host, Url};

use super::document::Table;
use super::names::{Names, own_name};
use super::settings::{Secret, Service, TargetKind, TargetSettings};
use super::value::Value;
use super::{alertmanager, mail, network, robots};

pub(super) const TIMEOUT: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_mins(5);
pub(super) const FALL_OVER: std::ops::RangeInclusive<Duration> = Duration::ZERO..=Duration::from_hours(1);
pub(super) const DEFAULT_FALL_OVER: Duration = Duration::from_secs(15);
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
const SIGNING_KEY_PREFIX: &str = "whsec_";

#[derive(Clone, Copy)]
enum KindWord {
    Webhook,
    Alertmanager,
    Robot(Service),
    Email,
}

const KINDS: [(&str, KindWord); 6] = [
    ("webhook", KindWord::Webhook),
    ("alertmanager", KindWord::Alertmanager),
    ("wecom", KindWord::Robot(Service::Wecom)),
    ("dingtalk", KindWord::Robot(Service::Dingtalk)),
    ("feishu", KindWord::Robot(Service::Feishu)),
    ("email", KindWord::Email),
];

/// What others may refer to.
#[derive(Debug)]
pub(super) struct Targets {
    pub(super) names: Names,
    /// The names of those that send e-mail.
    pub(super) mail: Vec<String>,
    /// The addresses of the robots, and which target has each.
    robots: HashMap<String, String>,
}

/// Reads every `[[target]]`, and says what others may refer to.
pub(super) fn read(tables: Vec<Table<'_>>) -> (Vec<TargetSettings>, Targets) {
    let mut known = Targets {
        names: Names::new("target"),
        mail: Vec::new(),
        robots: HashMap::new(),
    };
    let targets = tables.into_iter().map(|table| read_target(table, &mut known));
    (targets.collect(), known)
}

impl Targets {
    /// Two targets with one robot would each send what it takes: half as much again, and it is silent.
    fn note_robot(&mut self, kind: &TargetKind, (name, url): (&str, &Secret), value: &Value<'_>) {
        if !matches!(kind, TargetKind::Robot(_)) {
            return;
        }
        if let Some(other) = self.robots.get(url.expose()) {
            let message =
                format!("the target `{other}` has this robot already, and its limits are for both together");
            value.wrong_with(
                message,
                format!("send to `{other}`, or make a second robot in the group"),
            );
            return;
        }
        self.robots.insert(url.expose().to_owned(), name.to_owned());
    }
}

fn read_target(mut table: Table<'_>, known: &mut Targets) -> TargetSettings {
    let name = own_name(&mut table, "name", &mut known.names);
    let word = table.required("kind");
    let mut kind = TargetKind::Webhook;
    if let Some(word) = word {
        let chosen = word.word("kind of target", &KINDS);
        if let Some(KindWord::Email) = chosen {
            known.mail.push(name.clone());
        }
        match chosen {
            Some(KindWord::Robot(service)) => kind = TargetKind::Robot(robots::read(&mut table, service)),
            Some(KindWord::Email) => return mail::read(table, name),
            Some(KindWord::Alertmanager) => kind = alertmanager::read(&mut table),
            Some(KindWord::Webhook) => kind = alertmanager::read_body(&mut table),
            None => {}
        }
    }
    let written = table.either("url", "url_file");
    if written.is_none() {
        table.missing("`url` or `url_file`");
    }
    let url = written.as_ref();
    let url = url.and_then(|value| value.secret().filter(|url| is_web_address(url, value)));
    let acknowledges = match kind {
        TargetKind::Webhook => table.optional("acknowledges"),
        TargetKind::Robot(_)
        | TargetKind::Mail(_)
        | TargetKind::Alertmanager(_)
        | TargetKind::AlertmanagerWebhook(_) => None,
    };
    let acknowledges = acknowledges.is_some_and(|value| may_acknowledge(&value, url.as_ref()));
    let secret = table.either("secret", "secret_file");
    let secret = secret.and_then(|value| signing_secret(&value, &kind));
    let timeout = table.optional("timeout").and_then(|time| time.duration(TIMEOUT));
    let fall_over = table
        .optional("fall_over")
        .and_then(|time| time.duration(FALL_OVER));
    let timeout = timeout.unwrap_or(DEFAULT_TIMEOUT);
    let network = network::read(&mut table, url.as_ref(), timeout);
    if let (Some(written), Some(url)) = (&written, &url) {
        network::is_meant(url, &network.allow, written);
        known.note_robot(&kind, (&name, url), written);
    }
    TargetSettings {
        name,
        kind,
        network,
        url: url.unwrap_or_else(|| Secret::new(String::new())),
        secret,
        timeout,
        fall_over: fall_over.unwrap_or(DEFAULT_FALL_OVER),
        acknowledges,
    }
}

/// What signs the messages, where anybody looks at it.
fn signing_secret(value: &Value<'_>, kind: &TargetKind) -> Option<Secret> {
    let problem = match kind {
        TargetKind::Webhook | TargetKind::AlertmanagerWebhook(_) => {
            return value.secret().filter(|key| is_signing_key(key, value));
        }
        TargetKind::Robot(robot) if robot.service != Service::Wecom => return value.secret(),
        TargetKind::Robot(_) => "a wecom robot signs nothing: the key in its `url` is its only secret",
        // It has been read elsewhere, and has none.
        TargetKind::Mail(_) => return None,
        TargetKind::Alertmanager(_) => {
            "Alertmanager checks no signatures: put user and password into `url_file`"
        }
    };
    value.key_wrong(problem);
    None
}

/// Whether answers from `url` may acknowledge. Over plain HTTP anybody on the way could write one.
fn may_acknowledge(value: &Value<'_>, url: Option<&Secret>) -> bool {
    let wanted = value.boolean().unwrap_or(false);
    let url = url.and_then(|url| Url::parse(url.expose()).ok());
    let open = url.is_some_and(|url| url.scheme() == "http" && !is_of_this_machine(&url));
    if wanted && open {
        let message = "answers over plain http may acknowledge alarms: whoever sits on the way can write one";
        let help = "use https, or a receiver on this machine".to_owned();
        value.doubt(message, help);
    }
    wanted
}

/// Whether its host is this machine, by its name or address.
pub(super) fn is_of_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// The address is a credential: what is wrong with it is said without showing it.
fn is_web_address(url: &Secret, value: &Value<'_>) -> bool {
    let problem = match Url::parse(url.expose()) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => return true,
        Ok(_) => format!(
            "the address that `{}` gives is not that of a web server",
            value.key
        ),
        Err(error) => format!("the address that `{}` gives is not a URL: {error}", value.key),
    };
    value.wrong_with(problem, "write http://host/path or https://host/path".to_owned());
    false
}

fn is_signing_key(secret: &Secret, value: &Value<'_>) -> bool {
    let encoded = secret.expose().strip_prefix(SIGNING_KEY_PREFIX);
    let valid = encoded.is_none_or(|encoded| STANDARD.decode(encoded).is_ok_and(|key| !key.is_empty()));
    if !valid {
        value.wrong(format!("what follows `{SIGNING_KEY_PREFIX}` must be base64"));
    }
    valid
}
