//! `[[schedule]]` of rules files, and what venues files write in the same form: hours of the week, dates, time zones.

use toml::de::DeValue;

use super::document::Table;
use super::finding::{Nature, did_you_mean};
use super::names::{Names, own_name};
use super::source::{Place, Report};
use super::value::Value;
use crate::domain::almanac::{ScheduleDef, VENUE_CLOSED, VENUE_OPEN};
use crate::domain::schedule::{
    DAY_MINUTES, DEFAULT_TIME_ZONE, Day, Hours, Interval, OnHolidays, time_zone, time_zone_names,
};

const DAYS_FORM: &str = "write days = \"mon-fri\" or days = [\"mon\", \"wed\", \"sat\"]";
const TIME_FORM: &str = "write hours and minutes, \"09:00\"; a day ends at \"24:00\"";

/// A schedule; `None` when something is wrong with it, which is reported.
pub(super) fn read_schedule(mut table: Table<'_>, names: &mut Names) -> Option<ScheduleDef> {
    let report = table.report();
    let before = report.count();
    let name_value = table.optional("name");
    let name = own_name(&mut table, "name", names);
    if let Some(value) = name_value.filter(|_| name == VENUE_OPEN || name == VENUE_CLOSED) {
        value.wrong(format!("`{name}` is built in: it follows the venue's own hours"));
    }
    let zone = read_zone(&mut table);
    let weekly = table.required("weekly");
    let weekly = weekly.map(|weekly| read_weekly(&weekly)).unwrap_or_default();
    let has_holidays = table.has("holidays");
    let (holidays, on_holidays) = read_holidays(&mut table);
    if has_holidays && !table.has("on_holidays") {
        table.missing("`on_holidays`");
    }
    let hours = Hours {
        time_zone: zone,
        weekly,
        holidays,
        on_holidays,
    };
    drop(table);
    (report.count() == before).then_some(ScheduleDef { name, hours })
}

/// A venue's time zone, and its hours where it has any.
pub(super) fn read_venue_hours(table: &mut Table<'_>) -> (String, Option<Hours>) {
    let zone = read_zone(table);
    let weekly = table.optional("hours");
    for key in ["holidays", "on_holidays"] {
        if weekly.is_none() && table.has(key) {
            table.missing(format!("`hours`, which `{key}` is about"));
        }
    }
    let (holidays, on_holidays) = read_holidays(table);
    let hours = weekly.map(|weekly| Hours {
        time_zone: zone.clone(),
        weekly: read_weekly(&weekly),
        holidays,
        on_holidays,
    });
    (zone, hours)
}

/// Reports a schedule that a rule names and that does not exist; not while some file is unreadable, which may have it.
pub(super) fn check(name: &str, place: &Place, schedules: &[ScheduleDef], report: &Report) {
    let mut known: Vec<&str> = schedules.iter().map(|known| known.name.as_str()).collect();
    known.extend([VENUE_OPEN, VENUE_CLOSED]);
    if !known.contains(&name) && report.is_complete() {
        let problem = place.problem(format!("there is no schedule `{name}`"));
        report.add(problem.nature(Nature::Missing).help(did_you_mean(name, known)));
    }
}

/// A date: `"2026-10-01"` or the same without quotes.
pub(super) fn read_date(value: &Value<'_>) -> Option<jiff::civil::Date> {
    let form = "write year, month and day: \"2026-10-01\"".to_owned();
    let written = match value.tree {
        DeValue::Datetime(at) => at.to_string(),
        DeValue::String(_) | DeValue::Table(_) => value.text()?.into_owned(),
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Array(_) => {
            value.wrong_type_with("a date", form);
            return None;
        }
    };
    // The parser would also take the date of a longer text.
    if written.len() == "2026-10-01".len()
        && let Ok(date) = written.parse()
    {
        return Some(date);
    }
    value.wrong_with(format!("`{}` is not a date: {written:?}", value.key), form);
    None
}

