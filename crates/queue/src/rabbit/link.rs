//! Connections: how one is made, what its failures mean, and how long to wait before the next attempt.

use std::{future::Future, time::Duration};

use lapin::{
    Connection, ConnectionProperties, ErrorKind,
    protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError},
    uri::AMQPUri,
};
use tokio::time::{Instant, timeout};
use tracing::error;

use super::config::Reconnect;

/// How often the same complaint is repeated.
const COMPLAIN_AGAIN: Duration = Duration::from_secs(60);

/// What ended sooner than this did not work.
const GOOD_LIFE: Duration = Duration::from_secs(10);

/// Why the broker cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// It is not there, or not at the moment: try again.
    #[error("{0}")]
    Away(String),
    /// It is there, and somebody must change something: it must not be used.
    #[error("{0}")]
    Refused(String),
}

/// The pauses between attempts.
pub(super) struct Backoff {
    limits: Reconnect,
    next: Duration,
}

/// A complaint that is not repeated all the time.
#[derive(Default)]
pub(super) struct Complaint(Option<Instant>);

// === impl Failure ===

impl Failure {
    /// What the failure of declaring something means.
    pub(super) fn of_declaring(kind: &str, name: &str, error: &lapin::Error) -> Self {
        let soft = match said(error) {
            Some(AMQPErrorKind::Soft(soft)) => Some(soft),
            Some(AMQPErrorKind::Hard(_)) | None => None,
        };
        match soft {
            Some(AMQPSoftError::PRECONDITIONFAILED) => Self::Refused(format!(
                "the {kind} {name} exists with other arguments or the broker does not know some of ours: delete it or change \
                 rabbitmq.prefix ({error})"
            )),
            Some(AMQPSoftError::ACCESSREFUSED) => Self::Refused(format!(
                "the user may not declare the {kind} {name}: give it the right to configure, write and read ({error})"
            )),
            Some(_) | None => Self::Away(format!("cannot declare the {kind} {name}: {error}")),
        }
    }
}

impl From<lapin::Error> for Failure {
    fn from(error: lapin::Error) -> Self {
        let refused = match said(&error) {
            Some(AMQPErrorKind::Soft(soft)) => matches!(
                soft,
                AMQPSoftError::ACCESSREFUSED | AMQPSoftError::PRECONDITIONFAILED
            ),
            // Its virtual host does not exist, or is not for this user.
            Some(AMQPErrorKind::Hard(hard)) => matches!(hard, AMQPHardError::NOTALLOWED),
            None => matches!(
                error.kind(),
                ErrorKind::InvalidProtocolVersion(_) | ErrorKind::AuthProviderError(_)
            ),
        };
        match refused {
            true => Self::Refused(error.to_string()),
            false => Self::Away(error.to_string()),
        }
    }
}

// === impl Backoff ===

impl Backoff {
    pub(super) fn new(limits: Reconnect) -> Self {
        Self {
            limits,
            next: limits.min,
        }
    }

    /// How long to wait now: between half and all of what is due.
    pub(super) fn pause(&mut self) -> Duration {
        let due = self.next;
        self.next = due.saturating_mul(2).min(self.limits.max);
        let half = due / 2;
        let spread = u64::try_from(half.as_micros()).unwrap_or(u64::MAX);
        half.saturating_add(Duration::from_micros(rand::random_range(0..=spread)))
    }

    /// How long to wait now that something ended which had worked for so long. If that was not long, the pauses go on getting
    /// longer: a broker may accept everything and end it at once.
    pub(super) fn pause_after(&mut self, worked: Duration) -> Duration {
        if worked >= GOOD_LIFE {
            self.reset();
        }
        self.pause()
    }

    /// It worked: the next pause is the shortest again.
    pub(super) fn reset(&mut self) {
        self.next = self.limits.min;
    }
}

// === impl Complaint ===

impl Complaint {
    /// Logs that the broker must not be used, at most once a minute.
    pub(super) fn make(&mut self, reason: &str) {
        let now = Instant::now();
        let recent = |last: Instant| now.saturating_duration_since(last) < COMPLAIN_AGAIN;
        if !self.0.is_some_and(recent) {
            self.0 = Some(now);
            error!(reason, "RabbitMQ is there and cannot be used as it is");
        }
    }
}

/// Opens a connection. Nothing recovers by itself: whoever has it makes another when it fails.
pub(super) async fn connect(
    uri: &AMQPUri,
    name: &str,
    patience: Duration,
) -> Result<Connection, Failure> {
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    within(patience, Connection::connect_uri(uri.clone(), properties)).await
}

/// Waits for an answer of the broker.
pub(super) async fn within<T, E: Into<Failure>>(
    patience: Duration,
    answer: impl Future<Output = Result<T, E>>,
) -> Result<T, Failure> {
    match timeout(patience, answer).await {
        Ok(answer) => answer.map_err(Into::into),
        Err(_late) => Err(Failure::Away(format!("no answer within {patience:?}"))),
    }
}

/// What the broker itself said was wrong, if it was the broker.
pub(super) fn said(error: &lapin::Error) -> Option<&AMQPErrorKind> {
    if let ErrorKind::ProtocolError(error) = error.kind() {
        Some(error.kind())
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_start_again() {
        let limits = Reconnect {
            min: Duration::from_millis(100),
            max: Duration::from_millis(350),
        };
        let mut backoff = Backoff::new(limits);
        for due in [100, 200, 350, 350] {
            let pause = backoff.pause();
            let due = Duration::from_millis(due);
            assert!(pause >= due / 2 && pause <= due, "{pause:?} of {due:?}");
        }
        backoff.reset();
        assert!(backoff.pause() <= limits.min);
    }

    #[test]
    fn what_ends_at_once_is_tried_ever_more_seldom() {
        let limits = Reconnect {
            min: Duration::from_millis(100),
            max: Duration::from_millis(400),
        };
        let mut backoff = Backoff::new(limits);
        backoff.pause_after(Duration::ZERO);
        backoff.pause_after(Duration::ZERO);
        assert!(backoff.pause_after(Duration::ZERO) >= limits.max / 2);
        assert!(backoff.pause_after(GOOD_LIFE) <= limits.min);
    }
}
