//! `GET /openapi.json`: the whole API as an OpenAPI 3.1 document, made once at the start: the routes from the table of the
//! router, what each takes and gives from `table`, what media models take from the catalogue (`models`). The black-box suite
//! compares every answer it gets with it.

mod answers;
mod bodies;
mod models;
mod operation;
mod shapes;
mod speech;
mod table;

use std::sync::Arc;

use axum::{
    extract::State,
    response::{Redirect, Response},
};
use bytes::Bytes;
use domain::Catalogue;
use http::StatusCode;
use utoipa::openapi::{
    ComponentsBuilder, InfoBuilder, LicenseBuilder, OpenApiBuilder, PathsBuilder, RefOr, Schema,
    Server,
    path::PathItem,
    security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
    tag::TagBuilder,
};

use self::{
    operation::{BEARER, HEADER},
    shapes::Shapes,
    table::Doc,
};
use crate::{App, http::json, router};

/// What the document says of itself.
const ABOUT: &str = "One key, one prepaid balance, for chat, images, videos, music, speech and tools. Chat is OpenAI's, and answers at \
                     once; everything else is a task to poll, to follow, or to be told of by a webhook.\n\nEvery answer has `x-request-id`, \
                     and what was paid for `x-aio-operation-id`. Amounts are credits, exact to six places; beside them the same \
                     amounts stand as integers in `*_microcredits`.";

/// What the groups of routes are about, in the order of the document.
const TAGS: [(&str, &str); 8] = [
    (
        "Chat",
        "Chat and embeddings, in OpenAI's and Anthropic's words.",
    ),
    (
        "Tasks",
        "Pictures, videos, sounds and tools: submit, look, follow, fetch.",
    ),
    ("Models", "What there is, and what it costs."),
    ("Files", "Uploads, to be named in requests."),
    ("Money", "Balance, usage, receipts, orders, redeem codes."),
    ("Keys", "API keys, and who changed them."),
    ("Webhooks", "Who is told what happens."),
    ("Operator", "Accounts, credit and books: scope `admin`."),
];

/// The document as JSON.
///
/// # Errors
/// Never in practice; serde's signature has one.
pub(crate) fn document(
    catalogue: &Catalogue,
    public_url: Option<&str>,
) -> Result<Bytes, serde_json::Error> {
    let mut shapes = Shapes::default();
    let mut paths = PathsBuilder::new().build();
    let docs = table::docs();
    for route in router::routes() {
        let is_it = |doc: &&Doc| doc.method == route.method && doc.path == route.path;
        let Some(doc) = docs.iter().find(is_it) else {
            continue;
        };
        let operation = operation::of(doc, route.access, catalogue, &mut shapes);
        let item = PathItem::new(operation::method(&route.method), operation);
        let path = route.path.replace("{*", "{");
        match paths.paths.get_mut(&path) {
            Some(known) => known.merge_operations(item),
            None => {
                paths.paths.insert(path, item);
            }
        }
    }
    let base = public_url.unwrap_or_default().trim_end_matches('/');
    let info = InfoBuilder::new()
        .title("API in One")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(ABOUT))
        .license(Some(
            LicenseBuilder::new()
                .name(env!("CARGO_PKG_LICENSE"))
                .build(),
        ));
    let tags = TAGS.map(|(name, about)| {
        TagBuilder::new()
            .name(name)
            .description(Some(about))
            .build()
    });
    let document = OpenApiBuilder::new()
        .info(info.build())
        .servers(Some([Server::new(format!("{base}/api/v1"))]))
        .paths(paths)
        .components(Some(components(shapes).build()))
        .tags(Some(tags))
        .build();
    serde_json::to_vec(&document).map(Bytes::from)
}

/// Every schema that was named, and the two ways to show a key.
fn components(shapes: Shapes) -> ComponentsBuilder {
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("aio_…");
    let header = ApiKey::Header(ApiKeyValue::new("x-api-key"));
    let named: Vec<(String, RefOr<Schema>)> = shapes.into_named();
    ComponentsBuilder::new()
        .schemas_from_iter(named)
        .security_scheme(BEARER, SecurityScheme::Http(bearer.build()))
        .security_scheme(HEADER, SecurityScheme::ApiKey(header))
}

/// `GET /openapi.json`.
pub(crate) async fn get(State(app): State<Arc<App>>) -> Response {
    json(StatusCode::OK, app.prepared.openapi.clone())
}

/// `GET /docs`: the pages of the dashboard, which stand on the same public origin, show the document to people.
pub(crate) async fn pages() -> Redirect {
    Redirect::to("/docs/api")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    fn whole() -> Value {
        let catalogue = Catalogue::built_in().unwrap();
        serde_json::from_slice(&document(&catalogue, None).unwrap()).unwrap()
    }

    #[test]
    fn every_route_is_described_and_nothing_else_is() {
        let words = |method: &http::Method, path: &str| format!("{method} {path}");
        let served: BTreeSet<String> = router::routes()
            .iter()
            .filter(|route| route.access != router::Access::Open)
            .map(|route| words(&route.method, route.path))
            .collect();
        let docs = table::docs();
        let described: BTreeSet<String> = docs
            .iter()
            .map(|doc| words(&doc.method, doc.path))
            .collect();
        assert_eq!(
            served, described,
            "left: the router, right: the table of the document"
        );
        assert_eq!(described.len(), docs.len(), "a route is described twice");
    }

    /// Every reference of a value.
    fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str));
                fields.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_schema_is_used() {
        let document = whole();
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        let schemas = document["components"]["schemas"].as_object().unwrap();
        let there: BTreeSet<String> = schemas
            .keys()
            .map(|name| format!("#/components/schemas/{name}"))
            .collect();
        let named: BTreeSet<String> = found.into_iter().map(str::to_owned).collect();
        assert_eq!(named, there, "left: referred to, right: there");
    }

    #[test]
    fn a_model_may_be_called_what_a_schema_may_not() {
        let text = include_str!("../../../crates/domain/catalogue/flux-2.toml");
        let text = text.replace("slug = \"flux-2\"", "slug = \"a/b:c\"");
        let catalogue = Catalogue::parse(&[("a.toml", &text)]).unwrap();
        let document: Value = serde_json::from_slice(&document(&catalogue, None).unwrap()).unwrap();
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        assert!(
            found.contains("#/components/schemas/model.a_2Fb_3Ac"),
            "{found:?}"
        );
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }

    #[test]
    fn operations_have_names_of_their_own_and_known_tags() {
        let document = whole();
        let mut names = BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let name = operation["operationId"].as_str().unwrap();
                assert!(names.insert(name), "{method} {path}: {name} is taken");
                let tag = operation["tags"][0].as_str().unwrap();
                assert!(TAGS.iter().any(|(known, _)| *known == tag), "{tag}");
            }
        }
    }

    #[test]
    fn every_media_model_is_one_of_its_routes_bodies() {
        let (document, catalogue) = (whole(), Catalogue::built_in().unwrap());
        for model in catalogue
            .models()
            .iter()
            .filter(|model| models::is_of_tasks(model))
        {
            let operation = &document["paths"][format!("/{}", model.route)]["post"];
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            let reference = format!("#/components/schemas/{}", models::name(model));
            let listed = schema["oneOf"].as_array().unwrap();
            assert!(
                listed.iter().any(|one| one["$ref"] == reference.as_str()),
                "{}",
                model.slug
            );
        }
    }
}
