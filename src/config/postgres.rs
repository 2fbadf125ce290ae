//! `[postgres]`: where the follower copies the store to, and what it keeps there.

use std::ops::RangeInclusive;
use std::time::Duration;

use url::Url;

use super::document::Table;
use super::settings::{Durability, PostgresSettings, PostgresTls};
use super::value::Value;

const KEEP: RangeInclusive<Duration> = Duration::from_hours(24)..=Duration::from_hours(24 * 36_500);
const EVENT_KEEP: Duration = Duration::from_hours(24 * 3 * 365);
const READINGS_KEEP: Duration = Duration::from_hours(24 * 365);
const FORM: &str = "write postgres://user@host:5432/database";
const DURABILITY: [(&str, Durability); 2] = [
    ("local", Durability::Local),
    ("replicated", Durability::Replicated),
];

/// What `url` says.
struct Address {
    server: tokio_postgres::Config,
    encrypted: bool,
}

/// Reads the section; `None` when it is not in the file, or what it says cannot be used.
pub(super) fn read(mut table: Table<'_>) -> Option<PostgresSettings> {
    if !table.is_present() {
        return None;
    }
    let address = table.required("url").and_then(|value| address(&value));
    let password = table
        .either("password", "password_file")
        .and_then(|value| value.secret());
    let ca = table.optional("ca_file");
    if let (Some(ca), Some(false)) = (&ca, address.as_ref().map(|address| address.encrypted)) {
        ca.key_wrong("`ca_file` has no effect without TLS; add sslmode=require to the URL or remove it");
    }
    let ca_file = ca.and_then(|file| file.readable_file());
    let durability = table
        .optional("durability")
        .and_then(|word| word.word("durability", &DURABILITY));
    let mut keep = |key, default| {
        let value = table.optional(key).and_then(|time| time.duration(KEEP));
        value.unwrap_or(default)
    };
    let (keep, readings_keep) = (keep("keep", EVENT_KEEP), keep("readings_keep", READINGS_KEEP));
    let address = address?;
    Some(PostgresSettings {
        server: address.server,
        password,
        tls: if address.encrypted {
            PostgresTls::Verified { ca_file }
        } else {
            PostgresTls::Off
        },
        durability: durability.unwrap_or_default(),
        keep,
        readings_keep,
    })
}

/// The URL may hold a password that does not belong there: what is wrong with it is said without showing it.
fn address(value: &Value<'_>) -> Option<Address> {
    let text = value.filled_text()?;
    let wrong = |message: String| {
        value.wrong_with(message, FORM.to_owned());
        None
    };
    let mut url = match Url::parse(&text) {
        Ok(url) => url,
        Err(error) => return wrong(format!("`{}` is not a URL: {error}", value.key)),
    };
    if !matches!(url.scheme(), "postgres" | "postgresql") {
        return wrong(format!(
            "`{}` is not the address of a PostgreSQL server",
            value.key
        ));
    }
    let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    if url.password().is_some() || pairs.iter().any(|(key, _)| key == "password") {
        let help = "write it as `password_file`".to_owned();
        value.wrong_with(format!("`{}` must not carry a password", value.key), help);
        return None;
    }
    // The client library knows fewer modes than PostgreSQL's own; ours all verify.
    let mode = pairs.iter().rev().find(|(key, _)| key == "sslmode");
    let mode = mode.map(|(_, mode)| mode.clone());
    let others = pairs.iter().filter(|(key, _)| key != "sslmode");
    // Only `%20` is a space to the client library.
    let query = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(others)
        .finish()
        .replace('+', "%20");
    url.set_query(Some(query.as_str()).filter(|query| !query.is_empty()));
    let server: tokio_postgres::Config = match url.as_str().parse() {
        Ok(server) => server,
        Err(error) => return wrong(format!("`{}` cannot be used: {}", value.key, why(&error))),
    };
    if server.get_hosts().is_empty() || server.get_dbname().is_none() || server.get_user().is_none() {
        return wrong(format!("`{}` must name a user, a host and a database", value.key));
    }
    let encrypted = match mode.as_deref() {
        Some("disable") => false,
        Some("require" | "verify-ca" | "verify-full") => true,
        None => !is_local(&server),
        Some("allow" | "prefer") => {
            let help = "write sslmode=require, which verifies the server, or sslmode=disable".to_owned();
            value.wrong_with("this sslmode protects from nobody".to_owned(), help);
            return None;
        }
        Some(_) => {
            let help = "there are disable, require, verify-ca and verify-full".to_owned();
            value.wrong_with("unknown sslmode".to_owned(), help);
            return None;
        }
    };
    Some(Address { server, encrypted })
}

