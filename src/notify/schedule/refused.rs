//! What a target has refused: how often, and what is put away for it. Each such notice stands apart, so that nothing waits for
//! it: neither what follows in its alarm, nor a place for what is new. Pure.

use std::collections::HashMap;

use crate::domain::id::Id;
use crate::domain::time::Millis;

/// After so many refusals, about a quarter of an hour, a notice is put away: held back in the store.
pub(super) const REFUSALS: u32 = 12;

/// So often an urgent one that was refused does not go after everything else yet.
const PATIENCE: u32 = 4;

/// While so many at the most are refused: of many, each alone, ordinary ones would wait too long for their turn.
const FEW: usize = 8;

/// With so many refused ones in memory, the next is put away at once.
pub(super) const MOST: usize = 512;

/// For so long what is put away is not tried.
pub const AGAIN: Millis = Millis(600_000);

/// The refused notices of one target.
#[derive(Debug, Default)]
pub struct Refused {
    /// How often the rows in memory were refused.
    times: HashMap<i64, u32>,
    /// Those that the store is yet to hold back.
    leaving: Vec<i64>,
    /// How many there are that are not in memory.
    away: u64,
}

impl Refused {
    /// Whether this row is one of those in memory.
    pub(super) fn has(&self, row: i64) -> bool {
        self.times.contains_key(&row)
    }

    /// Whether the head of a line goes after everything that was not refused. One or a few that are urgent stand among what is
    /// ordinary for their next attempts: a refusal may have been a whim.
    pub(super) fn is_last(&self, row: i64, urgent: bool) -> bool {
        let few = urgent && self.times.len() <= FEW;
        self.times
            .get(&row)
            .is_some_and(|times| !few || *times >= PATIENCE)
    }

    /// The line of its own in which a refused row stands. No alarm has such an id: its upper bits are a time.
    pub(super) fn line_of(row: i64) -> Id {
        Id::from_bits(row.unsigned_abs().into())
    }

    /// There are so many, none of them in memory.
    pub const fn remember(&mut self, away: u64) {
        self.away = away;
    }

    /// The target has refused this row. Whether it is put away: not in memory any more.
    pub(super) fn note(&mut self, row: i64) -> bool {
        let full = self.room() == 0 && !self.has(row);
        let times = self.times.entry(row).or_default();
        *times += 1;
        let put_away = full || *times >= REFUSALS;
        if put_away {
            self.times.remove(&row);
            self.leaving.push(row);
            self.away += 1;
        }
        put_away
    }

    /// What is to be held back in the store for [`AGAIN`] since this was last asked.
    pub fn take_leaving(&mut self) -> Vec<i64> {
        std::mem::take(&mut self.leaving)
    }

    /// This row is out of memory. Whether it was refused.
    pub(super) fn forget(&mut self, row: i64) -> bool {
        self.times.remove(&row).is_some()
    }

    /// This row was refused before and has been read again: refused once more, it is put away. `false`: it is put away at once,
    /// for want of room.
    pub(super) fn restore(&mut self, row: i64) -> bool {
        let room = self.room() > 0;
        if room {
            self.away = self.away.saturating_sub(1);
            self.times.insert(row, REFUSALS - 1);
        } else {
            self.leaving.push(row);
        }
        room
    }

    /// How many more may be in memory.
    pub fn room(&self) -> usize {
        MOST.saturating_sub(self.times.len())
    }

    /// How many there are, those put away included.
    pub fn count(&self) -> u64 {
        self.away.saturating_add(self.times.len() as u64)
    }
}
