//! What the price list promises, model by model: what a documented request means, what it costs, and who is asked for it in which words.

mod asked;
mod costs;

use serde_json::{Map, Value, json};

use super::{Catalogue, Model, Resolved};

const URL: &str = "https://a.example/1.png";
const OTHER: &str = "https://a.example/2.png";

/// A request to `name`: what must be there, and `more`.
fn resolve<'c>(
    catalogue: &'c Catalogue,
    name: &str,
    more: Value,
) -> (&'c Model, Result<Resolved, String>) {
    let model = catalogue.find(name).unwrap();
    let mut sent = Map::new();
    for param in model.params.iter().filter(|param| param.required) {
        let is_text = param.name == "prompt";
        let value = if is_text { "a fox" } else { URL };
        sent.insert(param.name.clone(), json!(value));
    }
    let Value::Object(more) = more else {
        panic!("{more} is no object");
    };
    sent.extend(more);
    let resolved = model.resolve_as(name, sent).map_err(|problems| {
        let messages = problems.into_iter().map(|problem| problem.message);
        messages.collect::<Vec<_>>().join("\n")
    });
    (model, resolved)
}

#[test]
fn a_documented_request_means_what_the_page_says() {
    let pages = [
        (
            "imagen-4",
            json!({"negative_prompt": "hens"}),
            r#"{"prompt":"a fox","model":"imagen4","aspect_ratio":"1:1","negative_prompt":"hens","num_images":1}"#,
        ),
        (
            "imagen4-fast",
            json!({"seed": 7}),
            r#"{"prompt":"a fox","model":"imagen4-fast","aspect_ratio":"1:1","num_images":1,"seed":7}"#,
        ),
        (
            "seedream-4-5",
            json!({}),
            r#"{"prompt":"a fox","model":"seedream/4.5-text-to-image","aspect_ratio":"1:1","quality":"basic"}"#,
        ),
        (
            "nano-banana-pro",
            json!({}),
            r#"{"prompt":"a fox","aspect_ratio":"1:1","resolution":"1K","output_format":"png"}"#,
        ),
        (
            "qwen-image",
            json!({}),
            r#"{"prompt":"a fox","aspect_ratio":"1:1"}"#,
        ),
        (
            "z-image",
            json!({"seed": "7"}),
            r#"{"prompt":"a fox","aspect_ratio":"1:1","seed":7}"#,
        ),
        (
            "ideogram-v3",
            json!({}),
            r#"{"prompt":"a fox","model":"ideogram-v3-turbo","aspect_ratio":"1:1","style":"Auto"}"#,
        ),
        (
            "grok-imagine",
            json!({}),
            r#"{"prompt":"a fox","model":"grok-imagine/text-to-image"}"#,
        ),
        (
            "gpt-image-1.5-official",
            json!({}),
            r#"{"prompt":"a fox","aspect_ratio":"1:1","quality":"medium"}"#,
        ),
        (
            "ideogram-v4",
            json!({"rendering_speed": "turbo"}),
            r#"{"prompt":"a fox","size":"1:1","rendering_speed":"TURBO","output_format":"png"}"#,
        ),
        (
            "kling-image-o1",
            json!({}),
            r#"{"prompt":"a fox","type":"image-to-image","aspect_ratio":"1:1","resolution":"1k","num_images":1}"#,
        ),
        (
            "kling-3",
            json!({}),
            r#"{"prompt":"a fox","mode":"std","duration":5,"aspect_ratio":"16:9","sound":true,"multi_shots":false}"#,
        ),
        (
            "hailuo-2-3",
            json!({"duration": 10}),
            r#"{"prompt":"a fox","image":"https://a.example/1.png","model":"hailuo/2-3-image-to-video-standard","duration":"10","resolution":"768P"}"#,
        ),
        (
            "wan-2-6",
            json!({}),
            r#"{"prompt":"a fox","model":"wan/2-6-text-to-video","duration":"5","resolution":"1080p"}"#,
        ),
        (
            "vidu-q3",
            json!({}),
            r#"{"prompt":"a fox","resolution":"720p","duration":5,"style":"general","movement_amplitude":"auto","generate_audio":true,"bgm":false}"#,
        ),
        (
            "pixverse-5-6",
            json!({"resolution_ratio": "9:16"}),
            r#"{"prompt":"a fox","resolution":"720p","duration":"5","resolution_ratio":"9:16","generate_audio_switch":false,"thinking_type":"auto"}"#,
        ),
        (
            "seedance-1-5-pro",
            json!({"generate_audio": true}),
            r#"{"prompt":"a fox","aspect_ratio":"16:9","resolution":"720p","duration":"8","generateAudio":true,"fixedLens":false}"#,
        ),
        (
            "grok-video",
            json!({"prompt": "a fox"}),
            r#"{"prompt":"a fox","model":"grok-imagine/text-to-video"}"#,
        ),
        (
            "veo-3-1",
            json!({}),
            r#"{"prompt":"a fox","mode":"fast","aspect_ratio":"16:9","duration":"8","resolution":"720p","generate_audio":true}"#,
        ),
        (
            "bg-remover",
            json!({}),
            r#"{"image":"https://a.example/1.png"}"#,
        ),
        (
            "image-upscale",
            json!({}),
            r#"{"image":"https://a.example/1.png"}"#,
        ),
        (
            "face-swap",
            json!({}),
            r#"{"image":"https://a.example/1.png","face_image":"https://a.example/1.png","target_index":0,"output_format":"png"}"#,
        ),
    ];
    let catalogue = Catalogue::built_in().unwrap();
    for (name, mut more, expected) in pages {
        if name == "kling-3" {
            more["prompt"] = json!("a fox");
        }
        let (_, resolved) = resolve(&catalogue, name, more);
        assert_eq!(
            Value::Object(resolved.unwrap()).to_string(),
            expected,
            "{name}"
        );
    }
}

