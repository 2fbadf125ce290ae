//! What a target is to its worker: it takes a parcel in one attempt, says how it wants to be treated, and why it did not
//! take one. Decides nothing about retries.

use std::future::Future;
use std::time::Duration;

use super::parcel::{Fault, Manners, Parcel};
use crate::domain::time::Timestamp;

/// Something that takes messages: one attempt, no retries, no memory.
pub(super) trait Target: Send + Sync + 'static {
    /// How it wants to be treated.
    fn manners(&self) -> Manners;

    /// Sends `parcel` at `at`. `Ok` only when the target has it.
    fn send(&self, parcel: &Parcel, at: Timestamp) -> impl Future<Output = Result<Taken, SendError>> + Send;
}

/// What a target said when it took a message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Taken;

/// How an attempt to send failed. The text is stored and shown: it names no address and no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum SendError {
    /// The target answered, and not with 2xx.
    #[error("the target answered HTTP {0}")]
    Status(u16),
    /// No answer in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// No connection: refused, unreachable, name not found, or TLS failed.
    #[error("cannot connect to the target")]
    Connect,
    /// The connection ended before the answer, or the answer was not HTTP.
    #[error("the connection broke before the answer")]
    Broken,
}

impl SendError {
    pub(super) const fn fault(&self) -> Fault {
        match self {
            // Wrong or missing rights, a wrong path and a full receiver concern every notice alike.
            SendError::Status(401 | 403 | 404 | 408 | 429 | 500..)
            | SendError::Timeout(_)
            | SendError::Connect
            | SendError::Broken => Fault::Target,
            SendError::Status(_) => Fault::Notice,
        }
    }
}
