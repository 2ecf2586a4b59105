//! Files that customers upload, in OpenAI's shapes. A file's bytes go to media as they come, and are never all here. Another tenant's file and
//! an unknown one are the same 404.

use std::{pin::pin, sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    response::Response,
};
use chassis::{LinkClaim, clock::MICROS_PER_SECOND, rpc};
use domain::{FileId, Problem, ids};
use futures::{SinkExt as _, channel::mpsc};
use http::{StatusCode, Uri};
use multer::Field;
use proto::{
    Fault, Kind, code,
    common::v1::Context,
    id_from_wire,
    media::v1::{
        DeleteFileRequest, File, GetFileRequest, ListFilesRequest, ReadFileRequest, UploadEnd,
        UploadHead, UploadPart, upload_part::Part,
    },
};
use serde::Serialize;
use tokio::time::timeout;
use utoipa::ToSchema;

use crate::{
    App, Gate,
    auth::{Inference, Kept, Scoped},
    body,
    error::ApiError,
    http::{
        Segments,
        file::{self, Asked},
        form::{self, Form},
        json,
        query::Params,
    },
};

/// What a file may be wanted for. Here it is a label: whatever it says, the file can be used.
const PURPOSES: [&str; 6] = [
    "assistants",
    "batch",
    "fine-tune",
    "vision",
    "user_data",
    "evals",
];
/// The field that says what for.
const PURPOSE: &str = "purpose";
/// The field with the moment from which a file's life is counted, the one that there is, and the field with how long it is.
const ANCHOR: &str = "expires_after[anchor]";
const CREATED_AT: &str = "created_at";
const SECONDS: &str = "expires_after[seconds]";
/// Bytes of the longest name of a file.
const LONGEST_NAME: usize = 512;
/// Bytes of a file that are sent on in one message.
const LARGEST_PIECE: usize = 256 * 1024;
/// Pieces of a file that wait for media.
const WAITING: usize = 4;

/// A file.
#[derive(Serialize, ToSchema)]
#[schema(as = File)]
pub(crate) struct Shown {
    id: String,
    object: &'static str,
    bytes: u64,
    created_at: i64,
    expires_at: i64,
    filename: String,
    purpose: String,
    status: &'static str,
    /// What its bytes are.
    content_type: String,
    /// Pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    width: Option<u32>,
    /// Pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    height: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_seconds: Option<f64>,
}

/// A page of them.
#[derive(Serialize, ToSchema)]
#[schema(as = FileList)]
pub(crate) struct Page {
    object: &'static str,
    data: Vec<Shown>,
    first_id: Option<String>,
    last_id: Option<String>,
    has_more: bool,
}

/// A deletion.
#[derive(Serialize, ToSchema)]
#[schema(as = FileDeleted)]
pub(crate) struct Deleted {
    id: String,
    object: &'static str,
    deleted: bool,
}

/// Why no more of an upload is sent on.
pub(super) enum Stop {
    /// It is wrong.
    Wrong(ApiError),
    /// Its file has more bytes than it may have.
    TooLarge,
    /// Media takes no more of it, and says why.
    Refused,
}

/// `POST /files`.
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    caller: Scoped<Inference>,
    request: Request,
) -> Result<Response, ApiError> {
    let bodies = &app.config.limits.bodies;
    let boundary = form::boundary(request.headers())?;
    let (mut body, announced) = body::stream(request, bodies.upload, bodies).await?;
    let form = Form::new(&mut body, boundary, (bodies.upload, bodies.timeout));
    let upload = take(&app, (caller.context(), announced), form);
    let taken = timeout(bodies.upload_timeout, upload).await;
    let taken = taken.unwrap_or_else(|_elapsed| Err(form::too_slow(bodies.upload_timeout)));
    if taken.is_err() {
        body::discard(body, bodies).await;
    }
    shown(&Shown::try_from(taken?)?)
}

