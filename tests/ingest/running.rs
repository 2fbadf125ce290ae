//! An ingest under test between a real broker and a test that plays gateway and store; and a publisher. Tests only.

use std::time::Duration;

use ninewatch::clock::Clock;
use ninewatch::config::{BrokerUrl, MqttSettings, MqttTls};
use ninewatch::handoff::{Envelope, Receipt};
use ninewatch::ingest::{Ingest, IngestError};
use ninewatch::lifecycle::Health;
use ninewatch::metrics::Metrics;
use rumqttc::{AsyncClient, Event, MqttOptions, Outgoing, Packet, QoS};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

#[path = "../support/eventually.rs"]
#[expect(dead_code, reason = "nothing here has to stay as it is")]
mod waiting;

/// How long anything may take before the test fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// A running ingest and the test's ends of its queues.
pub(crate) struct Running {
    pub(crate) envelopes: mpsc::Receiver<Vec<Envelope>>,
    pub(crate) receipts: mpsc::Sender<Vec<Receipt>>,
    pub(crate) health: Health,
    pub(crate) metrics: Metrics,
    pub(crate) stop: CancellationToken,
    pub(crate) filters: watch::Sender<Vec<String>>,
    task: JoinSet<Result<(), IngestError>>,
    waiting: Vec<Envelope>,
}

impl Running {
    /// Starts an ingest that subscribes to `t/#`, with a queue of `queue` batches.
    pub(crate) fn start(settings: MqttSettings, queue: usize) -> Running {
        Running::subscribing(settings, queue, &["t/#"])
    }

    /// Starts an ingest with these filters.
    pub(crate) fn subscribing(settings: MqttSettings, queue: usize, filters: &[&str]) -> Running {
        let (to_gateway, envelopes) = mpsc::channel(queue);
        let (receipts, from_store) = mpsc::channel(64);
        let (filters, subscriptions) = watch::channel(owned(filters));
        let ingest = Ingest {
            settings,
            subscriptions,
            clock: Clock::new(),
            metrics: Metrics::new(),
            health: Health::new(),
        };
        let stop = CancellationToken::new();
        let (metrics, health) = (ingest.metrics.clone(), ingest.health.clone());
        let mut task = JoinSet::new();
        task.spawn(ingest.run(to_gateway, from_store, stop.clone()));
        Running {
            envelopes,
            receipts,
            health,
            metrics,
            stop,
            filters,
            task,
            waiting: Vec::new(),
        }
    }

    /// From now on these filters are wanted.
    pub(crate) fn want(&self, filters: &[&str]) {
        self.filters.send_replace(owned(filters));
    }

    /// Waits until the session is up.
    pub(crate) async fn up(&self) {
        eventually("the session is up", || self.health.broker()).await;
        assert_eq!(self.metrics.mqtt_connected.get(), 1);
    }

    /// The next `count` envelopes, in order.
    pub(crate) async fn take(&mut self, count: usize) -> Vec<Envelope> {
        while self.waiting.len() < count {
            let batch = timeout(DEADLINE, self.envelopes.recv()).await;
            let batch = batch.unwrap_or_else(|_| panic!("{} of {count} came", self.waiting.len()));
            self.waiting.extend(batch.expect("ingest runs"));
        }
        self.waiting.drain(..count).collect()
    }

    /// Acknowledges `envelopes` and waits until that is on the wire.
    pub(crate) async fn acknowledge(&self, envelopes: &[Envelope]) {
        let before = self.metrics.messages_acknowledged.get();
        let receipts: Vec<Receipt> = envelopes.iter().filter_map(|e| e.receipt).collect();
        let after = before + receipts.len() as u64;
        self.receipts.send(receipts).await.expect("ingest runs");
        eventually("the acknowledgements are written", || {
            self.metrics.messages_acknowledged.get() == after
        })
        .await;
    }

    /// Stops it as the process would, after the last receipt.
    pub(crate) async fn stop(self) {
        let Running {
            stop,
            receipts,
            envelopes,
            task,
            ..
        } = self;
        stop.cancel();
        drop((receipts, envelopes));
        ended(task).await.expect("it ends well");
    }

    /// How it ended; waits for that.
    pub(crate) async fn ended(self) -> Result<(), IngestError> {
        ended(self.task).await
    }
}

fn owned(filters: &[&str]) -> Vec<String> {
    filters.iter().map(|filter| (*filter).to_owned()).collect()
}

async fn ended(mut task: JoinSet<Result<(), IngestError>>) -> Result<(), IngestError> {
    let ended = timeout(DEADLINE, task.join_next()).await;
    ended.expect("it ends").expect("one task").expect("no panic")
}

/// Settings for a plain connection to 127.0.0.1.
pub(crate) fn settings(port: u16) -> MqttSettings {
    MqttSettings {
        url: BrokerUrl::Remote {
            host: "127.0.0.1".to_owned(),
            port,
            tls: false,
        },
        client_id: "ninewatch-test".to_owned(),
        username: None,
        password: None,
        tls: MqttTls::default(),
        keep_alive: Duration::from_secs(30),
        max_packet_size: 256 * 1024,
        queue: 10_000,
    }
}

/// Waits until `condition` holds.
pub(crate) async fn eventually(what: &str, condition: impl Fn() -> bool) {
    waiting::eventually(what, DEADLINE, async || condition().then_some(())).await;
}

/// Publishes `messages` in order and returns once the broker has acknowledged all of them.
pub(crate) async fn publish(port: u16, qos: QoS, messages: &[(&str, Vec<u8>)]) {
    let mut options = MqttOptions::new("publisher", "127.0.0.1", port);
    options.set_max_packet_size(10_000_000, 10_000_000);
    options.set_inflight(1000);
    let (client, mut events) = AsyncClient::new(options, messages.len() + 1);
    for (topic, payload) in messages {
        client
            .publish(*topic, qos, false, payload.clone())
            .await
            .expect("room in its queue");
    }
    let mut left = messages.len();
    while left > 0 {
        let event = timeout(DEADLINE, events.poll()).await.expect("in time");
        match (event.expect("a sound connection"), qos) {
            (Event::Incoming(Packet::PubAck(_)), QoS::AtLeastOnce)
            | (Event::Incoming(Packet::PubComp(_)), QoS::ExactlyOnce)
            | (Event::Outgoing(Outgoing::Publish(_)), QoS::AtMostOnce) => left -= 1,
            _ => {}
        }
    }
    client.disconnect().await.expect("room in its queue");
    while timeout(DEADLINE, events.poll()).await.expect("in time").is_ok() {}
}

/// Publishes the numbers of `range` to `t/n` at QoS 1.
pub(crate) async fn publish_numbers(port: u16, range: std::ops::Range<u32>) {
    let messages: Vec<(&str, Vec<u8>)> = range.map(|n| ("t/n", n.to_string().into_bytes())).collect();
    publish(port, QoS::AtLeastOnce, &messages).await;
}

/// The numbers in `envelopes`.
pub(crate) fn numbers(envelopes: &[Envelope]) -> Vec<u32> {
    envelopes
        .iter()
        .map(|e| {
            std::str::from_utf8(&e.payload)
                .expect("digits")
                .parse()
                .expect("a number")
        })
        .collect()
}
