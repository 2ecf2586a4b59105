//! The answer to a request to Anthropic: what it says, how it is counted, and its two forms on the wire. Pure.

use axum::body::Bytes;
use serde_json::{Value, json};

use super::request::{Asked, Shown};
use crate::{
    answer,
    directive::{Directive, Outcome},
    tokens, words,
};

/// A planned answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    identity: Identity,
    blocks: Vec<Block>,
    stop: Stop,
    usage: Usage,
}

/// What makes an answer this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) id: String,
    /// For a tool call, if there is one.
    pub(super) call_id: String,
    /// For thinking, if there is any.
    pub(super) signature: String,
    pub(super) model: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Block {
    /// As far as it is shown.
    Thinking(&'static str),
    Text(String),
    /// The tool of this name, with no input.
    Call(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    EndTurn,
    MaxTokens,
    ToolUse,
    Refusal,
}

/// Tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Usage {
    input: u32,
    output: u32,
    /// How many of the output.
    thinking: u32,
}

/// How the signature of every block of thinking begins.
pub(super) const SIGNATURE: &str = "c2FuZGJveC";
/// What the sandbox thinks.
const THOUGHT: &str = "The sandbox thinks.";

/// An event of the stream.
pub(super) fn frame(event: &Value) -> Bytes {
    let name = event["type"].as_str().unwrap_or_default();
    format!("event: {name}\ndata: {event}\n\n").into()
}

// === impl Reply ===

impl Reply {
    /// Decides what to answer. A refusing directive gets a plan as well, which is not used.
    pub(super) fn plan(asked: &Asked, directive: &Directive, identity: Identity) -> Self {
        let mut blocks = Vec::new();
        let refused = directive.outcome == Outcome::Moderated;
        let mut thinking = 0;
        if let (Some(shown), false) = (asked.thinking, refused) {
            thinking = tokens::count(THOUGHT).min(asked.limit);
            blocks.push(Block::Thinking(match shown {
                Shown::Summarized => THOUGHT,
                Shown::Omitted => "",
            }));
        }
        let room = asked.limit.saturating_sub(thinking);
        let (stop, said) = match &asked.call {
            _ if refused => (Stop::Refusal, 0),
            Some(name) => {
                blocks.push(Block::Call(name.clone()));
                (Stop::ToolUse, tokens::count(name).saturating_add(1))
            }
            None => {
                let text = words::text(&asked.echo, asked.form, directive);
                let wanted = tokens::count(&text);
                let kept = tokens::first(&text, room);
                if !kept.is_empty() {
                    blocks.push(Block::Text(kept.to_owned()));
                }
                let stop = if wanted > room {
                    Stop::MaxTokens
                } else {
                    Stop::EndTurn
                };
                (stop, wanted)
            }
        };
        let output = thinking.saturating_add(said.min(room));
        let output = if directive.outcome == Outcome::Overreport {
            words::overreported(asked.limit)
        } else {
            output
        };
        Self {
            identity,
            blocks,
            stop,
            usage: Usage {
                input: asked.prompt_tokens,
                output,
                thinking,
            },
        }
    }

    pub(super) fn id(&self) -> &str {
        &self.identity.id
    }

    /// What Anthropic would charge, in micro-US-dollars.
    pub(super) fn price(&self) -> i64 {
        words::price(self.usage.input, self.usage.output)
    }

    /// The answer in one piece.
    pub(super) fn message(&self) -> Value {
        let blocks = self.blocks.iter().map(|block| match block {
            Block::Thinking(text) => json!({
                "type": "thinking", "thinking": text, "signature": self.identity.signature,
            }),
            Block::Text(text) => json!({ "type": "text", "text": text }),
            Block::Call(_) => self.begin(block),
        });
        let message = self.envelope(&blocks.collect(), self.usage.output);
        let message = answer::with(message, "stop_reason", json!(self.stop.as_str()));
        answer::with(message, "stop_details", self.stop.details())
    }

    /// The events before the first block.
    pub(super) fn first_events(&self) -> Vec<Value> {
        let message = self.envelope(&json!([]), self.usage.output.min(1));
        vec![
            json!({ "type": "message_start", "message": message }),
            json!({ "type": "ping" }),
        ]
    }

    /// The events of the blocks, a token each between their begin and their end.
    pub(super) fn block_events(&self) -> Vec<Value> {
        let mut events = Vec::new();
        for (index, block) in self.blocks.iter().enumerate() {
            events.push(json!({
                "type": "content_block_start", "index": index, "content_block": self.begin(block),
            }));
            let deltas = self.deltas(block).into_iter();
            events.extend(deltas.map(
                |delta| json!({ "type": "content_block_delta", "index": index, "delta": delta }),
            ));
            events.push(json!({ "type": "content_block_stop", "index": index }));
        }
        events
    }

    /// The events after the last block.
    pub(super) fn last_events(&self) -> Vec<Value> {
        let delta = json!({
            "stop_reason": self.stop.as_str(), "stop_sequence": null, "stop_details": self.stop.details(),
        });
        let usage = self.usage.json(self.usage.output);
        vec![
            json!({ "type": "message_delta", "delta": delta, "usage": usage }),
            json!({ "type": "message_stop" }),
        ]
    }

    /// A block as its first event shows it.
    fn begin(&self, block: &Block) -> Value {
        match block {
            Block::Thinking(_) => json!({ "type": "thinking", "thinking": "", "signature": "" }),
            Block::Text(_) => json!({ "type": "text", "text": "" }),
            Block::Call(name) => json!({
                "type": "tool_use", "id": self.identity.call_id, "name": name, "input": {},
            }),
        }
    }

    fn deltas(&self, block: &Block) -> Vec<Value> {
        match block {
            Block::Thinking(text) => {
                let pieces = tokens::pieces(text);
                let pieces =
                    pieces.map(|piece| json!({ "type": "thinking_delta", "thinking": piece }));
                let signature =
                    json!({ "type": "signature_delta", "signature": self.identity.signature });
                pieces.chain([signature]).collect()
            }
            Block::Text(text) => tokens::pieces(text)
                .map(|piece| json!({ "type": "text_delta", "text": piece }))
                .collect(),
            Block::Call(_) => ["", "{}"]
                .map(|piece| json!({ "type": "input_json_delta", "partial_json": piece }))
                .to_vec(),
        }
    }

    fn envelope(&self, content: &Value, output: u32) -> Value {
        json!({
            "id": self.identity.id, "type": "message", "role": "assistant", "model": self.identity.model,
            "content": content, "stop_reason": null, "stop_sequence": null, "stop_details": null,
            "usage": self.usage.json(output),
        })
    }
}

// === impl Stop ===

impl Stop {
    fn as_str(self) -> &'static str {
        match self {
            Self::EndTurn => "end_turn",
            Self::MaxTokens => "max_tokens",
            Self::ToolUse => "tool_use",
            Self::Refusal => "refusal",
        }
    }

    fn details(self) -> Value {
        match self {
            Self::EndTurn | Self::MaxTokens | Self::ToolUse => Value::Null,
            Self::Refusal => json!({
                "type": "refusal", "category": "general_harms", "explanation": "The sandbox refuses.",
            }),
        }
    }
}

