//! The models of fal that are played. Any other is unknown, as a misspelt one is there.

use crate::made::{Kind, Sound};

/// A model: what it makes, of what, and what that costs there, roughly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Model {
    /// What it is called, below the queue's address.
    pub(crate) id: &'static str,
    /// Where its result has the file, or the files.
    pub(crate) place: Place,
    /// The kind of its files when the input leaves it open.
    pub(crate) kind: Kind,
    /// How long a video or a sound is when the input leaves it open.
    pub(crate) seconds: u16,
    /// Fields without which an input is refused; the first is what the model works on.
    pub(crate) needs: &'static [&'static str],
    /// Micro-US-dollars for a picture, a second of a video, or a sound.
    pub(crate) price: i64,
}

/// Where a result has files. The words are the wire's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// A list of pictures.
    Images,
    /// One picture.
    Image,
    /// One video.
    Video,
    /// One sound.
    Audio,
    /// What is said in a recording: no file.
    Words,
}

const PROMPT: &[&str] = &["prompt"];
const EDIT: &[&str] = &["prompt", "image_urls"];
const MASKED: &[&str] = &["prompt", "image_url", "mask_url"];
const MOVED: &[&str] = &["prompt", "image_url"];
const START: &[&str] = &["prompt", "start_image_url"];
const FRAMES: &[&str] = &["prompt", "first_frame_url", "last_frame_url"];
const REFERENCE: &[&str] = &["prompt", "video_urls"];
const FACES: &[&str] = &["base_image_url", "swap_image_url"];
const IMAGE: &[&str] = &["image_url"];
const VIDEO: &[&str] = &["video_url"];
const TEXT: &[&str] = &["text"];
const LINES: &[&str] = &["inputs"];
const RECORDING: &[&str] = &["audio_url"];

/// Every model.
pub(crate) const MODELS: [Model; 57] = [
    pictures("fal-ai/flux-2-pro", Kind::Jpeg, PROMPT, 30_000),
    pictures("fal-ai/flux-2-flex", Kind::Jpeg, PROMPT, 60_000),
    pictures("fal-ai/nano-banana-pro", Kind::Png, PROMPT, 150_000),
    pictures("fal-ai/nano-banana-pro/edit", Kind::Png, EDIT, 150_000),
    pictures("fal-ai/qwen-image", Kind::Png, PROMPT, 20_000),
    pictures("fal-ai/z-image/turbo", Kind::Png, PROMPT, 5_000),
    pictures("fal-ai/ideogram/v3", Kind::Png, PROMPT, 60_000),
    pictures("fal-ai/imagen4/preview", Kind::Png, PROMPT, 50_000),
    pictures(
        "fal-ai/bytedance/seedream/v4.5/text-to-image",
        Kind::Png,
        PROMPT,
        40_000,
    ),
    pictures(
        "fal-ai/bytedance/seedream/v4.5/edit",
        Kind::Png,
        EDIT,
        40_000,
    ),
    video(
        "fal-ai/kling-video/v3/standard/text-to-video",
        5,
        PROMPT,
        168_000,
    ),
    video("fal-ai/veo3.1", 8, PROMPT, 400_000),
    picture("fal-ai/birefnet/v2", Kind::CutOut, 2_000),
    picture("fal-ai/topaz/upscale/image", Kind::Jpeg, 80_000),
    video("fal-ai/topaz/upscale/video", 4, VIDEO, 20_000),
    Model {
        kind: Kind::Webm,
        ..video("bria/video/background-removal/v3", 4, VIDEO, 140_000)
    },
    sound("fal-ai/elevenlabs/tts/eleven-v3", 3, TEXT, 100_000),
    sound("fal-ai/minimax-music/v2.5", 10, PROMPT, 150_000),
    pictures("fal-ai/flux-2-pro/edit", Kind::Jpeg, EDIT, 45_000),
    pictures("fal-ai/flux-2-flex/edit", Kind::Jpeg, EDIT, 120_000),
    pictures("fal-ai/gpt-image-1.5", Kind::Png, PROMPT, 34_000),
    pictures("fal-ai/gpt-image-1.5/edit", Kind::Png, EDIT, 34_000),
    pictures("fal-ai/ideogram/v3/remix", Kind::Png, MOVED, 60_000),
    pictures("fal-ai/ideogram/v3/edit", Kind::Png, MASKED, 60_000),
    pictures("ideogram/v4", Kind::Png, PROMPT, 60_000),
    pictures("fal-ai/imagen4/preview/fast", Kind::Png, PROMPT, 20_000),
    pictures("fal-ai/imagen4/preview/ultra", Kind::Png, PROMPT, 60_000),
    pictures("fal-ai/kling-image/o1", Kind::Png, EDIT, 28_000),
    pictures(
        "fal-ai/kling-image/o3/text-to-image",
        Kind::Png,
        PROMPT,
        28_000,
    ),
    pictures(
        "fal-ai/kling-image/o3/image-to-image",
        Kind::Png,
        EDIT,
        28_000,
    ),
    pictures("fal-ai/qwen-image-edit-2511", Kind::Png, EDIT, 30_000),
    pictures("xai/grok-imagine-image", Kind::Jpeg, PROMPT, 20_000),
    picture("fal-ai/esrgan", Kind::Png, 1_000),
    Model {
        needs: FACES,
        ..picture("fal-ai/face-swap", Kind::Png, 10_000)
    },
    video(
        "fal-ai/kling-video/v3/standard/image-to-video",
        5,
        START,
        168_000,
    ),
    video(
        "fal-ai/kling-video/v3/pro/text-to-video",
        5,
        PROMPT,
        224_000,
    ),
    video(
        "fal-ai/kling-video/v3/pro/image-to-video",
        5,
        START,
        224_000,
    ),
    video(
        "fal-ai/minimax/hailuo-2.3/standard/image-to-video",
        6,
        MOVED,
        47_000,
    ),
    video(
        "fal-ai/minimax/hailuo-2.3/pro/image-to-video",
        6,
        MOVED,
        82_000,
    ),
    video("wan/v2.6/text-to-video", 5, PROMPT, 100_000),
    video("wan/v2.6/image-to-video", 5, MOVED, 100_000),
    video("wan/v2.6/reference-to-video", 5, REFERENCE, 100_000),
    video("fal-ai/vidu/q3/text-to-video", 5, PROMPT, 70_000),
    video("fal-ai/vidu/q3/image-to-video", 5, MOVED, 70_000),
    video("fal-ai/pixverse/v5.6/text-to-video", 5, PROMPT, 70_000),
    video("fal-ai/pixverse/v5.6/image-to-video", 5, MOVED, 70_000),
    video(
        "fal-ai/bytedance/seedance/v1.5/pro/text-to-video",
        8,
        PROMPT,
        52_000,
    ),
    video(
        "fal-ai/bytedance/seedance/v1.5/pro/image-to-video",
        8,
        MOVED,
        52_000,
    ),
    video("xai/grok-imagine-video/text-to-video", 6, PROMPT, 50_000),
    video("xai/grok-imagine-video/image-to-video", 6, MOVED, 50_000),
    video("fal-ai/veo3.1/image-to-video", 8, MOVED, 400_000),
    video(
        "fal-ai/veo3.1/first-last-frame-to-video",
        8,
        FRAMES,
        400_000,
    ),
    video("fal-ai/veo3.1/fast", 8, PROMPT, 150_000),
    video("fal-ai/veo3.1/fast/image-to-video", 8, MOVED, 150_000),
    video(
        "fal-ai/veo3.1/fast/first-last-frame-to-video",
        8,
        FRAMES,
        150_000,
    ),
    sound(
        "fal-ai/elevenlabs/text-to-dialogue/eleven-v3",
        3,
        LINES,
        100_000,
    ),
    // By the second.
    Model {
        place: Place::Words,
        kind: Kind::Words,
        ..video(
            "fal-ai/elevenlabs/speech-to-text/scribe-v2",
            1,
            RECORDING,
            133,
        )
    },
];

