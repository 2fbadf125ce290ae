//! `ninewatch roster`: who is on duty, and whose turn comes next. Changes nothing.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::check;
use crate::clock;
use crate::config;
use crate::domain::directions::Directions;
use crate::domain::roster::Roster;
use crate::domain::time::Timestamp;

const DAY_MS: i64 = 86_400_000;

/// Who is on duty, and whose turn comes next.
#[derive(Debug, Args)]
pub(super) struct RosterArguments {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The instant to begin with, for example 2026-02-10T08:00:00+08:00; now, if left out
    #[arg(long, value_name = "TIME", value_parser = instant)]
    at: Option<Timestamp>,
    /// How many days to show
    #[arg(long, value_name = "N", default_value_t = 14, value_parser = clap::value_parser!(u16).range(1..=366))]
    days: u16,
}

/// Reads an instant with its offset.
pub(super) fn instant(text: &str) -> Result<Timestamp, String> {
    let parsed = text.parse::<jiff::Timestamp>();
    let parsed = parsed.map_err(|_| "write date, time and offset: 2026-02-10T08:00:00+08:00".to_owned());
    parsed.map(|at| Timestamp(at.as_millisecond()))
}

/// Prints every roster; findings go to stderr, with exit code 1.
pub(super) fn roster(arguments: &RosterArguments) -> anyhow::Result<ExitCode> {
    let settings = match config::load(&arguments.config) {
        Ok(settings) => settings,
        Err(findings) => {
            check::report(&arguments.config, &findings);
            return Ok(ExitCode::FAILURE);
        }
    };
    let directions = &settings.directions;
    let at = arguments.at.unwrap_or_else(clock::wall);
    let mut out = io::stdout().lock();
    if directions.rosters.is_empty() {
        writeln!(out, "no [[roster]] is configured")?;
    }
    for (place, roster) in directions.rosters.iter().enumerate() {
        if place > 0 {
            writeln!(out)?;
        }
        out.write_all(page(directions, roster, at, arguments.days).as_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// One roster: who is on duty at `at`, and the turns of so many days.
fn page(directions: &Directions, roster: &Roster, at: Timestamp, days: u16) -> String {
    let end = Timestamp(at.0.saturating_add(i64::from(days) * DAY_MS));
    let turns = roster.turns(at, end);
    let now = turns.first().map(|turn| people(directions, &turn.officers));
    let until = roster.next_change(at);
    let until = until.map_or_else(String::new, |until| format!(", until {}", roster.shown(until)));
    let mut page = format!(
        "{}  ({})\n  {}  {}{until}\n",
        roster.name(),
        roster.def().time_zone,
        roster.shown(at),
        now.unwrap_or_default(),
    );
    for turn in turns.iter().skip(1) {
        let gap = if turn.officers.is_empty() {
            let cut = if turn.to == end { "at least " } else { "" };
            format!("  ← for {cut}{}", length(turn.to.since(turn.from)))
        } else {
            String::new()
        };
        let people = people(directions, &turn.officers);
        let _infallible = writeln!(page, "  {}  {people}{gap}", roster.shown(turn.from));
    }
    let gaps = turns.iter().filter(|turn| turn.officers.is_empty()).count();
    if gaps > 0 {
        let gaps = config::counted(gaps, "gap");
        let _infallible = writeln!(page, "  {gaps} in {days} days: nobody is on duty then");
    }
    page
}

/// Their names, and ids where those differ.
fn people(directions: &Directions, ids: &[&str]) -> String {
    if ids.is_empty() {
        return "nobody".to_owned();
    }
    let shown = ids.iter().map(|id| match directions.officer(id) {
        Some(officer) if officer.name != **id => format!("{} ({id})", officer.name),
        Some(_) | None => (*id).to_owned(),
    });
    shown.collect::<Vec<_>>().join(", ")
}

/// Whole days, hours and minutes.
fn length(millis: i64) -> String {
    let minutes = millis / 60_000;
    let parts = [
        (minutes / 1_440, "d"),
        (minutes / 60 % 24, "h"),
        (minutes % 60, "min"),
    ];
    let shown = parts.iter().filter(|(count, _)| *count > 0);
    let shown: Vec<String> = shown.map(|(count, unit)| format!("{count} {unit}")).collect();
    if shown.is_empty() {
        "less than a minute".to_owned()
    } else {
        shown.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const TEXT: &str = "[gateway]\nid = 'g'\n[mqtt]\nurl = 'mqtt://127.0.0.1'\n[http]\nauth = 'none'\n\
        [[target]]\nname = 't'\nkind = 'webhook'\nurl = 'http://127.0.0.1:1/a'\n\
        [[officer]]\nid = 'wang'\nname = '王磊'\nchannels = ['t']\n\
        [[officer]]\nid = 'li'\nname = 'li'\nchannels = ['t']\n\
        [[roster]]\nname = 'duty'\n\
        rotation = [{ officers = ['wang', 'li'], each = '1w', from = '2026-01-05', days = 'mon-fri' }]\n";

    #[test]
    fn turns_and_gaps_are_shown_by_the_clock_of_the_roster() {
        let settings = config::load_str("t", TEXT, Path::new("")).unwrap();
        let directions = &settings.directions;
        let at = instant("2026-01-09T12:00:00+08:00").unwrap();
        let shown = page(directions, &directions.rosters[0], at, 4);
        assert_eq!(
            shown,
            "duty  (Asia/Shanghai)\n\
             \x20 Fri 2026-01-09 12:00  王磊 (wang), until Sat 2026-01-10 08:00\n\
             \x20 Sat 2026-01-10 08:00  nobody  ← for 2 d\n\
             \x20 Mon 2026-01-12 08:00  li\n\
             \x20 1 gap in 4 days: nobody is on duty then\n"
        );
    }

    #[test]
    fn lengths_are_whole_days_hours_and_minutes() {
        for (millis, wanted) in [
            (172_800_000, "2 d"),
            (176_460_000, "2 d 1 h 1 min"),
            (3_600_000, "1 h"),
            (59_999, "less than a minute"),
        ] {
            assert_eq!(length(millis), wanted);
        }
        assert!(instant("2026-01-09").is_err());
    }
}
