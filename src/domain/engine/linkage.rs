//! What is kept of orders: on a device the one under way and how far each demand is met, on whoever demands what is
//! demanded. Holds it together; the engine (orders.rs) says what happens when.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::alarm::AlarmView;
use super::super::id::Id;
use super::super::interlock::{Cause, CommandEvent, CommandStep, OrderView, Stage, Task};
use super::super::kind::{Kind, MAX_SLOTS, PointIndex, SlotSet};
use super::super::reading::{Arrival, Reading};
use super::super::rule::{Program, Truth, compile_proof};
use super::super::time::{Millis, Moment, Ticks, Timestamp};
use super::device::believed;

/// The most who are named as wanting one order.
const MOST_CAUSES: usize = 8;

/// How often an order may be given its time anew because nobody could hear the device.
const MOST_RENEWALS: u8 = 3;

/// How far the clocks' steps and a message's way may make a word look older than it is, in milliseconds.
const CLOCK_NOISE_MS: i64 = 2_000;

/// How long after a failure a device that speaks is tried again.
pub(super) const RETRY_AFTER: Millis = Millis(60_000);

/// A device's or venue's part in the interlock.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Linkage {
    /// What the device is told to do, and has not proven yet.
    pub(super) order: Option<Order>,
    /// How far it meets what is demanded of it.
    pub(super) met: Vec<Met>,
    /// What it failed to do, and nothing has proven since.
    pub(super) failed: Option<Task>,
    /// What the alarms of this subject demand: a device of itself, a venue of its devices.
    pub(super) demands: Vec<Demand>,
    /// Alarms of the device that wait for a second signal.
    pub(super) unconfirmed: Vec<Unconfirmed>,
}

/// An order under way.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) id: Id,
    pub(super) task: Task,
    pub(super) stage: Stage,
    /// From 1.
    pub(super) attempt: u8,
    pub(super) requested: Moment,
    /// When the present attempt is over.
    pub(super) deadline: Ticks,
    pub(super) expires_at: Timestamp,
    /// How often it was given its time anew.
    renewals: u8,
    /// How far the device's clock was behind when the order was given, in milliseconds.
    lag_ms: i64,
    /// The slots that the device has spoken of since: only those can prove anything.
    heard: SlotSet,
    pub(super) causes: Vec<Cause>,
}

/// How far a device meets the demand for a command.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Met {
    pub(super) command: Arc<str>,
    pub(super) state: MetState,
    /// Its failure has been told of.
    pub(super) told: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum MetState {
    /// It will be ordered once the order under way is over.
    Waiting,
    /// It is ordered.
    Ordered,
    /// The device has proven it.
    Proven,
    /// The device has not proven it.
    Failed {
        /// When that was known.
        at: Ticks,
    },
}

/// What standing alarms demand.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Demand {
    /// Of which kind of the venue's devices; `None`: of the device itself.
    pub(super) to: Option<Arc<str>>,
    pub(super) task: Task,
    /// The alarms; the demand stands as long as one of them does.
    pub(super) alarms: Vec<Id>,
    /// The first of those that stand, as they were raised; never none.
    causes: Vec<AlarmView>,
}

/// An alarm in a venue where linkage waits for a second signal.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Unconfirmed {
    /// The rule's id.
    pub(super) rule: String,
    pub(super) alarm: Box<AlarmView>,
}

impl Order {
    pub(super) fn new(id: Id, (task, lag_ms): (Task, i64), cause: Cause, now: Moment) -> Order {
        let mut order = Order {
            id,
            stage: Stage::Requested,
            attempt: 0,
            requested: now,
            deadline: now.ticks,
            expires_at: now.wall,
            renewals: 0,
            lag_ms,
            heard: SlotSet::EMPTY,
            causes: vec![cause],
            task,
        };
        order.attempt_again(now);
        order
    }

    /// How many more attempts may be made.
    pub(super) const fn left(&self) -> u8 {
        self.task.attempts.saturating_sub(self.attempt)
    }

