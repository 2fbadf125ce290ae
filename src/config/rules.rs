//! Rules files: `[[rule]]` and `[[schedule]]`. Reads them and brings what the compiler says of a condition to its place in the file.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use toml::de::DeValue;

use super::actions::{self, ActionDraft};
use super::document::Table;
use super::kinds::Kinds;
use super::names::{Names, own_name};
use super::routes::{RouteDraft, class};
use super::schedules;
use super::source::{Place, Report, Scope, Source};
use super::value::Value;
use crate::domain::almanac::{ScheduleDef, VenueFacts};
use crate::domain::definitions::{DefinitionSource, Definitions, RuleError, RuleProblem};
use crate::domain::kind::{EVERY_KIND, GATEWAY_KIND, VENUE};
use crate::domain::roll::Enrolled;
use crate::domain::rule::{
    Class, DEFAULT_CHATTER, DEFAULT_MAX_GAP, MAX_LIMIT, MAX_REPEAT, Priority, Repeat, RuleDef, RuleField,
};
use crate::domain::time::Millis;

const DELAY: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_hours(30 * 24);
const SILENCE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(366 * 24);
const MAX_GAP: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(30 * 24);

/// A rule and where its conditions stand.
#[derive(Debug)]
struct RuleDraft {
    def: RuleDef,
    table: Place,
    when: Option<Place>,
    clear: Option<Place>,
    /// In the order of `suppressed_by`.
    suppressors: Vec<Place>,
    schedule: Option<Place>,
    /// In the order of `then`.
    actions: Vec<ActionDraft>,
}

/// What a rule may refer to.
pub(super) struct Surroundings<'a> {
    pub(super) kinds: &'a Kinds,
    pub(super) venues: &'a [VenueFacts],
    pub(super) devices: &'a [Enrolled],
    pub(super) routes: &'a [RouteDraft],
    /// `None`: where these rules are read there are no routes, and any may be named.
    pub(super) route_names: Option<&'a Names>,
    /// The schedules that are named beside the rules.
    pub(super) scheduled: &'a [(String, Place)],
}

/// Reads every rules file and compiles the rules against the kinds.
pub(super) fn read(sources: &[Arc<Source>], around: &Surroundings<'_>, report: &Report) -> Definitions {
    let mut names = Names::new("rule");
    let mut schedule_names = Names::new("schedule");
    let mut schedules = Vec::new();
    let mut drafts = Vec::new();
    for source in sources {
        let scope = Scope {
            source: Arc::clone(source),
            report,
        };
        let tree = source.tree();
        let mut root = Table::root(&scope, tree.get_ref());
        let (rules, hours) = (
            root.tables("rule", "[[rule]]"),
            root.tables("schedule", "[[schedule]]"),
        );
        // A file cut off by a half-finished copy would otherwise take its rules, and their alarms, away.
        if rules.is_empty() && hours.is_empty() {
            root.missing("[[rule]] or [[schedule]]");
            report.mark_incomplete();
        }
        for table in rules {
            drafts.push(read_rule(table, &mut names, around));
        }
        for table in hours {
            schedules.push(schedules::read_schedule(table, &mut schedule_names));
        }
    }
    let whole = schedules.iter().all(Option::is_some);
    let schedules: Vec<ScheduleDef> = schedules.into_iter().flatten().collect();
    for (name, place) in around.scheduled.iter().filter(|_| whole) {
        schedules::check(name, place, &schedules, report);
    }
    for draft in &drafts {
        // One that is wrong was reported, and may be the one.
        if let (true, Some(name), Some(place)) = (whole, &draft.def.schedule, &draft.schedule) {
            schedules::check(name, place, &schedules, report);
        }
    }
    compile(&drafts, schedules, around, report)
}

