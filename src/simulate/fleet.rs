//! The devices' connections to a broker: carries what the simulator says, with acknowledgement (MQTT's level 1), and
//! brings it the commands. Decides nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rumqttc::{
    AsyncClient, ClientError, ConnectReturnCode, Event, EventLoop, LastWill, MqttOptions, NetworkOptions,
    Outgoing, Packet, Publish, QoS, SubscribeReasonCode,
};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::counts::Counts;
use super::outcome::Outcomes;
use super::plan::{Act, UnitNumber};
use super::simulator::Simulator;
use super::voice::Message;
use crate::clock::Clock;
use crate::domain::time::Ticks;

/// How often the simulator is asked what has happened.
const STEP: Duration = Duration::from_millis(10);
/// Messages that may wait for the broker; the town waits when there are more.
const WAITING: usize = 1_024;
/// Messages sent and not yet acknowledged by the broker.
const IN_FLIGHT: u16 = 1_000;
/// Commands that may wait for the town.
const COMMANDS: usize = 1_024;
/// Pause after a connection failed.
const PAUSE: Duration = Duration::from_millis(250);
/// How long the broker may take to let us in, and to acknowledge the rest at the end.
const PATIENCE: Duration = Duration::from_secs(10);

/// The broker to speak to, and who we are to it.
#[derive(Debug, Clone)]
pub struct Login {
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The client id; devices with a connection of their own add their number.
    pub client_id: String,
    /// User name and password.
    pub credentials: Option<(String, String)>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// Nobody answers, or not in MQTT, or with a refusal.
    #[error("cannot connect to mqtt://{address}: {problem}; is a broker listening there?")]
    Connect {
        /// Host and port.
        address: String,
        /// What went wrong.
        problem: String,
    },
    /// No answer in time.
    #[error("mqtt://{address} does not answer within {} s; is it an MQTT broker?", PATIENCE.as_secs())]
    Silent {
        /// Host and port.
        address: String,
    },
    /// The broker does not let us listen for commands.
    #[error("the broker refuses the subscription to {filter}: allow it in the broker's access rules")]
    Subscribe {
        /// The filter.
        filter: String,
    },
    /// The client ended.
    #[error("the MQTT client ended: {0}")]
    Client(#[from] ClientError),
}

/// What went over the wire so far. Cloning shares the counts.
#[derive(Debug, Clone, Default)]
pub struct Tally(Arc<Wire>);

#[derive(Debug, Default)]
struct Wire {
    queued: AtomicU64,
    sent: AtomicU64,
    acknowledged: AtomicU64,
    overrun: AtomicU64,
    breaks: AtomicU64,
    down: AtomicBool,
    counts: watch::Sender<Counts>,
    outcomes: watch::Sender<Outcomes>,
}

impl Tally {
    /// Messages written to the broker.
    pub fn sent(&self) -> u64 {
        self.0.sent.load(Ordering::Relaxed)
    }

    /// Messages that the broker acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.0.acknowledged.load(Ordering::Relaxed)
    }

    /// Commands lost because too many came at once.
    pub fn overrun(&self) -> u64 {
        self.0.overrun.load(Ordering::Relaxed)
    }

    /// How often the common connection broke.
    pub fn breaks(&self) -> u64 {
        self.0.breaks.load(Ordering::Relaxed)
    }

    /// Whether the common connection is down.
    pub fn is_down(&self) -> bool {
        self.0.down.load(Ordering::Relaxed)
    }

    /// What the simulator counted.
    pub fn counts(&self) -> Counts {
        *self.0.counts.borrow()
    }

    /// What came of the script, once the town has ended.
    pub fn outcomes(&self) -> Outcomes {
        self.0.outcomes.borrow().clone()
    }
}

/// The connections: one for all devices but those that will go offline.
#[derive(Debug)]
pub struct Fleet {
    login: Login,
    connections: JoinSet<()>,
    common: AsyncClient,
    alone: HashMap<UnitNumber, (AsyncClient, AbortHandle)>,
    commands: Receiver<Publish>,
    tally: Tally,
}

