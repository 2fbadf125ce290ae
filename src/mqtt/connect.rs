//! A byte stream to the broker: TCP without Nagle's delay, and TLS over it for `mqtts`. Speaks no MQTT.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, InvalidDnsNameError, PrivateKeyDer, ServerName, pem};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::config::{BrokerUrl, MqttTls};

/// A connection to the broker, plain or encrypted.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Why there is no stream to the broker.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The embedded broker has no address of its own here.
    #[error("mqtt.url is \"embedded\", but the embedded broker's address was not filled in")]
    Embedded,
    /// No TCP connection.
    #[error("cannot connect to {host}:{port}: {source}")]
    Tcp {
        /// The host asked for.
        host: String,
        /// The port asked for.
        port: u16,
        /// What the system said.
        source: io::Error,
    },
    /// The TLS handshake failed.
    #[error("TLS with {host} failed: {source}; check mqtt.ca_file, and that the certificate names this host")]
    Handshake {
        /// The host asked for.
        host: String,
        /// What went wrong.
        source: io::Error,
    },
    /// The host cannot stand in a certificate.
    #[error("{host:?} is not a name that a TLS certificate can carry: {source}")]
    Name {
        /// The host asked for.
        host: String,
        /// Why not.
        source: InvalidDnsNameError,
    },
    /// A PEM file cannot be used.
    #[error("{key} {}: {source}", path.display())]
    Pem {
        /// The configuration key that names the file.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// Certificates or key that TLS does not accept.
    #[error("{key} cannot be used: {source}")]
    Identity {
        /// The configuration key concerned.
        key: &'static str,
        /// Why not.
        source: rustls::Error,
    },
    /// A certificate without its key or the reverse.
    #[error("mqtt.cert_file and mqtt.key_file belong together: set both or none")]
    HalfIdentity,
    /// Nobody to trust.
    #[error("no certificate authority to trust: set mqtt.ca_file or install the system's CA certificates")]
    NoAuthority,
    /// Reading the files was cut short.
    #[error("the TLS files could not be read: {0}")]
    Interrupted(#[from] tokio::task::JoinError),
}

/// Connects to `broker`. The TLS files are read afresh, so that renewed certificates serve the next connection.
pub(crate) async fn connect(broker: &BrokerUrl, tls: &MqttTls) -> Result<Box<dyn Stream>, ConnectError> {
    let (host, port, encrypted) = match broker {
        BrokerUrl::Remote { host, port, tls } => (host, *port, *tls),
        BrokerUrl::Embedded => return Err(ConnectError::Embedded),
    };
    let tcp = |source| ConnectError::Tcp {
        host: host.clone(),
        port,
        source,
    };
    let stream = TcpStream::connect((host.as_str(), port)).await.map_err(tcp)?;
    stream.set_nodelay(true).map_err(tcp)?;
    if !encrypted {
        return Ok(Box::new(stream));
    }
    let name = ServerName::try_from(host.clone()).map_err(|source| ConnectError::Name {
        host: host.clone(),
        source,
    })?;
    let config = client_config(tls.clone()).await?;
    let stream = TlsConnector::from(config)
        .connect(name, stream)
        .await
        .map_err(|source| ConnectError::Handshake {
            host: host.clone(),
            source,
        })?;
    Ok(Box::new(stream))
}

/// Whether the TLS files that `broker` needs can be used, without connecting.
pub(crate) async fn check(broker: &BrokerUrl, tls: &MqttTls) -> Result<(), ConnectError> {
    match broker {
        BrokerUrl::Remote { tls: true, .. } => client_config(tls.clone()).await.map(drop),
        BrokerUrl::Remote { tls: false, .. } => Ok(()),
        BrokerUrl::Embedded => Err(ConnectError::Embedded),
    }
}

async fn client_config(tls: MqttTls) -> Result<Arc<ClientConfig>, ConnectError> {
    tokio::task::spawn_blocking(move || read_client_config(&tls).map(Arc::new)).await?
}

fn read_client_config(tls: &MqttTls) -> Result<ClientConfig, ConnectError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|source| ConnectError::Identity { key: "TLS", source })?
        .with_root_certificates(authorities(tls.ca_file.as_deref())?);
    match (&tls.cert_file, &tls.key_file) {
        (Some(cert_file), Some(key_file)) => {
            let chain = certificates("mqtt.cert_file", cert_file)?;
            let key = PrivateKeyDer::from_pem_file(key_file).map_err(|source| ConnectError::Pem {
                key: "mqtt.key_file",
                path: key_file.clone(),
                source,
            })?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|source| ConnectError::Identity {
                    key: "mqtt.cert_file with mqtt.key_file",
                    source,
                })
        }
        (None, None) => Ok(builder.with_no_client_auth()),
        (Some(_), None) | (None, Some(_)) => Err(ConnectError::HalfIdentity),
    }
}

fn authorities(ca_file: Option<&Path>) -> Result<RootCertStore, ConnectError> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = ca_file {
        for certificate in certificates("mqtt.ca_file", path)? {
            roots.add(certificate).map_err(|source| ConnectError::Identity {
                key: "mqtt.ca_file",
                source,
            })?;
        }
    } else {
        // Systems carry some authorities that rustls cannot read; the others serve.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    if roots.is_empty() {
        return Err(ConnectError::NoAuthority);
    }
    Ok(roots)
}

fn certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, ConnectError> {
    let pem = |source| ConnectError::Pem {
        key,
        path: path.to_owned(),
        source,
    };
    let found = CertificateDer::pem_file_iter(path)
        .map_err(pem)?
        .collect::<Result<Vec<_>, _>>()
        .map_err(pem)?;
    if found.is_empty() {
        return Err(pem(pem::Error::NoItemsFound));
    }
    Ok(found)
}
