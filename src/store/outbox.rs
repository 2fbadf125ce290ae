//! The outbox: notices owed to targets, and the deliveries that were made. Rows only ever grow, so that whoever reads on
//! from the last one it knows misses none. Decides neither who is owed what nor when it is sent.

pub(super) mod held;

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use self::held::{free, held_before, supersede};
use super::transaction::{Changes, key};
use super::{PendingNotice, told};
use crate::domain::directions::{Owed, Recipient};
use crate::domain::escalation::EscalationChange;
use crate::domain::id::Id;
use crate::domain::time::{Millis, Timestamp};
use crate::handoff::outbox::{DeliveryOutcome, DeliveryReport, Moved, OutboxWork};

/// What targets are owed.
pub(super) struct Notice<'a> {
    /// The event's id.
    pub(super) id: Id,
    /// Of notices with one line the later waits for the earlier.
    pub(super) line: Id,
    /// The event.
    pub(super) body: &'a str,
    /// Its line is read past those that are not.
    pub(super) critical: bool,
    /// It goes before those that are not.
    pub(super) urgent: bool,
}

/// Carries out `work`.
pub(super) fn write(
    transaction: &Transaction<'_>,
    work: &OutboxWork,
    now: Timestamp,
    changes: &mut Changes,
) -> rusqlite::Result<()> {
    match work {
        OutboxWork::Delivery(report) => write_delivery(transaction, report, changes),
        OutboxWork::Move { target, at, moved } => move_all(transaction, moved, (target, *at), changes),
        OutboxWork::PutAway { notices, until } => {
            // Their worker is to ask when the next is due.
            changes.notices_added = true;
            held::put_away(transaction, notices, *until)
        }
        OutboxWork::Release { target, refused } => {
            held::release(transaction, (target, *refused), now, changes)
        }
        OutboxWork::Resend { notice, .. } => resend(transaction, *notice, now, changes),
    }
}

/// Owes `notice` to whom it is `owed`.
pub(super) fn write_notices(
    transaction: &Transaction<'_>,
    notice: &Notice<'_>,
    (owed, now): (&[Owed], Timestamp),
    changes: &mut Changes,
) -> rusqlite::Result<()> {
    for owed in owed {
        let held = owed.not_before.filter(|until| *until > now);
        let people = (!owed.people.is_empty()).then(|| serde_json::to_string(&owed.people));
        let people = people
            .transpose()
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        let people = people.as_deref();
        if held.is_some() {
            supersede(transaction, (notice, owed), people, changes)?;
        } else {
            let freed = held_before(transaction, (notice, owed), people)?;
            free(transaction, &freed, now)?;
        }
        transaction
            .prepare_cached(
                // A line keeps its lane while something of it waits: else its later notices could be read before its
                // earlier ones, and somebody would be told last that an alarm is over that has come again.
                "INSERT INTO outbox
                 (id, target, alarm, body, created_at, attempts, due_at, urgent, critical, people, held, everyone)
                 VALUES (?1, ?2, ?3, ?4, ?5, 0, ?8, ?6, coalesce((SELECT critical FROM outbox
                     WHERE alarm = ?3 AND target = ?2 AND delivered_at IS NULL AND refused = 0 ORDER BY row DESC LIMIT 1), ?7),
                     ?9, ?10, ?11)",
            )?
            .execute(params![
                key(notice.id),
                owed.target,
                key(notice.line),
                notice.body,
                now.0,
                notice.urgent,
                notice.critical,
                held.unwrap_or(now).0,
                people,
                held.is_some(),
                owed.everyone
            ])?;
        if held.is_none() {
            let told = told::Owed {
                line: notice.line,
                target: &owed.target,
                notice: notice.id,
                body: notice.body,
            };
            told::note(transaction, &told)?;
        }
        changes.pending.push((owed.target.clone(), 1));
        changes.notices_added = true;
    }
    Ok(())
}