    /// The next attempt begins.
    pub(super) fn attempt_again(&mut self, now: Moment) {
        self.attempt = self.attempt.saturating_add(1);
        self.stage = Stage::Requested;
        self.give_time(now);
    }

    fn give_time(&mut self, now: Moment) {
        let within = i64::try_from(self.task.within.0).unwrap_or(i64::MAX);
        self.deadline = now.ticks.after(self.task.within);
        self.expires_at = Timestamp(now.wall.0.saturating_add(within));
    }

    /// Nobody can hear the device: its time does not run meanwhile, as long as that does not go on for ever.
    pub(super) fn hold(&mut self, now: Moment) {
        if self.renewals < MOST_RENEWALS {
            self.give_time(now);
        }
    }

    /// The device can be heard again: the attempt begins anew. Whether it may.
    pub(super) fn renew(&mut self, now: Moment) -> bool {
        if self.renewals >= MOST_RENEWALS {
            return false;
        }
        self.renewals += 1;
        self.stage = Stage::Requested;
        self.give_time(now);
        true
    }

    /// Somebody else wants it too; whether they are named.
    pub(super) fn join(&mut self, cause: Cause) -> bool {
        let named = self.causes.len() < MOST_CAUSES;
        if named {
            self.causes.push(cause);
        }
        named
    }

    /// Whether what the device has said since, `heard` just now among it, shows that it has obeyed. What it may have said
    /// before shows nothing, however late it comes.
    pub(super) fn hear(&mut self, (heard, said): (SlotSet, Said), slots: &[f64], kind: &Kind) -> bool {
        let given = self.requested.wall.0.saturating_sub(CLOCK_NOISE_MS);
        match said {
            Said::At(at) if at.0.saturating_add(self.lag_ms) < given => return false,
            Said::Before => return false,
            Said::At(_) | Said::Now => {}
        }
        self.heard = self.heard.union(heard);
        let known = only(self.heard, slots);
        Proof::of(&self.task, kind).is_some_and(|proof| proof.judge(&known, slots) == Truth::True)
    }

    /// The event that `step` happened to it.
    pub(super) fn event(
        &self,
        id: Id,
        device: &Arc<super::super::device::DeviceKey>,
        (step, notify): (CommandStep, bool),
        now: Moment,
    ) -> CommandEvent {
        CommandEvent {
            id,
            at: now.wall,
            step,
            notify,
            order: OrderView {
                id: self.id,
                device: Arc::clone(device),
                command: Arc::clone(&self.task.command),
                stage: self.stage,
                attempt: self.attempt,
                attempts: self.task.attempts,
                requested_at: self.requested.wall,
                expires_at: self.expires_at,
                took: now.ticks.since(self.requested.ticks),
                causes: self.causes.clone(),
            },
        }
    }
}

/// When a device said what is heard now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    /// By its own clock, which is believed.
    At(Timestamp),
    /// Just now, as far as known.
    Now,
    /// Some time before: what has come again came from a connection that is gone, and the queue of the broker with it.
    Before,
}

impl Said {
    pub(super) const fn of(reading: &Reading<'_>) -> Said {
        match (believed(reading), reading.arrival) {
            (Some(at), _) => Said::At(at),
            (None, Arrival::First) => Said::Now,
            (None, Arrival::Again | Arrival::Kept) => Said::Before,
        }
    }
}

/// `slots` with those of `heard` alone known.
pub(super) fn only(heard: SlotSet, slots: &[f64]) -> [f64; MAX_SLOTS] {
    let mut known = [f64::NAN; MAX_SLOTS];
    for ((slot, place), value) in (0_u8..).zip(&mut known).zip(slots) {
        if heard.contains(PointIndex(slot)) {
            *place = *value;
        }
    }
    known
}

/// What shows that a task is done. Made where it is asked: few devices have an order, and for seconds.
pub(super) struct Proof {
    verify: Program,
    unless: Option<Program>,
}

impl Proof {
    /// `None`: the kind has changed so that the condition does not fit it any more, and nothing can prove it.
    pub(super) fn of(task: &Task, kind: &Kind) -> Option<Proof> {
        let unless = task.unless.as_deref().map(|unless| compile_proof(unless, kind));
        Some(Proof {
            verify: compile_proof(&task.verify, kind).ok()?,
            unless: unless.transpose().ok()?,
        })
    }

