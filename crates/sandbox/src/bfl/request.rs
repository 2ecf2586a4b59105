//! A submit, read as the provider reads it: every violation at once, in the manner of FastAPI. Pure.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::picture::Format;

/// A submit that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Submit {
    pub(crate) prompt: String,
    /// In pixels, as the height.
    pub(crate) width: u16,
    pub(crate) height: u16,
    pub(crate) seed: Option<i64>,
    pub(crate) format: Format,
    /// How many reference images came along.
    pub(crate) inputs: u32,
    pub(crate) webhook_url: Option<String>,
}

/// One thing that is wrong with a submit: a wire type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Violation {
    r#type: &'static str,
    loc: Vec<String>,
    msg: String,
}

/// The side of a picture when the request leaves it open.
const SIDE: u16 = 1_024;
/// The shortest side.
const MIN_SIDE: i64 = 64;
/// The largest picture: four binary megapixels.
const MAX_PIXELS: u32 = 4 * 1_024 * 1_024;
/// The longest webhook address.
const MAX_URL: usize = 2_083;
const INPUTS: [&str; 8] = [
    "input_image",
    "input_image_2",
    "input_image_3",
    "input_image_4",
    "input_image_5",
    "input_image_6",
    "input_image_7",
    "input_image_8",
];

/// Reads a submit.
///
/// # Errors
/// Everything that is wrong with it.
pub(crate) fn read(body: &[u8]) -> Result<Submit, Vec<Violation>> {
    let map = match serde_json::from_slice(body) {
        Ok(Value::Object(map)) => map,
        Ok(_) => {
            let msg = "Input should be a valid dictionary or object to extract fields from";
            return Err(vec![Violation::new("model_attributes_type", None, msg)]);
        }
        Err(_) => {
            return Err(vec![Violation::new(
                "json_invalid",
                None,
                "JSON decode error",
            )]);
        }
    };
    let mut fields = Fields {
        map: &map,
        violations: Vec::new(),
    };
    let submit = fields.submit();
    if fields.violations.is_empty() {
        Ok(submit)
    } else {
        Err(fields.violations)
    }
}

/// The fields of a body, and what was found wrong with them so far.
struct Fields<'a> {
    map: &'a Map<String, Value>,
    violations: Vec<Violation>,
}

// === impl Fields ===

impl<'a> Fields<'a> {
    fn submit(&mut self) -> Submit {
        let prompt = self.text("prompt").unwrap_or_default().to_owned();
        if self.get("prompt").is_none() {
            self.violation("missing", "prompt", "Field required");
        }
        let (width, height) = (self.side("width"), self.side("height"));
        if u32::from(width) * u32::from(height) > MAX_PIXELS {
            let msg = "Value error, the output may have at most 4 megapixels";
            self.violation("value_error", "width", msg);
        }
        self.integer("safety_tolerance", 0, 5);
        self.integer("steps", 1, 50);
        self.guidance();
        self.boolean("prompt_upsampling");
        let inputs = INPUTS
            .map(|name| self.text(name))
            .into_iter()
            .flatten()
            .count();
        self.text("webhook_secret");
        Submit {
            prompt,
            width,
            height,
            seed: self.integer("seed", i64::MIN, i64::MAX),
            format: self.format(),
            inputs: u32::try_from(inputs).unwrap_or(u32::MAX),
            webhook_url: self.webhook_url(),
        }
    }

    /// A field that is there and not null.
    fn get(&self, name: &str) -> Option<&'a Value> {
        self.map.get(name).filter(|value| !value.is_null())
    }

    fn text(&mut self, name: &str) -> Option<&'a str> {
        let value = self.get(name)?;
        let text = value.as_str();
        if text.is_none() {
            self.violation("string_type", name, "Input should be a valid string");
        }
        text
    }

    fn boolean(&mut self, name: &str) {
        if self.get(name).is_some_and(|value| !value.is_boolean()) {
            self.violation("bool_type", name, "Input should be a valid boolean");
        }
    }

    fn integer(&mut self, name: &str, least: i64, most: i64) -> Option<i64> {
        let Some(number) = self.get(name)?.as_i64() else {
            self.violation("int_type", name, "Input should be a valid integer");
            return None;
        };
        if number < least {
            let msg = format!("Input should be greater than or equal to {least}");
            self.violation("greater_than_equal", name, &msg);
        }
        if number > most {
            let msg = format!("Input should be less than or equal to {most}");
            self.violation("less_than_equal", name, &msg);
        }
        Some(number)
    }

    /// Null and 0 leave the side to the provider.
    fn side(&mut self, name: &str) -> u16 {
        if self.get(name).and_then(Value::as_i64) == Some(0) {
            return SIDE;
        }
        let side = self.integer(name, MIN_SIDE, u16::MAX.into());
        side.and_then(|side| u16::try_from(side).ok())
            .unwrap_or(SIDE)
    }

    fn guidance(&mut self) {
        let Some(value) = self.get("guidance") else {
            return;
        };
        if !value
            .as_f64()
            .is_some_and(|guidance| (1.5..=10.0).contains(&guidance))
        {
            let msg = "Input should be a number from 1.5 to 10";
            self.violation("value_error", "guidance", msg);
        }
    }

    fn format(&mut self) -> Format {
        match self.text("output_format") {
            None | Some("jpeg") => Format::Jpeg,
            Some("png") => Format::Png,
            Some(_) => {
                // The real provider has webp as well; the sandbox has no encoder for it.
                let msg = "Input should be 'jpeg' or 'png'";
                self.violation("enum", "output_format", msg);
                Format::Jpeg
            }
        }
    }

    fn webhook_url(&mut self) -> Option<String> {
        let url = self.text("webhook_url")?;
        if url.is_empty() || url.len() > MAX_URL {
            let msg = format!("URL should have 1 to {MAX_URL} characters");
            self.violation("url_too_long", "webhook_url", &msg);
        }
        Some(url.to_owned())
    }

    fn violation(&mut self, kind: &'static str, field: &str, msg: &str) {
        self.violations.push(Violation::new(kind, Some(field), msg));
    }
}

