//! What `deploy/` ships is used here as an operator would: promtool, a real Prometheus, mosquitto, systemd.

#![cfg(test)]

mod support;

use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use support::gateway::{BINARY, Gateway};
use support::mosquitto::Mosquitto;
use support::prometheus::Prometheus;
use support::publisher::Publisher;
use support::sink::Sink;
use support::{PATIENCE, eventually, free_port, repository, run_installed, said};

/// Exposure in tenths as `systemd-analyze security` counts it; 10.0 is a service with no protection.
const EXPOSURE_LIMIT: &str = "--threshold=15";

/// Queries of the dashboard that give nothing on a healthy gateway, and why.
const MAY_BE_EMPTY: [(&str, &str); 1] = [(
    "Alarms raised",
    "an annotation: gives a point only in the minute of an alarm",
)];

#[test]
fn promtool_accepts_the_shipped_files() {
    let folder = repository("deploy/prometheus");
    let file = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    for arguments in [
        ["check", "config", &file("prometheus.yml")],
        ["check", "rules", &file("ninewatch.rules.yml")],
        ["test", "rules", &file("ninewatch.rules.test.yml")],
    ] {
        let output = run_installed("promtool", "prometheus", &arguments);
        assert!(
            output.status.success(),
            "promtool {arguments:?}: {}",
            said(&output)
        );
    }
}

