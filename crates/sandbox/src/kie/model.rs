//! The models, what each of them needs in its input, and what is made of it for how much. Pure.

use serde_json::{Map, Value};

use super::input::Asked;
use crate::made::{Kind, Made, Sound};

/// One model.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Model {
    pub(crate) name: &'static str,
    /// Without its input nothing is made.
    needs: &'static [Need],
    makes: Makes,
    /// Micro-US-dollars for each file.
    file: i64,
    /// Micro-US-dollars for each second of it.
    second: i64,
}

/// A field that a model cannot do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    /// A text that is not empty.
    Text(&'static str),
    /// Where an input lies.
    Url(&'static str),
    /// Where inputs lie, at least one.
    Urls(&'static str),
    /// `upscale_factor`: a number, as a text.
    Factor(&'static [&'static str]),
    /// `dialogue`: who says what.
    Dialogue,
}

/// What a model makes, as far as its input leaves it open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Makes {
    Picture,
    /// A picture with transparent parts.
    CutOut,
    /// A picture as many times as large as is asked for.
    Larger,
    /// A video of so many seconds.
    Video(u16),
    Speech,
}

const PROMPT: Need = Need::Text("prompt");
const FACTORS: [&str; 4] = ["1", "2", "4", "8"];

/// The models. A position is the model's number inside a task's id: append only.
///
/// The prices of the tools are the provider's own list of August 2026, at the smallest size; the others are of its order.
pub(crate) static MODELS: [Model; 30] = [
    picture("google/imagen4", &[PROMPT], 40_000),
    picture("google/imagen4-fast", &[PROMPT], 20_000),
    picture("google/imagen4-ultra", &[PROMPT], 60_000),
    picture("nano-banana-pro", &[PROMPT], 90_000),
    picture("qwen/text-to-image", &[PROMPT], 20_000),
    picture("z-image", &[PROMPT], 4_000),
    picture("ideogram/v3-text-to-image", &[PROMPT], 35_000),
    picture("seedream/4.5-text-to-image", &[PROMPT], 32_500),
    picture(
        "seedream/4.5-edit",
        &[PROMPT, Need::Urls("image_urls")],
        32_500,
    ),
    picture("grok-imagine/text-to-image", &[PROMPT], 20_000),
    video("grok-imagine/text-to-video", &[PROMPT], 6, 17_000),
    video(
        "grok-imagine/image-to-video",
        &[Need::Urls("image_urls")],
        6,
        17_000,
    ),
    // What it is asked may stand in its shots instead of a prompt.
    video("kling-3.0/video", &[], 5, 100_000),
    video(
        "hailuo/2-3-image-to-video-standard",
        &[PROMPT, Need::Url("image_url")],
        6,
        25_000,
    ),
    video(
        "hailuo/2-3-image-to-video-pro",
        &[PROMPT, Need::Url("image_url")],
        6,
        45_000,
    ),
    video("wan/2-6-text-to-video", &[PROMPT], 5, 70_000),
    video(
        "wan/2-6-image-to-video",
        &[PROMPT, Need::Urls("image_urls")],
        5,
        70_000,
    ),
    video(
        "wan/2-6-video-to-video",
        &[PROMPT, Need::Urls("video_urls")],
        5,
        70_000,
    ),
    video("bytedance/seedance-1.5-pro", &[PROMPT], 8, 35_000),
    Model {
        makes: Makes::CutOut,
        ..picture("recraft/remove-background", &[Need::Url("image")], 5_000)
    },
    Model {
        makes: Makes::Larger,
        ..picture("recraft/crisp-upscale", &[Need::Url("image")], 2_500)
    },
    Model {
        makes: Makes::Larger,
        ..picture(
            "topaz/image-upscale",
            &[Need::Url("image_url"), Need::Factor(&FACTORS)],
            50_000,
        )
    },
    video(
        "topaz/video-upscale",
        &[Need::Url("video_url"), Need::Factor(&["1", "2", "4"])],
        5,
        40_000,
    ),
    Model {
        makes: Makes::Speech,
        second: 1_050,
        ..picture("elevenlabs/text-to-dialogue-v3", &[Need::Dialogue], 0)
    },
    picture("qwen/image-edit", &[PROMPT, Need::Url("image_url")], 20_000),
    picture(
        "ideogram/v3-remix",
        &[PROMPT, Need::Url("image_url")],
        35_000,
    ),
    picture(
        "ideogram/v3-edit",
        &[PROMPT, Need::Url("image_url"), Need::Url("mask_url")],
        35_000,
    ),
    picture("gpt-image/1.5-text-to-image", &[PROMPT], 20_000),
    picture(
        "gpt-image/1.5-image-to-image",
        &[PROMPT, Need::Urls("input_urls")],
        20_000,
    ),
    Model {
        makes: Makes::Larger,
        ..picture("grok-imagine/upscale", &[Need::Text("task_id")], 50_000)
    },
];

