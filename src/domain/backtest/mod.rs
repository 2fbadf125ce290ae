//! A rule set over recorded history: journal entries go through a fresh engine, at their own instants, under the
//! kinds and rules to try. Counts what they would have raised. Reads no store and no clock.

mod translate;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use serde::Serialize;

use self::translate::{Translation, Translations};
use super::alarm::{AlarmStep, Operator};
use super::definitions::{Definitions, DefinitionsHash};
use super::device::{DeviceIndex, DeviceKey};
use super::engine::{Effects, Engine, SavedDevices};
use super::id::Id;
use super::journal::{DefinitionsInput, Entry, Input, JournalError, OperatorAction, OperatorInput, entries};
use super::kind::{GATEWAY_KIND, Kind, PointIndex};
use super::reading::Reading;
use super::time::{Moment, Ticks, Timestamp};

/// What a rule set would have raised, and on what.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tested {
    /// How often each rule would have raised an alarm; a rule that would not have is not in it.
    pub raised: BTreeMap<String, u64>,
    /// How many readings there were.
    pub readings: u64,
    /// How many devices are known by the end.
    pub devices: u64,
    /// The first recorded instant; `None` when nothing was played.
    pub begins: Option<Timestamp>,
    /// The first and the last instant that count; `None` when there was nothing.
    pub period: Option<(Timestamp, Timestamp)>,
    /// What could not be used, or only under an assumption.
    pub gaps: Gaps,
}

/// What of the history could not be used, or only under an assumption.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Gaps {
    /// Values of points that the kinds to try do not have, or have in another unit, type or range.
    pub points: u64,
    /// Readings of devices whose kind is not among the kinds to try.
    pub kinds: u64,
    /// Readings of devices or kinds of which no record is left.
    pub unrecorded: u64,
    /// Readings taken by the kinds of the newest checkpoint, though a change of definitions followed them.
    pub assumed: u64,
    /// Inputs missing between the first and the last.
    pub inputs: u64,
}

/// What is known before the first journal row is read.
#[derive(Debug, Clone, Default)]
pub struct Recorded {
    /// The devices of the newest checkpoint. It is later than the first rows, and serves them all the same: a device
    /// keeps its index for ever.
    pub devices: SavedDevices,
    /// The kinds in force at that checkpoint.
    pub kinds: Vec<Kind>,
}

/// A rule set on its way through recorded history.
#[derive(Debug)]
pub struct Backtest {
    engine: Engine,
    candidate: Arc<Definitions>,
    since: Timestamp,
    /// Up to this input the kinds in force are the checkpoint's, unless a change of definitions turns up on the way.
    checkpoint: u64,
    kinds_told: bool,
    translations: Translations,
    devices: Vec<Seen>,
    known: HashSet<Arc<DeviceKey>>,
    /// The input that is due, and the moment of the last one; `None` before the first.
    at: Option<(u64, Moment)>,
    effects: Effects,
    points: Vec<(PointIndex, f64)>,
    tested: Tested,
}

/// A recorded device.
#[derive(Debug)]
struct Seen {
    key: Arc<DeviceKey>,
    /// The place of its kind among the recorded ones.
    kind: Option<usize>,
    /// Its index in the fresh engine, once it has spoken.
    index: Option<DeviceIndex>,
}

impl Backtest {
    /// A backtest of `candidate` that counts what happens from `since` on. What comes before is played too: it fills
    /// windows and delays, and what stands by then is not raised anew.
    pub fn new(candidate: &Arc<Definitions>, since: Timestamp, recorded: Recorded) -> Backtest {
        let translations = Translations::new(&recorded.kinds, candidate);
        let keys = recorded.devices.keys;
        Backtest {
            engine: Engine::new("backtest"),
            candidate: Arc::clone(candidate),
            since,
            checkpoint: recorded.devices.next_input,
            kinds_told: false,
            known: keys.iter().cloned().collect(),
            devices: keys
                .into_iter()
                .map(|key| Seen::new(key, &translations))
                .collect(),
            translations,
            at: None,
            effects: Effects::default(),
            points: Vec::new(),
            tested: Tested::default(),
        }
    }

