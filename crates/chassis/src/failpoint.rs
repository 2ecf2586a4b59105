//! Points at which a process can be told to die, so that it can be shown that nothing is lost when it does: `cargo xtask chaos`.
//! `AIO_CRASH=NAME` makes it die when it comes to a point, `AIO_CRASH=NAME:3` when it comes there for the third time. Only a build
//! with the feature `failpoints` listens; no release has it, and in those [`reach`] is nothing at all.

/// Where a process can be told to die.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// The edge has read a request for chat, and has told nobody.
    EdgeBeforeForward,
    /// A batch of the ledger waits to be written.
    BillingBeforeCommit,
    /// A batch of the ledger is on disk, and nobody knows.
    BillingAfterCommit,
    /// In the transaction of a payment's event: the event is written, its credit is not.
    BillingMidPayment,
    /// A chat's credit is held, and no provider was asked.
    ChatAfterHold,
    /// An event of a provider has come to chat.
    ChatMidStream,
    /// A provider is done, and the charge was not asked for.
    ChatBeforeCapture,
    /// The charge is made, and the last byte has not left.
    ChatAfterCapture,
    /// A task was checked, and not written down.
    MediaBeforeTask,
    /// A task is written down, and its price is not held.
    MediaAfterTask,
    /// A task's price is held, and the task is not accepted.
    MediaAfterHold,
    /// A task is accepted, and its customer does not know.
    MediaAfterAccept,
}

// === impl Point ===

impl Point {
    /// Every point: whoever tests them tests all of these.
    pub const ALL: [Self; 12] = [
        Self::EdgeBeforeForward,
        Self::BillingBeforeCommit,
        Self::BillingAfterCommit,
        Self::BillingMidPayment,
        Self::ChatAfterHold,
        Self::ChatMidStream,
        Self::ChatBeforeCapture,
        Self::ChatAfterCapture,
        Self::MediaBeforeTask,
        Self::MediaAfterTask,
        Self::MediaAfterHold,
        Self::MediaAfterAccept,
    ];

    /// Its name in `AIO_CRASH`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EdgeBeforeForward => "edge.before_forward",
            Self::BillingBeforeCommit => "billing.before_commit",
            Self::BillingAfterCommit => "billing.after_commit",
            Self::BillingMidPayment => "billing.mid_payment",
            Self::ChatAfterHold => "chat.after_hold",
            Self::ChatMidStream => "chat.mid_stream",
            Self::ChatBeforeCapture => "chat.before_capture",
            Self::ChatAfterCapture => "chat.after_capture",
            Self::MediaBeforeTask => "media.before_task",
            Self::MediaAfterTask => "media.after_task",
            Self::MediaAfterHold => "media.after_hold",
            Self::MediaAfterAccept => "media.after_accept",
        }
    }
}

/// Nothing: this build cannot be told to die.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub const fn reach(_point: Point) {}

/// Dies at once, without a word to anybody, if this is the point and the time that `AIO_CRASH` names.
#[cfg(feature = "failpoints")]
pub fn reach(point: Point) {
    armed::reach(point);
}

#[cfg(feature = "failpoints")]
mod armed {
    use std::{
        process::abort,
        sync::{
            LazyLock,
            atomic::{AtomicU32, Ordering},
        },
    };

    use super::Point;
    use crate::config::variable_value;

    /// The point to die at, and how often it is passed before.
    static ARMED: LazyLock<Option<(String, AtomicU32)>> = LazyLock::new(|| {
        let value = variable_value("AIO_CRASH")?;
        let (name, time) = value.split_once(':').unwrap_or((&value, "1"));
        let passes = time.parse::<u32>().ok()?.checked_sub(1)?;
        Some((name.to_owned(), AtomicU32::new(passes)))
    });

    pub(super) fn reach(point: Point) {
        let Some((name, passes)) = &*ARMED else {
            return;
        };
        if name == point.as_str() {
            let less = |passes: u32| passes.checked_sub(1);
            if passes
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, less)
                .is_err()
            {
                abort();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_point_has_a_name_of_its_own() {
        let names: HashSet<&str> = Point::ALL.into_iter().map(Point::as_str).collect();
        assert_eq!(names.len(), Point::ALL.len());
    }
}
