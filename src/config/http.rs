//! `[http]`: where the API listens and who may use it. An open API is refused on any address but loopback.

use std::net::{Ipv4Addr, SocketAddr};

use super::document::Table;
use super::settings::{Auth, HttpSettings, Secret};
use super::value::Value;

const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9464);

/// What a scrape writes within some twenty milliseconds: ten thousand devices with a handful of points.
const DEFAULT_MAX_SERIES: usize = 50_000;
const MOST_SERIES: i64 = 10_000_000;

/// Reads the section.
pub(super) fn read(mut table: Table<'_>) -> HttpSettings {
    let listen = table.optional("listen").and_then(|listen| address(&listen));
    let max_series = table.optional("max_series");
    let max_series = max_series
        .and_then(|most| most.integer(0..=MOST_SERIES))
        .and_then(|most| usize::try_from(most).ok());
    let given = table.optional("auth");
    let required = match &given {
        Some(auth) => auth.word("kind of auth", &[("required", true), ("none", false)]),
        None => Some(true),
    };
    let token = table.either("token", "token_file");
    let auth = match (required, token) {
        (Some(false), Some(token)) => {
            token.key_wrong("a token has no effect with `auth = \"none\"`");
            None
        }
        (_, Some(token)) => token
            .secret()
            .filter(|secret| is_sendable(secret, &token))
            .map(Auth::Token),
        (Some(true), None) => {
            table.missing("`token` or `token_file` (or `auth = \"none\"`, on loopback only)");
            None
        }
        (Some(false) | None, None) => None,
    };
    let listen = listen.unwrap_or(DEFAULT_LISTEN);
    if let Some(given) = given.filter(|_| required == Some(false) && !listen.ip().is_loopback()) {
        let help = "use auth = \"required\" with a token_file, or listen = \"127.0.0.1:9464\"".to_owned();
        given.wrong_with(
            format!("`auth = \"none\"` would open the API to everyone who reaches {listen}"),
            help,
        );
    }
    HttpSettings {
        listen,
        auth: auth.unwrap_or(Auth::None),
        max_series: max_series.unwrap_or(DEFAULT_MAX_SERIES),
    }
}

fn address(value: &Value<'_>) -> Option<SocketAddr> {
    let text = value.filled_text()?;
    let address = text.parse().ok();
    if address.is_none() {
        let help = "write an IP address and a port: \"127.0.0.1:9464\", \"0.0.0.0:9464\" or \"[::1]:9464\""
            .to_owned();
        value.wrong_with(
            format!("`{}` is not an address to listen on: {text:?}", value.key),
            help,
        );
    }
    address
}

/// A header carries visible ASCII only.
fn is_sendable(secret: &Secret, value: &Value<'_>) -> bool {
    let sendable = secret.expose().bytes().all(|byte| byte.is_ascii_graphic());
    if !sendable {
        value.wrong("a token is made of visible ASCII characters without spaces");
    }
    sendable
}
