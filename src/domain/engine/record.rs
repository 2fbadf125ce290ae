//! What the history keeps of what the devices say, by exception: a value that left the deadband around the last one
//! kept, or when that is too long ago. Decides no alarm, and knows no store.

use serde::{Deserialize, Serialize};

use super::super::definitions::{Definitions, KindIndex, KindRules};
use super::super::history::{HistoryPoint, PointNumber, Sample};
use super::super::kind::{Keep, ONLINE, PointDef, PointIndex};
use super::super::reading::{Reading, ReadingKind};
use super::super::time::{Ticks, Timestamp};
use super::derive::Turn;
use super::device::{Device, believed};

/// The value of a point that was kept last, and when.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Kept {
    /// NaN: none was.
    value: f64,
    at: Ticks,
}

impl Kept {
    /// A look at it, for [`Device::glance`].
    #[inline]
    pub(super) const fn glance(&self) -> u64 {
        self.at.0
    }
}

impl Default for Kept {
    fn default() -> Kept {
        Kept {
            value: f64::NAN,
            at: Ticks::default(),
        }
    }
}

/// How a point is kept, and under which number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// `None`: all numbers are given.
    number: Option<PointNumber>,
    keep: Keep,
}

impl Plan {
    /// Whether `value` is kept beside what was kept last.
    #[inline]
    fn wants(&self, value: f64, last: Kept, now: Ticks) -> bool {
        let near = (value - last.value).abs() <= self.keep.deadband;
        !near || now.since(last.at) >= self.keep.max_interval
    }
}

/// The numbers of all points there ever were, and how those of the definitions in force are kept.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    points: Vec<HistoryPoint>,
    /// One row for each kind in force, in their order.
    plans: Vec<Box<[Plan]>>,
}

impl Recorder {
    /// One that goes on from the numbers in `points`, under `definitions`.
    pub(super) fn resuming(points: Vec<HistoryPoint>, definitions: &Definitions) -> Recorder {
        let mut recorder = Recorder {
            points,
            plans: Vec::new(),
        };
        recorder.plan(definitions, &mut Vec::new());
        recorder
    }

    /// All numbers given so far.
    pub(super) fn points(&self) -> &[HistoryPoint] {
        &self.points
    }

    /// Keeps by `definitions` from now on. Points that have no number yet get theirs, and are told of in `fresh`.
    pub(super) fn plan(&mut self, definitions: &Definitions, fresh: &mut Vec<HistoryPoint>) {
        let known = self.points.len();
        let points = &mut self.points;
        self.plans = definitions
            .all_kinds()
            .map(|kind| {
                let plan = |point: &PointDef| Plan {
                    number: number(points, &kind.kind.id, point),
                    keep: point.keep,
                };
                kind.kind.points.iter().map(plan).collect()
            })
            .collect();
        fresh.extend(self.points.iter().skip(known).cloned());
    }

    /// How the points of a kind are kept.
    #[inline]
    pub(super) fn plans(&self, kind: Option<KindIndex>) -> &[Plan] {
        let kind = kind.and_then(|kind| self.plans.get(usize::from(kind.0)));
        kind.map_or(&[], |plans| plans)
    }
}

/// The number of a kind's point; a new one when it has none.
fn number(points: &mut Vec<HistoryPoint>, kind: &str, point: &PointDef) -> Option<PointNumber> {
    let same =
        |known: &&HistoryPoint| known.kind == kind && known.point == point.id && known.value == point.value;
    if let Some(known) = points.iter().find(same) {
        return Some(known.number);
    }
    let number = PointNumber(u16::try_from(points.len()).ok()?);
    points.push(HistoryPoint {
        number,
        kind: kind.to_owned(),
        point: point.id.clone(),
        value: point.value.clone(),
    });
    Some(number)
}

/// Nothing kept yet of any point of a kind.
pub(super) fn nothing_kept(rules: &KindRules) -> Box<[Kept]> {
    rules.kind.points.iter().map(|_| Kept::default()).collect()
}

/// What was kept last of each point, under other definitions: by name, as long as the values mean the same.
pub(super) fn carried(kept: &[Kept], before: &KindRules, after: &KindRules) -> Box<[Kept]> {
    let points = after.kind.points.iter();
    points
        .map(|point| {
            let (index, old) = before.kind.point(&point.id)?;
            let kept = kept.get(usize::from(index.0)).copied();
            kept.filter(|_| old.value == point.value)
        })
        .map(Option::unwrap_or_default)
        .collect()
}

impl Device {
    /// Keeps of a reading that is news what is worth it, and that the device is present.
    #[inline]
    pub(super) fn keep(
        &mut self,
        reading: &Reading<'_>,
        turn: &Turn<'_>,
        plans: &[Plan],
        samples: &mut Vec<Sample>,
    ) {
        let at = believed(reading).map_or(turn.now.wall, |at| at.min(turn.now.wall));
        for (point, value) in reading.points {
            self.keep_value((*point, *value), turn, (at, plans), samples);
        }
        // It may be known only by the device having spoken.
        self.keep_slot(ONLINE, turn, (at, plans), samples);
    }

    /// Keeps the present value of `point` if that is worth it.
    #[inline]
    pub(super) fn keep_slot(
        &mut self,
        point: PointIndex,
        turn: &Turn<'_>,
        (at, plans): (Timestamp, &[Plan]),
        samples: &mut Vec<Sample>,
    ) {
        if let Some(value) = self.slots.get(usize::from(point.0)).copied()
            && !value.is_nan()
        {
            self.keep_value((point, value), turn, (at, plans), samples);
        }
    }

    #[inline]
    fn keep_value(
        &mut self,
        (point, value): (PointIndex, f64),
        turn: &Turn<'_>,
        (at, plans): (Timestamp, &[Plan]),
        samples: &mut Vec<Sample>,
    ) {
        let place = usize::from(point.0);
        let (Some(kept), Some(plan)) = (self.kept.get_mut(place), plans.get(place)) else {
            return;
        };
        if !plan.wants(value, *kept, turn.now.ticks) {
            return;
        }
        *kept = Kept {
            value,
            at: turn.now.ticks,
        };
        samples.extend(plan.number.map(|number| Sample {
            device: turn.device,
            point: number,
            at,
            value,
        }));
    }

    /// Keeps all of a sample that is no news, at the device's own time. It may lie behind the last value kept, so the
    /// next news of its points is kept whatever it is: the past must not hide what is so now. Of a self-test, and of a
    /// sample of unknown age, nothing is kept.
    pub(super) fn keep_late(
        &mut self,
        reading: &Reading<'_>,
        turn: &Turn<'_>,
        plans: &[Plan],
        samples: &mut Vec<Sample>,
    ) {
        let at = match reading.kind {
            ReadingKind::Test => None,
            ReadingKind::Live | ReadingKind::History => believed(reading),
        };
        let Some(at) = at.map(|at| at.min(turn.now.wall)) else {
            return;
        };
        for (point, value) in reading.points {
            let place = usize::from(point.0);
            let (Some(kept), Some(plan)) = (self.kept.get_mut(place), plans.get(place)) else {
                continue;
            };
            *kept = Kept::default();
            samples.extend(plan.number.map(|number| Sample {
                device: turn.device,
                point: number,
                at,
                value: *value,
            }));
        }
    }
}
