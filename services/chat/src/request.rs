//! The customer's JSON: what routing, price and the edits need, and all that is wrong with the rest of it. Pure.
//!
//! There is no tree of the request: a few members are found, everything else is skipped and later forwarded as it came.
//! OpenAI's further parameters (`temperature`, `tools`, `response_format`, …) and unknown ones pass unchecked, but for URLs in them:
//! the provider knows them better.

pub(crate) mod elsewhere;
pub(crate) mod embeddings;
pub(crate) mod mention;
mod messages;
mod pick;
pub(crate) mod routing;
pub(crate) mod texts;

use std::ops::Range;

use domain::{Problem, Tags};
use serde_json::{Value, value::RawValue};

use self::{
    elsewhere::{Elsewhere, Rest},
    mention::Mention,
    messages::Messages,
    pick::{Pick, PickAnd, Picked, span, string},
    routing::Routing,
};

/// The members of the body that are read.
const NAMES: [&str; NAMES_LEN] = [
    "model",
    "messages",
    "stream",
    "stream_options",
    "max_tokens",
    "max_completion_tokens",
    "n",
    "include_thoughts",
    "extra_body",
    "user",
    "metadata",
    "prompt_cache_key",
    "reasoning_effort",
    "models",
    "provider",
];
/// The place of the messages among them.
const MESSAGES: usize = 1;
/// The place of what is for one provider.
const EXTRA_BODY: usize = 8;
/// How many those are.
const NAMES_LEN: usize = 15;

/// What a request says, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// The model as the customer named it; empty where only `models` names some.
    pub(crate) model: String,
    /// How the answer is wanted.
    pub(crate) answer: Wanted,
    /// The most output of one choice, if the request names it.
    pub(crate) max_output: Option<u64>,
    /// How many choices (`n`).
    pub(crate) choices: u64,
    /// Of embeddings, how many texts; 0 of chat.
    pub(crate) inputs: u64,
    /// Bytes that may be text the model reads: all but media.
    pub(crate) text_bytes: usize,
    /// What is no text.
    pub(crate) media: Media,
    /// `include_thoughts`, our own extra.
    pub(crate) thoughts: Option<bool>,
    /// The customer's own labels: `user` and `metadata`.
    pub(crate) tags: Tags,
    /// Who shall answer.
    pub(crate) routing: Routing,
    /// Where the members are that may be edited.
    pub(crate) spans: Spans,
}

/// What a request says that is no text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Media {
    /// How many parts, documents among them.
    pub(crate) parts: u64,
    /// Documents.
    pub(crate) documents: u64,
    /// Files of ours that they name, in their order.
    pub(crate) files: Vec<Mention>,
    /// URLs that they name, in their order, and behind them those of the rest of the request.
    pub(crate) urls: Vec<Elsewhere>,
}

/// How the answer is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// One JSON body.
    Whole,
    /// Events, without a usage event.
    Stream,
    /// Events, the last of which holds the usage.
    StreamWithUsage,
}

/// Byte ranges of values in the body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spans {
    /// Empty where it is left out.
    pub(crate) model: Range<usize>,
    pub(crate) models: Option<Range<usize>>,
    pub(crate) provider: Option<Range<usize>>,
    pub(crate) max_tokens: Option<Range<usize>>,
    pub(crate) max_completion_tokens: Option<Range<usize>>,
    /// The limit of output under a name that is not the customer's: each provider is told it by the name that it knows.
    pub(crate) respelled: Option<Range<usize>>,
    pub(crate) stream_options: Option<Range<usize>>,
    /// `stream_options.include_usage`.
    pub(crate) include_usage: Option<Range<usize>>,
    pub(crate) include_thoughts: Option<Range<usize>>,
    pub(crate) extra_body: Option<Range<usize>>,
    pub(crate) metadata: Option<Range<usize>>,
    pub(crate) reasoning_effort: Option<Range<usize>>,
}

/// Why a body cannot be used.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// Not one JSON object; says why, without quoting it.
    NotJson(String),
    /// An object with wrong members.
    Problems(Vec<Problem>),
}

/// Collects what is wrong, so that a customer learns all of it at once.
#[derive(Default)]
struct Reader(Vec<Problem>);

