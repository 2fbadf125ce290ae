//! The real binary in a temporary folder, with a configuration of its own. Killed on drop; its log is shown when a
//! test fails.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::http::{self, Answer};
use super::{PATIENCE, eventually, free_port, repository};

/// The binary under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_ninewatch");

/// Its name.
pub(crate) const ID: &str = "test-gateway";

/// The key that signs webhooks in tests: `whsec_` and base64 of 24 bytes.
pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// How long a stop may take (CONTRACT: 10 s), and a little for the machine.
const STOP: Duration = Duration::from_secs(10);

/// Rules with short delays. `test-high` latches; `test-hot` clears by itself.
pub(crate) const TEST_RULES: &str = r#"
[[rule]]
id = "test-high"
on = "gas_detector"
when = "lel >= 50.0"
clear = "lel < 20.0"
keep_for = "200ms"
class = "alarm"
priority = "critical"
latch = true
title = { zh = "测试高报", en = "Test high" }
notify = "duty"

[[rule]]
id = "test-hot"
on = "gas_detector"
when = "temperature >= 60.0"
clear = "temperature < 50.0"
keep_for = "200ms"
class = "warning"
priority = "high"
latch = false
title = { zh = "测试高温", en = "Test hot" }
notify = "duty"
"#;

/// One registered venue with one registered device; all others are unregistered.
const VENUES: &str = r#"
[[venue]]
id = "v1"
name = "示例餐馆"
kind = "restaurant"
address = "示例路 1 号"

[[venue.device]]
id = "g1"
kind = "gas_detector"
name = "厨房"
"#;

/// A gateway: its folder, its configuration, and its process while it runs.
pub(crate) struct Gateway {
    folder: TempDir,
    pub(crate) port: u16,
    child: Option<Child>,
    wrapper: Vec<String>,
    environment: BTreeMap<&'static str, String>,
}

impl Gateway {
    /// A folder with a configuration for this broker and this webhook; nothing runs yet.
    pub(crate) fn prepare(mqtt_port: u16, hook: &str) -> Gateway {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let port = free_port();
        let gateway = Gateway {
            folder,
            port,
            child: None,
            wrapper: Vec::new(),
            environment: BTreeMap::new(),
        };
        let at = gateway.folder();
        fs::create_dir_all(at.join("rules")).expect("a folder for rules");
        copy(&repository("config/kinds.toml"), &at.join("kinds.toml"));
        write(&at.join("rules/test.toml"), TEST_RULES);
        write(&at.join("venues.toml"), VENUES);
        write(&at.join("hook.secret"), SECRET);
        write(&at.join("ninewatch.toml"), &configuration(port, mqtt_port, hook));
        gateway
    }

    /// Adds the shipped rules to those of the test.
    pub(crate) fn with_shipped_rules(self) -> Gateway {
        copy(
            &repository("config/rules/gas.toml"),
            &self.folder().join("rules/gas.toml"),
        );
        self
    }

    /// Puts `to` in the place of `from` in the configuration.
    pub(crate) fn edited(self, from: &str, to: &str) -> Gateway {
        let path = self.config();
        self.replaced(&path, from, to)
    }

    /// Puts `to` in the place of `from` in the test's rules.
    pub(crate) fn with_rules_edited(self, from: &str, to: &str) -> Gateway {
        let path = self.folder().join("rules/test.toml");
        self.replaced(&path, from, to)
    }

    fn replaced(self, path: &Path, from: &str, to: &str) -> Gateway {
        let text = fs::read_to_string(path).expect("the file written before");
        assert!(text.contains(from), "{} has no {from:?}", path.display());
        write(path, &text.replace(from, to));
        self
    }

