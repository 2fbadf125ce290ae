//! `ninewatch rules backtest` as a person runs it, over what the real binary recorded from a real broker: beside the
//! running gateway, after its stop, and where there is nothing to read.

#![cfg(test)]

mod support;

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use support::gateway::{BINARY, Gateway, TEST_RULES, write};
use support::mosquitto::Mosquitto;
use support::publisher::Publisher;
use support::sink::Sink;
use support::{PATIENCE, eventually, said};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_rules_are_compared_with_what_was_raised() {
    let broker = Mosquitto::start("");
    let sink = Sink::start();
    let mut gateway = Gateway::prepare(broker.port, &sink.url()).start().await;
    let mut device = Publisher::start(broker.port, "device");
    device.gas("g1", r#"{"lel":53.2,"temperature":21.4}"#).await;
    sink.wait_for("alarm.raised", "test-high", "g1").await;
    device.gas("g1", r#"{"lel":3.0}"#).await;
    sink.wait_for("alarm.recovered", "test-high", "g1").await;
    // Nobody reset it: it is raised again all the same.
    device.gas("g1", r#"{"lel":60.0}"#).await;
    device.gas("g2", r#"{"lel":30.0}"#).await;
    device.gas("g3", r#"{"lel":0.0}"#).await;
    gateway.wait_acknowledged(5).await;
    eventually("it is raised again", PATIENCE, async || {
        (sink.of("alarm.raised", "test-high", "g1").len() == 2).then_some(())
    })
    .await;

    let running = backtest(&gateway.config(), &[]);
    assert_table(&running, UNCHANGED);
    assert!(gateway.terminate().await.success());
    assert_table(&backtest(&gateway.config(), &[]), UNCHANGED);

    let lower = rules_file(
        &gateway,
        "lower",
        &TEST_RULES.replace("lel >= 50.0", "lel >= 25.0"),
    );
    let lowered = backtest(&gateway.config(), &["--rules", &lower]);
    assert_table(&lowered, LOWERED);
    let shown = String::from_utf8_lossy(&lowered.stdout).into_owned();
    for part in [
        "\n5 readings, 3 devices, 20",
        "\nnote: recorded history begins at 20",
        ", when the gateway first ran\nDelays end",
        " readings/s\n",
    ] {
        assert!(shown.contains(part), "{part:?} is not in:\n{shown}");
    }

    let (_, hot) = TEST_RULES.split_at(TEST_RULES.rfind("[[rule]]").expect("it has rules"));
    rules_file(&gateway, "one-of-two", hot);
    let globbed = format!("{}/one-*.toml", gateway.folder().display());
    let removed = backtest(&gateway.config(), &["--rules", &globbed]);
    assert_table(&removed, REMOVED);

    let output = backtest(&gateway.config(), &["--json"]);
    let shown: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    let high = json!({"rule": "test-high", "would_raise": 2, "was_raised": 2, "title": {"zh": "测试高报", "en": "Test high"}});
    assert_eq!(shown["rules"][0], high, "{shown}");
    assert_eq!(shown["readings"], 5);
}

const UNCHANGED: &str = "\
rule       would raise  was raised  difference
test-high            2           2           0  Test high · 测试高报
test-hot             0           0           0  Test hot · 测试高温
total                2           2           0
";

const LOWERED: &str = "\
rule       would raise  was raised  difference
test-high            3           2          +1  Test high · 测试高报
test-hot             0           0           0  Test hot · 测试高温
total                3           2          +1
";

const REMOVED: &str = "\
rule       would raise  was raised  difference
test-hot             0           0           0  Test hot · 测试高温
test-high            0           2          -2  (not in these rules)
total                0           2          -2
";

#[test]
fn where_there_is_nothing_to_read_it_says_so() {
    let gateway = Gateway::prepare(1, "http://127.0.0.1:9/hook");
    let none = backtest(&gateway.config(), &[]);
    refused(&none, "there is no database ");

    std::fs::create_dir_all(gateway.folder().join("data")).expect("a folder");
    write(
        &gateway.folder().join("data/ninewatch.db"),
        "no database, but text of some length",
    );
    refused(&backtest(&gateway.config(), &[]), "is not an SQLite database");

    let missing = backtest(&gateway.config(), &["--rules", "no-such/*.toml"]);
    refused(&missing, "no file matches \"no-such/*.toml\"");
    let broken = rules_file(
        &gateway,
        "broken",
        &TEST_RULES.replace("lel >= 50.0", "lol >= 50.0"),
    );
    refused(
        &backtest(&gateway.config(), &["--rules", &broken]),
        "broken.toml:5:9",
    );

    let odd = Command::new(BINARY)
        .args(["rules", "backtest", "--config", "x", "--since", "yesterday"])
        .output()
        .expect("the binary starts");
    assert!(said(&odd).contains("\"yesterday\" is not a length of time such as 90m, 12h or 7d"));
}

fn backtest(config: &Path, arguments: &[&str]) -> Output {
    Command::new(BINARY)
        .args(["rules", "backtest", "--since", "7d", "--config"])
        .arg(config)
        .args(arguments)
        .output()
        .expect("the binary starts")
}

fn rules_file(gateway: &Gateway, name: &str, rules: &str) -> String {
    let path = gateway.folder().join(format!("{name}.toml"));
    write(&path, rules);
    path.display().to_string()
}

#[track_caller]
fn assert_table(output: &Output, expected: &str) {
    assert!(output.status.success(), "{}", said(output));
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "",
        "no terminal, no progress"
    );
    let shown = String::from_utf8_lossy(&output.stdout);
    let table = shown.split_inclusive('\n').take_while(|line| *line != "\n");
    assert_eq!(table.collect::<String>(), expected, "{shown}");
}

#[track_caller]
fn refused(output: &Output, why: &str) {
    assert_eq!(output.status.code(), Some(1), "{}", said(output));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains(why), "{why:?} is not in:\n{stderr}");
    assert!(output.stdout.is_empty(), "{}", said(output));
}
