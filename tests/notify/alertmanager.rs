//! What an Alertmanager, and a receiver of its messages, are told: how alarms stand, by the same labels for all their life.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use ninewatch::clock::wall;
use ninewatch::config::{AlertmanagerSettings, Secret, TargetKind, TargetSettings};
use ninewatch::domain::alarm::AlarmState;
use ninewatch::domain::alert::Labels;
use ninewatch::domain::interlock::{Cause, CommandStep, Failure};
use ninewatch::domain::notice::{AlarmBody, EventBody};
use ninewatch::domain::officer::Language;
use ninewatch::domain::registry::Registry;
use ninewatch::domain::rule::{Priority, RuleDef};
use ninewatch::domain::time::Timestamp;
use ninewatch::handoff::AlarmCommit;
use serde::Deserialize;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::outward::{TestStore, ordered, step, within};
use super::sink::{Answer, Got, Sink};
use super::{KEY, Running, all_delivered, target};

fn alertmanager(address: SocketAddr) -> TargetSettings {
    TargetSettings {
        kind: TargetKind::Alertmanager(AlertmanagerSettings {
            language: Language::En,
            resend: Duration::from_secs(1),
            hold: Duration::from_mins(10),
        }),
        url: Secret::new(format!("http://user:password@{address}/base/")),
        secret: None,
        ..target("am", address)
    }
}

/// A step of an alarm of this priority on the device g1, in the words of the gateway.
pub(super) fn told(
    number: u64,
    alarm: u64,
    (state, priority): (AlarmState, Priority),
    targets: &[&str],
) -> AlarmCommit {
    let mut commit = step(number, alarm, state, targets);
    let view = &mut commit.event.alarm;
    view.rule = Arc::new(RuleDef {
        priority,
        ..RuleDef::clone(&view.rule)
    });
    let mut key = (*view.device).clone();
    "g1".clone_into(&mut key.device);
    view.device = Arc::new(key);
    let registry = Registry::default();
    let shown = AlarmBody::new(&commit.event.alarm, &registry);
    let body = EventBody::new(&commit.event, &shown, "test-01", "http://gw.example");
    let (alarm, body) = (
        serde_json::to_string(&shown).unwrap(),
        serde_json::to_string(&body).unwrap(),
    );
    AlarmCommit {
        alarm,
        body,
        ..commit
    }
}

const STANDS: (AlarmState, Priority) = (AlarmState::ActiveUnacknowledged, Priority::Critical);
const OVER: (AlarmState, Priority) = (AlarmState::Cleared, Priority::Critical);

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Alert {
    labels: Labels,
    annotations: BTreeMap<String, String>,
    starts_at: String,
    ends_at: String,
    #[serde(rename = "generatorURL")]
    generator_url: String,
}

impl Alert {
    fn fires(&self) -> bool {
        self.ends_at > wall().to_rfc3339()
    }
}

fn alerts(got: &Got) -> Vec<Alert> {
    serde_json::from_str(&got.body).unwrap()
}

/// The next request's only alert.
async fn next(sink: &mut Sink) -> Alert {
    let got = sink.next().await;
    // user:password
    assert_eq!(got.header("authorization"), "Basic dXNlcjpwYXNzd29yZA==");
    let mut alerts = alerts(&got);
    assert_eq!(alerts.len(), 1, "{alerts:?}");
    alerts.remove(0)
}

