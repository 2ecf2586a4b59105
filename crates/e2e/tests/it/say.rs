//! What the tests say to the program again and again.

use serde_json::{Value, json};

/// What an image costs that says nothing but its prompt, in micro-credits.
pub(crate) const IMAGE: i64 = 5_000_000;

/// For tests that bring a small machine to its knees: slowness is not what they are about.
pub(crate) const UNHURRIED: [(&str, &str); 5] = [
    ("AIO_LIMITS__DEADLINES__BILLING", "60s"),
    ("AIO_LIMITS__DEADLINES__SUBMIT", "60s"),
    ("AIO_LIMITS__DEADLINES__MEDIA", "60s"),
    ("AIO_LIMITS__MEDIA__HOLD_TIMEOUT", "45s"),
    ("AIO_LIMITS__CHAT__BILLING__HOLD_WINDOW", "45s"),
];

/// A chat request with this text.
pub(crate) fn chat(text: &str) -> Value {
    json!({ "model": "gemini", "messages": [{ "role": "user", "content": text }] })
}

/// An image request with this prompt.
pub(crate) fn image(prompt: &str) -> Value {
    json!({ "model": "flux-2", "prompt": prompt })
}

/// An image request that wants to be called back.
pub(crate) fn image_calling(prompt: &str, callback_url: &str) -> Value {
    json!({ "model": "flux-2", "prompt": prompt, "callback_url": callback_url })
}
