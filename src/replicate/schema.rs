//! The tables in PostgreSQL: made and brought forward by whichever gateway comes first, under a lock.

use std::time::Duration;

use tokio_postgres::Client;

use super::ReplicateError;
use super::connect::answered;

/// Forward only: the table `ninewatch_schema` says which have been applied. A released one is never edited.
const MIGRATIONS: [&str; 2] = [include_str!("schema/1.sql"), include_str!("schema/2.sql")];

/// "N9WC": the advisory lock of everything that changes tables.
pub(super) const LOCK: i64 = 0x4E39_5743;

/// Where rows wait to be merged into tables that have them already. Of one connection.
const STAGES: &str = "
    CREATE TEMP TABLE stage_alarm (LIKE alarm) ON COMMIT DELETE ROWS;
    CREATE TEMP TABLE stage_device_state (LIKE device_state) ON COMMIT DELETE ROWS";

/// Brings the tables to the newest version. Gateways that start at once wait for each other.
pub(super) async fn migrate(client: &mut Client, answer: Duration) -> Result<(), ReplicateError> {
    let known = i32::try_from(MIGRATIONS.len()).unwrap_or(i32::MAX);
    // Without a lock first: a server that takes no writes is still good to find the tables in order.
    let mut found = version(client, answer).await?;
    for (number, migration) in (1..).zip(MIGRATIONS) {
        if found >= number {
            continue;
        }
        let transaction = answered(answer, client.transaction()).await?;
        answered(
            answer,
            transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK]),
        )
        .await?;
        found = version(transaction.client(), answer).await?;
        if found >= number {
            continue;
        }
        if found == 0 {
            let table = "CREATE TABLE ninewatch_schema (version integer PRIMARY KEY, applied_at timestamptz NOT NULL)";
            answered(answer, transaction.batch_execute(table)).await?;
        }
        answered(answer, transaction.batch_execute(migration)).await?;
        let applied = "INSERT INTO ninewatch_schema (version, applied_at) VALUES ($1, now())";
        answered(answer, transaction.execute(applied, &[&number])).await?;
        answered(answer, transaction.commit()).await?;
        found = number;
    }
    if found > known {
        return Err(ReplicateError::TooNew { found, known });
    }
    answered(answer, client.batch_execute(STAGES)).await
}

/// The version of the tables; 0 when there are none.
async fn version(client: &Client, answer: Duration) -> Result<i32, ReplicateError> {
    // Not `to_regclass`: it may remember from before the lock that there was none.
    let exists =
        "SELECT count(*) > 0 FROM pg_class WHERE relname = 'ninewatch_schema' AND pg_table_is_visible(oid)";
    if !answered(answer, client.query_one(exists, &[]))
        .await?
        .try_get::<_, bool>(0)?
    {
        return Ok(0);
    }
    let newest = "SELECT coalesce(max(version), 0) FROM ninewatch_schema";
    Ok(answered(answer, client.query_one(newest, &[]))
        .await?
        .try_get(0)?)
}
