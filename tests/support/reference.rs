//! The gateway that never stopped: the journal from its first input, played into one engine in one go. Whatever
//! happened, a real gateway's state must be the same, byte for byte.

use std::path::Path;
use std::sync::Arc;

use ninewatch::domain::definitions::{DefinitionSource, Definitions, DefinitionsHash};
use ninewatch::domain::engine::Engine;
use ninewatch::domain::journal::replay;
use ninewatch::store::{Hash, History, JournalRow};
use sha2::{Digest, Sha256};

use super::gateway::ID;

/// The stopped gateway's last checkpoint is the state of one that never stopped. Panics when not.
pub(crate) fn assert_like_never_stopped(data: &Path) {
    let history = History::open(data).expect("the store can be read");
    let checkpoint = history.checkpoint().expect("the checkpoint can be read");
    let checkpoint = checkpoint.expect("a stopped gateway leaves a checkpoint");
    assert_eq!(
        hash(&checkpoint.state),
        hash(&played(&history, Engine::new(ID), 0)),
        "the state at the stop is that of a gateway which never stopped"
    );
}

/// What the next start of a killed gateway restores, checkpoint and journal, is the state of one that never stopped.
/// Panics when not.
pub(crate) fn assert_restores_like_never_stopped(data: &Path) {
    let history = History::open(data).expect("the store can be read");
    let checkpoint = history.checkpoint().expect("the checkpoint can be read");
    let restored = match checkpoint {
        None => Engine::new(ID),
        Some(checkpoint) => Engine::restore(ID, &checkpoint.state, |hash| definitions(&history, hash))
            .expect("the checkpoint can be restored"),
    };
    let from = restored.next_input();
    assert_eq!(
        hash(&played(&history, restored, from)),
        hash(&played(&history, Engine::new(ID), 0)),
        "the restored state is that of a gateway which never stopped"
    );
}

/// The journal rows from input `from` on.
pub(crate) fn rows(history: &History, mut from: u64) -> Vec<JournalRow> {
    let mut all = Vec::new();
    loop {
        let slice = history
            .rows(from, u64::MAX >> 1)
            .expect("the journal can be read");
        let Some(last) = slice.last() else { return all };
        from = last.first_input + 1;
        all.extend(slice);
    }
}

/// The state of `engine` after every row from `from` on.
fn played(history: &History, mut engine: Engine, from: u64) -> Vec<u8> {
    for row in rows(history, from) {
        replay(&mut engine, row.first_input, &row.entries, |hash| {
            definitions(history, hash)
        })
        .expect("the journal can be played from its first input");
    }
    engine.snapshot().expect("a state can be written")
}

fn definitions(history: &History, hash: &DefinitionsHash) -> Result<Arc<Definitions>, String> {
    let source = history.definitions(hash).map_err(|error| error.to_string())?;
    let source = source.ok_or("they are not in the store")?;
    let source = DefinitionSource::from_stored(&source).map_err(|error| error.to_string())?;
    Definitions::compile(source)
        .map(Arc::new)
        .map_err(|errors| format!("{errors:?}"))
}

fn hash(state: &[u8]) -> Hash {
    Hash(Sha256::digest(state).into())
}
