//! One message of each shipped profile through the decoder, beside its floor: a program written by hand for that one message. Both
//! look the topic up in a hash map, parse the bytes (the floor by a serde struct, `str::parse`, a prost message), look up devices
//! that the payload names, map words, and put down (device, point, value). Same values: checked before anything is timed.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a bench on fixed input: what fails shall panic"
)]

use std::fmt::Write as _;
use std::path::Path;

use divan::{Bencher, black_box};
use foldhash::HashMapExt as _;
use ninewatch::config::load_str;
use ninewatch::domain::profile::decoder::{Decoder, Resolved, TopicId};
use ninewatch::domain::time::Moment;
use serde::Deserialize;

fn main() {
    for case in CASES {
        let (mut decoder, mut floor) = (heard(case.topic), Floor::new(case));
        let (ours, floor) = (sum(&mut decoder, case), floor.sum(case));
        assert!((ours - floor).abs() < 1e-9, "{}: {ours} and {floor}", case.name);
    }
    divan::main();
}

/// A message and its bare parse, which puts down the values that the profile reads.
struct Case {
    name: &'static str,
    topic: &'static str,
    payload: &'static [u8],
    floor: fn(&mut Floor, u32, &[u8]),
}

/// What the floor of every message has: devices by topic, those below by id, and where the values go.
struct Floor {
    topics: foldhash::HashMap<Box<str>, u32>,
    below: foldhash::HashMap<Box<str>, u32>,
    id: String,
    values: Vec<(u32, u16, f64)>,
}

impl Floor {
    fn new(case: &Case) -> Floor {
        let mut topics = foldhash::HashMap::new();
        topics.insert("another/topic".into(), 0);
        topics.insert(case.topic.into(), 1);
        let mut below = foldhash::HashMap::new();
        for (at, id) in (2..).zip(["Device A", "Device B", "S1-1", "S1-2"]) {
            below.insert(id.into(), at);
        }
        Floor {
            topics,
            below,
            id: String::new(),
            values: Vec::new(),
        }
    }

    fn sum(&mut self, case: &Case) -> f64 {
        let device = self.topics[black_box(case.topic)];
        self.values.clear();
        (case.floor)(self, device, black_box(case.payload));
        self.values.iter().map(|(_, _, value)| value).sum()
    }

    fn put(&mut self, device: u32, values: &[f64]) {
        let points = (0..).zip(values);
        self.values
            .extend(points.map(|(point, value)| (device, point, *value)));
    }
}

const CASES: [&Case; 10] = [
    &ZIGBEE2MQTT,
    &TASMOTA,
    &SHELLY,
    &ESPHOME,
    &CHIRPSTACK,
    &THINGSBOARD,
    &JETLINKS,
    &STATION,
    &NATIVE,
    &SPARKPLUG,
];

const ZIGBEE2MQTT: Case = Case {
    name: "zigbee2mqtt",
    topic: "zigbee2mqtt/port/shed-3",
    payload: br#"{"state":"ON","power":36.5,"current":0.16,"voltage":229,"energy":12.3,"linkquality":102}"#,
    floor: |floor, device, payload| {
        #[derive(Deserialize)]
        struct Plug<'a> {
            state: &'a str,
            power: f64,
            current: f64,
            voltage: f64,
            energy: f64,
        }
        let plug: Plug<'_> = serde_json::from_slice(payload).unwrap();
        // `charging` is the second word.
        let state = f64::from(u8::from(plug.state == "ON"));
        floor.put(
            device,
            &[state, plug.power, plug.current, plug.voltage, plug.energy],
        );
    },
};

const TASMOTA: Case = Case {
    name: "tasmota",
    topic: "tele/port-1/SENSOR",
    payload: br#"{"Time":"2018-02-15T17:37:10","ENERGY":{"TotalStartTime":"2018-01-01T00:00:00","Total":6.294,"Yesterday":5.340,"Today":0.954,"Period":217,"Power":2635,"ApparentPower":2650,"ReactivePower":282,"Factor":0.99,"Voltage":227,"Current":11.661}}"#,
    floor: |floor, device, payload| {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Energy {
            total: f64,
            power: f64,
            voltage: f64,
            current: f64,
        }
        #[derive(Deserialize)]
        struct Sensor {
            #[serde(rename = "ENERGY")]
            energy: Energy,
        }
        let energy = serde_json::from_slice::<Sensor>(payload).unwrap().energy;
        floor.put(device, &[energy.power, energy.voltage, energy.current, energy.total]);
    },
};

const SHELLY: Case = Case {
    name: "shelly-gen1",
    topic: "shellies/shellygas-ABC123/sensor/concentration",
    payload: b"12500",
    floor: |floor, device, payload| {
        let ppm: f64 = std::str::from_utf8(payload).unwrap().parse().unwrap();
        floor.put(device, &[ppm * 0.002]);
    },
};

