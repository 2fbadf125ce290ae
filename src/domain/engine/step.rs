//! What a transition of one life takes beside the ledger: the count of raises, which makes an alarm chatter, and
//! the other alarms of the device, which may explain it.

use super::super::alarm::{Life, Operator, Stimulus, Transition};
use super::super::definitions::KindRules;
use super::super::device::DeviceIndex;
use super::super::kind::SlotSet;
use super::super::rule::Rule;
use super::super::time::{Moment, Ticks};
use super::Effects;
use super::derive::Turn;
use super::device::{Device, Flap};
use super::ledger::{Ledger, Subject};

/// The instant at which lives of a device move, and what moves them.
pub(super) struct Step<'a> {
    pub(super) device: DeviceIndex,
    pub(super) rules: &'a KindRules,
    pub(super) now: Moment,
    /// The age of the sample, when it came late, and the values as of then.
    pub(super) late: Option<(u64, &'a [f64])>,
    /// The person behind it, if there is one.
    pub(super) operator: Option<&'a Operator>,
}

impl<'a> Step<'a> {
    /// A step that the device's turn makes by itself.
    pub(super) const fn of(turn: &Turn<'a>) -> Step<'a> {
        Step {
            device: turn.device,
            rules: turn.rules,
            now: turn.now,
            late: None,
            operator: None,
        }
    }
}

impl Device {
    /// What `stimulus` does to the life of the rule in `place`.
    #[inline]
    pub(super) fn respond(&self, place: usize, stimulus: Stimulus, step: &Step<'_>) -> Transition {
        match (self.lives.get(place), step.rules.rules.get(place)) {
            (Some(life), Some(rule)) => life.transition(stimulus, step.now.ticks, &rule.def),
            (None, _) | (_, None) => Transition::Stay,
        }
    }

    /// Carries out `transition` of the life of the rule in `place`.
    pub(super) fn carry_out(
        &mut self,
        (place, transition): (usize, Transition),
        step: &Step<'_>,
        ledger: &mut Ledger,
        effects: &mut Effects,
    ) {
        let Some(rule) = step.rules.rules.get(place) else {
            return;
        };
        let raises = match transition {
            Transition::Raise | Transition::RaiseAgain => self.count_raise(place, rule, step.now.ticks),
            Transition::Stay
            | Transition::Confirm
            | Transition::Pend
            | Transition::Lapse
            | Transition::Resume
            | Transition::BeginRecovery
            | Transition::Recover
            | Transition::Acknowledge
            | Transition::Reset
            | Transition::Remove
            | Transition::Refuse => 0,
        };
        if transition.moves() {
            self.restless = SlotSet::ALL;
        }
        let suppressed = self.suppresses(rule);
        self.with_subject(place, step, (suppressed, raises), |life, subject| {
            ledger.apply(transition, life, subject, effects);
        });
    }

    /// Brings it up to date which of the device's alarms are explained by another of them.
    pub(super) fn explain(&mut self, step: &Step<'_>, ledger: &mut Ledger, effects: &mut Effects) {
        for (place, rule) in step.rules.rules.iter().enumerate() {
            let Some(life) = self.lives.get(place) else { return };
            let before = life.standing().is_some_and(|standing| standing.suppressed);
            // One without suppressors may have lost them to changed definitions.
            if !before && rule.suppressors.is_empty() {
                continue;
            }
            // What is about to recover is told of only if it comes back.
            let recovering = matches!(life, Life::Recovering { .. });
            let suppressed = self.suppresses(rule) || (before && recovering);
            self.with_subject(place, step, (suppressed, 0), |life, subject| {
                ledger.suppress(suppressed, life, subject, effects);
            });
        }
    }

    /// Whether an active alarm of this device explains one of `rule`.
    fn suppresses(&self, rule: &Rule) -> bool {
        let mut suppressors = rule.suppressors.iter();
        suppressors.any(|place| self.lives.get(usize::from(*place)).is_some_and(Life::is_active))
    }

    fn with_subject(
        &mut self,
        place: usize,
        step: &Step<'_>,
        (suppressed, raises): (bool, u32),
        act: impl FnOnce(&mut Life, &Subject<'_>),
    ) {
        let (Some(rule), Ok(ordinal)) = (step.rules.rules.get(place), u16::try_from(place)) else {
            return;
        };
        let subject = Subject {
            device: step.device,
            ordinal,
            key: &self.key,
            venue: self.venue,
            rules: step.rules,
            rule,
            slots: step.late.map_or(&self.slots, |(_, slots)| slots),
            late_by_ms: step.late.map(|(age, _)| age),
            suppressed,
            raises,
            operator: step.operator,
            now: step.now,
        };
        if let Some(life) = self.lives.get_mut(place) {
            act(life, &subject);
        }
    }

    /// Counts a raise of the rule in `place`; how many there were within its window.
    fn count_raise(&mut self, place: usize, rule: &Rule, now: Ticks) -> u32 {
        let Ok(place) = u16::try_from(place) else { return 1 };
        let over = |flap: &Flap| now.since(flap.since) > rule.def.chatter.within;
        self.flaps.retain(|flap| flap.place != place || !over(flap));
        if let Some(flap) = self.flaps.iter_mut().find(|flap| flap.place == place) {
            flap.count = flap.count.saturating_add(1);
            return flap.count;
        }
        self.flaps.push(Flap {
            place,
            since: now,
            count: 1,
        });
        1
    }
}
