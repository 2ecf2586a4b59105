//! What an input asks for, by the names that most models share. What is not understood is left to the model. Pure.

use serde_json::{Map, Value};

use crate::{job, made::Kind};

/// A model's input object.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a>(pub(crate) &'a Map<String, Value>);

/// The longer side of a picture at `1K`.
const SIDE: u32 = 1_024;
/// The lines of a video, its shorter side.
const LINES: u32 = 720;
/// The most pictures of one task.
const PICTURES: u32 = 4;
/// How many characters are a second of speech.
const CHARS_A_SECOND: usize = 15;

// === impl Asked ===

impl<'a> Asked<'a> {
    /// Width and height of a picture: `resolution` or `size` (`1K`, `2K`, `4K`) is its longer side.
    pub(crate) fn picture(self) -> (u16, u16) {
        let (width, height) = self.ratio().unwrap_or((1, 1));
        let size = self.number("resolution").or_else(|| self.number("size"));
        let side = SIDE.saturating_mul(size.unwrap_or(1));
        let longer = width.max(height);
        scaled((width, height), side, longer)
    }

    /// Width and height of a video: `resolution` (`720p`) is its shorter side.
    pub(crate) fn video(self) -> (u16, u16) {
        let (width, height) = self.ratio().unwrap_or((16, 9));
        let lines = self.number("resolution").unwrap_or(LINES);
        let side = lines.saturating_mul(self.factor());
        scaled((width, height), side, width.min(height))
    }

    /// The side of a picture that was made larger: the sandbox does not look at the one it came from.
    pub(crate) fn larger(self) -> u16 {
        fit(SIDE.saturating_mul(self.factor()))
    }

    /// How many pictures.
    pub(crate) fn count(self) -> u8 {
        let count = self.number("num_images").unwrap_or(1);
        u8::try_from(count.clamp(1, PICTURES)).unwrap_or(1)
    }

    /// How a picture is encoded.
    pub(crate) fn format(self) -> Kind {
        match self.text("output_format") {
            Some("jpg" | "jpeg") => Kind::Jpeg,
            Some(_) | None => Kind::Png,
        }
    }

    /// How long a video shall be: as it is asked for, or as long as the one that it is made of.
    pub(crate) fn seconds(self) -> Option<u16> {
        let Some(seconds) = self.number("duration") else {
            return job::length_of(self.0.get("video_url"));
        };
        Some(u16::try_from(seconds.max(1)).unwrap_or(u16::MAX))
    }

    /// How long it takes to say a dialogue.
    pub(crate) fn spoken(self) -> u16 {
        let lines = self.0.get("dialogue").and_then(Value::as_array);
        let texts = lines.into_iter().flatten();
        let chars: usize = texts
            .filter_map(|line| line.get("text")?.as_str())
            .map(|text| text.chars().count())
            .sum();
        u16::try_from(chars.div_ceil(CHARS_A_SECOND).max(1)).unwrap_or(u16::MAX)
    }

    fn text(self, name: &str) -> Option<&'a str> {
        self.0.get(name).and_then(Value::as_str)
    }

    /// The number that a field is or begins with: `5`, `"5"`, `"2K"`, `"720p"`.
    fn number(self, name: &str) -> Option<u32> {
        let value = self.0.get(name)?;
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok().filter(|number| *number > 0)
    }

    fn factor(self) -> u32 {
        self.number("upscale_factor").unwrap_or(1)
    }

    /// `16:9`, or a word such as `square_hd` and `portrait_16_9`.
    fn ratio(self) -> Option<(u32, u32)> {
        let text = self
            .text("aspect_ratio")
            .or_else(|| self.text("image_size"))?;
        if text.starts_with("square") {
            return Some((1, 1));
        }
        if let Some(sides) = text.strip_prefix("portrait_") {
            return sides_of(sides, '_').map(|(a, b)| (a.min(b), a.max(b)));
        }
        if let Some(sides) = text.strip_prefix("landscape_") {
            return sides_of(sides, '_').map(|(a, b)| (a.max(b), a.min(b)));
        }
        sides_of(text, ':')
    }
}

