//! Receipts that wait until what their messages caused is in PostgreSQL too (`durability = "replicated"`), and the
//! writer's word to whoever follows the store. Without a follower nothing waits.

use std::collections::VecDeque;

use tokio::sync::watch;

use super::{Changes, Followed};
use crate::handoff::Receipt;

/// The writer's ends towards the follower that copies the store.
#[derive(Debug)]
pub struct FollowerLine {
    /// Told how far the store is after each commit that added something to copy.
    pub committed: watch::Sender<Followed>,
    /// How far the follower is.
    pub followed: watch::Receiver<Followed>,
    /// Whether receipts wait for it.
    pub holds_receipts: bool,
}

/// The follower's ends of a [`FollowerLine`].
#[derive(Debug, Clone)]
pub struct FollowerEnds {
    /// How far the store is.
    pub committed: watch::Receiver<Followed>,
    /// To be told how far the follower is.
    pub followed: watch::Sender<Followed>,
}

impl FollowerLine {
    /// Both sides of a line.
    pub fn new(holds_receipts: bool) -> (FollowerLine, FollowerEnds) {
        let (committed, of_store) = watch::channel(Followed::default());
        let (of_follower, followed) = watch::channel(Followed::default());
        let line = FollowerLine {
            committed,
            followed,
            holds_receipts,
        };
        let ends = FollowerEnds {
            committed: of_store,
            followed: of_follower,
        };
        (line, ends)
    }
}

/// What waits for the follower, in receive order.
#[derive(Debug)]
pub struct Hold {
    line: Option<FollowerLine>,
    committed: Followed,
    held: VecDeque<(Followed, Vec<Receipt>)>,
}

impl Hold {
    /// Nothing waits. `committed`: how far the store is.
    pub(super) fn new(line: Option<FollowerLine>, committed: Followed) -> Hold {
        if let Some(line) = &line {
            line.committed.send_replace(committed);
        }
        Hold {
            line,
            committed,
            held: VecDeque::new(),
        }
    }

    /// A commit has brought the store further.
    pub fn committed(&mut self, changes: &Changes) {
        self.reached(changes.head.seq, changes.history);
    }

    /// The store has come to `event` and, when there were samples, to the row `history`.
    fn reached(&mut self, event: i64, history: Option<i64>) {
        let reached = Followed {
            event,
            history: history.unwrap_or(self.committed.history),
        };
        if reached != self.committed {
            self.committed = reached;
            if let Some(line) = &self.line {
                line.committed.send_replace(reached);
            }
        }
    }

    /// The receipts that may leave now, of `new` and of those that waited. The new ones wait for everything that is
    /// committed, not only for what their own messages added: a message that comes again after a crash adds nothing, and
    /// what it added the first time may not have been copied. The broker's window bounds how many there are.
    pub fn release(&mut self, new: Vec<Receipt>) -> Vec<Receipt> {
        let Some(line) = self.line.as_ref().filter(|line| line.holds_receipts) else {
            return new;
        };
        if let Some(connection) = new.last().map(|receipt| receipt.connection) {
            // Those of an earlier connection are void, and their messages come again.
            for (_, receipts) in &mut self.held {
                receipts.retain(|receipt| receipt.connection >= connection);
            }
            self.held.retain(|(_, receipts)| !receipts.is_empty());
            self.held.push_back((self.committed, new));
        }
        let followed = *line.followed.borrow();
        let mut due = Vec::new();
        while let Some((_, receipts)) = self.held.pop_front_if(|(needed, _)| followed.covers(*needed)) {
            due.extend(receipts);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::{FollowerEnds, FollowerLine, Hold};
    use crate::handoff::Receipt;
    use crate::store::Followed;

    fn at(event: i64, history: i64) -> Followed {
        Followed { event, history }
    }

    fn receipts(connection: u32, ids: &[u16]) -> Vec<Receipt> {
        let receipt = |&packet_id| Receipt {
            connection,
            packet_id,
        };
        ids.iter().map(receipt).collect()
    }

    fn hold(holds_receipts: bool) -> (Hold, FollowerEnds) {
        let (line, ends) = FollowerLine::new(holds_receipts);
        (Hold::new(Some(line), at(0, 0)), ends)
    }

    #[test]
    fn receipts_leave_in_order_once_all_before_them_is_copied() {
        let (mut hold, ends) = hold(true);
        assert_eq!(
            hold.release(receipts(1, &[1])),
            receipts(1, &[1]),
            "nothing to copy"
        );
        hold.reached(1, None);
        assert!(hold.release(receipts(1, &[2])).is_empty());
        hold.reached(1, Some(1));
        assert!(hold.release(receipts(1, &[3])).is_empty());
        assert!(
            hold.release(receipts(1, &[4])).is_empty(),
            "one that added nothing waits its turn"
        );
        assert_eq!(*ends.committed.borrow(), at(1, 1));
        ends.followed.send_replace(at(1, 0));
        assert_eq!(hold.release(Vec::new()), receipts(1, &[2]));
        ends.followed.send_replace(at(1, 1));
        assert_eq!(hold.release(receipts(1, &[5])), receipts(1, &[3, 4, 5]));
    }

    #[test]
    fn receipts_of_an_earlier_connection_are_void() {
        let (mut hold, ends) = hold(true);
        hold.reached(1, None);
        assert!(hold.release(receipts(1, &[1, 2])).is_empty());
        assert!(hold.release(receipts(2, &[1])).is_empty());
        ends.followed.send_replace(at(1, 0));
        assert_eq!(hold.release(Vec::new()), receipts(2, &[1]));
    }

    #[test]
    fn nothing_waits_when_it_need_not() {
        let (mut local, _ends) = hold(false);
        local.reached(5, Some(5));
        assert_eq!(local.release(receipts(1, &[1])), receipts(1, &[1]));
        let mut alone = Hold::new(None, at(0, 0));
        alone.reached(5, Some(5));
        assert_eq!(alone.release(receipts(1, &[1])), receipts(1, &[1]));
    }
}