const ESPHOME: Case = Case {
    name: "esphome",
    topic: "esphome/gas_detector/kitchen/sensor/lel/state",
    payload: b"12.34",
    floor: |floor, device, payload| {
        let lel = std::str::from_utf8(payload).unwrap().parse().unwrap();
        floor.put(device, &[lel]);
    },
};

const CHIRPSTACK: Case = Case {
    name: "chirpstack-v4",
    topic: "application/a1b2/device/24e124136b000001/event/up",
    payload: br#"{"deduplicationId":"3ac7e3c4-4401-4b8d-9386-a5c902f9202d","time":"2022-07-18T09:34:15.775023242+00:00","deviceInfo":{"tenantId":"52f14cd4","applicationName":"fire","deviceProfileName":"p","deviceName":"Test device","devEui":"24e124136b000001","tags":{"kind":"gas_detector"}},"devAddr":"00189440","dr":1,"fPort":85,"object":{"lel":12.5,"temperature":21.4},"rxInfo":[{"gatewayId":"0016c001f153a14c","rssi":-36,"snr":10.5}],"txInfo":{"frequency":868100000}}"#,
    floor: |floor, device, payload| {
        #[derive(Deserialize)]
        struct Tags<'a> {
            kind: &'a str,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Info<'a> {
            dev_eui: &'a str,
            #[serde(borrow)]
            tags: Tags<'a>,
        }
        #[derive(Deserialize)]
        struct Object {
            lel: f64,
            temperature: f64,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Up<'a> {
            deduplication_id: &'a str,
            time: &'a str,
            #[serde(borrow)]
            device_info: Info<'a>,
            object: Object,
        }
        let up: Up<'_> = serde_json::from_slice(payload).unwrap();
        let at: jiff::Timestamp = up.time.parse().unwrap();
        assert!(at.as_second() > 0 && !up.deduplication_id.is_empty());
        assert!(up.device_info.tags.kind == "gas_detector" && up.device_info.dev_eui.len() == 16);
        floor.put(device, &[up.object.lel, up.object.temperature]);
    },
};

const THINGSBOARD: Case = Case {
    name: "thingsboard",
    topic: "v1/gateway/telemetry",
    payload: br#"{"Device A":[{"ts":1483228800000,"values":{"lel":42}},{"ts":1483228801000,"values":{"lel":43}}],"Device B":[{"ts":1483228800000,"values":{"lel":7}}]}"#,
    floor: |floor, _, payload| {
        #[derive(Deserialize)]
        struct Values {
            lel: f64,
        }
        #[derive(Deserialize)]
        struct Sample {
            ts: i64,
            values: Values,
        }
        let devices: std::collections::HashMap<&str, Vec<Sample>> = serde_json::from_slice(payload).unwrap();
        for (name, samples) in &devices {
            let device = floor.below[*name];
            for sample in samples.iter().filter(|sample| sample.ts > 0) {
                floor.put(device, &[sample.values.lel]);
            }
        }
    },
};

const JETLINKS: Case = Case {
    name: "jetlinks",
    topic: "/gas_detector/g1/properties/report",
    payload: br#"{"deviceId":"g1","properties":{"lel":36.8,"temperature":21},"timestamp":1767225600000,"messageId":"m1"}"#,
    floor: |floor, device, payload| {
        #[derive(Deserialize)]
        struct Properties {
            lel: f64,
            temperature: f64,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Report<'a> {
            device_id: &'a str,
            properties: Properties,
            timestamp: i64,
            message_id: &'a str,
        }
        let report: Report<'_> = serde_json::from_slice(payload).unwrap();
        assert!(report.device_id == "g1" && report.timestamp > 0 && !report.message_id.is_empty());
        floor.put(device, &[report.properties.lel, report.properties.temperature]);
    },
};

const STATION: Case = Case {
    name: "charging-station",
    topic: "charging/S1/ports",
    payload: br#"{"ts":1767225600,"message_id":7,"ports":[{"port":1,"power":1205,"current":550,"voltage":2203,"temperature":90,"seconds":600},{"port":2,"power":10,"current":10,"voltage":2203,"temperature":90,"seconds":60}]}"#,
    floor: |floor, _, payload| {
        #[derive(Deserialize)]
        struct Socket {
            #[serde(rename = "port")]
            number: u32,
            power: f64,
            current: f64,
            voltage: f64,
            temperature: f64,
            seconds: f64,
        }
        #[derive(Deserialize)]
        struct Station {
            ts: i64,
            message_id: u64,
            ports: Vec<Socket>,
        }
        let all: Station = serde_json::from_slice(payload).unwrap();
        assert!(all.ts > 0 && all.message_id > 0);
        for port in &all.ports {
            floor.id.clear();
            write!(floor.id, "S1-{}", port.number).unwrap();
            let device = floor.below[floor.id.as_str()];
            let celsius = port.temperature - 65.0;
            let values = [port.power * 0.1, port.current * 1e-3, port.voltage * 0.1, celsius, port.seconds];
            floor.put(device, &values);
        }
    },
};

