//! Ingest against a real mosquitto: acknowledgement, order, backpressure, outages, limits, refusals.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "../benches/support/direct_source.rs"]
#[expect(dead_code, reason = "nothing here has to warm up")]
mod direct_source;
#[path = "ingest/filters.rs"]
mod filters;
#[path = "support/mosquitto.rs"]
mod mosquitto;
#[path = "ingest/running.rs"]
mod running;
#[path = "ingest/tls.rs"]
mod tls;

use std::time::Duration;

use ninewatch::config::Secret;
use ninewatch::ingest::IngestError;
use rumqttc::QoS;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use direct_source::{DirectSource, Load};
use mosquitto::Mosquitto;
use running::{DEADLINE, Running, eventually, numbers, publish, publish_numbers, settings};

#[tokio::test]
async fn exactly_the_unacknowledged_messages_come_again() {
    let broker = Mosquitto::start("max_inflight_messages 1000");
    let mut first = Running::start(settings(broker.port), 64);
    first.up().await;
    publish_numbers(broker.port, 0..100).await;
    let envelopes = first.take(100).await;
    assert_eq!(numbers(&envelopes), (0..100).collect::<Vec<_>>());
    assert!(
        envelopes
            .iter()
            .all(|e| !e.duplicate && !e.retained && e.topic == "t/n")
    );
    first.acknowledge(&envelopes[..40]).await;
    assert_eq!(first.metrics.messages_received.get(), 100);
    first.stop().await;

    let mut second = Running::start(settings(broker.port), 64);
    let again = second.take(60).await;
    assert_eq!(numbers(&again), (40..100).collect::<Vec<_>>());
    assert!(again.iter().all(|e| e.duplicate));
    second.acknowledge(&again).await;
    second.stop().await;

    let mut third = Running::start(settings(broker.port), 64);
    third.up().await;
    publish_numbers(broker.port, 100..101).await;
    assert_eq!(numbers(&third.take(1).await), [100]);
}

