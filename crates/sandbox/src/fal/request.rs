//! An input, read as its model reads it: every violation at once, in fal's manner. Pure.
//!
//! Only what decides about the result is looked at; all else that a model may take is let pass.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::model::{Model, Place};
use crate::{
    job,
    made::{Kind, Made, Sound},
};

/// An input that was understood.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Input {
    pub(crate) made: Made,
    pub(crate) seed: Option<i64>,
    /// What the model works on: its prompt, its text, its picture.
    pub(crate) subject: String,
    /// All of it.
    pub(crate) whole: Value,
}

/// One thing that is wrong with an input: a wire type.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Violation {
    loc: Vec<String>,
    msg: String,
    r#type: &'static str,
    url: String,
    input: Value,
}

/// The longer side of a picture, and the shorter one of a video, when the input leaves it open.
const SIDES: (u32, u32) = (1_024, 720);
/// The longest side.
const MAX_SIDE: u32 = 4_096;
/// Sides are multiples of this, as encoders like them.
const STEP: u32 = 16;
/// The longest video or sound, in seconds.
const MAX_SECONDS: i64 = 60;
/// The most pictures of a job.
const MAX_IMAGES: i64 = 4;
/// The models that make more, and series.
const SERIES: &str = "fal-ai/kling-image/";
const MAX_SERIES: i64 = 9;
/// How much of a text is spoken in a second.
const CHARS_A_SECOND: usize = 15;
/// The picture that an upscaler is taken to be given: the sandbox fetches nothing.
const GIVEN: u32 = 512;
const MAX_FACTOR: u32 = 4;

/// Sizes by name.
const NAMED: [(&str, u32, u32); 6] = [
    ("square_hd", 1_024, 1_024),
    ("square", 512, 512),
    ("portrait_4_3", 768, 1_024),
    ("portrait_16_9", 576, 1_024),
    ("landscape_4_3", 1_024, 768),
    ("landscape_16_9", 1_024, 576),
];
/// What resolutions are called, with the longer side of a picture or the shorter one of a video.
const RESOLUTIONS: [(&str, u32); 12] = [
    ("0.5K", 512),
    ("1K", 1_024),
    ("2K", 2_048),
    ("4K", 4_096),
    ("360p", 360),
    ("480p", 480),
    ("540p", 540),
    ("720p", 720),
    ("768p", 768),
    ("1080p", 1_080),
    ("1440p", 1_440),
    ("4k", 2_160),
];

/// Reads an input of this model.
///
/// # Errors
/// Everything that is wrong with it.
pub(crate) fn read(model: &Model, body: &[u8]) -> Result<Input, Vec<Violation>> {
    let map = match serde_json::from_slice(body) {
        Ok(Value::Object(map)) => map,
        Ok(other) => {
            let msg = "Input should be a valid dictionary or object to extract fields from";
            let violation = Violation::new("model_attributes_type", None, msg, &other);
            return Err(vec![violation]);
        }
        Err(_) => {
            let violation = Violation::new("json_invalid", None, "JSON decode error", &json!({}));
            return Err(vec![violation]);
        }
    };
    let mut fields = Fields {
        map: &map,
        violations: Vec::new(),
    };
    let input = fields.input(model);
    if fields.violations.is_empty() {
        Ok(input)
    } else {
        Err(fields.violations)
    }
}

/// The fields of an input, and what was found wrong with them so far.
struct Fields<'a> {
    map: &'a Map<String, Value>,
    violations: Vec<Violation>,
}

// === impl Fields ===

impl<'a> Fields<'a> {
    fn input(&mut self, model: &Model) -> Input {
        for name in model.needs {
            self.needed(name);
        }
        let subject = model.needs.first().and_then(|name| self.get(name));
        let subject = subject.map(spoken_of).unwrap_or_default();
        let count = match model.place {
            Place::Images => self.pictures(model),
            Place::Image | Place::Video | Place::Audio | Place::Words => 1,
        };
        let (width, height) = self.size(model);
        Input {
            made: Made {
                kind: self.seen_through(model),
                count: u8::try_from(count).unwrap_or(1),
                width,
                height,
                seconds: self.seconds(model, &subject),
            },
            seed: self.integer("seed", i64::MIN, i64::MAX),
            subject,
            whole: Value::Object(self.map.clone()),
        }
    }

