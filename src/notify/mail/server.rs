//! The conversation with a mail server (SMTP): connected, encrypted, logged in, then one letter after the other. Nothing but
//! the greeting is said before TLS where TLS is wanted.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;
use lettre::Address;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{
    AsyncSmtpConnection, Certificate, CertificateStore, TlsParameters, TlsParametersBuilder,
};
use lettre::transport::smtp::commands::{Data, Mail as Sender, Rcpt, Rset};
use lettre::transport::smtp::extension::ClientId;
use tokio::net::TcpStream;

use super::fault::{MailError, Step, meaning};
use super::wire::Wire;
use crate::config::{MailSettings, MailTls, TargetSettings};
use crate::notify::NotifyError;
use crate::notify::address::{LookUp, NameError, SystemLookUp, addresses};
use crate::notify::target::SendError;

/// How long one of the server's addresses may take to take a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// How long the goodbye may take.
const QUIT: Duration = Duration::from_secs(1);

/// Where letters are posted.
pub(super) struct Server<L = SystemLookUp> {
    host: String,
    port: u16,
    allow: Vec<IpNet>,
    look_up: L,
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

impl<L: LookUp> Server<L> {
    /// The server of a target; `hello` is the domain by which this gateway introduces itself.
    pub(super) fn new(
        settings: &TargetSettings,
        mail: &MailSettings,
        (hello, look_up): (&str, L),
    ) -> Result<Server<L>, NotifyError> {
        let tls = match mail.tls {
            MailTls::None => None,
            MailTls::FromTheStart | MailTls::StartTls => Some((parameters(settings, mail)?, mail.tls)),
        };
        let login = mail
            .login
            .as_ref()
            .map(|login| Credentials::new(login.username.clone(), login.password.expose().to_owned()));
        Ok(Server {
            host: mail.host.clone(),
            port: mail.port,
            allow: settings.network.allow.clone(),
            look_up,
            tls,
            login,
            hello: ClientId::Domain(hello.to_owned()),
            timeout: settings.timeout,
        })
    }

    /// How long the opening may take, and each letter.
    pub(super) const fn timeout(&self) -> Duration {
        self.timeout
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

    /// A connection to the first of the host's addresses that takes one. They are looked up for each connection anew.
    async fn connected(&self, tls: Option<TlsParameters>) -> Result<AsyncSmtpConnection, SendError> {
        let found = addresses(&self.host, &self.allow, &self.look_up).await;
        let found = found.map_err(|error| match error {
            NameError::Forbidden => SendError::Forbidden,
            NameError::Unknown(_) => SendError::Connect,
        })?;
        let mut problem = SendError::Connect;
        // An address that answers nothing leaves time for the others, and for the conversation.
        let shares = u32::try_from(found.len()).unwrap_or(u32::MAX).saturating_add(1);
        let timeout = CONNECT.min(self.timeout / shares);
        for address in found {
            let address = SocketAddr::new(address, self.port);
            let connected = match &tls {
                Some(tls) => self.encrypted(address, timeout, tls.clone()).await,
                None => self.in_the_clear(address, timeout).await,
            };
            match connected {
                Ok(connection) => return Ok(connection),
                Err(error) => problem = error,
            }
        }
        Err(problem)
    }

    async fn encrypted(
        &self,
        address: SocketAddr,
        timeout: Duration,
        tls: TlsParameters,
    ) -> Result<AsyncSmtpConnection, SendError> {
        AsyncSmtpConnection::connect_tokio1(address, Some(timeout), &self.hello, Some(tls), None)
            .await
            .map_err(|error| meaning(Step::Open, &error))
    }

    async fn in_the_clear(
        &self,
        address: SocketAddr,
        timeout: Duration,
    ) -> Result<AsyncSmtpConnection, SendError> {
        let connected = tokio::time::timeout(timeout, TcpStream::connect(address)).await;
        let Ok(Ok(stream)) = connected else {
            return Err(SendError::Connect);
        };
        AsyncSmtpConnection::connect_with_transport(Box::new(Wire::new(stream)), &self.hello)
            .await
            .map_err(|error| meaning(Step::Hello, &error))
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

impl<L> std::fmt::Debug for Server<L> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Server(<where e-mail goes>)")
    }
}

/// TLS that trusts the authorities of the settings, else those of the system.
fn parameters(settings: &TargetSettings, mail: &MailSettings) -> Result<TlsParameters, NotifyError> {
    let failed = |_| NotifyError::Mail {
        target: settings.name.clone(),
        problem: "cannot set up TLS",
    };
    let mut builder = TlsParametersBuilder::new(mail.host.clone());
    let own = &settings.network.authorities;
    if own.is_empty() {
        if rustls_native_certs::load_native_certs().certs.is_empty() {
            return Err(NotifyError::NoAuthorities {
                target: settings.name.clone(),
            });
        }
    } else {
        builder = builder.certificate_store(CertificateStore::None);
    }
    for authority in own {
        let authority = Certificate::from_der(authority.to_vec()).map_err(failed)?;
        builder = builder.add_root_certificate(authority);
    }
    builder.build_rustls().map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::net::IpAddr;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpSocket, TcpStream};

