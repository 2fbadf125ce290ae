//! What a target is to its worker: it takes a parcel in one attempt, says how it wants to be treated, and why it did not
//! take one. Decides nothing about retries.

use std::future::Future;
use std::time::Duration;

use super::mail::MailError;
use super::parcel::{Fault, Manners, Parcel, Told};
use crate::domain::time::{Millis, Timestamp};

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
    /// The target's name, or that of its proxy, leads only where it may not.
    #[error(
        "the target's name leads to closed networks only: correct its url, or allow the network in its settings (`allow`)"
    )]
    Forbidden,
    /// The connection ended before the answer, or the answer was not HTTP.
    #[error("the connection broke before the answer")]
    Broken,
    /// A robot's answer without the code that says whether it took the message.
    #[error("the target's answer has no code: whether it took the message is not known")]
    NoCode,
    /// It is to be told how an alarm stands, and that cannot be read.
    #[error("how the alarm stands cannot be read from the store")]
    Store,
    /// Too much was sent; for so long nothing more is.
    #[error("the target wants nothing for {} s: too much was sent", .0.0 / 1_000)]
    Throttled(Millis),
    /// The target does not want this message.
    #[error("the target refused the message with code {0}")]
    Refused(i64),
    /// The service is unwell, and says so with a code of its own.
    #[error("the target is busy, and asks to try again")]
    Busy,
    /// Key, signature, keyword or address list are wrong: nothing is taken until a person mends it.
    #[error(
        "the target refused this gateway with code {0}: look at the url, the secret and the robot's security settings"
    )]
    Misconfigured(i64),
    /// The signature was refused because this machine's clock is off.
    #[error("the target refused the signature: this machine's clock is wrong")]
    Clock,
    /// A mail server's reasons.
    #[error(transparent)]
    Mail(#[from] MailError),
    /// These have it; the others do not.
    #[error("{told} have the message; for the others: {cause}")]
    Partly {
        /// Who has it.
        told: Told,
        /// Who is refused, and by which fault.
        apart: Vec<Apart>,
        /// What keeps it from the others.
        cause: Box<SendError>,
    },
}

/// Those whom a target refuses, while it may take the message for others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Apart {
    pub(super) people: Told,
    pub(super) cause: SendError,
}

impl SendError {
    /// Whose outcome is their own.
    pub(super) fn apart(&self) -> &[Apart] {
        if let SendError::Partly { apart, .. } = self {
            apart
        } else {
            &[]
        }
    }

    /// Who has the message in spite of it.
    pub(super) fn told(&self) -> &Told {
        if let SendError::Partly { told, .. } = self {
            told
        } else {
            Told::NOBODY
        }
    }

    pub(super) fn fault(&self) -> Fault {
        match self {
            // Wrong or missing rights, a wrong path and a full receiver concern every notice alike.
            SendError::Status(300..=399 | 401 | 403 | 404 | 405 | 407 | 408 | 410 | 415 | 429 | 500..)
            | SendError::Timeout(_)
            | SendError::Connect
            | SendError::Broken
            | SendError::NoCode
            | SendError::Busy
            | SendError::Store => Fault::Target,
            SendError::Throttled(wait) => Fault::Throttled(*wait),
            SendError::Misconfigured(_) | SendError::Clock | SendError::Forbidden => Fault::Configuration,
            SendError::Status(_) | SendError::Refused(_) => Fault::Notice,
            SendError::Mail(error) => error.fault(),
            SendError::Partly { cause, .. } => cause.fault(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_none_is_no_notices_fault() {
        for status in [301, 308, 404, 405, 410, 415] {
            assert_eq!(SendError::Status(status).fault(), Fault::Target, "{status}");
        }
        assert_eq!(SendError::Status(400).fault(), Fault::Notice);
    }
}
