//! Copies what the devices say for those who show it, in parts between two runs of messages.

use std::time::Duration;

use tokio::time::Instant;

use super::Gateway;
use crate::clock;
use crate::domain::engine::Survey;

/// Devices copied at once: some hundred microseconds.
const PART: usize = 2_048;

/// Between two parts messages have their turn.
const PAUSE: Duration = Duration::from_millis(1);

/// A survey under way.
#[derive(Debug)]
pub(super) struct Surveying {
    survey: Survey,
    /// When its next part is copied.
    pub(super) next: Instant,
}

impl Surveying {
    /// One that begins now.
    pub(super) fn begin() -> Surveying {
        Surveying {
            survey: Survey::default(),
            next: Instant::from_std(clock::monotonic()),
        }
    }
}

impl Gateway {
    /// Copies the next part, and gives the survey to who asked when it is whole; else what is under way.
    pub(super) fn survey(&self, mut under_way: Surveying) -> Option<Surveying> {
        if self.engine.survey(&mut under_way.survey, PART) {
            self.metrics.surveys.give(under_way.survey);
            return None;
        }
        under_way.next = Instant::from_std(clock::monotonic()) + PAUSE;
        Some(under_way)
    }
}
