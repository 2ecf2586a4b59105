//! sandbox: simulated providers that speak the real providers' wire protocols, so that test keys, tests, chaos runs and
//! benchmarks exercise the real adapters, and a newcomer needs no credentials.
//!
//! | file | what |
//! |---|---|
//! | `directive.rs` | `[sandbox k=v …]` in a text: what shall happen to it. Pure |
//! | `openai.rs`, `openai/` | chat of any OpenAI-compatible provider: `/{provider}/v1/chat/completions`; pictures: `/{provider}/v1/images/generations`, `…/edits`; speech: `/{provider}/v1/audio/speech`; transcripts: `/{provider}/v1/audio/transcriptions` |
//! | `gemini.rs`, `gemini/` | Google's Gemini API: `/gemini/v1beta/models/{model}:generateContent`, pictures among it; its films (`veo.rs`): `…:predictLongRunning` |
//! | `anthropic.rs`, `anthropic/` | Anthropic's Messages API: `/anthropic/v1/messages` |
//! | `ark.rs` | Seedream and Seedance at Ark: `/ark/api/v3/images/generations`, `/ark/api/v3/contents/generations/tasks` |
//! | `bfl.rs`, `bfl/` | Black Forest Labs: `/bfl/v1/{model}`, `/bfl/v1/get_result`, `/bfl/v1/credits`, `/bfl/delivery/{file}` |
//! | `bria.rs` | Bria, pictures and films: `/bria/v2/{kind}/edit/{what}`, `/bria/v2/status/{id}` |
//! | `elevenlabs.rs`, `elevenlabs/` | ElevenLabs: `/elevenlabs/v1/text-to-dialogue`; transcripts: `/elevenlabs/v1/speech-to-text` |
//! | `fal.rs`, `fal/` | fal's queue: `/fal/{model}`, `/fal/{app}/requests/{id}`, its `/status` and `/cancel` |
//! | `ideogram.rs` | Ideogram's second API: `/ideogram/v2/image/{way}/{model}`, `/ideogram/v2/generations/{id}` |
//! | `kie.rs`, `kie/` | kie.ai: `/kie/api/v1/jobs/createTask`, `/kie/api/v1/jobs/recordInfo`, `/kie/api/v1/chat/credit` |
//! | `suno.rs`, `suno/` | Suno as kie.ai and sunoapi.org serve it: `/{provider}/api/v1/generate…`, `/{provider}/api/v1/suno/cover/…` |
//! | `replicate.rs`, `replicate/` | Replicate: `/replicate/v1/models/{model}/predictions`, `/replicate/v1/predictions/{id}`, its `/cancel` |
//! | `xai.rs` | xAI's pictures and films: `/xai/v1/images/…`, `/xai/v1/videos/…` |
//! | `kling.rs` | Kling, in both generations: `/kling/{kind}/{model}`, `/kling/tasks`, `/kling/v1/{what}/{kind}` |
//! | `minimax.rs` | MiniMax: `/minimax/v1/video_generation`, its query and file; `/minimax/v1/music_generation` |
//! | `dashscope.rs` | Alibaba's Model Studio: `/dashscope/api/v1/services/…`, `/dashscope/api/v1/tasks/{id}`, its `/cancel` |
//! | `vidu.rs` | Vidu: `/vidu/ent/v2/{kind}`, `/vidu/ent/v2/tasks/{id}/creations`, its `/cancel` |
//! | `pixverse.rs`, `pixverse/` | PixVerse: `/pixverse/openapi/v2/image/upload`, `…/video/{kind}/generate`, `…/video/result/{id}` |
//! | `photoroom.rs` | Photoroom, which takes files alone: `/photoroom/v1/segment` |
//! | `piapi.rs` | PiAPI's tasks: `/piapi/api/v1/task`, `/piapi/api/v1/task/{id}` |
//! | `removebg.rs` | remove.bg: `/removebg/v1.0/removebg` |
//! | `segmind.rs` | Segmind: `/segmind/v1/{model}` |
//! | `topaz.rs` | Topaz Labs, pictures: `/topaz/image/v1/{way}/async`, its status, download and cancel |
//! | `rest.rs` | a provider that only a file describes: `/rest/jobs`, `/rest/jobs/{id}` |
//! | `stripe.rs`, `stripe/` | Stripe's checkout: `/stripe/v1/…`, `/stripe/pay/{session}`, `/stripe/simulate/…` |
//! | `at_once.rs` | providers of media that answer a submit with what they made |
//! | `form.rs` | the fields of a request that is JSON, or a form |
//! | `job.rs` | jobs of media providers, each whole in its id |
//! | `work.rs`, `work/` | what simulators of jobs share: taking one, refusing it, finding it again; tables of fields |
//! | `speech.rs` | what is said aloud: how long it takes, and the answer that is the sound itself |
//! | `recording.rs` | recordings that come in: how long they last, and what is said in them |
//! | `made.rs`, `made/` | the files that jobs make: pictures, videos, sounds: `/{provider}/files/{job}/{file}` |
//! | `picture.rs`, `words.rs`, `tokens.rs` | what the simulated models produce, and how it is counted. Pure |
//! | `answer.rs` | answers, the broken ones above all |
//! | `bill.rs` | what was asked and would have been billed: `/bill`, `/bill/jobs` |
//! | `callback.rs`, `signer.rs`, `post.rs` | callbacks of jobs that were told to have some, and what they are signed with; the one way out |
//! | `config.rs`, `error.rs` | settings, errors |
//!
//! It keeps no state but the bill, and what was bought at the simulated Stripe, which it forgets: a job's id carries all there is to
//! know about the job, so that a restarted sandbox goes on with the jobs of the one before. It calls nobody, but for the endpoint
//! that takes the simulated Stripe's events, and the address that came with a job whose outcome is about callbacks. It knows nothing of accounts, keys or
//! prices of ours. Providers' credentials are checked for presence only.

