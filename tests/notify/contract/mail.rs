//! E-mail under the contract: in the clear, with STARTTLS and with TLS from the start, to a real server and to servers that
//! fail. Each message arrives, once as far as anybody can know, in the order of its alarm.

use ninewatch::config::MailTls;
use ninewatch::domain::directions::Recipient;
use ninewatch::handoff::AlarmCommit;
use serde_json::Value;

use super::super::mail::{changed, header, is_fit_to_be_read, mail};
use super::super::smtp::Smtp;
use super::limits::{long, officers};
use super::mail_fault::{self, FAULTS};
use super::*;

/// The ways to a mail server, as the real one calls them.
const WAYS: [(&str, MailTls); 3] = [
    ("none", MailTls::None),
    ("starttls", MailTls::StartTls),
    ("smtps", MailTls::FromTheStart),
];

/// A real server for each way in a folder of its own, and the target that posts there.
async fn offices(folder: &Path) -> (Vec<Smtp>, Vec<TargetSettings>) {
    let (mut servers, mut targets) = (Vec::new(), Vec::new());
    for (way, tls) in WAYS {
        let own = folder.join(way);
        std::fs::create_dir(&own).unwrap();
        let smtp = Smtp::start(&own, way).await;
        targets.push(TargetSettings {
            name: format!("mail-{way}"),
            ..mail(&own, smtp.port, tls)
        });
        servers.push(smtp);
    }
    (servers, targets)
}

fn names(targets: &[TargetSettings]) -> Vec<&str> {
    targets.iter().map(|target| target.name.as_str()).collect()
}

/// The step of an alarm by which a letter is known; it must be one of those up to `last`.
fn number(message: &Value, last: u64) -> u64 {
    let known = header(message, "Message-ID");
    let is_of = |number: &u64| known.starts_with(&format!("<{}.", id(1_000_000 + number)));
    (1..=last)
        .find(is_of)
        .unwrap_or_else(|| panic!("{known} is of no step up to {last}"))
}

/// The steps whose letters a server got since, in this order.
fn numbers(smtp: &mut Smtp, last: u64) -> Vec<u64> {
    let lines = smtp.rest();
    let letters = lines.iter().filter(|line| line.get("message").is_some());
    letters.map(|letter| number(letter, last)).collect()
}

