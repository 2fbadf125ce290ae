//! Durable intake through a real mosquitto: how fast a backlog of QoS 1 messages is taken and acknowledged. Beside the
//! real binary, in the same run, two floors: a bare `rumqttc` client that acknowledges by hand and does nothing else, and
//! a bare subscriber that appends the payloads to a file and syncs it before its acknowledgements.
//!
//! `cargo bench --bench intake [-- --messages N --rounds N]`

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

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use bytes::BytesMut;
use mosquitto::Mosquitto;
use ninewatch::clock::monotonic;
use process::{Gateway, cpu_time};
use rumqttc::{AsyncClient, Connect, Event, MqttOptions, Packet, PubAck, Publish, QoS, Subscribe};

/// As in `deploy/mosquitto.conf`.
const IN_FLIGHT: u16 = 10_000;
/// As much as one read takes.
const READ: usize = 256 * 1024;
const LARGEST_PACKET: usize = 1 << 20;
const DEVICES: u64 = 1_000;
/// The client id of every subscriber: one session, one queue.
const SESSION: &str = "bench";
const FILTER: &str = "ninewatch/+/+/+/telemetry";
const PATIENCE: Duration = Duration::from_mins(2);

/// Who takes the messages.
#[derive(Clone, Copy)]
enum Subscriber {
    Ninewatch,
    Rumqttc,
    Syncing,
}

const SUBSCRIBERS: [(&str, Subscriber); 3] = [
    ("ninewatch", Subscriber::Ninewatch),
    ("rumqttc, does nothing", Subscriber::Rumqttc),
    ("append and fdatasync", Subscriber::Syncing),
];

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [kind, port, rest @ ..] = arguments.as_slice() {
        match kind.as_str() {
            "--rumqttc" => return rumqttc_subscriber(port.parse()?),
            "--syncing" => {
                return syncing_subscriber(port.parse()?, Path::new(rest.first().context("a file")?));
            }
            _ => {}
        }
    }
    // `cargo test` runs a bench once to see that it works; only `cargo bench` says `--bench`.
    let measured = arguments.iter().any(|argument| argument == "--bench");
    let number = |name: &str, default: u64| {
        let place = arguments.iter().position(|argument| argument == name);
        place
            .and_then(|place| arguments.get(place + 1)?.parse().ok())
            .unwrap_or(default)
    };
    let messages = number("--messages", if measured { 200_000 } else { 2_000 });
    let rounds = number("--rounds", if measured { 5 } else { 1 });
    println!("a backlog of {messages} messages of {} bytes", payload(7).len());
    let mut ratios: [Vec<f64>; 2] = [Vec::new(), Vec::new()];
    for round in 1..=rounds {
        let mut rates = Vec::new();
        for (name, subscriber) in SUBSCRIBERS {
            let (rate, cpu_us) = measure(subscriber, messages)?;
            println!(
                "round {round}: {name:>22}  {rate:>7.0} msg/s, {cpu_us:>5.2} µs processor time a message"
            );
            rates.push(rate);
        }
        let [ours, floors @ ..] = rates.as_slice() else {
            bail!("no subscriber")
        };
        for (ratios, floor) in ratios.iter_mut().zip(floors) {
            ratios.push(ours / floor);
        }
    }
    for ((name, _), ratios) in SUBSCRIBERS.iter().skip(1).zip(&mut ratios) {
        ratios.sort_by(f64::total_cmp);
        let median = ratios.get(ratios.len() / 2).context("a round")?;
        println!("ninewatch / {name}, messages a second, median: {median:.2}");
    }
    Ok(())
}

