//! What has to be charged where a provider does not tell its usage, found out another way than the program does: by a published
//! implementation of the tokenizer, over a tree of the request.

use std::thread;

use anyhow::{Context as _, Result, anyhow};
use serde_json::Value;

/// That implementation builds a large cache on its stack.
const STACK: usize = 64 * 1024 * 1024;

/// How many tokens of `o200k_base` each of these texts has.
///
/// # Errors
/// When there is no thread for it.
pub fn tokens_of(texts: &[&str]) -> Result<Vec<i64>> {
    let count = || {
        let published = tiktoken::get_encoding("o200k_base").context("no o200k_base")?;
        let counts = texts
            .iter()
            .map(|text| i64::try_from(published.count(text)));
        anyhow::Ok(counts.collect::<Result<_, _>>()?)
    };
    thread::scope(|scope| {
        let thread = thread::Builder::new().stack_size(STACK);
        let counted = thread.spawn_scoped(scope, count)?.join();
        counted.map_err(|_| anyhow!("the published tokenizer panicked"))?
    })
}

/// How many tokens of `o200k_base` a text has.
///
/// # Errors
/// When there is no thread for it.
pub fn tokens(text: &str) -> Result<i64> {
    let counts = tokens_of(&[text])?;
    counts.into_iter().next().context("no count")
}

/// How many tokens of input a chat of plain messages has: 4 for each beside its text, and 3 more; at most what is held for them.
///
/// # Errors
/// When it is no such chat.
pub fn input_tokens(body: &str) -> Result<i64> {
    let request: Value = serde_json::from_str(body)?;
    let messages = request["messages"].as_array().context("no messages")?;
    let texts = messages.iter().map(|message| message["content"].as_str());
    let texts: Vec<&str> = texts.collect::<Option<_>>().context("no text")?;
    let around = 3 + 4 * i64::try_from(texts.len())?;
    let held = i64::try_from(body.len().div_ceil(2))?;
    Ok((around + tokens_of(&texts)?.iter().sum::<i64>()).min(held))
}

/// What such a chat costs by these prices of a token of input and of output, when so much text has come.
///
/// # Errors
/// As [`input_tokens`].
pub fn cut_cost(body: &str, text: &str, (input, output): (i64, i64)) -> Result<i64> {
    Ok(input_tokens(body)? * input + tokens(text)? * output)
}
