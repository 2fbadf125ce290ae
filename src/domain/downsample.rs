//! A series of kept samples as buckets of equal length. Each sample speaks until the next one, for a limited time: the
//! history keeps only what changes, so an average weighs values by how long they held.

use super::time::{Millis, Timestamp};

/// What is to be made of a series.
#[derive(Debug, Clone, Copy)]
pub struct Buckets {
    /// Where the first bucket begins.
    pub from: Timestamp,
    /// Where the last one ends; it may be shorter than the others.
    pub to: Timestamp,
    /// The length of a bucket, at least 1.
    pub step: Millis,
    /// How long a sample without a successor speaks for the time after it.
    pub holds_for: Millis,
    /// Of the time from here on nothing is known yet.
    pub now: Timestamp,
}

/// One bucket.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bucket {
    /// When it begins.
    pub at: Timestamp,
    /// How many samples it has. A value that held through it without a new sample is none.
    pub count: u32,
    /// The values; `None`: nothing is known of its time.
    pub values: Option<BucketValues>,
}

/// The values that held in a bucket.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BucketValues {
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
    /// The average, each value weighed by how long it held. Time of which nothing is known does not count.
    pub avg: f64,
    /// The last.
    pub last: f64,
}

impl Buckets {
    /// How many there are.
    pub const fn count(&self) -> u64 {
        let length = self.to.0.saturating_sub(self.from.0);
        if length <= 0 {
            return 0;
        }
        length.unsigned_abs().div_ceil(self.step.0)
    }
}

/// Makes the buckets of one series, sample by sample.
#[derive(Debug)]
pub struct Downsampler {
    buckets: Buckets,
    sums: Vec<Sum>,
    /// The sample before the next one.
    last: Option<(Timestamp, f64)>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    count: u32,
    /// For how long something is known, in milliseconds, and the values weighed by it.
    known: f64,
    weighed: f64,
    range: Option<(f64, f64)>,
    last: f64,
}

impl Sum {
    fn note(&mut self, value: f64) {
        self.range = Some(match self.range {
            None => (value, value),
            Some((min, max)) => (min.min(value), max.max(value)),
        });
        self.last = value;
    }

    fn values(&self) -> Option<BucketValues> {
        let (min, max) = self.range?;
        let avg = if self.known > 0.0 {
            self.weighed / self.known
        } else {
            self.last
        };
        Some(BucketValues {
            min,
            max,
            // Rounding must not carry it past what it is made of.
            avg: avg.clamp(min, max),
            last: self.last,
        })
    }
}

impl Downsampler {
    /// For a series that is to become `buckets`.
    pub fn new(buckets: Buckets) -> Downsampler {
        let count = usize::try_from(buckets.count()).unwrap_or(usize::MAX);
        Downsampler {
            buckets,
            sums: vec![Sum::default(); count],
            last: None,
        }
    }

    /// Takes the next sample, in the order of time. One before the first bucket may reach into it.
    pub fn push(&mut self, at: Timestamp, value: f64) {
        self.hold(at);
        self.last = Some((at, value));
        let place = self.place(at);
        if let Some(sum) = place.and_then(|place| self.sums.get_mut(place)) {
            sum.count += 1;
            sum.note(value);
        }
    }

    /// The buckets, all of them, in order.
    pub fn finish(mut self) -> Vec<Bucket> {
        self.hold(self.buckets.now);
        let starts = (0_i64..).map(|place| self.start(place));
        starts
            .zip(&self.sums)
            .map(|(at, sum)| Bucket {
                at,
                count: sum.count,
                values: sum.values(),
            })
            .collect()
    }

    fn step(&self) -> i64 {
        i64::try_from(self.buckets.step.0).unwrap_or(i64::MAX)
    }

    fn start(&self, place: i64) -> Timestamp {
        let offset = place.saturating_mul(self.step());
        Timestamp(self.buckets.from.0.saturating_add(offset))
    }

    fn place(&self, at: Timestamp) -> Option<usize> {
        if at < self.buckets.from || at >= self.buckets.to {
            return None;
        }
        usize::try_from(at.since(self.buckets.from) / self.step()).ok()
    }

