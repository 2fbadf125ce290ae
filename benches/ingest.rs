//! Ingest alone, from a direct source, with receipts given back at once. Beside it, in the same run, the floor: a
//! blocking loop that reads packets with the same codec and writes their acknowledgements.
//!
//! `cargo bench --bench ingest [-- MESSAGES]`

#[path = "support/direct_source.rs"]
#[expect(dead_code, reason = "nothing here has to warm up")]
mod direct_source;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::BytesMut;
use ninewatch::clock::Clock;
use ninewatch::config::{BrokerUrl, MqttSettings, MqttTls};
use ninewatch::ingest::Ingest;
use ninewatch::lifecycle::{Health, Tasks};
use ninewatch::metrics::Metrics;
use rumqttc::{Connect, Packet, PubAck, QoS, Subscribe};
use tokio::sync::{mpsc, watch};

use direct_source::{DirectSource, Load, Report};

const ROUNDS: usize = 5;
const LARGEST_PACKET: usize = 1 << 20;

fn main() -> anyhow::Result<()> {
    let messages = std::env::args()
        .skip(1)
        .find_map(|argument| argument.parse().ok());
    let load = Load {
        messages: (0..1_000).map(message).collect(),
        warm_up: 0,
        total: messages.unwrap_or(1_000_000),
        window: 20_000,
    };
    let mut ratios = Vec::new();
    for round in 1..=ROUNDS {
        let (ingest, ingest_cpu) = measure(&load, &ingest)?;
        let (floor, floor_cpu) = measure(&load, &floor)?;
        println!(
            "round {round}: ingest {:.0} msg/s, {ingest_cpu:.0} ns CPU a message | floor {:.0} msg/s, {floor_cpu:.0} ns",
            ingest.rate(),
            floor.rate()
        );
        ratios.push(ingest_cpu / floor_cpu);
    }
    ratios.sort_by(f64::total_cmp);
    let median = ratios.get(ROUNDS / 2).context("a round")?;
    println!("CPU of ingest / floor, median: {median:.2}");
    Ok(())
}

fn message(device: usize) -> (String, Vec<u8>) {
    let payload = format!(
        r#"{{"ts":1767225600000,"seq":{device},"lel":3.5,"temperature":21.4,"battery":88,"state":"normal","signal":-71,"firmware":"2.4.1","uptime":8640000}}"#
    );
    (
        format!("ninewatch/v{}/gas_detector/g{device}/telemetry", device / 4),
        payload.into_bytes(),
    )
}

/// The source's report, and the processor time a message of everything but the source, in nanoseconds.
fn measure(load: &Load, client: &dyn Fn(u16, u64) -> anyhow::Result<()>) -> anyhow::Result<(Report, f64)> {
    let before = process_cpu()?;
    let source = DirectSource::start(load)?;
    client(source.port, load.total)?;
    let report = source.finish()?;
    let spent = process_cpu()?
        .saturating_sub(before)
        .saturating_sub(report.source_cpu);
    Ok((report, spent.as_nanos() as f64 / report.messages as f64))
}

fn ingest(port: u16, total: u64) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let (to_us, mut envelopes) = mpsc::channel(32);
        let (to_ingest, receipts) = mpsc::channel(32);
        let mut tasks = Tasks::new();
        let ingest = Ingest {
            settings: settings(port),
            subscriptions: watch::channel(vec!["ninewatch/#".to_owned()]).1,
            clock: Clock::new(),
            metrics: Metrics::new(),
            health: Health::new(),
        };
        let token = tasks.stopping();
        tasks.spawn(
            "ingest",
            async move { Ok(ingest.run(to_us, receipts, token).await?) },
        );
        let mut count = 0;
        while count < total {
            let batch = envelopes.recv().await.context("ingest runs")?;
            count += batch.len() as u64;
            to_ingest
                .send(batch.iter().filter_map(|envelope| envelope.receipt).collect())
                .await?;
        }
        tasks.stop();
        drop(to_ingest);
        let (_, ended) = tasks.next_ended().await.context("one task")??;
        ended
    })
}

fn settings(port: u16) -> MqttSettings {
    MqttSettings {
        url: BrokerUrl::Remote {
            host: Ipv4Addr::LOCALHOST.to_string(),
            port,
            tls: false,
        },
        client_id: "bench".to_owned(),
        username: None,
        password: None,
        tls: MqttTls::default(),
        keep_alive: Duration::from_secs(30),
        max_packet_size: LARGEST_PACKET,
        queue: 10_000,
    }
}

fn floor(port: u16, total: u64) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_nodelay(true)?;
    let mut outgoing = BytesMut::new();
    Connect::new("floor").write(&mut outgoing)?;
    let mut subscribe = Subscribe::new("ninewatch/#", QoS::AtLeastOnce);
    subscribe.pkid = 1;
    subscribe.write(&mut outgoing)?;
    let mut incoming = BytesMut::new();
    let mut chunk = vec![0; 64 * 1024];
    let mut count = 0;
    while count < total {
        stream.write_all(&outgoing)?;
        outgoing.clear();
        let read = stream.read(&mut chunk)?;
        ensure!(read > 0, "the source closed the connection");
        incoming.extend_from_slice(chunk.get(..read).unwrap_or_default());
        while let Ok(packet) = Packet::read(&mut incoming, LARGEST_PACKET) {
            if let Packet::Publish(publish) = packet {
                PubAck::new(publish.pkid).write(&mut outgoing)?;
                count += 1;
            }
        }
    }
    stream.write_all(&outgoing)?;
    Ok(())
}

/// Processor time of this process so far, its ended threads included.
fn process_cpu() -> anyhow::Result<Duration> {
    // Fields 14 and 15 of proc(5): user and system time in ticks of 10 ms.
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(')').context("the process's name")?;
    let ticks: Result<Vec<u64>, _> = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(str::parse)
        .collect();
    Ok(Duration::from_millis(ticks?.iter().sum::<u64>() * 10))
}
