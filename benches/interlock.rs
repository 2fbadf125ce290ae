//! From a danger to the command at the valve's socket: the real binary behind a real mosquitto, with telemetry, a frozen
//! disk, hanging sinks. In turn with each danger the floor: the same two ways through the broker, with a bare `rumqttc`
//! client between them that sends back what it gets.
//!
//! `cargo bench --bench interlock [-- --dangers N --window N --case NAME]`

#[path = "support/floor.rs"]
mod floor;
#[path = "../tests/support/mosquitto.rs"]
#[expect(
    dead_code,
    clippy::expect_used,
    reason = "it belongs to the tests: a bench needs less of it, and has no figure without it"
)]
mod mosquitto;
#[path = "../tests/support/postgres.rs"]
#[expect(
    dead_code,
    clippy::expect_used,
    reason = "it belongs to the tests: a bench needs less of it, and has no figure without it"
)]
mod postgres;
#[path = "support/process.rs"]
#[expect(dead_code, reason = "each bench asks for something else")]
mod process;
#[path = "support/wire.rs"]
mod wire;

use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use anyhow::Context;
use floor::{Ear, Floor, summed_up};
use mosquitto::Mosquitto;
use ninewatch::clock::monotonic;
use postgres::Postgres;
use process::Gateway;
use rumqttc::QoS;
use wire::{Client, Telemetry};

const COMMANDS: &str = "ninewatch/+/shutoff_valve/+/command";
const PING: &str = "bench/ping";
const PONG: &str = "bench/pong";

/// From one danger to the next, half of it from a danger to a round trip of the floor.
const PACE: Duration = Duration::from_millis(50);

/// strace that holds every sync for 2 s, and no other system call: those pass by a filter in the kernel. With `-D` it
/// stands beside the gateway and not above it.
const FROZEN_DISK: [&str; 11] = [
    "strace",
    "-D",
    "-f",
    "--seccomp-bpf",
    "-q",
    "-o",
    "/dev/null",
    "-e",
    "trace=fdatasync,fsync",
    "-e",
    "inject=fdatasync,fsync:delay_enter=2000000",
];

struct Case {
    name: &'static str,
    /// Messages of telemetry a second.
    rate: u64,
    disk_frozen: bool,
    sinks_hang: bool,
}

const CASES: [Case; 4] = [
    Case {
        name: "idle",
        rate: 1_000,
        disk_frozen: false,
        sinks_hang: false,
    },
    Case {
        name: "disk frozen",
        rate: 1_000,
        disk_frozen: true,
        sinks_hang: false,
    },
    Case {
        name: "sinks hanging",
        rate: 1_000,
        disk_frozen: false,
        sinks_hang: true,
    },
    Case {
        name: "10 x load",
        rate: 10_000,
        disk_frozen: false,
        sinks_hang: false,
    },
];

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [kind, port] = arguments.as_slice()
        && kind == "--responder"
    {
        return respond(port.parse()?);
    }
    // `cargo test` runs a bench once to see that it works; only `cargo bench` says `--bench`.
    let measured = arguments.iter().any(|argument| argument == "--bench");
    let after = |name: &str| {
        let place = arguments.iter().position(|argument| argument == name)?;
        arguments.get(place + 1)
    };
    let number = |name: &str, default: u16| after(name).map_or(Ok(default), |text| text.parse());
    let dangers = number("--dangers", if measured { 400 } else { 4 })?;
    // As in `deploy/mosquitto.conf`.
    let window = number("--window", 10_000)?;
    println!("{dangers} dangers a case; at most {window} messages in flight from the broker");
    println!(
        "{:<14} {:>24} {:>24} {:>14}",
        "", "danger to command", "bare round trip", "ratio"
    );
    println!(
        "{:<14} {:>11} {:>12} {:>11} {:>12} {:>7} {:>6}",
        "", "p50", "p99", "p50", "p99", "p50", "p99"
    );
    for case in &CASES {
        if after("--case").is_none_or(|only| only == case.name) {
            tell(case, measure(case, usize::from(dangers), window)?)?;
        }
    }
    Ok(())
}

/// What was seen of a case.
struct Seen {
    commands: Vec<Duration>,
    round_trips: Vec<Duration>,
    /// Messages of telemetry a second.
    rate: f64,
    /// Commands that no danger waited for.
    stray: usize,
}

fn tell(case: &Case, mut seen: Seen) -> anyhow::Result<()> {
    let mut figures = Vec::new();
    for times in [&mut seen.commands, &mut seen.round_trips] {
        figures.extend(summed_up(times, Duration::from_micros(1))?);
    }
    let [p50, p99, floor_p50, floor_p99] = figures.as_slice() else {
        anyhow::bail!("four figures");
    };
    let worst = seen.commands.last().context("a danger")?;
    println!(
        "{:<14} {p50:>8.0} µs {p99:>9.0} µs {floor_p50:>8.0} µs {floor_p99:>9.0} µs {:>7.2} {:>6.2}   worst {:.0} ms, {:.0} msg/s, {} sent again",
        case.name,
        p50 / floor_p50,
        p99 / floor_p99,
        worst.as_secs_f64() * 1e3,
        seen.rate,
        seen.stray,
    );
    Ok(())
}

