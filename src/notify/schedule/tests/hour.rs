//! A target over simulated hours, as its worker treats it: away for an hour, counting and punishing, in bursts of ten thousand.
//! Whatever happens, everything arrives, once and in order, and never one message more than the target allows.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// How long the target takes for an answer.
const ANSWER: u64 = 200;

/// A target, the outbox it is served from, and its worker.
struct World {
    schedule: Schedule,
    manners: Manners,
    now: u64,
    /// Not yet read, critical and not.
    outbox: [VecDeque<PendingNotice>; 2],
    /// Attempts under way, when their answers come, and whether they have a place kept for what is urgent.
    flights: VecDeque<(u64, bool, Parcel)>,
    /// From when to when it is away.
    away: std::ops::Range<u64>,
    /// Until when it refuses every so many-th row.
    refuses: (u64, i64),
    /// What was read and is owed, by row.
    owed: HashMap<i64, PendingNotice>,
    /// What is held back, and until when.
    held: VecDeque<(u64, i64)>,
    /// What it allows within a minute, if it counts. Beyond it, it takes nothing for ten minutes.
    quota: Option<usize>,
    silent_until: u64,
    counted: VecDeque<u64>,
    seen: Seen,
}

/// What the target saw.
#[derive(Default)]
struct Seen {
    /// The messages it took, and when: their notices.
    taken: Vec<(u64, Vec<PendingNotice>)>,
    /// Attempts in vain.
    vain: usize,
    /// Messages beyond its quota.
    excess: usize,
}

impl World {
    fn new(manners: Manners, notices: Vec<PendingNotice>) -> World {
        let (critical, others) = notices.into_iter().partition(|notice| notice.critical);
        World {
            schedule: Schedule::new(&manners),
            manners,
            now: 0,
            outbox: [critical, others],
            flights: VecDeque::new(),
            away: 0..0,
            refuses: (0, 1),
            owed: HashMap::new(),
            held: VecDeque::new(),
            quota: None,
            silent_until: 0,
            counted: VecDeque::new(),
            seen: Seen::default(),
        }
    }

    /// Lets time pass until everything has arrived, or `most` is over.
    fn run(mut self, most: u64) -> Seen {
        while self.now < most {
            self.read();
            self.send();
            let now = Ticks(self.now);
            let due = match self.free_place() {
                Some(false) => self.schedule.next_due(now),
                Some(true) => self.schedule.next_urgent_due(now),
                None => None,
            };
            let again = self.held.front().map(|(until, _)| *until);
            let arrival = self.outbox.iter().filter_map(|lane| lane.front());
            let arrival = arrival.map(|notice| notice.created_at.since(at(0).wall).unsigned_abs());
            let answer = self.flights.front().map(|(at, ..)| *at);
            let next = arrival
                .chain(due.map(|due| due.0))
                .chain(again)
                .chain(answer)
                .filter(|at| *at > self.now)
                .min();
            let Some(next) = next else { break };
            self.now = next;
            while self.flights.front().is_some_and(|(at, ..)| *at <= self.now) {
                if let Some((.., parcel)) = self.flights.pop_front() {
                    self.answer(parcel);
                }
            }
        }
        self.seen
    }

    /// What has come to the outbox, as far as there is room.
    fn read(&mut self) {
        let now = at(self.now);
        for (critical, lane) in [true, false].into_iter().zip(&mut self.outbox) {
            while self.schedule.room(critical) > 0
                && let Some(notice) = lane.pop_front_if(|notice| notice.created_at <= now.wall)
            {
                self.owed.insert(notice.row, notice.clone());
                self.schedule.admit(notice, now);
            }
        }
        while self.schedule.refused().room() > 0
            && let Some((_, row)) = self.held.pop_front_if(|(until, _)| *until <= now.ticks.0)
        {
            let back = PendingNotice {
                refused: true,
                attempts: 1,
                due_at: now.wall,
                ..self.owed.get(&row).expect("it is owed").clone()
            };
            self.schedule.admit(back, now);
        }
    }

    /// Whether the next attempt has a place kept for what is urgent; `None`: there is no place.
    fn free_place(&self) -> Option<bool> {
        let open = self.manners.at_once - self.manners.for_urgent;
        let in_open = self.flights.iter().filter(|(_, kept, _)| !kept).count();
        (self.flights.len() < self.manners.at_once).then_some(in_open >= open)
    }

    fn send(&mut self) {
        while let Some(kept) = self.free_place() {
            let now = Ticks(self.now);
            let parcel = if kept {
                self.schedule.next_urgent(now)
            } else {
                self.schedule.next(now)
            };
            let Some(parcel) = parcel else { return };
            self.flights.push_back((self.now + ANSWER, kept, parcel));
        }
    }

