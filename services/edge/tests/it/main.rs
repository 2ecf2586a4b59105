//! The edge as clients see it: a real listener before it, scripted services behind it.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail the test they help"
)]

mod access;
mod admin;
mod admin_tasks;
mod audit_log;
mod away;
mod broken;
mod cache;
mod callbacks;
mod chat;
mod fake_chat;
mod fake_files;
mod fake_keys;
mod fake_media;
mod fake_operators;
mod fake_orders;
mod fake_usage;
mod fake_webhooks;
mod fakes;
mod files;
mod house;
mod keys;
mod limits;
mod messages;
mod orders;
mod own_keys;
mod paid;
mod prices;
mod redis;
mod responses;
mod shapes;
mod speech;
mod tasks;
mod transcriptions;
mod uploads;
mod usage;
mod webhooks;