/// The life of `alarms` alarms, step by step: step `1` is the first of alarm `1`.
fn lives(alarms: u64, targets: &[&str]) -> Vec<AlarmCommit> {
    let states = [
        AlarmState::ActiveUnacknowledged,
        AlarmState::ActiveAcknowledged,
        AlarmState::RecoveredAcknowledged,
        AlarmState::Cleared,
    ];
    let steps = (1..).zip(
        states
            .into_iter()
            .flat_map(|state| (1..=alarms).map(move |alarm| (alarm, state))),
    );
    steps
        .map(|(number, (alarm, state))| told(number, alarm, (state, Priority::Critical), targets))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_letter_is_delivered_once_over_every_way() {
    let folder = tempfile::tempdir().unwrap();
    let store = TestStore::open(folder.path());
    let (servers, targets) = offices(folder.path()).await;
    let running = Running::start(&store, targets.clone());
    for number in 1..=2 {
        tell(&store, number, &targets).await;
    }
    running.stop().await;
    for (mut smtp, (way, _)) in servers.into_iter().zip(WAYS) {
        let lines = smtp.rest();
        let logins: Vec<&Value> = lines.iter().filter(|line| line.get("login").is_some()).collect();
        assert_eq!(logins.len(), 2, "{way}");
        for login in logins {
            assert_eq!(
                (&login["good"], &login["encrypted"]),
                (&true.into(), &(way != "none").into())
            );
        }
        let letters = lines.iter().filter(|line| line.get("message").is_some());
        let numbers: Vec<u64> = letters.map(|letter| number(letter, 2)).collect();
        assert_eq!(numbers, [1, 2], "{way}");
    }
    assert_eq!(errors(folder.path()), Vec::<String>::new());
}

/// Each server misbehaves on its first connection, and then works.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_wrong_with_a_mail_server_is_told_apart_and_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = TestStore::open(folder.path());
    let (mut servers, mut targets, mut expected) = (Vec::new(), Vec::new(), Vec::new());
    for (way, tls) in WAYS {
        for (place, (at, does, error)) in FAULTS.into_iter().enumerate() {
            let fault = mail_fault::Fault { at, does };
            if !fault.is_met(tls) {
                continue;
            }
            let server = mail_fault::Faulty::start(tls, fault).await;
            let mut settings = TargetSettings {
                name: format!("{way} {place} {at:?}"),
                ..mail(folder.path(), server.address.port(), MailTls::None)
            };
            settings = changed(settings, |mail| mail.tls = tls);
            settings.network = trusting(&server.authority);
            if fault.is_late() {
                settings.timeout = Duration::from_secs(4);
            }
            expected.push(format!("{}: {error}", settings.name));
            targets.push(settings);
            servers.push((server, fault));
        }
    }
    let running = Running::start(&store, targets.clone());
    tell(&store, 1, &targets).await;
    running.stop().await;
    expected.sort();
    assert_eq!(errors(folder.path()), expected);
    for (mut server, fault) in servers {
        let mut letters: Vec<mail_fault::Letter> =
            std::iter::from_fn(|| server.letters.try_recv().ok()).collect();
        let last = letters.pop().unwrap();
        assert!(
            last.taken && last.id.starts_with(&format!("<{}.", id(1_000_001))),
            "{fault:?} {last:?}"
        );
        // What may have been taken is known again by its id.
        let before = mail_fault::Letter { taken: false, ..last };
        let copies = usize::from(fault.at == mail_fault::Step::Take);
        assert_eq!(letters.len(), copies, "{fault:?}");
        assert!(
            letters.iter().all(|letter| *letter == before),
            "{fault:?} {letters:?}"
        );
    }
}

/// As behind a router that forgets. No connection is kept from one message to the next: those of before matter to nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_that_dies_without_a_word_costs_one_attempt() {
    let folder = tempfile::tempdir().unwrap();
    let store = TestStore::open(folder.path());
    let (mut servers, mut targets) = offices(folder.path()).await;
    let mut relays = Vec::new();
    for (smtp, settings) in servers.iter_mut().zip(&mut targets) {
        let relay = Relay::start(SocketAddr::from(([127, 0, 0, 1], smtp.port))).await;
        *settings = changed(settings.clone(), |mail| mail.port = relay.address.port());
        settings.timeout = Duration::from_secs(3);
        relays.push(relay);
    }
    let running = Running::start(&store, targets.clone());
    tell(&store, 1, &targets).await;
    relays.iter().for_each(Relay::freeze);
    tell(&store, 2, &targets).await;
    assert_eq!(errors(folder.path()), Vec::<String>::new());
    for smtp in &mut servers {
        assert_eq!(numbers(smtp, 2), [1, 2]);
        smtp.shut("all").await;
    }
    store.commit(vec![raised_critical(3, &names(&targets))]).await;
    for (smtp, relay) in servers.iter_mut().zip(&relays) {
        smtp.next("waits").await;
        relay.freeze();
    }
    for smtp in &mut servers {
        // The next attempt is here, and the one that died may have been taken or not.
        smtp.next("waits").await;
        smtp.open("all");
    }
    for settings in &targets {
        all_delivered(&store, &settings.name).await;
    }
    running.stop().await;
    let late = |settings: &TargetSettings| format!("{}: no answer within 3s", settings.name);
    let mut expected: Vec<String> = targets.iter().map(late).collect();
    expected.sort();
    assert_eq!(errors(folder.path()), expected);
    for (smtp, relay) in servers.iter_mut().zip(&relays) {
        assert_eq!(numbers(smtp, 3), [3, 3]);
        assert_eq!(relay.connections(), 4);
    }
}