/// `GET /files`.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    caller: Scoped<Kept>,
    uri: Uri,
) -> Result<Response, ApiError> {
    let mut query = Params::parse(&uri);
    let limit = query.limit();
    let after = query.read("after", "be the id of a file", FileId::parse);
    let order = query.read("order", "be asc or desc", |word| match word {
        "asc" => Some(true),
        "desc" => Some(false),
        _ => None,
    });
    let purpose = query.read("purpose", &one_of_purposes(), known_purpose);
    query.finish()?;
    let request = ListFilesRequest {
        context: Some(caller.context()),
        purpose: purpose.unwrap_or_default(),
        after: after.map(FileId::to_vec).unwrap_or_default().into(),
        // One more, which says whether there are more.
        limit: limit.saturating_add(1),
        oldest_first: order.unwrap_or(false),
    };
    let request = rpc::request(request, app.config.limits.deadlines.media);
    let reply = app.clients.files.clone().list_files(request).await?;
    let mut files = reply.into_inner().files;
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = files.len() > most;
    files.truncate(most);
    let data: Vec<Shown> = files
        .into_iter()
        .map(Shown::try_from)
        .collect::<Result<_, _>>()?;
    let page = Page {
        object: "list",
        first_id: data.first().map(|file| file.id.clone()),
        last_id: data.last().map(|file| file.id.clone()),
        data,
        has_more,
    };
    shown(&page)
}

/// `GET /files/{id}`.
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    caller: Scoped<Kept>,
    Segments(id): Segments<String>,
) -> Result<Response, ApiError> {
    let request = GetFileRequest {
        context: Some(caller.context()),
        file_id: parse(&id)?.to_vec().into(),
    };
    let request = rpc::request(request, app.config.limits.deadlines.media);
    let found = app.clients.files.clone().get_file(request).await;
    let found = found.map_err(unknown_alike)?.into_inner();
    shown(&Shown::try_from(found)?)
}

/// `GET /files/{id}/content`: a file's bytes, or a range of them, for its owner's key, or a provider's link.
pub(crate) async fn content(
    State(gate): State<Gate>,
    Segments(id): Segments<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let (mut parts, _body) = request.into_parts();
    let known = FileId::parse(&id);
    let is_ours = |claim: LinkClaim<'_>, now| {
        known.is_some_and(|id| gate.app.links.verify_file(id, claim, now))
    };
    let context = file::permitted::<Kept>(&gate, &mut parts, (is_ours, unknown)).await?;
    let asked = Asked::File(ReadFileRequest {
        context,
        file_id: known.ok_or_else(unknown)?.to_vec().into(),
        start: None,
        end: None,
    });
    file::serve(&gate.app, &parts.headers, asked).await
}

/// `DELETE /files/{id}`.
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    caller: Scoped<Inference>,
    Segments(id): Segments<String>,
) -> Result<Response, ApiError> {
    let id = parse(&id)?;
    let request = DeleteFileRequest {
        context: Some(caller.context()),
        file_id: id.to_vec().into(),
    };
    let request = rpc::request(request, app.config.limits.deadlines.media);
    let deleted = app.clients.files.clone().delete_file(request).await;
    deleted.map_err(unknown_alike)?;
    let deleted = Deleted {
        id: id.to_string(),
        object: "file",
        deleted: true,
    };
    shown(&deleted)
}

/// Sends an upload on to media.
async fn take(
    app: &App,
    (context, announced): (Context, Option<usize>),
    form: Form<'_>,
) -> Result<File, ApiError> {
    let head = UploadHead {
        context: Some(context),
        file_id: chassis::mint::<ids::File>().to_vec().into(),
        filename: String::new(),
        // The form is longer than its file.
        most_bytes: announced
            .and_then(|most| u64::try_from(most).ok())
            .unwrap_or(0),
    };
    let (file, ()) = upload(app, |sender| send(form, head, sender)).await?;
    Ok(file)
}

