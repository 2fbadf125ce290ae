//! One value off the wire → one slot value of a point, or a device time. Knows the point's type, range, scale
//! and map; knows nothing of where in a payload the value stood.

use super::{PointMap, Reject, TimeUnit};
use crate::domain::kind::{PointDef, PointIndex, ValueType};
use crate::domain::time::Timestamp;

/// How much of a device's word an error repeats.
const SHOWN_CHARS: usize = 40;

/// A value as it stood on the wire.
#[derive(Debug, Clone, Copy)]
pub(super) enum Scalar<'a> {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A whole number, perhaps beyond `i64`.
    Unsigned(u64),
    /// A number with a fraction or an exponent.
    Float(f64),
    /// Text.
    Text(&'a str),
    /// `null`: no reading.
    Null,
    /// An object or array where a value should be.
    Compound,
}

impl<'a> Scalar<'a> {
    /// The text it is, if it is one.
    const fn text(self) -> Option<&'a str> {
        match self {
            Scalar::Text(text) => Some(text),
            Scalar::Bool(_)
            | Scalar::Int(_)
            | Scalar::Unsigned(_)
            | Scalar::Float(_)
            | Scalar::Null
            | Scalar::Compound => None,
        }
    }

    /// The finite number it is or, being text, spells.
    fn parsed_number(self) -> Option<f64> {
        self.number()
            .or_else(|| self.text()?.trim().parse().ok())
            .filter(|number| number.is_finite())
    }

    /// The number it is, if it is one.
    const fn number(self) -> Option<f64> {
        match self {
            Scalar::Int(number) => Some(number as f64),
            Scalar::Unsigned(number) => Some(number as f64),
            Scalar::Float(number) => Some(number),
            Scalar::Bool(_) | Scalar::Text(_) | Scalar::Null | Scalar::Compound => None,
        }
    }

    /// The value as an error shows it: bounded, control characters escaped.
    fn shown(self) -> String {
        match self {
            Scalar::Bool(value) => value.to_string(),
            Scalar::Int(number) => number.to_string(),
            Scalar::Unsigned(number) => number.to_string(),
            Scalar::Float(number) => number.to_string(),
            Scalar::Text(text) => format!("{:?}", text.chars().take(SHOWN_CHARS).collect::<String>()),
            Scalar::Null => "null".to_owned(),
            Scalar::Compound => "an object or array".to_owned(),
        }
    }
}

/// A point's reader: type, range, scale and map, checked against the kind.
#[derive(Debug)]
pub(super) struct Field {
    /// The point's number in its kind.
    pub(super) point: PointIndex,
    name: String,
    shape: Shape,
    map: Box<[Mapped]>,
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
    word: String,
    /// The word as a number, so that `1` on the wire finds `"1"` in the map.
    number: Option<f64>,
    value: f64,
}

