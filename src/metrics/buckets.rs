//! Into which buckets lengths of time are counted.

/// Seconds, from ten microseconds to ten seconds.
pub(super) const STAGE_BUCKETS: [f64; 13] = [
    1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 0.1, 1.0, 10.0,
];

/// Seconds, from half a millisecond to an hour.
pub(super) const NOTICE_BUCKETS: [f64; 12] = [
    5e-4, 1e-3, 1.5e-3, 2.5e-3, 5e-3, 1e-2, 5e-2, 0.25, 1.0, 10.0, 60.0, 3600.0,
];

/// Seconds, from a tenth to five minutes: a valve takes seconds, several attempts minutes.
pub(super) const VERIFY_BUCKETS: [f64; 10] = [0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];
