//! Points at which a process can be told to die, so that it can be shown that nothing is lost when it does: `cargo xtask chaos`.
//! `AIO_CRASH=NAME` makes it die when it comes to a point, `AIO_CRASH=NAME:3` when it comes there for the third time. Only a build
//! with the feature `failpoints` listens; no release has it, and in those [`reach`] is nothing at all.

macro_rules! points {
    ($($name:ident = $word:literal, $what:literal;)*) => {
        /// Where a process can be told to die.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Point {
            $(
                #[doc = $what]
                $name,
            )*
        }

        impl Point {
            /// Every point: whoever tests them tests all of these.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Its name in `AIO_CRASH`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// What has happened by then, and what has not.
            pub const fn what(self) -> &'static str {
                match self { $(Self::$name => $what,)* }
            }
        }
    };
}

points! {
    EdgeBeforeForward = "edge.before_forward", "The edge has read a request for chat, and has told nobody.";
    BillingBeforeCommit = "billing.before_commit", "A batch of the ledger waits to be written.";
    BillingAfterCommit = "billing.after_commit", "A batch of the ledger is on disk, and nobody knows.";
    BillingMidPayment = "billing.mid_payment", "In the transaction of a payment's event: the event is written, its credit is not.";
    ChatAfterHold = "chat.after_hold", "A chat's credit is held, and no provider was asked.";
    ChatMidStream = "chat.mid_stream", "An event of a provider has come to chat.";
    ChatBeforeCapture = "chat.before_capture", "A provider is done, and the charge was not asked for.";
    ChatAfterCapture = "chat.after_capture", "The charge is made, and the last byte has not left.";
    MediaBeforeTask = "media.before_task", "A task was checked, and not written down.";
    MediaAfterTask = "media.after_task", "A task is written down, and its price is not held.";
    MediaAfterHold = "media.after_hold", "A task's price is held, and the task is not accepted.";
    MediaAfterAccept = "media.after_accept", "A task is accepted, and its customer does not know.";
    MediaBeforeRing = "media.before_ring", "The bell of a task is to be rung, and was not.";
    MediaAfterRing = "media.after_ring", "The bell of a task has rung, and that is not written down.";
    MediaBeforeClaim = "media.before_claim", "A worker has heard the bell, and has not taken the task.";
    MediaAfterClaim = "media.after_claim", "A worker has taken a task, and not settled with the queue.";
    MediaBeforeSubmit = "media.before_submit", "A worker has settled with the queue, and no provider was asked.";
    MediaAfterSubmit = "media.after_submit", "A provider has taken a task, and what it calls it is not written down.";
    MediaBeforeEnd = "media.before_end", "A task is about to end, and that is not written down.";
    MediaMidEnd = "media.mid_end", "In the transaction of a task's end: its state is written, what billing is told of it is not.";
    MediaAfterEnd = "media.after_end", "A task has ended, and neither billing nor its customer was told.";
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
        let names: HashSet<&str> = Point::ALL.iter().map(|point| point.as_str()).collect();
        assert_eq!(names.len(), Point::ALL.len());
    }
}