    /// Plays one journal row. `kinds` finds the kinds of the definitions with a given hash.
    ///
    /// # Errors
    /// When the row is damaged, or the definitions that it names cannot be had.
    pub fn play(
        &mut self,
        first_input: u64,
        bytes: &[u8],
        kinds: impl Fn(&DefinitionsHash) -> Result<Vec<Kind>, String>,
    ) -> Result<(), JournalError> {
        for (input, entry) in (first_input..).zip(entries(first_input, bytes)) {
            let (now, entry) = entry?;
            self.pass(input, now);
            match entry {
                Entry::Device(key) => self.meet(key, now),
                Entry::Reading {
                    device,
                    device_at,
                    seq,
                    kind,
                    arrival,
                    points,
                } => {
                    let reading = Reading {
                        device,
                        device_at,
                        seq,
                        kind,
                        arrival,
                        points: &points,
                    };
                    self.read(&reading, now);
                }
                // The candidate's deadlines come at their own instants, and its alarms are not those of the operators.
                Entry::Timeout
                | Entry::Operator(_)
                | Entry::Service(_)
                | Entry::Commanded(_)
                | Entry::Command(_)
                | Entry::Addressed { .. }
                | Entry::Escalate(_)
                | Entry::Registered(_) => {}
                Entry::Definitions { hash } => {
                    self.redefine(input, &kinds(&hash).map_err(JournalError::Definitions)?);
                }
                Entry::Listening(listening) => self.hand(&Input::Listening(listening), now),
                Entry::PartOf { device, parent } => self.part(device, &parent, now),
                Entry::Own { point, value } => self.hand(&Input::Own { point, value }, now),
            }
        }
        Ok(())
    }

    /// What came of it.
    pub fn finish(self) -> Tested {
        Tested {
            devices: u64::try_from(self.engine.device_count()).unwrap_or(u64::MAX),
            ..self.tested
        }
    }

    /// Lets time pass up to `now`, the moment of `input`.
    fn pass(&mut self, input: u64, now: Moment) {
        match self.at {
            None => self.begin(input, now),
            Some((due, last)) => {
                self.tested.gaps.inputs += input.saturating_sub(due);
                self.wait_until(now.ticks, last);
            }
        }
        self.at = Some((input.saturating_add(1), now));
        if self.counts(now) {
            let (from, to) = self.tested.period.unwrap_or((now.wall, now.wall));
            self.tested.period = Some((from.min(now.wall), to.max(now.wall)));
        }
    }

    /// Puts the candidate in force. History that does not begin at the beginning is taken to begin while the devices
    /// are listened to, as they nearly always are.
    fn begin(&mut self, input: u64, now: Moment) {
        self.tested.begins = Some(now.wall);
        let definitions = Arc::clone(&self.candidate);
        let candidate = DefinitionsInput {
            hash: DefinitionsHash::default(),
            definitions: &definitions,
        };
        self.hand(&Input::Definitions(candidate), now);
        // It sends no message by which it would be taken in.
        let mut own = self
            .devices
            .iter()
            .rev()
            .filter(|seen| seen.key.kind == GATEWAY_KIND);
        if let Some(key) = own.next().map(|seen| Arc::clone(&seen.key)) {
            self.hand(&Input::Device(&key), now);
        }
        if input > 0 {
            self.hand(&Input::Listening(true), now);
        }
    }

    /// Lets every deadline up to and including `until` come, each at its own instant.
    fn wait_until(&mut self, until: Ticks, last: Moment) {
        while let Some(deadline) = self.engine.next_deadline().filter(|at| *at <= until) {
            let passed = i64::try_from(deadline.since(last.ticks).0).unwrap_or(i64::MAX);
            let now = Moment {
                wall: Timestamp(last.wall.0.saturating_add(passed)),
                ticks: deadline.max(last.ticks),
            };
            self.hand(&Input::Timeout, now);
        }
    }

    fn redefine(&mut self, input: u64, kinds: &[Kind]) {
        if !self.kinds_told && input < self.checkpoint {
            self.tested.gaps.assumed = self.tested.readings;
        }
        self.kinds_told = true;
        self.translations = Translations::new(kinds, &self.candidate);
        for seen in &mut self.devices {
            seen.kind = self.translations.place(&seen.key.kind);
        }
    }

    /// A device is seen for the first time. Those of the checkpoint have their index already.
    fn meet(&mut self, key: DeviceKey, now: Moment) {
        let key = Arc::new(key);
        self.hand(&Input::Device(&key), now);
        if self.known.insert(Arc::clone(&key)) {
            self.devices.push(Seen::new(key, &self.translations));
        }
    }

