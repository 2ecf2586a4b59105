//! What the simulated chat models say, and how it is counted: the same for every protocol. Pure.

use serde_json::json;

use crate::{directive::Directive, tokens};

/// What the text of the answer has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Text,
    Json,
}

/// How many roles, parts and tools the echo names; the rest it counts.
const NAMED: usize = 16;
/// The longest name in the echo, in characters.
const NAME_CHARS: usize = 64;

/// The tokens of anything in a prompt that is not text: what Gemini counts for a small image.
const MEDIA_TOKENS: u32 = 258;

/// What an answer is filled up with to have the tokens asked for; one token each.
const FILLER: &str = " and";
/// As [`FILLER`], where the text has to stay JSON.
const JSON_FILLER: &str = "    ";

/// Two tokens of a prompt cost one micro-US-dollar, and one of an answer six times as much as one of a prompt.
const ANSWER_TO_PROMPT: i64 = 6;
const PROMPT_TOKENS_PER_MICRO: i64 = 2;

/// The echo, the misread words, and as many tokens as the directive wants.
pub(crate) fn text(echo: &str, form: Form, directive: &Directive) -> String {
    let mut text = echo.to_owned();
    if !directive.misread.is_empty() {
        text.push_str(" Directive not understood: ");
        text.push_str(&directive.misread.join(", "));
        text.push('.');
    }
    let filler = match form {
        Form::Text => FILLER,
        Form::Json => {
            text = json!({ "sandbox": text }).to_string();
            JSON_FILLER
        }
    };
    let Some(wanted) = directive.tokens else {
        return text;
    };
    let missing = wanted.saturating_sub(tokens::count(&text));
    let missing = usize::try_from(missing).unwrap_or(usize::MAX);
    text.push_str(&filler.repeat(missing));
    tokens::first(&text, wanted).to_owned()
}

/// A token for four bytes of text, and a fixed sum for each other part.
pub(crate) fn prompt_tokens(text_bytes: usize, media_parts: usize) -> u32 {
    let media = u32::try_from(media_parts).unwrap_or(u32::MAX);
    let text = u32::try_from(text_bytes.div_ceil(4)).unwrap_or(u32::MAX);
    media
        .saturating_mul(MEDIA_TOKENS)
        .saturating_add(text)
        .max(1)
}

/// More than any honest answer under this limit.
pub(crate) fn overreported(limit: u32) -> u32 {
    limit.saturating_mul(10).saturating_add(1_000)
}

/// What a provider would charge, in micro-US-dollars.
pub(crate) fn price(prompt: u32, answer: u32) -> i64 {
    let answer = i64::from(answer).saturating_mul(ANSWER_TO_PROMPT);
    i64::from(prompt).saturating_add(answer) / PROMPT_TOKENS_PER_MICRO
}

/// ` Tools: 2 (get_weather, get_time).`
pub(crate) fn listed<'a>(title: &str, names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.collect();
    let mut shown: Vec<_> = names.iter().take(NAMED).map(|name| clipped(name)).collect();
    if names.len() > NAMED {
        shown.push("…");
    }
    format!("{title}: {} ({}).", names.len(), shown.join(", "))
}

/// A name, as long as the echo shows it.
pub(crate) fn clipped(name: &str) -> &str {
    let end = name.char_indices().nth(NAME_CHARS).map(|(at, _)| at);
    end.and_then(|end| name.get(..end)).unwrap_or(name)
}
