//! The MQTT session: bytes off the wire → envelopes, receipts → acknowledgements. Never looks into a payload, never
//! drops a message: when the queue behind it is full it stops reading from the broker, and goes on acknowledging.

mod frame;
mod mqtt;
mod session;

use std::future::Future;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use tokio::select;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::clock::Clock;
use crate::config::MqttSettings;
use crate::handoff::{Envelope, Receipt};
use crate::lifecycle::Health;
use crate::metrics::Metrics;
use crate::mqtt::connect::{self, ConnectError};
use crate::mqtt::outages::Outages;
use crate::mqtt::reconnect::Backoff;
use crate::mqtt::session::SessionError;
use crate::mqtt::{CLOSE_DEADLINE, CONNECT_DEADLINE, STABLE, half_interval};

use self::mqtt::{MqttSession, Opening};
use self::session::{Intake, News, Session};

/// How long the last receipts are waited for when we stop.
const DRAIN_DEADLINE: Duration = Duration::from_secs(5);

/// The ingest of one gateway.
#[derive(Debug)]
pub struct Ingest {
    /// The broker and how to speak to it. `settings.url` must be a remote one.
    pub settings: MqttSettings,
    /// The topic filters, each asked for at QoS 1 on every connection. When they change, the session is kept.
    pub subscriptions: watch::Receiver<Vec<String>>,
    /// Stamps the envelopes.
    pub clock: Clock,
    /// Counts messages and shows whether the session is up.
    pub metrics: Metrics,
    /// Is told whether the session is up.
    pub health: Health,
}

/// Why ingest ends unasked. An outage of the broker is no reason: that is retried for ever.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// There is no filter to subscribe to.
    #[error("no profile names a topic to subscribe to")]
    NothingToSubscribe,
    /// The address or the TLS files are unusable from the start.
    #[error("the broker cannot be reached as configured: {0}")]
    Settings(#[from] ConnectError),
    /// Nobody takes messages any more.
    #[error("the gateway stopped taking messages")]
    EnvelopesClosed,
    /// Nobody gives receipts any more.
    #[error("the store stopped giving receipts")]
    ReceiptsClosed,
}

/// The queues to those behind us, and the word to stop.
struct Ends {
    envelopes: mpsc::Sender<Vec<Envelope>>,
    receipts: mpsc::Receiver<Vec<Receipt>>,
    stop: CancellationToken,
}

/// How serving a session ended.
enum Ended {
    /// We were told to stop; the session is still up.
    Stopped,
    /// The session is gone.
    Lost(SessionError),
    /// There is nobody behind us.
    Alone(IngestError),
}

impl Ingest {
    /// Keeps a session with the broker until `stop`, whatever happens to the broker. Envelopes go out in receive order,
    /// as one `Vec` for each read; receipts are acknowledged in the order they come.
    ///
    /// After `stop` nothing more is read, `envelopes` is dropped, and receipts are acknowledged until their senders are
    /// gone (at most 5 s).
    pub async fn run(
        self,
        envelopes: mpsc::Sender<Vec<Envelope>>,
        receipts: mpsc::Receiver<Vec<Receipt>>,
        stop: CancellationToken,
    ) -> Result<(), IngestError> {
        let mut filters = Filters {
            wanted: self.subscriptions.clone(),
            ever: Vec::new(),
        };
        if filters.now().is_empty() {
            return Err(IngestError::NothingToSubscribe);
        }
        connect::check(&self.settings.url, &self.settings.tls).await?;
        let mut ends = Ends {
            envelopes,
            receipts,
            stop,
        };
        let mut backoff = Backoff::new();
        let mut complaints = Complaints {
            outages: Outages::of("telemetry"),
            refused: Vec::new(),
        };
        let mut connection = 0_u32;
        loop {
            connection = connection.wrapping_add(1);
            let Some(opened) = ends.meanwhile(self.open(connection, &mut filters)).await? else {
                return Ok(());
            };
            match opened {
                Err(failure) => complaints.outages.note(&failure),
                Ok(mut session) => {
                    backoff.let_in();
                    let since = self.clock.ticks();
                    let ended = self
                        .serve(&mut session, &mut ends, &mut filters, &mut complaints)
                        .await;
                    self.set_up(false);
                    match ended {
                        Ended::Stopped => {
                            drain(session, ends).await;
                            return Ok(());
                        }
                        Ended::Lost(failure) => complaints.outages.note(&failure),
                        Ended::Alone(failure) => return Err(failure),
                    }
                    if self.clock.ticks().since(since) >= STABLE {
                        backoff.reset();
                    }
                }
            }
            let wait = backoff.wait(RandomState::new().build_hasher().finish());
            debug!(?wait, "next attempt to reach the broker");
            if ends.meanwhile(sleep(wait)).await?.is_none() {
                return Ok(());
            }
        }
    }

