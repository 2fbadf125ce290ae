//! Wiring: settings → parts → connected → running → drained. The only file that names all concrete types.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{anyhow, bail};
use tokio::sync::{mpsc, watch};

use crate::actuate::Actuate;
use crate::broker::EmbeddedBroker;
use crate::checkpoint::Checkpoints;
use crate::clock::Clock;
use crate::config::{
    BrokerUrl, Durability, Fixed, GatewaySettings, HttpSettings, PostgresSettings, Settings,
};
use crate::domain::definitions::DefinitionsHash;
use crate::domain::profile::decoder::Decoder;
use crate::domain::time::Moment;
use crate::gateway::{Gateway, Lines, Surroundings};
use crate::handoff::{Directory, Envelope, OperatorRequest, Receipt, StoreCondition, StoreTrouble, Work};
use crate::ingest::Ingest;
use crate::lifecycle::{Health, Tasks};
use crate::link::Links;
use crate::metrics::Metrics;
use crate::notify::{Emergency, Heartbeat, Notify, NotifyError};
use crate::reload::{Origin, Reload, ReloadRequest, configured};
use crate::replicate::{self, Replicate};
use crate::restore::{Restored, restore};
use crate::store::{FollowerEnds, FollowerLine, History, Outlets, Recovered, Store, StoreReader, Writer};
use crate::supervise::Supervise;
use crate::web::{BoundWeb, Limits, Web};

/// Where the embedded broker listens: MQTT's own port, for devices and bridges on this machine.
const EMBEDDED: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1883);

/// How long draining may take before the process gives up and says so.
const DRAIN: Duration = Duration::from_secs(9);

/// The pause between tries to open a store whose disk is full or fails.
const REOPEN: Duration = Duration::from_secs(5);

/// Operator requests that may wait for the gateway.
const OPERATOR_QUEUE: usize = 64;

/// Commands that may wait for their connection, and acknowledgements of them for the gateway. A thousand valves can be
/// told to close at once.
const COMMAND_QUEUE: usize = 1024;

/// A run of messages is what one read from the socket brought: at most this many. `mqtt.queue` counts messages,
/// the channel counts runs.
const RUN: usize = 512;

/// Runs of receipts that may wait for the socket. Their number is bounded by MQTT itself: 65 535 messages can be
/// unacknowledged.
const RECEIPT_RUNS: usize = 65_536;

/// Tells every target that the store cannot be written, from before it is opened.
type Telling = Pin<Box<dyn Future<Output = Result<(), NotifyError>> + Send>>;

/// Everything that becomes a task.
struct Parts {
    ingest: Ingest,
    actuate: Actuate,
    gateway: Gateway,
    clock: Clock,
    lines: Lines,
    notify: Notify,
    emergency: Telling,
    heartbeat: Heartbeat,
    tasks: Tasks,
    supervise: Supervise,
    checkpoints: Checkpoints,
    replicate: Option<Replicate>,
    reload: Reload,
    web: BoundWeb,
}

impl Parts {
    fn start(self, envelopes: mpsc::Sender<Vec<Envelope>>, receipts: mpsc::Receiver<Vec<Receipt>>) -> Tasks {
        let Parts {
            ingest,
            actuate,
            gateway,
            clock,
            lines,
            notify,
            emergency,
            heartbeat,
            mut tasks,
            supervise,
            checkpoints,
            replicate,
            reload,
            web,
        } = self;
        let stop = tasks.stopping();
        let (of_ingest, of_notify, of_reload) = (stop.clone(), stop.clone(), stop.clone());
        let (of_supervise, of_heartbeat) = (stop.clone(), stop.clone());
        let (of_checkpoints, of_actuate) = (stop.clone(), stop.clone());
        tasks.spawn("ingest", async move {
            Ok(ingest.run(envelopes, receipts, of_ingest).await?)
        });
        tasks.spawn("gateway", async move { Ok(gateway.run(clock, lines).await?) });
        tasks.spawn("actuate", async move { Ok(actuate.run(of_actuate).await?) });
        tasks.spawn("notify", async move { Ok(notify.run(of_notify).await?) });
        tasks.spawn("checkpoint", async move {
            checkpoints.run(of_checkpoints).await;
            Ok(())
        });
        if let Some(replicate) = replicate {
            let of_replicate = stop.clone();
            tasks.spawn("replicate", async move {
                replicate.run(of_replicate).await;
                Ok(())
            });
        }
        tasks.spawn("reload", async move {
            reload.run(of_reload).await;
            Ok(())
        });
        tasks.spawn("heartbeat", async move { Ok(heartbeat.run(of_heartbeat).await?) });
        tasks.spawn("emergency", async move { Ok(emergency.await?) });
        tasks.spawn("supervise", async move {
            supervise.run(of_supervise).await;
            Ok(())
        });
        tasks.spawn("web", async move { Ok(web.run(stop).await?) });
        tasks
    }
}

