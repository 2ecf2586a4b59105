//! Who is asked for documented requests, and in which words.

use serde_json::{Value, json};

use super::{OTHER, URL, resolve};
use crate::Catalogue;

#[test]
fn each_request_finds_those_who_serve_it_in_order() {
    let catalogue = Catalogue::built_in().unwrap();
    let shots = json!({"multi_shots": true, "multi_prompt": [{"prompt": "a fox", "duration": 5}]});
    for (name, more, asked) in [
        ("flux-2", json!({}), "flux-2-pro fal-ai/flux-2-pro"),
        (
            "flux-2",
            json!({"type": "flex", "input_urls": [URL]}),
            "flux-2-flex fal-ai/flux-2-flex/edit",
        ),
        (
            "imagen-4",
            json!({}),
            "google/imagen4 fal-ai/imagen4/preview",
        ),
        (
            "imagen-4",
            json!({"num_images": 2}),
            "fal-ai/imagen4/preview",
        ),
        (
            "nano-banana-pro",
            json!({"input_urls": [URL]}),
            "nano-banana-pro fal-ai/nano-banana-pro/edit",
        ),
        (
            "qwen-image",
            json!({"image_urls": [URL]}),
            "fal-ai/qwen-image-edit-2511 qwen/image-edit",
        ),
        (
            "qwen-image",
            json!({"image_urls": [URL, OTHER]}),
            "fal-ai/qwen-image-edit-2511",
        ),
        ("z-image", json!({"seed": 7}), "fal-ai/z-image/turbo"),
        (
            "ideogram-v3",
            json!({}),
            "ideogram/v3-text-to-image fal-ai/ideogram/v3",
        ),
        (
            "ideogram-v3",
            json!({"reference_images": [URL]}),
            "fal-ai/ideogram/v3",
        ),
        (
            "ideogram-v3",
            json!({"image": URL}),
            "ideogram/v3-remix fal-ai/ideogram/v3/remix",
        ),
        (
            "ideogram-v3",
            json!({"image": URL, "mask_image": URL}),
            "ideogram/v3-edit fal-ai/ideogram/v3/edit",
        ),
        ("kling-3", shots, "kling-3.0/video"),
        (
            "kling-3",
            json!({"prompt": "a fox", "image": URL}),
            "kling-3.0/video fal-ai/kling-video/v3/standard/image-to-video",
        ),
        (
            "hailuo-2-3",
            json!({}),
            "hailuo/2-3-image-to-video-standard fal-ai/minimax/hailuo-2.3/standard/image-to-video",
        ),
        (
            "hailuo-2-3",
            json!({"resolution": "1080P"}),
            "hailuo/2-3-image-to-video-standard",
        ),
        (
            "grok-imagine/image-to-video",
            json!({"prompt": "run", "image_urls": [URL]}),
            "grok-imagine/image-to-video xai/grok-imagine-video/image-to-video",
        ),
        (
            "grok-imagine/image-to-video",
            json!({"image_urls": [URL]}),
            "grok-imagine/image-to-video",
        ),
        ("veo-3-1", json!({}), "fal-ai/veo3.1/fast"),
        (
            "veo-3-1",
            json!({"image_urls": [URL]}),
            "fal-ai/veo3.1/fast/image-to-video",
        ),
        (
            "veo-3-1",
            json!({"image_urls": [URL, OTHER], "mode": "quality"}),
            "fal-ai/veo3.1/first-last-frame-to-video",
        ),
    ] {
        let (model, resolved) = resolve(&catalogue, name, more.clone());
        let resolved = resolved.unwrap();
        let routes: Vec<&str> = model
            .candidates(&resolved)
            .map(|route| route.model.as_str())
            .collect();
        assert_eq!(routes.join(" "), asked, "{name} {more}");
    }
}

