//! Files of rule tests: `kinds`, `rules`, `venues` and `[[test]]` with its steps and expectations. Reads them, runs nothing.

use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use toml::de::DeValue;

use super::document::Table;
use super::files;
use super::finding::{Finding, Findings, Nature, did_you_mean};
use super::kinds::{self, Kinds};
use super::names::Names;
use super::operator_act::{self, OperatorAct};
use super::own_act;
use super::rules::{self, Surroundings};
use super::source::{Report, Scope};
use super::value::{Value, parse_duration};
use super::venues;
use crate::domain::definitions::Definitions;
use crate::domain::device::DeviceKey;
use crate::domain::kind::{GATEWAY_KIND, Kind, PointDef, PointIndex, VENUE, ValueType};
use crate::domain::reading::ReadingKind;
use crate::domain::rehearsal::{Act, Expectation, GATEWAY, RuleTest, Sample, Step, USUAL_VENUE};
use crate::domain::rule::RuleDef;
use crate::domain::time::{Ticks, Timestamp};

/// 2026-01-01T00:00:00Z: where a test starts that does not say.
const START: Timestamp = Timestamp(1_767_225_600_000);
const INSTANT: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_hours(366 * 24);
const EVERY: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_hours(366 * 24);
/// The most messages that one step with `every` may stand for.
const MOST_MESSAGES: u64 = 100_000;
/// The words of [`AlarmStep`](crate::domain::alarm::AlarmStep).
const STEPS: [&str; 15] = [
    "raised",
    "chattering",
    "suppressed",
    "limited",
    "shelved",
    "unshelved",
    "out_of_service",
    "in_service",
    "announced",
    "acknowledged",
    "recovered",
    "cleared",
    "verified",
    "closed",
    "unclosed",
];

/// The tests of one file and the definitions they run under.
#[derive(Debug)]
pub struct RuleTests {
    /// The kinds, rules and venues that the file names.
    pub definitions: Arc<Definitions>,
    /// Its tests, in file order.
    pub tests: Vec<RuleTest>,
}

/// The tests in the file `path`, or everything that is wrong with it and with the kinds and rules it names.
pub fn load_rule_tests(path: &Path) -> Result<RuleTests, Findings> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| {
        Findings::new(vec![Finding::of_file(
            &name,
            format!("cannot read the rule tests: {error}"),
        )])
    })?;
    let report = Report::default();
    let directory = path.parent().unwrap_or(Path::new(""));
    let source = report.open(name, directory.to_owned(), text);
    let tree = source.tree();
    let scope = Scope {
        source: Arc::clone(&source),
        report: &report,
    };
    let tests = read(&scope, Table::root(&scope, tree.get_ref()));
    report.finish()?;
    Ok(tests)
}

/// What a test may refer to.
struct Cast<'a> {
    kinds: &'a Kinds,
    /// `None`: the rules have findings of their own, and what is in them is not known.
    rules: Option<&'a [RuleDef]>,
}

fn read(scope: &Scope<'_>, mut root: Table<'_>) -> RuleTests {
    let report = scope.report;
    let kind_files = files::open_kinds(&mut root, scope);
    let rule_files = root
        .required("rules")
        .map_or_else(Vec::new, |globs| files::matching(&globs));
    let venue_files = root
        .optional("venues")
        .map_or_else(Vec::new, |globs| files::matching(&globs));
    let before = report.count();
    let kinds = kinds::read(&kind_files, report);
    let venues = venues::read(&venue_files, &kinds, None, report);
    let around = Surroundings {
        kinds: &kinds,
        venues: &venues.facts,
        devices: &venues.enrolled,
        routes: &[],
        route_names: None,
    };
    let definitions = rules::read(&rule_files, &around, report);
    let known = report.count() == before && report.is_complete();
    let cast = Cast {
        kinds: &kinds,
        rules: (known && !rule_files.is_empty()).then_some(definitions.source().rules.as_slice()),
    };
    let mut names = Names::new("test");
    let tests: Vec<RuleTest> = root
        .tables("test", "[[test]]")
        .into_iter()
        .map(|table| cast.test(table, &mut names))
        .collect();
    if tests.is_empty() && !root.has("test") {
        root.missing("[[test]]");
    }
    RuleTests {
        definitions: Arc::new(definitions),
        tests,
    }
}

