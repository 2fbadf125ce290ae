//! `[gateway]`: the gateway's name, its data and its limits.

use std::net::SocketAddr;

use super::document::Table;
use super::names;
use super::settings::GatewaySettings;
use super::source::Scope;
use super::value::Value;

const DEFAULT_DATA_DIR: &str = "data";
const DEFAULT_MAX_DEVICES: u32 = 100_000;
/// A tenth of all: a venue that is being fitted out is heard, a device that invents ids fills no memory.
const DEFAULT_MAX_UNREGISTERED: u32 = 10_000;
const MOST_DEVICES: u32 = 10_000_000;

/// Reads the section. `listen` is where the API listens, for the links in messages.
pub(super) fn read(mut table: Table<'_>, scope: &Scope<'_>, listen: SocketAddr) -> GatewaySettings {
    let id = table.required("id").and_then(|id| names::name(&id));
    let data_dir = table.optional("data_dir").and_then(|path| path.filled_text());
    let mut most = |key: &'static str, least: i64| {
        let most = table.optional(key)?;
        let most = most.integer(least..=i64::from(MOST_DEVICES))?;
        u32::try_from(most).ok()
    };
    let max_devices = most("max_devices", 1);
    let max_unregistered = most("max_unregistered", 0);
    let public_url = table.optional("public_url").and_then(|url| public_url(&url));
    let local = listen.ip().is_loopback() || listen.ip().is_unspecified();
    GatewaySettings {
        reaches_people: public_url.is_some() || !local,
        id: id.unwrap_or_default(),
        data_dir: scope.path(data_dir.as_deref().unwrap_or(DEFAULT_DATA_DIR)),
        max_devices: max_devices.unwrap_or(DEFAULT_MAX_DEVICES),
        max_unregistered: max_unregistered.unwrap_or(DEFAULT_MAX_UNREGISTERED),
        public_url: public_url.unwrap_or_else(|| format!("http://{listen}")),
    }
}

fn public_url(value: &Value<'_>) -> Option<String> {
    let text = value.filled_text()?;
    match url::Url::parse(&text) {
        Ok(url)
            if matches!(url.scheme(), "http" | "https")
                && url.query().is_none()
                && url.fragment().is_none() =>
        {
            Some(text.trim_end_matches('/').to_owned())
        }
        Ok(_) => {
            let help = "write http://host:port or https://host, without query".to_owned();
            value.wrong_with(
                format!("`{}` is not the address of a web server", value.key),
                help,
            );
            None
        }
        Err(error) => {
            value.wrong(format!("`{}` is not a URL: {error}", value.key));
            None
        }
    }
}