fn read_rule(mut table: Table<'_>, names: &mut Names, around: &Surroundings<'_>) -> RuleDraft {
    let place = table.place().clone();
    let id = own_name(&mut table, "id", names);
    let on = table.required("on").map(|on| watched(&on, around.kinds));
    let absent = table.optional("absent");
    let silence = absent.as_ref().and_then(silence);
    let when = if absent.is_some() {
        table.optional("when")
    } else {
        table.required("when")
    };
    let clear = table.optional("clear");
    let silent_venue = absent
        .as_ref()
        .is_some_and(|absent| misplaced(absent, on.as_deref(), when.iter().chain(&clear)));
    let timing = read_timing(&mut table, absent.is_some());
    let (suppressed_by, suppressors) = names_of(table.optional("suppressed_by"));
    let schedule = table.optional("schedule");
    let class = table.required("class").and_then(|value| class(&value));
    let limit = table.optional("limit").and_then(|value| limit(&value, class));
    let priority = table.required("priority").and_then(|value| {
        value.word(
            "priority",
            &Priority::ALL.map(|priority| (priority.as_str(), priority)),
        )
    });
    let latch = table.optional("latch").and_then(|latch| latch.boolean());
    let title = table.required("title").and_then(|title| title.title());
    let reason = table.optional("reason").and_then(|reason| reason.title());
    let notify = table
        .optional("notify")
        .and_then(|notify| route(&notify, class, around));
    let (then, actions) = actions::read(&mut table, around.kinds);
    let text = |value: &Option<Value<'_>>| value.as_ref().and_then(Value::filled_text).map(String::from);
    let when_text = silence.or_else(|| text(&when));
    let clear_text = text(&clear);
    let when = absent.or(when);
    RuleDraft {
        table: place,
        when: when
            .filter(|_| when_text.is_some() && !silent_venue)
            .map(|value| value.place()),
        clear: clear.map(|value| value.place()),
        suppressors,
        schedule: schedule.as_ref().map(Value::place),
        actions,
        def: RuleDef {
            id,
            on: on.unwrap_or_default(),
            when: when_text.unwrap_or_default(),
            clear: clear_text,
            hold: timing.hold.unwrap_or(Millis::ZERO),
            keep_for: timing.keep_for.unwrap_or(Millis::ZERO),
            max_gap: timing.max_gap.unwrap_or(DEFAULT_MAX_GAP),
            after: timing.after,
            chatter: timing.chatter.unwrap_or(DEFAULT_CHATTER),
            suppressed_by,
            schedule: text(&schedule),
            limit,
            class: class.unwrap_or(Class::Alarm),
            priority: priority.unwrap_or(Priority::Critical),
            latch: latch.unwrap_or(false),
            title: title.unwrap_or_default(),
            reason,
            notify,
            then,
        },
    }
}

/// Whether `absent` stands on a venue, which says nothing itself; reports that, and what cannot stand beside `absent`.
fn misplaced<'v>(
    absent: &Value<'_>,
    on: Option<&[String]>,
    others: impl Iterator<Item = &'v Value<'v>>,
) -> bool {
    for other in others {
        other.wrong("`absent` stands in the place of `when` and `clear`: it ends when the device speaks");
    }
    let silent_venue = on.is_some_and(|on| on == [VENUE]);
    if silent_venue {
        absent.key_wrong("`absent` is for rules on a kind of device; of venues ask when = \"devices.all(d, age(d) >= '10m')\"");
    }
    silent_venue
}

/// How fast a rule raises and ends.
struct Timing {
    hold: Option<Millis>,
    keep_for: Option<Millis>,
    max_gap: Option<Millis>,
    after: Option<Repeat>,
    chatter: Option<Repeat>,
}