impl Field {
    /// The reader of a point whose value on the wire is the point's own.
    pub(super) fn plain(index: PointIndex, def: &PointDef) -> Field {
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
        }
    }

    /// The reader of a mapped point. Every problem of the mapping at once.
    pub(super) fn mapped(index: PointIndex, def: &PointDef, map: &PointMap) -> Result<Field, Vec<String>> {
        let mut field = Field::plain(index, def);
        let mut problems = Vec::new();
        if let Shape::Number { scale, offset, .. } = &mut field.shape {
            *scale = map.scale;
            *offset = map.offset;
            if !map.scale.is_finite() || map.scale == 0.0 || !map.offset.is_finite() {
                problems.push("scale must be a number other than 0, offset a number".to_owned());
            }
        } else if (map.scale - 1.0).abs() > 0.0 || map.offset.abs() > 0.0 {
            problems.push("scale and offset are for numbers only".to_owned());
        }
        let mut words: Vec<Mapped> = Vec::new();
        for (word, value) in &map.map {
            if words.iter().any(|other| other.word == *word) {
                problems.push(format!("the map has {word:?} twice"));
            }
            match field.shape.own_value(value) {
                Ok(value) => words.push(Mapped {
                    word: word.clone(),
                    number: word.parse().ok(),
                    value,
                }),
                Err(problem) => problems.push(format!("the map's {word:?} gives {value:?}: {problem}")),
            }
        }
        field.map = words.into();
        if problems.is_empty() {
            Ok(field)
        } else {
            Err(problems)
        }
    }

    /// The slot value of `scalar`: finite and within the point's range. `None` for null.
    pub(super) fn read(&self, scalar: Scalar<'_>) -> Result<Option<f64>, Reject> {
        if matches!(scalar, Scalar::Null) {
            return Ok(None);
        }
        if !self.map.is_empty() {
            return self.look_up(scalar).map(Some);
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
                let value = number * scale + offset;
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

    fn look_up(&self, scalar: Scalar<'_>) -> Result<f64, Reject> {
        let found = match scalar {
            Scalar::Text(text) => self.map.iter().find(|entry| entry.word == text),
            Scalar::Bool(true) => self.map.iter().find(|entry| entry.word == "true"),
            Scalar::Bool(false) => self.map.iter().find(|entry| entry.word == "false"),
            Scalar::Int(_) | Scalar::Unsigned(_) | Scalar::Float(_) => {
                let number = scalar.number();
                self.map.iter().find(|entry| entry.number == number)
            }
            Scalar::Null | Scalar::Compound => None,
        };
        found
            .map(|entry| entry.value)
            .ok_or_else(|| self.bad("a word of the map", scalar))
    }

    /// The rejection of `scalar` where `wanted` should stand.
    pub(super) fn bad(&self, wanted: &str, scalar: Scalar<'_>) -> Reject {
        bad_value(&self.name, wanted, scalar)
    }
}

impl Shape {
    /// The slot value that a map's right-hand side names.
    fn own_value(&self, value: &str) -> Result<f64, String> {
        match self {
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

/// `true`/`false`, 0/1, or these as text.
pub(super) fn read_bool(scalar: Scalar<'_>) -> Option<bool> {
    match scalar {
        Scalar::Bool(value) => Some(value),
        Scalar::Int(0) | Scalar::Unsigned(0) | Scalar::Float(0.0) | Scalar::Text("false" | "0") => {
            Some(false)
        }
        Scalar::Int(1) | Scalar::Unsigned(1) | Scalar::Float(1.0) | Scalar::Text("true" | "1") => Some(true),
        Scalar::Int(_)
        | Scalar::Unsigned(_)
        | Scalar::Float(_)
        | Scalar::Text(_)
        | Scalar::Null
        | Scalar::Compound => None,
    }
}

/// The instant that `scalar` names in `unit`, cut to milliseconds. `None`: wrong type or beyond `i64` milliseconds.
pub(super) fn read_time(scalar: Scalar<'_>, unit: TimeUnit) -> Option<Timestamp> {
    let millis = match unit {
        TimeUnit::Rfc3339 => match scalar {
            Scalar::Text(text) => text
                .parse::<jiff::Timestamp>()
                .ok()
                .map(jiff::Timestamp::as_millisecond),
            Scalar::Bool(_)
            | Scalar::Int(_)
            | Scalar::Unsigned(_)
            | Scalar::Float(_)
            | Scalar::Null
            | Scalar::Compound => None,
        },
        TimeUnit::Seconds => scaled(scalar, |whole| whole.checked_mul(1000), 1000.0),
        TimeUnit::Milliseconds => scaled(scalar, Some, 1.0),
        TimeUnit::Microseconds => scaled(scalar, |whole| Some(whole.div_euclid(1000)), 0.001),
    };
    millis.map(Timestamp)
}

/// A message's number. A negative one is another number, which is all that counts.
pub(super) fn read_seq(scalar: Scalar<'_>) -> Option<u64> {
    match scalar {
        Scalar::Int(number) => Some(number.cast_unsigned()),
        Scalar::Unsigned(number) => Some(number),
        Scalar::Text(text) => text.trim().parse().ok(),
        Scalar::Bool(_) | Scalar::Float(_) | Scalar::Null | Scalar::Compound => None,
    }
}

fn scaled(scalar: Scalar<'_>, whole: impl Fn(i64) -> Option<i64>, factor: f64) -> Option<i64> {
    match scalar {
        Scalar::Int(number) => whole(number),
        Scalar::Unsigned(number) => whole(i64::try_from(number).ok()?),
        Scalar::Float(number) => {
            let millis = (number * factor).floor();
            // 2^63, the first value past i64, is exact in f64.
            let bound = 9_223_372_036_854_775_808.0;
            if millis >= -bound && millis < bound {
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "whole and within i64, checked above"
                )]
                let millis = millis as i64;
                Some(millis)
            } else {
                None
            }
        }
        Scalar::Bool(_) | Scalar::Text(_) | Scalar::Null | Scalar::Compound => None,
    }
}

/// The rejection of `scalar` where `wanted` should stand.
pub(super) fn bad_value(point: &str, wanted: &str, scalar: Scalar<'_>) -> Reject {
    Reject::BadValue {
        point: point.to_owned(),
        problem: format!("expected {wanted}, got {}", scalar.shown()),
    }
}
