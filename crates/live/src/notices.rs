//! Notices as listeners hear them, whatever they came by.

use futures::{StreamExt as _, stream, stream::BoxStream};
use tokio::sync::broadcast::{Receiver, error::RecvError};

use crate::Notice;

/// Everything sent from now on, until the sender is gone. A listener that is too slow is told that it missed some.
pub(crate) fn stream(notices: Receiver<Notice>) -> BoxStream<'static, Notice> {
    stream::unfold(notices, next).boxed()
}

async fn next(mut notices: Receiver<Notice>) -> Option<(Notice, Receiver<Notice>)> {
    match notices.recv().await {
        Ok(notice) => Some((notice, notices)),
        Err(RecvError::Lagged(_missed)) => Some((Notice::Missed, notices)),
        Err(RecvError::Closed) => None,
    }
}
