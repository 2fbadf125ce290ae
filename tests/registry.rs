//! Venues and devices registered over the API, with the real binary: in force at once, kept over restarts and reloads, refused
//! where a file says something or the whole would be wrong, and taken out of use.

#![cfg(test)]

mod support;

use std::fs;

use serde_json::{Value, json};

use support::gateway::{Gateway, signal, write};
use support::http;
use support::mosquitto::Mosquitto;
use support::publisher::Publisher;
use support::sink::Sink;
use support::{PATIENCE, eventually};

const OFFLINE: &str = r#"
[[rule]]
id = "offline"
on = "gas_detector"
when = "online == false"
class = "fault"
priority = "medium"
title = { zh = "离线", en = "Offline" }
"#;

/// The broker, the officer's webhook, the gateway, and a voice for all devices.
struct Site {
    _broker: Mosquitto,
    sink: Sink,
    gateway: Gateway,
    devices: Publisher,
}

impl Site {
    async fn start() -> Site {
        let broker = Mosquitto::start("");
        let sink = Sink::start();
        let gateway = Gateway::prepare(broker.port, &sink.url());
        write(&gateway.folder().join("rules/offline.toml"), OFFLINE);
        let gateway = gateway.start().await;
        let devices = Publisher::start(broker.port, "devices");
        Site {
            _broker: broker,
            sink,
            gateway,
            devices,
        }
    }

    /// Registers, with a name and a reason.
    async fn put(&self, path: &str, body: &Value) -> http::Answer {
        let mut body = body.clone();
        body["by"] = json!("Wang");
        body["note"] = json!("opened today");
        http::send("PUT", &self.gateway.url(path), &body).await
    }

    async fn retire(&self, device: &str) -> http::Answer {
        let url = self.gateway.url(&format!("/api/v1/devices/{device}"));
        http::send("DELETE", &url, &json!({ "by": "Wang", "note": "taken down" })).await
    }

    /// Registers a venue with a detector, both of which no file knows.
    async fn register(&self) {
        let venue = json!({ "name": "新店", "kind": "shop" });
        let answer = self.put("/api/v1/venues/v9", &venue).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let device = json!({ "venue": "v9", "kind": "gas_detector", "name": "后厨" });
        let answer = self.put("/api/v1/devices/g9", &device).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let in_force = answer.json()["in_force"].as_str().expect("a text").to_owned();
        assert!(in_force.contains("2 venues, 2 devices"), "{in_force}");
    }

    async fn device(&self, query: &str) -> Value {
        let url = self.gateway.url(&format!("/api/v1/devices/{query}"));
        http::get(&url).await.json()
    }

