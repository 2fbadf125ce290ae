//! `ninewatch demo`: the gateway as in `run`, with a broker, a town of simulated devices and a duty officer's
//! telephone around it, all in one process.

use std::future::pending;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use tokio_util::sync::CancellationToken;

use super::run::stop_signal;
use super::simulate::{casting, profile, read_script};
use crate::app::Running;
use crate::broker::EmbeddedBroker;
use crate::clock;
use crate::config::{self, BrokerUrl, Script, Secret, Settings, TargetKind};
use crate::demo::banner::{self, Addresses, Ending, Plot};
use crate::demo::message::{Paint, Reader};
use crate::demo::officer;
use crate::demo::screen::{LogWriter, Screen};
use crate::demo::sink::{LastAlarm, Sink};
use crate::demo::status::Sources;
use crate::demo::storm::storm;
use crate::lifecycle::Tasks;
use crate::metrics::Metrics;
use crate::simulate::fleet::{Fleet, Login};
use crate::simulate::plan::Plan;
use crate::simulate::simulator::Simulator;
use crate::simulate::town::Town;
use crate::simulate::voice::{Voice, Voices};

/// Signs the demo's webhook messages. Not a secret: both ends are in this process.
const KEY: &str = "ninewatch demo, not a secret";
/// Every demo tells the same story.
const SEED: u64 = 20_260_101;
/// The name of the target in metrics.
const TARGET: &str = "duty";
/// The configuration that the demo starts from; addresses, folders and venues are filled in.
const CONFIG: &str = include_str!("../demo/demo.toml");

/// What `ninewatch demo` can be told.
#[derive(Debug, clap::Args)]
pub(super) struct DemoArguments {
    /// How many venues to simulate; each has four devices
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=2000))]
    venues: u16,
    /// Where to serve the API and /metrics; port 0: any free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9464")]
    listen: SocketAddr,
    /// Where the embedded MQTT broker listens; port 0: any free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    mqtt: SocketAddr,
    /// Where to keep the store; default: a fresh temporary folder, removed at the end
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// End after this time, for example 90s or 5m; default: at Ctrl-C
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    lasts: Option<Duration>,
    /// Let happen what this file says, a script in TOML as in config/incidents.toml, in the place of the demo's own story
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,
    /// The profile that the devices speak, as `zigbee2mqtt`; given more than once, or `all`: venues take turns
    #[arg(long, value_name = "NAME", default_value = "native", value_parser = profile)]
    profile: Vec<String>,
    /// Let the demo's own story happen beside the script
    #[arg(long, requires = "script")]
    incidents: bool,
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wanted = || format!("{text:?} is not a length of time such as 90s, 5m or 1h");
    let parsed: jiff::SignedDuration = text.parse().map_err(|_| wanted())?;
    Duration::try_from(parsed).map_err(|_| wanted())
}

/// Runs the demo until it is told to stop.
pub(super) fn demo(arguments: DemoArguments) -> anyhow::Result<ExitCode> {
    let town = Town::new(usize::from(arguments.venues));
    let Ok(script) = read_script(arguments.script.as_deref(), &town) else {
        return Ok(ExitCode::FAILURE);
    };
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let outcome = runtime.block_on(on_screen(arguments, (town, script)));
    // The broker's own tasks do not end by themselves.
    runtime.shutdown_background();
    outcome.map(|()| ExitCode::SUCCESS)
}

