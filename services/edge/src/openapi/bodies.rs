//! The shapes of requests. Each is read by hand, where everything wrong with it is said at once; here it is only told.
#![expect(
    dead_code,
    reason = "only the shapes are told: requests are read elsewhere"
)]

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::ToSchema;

/// A request of OpenAI's chat completions API. Fields that are not listed are passed on to the provider.
#[derive(ToSchema)]
pub(super) struct ChatRequest {
    #[schema(example = "gemini")]
    model: Option<String>,
    #[schema(value_type = Vec<Object>)]
    messages: Vec<Value>,
    /// Answer event by event.
    #[schema(default = false)]
    stream: Option<bool>,
    #[schema(value_type = Option<Object>)]
    stream_options: Option<Value>,
    max_tokens: Option<u64>,
    max_completion_tokens: Option<u64>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    n: Option<u32>,
    stop: Option<Value>,
    #[schema(value_type = Option<Vec<Object>>)]
    tools: Option<Vec<Value>>,
    tool_choice: Option<Value>,
    #[schema(value_type = Option<Object>)]
    response_format: Option<Value>,
    reasoning_effort: Option<String>,
    include_thoughts: Option<bool>,
    /// Models to ask after `model`, in this order.
    #[schema(max_items = 4)]
    models: Option<Vec<String>>,
    /// Which providers may serve it: `order`, `only`, `ignore`, `allow_fallbacks`, `sort`.
    #[schema(value_type = Option<Object>)]
    provider: Option<Value>,
    user: Option<String>,
    metadata: Option<BTreeMap<String, String>>,
}

/// A request of Anthropic's Messages API.
#[derive(ToSchema)]
pub(super) struct MessagesRequest {
    #[schema(example = "claude-sonnet-5-5")]
    model: Option<String>,
    max_tokens: u64,
    #[schema(value_type = Vec<Object>)]
    messages: Vec<Value>,
    system: Option<Value>,
    stream: Option<bool>,
    #[schema(value_type = Option<Vec<Object>>)]
    tools: Option<Vec<Value>>,
    #[schema(value_type = Option<Object>)]
    thinking: Option<Value>,
}

/// A request whose input tokens are to be counted.
#[derive(ToSchema)]
pub(super) struct CountTokensRequest {
    model: String,
    #[schema(value_type = Vec<Object>)]
    messages: Vec<Value>,
    system: Option<Value>,
}

/// A request of OpenAI's Responses API.
#[derive(ToSchema)]
pub(super) struct ResponsesRequest {
    model: Option<String>,
    /// A text, or a list of items.
    input: Option<Value>,
    instructions: Option<String>,
    previous_response_id: Option<String>,
    stream: Option<bool>,
    store: Option<bool>,
    max_output_tokens: Option<u64>,
    #[schema(value_type = Option<Vec<Object>>)]
    tools: Option<Vec<Value>>,
}

/// A request of OpenAI's embeddings API.
#[derive(ToSchema)]
pub(super) struct EmbeddingsRequest {
    #[schema(example = "text-embedding-3-small")]
    model: String,
    /// A text, a list of texts, or tokens.
    input: Value,
    /// `float` or `base64`.
    encoding_format: Option<String>,
    dimensions: Option<u64>,
}

/// Labels that every paid request takes.
#[derive(ToSchema)]
pub(super) struct Tags {
    /// Your own customer: a label of the operation.
    #[schema(max_length = 256)]
    user: Option<String>,
    /// Labels of your own: up to 16 names, each with a text.
    metadata: Option<BTreeMap<String, String>>,
}

/// What tasks take of models that tell their end.
#[derive(ToSchema)]
pub(super) struct TaskOptions {
    /// Where the end of the task is posted, signed.
    #[schema(format = "uri")]
    callback_url: Option<String>,
}

/// OpenAI's fields for pictures. With `response_format` the answer is in OpenAI's shape.
#[derive(ToSchema)]
pub(super) struct ImageOptions {
    /// `url` or `b64_json`: the answer comes when the pictures are made.
    response_format: Option<String>,
    /// With `response_format`: how many.
    n: Option<u32>,
    /// With `response_format`: pixels, such as `1024x1024`; the nearest aspect ratio is taken.
    size: Option<String>,
    /// With `response_format`: only what asks for nothing special.
    quality: Option<String>,
    /// With `response_format`: only what asks for nothing special.
    style: Option<String>,
    /// With `response_format`: only what asks for nothing special.
    background: Option<String>,
    /// With `response_format`: only what asks for nothing special.
    moderation: Option<String>,
    /// With `response_format`: only what asks for nothing special.
    output_compression: Option<u32>,
    /// With `response_format`: only `false`.
    stream: Option<bool>,
    /// With `response_format`: only 0.
    partial_images: Option<u32>,
}

