//! The connection to a mail server, read no further than the line that is wanted: what is said in the clear where TLS begins
//! is then part of TLS, which it breaks, and never an answer. An answer has an end, or the connection has.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use lettre::transport::smtp::client::AsyncTokioStream;
use tokio::io::{AsyncBufRead as _, AsyncRead, AsyncWrite, BufReader, ReadBuf};
use tokio::net::TcpStream;

/// The most bytes of an answer in the clear. RFC 5321 §4.5.3.1.5 gives a line 512, and the longest answer has a dozen lines.
const ANSWER: usize = 16 * 1024;

/// The most bytes of an answer over TLS, its certificates among them.
const ENCRYPTED: usize = 256 * 1024;

/// The first byte of a TLS handshake (RFC 8446 §5.1). No command begins like that.
const HANDSHAKE: u8 = 22;

/// A connection that is in the clear, at first at least.
#[derive(Debug)]
pub(super) struct Wire {
    stream: BufReader<TcpStream>,
    /// How many bytes came since something was said last.
    heard: usize,
    /// How many may.
    most: usize,
}

impl Wire {
    pub(super) fn new(stream: TcpStream) -> Wire {
        Wire {
            stream: BufReader::new(stream),
            heard: 0,
            most: ANSWER,
        }
    }
}

impl AsyncTokioStream for Wire {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream.get_ref().peer_addr()
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let wire = self.get_mut();
        if wire.heard >= wire.most {
            return Poll::Ready(Err(io::Error::other("an answer without end")));
        }
        let came = ready!(Pin::new(&mut wire.stream).poll_fill_buf(context))?;
        let line = came.split_inclusive(|byte| *byte == b'\n').next();
        let line = line.unwrap_or_default();
        let part = line.get(..into.remaining()).unwrap_or(line);
        into.put_slice(part);
        let count = part.len();
        Pin::new(&mut wire.stream).consume(count);
        wire.heard += count;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wire = self.get_mut();
        wire.heard = 0;
        if bytes.first() == Some(&HANDSHAKE) {
            wire.most = ENCRYPTED;
        }
        Pin::new(&mut wire.stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
