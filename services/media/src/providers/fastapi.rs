//! What providers whose servers are FastAPI's say is wrong with a request: one text, or a list with a `msg` for each part of it
//! (docs of FastAPI, "Handling Errors"). Pure.

use serde_json::Value;

/// The words of a `detail`; `None` where it is neither of the two.
pub(super) fn words(detail: &Value) -> Option<String> {
    match detail {
        Value::String(text) => Some(text.clone()),
        Value::Array(items) => {
            let texts: Vec<&str> = items
                .iter()
                .filter_map(|item| item.get("msg")?.as_str())
                .collect();
            Some(texts.join("; "))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    }
}
