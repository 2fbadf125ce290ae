//! One reading through the engine against rules with functions over time, beside the same logic written by hand with a
//! ring of the last samples for each device, over the same streams of readings.
//!
//! `cargo bench --bench windows`

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a bench that breaks down has failed"
)]

#[path = "support/town.rs"]
mod town;

use divan::{Bencher, black_box};
use ninewatch::domain::kind::PointIndex;
use town::{KIND, STEP, Town, measure_by_hand, noise};

fn main() {
    for (stream, raises) in [(Stream::Restful, false), (Stream::Eventful, true)] {
        for place in 0..RULES.len() {
            let engine = by_engine(stream, &RULES[place..=place]);
            let hand = by_hand(stream, |raised| raised[place]);
            assert_eq!(
                engine, hand,
                "{}, {stream:?}: both must see the same conditions begin",
                RULES[place]
            );
            assert_eq!(engine > 0, raises, "{}, {stream:?}", RULES[place]);
        }
        assert_eq!(
            by_engine(stream, &RULES),
            by_hand(stream, |raised| raised.iter().sum()),
            "{stream:?}, all rules together"
        );
    }
    divan::main();
}

/// How the values of one device follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stream {
    /// Noise, as from a room without gas: no condition begins.
    Restful,
    /// The same, but of 256 readings of a device 24 are of a leak that makes every condition begin.
    Eventful,
}

/// One rule of each function.
const RULES: [&str; 6] = [
    "rate(lel, '30s') > 1.0",
    "avg(lel, '30s') > 20.0",
    "min(lel, '30s') > 15.0",
    "max(lel, '30s') > 40.0",
    "changes(state, '30s') >= 8",
    "held('30s', lel > 10.0)",
];

/// What the rules are compared with: no function at all.
const PLAIN: &str = "lel > 40.0";

const DEVICES: u32 = 1_000;

/// Each device speaks every two seconds: the windows keep its last sixteen samples.
const PERIOD_MS: u32 = 2_000;
const SAMPLES: usize = 16;

/// Readings until every window is full.
const WARM_UP: u32 = 20 * DEVICES;

/// How often each device speaks in the comparison.
const COMPARED: u32 = 300;

/// Who speaks, and what: each device once in a round.
struct Turns {
    stream: Stream,
    turn: u32,
    device: u32,
}

impl Turns {
    const fn new(stream: Stream) -> Turns {
        Turns {
            stream,
            turn: 0,
            device: 0,
        }
    }

    /// The device, the time in milliseconds, lel and state.
    fn next(&mut self) -> (u32, u32, [f64; 2]) {
        self.device = (self.device + STEP) % DEVICES;
        // Eighths: sums over a window are exact, in whatever order.
        let wave = f64::from(noise(self.turn) % 32) / 8.0;
        // Devices do not leak all at once.
        let phase = (self.turn / DEVICES + 37 * self.device) % 256;
        let values = match self.stream {
            Stream::Eventful if phase >= 232 => {
                let leaking = phase - 232;
                [3.0 * f64::from(leaking) + wave, f64::from(leaking % 2) * 2.0]
            }
            Stream::Restful | Stream::Eventful => [wave, 0.0],
        };
        let ticks = self.turn * (PERIOD_MS / DEVICES);
        self.turn += 1;
        (self.device, ticks, values)
    }
}

fn town(rules: &[&str]) -> Town {
    let rules = rules.iter().map(|when| (KIND, (*when).to_owned()));
    let definitions = town::definitions(vec![town::kind(KIND, &["lel"])], rules);
    Town::new(definitions, DEVICES, 4)
}

const fn points([lel, state]: [f64; 2]) -> [(PointIndex, f64); 2] {
    [(PointIndex(1), lel), (PointIndex(2), state)]
}

fn by_engine(stream: Stream, rules: &[&str]) -> usize {
    let mut town = town(rules);
    let mut turns = Turns::new(stream);
    for _ in 0..COMPARED * DEVICES {
        let (device, ticks, values) = turns.next();
        town.say(device, ticks, &points(values));
    }
    town.raised()
}

