//! What becomes of orders on their way to the store, and what the gateway adds to an operator's command. Sends nothing to
//! a device.

use super::{Gateway, GatewayError};
use crate::domain::definitions::Definitions;
use crate::domain::id::Id;
use crate::domain::interlock::{CommandEvent, CommandStep};
use crate::domain::journal::CommandInput;
use crate::domain::notice_command::{CommandEventBody, OrderBody};
use crate::domain::registry::Registry;
use crate::domain::route;
use crate::handoff::CommandCommit;
use crate::metrics::Metrics;

impl Gateway {
    /// Puts what happened to orders into the open batch.
    pub(super) fn collect_commands(&mut self) -> Result<(), GatewayError> {
        let around = &self.surroundings;
        for event in self.effects.commands.drain(..) {
            let targets = if event.notify {
                route::order_targets(&around.routes, &event.order)
            } else {
                Vec::new()
            };
            let targets = targets.into_iter().map(str::to_owned).collect();
            let order_body = OrderBody::new(&event, &around.registry);
            let order = serde_json::to_string(&order_body)?;
            let from = (around.id.as_str(), around.public_url.as_str());
            let body = CommandEventBody::new(&event, &order_body, &around.registry, from);
            let body = serde_json::to_string(&body)?;
            self.open.command(CommandCommit {
                event,
                order,
                body,
                targets,
            });
        }
        Ok(())
    }
}

/// Says of an operator's command what the device's registration says now: it is an input like any other, and the journal
/// must not have to ask the registry of that day.
pub(super) fn fill_in(input: &mut CommandInput, registry: &Registry) {
    let device = registry.device(&input.device);
    input.remote_open = device.is_some_and(|device| device.remote_open);
}

/// The order that an operator's command made or joined. It may have ended another one before.
pub(super) fn ordered(events: &[CommandEvent]) -> Option<Id> {
    let given = |step: &CommandStep| matches!(step, CommandStep::Requested | CommandStep::Joined);
    let event = events.iter().find(|event| given(&event.step))?;
    Some(event.order.id)
}

/// Has the counters of every command there from the first: an alert must see them go up.
pub(super) fn prepare_counters(definitions: &Definitions, metrics: &Metrics) {
    let kinds = definitions.source().kinds.iter();
    for command in kinds.flat_map(|kind| &kind.commands) {
        for result in ["verified", "failed", "superseded"] {
            metrics.commands(&command.id, result);
        }
    }
}
