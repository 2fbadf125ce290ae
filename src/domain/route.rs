//! Which events a route is about: pure matching, no sending. Hours are asked by `directions`, which has the almanac.

use super::alarm::{AlarmStep, AlarmView};
use super::device::DeviceKey;
use super::interlock::{CommandEvent, OrderView};
use super::kind::GATEWAY_KIND;
use super::registry::Registry;
use super::rule::{Class, Priority};

/// The events that a route's `events` may name: what follows `alarm.` or `command.` in an event's type.
pub const EVENTS: [&str; 22] = [
    "raised",
    "chattering",
    "escalated",
    "acknowledged",
    "recovered",
    "cleared",
    "suppressed",
    "limited",
    "shelved",
    "unshelved",
    "out_of_service",
    "in_service",
    "verified",
    "closed",
    "unclosed",
    "failed",
    "requested",
    "joined",
    "sent",
    "repeated",
    "declined",
    "superseded",
];

/// A route as configured: events like these go to these targets and along this chain. An empty list is no condition.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Route {
    /// Its name, for a rule's `notify`.
    pub name: String,
    /// The classes it takes.
    pub classes: Vec<Class>,
    /// The priorities it takes.
    pub priorities: Vec<Priority>,
    /// The ids of the venues it is about.
    pub venues: Vec<String>,
    /// The kinds of venue it is about.
    pub venue_kinds: Vec<String>,
    /// The districts it is about.
    pub districts: Vec<String>,
    /// The rules it is about: their ids, in which `*` stands for any text.
    pub rules: Vec<String>,
    /// Only while this schedule is in force.
    pub schedule: Option<String>,
    /// The events that `targets` are told of; the chain begins in any case.
    pub events: Vec<String>,
    /// The names of the targets that are told of each event.
    pub targets: Vec<String>,
    /// The name of the chain along which it escalates.
    pub chain: Option<String>,
    /// A schedule: what is not critical waits for its end.
    pub quiet_hours: Option<String>,
}

/// What is to be told, as far as it decides who is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subject<'a> {
    /// The class of the alarm.
    pub class: Class,
    /// Its priority.
    pub priority: Priority,
    /// The id of its rule; empty where no alarm is behind it.
    pub rule: &'a str,
    /// The route that the rule names.
    pub notify: Option<&'a str>,
    /// The id of its venue; for the gateway's own alarms, empty or the gateway's.
    pub venue: &'a str,
    /// The kind of its venue: `other` where nobody registered it, `gateway` for the gateway's own alarms.
    pub venue_kind: &'a str,
    /// The district of its venue, if somebody has said so.
    pub district: Option<&'a str>,
    /// What happened: what follows `alarm.` or `command.` in the event's type, for example `raised`.
    pub event: &'a str,
}

/// Why a route is not about a subject: the first condition that does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mismatch {
    /// The rule's `notify` names another route.
    Notify,
    /// `classes` does not have the class.
    Class,
    /// `priorities` does not have the priority.
    Priority,
    /// `rules` does not have the rule.
    Rule,
    /// `venues` does not have the venue.
    Venue,
    /// `venue_kinds` does not have the kind of venue.
    VenueKind,
    /// `districts` does not have the district.
    District,
    /// `schedule` is not in force.
    Schedule,
}

impl<'a> Subject<'a> {
    /// Something that happened to `alarm`. `registry` knows its venue.
    pub fn of_alarm(alarm: &'a AlarmView, step: &AlarmStep, registry: &'a Registry) -> Subject<'a> {
        Subject {
            class: alarm.rule.class,
            priority: alarm.rule.priority,
            rule: &alarm.rule.id,
            notify: alarm.rule.notify.as_deref(),
            event: last_word(step.event_type()),
            ..Subject::of_device(&alarm.device, registry)
        }
    }

    /// Something that happened to an order: as of the first alarm that wants it. Where no alarm does, a person or a proof
    /// test does, and that it failed concerns whoever is told of alarms.
    pub fn of_command(event: &'a CommandEvent, registry: &'a Registry) -> Subject<'a> {
        Subject {
            event: last_word(event.step.event_type()),
            ..Subject::of_order(&event.order, registry)
        }
    }

    fn of_order(order: &'a OrderView, registry: &'a Registry) -> Subject<'a> {
        let device = Subject::of_device(&order.device, registry);
        let Some(alarm) = order.alarm() else { return device };
        Subject {
            class: alarm.rule.class,
            priority: alarm.rule.priority,
            rule: &alarm.rule.id,
            notify: alarm.rule.notify.as_deref(),
            ..device
        }
    }

    fn of_device(key: &'a DeviceKey, registry: &'a Registry) -> Subject<'a> {
        let venue = registry.venue(&key.venue).filter(|_| key.kind != GATEWAY_KIND);
        let unregistered = if key.kind == GATEWAY_KIND {
            GATEWAY_KIND
        } else {
            "other"
        };
        Subject {
            class: Class::Alarm,
            priority: Priority::High,
            rule: "",
            notify: None,
            venue: &key.venue,
            venue_kind: venue.map_or(unregistered, |venue| &venue.kind),
            district: venue.and_then(|venue| venue.district.as_deref()),
            event: "",
        }
    }
}

