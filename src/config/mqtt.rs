//! `[mqtt]`: the broker, the session and its limits.

use std::time::Duration;

use url::{Host, Url};

use super::document::Table;
use super::settings::{BrokerUrl, MqttSettings, MqttTls};
use super::value::Value;

const EMBEDDED: &str = "embedded";
const DEFAULT_KEEP_ALIVE: Duration = Duration::from_secs(30);
/// MQTT's own limits: a 16-bit number of seconds, and 28 bits of length.
const KEEP_ALIVE: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(65_535);
const MAX_PACKET_SIZE: std::ops::RangeInclusive<i64> = 256..=268_435_455;
const DEFAULT_MAX_PACKET_SIZE: usize = 262_144;
const QUEUE: std::ops::RangeInclusive<i64> = 16..=1_048_576;
const DEFAULT_QUEUE: usize = 8_192;
const LONGEST_CLIENT_ID: usize = 128;

/// Reads the section. `gateway_id` names the session when the file does not.
pub(super) fn read(mut table: Table<'_>, gateway_id: &str) -> MqttSettings {
    let url = table.required("url").and_then(|url| broker(&url));
    let client_id = table.optional("client_id").and_then(|id| client_id(&id));
    let username = table.optional("username").and_then(|name| name.filled_text());
    let password_value = table.either("password", "password_file");
    let password = password_value.as_ref().and_then(Value::secret);
    if let Some(value) = password_value.filter(|_| username.is_none()) {
        value.key_wrong("a password without `username`: MQTT does not allow it");
    }
    let keep_alive = table
        .optional("keep_alive")
        .and_then(|time| time.duration(KEEP_ALIVE));
    let max_packet_size = size(&mut table, "max_packet_size", MAX_PACKET_SIZE);
    let queue = size(&mut table, "queue", QUEUE);
    MqttSettings {
        tls: tls(&mut table, url.as_ref()),
        url: url.unwrap_or(BrokerUrl::Embedded),
        client_id: client_id.unwrap_or_else(|| format!("ninewatch-{gateway_id}")),
        username: username.map(Into::into),
        password,
        keep_alive: keep_alive.unwrap_or(DEFAULT_KEEP_ALIVE),
        max_packet_size: max_packet_size.unwrap_or(DEFAULT_MAX_PACKET_SIZE),
        queue: queue.unwrap_or(DEFAULT_QUEUE),
    }
}

fn size(table: &mut Table<'_>, key: &'static str, range: std::ops::RangeInclusive<i64>) -> Option<usize> {
    let size = table.optional(key)?.integer(range)?;
    usize::try_from(size).ok()
}

fn broker(value: &Value<'_>) -> Option<BrokerUrl> {
    const FORM: &str = "write \"mqtt://host:1883\", \"mqtts://host:8883\" for TLS, or \"embedded\"";
    let text = value.filled_text()?;
    if text == EMBEDDED {
        if cfg!(feature = "embedded-broker") {
            return Some(BrokerUrl::Embedded);
        }
        value.wrong("this ninewatch was built without the embedded broker");
        return None;
    }
    let url = match Url::parse(&text) {
        Ok(url) => url,
        Err(error) => {
            value.wrong_with(format!("`{}` is not a URL: {error}", value.key), FORM.to_owned());
            return None;
        }
    };
    let tls = match url.scheme() {
        "mqtt" => false,
        "mqtts" => true,
        other => {
            value.wrong_with(
                format!("ninewatch does not speak `{other}` to a broker"),
                FORM.to_owned(),
            );
            return None;
        }
    };
    if !url.username().is_empty() || url.password().is_some() {
        let help = "write them as `username` and `password_file`".to_owned();
        value.wrong_with(
            format!("`{}` must not carry a user name or password", value.key),
            help,
        );
        return None;
    }
    let is_bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
    let Some(host) = url.host().filter(|_| is_bare) else {
        let message = format!("`{}` must be a host and a port, nothing else", value.key);
        value.wrong_with(message, FORM.to_owned());
        return None;
    };
    Some(BrokerUrl::Remote {
        host: match host {
            Host::Domain(name) => name.to_owned(),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        },
        port: url.port().unwrap_or(if tls { 8883 } else { 1883 }),
        tls,
    })
}

fn client_id(value: &Value<'_>) -> Option<String> {
    let text = value.filled_text()?;
    let fits = text.len() <= LONGEST_CLIENT_ID && !text.chars().any(char::is_control);
    if !fits {
        value.wrong(format!(
            "`{}` must be at most {LONGEST_CLIENT_ID} bytes without control characters",
            value.key
        ));
    }
    fits.then(|| text.into_owned())
}

fn tls(table: &mut Table<'_>, url: Option<&BrokerUrl>) -> MqttTls {
    let plain = match url {
        Some(BrokerUrl::Embedded | BrokerUrl::Remote { tls: false, .. }) => true,
        Some(BrokerUrl::Remote { tls: true, .. }) | None => false,
    };
    let mut file = |key| {
        let value = table.optional(key)?;
        if plain {
            value.key_wrong(&format!(
                "`{key}` has no effect without TLS; use a mqtts:// URL or remove it"
            ));
        }
        Some((value.readable_file(), value))
    };
    let (ca, cert, key) = (file("ca_file"), file("cert_file"), file("key_file"));
    match (&cert, &key) {
        (Some((_, lone)), None) => lone.key_wrong("`cert_file` needs `key_file` too"),
        (None, Some((_, lone))) => lone.key_wrong("`key_file` needs `cert_file` too"),
        (Some(_), Some(_)) | (None, None) => {}
    }
    let path =
        |read: Option<(Option<std::path::PathBuf>, _)>| read.and_then(|(path, _): (_, Value<'_>)| path);
    MqttTls {
        ca_file: path(ca),
        cert_file: path(cert),
        key_file: path(key),
    }
}
