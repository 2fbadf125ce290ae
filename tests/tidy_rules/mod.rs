//! The rules themselves: each takes a source file and gives what is wrong with it, by line.

mod source;

pub(crate) use self::source::Source;

use std::fmt;

const FILE_LINES: usize = 500;
const FUNCTION_LINES: usize = 70;
const ARGUMENTS: usize = 5;
const OPENING_LINES: usize = 5;

/// Something wrong, and on which line.
pub(crate) struct Violation {
    line: usize,
    what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.line, self.what)
    }
}

/// Every rule.
pub(crate) const RULES: [fn(&Source) -> Vec<Violation>; 6] =
    [direction, file_length, functions, opening, words, clock_reads];

/// Outside crates that the pure core may not touch.
const IMPURE: [&str; 9] = [
    "tokio",
    "rusqlite",
    "tokio_postgres",
    "axum",
    "hyper",
    "reqwest",
    "rumqttc",
    "rmqtt",
    "prometheus",
];

/// What each part may not import of the crate. `notify` and `web` read the store: that is their input.
const BARRED: [(&str, &[&str]); 14] = [
    (
        "src/ingest/",
        &[
            "actuate",
            "store",
            "notify",
            "replicate",
            "web",
            "gateway",
            "app",
            "cli",
            "demo",
            "simulate",
        ],
    ),
    (
        "src/store/",
        &[
            "actuate",
            "ingest",
            "notify",
            "replicate",
            "web",
            "gateway",
            "app",
            "cli",
            "demo",
            "simulate",
        ],
    ),
    (
        "src/replicate/",
        &[
            "actuate", "ingest", "notify", "web", "gateway", "app", "cli", "demo", "simulate",
        ],
    ),
    (
        "src/notify/",
        &[
            "actuate",
            "ingest",
            "replicate",
            "web",
            "gateway",
            "app",
            "cli",
            "demo",
            "simulate",
        ],
    ),
    (
        "src/web/",
        &[
            "actuate",
            "ingest",
            "notify",
            "replicate",
            "gateway",
            "app",
            "cli",
            "demo",
            "simulate",
        ],
    ),
    (
        "src/gateway.rs",
        &[
            "actuate",
            "ingest",
            "store",
            "notify",
            "replicate",
            "web",
            "app",
            "cli",
            "demo",
            "simulate",
        ],
    ),
    (
        "src/gateway/",
        &[
            "actuate",
            "ingest",
            "store",
            "notify",
            "replicate",
            "web",
            "app",
            "cli",
            "demo",
            "simulate",
        ],
    ),
    (
        "src/config/",
        &[
            "actuate",
            "ingest",
            "store",
            "notify",
            "replicate",
            "web",
            "gateway",
            "app",
            "cli",
            "demo",
            "simulate",
        ],
    ),
    (
        "src/handoff.rs",
        &[
            "actuate",
            "ingest",
            "store",
            "notify",
            "replicate",
            "web",
            "gateway",
            "app",
            "cli",
            "demo",
            "simulate",
            "config",
        ],
    ),
    (
        "src/metrics.rs",
        &[
            "actuate",
            "ingest",
            "store",
            "notify",
            "replicate",
            "web",
            "gateway",
            "app",
            "cli",
            "demo",
            "simulate",
            "config",
        ],
    ),
    (
        "src/lifecycle.rs",
        &[
            "actuate",
            "ingest",
            "store",
            "notify",
            "replicate",
            "web",
            "gateway",
            "app",
            "cli",
            "demo",
            "simulate",
            "config",
        ],
    ),
    (
        "src/words/",
        &[
            "actuate",
            "ingest",
            "store",
            "notify",
            "replicate",
            "web",
            "gateway",
            "app",
            "cli",
            "demo",
            "simulate",
            "config",
        ],
    ),
    (
        "src/actuate/",
        &[
            "ingest",
            "store",
            "notify",
            "replicate",
            "web",
            "gateway",
            "app",
            "cli",
            "demo",
            "simulate",
        ],
    ),
    (
        "src/mqtt/",
        &[
            "actuate",
            "ingest",
            "store",
            "notify",
            "replicate",
            "web",
            "gateway",
            "app",
            "cli",
            "demo",
            "simulate",
        ],
    ),
];

fn direction(source: &Source) -> Vec<Violation> {
    let mut found = Vec::new();
    let pure = source.path.starts_with("src/domain/");
    let barred: &[&str] = BARRED
        .iter()
        .find(|(part, _)| source.path.starts_with(part))
        .map_or(&[], |(_, barred)| barred);
    for (line, module) in source.crate_modules() {
        if pure && module != "domain" {
            found.push(Violation {
                line,
                what: format!("the domain imports crate::{module}"),
            });
        }
        if barred.contains(&module.as_str()) {
            found.push(Violation {
                line,
                what: format!("this part may not import crate::{module}"),
            });
        }
    }
    if pure {
        for (line, code) in source.product_lines() {
            for name in IMPURE {
                if has_word(code, &format!("{name}::")) {
                    found.push(Violation {
                        line,
                        what: format!("the domain uses {name}"),
                    });
                }
            }
        }
    }
    found
}

