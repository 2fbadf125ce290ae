//! Sparkplug B: an edge node a venue, with births, aliases, numbered messages and deaths. Nobody commands its devices;
//! a node that is asked for a rebirth says everything anew.

use std::collections::BTreeMap;

use prost::Message as _;

use super::words::{flag, number, port, smells_gas, word};
use super::{Form, Heard, Message};
use crate::domain::device::DeviceKey;
use crate::domain::time::Timestamp;
use crate::simulate::body::Points;

/// The group of all edge nodes.
const GROUP: &str = "ninewatch";
/// The command that every edge node must obey.
const REBIRTH: &str = "Node Control/Rebirth";
/// Aliases of one device; the next device's come after these.
const ALIASES: u64 = 16;

const INT32: u32 = 3;
const INT64: u32 = 4;
const DOUBLE: u32 = 10;
const BOOLEAN: u32 = 11;

/// The edge nodes, by venue.
#[derive(Debug, Default)]
pub(super) struct Sparkplug {
    nodes: BTreeMap<String, Node>,
}

#[derive(Debug, Default)]
struct Node {
    /// It has been born and not died.
    born: bool,
    /// The number of the next message.
    seq: u8,
    /// Its devices, and whether they are born.
    devices: BTreeMap<String, Device>,
}

#[derive(Debug)]
struct Device {
    number: u64,
    born: bool,
}

/// Field numbers are those of the specification's `sparkplug_b.proto`.
#[derive(Clone, PartialEq, prost::Message)]
struct Payload {
    #[prost(uint64, optional, tag = "1")]
    timestamp: Option<u64>,
    #[prost(message, repeated, tag = "2")]
    metrics: Vec<Metric>,
    #[prost(uint64, optional, tag = "3")]
    seq: Option<u64>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Metric {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
    #[prost(uint64, optional, tag = "2")]
    alias: Option<u64>,
    #[prost(uint64, optional, tag = "3")]
    timestamp: Option<u64>,
    #[prost(uint32, optional, tag = "4")]
    datatype: Option<u32>,
    #[prost(oneof = "Wire", tags = "10, 11, 13, 14")]
    value: Option<Wire>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Wire {
    #[prost(uint32, tag = "10")]
    Int(u32),
    #[prost(uint64, tag = "11")]
    Long(u64),
    #[prost(double, tag = "13")]
    Double(f64),
    #[prost(bool, tag = "14")]
    Bool(bool),
}

impl Wire {
    const fn datatype(&self) -> u32 {
        match self {
            Wire::Int(_) => INT32,
            Wire::Long(_) => INT64,
            Wire::Double(_) => DOUBLE,
            Wire::Bool(_) => BOOLEAN,
        }
    }
}

impl Form for Sparkplug {
    fn name(&self) -> &'static str {
        "sparkplug-b"
    }

    fn kinds(&self) -> &'static [&'static str] {
        &["gas_detector", "shutoff_valve", "charging_port", "smoke_detector"]
    }

    fn id(&self, key: &DeviceKey) -> String {
        let device = format!("{GROUP}/{}/{}", key.venue, key.device);
        if key.kind == "charging_port" {
            format!("{device}/{}", port(key))
        } else {
            device
        }
    }

    fn say(&mut self, key: &DeviceKey, points: &Points, now: Timestamp) -> Vec<Message> {
        let node = self.nodes.entry(key.venue.clone()).or_default();
        let mut all = Vec::new();
        if !node.born {
            all.push(node.is_born(&key.venue, now));
        }
        all.push(node.says(key, metrics(key, points), now));
        all
    }

    fn will(&self, _: &DeviceKey, _: bool) -> Option<Message> {
        None
    }

    /// A device that comes back is born with what it says first.
    fn presence(&mut self, key: &DeviceKey, online: bool, now: Timestamp) -> Vec<Message> {
        let node = self.nodes.get_mut(&key.venue).filter(|_| !online);
        let death = node.and_then(|node| node.loses(key, now));
        death.into_iter().collect()
    }

    fn filters(&self) -> &'static [&'static str] {
        &["spBv1.0/ninewatch/NCMD/+"]
    }

    fn command_topic(&self, key: &DeviceKey) -> Option<String> {
        Some(topic("NCMD", &key.venue, None))
    }

    fn hear(&self, _: &DeviceKey, payload: &[u8]) -> Heard {
        let asks = |metric: &Metric| {
            metric.name.as_deref() == Some(REBIRTH) && metric.value == Some(Wire::Bool(true))
        };
        match Payload::decode(payload) {
            Ok(command) if command.metrics.iter().any(asks) => Heard::Rebirth,
            Ok(_) | Err(_) => Heard::Unreadable,
        }
    }

    fn forget(&mut self, key: &DeviceKey) {
        if let Some(node) = self.nodes.get_mut(&key.venue) {
            node.born = false;
        }
    }

    fn farewell(&mut self, now: Timestamp) -> Vec<Message> {
        let born = self.nodes.iter_mut().filter(|(_, node)| node.born);
        born.map(|(venue, node)| {
            node.born = false;
            let payload = Payload {
                timestamp: stamp(now),
                metrics: vec![session()],
                seq: None,
            };
            Message::new(topic("NDEATH", venue, None), payload.encode_to_vec())
        })
        .collect()
    }
}

