//! System calls of a running process that fail or take long, by strace.

use std::fs;
use std::path::Path;

use super::gateway::signal;
use super::{PATIENCE, eventually, run_installed};

/// Every sync fails.
pub(crate) const EIO: &str = "inject=fdatasync,fsync:error=EIO";

/// strace on a running process. Lets go of it on drop.
pub(crate) struct Strace(std::process::Child);

impl Strace {
    /// Attaches and waits until every thread is held.
    pub(crate) async fn attach(pid: u32, inject: &str) -> Strace {
        Strace::attach_with(pid, inject, &[]).await
    }

    /// The same, only for the file `path`.
    pub(crate) async fn attach_to_file(pid: u32, inject: &str, path: &Path) -> Strace {
        Strace::attach_with(pid, inject, &["-P", &path.display().to_string()]).await
    }

    async fn attach_with(pid: u32, inject: &str, more: &[&str]) -> Strace {
        run_installed("strace", "strace", &["--version"]);
        let child = std::process::Command::new("strace")
            .args([
                "-f",
                "-q",
                "-o",
                "/dev/null",
                "-e",
                "trace=fdatasync,fsync",
                "-e",
                inject,
            ])
            .args(more)
            .args(["-p", &pid.to_string()])
            .spawn()
            .expect("strace starts");
        eventually("strace holds every thread", PATIENCE, async || {
            let tasks = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
            let traced = tasks.flatten().all(|task| {
                let status = fs::read_to_string(task.path().join("status")).unwrap_or_default();
                status
                    .lines()
                    .any(|line| line.starts_with("TracerPid:") && !line.ends_with("\t0"))
            });
            traced.then_some(())
        })
        .await;
        Strace(child)
    }
}

impl Drop for Strace {
    fn drop(&mut self) {
        signal(self.0.id(), "INT");
        let _ = self.0.wait();
    }
}
