//! One route of the document: what is told of it becomes an operation.

use domain::Catalogue;
use http::Method;
use utoipa::openapi::{
    ContentBuilder, HttpMethod, ObjectBuilder, RefOr, Required, ResponseBuilder, Schema,
    SecurityRequirement, Type,
    path::{Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn},
    request_body::{RequestBody, RequestBodyBuilder},
    schema::ArrayBuilder,
};

use super::{
    answers::{AnthropicError, Error, Task},
    models,
    shapes::{self, Shape, Shapes},
    table::{Doc, Gives, Made, Query, Takes},
};
use crate::{
    http::{images::Pictures, media::Accepted, transcriptions::Told},
    router::Access,
};

/// The two ways to show a key.
pub(super) const BEARER: &str = "bearer";
pub(super) const HEADER: &str = "x-api-key";

const JSON: &str = "application/json";
/// The word of an envelope, and that of Suno's routes for pictures.
const MESSAGE: &str = "message";
const MSG: &str = "msg";
const FORM: &str = "multipart/form-data";
const EVENTS: &str = "text/event-stream";
/// Whatever the file is.
const BYTES: &str = "*/*";

/// Headers that every paid request takes.
const PAID: [(&str, &str); 2] = [
    (
        "Idempotency-Key",
        "Makes the request safe to repeat for 24 hours: the same answer, charged once.",
    ),
    (
        "x-aio-max-cost-credits",
        "The most that the request may cost; nothing is held where it can cost more.",
    ),
];

/// What is told of a route.
pub(super) fn of(
    doc: &Doc,
    access: Access,
    catalogue: &Catalogue,
    shapes: &mut Shapes,
) -> Operation {
    let mut operation = OperationBuilder::new()
        .operation_id(Some(name(doc)))
        .tag(doc.tag)
        .summary(Some(doc.summary))
        .description(Some(needs(access)))
        .securities(Some(security(access)))
        .request_body(body(doc, catalogue, shapes));
    for parameter in parameters(doc) {
        operation = operation.parameter(parameter);
    }
    for (status, response) in responses(doc, shapes) {
        operation = operation.response(status, response);
    }
    operation.build()
}

/// A method as the document has it.
pub(super) fn method(method: &Method) -> HttpMethod {
    match *method {
        Method::POST => HttpMethod::Post,
        Method::PUT => HttpMethod::Put,
        Method::PATCH => HttpMethod::Patch,
        Method::DELETE => HttpMethod::Delete,
        _ => HttpMethod::Get,
    }
}

/// What the operation is called in programs that are made from the document: `getTasksId`.
fn name(doc: &Doc) -> String {
    let words = doc.path.split(|c: char| !c.is_ascii_alphanumeric());
    words.fold(doc.method.as_str().to_ascii_lowercase(), |name, word| {
        let (first, rest) = word.split_at(word.len().min(1));
        name + &first.to_ascii_uppercase() + rest
    })
}

fn needs(access: Access) -> String {
    match access {
        Access::Open | Access::Public => "Needs no key.".to_owned(),
        Access::Key => "Needs a key.".to_owned(),
        Access::Scope(scope) => format!("Needs a key with scope `{}`.", scope.as_str()),
        Access::Either(one, other) => {
            format!(
                "Needs a key with scope `{}` or `{}`.",
                one.as_str(),
                other.as_str()
            )
        }
        Access::Link => {
            "Needs the signed link as it was given, or a key with scope `read`.".to_owned()
        }
        Access::LinkOr(one, other) => format!(
            "Needs a signed link, or a key with scope `{}` or `{}`.",
            one.as_str(),
            other.as_str()
        ),
        Access::Signed => "Needs no key: the request itself is signed.".to_owned(),
        Access::Capability => {
            "Needs no key: its path is known to whom we told it alone.".to_owned()
        }
    }
}

fn security(access: Access) -> Vec<SecurityRequirement> {
    let none: [&str; 0] = [];
    let key = [BEARER, HEADER].map(|scheme| SecurityRequirement::new(scheme, none));
    match access {
        Access::Open | Access::Public | Access::Signed | Access::Capability => Vec::new(),
        Access::Key | Access::Scope(_) | Access::Either(..) => key.into(),
        Access::Link | Access::LinkOr(..) => key
            .into_iter()
            .chain([SecurityRequirement::default()])
            .collect(),
    }
}

