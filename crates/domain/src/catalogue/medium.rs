//! What a parameter that names a file or a URL may lead to.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Model, Param, ParamType, Resolved};

/// A kind of input.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Medium {
    /// A picture.
    Image,
    /// A film.
    Video,
    /// A sound.
    Audio,
    /// A sound, or a film that has one.
    Recording,
}

/// Something that a request leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input<'a> {
    /// Where it stands: `input_urls[2]`.
    pub param: String,
    /// A URL, or the id of a file.
    pub text: &'a str,
    /// What it is to be; `None`: whichever.
    pub kind: Option<Medium>,
}

// === impl Medium ===

impl Medium {
    /// Completes "`param` must be …".
    pub const fn name(self) -> &'static str {
        match self {
            Self::Image => "an image",
            Self::Video => "a video",
            Self::Audio => "a sound",
            Self::Recording => "a sound or a video",
        }
    }

    /// Whether a file of this type is one.
    pub fn has(self, content_type: &str) -> bool {
        let groups: &[&str] = match self {
            Self::Image => &["image/"],
            Self::Video => &["video/"],
            Self::Audio => &["audio/"],
            Self::Recording => &["audio/", "video/"],
        };
        groups.iter().any(|group| content_type.starts_with(group))
    }

    /// Whether it lasts.
    pub const fn has_length(self) -> bool {
        match self {
            Self::Image => false,
            Self::Video | Self::Audio | Self::Recording => true,
        }
    }
}

// === impl Model ===

impl Model {
    /// Everything that resolved parameters lead to.
    pub fn inputs<'a>(&'a self, resolved: &'a Resolved) -> impl Iterator<Item = Input<'a>> {
        self.params.iter().flat_map(move |param| {
            let value = resolved.get(&param.name);
            value.map_or_else(Vec::new, |value| param.inputs(value))
        })
    }
}

// === impl Param ===

impl Param {
    /// Everything that a resolved value leads to.
    pub(super) fn inputs<'a>(&self, value: &'a Value) -> Vec<Input<'a>> {
        let name = &self.name;
        let sound = self.of.seconds().map(|_| Medium::Audio);
        let input = |param, text| Input {
            param,
            text,
            kind: self.kind.or(sound),
        };
        match &self.of {
            ParamType::Url | ParamType::Sound { .. } => {
                let url = value.as_str().map(|url| input(name.clone(), url));
                url.into_iter().collect()
            }
            ParamType::Urls { .. } => {
                let items = value.as_array().into_iter().flatten().enumerate();
                items
                    .filter_map(|(index, item)| {
                        Some(input(format!("{name}[{index}]"), item.as_str()?))
                    })
                    .collect()
            }
            ParamType::Items { fields, .. } => {
                let items = value.as_array().into_iter().flatten().enumerate();
                let inputs_of = |(index, item): (usize, &'a Value)| {
                    let of_field = |field: &Param| {
                        let value = item.get(&field.name);
                        value.map_or_else(Vec::new, |value| field.inputs(value))
                    };
                    let found = fields.iter().flat_map(of_field);
                    let at = |found: Input<'a>| Input {
                        param: format!("{name}[{index}].{}", found.param),
                        ..found
                    };
                    found.map(at).collect::<Vec<_>>()
                };
                items.flat_map(inputs_of).collect()
            }
            ParamType::Text { .. }
            | ParamType::Choice { .. }
            | ParamType::Integer { .. }
            | ParamType::Number { .. }
            | ParamType::Boolean
            | ParamType::Task(_) => Vec::new(),
        }
    }
}

// === impl ParamType ===

impl ParamType {
    /// How many seconds of sound it holds, at least and at most, where it holds some.
    pub const fn seconds(&self) -> Option<(u32, u32)> {
        match self {
            Self::Sound {
                min_seconds,
                max_seconds,
            } => Some((*min_seconds, *max_seconds)),
            Self::Text { .. }
            | Self::Choice { .. }
            | Self::Integer { .. }
            | Self::Number { .. }
            | Self::Boolean
            | Self::Url
            | Self::Urls { .. }
            | Self::Task(_)
            | Self::Items { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        Catalogue,
        catalogue::{Medium, Param, ParamType},
    };

    /// Parameters, and those within them.
    fn all(params: &[Param]) -> Vec<&Param> {
        let within = params.iter().flat_map(|param| match &param.of {
            ParamType::Items { fields, .. } => all(fields),
            ParamType::Text { .. }
            | ParamType::Choice { .. }
            | ParamType::Integer { .. }
            | ParamType::Number { .. }
            | ParamType::Boolean
            | ParamType::Url
            | ParamType::Urls { .. }
            | ParamType::Task(_)
            | ParamType::Sound { .. } => Vec::new(),
        });
        params.iter().chain(within).collect()
    }

    #[test]
    fn every_input_of_the_catalogue_says_what_it_is() {
        let catalogue = Catalogue::built_in().unwrap();
        let mut inputs = 0;
        for model in catalogue.models() {
            for param in all(&model.params) {
                let is_input = matches!(&param.of, ParamType::Url | ParamType::Urls { .. });
                // A sound is one unless it may be a film as well.
                if param.of.seconds().is_some() {
                    continue;
                }
                assert_eq!(
                    param.kind.is_some(),
                    is_input,
                    "{}: {}",
                    model.slug,
                    param.name
                );
                inputs += usize::from(is_input);
            }
        }
        assert!(inputs > 20, "{inputs}");
    }

    #[test]
    fn a_recording_is_a_sound_or_a_film() {
        for (content_type, is_one) in [
            ("audio/mpeg", true),
            ("video/webm", true),
            ("image/png", false),
            ("text/plain", false),
        ] {
            assert_eq!(Medium::Recording.has(content_type), is_one);
        }
        let catalogue = Catalogue::built_in().unwrap();
        let kind = |slug: &str, name: &str| {
            let params = &catalogue.find(slug).unwrap().params;
            let param = params.iter().find(|param| param.name == name).unwrap();
            let file = serde_json::json!("file_01h455vb4pex5vsknk084sn02q");
            param.inputs(&file)[0].kind
        };
        assert_eq!(kind("whisper-1", "file"), Some(Medium::Recording));
        assert_eq!(kind("suno-upload-cover", "audio_id"), Some(Medium::Audio));
    }

    #[test]
    fn what_leads_nowhere_is_of_no_kind() {
        let text = include_str!("../../catalogue/flux-2.toml");
        let wrong = text.replace("name = \"seed\"", "name = \"seed\"\nkind = \"image\"");
        assert_ne!(wrong, text);
        let error = Catalogue::parse(&[("a.toml", &wrong)]).unwrap_err();
        let told = "seed is no input, and has no kind";
        assert!(error.to_string().contains(told), "{error}");
    }
}
