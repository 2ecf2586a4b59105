//! What Ideogram is asked, as JSON or as a form, and what is made of it for how much.

use axum::body::Bytes;
use http::HeaderMap;
use serde_json::{Map, Value};

use super::{Refusal, invalid, unknown};
use crate::{
    at_once, form,
    made::{Kind, Made},
};

/// A request that was understood.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) model: &'static str,
    /// Its fields; files among them are URLs.
    pub(super) input: Value,
    pub(super) made: Made,
    /// Micro-US-dollars.
    pub(super) price: i64,
    /// Where to call.
    pub(super) callback: Option<String>,
}

/// One way to a picture.
struct Way {
    name: &'static str,
    /// Files without which there is none.
    needs: &'static [&'static str],
    /// Fields that it takes, beside those that every way takes.
    fields: &'static [&'static str],
    /// Micro-US-dollars by the speed: turbo, default, quality.
    prices: [i64; 3],
}

const V3: [i64; 3] = [30_000, 60_000, 90_000];
const V4: [i64; 3] = [30_000, 60_000, 100_000];
const WAYS: [Way; 4] = [
    Way {
        name: "generate/ideogram-3",
        needs: &[],
        fields: &["aspect_ratio", "resolution", "style_type", STYLES],
        prices: V3,
    },
    Way {
        name: "remix/ideogram-3",
        needs: &["image"],
        fields: &[
            "aspect_ratio",
            "resolution",
            "image_weight",
            "style_type",
            STYLES,
        ],
        prices: V3,
    },
    Way {
        name: "inpaint/ideogram-3",
        needs: &["image", "mask"],
        fields: &["style_type", STYLES],
        prices: V3,
    },
    Way {
        name: "generate/ideogram-4",
        needs: &[],
        fields: &["resolution"],
        prices: V4,
    },
];
const STYLES: &str = "style_reference_images";
/// Fields that every way takes.
const FIELDS: [&str; 8] = [
    "prompt",
    "magic_prompt",
    "num_images",
    "rendering_speed",
    "seed",
    "private",
    "async",
    "webhook_url",
];
const SPEEDS: [&str; 3] = ["turbo", "default", "quality"];
const RATIOS: [&str; 15] = [
    "1x3", "3x1", "1x2", "2x1", "9x16", "16x9", "10x16", "16x10", "2x3", "3x2", "3x4", "4x3",
    "4x5", "5x4", "1x1",
];

// === impl Asked ===

impl Asked {
    pub(super) async fn read(way: &str, headers: &HeaderMap, body: Bytes) -> Result<Self, Refusal> {
        let way = WAYS.iter().find(|row| row.name == way);
        let way = way.ok_or_else(unknown)?;
        let fields = form::fields(headers, body).await;
        let fields = fields.map_err(|why| invalid(&why))?;
        way.check(&fields)?;
        let text = |name: &str| fields.get(name).and_then(Value::as_str);
        let (width, height) = match text("resolution").and_then(at_once::pixels) {
            Some(pixels) => pixels,
            None => {
                let ratio = text("aspect_ratio").unwrap_or("1x1").replace('x', ":");
                at_once::sides(&ratio, "1K")
            }
        };
        let chosen = text("rendering_speed").unwrap_or("default");
        let mut prices = SPEEDS.iter().zip(way.prices);
        let price = prices.find(|(speed, _)| **speed == chosen);
        Ok(Self {
            model: way.name,
            made: Made {
                kind: Kind::Png,
                count: 1,
                width,
                height,
                seconds: 0,
            },
            price: price.map_or(0, |(_, price)| price),
            callback: text("webhook_url").map(str::to_owned),
            input: Value::Object(fields),
        })
    }
}

// === impl Way ===

impl Way {
    fn check(&self, fields: &Map<String, Value>) -> Result<(), Refusal> {
        let is_known = |name: &str| {
            FIELDS.contains(&name) || self.fields.contains(&name) || self.needs.contains(&name)
        };
        if let Some(name) = fields.keys().find(|name| !is_known(name)) {
            return Err(invalid(&format!("{name} is no field of {}", self.name)));
        }
        let text = |name: &str| fields.get(name).and_then(Value::as_str);
        let is_missing = |name: &&&str| text(name).is_none_or(str::is_empty);
        if let Some(name) = self.needs.iter().find(is_missing) {
            return Err(invalid(&format!("{name} is required")));
        }
        let is_true = |value: &Value| *value == true || *value == "true";
        if !fields.get("async").is_some_and(is_true) {
            return Err(invalid("the sandbox makes jobs alone: async must be true"));
        }
        let is_one_of =
            |name: &str, words: &[&str]| text(name).is_none_or(|word| words.contains(&word));
        if text("prompt").is_none_or(str::is_empty) {
            Err(invalid("prompt is required"))
        } else if !is_one_of("rendering_speed", &SPEEDS) {
            Err(invalid("rendering_speed must be turbo, default or quality"))
        } else if !is_one_of("aspect_ratio", &RATIOS) {
            Err(invalid("aspect_ratio is none of theirs"))
        } else if fields.contains_key("aspect_ratio") && fields.contains_key("resolution") {
            Err(invalid("aspect_ratio and resolution exclude each other"))
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use http::header;
    use serde_json::json;

    use super::*;

    async fn read(way: &str, kind: &str, body: &str) -> Result<Asked, Refusal> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, kind.parse().unwrap());
        Asked::read(way, &headers, body.to_owned().into()).await
    }

    #[tokio::test]
    async fn json_and_forms_say_the_same() {
        let body = json!({ "prompt": "a fox", "aspect_ratio": "16x9", "rendering_speed": "quality", "async": true });
        let asked = read("generate/ideogram-3", "application/json", &body.to_string()).await;
        let asked = asked.unwrap();
        assert_eq!(
            (asked.made.width, asked.made.height, asked.price),
            (1_024, 576, 90_000)
        );
        let part = |name: &str, value: &str| {
            format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"{value}\r\n")
        };
        let picture = "; filename=\"a.png\"\r\nContent-Type: image/png\r\n\r\nabc";
        let form = [
            part("prompt", "\r\n\r\na fox"),
            part("async", "\r\n\r\ntrue"),
            part("image", picture),
            part(STYLES, picture),
            part(STYLES, picture),
            "--b--\r\n".to_owned(),
        ];
        let kind = "multipart/form-data; boundary=b";
        let asked = read("remix/ideogram-3", kind, &form.concat())
            .await
            .unwrap();
        assert_eq!(asked.input["image"], "data:image/png;base64,YWJj");
        assert_eq!(asked.input[STYLES].as_array().unwrap().len(), 2);
        let masked = read("inpaint/ideogram-3", kind, &form.concat()).await;
        assert!(masked.is_err());
    }

    #[tokio::test]
    async fn what_they_do_not_take_is_refused() {
        for (way, more) in [
            ("generate/ideogram-3", json!({ "rendering_speed": "TURBO" })),
            ("generate/ideogram-3", json!({ "aspect_ratio": "16:9" })),
            (
                "generate/ideogram-3",
                json!({ "aspect_ratio": "1x1", "resolution": "1024x1024" }),
            ),
            ("generate/ideogram-4", json!({ "style_type": "auto" })),
            ("generate/ideogram-4", json!({ "prompt": "" })),
            ("generate/ideogram-4", json!({ "async": false })),
            ("generate/ideogram-9", json!({})),
        ] {
            let mut body = json!({ "prompt": "a fox", "async": true });
            body.as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            let read = read(way, "application/json", &body.to_string()).await;
            assert!(read.is_err(), "{way} {body}");
        }
    }
}