fn read_timing(table: &mut Table<'_>, absent: bool) -> Timing {
    let delay = |value: Option<Value<'_>>, range| value.and_then(|value| value.duration(range)).map(millis);
    let hold_value = table.optional("for");
    let hold = hold_value
        .as_ref()
        .and_then(|value| value.duration(DELAY))
        .map(millis);
    let after_value = table.optional("after");
    let after = after_value
        .as_ref()
        .and_then(|value| repeat(value, "`after`", 2..=MAX_REPEAT));
    if absent {
        for (value, key) in [(&hold_value, "for"), (&after_value, "after")] {
            if let Some(value) = value {
                value.key_wrong(&format!(
                    "`{key}` cannot stand beside `absent`: make `absent` longer"
                ));
            }
        }
    } else if let (Some(value), Some(_), Some(Millis(1..))) = (&hold_value, &after_value, hold) {
        value.key_wrong("`for` and `after` exclude each other: either the condition holds so long, or it is found so often");
    }
    Timing {
        hold,
        keep_for: delay(table.optional("keep_for"), DELAY),
        max_gap: delay(table.optional("max_gap"), MAX_GAP),
        after,
        chatter: table
            .optional("chatter")
            .and_then(|chatter| repeat(&chatter, "`chatter`", 2..=MAX_REPEAT)),
    }
}

/// `{ count = 3, within = "10m" }`.
fn repeat(value: &Value<'_>, title: &str, counts: RangeInclusive<u8>) -> Option<Repeat> {
    let mut table = value.table(title)?;
    let count = table
        .required("count")
        .and_then(|count| count.integer(i64::from(*counts.start())..=i64::from(*counts.end())));
    let within = table
        .required("within")
        .and_then(|within| within.duration(MAX_GAP));
    Some(Repeat {
        count: count.and_then(|count| u8::try_from(count).ok())?,
        within: millis(within?),
    })
}

/// How often a rule may be told of. Alarms are never held back.
fn limit(value: &Value<'_>, class: Option<Class>) -> Option<Repeat> {
    let limit = repeat(value, "`limit`", 1..=MAX_LIMIT);
    if class == Some(Class::Alarm) {
        value.key_wrong("an alarm is never limited: `limit` is for warnings, faults and hazards");
        return None;
    }
    limit
}

/// A list of names, and where each stands.
fn names_of(list: Option<Value<'_>>) -> (Vec<String>, Vec<Place>) {
    let values = list.and_then(|list| list.list()).unwrap_or_default();
    values
        .iter()
        .filter_map(|value| Some((value.filled_text()?.into_owned(), value.place())))
        .unzip()
}

/// The condition that `absent` stands for.
fn silence(value: &Value<'_>) -> Option<String> {
    value.duration(SILENCE)?;
    let length = value.filled_text()?;
    Some(format!("age() >= '{length}'"))
}

