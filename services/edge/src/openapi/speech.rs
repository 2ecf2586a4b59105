//! What the route of speech takes in OpenAI's shape, where a model's parameters alone do not say it.

use domain::{
    Catalogue,
    catalogue::{Model, Param, ParamType},
};
use utoipa::openapi::{ObjectBuilder, OneOfBuilder, RefOr, Schema, Type};

use super::{
    bodies::SpeechRequest,
    models::{VARIANT, names, words},
    shapes::Shapes,
};

/// The route.
pub(super) const ROUTE: &str = "audio/speech";
/// The parameter of a model whose requests are in OpenAI's shape, whatever else they have.
const INPUT: &str = "input";
const VOICE: &str = "voice";
const FORMAT: &str = "response_format";
/// The format that samples are taken from, and what they are called.
const OF_SAMPLES: &str = "wav";
const SAMPLES: &str = "pcm";

/// Whether every request of a model is in OpenAI's shape.
fn is_plain(model: &Model) -> bool {
    model.route == ROUTE && model.params.iter().any(|param| param.name == INPUT)
}

/// A request in OpenAI's shape of a model that takes others as well.
pub(super) fn other(catalogue: &Catalogue, shapes: &mut Shapes) -> RefOr<Schema> {
    let takes_others = |model: &&Model| model.route == ROUTE && !is_plain(model);
    let models = catalogue.models().iter().filter(takes_others);
    let named: Vec<&str> = models.flat_map(names).collect();
    let mut object = ObjectBuilder::new().description(Some(
        "A request of OpenAI's speech API: answered with the sound itself, while it is made or once it is.",
    ));
    for (field, schema) in shapes.fields_of::<SpeechRequest>() {
        object = if field == VARIANT {
            object.property(field, words(named.iter().copied()))
        } else {
            object.property(field, schema)
        };
    }
    let object = object.required(VARIANT).required(INPUT);
    shapes.put("SpeechRequest", object.into())
}

/// The same of a model that takes no others: what its parameters do not say.
pub(super) fn added(model: &Model, mut object: ObjectBuilder) -> ObjectBuilder {
    if !is_plain(model) {
        return object;
    }
    for param in &model.params {
        let ParamType::Choice { values, also } = &param.of else {
            continue;
        };
        let own = values.iter().chain(also.keys()).map(String::as_str);
        object = match param.name.as_str() {
            VOICE => object.property(VOICE, voice(own.collect(), param)),
            FORMAT => {
                let has_samples = values.iter().any(|word| word == OF_SAMPLES);
                let own = own.chain(has_samples.then_some(SAMPLES));
                object.property(FORMAT, words(own).default(param.default.clone()))
            }
            _ => object,
        };
    }
    object.property("stream_format", words(["audio", "sse"]))
}

/// A voice's word, or an object with it.
fn voice(own: Vec<&str>, param: &Param) -> RefOr<Schema> {
    let named = ObjectBuilder::new()
        .schema_type(Type::Object)
        .property("id", words(own.iter().copied()))
        .required("id");
    OneOfBuilder::new()
        .item(words(own.iter().copied()).default(param.default.clone()))
        .item(named)
        .into()
}
