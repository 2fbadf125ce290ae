//! A client that subscribes and remembers what comes: topic, payload and retain flag, as they were on the wire.

use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, NetworkOptions, Packet, Publish, QoS};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{PATIENCE, eventually};

const QUEUE: usize = 64;

/// A connected subscriber. It does not reconnect: what it tells of came over one connection.
pub(crate) struct Subscriber {
    came: watch::Receiver<Vec<Publish>>,
    _client: AsyncClient,
    _connection: JoinSet<()>,
}

impl Subscriber {
    /// Subscribes to `filter` at QoS 1; returns when the broker has agreed.
    pub(crate) async fn start(port: u16, client_id: &str, filter: &str) -> Subscriber {
        Subscriber::start_as(port, client_id, None, filter).await
    }

    /// Likewise, as this user with the password `secret`.
    pub(crate) async fn start_as(port: u16, client_id: &str, user: Option<&str>, filter: &str) -> Subscriber {
        let mut options = MqttOptions::new(client_id, "127.0.0.1", port);
        if let Some(user) = user {
            options.set_credentials(user, "secret");
        }
        options.set_max_packet_size(16 * 1024 * 1024, 16 * 1024 * 1024);
        let (client, mut events) = AsyncClient::new(options, QUEUE);
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        events.set_network_options(network);
        client
            .subscribe(filter, QoS::AtLeastOnce)
            .await
            .unwrap_or_else(|error| panic!("subscribe to {filter}: {error}"));
        let (to_us, came) = watch::channel(Vec::new());
        let (agreed_tx, agreed) = watch::channel(false);
        let mut connection = JoinSet::new();
        connection.spawn(collect(events, to_us, agreed_tx));
        eventually("the broker agrees to the subscription", PATIENCE, async || {
            agreed.borrow().then_some(())
        })
        .await;
        Subscriber {
            came,
            _client: client,
            _connection: connection,
        }
    }

    /// All that came so far.
    pub(crate) fn all(&self) -> Vec<Publish> {
        self.came.borrow().clone()
    }

    /// Waits until at least `count` messages have come, and gives all.
    pub(crate) async fn wait_for(&self, count: usize) -> Vec<Publish> {
        eventually(&format!("{count} messages come"), PATIENCE, async || {
            let came = self.all();
            (came.len() >= count).then_some(came)
        })
        .await
    }
}

async fn collect(mut events: EventLoop, came: watch::Sender<Vec<Publish>>, agreed: watch::Sender<bool>) {
    loop {
        match events.poll().await {
            Ok(Event::Incoming(Packet::Publish(publish))) => came.send_modify(|all| all.push(publish)),
            Ok(Event::Incoming(Packet::SubAck(_))) => {
                agreed.send_replace(true);
            }
            Ok(_) => {}
            Err(_) => return,
        }
    }
}
