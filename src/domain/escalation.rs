//! Who has been told of each alarm that stands, and when the next are told as long as nobody acknowledges. Decides when
//! a telling is due; the engine says whether it still holds, and `directions` who stands in its level.
//!
//! ```text
//! announced → level 1 ──wait──▶ again … ──wait──▶ level 2 … ──▶ the last, again and again
//!                └─────────── acknowledged, masked: no more; over: forgotten ───────────┘
//! ```

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use super::alarm::{Ack, AlarmEvent, AlarmState, AlarmStep, AlarmView, Mask, Telling};
use super::chain::Wait;
use super::directions::{Directions, Owed};
use super::id::Id;
use super::interlock::CommandEvent;
use super::journal::EscalateInput;
use super::registry::Registry;
use super::route::Subject;
use super::time::{Millis, Moment, Ticks, Timestamp};

/// No wait of a chain is longer: a jump of the wall clock across a restart holds nothing for ever.
const LONGEST_WAIT: Millis = Millis(7 * 24 * 3_600_000);

/// The chains that run for the alarms that stand.
#[derive(Debug, Default)]
pub struct Escalations {
    runs: HashMap<Id, Vec<Run>>,
    due: BTreeSet<(Ticks, Id)>,
    /// Where each stands in `due`.
    armed: HashMap<Id, Ticks>,
    /// Whose runs are not stored as they are now.
    changed: BTreeSet<Id>,
}

/// How far one chain has come for one alarm. Its serialised form is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Run {
    chain: String,
    /// The next telling; `None`: somebody has acknowledged, something masks it, or the chain has no more.
    next: Option<Next>,
    /// The level told last, from 1; 0: none.
    #[serde(default)]
    level: u8,
    /// When the first telling came, from which the others are counted.
    #[serde(default)]
    began: Option<Timestamp>,
    /// Whoever has been told, and so is told how it goes on.
    told: Vec<Owed>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Next {
    level: u8,
    repeat: u32,
    /// For a restart: by the wall clock.
    at: Timestamp,
    #[serde(skip, default = "unset")]
    due: Ticks,
}

impl Next {
    fn after(wait: Wait, now: Moment) -> Next {
        Next {
            level: wait.level,
            repeat: wait.repeat,
            at: Timestamp(now.wall.0.saturating_add_unsigned(wait.after.0)),
            due: now.ticks.after(wait.after),
        }
    }
}

const fn unset() -> Ticks {
    Ticks(0)
}

/// What is to be stored of an alarm's chains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EscalationChange {
    /// The alarm.
    pub alarm: Id,
    /// Its chains as JSON; `None`: none runs any more.
    pub state: Option<String>,
}

/// Where alarms lead: who is told, and the names of venues that decide it.
#[derive(Debug, Clone, Copy)]
pub struct Way<'a> {
    /// Routes, chains, rosters, officers.
    pub directions: &'a Directions,
    /// Kinds and districts of venues.
    pub registry: &'a Registry,
}

impl Escalations {
    /// Goes on from what was stored. What fell due meanwhile is due at once.
    ///
    /// # Errors
    /// When a state is not what this version stores; the others are taken in all the same, and that alarm begins anew.
    pub fn restore(&mut self, alarm: Id, state: &str, now: Moment) -> Result<(), serde_json::Error> {
        let mut runs: Vec<Run> = serde_json::from_str(state)?;
        for next in runs.iter_mut().filter_map(|run| run.next.as_mut()) {
            let wait = next.at.since(now.wall).max(0).unsigned_abs();
            next.due = now.ticks.after(Millis(wait.min(LONGEST_WAIT.0)));
        }
        self.runs.insert(alarm, runs);
        self.arm(alarm);
        Ok(())
    }

    /// When the next telling is due.
    pub fn next_deadline(&self) -> Option<Ticks> {
        self.due.first().map(|(due, _)| *due)
    }

    /// A telling that is due. Its event, if the alarm still waits for somebody, comes back to [`Escalations::follow`]; if
    /// there is none, the chain has ended.
    pub fn take_due(&mut self, now: Ticks) -> Option<EscalateInput> {
        let (_, alarm) = *self.due.first().filter(|(due, _)| *due <= now)?;
        let first = |run: &&mut Run| run.next.is_some_and(|next| next.due <= now);
        let run = self
            .runs
            .get_mut(&alarm)
            .and_then(|runs| runs.iter_mut().find(first));
        let telling = run.and_then(|run| {
            let next = run.next.take()?;
            Some(Telling {
                chain: run.chain.clone(),
                level: next.level,
                repeat: next.repeat,
            })
        });
        self.arm(alarm);
        self.changed.insert(alarm);
        telling.map(|telling| EscalateInput { alarm, telling })
    }

