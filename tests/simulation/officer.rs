//! The target of notices with its moods, and the worker that sends to it: the real schedule and outbox, with attempts
//! that end when the dice say so.

use std::collections::{HashMap, HashSet, VecDeque};

use ninewatch::domain::id::Id;
use ninewatch::domain::time::{Millis, Moment, Ticks, Timestamp};
use ninewatch::handoff::outbox::{DeliveryOutcome, DeliveryReport, OutboxWork};
use ninewatch::notify::parcel::{Fault, Limit, Manners, Parcel};
use ninewatch::notify::schedule::Schedule;
use ninewatch::notify::schedule::refused::AGAIN;
use ninewatch::store::{PendingNotice, Store};

use super::Bug;
use super::dice::Dice;
use super::site::TARGETS;

/// How many notices are read at a time: few, so that reading goes on.
const CHUNK: usize = 8;

/// How often it is looked for what is held back.
const LOOK_AGAIN: Millis = Millis(60_000);

/// The most attempts under way.
const IN_FLIGHT: usize = 4;

/// Outside the gateway: survives its crashes.
#[derive(Default)]
pub(crate) struct Officer {
    /// What came, and under which outbox row.
    pub(crate) received: HashMap<Id, String>,
    /// The newest row of each alarm that came.
    newest: HashMap<Id, i64>,
    /// The rows that it did not want once: nothing waits for them.
    refused: HashSet<i64>,
    /// In percent.
    pub(crate) trouble: u64,
}

impl Officer {
    fn take_all(&mut self, parcel: &Parcel) -> Result<(), String> {
        let mut notices: Vec<&PendingNotice> = parcel.notices().collect();
        notices.sort_by_key(|notice| notice.row);
        notices.into_iter().try_for_each(|notice| self.take(notice))
    }

    fn take(&mut self, notice: &PendingNotice) -> Result<(), String> {
        match self.received.get(&notice.id) {
            Some(body) if *body == notice.body => return Ok(()),
            Some(_) => return Err(format!("notice {} came with two bodies", notice.id)),
            None => {}
        }
        self.received.insert(notice.id, notice.body.clone());
        let newest = self.newest.entry(notice.alarm).or_insert(notice.row);
        // What was put away has come back in a new row.
        if notice.refused || self.refused.contains(&notice.row) {
            return Ok(());
        }
        if *newest > notice.row {
            return Err(format!(
                "of alarm {} row {} came after {newest}",
                notice.alarm, notice.row
            ));
        }
        *newest = notice.row.max(*newest);
        Ok(())
    }
}

/// Inside the gateway: dies with it.
pub(crate) struct Worker {
    target: &'static str,
    schedule: Schedule,
    /// Of lines that are not critical, and of those that are.
    cursors: [i64; 2],
    /// The outbox may have rows after the cursor.
    news: [bool; 2],
    sending: Vec<Parcel>,
    at_once: usize,
    pub(crate) reports: VecDeque<OutboxWork>,
    /// When it is looked whether what is held back is due.
    release_at: Ticks,
}

impl Worker {
    pub(crate) fn new(target: &'static str) -> Worker {
        let manners = manners(target);
        Worker {
            target,
            schedule: Schedule::new(&manners),
            at_once: manners.at_once,
            cursors: [0; 2],
            news: [true; 2],
            sending: Vec::new(),
            reports: VecDeque::new(),
            release_at: Ticks(0),
        }
    }

    /// A commit may have brought notices.
    pub(crate) const fn tell(&mut self) {
        self.news = [true; 2];
    }

