//! The embedded store on real files: what is committed comes back, nothing is released before it is durable, and
//! every fault has its message.

mod commit;
mod faults;
mod fixture;
mod history;
mod recovery;
mod segments;
mod upkeep;
