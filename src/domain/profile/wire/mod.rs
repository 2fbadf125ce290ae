//! Values off the wire: scalars, words, bytes, times and units. Knows no topic and no place in a payload.

pub(super) mod bytes;
pub(super) mod field;
pub(super) mod scalar;
pub(super) mod time;
pub(super) mod units;
pub(super) mod words;