/// What the client library says, with its cause.
fn why(error: &tokio_postgres::Error) -> String {
    let source = std::error::Error::source(error);
    source.map_or_else(|| error.to_string(), ToString::to_string)
}

/// Whether all of the server's names stay on this machine.
fn is_local(server: &tokio_postgres::Config) -> bool {
    server.get_hosts().iter().all(|host| match host {
        tokio_postgres::config::Host::Tcp(name) => {
            let address = name.parse::<std::net::IpAddr>();
            name == "localhost" || address.is_ok_and(|address| address.is_loopback())
        }
        tokio_postgres::config::Host::Unix(_) => true,
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::{PostgresSettings, PostgresTls, load_str};

    fn loaded(url: &str) -> Result<PostgresSettings, String> {
        let text = format!(
            "[gateway]\nid = 'g'\n[mqtt]\nurl = 'mqtt://h'\n[http]\nauth = 'none'\n[postgres]\nurl = '{url}'\n"
        );
        let settings = load_str("t", &text, Path::new("")).map_err(|findings| findings.to_string())?;
        Ok(settings.postgres.expect("the section is there"))
    }

    #[test]
    fn only_this_machine_is_spoken_to_in_the_clear_unasked() {
        let verified = PostgresTls::Verified { ca_file: None };
        for (url, tls) in [
            ("postgres://u@127.0.0.1/d", PostgresTls::Off),
            ("postgres://u@localhost/d", PostgresTls::Off),
            ("postgres://u@[::1]/d", PostgresTls::Off),
            ("postgres://u@%2Frun%2Fpostgresql/d", PostgresTls::Off),
            ("postgres://u@db/d", verified.clone()),
            ("postgresql://u@10.0.0.1:6432/d", verified.clone()),
            ("postgres://u@db/d?sslmode=disable", PostgresTls::Off),
            ("postgres://u@127.0.0.1/d?sslmode=require", verified.clone()),
            (
                "postgres://u@db/d?sslmode=verify-ca&connect_timeout=3",
                verified.clone(),
            ),
            ("postgres://u@db/d?sslmode=verify-full", verified),
        ] {
            assert_eq!(loaded(url).map(|settings| settings.tls), Ok(tls), "{url}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_said_without_a_secret() {
        for (url, problem) in [
            ("127.0.0.1", "is not a URL"),
            ("mysql://u@h/d", "is not the address of a PostgreSQL server"),
            ("postgres://u:hunter2@h/d", "must not carry a password"),
            ("postgres://u@h/d?password=hunter2", "must not carry a password"),
            ("postgres://u@h", "must name a user, a host and a database"),
            ("postgres://h/d", "must name a user, a host and a database"),
            ("postgres://u@h/d?sslmode=prefer", "protects from nobody"),
            ("postgres://u@h/d?sslmode=on", "unknown sslmode"),
            ("postgres://u@h/d?nonsense=hunter2", "cannot be used"),
        ] {
            let said = loaded(url).expect_err(url);
            assert!(said.contains(problem), "{url}: {said}");
            assert!(!said.contains("hunter2"), "{said}");
        }
    }
}
