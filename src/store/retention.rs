//! What goes when it has been kept long enough, or when the database is too large: one slice of each table at a time.
//! Nothing that recovery needs is ever deleted.

use std::time::Duration;

use rusqlite::{Connection, params};
use tokio::sync::watch;

use super::chain::{self, Head};
use super::{Followed, checkpoint, outbox, schema, segments, told};
use crate::config::StoreSettings;
use crate::domain::time::Timestamp;
use crate::metrics::Metrics;

/// How long delivered notices are kept, unless events are kept for less.
const DELIVERED_KEEP: Duration = Duration::from_hours(30 * 24);

/// How many rows of a table one slice looks at.
pub(super) const SLICE: i64 = 64;

/// The rules of retention, and how far a round of them has come.
#[derive(Debug)]
pub struct Retention {
    settings: StoreSettings,
    /// How far the follower is, if there is one.
    followed: Option<watch::Receiver<Followed>>,
    metrics: Metrics,
    /// The outbox row up to which this round has looked.
    outbox_row: i64,
    /// The alarm up to which this round has looked.
    alarm: Vec<u8>,
    /// Likewise the order.
    command: Vec<u8>,
    /// Whether room is being made.
    too_large: bool,
}

impl Retention {
    /// Keeps what `settings` say, and what the follower has not copied where only that is in the way.
    pub fn new(
        settings: StoreSettings,
        followed: Option<watch::Receiver<Followed>>,
        metrics: Metrics,
    ) -> Retention {
        Retention {
            settings,
            followed,
            metrics,
            outbox_row: 0,
            alarm: Vec::new(),
            command: Vec::new(),
            too_large: false,
        }
    }

    /// Deletes one slice of what has been kept long enough. Whether there is more to do at once.
    pub fn delete_slice(&mut self, connection: &Connection, now: Timestamp) -> rusqlite::Result<bool> {
        let before = |keep: Duration| {
            let keep = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
            now.0.saturating_sub(keep)
        };
        let events_before = before(self.settings.event_keep);
        let delivered_before = before(DELIVERED_KEEP).max(events_before);
        let transaction = connection.unchecked_transaction()?;
        let mut more = checkpoint::delete_slice(&transaction)?;
        more |= delete_journal(&transaction, before(self.settings.journal_keep))? == SLICE;
        let history_before = before(self.settings.history_keep);
        more |= delete_history(&transaction, history_before, i64::MAX)? == SLICE;
        more |= segments::prune(&transaction, Timestamp(history_before))? > 0;
        // What stands in a segment and has been copied is needed no more.
        let sorted = segments::last_sorted(&transaction)?.min(self.copied());
        more |= delete_history(&transaction, i64::MAX, sorted)? == SLICE;
        more |= delete_events(&transaction, events_before)?;
        more |= delete_ended(&transaction, &ALARMS, &mut self.alarm, events_before)?;
        more |= delete_ended(&transaction, &COMMANDS, &mut self.command, events_before)?;
        let (more_notices, expired) = self.delete_notices(&transaction, (delivered_before, events_before))?;
        more |= more_notices;
        more |= told::delete_ended(&transaction, now, SLICE)?;
        more |= outbox::delete_deliveries(&transaction, Timestamp(delivered_before), SLICE)? == SLICE;
        delete_definitions(&transaction)?;
        more |= self.make_room(&transaction)?;
        transaction.commit()?;
        self.tell_expired(expired);
        Ok(more)
    }

    /// The history row up to which nobody needs the rows any more to copy them.
    fn copied(&self) -> i64 {
        self.followed
            .as_ref()
            .map_or(i64::MAX, |followed| followed.borrow().history)
    }

