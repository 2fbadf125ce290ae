//! A broker that costs next to nothing, for measuring what is behind it: it lets one client in, pumps QoS 1 messages
//! through a window, and checks that the acknowledgements come in order. On loopback, in a thread of its own.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::ops::Range;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use ninewatch::clock::monotonic;

/// A write is about this large, in bytes.
const CHUNK: usize = 128 * 1024;

/// A client that is silent for so long has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is to be sent.
pub(crate) struct Load {
    /// Topics and payloads, sent again from the first one when all are through.
    pub(crate) messages: Vec<(String, Vec<u8>)>,
    /// How many messages to send and have acknowledged before the measuring begins.
    pub(crate) warm_up: u64,
    /// How many messages to send after that.
    pub(crate) total: u64,
    /// How many may wait for their acknowledgement, 1 to 65 535.
    pub(crate) window: u16,
}

/// A source that waits for its client, or serves it.
pub(crate) struct DirectSource {
    /// Where it listens, on 127.0.0.1.
    pub(crate) port: u16,
    warm: mpsc::Receiver<()>,
    thread: JoinHandle<io::Result<Report>>,
}

/// What was measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Report {
    /// Messages sent, and acknowledged in order, after the warm-up.
    pub(crate) messages: u64,
    /// From the first PUBLISH to the last PUBACK.
    pub(crate) elapsed: Duration,
    /// Processor time of the source's own thread, to be taken off the process's.
    pub(crate) source_cpu: Duration,
}

impl Report {
    /// Messages per second.
    pub(crate) fn rate(&self) -> f64 {
        self.messages as f64 / self.elapsed.as_secs_f64()
    }
}

impl DirectSource {
    /// Listens on a free port; begins to send when its client subscribes.
    pub(crate) fn start(load: &Load) -> io::Result<DirectSource> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let frames = Frames::encode(&load.messages)?;
        let (warm_up, total, window) = (load.warm_up, load.total, u64::from(load.window));
        let (to_us, warm) = mpsc::sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("direct-source".to_owned())
            .spawn(move || {
                let (stream, _) = listener.accept()?;
                let mut connection = Connection::accepted(stream)?;
                connection.pump(&frames, warm_up, window)?;
                // Nobody need wait for it.
                let _ = to_us.send(());
                connection.measure(&frames, total, window)
            })?;
        Ok(DirectSource { port, warm, thread })
    }

    /// Waits for the end of the warm-up; a failure is told by [`DirectSource::finish`].
    pub(crate) fn warmed_up(&self) {
        let _ = self.warm.recv();
    }

    /// Waits until every message is acknowledged. An acknowledgement out of order is an error, and so is 30 s of silence.
    pub(crate) fn finish(self) -> io::Result<Report> {
        self.thread
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the source panicked")))
    }
}

/// Encoded PUBLISH packets that lack only their packet identifiers.
struct Frames {
    bytes: Vec<u8>,
    /// Where each frame stands, and where in `bytes` its identifier goes.
    places: Vec<(Range<usize>, usize)>,
}

impl Frames {
    fn encode(messages: &[(String, Vec<u8>)]) -> io::Result<Frames> {
        let mut bytes = Vec::new();
        let mut places = Vec::new();
        for (topic, payload) in messages {
            let start = bytes.len();
            let length = u16::try_from(topic.len()).map_err(io::Error::other)?;
            bytes.push(0x32);
            push_length(&mut bytes, 2 + topic.len() + 2 + payload.len())?;
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(topic.as_bytes());
            let identifier = bytes.len();
            bytes.extend_from_slice(&[0, 0]);
            bytes.extend_from_slice(payload);
            places.push((start..bytes.len(), identifier));
        }
        if places.is_empty() {
            return Err(io::Error::other("nothing to send"));
        }
        Ok(Frames { bytes, places })
    }

    /// Appends the message number `sequence`, counted from 0.
    fn append(&self, sequence: u64, to: &mut Vec<u8>) -> io::Result<()> {
        let index = usize::try_from(sequence % self.places.len() as u64).map_err(io::Error::other)?;
        let missing = || io::Error::other("a frame without bytes");
        let (range, identifier) = self.places.get(index).ok_or_else(missing)?;
        let start = to.len() + (identifier - range.start);
        to.extend_from_slice(self.bytes.get(range.clone()).ok_or_else(missing)?);
        to.get_mut(start..start + 2)
            .ok_or_else(missing)?
            .copy_from_slice(&packet_id(sequence).to_be_bytes());
        Ok(())
    }
}

fn push_length(bytes: &mut Vec<u8>, length: usize) -> io::Result<()> {
    let mut left = length;
    loop {
        let septet = u8::try_from(left & 0x7f).map_err(io::Error::other)?;
        left >>= 7;
        bytes.push(if left == 0 { septet } else { septet | 0x80 });
        if left == 0 {
            return Ok(());
        }
    }
}

