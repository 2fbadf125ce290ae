//! Of which alarms a target has been told, as long as they stand and a while longer: what a target that forgets has to be told
//! again. It outlives the outbox's rows. Follows from what is owed; decides nothing.

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use serde::Deserialize;

use super::transaction::key;
use super::{StoreError, StoreReader};
use crate::domain::alert::Labels;
use crate::domain::id::Id;
use crate::domain::time::Timestamp;

/// How long an alarm that has ended is still known to have been told, in milliseconds.
const KEEP_MS: i64 = 3_600_000;

/// An alarm of which a target has been told, as it stands now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToldAlarm {
    /// Which.
    pub id: Id,
    /// By which labels the target knows it.
    pub labels: Labels,
    /// The last notice that called for somebody, if there was one.
    pub notice: Option<Id>,
    /// When its life ended; `None`: it stands.
    pub ended_at: Option<Timestamp>,
    /// The alarm as the API shows it: a JSON object.
    pub body: String,
}

/// What a body says of itself, as far as it is needed.
#[derive(Deserialize)]
struct Head {
    r#type: String,
}

/// A notice that a target is owed from now on.
pub(super) struct Owed<'a> {
    /// The alarm, or the order.
    pub(super) line: Id,
    pub(super) target: &'a str,
    pub(super) notice: Id,
    pub(super) body: &'a str,
}

/// The target hears of the alarm that `owed` is about. Its labels are fixed the first time. Another alarm that the target
/// knows by the same labels, which is over by then, is that alarm's past.
pub(super) fn note(connection: &Connection, owed: &Owed<'_>) -> rusqlite::Result<()> {
    let calls = calls(owed.body).then(|| key(owed.notice));
    let known = connection
        .prepare_cached("UPDATE told SET notice = coalesce(?3, notice) WHERE alarm = ?1 AND target = ?2")?
        .execute(params![key(owed.line), owed.target, calls])?;
    if known > 0 {
        return Ok(());
    }
    let Some(labels) = Labels::of_event(owed.body) else {
        return Ok(());
    };
    connection
        .prepare_cached(
            "INSERT INTO told (alarm, target, labels, notice, ended_at)
             SELECT id, ?2, ?3, ?4, iif(standing = 1, NULL, changed_at) FROM alarm WHERE id = ?1
             ON CONFLICT (target, labels) DO UPDATE
             SET alarm = excluded.alarm, notice = excluded.notice, ended_at = excluded.ended_at
             WHERE excluded.ended_at IS NULL OR told.ended_at IS NOT NULL",
        )?
        .execute(params![key(owed.line), owed.target, labels.to_json(), calls])?;
    Ok(())
}

/// Whether somebody is to acknowledge.
fn calls(body: &str) -> bool {
    let head: Option<Head> = serde_json::from_str(body).ok();
    head.is_some_and(|head| {
        matches!(
            head.r#type.as_str(),
            "alarm.raised" | "alarm.chattering" | "alarm.escalated"
        )
    })
}

/// The alarm's life ended at `at`.
pub(super) fn end(transaction: &Transaction<'_>, alarm: Id, at: Timestamp) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("UPDATE told SET ended_at = ?2 WHERE alarm = ?1 AND ended_at IS NULL")?
        .execute(params![key(alarm), at.0])?;
    Ok(())
}

/// Deletes at most `limit` of those that ended long before `now`, unless their target has yet to get a notice of them.
/// Whether there is more to do at once.
pub(super) fn delete_ended(connection: &Connection, now: Timestamp, limit: i64) -> rusqlite::Result<bool> {
    let deleted = connection
        .prepare_cached(
            "DELETE FROM told WHERE (alarm, target) IN
             (SELECT alarm, target FROM told WHERE ended_at < ?1 AND NOT EXISTS
              (SELECT 1 FROM outbox WHERE outbox.alarm = told.alarm AND outbox.target = told.target
               AND delivered_at IS NULL) LIMIT ?2)",
        )?
        .execute([now.0.saturating_sub(KEEP_MS), limit])?;
    Ok(i64::try_from(deleted).is_ok_and(|deleted| deleted == limit))
}

const COLUMNS: &str = "SELECT told.alarm, told.labels, told.notice, told.ended_at, alarm.body
     FROM told JOIN alarm ON alarm.id = told.alarm";

impl StoreReader {
    /// The alarms of which `target` has been told that stand, or ended since `ended_since`, after the alarm `after`, in
    /// order; at most `limit`.
    pub async fn told_alarms(
        &self,
        target: &str,
        (after, ended_since): (Option<Id>, Timestamp),
        limit: u32,
    ) -> Result<Vec<ToldAlarm>, StoreError> {
        let target = target.to_owned();
        let after = after.map_or([0; 16], key);
        self.ask("read what a target was told", move |connection| {
            connection
                .prepare_cached(&format!(
                    "{COLUMNS} WHERE told.alarm > ?1 AND told.target = ?2
                     AND (told.ended_at IS NULL OR told.ended_at >= ?3) ORDER BY told.alarm LIMIT ?4"
                ))?
                .query_map(params![after, target, ended_since.0, limit], row)?
                .collect()
        })
        .await
    }

    /// How each of these alarms stands by which `target` knows it, or the alarm that it knows by the same labels today.
    pub async fn told_of(
        &self,
        target: &str,
        alarms: Vec<(Id, Labels)>,
    ) -> Result<Vec<Option<ToldAlarm>>, StoreError> {
        let target = target.to_owned();
        self.ask("read what a target was told", move |connection| {
            let mut by_alarm = connection
                .prepare_cached(&format!("{COLUMNS} WHERE told.alarm = ?1 AND told.target = ?2"))?;
            let mut by_labels = connection
                .prepare_cached(&format!("{COLUMNS} WHERE told.target = ?2 AND told.labels = ?1"))?;
            let mut found = Vec::with_capacity(alarms.len());
            for (alarm, labels) in alarms {
                let known = by_alarm.query_row(params![key(alarm), target], row).optional()?;
                found.push(match known {
                    Some(known) => Some(known),
                    None => by_labels
                        .query_row(params![labels.to_json(), target], row)
                        .optional()?,
                });
            }
            Ok(found)
        })
        .await
    }
}

fn row(row: &Row<'_>) -> rusqlite::Result<ToldAlarm> {
    let id = |bytes| Id::from_bits(u128::from_be_bytes(bytes));
    let labels: String = row.get(1)?;
    Ok(ToldAlarm {
        id: id(row.get(0)?),
        labels: Labels::from_json(&labels).unwrap_or_default(),
        notice: row.get::<_, Option<[u8; 16]>>(2)?.map(id),
        ended_at: row.get::<_, Option<i64>>(3)?.map(Timestamp),
        body: row.get(4)?,
    })
}
