//! The message a target is owed: CONTRACT's webhook body of an alarm event, and the alarm as the API shows it.

use serde::Serialize;
use serde_json::{Map, Value};

use super::alarm::{Ack, AlarmEvent, AlarmState, AlarmView};
use super::device::DeviceKey;
use super::id::Id;
use super::kind::GATEWAY_KIND;
use super::registry::Registry;
use super::rule::{Class, Priority};
use super::text::Text;

/// An alarm as the API and messages show it. The order of the members is the order in which they are written.
#[derive(Debug, Serialize)]
pub struct AlarmBody<'a> {
    id: Id,
    rule: &'a str,
    class: Class,
    priority: Priority,
    state: AlarmState,
    title: &'a Text,
    venue: VenueBody<'a>,
    device: DeviceBody<'a>,
    values: Map<String, Value>,
    raised_at: String,
    recovered_at: Option<String>,
    acknowledged_by: Option<&'a str>,
    acknowledged_at: Option<String>,
    first_out: bool,
    late: bool,
    late_by_ms: Option<u64>,
    /// How often it was raised, once it counts as chattering.
    raised_count: Option<u32>,
    /// Why nobody is told of it: `suppressed`.
    mask: Option<&'static str>,
    latched: bool,
}

#[derive(Debug, Serialize)]
struct VenueBody<'a> {
    id: &'a str,
    name: &'a str,
    kind: &'a str,
    address: &'a str,
}

#[derive(Debug, Serialize)]
struct DeviceBody<'a> {
    id: &'a str,
    kind: &'a str,
    name: &'a str,
}

/// An alarm event as the generic webhook sends it and the event chain keeps it. It is fixed when the event is
/// committed: every retry sends the same bytes under the same id.
#[derive(Debug, Serialize)]
pub struct EventBody<'a> {
    id: Id,
    r#type: &'static str,
    at: String,
    gateway: &'a str,
    level: u8,
    alarm: &'a AlarmBody<'a>,
    by: Option<&'a str>,
    note: Option<&'a str>,
    ack_url: String,
}

impl<'a> AlarmBody<'a> {
    /// Puts `alarm` into words. `registry` gives names and addresses; a venue or device that nobody registered is
    /// shown by its id.
    pub fn new(alarm: &'a AlarmView, registry: &'a Registry) -> AlarmBody<'a> {
        let key = alarm.device.as_ref();
        let (acknowledged_by, acknowledged_at) = match &alarm.ack {
            Ack::Unacknowledged => (None, None),
            Ack::Acknowledged { operator, at } => (Some(operator.by.as_str()), Some(at.to_rfc3339())),
        };
        AlarmBody {
            id: alarm.id,
            rule: &alarm.rule.id,
            class: alarm.rule.class,
            priority: alarm.rule.priority,
            state: alarm.state,
            title: &alarm.rule.title,
            venue: VenueBody::new(key, registry),
            device: DeviceBody {
                id: &key.device,
                kind: &key.kind,
                name: registry.device(key).map_or(&key.device, |device| &device.name),
            },
            values: alarm.values.iter().cloned().collect(),
            raised_at: alarm.raised_at.to_rfc3339(),
            recovered_at: alarm.recovered_at.map(super::time::Timestamp::to_rfc3339),
            acknowledged_by,
            acknowledged_at,
            first_out: alarm.first_out,
            late: alarm.late_by_ms.is_some(),
            late_by_ms: alarm.late_by_ms,
            raised_count: alarm.chatter,
            mask: alarm.suppressed.then_some("suppressed"),
            latched: alarm.rule.latch && alarm.state != AlarmState::Cleared,
        }
    }
}

impl<'a> VenueBody<'a> {
    /// The device's venue. The gateway has none: it stands in the place of its own, so that every message has one.
    fn new(key: &'a DeviceKey, registry: &'a Registry) -> VenueBody<'a> {
        if key.kind == GATEWAY_KIND {
            return VenueBody {
                id: &key.venue,
                name: &key.device,
                kind: GATEWAY_KIND,
                address: "",
            };
        }
        let venue = registry.venue(&key.venue);
        VenueBody {
            id: &key.venue,
            name: venue.map_or(&key.venue, |venue| &venue.name),
            kind: venue.map_or("other", |venue| &venue.kind),
            address: venue.map_or("", |venue| &venue.address),
        }
    }
}

impl<'a> EventBody<'a> {
    /// Puts `event` into words. `public_url` is where officers reach the API, without a trailing `/`.
    pub fn new(
        event: &'a AlarmEvent,
        alarm: &'a AlarmBody<'a>,
        gateway: &'a str,
        public_url: &str,
    ) -> EventBody<'a> {
        let operator = event.step.operator();
        EventBody {
            id: event.id,
            r#type: event.step.event_type(),
            at: event.at.to_rfc3339(),
            gateway,
            level: 1,
            alarm,
            by: operator.map(|operator| operator.by.as_str()),
            note: operator.and_then(|operator| operator.note.as_deref()),
            ack_url: format!("{public_url}/api/v1/alarms/{}/acknowledge", event.alarm.id),
        }
    }
}
