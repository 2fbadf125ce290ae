//! `ninewatch notices route`: a dry run for one alarm: which routes match and why the others do not, who is told at once, and
//! who is told later as long as nobody acknowledges. Sends nothing.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use self::alarm::Alarm;
use super::{check, roster};
use crate::clock;
use crate::config::{self, Settings};
use crate::domain::directions::{Instead, Owed, Why};
use crate::domain::route::{Mismatch, Route, Subject};
use crate::domain::schedule::{DEFAULT_TIME_ZONE, time_zone};
use crate::domain::time::{Millis, Timestamp};

mod alarm;

/// The most tellings of a chain that are shown.
const MOST_TELLINGS: usize = 24;

/// Where people begin in a line of a chain.
const INDENT: usize = 21;

/// Says who would be told of an alarm, and when.
#[derive(Debug, Args)]
pub(super) struct RouteArguments {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The alarm: JSON as the API shows it or a webhook gets it, or JSON or TOML with `rule`, `venue`, `class`,
    /// `priority` and `event`, of which all but one of `rule` and `class` may be left out
    #[arg(long, value_name = "FILE")]
    alarm: PathBuf,
    /// When it is announced, for example 2026-02-10T08:00:00+08:00; now, if left out
    #[arg(long, value_name = "TIME", value_parser = roster::instant)]
    at: Option<Timestamp>,
}

/// Prints what would be told; findings of the configuration go to stderr, with exit code 1.
pub(super) fn route(arguments: &RouteArguments) -> anyhow::Result<ExitCode> {
    let settings = match config::load(&arguments.config) {
        Ok(settings) => settings,
        Err(findings) => {
            check::report(&arguments.config, &findings);
            return Ok(ExitCode::FAILURE);
        }
    };
    let alarm = Alarm::read(&arguments.alarm, &settings)?;
    let at = arguments.at.unwrap_or_else(clock::wall);
    let subject = alarm.subject(&settings);
    let page = Page::of(&settings, &subject, at);
    io::stdout().lock().write_all(page.text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// What is printed, as far as it is written.
struct Page<'a> {
    settings: &'a Settings,
    subject: &'a Subject<'a>,
    at: Timestamp,
    zone: String,
    text: String,
}

impl Page<'_> {
    fn of<'a>(settings: &'a Settings, subject: &'a Subject<'a>, at: Timestamp) -> Page<'a> {
        let facts = settings.definitions.source().venues.iter();
        let mut facts = facts.filter(|facts| facts.venue == subject.venue);
        let zone = facts.next().map_or(DEFAULT_TIME_ZONE, |facts| &facts.time_zone);
        let mut page = Page {
            settings,
            subject,
            at,
            zone: zone.to_owned(),
            text: String::new(),
        };
        page.head();
        page.routes();
        page.direct();
        for chain in settings.directions.chains(subject, at) {
            page.chain(chain);
        }
        page
    }

    fn line(&mut self, line: &str) {
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    fn head(&mut self) {
        let subject = self.subject;
        let registered = self.settings.registry.venue(subject.venue);
        let venue = registered.map_or(subject.venue, |venue| &venue.name);
        let mut about = vec![subject.class.as_str(), subject.priority.as_str(), subject.event];
        if !subject.rule.is_empty() {
            about.insert(0, subject.rule);
        }
        self.line(&about.join(" · "));
        let place = [Some(subject.venue), Some(subject.venue_kind), subject.district];
        let place: Vec<&str> = place
            .into_iter()
            .flatten()
            .filter(|word| !word.is_empty())
            .collect();
        self.line(&format!("{venue} ({})", place.join(", ")));
        let at = self.clock(self.at);
        self.line(&format!("{at} ({})", self.zone));
    }

    /// By the clock of the venue.
    fn clock(&self, at: Timestamp) -> String {
        let instant = jiff::Timestamp::from_millisecond(at.0)
            .ok()
            .zip(time_zone(&self.zone));
        instant.map_or_else(
            || at.to_rfc3339(),
            |(at, zone)| {
                at.to_zoned_datetime(zone)
                    .strftime("%a %Y-%m-%d %H:%M")
                    .to_string()
            },
        )
    }

    fn routes(&mut self) {
        let directions = &self.settings.directions;
        self.line("\nRoutes");
        if directions.routes.is_empty() {
            self.line("  none is configured: nobody is told of anything");
        }
        let widest = directions
            .routes
            .iter()
            .map(|route| route.name.len())
            .max()
            .unwrap_or(0);
        for route in &directions.routes {
            let verdict = directions.mismatch(route, self.subject, self.at).map_or_else(
                || {
                    if route.tells(self.subject) {
                        "yes".to_owned()
                    } else {
                        silent(route, self.subject)
                    }
                },
                |mismatch| format!("no   {}", reason(mismatch, route, self.subject)),
            );
            self.line(&format!("  {:widest$}  {verdict}", route.name));
        }
    }

    fn direct(&mut self) {
        self.line("\nTold of each event");
        let owed = self.settings.directions.direct(self.subject, self.at);
        if owed.is_empty() {
            self.line("  no target");
        }
        for owed in &owed {
            let Why::Routes(routes) = &owed.why else { continue };
            let waits = self.waits(owed);
            self.line(&format!("  {}  by {}{waits}", owed.target, routes.join(", ")));
        }
    }

    fn waits(&self, owed: &Owed) -> String {
        let until = owed.not_before.map(|at| self.clock(at));
        until.map_or_else(String::new, |until| format!("  not before {until}"))
    }

    /// The tellings of a chain, until they only repeat themselves.
    fn chain(&mut self, name: &str) {
        let directions = &self.settings.directions;
        let Some(chain) = directions.chain(name) else {
            return;
        };
        self.line(&format!("\nChain {name}, as long as nobody acknowledges"));
        let last = u8::try_from(chain.levels.len()).unwrap_or(u8::MAX);
        let (mut level, mut repeat) = (1, 0);
        let mut before: Vec<String> = Vec::new();
        for _ in 0..MOST_TELLINGS {
            let Some(due) = chain.due(level, repeat) else {
                return;
            };
            let at = Timestamp(self.at.0.saturating_add(i64::try_from(due.0).unwrap_or(i64::MAX)));
            let people = self.people(&directions.level(name, level, self.subject, at));
            let same = repeat > 0 && people == before;
            let start = format!("{:>10}  level {level}", offset(due));
            if same && level == last {
                let every = chain
                    .level(level)
                    .and_then(|level| level.repeat)
                    .unwrap_or_default();
                let every = offset(every).replace('+', "");
                self.line(&format!("{start}  again, and every {every} from here on"));
                return;
            }
            if same {
                self.line(&format!("{start}  again"));
            } else {
                let mut start = start;
                for line in &people {
                    self.line(&format!("{start:INDENT$}{line}"));
                    start.clear();
                }
            }
            before = people;
            let Some(wait) = chain.wait(level, repeat) else {
                return;
            };
            (level, repeat) = (wait.level, wait.repeat);
        }
    }

    /// A line for each officer and each target without one.
    fn people(&self, owed: &[Owed]) -> Vec<String> {
        let mut lines = Vec::new();
        for owed in owed {
            let waits = self.waits(owed);
            if owed.people.is_empty() {
                lines.push(format!("target {}{waits}", owed.target));
            }
            for person in &owed.people {
                let mut line = format!("{} by {}", person.name, owed.target);
                if !person.next.is_empty() {
                    let _infallible = write!(line, ", else {}", person.next.join(", "));
                }
                lines.push(format!("{line}{waits}"));
            }
        }
        let instead = owed.first().and_then(|owed| match owed.why {
            Why::Level { instead, .. } => instead,
            Why::Routes(_) => None,
        });
        match instead {
            Some(Instead::Level(level)) => {
                lines.push(format!("(those of level {level}: nobody stands in this one)"));
            }
            Some(Instead::Targets) => {
                lines.push("(the routes' targets: nobody stands in any level)".to_owned());
            }
            None if lines.is_empty() => lines.push("nobody!".to_owned()),
            None => {}
        }
        lines
    }
}

