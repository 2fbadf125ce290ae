//! The core through its public face: life cycle, delays, late samples, definitions that change, time, and restarts.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that breaks down has failed"
)]

mod backtest;
mod bench;
mod gateway;
mod life;
mod properties;
mod restore;
mod several;
mod shipped;
mod table;
mod time;
mod wrong;
