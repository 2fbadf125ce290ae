//! `[files]`: which files hold kinds, rules, profiles and venues. Finds and opens them, never reads what they say.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use encoding_rs::{Encoding, GB18030, UTF_8};

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

const BUILT_IN_PROFILES: [(&str, &str); 10] = [
    (
        "<built-in>/profiles/charging-station.toml",
        include_str!("../../config/profiles/charging-station.toml"),
    ),
    (
        "<built-in>/profiles/chirpstack-v4.toml",
        include_str!("../../config/profiles/chirpstack-v4.toml"),
    ),
    (
        "<built-in>/profiles/esphome.toml",
        include_str!("../../config/profiles/esphome.toml"),
    ),
    (
        "<built-in>/profiles/jetlinks.toml",
        include_str!("../../config/profiles/jetlinks.toml"),
    ),
    (
        "<built-in>/profiles/shelly-gen1.toml",
        include_str!("../../config/profiles/shelly-gen1.toml"),
    ),
    (
        "<built-in>/profiles/sparkplug-b.toml",
        include_str!("../../config/profiles/sparkplug-b.toml"),
    ),
    (
        "<built-in>/profiles/tasmota.toml",
        include_str!("../../config/profiles/tasmota.toml"),
    ),
    (
        "<built-in>/profiles/tasmota-topic-first.toml",
        include_str!("../../config/profiles/tasmota-topic-first.toml"),
    ),
    (
        "<built-in>/profiles/thingsboard.toml",
        include_str!("../../config/profiles/thingsboard.toml"),
    ),
    (
        "<built-in>/profiles/zigbee2mqtt.toml",
        include_str!("../../config/profiles/zigbee2mqtt.toml"),
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
    kinds.map_or_else(|| vec![built_in_kinds(scope)], |globs| matching(&globs))
}

/// Opens every shipped profile.
pub(super) fn built_in_profiles(scope: &Scope<'_>) -> Vec<Arc<Source>> {
    BUILT_IN_PROFILES.map(|profile| built_in(profile, scope)).into()
}

/// Opens the built-in kinds.
pub(super) fn built_in_kinds(scope: &Scope<'_>) -> Arc<Source> {
    built_in(BUILT_IN_KINDS, scope)
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
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            value.wrong(format!("cannot read {}: {error}", path.display()));
            return None;
        }
    };
    let is_csv = path
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("csv"));
    if is_csv && value.key != "venues" {
        let message = format!("{} is CSV: only venues and devices can be", path.display());
        value.wrong(message);
        return None;
    }
    let text = if is_csv {
        text_of_csv(&bytes)
    } else {
        text_of_toml(bytes)
    };
    match text {
        Ok(text) => {
            let directory = path.parent().unwrap_or(Path::new("")).to_owned();
            let name = path.display().to_string();
            Some(if is_csv {
                report.open_csv(name, directory, text)
            } else {
                report.open(name, directory, text)
            })
        }
        Err(problem) => {
            value.wrong_with(
                format!("cannot read {}: {problem}", path.display()),
                "save it as UTF-8".to_owned(),
            );
            None
        }
    }
}

fn text_of_toml(bytes: Vec<u8>) -> Result<String, String> {
    if let Some((encoding, _)) = Encoding::for_bom(&bytes).filter(|(encoding, _)| *encoding != UTF_8) {
        return Err(format!("it is {}, and TOML is UTF-8", encoding.name()));
    }
    String::from_utf8(bytes).map_err(|error| {
        let line = 1 + error
            .as_bytes()
            .iter()
            .take(error.utf8_error().valid_up_to())
            .filter(|byte| **byte == b'\n')
            .count();
        let encoding = match GB18030.decode_without_bom_handling_and_without_replacement(error.as_bytes()) {
            Some(_) => "GBK or GB 18030, as it looks",
            None => "in no encoding that is known here",
        };
        format!("line {line} is not UTF-8: the file is {encoding}")
    })
}

/// Spreadsheets write what their system speaks: UTF-8 or UTF-16 with a mark, or GBK in China.
fn text_of_csv(bytes: &[u8]) -> Result<String, String> {
    let (marked, mark) =
        Encoding::for_bom(bytes).map_or((None, 0), |(encoding, mark)| (Some(encoding), mark));
    let rest = bytes.get(mark..).unwrap_or_default();
    let tried = marked.map_or_else(|| vec![UTF_8, GB18030], |encoding| vec![encoding]);
    let mut texts = tried
        .iter()
        .filter_map(|encoding| encoding.decode_without_bom_handling_and_without_replacement(rest));
    texts.next().map(String::from).ok_or_else(|| match marked {
        Some(encoding) => format!("it says that it is {}, and is not", encoding.name()),
        None => "it is neither UTF-8 nor GB 18030 (GBK)".to_owned(),
    })
}
