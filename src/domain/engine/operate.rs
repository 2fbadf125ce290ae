//! What operators do: to a standing alarm, to one whose life has ended, and to a device. Each act is allowed wholly or
//! refused.

use std::ops::RangeInclusive;

use super::super::alarm::{
    Ack, AlarmState, AlarmStep, AlarmView, HandlingStimulus, HandlingTransition, Judgement, Life, Mask,
    OUT_OF_SERVICE, Operator, Pause, Quality, SHELF, Standing, Stimulus, Transition, Verdict,
};
use super::super::definitions::KindRules;
use super::super::device::DeviceIndex;
use super::super::id::Id;
use super::super::journal::{EscalateInput, OperatorAction, OperatorInput, ServiceAction, ServiceInput};
use super::super::rule::Class;
use super::super::service::DeviceStep;
use super::super::time::{Millis, Moment};
use super::device::Device;
use super::ledger::Ledger;
use super::step::Step;
use super::venue::venue_at;
use super::{Effects, Engine};

/// Why an operator's request was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No standing alarm has this id.
    #[error("no standing alarm has this id")]
    NoSuchAlarm,
    /// No standing alarm, and none that waits to be closed, has this id.
    #[error("no alarm that stands or waits to be closed has this id")]
    NoOpenAlarm,
    /// An acknowledgement of a raise that is not the last one.
    #[error("the alarm has been raised again since: acknowledge what was told of last")]
    RaisedAgain,
    /// No device has been seen under this name.
    #[error("no device of this venue, kind and id is known")]
    NoSuchDevice,
    /// A reset while the condition holds.
    #[error("the alarm is {}: it can be reset only after its condition has ended", .0.as_str())]
    StillActive(AlarmState),
    /// A reset while the evidence cannot be trusted.
    #[error("the evidence of the alarm is {}: it can be reset only while its device speaks and is well", .0.as_str())]
    PoorQuality(Quality),
    /// A command to a device that is out of use.
    #[error("the device is out of use: register it anew to command it")]
    Retired,
    /// A command that the device's kind does not know.
    #[error("devices of the kind `{kind}` know no command `{command}`")]
    NoSuchCommand {
        /// The kind.
        kind: String,
        /// The command.
        command: String,
    },
    /// An opening that the device's registration does not allow.
    #[error(
        "the device may not be opened or switched on from afar: its registration would have to allow it with `remote_open`"
    )]
    OpeningRefused,
    /// An opening while an alarm demands the opposite.
    #[error(
        "an alarm that stands keeps the device as it is: it can be opened or switched on once the danger is over"
    )]
    Interlocked,
    /// An opening while nobody can hear the devices.
    #[error(
        "the devices cannot be heard, for the broker is away: nothing is opened or switched on until they can be, so ask again then"
    )]
    Unheard,
    /// A command while another is under way.
    #[error("the command `{command}` is under way: wait until it is verified or has failed")]
    Busy {
        /// That one.
        command: String,
    },
    /// An unshelving of what is not shelved.
    #[error("the alarm is not shelved")]
    NotShelved,
    /// A device put into service that is in service.
    #[error("the device is in service")]
    InService,
    /// A verdict on, or a closing of, what is no alarm in the narrow sense.
    #[error("only alarms of class `alarm` are verified and closed; this one is of class `{}`", .0.as_str())]
    OtherClass(Class),
    /// A closing without a verdict.
    #[error("the alarm has no verdict yet: say first whether it was real, false, a test or a drill")]
    NotVerified,
    /// A closing while the alarm stands.
    #[error("the alarm is {}: it can be closed only after its life has ended", .0.as_str())]
    NotEnded(AlarmState),
    /// A length of time out of range.
    #[error("the length of time must be {} to {} seconds", .least.0 / 1_000, .most.0 / 1_000)]
    Length {
        /// The least.
        least: Millis,
        /// The most.
        most: Millis,
    },
}

/// A standing alarm's place.
struct Located<'a> {
    index: DeviceIndex,
    ordinal: u16,
    device: &'a mut Device,
    rules: &'a KindRules,
    ledger: &'a mut Ledger,
}

impl<'a> Located<'a> {
    fn place(&self) -> usize {
        usize::from(self.ordinal)
    }

