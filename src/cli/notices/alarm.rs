//! The alarm of a dry run: from JSON as the API or a webhook has it, or from a few words in JSON or TOML. Knows what a rule
//! of the configuration says of itself.

use std::path::Path;

use anyhow::{Context, bail};
use serde_json::{Map, Value};
use toml::de::DeTable;

use crate::config::Settings;
use crate::domain::kind::GATEWAY_KIND;
use crate::domain::route::{EVENTS, Subject};
use crate::domain::rule::{Class, Priority, RuleDef};

/// The words of the short form.
const WORDS: [&str; 5] = ["rule", "venue", "class", "priority", "event"];

/// What a file says of an alarm.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Alarm {
    rule: String,
    notify: Option<String>,
    class: Class,
    priority: Priority,
    venue: String,
    event: String,
    of_gateway: bool,
}

impl Alarm {
    /// The alarm in the file `path`, whose name ends with `.toml` where it is TOML.
    pub(super) fn read(path: &Path, settings: &Settings) -> anyhow::Result<Alarm> {
        let text = std::fs::read_to_string(path);
        let text = text.with_context(|| format!("cannot read the alarm {}", path.display()))?;
        let is_toml = path.extension().is_some_and(|extension| extension == "toml");
        let members = if is_toml {
            from_toml(&text)
        } else {
            from_json(&text)
        };
        let alarm = members.and_then(|members| Alarm::of(&members, &settings.definitions.source().rules));
        alarm.with_context(|| format!("cannot use the alarm {}", path.display()))
    }

    fn of(members: &Map<String, Value>, rules: &[RuleDef]) -> anyhow::Result<Alarm> {
        let word = |key: &str| members.get(key).and_then(Value::as_str);
        let rule = word("rule").unwrap_or_default();
        let known = rules.iter().find(|known| known.id == rule);
        let class = match word("class") {
            Some(class) => one_of("class", class, &Class::ALL.map(|class| (class.as_str(), class)))?,
            None => match known {
                Some(known) => known.class,
                None if rule.is_empty() => bail!("it names neither a `rule` nor a `class`"),
                None => bail!("there is no rule `{rule}`: say its `class` and `priority`"),
            },
        };
        let priorities = Priority::ALL.map(|priority| (priority.as_str(), priority));
        let priority = match word("priority") {
            Some(priority) => one_of("priority", priority, &priorities)?,
            None => known.map_or(Priority::High, |known| known.priority),
        };
        let event = word("event").unwrap_or("raised");
        one_of("event", event, &EVENTS.map(|event| (event, ())))?;
        let venue = members.get("venue").map_or("", |venue| inner(venue, "id"));
        let kind = |key: &str| members.get(key).map(|of| inner_only(of, "kind")) == Some(GATEWAY_KIND);
        Ok(Alarm {
            rule: rule.to_owned(),
            notify: known.and_then(|known| known.notify.clone()),
            class,
            priority,
            venue: venue.to_owned(),
            event: event.to_owned(),
            of_gateway: kind("venue") || kind("device"),
        })
    }

    /// What of it decides who is told.
    pub(super) fn subject<'a>(&'a self, settings: &'a Settings) -> Subject<'a> {
        let venue = settings.registry.venue(&self.venue).filter(|_| !self.of_gateway);
        let unregistered = if self.of_gateway { GATEWAY_KIND } else { "other" };
        Subject {
            class: self.class,
            priority: self.priority,
            rule: &self.rule,
            notify: self.notify.as_deref(),
            venue: &self.venue,
            venue_kind: venue.map_or(unregistered, |venue| &venue.kind),
            district: venue.and_then(|venue| venue.district.as_deref()),
            event: &self.event,
        }
    }
}

/// `value` itself, or its member.
fn inner<'v>(value: &'v Value, member: &str) -> &'v str {
    value.as_str().unwrap_or_else(|| inner_only(value, member))
}

fn inner_only<'v>(value: &'v Value, member: &str) -> &'v str {
    value.get(member).and_then(Value::as_str).unwrap_or_default()
}

