//! What retention has taken: kept aside, so that everything that ever was can still be compared. Each slice may take only
//! what was kept long enough, and only an unbroken head.

use std::collections::{BTreeMap, HashMap, HashSet};

use ninewatch::config::StoreSettings;
use ninewatch::domain::history::{Sample, samples};
use ninewatch::store::{Retention, Store, Verified};
use rusqlite::{Connection, Row};

use super::ledger::sql;
use super::site::TARGETS;

/// An event as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredEvent {
    pub(crate) seq: i64,
    pub(crate) id: [u8; 16],
    pub(crate) event_type: String,
    pub(crate) at: i64,
    pub(crate) body: String,
    pub(crate) hash: Vec<u8>,
}

/// A row of the history as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Run {
    pub(crate) row: i64,
    pub(crate) to_at: i64,
    pub(crate) samples: Vec<Sample>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct JournalRow {
    first_input: u64,
    wall: i64,
    entries: Vec<u8>,
}

/// Everything that retention has taken so far.
#[derive(Default)]
pub(crate) struct Taken {
    pub(crate) journal: Vec<(u64, Vec<u8>)>,
    pub(crate) events: Vec<StoredEvent>,
    pub(crate) runs: Vec<Run>,
    /// The rows of the history that went for their age, perhaps before they were sorted.
    pub(crate) aged: HashSet<i64>,
    /// Segment and device.
    pub(crate) pruned: HashSet<(i64, u32)>,
    pub(crate) alarms: HashSet<[u8; 16]>,
    pub(crate) orders: HashSet<[u8; 16]>,
    pub(crate) notices: HashMap<String, HashSet<[u8; 16]>>,
    /// Notices that no target had taken.
    pub(crate) expired: HashSet<(String, [u8; 16])>,
}

/// When a slice is taken, and what it must leave.
#[derive(Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) now: i64,
    pub(crate) settings: StoreSettings,
    /// The row of the history that the follower has come to; all, where there is none.
    pub(crate) copied: i64,
}

impl Rules {
    fn before(&self, keep: std::time::Duration) -> i64 {
        self.now - i64::try_from(keep.as_millis()).expect("short")
    }
}

/// What retention may touch, as it is.
struct Tables {
    next_input: u64,
    last_sorted: i64,
    journal: Vec<JournalRow>,
    events: Vec<StoredEvent>,
    runs: Vec<Run>,
    segments: BTreeMap<(i64, u32), i64>,
    alarms: HashMap<[u8; 16], (bool, i64)>,
    orders: HashMap<[u8; 16], (bool, i64)>,
    notices: BTreeMap<i64, Notice>,
}

struct Notice {
    id: [u8; 16],
    target: String,
    created_at: i64,
    delivered_at: Option<i64>,
}

impl Taken {
    /// Lets `retention` take a slice, then `beside` happen, and looks at what is gone. On a `broken` disk it may fail.
    pub(crate) fn slice(
        &mut self,
        store: &Store,
        retention: &mut Retention,
        (rules, broken): (Rules, bool),
        beside: impl FnOnce(&Connection),
    ) -> Result<(), String> {
        let disk = store.connection();
        let before = Tables::read(disk).map_err(sql)?;
        let now = ninewatch::domain::time::Timestamp(rules.now);
        match retention.delete_slice(disk, now) {
            Ok(_) => beside(disk),
            Err(_) if broken => {}
            Err(error) => return Err(sql(error)),
        }
        let after = Tables::read(disk).map_err(sql)?;
        self.take(before, &after, &rules)
            .map_err(|what| format!("retention: {what}"))?;
        self.check_chain(store)
    }

    /// The chain begins where it was cut, and holds.
    pub(crate) fn check_chain(&self, store: &Store) -> Result<(), String> {
        match store.verify().map_err(sql)? {
            Verified::Intact { deleted, .. } if deleted.unsigned_abs() == self.events.len() as u64 => Ok(()),
            found @ (Verified::Intact { .. } | Verified::Broken { .. }) => Err(format!(
                "the event chain: {found:?}, {} were deleted",
                self.events.len()
            )),
        }
    }