    async fn open(&self, connection: u32, filters: &mut Filters) -> Result<MqttSession, SessionError> {
        let wanted = filters.now();
        let opening = Opening {
            settings: &self.settings,
            filters: &wanted,
            gone: filters.all_but(&wanted),
            connection,
            clock: self.clock,
            acknowledged: self.metrics.messages_acknowledged.clone(),
        };
        let opened = timeout(CONNECT_DEADLINE, async {
            let stream = connect::connect(&self.settings.url, &self.settings.tls).await?;
            MqttSession::open(stream, opening).await
        });
        let (session, kept) = opened.await.map_err(|_| SessionError::Deadline {
            seconds: CONNECT_DEADLINE.as_secs(),
        })??;
        info!(connection, session_kept = kept, "the broker lets us in");
        Ok(session)
    }

    /// Moves messages and receipts until the session or the process ends.
    async fn serve<S: Session>(
        &self,
        session: &mut S,
        ends: &mut Ends,
        filters: &mut Filters,
        complaints: &mut Complaints,
    ) -> Ended {
        let mut ticks = half_interval(self.settings.keep_alive);
        let mut held: Option<Vec<Envelope>> = None;
        loop {
            let intake = if held.is_some() {
                Intake::Paused
            } else {
                Intake::Open
            };
            let step = select! {
                biased;
                () = ends.stop.cancelled() => return Ended::Stopped,
                _ = ticks.tick() => session.tick(intake),
                Ok(()) = filters.wanted.changed() => session.want(&filters.now()),
                receipts = ends.receipts.recv() => match receipts {
                    Some(receipts) => acknowledge(session, &receipts, &mut ends.receipts),
                    None => return Ended::Alone(IngestError::ReceiptsClosed),
                },
                room = ends.envelopes.reserve(), if held.is_some() => match room {
                    Ok(room) => {
                        room.send(held.take().unwrap_or_default());
                        Ok(())
                    }
                    Err(_) => return Ended::Alone(IngestError::EnvelopesClosed),
                },
                news = session.next(intake) => match news {
                    Ok(News::Messages(envelopes)) => {
                        self.count(&envelopes);
                        match ends.envelopes.try_send(envelopes) {
                            Ok(()) => {}
                            Err(TrySendError::Full(envelopes)) => held = Some(envelopes),
                            Err(TrySendError::Closed(_)) => return Ended::Alone(IngestError::EnvelopesClosed),
                        }
                        Ok(())
                    }
                    Ok(News::Subscribed { refused }) => {
                        self.set_up(refused.is_empty());
                        complaints.subscribed(refused);
                        Ok(())
                    }
                    Err(failure) => Err(failure),
                },
            };
            if let Err(failure) = step {
                return Ended::Lost(failure);
            }
        }
    }

    fn count(&self, envelopes: &[Envelope]) {
        let owed = envelopes
            .iter()
            .filter(|envelope| envelope.receipt.is_some())
            .count();
        self.metrics.messages_received.inc_by(owed as u64);
        self.metrics
            .messages_received_qos0
            .inc_by((envelopes.len() - owed) as u64);
    }

