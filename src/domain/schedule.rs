//! Hours of the week on a wall clock: what is written (`Hours`), whether it is in force at an instant and when that
//! changes next (`Calendar`). The time zones are those built into the program; nothing here reads a clock.

#[cfg(test)]
mod tests;

use jiff::civil::{Date, Weekday};
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};
use serde::{Deserialize, Serialize};

use super::time::Timestamp;

/// The time zone of schedules and venues that name none.
pub const DEFAULT_TIME_ZONE: &str = "Asia/Shanghai";

/// The minutes of a day by the clock on the wall.
pub const DAY_MINUTES: u16 = 24 * 60;

/// A week and a day: whatever a week without holidays has in it, happens within so many days.
const WEEK_AND_A_DAY: usize = 8;

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Day {
    /// Monday, 周一.
    Mon,
    /// Tuesday, 周二.
    Tue,
    /// Wednesday, 周三.
    Wed,
    /// Thursday, 周四.
    Thu,
    /// Friday, 周五.
    Fri,
    /// Saturday, 周六.
    Sat,
    /// Sunday, 周日.
    Sun,
}

impl Day {
    /// The week, from Monday.
    pub const ALL: [Day; 7] = [
        Day::Mon,
        Day::Tue,
        Day::Wed,
        Day::Thu,
        Day::Fri,
        Day::Sat,
        Day::Sun,
    ];

    /// The word used in configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Day::Mon => "mon",
            Day::Tue => "tue",
            Day::Wed => "wed",
            Day::Thu => "thu",
            Day::Fri => "fri",
            Day::Sat => "sat",
            Day::Sun => "sun",
        }
    }

    fn of(date: Date) -> Day {
        match date.weekday() {
            Weekday::Monday => Day::Mon,
            Weekday::Tuesday => Day::Tue,
            Weekday::Wednesday => Day::Wed,
            Weekday::Thursday => Day::Thu,
            Weekday::Friday => Day::Fri,
            Weekday::Saturday => Day::Sat,
            Weekday::Sunday => Day::Sun,
        }
    }
}

/// A part of some days. It belongs to the day on which it begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interval {
    /// The days on which it begins.
    pub days: Vec<Day>,
    /// When it begins, in minutes by the clock: 0 to 1439.
    pub from: u16,
    /// When it ends, in minutes by the clock: 0 to 1440. Unless it is after `from`, it is the next day's.
    pub to: u16,
}

/// What a holiday is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnHolidays {
    /// No interval begins on it.
    Never,
    /// The whole day is in force.
    Always,
    /// It has the intervals of this day of the week.
    As(Day),
}

/// Hours of the week and the days that are different.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hours {
    /// The IANA name of the time zone, for example `Asia/Shanghai`.
    pub time_zone: String,
    /// What of the week is in force.
    pub weekly: Vec<Interval>,
    /// The days that are different, in order.
    pub holidays: Vec<Date>,
    /// How they are.
    pub on_holidays: OnHolidays,
}

/// [`Hours`] with their time zone at hand.
#[derive(Debug, Clone)]
pub struct Calendar {
    zone: TimeZone,
    hours: Hours,
}

/// Which end of an interval an instant is.
#[derive(Clone, Copy)]
pub(super) enum Edge {
    /// Of two equal times the first.
    Begin,
    /// Of two equal times the second.
    End,
}

/// The time zone with this IANA name; `None` when the program knows none.
pub fn time_zone(name: &str) -> Option<TimeZone> {
    TimeZoneDatabase::bundled().get(name).ok()
}

/// Every time zone's name, for suggestions.
pub fn time_zone_names() -> Vec<String> {
    let database = TimeZoneDatabase::bundled();
    database.available().map(|name| name.to_string()).collect()
}

/// The first instant of `date`; `None` outside the years that can be counted.
pub fn start_of_day(zone: &TimeZone, date: Date) -> Option<Timestamp> {
    instant(zone, date, 0, Edge::Begin)
}

impl Calendar {
    /// `None` when the time zone is not known; the configuration loader refuses such a one.
    pub fn new(mut hours: Hours) -> Option<Calendar> {
        let zone = time_zone(&hours.time_zone)?;
        hours.holidays.sort_unstable();
        Some(Calendar { zone, hours })
    }

