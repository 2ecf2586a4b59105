//! Media as its callers see it: over its RPC, with a scripted provider, billing and webhooks beside it.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests report by panicking"
)]

mod apart;
mod at_once;
mod bucket;
mod contract;
mod costly;
mod crash;
mod database;
mod engine;
mod fake_webhooks;
mod fakes;
mod fal;
mod fallback;
mod files;
mod files_left;
mod forged;
mod heard;
mod house;
mod inputs;
mod kie;
mod lengths;
mod life;
mod lines;
mod list;
mod money;
mod natives;
mod open_tasks;
mod operator;
mod origin;
mod outputs_kept;
mod outputs_left;
mod outputs_raced;
mod prices;
mod protocol;
mod replicas;
mod sandboxed;
mod songs;
mod speech;
mod stops;
mod suno;
mod tools;
mod transcriptions;
mod wasted;
