//! From the main file to checked settings: reads every section and file, and gathers what is wrong in all of them.

use std::path::Path;

use super::document::Table;
use super::finding::{Finding, Findings};
use super::fixed::Fixed;
use super::register::{Register, RegisterError, Registration};
use super::rules::Surroundings;
use super::settings::Settings;
use super::source::{Report, Scope};
use super::{
    coverage, directions, doubts, files, gateway, http, kinds, mqtt, postgres, profiles, register, routes,
    rules, store, targets, venues, watchdog,
};
use crate::domain::time::Timestamp;

/// The settings in the file `path` and the files it names, or everything that is wrong with them.
pub fn load(path: &Path) -> Result<Settings, Findings> {
    load_file(path, &Wanted::default())
}

/// As [`load`], with what is doubtful from `at` on: hours in which nobody is on duty are warnings, and it is an error when
/// nobody stands in any level of a chain.
pub fn check(path: &Path, at: Timestamp) -> Result<Settings, Findings> {
    let wanted = Wanted {
        at: Some(at),
        ..Wanted::default()
    };
    load_file(path, &wanted)
}

/// As [`load`], with the rules of the files that `rules` names (globs, relative to the working directory) in the
/// place of the configured ones; with those where it names none.
pub fn load_with_rules(path: &Path, rules: &[String]) -> Result<Settings, Findings> {
    let wanted = Wanted {
        rules,
        ..Wanted::default()
    };
    load_file(path, &wanted)
}

/// As [`load`], for a gateway that runs: what differs from `fixed` is a finding too.
pub fn reload(path: &Path, fixed: &Fixed) -> Result<Settings, Findings> {
    let fixed = Some(fixed);
    let wanted = Wanted {
        fixed,
        ..Wanted::default()
    };
    load_file(path, &wanted)
}

/// As [`reload`], with `registration` made: what would be in force, and the register that says so, which nobody has kept yet.
///
/// # Errors
/// When the whole would be wrong, or it is not for the API to change.
pub fn reload_with(
    path: &Path,
    fixed: &Fixed,
    registration: &Registration,
) -> Result<(Settings, Register), RegisterError> {
    let at = register::path(fixed.data_dir());
    let before = register::text(&at)?;
    let after = match register::changed(&at, &before, registration) {
        // It may stand in a file, which is something else.
        Err(RegisterError::Unknown(what)) => Err(RegisterError::Unknown(what)),
        changed => Ok(changed?),
    };
    let wanted = Wanted {
        fixed: Some(fixed),
        register: Some(after.as_ref().map_or(before.as_str(), String::as_str)),
        ..Wanted::default()
    };
    let settings = load_file(path, &wanted).map_err(RegisterError::Findings)?;
    registration.what.check(&settings.in_files)?;
    Ok((settings, Register::new(at, after?)))
}

/// What a caller wants beside what the files say.
#[derive(Debug, Clone, Copy, Default)]
struct Wanted<'a> {
    rules: &'a [String],
    fixed: Option<&'a Fixed>,
    /// Every shipped profile beside those of the files.
    shipped_profiles: bool,
    /// From when on to look for gaps in rosters.
    at: Option<Timestamp>,
    /// In the place of what was registered over the API.
    register: Option<&'a str>,
}

fn load_file(path: &Path, wanted: &Wanted<'_>) -> Result<Settings, Findings> {
    let name = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => build((&name, &text), path.parent().unwrap_or(Path::new("")), wanted),
        Err(error) => Err(Findings::new(vec![
            Finding::of_file(&name, format!("cannot read the configuration: {error}"))
                .help("name a file with --config; config/ninewatch.toml is an example".to_owned()),
        ])),
    }
}

/// As [`load_str`], with every shipped profile.
pub fn load_str_with_profiles(name: &str, text: &str, base: &Path) -> Result<Settings, Findings> {
    let wanted = Wanted {
        shipped_profiles: true,
        ..Wanted::default()
    };
    build((name, text), base, &wanted)
}

/// The settings in `text`, called `name` in findings; relative paths start from the folder `base`.
pub fn load_str(name: &str, text: &str, base: &Path) -> Result<Settings, Findings> {
    build((name, text), base, &Wanted::default())
}

fn build((name, text): (&str, &str), base: &Path, wanted: &Wanted<'_>) -> Result<Settings, Findings> {
    let report = Report::default();
    let source = report.open(name.to_owned(), base.to_owned(), text.to_owned());
    let tree = source.tree();
    let scope = Scope {
        source: std::sync::Arc::clone(&source),
        report: &report,
    };
    let mut settings = read(&scope, Table::root(&scope, tree.get_ref()), wanted);
    // Where something is wrong a placeholder stands, which is no change that anybody asked for.
    if let Some(fixed) = wanted.fixed.filter(|_| report.count() == 0) {
        fixed.compare(&settings, &scope, tree.get_ref());
    }
    settings.warnings = report.finish()?;
    Ok(settings)
}

/// Reads everything; where something is wrong a placeholder stands in the settings and a finding in the report.
fn read(scope: &Scope<'_>, mut root: Table<'_>, wanted: &Wanted<'_>) -> Settings {
    let report = scope.report;
    let http = http::read(root.section("http"));
    let gateway = gateway::read(root.section("gateway"), scope, http.listen);
    let mqtt = mqtt::read(root.section("mqtt"), &gateway.id);
    let store = store::read(root.section("store"));
    let postgres = postgres::read(root.section("postgres"));
    let mut files = files::open(root.section("files"), scope);
    if !wanted.rules.is_empty() {
        files.rules = files::open_argument_rules(wanted.rules, report);
    }
    if wanted.shipped_profiles {
        files.profiles.extend(files::built_in_profiles(scope));
    }

    let (targets, known_targets) = targets::read(root.tables("target", "[[target]]"));
    let watchdog = watchdog::read(root.section("watchdog"), &targets, &known_targets.names);
    let kinds = kinds::read(&files.kinds, report);
    let profiles = profiles::read(&files.profiles, &kinds, report);
    let register = register::open(wanted.register, &gateway.data_dir, report);
    let sources = (files.venues.as_slice(), register.as_ref());
    let venues = venues::read(sources, &kinds, Some(&profiles), report);
    let drafts = directions::read(&mut root, &known_targets, &venues.registry);
    let around = Surroundings {
        kinds: &kinds,
        venues: &venues.facts,
        devices: &venues.enrolled,
        routes: &drafts.routes,
        route_names: Some(&drafts.route_names),
        scheduled: &drafts.wanted.0,
    };
    let definitions = rules::read(&files.rules, &around, report);
    // Without rules something is wrong with them; rules of an argument are not those that the routes were written for.
    let own_rules = wanted.rules.is_empty() && !definitions.source().rules.is_empty();
    if own_rules && report.is_complete() {
        routes::check_rules(&drafts.routes, &definitions.source().rules, report);
    }
    if let Some(at) = wanted.at {
        coverage::check(&drafts, at, report);
    }
    // Of what is wrong nothing more is to be said.
    if report.count() == 0 {
        let registered = (&venues.registry, &venues.described);
        doubts::warn(&definitions, &profiles, registered, report);
    }
    Settings {
        gateway,
        mqtt,
        http,
        store,
        postgres,
        directions: drafts.finish(&definitions, &targets),
        definitions,
        profiles,
        registry: venues.registry,
        targets,
        watchdog,
        warnings: Findings::default(),
        in_files: venues.in_files,
    }
}
