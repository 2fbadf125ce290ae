//! The message a target is owed of an order: CONTRACT's webhook body of a command event, and the order as the API shows it.

#[cfg(test)]
mod tests;

use serde::Serialize;

use super::id::Id;
use super::interlock::{Cause, CommandEvent, Failure};
use super::notice::{AlarmBody, DeviceBody, VenueBody, ack_url};
use super::registry::Registry;

/// An order as the API and messages show it. The order of the members is the order in which they are written.
#[derive(Debug, Serialize)]
pub struct OrderBody<'a> {
    id: Id,
    command: &'a str,
    state: &'static str,
    venue: VenueBody<'a>,
    device: DeviceBody<'a>,
    attempt: u8,
    attempts: u8,
    requested_at: String,
    expires_at: String,
    took_ms: u64,
    /// Why it failed, once it has.
    reason: Option<&'static str>,
    causes: Vec<CauseBody<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum CauseBody<'a> {
    Alarm { alarm: Id, rule: &'a str },
    Operator { by: &'a str, note: Option<&'a str> },
    Exercise { exercise: bool },
}

/// A command event as the generic webhook sends it and the event chain keeps it. Fixed when the event is committed, as
/// that of an alarm is.
#[derive(Debug, Serialize)]
pub struct CommandEventBody<'a> {
    id: Id,
    r#type: &'static str,
    at: String,
    gateway: &'a str,
    level: u8,
    command: &'a OrderBody<'a>,
    /// The first alarm that wants it, as it was when it was raised: in the form that alarm events have it in.
    alarm: Option<AlarmBody<'a>>,
    by: Option<&'a str>,
    note: Option<&'a str>,
    ack_url: Option<String>,
}

impl<'a> OrderBody<'a> {
    /// Puts the order after `event` into words. `registry` gives names and addresses.
    pub fn new(event: &'a CommandEvent, registry: &'a Registry) -> OrderBody<'a> {
        let order = &event.order;
        OrderBody {
            id: order.id,
            command: &order.command,
            state: event.step.state(order.stage),
            venue: VenueBody::new(&order.device, registry),
            device: DeviceBody::new(&order.device, registry),
            attempt: order.attempt,
            attempts: order.attempts,
            requested_at: order.requested_at.to_rfc3339(),
            expires_at: order.expires_at.to_rfc3339(),
            took_ms: order.took.0,
            reason: event.step.failure().map(Failure::as_str),
            causes: order.causes.iter().map(CauseBody::new).collect(),
        }
    }
}

impl<'a> CauseBody<'a> {
    fn new(cause: &'a Cause) -> CauseBody<'a> {
        match cause {
            Cause::Alarm(alarm) => CauseBody::Alarm {
                alarm: alarm.id,
                rule: &alarm.rule.id,
            },
            Cause::Operator(operator) => CauseBody::Operator {
                by: &operator.by,
                note: operator.note.as_deref(),
            },
            Cause::Exercise => CauseBody::Exercise { exercise: true },
        }
    }
}

impl<'a> CommandEventBody<'a> {
    /// Puts `event` into words. `public_url` is where officers reach the API, without a trailing `/`.
    pub fn new(
        event: &'a CommandEvent,
        order: &'a OrderBody<'a>,
        registry: &'a Registry,
        (gateway, public_url): (&'a str, &str),
    ) -> CommandEventBody<'a> {
        let (alarm, operator) = (event.order.alarm(), event.operator());
        CommandEventBody {
            id: event.id,
            r#type: event.step.event_type(),
            at: event.at.to_rfc3339(),
            gateway,
            level: 1,
            command: order,
            alarm: alarm.map(|alarm| AlarmBody::new(alarm, registry)),
            by: operator.map(|operator| operator.by.as_str()),
            note: operator.and_then(|operator| operator.note.as_deref()),
            ack_url: alarm.map(|alarm| ack_url(public_url, alarm.id)),
        }
    }
}
