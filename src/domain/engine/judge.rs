//! Rules at work on one device or venue: by news, by a deadline, by a sample that came late. Carries out what they answer.

use super::super::alarm::{Stimulus, Transition};
use super::super::kind::SlotSet;
use super::super::rule::News;
use super::super::time::Ticks;
use super::Effects;
use super::derive::Turn;
use super::device::{self, Device};
use super::ledger::Ledger;
use super::step::Step;

/// Brings what is derived from the news up to date, and evaluates the rules whose answer may have changed, and those
/// that wait for evidence. The news with what was derived.
pub(super) fn judge(
    ledger: &mut Ledger,
    device: &mut Device,
    turn: &Turn<'_>,
    news: News,
    effects: &mut Effects,
) -> News {
    let news = device.settle(turn, news, ledger);
    let step = Step::of(turn);
    let mut moved = false;
    for place in turn.rules.grid.due(news, device.restless) {
        let (Some(rule), Some(life)) = (turn.rules.rules.get(place), device.lives.get(place)) else {
            device.answer(place - turn.rules.rules.len(), turn.rules, ledger);
            continue;
        };
        // A message that comes twice is no second occurrence. For all other rules the level counts, and the present
        // one is what the device said last, also when its clock stands still and all its messages look alike.
        if turn.repeated && rule.def.after.is_some() {
            device.restless = device.restless.union(rule.depends);
            continue;
        }
        effects.evaluations += 1;
        let stimulus = device::observe(rule, &device.slots, life);
        let transition = life.transition(stimulus, turn.now.ticks, &rule.def);
        if transition != Transition::Stay {
            device.restless = device.restless.union(rule.depends);
            device.carry_out((place, transition), &step, ledger, effects);
            moved |= transition.moves();
        } else if stimulus == Stimulus::Holds && !rule.actions.is_empty() {
            device.find_fresh(place, &step, ledger);
        }
    }
    if moved {
        device.explain(&step, ledger, effects);
    }
    if device.restless == SlotSet::ALL && !news.heard.is_empty() {
        device.find_restless(turn.rules, turn.now.ticks);
    }
    news
}

/// The deadline of an alarm's state has come.
pub(super) fn mature(
    ledger: &mut Ledger,
    device: &mut Device,
    turn: &Turn<'_>,
    (ordinal, at): (u16, Ticks),
    effects: &mut Effects,
) {
    let step = Step::of(turn);
    let place = usize::from(ordinal);
    let rule = turn.rules.rules.get(place);
    let wanted = rule
        .zip(device.lives.get(place))
        .and_then(|(rule, life)| life.deadline(&rule.def));
    if wanted != Some(at) {
        // The life has moved on. Acting on it would let the past decide what comes first, which a restart forgets.
        return;
    }
    device.vouch(turn, place);
    let transition = device.respond(place, Stimulus::Deadline, &step);
    if transition == Transition::Stay {
        // Stale evidence: the next reading decides, not the clock.
        return;
    }
    device.carry_out((place, transition), &step, ledger, effects);
    device.explain(&step, ledger, effects);
}

/// A late sample may raise, marked as late; it never moves a standing or pending alarm, never clears, and does
/// not touch the device's present values (DESIGN §4).
pub(super) fn read_late(
    ledger: &mut Ledger,
    device: &mut Device,
    step: &Step<'_>,
    updated: SlotSet,
    effects: &mut Effects,
) {
    let Some((_, slots)) = step.late else { return };
    for (place, rule) in step.rules.rules.iter().enumerate() {
        let Some(life) = device.lives.get(place) else {
            break;
        };
        // A rule that waits or counts needs to see the condition hold: one old sample cannot show that.
        let waits = rule.def.hold.0 > 0 || rule.def.after.is_some();
        if life.standing().is_some() || waits || !rule.depends.intersects(updated) {
            continue;
        }
        effects.evaluations += 1;
        if device::observe(rule, slots, life) == Stimulus::Holds {
            device.carry_out((place, Transition::Raise), step, ledger, effects);
        }
    }
}
