//! Orders on their way out, and what comes back of them: each attempt is put into the words of its device's profile and
//! handed to the connection for commands at once, before anything is written to the disk (DESIGN §7, promise 2). One that
//! opens waits for its record instead.

use std::collections::VecDeque;
use std::str::FromStr;

use prometheus::IntCounter;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::rebirth::REQUEST;
use super::{Gateway, GatewayError};
use crate::domain::device::{DeviceIndex, DeviceKey};
use crate::domain::id::Id;
use crate::domain::interlock::{Attempt, Report};
use crate::domain::journal::{Addressed, Commanded, Input};
use crate::domain::kind;
use crate::domain::profile::command::{Address, NoWire, OrderFacts, Outgoing};
use crate::domain::profile::devices::SlotId;
use crate::domain::time::Moment;
use crate::handoff::opening::Opening;
use crate::handoff::{CommandMessage, CommandSent};

/// The way of the orders to the devices, and those that wait for room on it.
#[derive(Debug, Default)]
pub(super) struct Outbound {
    /// `None` where nothing is sent: a gateway that only plays.
    commands: Option<mpsc::Sender<CommandMessage>>,
    /// At most one for each device.
    unsent: VecDeque<CommandMessage>,
    /// Whether something was handed over since this was last looked at.
    pub(super) handed_over: bool,
    /// Attempts that bring the danger back, each with how many inputs have to be committed first; in that order, and at most
    /// one for each device.
    held: VecDeque<(u64, CommandMessage)>,
    /// Those of them, and of what was handed over, that have not left yet as far as is known here.
    openings: Vec<(DeviceIndex, Id, Opening)>,
    /// Attempts for which the profile has no words.
    unwritable: Vec<(DeviceIndex, Id)>,
}

impl Outbound {
    pub(super) const fn sender(&self) -> Option<&mpsc::Sender<CommandMessage>> {
        self.commands.as_ref()
    }

    /// Queues `message`, in the place of an earlier one for its device; one that opens until `inputs` are committed.
    fn push(&mut self, inputs: u64, message: CommandMessage) {
        let device = message.device;
        self.unsent.retain(|waiting| waiting.device != device);
        self.held.retain(|(_, waiting)| waiting.device != device);
        self.withdraw(|earlier, _| earlier == device);
        match &message.opening {
            Some(opening) => {
                self.openings.push((device, message.id, opening.clone()));
                self.held.push_back((inputs, message));
            }
            None => self.unsent.push_back(message),
        }
    }

    /// Has those openings not leave any more that are `unwanted`, wherever they lie.
    fn withdraw(&mut self, unwanted: impl Fn(DeviceIndex, Id) -> bool) {
        self.openings.retain(|(device, id, opening)| {
            let withdrawn = unwanted(*device, *id);
            if withdrawn {
                opening.withdraw();
            }
            !withdrawn && opening.is_on_its_way()
        });
    }

    /// Hands over what there is room for. What finds none goes with the next.
    fn flush(&mut self, overflowed: &IntCounter) {
        let Some(commands) = &self.commands else {
            self.unsent.clear();
            return;
        };
        while let Some(message) = self.unsent.pop_front() {
            if message.is_withdrawn() {
                continue;
            }
            match commands.try_send(message) {
                Ok(()) => self.handed_over = true,
                Err(TrySendError::Full(message)) => {
                    overflowed.inc();
                    self.unsent.push_front(message);
                    return;
                }
                Err(TrySendError::Closed(message)) => {
                    tracing::warn!(id = %message.id, "the way to the devices is closed: a command is sent at the next start");
                    self.unsent.clear();
                    return;
                }
            }
        }
    }
}

impl Gateway {
    /// Opens the way to the devices.
    pub fn connect(&mut self, commands: mpsc::Sender<CommandMessage>) {
        self.outbound.commands = Some(commands);
    }

    /// Takes in the registered devices that obey commands: one that never says a word has to be told to close all the same,
    /// and people have to hear that it did not.
    pub(super) fn admit_commanded(&mut self, now: Moment) -> Result<(), GatewayError> {
        let around = &self.surroundings;
        let obeys = |kind: &str| {
            let kinds = &around.definitions.source().kinds;
            kinds
                .iter()
                .any(|known| known.id == kind && !known.commands.is_empty())
        };
        let registered = around.registry.devices().filter(|device| !device.retired);
        let mut keys: Vec<DeviceKey> = registered
            .map(|device| &device.key)
            .filter(|key| obeys(&key.kind) && self.engine.find(key).is_none())
            .cloned()
            .collect();
        keys.sort_unstable();
        for key in keys {
            if let Err(refused) = self.admission.check(&key, &self.surroundings) {
                tracing::warn!(venue = key.venue, device = key.device, %refused, "a registered device has no room");
                continue;
            }
            self.admit(&key, now)?;
        }
        Ok(())
    }

