//! People are told through the next of their channels when one fails lastingly, and after their quiet hours.

use ninewatch::domain::directions::{Owed, Recipient};
use ninewatch::domain::officer::{Contact, Language};
use ninewatch::domain::time::Timestamp;
use tokio::net::TcpListener;

use super::*;

pub(super) fn person(officer: &str, next: &[&str]) -> Recipient {
    Recipient {
        officer: officer.to_owned(),
        name: officer.to_owned(),
        language: Language::Zh,
        contact: Contact::default(),
        next: next.iter().map(|target| (*target).to_owned()).collect(),
    }
}

/// Step `number` of an alarm of its own, owed to `target` for these people.
pub(super) fn raised_for(number: u64, target: &str, people: &[Recipient]) -> ninewatch::handoff::AlarmCommit {
    let mut commit = raised(number, number, &[target]);
    for owed in &mut commit.owed {
        owed.people = people.to_vec();
    }
    commit
}

pub(super) fn column(folder: &std::path::Path, query: &str) -> Vec<String> {
    let database = rusqlite::Connection::open(folder.join("ninewatch.db")).unwrap();
    let mut statement = database.prepare(query).unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.collect::<rusqlite::Result<_>>().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_that_takes_nothing_gives_its_people_to_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let store = TestStore::open(folder.path());
    // Nobody listens there any more.
    let gone = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let refusing = Sink::start(|_| Answer::Status(400)).await;
    let mut mail = Sink::start(|_| Answer::Status(200)).await;
    let fast = TargetSettings {
        fall_over: Duration::ZERO,
        ..target("chat", gone)
    };
    let running = Running::start(
        &store,
        vec![
            fast,
            target("second", refusing.address),
            target("mail", mail.address),
        ],
    );
    let wang = person("wang", &["second", "mail"]);
    store
        .commit(vec![raised_for(1, "chat", &[wang, person("li", &[])])])
        .await;
    let got = mail.next().await;
    assert_eq!(got.number(), 1);
    let notice = id(1_000_001).to_string();
    assert!(
        got.header("webhook-id").starts_with(&format!("{notice}-")),
        "{got:?}"
    );
    assert_eq!(got.member("/to/0/officer"), "wang");
    let link = got.member("/ack_link");
    assert!(
        link.as_str().is_some_and(|link| link.ends_with("?o=wang")),
        "{got:?}"
    );
    all_delivered(&store, "mail").await;
    all_delivered(&store, "second").await;
    assert_eq!(
        store.reader.pending_count("chat").await.unwrap(),
        1,
        "li has no other channel"
    );
    assert_eq!(store.metrics.notices_pending("chat").get(), 1);
    assert_eq!(store.metrics.notices_pending("second").get(), 0);
    running.stop().await;
    let results = "SELECT target || ' ' || ifnull(result, 'waits') || ' ' || json_extract(people, '$[0].officer') FROM outbox ORDER BY row";
    assert_eq!(
        column(folder.path(), results),
        ["chat waits li", "second moved wang", "mail delivered wang"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_the_end_of_quiet_hours_comes_then_and_holds_nothing_up() {
    let folder = tempfile::tempdir().unwrap();
    let store = TestStore::open(folder.path());
    let mut sink = Sink::start(|_| Answer::Status(200)).await;
    let mut quiet = raised(1, 1, &["duty"]);
    let until = Timestamp(wall().0 + 1_500);
    quiet.owed = vec![Owed {
        everyone: false,
        not_before: Some(until),
        ..Owed::direct("duty")
    }];
    store.commit(vec![quiet]).await;
    // It waits across a restart too.
    let running = Running::start(&store, vec![target("duty", sink.address)]);
    running.stop().await;
    let running = Running::start(&store, vec![target("duty", sink.address)]);
    store.commit(vec![raised(2, 2, &["duty"])]).await;
    assert_eq!(sink.next().await.number(), 2);
    assert_eq!(sink.next().await.number(), 1);
    assert!(wall() >= until, "before its time");
    all_delivered(&store, "duty").await;
    running.stop().await;
    assert_eq!(store.metrics.notices_pending("duty").get(), 0);
    assert!(sink.got.try_recv().is_err(), "something came twice");
}

/// So many notices of a target are in memory at a time; it holds as many critical ones besides.
const WINDOW: u64 = 1_024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_held_is_released_however_much_waits_for_the_target() {
    let folder = tempfile::tempdir().unwrap();
    let store = TestStore::open(folder.path());
    let mut sink = Sink::start(|_| Answer::Hang).await;
    let backlog = (1..=WINDOW + 100).map(|number| raised(number, number, &["duty"]));
    let mut quiet = raised(5_000, 5_000, &["duty"]);
    quiet.owed = vec![Owed {
        everyone: false,
        not_before: Some(Timestamp(wall().0 + 1_000)),
        ..Owed::direct("duty")
    }];
    store.commit(backlog.collect()).await;
    let running = Running::start(&store, vec![target("duty", sink.address)]);
    for _ in 0..8 {
        sink.next().await;
    }
    store.commit(vec![quiet]).await;
    let released = async {
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        while store.reader.next_held("duty", true).await.unwrap().is_some() {
            tick.tick().await;
        }
    };
    within("its release", released).await;
    assert_eq!(store.metrics.deliveries("duty", "delivered").get(), 0);
    running.stop().await;
}

/// How many are released at a time.
const SLICE: u64 = 256;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_nights_notices_are_released_in_slices_and_arrive_in_order() {
    const NIGHT: u64 = 1_000;
    let folder = tempfile::tempdir().unwrap();
    let store = TestStore::open(folder.path());
    let until = Timestamp(wall().0 + 500);
    let quiet = |number: u64| {
        // Two of each alarm, in different slices.
        let mut quiet = raised(number, number % (NIGHT / 2), &["duty"]);
        quiet.owed = vec![Owed {
            everyone: false,
            not_before: Some(until),
            ..Owed::direct("duty")
        }];
        quiet
    };
    store.commit((1..=NIGHT).map(quiet).collect()).await;
    let held = || {
        let count = column(
            folder.path(),
            "SELECT CAST(count(*) AS TEXT) FROM outbox WHERE held = 1",
        );
        count.first().unwrap().parse::<u64>().unwrap()
    };
    let before = held();
    assert!(before >= NIGHT / 2, "{before}");
    let mut committed = store.committed.clone();
    let first = async {
        while held() == before {
            store.work.send(release("duty")).await.unwrap();
            let patience = Duration::from_millis(50);
            let _nothing_was_due = tokio::time::timeout(patience, committed.changed()).await;
        }
    };
    within("the first slice", first).await;
    let left = held();
    assert_eq!((before - left) % SLICE, 0, "{before} before, {left} left");
    let mut sink = Sink::start(|_| Answer::Status(200)).await;
    let running = Running::start(&store, vec![target("duty", sink.address)]);
    let mut newest = std::collections::HashMap::new();
    for _ in 0..before {
        let got = sink.next().await;
        let earlier = newest.insert(got.alarm(), got.number());
        assert!(earlier.is_none_or(|earlier| earlier < got.number()), "{got:?}");
    }
    all_delivered(&store, "duty").await;
    running.stop().await;
    assert!(sink.got.try_recv().is_err(), "something came twice");
}
