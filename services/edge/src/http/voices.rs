//! `GET /audio/voices`: whom the models that speak can sound like, as the catalogue has it.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use domain::catalogue::Model;
use http::{StatusCode, Uri};
use proto::Fault;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    App,
    auth::{AnyKey, Scoped},
    error::ApiError,
    http::{
        query::{List, Params},
        speech, success,
    },
};

/// The route of the models that speak.
const SPEECH: &str = "audio/speech";

/// A voice of a model.
#[derive(Serialize, ToSchema)]
pub(crate) struct Voice<'m> {
    /// What a request calls it: its `voice`, or the `id` in it.
    #[schema(example = "Sarah")]
    id: &'m str,
    name: &'m str,
    /// The model that has it.
    model: &'m str,
    /// Whether it is meant where a request names none.
    default: bool,
    /// Other words that mean it.
    aliases: Vec<&'m str>,
}

/// The voices of all models that the key may use, or of one of them.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    caller: Scoped<AnyKey>,
    uri: Uri,
) -> Result<Response, ApiError> {
    let mut query = Params::parse(&uri);
    let named = query.take("model");
    query.finish()?;
    let allowed = &caller.identity.models;
    let items: Vec<Voice<'_>> = match named {
        Some(name) => {
            let model = app.catalogue.choose(SPEECH, &name, allowed);
            of(model.map_err(Fault::from)?).collect()
        }
        None => {
            let here = |model: &&Model| model.route == SPEECH && model.allowed_by(allowed);
            let models = app.catalogue.models().iter();
            models.filter(here).flat_map(of).collect()
        }
    };
    success(StatusCode::OK, &List::whole(items))
}

/// The voices of a model.
fn of(model: &Model) -> impl Iterator<Item = Voice<'_>> {
    let voices = speech::voices(model).into_iter();
    voices.flat_map(move |voices| {
        voices.words.iter().map(move |word| Voice {
            id: word,
            name: word,
            model: &model.slug,
            default: voices.usual == Some(word.as_str()),
            aliases: voices.others(word).collect(),
        })
    })
}

#[cfg(test)]
mod tests {
    use domain::Catalogue;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_voice_has_its_other_words() {
        let catalogue = Catalogue::built_in().unwrap();
        let voices = |slug: &str| -> Vec<Value> {
            let model = catalogue.find(slug).unwrap();
            of(model).map(|voice| json!(voice)).collect()
        };
        let eleven = voices("elevenlabs-v3");
        assert_eq!(eleven.len(), 18);
        assert_eq!(
            eleven[0],
            json!({"id": "Sarah", "name": "Sarah", "model": "elevenlabs-v3", "default": true,
                   "aliases": ["EXAVITQu4vr4xnSDxMaL"]})
        );
        let jessica = eleven
            .iter()
            .find(|voice| voice["id"] == "Jessica")
            .unwrap();
        assert_eq!(jessica["default"], false);
        assert_eq!(
            jessica["aliases"],
            json!(["cgSgspJ2msm6clMCkdW9", "nova", "user"])
        );
        // Each of OpenAI's names means one.
        let names: Vec<&str> = catalogue
            .find("gpt-4o-mini-tts")
            .and_then(speech::voices)
            .map(|voices| voices.words.iter().map(String::as_str).collect())
            .unwrap();
        assert_eq!(names.len(), 13);
        for name in names {
            let has = |voice: &&Value| voice["aliases"].as_array().unwrap().contains(&json!(name));
            assert_eq!(eleven.iter().filter(has).count(), 1, "{name}");
        }
        assert!(
            voices("tts-1")
                .iter()
                .all(|voice| voice["aliases"] == json!([]))
        );
        assert!(voices("suno").is_empty());
    }
}