/// Reads a body. `max_choices` bounds `n`.
///
/// # Errors
/// Everything wrong with it, as far as no model need be known.
pub(crate) fn parse(body: &[u8], max_choices: u64) -> Result<Request, Refusal> {
    let text = read_text(body)?;
    let mut rest = Rest::default();
    let (picked, messages) = read(text, &mut rest)?;
    let [
        model,
        raw_messages,
        stream,
        options,
        max_tokens,
        max_completion_tokens,
        n,
        _,
        _,
        user,
        metadata,
        cache_key,
        _,
        models,
        provider,
    ] = picked;
    let mut reader = Reader::default();
    let model = if given(models).is_some() {
        reader.model_if_given(model)
    } else {
        reader.model(model)
    };
    let messages = reader.messages(text, (messages, raw_messages));
    let include_usage = reader.include_usage(options);
    let max_tokens = reader.count("max_tokens", max_tokens, u64::MAX);
    let max_completion_tokens =
        reader.count("max_completion_tokens", max_completion_tokens, u64::MAX);
    let answer = match (reader.flag("stream", stream), include_usage) {
        (Some(true), Some((_, true))) => Wanted::StreamWithUsage,
        (Some(true), _) => Wanted::Stream,
        (Some(false) | None, _) => Wanted::Whole,
    };
    let request = Request {
        model,
        answer,
        max_output: max_tokens.into_iter().chain(max_completion_tokens).min(),
        choices: reader.count("n", n, max_choices).unwrap_or(1),
        inputs: 0,
        text_bytes: body.len().saturating_sub(messages.media_bytes),
        media: reader.media(messages.media, rest),
        thoughts: reader.thoughts(&picked),
        tags: reader.tags(user, metadata),
        routing: Routing {
            cache_key: named(cache_key),
            models: reader.models(models),
            provider: reader.provider(provider),
        },
        spans: Spans {
            include_usage: include_usage.map(|(raw, _)| span(text, raw.get())),
            ..spans(text, &picked)
        },
    };
    reader.done(request)
}

/// The members, and the messages that were read in the same pass: of a long body, one pass less. Where they are not as they should be,
/// they are only found, so that what is wrong can be said.
fn read<'t>(
    text: &'t str,
    rest: &mut Rest,
) -> Result<(Picked<'t, NAMES_LEN>, Option<Messages<'t>>), Refusal> {
    let at_once = PickAnd {
        pick: Pick(NAMES),
        place: MESSAGES,
        seed: Messages::of(text),
        rest: |name: &str, raw: &RawValue| rest.look(name, raw),
    };
    if let Ok((picked, messages)) = at_once.read(text) {
        rest.look_extra(&picked);
        return Ok((picked, messages));
    }
    *rest = Rest::default();
    let again = Pick(NAMES).with_rest(|name: &str, raw: &RawValue| rest.look(name, raw));
    let read = again.read(text);
    let (picked, _) = read.map_err(|error| not_json(text, &error))?;
    rest.look_extra(&picked);
    Ok((picked, None))
}

fn read_text(body: &[u8]) -> Result<&str, Refusal> {
    std::str::from_utf8(body).map_err(|error| {
        let at = error.valid_up_to();
        Refusal::NotJson(format!("the body is not UTF-8 at byte {at}"))
    })
}

fn spans(text: &str, picked: &Picked<'_, NAMES_LEN>) -> Spans {
    let at = |raw: &Option<&RawValue>| raw.map(|raw| span(text, raw.get()));
    let [
        model,
        _,
        _,
        stream_options,
        max_tokens,
        max_completion_tokens,
        _,
        include_thoughts,
        extra_body,
        _,
        metadata,
        _,
        reasoning_effort,
        models,
        provider,
    ] = picked;
    Spans {
        model: at(model).unwrap_or_default(),
        models: at(models),
        provider: at(provider),
        max_tokens: at(max_tokens),
        max_completion_tokens: at(max_completion_tokens),
        respelled: None,
        stream_options: at(stream_options),
        include_usage: None,
        include_thoughts: at(include_thoughts),
        extra_body: at(extra_body),
        metadata: at(metadata),
        reasoning_effort: at(reasoning_effort),
    }
}

/// Checked by the provider, as it goes there too.
fn named(cache_key: Option<&RawValue>) -> Option<String> {
    let key = cache_key.and_then(string)?;
    (!key.is_empty()).then(|| key.into_owned())
}

fn not_json(text: &str, error: &serde_json::Error) -> Refusal {
    let (line, column) = (error.line(), error.column());
    let why = if error.is_data() && !text.trim_start().starts_with('{') {
        "the body must be one JSON object".to_owned()
    } else if error.is_data() {
        format!("the body names a field twice, at line {line} column {column}")
    } else if error.is_eof() {
        format!("the body is not valid JSON: it ends too early, at line {line} column {column}")
    } else {
        format!("the body is not valid JSON at line {line} column {column}")
    };
    Refusal::NotJson(why)
}

