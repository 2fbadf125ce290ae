//! What operators ask for over HTTP: how each request reaches the gateway, what is refused, and one alarm from its
//! raise to its closing through the engine itself.

use std::sync::Arc;

use ninewatch::domain::alarm::Verdict;
use ninewatch::domain::definitions::{DefinitionSource, Definitions};
use ninewatch::domain::device::{DeviceIndex, DeviceKey};
use ninewatch::domain::engine::{Effects, Engine, Refusal};
use ninewatch::domain::journal::{DefinitionsInput, Input, OperatorAction, ServiceAction};
use ninewatch::domain::kind::{Keep, Kind, PointDef, PointIndex, ValueType};
use ninewatch::domain::notice::{AlarmBody, EventBody};
use ninewatch::domain::reading::{Arrival, Reading, ReadingKind};
use ninewatch::domain::registry::Registry;
use ninewatch::domain::rule::RuleDef;
use ninewatch::domain::text::Text;
use ninewatch::domain::time::{Millis, Moment, Ticks, Timestamp};
use ninewatch::handoff::{AlarmCommit, OperatorAct};
use serde_json::{Value, json};

use super::outward::id;
use super::site::{Answer, Site};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_act_reaches_the_gateway_as_it_was_asked_for() {
    let mut site = Site::open().await;
    let cases = [
        (
            "shelve",
            r#"{"for":"2h","by":"Wang","note":"steam"}"#,
            OperatorAction::Shelve(Millis(7_200_000)),
        ),
        ("unshelve", "{}", OperatorAction::Unshelve),
        (
            "verdict",
            r#"{"verdict":"drill"}"#,
            OperatorAction::Verdict(Verdict::Drill),
        ),
        ("close", r#"{"by":"Wang"}"#, OperatorAction::Close),
    ];
    for (word, body, expected) in cases {
        let path = format!("/api/v1/alarms/{}/{word}", id(1));
        let gateway = async {
            let request = site.operators.recv().await.unwrap();
            let OperatorAct::Alarm(input) = request.act else {
                panic!("{:?}", request.act);
            };
            request.answer.send(Err(Refusal::NoSuchAlarm)).unwrap();
            input
        };
        let site = (site.address, "POST", path.as_str());
        let (answer, input) = tokio::join!(post(site, body), gateway);
        answer.problem(404, "no-such-alarm");
        assert_eq!((input.alarm, input.action), (id(1), expected), "{word}");
    }
    let device =
        r#"{"venue":"v1","kind":"gas_detector","device":"g1","for":"30d","by":"Wang","note":"new sensor"}"#;
    let back = r#"{"venue":"v1","kind":"gas_detector","device":"g1"}"#;
    for (word, body, expected) in [
        (
            "out-of-service",
            device,
            ServiceAction::Out(Millis(30 * 86_400_000)),
        ),
        ("in-service", back, ServiceAction::In),
    ] {
        let path = format!("/api/v1/devices/{word}");
        let gateway = async {
            let request = site.operators.recv().await.unwrap();
            let OperatorAct::Device(input) = request.act else {
                panic!("{:?}", request.act);
            };
            request.answer.send(Ok(None)).unwrap();
            input
        };
        let site = (site.address, "POST", path.as_str());
        let (answer, input) = tokio::join!(post(site, body), gateway);
        assert_eq!((answer.status, answer.body.as_str()), (204, ""), "{word}");
        assert_eq!((input.device, input.action), (key(), expected), "{word}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_an_act_is_said_and_does_not_reach_the_gateway() {
    let mut site = Site::open().await;
    let shelve = format!("/api/v1/alarms/{}/shelve", id(1));
    let verdict = format!("/api/v1/alarms/{}/verdict", id(1));
    let out = "/api/v1/devices/out-of-service";
    for (path, body, said) in [
        (shelve.as_str(), "", "a JSON body is needed"),
        (&shelve, r#"{"by":"a","note":"b"}"#, "missing field `for`"),
        (&shelve, r#"{"for":"1h","note":"b"}"#, "missing field `by`"),
        (&shelve, r#"{"for":"1h","by":"a"}"#, "missing field `note`"),
        (
            &shelve,
            r#"{"for":"1h","by":"a","note":" "}"#,
            "note must not be empty",
        ),
        (&shelve, r#"{"for":"59s","by":"a","note":"b"}"#, "from 1m to 7d"),
        (&shelve, r#"{"for":"8d","by":"a","note":"b"}"#, "from 1m to 7d"),
        (
            &shelve,
            r#"{"for":"two hours","by":"a","note":"b"}"#,
            "from 1m to 7d",
        ),
        (&verdict, "{}", "missing field `verdict`"),
        (
            &verdict,
            r#"{"verdict":"maybe"}"#,
            "expected one of `real`, `false`, `test`, `drill`",
        ),
        (
            out,
            r#"{"venue":"v","kind":"k","device":"","for":"1h","by":"a","note":"b"}"#,
            "device must not be empty",
        ),
        (
            out,
            r#"{"venue":"v","kind":"k","device":"d","for":"31d","by":"a","note":"b"}"#,
            "from 1m to 30d",
        ),
        (
            "/api/v1/devices/in-service",
            r#"{"venue":"v"}"#,
            "missing field `kind`",
        ),
    ] {
        let answer = site.post(path, body).await;
        let detail = answer.problem(400, "bad-body");
        assert!(detail.contains(said), "{body}: {detail}");
    }
    site.get(out).await.problem(405, "method-not-allowed");
    site.ask("GET", &shelve, "", "")
        .await
        .problem(405, "method-not-allowed");
    assert!(
        site.operators.try_recv().is_err(),
        "a bad request reached the gateway"
    );
}

/// The engine with the store behind it, as the gateway has them.
struct Gateway {
    engine: Engine,
    now: Moment,
    registry: Registry,
}

impl Gateway {
    fn new() -> Gateway {
        let lel = PointDef {
            id: "lel".to_owned(),
            value: ValueType::Number {
                unit: "%LEL".to_owned(),
                min: 0.0,
                max: 100.0,
            },
            default: None,
            stale_after: None,
            keep: Keep::default(),
            title: Text::default(),
        };
        let kind = Kind::new("gas_detector".to_owned(), Text::default(), vec![lel]);
        let source = DefinitionSource {
            kinds: vec![kind],
            rules: vec![RuleDef {
                latch: true,
                ..RuleDef::new("gas-high", "gas_detector", "lel >= 50.0")
            }],
            ..DefinitionSource::default()
        };
        let (_, hash) = source.stored().unwrap();
        let definitions = Arc::new(Definitions::compile(source).unwrap());
        let mut gateway = Gateway {
            engine: Engine::new("test-01"),
            now: Moment {
                wall: Timestamp(1_767_225_600_000),
                ticks: Ticks(0),
            },
            registry: Registry::default(),
        };
        gateway
            .take(&Input::Definitions(DefinitionsInput {
                hash,
                definitions: &definitions,
            }))
            .unwrap();
        gateway.take(&Input::Device(&key())).unwrap();
        gateway
    }

    /// What an input causes, ready for the store.
    fn take(&mut self, input: &Input<'_>) -> Result<Vec<AlarmCommit>, Refusal> {
        let mut effects = Effects::default();
        self.engine.handle(input, self.now, &mut effects)?;
        let commits = effects.alarms.into_iter().map(|event| {
            let body = AlarmBody::new(&event.alarm, &self.registry);
            let alarm = serde_json::to_string(&body).unwrap();
            let event_body = EventBody::new(&event, &body, "test-01", "http://localhost");
            let body = serde_json::to_string(&event_body).unwrap();
            AlarmCommit {
                event,
                alarm,
                body,
                owed: Vec::new(),
            }
        });
        Ok(commits.collect())
    }

    fn read(&mut self, lel: f64) -> Vec<AlarmCommit> {
        let reading = Reading {
            device: DeviceIndex(0),
            seq: None,
            device_at: None,
            kind: ReadingKind::Live,
            arrival: Arrival::First,
            points: &[(PointIndex(1), lel)],
        };
        self.take(&Input::Reading(reading)).unwrap()
    }

    fn operate(&mut self, act: &OperatorAct) -> Result<Vec<AlarmCommit>, Refusal> {
        match act {
            OperatorAct::Alarm(input) => self.take(&Input::Operator(input)),
            OperatorAct::Device(input) => self.take(&Input::Service(input)),
            OperatorAct::Command(input) => self.take(&Input::Command(input)),
        }
    }
}

fn key() -> DeviceKey {
    DeviceKey {
        venue: "v1".to_owned(),
        kind: "gas_detector".to_owned(),
        device: "g1".to_owned(),
    }
}

async fn post((address, method, path): (std::net::SocketAddr, &str, &str), body: &str) -> Answer {
    let length = body.len();
    let headers = format!("content-type: application/json\r\ncontent-length: {length}\r\n");
    super::ask(address, method, path, &headers, body).await
}

/// Asks for `act` of the alarm or devices at `path` and lets the engine answer, after the commit.
async fn act(site: &mut Site, gateway: &mut Gateway, path: &str, body: &str) -> Answer {
    let target = (site.address, "POST", path);
    let (operators, store) = (&mut site.operators, &site.store);
    let answering = async {
        let request = operators.recv().await.unwrap();
        let outcome = gateway.operate(&request.act);
        let answer = outcome.as_ref().map(|_| None).map_err(Clone::clone);
        store.commit(outcome.unwrap_or_default()).await;
        request.answer.send(answer).unwrap();
    };
    tokio::join!(post(target, body), answering).0
}

/// The types of the events that are committed, in order.
async fn types(site: &Site) -> Vec<String> {
    let events = site.get("/api/v1/events").await.json();
    let events = events["items"].as_array().unwrap().clone();
    let type_of = |item: &Value| item["event"]["type"].as_str().unwrap().to_owned();
    events.iter().map(type_of).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alarm_is_shelved_and_its_device_taken_out_of_service() {
    let mut site = Site::open().await;
    let mut gateway = Gateway::new();
    let raised = gateway.read(60.0);
    let alarm = raised[0].event.alarm.id;
    site.store.commit(raised).await;
    let path = |word: &str| format!("/api/v1/alarms/{alarm}/{word}");
    let shown = site.get(&format!("/api/v1/alarms/{alarm}")).await.json();
    assert_eq!(shown["mask"], Value::Null);
    assert_eq!(shown["quality"], "good");
    assert_eq!(
        shown["handling"],
        json!({"state": "unverified", "verdict": null, "by": null, "at": null, "note": null})
    );

    let body = r#"{"for":"2h","by":"Wang","note":"steam"}"#;
    let shelved = act(&mut site, &mut gateway, &path("shelve"), body).await;
    assert_eq!(
        shelved.json()["mask"],
        json!({"kind": "shelved", "until": "2026-01-01T02:00:00.000Z", "by": "Wang", "note": "steam"})
    );
    let device = r#"{"venue":"v1","kind":"gas_detector","device":"g1","for":"1h","by":"Li","note":"vent"}"#;
    let out = "/api/v1/devices/out-of-service";
    assert_eq!(act(&mut site, &mut gateway, out, device).await.status, 204);
    let shown = site.get(&format!("/api/v1/alarms/{alarm}")).await.json();
    assert_eq!(shown["mask"]["kind"], "out_of_service");
    let device = r#"{"venue":"v1","kind":"gas_detector","device":"g1"}"#;
    let back = "/api/v1/devices/in-service";
    assert_eq!(act(&mut site, &mut gateway, back, device).await.status, 204);
    let again = act(&mut site, &mut gateway, back, device).await;
    again.problem(409, "in-service");
    let unknown = device.replace("g1", "g2");
    let unknown = act(&mut site, &mut gateway, back, &unknown).await;
    unknown.problem(404, "no-such-device");
    let unshelved = act(&mut site, &mut gateway, &path("unshelve"), "{}").await;
    assert_eq!(unshelved.json()["mask"], Value::Null);
    let again = act(&mut site, &mut gateway, &path("unshelve"), "{}").await;
    again.problem(409, "not-shelved");
    assert_eq!(
        types(&site).await,
        [
            "alarm.raised",
            "alarm.shelved",
            "alarm.out_of_service",
            "alarm.in_service",
            "alarm.unshelved",
            "alarm.raised",
        ]
    );
    let events = site.get("/api/v1/events").await.json();
    assert_eq!(events["items"][1]["event"]["by"], "Wang");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alarm_is_reset_verified_and_closed() {
    let mut site = Site::open().await;
    let mut gateway = Gateway::new();
    let raised = gateway.read(60.0);
    let alarm = raised[0].event.alarm.id;
    site.store.commit(raised).await;
    let path = |word: &str| format!("/api/v1/alarms/{alarm}/{word}");
    let early = act(&mut site, &mut gateway, &path("close"), "{}").await;
    early.problem(409, "not-ended");
    assert_eq!(early.json()["state"], "active_unacknowledged");
    let recovered = gateway.read(1.0);
    site.store.commit(recovered).await;
    gateway.now.ticks = Ticks(300_001);
    let silent = act(&mut site, &mut gateway, &path("reset"), "{}").await;
    silent.problem(409, "poor-quality");
    assert_eq!(silent.json()["quality"], "stale");
    gateway.read(1.0);
    let cleared = act(&mut site, &mut gateway, &path("reset"), "{}").await;
    assert_eq!(cleared.json()["state"], "cleared");
    let early = act(&mut site, &mut gateway, &path("close"), "{}").await;
    early.problem(409, "not-verified");
    let body = r#"{"verdict":"false","by":"Wang","note":"steam"}"#;
    let verified = act(&mut site, &mut gateway, &path("verdict"), body).await;
    let handling = verified.json()["handling"].clone();
    assert_eq!(
        (&handling["state"], &handling["verdict"], &handling["by"]),
        (&json!("handled"), &json!("false"), &json!("Wang"))
    );
    let closed = act(&mut site, &mut gateway, &path("close"), "{}").await;
    assert_eq!(closed.json()["handling"]["state"], "closed");
    assert_eq!(closed.json()["state"], "cleared");
    assert_eq!(
        types(&site).await,
        [
            "alarm.raised",
            "alarm.recovered",
            "alarm.cleared",
            "alarm.verified",
            "alarm.closed",
        ]
    );
}
