//! `ninewatch simulate`: a town of simulated devices against any MQTT broker, at a rate, with or without incidents, those
//! that come by themselves or those of a script.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::check::report;
use super::demo::duration;
use super::run::stop_signal;
use crate::clock;
use crate::config::{self, Cast, Script};
use crate::demo::screen::{LogWriter, Screen};
use crate::domain::device::DeviceKey;
use crate::lifecycle::Tasks;
use crate::simulate::casting::cast;
use crate::simulate::fleet::{Fleet, Login, Tally};
use crate::simulate::plan::Plan;
use crate::simulate::report::Figures;
use crate::simulate::simulator::Simulator;
use crate::simulate::town::Town;
use crate::simulate::voice::{Voice, Voices};

/// How often a line says what is going on.
const LINE: Duration = Duration::from_secs(1);
/// Stands for every profile.
const ALL: &str = "all";
/// The most messages a second that may be asked for.
const FASTEST: f64 = 1_000_000.0;

/// What `ninewatch simulate` can be told.
#[derive(Debug, clap::Args)]
pub(super) struct SimulateArguments {
    /// The broker, mqtt://HOST:PORT
    #[arg(long, value_name = "URL", value_parser = broker)]
    mqtt: (String, u16),
    /// How many venues to simulate; each has four devices
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..))]
    venues: u16,
    /// Regular reports a second of all devices together; default: as often as such devices report
    #[arg(long, value_name = "MSGS_PER_S", value_parser = rate)]
    rate: Option<f64>,
    /// End after this time, for example 90s or 5m; default: at Ctrl-C
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    lasts: Option<Duration>,
    /// Let incidents happen: gas leaks, mute valves, hot ports, e-bikes in lifts, a lying and an offline detector
    #[arg(long)]
    incidents: bool,
    /// Let happen what this file says, a script in TOML as in config/incidents.toml; the end says what came of it
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,
    /// The profile that the devices speak, as `zigbee2mqtt`; given more than once, or `all`: venues take turns
    #[arg(long, value_name = "NAME", default_value = "native", value_parser = profile)]
    profile: Vec<String>,
    /// Write the venues and devices into this file, a venues file for the gateway that is to hear them
    #[arg(long, value_name = "FILE")]
    venues_file: Option<PathBuf>,
    /// Another seed gives other values and incidents
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// The user name for the broker
    #[arg(long, value_name = "NAME")]
    username: Option<String>,
    /// The file that holds the password for the broker
    #[arg(long, value_name = "FILE", requires = "username")]
    password_file: Option<PathBuf>,
}

fn broker(text: &str) -> Result<(String, u16), String> {
    const FORM: &str = "write mqtt://HOST:PORT, for example mqtt://127.0.0.1:1883";
    let url = Url::parse(text).map_err(|error| format!("not a URL: {error}; {FORM}"))?;
    match url.scheme() {
        "mqtt" => {}
        "mqtts" => return Err(format!("the simulated devices do not speak TLS; {FORM}")),
        other => return Err(format!("the simulated devices do not speak `{other}`; {FORM}")),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("give user name and password with --username and --password-file".to_owned());
    }
    let is_bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
    let host = url.host_str().filter(|host| is_bare && !host.is_empty());
    let host = host.ok_or_else(|| format!("it must be a host and a port, nothing else; {FORM}"))?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    Ok((host.to_owned(), url.port().unwrap_or(1883)))
}

/// A profile that can be spoken, or `all`.
pub(super) fn profile(text: &str) -> Result<String, String> {
    let voices = Voices::default();
    let names: Vec<&str> = voices.all().map(|(_, name, _)| name).collect();
    if text == ALL || names.contains(&text) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "the simulated devices speak {}, or {ALL}",
        names.join(", ")
    ))
}

/// How each device of `town` speaks.
pub(super) fn casting(town: &Town, profiles: &[String], script: &Script) -> Vec<Voice> {
    let voices = Voices::default();
    let chosen: Vec<Voice> = voices
        .all()
        .filter(|(_, name, _)| profiles.iter().any(|profile| profile == ALL || profile == name))
        .map(|(voice, ..)| voice)
        .collect();
    cast(town, &voices, &chosen, &script.speaks)
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse::<f64>().ok();
    rate.filter(|rate| (0.001..=FASTEST).contains(rate))
        .ok_or_else(|| format!("{text:?} is not a number of messages a second from 0.001 to {FASTEST}"))
}

/// Plays the town until it is told to stop.
pub(super) fn simulate(arguments: SimulateArguments) -> anyhow::Result<ExitCode> {
    let town = Town::new(usize::from(arguments.venues));
    let Ok(script) = read_script(arguments.script.as_deref(), &town) else {
        return Ok(ExitCode::FAILURE);
    };
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    runtime.block_on(on_screen(arguments, (town, script)))?;
    Ok(ExitCode::SUCCESS)
}

async fn on_screen(arguments: SimulateArguments, stage: (Town, Script)) -> anyhow::Result<()> {
    let stop = stop_signal()?;
    let (screen, writing) = Screen::start().context("cannot start writing to the terminal")?;
    super::log_to(LogWriter::new(&screen), "warn");
    let unread = writing.closed();
    let outcome = play(arguments, stage, screen, async move {
        tokio::select! {
            () = stop => {}
            () = unread.cancelled() => {}
        }
    })
    .await;
    writing.finished().await;
    outcome
}

