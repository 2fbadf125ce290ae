//! Carries what the simulator says to the broker as devices do, with acknowledgement (MQTT's level 1). Decides nothing.

use std::time::Duration;

use rumqttc::{AsyncClient, EventLoop, LastWill, MqttOptions, NetworkOptions, QoS};
use std::net::SocketAddr;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use super::simulator::{Act, Message, Simulator, topic};
use crate::clock;

/// How often the simulator is asked what has happened.
const STEP: Duration = Duration::from_millis(50);
/// Messages that may wait for the broker; the town waits when there are more.
const WAITING: usize = 1_024;
/// Messages sent and not yet acknowledged by the broker.
const IN_FLIGHT: u16 = 1_000;
/// Pause after a connection failed.
const PAUSE: Duration = Duration::from_millis(250);

/// The devices' connections to the broker.
#[derive(Debug)]
pub struct Fleet {
    broker: SocketAddr,
    connections: JoinSet<()>,
    common: AsyncClient,
    alone: Option<(AsyncClient, AbortHandle)>,
}

impl Fleet {
    /// Connects to `broker`: one connection for all devices but the one that will fall silent.
    pub fn connect(broker: SocketAddr) -> Fleet {
        let mut connections = JoinSet::new();
        let (common, events) = AsyncClient::new(options("demo-devices", broker), WAITING);
        connections.spawn(keep_alive(events));
        Fleet {
            broker,
            connections,
            common,
            alone: None,
        }
    }

    /// Plays `simulator` until `stop`.
    pub async fn play(mut self, mut simulator: Simulator, stop: CancellationToken) {
        let mut ticks = interval(STEP);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            for act in simulator.step(clock::wall()) {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = self.perform(act, &simulator) => {}
                }
            }
        }
    }

    async fn perform(&mut self, act: Act, simulator: &Simulator) {
        match act {
            Act::Publish(message) => publish(&self.common, message).await,
            Act::PublishAlone(message) => {
                if let Some((client, _)) = &self.alone {
                    publish(client, message).await;
                }
            }
            Act::Appear => {
                if let Some(key) = simulator.alone() {
                    self.appear(topic(key, "status")).await;
                }
            }
            // The socket closes without a DISCONNECT: the broker publishes the last will.
            Act::Vanish => {
                if let Some((_, connection)) = self.alone.take() {
                    connection.abort();
                }
            }
        }
    }

    async fn appear(&mut self, status: String) {
        let mut options = options("demo-silent-device", self.broker);
        options.set_last_will(LastWill::new(&status, "offline", QoS::AtLeastOnce, true));
        let (client, events) = AsyncClient::new(options, WAITING);
        let connection = self.connections.spawn(keep_alive(events));
        let online = client.publish(status, QoS::AtLeastOnce, true, "online").await;
        if let Err(error) = online {
            tracing::warn!(%error, "a simulated device could not connect");
        }
        self.alone = Some((client, connection));
    }
}

async fn publish(client: &AsyncClient, message: Message) {
    let sent = client
        .publish(message.topic, QoS::AtLeastOnce, false, message.payload)
        .await;
    if let Err(error) = sent {
        tracing::warn!(%error, "a simulated device could not publish");
    }
}

fn options(name: &str, broker: SocketAddr) -> MqttOptions {
    let mut options = MqttOptions::new(name, broker.ip().to_string(), broker.port());
    options.set_inflight(IN_FLIGHT);
    options.set_keep_alive(Duration::from_secs(15));
    options
}

async fn keep_alive(mut events: EventLoop) {
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    events.set_network_options(network);
    loop {
        if let Err(error) = events.poll().await {
            tracing::debug!(%error, "a simulated device lost its connection");
            sleep(PAUSE).await;
        }
    }
}
