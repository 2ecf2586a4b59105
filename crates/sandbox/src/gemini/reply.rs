//! The answer to a request to Gemini: what it says, how it is counted, and its two forms on the wire. Pure.

use axum::body::Bytes;
use serde_json::{Value, json};

use super::request::{Asked, Logprobs, Shown};
use crate::{
    answer,
    directive::{Directive, Outcome},
    tokens, words,
};

/// A planned answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    identity: Identity,
    /// The parts of each candidate.
    parts: Vec<Part>,
    candidates: u32,
    finish: Finish,
    logprobs: Logprobs,
    usage: Usage,
}

/// What makes an answer this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) id: String,
    /// What the ids of calls begin with.
    pub(super) call_id: String,
    pub(super) signature: String,
    pub(super) model: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Thought(&'static str),
    Text(String),
    /// The function of this name, with no arguments.
    Call(String),
    /// What signs a text, at its end.
    Signature,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Finish {
    Stop,
    MaxTokens,
    Safety,
}

/// Tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Usage {
    prompt: u32,
    /// Of all candidates, without thoughts.
    output: u32,
    thoughts: u32,
}

/// How every signature begins.
pub(super) const SIGNATURE: &str = "c2FuZGJveC";
/// What the sandbox thinks.
const THOUGHT: &str = "The sandbox thinks.";
/// Why it stops where it does.
const BLOCKED: &str = "The sandbox blocks.";
/// Half as likely as not, about.
const LOGPROB: f64 = -0.5;

/// An event of the stream.
pub(super) fn frame(event: &Value) -> Bytes {
    format!("data: {event}\n\n").into()
}

// === impl Reply ===

impl Reply {
    /// Decides what to answer. A refusing directive gets a plan as well, which is not used.
    pub(super) fn plan(asked: &Asked, directive: &Directive, identity: Identity) -> Self {
        let mut parts = Vec::new();
        let blocked = directive.outcome == Outcome::Moderated;
        let mut thoughts = 0;
        if let (Some(shown), false) = (asked.thinking, blocked) {
            thoughts = tokens::count(THOUGHT).min(asked.limit);
            if shown == Shown::Yes {
                parts.push(Part::Thought(THOUGHT));
            }
        }
        let room = asked.limit.saturating_sub(thoughts);
        let (finish, said) = if asked.calls.is_empty() || blocked {
            let text = match (blocked, directive.tokens) {
                // What had been said when the filter noticed.
                (true, None) => String::new(),
                (true, Some(_)) | (false, _) => words::text(&asked.echo, asked.form, directive),
            };
            let wanted = tokens::count(&text);
            let kept = tokens::first(&text, room);
            if !kept.is_empty() {
                parts.push(Part::Text(kept.to_owned()));
            }
            let finish = match (blocked, wanted > room) {
                (true, _) => Finish::Safety,
                (false, true) => Finish::MaxTokens,
                (false, false) => Finish::Stop,
            };
            if thoughts > 0 {
                parts.push(Part::Signature);
            }
            (finish, wanted)
        } else {
            parts.extend(asked.calls.iter().cloned().map(Part::Call));
            let counts = asked.calls.iter().map(|name| tokens::count(name) + 1);
            (Finish::Stop, counts.sum())
        };
        let output = if directive.outcome == Outcome::Overreport {
            words::overreported(asked.limit)
        } else {
            said.min(room)
        };
        Self {
            identity,
            parts,
            candidates: asked.candidates,
            finish,
            logprobs: asked.logprobs,
            usage: Usage {
                prompt: asked.prompt_tokens,
                output: output.saturating_mul(asked.candidates),
                thoughts: thoughts.saturating_mul(asked.candidates),
            },
        }
    }

    pub(super) fn id(&self) -> &str {
        &self.identity.id
    }

    /// What Google would charge, in micro-US-dollars.
    pub(super) fn price(&self) -> i64 {
        let output = self.usage.output.saturating_add(self.usage.thoughts);
        words::price(self.usage.prompt, output)
    }

    /// The answer in one piece.
    pub(super) fn response(&self) -> Value {
        let candidates = (0..self.candidates).map(|index| {
            let parts: Vec<Value> = self.wire(index).into_iter().flatten().collect();
            self.end(self.candidate(index, &parts.into()))
        });
        self.envelope(&candidates.collect(), self.usage)
    }

