//! What a device keeps for values over time, and how its derived slots come up to date: by a reading, or because
//! time has passed. Decides no alarm.

use serde::{Deserialize, Serialize};

use super::super::definitions::KindRules;
use super::super::device::DeviceIndex;
use super::super::kind::{GATEWAY_KIND, ONLINE, PointIndex, SlotSet};
use super::super::reading::{Arrival, Reading, ReadingKind};
use super::super::rule::{Derived, News, Quantity, Truth};
use super::super::time::{Millis, Moment, Ticks};
use super::super::window::{Held, Window};
use super::device::{Device, Slots};
use super::due::Due;
use super::ledger::Ledger;

/// What is kept for one derived value.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum DerivedState {
    /// The samples of a window.
    Window(Box<Window>),
    /// How long a condition has held.
    Held(Held),
    /// Nothing: what the device itself keeps, a count or the almanac is enough.
    Nothing,
}

impl DerivedState {
    pub(super) fn new(derived: &Derived) -> DerivedState {
        match &derived.quantity {
            Quantity::Window { function, length, .. } => {
                DerivedState::Window(Box::new(Window::new(*function, *length)))
            }
            Quantity::Held { .. } => DerivedState::Held(Held::default()),
            Quantity::Silent { .. }
            | Quantity::ClockSkew
            | Quantity::CommandFailed
            | Quantity::Count { .. }
            | Quantity::Fact(_) => DerivedState::Nothing,
        }
    }
}

/// A device's derived values under other definitions.
pub(super) struct DerivedRow {
    pub(super) slots: Slots,
    pub(super) states: Box<[DerivedState]>,
}

/// One device's turn: its place, what watches it, and when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn<'a> {
    pub(super) device: DeviceIndex,
    pub(super) rules: &'a KindRules,
    /// Since when the devices are listened to; `None` while they are not.
    pub(super) listening: Option<Ticks>,
    /// It is about a message that has been taken before.
    pub(super) repeated: bool,
    pub(super) now: Moment,
}

impl<'a> Turn<'a> {
    /// A turn that is about no repeated message.
    pub(super) const fn new(
        device: DeviceIndex,
        rules: &'a KindRules,
        listening: Option<Ticks>,
        now: Moment,
    ) -> Turn<'a> {
        Turn {
            device,
            rules,
            listening,
            repeated: false,
            now,
        }
    }
}

impl Device {
    /// Brings the derived values up to date that read any slot heard of, and adds them to the news.
    pub(super) fn settle(&mut self, turn: &Turn<'_>, mut news: News, ledger: &mut Ledger) -> News {
        let Turn { rules, now, .. } = *turn;
        for (place, derived) in (0_u16..).zip(&rules.derived) {
            if !derived.reads.intersects(news.heard) {
                continue;
            }
            let Some(state) = self.derived.get_mut(usize::from(place)) else {
                return news;
            };
            match (state, &derived.quantity) {
                // A message that comes twice is no second sample. A device whose clock or counter stands still must not
                // be muted for that: what looks like all it has said before is one sample in each part of a window.
                (DerivedState::Window(window), Quantity::Window { .. })
                    if turn.repeated && window.knows(self.sampled) => {}
                (DerivedState::Window(window), Quantity::Window { source, .. }) => {
                    window.push(get(&self.slots, *source), self.sampled);
                    let [least, greatest] = window.bounds(self.sampled);
                    self.put(derived.slot, least, rules, &mut news);
                    self.put(derived.slot.saturating_add(1), greatest, rules, &mut news);
                }
                (
                    DerivedState::Held(held),
                    Quantity::Held {
                        condition,
                        length,
                        max_gap,
                    },
                ) => {
                    let before = next_look(*held, *length, get(&self.slots, derived.slot));
                    *held = held.observe(condition.evaluate(&self.slots), now.ticks);
                    let lasted = number(held.lasted(*length, *max_gap, now.ticks));
                    let after = next_look(*held, *length, lasted);
                    ledger.move_deadline((before, after), turn.device, Due::Held(place));
                    self.put(derived.slot, lasted, rules, &mut news);
                }
                // States and values stand in the same order, and the others are made from no slot.
                (
                    DerivedState::Window(_) | DerivedState::Held(_) | DerivedState::Nothing,
                    Quantity::Window { .. }
                    | Quantity::Held { .. }
                    | Quantity::Silent { .. }
                    | Quantity::ClockSkew
                    | Quantity::CommandFailed
                    | Quantity::Fact(_)
                    | Quantity::Count { .. },
                ) => {}
            }
        }
        news
    }

