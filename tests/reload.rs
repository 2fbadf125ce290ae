//! Reload on real servers: the real binary, a real mosquitto, a real webhook. Rules, profiles and routes change while
//! readings come in; what is wrong changes nothing; nothing is lost, missed or taken twice.

#![cfg(test)]

mod support;

use std::fs;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use support::gateway::{Gateway, TEST_RULES, signal, write};
use support::http::{self, Answer};
use support::mosquitto::Mosquitto;
use support::publisher::Publisher;
use support::sink::{Mood, Sink};
use support::{PATIENCE, eventually};

const LOADED: &str = "ninewatch_config_last_reload_successful";
const OLD_LIMIT: &str = "lel >= 50.0";

async fn reload(gateway: &Gateway) -> Answer {
    http::post(&gateway.url("/-/reload"), &json!({})).await
}

/// Reloads, which must succeed.
async fn reloaded(gateway: &Gateway) {
    let answer = reload(gateway).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(gateway.metric(LOADED, &[]).await, 1);
}

/// Writes the test's rules with `to` in the place of `from`.
fn set_rules(gateway: &Gateway, from: &str, to: &str) {
    assert!(TEST_RULES.contains(from), "{from}");
    write(
        &gateway.folder().join("rules/test.toml"),
        &TEST_RULES.replace(from, to),
    );
}

fn edit(gateway: &Gateway, from: &str, to: &str) {
    let text = fs::read_to_string(gateway.config()).unwrap();
    assert!(text.contains(from), "{from}");
    write(&gateway.config(), &text.replace(from, to));
}

/// Many devices of another venue that go on talking until they are told to stop: how many messages that were.
struct Crowd {
    stop: tokio_util::sync::CancellationToken,
    talking: JoinSet<Publisher>,
}

