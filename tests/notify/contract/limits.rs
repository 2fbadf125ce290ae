//! Servers that count bytes as the robots' services do, and long Chinese names: nothing is ever too large, alone, as a digest,
//! or with everybody on duty.

use std::sync::atomic::{AtomicUsize, Ordering};

use ninewatch::domain::directions::Recipient;
use ninewatch::domain::officer::Contact;
use serde_json::{Value, json};

use super::super::people::person;
use super::*;

/// The most bytes of WeCom's `markdown.content` and `text.content`.
const WECOM: (usize, usize) = (4_096, 2_048);

/// The most bytes of a whole body.
const DINGTALK: usize = 20_000;

/// Likewise.
const FEISHU: usize = 20 * 1_024;

/// How full `body` is in percent of what the service takes.
fn fullness(service: Service, body: &str) -> usize {
    let sent: Value = serde_json::from_str(body).unwrap();
    let content = |pointer: &str| sent.pointer(pointer)?.as_str().map(str::len);
    let (bytes, most) = match (service, content("/text/content"), content("/markdown/content")) {
        (Service::Wecom, Some(text), _) => (text, WECOM.1),
        (Service::Wecom, _, markdown) => (markdown.unwrap(), WECOM.0),
        (Service::Dingtalk, ..) => (body.len(), DINGTALK),
        (Service::Feishu, ..) => (body.len(), FEISHU),
    };
    if bytes > most { 101 } else { bytes * 100 / most }
}

const fn too_large(service: Service) -> &'static str {
    match service {
        Service::Wecom => r#"{"errcode":40058,"errmsg":"content exceed max length"}"#,
        Service::Dingtalk => r#"{"errcode":460101,"errmsg":"message too long, exceed 20000 bytes"}"#,
        Service::Feishu => r#"{"code":19036,"msg":"body too large"}"#,
    }
}

/// A critical alarm with names as long as nobody should write them, for these people.
pub(super) fn long(number: u64, people: &[Recipient]) -> ninewatch::handoff::AlarmCommit {
    let mut commit = raised(number, number, &["group"]);
    commit.body = json!({
        "id": commit.event.id, "type": "alarm.raised", "at": commit.event.at.to_rfc3339(), "gateway": "g", "level": 1,
        "alarm": {
            "id": commit.event.alarm.id, "class": "alarm", "priority": "critical", "state": "active_unacknowledged",
            "title": {"zh": format!("燃气浓度\"高报\"{}", "报".repeat(100))},
            "venue": {"name": format!("{number}{}", "老灶火锅".repeat(100)), "address": "示例路\\九号".repeat(100)},
            "device": {"id": "g1", "name": "厨房\"探测器\"".repeat(200)},
            "values": {"lel": 53.2},
        },
    })
    .to_string();
    for owed in &mut commit.owed {
        owed.people = people.to_vec();
    }
    commit
}

/// So many officers, whom each service knows, or none.
pub(super) fn officers(count: usize, known: bool) -> Vec<Recipient> {
    let officer = |number: usize| {
        let mut person = person(&format!("o{number}"), &[]);
        person.name = format!("值班员{number}{}", "欧阳".repeat(30));
        if known {
            let id = |prefix: &str| Some(format!("{prefix}{number}{}", "x".repeat(50)));
            person.contact = Contact {
                mobile: Some(format!("{}", 13_800_000_000_u64 + number as u64)),
                email: None,
                // WeCom calls by number, in the shorter form.
                wecom: None,
                dingtalk: id("d"),
                feishu: id("ou_"),
            };
        }
        person
    };
    (0..count).map(officer).collect()
}

async fn nothing_is_too_large(service: Service) {
    let folder = tempfile::tempdir().unwrap();
    let store = TestStore::open(folder.path());
    let fullest = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&fullest);
    let server = Server::start(Speech::Plain, move |body| {
        let full = fullness(service, body);
        seen.fetch_max(full, Ordering::SeqCst);
        let answer = if full > 100 { too_large(service) } else { TAKEN };
        (200, answer.to_owned())
    })
    .await;
    let settings = of_kind("group", robot(service), server.url("127.0.0.1"));
    let running = Running::start(&store, vec![settings]);
    let mut number = 0;
    for (alarms, people) in [
        (1, Vec::new()),
        (300, Vec::new()),
        (1, officers(200, true)),
        (300, officers(200, true)),
        (300, officers(200, false)),
    ] {
        let first = number;
        number += alarms;
        store
            .commit((first..number).map(|number| long(number, &people)).collect())
            .await;
        all_delivered(&store, "group").await;
    }
    running.stop().await;
    let fullest = fullest.load(Ordering::SeqCst);
    assert!((50..=100).contains(&fullest), "{service:?}: {fullest} %");
    assert_eq!(errors(folder.path()), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wecom_counts_bytes_and_never_has_to_refuse() {
    nothing_is_too_large(Service::Wecom).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dingtalk_counts_bytes_and_never_has_to_refuse() {
    nothing_is_too_large(Service::Dingtalk).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn feishu_counts_bytes_and_never_has_to_refuse() {
    nothing_is_too_large(Service::Feishu).await;
}