    fn set_up(&self, up: bool) {
        self.health.set_broker(up);
        self.metrics.mqtt_connected.set(i64::from(up));
    }
}

/// The filters that are wanted, and all that were wanted in this process: a session that the broker keeps may not have
/// heard that some are gone.
struct Filters {
    wanted: watch::Receiver<Vec<String>>,
    ever: Vec<String>,
}

impl Filters {
    fn now(&mut self) -> Vec<String> {
        let wanted = self.wanted.borrow_and_update().clone();
        let new = wanted
            .iter()
            .filter(|filter| !self.ever.contains(filter))
            .cloned();
        let new: Vec<String> = new.collect();
        self.ever.extend(new);
        wanted
    }

    fn all_but(&self, wanted: &[String]) -> Vec<String> {
        let gone = self.ever.iter().filter(|filter| !wanted.contains(filter));
        gone.cloned().collect()
    }
}

impl Ends {
    /// Waits for `work` while there is no session: receipts are void then, and those behind us must not wait for us.
    /// `None` when we were told to stop first.
    async fn meanwhile<F: Future>(&mut self, work: F) -> Result<Option<F::Output>, IngestError> {
        let mut work = std::pin::pin!(work);
        loop {
            select! {
                biased;
                () = self.stop.cancelled() => return Ok(None),
                done = &mut work => return Ok(Some(done)),
                receipts = self.receipts.recv() => match receipts {
                    Some(_) => {}
                    None => return Err(IngestError::ReceiptsClosed),
                },
            }
        }
    }
}

/// Queues these receipts and all others that already wait: they leave in one write.
fn acknowledge<S: Session>(
    session: &mut S,
    receipts: &[Receipt],
    more: &mut mpsc::Receiver<Vec<Receipt>>,
) -> Result<(), SessionError> {
    session.acknowledge(receipts)?;
    while let Ok(receipts) = more.try_recv() {
        session.acknowledge(&receipts)?;
    }
    Ok(())
}

/// The end of a session on our word: what was handed over is still acknowledged, nothing more is read.
async fn drain<S: Session>(mut session: S, ends: Ends) {
    let Ends {
        envelopes,
        mut receipts,
        stop: _,
    } = ends;
    drop(envelopes);
    let last_receipts = async {
        loop {
            select! {
                biased;
                given = receipts.recv() => match given {
                    Some(given) => acknowledge(&mut session, &given, &mut receipts)?,
                    None => return Ok(()),
                },
                news = session.next(Intake::Paused) => drop(news?),
            }
        }
    };
    let drained: Result<Result<(), SessionError>, _> = timeout(DRAIN_DEADLINE, last_receipts).await;
    match drained {
        Ok(Ok(())) => {}
        Ok(Err(failure)) => {
            warn!(%failure, "the session broke before the last acknowledgements; the broker will send again");
            return;
        }
        Err(_) => warn!("not all receipts came in time; the broker will send those messages again"),
    }
    match timeout(CLOSE_DEADLINE, session.close()).await {
        Ok(Ok(())) => info!("MQTT session closed"),
        Ok(Err(failure)) => debug!(%failure, "the broker closed first"),
        Err(_) => debug!("the broker did not close after DISCONNECT"),
    }
}

/// What the log is told: each trouble once, not at every attempt.
#[derive(Debug)]
struct Complaints {
    outages: Outages,
    refused: Vec<String>,
}

impl Complaints {
    fn subscribed(&mut self, refused: Vec<String>) {
        if refused.is_empty() {
            info!("MQTT session up");
            self.outages.over();
        } else if self.refused != refused {
            error!(
                ?refused,
                "the broker refuses topic filters at QoS 1: allow them for our user; asking again"
            );
        }
        self.refused = refused;
    }
}
