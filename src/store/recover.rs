//! Reads back what the last run left: checkpoint, journal after it, last moment. Decides nothing about it.

use std::path::Path;

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row};

use super::{Checkpoint, JournalRow, Recovered, StoreError, schema, seal};
use crate::domain::time::{Moment, Ticks, Timestamp};

/// The form of a journal row's entries: another one when [`journal::Input`](crate::domain::journal::Input) changes.
pub(super) const JOURNAL_FORM: u8 = 1;

/// The form of a history row's samples.
pub(super) const HISTORY_FORM: u8 = 1;

/// What the last run left behind. A gap in the journal is an error: the state after it would be a guess.
pub(super) fn recover(connection: &Connection, database: &Path) -> Result<Recovered, StoreError> {
    let failed = schema::failed(database, "read the journal");
    let checkpoint = checkpoint(connection).map_err(&failed)?;
    let mut next = checkpoint.as_ref().map(|(checkpoint, _)| checkpoint.next_input);
    let mut last = checkpoint.as_ref().map(|(_, at)| *at);
    let mut journal = Vec::new();
    for entry in journal_from(connection, next.unwrap_or(0)).map_err(&failed)? {
        if let Some(expected) = next.filter(|expected| *expected != entry.row.first_input) {
            return Err(StoreError::JournalGap {
                path: database.to_owned(),
                expected,
                found: entry.row.first_input,
            });
        }
        next = Some(entry.row.first_input.saturating_add(entry.inputs));
        last = Some(entry.at);
        journal.push(entry.row);
    }
    Ok(Recovered {
        checkpoint: checkpoint.map(|(checkpoint, _)| checkpoint),
        journal,
        last,
    })
}

/// A journal row with what only its recovery needs.
struct Journalled {
    row: JournalRow,
    inputs: u64,
    at: Moment,
}

/// The source of the definitions with this hash, if it was ever stored.
pub(super) fn definitions(
    connection: &Connection,
    database: &Path,
    hash: &[u8; 32],
) -> Result<Option<String>, StoreError> {
    connection
        .query_row("SELECT source FROM definitions WHERE hash = ?1", [hash], |row| {
            row.get(0)
        })
        .optional()
        .map_err(schema::failed(database, "read definitions"))
}

/// The newest checkpoint, and when it was made.
pub(super) fn checkpoint(connection: &Connection) -> rusqlite::Result<Option<(Checkpoint, Moment)>> {
    let query = "SELECT next_input, wall_ms, ticks, state FROM checkpoint WHERE id = 1";
    connection
        .query_row(query, [], |row| {
            let checkpoint = Checkpoint {
                next_input: schema::from_sql(row.get(0)?),
                state: row.get(3)?,
            };
            Ok((checkpoint, moment(row, 1)?))
        })
        .optional()
}

fn journal_from(connection: &Connection, first_input: u64) -> rusqlite::Result<Vec<Journalled>> {
    let query = "SELECT first_input, inputs, wall_ms, ticks, entries FROM journal
                 WHERE first_input >= ?1 ORDER BY first_input";
    connection
        .prepare(query)?
        .query_map([schema::to_sql(first_input)], |row| {
            Ok(Journalled {
                row: JournalRow {
                    first_input: schema::from_sql(row.get(0)?),
                    entries: unsealed(row, 4, JOURNAL_FORM)?,
                },
                inputs: schema::from_sql(row.get(1)?),
                at: moment(row, 2)?,
            })
        })?
        .collect()
}

/// The sealed bytes in `column`, opened.
pub(super) fn unsealed(row: &Row<'_>, column: usize, form: u8) -> rusqlite::Result<Vec<u8>> {
    let sealed = row.get_ref(column)?.as_blob()?;
    match seal::open(form, sealed) {
        Ok(bytes) => Ok(bytes.to_vec()),
        Err(error) => Err(rusqlite::Error::FromSqlConversionFailure(
            column,
            Type::Blob,
            Box::new(error),
        )),
    }
}

/// The moment in the columns `wall_ms, ticks` that begin at `column`.
fn moment(row: &Row<'_>, column: usize) -> rusqlite::Result<Moment> {
    Ok(Moment {
        wall: Timestamp(row.get(column)?),
        ticks: Ticks(schema::from_sql(row.get(column + 1)?)),
    })
}
