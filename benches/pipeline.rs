//! The whole pipeline from a direct source: the real binary takes QoS 1 messages from a broker that costs next to
//! nothing, and acknowledges each after its commit; with the shipped rules, with 16 rules on the devices' kind, and with
//! few and many devices. Beside each, in the same run, the floor: a bare subscriber that parses packets, appends the
//! payloads to a file, syncs it, and acknowledges.
//!
//! `cargo bench --bench pipeline [-- --messages N --rounds N]`

#[path = "support/direct_source.rs"]
#[expect(
    dead_code,
    reason = "the gateway is a process of its own here: its time needs nothing taken off"
)]
mod direct_source;
#[path = "support/process.rs"]
#[expect(dead_code, reason = "each bench asks for something else")]
mod process;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, ensure};
use bytes::BytesMut;
use direct_source::{DirectSource, Load, Report};
use process::{Gateway, cpu_time};
use rumqttc::{Connect, Packet, PubAck, QoS, Subscribe};

const WINDOW: u16 = 20_000;
const LARGEST_PACKET: usize = 1 << 20;

/// Each device says so many different things in turn: values that never move would cost less.
const VARIANTS: usize = 2;

/// Rules on the devices' kind of which none comes to hold.
const SIXTEEN: [&str; 16] = [
    "lel >= 10.0 && state != 'warmup'",
    "lel >= 25.0 && state != 'warmup'",
    "lel >= 50.0 && state != 'warmup'",
    "lel >= 15.0 && temperature > 50.0",
    "lel > 4.5 && battery < 10.0",
    "lel - temperature > 5.0",
    "lel * 2.0 > 90.0",
    "state == 'fault'",
    "state == 'end_of_life'",
    "state in ['warmup', 'end_of_life']",
    "temperature > 60.0",
    "temperature < -10.0 || temperature > 85.0",
    "battery < 20.0",
    "battery < 5.0 && online",
    "online == false",
    "!(battery > 1.0)",
];

/// One case.
struct Run {
    name: &'static str,
    devices: usize,
    /// None: the shipped ones.
    rules: Option<&'static [&'static str]>,
}

