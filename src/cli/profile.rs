//! `ninewatch profile test`: runs the golden tests inside profile files and says how they went. Needs no gateway.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::check;
use crate::config::{self, ProfileTests};
use crate::domain::profile::command::CommandBook;
use crate::domain::profile::decoder::Decoder;
use crate::domain::profile::trial::Stage;
use crate::domain::registry::Registry;

/// Runs the tests in every one of `files`: 0 when all pass, 1 when one fails, or a file is wrong or has no tests; what
/// is wrong goes to stderr.
pub(super) fn test(files: &[PathBuf]) -> ExitCode {
    let mut tally = Tally::default();
    for path in files {
        say(&path.display().to_string());
        match config::load_profile_tests(path) {
            Ok(tests) => tally.run(path, &tests),
            Err(findings) => {
                tally.broken += 1;
                say("  not run: something is wrong with the file");
                check::report(path, &findings);
            }
        }
    }
    say("");
    say(&tally.summary());
    if tally.failed + tally.broken == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Writes a line. A closed pipe is the reader's choice; the exit code still tells.
fn say(line: &str) {
    drop(writeln!(io::stdout().lock(), "{line}"));
}

/// How it went so far.
#[derive(Default)]
struct Tally {
    passed: usize,
    failed: usize,
    /// Files that were not run.
    broken: usize,
}

impl Tally {
    fn run(&mut self, path: &Path, file: &ProfileTests) {
        let decoder = match Decoder::new(&file.profiles, &file.kinds, &Registry::default()) {
            Ok(decoder) => decoder,
            Err(errors) => {
                self.broken += 1;
                for error in errors {
                    say(&format!("  not run: {error}"));
                }
                return;
            }
        };
        let mut stage = Stage {
            decoder,
            book: CommandBook::new(&file.profiles),
            kinds: &file.kinds,
            profile: file.profiles.last().map_or("", |profile| profile.name.as_str()),
        };
        for (line, trial) in &file.tests {
            let name = format!("{}:{line} {}", path.display(), trial.title);
            match stage.run(trial) {
                None => {
                    self.passed += 1;
                    say(&format!("  ok     {}", name.trim_end()));
                }
                Some(difference) => {
                    self.failed += 1;
                    say(&format!("  FAILED {}", name.trim_end()));
                    let both =
                        |line: &String| difference.expected.contains(line) && difference.seen.contains(line);
                    for line in &difference.expected {
                        let mark = if both(line) { ' ' } else { '-' };
                        say(&format!("         {mark} {line}"));
                    }
                    for line in difference.seen.iter().filter(|line| !both(line)) {
                        say(&format!("         + {line}"));
                    }
                }
            }
        }
    }

    fn summary(&self) -> String {
        let Tally {
            passed,
            failed,
            broken,
        } = self;
        match broken {
            0 => format!("{passed} passed, {failed} failed"),
            1 => format!("{passed} passed, {failed} failed, 1 file not run"),
            _ => format!("{passed} passed, {failed} failed, {broken} files not run"),
        }
    }
}
