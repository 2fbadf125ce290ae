//! The web side over real sockets: every route, who is let in, problem bodies, slow clients, a port in use.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod acknowledge;
mod commands;
mod deliveries;
mod history;
mod operate;
#[expect(dead_code, reason = "the tests of notify use the rest")]
#[path = "../outward/mod.rs"]
mod outward;
mod reload;
mod roster;
mod site;

use std::time::Duration;

use bytes::Bytes;
use ninewatch::config::{Auth, HttpSettings, Secret};
use ninewatch::domain::alarm::AlarmState;
use ninewatch::domain::engine::Refusal;
use ninewatch::domain::journal::{OperatorAction, OperatorInput};
use ninewatch::domain::profile::Reject;
use ninewatch::domain::time::Timestamp;
use ninewatch::handoff::{Batch, DeadLetter, OperatorAct, OperatorRequest, Work};
use ninewatch::web::{Limits, Web};
use outward::{TestStore, id, step, within};
use serde_json::{Value, json};
use site::{Answer, Site, ask, bind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_and_metrics_tell_how_the_process_is() {
    let site = Site::open().await;
    assert_eq!(site.get("/-/healthy").await.status, 200);
    site.store.health.set_store(true);
    let ready = site.get("/-/ready").await;
    assert_eq!(ready.problem(503, "unavailable"), "the MQTT session is down");
    assert_eq!(ready.json()["ready"], false);
    site.store.health.set_broker(true);
    let ready = site.get("/-/ready").await;
    assert_eq!((ready.status, ready.json()["ready"].clone()), (200, json!(true)));
    site.store.health.set_store(false);
    let ready = site.get("/-/ready").await;
    assert_eq!(ready.problem(503, "unavailable"), "the store takes no commits");

    let metrics = site.get("/metrics").await;
    assert_eq!(metrics.status, 200);
    let content_type = metrics.header("content-type");
    assert_eq!(content_type, Some("text/plain; version=0.0.4; charset=utf-8"));
    assert!(metrics.body.contains("ninewatch_build_info{"));
    assert!(metrics.body.contains("ninewatch_queue_depth{queue=\"ingest\"} 7"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alarms_are_listed_by_state_and_page() {
    let site = Site::open().await;
    let empty = site.get("/api/v1/alarms").await;
    assert_eq!(empty.json(), json!({ "items": [], "next": null }));
    let active = (0..5).map(|n| step(n, n, AlarmState::ActiveUnacknowledged, &[]));
    let cleared = (5..7).map(|n| step(n, n, AlarmState::Cleared, &[]));
    site.store.commit(active.chain(cleared).collect()).await;
    let ids = |answer: &Answer| -> Vec<Value> {
        let items = answer.json()["items"].as_array().unwrap().clone();
        items.into_iter().map(|item| item["id"].clone()).collect()
    };
    let expected = |numbers: &[u64]| -> Vec<Value> { numbers.iter().map(|n| json!(id(*n))).collect() };
    let active = site.get("/api/v1/alarms?state=active").await;
    assert_eq!(active.header("content-type"), Some("application/json"));
    assert_eq!(ids(&active), expected(&[4, 3, 2, 1, 0]));
    assert_eq!(active.json()["next"], Value::Null);
    assert_eq!(active.json()["items"][0]["state"], "active_unacknowledged");
    assert_eq!(ids(&site.get("/api/v1/alarms").await), ids(&active));
    assert_eq!(
        ids(&site.get("/api/v1/alarms?state=cleared").await),
        expected(&[6, 5])
    );

    let mut seen = Vec::new();
    let mut path = "/api/v1/alarms?state=all&limit=3".to_owned();
    loop {
        let page = site.get(&path).await;
        assert!(ids(&page).len() <= 3);
        seen.extend(ids(&page));
        let next = page.json()["next"].clone();
        let Some(next) = next.as_str() else { break };
        path = format!("/api/v1/alarms?state=all&limit=3&after={next}");
    }
    assert_eq!(seen, expected(&[6, 5, 4, 3, 2, 1, 0]));

    let one = site.get(&format!("/api/v1/alarms/{}", id(2))).await;
    assert_eq!((one.status, one.json()["id"].clone()), (200, json!(id(2))));
    let none = site.get(&format!("/api/v1/alarms/{}", id(99))).await;
    none.problem(404, "no-such-alarm");
    site.get("/api/v1/alarms/nonsense")
        .await
        .problem(404, "no-such-alarm");
    site.get("/api/v1/alarms/%FF").await.problem(400, "bad-path");
    let by = r#"{"by":"Wang"}"#;
    for (word, body) in [
        ("acknowledge", by),
        ("reset", by),
        ("unshelve", by),
        ("close", by),
        ("shelve", r#"{"for":"1h","by":"Wang","note":"steam"}"#),
        ("verdict", r#"{"verdict":"real","by":"Wang"}"#),
    ] {
        let answer = site.post(&format!("/api/v1/alarms/%FF/{word}"), body).await;
        assert!(!answer.problem(400, "bad-path").is_empty(), "{word}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_and_dead_letters_are_listed_in_order() {
    let site = Site::open().await;
    let steps = (0..3).map(|n| step(n, 1, AlarmState::ActiveUnacknowledged, &[]));
    site.store.commit(steps.collect()).await;
    let first = site.get("/api/v1/events?limit=2").await.json();
    assert_eq!(first["next"], 2);
    assert_eq!(first["items"][0]["seq"], 1);
    assert_eq!(first["items"][0]["event"]["number"], 0);
    assert_eq!(first["items"][0]["hash"].as_str().unwrap().len(), 64);
    let rest = site.get("/api/v1/events?limit=2&after=2").await.json();
    assert_eq!(
        (rest["items"].as_array().unwrap().len(), &rest["next"]),
        (1, &Value::Null)
    );

    let letter = |payload: &'static [u8]| DeadLetter {
        at: Timestamp(1_767_225_600_000),
        topic: "ninewatch/店/x".to_owned(),
        payload: Bytes::from_static(payload),
        size: payload.len(),
        reject: Reject::InvalidUtf8,
    };
    let batch = Batch {
        dead_letters: vec![letter(b"{\"lel\":"), letter(&[0xff, 0xfe])],
        ..Batch::default()
    };
    site.store.work.send(Work::Batch(Box::new(batch))).await.unwrap();
    site.store.commit(Vec::new()).await;
    let letters = site.get("/api/v1/dead-letters").await.json();
    let (text, bytes) = (&letters["items"][0], &letters["items"][1]);
    assert_eq!(
        (&text["encoding"], &text["payload"]),
        (&json!("utf-8"), &json!("{\"lel\":"))
    );
    assert_eq!(
        (&bytes["encoding"], &bytes["payload"]),
        (&json!("base64"), &json!("//4="))
    );
    assert_eq!(text["topic"], "ninewatch/店/x");
    assert_eq!(text["reason"], "invalid_utf8");
    assert_eq!(text["at"], "2026-01-01T00:00:00.000Z");
    let after = site.get("/api/v1/dead-letters?after=1").await.json();
    assert_eq!(after["items"].as_array().unwrap().len(), 1);
}

/// The act on an alarm that is asked for.
fn of_alarm(request: &OperatorRequest) -> &OperatorInput {
    match &request.act {
        OperatorAct::Alarm(input) => input,
        other @ (OperatorAct::Device(_) | OperatorAct::Command(_)) => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_acknowledge_and_reset() {
    let mut site = Site::open().await;
    let commit = |n, state| vec![step(n, 1, state, &[])];
    site.store
        .commit(commit(1, AlarmState::ActiveUnacknowledged))
        .await;
    let path = format!("/api/v1/alarms/{}/acknowledge", id(1));
    let gateway = async {
        let request = site.operators.recv().await.unwrap();
        let input = of_alarm(&request);
        assert_eq!((input.alarm, input.action), (id(1), OperatorAction::Acknowledge));
        assert_eq!(input.operator.by, "王强");
        assert_eq!(input.operator.note.as_deref(), Some("on my way"));
        site.store.commit(commit(2, AlarmState::ActiveAcknowledged)).await;
        request.answer.send(Ok(None)).unwrap();
    };
    let body = r#"{"by":"王强","note":"on my way"}"#;
    let length = body.len();
    let headers = format!("content-type: application/json; charset=utf-8\r\ncontent-length: {length}\r\n");
    let (answer, ()) = tokio::join!(ask(site.address, "POST", &path, &headers, body), gateway);
    assert_eq!(
        (answer.status, answer.json()["state"].clone()),
        (200, json!("active_acknowledged"))
    );

    let path = format!("/api/v1/alarms/{}/reset", id(1));
    let refusals = [
        (
            Refusal::StillActive(AlarmState::ActiveAcknowledged),
            409,
            "still-active",
        ),
        (Refusal::NoSuchAlarm, 404, "no-such-alarm"),
    ];
    for (refusal, status, kind) in refusals {
        let gateway = async {
            let request = site.operators.recv().await.unwrap();
            let input = of_alarm(&request);
            assert_eq!(
                (input.action, input.operator.by.as_str()),
                (OperatorAction::Reset, "api")
            );
            assert_eq!(input.operator.note, None);
            request.answer.send(Err(refusal)).unwrap();
        };
        let (answer, ()) = tokio::join!(ask(site.address, "POST", &path, "", ""), gateway);
        answer.problem(status, kind);
        if status == 409 {
            assert_eq!(answer.json()["state"], "active_acknowledged");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_does_not_answer_or_is_gone_is_a_503() {
    let limits = Limits {
        answer_wait: Duration::from_millis(50),
        ..Limits::default()
    };
    let mut site = Site::open_with(Auth::None, limits).await;
    let path = format!("/api/v1/alarms/{}/reset", id(1));
    let slow = site.post(&path, "").await;
    assert!(slow.problem(503, "unavailable").contains("in time"));
    site.operators.close();
    while site.operators.try_recv().is_ok() {}
    let gone = site.post(&path, "{}").await;
    assert!(gone.problem(503, "unavailable").contains("stopping"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_wrong_with_a_request_is_said_as_a_problem() {
    let mut site = Site::open().await;
    site.get("/nowhere").await.problem(404, "no-such-path");
    site.get("/api/v1/nowhere").await.problem(404, "no-such-path");
    for (method, path, allow) in [
        ("DELETE", "/api/v1/alarms", "GET,HEAD"),
        ("POST", "/metrics", "GET,HEAD"),
        ("PUT", "/-/ready", "GET,HEAD"),
        ("GET", &format!("/api/v1/alarms/{}/reset", id(1)), "POST"),
        ("GET", "/-/reload", "POST"),
    ] {
        let answer = site.ask(method, path, "", "").await;
        answer.problem(405, "method-not-allowed");
        assert_eq!(answer.header("allow"), Some(allow), "{method} {path}");
    }
    for query in [
        "state=open",
        "limit=0",
        "limit=1001",
        "limit=x",
        "after=1",
        "stat=active",
    ] {
        let answer = site.get(&format!("/api/v1/alarms?{query}")).await;
        assert!(!answer.problem(400, "bad-query").is_empty(), "{query}");
    }
    site.get("/api/v1/events?after=x").await.problem(400, "bad-query");
    site.get("/api/v1/dead-letters?limit=0")
        .await
        .problem(400, "bad-query");

    let path = format!("/api/v1/alarms/{}/acknowledge", id(1));
    let long = |member: &str, bytes: usize| json!({ member: "x".repeat(bytes) }).to_string();
    for body in [
        "{",
        "[]",
        r#"{"by":7}"#,
        r#"{"who":"me"}"#,
        r#"{"by":" "}"#,
        r#"{"by":"a\u0000b"}"#,
        r#"{"note":"a\nb"}"#,
        &long("by", 129),
        &long("note", 1_025),
    ] {
        site.post(&path, body).await.problem(400, "bad-body");
    }
    site.post(&path, &long("note", 64 * 1024))
        .await
        .problem(413, "body-too-large");
    let plain = site
        .ask(
            "POST",
            &path,
            "content-type: text/plain\r\ncontent-length: 2\r\n",
            "{}",
        )
        .await;
    plain.problem(415, "not-json");
    assert!(
        site.operators.try_recv().is_err(),
        "a bad request reached the gateway"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn head_answers_like_get_without_a_body() {
    let site = Site::open().await;
    for path in ["/-/healthy", "/metrics", "/api/v1/alarms"] {
        let answer = site.ask("HEAD", path, "", "").await;
        assert_eq!((answer.status, answer.body.as_str()), (200, ""), "{path}");
        assert_ne!(answer.header("content-length"), Some("0"), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_guards_everything_but_health() {
    let auth = Auth::Token(Secret::new("s3cret".to_owned()));
    let site = Site::open_with(auth, Limits::default()).await;
    let acknowledge = format!("/api/v1/alarms/{}/acknowledge", id(1));
    for (method, path) in [
        ("GET", "/metrics"),
        ("GET", "/api/v1/alarms"),
        ("GET", "/api/v1/events"),
        ("GET", "/nowhere"),
        ("DELETE", "/metrics"),
        ("POST", acknowledge.as_str()),
        ("POST", "/-/reload"),
    ] {
        for header in [
            "",
            "authorization: Bearer wrong\r\n",
            "authorization: Basic s3cret\r\n",
        ] {
            let answer = site.ask(method, path, header, "").await;
            answer.problem(401, "unauthorized");
            assert_eq!(
                answer.header("www-authenticate"),
                Some("Bearer realm=\"ninewatch\"")
            );
        }
    }
    let token = "authorization: Bearer s3cret\r\n";
    assert_eq!(site.ask("GET", "/metrics", token, "").await.status, 200);
    assert_eq!(site.ask("GET", "/api/v1/alarms", token, "").await.status, 200);
    site.ask("GET", "/nowhere", token, "")
        .await
        .problem(404, "no-such-path");
    assert_eq!(site.get("/-/healthy").await.status, 200);
    site.get("/-/ready").await.problem(503, "unavailable");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_another_site_may_not_act() {
    let mut site = Site::open().await;
    let path = format!("/api/v1/alarms/{}/acknowledge", id(1));
    let foreign = "sec-fetch-site: cross-site\r\n";
    site.ask("POST", &path, foreign, "")
        .await
        .problem(403, "cross-site");
    assert!(site.operators.try_recv().is_err(), "it reached the gateway");
    // A link in a message opens all the same.
    assert_eq!(site.ask("GET", "/api/v1/alarms", foreign, "").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_and_idle_clients_are_cut_off_and_others_get_their_place() {
    let limits = Limits {
        header_wait: Duration::from_millis(100),
        connections: 2,
        ..Limits::default()
    };
    let site = Site::open_with(Auth::None, limits).await;
    let mut half = TcpStream::connect(site.address).await.unwrap();
    half.write_all(b"GET /-/healthy HTTP/1.1\r\nhost: te")
        .await
        .unwrap();
    let mut idle = TcpStream::connect(site.address).await.unwrap();
    idle.write_all(b"GET /-/healthy HTTP/1.1\r\nhost: test\r\n\r\n")
        .await
        .unwrap();
    // Both places are taken until the server closes one of them.
    assert_eq!(site.get("/-/healthy").await.status, 200);
    let mut rest = Vec::new();
    within("the close of the half request", half.read_to_end(&mut rest))
        .await
        .unwrap();
    assert!(!String::from_utf8(rest).unwrap().contains(" 200 "));
    let mut rest = Vec::new();
    within("the close of the idle connection", idle.read_to_end(&mut rest))
        .await
        .unwrap();
    assert!(String::from_utf8(rest).unwrap().starts_with("HTTP/1.1 200 "));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_finishes_the_request_under_way_and_frees_the_port() {
    let mut site = Site::open().await;
    site.store
        .commit(vec![step(1, 1, AlarmState::ActiveUnacknowledged, &[])])
        .await;
    let path = format!("/api/v1/alarms/{}/acknowledge", id(1));
    let gateway = async {
        let request = site.operators.recv().await.unwrap();
        site.stop.cancel();
        request.answer.send(Ok(None)).unwrap();
    };
    let (answer, ()) = tokio::join!(ask(site.address, "POST", &path, "", ""), gateway);
    assert_eq!(answer.status, 200);
    within("the end of web", site.tasks.join_next())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert!(TcpStream::connect(site.address).await.is_err());
}

#[tokio::test]
async fn a_port_in_use_is_one_clear_message() {
    let folder = tempfile::tempdir().unwrap();
    let store = TestStore::open(folder.path());
    let (sender, _operators) = mpsc::channel(1);
    let (reloads, _requests) = mpsc::channel(1);
    let senders = (sender.clone(), reloads.clone());
    let first = bind(&store, senders, Auth::None, Limits::default())
        .await
        .unwrap();
    let web = Web {
        settings: HttpSettings {
            max_series: 50_000,
            listen: first.local_addr(),
            auth: Auth::None,
        },
        reader: store.reader.clone(),
        work: store.work.clone(),
        links: store.links.clone(),
        operators: sender,
        reloads,
        directory: site::directory(),
        metrics: store.metrics.clone(),
        health: store.health.clone(),
        limits: Limits::default(),
    };
    let error = web.bind().await.unwrap_err().to_string();
    assert!(error.contains("the port is in use"), "{error}");
    assert!(error.contains(&first.local_addr().to_string()), "{error}");
}
