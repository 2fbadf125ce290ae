//! An alarm as Alertmanager knows it: by its labels. Whoever is told of an alarm knows it by the same labels until its life
//! has ended, whatever its rule and its venue come to say meanwhile. Pure.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::kind::VENUE;

/// The name of the alert that fires as long as the gateway works.
const HEARTBEAT: &str = "Watchdog";

/// FNV-1a, 64 bits: offset and prime.
const FNV: (u64, u64) = (0xcbf2_9ce4_8422_2325, 0x0000_0100_0000_01b3);

/// Stands between names and values in a fingerprint: no text has this byte.
const SEPARATOR: u8 = 0xff;

/// The labels of an alert; none is empty. Two alerts with the same labels are one.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Labels(BTreeMap<String, String>);

/// What an event's body says of whom it is about.
#[derive(Deserialize)]
struct Event {
    r#type: String,
    #[serde(default)]
    gateway: String,
    #[serde(default)]
    alarm: Subject,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Subject {
    rule: String,
    class: String,
    priority: String,
    venue: Place,
    device: Option<Thing>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Place {
    id: String,
    district: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Thing {
    id: String,
    kind: String,
}

impl Labels {
    /// Those of the alarm whose event this body tells; `None`: it is about something else. Of a rule and its subject one
    /// alarm stands at a time, so no label has to tell two alarms apart.
    pub fn of_event(body: &str) -> Option<Labels> {
        let event: Event = serde_json::from_str(body).ok()?;
        if !event.r#type.starts_with("alarm.") {
            return None;
        }
        let alarm = event.alarm;
        let device = alarm.device.unwrap_or_else(|| Thing {
            id: String::new(),
            kind: VENUE.to_owned(),
        });
        Some(Labels::of([
            ("alertname", alarm.rule),
            ("class", alarm.class),
            ("device", device.id),
            ("district", alarm.venue.district.unwrap_or_default()),
            ("gateway", event.gateway),
            ("kind", device.kind),
            ("priority", alarm.priority),
            ("venue", alarm.venue.id),
        ]))
    }

    /// Those of the alert that fires as long as `gateway` works.
    pub fn heartbeat(gateway: &str) -> Labels {
        Labels::of([
            ("alertname", HEARTBEAT.to_owned()),
            ("gateway", gateway.to_owned()),
        ])
    }

    fn of<const N: usize>(labels: [(&str, String); N]) -> Labels {
        let filled = labels.into_iter().filter(|(_, value)| !value.is_empty());
        Labels(filled.map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// As they are stored: a JSON object, the same for the same labels.
    pub fn to_json(&self) -> String {
        // A map of texts cannot fail.
        serde_json::to_string(&self.0).unwrap_or_default()
    }

    /// Back from [`Labels::to_json`].
    pub fn from_json(stored: &str) -> Option<Labels> {
        serde_json::from_str(stored).ok()
    }

    /// What Alertmanager knows them by: 16 hexadecimal digits.
    pub fn fingerprint(&self) -> String {
        let bytes = self.0.iter().flat_map(|(name, value)| {
            let name = name.bytes().chain([SEPARATOR]);
            name.chain(value.bytes()).chain([SEPARATOR])
        });
        let (offset, prime) = FNV;
        let hash = bytes.fold(offset, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(prime));
        format!("{hash:016x}")
    }
}

/// As Prometheus writes them: `{alertname="gas-high", venue="v1"}`.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (place, (name, value)) in self.0.iter().enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            write!(f, "{comma}{name}={value:?}")?;
        }
        f.write_str("}")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(device: &serde_json::Value) -> String {
        json!({
            "type": "alarm.raised", "gateway": "karuo-01", "alarm": {
                "rule": "gas-high", "class": "alarm", "priority": "critical",
                "venue": {"id": "v1", "name": "老灶", "district": "卡若"}, "device": device,
            }
        })
        .to_string()
    }

    #[test]
    fn an_alarm_is_known_by_its_rule_and_its_subject() {
        let of_device = Labels::of_event(&event(&json!({"id": "g1", "kind": "gas_detector"}))).unwrap();
        assert_eq!(
            of_device.to_string(),
            r#"{alertname="gas-high", class="alarm", device="g1", district="卡若", gateway="karuo-01", kind="gas_detector", priority="critical", venue="v1"}"#
        );
        let of_venue = Labels::of_event(&event(&json!(null))).unwrap();
        assert_eq!(
            of_venue.to_string(),
            r#"{alertname="gas-high", class="alarm", district="卡若", gateway="karuo-01", kind="venue", priority="critical", venue="v1"}"#
        );
        assert_eq!(Labels::from_json(&of_venue.to_json()), Some(of_venue));
        assert_eq!(
            Labels::of_event(r#"{"type":"command.failed","alarm":{"rule":"gas-high"}}"#),
            None
        );
        assert_eq!(Labels::of_event("no JSON"), None);
    }

    /// The empty set's is FNV's offset, as in Prometheus; the others were computed by its own code.
    #[test]
    fn fingerprints_are_those_of_prometheus() {
        assert_eq!(Labels::default().fingerprint(), "cbf29ce484222325");
    }
}
