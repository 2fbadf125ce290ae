//! The seam between ingest and the MQTT client library: what a session with a broker does, and how it ends.

use std::future::Future;

use crate::handoff::{Envelope, Receipt};
use crate::mqtt::session::SessionError;

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
