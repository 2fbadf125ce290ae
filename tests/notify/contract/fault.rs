//! Servers that do on their first connection what servers and networks do when they are unwell. Afterwards they work.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::TAKEN;

/// What happens to the first request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is not even read.
    Unread,
    /// It is read, and nothing comes.
    Mute,
    /// The answer comes byte by byte, and has not begun when the deadline is over.
    SlowHead,
    /// Status and headers come at once, the rest byte by byte.
    SlowBody,
    /// The connection ends within the status line.
    CutHead,
    /// The connection ends within the body.
    CutBody,
    /// Headers without end.
    EndlessHead,
    /// A body without end.
    EndlessBody,
    /// Something else than HTTP.
    NotHttp,
}

const LATE: &str = "no answer within 3s";
const SILENT: &str = "no answer within 1.5s";
const BROKEN: &str = "the connection broke before the answer";
const NO_CODE: &str = "the target's answer has no code: whether it took the message is not known";

/// Each with the error of a webhook, whose status decides, and of a robot, whose body does.
pub(super) const FAULTS: [(Fault, Option<&str>, Option<&str>); 9] = [
    (Fault::Unread, Some(SILENT), Some(SILENT)),
    (Fault::Mute, Some(SILENT), Some(SILENT)),
    (Fault::SlowHead, Some(LATE), Some(LATE)),
    (Fault::SlowBody, None, Some(LATE)),
    (Fault::CutHead, Some(BROKEN), Some(BROKEN)),
    (Fault::CutBody, None, Some(BROKEN)),
    (Fault::EndlessHead, Some(BROKEN), Some(BROKEN)),
    (Fault::EndlessBody, None, Some(NO_CODE)),
    (Fault::NotHttp, Some(BROKEN), Some(BROKEN)),
];

impl Fault {
    /// Whether it takes too long, and is never silent for long.
    pub(super) const fn is_late(self) -> bool {
        matches!(self, Fault::SlowHead | Fault::SlowBody)
    }

    /// Whether not one byte comes.
    pub(super) const fn is_silent(self) -> bool {
        matches!(self, Fault::Unread | Fault::Mute)
    }
}

pub(super) struct Faulty {
    pub(super) address: SocketAddr,
    _server: JoinSet<()>,
}

impl Faulty {
    pub(super) async fn start(fault: Fault) -> Faulty {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut server = JoinSet::new();
        server.spawn(async move {
            let mut connections = JoinSet::new();
            let (first, _) = listener.accept().await.unwrap();
            connections.spawn(fail(first, fault));
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.spawn(work(stream));
            }
        });
        Faulty {
            address,
            _server: server,
        }
    }
}

/// Reads a request, and says whether there was one.
async fn request(stream: &mut TcpStream) -> bool {
    let mut read = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&read);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                line.to_ascii_lowercase()
                    .strip_prefix("content-length: ")?
                    .parse()
                    .ok()
            });
            if body.len() >= length.unwrap_or(0) {
                return true;
            }
        }
        if !stream.read_buf(&mut read).await.is_ok_and(|count| count > 0) {
            return false;
        }
    }
}

async fn work(mut stream: TcpStream) {
    while request(&mut stream).await {
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{TAKEN}",
            TAKEN.len()
        );
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn fail(mut stream: TcpStream, fault: Fault) {
    if fault == Fault::Unread {
        return std::future::pending().await;
    }
    assert!(request(&mut stream).await, "a request");
    // The other side leaves when it has had enough: what it leaves unread is no failure here.
    let _left = match fault {
        Fault::Unread | Fault::Mute => std::future::pending().await,
        Fault::SlowHead => {
            drip(
                &mut stream,
                &"HTTP/1.1 200 OK\r\nserver: a slow one\r\n".repeat(10),
            )
            .await
        }
        Fault::SlowBody => {
            let head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n";
            match stream.write_all(head).await {
                Ok(()) => drip(&mut stream, &TAKEN.repeat(10)).await,
                Err(error) => Err(error),
            }
        }
        Fault::CutHead => stream.write_all(b"HTTP/1.1 20").await,
        Fault::CutBody => {
            let head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{\"errcode\":0,";
            stream.write_all(head).await
        }
        Fault::EndlessHead => endless(&mut stream, "HTTP/1.1 200 OK\r\n", "x-more: and more\r\n").await,
        Fault::EndlessBody => {
            let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
            endless(&mut stream, head, "16\r\n{\"errcode\":0,\"code\":0}\r\n").await
        }
        Fault::NotHttp => stream.write_all(b"SSH-2.0-OpenSSH_9.6\r\n").await,
    };
}

/// A byte now and then: never silent for long, and never done in time.
async fn drip(stream: &mut TcpStream, text: &str) -> std::io::Result<()> {
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    for byte in text.bytes() {
        tick.tick().await;
        stream.write_all(&[byte]).await?;
    }
    Ok(())
}

async fn endless(stream: &mut TcpStream, head: &str, more: &str) -> std::io::Result<()> {
    stream.write_all(head.as_bytes()).await?;
    loop {
        stream.write_all(more.as_bytes()).await?;
    }
}
