//! `ninewatch rules test` as a person runs it: over the shipped tests, over tests that fail and over broken files.

#![expect(clippy::expect_used, reason = "a test may panic")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Runs the command over `files`, without colour, from the root of the package.
fn rules_test(files: &[PathBuf]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ninewatch"))
        .args(["rules", "test"])
        .args(files)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("the binary was built for this test")
}

/// The TOML files of `folder`; at least `least`, or a loop over them proves nothing.
fn toml_files(folder: &str, least: usize) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("the folder is in the repository");
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.expect("the folder can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    assert!(files.len() >= least, "only {} files in {folder}", files.len());
    files
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What is different between `shown` and the file that says what should be shown. With `UPDATE_EXPECTED=1` the
/// file is written anew: read it before you commit it.
fn against(expected_path: &Path, shown: &str) -> Option<String> {
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        std::fs::write(expected_path, shown).expect("the folder can be written");
    }
    let expected = std::fs::read_to_string(expected_path).unwrap_or_default();
    (shown != expected).then(|| {
        format!(
            "{}\n--- expected\n{expected}--- shown\n{shown}",
            expected_path.display()
        )
    })
}

#[test]
fn the_shipped_tests_pass_and_raise_every_rule() {
    let files = toml_files("config/rules/tests", 12);
    let output = rules_test(&files);
    let shown = text(&output.stdout);
    assert!(output.status.success(), "{shown}{}", text(&output.stderr));
    assert!(!shown.contains("note:"), "{shown}");
    let last = shown.lines().last().unwrap_or_default();
    let passed = last
        .strip_suffix(" passed, 0 failed")
        .and_then(|count| count.parse::<usize>().ok());
    assert!(passed.is_some_and(|passed| passed >= 220), "{shown}");
}

#[test]
fn tests_that_fail_show_what_was_expected_and_what_was_seen() {
    let output = rules_test(&[PathBuf::from("tests/rules/failing.toml")]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stderr), "");
    let wrong = against(Path::new("tests/rules/failing.expected"), &text(&output.stdout));
    assert!(wrong.is_none(), "{}", wrong.unwrap_or_default());
}

#[test]
fn what_the_wall_clock_decides_can_be_rehearsed() {
    let output = rules_test(&[PathBuf::from("tests/rules/schedule.toml")]);
    let shown = text(&output.stdout);
    assert!(
        shown.ends_with("\n4 passed, 0 failed\n") && !shown.contains("note:"),
        "{shown}{}",
        text(&output.stderr)
    );
}

#[test]
fn rules_on_venues_can_be_rehearsed() {
    let output = rules_test(&[PathBuf::from("tests/rules/venue.toml")]);
    let shown = text(&output.stdout);
    assert!(
        shown.ends_with("\n4 passed, 0 failed\n") && !shown.contains("note:"),
        "{shown}{}",
        text(&output.stderr)
    );
}

#[test]
fn broken_files_give_the_expected_findings() {
    let mut wrong = Vec::new();
    for path in toml_files("tests/rules/invalid", 4) {
        let output = rules_test(std::slice::from_ref(&path));
        assert_eq!(output.status.code(), Some(1), "{}", path.display());
        wrong.extend(against(&path.with_extension("expected"), &text(&output.stderr)));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_broken_file_does_not_keep_the_others_from_running() {
    let files = ["tests/rules/no-such.toml", "config/rules/tests/gas.toml"].map(PathBuf::from);
    let output = rules_test(&files);
    assert_eq!(output.status.code(), Some(1));
    let shown = text(&output.stdout);
    assert!(shown.ends_with(" passed, 0 failed, 1 file not run\n"), "{shown}");
    assert!(!shown.starts_with("0 passed"), "{shown}");
    let stderr = text(&output.stderr);
    assert!(
        stderr.starts_with("error: cannot read the rule tests"),
        "{stderr}"
    );
}

#[test]
fn the_example_in_the_docs_passes() {
    let docs = std::fs::read_to_string("docs/rules.md").expect("the docs are in the repository");
    let (_, section) = docs
        .split_once("## Test your rules")
        .expect("the docs have the section");
    let (_, example) = section.split_once("```toml\n").expect("it has an example");
    let (example, _) = example.split_once("```").expect("the example ends");
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let from_anywhere = example
        .replace("../../kinds.toml", &config.join("kinds.toml").to_string_lossy())
        .replace("../gas.toml", &config.join("rules/gas.toml").to_string_lossy());
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let path = folder.path().join("example.toml");
    std::fs::write(&path, from_anywhere).expect("the folder can be written");
    let output = rules_test(&[path]);
    let shown = text(&output.stdout);
    assert!(
        shown.ends_with("1 passed, 0 failed\n"),
        "{shown}{}",
        text(&output.stderr)
    );
}