    /// How many pictures: of a series, all of its parts.
    fn pictures(&mut self, model: &Model) -> i64 {
        let most = if model.id.starts_with(SERIES) {
            MAX_SERIES
        } else {
            MAX_IMAGES
        };
        let alone = self.integer("num_images", 1, most).unwrap_or(1);
        match self.text("result_type") {
            Some("series") => self.integer("series_amount", 2, most).unwrap_or(alone),
            Some(_) | None => alone,
        }
    }

    /// A field that is there and not null.
    fn get(&self, name: &str) -> Option<&'a Value> {
        self.map.get(name).filter(|value| !value.is_null())
    }

    /// A text that must be there; of a name in the plural, a list of them.
    fn needed(&mut self, name: &str) {
        let Some(value) = self.get(name) else {
            let whole = Value::Object(self.map.clone());
            let violation = Violation::new("missing", Some(name), "Field required", &whole);
            return self.violations.push(violation);
        };
        if name == "inputs" {
            if !value
                .as_array()
                .is_some_and(|lines| lines.iter().all(is_line))
            {
                let msg = "Input should be a valid list of objects with text and voice";
                self.violation("list_type", name, msg);
            }
        } else if name.ends_with("_urls") {
            let texts = |items: &Vec<Value>| items.iter().all(Value::is_string);
            match value.as_array() {
                Some(items) if items.is_empty() => {
                    self.violation("sequence_too_short", name, "At least 1 item is needed");
                }
                Some(items) if texts(items) => (),
                _ => self.violation("list_type", name, "Input should be a valid list of strings"),
            }
        } else if value.as_str().is_none() {
            self.violation("string_type", name, "Input should be a valid string");
        } else if value.as_str() == Some("") {
            self.violation("string_too_short", name, "At least 1 character is needed");
        }
    }

    fn text(&mut self, name: &str) -> Option<&'a str> {
        let value = self.get(name)?;
        if value.as_str().is_none() {
            self.violation("string_type", name, "Input should be a valid string");
        }
        value.as_str()
    }

    fn integer(&mut self, name: &str, least: i64, most: i64) -> Option<i64> {
        let Some(number) = self.get(name)?.as_i64() else {
            self.violation("int_type", name, "Input should be a valid integer");
            return None;
        };
        if !(least..=most).contains(&number) {
            let (kind, bound, words) = if number < least {
                ("greater_than_equal", least, "greater")
            } else {
                ("less_than_equal", most, "less")
            };
            let msg = format!("Input should be {words} than or equal to {bound}");
            self.violation(kind, name, &msg);
        }
        Some(number)
    }

    /// Width and height in pixels; none of a sound.
    fn size(&mut self, model: &Model) -> (u16, u16) {
        let (width, height) = match model.place {
            Place::Audio | Place::Words => (0, 0),
            Place::Images | Place::Image | Place::Video if self.get("upscale_factor").is_some() => {
                let side = self.upscaled();
                (side, side)
            }
            Place::Images | Place::Image => self.image_size(),
            Place::Video => self.video_size(),
        };
        let side = |side: u32| u16::try_from(side.min(MAX_SIDE)).unwrap_or(u16::MAX);
        (side(width), side(height))
    }

    fn image_size(&mut self) -> (u32, u32) {
        match self.get("image_size") {
            Some(Value::Object(size)) => {
                let mut side = |name: &str| {
                    let side = size.get(name).and_then(Value::as_u64);
                    let side = side.and_then(|side| u32::try_from(side).ok());
                    let good = side.filter(|side| (64..=MAX_SIDE).contains(side));
                    if good.is_none() {
                        let msg = format!("{name} should be an integer from 64 to {MAX_SIDE}");
                        self.violation("value_error", "image_size", &msg);
                    }
                    good.unwrap_or(SIDES.0)
                };
                (side("width"), side("height"))
            }
            Some(Value::String(name)) => {
                let known = NAMED.iter().find(|(known, ..)| known == name);
                if known.is_none() && !name.starts_with("auto") {
                    self.violation("enum", "image_size", "Input should be the name of a size");
                }
                known.map_or((SIDES.0, SIDES.0), |(_, width, height)| (*width, *height))
            }
            Some(_) => {
                let msg = "Input should be the name of a size, or a width and a height";
                self.violation("value_error", "image_size", msg);
                (SIDES.0, SIDES.0)
            }
            None => {
                let long = self.resolution(SIDES.0);
                let (across, down) = self.aspect_ratio((1, 1));
                let side = |part| fitted(long, part, across.max(down));
                (side(across), side(down))
            }
        }
    }

    fn video_size(&mut self) -> (u32, u32) {
        let short = self.resolution(SIDES.1);
        let (across, down) = self.aspect_ratio((16, 9));
        let side = |part| fitted(short, part, across.min(down));
        (side(across), side(down))
    }

    fn resolution(&mut self, usual: u32) -> u32 {
        let Some(name) = self.text("resolution") else {
            return usual;
        };
        let known = RESOLUTIONS.iter().find(|(known, _)| *known == name);
        if known.is_none() {
            self.violation("enum", "resolution", "Input should be a known resolution");
        }
        known.map_or(usual, |(_, side)| *side)
    }

    fn aspect_ratio(&mut self, usual: (u32, u32)) -> (u32, u32) {
        let text = self.text("aspect_ratio").filter(|text| *text != "auto");
        let Some(text) = text else {
            return usual;
        };
        let part = |part: &str| part.parse().ok().filter(|part| (1..=100).contains(part));
        let ratio = text.split_once(':');
        let ratio = ratio.and_then(|(across, down)| part(across).zip(part(down)));
        if ratio.is_none() {
            self.violation("enum", "aspect_ratio", "Input should be a known ratio");
        }
        ratio.unwrap_or(usual)
    }

    fn upscaled(&mut self) -> u32 {
        let factor = self.get("upscale_factor").and_then(hundredths);
        let factor = factor.filter(|factor| (100..=MAX_FACTOR * 100).contains(factor));
        if factor.is_none() {
            let msg = format!("Input should be a number from 1 to {MAX_FACTOR}");
            self.violation("value_error", "upscale_factor", &msg);
        }
        GIVEN * factor.unwrap_or(100) / 100
    }

    /// Seconds, written as a number, as its digits, or as `8s`; a text that is spoken takes its time.
    fn seconds(&mut self, model: &Model, subject: &str) -> u16 {
        let spoken = ["text", "inputs"]
            .iter()
            .any(|name| model.needs.contains(name));
        let asked = match self.get("duration") {
            None if spoken => i64::try_from(subject.chars().count() / CHARS_A_SECOND)
                .map_or(MAX_SECONDS, |seconds| seconds.clamp(1, MAX_SECONDS)),
            None | Some(_) if matches!(model.place, Place::Images | Place::Image) => 0,
            None => job::length_of(self.get("video_url").or_else(|| self.get("audio_url")))
                .unwrap_or(model.seconds)
                .into(),
            Some(value) => {
                let text = value.as_str().map(|text| text.trim_end_matches('s'));
                let number = text.and_then(|text| text.parse().ok());
                let number = number.or_else(|| value.as_i64());
                let number = number.filter(|number| (1..=MAX_SECONDS).contains(number));
                if number.is_none() {
                    let msg = format!("Input should be 1 to {MAX_SECONDS} seconds");
                    self.violation("value_error", "duration", &msg);
                }
                number.unwrap_or(1)
            }
        };
        u16::try_from(asked).unwrap_or(1)
    }

    /// The kind of the files: where there is to be nothing behind what is seen, one that can show it.
    fn seen_through(&mut self, model: &Model) -> Kind {
        let kind = self.kind(model);
        if self.text("background_color") != Some("Transparent") {
            return kind;
        }
        let clear = kind.cleared();
        if clear.is_none() {
            let msg = "Input should be a codec with an alpha channel";
            self.violation("value_error", "output_container_and_codec", msg);
        }
        clear.unwrap_or(kind)
    }

    /// Of the formats that the real models have, the sandbox makes some.
    fn kind(&mut self, model: &Model) -> Kind {
        let (field, kinds): (_, &[(&str, Kind)]) = match model.place {
            Place::Images | Place::Image => (
                "output_format",
                &[
                    ("png", Kind::Png),
                    ("jpeg", Kind::Jpeg),
                    ("jpg", Kind::Jpeg),
                ],
            ),
            Place::Video => (
                "output_container_and_codec",
                &[
                    ("mp4_h264", Kind::Mp4),
                    ("mp4_h265", Kind::Mp4),
                    ("webm_vp9", Kind::Webm),
                    ("mov_h265", Kind::Mov),
                    ("mov_proresks", Kind::Mov),
                ],
            ),
            Place::Audio => (
                "output_format",
                &[
                    ("mp3", Kind::Sound(Sound::Mp3)),
                    ("wav", Kind::Sound(Sound::Wav)),
                ],
            ),
            Place::Words => return model.kind,
        };
        let Some(asked) = self.text(field) else {
            return model.kind;
        };
        let kind = kinds.iter().find(|(name, _)| *name == asked);
        if kind.is_none() {
            let names: Vec<String> = kinds.iter().map(|(name, _)| format!("'{name}'")).collect();
            let msg = format!("Input should be {}", names.join(", "));
            self.violation("enum", field, &msg);
        }
        match kind {
            // It is what such a model is for.
            Some((_, Kind::Png)) if model.kind == Kind::CutOut => Kind::CutOut,
            Some((_, kind)) => *kind,
            None => model.kind,
        }
    }

    fn violation(&mut self, kind: &'static str, field: &str, msg: &str) {
        let value = self.get(field).unwrap_or(&Value::Null);
        let violation = Violation::new(kind, Some(field), msg, value);
        self.violations.push(violation);
    }
}

