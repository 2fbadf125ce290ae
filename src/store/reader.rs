//! Answers questions about what is committed, on a connection and a thread of its own. Never writes, never waits
//! for the writer.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use rusqlite::{Connection, OptionalExtension, Row, params};
use tokio::sync::{mpsc, oneshot};

use super::transaction::key;
use super::{EventRow, PendingNotice, StoreError, chain, outbox, schema};
use crate::domain::id::Id;
use crate::domain::time::{Millis, Timestamp};

/// How many questions may wait before askers do.
const QUESTIONS: usize = 64;

/// Which alarms to list.
#[derive(Debug, Clone, Copy, Default)]
pub struct AlarmFilter {
    /// Only those whose life has not ended (`true`) or has (`false`).
    pub standing: Option<bool>,
    /// Only those older than this one: the last of the page before.
    pub after: Option<Id>,
    /// At most so many.
    pub limit: u32,
}

/// An alarm as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlarmRow {
    /// Its id.
    pub id: Id,
    /// The alarm as the API shows it: a JSON object.
    pub body: String,
}

/// A message that could not be used, or not wholly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterRow {
    /// Its place, from 1.
    pub row: i64,
    /// When it came.
    pub at: Timestamp,
    /// Its topic.
    pub topic: String,
    /// The word for why it is here, as in metrics.
    pub reason: String,
    /// Why it is here, in words.
    pub detail: String,
    /// Its first 4 KiB.
    pub payload: Vec<u8>,
    /// How many bytes it had.
    pub size: i64,
}

type Question = Box<dyn FnOnce(&Connection) + Send>;

/// A handle to a reading thread; clones ask the same one. The thread ends with the last of them.
#[derive(Debug, Clone)]
pub struct StoreReader {
    questions: mpsc::Sender<Question>,
    database: Arc<Path>,
}

impl StoreReader {
    /// Opens a connection and starts its thread.
    pub(super) fn start(database: PathBuf) -> Result<StoreReader, StoreError> {
        let connection = schema::open_to_read(&database)?;
        let (questions, asked) = mpsc::channel(QUESTIONS);
        thread::Builder::new()
            .name("store-read".to_owned())
            .spawn(move || answer_all(&connection, asked))
            .map_err(StoreError::Thread)?;
        Ok(StoreReader {
            questions,
            database: database.into(),
        })
    }

    /// The alarms that `filter` lets through, newest first.
    pub async fn alarms(&self, filter: AlarmFilter) -> Result<Vec<AlarmRow>, StoreError> {
        // Spelt out, not bound: the partial index serves only the literal condition.
        let condition = match filter.standing {
            Some(true) => "standing = 1 AND",
            Some(false) => "standing = 0 AND",
            None => "",
        };
        let query = format!("SELECT id, body FROM alarm WHERE {condition} id < ?1 ORDER BY id DESC LIMIT ?2");
        let after = filter.after.unwrap_or(Id::from_bits(u128::MAX));
        self.ask("read alarms", move |connection| {
            connection
                .prepare_cached(&query)?
                .query_map(params![key(after), filter.limit], alarm_row)?
                .collect()
        })
        .await
    }

    /// One alarm.
    pub async fn alarm(&self, id: Id) -> Result<Option<AlarmRow>, StoreError> {
        self.ask("read an alarm", move |connection| {
            connection
                .prepare_cached("SELECT id, body FROM alarm WHERE id = ?1")?
                .query_row([key(id)], alarm_row)
                .optional()
        })
        .await
    }

    /// The events after place `after` of the chain, in order, at most `limit`.
    pub async fn events(&self, after: i64, limit: u32) -> Result<Vec<EventRow>, StoreError> {
        self.ask("read events", move |connection| {
            connection
                .prepare_cached("SELECT seq, body, hash FROM event WHERE seq > ?1 ORDER BY seq LIMIT ?2")?
                .query_map(params![after, limit], |row| {
                    Ok(EventRow {
                        seq: row.get(0)?,
                        body: row.get(1)?,
                        hash: chain::hex(&row.get::<_, Vec<u8>>(2)?),
                    })
                })?
                .collect()
        })
        .await
    }

