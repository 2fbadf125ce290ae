//! A device as the engine keeps it: its present values as a row of slots, and the lives of its alarms.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::super::alarm::{Life, Stimulus, Transition};
use super::super::definitions::{KindIndex, KindRules};
use super::super::device::DeviceKey;
use super::super::kind::{MAX_SLOTS, ONLINE, SlotSet};
use super::super::profile::command::Address;
use super::super::reading::{Arrival, Reading};
use super::super::rule::{News, Rule, Truth};
use super::super::time::{ClockBounds, Millis, Moment, Ticks, Timestamp};
use super::derive::DerivedState;
use super::linkage::Linkage;
use super::mask::Masks;
use super::record::{Kept, nothing_kept};

/// How many readings are remembered to know a message that comes twice. The broker sends again what was not
/// acknowledged, in order: more of one device are not in flight at once.
const RECENT: usize = 8;

/// How many late samples in a row must keep pace with our clock before the device's clock is taken as set back. A
/// backlog comes faster than it was taken, so it never keeps pace.
const SET_BACK_RUN: u8 = 3;

/// And for how long they must: a congested line may hold messages up evenly for a while.
const SET_BACK_FOR: Millis = Millis(300_000);

/// The values of a device. Most kinds have at most so many slots.
pub(super) type Slots = SmallVec<[f64; 12]>;

/// One device. What every reading needs stands first and together: with a hundred thousand devices, fetching it costs
/// more than all rules.
#[derive(Debug, Serialize, Deserialize)]
#[repr(C, align(64))]
pub(super) struct Device {
    /// The last value of each point, and behind them what is derived over time; NaN: never heard of.
    pub(super) slots: Slots,
    /// The slots whose rules would do something if they were evaluated again: an alarm waits for evidence. Of the
    /// others it is enough to look at values that pass an edge of the kind's grid.
    #[serde(skip, default = "restless")]
    pub(super) restless: SlotSet,
    /// The newest time that the device itself has claimed, never ahead of the gateway's.
    watermark: Option<Timestamp>,
    /// When its newest sample was taken, in gateway time and [`ClockBounds::MOST_BEHIND`]; never goes back.
    pub(super) sampled: Ticks,
    /// How long it may be silent, where its kind's rules allow less.
    #[serde(skip)]
    pub(super) silent_after: Millis,
    /// When it last spoke, or came to be known.
    pub(super) heard: Ticks,
    /// Its kind in the definitions in force; `None` when they do not know it.
    pub(super) kind: Option<KindIndex>,
    /// Its venue's number in the ledger.
    pub(super) venue: u32,
    /// What the history kept last of each point.
    pub(super) kept: Box<[Kept]>,
    /// What is remembered of its messages.
    past: Past,
    pub(super) key: Arc<DeviceKey>,
    /// When its timer for silence comes.
    pub(super) silence_at: Option<Ticks>,
    /// One for each derived value of its kind, in their order.
    pub(super) derived: Box<[DerivedState]>,
    /// One for each rule of its kind, in their order.
    pub(super) lives: Box<[Life]>,
    /// The rules that have raised lately; at most one entry for each.
    pub(super) flaps: Vec<Flap>,
    /// What people keep quiet.
    pub(super) masks: Masks,
    /// What it last told its venue, one for each feed of its kind.
    #[serde(skip)]
    pub(super) told: Box<[Truth]>,
    /// When each of the points that grow stale was last heard of, in the order of its kind.
    pub(super) fresh: Box<[Ticks]>,
    /// How often it is tried out by itself, and when next; zero: never.
    pub(super) exercise: (Millis, Option<Ticks>),
    /// What it is told to do, and what its alarms demand; of most devices nothing.
    pub(super) linkage: Option<Box<Linkage>>,
    /// How it is spoken to, if not in the native form.
    pub(super) address: Option<Box<Address>>,
}

/// What is remembered of a device's messages, to know repeated ones and a clock that was set back.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Past {
    /// Marks of the last readings that came with the device's own number or time.
    marks: [u64; RECENT],
    /// Where the next mark goes.
    next: u8,
    /// Late samples in a row that keep pace with our clock.
    behind: Option<Behind>,
}

const fn restless() -> SlotSet {
    SlotSet::ALL
}

/// How often a rule has raised lately.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Flap {
    /// The rule's place.
    pub(super) place: u16,
    /// The first of the raises counted.
    pub(super) since: Ticks,
    pub(super) count: u32,
}

/// A late sample whose successor may show that the device's clock was set back.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Behind {
    at: Timestamp,
    heard: Ticks,
    /// Since when they have kept pace, and how many.
    since: Ticks,
    run: u8,
}

