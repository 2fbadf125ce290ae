//! Which notice of one target goes out next, and when a failed one is tried again. Pure: it is told the time,
//! and never reads, sends or stores anything.

use std::collections::{BTreeSet, HashMap, VecDeque};

use crate::domain::id::Id;
use crate::domain::time::{Millis, Moment, Ticks};
use crate::store::PendingNotice;

/// The wait after the first failure.
const FIRST_WAIT: Millis = Millis(1_000);

/// The longest wait between two attempts.
const LONGEST_WAIT: Millis = Millis(300_000);

/// The most notices of one target held in memory; further ones wait in the store.
const WINDOW: usize = 1_024;

/// Whose fault a failed attempt was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The target's: it is away or unwell. Once it takes anything again, it is worth trying at once.
    Target,
    /// This notice's: the target answered and did not want it.
    Notice,
}

/// The notices of one target that are known and not delivered. Those of one alarm stand in line; the alarms do
/// not wait for each other.
#[derive(Debug, Default)]
pub struct Schedule {
    lines: HashMap<Id, Line>,
    due: BTreeSet<Turn>,
    held: usize,
    /// How many heads back off because the target was away.
    for_target: usize,
}

/// The notices of one alarm, in order of row.
#[derive(Debug, Default)]
struct Line {
    waiting: VecDeque<Held>,
    /// The first of them is on its way, and so not in `waiting`.
    sending: bool,
}

#[derive(Debug)]
struct Held {
    notice: PendingNotice,
    due: Ticks,
    /// When it may be tried at the earliest once its target is known to be back.
    if_back: Option<Ticks>,
}

/// The head of a line and when it is due; among equals the older row goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    due: Ticks,
    row: i64,
    alarm: Id,
}

impl Schedule {
    /// Nothing known yet.
    pub fn new() -> Schedule {
        Schedule::default()
    }

    /// How many more notices may be taken in.
    pub fn room(&self) -> usize {
        WINDOW.saturating_sub(self.held)
    }

    /// Takes in a notice read from the store; notices come in order of row, each once. Its due time, written
    /// by the wall clock, is a wait from here on: a jump of that clock moves it no more, and no wait is longer
    /// than the longest back-off.
    pub fn admit(&mut self, notice: PendingNotice, now: Moment) {
        let wait = if notice.attempts == 0 {
            Millis::ZERO
        } else {
            let wait = notice.due_at.since(now.wall).max(0).unsigned_abs();
            Millis(wait.min(LONGEST_WAIT.0))
        };
        let alarm = notice.alarm;
        let held = Held {
            notice,
            due: now.ticks.after(wait),
            if_back: None,
        };
        self.held += 1;
        self.lines.entry(alarm).or_default().waiting.push_back(held);
        self.put_head(alarm);
    }

    /// The next notice to send, if one is due. It stands at the head of its line until it is reported back
    /// with [`Schedule::delivered`] or [`Schedule::failed`].
    pub fn next(&mut self, now: Ticks) -> Option<PendingNotice> {
        let turn = *self.due.first().filter(|turn| turn.due <= now)?;
        self.due.remove(&turn);
        let line = self.lines.get_mut(&turn.alarm)?;
        let held = line.waiting.pop_front()?;
        line.sending = true;
        self.for_target -= usize::from(held.if_back.is_some());
        Some(held.notice)
    }

    /// When the next notice is due.
    pub fn next_due(&self) -> Option<Ticks> {
        self.due.first().map(|turn| turn.due)
    }

    /// The target has the notice: the next of its alarm may go, and so may all that waited for the target.
    pub fn delivered(&mut self, notice: &PendingNotice) {
        self.held = self.held.saturating_sub(1);
        let alarm = notice.alarm;
        if let Some(line) = self.lines.get_mut(&alarm) {
            line.sending = false;
            if line.waiting.is_empty() {
                self.lines.remove(&alarm);
            }
        }
        self.put_head(alarm);
        self.target_is_back();
    }

