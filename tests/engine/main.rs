//! The core through its public face: life cycle, delays, late samples, definitions that change, time, and restarts.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that breaks down has failed"
)]

mod backtest;
mod bench;
mod change;
mod gateway;
mod handling;
mod interlock;
mod interlock_doubt;
mod interlock_properties;
mod life;
mod masks;
mod parents;
mod properties;
mod record;
mod registered;
mod restore;
mod schedule;
mod several;
mod shipped;
mod site;
mod table;
mod time;
mod venue;
mod venue_life;
mod wrong;