impl Fleet {
    /// Connects, and listens for commands under `filters`.
    pub async fn connect(login: Login, filters: Vec<&'static str>) -> Result<Fleet, FleetError> {
        let (common, mut events) = AsyncClient::new(options(&login, &login.client_id), WAITING);
        use_nodelay(&mut events);
        let address = format!("{}:{}", login.host, login.port);
        let greeted = timeout(PATIENCE, greet(&common, &mut events, &filters, &address)).await;
        greeted.map_err(|_| FleetError::Silent { address })??;
        let (heard, commands) = channel(COMMANDS);
        let tally = Tally::default();
        let line = Line {
            client: common.clone(),
            filters,
            heard,
            tally: tally.clone(),
        };
        let mut connections = JoinSet::new();
        connections.spawn(line.keep(events));
        Ok(Fleet {
            login,
            connections,
            common,
            alone: HashMap::new(),
            commands,
            tally,
        })
    }

    /// The counts, live.
    pub fn tally(&self) -> Tally {
        self.tally.clone()
    }

    /// Plays `simulator` for as long as `lasts` says, at most until `stop`. Then waits for what the broker owes.
    pub async fn play(mut self, mut simulator: Simulator, lasts: Option<Duration>, stop: CancellationToken) {
        let numbers: Vec<UnitNumber> = simulator.alone().collect();
        for number in numbers {
            self.appear(number, &simulator).await;
        }
        let end = lasts.map_or(Ticks(u64::MAX), |lasts| {
            Ticks(u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX))
        });
        let clock = Clock::default();
        let mut ticks = interval(STEP);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        'town: loop {
            let mut now = tokio::select! {
                () = stop.cancelled() => break,
                Some(command) = self.commands.recv() => {
                    simulator.hear(&command.topic, &command.payload, command.retain, clock.now());
                    continue;
                }
                _ = ticks.tick() => clock.now(),
            };
            now.ticks = now.ticks.min(end);
            for act in simulator.step(now) {
                tokio::select! {
                    () = stop.cancelled() => break 'town,
                    () = self.perform(act, &simulator) => {}
                }
            }
            self.tally.0.counts.send_replace(*simulator.counts());
            if now.ticks == end {
                break;
            }
        }
        self.tally.0.counts.send_replace(*simulator.counts());
        self.tally.0.outcomes.send_replace(simulator.outcomes().clone());
        let words = async {
            for message in simulator.farewell(clock.now()) {
                publish(&self.common, message, &self.tally).await;
            }
        };
        let _unsaid = timeout(PATIENCE, words).await;
        self.settle().await;
    }

    async fn perform(&mut self, act: Act, simulator: &Simulator) {
        match act {
            Act::Publish(number, message) => {
                let client = self.alone.get(&number).map_or(&self.common, |(client, _)| client);
                publish(client, message, &self.tally).await;
            }
            Act::Appear(number) => self.appear(number, simulator).await,
            // The socket closes without a DISCONNECT: the broker publishes the last will.
            Act::Vanish(number) => {
                if let Some((_, connection)) = self.alone.remove(&number) {
                    connection.abort();
                }
            }
        }
    }

    async fn appear(&mut self, number: UnitNumber, simulator: &Simulator) {
        let words = (simulator.status(number, false), simulator.status(number, true));
        let (Some(offline), Some(online)) = words else {
            return;
        };
        let mut options = options(&self.login, &format!("{}-{number}", self.login.client_id));
        options.set_last_will(LastWill::new(
            offline.topic,
            offline.payload,
            QoS::AtLeastOnce,
            true,
        ));
        let (client, mut events) = AsyncClient::new(options, WAITING);
        use_nodelay(&mut events);
        let connection = self.connections.spawn(keep_alone(events, self.tally.clone()));
        publish(&client, online, &self.tally).await;
        self.alone.insert(number, (client, connection));
    }

    /// Waits until everything is acknowledged; not for ever, and not for a broker that is gone.
    async fn settle(self) {
        let wire = &self.tally.0;
        let owed = || {
            wire.queued.load(Ordering::Relaxed) > wire.acknowledged.load(Ordering::Relaxed)
                && !wire.down.load(Ordering::Relaxed)
        };
        let all = async {
            while owed() {
                sleep(STEP).await;
            }
        };
        let _given_up = timeout(PATIENCE, all).await;
    }
}

