//! What ninewatch refuses, and how: one clear message, an exit code, nothing started or harmed; `check`, `--version`.

#![cfg(test)]

mod support;

use std::process::{Command, Output};
use std::time::Duration;

use support::eventually::stays;
use support::gateway::{BINARY, Gateway, write};
use support::http;
use support::mosquitto::Mosquitto;
use support::said;
use support::sink::Sink;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_gateway_on_the_same_folder_is_refused() {
    let broker = Mosquitto::start("");
    let sink = Sink::start();
    let gateway = Gateway::prepare(broker.port, &sink.url()).start().await;
    let other = gateway.folder().join("other.toml");
    let own_port = format!("127.0.0.1:{}", gateway.port);
    let text = std::fs::read_to_string(gateway.config()).unwrap();
    write(
        &other,
        &text.replace(&own_port, &format!("127.0.0.1:{}", support::free_port())),
    );
    refused(
        &["run", "--config", other.to_str().unwrap()],
        "data",
        "a second gateway on one folder",
    )
    .await;
    stays("the first goes on", Duration::from_millis(200), async || {
        http::get(&gateway.url("/-/ready")).await.status == 200
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_in_use_is_refused() {
    let broker = Mosquitto::start("");
    let gateway = Gateway::prepare(broker.port, "http://127.0.0.1:9/hook");
    let _taken = std::net::TcpListener::bind(("127.0.0.1", gateway.port)).unwrap();
    let config = gateway.config();
    let port = gateway.port.to_string();
    refused(
        &["run", "--config", config.to_str().unwrap()],
        &port,
        "the port is taken",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_folder_that_cannot_be_used_is_refused() {
    let broker = Mosquitto::start("");
    let gateway = Gateway::prepare(broker.port, "http://127.0.0.1:9/hook");
    // A file in the folder's place fails for root too, whom permissions do not stop.
    write(&gateway.folder().join("data"), "not a folder");
    let config = gateway.config();
    refused(
        &["run", "--config", config.to_str().unwrap()],
        "data",
        "a file in the folder's place",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_of_another_program_is_refused_and_left_alone() {
    let broker = Mosquitto::start("");
    let sink = Sink::start();
    let mut gateway = Gateway::prepare(broker.port, &sink.url()).start().await;
    assert!(gateway.terminate().await.success());
    let database = gateway.folder().join("data/ninewatch.db");
    std::fs::remove_file(&database).expect("a database stands in the data folder");
    let theirs = rusqlite::Connection::open(&database).unwrap();
    theirs
        .execute_batch("CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)")
        .unwrap();
    drop(theirs);
    let before = std::fs::read(&database).unwrap();
    let config = gateway.config();
    refused(
        &["run", "--config", config.to_str().unwrap()],
        "another program",
        "a database of another program",
    )
    .await;
    assert_eq!(std::fs::read(&database).unwrap(), before);
}

#[test]
fn check_says_yes_or_no_by_its_exit_code() {
    let gateway = Gateway::prepare(1883, "http://127.0.0.1:9/hook").with_shipped_rules();
    let config = gateway.config();
    let config = config.to_str().unwrap();
    let good = ninewatch(&["check", "--config", config]);
    assert!(good.status.success(), "a good configuration: {}", said(&good));

    let text = std::fs::read_to_string(config).unwrap();
    let bad = text.replace("data_dir", "data_dri").replace("mqtt://", "mqqt://");
    write(&gateway.folder().join("rules/bad.toml"), BAD_RULE);
    write(&gateway.config(), &bad);
    let found = ninewatch(&["check", "--config", config]);
    assert_eq!(found.status.code(), Some(1), "findings: {}", said(&found));
    let message = String::from_utf8_lossy(&found.stderr);
    for part in ["ninewatch.toml:3:", "data_dri", "data_dir", "mqqt"] {
        assert!(message.contains(part), "{part:?} is missing in:\n{message}");
    }
    write(&gateway.config(), &text);
    let found = ninewatch(&["check", "--config", config]);
    assert_eq!(found.status.code(), Some(1), "findings: {}", said(&found));
    let message = String::from_utf8_lossy(&found.stderr);
    assert!(
        message.contains("bad.toml:5:"),
        "the rule's own line in:\n{message}"
    );
    let run = ninewatch(&["run", "--config", config]);
    assert_eq!(
        run.status.code(),
        Some(1),
        "a bad configuration starts nothing: {}",
        said(&run)
    );
}

const BAD_RULE: &str = r#"
[[rule]]
id = "bad"
on = "gas_detector"
when = "lell >= 50.0"
class = "alarm"
priority = "critical"
title = { zh = "坏", en = "Bad" }
"#;

#[test]
fn the_version_names_version_commit_and_day() {
    let output = ninewatch(&["--version"]);
    assert!(output.status.success(), "{}", said(&output));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains(env!("CARGO_PKG_VERSION")), "{text}");
    let words: Vec<&str> = text
        .split(|c: char| c.is_whitespace() || "(),".contains(c))
        .collect();
    assert!(words.iter().any(|word| is_date(word)), "a build date in {text:?}");
}

#[test]
fn a_missing_configuration_is_one_clear_message() {
    let output = ninewatch(&["run", "--config", "/nowhere/ninewatch.toml"]);
    assert!(!output.status.success());
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains("/nowhere/ninewatch.toml"), "{message}");
    assert!(!message.contains("panicked"), "{message}");
}

/// Runs the binary to its end; panics with what it said when that was not a refusal in one clear message.
async fn refused(arguments: &[&str], names: &str, case: &str) {
    let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
    let run = tokio::task::spawn_blocking(move || {
        // `timeout` ends a gateway that starts in spite of it all.
        Command::new("timeout")
            .arg("20")
            .arg(BINARY)
            .args(arguments)
            .env("NO_COLOR", "1")
            .output()
            .unwrap()
    });
    let output = run.await.unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(
        !matches!(output.status.code(), None | Some(0 | 124 | 137)),
        "{case}: {}",
        said(&output)
    );
    assert!(
        message.contains(names),
        "{case}: {names:?} is not named in:\n{message}"
    );
    assert!(!message.contains("panicked"), "{case}: {message}");
}

fn ninewatch(arguments: &[&str]) -> Output {
    Command::new(BINARY)
        .args(arguments)
        .env("NO_COLOR", "1")
        .output()
        .unwrap()
}

fn is_date(text: &str) -> bool {
    let shape = |(at, byte): (usize, u8)| {
        if at == 4 || at == 7 {
            byte == b'-'
        } else {
            byte.is_ascii_digit()
        }
    };
    text.len() == 10 && text.bytes().enumerate().all(shape)
}