/// Records what became of a message, and of each notice in it.
fn write_delivery(
    transaction: &Transaction<'_>,
    report: &DeliveryReport,
    changes: &mut Changes,
) -> rusqlite::Result<()> {
    let (result, error, silent_until) = match &report.outcome {
        DeliveryOutcome::Delivered => ("delivered", None, None),
        DeliveryOutcome::Retry {
            error,
            due_at,
            silent,
            ..
        } => ("failed", Some(error), silent.then_some(due_at.0)),
    };
    move_all(transaction, &report.moved, (&report.target, report.at), changes)?;
    let notices = i64::try_from(report.notices.len()).unwrap_or(i64::MAX);
    transaction
        .prepare_cached(
            "INSERT INTO delivery (message, target, at, notices, result, error, silent_until)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            key(report.message),
            report.target,
            report.at.0,
            notices,
            result,
            error,
            silent_until
        ])?;
    let delivery = transaction.last_insert_rowid();
    for notice in &report.notices {
        match &report.outcome {
            DeliveryOutcome::Delivered => {
                // A second report of the same delivery must not count twice: it finds no pending row.
                let settled = transaction
                    .prepare_cached(
                        "UPDATE outbox SET delivered_at = ?2, result = 'delivered', delivery = ?3, last_error = NULL
                         WHERE row = ?1 AND delivered_at IS NULL",
                    )?
                    .execute(params![notice, report.at.0, delivery])?;
                if settled > 0 {
                    changes.pending.push((report.target.clone(), -1));
                }
            }
            DeliveryOutcome::Retry {
                error,
                due_at,
                refused,
                ..
            } => {
                transaction
                    .prepare_cached(
                        "UPDATE outbox SET attempts = attempts + 1, due_at = ?2, delivery = ?3, last_error = ?4,
                             refused = refused OR ?5
                         WHERE row = ?1 AND delivered_at IS NULL",
                    )?
                    .execute(params![notice, due_at.0, delivery, error, refused])?;
            }
        }
    }
    Ok(())
}

fn move_all(
    transaction: &Transaction<'_>,
    moved: &[Moved],
    from: (&str, Timestamp),
    changes: &mut Changes,
) -> rusqlite::Result<()> {
    moved
        .iter()
        .try_for_each(|moved| move_notice(transaction, moved, from, changes))
}

/// Owes a notice to other targets, and to its own no more or for fewer people.
fn move_notice(
    transaction: &Transaction<'_>,
    moved: &Moved,
    (from, at): (&str, Timestamp),
    changes: &mut Changes,
) -> rusqlite::Result<()> {
    let json = |people: &Vec<Recipient>| {
        serde_json::to_string(people).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
    };
    let settled = match &moved.left {
        None => transaction
            .prepare_cached(
                "UPDATE outbox SET delivered_at = ?2, result = 'moved' WHERE row = ?1 AND delivered_at IS NULL",
            )?
            .execute(params![moved.notice, at.0])?,
        Some(left) => transaction
            .prepare_cached("UPDATE outbox SET people = ?2 WHERE row = ?1 AND delivered_at IS NULL")?
            .execute(params![moved.notice, json(left)?])?,
    };
    // A second report of the same move finds nothing to move.
    if settled == 0 {
        return Ok(());
    }
    if moved.left.is_none() {
        changes.pending.push((from.to_owned(), -1));
        // Its people are told elsewhere; whoever else reads the target has not been told.
        let stays = transaction
            .prepare_cached(
                "INSERT INTO outbox (id, target, alarm, body, created_at, attempts, due_at, urgent, critical)
                 SELECT id, target, alarm, body, created_at, 0, ?2, urgent, critical FROM outbox
                 WHERE row = ?1 AND everyone = 1",
            )?
            .execute(params![moved.notice, at.0])?;
        if stays > 0 {
            changes.pending.push((from.to_owned(), 1));
            changes.notices_added = true;
        }
    }
    for (target, people) in &moved.to {
        let inserted = transaction
            .prepare_cached(
                "INSERT INTO outbox (id, target, alarm, body, created_at, attempts, due_at, urgent, critical, people)
                 SELECT id, ?2, alarm, body, created_at, 0, ?3, urgent, coalesce((SELECT critical FROM outbox
                     WHERE alarm = moved.alarm AND target = ?2 AND delivered_at IS NULL AND refused = 0 ORDER BY row DESC LIMIT 1),
                     critical), ?4 FROM outbox AS moved WHERE row = ?1",
            )?
            .execute(params![moved.notice, target, at.0, json(people)?])?;
        if inserted > 0 {
            note_told(transaction, transaction.last_insert_rowid())?;
            changes.pending.push((target.clone(), 1));
            changes.notices_added = true;
        }
    }
    Ok(())
}

