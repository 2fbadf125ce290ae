//! The follower, PostgreSQL and retention in the world: what they do in a step, and what a receipt means where it waits for
//! PostgreSQL.

use std::collections::HashMap;

use ninewatch::domain::journal::{self, Entry};
use ninewatch::store::Followed;
use rusqlite::Connection;

use super::super::Bug;
use super::super::broker::Mark;
use super::super::kept::Rules;
use super::super::ledger::sql;
use super::World;

/// Where the store was when it had each message first.
#[derive(Default)]
pub(super) struct Places {
    next_input: u64,
    seqs: HashMap<u64, Followed>,
    ats: HashMap<i64, Followed>,
}

impl Places {
    /// Notes what the journal has got since.
    fn note(&mut self, disk: &Connection) -> Result<(), String> {
        let end = end(disk).map_err(sql)?;
        let rows: Vec<(i64, i64, Vec<u8>)> = disk
            .prepare_cached(
                "SELECT first_input, inputs, substr(entries, 6) FROM journal WHERE first_input >= ?1",
            )
            .and_then(|mut query| {
                let next_input = i64::try_from(self.next_input).expect("few");
                query
                    .query_map([next_input], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
                    .collect()
            })
            .map_err(sql)?;
        for (first_input, inputs, entries) in rows {
            for entry in journal::entries(first_input.unsigned_abs(), &entries) {
                let (_, entry) = entry.map_err(|error| error.to_string())?;
                if let Entry::Reading { seq, device_at, .. } = entry {
                    if let Some(seq) = seq {
                        self.seqs.entry(seq).or_insert(end);
                    }
                    if let Some(at) = device_at {
                        self.ats.entry(at.at.0).or_insert(end);
                    }
                }
            }
            self.next_input = self.next_input.max((first_input + inputs).unsigned_abs());
        }
        Ok(())
    }

    fn of(&self, mark: Mark) -> Option<Followed> {
        match mark {
            Mark::Seq(seq) => self.seqs.get(&seq).copied(),
            Mark::At(at) => self.ats.get(&at).copied(),
            Mark::Plain | Mark::Answer | Mark::Letter | Mark::Oversize(_) => None,
        }
    }
}

/// The last event and the last row of the history that there ever were.
fn end(disk: &Connection) -> rusqlite::Result<Followed> {
    disk.prepare_cached(
        "SELECT max((SELECT ifnull(max(seq), 0) FROM event), ifnull((SELECT seq FROM chain_start), 0)),
         ifnull((SELECT seq FROM sqlite_sequence WHERE name = 'history'), 0)",
    )?
    .query_row([], |row| {
        Ok(Followed {
            event: row.get(0)?,
            history: row.get(1)?,
        })
    })
}

impl World<'_> {
    /// The follower takes a step.
    pub(super) fn follow(&mut self) -> Result<(), String> {
        let Some(follower) = &mut self.process.follower else {
            return Ok(());
        };
        let apart = self.bug == Some(Bug::CursorApart);
        let farther = follower.step(&self.store, &mut self.postgres, apart)?;
        if farther && self.manner.holds() {
            self.process.wake_writer();
        }
        Ok(())
    }

    /// PostgreSQL goes away with its connections, or comes back; what was on its way stays there, arrives or does not.
    pub(super) fn break_postgres(&mut self) {
        if let Some(follower) = &mut self.process.follower {
            follower.lose();
            let fate = self.dice.below(3);
            self.postgres.break_connections(fate);
            self.postgres.away = self.dice.chance(50);
        }
    }

    /// One slice of retention, on a disk that may fail.
    pub(super) fn tidy(&mut self) -> Result<(), String> {
        if !self.manner.tidies {
            return Ok(());
        }
        let copied = if self.manner.follows() {
            self.postgres.cursor().followed.history
        } else {
            i64::MAX
        };
        let rules = Rules {
            now: self.wall(),
            settings: self.manner.keeps,
            copied,
        };
        let too_many = self.bug == Some(Bug::OneRowTooMany) && self.dice.chance(20);
        let table = self.dice.pick(&[
            "journal WHERE first_input",
            "event WHERE seq",
            "history WHERE row",
        ]);
        let beside = |disk: &Connection| {
            if too_many && let Some((table, key)) = table.split_once(" WHERE ") {
                let delete = format!("DELETE FROM {table} WHERE {key} = (SELECT min({key}) FROM {table})");
                disk.execute_batch(&delete).expect("it is SQL");
            }
        };
        let broken = self.failures > 0;
        if broken {
            self.failures -= 1;
            self.run("PRAGMA query_only = ON");
        }
        let tidied = self
            .taken
            .slice(&self.store, &mut self.process.retention, (rules, broken), beside);
        if broken {
            self.run("PRAGMA query_only = OFF");
        }
        tidied
    }

    /// The history is sorted on.
    pub(super) fn sort(&mut self) -> Result<(), String> {
        if self.manner.tidies {
            self.process.sort(&self.store, self.wall())?;
        }
        Ok(())
    }

    pub(super) fn note_places(&mut self) -> Result<(), String> {
        if self.manner.holds() {
            self.places.note(self.store.connection())?;
        }
        Ok(())
    }

    /// The broker gets the next acknowledgement. Where receipts wait for PostgreSQL, it has all that the store had when it
    /// took the message first: also when that came again since.
    pub(super) fn acknowledge_one(&mut self) -> Result<bool, String> {
        let Some(mark) = self.broker.acknowledge()? else {
            return Ok(false);
        };
        if let Some(place) = self.places.of(mark) {
            let followed = self.postgres.cursor().followed;
            if !followed.covers(place) {
                return Err(format!(
                    "{mark:?} is acknowledged, stands at {place:?}, and PostgreSQL is at {followed:?}"
                ));
            }
        }
        Ok(true)
    }
}
