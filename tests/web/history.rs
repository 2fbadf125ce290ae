//! Devices, venues and the past of a device over HTTP.

use ninewatch::clock::wall;
use ninewatch::domain::device::{DeviceIndex, DeviceKey};
use ninewatch::domain::history::{HistoryPoint, PointNumber, Sample, Samples};
use ninewatch::domain::kind::ValueType;
use ninewatch::domain::time::Timestamp;
use ninewatch::handoff::{Answer as Told, Batch, SeenDevice, Work};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::outward::within;
use super::site::Site;

const MINUTE: i64 = 60_000;

fn point(number: u16, kind: &str, point: &str, value: ValueType) -> HistoryPoint {
    HistoryPoint {
        number: PointNumber(number),
        kind: kind.to_owned(),
        point: point.to_owned(),
        value,
    }
}

/// g1 and g2 in v1, and another g2 in v2; the samples of g1 begin at `start`.
fn recorded(start: i64) -> Batch {
    let number = ValueType::Number {
        unit: "%LEL".to_owned(),
        min: 0.0,
        max: 100.0,
    };
    let words = ValueType::Enum {
        values: vec!["normal".to_owned(), "fault".to_owned()],
    };
    let devices = [("v1", "g1"), ("v1", "g2"), ("v2", "g2")];
    let seen = (0_u32..)
        .zip(devices)
        .map(|(number, (venue, device))| SeenDevice {
            number: DeviceIndex(number),
            key: DeviceKey {
                venue: venue.to_owned(),
                kind: "gas_detector".to_owned(),
                device: device.to_owned(),
            },
            at: Timestamp(start),
        });
    let mut samples = Samples::default();
    for (device, point, minute, value) in [
        (0, 0, 0, 1.0),
        (0, 1, 0, 10.0),
        (0, 2, 0, 0.0),
        (0, 1, 5, 20.0),
        (1, 1, 6, 90.0),
        (0, 2, 7, 1.0),
        (0, 0, 15, 0.0),
    ] {
        let sample = Sample {
            device: DeviceIndex(device),
            point: PointNumber(point),
            at: Timestamp(start + minute * MINUTE),
            value,
        };
        samples.push(&sample).unwrap();
    }
    let kind = "gas_detector";
    Batch {
        seen: seen.collect(),
        points: vec![
            point(0, kind, "online", ValueType::Bool),
            point(1, kind, "lel", number),
            point(2, kind, "state", words),
            point(3, "valve", "position", ValueType::Bool),
        ],
        samples,
        ..Batch::default()
    }
}

async fn site(start: i64) -> Site {
    let site = Site::open().await;
    let (to, answered) = oneshot::channel();
    let batch = Batch {
        answers: vec![Told::Operator {
            to,
            outcome: Ok(None),
        }],
        ..recorded(start)
    };
    site.store.work.send(Work::Batch(Box::new(batch))).await.unwrap();
    within("commit", answered).await.unwrap().unwrap();
    site
}

