//! A call is open until its answer has been read to the end: whoever counts open calls lets go only then.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use http::Response;
use http_body::{Frame, SizeHint};
use tonic::{Status, body::Body};

pin_project_lite::pin_project! {
    /// A body that holds something until it ends or is dropped. Whatever goes wrong below becomes a status: in the middle of
    /// an answer it is the connection that broke.
    struct Held<B, G> {
        #[pin]
        body: B,
        held: Option<G>,
    }
}

// === impl Held ===

impl<B, G> http_body::Body for Held<B, G>
where
    B: http_body::Body,
{
    type Data = B::Data;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, Status>>> {
        let this = self.project();
        let frame = std::task::ready!(this.body.poll_frame(context));
        if !matches!(frame, Some(Ok(_))) {
            this.held.take();
        }
        Poll::Ready(frame.map(|frame| frame.map_err(|_broken| broken())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The answer, holding `guard` until it has been read.
pub(super) fn hold<B, G>(answer: Response<B>, guard: G) -> Response<Body>
where
    B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    G: Send + 'static,
{
    if answer.body().is_end_stream() {
        return answer.map(|_empty| Body::empty());
    }
    answer.map(|body| {
        Body::new(Held {
            body,
            held: Some(guard),
        })
    })
}

/// What a call gets whose connection breaks: it may have been done.
pub(super) fn broken() -> Status {
    Status::unavailable("the connection to the peer broke; the call may have been done")
}
