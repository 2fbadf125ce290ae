//! The embedded store on real files: what is committed comes back, nothing is released before it is durable, and
//! every fault has its message.

mod checkpoint;
mod commands;
mod commit;
mod disk;
mod faults;
mod fixture;
mod history;
mod quarantine;
mod recovery;
mod retention;
mod segments;
#[expect(
    clippy::expect_used,
    reason = "a fixture that cannot be set up fails its test"
)]
#[path = "../support/tmpfs.rs"]
mod tmpfs;
mod upkeep;
