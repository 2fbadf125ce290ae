//! What a transition of one life takes beside the ledger: the count of raises, which makes an alarm chatter, the
//! device's masks and its values.

use super::super::alarm::{AlarmStep, Life, Mask, Operator, Quality, Stimulus, Transition};
use super::super::definitions::KindRules;
use super::super::device::DeviceIndex;
use super::super::kind::SlotSet;
use super::super::rule::Rule;
use super::super::time::{Moment, Ticks};
use super::Effects;
use super::derive::Turn;
use super::device::{Device, Flap};
use super::ledger::Ledger;
use super::orders::Call;
use super::subject::Subject;

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
        let (mask, raises) = match transition {
            Transition::Raise | Transition::RaiseAgain => {
                let mask = self.mask_reason(place, step.rules).mask();
                (mask, self.count_raise(place, rule, step.now.ticks))
            }
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
            | Transition::Refuse => (Mask::None, 0),
        };
        if transition.moves() {
            self.restless = SlotSet::ALL;
            ledger.note_move(step.device);
        }
        if !rule.actions.is_empty()
            && let Some(call) = self.call_before(place, transition, step)
        {
            ledger.call(call);
        }
        self.with_subject(place, step, (mask, raises), |life, subject| {
            ledger.apply(transition, life, subject, effects);
        });
        if raises > 0
            && !rule.actions.is_empty()
            && let Ok(place) = u16::try_from(place)
        {
            ledger.call(Call::Raised(step.device, place));
        }
        if raises > 0 {
            self.arm_mask(step.device, ledger);
        }
    }

    /// How far the evidence of the alarm of the rule in `place` can be trusted.
    pub(super) fn quality(&mut self, place: usize, step: &Step<'_>) -> Quality {
        let mut found = Quality::Uncertain;
        self.with_subject(place, step, (Mask::None, 0), |life, subject| {
            found = subject.quality(life);
        });
        found
    }

    /// Makes an event of `told`, which has happened to the alarm of the rule in `place`.
    pub(super) fn tell(
        &mut self,
        place: usize,
        told: AlarmStep,
        step: &Step<'_>,
        (ledger, effects): (&mut Ledger, &mut Effects),
    ) {
        self.with_subject(place, step, (Mask::None, 0), |life, subject| {
            ledger.announce(told, life, subject, effects);
        });
    }

    pub(super) fn with_subject(
        &mut self,
        place: usize,
        step: &Step<'_>,
        (mask, raises): (Mask, u32),
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
            mask,
            raises,
            heard: self.heard,
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
