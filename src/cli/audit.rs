//! `ninewatch audit verify`: walks the event chain and says whether it is intact. Changes nothing.

use std::path::Path;
use std::process::ExitCode;

use super::check;
use crate::config;
use crate::store::{self, Fault, Verified};

/// Checks the event chain of the gateway that `config` describes, also while it runs. Exit code 0 when it is
/// intact, 1 when not.
pub(super) fn verify(config: &Path) -> anyhow::Result<ExitCode> {
    let settings = match config::load(config) {
        Ok(settings) => settings,
        Err(findings) => {
            check::report(config, &findings);
            return Ok(ExitCode::FAILURE);
        }
    };
    match store::verify(&settings.gateway.data_dir)? {
        Verified::Intact {
            events,
            deleted,
            last,
        } => {
            println!("{events} events, chain intact, last hash {last}");
            if deleted > 0 {
                println!(
                    "the first {deleted} events were kept as long as [store] event_keep says, and are deleted"
                );
            }
            Ok(ExitCode::SUCCESS)
        }
        Verified::Broken { seq, fault } => {
            eprintln!("the event chain is broken at event {seq}: {}", describe(&fault));
            Ok(ExitCode::FAILURE)
        }
    }
}

fn describe(fault: &Fault) -> String {
    match fault {
        Fault::Missing { next } => format!("it is missing; the next event there is {next}"),
        Fault::Hash { expected, found } => {
            format!("its content gives the hash {expected}, stored is {found}; it, or its hash, was changed")
        }
    }
}
