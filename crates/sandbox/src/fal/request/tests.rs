//! What an input says, and what is wrong with it, as tables.

use super::*;
use crate::fal::model;
use crate::made::Sound;

fn check(model: &str, body: &Value) -> Result<Input, Vec<Violation>> {
    read(model::find(model).unwrap(), body.to_string().as_bytes())
}

const UPSCALER: &str = "fal-ai/topaz/upscale/image";
const MATTING: &str = "bria/video/background-removal/v3";
const EDIT: &str = "fal-ai/nano-banana-pro/edit";
const PICTURES: &str = "fal-ai/flux-2-pro";
const VIDEO: &str = "fal-ai/veo3.1";
const MUSIC: &str = "fal-ai/minimax-music/v2.5";
const SPEECH: &str = "fal-ai/elevenlabs/tts/eleven-v3";

/// What is made of an input, with what the model needs put in: its kind, how many, width, height, seconds.
fn makes(model: &str, mut body: Value, (kind, count, width, height, seconds): Tuple) {
    for name in model::find(model).unwrap().needs {
        if body[*name].is_null() {
            body[*name] = json!("thirty characters of any words");
        }
    }
    let made = Made {
        kind,
        count,
        width,
        height,
        seconds,
    };
    assert_eq!(check(model, &body).unwrap().made, made, "{model} {body}");
}

type Tuple = (Kind, u8, u16, u16, u16);