/// Has a file sent to media, which is not kept before its end has come; and what else came with it. Whoever of the two has enough first,
/// ends it.
pub(super) async fn upload<T, S>(
    app: &App,
    send: impl FnOnce(mpsc::Sender<UploadPart>) -> S,
) -> Result<(File, T), ApiError>
where
    S: Future<Output = Result<T, Stop>>,
{
    let limits = &app.config.limits;
    let (sender, receiver) = mpsc::channel(WAITING);
    let budget = limits
        .bodies
        .upload_timeout
        .saturating_add(limits.deadlines.submit);
    let mut files = app.clients.files.clone();
    let mut answer = pin!(files.upload(rpc::request(receiver, budget)));
    let mut sending = pin!(send(sender));
    let (answered, sent) = tokio::select! {
        sent = &mut sending => match sent {
            Err(Stop::Wrong(error)) => return Err(error),
            Ok(_) | Err(Stop::Refused | Stop::TooLarge) => (answer.await, sent),
        },
        // What is kept has been sent whole.
        answered = &mut answer => {
            let file = answered?;
            (Ok(file), sending.await)
        }
    };
    let file = answered?.into_inner();
    let sent = sent.map_err(|stop| match stop {
        Stop::Wrong(error) => error,
        Stop::TooLarge | Stop::Refused => ApiError::internal(),
    });
    Ok((file, sent?))
}

/// Reads the form, and sends its file as it comes. Fields may come in any order.
async fn send(
    mut form: Form<'_>,
    head: UploadHead,
    mut sender: mpsc::Sender<UploadPart>,
) -> Result<(), Stop> {
    let mut head = Some(head);
    let (mut purpose, mut anchor, mut seconds) = (None, None, None);
    while let Some(field) = form.next().await? {
        let name = field.name().unwrap_or_default().to_owned();
        match name.as_str() {
            form::FILE => {
                let head = head
                    .take()
                    .ok_or_else(|| invalid(form::FILE, "be given once"))?;
                send_file((&form, field), (head, usize::MAX), &mut sender).await?;
            }
            PURPOSE => once(&form, field, (&mut purpose, PURPOSE)).await?,
            ANCHOR => once(&form, field, (&mut anchor, ANCHOR)).await?,
            SECONDS => once(&form, field, (&mut seconds, SECONDS)).await?,
            _ => return Err(unknown_field(&name).into()),
        }
    }
    if head.is_some() {
        return Err(missing(form::FILE).into());
    }
    let purpose = purpose.ok_or_else(|| missing(PURPOSE))?;
    let purpose = known_purpose(&purpose).ok_or_else(|| invalid(PURPOSE, &one_of_purposes()))?;
    let expires_after = expires_after(anchor.as_deref(), seconds.as_deref())?;
    let end = UploadEnd {
        purpose,
        expires_after,
        briefly: false,
    };
    push(&mut sender, Part::End(end)).await
}

/// Reads a short field into its place.
async fn once(
    form: &Form<'_>,
    field: Field<'_>,
    (place, name): (&mut Option<String>, &str),
) -> Result<(), ApiError> {
    match place.replace(form.text(field).await?) {
        None => Ok(()),
        Some(_) => Err(invalid(name, "be given once")),
    }
}

/// Sends a file of at most so many bytes.
pub(super) async fn send_file(
    (form, mut field): (&Form<'_>, Field<'_>),
    (head, most): (UploadHead, usize),
    sender: &mut mpsc::Sender<UploadPart>,
) -> Result<(), Stop> {
    let filename = field.file_name().unwrap_or_default().to_owned();
    let bad = filename.is_empty()
        || filename.len() > LONGEST_NAME
        || filename.chars().any(char::is_control);
    if bad {
        let allowed = format!("be a file with a name of 1 to {LONGEST_NAME} bytes");
        return Err(invalid(form::FILE, &allowed).into());
    }
    push(sender, Part::Head(UploadHead { filename, ..head })).await?;
    let mut left = most;
    while let Some(mut data) = form.piece(&mut field).await? {
        left = left.checked_sub(data.len()).ok_or(Stop::TooLarge)?;
        // However much came at once, a message is no longer than it may be.
        while !data.is_empty() {
            let piece = data.split_to(data.len().min(LARGEST_PIECE));
            push(sender, Part::Data(piece)).await?;
        }
    }
    Ok(())
}