const RUNS: [Run; 4] = [
    Run {
        name: "shipped rules, 1 000 devices",
        devices: 1_000,
        rules: None,
    },
    Run {
        name: "16 rules, 1 000 devices",
        devices: 1_000,
        rules: Some(&SIXTEEN),
    },
    Run {
        name: "shipped rules, 100 devices",
        devices: 100,
        rules: None,
    },
    Run {
        name: "shipped rules, 100 000 devices",
        devices: 100_000,
        rules: None,
    },
];

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test` runs a bench once to see that it works; only `cargo bench` says `--bench`.
    let measured = arguments.iter().any(|argument| argument == "--bench");
    let number = |name: &str, default: u64| {
        let place = arguments.iter().position(|argument| argument == name);
        place
            .and_then(|place| arguments.get(place + 1)?.parse().ok())
            .unwrap_or(default)
    };
    if let Some(port) = arguments.iter().position(|argument| argument == "--floor") {
        let port = arguments.get(port + 1).context("--floor PORT")?.parse()?;
        return bare_subscriber(port, Path::new(arguments.last().context("--floor PORT FILE")?));
    }
    let (messages, rounds) = if measured { (1_000_000, 3) } else { (5_000, 1) };
    let (messages, rounds) = (number("--messages", messages), number("--rounds", rounds));
    println!(
        "{messages} messages of {} bytes, {WINDOW} in flight, {rounds} rounds",
        payload(7, 0).len()
    );
    for run in &RUNS {
        println!("{}", run.name);
        let messages_in_turn: Vec<_> = (0..VARIANTS)
            .flat_map(|variant| (0..run.devices).map(move |device| (topic(device), payload(device, variant))))
            .collect();
        let load = Load {
            messages: messages_in_turn,
            // Every device is known before the measuring begins.
            warm_up: if measured { run.devices as u64 } else { 0 },
            total: messages,
            window: WINDOW,
        };
        let mut ratios = Vec::new();
        for round in 1..=rounds {
            let gateway = measure(&load, &|port, folder| start_gateway(port, folder, run.rules))?;
            let floor = measure(&load, &start_floor)?;
            println!("  round {round}: ninewatch {gateway}  |  floor {floor}");
            ratios.push(gateway.rate / floor.rate);
        }
        ratios.sort_by(f64::total_cmp);
        let median = ratios.get(ratios.len() / 2).context("at least one round")?;
        println!("  ninewatch / floor, messages a second, median: {median:.2}");
    }
    Ok(())
}

/// Who takes the messages; ended when dropped.
enum Subject {
    Gateway(Gateway),
    Floor(Child),
}

impl Subject {
    fn id(&self) -> u32 {
        match self {
            Subject::Gateway(gateway) => gateway.id(),
            Subject::Floor(child) => child.id(),
        }
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        match self {
            Subject::Gateway(_) => {}
            Subject::Floor(child) => {
                // It may have ended by itself.
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }
}

/// What one run came to.
struct Figures {
    rate: f64,
    cpu_us: f64,
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:>7.0} msg/s, {:.2} µs processor time a message",
            self.rate, self.cpu_us
        )
    }
}

fn measure(load: &Load, start: &dyn Fn(u16, &Path) -> anyhow::Result<Subject>) -> anyhow::Result<Figures> {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let source = DirectSource::start(load)?;
    let subject = start(source.port, folder.path())?;
    source.warmed_up();
    let before = cpu_time(subject.id());
    let report = source.finish();
    let after = cpu_time(subject.id());
    drop(subject);
    let report: Report = report?;
    ensure!(
        report.messages == load.total,
        "not every message was acknowledged"
    );
    Ok(Figures {
        rate: report.rate(),
        cpu_us: after?.saturating_sub(before?).as_secs_f64() * 1e6 / load.total as f64,
    })
}

fn topic(device: usize) -> String {
    format!("ninewatch/v{:05}/gas_detector/g{device:06}/telemetry", device / 4)
}

/// A restful reading; the time is left out so that no message is late.
fn payload(device: usize, variant: usize) -> Vec<u8> {
    let lel = 0.5 + ((device + 7 * variant) % 30) as f64 / 10.0;
    format!(
        r#"{{"seq":{device},"lel":{lel:.1},"temperature":21.4,"battery":88,"state":"normal","firmware":"2.4.1","model":"GD-200","rssi":-61,"uptime":8640000,"note":"kitchen"}}"#
    )
    .into_bytes()
}

fn start_gateway(port: u16, folder: &Path, rules: Option<&[&str]>) -> anyhow::Result<Subject> {
    let mut more = "";
    if let Some(rules) = rules {
        more = "[files]\nrules = [\"rules.toml\"]\n";
        fs::write(folder.join("rules.toml"), rules_file(rules))?;
    }
    Ok(Subject::Gateway(Gateway::start(folder, port, more)?))
}

/// One rule for each condition.
fn rules_file(conditions: &[&str]) -> String {
    let rule = |(place, when): (usize, &&str)| {
        format!(
            "[[rule]]\nid = \"rule-{place}\"\non = \"gas_detector\"\nwhen = \"{when}\"\nclass = \"alarm\"\npriority = \"high\"\ntitle = {{ zh = \"规则\", en = \"Rule\" }}\n"
        )
    };
    conditions.iter().enumerate().map(rule).collect()
}

fn start_floor(port: u16, folder: &Path) -> anyhow::Result<Subject> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .arg("--floor")
        .arg(port.to_string())
        .arg(folder.join("payloads"));
    Ok(Subject::Floor(command.stdin(Stdio::null()).spawn()?))
}

/// The floor: receive, append, sync, acknowledge; nothing is decoded or decided.
fn bare_subscriber(port: u16, file: &Path) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_nodelay(true)?;
    let mut file = File::create(file)?;
    let mut outgoing = BytesMut::new();
    Packet::Connect(Connect::new("floor")).write(&mut outgoing, LARGEST_PACKET)?;
    let mut subscribe = Subscribe::new("#", QoS::AtLeastOnce);
    subscribe.pkid = 1;
    Packet::Subscribe(subscribe).write(&mut outgoing, LARGEST_PACKET)?;
    stream.write_all(&outgoing)?;
    let mut incoming = BytesMut::with_capacity(1 << 20);
    let mut chunk = vec![0; 256 * 1024];
    loop {
        let count = stream.read(&mut chunk)?;
        if count == 0 {
            return Ok(());
        }
        incoming.extend_from_slice(chunk.get(..count).unwrap_or_default());
        outgoing.clear();
        let mut payloads = Vec::new();
        loop {
            match Packet::read(&mut incoming, LARGEST_PACKET) {
                Ok(Packet::Publish(publish)) => {
                    payloads.extend_from_slice(&publish.payload);
                    Packet::PubAck(PubAck::new(publish.pkid)).write(&mut outgoing, LARGEST_PACKET)?;
                }
                Ok(_) => {}
                Err(rumqttc::Error::InsufficientBytes(_)) => break,
                Err(error) => return Err(error.into()),
            }
        }
        if !payloads.is_empty() {
            file.write_all(&payloads)?;
            file.sync_data()?;
            stream.write_all(&outgoing)?;
        }
    }
}
