//! A bare MQTT client on a blocking socket, and telemetry at a steady rate from a connection and a thread of its own.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bytes::BytesMut;
use ninewatch::clock::monotonic;
use rumqttc::{Connect, Packet, PubAck, Publish, QoS, Subscribe};

const LARGEST_PACKET: usize = 1 << 20;
const READ: usize = 64 * 1024;

/// After it a silent broker is an error.
const SILENCE: Duration = Duration::from_mins(2);

/// Devices that telemetry comes from.
const DEVICES: u64 = 1_000;

/// A connection without a Nagle delay.
pub(crate) struct Client {
    stream: TcpStream,
    incoming: BytesMut,
    chunk: Vec<u8>,
    packet_id: u16,
}

impl Client {
    pub(crate) fn connect(port: u16, id: &str) -> anyhow::Result<Client> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SILENCE))?;
        let mut client = Client {
            stream,
            incoming: BytesMut::new(),
            chunk: vec![0; READ],
            packet_id: 0,
        };
        let mut connect = Connect::new(id);
        // None: a bench never pings.
        connect.keep_alive = 0;
        client.send(&Packet::Connect(connect))?;
        let packet = client.next()?;
        let Packet::ConnAck(_) = packet else {
            bail!("no CONNACK but {packet:?}");
        };
        Ok(client)
    }

    /// Subscribes; returns when the broker has agreed.
    pub(crate) fn subscribe(&mut self, filter: &str) -> anyhow::Result<()> {
        let mut subscribe = Subscribe::new(filter, QoS::AtLeastOnce);
        subscribe.pkid = self.next_id();
        self.send(&Packet::Subscribe(subscribe))?;
        let packet = self.next()?;
        let Packet::SubAck(_) = packet else {
            bail!("no SUBACK but {packet:?}");
        };
        Ok(())
    }

    /// Publishes at QoS 1; [`Client::acknowledged`] takes the broker's word for it.
    pub(crate) fn publish(&mut self, topic: &str, body: &str) -> anyhow::Result<()> {
        let mut publish = Publish::new(topic, QoS::AtLeastOnce, body);
        publish.pkid = self.next_id();
        self.send(&Packet::Publish(publish))
    }

    /// Waits until the broker has the message published last.
    pub(crate) fn acknowledged(&mut self) -> anyhow::Result<()> {
        let expected = Packet::PubAck(PubAck::new(self.packet_id));
        let packet = self.next()?;
        ensure!(packet == expected, "no {expected:?} but {packet:?}");
        Ok(())
    }

    /// Waits for a message.
    pub(crate) fn next_publish(&mut self) -> anyhow::Result<Publish> {
        let packet = self.next()?;
        let Packet::Publish(publish) = packet else {
            bail!("no message but {packet:?}");
        };
        Ok(publish)
    }

    pub(crate) fn acknowledge(&mut self, publish: &Publish) -> anyhow::Result<()> {
        self.send(&Packet::PubAck(PubAck::new(publish.pkid)))
    }

    const fn next_id(&mut self) -> u16 {
        self.packet_id = self.packet_id % 60_000 + 1;
        self.packet_id
    }

    fn send(&mut self, packet: &Packet) -> anyhow::Result<()> {
        let mut outgoing = BytesMut::new();
        packet.write(&mut outgoing, LARGEST_PACKET)?;
        Ok(self.stream.write_all(&outgoing)?)
    }

    fn next(&mut self) -> anyhow::Result<Packet> {
        loop {
            match Packet::read(&mut self.incoming, LARGEST_PACKET) {
                Ok(packet) => return Ok(packet),
                Err(rumqttc::Error::InsufficientBytes(_)) => {}
                Err(error) => return Err(error.into()),
            }
            let count = self
                .stream
                .read(&mut self.chunk)
                .context("the broker is silent")?;
            ensure!(count > 0, "the broker closed the connection");
            self.incoming
                .extend_from_slice(self.chunk.get(..count).unwrap_or_default());
        }
    }
}

/// Restful readings of [`DEVICES`] detectors at a steady rate, at QoS 1.
pub(crate) struct Telemetry {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: JoinHandle<anyhow::Result<()>>,
}

impl Telemetry {
    pub(crate) fn start(port: u16, rate: u64) -> anyhow::Result<Telemetry> {
        let client = Client::connect(port, "telemetry")?;
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let ends = (Arc::clone(&stop), Arc::clone(&sent));
        let thread = std::thread::spawn(move || publish(client, rate, &ends.0, &ends.1));
        Ok(Telemetry { stop, sent, thread })
    }

    /// How many messages it has sent.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Waits until it has sent so many, or has ended.
    pub(crate) fn wait_sent(&self, least: u64) {
        while self.sent() < least && !self.thread.is_finished() {
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    /// Ends it: the error that it met, if any.
    pub(crate) fn stop(self) -> anyhow::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread
            .join()
            .ok()
            .context("the telemetry's thread panicked")?
    }
}

/// Publishes what is due each millisecond. The acknowledgements are read away by another thread.
fn publish(mut client: Client, rate: u64, stop: &AtomicBool, sent: &AtomicU64) -> anyhow::Result<()> {
    let mut answers = client.stream.try_clone()?;
    let reader = std::thread::spawn(move || {
        let mut chunk = vec![0; READ];
        while matches!(answers.read(&mut chunk), Ok(1..)) {}
    });
    let started = monotonic();
    let (mut count, mut outgoing) = (0, BytesMut::new());
    while !stop.load(Ordering::Relaxed) {
        let due = started.elapsed().as_micros() * u128::from(rate) / 1_000_000;
        outgoing.clear();
        while u128::from(count) < due {
            let device = count % DEVICES;
            let topic = format!("ninewatch/t{}/gas_detector/g{device}/telemetry", device / 4);
            let mut message = Publish::new(topic, QoS::AtLeastOnce, payload(count));
            message.pkid = client.next_id();
            Packet::Publish(message).write(&mut outgoing, LARGEST_PACKET)?;
            count += 1;
        }
        client.stream.write_all(&outgoing)?;
        sent.store(count, Ordering::Relaxed);
        std::thread::park_timeout(Duration::from_millis(1));
    }
    client.stream.shutdown(Shutdown::Both)?;
    reader.join().ok().context("the reader panicked")
}

/// A restful reading; the time is left out so that no message is late.
fn payload(number: u64) -> Vec<u8> {
    let lel = 0.5 + (number % 30) as f64 / 10.0;
    format!(
        r#"{{"seq":{number},"lel":{lel:.1},"temperature":21.4,"battery":88,"state":"normal","firmware":"2.4.1","model":"GD-200","rssi":-61,"uptime":8640000,"note":"kitchen"}}"#
    )
    .into_bytes()
}
