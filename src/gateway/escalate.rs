//! The chains of the alarms that stand: gone on with after a start, renewed with the configuration, told on when it is time.
//! Decides neither who is told nor when.

use super::{Gateway, GatewayError, Surroundings};
use crate::domain::escalation::Way;
use crate::domain::id::Id;
use crate::domain::journal::Input;
use crate::domain::time::Moment;

/// The most tellings of chains taken in one go: what comes in meanwhile does not wait for ten thousand of them.
const TELLINGS: usize = 256;

impl Surroundings {
    /// Where alarms lead.
    pub(super) fn way(&self) -> Way<'_> {
        Way {
            directions: &self.directions,
            registry: &self.registry,
        }
    }
}

impl Gateway {
    /// Goes on with the chains that ran when the last run ended: `stored` is what the store keeps of them.
    pub fn resume(&mut self, stored: Vec<(Id, String)>, now: Moment) {
        for (alarm, state) in stored {
            if let Err(error) = self.escalations.restore(alarm, &state, now) {
                tracing::error!(%alarm, %error, "what is stored of an alarm's chains cannot be used: they begin anew");
            }
        }
    }

    /// Chains that alarms lack under the present directions begin.
    pub(super) fn renew_chains(&mut self, now: Moment) -> Result<(), GatewayError> {
        let standing = self.engine.standing(now).into_iter();
        self.escalations.renew(standing, self.surroundings.way(), now);
        self.open.escalated(self.escalations.changes()?);
        Ok(())
    }

    /// Tells on where a chain's time has come.
    pub(super) fn tell_on(&mut self, now: Moment) -> Result<(), GatewayError> {
        for _ in 0..TELLINGS {
            let Some(input) = self.escalations.take_due(now.ticks) else {
                break;
            };
            self.step(now, &Input::Escalate(&input))?;
        }
        Ok(())
    }
}
