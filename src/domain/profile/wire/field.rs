//! One value off the wire → one slot value of a point. Knows the point's type, range, scale and map; knows nothing of
//! where in a payload the value stood.

use super::scalar::{Scalar, bad_value, read_bool};
use super::units;
use super::words::{self, Pattern};
use crate::domain::kind::{ONLINE, PointDef, PointIndex, ValueType};
use crate::domain::profile::Reject;
use crate::domain::profile::def::PointMap;

/// A point's reader: type, range, scale and map, checked against the kind.
#[derive(Debug)]
pub(in crate::domain::profile) struct Field {
    /// The point's number in its kind.
    pub(in crate::domain::profile) point: PointIndex,
    name: String,
    shape: Shape,
    map: Box<[Mapped]>,
    /// What few points need; `None`: nothing of it.
    extras: Option<Box<Extras>>,
}

#[derive(Debug)]
enum Shape {
    Number {
        scale: f64,
        offset: f64,
        min: f64,
        max: f64,
    },
    Bool,
    Enum(Vec<String>),
}

#[derive(Debug)]
struct Mapped {
    word: Pattern,
    /// `None`: no reading.
    value: Option<f64>,
}

#[derive(Debug, Default)]
struct Extras {
    mask: Option<u64>,
    none: Vec<Pattern>,
    /// Whether a number may be among those words.
    none_numbers: bool,
    valid: Option<(f64, f64)>,
    clamp: Option<(f64, f64)>,
    invert: bool,
}

impl Extras {
    /// Whether a number that is none of the words, and valid, is taken as it is.
    const fn is_plain(&self) -> bool {
        self.mask.is_none() && self.clamp.is_none() && !self.invert
    }
}

impl Field {
    /// The reader of a point whose value on the wire is the point's own.
    pub(in crate::domain::profile) fn plain(index: PointIndex, def: &PointDef) -> Field {
        let shape = match &def.value {
            ValueType::Number { min, max, .. } => Shape::Number {
                scale: 1.0,
                offset: 0.0,
                min: *min,
                max: *max,
            },
            ValueType::Bool => Shape::Bool,
            ValueType::Enum { values } => Shape::Enum(values.clone()),
        };
        Field {
            point: index,
            name: def.id.clone(),
            shape,
            map: Box::default(),
            extras: None,
        }
    }

    /// The reader of a mapped point; `lel` has the profile's own gases. Every problem of the mapping at once.
    pub(in crate::domain::profile) fn mapped(
        index: PointIndex,
        def: &PointDef,
        map: &PointMap,
        lel: &[(String, f64)],
    ) -> Result<Field, Vec<String>> {
        let mut field = Field::plain(index, def);
        let mut problems = Vec::new();
        field.set_scale(def, map, lel, &mut problems);
        field.set_map(map, &mut problems);
        field.set_extras(map, &mut problems);
        if problems.is_empty() {
            Ok(field)
        } else {
            Err(problems)
        }
    }

    fn set_scale(
        &mut self,
        def: &PointDef,
        map: &PointMap,
        lel: &[(String, f64)],
        problems: &mut Vec<String>,
    ) {
        let scaled = (map.scale - 1.0).abs() > 0.0 || map.offset.abs() > 0.0;
        let (Shape::Number { scale, offset, .. }, ValueType::Number { unit: own, .. }) =
            (&mut self.shape, &def.value)
        else {
            if scaled || map.unit.is_some() || map.clamp.is_some() {
                problems.push("scale, offset, unit and clamp are for numbers only".to_owned());
            }
            return;
        };
        if !map.scale.is_finite() || map.scale == 0.0 || !map.offset.is_finite() {
            problems.push("scale must be a number other than 0, offset a number".to_owned());
        }
        let ppm = map.gas.as_ref().map(|gas| (gas, units::lel_ppm(gas, lel)));
        if let Some((gas, None)) = ppm {
            let known = units::gases().collect::<Vec<_>>().join(", ");
            problems.push(format!(
                "gas {gas:?} is not known ({known}): give the ppm of its 100 %LEL in `lel` of [profile]"
            ));
            return;
        }
        let ppm = ppm.and_then(|(_, ppm)| ppm);
        let (factor, shift) = match &map.unit {
            None => (1.0, 0.0),
            Some(unit) => match units::convert(unit, own, ppm) {
                Ok(converted) => converted,
                Err(problem) => {
                    problems.push(problem);
                    return;
                }
            },
        };
        // First the wire's own scale, then from its unit to ours.
        *scale = map.scale * factor;
        *offset = map.offset * factor + shift;
    }

