//! Why messages are not taken, as the metric tells an operator: a closed set, counted for each target. Decides nothing
//! about retries: an address that is wrong is tried like one that is away, but only a person mends it.

use prometheus::IntCounter;

use super::parcel::Fault;
use super::target::SendError;
use crate::metrics::Metrics;

/// What an operator can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// Wait for the target: no connection, no answer, or it is unwell.
    Away,
    /// Send less: it was too much.
    Throttled,
    /// Look at the message: the target did not want this one.
    Refused,
    /// Correct an officer's address: the target knows no way to its readers.
    Reader,
    /// Correct address, key or rights.
    Configuration,
    /// Set this machine's clock.
    Clock,
    /// Look at the disk: what is to be told cannot be read.
    Store,
}

impl Reason {
    const ALL: [Reason; 7] = [
        Reason::Away,
        Reason::Throttled,
        Reason::Refused,
        Reason::Reader,
        Reason::Configuration,
        Reason::Clock,
        Reason::Store,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Reason::Away => "away",
            Reason::Throttled => "throttled",
            Reason::Refused => "refused",
            Reason::Reader => "reader",
            Reason::Configuration => "configuration",
            Reason::Clock => "clock",
            Reason::Store => "store",
        }
    }

    fn of(error: &SendError) -> Reason {
        match error {
            SendError::Status(300..=399 | 401 | 403 | 404 | 405 | 407 | 410 | 415) => Reason::Configuration,
            SendError::Status(429) => Reason::Throttled,
            SendError::Clock => Reason::Clock,
            SendError::Store => Reason::Store,
            SendError::Partly { cause, .. } => Reason::of(cause),
            SendError::Status(_)
            | SendError::Timeout(_)
            | SendError::Connect
            | SendError::Forbidden
            | SendError::Broken
            | SendError::NoCode
            | SendError::Busy
            | SendError::Throttled(_)
            | SendError::Refused(_)
            | SendError::Misconfigured(_)
            | SendError::Mail(_) => match error.fault() {
                Fault::Target => Reason::Away,
                Fault::Notice => Reason::Refused,
                Fault::Reader => Reason::Reader,
                Fault::Throttled(_) => Reason::Throttled,
                Fault::Configuration => Reason::Configuration,
            },
        }
    }
}

/// The counters of one target's failed attempts. All are there from the first: an alert must see them go up.
pub(super) struct Failures(Vec<(Reason, IntCounter)>);

impl Failures {
    pub(super) fn of(target: &str, metrics: &Metrics) -> Failures {
        let counter = |reason: Reason| metrics.delivery_failures(target, reason.as_str());
        Failures(
            Reason::ALL
                .into_iter()
                .map(|reason| (reason, counter(reason)))
                .collect(),
        )
    }

    pub(super) fn count(&self, error: &SendError) {
        let reason = Reason::of(error);
        if let Some((_, counter)) = self.0.iter().find(|(known, _)| *known == reason) {
            counter.inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::mail::MailError;

    #[test]
    fn what_only_a_person_mends_is_told_apart_from_what_passes() {
        for status in [301, 401, 403, 404, 410] {
            assert_eq!(
                Reason::of(&SendError::Status(status)),
                Reason::Configuration,
                "{status}"
            );
        }
        for status in [408, 500, 503] {
            assert_eq!(Reason::of(&SendError::Status(status)), Reason::Away, "{status}");
        }
        assert_eq!(Reason::of(&SendError::Status(429)), Reason::Throttled);
        assert_eq!(Reason::of(&SendError::Status(400)), Reason::Refused);
        assert_eq!(Reason::of(&MailError::Gateway(535).into()), Reason::Configuration);
        assert_eq!(Reason::of(&MailError::Recipient(550).into()), Reason::Reader);
        let partly = SendError::Partly {
            told: super::super::parcel::Told::default(),
            apart: Vec::new(),
            cause: Box::new(SendError::Clock),
        };
        assert_eq!(Reason::of(&partly), Reason::Clock);
    }
}
