//! Who is on duty: rotations, holidays and overrides by the clock on the wall. Answers for an instant that it is given;
//! knows officers by their ids only.

#[cfg(test)]
mod tests;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

use super::schedule::{Calendar, Day, Edge, Hours, Interval, OnHolidays, instant, time_zone};
use super::time::Timestamp;

/// So many times in a row a roster may hand over without anybody else being on duty; a later change is not looked for.
const MOST_EDGES: usize = 4_000;

/// Officers who take turns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    /// Their ids, in the order of their turns.
    pub officers: Vec<String>,
    /// How long one turn lasts, in days; at least 1.
    pub each_days: u16,
    /// The first day of the first turn; nobody is on duty before.
    pub from: Date,
    /// When turns change, in minutes by the clock: 0 to 1439. A day of duty lasts from there to there.
    pub hand_over: u16,
    /// The days on which its shifts begin; empty: every day.
    pub days: Vec<Day>,
    /// From when to when a shift lasts, in minutes by the clock; unless the second is later, it is the next day's. `None`: from
    /// `hand_over` to `hand_over`.
    pub hours: Option<(u16, u16)>,
}

/// Somebody else instead, whatever rotations and holidays say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// From when.
    pub from: DateTime,
    /// Until when.
    pub to: DateTime,
    /// Who.
    pub officers: Vec<String>,
}

/// Days with officers of their own, whatever rotations say: from the midnight before the first to that after the last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holiday {
    /// What it is.
    pub name: String,
    /// The first day.
    pub from: Date,
    /// The last day.
    pub to: Date,
    /// Who.
    pub officers: Vec<String>,
}

/// A roster as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RosterDef {
    /// Its name in chains.
    pub name: String,
    /// The IANA name of its time zone.
    pub time_zone: String,
    /// Who takes turns; several may run at once.
    pub rotations: Vec<Rotation>,
    /// They win over all.
    pub overrides: Vec<Override>,
    /// They win over rotations.
    pub holidays: Vec<Holiday>,
}

/// [`RosterDef`] with its time zone at hand.
#[derive(Debug, Clone)]
pub struct Roster {
    def: RosterDef,
    zone: TimeZone,
    /// Of each rotation, when somebody of it is on duty; `None`: always.
    shifts: Vec<Option<Calendar>>,
    overrides: Vec<Span>,
    holidays: Vec<Span>,
}

/// From the first instant up to where it is over.
#[derive(Debug, Clone)]
struct Span {
    from: Timestamp,
    to: Timestamp,
    officers: Vec<String>,
}

/// Who is on duty from when to when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn<'a> {
    /// From this instant on.
    pub from: Timestamp,
    /// Up to this one.
    pub to: Timestamp,
    /// Their ids; nobody: a gap.
    pub officers: Vec<&'a str>,
}

impl Roster {
    /// `None` when the time zone is not known; the configuration loader refuses such a one.
    pub fn new(def: RosterDef) -> Option<Roster> {
        let zone = time_zone(&def.time_zone)?;
        let shifts = def
            .rotations
            .iter()
            .map(|rotation| shift(rotation, &def.time_zone));
        let overrides = def.overrides.iter().filter_map(|other| {
            let from = instant(&zone, other.from.date(), minutes(other.from), Edge::Begin)?;
            let to = instant(&zone, other.to.date(), minutes(other.to), Edge::End)?;
            Some(span((from, to), &other.officers))
        });
        let holidays = def.holidays.iter().filter_map(|holiday| {
            let from = instant(&zone, holiday.from, 0, Edge::Begin)?;
            let to = instant(&zone, holiday.to.tomorrow().ok()?, 0, Edge::End)?;
            Some(span((from, to), &holiday.officers))
        });
        Some(Roster {
            shifts: shifts.collect(),
            overrides: overrides.collect(),
            holidays: holidays.collect(),
            zone,
            def,
        })
    }

    /// As written.
    pub const fn def(&self) -> &RosterDef {
        &self.def
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.def.name
    }

    /// The ids of those on duty at `at`, each once, in the order of the configuration; none: a gap.
    pub fn on_duty(&self, at: Timestamp) -> Vec<&str> {
        let mut found: Vec<&str> = Vec::new();
        for spans in [&self.overrides, &self.holidays] {
            let mut covered = false;
            for span in spans.iter().filter(|span| span.from <= at && at < span.to) {
                covered = true;
                found.extend(span.officers.iter().map(String::as_str));
            }
            if covered {
                return distinct(found);
            }
        }
        let rotations = self.def.rotations.iter().zip(&self.shifts);
        let on_shift = rotations.filter(|(_, shift)| shift.as_ref().is_none_or(|shift| shift.in_force(at)));
        found.extend(on_shift.filter_map(|(rotation, _)| self.turn_of(rotation, at)));
        distinct(found)
    }

    /// The first instant after `at` at which somebody else is on duty; `None` when there is none.
    pub fn next_change(&self, at: Timestamp) -> Option<Timestamp> {
        let now = self.on_duty(at);
        let mut edge = self.next_edge(at)?;
        for _ in 0..MOST_EDGES {
            if self.on_duty(edge) != now {
                return Some(edge);
            }
            edge = self.next_edge(edge)?;
        }
        None
    }