fn raised_critical(number: u64, targets: &[&str]) -> AlarmCommit {
    let critical = (AlarmState::ActiveUnacknowledged, Priority::Critical);
    told(number, number, critical, targets)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_server_that_was_away_gets_everything_in_order_and_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    let store = TestStore::open(folder.path());
    let (servers, targets) = offices(folder.path()).await;
    let ports: Vec<u16> = servers.iter().map(|smtp| smtp.port).collect();
    drop(servers);
    let running = Running::start(&store, targets.clone());
    store.commit(lives(3, &names(&targets))).await;
    for settings in &targets {
        failures(&store, &settings.name, 2).await;
    }
    let mut servers = Vec::new();
    for ((way, _), port) in WAYS.into_iter().zip(ports) {
        servers.push(Smtp::start_at(&folder.path().join(way), way, port).await);
    }
    for settings in &targets {
        all_delivered(&store, &settings.name).await;
    }
    running.stop().await;
    for (mut smtp, (way, _)) in servers.into_iter().zip(WAYS) {
        let numbers = numbers(&mut smtp, 12);
        let mut sorted = numbers.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (1..=12).collect::<Vec<u64>>(), "{way}");
        for alarm in 0..3 {
            let own = numbers.iter().filter(|number| **number % 3 == alarm);
            assert!(own.is_sorted(), "{way}: {numbers:?}");
        }
    }
    let mut errors = errors(folder.path());
    errors.dedup();
    let away = |settings: &TargetSettings| format!("{}: cannot connect to the target", settings.name);
    let mut expected: Vec<String> = targets.iter().map(away).collect();
    expected.sort();
    assert_eq!(errors, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_steps_of_an_alarm_arrive_in_their_order_though_the_first_is_put_off() {
    let folder = tempfile::tempdir().unwrap();
    let store = TestStore::open(folder.path());
    let (servers, targets) = offices(folder.path()).await;
    let to_later =
        |settings: TargetSettings| changed(settings, |mail| mail.to = vec!["later@fire.example".to_owned()]);
    let targets: Vec<TargetSettings> = targets.into_iter().map(to_later).collect();
    store.commit(lives(1, &names(&targets))).await;
    let running = Running::start(&store, targets.clone());
    for settings in &targets {
        all_delivered(&store, &settings.name).await;
    }
    running.stop().await;
    for mut smtp in servers {
        assert_eq!(numbers(&mut smtp, 4), [1, 2, 3, 4]);
    }
    let busy = |settings: &TargetSettings| {
        format!(
            "{}: the mail server takes nothing for now (code 451)",
            settings.name
        )
    };
    let mut expected: Vec<String> = targets.iter().map(busy).collect();
    expected.sort();
    assert_eq!(errors(folder.path()), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn letters_with_long_chinese_names_are_fit_to_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let store = TestStore::open(folder.path());
    let mut smtp = Smtp::start(folder.path(), "none").await;
    let settings = mail(folder.path(), smtp.port, MailTls::None);
    let running = Running::start(
        &store,
        vec![TargetSettings {
            name: "group".to_owned(),
            ..settings
        }],
    );
    let with_address = |(number, mut person): (usize, Recipient)| {
        person.contact.email = Some(format!("{}{number}@fire.example", "duty".repeat(12)));
        person
    };
    let reached: Vec<Recipient> = officers(20, false)
        .into_iter()
        .enumerate()
        .map(with_address)
        .collect();
    let mut number = 0;
    for (alarms, people, letters) in [
        (1, Vec::new(), 1),
        (300, Vec::new(), 1),
        (1, reached.clone(), 20),
        (300, reached, 20),
        // Nobody of these can be written to: they are named to whoever reads for all.
        (300, officers(200, false), 1),
    ] {
        let first = number;
        number += alarms;
        store
            .commit((first..number).map(|number| long(number, &people)).collect())
            .await;
        all_delivered(&store, "group").await;
        let lines = smtp.rest();
        let came: Vec<&Value> = lines
            .iter()
            .filter(|line| line.get("message").is_some())
            .collect();
        assert_eq!(came.len(), letters, "{alarms} alarms for {}", people.len());
        for letter in came {
            is_fit_to_be_read(letter, alarms == 1);
        }
    }
    running.stop().await;
    assert_eq!(errors(folder.path()), Vec::<String>::new());
}
