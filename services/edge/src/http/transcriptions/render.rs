//! A transcript in OpenAI's shapes: as JSON, as text, as the titles of a film (SubRip, WebVTT), and event by event. Pure.

use std::{fmt::Write as _, time::Duration};

use axum::{
    body::Body,
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use domain::transcript::{Segment, Transcript, Word};
use http::{StatusCode, header};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::asked::{Format, Moments, Wanted};
use crate::{error::ApiError, http};

/// So many words come in one event.
const WORDS_AT_ONCE: usize = 4;
/// What ends a stream of events, as OpenAI's do.
const DONE: &str = "data: [DONE]\n\n";

/// What is said, and for how many seconds was paid.
pub(super) struct Heard<'a> {
    pub(super) transcript: &'a Transcript,
    pub(super) seconds: u64,
}

/// The wire shape of an answer as JSON.
#[derive(Serialize, ToSchema)]
#[schema(as = Transcription)]
pub(crate) struct Told<'a> {
    text: &'a str,
    usage: Usage,
}

/// What was paid for.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[schema(as = TranscriptionUsage)]
struct Usage {
    #[serde(rename = "type")]
    kind: &'static str,
    seconds: u64,
}

/// The wire shape of an answer that tells all.
#[derive(Serialize)]
struct Verbose<'a> {
    task: &'static str,
    language: &'a str,
    duration: f64,
    text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    words: Option<&'a [Word]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    segments: Option<Vec<Value>>,
    usage: Usage,
}

/// The wire shape of an event.
#[derive(Serialize)]
#[serde(tag = "type")]
enum Event<'a> {
    #[serde(rename = "transcript.text.delta")]
    Delta { delta: &'a str },
    #[serde(rename = "transcript.text.done")]
    Done { text: &'a str, usage: Usage },
}

/// One title of a film.
struct Cue {
    start: Duration,
    end: Duration,
    text: String,
}

// === impl Heard ===

impl Heard<'_> {
    /// As it is wanted.
    ///
    /// # Errors
    /// Never in practice; serde's signature has one.
    pub(super) fn answer(&self, wanted: Wanted) -> Result<Response, ApiError> {
        let text = &self.transcript.text;
        if wanted.stream {
            return Ok(plain("text/event-stream", self.events()?));
        }
        Ok(match wanted.format {
            Format::Json => http::json(StatusCode::OK, written(&self.told())?),
            Format::VerboseJson => {
                http::json(StatusCode::OK, written(&self.verbose(wanted.moments)?)?)
            }
            Format::Text => plain("text/plain; charset=utf-8", format!("{text}\n")),
            Format::Srt => plain("application/x-subrip; charset=utf-8", self.srt()),
            Format::Vtt => plain("text/vtt; charset=utf-8", self.vtt()),
        })
    }

    fn usage(&self) -> Usage {
        Usage {
            kind: "duration",
            seconds: self.seconds,
        }
    }

    fn told(&self) -> Told<'_> {
        Told {
            text: &self.transcript.text,
            usage: self.usage(),
        }
    }

    fn verbose(&self, moments: Moments) -> Result<Verbose<'_>, ApiError> {
        let Transcript {
            text,
            language,
            words,
            segments,
            ..
        } = self.transcript;
        let segments: Option<Result<Vec<Value>, ApiError>> = moments
            .has_segments()
            .then(|| segments.iter().map(complete).collect());
        Ok(Verbose {
            task: "transcribe",
            // Programs expect a text, also where nobody knows.
            language: language.as_deref().unwrap_or_default(),
            duration: self.lasts().as_secs_f64(),
            text,
            words: moments.has_words().then_some(words.as_slice()),
            segments: segments.transpose()?,
            usage: self.usage(),
        })
    }

    /// How long the recording lasts: as who heard it says, else as it was paid for.
    fn lasts(&self) -> Duration {
        let told = Some(self.transcript.duration).filter(|told| !told.is_zero());
        told.unwrap_or_else(|| Duration::from_secs(self.seconds))
    }

    /// The titles: its segments, or all of it where nobody knows their moments.
    fn cues(&self) -> Vec<Cue> {
        let Transcript { text, segments, .. } = self.transcript;
        let of = |segment: &Segment| Cue {
            start: segment.start,
            end: segment.end.max(segment.start),
            text: one_line(&segment.text),
        };
        let whole = Cue {
            start: Duration::ZERO,
            end: self.lasts(),
            text: one_line(text),
        };
        let cues: Vec<Cue> = if segments.is_empty() {
            vec![whole]
        } else {
            segments.iter().map(of).collect()
        };
        // A title without words is none.
        cues.into_iter()
            .filter(|cue| !cue.text.is_empty())
            .collect()
    }

    fn srt(&self) -> String {
        let mut titles = String::new();
        for (number, cue) in (1_u64..).zip(self.cues()) {
            let (start, end) = (moment(cue.start, ','), moment(cue.end, ','));
            // It has no way to say that this is a text.
            let text = cue.text.replace("-->", "->");
            let _ = write!(titles, "{number}\n{start} --> {end}\n{text}\n\n");
        }
        titles
    }

    fn vtt(&self) -> String {
        let mut titles = "WEBVTT\n\n".to_owned();
        for cue in self.cues() {
            let (start, end) = (moment(cue.start, '.'), moment(cue.end, '.'));
            let text = cue.text.replace('&', "&amp;").replace('<', "&lt;");
            let text = text.replace('>', "&gt;");
            let _ = write!(titles, "{start} --> {end}\n{text}\n\n");
        }
        titles
    }

    fn events(&self) -> Result<String, ApiError> {
        let text = self.transcript.text.as_str();
        let mut events = String::new();
        for delta in pieces(text) {
            events.push_str(&event(&Event::Delta { delta })?);
        }
        let usage = self.usage();
        events.push_str(&event(&Event::Done { text, usage })?);
        events.push_str(DONE);
        Ok(events)
    }
}

