//! The black-box suite, one file a subject. It knows what docs/api.md promises and nothing of the inside.
#![expect(
    clippy::indexing_slicing,
    reason = "JSON values are indexed, where what is absent is null, and a test may end by an index"
)]

mod admin;
mod bucket;
mod cached;
mod callback_url;
mod capabilities;
mod charges;
mod chat;
mod chat_outcomes;
mod claude;
mod clear;
mod crash_chat;
mod crash_media;
mod crash_storm;
mod credit_limit;
mod cuts;
mod declared;
mod egress;
mod embeddings;
mod engine;
mod errors;
mod faces;
mod fal;
mod fallback;
mod faults;
mod files;
mod heard;
mod idempotency;
mod inputs;
mod keys;
mod keys_limits;
mod keys_own;
mod leaving;
mod media;
mod messages;
mod models;
mod money;
mod names;
mod natives;
mod orders;
mod own_models;
mod pages;
mod pages_work;
mod provider;
mod quote;
mod rebinding;
mod receipts;
mod responses;
mod say;
mod sdks;
mod songs;
mod speech;
mod stages;
mod start;
mod stop;
mod tools;
mod traces;
mod transcriptions;
mod uploads;
mod verifying;
mod webhooks;
mod webhooks_managed;
