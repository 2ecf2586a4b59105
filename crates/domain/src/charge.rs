//! What is charged for work that ended this way or that: one table, route by ending. Code charges by it, `docs/api.md` prints it, tests
//! compare.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// How work is asked for, as far as its charge depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Chat, answered in one piece; embeddings are charged as that.
    ChatWhole,
    /// Chat, answered in a stream.
    ChatStream,
    /// A media task.
    Media,
}

/// How much of the price is charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Charge {
    /// Nothing: the hold is given back.
    Nothing,
    /// What had arrived by then; nothing if nothing had.
    WhatArrived,
    /// All that was used.
    InFull,
}

/// Every kind has a column: what it charges, or nothing said where an ending cannot happen to it.
type Columns = [Option<Charge>; 3];

macro_rules! endings {
    ($($name:ident = $word:literal, $what:literal, $whole:tt $stream:tt $media:tt;)*) => {
        /// How work ended.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
        pub enum Ending {
            $(
                #[doc = $what]
                #[serde(rename = $word)]
                $name,
            )*
        }

        impl Ending {
            /// Every ending, in the order of the docs.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The word of receipts and metrics.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// What happened, for the docs.
            pub const fn what(self) -> &'static str {
                match self { $(Self::$name => $what,)* }
            }

            const fn columns(self) -> Columns {
                match self { $(Self::$name => [column!($whole), column!($stream), column!($media)],)* }
            }
        }
    };
}

macro_rules! column {
    (-) => {
        None
    };
    (nothing) => {
        Some(Charge::Nothing)
    };
    (arrived) => {
        Some(Charge::WhatArrived)
    };
    (full) => {
        Some(Charge::InFull)
    };
}

endings! {
    Completed = "completed", "the answer or the task completes", full full full;
    ClientLeft = "client_left", "you go away before the answer has ended", nothing arrived -;
    SlowReader = "slow_reader", "you take the stream too slowly", - arrived -;
    UpstreamCut = "upstream_cut", "the provider breaks off inside its answer", - arrived -;
    CutUnread = "cut_unread", "the provider breaks off after you left an answer that has an `Idempotency-Key`", - nothing -;
    Moderated = "moderated", "the provider's content policy refuses the request or its result", nothing arrived nothing;
    Invalid = "invalid", "the provider refuses the request as not valid", nothing nothing nothing;
    RateLimited = "rate_limited", "the provider takes no more requests", nothing nothing nothing;
    Overloaded = "overloaded", "the provider fails", nothing nothing nothing;
    Auth = "auth", "the provider refuses our credential", nothing nothing nothing;
    Balance = "balance", "our account at the provider is empty", nothing nothing nothing;
    Gone = "gone", "the provider does not have the model", nothing nothing nothing;
    NotSent = "not_sent", "the provider cannot be reached", nothing nothing nothing;
    Unknown = "unknown", "the provider does not answer", nothing nothing nothing;
    Malformed = "malformed", "the provider's answer cannot be understood", nothing nothing nothing;
    JobLost = "job_lost", "the provider loses the task", - - nothing;
    TooLong = "input_too_long", "what is given lasts longer than the task's `max_seconds`", - - nothing;
    OutputUnusable = "output_unusable", "what the provider made cannot be kept", - - nothing;
    SubmitUnknown = "submit_outcome_unknown", "we lose the provider's answer to a submit", - - nothing;
    Cancelled = "cancelled", "the task is cancelled", - - nothing;
    Deadline = "deadline_exceeded", "the task passes its deadline", - - nothing;
    NoProvider = "no_provider", "no provider is configured any more", - - nothing;
    NeverAccepted = "never_accepted", "the price may be held, but the request is not accepted", nothing nothing nothing;
    BillingUnavailable = "billing_unavailable", "the charge cannot be booked in time", nothing nothing -;
    Internal = "internal", "something of ours fails", nothing nothing nothing;
    ProcessDied = "process_died", "our process dies (a task goes on in another)", nothing nothing -;
}

// === impl Kind ===

impl Kind {
    /// Every kind, in the order of the docs.
    pub const ALL: [Self; 3] = [Self::ChatWhole, Self::ChatStream, Self::Media];
}

// === impl Charge ===

impl Charge {
    /// The words of the docs.
    const fn words(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::WhatArrived => "what had arrived",
            Self::InFull => "in full",
        }
    }
}

// === impl Ending ===

impl Ending {
    /// Reads the word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|ending| ending.as_str() == word)
    }

    /// How much of the price is charged. What cannot happen to a kind charges nothing.
    pub const fn charge(self, kind: Kind) -> Charge {
        match self.can_happen(kind) {
            Some(charge) => charge,
            None => Charge::Nothing,
        }
    }

    /// The table's field; `None`: this ending cannot happen to this kind.
    pub const fn can_happen(self, kind: Kind) -> Option<Charge> {
        let [whole, stream, media] = self.columns();
        match kind {
            Kind::ChatWhole => whole,
            Kind::ChatStream => stream,
            Kind::Media => media,
        }
    }
}

/// The table as the docs print it.
pub fn markdown() -> String {
    let mut table = "| what happens | `class` | chat, whole | chat, streamed | tasks |\n\
                     | --- | --- | --- | --- | --- |\n"
        .to_owned();
    for ending in Ending::ALL {
        let fields = Kind::ALL.map(|kind| ending.can_happen(kind).map_or("–", Charge::words));
        let [whole, stream, media] = fields;
        let (what, word) = (ending.what(), ending.as_str());
        // Writing to a text does not fail.
        let _ = writeln!(
            table,
            "| {what} | `{word}` | {whole} | {stream} | {media} |"
        );
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_docs_print_this_table() {
        let docs = include_str!("../../../docs/api.md");
        let (_, section) = docs.split_once("## How you are charged\n").unwrap();
        assert!(
            section.contains(&markdown()),
            "docs/api.md must hold:\n{}",
            markdown()
        );
        let rows = section.lines().filter(|line| line.starts_with("| "));
        let printed = rows.filter(|line| line.contains("| `")).count();
        assert!(printed > Ending::ALL.len(), "the table and its head");
    }

    #[test]
    fn only_success_is_charged_in_full_and_only_streams_in_part() {
        for ending in Ending::ALL {
            for kind in Kind::ALL {
                match ending.charge(kind) {
                    Charge::InFull => assert_eq!(*ending, Ending::Completed),
                    Charge::WhatArrived => assert_eq!(kind, Kind::ChatStream),
                    Charge::Nothing => assert_ne!(*ending, Ending::Completed),
                }
            }
        }
    }

    #[test]
    fn words_are_unique_and_read_back() {
        for ending in Ending::ALL {
            assert_eq!(Ending::parse(ending.as_str()), Some(*ending));
            let json = serde_json::to_string(ending).unwrap();
            assert_eq!(json, format!("\"{}\"", ending.as_str()));
        }
    }
}
