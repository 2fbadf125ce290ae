//! Tells the log of a connection's outages: each trouble once, not at every attempt.

use tracing::{debug, warn};

use super::session::SessionError;

/// What the log has been told of one connection.
#[derive(Debug)]
pub(crate) struct Outages {
    connection: &'static str,
    told: Option<String>,
}

impl Outages {
    /// None yet. `connection` names it for people.
    pub(crate) const fn of(connection: &'static str) -> Outages {
        Outages {
            connection,
            told: None,
        }
    }

    /// There is no session, because of this.
    pub(crate) fn note(&mut self, failure: &SessionError) {
        let text = failure.to_string();
        if self.told.as_ref() == Some(&text) {
            debug!(connection = self.connection, %failure, "still no MQTT session");
            return;
        }
        warn!(connection = self.connection, %failure, "no MQTT session; trying again until there is one");
        self.told = Some(text);
    }

    /// The session is up: the next trouble is told, also when it is the same.
    pub(crate) fn over(&mut self) {
        self.told = None;
    }
}
