//! Group robots through the real worker and store, against servers that answer as the services do: errors with HTTP 200, and
//! signatures checked by a computation apart. Delivered is exactly what the server took.

use std::collections::HashMap;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::Query;
use axum::http::StatusCode;
use ninewatch::config::{RobotSettings, Secret, Service, TargetKind, TargetSettings};
use ninewatch::domain::directions::Recipient;
use ninewatch::domain::officer::{Contact, Language};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::outward::{TestStore, within};
use super::people::{person, raised_for};
use super::{Running, all_delivered, raised, target};

const SECRET: &str = "SEC of the test's own";

/// What comes before the first success: the service's errors for one message, and answers that say nothing.
const FAILURES: [(u16, &str); 4] = [
    (200, r#"{"errcode":40058,"code":19036}"#),
    (200, "{}"),
    (500, r#"{"errcode":0,"code":0}"#),
    (200, "<html>ok</html>"),
];

struct Robots {
    address: std::net::SocketAddr,
    taken: mpsc::Receiver<(HashMap<String, String>, Value)>,
    _server: JoinSet<()>,
}

async fn robots() -> Robots {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, taken) = mpsc::channel(1_000);
    let count = Arc::new(AtomicUsize::new(0));
    let handler = move |Query(query): Query<HashMap<String, String>>, body: String| {
        let failure = FAILURES.get(count.fetch_add(1, Ordering::SeqCst));
        let (status, answer) = failure.copied().unwrap_or((200, r#"{"errcode":"0","code":0}"#));
        if failure.is_none() {
            let body = serde_json::from_str(&body).unwrap();
            sender.try_send((query, body)).unwrap();
        }
        std::future::ready((StatusCode::from_u16(status).unwrap(), answer))
    };
    let mut server = JoinSet::new();
    server.spawn(async move {
        axum::serve(listener, Router::new().fallback(handler))
            .await
            .unwrap();
    });
    Robots {
        address,
        taken,
        _server: server,
    }
}

/// HMAC-SHA256 in base64 as `openssl` computes it.
fn openssl(key: &str, message: &str) -> String {
    let hex = key
        .bytes()
        .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    let mut openssl = Command::new("openssl")
        .args(["dgst", "-sha256", "-mac", "HMAC", "-binary", "-macopt"])
        .arg(format!("hexkey:{hex}"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{error}: openssl must be installed (apt-get install openssl)"));
    openssl
        .stdin
        .take()
        .unwrap()
        .write_all(message.as_bytes())
        .unwrap();
    let output = openssl.wait_with_output().unwrap();
    assert!(output.status.success());
    base64::Engine::encode(&base64::engine::general_purpose::STANDARD, output.stdout)
}

fn person_of_every_service() -> Recipient {
    let mut wang = person("wang", &[]);
    wang.contact = Contact {
        mobile: Some("13800001111".to_owned()),
        email: None,
        wecom: Some("wang".to_owned()),
        dingtalk: Some("manager1".to_owned()),
        feishu: Some("ou_wang".to_owned()),
    };
    wang
}

async fn is_delivered_exactly_when_taken(service: Service) -> (HashMap<String, String>, Value) {
    let folder = tempfile::tempdir().unwrap();
    let store = TestStore::open(folder.path());
    let mut robots = robots().await;
    let settings = TargetSettings {
        kind: TargetKind::Robot(RobotSettings {
            service,
            mention_all: false,
            language: Language::Zh,
            template: None,
        }),
        secret: (service != Service::Wecom).then(|| Secret::new(SECRET.to_owned())),
        ..target("group", robots.address)
    };
    let running = Running::start(&store, vec![settings]);
    store
        .commit(vec![raised_for(1, "group", &[person_of_every_service()])])
        .await;
    let taken = within("a message that is taken", robots.taken.recv())
        .await
        .unwrap();
    all_delivered(&store, "group").await;
    running.stop().await;
    assert!(robots.taken.try_recv().is_err(), "something came twice");
    assert_eq!(store.metrics.deliveries("group", "delivered").get(), 1);
    assert_eq!(
        store.metrics.deliveries("group", "failed").get(),
        FAILURES.len() as u64
    );
    taken
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wecom_has_it_exactly_when_its_code_says_so() {
    let (_, body) = is_delivered_exactly_when_taken(Service::Wecom).await;
    assert_eq!(body["msgtype"], "markdown");
    let content = body["markdown"]["content"].as_str().unwrap();
    assert!(content.ends_with("\n通知：<@wang>"), "{content}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dingtalk_has_it_exactly_when_its_code_says_so_signed_in_the_address() {
    let (query, body) = is_delivered_exactly_when_taken(Service::Dingtalk).await;
    let timestamp = &query["timestamp"];
    assert_eq!(query["sign"], openssl(SECRET, &format!("{timestamp}\n{SECRET}")));
    assert_eq!(body["msgtype"], "markdown");
    assert_eq!(body["at"]["atUserIds"], serde_json::json!(["manager1"]));
    let text = body["markdown"]["text"].as_str().unwrap();
    assert!(text.ends_with("\n通知：@manager1"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn feishu_has_it_exactly_when_its_code_says_so_signed_in_the_body() {
    let (_, body) = is_delivered_exactly_when_taken(Service::Feishu).await;
    let timestamp = body["timestamp"].as_str().unwrap();
    assert_eq!(body["sign"], openssl(&format!("{timestamp}\n{SECRET}"), ""));
    assert_eq!(body["msg_type"], "post");
    let lines = body["content"]["post"]["zh_cn"]["content"].as_array().unwrap();
    let called = serde_json::json!([{"tag": "at", "user_id": "ou_wang"}]);
    assert_eq!(lines.last(), Some(&called));
}

/// A robot's server that gives one answer to everything.
async fn answering(status: u16, answer: &'static str) -> (std::net::SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let status = StatusCode::from_u16(status).unwrap();
    let mut server = JoinSet::new();
    server.spawn(async move {
        let router = Router::new().fallback(move || std::future::ready((status, answer)));
        axum::serve(listener, router).await.unwrap();
    });
    (address, server)
}

fn dingtalk(name: &str, address: std::net::SocketAddr) -> TargetSettings {
    TargetSettings {
        kind: TargetKind::Robot(RobotSettings {
            service: Service::Dingtalk,
            mention_all: false,
            language: Language::Zh,
            template: None,
        }),
        secret: Some(Secret::new(SECRET.to_owned())),
        ..target(name, address)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_key_and_a_wrong_clock_are_counted_apart_from_a_server_that_is_unwell() {
    let folder = tempfile::tempdir().unwrap();
    let store = TestStore::open(folder.path());
    let cases = [
        (
            "key",
            "configuration",
            200,
            r#"{"errcode":310000,"errmsg":"sign not match"}"#,
        ),
        (
            "time",
            "clock",
            200,
            r#"{"errcode":310000,"errmsg":"invalid timestamp"}"#,
        ),
        ("unwell", "away", 503, ""),
    ];
    let (mut servers, mut targets) = (Vec::new(), Vec::new());
    for (name, _, status, answer) in cases {
        let (address, server) = answering(status, answer).await;
        servers.push(server);
        targets.push(dingtalk(name, address));
    }
    let running = Running::start(&store, targets);
    let line = |name: &str, reason: &str, count: u32| {
        format!("ninewatch_delivery_failures_total{{reason=\"{reason}\",target=\"{name}\"}} {count}")
    };
    let shown = async |wanted: &[String]| {
        let mut tick = tokio::time::interval(std::time::Duration::from_millis(5));
        loop {
            let text = store.metrics.render().unwrap();
            if wanted.iter().all(|line| text.lines().any(|shown| shown == line)) {
                return text;
            }
            tick.tick().await;
        }
    };
    let zeros: Vec<String> = cases
        .iter()
        .map(|(name, reason, ..)| line(name, reason, 0))
        .collect();
    within("the reasons at 0", shown(&zeros)).await;
    let names = cases.map(|(name, ..)| name);
    store.commit(vec![raised(1, 1, &names)]).await;
    // The server that is unwell is tried again soon: only that it counts is certain.
    let counted: Vec<String> = cases[..2]
        .iter()
        .map(|(name, reason, ..)| line(name, reason, 1))
        .collect();
    let text = within("the reasons counted", shown(&counted)).await;
    let unwell = store.metrics.delivery_failures("unwell", "away");
    within("an attempt at the server that is unwell", async {
        let mut tick = tokio::time::interval(std::time::Duration::from_millis(5));
        while unwell.get() == 0 {
            tick.tick().await;
        }
    })
    .await;
    running.stop().await;
    for (name, reason) in [
        ("key", "clock"),
        ("key", "away"),
        ("time", "configuration"),
        ("unwell", "configuration"),
    ] {
        let none = line(name, reason, 0);
        assert!(text.contains(&none), "{none}\n{text}");
    }
}