async fn play(
    arguments: SimulateArguments,
    (town, script): (Town, Script),
    screen: Screen,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let login = login(&arguments)?;
    let played = casting(&town, &arguments.profile, &script);
    if let Some(path) = &arguments.venues_file {
        let text = town.venues_file(&Voices::default(), &played);
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let plan = Plan {
        seed: arguments.seed,
        rate: arguments.rate,
        incidents: script.incidents,
        story: arguments.incidents,
        voices: played,
    };
    let simulator = Simulator::new(&town, plan);
    let welcome = format!(
        "ninewatch simulate: {} devices of {} venues at mqtt://{}:{}",
        town.devices.len(),
        town.venues.len(),
        login.host,
        login.port,
    );
    let mut stop = std::pin::pin!(stop);
    let fleet = tokio::select! {
        fleet = Fleet::connect(login, simulator.subscriptions()) => fleet?,
        () = &mut stop => return Ok(()),
    };
    screen.lines(vec![welcome]).await;
    let tally = fleet.tally();
    let mut tasks = Tasks::new();
    let started = clock::monotonic();
    let still = tasks.stopping();
    let lasts = arguments.lasts;
    tasks.spawn("devices", {
        let still = still.clone();
        async move {
            fleet.play(simulator, lasts, still).await;
            Ok(())
        }
    });
    let lines = tell(screen.clone(), tally.clone(), still);
    tokio::select! {
        ended = tasks.next_ended() => check(ended)?,
        () = &mut stop => {
            tasks.stop();
            check(tasks.next_ended().await)?;
        }
        () = lines => {}
    }
    let figures = Figures::of(&tally, started.elapsed());
    screen.lines(figures.ending()).await;
    screen.lines(tally.outcomes().lines()).await;
    Ok(())
}

/// The script in `path`; an empty one without. What is wrong with it is on the standard error then.
pub(super) fn read_script(path: Option<&Path>, town: &Town) -> Result<Script, ()> {
    let Some(path) = path else {
        return Ok(Script::default());
    };
    let devices: Vec<DeviceKey> = town.devices.iter().map(|device| device.key.clone()).collect();
    let voices = Voices::default();
    let profiles: Vec<_> = voices.all().map(|(_, name, kinds)| (name, kinds)).collect();
    let cast = Cast {
        devices: &devices,
        profiles: &profiles,
    };
    config::load_script(path, &cast).map_err(|findings| report(path, &findings))
}

fn check(
    ended: Option<Result<(&'static str, anyhow::Result<()>), tokio::task::JoinError>>,
) -> anyhow::Result<()> {
    match ended {
        Some(Ok((_, outcome))) => outcome,
        Some(Err(error)) => Err(anyhow!("the simulator ended unasked: {error}")),
        None => Ok(()),
    }
}

/// Says once a second what is going on.
async fn tell(screen: Screen, tally: Tally, stop: CancellationToken) {
    let started = clock::monotonic();
    let mut before = Figures::of(&tally, Duration::ZERO);
    let mut ticks = interval(LINE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        tokio::select! {
            () = stop.cancelled() => std::future::pending().await,
            _ = ticks.tick() => {}
        }
        let now = Figures::of(&tally, started.elapsed());
        screen.status(now.line(&before));
        before = now;
    }
}

fn login(arguments: &SimulateArguments) -> anyhow::Result<Login> {
    let (host, port) = arguments.mqtt.clone();
    let password = arguments.password_file.as_ref().map_or_else(
        || Ok(String::new()),
        |file| {
            std::fs::read_to_string(file)
                .with_context(|| format!("cannot read the password file {}", file.display()))
        },
    )?;
    let password = password.trim_end_matches(['\n', '\r']).to_owned();
    Ok(Login {
        host,
        port,
        client_id: format!("ninewatch-simulate-{}", std::process::id()),
        credentials: arguments.username.clone().map(|name| (name, password)),
    })
}

#[cfg(test)]
mod tests {
    use super::{broker, rate};

    #[test]
    fn a_broker_is_a_host_and_a_port() {
        for (text, host, port) in [
            ("mqtt://127.0.0.1:1884", "127.0.0.1", 1884),
            ("mqtt://broker.example", "broker.example", 1883),
            ("mqtt://[::1]:1884/", "::1", 1884),
        ] {
            assert_eq!(broker(text), Ok((host.to_owned(), port)), "{text}");
        }
        for (text, word) in [
            ("127.0.0.1:1883", "mqtt://HOST:PORT"),
            ("mqtts://h:8883", "TLS"),
            ("http://h", "`http`"),
            ("mqtt://a:b@h", "--username"),
            ("mqtt://h/topic", "nothing else"),
            ("mqtt://", "nothing else"),
        ] {
            let error = broker(text).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }

    #[test]
    fn a_rate_is_positive_and_finite() {
        assert_eq!(rate("0.5"), Ok(0.5));
        for text in ["0", "-1", "NaN", "inf", "fast", "1e9"] {
            assert!(rate(text).is_err(), "{text}");
        }
    }
}
