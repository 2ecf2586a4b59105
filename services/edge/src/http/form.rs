//! Forms with files in them (`multipart/form-data`), read as they come.

use std::time::Duration;

use axum::body::BodyDataStream;
use bytes::Bytes;
use http::{HeaderMap, header};
use multer::{Constraints, Error, Field, Multipart, SizeLimit};
use proto::{Fault, code};
use tokio::time::timeout;

use crate::error::ApiError;

/// Bytes of a field that is no file.
const LONGEST_TEXT: u64 = 4096;
/// The name of the field that is the file.
pub(super) const FILE: &str = "file";

/// A form on its way.
pub(super) struct Form<'r> {
    fields: Multipart<'r>,
    /// The longest time in which nothing of it comes.
    silence: Duration,
}

/// What separates the fields of a request's body.
pub(super) fn boundary(headers: &HeaderMap) -> Result<String, ApiError> {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    multer::parse_boundary(kind).map_err(|_| {
        let message = "the body must be a form with a file, and content-type multipart/form-data with its boundary";
        let fault = Fault::new(code::INVALID_PARAMETER, message).param("Content-Type");
        fault.into()
    })
}

// === impl Form ===

impl<'r> Form<'r> {
    /// A form of at most `most` bytes.
    pub(super) fn new(
        body: &'r mut BodyDataStream,
        boundary: String,
        (most, silence): (usize, Duration),
    ) -> Self {
        let most = u64::try_from(most).unwrap_or(u64::MAX);
        let sizes = SizeLimit::new()
            .whole_stream(most)
            .per_field(LONGEST_TEXT)
            .for_field(FILE, most);
        let constraints = Constraints::new().size_limit(sizes);
        Self {
            fields: Multipart::with_constraints(body, boundary, constraints),
            silence,
        }
    }

    /// The next field; the one before must have been dropped.
    pub(super) async fn next(&mut self) -> Result<Option<Field<'r>>, ApiError> {
        let next = timeout(self.silence, self.fields.next_field()).await;
        next.map_err(|_elapsed| too_slow(self.silence))?
            .map_err(wrong)
    }

    /// The next bytes of a field.
    pub(super) async fn piece(&self, field: &mut Field<'_>) -> Result<Option<Bytes>, ApiError> {
        let piece = timeout(self.silence, field.chunk()).await;
        piece
            .map_err(|_elapsed| too_slow(self.silence))?
            .map_err(wrong)
    }

    /// The whole of a short field.
    pub(super) async fn text(&self, field: Field<'_>) -> Result<String, ApiError> {
        let text = timeout(self.silence, field.text()).await;
        text.map_err(|_elapsed| too_slow(self.silence))?
            .map_err(wrong)
    }
}

/// Nothing came for too long.
pub(super) fn too_slow(limit: Duration) -> ApiError {
    let seconds = limit.as_secs();
    let message = format!("the body, or its next part, did not come within {seconds} seconds");
    ApiError::new(code::REQUEST_TIMEOUT, message)
}

/// What is wrong with a form, without quoting it.
fn wrong(error: Error) -> ApiError {
    let invalid = |message: &str| ApiError::new(code::INVALID_PARAMETER, message);
    match error {
        Error::StreamSizeExceeded { limit } => {
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            crate::body::too_large(limit)
        }
        Error::FieldSizeExceeded { limit, field_name } => {
            let name = field_name.unwrap_or_default();
            let message = format!("{name} must have at most {limit} bytes");
            let fault = Fault::new(code::INVALID_PARAMETER, message).param(name);
            fault.into()
        }
        Error::IncompleteStream
        | Error::IncompleteFieldData { .. }
        | Error::IncompleteHeaders
        | Error::StreamReadFailed(_) => invalid("the form ended before all of it had come"),
        Error::UnknownField { .. }
        | Error::ReadHeaderFailed(_)
        | Error::DecodeHeaderName { .. }
        | Error::DecodeHeaderValue { .. }
        | Error::LockFailure
        | Error::NoMultipart
        | Error::DecodeContentType(_)
        | Error::NoBoundary
        | _ => invalid("the body is no form of the type multipart/form-data"),
    }
}
