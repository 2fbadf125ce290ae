//! E-mail through the real worker and store to a real mail server: what each reader gets, and who is told otherwise when the
//! server does not take it.

use std::path::Path;
use std::time::Duration;

use ninewatch::config::{
    MailLogin, MailSettings, MailTls, NetworkSettings, Secret, TargetKind, TargetSettings,
};
use ninewatch::domain::directions::Recipient;
use ninewatch::domain::officer::Language;
use ninewatch::handoff::AlarmCommit;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};

use super::outward::{TestStore, id, within};
use super::people::{column, person, raised_for};
use super::sink::{Answer, Sink};
use super::smtp::Smtp;
use super::{Running, all_delivered, target};

const PASSWORD: &str = "a password of the test's own";

pub(super) fn mail(folder: &Path, port: u16, tls: MailTls) -> TargetSettings {
    let encrypted = tls != MailTls::None;
    TargetSettings {
        name: "mail".to_owned(),
        kind: TargetKind::Mail(Box::new(MailSettings {
            host: "localhost".to_owned(),
            port,
            tls,
            login: Some(MailLogin {
                username: "duty".to_owned(),
                password: Secret::new(PASSWORD.to_owned()),
            }),
            from: "值守 <duty@fire.example>".to_owned(),
            to: vec!["all@fire.example".to_owned()],
            per_minute: 600,
            language: Language::Zh,
            template: None,
        })),
        secret: None,
        url: Secret::new(String::new()),
        timeout: Duration::from_secs(10),
        fall_over: Duration::from_secs(15),
        acknowledges: false,
        network: NetworkSettings {
            authorities: if encrypted {
                authority(&std::fs::read(folder.join("smtp.pem")).unwrap())
            } else {
                Vec::new()
            },
            ..NetworkSettings::default()
        },
    }
}

fn authority(pem: &[u8]) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem).map(Result::unwrap).collect()
}

/// The same with other members.
pub(super) fn changed(
    mut settings: TargetSettings,
    change: impl FnOnce(&mut MailSettings),
) -> TargetSettings {
    if let TargetKind::Mail(mail) = &mut settings.kind {
        change(mail);
    }
    settings
}

pub(super) fn reader(officer: &str, email: &str, next: &[&str]) -> Recipient {
    let mut reader = person(officer, next);
    reader.contact.email = Some(email.to_owned());
    reader
}

/// Step `number`, with names of people who would have headers and markup of their own.
pub(super) fn raised(number: u64, people: &[Recipient]) -> AlarmCommit {
    let mut commit = raised_for(number, "mail", people);
    let mut body: Value = serde_json::from_str(&commit.body).unwrap();
    body["alarm"]["title"] = json!({"zh": "燃气浓度高报", "en": "Gas concentration high"});
    body["alarm"]["class"] = json!("alarm");
    body["alarm"]["priority"] = json!("critical");
    body["alarm"]["venue"] = json!({"name": "老灶火锅\r\nBcc: spy@evil.example\r\n\r\n<b>"});
    body["alarm"]["device"] = json!({"name": "厨房 \"探测器\""});
    commit.body = body.to_string();
    commit
}

pub(super) fn header<'m>(message: &'m Value, name: &str) -> &'m str {
    let headers = message["message"]["headers"].as_array().unwrap();
    let found = headers.iter().find(|header| header[0] == name);
    found.unwrap_or_else(|| panic!("no {name} in {message:#}"))[1]
        .as_str()
        .unwrap()
}

fn part<'m>(message: &'m Value, kind: &str) -> &'m str {
    let parts = message["message"]["parts"].as_array().unwrap();
    let found = parts.iter().find(|part| part[0] == kind);
    found.unwrap_or_else(|| panic!("no {kind} in {message:#}"))[1]
        .as_str()
        .unwrap()
}

