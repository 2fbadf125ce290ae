//! Device times in all their forms → instants. Compiled once; never guesses a zone.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::scalar::Scalar;
use crate::domain::profile::def::TimeUnit;
use crate::domain::time::Timestamp;

/// How a device writes its time.
#[derive(Debug, Clone)]
pub(in crate::domain::profile) struct TimeForm {
    unit: TimeUnit,
    zone: Option<TimeZone>,
}

impl TimeForm {
    /// The form `unit`, in `zone` (IANA) where a time names none. The error says what to write.
    pub(in crate::domain::profile) fn new(unit: &TimeUnit, zone: Option<&str>) -> Result<TimeForm, String> {
        let zone = zone
            .map(|name| {
                TimeZone::get(name)
                    .map_err(|_| format!("zone {name:?} is not known; for example \"Asia/Shanghai\""))
            })
            .transpose()?;
        if let TimeUnit::Pattern(pattern) = unit {
            // A pattern that cannot even write a time will not read one.
            jiff::fmt::strtime::format(pattern, jiff::Timestamp::UNIX_EPOCH)
                .map_err(|error| format!("pattern {pattern:?}: {error}"))?;
        }
        if zone.is_none() && *unit == TimeUnit::Packed {
            return Err(
                "a time of this form names no zone: give `zone`, for example \"Asia/Shanghai\"".to_owned(),
            );
        }
        Ok(TimeForm {
            unit: unit.clone(),
            zone,
        })
    }

    /// Whether it is a number since 1970, to which another can be added.
    pub(in crate::domain::profile) const fn is_number(&self) -> bool {
        matches!(
            self.unit,
            TimeUnit::Seconds
                | TimeUnit::Milliseconds
                | TimeUnit::Microseconds
                | TimeUnit::Nanoseconds
                | TimeUnit::Epoch
        )
    }

    /// What should have stood there.
    pub(in crate::domain::profile) const fn wanted(&self) -> &'static str {
        match self.unit {
            TimeUnit::Rfc3339 => "an RFC 3339 time with its zone",
            TimeUnit::Seconds | TimeUnit::Milliseconds | TimeUnit::Microseconds | TimeUnit::Nanoseconds => {
                "a number of 64 bits"
            }
            TimeUnit::Epoch => "a time since 1970 of 10, 13, 16 or 19 digits (s, ms, us, ns)",
            TimeUnit::Iso => "an ISO 8601 time with its zone, or the profile's",
            TimeUnit::Auto => "a time since 1970 of 10, 13, 16 or 19 digits, or an ISO 8601 time",
            TimeUnit::Packed => "14 or 17 digits, yyyyMMddHHmmss and milliseconds",
            TimeUnit::Pattern(_) => "a time of the pattern",
        }
    }

    /// The instant that `scalar` names, cut to milliseconds. `None`: wrong type or beyond `i64` milliseconds.
    pub(in crate::domain::profile) fn read(&self, scalar: Scalar<'_>) -> Option<Timestamp> {
        let millis = match &self.unit {
            TimeUnit::Seconds => scaled(scalar, |whole| whole.checked_mul(1000), 1000.0),
            TimeUnit::Milliseconds => scaled(scalar, Some, 1.0),
            TimeUnit::Microseconds => scaled(scalar, |whole| Some(whole.div_euclid(1000)), 0.001),
            TimeUnit::Nanoseconds => scaled(scalar, |whole| Some(whole.div_euclid(1_000_000)), 1e-6),
            TimeUnit::Epoch => epoch(scalar),
            TimeUnit::Auto => match scalar.text() {
                Some(text) if text.trim().parse::<f64>().is_err() => self.iso(text.trim()),
                Some(_) | None => epoch(scalar),
            },
            TimeUnit::Rfc3339 => {
                let text = scalar.text()?;
                text.parse::<jiff::Timestamp>()
                    .ok()
                    .map(jiff::Timestamp::as_millisecond)
            }
            TimeUnit::Iso => self.iso(scalar.text()?.trim()),
            TimeUnit::Packed => self.local(packed(scalar)?),
            TimeUnit::Pattern(pattern) => self.by_pattern(pattern, scalar.text()?.trim()),
        };
        millis.map(Timestamp)
    }

    fn iso(&self, text: &str) -> Option<i64> {
        match text.parse::<jiff::Timestamp>() {
            Ok(at) => Some(at.as_millisecond()),
            Err(_) => self.local(text.parse().ok()?),
        }
    }

    fn by_pattern(&self, pattern: &str, text: &str) -> Option<i64> {
        let parsed = jiff::fmt::strtime::parse(pattern, text).ok()?;
        match parsed.to_timestamp() {
            Ok(at) => Some(at.as_millisecond()),
            Err(_) => self.local(parsed.to_datetime().ok()?),
        }
    }

    fn local(&self, at: DateTime) -> Option<i64> {
        let zoned = self.zone.as_ref()?.to_timestamp(at).ok()?;
        Some(zoned.as_millisecond())
    }
}