#[tokio::test]
async fn messages_published_while_it_was_away_wait_for_it() {
    let mut broker = Mosquitto::start("persistence true");
    let first = Running::start(settings(broker.port), 64);
    first.up().await;
    first.stop().await;
    publish_numbers(broker.port, 0..10).await;
    broker.restart();
    let mut second = Running::start(settings(broker.port), 64);
    assert_eq!(numbers(&second.take(10).await), (0..10).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_new_filter_reaches_a_session_that_the_broker_kept() {
    let broker = Mosquitto::start("");
    let first = Running::start(settings(broker.port), 64);
    first.up().await;
    first.stop().await;
    let mut second = Running::subscribing(settings(broker.port), 64, &["t/#", "s/#"]);
    second.up().await;
    publish(broker.port, QoS::AtLeastOnce, &[("s/n", b"3".to_vec())]).await;
    assert_eq!(numbers(&second.take(1).await), [3]);
}

#[tokio::test]
async fn a_full_queue_stops_reading_but_not_acknowledging_and_loses_nothing() {
    let broker = Mosquitto::start("max_inflight_messages 20000\nlog_type all");
    let mut settings = settings(broker.port);
    settings.keep_alive = Duration::from_secs(1);
    let mut running = Running::start(settings, 1);
    running.up().await;
    publish_numbers(broker.port, 0..1).await;
    let first = running.take(1).await;
    publish_numbers(broker.port, 1..10_000).await;
    running.acknowledge(&first).await;
    // mosquitto drops a client that is silent for 1.5 s: three pings mean that it is alive although nobody reads.
    let pings = broker.logged("Received PINGREQ from ninewatch-test");
    eventually("pings go on", || {
        broker.logged("Received PINGREQ from ninewatch-test") >= pings + 3
    })
    .await;
    let read = running.metrics.messages_received.get();
    assert!(read < 10_000, "it went on reading: {read}");
    let rest = running.take(9_999).await;
    assert_eq!(numbers(&rest), (1..10_000).collect::<Vec<_>>());
    assert!(rest.iter().all(|e| e.receipt.is_some_and(|r| r.connection == 1)));
    running.acknowledge(&rest).await;
}

#[tokio::test]
async fn a_restart_of_the_broker_makes_old_receipts_void() {
    let mut broker = Mosquitto::start("persistence true");
    let mut running = Running::start(settings(broker.port), 64);
    running.up().await;
    publish_numbers(broker.port, 0..10).await;
    let before = running.take(10).await;
    broker.stop();
    eventually("the outage is noticed", || !running.health.broker()).await;
    assert_eq!(running.metrics.mqtt_connected.get(), 0);
    broker.resume();
    running.up().await;
    let after = running.take(10).await;
    assert_eq!(numbers(&after), numbers(&before));
    let connection = |e: &ninewatch::handoff::Envelope| e.receipt.expect("QoS 1").connection;
    assert!(connection(&after[0]) > connection(&before[0]));

    let old = before.iter().filter_map(|e| e.receipt).collect();
    running.receipts.send(old).await.expect("ingest runs");
    running.acknowledge(&after[..1]).await;
    assert_eq!(
        running.metrics.messages_acknowledged.get(),
        1,
        "old receipts count"
    );
}

#[tokio::test]
async fn a_broker_that_forgot_the_session_is_subscribed_to_again() {
    let mut broker = Mosquitto::start("persistence false");
    let mut running = Running::start(settings(broker.port), 64);
    running.up().await;
    broker.kill();
    eventually("the outage is noticed", || !running.health.broker()).await;
    broker.resume();
    running.up().await;
    publish_numbers(broker.port, 7..8).await;
    assert_eq!(numbers(&running.take(1).await), [7]);
}

#[tokio::test]
async fn an_oversize_payload_is_named_and_acknowledged_without_a_reconnect() {
    let broker = Mosquitto::start("");
    let mut settings = settings(broker.port);
    settings.max_packet_size = 1024;
    let mut running = Running::start(settings, 64);
    running.up().await;
    let messages = [
        ("t/fits", vec![b'x'; 1024]),
        ("t/big", vec![b'x'; 3_000_000]),
        ("t/one-more", vec![b'x'; 1025]),
        ("t/small", vec![b'x'; 1]),
    ];
    publish(broker.port, QoS::AtLeastOnce, &messages).await;
    let envelopes = running.take(4).await;
    let seen: Vec<_> = envelopes
        .iter()
        .map(|e| (e.topic.as_str(), e.payload.len(), e.oversize))
        .collect();
    assert_eq!(
        seen,
        [
            ("t/fits", 1024, None),
            ("t/big", 0, Some(3_000_000)),
            ("t/one-more", 0, Some(1025)),
            ("t/small", 1, None),
        ]
    );
    assert!(
        envelopes
            .iter()
            .all(|e| e.receipt.is_some_and(|r| r.connection == 1))
    );
    running.acknowledge(&envelopes).await;
}

#[tokio::test]
async fn only_what_was_published_at_qos_0_owes_nothing() {
    let broker = Mosquitto::start("");
    let mut running = Running::start(settings(broker.port), 64);
    running.up().await;
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        publish(broker.port, qos, &[("t/q", b"1".to_vec())]).await;
    }
    let envelopes = running.take(3).await;
    let owed: Vec<bool> = envelopes.iter().map(|e| e.receipt.is_some()).collect();
    assert_eq!(owed, [false, true, true]);
}

#[tokio::test]
async fn receipts_are_acknowledged_after_the_word_to_stop() {
    let broker = Mosquitto::start("");
    let mut first = Running::start(settings(broker.port), 64);
    first.up().await;
    publish_numbers(broker.port, 0..10).await;
    let envelopes = first.take(10).await;
    first.stop.cancel();
    let end = timeout(DEADLINE, first.envelopes.recv()).await.expect("in time");
    assert!(end.is_none(), "the gateway learns that nothing more comes");
    first.acknowledge(&envelopes[..9]).await;
    first.stop().await;
    let mut second = Running::start(settings(broker.port), 64);
    assert_eq!(numbers(&second.take(1).await), [9]);
}

#[tokio::test]
async fn a_wrong_password_is_tried_again_and_the_right_one_is_let_in() {
    let broker = Mosquitto::start_with(
        "allow_anonymous false\npassword_file {folder}/passwords\nlog_type all",
        |folder| {
            let file = folder.join("passwords");
            let status = std::process::Command::new("mosquitto_passwd")
                .args(["-b", "-c"])
                .arg(&file)
                .args(["gateway", "right"])
                .status();
            assert!(status.expect("mosquitto_passwd runs").success());
        },
    );
    let mut settings = settings(broker.port);
    settings.username = Some("gateway".to_owned());
    settings.password = Some(Secret::new("wrong".to_owned()));
    let refused = Running::start(settings.clone(), 64);
    eventually("it tries again", || broker.logged("(0, 5)") >= 3).await;
    assert!(!refused.health.broker());
    refused.stop().await;
    settings.password = Some(Secret::new("right".to_owned()));
    Running::start(settings, 64).up().await;
}

/// Accepts a client and lets it in, by hand.
async fn let_in(listener: &TcpListener) -> TcpStream {
    let (mut stream, _) = timeout(DEADLINE, listener.accept())
        .await
        .expect("it connects")
        .expect("a connection");
    let mut packet = [0; 256];
    let count = stream.read(&mut packet).await.expect("CONNECT");
    assert_eq!(packet[..count].first(), Some(&0x10));
    stream.write_all(&[0x20, 2, 0, 0]).await.expect("CONNACK is sent");
    stream
}

// By hand, because mosquitto's ACL file grants every subscription and only holds the messages back.
#[tokio::test]
async fn a_refused_filter_is_asked_for_again_while_the_others_serve() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mut settings = settings(listener.local_addr().expect("it").port());
    settings.keep_alive = Duration::from_secs(1);
    let mut running = Running::subscribing(settings, 64, &["t/#", "s/#"]);
    let mut broker = let_in(&listener).await;
    let mut subscribe = [0; 16];
    broker.read_exact(&mut subscribe).await.expect("SUBSCRIBE");
    assert_eq!(&subscribe, b"\x82\x0e\x00\x01\x00\x03t/#\x01\x00\x03s/#\x01");
    let refused = [0x90, 4, 0, 1, 1, 0x80];
    let message = [0x32, 6, 0, 1, b't', 0, 1, b'1'];
    broker
        .write_all(&[&refused[..], &message].concat())
        .await
        .expect("sent");
    assert_eq!(numbers(&running.take(1).await), [1]);
    assert!(!running.health.broker());
    let mut again = [0; 10];
    while again.first() != Some(&0x82) {
        broker
            .read_exact(&mut again[..2])
            .await
            .expect("a ping or SUBSCRIBE");
    }
    broker.read_exact(&mut again[2..]).await.expect("SUBSCRIBE");
    assert_eq!(&again, b"\x82\x08\x00\x02\x00\x03s/#\x01");
    broker
        .write_all(&[0x90, 3, 0, 2, 1])
        .await
        .expect("SUBACK is sent");
    running.up().await;
}