/// The model of this name.
pub(crate) fn find(name: &str) -> Option<&'static Model> {
    MODELS.iter().find(|model| model.name == name)
}

const fn picture(name: &'static str, needs: &'static [Need], file: i64) -> Model {
    Model {
        name,
        needs,
        makes: Makes::Picture,
        file,
        second: 0,
    }
}

const fn video(name: &'static str, needs: &'static [Need], seconds: u16, second: i64) -> Model {
    Model {
        makes: Makes::Video(seconds),
        second,
        ..picture(name, needs, 0)
    }
}

// === impl Model ===

impl Model {
    /// What shall be made of an input.
    ///
    /// # Errors
    /// What is wrong with it first, in the provider's manner.
    pub(crate) fn read(&self, input: &Map<String, Value>) -> Result<Made, String> {
        self.needs.iter().try_for_each(|need| need.check(input))?;
        Ok(self.makes.read(input))
    }

    /// What the provider would charge for it, in micro-US-dollars.
    pub(crate) fn cost(&self, made: &Made) -> i64 {
        let each = self.file + self.second * i64::from(made.seconds);
        each * i64::from(made.count)
    }
}

// === impl Need ===

impl Need {
    fn name(self) -> &'static str {
        match self {
            Self::Text(name) | Self::Url(name) | Self::Urls(name) => name,
            Self::Factor(_) => "upscale_factor",
            Self::Dialogue => "dialogue",
        }
    }

    fn check(self, input: &Map<String, Value>) -> Result<(), String> {
        let name = self.name();
        let value = input.get(name).filter(|value| !value.is_null());
        let value = value.ok_or_else(|| format!("{name} is required"))?;
        let (fits, allowed) = match self {
            Self::Text(_) => (is_text(value), "a text that is not empty"),
            Self::Url(_) => (is_url(value), "an http(s) URL"),
            Self::Urls(_) => (all(value, is_url), "a list of http(s) URLs"),
            Self::Factor(factors) => (
                value.as_str().is_some_and(|text| factors.contains(&text)),
                "one of its numbers, as a text",
            ),
            Self::Dialogue => (
                all(value, is_line),
                "a list of objects, each with text and voice",
            ),
        };
        fits.then_some(())
            .ok_or_else(|| format!("{name} must be {allowed}"))
    }
}

fn is_text(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.is_empty())
}

fn is_url(value: &Value) -> bool {
    let url = value.as_str().and_then(|text| url::Url::parse(text).ok());
    url.is_some_and(|url| matches!(url.scheme(), "http" | "https"))
}

fn is_line(value: &Value) -> bool {
    ["text", "voice"]
        .iter()
        .all(|name| value.get(name).is_some_and(is_text))
}

fn all(value: &Value, fits: fn(&Value) -> bool) -> bool {
    let values = value.as_array();
    values.is_some_and(|values| !values.is_empty() && values.iter().all(fits))
}

// === impl Makes ===

