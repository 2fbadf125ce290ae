//! The interlock at work: alarms demand, devices are ordered, and what they report proves it or not. Sends nothing: what is
//! to be sent is an effect.

use std::sync::Arc;

use super::super::definitions::KindRules;
use super::super::device::DeviceIndex;
use super::super::id::Id;
use super::super::interlock::{Attempt, Cause, CommandStep, Course, Signal, Stage, Task};
use super::super::journal::CommandInput;
use super::super::kind::SlotSet;
use super::super::rule::{News, Quantity};
use super::super::time::{Moment, Ticks};
use super::derive::Turn;
use super::device::Device;
use super::due::Due;
use super::judge::judge;
use super::ledger::Ledger;
use super::linkage::{Linkage, MetState, Order, Said};
use super::operate::Refusal;
use super::venue::{Word, venue_at};
use super::{Effects, Engine};

/// Something about commands that came up while a device or venue had its turn.
#[derive(Debug, Clone, Copy)]
pub(super) enum Call {
    /// The alarm of its rule in this place was raised, or may command from now on.
    Raised(DeviceIndex, u16),
    /// An alarm of it demands nothing any more.
    Over(DeviceIndex, Id),
    /// It spoke of these slots, live, then.
    Spoke(DeviceIndex, SlotSet, Said),
    /// It has come to its venue.
    Joined(DeviceIndex),
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
        opens: order.task.opens,
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
    let order = Order::new(ledger.id(now.wall), (task.clone(), device.lag(now)), cause, now);
    let told = order.event(
        ledger.id(now.wall),
        &device.key,
        (CommandStep::Requested, false),
        now,
    );
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
                Call::Spoke(index, heard, said) => self.spoke((index, heard, said), now, effects),
                Call::Joined(index) => self.serve_venue(index, now, effects),
            }
        }
    }

    /// The device is to do `task`.
    pub(super) fn order(
        &mut self,
        index: DeviceIndex,
        (task, cause): (&Task, Cause),
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
                    order.event(
                        ledger.id(now.wall),
                        &device.key,
                        (CommandStep::Joined, false),
                        now,
                    )
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
            self.signal((index, Some(id)), Signal::Superseded, now, effects);
        }
        if let Some(device) = self.devices.get_mut(index.slot()) {
            begin(&mut self.ledger, (index, device), (task, cause), now, effects);
        }
    }

    /// Something came back of the order under way; `id`: of that one, and of no other.
    pub(super) fn signal(
        &mut self,
        (index, id): (DeviceIndex, Option<Id>),
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
                    Stage::Declined => Some(CommandStep::Declined),
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
            let notify = device
                .linkage
                .as_mut()
                .is_some_and(|linkage| linkage.tells(&order, &step));
            let told = order.event(ledger.id(now.wall), &device.key, (step.clone(), notify), now);
            effects.commands.push(told);
            if ended {
                self.ended(index, (&order, &step), now, effects);
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
        (order, step): (&Order, &CommandStep),
        now: Moment,
        effects: &mut Effects,
    ) {
        let device = self.devices.get(index.slot());
        let in_use = device.is_some_and(|device| self.is_in_use(device));
        let awaited = in_use || self.demanded(index, &order.task.command).is_some();
        if let Some(linkage) = self.linkage(index) {
            let met = linkage
                .met
                .iter_mut()
                .find(|met| met.command == order.task.command);
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
                    | CommandStep::Acknowledged
                    | CommandStep::Declined => MetState::Waiting,
                };
            }
            if failed && awaited && !order.task.opens {
                linkage.failed = Some(order.task.clone());
            } else if linkage
                .failed
                .as_ref()
                .is_some_and(|failed| failed.command == order.task.command)
            {
                linkage.failed = None;
            }
        }
        // Whoever wanted it: it has shown that it still obeys.
        if matches!(step, CommandStep::Verified)
            && !order.task.opens
            && let Some(device) = self.devices.get_mut(index.slot())
        {
            let every = device.exercise.0;
            device.exercise_after(every, (index, now), &mut self.ledger);
        }
        self.show_failure(index, now, effects);
        if !matches!(step, CommandStep::Superseded) {
            self.serve_waiting(index, now, effects);
        }
    }

    /// The time of an order's attempt is over. An opening is not repeated into a danger that has begun meanwhile.
    pub(super) fn order_due(&mut self, index: DeviceIndex, at: Ticks, now: Moment, effects: &mut Effects) {
        let due = self.linkage(index).and_then(|linkage| linkage.order.as_ref());
        let Some(order) = due.filter(|order| order.deadline == at) else {
            return;
        };
        let (id, reopens) = (order.id, order.task.opens && order.left() > 0);
        let signal = if reopens && self.is_in_danger(index) {
            Signal::Abandoned
        } else {
            Signal::Deadline
        };
        self.signal((index, Some(id)), signal, now, effects);
    }

    /// A device that has to do with commands spoke.
    fn spoke(
        &mut self,
        (index, heard, said): (DeviceIndex, SlotSet, Said),
        now: Moment,
        effects: &mut Effects,
    ) {
        self.prove((index, heard, said), now, effects);
        self.confirm(index, heard, now, effects);
        self.review(index, heard, now, effects);
        if let Some(device) = self.devices.get_mut(index.slot()) {
            device.tidy_linkage();
        }
    }

    /// Whether what it said proves the order under way.
    fn prove(
        &mut self,
        (index, heard, said): (DeviceIndex, SlotSet, Said),
        now: Moment,
        effects: &mut Effects,
    ) {
        let Some((device, rules, _)) = self.subject(index) else {
            return;
        };
        let order = device.linkage.as_mut().and_then(|linkage| linkage.order.as_mut());
        // A message keeps the moment of its receipt: one that waited while a person commanded came before the order.
        let order = order.filter(|order| order.requested.ticks <= now.ticks);
        let proven = order.is_some_and(|order| order.hear((heard, said), &device.slots, &rules.kind));
        if proven {
            self.signal((index, None), Signal::Proven, now, effects);
        }
    }

    /// An operator wants a device to do something.
    pub(super) fn command(
        &mut self,
        input: &CommandInput,
        now: Moment,
        effects: &mut Effects,
    ) -> Result<(), Refusal> {
        let index = self.find(&input.device).ok_or(Refusal::NoSuchDevice)?;
        let device = self.devices.get(index.slot());
        let is_retired = |kind| self.definitions.is_out_of_use(kind);
        if device.and_then(|device| device.kind).is_some_and(is_retired) {
            return Err(Refusal::Retired);
        }
        let (device, rules, _) = self.subject(index).ok_or(Refusal::NoSuchDevice)?;
        let known = rules
            .kind
            .command(&input.command)
            .ok_or_else(|| Refusal::NoSuchCommand {
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
        if task.opens && self.is_in_danger(index) {
            return Err(Refusal::Interlocked);
        }
        if task.opens && !self.is_listening() {
            return Err(Refusal::Unheard);
        }
        if let Some(command) = busy {
            return Err(Refusal::Busy { command });
        }
        let cause = Cause::Operator(input.operator.clone());
        self.order(index, (&task, cause), now, effects);
        Ok(())
    }

    /// The devices can be heard from now on, or no longer: what they prove meanwhile is lost. What is not proven is sent
    /// again (DESIGN §7), also after a restart.
    pub(super) fn renew_orders(&mut self, listening: bool, now: Moment, effects: &mut Effects) {
        for slot in 0..self.devices.len() {
            let Ok(index) = u32::try_from(slot).map(DeviceIndex) else {
                return;
            };
            let Some(device) = self.devices.get_mut(slot) else {
                continue;
            };
            let Some(linkage) = device.linkage.as_mut() else {
                continue;
            };
            if linkage.order.as_ref().is_some_and(|order| order.task.opens) {
                // Nothing opens by itself, hours after somebody wanted it.
                self.signal((index, None), Signal::Abandoned, now, effects);
                continue;
            }
            if let Some(mut order) = linkage.order.take() {
                let before = order.deadline;
                if !listening {
                    order.hold(now);
                } else if order.renew(now) {
                    send(&order, index, device, effects);
                    let step = (CommandStep::Repeated, false);
                    effects
                        .commands
                        .push(order.event(self.ledger.id(now.wall), &device.key, step, now));
                }
                self.ledger
                    .move_deadline((Some(before), Some(order.deadline)), index, Due::Order);
                if let Some(linkage) = device.linkage.as_mut() {
                    linkage.order = Some(order);
                }
            } else if listening {
                self.try_again(index, now, effects);
            }
        }
    }

    /// Orders can reach the broker from now on: what failed meanwhile is tried again, if it is still demanded. While nobody
    /// can hear the devices that waits until they can be.
    pub(super) fn try_failed_again(&mut self, now: Moment, effects: &mut Effects) {
        if self.listening.is_none() {
            return;
        }
        for index in (0_u32..).map(DeviceIndex).take(self.devices.len()) {
            if self.linkage(index).is_some_and(|linkage| linkage.order.is_none()) {
                self.try_again(index, now, effects);
            }
        }
    }

    /// What the device failed to do and is still to do is ordered anew.
    fn try_again(&mut self, index: DeviceIndex, now: Moment, effects: &mut Effects) {
        let Some(linkage) = self.linkage(index) else {
            return;
        };
        for met in &mut linkage.met {
            if let MetState::Failed { .. } = met.state {
                met.state = MetState::Waiting;
            }
        }
        self.serve_waiting(index, now, effects);
    }

    /// Shows the rules whether the device's last order has failed.
    pub(super) fn show_failure(&mut self, index: DeviceIndex, now: Moment, effects: &mut Effects) {
        let listening = self.listening;
        let Some((device, rules, ledger)) = self.subject(index) else {
            return;
        };
        let failed = device
            .linkage
            .as_ref()
            .is_some_and(|linkage| linkage.failed.is_some());
        let changed = device.mark_failure(rules, failed);
        if changed.is_empty() {
            return;
        }
        let turn = Turn::new(index, rules, listening, now);
        let news = judge(ledger, device, &turn, News::all(changed), effects);
        let word = Word::of(&turn, news.heard);
        self.tell(word, now, effects);
    }

    /// Whether an attempt to open by the order `id` of the device may still leave: it is under way, and no danger has begun.
    pub fn may_leave(&self, device: DeviceIndex, id: Id) -> bool {
        self.is_under_way(device, id) && !self.is_in_danger(device)
    }

    /// Whether the order `id` of the device is under way.
    pub fn is_under_way(&self, device: DeviceIndex, id: Id) -> bool {
        let device = self.devices.get(device.slot());
        let linkage = device.and_then(|device| device.linkage.as_ref());
        let order = linkage.and_then(|linkage| linkage.order.as_ref());
        order.is_some_and(|order| order.id == id)
    }

    pub(super) fn linkage(&mut self, index: DeviceIndex) -> Option<&mut Linkage> {
        self.devices.get_mut(index.slot())?.linkage.as_deref_mut()
    }

    /// The number of the venue that a device or venue is, or is in.
    pub(super) fn venue_of(&self, index: DeviceIndex) -> Option<usize> {
        let number = match venue_at(index) {
            Some(venue) => venue,
            None => self.devices.get(index.slot())?.venue,
        };
        usize::try_from(number).ok()
    }
}

impl Device {
    /// Sets what rules see of a failed order; what changed by that.
    pub(super) fn mark_failure(&mut self, rules: &KindRules, failed: bool) -> SlotSet {
        let mut changed = SlotSet::EMPTY;
        for derived in &rules.derived {
            if matches!(derived.quantity, Quantity::CommandFailed) {
                changed = changed.union(self.change(derived.slot, f64::from(u8::from(failed))));
            }
        }
        changed
    }

    /// Forgets what is empty.
    pub(super) fn tidy_linkage(&mut self) {
        self.linkage.take_if(|linkage| linkage.is_empty());
    }
}