#[tokio::test]
async fn a_malformed_packet_ends_the_connection_after_the_good_ones() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mut running = Running::start(settings(listener.local_addr().expect("it").port()), 64);
    let mut broker = let_in(&listener).await;
    // A message "1" at QoS 1 on topic "t", then a topic that is not UTF-8.
    let wire = [0x32, 6, 0, 1, b't', 0, 1, b'1', 0x30, 3, 0, 1, 0xff];
    broker.write_all(&wire).await.expect("sent");
    assert_eq!(numbers(&running.take(1).await), [1]);
    let _second = let_in(&listener).await;
    assert!(!running.health.broker());
}

#[tokio::test]
async fn a_broker_that_goes_silent_is_left() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mut settings = settings(listener.local_addr().expect("it").port());
    settings.keep_alive = Duration::from_millis(400);
    let running = Running::start(settings, 64);
    let mut broker = let_in(&listener).await;
    broker
        .write_all(&[0x90, 3, 0, 1, 1])
        .await
        .expect("SUBACK is sent");
    running.up().await;
    let _second = let_in(&listener).await;
    assert!(!running.health.broker());
}

#[tokio::test]
async fn it_ends_when_nobody_is_behind_it() {
    let broker = Mosquitto::start("");
    let mut running = Running::start(settings(broker.port), 64);
    running.up().await;
    running.envelopes.close();
    publish_numbers(broker.port, 0..1).await;
    let ended = running.ended().await;
    assert!(matches!(ended, Err(IngestError::EnvelopesClosed)), "{ended:?}");
}

/// 1 000 topics and payloads of many lengths, 200 000 messages in all.
fn load(window: u16) -> Load {
    let message = |n: usize| (format!("t/{n}"), vec![b'x'; n]);
    Load {
        messages: (0..1_000).map(message).collect(),
        warm_up: 0,
        total: 200_000,
        window,
    }
}

#[tokio::test]
async fn acknowledgements_go_out_in_receive_order_at_full_speed() {
    let source = DirectSource::start(&load(65_535)).expect("it listens");
    let mut running = Running::start(settings(source.port), 4);
    let mut count = 0;
    while count < 200_000 {
        let batch = timeout(DEADLINE, running.envelopes.recv())
            .await
            .expect("in time");
        let batch = batch.expect("ingest runs");
        for envelope in &batch {
            assert_eq!(envelope.topic, format!("t/{}", count % 1_000));
            assert_eq!(envelope.payload.len(), count % 1_000);
            count += 1;
        }
        let receipts = batch.iter().filter_map(|e| e.receipt).collect();
        running.receipts.send(receipts).await.expect("ingest runs");
    }
    let report = tokio::task::spawn_blocking(|| source.finish());
    let report = report.await.expect("no panic").expect("all in order");
    assert_eq!(report.messages, 200_000);
    assert!(report.rate() > 0.0 && report.source_cpu < report.elapsed);
    assert_eq!(running.metrics.messages_acknowledged.get(), 200_000);
}

#[tokio::test]
async fn the_source_notices_acknowledgements_out_of_order() {
    let source = DirectSource::start(&load(100)).expect("it listens");
    let mut running = Running::start(settings(source.port), 4);
    let mut envelopes = running.take(100).await;
    envelopes.swap(50, 51);
    running.acknowledge(&envelopes).await;
    let report = tokio::task::spawn_blocking(|| source.finish());
    let error = report
        .await
        .expect("no panic")
        .expect_err("out of order")
        .to_string();
    assert!(
        error.contains("acknowledgement 50 is for packet 52, not 51"),
        "{error}"
    );
}
