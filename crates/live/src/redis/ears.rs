//! What this process hears from the others: which tasks changed, and notices. One connection hears for everybody here.
//!
//! All processes of an installation use two channels. Every change is told to every process in which somebody waits: a
//! thousand changes a second are 60 KB and a thousand look-ups in a table for each of them, while a channel for each task
//! would cost two commands for each wait and thousands to make good after a break. Processes in which nobody listens,
//! such as those that run tasks, do not connect.
//!
//! Messages are lost while the connection is. So whenever it begins or ends, everybody looks again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use chassis::Tasks;
use domain::{KeyId, TaskId};
use futures::stream::BoxStream;
use redis::{PushInfo, PushKind, RedisResult, Value, aio::MultiplexedConnection};
use tokio::{
    sync::{broadcast, watch},
    time::{MissedTickBehavior, interval},
};

use super::{
    keys::Names,
    link::{Dialed, Dialer, Link, Pauses, is_end, reason},
};
use crate::{Notice, notices, waiters::Waiters};

/// Notices kept for a listener that is slow.
const NOTICES: usize = 1_024;
/// How often an idle connection is asked whether it is one still.
const PING_EVERY: Duration = Duration::from_secs(5);
/// How often waiters look while nothing can be heard.
const DEAF_POLL: Duration = Duration::from_secs(1);
/// What a notice about a key begins with.
const KEY_REVOKED: &str = "key_revoked ";

/// What this process hears.
pub(super) struct Ears {
    /// Those who wait for tasks.
    pub(super) waiters: Waiters,
    names: Names,
    poll: Duration,
    notices: broadcast::Sender<Notice>,
    wanted: watch::Sender<bool>,
    hearing: AtomicBool,
}

// === impl Ears ===

impl Ears {
    pub(super) fn new(names: Names, poll: Duration) -> Self {
        Self {
            waiters: Waiters::default(),
            names,
            poll,
            notices: broadcast::Sender::new(NOTICES),
            wanted: watch::Sender::new(false),
            hearing: AtomicBool::new(false),
        }
    }

    /// From the first time on that somebody wants to hear something, we listen.
    pub(super) fn want(&self) {
        self.wanted
            .send_if_modified(|wanted| !std::mem::replace(wanted, true));
    }

    /// How long one who waits may trust to being woken.
    pub(super) fn poll(&self) -> Duration {
        if self.hearing.load(Ordering::SeqCst) {
            self.poll
        } else {
            self.poll.min(DEAF_POLL)
        }
    }

    /// Notices from now on.
    pub(super) fn notices(&self) -> BoxStream<'static, Notice> {
        self.want();
        notices::stream(self.notices.subscribe())
    }

    /// Tells those in this process.
    pub(super) fn tell(&self, notice: Notice) {
        // An error says that nobody listens, which is fine.
        let _ = self.notices.send(notice);
    }

    /// Listens until told to stop, from the first time on that somebody wants it.
    pub(super) async fn listen(self: Arc<Self>, link: Arc<Link>, tasks: Tasks) {
        let mut wanted = self.wanted.subscribe();
        tokio::select! {
            _ = wanted.wait_for(|wanted| *wanted) => {}
            () = tasks.stopping() => return,
        }
        let mut pauses = Pauses::new();
        while !tasks.is_stopping() {
            match self.subscribe(link.dialer()).await {
                Ok(dialed) => {
                    pauses = Pauses::new();
                    self.hearing.store(true, Ordering::SeqCst);
                    self.look_again();
                    tokio::select! {
                        () = self.follow(dialed) => {}
                        () = tasks.stopping() => {}
                    }
                    self.hearing.store(false, Ordering::SeqCst);
                    self.look_again();
                }
                Err(error) => tracing::debug!(reason = reason(&error), "cannot listen to Redis"),
            }
            pauses.rest(&tasks).await;
        }
    }

    async fn subscribe(&self, dialer: &Dialer) -> RedisResult<Dialed> {
        let mut dialed = dialer.dial().await?;
        let channels = [&self.names.tasks_channel, &self.names.notices_channel];
        dialed.connection.subscribe(channels.as_slice()).await?;
        Ok(dialed)
    }

    /// Hears until the connection ends, or does not answer.
    async fn follow(&self, mut dialed: Dialed) {
        let mut pings = interval(PING_EVERY);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                push = dialed.pushes.recv() => match push {
                    Some(push) if !is_end(&push) => self.hear(&push),
                    Some(_) | None => return,
                },
                _ = pings.tick() => if !is_alive(&mut dialed.connection).await {
                    return;
                },
            }
        }
    }

    fn hear(&self, push: &PushInfo) {
        let (PushKind::Message, [Value::BulkString(channel), Value::BulkString(message)]) =
            (&push.kind, push.data.as_slice())
        else {
            return;
        };
        if channel == self.names.notices_channel.as_bytes() {
            self.tell(notice(message));
        } else if let Some(task) = TaskId::from_slice(message) {
            self.waiters.wake(task);
        }
    }

    /// Something may have gone unheard.
    fn look_again(&self) {
        self.tell(Notice::Missed);
        self.waiters.wake_all();
    }
}

/// A notice as it travels.
pub(super) fn text(notice: Notice) -> String {
    match notice {
        Notice::KeyChanged(key) => format!("{KEY_REVOKED}{key}"),
        Notice::Missed => "missed".to_owned(),
    }
}

/// What cannot be read may have named anything.
fn notice(message: &[u8]) -> Notice {
    std::str::from_utf8(message)
        .ok()
        .and_then(|text| KeyId::parse(text.strip_prefix(KEY_REVOKED)?))
        .map_or(Notice::Missed, Notice::KeyChanged)
}

async fn is_alive(connection: &mut MultiplexedConnection) -> bool {
    let answer: RedisResult<()> = redis::cmd("PING").query_async(connection).await;
    answer.is_ok()
}

#[cfg(test)]
mod tests {
    use domain::Id;

    use super::*;

    #[test]
    fn notices_travel_as_text_and_unknown_ones_mean_everything() {
        let revoked = Notice::KeyChanged(Id::from_slice(&[5; 16]).unwrap());
        for said in [revoked, Notice::Missed] {
            assert_eq!(notice(text(said).as_bytes()), said);
        }
        for unknown in ["", "key_revoked ", "key_revoked x", "account_closed x"] {
            assert_eq!(notice(unknown.as_bytes()), Notice::Missed, "{unknown}");
        }
        assert_eq!(notice(&[0xff]), Notice::Missed);
    }
}
