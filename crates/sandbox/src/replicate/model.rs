//! The models, what each of them needs in its input, and what is made of it for how much. Pure.

use serde_json::{Map, Value};

use crate::{
    bill,
    kie::Asked,
    made::{Kind, Made},
};

/// One model.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Model {
    pub(crate) name: &'static str,
    /// What it is asked by where that is not its name: its only version.
    version: Option<&'static str>,
    /// Texts without which nothing is made.
    needs: &'static [&'static str],
    /// How long its films last if nobody says so; `None`: it makes pictures.
    seconds: Option<u16>,
    /// Whether it answers with a list.
    pub(crate) lists: bool,
    /// Micro-US-dollars for a picture, or for a second of film.
    price: i64,
}

/// The version of the model that swaps faces.
const SWAP: &str = "278a81e7ebb22db98bcba54de985d22cc1abeead2754eb1f2af717247be69b34";

/// The models. A position is the model's number inside a prediction's id: append only.
pub(crate) static MODELS: [Model; 8] = [
    picture("google/nano-banana-pro", 150_000),
    picture("google/imagen-4", 40_000),
    picture("google/imagen-4-fast", 20_000),
    picture("google/imagen-4-ultra", 60_000),
    Model {
        lists: true,
        ..picture("bytedance/seedream-4.5", 40_000)
    },
    film("google/veo-3.1", 400_000),
    film("google/veo-3.1-fast", 150_000),
    Model {
        version: Some(SWAP),
        needs: &["swap_image", "input_image"],
        ..picture("codeplugtech/face-swap", 3_000)
    },
];

/// The official model of this name.
pub(crate) fn official(name: &str) -> Option<&'static Model> {
    let mut models = MODELS.iter();
    models.find(|model| model.version.is_none() && model.name == name)
}

/// The model of `owner/name`, `owner/name:<version>` or `<version>`.
pub(crate) fn versioned(version: &str) -> Option<&'static Model> {
    if let Some(model) = official(version) {
        return Some(model);
    }
    let (name, version) = match version.split_once(':') {
        Some((name, version)) => (Some(name), version),
        None => (None, version),
    };
    MODELS
        .iter()
        .find(|model| model.version() == version && name.is_none_or(|name| name == model.name))
}

const fn picture(name: &'static str, price: i64) -> Model {
    Model {
        name,
        version: None,
        needs: &["prompt"],
        seconds: None,
        lists: false,
        price,
    }
}

const fn film(name: &'static str, price: i64) -> Model {
    Model {
        seconds: Some(8),
        ..picture(name, price)
    }
}

// === impl Model ===

impl Model {
    /// The only version of it.
    pub(crate) fn version(&self) -> String {
        self.version
            .map_or_else(|| bill::hash(self.name), str::to_owned)
    }

    /// What answers name as the version.
    pub(crate) fn told_version(&self) -> String {
        self.version.unwrap_or("hidden").to_owned()
    }

    /// What shall be made of an input.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub(crate) fn read(&self, input: &Map<String, Value>) -> Result<Made, &'static str> {
        let text = |name: &str| input.get(name).and_then(Value::as_str);
        let is_missing = |name: &&&str| text(name).is_none_or(str::is_empty);
        if let Some(name) = self.needs.iter().find(is_missing) {
            return Err(name);
        }
        let asked = Asked(input);
        let made = match self.seconds {
            None => {
                let (width, height) = asked.picture();
                Made {
                    kind: asked.format(),
                    count: 1,
                    width,
                    height,
                    seconds: 0,
                }
            }
            Some(usual) => {
                let (width, height) = asked.video();
                Made {
                    kind: Kind::Mp4,
                    count: 1,
                    width,
                    height,
                    seconds: asked.seconds().unwrap_or(usual),
                }
            }
        };
        Ok(made.fitted())
    }

    /// What the provider would charge for it, in micro-US-dollars.
    pub(crate) fn cost(&self, made: &Made) -> i64 {
        self.price * i64::from(made.seconds.max(1)) * i64::from(made.count)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_model_is_found_by_its_name_or_its_version() {
        for model in &MODELS {
            let version = model.version();
            assert_eq!(version.len(), 64);
            let whole = format!("{}:{version}", model.name);
            assert_eq!(versioned(&version), Some(model));
            assert_eq!(versioned(&whole), Some(model));
            assert_eq!(versioned(&format!("a/b:{version}")), None);
            let by_name = official(model.name);
            assert_eq!(by_name, versioned(model.name));
        }
        assert_eq!(official("codeplugtech/face-swap"), None);
        assert_eq!(versioned(&"0".repeat(64)), None);
    }

    #[test]
    fn what_is_made_for_how_much() {
        let url = "https://a.example/1";
        for (name, input, expected, cost) in [
            (
                "google/nano-banana-pro",
                json!({ "prompt": "x", "resolution": "2K", "aspect_ratio": "16:9", "output_format": "jpg" }),
                (Kind::Jpeg, 2_048, 1_152, 0),
                150_000,
            ),
            (
                "bytedance/seedream-4.5",
                json!({ "prompt": "x", "size": "4K", "aspect_ratio": "1:1" }),
                (Kind::Png, 4_096, 4_096, 0),
                40_000,
            ),
            (
                "google/veo-3.1",
                json!({ "prompt": "x", "duration": 4, "resolution": "1080p" }),
                (Kind::Mp4, 1_920, 1_080, 4),
                1_600_000,
            ),
            (
                "google/veo-3.1-fast",
                json!({ "prompt": "x" }),
                (Kind::Mp4, 1_280, 720, 8),
                1_200_000,
            ),
            (
                "codeplugtech/face-swap",
                json!({ "swap_image": url, "input_image": url }),
                (Kind::Png, 1_024, 1_024, 0),
                3_000,
            ),
        ] {
            let model = MODELS.iter().find(|model| model.name == name).unwrap();
            let made = model.read(input.as_object().unwrap()).unwrap();
            let told = (made.kind, made.width, made.height, made.seconds);
            assert_eq!((told, model.cost(&made)), (expected, cost), "{name}");
        }
        let swap = MODELS.last().unwrap();
        let half = json!({ "swap_image": url, "input_image": "" });
        assert_eq!(swap.read(half.as_object().unwrap()), Err("input_image"));
    }
}
