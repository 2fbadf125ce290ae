//! A device that publishes at least once and remembers which messages the broker acknowledged.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, Outgoing, Packet, QoS};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::{PATIENCE, eventually};

const QUEUE: usize = 4096;
const INFLIGHT: u16 = 500;
const RECONNECT: Duration = Duration::from_millis(50);

/// A connected publisher. Messages are numbered from 0 in the order of publishing.
pub(crate) struct Publisher {
    client: AsyncClient,
    published: u64,
    acked: watch::Receiver<BTreeSet<u64>>,
    _connection: JoinSet<()>,
}

impl Publisher {
    /// Connects to the broker on this port, and reconnects whenever it must.
    pub(crate) fn start(port: u16, client_id: &str) -> Publisher {
        let mut options = MqttOptions::new(client_id, "127.0.0.1", port);
        options.set_inflight(INFLIGHT);
        options.set_clean_session(false);
        options.set_max_packet_size(16 * 1024 * 1024, 16 * 1024 * 1024);
        let (client, mut events) = AsyncClient::new(options, QUEUE);
        let mut network = rumqttc::NetworkOptions::new();
        network.set_tcp_nodelay(true);
        events.set_network_options(network);
        let (acked, acked_receiver) = watch::channel(BTreeSet::new());
        let mut connection = JoinSet::new();
        connection.spawn(track(events, acked));
        Publisher {
            client,
            published: 0,
            acked: acked_receiver,
            _connection: connection,
        }
    }

    /// Publishes and gives the message's number. Waits only when the client's queue is full.
    pub(crate) async fn publish(&mut self, topic: &str, payload: impl Into<Vec<u8>>) -> u64 {
        self.send(topic, payload.into(), false).await
    }

    /// Has the broker keep a message for whoever subscribes later.
    pub(crate) async fn retain(&mut self, topic: &str, payload: &[u8]) -> u64 {
        self.send(topic, payload.to_vec(), true).await
    }

    async fn send(&mut self, topic: &str, payload: Vec<u8>, retain: bool) -> u64 {
        let number = self.published;
        self.published += 1;
        self.client
            .publish(topic, QoS::AtLeastOnce, retain, payload)
            .await
            .unwrap_or_else(|error| panic!("publish on {topic}: {error}"));
        number
    }

    /// Publishes a gas detector's telemetry of venue `v1`.
    pub(crate) async fn gas(&mut self, device: &str, payload: &str) -> u64 {
        self.publish(&format!("ninewatch/v1/gas_detector/{device}/telemetry"), payload)
            .await
    }

    /// How many messages were given to the client.
    pub(crate) fn published(&self) -> u64 {
        self.published
    }

    /// The numbers of the messages that the broker has acknowledged.
    pub(crate) fn acked(&self) -> BTreeSet<u64> {
        self.acked.borrow().clone()
    }

    /// Waits until the broker has acknowledged everything.
    pub(crate) async fn flush(&self) {
        eventually("the broker acknowledges every message", PATIENCE, async || {
            (self.acked.borrow().len() as u64 == self.published).then_some(())
        })
        .await;
    }
}

/// Follows the client's own account of packet ids: it numbers publishes in the order they were given to it.
async fn track(mut events: EventLoop, acked: watch::Sender<BTreeSet<u64>>) {
    let mut next = 0_u64;
    let mut in_flight: BTreeMap<u16, u64> = BTreeMap::new();
    loop {
        match events.poll().await {
            Ok(Event::Outgoing(Outgoing::Publish(packet))) => {
                // A packet id that is still in flight goes out again after a reconnect: no new message.
                if let Entry::Vacant(vacant) = in_flight.entry(packet) {
                    vacant.insert(next);
                    next += 1;
                }
            }
            Ok(Event::Incoming(Packet::PubAck(ack))) => {
                if let Some(number) = in_flight.remove(&ack.pkid) {
                    acked.send_modify(|all| {
                        all.insert(number);
                    });
                }
            }
            Ok(_) => {}
            Err(_) => sleep(RECONNECT).await,
        }
    }
}
