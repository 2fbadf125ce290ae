//! The engine as the committed journal has it: the checkpoint, then the rows after it, under the rules of their time.
//! The start and every checkpoint that is made take this way.

use std::sync::Arc;

use crate::domain::definitions::{DefinitionSource, Definitions, DefinitionsHash};
use crate::domain::engine::{Engine, SnapshotError};
use crate::domain::journal::{self, JournalError};
use crate::domain::time::Moment;
use crate::store::{History, StoreError};

/// Why the engine could not be restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// Checkpoint or journal cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The checkpoint cannot be used.
    #[error("cannot restore the engine: {0}")]
    Snapshot(#[from] SnapshotError),
    /// The journal cannot be used.
    #[error("cannot replay the journal: {0}")]
    Journal(#[from] JournalError),
    /// It was no longer wanted.
    #[error("stopped before the journal was replayed")]
    Stopped,
}

impl RestoreError {
    /// Whether no further start could restore it either, and another version no better.
    pub const fn is_lasting(&self) -> bool {
        match self {
            RestoreError::Snapshot(SnapshotError::Damaged(_) | SnapshotError::Definitions(_))
            | RestoreError::Journal(
                JournalError::Decode { .. } | JournalError::Gap { .. } | JournalError::Definitions(_),
            ) => true,
            RestoreError::Snapshot(SnapshotError::Form(_))
            | RestoreError::Journal(JournalError::Encode(_))
            | RestoreError::Store(_)
            | RestoreError::Stopped => false,
        }
    }
}

/// An engine restored.
#[derive(Debug)]
pub struct Restored {
    /// It.
    pub engine: Engine,
    /// The generation of the checkpoint it was restored from; 0 without one.
    pub generation: u64,
    /// The moment of its last input; `None` when there has been none.
    pub last: Option<Moment>,
    /// How many journal rows were replayed.
    pub rows: u64,
}

/// Restores the engine of `gateway` up to the newest row that is committed now. `known`: definitions that need not be
/// compiled again. `wanted` is asked before each slice of rows.
///
/// # Errors
/// When checkpoint, journal or definitions are missing or damaged: the state would be a guess.
pub fn restore(
    gateway: &str,
    history: &History,
    known: impl Fn(&DefinitionsHash) -> Option<Arc<Definitions>>,
    wanted: impl Fn() -> bool,
) -> Result<Restored, RestoreError> {
    let find = |hash: &DefinitionsHash| known(hash).map_or_else(|| stored(history, hash), Ok);
    let mut restored = match history.checkpoint()? {
        None => Restored {
            engine: Engine::new(gateway),
            generation: 0,
            last: None,
            rows: 0,
        },
        Some(checkpoint) => Restored {
            engine: Engine::restore(gateway, &checkpoint.state, find)?,
            generation: checkpoint.generation,
            last: Some(checkpoint.at),
            rows: 0,
        },
    };
    // Under load rows are added all the while: those that are there now are enough.
    let Some((_, newest)) = history.span()? else {
        return Ok(restored);
    };
    loop {
        if !wanted() {
            return Err(RestoreError::Stopped);
        }
        let rows = history.following(restored.engine.next_input(), newest)?;
        let Some(last) = rows.last() else {
            return Ok(restored);
        };
        restored.last = Some(last.at);
        for row in rows {
            journal::replay(&mut restored.engine, row.first_input, &row.entries, find)?;
            restored.rows += 1;
        }
    }
}

fn stored(history: &History, hash: &DefinitionsHash) -> Result<Arc<Definitions>, String> {
    let source = history.definitions(hash).map_err(|error| error.to_string())?;
    let source = source.ok_or("they are not in the store")?;
    let source = DefinitionSource::from_stored(&source).map_err(|error| error.to_string())?;
    Definitions::compile(source)
        .map(Arc::new)
        .map_err(|errors| format!("they do not compile: {errors:?}"))
}