fn measure(case: &Case, dangers: usize, window: u16) -> anyhow::Result<Seen> {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let broker = Mosquitto::start(&format!("max_inflight_messages {window}"));
    let sinks = case.sinks_hang.then(Sinks::start).transpose()?;
    let config = sinks.as_ref().map(Sinks::config).transpose()?.unwrap_or_default();
    let wrapper: &[&str] = if case.disk_frozen { &FROZEN_DISK } else { &[] };
    let gateway = Gateway::start_under(wrapper, folder.path(), broker.port, &config)?;
    for name in ["ninewatch_mqtt_connected", "ninewatch_command_link_connected"] {
        gateway.wait_for(name, 1)?;
    }
    let mut site = Site::start(broker.port)?;
    for number in 0..dangers {
        site.says(number, "shutoff_valve/s1", r#"{"position":"open"}"#)?;
        site.says(number, "gas_detector/g1", r#"{"lel":1.0}"#)?;
    }
    let telemetry = Telemetry::start(broker.port, case.rate)?;
    telemetry.wait_sent(3 * case.rate);
    gateway.wait_for("ninewatch_messages_acknowledged_total", 2 * dangers as u64)?;
    if let Some(sinks) = &sinks {
        sinks.database.freeze();
    }
    let seen = site.endanger(dangers, &telemetry);
    telemetry.stop()?;
    seen
}

/// A voice for every detector and valve, an ear for every valve, and the floor's client. Each danger is in a venue of its
/// own: the shipped rules hold an alarm for half a minute after the gas.
struct Site {
    voice: Client,
    ear: Client,
    _floor: Floor,
}

impl Site {
    fn start(port: u16) -> anyhow::Result<Site> {
        let mut ear = Client::connect(port, "ear")?;
        ear.subscribe(COMMANDS)?;
        ear.subscribe(PONG)?;
        Ok(Site {
            voice: Client::connect(port, "voice")?,
            ear,
            _floor: Floor::start(&["--responder", &port.to_string()])?,
        })
    }

    /// A device of the venue of the danger of this number speaks.
    fn says(&mut self, number: usize, device: &str, body: &str) -> anyhow::Result<()> {
        self.voice
            .publish(&format!("ninewatch/d{number}/{device}/telemetry"), body)?;
        self.voice.acknowledged()
    }

    /// One danger after the other, each beside a round trip.
    fn endanger(&mut self, dangers: usize, telemetry: &Telemetry) -> anyhow::Result<Seen> {
        let mut seen = Seen {
            commands: Vec::new(),
            round_trips: Vec::new(),
            rate: 0.0,
            stray: 0,
        };
        let (started, before) = (monotonic(), telemetry.sent());
        for number in 0..dangers {
            let topic = format!("ninewatch/d{number}/gas_detector/g1/telemetry");
            let answer = format!("ninewatch/d{number}/shutoff_valve/s1/command");
            let took = self.exchange(&topic, r#"{"lel":60.0}"#, &answer, &mut seen.stray)?;
            seen.commands.push(took);
            self.says(number, "shutoff_valve/s1", r#"{"position":"closed"}"#)?;
            self.says(number, "gas_detector/g1", r#"{"lel":1.0}"#)?;
            std::thread::park_timeout(PACE / 2);
            let took = self.exchange(PING, r#"{"lel":60.0}"#, PONG, &mut seen.stray)?;
            seen.round_trips.push(took);
            std::thread::park_timeout(PACE / 2);
        }
        seen.rate = (telemetry.sent() - before) as f64 / started.elapsed().as_secs_f64();
        Ok(seen)
    }

    /// The time from a message out to the answer on its topic.
    fn exchange(
        &mut self,
        topic: &str,
        body: &str,
        answer: &str,
        stray: &mut usize,
    ) -> anyhow::Result<Duration> {
        let started = monotonic();
        self.voice.publish(topic, body)?;
        loop {
            let publish = self.ear.next_publish()?;
            let took = started.elapsed();
            self.ear.acknowledge(&publish)?;
            if publish.topic == answer {
                self.voice.acknowledged()?;
                return Ok(took);
            }
            *stray += 1;
        }
    }
}

/// The floor: sends back what it gets.
fn respond(port: u16) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut ear = Ear::open(port, PING).await?;
        loop {
            let payload = ear.hear().await?;
            ear.client.try_publish(PONG, QoS::AtLeastOnce, false, payload)?;
        }
    })
}

/// A database that will freeze, and a webhook whose connections nobody ever answers.
struct Sinks {
    database: Postgres,
    webhook: TcpListener,
}

impl Sinks {
    fn start() -> anyhow::Result<Sinks> {
        Ok(Sinks {
            database: Postgres::start(""),
            webhook: TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?,
        })
    }

    fn config(&self) -> anyhow::Result<String> {
        let (database, webhook) = (self.database.url(), self.webhook.local_addr()?);
        Ok(format!(
            "[postgres]\nurl = \"{database}\"\n\
             [[target]]\nname = \"duty\"\nkind = \"webhook\"\nurl = \"http://{webhook}/hook\"\n\
             [[route]]\nname = \"all\"\ntargets = [\"duty\"]\n"
        ))
    }
}
