//! `[[route]]`: which targets are told of what, and along which chain it escalates.

use super::directions::Wanted;
use super::document::Table;
use super::finding::{Nature, did_you_mean};
use super::names::{Names, own_name};
use super::source::{Place, Report};
use super::targets::Targets;
use super::value::Value;
use super::venues::VENUE_KINDS;
use crate::domain::kind::GATEWAY_KIND;
use crate::domain::registry::Registry;
use crate::domain::route::{EVENTS, Route, fits};
use crate::domain::rule::{Class, Priority, RuleDef};

/// A route and what others that name it must know.
#[derive(Debug)]
pub(super) struct RouteDraft {
    pub(super) route: Route,
    /// Whether `classes` was read without a finding.
    pub(super) classes_known: bool,
    /// In the order of the route's `rules`.
    rules: Vec<Place>,
}

/// What routes may refer to.
pub(super) struct Around<'a> {
    pub(super) targets: &'a Targets,
    pub(super) chains: &'a Names,
    pub(super) registry: &'a Registry,
}

/// Reads every `[[route]]`; their names go to `names`, the schedules that they need to `wanted`.
pub(super) fn read(
    tables: Vec<Table<'_>>,
    names: &mut Names,
    around: &Around<'_>,
    wanted: &mut Wanted,
) -> Vec<RouteDraft> {
    tables
        .into_iter()
        .map(|table| read_route(table, names, around, wanted))
        .collect()
}

fn read_route(
    mut table: Table<'_>,
    names: &mut Names,
    around: &Around<'_>,
    wanted: &mut Wanted,
) -> RouteDraft {
    let report = table.report();
    let name = own_name(&mut table, "name", names);
    let before = report.count();
    let classes = match table.optional("classes") {
        Some(list) => filled(&list).iter().filter_map(class).collect(),
        None => Class::ALL.to_vec(),
    };
    let classes_known = report.count() == before;
    let priorities = Priority::ALL.map(|priority| (priority.as_str(), priority));
    let priorities = conditions(&mut table, "priorities", |value| {
        value.word("priority", &priorities)
    });
    let (rules, places) = rules(&mut table);
    let chain = table.optional("chain").and_then(|value| {
        let chain = value.filled_text()?.into_owned();
        around.chains.check(&chain, &value.place(), report);
        Some(chain)
    });
    let kinds: Vec<(&str, &str)> = VENUE_KINDS
        .into_iter()
        .chain([(GATEWAY_KIND, GATEWAY_KIND)])
        .collect();
    let events = EVENTS.map(|event| (event, event));
    let route = Route {
        name,
        classes,
        priorities,
        venues: conditions(&mut table, "venues", |value| venue(value, around.registry)),
        venue_kinds: conditions(&mut table, "venue_kinds", |value| {
            value.word("kind of venue", &kinds).map(str::to_owned)
        }),
        districts: conditions(&mut table, "districts", |value| district(value, around.registry)),
        rules,
        schedule: wanted.schedule(&mut table, "schedule"),
        events: conditions(&mut table, "events", |value| {
            value.word("event", &events).map(str::to_owned)
        }),
        targets: read_targets(&mut table, chain.is_some(), around.targets),
        chain,
        quiet_hours: wanted.schedule(&mut table, "quiet_hours"),
    };
    RouteDraft {
        route,
        classes_known,
        rules: places,
    }
}

/// The targets; there must be some unless the route leads to a chain.
fn read_targets(table: &mut Table<'_>, has_chain: bool, targets: &Targets) -> Vec<String> {
    let report = table.report();
    let value = table.optional("targets");
    let items = match &value {
        Some(list) if has_chain => list.list().unwrap_or_default(),
        Some(list) => filled(list),
        None => {
            if !table.has("chain") {
                table.missing("`targets` and no `chain`: it would tell nobody");
            }
            Vec::new()
        }
    };
    let mut chosen: Vec<String> = Vec::new();
    for value in items {
        let Some(target) = value.filled_text() else {
            continue;
        };
        targets.names.check(&target, &value.place(), report);
        if chosen.contains(&target.to_string()) {
            value.wrong(format!("target `{target}` is listed twice"));
        }
        chosen.push(target.into_owned());
    }
    chosen
}

fn filled<'d>(value: &Value<'d>) -> Vec<Value<'d>> {
    let items = value.list();
    if items.as_ref().is_some_and(Vec::is_empty) {
        value.wrong(format!("`{}` is empty: the route would tell nobody", value.key));
    }
    items.unwrap_or_default()
}

/// What the list under `key` names; none when it is not there.
fn conditions<T>(
    table: &mut Table<'_>,
    key: &'static str,
    read: impl FnMut(&Value<'_>) -> Option<T>,
) -> Vec<T> {
    let items = table.optional(key).map_or_else(Vec::new, |list| filled(&list));
    items.iter().filter_map(read).collect()
}

fn rules(table: &mut Table<'_>) -> (Vec<String>, Vec<Place>) {
    let rules = conditions(table, "rules", |value| {
        Some((value.filled_text()?.into_owned(), value.place()))
    });
    rules.into_iter().unzip()
}

/// The id of a venue; where venues are registered, of one of them.
fn venue(value: &Value<'_>, registry: &Registry) -> Option<String> {
    let id = value.filled_text()?;
    let mut ids: Vec<&str> = registry.venues().map(|venue| venue.id.as_str()).collect();
    ids.sort_unstable();
    if !ids.is_empty() && !ids.contains(&&*id) {
        missing(value, format!("there is no venue `{id}`"), did_you_mean(&id, ids));
    }
    Some(id.into_owned())
}

/// A district in which there is a venue.
fn district(value: &Value<'_>, registry: &Registry) -> Option<String> {
    let name = value.filled_text()?;
    let mut known: Vec<&str> = registry
        .venues()
        .filter_map(|venue| venue.district.as_deref())
        .collect();
    known.sort_unstable();
    known.dedup();
    if !known.contains(&&*name) {
        let help =
            did_you_mean(&name, known).unwrap_or_else(|| "give the venues their `district`".to_owned());
        missing(
            value,
            format!("there is no venue in the district `{name}`"),
            Some(help),
        );
    }
    Some(name.into_owned())
}

fn missing(value: &Value<'_>, message: String, help: Option<String>) {
    let report = value.scope.report;
    if report.is_complete() {
        let problem = value.place().problem(message).nature(Nature::Missing);
        report.add(problem.help(help));
    }
}

/// Reports what the routes say of rules that there are not. `rules` are all.
pub(super) fn check_rules(drafts: &[RouteDraft], rules: &[RuleDef], report: &Report) {
    for draft in drafts {
        for (pattern, place) in draft.route.rules.iter().zip(&draft.rules) {
            if !rules.iter().any(|rule| fits(pattern, &rule.id)) {
                let ids = rules.iter().map(|rule| rule.id.as_str());
                let problem = place.problem(format!("there is no rule `{pattern}`"));
                report.add(problem.nature(Nature::Missing).help(did_you_mean(pattern, ids)));
            }
        }
    }
}

/// The class a value names.
pub(super) fn class(value: &Value<'_>) -> Option<Class> {
    value.word("class", &Class::ALL.map(|class| (class.as_str(), class)))
}
