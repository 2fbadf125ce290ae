//! The interlock at work: alarms demand, devices are ordered, and what they report proves it or not. Sends nothing: what is
//! to be sent is an effect.

use std::sync::Arc;

use super::super::alarm::{AlarmView, Life, Mask, Transition};
use super::super::definitions::{Definitions, KindRules};
use super::super::device::DeviceIndex;
use super::super::id::Id;
use super::super::interlock::{Action, Attempt, Cause, CommandStep, Course, Signal, Stage, Task};
use super::super::journal::CommandInput;
use super::super::kind::SlotSet;
use super::super::rule::{News, Quantity, Rule, Truth};
use super::super::time::{Moment, Ticks};
use super::derive::Turn;
use super::device::Device;
use super::ledger::{Due, Ledger};
use super::linkage::{MetState, Order, Proof, RETRY_AFTER, Unconfirmed};
use super::operate::Refusal;
use super::step::Step;
use super::venue::{Word, venue_at};
use super::{Effects, Engine, judge};

/// Something about commands that came up while a device or venue had its turn.
#[derive(Debug, Clone, Copy)]
pub(super) enum Call {
    /// The alarm of its rule in this place was raised, or may command from now on.
    Raised(DeviceIndex, u16),
    /// An alarm of it demands nothing any more.
    Over(DeviceIndex, Id),
    /// It spoke of these slots, live.
    Spoke(DeviceIndex, SlotSet),
    /// It has come to its venue.
    Joined(DeviceIndex),
}

impl Device {
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

/// An attempt of `order` that leaves now.
fn send(order: &Order, index: DeviceIndex, device: &Device, effects: &mut Effects) {
    effects.attempts.push(Attempt {
        device: index,
        key: Arc::clone(&device.key),
        id: order.id,
        command: Arc::clone(&order.task.command),
        attempt: order.attempt,
        expires_at: order.expires_at,
    });
}

/// Begins an order for the device, which has none.
fn begin(
    ledger: &mut Ledger,
    (index, device): (DeviceIndex, &mut Device),
    (task, cause): (&Task, Cause),
    now: Moment,
    effects: &mut Effects,
) {
    let order = Order::new(ledger.id(now.wall), task.clone(), cause, now);
    let told = order.event(ledger.id(now.wall), &device.key, (CommandStep::Requested, false), now);
    effects.commands.push(told);
    send(&order, index, device, effects);
    ledger.insert_deadline(order.deadline, index, Due::Order);
    let linkage = device.linkage.get_or_insert_default();
    if let Some(met) = linkage.met.iter_mut().find(|met| met.command == task.command) {
        met.state = MetState::Ordered;
    }
    linkage.order = Some(order);
}

impl Engine {
    /// Does what has come up about commands.
    pub(super) fn answer_calls(&mut self, now: Moment, effects: &mut Effects) {
        while let Some(call) = self.ledger.take_call() {
            match call {
                Call::Raised(index, place) => self.raised(index, usize::from(place), now, effects),
                Call::Over(index, alarm) => self.release(index, alarm),
                Call::Spoke(index, heard) => self.spoke(index, heard, now, effects),
                Call::Joined(index) => self.serve_venue(index, now, effects),
            }
        }
    }

