//! A small seeded generator: the same seed plays the same demo. Not for secrets.

/// The `SplitMix64` generator (Steele, Lea, Flood 2014).
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// The sequence of this seed.
    pub const fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number from `low` up to, not including, `high`.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        let unit = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        low + unit * (high - low)
    }

    /// A whole number from `low` up to, not including, `high`; `low` when the range is empty.
    pub fn whole(&mut self, low: i64, high: i64) -> i64 {
        let span = high.saturating_sub(low).max(1).unsigned_abs();
        low.saturating_add_unsigned(self.next() % span)
    }

    /// A length of time in milliseconds from `low` up to, not including, `high`.
    pub fn millis(&mut self, low: u32, high: u32) -> u64 {
        self.whole(i64::from(low), i64::from(high)).unsigned_abs()
    }

    /// One of `choices`, `None` when there is none.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> Option<&'a T> {
        let place = usize::try_from(self.next())
            .unwrap_or(0)
            .checked_rem(choices.len())?;
        choices.get(place)
    }
}