impl Cast<'_> {
    fn test(&self, mut table: Table<'_>, names: &mut Names) -> RuleTest {
        let report = table.report();
        let name = table.required("name").and_then(|value| {
            let name = value.filled_text()?;
            names.add(&name, &value, report);
            Some(name.into_owned())
        });
        let start = table.optional("start").and_then(|start| wall_clock(&start));
        let mut clock = Clock::default();
        let mut steps: Vec<Step> = Vec::new();
        for step in table.tables("step", "[[test.step]]") {
            steps.extend(self.step(step, &mut clock));
        }
        // Messages that repeat run on past the steps written after them.
        steps.sort_by_key(|step| step.at);
        let mut clock = Clock::default();
        let expectations: Vec<Expectation> = table
            .tables("expect", "[[test.expect]]")
            .into_iter()
            .map(|expectation| self.expectation(expectation, &mut clock))
            .collect();
        for key in ["step", "expect"] {
            if !table.has(key) {
                table.missing(format!("[[test.{key}]]"));
            }
        }
        RuleTest {
            name: name.unwrap_or_default(),
            start: start.unwrap_or(START),
            steps,
            expectations,
        }
    }

    fn step(&self, mut table: Table<'_>, clock: &mut Clock) -> Vec<Step> {
        let at = clock.instant(&mut table).map_or(Ticks(0), |(at, _)| at);
        if let Some(acts) = own_act::read(&mut table) {
            let device = DeviceKey::gateway(GATEWAY);
            let step = |act| Step {
                at,
                device: device.clone(),
                act,
            };
            return acts.into_iter().map(step).collect();
        }
        let device_value = table.required("device");
        let acts = table.has("operator");
        let device = device_value.as_ref().and_then(|device| self.device(device, acts));
        if let Some(operator) = table.optional("operator") {
            let act = self.operation(&operator, &mut table, device.as_ref());
            let step = device.zip(act).map(|(device, act)| Step { at, device, act });
            return step.into_iter().collect();
        }
        if let (Some(DeviceKey { kind, .. }), Some(value)) = (&device, &device_value)
            && kind == GATEWAY_KIND
        {
            let help = "write `broker = false` or `gateway = { disk_low = true }` in a step without a device";
            value.wrong_with("the gateway sends no messages", help.to_owned());
        }
        let kind = device.as_ref().and_then(|device| self.kinds.whole(&device.kind));
        let points = table
            .required("points")
            .and_then(|points| read_points(&points, kind));
        let sent_ms = table.optional("sent").and_then(|sent| signed_ms(&sent));
        let seq = table.optional("seq").and_then(|seq| seq.integer(0..=i64::MAX));
        let kind = reading_kind(&mut table);
        let retained = table.optional("retained").and_then(|value| value.boolean());
        let instants = repeated(&mut table, at);
        let Some((device, points)) = device.zip(points) else {
            return Vec::new();
        };
        let sample = Sample {
            points,
            sent_ms,
            seq: seq.map(i64::cast_unsigned),
            kind,
            retained: retained.unwrap_or(false),
        };
        instants
            .into_iter()
            .map(|at| Step {
                at,
                device: device.clone(),
                act: Act::Read(sample.clone()),
            })
            .collect()
    }

    /// What an operator does in a step: to an alarm, which its rule names, or to the device.
    fn operation(
        &self,
        operator: &Value<'_>,
        table: &mut Table<'_>,
        device: Option<&DeviceKey>,
    ) -> Option<Act> {
        let act = operator_act::read(operator, table);
        let refused = table.optional("refused").and_then(|value| value.boolean());
        let refused = refused.unwrap_or(false);
        match act {
            OperatorAct::Device(action) => action.map(|action| Act::Serve { action, refused }),
            OperatorAct::Alarm(action) => {
                let rule = table.required("rule");
                let rule = rule.and_then(|rule| self.watching(&rule, device))?;
                action.map(|action| Act::Operate {
                    rule,
                    action,
                    refused,
                })
            }
        }
    }

    /// The device of a step; where somebody `acts`, it may be a venue, written `venue/v1`.
    fn device(&self, value: &Value<'_>, acts: bool) -> Option<DeviceKey> {
        let text = value.filled_text()?;
        if text == GATEWAY {
            return Some(DeviceKey::gateway(GATEWAY));
        }
        let parts: Vec<&str> = text.split('/').collect();
        let (venue, kind, device) = match parts.as_slice() {
            [VENUE, id] if acts => (*id, VENUE, *id),
            [kind, device] => (USUAL_VENUE, *kind, *device),
            [venue, kind, device] => (*venue, *kind, *device),
            _ => ("", "", ""),
        };
        let odd = |part: &str| part.is_empty() || part.contains(char::is_whitespace);
        if [venue, kind, device].into_iter().any(odd) {
            value.wrong_with(
                format!("{text:?} is not a device"),
                "write `kind/device` or `venue/kind/device`, without spaces".to_owned(),
            );
            return None;
        }
        let from = text.len() - device.len() - 1 - kind.len();
        let place = value.place().inside(&text, &(from..from + kind.len()));
        let also = acts.then_some(VENUE);
        self.kinds.names.check_or(kind, also, &place, value.scope.report);
        Some(DeviceKey {
            venue: venue.to_owned(),
            kind: kind.to_owned(),
            device: device.to_owned(),
        })
    }

    /// The rule that an operator's act names, which must watch the device's kind.
    fn watching(&self, value: &Value<'_>, device: Option<&DeviceKey>) -> Option<String> {
        let id = value.filled_text()?;
        if let Some(rule) = self.rule(&id, value)
            && let Some(device) = device.filter(|device| !rule.watches(&device.kind))
        {
            let (id, on, kind) = (&rule.id, rule.on.join("`, `"), &device.kind);
            value.wrong(format!("the rule `{id}` watches `{on}`, not `{kind}`"));
        }
        Some(id.into_owned())
    }

    /// The rule called `id`; that there is none is said, at its place in `value`.
    fn rule(&self, id: &str, value: &Value<'_>) -> Option<&RuleDef> {
        let rules = self.rules?;
        let found = rules.iter().find(|rule| rule.id == id);
        if found.is_none() {
            let written = value.tree.as_str().unwrap_or_default();
            let place = value.place().inside(written, &(0..id.len()));
            let help = did_you_mean(id, rules.iter().map(|rule| rule.id.as_str()));
            let problem = place.problem(format!("there is no rule `{id}`"));
            value.scope.report.add(problem.nature(Nature::Missing).help(help));
        }
        found
    }

    fn expectation(&self, mut table: Table<'_>, clock: &mut Clock) -> Expectation {
        let line = table.place().problem("").line;
        let (at, written) = clock.instant(&mut table).unwrap_or_default();
        let alarms = table.optional("alarms");
        let events = table.optional("events");
        if alarms.is_none() && events.is_none() {
            table.missing("`alarms` or `events`");
        }
        let lines = |list: Option<Value<'_>>, form: &Form| {
            let items = list?.list()?;
            Some(items.iter().filter_map(|item| self.line(item, form)).collect())
        };
        Expectation {
            at,
            title: format!("at {written} (line {line})"),
            alarms: lines(alarms, &Form::Alarm),
            events: lines(events, &Form::Event),
        }
    }

    /// A line of an expectation, its words one space apart.
    fn line(&self, value: &Value<'_>, form: &Form) -> Option<String> {
        let text = value.filled_text()?;
        let words: Vec<&str> = text.split_whitespace().collect();
        match (form, words.as_slice()) {
            (Form::Alarm, [rule, _]) => {
                self.rule(rule, value);
            }
            (Form::Event, [rule, _, step]) => {
                self.rule(rule, value);
                if !STEPS.contains(step) {
                    value.wrong_with(format!("unknown step `{step}`"), did_you_mean(step, STEPS));
                }
            }
            (Form::Alarm, _) => value.wrong_with(
                format!("{text:?} is not an alarm"),
                "write \"rule device\", or \"rule venue/device\" outside `v1`".to_owned(),
            ),
            (Form::Event, _) => value.wrong_with(
                format!("{text:?} is not an event"),
                format!(
                    "write \"rule device step\"; a step is one of {}",
                    STEPS.join(", ")
                ),
            ),
        }
        Some(words.join(" "))
    }
}

