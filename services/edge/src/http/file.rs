//! `GET /tasks/{id}/files/{n}`: an output's bytes, streamed. A signed link opens it, or its owner's key. Uploaded files leave the same way.

use std::time::Duration;

use axum::{
    body::Body,
    extract::{FromRequestParts, Query, Request, State},
    response::{IntoResponse as _, Response},
};
use chassis::{LinkClaim, clock, rpc};
use domain::TaskId;
use futures::{StreamExt as _, TryStreamExt as _, future};
use http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts};
use proto::{
    Fault, code,
    common::v1::Context,
    media::v1::{OutputHead, OutputPart, ReadOutputRequest, output_part::Part},
};
use serde::Deserialize;
use tonic::Streaming;

use crate::{
    App, Gate,
    auth::{Read, Scoped},
    error::ApiError,
    http::{
        Segments, put,
        range::{self, Wanted},
        task,
    },
};

/// The query of a signed link.
#[derive(Deserialize)]
struct Link {
    exp: Option<i64>,
    sig: Option<String>,
}

/// An output, or a file, whose head is known and whose bytes follow.
pub(super) struct Output {
    head: OutputHead,
    parts: Streaming<OutputPart>,
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
    let context = permitted(&gate, &mut parts, task, index).await?;
    let read = async |range: Option<(u64, u64)>| {
        let request = ReadOutputRequest {
            context: context.clone(),
            task_id: task.to_vec().into(),
            index,
            start: range.map(|(start, _)| start),
            end: range.map(|(_, end)| end),
        };
        read(&gate.app, request).await
    };
    serve(&parts.headers, read).await
}

/// Answers with the bytes that `read` gives, all of them or the range that the request wants.
pub(super) async fn serve(
    headers: &HeaderMap,
    read: impl AsyncFn(Option<(u64, u64)>) -> Result<Output, ApiError>,
) -> Result<Response, ApiError> {
    let output = read(None).await?;
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
            let output = read(Some((start, end))).await?;
            let range = format!("bytes {start}-{}/{size}", end.saturating_sub(1));
            let mut response = respond(StatusCode::PARTIAL_CONTENT, &etag, output);
            put(response.headers_mut(), "content-range", &range);
            Ok(response)
        }
    }
}

/// Who may read: whoever has the link (no context), or a key (media looks whether the task is its account's).
async fn permitted(
    gate: &Gate,
    parts: &mut Parts,
    task: TaskId,
    index: u32,
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
        if gate.app.links.verify(task, index, claim, now) {
            return Ok(None);
        }
    }
    let has_key = parts.headers.contains_key(header::AUTHORIZATION)
        || parts.headers.contains_key("x-api-key");
    if linked && !has_key {
        return Err(task::unknown());
    }
    let caller = Scoped::<Read>::from_request_parts(parts, gate).await?;
    Ok(Some(caller.context()))
}

/// Asks media for the bytes, and waits for their head.
async fn read(app: &App, request: ReadOutputRequest) -> Result<Output, ApiError> {
    let deadline = app.config.limits.deadlines.media;
    let mut media = app.clients.media.clone();
    let answer = media.read_output(rpc::request(request, deadline)).await;
    let parts = answer.map_err(task::unknown_alike)?.into_inner();
    begun(parts, deadline).await
}

/// Waits for the head of what media sends.
pub(super) async fn begun(
    mut parts: Streaming<OutputPart>,
    deadline: Duration,
) -> Result<Output, ApiError> {
    let first = tokio::time::timeout(deadline, parts.next())
        .await
        .map_err(|_elapsed| Fault::of(code::TIMEOUT))?;
    match first.transpose()? {
        Some(OutputPart {
            part: Some(Part::Head(head)),
        }) => Ok(Output { head, parts }),
        Some(_) | None => Err(ApiError::internal()),
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

/// What every answer about an output says. An output is a customer's file on our origin: it may not act as a page of ours.
fn set_headers(headers: &mut HeaderMap, etag: &str) {
    put(headers, "etag", etag);
    for (name, value) in [
        (header::ACCEPT_RANGES, "bytes"),
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
