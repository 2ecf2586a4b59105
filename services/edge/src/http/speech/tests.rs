//! What a request in OpenAI's shape becomes, and what is wrong with one.

use serde_json::json;

use super::*;

/// The task's request and how its sound is wanted, or what is wrong; nothing where it is not asked in OpenAI's shape.
fn read_of(body: &Value) -> Option<Result<(Value, Form), String>> {
    let catalogue = Catalogue::built_in().unwrap();
    match read(&catalogue, body.to_string().as_bytes()) {
        Ok(asked) => asked.map(|asked| {
            let body = serde_json::from_slice(&asked.body).unwrap();
            Ok((body, asked.form))
        }),
        Err(error) => Some(Err(error.fault().message.clone())),
    }
}

/// A request of this model with more.
fn of(model: &str, more: &Value) -> Value {
    let mut body = json!({"model": model, "input": "Hi \"you\""});
    let members = body.as_object_mut().unwrap();
    members.extend(more.as_object().unwrap().clone());
    body
}

#[test]
fn an_input_becomes_a_line_of_a_dialogue() {
    for (more, becomes) in [
        (json!({}), json!({"dialogue": [{"text": "Hi \"you\""}]})),
        (
            json!({"voice": "alloy", "response_format": "mp3", "speed": 1.0, "stream_format": "audio", "instructions": null}),
            json!({"dialogue": [{"text": "Hi \"you\"", "voice": "alloy"}], "response_format": "mp3"}),
        ),
        (
            json!({"voice": {"id": "Sarah"}, "stability": 1, "user": "u"}),
            json!({"dialogue": [{"text": "Hi \"you\"", "voice": "Sarah"}], "stability": 1, "user": "u"}),
        ),
        (
            json!({"voice": {"id": "EXAVITQu4vr4xnSDxMaL"}, "response_format": "pcm"}),
            json!({"dialogue": [{"text": "Hi \"you\"", "voice": "EXAVITQu4vr4xnSDxMaL"}], "response_format": "wav"}),
        ),
        (
            json!({"instructions": "slowly"}),
            json!({"dialogue": [{"text": "Hi \"you\""}], "instructions": "slowly"}),
        ),
    ] {
        let mut expected = becomes;
        expected["model"] = json!("elevenlabs-v3");
        let (body, _) = read_of(&of("elevenlabs-v3", &more)).unwrap().unwrap();
        assert_eq!(body, expected, "{more}");
    }
    for other in [
        json!({"model": "elevenlabs-v3", "dialogue": [{"text": "input"}]}),
        json!({"model": "elevenlabs-v3", "dialogue": [{"text": "a"}], "input": "b"}),
        json!({"input": null}),
        json!(["input"]),
    ] {
        assert!(read_of(&other).is_none(), "{other}");
    }
    // What there is to say of a model that is not there, media says.
    let (body, _) = read_of(&of("nobody", &json!({"voice": "any"})))
        .unwrap()
        .unwrap();
    assert_eq!(body["dialogue"][0]["voice"], "any");
}

#[test]
fn an_input_stays_one_where_the_model_takes_it() {
    for (more, becomes) in [
        (json!({}), json!({})),
        (
            json!({"voice": {"id": "Nova"}, "speed": 0.25, "response_format": "aac", "stream_format": null}),
            json!({"voice": "Nova", "speed": 0.25, "response_format": "aac"}),
        ),
        (json!({"input": 7}), json!({"input": 7})),
        (
            json!({"response_format": "pcm", "instructions": "slowly", "callback_url": "https://a.example/"}),
            json!({"response_format": "wav", "instructions": "slowly", "callback_url": "https://a.example/"}),
        ),
    ] {
        let expected = of("gpt-4o-mini-tts", &becomes);
        let (body, _) = read_of(&of("gpt-4o-mini-tts", &more)).unwrap().unwrap();
        assert_eq!(body, expected, "{more}");
    }
}

#[test]
fn a_sound_is_wanted_whole_or_piece_by_piece() {
    let form = |more: Value| read_of(&of("tts-1", &more)).unwrap().unwrap().1;
    let is = |content, delivery| Form { content, delivery };
    assert_eq!(form(json!({})), is(Content::File, Delivery::Bytes));
    assert_eq!(
        form(json!({"response_format": "wav", "stream_format": "sse"})),
        is(Content::File, Delivery::Events)
    );
    assert_eq!(
        form(json!({"response_format": "pcm", "stream_format": "audio"})),
        is(Content::Samples, Delivery::Bytes)
    );
}

#[test]
fn what_is_not_made_is_said() {
    const ELEVEN: &str = "elevenlabs-v3";
    for (model, more, told) in [
        (
            ELEVEN,
            json!({"input": ""}),
            "input must be a text of 1 to 5000 characters",
        ),
        (
            ELEVEN,
            json!({"input": 7}),
            "input must be a text of 1 to 5000 characters",
        ),
        (
            ELEVEN,
            json!({"voice": "nobody"}),
            "voice must be one of Sarah, ",
        ),
        (ELEVEN, json!({"voice": 7}), "voice must be one of Sarah, "),
        (
            "tts-1",
            json!({"voice": {"id": "voice_1"}}),
            "voice must be one of alloy, ash, coral, echo, fable, nova, onyx, sage, shimmer",
        ),
        (
            ELEVEN,
            json!({"response_format": "aac"}),
            "response_format must be one of mp3, opus, wav, pcm",
        ),
        (
            "tts-1",
            json!({"response_format": "ogg"}),
            "response_format must be one of mp3, opus, aac, flac, wav, pcm",
        ),
        (
            "nobody",
            json!({"response_format": "opus"}),
            "response_format must be mp3: nothing else is made",
        ),
        (
            ELEVEN,
            json!({"stream_format": "raw"}),
            "stream_format must be audio or sse",
        ),
        (
            ELEVEN,
            json!({"speed": 1.5}),
            "speed must be 1: these voices have their own",
        ),
        (
            "tts-1",
            json!({"speed": 0.2}),
            "speed must be a number from 0.25 to 4",
        ),
        (
            "tts-1",
            json!({"speed": "1"}),
            "speed must be a number from 0.25 to 4",
        ),
    ] {
        let said = read_of(&of(model, &more)).unwrap().unwrap_err();
        assert!(said.starts_with(told), "{said}");
    }
}