    fn set_map(&mut self, map: &PointMap, problems: &mut Vec<String>) {
        let mut words: Vec<Mapped> = Vec::new();
        for (word, value) in &map.map {
            let pattern = Pattern::parse(word);
            if words.iter().any(|other| other.word == pattern) {
                problems.push(format!("the map has {word:?} twice"));
            }
            if value.is_empty() {
                words.push(Mapped {
                    word: pattern,
                    value: None,
                });
                continue;
            }
            match self.own_value(value) {
                Ok(value) => words.push(Mapped {
                    word: pattern,
                    value: Some(value),
                }),
                Err(problem) => problems.push(format!("the map's {word:?} gives {value:?}: {problem}")),
            }
        }
        // The more exact word goes first, whatever the order in the file.
        words.sort_by_key(|entry| match &entry.word {
            Pattern::Word(..) => 0,
            Pattern::Begin(begin) => 1_usize.saturating_add(usize::MAX / 2 - begin.len().min(1_000)),
            Pattern::Range(..) => usize::MAX - 1,
            Pattern::Any => usize::MAX,
        });
        self.map = words.into();
    }

    fn set_extras(&mut self, map: &PointMap, problems: &mut Vec<String>) {
        if map.mask == Some(0) {
            problems.push("a mask of 0 leaves nothing".to_owned());
        }
        if map.invert && !matches!(self.shape, Shape::Bool) {
            problems.push("invert is for true and false only".to_owned());
        }
        if [map.valid, map.clamp]
            .into_iter()
            .flatten()
            .any(|(low, high)| low > high)
        {
            problems.push("the lower bound is above the upper one".to_owned());
        }
        let none: Vec<Pattern> = map.none.iter().map(|word| Pattern::parse(word)).collect();
        let extras = Extras {
            mask: map.mask,
            none_numbers: none.iter().any(|word| !matches!(word, Pattern::Word(_, None))),
            none,
            valid: map.valid,
            clamp: map.clamp,
            invert: map.invert,
        };
        let needed = extras.mask.is_some()
            || !extras.none.is_empty()
            || extras.valid.is_some()
            || extras.clamp.is_some()
            || extras.invert;
        self.extras = needed.then(|| Box::new(extras));
    }

    /// The slot value of `scalar` where it is plainly good; `None`: [`Field::read`] knows why. Apart from that, because
    /// what a rejection takes with it costs more than reading a number.
    #[inline]
    pub(in crate::domain::profile) fn quick(&self, scalar: Scalar<'_>) -> Option<f64> {
        if let Some(extras) = &self.extras {
            // A word that spells no number is none that passes below.
            if !extras.is_plain() || (extras.none_numbers && words::any(&extras.none, scalar)) {
                return None;
            }
        }
        if !self.map.is_empty() {
            if self.extras.is_some() || matches!(scalar, Scalar::Null) {
                return None;
            }
            return self.map.iter().find(|entry| entry.word.matches(scalar))?.value;
        }
        if !matches!(self.shape, Shape::Number { .. }) {
            return None;
        }
        let number = match scalar {
            Scalar::Text(text) => text.parse().ok()?,
            Scalar::Bool(_)
            | Scalar::Int(_)
            | Scalar::Unsigned(_)
            | Scalar::Float(_)
            | Scalar::Bytes(_)
            | Scalar::Null
            | Scalar::Compound => scalar.number()?,
        };
        self.quick_number(number)
    }

    /// The same of a text, which goes through fewer hands when it is a number.
    #[inline]
    pub(in crate::domain::profile) fn quick_text(&self, text: &str) -> Option<f64> {
        let bare = self.map.is_empty() && matches!(self.shape, Shape::Number { .. });
        let extras = self.extras.as_deref();
        if bare && extras.is_none_or(|extras| extras.is_plain() && !extras.none_numbers) {
            self.quick_number(text.parse().ok()?)
        } else {
            self.quick(Scalar::Text(text))
        }
    }

    #[inline]
    fn quick_number(&self, number: f64) -> Option<f64> {
        let Shape::Number {
            scale,
            offset,
            min,
            max,
        } = &self.shape
        else {
            return None;
        };
        let valid = self.extras.as_ref().and_then(|extras| extras.valid);
        if valid.is_some_and(|(low, high)| number < low || number > high) {
            return None;
        }
        let value = number * scale + offset;
        // Written so that NaN is outside too.
        (value >= *min && value <= *max).then_some(value)
    }

