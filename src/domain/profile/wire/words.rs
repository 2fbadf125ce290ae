//! Words of maps and conditions: `word` in any case, `begin*`, a range `1..9`, `*`. Compiled once.

use super::scalar::Scalar;

/// One word as written.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::domain::profile) enum Pattern {
    /// This word; as a number too, so that `1` on the wire finds `"1"`.
    Word(String, Option<f64>),
    /// Texts that begin so.
    Begin(String),
    /// Numbers from the first to the second, both included.
    Range(f64, f64),
    /// Whatever it is.
    Any,
}

impl Pattern {
    /// The pattern written as `text`.
    pub(in crate::domain::profile) fn parse(text: &str) -> Pattern {
        if let Some(begin) = text.strip_suffix('*') {
            return if begin.is_empty() {
                Pattern::Any
            } else {
                Pattern::Begin(begin.to_owned())
            };
        }
        if let Some((low, high)) = text.split_once("..") {
            let bound = |word: &str, open: f64| {
                if word.is_empty() {
                    Some(open)
                } else {
                    word.parse().ok()
                }
            };
            let range = bound(low, f64::NEG_INFINITY).zip(bound(high, f64::INFINITY));
            if let Some((low, high)) = range {
                return Pattern::Range(low, high);
            }
        }
        let number = text.parse().ok().filter(|number: &f64| number.is_finite());
        Pattern::Word(text.to_owned(), number)
    }

    /// Whether it names `scalar`. Case does not count for ASCII letters, nor white space around.
    #[inline]
    pub(in crate::domain::profile) fn matches(&self, scalar: Scalar<'_>) -> bool {
        match (self, scalar) {
            (Pattern::Any, _) => true,
            (Pattern::Word(word, number), Scalar::Text(text)) => {
                let text = text.trim();
                word.eq_ignore_ascii_case(text) || (number.is_some() && text.parse().ok() == *number)
            }
            (Pattern::Word(word, _), Scalar::Bool(value)) => {
                word.eq_ignore_ascii_case(if value { "true" } else { "false" })
            }
            (Pattern::Word(_, number), Scalar::Int(_) | Scalar::Unsigned(_) | Scalar::Float(_)) => {
                number.is_some() && *number == scalar.number()
            }
            (Pattern::Begin(begin), Scalar::Text(text)) => text
                .trim_start()
                .get(..begin.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(begin)),
            (Pattern::Range(low, high), _) => scalar
                .parsed_number()
                .is_some_and(|number| *low <= number && number <= *high),
            (Pattern::Word(_, _), Scalar::Bytes(_) | Scalar::Null | Scalar::Compound)
            | (
                Pattern::Begin(_),
                Scalar::Bool(_)
                | Scalar::Int(_)
                | Scalar::Unsigned(_)
                | Scalar::Float(_)
                | Scalar::Bytes(_)
                | Scalar::Null
                | Scalar::Compound,
            ) => false,
        }
    }
}

/// Whether one of `patterns` names `scalar`.
#[inline]
pub(in crate::domain::profile) fn any(patterns: &[Pattern], scalar: Scalar<'_>) -> bool {
    patterns.iter().any(|pattern| pattern.matches(scalar))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_find_what_they_say() {
        let table = [
            ("on", Scalar::Text(" ON "), true),
            ("on", Scalar::Text("one"), false),
            ("true", Scalar::Bool(true), true),
            ("1", Scalar::Int(1), true),
            ("1", Scalar::Text("1.0"), true),
            ("1", Scalar::Float(1.5), false),
            ("fail*", Scalar::Text("Failure 7"), true),
            ("fail*", Scalar::Text("fai"), false),
            ("门*", Scalar::Text("门开"), true),
            ("10..20", Scalar::Int(20), true),
            ("10..20", Scalar::Text("20.1"), false),
            ("..0", Scalar::Int(-7), true),
            ("*", Scalar::Null, true),
            ("x", Scalar::Null, false),
        ];
        for (pattern, scalar, expected) in table {
            assert_eq!(
                Pattern::parse(pattern).matches(scalar),
                expected,
                "{pattern} {scalar:?}"
            );
        }
    }
}
