//! Forms with files in them (`multipart/form-data`), read as they come.
//!
//! The parser keeps all that came before a field, and the field's head, however long, and searches it again whenever more comes. So it is
//! given a body by and by, and not more than so much of it while it looks for a field.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::body::BodyDataStream;
use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use http::{HeaderMap, header};
use multer::{Constraints, Error, Field, Multipart, SizeLimit};
use proto::{Fault, code};
use tokio::time::timeout;

use crate::error::ApiError;

/// Bytes of a field that is no file.
const LONGEST_TEXT: u64 = 4096;
/// Bytes in which the next field must have begun.
const LONGEST_LOOK: usize = 1024 * 1024;
/// Bytes that the parser takes in before it looks at them.
const LARGEST_GULP: usize = 64 * 1024;
/// The name of the field that is the file.
pub(super) const FILE: &str = "file";

/// A form on its way.
pub(super) struct Form<'r> {
    fields: Multipart<'r>,
    /// Bytes that may come yet before the next field begins.
    left: Arc<AtomicUsize>,
    /// The longest time in which nothing of it comes.
    silence: Duration,
}

/// A body as the parser is given it.
struct Paced<'r> {
    body: &'r mut BodyDataStream,
    left: Arc<AtomicUsize>,
    /// What has come, and was more than a gulp.
    rest: Bytes,
    /// Bytes that were given since the parser last looked at what it has.
    given: usize,
}

/// No field has begun for too long.
#[derive(Debug)]
struct Endless;

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
        let left = Arc::new(AtomicUsize::new(LONGEST_LOOK));
        let paced = Paced {
            body,
            left: Arc::clone(&left),
            rest: Bytes::new(),
            given: 0,
        };
        Self {
            fields: Multipart::with_constraints(paced, boundary, constraints),
            left,
            silence,
        }
    }

    /// The next field; the one before must have been dropped.
    pub(super) async fn next(&mut self) -> Result<Option<Field<'r>>, ApiError> {
        self.left.store(LONGEST_LOOK, Ordering::Relaxed);
        let next = timeout(self.silence, self.fields.next_field()).await;
        // A field itself is as long as the parser lets it be.
        self.left.store(usize::MAX, Ordering::Relaxed);
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

// === impl Paced ===

impl Stream for Paced<'_> {
    type Item = Result<Bytes, Box<dyn std::error::Error + Send + Sync>>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let paced = self.get_mut();
        if paced.given >= LARGEST_GULP {
            // It asks until there is nothing more at the moment, and only then looks.
            paced.given = 0;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if paced.rest.is_empty() {
            match paced.body.poll_next_unpin(context) {
                Poll::Ready(Some(Ok(data))) => paced.rest = data,
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error.into()))),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => {
                    paced.given = 0;
                    return Poll::Pending;
                }
            }
        }
        let gulp = LARGEST_GULP.saturating_sub(paced.given);
        let data = paced.rest.split_to(paced.rest.len().min(gulp));
        paced.given = paced.given.saturating_add(data.len());
        let Some(left) = paced.left.load(Ordering::Relaxed).checked_sub(data.len()) else {
            return Poll::Ready(Some(Err(Box::new(Endless))));
        };
        paced.left.store(left, Ordering::Relaxed);
        Poll::Ready(Some(Ok(data)))
    }
}

// === impl Endless ===

impl std::fmt::Display for Endless {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("no field has begun")
    }
}

impl std::error::Error for Endless {}

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
        Error::StreamReadFailed(error) if error.is::<Endless>() => {
            let message = format!(
                "the body must have its next field, with the whole of that field's head, within {LONGEST_LOOK} bytes"
            );
            ApiError::new(code::INVALID_PARAMETER, message)
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

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use futures::stream;

    use super::*;

    const SILENCE: Duration = Duration::from_secs(9);

    /// A body of these pieces, and how many bytes of it were taken.
    fn body(
        pieces: impl Iterator<Item = Bytes> + Send + 'static,
    ) -> (BodyDataStream, Arc<AtomicUsize>) {
        let taken = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&taken);
        let pieces = pieces.inspect(move |piece| {
            counter.fetch_add(piece.len(), Ordering::Relaxed);
        });
        let pieces = stream::iter(pieces.map(Ok::<_, std::io::Error>));
        (Body::from_stream(pieces).into_data_stream(), taken)
    }

    #[tokio::test]
    async fn a_field_that_never_begins_is_not_waited_for() {
        let head = "--b\r\ncontent-disposition: form-data; name=\"purpose\"\r\n";
        let first = format!("{head}\r\nvision\r\n");
        for (begin, good) in [
            ("", 0),
            ("--b\r\nx: ", 0),
            (head, 0),
            (&format!("{first}--b\r\nx: "), 1),
        ] {
            for length in [1000, 70_000, 500_000] {
                let endless = std::iter::repeat_with(move || Bytes::from(vec![b'x'; length]));
                let begin = Bytes::from(begin.to_owned());
                let (mut body, taken) = body(std::iter::once(begin.clone()).chain(endless));
                let most = (1 << 30, SILENCE);
                let mut form = Form::new(&mut body, "b".to_owned(), most);
                for _ in 0..good {
                    let field = form.next().await.ok().flatten().unwrap();
                    assert_eq!(form.text(field).await.ok().unwrap(), "vision");
                }
                let error = form.next().await.err().unwrap();
                assert_eq!(error.fault().code, code::INVALID_PARAMETER);
                let message = &error.fault().message;
                assert!(message.contains("within 1048576 bytes"), "{message}");
                let taken = taken.load(Ordering::Relaxed);
                assert!(taken < 2 << 20, "{begin:?}: {taken}");
            }
        }
    }

    #[tokio::test]
    async fn a_file_may_be_longer_however_much_comes_at_once() {
        let head = "--b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n";
        let end = "\r\n--b\r\ncontent-disposition: form-data; name=\"purpose\"\r\n\r\nvision\r\n--b--\r\n";
        let whole = [head.as_bytes(), &vec![b'x'; 5 << 20], end.as_bytes()].concat();
        let whole = Bytes::from(whole);
        for length in [1000, 70_000, whole.len()] {
            let pieces: Vec<Bytes> = whole.chunks(length).map(Bytes::copy_from_slice).collect();
            let (mut body, _) = body(pieces.into_iter());
            let mut form = Form::new(&mut body, "b".to_owned(), (1 << 30, SILENCE));
            let mut field = form.next().await.ok().flatten().unwrap();
            let mut bytes = 0;
            while let Some(piece) = form.piece(&mut field).await.ok().unwrap() {
                bytes += piece.len();
            }
            drop(field);
            assert_eq!(bytes, 5 << 20);
            let field = form.next().await.ok().flatten().unwrap();
            assert_eq!(form.text(field).await.ok().unwrap(), "vision");
            assert!(form.next().await.ok().unwrap().is_none());
        }
    }
}
