//! When a target may be sent the next message: never more than its limits allow, with a reserve for what is urgent. Pure.

use std::collections::VecDeque;

use super::parcel::{Limit, Manners};
use crate::domain::time::{Millis, Ticks};

/// The limits of one target, and what went out within them.
#[derive(Debug)]
pub(super) struct Pace {
    limits: Vec<Limit>,
    reserve: u32,
    /// When the messages of the longest window went out, oldest first.
    sent: VecDeque<Ticks>,
    silent_until: Option<Ticks>,
}

impl Pace {
    /// Nothing sent yet.
    pub(super) fn new(manners: &Manners) -> Pace {
        Pace {
            limits: manners.limits.clone(),
            reserve: manners.reserve,
            sent: VecDeque::new(),
            silent_until: None,
        }
    }

    /// A message went out at `at`.
    pub(super) fn note(&mut self, at: Ticks) {
        let most = self.limits.iter().map(|limit| limit.messages).max();
        let Some(most) = most.and_then(|most| usize::try_from(most).ok()) else {
            return;
        };
        // An answer that comes late counts from then: the target may have counted it then.
        let place = self.sent.partition_point(|earlier| *earlier <= at);
        self.sent.insert(place, at);
        while self.sent.len() > most {
            self.sent.pop_front();
        }
    }

    /// The target may have counted the message that went out at `sent` as late as `now`.
    pub(super) fn answered(&mut self, sent: Ticks, now: Ticks) {
        if let Ok(place) = self.sent.binary_search(&sent) {
            self.sent.remove(place);
            self.note(now);
        }
    }

    /// The target wants nothing until then.
    pub(super) fn silence(&mut self, until: Ticks) {
        self.silent_until = self.silent_until.max(Some(until));
    }

    /// For how long the target wants nothing; `None`: it takes what its limits allow.
    pub(super) fn silent(&self, now: Ticks) -> Option<Millis> {
        let until = self.silent_until.filter(|until| *until > now)?;
        Some(until.since(now))
    }

    /// Whether a message may go out.
    pub(super) fn allows(&self, now: Ticks, urgent: bool) -> bool {
        self.earliest(now, urgent) <= now
    }

    /// When the next message may go out: `now`, or later.
    pub(super) fn earliest(&self, now: Ticks, urgent: bool) -> Ticks {
        let silent = self.silent_until.unwrap_or(now).max(now);
        (0..)
            .zip(&self.limits)
            .map(|(place, limit)| {
                let reserve = if place == 0 && !urgent { self.reserve } else { 0 };
                self.free(*limit, reserve)
            })
            .fold(silent, Ord::max)
    }

    /// When one more message keeps to `limit`, of which `reserve` is not to be touched.
    fn free(&self, limit: Limit, reserve: u32) -> Ticks {
        let most = usize::try_from(limit.messages.saturating_sub(reserve).max(1)).unwrap_or(usize::MAX);
        let back = |count: usize| {
            self.sent
                .len()
                .checked_sub(count)
                .and_then(|at| self.sent.get(at))
        };
        let full = back(most).map_or(Ticks(0), |first| first.after(limit.window));
        // Once half of it is used the rest is spread over the window: what comes then need not wait for all of it.
        let half = most.div_ceil(2);
        let gap = Millis(limit.window.0 / u64::from(limit.messages.max(1)));
        let spread = back(half)
            .zip(self.sent.back())
            .filter(|(first, last)| last.since(**first) < limit.window)
            .map_or(Ticks(0), |(_, last)| last.after(gap));
        full.max(spread)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pace(limits: &[(u32, u64)], reserve: u32) -> Pace {
        let limits = limits.iter().map(|&(messages, window)| Limit {
            messages,
            window: Millis(window),
        });
        Pace::new(&Manners {
            limits: limits.collect(),
            reserve,
            ..Manners::default()
        })
    }

    #[test]
    fn without_limits_everything_may_go_at_once() {
        let mut pace = pace(&[], 0);
        for _ in 0..100 {
            assert!(pace.allows(Ticks(5), false));
            pace.note(Ticks(5));
        }
        assert!(pace.sent.is_empty());
    }

    #[test]
    fn the_reserve_is_for_what_is_urgent() {
        let mut pace = pace(&[(4, 60_000)], 2);
        pace.note(Ticks(0));
        assert!(pace.allows(Ticks(15_000), false));
        pace.note(Ticks(15_000));
        assert_eq!(pace.earliest(Ticks(30_000), false), Ticks(60_000));
        assert!(pace.allows(Ticks(30_000), true));
        pace.note(Ticks(30_000));
        pace.note(Ticks(45_000));
        assert_eq!(pace.earliest(Ticks(46_000), true), Ticks(60_000));
    }

    #[test]
    fn a_silenced_target_is_left_alone_urgent_or_not() {
        let mut pace = pace(&[(18, 60_000)], 4);
        pace.silence(Ticks(600_000));
        pace.silence(Ticks(65_000));
        assert_eq!(pace.earliest(Ticks(1), true), Ticks(600_000));
        assert!(pace.allows(Ticks(600_000), false));
    }

    #[test]
    fn a_message_counts_from_its_answer() {
        let mut pace = pace(&[(1, 1_000)], 0);
        pace.note(Ticks(0));
        pace.answered(Ticks(0), Ticks(700));
        assert_eq!(pace.earliest(Ticks(1_000), true), Ticks(1_700));
    }

    proptest! {
        /// Whoever sends as soon as it may never exceeds a limit in any window, and never waits longer than a window.
        #[test]
        fn no_window_ever_holds_more_than_its_limit(
            messages in 1_u32..20,
            window in 1_000_u64..60_000,
            second in proptest::option::of((1_u32..6, 200_u64..2_000)),
            reserve in 0_u32..5,
            waits in proptest::collection::vec((0_u64..5_000, any::<bool>(), 0_u64..400), 1..200),
        ) {
            let mut limits = vec![(messages, window)];
            limits.extend(second);
            let mut pace = pace(&limits, reserve);
            let (mut now, mut counted) = (0, Vec::new());
            for (wait, urgent, answer) in waits {
                now += wait;
                let at = pace.earliest(Ticks(now), urgent);
                prop_assert!(at.0 >= now);
                let longest = limits.iter().map(|(_, window)| *window).max().unwrap_or(0);
                prop_assert!(at.0 - now <= longest, "waits longer than a window");
                now = at.0;
                pace.note(at);
                now += answer;
                pace.answered(at, Ticks(now));
                counted.push(now);
            }
            for (messages, window) in limits {
                for (place, first) in counted.iter().enumerate() {
                    let within = counted[place..].iter().filter(|at| **at < first + window).count();
                    prop_assert!(within <= messages as usize, "{within} of {messages} in {window} ms");
                }
            }
        }
    }
}
