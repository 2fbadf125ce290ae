//! Which notices of one target go out next, alone or in a digest, and when failed ones are tried again. Pure: it is told
//! the time, and never reads, sends or stores anything.

pub mod failed;
mod line;
pub mod refused;
mod wait;

use std::collections::{BTreeSet, HashMap};

use self::failed::{Failed, move_on};
use self::line::{Held, Line, Turn};
use self::refused::{AGAIN, Refused};
use self::wait::{FIRST_WAIT, LONGEST_WAIT, wait_after};
use super::pace::Pace;
use super::parcel::{Fault, Manners, Parcel};
use crate::domain::id::Id;
use crate::domain::time::{Millis, Moment, Ticks};
use crate::handoff::outbox::Moved;
use crate::store::PendingNotice;

/// The most notices of one target held in memory, critical ones and others each; further ones wait in the store.
const WINDOW: usize = 1_024;

/// With more alarms than this to tell of at once, a target that takes digests gets one.
const SINGLES: usize = 3;

/// The notices of one target that are known and not delivered. Those of one alarm stand in line; the alarms do
/// not wait for each other.
#[derive(Debug)]
pub struct Schedule {
    lines: HashMap<Id, Line>,
    /// The heads of lines with nothing urgent in them.
    others: BTreeSet<Turn>,
    /// The heads of lines with something urgent in them.
    urgent: BTreeSet<Turn>,
    /// What the target has refused, each in a line of its own.
    refused: Refused,
    /// The heads of those: tried again when nothing else is due.
    unwanted: BTreeSet<Turn>,
    /// Since when the rows in memory were tried in vain because the target was away, or too slow for them.
    unreached: HashMap<i64, Ticks>,
    /// How many are held of critical lines, but for those that were refused.
    critical: usize,
    /// How many are held of the others.
    ordinary: usize,
    /// How many heads back off because the target was away.
    for_target: usize,
    /// Since when nothing has been taken.
    down_since: Option<Ticks>,
    /// For how long nothing may be taken before people are told through other targets.
    fall_over: Millis,
    gather: Option<Millis>,
    /// Whether what is urgent has a place of its own.
    keeps_place: bool,
    pace: Pace,
    /// The most notices in a digest: fewer after one was refused.
    most: usize,
}

impl Schedule {
    /// Nothing known yet of a target with these manners.
    pub fn new(manners: &Manners) -> Schedule {
        Schedule {
            lines: HashMap::new(),
            others: BTreeSet::new(),
            urgent: BTreeSet::new(),
            refused: Refused::default(),
            unwanted: BTreeSet::new(),
            unreached: HashMap::new(),
            critical: 0,
            ordinary: 0,
            for_target: 0,
            down_since: None,
            fall_over: manners.fall_over,
            gather: manners.gather,
            keeps_place: manners.for_urgent > 0,
            pace: Pace::new(manners),
            most: WINDOW,
        }
    }

    /// How many more notices, critical or not, may be taken in.
    pub fn room(&self, critical: bool) -> usize {
        WINDOW.saturating_sub(if critical { self.critical } else { self.ordinary })
    }

    /// In which line a notice stands: that of its alarm, unless it was refused.
    fn line_of(&self, notice: &PendingNotice) -> Id {
        if self.refused.has(notice.row) {
            Refused::line_of(notice.row)
        } else {
            notice.alarm
        }
    }

    const fn held(&mut self, critical: bool) -> &mut usize {
        if critical {
            &mut self.critical
        } else {
            &mut self.ordinary
        }
    }

    /// A message went out at `at`, before this was made.
    pub fn remember(&mut self, at: Ticks) {
        self.pace.note(at);
    }

    /// The target wants nothing until then.
    pub fn silence(&mut self, until: Ticks) {
        self.pace.silence(until);
    }

    /// Takes in a notice read from the store; those of critical lines, and the others, come in order of row, each once. Its due time,
    /// written by the wall clock, is a wait from here on: a jump of that clock moves it no more, and no wait is longer
    /// than the longest back-off.
    pub fn admit(&mut self, notice: PendingNotice, now: Moment) {
        let wait = if notice.attempts == 0 {
            let age = now.wall.since(notice.created_at).max(0).unsigned_abs();
            let gather = self.gather.filter(|_| !notice.urgent).unwrap_or(Millis::ZERO);
            gather.0.saturating_sub(age)
        } else {
            notice.due_at.since(now.wall).max(0).unsigned_abs()
        };
        let held = Held {
            due: now.ticks.after(Millis(wait.min(LONGEST_WAIT.0))),
            if_back: None,
            notice,
        };
        if !held.notice.refused {
            *self.held(held.notice.critical) += 1;
        } else if !self.refused.restore(held.notice.row) {
            return;
        }
        self.enqueue(held, now.ticks);
    }