    /// What `target` has not got yet, critical or not, in the rows after `after`, oldest first, at most `limit`; due or not.
    pub async fn pending_notices(
        &self,
        (target, critical): (&str, bool),
        after: i64,
        limit: u32,
    ) -> Result<Vec<PendingNotice>, StoreError> {
        let target = target.to_owned();
        self.ask("read pending notices", move |connection| {
            outbox::pending(connection, (&target, critical), after, limit)
        })
        .await
    }

    /// When the next of the notices held for `target` is due; of what it has refused only `with_refused`.
    pub async fn next_held(&self, target: &str, with_refused: bool) -> Result<Option<Timestamp>, StoreError> {
        let target = target.to_owned();
        self.ask("read held notices", move |connection| {
            outbox::held::next_held(connection, (&target, with_refused))
        })
        .await
    }

    /// How many notices `target` has refused and is owed still.
    pub async fn refused(&self, target: &str) -> Result<u64, StoreError> {
        let target = target.to_owned();
        self.ask("count refused notices", move |connection| {
            outbox::held::refused(connection, &target).map(schema::from_sql)
        })
        .await
    }

    /// For how long `target` still wants nothing at `now`, as it said since `since`.
    pub async fn silence(
        &self,
        target: &str,
        since: Timestamp,
        now: Timestamp,
    ) -> Result<Option<Millis>, StoreError> {
        let target = target.to_owned();
        self.ask("read deliveries", move |connection| {
            outbox::silence(connection, &target, (since, now))
        })
        .await
    }

    /// When messages went to `target` since `since`, oldest first.
    pub async fn sent_since(&self, target: &str, since: Timestamp) -> Result<Vec<Timestamp>, StoreError> {
        let target = target.to_owned();
        self.ask("read deliveries", move |connection| {
            outbox::sent_since(connection, &target, since)
        })
        .await
    }

    /// How many notices `target` has not got yet.
    pub async fn pending_count(&self, target: &str) -> Result<u64, StoreError> {
        let target = target.to_owned();
        self.ask("count pending notices", move |connection| {
            connection
                .prepare_cached("SELECT count(*) FROM outbox WHERE target = ?1 AND delivered_at IS NULL")?
                .query_row([target], |row| row.get(0).map(schema::from_sql))
        })
        .await
    }

    /// The dead letters after `after`, oldest first, at most `limit`.
    pub async fn dead_letters(&self, after: i64, limit: u32) -> Result<Vec<DeadLetterRow>, StoreError> {
        self.ask("read dead letters", move |connection| {
            connection
                .prepare_cached(
                    "SELECT row, at, topic, reason, detail, payload, size FROM dead_letter
                     WHERE row > ?1 ORDER BY row LIMIT ?2",
                )?
                .query_map(params![after, limit], |row| {
                    Ok(DeadLetterRow {
                        row: row.get(0)?,
                        at: Timestamp(row.get(1)?),
                        topic: row.get(2)?,
                        reason: row.get(3)?,
                        detail: row.get(4)?,
                        payload: row.get(5)?,
                        size: row.get(6)?,
                    })
                })?
                .collect()
        })
        .await
    }

    /// What `query` finds, on the reading thread.
    pub(super) async fn ask<T, F>(&self, doing: &'static str, query: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let question: Question = Box::new(move |connection| {
            if !answer.is_closed() {
                // Whoever asked may have gone away meanwhile.
                let _ = answer.send(query(connection));
            }
        });
        self.questions
            .send(question)
            .await
            .map_err(|_| StoreError::ReaderGone)?;
        answered
            .await
            .map_err(|_| StoreError::ReaderGone)?
            .map_err(schema::failed(&self.database, doing))
    }
}

fn answer_all(connection: &Connection, mut asked: mpsc::Receiver<Question>) {
    while let Some(question) = asked.blocking_recv() {
        question(connection);
    }
}

fn alarm_row(row: &Row<'_>) -> rusqlite::Result<AlarmRow> {
    Ok(AlarmRow {
        id: id(row, 0)?,
        body: row.get(1)?,
    })
}

fn id(row: &Row<'_>, column: usize) -> rusqlite::Result<Id> {
    Ok(Id::from_bits(u128::from_be_bytes(row.get(column)?)))
}
