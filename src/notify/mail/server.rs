//! The conversation with a mail server (SMTP): connected, encrypted, logged in, then one letter after the other. Nothing but
//! the greeting is said before TLS where TLS is wanted.

use std::net::SocketAddr;
use std::time::Duration;

use lettre::Address;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{
    AsyncSmtpConnection, Certificate, CertificateStore, TlsParameters, TlsParametersBuilder,
};
use lettre::transport::smtp::commands::{Data, Mail as Sender, Rcpt, Rset};
use lettre::transport::smtp::extension::ClientId;

use super::fault::{MailError, Step, meaning};
use crate::config::{MailSettings, MailTls};
use crate::notify::NotifyError;
use crate::notify::target::SendError;

/// How long the goodbye may take.
const QUIT: Duration = Duration::from_secs(1);

/// Where letters are posted.
pub(super) struct Server {
    host: String,
    port: u16,
    tls: Option<(TlsParameters, MailTls)>,
    login: Option<Credentials>,
    hello: ClientId,
    /// For the opening, and for each letter.
    timeout: Duration,
}

/// An open conversation.
pub(super) struct Conversation {
    connection: AsyncSmtpConnection,
    timeout: Duration,
}

impl Server {
    /// The server of the target `name`; `hello` is the domain by which this gateway introduces itself.
    pub(super) fn new(
        name: &str,
        settings: &MailSettings,
        (hello, timeout): (&str, Duration),
    ) -> Result<Server, NotifyError> {
        let tls = match settings.tls {
            MailTls::None => None,
            MailTls::FromTheStart | MailTls::StartTls => Some((parameters(name, settings)?, settings.tls)),
        };
        let login = settings
            .login
            .as_ref()
            .map(|login| Credentials::new(login.username.clone(), login.password.expose().to_owned()));
        Ok(Server {
            host: settings.host.clone(),
            port: settings.port,
            tls,
            login,
            hello: ClientId::Domain(hello.to_owned()),
            timeout,
        })
    }

    /// Connects, encrypts and logs in.
    pub(super) async fn open(&self) -> Result<Conversation, SendError> {
        let opened = tokio::time::timeout(self.timeout, self.opened()).await;
        let connection = opened.map_err(|_| SendError::Timeout(self.timeout))??;
        Ok(Conversation {
            connection,
            timeout: self.timeout,
        })
    }

    async fn opened(&self) -> Result<AsyncSmtpConnection, SendError> {
        let from_the_start = match &self.tls {
            Some((tls, MailTls::FromTheStart)) => Some(tls.clone()),
            Some((_, MailTls::StartTls | MailTls::None)) | None => None,
        };
        let mut connection = self.connected(from_the_start).await?;
        if let Some((tls, MailTls::StartTls)) = &self.tls {
            if !connection.can_starttls() {
                connection.abort().await;
                return Err(MailError::Unencrypted.into());
            }
            let encrypted = connection.starttls(tls.clone(), &self.hello).await;
            encrypted.map_err(|error| meaning(Step::Encrypt, &error))?;
        }
        if let Some(login) = &self.login {
            let known = connection
                .auth(&[Mechanism::Plain, Mechanism::Login], login)
                .await;
            known.map_err(|error| meaning(Step::Login, &error))?;
        }
        Ok(connection)
    }

    /// A connection to the first of the host's addresses that takes one.
    async fn connected(&self, tls: Option<TlsParameters>) -> Result<AsyncSmtpConnection, SendError> {
        let resolved = tokio::net::lookup_host((self.host.as_str(), self.port)).await;
        let addresses: Vec<SocketAddr> = resolved.map_err(|_| SendError::Connect)?.collect();
        let mut problem = SendError::Connect;
        for address in addresses {
            let timeout = Some(self.timeout);
            let connected =
                AsyncSmtpConnection::connect_tokio1(address, timeout, &self.hello, tls.clone(), None).await;
            match connected {
                Ok(connection) => return Ok(connection),
                Err(error) => problem = meaning(Step::Open, &error),
            }
        }
        Err(problem)
    }
}

impl Conversation {
    /// Posts one message. After an error that is [`SendError::Refused`] or a refused recipient the conversation goes on.
    pub(super) async fn post(
        &mut self,
        from: &Address,
        to: &Address,
        message: &[u8],
    ) -> Result<(), SendError> {
        let timeout = self.timeout;
        let posted = tokio::time::timeout(timeout, self.posted(from, to, message)).await;
        posted.map_err(|_| SendError::Timeout(timeout))?
    }

    async fn posted(&mut self, from: &Address, to: &Address, message: &[u8]) -> Result<(), SendError> {
        let connection = &mut self.connection;
        let sender = connection
            .command(Sender::new(Some(from.clone()), Vec::new()))
            .await;
        sender.map_err(|error| meaning(Step::Sender, &error))?;
        let recipient = connection.command(Rcpt::new(to.clone(), Vec::new())).await;
        if let Err(error) = recipient {
            let _ = connection.command(Rset).await;
            return Err(meaning(Step::Recipient, &error));
        }
        if let Err(error) = connection.command(Data).await {
            let _ = connection.command(Rset).await;
            return Err(meaning(Step::Message, &error));
        }
        let taken = connection.message(message).await;
        taken.map_err(|error| meaning(Step::Message, &error))?;
        Ok(())
    }

    /// Says goodbye, as far as there is somebody to say it to.
    pub(super) async fn close(mut self) {
        let _ = tokio::time::timeout(QUIT, self.connection.quit()).await;
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Server(<where e-mail goes>)")
    }
}

/// TLS that trusts the authorities of the settings, else those of the system.
fn parameters(name: &str, settings: &MailSettings) -> Result<TlsParameters, NotifyError> {
    let failed = |_| NotifyError::Mail {
        target: name.to_owned(),
        problem: "cannot set up TLS",
    };
    let builder = TlsParametersBuilder::new(settings.host.clone());
    if let Some(pem) = &settings.authorities {
        let own = Certificate::from_pem(pem).map_err(failed)?;
        let builder = builder.certificate_store(CertificateStore::None);
        return builder.add_root_certificate(own).build_rustls().map_err(failed);
    }
    if rustls_native_certs::load_native_certs().certs.is_empty() {
        return Err(NotifyError::NoAuthorities {
            target: name.to_owned(),
        });
    }
    builder.build_rustls().map_err(failed)
}
