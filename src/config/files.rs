//! `[files]`: which files hold kinds, rules, profiles and venues. Finds and opens them, never reads what they say.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::document::Table;
use super::source::{Report, Scope, Source};
use super::value::Value;

const BUILT_IN_KINDS: (&str, &str) = ("<built-in>/kinds.toml", include_str!("../../config/kinds.toml"));
const BUILT_IN_RULES: (&str, &str) = (
    "<built-in>/rules/gas.toml",
    include_str!("../../config/rules/gas.toml"),
);

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
    let kinds = table.optional("kinds");
    let rules = table.optional("rules");
    let profiles = table.optional("profiles");
    let venues = table.optional("venues");
    Files {
        kinds: kinds.map_or_else(|| vec![built_in(BUILT_IN_KINDS, scope)], |globs| matching(&globs)),
        rules: rules.map_or_else(|| vec![built_in(BUILT_IN_RULES, scope)], |globs| matching(&globs)),
        profiles: profiles.as_ref().map_or_else(Vec::new, matching),
        venues: venues.as_ref().map_or_else(Vec::new, matching),
    }
}

fn built_in((name, text): (&str, &str), scope: &Scope<'_>) -> Arc<Source> {
    let directory = scope.source.directory().to_owned();
    scope.report.open(name.to_owned(), directory, text.to_owned())
}

fn matching(globs: &Value<'_>) -> Vec<Arc<Source>> {
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
