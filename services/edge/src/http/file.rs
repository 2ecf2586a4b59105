//! `GET /tasks/{id}/files/{n}`: an output's bytes, streamed. A signed link opens it, or its owner's key. Uploaded files leave the same way.

use axum::{
    body::Body,
    extract::{FromRequestParts, Query, Request, State},
    response::{IntoResponse as _, Response},
};
use bytes::{Bytes, BytesMut};
use chassis::{LinkClaim, clock, rpc};
use domain::TaskId;
use futures::{StreamExt as _, TryStreamExt as _, future};
use http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts};
use proto::{
    Fault, code,
    common::v1::Context,
    direct::Messages,
    media::v1::{OutputHead, OutputPart, ReadFileRequest, ReadOutputRequest, output_part::Part},
};
use serde::Deserialize;

use crate::{
    App, Clients, Gate,
    auth::{Need, Read, Scoped},
    error::ApiError,
    http::{
        Segments, put,
        range::{self, Wanted},
        task, uploads,
    },
};

/// The query of a signed link.
#[derive(Deserialize)]
struct Link {
    exp: Option<i64>,
    sig: Option<String>,
}

/// Whose bytes are asked for.
#[derive(Clone)]
pub(super) enum Asked {
    /// A task's output.
    Output(ReadOutputRequest),
    /// An uploaded file.
    File(ReadFileRequest),
}

/// An output, or a file, whose head is known and whose bytes follow.
pub(super) struct Output {
    pub(super) head: OutputHead,
    pub(super) parts: Messages<OutputPart>,
}

/// Streams an output, or a range of it.
pub(crate) async fn get(
    State(gate): State<Gate>,
    Segments((id, index)): Segments<(String, String)>,
    request: Request,
) -> Result<Response, ApiError> {
    let (mut parts, _body) = request.into_parts();
    let task = task::parse(&id)?;
    let index: u32 = index.parse().map_err(|_| task::unknown())?;
    let is_ours = |claim: LinkClaim<'_>, now| gate.app.links.verify(task, index, claim, now);
    let context = permitted::<Read>(&gate, &mut parts, (is_ours, task::unknown)).await?;
    let asked = Asked::Output(output(context, task, index));
    serve(&gate.app, &parts.headers, asked).await
}

/// Asks for all of an output. Nobody is named where a link was shown that allows it.
pub(super) fn output(context: Option<Context>, task: TaskId, index: u32) -> ReadOutputRequest {
    ReadOutputRequest {
        context,
        task_id: task.to_vec().into(),
        index,
        start: None,
        end: None,
    }
}

/// Answers with the bytes that are asked for, all of them or the range that the request wants.
pub(super) async fn serve(
    app: &App,
    headers: &HeaderMap,
    asked: Asked,
) -> Result<Response, ApiError> {
    let output = read(app, asked.clone()).await?;
    let etag = format!("\"{}\"", output.head.sha256);
    if names(headers, header::IF_NONE_MATCH, &etag) {
        let mut response = StatusCode::NOT_MODIFIED.into_response();
        set_headers(response.headers_mut(), &etag);
        return Ok(response);
    }
    let size = output.head.bytes;
    match wanted(headers, &etag, size) {
        Wanted::All => Ok(respond(StatusCode::OK, &etag, output)),
        Wanted::Nothing => Ok(unsatisfiable(size)),
        Wanted::Part { start, end } => {
            let output = read(app, asked.part(start, end)).await?;
            let range = format!("bytes {start}-{}/{size}", end.saturating_sub(1));
            let mut response = respond(StatusCode::PARTIAL_CONTENT, &etag, output);
            put(response.headers_mut(), "content-range", &range);
            Ok(response)
        }
    }
}

/// The first bytes of an output, at most so many, held here.
pub(super) async fn beginning(
    app: &App,
    request: ReadOutputRequest,
    most: u64,
) -> Result<Bytes, ApiError> {
    let request = ReadOutputRequest {
        start: Some(0),
        end: Some(most),
        ..request
    };
    whole(app, request).await
}

/// Some bytes of an output, as a file of their own, of this type.
pub(super) async fn part(
    app: &App,
    request: ReadOutputRequest,
    place: std::ops::Range<u64>,
    content_type: &str,
) -> Result<Response, ApiError> {
    let asked = Asked::Output(request).part(place.start, place.end);
    let mut output = read(app, asked).await?;
    content_type.clone_into(&mut output.head.content_type);
    let etag = format!("\"{}-{}\"", output.head.sha256, place.start);
    Ok(respond(StatusCode::OK, &etag, output))
}

