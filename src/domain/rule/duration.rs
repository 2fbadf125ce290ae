//! Lengths of time in conditions: `'30s'`, `'5m'`. Their form is that of the configuration.

use super::super::time::Millis;

/// The form, for messages.
pub(super) const FORM: &str = "a length of time is a number and a unit: '500ms', '30s', '5m', '2h', '7d'";

/// The shortest window, in milliseconds.
const LEAST: u64 = 1_000;

/// The longest window, in milliseconds: a year.
const MOST: u64 = 366 * 86_400_000;

/// Why a word is no length of a window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoLength {
    /// It is no length of time; what was meant, if that can be told.
    Form(Option<String>),
    /// It is too short or too long.
    Range,
}

/// The length of a window written as `text`.
pub(super) fn length(text: &str) -> Result<Millis, NoLength> {
    let Some(length) = Millis::parse(text) else {
        let compact: String = text
            .chars()
            .filter(|character| !character.is_whitespace())
            .flat_map(char::to_lowercase)
            .collect();
        return Err(NoLength::Form(Millis::parse(&compact).map(|_| compact)));
    };
    if (LEAST..=MOST).contains(&length.0) {
        Ok(length)
    } else {
        Err(NoLength::Range)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::time::Millis;
    use super::{NoLength, length};

    #[test]
    fn from_a_second_to_a_year() {
        assert_eq!(length("1s"), Ok(Millis(1_000)));
        assert_eq!(length("366d"), Ok(Millis(31_622_400_000)));
        for outside in ["999ms", "367d"] {
            assert_eq!(length(outside), Err(NoLength::Range), "{outside}");
        }
    }
}
