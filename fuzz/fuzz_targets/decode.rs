//! Any topics and any bytes through all shipped profiles and the Sparkplug codec: a decoder never panics, and what it
//! gives holds together. An input is a run of messages to one decoder, since births and topics are remembered.
#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use ninewatch::config::{Settings, load_str};
use ninewatch::domain::kind::Kind;
use ninewatch::domain::profile::decoder::{Decoder, Resolved};
use ninewatch::domain::time::{Moment, Ticks, Timestamp};

/// A topic of each sort of message of each shipped profile; an input chooses one by its place, or writes its own.
const TOPICS: [&str; 48] = [
    "ninewatch/v1/gas_detector/g1/telemetry",
    "ninewatch/v1/shutoff_valve/v1/status",
    "ninewatch/v1/shutoff_valve/v1/ack",
    "zigbee2mqtt/gas/kitchen",
    "zigbee2mqtt/smoke/hall/2",
    "zigbee2mqtt/valve/main",
    "zigbee2mqtt/port/shed-3",
    "zigbee2mqtt/gas/kitchen/availability",
    "zigbee2mqtt/other/name",
    "zigbee2mqtt/bridge/state",
    "tele/port-1/SENSOR",
    "tele/port-1/STATE",
    "tele/port-1/LWT",
    "tele/gas-1/LWT",
    "stat/port-1/STATUS8",
    "stat/port-1/RESULT",
    "stat/port-1/POWER",
    "port-1/tele/SENSOR",
    "port-1/stat/POWER",
    "shellies/shellygas-A1/sensor/gas",
    "shellies/shellygas-A1/sensor/concentration",
    "shellies/shellygas-A1/sensor/operation",
    "shellies/shellygas-A1/valve/0/state",
    "shellies/shellysmoke-A2/sensor/smoke",
    "shellies/shellyplug-s-A3/relay/0/energy",
    "shellies/shellyplug-s-A3/online",
    "esphome/gas_detector/kitchen/sensor/lel/state",
    "esphome/smoke_detector/hall/binary_sensor/smoke/state",
    "esphome/shutoff_valve/main/valve/position/state",
    "esphome/gas_detector/kitchen/status",
    "application/a1/device/24e124136b000001/event/up",
    "application/a1/device/24e124136b000001/event/status",
    "v1/gateway/telemetry",
    "thingsboard/gas_detector/kitchen/v1/devices/me/telemetry",
    "thingsboard/shutoff_valve/main/v1/devices/me/rpc/response/7",
    "/gas_detector/g1/properties/report",
    "/station/s1/child/p1/properties/report",
    "/gas_detector/g1/offline",
    "/shutoff_valve/v1/function/invoke/reply",
    "charging/s1/ports",
    "charging/s1/heartbeat",
    "charging/s1/batch",
    "spBv1.0/plant/NBIRTH/e1",
    "spBv1.0/plant/NDEATH/e1",
    "spBv1.0/plant/NDATA/e1",
    "spBv1.0/plant/DBIRTH/e1/g1",
    "spBv1.0/plant/DDATA/e1/g1",
    "spBv1.0/plant/DDEATH/e1/g1",
];

/// Inputs to one decoder: what it remembers must do no harm either, yet a crash should be had again by its input alone.
const INPUTS: u32 = 64;

struct Bench {
    settings: Settings,
    kinds: Vec<Kind>,
    decoder: Decoder,
    inputs: u32,
}

thread_local! {
    static BENCH: RefCell<Bench> = RefCell::new(bench());
}

fn bench() -> Bench {
    let text = "[gateway]\nid = \"fuzz\"\n[mqtt]\nurl = \"mqtt://127.0.0.1\"\n[http]\nauth = \"none\"\n\
                [files]\nprofiles = [\"profiles/*.toml\"]\n";
    let base = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../config"));
    let settings = load_str("fuzz", text, base).expect("the shipped profiles are sound");
    let kinds = settings.definitions.source().kinds.clone();
    let decoder = decoder(&settings, &kinds);
    Bench {
        settings,
        kinds,
        decoder,
        inputs: 0,
    }
}

fn decoder(settings: &Settings, kinds: &[Kind]) -> Decoder {
    Decoder::new(&settings.profiles, kinds, &settings.registry).expect("checked with the configuration")
}

fuzz_target!(|data: &[u8]| {
    BENCH.with_borrow_mut(|bench| {
        if bench.inputs % INPUTS == 0 {
            bench.decoder = decoder(&bench.settings, &bench.kinds);
        }
        bench.inputs = bench.inputs.wrapping_add(1);
        run(bench, data);
    });
});

/// Each message: the place of a topic, or a place beyond with the topic's length and text; the payload's length in two
/// bytes; the payload.
fn run(bench: &mut Bench, mut data: &[u8]) {
    let mut ticks = 0;
    while let Some((place, rest)) = data.split_first() {
        data = rest;
        let own;
        let topic = match TOPICS.get(usize::from(*place)) {
            Some(topic) => topic,
            None => {
                own = String::from_utf8_lossy(take(&mut data, 1)).into_owned();
                own.as_str()
            }
        };
        let payload = take(&mut data, 2);
        ticks += 100;
        hear(bench, topic, payload, ticks);
    }
}

fn take<'d>(data: &mut &'d [u8], width: usize) -> &'d [u8] {
    let (length, rest) = data.split_at(width.min(data.len()));
    let length = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
    let (taken, rest) = rest.split_at(length.min(rest.len()));
    *data = rest;
    taken
}

fn hear(bench: &mut Bench, topic: &str, payload: &[u8], ticks: u64) {
    let decoder = &mut bench.decoder;
    let Ok(Resolved::Message(id)) = decoder.resolve(topic) else {
        return;
    };
    let now = Moment {
        wall: Timestamp(1_767_225_600_000 + ticks as i64),
        ticks: Ticks(ticks),
    };
    let decoded = decoder.decode(id, payload, now);
    for at in 0..decoded.parts {
        let part = decoder.part(at).expect("as many parts as were told");
        let key = decoder.key(part.device);
        assert!(!key.venue.is_empty() && !key.device.is_empty(), "{key:?}");
        let kind = &bench.kinds[decoder.kind(part.device)];
        assert_eq!(kind.id, key.kind);
        for (place, (point, value)) in part.points.iter().enumerate() {
            assert!(value.is_finite(), "{topic}: {value}");
            assert!(kind.point_at(*point).is_some(), "{topic}: {point:?}");
            let again = part.points[..place].iter().any(|(other, _)| other == point);
            assert!(!again, "{topic}: {point:?} twice");
        }
    }
    for at in 0..decoded.acks {
        decoder.ack(at).expect("as many answers as were told");
    }
}