/// A request of OpenAI's speech API: answered with the sound itself, while it is made or once it is.
#[derive(ToSchema)]
pub(super) struct SpeechRequest {
    #[schema(example = "elevenlabs-v3")]
    model: String,
    input: String,
    /// A voice's name, or an object with its `id`.
    voice: Option<Value>,
    /// One of the model's own, usually `mp3`; `pcm`, of a model that has `wav`: its samples alone, 24 000 a second, of 16 bits, one channel.
    response_format: Option<String>,
    /// 0.25 to 4, of a model that has `speed`; 1 of any other.
    speed: Option<f64>,
    /// Of a model that has them: how it is said.
    instructions: Option<String>,
    /// `audio`: the sound itself. `sse`: piece by piece, in `speech.audio.delta` events in base64, and a `speech.audio.done` at its end.
    stream_format: Option<String>,
    user: Option<String>,
    metadata: Option<BTreeMap<String, String>>,
}

/// OpenAI's fields for transcripts. With `response_format` or `stream` the answer is in OpenAI's shape.
#[derive(ToSchema)]
pub(super) struct TranscriptOptions {
    /// `json` or `text` alone: event by event, once all is heard.
    stream: Option<bool>,
    /// `verbose_json` alone: `word`, `segment` or both.
    timestamp_granularities: Option<Vec<String>>,
}

/// A form with a recording: answered in OpenAI's shape with what is said in it, once that is heard.
#[derive(ToSchema)]
pub(super) struct TranscriptionForm {
    /// The recording's bytes: a sound or a film.
    #[schema(format = Binary)]
    file: String,
    #[schema(example = "whisper-1")]
    model: String,
    /// What is spoken, as ISO 639-1 has it; where it is left out, the model finds out.
    language: Option<String>,
    /// Words that may well be said, and how they are written.
    prompt: Option<String>,
    /// `json`, `text`, `srt`, `vtt` or `verbose_json`, as far as the model has it.
    response_format: Option<String>,
    temperature: Option<f64>,
    /// With `verbose_json`: `word`, `segment` or both.
    #[schema(rename = "timestamp_granularities[]")]
    granularities: Option<Vec<String>>,
    /// Event by event, once all is heard.
    stream: Option<bool>,
    /// Scribe alone: tell voices apart.
    diarize: Option<bool>,
    /// Scribe alone: tell what else is heard, such as laughter.
    tag_audio_events: Option<bool>,
    user: Option<String>,
}

/// A form with a file.
#[derive(ToSchema)]
pub(super) struct UploadForm {
    /// The file's bytes, after the other fields.
    #[schema(format = Binary)]
    file: String,
    /// `assistants`, `batch`, `fine-tune`, `vision`, `user_data` or `evals`: a label.
    purpose: String,
    /// `created_at`.
    #[schema(rename = "expires_after[anchor]")]
    anchor: Option<String>,
    /// How long it is kept.
    #[schema(rename = "expires_after[seconds]")]
    seconds: Option<u64>,
}

/// A paid request that is not made.
#[derive(ToSchema)]
pub(super) struct QuoteRequest {
    /// Its route, below `/api/v1/`.
    #[schema(example = "images/generations")]
    route: String,
    /// Its body.
    #[schema(value_type = Object)]
    body: Value,
}

/// From what balance on one is told that it is low.
#[derive(ToSchema)]
pub(super) struct AlertRequest {
    /// Credits; `null`: never.
    #[schema(required)]
    below_credits: Option<f64>,
}

/// A code.
#[derive(ToSchema)]
pub(super) struct RedeemRequest {
    code: String,
}

/// A pack to buy.
#[derive(ToSchema)]
pub(super) struct OrderRequest {
    /// Its id in `GET /orders/packs`.
    pack: String,
}

/// A key to make, for the account and mode of the key that asks.
#[derive(ToSchema)]
pub(super) struct KeyRequest {
    name: String,
    /// Of `inference`, `read`, `manage` and `admin`; the first two unless said otherwise.
    scopes: Option<Vec<String>>,
    /// The models it may use; all unless said otherwise.
    models: Option<Vec<String>>,
    caps: Option<CapsRequest>,
    /// Requests per minute.
    #[schema(minimum = 1)]
    rpm: Option<u32>,
    /// Open requests.
    #[schema(minimum = 1)]
    concurrency: Option<u32>,
    /// Tasks that have not ended.
    #[schema(minimum = 1)]
    max_open_tasks: Option<u32>,
    /// Addresses and networks it may be used from.
    ip_allow: Option<Vec<String>>,
    #[schema(format = DateTime)]
    expires_at: Option<String>,
}

/// A key to make for an account.
#[derive(ToSchema)]
pub(super) struct AccountKeyRequest {
    /// `test` or `live`.
    mode: String,
    #[serde(flatten)]
    key: KeyRequest,
}

