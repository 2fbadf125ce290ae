//! `[[message]]` of a profile file: its keys in the order of a message's way, topic first, points last.

use super::document::Table;
use super::kinds::Kinds;
use super::profile_source::{Words, condition, conditions, json, places, pointers, source, texts};
use super::source::Place;
use super::value::Value;
use crate::domain::profile::def::{
    AckDef, CommandDef, CommandPayload, ConditionDef, FieldsDef, Form, MarkDef, MessageDef, Packing,
    ParentDef, PointMap, RecordsDef, SourceDef, TestDef, TimeDef, TimeUnit,
};
use crate::domain::reading::ReadingKind;

const FORMS: [(&str, Form); 10] = [
    ("json", Form::Json),
    ("text", Form::Text),
    ("hex", Form::Packed(Packing::Hex)),
    ("base64", Form::Packed(Packing::Base64)),
    ("bytes", Form::Packed(Packing::Bytes)),
    ("json-text", Form::Packed(Packing::Json)),
    ("base64-json", Form::Packed(Packing::Base64Json)),
    ("fields", Form::Packed(Packing::Fields)),
    ("octets", Form::Packed(Packing::Octets)),
    ("registers", Form::Packed(Packing::Registers)),
];

const PACKINGS: [(&str, Packing); 7] = [
    ("json", Packing::Json),
    ("hex", Packing::Hex),
    ("base64", Packing::Base64),
    ("base64-json", Packing::Base64Json),
    ("fields", Packing::Fields),
    ("octets", Packing::Octets),
    ("registers", Packing::Registers),
];

const UNITS: [&str; 9] = ["s", "ms", "us", "ns", "epoch", "auto", "rfc3339", "iso", "packed"];

const MOST_BYTES: i64 = 65_535;

/// Where a message's table stands, and each of its points.
#[derive(Debug)]
pub(super) struct MessagePlaces {
    /// Its topic.
    pub(super) topic: Place,
    /// Its points.
    pub(super) points: Vec<(String, Place)>,
}

/// Reads one message; `zone` is the profile's.
pub(super) fn message(
    mut table: Table<'_>,
    kinds: &Kinds,
    zone: Option<&str>,
    point: impl Fn(Table<'_>, Option<&str>, Form) -> (PointMap, Place),
) -> (MessageDef, MessagePlaces) {
    let topic_value = table.required("topic");
    let topic = topic_value.as_ref().and_then(Value::filled_text);
    let kind = table.optional("kind").and_then(|kind| {
        let id = kind.filled_text()?;
        kinds.names.check(&id, &kind.place(), kind.scope.report);
        Some(id.into_owned())
    });
    let form = table
        .optional("payload")
        .and_then(|form| form.word("form of payload", &FORMS))
        .unwrap_or_default();
    let (points, places): (Vec<PointMap>, Vec<Place>) = table
        .tables("point", "[[message.point]]")
        .into_iter()
        .map(|table| point(table, kind.as_deref(), form))
        .unzip();
    let places = MessagePlaces {
        topic: topic_value.map_or_else(|| table.place().clone(), |topic| topic.place()),
        points: points.iter().map(|map| map.point.clone()).zip(places).collect(),
    };
    let message = MessageDef {
        topic: topic.unwrap_or_default().into_owned(),
        kind,
        form,
        points,
        ..identity(&mut table)
    };
    let message = bytes_and_items(&mut table, message);
    let message = marks(&mut table, message, zone);
    if message.points.is_empty() && !message.by_name && message.ack.is_none() {
        table.missing("[[message.point]], `by_name = true` or `ack`");
    }
    (message, places)
}

/// Who speaks.
fn identity(table: &mut Table<'_>) -> MessageDef {
    let text = |table: &mut Table<'_>, key| {
        let value: Option<Value<'_>> = table.optional(key);
        value.and_then(|value| value.filled_text().map(String::from))
    };
    MessageDef {
        except: table
            .optional("except")
            .map(|list| texts(&list))
            .unwrap_or_default(),
        venue: text(table, "venue"),
        device: text(table, "device"),
        name: text(table, "name"),
        parent: table.optional("parent").and_then(|value| {
            let mut parent = value.table("`parent`")?;
            let kind = parent.required("kind").and_then(|kind| kind.filled_text());
            let device = parent.required("device").and_then(|device| device.filled_text());
            Some(ParentDef {
                kind: kind?.into_owned(),
                device: device?.into_owned(),
            })
        }),
        trust_payload_ids: table
            .optional("trust_payload_ids")
            .and_then(|trust| trust.boolean())
            .unwrap_or_default(),
        capture: entries(table, "capture", source),
        same: entries(table, "same", |value| value.filled_text().map(String::from)),
        ..MessageDef::default()
    }
}

fn bytes_and_items(table: &mut Table<'_>, message: MessageDef) -> MessageDef {
    MessageDef {
        unpack: entries(table, "unpack", |value| value.word("packing", &PACKINGS)),
        tags: entries(table, "tags", |value| {
            usize::try_from(value.integer(0..=MOST_BYTES)?).ok()
        }),
        records: table.optional("records").and_then(|value| {
            let mut records = value.table("`records`")?;
            let mut number = |key, least| {
                let value: Option<Value<'_>> = records.optional(key);
                value.and_then(|value| usize::try_from(value.integer(least..=MOST_BYTES)?).ok())
            };
            let (start, size, count) = (number("start", 0), number("size", 1), number("count", 0));
            if size.is_none() {
                records.missing("`size`");
            }
            Some(RecordsDef {
                start: start.unwrap_or_default(),
                size: size?,
                count,
            })
        }),
        fields: table.optional("fields").and_then(|value| {
            let mut fields = value.table("`fields`")?;
            let usual = FieldsDef::default();
            let mut text = |key| {
                let value: Option<Value<'_>> = fields.optional(key);
                value.and_then(|value| value.text().map(String::from))
            };
            Some(FieldsDef {
                between: text("between").unwrap_or(usual.between),
                pair: text("pair").unwrap_or(usual.pair),
            })
        }),
        each: table
            .optional("each")
            .and_then(|each| each.filled_text().map(String::from)),
        carry: table
            .optional("carry")
            .map(|value| pointers(&value))
            .unwrap_or_default(),
        conditions: table
            .optional("if")
            .map(|value| conditions(&value))
            .unwrap_or_default(),
        ..message
    }
}

