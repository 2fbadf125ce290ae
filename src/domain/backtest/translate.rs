//! Readings of recorded kinds as readings of the kinds to try: points by id, words by word. Knows no rule.

use super::super::definitions::Definitions;
use super::super::kind::{Kind, PointDef, PointIndex, ValueType};

/// How readings of the recorded kinds become readings of the candidate's, kind by kind.
#[derive(Debug)]
pub(super) struct Translations(Vec<Translation>);

/// That of one kind.
#[derive(Debug)]
pub(super) struct Translation {
    kind: String,
    /// By recorded point; `None` when the candidate does not have the kind.
    points: Option<Vec<Option<Candidate>>>,
}

impl Translations {
    pub(super) fn new(recorded: &[Kind], candidate: &Definitions) -> Translations {
        let translation = |kind: &Kind| {
            let target = candidate.kind_index(&kind.id);
            let target = target.and_then(|index| candidate.kind(index));
            let table = |target: &Kind| {
                let points = kind.points.iter();
                points.map(|point| Candidate::of(point, target)).collect()
            };
            Translation {
                kind: kind.id.clone(),
                points: target.map(|target| table(&target.kind)),
            }
        };
        Translations(recorded.iter().map(translation).collect())
    }

    /// That of the kind at `place`.
    pub(super) fn get(&self, place: usize) -> Option<&Translation> {
        self.0.get(place)
    }

    /// The place of the recorded kind called `kind`.
    pub(super) fn place(&self, kind: &str) -> Option<usize> {
        self.0.iter().position(|translation| translation.kind == kind)
    }
}

impl Translation {
    /// Whether the candidate has the kind.
    pub(super) const fn is_known(&self) -> bool {
        self.points.is_some()
    }

    /// The candidate's point and value for a recorded one; `None` when it has none for it.
    pub(super) fn translate(&self, point: PointIndex, value: f64) -> Option<(PointIndex, f64)> {
        let points = self.points.as_ref()?;
        points.get(usize::from(point.0))?.as_ref()?.translate(value)
    }
}

/// A point of the candidate that stands for a recorded one.
#[derive(Debug)]
struct Candidate {
    point: PointIndex,
    values: Values,
}

/// How a recorded value becomes one of the candidate's.
#[derive(Debug)]
enum Values {
    /// As it is.
    Same,
    /// If it is within the range: outside of it the decoder would have refused it.
    Within(f64, f64),
    /// By the word it stands for: the place of each recorded word among the candidate's.
    Words(Vec<Option<u32>>),
}

impl Candidate {
    /// The point of `target` with the id and the sort of value of `recorded`.
    fn of(recorded: &PointDef, target: &Kind) -> Option<Candidate> {
        let (point, def) = target.point(&recorded.id)?;
        let values = match (&recorded.value, &def.value) {
            (recorded, def) if recorded == def => Values::Same,
            (ValueType::Number { unit: recorded, .. }, ValueType::Number { unit, min, max })
                if recorded == unit =>
            {
                Values::Within(*min, *max)
            }
            (ValueType::Enum { values: recorded }, ValueType::Enum { values }) => {
                let place = |word: &String| values.iter().position(|known| known == word);
                let place = |word| place(word).and_then(|place| u32::try_from(place).ok());
                Values::Words(recorded.iter().map(place).collect())
            }
            (ValueType::Number { .. } | ValueType::Bool | ValueType::Enum { .. }, _) => return None,
        };
        Some(Candidate { point, values })
    }

    fn translate(&self, value: f64) -> Option<(PointIndex, f64)> {
        let value = match &self.values {
            Values::Same => value,
            Values::Within(min, max) => Some(value).filter(|value| (*min..=*max).contains(value))?,
            Values::Words(words) => {
                let mut places = (0_u32..).zip(words);
                let (_, place) = places.find(|(place, _)| (f64::from(*place) - value).abs() < 0.5)?;
                f64::from((*place)?)
            }
        };
        Some((self.point, value))
    }
}
