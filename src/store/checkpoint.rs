//! The checkpoint in the database: the engine's state in sealed parts, valid from the commit that writes its head.
//! Parts of a checkpoint that never became valid are never read.

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, params};

use super::schema::{from_sql, to_sql};
use super::{Checkpoint, recover, seal};
use crate::domain::time::Moment;
use crate::handoff::{CheckpointHead, CheckpointPart};

/// The most bytes of state in a part: what one commit has to write of a checkpoint beside its batches.
pub const PART_BYTES: usize = 256 * 1024;

/// The form of a part.
const PART_FORM: u8 = 1;

/// How many parts of older checkpoints one slice of upkeep deletes.
const SLICE: i64 = 8;

/// Writes a part, and with the last one the head. A part that comes after a newer checkpoint has become valid is late
/// (an orderly stop was faster), and dropped: it must not fall among that one's parts.
pub(super) fn write_part(connection: &Connection, part: &CheckpointPart) -> rusqlite::Result<()> {
    write_state(connection, (part.generation, part.number), &part.state)?;
    if let Some(head) = &part.complete {
        write_head(connection, part.generation, head)?;
    }
    Ok(())
}

/// Writes the checkpoint of `state` after the inputs before `next_input`, the last of which was at `at`.
pub(super) fn write_whole(
    connection: &Connection,
    (next_input, at): (u64, Moment),
    state: &[u8],
) -> rusqlite::Result<()> {
    let newest: i64 =
        connection.query_row("SELECT ifnull(max(generation), 0) FROM checkpoint", [], |row| {
            row.get(0)
        })?;
    let generation = from_sql(newest).saturating_add(1);
    let mut parts = 0;
    for chunk in state.chunks(PART_BYTES) {
        write_state(connection, (generation, parts), chunk)?;
        parts += 1;
    }
    let head = CheckpointHead {
        next_input,
        at,
        bytes: state.len() as u64,
        parts,
    };
    write_head(connection, generation, &head)
}

fn write_state(
    connection: &Connection,
    (generation, number): (u64, u32),
    state: &[u8],
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO checkpoint_part (generation, part, state) SELECT ?1, ?2, ?3
             WHERE ?1 > (SELECT ifnull(max(generation), 0) FROM checkpoint)",
        )?
        .execute(params![to_sql(generation), number, seal::seal(PART_FORM, state)])?;
    Ok(())
}

/// The head is written only over an older one, and only when every part is there.
fn write_head(connection: &Connection, generation: u64, head: &CheckpointHead) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO checkpoint (id, generation, next_input, wall_ms, ticks, bytes, parts)
             SELECT 1, ?1, ?2, ?3, ?4, ?5, ?6
             WHERE ?1 > (SELECT ifnull(max(generation), 0) FROM checkpoint)
             AND ?6 = (SELECT count(*) FROM checkpoint_part WHERE generation = ?1 AND part < ?6)",
        )?
        .execute(params![
            to_sql(generation),
            to_sql(head.next_input),
            head.at.wall.0,
            to_sql(head.at.ticks.0),
            to_sql(head.bytes),
            head.parts,
        ])?;
    Ok(())
}

/// The generation and head of the valid checkpoint.
pub(super) fn head(connection: &Connection) -> rusqlite::Result<Option<(u64, CheckpointHead)>> {
    connection
        .query_row(
            "SELECT generation, next_input, wall_ms, ticks, bytes, parts FROM checkpoint WHERE id = 1",
            [],
            |row| {
                let head = CheckpointHead {
                    next_input: from_sql(row.get(1)?),
                    at: recover::moment(row, 2)?,
                    bytes: from_sql(row.get(4)?),
                    parts: row.get(5)?,
                };
                Ok((from_sql(row.get(0)?), head))
            },
        )
        .optional()
}

/// The valid checkpoint. An error when any of it is missing or damaged.
pub(super) fn load(connection: &Connection) -> rusqlite::Result<Option<Checkpoint>> {
    // One look at the database: between two, a newer checkpoint could take the place of this one.
    let transaction = connection.unchecked_transaction()?;
    let Some((generation, head)) = head(&transaction)? else {
        return Ok(None);
    };
    let mut state = Vec::with_capacity(usize::try_from(head.bytes).unwrap_or(0));
    let mut query = transaction.prepare(
        "SELECT state FROM checkpoint_part WHERE generation = ?1 AND part < ?2 ORDER BY generation, part",
    )?;
    let mut rows = query.query(params![to_sql(generation), head.parts])?;
    while let Some(row) = rows.next()? {
        state.append(&mut recover::unsealed(row, 0, PART_FORM)?);
    }
    if state.len() as u64 != head.bytes {
        let damaged = Box::new(seal::SealError::Damaged);
        return Err(rusqlite::Error::FromSqlConversionFailure(0, Type::Blob, damaged));
    }
    Ok(Some(Checkpoint {
        generation,
        next_input: head.next_input,
        at: head.at,
        state,
    }))
}

/// Deletes what a stop has left of a checkpoint in the making. Only for a start: later there may be one in the making.
pub(super) fn delete_abandoned(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute(
        "DELETE FROM checkpoint_part WHERE generation > (SELECT ifnull(max(generation), 0) FROM checkpoint)",
        [],
    )?;
    Ok(())
}

/// Deletes some parts of checkpoints before the valid one. Whether there may be more.
pub(super) fn delete_slice(connection: &Connection) -> rusqlite::Result<bool> {
    let deleted = connection
        .prepare_cached(
            "DELETE FROM checkpoint_part WHERE rowid IN
             (SELECT rowid FROM checkpoint_part
              WHERE generation < (SELECT generation FROM checkpoint) LIMIT ?1)",
        )?
        .execute([SLICE])?;
    Ok(i64::try_from(deleted).is_ok_and(|deleted| deleted == SLICE))
}