    /// The attempt failed: the notice goes back to the head of its line. Returns how long it waits.
    pub fn failed(&mut self, mut notice: PendingNotice, fault: Fault, now: Ticks) -> Millis {
        notice.attempts = notice.attempts.saturating_add(1);
        let wait = back_off(notice.attempts, notice.id);
        let alarm = notice.alarm;
        let held = Held {
            notice,
            due: now.after(wait),
            if_back: match fault {
                Fault::Target => Some(now.after(FIRST_WAIT)),
                Fault::Notice => None,
            },
        };
        let line = self.lines.entry(alarm).or_default();
        line.sending = false;
        self.for_target += usize::from(held.if_back.is_some());
        line.waiting.push_front(held);
        self.put_head(alarm);
        wait
    }

    fn put_head(&mut self, alarm: Id) {
        let Some(line) = self.lines.get(&alarm) else {
            return;
        };
        if let Some(head) = line.waiting.front().filter(|_| !line.sending) {
            self.due.insert(Turn {
                due: head.due,
                row: head.notice.row,
                alarm,
            });
        }
    }

    /// Brings forward whatever backs off because the target was away.
    fn target_is_back(&mut self) {
        if self.for_target == 0 {
            return;
        }
        self.for_target = 0;
        for line in self.lines.values_mut().filter(|line| !line.sending) {
            let Some(head) = line.waiting.front_mut() else {
                continue;
            };
            let Some(sooner) = head.if_back.take().filter(|sooner| *sooner < head.due) else {
                continue;
            };
            let turn = Turn {
                due: head.due,
                row: head.notice.row,
                alarm: head.notice.alarm,
            };
            head.due = sooner;
            self.due.remove(&turn);
            self.due.insert(Turn { due: sooner, ..turn });
        }
    }
}

/// The wait after `failures` failed attempts (from 1): 1 s, 2 s, 4 s … 5 min, less up to a quarter, so that
/// notices that failed together do not come back together. Derived, not random: the same for the same notice.
pub(super) fn back_off(failures: u32, id: Id) -> Millis {
    let doublings = failures.saturating_sub(1).min(16);
    let nominal = (FIRST_WAIT.0 << doublings).min(LONGEST_WAIT.0);
    let spread = nominal / 4;
    Millis(nominal - mixed(id, failures) % (spread + 1))
}