    /// The slot value of `scalar`: finite and within the point's range. `None` for no reading.
    #[inline]
    pub(in crate::domain::profile) fn read(&self, scalar: Scalar<'_>) -> Result<Option<f64>, Reject> {
        if matches!(scalar, Scalar::Null) {
            return Ok(None);
        }
        match &self.extras {
            None => self.read_plain(scalar, None),
            Some(extras) => self.read_with(extras, scalar),
        }
    }

    fn read_with(&self, extras: &Extras, scalar: Scalar<'_>) -> Result<Option<f64>, Reject> {
        if words::any(&extras.none, scalar) {
            return Ok(None);
        }
        let mut scalar = scalar;
        if self.map.is_empty()
            && matches!(self.shape, Shape::Number { .. })
            && let (Scalar::Text(_), Some(number), None) = (scalar, scalar.parsed_number(), extras.mask)
        {
            scalar = Scalar::Float(number);
        }
        if let Some(mask) = extras.mask {
            let Some(whole) = scalar.whole() else {
                return Err(self.bad("a whole number", scalar));
            };
            scalar = Scalar::Unsigned((whole & mask) >> mask.trailing_zeros().min(63));
        }
        if let (Some((low, high)), Some(number)) = (extras.valid, scalar.parsed_number())
            && !(low..=high).contains(&number)
        {
            return Ok(None);
        }
        let value = self.read_plain(scalar, extras.clamp)?;
        Ok(value.map(|value| if extras.invert { 1.0 - value } else { value }))
    }

    #[inline]
    fn read_plain(&self, scalar: Scalar<'_>, clamp: Option<(f64, f64)>) -> Result<Option<f64>, Reject> {
        if !self.map.is_empty() {
            return self.look_up(scalar);
        }
        match &self.shape {
            Shape::Number {
                scale,
                offset,
                min,
                max,
            } => {
                let Some(number) = scalar.parsed_number() else {
                    return Err(self.bad("a number", scalar));
                };
                let mut value = number * scale + offset;
                if let Some((low, high)) = clamp {
                    value = value.max(low).min(high);
                }
                // Written so that NaN is outside too.
                if value >= *min && value <= *max {
                    Ok(Some(value))
                } else {
                    Err(Reject::OutOfRange(self.name.clone()))
                }
            }
            Shape::Bool => read_bool(scalar)
                .map(|value| Some(f64::from(u8::from(value))))
                .ok_or_else(|| self.bad("true, false, 0 or 1", scalar)),
            Shape::Enum(words) => scalar
                .text()
                .and_then(|text| words.iter().position(|word| word == text))
                .map(|place| Some(place as f64))
                .ok_or_else(|| self.bad(&format!("one of {}", words.join(", ")), scalar)),
        }
    }

    #[inline]
    fn look_up(&self, scalar: Scalar<'_>) -> Result<Option<f64>, Reject> {
        self.map
            .iter()
            .find(|entry| entry.word.matches(scalar))
            .map(|entry| entry.value)
            .ok_or_else(|| self.bad("a word of the map", scalar))
    }

    /// Whether the point is `online`.
    pub(in crate::domain::profile) fn is_online(&self) -> bool {
        self.point == ONLINE
    }

    /// The rejection of `scalar` where `wanted` should stand.
    pub(in crate::domain::profile) fn bad(&self, wanted: &str, scalar: Scalar<'_>) -> Reject {
        bad_value(&self.name, wanted, scalar)
    }

    /// The slot value that a word of the point's own names.
    pub(in crate::domain::profile) fn own_value(&self, value: &str) -> Result<f64, String> {
        match &self.shape {
            Shape::Number { min, max, .. } => match value.parse::<f64>() {
                Ok(number) if number >= *min && number <= *max => Ok(number),
                Ok(_) => Err(format!("outside {min} to {max}")),
                Err(_) => Err("the point is a number".to_owned()),
            },
            Shape::Bool => match value {
                "true" => Ok(1.0),
                "false" => Ok(0.0),
                _ => Err("the point is true or false".to_owned()),
            },
            Shape::Enum(words) => words
                .iter()
                .position(|word| word == value)
                .map(|place| place as f64)
                .ok_or_else(|| format!("the point is one of {}", words.join(", "))),
        }
    }
}