/// What a line of an expectation speaks of.
enum Form {
    Alarm,
    Event,
}

/// The instants of a list, which must not run backwards.
#[derive(Default)]
struct Clock {
    last: Duration,
    written: String,
}

impl Clock {
    /// The instant under `at`, and as it is written.
    fn instant(&mut self, table: &mut Table<'_>) -> Option<(Ticks, String)> {
        let value = table.required("at")?;
        let at = value.duration(INSTANT)?;
        let written = value.text()?.into_owned();
        if at < self.last {
            value.wrong_with(
                format!(
                    "{written} is before {}, where the one above it stands",
                    self.written
                ),
                "write them in the order of time".to_owned(),
            );
        }
        self.last = at;
        self.written.clone_from(&written);
        Some((Ticks(millis(at)), written))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn wall_clock(value: &Value<'_>) -> Option<Timestamp> {
    let written = if let DeValue::Datetime(at) = value.tree {
        at.to_string()
    } else {
        value.text()?.into_owned()
    };
    if let Ok(at) = written.parse::<jiff::Timestamp>() {
        return Some(Timestamp(at.as_millisecond()));
    }
    value.wrong_with(
        format!("`{}` is not an instant: {written:?}", value.key),
        "write a date, a time and an offset: \"2026-03-02T08:00:00+08:00\"".to_owned(),
    );
    None
}

/// A length of time with a sign, in milliseconds.
fn signed_ms(value: &Value<'_>) -> Option<i64> {
    let text = value.text()?;
    let (sign, length) = match text.strip_prefix('-') {
        Some(length) => (-1, length),
        None => (1, text.strip_prefix('+').unwrap_or(&text)),
    };
    let read = parse_duration(length).and_then(|length| i64::try_from(length.as_millis()).ok());
    if read.is_none() {
        value.wrong_with(
            format!("`{}` is not a length of time: {text:?}", value.key),
            "write how far the device's time is from the instant: \"-90s\", \"0s\", \"5m\"".to_owned(),
        );
    }
    read.map(|read| sign * read)
}

fn reading_kind(table: &mut Table<'_>) -> ReadingKind {
    match table.either("test", "history") {
        Some(value) if value.boolean() == Some(true) && value.key == "test" => ReadingKind::Test,
        Some(value) if value.boolean() == Some(true) => ReadingKind::History,
        Some(_) | None => ReadingKind::Live,
    }
}

/// The instants of a step: its own, and those of `every` and `until`.
fn repeated(table: &mut Table<'_>, first: Ticks) -> Vec<Ticks> {
    let (every, until) = (table.optional("every"), table.optional("until"));
    if every.is_some() != until.is_some() {
        table.missing(if every.is_some() { "`until`" } else { "`every`" });
    }
    let Some((every, until)) = every.zip(until) else {
        return vec![first];
    };
    let step = every.duration(EVERY).map(millis);
    let Some((step, last)) = step.zip(until.duration(INSTANT).map(millis)) else {
        return vec![first];
    };
    if last < first.0 {
        until.wrong("`until` is before `at`");
        return vec![first];
    }
    let more = (last - first.0) / step;
    if more >= MOST_MESSAGES {
        every.wrong(format!("that would be more than {MOST_MESSAGES} messages"));
        return vec![first];
    }
    (0..=more).map(|nth| Ticks(first.0 + nth * step)).collect()
}

/// The points of a message; `None` where the kind is not known, so that nothing can be said of them.
pub(super) fn read_points(value: &Value<'_>, kind: Option<&Kind>) -> Option<Vec<(PointIndex, f64)>> {
    let entries = value.table("`points`")?.entries();
    let kind = kind?;
    let mut points = Vec::new();
    for (name, value) in entries {
        let Some((index, point)) = kind.point(&name) else {
            let known = kind.points.iter().map(|point| point.id.as_str());
            value.scope.report.add(
                value
                    .key_place()
                    .problem(format!("the kind `{}` has no point `{name}`", kind.id))
                    .help(did_you_mean(&name, known)),
            );
            continue;
        };
        points.extend(slot(&value, point).map(|slot| (index, slot)));
    }
    Some(points)
}

/// What a value as written is in its slot.
fn slot(value: &Value<'_>, point: &PointDef) -> Option<f64> {
    match &point.value {
        ValueType::Number { min, max, .. } => {
            let number = value.number()?;
            if !(*min..=*max).contains(&number) {
                value.wrong_with(
                    format!("{number} is outside {min} to {max}"),
                    "the gateway takes such a value as a fault of the message, not as a reading".to_owned(),
                );
            }
            Some(number)
        }
        ValueType::Bool => value.boolean().map(f64::from),
        ValueType::Enum { values } => {
            let words: Vec<(&str, f64)> = (0_u32..)
                .zip(values)
                .map(|(place, word)| (word.as_str(), f64::from(place)))
                .collect();
            value.word(&format!("`{}`", point.id), &words)
        }
    }
}
