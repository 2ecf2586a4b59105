//! What documented requests cost.

use serde_json::{Value, json};

use super::{OTHER, URL, resolve};
use crate::{
    Catalogue, Moment,
    price::{Frozen, PriceFactor},
};

/// What it costs, in credits.
fn cost(name: &str, more: Value) -> String {
    let catalogue = Catalogue::built_in().unwrap();
    let (model, resolved) = resolve(&catalogue, name, more);
    let resolved = resolved.unwrap();
    let frozen = Frozen::of(model, &resolved, Moment::default(), PriceFactor::ONE).unwrap();
    frozen.ceiling().unwrap().to_string()
}

fn costs(rows: &[(&str, Value, &str)]) {
    for (name, more, credits) in rows {
        assert_eq!(cost(name, more.clone()), *credits, "{name} {more}");
    }
}

#[test]
fn pictures_cost_what_the_price_list_says() {
    costs(&[
        ("imagen-4", json!({}), "8"),
        ("imagen4-fast", json!({}), "4"),
        ("imagen4-ultra", json!({}), "12"),
        ("imagen4-ultra", json!({"num_images": 4}), "48"),
        (
            "imagen-4",
            json!({"model": "imagen4-fast", "num_images": 3}),
            "12",
        ),
        ("seedream-4-5", json!({"quality": "high"}), "12"),
        ("seedream/4.5-edit", json!({"image_urls": [URL]}), "12"),
        ("nano-banana-pro", json!({}), "18"),
        ("nano-banana-pro", json!({"resolution": "2k"}), "18"),
        ("nano-banana-pro", json!({"resolution": "4K"}), "24"),
        ("qwen-image", json!({"image_urls": [URL, OTHER]}), "4"),
        ("z-image", json!({}), "1"),
        ("ideogram-v3", json!({}), "8"),
        ("ideogram-v3-balanced", json!({}), "13"),
        (
            "ideogram-v3-quality",
            json!({"image": URL, "mask_image": URL}),
            "20",
        ),
        ("grok-imagine", json!({}), "5"),
        ("gpt-image-1-5", json!({}), "10"),
        ("gpt-image-1.5", json!({"quality": "high"}), "28"),
        ("ideogram-v4", json!({"rendering_speed": "QUALITY"}), "12"),
        (
            "kling-image-o1",
            json!({"images": [URL], "num_images": 9}),
            "54",
        ),
        (
            "kling-image-o1",
            json!({"type": "ai-multi-shot", "images": [URL]}),
            "16",
        ),
        ("bg-remover", json!({}), "1"),
        ("image-upscale", json!({}), "1"),
        ("face-swap", json!({}), "4"),
    ]);
}

#[test]
fn films_cost_what_the_price_list_says() {
    let pro = "hailuo/2-3-image-to-video-pro";
    costs(&[
        ("kling-3", json!({"prompt": "a fox"}), "300"),
        (
            "kling-3",
            json!({"prompt": "a fox", "duration": 3, "sound": false}),
            "120",
        ),
        (
            "kling-3",
            json!({"prompt": "a fox", "mode": "pro", "sound": false}),
            "300",
        ),
        (
            "kling-3",
            json!({"prompt": "a fox", "mode": "pro", "duration": "15"}),
            "1200",
        ),
        ("hailuo-2-3", json!({}), "30"),
        ("hailuo-2-3", json!({"duration": "10"}), "45"),
        ("hailuo-2-3", json!({"resolution": "1080P"}), "45"),
        (pro, json!({}), "45"),
        (pro, json!({"duration": "10"}), "70"),
        (pro, json!({"resolution": "1080p"}), "85"),
        ("wan-2-6", json!({"resolution": "720p"}), "80"),
        (
            "wan-2-6",
            json!({"resolution": "720p", "duration": 10}),
            "150",
        ),
        (
            "wan-2-6",
            json!({"resolution": "720p", "duration": 15}),
            "220",
        ),
        ("wan-2-6", json!({}), "115"),
        ("wan-2-6", json!({"duration": 10}), "220"),
        ("wan-2-6", json!({"duration": 15}), "325"),
        ("vidu-q3", json!({}), "50"),
        ("vidu-q3", json!({"resolution": "540p"}), "25"),
        (
            "vidu-q3",
            json!({"resolution": "1080p", "duration": 16}),
            "192",
        ),
        // Half of 5, 10 and 12 a second, rounded up per task.
        (
            "vidu-q3",
            json!({"resolution": "540p", "generate_audio": false}),
            "13",
        ),
        (
            "vidu-q3",
            json!({"resolution": "540p", "generate_audio": false, "duration": 4}),
            "10",
        ),
        ("vidu-q3", json!({"generate_audio": false}), "25"),
        (
            "vidu-q3",
            json!({"resolution": "1080p", "generate_audio": false, "duration": 1}),
            "6",
        ),
        (
            "seedance-1-5-pro",
            json!({"resolution": "480p", "duration": 4}),
            "8",
        ),
        (
            "seedance-1-5-pro",
            json!({"resolution": "480p", "duration": 8}),
            "14",
        ),
        (
            "seedance-1-5-pro",
            json!({"resolution": "480p", "duration": 12}),
            "19",
        ),
        ("seedance-1-5-pro", json!({"duration": 4}), "14"),
        ("seedance-1-5-pro", json!({}), "28"),
        ("seedance-1-5-pro", json!({"duration": 12}), "42"),
        ("grok-video", json!({"prompt": "a fox"}), "24"),
        (
            "grok-imagine/image-to-video",
            json!({"image_urls": [URL]}),
            "24",
        ),
        ("veo-3-1", json!({}), "64"),
        ("veo-3-1", json!({"duration": 4}), "32"),
        (
            "veo-3-1",
            json!({"mode": "quality", "resolution": "1080p"}),
            "256",
        ),
        ("veo-3-1", json!({"mode": "quality", "duration": 6}), "192"),
    ]);
    for (resolution, durations) in [
        (
            "360p",
            [
                ("5", "70", "140"),
                ("8", "140", "280"),
                ("10", "154", "308"),
            ]
            .as_slice(),
        ),
        (
            "540p",
            &[
                ("5", "70", "140"),
                ("8", "140", "280"),
                ("10", "154", "308"),
            ],
        ),
        (
            "720p",
            &[
                ("5", "90", "180"),
                ("8", "180", "360"),
                ("10", "198", "396"),
            ],
        ),
        ("1080p", &[("5", "150", "300"), ("8", "300", "600")]),
    ] {
        for (duration, silent, sounding) in durations {
            for (audio, credits) in [(false, silent), (true, sounding)] {
                let more = json!({"resolution": resolution, "duration": duration, "generate_audio_switch": audio});
                costs(&[("pixverse-5-6", more, *credits)]);
            }
        }
    }
    for (resolution, duration, credits) in [
        ("480p", 4, "16"),
        ("480p", 8, "28"),
        ("480p", 12, "38"),
        ("720p", 4, "28"),
        ("720p", 8, "56"),
        ("720p", 12, "84"),
    ] {
        let more = json!({"resolution": resolution, "duration": duration, "generateAudio": true});
        costs(&[("seedance-1-5-pro", more, credits)]);
    }
}
