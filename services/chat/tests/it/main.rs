//! The service as its callers see it, over the generated client, between a billing that can fail and a provider that can misbehave.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod app;
mod billing;
mod cuts;
mod database;
mod failures;
mod house;
mod keyed;
mod keyed_crash;
mod keyed_race;
mod money;
mod prices;
mod provider;
mod requests;
mod routing;
mod streams;
mod whole;
