//! Through which device another speaks, as its profile says, is journalled once and whenever it changes.

use std::path::Path;

use bytes::Bytes;
use ninewatch::clock::Clock;
use ninewatch::config;
use ninewatch::domain::engine::Engine;
use ninewatch::domain::journal::{self, Entry};
use ninewatch::gateway::Gateway;
use ninewatch::handoff::Envelope;
use ninewatch::metrics::Metrics;
use ninewatch::reload::configured;

/// Sensors behind a hub, which their messages name.
const PROFILE: &str = r#"
[profile]
name = "hub"

[[message]]
topic = "hub/{venue}/{device}"
kind = "gas_detector"
parent = { kind = "bridge", device = "{hub}" }
capture = { hub = "/hub" }
trust_payload_ids = true

[[message.point]]
point = "lel"
at = "/lel"
"#;

fn gateway(folder: &Path) -> Gateway {
    std::fs::write(folder.join("hub.toml"), PROFILE).expect("a file");
    let text = "[gateway]\nid = 'test'\n[mqtt]\nurl = 'mqtt://127.0.0.1'\n[http]\nauth = 'none'\n\
        [files]\nprofiles = ['hub.toml']\n";
    let settings = config::load_str("t", text, folder).unwrap_or_else(|findings| panic!("{findings}"));
    let (decoder, surroundings) = configured(&settings).expect("they fit");
    Gateway::new(Engine::new("test"), decoder, surroundings, Metrics::new())
}

#[test]
fn a_parent_that_a_message_names_is_kept_until_another_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut gateway = gateway(folder.path());
    let now = Clock::new().now();
    gateway.start(now).expect("it starts");
    let says = |device: &str, hub: &str, retained: bool| Envelope {
        topic: format!("hub/v1/{device}"),
        payload: Bytes::from(format!(r#"{{"hub":"{hub}","lel":1.0}}"#)),
        received: now,
        duplicate: false,
        retained,
        oversize: None,
        receipt: None,
    };
    let run = [
        ("g1", "h1", false),
        ("g1", "h1", false),
        // What the broker had kept is better than nothing.
        ("g2", "h1", true),
        ("g1", "h2", false),
        ("g1", "h2", false),
        // What it says of before moves nothing.
        ("g1", "h1", true),
    ];
    gateway
        .receive(run.map(|(device, hub, kept)| says(device, hub, kept)).into())
        .expect("no error");
    let batch = gateway.close(now);
    assert!(batch.dead_letters.is_empty(), "{:?}", batch.dead_letters);
    let mut devices = Vec::new();
    let mut named = Vec::new();
    for entry in journal::entries(batch.first_input, &batch.journal) {
        let (_, entry) = entry.expect("it is whole");
        if let Entry::Device(key) = &entry {
            devices.push(key.device.clone());
        }
        if let Entry::PartOf { device, parent } = entry {
            named.push(format!("{} {}", devices[device.slot()], parent.device));
        }
    }
    assert_eq!(named, ["g1 h1", "g2 h1", "g1 h2"]);
    let known = gateway.engine().keys().map(|key| key.device.as_str());
    assert_eq!(
        known.collect::<Vec<&str>>(),
        ["test", "g1", "g2"],
        "a hub that never spoke is no device"
    );
}

#[test]
fn a_parent_that_cannot_be_read_costs_no_reading() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut gateway = gateway(folder.path());
    let now = Clock::new().now();
    gateway.start(now).expect("it starts");
    let bodies = [
        r#"{"lel":1.0}"#,
        r#"{"hub":"","lel":2.0}"#,
        r#"{"hub":"a\u0001","lel":3.0}"#,
    ];
    let run = bodies.map(|body| Envelope {
        topic: "hub/v1/g1".to_owned(),
        payload: Bytes::from(body),
        received: now,
        duplicate: false,
        retained: false,
        oversize: None,
        receipt: None,
    });
    gateway.receive(run.into()).expect("no error");
    let batch = gateway.close(now);
    assert!(batch.dead_letters.is_empty(), "{:?}", batch.dead_letters);
    let mut readings = 0;
    for entry in journal::entries(batch.first_input, &batch.journal) {
        let (_, entry) = entry.expect("it is whole");
        assert!(!matches!(entry, Entry::PartOf { .. }), "{entry:?}");
        if let Entry::Reading { points, .. } = entry {
            readings += usize::from(points.len() == 1);
        }
    }
    assert_eq!(readings, 3);
}
