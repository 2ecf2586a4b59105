//! Makers of transcripts: what is told is what was asked for, and what they refuse.

use reqwest::Response;
use serde_json::{Value, json};

use crate::App;

const ELEVENLABS: &str = "/elevenlabs/v1/speech-to-text";
const OPENAI: &str = "/openai/v1/audio/transcriptions";
const KIND: &str = "multipart/form-data; boundary=b";
/// Of a recording, in a chunk that nobody plays.
const SOON: &str = "[sandbox delay=1ms]";

/// A recording of two seconds, with these words among its bytes, and zeros behind them.
fn recording(says: &str, behind: usize) -> Vec<u8> {
    let mut file = b"RIFF\xec\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x64\0\0\0\x64\0\0\0\x01\0\x08\0data\xc8\0\0\0".to_vec();
    file.extend([0x80; 200]);
    file.extend(says.bytes());
    file.extend(vec![0; behind]);
    file
}

async fn asked(app: &App, path: &str, file: Vec<u8>, fields: &[(&str, &str)]) -> Response {
    let mut form =
        b"--b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\n"
            .to_vec();
    form.extend(file);
    for (name, value) in fields {
        let field =
            format!("\r\n--b\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}");
        form.extend(field.bytes());
    }
    form.extend(b"\r\n--b--\r\n");
    let request = app.post(path).header("content-type", KIND).body(form);
    let request = request.header("xi-api-key", "any").bearer_auth("any");
    request.send().await.unwrap()
}

#[tokio::test]
async fn scribe_tells_what_it_is_asked_for() {
    let app = App::start().await;
    for (diarize, events) in [
        (None, None),
        (Some("true"), Some("false")),
        (Some("false"), Some("true")),
    ] {
        let mut fields = vec![("model_id", "scribe_v2")];
        fields.extend(diarize.map(|word| ("diarize", word)));
        fields.extend(events.map(|word| ("tag_audio_events", word)));
        let answer = asked(&app, ELEVENLABS, recording(SOON, 0), &fields).await;
        assert_eq!(answer.status(), 200);
        let told: Value = answer.json().await.unwrap();
        let words = told["words"].as_array().unwrap();
        let has_speaker = words.iter().all(|word| word["speaker_id"] == "speaker_0");
        assert_eq!(has_speaker, diarize == Some("true"), "{told}");
        let has_events = words.iter().any(|word| word["type"] == "audio_event");
        assert_eq!(has_events, events != Some("false"), "{told}");
        assert_eq!(told["audio_duration_secs"], 2.0);
    }
}

#[tokio::test]
async fn a_recording_may_last_longer_than_it_says() {
    let app = App::start().await;
    let says = "[sandbox delay=1ms lasts=20m]";
    let fields = [("model", "whisper-1"), ("response_format", "verbose_json")];
    let answer = asked(&app, OPENAI, recording(says, 0), &fields).await;
    let told: Value = answer.json().await.unwrap();
    assert_eq!(told["duration"], 1_200.0, "{told}");
    let fields = [("model", "gpt-4o-transcribe")];
    let answer = asked(&app, OPENAI, recording(says, 0), &fields).await;
    let told: Value = answer.json().await.unwrap();
    let tokens = &told["usage"]["input_token_details"]["audio_tokens"];
    assert_eq!(tokens, 12_000, "{told}");
    let fields = [("model_id", "scribe_v2")];
    let answer = asked(&app, ELEVENLABS, recording(says, 0), &fields).await;
    let told: Value = answer.json().await.unwrap();
    assert_eq!(told["audio_duration_secs"], 1_200.0, "{told}");
}

#[tokio::test]
async fn openai_refuses_what_it_cannot_hear() {
    let app = App::start().await;
    let whisper = ("model", "whisper-1");
    for (says, behind, fields, status, param) in [
        (
            SOON,
            0,
            vec![whisper, ("language", "german")],
            400,
            "language",
        ),
        (
            SOON,
            0,
            vec![whisper, ("temperature", "2")],
            400,
            "temperature",
        ),
        (
            "[sandbox lasts=1401s]",
            0,
            vec![("model", "gpt-4o-transcribe")],
            400,
            "file",
        ),
        (SOON, 25 << 20, vec![whisper], 413, ""),
    ] {
        let answer = asked(&app, OPENAI, recording(says, behind), &fields).await;
        assert_eq!(answer.status(), status, "{fields:?}");
        let told: Value = answer.json().await.unwrap();
        let param = if param.is_empty() {
            json!(null)
        } else {
            json!(param)
        };
        assert_eq!(told["error"]["param"], param, "{told}");
    }
}
