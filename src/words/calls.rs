//! Which notices are a reason to call the people they are for: not what is over, acknowledged, set aside or
//! handled. Reads the stored bodies and writes nothing.

use std::collections::HashMap;

use serde::Deserialize;

/// What decides it. Members that are missing are empty.
#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    id: String,
    #[serde(default)]
    r#type: String,
    #[serde(default)]
    at: String,
    alarm: Option<Subject>,
    command: Option<Subject>,
}

#[derive(Deserialize)]
struct Subject {
    #[serde(default)]
    id: String,
    #[serde(default)]
    state: String,
}

/// For each of `bodies`, whether somebody is to be called for it. Of several about one alarm or order, whichever was told
/// last decides for all; a body that cannot be read is a reason.
pub fn calls(bodies: &[&str]) -> Vec<bool> {
    let read: Vec<Option<Body>> = bodies
        .iter()
        .map(|body| serde_json::from_str(body).ok())
        .collect();
    let mut last: HashMap<&str, &Body> = HashMap::new();
    for body in read.iter().flatten().filter(|body| !body.matter().is_empty()) {
        last.entry(body.matter())
            .and_modify(|known| {
                if known.order() <= body.order() {
                    *known = body;
                }
            })
            .or_insert(body);
    }
    let calls = read.iter().map(|body| {
        let Some(body) = body else { return true };
        last.get(body.matter())
            .map_or_else(|| body.calls(), |last| last.calls())
    });
    calls.collect()
}

impl Body {
    fn ordered(&self) -> bool {
        self.r#type.starts_with("command.")
    }

    /// The id of what it is about; its own where that has none.
    fn matter(&self) -> &str {
        let subject = if self.ordered() {
            &self.command
        } else {
            &self.alarm
        };
        let id = subject.as_ref().map(|subject| subject.id.as_str());
        id.filter(|id| !id.is_empty()).unwrap_or(&self.id)
    }

    fn order(&self) -> (&str, &str) {
        (&self.at, &self.id)
    }

    fn calls(&self) -> bool {
        if self.ordered() {
            return self.r#type == "command.failed";
        }
        match self.r#type.as_str() {
            // Nobody has taken care of it, whatever its readings say by now.
            "alarm.escalated" => true,
            "alarm.acknowledged"
            | "alarm.shelved"
            | "alarm.out_of_service"
            | "alarm.suppressed"
            | "alarm.verified"
            | "alarm.closed"
            | "watchdog" => false,
            _ => {
                let state = self.alarm.as_ref().map_or("", |alarm| alarm.state.as_str());
                !matches!(
                    state,
                    "active_acknowledged" | "recovered_unacknowledged" | "recovered_acknowledged" | "cleared"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(number: u32, event: &str, alarm: &str, state: &str) -> String {
        let at = format!("2026-01-01T00:00:{number:02}.000Z");
        serde_json::json!({"id": format!("E{number}"), "type": event, "at": at, "alarm": {"id": alarm, "state": state}}).to_string()
    }

    #[test]
    fn what_begins_worsens_or_fails_calls_and_what_is_over_does_not() {
        for (event, state, expected) in [
            ("alarm.raised", "active_unacknowledged", true),
            ("alarm.escalated", "active_unacknowledged", true),
            ("alarm.escalated", "recovered_unacknowledged", true),
            ("alarm.chattering", "active_unacknowledged", true),
            ("alarm.unshelved", "active_unacknowledged", true),
            ("alarm.acknowledged", "active_acknowledged", false),
            ("alarm.shelved", "active_unacknowledged", false),
            ("alarm.recovered", "recovered_unacknowledged", false),
            ("alarm.cleared", "cleared", false),
            ("alarm.verified", "active_unacknowledged", false),
            ("command.failed", "active_unacknowledged", true),
            ("command.verified", "active_unacknowledged", false),
            ("watchdog", "", false),
        ] {
            assert_eq!(
                calls(&[&body(1, event, "A", state)]),
                [expected],
                "{event} {state}"
            );
        }
        assert_eq!(calls(&["no JSON", "{}"]), [true, true]);
    }

    #[test]
    fn of_one_alarm_the_last_decides_in_whatever_order_they_stand() {
        let raised = body(1, "alarm.raised", "A", "active_unacknowledged");
        let recovered = body(2, "alarm.recovered", "A", "recovered_unacknowledged");
        let other = body(1, "alarm.raised", "B", "active_unacknowledged");
        assert_eq!(calls(&[&recovered, &other, &raised]), [false, true, false]);
    }
}
