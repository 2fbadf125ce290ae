//! What standing alarms demand of devices, and how far each device meets it: alarms are confirmed, demand, and are over;
//! a device that no longer meets a demand is ordered again.

use std::sync::Arc;

use super::super::alarm::{AlarmView, Life, Mask, Transition};
use super::super::definitions::{Definitions, KindRules};
use super::super::device::DeviceIndex;
use super::super::id::Id;
use super::super::interlock::{Action, Cause, Task};
use super::super::kind::SlotSet;
use super::super::rule::{DEFAULT_MAX_GAP, Rule, Truth};
use super::super::time::Moment;
use super::device::Device;
use super::ledger::Ledger;
use super::linkage::{Linkage, MetState, Proof, RETRY_AFTER, Unconfirmed, only};
use super::orders::Call;
use super::step::Step;
use super::venue::venue_at;
use super::{Effects, Engine};

/// What an alarm wants done.
struct Wanted<'a> {
    /// Whose alarm it is.
    index: DeviceIndex,
    actions: &'a [Action],
    alarm: &'a AlarmView,
}

impl Device {
    /// What raised the alarm of the rule in `place` came late, perhaps too late to command anything; now it is heard live.
    pub(super) fn find_fresh(&mut self, place: usize, step: &Step<'_>, ledger: &mut Ledger) {
        let Some(Life::Active(standing)) = self.lives.get_mut(place) else {
            return;
        };
        if standing.late_by_ms.take().is_some()
            && let Ok(place) = u16::try_from(place)
        {
            ledger.call(Call::Raised(step.device, place));
        }
    }

    /// Notes what `transition` of the life of the rule in `place` means for commands, before it is carried out.
    pub(super) fn call_before(&self, place: usize, transition: Transition, step: &Step<'_>) -> Option<Call> {
        let standing = self.lives.get(place)?.standing()?;
        match transition {
            // Once the danger is past nothing is demanded, also while the alarm waits for a reset: whoever is on site may open.
            Transition::Recover | Transition::Reset | Transition::Remove => {
                Some(Call::Over(step.device, standing.id))
            }
            Transition::Stay
            | Transition::Confirm
            | Transition::Pend
            | Transition::Lapse
            | Transition::Raise
            | Transition::RaiseAgain
            | Transition::Resume
            | Transition::BeginRecovery
            | Transition::Acknowledge
            | Transition::Refuse => None,
        }
    }
}

impl Engine {
    /// An alarm stands whose rule orders something.
    pub(super) fn raised(&mut self, index: DeviceIndex, place: usize, now: Moment, effects: &mut Effects) {
        let definitions = Arc::clone(&self.definitions);
        let Some((device, rules, _)) = self.subject(index) else {
            return;
        };
        let step = Step {
            device: index,
            rules,
            now,
            late: None,
            operator: None,
        };
        let mut found = None;
        device.with_subject(place, &step, (Mask::None, 0), |life, subject| {
            if matches!(life, Life::Active(_)) {
                found = life
                    .standing()
                    .map(|standing| subject.view(life, standing.clone()));
            }
        });
        let Some(alarm) = found else { return };
        match &alarm.mask {
            // A person has taken it out of the game. What another alarm explains, or nobody is told of, is danger all the same.
            Mask::Shelved(_) | Mask::OutOfService(_) => {
                self.release(index, alarm.id);
                return;
            }
            Mask::None | Mask::Suppressed { .. } | Mask::Limited { .. } => {}
        }
        let actions = actions_of(&definitions, index, self, place);
        let wanted = Wanted {
            index,
            actions: &actions,
            alarm: &alarm,
        };
        if self.is_confirmed(&wanted, now, effects) {
            self.demand(&wanted, now, effects);
        }
    }

    /// Whether linkage may act on `alarm`: where the venue waits for a second signal, on the second.
    fn is_confirmed(&mut self, wanted: &Wanted<'_>, now: Moment, effects: &mut Effects) -> bool {
        let Wanted {
            index,
            actions,
            alarm,
        } = *wanted;
        // The alarm of a venue is made of the words of several devices.
        let alone = venue_at(index).is_none() && self.definitions.almanac().confirms(&alarm.device.venue);
        let Some(venue) = self.venue_of(index).filter(|_| alone) else {
            return true;
        };
        let demanded = self.venues.get(venue).and_then(|venue| venue.linkage.as_ref());
        let shared = |command: &str| actions.iter().any(|action| *action.task.command == *command);
        if demanded.is_some_and(|linkage| linkage.demands.iter().any(|demand| shared(&demand.task.command))) {
            return true;
        }
        let first = self.other_signals(venue, index, shared);
        for (other, place, alarm) in &first {
            let actions = actions_of(&Arc::clone(&self.definitions), *other, self, *place);
            let wanted = Wanted {
                index: *other,
                actions: &actions,
                alarm,
            };
            self.demand(&wanted, now, effects);
        }
        if !first.is_empty() {
            return true;
        }
        if let Some(device) = self.devices.get_mut(index.slot()) {
            let unconfirmed = &mut device.linkage.get_or_insert_default().unconfirmed;
            unconfirmed.retain(|waiting| waiting.alarm.id != alarm.id);
            unconfirmed.push(Unconfirmed {
                rule: alarm.rule.id.clone(),
                alarm: Box::new(alarm.clone()),
            });
        }
        false
    }

