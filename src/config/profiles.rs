//! Profile files: `[profile]` and its `[[message]]`s. Checks their form and that kinds and points exist, and
//! brings what the compiler says of a mapping to its place in the file.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::document::Table;
use super::kinds::Kinds;
use super::names::{Names, own_name};
use super::profile_message::{MessagePlaces, command, message};
use super::profile_metric::metric;
use super::profile_point::point;
use super::profile_source::texts;
use super::source::{Place, Report, Scope, Source};
use super::value::Value;
use crate::domain::profile::decoder::Decoder;
use crate::domain::profile::def::{MessageDef, ProfileDef};
use crate::domain::profile::native::{NATIVE, native};
use crate::domain::profile::sparkplug::{MetricDef, SparkplugDef};
use crate::domain::registry::Registry;
use crate::domain::time::{ClockBounds, Millis};

const MAX_AHEAD: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_hours(24);
const MAX_BEHIND: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_millis(ClockBounds::MOST_BEHIND.0);

/// A profile and where it stands.
#[derive(Debug)]
struct ProfileDraft {
    def: ProfileDef,
    head: Place,
    messages: Vec<MessagePlaces>,
}

/// Reads every profile file and compiles the profiles against the kinds; the built-in `native` comes first.
pub(super) fn read(sources: &[Arc<Source>], kinds: &Kinds, report: &Report) -> Vec<ProfileDef> {
    let before = report.count();
    let mut names = Names::new("profile");
    let mut drafts = Vec::new();
    for source in sources {
        let scope = Scope {
            source: Arc::clone(source),
            report,
        };
        let tree = source.tree();
        let mut root = Table::root(&scope, tree.get_ref());
        drafts.push(read_profile(&mut root, &mut names, kinds));
    }
    let profiles = std::iter::once(native())
        .chain(drafts.iter().map(|draft| draft.def.clone()))
        .collect::<Vec<_>>();
    // The compiler would only say the same of what is not even well formed.
    if report.count() == before && kinds.drafts.iter().all(|draft| draft.whole) {
        compile(&profiles, &drafts, kinds, report);
    }
    profiles
}

fn compile(profiles: &[ProfileDef], drafts: &[ProfileDraft], kinds: &Kinds, report: &Report) {
    let kinds: Vec<_> = kinds.all_whole().cloned().collect();
    let Err(errors) = Decoder::new(profiles, &kinds, &Registry::default()) else {
        return;
    };
    for error in errors {
        let Some(draft) = drafts.iter().find(|draft| draft.def.name == error.profile) else {
            continue;
        };
        let message = error.message.and_then(|at| draft.messages.get(at));
        let place = match (message, &error.point) {
            (Some(message), Some(point)) => message
                .points
                .iter()
                .find(|(id, _)| id == point)
                .map_or(&message.topic, |(_, place)| place),
            (Some(message), None) => &message.topic,
            (None, _) => &draft.head,
        };
        let help = error.suggestion.map(|near| format!("did you mean `{near}`?"));
        report.add(place.problem(error.problem).help(help));
    }
}

fn read_profile(root: &mut Table<'_>, names: &mut Names, kinds: &Kinds) -> ProfileDraft {
    let mut head = root.section("profile");
    let name_value = head.optional("name");
    let name = own_name(&mut head, "name", names);
    if let Some(value) = name_value.filter(|_| name == NATIVE) {
        value.wrong(format!(
            "`{NATIVE}` is the built-in profile, which is always there"
        ));
    }
    let subscribe = head.optional("subscribe").map(|list| texts(&list));
    let ignore = head.optional("ignore").map(|list| texts(&list));
    let clock = read_clock(&mut head);
    let zone = head.optional("zone").and_then(|zone| zone.filled_text());
    let lel = head.optional("lel").map(|lel| read_lel(&lel)).unwrap_or_default();
    // For the tests in the file alone.
    let _kinds = head.optional("kinds");
    let _tests = root.optional("test");
    let codec = head
        .optional("codec")
        .and_then(|codec| codec.word("codec", &[("sparkplug_b", ())]));
    if codec.is_some() {
        return coded(root, kinds, (&head, name, ignore), (clock, lel));
    }
    let messages = root.tables("message", "[[message]]");
    if messages.is_empty() {
        root.missing("[[message]]");
    }
    let (messages, places): (Vec<MessageDef>, Vec<MessagePlaces>) = messages
        .into_iter()
        .map(|table| {
            message(table, kinds, zone.as_deref(), |table, kind, form| {
                point(table, kind, kinds, form)
            })
        })
        .unzip();
    let commands = root.tables("command", "[[command]]");
    ProfileDraft {
        head: head.place().clone(),
        def: ProfileDef {
            name,
            // Left out: the compiler makes them from the topics.
            subscribe: subscribe.unwrap_or_default(),
            ignore: ignore.unwrap_or_default(),
            clock,
            lel,
            messages,
            commands: commands.into_iter().map(|table| command(table, kinds)).collect(),
            sparkplug: None,
        },
        messages: places,
    }
}

/// A profile whose messages a codec reads: `[[metric]]`s in the place of messages and commands.
fn coded(
    root: &mut Table<'_>,
    kinds: &Kinds,
    (head, name, ignore): (&Table<'_>, String, Option<Vec<String>>),
    (clock, lel): (ClockBounds, Vec<(String, f64)>),
) -> ProfileDraft {
    let metrics = root.tables("metric", "[[metric]]");
    if metrics.is_empty() {
        root.missing("[[metric]]");
    }
    let (metrics, places): (Vec<MetricDef>, Vec<Place>) =
        metrics.into_iter().map(|table| metric(table, kinds)).unzip();
    let places = places.into_iter().map(|topic| MessagePlaces {
        topic,
        points: Vec::new(),
    });
    ProfileDraft {
        head: head.place().clone(),
        messages: places.collect(),
        def: ProfileDef {
            name,
            ignore: ignore.unwrap_or_default(),
            clock,
            sparkplug: Some(SparkplugDef { metrics, lel }),
            ..ProfileDef::default()
        },
    }
}

/// Gases and the ppm of their 100 %LEL.
fn read_lel(value: &Value<'_>) -> Vec<(String, f64)> {
    let Some(mut table) = value.table("`lel`") else {
        return Vec::new();
    };
    let entries = table.entries();
    let ppm = |value: &Value<'_>| {
        let ppm = value.number()?;
        if ppm <= 0.0 {
            value.wrong("100 %LEL are more than 0 ppm");
        }
        Some(ppm)
    };
    entries
        .into_iter()
        .filter_map(|(gas, value)| Some((gas, ppm(&value)?)))
        .collect()
}

fn read_clock(head: &mut Table<'_>) -> ClockBounds {
    let usual = ClockBounds::default();
    let mut bound = |key, range| {
        let bound = head.optional(key).and_then(|bound| bound.duration(range));
        bound.map(|bound| Millis(u64::try_from(bound.as_millis()).unwrap_or(u64::MAX)))
    };
    ClockBounds {
        max_ahead: bound("max_ahead", MAX_AHEAD).unwrap_or(usual.max_ahead),
        max_behind: bound("max_behind", MAX_BEHIND).unwrap_or(usual.max_behind),
    }
}
