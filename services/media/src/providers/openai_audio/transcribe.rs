//! OpenAI's transcriptions (`POST /audio/transcriptions`, API of November 2026): a form with a recording, answered with what is said in it.
//! Whisper is asked for the moments of words and sentences as well; the others know none.

use std::time::Duration;

use domain::transcript::{Segment, Transcript, Word};
use serde::Deserialize;
use serde_json::Value;
use upstream::{Call, Failure, ProviderClient};

use super::super::{
    Access, Cost, Order, Started,
    at_once::{self, Answer},
    transcript, wire,
};

/// Where it is asked.
const PATH: &str = "audio/transcriptions";
/// Models that tell moments.
const TIMED: [&str; 1] = ["whisper-1"];
/// What they bill a second of a recording with, in millionths of a US dollar.
const SECONDS: [(&str, i64); 1] = [("whisper-1", 100)];
/// What they bill a million tokens with, in millionths of a US dollar: of words that go in, of sounds that do, and of words that come out.
const TOKENS: [(&str, [i64; 3]); 2] = [
    ("gpt-4o-transcribe", [2_500_000, 6_000_000, 10_000_000]),
    ("gpt-4o-mini-transcribe", [1_250_000, 3_000_000, 5_000_000]),
];
const MILLION: i64 = 1_000_000;
/// About how many milliseconds of a sound a token is; and how much less of it there may be: a tenth, and so much.
const TOKEN: u64 = 100;
const PARTS: (u32, u32) = (10, 11);
const SLACK: Duration = Duration::from_secs(5);

/// The wire shape of an answer.
#[derive(Deserialize)]
struct Heard {
    text: String,
    #[serde(default, deserialize_with = "wire::lenient")]
    language: Option<String>,
    #[serde(default)]
    duration: Value,
    #[serde(default, deserialize_with = "wire::lenient")]
    words: Vec<Word>,
    #[serde(default, deserialize_with = "wire::lenient")]
    segments: Vec<Segment>,
    #[serde(default, deserialize_with = "wire::lenient")]
    usage: Usage,
}

/// The wire shape of what an answer took: seconds, or tokens.
#[derive(Default, Deserialize)]
struct Usage {
    #[serde(default)]
    seconds: Value,
    #[serde(default)]
    input_tokens: i64,
    #[serde(default)]
    output_tokens: i64,
    #[serde(default)]
    input_token_details: Details,
}

/// The wire shape of what went in.
#[derive(Default, Deserialize)]
struct Details {
    #[serde(default)]
    audio_tokens: i64,
}

/// Submits a recording, and waits for what is said in it.
pub(super) async fn transcribe(
    client: &ProviderClient,
    access: &Access,
    order: &Order<'_>,
) -> Result<Started, Failure> {
    let mut form = transcript::form(order.parameters)?;
    form.text("model", order.model);
    if TIMED.contains(&order.model) {
        form.text("response_format", "verbose_json");
        form.text("timestamp_granularities[]", "word");
        form.text("timestamp_granularities[]", "segment");
    } else {
        form.text("response_format", "json");
    }
    let url = wire::place(&access.base_url, PATH)?;
    let (headers, body) = form.written(wire::bearer(access));
    let call = Call::submit(url, headers, body.into());
    let (answer, id) = match at_once::submit(client, call).await? {
        Answer::Made(answer, id) => (answer, id),
        Answer::Failed(started) => return Ok(started),
    };
    let heard: Heard = transcript::read(&answer)?;
    let (cost, lasts) = (heard.usage.cost(order.model), heard.usage.lasts());
    let text = transcript::written(&heard.transcript())?;
    Ok(Started {
        lasts,
        ..at_once::told(&id, text, cost)
    })
}

// === impl Heard ===

impl Heard {
    fn transcript(self) -> Transcript {
        Transcript {
            text: self.text,
            language: transcript::some(self.language),
            duration: transcript::lasts(&self.duration),
            words: self.words,
            segments: self.segments,
        }
    }
}

// === impl Usage ===

impl Usage {
    /// How long at least a recording is: its seconds, or as long as there is for so many tokens.
    fn lasts(&self) -> Duration {
        let tokens = u64::try_from(self.input_token_details.audio_tokens).unwrap_or_default();
        let about = Duration::from_millis(tokens.saturating_mul(TOKEN));
        let (of, parts) = PARTS;
        let least = about.saturating_sub(SLACK).saturating_mul(of);
        let least = least.checked_div(parts).unwrap_or_default();
        least.max(transcript::lasts(&self.seconds))
    }

    /// What it costs us, of a model whose prices are known.
    fn cost(&self, model: &str) -> Option<Cost> {
        let by_second = SECONDS.iter().find(|(name, _)| *name == model);
        let by_token = TOKENS.iter().find(|(name, _)| *name == model);
        let micro_usd = match (by_second, by_token) {
            (Some((_, price)), _) => {
                let lasts = transcript::lasts(&self.seconds);
                let begun = i64::from(lasts.subsec_nanos() > 0);
                let seconds = i64::try_from(lasts.as_secs()).unwrap_or(i64::MAX);
                seconds.saturating_add(begun).saturating_mul(*price)
            }
            (None, Some((_, prices))) => {
                let sounds = self.input_token_details.audio_tokens;
                let words = self.input_tokens.saturating_sub(sounds);
                let parts = [words, sounds, self.output_tokens];
                let sums = parts
                    .iter()
                    .zip(prices)
                    .map(|(tokens, price)| tokens.saturating_mul(*price));
                sums.fold(0_i64, i64::saturating_add).checked_div(MILLION)?
            }
            (None, None) => return None,
        };
        (micro_usd > 0).then_some(Cost { micro_usd })
    }
}

#[cfg(test)]
mod tests;
