//! Notices owed and delivered, for those who ask. Changes nothing.

use rusqlite::{OptionalExtension, Row, params};
use serde::Serialize;
use serde_json::Value;

use super::transaction::key;
use super::{StoreError, StoreReader, schema};
use crate::domain::id::Id;
use crate::domain::time::Timestamp;

/// How a notice stands with its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryState {
    /// It is owed.
    Pending,
    /// It is owed, and waits for the end of quiet hours.
    Held,
    /// It is owed, and its target does not want it: it is tried now and then.
    Refused,
    /// The target has it.
    Delivered,
    /// People are told through another target.
    Moved,
}

impl DeliveryState {
    /// As a condition, spelt out: a partial index serves only the literal one.
    const fn condition(self) -> &'static str {
        match self {
            DeliveryState::Pending => {
                "outbox.delivered_at IS NULL AND outbox.held = 0 AND outbox.refused = 0 AND"
            }
            DeliveryState::Held => "outbox.held = 1 AND outbox.refused = 0 AND",
            DeliveryState::Refused => "outbox.refused = 1 AND outbox.delivered_at IS NULL AND",
            DeliveryState::Delivered => "outbox.result = 'delivered' AND",
            DeliveryState::Moved => "outbox.result = 'moved' AND",
        }
    }
}

/// Which notices to list.
#[derive(Debug, Clone, Default)]
pub struct DeliveryFilter {
    /// Only those in this state.
    pub state: Option<DeliveryState>,
    /// Only those of this target.
    pub target: Option<String>,
    /// Only those of this alarm or order.
    pub line: Option<Id>,
    /// Only those older than this one: the last of the page before.
    pub after: Option<i64>,
    /// At most so many.
    pub limit: u32,
}

/// A notice and its target, as the API shows them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DeliveryRow {
    /// Its number.
    pub id: i64,
    /// The notice: the id of the event.
    pub notice: Id,
    /// The type of the event.
    pub r#type: String,
    /// The alarm, or the order.
    pub about: Id,
    /// Where it is owed.
    pub target: String,
    /// `pending`, `held`, `refused`, `delivered` or `moved`.
    pub state: &'static str,
    /// The ids of the officers for whom it is.
    pub to: Vec<String>,
    /// When it came to be owed.
    pub created_at: String,
    /// How many attempts have failed.
    pub attempts: u32,
    /// When the next attempt is due; `null` once it is over.
    pub due_at: Option<String>,
    /// When it was over.
    pub delivered_at: Option<String>,
    /// The message that carried it last: of a digest, that of all its notices.
    pub message: Option<Id>,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// It is tried by itself: neither over nor held back.
    #[serde(skip)]
    pub is_tried: bool,
}

const COLUMNS: &str =
    "outbox.row, outbox.id, json_extract(outbox.body, '$.type'), outbox.alarm, outbox.target, outbox.held,
     outbox.result, outbox.people, outbox.created_at, outbox.attempts, outbox.due_at, outbox.delivered_at,
     delivery.message, outbox.last_error, outbox.refused FROM outbox LEFT JOIN delivery ON delivery.row = outbox.delivery";

impl StoreReader {
    /// The notices that `filter` lets through, newest first.
    pub async fn deliveries(&self, filter: DeliveryFilter) -> Result<Vec<DeliveryRow>, StoreError> {
        let state = filter.state.map_or("", DeliveryState::condition);
        let target = filter
            .target
            .as_ref()
            .map_or("?3 IS NULL", |_| "outbox.target = ?3");
        let line = filter.line.map_or("?4 IS NULL", |_| "outbox.alarm = ?4");
        let query = format!(
            "SELECT {COLUMNS} WHERE {state} {target} AND {line} AND outbox.row < ?1 ORDER BY outbox.row DESC LIMIT ?2"
        );
        let after = filter.after.unwrap_or(i64::MAX);
        self.ask("read deliveries", move |connection| {
            connection
                .prepare_cached(&query)?
                .query_map(
                    params![after, filter.limit, filter.target, filter.line.map(key)],
                    row,
                )?
                .collect()
        })
        .await
    }

    /// How many notices each target is owed, held or not.
    pub async fn owing(&self) -> Result<Vec<(String, u64)>, StoreError> {
        self.ask("count what targets are owed", move |connection| {
            connection
                .prepare_cached(
                    // As two, for each has its index: the outbox is long.
                    "SELECT target, count(*) FROM
                     (SELECT target FROM outbox WHERE delivered_at IS NULL AND held = 0
                      UNION ALL SELECT target FROM outbox WHERE held = 1)
                     GROUP BY target ORDER BY target",
                )?
                .query_map([], |row| Ok((row.get(0)?, row.get(1).map(schema::from_sql)?)))?
                .collect()
        })
        .await
    }

    /// One notice.
    pub async fn delivery(&self, id: i64) -> Result<Option<DeliveryRow>, StoreError> {
        self.ask("read a delivery", move |connection| {
            connection
                .prepare_cached(&format!("SELECT {COLUMNS} WHERE outbox.row = ?1"))?
                .query_row([id], row)
                .optional()
        })
        .await
    }
}

fn row(row: &Row<'_>) -> rusqlite::Result<DeliveryRow> {
    let id = |column| {
        row.get(column)
            .map(|bytes| Id::from_bits(u128::from_be_bytes(bytes)))
    };
    let held: bool = row.get(5)?;
    let refused: bool = row.get(14)?;
    let delivered_at: Option<i64> = row.get(11)?;
    let state = match row.get_ref(6)?.as_str_or_null()? {
        Some("moved") => "moved",
        Some(_) => "delivered",
        None if refused => "refused",
        None if held => "held",
        None => "pending",
    };
    let people: Option<String> = row.get(7)?;
    let people = people.and_then(|people| serde_json::from_str::<Vec<Value>>(&people).ok());
    let officer = |person: Value| Some(person.get("officer")?.as_str()?.to_owned());
    let due_at = Timestamp(row.get(10)?);
    Ok(DeliveryRow {
        id: row.get(0)?,
        notice: id(1)?,
        r#type: row.get::<_, Option<String>>(2)?.unwrap_or_default(),
        about: id(3)?,
        target: row.get(4)?,
        state,
        to: people
            .unwrap_or_default()
            .into_iter()
            .filter_map(officer)
            .collect(),
        created_at: Timestamp(row.get(8)?).to_rfc3339(),
        attempts: row.get(9)?,
        due_at: delivered_at.is_none().then(|| due_at.to_rfc3339()),
        delivered_at: delivered_at.map(|at| Timestamp(at).to_rfc3339()),
        message: row
            .get::<_, Option<[u8; 16]>>(12)?
            .map(|bytes| Id::from_bits(u128::from_be_bytes(bytes))),
        last_error: row.get(13)?,
        is_tried: delivered_at.is_none() && !held,
    })
}