fn millis(duration: Duration) -> Millis {
    Millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

/// The kinds that a rule is on: one, or a list.
fn watched(value: &Value<'_>, kinds: &Kinds) -> Vec<String> {
    let DeValue::Array(items) = value.tree else {
        return watched_kind(value, kinds).into_iter().collect();
    };
    if items.is_empty() {
        value.wrong("`on` is an empty list: the rule would watch nothing");
    }
    let mut on: Vec<String> = Vec::new();
    for item in value.list().unwrap_or_default() {
        let Some(kind) = watched_kind(&item, kinds) else {
            continue;
        };
        if kind == EVERY_KIND && items.len() > 1 {
            item.wrong(format!("`{EVERY_KIND}` stands for every kind, and alone"));
        } else if kind == VENUE && items.len() > 1 {
            item.wrong(format!("a rule on `{VENUE}` is on nothing else"));
        } else if on.contains(&kind) {
            item.wrong(format!("the kind `{kind}` is listed twice"));
        }
        on.push(kind);
    }
    on
}

fn watched_kind(value: &Value<'_>, kinds: &Kinds) -> Option<String> {
    let kind = value.filled_text()?;
    if kind != EVERY_KIND && kind != GATEWAY_KIND {
        kinds
            .names
            .check_or(&kind, Some(VENUE), &value.place(), value.scope.report);
    }
    Some(kind.into_owned())
}

fn route(value: &Value<'_>, class: Option<Class>, around: &Surroundings<'_>) -> Option<String> {
    let name = value.filled_text()?;
    if let Some(names) = around.route_names {
        names.check(&name, &value.place(), value.scope.report);
    }
    let named = around.routes.iter().find(|draft| draft.route.name == name);
    if let (Some(class), Some(draft)) = (class, named)
        && draft.classes_known
        && !draft.route.classes.contains(&class)
    {
        value.wrong_with(
            format!(
                "nobody would be told: route `{name}` does not take the class `{}`",
                class.as_str()
            ),
            format!(
                "add \"{}\" to the route's `classes`, or leave `notify` out",
                class.as_str()
            ),
        );
    }
    Some(name.into_owned())
}

/// Compiles the rules whose kinds are known wholly: of the others nothing sure can be said yet.
fn compile(
    drafts: &[RuleDraft],
    schedules: Vec<ScheduleDef>,
    around: &Surroundings<'_>,
    report: &Report,
) -> Definitions {
    let kinds = around.kinds;
    let known = |on: &String| match on.as_str() {
        EVERY_KIND | VENUE => kinds.complete(),
        GATEWAY_KIND => true,
        kind => kinds.whole(kind).is_some(),
    };
    let drafts: Vec<&RuleDraft> = drafts
        .iter()
        .filter(|draft| draft.when.is_some() && !draft.def.on.is_empty())
        .filter(|draft| draft.def.on.iter().all(known))
        .collect();
    let source = DefinitionSource {
        kinds: kinds.all_whole().cloned().collect(),
        rules: drafts.iter().map(|draft| draft.def.clone()).collect(),
        schedules,
        venues: around.venues.to_vec(),
        devices: around.devices.to_vec(),
    };
    match Definitions::compile(source) {
        Ok(definitions) => definitions,
        Err(errors) => {
            for error in &errors {
                if let Some(draft) = drafts.get(error.rule) {
                    explain(draft, error, report);
                }
            }
            Definitions::default()
        }
    }
}

fn explain(draft: &RuleDraft, error: &RuleError, report: &Report) {
    match &error.problem {
        RuleProblem::Expression(RuleField::When, problem) => {
            if let Some(place) = &draft.when {
                place.explain(&draft.def.when, problem, report);
            }
        }
        RuleProblem::Expression(RuleField::Clear, problem) => {
            let written = draft.def.clear.as_deref().unwrap_or_default();
            if let Some(place) = &draft.clear {
                place.explain(written, problem, report);
            }
        }
        // All were found while reading, where their exact places are known. Said again only if they were not.
        RuleProblem::UnknownKind | RuleProblem::DuplicateId | RuleProblem::UnknownSchedule { .. }
            if report.count() > 0 => {}
        RuleProblem::UnknownSchedule { suggestion } => {
            let place = draft.schedule.as_ref().unwrap_or(&draft.table);
            let help = suggestion.as_ref().map(|near| format!("did you mean `{near}`?"));
            report.add(place.problem("the schedule does not exist").help(help));
        }
        // The kinds' own reader has compiled it, and takes no kind where that failed.
        RuleProblem::Faulty(problem) => report.add(draft.table.problem(&*problem.message)),
        RuleProblem::UnknownKind => report.add(draft.table.problem("the rule's kind does not exist")),
        RuleProblem::Action(problem) => {
            if let Some(action) = draft.actions.get(problem.place) {
                action.explain(problem, report);
            }
        }
        RuleProblem::Suppressor {
            place,
            problem,
            suggestion,
        } => {
            let place = draft.suppressors.get(*place).unwrap_or(&draft.table);
            let help = suggestion.as_ref().map(|near| format!("did you mean `{near}`?"));
            report.add(place.problem(problem.clone()).help(help));
        }
        RuleProblem::DuplicateId => report.add(draft.table.problem("another rule has the same id")),
    }
}
