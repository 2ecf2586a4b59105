//! The catalogue: models are data. One TOML file per model under `catalogue/`; adding a model that an existing adapter can
//! serve adds a file and its line in `BUILT_IN`, which a test demands.

mod choose;
mod earlier;
mod input;
mod list;
mod medium;
mod model;
mod param;
mod place;
mod resolve;
mod rule;
mod seconds;

use std::collections::HashMap;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::{Moment, price::Price};

pub use choose::Unserved;
pub use earlier::Earlier;
pub use list::version as version_of;
pub use medium::{Input, Medium};
pub(crate) use model::matches;
pub use model::{
    CHAT_ROUTE, CHAT_ROUTES, Cancel, Category, ChatLimits, EMBEDDINGS_ROUTE, EmbeddingLimits,
    MESSAGES_ROUTE, Model, ProviderRoute, RESPONSES_ROUTE, Status, When,
};
pub use param::{Longer, Param, ParamType};
pub(crate) use place::{has_length, length};
pub use rule::Rule;
pub use seconds::Counted;

/// The files compiled in, name and text: every file of the folder, as a test makes sure.
const BUILT_IN: &[(&str, &str)] = &[
    ("gemini.toml", include_str!("../catalogue/gemini.toml")),
    (
        "claude-opus-5-5.toml",
        include_str!("../catalogue/claude-opus-5-5.toml"),
    ),
    (
        "claude-sonnet-5-5.toml",
        include_str!("../catalogue/claude-sonnet-5-5.toml"),
    ),
    (
        "gpt-6-1-sol.toml",
        include_str!("../catalogue/gpt-6-1-sol.toml"),
    ),
    ("flux-2.toml", include_str!("../catalogue/flux-2.toml")),
    (
        "gpt-image-1-5.toml",
        include_str!("../catalogue/gpt-image-1-5.toml"),
    ),
    (
        "ideogram-v3.toml",
        include_str!("../catalogue/ideogram-v3.toml"),
    ),
    (
        "ideogram-v4.toml",
        include_str!("../catalogue/ideogram-v4.toml"),
    ),
    ("imagen-4.toml", include_str!("../catalogue/imagen-4.toml")),
    (
        "seedream-4-5.toml",
        include_str!("../catalogue/seedream-4-5.toml"),
    ),
    (
        "grok-imagine.toml",
        include_str!("../catalogue/grok-imagine.toml"),
    ),
    (
        "kling-image-o1.toml",
        include_str!("../catalogue/kling-image-o1.toml"),
    ),
    (
        "nano-banana-pro.toml",
        include_str!("../catalogue/nano-banana-pro.toml"),
    ),
    (
        "qwen-image.toml",
        include_str!("../catalogue/qwen-image.toml"),
    ),
    ("z-image.toml", include_str!("../catalogue/z-image.toml")),
    ("kling-3.toml", include_str!("../catalogue/kling-3.toml")),
    (
        "hailuo-2-3.toml",
        include_str!("../catalogue/hailuo-2-3.toml"),
    ),
    ("wan-2-6.toml", include_str!("../catalogue/wan-2-6.toml")),
    ("vidu-q3.toml", include_str!("../catalogue/vidu-q3.toml")),
    (
        "pixverse-5-6.toml",
        include_str!("../catalogue/pixverse-5-6.toml"),
    ),
    (
        "seedance-1-5-pro.toml",
        include_str!("../catalogue/seedance-1-5-pro.toml"),
    ),
    (
        "grok-video.toml",
        include_str!("../catalogue/grok-video.toml"),
    ),
    ("veo-3-1.toml", include_str!("../catalogue/veo-3-1.toml")),
    (
        "bg-remover.toml",
        include_str!("../catalogue/bg-remover.toml"),
    ),
    (
        "face-swap.toml",
        include_str!("../catalogue/face-swap.toml"),
    ),
    (
        "image-upscale.toml",
        include_str!("../catalogue/image-upscale.toml"),
    ),
    (
        "video-bg-remover.toml",
        include_str!("../catalogue/video-bg-remover.toml"),
    ),
    (
        "video-upscale.toml",
        include_str!("../catalogue/video-upscale.toml"),
    ),
    (
        "elevenlabs-v3.toml",
        include_str!("../catalogue/elevenlabs-v3.toml"),
    ),
    ("tts-1.toml", include_str!("../catalogue/tts-1.toml")),
    ("tts-1-hd.toml", include_str!("../catalogue/tts-1-hd.toml")),
    (
        "gpt-4o-mini-tts.toml",
        include_str!("../catalogue/gpt-4o-mini-tts.toml"),
    ),
    (
        "whisper-1.toml",
        include_str!("../catalogue/whisper-1.toml"),
    ),
    (
        "gpt-4o-transcribe.toml",
        include_str!("../catalogue/gpt-4o-transcribe.toml"),
    ),
    (
        "gpt-4o-mini-transcribe.toml",
        include_str!("../catalogue/gpt-4o-mini-transcribe.toml"),
    ),
    (
        "scribe-v2.toml",
        include_str!("../catalogue/scribe-v2.toml"),
    ),
    (
        "minimax-music.toml",
        include_str!("../catalogue/minimax-music.toml"),
    ),
    ("suno.toml", include_str!("../catalogue/suno.toml")),
    (
        "suno-extend.toml",
        include_str!("../catalogue/suno-extend.toml"),
    ),
    (
        "suno-upload-cover.toml",
        include_str!("../catalogue/suno-upload-cover.toml"),
    ),
    (
        "suno-cover.toml",
        include_str!("../catalogue/suno-cover.toml"),
    ),
    (
        "suno-lyrics.toml",
        include_str!("../catalogue/suno-lyrics.toml"),
    ),
    (
        "gemini-embedding-001.toml",
        include_str!("../catalogue/gemini-embedding-001.toml"),
    ),
    (
        "text-embedding-3-large.toml",
        include_str!("../catalogue/text-embedding-3-large.toml"),
    ),
    (
        "text-embedding-3-small.toml",
        include_str!("../catalogue/text-embedding-3-small.toml"),
    ),
];

