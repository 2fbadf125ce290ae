//! Which notices of one target go out next, alone or in a digest, and when failed ones are tried again. Pure: it is told
//! the time, and never reads, sends or stores anything.

mod line;
mod wait;

use std::collections::{BTreeSet, HashMap, HashSet};

use self::line::{Held, Line, Turn, due_of};
use self::wait::{FIRST_WAIT, LONGEST_WAIT, wait_after};
use super::pace::Pace;
use super::parcel::{Fault, Manners, Parcel};
use crate::domain::directions::Recipient;
use crate::domain::id::Id;
use crate::domain::time::{Millis, Moment, Ticks};
use crate::handoff::Moved;
use crate::store::PendingNotice;

/// The most notices of one target held in memory, critical ones and others each; further ones wait in the store.
const WINDOW: usize = 1_024;

/// After so many refusals, about a quarter of an hour, a notice is put away: it stays pending in the store, and is read again
/// at the next start.
const REFUSALS: u32 = 12;

/// With so many refused ones in memory, the next is put away at once: there must be room for what is new.
const REFUSED: usize = WINDOW / 2;

/// With more alarms than this to tell of at once, a target that takes digests gets one.
const SINGLES: usize = 3;

/// The notices of one target that are known and not delivered. Those of one alarm stand in line; the alarms do
/// not wait for each other.
#[derive(Debug)]
pub struct Schedule {
    lines: HashMap<Id, Line>,
    /// The rows of those whose readers the target does not reach: each stands in a line of its own.
    apart: HashSet<i64>,
    /// The heads of lines with nothing urgent in them.
    others: BTreeSet<Turn>,
    /// The heads of lines with something urgent in them.
    urgent: BTreeSet<Turn>,
    /// The heads that the target has refused: tried again when nothing else is due.
    refused: BTreeSet<Turn>,
    /// How often the rows in memory were refused.
    refusals: HashMap<i64, u32>,
    /// Since when the rows in memory were tried in vain because the target was away, or too slow for them.
    unreached: HashMap<i64, Ticks>,
    /// How many are held of critical lines.
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
    pace: Pace,
    /// The most notices in a digest: fewer after one was refused.
    most: usize,
}

impl Schedule {
    /// Nothing known yet of a target with these manners.
    pub fn new(manners: &Manners) -> Schedule {
        Schedule {
            lines: HashMap::new(),
            apart: HashSet::new(),
            others: BTreeSet::new(),
            urgent: BTreeSet::new(),
            refused: BTreeSet::new(),
            refusals: HashMap::new(),
            unreached: HashMap::new(),
            critical: 0,
            ordinary: 0,
            for_target: 0,
            down_since: None,
            fall_over: manners.fall_over,
            gather: manners.gather,
            pace: Pace::new(manners),
            most: WINDOW,
        }
    }

    /// How many more notices, critical or not, may be taken in.
    pub fn room(&self, critical: bool) -> usize {
        WINDOW.saturating_sub(if critical { self.critical } else { self.ordinary })
    }

    /// In which line a notice stands: that of its alarm, unless it stands apart.
    fn line_of(&self, notice: &PendingNotice) -> Id {
        if self.apart.contains(&notice.row) {
            // No alarm has such an id: its upper bits are a time.
            Id::from_bits(notice.row.unsigned_abs().into())
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
            alone: false,
            notice,
        };
        *self.held(held.notice.critical) += 1;
        self.enqueue(held, now.ticks);
    }

    /// Puts a notice that was just read at the end of its line.
    fn enqueue(&mut self, held: Held, now: Ticks) {
        let alarm = held.notice.alarm;
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
        let any = urgent || ready(&self.others) || ready(&self.refused);
        let rest = if urgent {
            due_of(&self.others, now, self.most)
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
        let first = due_of(turns, now, self.most);
        let many = self.gather.is_some() && first.len() > SINGLES && self.most > 1;
        if !many {
            let refused = self.refused.first().filter(|turn| turn.due <= now);
            let one = first.first().copied().or(refused.map(|turn| turn.alarm));
            return one.into_iter().collect();
        }
        first.into_iter().chain(rest).take(self.most).collect()
    }

    /// Takes what is due from the head of a line, until `taken` has `most`.
    fn take(&mut self, alarm: Id, now: Ticks, most: usize, taken: &mut Vec<PendingNotice>) {
        self.take_head(alarm);
        let Some(line) = self.lines.get_mut(&alarm) else {
            return;
        };
        while taken.len() < most
            && let Some(held) = line
                .waiting
                .pop_front_if(|held| held.due <= now && (most == 1 || !held.alone))
        {
            line.sending = true;
            self.for_target -= usize::from(held.if_back.is_some());
            taken.push(held.notice);
        }
        self.put_head(alarm);
    }

    /// When [`Schedule::next`] has something again.
    pub fn next_due(&self, now: Ticks) -> Option<Ticks> {
        let others = [self.others.first(), self.refused.first()];
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
            *self.held(notice.critical) -= 1;
            self.back_in_line(self.line_of(notice));
            self.forget(notice.row);
        }
        self.target_is_back();
    }

