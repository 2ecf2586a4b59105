//! The reference: the document that the API gives of itself, as Markdown. A page of all routes, a page for each group of them, and one of the
//! shapes that they name.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::markdown::anchor;

/// Where schemas are referred to.
const SCHEMAS: &str = "#/components/schemas/";
/// How schemas of models' parameters begin: those are on the models' own pages.
const OF_MODEL: &str = "model.";

/// A page of the reference.
pub(crate) struct Part {
    pub(crate) path: String,
    pub(crate) title: String,
    pub(crate) about: String,
    pub(crate) text: String,
}

/// An operation with its place.
struct Operation<'d> {
    method: String,
    path: &'d str,
    value: &'d Value,
}

/// Every page.
pub(crate) fn parts(document: &Value, public_url: &str) -> Vec<Part> {
    let operations = operations(document);
    let tags: Vec<(&str, &str)> = document
        .get("tags")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(|tag| (text(tag, "name"), text(tag, "description")))
        .collect();
    let mut index = format!(
        "# API reference\n\nMade of the document that the API serves as [`/api/v1/openapi.json`]({public_url}/api/v1/openapi.json) (OpenAPI 3.1). \
         {}\n",
        document
            .pointer("/info/description")
            .and_then(Value::as_str)
            .unwrap_or_default()
    );
    let mut parts = Vec::new();
    for (tag, about) in tags {
        let own = operations.iter().filter(|operation| operation.has(tag));
        let path = format!("api/{}", anchor(tag));
        let mut page = format!("# {tag}\n\n{about}\n");
        let _ = write!(
            index,
            "\n## {tag}\n\n{about}\n\n| route | what it does |\n| --- | --- |\n"
        );
        for operation in own {
            let (title, summary) = (operation.title(), text(operation.value, "summary"));
            let id = anchor(&title);
            let _ = writeln!(index, "| [`{title}`](/docs/{path}#{id}) | {summary} |");
            operation.write(&mut page);
        }
        parts.push(Part {
            path,
            title: format!("API: {tag}"),
            about: about.to_owned(),
            text: page,
        });
    }
    index.push_str(
        "\n## Shapes\n\nWhat requests and answers are made of: [every shape](/docs/api/shapes).\n",
    );
    parts.push(shapes(document));
    let about = "Every route: what it takes and what it answers.".to_owned();
    parts.insert(
        0,
        Part {
            path: "api".to_owned(),
            title: "API reference".to_owned(),
            about,
            text: index,
        },
    );
    parts
}

fn operations(document: &Value) -> Vec<Operation<'_>> {
    let paths = document.get("paths").and_then(Value::as_object);
    let mut all = Vec::new();
    for (path, item) in paths.into_iter().flatten() {
        for (method, value) in item.as_object().into_iter().flatten() {
            all.push(Operation {
                method: method.to_uppercase(),
                path,
                value,
            });
        }
    }
    all
}

/// The page of the shapes.
fn shapes(document: &Value) -> Part {
    let about = "What requests and answers are made of.";
    let mut page = format!(
        "# Shapes\n\n{about} The parameters of media models are on [their pages](/models).\n"
    );
    let schemas = document
        .pointer("/components/schemas")
        .and_then(Value::as_object);
    for (name, schema) in schemas.into_iter().flatten() {
        if name.starts_with(OF_MODEL) {
            continue;
        }
        let _ = write!(page, "\n## {name}\n\n");
        if let Some(about) = schema.get("description").and_then(Value::as_str) {
            let _ = write!(page, "{about}\n\n");
        }
        if schema.get("properties").is_some() {
            write_fields(&mut page, schema);
        } else {
            let _ = writeln!(page, "{}", kind(schema));
        }
    }
    Part {
        path: "api/shapes".to_owned(),
        title: "API: Shapes".to_owned(),
        about: about.to_owned(),
        text: page,
    }
}

/// A table of an object's fields.
fn write_fields(page: &mut String, schema: &Value) {
    let required = schema.get("required").and_then(Value::as_array);
    let is_required =
        |name: &str| required.is_some_and(|names| names.iter().any(|one| one == name));
    page.push_str("| field | type | what it is |\n| --- | --- | --- |\n");
    let fields = schema.get("properties").and_then(Value::as_object);
    for (name, field) in fields.into_iter().flatten() {
        let must = if is_required(name) { "" } else { ", optional" };
        let about = cell(text(field, "description"));
        let _ = writeln!(
            page,
            "| `{name}` | {}{must} | {about} |",
            cell(&kind(field))
        );
    }
}

