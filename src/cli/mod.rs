//! One file a command. Arguments in, an exit code out; no logic of the gateway.

mod audit;
mod backtest;
mod check;
mod demo;
mod notices;
mod profile;
mod roster;
mod rules;
mod run;
mod simulate;

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// Version, commit and build date, for `--version`.
const VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (commit ",
    env!("NINEWATCH_COMMIT"),
    ", built ",
    env!("NINEWATCH_BUILD_DATE"),
    ")"
);

/// Fire-safety gateway for small venues: device messages in over MQTT, alarms out in milliseconds, nothing lost.
#[derive(Debug, Parser)]
#[command(name = "ninewatch", version = VERSION, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Everything in one process: embedded broker, simulated venues with incidents, alarms, a local webhook sink
    Demo(demo::DemoArguments),
    /// Run the gateway
    Run {
        /// The configuration file
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Check a configuration: every finding at once, with file, line and column
    Check {
        /// The configuration file
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Work with rules
    Rules {
        #[command(subcommand)]
        command: RulesCommand,
    },
    /// Work with profiles
    Profile {
        #[command(subcommand)]
        command: ProfileCommand,
    },
    /// Say who is told of what
    Notices {
        #[command(subcommand)]
        command: NoticesCommand,
    },
    /// Say who is on duty, and whose turn comes next
    Roster(roster::RosterArguments),
    /// Simulated venues and devices against any MQTT broker, at a rate
    Simulate(simulate::SimulateArguments),
    /// Work with the event chain
    Audit {
        #[command(subcommand)]
        command: AuditCommand,
    },
    /// Print the completions of a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Subcommand)]
enum RulesCommand {
    /// Run unit tests of rules: readings at instants, and the alarms they should bring
    Test {
        /// The files of tests
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Say what rules would have raised on recorded history, beside what was raised
    Backtest(backtest::BacktestArguments),
}

#[derive(Debug, Subcommand)]
enum ProfileCommand {
    /// Run the golden tests inside profile files: messages, and what they should say
    Test {
        /// The profile files
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
enum NoticesCommand {
    /// Say who would be told of an alarm, and when: a dry run
    Route(notices::RouteArguments),
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    /// Walk the event hash chain and say whether it is intact
    Verify {
        /// The configuration file
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
}

/// Runs the command that the arguments name. An error is printed as one message on stderr.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.command {
        Command::Demo(arguments) => demo::demo(arguments),
        Command::Run { config } => {
            log_to(io::stderr, "info");
            run::run(&config)
        }
        Command::Check { config } => Ok(check::check(&config)),
        Command::Rules {
            command: RulesCommand::Test { files },
        } => Ok(rules::test(&files)),
        Command::Rules {
            command: RulesCommand::Backtest(arguments),
        } => backtest::backtest(&arguments),
        Command::Profile {
            command: ProfileCommand::Test { files },
        } => Ok(profile::test(&files)),
        Command::Notices {
            command: NoticesCommand::Route(arguments),
        } => notices::route(&arguments),
        Command::Roster(arguments) => roster::roster(&arguments),
        Command::Simulate(arguments) => simulate::simulate(arguments),
        Command::Audit {
            command: AuditCommand::Verify { config },
        } => audit::verify(&config),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Arguments::command(), "ninewatch", &mut io::stdout());
            Ok(ExitCode::SUCCESS)
        }
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("ninewatch: {error:#}");
        ExitCode::FAILURE
    })
}

/// Logs go to `writer`, at `RUST_LOG` or else at `level`; coloured only on a terminal and not under `NO_COLOR`.
fn log_to<W>(writer: W, level: &str)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let colour =
        io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_ansi(colour)
        .init();
}