pub(super) async fn push(sender: &mut mpsc::Sender<UploadPart>, part: Part) -> Result<(), Stop> {
    let part = UploadPart { part: Some(part) };
    sender.send(part).await.map_err(|_gone| Stop::Refused)
}

/// For how many seconds a file is to be kept; 0: as long as files are.
fn expires_after(anchor: Option<&str>, seconds: Option<&str>) -> Result<u64, ApiError> {
    let (anchor, seconds) = match (anchor, seconds) {
        (None, None) => return Ok(0),
        (Some(_), None) => return Err(missing(SECONDS)),
        (None, Some(_)) => return Err(missing(ANCHOR)),
        (Some(anchor), Some(seconds)) => (anchor, seconds),
    };
    if anchor != CREATED_AT {
        return Err(invalid(ANCHOR, "be created_at"));
    }
    let seconds: Option<u64> = seconds.parse().ok().filter(|seconds| *seconds > 0);
    seconds.ok_or_else(|| invalid(SECONDS, "be a whole number of seconds"))
}

fn known_purpose(word: &str) -> Option<String> {
    PURPOSES.contains(&word).then(|| word.to_owned())
}

fn one_of_purposes() -> String {
    format!("be one of {}", PURPOSES.join(", "))
}

/// The failure for a file that is not there for this caller.
fn unknown() -> ApiError {
    ApiError::new(code::NOT_FOUND, "there is no such file for this key")
}

/// Makes every way of not finding a file look the same.
pub(super) fn unknown_alike(status: tonic::Status) -> ApiError {
    let error = ApiError::from(status);
    if error.fault().kind() == Kind::NotFound {
        unknown()
    } else {
        error
    }
}

/// Reads a file's id. What cannot be one is as unknown as one that nobody has.
fn parse(id: &str) -> Result<FileId, ApiError> {
    FileId::parse(id).ok_or_else(unknown)
}

pub(super) fn missing(param: &str) -> ApiError {
    Fault::from_problems(vec![Problem::missing(param)]).into()
}

pub(super) fn invalid(param: &str, allowed: &str) -> ApiError {
    Fault::from_problems(vec![Problem::invalid(param, allowed)]).into()
}

fn unknown_field(name: &str) -> ApiError {
    let message =
        format!("the form takes no {name:?}; it takes file, purpose, {ANCHOR} and {SECONDS}");
    let fault = Fault::new(code::UNKNOWN_PARAMETER, message).param(name);
    fault.into()
}

fn shown(what: &impl Serialize) -> Result<Response, ApiError> {
    let text = serde_json::to_vec(what).map_err(|error| {
        tracing::error!(%error, "an answer cannot be written");
        ApiError::internal()
    })?;
    Ok(json(StatusCode::OK, text.into()))
}

// === impl Shown ===

impl TryFrom<File> for Shown {
    type Error = ApiError;

    fn try_from(file: File) -> Result<Self, ApiError> {
        let id: FileId = id_from_wire(&file.file_id)?;
        Ok(Self {
            id: id.to_string(),
            object: "file",
            bytes: file.bytes,
            created_at: file.created_at / MICROS_PER_SECOND,
            expires_at: file.expires_at / MICROS_PER_SECOND,
            filename: file.filename,
            purpose: file.purpose,
            status: "processed",
            content_type: file.content_type,
            width: (file.width > 0).then_some(file.width),
            height: (file.height > 0).then_some(file.height),
            duration_seconds: (file.duration_millis > 0)
                .then(|| Duration::from_millis(file.duration_millis).as_secs_f64()),
        })
    }
}

// === impl Stop ===

impl From<ApiError> for Stop {
    fn from(error: ApiError) -> Self {
        Self::Wrong(error)
    }
}
