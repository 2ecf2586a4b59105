//! `/playground`: every model tried in the browser, with its price before and its output in place. The page's script calls the API
//! itself, with a key that lives for minutes; without the script the form says what a request costs.

mod form;
mod key;

use std::{collections::BTreeMap, sync::Arc};

use askama::Template;
use axum::{
    Form as Body, Json,
    extract::{Path, State},
    response::{IntoResponse as _, Redirect},
    routing::{get, post},
};
use domain::catalogue::{CHAT_ROUTE, Category, Model, Status};
use http::{StatusCode, Uri};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use self::form::{Beginning, Form};
use super::Frame;
use crate::{
    Site,
    calculator::{self, Calculator},
    examples::{self, Example},
    now,
    page::Page,
    pages::texts::asked,
    refused::{Answer, Refused},
    router::Row,
    view::{CATEGORIES, View, credits},
    who::Member,
};

/// The path of the part.
const PART: &str = "/playground";

/// Its URLs.
pub(crate) const ROUTES: &[Row] = &[
    (PART, || get(index)),
    ("/playground/key", || post(key::make)),
    ("/playground/code", || post(code)),
    ("/playground/{*slug}", || get(page)),
];

/// What the script sends for a request to be written in four languages.
#[derive(Deserialize)]
struct Wanted {
    model: String,
    /// The request's body: JSON.
    body: String,
}

#[derive(Template)]
#[template(path = "app/playground/index.html")]
struct Index<'s> {
    frame: Frame<'s>,
    /// The category's word and name, and its models.
    groups: Vec<(&'static str, &'static str, Vec<View<'s>>)>,
}

#[derive(Template)]
#[template(path = "app/playground/model.html")]
struct Html<'s> {
    frame: Frame<'s>,
    view: View<'s>,
    shape: Shape,
    form: Form,
    /// What a message begins with, where the model talks, or a text.
    question: String,
    /// The most tokens of an answer, where it has tokens.
    most_output: u64,
    usual_output: u64,
    /// Of the price that the calculator knows and no parameter is: how long a text is, or a sound.
    measures: Vec<calculator::Field>,
    /// What the price is for, where such things decide it.
    measured: String,
    price: Price,
    examples: Vec<Example>,
}

/// What a request is like, and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// A conversation.
    Chat,
    /// Texts in, vectors out.
    Embedding,
    /// Parameters in, files out.
    Task,
}

/// What the form's request costs.
enum Price {
    Known(String),
    /// Such a request is refused.
    Refused(Vec<String>),
}

/// Every model, by what it makes.
async fn index(State(site): State<Arc<Site>>, member: Member) -> Answer {
    let at = now();
    let of = |category: Category| {
        let models = site.catalogue.models().iter();
        let live = models.filter(move |model| model.category == category && is_live(model));
        live.map(|model| View::new(model, at)).collect::<Vec<_>>()
    };
    let groups = CATEGORIES.map(|(category, word, name)| (word, name, of(category)));
    let groups = groups.into_iter().filter(|(.., models)| !models.is_empty());
    let html = Index {
        frame: Frame::new(&site, &member, PART, "Playground"),
        groups: groups.collect(),
    };
    Ok(Page::html(&html).into_response())
}

/// One model.
async fn page(
    State(site): State<Arc<Site>>,
    member: Member,
    Path(slug): Path<String>,
    uri: Uri,
) -> Answer {
    let Some(model) = site.model(&slug).filter(|model| is_live(model)) else {
        // Another name of a model, or one that another serves now.
        let found = site.catalogue.find(&slug);
        let model = found.ok_or_else(|| no_model(&slug))?;
        return Ok(Redirect::to(&format!("{PART}/{}", model.slug)).into_response());
    };
    let at = now();
    let asked: BTreeMap<String, String> = asked(&uri).into_iter().collect();
    let calculator = Calculator::of(model, &asked, at);
    let priced: Vec<&str> = calculator
        .fields()
        .iter()
        .map(|field| field.name.as_str())
        .collect();
    let frame = Frame::new(&site, &member, PART, format!("{} · Playground", model.name));
    let example = examples::body(model);
    let beginning = Beginning {
        example: &example,
        asked: &asked,
        priced: &priced,
        mode: member.view().mode,
    };
    let (usual_output, most_output) = model
        .chat
        .map_or((0, 0), |chat| (chat.default_output_bound, chat.max_output));
    let measures = measures(model, &calculator);
    let html = Html {
        view: View::new(model, at),
        shape: Shape::of(model),
        form: Form::of(model, &beginning),
        question: question(&example),
        most_output,
        usual_output,
        measured: measured(&measures),
        measures,
        price: Price::of(&calculator),
        examples: examples::of(model, &example, &site.base_url()),
        frame,
    };
    Ok(Page::html(&html).into_response())
}

