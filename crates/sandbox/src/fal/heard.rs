//! Recordings that are transcribed: what is asked of them goes into the job, which is whole in its id. They have no width and no height, in
//! whose places it is kept.

use serde_json::{Map, Value};

use super::{
    model::{Model, Place},
    request::Input,
};
use crate::{Sandbox, elevenlabs::Telling, inputs, made::Made, recording::Recording};

/// What is to be told, as bits.
const SPEAKERS: u16 = 1;
const EVENTS: u16 = 2;
/// A letter of a language's name is one of so many, or none.
const LETTERS: u16 = 27;
const FIRST: u8 = b'a';
/// The most letters of a language's name.
const LONGEST: usize = 3;

/// Of a recording of the installation's own: how long it lasts, and what its bytes say shall happen; of any, what is to be told.
pub(super) async fn hear(sandbox: &Sandbox, model: &Model, input: &mut Input) {
    let (Place::Words, Value::Object(fields)) = (model.place, &mut input.whole) else {
        return;
    };
    put(fields, &mut input.made);
    let named = fields.get("audio_url").and_then(Value::as_str);
    let Some(named) = named.map(str::to_owned) else {
        return;
    };
    let bytes = inputs::bytes(sandbox, &named).await;
    if let Some(recording) = bytes.and_then(|bytes| Recording::of(&bytes)) {
        recording.note(fields);
        input.made.seconds = u16::try_from(recording.seconds()).unwrap_or(u16::MAX);
    }
}

/// Keeps what is to be told: all, where nothing is said.
fn put(fields: &Map<String, Value>, made: &mut Made) {
    let is_wanted = |name: &str| fields.get(name).and_then(Value::as_bool) != Some(false);
    let bit = |name: &str, bit: u16| if is_wanted(name) { bit } else { 0 };
    made.width = bit("diarize", SPEAKERS) | bit("tag_audio_events", EVENTS);
    let language = fields.get("language_code").and_then(Value::as_str);
    let letters = language.unwrap_or_default().bytes().take(LONGEST);
    made.height = letters.fold(0, |sum, letter| {
        let place = letter.saturating_sub(FIRST).saturating_add(1);
        sum * LETTERS + u16::from(place) % LETTERS
    });
}

/// What is to be told, as the job has it.
pub(super) fn wanted(made: &Made) -> Telling {
    let (mut letters, mut rest) = (Vec::new(), made.height);
    while rest > 0 {
        let place = u8::try_from(rest % LETTERS).unwrap_or_default();
        letters.insert(0, char::from(FIRST + place.saturating_sub(1)));
        rest /= LETTERS;
    }
    Telling {
        language: (!letters.is_empty()).then(|| letters.into_iter().collect()),
        speakers: made.width & SPEAKERS != 0,
        events: made.width & EVENTS != 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::made::Kind;

    #[test]
    fn what_is_to_be_told_is_in_the_job() {
        for (fields, language, speakers, events) in [
            (json!({}), None, true, true),
            (
                json!({"language_code": "de", "diarize": false}),
                Some("de"),
                false,
                true,
            ),
            (
                json!({"language_code": "zza", "tag_audio_events": false}),
                Some("zza"),
                true,
                false,
            ),
        ] {
            let mut made = Made {
                kind: Kind::Words,
                count: 1,
                width: 0,
                height: 0,
                seconds: 1_200,
            };
            put(fields.as_object().unwrap(), &mut made);
            let kept = made.fitted();
            let told = wanted(&kept);
            assert_eq!(kept.seconds, 1_200);
            assert_eq!(
                (told.language.as_deref(), told.speakers, told.events),
                (language, speakers, events),
                "{fields}"
            );
        }
    }
}
