//! A real Alertmanager that tells a webhook of everything at once. Gone when dropped.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::gateway::signal;
use super::sink::Sink;
use super::{PATIENCE, eventually, free_port, http};

/// A running Alertmanager.
pub(crate) struct Alertmanager {
    port: u16,
    folder: TempDir,
    child: Option<Child>,
}

impl Alertmanager {
    /// Starts it: each alert is a group of its own, told to `hook` after no wait at all, and never twice.
    pub(crate) async fn start(hook: &str) -> Alertmanager {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = format!(
            "global:\n  resolve_timeout: 1s\nroute:\n  receiver: hook\n  group_by: ['...']\n  group_wait: 0s\n  \
             group_interval: 1s\n  repeat_interval: 24h\nreceivers:\n- name: hook\n  webhook_configs:\n  \
             - url: {hook}\n    send_resolved: true\n"
        );
        Alertmanager::start_with(folder, &config).await
    }

    /// Starts one that tells nobody.
    pub(crate) async fn silent() -> Alertmanager {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = "route:\n  receiver: nobody\n  group_by: [alertname]\nreceivers:\n- name: nobody\n";
        Alertmanager::start_with(folder, config).await
    }

    async fn start_with(folder: TempDir, config: &str) -> Alertmanager {
        fs::write(folder.path().join("alertmanager.yml"), config).expect("the configuration is written");
        let mut alertmanager = Alertmanager {
            port: free_port(),
            folder,
            child: None,
        };
        alertmanager.up().await;
        alertmanager
    }

    /// Starts it, on the same port every time.
    pub(crate) async fn up(&mut self) {
        let folder = self.folder.path();
        let child = Command::new("prometheus-alertmanager")
            .arg(format!("--config.file={}", folder.join("alertmanager.yml").display()))
            .arg(format!("--storage.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{}", self.port))
            .args(["--cluster.listen-address=", "--log.level=error"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("cannot run prometheus-alertmanager ({error}); install it: apt-get install prometheus-alertmanager")
            });
        self.child = Some(child);
        let ready = format!("{}/-/ready", self.url());
        eventually("Alertmanager is ready", PATIENCE, async || {
            (http::try_get(&ready).await?.status == 200).then_some(())
        })
        .await;
    }

    /// Stops it. It forgets every alert; whom it told of what it knows.
    pub(crate) fn down(&mut self) {
        if let Some(mut child) = self.child.take() {
            signal(child.id(), "TERM");
            let _ = child.wait();
        }
    }

    /// Where it is: the base of its addresses.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Every alert that it holds to be firing.
    pub(crate) async fn firing(&self) -> Vec<Value> {
        let answer = http::try_get(&format!("{}/api/v2/alerts", self.url())).await;
        let alerts = answer.map(|answer| answer.json());
        alerts
            .and_then(|alerts| alerts.as_array().cloned())
            .unwrap_or_default()
    }

    /// The firing alert of this rule for this device, if there is one.
    pub(crate) async fn find(&self, rule: &str, device: &str) -> Option<Value> {
        let mut alerts = self.firing().await.into_iter();
        alerts.find(|alert| alert["labels"]["alertname"] == rule && alert["labels"]["device"] == device)
    }

    /// Waits for it.
    pub(crate) async fn wait_firing(&self, rule: &str, device: &str) -> Value {
        let what = format!("{rule} of {device} fires in Alertmanager");
        eventually(&what, PATIENCE, async || self.find(rule, device).await).await
    }

    /// Waits until it is gone.
    pub(crate) async fn wait_over(&self, rule: &str, device: &str) {
        let what = format!("{rule} of {device} is over in Alertmanager");
        eventually(&what, PATIENCE, async || {
            self.find(rule, device).await.is_none().then_some(())
        })
        .await;
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// How often a receiver was told that this rule's alert for this device fires, and that it is resolved.
pub(crate) fn told(sink: &Sink, rule: &str, device: &str) -> BTreeMap<String, usize> {
    let mut told = BTreeMap::new();
    for attempt in sink.attempts() {
        let message = attempt.json();
        let alerts = message["alerts"].as_array().cloned().unwrap_or_default();
        for alert in alerts {
            if alert["labels"]["alertname"] == rule && alert["labels"]["device"] == device {
                let status = alert["status"].as_str().unwrap_or_default().to_owned();
                *told.entry(status).or_default() += 1;
            }
        }
    }
    told
}