    /// What the target has refused. Whatever leaves it is to be held back in the store.
    pub const fn refused(&mut self) -> &mut Refused {
        &mut self.refused
    }

    /// Puts a notice that was just read at the end of its line.
    fn enqueue(&mut self, held: Held, now: Ticks) {
        let alarm = self.line_of(&held.notice);
        self.take_head(alarm);
        let line = self.lines.entry(alarm).or_default();
        line.waiting.push_back(held);
        if line.is_urgent() {
            // Nobody waits for company in front of what is urgent.
            for held in line.waiting.iter_mut().filter(|held| held.notice.attempts == 0) {
                held.due = held.due.min(now);
            }
        }
        self.put_head(alarm);
    }

    /// The next message, if one is due and the target's limits allow it. What is in it stands at the head of its lines
    /// until it is reported back with [`Schedule::delivered`] or [`Schedule::failed`].
    pub fn next(&mut self, now: Ticks) -> Option<Parcel> {
        let ready = |turns: &BTreeSet<Turn>| turns.first().is_some_and(|turn| turn.due <= now);
        let urgent = ready(&self.urgent);
        let any = urgent || ready(&self.others) || ready(&self.unwanted);
        // Where what is urgent has a place of its own, it is not held up by company.
        let rest = if urgent && !self.keeps_place {
            self.digestible(&self.others, now)
        } else {
            Vec::new()
        };
        any.then(|| self.made(urgent, rest, now)).flatten()
    }

    /// The same of urgent lines alone, beside messages of whatever kind.
    pub fn next_urgent(&mut self, now: Ticks) -> Option<Parcel> {
        let ready = self.urgent.first().is_some_and(|turn| turn.due <= now);
        ready.then(|| self.made(true, Vec::new(), now)).flatten()
    }

    /// The message of what is due, urgent or not; in a digest with `rest`.
    fn made(&mut self, urgent: bool, rest: Vec<Id>, now: Ticks) -> Option<Parcel> {
        if !self.pace.allows(now, urgent) {
            return None;
        }
        let alarms = self.chosen(urgent, rest, now);
        let room = if alarms.len() > 1 { self.most } else { 1 };
        let mut notices = Vec::new();
        for alarm in alarms {
            self.take(alarm, now, room, &mut notices);
        }
        notices.sort_by_key(|notice| !notice.urgent);
        let parcel = Parcel::of(notices)?.started(now);
        self.pace.note(now);
        Some(parcel)
    }

    /// Whose notices go into the next message, the most important first: those of one alarm, or of all when they are many.
    fn chosen(&self, urgent: bool, rest: Vec<Id>, now: Ticks) -> Vec<Id> {
        let turns = if urgent { &self.urgent } else { &self.others };
        let first = self.digestible(turns, now);
        let many = self.gather.is_some() && first.len() > SINGLES && self.most > 1;
        // One that was refused is tried in its turn, and alone.
        let alone = turns.first().is_some_and(|turn| self.refused.has(turn.row));
        if !many || alone {
            let due = |turns: &BTreeSet<Turn>| turns.first().filter(|turn| turn.due <= now).copied();
            let one = due(turns).or_else(|| due(&self.unwanted));
            return one.map(|turn| turn.alarm).into_iter().collect();
        }
        first.into_iter().chain(rest).take(self.most).collect()
    }

    /// The alarms of these turns that are due and may go into a digest: what was refused once would spoil it.
    fn digestible(&self, turns: &BTreeSet<Turn>, now: Ticks) -> Vec<Id> {
        let due = turns.iter().take_while(|turn| turn.due <= now);
        let due = due.filter(|turn| !self.refused.has(turn.row));
        due.take(self.most).map(|turn| turn.alarm).collect()
    }

