//! What is allowed and hardly meant: orders of rules that nobody would get. Says so, and refuses nothing.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::finding::Finding;
use super::source::{Place, Report};
use crate::domain::definitions::Definitions;
use crate::domain::device::DeviceKey;
use crate::domain::kind::EVERY_KIND;
use crate::domain::profile::command::CommandBook;
use crate::domain::profile::def::ProfileDef;
use crate::domain::registry::{RegisteredDevice, Registry};
use crate::domain::rule::RuleDef;

/// The most ids that one warning lists.
const MOST_LISTED: usize = 8;

/// Where the venues files describe each venue and device.
#[derive(Debug, Clone, Default)]
pub(super) struct Described {
    pub(super) venues: HashMap<String, Place>,
    pub(super) devices: HashMap<DeviceKey, Place>,
}

/// Warns of what the registered devices leave without effect in the rules.
pub(super) fn warn(
    definitions: &Definitions,
    profiles: &[ProfileDef],
    (registry, described): (&Registry, &Described),
    report: &Report,
) {
    let rules = &definitions.source().rules;
    let mut devices: Vec<&RegisteredDevice> = registry.devices().filter(|device| !device.retired).collect();
    devices.sort_unstable_by(|one, other| one.key.cmp(&other.key));
    warn_of_missing(rules, &devices, described, report);
    warn_of_speechless(rules, profiles, (&devices, described), report);
}

/// Venues with a device that would have another obey, and none such.
fn warn_of_missing(rules: &[RuleDef], devices: &[&RegisteredDevice], described: &Described, report: &Report) {
    let present: HashSet<(&str, &str)> = devices
        .iter()
        .map(|device| (device.key.venue.as_str(), device.key.kind.as_str()))
        .collect();
    let mut missing: BTreeMap<(&str, &str, &str), Vec<&str>> = BTreeMap::new();
    for rule in rules {
        for action in &rule.then {
            let Some(to) = action.to.as_deref() else { continue };
            for (venue, kind) in &present {
                let is_on = rule.on.iter().any(|on| on == kind || on == EVERY_KIND);
                if is_on && !present.contains(&(*venue, to)) {
                    let venues = missing.entry((*kind, to, action.command.as_str())).or_default();
                    venues.push(*venue);
                }
            }
        }
    }
    for ((kind, to, command), mut venues) in missing {
        venues.sort_unstable();
        venues.dedup();
        let Some(place) = venues.first().and_then(|venue| described.venues.get(*venue)) else {
            continue;
        };
        let message = match venues.as_slice() {
            [_] => format!(
                "this venue has a `{kind}` whose alarm orders `{command}`, and no `{to}` that would obey"
            ),
            _ => format!(
                "{} venues have a `{kind}` whose alarm orders `{command}`, and no `{to}` that would obey",
                venues.len()
            ),
        };
        let help = match venues.as_slice() {
            [_] => format!("register the `{to}`; where there is none, people have to act on site"),
            _ => format!("register each `{to}`: {}", listed(&venues)),
        };
        report.warn(place.problem(message).help(help));
    }
}

/// Devices that rules command, in a profile that cannot say it.
fn warn_of_speechless(
    rules: &[RuleDef],
    profiles: &[ProfileDef],
    (devices, described): (&[&RegisteredDevice], &Described),
    report: &Report,
) {
    let book = CommandBook::new(profiles);
    let mut speechless: BTreeMap<(&str, &str, &str), Vec<&DeviceKey>> = BTreeMap::new();
    for device in devices {
        // Which other profile it speaks through is known once it is heard.
        let Some(profile) = device.profile.as_deref() else {
            continue;
        };
        let mut ordered: Vec<&str> = orders_to(rules, &device.key.kind).collect();
        ordered.sort_unstable();
        ordered.dedup();
        for command in ordered {
            if !book.knows(profile, &device.key.kind, command) {
                let devices = speechless.entry((profile, device.key.kind.as_str(), command));
                devices.or_default().push(&device.key);
            }
        }
    }
    for ((profile, kind, command), devices) in speechless {
        let place = devices.first().and_then(|key| described.devices.get(*key));
        let Some(place) = place else { continue };
        report.warn(silence((profile, kind, command), &devices, place));
    }
}

fn silence((profile, kind, command): (&str, &str, &str), devices: &[&DeviceKey], place: &Place) -> Finding {
    let message =
        format!("rules order `{command}` of a `{kind}`, and the profile `{profile}` has no words for it");
    let ids: Vec<String> = devices
        .iter()
        .map(|key| format!("{}/{}", key.venue, key.device))
        .collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let help = match ids.as_slice() {
        [_] => format!("add a [[command]] to the profile, or expect every `{command}` to fail"),
        _ => format!(
            "add a [[command]] to the profile; without it these fail: {}",
            listed(&ids)
        ),
    };
    place.problem(message).help(help)
}

/// The commands that alarms order of devices of `kind`.
fn orders_to<'a>(rules: &'a [RuleDef], kind: &'a str) -> impl Iterator<Item = &'a str> {
    rules.iter().flat_map(move |rule| {
        let own = rule.on.iter().any(|on| on == kind || on == EVERY_KIND);
        let obeys = move |to: Option<&str>| to.map_or(own, |to| to == kind);
        let actions = rule.then.iter().filter(move |action| obeys(action.to.as_deref()));
        actions.map(|action| action.command.as_str())
    })
}

fn listed(ids: &[&str]) -> String {
    let shown = ids.iter().take(MOST_LISTED).map(|id| format!("`{id}`"));
    let shown = shown.collect::<Vec<String>>().join(", ");
    match ids.len().saturating_sub(MOST_LISTED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
