//! One reading through the engine in a small venue and in a large one, with rules on the venue: that changes no answer,
//! that changes its device's answer, that makes a rule begin or end. Beside it the same counting written by hand, over the
//! same readings.
//!
//! `cargo bench --bench venue`

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
    for of_a_venue in SIZES {
        for (stream, raises) in [
            (Stream::Quiet, false),
            (Stream::Answers, false),
            (Stream::Crosses, true),
            (Stream::Wild, true),
        ] {
            let (engine, hand) = (by_engine(stream, of_a_venue), by_hand(stream, of_a_venue));
            assert_eq!(
                engine, hand,
                "{stream:?}, {of_a_venue} devices a venue: both must see the same conditions begin"
            );
            assert_eq!(engine > 0, raises, "{stream:?} is what it says");
        }
    }
    divan::main();
}

/// What a reading does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stream {
    /// No answer of its device changes.
    Quiet,
    /// Its device comes above a limit, or back under it; no rule of the venue begins or ends.
    Answers,
    /// The same beside another device above the limit: with every reading a rule of the venue begins or ends.
    Crosses,
    /// Anything; only to compare.
    Wild,
}

const RULES: [&str; 4] = [
    "gas_detector.exists(d, d.lel >= 50.0)",
    "gas_detector.filter(d, d.lel >= 25.0).size() >= 2",
    "gas_detector.all(d, d.lel >= 5.0)",
    "gas_detector.filter(d, d.lel >= 10.0).size() >= 3",
];

/// As many in every case, so that only the venues' size differs.
const DEVICES: u32 = 500;
const SIZES: [u32; 2] = [5, 500];
const COMPARED: u32 = 20_000;

const CASES: [(Stream, u32); 6] = [
    (Stream::Quiet, SIZES[0]),
    (Stream::Quiet, SIZES[1]),
    (Stream::Answers, SIZES[0]),
    (Stream::Answers, SIZES[1]),
    (Stream::Crosses, SIZES[0]),
    (Stream::Crosses, SIZES[1]),
];

/// Who speaks, and what. First of all every device speaks once.
struct Turns {
    stream: Stream,
    of_a_venue: u32,
    turn: u32,
    /// The number of the one who speaks, among those who may.
    speaker: u32,
    device: u32,
}

impl Turns {
    const fn new(stream: Stream, of_a_venue: u32) -> Turns {
        Turns {
            stream,
            of_a_venue,
            turn: 0,
            speaker: 0,
            device: 0,
        }
    }

    /// The device, the turn, and lel.
    fn next(&mut self) -> (u32, u32, f64) {
        let turn = self.turn;
        self.turn += 1;
        let wave = f64::from(noise(turn) % 97) / 97.0;
        if turn < DEVICES {
            let high = self.stream == Stream::Crosses && turn.is_multiple_of(self.of_a_venue);
            return (turn, turn, if high { 30.0 } else { wave });
        }
        // Up, and in the next turn down again.
        let up = turn.is_multiple_of(2);
        if up || self.stream == Stream::Quiet {
            // The first of each venue stays as it is.
            let others = self.of_a_venue - 1;
            self.speaker = (self.speaker + STEP) % (DEVICES / self.of_a_venue * others);
            self.device = self.speaker / others * self.of_a_venue + 1 + self.speaker % others;
        }
        let lel = match self.stream {
            Stream::Quiet => 4.0 * wave,
            Stream::Answers | Stream::Crosses if up => 30.0 + wave,
            Stream::Answers | Stream::Crosses => wave,
            Stream::Wild => 60.0 * wave,
        };
        (self.device, turn, lel)
    }
}

fn town(of_a_venue: u32) -> Town {
    let rules = RULES.map(|when| ("venue", when.to_owned()));
    let definitions = town::definitions(vec![town::kind(KIND, &["lel"])], rules);
    Town::new(definitions, DEVICES, of_a_venue)
}

fn by_engine(stream: Stream, of_a_venue: u32) -> usize {
    let mut town = town(of_a_venue);
    let mut turns = Turns::new(stream, of_a_venue);
    for _ in 0..COMPARED {
        let (device, turn, lel) = turns.next();
        town.say(device, turn, &[(PointIndex(1), lel)]);
    }
    town.raised()
}

fn by_hand(stream: Stream, of_a_venue: u32) -> usize {
    let mut town = ByHand::new(of_a_venue);
    let mut turns = Turns::new(stream, of_a_venue);
    (0..COMPARED)
        .map(|_| {
            let (device, _, lel) = turns.next();
            town.read(device, lel)
        })
        .sum()
}

/// The venues and their detectors, written by hand.
struct ByHand {
    of_a_venue: u32,
    lel: Vec<Option<f64>>,
    venues: Vec<Venue>,
}

/// How many detectors of a venue are above each limit, and which rules stand.
#[derive(Clone, Copy, Default)]
struct Venue {
    at_50: u32,
    at_25: u32,
    at_10: u32,
    at_5: u32,
    standing: [bool; RULES.len()],
}

impl ByHand {
    fn new(of_a_venue: u32) -> ByHand {
        ByHand {
            of_a_venue,
            lel: vec![None; DEVICES as usize],
            venues: vec![Venue::default(); (DEVICES / of_a_venue) as usize],
        }
    }

    /// How many conditions came to hold.
    #[inline]
    fn read(&mut self, device: u32, lel: f64) -> usize {
        let venue = &mut self.venues[(device / self.of_a_venue) as usize];
        let before = self.lel[device as usize].replace(lel);
        let mut changed = false;
        for (count, limit) in [
            (&mut venue.at_50, 50.0),
            (&mut venue.at_25, 25.0),
            (&mut venue.at_10, 10.0),
            (&mut venue.at_5, 5.0),
        ] {
            let (was, is) = (before.is_some_and(|before| before >= limit), lel >= limit);
            changed |= was != is;
            *count = *count + u32::from(is) - u32::from(was);
        }
        if !changed {
            return 0;
        }
        let holds = [
            venue.at_50 >= 1,
            venue.at_25 >= 2,
            venue.at_5 == self.of_a_venue,
            venue.at_10 >= 3,
        ];
        let mut raised = 0;
        for (standing, holds) in venue.standing.iter_mut().zip(holds) {
            raised += usize::from(holds && !*standing);
            *standing = holds;
        }
        raised
    }
}

/// The venue's size is the second number.
#[divan::bench(args = CASES)]
fn four_venue_rules(bencher: Bencher<'_, '_>, (stream, of_a_venue): (Stream, u32)) {
    let mut town = town(of_a_venue);
    let mut turns = Turns::new(stream, of_a_venue);
    let mut next = || {
        let (device, turn, lel) = turns.next();
        (device, turn, [(PointIndex(1), lel)])
    };
    for _ in 0..DEVICES {
        let (device, turn, points) = next();
        town.say(device, turn, &points);
    }
    town.measure(bencher, next);
}

#[divan::bench(args = CASES)]
fn four_venue_rules_by_hand(bencher: Bencher<'_, '_>, (stream, of_a_venue): (Stream, u32)) {
    let mut town = ByHand::new(of_a_venue);
    let mut turns = Turns::new(stream, of_a_venue);
    measure_by_hand(bencher, || {
        let (device, _, lel) = turns.next();
        black_box(&mut town).read(device, black_box(lel))
    });
}
