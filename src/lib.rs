//! ninewatch: the fire-safety gateway for small venues.
//!
//! The modules in the order of a message's journey, from the wire to the officer:
//!
//! | module | what it owns |
//! |---|---|
//! | [`config`] | TOML files → checked settings, every error with file, line and column |
//! | [`mqtt`] | what both connections to the broker are made of |
//! | [`ingest`] | the MQTT session: bytes off the wire → [`handoff::Envelope`] |
//! | [`domain`] | everything that decides, pure: profiles, rules, alarms, engine |
//! | [`gateway`] | the one task that owns the engine: receive → step → hand to the writer |
//! | [`actuate`] | commands out, over a connection of their own |
//! | [`store`] | SQLite: one transaction a batch; then the acknowledgements go out |
//! | [`restore`] | checkpoint and journal → the engine as it was |
//! | [`checkpoint`] | makes checkpoints beside the gateway, the way a restart would |
//! | [`replicate`] | the follower: copies the store to PostgreSQL, exactly once |
//! | [`notify`] | drains the outbox to webhooks |
//! | [`words`] | what officers read: bodies → texts, escaped and cut for each kind of target |
//! | [`series`] | what `/metrics` shows of each device |
//! | [`web`] | `/metrics`, health, the API |
//! | [`reload`] | the configuration at run time: read anew, checked, put in force |
//! | [`supervise`] | what systemd is told: ready, stopping, and that the pipeline moves |
//! | [`simulate`] | the devices of `ninewatch simulate` and of the demo |
//! | [`app`] | wiring: the only file that names all concrete types |

pub mod actuate;
pub mod app;
pub mod broker;
pub mod checkpoint;
pub mod cli;
pub mod clock;
pub mod config;
pub mod demo;
pub mod domain;
pub mod gateway;
pub mod handoff;
pub mod ingest;
pub mod lifecycle;
pub mod link;
mod meters;
pub mod metrics;
pub mod mqtt;
pub mod notify;
pub mod reload;
pub mod replicate;
pub mod restore;
pub mod series;
pub mod simulate;
pub mod store;
pub mod supervise;
pub mod web;
pub mod words;

/// The commit this was built from, or `unknown` outside a git checkout.
pub const COMMIT: &str = env!("NINEWATCH_COMMIT");

/// The day this was built, `YYYY-MM-DD` (or that of the commit under `SOURCE_DATE_EPOCH`).
pub const BUILD_DATE: &str = env!("NINEWATCH_BUILD_DATE");
