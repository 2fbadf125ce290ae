//! The HTTP client of a target: HTTP/2 or HTTP/1.1, no redirects, deadlines for every step, and only to addresses that the
//! target may have. It speaks for no service and decides nothing about retries; no error of it names an address.

mod resolver;
#[cfg(test)]
mod tests;
mod tls;

use std::error::Error;
use std::time::Duration;

use reqwest::{Client, ClientBuilder, Proxy, Url, redirect};
use rustls::RootCertStore;

use self::resolver::Resolver;
use super::NotifyError;
use super::address::{LookUp, NameError, SystemLookUp};
use super::target::SendError;
use crate::config::TargetSettings;

/// How long an unused connection is kept open.
const IDLE: Duration = Duration::from_mins(1);

/// How long a connection may take at most, TLS and all, where the settings do not say.
const CONNECT: Duration = Duration::from_secs(5);

/// The client for a target's address, and the address. Proxy variables of the environment are not heeded: where a notice
/// goes is what the configuration says.
pub(super) fn client(settings: &TargetSettings) -> Result<(Client, Url), NotifyError> {
    client_over(settings, SystemLookUp)
}

/// How long an answer is waited for at most.
pub(super) fn deadline(settings: &TargetSettings) -> Duration {
    let read = settings.network.read_timeout.unwrap_or(settings.timeout);
    read.min(settings.timeout)
}

/// Why a request had no answer within its [`deadline`].
pub(super) fn failure(error: &reqwest::Error, deadline: Duration) -> SendError {
    if is_forbidden(error) {
        SendError::Forbidden
    } else if error.is_connect() {
        SendError::Connect
    } else if error.is_timeout() {
        SendError::Timeout(deadline)
    } else {
        SendError::Broken
    }
}

fn client_over(settings: &TargetSettings, look_up: impl LookUp) -> Result<(Client, Url), NotifyError> {
    let url = address(settings)?;
    let network = &settings.network;
    let roots = match url.scheme() {
        "https" => tls::roots(settings)?,
        // Without redirects an http address never comes to use TLS.
        _ => RootCertStore::empty(),
    };
    let connect = network.connect_timeout.unwrap_or(CONNECT).min(settings.timeout);
    let builder = Client::builder()
        .tls_backend_preconfigured(tls::client_config(roots, &settings.name)?)
        .user_agent(concat!("ninewatch/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .dns_resolver(Resolver::new(network.allow.clone(), look_up))
        .timeout(settings.timeout)
        .connect_timeout(connect)
        .read_timeout(deadline(settings))
        .tcp_nodelay(true)
        .pool_idle_timeout(IDLE)
        // All requests share one connection: once it is dead, one attempt must be enough to be rid of it.
        .http2_keep_alive_interval(settings.timeout / 2)
        .http2_keep_alive_timeout(settings.timeout / 2);
    let client = proxied(builder, settings)
        .and_then(ClientBuilder::build)
        .map_err(|error| NotifyError::Client {
            target: settings.name.clone(),
            source: error.without_url(),
        })?;
    Ok((client, url))
}

fn proxied(builder: ClientBuilder, settings: &TargetSettings) -> reqwest::Result<ClientBuilder> {
    let builder = builder.no_proxy();
    Ok(match &settings.network.proxy {
        Some(proxy) => builder.proxy(Proxy::all(proxy.expose())?),
        None => builder,
    })
}

fn address(settings: &TargetSettings) -> Result<Url, NotifyError> {
    let url = settings.url.expose().parse::<Url>().ok();
    url.filter(|url| ["http", "https"].contains(&url.scheme()))
        .ok_or_else(|| NotifyError::Url {
            target: settings.name.clone(),
        })
}

fn is_forbidden(error: &reqwest::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if matches!(error.downcast_ref(), Some(NameError::Forbidden)) {
            return true;
        }
        cause = error.source();
    }
    false
}
