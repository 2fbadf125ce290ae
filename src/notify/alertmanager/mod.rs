//! Alarms in Alertmanager's words: labels, annotations, since when and until when. What sends them stands in the files beside
//! this one; none of them decides who is told.

pub(super) mod api;
pub(super) mod receiver;
pub(super) mod resend;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::domain::alert::Labels;
use crate::domain::id::Id;
use crate::domain::officer::Language;
use crate::domain::time::{Millis, Timestamp};
use crate::link::{Link, Links};
use crate::store::ToldAlarm;
use crate::words::{Style, name};

/// The most characters of an address and of the values in one text.
const LONGEST: usize = 300;

/// How many intervals a heartbeat's alert outlives the last beat.
const MISSED_BEATS: u64 = 3;

/// An alert, in the members that Alertmanager's API has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Alert {
    pub(super) labels: Labels,
    pub(super) annotations: BTreeMap<&'static str, String>,
    /// RFC 3339; empty: not known.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) starts_at: String,
    /// Until when it fires, or when it ended.
    pub(super) ends_at: String,
    #[serde(rename = "generatorURL", skip_serializing_if = "String::is_empty")]
    pub(super) generator_url: String,
    /// Its alarm's life is over.
    #[serde(skip)]
    pub(super) resolved: bool,
}

/// Puts alarms and heartbeats into alerts.
#[derive(Debug, Clone)]
pub(super) struct Alerts {
    /// The language of `summary`.
    pub(super) language: Language,
    /// For how long Alertmanager believes that an alarm stands of which it hears nothing more.
    pub(super) hold: Millis,
    /// Makes addresses; without it there are none in the alerts.
    pub(super) links: Option<Links>,
}

/// What a notice's body says.
#[derive(Default, Deserialize)]
#[serde(default)]
struct EventFacts {
    r#type: String,
    at: String,
    gateway: String,
    alarm: Option<AlarmFacts>,
    interval_s: u64,
    mqtt_connected: bool,
}