#[test]
fn a_provider_is_asked_in_its_own_words() {
    let catalogue = Catalogue::built_in().unwrap();
    for (name, more, asked, input) in [
        (
            "flux-2",
            json!({"aspect_ratio": "9:21", "resolution": "2K", "input_urls": [URL]}),
            "fal-ai/flux-2-pro/edit",
            json!({"prompt": "a fox", "image_urls": [URL], "output_format": "png", "image_size": {"width": 1312, "height": 3072}}),
        ),
        (
            "imagen4",
            json!({"seed": 7}),
            "google/imagen4",
            json!({"prompt": "a fox", "aspect_ratio": "1:1", "seed": "7"}),
        ),
        (
            "imagen4-fast",
            json!({"seed": 7}),
            "google/imagen4-fast",
            json!({"prompt": "a fox", "aspect_ratio": "1:1", "seed": 7}),
        ),
        (
            "seedream-4-5",
            json!({"quality": "high", "aspect_ratio": "21:9"}),
            "fal-ai/bytedance/seedream/v4.5/text-to-image",
            json!({"prompt": "a fox", "image_size": {"width": 4096, "height": 1756}}),
        ),
        (
            "nano-banana-pro",
            json!({"input_urls": [URL], "output_format": "jpg"}),
            "fal-ai/nano-banana-pro/edit",
            json!({"prompt": "a fox", "image_urls": [URL], "aspect_ratio": "1:1", "resolution": "1K", "output_format": "jpeg"}),
        ),
        (
            "ideogram-v3-quality",
            json!({"style": "realistic", "aspect_ratio": "16:9"}),
            "ideogram/v3-text-to-image",
            json!({"prompt": "a fox", "rendering_speed": "QUALITY", "style": "REALISTIC", "image_size": "landscape_16_9"}),
        ),
        (
            "kling-3",
            json!({"prompt": "a fox", "image": URL}),
            "kling-3.0/video",
            json!({"prompt": "a fox", "image_urls": [URL], "mode": "std", "duration": "5", "aspect_ratio": "16:9", "sound": true, "multi_shots": false}),
        ),
        (
            "kling-3",
            json!({"prompt": "a fox", "mode": "pro", "sound": false}),
            "fal-ai/kling-video/v3/pro/text-to-video",
            json!({"prompt": "a fox", "duration": "5", "generate_audio": false, "aspect_ratio": "16:9"}),
        ),
        (
            "wan-2-6",
            json!({"model": "wan/2-6-image-to-video", "image_urls": [URL]}),
            "wan/v2.6/image-to-video",
            json!({"prompt": "a fox", "duration": "5", "resolution": "1080p", "image_url": URL, "multi_shots": false}),
        ),
        (
            "vidu-q3",
            json!({"style": "anime", "seed": 7}),
            "fal-ai/vidu/q3/text-to-video",
            json!({"prompt": "a fox", "resolution": "720p", "duration": 5, "audio": true, "seed": 7}),
        ),
        (
            "seedance-1-5-pro",
            json!({"fixedLens": true}),
            "bytedance/seedance-1.5-pro",
            json!({"prompt": "a fox", "aspect_ratio": "16:9", "resolution": "720p", "duration": 8, "generate_audio": false, "fixed_lens": true}),
        ),
        (
            "seedance-1-5-pro",
            json!({"image": URL}),
            "bytedance/seedance-1.5-pro",
            json!({"prompt": "a fox", "input_urls": [URL], "aspect_ratio": "16:9", "resolution": "720p", "duration": 8, "generate_audio": false, "fixed_lens": false}),
        ),
        (
            "veo-3-1",
            json!({"image_urls": [URL, OTHER], "duration": 6}),
            "fal-ai/veo3.1/fast/first-last-frame-to-video",
            json!({"prompt": "a fox", "aspect_ratio": "16:9", "duration": "6s", "resolution": "720p", "generate_audio": true,
                "first_frame_url": URL, "last_frame_url": OTHER}),
        ),
        (
            "face-swap",
            json!({"face_image": OTHER}),
            "fal-ai/face-swap",
            json!({"base_image_url": URL, "swap_image_url": OTHER}),
        ),
    ] {
        let (model, resolved) = resolve(&catalogue, name, more.clone());
        let resolved = resolved.unwrap();
        let route = model
            .candidates(&resolved)
            .find(|route| route.model == asked)
            .unwrap();
        assert_eq!(
            Value::Object(route.input(&resolved)),
            input,
            "{name} {more}"
        );
    }
}

#[test]
fn a_row_of_a_provider_names_what_there_is() {
    let text = include_str!("../../../catalogue/grok-video.toml");
    let row = "without = [\"image_urls[1]\"]";
    assert!(text.contains(row));
    for (place, told) in [
        ("image_urls[7]", "no such element"),
        ("images", "not a parameter"),
    ] {
        let text = text.replace(row, &format!("without = [\"{place}\"]"));
        let error = Catalogue::parse(&[("a.toml", &text)])
            .unwrap_err()
            .to_string();
        assert!(error.contains(told), "{place}: {error}");
    }
}
