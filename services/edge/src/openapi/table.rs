//! What is told of each route, beside what the router knows: a row for each, in the router's order.

mod operator;
mod own;
mod webhooks;

use http::Method;

use super::{
    answers::{ChatCompletion, Embeddings, Message, Model, ModelList, Response, Task, TokenCount},
    bodies::{
        ChatRequest, CountTokensRequest, EmbeddingsRequest, MessagesRequest, QuoteRequest,
        ResponsesRequest, TranscriptionForm, UploadForm,
    },
    shapes::{self, Shape},
};
use crate::http::{cover, lyrics, music, quote, responses, uploads, voices};

/// What is told of a route.
pub(super) struct Doc {
    pub(super) method: Method,
    /// As the router has it.
    pub(super) path: &'static str,
    pub(super) tag: &'static str,
    pub(super) summary: &'static str,
    pub(super) query: &'static [Query],
    /// Whether it takes the headers of paid requests.
    pub(super) paid: bool,
    pub(super) takes: Takes,
    pub(super) gives: Gives,
}

/// A parameter of the query: its name, and what it says.
pub(super) struct Query(pub(super) &'static str, pub(super) &'static str);

/// What a route takes as its body.
#[derive(Clone, Copy)]
pub(super) enum Takes {
    Nothing,
    Json(Shape),
    /// JSON, or nothing.
    Perhaps(Shape),
    Form(Shape),
    /// Somebody else's JSON.
    Anything,
    /// One of the requests of the route's models.
    Models,
    /// The same, or a form.
    ModelsOrForm(Shape),
}