    /// The last sample holds until `next`, or for as long as it may.
    fn hold(&mut self, next: Timestamp) {
        let Some((since, value)) = self.last else { return };
        let held = i64::try_from(self.buckets.holds_for.0).unwrap_or(i64::MAX);
        let end = next
            .min(Timestamp(since.0.saturating_add(held)))
            .min(self.buckets.to)
            .min(self.buckets.now);
        let mut from = since.max(self.buckets.from);
        while from < end {
            let Some(place) = self.place(from) else { return };
            let next = i64::try_from(place).map_or(end, |place| self.start(place.saturating_add(1)));
            let upto = next.min(end);
            if let Some(sum) = self.sums.get_mut(place) {
                let length = upto.since(from) as f64;
                sum.known += length;
                sum.weighed += length * value;
                sum.note(value);
            }
            from = upto;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn made(buckets: Buckets, samples: &[(i64, f64)]) -> Vec<Bucket> {
        let mut downsampler = Downsampler::new(buckets);
        for (at, value) in samples {
            downsampler.push(Timestamp(*at), *value);
        }
        downsampler.finish()
    }

    const HUNDREDS: Buckets = Buckets {
        from: Timestamp(1_000),
        to: Timestamp(1_250),
        step: Millis(100),
        holds_for: Millis(150),
        now: Timestamp(10_000),
    };

    type Shown = (u32, Option<(f64, f64, f64, f64)>);

    fn shown(buckets: &[Bucket]) -> Vec<Shown> {
        let values = |bucket: &Bucket| {
            let values = bucket.values?;
            Some((values.min, values.max, values.avg, values.last))
        };
        buckets
            .iter()
            .map(|bucket| (bucket.count, values(bucket)))
            .collect()
    }

    #[test]
    fn values_weigh_by_how_long_they_held() {
        let none = (0, None);
        for (samples, expected) in [
            (vec![], vec![none, none, none]),
            // Holds from the first edge through the second bucket's half, then is forgotten.
            (
                vec![(1_000, 5.0)],
                vec![
                    (1, Some((5.0, 5.0, 5.0, 5.0))),
                    (0, Some((5.0, 5.0, 5.0, 5.0))),
                    none,
                ],
            ),
            // Three quarters of the bucket at 0, one at 4; the successor ends it.
            (
                vec![(1_000, 0.0), (1_075, 4.0), (1_100, 8.0)],
                vec![
                    (2, Some((0.0, 4.0, 1.0, 4.0))),
                    (1, Some((8.0, 8.0, 8.0, 8.0))),
                    (0, Some((8.0, 8.0, 8.0, 8.0))),
                ],
            ),
            // Known from before, for half of the first bucket.
            (
                vec![(900, 2.0)],
                vec![(0, Some((2.0, 2.0, 2.0, 2.0))), none, none],
            ),
            // Too long ago, and after the end.
            (vec![(850, 2.0), (1_250, 3.0)], vec![none, none, none]),
            // The last millisecond of one bucket, the first of the next, and two at once.
            (
                vec![(1_099, 1.0), (1_100, 2.0), (1_200, 3.0), (1_200, 6.0)],
                vec![
                    (1, Some((1.0, 1.0, 1.0, 1.0))),
                    (1, Some((2.0, 2.0, 2.0, 2.0))),
                    (2, Some((3.0, 6.0, 6.0, 6.0))),
                ],
            ),
        ] {
            assert_eq!(shown(&made(HUNDREDS, &samples)), expected, "{samples:?}");
        }
    }

    #[test]
    fn nothing_is_known_of_the_time_to_come() {
        let now = Timestamp(1_100);
        let buckets = made(Buckets { now, ..HUNDREDS }, &[(1_050, 1.0)]);
        assert_eq!(
            shown(&buckets),
            [(1, Some((1.0, 1.0, 1.0, 1.0))), (0, None), (0, None)]
        );
        assert_eq!(
            Buckets {
                to: HUNDREDS.from,
                ..HUNDREDS
            }
            .count(),
            0
        );
    }

    proptest! {
        #[test]
        fn every_sample_counts_once_and_averages_lie_between(
            samples in proptest::collection::vec((0_i64..2_000, -100.0..100.0_f64), 0..40),
            (from, length, step) in (0_i64..1_000, 1_i64..1_000, 1_u64..400),
            holds_for in 1_u64..500,
        ) {
            let mut samples = samples;
            samples.sort_by_key(|(at, _)| *at);
            let (from, to) = (Timestamp(from), Timestamp(from + length));
            let (step, holds_for) = (Millis(step), Millis(holds_for));
            let buckets = Buckets { from, to, step, holds_for, now: Timestamp(5_000) };
            let made = made(buckets, &samples);
            prop_assert_eq!(made.len() as u64, buckets.count());
            let inside = samples.iter().filter(|(at, _)| (from.0..to.0).contains(at)).count();
            prop_assert_eq!(made.iter().map(|bucket| bucket.count as usize).sum::<usize>(), inside);
            let step = i64::try_from(step.0).unwrap();
            for (place, bucket) in (0_i64..).zip(&made) {
                prop_assert_eq!(bucket.at.0, from.0 + place * step);
                let end = (bucket.at.0 + step).min(to.0);
                let own = samples.iter().filter(|(at, _)| (bucket.at.0..end).contains(at));
                prop_assert_eq!(bucket.count as usize, own.clone().count());
                if bucket.count > 0 {
                    prop_assert!(bucket.values.is_some());
                }
                if let Some(values) = bucket.values {
                    prop_assert!(values.min <= values.avg && values.avg <= values.max);
                    prop_assert!(values.min <= values.last && values.last <= values.max);
                    for (_, value) in own {
                        prop_assert!(values.min <= *value && *value <= values.max);
                    }
                }
            }
        }
    }
}
