//! `[store]`: how long and how much the embedded store keeps.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::document::Table;
use super::settings::StoreSettings;

const DAY: Duration = Duration::from_hours(24);
const KEEP: RangeInclusive<Duration> = Duration::from_hours(1)..=Duration::from_hours(24 * 36_500);
const MAX_SIZE: RangeInclusive<u64> = 100_000_000..=100_000_000_000_000;
const DISK_RESERVE: RangeInclusive<u64> = 1_000_000..=100_000_000_000;

/// Reads the section.
pub(super) fn read(mut table: Table<'_>) -> StoreSettings {
    let default = StoreSettings::default();
    let mut keep = |key, default| {
        let value = table.optional(key).and_then(|time| time.duration(KEEP));
        value.unwrap_or(default)
    };
    let journal_keep = keep("journal_keep", default.journal_keep);
    let history_keep = keep("history_keep", default.history_keep);
    let event_keep = keep("event_keep", default.event_keep);
    let mut bytes = |key, range, default| {
        let value = table.optional(key).and_then(|size| size.bytes(range));
        value.unwrap_or(default)
    };
    StoreSettings {
        journal_keep,
        history_keep,
        event_keep,
        max_size: bytes("max_size", MAX_SIZE, default.max_size),
        disk_reserve: bytes("disk_reserve", DISK_RESERVE, default.disk_reserve),
    }
}

/// A week of raw inputs, a quarter of history, three years of events; 20 GB in all.
impl Default for StoreSettings {
    fn default() -> StoreSettings {
        StoreSettings {
            journal_keep: 7 * DAY,
            history_keep: 90 * DAY,
            event_keep: 3 * 365 * DAY,
            max_size: 20_000_000_000,
            disk_reserve: 256_000_000,
        }
    }
}