async fn next_over(sink: &mut Sink) -> Alert {
    loop {
        let alert = next(sink).await;
        if !alert.fires() {
            return alert;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_told_outlives_the_outbox_and_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let store = TestStore::open(folder.path());
    let mut sink = Sink::start(|_| Answer::Status(200)).await;
    store
        .commit(vec![told(1, 1, STANDS, &["am"]), told(2, 2, STANDS, &["other"])])
        .await;
    let running = Running::start(&store, vec![alertmanager(sink.address)]);
    let first = next(&mut sink).await;
    assert!(first.fires() && first.starts_at < first.ends_at, "{first:?}");
    all_delivered(&store, "am").await;
    running.stop().await;
    store.close().await;
    let database = rusqlite::Connection::open(folder.path().join("ninewatch.db")).unwrap();
    assert_eq!(database.execute("DELETE FROM outbox", []).unwrap(), 2);
    drop(database);

    let store = TestStore::open(folder.path());
    while sink.got.try_recv().is_ok() {}
    let running = Running::start(&store, vec![alertmanager(sink.address)]);
    for _ in 0..3 {
        let again = next(&mut sink).await;
        assert!(again.fires(), "{again:?}");
        assert_eq!(again.labels, first.labels);
        assert_eq!(again.starts_at, first.starts_at);
        assert_eq!(again.annotations, first.annotations);
        assert_eq!(again.generator_url, first.generator_url);
    }
    // Its end is told, also where no notice of it is owed, and also by the next process.
    let over = told(3, 1, OVER, &[]);
    let ended_at = over.event.at.to_rfc3339();
    store.commit(vec![over]).await;
    assert_eq!(next_over(&mut sink).await.ends_at, ended_at);
    running.stop().await;
    let running = Running::start(&store, vec![alertmanager(sink.address)]);
    assert_eq!(next(&mut sink).await.ends_at, ended_at);
    running.stop().await;
    let deliveries = rusqlite::Connection::open(folder.path().join("ninewatch.db")).unwrap();
    let rows: i64 = deliveries
        .query_row("SELECT count(*) FROM delivery", [], |row| row.get(0))
        .unwrap();
    assert_eq!(rows, 1, "what is told again is no delivery");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alarm_keeps_its_labels_for_its_life() {
    let folder = tempfile::tempdir().unwrap();
    let store = TestStore::open(folder.path());
    let mut sink = Sink::start(|_| Answer::Status(200)).await;
    let running = Running::start(&store, vec![alertmanager(sink.address)]);
    let low = (AlarmState::ActiveUnacknowledged, Priority::Low);
    store.commit(vec![told(1, 1, low, &["am"])]).await;
    let first = next(&mut sink).await;
    assert!(
        first.labels.to_string().contains(r#"priority="low""#),
        "{first:?}"
    );
    let graver = (AlarmState::ActiveAcknowledged, Priority::Critical);
    store.commit(vec![told(2, 1, graver, &["am"])]).await;
    loop {
        let alert = next(&mut sink).await;
        assert_eq!(alert.labels, first.labels);
        if alert.annotations["state"] == "active_acknowledged" {
            assert!(!alert.annotations.contains_key("acknowledge"), "{alert:?}");
            break;
        }
    }
    store.commit(vec![told(3, 1, OVER, &["am"])]).await;
    assert_eq!(next_over(&mut sink).await.labels, first.labels);
    running.stop().await;
}

/// The end of an alarm is told late, when the next one of its rule and device stands already: that one must not end by it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_end_ends_no_new_alarm() {
    let folder = tempfile::tempdir().unwrap();
    let store = TestStore::open(folder.path());
    store
        .commit(vec![told(1, 1, STANDS, &["am"]), told(2, 1, OVER, &["am"])])
        .await;
    store.commit(vec![told(3, 2, STANDS, &["am"])]).await;
    let mut sink = Sink::start(|_| Answer::Status(200)).await;
    let running = Running::start(&store, vec![alertmanager(sink.address)]);
    all_delivered(&store, "am").await;
    running.stop().await;
    // Three notices, each in a request of its own, and at least one round.
    let mut requests = 0;
    while let Ok(got) = sink.got.try_recv() {
        requests += 1;
        for alert in alerts(&got) {
            assert!(alert.fires(), "{alert:?}");
        }
    }
    assert!(requests >= 3, "{requests} requests");
}

/// What waits for the end of quiet hours does not fire by being told again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_held_is_not_told_before_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let store = TestStore::open(folder.path());
    let mut commit = told(1, 1, STANDS, &["am"]);
    commit.owed[0].not_before = Some(Timestamp(wall().0 + 3_600_000));
    store.commit(vec![commit]).await;
    let rows = store.reader.told_alarms("am", (None, Timestamp(0)), 10);
    assert_eq!(rows.await.unwrap(), []);
    let database = rusqlite::Connection::open(folder.path().join("ninewatch.db")).unwrap();
    assert_eq!(database.execute("UPDATE outbox SET due_at = 0", []).unwrap(), 1);
    let mut sink = Sink::start(|_| Answer::Status(200)).await;
    let running = Running::start(&store, vec![alertmanager(sink.address)]);
    store.work.send(super::release("am")).await.unwrap();
    assert!(next(&mut sink).await.fires());
    all_delivered(&store, "am").await;
    let rows = store.reader.told_alarms("am", (None, Timestamp(0)), 10);
    assert_eq!(rows.await.unwrap().len(), 1);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_due_together_goes_in_one_request_and_orders_in_none() {
    let folder = tempfile::tempdir().unwrap();
    let store = TestStore::open(folder.path());
    let commits = (1..=50).map(|n| {
        let mut commit = told(n, n, STANDS, &["am"]);
        commit.body = commit.body.replace("\"g1\"", &format!("\"g{n}\""));
        commit
    });
    let cause = Cause::Alarm(Box::new(told(1, 1, STANDS, &[]).event.alarm));
    let failed = ordered(7, "v1", (CommandStep::Failed(Failure::NotProven), cause), &["am"]);
    store.commit_all(commits.collect(), vec![failed]).await;
    let mut sink = Sink::start(|n| Answer::Status(if n == 0 { 503 } else { 200 })).await;
    let running = Running::start(&store, vec![alertmanager(sink.address)]);
    all_delivered(&store, "am").await;
    running.stop().await;
    let mut most = 0;
    while let Ok(got) = sink.got.try_recv() {
        most = most.max(alerts(&got).len());
    }
    assert_eq!(most, 50);
    let messages = store.metrics.deliveries("am", "delivered").get();
    assert!((1..10).contains(&messages), "{messages} messages for 51 notices");
}

/// The body of an Alertmanager's webhook, version 4, as its source has it; nothing else may stand in it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Message {
    version: String,
    group_key: String,
    truncated_alerts: u64,
    status: String,
    receiver: String,
    group_labels: Labels,
    common_labels: Labels,
    common_annotations: BTreeMap<String, String>,
    #[serde(rename = "externalURL")]
    external_url: String,
    alerts: Vec<Firing>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Firing {
    status: String,
    labels: Labels,
    annotations: BTreeMap<String, String>,
    starts_at: String,
    ends_at: String,
    #[serde(rename = "generatorURL")]
    generator_url: String,
    fingerprint: String,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_gets_alertmanagers_own_body() {
    let folder = tempfile::tempdir().unwrap();
    let store = TestStore::open(folder.path());
    let mut sink = Sink::start(|_| Answer::Status(200)).await;
    let receiver = TargetSettings {
        kind: TargetKind::AlertmanagerWebhook(Language::Zh),
        ..target("bridge", sink.address)
    };
    let running = Running::start(&store, vec![receiver]);
    let low = (AlarmState::ActiveUnacknowledged, Priority::Low);
    store.commit(vec![told(1, 1, low, &["bridge"])]).await;
    let got = sink.next().await;
    assert!(got.is_signed_with(KEY), "{got:?}");
    let firing: Message = serde_json::from_str(&got.body).unwrap();
    assert_eq!((firing.version.as_str(), firing.status.as_str()), ("4", "firing"));
    assert_eq!((firing.receiver.as_str(), firing.truncated_alerts), ("bridge", 0));
    assert_eq!(firing.external_url, "http://gw.example");
    assert_eq!(firing.group_key, format!("{{}}:{}", firing.group_labels));
    assert_eq!(firing.common_labels, firing.alerts[0].labels);
    assert_eq!(firing.common_annotations, firing.alerts[0].annotations);
    let alert = &firing.alerts[0];
    assert_eq!(
        (alert.status.as_str(), alert.ends_at.as_str()),
        ("firing", "0001-01-01T00:00:00Z")
    );
    assert_eq!(alert.starts_at, "2026-01-01T00:00:00.000Z");
    assert_eq!(alert.fingerprint, alert.labels.fingerprint());
    assert!(
        alert
            .generator_url
            .starts_with("http://gw.example/api/v1/alarms/"),
        "{alert:?}"
    );
    assert_eq!(alert.annotations["summary"], "v1 燃气浓度高报（g1）");

    // The rule has another priority by now: it is the same alert all the same.
    let over = told(2, 1, OVER, &["bridge"]);
    let ended_at = over.event.at.to_rfc3339();
    store.commit(vec![over]).await;
    let resolved: Message = serde_json::from_str(&sink.next().await.body).unwrap();
    assert_eq!(resolved.status, "resolved");
    assert_eq!(resolved.group_key, firing.group_key);
    let alert = &resolved.alerts[0];
    assert_eq!(
        (alert.status.as_str(), alert.ends_at.as_str()),
        ("resolved", ended_at.as_str())
    );
    assert_eq!(alert.fingerprint, firing.alerts[0].fingerprint);
    running.stop().await;
}

/// The most alerts that the server of the next test takes at once.
const MOST: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_much_at_once_is_told_again_in_smaller_parts() {
    let folder = tempfile::tempdir().unwrap();
    let store = TestStore::open(folder.path());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, mut taken) = mpsc::channel(1_000);
    let handler = move |body: String| {
        let alerts: Vec<Value> = serde_json::from_str(&body).unwrap();
        let few = alerts.len() <= MOST;
        if few {
            let devices = alerts
                .iter()
                .map(|alert| alert["labels"]["device"].as_str().unwrap());
            devices.for_each(|device| sender.try_send(device.to_owned()).unwrap());
        }
        async move {
            if few {
                StatusCode::OK
            } else {
                StatusCode::PAYLOAD_TOO_LARGE
            }
        }
    };
    let mut server = JoinSet::new();
    server.spawn(async move {
        axum::serve(listener, Router::new().fallback(handler))
            .await
            .unwrap();
    });
    let stands = (1..=9).map(|number| {
        let mut commit = told(number, number, STANDS, &["am"]);
        for text in [&mut commit.body, &mut commit.alarm] {
            *text = text.replace("\"g1\"", &format!("\"g{number}\""));
        }
        commit
    });
    store.commit(stands.collect()).await;
    let running = Running::start(&store, vec![alertmanager(address)]);
    all_delivered(&store, "am").await;
    let mut again = HashSet::new();
    while taken.try_recv().is_ok() {}
    while again.len() < 9 {
        again.insert(within("an alert", taken.recv()).await.unwrap());
    }
    running.stop().await;
    let metrics = &store.metrics;
    let again = metrics.past_outbox.resends("am", "failed").get();
    assert!(again > 0);
    let failed = again + metrics.deliveries("am", "failed").get();
    assert_eq!(metrics.delivery_failures("am", "refused").get(), failed);
}
