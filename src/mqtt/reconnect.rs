//! How long to wait before the next attempt to reach the broker. Pure: it is given its randomness and never sleeps.

use std::time::Duration;

/// The first wait. Short, because most outages are a broker's restart.
const FIRST: Duration = Duration::from_millis(100);

/// The longest wait.
const LONGEST: Duration = Duration::from_secs(30);

/// The failures that still count once the broker has let us in: a line that keeps breaking costs 0.8 s each time, not
/// half a minute in which no alarm is heard, and two gateways that push each other out do not do so without a pause.
const FAILURES_OF_A_LINE: u32 = 3;

/// Waits that double from 100 ms to 30 s, or to less. Each is shortened by up to half at random, so that many gateways do
/// not come back to one broker in step.
#[derive(Debug)]
pub(crate) struct Backoff {
    failures: u32,
    longest: Duration,
}

impl Backoff {
    /// No failure yet.
    pub(crate) fn new() -> Backoff {
        Backoff::up_to(LONGEST)
    }

    /// No failure yet; no wait will be longer than this.
    pub(crate) fn up_to(longest: Duration) -> Backoff {
        Backoff { failures: 0, longest }
    }

    /// The wait after one more failure. `entropy` is any random number.
    pub(crate) fn wait(&mut self, entropy: u64) -> Duration {
        let doubled = 2_u32.saturating_pow(self.failures);
        self.failures = self.failures.saturating_add(1);
        let full = FIRST.saturating_mul(doubled).min(self.longest);
        let share = (entropy % 1024) as f64 / 2048.0;
        full.mul_f64(1.0 - share)
    }

    /// The broker is there and lets us in: however the connection ends, the next wait is short.
    pub(crate) fn let_in(&mut self) {
        self.failures = self.failures.min(FAILURES_OF_A_LINE);
    }

    /// The connection stood for a while: the next wait is the first again.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap() {
        let mut backoff = Backoff::new();
        let waits: Vec<u128> = (0..12).map(|_| backoff.wait(0).as_millis()).collect();
        assert_eq!(
            waits,
            [
                100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000, 30000
            ]
        );
        for _ in 0..100 {
            assert_eq!(backoff.wait(0), LONGEST);
        }
        backoff.reset();
        assert_eq!(backoff.wait(0), FIRST);
    }

    #[test]
    fn a_line_that_keeps_breaking_costs_less_than_a_second_each_time() {
        let mut backoff = Backoff::new();
        for _ in 0..20 {
            backoff.wait(0);
        }
        for _ in 0..20 {
            backoff.let_in();
            assert_eq!(backoff.wait(0).as_millis(), 800);
        }
        let waits: Vec<u128> = (0..3).map(|_| backoff.wait(0).as_millis()).collect();
        assert_eq!(waits, [1600, 3200, 6400], "nobody there any more");
    }

    #[test]
    fn a_shorter_cap_holds() {
        let mut backoff = Backoff::up_to(Duration::from_secs(1));
        let waits: Vec<u128> = (0..7).map(|_| backoff.wait(0).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1000, 1000, 1000]);
    }

    #[test]
    fn jitter_takes_at_most_half() {
        for entropy in [0, 1, 511, 1023, 1024, u64::MAX] {
            let wait = Backoff::new().wait(entropy);
            assert!(wait <= FIRST && wait >= FIRST / 2, "{entropy}: {wait:?}");
        }
        assert_ne!(Backoff::new().wait(1), Backoff::new().wait(900));
    }
}
