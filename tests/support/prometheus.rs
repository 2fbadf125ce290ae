//! A real Prometheus with the shipped configuration, pointed at a gateway under test. Gone when dropped.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::{PATIENCE, eventually, free_port, http, repository};

/// Enough for the first scrapes and rule evaluations on a loaded machine.
const WARM_UP: Duration = Duration::from_mins(1);

/// A running Prometheus.
pub(crate) struct Prometheus {
    port: u16,
    _folder: TempDir,
    child: Child,
}

impl Prometheus {
    /// Starts it with the files of `deploy/prometheus`; only the target and the intervals differ.
    pub(crate) async fn watch(gateway_port: u16) -> Prometheus {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let shipped = repository("deploy/prometheus");
        let config = fs::read_to_string(shipped.join("prometheus.yml")).expect("the shipped configuration");
        let changed = config
            .replace("127.0.0.1:9464", &format!("127.0.0.1:{gateway_port}"))
            .replace("_interval: 15s", "_interval: 1s");
        assert!(
            changed.contains(&gateway_port.to_string()),
            "the shipped target is 127.0.0.1:9464"
        );
        let file = folder.path().join("prometheus.yml");
        fs::write(&file, changed).expect("the configuration is written");
        let rules = "ninewatch.rules.yml";
        fs::copy(shipped.join(rules), folder.path().join(rules)).expect("the shipped rules");
        let port = free_port();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.path().join("tsdb").display()
            ))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--log.level=error")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("cannot run prometheus ({error}); install it: apt-get install prometheus")
            });
        let prometheus = Prometheus {
            port,
            _folder: folder,
            child,
        };
        let ready = prometheus.url("/-/ready");
        eventually("Prometheus is ready", PATIENCE, async || {
            (http::try_get(&ready).await?.status == 200).then_some(())
        })
        .await;
        prometheus
    }

    /// Waits until it has scraped the gateway several times and evaluated every rule after that.
    pub(crate) async fn warm_up(&self) {
        eventually("Prometheus has scraped the gateway", WARM_UP, async || {
            let result = self
                .query("sum_over_time(up{job=\"ninewatch\"}[1m]) >= 5")
                .await
                .ok()?;
            (!result.is_empty()).then_some(())
        })
        .await;
    }

    /// The result of an instant query, or Prometheus' error.
    pub(crate) async fn query(&self, query: &str) -> Result<Vec<Value>, String> {
        let encoded: String = url::form_urlencoded::byte_serialize(query.as_bytes()).collect();
        let answer = http::get(&self.url(&format!("/api/v1/query?query={encoded}")))
            .await
            .json();
        if answer["status"] == "success" {
            Ok(answer["data"]["result"].as_array().cloned().unwrap_or_default())
        } else {
            Err(answer["error"].to_string())
        }
    }

    /// Every rule as Prometheus has it: name, health, last error.
    pub(crate) async fn rules(&self) -> Vec<Value> {
        let answer = http::get(&self.url("/api/v1/rules")).await.json();
        let groups = answer["data"]["groups"].as_array().cloned().unwrap_or_default();
        groups
            .iter()
            .flat_map(|group| group["rules"].as_array().cloned().unwrap_or_default())
            .collect()
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