    fn answer(&mut self, parcel: Parcel) {
        let now = self.now;
        self.counted.retain(|at| now - at < MINUTE);
        let fault = if self.away.contains(&now) {
            Some(Fault::Target)
        } else if self.silent_until > now || self.quota.is_some_and(|quota| self.counted.len() >= quota) {
            self.seen.excess += 1;
            self.silent_until = now + 10 * MINUTE;
            Some(Fault::Throttled(Millis(10 * MINUTE)))
        } else if self.refuses.0 > now && parcel.notices().any(|notice| notice.row % self.refuses.1 == 0) {
            // What it refuses it has counted all the same.
            self.counted.push_back(now);
            Some(Fault::Notice)
        } else {
            None
        };
        if let Some(fault) = fault {
            self.seen.vain += 1;
            self.schedule.failed(parcel, fault, Ticks(now));
            let leaving = self.schedule.refused().take_leaving();
            self.held
                .extend(leaving.into_iter().map(|row| (now + AGAIN.0, row)));
            return;
        }
        self.counted.push_back(now);
        self.schedule.delivered(&parcel, Ticks(now));
        for notice in parcel.notices() {
            self.owed.remove(&notice.row);
        }
        self.seen.taken.push((now, parcel.into_notices().collect()));
    }
}

impl Seen {
    /// The rows in the order of their arrival.
    fn rows(&self) -> Vec<i64> {
        let notices = self.taken.iter().flat_map(|(_, notices)| notices);
        notices.map(|notice| notice.row).collect()
    }

    /// Each of so many arrived once, those of an alarm in their order.
    fn assert_complete(&self, count: usize) {
        let mut rows = self.rows();
        rows.sort_unstable();
        let expected: Vec<i64> = (1..).take(count).collect();
        assert_eq!(rows, expected, "each once");
        let mut last = HashMap::new();
        for (_, notices) in &self.taken {
            let mut rows: Vec<_> = notices.iter().map(|notice| (notice.row, notice.alarm)).collect();
            // In a digest the order within says nothing: it tells of an alarm's last state.
            rows.sort_unstable();
            for (row, alarm) in rows {
                let before = last.insert(alarm, row);
                assert!(before.is_none_or(|before| before < row), "{row} after {before:?}");
            }
        }
    }
}

fn later(after: u64, notice: PendingNotice) -> PendingNotice {
    PendingNotice {
        created_at: at(after).wall,
        ..notice
    }
}

/// Those of DingTalk: beyond 20 in a minute it is silent for ten.
fn group() -> Manners {
    Manners {
        at_once: 1,
        for_urgent: 0,
        limits: vec![Limit {
            messages: 18,
            window: Millis(MINUTE),
        }],
        reserve: 4,
        gather: Some(Millis(5 * SECOND)),
        ..Manners::default()
    }
}

/// Those of a mail server: one of two places is kept for what is urgent.
fn post() -> Manners {
    Manners {
        at_once: 2,
        for_urgent: 1,
        limits: vec![Limit {
            messages: 60,
            window: Millis(MINUTE),
        }],
        ..group()
    }
}

#[test]
fn a_machine_that_is_away_for_an_hour_has_everything_minutes_later() {
    // An alarm a second for two hours, and each is over ten seconds later.
    let mut notices = Vec::new();
    for (row, second) in (1..).zip(0..2 * HOUR / SECOND) {
        notices.push(later(second * SECOND, notice(2 * row - 1, u128::from(second))));
        notices.push(later((second + 10) * SECOND, notice(2 * row, u128::from(second))));
    }
    notices.sort_by_key(|notice| notice.created_at);
    for (row, notice) in (1..).zip(&mut notices) {
        notice.row = row;
    }
    let count = notices.len();
    let mut world = World::new(Manners::default(), notices);
    world.away = 10 * MINUTE..70 * MINUTE;
    let seen = world.run(3 * HOUR);
    seen.assert_complete(count);
    let back = seen.taken.iter().map(|(at, _)| *at).find(|at| *at >= 70 * MINUTE);
    let waited = back.unwrap() - 70 * MINUTE;
    assert!(waited <= LONGEST_WAIT.0 + ANSWER, "{waited} ms");
    // Eight at once, each answered in a fifth of a second: a backlog of an hour is worked off in three minutes, with what comes meanwhile.
    let late = |(at, notices): &(u64, Vec<PendingNotice>)| {
        let oldest = notices
            .iter()
            .map(|notice| notice.created_at.since(self::at(0).wall).unsigned_abs());
        at - oldest.min().unwrap_or(*at)
    };
    let settled = 70 * MINUTE + LONGEST_WAIT.0 + 5 * MINUTE;
    let after = seen.taken.iter().filter(|(at, _)| *at > settled);
    let worst = after.map(late).max().unwrap();
    assert!(worst <= 2 * ANSWER, "{worst} ms, long after it was back");
    // What it is spared while it is away.
    assert!(seen.vain < 20_000, "{} attempts in vain", seen.vain);
}