/// `yyyyMMddHHmmss`, perhaps with milliseconds: text or a number.
fn packed(scalar: Scalar<'_>) -> Option<DateTime> {
    let mut digits = [0_u8; 17];
    let number = match scalar {
        Scalar::Text(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse::<u64>().ok()?,
        Scalar::Int(number) => u64::try_from(number).ok()?,
        Scalar::Unsigned(number) => number,
        Scalar::Text(_)
        | Scalar::Bool(_)
        | Scalar::Float(_)
        | Scalar::Bytes(_)
        | Scalar::Null
        | Scalar::Compound => return None,
    };
    let number = match number {
        10_000_101_000_000..=99_991_231_235_959 => number.checked_mul(1000)?,
        10_000_101_000_000_000..=99_991_231_235_959_999 => number,
        _ => return None,
    };
    let mut rest = number;
    for digit in digits.iter_mut().rev() {
        *digit = u8::try_from(rest % 10).ok()?;
        rest /= 10;
    }
    let part = |from: usize, to: usize| {
        digits.get(from..to).map(|digits| {
            digits.iter().fold(0_i16, |number, digit| {
                number.saturating_mul(10).saturating_add(i16::from(*digit))
            })
        })
    };
    let small = |from: usize, to: usize| i8::try_from(part(from, to)?).ok();
    DateTime::new(
        part(0, 4)?,
        small(4, 6)?,
        small(6, 8)?,
        small(8, 10)?,
        small(10, 12)?,
        small(12, 14)?,
        i32::from(part(14, 17)?) * 1_000_000,
    )
    .ok()
}

/// By the number of digits.
fn epoch(scalar: Scalar<'_>) -> Option<i64> {
    let number = scalar.parsed_number()?.abs();
    if number < 1e11 {
        scaled(scalar, |whole| whole.checked_mul(1000), 1000.0)
    } else if number < 1e14 {
        scaled(scalar, Some, 1.0)
    } else if number < 1e17 {
        scaled(scalar, |whole| Some(whole.div_euclid(1000)), 0.001)
    } else {
        scaled(scalar, |whole| Some(whole.div_euclid(1_000_000)), 1e-6)
    }
}

fn scaled(scalar: Scalar<'_>, whole: impl Fn(i64) -> Option<i64>, factor: f64) -> Option<i64> {
    match scalar {
        Scalar::Int(number) => whole(number),
        Scalar::Unsigned(number) => whole(i64::try_from(number).ok()?),
        Scalar::Float(number) => cut(number * factor),
        Scalar::Text(text) => match text.trim().parse::<i64>() {
            Ok(number) => whole(number),
            Err(_) => cut(text.trim().parse::<f64>().ok()? * factor),
        },
        Scalar::Bool(_) | Scalar::Bytes(_) | Scalar::Null | Scalar::Compound => None,
    }
}

fn cut(millis: f64) -> Option<i64> {
    let millis = millis.floor();
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

#[cfg(test)]
mod tests {
    use super::*;

    const AT: i64 = 1_750_316_304_881;
    const SECOND: i64 = 1_750_316_304_000;

    fn read(unit: &TimeUnit, zone: Option<&str>, scalar: Scalar<'_>) -> Option<i64> {
        let form = TimeForm::new(unit, zone).unwrap();
        form.read(scalar).map(|at| at.0)
    }

    #[test]
    fn numbers_count_from_1970() {
        let table = [
            (TimeUnit::Epoch, Scalar::Int(1_750_316_304), SECOND),
            (TimeUnit::Epoch, Scalar::Int(AT), AT),
            (TimeUnit::Epoch, Scalar::Text("1750316304881000"), AT),
            (TimeUnit::Epoch, Scalar::Int(1_750_316_304_881_999_999), AT),
            (TimeUnit::Nanoseconds, Scalar::Text("1750316304881000000"), AT),
            (TimeUnit::Epoch, Scalar::Float(1_750_316_304.881), AT),
            (TimeUnit::Seconds, Scalar::Text("1750316304.881"), AT),
            (TimeUnit::Auto, Scalar::Int(AT), AT),
            (TimeUnit::Auto, Scalar::Text("1750316304881"), AT),
            (TimeUnit::Auto, Scalar::Text("2025-06-19T06:58:24.881Z"), AT),
        ];
        for (unit, scalar, expected) in table {
            assert_eq!(read(&unit, None, scalar), Some(expected), "{unit:?} {scalar:?}");
        }
    }

    #[test]
    fn texts_are_dates() {
        let zone = Some("Asia/Shanghai");
        let table = [
            (None, "2025-06-19T06:58:24.881Z", Some(AT)),
            (zone, "2025-06-19 14:58:24.881", Some(AT)),
            (zone, "20250619T145824.881", Some(AT)),
            (zone, "20250619T065824Z", Some(SECOND)),
            (None, "2025-06-19T14:58:24", None),
        ];
        for (zone, text, expected) in table {
            assert_eq!(read(&TimeUnit::Iso, zone, Scalar::Text(text)), expected, "{text}");
        }
        let table = [
            (Scalar::Text("20250619145824881"), Some(AT)),
            (Scalar::Int(20_250_619_145_824), Some(SECOND)),
            (Scalar::Text("20251319145824881"), None),
            (Scalar::Text("+0250619145824881"), None),
            (Scalar::Text("2025061914582488"), None),
        ];
        for (scalar, expected) in table {
            assert_eq!(read(&TimeUnit::Packed, zone, scalar), expected, "{scalar:?}");
        }
    }

    #[test]
    fn patterns_are_of_the_profile() {
        let zone = Some("Asia/Shanghai");
        let table = [
            ("%d/%m/%Y %H:%M:%S", zone, "19/06/2025 14:58:24", Some(SECOND)),
            (
                "%d/%m/%Y %H:%M:%S %z",
                None,
                "19/06/2025 14:58:24 +0800",
                Some(SECOND),
            ),
            ("%H:%M", zone, "14:58", None),
        ];
        for (pattern, zone, text, expected) in table {
            let unit = TimeUnit::Pattern(pattern.to_owned());
            assert_eq!(read(&unit, zone, Scalar::Text(text)), expected, "{pattern}");
        }
        assert!(TimeForm::new(&TimeUnit::Packed, None).is_err());
        assert!(TimeForm::new(&TimeUnit::Iso, Some("Mars/Base")).is_err());
        assert!(TimeForm::new(&TimeUnit::Pattern("%!".to_owned()), None).is_err());
    }
}
