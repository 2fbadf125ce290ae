//! Profile files: `[profile]` and its `[[message]]`s. Checks their form and that kinds and points exist, and
//! brings what the compiler says of a mapping to its place in the file.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::document::Table;
use super::kinds::Kinds;
use super::names::{Names, own_name};
use super::source::{Place, Report, Scope, Source};
use super::value::Value;
use crate::domain::profile::decoder::Decoder;
use crate::domain::profile::def::{
    Form, MarkDef, MessageDef, PointMap, ProfileDef, SourceDef, TimeDef, TimeUnit,
};
use crate::domain::profile::native::native;
use crate::domain::registry::Registry;
use crate::domain::time::{ClockBounds, Millis};

const BUILT_IN: &str = "native";

const MAX_AHEAD: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_hours(24);
const MAX_BEHIND: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_millis(ClockBounds::MOST_BEHIND.0);

const UNITS: [&str; 4] = ["s", "ms", "us", "rfc3339"];

/// A profile and where it stands.
#[derive(Debug)]
struct ProfileDraft {
    def: ProfileDef,
    head: Place,
    messages: Vec<MessagePlaces>,
}

/// Where a message's table stands, and each of its points.
#[derive(Debug)]
struct MessagePlaces {
    topic: Place,
    points: Vec<(String, Place)>,
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
    if let Some(value) = name_value.filter(|_| name == BUILT_IN) {
        value.wrong(format!(
            "`{BUILT_IN}` is the built-in profile, which is always there"
        ));
    }
    let subscribe = head.optional("subscribe").map(|list| texts(&list));
    let ignore = head.optional("ignore").map(|list| texts(&list));
    let clock = read_clock(&mut head);
    let messages = root.tables("message", "[[message]]");
    if messages.is_empty() {
        root.missing("[[message]]");
    }
    let (messages, places): (Vec<MessageDef>, Vec<MessagePlaces>) = messages
        .into_iter()
        .map(|message| read_message(message, kinds))
        .unzip();
    ProfileDraft {
        head: head.place().clone(),
        def: ProfileDef {
            name,
            subscribe: subscribe.unwrap_or_else(|| filters(&messages)),
            ignore: ignore.unwrap_or_default(),
            clock,
            messages,
            ..ProfileDef::default()
        },
        messages: places,
    }
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

fn texts(value: &Value<'_>) -> Vec<String> {
    let items = value.list().unwrap_or_default();
    items
        .iter()
        .filter_map(Value::filled_text)
        .map(String::from)
        .collect()
}

/// The MQTT filters that cover the messages' topics: each capture becomes `+`.
fn filters(messages: &[MessageDef]) -> Vec<String> {
    let mut filters: Vec<String> = Vec::new();
    for message in messages {
        let levels = message.topic.split('/');
        let filter = levels
            .map(|level| if level.starts_with('{') { "+" } else { level })
            .collect::<Vec<_>>()
            .join("/");
        if !filters.contains(&filter) {
            filters.push(filter);
        }
    }
    filters
}

fn read_message(mut table: Table<'_>, kinds: &Kinds) -> (MessageDef, MessagePlaces) {
    let topic_value = table.required("topic");
    let topic = topic_value.as_ref().and_then(Value::filled_text);
    let kind = table.optional("kind").and_then(|kind| {
        let id = kind.filled_text()?;
        kinds.names.check(&id, &kind.place(), kind.scope.report);
        Some(id.into_owned())
    });
    let venue = table.optional("venue").and_then(|venue| venue.filled_text());
    let form = table
        .optional("payload")
        .and_then(|form| form.word("form of payload", &[("json", Form::Json), ("text", Form::Text)]))
        .unwrap_or(Form::Json);
    let (points, places): (Vec<PointMap>, Vec<Place>) = table
        .tables("point", "[[message.point]]")
        .into_iter()
        .map(|point| read_point(point, kind.as_deref(), kinds, form))
        .unzip();
    let places = MessagePlaces {
        topic: topic_value.map_or_else(|| table.place().clone(), |topic| topic.place()),
        points: points.iter().map(|map| map.point.clone()).zip(places).collect(),
    };
    let payload = match form {
        Form::Json | Form::Packed(_) => read_json(&mut table, points),
        Form::Text => read_text(&mut table, points),
    };
    let message = MessageDef {
        topic: topic.unwrap_or_default().into_owned(),
        kind,
        venue: venue.map(String::from),
        ..payload
    };
    (message, places)
}

fn read_json(table: &mut Table<'_>, points: Vec<PointMap>) -> MessageDef {
    let time = table.optional("time").and_then(|value| {
        let mut time = value.table("`time`")?;
        let at = time.required("at").and_then(|at| pointer(&at));
        let unit = time
            .required("unit")
            .and_then(|unit| unit.word("unit of time", &UNITS.map(|unit| (unit, unit))));
        Some(TimeDef {
            source: SourceDef::at(&at?),
            unit: time_unit(unit?),
            zone: None,
        })
    });
    let test = table.optional("test").and_then(|at| pointer(&at));
    let history = table.optional("history").and_then(|at| pointer(&at));
    let seq = table.optional("seq").and_then(|at| pointer(&at));
    let by_name = table.optional("by_name").and_then(|by_name| by_name.boolean());
    if points.is_empty() && by_name != Some(true) {
        table.missing("[[message.point]] or `by_name = true`");
    }
    let mark = |at: String| MarkDef {
        source: SourceDef::at(&at),
        is: Vec::new(),
    };
    MessageDef {
        time,
        test: test.map(mark),
        history: history.map(mark),
        seq: seq.into_iter().collect(),
        by_name: by_name.unwrap_or(false),
        points,
        ..MessageDef::default()
    }
}

fn time_unit(word: &str) -> TimeUnit {
    match word {
        "s" => TimeUnit::Seconds,
        "us" => TimeUnit::Microseconds,
        "rfc3339" => TimeUnit::Rfc3339,
        _ => TimeUnit::Milliseconds,
    }
}

fn read_text(table: &mut Table<'_>, mut points: Vec<PointMap>) -> MessageDef {
    for key in ["time", "test", "history", "seq", "by_name"] {
        if let Some(value) = table.optional(key) {
            value.key_wrong(&format!("`{key}` is for JSON payloads only"));
        }
    }
    if points.len() > 1 {
        let message = "a text payload is one value: it has one [[message.point]]";
        table.report().add(table.place().problem(message));
    }
    let point = points.pop().unwrap_or_else(|| {
        table.missing("[[message.point]]");
        PointMap::default()
    });
    MessageDef {
        form: Form::Text,
        points: vec![point],
        ..MessageDef::default()
    }
}

fn read_point(mut table: Table<'_>, kind: Option<&str>, kinds: &Kinds, form: Form) -> (PointMap, Place) {
    let place = table.place().clone();
    let point = table.required("point").and_then(|point| {
        let id = point.filled_text()?;
        check_point(&id, &point, kind, kinds);
        Some(id.into_owned())
    });
    let at = match form {
        Form::Json | Form::Packed(_) => table.required("at").and_then(|at| pointer(&at)),
        Form::Text => {
            if let Some(at) = table.optional("at") {
                at.key_wrong("`at` is for JSON payloads only: a text payload is one value");
            }
            None
        }
    };
    let scale = table.optional("scale").and_then(|scale| {
        let factor = scale.number()?;
        if factor == 0.0 {
            scale.wrong("a scale of 0 makes every value 0");
        }
        Some(factor)
    });
    let offset = table.optional("offset").and_then(|offset| offset.number());
    let map = table.optional("map").and_then(|map| read_map(&map));
    let map = PointMap {
        point: point.unwrap_or_default(),
        source: at.map(|at| SourceDef::at(&at)).unwrap_or_default(),
        scale: scale.unwrap_or(1.0),
        offset: offset.unwrap_or(0.0),
        map: map.unwrap_or_default(),
        ..PointMap::default()
    };
    (map, place)
}

/// A point must be one of the message's kind, or of any kind when the topic names it.
fn check_point(id: &str, value: &Value<'_>, kind: Option<&str>, kinds: &Kinds) {
    let report = value.scope.report;
    let candidates: Vec<_> = match kind {
        Some(kind) => kinds.whole(kind).into_iter().collect(),
        None => kinds.all_whole().collect(),
    };
    let all_known = kind.is_some() || candidates.len() == kinds.drafts.len();
    if candidates.is_empty() || !all_known || candidates.iter().any(|kind| kind.point(id).is_some()) {
        return;
    }
    let mut known: Vec<&str> = candidates
        .iter()
        .flat_map(|kind| &kind.points)
        .map(|point| point.id.as_str())
        .collect();
    known.sort_unstable();
    known.dedup();
    let owner = kind.map_or_else(|| "no kind".to_owned(), |kind| format!("kind `{kind}` does not"));
    let message = match kind {
        Some(_) => format!("{owner} have a point `{id}`"),
        None => format!("{owner} has a point `{id}`"),
    };
    report.add(
        value
            .place()
            .problem(message)
            .help(super::finding::did_you_mean(id, known)),
    );
}

/// A JSON Pointer (RFC 6901): empty, or `/` before each step, `~` only as `~0` or `~1`.
fn pointer(value: &Value<'_>) -> Option<String> {
    let text = value.text()?;
    let escapes_fit = text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    if (text.is_empty() || text.starts_with('/')) && escapes_fit {
        return Some(text.into_owned());
    }
    let help = if escapes_fit {
        format!("did you mean \"/{text}\"?")
    } else {
        "`~` is written `~0`, and a `/` within a name `~1`".to_owned()
    };
    value.wrong_with(format!("{text:?} is not a JSON Pointer"), help);
    None
}

/// Words on the wire → words of the point, in the order of the file.
fn read_map(value: &Value<'_>) -> Option<Vec<(String, String)>> {
    let mut table = value.table("`map`")?;
    let entries = table.entries();
    if entries.is_empty() {
        value.wrong("`map` is empty");
    }
    Some(
        entries
            .into_iter()
            .filter_map(|(from, to)| Some((from, to.any_scalar_text()?)))
            .collect(),
    )
}
