//! What a device keeps for functions over time: a ring of parts for a window, and how long a condition has held.
//! Fixed size; never reads a clock, never knows what a value means.

use serde::{Deserialize, Serialize};

use super::rule::Truth;
use super::time::{Millis, Ticks};

/// In how many parts a window is kept.
const PARTS: usize = 16;

/// A function over the samples of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum WindowFunction {
    /// Change per second between the first and the last sample.
    Rate,
    /// Mean of the samples.
    Avg,
    /// Least sample.
    Min,
    /// Greatest sample.
    Max,
    /// How many samples differ from the one before.
    Changes,
}

/// The samples of a window, in parts of a fifteenth of its length: a sample leaves at most one part late, and
/// never early.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Window {
    function: WindowFunction,
    length: Millis,
    parts: [Part; PARTS],
    /// The first sample since the window was last empty.
    since: Ticks,
    last: Option<Sample>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Sample {
    at: Ticks,
    value: f64,
}

/// The samples of one part: what the function needs of them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Part {
    /// Which part of all time; without samples it is of no time.
    number: u64,
    samples: u32,
    changes: u32,
    /// Their sum, the least, the greatest, or the first, as the function has it.
    value: f64,
    /// When the first was taken.
    at: Ticks,
}

const EMPTY: Part = Part {
    number: 0,
    samples: 0,
    changes: 0,
    value: f64::NAN,
    at: Ticks(0),
};

impl Window {
    /// An empty window.
    pub const fn new(function: WindowFunction, length: Millis) -> Window {
        Window {
            function,
            length,
            parts: [EMPTY; PARTS],
            since: Ticks(0),
            last: None,
        }
    }

    /// Takes a sample. `at` never goes back; NaN is no sample.
    pub fn push(&mut self, value: f64, at: Ticks) {
        if value.is_nan() {
            return;
        }
        if self.kept(at).next().is_none() {
            self.since = at;
        }
        #[expect(clippy::float_cmp, reason = "a change is any difference between two samples")]
        let changed = self.last.is_some_and(|last| last.value != value);
        self.last = Some(Sample { at, value });
        let number = self.number(at);
        let function = self.function;
        let Some(part) = usize::try_from(number % PARTS as u64)
            .ok()
            .and_then(|place| self.parts.get_mut(place))
        else {
            return;
        };
        if part.samples == 0 || part.number != number {
            *part = Part {
                number,
                value,
                at,
                ..EMPTY
            };
        } else {
            part.value = match function {
                WindowFunction::Avg => part.value + value,
                WindowFunction::Min => part.value.min(value),
                WindowFunction::Max => part.value.max(value),
                WindowFunction::Rate | WindowFunction::Changes => part.value,
            };
        }
        part.samples = part.samples.saturating_add(1);
        part.changes = part.changes.saturating_add(u32::from(changed));
    }

    /// The least and the greatest value that the function may have at `now`, the same when it is known; NaN twice
    /// when nothing can be said. While the window has not been heard of wholly, a greatest sample so far is the
    /// least that the maximum may be.
    pub fn bounds(&self, now: Ticks) -> [f64; 2] {
        if self.kept(now).next().is_none() {
            return [f64::NAN; 2];
        }
        let whole = now.since(self.since) >= self.length;
        let values = self.kept(now).map(|part| part.value);
        match self.function {
            WindowFunction::Rate => [self.rate(now); 2],
            WindowFunction::Avg if whole => {
                let samples: u64 = self.kept(now).map(|part| u64::from(part.samples)).sum();
                let mean = values.sum::<f64>() / samples as f64;
                [if mean.is_finite() { mean } else { f64::NAN }; 2]
            }
            WindowFunction::Avg => [f64::NAN; 2],
            WindowFunction::Min => {
                let least = values.fold(f64::INFINITY, f64::min);
                [if whole { least } else { f64::NEG_INFINITY }, least]
            }
            WindowFunction::Max => {
                let greatest = values.fold(f64::NEG_INFINITY, f64::max);
                [greatest, if whole { greatest } else { f64::INFINITY }]
            }
            WindowFunction::Changes => {
                let changes: u64 = self.kept(now).map(|part| u64::from(part.changes)).sum();
                let changes = changes as f64;
                [changes, if whole { changes } else { f64::INFINITY }]
            }
        }
    }

    /// Change per second; NaN while the samples span less than half of the window.
    fn rate(&self, now: Ticks) -> f64 {
        let first = self.kept(now).min_by_key(|part| part.number);
        let (Some(first), Some(last)) = (first, self.last) else {
            return f64::NAN;
        };
        let span = last.at.since(first.at);
        if span.0 == 0 || span.0 < self.length.0 / 2 {
            return f64::NAN;
        }
        let rate = (last.value - first.value) / (span.0 as f64 / 1000.0);
        if rate.is_finite() { rate } else { f64::NAN }
    }

    /// Whether it took a sample within the length of one part before `at`.
    pub fn knows(&self, at: Ticks) -> bool {
        self.last.is_some_and(|last| at.since(last.at).0 < self.part())
    }

