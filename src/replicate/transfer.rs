//! How the rows of a transaction go into PostgreSQL, and what becomes of those that it refuses. Pure: says what is to be
//! sent next and is told how it went; a session on the wire does the sending, a simulation calls it instead.

use std::ops::Range;

use bytes::Bytes;

use super::tables::{Load, Prepared, Refused, Table};

/// What one transaction brought.
#[derive(Debug, Default, Clone)]
pub struct Copied {
    /// Rows by table.
    pub rows: Vec<(&'static str, u64)>,
    /// Rows that were refused.
    pub refused: Vec<Refused>,
}

/// Some rows of one table, to be sent together.
#[derive(Debug)]
pub struct Run<'a> {
    load: &'a Load,
    rows: Range<usize>,
}

impl<'a> Run<'a> {
    /// The table they go into.
    pub const fn table(&self) -> &'a Table {
        &self.load.table
    }

    /// The rows, as a whole stream of PostgreSQL's binary COPY format.
    pub fn stream(&self) -> Bytes {
        self.load.rows.stream(self.rows.clone())
    }
}

/// The rows of one transaction on their way.
#[derive(Debug)]
pub struct Transfer<'a> {
    /// Those that wait, the next last.
    waiting: Vec<(&'a Load, Range<usize>)>,
    copied: Copied,
}

impl<'a> Transfer<'a> {
    /// All of `prepared`.
    pub fn of(prepared: &'a Prepared) -> Transfer<'a> {
        Transfer {
            copied: Copied {
                rows: Vec::new(),
                refused: prepared.refused.clone(),
            },
            ..Transfer::of_loads(&prepared.loads)
        }
    }

    /// All of `loads`, in their order.
    pub(super) fn of_loads(loads: &'a [Load]) -> Transfer<'a> {
        let filled = loads.iter().filter(|load| load.rows.len() > 0);
        Transfer {
            waiting: filled.rev().map(|load| (load, 0..load.rows.len())).collect(),
            copied: Copied::default(),
        }
    }

    /// What is to be sent next; `None`: that was all. It is offered until it is taken or refused.
    pub fn next_run(&self) -> Option<Run<'a>> {
        let (load, rows) = self.waiting.last()?;
        Some(Run {
            load,
            rows: rows.clone(),
        })
    }

    /// PostgreSQL has taken the last offered run.
    pub fn taken(&mut self) {
        if let Some((load, rows)) = self.waiting.pop() {
            self.copied.rows.push((load.table.name, rows.len() as u64));
        }
    }

    /// PostgreSQL has refused the last offered run for what is in it: it is halved, until the rows remain that are refused
    /// by themselves. These are set aside with the `reason`, and the others go on.
    pub fn refused(&mut self, reason: String) {
        let Some((load, rows)) = self.waiting.pop() else {
            return;
        };
        if rows.len() <= 1 {
            self.copied.refused.push(Refused {
                table: load.table.name,
                row: load.names.of(rows.start),
                reason,
            });
            return;
        }
        let middle = rows.start + rows.len() / 2;
        self.waiting.push((load, middle..rows.end));
        self.waiting.push((load, rows.start..middle));
    }

    /// What is to be recorded as refused so far.
    pub fn set_aside(&self) -> &[Refused] {
        &self.copied.refused
    }

    /// What it has brought, once it is committed.
    pub fn end(self) -> Copied {
        self.copied
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::super::tables::prepare;
    use super::Transfer;
    use crate::domain::device::DeviceKey;
    use crate::domain::time::Timestamp;
    use crate::store::{Cursor, FollowedDevice, Slice};

    fn slice(devices: u8) -> Slice {
        let device = |number: u8| FollowedDevice {
            number: i64::from(number),
            key: DeviceKey::gateway("g"),
            first_seen: Timestamp(0),
        };
        Slice {
            devices: (0..devices).map(device).collect(),
            points: Vec::new(),
            events: Vec::new(),
            alarms: Vec::new(),
            samples: Vec::new(),
            damaged: Vec::new(),
            online: Vec::new(),
            next: Cursor::START,
            oldest: None,
        }
    }

    proptest! {
        /// Whatever rows are refused, exactly they are set aside, and the others are taken once, in their order.
        #[test]
        fn each_row_is_taken_or_set_aside(devices in 0_u8..40, bad in proptest::collection::btree_set(0_u8..40, 0..6)) {
            let prepared = prepare(1, slice(devices));
            let mut transfer = Transfer::of(&prepared);
            let mut taken = Vec::new();
            while let Some(run) = transfer.next_run() {
                if run.rows.clone().any(|row| bad.contains(&u8::try_from(row).unwrap())) {
                    transfer.refused("bad".to_owned());
                } else {
                    taken.extend(run.rows.clone());
                    transfer.taken();
                }
            }
            let copied = transfer.end();
            let bad: BTreeSet<u8> = bad.into_iter().filter(|row| *row < devices).collect();
            let good: Vec<usize> = (0..devices).filter(|row| !bad.contains(row)).map(usize::from).collect();
            prop_assert_eq!(taken, good.clone());
            let rows: u64 = copied.rows.iter().map(|(_, rows)| rows).sum();
            prop_assert_eq!(rows, good.len() as u64);
            let refused: Vec<String> = copied.refused.into_iter().map(|refused| refused.row).collect();
            let names: Vec<String> = bad.iter().map(|row| format!("device {row}")).collect();
            prop_assert_eq!(refused, names);
        }
    }
}
