//! What `check` says of the coming weeks: hours in which nobody is on duty, and officers, rosters and chains that nothing
//! leads to. Only says so: a gateway runs with all of it.

use std::collections::BTreeSet;

use super::directions::Drafts;
use super::settings::counted;
use super::source::Report;
use crate::domain::chain::{Addressee, Chain};
use crate::domain::roster::Roster;
use crate::domain::time::Timestamp;

/// How far ahead gaps are looked for.
const DAYS_AHEAD: i64 = 60;

const DAY_MS: i64 = 86_400_000;

/// Reports what of `drafts` is not as it should be from `at` on.
pub(super) fn check(drafts: &Drafts, at: Timestamp, report: &Report) {
    let routes = drafts.routes.iter();
    let used: BTreeSet<&str> = routes.filter_map(|draft| draft.route.chain.as_deref()).collect();
    let until = Timestamp(at.0.saturating_add(DAYS_AHEAD * DAY_MS));
    let mut rosters: BTreeSet<&str> = BTreeSet::new();
    for draft in &drafts.chains {
        if !used.contains(draft.chain.name.as_str()) {
            let problem = format!("no route leads to the chain `{}`", draft.chain.name);
            report.warn(draft.place.problem(problem));
            continue;
        }
        rosters.extend(addressed(&draft.chain));
        if let Some((alone, zone)) = alone(&draft.chain, drafts, (at, until)) {
            let problem = draft.place.problem(format!(
                "nobody stands in any level of the chain `{}` at {}",
                draft.chain.name,
                zone.shown(alone)
            ));
            let help = "add a level with an officer or a target: whoever is on duty, somebody is told";
            report.add(problem.help(help.to_owned()));
        }
    }
    check_rosters(drafts, &rosters, (at, until), report);
    check_officers(drafts, report);
}

/// Rosters that chains in use name should have no gaps; others should be named.
fn check_rosters(
    drafts: &Drafts,
    used: &BTreeSet<&str>,
    (at, until): (Timestamp, Timestamp),
    report: &Report,
) {
    let named: BTreeSet<&str> = drafts
        .chains
        .iter()
        .flat_map(|draft| addressed(&draft.chain))
        .collect();
    for draft in &drafts.rosters {
        let roster = &draft.roster;
        if !named.contains(roster.name()) {
            let problem = format!("no chain leads to the roster `{}`", roster.name());
            report.warn(draft.place.problem(problem));
        }
        let gaps = roster.gaps(at, until);
        if let Some((from, to)) = gaps.first().filter(|_| used.contains(roster.name())) {
            let message = format!(
                "nobody is on duty by the roster `{}` from {} to {}",
                roster.name(),
                roster.shown(*from),
                roster.shown(*to)
            );
            let others = gaps.len() - 1;
            let more = (others > 0).then(|| {
                let more = counted(others, "more gap");
                format!("and {more} in the coming {DAYS_AHEAD} days: `ninewatch roster --days {DAYS_AHEAD}` shows them")
            });
            report.warn(draft.place.problem(message).help(more));
        }
    }
}

fn check_officers(drafts: &Drafts, report: &Report) {
    let mut named: BTreeSet<&str> = BTreeSet::new();
    for draft in &drafts.chains {
        named.extend(names(&draft.chain, |to| match to {
            Addressee::Officer(id) => Some(id),
            Addressee::Roster(_) | Addressee::Target(_) => None,
        }));
    }
    for draft in &drafts.rosters {
        let def = draft.roster.def();
        named.extend(
            def.rotations
                .iter()
                .flat_map(|rotation| &rotation.officers)
                .map(String::as_str),
        );
        named.extend(
            def.overrides
                .iter()
                .flat_map(|other| &other.officers)
                .map(String::as_str),
        );
        named.extend(
            def.holidays
                .iter()
                .flat_map(|holiday| &holiday.officers)
                .map(String::as_str),
        );
    }
    for draft in &drafts.officers {
        if !named.contains(draft.officer.id.as_str()) {
            let problem = format!("the officer `{}` is in no roster and no chain", draft.officer.id);
            report.warn(draft.place.problem(problem));
        }
    }
}

fn addressed(chain: &Chain) -> Vec<&str> {
    names(chain, |to| match to {
        Addressee::Roster(name) => Some(name),
        Addressee::Officer(_) | Addressee::Target(_) => None,
    })
}

fn names<'c>(chain: &'c Chain, name: impl Fn(&'c Addressee) -> Option<&'c String>) -> Vec<&'c str> {
    let to = chain.levels.iter().flat_map(|level| &level.to);
    to.filter_map(name).map(String::as_str).collect()
}

/// The first instant at which nobody stands in any level of `chain`, and a roster by whose clock to show it.
fn alone<'d>(
    chain: &Chain,
    drafts: &'d Drafts,
    (at, until): (Timestamp, Timestamp),
) -> Option<(Timestamp, &'d Roster)> {
    let to = || chain.levels.iter().flat_map(|level| &level.to);
    if to().any(|to| !matches!(to, Addressee::Roster(_))) {
        return None;
    }
    let named = addressed(chain);
    let rosters = || {
        let rosters = drafts.rosters.iter().map(|draft| &draft.roster);
        rosters.filter(|roster| named.contains(&roster.name()))
    };
    // All are off duty together from the moment at which the last of them goes.
    let starts =
        rosters().flat_map(|roster| roster.gaps(at, until).into_iter().map(move |gap| (gap.0, roster)));
    let alone = starts.filter(|(start, _)| rosters().all(|roster| roster.on_duty(*start).is_empty()));
    alone.min_by_key(|(start, _)| *start)
}
