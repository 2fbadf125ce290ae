//! `docs/rules.md` and the rule language: every example in it is right, and every key, function and macro is in it.

#![expect(clippy::expect_used, reason = "a test may panic")]

use std::path::Path;

use ninewatch::config;
use ninewatch::domain::rule::{RuleDef, WORDS};
use ninewatch::domain::time::Timestamp;

/// The blocks of a page that stand between "```toml" and "```", each with the line on which it begins.
fn blocks(page: &str) -> Vec<(usize, String)> {
    let text = std::fs::read_to_string(page).expect("the page is in the repository");
    let mut blocks = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (line, number) in text.lines().zip(1..) {
        match (&mut open, line) {
            (None, "```toml") => open = Some((number, String::new())),
            (Some(_), "```") => blocks.extend(open.take()),
            (Some((_, block)), line) => {
                block.push_str(line);
                block.push('\n');
            }
            (None, _) => {}
        }
    }
    blocks
}

/// What `ninewatch check` says of a configuration with this rules file, the built-in kinds and the venues file.
fn check(folder: &Path, rules: &str, venues: &str) -> Option<String> {
    let main = "[gateway]\nid = 'g'\n[mqtt]\nurl = 'mqtt://127.0.0.1'\n[http]\nauth = 'none'\n\
        [files]\nrules = ['rules.toml']\nvenues = ['venues.toml']\n\
        [[target]]\nname = 't'\nkind = 'webhook'\nurl = 'http://127.0.0.1:9'\n\
        [[route]]\nname = 'gas'\ntargets = ['t']\n";
    for (name, text) in [("rules.toml", rules), ("venues.toml", venues)] {
        std::fs::write(folder.join(name), text).expect("the folder can be written");
    }
    let findings = config::load_str("ninewatch.toml", main, folder).err()?;
    Some(findings.to_string())
}

#[test]
fn every_example_of_a_rule_is_right() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut rules = String::new();
    let mut venues = String::new();
    let mut count = 0;
    for page in ["docs/rules.md", "docs/operations.md", "docs/rule-packs.md"] {
        for (line, block) in blocks(page) {
            let from = format!("# {page}:{line}\n");
            if block.contains("[[venue]]") {
                venues = venues + &from + &block;
            } else if block.contains("[[rule]]") || block.contains("[[schedule]]") {
                rules = rules + &from + &block;
                count += block.matches("[[rule]]").count();
            }
        }
    }
    assert!(count >= 12 && !venues.is_empty(), "only {count} rules");
    let found = check(folder.path(), &rules, &venues);
    assert_eq!(found, None, "{rules}");
    let broken = check(folder.path(), &rules.replace("lel >= 50", "leel >= 50"), &venues);
    assert!(broken.is_some_and(|found| found.contains("no point `leel`")));
}

/// The words of `keys` that no example of a rule sets.
fn without_example<'k>(keys: impl IntoIterator<Item = &'k str>) -> Vec<&'k str> {
    let examples: String = blocks("docs/rules.md")
        .into_iter()
        .map(|(_, block)| block)
        .collect();
    let is_set = |key: &str| {
        let set = |line: &str| line.split_once('=').is_some_and(|(name, _)| name.trim() == key);
        let table = format!("[[rule.{key}]]");
        examples.lines().any(|line| set(line) || line.trim() == table)
    };
    keys.into_iter().filter(|key| !is_set(key)).collect()
}

#[test]
fn every_key_of_a_rule_has_an_example() {
    let def = serde_json::to_value(RuleDef::new("r", "gas_detector", "lel > 1")).expect("a rule");
    let keys = def.as_object().expect("a rule is an object").keys();
    let then = ["command", "to", "verify", "within", "attempts", "max_age"];
    let keys: Vec<&str> = keys.map(String::as_str).chain(["absent"]).chain(then).collect();
    assert!(keys.len() >= 26, "{keys:?}");
    assert_eq!(without_example(keys), [] as [&str; 0]);
    assert_eq!(without_example(["no_such_key"]), ["no_such_key"]);
}

#[test]
fn every_function_and_macro_is_shown() {
    let page = std::fs::read_to_string("docs/rules.md").expect("the page is in the repository");
    let hidden: Vec<&str> = WORDS
        .iter()
        .flat_map(|words| words.iter().copied())
        .filter(|word| !page.contains(&format!("{word}(")))
        .collect();
    assert_eq!(hidden, [] as [&str; 0]);
    assert_eq!(WORDS.iter().map(|words| words.len()).sum::<usize>(), 16);
}

#[test]
fn the_example_of_who_is_told_is_right() {
    let folder = tempfile::tempdir().expect("a folder");
    let blocks = blocks("docs/operations.md");
    let example = blocks.iter().find(|(_, block)| block.contains("[[officer]]"));
    let example = &example.expect("an example of officers").1;
    let hours = blocks
        .iter()
        .find(|(_, block)| block.contains("name = \"night\""));
    let hours = &hours.expect("an example of their hours").1;
    let main = format!(
        "[gateway]\nid = 'g'\n[mqtt]\nurl = 'mqtt://127.0.0.1'\n[http]\nauth = 'none'\n\
         [files]\nrules = ['hours.toml']\n{}",
        example.replace("url_file = \"secrets/", "url = \"http://127.0.0.1:9/")
    );
    std::fs::write(folder.path().join("hours.toml"), hours).expect("the folder can be written");
    let path = folder.path().join("ninewatch.toml");
    std::fs::write(&path, main).expect("the folder can be written");
    // In the week of the override and the holiday, and on: nobody is missing.
    let at = Timestamp(1_770_681_600_000);
    let settings = config::check(&path, at).expect("the example is right");
    assert!(settings.warnings.is_empty(), "{}", settings.warnings);
    let duty = settings
        .directions
        .roster("duty")
        .expect("the roster of the example");
    assert_eq!(duty.on_duty(at), ["li"]);
}
