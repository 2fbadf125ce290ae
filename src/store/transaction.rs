//! What a run of works writes: one transaction, and the sums that change with it. Releases nothing to anybody.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::chain::Head;
use super::disk::Shedding;
use super::outbox::{self, Notice};
use super::schema::to_sql;
use super::{checkpoint, recover, seal, segments, told};
use crate::domain::alarm::AlarmState;
use crate::domain::history::{self, HistoryError, PointNumber, Samples};
use crate::domain::id::Id;
use crate::domain::kind::ONLINE_NAME;
use crate::domain::rule::{Class, Priority};
use crate::domain::time::Timestamp;
use crate::handoff::{AlarmCommit, Batch, CommandCommit, DeadLetter, DeviceCommit, StoredDefinitions, Work};

/// How many dead letters are kept, the newest.
const DEAD_LETTERS: i64 = 10_000;

/// How many surplus dead letters a transaction deletes beyond as many as it adds.
const DEAD_LETTER_SLICE: i64 = 64;

/// What a committed transaction changed, for the gauges and the next transaction.
#[derive(Debug)]
pub struct Changes {
    /// The newest link of the event chain.
    pub(super) head: Head,
    /// By how much the number of standing alarms of a class and priority changed.
    pub(super) standing: Vec<(Class, Priority, i64)>,
    /// By how much the number of a target's pending notices changed.
    pub(super) pending: Vec<(String, i64)>,
    /// The last row of the history, when there are new ones.
    pub(super) history: Option<i64>,
    /// How many samples were not written for want of space.
    pub(super) shed_samples: u64,
    /// Whether there are new notices.
    pub(super) notices_added: bool,
}

/// Writes `works` in one transaction after `head`, without what is shed. On an error nothing of it is kept.
pub(super) fn write(
    connection: &mut Connection,
    works: &[Work],
    head: Head,
    now: Timestamp,
    shedding: Shedding,
) -> rusqlite::Result<Changes> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut changes = Changes {
        head,
        standing: Vec::new(),
        pending: Vec::new(),
        history: None,
        shed_samples: 0,
        notices_added: false,
    };
    for work in works {
        match work {
            Work::Batch(batch) => write_batch(&transaction, batch, (now, shedding), &mut changes)?,
            Work::Outbox(work) => outbox::write(&transaction, work, now, &mut changes)?,
            Work::Segment(slice) => segments::write(&transaction, slice)?,
            Work::Checkpoint(part) => checkpoint::write_part(&transaction, part)?,
            Work::Followed => {}
        }
    }
    // A commit of nothing asks nothing of the disk, and proves nothing about it. Nor does one of what stands there already.
    if works.iter().any(Work::is_empty_batch) && works.iter().all(Work::writes_nothing) {
        transaction.execute("UPDATE store SET proofs = proofs + 1", [])?;
    }
    fail::fail_point!("store-written", |_| std::process::abort());
    transaction.commit()?;
    Ok(changes)
}

fn write_batch(
    transaction: &Transaction<'_>,
    batch: &Batch,
    (now, shedding): (Timestamp, Shedding),
    changes: &mut Changes,
) -> rusqlite::Result<()> {
    for definitions in &batch.definitions {
        write_definitions(transaction, definitions, batch.first_input)?;
    }
    write_journal(transaction, batch)?;
    write_history(transaction, batch, shedding, changes)?;
    for DeviceCommit { event, body } in &batch.devices {
        let fact = (event.id, event.at, event.step.event_type());
        write_event(transaction, fact, (None, body), changes)?;
    }
    for alarm in &batch.alarms {
        let event = &alarm.event;
        let fact = (event.id, event.at, event.step.event_type());
        write_event(transaction, fact, (Some(event.alarm.id), &alarm.body), changes)?;
        write_alarm(transaction, alarm, changes)?;
        let notice = Notice {
            id: event.id,
            line: event.alarm.id,
            body: &alarm.body,
            critical: event.alarm.rule.priority == Priority::Critical,
            urgent: event.is_urgent(),
        };
        outbox::write_notices(transaction, &notice, (&alarm.owed, now), changes)?;
    }
    for command in &batch.commands {
        let event = &command.event;
        let fact = (event.id, event.at, event.step.event_type());
        let alarm = event.order.alarm().map(|alarm| alarm.id);
        write_event(transaction, fact, (alarm, &command.body), changes)?;
        write_command(transaction, command)?;
        // In a line of its own, not in its alarm's: a target that does not want the one must not keep from people that a
        // valve stayed open, and the other way round. It carries its alarm, so it can be understood before that comes.
        let notice = Notice {
            id: event.id,
            line: event.order.id,
            body: &command.body,
            critical: true,
            urgent: event.is_urgent(),
        };
        outbox::write_notices(transaction, &notice, (&command.owed, now), changes)?;
    }
    for change in &batch.escalations {
        outbox::write_escalation(transaction, change)?;
    }
    write_dead_letters(transaction, &batch.dead_letters, shedding)
}

