//! The queue in RabbitMQ, against real brokers.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests report by panicking"
)]

mod broker;
mod faults;
mod limits;
mod outage;