/// Resolved parameters: every default filled in, every value checked. Keys in the order of the model's file.
pub type Resolved = Map<String, Value>;

/// Every model, and the version of the whole.
#[derive(Debug)]
pub struct Catalogue {
    models: Vec<Model>,
    by_name: HashMap<String, usize>,
    list: String,
    version: String,
}

/// A model file that does not hold together. The operator's mistake, or ours.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// Not TOML, or not a model.
    #[error("{file} is not a model file")]
    Parse {
        /// The file's name.
        file: String,
        /// What the parser says.
        #[source]
        source: toml::de::Error,
    },
    /// Parses, and contradicts itself.
    #[error("{file}: {problem}")]
    Invalid {
        /// The file's name.
        file: String,
        /// What is wrong and what is allowed.
        problem: String,
    },
    /// What is to be left out is not there.
    #[error("models.without names {name}, which is no model that is compiled in")]
    LeftOut {
        /// The name.
        name: String,
    },
}

/// The wire shape of a model as `GET /models` lists it: OpenAI's shape, and what else a customer wants to know.
#[derive(Debug, Serialize)]
pub struct Listing<'a> {
    id: &'a str,
    object: &'static str,
    created: i64,
    owned_by: &'a str,
    name: &'a str,
    category: Category,
    route: &'a str,
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    successor: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notice: Option<&'a str>,
    parameters: Vec<&'a Param>,
    #[serde(skip_serializing_if = "<[Rule]>::is_empty")]
    rules: &'a [Rule],
    price: Option<&'a Price>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    next_prices: Vec<&'a Price>,
    deadline_seconds: u32,
    webhook: bool,
    cancel: Cancel,
    #[serde(skip_serializing_if = "Option::is_none")]
    chat: Option<&'a ChatLimits>,
    #[serde(skip_serializing_if = "Option::is_none")]
    embedding: Option<&'a EmbeddingLimits>,
}

// === impl Catalogue ===

impl Catalogue {
    /// The models compiled in.
    ///
    /// # Errors
    /// Never, as a test makes sure; the files are data all the same.
    pub fn built_in() -> Result<Self, CatalogueError> {
        Self::parse(BUILT_IN)
    }

    /// The models compiled in, with an operator's own files over them, name and text of each: one with the slug of a model that is
    /// compiled in takes its place. Those whose slugs are in `without` are left out.
    ///
    /// # Errors
    /// When a file does not hold together, two claim one name, or nothing is there to be left out.
    pub fn with(own: &[(String, String)], without: &[String]) -> Result<Self, CatalogueError> {
        let own: Vec<(&str, &str)> = own
            .iter()
            .map(|(file, text)| (file.as_str(), text.as_str()))
            .collect();
        let slugs = own
            .iter()
            .map(|(file, text)| Ok(read(file, text)?.slug))
            .collect::<Result<Vec<String>, CatalogueError>>()?;
        let mut files = Vec::new();
        let mut left_out = Vec::new();
        for (file, text) in BUILT_IN {
            let slug = read(file, text)?.slug;
            if without.contains(&slug) {
                left_out.push(slug);
            } else if !slugs.contains(&slug) {
                files.push((*file, *text));
            }
        }
        if let Some(name) = without.iter().find(|name| !left_out.contains(name)) {
            return Err(CatalogueError::LeftOut { name: name.clone() });
        }
        files.extend(own);
        Self::parse(&files)
    }