fn one_of<T: Copy>(what: &str, word: &str, words: &[(&str, T)]) -> anyhow::Result<T> {
    let found = words.iter().find(|(known, _)| *known == word);
    found.map(|(_, meaning)| *meaning).with_context(|| {
        let known: Vec<&str> = words.iter().map(|(known, _)| *known).collect();
        format!("unknown {what} `{word}`; known are {}", known.join(", "))
    })
}

fn from_json(text: &str) -> anyhow::Result<Map<String, Value>> {
    let mut value: Value =
        serde_json::from_str(text).context("it is not JSON; name it .toml if it is TOML")?;
    let Some(members) = value.as_object_mut() else {
        bail!("it is not an object");
    };
    // The body of a webhook has the alarm inside and the event beside it.
    let event = members.get("type").and_then(Value::as_str);
    let event = event
        .and_then(|event| event.split_once('.'))
        .map(|(_, event)| event.to_owned());
    let Some(Value::Object(alarm)) = members.get_mut("alarm") else {
        return Ok(std::mem::take(members));
    };
    let mut alarm = std::mem::take(alarm);
    if let Some(event) = event {
        alarm.insert("event".to_owned(), Value::String(event));
    }
    Ok(alarm)
}

fn from_toml(text: &str) -> anyhow::Result<Map<String, Value>> {
    let table = DeTable::parse(text).map_err(|error| anyhow::anyhow!("it is not TOML: {error}"))?;
    let mut members = Map::new();
    for (key, value) in table.get_ref() {
        let key = key.get_ref().as_ref();
        if !WORDS.contains(&key) {
            bail!("unknown key `{key}`; known are {}", WORDS.join(", "));
        }
        let Some(text) = value.get_ref().as_str() else {
            bail!("`{key}` is not a text");
        };
        members.insert(key.to_owned(), Value::String(text.to_owned()));
    }
    Ok(members)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(text: &str) -> anyhow::Result<Alarm> {
        let members = if text.starts_with('{') {
            from_json(text)
        } else {
            from_toml(text)
        };
        members.and_then(|members| Alarm::of(&members, &[]))
    }

    #[test]
    fn a_body_an_alarm_and_a_few_words_say_the_same() {
        let alarm = json!({"id": "01J", "rule": "gas-high", "class": "alarm", "priority": "critical",
            "venue": {"id": "v1", "name": "…", "kind": "restaurant"}, "device": {"id": "g1", "kind": "gas_detector"}});
        let body = json!({"type": "alarm.cleared", "alarm": alarm});
        let words = "rule = 'gas-high'\nclass = 'alarm'\npriority = 'critical'\nvenue = 'v1'\n";
        let read = of(words).unwrap();
        assert_eq!((read.venue.as_str(), read.event.as_str()), ("v1", "raised"));
        assert_eq!(of(&alarm.to_string()).unwrap(), read);
        let cleared = Alarm {
            event: "cleared".to_owned(),
            ..read
        };
        assert_eq!(of(&body.to_string()).unwrap(), cleared);
        assert_eq!(of(&format!("{words}event = 'cleared'")).unwrap(), cleared);
        let own = json!({"class": "fault", "venue": {"id": "", "kind": "gateway"}});
        assert!(of(&own.to_string()).unwrap().of_gateway);
    }

    #[test]
    fn what_cannot_be_used_is_said_with_what_can() {
        for (text, wanted) in [
            ("{", "not JSON"),
            ("[", "not TOML"),
            ("clas = 'alarm'", "unknown key `clas`; known are rule, venue"),
            ("venue = 'v1'", "neither a `rule` nor a `class`"),
            ("rule = 'x'", "there is no rule `x`: say its `class`"),
            (
                "class = 'panic'",
                "unknown class `panic`; known are alarm, warning",
            ),
            ("class = 'alarm'\nevent = 'rised'", "unknown event `rised`"),
        ] {
            let error = format!("{:#}", of(text).unwrap_err());
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }
}