    /// Deletes notices delivered before `delivered`, and those that nobody took since `created`: whose they were.
    fn delete_notices(
        &mut self,
        connection: &Connection,
        (delivered, created): (i64, i64),
    ) -> rusqlite::Result<(bool, Vec<String>)> {
        let (last, oldest): (Option<i64>, Option<i64>) = connection
            .prepare_cached(
                "SELECT max(row), min(created_at) FROM
                 (SELECT row, created_at FROM outbox WHERE row > ?1 ORDER BY row LIMIT ?2)",
            )?
            .query_row([self.outbox_row, SLICE], |row| Ok((row.get(0)?, row.get(1)?)))?;
        // Rows are in order of creation: behind a window that is too young there is nothing to delete.
        let Some(last) = last.filter(|_| oldest.is_some_and(|oldest| oldest < delivered)) else {
            self.outbox_row = 0;
            return Ok((false, Vec::new()));
        };
        let deleted = connection
            .prepare_cached(
                "DELETE FROM outbox WHERE row > ?1 AND row <= ?2
                 AND (delivered_at < ?3 OR (delivered_at IS NULL AND created_at < ?4))
                 RETURNING iif(delivered_at IS NULL, target, NULL)",
            )?
            .query_map([self.outbox_row, last, delivered, created], |row| row.get(0))?
            .collect::<rusqlite::Result<Vec<Option<String>>>>()?;
        self.outbox_row = last;
        Ok((true, deleted.into_iter().flatten().collect()))
    }

    fn tell_expired(&self, expired: Vec<String>) {
        if !expired.is_empty() {
            tracing::error!(
                notices = expired.len(),
                "notices were deleted that no target took for as long as events are kept"
            );
        }
        for target in expired {
            self.metrics.notices_expired.inc();
            self.metrics.notices_pending(&target).dec();
        }
    }

    /// While the database is too large, gives up the oldest inputs, then the oldest history, before their time.
    fn make_room(&mut self, connection: &Connection) -> rusqlite::Result<bool> {
        let too_large = used_bytes(connection)? > self.settings.max_size;
        if too_large && !self.too_large {
            tracing::warn!(
                max_size = self.settings.max_size,
                "the database is larger than [store] max_size: the oldest inputs and history go before their time"
            );
        }
        self.too_large = too_large;
        if !too_large {
            return Ok(false);
        }
        let mut deleted = delete_journal(connection, i64::MAX)?;
        if deleted == 0 {
            // The sorted history is older than what is not sorted yet.
            let sorted = segments::prune(connection, Timestamp(i64::MAX))?;
            deleted = i64::try_from(sorted).unwrap_or(i64::MAX);
        }
        if deleted == 0 {
            deleted = delete_history(connection, i64::MAX, self.copied())?;
        }
        let given_up = u64::try_from(deleted).unwrap_or_default();
        self.metrics.rows_given_up.inc_by(given_up);
        Ok(deleted > 0)
    }
}

/// A table of things that end some day.
struct Lives {
    /// The last id and the earliest beginning of a window after an id.
    window: &'static str,
    /// Deletes what has ended between two ids, and has not changed since a moment.
    delete: &'static str,
}

const ALARMS: Lives = Lives {
    window: "SELECT max(id), min(raised_at) FROM
             (SELECT id, raised_at FROM alarm WHERE id > ?1 ORDER BY id LIMIT ?2)",
    delete: "DELETE FROM alarm WHERE id > ?1 AND id <= ?2 AND standing = 0 AND changed_at < ?3",
};

const COMMANDS: Lives = Lives {
    window: "SELECT max(id), min(requested_at) FROM
             (SELECT id, requested_at FROM command WHERE id > ?1 ORDER BY id LIMIT ?2)",
    delete: "DELETE FROM command WHERE id > ?1 AND id <= ?2 AND open = 0 AND changed_at < ?3",
};