/// A gateway at work.
#[derive(Debug)]
pub struct Running {
    http: SocketAddr,
    /// Kept: it takes no connection any more once it is dropped.
    broker: Option<EmbeddedBroker>,
    metrics: Metrics,
    tasks: Tasks,
    writer: Writer,
}

impl Running {
    /// Opens the store, restores the engine, binds the HTTP address and starts every task. `origin`: where `settings`
    /// were read, to read them anew; without it a reload is refused.
    ///
    /// # Errors
    /// When the data folder, its database or the HTTP address cannot be used. A broker that is away is no error:
    /// the gateway keeps trying, and is not ready.
    #[expect(clippy::too_many_lines, reason = "one entry a part: a list, not logic")]
    pub async fn start(mut settings: Settings, origin: Option<Origin>) -> anyhow::Result<Running> {
        let (metrics, health) = (Metrics::new(), Health::new());
        let fixed = Fixed::of(&settings);
        let broker = start_broker(&mut settings).await?;
        let tasks = Tasks::new();
        let mut emergency: Telling =
            Box::pin(emergency(&settings, (&metrics, &health)).run(tasks.stopping()));
        let (store, recovered) = open_store(&settings.gateway.data_dir, &health, &mut emergency).await?;
        let clock = Clock::resuming(recovered.last);
        let links = links(&settings.gateway)?;
        let configured = configured(&settings).map_err(|problem| anyhow!(problem))?;
        let directory = configured.1.directory();
        let (gateway, filters) = gateway(
            configured,
            &store,
            (&settings.gateway.data_dir, clock.now()),
            &metrics,
        )?;
        let (reload, reloading) = Reload::new(origin, fixed, filters, directory, metrics.clone());
        let (operator_tx, operators) = mpsc::channel::<OperatorRequest>(OPERATOR_QUEUE);
        let requests = (
            operator_tx.clone(),
            reloading.requests,
            reloading.directory.clone(),
        );
        let reader = store.reader()?;
        let (envelope_tx, envelopes) = mpsc::channel::<Vec<Envelope>>((settings.mqtt.queue / RUN).max(1));
        let (receipt_tx, receipts) = mpsc::channel::<Vec<Receipt>>(RECEIPT_RUNS);
        let (command_tx, commands) = mpsc::channel(COMMAND_QUEUE);
        let (sent_tx, sent) = mpsc::channel(COMMAND_QUEUE);
        let (link, command_link) = watch::channel(false);
        let (probe_tx, probes) = mpsc::channel(1);
        let (notice_tx, committed) = watch::channel(0_u64);
        // A reader of its own: a page of the API must not hold up a message to an officer.
        let notices = store.reader()?;
        let (follower, ends) = settings.postgres.as_ref().map(line).unzip();
        let to_copy = store.reader()?;
        let outlets = Outlets {
            receipts: receipt_tx,
            notices: notice_tx,
            follower,
            metrics: metrics.clone(),
            health: health.clone(),
        };
        let (work, writer) = store.start(outlets, settings.store)?;
        let from = (reader, work.clone(), links.clone());
        let web = web(settings.http, from, requests, (&metrics, &health));
        let web = web.bind().await?;
        let http = web.local_addr();
        let heartbeat = Heartbeat {
            targets: settings.targets.clone(),
            watchdog: settings.watchdog,
            gateway: settings.gateway.id.clone(),
            probes: probe_tx.clone(),
            broker: health.follow_broker(),
            metrics: metrics.clone(),
            clock,
        };
        let supervise = Supervise::new(probe_tx, &health);
        let (listening, condition) = (health.follow_broker(), health.follow_store());
        let parts = Parts {
            actuate: Actuate {
                settings: settings.mqtt.clone(),
                clock,
                metrics: metrics.clone(),
                commands,
                sent: sent_tx,
                link,
            },
            ingest: Ingest {
                settings: settings.mqtt,
                subscriptions: reloading.subscriptions,
                clock,
                metrics: metrics.clone(),
                health: health.clone(),
            },
            emergency,
            heartbeat,
            tasks,
            supervise,
            notify: Notify {
                targets: settings.targets,
                vocabulary: reloading.vocabulary,
                links,
                operators: operator_tx,
                reader: notices,
                work: work.clone(),
                committed,
                metrics: metrics.clone(),
                clock,
            },
            replicate: settings.postgres.zip(ends).map(|(postgres, ends)| Replicate {
                settings: postgres,
                gateway: settings.gateway.id.clone(),
                reader: to_copy,
                ends,
                work: work.clone(),
                directory: reloading.directory,
                metrics: metrics.clone(),
                health: health.clone(),
                limits: replicate::Limits::default(),
            }),
            checkpoints: checkpoints(settings.gateway, recovered, &writer, work.clone(), &metrics),
            lines: Lines {
                envelopes,
                operators,
                reconfigurations: reloading.reconfigurations,
                listening,
                store: condition,
                command_link,
                committed: writer.committed(),
                probes,
                commands: command_tx,
                sent,
                work,
            },
            gateway,
            clock,
            reload,
            web,
        };
        Ok(Running {
            http,
            broker,
            metrics,
            tasks: parts.start(envelope_tx, receipts),
            writer,
        })
    }

