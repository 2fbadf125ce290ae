//! `[[test]]` of profile files: messages and what they should say, commands and what should be published. Reads them,
//! runs nothing.

use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;

use super::document::Table;
use super::files;
use super::finding::{Finding, Findings};
use super::kinds;
use super::profile_source::{Words, json, texts};
use super::profiles;
use super::source::{Report, Scope};
use super::value::Value;
use crate::domain::kind::Kind;
use crate::domain::profile::def::ProfileDef;
use crate::domain::profile::trial::{ExpectedPart, Stimulus, Trial};
use crate::domain::reading::ReadingKind;
use crate::domain::time::Timestamp;

/// The tests of one profile file and what they run under.
#[derive(Debug)]
pub struct ProfileTests {
    /// The built-in profile and that of the file.
    pub profiles: Vec<ProfileDef>,
    /// The kinds: of `[profile] kinds`, or the built-in ones.
    pub kinds: Vec<Kind>,
    /// The tests, in file order, each with its line.
    pub tests: Vec<(usize, Trial)>,
}

/// The tests in the profile file `path`, or everything that is wrong with it. A file without tests is wrong too:
/// nothing would be tested.
pub fn load_profile_tests(path: &Path) -> Result<ProfileTests, Findings> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| {
        Findings::new(vec![Finding::of_file(
            &name,
            format!("cannot read the profile: {error}"),
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
    let kind_files = kind_files(&scope, tree.get_ref());
    let kinds = kinds::read(&kind_files, &report);
    let profiles = profiles::read(&[Arc::clone(&source)], &kinds, &report);
    let tests = tests(&scope, tree.get_ref());
    report.finish()?;
    Ok(ProfileTests {
        profiles,
        kinds: kinds.all_whole().cloned().collect(),
        tests,
    })
}

fn kind_files(scope: &Scope<'_>, tree: &toml::de::DeTable<'_>) -> Vec<Arc<super::source::Source>> {
    let head = tree.get("profile").and_then(|head| head.get_ref().as_table());
    let kinds = head.and_then(|head| head.get_key_value("kinds"));
    match kinds {
        Some((key, value)) => files::matching(&Value::entry(scope, key, value)),
        None => vec![files::built_in_kinds(scope)],
    }
}

fn tests(scope: &Scope<'_>, tree: &toml::de::DeTable<'_>) -> Vec<(usize, Trial)> {
    let Some((key, value)) = tree.get_key_value("test") else {
        let message = "the file has no [[test]]: nothing would be tested";
        scope.report.add(scope.place(0..0).problem(message));
        return Vec::new();
    };
    let list = Value::entry(scope, key, value);
    let Some(items) = list.list() else {
        return Vec::new();
    };
    let tables = items.iter().filter_map(|item| {
        let line = scope.source.line_of(item.span.start);
        Some((line, item.table("[[test]]")?))
    });
    tables.map(|(line, table)| (line, test(table))).collect()
}

fn filled(table: &mut Table<'_>, key: &'static str) -> Option<String> {
    let value = table.optional(key);
    value.and_then(|value| value.filled_text().map(String::from))
}

fn test(mut table: Table<'_>) -> Trial {
    let title = filled(&mut table, "name").unwrap_or_default();
    let stimulus = if table.has("command") {
        command(&mut table)
    } else {
        message(&mut table)
    };
    Trial { title, stimulus }
}

fn command(table: &mut Table<'_>) -> Stimulus {
    let command = filled(table, "command").unwrap_or_default();
    let kind = table.required("kind").and_then(|kind| kind.filled_text());
    let device = table.required("device").and_then(|device| device.filled_text());
    let captures = table.optional("captures").and_then(|captures| {
        let entries = captures.table("`captures`")?.entries();
        let texts = entries.into_iter();
        Some(
            texts
                .filter_map(|(name, text)| Some((name, text.any_scalar_text()?)))
                .collect(),
        )
    });
    let topic = table.required("topic").and_then(|topic| topic.filled_text());
    let payload = if let Some(value) = table.either("payload", "json") {
        payload(&value)
    } else {
        table.missing("`payload` or `json`");
        None
    };
    Stimulus::Command {
        command,
        kind: kind.unwrap_or_default().into_owned(),
        device: device.unwrap_or_default().into_owned(),
        captures: captures.unwrap_or_default(),
        topic: topic.unwrap_or_default().into_owned(),
        payload: payload.unwrap_or_default(),
    }
}

/// Text as it is, or a table as JSON.
fn payload(value: &Value<'_>) -> Option<Vec<u8>> {
    match Words::of(value) {
        Words::Table | Words::List => Some(json(value.tree).to_string().into_bytes()),
        Words::One => Some(value.any_scalar_text()?.into_bytes()),
    }
}

fn message(table: &mut Table<'_>) -> Stimulus {
    let topic = table.required("topic").and_then(|topic| topic.filled_text());
    let text = table.optional("payload").and_then(|text| payload(&text));
    let hex = table.optional("hex").and_then(|hex| {
        let bytes = crate::domain::profile::trial::hex(&hex.text()?);
        if bytes.is_none() {
            hex.wrong("this is not hexadecimal");
        }
        bytes
    });
    let base64 = table.optional("base64").and_then(|text| {
        let bytes = base64::engine::general_purpose::STANDARD.decode(text.text()?.as_bytes());
        bytes
            .map_err(|error| text.wrong(format!("this is not base64: {error}")))
            .ok()
    });
    let payloads: Vec<Vec<u8>> = [text, hex, base64].into_iter().flatten().collect();
    if payloads.len() != 1 {
        table.missing("one of `payload`, `hex` and `base64`");
    }
    let expect = table.optional("expect");
    let parts = match &expect {
        Some(value) => match Words::of(value) {
            Words::Table => vec![value.clone()],
            Words::List | Words::One => value.list().unwrap_or_default(),
        },
        None => Vec::new(),
    };
    let reject = filled(table, "reject");
    let ack = table.optional("ack").and_then(|ack| {
        let mut ack = ack.table("`ack`")?;
        let device = ack.required("device").and_then(|device| device.filled_text());
        let id = filled(&mut ack, "id");
        let ok = ack.required("ok").and_then(|ok| ok.boolean());
        Some((device?.into_owned(), id, ok?))
    });
    let ignored = table.optional("ignored").and_then(|ignored| ignored.boolean());
    if expect.is_none() && reject.is_none() && ack.is_none() && ignored.is_none() {
        table.missing("`expect`, `reject`, `ack` or `ignored`");
    }
    Stimulus::Message {
        topic: topic.unwrap_or_default().into_owned(),
        payload: payloads.into_iter().next().unwrap_or_default(),
        expect: parts.iter().filter_map(part).collect(),
        reject,
        ack,
        ignored: ignored.unwrap_or_default(),
    }
}

fn part(value: &Value<'_>) -> Option<ExpectedPart> {
    let mut table = value.table("what is expected")?;
    let device = table.required("device").and_then(|device| device.filled_text());
    let points = table.optional("points").and_then(|points| {
        let entries = points.table("`points`")?.entries();
        let points = entries.into_iter();
        Some(
            points
                .filter_map(|(point, value)| Some((point, value.any_scalar_text()?)))
                .collect(),
        )
    });
    let at = table.optional("at").and_then(|at| {
        let text = at.text()?;
        let time = text.parse::<jiff::Timestamp>();
        time.map_err(|error| at.wrong(format!("this is no RFC 3339 time: {error}")))
            .ok()
    });
    let reading = table.optional("reading").and_then(|reading| {
        let words = [
            ("live", ReadingKind::Live),
            ("test", ReadingKind::Test),
            ("history", ReadingKind::History),
        ];
        reading.word("kind of reading", &words)
    });
    Some(ExpectedPart {
        kind: filled(&mut table, "kind"),
        device: device?.into_owned(),
        points: points.unwrap_or_default(),
        unset: table
            .optional("unset")
            .map(|unset| texts(&unset))
            .unwrap_or_default(),
        at: at.map(|at| Timestamp(at.as_millisecond())),
        reading: reading.unwrap_or_default(),
        parent: filled(&mut table, "parent"),
    })
}
