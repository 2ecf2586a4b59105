//! Transcripts in OpenAI's wire form: a form with a recording, answered with what is said in it.

use axum::{
    body::Bytes,
    extract::{Path, State},
    response::Response,
};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::{
    has_key,
    refusal::{Dialect, Refusal},
    request::Problem,
};
use crate::{
    Sandbox, answer,
    at_once::{self, End, Order},
    directive::Outcome,
    made::{Kind, Made},
    recording::{self, Form, Recording, Said, Wrong},
};

/// The models that bill seconds, in micro-US-dollars each, and know moments.
const TIMED: [(&str, i64); 1] = [("whisper-1", 100)];
/// Those that bill a million tokens, in micro-US-dollars: of words that go in, of sounds, and of words that come out.
const TOLD: [(&str, [i64; 3]); 2] = [
    ("gpt-4o-transcribe", [2_500_000, 6_000_000, 10_000_000]),
    ("gpt-4o-mini-transcribe", [1_250_000, 3_000_000, 5_000_000]),
];
const MILLION: i64 = 1_000_000;
/// The tokens of a request's words, and of a second.
const WORDS: i64 = 2;
const SECOND: i64 = 10;
/// What their files may be called.
const ENDINGS: [&str; 9] = [
    "flac", "mp3", "mp4", "mpeg", "mpga", "m4a", "ogg", "wav", "webm",
];
const FIELDS: [&str; 6] = [
    "model",
    "language",
    "prompt",
    "response_format",
    "temperature",
    GRANULARITIES,
];
const GRANULARITIES: &str = "timestamp_granularities[]";
/// The most bytes of a request, and the most seconds for the models that tell no moments.
const MOST_BYTES: usize = 25 << 20;
const MOST_SECONDS: u64 = 1_400;
/// The formats that the sandbox speaks.
const PLAIN: &str = "json";
const VERBOSE: &str = "verbose_json";

/// How a model bills.
#[derive(Clone, Copy)]
enum Bills {
    /// Seconds.
    Seconds(i64),
    /// Tokens.
    Tokens([i64; 3]),
}

/// A request that was understood.
struct Asked<'a> {
    model: &'static str,
    bills: Bills,
    recording: &'a Recording,
    said: Vec<Said>,
    /// What is told beside the text.
    words: bool,
    segments: bool,
    language: String,
}

/// `POST /{provider}/v1/audio/transcriptions`.
pub(crate) async fn transcribe(
    State(sandbox): State<Sandbox>,
    Path(_): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if !has_key(&headers) {
        return Dialect::OpenAi.refuse(&Refusal::NoKey);
    }
    if body.len() > MOST_BYTES {
        let bytes = body.len();
        let error = json!({
            "message": format!("{bytes}: Maximum content size limit ({MOST_BYTES}) exceeded ({bytes} bytes read)"),
            "type": "server_error", "param": null, "code": null,
        });
        return answer::json(StatusCode::PAYLOAD_TOO_LARGE, &json!({ "error": error }));
    }
    let form = match Form::read(&headers, body, &ENDINGS).await {
        Ok(form) => form,
        Err(wrong) => return wrong_form(wrong),
    };
    let asked = match Asked::read(&form) {
        Ok(asked) => asked,
        Err(refusal) => return Dialect::OpenAi.refuse(&refusal),
    };
    let input = form.input();
    let order = Order {
        provider: "openai",
        model: asked.model,
        input: &input,
        made: Made {
            kind: Kind::Words,
            count: 1,
            width: 0,
            height: 0,
            seconds: u16::try_from(asked.recording.seconds()).unwrap_or(u16::MAX),
        },
        price: asked.price(),
    };
    match at_once::call(&sandbox, order).await {
        End::Broken(answer) => answer,
        End::Refused(outcome) => refuse(outcome),
        End::Made(job, times) => at_once::whole(&job, &job.with_word(asked.answer(times))),
    }
}

fn wrong_form(wrong: Wrong) -> Response {
    let message = match wrong {
        Wrong::Broken => "We could not parse your request as a form.",
        Wrong::NoFile => "you must provide a file",
        Wrong::NoSound => {
            "Invalid file format. Supported formats: ['flac', 'm4a', 'mp3', 'mp4', 'mpeg', 'mpga', 'oga', 'ogg', 'wav', 'webm']"
        }
    };
    Dialect::OpenAi.refuse(&invalid("file", message.to_owned()))
}

fn invalid(param: &'static str, message: String) -> Refusal {
    Refusal::Invalid(Problem {
        message,
        param: Some(param),
        code: None,
    })
}

/// How a directive's refusal is said.
fn refuse(outcome: Outcome) -> Response {
    if outcome == Outcome::Moderated {
        let error = json!({
            "message": "Your request was rejected by the safety system.",
            "type": "invalid_request_error", "param": null, "code": "content_policy_violation",
        });
        return answer::json(StatusCode::BAD_REQUEST, &json!({ "error": error }));
    }
    let refusal = Refusal::of(outcome).unwrap_or(Refusal::Broken);
    Dialect::OpenAi.refuse(&refusal)
}