fn sides_of(text: &str, between: char) -> Option<(u32, u32)> {
    let (a, b) = text.split_once(between)?;
    let side = |text: &str| text.parse().ok().filter(|side| (1..=100).contains(side));
    Some((side(a)?, side(b)?))
}

/// A ratio whose side `of` is `side` pixels, in even numbers, as encoders want them.
fn scaled((width, height): (u32, u32), side: u32, of: u32) -> (u16, u16) {
    let pixels = |part: u32| {
        let pixels = part.saturating_mul(side) / of.max(1);
        fit(pixels & !1)
    };
    (pixels(width), pixels(height))
}

fn fit(pixels: u32) -> u16 {
    u16::try_from(pixels).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pictures_have_the_asked_sides() {
        let table = [
            (json!({}), (1_024, 1_024)),
            (json!({ "aspect_ratio": "auto" }), (1_024, 1_024)),
            (json!({ "aspect_ratio": "3:2" }), (1_024, 682)),
            (
                json!({ "image_size": "9:16", "resolution": "4K" }),
                (2_304, 4_096),
            ),
            (json!({ "image_size": "square_hd" }), (1_024, 1_024)),
            (json!({ "image_size": "portrait_4_3" }), (768, 1_024)),
            (json!({ "image_size": "landscape_16_9" }), (1_024, 576)),
            (json!({ "aspect_ratio": "0:1" }), (1_024, 1_024)),
            (json!({ "aspect_ratio": "1:1000000" }), (1_024, 1_024)),
            (
                json!({ "aspect_ratio": 1, "resolution": [] }),
                (1_024, 1_024),
            ),
            (json!({ "resolution": 4_294_967_295_u32 }), (65_535, 65_535)),
        ];
        for (input, sides) in table {
            let input = input.as_object().unwrap();
            assert_eq!(Asked(input).picture(), sides, "{input:?}");
        }
    }

    #[test]
    fn videos_have_the_asked_lines_and_length() {
        let table = [
            (json!({}), (1_280, 720), None),
            (
                json!({ "resolution": "480p", "duration": "5" }),
                (852, 480),
                Some(5),
            ),
            (
                json!({ "resolution": "1080P", "duration": 10 }),
                (1_920, 1_080),
                Some(10),
            ),
            (
                json!({ "aspect_ratio": "9:16", "duration": "8s" }),
                (720, 1_280),
                Some(8),
            ),
            (
                json!({ "upscale_factor": "2", "duration": "long" }),
                (2_560, 1_440),
                None,
            ),
            (json!({ "duration": 0 }), (1_280, 720), None),
            (
                json!({ "duration": 1_000_000 }),
                (1_280, 720),
                Some(u16::MAX),
            ),
        ];
        for (input, sides, seconds) in table {
            let input = input.as_object().unwrap();
            let asked = Asked(input);
            assert_eq!(
                (asked.video(), asked.seconds()),
                (sides, seconds),
                "{input:?}"
            );
        }
    }

    #[test]
    fn the_rest_is_read() {
        let input = json!({
            "num_images": "9", "output_format": "jpeg", "upscale_factor": "4",
            "dialogue": [{ "text": "x".repeat(15) }, { "text": "é" }, { "voice": "Adam" }, 7],
        });
        let asked = Asked(input.as_object().unwrap());
        assert_eq!((asked.count(), asked.format()), (4, Kind::Jpeg));
        assert_eq!((asked.larger(), asked.spoken()), (4_096, 2));
        let nothing = Map::new();
        let asked = Asked(&nothing);
        assert_eq!((asked.count(), asked.format()), (1, Kind::Png));
        assert_eq!((asked.larger(), asked.spoken()), (1_024, 1));
    }
}
