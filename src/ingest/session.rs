//! The seam between ingest and the MQTT client library: what a session with a broker does, and how it ends.

use std::future::Future;
use std::io;

use crate::handoff::{Envelope, Receipt};

use super::connect::ConnectError;

/// One connection's session with a broker. The library behind it shows in no signature.
pub(super) trait Session {
    /// Waits for news; sends what is queued meanwhile. With [`Intake::Paused`] it only sends, and returns only to
    /// report an error. Cancel-safe: nothing read or queued is lost.
    fn next(&mut self, intake: Intake) -> impl Future<Output = Result<News, SessionError>> + Send;

    /// Queues the acknowledgements of `receipts`, in this order. Those of other connections are void and ignored.
    fn acknowledge(&mut self, receipts: &[Receipt]) -> Result<(), SessionError>;

    /// From now on these filters are wanted: asks for those that are new, and tells the broker of those that are gone.
    fn want(&mut self, filters: &[String]) -> Result<(), SessionError>;

    /// To be called each half of the keep-alive time: pings, and finds out whether the broker is dead.
    fn tick(&mut self, intake: Intake) -> Result<(), SessionError>;

    /// Sends what is queued, says goodbye and waits until the broker has closed.
    fn close(self) -> impl Future<Output = Result<(), SessionError>> + Send;
}

/// Whether the session may read from the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Intake {
    /// It reads.
    Open,
    /// It does not: those behind us have no room.
    Paused,
}

/// What came from the broker.
#[derive(Debug)]
pub(super) enum News {
    /// Messages, in the order they came. Never empty.
    Messages(Vec<Envelope>),
    /// The broker answered our subscription.
    Subscribed {
        /// The filters that it does not serve at QoS 1. They are asked for again each keep-alive time.
        refused: Vec<String>,
    },
}

/// How a session failed to come up, or ended. Another connection is the answer to all of them.
#[derive(Debug, thiserror::Error)]
pub(super) enum SessionError {
    /// There is no stream.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// It took too long to connect.
    #[error("the broker did not complete the connection within {seconds} s")]
    Deadline {
        /// The deadline in seconds.
        seconds: u64,
    },
    /// The broker does not let us in.
    #[error("the broker refuses us: {0}")]
    Refused(&'static str),
    /// The broker closed the connection.
    #[error(
        "the broker closed the connection; if this repeats, another client may use the same mqtt.client_id"
    )]
    Closed,
    /// Reading or writing failed.
    #[error("the connection to the broker broke: {0}")]
    Io(#[from] io::Error),
    /// The broker is silent, or does not read.
    #[error("{0}")]
    Dead(String),
    /// The broker broke the protocol.
    #[error("{0}")]
    Protocol(String),
}
