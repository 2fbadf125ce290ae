//! Bytes on their way to the socket.

use std::io;

use bytes::BytesMut;
use tokio::io::{AsyncWriteExt, WriteHalf};

use super::connect::Stream;
use super::keep_alive::KeepAlive;

/// Bytes that wait for the socket.
#[derive(Debug, Default)]
pub(crate) struct Unsent {
    /// Packets are written here.
    pub(crate) bytes: BytesMut,
    unflushed: bool,
}

impl Unsent {
    /// Whether there is something to send.
    pub(crate) fn waiting(&self) -> bool {
        self.unflushed || !self.bytes.is_empty()
    }

    /// Sends what waits. Cancel-safe: what the stream took is not kept, and nothing else is dropped.
    pub(crate) async fn send(
        &mut self,
        writer: &mut WriteHalf<Box<dyn Stream>>,
        keep_alive: &mut KeepAlive,
    ) -> io::Result<()> {
        while !self.bytes.is_empty() {
            self.unflushed = true;
            if writer.write_buf(&mut self.bytes).await? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            keep_alive.wrote();
        }
        writer.flush().await?;
        self.unflushed = false;
        Ok(())
    }
}
