//! What becomes of orders on their way to the store, and what the gateway adds to an operator's command. Sends nothing to
//! a device.

use super::{Gateway, GatewayError};
use crate::domain::definitions::Definitions;
use crate::domain::directions::Owed;
use crate::domain::id::Id;
use crate::domain::interlock::{CommandEvent, CommandStep};
use crate::domain::journal::CommandInput;
use crate::domain::notice_command::{CommandEventBody, OrderBody};
use crate::domain::registry::Registry;
use crate::handoff::CommandCommit;
use crate::metrics::Metrics;

impl Gateway {
    /// Puts what happened to orders into the open batch.
    pub(super) fn collect_commands(&mut self) -> Result<(), GatewayError> {
        let around = &self.surroundings;
        let from = (around.id.as_str(), around.public_url.as_str());
        for event in self.effects.commands.drain(..) {
            let owed = self.escalations.follow_order(&event, around.way());
            self.open.command(commit(event, owed, &around.registry, from)?);
        }
        Ok(())
    }
}

/// The event in words, with whom it is owed to.
fn commit(
    event: CommandEvent,
    owed: Vec<Owed>,
    registry: &Registry,
    from: (&str, &str),
) -> serde_json::Result<CommandCommit> {
    let order_body = OrderBody::new(&event, registry);
    let order = serde_json::to_string(&order_body)?;
    let body = CommandEventBody::new(&event, &order_body, registry, from);
    let body = serde_json::to_string(&body)?;
    Ok(CommandCommit {
        event,
        order,
        body,
        owed,
    })
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::alarm::Operator;
    use crate::domain::device::DeviceKey;
    use crate::domain::interlock::{Cause, OrderView, Stage};
    use crate::domain::registry::RegisteredDevice;
    use crate::domain::time::{Millis, Timestamp};

    fn key(device: &str) -> DeviceKey {
        DeviceKey {
            venue: "v1".to_owned(),
            kind: "shutoff_valve".to_owned(),
            device: device.to_owned(),
        }
    }

    #[test]
    fn a_device_may_be_opened_only_where_its_registration_says_so() {
        let device = |name, remote_open| RegisteredDevice {
            key: key(name),
            remote_open,
            ..RegisteredDevice::default()
        };
        let registry = Registry::new(Vec::new(), vec![device("s1", true), device("s2", false)]);
        for (name, allowed) in [("s1", true), ("s2", false), ("nobody", false)] {
            // Whatever stood there before.
            for claimed in [false, true] {
                let mut input = CommandInput {
                    device: key(name),
                    command: "open".to_owned(),
                    remote_open: claimed,
                    operator: Operator {
                        by: "Wang".to_owned(),
                        note: None,
                    },
                };
                fill_in(&mut input, &registry);
                assert_eq!(input.remote_open, allowed, "{name}");
            }
        }
    }

    fn event(order: u128, step: CommandStep) -> CommandEvent {
        CommandEvent {
            id: Id::from_bits(order + 100),
            at: Timestamp(0),
            step,
            notify: false,
            order: OrderView {
                id: Id::from_bits(order),
                device: key("s1").into(),
                command: "close".into(),
                stage: Stage::Requested,
                attempt: 1,
                attempts: 3,
                requested_at: Timestamp(0),
                expires_at: Timestamp(0),
                took: Millis(0),
                causes: vec![Cause::Exercise],
            },
        }
    }

    #[test]
    fn an_event_is_put_into_words_with_its_order() {
        let owed = vec![Owed::direct("duty")];
        let verified = event(1, CommandStep::Verified);
        let from = ("karuo-01", "http://gw");
        let commit = commit(verified, owed.clone(), &Registry::default(), from).unwrap();
        assert_eq!(commit.owed, owed);
        let body: Value = serde_json::from_str(&commit.body).unwrap();
        let order: Value = serde_json::from_str(&commit.order).unwrap();
        assert_eq!((&body["command"], &body["gateway"]), (&order, &json!("karuo-01")));
        assert_eq!(order["state"], "verified");
    }

    #[test]
    fn the_order_given_is_named_and_not_the_one_that_made_way() {
        let superseding = [
            event(1, CommandStep::Superseded),
            event(2, CommandStep::Requested),
        ];
        assert_eq!(ordered(&superseding), Some(Id::from_bits(2)));
        assert_eq!(ordered(&[event(3, CommandStep::Joined)]), Some(Id::from_bits(3)));
        assert_eq!(ordered(&[event(1, CommandStep::Superseded)]), None);
    }
}
