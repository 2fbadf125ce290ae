//! Orders as they stand, for those who ask. Changes nothing.

use rusqlite::{OptionalExtension, Row, params};

use super::transaction::key;
use super::{StoreError, StoreReader};
use crate::domain::id::Id;

/// Which state an order is to be in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandState {
    /// It is not over.
    Open,
    /// The device has proved that it obeyed.
    Verified,
    /// It was not obeyed.
    Failed,
    /// Another took its place.
    Superseded,
}

impl CommandState {
    /// As a condition, spelt out: a partial index serves only the literal one.
    const fn condition(self) -> &'static str {
        match self {
            CommandState::Open => "open = 1 AND",
            CommandState::Verified => "state = 'verified' AND",
            CommandState::Failed => "state = 'failed' AND",
            CommandState::Superseded => "state = 'superseded' AND",
        }
    }
}

/// Which orders to list.
#[derive(Debug, Clone, Default)]
pub struct CommandFilter {
    /// Only those in this state.
    pub state: Option<CommandState>,
    /// Only those for devices of this venue.
    pub venue: Option<String>,
    /// Only those for devices of this kind.
    pub kind: Option<String>,
    /// Only those for devices with this id.
    pub device: Option<String>,
    /// Only those older than this one: the last of the page before.
    pub after: Option<Id>,
    /// At most so many.
    pub limit: u32,
}

/// An order as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandRow {
    /// Its id.
    pub id: Id,
    /// The order as the API shows it: a JSON object.
    pub body: String,
}

impl StoreReader {
    /// The orders that `filter` lets through, newest first.
    pub async fn commands(&self, filter: CommandFilter) -> Result<Vec<CommandRow>, StoreError> {
        let state = filter.state.map_or("", CommandState::condition);
        let device = if filter.device.is_some() {
            "device = ?3"
        } else {
            "?3 IS NULL"
        };
        let query = format!(
            "SELECT id, body FROM command WHERE {state} {device} AND (?4 IS NULL OR venue = ?4)
             AND (?5 IS NULL OR kind = ?5) AND id < ?1 ORDER BY id DESC LIMIT ?2"
        );
        let after = filter.after.unwrap_or(Id::from_bits(u128::MAX));
        self.ask("read commands", move |connection| {
            connection
                .prepare_cached(&query)?
                .query_map(
                    params![key(after), filter.limit, filter.device, filter.venue, filter.kind],
                    command_row,
                )?
                .collect()
        })
        .await
    }

    /// One order.
    pub async fn command(&self, id: Id) -> Result<Option<CommandRow>, StoreError> {
        self.ask("read a command", move |connection| {
            connection
                .prepare_cached("SELECT id, body FROM command WHERE id = ?1")?
                .query_row([key(id)], command_row)
                .optional()
        })
        .await
    }
}

fn command_row(row: &Row<'_>) -> rusqlite::Result<CommandRow> {
    Ok(CommandRow {
        id: Id::from_bits(u128::from_be_bytes(row.get(0)?)),
        body: row.get(1)?,
    })
}
