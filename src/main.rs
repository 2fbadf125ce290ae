//! Arguments → a command → an exit code. No logic.

fn main() -> std::process::ExitCode {
    ninewatch::cli::main()
}
