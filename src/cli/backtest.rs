//! `ninewatch rules backtest`: what a rule set would have raised on recorded history, beside what was raised. Reads
//! the store, also while a gateway runs on it; changes nothing.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use serde::Serialize;
use serde_json::json;

use super::check;
use crate::clock;
use crate::config;
use crate::domain::backtest::{Backtest, Gaps, Recorded, Tested};
use crate::domain::definitions::{DefinitionSource, DefinitionsHash};
use crate::domain::engine::SavedDevices;
use crate::domain::kind::Kind;
use crate::domain::rule::RuleDef;
use crate::domain::text::Text;
use crate::domain::time::{Millis, Timestamp};
use crate::store::History;

/// How often the share that is done is shown.
const PROGRESS: Duration = Duration::from_secs(1);

/// What `ninewatch rules backtest` can be told.
#[derive(Debug, clap::Args)]
pub(super) struct BacktestArguments {
    /// The configuration file of the gateway whose history it is
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// How far to look back: 90m, 12h, 7d
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    since: Millis,
    /// The rules files to try, or globs of them; without it: the configured rules
    #[arg(long, value_name = "FILE", num_args = 1..)]
    rules: Vec<String>,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

fn duration(text: &str) -> Result<Millis, String> {
    Millis::parse(text)
        .filter(|length| *length > Millis::ZERO)
        .ok_or_else(|| format!("{text:?} is not a length of time such as 90m, 12h or 7d"))
}

/// Runs the backtest and prints what came of it. Exit code 1 when a file is wrong or there is no history.
pub(super) fn backtest(arguments: &BacktestArguments) -> anyhow::Result<ExitCode> {
    let settings = match config::load_with_rules(&arguments.config, &arguments.rules) {
        Ok(settings) => settings,
        Err(findings) => {
            check::report(&arguments.config, &findings);
            return Ok(ExitCode::FAILURE);
        }
    };
    let definitions = Arc::new(settings.definitions);
    let history = History::open(&settings.gateway.data_dir)?;
    let (first, last) = history.span()?.ok_or_else(|| {
        anyhow!(
            "nothing is recorded in {} yet: let the gateway run first",
            settings.gateway.data_dir.display()
        )
    })?;
    let since = i64::try_from(arguments.since.0).unwrap_or(i64::MAX);
    let asked_from = Timestamp(clock::wall().0.saturating_sub(since));
    let started = clock::monotonic();
    let mut backtest = Backtest::new(&definitions, asked_from, recorded(&history)?);
    play(&history, (first, last), &mut backtest)?;
    let tested = backtest.finish();
    let was_raised = match tested.period {
        Some((from, to)) => history.raised(from, to)?,
        None => BTreeMap::new(),
    };
    let report = Report {
        rules: compare(&definitions.source().rules, &tested.raised, &was_raised),
        asked_from,
        shortened: first > 0,
        journal_keep: settings.store.journal_keep,
        seconds: started.elapsed().as_secs_f64(),
        tested,
    };
    let mut out = io::stdout().lock();
    // A closed pipe is the reader's choice.
    drop(if arguments.json {
        writeln!(out, "{:#}", report.as_json())
    } else {
        report.print(&mut out)
    });
    Ok(ExitCode::SUCCESS)
}

/// What the newest checkpoint tells of the devices and kinds.
fn recorded(history: &History) -> anyhow::Result<Recorded> {
    let Some(checkpoint) = history.checkpoint()? else {
        return Ok(Recorded::default());
    };
    let devices = SavedDevices::read(&checkpoint.state).context("cannot learn the devices")?;
    let kinds = match &devices.definitions {
        Some(hash) => kinds(history, hash).map_err(|why| {
            anyhow!(
                "the checkpoint names definitions that cannot be had: {why}; restore a backup of the store"
            )
        })?,
        None => Vec::new(),
    };
    Ok(Recorded { devices, kinds })
}

fn kinds(history: &History, hash: &DefinitionsHash) -> Result<Vec<Kind>, String> {
    let source = history.definitions(hash).map_err(|error| error.to_string())?;
    let source = source.ok_or("they are not in the store")?;
    DefinitionSource::kinds_from_stored(&source).map_err(|error| error.to_string())
}

/// Plays the journal from the row of `first` to that of `last`, slice by slice.
fn play(history: &History, (first, last): (u64, u64), backtest: &mut Backtest) -> anyhow::Result<()> {
    let mut progress = Progress::new(first, last);
    let mut from = first;
    loop {
        let rows = history.rows(from, last)?;
        if rows.is_empty() {
            progress.end();
            return Ok(());
        }
        for row in rows {
            backtest
                .play(row.first_input, &row.entries, |hash| kinds(history, hash))
                .context("cannot play the journal")?;
            from = row.first_input.saturating_add(1);
        }
        progress.show(from);
    }
}

/// The share that is done, on a terminal once a second in one line.
struct Progress {
    first: u64,
    last: u64,
    due: Option<Instant>,
    shown: bool,
}

impl Progress {
    fn new(first: u64, last: u64) -> Progress {
        Progress {
            first,
            last,
            due: io::stderr().is_terminal().then(|| clock::monotonic() + PROGRESS),
            shown: false,
        }
    }

    fn show(&mut self, at: u64) {
        let now = clock::monotonic();
        if self.due.is_some_and(|due| now >= due) {
            self.due = Some(now + PROGRESS);
            self.shown = true;
            let whole = self.last.saturating_sub(self.first).max(1);
            let done = at.saturating_sub(self.first).saturating_mul(100) / whole;
            drop(write!(io::stderr(), "\rplayed {:>3} %", done.min(100)));
        }
    }