/// A segment with all that OpenAI's have, which typed programs read: where who heard it does not know, it is nothing.
fn complete(segment: &Segment) -> Result<Value, ApiError> {
    let mut segment = serde_json::to_value(segment).map_err(|_| ApiError::internal())?;
    let unknown = [
        ("seek", json!(0)),
        ("tokens", json!([])),
        ("temperature", json!(0.0)),
        ("avg_logprob", json!(0.0)),
        ("compression_ratio", json!(0.0)),
        ("no_speech_prob", json!(0.0)),
    ];
    if let Some(members) = segment.as_object_mut() {
        for (name, nothing) in unknown {
            members.entry(name).or_insert(nothing);
        }
    }
    Ok(segment)
}

fn event(event: &Event<'_>) -> Result<String, ApiError> {
    let written = serde_json::to_string(event).map_err(|_| ApiError::internal())?;
    Ok(format!("data: {written}\n\n"))
}

fn written(answer: &impl Serialize) -> Result<Bytes, ApiError> {
    let text = serde_json::to_vec(answer).map_err(|_| ApiError::internal())?;
    Ok(text.into())
}

fn plain(content_type: &'static str, text: String) -> Response {
    let headers = [(header::CONTENT_TYPE, content_type)];
    (StatusCode::OK, headers, Body::from(text)).into_response()
}

/// A text that is one line: an empty line would end a title.
fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ")
}

/// `00:01:02,345`. There are more hours than a day has.
fn moment(at: Duration, before_millis: char) -> String {
    let (seconds, millis) = (at.as_secs(), at.subsec_millis());
    let part = |of: u64| seconds.checked_div(of).unwrap_or_default();
    let (hours, minutes, seconds) = (part(3_600), part(60) % 60, seconds % 60);
    format!("{hours:02}:{minutes:02}:{seconds:02}{before_millis}{millis:03}")
}

/// A few words at a time: together they are the text.
fn pieces(text: &str) -> Vec<&str> {
    let (mut pieces, mut rest) = (Vec::new(), text);
    while !rest.is_empty() {
        let words = rest.split_inclusive(char::is_whitespace);
        let length = words.take(WORDS_AT_ONCE).map(str::len).sum();
        let (piece, behind) = rest.split_at(length);
        pieces.push(piece);
        rest = behind;
    }
    pieces
}

#[cfg(test)]
mod tests;
