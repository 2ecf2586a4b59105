//! What calls within a process are made of: answers and streams as they are, without a wire.

use std::{
    fmt,
    future::{Future, poll_fn},
    panic::AssertUnwindSafe,
    pin::Pin,
    task::{Context, Poll},
};

use futures::{Stream, StreamExt as _};
use tonic::{Response, Status, Streaming, codegen::BoxStream};

/// What a handler says.
pub type Answer<'a, M> = Pin<Box<dyn Future<Output = Result<Response<M>, Status>> + Send + 'a>>;

/// A streamed answer, whichever way it comes. Whoever drops it has gone away.
pub struct Messages<M>(Source<M>);

enum Source<M> {
    Here(BoxStream<M>),
    Wire(Box<Streaming<M>>),
    /// A failure was its last word.
    Over,
}

// === impl Messages ===

impl<M> Messages<M> {
    /// Those of a handler in this process.
    pub(crate) fn here<S>(messages: S) -> Self
    where
        S: Stream<Item = Result<M, Status>> + Send + 'static,
    {
        let messages = AssertUnwindSafe(messages).catch_unwind();
        let messages =
            messages.map(|next| next.unwrap_or_else(|_panic| Err(chassis::rpc::panicked())));
        Self(Source::Here(Box::pin(messages)))
    }

    /// The next one; `None` at the end.
    ///
    /// # Errors
    /// What the service says instead; nothing comes after it.
    pub async fn message(&mut self) -> Result<Option<M>, Status> {
        poll_fn(|context| Pin::new(&mut *self).poll_next(context))
            .await
            .transpose()
    }
}

impl<M> From<Streaming<M>> for Messages<M> {
    fn from(messages: Streaming<M>) -> Self {
        Self(Source::Wire(Box::new(messages)))
    }
}

impl<M> Stream for Messages<M> {
    type Item = Result<M, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = match &mut self.0 {
            Source::Here(messages) => messages.as_mut().poll_next(context),
            Source::Wire(messages) => Pin::new(messages.as_mut()).poll_next(context),
            Source::Over => Poll::Ready(None),
        };
        if matches!(next, Poll::Ready(Some(Err(_)) | None)) {
            self.0 = Source::Over;
        }
        next
    }
}

impl<M> fmt::Debug for Messages<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Source::Here(_) => "messages from this process",
            Source::Wire(_) => "messages from a wire",
            Source::Over => "no more messages",
        })
    }
}
