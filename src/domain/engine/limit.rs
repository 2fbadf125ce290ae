//! How often rules with a `limit` have been told of in each venue. Decides whether there is room, and makes no event.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::super::rule::Repeat;
use super::super::time::Ticks;

/// The instants at which alarms were announced, by venue and rule.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Limits(BTreeMap<(String, String), Vec<Ticks>>);

impl Limits {
    /// Takes a place at `now` for an announcement of `rule` in `venue`.
    ///
    /// # Errors
    /// When there is none: the instant from which on there may be one.
    pub(super) fn take(&mut self, venue: &str, rule: &str, limit: Repeat, now: Ticks) -> Result<(), Ticks> {
        let told = self.0.entry((venue.to_owned(), rule.to_owned())).or_default();
        told.retain(|at| now.since(*at) < limit.within);
        let most = usize::from(limit.count.max(1));
        // The oldest that must go before there is room.
        if let Some(at) = told.len().checked_sub(most).and_then(|place| told.get(place)) {
            return Err(at.after(limit.within));
        }
        told.push(now);
        Ok(())
    }

    /// Forgets the rules that have no limit any more.
    pub(super) fn keep(&mut self, limited: impl Fn(&str) -> bool) {
        self.0.retain(|(_, rule), _| limited(rule));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Millis;

    #[test]
    fn so_many_within_so_long_and_each_venue_by_itself() {
        let limit = Repeat {
            count: 2,
            within: Millis(100),
        };
        let mut limits = Limits::default();
        let mut take = |venue, at| limits.take(venue, "r", limit, Ticks(at));
        assert_eq!(take("a", 0), Ok(()));
        assert_eq!(take("a", 60), Ok(()));
        assert_eq!(take("a", 99), Err(Ticks(100)));
        assert_eq!(take("b", 99), Ok(()));
        assert_eq!(take("a", 100), Ok(()));
        assert_eq!(take("a", 101), Err(Ticks(160)));
        let fewer = Repeat { count: 1, ..limit };
        assert_eq!(limits.take("a", "r", fewer, Ticks(101)), Err(Ticks(200)));
        limits.keep(|rule| rule != "r");
        assert_eq!(limits.take("a", "r", fewer, Ticks(101)), Ok(()));
    }
}