    /// This row is out of memory.
    fn forget(&mut self, row: i64) {
        self.apart.remove(&row);
        self.refusals.remove(&row);
        self.unreached.remove(&row);
    }

    /// Whether the target has refused this row so often, or so many rows, that it is not to stay in memory.
    fn is_refused_for_good(&mut self, row: i64) -> bool {
        let many = self.refusals.len() >= REFUSED && !self.refusals.contains_key(&row);
        let refusals = self.refusals.entry(row).or_default();
        *refusals += 1;
        many || *refusals >= REFUSALS
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
        let mut notices: Vec<PendingNotice> = parcel.into_notices().collect();
        // The later ones first: each goes in front of those that are back already.
        notices.sort_by_key(|notice| std::cmp::Reverse(notice.row));
        for mut notice in notices {
            notice.attempts = notice.attempts.saturating_add(1);
            let line = self.line_of(&notice);
            let late = matches!(fault, Fault::Target) && self.is_late(notice.row, sent_at, now);
            let is_gone = (lasting || late) && move_on(&mut notice, &mut moved);
            let refused = !is_gone && refused && self.is_refused_for_good(notice.row);
            put_away += usize::from(refused);
            if is_gone || refused {
                *self.held(notice.critical) -= 1;
                self.back_in_line(line);
                self.forget(notice.row);
                continue;
            }
            if matches!(fault, Fault::Reader) && self.apart.insert(notice.row) {
                // Others of the alarm, for readers that it reaches, do not wait for this.
                self.back_in_line(line);
            }
            let alarm = self.line_of(&notice);
            self.take_head(alarm);
            let line = self.lines.entry(alarm).or_default();
            line.sending = false;
            self.for_target += usize::from(if_back.is_some());
            line.waiting.push_front(Held {
                due: now.after(wait),
                if_back,
                alone: self.refusals.contains_key(&notice.row),
                notice,
            });
            self.put_head(alarm);
        }
        Failed {
            wait,
            moved,
            put_away,
        }
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
                    gone.push((held.notice.critical, held.if_back.is_some(), held.notice.row));
                } else {
                    line.waiting.push_back(held);
                }
            }
            let over = line.waiting.is_empty() && !line.sending;
            for (critical, backs_off, row) in gone {
                self.forget(row);
                *self.held(critical) -= 1;
                self.for_target -= usize::from(backs_off);
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
        if self.refusals.contains_key(&turn.row) {
            self.refused.insert(turn);
        } else if urgent {
            self.urgent.insert(turn);
        } else {
            self.others.insert(turn);
        }
    }

    fn take_head(&mut self, alarm: Id) {
        if let Some((_, turn)) = self.turn(alarm) {
            self.urgent.remove(&turn);
            self.others.remove(&turn);
            self.refused.remove(&turn);
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

/// What follows a failed attempt.
#[derive(Debug, PartialEq, Eq)]
pub struct Failed {
    /// How long what is left of it waits.
    pub wait: Millis,
    /// Of these notices people are told through other targets.
    pub moved: Vec<Moved>,
    /// How many were refused so often that they are not tried again before the next start.
    pub put_away: usize,
}

/// Lets whoever of `notice` has another channel be told through that. Whether nobody is left.
fn move_on(notice: &mut PendingNotice, moved: &mut Vec<Moved>) -> bool {
    let (to, left) = Recipient::onward(std::mem::take(&mut notice.people));
    notice.people = left;
    if to.is_empty() {
        return false;
    }
    let ends = notice.people.is_empty();
    moved.push(Moved {
        notice: notice.row,
        to,
        left: (!ends).then(|| notice.people.clone()),
    });
    ends
}

#[cfg(test)]
mod tests;