/// Well formed, and with no header but ours; one of a single alarm (`of_one`) says of which.
pub(super) fn is_fit_to_be_read(message: &Value, of_one: bool) {
    let read = &message["message"];
    assert_eq!(read["defects"], json!([]), "{message:#}");
    assert_eq!(read["type"], "multipart/alternative");
    assert_eq!(read["ascii"], true, "no server needs 8BITMIME");
    assert!(read["longest"].as_u64().unwrap() <= 998, "RFC 5322 §2.1.1");
    let kinds: Vec<&str> = read["parts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|part| part[0].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["text/plain", "text/html"], "what is preferred comes last");
    let mut names: Vec<&str> = read["headers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|header| header[0].as_str().unwrap())
        .collect();
    names.sort_unstable();
    let mut expected = vec![
        "Auto-Submitted",
        "Content-Type",
        "Date",
        "From",
        "Importance",
        "MIME-Version",
        "Message-ID",
        "References",
        "Subject",
        "To",
        "X-Priority",
    ];
    expected.retain(|name| of_one || *name != "References");
    assert_eq!(names, expected, "and no Bcc");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_person_gets_a_letter_of_their_own_in_their_language() {
    let folder = tempfile::tempdir().unwrap();
    let store = TestStore::open(folder.path());
    let mut smtp = Smtp::start(folder.path(), "starttls").await;
    let running = Running::start(&store, vec![mail(folder.path(), smtp.port, MailTls::StartTls)]);
    let ann = Recipient {
        language: Language::En,
        ..reader("ann", "ann@fire.example", &[])
    };
    store
        .commit(vec![raised(1, &[reader("王强", "wang@fire.example", &[]), ann])])
        .await;
    let login = smtp.next("login").await;
    assert_eq!(login, json!({"login": "duty", "good": true, "encrypted": true}));
    let (wang, ann) = (smtp.next("message").await, smtp.next("message").await);
    all_delivered(&store, "mail").await;
    running.stop().await;
    for message in [&wang, &ann] {
        is_fit_to_be_read(message, true);
        assert_eq!(message["sender"], "duty@fire.example");
        assert_eq!(header(message, "From"), "值守 <duty@fire.example>");
        assert_eq!(header(message, "Auto-Submitted"), "auto-generated");
        assert_eq!(header(message, "X-Priority"), "1 (Highest)");
        let own = header(message, "Message-ID").strip_prefix('<').unwrap();
        assert!(
            own.starts_with(&format!("{}.", id(1_000_001))) && own.ends_with("@fire.example>"),
            "{own}"
        );
        assert_eq!(header(message, "References"), format!("<{}@fire.example>", id(1)));
    }
    assert_ne!(header(&wang, "Message-ID"), header(&ann, "Message-ID"));
    assert_eq!(wang["to"], json!(["wang@fire.example"]));
    assert_eq!(header(&wang, "To"), "王强 <wang@fire.example>");
    assert_eq!(
        header(&wang, "Subject"),
        "🔴 【紧急报警】老灶火锅 Bcc: spy＠evil．example <b> 燃气浓度高报"
    );
    assert!(
        part(&wang, "text/plain").contains("设备：厨房 \"探测器\""),
        "{wang:#}"
    );
    let html = part(&wang, "text/html");
    assert!(
        html.contains("&lt;b&gt; 燃气浓度高报") && !html.contains("<b>"),
        "{html}"
    );
    assert_eq!(ann["to"], json!(["ann@fire.example"]));
    assert!(
        header(&ann, "Subject").starts_with("🔴 CRITICAL ALARM: "),
        "{ann:#}"
    );
    for (message, officer, label) in [
        (&wang, "%E7%8E%8B%E5%BC%BA", "确认收到"),
        (&ann, "ann", "Acknowledge"),
    ] {
        let plain = part(message, "text/plain");
        let link = plain
            .split_whitespace()
            .find(|word| word.contains("http://gw.example/a/"))
            .unwrap();
        let link = &link[link.find("http").unwrap()..];
        assert!(link.ends_with(&format!("?o={officer}")), "{link}");
        let html = part(message, "text/html").replace("&#x2f;", "/");
        assert!(html.contains(&format!("<a href=\"{link}\"")), "{link} in {html}");
        assert!(html.contains(&format!(">{label}</a>")), "{html}");
    }
    assert!(smtp.rest().is_empty(), "nothing comes twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_for_nobody_in_particular_goes_to_the_default_and_a_burst_is_a_digest() {
    let folder = tempfile::tempdir().unwrap();
    let store = TestStore::open(folder.path());
    let mut smtp = Smtp::start(folder.path(), "smtps").await;
    let settings = changed(mail(folder.path(), smtp.port, MailTls::FromTheStart), |mail| {
        mail.to = ["nobody", "all", "rest"]
            .map(|name| format!("{name}@fire.example"))
            .to_vec();
    });
    let running = Running::start(&store, vec![settings]);
    store
        .commit((1..=10).map(|number| raised(number, &[])).collect())
        .await;
    // One of them is unknown to the server: the others have it, and it holds up nothing.
    let (all, rest) = (smtp.next("message").await, smtp.next("message").await);
    all_delivered(&store, "mail").await;
    assert_eq!(
        (&all["to"], &rest["to"]),
        (&json!(["all@fire.example"]), &json!(["rest@fire.example"]))
    );
    assert!(header(&all, "Subject").contains("等共 10 条"), "{all:#}");
    assert!(
        !part(&all, "text/plain").contains("gw.example"),
        "a digest has no address"
    );
    // What has no address of its own is named to those who read for all.
    store.commit(vec![raised(11, &[person("王强", &[])])]).await;
    let all = smtp.next("message").await;
    assert!(part(&all, "text/plain").contains("通知：王强"), "{all:#}");
    assert!(part(&all, "text/html").contains("通知：王强"), "{all:#}");
    all_delivered(&store, "mail").await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_is_known_by_its_message_id_and_reaches_only_who_lacks_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = TestStore::open(folder.path());
    let mut smtp = Smtp::start(folder.path(), "none").await;
    let mut phone = Sink::start(|_| Answer::Status(200)).await;
    let settings = mail(folder.path(), smtp.port, MailTls::None);
    let running = Running::start(&store, vec![settings, target("phone", phone.address)]);
    store
        .commit(vec![raised(1, &[reader("busy", "busy@fire.example", &[])])])
        .await;
    let (first, second) = (smtp.next("message").await, smtp.next("message").await);
    assert_eq!((&first["code"], &second["code"]), (&json!(452), &json!(250)));
    assert_eq!(header(&first, "Message-ID"), header(&second, "Message-ID"));
    all_delivered(&store, "mail").await;
    let errors = column(
        folder.path(),
        "SELECT error FROM delivery WHERE error IS NOT NULL",
    );
    assert_eq!(errors, ["the mail server takes nothing for now (code 452)"]);

    // Of three, one has it at once, one later, and one has no such mailbox and is told through the next channel.
    let people = [
        reader("wang", "wang@fire.example", &[]),
        reader("later", "later@fire.example", &[]),
        reader("li", "nobody@fire.example", &["phone"]),
    ];
    store.commit(vec![raised(2, &people)]).await;
    let told = phone.next().await;
    assert_eq!(told.member("/to/0/officer"), "li");
    all_delivered(&store, "mail").await;
    all_delivered(&store, "phone").await;
    running.stop().await;
    let lines = smtp.rest();
    let taken = |name: &str| {
        let to = json!([format!("{name}@fire.example")]);
        lines
            .iter()
            .filter(|line| line["to"] == to && line["code"] == 250)
            .count()
    };
    assert_eq!(
        (taken("wang"), taken("later"), taken("nobody")),
        (1, 1, 0),
        "{lines:#?}"
    );
    let asked = |name: &str| {
        lines
            .iter()
            .filter(|line| line["rcpt"] == format!("{name}@fire.example"))
            .count()
    };
    assert_eq!(
        (asked("wang"), asked("later"), asked("nobody")),
        (1, 2, 1),
        "{lines:#?}"
    );
    let errors = column(
        folder.path(),
        "SELECT error FROM delivery WHERE error IS NOT NULL ORDER BY row",
    );
    assert_eq!(
        errors[1],
        "1 of its people have the message; for the others: the mail server takes nothing for now (code 451)"
    );
    assert!(
        errors.iter().all(|error| !error.contains("example")),
        "{errors:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mailbox_that_is_none_keeps_nobody_else_from_hearing_of_the_alarm() {
    let folder = tempfile::tempdir().unwrap();
    let store = TestStore::open(folder.path());
    let mut smtp = Smtp::start(folder.path(), "none").await;
    let running = Running::start(&store, vec![mail(folder.path(), smtp.port, MailTls::None)]);
    // The first level has no such mailbox and no other channel; the next level is told of the same alarm.
    store
        .commit(vec![raised(1, &[reader("wang", "nobody@fire.example", &[])])])
        .await;
    assert_eq!(smtp.next("rcpt").await["code"], 550);
    let mut higher = raised(2, &[reader("li", "li@fire.example", &[])]);
    higher.event.alarm.id = id(1);
    higher.body = higher.body.replace(&id(2).to_string(), &id(1).to_string());
    store.commit(vec![higher]).await;
    let told = smtp.next("message").await;
    assert_eq!(told["to"], json!(["li@fire.example"]));
    assert_eq!(header(&told, "References"), format!("<{}@fire.example>", id(1)));
    running.stop().await;
    let li_has_hers = async {
        let mut tick = tokio::time::interval(Duration::from_millis(5));
        while store.reader.pending_count("mail").await.unwrap() > 1 {
            tick.tick().await;
        }
    };
    within("one delivery", li_has_hers).await;
    assert_eq!(
        store.reader.pending_count("mail").await.unwrap(),
        1,
        "wang is still owed his"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_mailbox_does_not_break_up_the_digest_of_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let store = TestStore::open(folder.path());
    let mut smtp = Smtp::start(folder.path(), "none").await;
    let mut phone = Sink::start(|_| Answer::Status(200)).await;
    let settings = mail(folder.path(), smtp.port, MailTls::None);
    let mut commits: Vec<AlarmCommit> = (1..=9).map(|number| raised(number, &[])).collect();
    commits.push(raised(10, &[reader("li", "nobody@fire.example", &["phone"])]));
    // All are there before the first goes out.
    store.commit(commits).await;
    let running = Running::start(&store, vec![settings, target("phone", phone.address)]);
    assert_eq!(phone.next().await.member("/to/0/officer"), "li");
    all_delivered(&store, "mail").await;
    all_delivered(&store, "phone").await;
    running.stop().await;
    let lines = smtp.rest();
    let letters: Vec<&Value> = lines
        .iter()
        .filter(|line| line.get("message").is_some())
        .collect();
    assert_eq!(letters.len(), 1, "{lines:#?}");
    assert!(
        header(letters[0], "Subject").contains("等共 9 条"),
        "{letters:#?}"
    );
    let errors = column(
        folder.path(),
        "SELECT DISTINCT error FROM delivery WHERE error IS NOT NULL",
    );
    assert_eq!(
        errors,
        [
            "those who read for all have the message; for the others: the mail server refused the recipient with code 550"
        ]
    );
}

/// Wang is told through his telephone at once, and of `error`; what the mail server got.
async fn told_otherwise(
    server: &str,
    settings: impl FnOnce(&Path, u16) -> TargetSettings,
    error: &str,
) -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    let store = TestStore::open(folder.path());
    let mut smtp = Smtp::start(folder.path(), server).await;
    let mut phone = Sink::start(|_| Answer::Status(200)).await;
    let settings = settings(folder.path(), smtp.port);
    let running = Running::start(&store, vec![settings, target("phone", phone.address)]);
    let wang = reader("wang", "wang@fire.example", &["phone"]);
    store.commit(vec![raised(1, &[wang])]).await;
    assert_eq!(phone.next().await.member("/to/0/officer"), "wang");
    all_delivered(&store, "phone").await;
    running.stop().await;
    let errors = column(
        folder.path(),
        "SELECT error FROM delivery WHERE error IS NOT NULL",
    );
    assert_eq!(errors, [error]);
    smtp.rest()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_for_a_person_to_mend() {
    let wrong = |folder: &Path, port| {
        changed(mail(folder, port, MailTls::StartTls), |mail| {
            mail.login = Some(MailLogin {
                username: "duty".to_owned(),
                password: Secret::new("another".to_owned()),
            });
        })
    };
    let error = "the mail server refused this gateway with code 535: look at username, password and from";
    let got = told_otherwise("starttls", wrong, error).await;
    assert_eq!(got, [json!({"login": "duty", "good": false, "encrypted": true})]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_starttls_gets_neither_password_nor_letter() {
    // As when somebody on the way strips the offer: the server itself would take both in the clear.
    let error = "the mail server offers no TLS: nothing is sent to it";
    let settings = |folder: &Path, port| mail(folder, port, MailTls::StartTls);
    assert_eq!(told_otherwise("none", settings, error).await, [Value::Null; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_nobody_vouches_for_gets_nothing() {
    for (server, tls) in [("starttls", MailTls::StartTls), ("smtps", MailTls::FromTheStart)] {
        let settings = |folder: &Path, port| {
            let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
            let mut settings = mail(folder, port, tls);
            settings.network.authorities = authority(other.cert.pem().as_bytes());
            settings.fall_over = Duration::ZERO;
            settings
        };
        let got = told_otherwise(server, settings, "cannot connect to the target").await;
        assert_eq!(got, [Value::Null; 0], "{server}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_letter_that_the_server_finds_bad_is_told_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let store = TestStore::open(folder.path());
    let smtp = Smtp::start(folder.path(), "none").await;
    let mut phone = Sink::start(|_| Answer::Status(200)).await;
    let settings = mail(folder.path(), smtp.port, MailTls::None);
    let running = Running::start(&store, vec![settings, target("phone", phone.address)]);
    store
        .commit(vec![raised(
            1,
            &[reader("wang", "spam@fire.example", &["phone"])],
        )])
        .await;
    assert_eq!(phone.next().await.member("/to/0/officer"), "wang");
    all_delivered(&store, "phone").await;
    running.stop().await;
    let errors = column(
        folder.path(),
        "SELECT error FROM delivery WHERE error IS NOT NULL",
    );
    assert_eq!(errors, ["the target refused the message with code 554"]);
}
