//! The target of notices with its moods, and the worker that sends to it: the real schedule and outbox, with attempts
//! that end when the dice say so.

use std::collections::{HashMap, VecDeque};

use ninewatch::domain::id::Id;
use ninewatch::domain::time::{Moment, Timestamp};
use ninewatch::handoff::{DeliveryOutcome, DeliveryReport};
use ninewatch::notify::schedule::{Fault, Schedule};
use ninewatch::store::{PendingNotice, Store};

use super::Bug;
use super::dice::Dice;

/// How many notices are read at a time: few, so that reading goes on.
const CHUNK: usize = 8;

/// The most attempts under way.
const IN_FLIGHT: usize = 4;

/// Outside the gateway: survives its crashes.
#[derive(Default)]
pub(crate) struct Officer {
    /// What came, and under which outbox row.
    pub(crate) received: HashMap<Id, String>,
    /// The newest row of each alarm that came.
    newest: HashMap<Id, i64>,
    /// In percent.
    pub(crate) trouble: u64,
}

impl Officer {
    fn take(&mut self, notice: &PendingNotice) -> Result<(), String> {
        match self.received.get(&notice.id) {
            Some(body) if *body == notice.body => return Ok(()),
            Some(_) => return Err(format!("notice {} came with two bodies", notice.id)),
            None => {}
        }
        self.received.insert(notice.id, notice.body.clone());
        match self.newest.insert(notice.alarm, notice.row) {
            Some(newer) if newer > notice.row => Err(format!(
                "of alarm {} row {} came after {newer}",
                notice.alarm, notice.row
            )),
            Some(_) | None => Ok(()),
        }
    }
}

/// Inside the gateway: dies with it.
pub(crate) struct Worker {
    target: &'static str,
    schedule: Schedule,
    cursor: i64,
    /// The outbox may have rows after the cursor.
    news: bool,
    sending: Vec<PendingNotice>,
    pub(crate) reports: VecDeque<DeliveryReport>,
}

impl Worker {
    pub(crate) fn new(target: &'static str) -> Worker {
        Worker {
            target,
            schedule: Schedule::new(),
            cursor: 0,
            news: true,
            sending: Vec::new(),
            reports: VecDeque::new(),
        }
    }

    /// A commit may have brought notices.
    pub(crate) const fn tell(&mut self) {
        self.news = true;
    }

    /// Reads what is new, and starts what is due.
    pub(crate) fn start(&mut self, store: &Store, now: Moment, bug: Option<Bug>) -> Result<(), String> {
        let room = self.schedule.room().min(CHUNK);
        if self.news && room > 0 {
            let rows = store
                .pending_notices(self.target, self.cursor, u32::try_from(room).expect("small"))
                .map_err(|error| error.to_string())?;
            self.news = rows.len() >= room;
            for notice in rows {
                self.cursor = self.cursor.max(notice.row);
                self.schedule.admit(notice, now);
            }
        }
        while self.sending.len() < IN_FLIGHT {
            let Some(notice) = self.schedule.next(now.ticks) else {
                break;
            };
            if bug == Some(Bug::MarkedBeforeSent) {
                self.report(notice.row, now.wall, DeliveryOutcome::Delivered);
            }
            self.sending.push(notice);
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
        let notice = self.sending.swap_remove(dice.index(self.sending.len()));
        if !trouble {
            officer.take(&notice)?;
            self.schedule.delivered(&notice);
            self.report(notice.row, now.wall, DeliveryOutcome::Delivered);
            return Ok(());
        }
        if dice.chance(30) {
            // It came, and the answer did not.
            officer.take(&notice)?;
        }
        let fault = dice.pick(&[Fault::Target, Fault::Notice]);
        let row = notice.row;
        let wait = self.schedule.failed(notice, fault, now.ticks);
        let outcome = DeliveryOutcome::Retry {
            error: "trouble".to_owned(),
            due_at: Timestamp(now.wall.0.saturating_add_unsigned(wait.0)),
        };
        self.report(row, now.wall, outcome);
        Ok(())
    }

    fn report(&mut self, notice: i64, at: Timestamp, outcome: DeliveryOutcome) {
        self.reports.push_back(DeliveryReport { notice, at, outcome });
    }
}