    /// Whom an event of an alarm is owed to. Begins its chains, goes on with them, or ends them.
    pub fn follow(&mut self, event: &AlarmEvent, way: Way<'_>, now: Moment) -> Vec<Owed> {
        let (alarm, directions) = (&event.alarm, way.directions);
        let subject = Subject::of_alarm(alarm, &event.step, way.registry);
        let mut owed = Vec::new();
        if event.notify {
            owed = directions.direct(&subject, event.at);
            if let Some(telling) = event.step.telling() {
                let told = directions.level(&telling.chain, telling.level, &subject, event.at);
                self.told(alarm.id, (telling, directions), &told, now);
                owed.extend(told);
            } else {
                for run in self.runs.get(&alarm.id).into_iter().flatten() {
                    owed.extend(directions.again(&run.told, &subject, event.at));
                }
                if announces(&event.step) && waits(alarm) {
                    owed.extend(self.begin(alarm.id, (&subject, directions), now));
                }
            }
        }
        if !waits(alarm) {
            self.end(alarm);
        }
        directions.merged(owed)
    }

    /// Whom something that happened to an order is owed to: whoever is told of the alarm that wants it, or would be.
    pub fn follow_order(&self, event: &CommandEvent, way: Way<'_>) -> Vec<Owed> {
        if !event.notify {
            return Vec::new();
        }
        let subject = Subject::of_command(event, way.registry);
        let Some(runs) = event.order.alarm().and_then(|alarm| self.runs.get(&alarm.id)) else {
            return way.directions.merged(way.directions.told(&subject, event.at));
        };
        let mut owed = way.directions.direct(&subject, event.at);
        for run in runs {
            owed.extend(way.directions.again(&run.told, &subject, event.at));
        }
        way.directions.merged(owed)
    }

    /// Other directions are in force, or the gateway has started: chains that are gone end, those that are other ones go on where
    /// they stand by now, and those that `standing` alarms lack now begin at once.
    pub fn renew(&mut self, standing: impl Iterator<Item = AlarmView>, way: Way<'_>, now: Moment) {
        let gone = |run: &Run| run.next.is_some() && way.directions.chain(&run.chain).is_none();
        let ending: Vec<Id> = self
            .runs
            .iter()
            .filter(|(_, runs)| runs.iter().any(gone))
            .map(|(alarm, _)| *alarm)
            .collect();
        for alarm in ending {
            let runs = self.runs.get_mut(&alarm).into_iter().flatten();
            for run in runs.filter(|run| gone(run)) {
                run.next = None;
            }
            self.arm(alarm);
            self.changed.insert(alarm);
        }
        for alarm in standing.filter(waits) {
            self.replace(&alarm, way.directions, now);
            let subject = Subject::of_alarm(&alarm, &AlarmStep::Raised, way.registry);
            for chain in way.directions.chains(&subject, now.wall) {
                let runs = self.runs.entry(alarm.id).or_default();
                if runs.iter().any(|run| run.chain == chain) {
                    continue;
                }
                runs.push(Run {
                    chain: chain.to_owned(),
                    next: Some(Next {
                        level: 1,
                        repeat: 0,
                        at: now.wall,
                        due: now.ticks,
                    }),
                    level: 0,
                    began: None,
                    told: Vec::new(),
                });
                self.changed.insert(alarm.id);
            }
            self.arm(alarm.id);
        }
    }

    /// The chains of `alarm`, which waits for somebody, go on in `directions`: where the next telling is in its chain no more, or
    /// where there was none and now is.
    fn replace(&mut self, alarm: &AlarmView, directions: &Directions, now: Moment) {
        for run in self.runs.get_mut(&alarm.id).into_iter().flatten() {
            let Some(chain) = directions.chain(&run.chain) else {
                continue;
            };
            let began = run.began.unwrap_or(alarm.raised_at);
            let elapsed = Millis(now.wall.since(began).max(0).unsigned_abs());
            let count = u8::try_from(chain.levels.len()).unwrap_or(u8::MAX);
            let last = (count > 0).then_some(Wait {
                level: count,
                repeat: 0,
                after: Millis::ZERO,
            });
            let wait = match run.next {
                Some(next) if chain.due(next.level, next.repeat).is_some() => continue,
                // The levels are other ones: whether those of today have been told is not known.
                Some(next) if next.level > count => chain.resume(0, elapsed),
                Some(_) => chain.resume(run.level, elapsed).or(last),
                None => chain.resume(run.level, elapsed),
            };
            if let Some(wait) = wait {
                run.next = Some(Next::after(wait, now));
                self.changed.insert(alarm.id);
            }
        }
    }

