//! `ninewatch check`: says everything that is wrong with a configuration, or what is in it. Changes nothing.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use crate::clock;
use crate::config::{self, Findings, counted};

/// Checks the configuration in `path`: one line on stdout and 0 when it is fine, with warnings on stderr where something is
/// hardly meant; every finding on stderr and 1 when it is not.
pub(super) fn check(path: &Path) -> ExitCode {
    match config::check(path, clock::wall()) {
        Ok(settings) => {
            if !settings.warnings.is_empty() {
                show(path, &settings.warnings, "warning");
            }
            // A closed pipe is the reader's choice; the exit code still tells.
            drop(writeln!(
                io::stdout(),
                "{}: fine: {}",
                path.display(),
                settings.summary()
            ));
            ExitCode::SUCCESS
        }
        Err(findings) => {
            report(path, &findings);
            ExitCode::FAILURE
        }
    }
}

/// Draws `findings` on stderr, with a count at the end; in colour on a terminal unless `NO_COLOR` says no.
pub(super) fn report(path: &Path, findings: &Findings) {
    show(path, findings, "finding");
}

fn show(path: &Path, findings: &Findings, noun: &str) {
    let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let colour = io::stderr().is_terminal() && !no_colour;
    let count = counted(findings.len(), noun);
    // Nobody is left to tell when stderr is closed.
    drop(writeln!(
        io::stderr(),
        "{}\n\n{}: {count}",
        findings.render(colour),
        path.display()
    ));
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::{self, counted};

    #[test]
    fn the_summary_counts_what_the_configuration_has() {
        let text = "[gateway]\nid = 'g'\n[mqtt]\nurl = 'mqtt://127.0.0.1'\n[http]\nauth = 'none'\n[files]\nvenues = ['venues.toml']\n";
        let settings = config::load_str("t", text, Path::new("config")).unwrap();
        assert_eq!(
            settings.summary(),
            "8 kinds, 84 rules, 1 profile, 3 venues, 5 devices, 0 targets"
        );
        assert_eq!(counted(1, "finding"), "1 finding");
    }
}
