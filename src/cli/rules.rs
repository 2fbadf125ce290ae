//! `ninewatch rules test`: runs the unit tests of rules in files and says how they went. Needs no gateway.

use std::collections::BTreeSet;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use super::check;
use crate::config::{self, RuleTests};
use crate::domain::rehearsal::{Failure, Outcome, rehearse};

/// Runs the tests in every one of `files`: 0 when all pass, 1 when one fails or a file is wrong, whose findings go
/// to stderr.
pub(super) fn test(files: &[PathBuf]) -> ExitCode {
    let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let colour = io::stdout().is_terminal() && !no_colour;
    let mut tally = Tally::default();
    let mut out = Screen {
        out: io::stdout().lock(),
        colour,
    };
    for path in files {
        out.line(&path.display().to_string());
        match config::load_rule_tests(path) {
            Ok(tests) => tally.run(&tests, &mut out),
            Err(findings) => {
                tally.broken += 1;
                out.line("  not run: something is wrong with the file, or with the kinds and rules it names");
                check::report(path, &findings);
            }
        }
    }
    out.line("");
    tally.note_untested(&mut out);
    out.line(&tally.summary());
    if tally.failed + tally.broken == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Of two longer lists only the beginnings are shown and compared.
const MOST_COMPARED: usize = 200;

/// How it went so far.
#[derive(Default)]
struct Tally {
    passed: usize,
    failed: usize,
    /// Files that were not run.
    broken: usize,
    rules: BTreeSet<String>,
    raised: BTreeSet<String>,
}

impl Tally {
    fn run<W: Write>(&mut self, file: &RuleTests, out: &mut Screen<W>) {
        let rules = &file.definitions.source().rules;
        self.rules.extend(rules.iter().map(|rule| rule.id.clone()));
        for test in &file.tests {
            let Outcome { failures, raised } = rehearse(test, &file.definitions);
            self.raised.extend(raised);
            if failures.is_empty() {
                self.passed += 1;
                out.line(&format!("  {} {}", out.green("ok    "), test.name));
            } else {
                self.failed += 1;
                out.line(&format!("  {} {}", out.red("FAILED"), test.name));
            }
            for failure in &failures {
                out.failure(failure);
            }
        }
    }

    fn note_untested<W: Write>(&self, out: &mut Screen<W>) {
        let untested: Vec<&str> = self.rules.difference(&self.raised).map(String::as_str).collect();
        if untested.is_empty() {
            return;
        }
        out.line(&format!("note: raised by no test: {}", untested.join(", ")));
    }

    fn summary(&self) -> String {
        let Tally {
            passed,
            failed,
            broken,
            ..
        } = self;
        match broken {
            0 => format!("{passed} passed, {failed} failed"),
            1 => format!("{passed} passed, {failed} failed, 1 file not run"),
            _ => format!("{passed} passed, {failed} failed, {broken} files not run"),
        }
    }
}

/// Where lines go.
struct Screen<W> {
    out: W,
    colour: bool,
}

impl<W: Write> Screen<W> {
    /// Writes a line. A closed pipe is the reader's choice; the exit code still tells.
    fn line(&mut self, text: &str) {
        drop(writeln!(self.out, "{text}"));
    }

    fn red(&self, text: &str) -> String {
        self.coloured("31", text)
    }

    fn green(&self, text: &str) -> String {
        self.coloured("32", text)
    }

    fn coloured(&self, code: &str, text: &str) -> String {
        if self.colour {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }

    fn failure(&mut self, failure: &Failure) {
        match failure {
            Failure::Alarms {
                title,
                expected,
                seen,
            } => {
                self.line(&format!("         {title}, alarms that stand:"));
                self.difference(expected, seen);
            }
            Failure::Events {
                title,
                expected,
                seen,
            } => {
                self.line(&format!("         {title}, events:"));
                self.difference(expected, seen);
            }
            Failure::Commands {
                title,
                expected,
                seen,
            } => {
                self.line(&format!("         {title}, commands:"));
                self.difference(expected, seen);
            }
            Failure::Operator {
                at,
                request,
                refusal: Some(refusal),
            } => self.line(&format!(
                "         at {}, the {request} was refused: {refusal}",
                shown(at.0)
            )),
            Failure::Operator {
                at,
                request,
                refusal: None,
            } => self.line(&format!(
                "         at {}, the {request} was not refused",
                shown(at.0)
            )),
        }
    }

    /// What was expected (`-`), what was seen (`+`), and what is both.
    fn difference(&mut self, expected: &[String], seen: &[String]) {
        let most = |list: &[String]| list.len().min(MOST_COMPARED);
        let (left, right) = (most(expected), most(seen));
        let (compared, happened) = (expected.get(..left), seen.get(..right));
        for line in compare(compared.unwrap_or(expected), happened.unwrap_or(seen)) {
            let line = match line {
                Line::Both(text) => format!("             {text}"),
                Line::Expected(text) => format!("           {}", self.red(&format!("- {text}"))),
                Line::Seen(text) => format!("           {}", self.green(&format!("+ {text}"))),
            };
            self.line(&line);
        }
        match (expected.len() - left).max(seen.len() - right) {
            0 => {}
            more => self.line(&format!("             … and up to {more} more lines")),
        }
    }
}

/// Seconds, with a broken part only where there is one.
fn shown(ms: u64) -> String {
    if ms.is_multiple_of(1_000) {
        format!("{}s", ms / 1_000)
    } else {
        format!("{ms}ms")
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Line<'a> {
    Both(&'a str),
    Expected(&'a str),
    Seen(&'a str),
}

/// The shortest way from `expected` to `seen`, line by line: each step keeps what is alike and else leaves out the
/// line after which more is alike.
fn compare<'a>(expected: &'a [String], seen: &'a [String]) -> Vec<Line<'a>> {
    let (mut expected, mut seen) = (expected, seen);
    let mut lines = Vec::new();
    loop {
        match (expected.split_first(), seen.split_first()) {
            (Some((one, rest)), Some((other, others))) if one == other => {
                lines.push(Line::Both(one));
                (expected, seen) = (rest, others);
            }
            (Some((one, rest)), Some((_, others))) if alike(rest, seen) >= alike(expected, others) => {
                lines.push(Line::Expected(one));
                expected = rest;
            }
            (_, Some((other, others))) => {
                lines.push(Line::Seen(other));
                seen = others;
            }
            (Some((one, rest)), None) => {
                lines.push(Line::Expected(one));
                expected = rest;
            }
            (None, None) => return lines,
        }
    }
}

/// The length of the longest common subsequence.
fn alike(one: &[String], other: &[String]) -> usize {
    let mut row = vec![0_usize; other.len() + 1];
    for left in one {
        let mut diagonal = 0;
        let mut before = 0;
        for (cell, right) in row.iter_mut().skip(1).zip(other) {
            let above = *cell;
            *cell = if left == right {
                diagonal + 1
            } else {
                above.max(before)
            };
            diagonal = above;
            before = *cell;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Line, compare};

    #[test]
    fn a_difference_keeps_all_that_is_alike() {
        let list = |words: &str| -> Vec<String> { words.split(' ').map(str::to_owned).collect() };
        let (expected, seen) = (list("a b c d"), list("b x d e"));
        assert_eq!(
            compare(&expected, &seen),
            [
                Line::Expected("a"),
                Line::Both("b"),
                Line::Expected("c"),
                Line::Seen("x"),
                Line::Both("d"),
                Line::Seen("e"),
            ]
        );
    }
}