    /// By what was `heard` in time; what is known at `present` can refute it.
    pub(super) fn judge(&self, heard: &[f64], present: &[f64]) -> Truth {
        let refuted = self.unless.as_ref().map(|unless| unless.evaluate(present));
        if refuted == Some(Truth::True) {
            return Truth::False;
        }
        self.verify.evaluate(heard)
    }

    /// Whether one of `heard` has a say in it.
    pub(super) fn asks(&self, heard: SlotSet) -> bool {
        let programs = std::iter::once(&self.verify).chain(&self.unless);
        programs
            .fold(SlotSet::EMPTY, |all, program| all.union(program.depends()))
            .intersects(heard)
    }
}

impl Demand {
    /// Why it stands.
    pub(super) fn cause(&self) -> Option<&AlarmView> {
        self.causes.first()
    }
}

impl Linkage {
    /// Whether there is nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        self.order.is_none()
            && self.failed.is_none()
            && self.met.is_empty()
            && self.demands.is_empty()
            && self.unconfirmed.is_empty()
    }

    /// Whether people are told that `step` happened to `order`: of its end, and of a demand's failure once.
    pub(super) fn tells(&mut self, order: &Order, step: &CommandStep) -> bool {
        let met = self.met.iter_mut().find(|met| met.command == order.task.command);
        match step {
            CommandStep::Verified => {
                if let Some(met) = met {
                    met.told = false;
                }
                true
            }
            CommandStep::Failed(_) => met.is_none_or(|met| !std::mem::replace(&mut met.told, true)),
            CommandStep::Requested
            | CommandStep::Joined
            | CommandStep::Sent
            | CommandStep::Repeated
            | CommandStep::Acknowledged
            | CommandStep::Declined
            | CommandStep::Superseded => false,
        }
    }

    /// How far the demand for `command` is met, noted from now on.
    pub(super) fn met(&mut self, command: &Arc<str>) -> &mut Met {
        let place = self.met.iter().position(|met| met.command == *command);
        let place = place.unwrap_or_else(|| {
            self.met.push(Met {
                command: Arc::clone(command),
                state: MetState::Waiting,
                told: false,
            });
            self.met.len() - 1
        });
        #[expect(clippy::indexing_slicing, reason = "found, or just pushed")]
        &mut self.met[place]
    }

    /// `alarm` demands `task`; whether that is new.
    pub(super) fn demand(&mut self, to: Option<&Arc<str>>, task: &Task, alarm: &AlarmView) -> bool {
        let same = |demand: &&mut Demand| demand.to.as_ref() == to && demand.task.command == task.command;
        if let Some(known) = self.demands.iter_mut().find(same) {
            // Its rule may have been changed meanwhile; of several alarms the first says how it is to be done.
            if known.alarms.first() == Some(&alarm.id) {
                known.task = task.clone();
            }
            if known.alarms.contains(&alarm.id) {
                return false;
            }
            known.alarms.push(alarm.id);
            if known.causes.len() < MOST_CAUSES {
                known.causes.push(alarm.clone());
            }
            return true;
        }
        self.demands.push(Demand {
            to: to.cloned(),
            task: task.clone(),
            alarms: vec![alarm.id],
            causes: vec![alarm.clone()],
        });
        true
    }

    /// `alarm` demands nothing any more.
    pub(super) fn release(&mut self, alarm: Id) {
        self.keep(|known| known != alarm);
        self.unconfirmed.retain(|waiting| waiting.alarm.id != alarm);
    }

    /// Only those alarms demand anything from now on that `still` do.
    pub(super) fn keep(&mut self, still: impl Fn(Id) -> bool) {
        for demand in &mut self.demands {
            demand.alarms.retain(|alarm| still(*alarm));
            if demand.causes.iter().any(|cause| still(cause.id)) {
                demand.causes.retain(|cause| still(cause.id));
            }
        }
        self.demands.retain(|demand| !demand.alarms.is_empty());
    }
}
