//! A configuration comes into force: the decoder, the surroundings and the definitions change between two inputs,
//! in one step. Reads no file, checks nothing.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::admission::Admission;
use super::command::prepare_counters;
use super::counters::{profile_counters, reading_counters};
use super::{Gateway, GatewayError, Surroundings};
use crate::domain::alarm::{AlarmStep, ClearReason};
use crate::domain::definitions::Definitions;
use crate::domain::engine::Presence;
use crate::domain::journal::{DefinitionsInput, Input, RegisteredInput};
use crate::domain::profile::decoder::Decoder;
use crate::domain::time::Moment;
use crate::handoff::{Answer, StoredDefinitions};

/// A checked configuration that is to take the place of the present one.
#[derive(Debug)]
pub struct Reconfiguration {
    /// Reads the messages from now on. It is new, so it binds every topic to its device anew.
    pub decoder: Decoder,
    /// What alarms are put into words and sent on their way by.
    pub surroundings: Surroundings,
    /// The device that somebody registered by it, if that is what it is.
    pub registered: Option<RegisteredInput>,
    /// Is told, once the change is durable, how many standing alarms ended because their rule is gone.
    pub done: oneshot::Sender<usize>,
}

impl Gateway {
    /// Puts `wanted` in force. What was received and not decoded yet is decoded by it.
    pub fn reconfigure(&mut self, wanted: Reconfiguration, now: Moment) -> Result<(), GatewayError> {
        // A kind that is gone has no devices: the next census does not speak of it any more.
        for kind in self.surroundings.definitions.kinds() {
            self.show_presence(&kind.kind.id, Presence::default());
        }
        self.adopt_definitions(&wanted.surroundings.definitions, now)?;
        let removed = |step: &AlarmStep| *step == AlarmStep::Cleared(ClearReason::RuleRemoved);
        let gone = self.effects.alarms.iter().filter(|event| removed(&event.step));
        let gone = gone.count();
        // Whoever was told of an alarm is told of its end: those of removed rules end under the routes of their time, and so
        // do the orders of kinds that are gone.
        let later = self.effects.alarms.split_off(self.effects.of_removed_rules());
        self.collect()?;
        self.readings = reading_counters(&wanted.surroundings.definitions, &self.metrics);
        prepare_counters(&wanted.surroundings.definitions, &self.metrics);
        self.surroundings = wanted.surroundings;
        self.admission = Admission::of(self.engine.keys(), &self.surroundings);
        self.profiles = profile_counters(&wanted.decoder, &self.metrics);
        self.decoder = wanted.decoder;
        self.effects.alarms = later;
        self.collect()?;
        self.admit_commanded(now)?;
        if let Some(registered) = &wanted.registered {
            self.step(now, &Input::Registered(registered))?;
        }
        self.collect()?;
        self.renew_chains(now)?;
        self.count_devices();
        self.open.answer(Answer::Reconfigured {
            to: wanted.done,
            ended: gone,
        });
        Ok(())
    }

    /// Steps the engine with `definitions` when others are in force.
    pub(super) fn adopt_definitions(
        &mut self,
        definitions: &Arc<Definitions>,
        now: Moment,
    ) -> Result<(), GatewayError> {
        let (source, hash) = definitions.source().stored()?;
        if self.engine.definitions_hash() == Some(hash) {
            return Ok(());
        }
        self.open.definitions(StoredDefinitions { hash, source });
        let input = Input::Definitions(DefinitionsInput { hash, definitions });
        self.step(now, &input)
    }
}
