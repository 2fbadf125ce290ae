//! An alarm that nobody acknowledges, with the real binary and a real broker: told on and higher, across a killed gateway,
//! through the next channel when one is dead, and no more once somebody has acknowledged.

#![cfg(test)]

#[expect(dead_code, reason = "the tests of notify use the rest")]
#[path = "notify/smtp.rs"]
mod smtp;
mod support;

use serde_json::{Value, json};
use smtp::Smtp;

use support::gateway::{Gateway, write};
use support::http;
use support::mosquitto::Mosquitto;
use support::publisher::Publisher;
use support::sink::{Attempt, Mood, Sink};
use support::{PATIENCE, eventually, free_port};

/// The officer on duty at once, his deputy after a second, the chief after four.
fn people(dead: u16, phone: &str) -> String {
    format!(
        r#"[[target]]
name = "pager"
kind = "webhook"
url = "http://127.0.0.1:{dead}/"
secret_file = "hook.secret"
timeout = "500ms"
fall_over = "0s"

[[target]]
name = "phone"
kind = "webhook"
url = "{phone}"
secret_file = "hook.secret"

[[officer]]
id = "wang"
name = "王强"
channels = ["pager", "phone"]

[[officer]]
id = "li"
name = "李梅"
channels = ["phone"]

[[roster]]
name = "duty"
[[roster.rotation]]
officers = ["wang"]
each = "1w"
from = "2026-01-05"

[[chain]]
name = "up"
[[chain.level]]
to = ["roster:duty"]
repeat = "0s"
[[chain.level]]
after = "1s"
to = ["officer:li"]
[[chain.level]]
after = "4s"
repeat = "10m"
to = ["officer:li", "roster:duty"]

[[route]]
name = "duty"
chain = "up"
"#
    )
}

/// The levels that came as `alarm.escalated`, each telling once, in order.
fn levels(sink: &Sink) -> Vec<u64> {
    let mut told: Vec<(Value, u64)> = Vec::new();
    for attempt in sink.of("alarm.escalated", "test-high", "g1") {
        let body = attempt.json();
        let level = body["level"].as_u64().expect("a level");
        if !told.iter().any(|(id, _)| *id == body["id"]) {
            told.push((body["id"].clone(), level));
        }
    }
    told.into_iter().map(|(_, level)| level).collect()
}

async fn told(sink: &Sink, expected: &[u64]) {
    eventually(&format!("levels {expected:?} are told"), PATIENCE, async || {
        (levels(sink) == expected).then_some(())
    })
    .await;
}

async fn deliveries(gateway: &Gateway, query: &str) -> Vec<Value> {
    let answer = http::get(&gateway.url(&format!("/api/v1/deliveries?{query}"))).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()["items"].as_array().expect("a list").clone()
}

/// Li follows the address in her message: it shows a page; its button, and nothing before, acknowledges.
async fn press(gateway: &Gateway, phone: &Sink) -> String {
    let for_li = |body: &Value| body["level"] == 3 && body["to"][0]["officer"] == "li";
    let message = eventually("the last level reaches li", PATIENCE, async || {
        let messages = phone.of("alarm.escalated", "test-high", "g1");
        messages.iter().map(Attempt::json).find(for_li)
    })
    .await;
    let link = message["ack_link"].as_str().expect("an address");
    let page = http::get(link).await;
    assert!(
        page.status == 200 && page.text.contains("测试高报"),
        "{}",
        page.text
    );
    let state = gateway.alarms("state=active").await;
    assert_eq!(
        state[0]["state"], "active_unacknowledged",
        "a look changes nothing"
    );
    let form = http::client()
        .post(link)
        .header("content-type", "application/x-www-form-urlencoded");
    let pressed = form.send().await.expect("the gateway answers");
    assert_eq!(pressed.status(), 200);
    let told = phone
        .wait_for("alarm.acknowledged", "test-high", "g1")
        .await
        .json();
    assert_eq!(told["by"], "li");
    link.to_owned()
}

