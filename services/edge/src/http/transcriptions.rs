//! `POST /audio/transcriptions` in OpenAI's shape: a form with a recording is answered with what is said in it, once that is heard, so that
//! `audio.transcriptions.create` of OpenAI's SDKs works. Behind it is a task like any other, of a file that is uploaded for it alone: it goes
//! to media as it comes, and is deleted when the task has ended.
//!
//! JSON that names a file which was uploaded before is a task like every other, unless it says how it wants to be answered.

mod asked;
mod render;

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::Response,
};
use chassis::rpc;
use domain::{FileId, TaskId, ids, transcript::Transcript};
use futures::channel::mpsc;
use http::{HeaderMap, header};
use proto::{
    Fault, Kind, code,
    common::v1::Context,
    media::v1::{DeleteFileRequest, UploadEnd, UploadHead, UploadPart, upload_part::Part},
};
use serde::Deserialize;
use tokio::time::timeout;

use self::{asked::Texts, render::Heard};
pub(crate) use self::{
    asked::{Asked, read},
    render::Told,
};
use crate::{
    App,
    auth::{Inference, Scoped},
    body,
    error::ApiError,
    http::{
        ended::Ended,
        file,
        form::{self, Form},
        media::{self, Paid, Ready, Shape},
        put,
        uploads::{self, Stop, push, send_file},
    },
};

/// The route, below `/api/v1/`.
pub(crate) const ROUTE: &str = "audio/transcriptions";
/// What the recording is kept as, as long as it is.
const PURPOSE: &str = "user_data";
/// Bytes of a form beside its file.
const AROUND: usize = 64 * 1024;
/// Fields of a form beside its file.
const MOST_FIELDS: usize = 32;

/// What is read of an ended task's view.
#[derive(Deserialize)]
struct View {
    request: Counted,
}

/// What is read of its request.
#[derive(Deserialize)]
struct Counted {
    #[serde(default)]
    seconds: u64,
}

/// A form that has come.
struct Came {
    file: FileId,
    /// Hex.
    sha256: String,
    texts: Texts,
}

/// `POST /audio/transcriptions`.
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    caller: Scoped<Inference>,
    request: Request,
) -> Result<Response, ApiError> {
    if !is_form(request.headers()) {
        return media::submit(&app, &caller, ROUTE, request).await;
    }
    let paid = Paid::of(&app, &request)?;
    let came = come(&app, &caller, request).await?;
    let answer = transcribe(&app, &caller, paid, &came).await;
    if is_over(&answer) {
        forget(&app, &caller, came.file).await;
    }
    answer
}

fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.trim_start()
        .to_ascii_lowercase()
        .starts_with("multipart/")
}

/// Takes the form in, and its file to media.
async fn come(app: &App, caller: &Scoped<Inference>, request: Request) -> Result<Came, ApiError> {
    let bodies = &app.config.limits.bodies;
    let boundary = form::boundary(request.headers())?;
    let longest = app.config.limits.recordings.max_bytes;
    let most = longest.saturating_add(AROUND);
    let (mut body, announced) = body::stream(request, most, bodies)
        .await
        .map_err(|error| named(error, longest))?;
    let form = Form::new(&mut body, boundary, (most, bodies.timeout));
    let announced = announced.unwrap_or(most);
    let head = UploadHead {
        context: Some(caller.context()),
        file_id: chassis::mint::<ids::File>().to_vec().into(),
        filename: String::new(),
        most_bytes: u64::try_from(announced).unwrap_or(0),
    };
    let upload = uploads::upload(app, |sender| send(form, (head, longest), sender));
    let taken = timeout(bodies.upload_timeout, upload).await;
    let taken = taken.unwrap_or_else(|_elapsed| Err(form::too_slow(bodies.upload_timeout)));
    if taken.is_err() {
        body::discard(body, bodies).await;
    }
    let (file, texts) = taken.map_err(|error| named(error, longest))?;
    Ok(Came {
        file: proto::id_from_wire(&file.file_id)?,
        sha256: file.sha256,
        texts,
    })
}

/// A form that is too large is so for its file.
fn named(error: ApiError, most: usize) -> ApiError {
    if error.fault().code == code::BODY_TOO_LARGE {
        too_large(most)
    } else {
        error
    }
}

fn too_large(most: usize) -> ApiError {
    let message = format!(
        "file may have {most} bytes on this route: send a shorter one, or one that is compressed more"
    );
    Fault::new(code::BODY_TOO_LARGE, message)
        .param(form::FILE)
        .into()
}