fn file_length(source: &Source) -> Vec<Violation> {
    let lines = source.lines().count();
    let too_long = lines > FILE_LINES;
    let what = format!("{lines} lines; a file has at most {FILE_LINES}");
    too_long
        .then_some(Violation { line: lines, what })
        .into_iter()
        .collect()
}

fn functions(source: &Source) -> Vec<Violation> {
    let mut found = Vec::new();
    for function in source.functions() {
        // An exception stands where it is made, with its reason: `#[expect(clippy::…, reason = "…")]`.
        let excepted = |lint: &str| function.attributes.contains(lint);
        if function.lines > FUNCTION_LINES && !excepted("too_many_lines") {
            let what = format!("function of {} lines; at most {FUNCTION_LINES}", function.lines);
            found.push(Violation {
                line: function.line,
                what,
            });
        }
        let product = !source.in_tests(function.line);
        if product && function.arguments > ARGUMENTS && !excepted("too_many_arguments") {
            let what = format!("{} arguments; at most {ARGUMENTS}", function.arguments);
            found.push(Violation {
                line: function.line,
                what,
            });
        }
    }
    found
}

/// The first line is `//!`; the words are few. Diagrams and tables do not count.
fn opening(source: &Source) -> Vec<Violation> {
    let mut in_block = false;
    let mut words = 0;
    for (at, line) in source.lines().enumerate() {
        let Some(text) = line.strip_prefix("//!") else {
            break;
        };
        let text = text.trim();
        if text.starts_with("```") {
            in_block = !in_block;
        } else if !in_block && !text.is_empty() && !text.starts_with('|') {
            words += 1;
        }
        if words > OPENING_LINES {
            let what = format!("a //! opening has at most {OPENING_LINES} lines of text");
            return vec![Violation { line: at + 1, what }];
        }
    }
    if words == 0 {
        return vec![Violation {
            line: 1,
            what: "a file opens with //!: what it owns".to_owned(),
        }];
    }
    Vec::new()
}

fn words(source: &Source) -> Vec<Violation> {
    let in_src = source.path.starts_with("src/");
    let re_exports = source.path == "src/lib.rs" || source.path.ends_with("/mod.rs");
    let mut found = Vec::new();
    let mut refuse = |line, what: &str| {
        found.push(Violation {
            line,
            what: what.to_owned(),
        });
    };
    for (line, code) in source.product_lines().filter(|_| in_src) {
        for word in [".unwrap()", "todo!", "unimplemented!", "dbg!"] {
            if has_word(code, word) {
                refuse(line, &format!("{word} stands outside tests"));
            }
        }
        // One of two builds' implementations under one name is a choice, not a shortcut.
        let chosen = source.code_line(line - 1).starts_with("#[cfg(");
        if !re_exports && !chosen && code.trim_start().starts_with("pub use ") {
            refuse(line, "a re-export outside lib.rs and mod.rs");
        }
    }
    for (line, code) in source.code_lines() {
        for word in ["#[allow", "#![allow", "#[ignore", "thread::sleep("] {
            if code.contains(word) {
                refuse(line, &format!("{word} may not stand"));
            }
        }
    }
    // Built from halves, so that this file passes its own rule.
    let later = [concat!("TO", "DO"), concat!("FIX", "ME")];
    for (line, comment) in source.comment_lines() {
        for word in later {
            if comment.contains(word) {
                refuse(line, &format!("{word}: write an issue instead"));
            }
        }
    }
    found
}

fn clock_reads(source: &Source) -> Vec<Violation> {
    if !source.path.starts_with("src/") || source.path == "src/clock.rs" {
        return Vec::new();
    }
    let reads = |code: &str| {
        [
            "Instant::now",
            "SystemTime::now",
            "Timestamp::now",
            "Zoned::now",
            "Utc::now",
            "Local::now",
        ]
        .iter()
        .any(|word| has_word(code, word))
    };
    let what = || "only clock.rs reads a clock".to_owned();
    source
        .product_lines()
        .filter(|(_, code)| reads(code))
        .map(|(line, _)| Violation { line, what: what() })
        .collect()
}

/// Whether `word` stands in `code` and is not the tail of a longer name.
fn has_word(code: &str, word: &str) -> bool {
    let joins = |before: &str| before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
    let mut from = 0;
    while let Some(place) = code[from..].find(word) {
        let at = from + place;
        if word.starts_with('.') || !joins(&code[..at]) {
            return true;
        }
        from = at + word.len();
    }
    false
}