/// Messages a second and microseconds of the subscriber's processor time a message.
fn measure(subscriber: Subscriber, messages: u64) -> anyhow::Result<(f64, f64)> {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let broker = Mosquitto::start(&format!("max_inflight_messages {IN_FLIGHT}"));
    leave_a_session(broker.port)?;
    publish(broker.port, messages)?;
    let (cpu, rate) = match subscriber {
        Subscriber::Ninewatch => {
            let gateway = Gateway::start(folder.path(), broker.port, "")?;
            let name = "ninewatch_messages_acknowledged_total";
            let rate = rate(messages, || Ok(gateway.metric(name).unwrap_or_default()))?;
            (cpu_time(gateway.id())?, rate)
        }
        Subscriber::Rumqttc => floor(broker.port, &["--rumqttc"], None, messages)?,
        Subscriber::Syncing => {
            let file = folder.path().join("payloads");
            floor(broker.port, &["--syncing"], Some(&file), messages)?
        }
    };
    Ok((rate, cpu.as_secs_f64() * 1e6 / messages as f64))
}

/// A persistent session with the subscription, so that messages queue for it.
fn leave_a_session(port: u16) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    let mut outgoing = BytesMut::new();
    connect(SESSION).write(&mut outgoing, LARGEST_PACKET)?;
    subscribe().write(&mut outgoing, LARGEST_PACKET)?;
    stream.write_all(&outgoing)?;
    let (mut incoming, mut chunk) = (BytesMut::new(), vec![0; READ]);
    loop {
        if let Packet::SubAck(_) = next_packet(&mut stream, &mut incoming, &mut chunk)? {
            break;
        }
    }
    outgoing.clear();
    Packet::Disconnect.write(&mut outgoing, LARGEST_PACKET)?;
    stream.write_all(&outgoing)?;
    Ok(())
}

fn connect(client: &str) -> Packet {
    let mut connect = Connect::new(client);
    connect.clean_session = false;
    Packet::Connect(connect)
}

fn subscribe() -> Packet {
    let mut subscribe = Subscribe::new(FILTER, QoS::AtLeastOnce);
    subscribe.pkid = 1;
    Packet::Subscribe(subscribe)
}

fn publish(port: u16, messages: u64) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    let mut outgoing = BytesMut::new();
    connect("devices").write(&mut outgoing, LARGEST_PACKET)?;
    stream.write_all(&outgoing)?;
    let (mut incoming, mut chunk) = (BytesMut::new(), vec![0; READ]);
    let mut acknowledged = 0;
    let mut sent = 0;
    while acknowledged < messages {
        outgoing.clear();
        while sent < messages && sent - acknowledged < u64::from(IN_FLIGHT) {
            let device = sent % DEVICES;
            let topic = format!("ninewatch/v{}/gas_detector/g{device}/telemetry", device / 4);
            let mut message = Publish::new(topic, QoS::AtLeastOnce, payload(sent));
            message.pkid = u16::try_from(sent % 60_000)? + 1;
            Packet::Publish(message).write(&mut outgoing, LARGEST_PACKET)?;
            sent += 1;
        }
        stream.write_all(&outgoing)?;
        if let Packet::PubAck(_) = next_packet(&mut stream, &mut incoming, &mut chunk)? {
            acknowledged += 1;
        }
    }
    Ok(())
}

/// A restful reading; the time is left out so that no message is late.
fn payload(number: u64) -> Vec<u8> {
    let lel = 0.5 + (number % 30) as f64 / 10.0;
    format!(
        r#"{{"seq":{number},"lel":{lel:.1},"temperature":21.4,"battery":88,"state":"normal","firmware":"2.4.1","model":"GD-200","rssi":-61,"uptime":8640000,"note":"kitchen"}}"#
    )
    .into_bytes()
}

fn next_packet(stream: &mut TcpStream, incoming: &mut BytesMut, chunk: &mut [u8]) -> anyhow::Result<Packet> {
    loop {
        match Packet::read(incoming, LARGEST_PACKET) {
            Ok(packet) => return Ok(packet),
            Err(rumqttc::Error::InsufficientBytes(_)) => {}
            Err(error) => return Err(error.into()),
        }
        let count = stream.read(chunk)?;
        ensure!(count > 0, "the broker closed the connection");
        incoming.extend_from_slice(chunk.get(..count).unwrap_or_default());
    }
}