/// The target of the notice `row` hears of what it is about.
fn note_told(transaction: &Transaction<'_>, row: i64) -> rusqlite::Result<()> {
    let id = |bytes| Id::from_bits(u128::from_be_bytes(bytes));
    let (notice, target, line, body): (_, String, _, String) = transaction
        .prepare_cached("SELECT id, target, alarm, body FROM outbox WHERE row = ?1")?
        .query_row([row], |row| {
            Ok((id(row.get(0)?), row.get(1)?, id(row.get(2)?), row.get(3)?))
        })?;
    let told = told::Owed {
        line,
        target: &target,
        notice,
        body: &body,
    };
    told::note(transaction, &told)
}

/// Owes the notice of `row` to its target once more, or at once where it is held back. What is owed already stays as it is:
/// its target would get it twice.
fn resend(
    transaction: &Transaction<'_>,
    row: i64,
    now: Timestamp,
    changes: &mut Changes,
) -> rusqlite::Result<()> {
    let state = transaction
        .prepare_cached("SELECT held, delivered_at IS NULL FROM outbox WHERE row = ?1")?
        .query_row([row], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    match state {
        Some((true, _)) => {
            free(transaction, &[row], now)?;
            changes.notices_added = true;
            Ok(())
        }
        None | Some((false, true)) => Ok(()),
        Some((false, false)) => owe_again(transaction, row, now, changes),
    }
}

fn owe_again(
    transaction: &Transaction<'_>,
    row: i64,
    now: Timestamp,
    changes: &mut Changes,
) -> rusqlite::Result<()> {
    let target: Option<String> = transaction
        .prepare_cached(
            "INSERT INTO outbox
             (id, target, alarm, body, created_at, attempts, due_at, urgent, critical, people, everyone)
             SELECT id, target, alarm, body, ?2, 0, ?2, urgent, coalesce((SELECT critical FROM outbox
                 WHERE alarm = sent.alarm AND target = sent.target AND delivered_at IS NULL AND refused = 0 ORDER BY row DESC LIMIT 1),
                 critical), people, everyone FROM outbox AS sent WHERE row = ?1 AND NOT EXISTS
                 (SELECT 1 FROM outbox WHERE alarm = sent.alarm AND id = sent.id AND target = sent.target
                  AND delivered_at IS NULL) RETURNING target",
        )?
        .query_row(params![row, now.0], |row| row.get(0))
        .optional()?;
    if let Some(target) = target {
        changes.pending.push((target, 1));
        changes.notices_added = true;
    }
    Ok(())
}

/// What `target` has not got yet, critical or not, in the rows after `after`: oldest first, at most `limit`.
pub(super) fn pending(
    connection: &Connection,
    (target, critical): (&str, bool),
    after: i64,
    limit: u32,
) -> rusqlite::Result<Vec<PendingNotice>> {
    connection
        .prepare_cached(
            "SELECT row, id, alarm, body, created_at, attempts, due_at, urgent, people, critical, refused FROM outbox
             WHERE target = ?1 AND critical = ?2 AND row > ?3 AND delivered_at IS NULL AND held = 0
             ORDER BY row LIMIT ?4",
        )?
        .query_map(params![target, critical, after, limit], read_notice)?
        .collect()
}

fn read_notice(row: &Row<'_>) -> rusqlite::Result<PendingNotice> {
    let id = |column| {
        row.get(column)
            .map(|bytes| Id::from_bits(u128::from_be_bytes(bytes)))
    };
    Ok(PendingNotice {
        row: row.get(0)?,
        id: id(1)?,
        alarm: id(2)?,
        body: row.get(3)?,
        created_at: Timestamp(row.get(4)?),
        attempts: row.get(5)?,
        due_at: Timestamp(row.get(6)?),
        urgent: row.get(7)?,
        people: read_people(row.get_ref(8)?.as_str_or_null()?),
        critical: row.get(9)?,
        refused: row.get(10)?,
    })
}

/// Whom a stored notice is for. What another version wrote must keep nobody from being told: then it is for whoever reads
/// the target.
fn read_people(stored: Option<&str>) -> Vec<Recipient> {
    let people = stored.map(serde_json::from_str).transpose();
    let unreadable = |error| {
        tracing::error!(%error, "whom a notice is for cannot be read: it goes to its target all the same");
        None
    };
    people.unwrap_or_else(unreadable).unwrap_or_default()
}

/// When messages went to `target` since `since`, oldest first.
pub(super) fn sent_since(
    connection: &Connection,
    target: &str,
    since: Timestamp,
) -> rusqlite::Result<Vec<Timestamp>> {
    connection
        .prepare_cached("SELECT at FROM delivery WHERE target = ?1 AND at >= ?2 ORDER BY at")?
        .query_map(params![target, since.0], |row| row.get(0).map(Timestamp))?
        .collect()
}

/// For how long `target` still wants nothing at `now`, as it said since `since`. The wall clock may have been put back: no
/// longer than it asked for.
pub(super) fn silence(
    connection: &Connection,
    target: &str,
    (since, now): (Timestamp, Timestamp),
) -> rusqlite::Result<Option<Millis>> {
    let left: Option<i64> = connection
        .prepare_cached(
            "SELECT max(min(silent_until - ?3, silent_until - at)) FROM delivery
             WHERE target = ?1 AND at >= ?2 AND silent_until > ?3",
        )?
        .query_row(params![target, since.0, now.0], |row| row.get(0))?;
    Ok(left.and_then(|left| u64::try_from(left).ok()).map(Millis))
}

/// Deletes the oldest deliveries made before `before`, at most `limit`; how many there were.
pub(super) fn delete_deliveries(
    connection: &Connection,
    before: Timestamp,
    limit: i64,
) -> rusqlite::Result<i64> {
    let deleted = connection
        .prepare_cached(
            "DELETE FROM delivery WHERE row IN (SELECT row FROM delivery ORDER BY row LIMIT ?2) AND at < ?1",
        )?
        .execute(params![before.0, limit])?;
    Ok(i64::try_from(deleted).unwrap_or(i64::MAX))
}

/// Keeps how far an alarm's chains have come.
pub(super) fn write_escalation(
    transaction: &Transaction<'_>,
    change: &EscalationChange,
) -> rusqlite::Result<()> {
    match &change.state {
        Some(state) => transaction
            .prepare_cached("INSERT OR REPLACE INTO escalation (alarm, state) VALUES (?1, ?2)")?
            .execute(params![key(change.alarm), state])?,
        None => transaction
            .prepare_cached("DELETE FROM escalation WHERE alarm = ?1")?
            .execute([key(change.alarm)])?,
    };
    Ok(())
}

/// How far the chains of every alarm have come.
pub(super) fn escalations(connection: &Connection) -> rusqlite::Result<Vec<(Id, String)>> {
    connection
        .prepare("SELECT alarm, state FROM escalation ORDER BY alarm")?
        .query_map([], |row| {
            let alarm = u128::from_be_bytes(row.get(0)?);
            Ok((Id::from_bits(alarm), row.get(1)?))
        })?
        .collect()
}