/// What a model works on: a text, or all that is said in a dialogue.
fn spoken_of(subject: &Value) -> String {
    let lines = subject.as_array().into_iter().flatten();
    let texts = lines.filter_map(|line| line.get("text")?.as_str());
    let said: Vec<&str> = texts.chain(subject.as_str()).collect();
    said.join(" ")
}

fn is_line(line: &Value) -> bool {
    ["text", "voice"].iter().all(|name| {
        let text = line.get(name).and_then(Value::as_str);
        text.is_some_and(|text| !text.is_empty())
    })
}

/// A number in hundredths, the rest of it cut off. Read as text: the house has no floats outside the wire.
fn hundredths(number: &Value) -> Option<u32> {
    let text = number.as_number()?.to_string();
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let fraction: String = fraction.chars().chain("00".chars()).take(2).collect();
    format!("{whole}{fraction}").parse().ok()
}

/// `side` times `part / whole`, on the grid.
fn fitted(side: u32, part: u32, whole: u32) -> u32 {
    let exact = side * part / whole;
    (exact.next_multiple_of(STEP)).clamp(STEP, MAX_SIDE)
}

// === impl Violation ===

impl Violation {
    /// Something wrong with a field, or with the whole input.
    pub(crate) fn new(kind: &'static str, field: Option<&str>, msg: &str, input: &Value) -> Self {
        let loc = ["body"].into_iter().chain(field);
        Self {
            loc: loc.map(str::to_owned).collect(),
            msg: msg.to_owned(),
            r#type: kind,
            url: format!("https://docs.fal.ai/errors#{kind}"),
            input: input.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
