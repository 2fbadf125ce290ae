//! `ninewatch demo`: town → simulator → publish → broker → the gateway as in `run` → sink → screen; the officer
//! goes back from the sink to the gateway's API. Composed in `cli/demo.rs`; decides nothing of the gateway's.

pub mod banner;
pub mod device;
pub mod dice;
pub mod message;
pub mod officer;
pub mod publish;
pub mod screen;
pub mod simulator;
pub mod sink;
pub mod status;
pub mod town;