/// A value, unless it is `null`, which OpenAI's SDKs send for "not given".
fn given(raw: Option<&RawValue>) -> Option<&RawValue> {
    raw.filter(|raw| raw.get() != "null")
}

// === impl Rest ===

impl Rest {
    /// Looks at what is known and passed on as it came.
    fn look_extra(&mut self, picked: &Picked<'_, NAMES_LEN>) {
        if let Some(Some(raw)) = picked.get(EXTRA_BODY) {
            self.look("extra_body", raw);
        }
    }
}

// === impl Spans ===

impl Spans {
    /// For a request that was translated, which has one limit at most.
    pub(crate) fn respell_limit(&mut self) {
        self.respelled = self
            .max_tokens
            .take()
            .or_else(|| self.max_completion_tokens.take());
    }
}

// === impl Reader ===

impl Reader {
    /// The request, if nothing is wrong with it.
    fn done(self, request: Request) -> Result<Request, Refusal> {
        if self.0.is_empty() {
            Ok(request)
        } else {
            Err(Refusal::Problems(self.0))
        }
    }

    fn model(&mut self, model: Option<&RawValue>) -> String {
        if given(model).is_none() {
            self.0.push(Problem::missing("model"));
        }
        self.model_if_given(model)
    }

    fn model_if_given(&mut self, model: Option<&RawValue>) -> String {
        let Some(raw) = given(model) else {
            return String::new();
        };
        string(raw).map_or_else(
            || {
                self.0
                    .push(Problem::invalid("model", "be a text, the name of a model"));
                String::new()
            },
            std::borrow::Cow::into_owned,
        )
    }

    /// The messages, as they were read or as they stand there.
    fn messages<'t>(
        &mut self,
        text: &'t str,
        (read, raw): (Option<Messages<'t>>, Option<&RawValue>),
    ) -> Messages<'t> {
        let read = read.or_else(|| given(raw).map(|raw| Messages::read(text, raw)));
        let Some(mut messages) = read else {
            self.0.push(Problem::missing("messages"));
            return Messages::default();
        };
        self.0.append(&mut messages.problems);
        messages
    }

    /// What is no text, with the URLs that are named beside the messages.
    fn media(&mut self, mut media: Media, rest: Rest) -> Media {
        self.0.extend(rest.problems);
        media.urls.extend(rest.urls);
        if media.urls.len() > elsewhere::MOST {
            let allowed = format!("name at most {} URLs", elsewhere::MOST);
            self.0.push(Problem::invalid("messages", allowed));
        }
        media
    }

    /// Labels are few and short: they are read as values. What is no value, such as half a surrogate pair, is no label either.
    fn tags(&mut self, user: Option<&RawValue>, metadata: Option<&RawValue>) -> Tags {
        let value = |raw: Option<&RawValue>| {
            raw.map(|raw| serde_json::from_str(raw.get()).unwrap_or(Value::Bool(false)))
        };
        Tags::read(value(user), value(metadata)).unwrap_or_else(|problems| {
            self.0.extend(problems);
            Tags::default()
        })
    }

    fn thoughts(
        &mut self,
        [.., thoughts, _, _, _, _, _, _, _]: &Picked<'_, NAMES_LEN>,
    ) -> Option<bool> {
        self.flag("include_thoughts", *thoughts)
    }

    fn flag(&mut self, name: &str, raw: Option<&RawValue>) -> Option<bool> {
        match given(raw)?.get() {
            "true" => Some(true),
            "false" => Some(false),
            _ => {
                self.0.push(Problem::invalid(name, "be true or false"));
                None
            }
        }
    }

    fn count(&mut self, name: &str, raw: Option<&RawValue>, max: u64) -> Option<u64> {
        let count = given(raw)?
            .get()
            .parse()
            .ok()
            .filter(|count| (1..=max).contains(count));
        if count.is_none() {
            let allowed = if max == u64::MAX {
                "be a whole number of at least 1".to_owned()
            } else {
                format!("be a whole number from 1 to {max}")
            };
            self.0.push(Problem::invalid(name, allowed));
        }
        count
    }

    /// The value of `stream_options.include_usage`, as it stands and as it is meant.
    fn include_usage<'a>(&mut self, options: Option<&'a RawValue>) -> Option<(&'a RawValue, bool)> {
        let options = given(options)?;
        let Ok([include_usage]) = Pick(["include_usage"]).read(options.get()) else {
            self.0.push(Problem::invalid(
                "stream_options",
                "be one object that names no field twice",
            ));
            return None;
        };
        let flag = self.flag("stream_options.include_usage", include_usage);
        include_usage.map(|raw| (raw, flag.unwrap_or(false)))
    }
}

#[cfg(test)]
mod tests;
