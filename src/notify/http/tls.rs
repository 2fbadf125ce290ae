//! Whom a target's TLS trusts, and that it speaks HTTP/2 where the other side does.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};

use crate::config::TargetSettings;
use crate::notify::NotifyError;

/// The authorities of the settings; where they have none, the system's.
pub(super) fn roots(settings: &TargetSettings) -> Result<RootCertStore, NotifyError> {
    let mut roots = RootCertStore::empty();
    for authority in &settings.network.authorities {
        roots
            .add(authority.clone())
            .map_err(|source| failed(&settings.name, source))?;
    }
    if roots.is_empty() {
        let system = rustls_native_certs::load_native_certs();
        // Systems carry some authorities that rustls cannot read; the others serve.
        roots.add_parsable_certificates(system.certs);
    }
    if roots.is_empty() {
        return Err(NotifyError::NoAuthorities {
            target: settings.name.clone(),
        });
    }
    Ok(roots)
}

/// TLS that trusts `roots`.
pub(super) fn client_config(roots: RootCertStore, target: &str) -> Result<ClientConfig, NotifyError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|source| failed(target, source))?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn failed(target: &str, source: rustls::Error) -> NotifyError {
    NotifyError::Tls {
        target: target.to_owned(),
        source,
    }
}