    /// Hands the attempts that the engine wants made to the connection for commands. Those that open wait: what nobody would
    /// know of after a crash must not have happened.
    pub(super) fn dispatch(&mut self) {
        self.withdraw_openings();
        if self.effects.attempts.is_empty() && self.outbound.unsent.is_empty() {
            return;
        }
        for attempt in std::mem::take(&mut self.effects.attempts) {
            match self.write(&attempt) {
                Ok(outgoing) => {
                    let message = CommandMessage {
                        device: attempt.device,
                        id: attempt.id,
                        topic: outgoing.topic,
                        payload: outgoing.payload.into(),
                        expires_at: attempt.expires_at,
                        opening: attempt.opens.then(Opening::default),
                    };
                    self.outbound.push(self.engine.next_input(), message);
                }
                Err(no_wire) => {
                    tracing::warn!(
                        id = %attempt.id,
                        venue = attempt.key.venue,
                        device = attempt.key.device,
                        command = &*attempt.command,
                        %no_wire,
                        "a command cannot be sent"
                    );
                    self.outbound.unwritable.push((attempt.device, attempt.id));
                }
            }
        }
        self.outbound.flush(&self.metrics.commands_overflowed);
    }

    /// The first `inputs` inputs are durable: the openings among them leave, those that have not been withdrawn.
    pub fn note_committed(&mut self, inputs: u64) {
        self.withdraw_openings();
        let due = |(needed, _): &mut (u64, CommandMessage)| *needed <= inputs;
        while let Some((_, message)) = self.outbound.held.pop_front_if(due) {
            self.outbound.unsent.push_back(message);
        }
        self.outbound.flush(&self.metrics.commands_overflowed);
    }

    /// What is over, or would open into a danger that has begun, does not leave.
    fn withdraw_openings(&mut self) {
        let engine = &self.engine;
        self.outbound
            .withdraw(|device, order| !engine.may_leave(device, order));
    }

    /// The attempt in the words of the profile through which the device was heard last; of one never heard, of the
    /// profile that its registration names, else in the native form.
    fn write(&self, attempt: &Attempt) -> Result<Outgoing, NoWire> {
        let registered = || {
            let device = self.surroundings.registry.device(&attempt.key)?;
            device.profile.as_deref().map(Address::of)
        };
        let heard = self.engine.address(attempt.device);
        let address = heard.cloned().or_else(registered).unwrap_or_else(Address::native);
        let facts = OrderFacts {
            id: &attempt.id.to_string(),
            key: &attempt.key,
            command: &attempt.command,
            expires_at: attempt.expires_at,
            attempt: attempt.attempt,
        };
        self.surroundings.book.write(&address, &facts)
    }

    /// Tells the engine of the attempts that could not be written.
    pub(super) fn give_up_unwritable(&mut self, now: Moment) -> Result<(), GatewayError> {
        while let Some((device, order)) = self.outbound.unwritable.pop() {
            let commanded = Commanded {
                device,
                order: Some(order),
                report: Report::Unwritable,
            };
            self.step(now, &Input::Commanded(commanded))?;
        }
        Ok(())
    }

    /// Whether orders can reach the broker is what the gateway knows of itself.
    pub fn note_command_link(&mut self, up: bool, now: Moment) -> Result<(), GatewayError> {
        let value = f64::from(u8::from(up));
        let point = kind::COMMAND_LINK;
        self.step(now, &Input::Own { point, value })?;
        self.collect()
    }

    /// The broker has a command.
    pub fn note_sent(&mut self, sent: CommandSent, now: Moment) -> Result<(), GatewayError> {
        // Of a codec's request nothing more is to be known.
        if sent.id == REQUEST {
            return Ok(());
        }
        let commanded = Commanded {
            device: sent.device,
            order: Some(sent.id),
            report: Report::Sent,
        };
        self.step(now, &Input::Commanded(commanded))?;
        self.collect()
    }

    /// Takes a device's answer to a command through the engine. One that the broker kept is about some order of the past.
    pub(super) fn take_ack(&mut self, at: usize, retained: bool, now: Moment) -> Result<(), GatewayError> {
        let Some(ack) = self.decoder.ack(at).filter(|_| !retained) else {
            return Ok(());
        };
        let order = match ack.id.map(Id::from_str) {
            None => None,
            Some(Ok(id)) => Some(id),
            Some(Err(_)) => {
                tracing::debug!(id = ack.id, "a device acknowledges what is no command of ours");
                return Ok(());
            }
        };
        let report = if ack.ok {
            Report::Acknowledged
        } else {
            Report::Declined
        };
        let slot = ack.device;
        if let Ok(device) = self.device(slot, now)? {
            let commanded = Commanded {
                device,
                order,
                report,
            };
            self.step(now, &Input::Commanded(commanded))?;
        }
        Ok(())
    }

    /// Keeps how the device in `slot` is spoken to: after a restart an order may be due before it speaks again.
    pub(super) fn keep_address(
        &mut self,
        slot: SlotId,
        device: DeviceIndex,
        now: Moment,
    ) -> Result<(), GatewayError> {
        let Some(address) = self.decoder.address(slot) else {
            return Ok(());
        };
        let known = self.engine.address(device);
        let is_default = known.is_none() && *address == Address::native();
        if is_default || known == Some(address) {
            return Ok(());
        }
        let address = address.clone();
        let addressed = Addressed {
            device,
            address: &address,
        };
        self.step(now, &Input::Addressed(addressed))
    }

    /// Keeps through which device another speaks, as the part `at` of the message just decoded says.
    pub(super) fn keep_parent(
        &mut self,
        at: usize,
        device: DeviceIndex,
        now: Moment,
    ) -> Result<(), GatewayError> {
        let Some(parent) = self.decoder.part(at).and_then(|part| part.parent) else {
            return Ok(());
        };
        let parent = self.decoder.key(parent);
        if self.engine.named_parent(device) == Some(parent) {
            return Ok(());
        }
        let parent = &parent.clone();
        self.step(now, &Input::PartOf { device, parent })
    }
}