    /// Takes the alarms of the venue's other devices than `index` that wait for a second signal for a `shared` command.
    fn other_signals(
        &mut self,
        venue: usize,
        index: DeviceIndex,
        shared: impl Fn(&str) -> bool,
    ) -> Vec<(DeviceIndex, usize, Box<AlarmView>)> {
        let members = self.members.get(venue).cloned().unwrap_or_default();
        let mut taken = Vec::new();
        for other in members.into_iter().filter(|other| *other != index) {
            let Some((device, rules, _)) = self.subject(other) else {
                continue;
            };
            let Some(linkage) = device.linkage.as_mut() else {
                continue;
            };
            linkage.unconfirmed.retain_mut(|waiting| {
                let place = rules.rules.iter().position(|rule| rule.def.id == waiting.rule);
                let same = |rule: &Rule| rule.actions.iter().any(|action| shared(&action.task.command));
                let Some(place) = place.filter(|place| rules.rules.get(*place).is_some_and(same)) else {
                    return true;
                };
                taken.push((other, place, waiting.alarm.clone()));
                false
            });
        }
        taken
    }

    /// From now on `alarm` demands `actions`.
    fn demand(&mut self, wanted: &Wanted<'_>, now: Moment, effects: &mut Effects) {
        let Wanted {
            index,
            actions,
            alarm,
        } = *wanted;
        let Some(venue) = self.venue_of(index) else { return };
        for action in actions {
            // An old sample may raise, but moves nothing (DESIGN §4).
            if alarm.late_by_ms.is_some_and(|age| age > action.max_age.0) {
                continue;
            }
            let to = action.to.as_ref();
            let mut targets = self.targets(index, venue, to.map(AsRef::as_ref));
            targets.retain(|target| !self.is_as_demanded(*target, &action.task.command, now));
            self.begin_danger(&targets, &action.task.command);
            let holder = match to {
                Some(_) => self.venues.get_mut(venue),
                None => self.devices.get_mut(index.slot()),
            };
            let Some(holder) = holder else { continue };
            if !holder
                .linkage
                .get_or_insert_default()
                .demand(to, &action.task, alarm)
            {
                continue;
            }
            for target in targets {
                let cause = Cause::Alarm(Box::new(alarm.clone()));
                self.order(target, (&action.task, cause), now, effects);
            }
        }
    }

    /// A failure that was told of in an earlier danger is told of again, also of a device that has not spoken since.
    fn begin_danger(&mut self, targets: &[DeviceIndex], command: &str) {
        for target in targets {
            if self.demanded(*target, command).is_some() {
                continue;
            }
            let met = self.linkage(*target).map(|linkage| &mut linkage.met);
            for met in met.into_iter().flatten().filter(|met| *met.command == *command) {
                met.told = false;
            }
        }
    }

    pub(super) fn is_in_use(&self, device: &Device) -> bool {
        device
            .kind
            .is_some_and(|kind| !self.definitions.is_out_of_use(kind))
    }

    /// Whether another alarm demands `command` of the device already, and it has proven it and not said otherwise since.
    fn is_as_demanded(&self, index: DeviceIndex, command: &str, now: Moment) -> bool {
        let device = self.devices.get(index.slot());
        let fresh = device.filter(|device| now.ticks.since(device.heard) <= DEFAULT_MAX_GAP);
        let linkage = fresh.and_then(|device| device.linkage.as_ref());
        let proven = linkage.is_some_and(|linkage| {
            let mut met = linkage.met.iter();
            met.any(|met| *met.command == *command && met.state == MetState::Proven)
        });
        proven && self.demanded(index, command).is_some()
    }

    fn targets(&self, index: DeviceIndex, venue: usize, to: Option<&str>) -> Vec<DeviceIndex> {
        let Some(kind) = to else { return vec![index] };
        let members = self.members.get(venue).into_iter().flatten();
        let is_kind = |index: &&DeviceIndex| {
            self.devices
                .get(index.slot())
                .is_some_and(|device| device.key.kind == kind && self.is_in_use(device))
        };
        members.filter(is_kind).copied().collect()
    }

