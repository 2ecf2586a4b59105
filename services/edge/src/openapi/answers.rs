//! The shapes of answers that other services write: here they are only told. Answers of the edge's own tell their shapes themselves.
#![expect(
    dead_code,
    reason = "only the shapes are told: what is answered was written elsewhere"
)]

use serde_json::Value;
use utoipa::ToSchema;

/// A failure, as OpenAI's SDKs know it.
#[derive(ToSchema)]
pub(super) struct Error {
    error: ErrorObject,
}

/// What failed.
#[derive(ToSchema)]
struct ErrorObject {
    /// For people; may get better.
    message: String,
    /// Whose turn it is: decides the HTTP status.
    #[schema(example = "bad_request")]
    r#type: String,
    /// A stable word for the cause: docs/errors.md lists them.
    #[schema(example = "unknown_model")]
    code: String,
    /// The field that is wrong.
    param: Option<String>,
    request_id: String,
    /// Everything that is wrong, where that is more than one thing.
    violations: Option<Vec<Violation>>,
}

/// One of several things wrong.
#[derive(ToSchema)]
struct Violation {
    param: String,
    message: String,
}

/// A failure, as Anthropic's SDKs know it.
#[derive(ToSchema)]
pub(super) struct AnthropicError {
    #[schema(example = "error")]
    r#type: String,
    error: Value,
    request_id: String,
}

/// A task, the same in polls, events and webhooks.
#[derive(ToSchema)]
pub(super) struct Task {
    #[schema(example = "task_01jd0c4v7hf3b9m2k8q6w5x1yz")]
    task_id: String,
    #[schema(example = "task")]
    object: String,
    r#type: TaskType,
    /// Where it was submitted, below `/api/v1/`.
    route: String,
    model: String,
    mode: KeyMode,
    status: TaskStatus,
    /// Grows with each change: of two tellings, by poll, event or webhook, the one with the higher number is the newer.
    sequence: i64,
    /// 0 to 100, where the provider tells.
    #[schema(minimum = 0, maximum = 100)]
    progress: Option<i64>,
    /// How many jobs are before it at its provider, where the provider tells.
    #[schema(minimum = 0)]
    queue_position: Option<i64>,
    /// How far a piece of music is.
    stage: Option<Stage>,
    /// What is known of songs before they are there: of each its `status`, `text` or `first`, and what its entry in `output` will tell of it.
    #[schema(value_type = Option<Vec<Object>>)]
    clips: Option<Vec<Value>>,
    /// The parameters that count, at most 8 kB of them.
    #[schema(value_type = Object)]
    request: Value,
    /// `true`: the longest parameters were left out of `request`.
    request_truncated: Option<bool>,
    /// The links of `output`.
    response: Vec<String>,
    /// What was made: none until it is completed.
    output: Vec<Output>,
    error: Option<TaskError>,
    error_message: Option<String>,
    /// Set aside while the task is open.
    held_credits: f64,
    held_microcredits: i64,
    /// What it cost: 0 unless completed.
    consumed_credits: f64,
    consumed_microcredits: i64,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    started_at: Option<String>,
    #[schema(format = DateTime)]
    completed_at: Option<String>,
    /// When it fails, free, if it has not ended by then.
    #[schema(format = DateTime)]
    deadline_at: String,
    /// How often a provider was asked.
    attempts: i64,
    callback: Option<Callback>,
    /// `true`, in polls alone: the platform cannot look now whether it has got further.
    stale: Option<bool>,
}

/// What a task makes.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
enum TaskType {
    Image,
    Video,
    Music,
    Speech,
    Transcription,
    Tool,
}

/// The balance a key spends.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
enum KeyMode {
    Live,
    Test,
}

/// How a task stands. A cancelled one is `failed`, with the code `cancelled`.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
enum TaskStatus {
    Queued,
    Processing,
    Completed,
    Failed,
}

/// How far a piece of music is.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
enum Stage {
    Text,
    First,
    Complete,
}

/// A file of ours.
#[derive(ToSchema)]
struct Output {
    /// Signed, good until `expires_at`.
    #[schema(format = "uri")]
    url: String,
    content_type: String,
    bytes: u64,
    sha256: String,
    #[schema(format = DateTime)]
    expires_at: String,
    /// Pixels.
    width: Option<u32>,
    /// Pixels.
    height: Option<u32>,
    duration_seconds: Option<f64>,
    /// Of a song: what its maker calls it.
    id: Option<String>,
    title: Option<String>,
    tags: Option<String>,
    lyrics: Option<String>,
    model_name: Option<String>,
    /// Its cover, which is another of the outputs' files.
    #[schema(format = "uri")]
    image_url: Option<String>,
}

/// Why a task failed.
#[derive(ToSchema)]
struct TaskError {
    code: String,
    message: String,
    /// Whether the same request may succeed if sent again.
    retryable: bool,
}

/// Who is told of the end.
#[derive(ToSchema)]
struct Callback {
    url: String,
}