    /// As written.
    pub const fn hours(&self) -> &Hours {
        &self.hours
    }

    /// Whether the hours are in force at `at`.
    ///
    /// Where the clock is set forward, an edge within the hour that does not exist falls on its end. Where it is set
    /// back, an interval begins at the first and ends at the second of two equal times.
    pub fn in_force(&self, at: Timestamp) -> bool {
        let Some(today) = self.date(at) else { return false };
        // Where the clock is set back over midnight, what begins tomorrow may have begun.
        let first = today.yesterday().unwrap_or(today);
        let mut spans = first.series(jiff::Span::new().days(1)).take(3);
        spans.any(|date| {
            let spans = self.spans(date);
            spans.into_iter().any(|(begin, end)| begin <= at && at < end)
        })
    }

    /// The first instant after `at` at which [`Calendar::in_force`] is not what it is at `at`; `None` when there is
    /// none.
    pub fn next_change(&self, at: Timestamp) -> Option<Timestamp> {
        let now = self.in_force(at);
        let today = self.date(at)?;
        // Only holidays make one week unlike another, so a change that does not come within a week of today comes
        // within a week of a holiday.
        let later = self.hours.holidays.iter().copied().filter(|date| *date > today);
        std::iter::once(today).chain(later).find_map(|date| {
            let first = date.yesterday().unwrap_or(date);
            let mut edges: Vec<Timestamp> = first
                .series(jiff::Span::new().days(1))
                .take(WEEK_AND_A_DAY + 2)
                .flat_map(|date| self.spans(date))
                .flat_map(|(begin, end)| [begin, end])
                .filter(|edge| *edge > at)
                .collect();
            edges.sort_unstable();
            edges.into_iter().find(|edge| self.in_force(*edge) != now)
        })
    }

    fn date(&self, at: Timestamp) -> Option<Date> {
        let at = jiff::Timestamp::from_millisecond(at.0).ok()?;
        Some(self.zone.to_datetime(at).date())
    }

    /// The intervals that begin on `date`, each from its first instant up to where it is over.
    fn spans(&self, date: Date) -> Vec<(Timestamp, Timestamp)> {
        let span = |from, to| {
            let begin = instant(&self.zone, date, from, Edge::Begin)?;
            Some((begin, instant(&self.zone, date, to, Edge::End)?))
        };
        let mut day = Day::of(date);
        if self.hours.holidays.binary_search(&date).is_ok() {
            match self.hours.on_holidays {
                OnHolidays::Never => return Vec::new(),
                OnHolidays::Always => return span(0, DAY_MINUTES).into_iter().collect(),
                OnHolidays::As(other) => day = other,
            }
        }
        let weekly = self.hours.weekly.iter();
        weekly
            .filter(|interval| interval.days.contains(&day))
            .filter_map(|interval| {
                let next_day = if interval.to > interval.from {
                    0
                } else {
                    DAY_MINUTES
                };
                span(interval.from, interval.to.saturating_add(next_day))
            })
            .collect()
    }
}

/// The instant so many minutes by the clock after the beginning of `date`.
pub(super) fn instant(zone: &TimeZone, date: Date, minutes: u16, edge: Edge) -> Option<Timestamp> {
    let mut date = date;
    for _ in 0..minutes / DAY_MINUTES {
        date = date.tomorrow().ok()?;
    }
    let minutes = minutes % DAY_MINUTES;
    let (hour, minute) = (i8::try_from(minutes / 60).ok()?, i8::try_from(minutes % 60).ok()?);
    let ambiguous = zone.to_ambiguous_timestamp(date.at(hour, minute, 0, 0));
    let at = match (ambiguous.offset(), edge) {
        (AmbiguousOffset::Unambiguous { .. }, _) => ambiguous.compatible(),
        (AmbiguousOffset::Fold { .. }, Edge::Begin) => ambiguous.earlier(),
        (AmbiguousOffset::Fold { .. }, Edge::End) => ambiguous.later(),
        (AmbiguousOffset::Gap { .. }, _) => {
            let before = ambiguous.earlier().ok()?;
            Ok(zone.following(before).next()?.timestamp())
        }
    };
    at.ok().map(|at| Timestamp(at.as_millisecond()))
}