/// All bytes of an output, or those that are asked for, held here.
pub(super) async fn whole(app: &App, request: ReadOutputRequest) -> Result<Bytes, ApiError> {
    let output = read(app, Asked::Output(request)).await?;
    let size = output.head.end.saturating_sub(output.head.start);
    let mut bytes = BytesMut::with_capacity(usize::try_from(size).unwrap_or_default());
    let mut parts = output.parts;
    let patience = app.config.limits.deadlines.media;
    let late = |_elapsed| ApiError::from(Fault::of(code::TIMEOUT));
    while let Some(part) = tokio::time::timeout(patience, parts.next())
        .await
        .map_err(late)?
    {
        if let Some(Part::Data(data)) = part.map_err(task::unknown_alike)?.part {
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes.freeze())
}

/// Who may read: whoever has the link (no context), or a key (media looks whether the task is its account's).
pub(super) async fn permitted<N: Need>(
    gate: &Gate,
    parts: &mut Parts,
    (is_ours, unknown): (impl Fn(LinkClaim<'_>, i64) -> bool, fn() -> ApiError),
) -> Result<Option<Context>, ApiError> {
    let link = Query::<Link>::try_from_uri(&parts.uri).map(|Query(link)| link);
    let linked = matches!(&link, Ok(Link { sig: Some(_), .. }));
    if let Ok(Link {
        exp: Some(expires),
        sig: Some(signature),
    }) = &link
    {
        let claim = LinkClaim {
            expires: *expires,
            signature,
        };
        let now = clock::now_micros() / clock::MICROS_PER_SECOND;
        if is_ours(claim, now) {
            return Ok(None);
        }
    }
    let has_key = parts.headers.contains_key(header::AUTHORIZATION)
        || parts.headers.contains_key("x-api-key");
    if linked && !has_key {
        return Err(unknown());
    }
    let caller = Scoped::<N>::from_request_parts(parts, gate).await?;
    Ok(Some(caller.context()))
}

/// Asks media for the bytes, and waits for their head.
pub(super) async fn read(app: &App, asked: Asked) -> Result<Output, ApiError> {
    let deadline = app.config.limits.deadlines.media;
    let Clients { media, files, .. } = &app.clients;
    let (answer, unknown_alike): (_, fn(tonic::Status) -> ApiError) = match asked {
        Asked::Output(request) => {
            let request = rpc::request(request, deadline);
            let answer = media.clone().read_output(request).await;
            (answer.map(tonic::Response::into_inner), task::unknown_alike)
        }
        Asked::File(request) => {
            let request = rpc::request(request, deadline);
            let answer = files.clone().read_file(request).await;
            let parts = answer.map(|answer| Messages::from(answer.into_inner()));
            (parts, uploads::unknown_alike)
        }
    };
    let mut parts = answer.map_err(unknown_alike)?;
    let first = tokio::time::timeout(deadline, parts.next())
        .await
        .map_err(|_elapsed| Fault::of(code::TIMEOUT))?;
    match first.transpose().map_err(unknown_alike)? {
        Some(OutputPart {
            part: Some(Part::Head(head)),
        }) => Ok(Output { head, parts }),
        Some(_) | None => Err(ApiError::internal()),
    }
}

// === impl Asked ===

impl Asked {
    /// A part of it: first byte, and byte after the last.
    fn part(self, start: u64, end: u64) -> Self {
        let (start, end) = (Some(start), Some(end));
        match self {
            Self::Output(request) => Self::Output(ReadOutputRequest {
                start,
                end,
                ..request
            }),
            Self::File(request) => Self::File(ReadFileRequest {
                start,
                end,
                ..request
            }),
        }
    }
}

/// What the request wants, unless it asked for a range of something else than we have (`If-Range`).
fn wanted(headers: &HeaderMap, etag: &str, size: u64) -> Wanted {
    let Some(range) = headers
        .get(header::RANGE)
        .and_then(|range| range.to_str().ok())
    else {
        return Wanted::All;
    };
    if headers.contains_key(header::IF_RANGE) && !names(headers, header::IF_RANGE, etag) {
        return Wanted::All;
    }
    range::wanted(range, size)
}

/// Whether a header names this entity tag. Weak tags are equal enough for a look whether something changed.
fn names(headers: &HeaderMap, name: header::HeaderName, etag: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|tag| tag.trim().trim_start_matches("W/"))
        .any(|tag| tag == etag || tag == "*")
}

fn respond(status: StatusCode, etag: &str, output: Output) -> Response {
    let OutputHead {
        content_type,
        start,
        end,
        ..
    } = output.head;
    let bytes = output.parts.try_filter_map(|part| {
        future::ok(match part.part {
            Some(Part::Data(data)) => Some(data),
            Some(Part::Head(_)) | None => None,
        })
    });
    let mut response = (status, Body::from_stream(bytes)).into_response();
    let headers = response.headers_mut();
    put(headers, "content-type", &content_type);
    headers.insert(header::CONTENT_LENGTH, end.saturating_sub(start).into());
    set_headers(headers, etag);
    response
}

/// The range is not there: HTTP has a status of its own for that, which carries the size.
fn unsatisfiable(size: u64) -> Response {
    let message = format!("this range is not in the output, which has {size} bytes");
    let fault = Fault::new(code::INVALID_PARAMETER, message).param("Range");
    let mut response = ApiError::from(fault).into_response();
    *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
    put(
        response.headers_mut(),
        "content-range",
        &format!("bytes */{size}"),
    );
    response
}

/// What every answer about an output says.
fn set_headers(headers: &mut HeaderMap, etag: &str) {
    put(headers, "etag", etag);
    put(headers, "accept-ranges", "bytes");
    fence(headers);
}

/// An output is a customer's file on our origin: it may not act as a page of ours.
pub(super) fn fence(headers: &mut HeaderMap) {
    for (name, value) in [
        (header::CACHE_CONTROL, "private"),
        (header::CONTENT_DISPOSITION, "inline"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; sandbox",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}
