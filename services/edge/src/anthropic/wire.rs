//! What chat answers, in OpenAI's form, read leniently: it is charged by then, so what is odd about a part of it must not cost the customer
//! the rest.

use std::borrow::Cow;

use serde_json::{Value, json};

/// Members of ours that are told as they are.
const NOTES: [&str; 2] = ["finish_code", "usage_source"];

/// An answer, or an event of one.
pub(super) struct Chat(Value);

/// Its one choice: only one can be asked for.
#[derive(Clone, Copy)]
pub(super) struct Choice<'a>(&'a Value);

/// A message, or what an event adds to it.
#[derive(Clone, Copy)]
pub(super) struct Part<'a>(&'a Value);

/// A tool call, or what an event adds to it.
#[derive(Clone, Copy)]
pub(super) struct Call<'a>(&'a Value);

/// Tokens, in Anthropic's classes: what was read from a cache is no part of the input there.
#[derive(Clone, Copy, Default)]
pub(super) struct Usage {
    input: u64,
    cached: u64,
    output: u64,
}

// === impl Chat ===

impl Chat {
    /// Reads an object; `None` for anything else.
    pub(super) fn parse(json: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(json).ok()?;
        value.is_object().then_some(Self(value))
    }

    pub(super) fn model(&self) -> &str {
        text(&self.0, "model").unwrap_or_default()
    }

    pub(super) fn choice(&self) -> Option<Choice<'_>> {
        self.0.get("choices")?.get(0).map(Choice)
    }

    pub(super) fn usage(&self) -> Option<Usage> {
        self.0
            .get("usage")
            .filter(|usage| usage.is_object())
            .map(Usage::of)
    }

    /// What we add.
    pub(super) fn credits(&self) -> Option<&Value> {
        self.0
            .get("credits_consumed")
            .filter(|credits| !credits.is_null())
    }

    /// What else we add: why the answer ended, and who counted.
    pub(super) fn notes(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        let note = |name| self.0.get(name).map(|value| (name, value));
        NOTES.into_iter().filter_map(note)
    }
}

// === impl Choice ===

impl<'a> Choice<'a> {
    /// Of a whole answer.
    pub(super) fn message(self) -> Part<'a> {
        Part(self.0.get("message").unwrap_or(&Value::Null))
    }

    /// Of an event.
    pub(super) fn delta(self) -> Part<'a> {
        Part(self.0.get("delta").unwrap_or(&Value::Null))
    }

    pub(super) fn finish_reason(self) -> Option<&'a str> {
        text(self.0, "finish_reason")
    }
}

// === impl Part ===

impl<'a> Part<'a> {
    /// Every text that is not a thought.
    pub(super) fn text(self) -> String {
        let content = match self.0.get("content") {
            Some(Value::String(content)) => content.clone(),
            Some(Value::Array(parts)) => {
                parts.iter().filter_map(|part| text(part, "text")).collect()
            }
            Some(_) | None => String::new(),
        };
        content + text(self.0, "refusal").unwrap_or_default()
    }

    pub(super) fn thought(self) -> &'a str {
        text(self.0, "reasoning_content").unwrap_or_default()
    }

    pub(super) fn calls(self) -> impl Iterator<Item = Call<'a>> {
        list(self.0, "tool_calls").iter().map(Call)
    }

    /// Blocks of thinking as Anthropic signed them, whole: chat's own extra.
    pub(super) fn signed(self) -> impl Iterator<Item = Value> {
        list(self.0, "reasoning_details").iter().filter_map(|detail| {
            let known = |name| text(detail, name);
            match known("type")? {
                "thinking" => {
                    let (thinking, signature) = (known("thinking"), known("signature")?);
                    Some(json!({ "type": "thinking", "thinking": thinking.unwrap_or_default(), "signature": signature }))
                }
                "redacted_thinking" => {
                    Some(json!({ "type": "redacted_thinking", "data": known("data")? }))
                }
                // Another maker's.
                _ => None,
            }
        })
    }
}

// === impl Call ===

impl<'a> Call<'a> {
    /// Of an event: which call it goes on with.
    pub(super) fn index(self) -> u64 {
        self.0
            .get("index")
            .and_then(Value::as_u64)
            .unwrap_or_default()
    }

    pub(super) fn id(self) -> Option<&'a str> {
        text(self.0, "id").filter(|id| !id.is_empty())
    }

    pub(super) fn name(self) -> Option<&'a str> {
        let name = text(self.0.get("function")?, "name");
        name.filter(|name| !name.is_empty())
    }

    /// JSON, or a part of it.
    pub(super) fn arguments(self) -> Cow<'a, str> {
        match self
            .0
            .get("function")
            .and_then(|function| function.get("arguments"))
        {
            Some(Value::String(arguments)) => arguments.into(),
            Some(arguments @ Value::Object(_)) => arguments.to_string().into(),
            Some(_) | None => "".into(),
        }
    }

    /// The beginning of its block. Google's models want `extra_content` back with the tool's result, as it came.
    pub(super) fn block(self, id: &str, input: Value) -> Value {
        let mut block = json!({ "type": "tool_use", "id": id, "name": self.name().unwrap_or_default(), "input": input });
        let extra = self.0.get("extra_content").filter(|extra| !extra.is_null());
        if let (Some(extra), Some(block)) = (extra, block.as_object_mut()) {
            block.insert("extra_content".to_owned(), extra.clone());
        }
        block
    }
}

// === impl Usage ===

impl Usage {
    fn of(usage: &Value) -> Self {
        let count =
            |of: &Value, name: &str| of.get(name).and_then(Value::as_u64).unwrap_or_default();
        let (prompt, completion) = (
            count(usage, "prompt_tokens"),
            count(usage, "completion_tokens"),
        );
        let details = usage.get("prompt_tokens_details").unwrap_or(&Value::Null);
        let cached = count(details, "cached_tokens").min(prompt);
        // Google may count reasoning in the total alone; it is charged as output.
        let beside = count(usage, "total_tokens").saturating_sub(prompt);
        Self {
            input: prompt.saturating_sub(cached),
            cached,
            output: completion.max(beside),
        }
    }

    pub(super) fn to_json(self) -> Value {
        json!({
            "input_tokens": self.input,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": self.cached,
            "output_tokens": self.output,
        })
    }
}

/// Why an answer ended, in Anthropic's words. Providers call tools and say `stop` where the tool was named in the request.
pub(super) fn stop_reason(finish_reason: Option<&str>, calls: usize) -> &'static str {
    match finish_reason {
        Some("length") => "max_tokens",
        Some("content_filter") => "refusal",
        Some("tool_calls" | "function_call") => "tool_use",
        Some(_) | None if calls > 0 => "tool_use",
        Some(_) | None => "end_turn",
    }
}

fn text<'a>(of: &'a Value, name: &str) -> Option<&'a str> {
    of.get(name)?.as_str()
}

fn list<'a>(of: &'a Value, name: &str) -> &'a [Value] {
    of.get(name)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}
