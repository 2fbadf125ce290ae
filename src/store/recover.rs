//! Reads back what the last run left: its last moment, sealed bytes, definitions. Decides nothing about it.

use std::path::Path;

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row};

use super::{Recovered, StoreError, checkpoint, schema, seal};
use crate::domain::time::{Moment, Ticks, Timestamp};

/// The form of a journal row's entries: another one when [`journal::Input`](crate::domain::journal::Input) changes.
pub(super) const JOURNAL_FORM: u8 = 1;

/// The form of a history row's samples.
pub(super) const HISTORY_FORM: u8 = 1;

/// How far the last run came.
pub(super) fn recover(connection: &Connection) -> rusqlite::Result<Recovered> {
    let head = checkpoint::head(connection)?.map(|(_, head)| head);
    let next_input = head.map_or(0, |head| head.next_input);
    let newest = connection
        .query_row(
            "SELECT wall_ms, ticks FROM journal WHERE first_input >= ?1 ORDER BY first_input DESC LIMIT 1",
            [schema::to_sql(next_input)],
            |row| moment(row, 0),
        )
        .optional()?;
    Ok(Recovered {
        checkpointed: next_input,
        last: newest.or(head.map(|head| head.at)),
    })
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
pub(super) fn moment(row: &Row<'_>, column: usize) -> rusqlite::Result<Moment> {
    Ok(Moment {
        wall: Timestamp(row.get(column)?),
        ticks: Ticks(schema::from_sql(row.get(column + 1)?)),
    })
}
