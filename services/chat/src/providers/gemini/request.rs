//! From OpenAI's request to Gemini's. Pure.
//!
//! | OpenAI | Gemini |
//! |---|---|
//! | `messages` | `systemInstruction`, `contents`: see `messages.rs` |
//! | the limit of output, `n`, `stop`, `seed`, `temperature`, `top_p`, penalties, `logprobs`, and `top_k` | `generationConfig` |
//! | `tools`, `tool_choice` | `tools`, `toolConfig`: see `tools.rs`; `parallel_tool_calls`: [`Calls`] |
//! | `response_format` | `responseMimeType`, `responseJsonSchema` |
//! | `reasoning_effort`, `include_thoughts` | `thinkingConfig`: see `thinking.rs` |
//! | `safety_settings`, `extra_body.google` | `safetySettings`, `thinkingConfig` |
//!
//! What would change the answer and cannot be said is refused, by its name: [`CANNOT`]. Everything else, such as `store` or
//! `service_tier`, is a hint and left out.

mod messages;
mod thinking;
mod tools;

use bytes::Bytes;
use domain::Problem;
use memchr::memmem;
use serde::Deserialize;
use serde_json::value::RawValue;

use self::thinking::{Google, Thoughts};
use super::wire::{Body, Config, Content, Safety, Tools};
use crate::providers::{
    Order,
    completion::Show,
    inputs::{Inputs, Wanted},
    members::{Cannot, Members, ResponseFormat},
};

/// What Gemini cannot do: the parameter, the values that ask for nothing, and what it must be.
const CANNOT: &[Cannot] = &[
    ("logit_bias", &["{}"], "be left out for this model"),
    (
        "modalities",
        &["[\"text\"]"],
        "be [\"text\"] for this model",
    ),
    ("audio", &[], "be left out for this model"),
    ("web_search_options", &[], "be left out for this model"),
    ("functions", &["[]"], "be left out: use tools"),
    ("function_call", &[], "be left out: use tool_choice"),
];

/// The most texts to stop at.
const MAX_STOPS: usize = 5;
/// The most tokens that are told beside the one that was taken.
const MAX_TOP_LOGPROBS: u64 = 20;
/// What the answer is where it has to be JSON.
const JSON: &str = "application/json";

/// How categories of harm begin, and which there are.
const HARM: &str = "HARM_CATEGORY_";
const HARMS: [&str; 6] = [
    "HARASSMENT",
    "HATE_SPEECH",
    "SEXUALLY_EXPLICIT",
    "DANGEROUS_CONTENT",
    "CIVIC_INTEGRITY",
    "JAILBREAK",
];
/// From where on something is blocked.
const THRESHOLDS: [&str; 5] = [
    "BLOCK_LOW_AND_ABOVE",
    "BLOCK_MEDIUM_AND_ABOVE",
    "BLOCK_ONLY_HIGH",
    "BLOCK_NONE",
    "OFF",
];

/// Writes requests to one model.
#[derive(Clone, Copy)]
pub(super) struct Asker<'a> {
    pub(super) inputs: &'a Inputs,
    /// What Google calls it.
    pub(super) model: &'a str,
}

/// `extra_body`, as far as it is Google's: a wire type.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExtraBody {
    google: Option<Google>,
}

/// A request that is being read.
struct Asked<'a>(Members<'a>);

/// What of an answer the customer gets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wishes {
    pub(super) show: Show,
    pub(super) calls: Calls,
}

/// How many tools may be called at once. Gemini knows no such limit: further calls are not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Calls {
    One,
    Many,
}

/// What a request says of its answer.
pub(super) fn wishes(order: Order<'_>) -> Wishes {
    let mut wishes = Wishes {
        show: Show::of(order.request.thoughts),
        calls: Calls::Many,
    };
    // Most requests say nothing more, and are not read again.
    let says_more = order.request.spans.extra_body.is_some()
        || memmem::find(order.body, b"parallel_tool_calls").is_some();
    let Some(Ok(members)) = says_more.then(|| Members::read(order.body)) else {
        return wishes;
    };
    if members.raw("parallel_tool_calls").map(RawValue::get) == Some("false") {
        wishes.calls = Calls::One;
    }
    let google = Asked(members).google().unwrap_or_default();
    if order.request.thoughts.is_none() {
        wishes.show = Show::of(google.include_thoughts());
    }
    wishes
}

/// The URLs of media that have to be fetched.
///
/// # Errors
/// When the messages cannot be read.
pub(super) fn urls(order: Order<'_>) -> Result<Vec<Wanted>, Problem> {
    if order.request.media.parts == 0 {
        return Ok(Vec::new());
    }
    let members = Members::read(order.body)?;
    messages::urls(members.list("messages")?)
}

// === impl Calls ===

impl Calls {
    /// Whether there may be another call beside so many.
    pub(super) fn allows(self, calls: usize) -> bool {
        self == Self::Many || calls == 0
    }
}

// === impl Asker ===