fn marks(table: &mut Table<'_>, message: MessageDef, zone: Option<&str>) -> MessageDef {
    MessageDef {
        time: table.optional("time").and_then(|value| time(&value, zone)),
        test: table.optional("test").and_then(|value| mark(&value)),
        history: table.optional("history").and_then(|value| mark(&value)),
        reading: table.optional("reading").and_then(|value| {
            value.word(
                "kind of reading",
                &[
                    ("live", ReadingKind::Live),
                    ("test", ReadingKind::Test),
                    ("history", ReadingKind::History),
                ],
            )
        }),
        seq: table
            .optional("seq")
            .map(|value| pointers(&value))
            .unwrap_or_default(),
        by_name: table
            .optional("by_name")
            .and_then(|by_name| by_name.boolean())
            .unwrap_or_default(),
        ack: table.optional("ack").and_then(|value| {
            let mut ack = value.table("`ack`")?;
            Some(AckDef {
                id: ack.optional("id").and_then(|id| source(&id)),
                ok: ack.optional("ok").and_then(|ok| mark(&ok)),
            })
        }),
        ..message
    }
}

fn entries<T>(
    table: &mut Table<'_>,
    key: &'static str,
    read: impl Fn(&Value<'_>) -> Option<T>,
) -> Vec<(String, T)> {
    let Some(value) = table.optional(key) else {
        return Vec::new();
    };
    let Some(mut entries) = value.table(&format!("`{key}`")) else {
        return Vec::new();
    };
    let entries = entries.entries();
    entries
        .into_iter()
        .filter_map(|(name, value)| Some((name, read(&value)?)))
        .collect()
}

/// A pointer to true or false, or `{ at, is }`.
fn mark(value: &Value<'_>) -> Option<MarkDef> {
    if let Words::Table = Words::of(value) {
        let ConditionDef { source, test } = condition(value)?;
        return match test {
            TestDef::Is(is) => Some(MarkDef { source, is }),
            TestDef::Present(true) => Some(MarkDef {
                source,
                is: Vec::new(),
            }),
            TestDef::Present(false) | TestDef::Not(_) => {
                value.wrong("a mark says what sets it: `is`");
                None
            }
        };
    }
    Some(MarkDef {
        source: SourceDef {
            at: places(value)?,
            bytes: None,
        },
        is: Vec::new(),
    })
}

fn time(value: &Value<'_>, zone: Option<&str>) -> Option<TimeDef> {
    let mut time = value.table("`time`")?;
    let own = time
        .optional("zone")
        .and_then(|zone| zone.filled_text().map(String::from));
    let unit = time.either("unit", "pattern");
    let unit = match unit {
        Some(pattern) if pattern.key == "pattern" => pattern
            .filled_text()
            .map(|pattern| TimeUnit::Pattern(pattern.into_owned())),
        Some(unit) => unit
            .word("unit of time", &UNITS.map(|unit| (unit, unit)))
            .map(time_unit),
        None => {
            time.missing("`unit`");
            None
        }
    };
    let at = if time.has("at") {
        super::profile_source::source_of(&mut time)
    } else {
        time.missing("`at`");
        None
    };
    let base = time.optional("base").and_then(|base| source(&base));
    Some(TimeDef {
        source: at?,
        base,
        unit: unit?,
        zone: own.or_else(|| zone.map(str::to_owned)),
    })
}

fn time_unit(word: &str) -> TimeUnit {
    match word {
        "s" => TimeUnit::Seconds,
        "us" => TimeUnit::Microseconds,
        "ns" => TimeUnit::Nanoseconds,
        "epoch" => TimeUnit::Epoch,
        "auto" => TimeUnit::Auto,
        "rfc3339" => TimeUnit::Rfc3339,
        "iso" => TimeUnit::Iso,
        "packed" => TimeUnit::Packed,
        _ => TimeUnit::Milliseconds,
    }
}

/// Reads one `[[command]]`.
pub(super) fn command(mut table: Table<'_>, kinds: &Kinds) -> CommandDef {
    let kind = table.optional("kind").and_then(|kind| {
        let id = kind.filled_text()?;
        kinds.names.check(&id, &kind.place(), kind.scope.report);
        Some(id.into_owned())
    });
    let command = table
        .optional("command")
        .and_then(|command| command.filled_text().map(String::from));
    let topic = table.required("topic").and_then(|topic| topic.filled_text());
    let payload = match table.either("text", "json") {
        Some(value) if value.key == "json" => CommandPayload::Json(json(value.tree)),
        Some(value) => CommandPayload::Text(value.text().unwrap_or_default().into_owned()),
        None => {
            table.missing("`text` or `json`");
            CommandPayload::Text(String::new())
        }
    };
    CommandDef {
        kind,
        command,
        topic: topic.unwrap_or_default().into_owned(),
        payload,
    }
}
