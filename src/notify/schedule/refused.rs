//! What a target has refused: how often, and what is put away for it. Each such notice stands apart, so that nothing waits for
//! it: neither what follows in its alarm, nor a place for what is new. Pure.

use std::collections::{HashMap, VecDeque};

use crate::domain::id::Id;
use crate::domain::time::{Millis, Ticks};

/// After so many refusals, about a quarter of an hour, a notice is put away.
pub(super) const REFUSALS: u32 = 12;

/// So often an urgent one that was refused does not go after everything else yet.
const PATIENCE: u32 = 4;

/// While so many at the most are refused: of many, each alone, ordinary ones would wait too long for their turn.
const FEW: usize = 8;

/// With so many refused ones in memory, the next is put away at once.
pub(super) const MOST: usize = 512;

/// Of so many that are put away the rows are known, to be read again; further ones wait in the store for the next start.
const KNOWN: usize = 65_536;

/// How often of what is put away so much is tried once more as there is room for.
pub(super) const AGAIN: Millis = Millis(600_000);

/// The refused notices of one target.
#[derive(Debug, Default)]
pub struct Refused {
    /// How often the rows in memory were refused.
    times: HashMap<i64, u32>,
    /// The rows that are put away, those that have waited longest first.
    away: VecDeque<i64>,
    /// How many are put away beyond those.
    unknown: usize,
    /// When some of them are read again.
    again_at: Option<Ticks>,
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

    /// The target has refused this row. Whether it is put away: not in memory any more.
    pub(super) fn note(&mut self, row: i64, now: Ticks) -> bool {
        let full = self.times.len() >= MOST && !self.has(row);
        let times = self.times.entry(row).or_default();
        *times += 1;
        let put_away = full || *times >= REFUSALS;
        if put_away {
            self.times.remove(&row);
            self.put_away(row, now);
        }
        put_away
    }

    fn put_away(&mut self, row: i64, now: Ticks) {
        if self.away.len() < KNOWN {
            self.away.push_back(row);
            self.again_at.get_or_insert(now.after(AGAIN));
        } else {
            self.unknown += 1;
        }
    }

    /// This row is out of memory. Whether it was refused.
    pub(super) fn forget(&mut self, row: i64) -> bool {
        self.times.remove(&row).is_some()
    }

    /// What was put away and is to be read and tried once more.
    pub fn take_again(&mut self, now: Ticks) -> Vec<i64> {
        if self.again_at.is_none_or(|at| at > now) {
            return Vec::new();
        }
        let room = MOST.saturating_sub(self.times.len());
        let rows: Vec<i64> = self.away.drain(..room.min(self.away.len())).collect();
        self.again_at = (!self.away.is_empty()).then(|| now.after(AGAIN));
        rows
    }

    /// These could not be read.
    pub fn give_back(&mut self, rows: Vec<i64>, now: Ticks) {
        for row in rows {
            self.put_away(row, now);
        }
    }

    /// When [`Refused::take_again`] has something.
    pub const fn again_at(&self) -> Option<Ticks> {
        self.again_at
    }

    /// This row was refused before and has been read again: refused once more, it is put away. `false`: it is put away at once,
    /// for want of room.
    pub(super) fn restore(&mut self, row: i64, now: Ticks) -> bool {
        let room = self.times.len() < MOST;
        if room {
            self.times.insert(row, REFUSALS - 1);
        } else {
            self.put_away(row, now);
        }
        room
    }

    /// How many there are, those put away included.
    pub fn count(&self) -> usize {
        self.times.len() + self.away.len() + self.unknown
    }
}