    /// `alarm` demands nothing any more. What is under way goes on.
    pub(super) fn release(&mut self, index: DeviceIndex, alarm: Id) {
        // The device may have moved since: whichever venue it was.
        let own = self.devices.get_mut(index.slot());
        for holder in own.into_iter().chain(&mut self.venues) {
            if let Some(linkage) = holder.linkage.as_mut() {
                linkage.release(alarm);
                holder.tidy_linkage();
            }
        }
    }

    /// Whether what it said is the second signal for an alarm of its own.
    pub(super) fn confirm(&mut self, index: DeviceIndex, heard: SlotSet, now: Moment, effects: &mut Effects) {
        let Some((device, rules, _)) = self.subject(index) else {
            return;
        };
        let Some(linkage) = device
            .linkage
            .as_mut()
            .filter(|linkage| !linkage.unconfirmed.is_empty())
        else {
            return;
        };
        let (slots, mut confirmed) = (&device.slots, Vec::new());
        linkage.unconfirmed.retain_mut(|waiting| {
            let place = rules.rules.iter().position(|rule| rule.def.id == waiting.rule);
            let again =
                |rule: &Rule| rule.depends.intersects(heard) && rule.when.evaluate(slots) == Truth::True;
            let Some(place) = place.filter(|place| rules.rules.get(*place).is_some_and(again)) else {
                return true;
            };
            confirmed.push((place, waiting.alarm.clone()));
            false
        });
        for (place, alarm) in confirmed {
            let actions = actions_of(&Arc::clone(&self.definitions), index, self, place);
            let wanted = Wanted {
                index,
                actions: &actions,
                alarm: &alarm,
            };
            self.demand(&wanted, now, effects);
        }
    }

    /// Looks at each demand on the device by what it says of itself now.
    pub(super) fn review(&mut self, index: DeviceIndex, heard: SlotSet, now: Moment, effects: &mut Effects) {
        self.forget_failure(index, heard, now, effects);
        let commands: Vec<(Arc<str>, MetState)> = match self.linkage(index) {
            Some(linkage) => linkage
                .met
                .iter()
                .map(|met| (Arc::clone(&met.command), met.state))
                .collect(),
            None => return,
        };
        for (command, state) in commands {
            let Some((task, cause)) = self.demanded(index, &command) else {
                if let Some(linkage) = self.linkage(index) {
                    linkage.met.retain(|met| met.command != command);
                }
                continue;
            };
            let said = self.judge_proof(index, &task, heard);
            let again = match (state, said) {
                // The second: opened by hand while the danger lasts.
                (MetState::Waiting, _) | (MetState::Proven, Some(Truth::False)) => true,
                (MetState::Failed { .. }, Some(Truth::True)) => {
                    if let Some(linkage) = self.linkage(index) {
                        linkage.met(&command).state = MetState::Proven;
                    }
                    false
                }
                (MetState::Failed { at }, Some(Truth::False | Truth::Unknown) | None) => {
                    now.ticks.since(at) >= RETRY_AFTER
                }
                (MetState::Proven, Some(Truth::True | Truth::Unknown) | None) | (MetState::Ordered, _) => {
                    false
                }
            };
            if again {
                self.order(index, (&task, Cause::Alarm(cause)), now, effects);
            }
        }
    }

    /// What it failed to do it may have done late.
    fn forget_failure(&mut self, index: DeviceIndex, heard: SlotSet, now: Moment, effects: &mut Effects) {
        let failed = self.linkage(index).and_then(|linkage| linkage.failed.clone());
        let Some(task) = failed else { return };
        if self.judge_proof(index, &task, heard) == Some(Truth::True) {
            if let Some(linkage) = self.linkage(index) {
                linkage.failed = None;
            }
            self.show_failure(index, now, effects);
        }
    }

    /// What the device says of `task`, if what was heard has a say in it.
    fn judge_proof(&mut self, index: DeviceIndex, task: &Task, heard: SlotSet) -> Option<Truth> {
        let (device, rules, _) = self.subject(index)?;
        let proof = Proof::of(task, &rules.kind)?;
        if !proof.asks(heard) {
            return None;
        }
        let said = only(heard, &device.slots);
        if proof.judge(&said, &device.slots) == Truth::True {
            return Some(Truth::True);
        }
        // What it said before of other points may be older than its obedience: that neither proves nor refutes.
        Some(match proof.judge(&said, &said) {
            Truth::True | Truth::Unknown => Truth::Unknown,
            Truth::False => Truth::False,
        })
    }

    /// Orders what is demanded of the device and waits for another order to be over.
    pub(super) fn serve_waiting(&mut self, index: DeviceIndex, now: Moment, effects: &mut Effects) {
        let Some(linkage) = self.linkage(index) else {
            return;
        };
        let waiting = linkage.met.iter().filter(|met| met.state == MetState::Waiting);
        let commands: Vec<Arc<str>> = waiting.map(|met| Arc::clone(&met.command)).collect();
        for command in commands {
            if let Some((task, cause)) = self.demanded(index, &command) {
                self.order(index, (&task, Cause::Alarm(cause)), now, effects);
            }
        }
    }