    /// Who is on duty from `from` up to `to`: one turn follows another, and no two neighbours are alike.
    pub fn turns(&self, from: Timestamp, to: Timestamp) -> Vec<Turn<'_>> {
        let mut turns = Vec::new();
        let mut at = from;
        while at < to {
            let end = self.next_change(at).map_or(to, |change| change.min(to));
            turns.push(Turn {
                from: at,
                to: end,
                officers: self.on_duty(at),
            });
            at = end;
        }
        turns
    }

    /// From when to when nobody is on duty, from `from` up to `to`.
    pub fn gaps(&self, from: Timestamp, to: Timestamp) -> Vec<(Timestamp, Timestamp)> {
        let turns = self.turns(from, to).into_iter();
        let gaps = turns.filter(|turn| turn.officers.is_empty());
        gaps.map(|turn| (turn.from, turn.to)).collect()
    }

    /// The instant by the clock of the roster, for example `Mon 2026-01-05 08:00`.
    pub fn shown(&self, at: Timestamp) -> String {
        let instant = jiff::Timestamp::from_millisecond(at.0);
        instant.map_or_else(
            |_| at.to_rfc3339(),
            |instant| {
                let local = instant.to_zoned_datetime(self.zone.clone());
                local.strftime("%a %Y-%m-%d %H:%M").to_string()
            },
        )
    }

    /// Whose turn it is.
    fn turn_of<'a>(&self, rotation: &'a Rotation, at: Timestamp) -> Option<&'a str> {
        let days = days_between(rotation.from, self.day_of_duty(rotation, at)?);
        let turn = usize::try_from(days.div_euclid(i64::from(rotation.each_days.max(1)))).ok()?;
        let officer = turn.checked_rem(rotation.officers.len())?;
        rotation.officers.get(officer).map(String::as_str)
    }

    /// The day on which the last hand-over up to `at` was.
    fn day_of_duty(&self, rotation: &Rotation, at: Timestamp) -> Option<Date> {
        let today = self.date(at)?;
        // Where the clock is set back over midnight, what begins tomorrow may have begun.
        let last = today.tomorrow().unwrap_or(today);
        let mut days = last.series(jiff::Span::new().days(-1)).take(4);
        days.find(|day| self.hand_over(rotation, *day).is_some_and(|begin| begin <= at))
    }

    fn hand_over(&self, rotation: &Rotation, day: Date) -> Option<Timestamp> {
        instant(&self.zone, day, rotation.hand_over, Edge::Begin)
    }

    fn date(&self, at: Timestamp) -> Option<Date> {
        let at = jiff::Timestamp::from_millisecond(at.0).ok()?;
        Some(self.zone.to_datetime(at).date())
    }

    /// The first instant after `at` at which anything of the roster begins or ends.
    fn next_edge(&self, at: Timestamp) -> Option<Timestamp> {
        let spans = self.overrides.iter().chain(&self.holidays);
        let spans = spans.flat_map(|span| [span.from, span.to]);
        let turns = self.def.rotations.iter();
        let turns = turns.filter_map(|rotation| self.next_turn(rotation, at));
        let shifts = self.shifts.iter().flatten();
        let shifts = shifts.filter_map(|shift| shift.next_change(at));
        spans.chain(turns).chain(shifts).filter(|edge| *edge > at).min()
    }

    /// When the next turn of `rotation` begins; `None`: never, for there is only one.
    fn next_turn(&self, rotation: &Rotation, at: Timestamp) -> Option<Timestamp> {
        let days = days_between(rotation.from, self.day_of_duty(rotation, at)?);
        let each = i64::from(rotation.each_days.max(1));
        let next = if days < 0 { 0 } else { (days / each + 1) * each };
        if next > 0 && rotation.officers.len() < 2 {
            return None;
        }
        let day = rotation
            .from
            .checked_add(jiff::Span::new().try_days(next).ok()?)
            .ok()?;
        self.hand_over(rotation, day)
    }
}

fn span((from, to): (Timestamp, Timestamp), officers: &[String]) -> Span {
    Span {
        from,
        to,
        officers: officers.to_vec(),
    }
}

/// When somebody of `rotation` is on duty; `None`: always.
fn shift(rotation: &Rotation, time_zone: &str) -> Option<Calendar> {
    if rotation.days.is_empty() && rotation.hours.is_none() {
        return None;
    }
    let days = if rotation.days.is_empty() {
        Day::ALL.to_vec()
    } else {
        rotation.days.clone()
    };
    let (from, to) = rotation.hours.unwrap_or((rotation.hand_over, rotation.hand_over));
    Calendar::new(Hours {
        time_zone: time_zone.to_owned(),
        weekly: vec![Interval { days, from, to }],
        holidays: Vec::new(),
        on_holidays: OnHolidays::Never,
    })
}

fn minutes(at: DateTime) -> u16 {
    let (hour, minute) = (at.hour().unsigned_abs(), at.minute().unsigned_abs());
    u16::from(hour) * 60 + u16::from(minute)
}

/// The days from `from` to `to`; negative when `to` is earlier.
fn days_between(from: Date, to: Date) -> i64 {
    from.duration_until(to).as_hours() / 24
}

fn distinct(found: Vec<&str>) -> Vec<&str> {
    let mut kept = Vec::with_capacity(found.len());
    for id in found {
        if !kept.contains(&id) {
            kept.push(id);
        }
    }
    kept
}