impl Route {
    /// Why it is not about `subject`, its schedule apart; `None`: it is.
    pub fn mismatch(&self, subject: &Subject<'_>) -> Option<Mismatch> {
        let has = |list: &[String], word: &str| list.is_empty() || list.iter().any(|known| known == word);
        let any_rule = || self.rules.is_empty() || self.rules.iter().any(|rule| fits(rule, subject.rule));
        let holds = [
            (
                Mismatch::Notify,
                subject.notify.is_none_or(|name| name == self.name),
            ),
            (
                Mismatch::Class,
                self.classes.is_empty() || self.classes.contains(&subject.class),
            ),
            (
                Mismatch::Priority,
                self.priorities.is_empty() || self.priorities.contains(&subject.priority),
            ),
            (Mismatch::Rule, any_rule()),
            (Mismatch::Venue, has(&self.venues, subject.venue)),
            (Mismatch::VenueKind, has(&self.venue_kinds, subject.venue_kind)),
            (
                Mismatch::District,
                has(&self.districts, subject.district.unwrap_or_default()),
            ),
        ];
        holds
            .into_iter()
            .find(|(_, holds)| !holds)
            .map(|(mismatch, _)| mismatch)
    }

    /// Whether its targets are told of the event of `subject`.
    pub fn tells(&self, subject: &Subject<'_>) -> bool {
        self.events.is_empty() || self.events.iter().any(|event| event == subject.event)
    }
}

/// Whether `text` has the form of `pattern`, in which `*` stands for any text.
pub fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(last) = parts.next_back() else {
        return pattern == text;
    };
    let Some(rest) = text.strip_prefix(first).and_then(|rest| rest.strip_suffix(last)) else {
        return false;
    };
    let mut rest = rest;
    parts.all(|part| match rest.split_once(part) {
        Some((_, behind)) => {
            rest = behind;
            true
        }
        None => false,
    })
}

fn last_word(event_type: &'static str) -> &'static str {
    event_type.split_once('.').map_or(event_type, |(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUBJECT: Subject<'_> = Subject {
        class: Class::Alarm,
        priority: Priority::Critical,
        rule: "gas-high",
        notify: None,
        venue: "v1",
        venue_kind: "restaurant",
        district: Some("karuo"),
        event: "raised",
    };

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text, wanted) in [
            ("gas-high", "gas-high", true),
            ("gas-high", "gas-higher", false),
            ("gas-*", "gas-high", true),
            ("gas-*", "gas-", true),
            ("gas-*", "gas", false),
            ("*-high", "gas-high", true),
            ("*-high", "gas-high-2", false),
            ("*", "", true),
            ("*", "anything", true),
            ("g*-*h", "gas-high", true),
            ("*a*a*", "gas", false),
            ("*a*s*", "gas", true),
            ("a*a", "a", false),
            ("ab*ba", "aba", false),
            ("", "", true),
            ("", "x", false),
            ("**", "x", true),
        ] {
            assert_eq!(fits(pattern, text), wanted, "{pattern} {text}");
        }
    }

    #[test]
    fn each_condition_keeps_away_what_it_does_not_name() {
        let words = |words: &[&str]| {
            words
                .iter()
                .map(|word| (*word).to_owned())
                .collect::<Vec<String>>()
        };
        let route = Route {
            name: "gas".to_owned(),
            classes: vec![Class::Alarm, Class::Fault],
            priorities: vec![Priority::Critical],
            venues: words(&["v1", "v2"]),
            venue_kinds: words(&["restaurant"]),
            districts: words(&["karuo"]),
            rules: words(&["smoke-*", "gas-*"]),
            ..Route::default()
        };
        assert_eq!(route.mismatch(&SUBJECT), None);
        assert_eq!(Route::default().mismatch(&SUBJECT), None, "no condition at all");
        let but = |change: fn(&mut Subject<'static>)| {
            let mut subject = SUBJECT;
            change(&mut subject);
            route.mismatch(&subject)
        };
        assert_eq!(but(|subject| subject.notify = Some("gas")), None);
        assert_eq!(
            but(|subject| subject.notify = Some("fire")),
            Some(Mismatch::Notify)
        );
        assert_eq!(
            but(|subject| subject.class = Class::Hazard),
            Some(Mismatch::Class)
        );
        assert_eq!(
            but(|subject| subject.priority = Priority::Low),
            Some(Mismatch::Priority)
        );
        assert_eq!(but(|subject| subject.rule = "valve-stuck"), Some(Mismatch::Rule));
        assert_eq!(but(|subject| subject.venue = "v3"), Some(Mismatch::Venue));
        assert_eq!(
            but(|subject| subject.venue_kind = "hotel"),
            Some(Mismatch::VenueKind)
        );
        assert_eq!(
            but(|subject| subject.district = Some("other")),
            Some(Mismatch::District)
        );
        assert_eq!(but(|subject| subject.district = None), Some(Mismatch::District));
    }

    #[test]
    fn only_the_events_that_are_named_are_told() {
        let route = Route {
            events: vec!["raised".to_owned(), "cleared".to_owned()],
            ..Route::default()
        };
        assert!(route.tells(&SUBJECT));
        let acknowledged = Subject {
            event: "acknowledged",
            ..SUBJECT
        };
        assert!(!route.tells(&acknowledged));
        assert!(Route::default().tells(&acknowledged));
    }

    #[test]
    fn every_event_can_be_named() {
        let mut words = EVENTS.to_vec();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), EVENTS.len(), "each once");
        for step in [
            AlarmStep::Raised,
            AlarmStep::Announced,
            AlarmStep::Chattering,
            AlarmStep::Recovered,
            AlarmStep::Unclosed,
        ] {
            assert!(EVENTS.contains(&last_word(step.event_type())), "{step:?}");
        }
    }
}
