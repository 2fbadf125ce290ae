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
use super::rules::{self, Surroundings};
use super::source::{Report, Scope};
use super::value::Value;
use super::venues;
use crate::domain::definitions::Definitions;
use crate::domain::rehearsal::{Expectation, RuleTest, Step};
use crate::domain::rule::RuleDef;
use crate::domain::time::{Ticks, Timestamp};

/// 2026-01-01T00:00:00Z: where a test starts that does not say.
const START: Timestamp = Timestamp(1_767_225_600_000);
pub(super) const INSTANT: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_hours(366 * 24);
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

/// The ends of [`CommandStep::event_type`](crate::domain::interlock::CommandStep::event_type).
const ORDER_STEPS: [&str; 9] = [
    "requested",
    "joined",
    "sent",
    "repeated",
    "acknowledged",
    "declined",
    "verified",
    "failed",
    "superseded",
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
pub(super) struct Cast<'a> {
    pub(super) kinds: &'a Kinds,
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
    let venues = venues::read((&venue_files, None), &kinds, None, report);
    let around = Surroundings {
        kinds: &kinds,
        venues: &venues.facts,
        devices: &venues.enrolled,
        routes: &[],
        route_names: None,
        scheduled: &[],
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

    /// The rule called `id`; that there is none is said, at its place in `value`.
    pub(super) fn rule(&self, id: &str, value: &Value<'_>) -> Option<&RuleDef> {
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

    /// That devices of no kind know the command `id` is said, at its place in `value`.
    fn known_command(&self, id: &str, value: &Value<'_>) {
        let kinds = self.kinds.all_whole();
        let known: Vec<&str> = kinds
            .flat_map(|kind| &kind.commands)
            .map(|command| command.id.as_str())
            .collect();
        if self.kinds.complete() && !known.contains(&id) {
            let written = value.tree.as_str().unwrap_or_default();
            let place = value.place().inside(written, &(0..id.len()));
            let problem = place.problem(format!("no kind has a command `{id}`"));
            value
                .scope
                .report
                .add(problem.nature(Nature::Missing).help(did_you_mean(id, known)));
        }
    }

    fn expectation(&self, mut table: Table<'_>, clock: &mut Clock) -> Expectation {
        let line = table.place().problem("").line;
        let (at, written) = clock.instant(&mut table).unwrap_or_default();
        let alarms = table.optional("alarms");
        let events = table.optional("events");
        let commands = table.optional("commands");
        if alarms.is_none() && events.is_none() && commands.is_none() {
            table.missing("`alarms`, `events` or `commands`");
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
            commands: lines(commands, &Form::Command),
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
            (Form::Command, [command, _, step]) => {
                self.known_command(command, value);
                if !ORDER_STEPS.contains(step) {
                    value.wrong_with(format!("unknown step `{step}`"), did_you_mean(step, ORDER_STEPS));
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
            (Form::Command, _) => value.wrong_with(
                format!("{text:?} is not what happens to an order"),
                format!(
                    "write \"command device step\"; a step is one of {}",
                    ORDER_STEPS.join(", ")
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
    Command,
}

/// The instants of a list, which must not run backwards.
#[derive(Default)]
pub(super) struct Clock {
    last: Duration,
    written: String,
}

impl Clock {
    /// The instant under `at`, and as it is written.
    pub(super) fn instant(&mut self, table: &mut Table<'_>) -> Option<(Ticks, String)> {
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

pub(super) fn millis(duration: Duration) -> u64 {
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
