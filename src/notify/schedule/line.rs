//! The notices of one alarm in their line, and the turn of its head among the others. Pure.

use std::collections::VecDeque;

use crate::domain::id::Id;
use crate::domain::time::Ticks;
use crate::store::PendingNotice;

/// The notices of one alarm, in order of row.
#[derive(Debug, Default)]
pub(super) struct Line {
    pub(super) waiting: VecDeque<Held>,
    /// The first of them are on their way, and so not in `waiting`.
    pub(super) sending: bool,
}

#[derive(Debug)]
pub(super) struct Held {
    pub(super) notice: PendingNotice,
    pub(super) due: Ticks,
    /// When it may be tried at the earliest once its target is known to be back.
    pub(super) if_back: Option<Ticks>,
}

/// The head of a line and when it is due; among equals the older row goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Turn {
    pub(super) due: Ticks,
    pub(super) row: i64,
    pub(super) alarm: Id,
}

impl Line {
    pub(super) fn is_urgent(&self) -> bool {
        self.waiting.iter().any(|held| held.notice.urgent)
    }
}