    /// The length of a part, in milliseconds.
    fn part(&self) -> u64 {
        self.length.0.div_ceil(PARTS as u64 - 1).max(1)
    }

    fn number(&self, at: Ticks) -> u64 {
        at.0 / self.part()
    }

    /// The parts that reach into the window that ends at `now`.
    fn kept(&self, now: Ticks) -> impl Iterator<Item = &Part> {
        let oldest = self.number(now).saturating_sub(PARTS as u64 - 1);
        self.parts
            .iter()
            .filter(move |part| part.samples > 0 && part.number >= oldest)
    }
}

/// How long a condition has held without a break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Held {
    /// Never known.
    #[default]
    Unheard,
    /// When last known, it did not hold.
    Broken,
    /// It has not been found broken since.
    Since {
        /// When it was first found to hold.
        since: Ticks,
        /// When it was last found to hold.
        confirmed: Ticks,
        /// Whether it was seen to begin: it did not hold before.
        begun: bool,
    },
}

impl Held {
    /// Takes what is known of the condition at `now`. What is unknown neither starts nor breaks it.
    #[must_use]
    pub const fn observe(self, truth: Truth, now: Ticks) -> Held {
        match (self, truth) {
            (_, Truth::False) => Held::Broken,
            (Held::Unheard, Truth::True) => Held::Since {
                since: now,
                confirmed: now,
                begun: false,
            },
            (Held::Broken, Truth::True) => Held::Since {
                since: now,
                confirmed: now,
                begun: true,
            },
            (Held::Since { since, begun, .. }, Truth::True) => Held::Since {
                since,
                confirmed: now,
                begun,
            },
            (Held::Unheard | Held::Broken | Held::Since { .. }, Truth::Unknown) => self,
        }
    }

    /// Whether it has held for `length` at `now`; unknown when the last evidence is older than `max_gap`, and while it
    /// may have held before anybody looked.
    pub fn lasted(self, length: Millis, max_gap: Millis, now: Ticks) -> Truth {
        match self {
            Held::Unheard => Truth::Unknown,
            Held::Broken => Truth::False,
            Held::Since { since, begun, .. } if now < since.after(length) => {
                if begun {
                    Truth::False
                } else {
                    Truth::Unknown
                }
            }
            Held::Since { confirmed, .. } if now.since(confirmed) > max_gap => Truth::Unknown,
            Held::Since { .. } => Truth::True,
        }
    }

    /// When it will have held for `length`, if it goes on.
    pub const fn deadline(self, length: Millis) -> Option<Ticks> {
        match self {
            Held::Unheard | Held::Broken => None,
            Held::Since { since, .. } => Some(since.after(length)),
        }
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "the same samples give the same numbers")]
mod tests {
    use proptest::prelude::*;

    use super::super::rule::Truth;
    use super::super::time::{Millis, Ticks};
    use super::{Held, Window, WindowFunction};

    const INF: f64 = f64::INFINITY;
    const ALL: [WindowFunction; 5] = [
        WindowFunction::Rate,
        WindowFunction::Avg,
        WindowFunction::Min,
        WindowFunction::Max,
        WindowFunction::Changes,
    ];

    fn same(left: [f64; 2], right: [f64; 2]) -> bool {
        left.iter().zip(right).all(|(left, right)| {
            (left.is_nan() && right.is_nan())
                || *left == right
                || (left - right).abs() <= 1e-9 * right.abs().max(1.0)
        })
    }

    #[test]
    fn a_window_says_what_it_knows() {
        let nothing = [f64::NAN; 2];
        // Ten seconds in: less than half; forty: more than half; sixty: all of it.
        for (function, expected) in [
            (WindowFunction::Rate, [nothing, [0.5; 2], [-0.5; 2]]),
            (WindowFunction::Avg, [nothing, nothing, [12.5; 2]]),
            (WindowFunction::Min, [[-INF, 10.0], [-INF, 10.0], [-20.0; 2]]),
            (WindowFunction::Max, [[30.0, INF], [30.0, INF], [30.0; 2]]),
            (WindowFunction::Changes, [[1.0, INF], [1.0, INF], [2.0; 2]]),
        ] {
            let mut window = Window::new(function, Millis(60_000));
            assert!(same(window.bounds(Ticks(0)), nothing), "{function:?}");
            window.push(10.0, Ticks(0));
            window.push(f64::NAN, Ticks(5_000));
            let mut seen = Vec::new();
            for (at, value) in [(10_000, 30.0), (40_000, 30.0), (60_000, -20.0)] {
                window.push(value, Ticks(at));
                seen.push(window.bounds(Ticks(at)));
            }
            let fits = seen
                .iter()
                .zip(expected)
                .all(|(seen, expected)| same(*seen, expected));
            assert!(fits, "{function:?}: {seen:?}");
            assert!(
                same(window.bounds(Ticks(200_000)), nothing),
                "{function:?} is empty again"
            );
        }
    }

