//! Mail servers that do on their first connection what servers and networks do when they are unwell. Afterwards they work.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use ninewatch::config::MailTls;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::server::{Speech, tls};

/// What the server would do next when it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Begin with TLS.
    Encrypt,
    /// Greet.
    Greet,
    /// Answer the hello.
    Hello,
    /// Answer the login.
    Login,
    /// Answer the sender.
    Sender,
    /// Read the letter.
    Letter,
    /// Answer the letter.
    Take,
}

/// What it does instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Does {
    /// Nothing, for ever.
    Hang,
    /// It says this, and ends the connection.
    Cut(&'static str),
    /// It says this, and goes on.
    Say(&'static str),
    /// It says this without end.
    Endless(&'static str),
    /// It says this byte by byte, and is not done when the deadline is over.
    Drip(&'static str),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) at: Step,
    pub(super) does: Does,
}

const LATE: &str = "no answer within 4s";
const BROKEN: &str = "the connection broke before the answer";
const AWAY: &str = "cannot connect to the target";

/// Answers in the clear that stand where TLS begins, for all that is said over it.
const SLIPPED_IN: &str =
    "250-mail.internal.example\r\n250 AUTH PLAIN\r\n235 in\r\n250 from\r\n250 to\r\n354 go\r\n250 taken\r\n";

/// A line that is not the last of its answer.
const LINE: &str =
    "220-mail.internal.example says what it is, and what it wants, and what it will never do, and more\r\n";

/// Each with the error that is recorded.
pub(super) const FAULTS: [(Step, Does, &str); 21] = [
    (Step::Encrypt, Does::Hang, LATE),
    (Step::Encrypt, Does::Cut(""), AWAY),
    (Step::Encrypt, Does::Say(SLIPPED_IN), AWAY),
    (Step::Greet, Does::Hang, LATE),
    (
        Step::Greet,
        Does::Drip("220 mail.internal.example is a slow one\r\n"),
        LATE,
    ),
    (Step::Greet, Does::Cut(""), BROKEN),
    (Step::Greet, Does::Cut("220 mail.inter"), BROKEN),
    (Step::Greet, Does::Say("SSH-2.0-OpenSSH_9.6\r\n"), BROKEN),
    (
        Step::Greet,
        Does::Say("421 too many from 127.0.0.1\r\n"),
        "the mail server takes nothing for now (code 421)",
    ),
    (Step::Greet, Does::Endless(LINE), BROKEN),
    (Step::Greet, Does::Endless("220 and more and more"), BROKEN),
    (Step::Hello, Does::Cut(""), BROKEN),
    (
        Step::Hello,
        Does::Cut("250-mail.internal.example\r\n250-SI"),
        BROKEN,
    ),
    (Step::Login, Does::Cut(""), BROKEN),
    (
        Step::Login,
        Does::Say("454 ask again, duty\r\n"),
        "the mail server takes nothing for now (code 454)",
    ),
    (
        Step::Sender,
        Does::Say("451 duty@fire.example: later\r\n"),
        "the mail server takes nothing for now (code 451)",
    ),
    (Step::Letter, Does::Cut(""), BROKEN),
    (
        Step::Take,
        Does::Say("452 no room at 127.0.0.1\r\n"),
        "the mail server takes nothing for now (code 452)",
    ),
    (
        Step::Take,
        Does::Say("421 closing, says 127.0.0.1\r\n"),
        "the mail server takes nothing for now (code 421)",
    ),
    (Step::Take, Does::Cut(""), BROKEN),
    (Step::Take, Does::Hang, LATE),
];

impl Fault {
    /// Whether a server that speaks `tls` comes to it.
    pub(super) fn is_met(self, tls: MailTls) -> bool {
        match (self.at, self.does) {
            (Step::Encrypt, _) => tls != MailTls::None,
            // Over TLS it is the server itself that would do this, and nobody on the way.
            (_, Does::Endless(_)) => tls != MailTls::FromTheStart,
            _ => true,
        }
    }

    /// Whether the deadline ends it.
    pub(super) const fn is_late(self) -> bool {
        matches!(self.does, Does::Hang | Does::Drip(_))
    }
}

/// A letter as it came.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Letter {
    /// Its header `Message-ID`.
    pub(super) id: String,
    /// Whether the server said that it has it.
    pub(super) taken: bool,
}

pub(super) struct Faulty {
    pub(super) address: SocketAddr,
    /// Its own certificate, for `localhost`.
    pub(super) authority: CertificateDer<'static>,
    pub(super) letters: mpsc::Receiver<Letter>,
    _server: JoinSet<()>,
}

impl Faulty {
    pub(super) async fn start(speaks: MailTls, fault: Fault) -> Faulty {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (acceptor, authority) = tls(Speech::Plain);
        let (sender, letters) = mpsc::channel(100);
        let mut server = JoinSet::new();
        server.spawn(async move {
            let mut connections = JoinSet::new();
            let mut fault = Some(fault);
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let talk = Talk {
                    wire: Box::new(stream),
                    read: Vec::new(),
                    fault: fault.take(),
                    letters: sender.clone(),
                };
                let acceptor = acceptor.clone();
                connections.spawn(async move {
                    // The other side leaves when it has had enough: that is no failure here.
                    let _left = talk.begin(speaks, acceptor).await;
                });
            }
        });
        Faulty {
            address,
            authority,
            letters,
            _server: server,
        }
    }
}

trait Wire: AsyncRead + AsyncWrite + Unpin + Send + Sync {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + Sync> Wire for T {}

/// One conversation.
struct Talk {
    wire: Box<dyn Wire>,
    read: Vec<u8>,
    fault: Option<Fault>,
    letters: mpsc::Sender<Letter>,
}

impl Talk {
    async fn begin(mut self, speaks: MailTls, acceptor: TlsAcceptor) -> io::Result<()> {
        if speaks == MailTls::FromTheStart {
            self = self.encrypted("", &acceptor).await?;
        }
        if self.fails(Step::Greet).await? {
            self.say("220 mail.internal.example\r\n").await?;
        }
        let offers = if speaks == MailTls::StartTls {
            "STARTTLS"
        } else {
            "AUTH PLAIN"
        };
        let mut hello = format!("250-mail.internal.example\r\n250 {offers}\r\n");
        while let Some(line) = self.line().await? {
            let verb = line.split_whitespace().next().unwrap_or_default().to_owned();
            match verb.as_str() {
                // A hello that is not greeted over TLS is not the one that fails.
                "EHLO" if offers == "STARTTLS" && hello.contains(offers) => self.say(&hello).await?,
                "EHLO" => self.answer(Step::Hello, &hello).await?,
                "STARTTLS" => {
                    self = self.encrypted("220 go\r\n", &acceptor).await?;
                    hello = hello.replace(offers, "AUTH PLAIN");
                }
                "AUTH" => self.answer(Step::Login, "235 in\r\n").await?,
                "MAIL" => self.answer(Step::Sender, "250 from\r\n").await?,
                "DATA" => self.letter().await?,
                "QUIT" => return self.say("221 bye\r\n").await,
                _ => self.say("250 well\r\n").await?,
            }
        }
        Ok(())
    }

    /// Says `first`, and goes on over TLS.
    async fn encrypted(mut self, first: &str, acceptor: &TlsAcceptor) -> io::Result<Talk> {
        let mut first = first.to_owned();
        // In one piece, so that whoever reads ahead has both.
        if let Some(Fault {
            at: Step::Encrypt,
            does: Does::Say(more),
        }) = self.fault
        {
            first.push_str(more);
            self.fault = None;
        }
        self.say(&first).await?;
        self.fails(Step::Encrypt).await?;
        Ok(Talk {
            wire: Box::new(acceptor.accept(self.wire).await?),
            ..self
        })
    }

    async fn letter(&mut self) -> io::Result<()> {
        self.say("354 go\r\n").await?;
        let mut id = String::new();
        while let Some(line) = self.line().await? {
            self.fails(Step::Letter).await?;
            if line == "." {
                let fails = self.fault.is_some_and(|fault| fault.at == Step::Take);
                let letter = Letter { id, taken: !fails };
                self.letters.try_send(letter).unwrap();
                return self.answer(Step::Take, "250 taken\r\n").await;
            }
            if let Some(own) = line.strip_prefix("Message-ID: ") {
                own.clone_into(&mut id);
            }
        }
        Ok(())
    }

    /// Answers, unless it is now that it fails.
    async fn answer(&mut self, step: Step, text: &str) -> io::Result<()> {
        if self.fails(step).await? {
            self.say(text).await?;
        }
        Ok(())
    }

    /// Fails if it is to fail at this step; whether it goes on as if nothing were to fail.
    async fn fails(&mut self, step: Step) -> io::Result<bool> {
        let Some(fault) = self.fault.take_if(|fault| fault.at == step) else {
            return Ok(true);
        };
        match fault.does {
            Does::Hang => std::future::pending().await,
            Does::Say(text) => self.say(text).await?,
            Does::Cut(text) => {
                self.say(text).await?;
                self.wire.shutdown().await?;
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            Does::Endless(text) => loop {
                self.say(text).await?;
            },
            Does::Drip(text) => {
                let mut tick = tokio::time::interval(Duration::from_millis(200));
                for byte in text.bytes() {
                    tick.tick().await;
                    self.wire.write_all(&[byte]).await?;
                    self.wire.flush().await?;
                }
            }
        }
        Ok(false)
    }

    async fn say(&mut self, text: &str) -> io::Result<()> {
        self.wire.write_all(text.as_bytes()).await?;
        self.wire.flush().await
    }

    /// The next line; `None`: there is none.
    async fn line(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(end) = self.read.windows(2).position(|pair| pair == b"\r\n") {
                let line: Vec<u8> = self.read.drain(..end + 2).take(end).collect();
                return Ok(Some(String::from_utf8_lossy(&line).into_owned()));
            }
            if self.wire.read_buf(&mut self.read).await? == 0 {
                return Ok(None);
            }
        }
    }
}