/// `POST /playground/code`: any request in four languages, for the page's script.
async fn code(
    State(site): State<Arc<Site>>,
    _member: Member,
    Body(wanted): Body<Wanted>,
) -> Answer {
    let most = site.config.playground.code_bytes;
    if wanted.body.len() > most {
        let told = format!("A request of more than {most} bytes is not shown as code.");
        return Err(Refused::new(StatusCode::PAYLOAD_TOO_LARGE, told));
    }
    let model = site.catalogue.find(&wanted.model);
    let model = model.ok_or_else(|| no_model(&wanted.model))?;
    let body: Map<String, Value> = serde_json::from_str(&wanted.body).map_err(|_| {
        Refused::new(
            StatusCode::BAD_REQUEST,
            "The body of a request is a JSON object.",
        )
    })?;
    let examples = examples::of(model, &body, &site.base_url());
    let told = examples.iter().map(|example| {
        let Example { language, code, .. } = example;
        json!({"language": language, "code": code})
    });
    Ok(Json(told.collect::<Value>()).into_response())
}

fn no_model(name: &str) -> Refused {
    let told = format!("There is no model {name:?}. The playground lists all of them.");
    Refused::new(StatusCode::NOT_FOUND, told)
}

fn is_live(model: &Model) -> bool {
    model.status == Status::Live
}

/// What an example says to a model.
fn question(example: &Map<String, Value>) -> String {
    let said = example.get("input").or_else(|| {
        let first = example.get("messages")?.get(0)?;
        first.get("content")
    });
    said.and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// What the calculator asks for that is no parameter of a request.
fn measures(model: &Model, calculator: &Calculator) -> Vec<calculator::Field> {
    let is_sent = |name: &str| {
        let mut params = model.params.iter();
        params.any(|param| param.name == name && !param.ours)
    };
    let fields = calculator.fields().iter();
    fields
        .filter(|field| !is_sent(&field.name))
        .cloned()
        .collect()
}

/// `tokens of input: 1000 · tokens of output: 500`.
fn measured(measures: &[calculator::Field]) -> String {
    let some = measures.iter().filter(|field| !field.is("0"));
    let said: Vec<String> = some
        .map(|field| format!("{}: {}", field.label, field.value))
        .collect();
    said.join(" · ")
}

// === impl Html ===

impl Html<'_> {
    /// What the sandbox looks for its directives in.
    fn steered_by(&self) -> &'static str {
        match (self.shape, self.view.category()) {
            (Shape::Chat, _) => "message",
            (Shape::Task, "tool" | "transcription") => "address or the name of a file",
            (Shape::Task | Shape::Embedding, _) => "text",
        }
    }
}

// === impl Shape ===

impl Shape {
    fn of(model: &Model) -> Self {
        if model.route == CHAT_ROUTE {
            Self::Chat
        } else if model.category == Category::Embedding {
            Self::Embedding
        } else {
            Self::Task
        }
    }

    /// The word for scripts.
    const fn word(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Embedding => "embedding",
            Self::Task => "task",
        }
    }

    const fn is_chat(self) -> bool {
        matches!(self, Self::Chat)
    }

    const fn is_task(self) -> bool {
        matches!(self, Self::Task)
    }
}

// === impl Price ===

impl Price {
    fn of(calculator: &Calculator) -> Self {
        calculator.amount().map_or_else(
            || Self::Refused(calculator.problems().to_vec()),
            |amount| Self::Known(credits(amount)),
        )
    }
}
