//! A connection to PostgreSQL, plain or over TLS that verifies the server, with deadlines on every answer.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio::task::JoinSet;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::ReplicateError;
use crate::config::{PostgresSettings, PostgresTls};

/// How long a connection that answers nothing is believed to be alive by the system.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// For every session: a server that lost sight of the gateway must not keep its locks for long.
const SESSION: &str = "SET TimeZone = 'UTC'; SET client_encoding = 'UTF8'; SET lock_timeout = '10s';
     SET idle_in_transaction_session_timeout = '60s'";

/// A connection; dropped, it is closed, and what was not committed is undone.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) client: Client,
    /// Reads and writes the socket.
    _driver: JoinSet<()>,
}

/// Connects as `settings` say, within `answer`, which also bounds every statement on the server's side.
pub(super) async fn connect(
    settings: &PostgresSettings,
    gateway: &str,
    answer: Duration,
) -> Result<Connection, ReplicateError> {
    let mut server = settings.server.clone();
    server
        .connect_timeout(answer)
        .keepalives_idle(KEEPALIVE)
        .keepalives_interval(KEEPALIVE / 3)
        .keepalives_retries(3)
        .tcp_user_timeout(answer);
    if let Some(password) = &settings.password {
        server.password(password.expose());
    }
    if server.get_application_name().is_none() {
        server.application_name(format!("ninewatch {gateway}"));
    }
    let mut driver = JoinSet::new();
    let client = match &settings.tls {
        PostgresTls::Off => {
            server.ssl_mode(SslMode::Disable);
            let (client, connection) = answered(answer, server.connect(NoTls)).await?;
            driver.spawn(async move { drop(connection.await) });
            client
        }
        PostgresTls::Verified { ca_file } => {
            server.ssl_mode(SslMode::Require);
            let ca_file = ca_file.clone();
            // Read afresh for each connection, so that renewed authorities serve the next one.
            let config = tokio::task::spawn_blocking(move || client_config(ca_file.as_deref()))
                .await
                .map_err(|error| ReplicateError::Tls(error.to_string()))??;
            let (client, connection) =
                answered(answer, server.connect(MakeRustlsConnect::new(config))).await?;
            driver.spawn(async move { drop(connection.await) });
            client
        }
    };
    let bounded = format!("{SESSION}; SET statement_timeout = {}", answer.as_millis());
    answered(answer, client.batch_execute(&bounded)).await?;
    Ok(Connection {
        client,
        _driver: driver,
    })
}

/// What the server answers within `deadline`. A frozen server keeps its connections up: only a deadline notices it.
pub(super) async fn answered<T>(
    deadline: Duration,
    answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, ReplicateError> {
    match tokio::time::timeout(deadline, answer).await {
        Ok(answer) => answer.map_err(ReplicateError::from),
        Err(_) => Err(ReplicateError::Silent(deadline)),
    }
}

fn client_config(ca_file: Option<&Path>) -> Result<ClientConfig, ReplicateError> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = ca_file {
        let unusable =
            |why: String| ReplicateError::Tls(format!("postgres.ca_file {}: {why}", path.display()));
        for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unusable(error.to_string()))? {
            let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
            roots
                .add(certificate)
                .map_err(|error| unusable(error.to_string()))?;
        }
    } else {
        // Systems carry some authorities that rustls cannot read; the others serve.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    if roots.is_empty() {
        let why =
            "no certificate authority to trust: set postgres.ca_file or install the system's CA certificates";
        return Err(ReplicateError::Tls(why.to_owned()));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ReplicateError::Tls(error.to_string()))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