fn by_hand(stream: Stream, count: impl Fn([usize; RULES.len()]) -> usize) -> usize {
    let mut table = vec![ByHand::NEW; DEVICES as usize];
    let mut turns = Turns::new(stream);
    let read = |_| {
        let (device, ticks, values) = turns.next();
        count(table[device as usize].read(ticks, values))
    };
    (0..COMPARED * DEVICES).map(read).sum()
}

/// One detector, written by hand: its last samples, whether each differed in state from the one before, and since when
/// there has been gas.
#[derive(Clone, Copy)]
struct ByHand {
    lel: [f64; SAMPLES],
    ticks: [u32; SAMPLES],
    changed: u16,
    state: f64,
    taken: usize,
    gas_since: Option<u32>,
    standing: [bool; RULES.len()],
}

impl ByHand {
    const NEW: ByHand = ByHand {
        lel: [0.0; SAMPLES],
        ticks: [0; SAMPLES],
        changed: 0,
        state: 0.0,
        taken: 0,
        gas_since: None,
        standing: [false; RULES.len()],
    };

    /// Which conditions came to hold.
    #[inline]
    fn read(&mut self, ticks: u32, [lel, state]: [f64; 2]) -> [usize; RULES.len()] {
        let changed = self.taken > 0 && (state - self.state).abs() > 0.0;
        self.changed = (self.changed << 1) | u16::from(changed);
        self.state = state;
        self.lel[self.taken % SAMPLES] = lel;
        self.ticks[self.taken % SAMPLES] = ticks;
        self.taken += 1;
        let oldest = if self.taken < SAMPLES {
            0
        } else {
            self.taken % SAMPLES
        };
        let whole = self.taken >= SAMPLES;
        let seconds = f64::from(ticks - self.ticks[oldest]) / 1_000.0;
        self.gas_since = if lel > 10.0 {
            self.gas_since.or(Some(ticks))
        } else {
            None
        };
        let window = &self.lel[..self.taken.min(SAMPLES)];
        let holds = [
            seconds >= 15.0 && (lel - self.lel[oldest]) / seconds > 1.0,
            whole && window.iter().sum::<f64>() / SAMPLES as f64 > 20.0,
            whole && window.iter().copied().fold(f64::INFINITY, f64::min) > 15.0,
            window.iter().copied().fold(f64::NEG_INFINITY, f64::max) > 40.0,
            self.changed.count_ones() >= 8,
            self.gas_since.is_some_and(|since| ticks - since >= 30_000),
        ];
        let mut raised = [0; RULES.len()];
        for ((raised, standing), holds) in raised.iter_mut().zip(&mut self.standing).zip(holds) {
            *raised = usize::from(holds && !*standing);
            *standing = holds;
        }
        raised
    }
}

fn engine_bench(bencher: Bencher<'_, '_>, stream: Stream, rules: &[&str]) {
    let mut town = town(rules);
    let mut turns = Turns::new(stream);
    let mut next = || {
        let (device, ticks, values) = turns.next();
        (device, ticks, points(values))
    };
    for _ in 0..WARM_UP {
        let (device, ticks, points) = next();
        town.say(device, ticks, &points);
    }
    town.measure(bencher, next);
}

#[divan::bench(args = [Stream::Restful, Stream::Eventful])]
fn six_functions(bencher: Bencher<'_, '_>, stream: Stream) {
    engine_bench(bencher, stream, &RULES);
}

#[divan::bench(args = [Stream::Restful, Stream::Eventful])]
fn six_functions_by_hand(bencher: Bencher<'_, '_>, stream: Stream) {
    let mut table = vec![ByHand::NEW; DEVICES as usize];
    let mut turns = Turns::new(stream);
    let mut read = || {
        let (device, ticks, values) = turns.next();
        let raised = black_box(&mut table)[device as usize].read(ticks, black_box(values));
        raised.iter().sum()
    };
    for _ in 0..WARM_UP {
        let _: usize = read();
    }
    measure_by_hand(bencher, read);
}

/// Each by itself, and a rule without any.
#[divan::bench(args = [PLAIN].into_iter().chain(RULES))]
fn one_function(bencher: Bencher<'_, '_>, rule: &str) {
    engine_bench(bencher, Stream::Restful, &[rule]);
}
