//! What is due when, in order; of two things due at once the one that was noted first. Pure.

use std::collections::BTreeMap;

/// Things due, by their time in nanoseconds since the start.
#[derive(Debug)]
pub struct Agenda<T> {
    due: BTreeMap<(u64, u64), T>,
    noted: u64,
}

impl<T> Default for Agenda<T> {
    fn default() -> Agenda<T> {
        Agenda::new()
    }
}

impl<T> Agenda<T> {
    /// Nothing is due.
    pub const fn new() -> Agenda<T> {
        Agenda {
            due: BTreeMap::new(),
            noted: 0,
        }
    }

    /// Notes that `what` is due at `at`.
    pub fn note(&mut self, at: u64, what: T) {
        self.due.insert((at, self.noted), what);
        self.noted += 1;
    }

    /// The next thing that is due before `end`, and when it is.
    pub fn next(&mut self, end: u64) -> Option<(u64, T)> {
        let first = self.due.first_entry().filter(|entry| entry.key().0 < end)?;
        let ((at, _), what) = first.remove_entry();
        Some((at, what))
    }
}

#[cfg(test)]
mod tests {
    use super::Agenda;

    #[test]
    fn what_is_due_comes_in_order_and_nothing_early() {
        let mut agenda = Agenda::new();
        for (at, what) in [(30, "c"), (10, "a"), (30, "d"), (20, "b"), (31, "e")] {
            agenda.note(at, what);
        }
        let mut seen = Vec::new();
        while let Some((_, what)) = agenda.next(31) {
            seen.push(what);
        }
        assert_eq!(seen, ["a", "b", "c", "d"]);
        assert_eq!(agenda.next(32), Some((31, "e")));
        assert_eq!(agenda.next(u64::MAX), None);
    }
}