impl Crowd {
    fn start(port: u16) -> Crowd {
        let stop = tokio_util::sync::CancellationToken::new();
        let mut talking = JoinSet::new();
        let told = stop.clone();
        talking.spawn(async move {
            let mut crowd = Publisher::start(port, "crowd");
            while !told.is_cancelled() {
                let number = crowd.published();
                let topic = format!("ninewatch/v2/gas_detector/c{}/telemetry", number % 100);
                crowd
                    .publish(&topic, format!(r#"{{"lel":{}.0}}"#, number % 9))
                    .await;
            }
            crowd
        });
        Crowd { stop, talking }
    }

    async fn end(mut self) -> u64 {
        self.stop.cancel();
        let crowd = self.talking.join_next().await.unwrap().unwrap();
        crowd.flush().await;
        crowd.published()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_change_under_a_stream_of_readings_and_nothing_is_lost() {
    let broker = Mosquitto::start("log_type all\nmax_queued_messages 0");
    let sink = Sink::start();
    let gateway = Gateway::prepare(broker.port, &sink.url()).start().await;
    let mut device = Publisher::start(broker.port, "device");
    device.gas("l1", r#"{"lel":30.0}"#).await;
    device.gas("l2", r#"{"lel":12.0}"#).await;
    gateway.wait_acknowledged(2).await;
    let crowd = Crowd::start(broker.port);
    eventually("the crowd talks", PATIENCE, async || {
        (gateway.metric("ninewatch_messages_received_total", &[]).await > 500).then_some(())
    })
    .await;

    set_rules(&gateway, OLD_LIMIT, "lel >= 25.0");
    reloaded(&gateway).await;
    let raised = sink.wait_for("alarm.raised", "test-high", "l1").await.json();
    assert_eq!(
        raised["alarm"]["values"],
        json!({ "lel": 30.0 }),
        "its last reading"
    );
    assert_eq!(raised["alarm"]["late"], false);

    set_rules(&gateway, OLD_LIMIT, "lell >= 10.0");
    let refused = reload(&gateway).await;
    check_refused(&refused, "rules/test.toml", (5, 9), "lell");
    assert_eq!(gateway.metric(LOADED, &[]).await, 0);
    device.gas("l3", r#"{"lel":26.0}"#).await;
    sink.wait_for("alarm.raised", "test-high", "l3").await;
    assert!(
        sink.of("alarm.raised", "test-high", "l2").is_empty(),
        "nothing of it came into force"
    );

    set_rules(&gateway, OLD_LIMIT, "lel >= 10.0");
    signal(gateway.pid(), "HUP");
    sink.wait_for("alarm.raised", "test-high", "l2").await;
    eventually("the metric shows it", PATIENCE, async || {
        (gateway.metric(LOADED, &[]).await == 1).then_some(())
    })
    .await;

    let published = crowd.end().await + device.published();
    gateway.wait_acknowledged(published).await;
    for (metric, expected) in [
        ("ninewatch_messages_acknowledged_total", published),
        ("ninewatch_readings_total", published),
        ("ninewatch_readings_repeated_total", 0),
        ("ninewatch_dead_letters_total", 0),
    ] {
        assert_eq!(gateway.metric(metric, &[]).await, expected, "{metric}");
    }
    for name in ["l1", "l2", "l3"] {
        assert_eq!(sink.of("alarm.raised", "test-high", name).len(), 1, "{name}");
    }
    assert_eq!(
        broker.logged(" as ninewatch-test "),
        1,
        "one MQTT session all along"
    );
}

/// Checks the one finding of a 422.
fn check_refused(answer: &Answer, file: &str, (line, column): (u64, u64), word: &str) {
    assert_eq!(answer.status, 422, "{}", answer.text);
    assert!(answer.content_type.starts_with("application/problem+json"));
    let problem = answer.json();
    let findings = problem["findings"].as_array().unwrap();
    assert_eq!(findings.len(), 1, "{problem}");
    let finding = &findings[0];
    assert!(finding["file"].as_str().unwrap().ends_with(file), "{finding}");
    assert_eq!(
        (&finding["line"], &finding["column"]),
        (&json!(line), &json!(column))
    );
    assert!(finding["message"].as_str().unwrap().contains(word), "{finding}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_takes_a_restart_is_refused_and_said() {
    let broker = Mosquitto::start("");
    let sink = Sink::start();
    let mut gateway = Gateway::prepare(broker.port, &sink.url()).start().await;
    edit(
        &gateway,
        "client_id = \"ninewatch-test\"",
        "client_id = \"other\"",
    );
    set_rules(&gateway, OLD_LIMIT, "lel >= 10.0");
    let refused = reload(&gateway).await;
    check_refused(
        &refused,
        "ninewatch.toml",
        (7, 13),
        "restart to change `mqtt.client_id`",
    );
    signal(gateway.pid(), "HUP");
    eventually("the log says it as `check` does", PATIENCE, async || {
        let log = gateway.log();
        (log.contains("restart to change `mqtt.client_id`") && log.contains("ninewatch.toml:7:13"))
            .then_some(())
    })
    .await;
    let mut device = Publisher::start(broker.port, "device");
    device.gas("f1", r#"{"lel":20.0}"#).await;
    gateway.wait_acknowledged(1).await;
    assert!(
        gateway.alarms("state=all").await.is_empty(),
        "the rules were not taken either"
    );
    fs::remove_file(gateway.config()).unwrap();
    let refused = reload(&gateway).await;
    check_refused(&refused, "ninewatch.toml", (1, 1), "cannot read");
    assert!(
        gateway.terminate().await.success(),
        "and it goes on until it is told to stop"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn profiles_and_venues_change_on_the_running_session() {
    const PROFILE: &str = "[profile]\nname = \"plain\"\n[[message]]\ntopic = \"plain/{device}\"\n\
        kind = \"gas_detector\"\npayload = \"text\"\n[[message.point]]\npoint = \"lel\"\n";
    const VENUE: &str = "\n[[venue.device]]\nid = \"p1\"\nkind = \"gas_detector\"\nname = \"地下室\"\n";
    let broker = Mosquitto::start("log_type all");
    let sink = Sink::start();
    let gateway = Gateway::prepare(broker.port, &sink.url()).start().await;
    let at = gateway.folder();
    let mut device = Publisher::start(broker.port, "device");

    fs::create_dir(at.join("profiles")).unwrap();
    write(&at.join("profiles/plain.toml"), PROFILE);
    let venues = fs::read_to_string(at.join("venues.toml")).unwrap();
    write(&at.join("venues.toml"), &format!("{venues}{VENUE}"));
    edit(
        &gateway,
        "[files]\n",
        "[files]\nprofiles = [\"profiles/*.toml\"]\n",
    );
    reloaded(&gateway).await;
    eventually("the new filter is subscribed to", PATIENCE, async || {
        (broker.logged("Received SUBSCRIBE from ninewatch-test") == 2).then_some(())
    })
    .await;
    device.publish("plain/p1", "60").await;
    let raised = sink.wait_for("alarm.raised", "test-high", "p1").await.json();
    assert_eq!(raised["alarm"]["device"]["name"], "地下室");
    assert_eq!(raised["alarm"]["venue"]["id"], "v1", "by the registry");

    edit(
        &gateway,
        "[files]\nprofiles = [\"profiles/*.toml\"]\n",
        "[files]\n",
    );
    reloaded(&gateway).await;
    eventually("the filter is given up", PATIENCE, async || {
        (broker.logged("Received UNSUBSCRIBE from ninewatch-test") == 1).then_some(())
    })
    .await;
    device.publish("plain/p1", "1").await;
    device.gas("g1", r#"{"lel":60.0}"#).await;
    sink.wait_for("alarm.raised", "test-high", "g1").await;
    gateway.wait_acknowledged(2).await;
    assert_eq!(gateway.metric("ninewatch_messages_received_total", &[]).await, 2);
    assert_eq!(
        broker.logged(" as ninewatch-test "),
        1,
        "one MQTT session all along"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reloads_outlast_a_kill() {
    let broker = Mosquitto::start("");
    let sink = Sink::start();
    let mut gateway = Gateway::prepare(broker.port, &sink.url()).start().await;
    let mut device = Publisher::start(broker.port, "device");
    device.gas("k1", r#"{"lel":30.0,"temperature":70.0}"#).await;
    sink.wait_for("alarm.raised", "test-hot", "k1").await;
    for limit in ["lel >= 45.0", "lel >= 40.0", "lel >= 25.0"] {
        set_rules(&gateway, OLD_LIMIT, limit);
        reloaded(&gateway).await;
    }
    let raised = sink.wait_for("alarm.raised", "test-high", "k1").await.json();
    let without_hot = TEST_RULES.split("[[rule]]\nid = \"test-hot\"").next().unwrap();
    let rules = without_hot.replace(OLD_LIMIT, "lel >= 25.0");
    write(&gateway.folder().join("rules/test.toml"), &rules);
    let (first, second) = tokio::join!(reload(&gateway), reload(&gateway));
    assert_eq!(
        (first.status, second.status),
        (200, 200),
        "one waits for the other"
    );
    let ended = [&first, &second].map(|answer| answer.json()["alarms_ended"].as_u64().unwrap());
    assert_eq!(ended.iter().sum::<u64>(), 1, "said once");
    assert!(
        gateway
            .log()
            .contains("1 standing alarm ended because the rule is gone"),
        "{}",
        gateway.log()
    );
    let cleared = sink.wait_for("alarm.cleared", "test-hot", "k1").await.json();
    assert_eq!(cleared["alarm"]["state"], "cleared");
    assert_eq!(cleared["alarm"]["cleared_reason"], "rule_removed");

    gateway.kill();
    let gateway = gateway.start().await;
    let standing = gateway.alarms("state=active").await;
    let ids: Vec<&Value> = standing.iter().map(|alarm| &alarm["id"]).collect();
    assert_eq!(ids, [&raised["alarm"]["id"]]);
    device.gas("k1", r#"{"lel":2.0}"#).await;
    sink.wait_for("alarm.recovered", "test-high", "k1").await;
    assert_eq!(sink.of("alarm.raised", "test-high", "k1").len(), 1);
    sink.assert_all_signed();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_use_the_words_of_the_kinds_in_force() {
    let kinds = include_str!("../config/kinds.toml");
    let (before, after) = ("燃气浓度", "瓦斯含量");
    assert!(kinds.contains(before));
    let broker = Mosquitto::start("");
    let hook = Sink::start();
    let group = Sink::start();
    group.set(Mood::Say(r#"{"errcode":0}"#));
    let robot = format!(
        "[[target]]\nname = \"group\"\nkind = \"wecom\"\nurl = \"{}?key=k\"\n",
        group.url()
    );
    let gateway = Gateway::prepare(broker.port, &hook.url())
        .edited("[[target]]\n", &format!("{robot}[[target]]\n"))
        .edited("targets = [", "targets = [\"group\", ")
        .start()
        .await;
    let told = async |device: &str, word: &str| {
        eventually("the group is told in these words", PATIENCE, async || {
            let texts = group.attempts();
            let mut texts = texts
                .iter()
                .map(|attempt| attempt.json()["markdown"]["content"].to_string());
            texts
                .any(|text| text.contains(device) && text.contains(word))
                .then_some(())
        })
        .await;
    };
    let mut device = Publisher::start(broker.port, "device");
    device.gas("g1", r#"{"lel":60.0}"#).await;
    told("厨房", before).await;
    write(
        &gateway.folder().join("kinds.toml"),
        &kinds.replace(before, after),
    );
    reloaded(&gateway).await;
    device.gas("g2", r#"{"lel":60.0}"#).await;
    told("g2", after).await;
}
