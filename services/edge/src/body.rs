//! Reading a request's body: never more than its route takes, never longer than a client may send.

use axum::{body::BodyDataStream, extract::Request};
use bytes::Bytes;
use futures::StreamExt as _;
use http::{HeaderMap, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use proto::code;
use tokio::time::timeout;

use crate::{config::Bodies, error::ApiError};

/// Reads the whole body of at most `limit` bytes.
pub(crate) async fn read(
    request: Request,
    limit: usize,
    bodies: &Bodies,
) -> Result<Bytes, ApiError> {
    let (parts, body) = request.into_parts();
    if announced(&parts.headers).is_some_and(|length| length > limit) {
        if !parts.headers.contains_key(header::EXPECT) {
            discard(body.into_data_stream(), bodies).await;
        }
        return Err(too_large(limit));
    }
    let mut body = body;
    let read = timeout(bodies.timeout, Limited::new(&mut body, limit).collect()).await;
    match read {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            discard(body.into_data_stream(), bodies).await;
            Err(too_large(limit))
        }
        Ok(Err(_cut)) => Err(ApiError::new(
            code::INVALID_JSON,
            "the body ended before all of it had come",
        )),
        Err(_elapsed) => {
            let seconds = bodies.timeout.as_secs();
            let message = format!("the body did not come within {seconds} seconds");
            Err(ApiError::new(code::REQUEST_TIMEOUT, message))
        }
    }
}

/// A body of at most `limit` bytes, as far as its head says, to be read as it comes; and how long it says that it is.
pub(crate) async fn stream(
    request: Request,
    limit: usize,
    bodies: &Bodies,
) -> Result<(BodyDataStream, Option<usize>), ApiError> {
    let (parts, body) = request.into_parts();
    let (body, announced) = (body.into_data_stream(), announced(&parts.headers));
    if announced.is_some_and(|length| length > limit) {
        if !parts.headers.contains_key(header::EXPECT) {
            discard(body, bodies).await;
        }
        return Err(too_large(limit));
    }
    Ok((body, announced))
}

/// How long the client says the body is.
fn announced(headers: &HeaderMap) -> Option<usize> {
    let text = headers.get(header::CONTENT_LENGTH)?.to_str().ok()?;
    // More digits than fit are more bytes than we take.
    Some(text.parse().unwrap_or(usize::MAX))
}

/// Throws away what a client is still sending. Without this, many clients see a broken connection and not the answer.
pub(crate) async fn discard(mut body: BodyDataStream, bodies: &Bodies) {
    let mut left = bodies.discard;
    let throwing_away = async {
        while let Some(Ok(data)) = body.next().await {
            match left.checked_sub(data.len()) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    };
    // Whether it ended or not, the answer is the same.
    let _ = timeout(bodies.discard_time, throwing_away).await;
}

pub(crate) fn too_large(limit: usize) -> ApiError {
    let message = format!("the body is larger than the {limit} bytes this route takes");
    ApiError::new(code::BODY_TOO_LARGE, message)
}
