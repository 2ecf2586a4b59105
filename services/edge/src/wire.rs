//! What chat answers, in OpenAI's form, read leniently: it is charged by then, so what is odd about a part of it must not cost the customer
//! the rest.

use std::borrow::Cow;

use serde::de::IgnoredAny;
use serde_json::Value;

/// Members of ours that are told as they are.
const NOTES: [&str; 2] = ["finish_code", "usage_source"];

/// An answer, or an event of one.
pub(crate) struct Chat(Value);

/// Its one choice: only one can be asked for.
#[derive(Clone, Copy)]
pub(crate) struct Choice<'a>(&'a Value);

/// A message, or what an event adds to it.
#[derive(Clone, Copy)]
pub(crate) struct Part<'a>(&'a Value);

/// A tool call, or what an event adds to it.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a>(&'a Value);

/// Tokens: what was read from a cache is part of the input, what was thought is part of the output.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    pub(crate) input: u64,
    pub(crate) cached: u64,
    pub(crate) output: u64,
    pub(crate) reasoning: u64,
}

/// A tool call that is being told, part by part.
pub(crate) struct Telling {
    index: u64,
    id: Option<String>,
    /// What came of them.
    pub(crate) arguments: String,
}

// === impl Chat ===

impl Chat {
    /// Reads an object; `None` for anything else.
    pub(crate) fn parse(json: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(json).ok()?;
        value.is_object().then_some(Self(value))
    }

    pub(crate) fn model(&self) -> &str {
        text(&self.0, "model").unwrap_or_default()
    }

    pub(crate) fn choice(&self) -> Option<Choice<'_>> {
        self.0.get("choices")?.get(0).map(Choice)
    }

    pub(crate) fn usage(&self) -> Option<Usage> {
        self.0
            .get("usage")
            .filter(|usage| usage.is_object())
            .map(Usage::of)
    }

    /// What we add.
    pub(crate) fn credits(&self) -> Option<&Value> {
        self.0
            .get("credits_consumed")
            .filter(|credits| !credits.is_null())
    }

    /// What else we add: why the answer ended, and who counted.
    pub(crate) fn notes(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        let note = |name| self.0.get(name).map(|value| (name, value));
        NOTES.into_iter().filter_map(note)
    }
}

// === impl Choice ===

impl<'a> Choice<'a> {
    /// Of a whole answer.
    pub(crate) fn message(self) -> Part<'a> {
        Part(self.0.get("message").unwrap_or(&Value::Null))
    }

    /// Of an event.
    pub(crate) fn delta(self) -> Part<'a> {
        Part(self.0.get("delta").unwrap_or(&Value::Null))
    }

    /// How likely its tokens were, if that was asked for.
    pub(crate) fn logprobs(self) -> &'a [Value] {
        let logprobs = self.0.get("logprobs");
        logprobs.map_or(&[], |logprobs| list(logprobs, "content"))
    }

    pub(crate) fn finish_reason(self) -> Option<&'a str> {
        text(self.0, "finish_reason")
    }
}

// === impl Part ===

impl<'a> Part<'a> {
    /// Every text that is neither a thought nor a refusal.
    pub(crate) fn content(self) -> String {
        match self.0.get("content") {
            Some(Value::String(content)) => content.clone(),
            Some(Value::Array(parts)) => {
                parts.iter().filter_map(|part| text(part, "text")).collect()
            }
            Some(_) | None => String::new(),
        }
    }

    pub(crate) fn refusal(self) -> &'a str {
        text(self.0, "refusal").unwrap_or_default()
    }

    /// Every text that is not a thought.
    pub(crate) fn text(self) -> String {
        self.content() + self.refusal()
    }

    pub(crate) fn thought(self) -> &'a str {
        text(self.0, "reasoning_content").unwrap_or_default()
    }

    pub(crate) fn calls(self) -> impl Iterator<Item = Call<'a>> {
        list(self.0, "tool_calls").iter().map(Call)
    }

    /// Blocks of thinking as their maker signed them, whole, and in their places: chat's own extra. Other makers' are not among them.
    pub(crate) fn signed(self) -> impl Iterator<Item = &'a Value> {
        list(self.0, "reasoning_details")
            .iter()
            .filter(|detail| match text(detail, "type") {
                Some("thinking") => text(detail, "signature").is_some(),
                Some("redacted_thinking") => text(detail, "data").is_some(),
                Some(_) | None => false,
            })
    }
}

// === impl Call ===

impl<'a> Call<'a> {
    /// Of an event: which call it goes on with.
    pub(crate) fn index(self) -> u64 {
        self.0
            .get("index")
            .and_then(Value::as_u64)
            .unwrap_or_default()
    }

    pub(crate) fn id(self) -> Option<&'a str> {
        text(self.0, "id").filter(|id| !id.is_empty())
    }

    pub(crate) fn name(self) -> Option<&'a str> {
        let name = text(self.0.get("function")?, "name");
        name.filter(|name| !name.is_empty())
    }

    /// JSON, or a part of it.
    pub(crate) fn arguments(self) -> Cow<'a, str> {
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

    /// What Google's models want back with the tool's result, as it came.
    pub(crate) fn extra(self) -> Option<&'a Value> {
        self.0.get("extra_content").filter(|extra| !extra.is_null())
    }
}

// === impl Usage ===

impl Usage {
    fn of(usage: &Value) -> Self {
        let count =
            |of: &Value, name: &str| of.get(name).and_then(Value::as_u64).unwrap_or_default();
        let details = |name: &str| usage.get(name).unwrap_or(&Value::Null);
        let (prompt, completion) = (
            count(usage, "prompt_tokens"),
            count(usage, "completion_tokens"),
        );
        // Google may count reasoning in the total alone; it is charged as output.
        let beside = count(usage, "total_tokens").saturating_sub(prompt);
        let output = completion.max(beside);
        let told = count(details("completion_tokens_details"), "reasoning_tokens");
        Self {
            input: prompt,
            cached: count(details("prompt_tokens_details"), "cached_tokens").min(prompt),
            output,
            reasoning: told.max(output.saturating_sub(completion)).min(output),
        }
    }
}

// === impl Telling ===

impl Telling {
    /// A call that begins with this part, which is not taken yet.
    pub(crate) fn of(call: Call<'_>) -> Self {
        Self {
            index: call.index(),
            id: call.id().map(str::to_owned),
            arguments: String::new(),
        }
    }

    /// Whether an event adds to this call. Some servers give every call the index 0; then a name begins another one, if it has an id of
    /// its own or this one is complete.
    pub(crate) fn goes_on_with(&self, call: Call<'_>) -> bool {
        let another_id = || call.id().is_some() && call.id() != self.id.as_deref();
        let complete = || serde_json::from_str::<IgnoredAny>(&self.arguments).is_ok();
        // In this order: most events have no name, and arguments may be long.
        self.index == call.index() && !(call.name().is_some() && (another_id() || complete()))
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