    /// The address that HTTP is served on.
    pub const fn http(&self) -> SocketAddr {
        self.http
    }

    /// The process's metrics.
    pub const fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Serves until `stop`, then drains: what has been read is committed and acknowledged, what is being
    /// delivered gets its moment.
    ///
    /// # Errors
    /// When a task ends unasked or draining takes longer than nine seconds. Either way nothing acknowledged is lost.
    pub async fn run_until(mut self, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        let outcome = tokio::select! {
            () = stop => Ok(()),
            ended = self.tasks.next_ended() => Err(unasked(ended)),
            () = ended(self.broker.as_mut()) => Err(anyhow!("the embedded broker ended unasked")),
            () = self.writer.ended() => Err(anyhow!("the store's writer ended unasked")),
        };
        self.tasks.stop();
        let drained = tokio::time::timeout(DRAIN, self.drain()).await;
        outcome?;
        drained.unwrap_or_else(|_| bail!("stopped after {DRAIN:?} with work left: what was not acknowledged will be sent again by the broker"))
    }

    async fn drain(mut self) -> anyhow::Result<()> {
        let mut outcome = Ok(());
        while let Some(ended) = self.tasks.next_ended().await {
            match ended {
                Ok((_, Ok(()))) => {}
                Ok((name, Err(error))) => {
                    outcome = Err(error.context(format!("{name} failed while stopping")));
                }
                Err(error) => outcome = Err(error.into()),
            }
        }
        self.writer.ended().await;
        self.writer.join()?;
        outcome
    }
}

/// What the writer and the follower tell each other by.
fn line(settings: &PostgresSettings) -> (FollowerLine, FollowerEnds) {
    FollowerLine::new(settings.durability == Durability::Replicated)
}

/// Resolves when the embedded broker ends; never without one.
async fn ended(broker: Option<&mut EmbeddedBroker>) {
    match broker {
        Some(broker) => broker.ended().await,
        None => std::future::pending().await,
    }
}

