//! The message a target is owed: CONTRACT's webhook body of an alarm event, and the alarm as the API shows it.

use serde::Serialize;
use serde_json::{Map, Value};

use super::alarm::{Ack, AlarmEvent, AlarmState, AlarmView, ClearReason, Handling, Mask, Quality, Verdict};
use super::device::DeviceKey;
use super::id::Id;
use super::kind::{GATEWAY_KIND, VENUE};
use super::registry::Registry;
use super::rule::{Class, Priority};
use super::service::DeviceEvent;
use super::text::Text;
use super::time::Timestamp;

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
    /// `null` for an alarm of a whole venue.
    device: Option<DeviceBody<'a>>,
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
    /// Why nobody is told of it.
    mask: Option<MaskBody<'a>>,
    /// How good the evidence was at its last step.
    quality: Quality,
    /// For class `alarm`: what it was, and whether the matter is closed.
    handling: Option<HandlingBody<'a>>,
    latched: bool,
    /// Once its life has ended: `recovered`, `reset`, `rule_removed` or `device_retired`.
    cleared_reason: Option<&'static str>,
    /// Who reset it.
    cleared_by: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct MaskBody<'a> {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct HandlingBody<'a> {
    state: &'static str,
    verdict: Option<Verdict>,
    by: Option<&'a str>,
    at: Option<String>,
    note: Option<&'a str>,
}

/// A venue as messages show it.
#[derive(Debug, Serialize)]
pub(super) struct VenueBody<'a> {
    id: &'a str,
    name: &'a str,
    kind: &'a str,
    address: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    district: Option<&'a str>,
}

/// A device as messages show it.
#[derive(Debug, Serialize)]
pub(super) struct DeviceBody<'a> {
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
    /// Which level of its chain is told.
    level: u8,
    /// Of an escalation: how often that level was told before.
    #[serde(skip_serializing_if = "Option::is_none")]
    repeat: Option<u32>,
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
            device: (key.kind != VENUE).then(|| DeviceBody::new(key, registry)),
            values: alarm.values.iter().cloned().collect(),
            raised_at: alarm.raised_at.to_rfc3339(),
            recovered_at: alarm.recovered_at.map(super::time::Timestamp::to_rfc3339),
            acknowledged_by,
            acknowledged_at,
            first_out: alarm.first_out,
            late: alarm.late_by_ms.is_some(),
            late_by_ms: alarm.late_by_ms,
            raised_count: alarm.chatter,
            mask: MaskBody::new(&alarm.mask),
            quality: alarm.quality,
            handling: alarm.handling.as_ref().map(HandlingBody::new),
            latched: alarm.rule.latch && alarm.state != AlarmState::Cleared,
            cleared_reason: alarm.ended.as_ref().map(ClearReason::as_str),
            cleared_by: alarm.ended.as_ref().and_then(ClearReason::by),
        }
    }
}

impl<'a> MaskBody<'a> {
    fn new(mask: &'a Mask) -> Option<MaskBody<'a>> {
        let kind = mask.kind()?;
        let (pause, rule) = match mask {
            Mask::None | Mask::Limited { .. } => (None, None),
            Mask::Suppressed { by } => (None, Some(by.as_str())),
            Mask::Shelved(pause) | Mask::OutOfService(pause) => (Some(pause), None),
        };
        Some(MaskBody {
            kind,
            until: pause.map(|pause| pause.until.to_rfc3339()),
            by: pause.map(|pause| pause.operator.by.as_str()),
            note: pause.and_then(|pause| pause.operator.note.as_deref()),
            rule,
        })
    }
}

impl<'a> HandlingBody<'a> {
    fn new(handling: &'a Handling) -> HandlingBody<'a> {
        let judgement = handling.judgement();
        HandlingBody {
            state: handling.as_str(),
            verdict: judgement.map(|judgement| judgement.verdict),
            by: judgement.map(|judgement| judgement.operator.by.as_str()),
            at: judgement.map(|judgement| judgement.at.to_rfc3339()),
            note: judgement.and_then(|judgement| judgement.operator.note.as_deref()),
        }
    }
}

/// What happened to a device beside its alarms, as the event chain keeps it.
#[derive(Debug, Serialize)]
pub struct DeviceEventBody<'a> {
    id: Id,
    r#type: &'static str,
    at: String,
    gateway: &'a str,
    venue: &'a str,
    device: DeviceBody<'a>,
    by: Option<&'a str>,
    note: Option<&'a str>,
    until: Option<String>,
    /// Who the device was before.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a DeviceKey>,
}

impl<'a> DeviceEventBody<'a> {
    /// Puts `event` into words.
    pub fn new(event: &'a DeviceEvent, registry: &'a Registry, gateway: &'a str) -> DeviceEventBody<'a> {
        let operator = event.step.operator();
        DeviceEventBody {
            id: event.id,
            r#type: event.step.event_type(),
            at: event.at.to_rfc3339(),
            gateway,
            venue: &event.device.venue,
            device: DeviceBody::new(&event.device, registry),
            by: operator.map(|operator| operator.by.as_str()),
            note: operator.and_then(|operator| operator.note.as_deref()),
            until: event.step.until().map(Timestamp::to_rfc3339),
            from: event.step.from(),
        }
    }
}

impl<'a> DeviceBody<'a> {
    /// The device under its registered name.
    pub(super) fn new(key: &'a DeviceKey, registry: &'a Registry) -> DeviceBody<'a> {
        DeviceBody {
            id: &key.device,
            kind: &key.kind,
            name: registry.device(key).map_or(&key.device, |device| &device.name),
        }
    }
}

impl<'a> VenueBody<'a> {
    /// The device's venue. The gateway has none: it stands in the place of its own, so that every message has one.
    pub(super) fn new(key: &'a DeviceKey, registry: &'a Registry) -> VenueBody<'a> {
        if key.kind == GATEWAY_KIND {
            return VenueBody {
                id: &key.venue,
                name: &key.device,
                kind: GATEWAY_KIND,
                address: "",
                district: None,
            };
        }
        let venue = registry.venue(&key.venue);
        VenueBody {
            id: &key.venue,
            name: venue.map_or(&key.venue, |venue| &venue.name),
            kind: venue.map_or("other", |venue| &venue.kind),
            address: venue.map_or("", |venue| &venue.address),
            district: venue.and_then(|venue| venue.district.as_deref()),
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
            level: event.step.telling().map_or(1, |telling| telling.level),
            repeat: event.step.telling().map(|telling| telling.repeat),
            alarm,
            by: operator.map(|operator| operator.by.as_str()),
            note: operator.and_then(|operator| operator.note.as_deref()),
            ack_url: ack_url(public_url, event.alarm.id),
        }
    }
}

/// Where `alarm` is acknowledged. `public_url` is where officers reach the API, without a trailing `/`.
pub(super) fn ack_url(public_url: &str, alarm: Id) -> String {
    format!("{public_url}/api/v1/alarms/{alarm}/acknowledge")
}
