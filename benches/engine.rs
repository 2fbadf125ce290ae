//! One reading through the engine (state, life cycles, rules) against the same logic written by hand, over the same
//! streams of readings; beside it, what the journal of a reading costs.
//!
//! `cargo bench --bench engine`

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a bench that breaks down has failed"
)]

#[path = "support/town.rs"]
mod town;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use ninewatch::domain::definitions::Definitions;
use ninewatch::domain::device::DeviceIndex;
use ninewatch::domain::journal::{Input, Journal};
use ninewatch::domain::kind::PointIndex;
use ninewatch::domain::reading::{Arrival, Reading, ReadingKind};
use ninewatch::domain::time::{ClockBounds, Moment, Ticks, Timestamp};
use town::{BATCH, KIND, STEP, Town, measure_by_hand, noise};

fn main() {
    for stream in [Stream::Restful, Stream::Eventful, Stream::Wild] {
        for tens in [1, 10] {
            let (engine, hand) = (by_engine(stream, tens), by_hand(stream, tens));
            assert_eq!(
                engine, hand,
                "{stream:?}, {tens} x 10 rules: both must see the same conditions begin"
            );
            assert_eq!(
                engine > 0,
                stream != Stream::Restful,
                "{stream:?} is what it says"
            );
        }
    }
    divan::main();
}

/// How the values of one device follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stream {
    /// Noise, as from a room without gas: every value differs from the last, and no condition begins.
    Restful,
    /// The same, but every 32nd reading of a device is of a leak.
    Eventful,
    /// Every value anywhere in its range: what no sensor sends.
    Wild,
}

/// Rules are made of these ten, with numbers moved by `{n}` for each further ten.
const RULES: [&str; 10] = [
    "lel >= 50.{n} && state != 'warmup'",
    "lel >= 25.{n} && state != 'warmup'",
    "lel >= 10.{n} && state != 'warmup'",
    "state == 'fault'",
    "state == 'end_of_life'",
    "battery < 15.{n}",
    "temperature > 70.{n}",
    "temperature < -20.{n}",
    "lel > 5.{n} && temperature > 60.{n}",
    "online == false",
];

/// `tens` x 10 rules on the detectors' kind, and `others` on another.
fn definitions(tens: usize, others: usize) -> Definitions {
    let kinds = [KIND, "other"].map(|id| town::kind(id, &["lel", "temperature", "battery"]));
    let own = (0..tens).flat_map(|ten| {
        RULES
            .iter()
            .map(move |when| (KIND, when.replace("{n}", &ten.to_string())))
    });
    let others = (0..others).map(|place| ("other", format!("lel >= {place}.5")));
    town::definitions(kinds.to_vec(), own.chain(others))
}

fn town(devices: u32, definitions: Definitions) -> Town {
    Town::new(definitions, devices, 4)
}

/// lel, temperature and battery of a device's reading number `round`.
fn values(stream: Stream, turn: u32, round: u32) -> [f64; 3] {
    let wave = f64::from(noise(turn) % 97) / 97.0;
    match stream {
        Stream::Eventful if round % 32 == 31 => [30.0 + 4.0 * wave, 20.0 + wave, 90.0 - wave],
        Stream::Restful | Stream::Eventful => [4.0 * wave, 20.0 + wave, 90.0 - wave],
        Stream::Wild => {
            let part = |salt| f64::from(noise(turn.wrapping_add(salt)) % 1_000) / 10.0;
            [part(1), part(2) - 10.0, part(3)]
        }
    }
}

/// How many devices and readings the comparison takes.
const COMPARED: (u32, u32) = (100, 20_000);

/// How many conditions came to hold.
fn by_engine(stream: Stream, tens: usize) -> usize {
    let (devices, readings) = COMPARED;
    let mut town = town(devices, definitions(tens, 0));
    for turn in 0..readings {
        let values = values(stream, turn, turn / devices);
        town.say(turn % devices, turn, &points(values));
    }
    town.raised()
}

fn points([lel, temperature, battery]: [f64; 3]) -> [(PointIndex, f64); 3] {
    [
        (PointIndex(1), lel),
        (PointIndex(2), temperature),
        (PointIndex(3), battery),
    ]
}

/// One detector, written by hand: the same ten rules `TENS` times.
#[derive(Clone, Copy)]
struct ByHand<const TENS: usize> {
    lel: f64,
    temperature: f64,
    battery: f64,
    state: u8,
    offline: bool,
    standing: [[bool; 10]; TENS],
}

impl<const TENS: usize> ByHand<TENS> {
    const NEW: ByHand<TENS> = ByHand {
        lel: 0.0,
        temperature: 0.0,
        battery: 0.0,
        state: 0,
        offline: false,
        standing: [[false; 10]; TENS],
    };

    #[inline]
    fn read(&mut self, [lel, temperature, battery]: [f64; 3]) -> usize {
        (self.lel, self.temperature, self.battery, self.offline) = (lel, temperature, battery, false);
        let warm = self.state != 1;
        let mut raised = 0;
        for (ten, standing) in self.standing.iter_mut().enumerate() {
            let n = ten as f64 / 10.0;
            let holds = [
                self.lel >= 50.0 + n && warm,
                self.lel >= 25.0 + n && warm,
                self.lel >= 10.0 + n && warm,
                self.state == 2,
                self.state == 3,
                self.battery < 15.0 + n,
                self.temperature > 70.0 + n,
                self.temperature < -20.0 - n,
                self.lel > 5.0 + n && self.temperature > 60.0 + n,
                self.offline,
            ];
            for (standing, holds) in standing.iter_mut().zip(holds) {
                raised += usize::from(holds && !*standing);
                *standing = holds;
            }
        }
        raised
    }
}