#[test]
fn a_group_that_is_away_for_an_hour_is_not_flooded_when_it_is_back() {
    let notices = (1..)
        .zip(0..HOUR / SECOND)
        .map(|(row, second)| later(second * SECOND, notice(row, u128::from(second))));
    let notices: Vec<_> = notices.collect();
    let count = notices.len();
    let mut world = World::new(group(), notices);
    world.away = MINUTE..HOUR + MINUTE;
    world.quota = Some(20);
    let seen = world.run(3 * HOUR);
    seen.assert_complete(count);
    assert_eq!(seen.excess, 0);
    let messages = seen.taken.iter().filter(|(at, _)| *at > HOUR);
    assert!(messages.count() <= 10, "an hour in a few digests");
    assert!(seen.vain <= 5 * 60, "{} attempts in vain", seen.vain);
}

#[test]
fn ten_thousand_alarms_at_once_fit_into_a_minute_with_the_critical_first() {
    let burst = (1_i64..=10_000).map(|row| {
        let alarm = u128::from(row.unsigned_abs());
        // The critical ones come last.
        if row > 9_800 {
            urgent(row, alarm)
        } else {
            notice(row, alarm)
        }
    });
    let mut world = World::new(group(), burst.collect());
    world.quota = Some(20);
    let seen = world.run(HOUR);
    seen.assert_complete(10_000);
    assert_eq!(seen.excess, 0);
    let (at, first) = seen.taken.first().unwrap();
    assert!(
        *at == ANSWER && first.len() == 200 && first.iter().all(|notice| notice.urgent),
        "{at}: {}",
        first.len()
    );
    assert!(seen.taken.len() <= 18, "{} messages", seen.taken.len());
    let (last, _) = seen.taken.last().unwrap();
    assert!(*last <= MINUTE, "{last} ms");
}

/// A receiver that chokes on every third notice for six hours keeps nothing else from arriving, and has those too once it is mended.
#[test]
fn what_a_target_refuses_for_hours_holds_up_nothing_and_arrives_in_the_end() {
    for manners in [Manners::default(), group(), post()] {
        let notices: Vec<_> = (1..=4_000)
            .map(|row: i64| {
                let alarm = 1_000_000 + u128::from(row.unsigned_abs()) / 2;
                let told = if row % 5 == 0 {
                    urgent(row, alarm)
                } else {
                    notice(row, alarm)
                };
                later(row.unsigned_abs() * 5 * SECOND, told)
            })
            .collect();
        let mut world = World::new(manners, notices);
        world.quota = counted(&world.manners);
        world.refuses = (6 * HOUR, 3);
        let seen = world.run(48 * HOUR);
        assert_eq!(seen.excess, 0);
        let mut rows = seen.rows();
        rows.sort_unstable();
        assert_eq!(rows, (1..=4_000).collect::<Vec<i64>>(), "each once");
        let wanted = seen
            .taken
            .iter()
            .flat_map(|(at, notices)| notices.iter().map(move |notice| (at, notice)));
        let waits = wanted
            .filter(|(_, notice)| notice.row % 3 != 0)
            .map(|(at, notice)| at.saturating_sub(notice.created_at.since(self::at(0).wall).unsigned_abs()));
        let worst = waits.max().unwrap();
        assert!(worst <= MINUTE, "a notice that it wants waited {worst} ms");
    }
}

/// What a target with these manners allows within a minute, if it counts: a little more than they do.
fn counted(manners: &Manners) -> Option<usize> {
    let limit = manners.limits.first()?;
    usize::try_from(limit.messages + 2).ok()
}

/// When, of which alarm, and whether it is critical.
fn arrivals() -> impl Strategy<Value = Vec<(u64, u128, bool)>> {
    let one = (0..2 * HOUR, 0_u128..400, prop::bool::weighted(0.1));
    prop::collection::vec(one, 1..1_500)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn everything_arrives_once_in_order_and_within_the_quota(
        mut arrivals in arrivals(),
        from in 0..HOUR,
        lasts in 0..HOUR,
        manners in prop::sample::select(vec![Manners::default(), group(), post()]),
    ) {
        arrivals.sort_unstable();
        let mut critical_alarms = HashMap::new();
        let notices: Vec<_> = (1..).zip(&arrivals).map(|(row, (after, alarm, critical))| {
            // A line keeps its lane.
            let critical = *critical_alarms.entry(*alarm).or_insert(*critical);
            let told = if critical { urgent(row, *alarm) } else { notice(row, *alarm) };
            later(*after, told)
        }).collect();
        let count = notices.len();
        let quota = counted(&manners);
        let mut world = World::new(manners, notices);
        world.away = from..from + lasts;
        world.quota = quota;
        let seen = world.run(24 * HOUR);
        seen.assert_complete(count);
        prop_assert_eq!(seen.excess, 0);
    }
}
