//! Filters that change while ingest runs, against a real mosquitto: on the running session, across outages, refused.

use rumqttc::QoS;

use super::mosquitto::Mosquitto;
use super::running::{Running, eventually, numbers, publish, publish_numbers, settings};

const LOGGING: &str = "log_type all\npersistence true";
const CONNECTED: &str = " as ninewatch-test ";

async fn publish_to(port: u16, topic: &str, number: u32) {
    publish(
        port,
        QoS::AtLeastOnce,
        &[(topic, number.to_string().into_bytes())],
    )
    .await;
}

#[tokio::test]
async fn filters_change_on_the_running_session() {
    let broker = Mosquitto::start(LOGGING);
    let mut running = Running::start(settings(broker.port), 64);
    running.up().await;
    publish_numbers(broker.port, 0..1).await;
    let first = running.take(1).await;

    running.want(&["s/#", "u/+"]);
    eventually("the old filter is given up", || {
        broker.logged("Received UNSUBSCRIBE from ninewatch-test") == 1
    })
    .await;
    publish_to(broker.port, "t/n", 1).await;
    publish_to(broker.port, "s/n", 2).await;
    publish_to(broker.port, "u/n", 3).await;
    let more = running.take(2).await;
    assert_eq!(numbers(&more), [2, 3], "t/# is not wanted any more");
    running.acknowledge(&first).await;
    running.acknowledge(&more).await;
    assert_eq!(broker.logged(CONNECTED), 1, "one session all along");
    assert!(running.health.broker());
}

#[tokio::test]
async fn a_filter_that_stays_is_not_asked_for_again() {
    let broker = Mosquitto::start(LOGGING);
    let mut running = Running::start(settings(broker.port), 64);
    running.up().await;
    running.want(&["t/#", "s/#"]);
    eventually("the new filter is asked for", || {
        broker.logged("Received SUBSCRIBE from ninewatch-test") == 2
    })
    .await;
    publish_to(broker.port, "t/n", 1).await;
    publish_to(broker.port, "s/n", 2).await;
    assert_eq!(numbers(&running.take(2).await), [1, 2]);
    assert_eq!(broker.logged("Received UNSUBSCRIBE"), 0);
}

#[tokio::test]
async fn what_changes_during_an_outage_holds_after_it() {
    let mut broker = Mosquitto::start(LOGGING);
    let mut running = Running::start(settings(broker.port), 64);
    running.up().await;
    broker.stop();
    eventually("the outage is noticed", || !running.health.broker()).await;
    running.want(&["s/#"]);
    broker.resume();
    running.up().await;
    eventually("the old filter is given up", || {
        broker.logged("Received UNSUBSCRIBE from ninewatch-test") == 1
    })
    .await;
    publish_to(broker.port, "t/n", 1).await;
    publish_to(broker.port, "s/n", 2).await;
    assert_eq!(
        numbers(&running.take(1).await),
        [2],
        "the kept session forgot t/#"
    );
}

#[tokio::test]
async fn a_refused_filter_that_is_not_wanted_any_more_is_no_trouble() {
    let folder = tempfile::tempdir().expect("a folder");
    let acl = folder.path().join("acl");
    std::fs::write(&acl, "topic readwrite t/#\n").expect("a file");
    let broker = Mosquitto::start(&format!("{LOGGING}\nacl_file {}", acl.display()));
    let running = Running::start(settings(broker.port), 64);
    running.up().await;
    running.want(&["t/#", "t/a/#"]);
    eventually("it is asked for", || {
        broker.logged("Received SUBSCRIBE from ninewatch-test") == 2
    })
    .await;
    running.want(&["t/#"]);
    running.up().await;
}