fn write_definitions(
    transaction: &Transaction<'_>,
    definitions: &StoredDefinitions,
    first_input: u64,
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO definitions (hash, source, first_input) VALUES (?1, ?2, ?3)
             ON CONFLICT (hash) DO UPDATE SET first_input = excluded.first_input",
        )?
        .execute(params![definitions.hash, definitions.source, to_sql(first_input)])?;
    Ok(())
}

fn write_journal(transaction: &Transaction<'_>, batch: &Batch) -> rusqlite::Result<()> {
    let (wall, ticks) = (batch.last.wall.0, to_sql(batch.last.ticks.0));
    if !batch.journal.is_empty() {
        let row = params![
            to_sql(batch.first_input),
            batch.inputs,
            wall,
            ticks,
            seal::seal(recover::JOURNAL_FORM, &batch.journal)
        ];
        transaction
            .prepare_cached(
                "INSERT INTO journal (first_input, inputs, wall_ms, ticks, entries) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(row)?;
    }
    if let Some(state) = &batch.checkpoint {
        let next_input = batch.first_input.saturating_add(u64::from(batch.inputs));
        checkpoint::write_whole(transaction, (next_input, batch.last), state)?;
    }
    Ok(())
}

/// What is new in the registry, and the samples of a batch: one row, without an index beside it (DESIGN §8).
fn write_history(
    transaction: &Transaction<'_>,
    batch: &Batch,
    shedding: Shedding,
    changes: &mut Changes,
) -> rusqlite::Result<()> {
    for seen in &batch.seen {
        let key = &seen.key;
        transaction
            .prepare_cached(
                "INSERT INTO device (number, venue, kind, device, first_seen) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (number) DO UPDATE SET venue = ?2, kind = ?3, device = ?4",
            )?
            .execute(params![seen.number.0, key.venue, key.kind, key.device, seen.at.0])?;
    }
    for point in &batch.points {
        let value = serde_json::to_string(&point.value)
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        transaction
            .prepare_cached("INSERT INTO point (number, kind, point, value) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![point.number.0, point.kind, point.point, value])?;
    }
    let presence;
    let kept = if shedding < Shedding::Samples {
        &batch.samples
    } else {
        presence = only_presence(transaction, &batch.samples)?;
        changes.shed_samples += u64::from(batch.samples.count() - presence.count());
        &presence
    };
    if let Some((from, to)) = kept.span() {
        let samples = seal::seal(recover::HISTORY_FORM, kept.bytes());
        transaction
            .prepare_cached("INSERT INTO history (from_at, to_at, count, samples) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![from.0, to.0, kept.count(), samples])?;
        changes.history = Some(transaction.last_insert_rowid());
    }
    Ok(())
}

/// Of `samples` those that say whether a device is there. They are never shed: a device that has gone says nothing again,
/// and would be shown as present (promise 1).
fn only_presence(transaction: &Transaction<'_>, samples: &Samples) -> rusqlite::Result<Samples> {
    let online: HashSet<PointNumber> = transaction
        .prepare_cached("SELECT number FROM point WHERE point = ?1")?
        .query_map([ONLINE_NAME], |row| row.get(0).map(PointNumber))?
        .collect::<rusqlite::Result<_>>()?;
    let mut kept = Samples::default();
    let damaged = |error: HistoryError| rusqlite::Error::ToSqlConversionFailure(error.into());
    for sample in history::samples(samples.bytes()) {
        let sample = sample.map_err(damaged)?;
        if online.contains(&sample.point) {
            kept.push(&sample).map_err(damaged)?;
        }
    }
    Ok(kept)
}

fn write_event(
    transaction: &Transaction<'_>,
    (id, at, event_type): (Id, Timestamp, &str),
    (alarm, body): (Option<Id>, &str),
    changes: &mut Changes,
) -> rusqlite::Result<()> {
    let head = changes.head.next(body.as_bytes());
    transaction
        .prepare_cached(
            "INSERT INTO event (seq, id, at, type, alarm, body, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            head.seq,
            key(id),
            at.0,
            event_type,
            alarm.map(key),
            body,
            head.hash.0,
        ])?;
    changes.head = head;
    Ok(())
}

fn write_alarm(
    transaction: &Transaction<'_>,
    commit: &AlarmCommit,
    changes: &mut Changes,
) -> rusqlite::Result<()> {
    let alarm = &commit.event.alarm;
    let rule = &alarm.rule;
    let stood: Option<(String, String)> = transaction
        .prepare_cached("SELECT class, priority FROM alarm WHERE id = ?1 AND standing = 1")?
        .query_row([key(alarm.id)], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let standing = alarm.state != AlarmState::Cleared;
    transaction
        .prepare_cached(
            "INSERT OR REPLACE INTO alarm
             (id, standing, state, class, priority, venue, device, kind, rule, raised_at, body, changed_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        )?
        .execute(params![
            key(alarm.id),
            standing,
            alarm.state.as_str(),
            rule.class.as_str(),
            rule.priority.as_str(),
            alarm.device.venue,
            alarm.device.device,
            alarm.device.kind,
            rule.id,
            alarm.raised_at.0,
            commit.alarm,
            commit.event.at.0,
        ])?;
    if !standing {
        told::end(transaction, alarm.id, commit.event.at)?;
    }
    if let Some((class, priority)) = stood.and_then(|(class, priority)| parse_labels(&class, &priority)) {
        changes.standing.push((class, priority, -1));
    }
    if standing {
        changes.standing.push((rule.class, rule.priority, 1));
    }
    Ok(())
}

fn write_command(transaction: &Transaction<'_>, commit: &CommandCommit) -> rusqlite::Result<()> {
    let (event, order) = (&commit.event, &commit.event.order);
    transaction
        .prepare_cached(
            "INSERT OR REPLACE INTO command
             (id, open, state, venue, kind, device, command, requested_at, changed_at, body)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute(params![
            key(order.id),
            event.step.result().is_none(),
            event.step.state(order.stage),
            order.device.venue,
            order.device.kind,
            order.device.device,
            &*order.command,
            order.requested_at.0,
            event.at.0,
            commit.order,
        ])?;
    Ok(())
}

fn write_dead_letters(
    transaction: &Transaction<'_>,
    letters: &[DeadLetter],
    shedding: Shedding,
) -> rusqlite::Result<()> {
    let keeps_payloads = shedding < Shedding::SamplesAndPayloads;
    let mut added: i64 = 0;
    for letter in letters {
        let kept: &[u8] = if keeps_payloads { &letter.payload } else { &[] };
        transaction
            .prepare_cached(
                "INSERT INTO dead_letter (at, topic, reason, detail, payload, size)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                letter.at.0,
                letter.topic,
                letter.reject.reason(),
                letter.reject.to_string(),
                kept,
                i64::try_from(letter.size).unwrap_or(i64::MAX),
            ])?;
        added += 1;
    }
    if added > 0 {
        let newest_surplus = transaction.last_insert_rowid() - DEAD_LETTERS;
        transaction
            .prepare_cached(
                "DELETE FROM dead_letter WHERE row IN
                 (SELECT row FROM dead_letter WHERE row <= ?1 ORDER BY row LIMIT ?2)",
            )?
            .execute([newest_surplus, added + DEAD_LETTER_SLICE])?;
    }
    Ok(())
}

/// An id as a key: big-endian, so that keys sort by time.
pub(super) fn key(id: Id) -> [u8; 16] {
    id.bits().to_be_bytes()
}

/// Class and priority from their stored words; `None` for words of another version.
pub(super) fn parse_labels(class: &str, priority: &str) -> Option<(Class, Priority)> {
    let class = Class::ALL.into_iter().find(|known| known.as_str() == class)?;
    let priority = Priority::ALL
        .into_iter()
        .find(|known| known.as_str() == priority)?;
    Some((class, priority))
}
