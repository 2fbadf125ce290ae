//! Why the follower stands still for a while, or why a row was refused. It never gives up on either account.

use std::error::Error;
use std::time::Duration;

use tokio_postgres::error::SqlState;

use crate::store::StoreError;

/// Why the follower stands still. It tries again, and nothing is lost meanwhile.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReplicateError {
    /// The server, or the way to it.
    #[error("{}", said(.0))]
    Server(#[from] tokio_postgres::Error),
    /// No answer in time.
    #[error("no answer within {0:?}")]
    Silent(Duration),
    /// A fault in ninewatch itself.
    #[error("rows cannot be put into PostgreSQL's form; please report it with the log")]
    Unencodable,
    /// TLS cannot be set up.
    #[error("{0}")]
    Tls(String),
    /// A later version has been here.
    #[error(
        "the tables were made by a newer ninewatch (schema {found}, this one knows {known}); run that version"
    )]
    TooNew {
        /// Their version.
        found: i32,
        /// The newest known here.
        known: i32,
    },
    /// The connection ended while there was nothing to copy.
    #[error("the connection has ended")]
    Closed,
    /// Somebody else copies under this gateway's name.
    #[error("another process copies as this gateway: is gateway.id used twice?")]
    Moved,
    /// The store ends before what was copied from it, or the last event copied is not the one that stands there.
    #[error(
        "the store is not the one that PostgreSQL has a copy of: it was restored from a backup; stop ninewatch, and make it a store of its own with `sqlite3 ninewatch.db \"UPDATE store SET epoch = epoch + 1\"`"
    )]
    Restored,
    /// The embedded store cannot be read.
    #[error("the store cannot be read: {0}")]
    Store(#[from] StoreError),
}

impl ReplicateError {
    /// The word for it in metrics.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            ReplicateError::Server(error) => match error.code() {
                Some(code) if *code == SqlState::READ_ONLY_SQL_TRANSACTION => "read_only",
                Some(code) if *code == SqlState::TOO_MANY_CONNECTIONS => "too_many_connections",
                Some(code) if *code == SqlState::QUERY_CANCELED => "timeout",
                Some(code) if *code == SqlState::DISK_FULL => "disk_full",
                Some(code) if code.code().starts_with("57P") => "shutdown",
                Some(code) if code.code().starts_with("28") => "refused_login",
                Some(_) => "server",
                None => "connection",
            },
            ReplicateError::Silent(_) => "timeout",
            ReplicateError::Unencodable => "encoding",
            ReplicateError::Tls(_) => "tls",
            ReplicateError::TooNew { .. } => "schema",
            ReplicateError::Closed => "connection",
            ReplicateError::Moved => "moved",
            ReplicateError::Restored => "restored",
            ReplicateError::Store(_) => "store",
        }
    }

    /// What the server says against the rows themselves; `None` when it is about anything else, and the same rows may be
    /// taken later.
    pub(super) fn of_rows(&self) -> Option<String> {
        let ReplicateError::Server(error) = self else {
            return None;
        };
        // Data exceptions, integrity constraints, limits of the program.
        let class = error.code()?.code().get(..2)?;
        matches!(class, "22" | "23" | "54").then(|| said(error))
    }
}

/// The client library says only "db error"; what matters stands behind it.
fn said(error: &tokio_postgres::Error) -> String {
    if let Some(db) = error.as_db_error() {
        return format!("{} ({})", db.message(), db.code().code());
    }
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