/// Runs this program as a floor: its processor time, and its rate. It prints how many messages it has acknowledged.
fn floor(
    port: u16,
    arguments: &[&str],
    file: Option<&Path>,
    messages: u64,
) -> anyhow::Result<(Duration, f64)> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(arguments)
        .arg(port.to_string())
        .args(file)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(child.stdout.take().context("its output")?).lines();
    let rate = rate(messages, || {
        let line = lines.next().context("the floor ended early")??;
        Ok(line.parse()?)
    });
    let cpu = cpu_time(child.id());
    child.kill()?;
    child.wait()?;
    Ok((cpu?, rate?))
}

/// Messages a second from the first count seen to the last.
fn rate(messages: u64, mut count: impl FnMut() -> anyhow::Result<u64>) -> anyhow::Result<f64> {
    let started = monotonic();
    let mut first: Option<(u64, Instant)> = None;
    loop {
        let seen = count()?;
        let now = monotonic();
        ensure!(
            now.saturating_duration_since(started) < PATIENCE,
            "only {seen} of {messages} messages were acknowledged"
        );
        match first {
            None if seen > 0 => first = Some((seen, now)),
            Some((at_first, since)) if seen >= messages => {
                let spent = now.saturating_duration_since(since).as_secs_f64();
                return Ok((seen - at_first) as f64 / spent);
            }
            None | Some(_) => {}
        }
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

/// Every thousandth message is told of.
fn tell(acknowledged: u64) {
    if acknowledged.is_multiple_of(1_000) {
        println!("{acknowledged}");
    }
}

/// The first floor: the library's client, acknowledging by hand.
fn rumqttc_subscriber(port: u16) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut options = MqttOptions::new(SESSION, "127.0.0.1", port);
        options.set_clean_session(false).set_manual_acks(true);
        // The loop hands over all that a read brought before it turns to what it is to send.
        let (client, mut events) = AsyncClient::new(options, 65_536);
        let mut network = rumqttc::NetworkOptions::new();
        network.set_tcp_nodelay(true);
        events.set_network_options(network);
        let mut acknowledged = 0;
        loop {
            if let Event::Incoming(Packet::Publish(publish)) = events.poll().await? {
                client.try_ack(&publish)?;
                acknowledged += 1;
                tell(acknowledged);
            }
        }
    })
}

/// The second floor: receive, append, sync, acknowledge; nothing is decoded or decided.
fn syncing_subscriber(port: u16, file: &Path) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_nodelay(true)?;
    let mut file = File::create(file)?;
    let mut outgoing = BytesMut::new();
    connect(SESSION).write(&mut outgoing, LARGEST_PACKET)?;
    stream.write_all(&outgoing)?;
    let (mut incoming, mut chunk) = (BytesMut::new(), vec![0; READ]);
    let mut acknowledged = 0;
    loop {
        let mut packet = next_packet(&mut stream, &mut incoming, &mut chunk)?;
        outgoing.clear();
        let mut payloads = Vec::new();
        let before = acknowledged;
        loop {
            if let Packet::Publish(publish) = packet {
                payloads.extend_from_slice(&publish.payload);
                PubAck::new(publish.pkid).write(&mut outgoing)?;
                acknowledged += 1;
            }
            match Packet::read(&mut incoming, LARGEST_PACKET) {
                Ok(next) => packet = next,
                Err(rumqttc::Error::InsufficientBytes(_)) => break,
                Err(error) => return Err(error.into()),
            }
        }
        if !payloads.is_empty() {
            file.write_all(&payloads)?;
            file.sync_data()?;
            stream.write_all(&outgoing)?;
            for count in before + 1..=acknowledged {
                tell(count);
            }
        }
    }
}
