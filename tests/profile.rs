//! `ninewatch profile test` as a person runs it: over files whose tests pass, fail, or are not there.

#![expect(clippy::expect_used, reason = "a test may panic")]

use std::process::{Command, Output};

fn profile_test(files: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ninewatch"))
        .args(["profile", "test"])
        .args(files)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("the binary was built for this test")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// How many tests passed when none failed.
fn passed(shown: &str) -> usize {
    let last = shown.lines().last().unwrap_or_default();
    let count = last.strip_suffix(" passed, 0 failed");
    count.and_then(|count| count.parse().ok()).unwrap_or_default()
}

#[test]
fn every_form_of_payload_can_be_expressed() {
    let output = profile_test(&["tests/profiles/forms.toml"]);
    let shown = text(&output.stdout);
    assert!(output.status.success(), "{shown}{}", text(&output.stderr));
    assert!(passed(&shown) >= 20, "{shown}");
}

#[test]
fn formats_that_no_shipped_profile_reads_can_be_expressed() {
    let output = profile_test(&["tests/profiles/unseen.toml", "tests/profiles/unseen-bytes.toml"]);
    let shown = text(&output.stdout);
    assert!(output.status.success(), "{shown}{}", text(&output.stderr));
    assert!(passed(&shown) >= 35, "{shown}");
}

/// The profile in the manual, as a stranger types it in.
#[test]
fn the_profile_of_the_tutorial_passes_its_tests() {
    let page = include_str!("../docs/profiles.md");
    let blocks = page.split("```toml\n").skip(1);
    let mut blocks = blocks.filter_map(|block| block.split_once("\n```").map(|(block, _)| block));
    let profile = blocks
        .find(|block| block.contains("[profile]") && block.contains("[[test]]"))
        .expect("the tutorial has a profile with tests");
    let folder = tempfile::tempdir().expect("a folder for the profile");
    let file = folder.path().join("acme.toml");
    std::fs::write(&file, profile).expect("the profile can be written");
    let output = profile_test(&[&file.display().to_string()]);
    let shown = text(&output.stdout);
    assert!(output.status.success(), "{shown}{}", text(&output.stderr));
    assert_eq!(passed(&shown), 4, "{shown}");
}

#[test]
fn the_tests_in_every_shipped_profile_pass() {
    let files: Vec<String> = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/config/profiles"))
        .expect("the folder of the shipped profiles")
        .map(|entry| entry.expect("a file of it").path().display().to_string())
        .collect();
    assert!(files.len() >= 10, "{files:?}");
    let output = profile_test(&files.iter().map(String::as_str).collect::<Vec<_>>());
    let shown = text(&output.stdout);
    assert!(output.status.success(), "{shown}{}", text(&output.stderr));
    assert!(passed(&shown) >= 150, "{shown}");
}

#[test]
fn a_test_that_fails_shows_line_and_difference() {
    let output = profile_test(&["tests/profiles/failing.toml", "tests/profiles/forms.toml"]);
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{shown}");
    for line in [
        "FAILED tests/profiles/failing.toml:13 a wrong figure",
        "- g1: lel=6",
        "+ g1: lel=5",
        ", 1 failed",
    ] {
        assert!(shown.contains(line), "{line} is not in {shown}");
    }
}

#[test]
fn a_file_without_tests_is_an_error() {
    let output = profile_test(&["tests/profiles/untested.toml"]);
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("has no [[test]]"), "{told}");
    let none = profile_test(&["tests/profiles/none.toml"]);
    assert_eq!(none.status.code(), Some(1));
    assert!(text(&none.stderr).contains("cannot read the profile"));
}