/// What is told of an alarm.
#[derive(Default, Deserialize)]
#[serde(default)]
struct AlarmFacts {
    state: String,
    title: TextFacts,
    venue: PlaceFacts,
    device: Option<PlaceFacts>,
    values: Map<String, Value>,
    raised_at: String,
    acknowledged_by: Option<String>,
    mask: Option<MaskFacts>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct TextFacts {
    zh: String,
    en: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PlaceFacts {
    name: String,
    address: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct MaskFacts {
    kind: String,
}

/// The notice that an address to acknowledge by is for.
type Acknowledged = (Id, Option<Id>);

impl Alerts {
    /// The alert of an alarm as it stands now.
    pub(super) fn of_told(&self, told: &ToldAlarm, now: Timestamp) -> Alert {
        let alarm: AlarmFacts = serde_json::from_str(&told.body).unwrap_or_default();
        let ended = told.ended_at.map(Timestamp::to_rfc3339);
        self.alert((told.labels.clone(), ended), &alarm, (told.id, told.notice), now)
    }

    /// The alert that a notice's body tells of, at the moment of its event; `None`: it tells of no alarm.
    pub(super) fn of_event(&self, body: &str, (alarm, notice): (Id, Id), now: Timestamp) -> Option<Alert> {
        let event: EventFacts = serde_json::from_str(body).ok()?;
        if event.r#type == "watchdog" {
            return Some(Alerts::heartbeat(&event, now));
        }
        let labels = Labels::of_event(body)?;
        let facts = event.alarm?;
        let ended = (facts.state == "cleared").then_some(event.at);
        Some(self.alert((labels, ended), &facts, (alarm, Some(notice)), now))
    }

    fn alert(
        &self,
        (labels, ended): (Labels, Option<String>),
        alarm: &AlarmFacts,
        about: Acknowledged,
        now: Timestamp,
    ) -> Alert {
        let resolved = ended.is_some();
        let ends_at = ended.unwrap_or_else(|| after(now, self.hold).to_rfc3339());
        // Both are of one form, which sorts by time: an alert must not end before it began, whatever the clock did.
        let starts_at = alarm.raised_at.clone().min(ends_at.clone());
        let links = self.links.as_ref();
        Alert {
            labels,
            annotations: self.annotations(alarm, about, now),
            starts_at,
            ends_at,
            generator_url: links.map_or_else(String::new, |links| links.alarm(about.0)),
            resolved,
        }
    }

    fn annotations(
        &self,
        alarm: &AlarmFacts,
        about: Acknowledged,
        now: Timestamp,
    ) -> BTreeMap<&'static str, String> {
        let device = alarm.device.as_ref().map_or("", |device| device.name.as_str());
        let device = name(device, Style::Plain);
        let venue = name(&alarm.venue.name, Style::Plain);
        let zh = match device.as_str() {
            "" => format!("{venue} {}", alarm.title.zh),
            device => format!("{venue} {}（{device}）", alarm.title.zh),
        };
        let en = match device.as_str() {
            "" => format!("{}: {venue}", alarm.title.en),
            device => format!("{}: {venue}, {device}", alarm.title.en),
        };
        let values = alarm.values.iter().map(|(point, value)| match value.as_str() {
            Some(word) => format!("{point}={word}"),
            None => format!("{point}={value}"),
        });
        let values = values.collect::<Vec<_>>().join(", ");
        let by = alarm.acknowledged_by.as_deref().unwrap_or_default();
        let mask = alarm.mask.as_ref().map_or("", |mask| mask.kind.as_str());
        let said = [
            ("summary", self.language.of(&zh, &en).to_owned()),
            ("summary_en", en.clone()),
            ("summary_zh", zh.clone()),
            ("venue", venue),
            ("device", device),
            ("address", line(&alarm.venue.address)),
            ("values", line(&values)),
            ("state", alarm.state.clone()),
            ("acknowledged_by", name(by, Style::Plain)),
            ("mask", mask.to_owned()),
            ("acknowledge", self.link(alarm, about, now)),
        ];
        said.into_iter().filter(|(_, text)| !text.is_empty()).collect()
    }

    /// Where one acknowledges, while somebody has to and the address does something.
    fn link(&self, alarm: &AlarmFacts, (id, notice): Acknowledged, now: Timestamp) -> String {
        let waits = alarm.state.ends_with("_unacknowledged");
        let address = || {
            let raised_at: jiff::Timestamp = alarm.raised_at.parse().ok()?;
            let link = Link {
                alarm: id,
                notice: notice?,
                raised_at: Timestamp(raised_at.as_millisecond()),
            };
            let links = self.links.as_ref().filter(|_| waits && link.is_good(now))?;
            links.for_people(link, "")
        };
        address().unwrap_or_default()
    }

    fn heartbeat(event: &EventFacts, now: Timestamp) -> Alert {
        let heard = if event.mqtt_connected {
            "the broker is heard"
        } else {
            "the broker is away: no device is heard"
        };
        let outlives = Millis(event.interval_s.saturating_mul(1_000 * MISSED_BEATS));
        Alert {
            labels: Labels::heartbeat(&event.gateway),
            annotations: BTreeMap::from([
                (
                    "summary",
                    format!("{} works: this alert always fires; {heard}", event.gateway),
                ),
                ("mqtt_connected", event.mqtt_connected.to_string()),
            ]),
            starts_at: event.at.clone(),
            ends_at: after(now, outlives).to_rfc3339(),
            generator_url: String::new(),
            resolved: false,
        }
    }
}

/// `text` on one line, cut where it is far too long.
fn line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(LONGEST)
        .collect()
}

fn after(at: Timestamp, wait: Millis) -> Timestamp {
    Timestamp(at.0.saturating_add_unsigned(wait.0))
}
