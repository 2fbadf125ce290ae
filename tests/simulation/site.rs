//! What is configured: a few configurations of one gateway, which differ in their rules, each checked and compiled once.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use ninewatch::config::{self, Settings};
use ninewatch::domain::definitions::{Definitions, DefinitionsHash};
use ninewatch::domain::profile::decoder::Decoder;
use ninewatch::gateway::Surroundings;
use ninewatch::metrics::Metrics;
use ninewatch::reload::configured;

use super::town::DEVICES;
use super::valves::{REMOTE, VALVES};

/// The gateway's name.
pub(crate) const GATEWAY: &str = "simulated";

/// The most devices that nobody registered: some of the unknown ones find no room.
const MAX_UNREGISTERED: usize = 4;

/// The rules whose alarms close the valves.
pub(crate) const CLOSING: [&str; 2] = ["gas-high", "venue-gas"];

/// The targets of every alarm.
pub(crate) const TARGETS: [&str; 2] = ["duty", "night"];

/// From which level on a rule's alarm stands, for each configuration; `None` where it has no such rule.
const HIGH: [Option<f64>; 3] = [Some(50.0), Some(50.0), Some(45.0)];
const LOW: [Option<f64>; 3] = [Some(25.0), Some(35.0), None];

/// The levels below which no alarm of a gas level holds.
pub(crate) const CLEAR: f64 = 20.0;

/// The configurations, and what they share.
pub(crate) struct Site {
    variants: Vec<Settings>,
    compiled: HashMap<DefinitionsHash, Arc<Definitions>>,
    pub(crate) metrics: Metrics,
}

impl Site {
    pub(crate) fn new() -> Site {
        let folder = tempfile::tempdir().expect("a folder");
        let variants: Vec<Settings> = (0..HIGH.len())
            .map(|variant| settings(folder.path(), variant))
            .collect();
        let compiled = variants.iter().map(|settings| {
            let (_, hash) = settings.definitions.source().stored().expect("it is JSON");
            (hash, Arc::new(settings.definitions.clone()))
        });
        Site {
            compiled: compiled.collect(),
            variants,
            metrics: Metrics::new(),
        }
    }

    /// How many configurations there are.
    pub(crate) const fn variants(&self) -> usize {
        self.variants.len()
    }

    pub(crate) fn configured(&self, variant: usize) -> (Decoder, Surroundings) {
        configured(&self.variants[variant]).expect("they fit")
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.variants[0]
    }

    pub(crate) fn find(&self, hash: &DefinitionsHash) -> Result<Arc<Definitions>, String> {
        self.compiled.get(hash).cloned().ok_or("unknown".to_owned())
    }

    /// The rules of a configuration whose alarms have to stand at this level.
    pub(crate) fn holding(variant: usize, level: f64) -> Vec<&'static str> {
        let holds = |limit: &Option<f64>| limit.is_some_and(|limit| level >= limit);
        let rules = [("gas-high", &HIGH[variant]), ("gas-low", &LOW[variant])];
        let rules = rules.into_iter().filter(|(_, limit)| holds(limit));
        rules.map(|(rule, _)| rule).collect()
    }
}

fn settings(folder: &Path, variant: usize) -> Settings {
    let file = format!("rules{variant}.toml");
    std::fs::write(folder.join(&file), rules(variant)).expect("a file");
    std::fs::write(folder.join("venues.toml"), venues()).expect("a file");
    let targets = TARGETS.map(|name| {
        format!("[[target]]\nname = '{name}'\nkind = 'webhook'\nurl = 'http://127.0.0.1:1/'\n[[route]]\nname = '{name}'\ntargets = ['{name}']\nchain = 'up'\n")
    });
    let chain = "[[officer]]\nid = 'wang'\nname = 'Wang'\nchannels = ['duty', 'night']\n\
        [[officer]]\nid = 'li'\nname = 'Li'\nchannels = ['night']\n\
        [[chain]]\nname = 'up'\n[[chain.level]]\nto = ['officer:wang']\nrepeat = '100s'\n\
        [[chain.level]]\nto = ['officer:li']\nafter = '250s'\nrepeat = '10m'\n";
    let text = format!(
        "[gateway]\nid = '{GATEWAY}'\nmax_unregistered = {MAX_UNREGISTERED}\n[mqtt]\nurl = 'mqtt://127.0.0.1'\n[http]\nauth = 'none'\n\
         [files]\nrules = ['{file}']\nvenues = ['venues.toml']\n{}{chain}",
        targets.concat()
    );
    config::load_str("simulated", &text, folder).expect("a sound configuration")
}

/// All devices but the unknown ones are registered.
fn venues() -> String {
    let device = |kind: &str, device: &str| {
        let remote = REMOTE.contains(&device);
        let remote = if remote { "remote_open = true\n" } else { "" };
        format!("[[venue.device]]\nid = '{device}'\nkind = '{kind}'\n{remote}")
    };
    let venue = |id: &str| {
        let of = |all: &[(&str, &str)], kind: &str| -> String {
            let here = all.iter().filter(|(venue, _)| *venue == id);
            here.map(|(_, name)| device(kind, name)).collect()
        };
        let (detectors, valves) = (of(&DEVICES, "gas_detector"), of(&VALVES, "shutoff_valve"));
        format!("[[venue]]\nid = '{id}'\nname = '{id}'\nkind = 'restaurant'\n{detectors}{valves}")
    };
    venue("v1") + &venue("v2")
}

fn rules(variant: usize) -> String {
    let rule = |id: &str, of: &str, rest: &str| {
        format!(
            "[[rule]]\nid = '{id}'\non = '{of}'\npriority = 'high'\ntitle = {{ zh = '气', en = 'Gas' }}\n{rest}\n"
        )
    };
    let level = |id: &str, limit: &Option<f64>, rest: &str| {
        limit.map_or(String::new(), |limit| {
            let condition =
                format!("when = 'lel >= {limit:.1}'\nclear = 'lel < {CLEAR:.1}'\nclass = 'alarm'\n{rest}");
            rule(id, "gas_detector", &condition)
        })
    };
    [
        level("gas-high", &HIGH[variant], "latch = true\nkeep_for = '30s'\n[[rule.then]]\ncommand = 'close'\nto = 'shutoff_valve'"),
        level("gas-low", &LOW[variant], "keep_for = '5s'"),
        rule(
            "gas-long",
            "gas_detector",
            "when = \"avg(lel, '5m') >= 30.0\"\nfor = '20s'\nsuppressed_by = ['gas-high']\nclass = 'warning'",
        ),
        rule(
            "gas-fault",
            "gas_detector",
            "when = \"state == 'fault'\"\nfor = '10s'\nkeep_for = '30s'\nlimit = { count = 2, within = '1h' }\nclass = 'fault'",
        ),
        rule("gas-silent", "gas_detector", "absent = '15m'\nclass = 'fault'"),
        rule(
            "venue-gas",
            "venue",
            "when = 'gas_detector.filter(d, d.lel >= 25.0).size() >= 2'\nkeep_for = '10s'\nlatch = true\nclass = 'alarm'\n[[rule.then]]\ncommand = 'close'\nto = 'shutoff_valve'",
        ),
        rule(
            "close-failed",
            "shutoff_valve",
            "when = 'command_failed()'\nlatch = true\nclass = 'alarm'",
        ),
    ]
    .concat()
}