impl Node {
    fn is_born(&mut self, venue: &str, now: Timestamp) -> Message {
        self.born = true;
        self.seq = 0;
        for device in self.devices.values_mut() {
            device.born = false;
        }
        let rebirth = named(REBIRTH, Wire::Bool(false));
        self.message(topic("NBIRTH", venue, None), vec![session(), rebirth], now)
    }

    /// The birth of the device, or what it says after that.
    fn says(&mut self, key: &DeviceKey, metrics: Vec<(String, Wire)>, now: Timestamp) -> Message {
        let count = self.devices.len() as u64;
        let device = self.devices.entry(key.device.clone()).or_insert(Device {
            number: count,
            born: false,
        });
        let (first, birth) = (device.number * ALIASES, !device.born);
        device.born = true;
        let metrics = (first..).zip(metrics).map(|(alias, (name, value))| Metric {
            alias: Some(alias),
            timestamp: stamp(now),
            datatype: birth.then(|| value.datatype()),
            name: birth.then_some(name),
            value: Some(value),
        });
        let verb = if birth { "DBIRTH" } else { "DDATA" };
        let topic = topic(verb, &key.venue, Some(&key.device));
        self.message(topic, metrics.collect(), now)
    }

    fn loses(&mut self, key: &DeviceKey, now: Timestamp) -> Option<Message> {
        let device = self.devices.get_mut(&key.device).filter(|device| device.born)?;
        device.born = false;
        let topic = topic("DDEATH", &key.venue, Some(&key.device));
        Some(self.message(topic, Vec::new(), now))
    }

    fn message(&mut self, topic: String, metrics: Vec<Metric>, now: Timestamp) -> Message {
        let payload = Payload {
            timestamp: stamp(now),
            metrics,
            seq: Some(u64::from(self.seq)),
        };
        self.seq = self.seq.wrapping_add(1);
        Message::new(topic, payload.encode_to_vec())
    }
}

fn topic(verb: &str, venue: &str, device: Option<&str>) -> String {
    let node = format!("spBv1.0/{GROUP}/{verb}/{venue}");
    device.map_or(node.clone(), |device| format!("{node}/{device}"))
}

fn stamp(now: Timestamp) -> Option<u64> {
    u64::try_from(now.0).ok()
}

fn named(name: &str, value: Wire) -> Metric {
    Metric {
        name: Some(name.to_owned()),
        datatype: Some(value.datatype()),
        value: Some(value),
        ..Metric::default()
    }
}

/// The number of the session: the simulator's connection is the only one that there ever was.
fn session() -> Metric {
    named("bdSeq", Wire::Long(0))
}

fn metrics(key: &DeviceKey, points: &Points) -> Vec<(String, Wire)> {
    let figure = |point: &str| Wire::Double(number(points, point).unwrap_or_default());
    let yes = |point: &str| Wire::Bool(flag(points, point));
    let named = |name: &str, value: Wire| (name.to_owned(), value);
    match &*key.kind {
        "gas_detector" => {
            let faulty = word(points, "state") == Some("fault");
            vec![
                named("Gas/LEL", figure("lel")),
                named("Gas/Detected", Wire::Bool(smells_gas(points))),
                named("Gas/State", Wire::Int(if faulty { 2 } else { 0 })),
                named("Gas/Temperature", figure("temperature")),
            ]
        }
        "shutoff_valve" => {
            let position = match word(points, "position") {
                Some("open") => 1,
                Some("closed") => 2,
                Some("opening" | "closing") => 3,
                _ => 0,
            };
            vec![
                named("Valve/Position", Wire::Int(position)),
                named("Valve/Fault", yes("fault")),
            ]
        }
        "smoke_detector" => vec![
            named("Smoke/Detected", yes("smoke")),
            named("Smoke/Fault", yes("fault")),
        ],
        _ => {
            let port = port(key);
            let of_port = |name: &str, point: &str| (format!("Port{port}/{name}"), figure(point));
            vec![
                of_port("Power", "power"),
                of_port("Current", "current"),
                of_port("Temperature", "temperature"),
            ]
        }
    }
}
