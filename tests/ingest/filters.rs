//! Filters that change while ingest runs, against a real mosquitto: on the running session, across outages, refused.

use rumqttc::QoS;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::let_in;
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

// By hand, because mosquitto grants every subscription.
#[tokio::test]
async fn a_refused_filter_that_is_given_up_is_no_trouble_any_more() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let settings = settings(listener.local_addr().expect("it").port());
    let running = Running::subscribing(settings, 64, &["t/#"]);
    let mut broker = let_in(&listener).await;
    broker.read_exact(&mut [0; 10]).await.expect("SUBSCRIBE");
    broker.write_all(&[0x90, 3, 0, 1, 1]).await.expect("SUBACK");
    running.up().await;
    running.want(&["t/#", "s/#"]);
    let mut packet = [0; 10];
    broker.read_exact(&mut packet).await.expect("SUBSCRIBE");
    assert_eq!(&packet, b"\x82\x08\x00\x02\x00\x03s/#\x01");
    broker.write_all(&[0x90, 3, 0, 2, 0x80]).await.expect("SUBACK");
    eventually("the refusal shows", || !running.health.broker()).await;
    running.want(&["t/#"]);
    let mut packet = [0; 9];
    broker.read_exact(&mut packet).await.expect("UNSUBSCRIBE");
    assert_eq!(&packet, b"\xa2\x07\x00\x03\x00\x03s/#");
    running.up().await;
    broker.write_all(&[0xb0, 2, 0, 3]).await.expect("UNSUBACK");
    running.stop().await;
}
