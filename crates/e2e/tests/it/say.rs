//! What the tests say to the program again and again.

use serde_json::{Value, json};
use time::OffsetDateTime;

/// What an image costs that says nothing but its prompt, in micro-credits.
pub(crate) const IMAGE: i64 = 5_000_000;

/// For tests that bring a small machine to its knees: slowness is not what they are about.
pub(crate) const UNHURRIED: [(&str, &str); 8] = [
    ("AIO_LIMITS__DEADLINES__BILLING", "60s"),
    ("AIO_LIMITS__DEADLINES__SUBMIT", "60s"),
    ("AIO_LIMITS__DEADLINES__MEDIA", "60s"),
    ("AIO_LIMITS__MEDIA__SUBMIT__HOLD_TIMEOUT", "45s"),
    ("AIO_LIMITS__MEDIA__SUBMIT__ACCEPT_TIMEOUT", "45s"),
    ("AIO_LIMITS__CHAT__BILLING__HOLD_WINDOW", "45s"),
    ("AIO_DATABASE__ACQUIRE_TIMEOUT", "45s"),
    ("AIO_DATABASE__WRITE_ACQUIRE_TIMEOUT", "45s"),
];

/// Webhooks are tried again within seconds.
pub(crate) const SOON: (&str, &str) = (
    "AIO_WEBHOOKS__SCHEDULE",
    r#"["0s", "200ms", "1s", "1s", "1s", "1s"]"#,
);

/// A name that nobody has, also where others were before.
pub(crate) fn unique(name: &str) -> String {
    let now = OffsetDateTime::now_utc().unix_timestamp_nanos();
    format!("{name}-{now}")
}

/// A chat request with this text.
pub(crate) fn chat(text: &str) -> Value {
    json!({ "model": "gemini", "messages": [{ "role": "user", "content": text }] })
}

/// A request for the embedding of this text.
pub(crate) fn embedding(text: &str) -> Value {
    json!({ "model": "text-embedding-3-small", "input": text, "dimensions": 8 })
}

/// An image request with this prompt.
pub(crate) fn image(prompt: &str) -> Value {
    json!({ "model": "flux-2", "prompt": prompt })
}

/// An image request that wants to be called back.
pub(crate) fn image_calling(prompt: &str, callback_url: &str) -> Value {
    json!({ "model": "flux-2", "prompt": prompt, "callback_url": callback_url })
}
