//! The shared state in Redis, against a real one that is killed, wiped, paused and demoted.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail the test they help"
)]

mod away;
mod conforms;
mod house;
mod keys;
mod sharing;
