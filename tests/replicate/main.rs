//! The follower on a real store and a real PostgreSQL: what is committed arrives there, once and in order, whatever
//! happens to either side.

#![expect(clippy::expect_used, reason = "what cannot be set up fails its test")]

#[path = "../store/fixture.rs"]
#[expect(dead_code, reason = "the store's tests use the rest of it")]
mod fixture;
#[path = "../support/postgres.rs"]
mod postgres;

mod content;
mod durability;
mod follower;
mod outages;
mod refused;
mod schema;
mod tls;