    use super::*;
    use crate::config::{NetworkSettings, Secret, TargetKind};
    use crate::domain::officer::Language;

    /// Every name leads to this machine.
    struct Here;

    impl LookUp for Here {
        async fn look_up(&self, _: &str) -> io::Result<Vec<IpAddr>> {
            Ok(vec![IpAddr::from([127, 0, 0, 1])])
        }
    }

    /// The name leads to two addresses.
    struct Two;

    impl LookUp for Two {
        async fn look_up(&self, _: &str) -> io::Result<Vec<IpAddr>> {
            Ok(vec![IpAddr::from([127, 0, 0, 2]), IpAddr::from([127, 0, 0, 1])])
        }
    }

    fn server<L: LookUp>(port: u16, allow: &[&str], timeout: Duration, look_up: L) -> Server<L> {
        let mail = MailSettings {
            host: "mail.example.org".to_owned(),
            port,
            tls: MailTls::None,
            login: None,
            from: String::new(),
            to: Vec::new(),
            per_minute: 1,
            language: Language::Zh,
            template: None,
        };
        let settings = TargetSettings {
            name: "mail".to_owned(),
            kind: TargetKind::Webhook,
            url: Secret::new(String::new()),
            secret: None,
            timeout,
            fall_over: Duration::ZERO,
            acknowledges: false,
            network: NetworkSettings {
                allow: allow.iter().map(|network| network.parse().unwrap()).collect(),
                ..NetworkSettings::default()
            },
        };
        Server::new(&settings, &mail, ("fire.example", look_up)).unwrap()
    }

    async fn opened(allow: &[&str]) -> Option<SendError> {
        // A port on which nobody listens.
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = gone.local_addr().unwrap().port();
        drop(gone);
        let server = server(port, allow, Duration::from_secs(10), Here);
        server.open().await.err()
    }

    /// Greets one client.
    async fn greets(listener: TcpListener) -> TcpStream {
        let (mut client, _) = listener.accept().await.unwrap();
        client.write_all(b"220 mail.example.org ESMTP\r\n").await.unwrap();
        let mut hello = [0; 64];
        assert_ne!(client.read(&mut hello).await.unwrap(), 0);
        client.write_all(b"250 mail.example.org\r\n").await.unwrap();
        client
    }

    /// A listener whose queue is full answers nobody; what fills it has to be kept.
    async fn black_hole(address: SocketAddr) -> (TcpListener, Vec<TcpStream>) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(address).unwrap();
        let hole = socket.listen(1).unwrap();
        let mut queue = Vec::new();
        let patience = Duration::from_millis(200);
        while let Ok(queued) = tokio::time::timeout(patience, TcpStream::connect(address)).await {
            queue.push(queued.unwrap());
        }
        (hole, queue)
    }

    #[tokio::test]
    async fn an_address_that_answers_nothing_does_not_hide_the_next_one() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let hole = black_hole(SocketAddr::from(([127, 0, 0, 2], port))).await;
        let server = server(port, &["127.0.0.0/8"], Duration::from_secs(3), Two);
        let opened = tokio::select! {
            (opened, _client) = async { tokio::join!(server.open(), greets(listener)) } => opened.err(),
            () = tokio::time::sleep(Duration::from_secs(20)) => Some(SendError::Broken),
        };
        assert_eq!(opened, None);
        drop(hole);
    }

    #[tokio::test]
    async fn a_name_leads_into_closed_networks_only_where_that_is_allowed() {
        assert_eq!(opened(&[]).await, Some(SendError::Forbidden));
        assert_eq!(opened(&["127.0.0.0/8"]).await, Some(SendError::Connect));
    }
}
