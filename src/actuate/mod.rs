//! Commands on their way to the devices: a connection of their own, so that none waits behind telemetry (DESIGN §7). Keeps
//! each until the broker has it or it has expired. Decides nothing: what it is given it publishes.

mod book;
mod link;

use std::collections::VecDeque;
use std::future::{Future, pending};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use tokio::select;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use self::book::{Book, Taken};
use self::link::Link;
use crate::clock::{self, Clock};
use crate::config::MqttSettings;
use crate::handoff::{CommandMessage, CommandSent};
use crate::metrics::Metrics;
use crate::mqtt::connect::{self, ConnectError};
use crate::mqtt::outages::Outages;
use crate::mqtt::reconnect::Backoff;
use crate::mqtt::session::SessionError;
use crate::mqtt::{CLOSE_DEADLINE, CONNECT_DEADLINE, STABLE, half_interval};

/// The most commands that wait for the broker or whose acknowledgement waits to be told. Beyond them the queue from the
/// gateway fills.
const MOST: usize = 4_096;

/// The longest pause between two tries to reach the broker: a valve does not wait half a minute.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How long the last commands may take to reach the broker when we stop.
const DRAIN_DEADLINE: Duration = Duration::from_secs(5);

/// The way of the commands of one gateway to its broker.
#[derive(Debug)]
pub struct Actuate {
    /// The broker and how to speak to it. `settings.url` must be a remote one.
    pub settings: MqttSettings,
    /// Says when a command has expired.
    pub clock: Clock,
    /// Counts commands and shows whether the connection is up.
    pub metrics: Metrics,
    /// What to publish.
    pub commands: mpsc::Receiver<CommandMessage>,
    /// Is told of each that the broker has acknowledged.
    pub sent: mpsc::Sender<CommandSent>,
    /// Shows whether the connection stands.
    pub link: watch::Sender<bool>,
}

impl Actuate {
    /// Publishes the commands at QoS 1, never retained. After an outage it publishes anew what was not acknowledged and
    /// has not expired.
    ///
    /// Ends when nobody can send more commands and the broker has all, at most 5 s after `stop`.
    ///
    /// # Errors
    /// When the address or the TLS files are unusable from the start. An outage is no reason: that is retried for ever.
    pub async fn run(self, stop: CancellationToken) -> Result<(), ConnectError> {
        let broker = Broker {
            client_id: format!("{}-command", self.settings.client_id),
            settings: self.settings,
        };
        connect::check(&broker.settings.url, &broker.settings.tls).await?;
        let mut desk = Desk {
            book: Book::default(),
            commands: Some(self.commands),
            sent: Some(self.sent),
            untold: VecDeque::new(),
            clock: self.clock,
            metrics: self.metrics,
            link: self.link,
        };
        select! {
            () = broker.carry(&mut desk) => {}
            () = after(&stop, DRAIN_DEADLINE) => {
                let left = desk.book.len();
                warn!(left, "stopped before the broker had every command; those not proven are sent at the next start");
            }
        }
        desk.show(false);
        Ok(())
    }
}

/// The broker, as it is spoken to for commands.
struct Broker {
    settings: MqttSettings,
    client_id: String,
}

impl Broker {
    /// Keeps a connection until there is nothing more to send.
    async fn carry(&self, desk: &mut Desk) {
        let mut backoff = Backoff::up_to(LONGEST_PAUSE);
        let mut outages = Outages::of("commands");
        while !desk.is_done() {
            let Some(opened) = desk.meanwhile(self.open()).await else {
                return;
            };
            let failure = match opened {
                Err(failure) => failure,
                Ok(link) => {
                    backoff.let_in();
                    outages.over();
                    info!(client_id = self.client_id, "MQTT connection for commands up");
                    desk.show(true);
                    desk.book.connected();
                    let since = desk.clock.ticks();
                    let served = self.serve(link, desk).await;
                    desk.show(false);
                    let Err(failure) = served else { return };
                    desk.disconnected();
                    if desk.clock.ticks().since(since) >= STABLE {
                        backoff.reset();
                    }
                    failure
                }
            };
            outages.note(&failure);
            let wait = backoff.wait(RandomState::new().build_hasher().finish());
            if desk.meanwhile(sleep(wait)).await.is_none() {
                return;
            }
        }
    }

    async fn open(&self) -> Result<Link, SessionError> {
        let opened = timeout(CONNECT_DEADLINE, async {
            let stream = connect::connect(&self.settings.url, &self.settings.tls).await?;
            Link::open(stream, &self.settings, &self.client_id).await
        });
        opened.await.map_err(|_| SessionError::Deadline {
            seconds: CONNECT_DEADLINE.as_secs(),
        })?
    }

