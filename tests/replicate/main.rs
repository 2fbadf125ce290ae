//! The follower on a real store and a real PostgreSQL: what is committed arrives there, once and in order, whatever
//! happens to either side.

#![cfg(test)]

#[path = "../store/fixture.rs"]
#[expect(dead_code, reason = "the store's tests use the rest of it")]
mod fixture;
#[path = "../support/postgres.rs"]
#[expect(dead_code, reason = "each test binary uses its own part of it")]
mod postgres;

mod content;
mod durability;
mod follower;
mod outages;
mod refused;
mod schema;
mod tls;
