//! What a viewer of `ninewatch demo` sees: the gateway as in `run` → sink → screen; the officer goes back from the sink
//! to the gateway's API. The devices are those of `simulate`. Composed in `cli/demo.rs`; decides nothing of the gateway's.

pub mod banner;
pub mod group;
pub mod message;
pub mod officer;
pub mod screen;
pub mod sink;
pub mod status;
pub mod storm;