    /// Runs the binary under another program (`strace …`) from now on.
    pub(crate) fn under(mut self, wrapper: &[&str]) -> Gateway {
        self.wrapper = wrapper.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// Gives it this environment variable at every start from now on.
    pub(crate) fn set_environment(&mut self, name: &'static str, value: impl Into<String>) {
        self.environment.insert(name, value.into());
    }

    /// Starts it and waits until it is ready.
    pub(crate) async fn start(mut self) -> Gateway {
        self.launch();
        self.wait_ready().await;
        self
    }

    /// Starts the process, and does not wait.
    pub(crate) fn launch(&mut self) {
        assert!(self.child.is_none(), "the gateway runs already");
        self.child = Some(self.command().spawn().expect("the binary under test starts"));
    }

    /// Waits until `/-/ready` says yes. Panics at once when the process ends instead.
    pub(crate) async fn wait_ready(&mut self) {
        let url = self.url("/-/ready");
        let child = self.child.as_mut().expect("a started gateway");
        eventually("the gateway is ready", PATIENCE, async || {
            if let Ok(Some(status)) = child.try_wait() {
                panic!("the gateway ended before it was ready: {status}");
            }
            let answer = http::try_get(&url).await?;
            (answer.status == 200).then_some(())
        })
        .await;
    }

    /// Waits until `/-/ready` says no.
    pub(crate) async fn wait_unready(&self) {
        let url = self.url("/-/ready");
        eventually("the gateway is not ready", PATIENCE, async || {
            let answer = http::try_get(&url).await?;
            (answer.status != 200).then_some(())
        })
        .await;
    }

    /// SIGKILL: no chance to finish anything.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("a process of ours can be killed");
            child.wait().expect("a killed process can be waited for");
        }
    }

    /// SIGTERM, and the exit status; panics when it takes longer than CONTRACT allows.
    pub(crate) async fn terminate(&mut self) -> ExitStatus {
        let child = self.child.as_ref().expect("a started gateway");
        signal(child.id(), "TERM");
        self.wait_exit(STOP).await
    }

    /// Waits for the process to end by itself.
    pub(crate) async fn wait_exit(&mut self, deadline: Duration) -> ExitStatus {
        let mut child = self.child.take().expect("a started gateway");
        let ended = tokio::time::timeout(deadline, async {
            eventually("the process ends", deadline, async || {
                child.try_wait().ok().flatten()
            })
            .await
        })
        .await;
        ended.unwrap_or_else(|_| {
            self.child = Some(child);
            panic!("the gateway did not end within {deadline:?}")
        })
    }

    /// Whether the process has ended by itself; `Some` only once.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.child.as_mut()?.try_wait().ok().flatten()?;
        self.child = None;
        Some(status)
    }

    /// The process id; panics when it does not run.
    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().expect("a started gateway").id()
    }

    /// Where it answers.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// The configuration file.
    pub(crate) fn config(&self) -> PathBuf {
        self.folder().join("ninewatch.toml")
    }

    /// The folder that holds everything of this gateway.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Everything it has said so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder().join("log")).unwrap_or_default()
    }

    /// The text of `/metrics`.
    pub(crate) async fn metrics(&self) -> String {
        http::get(&self.url("/metrics")).await.text
    }

    /// The sum of a metric's series that carry all these label pairs (`reason="invalid_json"`).
    pub(crate) async fn metric(&self, name: &str, labels: &[&str]) -> u64 {
        sum(&self.metrics().await, name, labels)
    }

    /// All alarms that `query` chooses, over all pages.
    pub(crate) async fn alarms(&self, query: &str) -> Vec<Value> {
        let mut all = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let after = cursor.map(|next| format!("&after={next}")).unwrap_or_default();
            let answer = http::get(&self.url(&format!("/api/v1/alarms?{query}{after}"))).await;
            assert_eq!(answer.status, 200, "GET alarms: {}", answer.text);
            let page = answer.json();
            all.extend(
                page["items"]
                    .as_array()
                    .expect("a list has items")
                    .iter()
                    .cloned(),
            );
            let next = &page["next"];
            if next.is_null() {
                return all;
            }
            cursor = Some(next.as_str().map_or_else(|| next.to_string(), str::to_owned));
        }
    }

    /// An operator's act on an alarm: `acknowledge` or `reset`.
    pub(crate) async fn act(&self, alarm: &str, action: &str, by: &str) -> Answer {
        let url = self.url(&format!("/api/v1/alarms/{alarm}/{action}"));
        http::post(&url, &serde_json::json!({ "by": by, "note": "from a test" })).await
    }

    /// Waits until everything received has been acknowledged, at least `least` messages.
    pub(crate) async fn wait_acknowledged(&self, least: u64) {
        eventually("every message received is acknowledged", PATIENCE, async || {
            let text = self.metrics().await;
            let received = sum(&text, "ninewatch_messages_received_total", &[]);
            let acknowledged = sum(&text, "ninewatch_messages_acknowledged_total", &[]);
            (received >= least && received == acknowledged).then_some(())
        })
        .await;
    }

    fn command(&self) -> Command {
        let mut words = self
            .wrapper
            .iter()
            .map(String::as_str)
            .chain([BINARY, "run", "--config"]);
        let mut command = Command::new(words.next().expect("at least the binary"));
        command
            .args(words)
            .arg(self.config())
            .env("NO_COLOR", "1")
            .envs(&self.environment)
            .current_dir(self.folder())
            .stdin(Stdio::null())
            .stdout(self.log_file())
            .stderr(self.log_file());
        command
    }

    fn log_file(&self) -> File {
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder().join("log"))
            .expect("a log file in the temporary folder")
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let shown = lines.get(lines.len().saturating_sub(60)..).unwrap_or_default();
            eprintln!("--- the gateway's log (its end)\n{}\n---", shown.join("\n"));
        }
    }
}

/// The sum of a whole-numbered metric's series that carry all these label pairs.
pub(crate) fn sum(text: &str, name: &str, labels: &[&str]) -> u64 {
    text.lines()
        .filter_map(|line| line.split_once(name))
        .filter(|(before, rest)| before.is_empty() && rest.starts_with(['{', ' ']))
        .filter(|(_, rest)| labels.iter().all(|label| rest.contains(label)))
        .filter_map(|(_, rest)| rest.rsplit(' ').next()?.parse::<u64>().ok())
        .sum()
}

/// Sends a signal by its name to a process of ours.
pub(crate) fn signal(pid: u32, name: &str) {
    let status = Command::new("kill")
        .args([format!("-{name}"), pid.to_string()])
        .status()
        .expect("kill(1) is everywhere");
    assert!(status.success(), "kill -{name} {pid}: {status}");
}

fn configuration(port: u16, mqtt_port: u16, hook: &str) -> String {
    format!(
        r#"[gateway]
id = "{ID}"
data_dir = "data"

[mqtt]
url = "mqtt://127.0.0.1:{mqtt_port}"
client_id = "ninewatch-test"

[http]
listen = "127.0.0.1:{port}"
auth = "none"

[files]
kinds = ["kinds.toml"]
rules = ["rules/*.toml"]
venues = ["venues.toml"]

[[target]]
name = "duty"
kind = "webhook"
url = "{hook}"
secret_file = "hook.secret"

[[route]]
name = "duty"
classes = ["alarm", "warning", "fault", "hazard"]
targets = ["duty"]

[[route]]
name = "gas"
classes = ["alarm", "warning", "fault", "hazard"]
targets = ["duty"]
"#
    )
}

pub(crate) fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
}

fn copy(from: &Path, to: &Path) {
    fs::copy(from, to).unwrap_or_else(|error| panic!("cannot copy {}: {error}", from.display()));
}
