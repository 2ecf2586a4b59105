//! What media models take, as schemas: the catalogue's parameters in the words of JSON Schema.

use domain::{
    Catalogue,
    catalogue::{Category, Longer, Medium, Model, Param, ParamType},
};
use utoipa::openapi::{
    ArrayBuilder, ObjectBuilder, OneOfBuilder, RefOr, Schema, SchemaFormat, Type,
    extensions::ExtensionsBuilder,
    schema::{AdditionalProperties, SchemaType},
};

use super::{
    bodies::{ImageOptions, Tags, TaskOptions, TranscriptOptions},
    shapes::Shapes,
    speech,
};

/// The parameter whose words are models within a model.
pub(super) const VARIANT: &str = "model";

/// The schema's name. Of a slug, what may not stand in one (OpenAPI 3.1, components) is written as its number.
pub(super) fn name(model: &Model) -> String {
    let slug = model.slug.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' => char::from(byte).to_string(),
        _ => format!("_{byte:02X}"),
    });
    format!("model.{}", slug.collect::<String>())
}

/// Whether a model makes something that takes its time.
pub(super) const fn is_of_tasks(model: &Model) -> bool {
    match model.category {
        Category::Chat | Category::Embedding => false,
        Category::Image
        | Category::Video
        | Category::Music
        | Category::Speech
        | Category::Transcription
        | Category::Tool => true,
    }
}

/// What a route takes: one of its models' requests.
pub(super) fn of_route(catalogue: &Catalogue, route: &str, shapes: &mut Shapes) -> RefOr<Schema> {
    let here = |model: &&Model| is_of_tasks(model) && model.route == route;
    let mut one_of = OneOfBuilder::new();
    for model in catalogue.models().iter().filter(here) {
        let schema = request(model, shapes);
        one_of = one_of.item(shapes.put(&name(model), schema));
    }
    if route == speech::ROUTE {
        one_of = one_of.item(speech::other(catalogue, shapes));
    }
    one_of.into()
}

fn request(model: &Model, shapes: &mut Shapes) -> RefOr<Schema> {
    let mut object = ObjectBuilder::new()
        .title(Some(&model.name))
        .description(Some(about(model)))
        .property(VARIANT, words(names(model)));
    if !model.default {
        object = object.required(VARIANT);
    }
    let is_sent = |param: &&Param| param.name != VARIANT && !param.ours;
    for param in model.params.iter().filter(is_sent) {
        object = object.property(&param.name, schema(param));
        for alias in &param.aliases {
            object = object.property(alias, older(param));
        }
        if param.required && param.aliases.is_empty() {
            object = object.required(&param.name);
        }
    }
    let mut common = vec![shapes.fields_of::<Tags>()];
    if model.webhook {
        common.push(shapes.fields_of::<TaskOptions>());
    }
    if model.category == Category::Image {
        common.push(shapes.fields_of::<ImageOptions>());
    }
    if model.category == Category::Transcription {
        common.push(shapes.fields_of::<TranscriptOptions>());
    }
    for (field, schema) in common.into_iter().flatten() {
        if !model.params.iter().any(|param| param.name == field) {
            object = object.property(field, schema);
        }
    }
    object = speech::added(model, object);
    if !model.rules.is_empty() {
        let rules = ExtensionsBuilder::new().add("x-rules", serde_json::json!(model.rules));
        object = object.extensions(Some(rules.build()));
    }
    let nothing_else = AdditionalProperties::<Schema>::FreeForm(false);
    object.additional_properties(Some(nothing_else)).into()
}

/// What a model is called: its own name first.
pub(super) fn names(model: &Model) -> Vec<&str> {
    let own = std::iter::once(&model.slug).chain(&model.aliases);
    own.map(String::as_str)
        .chain(model.variants().map(|(name, _)| name))
        .collect()
}

fn about(model: &Model) -> String {
    let rules = if model.rules.is_empty() {
        ""
    } else {
        " What its parameters demand of one another is in `x-rules`, as in `GET /models/{id}`."
    };
    format!(
        "`{}` by {}: done, or failed and free, within {} s.{rules}",
        model.slug, model.owned_by, model.deadline_seconds
    )
}

pub(super) fn words<'a>(values: impl IntoIterator<Item = &'a str>) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(values))
}

/// A parameter under a spelling that is taken as well.
fn older(param: &Param) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(SchemaType::AnyValue)
        .description(Some(format!("The same as `{}`.", param.name)))
}

fn schema(param: &Param) -> RefOr<Schema> {
    let default = param.default.clone();
    match &param.of {
        ParamType::Text { min, max } => ObjectBuilder::new()
            .schema_type(Type::String)
            .min_length(Some(*min))
            .max_length((param.longer == Longer::Refused).then_some(*max))
            .default(default)
            .into(),
        ParamType::Choice { values, also } => {
            words(values.iter().chain(also.keys()).map(String::as_str))
                .default(default)
                .into()
        }
        ParamType::Integer { min, max } => ObjectBuilder::new()
            .schema_type(Type::Integer)
            .minimum(Some(whole(*min)))
            .maximum(Some(whole(*max)))
            .default(default)
            .into(),
        ParamType::Number { min, max } => ObjectBuilder::new()
            .schema_type(Type::Number)
            .minimum(Some(bound(min)))
            .maximum(Some(bound(max)))
            .default(default)
            .into(),
        ParamType::Boolean => ObjectBuilder::new()
            .schema_type(Type::Boolean)
            .default(default)
            .into(),
        ParamType::Url => url().default(default).into(),
        ParamType::Task(earlier) => {
            let made_by: Vec<String> = earlier.models().map(|name| format!("`{name}`")).collect();
            let made_by = made_by.join(" or ");
            ObjectBuilder::new()
                .schema_type(Type::String)
                .description(Some(format!("The id of a task that {made_by} completed.")))
                .into()
        }
        ParamType::Sound {
            min_seconds: min,
            max_seconds: max,
        } => ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some(format!(
                "{} of {min} to {max} seconds: the id of an uploaded file, or a URL where its seconds are not what is paid for.",
                param.kind.unwrap_or(Medium::Audio).name()
            )))
            .into(),
        ParamType::Urls { min, max } => ArrayBuilder::new()
            .items(RefOr::T(Schema::from(url())))
            .min_items(Some(*min))
            .max_items(Some(*max))
            .default(default)
            .into(),
        ParamType::Items { min, max, fields } => ArrayBuilder::new()
            .items(items(fields))
            .min_items(Some(*min))
            .max_items(Some(*max))
            .default(default)
            .into(),
    }
}

fn bound(number: &serde_json::Number) -> utoipa::Number {
    let real = || number.as_f64().unwrap_or_default().into();
    number
        .as_i64()
        .map_or_else(real, |number| whole(number).into())
}

fn whole(bound: i64) -> isize {
    isize::try_from(bound).unwrap_or(isize::MAX)
}

/// An address, or the id of an uploaded file.
fn url() -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::Custom("uri-reference".to_owned())))
}

fn items(fields: &[Param]) -> RefOr<Schema> {
    let mut object = ObjectBuilder::new();
    for field in fields {
        object = object.property(&field.name, schema(field));
        if field.required {
            object = object.required(&field.name);
        }
    }
    let nothing_else = AdditionalProperties::<Schema>::FreeForm(false);
    object.additional_properties(Some(nothing_else)).into()
}