    /// The instant has come at which the condition at `place` may have held long enough; what changed by that.
    pub(super) fn held_due(&mut self, turn: &Turn<'_>, place: u16, at: Ticks) -> SlotSet {
        let place = usize::from(place);
        let (Some(DerivedState::Held(held)), Some(derived)) =
            (self.derived.get_mut(place), turn.rules.derived.get(place))
        else {
            return SlotSet::EMPTY;
        };
        let Quantity::Held {
            condition,
            length,
            max_gap,
        } = &derived.quantity
        else {
            return SlotSet::EMPTY;
        };
        if held.deadline(*length) != Some(at) {
            return SlotSet::EMPTY;
        }
        if turn.rules.kind.id == GATEWAY_KIND {
            // Its state needs no message to be known.
            *held = held.observe(condition.evaluate(&self.slots), turn.now.ticks);
        }
        let lasted = number(held.lasted(*length, *max_gap, turn.now.ticks));
        self.change(derived.slot, lasted)
    }

    /// The device may have spoken; what is known by that alone.
    pub(super) fn hear(&mut self, turn: &Turn<'_>, reading: &Reading<'_>, ledger: &mut Ledger) -> News {
        // A last will is the broker's word, and what it kept is of unknown age.
        let gone = reading.points == [(ONLINE, 0.0)];
        if reading.arrival == Arrival::Kept || gone {
            return News::default();
        }
        self.heard = turn.now.ticks;
        let live_at = match reading.kind {
            ReadingKind::Live => reading.device_at,
            ReadingKind::Test | ReadingKind::History => None,
        };
        let (mut changed, mut news) = (SlotSet::EMPTY, News::default());
        for derived in &turn.rules.derived {
            match derived.quantity {
                Quantity::Silent { .. } => changed = changed.union(self.change(derived.slot, 0.0)),
                Quantity::ClockSkew => {
                    if let Some(time) = live_at {
                        let skew = f64::from(u8::from(!time.believed));
                        self.put(derived.slot, skew, turn.rules, &mut news);
                    }
                }
                Quantity::Window { .. }
                | Quantity::Held { .. }
                | Quantity::Fact(_)
                | Quantity::CommandFailed
                | Quantity::Count { .. } => {}
            }
        }
        if !changed.is_empty() {
            self.arm_silence(turn, ledger);
        }
        news.union(News::all(changed))
    }

    /// Those of the points in `heard` that grow stale are fresh again.
    #[inline]
    pub(super) fn refresh(&mut self, turn: &Turn<'_>, heard: SlotSet, ledger: &mut Ledger) {
        if turn.rules.stale.is_empty() {
            return;
        }
        for ((slot, _), fresh) in turn.rules.stale.iter().zip(&mut self.fresh) {
            if heard.contains(PointIndex(*slot)) {
                *fresh = turn.now.ticks;
            }
        }
        self.arm_silence(turn, ledger);
    }

    /// Forgets the points that have grown stale. What becomes unknown moves no alarm, so no rule is asked; the venue is
    /// told, whose counts it changes.
    fn wither(&mut self, turn: &Turn<'_>, at: Ticks, ledger: &mut Ledger) {
        let mut withered = SlotSet::EMPTY;
        for (place, (slot, _)) in turn.rules.stale.iter().enumerate() {
            if self
                .grows_stale(place, turn.rules, turn.listening)
                .is_some_and(|due| due <= at)
            {
                set(&mut self.slots, *slot, f64::NAN);
                withered = withered.with_slot(*slot);
            }
        }
        for (place, feed) in turn.rules.feeds.iter().enumerate() {
            if feed.condition.depends().intersects(withered) {
                self.answer(place, turn.rules, ledger);
            }
        }
    }