    /// Reads model files: name and text of each. The version is a hash of the price list that they make.
    ///
    /// # Errors
    /// When a file does not hold together, or two claim one name.
    pub fn parse(files: &[(&str, &str)]) -> Result<Self, CatalogueError> {
        let mut models = Vec::with_capacity(files.len());
        let mut by_name = HashMap::new();
        for (file, text) in files {
            let model = read(file, text)?;
            let invalid = |problem| CatalogueError::Invalid {
                file: (*file).to_owned(),
                problem,
            };
            model.check().map_err(invalid)?;
            let is_default = |other: &&Model| other.default && other.route == model.route;
            if model.default
                && let Some(other) = models.iter().find(is_default)
            {
                return Err(invalid(format!(
                    "{} is the default of {} already",
                    other.slug, model.route
                )));
            }
            let taken = model.names().find(|name| by_name.contains_key(*name));
            if let Some(name) = taken {
                return Err(invalid(format!(
                    "the name {name} is taken by another model"
                )));
            }
            by_name.extend(model.names().map(|name| (name.to_owned(), models.len())));
            models.push(model);
        }
        check_origins(&models, &by_name, files)?;
        // Names of succeeded models lead to their successors, never further.
        for (model, (file, _)) in models.iter().zip(files) {
            let Some(name) = &model.successor else {
                continue;
            };
            let index = by_name.get(name).copied();
            let next = index.and_then(|index| models.get(index));
            let live = next.filter(|next| next.status == Status::Live && next.route == model.route);
            let (Some(index), Some(_)) = (index, live) else {
                return Err(CatalogueError::Invalid {
                    file: (*file).to_owned(),
                    problem: format!(
                        "the successor {name} is not a live model of {}",
                        model.route
                    ),
                });
            };
            by_name.extend(model.names().map(|name| (name.to_owned(), index)));
        }
        let list = list::join(files)?;
        Ok(Self {
            models,
            by_name,
            version: list::version(&list),
            list,
        })
    }

    /// Reads a price list, as [`Catalogue::list`] gives it out.
    ///
    /// # Errors
    /// When it is not one, or a file in it does not hold together.
    pub fn from_list(list: &str) -> Result<Self, CatalogueError> {
        Self::parse(&list::split(list)?)
    }

    /// Every model, in the order of the files.
    pub fn models(&self) -> &[Model] {
        &self.models
    }

    /// Finds a model by its slug or an alias; of a succeeded model, its successor.
    pub fn find(&self, name: &str) -> Option<&Model> {
        self.by_name
            .get(name)
            .and_then(|index| self.models.get(*index))
    }

    /// The name of the model that requests to a route mean which name none, if there is one.
    pub fn unnamed(&self, route: &str) -> Option<&str> {
        let mut models = self.models.iter();
        let meant = models.find(|model| model.default && model.route == route)?;
        Some(&meant.slug)
    }

    /// The price list: the model files one after another, each behind a line with its name. Whoever has it can compute any price.
    pub fn list(&self) -> &str {
        &self.list
    }

    /// 16 hex digits, the first of the SHA-256 of the price list: equal catalogues have equal versions. Names the price list a hold was computed with.
    pub fn version(&self) -> &str {
        &self.version
    }
}

/// That an earlier task is one of a model that there is.
fn check_origins(
    models: &[Model],
    by_name: &HashMap<String, usize>,
    files: &[(&str, &str)],
) -> Result<(), CatalogueError> {
    for (model, (file, _)) in models.iter().zip(files) {
        for param in &model.params {
            let mut made_by = param.earlier().into_iter().flat_map(Earlier::models);
            if let Some(origin) = made_by.find(|origin| !by_name.contains_key(*origin)) {
                return Err(CatalogueError::Invalid {
                    file: (*file).to_owned(),
                    problem: format!("{} is a task of {origin}, which is no model", param.name),
                });
            }
            let made_by = param.earlier().into_iter().flat_map(Earlier::models);
            let mut asked: Vec<&Param> = Vec::new();
            for index in made_by.filter_map(|origin| by_name.get(origin)) {
                asked.extend(
                    models
                        .get(*index)
                        .into_iter()
                        .flat_map(|model| &model.params),
                );
            }
            let mut not = param.earlier().into_iter().flat_map(|earlier| &earlier.not);
            let never = not.find(|(name, value)| {
                let mut asked = asked.iter();
                !asked.any(|param| param.name == **name && param.may_be(value))
            });
            if let Some((name, value)) = never {
                return Err(CatalogueError::Invalid {
                    file: (*file).to_owned(),
                    problem: format!(
                        "{} is no task whose {name} is {value}, and none is",
                        param.name
                    ),
                });
            }
        }
    }
    Ok(())
}

fn read(file: &str, text: &str) -> Result<Model, CatalogueError> {
    toml::from_str(text).map_err(|source| CatalogueError::Parse {
        file: file.to_owned(),
        source,
    })
}

// === impl Model ===

impl Model {
    /// The model as customers see it in `GET /models` at a moment: the price in force, and those that are to come.
    pub fn listing(&self, at: Moment) -> Listing<'_> {
        let next = |price: &&Price| price.effective_from.is_some_and(|from| from > at);
        Listing {
            id: &self.slug,
            object: "model",
            created: self.created,
            owned_by: &self.owned_by,
            name: &self.name,
            category: self.category,
            route: &self.route,
            status: self.status,
            successor: self.successor.as_deref(),
            notice: self.notice.as_deref(),
            parameters: self.params.iter().filter(|param| !param.ours).collect(),
            rules: &self.rules,
            price: self.price_at(at),
            next_prices: self.prices().filter(next).collect(),
            deadline_seconds: self.deadline_seconds,
            webhook: self.webhook,
            cancel: self.cancel,
            chat: self.chat.as_ref(),
            embedding: self.embedding.as_ref(),
        }
    }
}

#[cfg(test)]
mod tests;
