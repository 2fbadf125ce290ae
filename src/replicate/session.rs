//! One connection's life: finds where it left off, then copies slices, each with its cursor in the same transaction. A
//! row that PostgreSQL refuses is set aside with the reason, and the others go on.

use std::time::Duration;

use futures_util::SinkExt;
use tokio_postgres::Transaction;
use tokio_postgres::types::ToSql;

use super::ReplicateError;
use super::connect::{Connection, answered, connect};
use super::keep::Partitions;
use super::tables::{self, Load, Prepared, Refused};
use super::transfer::{Copied, Run, Transfer};
use super::{Replicate, schema};
use crate::clock;
use crate::domain::registry::Registry;
use crate::store::{Cursor, Followed, Slice};

/// The longest description of a refused row or of the reason, in characters.
const LONGEST_WORDS: usize = 1_000;

/// Finds the store's row, or makes it.
const FIND: &str = "
    INSERT INTO store (gateway, epoch, version, event, history, device, point, copied_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, now())
    ON CONFLICT (gateway, epoch) DO UPDATE SET version = excluded.version
    RETURNING number, event, history, device, point";

/// Moves the cursor, when it still is where this process left it.
const MOVE: &str = "
    UPDATE store SET event = $2, history = $3, device = $4, point = $5, copied_at = now()
    WHERE number = $1 AND event = $6 AND history = $7 AND device = $8 AND point = $9";

const LAST_EVENT: &str = "SELECT hash FROM event WHERE store = $1 AND seq = $2";

const REFUSE: &str =
    "INSERT INTO replica_refused (store, at, \"table\", row, reason) VALUES ($1, now(), $2, $3, $4)";

/// Gives devices the names that they go by now, unless somebody goes by them already.
const RENAME: &str = "
    UPDATE device SET venue = moved.venue, device = moved.device
    FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
        AS moved (kind, venue, device, old_venue, old_device)
    WHERE device.store = $1 AND device.kind = moved.kind
        AND device.venue = moved.old_venue AND device.device = moved.old_device
        AND NOT EXISTS (SELECT FROM device AS other WHERE other.store = $1 AND other.kind = moved.kind
            AND other.venue = moved.venue AND other.device = moved.device)";

const FORGET_REGISTRY: [&str; 2] = [
    "DELETE FROM venue WHERE gateway = $1",
    "DELETE FROM registered_device WHERE gateway = $1",
];

/// A value in a statement.
type Value<'a> = &'a (dyn ToSql + Sync);

/// A connection that knows its place.
pub(super) struct Session {
    connection: Connection,
    partitions: Partitions,
    store: i32,
    answer: Duration,
    /// What PostgreSQL has.
    pub(super) cursor: Cursor,
}

