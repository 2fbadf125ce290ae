//! From a danger to the webhook that tells of it: the real binary behind a real mosquitto with 1 000 messages of telemetry a
//! second, alone, and beside a target that never answers. In turn with each danger the floor: a bare subscriber that writes
//! the message to a file, syncs it, and posts it to the same sink.
//!
//! `cargo bench --bench notices [-- --dangers N]`

#[path = "support/floor.rs"]
#[expect(dead_code, reason = "each bench asks for something else")]
mod floor;
#[path = "../tests/support/mosquitto.rs"]
#[expect(
    dead_code,
    clippy::expect_used,
    reason = "it belongs to the tests: a bench needs less of it, and has no figure without it"
)]
mod mosquitto;
#[path = "support/process.rs"]
#[expect(dead_code, reason = "each bench asks for something else")]
mod process;
#[path = "support/wire.rs"]
#[expect(dead_code, reason = "each bench asks for something else")]
mod wire;

use std::fs::File;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use axum::Router;
use axum::http::StatusCode;
use floor::{Ear, Floor, summed_up};
use mosquitto::Mosquitto;
use ninewatch::clock::monotonic;
use process::Gateway;
use serde::Deserialize;
use wire::{Client, Telemetry};

const PING: &str = "bench/ping";

/// Messages of telemetry a second.
const RATE: u64 = 1_000;

/// Half of it from a danger to the floor, half from the floor to the next danger.
const PACE: Duration = Duration::from_millis(50);

const PATIENCE: Duration = Duration::from_mins(2);

/// The most messages that may have come and not been looked at.
const WAITING: usize = 100_000;

/// As long as a notice is.
const FILLING: usize = 600;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [kind, port, url, file] = arguments.as_slice()
        && kind == "--floor"
    {
        return floor(port.parse()?, url, Path::new(file));
    }
    // `cargo test` runs a bench once to see that it works; only `cargo bench` says `--bench`.
    let measured = arguments.iter().any(|argument| argument == "--bench");
    let asked = arguments.iter().position(|argument| argument == "--dangers");
    let asked = asked.and_then(|place| arguments.get(place + 1));
    let dangers = asked.map_or(Ok(if measured { 400 } else { 4 }), |text| text.parse())?;
    println!("{dangers} dangers a run, {RATE} messages of telemetry a second");
    println!(
        "{:<24} {:>20} {:>20} {:>13} {:>18}",
        "", "danger to webhook", "floor", "ratio", "p99 beyond floor"
    );
    let (mut alone, mut beside) = (Seen::default(), Seen::default());
    // In turn: what else the machine does meets both.
    for _ in 0..if measured { 2 } else { 1 } {
        measure(false, dangers, &mut alone)?;
        measure(true, dangers, &mut beside)?;
    }
    let [_, alone] = tell("alone", &mut alone)?;
    let [_, beside] = tell("beside one that hangs", &mut beside)?;
    println!("p99 beside one that hangs, against alone: {:.2}", beside / alone);
    Ok(())
}

/// What was seen.
#[derive(Default)]
struct Seen {
    notices: Vec<Duration>,
    floor: Vec<Duration>,
}

/// Says it; the p50 and p99 of the notices in milliseconds.
fn tell(name: &str, seen: &mut Seen) -> anyhow::Result<[f64; 2]> {
    let mut figures = Vec::new();
    for times in [&mut seen.notices, &mut seen.floor] {
        figures.extend(summed_up(times, Duration::from_millis(1))?);
    }
    let [p50, p99, floor_p50, floor_p99] = figures.as_slice() else {
        anyhow::bail!("four figures");
    };
    println!(
        "{name:<24} {p50:>8.2} {p99:>8.2} ms {floor_p50:>8.2} {floor_p99:>8.2} ms {:>6.2} {:>6.2} {:>15.2} ms",
        p50 / floor_p50,
        p99 / floor_p99,
        p99 - floor_p99,
    );
    Ok([*p50, *p99])
}