fn at(start: i64, minute: i64) -> String {
    Timestamp(start + minute * MINUTE).to_rfc3339()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn devices_and_venues_are_told_of_with_their_newest_values() {
    let start = wall().0 - 30 * MINUTE;
    let site = site(start).await;
    let all = site.get("/api/v1/devices").await.json();
    let ids = |list: &Value| -> Vec<(String, String, bool, bool)> {
        let items = list["items"].as_array().unwrap().iter();
        items
            .map(|item| {
                let text = |name: &str| item[name].as_str().unwrap().to_owned();
                (
                    text("venue"),
                    text("id"),
                    item["registered"] == true,
                    !item["first_seen"].is_null(),
                )
            })
            .collect()
    };
    let line = |venue: &str, id: &str, registered, seen| (venue.to_owned(), id.to_owned(), registered, seen);
    let expected = [
        line("v1", "g1", true, true),
        line("v1", "g2", false, true),
        line("v1", "g9", true, false),
        line("v2", "g2", false, true),
    ];
    assert_eq!(ids(&all), expected);
    assert_eq!(all["next"], Value::Null);
    // Page by page it is the same.
    let mut paged = Vec::new();
    let mut next = String::new();
    loop {
        let page = site.get(&format!("/api/v1/devices?limit=1{next}")).await.json();
        paged.extend(ids(&page));
        let Some(after) = page["next"].as_str() else { break };
        next = format!("&after={after}");
    }
    assert_eq!(paged, expected);
    assert_eq!(
        ids(&site.get("/api/v1/devices?venue=v2").await.json()),
        expected[3..]
    );
    assert_eq!(ids(&site.get("/api/v1/devices?kind=valve").await.json()), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_device_and_the_venues_are_told_of() {
    let start = wall().0 - 30 * MINUTE;
    let site = site(start).await;
    let one = site.get("/api/v1/devices/g1").await.json();
    assert_eq!(
        one,
        json!({
            "id": "g1", "venue": "v1", "kind": "gas_detector", "name": "厨房", "registered": true, "retired": false,
            "commands": [], "first_seen": at(start, 0), "online": false, "online_at": at(start, 15),
            "values": {
                "lel": {"value": 20.0, "at": at(start, 5)},
                "state": {"value": "fault", "at": at(start, 7)},
            },
            "commands": [],
        })
    );
    let unheard = site.get("/api/v1/devices/g9").await.json();
    assert_eq!(
        (&unheard["online"], &unheard["values"]),
        (&Value::Null, &json!({}))
    );

    let venues = site.get("/api/v1/venues").await.json();
    let found: Vec<_> = venues["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|venue| {
            (
                venue["id"].as_str().unwrap(),
                venue["registered"].as_bool().unwrap(),
                venue["devices_seen"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(found, [("v1", true, 2), ("v2", false, 1)]);
    let second = site.get("/api/v1/venues?limit=1&after=v1").await.json();
    assert_eq!(
        (&second["items"][0]["id"], &second["next"]),
        (&json!("v2"), &Value::Null)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_past_is_told_sample_by_sample() {
    let start = wall().0 - 30 * MINUTE;
    let site = site(start).await;
    let item =
        |point: &str, minute, value: Value| json!({"point": point, "at": at(start, minute), "value": value});
    let all = [
        item("online", 0, json!(true)),
        item("lel", 0, json!(10.0)),
        item("state", 0, json!("normal")),
        item("lel", 5, json!(20.0)),
        item("state", 7, json!("fault")),
        item("online", 15, json!(false)),
    ];
    let answer = site.get("/api/v1/devices/g1/history").await.json();
    assert_eq!(answer["items"], json!(all));
    assert_eq!(answer["next"], Value::Null);
    let two = site
        .get("/api/v1/devices/g1/history?point=lel&point=state")
        .await
        .json();
    assert_eq!(two["items"], json!(all[1..5]));
    let part = format!(
        "/api/v1/devices/g1/history?from={}&to={}",
        at(start, 5),
        start + 7 * MINUTE
    );
    assert_eq!(
        site.get(&part).await.json()["items"],
        json!(all[3..4]),
        "from counts, to does not"
    );
    // Page by page: an instant is not torn apart, nothing is told twice.
    let mut paged = Vec::new();
    let mut from = at(start, 0);
    loop {
        let page = site
            .get(&format!("/api/v1/devices/g1/history?limit=2&from={from}"))
            .await
            .json();
        paged.extend(page["items"].as_array().unwrap().clone());
        let Some(next) = page["next"].as_str() else { break };
        next.clone_into(&mut from);
    }
    assert_eq!(paged, all);
    let unheard = site.get("/api/v1/devices/g9/history").await.json();
    assert_eq!(unheard["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_past_is_told_in_buckets() {
    let start = wall().0 - 60 * MINUTE;
    let site = site(start).await;
    let range = format!("from={}&to={}", start, start + 40 * MINUTE);
    let answer = site
        .get(&format!("/api/v1/devices/g1/history?point=lel&step=10m&{range}"))
        .await
        .json();
    let bucket = |minute, count, values: Option<(f64, f64, f64, f64)>| {
        let (min, max, avg, last) = values.map_or_else(
            || (Value::Null, Value::Null, Value::Null, Value::Null),
            |(min, max, avg, last)| (json!(min), json!(max), json!(avg), json!(last)),
        );
        json!({"point": "lel", "at": at(start, minute), "count": count, "min": min, "max": max, "avg": avg, "last": last})
    };
    // 20 %LEL hold for twice max_interval, then nothing is known.
    let expected = json!([
        bucket(0, 2, Some((10.0, 20.0, 15.0, 20.0))),
        bucket(10, 0, Some((20.0, 20.0, 20.0, 20.0))),
        bucket(20, 0, Some((20.0, 20.0, 20.0, 20.0))),
        bucket(30, 0, None),
    ]);
    assert_eq!(answer["items"], expected);
    assert_eq!(answer["step_ms"], 600_000);
    let same = site
        .get(&format!("/api/v1/devices/g1/history?point=lel&buckets=4&{range}"))
        .await
        .json();
    assert_eq!(same["items"], expected);
    let all = site
        .get(&format!("/api/v1/devices/g1/history?buckets=2&{range}"))
        .await
        .json();
    assert_eq!(all["items"].as_array().unwrap().len(), 6);
    assert_eq!(
        all["items"][4],
        json!({"point": "state", "at": at(start, 0), "count": 2, "last": "fault"}),
        "words have no average"
    );
    assert_eq!(
        all["items"][0]["avg"], 0.75,
        "online for three quarters of the time"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_answered_is_a_problem_that_helps() {
    let site = site(wall().0 - MINUTE).await;
    for path in ["/api/v1/devices/g2", "/api/v1/devices/g2/history"] {
        let answer = site.get(path).await;
        let detail = answer.problem(409, "ambiguous-device");
        assert!(detail.contains("venue and kind"), "{detail}");
        assert_eq!(
            answer.json()["devices"],
            json!([{"venue": "v1", "kind": "gas_detector"}, {"venue": "v2", "kind": "gas_detector"}])
        );
        assert_eq!(site.get(&format!("{path}?venue=v2")).await.status, 200);
        assert_eq!(
            site.get(&format!("{path}?venue=v2&kind=gas_detector"))
                .await
                .status,
            200
        );
        site.get(&format!("{path}?venue=v3"))
            .await
            .problem(404, "no-such-device");
    }
    for (query, said) in [
        ("point=lle", "it has lel, online, state"),
        ("from=2026-01-01", "RFC 3339"),
        ("pont=lel", "no parameter `pont`"),
        ("step=1s", "86400 buckets"),
    ] {
        let answer = site.get(&format!("/api/v1/devices/g1/history?{query}")).await;
        let detail = answer.problem(400, "bad-query");
        assert!(detail.contains(said), "{query}: {detail}");
    }
    site.get("/api/v1/devices?after=x")
        .await
        .problem(400, "bad-query");
    site.get("/api/v1/devices?limit=0")
        .await
        .problem(400, "bad-query");
    site.ask("POST", "/api/v1/devices/g1/history", "content-length: 0\r\n", "")
        .await
        .problem(405, "method-not-allowed");
}