    async fn says(&mut self, topic: &str, payload: &str) {
        let topic = format!("ninewatch/v9/gas_detector/g9/{topic}");
        self.devices.publish(&topic, payload).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_registered_names_alarms_and_is_still_there_after_a_restart_and_a_reload() {
    let mut site = Site::start().await;
    site.register().await;
    site.says("telemetry", r#"{"lel":60.0}"#).await;
    let told = site.sink.wait_for("alarm.raised", "test-high", "g9").await.json();
    assert_eq!(told["alarm"]["venue"]["name"], "新店", "{told}");
    assert_eq!(told["alarm"]["device"]["name"], "后厨", "{told}");

    site.gateway.kill();
    site.gateway.launch();
    site.gateway.wait_ready().await;
    assert_eq!(site.device("g9").await["name"], "后厨");
    signal(site.gateway.pid(), "HUP");
    let answer = http::post(&site.gateway.url("/-/reload"), &json!({})).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(site.device("g9").await["registered"], true);
    let venues = http::get(&site.gateway.url("/api/v1/venues")).await.json();
    let names: Vec<&str> = venues["items"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|venue| venue["name"].as_str())
        .collect();
    assert_eq!(names, ["示例餐馆", "新店"]);
    let kept = fs::read_to_string(site.gateway.folder().join("data/registry.toml")).expect("it is kept");
    assert!(kept.contains(r#""by" = "Wang""#), "{kept}");

    // It is described anew, wholly.
    let device = json!({ "venue": "v9", "kind": "gas_detector", "name": "前厅" });
    site.put("/api/v1/devices/g9", &device).await;
    assert_eq!(site.device("g9").await["name"], "前厅");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retired_device_is_missed_no_more_and_its_history_stays() {
    let mut site = Site::start().await;
    site.register().await;
    site.says("telemetry", r#"{"lel":1.0}"#).await;
    site.says("status", "offline").await;
    site.sink.wait_for("alarm.raised", "offline", "g9").await;
    let retired = site.retire("g9").await;
    assert_eq!(retired.status, 200, "{}", retired.text);
    eventually("its alarm has ended", PATIENCE, async || {
        site.gateway.alarms("state=active").await.is_empty().then_some(())
    })
    .await;
    let device = site.device("g9").await;
    assert_eq!(device["retired"], true, "{device}");
    assert_eq!(device["values"]["lel"]["value"], 1.0, "{device}");
    let events = http::get(&site.gateway.url("/api/v1/events")).await.json();
    let signed = |kind: &str| {
        let items = events["items"].as_array().expect("a list").iter();
        let event = items
            .map(|item| &item["event"])
            .find(|event| event["type"] == kind);
        event.map(|event| {
            (
                event["by"].clone(),
                event["note"].clone(),
                event["device"]["id"].clone(),
            )
        })
    };
    let by = |note: &str| Some((json!("Wang"), json!(note), json!("g9")));
    assert_eq!(signed("device.registered"), by("opened today"), "{events}");
    assert_eq!(signed("device.retired"), by("taken down"), "{events}");

    site.gateway.kill();
    site.gateway.launch();
    site.gateway.wait_ready().await;
    site.says("status", "online").await;
    site.says("status", "offline").await;
    site.devices.flush().await;
    site.gateway.wait_acknowledged(2).await;
    assert!(site.gateway.alarms("state=active").await.is_empty());
    assert_eq!(site.device("g9").await["retired"], true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_files_describe_is_changed_there() {
    let site = Site::start().await;
    let refused = [
        site.put("/api/v1/venues/v1", &json!({ "name": "x", "kind": "shop" }))
            .await,
        site.put(
            "/api/v1/devices/g1",
            &json!({ "venue": "v1", "kind": "gas_detector" }),
        )
        .await,
        site.retire("g1").await,
    ];
    for (answer, line) in refused.into_iter().zip([3, 9, 9]) {
        assert_eq!(
            (answer.status, answer.content_type.as_str()),
            (409, "application/problem+json"),
            "{}",
            answer.text
        );
        let problem = answer.json();
        assert_eq!(
            problem["type"], "urn:ninewatch:problem:described-in-file",
            "{problem}"
        );
        assert_eq!(problem["line"], line, "{problem}");
        assert!(
            problem["file"]
                .as_str()
                .is_some_and(|file| file.ends_with("venues.toml")),
            "{problem}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_changes_nothing() {
    let site = Site::start().await;
    for (id, body, said) in [
        (
            "g9",
            json!({ "venue": "v1", "kind": "gas_detectr" }),
            "gas_detectr",
        ),
        (
            "g9",
            json!({ "venue": "nowhere", "kind": "gas_detector" }),
            "nowhere",
        ),
        (
            "g9",
            json!({ "venue": "v1", "kind": "gas_detector", "nam": "x" }),
            "nam",
        ),
        (
            "g9",
            json!({ "venue": "v1", "kind": "gas_detector", "installed": "soon" }),
            "soon",
        ),
    ] {
        let answer = site.put(&format!("/api/v1/devices/{id}"), &body).await;
        assert_eq!(answer.status, 422, "{}", answer.text);
        let findings = answer.json()["findings"].clone();
        assert_eq!(findings.as_array().map(Vec::len), Some(1), "{findings}");
        assert!(findings[0].to_string().contains(said), "{findings}");
    }
    for body in [
        json!({ "venue": "v1", "kind": "gas_detector", "name": { "file": "/etc/hostname" } }),
        json!({ "venue": "v1" }),
        json!({ "id": "g8", "venue": "v1", "kind": "gas_detector" }),
    ] {
        let answer = site.put("/api/v1/devices/g9", &body).await;
        assert_eq!(answer.status, 400, "{}", answer.text);
    }
    let unknown = site.retire("g9").await;
    assert_eq!(unknown.status, 404, "{}", unknown.text);
    let url = site.gateway.url("/api/v1/devices/g9");
    let nobodys = json!({ "venue": "v1", "kind": "gas_detector", "by": "Wang" });
    for method in ["PUT", "DELETE"] {
        let answer = http::send(method, &url, &nobodys).await;
        assert_eq!(answer.status, 400, "{}", answer.text);
        assert!(answer.text.contains("note is missing"), "{}", answer.text);
    }
    let openable = json!({ "venue": "v1", "kind": "shutoff_valve", "remote_open": true });
    let answer = site.put("/api/v1/devices/s9", &openable).await;
    assert_eq!(answer.status, 403, "{}", answer.text);
    assert!(!site.gateway.folder().join("data/registry.toml").exists());
    assert_eq!(
        site.gateway
            .metric("ninewatch_config_last_reload_successful", &[])
            .await,
        1,
        "the files are as they should be"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_file_describes_later_counts() {
    let site = Site::start().await;
    // In a venue of the files.
    let device = json!({ "venue": "v1", "kind": "gas_detector", "name": "接口" });
    let answer = site.put("/api/v1/devices/g2", &device).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let path = site.gateway.folder().join("venues.toml");
    let files = fs::read_to_string(&path).expect("the file written before");
    write(
        &path,
        &format!("{files}\n[[venue.device]]\nid = \"g2\"\nkind = \"gas_detector\"\nname = \"文件\"\n"),
    );
    let answer = http::post(&site.gateway.url("/-/reload"), &json!({})).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(site.device("g2").await["name"], "文件");
}