    /// An alarm stands whose rule orders something.
    fn raised(&mut self, index: DeviceIndex, place: usize, now: Moment, effects: &mut Effects) {
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
                found = life.standing().map(|standing| subject.view(life, standing.clone()));
            }
        });
        let Some(alarm) = found else { return };
        match &alarm.mask {
            // A person has taken it out of the game. What another alarm explains, or nobody is told of, is danger all the same.
            Mask::Shelved(_) | Mask::OutOfService(_) => return,
            Mask::None | Mask::Suppressed { .. } | Mask::Limited { .. } => {}
        }
        let actions = actions_of(&definitions, index, self, place);
        if self.is_confirmed(index, &actions, &alarm, now, effects) {
            self.demand(index, &actions, &alarm, now, effects);
        }
    }

    /// Whether linkage may act on `alarm`: where the venue waits for a second signal, on the second.
    fn is_confirmed(
        &mut self,
        index: DeviceIndex,
        actions: &[Action],
        alarm: &AlarmView,
        now: Moment,
        effects: &mut Effects,
    ) -> bool {
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
            self.demand(*other, &actions, alarm, now, effects);
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
    fn demand(
        &mut self,
        index: DeviceIndex,
        actions: &[Action],
        alarm: &AlarmView,
        now: Moment,
        effects: &mut Effects,
    ) {
        let Some(venue) = self.venue_of(index) else { return };
        for action in actions {
            // An old sample may raise, but moves nothing (DESIGN §4).
            if alarm.late_by_ms.is_some_and(|age| age > action.max_age.0) {
                continue;
            }
            let to = action.to.as_ref();
            let holder = match to {
                Some(_) => self.venues.get_mut(venue),
                None => self.devices.get_mut(index.slot()),
            };
            let Some(holder) = holder else { continue };
            if !holder.linkage.get_or_insert_default().demand(to, &action.task, alarm) {
                continue;
            }
            for target in self.targets(index, venue, to.map(AsRef::as_ref)) {
                let cause = Cause::Alarm(Box::new(alarm.clone()));
                self.order(target, &action.task, cause, now, effects);
            }
        }
    }

    fn targets(&self, index: DeviceIndex, venue: usize, to: Option<&str>) -> Vec<DeviceIndex> {
        let Some(kind) = to else { return vec![index] };
        let members = self.members.get(venue).into_iter().flatten();
        let is_kind = |index: &&DeviceIndex| {
            self.devices
                .get(index.slot())
                .is_some_and(|device| device.key.kind == kind)
        };
        members.filter(is_kind).copied().collect()
    }

    /// `alarm` demands nothing any more. What is under way goes on.
    fn release(&mut self, index: DeviceIndex, alarm: Id) {
        let venue = self.venue_of(index);
        let own = self.devices.get_mut(index.slot());
        let venue = venue.and_then(|venue| self.venues.get_mut(venue));
        for holder in own.into_iter().chain(venue) {
            if let Some(linkage) = holder.linkage.as_mut() {
                linkage.release(alarm);
                holder.tidy_linkage();
            }
        }
    }

    /// The device is to do `task`.
    fn order(
        &mut self,
        index: DeviceIndex,
        task: &Task,
        cause: Cause,
        now: Moment,
        effects: &mut Effects,
    ) {
        let Some(device) = self.devices.get_mut(index.slot()) else {
            return;
        };
        let ledger = &mut self.ledger;
        let linkage = device.linkage.get_or_insert_default();
        if let Cause::Alarm(_) = cause {
            linkage.met(&task.command).state = MetState::Waiting;
        }
        if let Some(order) = linkage.order.as_mut() {
            if order.task.command == task.command {
                let named = order.join(cause);
                let told = named.then(|| {
                    order.event(ledger.id(now.wall), &device.key, (CommandStep::Joined, false), now)
                });
                effects.commands.extend(told);
                if let Some(met) = linkage.met.iter_mut().find(|met| met.command == task.command) {
                    met.state = MetState::Ordered;
                }
                return;
            }
            if task.opens || !order.task.opens {
                // One at a time: it is ordered once that is over.
                return;
            }
            let id = order.id;
            self.signal(index, Some(id), Signal::Superseded, now, effects);
        }
        if let Some(device) = self.devices.get_mut(index.slot()) {
            begin(&mut self.ledger, (index, device), (task, cause), now, effects);
        }
    }

    /// Something came back of the order under way; `id`: of that one, and of no other.
    pub(super) fn signal(
        &mut self,
        index: DeviceIndex,
        id: Option<Id>,
        signal: Signal,
        now: Moment,
        effects: &mut Effects,
    ) {
        let Some(device) = self.devices.get_mut(index.slot()) else {
            return;
        };
        let ledger = &mut self.ledger;
        let Some(mut order) = device.linkage.as_mut().and_then(|linkage| {
            let asked = |order: &mut Order| id.is_none_or(|id| order.id == id);
            linkage.order.take_if(asked)
        }) else {
            return;
        };
        let before = order.deadline;
        let step = match order.stage.course(signal, order.left()) {
            Course::Stay => None,
            Course::Move(stage) => {
                order.stage = stage;
                match stage {
                    Stage::Sent => Some(CommandStep::Sent),
                    Stage::Acknowledged => Some(CommandStep::Acknowledged),
                    Stage::Requested => None,
                }
            }
            Course::Again => {
                order.attempt_again(now);
                send(&order, index, device, effects);
                Some(CommandStep::Repeated)
            }
            Course::Verify => Some(CommandStep::Verified),
            Course::Fail(failure) => Some(CommandStep::Failed(failure)),
            Course::Supersede => Some(CommandStep::Superseded),
        };
        let ended = step.as_ref().is_some_and(|step| step.result().is_some());
        let after = (!ended).then_some(order.deadline);
        ledger.move_deadline((Some(before), after), index, Due::Order);
        if let Some(step) = step {
            let notify = device.linkage.as_mut().is_some_and(|linkage| linkage.tells(&order, &step));
            let told = order.event(ledger.id(now.wall), &device.key, (step.clone(), notify), now);
            effects.commands.push(told);
            if ended {
                self.ended(index, &order, &step, now, effects);
                return;
            }
        }
        if let Some(linkage) = device.linkage.as_mut() {
            linkage.order = Some(order);
        }
    }

    /// An order is over.
    fn ended(
        &mut self,
        index: DeviceIndex,
        order: &Order,
        step: &CommandStep,
        now: Moment,
        effects: &mut Effects,
    ) {
        if let Some(linkage) = self.linkage(index) {
            let met = linkage.met.iter_mut().find(|met| met.command == order.task.command);
            let failed = matches!(step, CommandStep::Failed(_));
            if let Some(met) = met {
                met.state = match step {
                    CommandStep::Verified => MetState::Proven,
                    CommandStep::Failed(_) => MetState::Failed { at: now.ticks },
                    CommandStep::Superseded
                    | CommandStep::Requested
                    | CommandStep::Joined
                    | CommandStep::Sent
                    | CommandStep::Repeated
                    | CommandStep::Acknowledged => MetState::Waiting,
                };
            }
            if failed {
                linkage.failed = Some(order.task.clone());
            } else if linkage.failed.as_ref().is_some_and(|failed| failed.command == order.task.command) {
                linkage.failed = None;
            }
        }
        self.show_failure(index, now, effects);
        if !matches!(step, CommandStep::Superseded) {
            self.serve_waiting(index, now, effects);
        }
    }

    /// The time of an order's attempt is over.
    pub(super) fn order_due(&mut self, index: DeviceIndex, at: Ticks, now: Moment, effects: &mut Effects) {
        let due = self.linkage(index).and_then(|linkage| linkage.order.as_ref());
        if let Some(id) = due.filter(|order| order.deadline == at).map(|order| order.id) {
            self.signal(index, Some(id), Signal::Deadline, now, effects);
        }
    }

    /// A device that has to do with commands spoke.
    fn spoke(&mut self, index: DeviceIndex, heard: SlotSet, now: Moment, effects: &mut Effects) {
        self.prove(index, heard, now, effects);
        self.confirm(index, heard, now, effects);
        self.review(index, heard, now, effects);
        if let Some(device) = self.devices.get_mut(index.slot()) {
            device.tidy_linkage();
        }
    }

    /// Whether what it said proves the order under way.
    fn prove(&mut self, index: DeviceIndex, heard: SlotSet, now: Moment, effects: &mut Effects) {
        let Some((device, rules, _)) = self.subject(index) else {
            return;
        };
        let order = device.linkage.as_mut().and_then(|linkage| linkage.order.as_mut());
        let proven = order.is_some_and(|order| order.hear(heard, &device.slots, &rules.kind));
        if proven {
            self.signal(index, None, Signal::Proven, now, effects);
        }
    }

    /// Whether what it said is the second signal for an alarm of its own.
    fn confirm(&mut self, index: DeviceIndex, heard: SlotSet, now: Moment, effects: &mut Effects) {
        let Some((device, rules, _)) = self.subject(index) else {
            return;
        };
        let Some(linkage) = device.linkage.as_mut().filter(|linkage| !linkage.unconfirmed.is_empty()) else {
            return;
        };
        let (slots, mut confirmed) = (&device.slots, Vec::new());
        linkage.unconfirmed.retain_mut(|waiting| {
            let place = rules.rules.iter().position(|rule| rule.def.id == waiting.rule);
            let again = |rule: &Rule| {
                rule.depends.intersects(heard) && rule.when.evaluate(slots) == Truth::True
            };
            let Some(place) = place.filter(|place| rules.rules.get(*place).is_some_and(again)) else {
                return true;
            };
            confirmed.push((place, waiting.alarm.clone()));
            false
        });
        for (place, alarm) in confirmed {
            let actions = actions_of(&Arc::clone(&self.definitions), index, self, place);
            self.demand(index, &actions, &alarm, now, effects);
        }
    }

    /// Looks at each demand on the device by what it says of itself now.
    fn review(&mut self, index: DeviceIndex, heard: SlotSet, now: Moment, effects: &mut Effects) {
        self.forget_failure(index, heard, now, effects);
        let commands: Vec<(Arc<str>, MetState)> = match self.linkage(index) {
            Some(linkage) => linkage.met.iter().map(|met| (Arc::clone(&met.command), met.state)).collect(),
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
                (MetState::Waiting, _) => true,
                // Opened by hand while the danger lasts.
                (MetState::Proven, Some(Truth::False)) => true,
                (MetState::Failed { .. }, Some(Truth::True)) => {
                    if let Some(linkage) = self.linkage(index) {
                        linkage.met(&command).state = MetState::Proven;
                    }
                    false
                }
                (MetState::Failed { at }, Some(Truth::False | Truth::Unknown) | None) => {
                    now.ticks.since(at) >= RETRY_AFTER
                }
                (MetState::Proven, Some(Truth::True | Truth::Unknown) | None) | (MetState::Ordered, _) => false,
            };
            if again {
                self.order(index, &task, Cause::Alarm(cause), now, effects);
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
        proof.asks(heard).then(|| proof.judge(&device.slots))
    }

    /// Orders what is demanded of the device and waits for another order to be over.
    fn serve_waiting(&mut self, index: DeviceIndex, now: Moment, effects: &mut Effects) {
        let Some(linkage) = self.linkage(index) else { return };
        let waiting = linkage.met.iter().filter(|met| met.state == MetState::Waiting);
        let commands: Vec<Arc<str>> = waiting.map(|met| Arc::clone(&met.command)).collect();
        for command in commands {
            if let Some((task, cause)) = self.demanded(index, &command) {
                self.order(index, &task, Cause::Alarm(cause), now, effects);
            }
        }
    }

    /// Orders what the venue demands of a device that was not there when that began.
    fn serve_venue(&mut self, index: DeviceIndex, now: Moment, effects: &mut Effects) {
        let venue = self.venue_of(index).and_then(|venue| self.venues.get(venue));
        let Some(linkage) = venue.and_then(|venue| venue.linkage.as_ref()) else {
            return;
        };
        let kind = self.devices.get(index.slot()).map(|device| device.key.kind.as_str());
        let demanded = linkage.demands.iter().filter(|demand| demand.to.as_deref() == kind);
        let demanded: Vec<(Task, Box<AlarmView>)> = demanded
            .map(|demand| (demand.task.clone(), demand.cause.clone()))
            .collect();
        for (task, cause) in demanded {
            self.order(index, &task, Cause::Alarm(cause), now, effects);
        }
    }

    /// What stands demanded of the device under this command, and by which alarm.
    fn demanded(&self, index: DeviceIndex, command: &str) -> Option<(Task, Box<AlarmView>)> {
        let device = self.devices.get(index.slot())?;
        let venue = self.venues.get(device.venue as usize);
        let kind = device.key.kind.as_str();
        let own = device.linkage.iter().flat_map(|linkage| &linkage.demands);
        let of_venue = venue.and_then(|venue| venue.linkage.as_ref());
        let of_venue = of_venue.iter().flat_map(|linkage| &linkage.demands);
        own.filter(|demand| demand.to.is_none())
            .chain(of_venue.filter(|demand| demand.to.as_deref() == Some(kind)))
            .find(|demand| *demand.task.command == *command)
            .map(|demand| (demand.task.clone(), demand.cause.clone()))
    }

    /// Whether an alarm demands anything of the device.
    fn is_demanded(&self, index: DeviceIndex) -> bool {
        let met = self.devices.get(index.slot()).and_then(|device| device.linkage.as_ref());
        met.is_some_and(|linkage| {
            linkage.met.iter().any(|met| self.demanded(index, &met.command).is_some())
        })
    }

    /// An operator wants a device to do something.
    pub(super) fn command(
        &mut self,
        input: &CommandInput,
        now: Moment,
        effects: &mut Effects,
    ) -> Result<(), Refusal> {
        let index = self.find(&input.device).ok_or(Refusal::NoSuchDevice)?;
        let (device, rules, _) = self.subject(index).ok_or(Refusal::NoSuchDevice)?;
        let known = rules.kind.command(&input.command).ok_or_else(|| Refusal::NoSuchCommand {
            kind: input.device.kind.clone(),
            command: input.command.clone(),
        })?;
        let task = Task::of(known);
        let under_way = device.linkage.as_ref().and_then(|linkage| linkage.order.as_ref());
        let busy = under_way
            .filter(|order| order.task.command != task.command && (task.opens || !order.task.opens))
            .map(|order| order.task.command.to_string());
        if task.opens && !input.remote_open {
            return Err(Refusal::OpeningRefused);
        }
        if task.opens && self.is_demanded(index) {
            return Err(Refusal::Interlocked);
        }
        if let Some(command) = busy {
            return Err(Refusal::Busy { command });
        }
        let cause = Cause::Operator(input.operator.clone());
        self.order(index, &task, cause, now, effects);
        Ok(())
    }

    /// The devices can be heard from now on, or no longer: what they prove meanwhile is lost. What is not proven is sent
    /// again (DESIGN §7), also after a restart.
    pub(super) fn renew_orders(&mut self, listening: bool, now: Moment, effects: &mut Effects) {
        for slot in 0..self.devices.len() {
            let Ok(index) = u32::try_from(slot).map(DeviceIndex) else { return };
            let Some(device) = self.devices.get_mut(slot) else { continue };
            let Some(linkage) = device.linkage.as_mut() else { continue };
            if let Some(mut order) = linkage.order.take() {
                let before = order.deadline;
                if !listening {
                    order.hold(now);
                } else if order.renew(now) {
                    send(&order, index, device, effects);
                    let step = (CommandStep::Repeated, false);
                    effects.commands.push(order.event(self.ledger.id(now.wall), &device.key, step, now));
                }
                self.ledger.move_deadline((Some(before), Some(order.deadline)), index, Due::Order);
                if let Some(linkage) = device.linkage.as_mut() {
                    linkage.order = Some(order);
                }
            } else if listening {
                for met in &mut linkage.met {
                    if let MetState::Failed { .. } = met.state {
                        met.state = MetState::Waiting;
                    }
                }
                self.serve_waiting(index, now, effects);
            }
        }
    }

    /// Shows the rules whether the device's last order has failed.
    fn show_failure(&mut self, index: DeviceIndex, now: Moment, effects: &mut Effects) {
        let listening = self.listening;
        let Some((device, rules, ledger)) = self.subject(index) else {
            return;
        };
        let failed = device.linkage.as_ref().is_some_and(|linkage| linkage.failed.is_some());
        let changed = device.show_failure(rules, failed);
        if changed.is_empty() {
            return;
        }
        let turn = Turn::new(index, rules, listening, now);
        let news = judge(ledger, device, &turn, News::all(changed), effects);
        let word = Word::of(&turn, news.heard);
        self.tell(word, now, effects);
    }

    fn linkage(&mut self, index: DeviceIndex) -> Option<&mut super::linkage::Linkage> {
        self.devices.get_mut(index.slot())?.linkage.as_deref_mut()
    }

    /// The number of the venue that a device or venue is, or is in.
    fn venue_of(&self, index: DeviceIndex) -> Option<usize> {
        let number = match venue_at(index) {
            Some(venue) => venue,
            None => self.devices.get(index.slot())?.venue,
        };
        usize::try_from(number).ok()
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

impl Device {
    /// Sets what rules see of a failed order; what changed by that.
    pub(super) fn show_failure(&mut self, rules: &KindRules, failed: bool) -> SlotSet {
        let mut changed = SlotSet::EMPTY;
        for derived in &rules.derived {
            if matches!(derived.quantity, Quantity::CommandFailed) {
                changed = changed.union(self.change(derived.slot, f64::from(u8::from(failed))));
            }
        }
        changed
    }

    /// Forgets what is empty.
    fn tidy_linkage(&mut self) {
        self.linkage.take_if(|linkage| linkage.is_empty());
    }
}