    /// Takes what is due from the head of a line, until `taken` has `most`.
    fn take(&mut self, alarm: Id, now: Ticks, most: usize, taken: &mut Vec<PendingNotice>) {
        self.take_head(alarm);
        let Some(line) = self.lines.get_mut(&alarm) else {
            return;
        };
        while taken.len() < most
            && let Some(held) = line.waiting.pop_front_if(|held| held.due <= now)
        {
            line.sending = true;
            self.for_target -= usize::from(held.if_back.is_some());
            taken.push(held.notice);
        }
        self.put_head(alarm);
    }

    /// When [`Schedule::next`] has something again.
    pub fn next_due(&self, now: Ticks) -> Option<Ticks> {
        let others = [self.others.first(), self.unwanted.first()];
        let others = others.into_iter().flatten().map(|turn| turn.due).min();
        let others = others.map(|due| due.max(self.pace.earliest(now, false)));
        self.next_urgent_due(now).into_iter().chain(others).min()
    }

    /// When [`Schedule::next_urgent`] has something again.
    pub fn next_urgent_due(&self, now: Ticks) -> Option<Ticks> {
        let due = self.urgent.first()?.due;
        Some(due.max(self.pace.earliest(now, true)))
    }

    /// The target has the message: the next of its alarms may go, and so may all that waited for the target.
    pub fn delivered(&mut self, parcel: &Parcel, now: Ticks) {
        self.pace.answered(parcel.sent_at(), now);
        self.most = (self.most * 2).min(WINDOW);
        self.down_since = None;
        for notice in parcel.notices() {
            let line = self.line_of(notice);
            self.forget(notice);
            self.back_in_line(line);
        }
        self.target_is_back();
    }

    /// It is out of memory.
    fn forget(&mut self, notice: &PendingNotice) {
        self.unreached.remove(&notice.row);
        if !self.refused.forget(notice.row) {
            *self.held(notice.critical) -= 1;
        }
    }

    /// Nothing of this alarm is on its way any more.
    fn back_in_line(&mut self, alarm: Id) {
        let Some(line) = self.lines.get_mut(&alarm) else {
            return;
        };
        line.sending = false;
        if line.waiting.is_empty() {
            self.lines.remove(&alarm);
        }
        self.put_head(alarm);
    }

    /// The attempt failed: its notices go back to the heads of their lines, and where the target fails lastingly people are
    /// told through the next of their channels.
    pub fn failed(&mut self, parcel: Parcel, fault: Fault, now: Ticks) -> Failed {
        let sent_at = parcel.sent_at();
        self.pace.answered(sent_at, now);
        let digest = parcel.is_digest();
        if let (Fault::Notice, true) = (fault, digest) {
            // One of them may be what is not wanted: the others get through in smaller company.
            self.most = (parcel.count() / 2).max(1);
        }
        if let Fault::Throttled(wait) = fault {
            self.pace.silence(now.after(wait));
        }
        let lasting = self.is_lasting(fault, digest, now);
        let wait = wait_after(fault, &parcel);
        let if_back = match fault {
            Fault::Target | Fault::Configuration => Some(now.after(FIRST_WAIT)),
            Fault::Notice | Fault::Reader | Fault::Throttled(_) => None,
        };
        let refused = matches!(fault, Fault::Reader) || (matches!(fault, Fault::Notice) && !digest);
        let (mut moved, mut put_away) = (Vec::new(), 0);
        let count = parcel.count();
        let mut notices: Vec<PendingNotice> = parcel.into_notices().collect();
        // The later ones first: each goes in front of those that are back already.
        notices.sort_by_key(|notice| std::cmp::Reverse(notice.row));
        for mut notice in notices {
            notice.attempts = notice.attempts.saturating_add(1);
            let line = self.line_of(&notice);
            let late = matches!(fault, Fault::Target) && self.is_late(notice.row, sent_at, now);
            if (lasting || late) && move_on(&mut notice, &mut moved) {
                self.forget(&notice);
                self.back_in_line(line);
                continue;
            }
            if refused && self.is_put_away(&notice) {
                put_away += 1;
                self.back_in_line(line);
                continue;
            }
            let alarm = self.line_of(&notice);
            if alarm != line {
                // What follows in its alarm does not wait for it.
                self.back_in_line(line);
            }
            self.take_head(alarm);
            let line = self.lines.entry(alarm).or_default();
            line.sending = false;
            self.for_target += usize::from(if_back.is_some());
            line.waiting.push_front(Held {
                due: now.after(wait),
                if_back,
                notice,
            });
            self.put_head(alarm);
        }
        // Nothing is left of it that would be tried sooner.
        let wait = if put_away == count { AGAIN } else { wait };
        Failed {
            wait,
            moved,
            refused,
            put_away,
        }
    }