const NATIVE: Case = Case {
    name: "native",
    topic: "ninewatch/v1/gas_detector/g1/telemetry",
    payload: br#"{"ts":1767225600000,"seq":184467,"lel":12.5,"temperature":21.4,"battery":88,"state":"normal","history":false,"test":false}"#,
    floor: |floor, device, payload| {
        #[derive(Deserialize)]
        struct Telemetry<'a> {
            ts: i64,
            seq: u64,
            lel: f64,
            temperature: f64,
            battery: f64,
            state: &'a str,
            history: bool,
            test: bool,
        }
        let seen: Telemetry<'_> = serde_json::from_slice(payload).unwrap();
        assert!(seen.ts > 0 && seen.seq > 0 && seen.state == "normal" && !seen.history && !seen.test);
        floor.put(device, &[seen.lel, seen.temperature, seen.battery, 0.0]);
    },
};

/// A timestamp, and one metric: alias 7, a double of 60.
const SPARKPLUG: Case = Case {
    name: "sparkplug-b",
    topic: "spBv1.0/plant/DDATA/e1/g1",
    payload: b"\x08\x80\xd0\xea\xb6\xb7\x33\x12\x0b\x10\x07\x69\0\0\0\0\0\0\x4e\x40",
    floor: |floor, device, payload| {
        let sent = <Data as prost::Message>::decode(payload).unwrap();
        assert!(sent.timestamp > Some(0) && sent.metrics[0].alias == Some(7));
        for value in sent.metrics.iter().filter_map(|metric| metric.double) {
            floor.put(device, &[value]);
        }
    },
};

#[derive(Clone, PartialEq, prost::Message)]
struct Data {
    #[prost(uint64, optional, tag = "1")]
    timestamp: Option<u64>,
    #[prost(message, repeated, tag = "2")]
    metrics: Vec<Metric>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Metric {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
    #[prost(uint64, optional, tag = "2")]
    alias: Option<u64>,
    #[prost(double, optional, tag = "13")]
    double: Option<f64>,
}

/// A decoder of all shipped profiles that knows the topic; of Sparkplug it has heard the birth.
fn heard(topic: &str) -> Decoder {
    let text = "[gateway]\nid = \"bench\"\n[mqtt]\nurl = \"mqtt://127.0.0.1\"\n[http]\nauth = \"none\"\n\
                [files]\nprofiles = [\"profiles/*.toml\"]\n";
    let settings = load_str("bench", text, Path::new("config")).unwrap();
    let kinds = &settings.definitions.source().kinds;
    let mut decoder = Decoder::new(&settings.profiles, kinds, &settings.registry).unwrap();
    resolve(&mut decoder, topic);
    let birth = resolve(&mut decoder, "spBv1.0/plant/DBIRTH/e1/g1");
    decoder.decode(
        birth,
        b"\x12\x0d\x0a\x07Gas/LEL\x10\x07\x20\x0a",
        Moment::default(),
    );
    decoder
}

fn resolve(decoder: &mut Decoder, topic: &str) -> TopicId {
    match decoder.resolve(topic) {
        Ok(Resolved::Message(id)) => id,
        other => panic!("{topic}: {other:?}"),
    }
}

fn sum(decoder: &mut Decoder, case: &Case) -> f64 {
    let topic = resolve(decoder, black_box(case.topic));
    let answer = decoder.decode(topic, black_box(case.payload), Moment::default());
    assert_eq!(answer.reject, None);
    let parts = (0..answer.parts).filter_map(|at| decoder.part(at));
    parts.flat_map(|part| part.points).map(|(_, value)| value).sum()
}

#[divan::bench(sample_size = 1000, args = CASES.map(|case| case.name))]
fn decode(bencher: Bencher, name: &str) {
    let case = CASES.iter().find(|case| case.name == name).unwrap();
    let mut decoder = heard(case.topic);
    bencher.bench_local(|| sum(&mut decoder, case));
}

#[divan::bench(sample_size = 1000, args = CASES.map(|case| case.name))]
fn floor_typed_parse(bencher: Bencher, name: &str) {
    let case = CASES.iter().find(|case| case.name == name).unwrap();
    let mut floor = Floor::new(case);
    bencher.bench_local(|| floor.sum(case));
}
