//! Who is told, and when: reads officers, rosters, chains and routes in the order in which one names another, and puts
//! them together.

use super::chains::{self, ChainDraft};
use super::document::Table;
use super::names::Names;
use super::officers::{self, OfficerDraft};
use super::rosters::{self, RosterDraft};
use super::routes::{self, RouteDraft};
use super::settings::{TargetKind, TargetSettings};
use super::source::Place;
use super::targets::Targets;
use crate::domain::definitions::Definitions;
use crate::domain::directions::Directions;
use crate::domain::registry::Registry;

/// The schedules that are named outside of the rules files, where they stand.
#[derive(Debug, Default)]
pub(super) struct Wanted(pub(super) Vec<(String, Place)>);

impl Wanted {
    /// The schedule that `table` names under `key`.
    pub(super) fn schedule(&mut self, table: &mut Table<'_>, key: &'static str) -> Option<String> {
        let value = table.optional(key)?;
        let name = value.filled_text()?.into_owned();
        self.0.push((name.clone(), value.place()));
        Some(name)
    }
}

/// Everything of it as read.
#[derive(Debug)]
pub(super) struct Drafts {
    pub(super) officers: Vec<OfficerDraft>,
    pub(super) rosters: Vec<RosterDraft>,
    pub(super) chains: Vec<ChainDraft>,
    pub(super) routes: Vec<RouteDraft>,
    pub(super) route_names: Names,
    pub(super) wanted: Wanted,
}

/// Reads all four sorts of tables in the file `root`.
pub(super) fn read(root: &mut Table<'_>, targets: &Targets, registry: &Registry) -> Drafts {
    let mut wanted = Wanted::default();
    let mut officer_names = Names::new("officer");
    let tables = root.tables("officer", "[[officer]]");
    let officers = officers::read(tables, &mut officer_names, targets, &mut wanted);
    let mut roster_names = Names::new("roster");
    let tables = root.tables("roster", "[[roster]]");
    let rosters = rosters::read(tables, &mut roster_names, &officer_names);
    let mut chain_names = Names::new("chain");
    let around = chains::Around {
        targets,
        rosters: &roster_names,
        officers: &officer_names,
    };
    let chains = chains::read(root.tables("chain", "[[chain]]"), &mut chain_names, &around);
    let mut route_names = Names::new("route");
    let around = routes::Around {
        targets,
        chains: &chain_names,
        registry,
    };
    let tables = root.tables("route", "[[route]]");
    let routes = routes::read(tables, &mut route_names, &around, &mut wanted);
    Drafts {
        officers,
        rosters,
        chains,
        routes,
        route_names,
        wanted,
    }
}

impl Drafts {
    /// Puts everything together with the schedules of `definitions` and the `targets` that there are.
    pub(super) fn finish(self, definitions: &Definitions, targets: &[TargetSettings]) -> Directions {
        let letters = targets
            .iter()
            .filter(|target| matches!(target.kind, TargetKind::Mail(_)));
        Directions {
            targets: targets.iter().map(|target| target.name.clone()).collect(),
            letters: letters.map(|target| target.name.clone()).collect(),
            routes: self.routes.into_iter().map(|draft| draft.route).collect(),
            chains: self.chains.into_iter().map(|draft| draft.chain).collect(),
            rosters: self.rosters.into_iter().map(|draft| draft.roster).collect(),
            officers: self.officers.into_iter().map(|draft| draft.officer).collect(),
            almanac: definitions.almanac().clone(),
        }
    }
}
