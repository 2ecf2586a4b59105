//! What each model is asked, and what that costs.

use serde_json::{Value, json};

pub(super) const PICTURES: &str = "/images/generations";
const FILMS: &str = "/videos/generations";
const MUSIC: &str = "/audio/music";
const SPEECH: &str = "/audio/speech";

/// What a model is asked on its route, and what that costs, in credits.
pub(super) type Asked = (&'static str, Value, i64);

const FOX: &str = "https://example.com/fox.png";
/// The sandbox makes of it what lasts so many seconds.
const FILM: &str = "https://example.com/fox.mp4?seconds=7";

/// One request for each model, and for some of their parts.
pub(super) fn asked() -> Vec<Asked> {
    [pictures(), films(), tools(), sounds()].concat()
}

fn pictures() -> Vec<Asked> {
    vec![
        (PICTURES, json!({ "model": "flux-2", "type": "flex" }), 14),
        (PICTURES, json!({ "model": "flux-2" }), 5),
        (PICTURES, json!({ "model": "gpt-image-1-5" }), 10),
        (
            PICTURES,
            json!({ "model": "gpt-image-1.5", "quality": "high" }),
            28,
        ),
        (
            PICTURES,
            json!({ "model": "gpt-image-1-5", "input_urls": [FOX] }),
            10,
        ),
        (PICTURES, json!({ "model": "ideogram-v3" }), 8),
        (
            PICTURES,
            json!({ "model": "ideogram-v3", "image": FOX, "reference_images": [FOX, FOX] }),
            8,
        ),
        (
            PICTURES,
            json!({ "model": "ideogram-v3", "image": FOX, "mask_image": FOX }),
            8,
        ),
        (PICTURES, json!({ "model": "ideogram-v3-balanced" }), 13),
        (PICTURES, json!({ "model": "ideogram-v3-quality" }), 20),
        (PICTURES, json!({ "model": "ideogram-v4" }), 12),
        (PICTURES, json!({ "model": "imagen-4" }), 8),
        (PICTURES, json!({ "model": "imagen4-fast" }), 4),
        (
            PICTURES,
            json!({ "model": "imagen4-ultra", "num_images": 3 }),
            36,
        ),
        (PICTURES, json!({ "model": "seedream-4-5" }), 12),
        (
            PICTURES,
            json!({ "model": "seedream/4.5-edit", "image_urls": [FOX] }),
            12,
        ),
        (PICTURES, json!({ "model": "grok-imagine" }), 5),
        (
            PICTURES,
            json!({ "model": "kling-image-o1", "images": [FOX] }),
            6,
        ),
        (
            PICTURES,
            json!({ "model": "nano-banana-pro", "resolution": "4k" }),
            24,
        ),
        (
            PICTURES,
            json!({ "model": "nano-banana-pro", "input_urls": [FOX] }),
            18,
        ),
        (PICTURES, json!({ "model": "qwen-image" }), 4),
        (PICTURES, json!({ "model": "z-image" }), 1),
    ]
}

fn films() -> Vec<Asked> {
    vec![
        (FILMS, json!({ "model": "kling-3" }), 300),
        (
            FILMS,
            json!({ "model": "kling-3", "mode": "pro", "duration": "15" }),
            1_200,
        ),
        (
            FILMS,
            json!({ "model": "hailuo-2-3", "image": FOX, "duration": 10 }),
            45,
        ),
        (
            FILMS,
            json!({ "model": "hailuo/2-3-image-to-video-pro", "image": FOX, "resolution": "1080p" }),
            85,
        ),
        (
            FILMS,
            json!({ "model": "wan-2-6", "duration": "5", "resolution": "720p" }),
            80,
        ),
        (
            FILMS,
            json!({ "model": "wan/2-6-image-to-video", "image_urls": [FOX] }),
            115,
        ),
        (
            FILMS,
            json!({ "model": "wan/2-6-video-to-video", "video_urls": [FILM] }),
            115,
        ),
        (
            FILMS,
            json!({ "model": "vidu-q3", "generate_audio": false, "resolution": "540p" }),
            13,
        ),
        (FILMS, json!({ "model": "pixverse-5-6" }), 90),
        (FILMS, json!({ "model": "seedance-1-5-pro" }), 28),
        (
            FILMS,
            json!({ "model": "seedance-1-5-pro", "image": FOX, "duration": "4" }),
            14,
        ),
        (FILMS, json!({ "model": "grok-video" }), 24),
        (
            FILMS,
            json!({ "model": "grok-imagine/image-to-video", "image_urls": [FOX] }),
            24,
        ),
        (
            FILMS,
            json!({ "model": "grok-imagine/image-to-video", "image_urls": [FOX, FOX] }),
            24,
        ),
        (FILMS, json!({ "model": "veo-3-1" }), 64),
    ]
}

fn tools() -> Vec<Asked> {
    vec![
        (
            "/images/tools/remove-bg",
            json!({ "model": "bg-remover", "image": FOX }),
            1,
        ),
        (
            "/images/tools/upscale",
            json!({ "model": "image-upscale", "image": FOX }),
            1,
        ),
        (
            "/images/tools/face-swap",
            json!({ "model": "face-swap", "image": FOX, "face_image": FOX }),
            4,
        ),
        (
            "/videos/tools/bg-remover",
            json!({ "model": "video-bg-remover", "video": FILM }),
            14,
        ),
        (
            "/videos/tools/bg-remover",
            json!({ "model": "video-bg-remover", "video": FILM, "output_format": "mov", "max_seconds": 7 }),
            14,
        ),
        (
            "/videos/tools/upscale",
            json!({ "model": "video-upscale", "video": FILM }),
            35,
        ),
        (
            "/videos/tools/upscale",
            json!({ "model": "video-upscale", "video": FILM, "factor": 4 }),
            70,
        ),
    ]
}

fn sounds() -> Vec<Asked> {
    vec![
        (
            SPEECH,
            json!({ "model": "elevenlabs-v3", "dialogue": [{ "text": "Hi", "voice": "narrator" }] }),
            1,
        ),
        (
            MUSIC,
            json!({ "model": "minimax-music", "lyrics": "la la", "bitrate": 60_000 }),
            30,
        ),
        (MUSIC, json!({ "model": "minimax-music" }), 30),
        (MUSIC, json!({ "model": "suno" }), 5),
        (MUSIC, json!({ "model": "chirp-v4-0" }), 8),
        (MUSIC, json!({ "model": "chirp-v4-5-plus" }), 10),
        (MUSIC, json!({ "model": "chirp-v5" }), 12),
        (MUSIC, json!({ "model": "suno-v4-5" }), 10),
        (
            MUSIC,
            json!({ "model": "chirp-v5-5", "style": "folk", "title": "Fox" }),
            12,
        ),
        (MUSIC, json!({ "gpt_description_prompt": "a song" }), 5),
    ]
}