#[test]
fn what_cannot_be_is_refused_in_words() {
    let catalogue = Catalogue::built_in().unwrap();
    for (name, more, told) in [
        (
            "seedream/4.5-edit",
            json!({"image_urls": []}),
            "image_urls is required where model is seedream/4.5-edit",
        ),
        (
            "seedream-4-5",
            json!({"image_urls": [URL]}),
            "image_urls must be left out where model is seedream/4.5-text-to-image",
        ),
        (
            "ideogram-v3",
            json!({"mask_image": URL}),
            "image is required where mask_image is given",
        ),
        (
            "kling-image-o1",
            json!({"type": "ai-multi-shot"}),
            "images is required where type is ai-multi-shot",
        ),
        (
            "kling-3",
            json!({}),
            "prompt is required where multi_shots is false",
        ),
        (
            "kling-3",
            json!({"multi_shots": true}),
            "multi_prompt is required where multi_shots is true",
        ),
        (
            "hailuo-2-3",
            json!({"resolution": "1080P", "duration": 10}),
            "duration must be 6 where resolution is 1080P",
        ),
        (
            "wan-2-6",
            json!({"model": "wan/2-6-video-to-video", "video_urls": [URL], "duration": 15}),
            "duration must be 5 or 10 where model is wan/2-6-video-to-video",
        ),
        (
            "pixverse-5-6",
            json!({"resolution": "1080p", "duration": 10}),
            "duration must be 5 or 8 where resolution is 1080p",
        ),
        (
            "grok-video",
            json!({}),
            "prompt is required where model is grok-imagine/text-to-video",
        ),
        (
            "grok-video",
            json!({"model": "grok-imagine/image-to-video"}),
            "image_urls is required where model is grok-imagine/image-to-video",
        ),
        (
            "face-swap",
            json!({"target_index": 1}),
            "target_index must be 0",
        ),
    ] {
        let (_, resolved) = resolve(&catalogue, name, more.clone());
        assert_eq!(resolved.unwrap_err(), told, "{name} {more}");
    }
}
