//! `[[roster]]`: its rotations, overrides and holidays.

use jiff::civil::{Date, DateTime};
use toml::de::DeValue;

use super::document::Table;
use super::names::{Names, own_name};
use super::schedules::{parse_time, read_date, read_days, read_time, read_zone};
use super::source::Place;
use super::value::Value;
use crate::domain::roster::{Holiday, Override, Roster, RosterDef, Rotation};
use crate::domain::schedule::DAY_MINUTES;

/// When turns change, where nothing is said.
const HAND_OVER: u16 = 8 * 60;

/// The longest turn, in days.
const LONGEST_TURN: u16 = 366;

const INSTANT_FORM: &str = "write a date and a time by the clock there: \"2026-02-10 08:00\"";

/// A roster and where its table stands.
#[derive(Debug)]
pub(super) struct RosterDraft {
    pub(super) roster: Roster,
    pub(super) place: Place,
}

/// Reads every `[[roster]]`; their names go to `names`.
pub(super) fn read(tables: Vec<Table<'_>>, names: &mut Names, officers: &Names) -> Vec<RosterDraft> {
    let drafts = tables
        .into_iter()
        .map(|table| read_roster(table, names, officers));
    drafts.flatten().collect()
}

fn read_roster(mut table: Table<'_>, names: &mut Names, officers: &Names) -> Option<RosterDraft> {
    let place = table.place().clone();
    let name = own_name(&mut table, "name", names);
    let time_zone = read_zone(&mut table);
    if !table.has("rotation") {
        table.missing("[[roster.rotation]]");
    }
    let rotations = table.tables("rotation", "[[roster.rotation]]");
    let overrides = table.tables("override", "[[roster.override]]");
    let holidays = table.tables("holiday", "[[roster.holiday]]");
    let def = RosterDef {
        name,
        time_zone,
        rotations: rotations
            .into_iter()
            .filter_map(|table| read_rotation(table, officers))
            .collect(),
        overrides: read_overrides(overrides, officers),
        holidays: read_holidays(holidays, officers),
    };
    Some(RosterDraft {
        roster: Roster::new(def)?,
        place,
    })
}

fn read_rotation(mut table: Table<'_>, officers: &Names) -> Option<Rotation> {
    let officers = read_officers(&mut table, officers);
    let each = table.required("each").and_then(|each| read_turn(&each));
    let from = table.required("from").and_then(|from| read_date(&from));
    let hand_over = table.optional("hand_over");
    let hand_over = hand_over.and_then(|time| read_time(&time, DAY_MINUTES - 1));
    let days = table.optional("days").and_then(|days| read_days(&days));
    let hours = table.optional("hours").and_then(|hours| read_hours(&hours));
    Some(Rotation {
        officers,
        each_days: each?,
        from: from?,
        hand_over: hand_over.unwrap_or(HAND_OVER),
        days: days.unwrap_or_default(),
        hours,
    })
}

fn read_officers(table: &mut Table<'_>, known: &Names) -> Vec<String> {
    let report = table.report();
    let Some(list) = table.required("officers") else {
        return Vec::new();
    };
    let items = list.list();
    if items.as_ref().is_some_and(Vec::is_empty) {
        list.wrong("`officers` is empty: nobody would be on duty");
    }
    let items = items.unwrap_or_default();
    let officers = items.iter().filter_map(|value| {
        let id = value.filled_text()?;
        known.check(&id, &value.place(), report);
        Some(id.into_owned())
    });
    officers.collect()
}

/// Days or weeks: `3d`, `1w`.
fn read_turn(value: &Value<'_>) -> Option<u16> {
    let text = value.text()?;
    let days = text.strip_suffix('d').map(|days| (days, 1));
    let turn = days.or_else(|| text.strip_suffix('w').map(|weeks| (weeks, 7)));
    let turn = turn.and_then(|(number, days)| number.parse::<u16>().ok()?.checked_mul(days));
    let turn = turn.filter(|days| (1..=LONGEST_TURN).contains(days));
    if turn.is_none() {
        let message = format!("`each` is not a length of days or weeks: {text:?}");
        let form = format!("write \"1d\", \"2w\"; at most {LONGEST_TURN} days");
        value.wrong_with(message, form);
    }
    turn
}

/// From when to when a shift lasts.
fn read_hours(value: &Value<'_>) -> Option<(u16, u16)> {
    let text = value.text()?;
    let hours = text.split_once('-').and_then(|(from, to)| {
        let from = parse_time(from.trim()).filter(|from| *from < DAY_MINUTES)?;
        Some((from, parse_time(to.trim()).filter(|to| *to <= DAY_MINUTES)?))
    });
    if hours.is_none() {
        let message = format!("`hours` is not from when to when: {text:?}");
        value.wrong_with(message, "write \"18:00-08:00\"; it may pass midnight".to_owned());
    }
    hours
}