/// The model of this name.
pub(crate) fn find(id: &str) -> Option<&'static Model> {
    MODELS.iter().find(|model| model.id == id)
}

/// A model of this app that has its files where a file of this kind can be. The queue names jobs by the app alone: the first two
/// parts of the model's name.
pub(crate) fn of_app(app: &str, kind: Kind) -> Option<&'static Model> {
    let fits = |model: &&Model| {
        let mut parts = model.id.splitn(3, '/');
        let owner = parts.next().zip(parts.next());
        owner == app.split_once('/') && model.place.takes(kind)
    };
    MODELS.iter().find(fits)
}

const fn pictures(
    id: &'static str,
    kind: Kind,
    needs: &'static [&'static str],
    price: i64,
) -> Model {
    Model {
        id,
        place: Place::Images,
        kind,
        seconds: 0,
        needs,
        price,
    }
}

const fn picture(id: &'static str, kind: Kind, price: i64) -> Model {
    Model {
        place: Place::Image,
        ..pictures(id, kind, IMAGE, price)
    }
}

const fn video(
    id: &'static str,
    seconds: u16,
    needs: &'static [&'static str],
    price: i64,
) -> Model {
    Model {
        id,
        place: Place::Video,
        kind: Kind::Mp4,
        seconds,
        needs,
        price,
    }
}

const fn sound(
    id: &'static str,
    seconds: u16,
    needs: &'static [&'static str],
    price: i64,
) -> Model {
    Model {
        place: Place::Audio,
        kind: Kind::Sound(Sound::Mp3),
        ..video(id, seconds, needs, price)
    }
}

// === impl Model ===

impl Model {
    /// The first two parts of its name.
    pub(crate) fn app(&self) -> String {
        let parts: Vec<&str> = self.id.split('/').take(2).collect();
        parts.join("/")
    }
}

// === impl Place ===

impl Place {
    /// The field of a result.
    pub(crate) const fn field(self) -> &'static str {
        match self {
            Self::Images => "images",
            Self::Image => "image",
            Self::Video => "video",
            Self::Audio => "audio",
            Self::Words => "words",
        }
    }

    pub(crate) const fn takes(self, kind: Kind) -> bool {
        match kind {
            Kind::Png | Kind::Jpeg | Kind::CutOut | Kind::Webp => {
                matches!(self, Self::Images | Self::Image)
            }
            Kind::Mp4 | Kind::Webm | Kind::Mov | Kind::ClearWebm | Kind::ClearMov => {
                matches!(self, Self::Video)
            }
            Kind::Words => matches!(self, Self::Words),
            Kind::Sound(_) => {
                matches!(self, Self::Audio)
            }
        }
    }
}