// === impl Violation ===

impl Violation {
    /// A violation in a place of the request: `loc` is its path.
    pub(crate) fn at(kind: &'static str, loc: [&str; 2], msg: &str) -> Self {
        Self {
            r#type: kind,
            loc: loc.map(str::to_owned).to_vec(),
            msg: msg.to_owned(),
        }
    }

    fn new(kind: &'static str, field: Option<&str>, msg: &str) -> Self {
        let loc = ["body"].into_iter().chain(field);
        Self {
            r#type: kind,
            loc: loc.map(str::to_owned).collect(),
            msg: msg.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(body: &Value) -> Result<Submit, Vec<Violation>> {
        read(body.to_string().as_bytes())
    }

    /// The last part of each violation's place.
    fn wrong(body: &Value) -> Vec<String> {
        let violations = check(body).unwrap_err();
        violations
            .into_iter()
            .filter_map(|mut v| v.loc.pop())
            .collect()
    }

    #[test]
    fn defaults() {
        let submit = check(&json!({"prompt": "a cat", "seed": null, "width": 0})).unwrap();
        let expected = Submit {
            prompt: "a cat".to_owned(),
            width: 1_024,
            height: 1_024,
            seed: None,
            format: Format::Jpeg,
            inputs: 0,
            webhook_url: None,
        };
        assert_eq!(submit, expected);
    }

    #[test]
    fn everything_together() {
        let body = json!({
            "prompt": "a cat", "width": 2_048, "height": 2_048, "seed": 4_294_967_295_u32,
            "output_format": "png", "input_image": "https://example.com/a.png", "input_image_8": "QUJD",
            "safety_tolerance": 5, "guidance": 1.5, "steps": 50, "prompt_upsampling": false,
            "webhook_url": "https://example.com/", "webhook_secret": "s", "unknown": 1,
        });
        let submit = check(&body).unwrap();
        assert_eq!(
            (submit.width, submit.height, submit.inputs),
            (2_048, 2_048, 2)
        );
        assert_eq!(
            (submit.seed, submit.format),
            (Some(4_294_967_295), Format::Png)
        );
        assert_eq!(submit.webhook_url.as_deref(), Some("https://example.com/"));
    }

    #[test]
    fn each_violation_names_its_field() {
        let table = [
            (json!({}), "prompt"),
            (json!({"prompt": 7}), "prompt"),
            (json!({"prompt": "a", "width": 63}), "width"),
            (json!({"prompt": "a", "width": 70_000}), "width"),
            (json!({"prompt": "a", "height": "64"}), "height"),
            (
                json!({"prompt": "a", "width": 2_049, "height": 2_048}),
                "width",
            ),
            (json!({"prompt": "a", "seed": 1.5}), "seed"),
            (
                json!({"prompt": "a", "safety_tolerance": 6}),
                "safety_tolerance",
            ),
            (
                json!({"prompt": "a", "output_format": "gif"}),
                "output_format",
            ),
            (json!({"prompt": "a", "guidance": 1.4}), "guidance"),
            (json!({"prompt": "a", "steps": 0}), "steps"),
            (
                json!({"prompt": "a", "prompt_upsampling": "yes"}),
                "prompt_upsampling",
            ),
            (json!({"prompt": "a", "input_image_3": 3}), "input_image_3"),
            (json!({"prompt": "a", "webhook_url": ""}), "webhook_url"),
            (json!([]), "body"),
        ];
        for (body, field) in table {
            assert_eq!(wrong(&body), [field], "{body}");
        }
        assert_eq!(
            wrong(&json!({"steps": 0, "width": 1})),
            ["prompt", "width", "steps"]
        );
        assert_eq!(read(b"{").unwrap_err()[0].r#type, "json_invalid");
    }
}