    const fn step(&self, now: Moment, operator: &'a Operator) -> Step<'a> {
        Step {
            device: self.index,
            rules: self.rules,
            now,
            late: None,
            operator: Some(operator),
        }
    }

    /// Brings masks up to date after an act on the shelf of the alarm.
    fn reshelve(self, because: AlarmStep, (now, operator): (Moment, &'a Operator), effects: &mut Effects) {
        let (place, step) = (self.place(), self.step(now, operator));
        let (device, ledger) = (self.device, self.ledger);
        device.remask(place, Some(because), &step, (&mut *ledger, &mut *effects));
        device.explain(&step, ledger, effects);
    }
}

impl Engine {
    pub(super) fn operate(
        &mut self,
        input: &OperatorInput,
        now: Moment,
        effects: &mut Effects,
    ) -> Result<(), Refusal> {
        let (alarm, operator) = (input.alarm, &input.operator);
        match input.action {
            OperatorAction::Acknowledge => self.move_life(input, Stimulus::Acknowledge, now, effects),
            OperatorAction::Reset => self.move_life(input, Stimulus::Reset, now, effects),
            OperatorAction::Shelve(length) => {
                let found = self.locate(alarm)?;
                let pause = pause(length, &SHELF, now, operator)?;
                found.device.masks.shelve(found.ordinal, pause.clone());
                let because = AlarmStep::Shelved {
                    until: pause.until,
                    operator: pause.operator,
                };
                found.reshelve(because, (now, operator), effects);
                Ok(())
            }
            OperatorAction::Unshelve => {
                let found = self.locate(alarm)?;
                if !found.device.masks.unshelve(found.ordinal) {
                    return Err(Refusal::NotShelved);
                }
                let because = AlarmStep::Unshelved(Some(operator.clone()));
                found.reshelve(because, (now, operator), effects);
                Ok(())
            }
            OperatorAction::Verdict(verdict) => self.verify(input, verdict, now, effects),
            OperatorAction::Close => self.close(input, now, effects),
            OperatorAction::AcknowledgeRaise(raised_at) => {
                let found = self.locate(alarm)?;
                let life = found.device.lives.get(found.place());
                let standing = life.and_then(Life::standing).ok_or(Refusal::NoSuchAlarm)?;
                if standing.raised_at != raised_at {
                    return Err(Refusal::RaisedAgain);
                }
                self.move_life(input, Stimulus::Acknowledge, now, effects)
            }
        }
    }

    /// Takes a device out of service, or puts it back.
    pub(super) fn serve(
        &mut self,
        input: &ServiceInput,
        now: Moment,
        effects: &mut Effects,
    ) -> Result<(), Refusal> {
        let index = self.find(&input.device).ok_or(Refusal::NoSuchDevice)?;
        let device = self.devices.get_mut(index.slot()).ok_or(Refusal::NoSuchDevice)?;
        let rules = device
            .kind
            .and_then(|kind| self.definitions.kind(kind))
            .ok_or(Refusal::NoSuchDevice)?;
        let step = Step {
            device: index,
            rules,
            now,
            late: None,
            operator: Some(&input.operator),
        };
        match input.action {
            ServiceAction::Out(length) => {
                let pause = pause(length, &OUT_OF_SERVICE, now, &input.operator)?;
                device.masks.out_of_service = Some(Box::new(pause.clone()));
                device.serviced(
                    DeviceStep::OutOfService(pause.clone()),
                    &step,
                    (&mut self.ledger, effects),
                );
                for place in 0..device.lives.len() {
                    let because = AlarmStep::OutOfService {
                        until: pause.until,
                        operator: pause.operator.clone(),
                    };
                    device.remask(place, Some(because), &step, (&mut self.ledger, effects));
                }
            }
            ServiceAction::In => {
                if device.masks.out_of_service.is_none() {
                    return Err(Refusal::InService);
                }
                device.end_service(Some(&input.operator), &step, (&mut self.ledger, effects));
            }
        }
        device.explain(&step, &mut self.ledger, effects);
        Ok(())
    }

    /// Tells again, or higher, of an alarm that stands, that nobody has acknowledged and that nothing masks.
    pub(super) fn escalate(&mut self, input: &EscalateInput, now: Moment, effects: &mut Effects) {
        let Ok(found) = self.locate(input.alarm) else {
            return;
        };
        let place = found.place();
        let step = Step {
            device: found.index,
            rules: found.rules,
            now,
            late: None,
            operator: None,
        };
        let standing = found.device.lives.get(place).and_then(Life::standing);
        let waits = |standing: &Standing| standing.ack == Ack::Unacknowledged && standing.mask.is_none();
        if standing.is_some_and(waits) {
            let told = AlarmStep::Escalated(input.telling.clone());
            found.device.tell(place, told, &step, (found.ledger, effects));
        }
    }

    /// The alarms that stand.
    pub fn standing(&mut self, now: Moment) -> Vec<AlarmView> {
        let places = self.ledger.standing_places();
        let mut views = Vec::with_capacity(places.len());
        for (_, (index, ordinal)) in places {
            let Some((device, rules, _)) = self.subject(index) else {
                continue;
            };
            let step = Step {
                device: index,
                rules,
                now,
                late: None,
                operator: None,
            };
            device.with_subject(usize::from(ordinal), &step, (Mask::None, 0), |life, subject| {
                let standing = life.standing().cloned();
                views.extend(standing.map(|standing| subject.view(life, standing)));
            });
        }
        views
    }

    fn locate(&mut self, alarm: Id) -> Result<Located<'_>, Refusal> {
        let (index, ordinal) = self.ledger.find(alarm).ok_or(Refusal::NoSuchAlarm)?;
        let (device, rules, ledger) = self.subject(index).ok_or(Refusal::NoSuchAlarm)?;
        Ok(Located {
            index,
            ordinal,
            device,
            rules,
            ledger,
        })
    }

    fn move_life(
        &mut self,
        input: &OperatorInput,
        stimulus: Stimulus,
        now: Moment,
        effects: &mut Effects,
    ) -> Result<(), Refusal> {
        let on_venue = self.quality_of_venue(input.alarm, now);
        let found = self.locate(input.alarm)?;
        let step = found.step(now, &input.operator);
        let place = found.place();
        let transition = found.device.respond(place, stimulus, &step);
        let life = found.device.lives.get(place).ok_or(Refusal::NoSuchAlarm)?;
        if transition == Transition::Refuse {
            return Err(life.state().map_or(Refusal::NoSuchAlarm, Refusal::StillActive));
        }
        let quality = match venue_at(found.index) {
            None => found.device.quality(place, &step),
            Some(_) => on_venue,
        };
        if transition == Transition::Reset && quality != Quality::Good {
            return Err(Refusal::PoorQuality(quality));
        }
        found
            .device
            .carry_out((place, transition), &step, found.ledger, effects);
        Ok(())
    }

    /// The quality of the evidence for a venue's alarm; that of a device is asked of the device.
    fn quality_of_venue(&self, alarm: Id, now: Moment) -> Quality {
        let found = self.ledger.find(alarm);
        let venue = found.and_then(|(index, ordinal)| Some((venue_at(index)?, ordinal)));
        venue.map_or(Quality::Good, |(venue, ordinal)| {
            self.quality_on_venue(venue, usize::from(ordinal), now)
        })
    }

    fn verify(
        &mut self,
        input: &OperatorInput,
        verdict: Verdict,
        now: Moment,
        effects: &mut Effects,
    ) -> Result<(), Refusal> {
        let judgement = Judgement {
            verdict,
            operator: input.operator.clone(),
            at: now.wall,
        };
        let told = AlarmStep::Verified {
            verdict,
            operator: input.operator.clone(),
        };
        if let Some(ended) = self.ledger.book.find(input.alarm) {
            let mut handling = ended.handling.take().unwrap_or_default();
            handling.advance(HandlingStimulus::Verdict, Some(judgement));
            ended.handling = Some(handling);
            let view = ended.clone();
            self.ledger.tell_of_ended(told, view, now, effects);
            return Ok(());
        }
        let found = self.locate(input.alarm).map_err(|_| Refusal::NoOpenAlarm)?;
        let (place, step) = (found.place(), found.step(now, &input.operator));
        narrow(&found)?;
        let life = found.device.lives.get_mut(place);
        if let Some(standing) = life.and_then(Life::standing_mut) {
            standing
                .handling
                .advance(HandlingStimulus::Verdict, Some(judgement));
        }
        found.device.tell(place, told, &step, (found.ledger, effects));
        Ok(())
    }

    fn close(&mut self, input: &OperatorInput, now: Moment, effects: &mut Effects) -> Result<(), Refusal> {
        if let Some(ended) = self.ledger.book.find(input.alarm) {
            let mut handling = ended.handling.clone().unwrap_or_default();
            if handling.advance(HandlingStimulus::Close, None) == HandlingTransition::Refuse {
                return Err(Refusal::NotVerified);
            }
            let mut view = ended.clone();
            view.handling = Some(handling);
            self.ledger.book.remove(input.alarm);
            let told = AlarmStep::Closed(input.operator.clone());
            self.ledger.tell_of_ended(told, view, now, effects);
            return Ok(());
        }
        let found = self.locate(input.alarm).map_err(|_| Refusal::NoOpenAlarm)?;
        narrow(&found)?;
        let state = found.device.lives.get(found.place()).and_then(Life::state);
        Err(state.map_or(Refusal::NoOpenAlarm, Refusal::NotEnded))
    }
}

/// A pause of this length, if it may be so long.
fn pause(
    length: Millis,
    range: &RangeInclusive<Millis>,
    now: Moment,
    operator: &Operator,
) -> Result<Pause, Refusal> {
    if !range.contains(&length) {
        return Err(Refusal::Length {
            least: *range.start(),
            most: *range.end(),
        });
    }
    Ok(Pause::new(now, length, operator.clone()))
}

/// Refuses what is no alarm in the narrow sense: only those are verified and closed.
fn narrow(found: &Located<'_>) -> Result<(), Refusal> {
    match found.rules.rules.get(found.place()).map(|rule| rule.def.class) {
        Some(Class::Alarm) => Ok(()),
        Some(class @ (Class::Warning | Class::Fault | Class::Hazard)) => Err(Refusal::OtherClass(class)),
        None => Err(Refusal::NoOpenAlarm),
    }
}
