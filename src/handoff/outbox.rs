//! What is asked of the outbox: that attempts are recorded, people told through other targets, notices held back, released and
//! sent once more. Data only.

use tokio::sync::oneshot;

use crate::domain::directions::Recipient;
use crate::domain::id::Id;
use crate::domain::time::Timestamp;

/// What the writer is to do with notices that are owed.
#[derive(Debug)]
pub enum OutboxWork {
    /// Record an attempt to deliver.
    Delivery(DeliveryReport),
    /// Of these people are told through other targets, without an attempt.
    Move {
        /// Where they were owed.
        target: String,
        /// Since when they are not.
        at: Timestamp,
        /// Which, and through what.
        moved: Vec<Moved>,
    },
    /// Their target has refused them so often that they are held back until then.
    PutAway {
        /// The outbox rows.
        notices: Vec<i64>,
        /// The wall clock's time.
        until: Timestamp,
    },
    /// Owe this target what was held for it and is due now.
    Release {
        /// Its name.
        target: String,
        /// The most of those that it has refused: there is room for no more.
        refused: usize,
    },
    /// Owe the notice of this outbox row to its target once more.
    Resend {
        /// The row.
        notice: i64,
        /// Told once it is owed.
        done: oneshot::Sender<()>,
    },
}

impl OutboxWork {
    /// Who is told once it is durable.
    pub fn into_done(self) -> Option<oneshot::Sender<()>> {
        match self {
            OutboxWork::Resend { done, .. } => Some(done),
            OutboxWork::Delivery(_)
            | OutboxWork::Move { .. }
            | OutboxWork::PutAway { .. }
            | OutboxWork::Release { .. } => None,
        }
    }
}

/// How an attempt to deliver a message ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryOutcome {
    /// The target has it.
    Delivered,
    /// It failed; the next attempt is due then.
    Retry {
        /// What went wrong, without secrets.
        error: String,
        /// When to try again.
        due_at: Timestamp,
        /// Until then the target wants nothing at all.
        silent: bool,
        /// It does not want these notices.
        refused: bool,
    },
}

/// One delivery: an attempt to send a message with one notice or several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryReport {
    /// The message: a notice's id, or that of a digest.
    pub message: Id,
    /// Where it was sent.
    pub target: String,
    /// The outbox rows of the notices in it.
    pub notices: Vec<i64>,
    /// When the attempt ended.
    pub at: Timestamp,
    /// How.
    pub outcome: DeliveryOutcome,
    /// Of these notices people are to be told through other targets.
    pub moved: Vec<Moved>,
}

/// A target failed lastingly: people are told through the next of their channels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// The outbox row.
    pub notice: i64,
    /// Through which targets, and whom.
    pub to: Vec<(String, Vec<Recipient>)>,
    /// Those that no other channel reaches; `None`: nobody is left, and the target is owed this notice no more.
    pub left: Option<Vec<Recipient>>,
}
