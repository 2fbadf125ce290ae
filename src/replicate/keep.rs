//! Partitions of the readings, made ahead and dropped when they are out of their retention; old events and alarms
//! deleted in slices. With TimescaleDB its chunks take the place of the partitions.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio_postgres::{Client, Transaction};

use super::ReplicateError;
use super::connect::answered;
use super::month::Month;
use super::schema::LOCK;
use crate::config::PostgresSettings;
use crate::domain::time::Timestamp;

/// How many months after the present one have their partition.
const AHEAD: usize = 2;

/// The most rows that one statement deletes.
const SLICE: i64 = 5_000;

/// The events, the ended alarms and the records of refused rows of this gateway from before `$2`, as far as they are among
/// the oldest.
const OLD: [&str; 3] = [
    "DELETE FROM event USING (
         SELECT e.store, e.seq, e.at FROM event e JOIN store s ON s.number = e.store
         WHERE s.gateway = $1 ORDER BY e.store, e.seq LIMIT $3) old
     WHERE event.store = old.store AND event.seq = old.seq AND old.at < $2::bigint * interval '1 ms' + 'epoch'::timestamptz",
    "DELETE FROM alarm USING (
         SELECT a.store, a.id, a.raised_at FROM alarm a JOIN store s ON s.number = a.store
         WHERE s.gateway = $1 AND NOT a.standing ORDER BY a.store, a.id LIMIT $3) old
     WHERE alarm.store = old.store AND alarm.id = old.id AND old.raised_at < $2::bigint * interval '1 ms' + 'epoch'::timestamptz",
    "DELETE FROM replica_refused USING (
         SELECT r.number, r.at FROM replica_refused r JOIN store s ON s.number = r.store
         WHERE s.gateway = $1 ORDER BY r.number LIMIT $3) old
     WHERE replica_refused.number = old.number AND old.at < $2::bigint * interval '1 ms' + 'epoch'::timestamptz",
];

/// How the readings are divided, and which months have their partition.
#[derive(Debug)]
pub(super) struct Partitions {
    hypertable: bool,
    known: BTreeSet<Month>,
    answer: Duration,
}

impl Partitions {
    /// Looks how it is done in this database.
    pub(super) async fn look(client: &Client, answer: Duration) -> Result<Partitions, ReplicateError> {
        let kind = "SELECT relkind = 'r' FROM pg_class WHERE oid = 'reading'::regclass";
        let hypertable = answered(answer, client.query_one(kind, &[])).await?.try_get(0)?;
        Ok(Partitions {
            hypertable,
            known: BTreeSet::new(),
            answer,
        })
    }

    /// Forgets what is there: somebody else may have dropped it.
    pub(super) fn forget(&mut self) {
        self.known.clear();
    }

    /// Sees to it that each of `months` has its partition.
    pub(super) async fn ensure(
        &mut self,
        client: &mut Client,
        months: impl IntoIterator<Item = Month>,
    ) -> Result<(), ReplicateError> {
        let missing: Vec<Month> = months
            .into_iter()
            .filter(|month| !self.known.contains(month))
            .collect();
        if self.hypertable || missing.is_empty() {
            return Ok(());
        }
        let transaction = self.locked(client).await?;
        for month in &missing {
            let (table, next) = (month.table(), month.next());
            let make = format!(
                "CREATE TABLE IF NOT EXISTS {table} PARTITION OF reading
                 FOR VALUES FROM ('{month} 00:00:00+00') TO ('{next} 00:00:00+00')"
            );
            answered(self.answer, transaction.batch_execute(&make)).await?;
        }
        answered(self.answer, transaction.commit()).await?;
        self.known.extend(missing);
        Ok(())
    }

    /// Makes the month of `now` and those ahead of it.
    pub(super) async fn make_ahead(
        &mut self,
        client: &mut Client,
        now: Timestamp,
    ) -> Result<(), ReplicateError> {
        let ahead = std::iter::successors(Month::of(now), |month| Some(month.next()));
        self.ensure(client, ahead.take(1 + AHEAD)).await
    }

    /// Gives up what is older than `settings` keep.
    pub(super) async fn give_up_old(
        &mut self,
        client: &mut Client,
        gateway: &str,
        settings: &PostgresSettings,
        now: Timestamp,
    ) -> Result<(), ReplicateError> {
        self.drop_old(client, before(now, settings.readings_keep)).await?;
        let oldest = before(now, settings.keep).0;
        for statement in OLD {
            let mut deleted = u64::MAX;
            while deleted > 0 {
                deleted = answered(
                    self.answer,
                    client.execute(statement, &[&gateway, &oldest, &SLICE]),
                )
                .await?;
            }
        }
        Ok(())
    }

    /// Drops the months that ended before `oldest`, each in a transaction of its own.
    async fn drop_old(&mut self, client: &mut Client, oldest: Timestamp) -> Result<(), ReplicateError> {
        let Some(first_kept) = Month::of(oldest) else {
            return Ok(());
        };
        if self.hypertable {
            let drop = format!("SELECT drop_chunks('reading', older_than => '{first_kept}'::timestamptz)");
            return answered(self.answer, client.batch_execute(&drop)).await;
        }
        let names = "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                     WHERE i.inhparent = 'reading'::regclass";
        for row in answered(self.answer, client.query(names, &[])).await? {
            let name: String = row.try_get(0)?;
            let Some(month) = Month::of_table(&name).filter(|month| *month < first_kept) else {
                continue;
            };
            let transaction = self.locked(client).await?;
            // Another gateway may have been faster.
            let drop = format!("DROP TABLE IF EXISTS {}", month.table());
            answered(self.answer, transaction.batch_execute(&drop)).await?;
            answered(self.answer, transaction.commit()).await?;
            self.known.remove(&month);
            tracing::info!(
                partition = name,
                "readings out of their retention are given up in PostgreSQL"
            );
        }
        Ok(())
    }

    /// A transaction that alone changes tables: of gateways that make the same one at once, one would fail.
    async fn locked<'c>(&self, client: &'c mut Client) -> Result<Transaction<'c>, ReplicateError> {
        let transaction = answered(self.answer, client.transaction()).await?;
        answered(
            self.answer,
            transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK]),
        )
        .await?;
        Ok(transaction)
    }
}

fn before(now: Timestamp, keep: Duration) -> Timestamp {
    Timestamp(
        now.0
            .saturating_sub(i64::try_from(keep.as_millis()).unwrap_or(i64::MAX)),
    )
}
