//! What is held back in the outbox: for the end of quiet hours, or because its target has refused it too often. Decides neither
//! what is held nor for how long.

use rusqlite::{Connection, Transaction, params};

use super::{Notice, note_told};
use crate::domain::directions::Owed;
use crate::domain::time::Timestamp;
use crate::store::Store;
use crate::store::transaction::{Changes, key};

/// How many held notices of a kind one transaction releases for a target.
const RELEASED: i64 = 256;

/// Those held for people, or for whoever reads the target, who are told of the same line now: else they would hear of what was
/// before after what came later. In order.
pub(super) fn held_before(
    transaction: &Transaction<'_>,
    (notice, owed): (&Notice<'_>, &Owed),
    people: Option<&str>,
) -> rusqlite::Result<Vec<i64>> {
    transaction
        .prepare_cached(
            "SELECT row FROM outbox
             WHERE alarm = ?1 AND target = ?2 AND held = 1 AND refused = 0 AND id <> ?3
             AND ((?4 AND (people IS NULL OR everyone = 1)) OR EXISTS
                 (SELECT 1 FROM json_each(outbox.people) AS waits JOIN json_each(?5) AS told
                  ON json_extract(waits.value, '$.officer') = json_extract(told.value, '$.officer')))
             ORDER BY row",
        )?
        .query_map(
            params![
                key(notice.line),
                owed.target,
                key(notice.id),
                owed.is_for_everyone(),
                people
            ],
            |row| row.get(0),
        )?
        .collect()
}

/// A telling that is held takes the place of the one before it for the same people: a night is no hundred messages in the morning.
pub(super) fn supersede(
    transaction: &Transaction<'_>,
    (notice, owed): (&Notice<'_>, &Owed),
    people: Option<&str>,
    changes: &mut Changes,
) -> rusqlite::Result<()> {
    let gone = transaction
        .prepare_cached(
            "DELETE FROM outbox
             WHERE alarm = ?1 AND target = ?2 AND held = 1 AND refused = 0 AND people IS ?3 AND everyone = ?4 AND id <> ?5
             AND json_extract(body, '$.type') = 'alarm.escalated' AND json_extract(?6, '$.type') = 'alarm.escalated'",
        )?
        .execute(params![
            key(notice.line),
            owed.target,
            people,
            owed.everyone,
            key(notice.id),
            notice.body
        ])?;
    if let Some(gone) = i64::try_from(gone).ok().filter(|gone| *gone > 0) {
        changes.pending.push((owed.target.clone(), -gone));
    }
    Ok(())
}

/// These held ones are owed now, in new rows: whoever reads on from the last one finds them.
pub(super) fn free(transaction: &Transaction<'_>, rows: &[i64], now: Timestamp) -> rusqlite::Result<()> {
    for row in rows {
        let refused: bool = transaction
            .prepare_cached(
                "INSERT INTO outbox
                 (id, target, alarm, body, created_at, attempts, due_at, urgent, critical, people, everyone, refused,
                  delivery, last_error)
                 SELECT id, target, alarm, body, created_at, attempts, min(due_at, ?2), urgent, critical, people,
                     everyone, refused, delivery, last_error FROM outbox WHERE row = ?1 RETURNING refused",
            )?
            .query_row(params![row, now.0], |row| row.get(0))?;
        // What was refused was owed before: its target may have been told more of the alarm since.
        if !refused {
            note_told(transaction, transaction.last_insert_rowid())?;
        }
        transaction
            .prepare_cached("DELETE FROM outbox WHERE row = ?1")?
            .execute([row])?;
    }
    Ok(())
}

/// These are held back until then, because their target does not want them.
pub(super) fn put_away(
    transaction: &Transaction<'_>,
    rows: &[i64],
    until: Timestamp,
) -> rusqlite::Result<()> {
    for row in rows {
        transaction
            .prepare_cached(
                "UPDATE outbox SET held = 1, due_at = ?2 WHERE row = ?1 AND delivered_at IS NULL",
            )?
            .execute(params![row, until.0])?;
    }
    Ok(())
}

/// Of those of `target` whose time has come the oldest are owed now, [`RELEASED`] at the most: alarms do not wait for the
/// commit of a whole night's. There being new notices, their worker asks for the next. Of those that it has refused, the
/// ones that have waited longest, `refused` at the most.
pub(super) fn release(
    transaction: &Transaction<'_>,
    (target, refused): (&str, usize),
    now: Timestamp,
    changes: &mut Changes,
) -> rusqlite::Result<()> {
    let refused = i64::try_from(refused).unwrap_or(i64::MAX);
    for (query, most) in [
        (
            "SELECT row FROM outbox WHERE target = ?1 AND held = 1 AND refused = 0 AND due_at <= ?2
             ORDER BY row LIMIT ?3",
            RELEASED,
        ),
        (
            // None is held for an hour: the clock has been put back since.
            "SELECT row FROM outbox WHERE target = ?1 AND held = 1 AND refused = 1
             AND (due_at <= ?2 OR due_at > ?2 + 3600000) ORDER BY due_at, row LIMIT ?3",
            refused.min(RELEASED),
        ),
    ] {
        let due = transaction
            .prepare_cached(query)?
            .query_map(params![target, now.0, most], |row| row.get(0))?
            .collect::<rusqlite::Result<Vec<i64>>>()?;
        free(transaction, &due, now)?;
        changes.notices_added |= !due.is_empty();
    }
    Ok(())
}

/// When the next of those held for `target` is due; of what it has refused only `with_refused`.
pub(in crate::store) fn next_held(
    connection: &Connection,
    (target, with_refused): (&str, bool),
) -> rusqlite::Result<Option<Timestamp>> {
    connection
        .prepare_cached(
            "SELECT min(due_at) FROM outbox WHERE target = ?1 AND held = 1 AND refused IN (0, ?2)",
        )?
        .query_row(params![target, with_refused], |row| {
            Ok(row.get::<_, Option<i64>>(0)?.map(Timestamp))
        })
}

impl Store {
    /// When the next of those held for `target` is due.
    pub fn next_held(&self, target: &str) -> rusqlite::Result<Option<Timestamp>> {
        next_held(&self.connection, (target, true))
    }
}

/// How many `target` has refused and is owed still.
pub(in crate::store) fn refused(connection: &Connection, target: &str) -> rusqlite::Result<i64> {
    connection
        .prepare_cached(
            "SELECT count(*) FROM outbox WHERE target = ?1 AND refused = 1 AND delivered_at IS NULL",
        )?
        .query_row([target], |row| row.get(0))
}
