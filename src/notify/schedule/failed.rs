//! What follows a failed attempt: how long it waits, and who is told through other targets. Pure.

use crate::domain::directions::Recipient;
use crate::domain::time::Millis;
use crate::handoff::outbox::Moved;
use crate::store::PendingNotice;

/// What follows a failed attempt.
#[derive(Debug, PartialEq, Eq)]
pub struct Failed {
    /// How long what is left of it waits.
    pub wait: Millis,
    /// Of these notices people are told through other targets.
    pub moved: Vec<Moved>,
    /// Whether its notices count as refused.
    pub refused: bool,
    /// How many were refused so often that they are tried again only now and then.
    pub put_away: usize,
}

/// Lets whoever of `notice` has another channel be told through that. Whether nobody is left.
pub(in crate::notify) fn move_on(notice: &mut PendingNotice, moved: &mut Vec<Moved>) -> bool {
    let (to, left) = Recipient::onward(std::mem::take(&mut notice.people));
    notice.people = left;
    if to.is_empty() {
        return false;
    }
    let ends = notice.people.is_empty();
    moved.push(Moved {
        notice: notice.row,
        to,
        left: (!ends).then(|| notice.people.clone()),
    });
    ends
}
