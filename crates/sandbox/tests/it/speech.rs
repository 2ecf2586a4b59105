//! Makers of speech: what is said is the answer, in the format and for as long as was asked for; what they refuse, and in which words.

use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};

use crate::App;

const ELEVENLABS: &str = "/elevenlabs/v1/text-to-dialogue";
const STREAMED: &str = "/elevenlabs/v1/text-to-dialogue/stream?output_format=pcm_24000";
const OPENAI: &str = "/openai/v1/audio/speech";
const GEORGE: &str = "JBFqnCBsd6RMkjVDRZzb";
/// Two seconds.
const TEXT: &str = "The quick brown fox jumps over";

/// With the key where each looks for it.
fn asked(app: &App, path: &str, body: &Value) -> RequestBuilder {
    let request = app.post(path).json(body);
    if path.starts_with(ELEVENLABS) {
        request.header("xi-api-key", "any")
    } else {
        request.bearer_auth("any")
    }
}

async fn answered(app: &App, path: &str, body: &Value) -> Response {
    asked(app, path, body).send().await.unwrap()
}

/// A request of each wire, with this text.
fn request(path: &str, text: &str) -> Value {
    if path.starts_with(ELEVENLABS) {
        json!({ "model_id": "eleven_v3", "inputs": [{ "text": text, "voice_id": GEORGE }], "settings": { "stability": 0.5 } })
    } else {
        json!({ "model": "tts-1", "input": text, "voice": "nova" })
    }
}

async fn billed(app: &App, provider: &str) -> (Value, Value) {
    let jobs = app.json(&format!("/bill/jobs?provider={provider}")).await;
    let row = jobs["jobs"].as_array().unwrap().last().unwrap().clone();
    (row["model"].clone(), row["billed"].clone())
}

#[tokio::test]
async fn a_dialogue_is_said_in_the_format_that_is_asked_for() {
    let app = App::start().await;
    for (format, kind, begins) in [
        ("", "audio/mpeg", &b"ID3"[..]),
        ("?output_format=mp3_44100_128", "audio/mpeg", b"ID3"),
        ("?output_format=opus_48000_128", "audio/ogg", b"OggS"),
        ("?output_format=pcm_24000", "audio/pcm", b""),
    ] {
        let path = format!("{ELEVENLABS}{format}");
        let text = format!("{TEXT} [sandbox delay=1ms]");
        let answer = answered(&app, &path, &request(&path, &text)).await;
        let headers = answer.headers().clone();
        assert_eq!(
            (answer.status().as_u16(), &headers["content-type"]),
            (200, &kind.parse().unwrap())
        );
        // The directive is not said.
        assert_eq!(headers["character-cost"], "30", "{format}");
        assert!(!headers["request-id"].is_empty());
        let sound = answer.bytes().await.unwrap();
        assert!(sound.starts_with(begins), "{format}");
        if begins.is_empty() {
            assert_eq!(sound.len(), 2 * 48_000);
        }
        assert_eq!(
            billed(&app, "elevenlabs").await,
            (json!("eleven_v3"), json!(3_000))
        );
    }
}

#[tokio::test]
async fn a_text_is_said_in_the_format_and_at_the_speed_that_are_asked_for() {
    let app = App::start().await;
    for (model, more, kind, begins, price) in [
        ("tts-1", json!({}), "audio/mpeg", &b"ID3"[..], 450),
        (
            "tts-1-hd",
            json!({ "response_format": "flac" }),
            "audio/flac",
            b"fLaC",
            900,
        ),
        (
            "tts-1",
            json!({ "response_format": "aac" }),
            "audio/aac",
            b"\xff\xf1",
            450,
        ),
        (
            "gpt-4o-mini-tts",
            json!({ "voice": "marin", "instructions": "Slowly.", "response_format": "opus" }),
            "audio/ogg",
            b"OggS",
            540,
        ),
        (
            "tts-1",
            json!({ "speed": 0.25, "response_format": "pcm" }),
            "audio/pcm",
            b"",
            450,
        ),
    ] {
        let mut body = request(OPENAI, TEXT);
        body["model"] = json!(model);
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let answer = answered(&app, OPENAI, &body).await;
        let headers = answer.headers().clone();
        assert_eq!(
            (answer.status().as_u16(), &headers["content-type"]),
            (200, &kind.parse().unwrap())
        );
        assert!(!headers["x-request-id"].is_empty());
        let sound = answer.bytes().await.unwrap();
        assert!(sound.starts_with(begins), "{body}");
        if begins.is_empty() {
            assert_eq!(sound.len(), 8 * 48_000);
        }
        assert_eq!(billed(&app, "openai").await, (json!(model), json!(price)));
    }
}

