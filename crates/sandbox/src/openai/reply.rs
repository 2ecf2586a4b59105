//! The answer to a chat request: what it says, how it is counted, and its two forms on the wire. Pure.

use axum::body::Bytes;
use serde_json::{Value, json};

use super::request::{Asked, Delivery, UsageEvent};
use crate::{
    answer,
    directive::{Directive, Outcome},
    tokens, words,
};

/// A planned answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    identity: Identity,
    content: Content,
    finish: Finish,
    usage: Usage,
}

/// What makes an answer this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) id: String,
    /// For a tool call, if there is one.
    pub(super) call_id: String,
    /// Seconds UTC.
    pub(super) created: i64,
    pub(super) model: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Content {
    Text(String),
    /// The function of this name, with no arguments.
    Call(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Finish {
    Stop,
    Length,
    ToolCalls,
    ContentFilter,
}

/// Tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Usage {
    prompt: u32,
    completion: u32,
}

/// The arguments of every tool call.
const ARGUMENTS: &str = "{}";
const DONE: Bytes = Bytes::from_static(b"data: [DONE]\n\n");

/// An event of the stream.
pub(super) fn frame(chunk: &Value) -> Bytes {
    format!("data: {chunk}\n\n").into()
}

// === impl Reply ===

impl Reply {
    /// Decides what to answer. A refusing directive gets a plan as well, which is not used.
    pub(super) fn plan(asked: &Asked, directive: &Directive, identity: Identity) -> Self {
        let (content, finish, tokens) = match (&asked.call, directive.outcome) {
            (_, Outcome::Moderated) => (Content::Text(String::new()), Finish::ContentFilter, 0),
            (Some(name), _) => {
                let tokens = tokens::count(name) + tokens::count(ARGUMENTS);
                (Content::Call(name.clone()), Finish::ToolCalls, tokens)
            }
            (None, _) => {
                let text = words::text(&asked.echo, asked.form, directive);
                let tokens = tokens::count(&text);
                let limit = asked.limit.unwrap_or(u32::MAX);
                let finish = if tokens > limit {
                    Finish::Length
                } else {
                    Finish::Stop
                };
                let kept = tokens::first(&text, limit).to_owned();
                (Content::Text(kept), finish, tokens)
            }
        };
        let tokens = tokens.min(asked.limit.unwrap_or(u32::MAX));
        let completion = if directive.outcome == Outcome::Overreport {
            words::overreported(asked.limit.unwrap_or(tokens))
        } else {
            tokens
        };
        Self {
            identity,
            content,
            finish,
            usage: Usage {
                prompt: asked.prompt_tokens,
                completion,
            },
        }
    }

    pub(super) fn id(&self) -> &str {
        &self.identity.id
    }

    /// What a provider would charge, in micro-US-dollars.
    pub(super) fn price(&self) -> i64 {
        words::price(self.usage.prompt, self.usage.completion)
    }

    /// The answer in one piece.
    pub(super) fn completion(&self) -> Value {
        let message = json!({ "role": "assistant", "refusal": null, "annotations": [] });
        let message = match &self.content {
            Content::Text(text) => answer::with(message, "content", json!(text)),
            Content::Call(name) => {
                let message = answer::with(message, "content", Value::Null);
                let function = json!({ "name": name, "arguments": ARGUMENTS });
                let call = json!({
                    "id": self.identity.call_id, "type": "function", "function": function,
                });
                answer::with(message, "tool_calls", json!([call]))
            }
        };
        let choice = json!({
            "index": 0, "message": message, "finish_reason": self.finish.as_str(), "logprobs": null,
        });
        let body = self.envelope("chat.completion", &json!([choice]));
        answer::with(body, "usage", self.usage.json())
    }

    /// The event that begins a stream: the role.
    pub(super) fn first_chunk(&self, delivery: Delivery) -> Bytes {
        let delta = json!({ "role": "assistant", "content": "" });
        frame(&self.chunk(delta, delivery))
    }

    /// What the events in the middle carry, a token each.
    pub(super) fn deltas(&self) -> Vec<Value> {
        match &self.content {
            Content::Text(text) => tokens::pieces(text)
                .map(|piece| json!({ "content": piece }))
                .collect(),
            Content::Call(name) => {
                let function = json!({ "name": name, "arguments": "" });
                let begin = json!({
                    "index": 0, "id": self.identity.call_id, "type": "function", "function": function,
                });
                let arguments = json!({ "index": 0, "function": { "arguments": ARGUMENTS } });
                vec![
                    json!({ "tool_calls": [begin] }),
                    json!({ "tool_calls": [arguments] }),
                ]
            }
        }
    }

    /// One event with this delta.
    pub(super) fn chunk(&self, delta: Value, delivery: Delivery) -> Value {
        self.piece(delta, Value::Null, delivery)
    }

    /// The events that end a stream: the reason, the usage if it was asked for, `[DONE]`.
    pub(super) fn last_chunks(&self, delivery: Delivery) -> Vec<Bytes> {
        let reason = json!(self.finish.as_str());
        let mut chunks = vec![frame(&self.piece(json!({}), reason, delivery))];
        if delivery == Delivery::Stream(UsageEvent::Sent) {
            let chunk = self.envelope("chat.completion.chunk", &json!([]));
            let usage = answer::with(chunk, "usage", self.usage.json());
            chunks.push(frame(&usage));
        }
        chunks.push(DONE);
        chunks
    }

    fn piece(&self, delta: Value, finish: Value, delivery: Delivery) -> Value {
        let choice =
            json!({ "index": 0, "delta": delta, "finish_reason": finish, "logprobs": null });
        let chunk = self.envelope("chat.completion.chunk", &json!([choice]));
        match delivery {
            Delivery::Stream(UsageEvent::Sent) => answer::with(chunk, "usage", Value::Null),
            Delivery::Stream(UsageEvent::Left) | Delivery::Whole => chunk,
        }
    }

    fn envelope(&self, object: &str, choices: &Value) -> Value {
        json!({
            "id": self.identity.id, "object": object, "created": self.identity.created,
            "model": self.identity.model, "service_tier": "default", "system_fingerprint": null,
            "choices": choices,
        })
    }
}

// === impl Finish ===

impl Finish {
    fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ToolCalls => "tool_calls",
            Self::ContentFilter => "content_filter",
        }
    }
}