/// What varies in the path, the query, and headers.
fn parameters(doc: &Doc) -> Vec<Parameter> {
    let in_path = doc.path.split('/').filter_map(|segment| {
        let name = segment.strip_prefix('{')?.strip_suffix('}')?;
        Some(parameter(name.trim_start_matches('*'), ParameterIn::Path))
    });
    let in_query = doc.query.iter().map(|Query(name, about)| {
        let parameter = parameter(name, ParameterIn::Query);
        parameter.description(Some(*about))
    });
    let headers = if doc.paid { &PAID[..] } else { &[] };
    let in_headers = headers.iter().map(|(name, about)| {
        let parameter = parameter(name, ParameterIn::Header);
        parameter.description(Some(*about))
    });
    let wait = matches!(
        doc.gives,
        Gives::Accepted | Gives::AcceptedAs(..) | Gives::AcceptedOr(_)
    )
    .then(|| {
        let parameter = parameter("Prefer", ParameterIn::Header);
        parameter.description(Some(
            "`wait=N`: waits up to N seconds for the task's end, and answers with it.",
        ))
    });
    in_path
        .chain(in_query)
        .chain(in_headers)
        .chain(wait)
        .map(ParameterBuilder::build)
        .collect()
}

fn parameter(name: &str, place: ParameterIn) -> ParameterBuilder {
    let required = match place {
        ParameterIn::Path => Required::True,
        ParameterIn::Query
        | ParameterIn::Header
        | ParameterIn::Cookie
        | ParameterIn::QueryString => Required::False,
    };
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(required)
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
}

fn body(doc: &Doc, catalogue: &Catalogue, shapes: &mut Shapes) -> Option<RequestBody> {
    let (content_type, schema, required) = match doc.takes {
        Takes::Nothing => return None,
        Takes::Json(shape) => (JSON, shape(shapes), Required::True),
        Takes::Perhaps(shape) => (JSON, shape(shapes), Required::False),
        Takes::Form(shape) => (FORM, shape(shapes), Required::True),
        Takes::Anything => (JSON, ObjectBuilder::new().into(), Required::True),
        Takes::Models | Takes::ModelsOrForm(_) => {
            let route = doc.path.trim_start_matches('/');
            (
                JSON,
                models::of_route(catalogue, route, shapes),
                Required::True,
            )
        }
    };
    let content = |schema| ContentBuilder::new().schema(Some(schema)).build();
    let mut body = RequestBodyBuilder::new().content(content_type, content(schema));
    if let Takes::ModelsOrForm(shape) = doc.takes {
        body = body.content(FORM, content(shape(shapes)));
    }
    Some(body.required(Some(required)).build())
}