/// That the words of a form are such.
fn fields_fit(form: &Form) -> Result<(), Refusal> {
    let temperature = form.text("temperature").map(str::parse::<f64>);
    let fits = |told: &Result<f64, _>| matches!(told, Ok(told) if (0.0..=1.0).contains(told));
    if !temperature.as_ref().is_none_or(fits) {
        let message = "temperature should be a number from 0 to 1".to_owned();
        return Err(invalid("temperature", message));
    }
    let is_code = |word: &str| {
        (2..=3).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_lowercase())
    };
    if form.text("language").is_some_and(|word| !is_code(word)) {
        let message = "Language parameter must be specified in ISO-639-1 format.".to_owned();
        return Err(invalid("language", message));
    }
    Ok(())
}

// === impl Asked ===

impl<'a> Asked<'a> {
    fn read(form: &'a Form) -> Result<Self, Refusal> {
        let unknown = |name: &&String| !FIELDS.contains(&name.as_str());
        if let Some(name) = form.fields.keys().find(unknown) {
            let message = format!("Unknown parameter: '{name}'.");
            return Err(invalid("body", message));
        }
        let model = form.text("model").unwrap_or_default();
        let timed = TIMED.iter().find(|(name, _)| *name == model);
        let told = TOLD.iter().find(|(name, _)| *name == model);
        let (model, bills) = match (timed, told) {
            (Some((name, price)), _) => (*name, Bills::Seconds(*price)),
            (None, Some((name, prices))) => (*name, Bills::Tokens(*prices)),
            (None, None) => {
                return Err(Refusal::Invalid(Problem {
                    message: "The model does not exist or you do not have access to it.".to_owned(),
                    param: Some("model"),
                    code: Some("model_not_found"),
                }));
            }
        };
        let format = form.text("response_format").unwrap_or(PLAIN);
        let is_verbose = match (format, bills) {
            (PLAIN, _) => false,
            (VERBOSE, Bills::Seconds(_)) => true,
            _ => {
                let message = format!("response_format '{format}' is not compatible with {model}");
                return Err(invalid("response_format", message));
            }
        };
        let seconds = form.recording.seconds();
        if matches!(bills, Bills::Tokens(_)) && seconds > MOST_SECONDS {
            let message = format!(
                "audio duration {seconds} seconds is longer than {MOST_SECONDS} seconds which is the maximum for this model"
            );
            return Err(invalid("file", message));
        }
        fields_fit(form)?;
        let moments = form.fields.get(GRANULARITIES);
        let moments = moments.map(Value::to_string).unwrap_or_default();
        let language = form.text("language").unwrap_or("english").to_owned();
        Ok(Self {
            model,
            bills,
            recording: &form.recording,
            said: form.recording.said(&language),
            words: is_verbose && moments.contains("word"),
            segments: is_verbose && (moments.is_empty() || moments.contains("segment")),
            language,
        })
    }

    fn seconds(&self) -> i64 {
        i64::try_from(self.recording.seconds()).unwrap_or(i64::MAX)
    }

    /// Tokens of words that go in, of sounds, and of words that come out.
    fn tokens(&self) -> [i64; 3] {
        let out = i64::try_from(self.said.len()).unwrap_or(i64::MAX);
        [WORDS, self.seconds() * SECOND, out]
    }

    /// Micro-US-dollars.
    fn price(&self) -> i64 {
        match self.bills {
            Bills::Seconds(each) => self.seconds() * each,
            Bills::Tokens(prices) => {
                let sums = self.tokens().into_iter().zip(prices);
                let sum: i64 = sums.map(|(tokens, price)| tokens * price).sum();
                sum / MILLION
            }
        }
    }

    fn answer(&self, times: i64) -> Value {
        let text = recording::text(&self.said);
        let usage = self.usage(times);
        if !self.words && !self.segments {
            return json!({ "text": text, "usage": usage });
        }
        let mut told = json!({
            "task": "transcribe", "language": self.language, "duration": self.recording.lasts.as_secs_f64(), "text": text,
            "usage": usage,
        });
        if self.words {
            let word = |said: &Said| json!({ "word": said.word, "start": said.start.as_secs_f64(), "end": said.end.as_secs_f64() });
            told = answer::with(told, "words", self.said.iter().map(word).collect());
        }
        if self.segments {
            told = answer::with(told, "segments", self.sentences());
        }
        told
    }

    /// Its sentences, with what else the model tells of them.
    fn sentences(&self) -> Value {
        let ends = |said: &Said| said.word.ends_with('.');
        let sentences = self.said.split_inclusive(ends).enumerate();
        let sentence = |(number, words): (usize, &[Said])| {
            let (first, last) = (words.first(), words.last());
            json!({
                "id": number, "seek": 0, "start": first.map_or(0.0, |said| said.start.as_secs_f64()),
                "end": last.map_or(0.0, |said| said.end.as_secs_f64()), "text": format!(" {}", recording::text(words)),
                "tokens": [50_364, 50_564], "temperature": 0.0, "avg_logprob": -0.25, "compression_ratio": 1.0,
                "no_speech_prob": 0.01,
            })
        };
        sentences.map(sentence).collect()
    }

    fn usage(&self, times: i64) -> Value {
        match self.bills {
            Bills::Seconds(_) => {
                json!({ "type": "duration", "seconds": self.seconds() * times })
            }
            Bills::Tokens(_) => {
                let [words, sounds, out] = self.tokens().map(|tokens| tokens * times);
                json!({
                    "type": "tokens", "input_tokens": words + sounds, "output_tokens": out, "total_tokens": words + sounds + out,
                    "input_token_details": { "text_tokens": words, "audio_tokens": sounds },
                })
            }
        }
    }
}