// === impl Usage ===

impl Usage {
    fn json(self) -> Value {
        json!({
            "prompt_tokens": self.prompt,
            "completion_tokens": self.completion,
            "total_tokens": self.prompt.saturating_add(self.completion),
            "prompt_tokens_details": { "cached_tokens": 0, "audio_tokens": 0, "cache_write_tokens": 0 },
            "completion_tokens_details": {
                "reasoning_tokens": 0, "audio_tokens": 0,
                "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{directive, openai::request};

    /// The answer to a prompt, with these extra fields in the request.
    fn check(prompt: &str, extra: &Value) -> Value {
        let mut body = json!({ "model": "m", "messages": [{ "role": "user", "content": prompt }] });
        for (key, value) in extra.as_object().unwrap() {
            body[key] = value.clone();
        }
        let asked = request::read(body.to_string().as_bytes()).unwrap();
        let bounds = directive::Bounds {
            max_delay: std::time::Duration::from_secs(1),
            max_tokens: 1_000,
        };
        let directive = directive::parse(prompt, &bounds);
        let identity = Identity {
            id: "chatcmpl-1".to_owned(),
            call_id: "call_1".to_owned(),
            created: 1_790_000_000,
            model: "m".to_owned(),
        };
        let reply = Reply::plan(&asked, &directive, identity);
        let pieces = u32::try_from(reply.deltas().len()).unwrap();
        let overreports = directive.outcome == Outcome::Overreport;
        assert!(pieces == reply.usage.completion || asked.call.is_some() || overreports);
        reply.completion()
    }

    fn content(completion: &Value) -> &str {
        completion["choices"][0]["message"]["content"]
            .as_str()
            .unwrap()
    }

    #[test]
    fn as_many_tokens_as_the_directive_wants() {
        for tokens in [0_u32, 1, 7, 30, 999] {
            for extra in [
                json!({}),
                json!({"response_format": {"type": "json_object"}}),
            ] {
                let completion = check(&format!("ü [sandbox tokens={tokens}]"), &extra);
                assert_eq!(completion["usage"]["completion_tokens"], tokens);
                assert_eq!(tokens::count(content(&completion)), tokens);
                assert_eq!(completion["choices"][0]["finish_reason"], "stop");
            }
        }
    }

    #[test]
    fn the_limit_of_the_request_is_kept() {
        for field in ["max_tokens", "max_completion_tokens"] {
            let completion = check("[sandbox tokens=20]", &json!({ field: 5 }));
            assert_eq!(completion["usage"]["completion_tokens"], 5);
            assert_eq!(completion["choices"][0]["finish_reason"], "length");
            let completion = check("[sandbox tokens=20]", &json!({ field: 20 }));
            assert_eq!(completion["choices"][0]["finish_reason"], "stop");
        }
    }

    #[test]
    fn json_is_json() {
        let extra = json!({ "response_format": { "type": "json_object" } });
        for prompt in ["\"quoted\" [sandbox outcome=\"x\"]", "[sandbox tokens=200]"] {
            let completion = check(prompt, &extra);
            let parsed: Value = serde_json::from_str(content(&completion)).unwrap();
            assert!(parsed["sandbox"].is_string());
        }
    }

    #[test]
    fn a_typing_error_is_told() {
        let completion = check("[sandbox outcome=fial]", &json!({}));
        assert!(content(&completion).ends_with("Directive not understood: outcome=fial."));
    }

    #[test]
    fn more_than_allowed_is_reported_when_asked_for() {
        let completion = check(
            "[sandbox outcome=overreport]",
            &json!({ "max_tokens": 100 }),
        );
        assert_eq!(completion["usage"]["completion_tokens"], 2_000);
    }

    #[test]
    fn a_moderated_answer_is_empty() {
        let completion = check("[sandbox outcome=moderated]", &json!({}));
        assert_eq!(completion["choices"][0]["finish_reason"], "content_filter");
        assert_eq!(
            (
                content(&completion),
                &completion["usage"]["completion_tokens"]
            ),
            ("", &json!(0))
        );
    }

    #[test]
    fn a_required_tool_is_called() {
        let tools = json!([{ "type": "function", "function": { "name": "get_weather" } }]);
        let extra = json!({ "tools": tools, "tool_choice": "required" });
        let choice = &check("x", &extra)["choices"][0];
        assert_eq!(choice["finish_reason"], "tool_calls");
        assert!(choice["message"]["content"].is_null());
        let function = &choice["message"]["tool_calls"][0]["function"];
        assert_eq!(
            function,
            &json!({ "name": "get_weather", "arguments": "{}" })
        );
    }
}
