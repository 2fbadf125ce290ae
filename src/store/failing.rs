//! What keeps the writer from committing: when somebody is told of it, and when that is over.

use std::time::{Duration, Instant};

use crate::clock;
use crate::handoff::StoreTrouble;

/// How long commits fail for no plain reason before it is told.
const TELL_AFTER: Duration = Duration::from_secs(3);

/// How long commits must have succeeded before whoever was told of their failure is told that it is over: a disk at its
/// edge fails and succeeds in turn.
const WELL: Duration = Duration::from_secs(10);

/// Commits that fail, or have failed so lately that it may go on.
#[derive(Debug)]
pub(super) struct Failing {
    since: Instant,
    trouble: StoreTrouble,
    /// Whether somebody is told. Once told it stays told until commits have succeeded for a while.
    told: bool,
    /// Since when commits succeed again.
    well_since: Option<Instant>,
}

impl Failing {
    pub(super) fn begun(trouble: StoreTrouble) -> Failing {
        Failing {
            since: clock::monotonic(),
            trouble,
            told: false,
            well_since: None,
        }
    }

    /// One more failure. A lock that is held for a moment is nobody's matter; nor does it hide a worse trouble.
    pub(super) fn note(&mut self, trouble: StoreTrouble) {
        self.well_since = None;
        match trouble {
            StoreTrouble::Full | StoreTrouble::Disk | StoreTrouble::Stuck => {
                self.trouble = trouble;
                self.told = true;
            }
            StoreTrouble::Other => self.told |= self.since.elapsed() >= TELL_AFTER,
        }
    }

    /// What to tell; `None`: nothing yet.
    pub(super) fn told(&self) -> Option<StoreTrouble> {
        self.told.then_some(self.trouble)
    }

    /// Whether it is over, now that a commit has succeeded.
    pub(super) fn ends(&mut self) -> bool {
        let well_since = *self.well_since.get_or_insert_with(clock::monotonic);
        !self.told || well_since.elapsed() >= WELL
    }
}

#[cfg(test)]
mod tests {
    use super::{Failing, StoreTrouble};

    #[test]
    fn a_trouble_that_was_told_is_not_taken_back_by_a_lesser_one_or_by_one_success() {
        let mut failing = Failing::begun(StoreTrouble::Disk);
        failing.note(StoreTrouble::Disk);
        assert_eq!(failing.told(), Some(StoreTrouble::Disk));
        failing.note(StoreTrouble::Other);
        assert_eq!(
            failing.told(),
            Some(StoreTrouble::Disk),
            "a lock hides no broken disk"
        );
        assert!(!failing.ends(), "one success may be followed by the next failure");
        assert_eq!(failing.told(), Some(StoreTrouble::Disk));
    }

    #[test]
    fn a_lock_that_is_held_for_a_moment_is_told_to_nobody() {
        let mut failing = Failing::begun(StoreTrouble::Other);
        failing.note(StoreTrouble::Other);
        assert_eq!(failing.told(), None);
        assert!(failing.ends(), "nobody has to be told that it is over");
    }
}