    /// Publishes until the connection ends, which is the error, or there is nothing more to send.
    async fn serve(&self, mut link: Link, desk: &mut Desk) -> Result<(), SessionError> {
        let mut ticks = half_interval(self.settings.keep_alive);
        while !desk.is_done() {
            while let Some((packet_id, message)) = desk.book.next_unsent() {
                link.publish(packet_id, message)?;
            }
            desk.measure();
            select! {
                biased;
                _ = ticks.tick() => link.tick()?,
                () = desk.attend() => {}
                packet_id = link.next() => desk.acknowledged(packet_id?),
            }
        }
        match timeout(CLOSE_DEADLINE, link.close()).await {
            Ok(Ok(())) => info!("MQTT connection for commands closed"),
            Ok(Err(failure)) => debug!(%failure, "the broker closed first"),
            Err(_) => debug!("the broker did not close after DISCONNECT"),
        }
        Ok(())
    }
}

/// Between the gateway and the connection: works on whether there is a connection or not.
struct Desk {
    book: Book,
    /// None: the gateway has nothing more for us.
    commands: Option<mpsc::Receiver<CommandMessage>>,
    /// None: it does not want to hear of them any more.
    sent: Option<mpsc::Sender<CommandSent>>,
    /// Acknowledged, and not told to the gateway yet: it may be waiting for its disk, we do not.
    untold: VecDeque<CommandSent>,
    clock: Clock,
    metrics: Metrics,
    link: watch::Sender<bool>,
}

impl Desk {
    /// The connection stands from now on, or no longer.
    fn show(&self, up: bool) {
        self.metrics.command_link_connected.set(i64::from(up));
        self.link.send_replace(up);
    }

    /// Nothing waits and nothing will come.
    fn is_done(&self) -> bool {
        self.commands.is_none() && self.book.is_empty()
    }

    /// Waits for `work`, attending to the gateway. `None`: there is nothing more to send.
    async fn meanwhile<F: Future>(&mut self, work: F) -> Option<F::Output> {
        let mut work = std::pin::pin!(work);
        while !self.is_done() {
            select! {
                biased;
                done = &mut work => return Some(done),
                () = self.attend() => {}
            }
        }
        None
    }

    /// Waits for the next thing between us and the gateway, and does it. Cancel-safe.
    async fn attend(&mut self) {
        let has_room = self.book.len() + self.untold.len() < MOST;
        select! {
            biased;
            command = next(&mut self.commands), if has_room => match command {
                Some(command) => self.take(command),
                None => self.commands = None,
            },
            () = until(self.clock, &self.book) => self.expire(),
            told = tell(self.sent.as_ref(), &mut self.untold), if !self.untold.is_empty() => {
                if !told {
                    self.sent = None;
                    self.untold.clear();
                }
            }
        }
    }

    fn take(&mut self, command: CommandMessage) {
        let (id, topic) = (command.id, command.topic.clone());
        match self.book.take(command, self.clock.now()) {
            Taken::Waits => {}
            Taken::Replaces => self.metrics.commands_replaced.inc(),
            Taken::Expired => {
                self.metrics.commands_expired.inc();
                warn!(%id, topic, "a command had expired before it could be sent");
            }
            Taken::Refused => {
                warn!(%id, topic, "an opening was not sent: there is no connection to the broker, or it is not wanted any more");
            }
            Taken::BadTopic => {
                self.metrics.commands_unwritable.inc();
                warn!(%id, topic, "a command was not sent: nobody can publish on this topic; check the device's id and its profile");
            }
        }
        self.measure();
    }

    fn acknowledged(&mut self, packet_id: u16) {
        if let Some(sent) = self.book.acknowledged(packet_id) {
            self.metrics.commands_published.inc();
            self.measure();
            if self.sent.is_some() {
                self.untold.push_back(sent);
            }
        }
    }

    fn disconnected(&mut self) {
        let again = self.book.disconnected();
        self.metrics.commands_repeated.inc_by(again as u64);
        self.measure();
    }

    fn expire(&mut self) {
        for message in self.book.expire(self.clock.ticks()) {
            self.metrics.commands_expired.inc();
            warn!(id = %message.id, topic = message.topic, "the broker did not take a command before it expired");
        }
        self.measure();
    }

    fn measure(&self) {
        let waiting = i64::try_from(self.book.len()).unwrap_or(i64::MAX);
        self.metrics.queue_commands.set(waiting);
    }
}

async fn next(commands: &mut Option<mpsc::Receiver<CommandMessage>>) -> Option<CommandMessage> {
    match commands {
        Some(commands) => commands.recv().await,
        None => pending().await,
    }
}

/// Tells the gateway of one. `false`: it does not listen any more.
async fn tell(sent: Option<&mpsc::Sender<CommandSent>>, untold: &mut VecDeque<CommandSent>) -> bool {
    let Some(sent) = sent else { return false };
    match sent.reserve().await {
        Ok(place) => {
            if let Some(told) = untold.pop_front() {
                place.send(told);
            }
            true
        }
        Err(_) => false,
    }
}

async fn until(clock: Clock, book: &Book) {
    match book.next_expiry() {
        None => pending().await,
        Some(at) => sleep_until(Instant::from_std(clock::monotonic()) + clock.until(at)).await,
    }
}

/// Resolves so long after `stop`.
async fn after(stop: &CancellationToken, span: Duration) {
    stop.cancelled().await;
    sleep(span).await;
}
