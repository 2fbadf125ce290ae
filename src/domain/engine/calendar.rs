//! What the wall clock decides: looks into the almanac when an answer changes, and judges the rules concerned at that
//! instant, without a reading. One timer for all of it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::alarm::{Life, Stimulus, Transition};
use super::super::almanac::Page;
use super::super::definitions::Definitions;
use super::super::device::DeviceIndex;
use super::super::kind::SlotSet;
use super::super::rule::{News, Quantity, Truth};
use super::super::time::{Millis, Moment, Ticks};
use super::derive::{Turn, number};
use super::device::{self, Device};
use super::ledger::Ledger;
use super::step::Step;
use super::venue::index_of;
use super::{Effects, Engine};

/// How long the wall clock goes unwatched at most: one that was set shows within this time.
const UNWATCHED: Millis = Millis(3_600_000);

/// How far the wall clock may move against gateway time before it counts as set, in milliseconds.
const SET_BY_MS: u64 = 1_000;

/// When the almanac is looked into.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct Watch {
    /// Next; `None` while no rule asks for it.
    pub(super) next: Option<Ticks>,
    /// The last time.
    looked: Moment,
}

impl Watch {
    /// The watch after a look at `now`.
    fn after(now: Moment, definitions: &Definitions) -> Watch {
        let facts = definitions.facts();
        let next = (!facts.is_empty()).then(|| {
            let change = definitions.almanac().next_change(facts, now.wall);
            let wait = change.map_or(UNWATCHED, |at| Millis(at.since(now.wall).unsigned_abs()));
            now.ticks.after(wait.min(UNWATCHED))
        });
        Watch { next, looked: now }
    }

    /// Whether to look again at `now`: it is time to, or the wall clock was set meanwhile.
    fn is_due(self, now: Moment) -> bool {
        let passed = now.wall.since(self.looked.wall);
        let ticked = i64::try_from(now.ticks.since(self.looked.ticks).0).unwrap_or(i64::MAX);
        let was_set = passed.abs_diff(ticked) > SET_BY_MS;
        self.next.is_some_and(|next| next <= now.ticks || was_set)
    }
}

/// What the almanac says of a device.
#[derive(Debug, Clone, Copy)]
struct Answers {
    /// The slots of all answers.
    all: SlotSet,
    /// Those that are not what they were.
    changed: SlotSet,
}

/// Why the almanac is looked into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// An answer may have changed.
    Boundary,
    /// The rules or the almanac have changed.
    Renewed,
}

impl Engine {
    /// Looks into the almanac if it is time to. Any timer that comes may see that the wall clock was set.
    pub(super) fn watch_calendar(&mut self, now: Moment, effects: &mut Effects) {
        if self.watch.is_due(now) {
            self.consult(Look::Boundary, now, effects);
        }
    }

    /// Brings what the almanac says of every device up to date, and judges the rules that ask for it.
    pub(super) fn consult(&mut self, look: Look, now: Moment, effects: &mut Effects) {
        self.watch = Watch::after(now, &self.definitions);
        if self.watch.next.is_none() {
            return;
        }
        let page = self.definitions.page(now.wall);
        for (index, device) in (0_u32..).map(DeviceIndex).zip(&mut self.devices) {
            if let Some(rules) = device.kind.and_then(|kind| self.definitions.kind(kind)) {
                let turn = Turn::new(index, rules, self.listening, now);
                let answers = device.consult(&turn, &page);
                judge(&mut self.ledger, device, (&turn, look), answers, effects);
            }
        }
        for (number, venue) in (0_u32..).zip(&mut self.venues) {
            let rules = self.definitions.on_venue(&venue.key.venue);
            let turn = Turn::new(index_of(number), rules, self.listening, now);
            let answers = venue.consult(&turn, &page);
            judge(&mut self.ledger, venue, (&turn, look), answers, effects);
        }
    }

    /// A device's or venue's first look into the almanac.
    pub(super) fn consult_first(&mut self, index: DeviceIndex, now: Moment, effects: &mut Effects) {
        if self.watch.next.is_none() {
            return;
        }
        // A message may have been received before the last look and taken in after it: its time is over.
        let looked = self.watch.looked;
        let now = if now.ticks < looked.ticks { looked } else { now };
        let (listening, definitions) = (self.listening, Arc::clone(&self.definitions));
        let page = definitions.page(now.wall);
        if let Some((device, rules, ledger)) = self.subject(index) {
            let turn = Turn::new(index, rules, listening, now);
            let answers = device.consult(&turn, &page);
            judge(ledger, device, (&turn, Look::Boundary), answers, effects);
        }
    }
}

impl Device {
    fn consult(&mut self, turn: &Turn<'_>, page: &Page<'_>) -> Answers {
        let mut answers = Answers {
            all: SlotSet::EMPTY,
            changed: SlotSet::EMPTY,
        };
        for derived in &turn.rules.derived {
            match derived.quantity {
                Quantity::Fact(fact) => {
                    let answer = Truth::from(page.says(fact, &self.key));
                    answers.all = answers.all.with_slot(derived.slot);
                    let changed = self.change(derived.slot, number(answer));
                    answers.changed = answers.changed.union(changed);
                }
                Quantity::Window { .. }
                | Quantity::Held { .. }
                | Quantity::Silent { .. }
                | Quantity::Count { .. }
                | Quantity::CommandFailed
                | Quantity::ClockSkew => {}
            }
        }
        answers
    }
}

/// Evaluates the rules that depend on a changed answer and, once the rules are new, those in whose life an answer may
/// begin something: no reading would ever show it to a rule that reads only answers.
fn judge(
    ledger: &mut Ledger,
    device: &mut Device,
    (turn, look): (&Turn<'_>, Look),
    answers: Answers,
    effects: &mut Effects,
) {
    let asked = match look {
        Look::Boundary => answers.changed,
        Look::Renewed => answers.all,
    };
    if asked.is_empty() {
        return;
    }
    let changed = device.settle(turn, News::all(answers.changed), ledger).heard;
    let step = Step::of(turn);
    let mut moved = false;
    for (place, rule) in turn.rules.rules.iter().enumerate() {
        if !rule.depends.intersects(changed.union(asked)) {
            continue;
        }
        effects.evaluations += 1;
        let Some(life) = device.lives.get(place) else {
            break;
        };
        let stimulus = device::observe(rule, &device.slots, life);
        let counts = match stimulus {
            // No reading has found the condition holding: that neither counts nor confirms, but may begin, and what holds
            // again is not over.
            Stimulus::Holds => may_begin(life, rule.def.after.is_some()),
            Stimulus::Lapses
            | Stimulus::Clears
            | Stimulus::Unknown
            | Stimulus::Deadline
            | Stimulus::Acknowledge
            | Stimulus::Reset
            | Stimulus::RuleRemoved => rule.depends.intersects(changed),
        };
        if !counts {
            // The next reading counts, whatever it says.
            device.restless = device.restless.union(rule.depends);
            continue;
        }
        let transition = life.transition(stimulus, turn.now.ticks, &rule.def);
        if transition != Transition::Stay {
            device.carry_out((place, transition), &step, ledger, effects);
            moved = true;
        }
    }
    if moved {
        device.explain(&step, ledger, effects);
    }
}

const fn may_begin(life: &Life, counts: bool) -> bool {
    match life {
        Life::Normal | Life::Recovered { .. } => !counts,
        Life::Recovering { .. } => true,
        Life::Pending { .. } | Life::Active(_) => false,
    }
}
