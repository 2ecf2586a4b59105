//! Embeddings in OpenAI's wire form. The same text has the same vector, of unit length; texts that differ have other ones. The directive is
//! read in the first text.

use axum::{
    body::Bytes,
    extract::{Path, State},
    response::Response,
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use chassis::clock::now_micros;
use http::{HeaderMap, StatusCode};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{
    has_key, is_name,
    refusal::{Dialect, Refusal},
    request::Problem,
};
use crate::{
    Sandbox, answer, bill,
    directive::{self, Outcome},
    tokens,
};

/// The most vectors of one request.
const MAX_INPUTS: usize = 2_048;
/// Numbers of a vector where the request does not say.
const DIMENSIONS: u32 = 1_536;
const LARGE_DIMENSIONS: u32 = 3_072;
/// What an overreport multiplies the tokens by.
const OVER: u32 = 1_000;

/// The body: a wire type. Fields it does not know are left alone.
#[derive(Debug, Deserialize)]
struct Body {
    model: String,
    input: Input,
    dimensions: Option<u32>,
    encoding_format: Option<Encoding>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Input {
    Text(String),
    Texts(Vec<String>),
    Tokens(Vec<u32>),
    Lists(Vec<Vec<u32>>),
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Encoding {
    Float,
    Base64,
}

/// A request that was understood.
struct Asked {
    model: String,
    texts: Vec<String>,
    tokens: u32,
    dimensions: u32,
    encoding: Encoding,
}

/// `POST /gemini/v1beta/openai/embeddings`: Google speaks OpenAI's protocol beside its own.
pub(crate) async fn embed_as_google(
    sandbox: State<Sandbox>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    embed(sandbox, Path("gemini".to_owned()), headers, body).await
}

/// `POST /{provider}/v1/embeddings`.
pub(crate) async fn embed(
    State(sandbox): State<Sandbox>,
    Path(provider): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let dialect = Dialect::of(&provider);
    if !is_name(&provider) {
        return dialect.refuse(&Refusal::UnknownProvider);
    }
    if !has_key(&headers) {
        return dialect.refuse(&Refusal::NoKey);
    }
    let asked = match Asked::read(&body) {
        Ok(asked) => asked,
        Err(problem) => return dialect.refuse(&Refusal::Invalid(problem)),
    };
    let steering = asked.texts.first().map(String::as_str).unwrap_or_default();
    let directive = directive::parse(steering, &sandbox.config.bounds());
    let refusal = Refusal::of(directive.outcome);
    if refusal.is_none() {
        sandbox.bill.record_soon(asked.job(provider));
    }
    tokio::time::sleep(directive.delay.unwrap_or(sandbox.config.chat_delay)).await;
    if let Some(refusal) = refusal {
        return dialect.refuse(&refusal);
    }
    match directive.outcome {
        Outcome::Hang => answer::hang(&sandbox.tasks).await,
        Outcome::Vanish => answer::vanish(),
        Outcome::Malformed => answer::malformed(),
        Outcome::Moderated => dialect.refuse(&Refusal::Invalid(Problem {
            message: "The input was refused by the content policy (sandbox).".to_owned(),
            param: Some("input"),
            code: Some("content_policy_violation"),
        })),
        Outcome::Cut => {
            let body = Bytes::from(asked.answer(asked.tokens).to_string());
            let whole = answer::text(StatusCode::OK, "application/json", body.clone());
            answer::cut(whole, &body)
        }
        Outcome::Overreport => answer::json(
            StatusCode::OK,
            &asked.answer(asked.tokens.saturating_mul(OVER)),
        ),
        Outcome::Success
        | Outcome::Fail
        | Outcome::RateLimited
        | Outcome::Overloaded
        | Outcome::OutOfBalance
        | Outcome::DuplicateCallback
        | Outcome::LateCallback => answer::json(StatusCode::OK, &asked.answer(asked.tokens)),
    }
}

// === impl Asked ===

impl Asked {
    fn read(body: &[u8]) -> Result<Self, Problem> {
        let body: Body = serde_json::from_slice(body).map_err(|error| Problem {
            message: format!("The request cannot be read: {error}."),
            param: None,
            code: None,
        })?;
        let (texts, tokens) = body.input.read();
        if texts.is_empty() || texts.len() > MAX_INPUTS || texts.iter().any(String::is_empty) {
            let problem = format!("must have 1 to {MAX_INPUTS} inputs, none of them empty");
            return Err(Problem::value("input", &problem));
        }
        let usual = if body.model.contains("small") {
            DIMENSIONS
        } else {
            LARGE_DIMENSIONS
        };
        let dimensions = body.dimensions.unwrap_or(usual);
        if !(1..=LARGE_DIMENSIONS).contains(&dimensions) {
            let problem = format!("must be 1 to {LARGE_DIMENSIONS}");
            return Err(Problem::value("dimensions", &problem));
        }
        Ok(Self {
            model: body.model,
            texts,
            tokens,
            dimensions,
            encoding: body.encoding_format.unwrap_or(Encoding::Float),
        })
    }

    fn answer(&self, tokens: u32) -> Value {
        let data = self.texts.iter().enumerate().map(|(index, text)| {
            let vector = vector(text, self.dimensions);
            let embedding = match self.encoding {
                Encoding::Float => json!(vector),
                Encoding::Base64 => {
                    let bytes: Vec<u8> = vector.into_iter().flat_map(f32::to_le_bytes).collect();
                    json!(BASE64.encode(bytes))
                }
            };
            json!({ "object": "embedding", "index": index, "embedding": embedding })
        });
        json!({
            "object": "list",
            "data": data.collect::<Vec<_>>(),
            "model": self.model,
            "usage": { "prompt_tokens": tokens, "total_tokens": tokens },
        })
    }

    fn job(&self, provider: String) -> bill::Job {
        bill::Job {
            id: format!("embd-{:032x}", rand::random::<u128>()),
            provider,
            model: self.model.clone(),
            kind: "embedding".to_owned(),
            prompt_hash: bill::hash(&self.texts.join("\n")),
            at: now_micros(),
            billed: i64::from(self.tokens),
        }
    }
}

// === impl Input ===

impl Input {
    /// The texts, and the tokens of all of them. Where tokens came, they stand for a text.
    fn read(self) -> (Vec<String>, u32) {
        let of_tokens = |lists: Vec<Vec<u32>>| {
            let count: usize = lists.iter().map(Vec::len).sum();
            let text = |list: Vec<u32>| {
                let words: Vec<String> = list.iter().map(u32::to_string).collect();
                words.join(" ")
            };
            let texts: Vec<String> = lists.into_iter().map(text).collect();
            (texts, u32::try_from(count).unwrap_or(u32::MAX))
        };
        let texts = match self {
            Self::Tokens(list) => return of_tokens(vec![list]),
            Self::Lists(lists) => return of_tokens(lists),
            Self::Text(text) => vec![text],
            Self::Texts(texts) => texts,
        };
        let counts = texts.iter().map(|text| tokens::count(text));
        let tokens = counts.fold(0_u32, u32::saturating_add);
        (texts, tokens)
    }
}

/// The vector of a text: pseudo-random by its hash, and of unit length.
#[expect(clippy::float_arithmetic, reason = "a vector is no money")]
fn vector(text: &str, dimensions: u32) -> Vec<f32> {
    let mut random = StdRng::from_seed(Sha256::digest(text.as_bytes()).into());
    let mut vector: Vec<f32> = (0..dimensions)
        .map(|_| random.random_range(-1.0..1.0))
        .collect();
    let length = vector.iter().map(|part| part * part).sum::<f32>().sqrt();
    for part in &mut vector {
        *part /= length.max(f32::MIN_POSITIVE);
    }
    vector
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(body: &Value) -> Value {
        let asked = Asked::read(body.to_string().as_bytes()).unwrap();
        asked.answer(asked.tokens)
    }

    #[test]
    fn the_same_text_has_the_same_vector_in_either_encoding() {
        let ask = |encoding: &str| {
            answer(&json!({
                "model": "m-small", "input": ["a", "b"], "dimensions": 4, "encoding_format": encoding,
            }))
        };
        let floats = ask("float");
        let numbers: Vec<f32> =
            serde_json::from_value(floats["data"][1]["embedding"].clone()).unwrap();
        let text = ask("base64")["data"][1]["embedding"].clone();
        let bytes = BASE64.decode(text.as_str().unwrap()).unwrap();
        let packed: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
        assert_eq!(packed, bytes);
        assert_ne!(
            floats["data"][0]["embedding"],
            floats["data"][1]["embedding"]
        );
        let length: f32 = numbers.iter().map(|n| n * n).sum();
        assert!((length - 1.0).abs() < 1e-5, "{length}");
    }

    #[test]
    fn tokens_are_counted_however_the_input_comes() {
        for (input, tokens, count) in [
            (json!("eight by"), 2, 1),
            (json!(["eight by", "four"]), 3, 2),
            (json!([1, 2, 3]), 3, 1),
            (json!([[1, 2], [3]]), 3, 2),
        ] {
            let answer = answer(&json!({ "model": "m-small", "input": input, "dimensions": 2 }));
            assert_eq!(answer["usage"]["prompt_tokens"], tokens, "{input}");
            assert_eq!(answer["data"].as_array().unwrap().len(), count, "{input}");
        }
        for wrong in [
            json!([]),
            json!(""),
            json!(["a", ""]),
            json!([[]]),
            json!({}),
        ] {
            let body = json!({ "model": "m", "input": wrong }).to_string();
            assert!(Asked::read(body.as_bytes()).is_err(), "{body}");
        }
    }
}