    fn end(&self) {
        if self.shown {
            drop(write!(io::stderr(), "\r{:14}\r", ""));
        }
    }
}

/// One line of the table.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Compared {
    rule: String,
    would_raise: u64,
    was_raised: u64,
    /// `None`: not in the rule set.
    title: Option<Text>,
}

/// The rules of the set in their order, then those that raised and are not in it.
fn compare(
    rules: &[RuleDef],
    would_raise: &BTreeMap<String, u64>,
    was_raised: &BTreeMap<String, u64>,
) -> Vec<Compared> {
    let count = |counts: &BTreeMap<String, u64>, rule: &str| counts.get(rule).copied().unwrap_or_default();
    let mut compared: Vec<Compared> = rules
        .iter()
        .map(|rule| Compared {
            rule: rule.id.clone(),
            would_raise: count(would_raise, &rule.id),
            was_raised: count(was_raised, &rule.id),
            title: Some(rule.title.clone()),
        })
        .collect();
    let gone = was_raised
        .iter()
        .filter(|(id, _)| rules.iter().all(|rule| rule.id != **id));
    compared.extend(gone.map(|(id, count)| Compared {
        rule: id.clone(),
        would_raise: 0,
        was_raised: *count,
        title: None,
    }));
    compared
}

/// What is printed.
struct Report {
    rules: Vec<Compared>,
    asked_from: Timestamp,
    /// Whether the journal once began earlier.
    shortened: bool,
    journal_keep: Duration,
    seconds: f64,
    tested: Tested,
}

impl Report {
    fn as_json(&self) -> serde_json::Value {
        let Tested {
            begins,
            period,
            readings,
            devices,
            gaps,
            ..
        } = &self.tested;
        json!({
            "rules": self.rules,
            "asked_from": self.asked_from.to_rfc3339(),
            "recorded_from": begins.map(Timestamp::to_rfc3339),
            "from": period.map(|(from, _)| from.to_rfc3339()),
            "to": period.map(|(_, to)| to.to_rfc3339()),
            "readings": readings,
            "devices": devices,
            "left_out": gaps,
            "seconds": self.seconds,
        })
    }

    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        self.print_table(out)?;
        writeln!(out)?;
        let tested = &self.tested;
        match tested.period {
            Some((from, to)) => writeln!(
                out,
                "{} readings, {} devices, {} to {}",
                tested.readings,
                tested.devices,
                from.to_rfc3339(),
                to.to_rfc3339()
            )?,
            None => writeln!(out, "nothing was recorded since {}", self.asked_from.to_rfc3339())?,
        }
        for note in self.notes() {
            writeln!(out, "note: {note}")?;
        }
        writeln!(
            out,
            "Delays end at their own instants. Operators' acts are not replayed: a latched alarm counts as reset once it has recovered."
        )?;
        writeln!(
            out,
            "took {:.2} s, {:.0} readings/s",
            self.seconds,
            tested.readings as f64 / self.seconds.max(1e-9)
        )
    }

    fn print_table(&self, out: &mut impl Write) -> io::Result<()> {
        let total = |count: fn(&Compared) -> u64| self.rules.iter().map(count).sum::<u64>();
        let (would_raise, was_raised) = (total(|rule| rule.would_raise), total(|rule| rule.was_raised));
        let lengths = self.rules.iter().map(|rule| rule.rule.chars().count());
        let width = lengths.max().unwrap_or_default().max("total".len());
        writeln!(out, "{:width$}  would raise  was raised  difference", "rule")?;
        for rule in &self.rules {
            let line = counts(&rule.rule, width, rule.would_raise, rule.was_raised);
            match &rule.title {
                Some(title) => writeln!(out, "{line}  {} · {}", title.en, title.zh)?,
                None => writeln!(out, "{line}  (not in these rules)")?,
            }
        }
        writeln!(out, "{}", counts("total", width, would_raise, was_raised))
    }

    fn notes(&self) -> Vec<String> {
        let Tested { begins, gaps, .. } = &self.tested;
        let mut notes = Vec::new();
        if let Some(begins) = begins.filter(|begins| *begins > self.asked_from) {
            let begins = begins.to_rfc3339();
            notes.push(if self.shortened {
                let hours = self.journal_keep.as_secs() / 3_600;
                format!(
                    "recorded history begins at {begins}, later than asked: readings are kept for {hours} hours ([store] \
                     journal_keep), as far as max_size allows, and while recovery needs them. An alarm that stood already counts as raised again"
                )
            } else {
                format!("recorded history begins at {begins}, when the gateway first ran")
            });
        }
        let Gaps {
            points,
            kinds,
            unrecorded,
            assumed,
            inputs,
        } = gaps;
        let counted = [
            (
                points,
                "values left out: these kinds do not have the point, or not in this unit, type or range",
            ),
            (
                kinds,
                "readings left out: these kinds do not have the device's kind",
            ),
            (
                unrecorded,
                "readings left out: no record is left of the device or its kind",
            ),
            (
                assumed,
                "readings taken by the kinds of the newest checkpoint: those of their time are not recorded",
            ),
            (inputs, "inputs are missing from the journal"),
        ];
        let counted = counted.into_iter().filter(|(count, _)| **count > 0);
        notes.extend(counted.map(|(count, what)| format!("{count} {what}")));
        notes
    }
}

fn counts(name: &str, width: usize, would_raise: u64, was_raised: u64) -> String {
    let difference = i128::from(would_raise) - i128::from(was_raised);
    let difference = if difference == 0 {
        "0".to_owned()
    } else {
        format!("{difference:+}")
    };
    format!("{name:width$}  {would_raise:>11}  {was_raised:>10}  {difference:>10}")
}
