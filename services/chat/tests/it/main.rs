//! The service as its callers see it, over the generated client, between a billing that can fail and a provider that can misbehave.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod anthropic;
mod anthropic_sandbox;
mod app;
mod billing;
mod cached;
mod cached_refusals;
mod counting;
mod cuts;
mod database;
mod embeddings;
mod failures;
mod fake_files;
mod fallback;
mod figures;
mod files;
mod gemini;
mod gemini_sandbox;
mod gemini_urls;
mod house;
mod keyed;
mod keyed_crash;
mod keyed_race;
mod limits;
mod money;
mod prices;
mod provider;
mod requests;
mod responses;
mod room;
mod routing;
mod sandboxed;
mod shop;
mod streams;
mod whole;
mod wishes;