    /// The device's timer for silence, set for `at`, has come; what changed by that. What is due later comes later, also
    /// when both are overdue: other devices fall silent in between.
    pub(super) fn silence_due(&mut self, turn: &Turn<'_>, at: Ticks, ledger: &mut Ledger) -> SlotSet {
        self.silence_at = None;
        let mut changed = SlotSet::EMPTY;
        for derived in &turn.rules.derived {
            if self
                .falls_silent(derived, turn.listening)
                .is_some_and(|due| due <= at)
            {
                changed = changed.union(self.change(derived.slot, 1.0));
            }
        }
        self.wither(turn, at, ledger);
        self.arm_silence(turn, ledger);
        changed
    }

    /// Sees to it that the device's one timer for silence, its own and that of its points, comes in time. It may come early, and is then set anew:
    /// a device that speaks does not touch it.
    pub(super) fn arm_silence(&mut self, turn: &Turn<'_>, ledger: &mut Ledger) {
        let Some(at) = self.next_silence(turn.rules, turn.listening) else {
            return;
        };
        if self.silence_at.is_some_and(|armed| armed <= at) {
            return;
        }
        ledger.move_deadline((self.silence_at, Some(at)), turn.device, Due::Silence);
        self.silence_at = Some(at);
    }

    /// The first instant at which the device will have been silent for as long as a rule asks, or one of its points
    /// for as long as its kind allows.
    pub(super) fn next_silence(&self, rules: &KindRules, listening: Option<Ticks>) -> Option<Ticks> {
        let derived = rules.derived.iter();
        let silent = derived.filter_map(|derived| self.falls_silent(derived, listening));
        let stale = (0..rules.stale.len()).filter_map(|place| self.grows_stale(place, rules, listening));
        silent.chain(stale).min()
    }

    /// When the point at `place` of those that grow stale does; `None` while it is unknown, or nobody listens.
    fn grows_stale(&self, place: usize, rules: &KindRules, listening: Option<Ticks>) -> Option<Ticks> {
        let (slot, after) = rules.stale.get(place)?;
        let known = !get(&self.slots, *slot).is_nan();
        let since = listening.filter(|_| known)?;
        Some(since.max(*self.fresh.get(place)?).after(*after))
    }

    /// When `derived` turns true; `None` if it is something else, is true already, or nobody listens.
    fn falls_silent(&self, derived: &Derived, listening: Option<Ticks>) -> Option<Ticks> {
        match derived.quantity {
            Quantity::Silent { length } => {
                let silent = get(&self.slots, derived.slot) > 0.0;
                listening
                    .filter(|_| !silent)
                    .map(|since| since.max(self.heard).after(length.max(self.silent_after)))
            }
            Quantity::Window { .. }
            | Quantity::Held { .. }
            | Quantity::Fact(_)
            | Quantity::Count { .. }
            | Quantity::CommandFailed
            | Quantity::ClockSkew => None,
        }
    }

    /// Every instant at which one of its values over time wants to be looked at again.
    pub(super) fn adopt_deadlines(&self, device: DeviceIndex, rules: &KindRules, ledger: &mut Ledger) {
        for ((place, state), derived) in (0_u16..).zip(&self.derived).zip(&rules.derived) {
            if let (DerivedState::Held(held), Quantity::Held { length, .. }) = (state, &derived.quantity)
                && let Some(at) = next_look(*held, *length, get(&self.slots, derived.slot))
            {
                ledger.insert_deadline(at, device, Due::Held(place));
            }
        }
        if let Some(at) = self.silence_at {
            ledger.insert_deadline(at, device, Due::Silence);
        }
        if let Some(order) = self.linkage.as_ref().and_then(|linkage| linkage.order.as_ref()) {
            ledger.insert_deadline(order.deadline, device, Due::Order);
        }
        if let Some(at) = self.exercise.1 {
            ledger.insert_deadline(at, device, Due::Exercise);
        }
    }

