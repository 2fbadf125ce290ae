//! Bursts against robots that count as the services do: so many messages in any minute (Feishu: in any second too), and their
//! punishment for more; and against a mail server. Nothing is sent beyond that, what is critical goes first, and every alarm
//! is told or waits.

use std::collections::VecDeque;
use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use ninewatch::config::{MailTls, RobotSettings, Service};
use ninewatch::domain::officer::Language;
use ninewatch::domain::rule::{Priority, RuleDef};
use ninewatch::domain::time::Timestamp;
use ninewatch::handoff::AlarmCommit;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::mail::{changed, header, mail};
use super::people::{person, raised_for};
use super::smtp::Smtp;
use super::*;

const MINUTE_MS: i64 = 60_000;

/// Alarms at once, and how many of them are critical.
const BURST: u64 = 10_000;
const CRITICAL: u64 = 200;

/// What a mail server is sent in a minute.
const PER_MINUTE: u32 = 30;

/// How many messages a service allows in windows of so many milliseconds.
const fn quotas(service: Service) -> &'static [(usize, i64)] {
    match service {
        Service::Wecom | Service::Dingtalk => &[(20, MINUTE_MS)],
        Service::Feishu => &[(100, MINUTE_MS), (5, 1_000)],
    }
}

/// What is sent of it in a minute.
const fn kept(service: Service) -> u64 {
    match service {
        Service::Wecom | Service::Dingtalk => 18,
        Service::Feishu => 90,
    }
}

/// What a robot has counted.
#[derive(Default)]
struct Counted {
    taken: VecDeque<Timestamp>,
    /// DingTalk takes nothing more for ten minutes, longer than any test.
    silent: bool,
}

impl Counted {
    /// The answer to a message that comes now.
    fn answer(&mut self, service: Service) -> (StatusCode, &'static str) {
        let now = wall();
        while self.taken.front().is_some_and(|at| now.since(*at) >= MINUTE_MS) {
            self.taken.pop_front();
        }
        let full = quotas(service).iter().find(|(most, window)| {
            let within = self.taken.iter().filter(|at| now.since(**at) < *window);
            within.count() >= *most
        });
        match (service, full) {
            (Service::Wecom, Some(_)) => (
                StatusCode::OK,
                r#"{"errcode":45009,"errmsg":"api freq out of limit"}"#,
            ),
            (Service::Dingtalk, full) if full.is_some() || self.silent => {
                self.silent = true;
                let answer = r#"{"errcode":130101,"errmsg":"send too fast, exceed 20 times per minute"}"#;
                (StatusCode::OK, answer)
            }
            (Service::Feishu, Some((_, MINUTE_MS))) => (
                StatusCode::OK,
                r#"{"code":11232,"msg":"frequency limited psm","data":{}}"#,
            ),
            (Service::Feishu, Some(_)) => (
                StatusCode::BAD_REQUEST,
                r#"{"code":9499,"msg":"too many request","data":{}}"#,
            ),
            (Service::Wecom | Service::Dingtalk | Service::Feishu, _) => {
                self.taken.push_back(now);
                (StatusCode::OK, r#"{"errcode":0,"errmsg":"ok","code":0}"#)
            }
        }
    }
}

/// The text of a message, whatever its form.
fn text_of(body: &Value) -> String {
    let text = |pointer: &str| body.pointer(pointer).map(Value::to_string);
    let markdown = ["/markdown/content", "/markdown/text", "/content/post/zh_cn"];
    markdown.into_iter().find_map(text).unwrap()
}

/// A robot, or what else is told within a quota.
struct Robot {
    settings: TargetSettings,
    /// Every text that came, and whether it was taken.
    got: mpsc::Receiver<(String, bool)>,
    _server: JoinSet<()>,
}

impl Robot {
    /// One whose quota others have used up to `others` messages.
    async fn start(service: Service, others: usize) -> Robot {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, got) = mpsc::channel(1_000);
        let counted = Arc::new(Mutex::new(Counted {
            // Some seconds ago: the minute is theirs, the second is not.
            taken: std::iter::repeat_n(Timestamp(wall().0 - 2_000), others).collect(),
            silent: false,
        }));
        let handler = move |body: String| {
            let (counted, sender) = (Arc::clone(&counted), sender.clone());
            async move {
                let body: Value = serde_json::from_str(&body).unwrap();
                let answer = counted.lock().await.answer(service);
                sender
                    .try_send((text_of(&body), answer.1.contains(":0,")))
                    .unwrap();
                answer
            }
        };
        let mut server = JoinSet::new();
        server.spawn(async move {
            axum::serve(listener, Router::new().fallback(handler))
                .await
                .unwrap();
        });
        let kind = TargetKind::Robot(RobotSettings {
            service,
            mention_all: false,
            language: Language::Zh,
            template: None,
        });
        Robot {
            settings: TargetSettings {
                kind,
                ..target("group", address)
            },
            got,
            _server: server,
        }
    }

