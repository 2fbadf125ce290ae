//! The mechanical rules of the code base, checked on the source text: direction of modules, sizes, openings, words
//! that may not stand. Each rule is a function from a file to violations, and has a test that it can fail.

#![cfg(test)]

mod tidy_rules;

use std::fs;
use std::path::{Path, PathBuf};

use tidy_rules::{RULES, Source};

#[test]
fn the_source_is_tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["src", "tests", "benches"] {
        walk(&root.join(folder), &mut files);
    }
    assert!(
        files.len() > 30,
        "the walk found the source: {} files",
        files.len()
    );
    let mut violations = Vec::new();
    for file in &files {
        let path = file
            .strip_prefix(root)
            .unwrap()
            .to_string_lossy()
            .replace('\\', "/");
        let source = Source::new(&path, &fs::read_to_string(file).unwrap());
        for rule in RULES {
            violations.extend(rule(&source).into_iter().map(|found| format!("{path}:{found}")));
        }
    }
    assert!(
        violations.is_empty(),
        "{} violations:\n{}",
        violations.len(),
        violations.join("\n")
    );
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            walk(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// What all rules find in a file of this name and text.
fn found(path: &str, text: &str) -> Vec<String> {
    let source = Source::new(path, text);
    RULES
        .iter()
        .flat_map(|rule| rule(&source))
        .map(|found| found.to_string())
        .collect()
}

#[track_caller]
fn refuses(path: &str, text: &str, line: usize, word: &str) {
    let found = found(path, text);
    let expected = found
        .iter()
        .any(|found| found.starts_with(&format!("{line}: ")) && found.contains(word));
    assert!(
        expected,
        "line {line} of {path} should be refused for {word:?}; found {found:?}"
    );
}

#[track_caller]
fn accepts(path: &str, text: &str) {
    let found = found(path, text);
    assert!(found.is_empty(), "{path} should pass; found {found:?}");
}

#[test]
fn a_good_file_passes() {
    accepts(
        "src/domain/a.rs",
        "//! A thing.\n\nuse super::b::B;\nuse crate::domain::c::C;\nuse std::fmt;\n",
    );
    accepts(
        "src/notify/webhook.rs",
        "//! Sends.\n\nuse crate::store::Reader;\nuse crate::handoff::Work;\n",
    );
    accepts(
        "src/app.rs",
        "//! Wires.\n\nuse crate::store::Writer;\nuse crate::ingest::Session;\n",
    );
}

#[test]
fn the_domain_is_pure() {
    refuses(
        "src/domain/a.rs",
        "//! A.\nuse crate::store::Row;\n",
        2,
        "crate::store",
    );
    refuses(
        "src/domain/a.rs",
        "//! A.\nfn f() { crate::clock::wall(); }\n",
        2,
        "crate::clock",
    );
    refuses("src/domain/rule/a.rs", "//! A.\nuse tokio::time;\n", 2, "tokio");
    refuses(
        "src/domain/a.rs",
        "//! A.\nfn f() { rusqlite::params![]; }\n",
        2,
        "rusqlite",
    );
    accepts(
        "src/domain/a.rs",
        "//! A.\n// tokio:: is not used here, nor is crate::store::\nconst A: &str = \"tokio::x\";\n",
    );
}

#[test]
fn the_parts_do_not_import_each_other() {
    refuses(
        "src/ingest/mqtt.rs",
        "//! A.\nuse crate::store::Row;\n",
        2,
        "crate::store",
    );
    refuses(
        "src/store/writer.rs",
        "//! A.\nuse crate::notify::Target;\n",
        2,
        "crate::notify",
    );
    refuses(
        "src/notify/webhook.rs",
        "//! A.\nuse crate::web::Api;\n",
        2,
        "crate::web",
    );
    refuses(
        "src/web/api.rs",
        "//! A.\nuse crate::ingest::Session;\n",
        2,
        "crate::ingest",
    );
    refuses(
        "src/gateway.rs",
        "//! A.\nuse crate::store::Writer;\n",
        2,
        "crate::store",
    );
    refuses(
        "src/gateway.rs",
        "//! A.\nuse crate::{clock::Clock, store::Writer};\n",
        2,
        "crate::store",
    );
    refuses(
        "src/gateway.rs",
        "//! A.\nuse crate::{\n    store::Writer,\n};\n",
        3,
        "crate::store",
    );
    refuses(
        "src/store/a.rs",
        "//! A.\nuse crate::gateway::Gateway;\n",
        2,
        "crate::gateway",
    );
    refuses(
        "src/web/api.rs",
        "//! A.\nuse crate::app::App;\n",
        2,
        "crate::app",
    );
}

#[test]
fn sizes_are_bounded() {
    let long = format!("//! A.\n{}", "// a line\n".repeat(500));
    refuses("src/a.rs", &long, 501, "lines");
    accepts("src/a.rs", &format!("//! A.\n{}", "// a line\n".repeat(499)));
    let body = |lines: usize| "    f();\n".repeat(lines);
    let function = |lines: usize| format!("//! A.\nfn f() {{\n{}}}\n", body(lines));
    refuses("src/a.rs", &function(71), 2, "function");
    refuses("tests/a.rs", &function(71), 2, "function");
    accepts("src/a.rs", &function(70));
    let method = format!(
        "//! A.\nimpl A {{\n    async fn f(\n        a: u8,\n    ) {{\n{}    }}\n}}\n",
        body(71)
    );
    refuses("src/a.rs", &method, 3, "function");
    let excepted = "#[expect(clippy::too_many_lines, reason = \"a table\")]\nfn f() {";
    accepts("src/a.rs", &function(71).replace("fn f() {", excepted));
    let spaced = format!("//! A.\nfn f() {{\n{}\n\n    // why\n}}\n", body(70));
    accepts("src/a.rs", &spaced);
    let six = "//! A.\nfn many(a: u8, b: u8, c: u8, d: u8, e: u8, f: u8) {}\n";
    refuses("src/a.rs", six, 2, "arguments");
    accepts("tests/a.rs", six);
    accepts(
        "src/a.rs",
        &six.replace(
            "fn many",
            "#[expect(clippy::too_many_arguments, reason = \"x\")]\nfn many",
        ),
    );
    accepts(
        "src/a.rs",
        "//! A.\nfn five(&self, a: &[(u8, u8)], b: [u8; 2], c: F<u8, u8>, d: u8) {}\n",
    );
}

#[test]
fn a_file_says_what_it_owns() {
    refuses("src/a.rs", "use std::fmt;\n", 1, "//!");
    refuses("src/a.rs", "//! 1\n//! 2\n//! 3\n//! 4\n//! 5\n//! 6\n", 6, "//!");
    accepts(
        "src/a.rs",
        "//! 1\n//!\n//! ```text\n//! 2\n//! 3\n//! 4\n//! 5\n//! 6\n//! ```\n",
    );
    accepts(
        "src/lib.rs",
        "//! 1\n//!\n//! | a |\n//! |---|\n//! | 2 |\n//! | 3 |\n//! | 4 |\n//! | 5 |\n",
    );
}

#[test]
fn words_that_may_not_stand() {
    for (line, word) in [
        ("fn f() { a.unwrap(); }", "unwrap"),
        ("fn f() { todo!() }", "todo!"),
        ("fn f() { unimplemented!() }", "unimplemented!"),
        ("fn f() { dbg!(1); }", "dbg!"),
        ("#[allow(dead_code)]", "#[allow"),
        ("#![allow(dead_code)]", "#![allow"),
        ("// TODO: later", "TODO"),
        ("// FIXME later", "FIXME"),
        ("pub use self::b::B;", "re-export"),
        ("fn f() { Instant::now(); }", "clock"),
        ("fn f() { std::time::SystemTime::now(); }", "clock"),
        ("fn f() { jiff::Timestamp::now(); }", "clock"),
        ("fn f() { jiff::Zoned::now(); }", "clock"),
    ] {
        refuses("src/a.rs", &format!("//! A.\n{line}\n"), 2, word);
    }
    refuses("tests/a.rs", "//! A.\n#[ignore]\n", 2, "#[ignore");
    refuses("tests/a.rs", "//! A.\n#[ignore = \"slow\"]\n", 2, "#[ignore");
    refuses(
        "tests/a.rs",
        "//! A.\nfn f() { std::thread::sleep(d); }\n",
        2,
        "sleep",
    );
    accepts(
        "src/a.rs",
        "//! A.\nconst A: &str = \"never unwrap() or todo!()\"; // nor dbg!(\n",
    );
    accepts(
        "src/a.rs",
        "//! A.\n#[cfg(test)]\nmod tests {\n    fn f() { a.unwrap(); }\n}\n",
    );
    accepts(
        "src/a.rs",
        "//! A.\nfn f() { a.unwrap_or(1); a.unwrap_or_default(); }\n",
    );
    accepts("src/b/mod.rs", "//! A.\npub use self::b::B;\n");
    accepts("src/clock.rs", "//! A.\nfn f() { Instant::now(); }\n");
}