impl Makes {
    fn read(self, input: &Map<String, Value>) -> Made {
        let asked = Asked(input);
        match self {
            Self::Picture => {
                let (width, height) = asked.picture();
                Made {
                    kind: asked.format(),
                    count: asked.count(),
                    width,
                    height,
                    seconds: 0,
                }
            }
            Self::CutOut | Self::Larger => {
                let side = asked.larger();
                Made {
                    kind: if self == Self::CutOut {
                        Kind::CutOut
                    } else {
                        asked.format()
                    },
                    count: 1,
                    width: side,
                    height: side,
                    seconds: 0,
                }
            }
            Self::Video(usual) => {
                let (width, height) = asked.video();
                Made {
                    kind: Kind::Mp4,
                    count: 1,
                    width,
                    height,
                    seconds: asked.seconds().unwrap_or(usual),
                }
            }
            Self::Speech => Made {
                kind: Kind::Sound(Sound::Mp3),
                count: 1,
                width: 0,
                height: 0,
                seconds: asked.spoken(),
            },
        }
        .fitted()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(name: &str, input: &Value) -> Result<Made, String> {
        find(name).unwrap().read(input.as_object().unwrap())
    }

    /// What every model takes.
    fn enough() -> Value {
        let url = "https://a.example/1.png";
        json!({
            "prompt": "a fox", "image": url, "image_url": url, "video_url": url, "image_urls": [url], "video_urls": [url],
            "input_urls": [url], "mask_url": url, "task_id": "1",
            "upscale_factor": "2", "dialogue": [{ "text": "hello", "voice": "Adam" }],
        })
    }

    #[test]
    fn names_are_their_own() {
        for model in &MODELS {
            assert_eq!(find(model.name), Some(model));
        }
        assert_eq!(find("z-image-2"), None);
    }

    #[test]
    fn each_model_takes_what_it_needs_and_nothing_less() {
        for model in &MODELS {
            let whole = enough();
            let made = model.read(whole.as_object().unwrap()).unwrap();
            assert!(model.cost(&made) > 0, "{}", model.name);
            for need in model.needs {
                let name = need.name();
                let mut less = whole.as_object().unwrap().clone();
                less.insert(name.to_owned(), Value::Null);
                let wrong = model.read(&less).unwrap_err();
                assert_eq!(wrong, format!("{name} is required"));
                less.insert(name.to_owned(), json!({}));
                let wrong = model.read(&less).unwrap_err();
                assert!(wrong.starts_with(&format!("{name} must be ")), "{wrong}");
            }
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let table = [
            (
                "z-image",
                json!({ "prompt": "" }),
                "prompt must be a text that is not empty",
            ),
            (
                "seedream/4.5-edit",
                json!({ "prompt": "x" }),
                "image_urls is required",
            ),
            (
                "seedream/4.5-edit",
                json!({ "prompt": "x", "image_urls": [] }),
                "image_urls must be a list of http(s) URLs",
            ),
            (
                "recraft/crisp-upscale",
                json!({ "image": "data:image/png;base64,AA" }),
                "image must be an http(s) URL",
            ),
            (
                "topaz/image-upscale",
                json!({ "image_url": "https://a.example/1", "upscale_factor": 2 }),
                "upscale_factor must be one of its numbers, as a text",
            ),
            (
                "topaz/video-upscale",
                json!({ "video_url": "https://a.example/1", "upscale_factor": "8" }),
                "upscale_factor must be one of its numbers, as a text",
            ),
            (
                "elevenlabs/text-to-dialogue-v3",
                json!({ "dialogue": [{ "text": "hello" }] }),
                "dialogue must be a list of objects, each with text and voice",
            ),
        ];
        for (name, input, wrong) in table {
            assert_eq!(read(name, &input).unwrap_err(), wrong);
        }
    }

    #[test]
    fn what_is_made_for_how_much() {
        let url = "https://a.example/1";
        let long = "x".repeat(151);
        let table = [
            (
                "z-image",
                json!({ "prompt": "x" }),
                (Kind::Png, 1, 1_024, 1_024, 0),
                4_000,
            ),
            (
                "ideogram/v3-text-to-image",
                json!({ "prompt": "x", "image_size": "portrait_16_9", "num_images": "3" }),
                (Kind::Png, 3, 576, 1_024, 0),
                105_000,
            ),
            (
                "nano-banana-pro",
                json!({ "prompt": "x", "aspect_ratio": "16:9", "resolution": "2K", "output_format": "jpg" }),
                (Kind::Jpeg, 1, 2_048, 1_152, 0),
                90_000,
            ),
            (
                "kling-3.0/video",
                json!({ "prompt": "x" }),
                (Kind::Mp4, 1, 1_280, 720, 5),
                500_000,
            ),
            (
                "wan/2-6-image-to-video",
                json!({ "prompt": "x", "image_urls": [url], "duration": "10", "resolution": "1080p" }),
                (Kind::Mp4, 1, 1_920, 1_080, 10),
                700_000,
            ),
            (
                "recraft/remove-background",
                json!({ "image": url }),
                (Kind::CutOut, 1, 1_024, 1_024, 0),
                5_000,
            ),
            (
                "topaz/image-upscale",
                json!({ "image_url": url, "upscale_factor": "4" }),
                (Kind::Png, 1, 4_096, 4_096, 0),
                50_000,
            ),
            (
                "topaz/video-upscale",
                json!({ "video_url": url, "upscale_factor": "1" }),
                (Kind::Mp4, 1, 1_280, 720, 5),
                200_000,
            ),
            (
                "elevenlabs/text-to-dialogue-v3",
                json!({ "dialogue": [{ "text": long, "voice": "Adam" }] }),
                (Kind::Sound(Sound::Mp3), 1, 0, 0, 11),
                11_550,
            ),
        ];
        for (name, input, expected, cost) in table {
            let made = read(name, &input).unwrap();
            let told = (made.kind, made.count, made.width, made.height, made.seconds);
            assert_eq!(
                (told, find(name).unwrap().cost(&made)),
                (expected, cost),
                "{name}"
            );
        }
    }

    #[test]
    fn a_film_that_is_made_larger_lasts_as_long_as_before() {
        let input =
            json!({ "video_url": "https://a.example/1.mp4?seconds=31", "upscale_factor": "2" });
        let made = read("topaz/video-upscale", &input).unwrap();
        assert_eq!((made.width, made.height, made.seconds), (1_920, 1_080, 31));
        assert_eq!(find("topaz/video-upscale").unwrap().cost(&made), 1_240_000);
    }
}