fn measure(hangs: bool, dangers: u32, seen: &mut Seen) -> anyhow::Result<()> {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    // As in `deploy/mosquitto.conf`.
    let broker = Mosquitto::start("max_inflight_messages 10000");
    let sink = Sink::start()?;
    // Its connections are taken by the kernel and answered by nobody.
    let deaf = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let target = |name: &str, url: &str| {
        format!("[[target]]\nname = \"{name}\"\nkind = \"webhook\"\nurl = \"{url}\"\n")
    };
    let targets = if hangs {
        r#"["deaf", "duty"]"#
    } else {
        r#"["duty"]"#
    };
    let config = [
        target("duty", &sink.url),
        target("deaf", &format!("http://{}/hook", deaf.local_addr()?)),
        format!("[[route]]\nname = \"all\"\nclasses = [\"alarm\"]\ntargets = {targets}\n"),
    ]
    .concat();
    let gateway = Gateway::start(folder.path(), broker.port, &config)?;
    gateway.wait_for("ninewatch_mqtt_connected", 1)?;
    let file = folder.path().join("floor");
    let file = file.to_str().context("a path in UTF-8")?;
    let _floor = Floor::start(&["--floor", &broker.port.to_string(), &sink.url, file])?;
    let mut voice = Client::connect(broker.port, "voice")?;
    for number in 0..dangers {
        says(&mut voice, number, "1.0")?;
    }
    let telemetry = Telemetry::start(broker.port, RATE)?;
    telemetry.wait_sent(3 * RATE);
    gateway.wait_for("ninewatch_messages_acknowledged_total", u64::from(dangers))?;
    for number in 0..dangers {
        let started = monotonic();
        says(&mut voice, number, "60.0")?;
        seen.notices.push(sink.told_of(&format!("d{number}"), started)?);
        says(&mut voice, number, "1.0")?;
        std::thread::park_timeout(PACE / 2);
        let body = format!(
            r#"{{"type":"floor","alarm":{{"venue":{{"id":"p{number}"}}}},"filling":"{:FILLING$}"}}"#,
            ""
        );
        let started = monotonic();
        voice.publish(PING, &body)?;
        seen.floor.push(sink.told_of(&format!("p{number}"), started)?);
        voice.acknowledged()?;
        std::thread::park_timeout(PACE / 2);
    }
    telemetry.stop()
}

/// The detector of the danger of this number speaks: each has a venue of its own, for the shipped rules hold an alarm for half
/// a minute after the gas.
fn says(voice: &mut Client, number: u32, lel: &str) -> anyhow::Result<()> {
    let topic = format!("ninewatch/d{number}/gas_detector/g1/telemetry");
    voice.publish(&topic, &format!(r#"{{"lel":{lel}}}"#))?;
    voice.acknowledged()
}

/// The part of a body that is looked at.
#[derive(Deserialize)]
struct Told {
    r#type: String,
    alarm: About,
}

#[derive(Deserialize)]
struct About {
    venue: Place,
}

#[derive(Deserialize)]
struct Place {
    id: String,
}

/// A web server on a thread and a runtime of its own that takes everything.
struct Sink {
    url: String,
    came: Receiver<(String, Instant)>,
}

impl Sink {
    fn start() -> anyhow::Result<Sink> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let url = format!("http://{}/hook", listener.local_addr()?);
        let (sender, came) = sync_channel(WAITING);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        std::thread::spawn(move || runtime.block_on(serve(listener, sender)));
        Ok(Sink { url, came })
    }

    /// How long after `started` the first message about this venue came.
    fn told_of(&self, venue: &str, started: Instant) -> anyhow::Result<Duration> {
        loop {
            let (about, at) = self.came.recv_timeout(PATIENCE).context("nobody is told")?;
            if about == venue {
                return Ok(at - started);
            }
        }
    }
}

async fn serve(listener: TcpListener, sender: SyncSender<(String, Instant)>) -> anyhow::Result<()> {
    let take = move |body: String| {
        let (at, sender) = (monotonic(), sender.clone());
        async move {
            let told: Result<Told, _> = serde_json::from_str(&body);
            match told {
                Ok(told) if ["alarm.raised", "floor"].contains(&told.r#type.as_str()) => sender
                    .try_send((told.alarm.venue.id, at))
                    .map_or(StatusCode::SERVICE_UNAVAILABLE, |()| StatusCode::OK),
                Ok(_) => StatusCode::OK,
                Err(_) => StatusCode::BAD_REQUEST,
            }
        }
    };
    axum::serve(
        tokio::net::TcpListener::from_std(listener)?,
        Router::new().fallback(take),
    )
    .await?;
    Ok(())
}

/// The floor: writes what it gets to a file, syncs that, and posts it.
fn floor(port: u16, url: &str, file: &Path) -> anyhow::Result<()> {
    let mut file = File::create(file)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut ear = Ear::open(port, PING).await?;
        let tls = rustls::ClientConfig::builder_with_provider(std::sync::Arc::new(
            rustls::crypto::ring::default_provider(),
        ))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
        let web = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .no_proxy()
            .build()?;
        loop {
            let payload = ear.hear().await?;
            file.write_all(&payload)?;
            file.sync_data()?;
            let sent = web.post(url).body(payload).send().await?;
            ensure!(sent.status().is_success(), "the sink refuses");
        }
    })
}