impl Device {
    pub(super) fn new(
        key: Arc<DeviceKey>,
        venue: u32,
        kind: Option<KindIndex>,
        rules: Option<&KindRules>,
        now: Ticks,
    ) -> Device {
        let slots = rules.map_or_else(Slots::default, initial_slots);
        let derived = rules.map_or_else(Box::default, |rules| {
            rules.derived.iter().map(DerivedState::new).collect()
        });
        let lives = rules.map_or_else(Box::default, |rules| {
            rules.rules.iter().map(|_| Life::Normal).collect()
        });
        Device {
            key,
            venue,
            kind,
            watermark: None,
            sampled: Ticks::default(),
            silent_after: Millis::ZERO,
            heard: now,
            silence_at: None,
            fresh: rules.map_or_else(Box::default, |rules| rules.stale.iter().map(|_| now).collect()),
            slots,
            restless: SlotSet::ALL,
            kept: rules.map_or_else(Box::default, nothing_kept),
            derived,
            lives,
            flaps: Vec::new(),
            masks: Masks::default(),
            told: Box::default(),
            past: Past::default(),
            exercise: (Millis::ZERO, None),
            linkage: None,
            address: None,
        }
    }

    /// Whether this message has been taken before. Only the device's own number or time can tell two equal messages
    /// apart, so one with neither is never taken for a repetition. The values count beside a number: a counter that
    /// stands still or begins anew must not mute the device.
    pub(super) fn repeats(&mut self, reading: &Reading<'_>, now: Moment) -> bool {
        let name = match (reading.seq, reading.device_at) {
            (Some(seq), _) => mix(seq, 2),
            (None, Some(time)) => mix(time.at.0.cast_unsigned(), 1),
            (None, None) => return false,
        };
        let mark = reading.points.iter().fold(name, |mark, (point, value)| {
            mix(mark ^ u64::from(point.0), value.to_bits())
        });
        let past = &mut self.past;
        // What is newer than all that was heard cannot have been heard.
        let newer = believed(reading)
            .filter(|at| *at <= now.wall)
            .zip(self.watermark)
            .is_some_and(|(at, watermark)| watermark < at);
        if !newer && past.marks.contains(&mark) {
            return true;
        }
        if let Some(place) = past.marks.get_mut(usize::from(past.next) % RECENT) {
            *place = mark;
        }
        past.next = past.next.wrapping_add(1);
        false
    }

    /// A look at everything that a reading needs: one word of each part.
    #[inline]
    pub(super) fn glance(&self) -> u64 {
        let value = self.slots.first().map_or(0, |value| value.to_bits());
        let last = self.slots.last().map_or(0, |value| value.to_bits());
        let known = self.past.marks.first().copied().unwrap_or_default() ^ u64::from(self.past.next);
        let kept = self.kept.last().map_or(0, Kept::glance);
        value ^ last ^ known ^ kept ^ self.heard.0 ^ u64::from(self.restless.is_empty())
    }

    /// How far its clock was behind ours when it last spoke, its message's way included, in milliseconds.
    pub(super) fn lag(&self, now: Moment) -> i64 {
        let silent = i64::try_from(now.ticks.since(self.heard).0).unwrap_or(i64::MAX);
        let heard_at = Timestamp(now.wall.0.saturating_sub(silent));
        self.watermark.map_or(0, |said| heard_at.since(said).max(0))
    }

    /// Whether the device is present, as far as known.
    pub(super) fn online(&self) -> Option<bool> {
        self.slots
            .first()
            .filter(|online| !online.is_nan())
            .map(|online| *online != 0.0)
    }

    /// How old the sample is, in milliseconds, when it is no news: the device has sent a newer one before, or the
    /// broker kept it. `None` when it is news. Of samples that were sent, only a believable device time makes one
    /// late: the order of arrival never does.
    pub(super) fn lateness(&mut self, reading: &Reading<'_>, now: Moment) -> Option<u64> {
        let at = believed(reading);
        // A status is kept so that whoever subscribes learns it: the last will of a device that is gone counts.
        let only_online =
            || !reading.points.is_empty() && reading.points.iter().all(|(point, _)| *point == ONLINE);
        let kept = reading.arrival == Arrival::Kept && !only_online();
        let overtaken = !kept
            && at
                .zip(self.watermark)
                .is_some_and(|(at, watermark)| at < watermark)
            && !self.was_set_back(at, now);
        (kept || overtaken).then(|| at.map_or(0, |at| now.wall.since(at).max(0).unsigned_abs()))
    }

    /// Whether late samples come as fast as they are taken: then they are no backlog, but the device's clock was set
    /// back, and what it says now is news. A device must not be muted by its clock (DESIGN §4).
    fn was_set_back(&mut self, at: Option<Timestamp>, now: Moment) -> bool {
        let Some(at) = at else { return false };
        let first = (now.ticks, 1);
        let (since, run) = match self.past.behind {
            Some(behind) if at > behind.at => {
                let taken = at.since(behind.at).unsigned_abs();
                let heard = now.ticks.since(behind.heard).0;
                // As fast as taken, give or take a quarter and two seconds of travel.
                if taken.abs_diff(heard) <= 2_000 + taken / 4 {
                    (behind.since, behind.run.saturating_add(1))
                } else {
                    first
                }
            }
            Some(_) | None => first,
        };
        if run >= SET_BACK_RUN && now.ticks.since(since) >= SET_BACK_FOR {
            self.past.behind = None;
            self.watermark = Some(at);
            return true;
        }
        self.past.behind = Some(Behind {
            at,
            heard: now.ticks,
            since,
            run,
        });
        false
    }