#[tokio::test]
async fn refusals_are_said_in_the_words_of_each() {
    let app = App::start().await;
    let (code, word) = ("/error/code", "/detail/status");
    for (path, outcome, status, told, expected) in [
        (
            ELEVENLABS,
            "rate_limited",
            429,
            word,
            "too_many_concurrent_requests",
        ),
        (ELEVENLABS, "overloaded", 429, word, "system_busy"),
        (ELEVENLABS, "out_of_balance", 401, word, "quota_exceeded"),
        (ELEVENLABS, "moderated", 400, word, "invalid_request"),
        (ELEVENLABS, "fail", 500, word, "internal_server_error"),
        (OPENAI, "rate_limited", 429, code, "rate_limit_exceeded"),
        (OPENAI, "overloaded", 503, code, "server_is_overloaded"),
        (OPENAI, "out_of_balance", 429, code, "insufficient_quota"),
        (OPENAI, "moderated", 400, code, "content_policy_violation"),
        (OPENAI, "fail", 500, code, "-"),
    ] {
        let text = format!("a fox [sandbox outcome={outcome}]");
        let answer = answered(&app, path, &request(path, &text)).await;
        assert_eq!(answer.status().as_u16(), status, "{path} {outcome}");
        let body: Value = answer.json().await.unwrap();
        let said = body.pointer(told).and_then(Value::as_str);
        assert_eq!(said.unwrap_or("-"), expected, "{path} {outcome} {body}");
    }
}

/// A request for samples, with this directive.
fn samples(path: &str, directive: &str) -> Value {
    let mut body = request(path, &format!("{TEXT} [sandbox {directive}]"));
    if path.starts_with(OPENAI) {
        body["response_format"] = json!("pcm");
    }
    body
}

/// All that comes of an answer, and whether it came to its end.
async fn heard(mut answer: Response) -> (usize, bool) {
    let mut bytes = 0;
    loop {
        match answer.chunk().await {
            Ok(Some(piece)) => bytes += piece.len(),
            Ok(None) => return (bytes, true),
            Err(_) => return (bytes, false),
        }
    }
}

#[tokio::test]
async fn a_sound_is_told_in_ten_pieces_or_as_many_as_are_asked_for() {
    let app = App::start().await;
    for path in [STREAMED, OPENAI] {
        // Two seconds of samples.
        let whole = 2 * 48_000;
        for (directive, bytes, ends) in [
            ("chunk_delay=1ms", whole, true),
            ("chunk_delay=0ms after=3 outcome=cut", whole / 10 * 3, false),
            ("chunk_delay=0ms outcome=cut", whole / 2, false),
            ("outcome=cut", whole / 2, false),
        ] {
            let answer = answered(&app, path, &samples(path, directive)).await;
            assert_eq!(answer.headers()["content-type"], "audio/pcm");
            let told = heard(answer).await;
            assert_eq!(told, (bytes, ends), "{path} {directive}");
        }
        // So many come, and then nothing.
        let body = samples(path, "outcome=hang after=2 chunk_delay=0ms");
        let mut answer = answered(&app, path, &body).await;
        let mut came = 0;
        while came < whole / 5 {
            came += answer.chunk().await.unwrap().unwrap().len();
        }
        assert_eq!(came, whole / 5);
    }
}

#[tokio::test]
async fn what_they_do_not_take_is_refused() {
    let app = App::start().await;
    let line = |voice: &str| json!([{ "text": "Hi", "voice_id": voice }]);
    let long = json!([{ "text": "x".repeat(5_001), "voice_id": GEORGE }]);
    for (path, field, value, status) in [
        (ELEVENLABS, "model_id", json!("eleven_v9"), 422),
        (ELEVENLABS, "inputs", json!([]), 422),
        (ELEVENLABS, "inputs", json!([{ "text": "Hi" }]), 422),
        (ELEVENLABS, "inputs", line("George"), 400),
        (ELEVENLABS, "inputs", long, 400),
        (ELEVENLABS, "settings", json!({ "stability": 0.3 }), 422),
        (ELEVENLABS, "output_format", json!("mp3_44100_128"), 422),
        (
            "/elevenlabs/v1/text-to-dialogue?output_format=aac",
            "seed",
            json!(1),
            422,
        ),
        (OPENAI, "model", json!("tts-9"), 400),
        (OPENAI, "input", json!(""), 400),
        (OPENAI, "input", json!("x".repeat(4_097)), 400),
        (OPENAI, "voice", json!("marin"), 400),
        (OPENAI, "voice", json!(null), 400),
        (OPENAI, "speed", json!(4.01), 400),
        (OPENAI, "response_format", json!("ogg"), 400),
        (OPENAI, "instructions", json!("Slowly."), 400),
    ] {
        let mut body = request(path, "a fox");
        body[field] = value;
        let answer = answered(&app, path, &body).await;
        assert_eq!(answer.status().as_u16(), status, "{path} {field}");
        let keyless = app.post(path).json(&request(path, "a fox")).send().await;
        assert_eq!(keyless.unwrap().status(), 401, "{path} without a key");
    }
    assert_eq!(app.json("/bill").await["jobs"], 0);
}