impl Session {
    /// Connects, brings the tables forward, finds the cursor.
    pub(super) async fn open(replicate: &Replicate, end: Followed) -> Result<Session, ReplicateError> {
        let answer = replicate.limits.answer;
        let gateway = replicate.gateway.as_str();
        let epoch = replicate.reader.epoch().await?;
        let mut connection = connect(&replicate.settings, gateway, answer).await?;
        schema::migrate(&mut connection.client, answer).await?;
        let start = Cursor::START;
        let values: [Value<'_>; 7] = [
            &gateway,
            &epoch,
            &env!("CARGO_PKG_VERSION"),
            &start.followed.event,
            &start.followed.history,
            &start.device,
            &start.point,
        ];
        let row = answered(answer, connection.client.query_one(FIND, &values)).await?;
        let cursor = Cursor {
            followed: Followed {
                event: row.try_get(1)?,
                history: row.try_get(2)?,
            },
            device: row.try_get(3)?,
            point: row.try_get(4)?,
        };
        let store = row.try_get(0)?;
        let hash = replicate.reader.event_hash(cursor.followed.event).await?;
        let values: [Value<'_>; 2] = [&store, &cursor.followed.event];
        let copied = answered(answer, connection.client.query_opt(LAST_EVENT, &values)).await?;
        let copied: Option<Vec<u8>> = copied.map(|row| row.try_get(0)).transpose()?;
        // A store that was restored and has grown past the cursor since has other rows under the numbers copied.
        let other = hash.zip(copied).is_some_and(|(here, there)| here != there);
        if other || !end.covers(cursor.followed) {
            return Err(ReplicateError::Restored);
        }
        Ok(Session {
            partitions: Partitions::look(&connection.client, answer).await?,
            store,
            connection,
            answer,
            cursor,
        })
    }

    /// Copies `slice`, and with it the cursor.
    pub(super) async fn copy(&mut self, slice: Slice) -> Result<Copied, ReplicateError> {
        let store = self.store;
        // Beside the runtime: a full slice takes some milliseconds to encode.
        let prepared = tokio::task::spawn_blocking(move || tables::prepare(store, slice))
            .await
            .map_err(|_| ReplicateError::Unencodable)?;
        let months = prepared.months.iter().copied();
        self.partitions
            .ensure(&mut self.connection.client, months)
            .await?;
        let first = self.attempt(&prepared, false).await;
        let copied = match first {
            Err(error) if error.of_rows().is_some() => {
                // A partition that another gateway dropped refuses rows as well.
                self.partitions.forget();
                let months = prepared.months.iter().copied();
                self.partitions
                    .ensure(&mut self.connection.client, months)
                    .await?;
                self.attempt(&prepared, true).await?
            }
            other => other?,
        };
        self.cursor = prepared.next;
        Ok(copied)
    }

    async fn attempt(&mut self, prepared: &Prepared, isolate: bool) -> Result<Copied, ReplicateError> {
        let mut transaction = answered(self.answer, self.connection.client.transaction()).await?;
        let mut transfer = Transfer::of(prepared);
        put(&mut transaction, &mut transfer, (isolate, self.answer)).await?;
        for refused in transfer.set_aside() {
            refuse(&transaction, self.store, refused, self.answer).await?;
        }
        let (old, new) = (self.cursor, prepared.next);
        let values: [Value<'_>; 9] = [
            &self.store,
            &new.followed.event,
            &new.followed.history,
            &new.device,
            &new.point,
            &old.followed.event,
            &old.followed.history,
            &old.device,
            &old.point,
        ];
        // The cursor is the guard: whatever was copied twice is undone with it (DESIGN §8, exactly once).
        if answered(self.answer, transaction.execute(MOVE, &values)).await? != 1 {
            return Err(ReplicateError::Moved);
        }
        fail::fail_point!("replicate-before-commit", |_| std::process::abort());
        answered(self.answer, transaction.commit()).await?;
        Ok(transfer.end())
    }

    /// Puts the venues and names of the configuration in the place of those that are there.
    pub(super) async fn register(
        &mut self,
        gateway: &str,
        registry: &Registry,
    ) -> Result<Copied, ReplicateError> {
        let loads = tables::registry(gateway, registry);
        let copied = match self.replace(gateway, &loads, false).await {
            Err(error) if error.of_rows().is_some() => self.replace(gateway, &loads, true).await,
            other => other,
        };
        self.rename(registry).await?;
        copied
    }

    /// Devices that moved or were renamed keep their number here too.
    async fn rename(&mut self, registry: &Registry) -> Result<(), ReplicateError> {
        let mut names: [Vec<&str>; 5] = Default::default();
        for device in registry.devices() {
            for alias in &device.aliases {
                let key = &device.key;
                let moved = [&key.kind, &key.venue, &key.device, &alias.venue, &alias.device];
                for (names, name) in names.iter_mut().zip(moved) {
                    names.push(name);
                }
            }
        }
        let [kinds, venues, devices, old_venues, old_devices] = &names;
        if !kinds.is_empty() {
            let values: [Value<'_>; 6] = [&self.store, kinds, venues, devices, old_venues, old_devices];
            answered(self.answer, self.connection.client.execute(RENAME, &values)).await?;
        }
        Ok(())
    }

    async fn replace(
        &mut self,
        gateway: &str,
        loads: &[Load],
        isolate: bool,
    ) -> Result<Copied, ReplicateError> {
        let mut transaction = answered(self.answer, self.connection.client.transaction()).await?;
        for forget in FORGET_REGISTRY {
            answered(self.answer, transaction.execute(forget, &[&gateway])).await?;
        }
        let mut transfer = Transfer::of_loads(loads);
        put(&mut transaction, &mut transfer, (isolate, self.answer)).await?;
        for refused in transfer.set_aside() {
            refuse(&transaction, self.store, refused, self.answer).await?;
        }
        answered(self.answer, transaction.commit()).await?;
        Ok(transfer.end())
    }

    /// Partitions and retention.
    pub(super) async fn tend(&mut self, replicate: &Replicate) -> Result<(), ReplicateError> {
        let client = &mut self.connection.client;
        let (gateway, settings, now) = (&replicate.gateway, &replicate.settings, clock::wall());
        self.partitions.make_ahead(client, now).await?;
        // A long query of somebody else's, or a missing right, must not hold up what is new.
        if let Err(error) = self.partitions.give_up_old(client, gateway, settings, now).await {
            if self.is_closed() {
                return Err(error);
            }
            replicate.metrics.replication_errors(error.reason()).inc();
            tracing::warn!(%error, "cannot give up old rows in PostgreSQL; it is tried again in an hour");
        }
        Ok(())
    }

    /// Whether the connection has ended.
    pub(super) fn is_closed(&self) -> bool {
        self.connection.client.is_closed()
    }
}

/// Sends the rows of `transfer`. Where they are to be isolated, those that are refused by themselves are set aside.
async fn put(
    transaction: &mut Transaction<'_>,
    transfer: &mut Transfer<'_>,
    (isolate, answer): (bool, Duration),
) -> Result<(), ReplicateError> {
    while let Some(run) = transfer.next_run() {
        if !isolate {
            send(transaction, &run, answer).await?;
            transfer.taken();
            continue;
        }
        let savepoint = answered(answer, transaction.transaction()).await?;
        match send(&savepoint, &run, answer).await {
            Ok(()) => {
                answered(answer, savepoint.commit()).await?;
                transfer.taken();
            }
            Err(error) => {
                let Some(reason) = error.of_rows() else {
                    return Err(error);
                };
                answered(answer, savepoint.rollback()).await?;
                transfer.refused(reason);
            }
        }
    }
    Ok(())
}

/// Sends a run of rows.
async fn send(transaction: &Transaction<'_>, run: &Run<'_>, answer: Duration) -> Result<(), ReplicateError> {
    let stream = run.stream();
    let copy = async {
        let sink = transaction.copy_in(run.table().copy).await?;
        let mut sink = std::pin::pin!(sink);
        sink.send(stream).await?;
        sink.finish().await
    };
    answered(answer, copy).await?;
    if let Some(merge) = run.table().merge {
        answered(answer, transaction.execute(merge, &[])).await?;
    }
    Ok(())
}

async fn refuse(
    transaction: &Transaction<'_>,
    store: i32,
    refused: &Refused,
    answer: Duration,
) -> Result<(), ReplicateError> {
    let (row, reason) = (words(&refused.row), words(&refused.reason));
    let values: [Value<'_>; 4] = [&store, &refused.table, &row, &reason];
    answered(answer, transaction.execute(REFUSE, &values))
        .await
        .map(drop)
}

/// Text that PostgreSQL is sure to take.
fn words(text: &str) -> String {
    text.replace('\0', "\u{FFFD}")
        .chars()
        .take(LONGEST_WORDS)
        .collect()
}