/// The alarm comes again: Li's address of before shows that, and acknowledges nothing.
async fn is_spent(link: &str, gateway: &Gateway, (device, phone): (&mut Publisher, &Sink)) {
    device.gas("g1", r#"{"lel":5.0}"#).await;
    phone.wait_for("alarm.recovered", "test-high", "g1").await;
    let before = phone.of("alarm.raised", "test-high", "g1").len();
    device.gas("g1", r#"{"lel":60.0}"#).await;
    eventually("it is raised again", PATIENCE, async || {
        (phone.of("alarm.raised", "test-high", "g1").len() > before).then_some(())
    })
    .await;
    let pressed = http::client().post(link).send().await.expect("an answer");
    let page = pressed.text().await.expect("a page");
    assert!(page.contains("该报警又再次触发"), "{page}");
    let standing = gateway.alarms("state=active").await;
    assert_eq!(standing[0]["state"], "active_unacknowledged");
}

/// An officer who reads e-mail.
fn reader(port: u16) -> String {
    format!(
        r#"[[target]]
name = "mail"
kind = "email"
url = "smtp://localhost:{port}"
ca_file = "smtp.pem"
username = "duty"
password_file = "mail.secret"
from = "值守 <duty@fire.example>"
to = ["all@fire.example"]

[[officer]]
id = "wang"
name = "王强"
email = "wang@fire.example"
channels = ["mail"]

[[chain]]
name = "up"
[[chain.level]]
to = ["officer:wang"]

[[route]]
name = "duty"
chain = "up"
"#
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_button_in_an_e_mail_acknowledges() {
    let broker = Mosquitto::start("");
    let record = Sink::start();
    let prepared = Gateway::prepare(broker.port, &record.url());
    let mut smtp = Smtp::start(prepared.folder(), "starttls").await;
    write(
        &prepared.folder().join("mail.secret"),
        "a password of the test's own\n",
    );
    let public = format!("[gateway]\npublic_url = \"http://127.0.0.1:{}\"\n", prepared.port);
    let gateway = prepared
        .edited("[gateway]\n", &public)
        .edited("[[route]]\nname = \"duty\"\n", &reader(smtp.port))
        .start()
        .await;
    let mut device = Publisher::start(broker.port, "device");
    device.gas("g1", r#"{"lel":53.2}"#).await;
    let letter = smtp.next("message").await;
    assert_eq!(letter["to"], json!(["wang@fire.example"]));
    let part = |kind: &str| {
        let parts = letter["message"]["parts"].as_array().expect("parts");
        let part = parts.iter().find(|part| part[0] == kind).expect("the part");
        part[1].as_str().expect("a text").to_owned()
    };
    assert!(part("text/plain").contains("设备：厨房"), "{letter:#}");
    let html = part("text/html").replace("&#x2f;", "/");
    let (_, after) = html.split_once("<a href=\"").expect("a button");
    let (link, _) = after.split_once('"').expect("its end");
    let page = http::get(link).await;
    assert!(page.text.contains("测试高报"), "{}", page.text);
    let state = gateway.alarms("state=active").await;
    assert_eq!(
        state[0]["state"], "active_unacknowledged",
        "a look changes nothing"
    );
    let pressed = http::client().post(link).send().await.expect("an answer");
    assert_eq!(pressed.status(), 200);
    let told = record.wait_for("alarm.acknowledged", "test-high", "g1").await;
    assert_eq!(told.json()["by"], "wang");
}

/// A dispatch centre that may acknowledge by its answers, and another that may not.
fn dispatch(url: &str, patient: &str) -> String {
    format!(
        r#"[[target]]
name = "dispatch"
kind = "webhook"
url = "{url}"
secret_file = "hook.secret"
acknowledges = true

[[target]]
name = "patient"
kind = "webhook"
url = "{patient}"
secret_file = "hook.secret"

[[officer]]
id = "wang"
name = "王强"
channels = ["dispatch"]

[[chain]]
name = "up"
[[chain.level]]
to = ["officer:wang"]
[[chain.level]]
after = "2s"
to = ["officer:wang"]
[[chain.level]]
after = "5s"
to = ["officer:wang"]
[[chain.level]]
after = "15s"
to = ["officer:wang"]

[[route]]
name = "duty"
chain = "up"
"#
    )
}

/// How often each kind of answer was counted.
async fn counted(gateway: &Gateway, target: &str) -> [u64; 3] {
    let target = format!("target=\"{target}\"");
    let mut counted = [0; 3];
    for (place, result) in counted.iter_mut().zip(["acknowledged", "refused", "malformed"]) {
        let result = format!("result=\"{result}\"");
        *place = gateway
            .metric("ninewatch_reply_acknowledgements_total", &[&target, &result])
            .await;
    }
    counted
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_answer_of_an_upstream_system_acknowledges_where_it_may() {
    let broker = Mosquitto::start("");
    let (record, centre, patient) = (Sink::start(), Sink::start(), Sink::start());
    let gateway = Gateway::prepare(broker.port, &record.url())
        .edited("targets = [\"duty\"]\n", "targets = [\"duty\", \"patient\"]\n")
        .edited(
            "[[route]]\nname = \"duty\"\n",
            &dispatch(&centre.url(), &patient.url()),
        )
        .start()
        .await;
    let mut device = Publisher::start(broker.port, "device");
    // What it says is no answer that can be read, and the message is delivered all the same.
    centre.set(Mood::Say(r#"{"acknowledge":{"by":""}}"#));
    // And a good answer of a target that may not acknowledge does nothing.
    patient.set(Mood::Say(r#"{"acknowledge":{"by":"somebody"}}"#));
    device.gas("g1", r#"{"lel":53.2}"#).await;
    eventually("the answer is counted", PATIENCE, async || {
        (counted(&gateway, "dispatch").await == [0, 0, 1]).then_some(())
    })
    .await;
    patient.wait_for("alarm.raised", "test-high", "g1").await;
    let standing = gateway.alarms("state=active").await;
    assert_eq!(standing[0]["state"], "active_unacknowledged");
    let failed = gateway
        .metric(
            "ninewatch_deliveries_total",
            &["target=\"dispatch\"", "result=\"failed\""],
        )
        .await;
    assert_eq!(failed, 0);

    // The next telling is answered by whom it is for.
    centre.set(Mood::Say(
        r#"{"ok":true,"acknowledge":{"by":"dispatcher-7","note":"engine 3 is on its way"}}"#,
    ));
    let told = record
        .wait_for("alarm.acknowledged", "test-high", "g1")
        .await
        .json();
    assert_eq!(
        (&told["by"], &told["note"]),
        (&json!("dispatch: dispatcher-7"), &json!("engine 3 is on its way"))
    );
    // Whoever was told hears of it, and an answer to that acknowledges nothing.
    centre.wait_for("alarm.acknowledged", "test-high", "g1").await;
    assert_eq!(counted(&gateway, "dispatch").await[0], 1);

    let database = rusqlite::Connection::open(gateway.folder().join("data/ninewatch.db")).expect("the store");
    let next: Option<i64> = database
        .query_row(
            "SELECT json_extract(state, '$[0].next.at') FROM escalation",
            [],
            |row| row.get(0),
        )
        .expect("the alarm still stands");
    assert_eq!(next, None, "its chain has ended with the acknowledgement");
    centre.assert_all_signed();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alarm_is_told_on_until_somebody_acknowledges() {
    let broker = Mosquitto::start("");
    let (record, phone) = (Sink::start(), Sink::start());
    let dead = free_port();
    let mut gateway = Gateway::prepare(broker.port, &record.url())
        .edited("[[route]]\nname = \"duty\"\n", &people(dead, &phone.url()))
        .start()
        .await;
    let mut device = Publisher::start(broker.port, "device");
    device.gas("g1", r#"{"lel":53.2}"#).await;
    let raised = record.wait_for("alarm.raised", "test-high", "g1").await;
    let alarm = raised.json()["alarm"]["id"].as_str().expect("an id").to_owned();

    // The pager is dead: the officer on duty is told through his phone, of the same notice.
    let through_phone: Attempt = phone.wait_for("alarm.raised", "test-high", "g1").await;
    assert_eq!(through_phone.json()["id"], raised.json()["id"]);
    let moved = deliveries(&gateway, "state=moved").await;
    assert_eq!(
        (&moved[0]["target"], &moved[0]["to"], &moved[0]["about"]),
        (&json!("pager"), &json!(["wang"]), &json!(alarm))
    );
    told(&record, &[2]).await;
    told(&phone, &[2]).await;

    gateway.kill();
    let mut gateway = gateway.start().await;
    told(&record, &[2, 3]).await;
    told(&phone, &[2, 3]).await;
    let last = record
        .of("alarm.escalated", "test-high", "g1")
        .pop()
        .expect("it came")
        .json();
    assert_eq!(
        (&last["repeat"], &last["alarm"]["id"]),
        (&json!(0), &json!(alarm))
    );

    let link = press(&gateway, &phone).await;
    // Nothing is left to be told, and the chain of events has each telling.
    let events = http::get(&gateway.url("/api/v1/events?limit=1000")).await.text;
    assert_eq!(events.matches("\"alarm.escalated\"").count(), 2, "{events}");
    is_spent(&link, &gateway, (&mut device, &phone)).await;
    gateway.act(&alarm, "acknowledge", "li").await;
    assert!(gateway.terminate().await.success());
    let database = rusqlite::Connection::open(gateway.folder().join("data/ninewatch.db")).expect("the store");
    let next: Option<i64> = database
        .query_row(
            "SELECT json_extract(state, '$[0].next.at') FROM escalation",
            [],
            |row| row.get(0),
        )
        .expect("the alarm still stands");
    assert_eq!(next, None, "somebody has it");
    record.assert_all_signed();
    phone.assert_all_signed();
}
