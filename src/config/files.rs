//! `[files]`: which files hold kinds, rules, profiles and venues. Finds and opens them, never reads what they say.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::document::Table;
use super::source::{Report, Scope, Source};
use super::value::Value;

const BUILT_IN_KINDS: (&str, &str) = ("<built-in>/kinds.toml", include_str!("../../config/kinds.toml"));
const BUILT_IN_RULES: [(&str, &str); 9] = [
    (
        "<built-in>/rules/charging-port.toml",
        include_str!("../../config/rules/charging-port.toml"),
    ),
    (
        "<built-in>/rules/gas.toml",
        include_str!("../../config/rules/gas.toml"),
    ),
    (
        "<built-in>/rules/gateway.toml",
        include_str!("../../config/rules/gateway.toml"),
    ),
    (
        "<built-in>/rules/hygiene.toml",
        include_str!("../../config/rules/hygiene.toml"),
    ),
    (
        "<built-in>/rules/lift-blocker.toml",
        include_str!("../../config/rules/lift-blocker.toml"),
    ),
    (
        "<built-in>/rules/smoke.toml",
        include_str!("../../config/rules/smoke.toml"),
    ),
    (
        "<built-in>/rules/swap-cabinet.toml",
        include_str!("../../config/rules/swap-cabinet.toml"),
    ),
    (
        "<built-in>/rules/valve.toml",
        include_str!("../../config/rules/valve.toml"),
    ),
    (
        "<built-in>/rules/venue.toml",
        include_str!("../../config/rules/venue.toml"),
    ),
];

/// The opened files of each sort, in the order of their globs.
#[derive(Debug, Default)]
pub(super) struct Files {
    pub(super) kinds: Vec<Arc<Source>>,
    pub(super) rules: Vec<Arc<Source>>,
    pub(super) profiles: Vec<Arc<Source>>,
    pub(super) venues: Vec<Arc<Source>>,
}

/// Opens every file that the section names; the built-in kinds and rules where it names none.
pub(super) fn open(mut table: Table<'_>, scope: &Scope<'_>) -> Files {
    let kinds = open_kinds(&mut table, scope);
    let rules = table.optional("rules");
    let profiles = table.optional("profiles");
    let venues = table.optional("venues");
    Files {
        kinds,
        rules: rules.map_or_else(
            || BUILT_IN_RULES.map(|pack| built_in(pack, scope)).into(),
            |globs| matching(&globs),
        ),
        profiles: profiles.as_ref().map_or_else(Vec::new, matching),
        venues: venues.as_ref().map_or_else(Vec::new, matching),
    }
}

/// Opens the kinds files that `kinds` names, the built-in one where it names none.
pub(super) fn open_kinds(table: &mut Table<'_>, scope: &Scope<'_>) -> Vec<Arc<Source>> {
    let kinds = table.optional("kinds");
    kinds.map_or_else(|| vec![built_in(BUILT_IN_KINDS, scope)], |globs| matching(&globs))
}

fn built_in((name, text): (&str, &str), scope: &Scope<'_>) -> Arc<Source> {
    let directory = scope.source.directory().to_owned();
    scope.report.open(name.to_owned(), directory, text.to_owned())
}

/// Opens the rules files that globs on the command line name, relative to the working directory.
pub(super) fn open_argument_rules(globs: &[String], report: &Report) -> Vec<Arc<Source>> {
    let text = format!("rules = {}\n", serde_json::json!(globs));
    let source = report.open("--rules".to_owned(), PathBuf::new(), text);
    let tree = source.tree();
    let scope = Scope {
        source: Arc::clone(&source),
        report,
    };
    let globs = Table::root(&scope, tree.get_ref()).required("rules");
    globs.map_or_else(Vec::new, |globs| matching(&globs))
}

/// Opens the files that a list of globs names, each once.
pub(super) fn matching(globs: &Value<'_>) -> Vec<Arc<Source>> {
    let report = globs.scope.report;
    let mut seen: Vec<PathBuf> = Vec::new();
    let mut sources = Vec::new();
    for value in globs.list().unwrap_or_default() {
        let before = report.count();
        for path in paths(&value) {
            if seen.contains(&path) {
                continue;
            }
            sources.extend(read(&path, &value, report));
            seen.push(path);
        }
        if report.count() > before {
            report.mark_incomplete();
        }
    }
    sources
}

fn paths(value: &Value<'_>) -> Vec<PathBuf> {
    let Some(pattern) = value.filled_text() else {
        return Vec::new();
    };
    let directory = glob::Pattern::escape(&value.scope.source.directory().to_string_lossy());
    let absolute = Path::new(&directory).join(pattern.as_ref());
    let found = match glob::glob(&absolute.to_string_lossy()) {
        Ok(found) => found,
        Err(error) => {
            value.wrong(format!("not a pattern of file names: {}", error.msg));
            return Vec::new();
        }
    };
    let mut paths = Vec::new();
    for entry in found {
        match entry {
            Ok(path) => paths.push(path),
            Err(error) => value.wrong(format!(
                "cannot look into {}: {}",
                error.path().display(),
                error.error()
            )),
        }
    }
    if paths.is_empty() {
        value.wrong_with(
            format!("no file matches {pattern:?}"),
            format!("looked for {}", value.scope.path(&pattern).display()),
        );
    }
    paths
}

fn read(path: &Path, value: &Value<'_>, report: &Report) -> Option<Arc<Source>> {
    if path
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("csv"))
    {
        let message = format!("{}: .csv files are not available in this version", path.display());
        value.wrong_with(
            message,
            "write the venues as TOML: [[venue]] and [[venue.device]]".to_owned(),
        );
        return None;
    }
    match std::fs::read_to_string(path) {
        Ok(text) => {
            let directory = path.parent().unwrap_or(Path::new("")).to_owned();
            Some(report.open(path.display().to_string(), directory, text))
        }
        Err(error) => {
            value.wrong(format!("cannot read {}: {error}", path.display()));
            None
        }
    }
}
