//! Whether what a poll tells out of the shared state may be old. Polls do not touch SQL, so they go on while PostgreSQL is away; but nobody
//! then writes down how tasks get on. The edge notices by billing, which cannot say any more who somebody is: from then on, one poll in a
//! while asks media itself, and as long as media does not answer, open tasks are told with `"stale": true`.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use live::{TaskSnapshot, Terminal};
use tokio::time::Instant;

use crate::{App, auth::Scoped, http::task};

/// Whether media answered who asked last.
#[derive(Debug, Default)]
pub(crate) struct Doubt(Mutex<Look>);

#[derive(Debug, Default)]
struct Look {
    asked: Option<Instant>,
    in_vain: bool,
}

/// A task's view for its customer, marked if it may be old.
pub(super) async fn view<N>(app: &App, caller: &Scoped<N>, snapshot: TaskSnapshot) -> Bytes {
    // An end is final.
    if snapshot.terminal == Terminal::Ended || !app.keys.is_billing_away() {
        return snapshot.view;
    }
    let doubt = &app.clients.doubt;
    if doubt.is_due(app.config.limits.key_cache.life) {
        let answer = task::ask(app, caller, snapshot.task).await;
        doubt.note(&answer);
        if let Ok(now) = answer {
            return now.view;
        }
    }
    if doubt.is_there() {
        marked(&snapshot.view)
    } else {
        snapshot.view
    }
}

/// The view of an open task with one more member.
fn marked(view: &Bytes) -> Bytes {
    view.strip_suffix(b"}").map_or_else(
        || view.clone(),
        |members| [members, br#","stale":true}"#].concat().into(),
    )
}

// === impl Doubt ===

impl Doubt {
    /// Whether somebody should ask media again; whoever is told so does.
    fn is_due(&self, every: Duration) -> bool {
        let mut look = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = look.asked.is_none_or(|asked| asked.elapsed() >= every);
        if due {
            look.asked = Some(Instant::now());
        }
        due
    }

    fn note<T, E>(&self, answer: &Result<T, E>) {
        let mut look = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        look.in_vain = answer.is_err();
    }

    fn is_there(&self) -> bool {
        let look = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        look.in_vain
    }
}
