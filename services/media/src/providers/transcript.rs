//! What the adapters of transcriptions have in common: the recording that goes in, and the one text that comes out. Pure.

use std::time::Duration;

use domain::transcript::Transcript;
use serde_json::{Map, Value};
use upstream::Failure;

use super::{Order, form::Form, wire};

/// What a row of the catalogue says of the recording: itself, and the seconds of it that are paid for, which no provider is sent.
const FILE: &str = "file";
const SECONDS: &str = "seconds";

/// Whether what is asked for is the words of a recording.
pub(super) fn is_asked(order: &Order<'_>) -> bool {
    order.parameters.contains_key(FILE)
}

/// A recording as a form, with whatever else the row of the catalogue says.
///
/// # Errors
/// When it is no file whose bytes are here.
pub(super) fn form(parameters: &Map<String, Value>) -> Result<Form, Failure> {
    let mut form = Form::default();
    for (name, value) in parameters {
        match (name.as_str(), value.as_str()) {
            (FILE, Some(url)) => form.url(FILE, url)?,
            (SECONDS, _) => {}
            (_, Some(text)) => form.text(name, text),
            (_, None) => form.text(name, &value.to_string()),
        }
    }
    Ok(form)
}

/// What is kept of it.
///
/// # Errors
/// Never in practice; serde's signature has one.
pub(super) fn written(heard: &Transcript) -> Result<String, Failure> {
    serde_json::to_string(heard).map_err(|_| Failure::malformed("a transcript cannot be written"))
}

/// A number of seconds, or a text of one; nothing where it is neither.
pub(super) fn lasts(told: &Value) -> Duration {
    let seconds = told
        .as_f64()
        .or_else(|| told.as_str().and_then(|text| text.parse().ok()));
    let lasts = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    lasts.unwrap_or_default()
}

/// A text that is none where it is empty.
pub(super) fn some(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

/// What the answer of a transcription lacks.
pub(super) const NO_TEXT: &str = "the answer to a submit has no transcript";

/// Reads an answer.
pub(super) fn read<T: serde::de::DeserializeOwned>(answer: &[u8]) -> Result<T, Failure> {
    wire::read(answer, NO_TEXT)
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_provider_is_sent_the_bytes_and_not_what_we_measured() {
        let parameters = json!({
            "file": "data:audio/x-wav;base64,AAEC", "language_code": "de", "diarize": true, "temperature": 0.5, "seconds": 60,
        });
        let form = form(parameters.as_object().unwrap()).unwrap();
        let (_, body) = form.written(HeaderMap::new());
        let body = String::from_utf8(body).unwrap();
        for part in [
            "name=\"file\"; filename=\"file.wav\"\r\nContent-Type: audio/x-wav\r\n\r\n\0\u{1}\u{2}\r\n",
            "name=\"language_code\"\r\n\r\nde\r\n",
            "name=\"diarize\"\r\n\r\ntrue\r\n",
            "name=\"temperature\"\r\n\r\n0.5\r\n",
        ] {
            assert!(body.contains(part), "{part}: {body}");
        }
        assert!(!body.contains("seconds"));
        let order = Order {
            model: "m",
            parameters: parameters.as_object().unwrap(),
            callback: None,
        };
        assert!(is_asked(&order));
        let other = Map::new();
        assert!(!is_asked(&Order {
            parameters: &other,
            ..order
        }));
    }

    #[test]
    fn a_length_may_be_a_text() {
        for (told, millis) in [
            (json!(2.5), 2_500),
            (json!(7), 7_000),
            (json!("8.47"), 8_470),
            (json!("long"), 0),
            (json!(-1), 0),
            (json!(null), 0),
        ] {
            assert_eq!(lasts(&told), Duration::from_millis(millis), "{told}");
        }
        assert_eq!(some(Some(String::new())), None);
    }
}