    /// Takes over what `old` kept under `before` for those values that mean the same under `after`.
    pub(super) fn inherit(&mut self, old: &mut DerivedRow, before: &KindRules, after: &KindRules) {
        let mut places = Places::of_points(before, after);
        for (state, derived) in self.derived.iter_mut().zip(&after.derived) {
            let mut known = before.derived.iter().zip(&mut old.states);
            let Some((known, kept)) = known.find(|(known, _)| places.same((known, before), (derived, after)))
            else {
                continue;
            };
            match kept {
                // Two that differ only in how old their evidence may be have one past.
                DerivedState::Held(held) => *state = DerivedState::Held(*held),
                DerivedState::Window(_) | DerivedState::Nothing => std::mem::swap(state, kept),
            }
            for offset in 0..derived.quantity.width() {
                let (from, to) = (
                    known.slot.saturating_add(offset),
                    derived.slot.saturating_add(offset),
                );
                set(&mut self.slots, to, get(&old.slots, from));
                places.0.push((to, from));
            }
        }
    }

    pub(super) fn change(&mut self, slot: u8, value: f64) -> SlotSet {
        let before = get(&self.slots, slot);
        set(&mut self.slots, slot, value);
        #[expect(clippy::float_cmp, reason = "a derived truth is 0, 1 or missing")]
        let same = before == value || (before.is_nan() && value.is_nan());
        if same {
            SlotSet::EMPTY
        } else {
            SlotSet::EMPTY.with_slot(slot)
        }
    }
}

/// Where slots of other definitions stood before: the new slot and the old one.
struct Places(Vec<(u8, u8)>);

impl Places {
    fn of_points(before: &KindRules, after: &KindRules) -> Places {
        let pairs = after.kind.points().filter_map(|(to, point)| {
            let mut known = before.kind.points();
            let (from, _) = known.find(|(_, known)| known.id == point.id && known.value == point.value)?;
            Some((to.0, from.0))
        });
        Places(pairs.collect())
    }

    fn before(&self, slot: u8) -> Option<u8> {
        let found = self.0.iter().find(|(to, _)| *to == slot);
        found.map(|(_, from)| *from)
    }

    /// Whether `known` and `derived` are the same value. Whether a condition has held is so by what the condition asks
    /// and for how long, however it is written; every other value by its name and what its points are.
    fn same(
        &self,
        (known, before): (&Derived, &KindRules),
        (derived, after): (&Derived, &KindRules),
    ) -> bool {
        match (&known.quantity, &derived.quantity) {
            (
                Quantity::Held {
                    condition: old,
                    length: known,
                    ..
                },
                Quantity::Held {
                    condition, length, ..
                },
            ) => known == length && condition.means(old, |slot| self.before(slot)),
            (
                Quantity::Window { .. }
                | Quantity::Held { .. }
                | Quantity::Silent { .. }
                | Quantity::ClockSkew
                | Quantity::CommandFailed
                | Quantity::Fact(_)
                | Quantity::Count { .. },
                Quantity::Window { .. }
                | Quantity::Held { .. }
                | Quantity::Silent { .. }
                | Quantity::ClockSkew
                | Quantity::CommandFailed
                | Quantity::Fact(_)
                | Quantity::Count { .. },
            ) => {
                known.name == derived.name
                    && known
                        .points(&before.kind)
                        .map(|point| (&point.id, &point.value))
                        .eq(derived.points(&after.kind).map(|point| (&point.id, &point.value)))
            }
        }
    }
}

pub(super) const fn number(truth: Truth) -> f64 {
    match truth {
        Truth::True => 1.0,
        Truth::False => 0.0,
        Truth::Unknown => f64::NAN,
    }
}

/// When it is to be looked at whether a condition has held for `length`; never once that is so.
fn next_look(held: Held, length: Millis, lasted: f64) -> Option<Ticks> {
    held.deadline(length).filter(|_| lasted.is_nan() || lasted < 1.0)
}

fn get(slots: &[f64], slot: u8) -> f64 {
    slots.get(usize::from(slot)).copied().unwrap_or(f64::NAN)
}

fn set(slots: &mut [f64], slot: u8, value: f64) {
    if let Some(place) = slots.get_mut(usize::from(slot)) {
        *place = value;
    }
}
