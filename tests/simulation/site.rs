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

use super::dice::Dice;
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

/// From the first of these on an alarm of `gas-high` may stand, from the last it does, whatever the configuration.
pub(crate) const LOWEST: f64 = 45.0;
pub(crate) const HIGHEST: f64 = 50.0;

/// The levels below which no alarm of a gas level holds.
pub(crate) const CLEAR: f64 = 20.0;

/// How alarms close the valves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Linkage {
    /// How long a valve has for each attempt, in seconds.
    pub(crate) within: u64,
    /// How often it is told at most.
    pub(crate) attempts: u8,
    /// The venues where an alarm waits for a second signal.
    pub(crate) confirming: &'static [&'static str],
}

impl Linkage {
    /// Whether an alarm of a device in `venue` waits for a second signal.
    pub(crate) fn confirms(&self, venue: &str) -> bool {
        self.confirming.contains(&venue)
    }
}

/// The linkages that there are, each with all sets of rules.
const LINKAGES: [Linkage; 6] = [
    linkage(10, 3, &[]),
    linkage(10, 3, &["v1"]),
    linkage(2, 1, &[]),
    linkage(2, 5, &["v1", "v2"]),
    linkage(45, 1, &["v1", "v2"]),
    linkage(45, 5, &[]),
];

const fn linkage(within: u64, attempts: u8, confirming: &'static [&'static str]) -> Linkage {
    Linkage {
        within,
        attempts,
        confirming,
    }
}

/// The configurations, and what they share. Their numbers go through the rules of the first linkage, then of the next.
pub(crate) struct Site {
    variants: Vec<Settings>,
    compiled: HashMap<DefinitionsHash, (Arc<Definitions>, Linkage)>,
    pub(crate) metrics: Metrics,
}

impl Site {
    pub(crate) fn new() -> Site {
        let folder = tempfile::tempdir().expect("a folder");
        let variants: Vec<Settings> = (0..LINKAGES.len() * HIGH.len())
            .map(|variant| settings(folder.path(), variant))
            .collect();
        let compiled = variants.iter().enumerate().map(|(variant, settings)| {
            let (_, hash) = settings.definitions.source().stored().expect("it is JSON");
            let definitions = Arc::new(settings.definitions.clone());
            (hash, (definitions, LINKAGES[variant / HIGH.len()]))
        });
        Site {
            compiled: compiled.collect(),
            variants,
            metrics: Metrics::new(),
        }
    }

    /// A configuration to begin with.
    pub(crate) fn some(dice: &mut Dice) -> usize {
        dice.index(LINKAGES.len()) * HIGH.len()
    }

    /// A configuration after `variant`: mostly only the rules are others.
    pub(crate) fn other(variant: usize, dice: &mut Dice) -> usize {
        let linkage = if dice.chance(10) {
            dice.index(LINKAGES.len())
        } else {
            variant / HIGH.len()
        };
        linkage * HIGH.len() + dice.index(HIGH.len())
    }

    pub(crate) fn configured(&self, variant: usize) -> (Decoder, Surroundings) {
        configured(&self.variants[variant]).expect("they fit")
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.variants[0]
    }

    pub(crate) fn find(&self, hash: &DefinitionsHash) -> Result<Arc<Definitions>, String> {
        let found = self
            .compiled
            .get(hash)
            .map(|(definitions, _)| Arc::clone(definitions));
        found.ok_or("unknown".to_owned())
    }

    /// How alarms close the valves by these definitions.
    pub(crate) fn linkage(&self, hash: &DefinitionsHash) -> Option<Linkage> {
        self.compiled.get(hash).map(|(_, linkage)| *linkage)
    }

    /// The rules of a configuration whose alarms have to stand at this level.
    pub(crate) fn holding(variant: usize, level: f64) -> Vec<&'static str> {
        let variant = variant % HIGH.len();
        let holds = |limit: &Option<f64>| limit.is_some_and(|limit| level >= limit);
        let rules = [("gas-high", &HIGH[variant]), ("gas-low", &LOW[variant])];
        let rules = rules.into_iter().filter(|(_, limit)| holds(limit));
        rules.map(|(rule, _)| rule).collect()
    }
}

fn settings(folder: &Path, variant: usize) -> Settings {
    let linkage = LINKAGES[variant / HIGH.len()];
    let (file, venues_file) = (format!("rules{variant}.toml"), format!("venues{variant}.toml"));
    std::fs::write(folder.join(&file), rules(variant % HIGH.len(), linkage)).expect("a file");
    std::fs::write(folder.join(&venues_file), venues(linkage)).expect("a file");
    let targets = TARGETS.map(|name| {
        format!("[[target]]\nname = '{name}'\nkind = 'webhook'\nurl = 'http://127.0.0.1:1/'\n[[route]]\nname = '{name}'\ntargets = ['{name}']\nchain = 'up'\n")
    });
    let chain = "[[officer]]\nid = 'wang'\nname = 'Wang'\nchannels = ['duty']\n\
        [[officer]]\nid = 'li'\nname = 'Li'\nchannels = ['night']\n\
        [[chain]]\nname = 'up'\n[[chain.level]]\nto = ['officer:wang']\nrepeat = '100s'\n\
        [[chain.level]]\nto = ['officer:li']\nafter = '250s'\nrepeat = '10m'\n";
    let text = format!(
        "[gateway]\nid = '{GATEWAY}'\nmax_unregistered = {MAX_UNREGISTERED}\n[mqtt]\nurl = 'mqtt://127.0.0.1'\n[http]\nauth = 'none'\n\
         [files]\nrules = ['{file}']\nvenues = ['{venues_file}']\n{}{chain}",
        targets.concat()
    );
    config::load_str("simulated", &text, folder).expect("a sound configuration")
}

/// All devices but the unknown ones are registered.
fn venues(linkage: Linkage) -> String {
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
        let confirms = linkage.confirms(id);
        format!(
            "[[venue]]\nid = '{id}'\nname = '{id}'\nkind = 'restaurant'\nconfirm_linkage = {confirms}\n{detectors}{valves}"
        )
    };
    venue("v1") + &venue("v2")
}

fn rules(variant: usize, linkage: Linkage) -> String {
    let Linkage { within, attempts, .. } = linkage;
    let close = format!(
        "[[rule.then]]\ncommand = 'close'\nto = 'shutoff_valve'\nwithin = '{within}s'\nattempts = {attempts}"
    );
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
        level(
            "gas-high",
            &HIGH[variant],
            &format!("latch = true\nkeep_for = '30s'\n{close}"),
        ),
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
            &format!("when = 'gas_detector.filter(d, d.lel >= 25.0).size() >= 2'\nkeep_for = '10s'\nlatch = true\nclass = 'alarm'\n{close}"),
        ),
        rule(
            "close-failed",
            "shutoff_valve",
            "when = 'command_failed()'\nlatch = true\nclass = 'alarm'",
        ),
    ]
    .concat()
}
