//! The hash chain over the events: how it grows, and how it is checked. It shows a change to any stored event
//! and a missing one in the middle; it cannot show that the newest events, or the oldest, were cut off together.

use std::fmt::{self, Write as _};
use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Row, params};
use sha2::{Digest, Sha256};

use super::{StoreError, schema};

/// A SHA-256, shown in hex.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Hash(pub [u8; 32]);

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

/// What a walk along the chain found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verified {
    /// Every event is as it was stored.
    Intact {
        /// How many there are.
        events: i64,
        /// How many before them were deleted because they had been kept long enough.
        deleted: i64,
        /// The hash of the last; 32 zero bytes when there is none.
        last: Hash,
    },
    /// The chain breaks at this event.
    Broken {
        /// The place of the first event that is not as it was stored.
        seq: i64,
        /// What is wrong there.
        fault: Fault,
    },
}

/// What is wrong with a link of the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// There is no event at this place, but a later one.
    Missing {
        /// The place of the next event.
        next: i64,
    },
    /// The stored hash is not that of the event and its predecessors.
    Hash {
        /// What the content gives.
        expected: Hash,
        /// What is stored, in hex.
        found: String,
    },
}

/// The newest link of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// The place of the last event; 0 when there is none.
    pub(super) seq: i64,
    /// Its hash.
    pub(super) hash: Hash,
}

impl Head {
    /// Before the first event.
    pub(super) const START: Head = Head {
        seq: 0,
        hash: Hash([0; 32]),
    };

    /// The newest stored link; when every event is gone, that of the last.
    pub(super) fn load(connection: &Connection) -> rusqlite::Result<Head> {
        let newest = connection
            .query_row(
                "SELECT seq, hash FROM event ORDER BY seq DESC LIMIT 1",
                [],
                Head::from_row,
            )
            .optional()?;
        newest.map_or_else(|| Head::start(connection), Ok)
    }

    /// The link before the first event that is kept.
    fn start(connection: &Connection) -> rusqlite::Result<Head> {
        let start = connection
            .query_row("SELECT seq, hash FROM chain_start", [], Head::from_row)
            .optional()?;
        Ok(start.unwrap_or(Head::START))
    }

    /// From the columns `seq, hash`.
    pub(super) fn from_row(row: &Row<'_>) -> rusqlite::Result<Head> {
        Ok(Head {
            seq: row.get(0)?,
            hash: Hash(row.get(1)?),
        })
    }

    /// The link that an event with `body` makes after this one.
    pub(super) fn next(self, body: &[u8]) -> Head {
        let seq = self.seq.saturating_add(1);
        let hash = Sha256::new()
            .chain_update(self.hash.0)
            .chain_update(seq.to_be_bytes())
            .chain_update(body)
            .finalize();
        Head {
            seq,
            hash: Hash(hash.into()),
        }
    }
}

/// Lets the chain begin after `last`, whose events are deleted in the same transaction.
pub(super) fn start_after(connection: &Connection, last: Head) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO chain_start (id, seq, hash) VALUES (1, ?1, ?2)")?
        .execute(params![last.seq, last.hash.0])?;
    Ok(())
}

/// How many events one read transaction covers: a longer one would keep the write-ahead log of a running
/// gateway from being reused.
const SLICE: i64 = 1_000;

/// Walks the whole chain in `data_dir`, also while a gateway runs on it. Changes nothing.
pub fn verify(data_dir: &Path) -> Result<Verified, StoreError> {
    let database = schema::database(data_dir);
    if !database.exists() {
        return Err(StoreError::NoDatabase(database));
    }
    let connection = schema::open_to_read(&database)?;
    walk_all(&connection).map_err(schema::failed(&database, "read the events"))
}

/// Walks the whole chain.
pub(super) fn walk_all(connection: &Connection) -> rusqlite::Result<Verified> {
    let start = Head::start(connection)?;
    let mut head = start;
    loop {
        match walk(connection, head)? {
            Walk::Broken { seq, fault } => return Ok(Verified::Broken { seq, fault }),
            Walk::To(reached) if reached == head => {
                return Ok(Verified::Intact {
                    events: head.seq.saturating_sub(start.seq),
                    deleted: start.seq,
                    last: head.hash,
                });
            }
            Walk::To(reached) => head = reached,
        }
    }
}

/// How far a slice got.
enum Walk {
    To(Head),
    Broken { seq: i64, fault: Fault },
}

fn walk(connection: &Connection, mut head: Head) -> rusqlite::Result<Walk> {
    let slice = connection.unchecked_transaction()?;
    // A running gateway may have deleted more than was walked, but then it has moved the start too.
    let start = Head::start(&slice)?;
    if start.seq > head.seq {
        head = start;
    }
    let mut events =
        slice.prepare_cached("SELECT seq, body, hash FROM event WHERE seq > ?1 ORDER BY seq LIMIT ?2")?;
    let mut rows = events.query([head.seq, SLICE])?;
    while let Some(row) = rows.next()? {
        let seq: i64 = row.get(0)?;
        // As bytes: what was tampered with need not be UTF-8 any more.
        let body = row.get_ref(1)?.as_bytes()?;
        let found = row.get_ref(2)?.as_bytes()?;
        let expected = head.next(body);
        if seq != expected.seq {
            let fault = Fault::Missing { next: seq };
            return Ok(Walk::Broken {
                seq: expected.seq,
                fault,
            });
        }
        if found != expected.hash.0 {
            let fault = Fault::Hash {
                expected: expected.hash,
                found: hex(found),
            };
            return Ok(Walk::Broken { seq, fault });
        }
        head = expected;
    }
    Ok(Walk::To(head))
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