/// What stands in a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// A schema in a few words, named ones as links.
fn kind(schema: &Value) -> String {
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        return named(reference.strip_prefix(SCHEMAS).unwrap_or(reference));
    }
    for word in ["oneOf", "anyOf"] {
        if let Some(options) = schema.get(word).and_then(Value::as_array) {
            let options: Vec<String> = options.iter().map(kind).collect();
            return options.join(" or ");
        }
    }
    if let Some(words) = schema.get("enum").and_then(Value::as_array) {
        let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
        return words.join(", ");
    }
    let types: Vec<&str> = match schema.get("type") {
        Some(Value::String(one)) => vec![one.as_str()],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        _ => return "anything".to_owned(),
    };
    let with_items = |kind: &&str| match (*kind, schema.get("items")) {
        ("array", Some(items)) => format!("list of {}", self::kind(items)),
        ("object", _) => answer(schema),
        (kind, _) => kind.to_owned(),
    };
    types
        .iter()
        .map(with_items)
        .collect::<Vec<_>>()
        .join(" or ")
}

/// An object without a name: our envelope by what is in it, any other by its fields.
fn answer(schema: &Value) -> String {
    let Some(fields) = schema.get("properties").and_then(Value::as_object) else {
        return "object".to_owned();
    };
    if let Some(items) = fields.get("items") {
        return format!("{}, by pages", kind(items));
    }
    match fields.get("data") {
        Some(data) if fields.contains_key("code") => kind(data),
        _ => {
            let names: Vec<String> = fields.keys().map(|name| format!("`{name}`")).collect();
            format!("object of {}", names.join(", "))
        }
    }
}

/// A link to a schema that has a name.
fn named(name: &str) -> String {
    match name.strip_prefix(OF_MODEL) {
        // What may not stand in the name of a schema is written as `_2F`; such a model has no link.
        Some(slug) if slug.contains('_') => format!("`{slug}`"),
        Some(slug) => format!("[{slug}](/models/{slug})"),
        None => format!("[{name}](/docs/api/shapes#{})", anchor(name)),
    }
}

// === impl Operation ===

impl Operation<'_> {
    fn title(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    fn has(&self, tag: &str) -> bool {
        let tags = self.value.get("tags").and_then(Value::as_array);
        tags.is_some_and(|tags| tags.iter().any(|own| own == tag))
    }

    fn write(&self, page: &mut String) {
        let (summary, about) = (text(self.value, "summary"), text(self.value, "description"));
        let _ = write!(page, "\n## {}\n\n{summary}. {about}\n", self.title());
        let parameters = self.value.get("parameters").and_then(Value::as_array);
        if let Some(parameters) = parameters.filter(|parameters| !parameters.is_empty()) {
            page.push_str("\n| parameter | in | what it is |\n| --- | --- | --- |\n");
            for parameter in parameters {
                let (name, place) = (text(parameter, "name"), text(parameter, "in"));
                let about = cell(text(parameter, "description"));
                let _ = writeln!(page, "| `{name}` | {place} | {about} |");
            }
        }
        let body = self.value.pointer("/requestBody/content");
        for (media, content) in body.and_then(Value::as_object).into_iter().flatten() {
            let schema = content.get("schema").map(kind).unwrap_or_default();
            let _ = write!(page, "\n**Body** (`{media}`): {schema}\n");
        }
        let answers = self.value.get("responses").and_then(Value::as_object);
        self.write_answers(page, answers);
    }

    fn write_answers(&self, page: &mut String, answers: Option<&Map<String, Value>>) {
        page.push_str("\n| answer | what it is |\n| --- | --- |\n");
        for (status, answer) in answers.into_iter().flatten() {
            let content = answer.get("content").and_then(Value::as_object);
            let mut shapes: Vec<String> = Vec::new();
            for (media, content) in content.into_iter().flatten() {
                let schema = content.get("schema").map(kind).unwrap_or_default();
                shapes.push(if media == "application/json" {
                    schema
                } else {
                    format!("`{media}`")
                });
            }
            let about = text(answer, "description");
            let _ = writeln!(page, "| {status} | {about} {} |", cell(&shapes.join("; ")));
        }
    }
}