mod answer;
mod anthropic;
mod ark;
mod at_once;
mod bfl;
mod bill;
mod bria;
mod callback;
mod config;
mod dashscope;
pub mod directive;
mod elevenlabs;
mod error;
mod fal;
mod form;
mod gemini;
mod ideogram;
mod inputs;
mod job;
mod kie;
mod kling;
mod made;
mod minimax;
mod openai;
mod photoroom;
mod piapi;
mod picture;
mod pixverse;
mod post;
mod recording;
mod removebg;
mod replicate;
mod rest;
mod segmind;
mod signer;
mod speech;
mod stripe;
mod suno;
mod tokens;
mod topaz;
mod vidu;
mod words;
mod work;
mod xai;

use std::{path::PathBuf, sync::Arc};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    routing::{get, post},
};
use chassis::Tasks;
use tokio::sync::Semaphore;

pub use crate::{bill::MIGRATIONS, config::Config, error::Error, stripe::StripeConfig};

/// What the sandbox is made of.
#[derive(Clone, Debug)]
pub struct Deps {
    /// The section `sandbox`.
    pub config: Config,
    /// The SQLite file of the bill; made if it is not there.
    pub path: PathBuf,
    /// The section `database`.
    pub database: db::Limits,
    /// Where its work is spawned; silent requests end when these stop.
    pub tasks: Tasks,
}

/// The simulated providers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Sandbox {
    config: Arc<Config>,
    bill: bill::Bill,
    caller: callback::Caller,
    signer: signer::Signer,
    stripe: stripe::Stripe,
    tasks: Tasks,
    /// Pictures being drawn, and other files being made.
    renders: Arc<Semaphore>,
}

/// Opens the bill.
///
/// # Errors
/// When the database cannot be opened, or no key can be made.
pub async fn open(deps: Deps) -> Result<Sandbox, Error> {
    let bill = bill::Bill::open(&deps.path, &deps.database, &deps.tasks).await?;
    Ok(Sandbox {
        renders: Arc::new(Semaphore::new(deps.config.max_renders)),
        caller: callback::Caller::new(deps.config.max_callbacks, &deps.tasks),
        signer: signer::Signer::new().map_err(Error::Key)?,
        stripe: stripe::Stripe::new(&deps.config, &deps.tasks),
        config: Arc::new(deps.config),
        bill,
        tasks: deps.tasks,
    })
}

// === impl Sandbox ===

impl Sandbox {
    /// All simulated providers and the bill, to be served at the root of a listener.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/{provider}/v1/chat/completions", post(openai::complete))
            .route("/anthropic/v1/messages", post(anthropic::complete))
            .route("/gemini/v1beta/models/{call}", post(gemini::generate))
            .route(
                "/gemini/v1beta/models/{model}/operations/{id}",
                get(gemini::veo::operation),
            )
            .route("/gemini/v1beta/files/{file}", get(gemini::veo::download))
            .route(
                "/{provider}/v1/models/{call}",
                post(gemini::generate_elsewhere),
            )
            .route("/{provider}/v1/embeddings", post(openai::embed))
            .route("/{provider}/v1/images/generations", post(openai::generate))
            .route("/{provider}/v1/images/edits", post(openai::edit))
            .route("/{provider}/v1/audio/speech", post(openai::speak))
            .route(
                "/{provider}/v1/audio/transcriptions",
                post(openai::transcribe),
            )
            .route(
                "/gemini/v1beta/openai/embeddings",
                post(openai::embed_as_google),
            )
            .route("/bfl/v1/{model}", post(bfl::submit))
            .route("/bfl/v1/get_result", get(bfl::get_result))
            .route("/bfl/v1/credits", get(bfl::credits))
            .route("/bfl/delivery/{file}", get(bfl::deliver))
            .route("/{provider}/files/{job}/{file}", get(made::deliver))
            .route(
                "/fal/{*path}",
                get(fal::look).post(fal::submit).put(fal::cancel),
            )
            // Else the line above would take these.
            .route("/fal/.well-known/jwks.json", get(signer::keys))
            .route("/ideogram/v1/.well-known/jwks.json", get(signer::keys))
            .route("/fal/files/{job}/{file}", get(made::deliver))
            .route("/kie/api/v1/jobs/createTask", post(kie::create))
            .route("/kie/api/v1/jobs/recordInfo", get(kie::record_info))
            .route("/kie/api/v1/chat/credit", get(kie::credit))
            .merge(ark::router())
            .merge(bria::router())
            .merge(elevenlabs::router())
            .merge(ideogram::router())
            .merge(suno::router())
            .merge(replicate::router())
            .merge(rest::router())
            .merge(xai::router())
            .merge(kling::router())
            .merge(minimax::router())
            .merge(dashscope::router())
            .merge(vidu::router())
            .merge(pixverse::router())
            .merge(photoroom::router())
            .merge(piapi::router())
            .merge(removebg::router())
            .merge(segmind::router())
            .merge(topaz::router())
            .route("/bill", get(bill::total))
            .route("/bill/jobs", get(bill::list))
            .merge(stripe::router())
            .layer(DefaultBodyLimit::max(self.config.max_body_bytes))
            .with_state(self.clone())
    }
}