/// Reads the form, and sends its file as it comes. Fields may come in any order.
async fn send(
    mut form: Form<'_>,
    (head, most): (UploadHead, usize),
    mut sender: mpsc::Sender<UploadPart>,
) -> Result<Texts, Stop> {
    let (mut head, mut texts) = (Some(head), Texts::default());
    while let Some(field) = form.next().await? {
        let name = field.name().unwrap_or_default().to_owned();
        if name == form::FILE {
            let once = || uploads::invalid(form::FILE, "be given once");
            let head = head.take().ok_or_else(once)?;
            let sent = send_file((&form, field), (head, most), &mut sender).await;
            sent.map_err(|stop| match stop {
                Stop::TooLarge => too_large(most).into(),
                Stop::Wrong(_) | Stop::Refused => stop,
            })?;
        } else if texts.len() < MOST_FIELDS {
            texts.push((name, form.text(field).await?));
        } else {
            let message = format!("the form has more than {MOST_FIELDS} fields");
            return Err(ApiError::new(code::INVALID_PARAMETER, message).into());
        }
    }
    if head.is_some() {
        return Err(uploads::missing(form::FILE).into());
    }
    let end = UploadEnd {
        purpose: PURPOSE.to_owned(),
        expires_after: 0,
        briefly: true,
    };
    push(&mut sender, Part::End(end)).await?;
    Ok(texts)
}

/// What is said in a recording that has come.
async fn transcribe(
    app: &Arc<App>,
    caller: &Scoped<Inference>,
    paid: Paid,
    came: &Came,
) -> Result<Response, ApiError> {
    let sent_hash = asked::hash(&came.texts, &came.sha256);
    let asked = asked::of_form(&app.catalogue, &came.texts, came.file)?;
    let ready = Ready {
        route: ROUTE,
        body: asked.body.clone(),
        shape: Shape::Transcript(asked),
        sent_hash: sent_hash.to_vec().into(),
    };
    media::accept(app, caller, paid, ready).await
}

/// Whether nobody needs the recording any more: the task has ended, or there is none. Where it took too long, or nobody can say, it stays,
/// and goes with its time.
fn is_over(answer: &Result<Response, ApiError>) -> bool {
    let kind = answer.as_ref().err().map(|error| error.fault().kind());
    !matches!(
        kind,
        Some(Kind::Timeout | Kind::Unavailable | Kind::Internal)
    )
}

/// Deletes the recording. Where that fails, its time ends soon.
async fn forget(app: &App, caller: &Scoped<Inference>, file: FileId) {
    let request = DeleteFileRequest {
        context: Some(caller.context()),
        file_id: file.to_vec().into(),
    };
    let request = rpc::request(request, app.config.limits.deadlines.media);
    if let Err(status) = app.clients.files.clone().delete_file(request).await {
        tracing::debug!(%status, file.id = %file, "a recording waits for the end of its time");
    }
}

// === impl App ===

impl App {
    /// The answer to a request in OpenAI's shape, whose task has ended as this view shows it.
    pub(crate) async fn transcript(
        &self,
        asked: &Asked,
        (context, task): (Context, TaskId),
        view: &[u8],
    ) -> Result<Response, ApiError> {
        let credits = Ended::paid(view, || not_yet(task))?;
        // It is heard and paid for, whatever is wrong with it: no program may ask for it again by itself.
        let View { request } = serde_json::from_slice(view).map_err(|_| not_yet(task))?;
        let output = file::output(Some(context), task, 0);
        let text = file::whole(self, output).await;
        let text = text.map_err(|_| not_yet(task))?;
        let transcript: Transcript = serde_json::from_slice(&text).map_err(|_| not_yet(task))?;
        let heard = Heard {
            transcript: &transcript,
            seconds: request.seconds,
        };
        let mut answer = heard.answer(asked.wanted).map_err(|_| not_yet(task))?;
        put(answer.headers_mut(), "x-aio-cost-credits", credits.get());
        Ok(answer)
    }
}

/// Who asked in OpenAI's shape, and cannot have it now: the task may still end, and be charged, or has been.
pub(crate) fn not_yet(task: TaskId) -> ApiError {
    let message = format!("the transcript is not there yet; it will be at /api/v1/tasks/{task}");
    ApiError::new(code::TIMEOUT, message)
}
