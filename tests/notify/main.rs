//! Notices from a real outbox to a real HTTP sink: order, identity through retries, independence of targets,
//! restarts, no duplicates.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod alertmanager;
mod contract;
#[cfg(test)]
mod mail;
#[expect(dead_code, reason = "the tests of web use the rest")]
#[path = "../outward/mod.rs"]
mod outward;
mod people;
mod quota;
mod refused;
mod robots;
mod sink;
#[cfg(test)]
mod slow_mail;
#[cfg(test)]
mod smtp;
mod strangers;

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ninewatch::clock::wall;
use ninewatch::config::{NetworkSettings, Secret, TargetKind, TargetSettings};
use ninewatch::domain::alarm::AlarmState;
use ninewatch::domain::interlock::{Cause, CommandStep, Failure};
use ninewatch::handoff::Work;
use ninewatch::handoff::outbox::{DeliveryOutcome, DeliveryReport, OutboxWork};
use ninewatch::notify::{Notify, NotifyError};
use ninewatch::words::InForce;
use outward::{TestStore, id, ordered, step, within};
use sink::{Answer, Sink};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const KEY: &str = "a key of the test's own";

fn target(name: &str, address: SocketAddr) -> TargetSettings {
    TargetSettings {
        name: name.to_owned(),
        kind: TargetKind::Webhook,
        url: Secret::new(format!("http://{address}/hook/private-path")),
        secret: Some(Secret::new(KEY.to_owned())),
        timeout: Duration::from_secs(10),
        fall_over: Duration::from_secs(15),
        network: NetworkSettings::default(),
        acknowledges: false,
    }
}

/// A running `Notify` with a stop of its own.
struct Running {
    stop: CancellationToken,
    tasks: JoinSet<Result<(), NotifyError>>,
}

impl Running {
    fn start(store: &TestStore, targets: Vec<TargetSettings>) -> Running {
        Running::reporting_to(store, targets, store.work.clone())
    }

    fn reporting_to(store: &TestStore, targets: Vec<TargetSettings>, work: mpsc::Sender<Work>) -> Running {
        let notify = Notify {
            targets,
            vocabulary: InForce::default(),
            reader: store.reader.clone(),
            work,
            operators: mpsc::channel(1).0,
            committed: store.committed.clone(),
            links: store.links.clone(),
            metrics: store.metrics.clone(),
            clock: store.clock,
        };
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(notify.run(stop.clone()));
        Running { stop, tasks }
    }

    async fn ended(mut self) -> Result<(), NotifyError> {
        within("the end of notify", self.tasks.join_next())
            .await
            .unwrap()
            .unwrap()
    }

    async fn stop(self) {
        self.stop.cancel();
        self.ended().await.unwrap();
    }
}

/// Waits until the store knows that `target` has everything.
async fn all_delivered(store: &TestStore, target: &str) {
    let poll = async {
        let mut tick = tokio::time::interval(Duration::from_millis(5));
        while store.reader.pending_count(target).await.unwrap() > 0 {
            tick.tick().await;
        }
    };
    within("an empty outbox", poll).await;
}

fn raised(number: u64, alarm: u64, targets: &[&str]) -> ninewatch::handoff::AlarmCommit {
    step(number, alarm, AlarmState::ActiveUnacknowledged, targets)
}

/// What was held for this target and is due is owed now.
fn release(target: &str) -> Work {
    Work::Outbox(OutboxWork::Release {
        target: target.to_owned(),
        refused: 0,
    })
}

