//! The values of one message, gathered and cut into what each device says: one instant, each point at most once.
//! Its space is reused from message to message.

use crate::domain::kind::PointIndex;
use crate::domain::reading::ReadingKind;
use crate::domain::time::Timestamp;

/// Values that scratch space is kept for; what a larger message needed is given back.
const KEPT_VALUES: usize = 4_096;

/// A device's number in the codec.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::domain::profile) struct SubjectId(pub(in crate::domain::profile) u32);

/// What one device says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::domain::profile) struct Part {
    /// The device.
    pub(in crate::domain::profile) subject: SubjectId,
    /// Its own time of it.
    pub(in crate::domain::profile) device_at: Option<Timestamp>,
    /// Live or from the past.
    pub(in crate::domain::profile) kind: ReadingKind,
    /// A birth may have been missed: it may raise an alarm and must not end one, like a message that the broker kept.
    pub(in crate::domain::profile) doubtful: bool,
    points: std::ops::Range<usize>,
}

/// One value of one device.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    /// The device.
    pub(super) subject: SubjectId,
    /// It is from the past.
    pub(super) history: bool,
    /// What it stands for is not certain.
    pub(super) doubtful: bool,
    /// When it was taken.
    pub(super) taken: Option<Timestamp>,
    /// The point.
    pub(super) point: PointIndex,
    /// Its value.
    pub(super) value: f64,
}

/// The parts of one message.
#[derive(Debug, Default)]
pub(super) struct Parts {
    /// With the place in the message, so that sorting keeps the order of each device's values.
    entries: Vec<(usize, Entry)>,
    all: Vec<Part>,
    points: Vec<(PointIndex, f64)>,
    /// Devices that live, whether they say anything or not.
    alive: Vec<SubjectId>,
}

impl Parts {
    /// Forgets the last message.
    pub(super) fn clear(&mut self) {
        if self.entries.capacity() > KEPT_VALUES || self.alive.capacity() > KEPT_VALUES {
            *self = Parts::default();
        }
        self.entries.clear();
        self.all.clear();
        self.points.clear();
        self.alive.clear();
    }

    /// A value.
    pub(super) fn push(&mut self, entry: Entry) {
        self.entries.push((self.entries.len(), entry));
    }

    /// These devices are there. One whose metrics say so themselves, or not, is believed.
    pub(super) fn present(&mut self, subjects: &[SubjectId], online: PointIndex) {
        for subject in subjects {
            let said = |entry: &Entry| entry.subject == *subject && entry.point == online;
            if !self.entries.iter().any(|(_, entry)| said(entry)) {
                self.push(Entry {
                    subject: *subject,
                    history: false,
                    doubtful: false,
                    taken: None,
                    point: online,
                    value: 1.0,
                });
            }
        }
    }

    /// These devices are gone.
    pub(super) fn gone(&mut self, subjects: &[SubjectId], online: PointIndex) {
        for subject in subjects {
            let first = self.points.len();
            self.points.push((online, 0.0));
            self.all.push(Part {
                subject: *subject,
                device_at: None,
                kind: ReadingKind::Live,
                doubtful: false,
                points: first..self.points.len(),
            });
        }
    }

    /// These devices live.
    pub(super) fn alive(&mut self, subjects: &[SubjectId]) {
        self.alive.extend(subjects);
    }

    /// Cuts the values into parts.
    pub(super) fn close(&mut self) {
        self.entries.sort_unstable_by_key(|(place, entry)| {
            let past = entry.history.then_some(entry.taken);
            (entry.subject, past, *place)
        });
        let mut last: Option<Entry> = None;
        for (_, entry) in &self.entries {
            let goes_on = last.is_some_and(|last| continues(&last, entry));
            match self.all.last_mut().filter(|_| goes_on) {
                Some(part) if !said_before(&self.points, part, entry.point) => {
                    self.points.push((entry.point, entry.value));
                    part.points.end = self.points.len();
                    part.device_at = part.device_at.max(entry.taken);
                }
                Some(_) | None => {
                    let first = self.points.len();
                    self.points.push((entry.point, entry.value));
                    self.all.push(Part {
                        subject: entry.subject,
                        device_at: entry.taken,
                        kind: if entry.history {
                            ReadingKind::History
                        } else {
                            ReadingKind::Live
                        },
                        doubtful: entry.doubtful,
                        points: first..self.points.len(),
                    });
                }
            }
            last = Some(*entry);
        }
        for subject in &self.alive {
            let speaks = self
                .entries
                .binary_search_by_key(subject, |(_, entry)| entry.subject);
            if speaks.is_err() {
                self.all.push(Part {
                    subject: *subject,
                    device_at: None,
                    kind: ReadingKind::Live,
                    doubtful: false,
                    points: 0..0,
                });
            }
        }
    }

    /// The parts.
    pub(super) fn list(&self) -> &[Part] {
        &self.all
    }

    /// The points of one.
    pub(super) fn points(&self, part: &Part) -> &[(PointIndex, f64)] {
        self.points.get(part.points.clone()).unwrap_or_default()
    }
}

/// Whether `next` belongs to the same part as `entry`: live values of one message are of one instant, the latest.
fn continues(entry: &Entry, next: &Entry) -> bool {
    entry.subject == next.subject
        && entry.history == next.history
        && (!entry.history || entry.taken == next.taken)
}

fn said_before(points: &[(PointIndex, f64)], part: &Part, point: PointIndex) -> bool {
    points
        .get(part.points.clone())
        .is_some_and(|points| points.iter().any(|(other, _)| *other == point))
}