/// What a key may spend, in credits.
#[derive(ToSchema)]
struct CapsRequest {
    /// In a UTC day.
    day: Option<f64>,
    /// In a UTC month.
    month: Option<f64>,
    /// In all.
    total: Option<f64>,
}

/// What changes of a key: what is absent stays, `null` takes a limit away.
#[derive(ToSchema)]
pub(super) struct KeyChange {
    name: Option<String>,
    models: Option<Vec<String>>,
    caps: Option<CapsRequest>,
    rpm: Option<u32>,
    concurrency: Option<u32>,
    max_open_tasks: Option<u32>,
    ip_allow: Option<Vec<String>>,
    #[schema(format = DateTime)]
    expires_at: Option<String>,
}

/// How a key is given another secret.
#[derive(ToSchema)]
pub(super) struct RotateRequest {
    /// How long the old secret lives on, such as `24h`; not at all unless said, at most 30 days.
    overlap: Option<String>,
}

/// How a task is put back into the queue.
#[derive(ToSchema)]
pub(super) struct RequeueRequest {
    /// Also where a provider may have it.
    #[schema(default = false)]
    force: Option<bool>,
}

/// An endpoint to tell what happens to the account.
#[derive(ToSchema)]
pub(super) struct EndpointRequest {
    #[schema(format = "uri")]
    url: String,
    /// The types it is told; all unless said otherwise.
    events: Option<Vec<String>>,
    /// Sent with each request there: up to 10 names with their values, none of them a header of ours.
    headers: Option<BTreeMap<String, String>>,
    /// Requests a second at most.
    #[schema(minimum = 1, maximum = 1000)]
    per_second: Option<u32>,
    description: Option<String>,
    /// `v1` (HMAC-SHA256), `v1a` (Ed25519) or `both`.
    #[schema(default = "v1")]
    signature: Option<String>,
}

/// What changes of an endpoint; `null` takes away `events`, `headers`, `per_second` and `description`.
#[derive(ToSchema)]
pub(super) struct EndpointChange {
    #[schema(format = "uri")]
    url: Option<String>,
    events: Option<Vec<String>>,
    /// Nothing is sent to a disabled one.
    disabled: Option<bool>,
    /// All of them: those it had are gone.
    headers: Option<BTreeMap<String, String>>,
    #[schema(minimum = 1, maximum = 1000)]
    per_second: Option<u32>,
    description: Option<String>,
    signature: Option<String>,
}

/// How what signs is given a successor.
#[derive(ToSchema)]
#[schema(as = RotateWebhookSecretRequest)]
pub(super) struct OverlapRequest {
    /// How long the old one signs as well, at most 7 days; `0s`: not at all.
    #[schema(default = "24h")]
    overlap: Option<String>,
}

/// Which sample is sent.
#[derive(ToSchema)]
pub(super) struct TestEndpointRequest {
    /// The first type that the endpoint is told, unless said otherwise.
    r#type: Option<String>,
}

/// Which given-up deliveries are sent again.
#[derive(ToSchema)]
pub(super) struct RecoverRequest {
    /// Those made from then on.
    #[schema(format = DateTime)]
    since: String,
    /// Those made before then.
    #[schema(format = DateTime)]
    until: Option<String>,
    /// Only those for this endpoint; not where the path names one.
    endpoint_id: Option<String>,
    /// Only those of this account; operators say it.
    account_id: Option<String>,
}

/// An account to make.
#[derive(ToSchema)]
pub(super) struct AccountRequest {
    name: String,
    /// Play money to begin with.
    test_credits: Option<f64>,
}

/// What changes of an account.
#[derive(ToSchema)]
pub(super) struct AccountChange {
    /// What it pays of every price.
    #[schema(exclusive_minimum = 0, maximum = 10)]
    price_factor: f64,
}

/// How long an account's files are kept: durations such as `30d`; `null` is as long as everybody's, and what is absent stays as it was said.
#[derive(ToSchema)]
pub(super) struct RetentionRequest {
    /// What its tasks make.
    outputs: Option<String>,
    /// What it uploads.
    files: Option<String>,
}

/// Credit to give, or to take if it is negative.
#[derive(ToSchema)]
pub(super) struct CreditsRequest {
    credits: f64,
    /// `test` or `live`.
    mode: String,
    reason: String,
    /// When what is left of it is taken back.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
}

/// Codes to make.
#[derive(ToSchema)]
pub(super) struct RedeemCodesRequest {
    credits: f64,
    /// `test` or `live`.
    mode: String,
    /// How many codes.
    count: Option<u32>,
    /// For how many accounts each is.
    max_uses: Option<u32>,
    #[schema(format = DateTime)]
    expires_at: Option<String>,
}