/// What a route gives when all is well.
#[derive(Clone, Copy)]
pub(super) enum Gives {
    /// In our envelope.
    Data(&'static str, Shape),
    /// A page of them, in our envelope.
    Page(&'static str, Shape),
    /// In the envelope of Suno's routes for pictures.
    Told(Shape),
    /// As it is: in another API's shape.
    Bare(&'static str, Shape),
    /// As it is, or event by event.
    Streamed(Shape),
    /// In our envelope, or as a table.
    Table(Shape),
    /// A task.
    Accepted,
    /// A task, or what it made, as OpenAI answers.
    AcceptedOr(Made),
    /// A task, and how it stands, in the envelope of Suno's routes for pictures.
    AcceptedAs(Shape, Shape),
    /// A task, event by event.
    Events,
    /// A file.
    Bytes,
    /// Where to read on.
    Elsewhere,
}

/// What is given in the place of a task, to who asks as one asks OpenAI.
#[derive(Clone, Copy)]
pub(super) enum Made {
    Pictures,
    /// The sound itself.
    Sound,
    /// What is said in a recording, in one of several shapes.
    Transcript,
}

const PAGE: [Query; 2] = [
    Query("limit", "The most entries of the page."),
    Query("cursor", "The `next_cursor` of the page before."),
];

/// Every route that needs more than an address.
pub(super) fn docs() -> Vec<Doc> {
    [
        chat(),
        submits(),
        songs(),
        tasks(),
        models(),
        files(),
        own::credits(),
        own::usage(),
        own::orders(),
        own::keys(),
        webhooks::own(),
        operator::accounts(),
        operator::keys(),
        operator::books(),
        operator::tasks(),
        operator::codes(),
        webhooks::everybodys(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

const fn row(method: Method, path: &'static str, tag: &'static str, summary: &'static str) -> Doc {
    Doc {
        method,
        path,
        tag,
        summary,
        query: &[],
        paid: false,
        takes: Takes::Nothing,
        gives: Gives::Bytes,
    }
}

// === impl Doc ===

impl Doc {
    fn query(self, query: &'static [Query]) -> Self {
        Self { query, ..self }
    }

    fn paid(self) -> Self {
        Self { paid: true, ..self }
    }

    fn takes(self, takes: Takes) -> Self {
        Self { takes, ..self }
    }

    fn gives(self, gives: Gives) -> Self {
        Self { gives, ..self }
    }
}

fn chat() -> Vec<Doc> {
    let row = |method, path, summary| row(method, path, "Chat", summary);
    vec![
        row(
            Method::POST,
            "/chat/completions",
            "A chat completion, by OpenAI's API",
        )
        .paid()
        .takes(Takes::Json(shapes::of::<ChatRequest>))
        .gives(Gives::Streamed(shapes::of::<ChatCompletion>)),
        row(
            Method::POST,
            "/messages",
            "A chat completion, by Anthropic's API",
        )
        .paid()
        .takes(Takes::Json(shapes::of::<MessagesRequest>))
        .gives(Gives::Streamed(shapes::of::<Message>)),
        row(
            Method::POST,
            "/messages/count_tokens",
            "How many tokens a request has, by our own count; free",
        )
        .takes(Takes::Json(shapes::of::<CountTokensRequest>))
        .gives(Gives::Bare("200", shapes::of::<TokenCount>)),
        row(
            Method::POST,
            "/responses",
            "A chat completion, by OpenAI's Responses API",
        )
        .paid()
        .takes(Takes::Json(shapes::of::<ResponsesRequest>))
        .gives(Gives::Streamed(shapes::of::<Response>)),
        row(Method::GET, "/responses/{id}", "A response that is kept")
            .gives(Gives::Bare("200", shapes::of::<Response>)),
        row(Method::DELETE, "/responses/{id}", "Forgets a response")
            .gives(Gives::Bare("200", shapes::of::<responses::Deleted<'_>>)),
        row(Method::POST, "/embeddings", "Vectors, by OpenAI's API")
            .paid()
            .takes(Takes::Json(shapes::of::<EmbeddingsRequest>))
            .gives(Gives::Bare("200", shapes::of::<Embeddings>)),
    ]
}

/// A route that takes tasks.
fn submit(path: &'static str, summary: &'static str) -> Doc {
    row(Method::POST, path, "Tasks", summary)
        .paid()
        .takes(Takes::Models)
        .gives(Gives::Accepted)
}

fn submits() -> Vec<Doc> {
    vec![
        submit("/images/generations", "Submits a task that makes pictures")
            .gives(Gives::AcceptedOr(Made::Pictures)),
        submit("/videos/generations", "Submits a task that makes a video"),
        submit("/audio/speech", "Submits a task that speaks a text")
            .gives(Gives::AcceptedOr(Made::Sound)),
        submit(
            "/audio/transcriptions",
            "What is said in a recording, by OpenAI's API, or a task that finds it out",
        )
        .takes(Takes::ModelsOrForm(shapes::of::<TranscriptionForm>))
        .gives(Gives::AcceptedOr(Made::Transcript)),
        submit(
            "/videos/tools/bg-remover",
            "Submits a task that removes a video's background",
        ),
        submit(
            "/videos/tools/upscale",
            "Submits a task that makes a video larger",
        ),
        submit(
            "/images/tools/remove-bg",
            "Submits a task that removes a picture's background",
        ),
        submit(
            "/images/tools/upscale",
            "Submits a task that makes a picture larger",
        ),
        submit(
            "/images/tools/face-swap",
            "Submits a task that puts another face into a picture",
        ),
    ]
}

/// Songs, and what goes on from them, in the shapes of Suno's routes.
fn songs() -> Vec<Doc> {
    let row = |path, summary| row(Method::GET, path, "Tasks", summary);
    vec![
        submit("/audio/music", "Submits a task that makes music"),
        row(
            "/audio/music/feed",
            "A task that makes music, in the shape of Suno's routes",
        )
        .query(
            const {
                &[
                    Query("task_id", "The task."),
                    Query("workId", "The same, as it was called before."),
                ]
            },
        )
        .gives(Gives::Data("200", shapes::of::<music::Feed>)),
        submit(
            "/audio/music/extend",
            "Submits a task that goes on with a song",
        ),
        submit(
            "/audio/music/cover/generate",
            "Submits a task that makes pictures for a song, in the shape of Suno's routes",
        )
        .gives(Gives::AcceptedAs(
            shapes::of::<cover::Accepted>,
            shapes::of::<cover::Standing>,
        )),
        row(
            "/audio/music/cover/status",
            "A task that makes pictures for a song, in the shape of Suno's routes",
        )
        .query(const { &[Query("task_id", "The task."), Query("taskId", "The same.")] })
        .gives(Gives::Told(shapes::of::<cover::Standing>)),
        submit(
            "/audio/music/upload-cover/generate",
            "Submits a task that sings an uploaded sound anew",
        ),
        row(
            "/audio/music/upload-cover/status",
            "A task that sings an uploaded sound anew, in the shape of Suno's routes",
        )
        .query(const { &[Query("task_id", "The task."), Query("taskId", "The same.")] })
        .gives(Gives::Data("200", shapes::of::<music::UploadCover>)),
        submit(
            "/audio/music/timestamped-lyrics",
            "The lyrics of a song with their moments, in the shape of Suno's routes",
        )
        .gives(Gives::Data("200", shapes::of::<lyrics::Lyrics>)),
    ]
}

fn tasks() -> Vec<Doc> {
    let row = |method, path, summary| row(method, path, "Tasks", summary);
    let task: Shape = shapes::of::<Task>;
    vec![
        row(Method::GET, "/tasks", "Tasks, the newest first")
            .query(
                const {
                    &[
                        Query("limit", "1 to 100; usually 20."),
                        Query("cursor", "The `next_cursor` of the page before."),
                        Query("status", "`queued`, `processing`, `completed` or `failed`."),
                        Query("model", "Of this model."),
                        Query("created_from", "From this moment on (RFC 3339)."),
                        Query("created_until", "Before this moment (RFC 3339)."),
                    ]
                },
            )
            .gives(Gives::Page("200", task)),
        row(Method::GET, "/tasks/{id}", "How a task stands").gives(Gives::Data("200", task)),
        row(
            Method::POST,
            "/tasks/{id}/cancel",
            "Cancels a task, as far as its model and its provider allow",
        )
        .gives(Gives::Data("200", task)),
        row(
            Method::GET,
            "/tasks/{id}/events",
            "How a task stands, live, until it ends",
        )
        .gives(Gives::Events),
        row(
            Method::GET,
            "/tasks/{id}/files/{n}",
            "An output; ranges are served",
        )
        .query(
            const {
                &[
                    Query("exp", "Of a signed link."),
                    Query("sig", "Of a signed link."),
                ]
            },
        ),
        row(
            Method::DELETE,
            "/tasks/{id}/files/{n}",
            "Deletes an output; the task stays",
        )
        .gives(Gives::Data("200", task)),
    ]
}

fn models() -> Vec<Doc> {
    let row = |method, path, summary| row(method, path, "Models", summary);
    vec![
        row(Method::GET, "/models", "The models that the key may use")
            .gives(Gives::Bare("200", shapes::of::<ModelList>)),
        row(
            Method::GET,
            "/models/{*id}",
            "A model, by its name or another name of it",
        )
        .gives(Gives::Bare("200", shapes::of::<Model>)),
        row(
            Method::GET,
            "/audio/voices",
            "The voices of the models that speak",
        )
        .query(const { &[Query("model", "Of this model.")] })
        .gives(Gives::Page("200", shapes::of::<voices::Voice<'_>>)),
        row(Method::GET, "/openapi.json", "This document").gives(Gives::Bare("200", anything)),
        row(Method::GET, "/docs", "This document as pages").gives(Gives::Elsewhere),
        row(
            Method::POST,
            "/quote",
            "What a paid request would cost; charges nothing",
        )
        .takes(Takes::Json(shapes::of::<QuoteRequest>))
        .gives(Gives::Data("200", shapes::of::<quote::Quoted>)),
    ]
}

/// An object of any kind.
fn anything(_shapes: &mut shapes::Shapes) -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
    utoipa::openapi::ObjectBuilder::new().into()
}

fn files() -> Vec<Doc> {
    let row = |method, path, summary| row(method, path, "Files", summary);
    let file: Shape = shapes::of::<uploads::Shown>;
    vec![
        row(Method::POST, "/files", "Uploads a file")
            .takes(Takes::Form(shapes::of::<UploadForm>))
            .gives(Gives::Bare("200", file)),
        row(Method::GET, "/files", "Files")
            .query(
                const {
                    &[
                        Query("limit", "The most files of the page."),
                        Query("after", "The last file of the page before."),
                        Query("order", "By age: `asc` or `desc`."),
                        Query("purpose", "For this purpose."),
                    ]
                },
            )
            .gives(Gives::Bare("200", shapes::of::<uploads::Page>)),
        row(Method::GET, "/files/{id}", "A file").gives(Gives::Bare("200", file)),
        row(
            Method::GET,
            "/files/{id}/content",
            "A file's bytes; ranges are served",
        ),
        row(Method::DELETE, "/files/{id}", "Deletes a file")
            .gives(Gives::Bare("200", shapes::of::<uploads::Deleted>)),
    ]
}