impl Asker<'_> {
    /// Gemini's body for a request.
    ///
    /// # Errors
    /// The first thing that cannot be said to Gemini.
    pub(super) fn translate(self, order: Order<'_>) -> Result<Bytes, Problem> {
        let members = Members::read(order.body)?;
        members.refuse(CANNOT)?;
        let messages = members.list("messages")?;
        let talk = messages::Talk::of(messages, self, order.urls)?;
        let asked = Asked(members);
        let declarations = tools::declarations(&asked.0)?;
        let body = Body {
            system_instruction: (!talk.system.is_empty()).then_some(Content {
                role: None,
                parts: talk.system,
            }),
            contents: talk.contents,
            tool_config: tools::config(&asked.0, &declarations)?,
            safety_settings: asked.safety_settings()?,
            generation_config: asked.config(order, self.model)?,
            tools: (!declarations.is_empty())
                .then_some(Tools {
                    function_declarations: declarations,
                })
                .into_iter()
                .collect(),
        };
        serde_json::to_vec(&body)
            .map(Bytes::from)
            .map_err(|_| Problem::invalid("messages", "be such that they can be sent on"))
    }

    /// Whether it refuses calls that it has not signed.
    fn wants_signatures(self) -> bool {
        !self.model.starts_with("gemini-2")
    }
}

// === impl Asked ===

impl<'a> Asked<'a> {
    fn config(&self, order: Order<'_>, model: &str) -> Result<Config<'a>, Problem> {
        let members = &self.0;
        let choices = order.request.choices;
        let (response_logprobs, logprobs) = self.logprobs()?;
        let (response_mime_type, response_json_schema) = self.form()?;
        let thoughts = Thoughts {
            effort: members.get("reasoning_effort", thinking::EFFORTS)?,
            show: order.request.thoughts,
            google: self.google()?,
        };
        Ok(Config {
            max_output_tokens: order.max_output,
            candidate_count: (choices > 1).then_some(choices),
            temperature: members.number("temperature", 0.0..=2.0)?,
            top_p: members.number("top_p", 0.0..=1.0)?,
            top_k: members.get("top_k", "be a whole number of at least 1 for this model")?,
            seed: members.get("seed", "be a whole number of 32 bits for this model")?,
            presence_penalty: members.number("presence_penalty", -2.0..=2.0)?,
            frequency_penalty: members.number("frequency_penalty", -2.0..=2.0)?,
            stop_sequences: self.stop()?,
            response_logprobs,
            logprobs,
            response_mime_type,
            response_json_schema,
            thinking_config: thoughts.config(model)?,
        })
    }

    fn stop(&self) -> Result<Vec<String>, Problem> {
        let stops = self.0.stop()?;
        if stops.len() > MAX_STOPS {
            let allowed = format!("hold at most {MAX_STOPS} texts for this model");
            return Err(Problem::invalid("stop", allowed));
        }
        Ok(stops)
    }

    fn logprobs(&self) -> Result<(Option<bool>, Option<u64>), Problem> {
        let wanted: Option<bool> = self.0.get("logprobs", "be true or false")?;
        let allowed = format!("be a whole number from 0 to {MAX_TOP_LOGPROBS}, with logprobs");
        let top: Option<u64> = self.0.get("top_logprobs", &allowed)?;
        let wanted = wanted.filter(|wanted| *wanted);
        match top {
            Some(top) if top > MAX_TOP_LOGPROBS || (top > 0 && wanted.is_none()) => {
                Err(Problem::invalid("top_logprobs", allowed))
            }
            Some(_) | None => Ok((wanted, top.filter(|top| *top > 0))),
        }
    }

    fn form(&self) -> Result<(Option<&'static str>, Option<&'a RawValue>), Problem> {
        const NAME: &str = "response_format";
        let allowed = "be of type text, json_object, or json_schema with a schema";
        let Some(format) = self.0.get::<ResponseFormat<'a>>(NAME, allowed)? else {
            return Ok((None, None));
        };
        let schema = format.json_schema.and_then(|json| json.schema);
        match (format.r#type.as_str(), schema) {
            ("text", _) => Ok((None, None)),
            ("json_object", _) => Ok((Some(JSON), None)),
            ("json_schema", Some(schema)) => Ok((Some(JSON), Some(schema))),
            _ => Err(Problem::invalid(NAME, allowed)),
        }
    }

    /// What is said in Google's own words. A cache of a prompt belongs to our account there, and is nobody else's.
    fn google(&self) -> Result<Google, Problem> {
        let allowed =
            "hold google with thinking_config or safety_settings, and nothing else, for this model";
        let extra: Option<ExtraBody> = self.0.get("extra_body", allowed)?;
        Ok(extra.and_then(|extra| extra.google).unwrap_or_default())
    }

    fn safety_settings(&self) -> Result<Vec<Safety>, Problem> {
        let allowed = "be a list of objects with a category and a threshold";
        let settings: Option<Vec<Safety>> = self.0.get("safety_settings", allowed)?;
        let (name, settings) = match settings {
            Some(settings) => ("safety_settings", settings),
            None => (
                "extra_body.google.safety_settings",
                self.google()?.safety_settings.unwrap_or_default(),
            ),
        };
        for (at, setting) in settings.iter().enumerate() {
            let harm = setting.category.strip_prefix(HARM);
            if !harm.is_some_and(|harm| HARMS.contains(&harm)) {
                let allowed = format!("be {HARM} and one of {}", HARMS.join(", "));
                return Err(Problem::invalid(format!("{name}[{at}].category"), allowed));
            }
            if !THRESHOLDS.contains(&setting.threshold.as_str()) {
                let allowed = format!("be one of {}", THRESHOLDS.join(", "));
                return Err(Problem::invalid(format!("{name}[{at}].threshold"), allowed));
            }
        }
        Ok(settings)
    }
}

#[cfg(test)]
mod tests;
