//! Golden configurations that load, and are hardly meant so: the warnings that stand beside each.

use std::path::Path;
use std::process::Command;

use ninewatch::config;

use super::files;

/// With `UPDATE_EXPECTED=1` the warnings of today are written down as the expected ones.
#[test]
fn doubtful_configurations_load_with_the_expected_warnings() {
    for path in files("doubtful", 1) {
        let settings = config::load(&path).unwrap_or_else(|findings| panic!("{findings}"));
        let shown = format!("{}\n", settings.warnings);
        let expected = path.with_extension("expected");
        if std::env::var_os("UPDATE_EXPECTED").is_some() {
            std::fs::write(&expected, &shown).expect("it is written");
        }
        let expected = std::fs::read_to_string(expected).unwrap_or_default();
        assert_eq!(shown, expected, "{}", path.display());
    }
}

#[test]
fn warnings_are_shown_by_a_check_that_succeeds() {
    let path = "tests/config/doubtful/orders.toml";
    let output = Command::new(env!("CARGO_BIN_EXE_ninewatch"))
        .args(["check", "--config", path])
        .env("NO_COLOR", "1")
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{output:?}");
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(out.contains(": fine: "), "{out}");
    assert!(
        err.contains("warning: ") && err.ends_with("orders.toml: 3 warnings\n"),
        "{err}"
    );
}

#[test]
fn nothing_is_doubtful_in_what_is_shipped() {
    let settings =
        config::load(Path::new("config/ninewatch.toml")).unwrap_or_else(|findings| panic!("{findings}"));
    assert!(settings.warnings.is_empty(), "{}", settings.warnings);
}
