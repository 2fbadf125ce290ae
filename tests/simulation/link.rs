//! The connection for commands, as `actuate` keeps it: at most one command a device, each until the broker has it or it has
//! expired. Inside the gateway: dies with it.

use std::collections::VecDeque;

use ninewatch::domain::id::Id;
use ninewatch::domain::time::{Moment, Ticks};
use ninewatch::handoff::{CommandMessage, CommandSent};
use tokio::sync::mpsc;

/// Commands that may wait for the connection: few, so that some find no room.
const COMMANDS: usize = 2;

struct Entry {
    message: CommandMessage,
    expires: Ticks,
    /// On the present connection.
    published: bool,
}

/// The gateway's way to the valves.
pub(crate) struct Link {
    commands: mpsc::Receiver<CommandMessage>,
    entries: Vec<Entry>,
    untold: VecDeque<CommandSent>,
    up: bool,
}

impl Link {
    pub(crate) fn new() -> (mpsc::Sender<CommandMessage>, Link) {
        let (sender, commands) = mpsc::channel(COMMANDS);
        let link = Link {
            commands,
            entries: Vec::new(),
            untold: VecDeque::new(),
            up: false,
        };
        (sender, link)
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.commands.is_empty() && self.entries.is_empty() && self.untold.is_empty()
    }

    pub(crate) const fn connect(&mut self) {
        self.up = true;
    }

    /// What was not acknowledged goes out anew on the next connection, except what opens.
    pub(crate) fn disconnect(&mut self) {
        self.up = false;
        self.entries.retain(|entry| entry.message.opening.is_none());
        for entry in &mut self.entries {
            entry.published = false;
        }
    }

    /// Takes what the gateway has handed over; whose orders they are.
    pub(crate) fn take(&mut self, now: Moment) -> Vec<Id> {
        let mut taken = Vec::new();
        while let Ok(message) = self.commands.try_recv() {
            taken.push(message.id);
            let left = u64::try_from(message.expires_at.since(now.wall)).unwrap_or(0);
            if left == 0 {
                continue;
            }
            if message.opening.is_some() && !self.up {
                continue;
            }
            self.entries
                .retain(|entry| entry.message.device != message.device);
            self.entries.push(Entry {
                message,
                expires: Ticks(now.ticks.0 + left),
                published: false,
            });
        }
        taken
    }

    /// For [`super::Bug::NotRenewed`]: loses what the gateway has handed over.
    pub(crate) fn lose(&mut self) {
        while self.commands.try_recv().is_ok() {}
    }

    /// The next command goes to the broker, which passes it on.
    pub(crate) fn publish(&mut self, now: Ticks) -> Option<CommandMessage> {
        let withdrawn = |entry: &Entry| !entry.published && entry.message.is_withdrawn();
        self.entries
            .retain(|entry| entry.expires > now && !withdrawn(entry));
        let up = self.up;
        let entry = self.entries.iter_mut().find(|entry| up && !entry.published)?;
        entry.published = true;
        Some(entry.message.clone())
    }

    /// The broker acknowledges the oldest that it has.
    pub(crate) fn acknowledge(&mut self) {
        if let Some(place) = self.entries.iter().position(|entry| entry.published) {
            let Entry { message, .. } = self.entries.remove(place);
            self.untold.push_back(CommandSent {
                device: message.device,
                id: message.id,
            });
        }
    }

    /// What the gateway is to be told.
    pub(crate) fn told(&mut self) -> Option<CommandSent> {
        self.untold.pop_front()
    }
}