fn by_hand(stream: Stream, tens: usize) -> usize {
    fn run<const TENS: usize>(stream: Stream) -> usize {
        let (devices, readings) = COMPARED;
        let mut table = vec![ByHand::<TENS>::NEW; devices as usize];
        (0..readings)
            .map(|turn| table[(turn % devices) as usize].read(values(stream, turn, turn / devices)))
            .sum()
    }
    match tens {
        1 => run::<1>(stream),
        _ => run::<10>(stream),
    }
}

/// Who speaks, and what.
struct Turns {
    stream: Stream,
    devices: u32,
    turn: u32,
    device: u32,
}

impl Turns {
    const fn new(stream: Stream, devices: u32) -> Turns {
        Turns {
            stream,
            devices,
            turn: 0,
            device: 0,
        }
    }

    fn next(&mut self) -> (u32, u32, [f64; 3]) {
        self.turn += 1;
        self.device = (self.device + STEP) % self.devices;
        let values = values(self.stream, self.turn, self.turn / self.devices);
        (self.device, self.turn, values)
    }
}

fn engine_bench(bencher: Bencher<'_, '_>, stream: Stream, devices: u32, definitions: Definitions) {
    let mut town = town(devices, definitions);
    let mut turns = Turns::new(stream, devices);
    let mut next = || {
        let (device, turn, values) = turns.next();
        (device, turn, points(values))
    };
    // Every device has spoken before the measuring starts.
    for _ in 0..devices {
        let (device, turn, points) = next();
        town.say(device, turn, &points);
    }
    town.measure(bencher, next);
}

fn hand_bench<const TENS: usize>(bencher: Bencher<'_, '_>, stream: Stream, devices: u32) {
    let mut table = vec![ByHand::<TENS>::NEW; devices as usize];
    let mut turns = Turns::new(stream, devices);
    measure_by_hand(bencher, || {
        let (device, _, values) = turns.next();
        black_box(&mut table)[device as usize].read(black_box(values))
    });
}

/// What making up the readings costs: part of every other row.
#[divan::bench(args = [Stream::Restful, Stream::Wild])]
fn the_stream_itself(bencher: Bencher<'_, '_>, stream: Stream) {
    let mut turns = Turns::new(stream, 1_000);
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
        for _ in 0..BATCH {
            black_box(turns.next());
        }
    });
}

#[divan::bench(args = [Stream::Restful, Stream::Eventful, Stream::Wild])]
fn ten_rules(bencher: Bencher<'_, '_>, stream: Stream) {
    engine_bench(bencher, stream, 1_000, definitions(1, 0));
}

#[divan::bench(args = [Stream::Restful, Stream::Eventful, Stream::Wild])]
fn ten_rules_by_hand(bencher: Bencher<'_, '_>, stream: Stream) {
    hand_bench::<1>(bencher, stream, 1_000);
}

#[divan::bench(args = [Stream::Restful, Stream::Eventful, Stream::Wild])]
fn hundred_rules(bencher: Bencher<'_, '_>, stream: Stream) {
    engine_bench(bencher, stream, 1_000, definitions(10, 0));
}

#[divan::bench(args = [Stream::Restful, Stream::Eventful, Stream::Wild])]
fn hundred_rules_by_hand(bencher: Bencher<'_, '_>, stream: Stream) {
    hand_bench::<10>(bencher, stream, 1_000);
}

/// Ten thousand rules of another kind stand beside the ten.
#[divan::bench]
fn ten_rules_beside_ten_thousand_of_another_kind(bencher: Bencher<'_, '_>) {
    engine_bench(bencher, Stream::Restful, 1_000, definitions(1, 10_000));
}

#[divan::bench(args = [100, 1_000, 10_000, 100_000])]
fn ten_rules_by_devices(bencher: Bencher<'_, '_>, devices: u32) {
    engine_bench(bencher, Stream::Restful, devices, definitions(1, 0));
}

#[divan::bench(args = [100, 1_000, 10_000, 100_000])]
fn ten_rules_by_hand_by_devices(bencher: Bencher<'_, '_>, devices: u32) {
    hand_bench::<1>(bencher, Stream::Restful, devices);
}

#[divan::bench]
fn journal_a_reading(bencher: Bencher<'_, '_>) {
    let points = [(PointIndex(1), 1.5), (PointIndex(2), 21.0), (PointIndex(3), 88.0)];
    let mut journal = Journal::default();
    let mut turn = 0_u64;
    bencher.bench_local(|| {
        turn += 1;
        if journal.inputs() >= 4_096 {
            journal = Journal::default();
        }
        let now = Moment {
            wall: Timestamp(1_767_225_600_000),
            ticks: Ticks(turn),
        };
        let reading = Reading {
            device: DeviceIndex(7),
            device_at: Some(ClockBounds::default().judge(now.wall, now.wall)),
            seq: None,
            kind: ReadingKind::Live,
            arrival: Arrival::First,
            points: &points,
        };
        journal
            .push(now, &Input::Reading(black_box(reading)))
            .expect("a reading can be written");
    });
}