    /// The same as events, a token each. Usage counts from the beginning.
    pub(super) fn events(&self) -> Vec<Value> {
        let mut events = Vec::new();
        let mut usage = Usage {
            output: 0,
            thoughts: 0,
            ..self.usage
        };
        for index in 0..self.candidates {
            for part in &self.parts {
                for piece in self.pieces(index, part) {
                    match part {
                        Part::Thought(_) => usage.thoughts = usage.thoughts.saturating_add(1),
                        Part::Text(_) | Part::Call(_) | Part::Signature => {
                            usage.output = usage.output.saturating_add(1).min(self.usage.output);
                        }
                    }
                    let candidate = self.candidate(index, &json!([piece]));
                    events.push(self.envelope(&json!([candidate]), usage));
                }
            }
            let last = index.saturating_add(1) == self.candidates;
            let usage = if last { self.usage } else { usage };
            let end = self.end(self.candidate(index, &json!([{ "text": "" }])));
            events.push(self.envelope(&json!([end]), usage));
        }
        events
    }

    /// The parts of a candidate, each whole.
    fn wire(&self, index: u32) -> Vec<Option<Value>> {
        let part = |part: &Part| match part {
            Part::Thought(text) => Some(json!({ "text": text, "thought": true })),
            Part::Text(text) => Some(json!({ "text": text })),
            Part::Call(_) | Part::Signature => self.pieces(index, part).pop(),
        };
        self.parts.iter().map(part).collect()
    }

    /// A part as a stream tells it.
    fn pieces(&self, index: u32, part: &Part) -> Vec<Value> {
        match part {
            Part::Thought(text) => tokens::pieces(text)
                .map(|piece| json!({ "text": piece, "thought": true }))
                .collect(),
            Part::Text(text) => tokens::pieces(text)
                .map(|piece| json!({ "text": piece }))
                .collect(),
            Part::Call(name) => {
                let calls = self
                    .parts
                    .iter()
                    .filter(|part| matches!(part, Part::Call(_)));
                let place = calls
                    .clone()
                    .position(|call| call == part)
                    .unwrap_or_default();
                let id = format!("{}{index}{place}", self.identity.call_id);
                let call = json!({ "functionCall": { "id": id, "name": name, "args": {} } });
                // Of calls at once the first is signed.
                vec![match place {
                    0 => answer::with(call, "thoughtSignature", json!(self.identity.signature)),
                    _ => call,
                }]
            }
            Part::Signature => {
                vec![json!({ "text": "", "thoughtSignature": self.identity.signature })]
            }
        }
    }

    fn candidate(&self, index: u32, parts: &Value) -> Value {
        let content = json!({ "role": "model", "parts": parts });
        let candidate = json!({ "content": content, "index": index });
        let texts = parts.as_array().into_iter().flatten();
        let said = texts.filter(|part| part["thought"].is_null());
        let said: String = said.filter_map(|part| part["text"].as_str()).collect();
        if self.logprobs == Logprobs::Unwanted || said.is_empty() {
            return candidate;
        }
        let tokens: Vec<Value> = tokens::pieces(&said)
            .map(|token| json!({ "token": token, "tokenId": 7, "logProbability": LOGPROB }))
            .collect();
        let tops: Vec<Value> = tokens
            .iter()
            .map(|token| json!({ "candidates": [token] }))
            .collect();
        let result = json!({ "chosenCandidates": tokens, "topCandidates": tops });
        answer::with(candidate, "logprobsResult", result)
    }

    /// A candidate that has finished.
    fn end(&self, candidate: Value) -> Value {
        let candidate = answer::with(candidate, "finishReason", json!(self.finish.as_str()));
        match self.finish {
            Finish::Stop | Finish::MaxTokens => candidate,
            Finish::Safety => answer::with(candidate, "finishMessage", json!(BLOCKED)),
        }
    }

    fn envelope(&self, candidates: &Value, usage: Usage) -> Value {
        json!({
            "candidates": candidates,
            "usageMetadata": usage.json(),
            "modelVersion": self.identity.model,
            "responseId": self.identity.id,
        })
    }
}

// === impl Finish ===

impl Finish {
    fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "STOP",
            Self::MaxTokens => "MAX_TOKENS",
            Self::Safety => "SAFETY",
        }
    }
}

// === impl Usage ===

impl Usage {
    /// Counts of nothing are left out.
    fn json(self) -> Value {
        let total = self.prompt.saturating_add(self.output);
        let mut usage = json!({
            "promptTokenCount": self.prompt,
            "totalTokenCount": total.saturating_add(self.thoughts),
            "promptTokensDetails": [{ "modality": "TEXT", "tokenCount": self.prompt }],
        });
        if self.output > 0 {
            usage = answer::with(usage, "candidatesTokenCount", json!(self.output));
        }
        if self.thoughts > 0 {
            usage = answer::with(usage, "thoughtsTokenCount", json!(self.thoughts));
        }
        usage
    }
}

#[cfg(test)]
mod tests;