    #[test]
    fn held_needs_time_evidence_and_no_break() {
        use Truth::{False, True, Unknown};
        for (seen, expected) in [
            (vec![], Unknown),
            (vec![(0, Unknown)], Unknown),
            (vec![(0, False)], False),
            (vec![(0, True)], Unknown),
            (vec![(0, True), (80, True)], True),
            (vec![(0, True), (40, Unknown), (80, True)], True),
            (vec![(0, True), (80, True), (90, Unknown)], True),
            (vec![(0, True), (40, False), (80, True)], False),
            (vec![(1, True), (80, True)], Unknown),
            (vec![(0, False), (1, True), (80, True)], False),
            (vec![(0, False), (1, True), (80, Unknown)], False),
        ] {
            let mut held = Held::default();
            for &(at, truth) in &seen {
                held = held.observe(truth, Ticks(at));
            }
            let answer = held.lasted(Millis(100), Millis(30), Ticks(100));
            assert_eq!(answer, expected, "{seen:?}");
        }
        let held = Held::default().observe(True, Ticks(5)).observe(True, Ticks(9));
        assert_eq!(held.deadline(Millis(100)), Some(Ticks(105)));
        assert_eq!(held.observe(False, Ticks(10)).deadline(Millis(100)), None);
    }

    /// The function over a plain list, of what is at most a fifteenth older than the window.
    fn naive(function: WindowFunction, samples: &[(u64, f64)], length: u64) -> [f64; 2] {
        let part = length.div_ceil(15);
        let from = |now: u64| (now / part).saturating_sub(15) * part;
        let Some(&(now, latest)) = samples.last() else {
            return [f64::NAN; 2];
        };
        let inside: Vec<(u64, f64)> = samples
            .iter()
            .copied()
            .filter(|(at, _)| *at >= from(now))
            .collect();
        let mut since = 0;
        let mut before: Option<u64> = None;
        for &(at, _) in samples {
            if before.is_none_or(|before| before < from(at)) {
                since = at;
            }
            before = Some(at);
        }
        let whole = now - since >= length;
        let values = inside.iter().map(|(_, value)| *value);
        match function {
            WindowFunction::Rate => {
                let (first_at, first) = inside[0];
                let span = now - first_at;
                let known = span > 0 && span >= length / 2;
                [if known {
                    (latest - first) / (span as f64 / 1000.0)
                } else {
                    f64::NAN
                }; 2]
            }
            WindowFunction::Avg => {
                let mean = values.sum::<f64>() / inside.len() as f64;
                [if whole { mean } else { f64::NAN }; 2]
            }
            WindowFunction::Min => {
                let least = values.fold(INF, f64::min);
                [if whole { least } else { -INF }, least]
            }
            WindowFunction::Max => {
                let greatest = values.fold(-INF, f64::max);
                [greatest, if whole { greatest } else { INF }]
            }
            WindowFunction::Changes => {
                let changed = samples
                    .windows(2)
                    .filter(|pair| pair[1].0 >= from(now) && pair[0].1 != pair[1].1)
                    .count() as f64;
                [changed, if whole { changed } else { INF }]
            }
        }
    }

    proptest! {
        #[test]
        fn a_window_agrees_with_a_list_of_samples(
            steps in prop::collection::vec((prop_oneof![0_u64..300, 0_u64..6_000], -5_i8..5), 1..80),
            length in 1_000_u64..9_000,
        ) {
            for function in ALL {
                let mut window = Window::new(function, Millis(length));
                let mut samples = Vec::new();
                let mut at = 0;
                for &(step, value) in &steps {
                    at += step;
                    window.push(f64::from(value), Ticks(at));
                    samples.push((at, f64::from(value)));
                    let (seen, expected) = (window.bounds(Ticks(at)), naive(function, &samples, length));
                    prop_assert!(same(seen, expected), "{function:?} at {at}: {seen:?}, not {expected:?}");
                }
            }
        }

        #[test]
        fn bounds_hold_the_value_of_what_went_before(
            steps in prop::collection::vec((0_u64..900, -5_i8..5), 1..60),
            forgotten in 0_usize..60,
        ) {
            // Who comes late to a device may know less, never something else.
            for function in [WindowFunction::Min, WindowFunction::Max, WindowFunction::Changes] {
                let (mut all, mut rest) = (Window::new(function, Millis(3_000)), Window::new(function, Millis(3_000)));
                let (mut at, mut heard) = (10_000, 0);
                all.push(0.0, Ticks(0));
                all.push(0.0, Ticks(9_000));
                for (place, &(step, value)) in steps.iter().enumerate() {
                    at += step;
                    all.push(f64::from(value), Ticks(at));
                    if place < forgotten {
                        continue;
                    }
                    if rest.last.is_none() {
                        heard = at;
                    }
                    rest.push(f64::from(value), Ticks(at));
                    // A sample may stay one part longer than the window: one who heard of it then knows of it.
                    if (3_000..=3_200).contains(&(at - heard)) {
                        continue;
                    }
                    let ([low, high], [least, greatest]) = (all.bounds(Ticks(at)), rest.bounds(Ticks(at)));
                    let within = least.is_nan() || low.is_nan() || (least <= low + 1e-9 && high <= greatest + 1e-9);
                    prop_assert!(within, "{function:?}: {least}..{greatest}");
                }
            }
        }
    }
}