fn unasked(
    ended: Option<Result<(&'static str, anyhow::Result<()>), tokio::task::JoinError>>,
) -> anyhow::Error {
    match ended {
        Some(Ok((name, Ok(())))) => anyhow!("{name} ended unasked"),
        Some(Ok((name, Err(error)))) => error.context(format!("{name} failed")),
        Some(Err(error)) => anyhow::Error::new(error).context("a task broke down"),
        None => anyhow!("no task is left"),
    }
}

async fn start_broker(settings: &mut Settings) -> anyhow::Result<Option<EmbeddedBroker>> {
    match settings.mqtt.url {
        BrokerUrl::Remote { .. } => Ok(None),
        BrokerUrl::Embedded => {
            let broker = EmbeddedBroker::start(EMBEDDED).await?;
            let address = broker.address();
            tracing::info!(mqtt = %address, "the embedded broker listens");
            settings.mqtt.url = BrokerUrl::Remote {
                host: address.ip().to_string(),
                port: address.port(),
                tls: false,
            };
            Ok(Some(broker))
        }
    }
}

/// The one who makes checkpoints, from where the last run came.
fn checkpoints(
    settings: GatewaySettings,
    recovered: Recovered,
    writer: &Writer,
    work: mpsc::Sender<Work>,
    metrics: &Metrics,
) -> Checkpoints {
    Checkpoints {
        gateway: settings.id,
        data_dir: settings.data_dir,
        inputs: Checkpoints::INPUTS,
        last: recovered.checkpointed,
        committed: writer.committed(),
        work,
        metrics: metrics.clone(),
    }
}

fn web(
    settings: HttpSettings,
    (reader, work, links): (StoreReader, mpsc::Sender<Work>, Links),
    (operators, reloads, directory): (
        mpsc::Sender<OperatorRequest>,
        mpsc::Sender<ReloadRequest>,
        watch::Receiver<Arc<Directory>>,
    ),
    (metrics, health): (&Metrics, &Health),
) -> Web {
    Web {
        settings,
        reader,
        work,
        links,
        operators,
        reloads,
        directory,
        metrics: metrics.clone(),
        health: health.clone(),
        limits: Limits::default(),
    }
}

/// Makes the addresses by which people acknowledge.
fn links(settings: &GatewaySettings) -> anyhow::Result<Links> {
    let links = Links::open(&settings.data_dir, &settings.public_url)?;
    Ok(if settings.reaches_people {
        links
    } else {
        links.of_this_machine()
    })
}

fn emergency(settings: &Settings, (metrics, health): (&Metrics, &Health)) -> Emergency {
    Emergency {
        targets: settings.targets.clone(),
        gateway: settings.gateway.id.clone(),
        public_url: settings.gateway.public_url.clone(),
        store: health.follow_store(),
        metrics: metrics.clone(),
        clock: Clock::new(),
    }
}

/// Opens the store. While the disk is full or fails nobody watches over anybody: every target is told through `telling`, which
/// goes on afterwards and says when the writer commits, and it is tried again until it is better.
async fn open_store(
    data_dir: &Path,
    health: &Health,
    telling: &mut Telling,
) -> anyhow::Result<(Store, Recovered)> {
    let error = match Store::open(data_dir) {
        Err(error) if error.is_of_disk() => error,
        opened => return Ok(opened?),
    };
    tracing::error!(%error, "the store cannot be opened: nothing is watched; it is tried again");
    health.set_store_condition(StoreCondition {
        failed: Some(StoreTrouble::Disk),
        ..StoreCondition::default()
    });
    let opened = async {
        loop {
            tokio::time::sleep(REOPEN).await;
            match Store::open(data_dir) {
                Err(error) if error.is_of_disk() => {
                    tracing::warn!(%error, "the store still cannot be opened");
                }
                opened => return opened,
            }
        }
    };
    tokio::select! {
        opened = opened => Ok(opened?),
        told = telling => Err(told.err().map_or_else(|| anyhow!(error), Into::into)),
    }
}

/// The gateway with its state restored, and the filters that it wants subscribed.
fn gateway(
    (decoder, surroundings): (Decoder, Surroundings),
    store: &Store,
    (data_dir, now): (&Path, Moment),
    metrics: &Metrics,
) -> anyhow::Result<(Gateway, Vec<String>)> {
    let history = History::open(data_dir)?;
    let (_, hash) = surroundings.definitions.source().stored()?;
    let known = |wanted: &DefinitionsHash| (*wanted == hash).then(|| Arc::clone(&surroundings.definitions));
    let restored = restore(&surroundings.id, &history, known, || true);
    if let Err(error) = &restored
        && error.is_lasting()
    {
        store.condemn(&error.to_string());
    }
    let Restored { engine, rows, .. } = restored?;
    tracing::info!(
        devices = engine.device_count(),
        standing_alarms = engine.standing_count(),
        replayed_batches = rows,
        "state restored"
    );
    let subscriptions = decoder.subscriptions();
    let mut gateway = Gateway::new(engine, decoder, surroundings, metrics.clone());
    gateway.resume(history.escalations()?, now);
    Ok((gateway, subscriptions))
}