/// 1 to 65 535, in a circle.
fn packet_id(sequence: u64) -> u16 {
    u16::try_from(sequence % 65_535 + 1).unwrap_or(1)
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    incoming: Vec<u8>,
    acknowledged: u64,
    sent: u64,
    subscribed: bool,
}

impl Connection {
    /// Lets the client in and waits for its subscription, which is granted.
    fn accepted(stream: TcpStream) -> io::Result<Connection> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut connection = Connection {
            stream,
            buffer: vec![0; CHUNK],
            incoming: Vec::new(),
            acknowledged: 0,
            sent: 0,
            subscribed: false,
        };
        while !connection.subscribed {
            connection.receive()?;
        }
        Ok(connection)
    }

    fn measure(mut self, frames: &Frames, total: u64, window: u64) -> io::Result<Report> {
        let started = monotonic();
        let cpu_before = thread_cpu()?;
        self.pump(frames, total, window)?;
        Ok(Report {
            messages: total,
            elapsed: started.elapsed(),
            source_cpu: thread_cpu()?.saturating_sub(cpu_before),
        })
    }

    /// Sends so many messages more, and waits until all are acknowledged.
    fn pump(&mut self, frames: &Frames, messages: u64, window: u64) -> io::Result<()> {
        let end = self.sent + messages;
        let mut chunk = Vec::with_capacity(CHUNK * 2);
        while self.acknowledged < end {
            chunk.clear();
            while self.sent < end && self.sent - self.acknowledged < window && chunk.len() < CHUNK {
                frames.append(self.sent, &mut chunk)?;
                self.sent += 1;
            }
            if chunk.is_empty() {
                self.receive()?;
            } else {
                self.stream.write_all(&chunk)?;
            }
        }
        Ok(())
    }

    /// Waits for bytes of the client and does what its packets ask.
    fn receive(&mut self) -> io::Result<()> {
        let count = self.stream.read(&mut self.buffer)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.incoming
            .extend_from_slice(self.buffer.get(..count).unwrap_or_default());
        let mut incoming = std::mem::take(&mut self.incoming);
        let mut rest = incoming.as_slice();
        while let Some((kind, body, later)) = split_packet(rest) {
            self.packet(kind, body)?;
            rest = later;
        }
        let used = incoming.len() - rest.len();
        incoming.drain(..used);
        self.incoming = incoming;
        Ok(())
    }

    fn packet(&mut self, kind: u8, body: &[u8]) -> io::Result<()> {
        match (kind, body) {
            (0x40, &[high, low]) => {
                let expected = packet_id(self.acknowledged);
                let found = u16::from_be_bytes([high, low]);
                if self.acknowledged == self.sent || found != expected {
                    return Err(io::Error::other(format!(
                        "acknowledgement {} is for packet {found}, not {expected} (MQTT-4.6.0-2)",
                        self.acknowledged
                    )));
                }
                self.acknowledged += 1;
                Ok(())
            }
            (0x10, _) => self.stream.write_all(&[0x20, 2, 0, 0]),
            (0xc0, []) => self.stream.write_all(&[0xd0, 0]),
            // A client may leave right behind its last acknowledgement; one that leaves earlier ends in EOF.
            (0xe0, []) => Ok(()),
            (0x82, &[high, low, ref filters @ ..]) => {
                let grants = vec![1; count_filters(filters)];
                let mut answer = vec![0x90];
                push_length(&mut answer, 2 + grants.len())?;
                answer.extend_from_slice(&[high, low]);
                answer.extend_from_slice(&grants);
                self.subscribed = true;
                self.stream.write_all(&answer)
            }
            _ => Err(io::Error::other(format!(
                "unexpected packet of type {}",
                kind >> 4
            ))),
        }
    }
}

/// The first byte and the body of the first whole packet, and what follows it.
fn split_packet(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let kind = *bytes.first()?;
    let mut remaining = 0;
    for (index, byte) in bytes.iter().skip(1).take(4).enumerate() {
        remaining |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            let (body, rest) = bytes.get(index + 2..)?.split_at_checked(remaining)?;
            return Some((kind, body, rest));
        }
    }
    None
}

fn count_filters(mut bytes: &[u8]) -> usize {
    let mut count = 0;
    while let [high, low, rest @ ..] = bytes {
        let length = usize::from(u16::from_be_bytes([*high, *low])) + 1;
        bytes = rest.get(length..).unwrap_or_default();
        count += 1;
    }
    count
}

/// Processor time of the calling thread so far.
fn thread_cpu() -> io::Result<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds = text.split(' ').next().unwrap_or_default();
    nanoseconds
        .parse()
        .map(Duration::from_nanos)
        .map_err(io::Error::other)
}
