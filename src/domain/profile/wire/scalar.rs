//! A value as it stood on the wire, and what it can be taken for.

use crate::domain::profile::Reject;

/// How much of a device's word an error repeats.
const SHOWN_CHARS: usize = 40;

/// A value as it stood on the wire.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::domain::profile) enum Scalar<'a> {
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
    /// Bytes.
    Bytes(&'a [u8]),
    /// `null`: no reading.
    Null,
    /// An object or array where a value should be.
    Compound,
}

impl<'a> Scalar<'a> {
    /// Whether it is `null`. A comparison by `==` reads all of both.
    #[inline]
    pub(in crate::domain::profile) const fn is_null(&self) -> bool {
        matches!(self, Scalar::Null)
    }

    /// The text it is, if it is one.
    #[inline]
    pub(super) const fn text(self) -> Option<&'a str> {
        match self {
            Scalar::Text(text) => Some(text),
            Scalar::Bool(_)
            | Scalar::Int(_)
            | Scalar::Unsigned(_)
            | Scalar::Float(_)
            | Scalar::Bytes(_)
            | Scalar::Null
            | Scalar::Compound => None,
        }
    }

    /// The finite number it is or, being text, spells.
    #[inline]
    pub(in crate::domain::profile) fn parsed_number(self) -> Option<f64> {
        self.number()
            .or_else(|| self.text()?.trim().parse().ok())
            .filter(|number| number.is_finite())
    }

    /// The number it is, if it is one.
    #[inline]
    pub(super) const fn number(self) -> Option<f64> {
        match self {
            Scalar::Int(number) => Some(number as f64),
            Scalar::Unsigned(number) => Some(number as f64),
            Scalar::Float(number) => Some(number),
            Scalar::Bool(_) | Scalar::Text(_) | Scalar::Bytes(_) | Scalar::Null | Scalar::Compound => None,
        }
    }

    /// The whole number from 0 that it is, also as text (`0x1F` too).
    pub(super) fn whole(self) -> Option<u64> {
        match self {
            Scalar::Int(number) => Some(number.cast_unsigned()),
            Scalar::Unsigned(number) => Some(number),
            Scalar::Bool(value) => Some(u64::from(value)),
            Scalar::Text(text) => {
                let text = text.trim();
                match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
                    Some(digits) => u64::from_str_radix(digits, 16).ok(),
                    None => text.parse().ok(),
                }
            }
            Scalar::Float(_) | Scalar::Bytes(_) | Scalar::Null | Scalar::Compound => None,
        }
    }

    /// Puts the text that stands for it behind `into`; `false` when nothing does.
    pub(in crate::domain::profile) fn write(self, into: &mut String) -> bool {
        use std::fmt::Write as _;
        match self {
            Scalar::Text(text) => into.push_str(text),
            Scalar::Bool(value) => into.push_str(if value { "true" } else { "false" }),
            Scalar::Int(number) => {
                if number < 0 {
                    into.push('-');
                }
                digits(number.unsigned_abs(), into);
            }
            Scalar::Unsigned(number) => digits(number, into),
            Scalar::Float(number) => return write!(into, "{number}").is_ok(),
            Scalar::Bytes(bytes) => return bytes.iter().all(|byte| write!(into, "{byte:02x}").is_ok()),
            Scalar::Null | Scalar::Compound => return false,
        }
        true
    }

    /// The value as an error shows it: bounded, control characters escaped.
    fn shown(self) -> String {
        match self {
            Scalar::Bool(value) => value.to_string(),
            Scalar::Int(number) => number.to_string(),
            Scalar::Unsigned(number) => number.to_string(),
            Scalar::Float(number) => number.to_string(),
            Scalar::Text(text) => format!("{:?}", text.chars().take(SHOWN_CHARS).collect::<String>()),
            Scalar::Bytes(bytes) => format!("{} bytes", bytes.len()),
            Scalar::Null => "null".to_owned(),
            Scalar::Compound => "an object or array".to_owned(),
        }
    }
}

/// Puts a number behind `into`: ids are joined of them once an item, and `write!` takes its time.
fn digits(number: u64, into: &mut String) {
    let mut power = 1_u64;
    while number / power >= 10 {
        power *= 10;
    }
    let mut rest = number;
    while power > 0 {
        let digit = u8::try_from(rest / power).unwrap_or_default();
        into.push(char::from(b'0' + digit));
        rest %= power;
        power /= 10;
    }
}

/// `true`/`false`, 0/1, or these as text.
pub(in crate::domain::profile) fn read_bool(scalar: Scalar<'_>) -> Option<bool> {
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
        | Scalar::Bytes(_)
        | Scalar::Null
        | Scalar::Compound => None,
    }
}

/// A message's number. A negative one is another number, and a text its hash, which is all that counts.
pub(in crate::domain::profile) fn read_seq(scalar: Scalar<'_>) -> Option<u64> {
    match scalar {
        Scalar::Int(number) => Some(number.cast_unsigned()),
        Scalar::Unsigned(number) => Some(number),
        Scalar::Text(text) if !text.trim().is_empty() => {
            Some(text.trim().parse().unwrap_or_else(|_| hash(text)))
        }
        Scalar::Text(_)
        | Scalar::Bool(_)
        | Scalar::Float(_)
        | Scalar::Bytes(_)
        | Scalar::Null
        | Scalar::Compound => None,
    }
}

/// FNV-1a: the same in every version, because the journal's readings are told apart by it.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    })
}

/// The rejection of `scalar` where `wanted` should stand.
pub(in crate::domain::profile) fn bad_value(point: &str, wanted: &str, scalar: Scalar<'_>) -> Reject {
    Reject::BadValue {
        point: point.to_owned(),
        problem: format!("expected {wanted}, got {}", scalar.shown()),
    }
}