/// 64 well mixed bits of both (the finaliser of splitmix64).
fn mixed(id: Id, failures: u32) -> u64 {
    let bits = id.bits();
    let folded = (bits >> 64) ^ (bits & u128::from(u64::MAX)) ^ (u128::from(failures) << 32);
    let mut word = u64::try_from(folded).unwrap_or(u64::MAX);
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Timestamp;

    const NONE: [i64; 0] = [];

    fn notice(row: i64, alarm: u128) -> PendingNotice {
        PendingNotice {
            row,
            id: Id::from_bits(1_000 + u128::from(row.unsigned_abs())),
            alarm: Id::from_bits(alarm),
            body: String::new(),
            created_at: Timestamp(0),
            attempts: 0,
            due_at: Timestamp(0),
        }
    }

    fn at(ms: u64) -> Moment {
        Moment {
            wall: Timestamp(1_000_000),
            ticks: Ticks(ms),
        }
    }

    fn schedule(notices: impl IntoIterator<Item = PendingNotice>) -> Schedule {
        let mut schedule = Schedule::new();
        for notice in notices {
            schedule.admit(notice, at(0));
        }
        schedule
    }

    fn rows(schedule: &mut Schedule, now: u64) -> Vec<i64> {
        std::iter::from_fn(|| schedule.next(Ticks(now)).map(|notice| notice.row)).collect()
    }

    #[test]
    fn one_alarm_goes_in_order_and_others_do_not_wait() {
        let mut schedule = schedule([notice(1, 1), notice(2, 1), notice(3, 2), notice(4, 1)]);
        assert_eq!(rows(&mut schedule, 0), [1, 3]);
        schedule.delivered(&notice(1, 1));
        assert_eq!(rows(&mut schedule, 0), [2]);
        schedule.delivered(&notice(3, 2));
        assert_eq!(rows(&mut schedule, 0), NONE);
        schedule.delivered(&notice(2, 1));
        assert_eq!(rows(&mut schedule, 0), [4]);
        schedule.delivered(&notice(4, 1));
        assert_eq!(schedule.room(), WINDOW);
        assert!(schedule.lines.is_empty());
    }

    #[test]
    fn a_failed_notice_holds_its_own_alarm_only() {
        let mut schedule = schedule([notice(1, 1), notice(2, 1), notice(3, 2)]);
        assert_eq!(rows(&mut schedule, 0), [1, 3]);
        let wait = schedule.failed(notice(1, 1), Fault::Notice, Ticks(0));
        schedule.delivered(&notice(3, 2));
        assert_eq!(schedule.next_due(), Some(Ticks(wait.0)));
        assert_eq!(rows(&mut schedule, wait.0 - 1), NONE);
        assert_eq!(rows(&mut schedule, wait.0), [1]);
    }

    #[test]
    fn a_notice_that_comes_while_its_alarm_is_on_its_way_waits() {
        let mut schedule = schedule([notice(1, 1)]);
        assert_eq!(rows(&mut schedule, 0), [1]);
        schedule.admit(notice(2, 1), at(0));
        assert_eq!(rows(&mut schedule, 0), NONE);
        schedule.delivered(&notice(1, 1));
        assert_eq!(rows(&mut schedule, 0), [2]);
    }

    #[test]
    fn when_the_target_is_back_nothing_waits_out_a_long_back_off() {
        let mut tired = notice(1, 1);
        tired.attempts = 9;
        let mut schedule = schedule([tired.clone(), notice(2, 2)]);
        assert_eq!(rows(&mut schedule, 0), [1, 2]);
        let wait = schedule.failed(tired, Fault::Target, Ticks(0));
        assert!(wait.0 > 200_000);
        schedule.delivered(&notice(2, 2));
        assert_eq!(rows(&mut schedule, 999), NONE);
        assert_eq!(rows(&mut schedule, 1_000), [1]);
    }

    #[test]
    fn a_wall_clock_jump_neither_holds_nor_fires_a_retry() {
        let mut retry = notice(1, 1);
        retry.attempts = 3;
        retry.due_at = Timestamp(1_000_000 + 86_400_000);
        let mut far = schedule([retry.clone()]);
        assert_eq!(far.next_due(), Some(Ticks(LONGEST_WAIT.0)));
        retry.due_at = Timestamp(1_000_000 + 3_000);
        let mut near = schedule([retry]);
        assert_eq!(rows(&mut near, 2_999), NONE);
        assert_eq!(rows(&mut near, 3_000), [1]);
        assert_eq!(rows(&mut far, LONGEST_WAIT.0), [1]);
    }

    #[test]
    fn back_off_doubles_up_to_five_minutes_with_at_most_a_quarter_less() {
        let nominal = [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300];
        for (failures, seconds) in (1..).zip(nominal) {
            let waits: Vec<u64> = (0..200)
                .map(|id| back_off(failures, Id::from_bits(id)).0)
                .collect();
            let full = seconds * 1_000;
            assert!(waits.iter().all(|wait| (full - full / 4..=full).contains(wait)));
            let spread = waits.iter().max().unwrap() - waits.iter().min().unwrap();
            assert!(
                spread > full / 8,
                "{failures} failures spread over {spread} ms only"
            );
        }
        assert!(back_off(u32::MAX, Id::from_bits(7)).0 <= LONGEST_WAIT.0);
    }
}
