//! The pages as a browser gets them.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail the test they help"
)]

mod calculator;
mod crawl;
mod door;
mod headers;
mod models;
mod passkeys;
mod playground;
mod site;