fn read_overrides(tables: Vec<Table<'_>>, officers: &Names) -> Vec<Override> {
    let mut overrides: Vec<(Override, Place)> = Vec::new();
    for mut table in tables {
        let place = table.place().clone();
        let report = table.report();
        let from = table.required("from").and_then(|from| read_instant(&from));
        let to_value = table.required("to");
        let to = to_value.as_ref().and_then(read_instant);
        let officers = read_officers(&mut table, officers);
        let (Some(from), Some(to), Some(value)) = (from, to, to_value) else {
            continue;
        };
        if to <= from {
            value.wrong("the override ends before it begins");
        }
        let twice = overrides
            .iter()
            .find(|(other, _)| from < other.to && other.from < to);
        if let Some((_, other)) = twice {
            overlap("override", &place, other, report);
        }
        overrides.push((Override { from, to, officers }, place));
    }
    overrides.into_iter().map(|(other, _)| other).collect()
}

fn read_holidays(tables: Vec<Table<'_>>, officers: &Names) -> Vec<Holiday> {
    let mut holidays: Vec<(Holiday, Place)> = Vec::new();
    for mut table in tables {
        let place = table.place().clone();
        let report = table.report();
        let name = table.optional("name").and_then(|name| name.filled_text());
        let from = table.required("from").and_then(|from| read_date(&from));
        let to_value = table.required("to");
        let to: Option<Date> = to_value.as_ref().and_then(read_date);
        let officers = read_officers(&mut table, officers);
        let (Some(from), Some(to), Some(value)) = (from, to, to_value) else {
            continue;
        };
        if to < from {
            value.wrong("the holiday ends before it begins");
        }
        let twice = holidays
            .iter()
            .find(|(other, _)| from <= other.to && other.from <= to);
        if let Some((_, other)) = twice {
            overlap("holiday", &place, other, report);
        }
        let name = name.unwrap_or_default().into_owned();
        holidays.push((
            Holiday {
                name,
                from,
                to,
                officers,
            },
            place,
        ));
    }
    holidays.into_iter().map(|(holiday, _)| holiday).collect()
}

fn overlap(what: &str, place: &Place, other: &Place, report: &super::source::Report) {
    let other = other.problem("");
    let problem = place.problem(format!("two {what}s at the same time: who is on duty?"));
    report.add(problem.label("the second one").help(format!(
        "the first is at {}:{}:{}",
        other.file, other.line, other.column
    )));
}

/// A date and a time without a zone.
fn read_instant(value: &Value<'_>) -> Option<DateTime> {
    let written = match value.tree {
        DeValue::Datetime(at) => at.to_string(),
        DeValue::String(_) | DeValue::Table(_) => value.text()?.into_owned(),
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Array(_) => {
            value.wrong_type_with("a date and a time", INSTANT_FORM.to_owned());
            return None;
        }
    };
    let parsed = parse_instant(&written);
    if parsed.is_none() {
        let message = format!("`{}` is not a date and a time: {written:?}", value.key);
        value.wrong_with(message, INSTANT_FORM.to_owned());
    }
    parsed
}

fn parse_instant(written: &str) -> Option<DateTime> {
    let (date, time) = written.split_once([' ', 'T'])?;
    let time = time
        .strip_suffix(":00")
        .filter(|_| time.len() > 5)
        .unwrap_or(time);
    let minutes = parse_time(time).filter(|minutes| *minutes < DAY_MINUTES)?;
    let (hour, minute) = (i8::try_from(minutes / 60).ok()?, i8::try_from(minutes % 60).ok()?);
    let date: Date = date.parse().ok().filter(|_| date.len() == "2026-02-10".len())?;
    Some(date.at(hour, minute, 0, 0))
}

#[cfg(test)]
mod tests {
    use super::parse_instant;

    #[test]
    fn an_instant_is_a_date_and_minutes() {
        for (text, wanted) in [
            ("2026-02-10 08:00", Some("2026-02-10T08:00:00")),
            ("2026-02-10T23:59", Some("2026-02-10T23:59:00")),
            ("2026-02-10T08:30:00", Some("2026-02-10T08:30:00")),
            ("2026-02-10", None),
            ("2026-02-10 24:00", None),
            ("2026-02-10 8:00", None),
            ("2026-02-10 08:00:30", None),
            ("2026-02-30 08:00", None),
            ("2026-02-10 08:00Z", None),
        ] {
            let found = parse_instant(text).map(|at| at.to_string());
            assert_eq!(found.as_deref(), wanted, "{text}");
        }
    }
}
