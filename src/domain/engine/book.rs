//! The book of ended alarms of class `alarm` whose matter is not closed. Bounded: the oldest leaves it when a new one
//! finds it full, and that is said.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::super::alarm::AlarmView;
use super::super::id::Id;

/// The most alarms that wait to be closed.
const MOST: usize = 10_000;

/// Ended alarms as they are, by id, which is by age.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Book(BTreeMap<Id, AlarmView>);

impl Book {
    /// Enters an alarm; the one that had to leave for it.
    pub(super) fn enter(&mut self, alarm: AlarmView) -> Option<AlarmView> {
        self.0.insert(alarm.id, alarm);
        if self.0.len() <= MOST {
            return None;
        }
        self.0.pop_first().map(|(_, oldest)| oldest)
    }

    /// The alarm with this id.
    pub(super) fn find(&mut self, alarm: Id) -> Option<&mut AlarmView> {
        self.0.get_mut(&alarm)
    }

    /// Its matter is closed.
    pub(super) fn remove(&mut self, alarm: Id) {
        self.0.remove(&alarm);
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