/// What comes back, by status.
fn responses(
    doc: &Doc,
    shapes: &mut Shapes,
) -> Vec<(&'static str, RefOr<utoipa::openapi::Response>)> {
    let mut given = match doc.gives {
        Gives::Data(status, shape) => vec![(status, json(enveloped(shape(shapes))))],
        Gives::Page(status, shape) => vec![(status, json(enveloped(page(shape(shapes)))))],
        Gives::Told(shape) => vec![("200", json(around(shape(shapes), MSG)))],
        Gives::Bare(status, shape) => vec![(status, json(shape(shapes)))],
        Gives::Streamed(shape) => vec![("200", json(shape(shapes)).content(EVENTS, text()))],
        Gives::Table(shape) => vec![(
            "200",
            json(enveloped(shape(shapes))).content("text/csv", text()),
        )],
        Gives::Accepted => accepted(shapes, None),
        Gives::AcceptedOr(Made::Pictures) => accepted(shapes, Some(shapes::of::<Pictures>)),
        Gives::AcceptedOr(Made::Sound) => sounding(accepted(shapes, None)),
        Gives::AcceptedOr(Made::Transcript) => {
            transcribing(accepted(shapes, Some(shapes::of::<Told<'_>>)))
        }
        Gives::AcceptedAs(taken, stands) => vec![
            ("202", json(around(taken(shapes), MSG))),
            ("200", json(around(stands(shapes), MSG))),
        ],
        Gives::Events => vec![
            ("200", ResponseBuilder::new().content(EVENTS, text())),
            ("204", ResponseBuilder::new()),
        ],
        Gives::Bytes => vec![
            ("200", ResponseBuilder::new().content(BYTES, binary())),
            ("206", ResponseBuilder::new().content(BYTES, binary())),
            ("304", ResponseBuilder::new()),
        ],
        Gives::Elsewhere => vec![("303", ResponseBuilder::new())],
    };
    let failure = if doc.path.starts_with("/messages") {
        shapes::of::<AnthropicError>(shapes)
    } else {
        shapes::of::<Error>(shapes)
    };
    for range in ["4XX", "5XX"] {
        given.push((range, json(failure.clone())));
    }
    given
        .into_iter()
        .map(|(status, response)| {
            (
                status,
                RefOr::T(response.description(meaning(status)).build()),
            )
        })
        .collect()
}

/// A submit: accepted, or ended where the customer would wait.
fn accepted(shapes: &mut Shapes, pictures: Option<Shape>) -> Vec<(&'static str, ResponseBuilder)> {
    let ended = enveloped(shapes::of::<Task>(shapes));
    let ended = match pictures {
        None => ended,
        Some(pictures) => one_of([ended, pictures(shapes)]),
    };
    let accepted = enveloped(shapes::of::<Accepted>(shapes));
    vec![("202", json(accepted)), ("200", json(ended))]
}

/// Where the sound itself may be the answer.
fn sounding(answers: Vec<(&'static str, ResponseBuilder)>) -> Vec<(&'static str, ResponseBuilder)> {
    let answers = answers.into_iter();
    let sounding = answers.map(|(status, answer)| match status {
        "200" => {
            let answer = answer.content("audio/*", binary());
            (status, answer.content(EVENTS, text()))
        }
        _ => (status, answer),
    });
    sounding.collect()
}

/// Where what is said may be the answer, as a text.
fn transcribing(
    answers: Vec<(&'static str, ResponseBuilder)>,
) -> Vec<(&'static str, ResponseBuilder)> {
    let texts = |(status, answer): (&'static str, ResponseBuilder)| match status {
        "200" => {
            let kinds = ["text/plain", "application/x-subrip", "text/vtt", EVENTS];
            let answer = kinds
                .into_iter()
                .fold(answer, |answer, kind| answer.content(kind, text()));
            (status, answer)
        }
        _ => (status, answer),
    };
    answers.into_iter().map(texts).collect()
}

fn one_of(schemas: [RefOr<Schema>; 2]) -> RefOr<Schema> {
    let builder = utoipa::openapi::OneOfBuilder::new();
    schemas
        .into_iter()
        .fold(builder, |builder, schema| builder.item(schema))
        .into()
}

const fn meaning(status: &str) -> &'static str {
    match status.as_bytes() {
        b"200" => "Done.",
        b"201" => "Made.",
        b"202" => "Accepted: the task goes on by itself.",
        b"204" => "It has ended, and you have heard of it.",
        b"206" => "A part of it.",
        b"304" => "You have it.",
        b"4XX" => "The request cannot be served as it is.",
        _ => "Something failed that is not the request's fault.",
    }
}

fn json(schema: RefOr<Schema>) -> ResponseBuilder {
    ResponseBuilder::new().content(JSON, ContentBuilder::new().schema(Some(schema)).build())
}

fn text() -> utoipa::openapi::Content {
    let schema = ObjectBuilder::new().schema_type(Type::String);
    ContentBuilder::new().schema(Some(schema)).build()
}

/// Bytes need no schema (OpenAPI 3.1).
fn binary() -> utoipa::openapi::Content {
    ContentBuilder::new().build()
}

/// The envelope of our own routes.
fn enveloped(data: RefOr<Schema>) -> RefOr<Schema> {
    around(data, MESSAGE)
}

/// An envelope whose word has this name.
fn around(data: RefOr<Schema>, name: &str) -> RefOr<Schema> {
    let word = ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(["success"]));
    let code = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .enum_values(Some([200]));
    ObjectBuilder::new()
        .property("code", code)
        .required("code")
        .property(name, word)
        .required(name)
        .property("data", data)
        .required("data")
        .into()
}

/// A page of a list.
fn page(item: RefOr<Schema>) -> RefOr<Schema> {
    let cursor = ObjectBuilder::new()
        .schema_type(utoipa::openapi::schema::SchemaType::Array(vec![
            Type::String,
            Type::Null,
        ]))
        .description(Some(
            "The `cursor` of the next page; `null`: there is none.",
        ));
    ObjectBuilder::new()
        .property("items", ArrayBuilder::new().items(item))
        .required("items")
        .property("next_cursor", cursor)
        .required("next_cursor")
        .into()
}