/// The one thing that is wrong with an input.
fn refuses(model: &str, body: Value, field: &str, kind: &str) {
    let violations = check(model, &body).unwrap_err();
    assert_eq!(violations.len(), 1, "{body}");
    let place = violations[0].loc.last().map(String::as_str);
    assert_eq!((place, violations[0].r#type), (Some(field), kind), "{body}");
}

#[test]
fn pictures_follow_the_input() {
    makes(PICTURES, json!({}), (Kind::Jpeg, 1, 1_024, 1_024, 0));
    let body = json!({"output_format": "png", "num_images": 4, "image_size": "landscape_16_9"});
    makes(PICTURES, body, (Kind::Png, 4, 1_024, 576, 0));
    let body = json!({"image_size": {"width": 640, "height": 100}, "duration": 9});
    makes(PICTURES, body, (Kind::Jpeg, 1, 640, 100, 0));
    let body = json!({"aspect_ratio": "16:9", "resolution": "2K"});
    makes(
        "fal-ai/nano-banana-pro",
        body,
        (Kind::Png, 1, 2_048, 1_152, 0),
    );
    let body = json!({"aspect_ratio": "auto", "image_size": "auto_4K"});
    makes(PICTURES, body, (Kind::Jpeg, 1, 1_024, 1_024, 0));
    let body = json!({"upscale_factor": 2, "num_images": 4});
    makes(UPSCALER, body, (Kind::Jpeg, 1, 1_024, 1_024, 0));
    let body = json!({"upscale_factor": 1.5, "output_format": "png"});
    makes(UPSCALER, body, (Kind::Png, 1, 768, 768, 0));
}

#[test]
fn videos_and_sounds_follow_the_input() {
    makes(VIDEO, json!({}), (Kind::Mp4, 1, 1_280, 720, 8));
    let body = json!({"duration": "4s", "aspect_ratio": "9:16", "resolution": "1080p"});
    makes(VIDEO, body, (Kind::Mp4, 1, 1_088, 1_920, 4));
    for (duration, seconds) in [(json!("10"), 10), (json!(3), 3)] {
        let body = json!({"duration": duration});
        makes(VIDEO, body, (Kind::Mp4, 1, 1_280, 720, seconds));
    }
    makes(MATTING, json!({}), (Kind::Webm, 1, 1_280, 720, 4));
    let body = json!({"output_container_and_codec": "mp4_h264"});
    makes(MATTING, body, (Kind::Mp4, 1, 1_280, 720, 4));
    let body = json!({"output_container_and_codec": "mov_proresks", "video_url": "https://a.example/1.mp4?seconds=9"});
    makes(MATTING, body, (Kind::Mov, 1, 1_280, 720, 9));
    for (codec, kind) in [
        ("webm_vp9", Kind::ClearWebm),
        ("mov_proresks", Kind::ClearMov),
    ] {
        let body = json!({"output_container_and_codec": codec, "background_color": "Transparent"});
        makes(MATTING, body, (kind, 1, 1_280, 720, 4));
    }
    refuses(
        MATTING,
        json!({"output_container_and_codec": "mp4_h264", "background_color": "Transparent", "video_url": "https://a.example/1.mp4"}),
        "output_container_and_codec",
        "value_error",
    );
    makes(SPEECH, json!({}), (Kind::Sound(Sound::Mp3), 1, 0, 0, 2));
    let body = json!({"output_format": "wav", "duration": 7});
    makes(MUSIC, body, (Kind::Sound(Sound::Wav), 1, 0, 0, 7));
    makes(MUSIC, json!({}), (Kind::Sound(Sound::Mp3), 1, 0, 0, 10));
    let dialogue = "fal-ai/elevenlabs/text-to-dialogue/eleven-v3";
    let lines = json!([{"text": "x".repeat(30), "voice": "Sarah"}, {"text": "x".repeat(29), "voice": "Bill"}]);
    makes(
        dialogue,
        json!({ "inputs": lines }),
        (Kind::Sound(Sound::Mp3), 1, 0, 0, 4),
    );
    refuses(
        dialogue,
        json!({"inputs": [{"text": "Hi"}]}),
        "inputs",
        "list_type",
    );
}

#[test]
fn what_a_model_needs_must_be_there() {
    refuses(PICTURES, json!({}), "prompt", "missing");
    refuses(PICTURES, json!({"prompt": null}), "prompt", "missing");
    refuses(PICTURES, json!({"prompt": 7}), "prompt", "string_type");
    refuses(
        PICTURES,
        json!({"prompt": ""}),
        "prompt",
        "string_too_short",
    );
    refuses(UPSCALER, json!({}), "image_url", "missing");
    refuses(MATTING, json!({}), "video_url", "missing");
    refuses(SPEECH, json!({}), "text", "missing");
    let edit = |urls: Value| json!({"prompt": "a", "image_urls": urls});
    refuses(EDIT, json!({"prompt": "a"}), "image_urls", "missing");
    refuses(EDIT, edit(json!([])), "image_urls", "sequence_too_short");
    refuses(
        EDIT,
        edit(json!("https://a.example/1")),
        "image_urls",
        "list_type",
    );
    refuses(EDIT, edit(json!([1])), "image_urls", "list_type");
    refuses(PICTURES, json!([]), "body", "model_attributes_type");
    let all = check(EDIT, &json!({"seed": 1.5})).unwrap_err();
    assert_eq!(all.len(), 3);
    let model = model::find(PICTURES).unwrap();
    assert_eq!(read(model, b"{").unwrap_err()[0].r#type, "json_invalid");
}

#[test]
fn each_violation_names_its_field_and_its_kind() {
    let (less, more) = ("greater_than_equal", "less_than_equal");
    for (model, field, value, kind) in [
        (PICTURES, "num_images", json!(5), more),
        (PICTURES, "num_images", json!(0), less),
        (PICTURES, "num_images", json!("1"), "int_type"),
        (PICTURES, "seed", json!("x"), "int_type"),
        (PICTURES, "image_size", json!("huge"), "enum"),
        (PICTURES, "image_size", json!(4), "value_error"),
        (
            PICTURES,
            "image_size",
            json!({"width": 1, "height": 64}),
            "value_error",
        ),
        (PICTURES, "output_format", json!("gif"), "enum"),
        (PICTURES, "output_format", json!(1), "string_type"),
        (VIDEO, "aspect_ratio", json!("0:1"), "enum"),
        (VIDEO, "resolution", json!("8p"), "enum"),
        (VIDEO, "duration", json!("long"), "value_error"),
        (VIDEO, "duration", json!(61), "value_error"),
        (MATTING, "output_container_and_codec", json!("gif"), "enum"),
        (MUSIC, "output_format", json!("flac"), "enum"),
        (UPSCALER, "upscale_factor", json!(9), "value_error"),
        (UPSCALER, "upscale_factor", json!("2"), "value_error"),
    ] {
        let mut body = json!({field: value});
        for name in model::find(model).unwrap().needs {
            body[*name] = json!("a");
        }
        refuses(model, body, field, kind);
    }
}