async fn next_report(work: &mut mpsc::Receiver<Work>) -> DeliveryReport {
    match within("a report", work.recv()).await.unwrap() {
        Work::Outbox(OutboxWork::Delivery(report)) => report,
        Work::Outbox(_) | Work::Batch(_) | Work::Segment(_) | Work::Checkpoint(_) | Work::Followed => {
            panic!("notify only reports")
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_notices_arrive_once_each_signed_and_in_order_per_alarm() {
    let folder = tempfile::tempdir().unwrap();
    let store = TestStore::open(folder.path());
    let mut sink = Sink::start(|_| Answer::Status(204)).await;
    // Half of them wait already when notify starts.
    let commits = |numbers: std::ops::Range<u64>| numbers.map(|n| raised(n, n % 50, &["duty"])).collect();
    store.commit(commits(0..500)).await;
    let running = Running::start(&store, vec![target("duty", sink.address)]);
    for first in (500..1_000).step_by(10) {
        store.commit(commits(first..first + 10)).await;
    }
    let (mut ids, mut last) = (HashSet::new(), HashMap::new());
    for _ in 0..1_000 {
        let got = sink.next().await;
        let number = got.number();
        assert_eq!(got.header("webhook-id"), id(1_000_000 + number).to_string());
        assert_eq!(got.header("content-type"), "application/json");
        assert!(got.is_signed_with(KEY), "{got:?}");
        let sent: i64 = got.header("webhook-timestamp").parse().unwrap();
        assert!((wall().0 / 1_000 - sent).abs() <= 5);
        assert!(ids.insert(number), "notice {number} came twice");
        let before = last.insert(got.alarm(), number);
        assert!(
            before.is_none_or(|before| before < number),
            "{number} after {before:?}"
        );
    }
    all_delivered(&store, "duty").await;
    running.stop().await;
    assert!(sink.got.try_recv().is_err(), "something came twice");
    assert_eq!(store.metrics.deliveries("duty", "delivered").get(), 1_000);
    assert_eq!(store.metrics.deliveries("duty", "failed").get(), 0);
    assert_eq!(store.metrics.notice_latency.get_sample_count(), 1_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_failure_is_tried_again_under_the_same_id() {
    let folder = tempfile::tempdir().unwrap();
    let store = TestStore::open(folder.path());
    let mut elsewhere = Sink::start(|_| Answer::Status(200)).await;
    let redirect = Answer::Redirect(format!("http://{}/", elsewhere.address));
    let failures = [
        ("e500", Answer::Status(500)),
        ("e404", Answer::Status(404)),
        ("redirect", redirect),
        ("hang", Answer::Hang),
    ];
    let (mut sinks, mut targets) = (Vec::new(), Vec::new());
    for (name, failure) in failures {
        let first_fails = move |n| {
            if n == 0 {
                failure.clone()
            } else {
                Answer::Status(200)
            }
        };
        let sink = Sink::start(first_fails).await;
        let mut settings = target(name, sink.address);
        if name == "hang" {
            settings.timeout = Duration::from_secs(1);
        }
        targets.push(settings);
        sinks.push((name, sink));
    }
    let running = Running::start(&store, targets);
    let names: Vec<&str> = sinks.iter().map(|(name, _)| *name).collect();
    store
        .commit(vec![raised(1, 1, &names), raised(2, 1, &names)])
        .await;
    for (name, sink) in &mut sinks {
        let (first, again, second) = (sink.next().await, sink.next().await, sink.next().await);
        assert_eq!(first.number(), 1, "{name}");
        assert_eq!(first.body, again.body, "{name}");
        assert_eq!(first.header("webhook-id"), again.header("webhook-id"), "{name}");
        assert!(again.is_signed_with(KEY), "{name}");
        assert_eq!(
            second.number(),
            2,
            "{name}: the next of the alarm waited its turn"
        );
        all_delivered(&store, name).await;
        assert_eq!(store.metrics.deliveries(name, "failed").get(), 1, "{name}");
    }
    running.stop().await;
    assert!(elsewhere.got.try_recv().is_err(), "a redirect was followed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn that_a_command_failed_does_not_wait_for_its_alarm() {
    let folder = tempfile::tempdir().unwrap();
    let store = TestStore::open(folder.path());
    let mut sink = Sink::start(|n| if n == 0 { Answer::Hang } else { Answer::Status(200) }).await;
    let alarm = raised(1, 1, &["duty"]);
    let cause = Cause::Alarm(Box::new(alarm.event.alarm.clone()));
    let failed = ordered(
        7,
        "g1",
        (CommandStep::Failed(Failure::NotProven), cause),
        &["duty"],
    );
    store.commit(vec![alarm]).await;
    let running = Running::start(&store, vec![target("duty", sink.address)]);
    assert_eq!(sink.next().await.number(), 1);
    store
        .commit_all(vec![raised(2, 1, &["duty"])], vec![failed])
        .await;
    let told = sink.next().await;
    assert_eq!(told.header("webhook-id"), id(2_000_007).to_string());
    assert!(told.is_signed_with(KEY), "{told:?}");
    assert_eq!(told.alarm(), id(1).to_string(), "it says for whom");
    assert_eq!(
        store.reader.pending_notices(("duty", true), 0, 2).await.unwrap()[0].alarm,
        id(1),
        "the alarm's own still hangs"
    );
    running.stop.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_and_a_reset_connection_are_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = TestStore::open(folder.path());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let running = Running::start(&store, vec![target("duty", address)]);
    store.commit(vec![raised(1, 1, &["duty"])]).await;
    let (stream, _) = within("a connection", listener.accept()).await.unwrap();
    stream.readable().await.unwrap();
    // Closed with the request unread: the kernel resets the connection.
    drop(stream);
    drop(listener);
    failures(&store, "duty", 2).await;
    let mut sink = Sink::start_at(address, |_| Answer::Status(200)).await;
    assert_eq!(sink.next().await.number(), 1);
    all_delivered(&store, "duty").await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_process_goes_on_where_the_last_one_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let store = TestStore::open(folder.path());
    let failing = Sink::start(|n| Answer::Status(if n == 0 { 200 } else { 503 })).await;
    let address = failing.address;
    let running = Running::start(&store, vec![target("duty", address)]);
    store.commit(vec![raised(1, 1, &["duty"])]).await;
    all_delivered(&store, "duty").await;
    store
        .commit(vec![raised(2, 1, &["duty"]), raised(3, 1, &["duty"])])
        .await;
    failures(&store, "duty", 1).await;
    running.stop().await;
    store.close().await;
    drop(failing);

    let store = TestStore::open(folder.path());
    let waiting = store.reader.pending_notices(("duty", true), 0, 10).await.unwrap();
    assert_eq!(
        waiting.iter().map(|notice| notice.attempts).collect::<Vec<_>>(),
        [1, 0]
    );
    assert!(waiting[0].due_at > waiting[0].created_at);
    let mut sink = Sink::start(|_| Answer::Status(200)).await;
    let running = Running::start(&store, vec![target("duty", sink.address)]);
    assert_eq!(sink.next().await.number(), 2);
    assert_eq!(sink.next().await.number(), 3);
    all_delivered(&store, "duty").await;
    running.stop().await;
    assert!(sink.got.try_recv().is_err(), "something came twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_hangs_delays_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let store = TestStore::open(folder.path());
    let stuck = Sink::start(|_| Answer::Hang).await;
    let mut fast = Sink::start(|_| Answer::Status(200)).await;
    let running = Running::start(
        &store,
        vec![target("stuck", stuck.address), target("fast", fast.address)],
    );
    for number in 0..20 {
        store
            .commit(vec![raised(number, number, &["stuck", "fast"])])
            .await;
        assert_eq!(fast.next().await.number(), number);
    }
    all_delivered(&store, "fast").await;
    assert_eq!(store.reader.pending_count("stuck").await.unwrap(), 20);
    running.stop.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notice_is_not_sent_again_while_its_report_waits_for_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let store = TestStore::open(folder.path());
    let mut sink = Sink::start(|n| Answer::Status(if n == 2 { 500 } else { 200 })).await;
    let (work, mut reports) = mpsc::channel(1);
    let running = Running::reporting_to(&store, vec![target("duty", sink.address)], work);
    // Nobody takes the reports, so that the store never hears of any delivery.
    let mut sent = Vec::new();
    for number in 0..40 {
        store.commit(vec![raised(number, number, &["duty"])]).await;
        sent.push(sink.next().await.number());
    }
    assert_eq!(sent, (0..40).collect::<Vec<u64>>());
    assert_eq!(store.reader.pending_count("duty").await.unwrap(), 40);
    let mut failed = 0;
    for _ in 0..40 {
        let report = next_report(&mut reports).await;
        if let DeliveryOutcome::Retry { error, due_at, .. } = report.outcome {
            failed += 1;
            assert_eq!(error, "the target answered HTTP 500");
            let wait = due_at.since(report.at);
            assert!((750..=1_000).contains(&wait), "{wait} ms");
        }
    }
    assert_eq!(failed, 1);
    assert_eq!(sink.next().await.number(), 2);
    assert_eq!(
        next_report(&mut reports).await.outcome,
        DeliveryOutcome::Delivered
    );
    running.stop().await;
    assert!(sink.got.try_recv().is_err(), "something came twice");
}

/// Retention empties the outbox of a quiet site. Notify reads on from the last row: the next must not be row 1.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notice_after_the_outbox_was_emptied_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let store = TestStore::open(folder.path());
    let mut sink = Sink::start(|_| Answer::Status(200)).await;
    let running = Running::start(&store, vec![target("duty", sink.address)]);
    store.commit(vec![raised(1, 1, &["duty"])]).await;
    assert_eq!(sink.next().await.number(), 1);
    all_delivered(&store, "duty").await;
    let database = rusqlite::Connection::open(folder.path().join("ninewatch.db")).unwrap();
    assert_eq!(database.execute("DELETE FROM outbox", []).unwrap(), 1);
    store.commit(vec![raised(2, 2, &["duty"])]).await;
    assert_eq!(sink.next().await.number(), 2);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_name_neither_address_nor_key() {
    let folder = tempfile::tempdir().unwrap();
    let store = TestStore::open(folder.path());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let refused = target("refused", listener.local_addr().unwrap());
    drop(listener);
    let hanging = Sink::start(|_| Answer::Hang).await;
    let mut hang = target("hang", hanging.address);
    hang.timeout = Duration::from_millis(200);
    let mut unknown = target("unknown", hanging.address);
    unknown.url = Secret::new("http://user:password@no-such-host.invalid/private-path".to_owned());
    let mut tls = target("tls", hanging.address);
    tls.url = Secret::new(format!("https://{}/private-path", hanging.address));
    let (work, mut reports) = mpsc::channel(1);
    let running = Running::reporting_to(&store, vec![refused, hang, unknown, tls], work);
    let all = ["refused", "hang", "unknown", "tls"];
    store.commit(vec![raised(1, 1, &all)]).await;
    let (mut errors, mut rows) = (HashSet::new(), HashSet::new());
    while rows.len() < all.len() {
        let report = next_report(&mut reports).await;
        let DeliveryOutcome::Retry { error, .. } = report.outcome else {
            panic!("nothing can be delivered here");
        };
        for secret in ["127.0.0.1", "private", "password", "invalid", KEY] {
            assert!(!error.contains(secret), "{error}");
        }
        rows.extend(report.notices);
        errors.insert(error);
    }
    assert!(errors.contains("cannot connect to the target"));
    assert!(errors.contains("no answer within 200ms"));
    running.stop.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_stop_attempts_under_way_are_finished_and_reported() {
    let folder = tempfile::tempdir().unwrap();
    let store = TestStore::open(folder.path());
    let open = Arc::new(Semaphore::new(0));
    let gate = Arc::clone(&open);
    let mut sink = Sink::start(move |_| Answer::When(Arc::clone(&gate))).await;
    let running = Running::start(&store, vec![target("duty", sink.address)]);
    store
        .commit(vec![raised(1, 1, &["duty"]), raised(2, 1, &["duty"])])
        .await;
    assert_eq!(sink.next().await.number(), 1);
    running.stop.cancel();
    open.add_permits(10);
    running.ended().await.unwrap();
    let report_committed = async {
        let mut tick = tokio::time::interval(Duration::from_millis(5));
        while store.reader.pending_count("duty").await.unwrap() > 1 {
            tick.tick().await;
        }
    };
    within("the report of notice 1", report_committed).await;
    assert!(sink.got.try_recv().is_err(), "something was sent after the stop");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn notify_ends_quietly_when_nobody_takes_its_reports() {
    let folder = tempfile::tempdir().unwrap();
    let store = TestStore::open(folder.path());
    let sink = Sink::start(|_| Answer::Status(200)).await;
    let (work, reports) = mpsc::channel(1);
    let running = Running::reporting_to(&store, vec![target("duty", sink.address)], work);
    drop(reports);
    running.ended().await.unwrap();
}

#[tokio::test]
async fn a_bad_address_is_named_by_its_target_only() {
    let folder = tempfile::tempdir().unwrap();
    let store = TestStore::open(folder.path());
    let mut bad = target("duty", SocketAddr::from(([127, 0, 0, 1], 1)));
    bad.url = Secret::new("ftp://private".to_owned());
    let running = Running::start(&store, vec![bad]);
    let error = running.ended().await.unwrap_err().to_string();
    assert!(error.contains("duty") && !error.contains("private"), "{error}");
}

/// Waits until so many attempts have failed.
async fn failures(store: &TestStore, target: &str, count: u64) {
    let failed = store.metrics.deliveries(target, "failed");
    let poll = async {
        let mut tick = tokio::time::interval(Duration::from_millis(5));
        while failed.get() < count {
            tick.tick().await;
        }
    };
    within("failed attempts", poll).await;
}
