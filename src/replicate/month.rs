//! The months that readings are partitioned by, in UTC. Pure.

use std::fmt;

use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::domain::time::Timestamp;

/// Before this year and from [`LAST_YEAR`] on, a reading's time is nobody's: it gets no partition.
const FIRST_YEAR: i16 = 2000;

/// See [`FIRST_YEAR`].
const LAST_YEAR: i16 = 2200;

/// A month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Month {
    year: i16,
    month: i8,
}

impl Month {
    /// The month of an instant; `None` outside 2000 to 2199.
    pub(super) fn of(at: Timestamp) -> Option<Month> {
        let instant = jiff::Timestamp::from_millisecond(at.0).ok()?;
        let date = TimeZone::UTC.to_datetime(instant).date();
        let known = (FIRST_YEAR..LAST_YEAR).contains(&date.year());
        known.then(|| Month {
            year: date.year(),
            month: date.month(),
        })
    }

    /// The month after it.
    pub(super) const fn next(self) -> Month {
        if self.month == 12 {
            Month {
                year: self.year + 1,
                month: 1,
            }
        } else {
            Month {
                year: self.year,
                month: self.month + 1,
            }
        }
    }

    /// Its partition.
    pub(super) fn table(self) -> String {
        format!("reading_{:04}_{:02}", self.year, self.month)
    }

    /// The month of the partition with this name; `None` of a table that is not ours.
    pub(super) fn of_table(name: &str) -> Option<Month> {
        let (year, month) = name.strip_prefix("reading_")?.split_once('_')?;
        let date = Date::new(year.parse().ok()?, month.parse().ok()?, 1).ok()?;
        let found = Month {
            year: date.year(),
            month: date.month(),
        };
        (found.table() == name).then_some(found)
    }
}

/// Its first day.
impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-01", self.year, self.month)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW_YEAR_2026: i64 = 1_767_225_600_000;

    #[test]
    fn an_instant_has_its_month_in_utc() {
        for (at, table, first, next) in [
            (NEW_YEAR_2026, "reading_2026_01", "2026-01-01", "2026-02-01"),
            (NEW_YEAR_2026 - 1, "reading_2025_12", "2025-12-01", "2026-01-01"),
        ] {
            let month = Month::of(Timestamp(at)).unwrap();
            assert_eq!(month.table(), table);
            assert_eq!(
                (month.to_string(), month.next().to_string()),
                (first.to_owned(), next.to_owned())
            );
            assert_eq!(Month::of_table(table), Some(month));
        }
        for at in [i64::MIN, 0, 7_500_000_000_000, i64::MAX] {
            assert_eq!(Month::of(Timestamp(at)), None, "{at}");
        }
    }

    #[test]
    fn tables_of_others_are_no_months() {
        for name in [
            "reading",
            "reading_2026_13",
            "reading_2026_1",
            "reading_2026_01_old",
            "x_2026_01",
        ] {
            assert_eq!(Month::of_table(name), None, "{name}");
        }
    }
}
