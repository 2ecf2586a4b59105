//! The line a call came by: whether it was cut. A caller who gives one call up leaves the line as it is; one that dies, or the network between
//! us, cuts it under every call. To a server both look the same: the call is over.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// One connection; in the extensions of every request that came by it. Calls within the process have none.
#[derive(Clone, Debug)]
pub struct Line(Arc<State>);

#[derive(Debug)]
struct State {
    cut: AtomicBool,
    begun: Instant,
    /// Milliseconds from there to the last byte that was heard.
    heard: AtomicU64,
    /// A line that is silent for so long is as good as cut.
    patience: Duration,
}

/// A socket that notes the cut of its line, before those who use it can know.
pub(super) struct Watched<S> {
    socket: S,
    line: Line,
}

// === impl Line ===

impl Line {
    /// A line that was heard just now. Who leaves a call says so by it: one that was silent for `patience` when a call ended has been lost
    /// with whoever was at its other end.
    pub(super) fn new(patience: Duration) -> Self {
        Self(Arc::new(State {
            cut: AtomicBool::new(false),
            begun: Instant::now(),
            heard: AtomicU64::new(0),
            patience,
        }))
    }

    /// Whether it was cut. Who asks because its call is over gets the truth: it was cut before.
    pub fn is_cut(&self) -> bool {
        let heard = Duration::from_millis(self.0.heard.load(Ordering::Acquire));
        let silence = self.0.begun.elapsed().saturating_sub(heard);
        self.0.cut.load(Ordering::Acquire) || silence >= self.0.patience
    }

    /// It is cut from now on.
    pub(super) fn cut(&self) {
        self.0.cut.store(true, Ordering::Release);
    }

    fn hear(&self) {
        let now = u64::try_from(self.0.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.heard.store(now, Ordering::Release);
    }
}

// === impl Watched ===

impl<S> Watched<S> {
    pub(super) fn new(socket: S, line: Line) -> Self {
        Self { socket, line }
    }

    fn note<T>(&self, done: io::Result<T>) -> io::Result<T> {
        if done.is_err() {
            self.line.cut();
        }
        done
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (before, room) = (buffer.filled().len(), buffer.remaining());
        let read = ready!(Pin::new(&mut self.socket).poll_read(context, buffer));
        // Nothing where there was room is the end.
        if room > 0 && buffer.filled().len() == before {
            self.line.cut();
        } else {
            self.line.hear();
        }
        Poll::Ready(self.note(read))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.socket).poll_write(context, bytes));
        Poll::Ready(self.note(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = ready!(Pin::new(&mut self.socket).poll_flush(context));
        Poll::Ready(self.note(flushed))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.socket).poll_write_vectored(context, slices));
        Poll::Ready(self.note(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test]
    async fn a_line_is_cut_by_its_end_and_by_nothing_else() {
        let (mut theirs, ours) = duplex(64);
        let line = Line::new(Duration::MAX);
        let mut ours = Watched::new(ours, line.clone());
        theirs.write_all(b"hello").await.unwrap();
        let mut text = [0; 5];
        ours.read_exact(&mut text).await.unwrap();
        ours.write_all(b"hello").await.unwrap();
        assert!(!line.is_cut());
        drop(theirs);
        assert_eq!(ours.read(&mut text).await.unwrap(), 0);
        assert!(line.is_cut());
    }

    #[tokio::test]
    async fn a_line_that_is_silent_for_too_long_is_cut_until_it_is_heard() {
        const PATIENCE: Duration = Duration::from_millis(50);
        let (mut theirs, ours) = duplex(64);
        let begun = Instant::now();
        let line = Line::new(PATIENCE);
        let mut ours = Watched::new(ours, line.clone());
        while !line.is_cut() {
            assert!(begun.elapsed() < Duration::from_secs(10));
            tokio::task::yield_now().await;
        }
        assert!(begun.elapsed() >= PATIENCE);
        theirs.write_all(b"hello").await.unwrap();
        ours.read_exact(&mut [0; 5]).await.unwrap();
        let heard = Duration::from_millis(line.0.heard.load(Ordering::Acquire));
        assert!(heard + Duration::from_millis(1) >= PATIENCE);
        drop(theirs);
    }

    #[tokio::test]
    async fn a_line_that_takes_no_more_is_cut() {
        let (theirs, ours) = duplex(64);
        let line = Line::new(Duration::MAX);
        let mut ours = Watched::new(ours, line.clone());
        drop(theirs);
        assert!(ours.write_all(b"hello").await.is_err());
        assert!(line.is_cut());
    }
}
