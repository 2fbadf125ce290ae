//! `/api/v1/deliveries`: what targets are owed, have got or gave away, and once more.

use ninewatch::domain::alarm::AlarmState;
use ninewatch::domain::directions::{Owed, Recipient};
use ninewatch::domain::officer::{Contact, Language};
use ninewatch::domain::time::Timestamp;
use ninewatch::handoff::outbox::{DeliveryOutcome, DeliveryReport, Moved, OutboxWork};
use ninewatch::handoff::{AlarmCommit, Work};
use serde_json::{Value, json};

use super::outward::{id, step};
use super::site::Site;

fn wang() -> Recipient {
    Recipient {
        officer: "wang".to_owned(),
        name: "王强".to_owned(),
        language: Language::Zh,
        contact: Contact {
            mobile: Some("13800001111".to_owned()),
            ..Contact::default()
        },
        next: Vec::new(),
    }
}

fn report(rows: &[i64], outcome: DeliveryOutcome, moved: Vec<Moved>) -> Work {
    Work::Outbox(OutboxWork::Delivery(DeliveryReport {
        message: id(77),
        target: "duty".to_owned(),
        notices: rows.to_vec(),
        at: ninewatch::clock::wall(),
        outcome,
        moved,
    }))
}

async fn shown(site: &Site, query: &str) -> Vec<Value> {
    let answer = site.get(&format!("/api/v1/deliveries{query}")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["items"].as_array().unwrap().clone()
}

async fn ids(site: &Site, query: &str) -> Vec<i64> {
    let ids = shown(site, query).await;
    ids.iter().map(|item| item["id"].as_i64().unwrap()).collect()
}

/// Rows 1 to 5: delivered, failed once, held, moved, and the one it moved to.
async fn site() -> Site {
    let site = Site::open().await;
    let raised = |number| step(number, number, AlarmState::ActiveUnacknowledged, &["duty"]);
    let mut held = raised(3);
    held.owed = vec![Owed {
        everyone: false,
        not_before: Some(Timestamp(i64::MAX)),
        people: vec![wang()],
        ..Owed::direct("duty")
    }];
    site.store
        .commit(vec![raised(1), raised(2), held, raised(4)])
        .await;
    let failed = DeliveryOutcome::Retry {
        error: "the target answered HTTP 500".to_owned(),
        due_at: Timestamp(1_767_225_701_000),
        silent: false,
        refused: false,
    };
    let moved = Moved {
        notice: 4,
        to: vec![("mail".to_owned(), vec![wang()])],
        left: None,
    };
    for work in [
        report(&[1], DeliveryOutcome::Delivered, Vec::new()),
        report(&[2], failed, vec![moved]),
    ] {
        site.store.work.send(work).await.unwrap();
    }
    site.store.commit(Vec::new()).await;
    site
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deliveries_are_listed_newest_first_by_state_target_and_alarm() {
    let site = site().await;
    for (query, expected) in [
        ("", &[5, 4, 3, 2, 1][..]),
        ("?state=pending", &[5, 2]),
        ("?state=held", &[3]),
        ("?state=delivered", &[1]),
        ("?state=moved", &[4]),
        ("?target=mail", &[5]),
        ("?target=duty&state=pending", &[2]),
        ("?limit=2", &[5, 4]),
        ("?limit=2&after=4", &[3, 2]),
    ] {
        assert_eq!(ids(&site, query).await, expected, "{query}");
    }
    let alarm = format!("?about={}", id(4));
    let items = shown(&site, &alarm).await;
    let first = &items[0];
    assert_eq!(
        (&first["notice"], &first["type"], &first["target"], &first["to"]),
        (
            &json!(id(1_000_004)),
            &json!("alarm.raised"),
            &json!("mail"),
            &json!(["wang"])
        )
    );
    assert_eq!(items[1]["state"], "moved");
    let failed = &shown(&site, "?state=pending&target=duty").await[0];
    assert_eq!(
        (&failed["attempts"], &failed["last_error"], &failed["message"]),
        (&json!(1), &json!("the target answered HTTP 500"), &json!(id(77)))
    );
    assert_eq!(failed["due_at"], "2026-01-01T00:01:41.000Z");
    let all = site.get("/api/v1/deliveries").await.body;
    assert!(!all.contains("13800001111"), "a number nobody asked for: {all}");
    let problem = site.get("/api/v1/deliveries?about=x").await;
    problem.problem(400, "bad-query");
    site.get("/api/v1/deliveries?states=held")
        .await
        .problem(400, "bad-query");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notice_is_owed_once_more_to_its_target() {
    let site = site().await;
    let body = r#"{"by":"王强","note":"the phone was lost"}"#;
    let answer = site.post("/api/v1/deliveries/1/resend", body).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let twice = site.post("/api/v1/deliveries/1/resend", body).await;
    assert_eq!(twice.status, 202, "{twice:?}");
    let again = &shown(&site, "?state=pending&target=duty").await[0];
    assert_eq!(
        (&again["id"], &again["notice"], &again["attempts"]),
        (&json!(6), &json!(id(1_000_001)), &json!(0))
    );
    assert_eq!(site.store.metrics.notices_pending("duty").get(), 3);
    for path in ["99", "x"] {
        let answer = site
            .post(&format!("/api/v1/deliveries/{path}/resend"), body)
            .await;
        answer.problem(404, "no-such-delivery");
    }
    let gone = site.post("/api/v1/deliveries/5/resend", body).await;
    gone.problem(409, "no-such-target");
    let owing = site.store.reader.owing().await.unwrap();
    assert_eq!(owing, [("duty".to_owned(), 3), ("mail".to_owned(), 1)]);
    let nobody = site
        .post("/api/v1/deliveries/1/resend", r#"{"note":"why"}"#)
        .await;
    nobody.problem(400, "bad-body");
    assert_eq!(ids(&site, "").await.len(), 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_owed_and_tried_anyway_is_not_sent_twice() {
    let site = site().await;
    let body = r#"{"by":"王强","note":"the receiver is mended"}"#;
    let answer = site.post("/api/v1/deliveries/2/resend", body).await;
    let problem = answer.problem(409, "still-owed");
    assert!(problem.contains("2026-01-01T00:01:41.000Z"), "{problem}");
    assert_eq!(ids(&site, "").await, [5, 4, 3, 2, 1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_held_back_is_owed_at_once_and_once() {
    let site = site().await;
    let refused = DeliveryOutcome::Retry {
        error: "the target answered HTTP 400".to_owned(),
        due_at: Timestamp(1_767_225_701_000),
        silent: false,
        refused: true,
    };
    site.store
        .work
        .send(report(&[2], refused, Vec::new()))
        .await
        .unwrap();
    site.store.commit(Vec::new()).await;
    assert_eq!(ids(&site, "?state=refused").await, [2]);
    let body = r#"{"by":"王强","note":"the receiver is mended"}"#;
    let answer = site.post("/api/v1/deliveries/2/resend", body).await;
    answer.problem(409, "still-owed");
    let put_away = OutboxWork::PutAway {
        notices: vec![2],
        until: Timestamp(i64::MAX),
    };
    site.store.work.send(Work::Outbox(put_away)).await.unwrap();
    site.store.commit(Vec::new()).await;
    assert_eq!(ids(&site, "?state=refused").await, [2]);
    assert_eq!(ids(&site, "?state=held").await, [3]);
    for row in [2, 3] {
        let answer = site.post(&format!("/api/v1/deliveries/{row}/resend"), body).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        let answer = site.post(&format!("/api/v1/deliveries/{row}/resend"), body).await;
        answer.problem(404, "no-such-delivery");
    }
    assert_eq!(ids(&site, "").await, [7, 6, 5, 4, 1]);
    assert_eq!(ids(&site, "?state=pending").await, [7, 5]);
    let again = &shown(&site, "?state=refused").await[0];
    assert_eq!(
        (&again["id"], &again["attempts"], &again["last_error"]),
        (&json!(6), &json!(2), &json!("the target answered HTTP 400"))
    );
    assert_eq!(site.store.metrics.notices_pending("duty").get(), 2);
}

/// What happened to the third alarm, of this type, owed to these officers, and held or not.
fn told(number: u64, r#type: &str, people: &[&str], held: bool) -> AlarmCommit {
    let mut commit = step(number, 3, AlarmState::ActiveUnacknowledged, &[]);
    commit.body = commit.body.replace("alarm.raised", r#type);
    let person = |officer: &&str| Recipient {
        officer: (*officer).to_owned(),
        ..wang()
    };
    commit.owed = vec![Owed {
        not_before: held.then_some(Timestamp(i64::MAX)),
        people: people.iter().map(person).collect(),
        ..Owed::direct("duty")
    }];
    commit
}

/// Type, state and officers, oldest first.
async fn lines(site: &Site) -> Vec<String> {
    let line = |item: Value| format!("{} {} {}", item["type"], item["state"], item["to"]).replace('"', "");
    shown(site, "").await.into_iter().rev().map(line).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_held_goes_before_what_its_people_are_told_later_and_is_one_telling() {
    let site = Site::open().await;
    let held = |number, people: &[&str]| told(number, "alarm.escalated", people, true);
    let mut commits = vec![told(1, "alarm.raised", &["wang"], true)];
    commits.extend([
        held(2, &["wang"]),
        held(3, &["wang"]),
        held(4, &["li"]),
        held(5, &[]),
    ]);
    site.store.commit(commits).await;
    let waiting = [
        "alarm.raised held [wang]",
        "alarm.escalated held [wang]",
        "alarm.escalated held [li]",
        "alarm.escalated held []",
    ];
    assert_eq!(lines(&site).await, waiting, "a telling for each");
    assert_eq!(site.store.metrics.notices_pending("duty").get(), 4);
    let cleared = told(6, "alarm.cleared", &["zhao", "wang"], false);
    site.store.commit(vec![cleared]).await;
    assert_eq!(
        lines(&site).await,
        [
            "alarm.escalated held [li]",
            "alarm.escalated held []",
            "alarm.raised pending [wang]",
            "alarm.escalated pending [wang]",
            "alarm.cleared pending [zhao,wang]",
        ]
    );
    site.store
        .commit(vec![told(7, "alarm.cleared", &[], false)])
        .await;
    assert_eq!(ids(&site, "?state=held").await.len(), 1, "whoever reads it");
    assert_eq!(site.store.metrics.notices_pending("duty").get(), 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_moves_with_its_people_stays_for_whoever_else_reads_the_target() {
    let site = Site::open().await;
    let mut both = told(1, "alarm.raised", &["wang"], false);
    both.owed[0].everyone = true;
    site.store.commit(vec![both]).await;
    let moved = || Moved {
        notice: 1,
        to: vec![("mail".to_owned(), vec![wang()])],
        left: None,
    };
    for _ in 0..2 {
        let work = report(&[], DeliveryOutcome::Delivered, vec![moved()]);
        site.store.work.send(work).await.unwrap();
    }
    site.store.commit(Vec::new()).await;
    assert_eq!(
        lines(&site).await,
        [
            "alarm.raised moved [wang]",
            "alarm.raised pending []",
            "alarm.raised pending [wang]"
        ]
    );
    assert_eq!(ids(&site, "?target=duty&state=pending").await, [2]);
    assert_eq!(site.store.metrics.notices_pending("duty").get(), 1);
    assert_eq!(site.store.metrics.notices_pending("mail").get(), 1);
}