/// The IANA name of a time zone that the program knows.
pub(super) fn read_zone(table: &mut Table<'_>) -> String {
    let zone = table.optional("time_zone").and_then(|value| {
        let name = value.filled_text()?.into_owned();
        if time_zone(&name).is_none() {
            let known = time_zone_names();
            let near = did_you_mean(&name, known.iter().map(String::as_str));
            let help =
                near.unwrap_or_else(|| "write a name of the IANA database: \"Asia/Shanghai\"".to_owned());
            value.wrong_with(format!("there is no time zone `{name}`"), help);
        }
        Some(name)
    });
    zone.unwrap_or_else(|| DEFAULT_TIME_ZONE.to_owned())
}

fn read_holidays(table: &mut Table<'_>) -> (Vec<jiff::civil::Date>, OnHolidays) {
    let holidays = table.optional("holidays").and_then(|value| value.list());
    let holidays = holidays.unwrap_or_default();
    let mut words = vec![("never", OnHolidays::Never), ("always", OnHolidays::Always)];
    words.extend(Day::ALL.map(|day| (day.as_str(), OnHolidays::As(day))));
    let like = table.optional("on_holidays");
    let like = like.and_then(|value| value.word("way of holidays", &words));
    let dates = holidays.iter().filter_map(read_date).collect();
    (dates, like.unwrap_or(OnHolidays::Never))
}

fn read_weekly(value: &Value<'_>) -> Vec<Interval> {
    let items = value.list().unwrap_or_default();
    items.iter().filter_map(read_interval).collect()
}

fn read_interval(value: &Value<'_>) -> Option<Interval> {
    let mut table = value.table(&format!("`{}`", value.key))?;
    let days = table.required("days").and_then(|days| read_days(&days));
    let from = table.required("from");
    let from = from.and_then(|from| read_time(&from, DAY_MINUTES - 1));
    let to_value = table.required("to");
    let to = to_value.as_ref().and_then(|to| read_time(to, DAY_MINUTES));
    if let (Some(value), Some(to)) = (to_value, to.filter(|to| from == Some(*to))) {
        let message = format!("it ends when it begins, at {:02}:{:02}", to / 60, to % 60);
        value.wrong_with(
            message,
            "a whole day is from = \"00:00\", to = \"24:00\"".to_owned(),
        );
    }
    Some(Interval {
        days: days?,
        from: from?,
        to: to?,
    })
}

/// Days: one, a range, or a list of either.
pub(super) fn read_days(value: &Value<'_>) -> Option<Vec<Day>> {
    let DeValue::Array(_) = value.tree else {
        return read_range(value);
    };
    let items = value.list()?;
    if items.is_empty() {
        value.wrong_with("`days` names no day", DAYS_FORM.to_owned());
        return None;
    }
    let ranges: Option<Vec<Vec<Day>>> = items.iter().map(read_range).collect();
    Some(ranges?.concat())
}

/// `mon`, or `mon-fri`, or over the end of the week `sat-mon`.
fn read_range(value: &Value<'_>) -> Option<Vec<Day>> {
    let text = value.text()?;
    let (first, last) = text.split_once('-').unwrap_or((&text, &text));
    let day = |word: &str| {
        let found = Day::ALL.into_iter().position(|day| day.as_str() == word);
        if found.is_none() {
            let near = did_you_mean(word, Day::ALL.map(Day::as_str));
            let help = near.unwrap_or_else(|| DAYS_FORM.to_owned());
            value.wrong_with(format!("`{word}` is not a day of the week"), help);
        }
        found
    };
    let (first, last) = (day(first)?, day(last)?);
    let length = (last + Day::ALL.len() - first) % Day::ALL.len() + 1;
    Some(Day::ALL.into_iter().cycle().skip(first).take(length).collect())
}

/// A time of day in minutes, at most `last`.
pub(super) fn read_time(value: &Value<'_>, last: u16) -> Option<u16> {
    let text = value.text()?;
    let minutes = parse_time(&text).filter(|minutes| *minutes <= last);
    if minutes.is_none() {
        value.wrong_with(
            format!("`{}` is not a time of day: {text:?}", value.key),
            TIME_FORM.to_owned(),
        );
    }
    minutes
}

/// Minutes of a day: `"09:00"`.
pub(super) fn parse_time(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let two_digits = |part: &str| {
        let digits = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| part.parse::<u16>().ok()).flatten()
    };
    let (hours, minutes) = (two_digits(hours)?, two_digits(minutes)?);
    (minutes < 60).then_some(hours * 60 + minutes)
}