    /// A mail server, which counts the letters of any minute.
    async fn mail(folder: &std::path::Path) -> Robot {
        let mut smtp = Smtp::start(folder, "none").await;
        let settings = changed(mail(folder, smtp.port, MailTls::None), |mail| {
            mail.per_minute = PER_MINUTE;
        });
        let (sender, got) = mpsc::channel(1_000);
        let mut server = JoinSet::new();
        server.spawn(async move {
            let mut counted = VecDeque::new();
            while let Some(letter) = smtp.letter().await {
                let now = letter.get("at_ms").and_then(Value::as_i64).unwrap();
                counted.push_back(now);
                counted.retain(|at| now - at < MINUTE_MS);
                let within = counted.len() <= usize::try_from(PER_MINUTE).unwrap();
                sender
                    .try_send((header(&letter, "Subject").to_owned(), within))
                    .unwrap();
            }
        });
        Robot {
            settings: TargetSettings {
                name: "group".to_owned(),
                ..settings
            },
            got,
            _server: server,
        }
    }

    async fn next(&mut self) -> (String, bool) {
        within("a message", self.got.recv()).await.unwrap()
    }
}

/// An alarm as the gateway tells it.
fn alarm(number: u64, priority: Priority, targets: &[&str]) -> AlarmCommit {
    let mut commit = raised(number, number, targets);
    let rule = RuleDef {
        priority,
        ..(*commit.event.alarm.rule).clone()
    };
    commit.event.alarm.rule = Arc::new(rule);
    let told = json!({
        "id": commit.event.id, "type": "alarm.raised", "at": commit.event.at.to_rfc3339(), "gateway": "g", "level": 1, "number": number,
        "alarm": {
            "id": commit.event.alarm.id, "class": "alarm", "priority": priority.as_str(), "state": "active_unacknowledged",
            "title": {"zh": "燃气浓度高报"}, "venue": {"name": format!("场所{number}")},
        },
    });
    commit.body = told.to_string();
    commit
}

/// How many alarms a text tells of, by its headline.
fn told(text: &str) -> usize {
    let count = text
        .split_once("等共 ")
        .and_then(|(_, rest)| rest.split_once(' '));
    count.map_or(1, |(count, _)| count.parse().unwrap())
}

/// How many critical ones.
fn told_critical(text: &str) -> u64 {
    let count = text
        .split_once("【紧急 ")
        .and_then(|(_, rest)| rest.split_once(' '));
    count.map_or(0, |(count, _)| count.parse().unwrap())
}