    /// What is to be stored, in the transaction of the events that caused it.
    pub fn changes(&mut self) -> Result<Vec<EscalationChange>, serde_json::Error> {
        let changed = std::mem::take(&mut self.changed);
        let change = |alarm| {
            let runs = self.runs.get(&alarm).filter(|runs| !runs.is_empty());
            let state = runs.map(serde_json::to_string).transpose()?;
            Ok(EscalationChange { alarm, state })
        };
        changed.into_iter().map(change).collect()
    }

    /// Begins the chains that do not run; what their first levels are owed.
    fn begin(
        &mut self,
        alarm: Id,
        (subject, directions): (&Subject<'_>, &Directions),
        now: Moment,
    ) -> Vec<Owed> {
        let mut owed = Vec::new();
        for chain in directions.chains(subject, now.wall) {
            let runs = self.runs.entry(alarm).or_default();
            if runs.iter().any(|run| run.chain == chain && run.next.is_some()) {
                continue;
            }
            if !runs.iter().any(|run| run.chain == chain) {
                runs.push(Run {
                    chain: chain.to_owned(),
                    next: None,
                    level: 0,
                    began: None,
                    told: Vec::new(),
                });
            }
            let first = Telling {
                chain: chain.to_owned(),
                level: 1,
                repeat: 0,
            };
            let told = directions.level(chain, 1, subject, now.wall);
            self.told(alarm, (&first, directions), &told, now);
            owed.extend(told);
        }
        owed
    }

    /// `telling` has come for `alarm`, and these are told by it: when the next one is due.
    fn told(
        &mut self,
        alarm: Id,
        (telling, directions): (&Telling, &Directions),
        told: &[Owed],
        now: Moment,
    ) {
        let runs = self.runs.get_mut(&alarm);
        let Some(run) = runs.and_then(|runs| runs.iter_mut().find(|run| run.chain == telling.chain)) else {
            return;
        };
        let wait = directions
            .chain(&telling.chain)
            .and_then(|chain| chain.wait(telling.level, telling.repeat));
        run.next = wait.map(|wait| Next::after(wait, now));
        run.level = telling.level;
        if (telling.level, telling.repeat) == (1, 0) {
            run.began = Some(now.wall);
        }
        // Whether later news of it wait is asked anew.
        let told = told.iter().map(|owed| Owed {
            not_before: None,
            ..owed.clone()
        });
        let known = std::mem::take(&mut run.told);
        run.told = directions.merged(known.into_iter().chain(told).collect());
        self.arm(alarm);
        self.changed.insert(alarm);
    }

    /// Nobody is told any more: somebody has acknowledged, something masks it, or it is over, and then it is forgotten.
    fn end(&mut self, alarm: &AlarmView) {
        let Some(runs) = self.runs.get_mut(&alarm.id) else {
            return;
        };
        let ran = runs.iter_mut().filter_map(|run| run.next.take()).count() > 0;
        let over = alarm.state == AlarmState::Cleared;
        if over {
            self.runs.remove(&alarm.id);
        }
        self.arm(alarm.id);
        if ran || over {
            self.changed.insert(alarm.id);
        }
    }

    /// Enters the earliest telling of `alarm` among what is due.
    fn arm(&mut self, alarm: Id) {
        if let Some(due) = self.armed.remove(&alarm) {
            self.due.remove(&(due, alarm));
        }
        let runs = self.runs.get(&alarm).into_iter().flatten();
        if let Some(next) = runs.filter_map(|run| Some(run.next?.due)).min() {
            self.due.insert((next, alarm));
            self.armed.insert(alarm, next);
        }
    }
}

/// Whether somebody must take on `alarm`, and nothing masks it.
fn waits(alarm: &AlarmView) -> bool {
    let stands = match alarm.state {
        AlarmState::ActiveUnacknowledged | AlarmState::RecoveredUnacknowledged => true,
        AlarmState::ActiveAcknowledged | AlarmState::RecoveredAcknowledged | AlarmState::Cleared => false,
    };
    stands && alarm.ack == Ack::Unacknowledged && alarm.mask == Mask::None
}

/// Whether `step` tells people of an alarm that they have not been told of, or not lately.
const fn announces(step: &AlarmStep) -> bool {
    matches!(
        step,
        AlarmStep::Raised | AlarmStep::Chattering | AlarmStep::Announced
    )
}
