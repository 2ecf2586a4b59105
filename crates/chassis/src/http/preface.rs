//! A connection whose client has to say by which protocol it speaks before a moment has passed: hyper reads on until it knows, however long
//! that takes, so that a client could begin as HTTP/2 does and then hold its place for ever.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

/// How many bytes tell (RFC 9113, 3.4).
const PREFACE: usize = 24;

/// The connection.
pub(super) struct Prefaced<S> {
    stream: S,
    /// What is still to come before the time is over, and when that is; nothing where the protocol is known.
    wait: Option<(usize, Pin<Box<Sleep>>)>,
}

// === impl Prefaced ===

impl<S> Prefaced<S> {
    /// Its protocol is known.
    pub(super) const fn known(stream: S) -> Self {
        Self { stream, wait: None }
    }

    /// Its client has so long to tell.
    pub(super) fn within(stream: S, time: Duration) -> Self {
        Self {
            stream,
            wait: Some((PREFACE, Box::pin(sleep(time)))),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Prefaced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let Some((missing, timer)) = &mut self.wait else {
            return read;
        };
        if read.is_pending() && timer.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        *missing = missing.saturating_sub(buffer.filled().len().saturating_sub(before));
        if *missing == 0 {
            self.wait = None;
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Prefaced<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
