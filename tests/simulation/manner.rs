//! How a seed's gateway is set up: thrown once at its beginning.

use std::time::Duration;

use ninewatch::config::StoreSettings;

use super::dice::Dice;

/// Whether there is a PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Replica {
    Nowhere,
    /// It is copied to.
    Follows,
    /// Receipts wait for it.
    Holds,
}

/// What differs from seed to seed, and stays as it is through all restarts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    pub(crate) replica: Replica,
    /// PostgreSQL refuses some rows.
    pub(crate) strict: bool,
    /// The writer looks after retention, and the history is sorted.
    pub(crate) tidies: bool,
    /// How long the store keeps what.
    pub(crate) keeps: StoreSettings,
}

impl Manner {
    pub(crate) fn new(dice: &mut Dice) -> Manner {
        let replica = dice.pick(&[
            Replica::Nowhere,
            Replica::Nowhere,
            Replica::Follows,
            Replica::Holds,
        ]);
        let mut keep = || Duration::from_secs(dice.pick(&[1, 30, 600, 86_400]));
        let keeps = StoreSettings {
            journal_keep: keep(),
            history_keep: keep(),
            event_keep: keep(),
            ..StoreSettings::default()
        };
        Manner {
            replica,
            strict: dice.chance(30),
            tidies: dice.chance(50),
            keeps: StoreSettings {
                max_size: if dice.chance(15) { 100_000 } else { u64::MAX },
                ..keeps
            },
        }
    }

    /// Whether there is a PostgreSQL.
    pub(crate) fn follows(&self) -> bool {
        self.replica != Replica::Nowhere
    }

    /// Whether receipts wait for it.
    pub(crate) fn holds(&self) -> bool {
        self.replica == Replica::Holds
    }
}
