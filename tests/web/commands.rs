//! Commands over HTTP: how one reaches the gateway, what is answered, what is refused, and how they are listed. The test
//! plays the gateway.

use ninewatch::domain::alarm::Operator;
use ninewatch::domain::device::DeviceKey;
use ninewatch::domain::engine::Refusal;
use ninewatch::domain::interlock::{Cause, CommandStep, Failure};
use ninewatch::domain::journal::CommandInput;
use ninewatch::handoff::{CommandCommit, OperatorAct, Outcome};
use serde_json::{Value, json};

use super::outward::{id, ordered};
use super::site::{Answer, Site, ask};

const PATH: &str = "/api/v1/devices/g1/commands";
const BODY: &str = r#"{"command":"close","by":"王强","note":"smell of gas"}"#;

fn wang() -> Operator {
    Operator {
        by: "王强".to_owned(),
        note: Some("smell of gas".to_owned()),
    }
}

/// Posts `body` to `path`; the gateway commits `commits` and answers with `outcome`.
async fn command(
    site: &mut Site,
    (path, body): (&str, &str),
    commits: Vec<CommandCommit>,
    outcome: Outcome,
) -> (Answer, CommandInput) {
    let length = body.len();
    let headers = format!("content-type: application/json\r\ncontent-length: {length}\r\n");
    let (operators, store) = (&mut site.operators, &site.store);
    let gateway = async {
        let request = operators.recv().await.unwrap();
        let OperatorAct::Command(input) = request.act else {
            panic!("{:?}", request.act);
        };
        store.commit_all(Vec::new(), commits).await;
        request.answer.send(outcome).unwrap();
        input
    };
    tokio::join!(ask(site.address, "POST", path, &headers, body), gateway)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_is_answered_with_its_order_once_that_is_durable() {
    let mut site = Site::open().await;
    let commit = ordered(5, "g1", (CommandStep::Requested, Cause::Operator(wang())), &[]);
    let (answer, input) = command(&mut site, (PATH, BODY), vec![commit], Ok(Some(id(5)))).await;
    let expected = CommandInput {
        device: DeviceKey {
            venue: "v1".to_owned(),
            kind: "gas_detector".to_owned(),
            device: "g1".to_owned(),
        },
        command: "close".to_owned(),
        remote_open: false,
        operator: wang(),
    };
    assert_eq!(input, expected);
    assert_eq!(answer.status, 202, "{answer:?}");
    let location = format!("/api/v1/commands/{}", id(5));
    assert_eq!(answer.header("location"), Some(location.as_str()));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let order = answer.json();
    assert_eq!(
        (&order["id"], &order["command"], &order["state"]),
        (&json!(id(5)), &json!("close"), &json!("requested"))
    );
    assert_eq!(order["causes"], json!([{ "by": "王强", "note": "smell of gas" }]));
    let read = site.get(&location).await;
    assert_eq!((read.status, read.json()), (200, order));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_refusal_has_its_status() {
    let mut site = Site::open().await;
    let unknown = Refusal::NoSuchCommand {
        kind: "gas_detector".to_owned(),
        command: "close".to_owned(),
    };
    let busy = Refusal::Busy {
        command: "open".to_owned(),
    };
    for (refusal, status, kind, said) in [
        (Refusal::NoSuchDevice, 404, "no-such-device", "no device"),
        (
            unknown,
            422,
            "unknown-command",
            "`gas_detector` know no command `close`",
        ),
        (Refusal::OpeningRefused, 403, "opening-refused", "remote_open"),
        (Refusal::Interlocked, 409, "interlocked", "an alarm"),
        (Refusal::Retired, 409, "retired", "out of use"),
        (Refusal::Unheard, 409, "unheard", "cannot be heard"),
        (busy, 409, "busy", "`open` is under way"),
    ] {
        let (answer, _) = command(&mut site, (PATH, BODY), Vec::new(), Err(refusal)).await;
        let detail = answer.problem(status, kind);
        assert!(detail.contains(said), "{detail}");
        assert_eq!(answer.header("location"), None);
    }
    let busy = Refusal::Busy {
        command: "open".to_owned(),
    };
    let (answer, _) = command(&mut site, (PATH, BODY), Vec::new(), Err(busy)).await;
    assert_eq!(answer.json()["command"], "open");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_command_does_not_reach_the_gateway() {
    let mut site = Site::open().await;
    for (body, said) in [
        ("", "a JSON body is needed"),
        (r#"{"by":"a","note":"b"}"#, "missing field `command`"),
        (r#"{"command":"close","note":"b"}"#, "missing field `by`"),
        (r#"{"command":"close","by":"a"}"#, "missing field `note`"),
        (
            r#"{"command":"close","by":" ","note":"b"}"#,
            "by must not be empty",
        ),
        (
            r#"{"command":"close","by":"a","note":""}"#,
            "note must not be empty",
        ),
        (
            r#"{"command":"","by":"a","note":"b"}"#,
            "command must not be empty",
        ),
        (
            r#"{"command":"close","by":"a","note":"b","remote_open":true}"#,
            "unknown field `remote_open`",
        ),
    ] {
        let detail = site.post(PATH, body).await.problem(400, "bad-body");
        assert!(detail.contains(said), "{body}: {detail}");
    }
    let nobody = site.post("/api/v1/devices/g7/commands", BODY).await;
    nobody.problem(404, "no-such-device");
    let elsewhere = site.post(&format!("{PATH}?venue=v2"), BODY).await;
    elsewhere.problem(404, "no-such-device");
    site.post(&format!("{PATH}?room=2"), BODY)
        .await
        .problem(400, "bad-query");
    site.post("/api/v1/devices/%FF/commands", BODY)
        .await
        .problem(400, "bad-path");
    let wrong = site.get(PATH).await;
    wrong.problem(405, "method-not-allowed");
    assert!(
        site.operators.try_recv().is_err(),
        "a bad request reached the gateway"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_are_listed_by_state_device_and_page_and_shown_with_their_device() {
    let site = Site::open().await;
    let empty = site.get("/api/v1/commands").await;
    assert_eq!(empty.json(), json!({ "items": [], "next": null }));
    let step = |order, device, step| ordered(order, device, (step, Cause::Exercise), &[]);
    let commits = vec![
        step(1, "g1", CommandStep::Requested),
        step(2, "g9", CommandStep::Requested),
        step(3, "g1", CommandStep::Failed(Failure::NotSent)),
        step(4, "g1", CommandStep::Superseded),
        step(1, "g1", CommandStep::Verified),
    ];
    site.store.commit_all(Vec::new(), commits).await;
    let ids = |list: &Value| -> Vec<Value> {
        let items = list.as_array().unwrap();
        items.iter().map(|item| item["id"].clone()).collect()
    };
    let expected = |numbers: &[u64]| -> Vec<Value> { numbers.iter().map(|n| json!(id(*n))).collect() };
    for (query, orders) in [
        ("", &[4, 3, 2, 1][..]),
        ("?state=all", &[4, 3, 2, 1]),
        ("?state=open", &[2]),
        ("?state=verified", &[1]),
        ("?state=failed", &[3]),
        ("?state=superseded", &[4]),
        ("?device=g1", &[4, 3, 1]),
        ("?device=g1&state=open", &[]),
        ("?device=g1&venue=v1&kind=gas_detector&state=failed", &[3]),
        ("?venue=v2", &[]),
    ] {
        let list = site.get(&format!("/api/v1/commands{query}")).await.json();
        assert_eq!(ids(&list["items"]), expected(orders), "{query}");
        assert_eq!(list["next"], Value::Null, "{query}");
    }
    let first = site.get("/api/v1/commands?limit=3").await.json();
    assert_eq!(
        (ids(&first["items"]), &first["next"]),
        (expected(&[4, 3, 2]), &json!(id(2)))
    );
    let rest = site
        .get(&format!("/api/v1/commands?limit=3&after={}", id(2)))
        .await;
    assert_eq!(ids(&rest.json()["items"]), expected(&[1]));
    for query in ["state=ended", "limit=0", "after=1", "devic=g1"] {
        let answer = site.get(&format!("/api/v1/commands?{query}")).await;
        assert!(!answer.problem(400, "bad-query").is_empty(), "{query}");
    }
    let failed = site.get(&format!("/api/v1/commands/{}", id(3))).await.json();
    assert_eq!(
        (&failed["state"], &failed["reason"]),
        (&json!("failed"), &json!("not_sent"))
    );
    let none = site.get(&format!("/api/v1/commands/{}", id(99))).await;
    none.problem(404, "no-such-command");
    let nonsense = site.get("/api/v1/commands/nonsense").await;
    nonsense.problem(404, "no-such-command");

    let many = (10..30).map(|order| step(order, "g9", CommandStep::Verified));
    site.store.commit_all(Vec::new(), many.collect()).await;
    let device = site.get("/api/v1/devices/g1").await.json();
    assert_eq!(ids(&device["commands"]), expected(&[4, 3, 1]));
    assert_eq!(device["commands"][2]["state"], "verified");
    let busy = site.get("/api/v1/devices/g9").await.json();
    assert_eq!(
        ids(&busy["commands"]),
        expected(&[29, 28, 27, 26, 25, 24, 23, 22, 21, 20])
    );
    let list = site.get("/api/v1/devices").await.json();
    assert_eq!(list["items"][0].get("commands"), None, "only with one device");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_stands_among_the_events() {
    let site = Site::open().await;
    let commit = ordered(5, "g1", (CommandStep::Requested, Cause::Operator(wang())), &[]);
    site.store.commit_all(Vec::new(), vec![commit]).await;
    let events = site.get("/api/v1/events").await.json();
    let event = &events["items"][0]["event"];
    assert_eq!(event["type"], "command.requested");
    assert_eq!(
        (&event["by"], &event["command"]["id"]),
        (&json!("王强"), &json!(id(5)))
    );
}
