//! `ninewatch run`: the gateway as a daemon, until SIGTERM or SIGINT. SIGHUP reads the file anew.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

use super::check;
use crate::app::Running;
use crate::config;
use crate::reload::Origin;

/// Runs the gateway that `path` configures. A wrong configuration starts nothing.
pub(super) fn run(path: &Path) -> anyhow::Result<ExitCode> {
    // Only builds for tests have fail points; in any other this is `None`, and each of them is nothing.
    let _fail_points = fail::has_failpoints().then(fail::FailScenario::setup);
    let settings = match config::load(path) {
        Ok(settings) => settings,
        Err(findings) => {
            check::report(path, &findings);
            return Ok(ExitCode::FAILURE);
        }
    };
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    runtime.block_on(async {
        let stop = stop_signal()?;
        // From the beginning: a SIGHUP must not end a gateway that is on its way up.
        let hangup = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
        let file = path.to_owned();
        let running = Running::start(settings, Some(Origin { file, hangup })).await?;
        tracing::info!(http = %running.http(), version = env!("CARGO_PKG_VERSION"), "ninewatch is up");
        running.run_until(stop).await
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Resolves at the first SIGTERM or SIGINT.
pub(super) fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