async fn a_robot_is_told_a_burst(service: Service) {
    a_burst_is_told_within_the_quota(Robot::start(service, 0).await, kept(service)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_alarms_at_once_are_told_by_mail_within_its_quota_critical_ones_first() {
    let folder = tempfile::tempdir().unwrap();
    a_burst_is_told_within_the_quota(Robot::mail(folder.path()).await, PER_MINUTE.into()).await;
}

async fn a_burst_is_told_within_the_quota(mut robot: Robot, kept: u64) {
    let folder = tempfile::tempdir().unwrap();
    let store = TestStore::open(folder.path());
    let running = Running::start(&store, vec![robot.settings.clone()]);
    // The critical ones come last.
    let priority = |number| {
        if number > BURST - CRITICAL {
            Priority::Critical
        } else {
            Priority::Low
        }
    };
    let burst = (1..=BURST).map(|number| alarm(number, priority(number), &["group"]));
    store.commit(burst.collect()).await;
    let (mut alarms, mut critical, mut messages) = (0, 0, 0);
    while alarms < usize::try_from(BURST).unwrap() {
        let (text, taken) = robot.next().await;
        assert!(taken, "beyond the quota: {text}");
        let urgent = told_critical(&text);
        assert!(
            urgent > 0 || critical == CRITICAL,
            "{critical} critical ones are told: {text}"
        );
        critical += urgent;
        alarms += told(&text);
        messages += 1;
    }
    assert_eq!(critical, CRITICAL);
    all_delivered(&store, "group").await;
    running.stop().await;
    assert_eq!(alarms, usize::try_from(BURST).unwrap());
    assert!(robot.got.try_recv().is_err(), "something came twice");
    assert_eq!(store.metrics.deliveries("group", "delivered").get(), messages);
    assert!(messages <= kept);
}

/// Tells `count` critical alarms one by one, and says whether the last was taken.
async fn one_by_one(store: &TestStore, got: &mut mpsc::Receiver<(String, bool)>, count: u64) -> bool {
    let mut last = false;
    for number in 1..=count {
        store
            .commit(vec![alarm(number, Priority::Critical, &["group"])])
            .await;
        let (text, taken) = within("a message", got.recv()).await.unwrap();
        assert_eq!(told(&text), 1);
        last = taken;
    }
    last
}

async fn a_robot_waits_across_restarts(service: Service) {
    what_exceeds_the_quota_waits_across_restarts(Robot::start(service, 0).await, kept(service)).await;
}

async fn mail_waits_across_restarts() {
    let folder = tempfile::tempdir().unwrap();
    what_exceeds_the_quota_waits_across_restarts(Robot::mail(folder.path()).await, PER_MINUTE.into()).await;
}

async fn what_exceeds_the_quota_waits_across_restarts(mut robot: Robot, kept: u64) {
    let folder = tempfile::tempdir().unwrap();
    let store = TestStore::open(folder.path());
    let running = Running::start(&store, vec![robot.settings.clone()]);
    assert!(one_by_one(&store, &mut robot.got, kept).await);
    all_delivered(&store, "group").await;
    running.stop().await;
    // Once a target without a quota has them, the robot could have been sent too much.
    let witness = Sink::start(|_| Answer::Status(204)).await;
    let both = ["group", "witness"];
    for round in 1..=2 {
        let targets = vec![robot.settings.clone(), target("witness", witness.address)];
        let running = Running::start(&store, targets);
        let burst = (0..300).map(|number| alarm(1_000 * round + number, Priority::Critical, &both));
        store.commit(burst.collect()).await;
        all_delivered(&store, "witness").await;
        running.stop().await;
    }
    // On a slow machine the minute may be over, and more is taken; it is never refused.
    let mut alarms = 0;
    while let Ok((text, taken)) = robot.got.try_recv() {
        assert!(taken, "beyond the quota: {text}");
        alarms += u64::try_from(told(&text)).unwrap();
    }
    let accounted = async {
        let mut tick = tokio::time::interval(Duration::from_millis(5));
        while store.reader.pending_count("group").await.unwrap() + alarms != 600 {
            tick.tick().await;
        }
    };
    within("each of the 600 told or waiting", accounted).await;
    assert_eq!(store.metrics.deliveries("group", "failed").get(), 0);
}

/// Others use the robot too: the first refusal is the last message.
async fn a_refusal_is_believed(service: Service) {
    let folder = tempfile::tempdir().unwrap();
    let store = TestStore::open(folder.path());
    let others = quotas(service).first().unwrap().0 - 8;
    let mut robot = Robot::start(service, others).await;
    let mut witness = Sink::start(|_| Answer::Status(204)).await;
    let address = witness.address;
    let settings = robot.settings.clone();
    let start = || {
        let targets = vec![settings.clone(), target("witness", address)];
        Running::start(&store, targets)
    };
    let mut running = start();
    assert!(!one_by_one(&store, &mut robot.got, 9).await, "it was taken");
    let both = ["group", "witness"];
    // A restart does not forget it either.
    for round in 1..=2 {
        let burst = (0..300).map(|number| alarm(1_000 * round + number, Priority::Critical, &both));
        store.commit(burst.collect()).await;
        all_delivered(&store, "witness").await;
        running.stop().await;
        running = start();
    }
    // Its people are told through their next channel.
    let wang = person("wang", &["witness"]);
    store.commit(vec![raised_for(7_000, "group", &[wang])]).await;
    while witness.next().await.number() != 7_000 {}
    running.stop().await;
    assert!(robot.got.try_recv().is_err(), "it was sent more");
    assert_eq!(store.metrics.deliveries("group", "delivered").get(), 8);
    assert_eq!(store.metrics.deliveries("group", "failed").get(), 1);
    assert_eq!(store.reader.pending_count("group").await.unwrap(), 601);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_alarms_at_once_are_told_within_the_quota_critical_ones_first() {
    tokio::join!(
        a_robot_is_told_a_burst(Service::Wecom),
        a_robot_is_told_a_burst(Service::Dingtalk),
        a_robot_is_told_a_burst(Service::Feishu)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_exceeds_the_quota_waits_and_a_restart_does_not_forget_it() {
    tokio::join!(
        a_robot_waits_across_restarts(Service::Wecom),
        a_robot_waits_across_restarts(Service::Dingtalk),
        // Ninety one by one, four a second: this takes its time.
        a_robot_waits_across_restarts(Service::Feishu),
        mail_waits_across_restarts()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_services_punishment_nothing_is_sent_and_everything_waits() {
    tokio::join!(
        a_refusal_is_believed(Service::Wecom),
        a_refusal_is_believed(Service::Dingtalk),
        a_refusal_is_believed(Service::Feishu)
    );
}