    fn take(&mut self, before: Tables, after: &Tables, rules: &Rules) -> Result<(), String> {
        let settings = &rules.settings;
        // Where the database is too large, inputs and history go before their time.
        let squeezed = settings.max_size < u64::MAX;
        let limit = rules.before(settings.journal_keep);
        let gone = head(&before.journal, &after.journal).ok_or("the journal has a gap")?;
        for row in before.journal.into_iter().take(gone) {
            if row.first_input >= before.next_input {
                return Err(format!("input {} is needed for recovery", row.first_input));
            }
            if row.wall >= limit && !squeezed {
                return Err(format!("input {} was not kept long enough", row.first_input));
            }
            self.journal.push((row.first_input, row.entries));
        }
        let limit = rules.before(settings.event_keep);
        let gone = head(&before.events, &after.events).ok_or("the events have a gap")?;
        for event in before.events.into_iter().take(gone) {
            if event.at >= limit {
                return Err(format!("event {} was not kept long enough", event.seq));
            }
            self.events.push(event);
        }
        let oldest = rules.before(settings.history_keep);
        let gone = head(&before.runs, &after.runs).ok_or("the history has a gap")?;
        for run in before.runs.into_iter().take(gone) {
            let needless = run.row <= before.last_sorted && run.row <= rules.copied;
            let aged = run.to_at < oldest || (squeezed && run.row <= rules.copied);
            if !needless && !aged {
                return Err(format!("row {} of the history is needed", run.row));
            }
            if aged {
                self.aged.insert(run.row);
            }
            self.runs.push(run);
        }
        for (key, to_at) in before.segments {
            if !after.segments.contains_key(&key) {
                if to_at >= oldest && !squeezed {
                    return Err(format!("segment {key:?} was not kept long enough"));
                }
                self.pruned.insert(key);
            }
        }
        take_ended(("alarm", &mut self.alarms), before.alarms, &after.alarms, limit)?;
        take_ended(("order", &mut self.orders), before.orders, &after.orders, limit)?;
        self.take_notices(before.notices, after, limit)
    }

    fn take_notices(
        &mut self,
        before: BTreeMap<i64, Notice>,
        after: &Tables,
        limit: i64,
    ) -> Result<(), String> {
        for (row, notice) in before {
            if after.notices.contains_key(&row) {
                continue;
            }
            if notice.delivered_at.unwrap_or(notice.created_at) >= limit {
                return Err(format!("notice {row} was not kept long enough"));
            }
            if notice.delivered_at.is_none() {
                self.expired.insert((notice.target.clone(), notice.id));
            }
            if !self.notices.entry(notice.target).or_default().insert(notice.id) {
                return Err(format!("notice {row} was taken twice"));
            }
        }
        Ok(())
    }

    /// Everything that was ever in the table `history`.
    pub(crate) fn all_runs(&self, disk: &Connection) -> rusqlite::Result<Vec<Run>> {
        let mut all = self.runs.clone();
        all.extend(runs(disk)?);
        Ok(all)
    }

    /// Everything that was ever in the table `event`.
    pub(crate) fn all_events(&self, disk: &Connection) -> rusqlite::Result<Vec<StoredEvent>> {
        let mut all = self.events.clone();
        all.extend(events(disk)?);
        Ok(all)
    }

    /// What the history ever held is what the engine wanted kept, each sample once and in its order; what stands in
    /// segments is what the rows of batches had.
    pub(crate) fn check_history(&self, disk: &Connection, caused: &[Sample]) -> Result<(), String> {
        let runs = self.all_runs(disk).map_err(sql)?;
        if let Some((run, place)) = runs.iter().zip(1..).find(|(run, place)| run.row != *place) {
            return Err(format!("row {} of the history stands at place {place}", run.row));
        }
        let stored = runs.iter().flat_map(|run| &run.samples);
        if !stored.clone().eq(caused) {
            let at = stored
                .clone()
                .zip(caused)
                .take_while(|(one, other)| one == other)
                .count();
            return Err(format!(
                "history: {} samples are stored, {} were caused; they differ at {at}: {:?} against {:?}",
                stored.clone().count(),
                caused.len(),
                stored.clone().nth(at),
                caused.get(at)
            ));
        }
        self.check_segments(disk, &runs)
    }

    fn check_segments(&self, disk: &Connection, runs: &[Run]) -> Result<(), String> {
        let mut query = disk
            .prepare_cached("SELECT number, last_row FROM segment ORDER BY number")
            .map_err(sql)?;
        let segments: Vec<(i64, i64)> = query
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
            .and_then(Iterator::collect)
            .map_err(sql)?;
        let mut previous = None;
        for (segment, last_row) in segments {
            // Where an earlier segment is gone, nobody knows where this one begins.
            let first_row = match previous {
                Some((number, last)) if number + 1 == segment => Some(last + 1),
                Some(_) => None,
                None => (segment == 1).then_some(1),
            };
            previous = Some((segment, last_row));
            if let Some(first_row) = first_row {
                let runs = runs
                    .iter()
                    .filter(|run| (first_row..=last_row).contains(&run.row));
                self.check_segment(disk, segment, runs)?;
            }
        }
        Ok(())
    }