    /// Reads what is new, and starts what is due.
    pub(crate) fn start(&mut self, store: &Store, now: Moment, bug: Option<Bug>) -> Result<(), String> {
        for critical in [true, false] {
            let of = usize::from(critical);
            let room = self.schedule.room(critical).min(CHUNK);
            if !self.news[of] || room == 0 {
                continue;
            }
            let limit = u32::try_from(room).expect("small");
            let rows = store
                .pending_notices((self.target, critical), self.cursors[of], limit)
                .map_err(|error| error.to_string())?;
            self.news[of] = rows.len() >= room;
            for notice in rows {
                self.cursors[of] = notice.row;
                self.schedule.admit(notice, now);
            }
        }
        self.put_away(now);
        if self.release_at <= now.ticks {
            self.release_at = now.ticks.after(LOOK_AGAIN);
            let held = store.next_held(self.target).map_err(|error| error.to_string())?;
            if held.is_some_and(|due| due <= now.wall) {
                self.reports.push_back(OutboxWork::Release {
                    target: self.target.to_owned(),
                    refused: self.schedule.refused().room(),
                });
            }
        }
        while self.sending.len() < self.at_once {
            let Some(parcel) = self.schedule.next(now.ticks) else {
                break;
            };
            if bug == Some(Bug::MarkedBeforeSent) {
                self.report(&parcel, now.wall, DeliveryOutcome::Delivered);
            }
            self.sending.push(parcel);
        }
        Ok(())
    }

    /// One attempt ends, unless it hangs.
    pub(crate) fn end_attempt(
        &mut self,
        officer: &mut Officer,
        dice: &mut Dice,
        now: Moment,
    ) -> Result<(), String> {
        if self.sending.is_empty() {
            return Ok(());
        }
        let trouble = dice.chance(officer.trouble);
        if trouble && dice.chance(30) {
            return Ok(());
        }
        let parcel = self.sending.swap_remove(dice.index(self.sending.len()));
        if !trouble {
            officer.take_all(&parcel)?;
            self.schedule.delivered(&parcel, now.ticks);
            self.report(&parcel, now.wall, DeliveryOutcome::Delivered);
            return Ok(());
        }
        if dice.chance(30) {
            // It came, and the answer did not.
            officer.take_all(&parcel)?;
        }
        let fault = dice.pick(&[Fault::Target, Fault::Notice, Fault::Throttled(Millis(5_000))]);
        let failed = parcel.clone();
        let failing = self.schedule.failed(parcel, fault, now.ticks);
        if failing.refused {
            officer.refused.extend(failed.notices().map(|notice| notice.row));
        }
        let outcome = DeliveryOutcome::Retry {
            error: "trouble".to_owned(),
            due_at: Timestamp(now.wall.0.saturating_add_unsigned(failing.wait.0)),
            silent: matches!(fault, Fault::Throttled(_)),
            refused: failing.refused,
        };
        self.report(&failed, now.wall, outcome);
        if let Some(OutboxWork::Delivery(report)) = self.reports.back_mut() {
            report.moved = failing.moved;
        }
        self.put_away(now);
        Ok(())
    }

    fn put_away(&mut self, now: Moment) {
        let notices = self.schedule.refused().take_leaving();
        if !notices.is_empty() {
            let until = Timestamp(now.wall.0.saturating_add_unsigned(AGAIN.0));
            self.reports.push_back(OutboxWork::PutAway { notices, until });
        }
    }

    fn report(&mut self, parcel: &Parcel, at: Timestamp, outcome: DeliveryOutcome) {
        self.reports.push_back(OutboxWork::Delivery(DeliveryReport {
            message: parcel.id(),
            target: self.target.to_owned(),
            notices: parcel.notices().map(|notice| notice.row).collect(),
            at,
            outcome,
            moved: Vec::new(),
        }));
    }
}

/// The first of the targets is a machine, the others are chat robots: few messages a minute, and digests.
fn manners(target: &str) -> Manners {
    if TARGETS.first() == Some(&target) {
        return Manners {
            at_once: IN_FLIGHT,
            ..Manners::default()
        };
    }
    Manners {
        at_once: 1,
        limits: vec![Limit {
            messages: 10,
            window: Millis(2_000),
        }],
        reserve: 3,
        gather: Some(Millis(500)),
        ..Manners::default()
    }
}