async fn on_screen(arguments: DemoArguments, stage: (Town, Script)) -> anyhow::Result<()> {
    let stop = stop_signal()?;
    let (screen, writing) = Screen::start().context("cannot start writing to the terminal")?;
    super::log_to(LogWriter::new(&screen), "warn");
    let unread = writing.closed();
    let lasts = arguments.lasts;
    let stop = async move {
        let end = async move {
            match lasts {
                Some(lasts) => tokio::time::sleep(lasts).await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = stop => {}
            () = end => {}
            () = unread.cancelled() => {}
        }
    };
    let outcome = Box::pin(play(arguments, stage, screen, stop)).await;
    writing.finished().await;
    outcome
}

async fn play(
    arguments: DemoArguments,
    (town, script): (Town, Script),
    screen: Screen,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let http = free(arguments.listen)?;
    let plot = Plot {
        story: arguments.script.is_none() || arguments.incidents,
        script: arguments.script.as_deref(),
    };
    let folder = Folder::new(arguments.data_dir)?;
    let broker = EmbeddedBroker::start(arguments.mqtt).await?;
    let sink = Sink::bind(KEY)
        .await
        .context("cannot take a loopback port for the webhook sink")?;
    let played = casting(&town, &arguments.profile, &script);
    let mut settings = settings(http, broker.address(), &sink, folder.path())?;
    settings.registry = town.registry(&Voices::default(), &played);
    let stage = Stage::new(&settings, broker.address(), screen);
    let running = Running::start(settings, None).await?;
    let addresses = Addresses {
        http,
        mqtt: broker.address(),
    };
    stage
        .screen
        .lines(banner::welcome(&town, &addresses, plot, stage.paint))
        .await;

    let started = clock::monotonic();
    let metrics = running.metrics().clone();
    let tally = sink.tally();
    let simulator = Simulator::new(&town, plan(&town, script, played, plot.story));
    let fleet = stage.connect(&simulator).await?;
    let devices = fleet.tally();
    let (mut tasks, town_stop) = stage.set(sink, (simulator, fleet), &metrics)?;
    let ended = running
        .run_until(async {
            let failed = tokio::select! {
                () = stop => None,
                ended = tasks.next_ended() => Some(ended),
            };
            if let Some(ended) = failed {
                tracing::error!(?ended, "a part of the demo ended unasked");
            }
            // First the devices fall silent, then the gateway drains towards a sink that still answers.
            town_stop.cancel();
        })
        .await;
    tasks.stop();
    while tasks.next_ended().await.is_some() {}
    let ending = Ending {
        lasted: started.elapsed(),
        metrics: &metrics,
        tally: &tally,
        target: TARGET,
        kept: folder.kept(),
    };
    stage.screen.lines(banner::farewell(&ending)).await;
    // Whoever wrote a script wants to know what it led to.
    if arguments.script.is_some() {
        stage.screen.lines(devices.outcomes().lines()).await;
    }
    ended
}

/// What the parts around the gateway need.
struct Stage {
    screen: Screen,
    paint: Paint,
    reader: Reader,
    kinds: Vec<String>,
    broker: SocketAddr,
}

impl Stage {
    fn new(settings: &Settings, broker: SocketAddr, screen: Screen) -> Stage {
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let paint = Paint(screen.is_terminal() && !no_colour);
        let kinds = settings.definitions.source().kinds.iter();
        Stage {
            paint,
            reader: Reader {
                definitions: settings.definitions.clone(),
                zone: jiff::tz::TimeZone::system(),
                paint,
            },
            kinds: kinds.map(|kind| kind.id.clone()).collect(),
            broker,
            screen,
        }
    }

    async fn connect(&self, simulator: &Simulator) -> anyhow::Result<Fleet> {
        let login = Login {
            host: self.broker.ip().to_string(),
            port: self.broker.port(),
            client_id: "demo-devices".to_owned(),
            credentials: None,
        };
        Ok(Fleet::connect(login, simulator.subscriptions()).await?)
    }

    /// Starts everything around the gateway: the tasks, and the token that silences the town before the sink.
    fn set(
        &self,
        sink: Sink,
        (simulator, fleet): (Simulator, Fleet),
        metrics: &Metrics,
    ) -> anyhow::Result<(Tasks, CancellationToken)> {
        let mut tasks = Tasks::new();
        let town_stop = tasks.stopping().child_token();
        let last = LastAlarm::new();
        let (duty, officer) = officer::on_duty()?;

        let (serving, arrivals) = sink.serve(tasks.stopping());
        tasks.spawn("sink", async move { Ok(serving.await?) });
        let showing = arrivals.show(self.reader.clone(), self.screen.clone(), duty, last.clone());
        tasks.spawn("screen", async move {
            showing.await;
            Ok(())
        });
        let working = officer.work(tasks.stopping());
        tasks.spawn("officer", async move {
            working.await;
            Ok(())
        });
        let sources = Sources {
            metrics: metrics.clone(),
            kinds: self.kinds.clone(),
            target: TARGET.to_owned(),
            last,
        };
        let status = sources.show(self.screen.clone(), self.paint, town_stop.clone());
        tasks.spawn("status", async move {
            status.await;
            Ok(())
        });
        let playing = fleet.play(simulator, None, town_stop.clone());
        tasks.spawn("devices", async move {
            playing.await;
            Ok(())
        });
        Ok((tasks, town_stop))
    }
}

/// What the demo plays.
fn plan(town: &Town, script: Script, voices: Vec<Voice>, story: bool) -> Plan {
    let mut incidents = script.incidents;
    if story {
        incidents.extend(storm(town));
    }
    Plan {
        seed: SEED,
        incidents,
        story,
        voices,
        ..Plan::default()
    }
}

/// The demo's settings: as from a file, with the addresses, the folder and the venues of this run.
fn settings(http: SocketAddr, broker: SocketAddr, sink: &Sink, folder: &Path) -> anyhow::Result<Settings> {
    let mut settings = config::load_str_with_profiles("the demo's configuration", CONFIG, folder)?;
    folder.clone_into(&mut settings.gateway.data_dir);
    settings.gateway.public_url = format!("http://{http}");
    settings.http.listen = http;
    settings.mqtt.url = BrokerUrl::Remote {
        host: broker.ip().to_string(),
        port: broker.port(),
        tls: false,
    };
    for target in &mut settings.targets {
        if let TargetKind::Robot(_) = target.kind {
            target.url = Secret::new(sink.group_url());
        } else {
            target.url = Secret::new(sink.url());
            target.secret = Some(Secret::new(KEY.to_owned()));
        }
    }
    Ok(settings)
}

/// `address` if it can be listened on, with a port of the system's choice for port 0.
fn free(address: SocketAddr) -> anyhow::Result<SocketAddr> {
    if !address.ip().is_loopback() {
        bail!(
            "--listen {address}: the demo has no login, so it serves loopback addresses only, such as 127.0.0.1:9464"
        );
    }
    let listener = TcpListener::bind(address).map_err(|error| {
        if error.kind() == ErrorKind::AddrInUse {
            let next = SocketAddr::new(address.ip(), address.port().wrapping_add(1).max(1024));
            anyhow!(
                "{address} is already in use, perhaps by another ninewatch: end that one, or choose another port \
                 with --listen {next} (port 0: any free one)"
            )
        } else {
            anyhow!("cannot listen on {address}: {error}")
        }
    })?;
    Ok(listener.local_addr()?)
}

/// Where the store lives; a temporary one is removed at the end.
#[derive(Debug)]
enum Folder {
    Kept(PathBuf),
    Temporary(PathBuf),
}

impl Folder {
    fn new(asked: Option<PathBuf>) -> anyhow::Result<Folder> {
        if let Some(path) = asked {
            std::fs::create_dir_all(&path)
                .with_context(|| format!("cannot make the folder {}", path.display()))?;
            return Ok(Folder::Kept(path));
        }
        let path = std::env::temp_dir().join(format!("ninewatch-demo-{}", std::process::id()));
        std::fs::create_dir(&path).with_context(|| {
            format!(
                "cannot make the temporary folder {}; name one with --data-dir",
                path.display()
            )
        })?;
        Ok(Folder::Temporary(path))
    }

    fn path(&self) -> &Path {
        match self {
            Folder::Kept(path) | Folder::Temporary(path) => path,
        }
    }

    fn kept(&self) -> Option<&Path> {
        match self {
            Folder::Kept(path) => Some(path),
            Folder::Temporary(_) => None,
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Folder::Temporary(path) = self
            && let Err(error) = std::fs::remove_dir_all(&*path)
        {
            tracing::warn!(%error, folder = %path.display(), "the demo's temporary folder stays behind");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::time::Duration;

    use super::{duration, free};

    #[test]
    fn lengths_of_time_are_read_as_people_write_them() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("1h 5m"), Ok(Duration::from_mins(65)));
        assert!(duration("-5s").is_err());
        assert!(duration("soon").unwrap_err().contains("90s, 5m or 1h"));
    }

    #[test]
    fn a_port_in_use_is_said_with_what_to_do() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
        let listener = TcpListener::bind(taken.unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let error = free(address).unwrap_err().to_string();
        assert!(
            error.contains("already in use") && error.contains("--listen 127.0.0.1:"),
            "{error}"
        );
        assert!(
            free("0.0.0.0:0".parse().unwrap()).is_err(),
            "no login, so loopback only"
        );
    }
}
