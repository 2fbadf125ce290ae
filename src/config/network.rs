//! The keys of a `[[target]]` that say how it is reached: allowed networks, authorities, a proxy and deadlines. Certificates
//! are read and tried here.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use ipnet::IpNet;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};
use url::{Host, Url};

use super::document::Table;
use super::settings::{NetworkSettings, Secret};
use super::value::Value;

const DEADLINE: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_mins(5);
const NETWORK_FORM: &str = "write an address and how many of its bits count: \"10.0.0.0/8\", \"fd00::/8\"";
const PROXY_FORM: &str = "write http://host:port or http://user:password@host:port";

/// Reads what a target with this address has beside what its kind has; an attempt may take `timeout`.
pub(super) fn read(table: &mut Table<'_>, url: Option<&Secret>, timeout: Duration) -> NetworkSettings {
    let allow = table.optional("allow").and_then(|value| value.list());
    let ca = table.optional("ca_file");
    if let Some(ca) = ca.as_ref().filter(|_| url.is_some_and(is_plain)) {
        ca.key_wrong("`ca_file` has no effect without TLS; use an https:// address or remove it");
    }
    let proxy = table.either("proxy", "proxy_file");
    let mut deadline = |key| {
        let value = table.optional(key)?;
        let deadline = value.duration(DEADLINE)?;
        if deadline > timeout {
            value.wrong(format!("`{key}` must not be longer than `timeout`"));
        }
        Some(deadline)
    };
    NetworkSettings {
        connect_timeout: deadline("connect_timeout"),
        read_timeout: deadline("read_timeout"),
        allow: allow.iter().flatten().filter_map(network).collect(),
        authorities: ca.and_then(|value| authorities(&value)).unwrap_or_default(),
        proxy: proxy.and_then(|value| value.secret().filter(|proxy| is_proxy(proxy, &value))),
    }
}

/// Whether the address that `url` is written with may be meant. Loopback and private ones may: whoever writes them means them. Behind a
/// link-local one stands whatever is there, in a cloud the keys to the machine; nobody has the others.
pub(super) fn is_meant(url: &Secret, allow: &[IpNet], value: &Value<'_>) -> bool {
    let address = match Url::parse(url.expose()).as_ref().map(Url::host) {
        Ok(Some(Host::Ipv4(address))) => IpAddr::V4(address),
        Ok(Some(Host::Ipv6(address))) => address.to_ipv4_mapped().map_or(IpAddr::V6(address), IpAddr::V4),
        Ok(_) | Err(_) => return true,
    };
    let nobodys = address.is_unspecified() || address.is_multicast();
    let near = match address {
        IpAddr::V4(address) => address.is_link_local() || address.is_broadcast(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    let allowed = allow.iter().any(|network| network.contains(&address));
    if (nobodys || near) && !allowed {
        let message = format!(
            "`{}` leads to a link-local, multicast or unspecified address",
            value.key
        );
        let help = "name the network in `allow` if it is meant".to_owned();
        value.wrong_with(message, help);
        return false;
    }
    true
}

/// A network, or a single address.
pub(super) fn network(value: &Value<'_>) -> Option<IpNet> {
    let text = value.filled_text()?;
    let text = text.trim();
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.into());
    }
    let Ok(network) = text.parse::<IpNet>() else {
        value.wrong_with(format!("`{text}` is not a network"), NETWORK_FORM.to_owned());
        return None;
    };
    if network != network.trunc() {
        let help = format!("did you mean `{}`?", network.trunc());
        value.wrong_with(format!("`{text}` has bits that do not count"), help);
        return None;
    }
    Some(network)
}

/// The certificates in the file that `value` names, once each can be used.
pub(super) fn authorities(value: &Value<'_>) -> Option<Vec<CertificateDer<'static>>> {
    let path = value.readable_file()?;
    let wrong = |why: &str| value.wrong(format!("{}: {why}", path.display()));
    let read = CertificateDer::pem_file_iter(&path).and_then(Iterator::collect::<Result<Vec<_>, pem::Error>>);
    let found = match read {
        Ok(found) if !found.is_empty() => found,
        Ok(_) => {
            wrong("no certificate in it (-----BEGIN CERTIFICATE-----)");
            return None;
        }
        Err(error) => {
            wrong(&format!("not in PEM form: {error}"));
            return None;
        }
    };
    let mut roots = RootCertStore::empty();
    for certificate in &found {
        if let Err(error) = roots.add(certificate.clone()) {
            wrong(&format!("a certificate in it cannot be used: {error}"));
            return None;
        }
    }
    Some(found)
}

/// Whether the address is spoken to without TLS.
fn is_plain(url: &Secret) -> bool {
    Url::parse(url.expose()).is_ok_and(|url| url.scheme() == "http")
}

/// It may carry a password: what is wrong with it is said without showing it.
fn is_proxy(proxy: &Secret, value: &Value<'_>) -> bool {
    let problem = match Url::parse(proxy.expose()) {
        Ok(url) if url.scheme() != "http" => "is not that of an http:// proxy".to_owned(),
        Ok(url) if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() => {
            "must be a host and a port, nothing else".to_owned()
        }
        Ok(_) => return true,
        Err(error) => format!("is not a URL: {error}"),
    };
    let message = format!("the address that `{}` gives {problem}", value.key);
    value.wrong_with(message, PROXY_FORM.to_owned());
    false
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use crate::config::{NetworkSettings, Secret, load};

    #[test]
    fn what_the_file_says_of_a_targets_network_arrives() {
        let settings = load(Path::new("tests/config/valid/everything.toml")).expect("it is valid");
        let [duty, second, ..] = &settings.targets[..] else {
            panic!("two targets");
        };
        assert_eq!(duty.network, NetworkSettings::default());
        let network = &second.network;
        let allow: Vec<String> = network.allow.iter().map(ToString::to_string).collect();
        assert_eq!(allow, ["10.0.0.0/8", "192.168.7.7/32", "fd00::/8"]);
        assert_eq!(network.authorities.len(), 1);
        let proxy = network.proxy.as_ref().map(Secret::expose);
        assert_eq!(proxy, Some("http://gateway:hunter2@proxy.example.com:3128"));
        assert_eq!(network.connect_timeout, Some(Duration::from_secs(2)));
        assert_eq!(network.read_timeout, Some(Duration::from_secs(8)));
        assert!(!format!("{network:?}").contains("hunter2"));
    }
}