    /// Counts a refusal. What was refused takes no place from what is new; whether it leaves the memory for now.
    fn is_put_away(&mut self, notice: &PendingNotice) -> bool {
        let known = self.refused.has(notice.row);
        if !known {
            *self.held(notice.critical) -= 1;
        }
        let put_away = self.refused.note(notice.row);
        if put_away {
            self.unreached.remove(&notice.row);
        }
        put_away
    }

    /// Whether it takes a person, or far too long, until the target takes such a message.
    fn is_lasting(&mut self, fault: Fault, digest: bool, now: Ticks) -> bool {
        match fault {
            Fault::Configuration => true,
            Fault::Reader | Fault::Notice => {
                // It answers: an outage is over.
                self.down_since = None;
                !digest || fault == Fault::Reader
            }
            Fault::Throttled(wait) => {
                self.down_since.get_or_insert(now);
                wait >= self.fall_over
            }
            Fault::Target => now.since(*self.down_since.get_or_insert(now)) >= self.fall_over,
        }
    }

    /// Whether this notice is tried in vain for too long, although the target takes others meanwhile.
    fn is_late(&mut self, row: i64, sent_at: Ticks, now: Ticks) -> bool {
        now.since(*self.unreached.entry(row).or_insert(sent_at)) >= self.fall_over
    }

    /// While the target wants nothing for long: whatever waits for it goes to the next channels of its people, where they
    /// have any.
    pub fn stranded(&mut self, now: Ticks) -> Vec<Moved> {
        let mut moved = Vec::new();
        if self.pace.silent(now).is_none_or(|silent| silent < self.fall_over) {
            return moved;
        }
        let lines: Vec<Id> = self.lines.keys().copied().collect();
        for alarm in lines {
            self.take_head(alarm);
            let Some(line) = self.lines.get_mut(&alarm) else {
                continue;
            };
            let mut gone = Vec::new();
            for mut held in std::mem::take(&mut line.waiting) {
                if move_on(&mut held.notice, &mut moved) {
                    gone.push(held);
                } else {
                    line.waiting.push_back(held);
                }
            }
            let over = line.waiting.is_empty() && !line.sending;
            for held in gone {
                self.forget(&held.notice);
                self.for_target -= usize::from(held.if_back.is_some());
            }
            if over {
                self.lines.remove(&alarm);
            }
            self.put_head(alarm);
        }
        moved
    }

    fn put_head(&mut self, alarm: Id) {
        let Some((urgent, turn)) = self.turn(alarm) else {
            return;
        };
        if self.refused.is_last(turn.row, urgent) {
            self.unwanted.insert(turn);
        } else if urgent && !self.refused.has(turn.row) {
            self.urgent.insert(turn);
        } else {
            self.others.insert(turn);
        }
    }

    fn take_head(&mut self, alarm: Id) {
        if let Some((_, turn)) = self.turn(alarm) {
            self.urgent.remove(&turn);
            self.others.remove(&turn);
            self.unwanted.remove(&turn);
        }
    }

    /// The turn of a line whose head may go, and whether the line is urgent.
    fn turn(&self, alarm: Id) -> Option<(bool, Turn)> {
        let line = self.lines.get(&alarm).filter(|line| !line.sending)?;
        let head = line.waiting.front()?;
        let turn = Turn {
            due: head.due,
            row: head.notice.row,
            alarm,
        };
        Some((line.is_urgent(), turn))
    }

    /// Brings forward whatever backs off because the target was away.
    fn target_is_back(&mut self) {
        if self.for_target == 0 {
            return;
        }
        self.for_target = 0;
        let lines: Vec<Id> = self.lines.keys().copied().collect();
        for alarm in lines {
            self.take_head(alarm);
            for held in self
                .lines
                .get_mut(&alarm)
                .into_iter()
                .flat_map(|line| &mut line.waiting)
            {
                if let Some(sooner) = held.if_back.take() {
                    held.due = held.due.min(sooner);
                }
            }
            self.put_head(alarm);
        }
    }
}

#[cfg(test)]
mod tests;