    fn check_segment<'r>(
        &self,
        disk: &Connection,
        segment: i64,
        runs: impl Iterator<Item = &'r Run>,
    ) -> Result<(), String> {
        let mut expected: BTreeMap<u32, Vec<Sample>> = BTreeMap::new();
        for run in runs {
            if self.aged.contains(&run.row) {
                // It may have gone before it was sorted.
                return Ok(());
            }
            for sample in &run.samples {
                expected.entry(sample.device.0).or_default().push(*sample);
            }
        }
        expected.retain(|device, _| !self.pruned.contains(&(segment, *device)));
        let mut query = disk
            .prepare_cached("SELECT device, substr(samples, 6) FROM history_segment WHERE segment = ?1")
            .map_err(sql)?;
        let stored: BTreeMap<u32, Vec<Sample>> = query
            .query_map([segment], |row| {
                Ok((row.get(0)?, unpacked(&row.get::<_, Vec<u8>>(1)?)))
            })
            .and_then(Iterator::collect)
            .map_err(sql)?;
        if stored == expected {
            return Ok(());
        }
        Err(format!(
            "segment {segment} is {stored:?}, its rows had {expected:?}"
        ))
    }

    /// The notices to `target` that are gone.
    pub(crate) fn notices_of(&self, target: &str) -> HashSet<[u8; 16]> {
        self.notices.get(target).cloned().unwrap_or_default()
    }

    /// How much was taken.
    pub(crate) fn count(&self) -> usize {
        let notices = TARGETS.map(|target| self.notices_of(target).len());
        let rows =
            self.journal.len() + self.events.len() + self.runs.len() + self.alarms.len() + self.orders.len();
        rows + notices.iter().sum::<usize>()
    }
}

/// Notes what is gone; what is not over, or changed since `limit`, must not be.
fn take_ended(
    (what, taken): (&str, &mut HashSet<[u8; 16]>),
    before: HashMap<[u8; 16], (bool, i64)>,
    after: &HashMap<[u8; 16], (bool, i64)>,
    limit: i64,
) -> Result<(), String> {
    for (id, (lives, changed_at)) in before {
        if after.contains_key(&id) {
            continue;
        }
        if lives || changed_at >= limit {
            return Err(format!("{what} {id:?} was not kept long enough"));
        }
        taken.insert(id);
    }
    Ok(())
}

/// How many rows at the head of `before` are not in `after`; `None`: another one is missing.
fn head<T: PartialEq>(before: &[T], after: &[T]) -> Option<usize> {
    before.ends_with(after).then(|| before.len() - after.len())
}

impl Tables {
    fn read(disk: &Connection) -> rusqlite::Result<Tables> {
        let one = |query: &str| {
            disk.prepare_cached(query)?
                .query_row([], |row| row.get::<_, i64>(0))
        };
        let all = |query: &str| disk.prepare_cached(query);
        Ok(Tables {
            next_input: one("SELECT ifnull((SELECT next_input FROM checkpoint), 0)")?.unsigned_abs(),
            last_sorted: one("SELECT ifnull((SELECT last_row FROM segment ORDER BY number DESC LIMIT 1), 0)")?,
            journal: all("SELECT first_input, wall_ms, substr(entries, 6) FROM journal ORDER BY first_input")?
                .query_map([], |row| {
                    Ok(JournalRow {
                        first_input: row.get::<_, i64>(0)?.unsigned_abs(),
                        wall: row.get(1)?,
                        entries: row.get(2)?,
                    })
                })?
                .collect::<rusqlite::Result<_>>()?,
            events: events(disk)?,
            runs: runs(disk)?,
            segments: all(
                "SELECT segment, device, (SELECT to_at FROM segment WHERE number = row.segment) FROM history_segment AS row
                 WHERE segment IN (SELECT number FROM segment)",
            )?
            .query_map([], |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?)))?
            .collect::<rusqlite::Result<_>>()?,
            alarms: all("SELECT id, standing, changed_at FROM alarm")?
                .query_map([], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))))?
                .collect::<rusqlite::Result<_>>()?,
            orders: all("SELECT id, open, changed_at FROM command")?
                .query_map([], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))))?
                .collect::<rusqlite::Result<_>>()?,
            notices: all("SELECT row, id, target, created_at, delivered_at FROM outbox")?
                .query_map([], |row| Ok((row.get(0)?, notice(row)?)))?
                .collect::<rusqlite::Result<_>>()?,
        })
    }
}

fn notice(row: &Row<'_>) -> rusqlite::Result<Notice> {
    Ok(Notice {
        id: row.get(1)?,
        target: row.get(2)?,
        created_at: row.get(3)?,
        delivered_at: row.get(4)?,
    })
}

fn events(disk: &Connection) -> rusqlite::Result<Vec<StoredEvent>> {
    disk.prepare_cached("SELECT seq, id, type, at, body, hash FROM event ORDER BY seq")?
        .query_map([], |row| {
            Ok(StoredEvent {
                seq: row.get(0)?,
                id: row.get(1)?,
                event_type: row.get(2)?,
                at: row.get(3)?,
                body: row.get(4)?,
                hash: row.get(5)?,
            })
        })?
        .collect()
}

/// Without their seals: form and checksum.
fn runs(disk: &Connection) -> rusqlite::Result<Vec<Run>> {
    disk.prepare_cached("SELECT row, to_at, substr(samples, 6) FROM history ORDER BY row")?
        .query_map([], |row| {
            Ok(Run {
                row: row.get(0)?,
                to_at: row.get(1)?,
                samples: unpacked(&row.get::<_, Vec<u8>>(2)?),
            })
        })?
        .collect()
}

fn unpacked(bytes: &[u8]) -> Vec<Sample> {
    samples(bytes).map(|sample| sample.expect("a sample")).collect()
}