#[test]
fn every_alert_has_a_test_and_says_what_to_do() {
    let rules = fs::read_to_string(repository("deploy/prometheus/ninewatch.rules.yml")).unwrap();
    let tests = fs::read_to_string(repository("deploy/prometheus/ninewatch.rules.test.yml")).unwrap();
    let alerts: Vec<&str> = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .collect();
    assert!(alerts.len() > 10, "{alerts:?}");
    for alert in &alerts {
        assert!(
            tests.contains(&format!("\"{alert}\"")) || tests.contains(&format!("alertname: {alert}")),
            "{alert}"
        );
    }
    let actions = rules
        .lines()
        .filter(|line| line.trim().starts_with("action:"))
        .count();
    assert_eq!(
        actions,
        alerts.len() - 1,
        "every alert but the watchdog names an action"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mosquitto_runs_with_the_shipped_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let shipped = fs::read_to_string(repository("deploy/mosquitto.conf")).unwrap();
    let config = shipped
        .replace("/var/lib/mosquitto/", &format!("{}/", folder.path().display()))
        .replace("listener 1883", &format!("listener {port}"));
    assert_ne!(config, shipped, "port and folder stand where they are replaced");
    let file = folder.path().join("mosquitto.conf");
    // Root's broker would become user `mosquitto`, who may not write to the temporary folder.
    fs::write(&file, format!("user root\n{config}")).unwrap();
    let _broker = Killed(
        Command::new("mosquitto")
            .env(
                "PATH",
                format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default()),
            )
            .arg("-c")
            .arg(&file)
            .stderr(Stdio::inherit())
            .spawn()
            .expect("mosquitto starts; install it: apt-get install mosquitto"),
    );
    eventually("mosquitto accepts", PATIENCE, async || {
        TcpStream::connect(("127.0.0.1", port)).ok()
    })
    .await;
    let mut device = Publisher::start(port, "device");
    device.gas("g1", r#"{"lel":5.0}"#).await;
    device.flush().await;
    eventually("mosquitto writes its memory to disk", PATIENCE, async || {
        folder.path().join("mosquitto.db").exists().then_some(())
    })
    .await;
}

#[test]
fn the_unit_is_well_formed_and_hardened() {
    let folder = tempfile::tempdir().unwrap();
    let unit = folder.path().join("ninewatch.service");
    let shipped = fs::read_to_string(repository("deploy/ninewatch.service")).unwrap();
    let local = shipped.replace("/usr/local/bin/ninewatch", BINARY);
    assert_ne!(local, shipped, "the program stands where it is replaced");
    fs::write(&unit, local).unwrap();
    let unit = unit.to_str().unwrap();
    let output = run_installed("systemd-analyze", "systemd", &["verify", unit]);
    assert!(
        output.status.success(),
        "systemd-analyze verify: {}",
        said(&output)
    );
    let arguments = ["security", "--offline=yes", "--no-pager", EXPOSURE_LIMIT, unit];
    let output = run_installed("systemd-analyze", "systemd", &arguments);
    assert!(
        output.status.success(),
        "systemd-analyze security: {}",
        said(&output)
    );
}

/// An Alertmanager that is told nothing, and heartbeats: what is counted of them is there.
const WATCHED: &str = "[[target]]\nname = \"am\"\nkind = \"alertmanager\"\nurl = \"http://127.0.0.1:9\"\n\n\
    [watchdog]\ntargets = [\"duty\"]\n\n[files]";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_query_works_on_a_prometheus_that_scraped_the_gateway() {
    let broker = Mosquitto::start("");
    let sink = Sink::start();
    let gateway = Gateway::prepare(broker.port, &sink.url())
        .with_shipped_rules()
        .edited("[files]", WATCHED)
        .start()
        .await;
    let mut device = Publisher::start(broker.port, "device");
    let prometheus = Prometheus::watch(gateway.port).await;
    live_a_little(&mut device, &sink).await;
    check_metrics(&gateway.metrics().await);
    prometheus.warm_up().await;

    let mut problems = Vec::new();
    for (title, query) in dashboard_queries() {
        match prometheus.query(&query).await {
            Err(error) => problems.push(format!("dashboard, {title}: {error}\n  {query}")),
            Ok(result) if result.is_empty() && !MAY_BE_EMPTY.iter().any(|(name, _)| *name == title) => {
                problems.push(format!("dashboard, {title}: no series\n  {query}"));
            }
            Ok(_) => {}
        }
    }
    let rules = prometheus.rules().await;
    assert!(rules.len() > 15, "Prometheus loaded the rules: {}", rules.len());
    for rule in &rules {
        let query = rule["query"].as_str().unwrap();
        if rule["health"] != "ok" {
            problems.push(format!(
                "rule {}: {} {}",
                rule["name"], rule["health"], rule["lastError"]
            ));
        }
        // An alert's expression is empty while all is well; what it looks at must be there all the same.
        for selector in selectors(query) {
            if prometheus
                .query(&format!("count({selector})"))
                .await
                .is_ok_and(|found| !found.is_empty())
            {
                continue;
            }
            problems.push(format!("rule {}: nothing is {selector}", rule["name"]));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// Something of everything that is counted.
async fn live_a_little(device: &mut Publisher, sink: &Sink) {
    device.gas("g1", r#"{"lel":60.0}"#).await;
    device.gas("g2", r#"{"temperature":70.0}"#).await;
    device.gas("g3", "not json").await;
    device
        .publish("ninewatch/v1/gas_detector/g4/status", "online")
        .await;
    device
        .publish("ninewatch/v1/gas_detector/g4/status", "offline")
        .await;
    sink.wait_for("alarm.raised", "test-high", "g1").await;
    device.gas("g2", r#"{"temperature":20.0}"#).await;
    sink.wait_for("alarm.cleared", "test-hot", "g2").await;
    device.flush().await;
}

fn check_metrics(text: &str) {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool starts; install it: apt-get install prometheus");
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "promtool check metrics: {}\n{text}",
        said(&output)
    );
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(
        complaints.trim().is_empty(),
        "promtool check metrics: {complaints}"
    );
}

/// Title and query of every panel and annotation, with Grafana's variables filled in.
fn dashboard_queries() -> Vec<(String, String)> {
    let path = repository("deploy/grafana/ninewatch-gateway.json");
    let dashboard: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let mut queries = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            queries.push((
                panel["title"].as_str().unwrap().to_owned(),
                filled(&target["expr"]),
            ));
        }
    }
    for annotation in dashboard["annotations"]["list"].as_array().unwrap() {
        queries.push((
            annotation["name"].as_str().unwrap().to_owned(),
            filled(&annotation["expr"]),
        ));
    }
    assert!(queries.len() > 20, "the dashboard has queries: {}", queries.len());
    queries
}

fn filled(query: &Value) -> String {
    let filled = query
        .as_str()
        .unwrap()
        .replace("$__rate_interval", "1m")
        .replace("$instance", ".*");
    assert!(
        !filled.contains('$'),
        "a variable that the test does not know: {filled}"
    );
    filled
}

/// Every metric that a query reads, with its label matchers.
fn selectors(query: &str) -> Vec<String> {
    let mut found = Vec::new();
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == ':';
    let mut rest = query;
    while let Some(at) = rest.find(is_name) {
        rest = &rest[at..];
        let end = rest.find(|letter| !is_name(letter)).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        rest = after;
        if name.contains("ninewatch_") || name == "up" {
            let matchers = rest
                .strip_prefix('{')
                .and_then(|inner| inner.find('}').map(|end| &rest[..end + 2]));
            found.push(format!("{name}{}", matchers.unwrap_or_default()));
        }
        if let Some(end) = rest.strip_prefix('{').and_then(|inner| inner.find('}')) {
            rest = &rest[end + 2..];
        }
    }
    found
}

#[test]
fn selectors_are_found() {
    let query = r#"sum by (job) (rate(ninewatch_a_total{x="up"}[5m])) / b:ninewatch_c:sum > 0.2 and up{job="n"} == 0"#;
    assert_eq!(
        selectors(query),
        [
            r#"ninewatch_a_total{x="up"}"#,
            "b:ninewatch_c:sum",
            r#"up{job="n"}"#
        ]
    );
}

/// A process that ends with the test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