/// Deletes what has ended, and to which nothing has happened since `before`. `looked` is how far this round has looked.
fn delete_ended(
    connection: &Connection,
    lives: &Lives,
    looked: &mut Vec<u8>,
    before: i64,
) -> rusqlite::Result<bool> {
    let (last, oldest): (Option<Vec<u8>>, Option<i64>) = connection
        .prepare_cached(lives.window)?
        .query_row(params![&*looked, SLICE], |row| Ok((row.get(0)?, row.get(1)?)))?;
    // Ids are in order of time: behind a window that is too young there is nothing to delete.
    let Some(last) = last.filter(|_| oldest.is_some_and(|oldest| oldest < before)) else {
        looked.clear();
        return Ok(false);
    };
    connection
        .prepare_cached(lives.delete)?
        .execute(params![&*looked, last, before])?;
    *looked = last;
    Ok(true)
}

/// What the database holds, without what it has free for the next rows.
fn used_bytes(connection: &Connection) -> rusqlite::Result<u64> {
    let pragma = |name| {
        let value = connection.pragma_query_value(None, name, |row| row.get(0));
        value.map(schema::from_sql)
    };
    let pages = pragma("page_count")?.saturating_sub(pragma("freelist_count")?);
    Ok(pages.saturating_mul(pragma("page_size")?))
}

/// Deletes journal rows from before `before` that the checkpoint has made unnecessary; how many.
fn delete_journal(connection: &Connection, before: i64) -> rusqlite::Result<i64> {
    // The LIMIT bounds what is looked at. Only an unbroken head goes, whatever the clock did: who reads on must find no gap.
    let deleted = connection
        .prepare_cached(
            "WITH head AS MATERIALIZED (SELECT first_input, wall_ms FROM journal
              WHERE first_input < (SELECT next_input FROM checkpoint) ORDER BY first_input LIMIT ?1)
             DELETE FROM journal WHERE first_input IN (SELECT first_input FROM head
              WHERE first_input < ifnull((SELECT min(first_input) FROM head WHERE wall_ms >= ?2), 9223372036854775807))",
        )?
        .execute([SLICE, before])?;
    Ok(i64::try_from(deleted).unwrap_or(i64::MAX))
}

/// Deletes history rows from before `before`, `last` the last; how many.
fn delete_history(connection: &Connection, before: i64, last: i64) -> rusqlite::Result<i64> {
    let deleted = connection
        .prepare_cached(
            "WITH head AS MATERIALIZED (SELECT row, to_at FROM history WHERE row <= ?3 ORDER BY row LIMIT ?1)
             DELETE FROM history WHERE row IN (SELECT row FROM head
              WHERE row < ifnull((SELECT min(row) FROM head WHERE to_at >= ?2), 9223372036854775807))",
        )?
        .execute([SLICE, before, last])?;
    Ok(i64::try_from(deleted).unwrap_or(i64::MAX))
}

/// Deletes the events at the beginning of the chain that are from before `before`, and keeps where it begins now.
fn delete_events(connection: &Connection, before: i64) -> rusqlite::Result<bool> {
    let mut last = None;
    {
        let mut events =
            connection.prepare_cached("SELECT seq, hash, at FROM event ORDER BY seq LIMIT ?1")?;
        let mut rows = events.query([SLICE])?;
        while let Some(row) = rows.next()? {
            if row.get::<_, i64>("at")? >= before {
                break;
            }
            last = Some(Head::from_row(row)?);
        }
    }
    let Some(last) = last else { return Ok(false) };
    chain::start_after(connection, last)?;
    let deleted = connection
        .prepare_cached("DELETE FROM event WHERE seq <= ?1")?
        .execute([last.seq])?;
    Ok(i64::try_from(deleted).is_ok_and(|deleted| deleted == SLICE))
}

/// Deletes definitions that were out of force before the oldest input that is kept, or that recovery begins with.
fn delete_definitions(connection: &Connection) -> rusqlite::Result<()> {
    // The newest before that input were in force at it.
    connection
        .prepare_cached(
            "DELETE FROM definitions WHERE first_input <
             (SELECT max(first_input) FROM definitions WHERE first_input <
              (SELECT min(next_input, ifnull((SELECT min(first_input) FROM journal), next_input))
               FROM checkpoint))",
        )?
        .execute([])?;
    Ok(())
}
