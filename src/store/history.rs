//! What was recorded, for a restart and for someone who looks back: journal rows in slices, the checkpoint, raised alarms.
//! Reads only, on a connection of its own, also while a gateway runs on the folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, params};

use super::{Checkpoint, JournalRow, StoreError, checkpoint, outbox, recover, schema};
use crate::domain::id::Id;
use crate::domain::time::Timestamp;

/// How many journal rows one read transaction covers: a longer one would keep the write-ahead log of a running
/// gateway from being reused. A row holds one batch, so a slice takes some megabytes at the most.
const ROWS: u32 = 64;

/// How many events one read transaction covers.
const EVENTS: i64 = 10_000;

/// The recorded history of a gateway.
#[derive(Debug)]
pub struct History {
    connection: Connection,
    database: PathBuf,
}

impl History {
    /// Opens the store in `data_dir` to read.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub fn open(data_dir: &Path) -> Result<History, StoreError> {
        let database = schema::database(data_dir);
        if !database.exists() {
            return Err(StoreError::NoDatabase(database));
        }
        History::of(database)
    }

    /// Opens `database` to read.
    pub(super) fn of(database: PathBuf) -> Result<History, StoreError> {
        let connection = schema::open_to_read(&database)?;
        Ok(History { connection, database })
    }

    /// Reads what a restart needs, and forgets it.
    ///
    /// # Errors
    /// When any of it is missing or damaged.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let mut next = self.checkpoint()?.map_or(0, |checkpoint| checkpoint.next_input);
        while let Some(last) = self.following(next, u64::MAX)?.last() {
            next = last.first_input.saturating_add(last.inputs);
        }
        Ok(())
    }

    /// The newest checkpoint; `None` when none was made yet: then the journal is there from the first input.
    pub fn checkpoint(&self) -> Result<Option<Checkpoint>, StoreError> {
        checkpoint::load(&self.connection).map_err(self.failed("read the checkpoint"))
    }

    /// The first inputs of the oldest and the newest journal row; `None` when there is none.
    pub fn span(&self) -> Result<Option<(u64, u64)>, StoreError> {
        let span = self
            .connection
            .query_row(
                "SELECT (SELECT min(first_input) FROM journal), (SELECT max(first_input) FROM journal)",
                [],
                |row| Ok((row.get::<_, Option<i64>>(0)?, row.get::<_, Option<i64>>(1)?)),
            )
            .map_err(self.failed("look into the journal"))?;
        Ok(match span {
            (Some(first), Some(last)) => Some((schema::from_sql(first), schema::from_sql(last))),
            (None, _) | (_, None) => None,
        })
    }

    /// The next journal rows from the input `from` up to and including the row of `last`, oldest first; none: that
    /// was all.
    pub fn rows(&self, from: u64, last: u64) -> Result<Vec<JournalRow>, StoreError> {
        let read = || {
            self.connection
                .prepare_cached(
                    "SELECT first_input, inputs, wall_ms, ticks, entries FROM journal
                     WHERE first_input BETWEEN ?1 AND ?2 ORDER BY first_input LIMIT ?3",
                )?
                .query_map(params![schema::to_sql(from), schema::to_sql(last), ROWS], |row| {
                    Ok(JournalRow {
                        first_input: schema::from_sql(row.get(0)?),
                        inputs: schema::from_sql(row.get(1)?),
                        at: recover::moment(row, 2)?,
                        entries: recover::unsealed(row, 4, recover::JOURNAL_FORM)?,
                    })
                })?
                .collect::<rusqlite::Result<_>>()
        };
        read().map_err(self.failed("read the journal"))
    }

    /// The same, for whoever must have every input from `next` on.
    ///
    /// # Errors
    /// When one is missing: the state after it would be a guess.
    pub fn following(&self, next: u64, last: u64) -> Result<Vec<JournalRow>, StoreError> {
        let rows = self.rows(next, last)?;
        let mut expected = next;
        for row in &rows {
            if row.first_input != expected {
                return Err(StoreError::JournalGap {
                    path: self.database.clone(),
                    expected,
                    found: row.first_input,
                });
            }
            expected = row.first_input.saturating_add(row.inputs);
        }
        Ok(rows)
    }

    /// The source of the definitions with this hash, if it was ever stored.
    pub fn definitions(&self, hash: &[u8; 32]) -> Result<Option<String>, StoreError> {
        recover::definitions(&self.connection, &self.database, hash)
    }

    /// How far the chains of every alarm had come.
    pub fn escalations(&self) -> Result<Vec<(Id, String)>, StoreError> {
        outbox::escalations(&self.connection).map_err(schema::failed(&self.database, "read escalations"))
    }

    /// How often each rule raised an alarm from `from` to `to`, both included.
    pub fn raised(&self, from: Timestamp, to: Timestamp) -> Result<BTreeMap<String, u64>, StoreError> {
        let failed = self.failed("read the events");
        let mut counts = BTreeMap::new();
        let mut after = 0;
        while let Some(last) = self
            .count_raised((from, to), after, &mut counts)
            .map_err(&failed)?
        {
            after = last;
        }
        Ok(counts)
    }

    /// Counts the raised alarms among the next events after `after`; the last of them, if there was any. One that is
    /// told of when its mask ends has the same type of event, later than it was raised.
    fn count_raised(
        &self,
        (from, to): (Timestamp, Timestamp),
        after: i64,
        counts: &mut BTreeMap<String, u64>,
    ) -> rusqlite::Result<Option<i64>> {
        let last: Option<i64> = self
            .connection
            .prepare_cached(
                "SELECT max(seq) FROM (SELECT seq FROM event WHERE seq > ?1 ORDER BY seq LIMIT ?2)",
            )?
            .query_row([after, EVENTS], |row| row.get(0))?;
        let Some(last) = last else { return Ok(None) };
        let mut query = self.connection.prepare_cached(
            "SELECT alarm.rule, count(*) FROM event JOIN alarm ON alarm.id = event.alarm
             WHERE event.seq > ?1 AND event.seq <= ?2 AND event.at BETWEEN ?3 AND ?4
             AND event.type IN ('alarm.raised', 'alarm.chattering')
             AND json_extract(event.body, '$.at') = json_extract(event.body, '$.alarm.raised_at')
             GROUP BY alarm.rule",
        )?;
        let mut rows = query.query([after, last, from.0, to.0])?;
        while let Some(row) = rows.next()? {
            let count: u64 = schema::from_sql(row.get(1)?);
            *counts.entry(row.get(0)?).or_default() += count;
        }
        Ok(Some(last))
    }

    fn failed(&self, doing: &'static str) -> impl Fn(rusqlite::Error) -> StoreError {
        schema::failed(&self.database, doing)
    }
}