/// A model: what it takes, and what it costs.
#[derive(ToSchema)]
pub(super) struct Model {
    id: String,
    #[schema(example = "model")]
    object: String,
    /// Seconds UTC.
    created: i64,
    owned_by: String,
    name: String,
    category: String,
    /// Where it is asked, below `/api/v1/`.
    route: String,
    status: String,
    /// The model that serves in the place of this one.
    successor: Option<String>,
    /// That its maker has retired it, say, and who serves it now.
    notice: Option<String>,
    #[schema(value_type = Vec<Object>)]
    parameters: Vec<Value>,
    /// What parameters demand of one another.
    #[schema(value_type = Option<Vec<Object>>)]
    rules: Option<Vec<Value>>,
    /// In micro-credits.
    #[schema(value_type = Option<Object>)]
    price: Option<Value>,
    /// Announced prices.
    #[schema(value_type = Option<Vec<Object>>)]
    next_prices: Option<Vec<Value>>,
    deadline_seconds: u32,
    /// Whether it takes `callback_url`.
    webhook: bool,
    /// How far into its life a task can be cancelled.
    cancel: String,
    /// Limits of a chat model.
    #[schema(value_type = Option<Object>)]
    chat: Option<Value>,
    /// Limits of an embedding model.
    #[schema(value_type = Option<Object>)]
    embedding: Option<Value>,
}

/// The models that the key may use.
#[derive(ToSchema)]
pub(super) struct ModelList {
    #[schema(example = "list")]
    object: String,
    data: Vec<Model>,
}

/// An answer, by OpenAI's chat completions API.
#[derive(ToSchema)]
pub(super) struct ChatCompletion {
    id: String,
    #[schema(example = "chat.completion")]
    object: String,
    created: i64,
    model: String,
    #[schema(value_type = Vec<Object>)]
    choices: Vec<Value>,
    #[schema(value_type = Object)]
    usage: Value,
    /// What it cost.
    credits_consumed: f64,
}

/// An answer, by Anthropic's Messages API.
#[derive(ToSchema)]
pub(super) struct Message {
    id: String,
    #[schema(example = "message")]
    r#type: String,
    role: String,
    model: String,
    #[schema(value_type = Vec<Object>)]
    content: Vec<Value>,
    stop_reason: Option<String>,
    #[schema(value_type = Object)]
    usage: Value,
    credits_consumed: f64,
}

/// How many tokens an input has.
#[derive(ToSchema)]
pub(super) struct TokenCount {
    input_tokens: u64,
}

/// An answer, by OpenAI's Responses API.
#[derive(ToSchema)]
pub(super) struct Response {
    id: String,
    #[schema(example = "response")]
    object: String,
    created_at: Value,
    status: String,
    model: String,
    #[schema(value_type = Vec<Object>)]
    output: Vec<Value>,
    #[schema(value_type = Option<Object>)]
    usage: Option<Value>,
}

/// Vectors, by OpenAI's embeddings API.
#[derive(ToSchema)]
pub(super) struct Embeddings {
    #[schema(example = "list")]
    object: String,
    model: String,
    #[schema(value_type = Vec<Object>)]
    data: Vec<Value>,
    #[schema(value_type = Object)]
    usage: Value,
    credits_consumed: f64,
}

/// A task as operators find it.
#[derive(ToSchema)]
pub(super) struct TaskLine {
    task_id: String,
    account_id: String,
    mode: KeyMode,
    route: String,
    model: String,
    status: TaskStatus,
    /// Closer than `status`: `queued`, `starting`, `running`, `completed`, `failed`.
    state: String,
    provider: Option<String>,
    attempts: i64,
    error_code: Option<String>,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    deadline_at: String,
}

/// What became of a task: more of it than its line, and nothing of its content.
#[derive(ToSchema)]
pub(super) struct TaskStory {
    task_id: String,
    /// What its provider calls it.
    job: Option<String>,
    /// `held`, `captured` or `released`.
    hold: String,
    held_microcredits: i64,
    consumed_microcredits: i64,
    #[schema(value_type = Object)]
    looks: Value,
    /// Each time a provider was asked.
    #[schema(value_type = Vec<Object>)]
    runs: Vec<Value>,
    #[schema(value_type = Vec<Object>)]
    files: Vec<Value>,
    /// What operators did.
    #[schema(value_type = Vec<Object>)]
    interventions: Vec<Value>,
    #[schema(value_type = Vec<Object>)]
    timeline: Vec<Value>,
    /// Events of it on their way to those who are told; `null` where nobody can say just now.
    deliveries: Option<Vec<Delivery>>,
}

/// One event on its way to one URL.
#[derive(ToSchema)]
#[schema(as = TaskDelivery)]
struct Delivery {
    event_id: String,
    #[schema(rename = "type")]
    kind: String,
    /// `null`: the `callback_url`.
    endpoint_id: Option<String>,
    /// `due`, `inflight`, `delivered` or `dead`.
    state: String,
    /// Those that have ended.
    attempts: u32,
    last_status: Option<u32>,
    last_error: Option<String>,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    next_at: Option<String>,
    #[schema(format = DateTime)]
    ended_at: Option<String>,
}