    /// Orders what the venue demands of a device that was not there when that began.
    pub(super) fn serve_venue(&mut self, index: DeviceIndex, now: Moment, effects: &mut Effects) {
        let venue = self.venue_of(index).and_then(|venue| self.venues.get(venue));
        let Some(linkage) = venue.and_then(|venue| venue.linkage.as_ref()) else {
            return;
        };
        let Some(device) = self
            .devices
            .get(index.slot())
            .filter(|device| self.is_in_use(device))
        else {
            return;
        };
        let own = device.linkage.as_ref();
        let known = |command: &str| own.is_some_and(|own| own.met.iter().any(|met| *met.command == *command));
        let demanded = linkage
            .demands
            .iter()
            .filter(|demand| demand.to.as_deref() == Some(&*device.key.kind) && !known(&demand.task.command));
        let demanded: Vec<(Task, Box<AlarmView>)> = demanded
            .filter_map(|demand| Some((demand.task.clone(), Box::new(demand.cause()?.clone()))))
            .collect();
        for (task, cause) in demanded {
            self.order(index, (&task, Cause::Alarm(cause)), now, effects);
        }
    }

    /// What stands demanded of the device under this command, and by which alarm. A venue demands nothing of what is out of
    /// use; its own danger still does.
    pub(super) fn demanded(&self, index: DeviceIndex, command: &str) -> Option<(Task, Box<AlarmView>)> {
        let device = self.devices.get(index.slot())?;
        let venue = self.venues.get(device.venue as usize);
        let (kind, in_use) = (device.key.kind.as_str(), self.is_in_use(device));
        let own = device.linkage.iter().flat_map(|linkage| &linkage.demands);
        let of_venue = venue.and_then(|venue| venue.linkage.as_ref());
        let of_venue = of_venue.iter().flat_map(|linkage| &linkage.demands);
        own.filter(|demand| demand.to.is_none())
            .chain(of_venue.filter(|demand| in_use && demand.to.as_deref() == Some(kind)))
            .find(|demand| *demand.task.command == *command)
            .and_then(|demand| Some((demand.task.clone(), Box::new(demand.cause()?.clone()))))
    }

    /// Whether an alarm demands anything of the device.
    pub(super) fn is_demanded(&self, index: DeviceIndex) -> bool {
        let Some(device) = self.devices.get(index.slot()) else {
            return false;
        };
        let venue = self.venues.get(device.venue as usize);
        let of = |linkage: Option<&Linkage>, to: Option<&str>| {
            linkage.is_some_and(|linkage| linkage.demands.iter().any(|demand| demand.to.as_deref() == to))
        };
        of(device.linkage.as_deref(), None)
            || of(
                venue.and_then(|venue| venue.linkage.as_deref()),
                Some(&device.key.kind),
            )
    }

    /// Whether an alarm stands, or is about to, whose rule would command the device: also one that waits for a second signal,
    /// came too late or waits for its reset.
    pub(super) fn is_in_danger(&self, index: DeviceIndex) -> bool {
        let Some(device) = self.devices.get(index.slot()) else {
            return false;
        };
        let lives = |subject: &Device, rules: &KindRules, own: bool| {
            let mut rules = rules.rules.iter().zip(&subject.lives);
            rules.any(|(rule, life)| {
                let mut actions = rule.actions.iter();
                let commands = actions.any(|action| match action.to.as_deref() {
                    Some(to) => to == device.key.kind,
                    None => own,
                });
                commands && *life != Life::Normal
            })
        };
        let venue = device.venue as usize;
        let of_venue = self
            .venues
            .get(venue)
            .is_some_and(|entity| lives(entity, self.definitions.on_venue(&entity.key.venue), false));
        let members = self.members.get(venue).into_iter().flatten();
        self.is_demanded(index)
            || of_venue
            || members.copied().any(|member| {
                let found = self.devices.get(member.slot());
                let rules = found.and_then(|found| self.definitions.kind(found.kind?));
                found
                    .zip(rules)
                    .is_some_and(|(found, rules)| lives(found, rules, member == index))
            })
    }
}

/// What the rule in `place` on `index` orders.
fn actions_of(definitions: &Definitions, index: DeviceIndex, engine: &Engine, place: usize) -> Vec<Action> {
    let rules = match venue_at(index) {
        Some(venue) => engine
            .venues
            .get(venue as usize)
            .map(|venue| definitions.on_venue(&venue.key.venue)),
        None => engine
            .devices
            .get(index.slot())
            .and_then(|device| definitions.kind(device.kind?)),
    };
    let rule = rules.and_then(|rules| rules.rules.get(place));
    rule.map_or_else(Vec::new, |rule| rule.actions.to_vec())
}
