//! Names the commit and the build date for `ninewatch --version` and `ninewatch_build_info`.

use std::path::Path;
use std::process::Command;

fn main() {
    // Where they are in a linked worktree, git knows; a path that is not there would have everything built anew each time.
    for name in ["HEAD", "logs/HEAD"] {
        let path = output("git", &["rev-parse", "--git-path", name]);
        if let Some(path) = path.filter(|path| Path::new(path).exists()) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    println!("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");
    let commit = output("git", &["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env=NINEWATCH_COMMIT={commit}");
    let day = std::env::var("SOURCE_DATE_EPOCH")
        .ok()
        .and_then(|epoch| output("date", &["-u", "-d", &format!("@{epoch}"), "+%Y-%m-%d"]))
        .or_else(|| output("date", &["-u", "+%Y-%m-%d"]))
        .unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env=NINEWATCH_BUILD_DATE={day}");
}

fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let text = text.trim();
    (output.status.success() && !text.is_empty()).then(|| text.to_owned())
}
