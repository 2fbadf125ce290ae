//! E-mail to a real server that is slow, or breaks in the middle: who waits for whom, and who is told otherwise.

use std::path::Path;
use std::time::Duration;

use ninewatch::config::{MailTls, TargetSettings};
use ninewatch::domain::alarm::AlarmState;
use ninewatch::domain::directions::Recipient;
use ninewatch::domain::rule::Priority;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout, timeout_at};

use super::alertmanager::told;
use super::mail::{mail, raised, reader};
use super::outward::TestStore;
use super::people::column;
use super::sink::{Answer, Sink};
use super::smtp::Smtp;
use super::{Running, all_delivered, target};

const ERRORS: &str = "SELECT DISTINCT error FROM delivery WHERE error IS NOT NULL ORDER BY 1";

/// Who got a letter, and how often the server took it.
fn taken(lines: &[Value]) -> Vec<String> {
    let taken = lines.iter().filter(|line| line["code"] == 250);
    let mut taken: Vec<String> = taken
        .filter_map(|line| Some(line["to"][0].as_str()?.split('@').next()?.to_owned()))
        .collect();
    taken.sort();
    taken
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_urgent_does_not_stand_behind_an_ordinary_letter() {
    let folder = tempfile::tempdir().unwrap();
    let store = TestStore::open(folder.path());
    let mut smtp = Smtp::start(folder.path(), "none").await;
    let settings = TargetSettings {
        timeout: Duration::from_mins(5),
        ..mail(folder.path(), smtp.port, MailTls::None)
    };
    let running = Running::start(&store, vec![settings]);
    // The server keeps this one until somebody else has a letter.
    let ordinary = (AlarmState::ActiveUnacknowledged, Priority::Low);
    let mut commit = told(1, 1, ordinary, &["mail"]);
    commit.owed[0].people = vec![reader("li", "hold@fire.example", &[])];
    store.commit(vec![commit]).await;
    assert_eq!(smtp.next("rcpt").await["rcpt"], "hold@fire.example");
    store
        .commit(vec![raised(2, &[reader("wang", "wang@fire.example", &[])])])
        .await;
    let first = smtp.next("message").await;
    assert_eq!(first["to"], json!(["wang@fire.example"]));
    all_delivered(&store, "mail").await;
    running.stop().await;
    assert_eq!(taken(&smtp.rest()), ["hold"]);
}

/// What an attempt may take where the server is slow, and what each letter may.
const ALLOWED: Duration = Duration::from_secs(4);

/// The server holds the conversation for half of what is allowed, and then the letter of `first` until the attempt's time is
/// over. That letter's own time is not: it began later.
async fn the_first_takes_all_the_time(smtp: &mut Smtp, first: &str) {
    assert_eq!(smtp.next("waits").await["waits"], "hello");
    let over = Instant::now() + ALLOWED + Duration::from_millis(100);
    let early = timeout(ALLOWED / 2, smtp.next("rcpt")).await;
    assert!(early.is_err(), "{early:?} before the greeting was answered");
    smtp.open("hello");
    assert_eq!(smtp.next("waits").await["waits"], first);
    let other = timeout_at(over, smtp.next("rcpt")).await;
    assert!(other.is_err(), "{other:?} beside the first");
    smtp.open(first);
}

/// A server that holds the first conversation, and the letter of the first of these; and readers of these names.
async fn slow(folder: &Path, names: &[&str], next: &[&str]) -> (Smtp, TargetSettings, Vec<Recipient>) {
    let mut smtp = Smtp::start(folder, "none").await;
    smtp.shut("hello").await;
    smtp.shut(names[0]).await;
    let settings = TargetSettings {
        timeout: ALLOWED,
        ..mail(folder, smtp.port, MailTls::None)
    };
    let address = |name: &str| format!("{name}@fire.example");
    let people = names.iter().map(|name| reader(name, &address(name), next));
    (smtp, settings, people.collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_server_has_a_long_parcel_in_several_attempts_and_nobody_twice() {
    let folder = tempfile::tempdir().unwrap();
    let store = TestStore::open(folder.path());
    let names = ["ann", "he", "li", "wang", "zhao"];
    let (mut smtp, settings, people) = slow(folder.path(), &names, &[]).await;
    let running = Running::start(&store, vec![settings]);
    store.commit(vec![raised(1, &people)]).await;
    the_first_takes_all_the_time(&mut smtp, names[0]).await;
    all_delivered(&store, "mail").await;
    running.stop().await;
    assert_eq!(taken(&smtp.rest()), names);
    assert_eq!(
        column(folder.path(), ERRORS),
        [
            "1 of its people have the message; for the others: the mail server is slow: not all letters were posted within 4s"
        ]
    );
    assert_eq!(store.metrics.deliveries("mail", "failed").get(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whom_a_slow_server_does_not_reach_in_time_is_told_through_the_next_channel() {
    let folder = tempfile::tempdir().unwrap();
    let store = TestStore::open(folder.path());
    let names = ["ann", "he", "li", "wang"];
    let (mut smtp, settings, people) = slow(folder.path(), &names, &["phone"]).await;
    let mut phone = Sink::start(|_| Answer::Status(200)).await;
    let settings = TargetSettings {
        fall_over: ALLOWED / 2,
        ..settings
    };
    let running = Running::start(&store, vec![settings, target("phone", phone.address)]);
    store.commit(vec![raised(1, &people)]).await;
    the_first_takes_all_the_time(&mut smtp, names[0]).await;
    let got = phone.next().await;
    all_delivered(&store, "mail").await;
    all_delivered(&store, "phone").await;
    running.stop().await;
    assert_eq!(taken(&smtp.rest()), names[..1]);
    let to = got.member("/to");
    let by_phone = to.as_array().unwrap().iter();
    let by_phone: Vec<&str> = by_phone
        .map(|person| person["officer"].as_str().unwrap())
        .collect();
    assert_eq!(by_phone, names[1..]);
    assert!(phone.got.try_recv().is_err(), "nobody twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mailbox_at_which_the_server_hangs_keeps_no_letter_from_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let store = TestStore::open(folder.path());
    let mut smtp = Smtp::start(folder.path(), "none").await;
    let settings = TargetSettings {
        timeout: Duration::from_secs(1),
        ..mail(folder.path(), smtp.port, MailTls::None)
    };
    let running = Running::start(&store, vec![settings]);
    let people = [
        reader("li", "hang@fire.example", &[]),
        reader("wang", "wang@fire.example", &[]),
    ];
    store.commit(vec![raised(1, &people)]).await;
    assert_eq!(smtp.next("rcpt").await["rcpt"], "hang@fire.example");
    assert_eq!(smtp.next("message").await["to"], json!(["wang@fire.example"]));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_was_not_tried_is_not_taken_for_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = TestStore::open(folder.path());
    let mut smtp = Smtp::start(folder.path(), "none").await;
    let mut phone = Sink::start(|_| Answer::Status(200)).await;
    let settings = mail(folder.path(), smtp.port, MailTls::None);
    let running = Running::start(&store, vec![settings, target("phone", phone.address)]);
    // The first is refused, at the second the connection breaks, the third is not even tried.
    let people = [
        reader("li", "nobody@fire.example", &["phone"]),
        reader("he", "break@fire.example", &["phone"]),
        reader("wang", "wang@fire.example", &["phone"]),
    ];
    store.commit(vec![raised(1, &people)]).await;
    all_delivered(&store, "mail").await;
    let told = phone.next().await;
    all_delivered(&store, "phone").await;
    running.stop().await;
    assert_eq!(taken(&smtp.rest()), ["break", "wang"]);
    let to = told.member("/to");
    assert_eq!(to.as_array().unwrap().len(), 1, "{to}");
    assert_eq!(to[0]["officer"], "li");
    assert!(phone.got.try_recv().is_err(), "nobody else by phone");
}