    /// Takes the reading's values over; which points it spoke of.
    pub(super) fn update(&mut self, reading: &Reading<'_>, rules: &KindRules, now: Moment) -> News {
        // Ahead of gateway time, so that a clock as far behind as may be still has room when that begins.
        let mut taken = now.ticks.after(ClockBounds::MOST_BEHIND).0;
        if let Some(at) = believed(reading) {
            self.past.behind = None;
            // A device time ahead of ours never counts: it would make all that follows look late.
            self.watermark = Some(at.min(now.wall));
            let age = now.wall.since(at).max(0).unsigned_abs();
            taken = taken.saturating_sub(age);
        }
        self.sampled = self.sampled.max(Ticks(taken));
        let mut news = News::default();
        for (point, value) in reading.points {
            self.put(point.0, *value, rules, &mut news);
        }
        if !news.heard.contains(ONLINE) && self.online() != Some(true) {
            // Whoever speaks is there, whatever a last will said before.
            self.put(ONLINE.0, 1.0, rules, &mut news);
        }
        news
    }

    /// Sets a slot, and adds that to the news.
    #[inline]
    pub(super) fn put(&mut self, slot: u8, value: f64, rules: &KindRules, news: &mut News) {
        if let Some(place) = self.slots.get_mut(usize::from(slot)) {
            rules
                .grid
                .note(slot, std::mem::replace(place, value), value, news);
        }
    }

    /// Finds the slots whose rules would do something if they were evaluated again now.
    pub(super) fn find_restless(&mut self, rules: &KindRules, now: Ticks) {
        let mut restless = SlotSet::EMPTY;
        for (rule, life) in rules.rules.iter().zip(&self.lives) {
            let stimulus = observe(rule, &self.slots, life);
            if life.transition(stimulus, now, &rule.def) != Transition::Stay {
                restless = restless.union(rule.depends);
            }
        }
        self.restless = restless;
    }

    /// The present values with the reading's laid over, and which points it spoke of.
    pub(super) fn as_of(&self, reading: &Reading<'_>) -> ([f64; MAX_SLOTS], SlotSet) {
        let mut slots = [f64::NAN; MAX_SLOTS];
        for (slot, value) in slots.iter_mut().zip(&self.slots) {
            *slot = *value;
        }
        let mut updated = SlotSet::EMPTY;
        for (point, value) in reading.points {
            if let Some(slot) = slots.get_mut(usize::from(point.0)) {
                *slot = *value;
                updated = updated.with(*point);
            }
        }
        (slots, updated)
    }
}

/// The values of a device that has not spoken yet.
pub(super) fn initial_slots(rules: &KindRules) -> Slots {
    let points = rules.kind.points.iter();
    let derived = rules.derived.iter().flat_map(|derived| {
        std::iter::repeat_n(derived.quantity.initial(), usize::from(derived.quantity.width()))
    });
    points
        .map(|point| point.default.unwrap_or(f64::NAN))
        .chain(derived)
        .collect()
}

/// Folds `value` into `mark`; equal messages get equal marks, in every version.
const fn mix(mark: u64, value: u64) -> u64 {
    let folded = (mark ^ value).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    folded ^ (folded >> 29)
}

/// The device's time, if it can be right.
pub(super) const fn believed(reading: &Reading<'_>) -> Option<Timestamp> {
    match reading.device_at {
        Some(time) if time.believed => Some(time.at),
        Some(_) | None => None,
    }
}

/// What a reading that left `slots` means to a rule whose alarm is in `life`.
#[inline]
pub(super) fn observe(rule: &Rule, slots: &[f64], life: &Life) -> Stimulus {
    match rule.when.evaluate(slots) {
        Truth::True => Stimulus::Holds,
        Truth::Unknown => Stimulus::Unknown,
        Truth::False => match (life, &rule.clear) {
            // Hysteresis is about ending an alarm; where none stands, `when` alone decides.
            (Life::Normal | Life::Pending { .. }, _) | (_, None) => Stimulus::Clears,
            (Life::Active(_) | Life::Recovering { .. } | Life::Recovered { .. }, Some(clear)) => {
                match clear.evaluate(slots) {
                    Truth::True => Stimulus::Clears,
                    Truth::False => Stimulus::Lapses,
                    Truth::Unknown => Stimulus::Unknown,
                }
            }
        },
    }
}