    fn read(&mut self, reading: &Reading<'_>, now: Moment) {
        let counts = u64::from(self.counts(now));
        self.tested.readings += counts;
        let gaps = &mut self.tested.gaps;
        let Some(seen) = self.devices.get(reading.device.slot()) else {
            gaps.unrecorded += counts;
            return;
        };
        let (key, known) = (Arc::clone(&seen.key), seen.index);
        let Some(translation) = seen.kind.and_then(|kind| self.translations.get(kind)) else {
            gaps.unrecorded += counts;
            return;
        };
        if !translation.is_known() {
            gaps.kinds += counts;
            return;
        }
        let mut points = std::mem::take(&mut self.points);
        points.clear();
        let translated = |(point, value): &(PointIndex, f64)| translation.translate(*point, *value);
        points.extend(reading.points.iter().filter_map(translated));
        gaps.points += counts * (reading.points.len() - points.len()) as u64;
        if let Some(device) = known.or_else(|| self.admit(reading.device, &key, now)) {
            let points = points.as_slice();
            self.hand(
                &Input::Reading(Reading {
                    device,
                    points,
                    ..*reading
                }),
                now,
            );
        }
        self.points = points;
    }

    /// Takes a recorded device into the fresh engine, as soon as it speaks: its silence counts from then.
    fn admit(&mut self, recorded: DeviceIndex, key: &DeviceKey, now: Moment) -> Option<DeviceIndex> {
        self.hand(&Input::Device(key), now);
        let index = self.engine.find(key);
        self.devices.get_mut(recorded.slot())?.index = index;
        index
    }

    fn counts(&self, now: Moment) -> bool {
        now.wall >= self.since
    }

    /// A device speaks through another.
    fn part(&mut self, device: DeviceIndex, parent: &DeviceKey, now: Moment) {
        let Some(seen) = self.devices.get(device.slot()) else {
            return;
        };
        let (key, known) = (Arc::clone(&seen.key), seen.index);
        let translation = seen.kind.and_then(|kind| self.translations.get(kind));
        if translation.is_some_and(Translation::is_known)
            && let Some(device) = known.or_else(|| self.admit(device, &key, now))
        {
            self.hand(&Input::PartOf { device, parent }, now);
        }
    }

    fn hand(&mut self, input: &Input<'_>, now: Moment) {
        let outcome = self.engine.handle(input, now, &mut self.effects);
        debug_assert_eq!(outcome, Ok(()), "only an operator can be refused");
        self.effects.samples.clear();
        if !self.effects.alarms.is_empty() {
            self.count(now);
        }
    }

    /// Counts what was raised, and resets what has recovered: each occurrence is one of its own.
    fn count(&mut self, now: Moment) {
        let counts = self.counts(now);
        for event in std::mem::take(&mut self.effects.alarms) {
            match event.step {
                AlarmStep::Raised | AlarmStep::Chattering if counts => {
                    *self.tested.raised.entry(event.alarm.rule.id.clone()).or_default() += 1;
                }
                AlarmStep::Recovered if event.alarm.rule.latch => self.reset(event.alarm.id, now),
                AlarmStep::Raised
                | AlarmStep::Chattering
                | AlarmStep::Announced
                | AlarmStep::Suppressed
                | AlarmStep::Limited
                | AlarmStep::Shelved { .. }
                | AlarmStep::Unshelved(_)
                | AlarmStep::OutOfService { .. }
                | AlarmStep::InService(_)
                | AlarmStep::Acknowledged(_)
                | AlarmStep::Recovered
                | AlarmStep::Cleared(_)
                | AlarmStep::Verified { .. }
                | AlarmStep::Closed(_)
                | AlarmStep::Unclosed
                | AlarmStep::Escalated(_) => {}
            }
        }
    }

    fn reset(&mut self, alarm: Id, now: Moment) {
        let input = OperatorInput {
            alarm,
            action: OperatorAction::Reset,
            operator: Operator {
                by: "backtest".to_owned(),
                note: None,
            },
        };
        // Refused where a person would be too (the device is broken): then the next occurrence raises it again.
        let _answer = self
            .engine
            .handle(&Input::Operator(&input), now, &mut self.effects);
        if !self.effects.alarms.is_empty() {
            self.count(now);
        }
    }
}

impl Seen {
    fn new(key: Arc<DeviceKey>, translations: &Translations) -> Seen {
        Seen {
            kind: translations.place(&key.kind),
            key,
            index: None,
        }
    }
}