/// A route that is about the alarm and whose targets are not told of this event.
fn silent(route: &Route, subject: &Subject<'_>) -> String {
    let chain = if route.chain.is_some() {
        "its chain only"
    } else {
        "nobody"
    };
    format!("yes  {chain}: `events` does not have {}", subject.event)
}

fn reason(mismatch: Mismatch, route: &Route, subject: &Subject<'_>) -> String {
    let lacks = |key: &str, word: &str| format!("`{key}` does not have {word}");
    match mismatch {
        Mismatch::Notify => format!("the rule names the route {}", subject.notify.unwrap_or_default()),
        Mismatch::Class => lacks("classes", subject.class.as_str()),
        Mismatch::Priority => lacks("priorities", subject.priority.as_str()),
        Mismatch::Rule if subject.rule.is_empty() => "no rule is given, and it asks for `rules`".to_owned(),
        Mismatch::Rule => lacks("rules", subject.rule),
        Mismatch::Venue => lacks("venues", subject.venue),
        Mismatch::VenueKind => lacks("venue_kinds", subject.venue_kind),
        Mismatch::District => lacks(
            "districts",
            subject.district.unwrap_or("a venue without a district"),
        ),
        Mismatch::Schedule => {
            let schedule = route.schedule.as_deref().unwrap_or_default();
            format!("the schedule {schedule} is not in force")
        }
    }
}

/// `+0 s`, `+3 min`, `+2 h`: in the largest unit that is whole.
fn offset(length: Millis) -> String {
    let seconds = length.0 / 1_000;
    match seconds {
        0 => "+0 s".to_owned(),
        whole if whole.is_multiple_of(3_600) => format!("+{} h", whole / 3_600),
        whole if whole.is_multiple_of(60) && whole > 180 => format!("+{} min", whole / 60),
        seconds => format!("+{seconds} s"),
    }
}