// === impl Usage ===

impl Usage {
    fn json(self, output: u32) -> Value {
        json!({
            "input_tokens": self.input,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "cache_creation": { "ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0 },
            "output_tokens": output,
            "output_tokens_details": { "thinking_tokens": self.thinking.min(output) },
            "server_tool_use": { "web_search_requests": 0 },
            "service_tier": "standard",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{anthropic::request, directive};

    /// The answer to a prompt, with these extra fields in the request.
    fn check(prompt: &str, extra: &Value) -> Value {
        let mut body = json!({
            "model": "m", "max_tokens": 500, "messages": [{ "role": "user", "content": prompt }],
        });
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
            id: "msg_1".to_owned(),
            call_id: "toolu_1".to_owned(),
            signature: format!("{SIGNATURE}1"),
            model: "m".to_owned(),
        };
        Reply::plan(&asked, &directive, identity).message()
    }

    #[test]
    fn tokens_are_those_of_the_text_up_to_the_limit() {
        for (directive, limit, output, stop) in [
            ("[sandbox tokens=20]", 500, 20, "end_turn"),
            ("[sandbox tokens=20]", 20, 20, "end_turn"),
            ("[sandbox tokens=20]", 5, 5, "max_tokens"),
            ("[sandbox tokens=0]", 5, 0, "end_turn"),
        ] {
            let message = check(directive, &json!({ "max_tokens": limit }));
            assert_eq!(
                message["usage"]["output_tokens"], output,
                "{directive} {limit}"
            );
            assert_eq!(message["stop_reason"], stop, "{directive} {limit}");
            let text = message["content"][0]["text"].as_str().unwrap_or_default();
            assert_eq!(tokens::count(text), output);
        }
    }

    #[test]
    fn thinking_counts_and_is_shown_as_asked() {
        for (thinking, shown) in [
            (
                json!({ "type": "adaptive", "display": "summarized" }),
                THOUGHT,
            ),
            (json!({ "type": "adaptive" }), ""),
        ] {
            let extra = json!({ "thinking": thinking });
            let message = check("[sandbox tokens=20]", &extra);
            assert_eq!(message["content"][0]["thinking"], shown);
            assert_eq!(message["content"][1]["type"], "text");
            assert_eq!(message["usage"]["output_tokens"], 25);
            let details = &message["usage"]["output_tokens_details"];
            assert_eq!(details["thinking_tokens"], 5);
        }
        let message = check("x", &json!({ "thinking": { "type": "disabled" } }));
        assert_eq!(message["content"][0]["type"], "text");
    }

    #[test]
    fn the_outcomes_that_are_answers() {
        let refused = check("[sandbox outcome=moderated]", &json!({}));
        assert_eq!(
            (&refused["content"], &refused["stop_reason"]),
            (&json!([]), &json!("refusal"))
        );
        assert_eq!(refused["stop_details"]["type"], "refusal");
        let over = check(
            "[sandbox outcome=overreport]",
            &json!({ "max_tokens": 100 }),
        );
        assert_eq!(over["usage"]["output_tokens"], 2_000);
        let tool = json!({ "name": "f", "input_schema": { "type": "object" } });
        let extra = json!({ "tools": [tool], "tool_choice": { "type": "any" } });
        let called = check("x", &extra);
        let call = json!({ "type": "tool_use", "id": "toolu_1", "name": "f", "input": {} });
        assert_eq!(
            (&called["content"], &called["stop_reason"]),
            (&json!([call]), &json!("tool_use"))
        );
        let extra =
            json!({ "output_config": { "format": { "type": "json_schema", "schema": {} } } });
        let message = check("x", &extra);
        let text = message["content"][0]["text"].as_str().unwrap();
        assert!(serde_json::from_str::<Value>(text).unwrap()["sandbox"].is_string());
    }
}
