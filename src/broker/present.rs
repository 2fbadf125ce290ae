//! The broker of a build that has one: rmqtt on a listener, with the settings that ninewatch's promise needs.

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::time::Duration;

use rmqtt::context::ServerContext;
use rmqtt::net::Builder;
use rmqtt::server::MqttServer;
use tokio::task::JoinSet;

use super::BrokerError;

/// How long a session that nobody resumes is kept: a gateway may be away over a long holiday.
const SESSION_KEPT: Duration = Duration::from_hours(14 * 24);
/// Messages that may wait for one absent or slow subscriber.
const QUEUED_PER_SESSION: usize = 100_000;
/// Unacknowledged messages one subscriber may hold: ninewatch acknowledges in batches, after its commit.
const IN_FLIGHT: NonZeroU16 = NonZeroU16::MIN.saturating_add(8_191);

/// A running broker. It takes no new connection after it is dropped.
#[derive(Debug)]
pub struct EmbeddedBroker {
    address: SocketAddr,
    accepting: JoinSet<()>,
}

impl EmbeddedBroker {
    /// Listens on `listen` (port 0: any free one) and serves MQTT 3.1.1 and 5 to anybody who reaches it.
    pub async fn start(listen: SocketAddr) -> Result<EmbeddedBroker, BrokerError> {
        let failed = |problem: String| BrokerError::Listen {
            address: listen,
            problem,
        };
        let listener = Builder::new()
            .name("embedded")
            .laddr(listen)
            .reuseaddr(Some(true))
            // Without it every second small message waits for the 40 ms delayed acknowledgement of TCP.
            .nodelay(true)
            .max_mqueue_len(QUEUED_PER_SESSION)
            .max_inflight(IN_FLIGHT)
            .session_expiry_interval(SESSION_KEPT)
            // Zero is never: a queued message does not age, and what is unacknowledged is sent again on
            // reconnection, not while its commit is still under way.
            .message_expiry_interval(Duration::ZERO)
            .message_retry_interval(Duration::ZERO)
            .bind()
            .and_then(rmqtt::net::Listener::tcp)
            .map_err(|error| failed(error.to_string()))?;
        let address = listener.local_addr().map_err(|error| failed(error.to_string()))?;
        // The check refuses connections while the machine is busy: at start-up it always is.
        let context = ServerContext::new().busy_check_enable(false).build().await;
        let server = MqttServer::new(context)
            .listener_by_id(listener, address.port())
            .build();
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            if let Err(error) = server.run().await {
                tracing::error!(%error, "the embedded broker stopped");
            }
        });
        Ok(EmbeddedBroker { address, accepting })
    }

    /// Resolves when it has stopped, which it never does by itself.
    pub async fn ended(&mut self) {
        self.accepting.join_next().await;
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, NetworkOptions, Packet, Publish, QoS};
    use tokio::task::JoinSet;
    use tokio::time::timeout;

    use super::EmbeddedBroker;

    const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);
    const PATIENCE: Duration = Duration::from_secs(20);

    fn client(name: &str, broker: SocketAddr) -> (AsyncClient, EventLoop) {
        let mut options = MqttOptions::new(name, broker.ip().to_string(), broker.port());
        options.set_clean_session(false).set_manual_acks(true);
        let (client, mut events) = AsyncClient::new(options, 200);
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        events.set_network_options(network);
        (client, events)
    }

    async fn next_matching<T>(events: &mut EventLoop, wanted: impl Fn(Event) -> Option<T>) -> T {
        let found = timeout(PATIENCE, async {
            loop {
                if let Some(found) = wanted(events.poll().await.unwrap()) {
                    return found;
                }
            }
        });
        found.await.unwrap()
    }

    fn publish(event: Event) -> Option<Publish> {
        let Event::Incoming(Packet::Publish(publish)) = event else {
            return None;
        };
        Some(publish)
    }

    fn publisher(broker: SocketAddr, tasks: &mut JoinSet<()>) -> AsyncClient {
        let (client, mut events) = client("publisher", broker);
        tasks.spawn(async move { while events.poll().await.is_ok() {} });
        client
    }

    #[tokio::test]
    async fn what_was_not_acknowledged_comes_again_after_a_reconnect() {
        let broker = EmbeddedBroker::start(LOOPBACK).await.unwrap();
        let mut tasks = JoinSet::new();
        let publisher = publisher(broker.address(), &mut tasks);

        let (subscriber, mut events) = client("subscriber", broker.address());
        subscriber.subscribe("t/#", QoS::AtLeastOnce).await.unwrap();
        next_matching(&mut events, |event| {
            matches!(event, Event::Incoming(Packet::SubAck(_))).then_some(())
        })
        .await;
        for number in 0..5_u8 {
            publisher
                .publish("t/x", QoS::AtLeastOnce, false, [number])
                .await
                .unwrap();
        }
        let mut received = Vec::new();
        for _ in 0..5 {
            received.push(next_matching(&mut events, publish).await);
        }
        subscriber.ack(&received[0]).await.unwrap();
        next_matching(&mut events, |event| {
            matches!(event, Event::Outgoing(rumqttc::Outgoing::PubAck(_))).then_some(())
        })
        .await;
        drop((subscriber, events));

        let (_again, mut events) = client("subscriber", broker.address());
        let resumed = next_matching(&mut events, |event| {
            let Event::Incoming(Packet::ConnAck(connack)) = event else {
                return None;
            };
            Some(connack.session_present)
        })
        .await;
        assert!(resumed, "the broker kept the session");
        let mut numbers = Vec::new();
        for _ in 0..4 {
            let message = next_matching(&mut events, publish).await;
            numbers.push(message.payload[0]);
        }
        numbers.sort_unstable();
        assert_eq!(numbers, [1, 2, 3, 4], "all but the one acknowledged, none lost");
    }
}
