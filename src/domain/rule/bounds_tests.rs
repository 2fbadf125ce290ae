//! No source, however long or deep, overflows the stack of a thread.

use super::scan::{MAX_NESTING, MAX_OPERATORS};
use super::tests::kind;
use super::venue_tests::compile_on_venue;
use super::{MAX_SOURCE_BYTES, Truth, compile};

#[test]
fn what_is_too_large_is_refused() {
    let long = format!("lel > 5 // {}", "é".repeat(MAX_SOURCE_BYTES));
    let error = compile(&long, &kind()).expect_err("over the cap");
    assert!(error.message.contains("at most 2048"), "{error}");
    let deep = format!(
        "{}wet{}",
        "(".repeat(MAX_NESTING + 1),
        ")".repeat(MAX_NESTING + 1)
    );
    let error = compile(&deep, &kind()).expect_err("too deep");
    assert_eq!(
        (error.span, error.message.contains("too deep")),
        (MAX_NESTING..MAX_NESTING + 1, true)
    );
    let chain = vec!["wet"; 66].join("||");
    let error = compile(&chain, &kind()).expect_err("too many operators");
    assert!(error.message.contains("64 operators"), "{error}");
    let stack = "wet||wet&&wet==(".repeat(5) + "lel<lel+lel*lel" + &")".repeat(5);
    let error = compile(&stack, &kind()).expect_err("too deep a stack");
    assert!(error.message.contains("split it"), "{error}");
}

/// What is repeated before a value, the value, what is repeated behind it.
const SHAPES: &[(&str, &str, &str)] = &[
    ("(", "wet", ")"),
    ("!(", "wet", ")"),
    ("(wet||", "wet", ")"),
    ("(wet&&!", "wet", ")"),
    ("(wet==", "wet", ")"),
    ("(wet==!(", "wet", "))"),
    ("(wet||wet&&!(", "wet", "))"),
    ("wet||wet&&wet==(", "wet", ")"),
    ("(wet?wet:", "wet", ")"),
    ("wet?wet:(", "wet", ")"),
    ("(wet||wet?wet:wet&&wet==!", "wet", ")"),
    ("(", "wet", "?wet:wet)"),
    ("(", "wet", "||wet)"),
    ("-(", "lel", ")"),
    ("(1-", "lel", ")"),
    ("(1-2*", "lel", ")"),
    ("(1-2*-(", "lel", "))"),
    ("(", "lel", "-1)"),
    ("(", "lel", "*2-1)"),
    ("(wet?1:", "lel", ")"),
    ("(1<2?1-", "lel", ":2)"),
    ("[", "lel", "]"),
    ("lel in [1-(", "lel", ")]"),
    ("wet?wet:", "wet", ""),
    ("wet||", "wet", ""),
    ("wet&&", "wet", ""),
    ("wet||wet&&", "wet", ""),
    ("wet==", "wet", ""),
    ("wet!=!", "wet", ""),
    ("1-", "lel", ""),
    ("1*2-", "lel", ""),
    ("lel/", "lel", ""),
    ("lel-1*", "lel", ""),
    ("held('1h',", "wet", ")"),
    ("held('1h',wet||wet&&", "wet", ")"),
    ("held('1h',wet==!", "wet", ")"),
    ("held('1h',wet?wet:", "wet", ")"),
    ("max(", "lel", ",'5m')"),
    ("1-max(", "lel", ",'5m')"),
    ("max(lel,'5m')-", "lel", ""),
    ("age()>='5m'||", "wet", ""),
    ("devices.exists(d,", "d.wet", ")"),
    ("devices.exists(d,d.wet||d.wet&&", "d.wet", ")"),
    ("devices.all(d,d.wet?d.wet:", "d.wet", ")"),
    ("devices.size()-", "valve.size()", ""),
    ("devices.size()*2-", "valve.size()", ""),
    ("devices.all(d,d.wet)||", "valve.all(d,d.wet)", ""),
    (
        "valve.exists(d,d.wet)&&devices.all(d,d.wet)||",
        "devices.all(d,d.wet)",
        "",
    ),
    ("held('1h',", "devices.exists(d,d.wet)", ")"),
    ("(1-", "devices.filter(d,d.wet).size()", ")"),
    ("", "devices", ".size()"),
    ("", "devices", ".exists(d,d.wet)"),
    ("", "devices", ".filter(d,d.wet)"),
    ("devices.exists(d, d", ".wet", ")"),
    ("", "d", ".d"),
];

/// Shapes as often as the scan could possibly let through, and bare repetitions up to the cap.
fn sources() -> Vec<String> {
    let mut sources = vec![format!("lel in [{}1]", "1,".repeat(1000))];
    for times in 1..=MAX_OPERATORS + 1 {
        for (before, value, behind) in SHAPES {
            let source = before.repeat(times) + value + &behind.repeat(times);
            sources.push(format!("{source} > 1"));
            // Brackets around the whole and a bracket of it all.
            let outer = MAX_NESTING.saturating_sub(times);
            sources.push(format!("{}{source}{}", "(1-".repeat(outer), ")".repeat(outer)));
            sources.push(format!("{}{source}{}", "(wet==".repeat(outer), ")".repeat(outer)));
            sources.push("(".repeat(MAX_NESTING) + &source + &")".repeat(MAX_NESTING));
            sources.push(source);
        }
    }
    for part in [
        "a.",
        "a.b(",
        "a.all(",
        "a.all(d,",
        "devices.exists(d,",
        "devices.filter(d,d.wet).",
        "devices.size()-",
        ".size()",
        "a[",
        "f(",
        "{",
        "'",
        "\\",
        "a in ",
        "[[",
        "a,",
        "held(",
        "held('1h',",
        "age()",
        "max(a,",
        "a?",
        "!",
        "-",
        "a?a:",
        "[a,",
    ] {
        sources.push(part.repeat(MAX_SOURCE_BYTES / part.len()));
    }
    for (before, _, _) in SHAPES {
        sources.push(before.repeat(MAX_SOURCE_BYTES / before.len().max(1)));
    }
    sources
}

#[test]
fn no_source_up_to_the_cap_overflows_the_stack() {
    let sources = sources();
    // Less than the 2 MiB of a default thread: unoptimised frames of the parser are several times larger.
    let stack = if cfg!(debug_assertions) {
        1536 << 10
    } else {
        1 << 20
    };
    std::thread::Builder::new()
        .stack_size(stack)
        .spawn(move || {
            let kind = kind();
            let decided = sources
                .iter()
                .filter_map(|source| compile(source, &kind).ok())
                .filter(|program| program.evaluate(&[1.0; 128]) != Truth::Unknown)
                .count();
            assert!(decided > 100, "the bounds let real conditions through: {decided}");
            let decided = sources
                .iter()
                .filter_map(|source| compile_on_venue(source).ok())
                .filter(|compiled| compiled.rule.when.evaluate(&[1.0; 128]) != Truth::Unknown)
                .count();
            assert!(decided > 100, "on venues too: {decided}");
        })
        .expect("a thread")
        .join()
        .expect("no panic");
}