/// The common connection.
struct Line {
    client: AsyncClient,
    filters: Vec<&'static str>,
    heard: Sender<Publish>,
    tally: Tally,
}

impl Line {
    async fn keep(self, mut events: EventLoop) {
        let wire = &self.tally.0;
        loop {
            match events.poll().await {
                Ok(Event::Incoming(Packet::Publish(command))) => {
                    // Waiting here would stop the acknowledgements that the town may be waiting for.
                    if self.heard.try_send(command).is_err() {
                        wire.overrun.fetch_add(1, Ordering::Relaxed);
                    }
                }
                Ok(event) => {
                    count(&event, wire);
                    if let Event::Incoming(Packet::ConnAck(_)) = event {
                        wire.down.store(false, Ordering::Relaxed);
                        for filter in &self.filters {
                            let _full = self.client.try_subscribe(*filter, QoS::AtLeastOnce);
                        }
                    }
                }
                Err(error) => {
                    if !wire.down.swap(true, Ordering::Relaxed) {
                        wire.breaks.fetch_add(1, Ordering::Relaxed);
                        tracing::warn!(%error, "the connection to the broker broke");
                    }
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

async fn keep_alone(mut events: EventLoop, tally: Tally) {
    loop {
        match events.poll().await {
            Ok(event) => count(&event, &tally.0),
            Err(error) => {
                tracing::debug!(%error, "a simulated device lost its connection");
                sleep(PAUSE).await;
            }
        }
    }
}

fn count(event: &Event, wire: &Wire) {
    if let Event::Outgoing(Outgoing::Publish(_)) = event {
        wire.sent.fetch_add(1, Ordering::Relaxed);
    }
    if let Event::Incoming(Packet::PubAck(_)) = event {
        wire.acknowledged.fetch_add(1, Ordering::Relaxed);
    }
}

/// Waits until the broker has let us in and taken every subscription.
async fn greet(
    client: &AsyncClient,
    events: &mut EventLoop,
    filters: &[&'static str],
    address: &str,
) -> Result<(), FleetError> {
    let failed = |problem: String| FleetError::Connect {
        address: address.to_owned(),
        problem,
    };
    let mut filters_left = filters.iter();
    loop {
        let event = events.poll().await.map_err(|error| failed(error.to_string()))?;
        match event {
            Event::Incoming(Packet::ConnAck(answer)) if answer.code != ConnectReturnCode::Success => {
                return Err(failed(format!("{:?}", answer.code)));
            }
            Event::Incoming(Packet::SubAck(answer))
                if answer.return_codes.contains(&SubscribeReasonCode::Failure) =>
            {
                return Err(FleetError::Subscribe {
                    filter: filters.join(", "),
                });
            }
            Event::Incoming(Packet::ConnAck(_) | Packet::SubAck(_)) => {
                let Some(filter) = filters_left.next() else {
                    return Ok(());
                };
                client.subscribe(*filter, QoS::AtLeastOnce).await?;
            }
            Event::Incoming(_) | Event::Outgoing(_) => {}
        }
    }
}

async fn publish(client: &AsyncClient, message: Message, tally: &Tally) {
    let queued = client
        .publish(message.topic, QoS::AtLeastOnce, message.retain, message.payload)
        .await;
    match queued {
        Ok(()) => {
            tally.0.queued.fetch_add(1, Ordering::Relaxed);
        }
        Err(error) => tracing::warn!(%error, "a simulated device could not publish"),
    }
}

fn options(login: &Login, client_id: &str) -> MqttOptions {
    let mut options = MqttOptions::new(client_id, &login.host, login.port);
    options.set_inflight(IN_FLIGHT);
    options.set_keep_alive(Duration::from_secs(15));
    if let Some((name, password)) = &login.credentials {
        options.set_credentials(name, password);
    }
    options
}

fn use_nodelay(events: &mut EventLoop) {
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    events.set_network_options(network);
}
