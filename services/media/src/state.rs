//! The life of a task, pure: which step comes next, and what an event makes of a state. The first terminal state wins.

/// Where a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum State {
    /// Written down; its price is not held yet.
    Reserving,
    /// Accepted: held, waiting for a worker.
    Queued,
    /// A worker has it, and a paid submit may be under way.
    Starting,
    /// A provider has it.
    Running,
    /// Done, charged.
    Completed,
    /// Over, free.
    Failed,
}

/// What a worker does with a task now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Submit it to a provider.
    Start,
    /// Ask the provider how it stands; store what it made.
    Check,
    /// Nothing: it is over, or not ours to move.
    Rest,
}

/// What happened to a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Its price is held.
    Held,
    /// A worker took it to submit it.
    Claimed,
    /// The provider took it.
    Accepted,
    /// The provider certainly did not take it, and may later.
    PutBack,
    /// Its outputs are stored.
    Succeeded,
    /// It cannot succeed any more.
    Failed,
    /// The customer no longer wants it.
    Cancelled,
    /// The provider that had it failed, for nothing, and another one is asked.
    PassedOn,
}

// === impl State ===

impl State {
    /// Every state.
    pub(crate) const ALL: [Self; 6] = [
        Self::Reserving,
        Self::Queued,
        Self::Starting,
        Self::Running,
        Self::Completed,
        Self::Failed,
    ];

    /// The word kept in SQL.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Reserving => "reserving",
            Self::Queued => "queued",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }

    /// Reads the word kept in SQL.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }

    /// The states that customers see as this word; none: they see no such word.
    pub(crate) fn seen_as(word: &str) -> Vec<Self> {
        let seen = |state: &Self| *state != Self::Reserving && state.public() == word;
        Self::ALL.into_iter().filter(seen).collect()
    }

    /// The word customers see.
    pub(crate) const fn public(self) -> &'static str {
        match self {
            Self::Reserving | Self::Queued => "queued",
            Self::Starting | Self::Running => "processing",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }

    /// Whether nothing can change any more.
    pub(crate) const fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed)
    }

    /// What a worker that holds the lease does now.
    pub(crate) const fn next(self) -> Step {
        match self {
            Self::Starting => Step::Start,
            Self::Running => Step::Check,
            Self::Reserving | Self::Queued | Self::Completed | Self::Failed => Step::Rest,
        }
    }

    /// The state after an event; `None` when the event comes too late or too early and changes nothing.
    pub(crate) const fn apply(self, event: Event) -> Option<Self> {
        match (self, event) {
            (Self::Reserving, Event::Held) | (Self::Starting, Event::PutBack) => Some(Self::Queued),
            (Self::Queued, Event::Claimed) | (Self::Running, Event::PassedOn) => {
                Some(Self::Starting)
            }
            (Self::Starting, Event::Accepted) => Some(Self::Running),
            (Self::Running, Event::Succeeded) => Some(Self::Completed),
            (Self::Queued | Self::Starting | Self::Running, Event::Failed)
            | (Self::Queued | Self::Running, Event::Cancelled) => Some(Self::Failed),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EVENTS: [Event; 8] = [
        Event::Held,
        Event::Claimed,
        Event::Accepted,
        Event::PutBack,
        Event::Succeeded,
        Event::Failed,
        Event::Cancelled,
        Event::PassedOn,
    ];

    /// The whole table: a row per state, a column per event, `-` for "changes nothing".
    const TABLE: &str = "
        state     | Held   Claimed  Accepted PutBack Succeeded Failed Cancelled PassedOn
        reserving | queued -        -        -       -         -      -         -
        queued    | -      starting -        -       -         failed failed    -
        starting  | -      -        running  queued  -         failed -         -
        running   | -      -        -        -       completed failed failed    starting
        completed | -      -        -        -       -         -      -         -
        failed    | -      -        -        -       -         -      -         -
    ";

    #[test]
    fn every_state_meets_every_event_as_the_table_says() {
        let rows: Vec<&str> = TABLE.trim().lines().skip(1).collect();
        assert_eq!(rows.len(), State::ALL.len());
        for row in rows {
            let (state, cells) = row.split_once('|').unwrap();
            let state = State::parse(state.trim()).unwrap();
            let cells: Vec<&str> = cells.split_whitespace().collect();
            assert_eq!(cells.len(), EVENTS.len());
            for (event, cell) in EVENTS.into_iter().zip(cells) {
                assert_eq!(
                    state.apply(event).map_or("-", State::as_str),
                    cell,
                    "{state:?} and {event:?}"
                );
            }
        }
    }

    proptest! {
        #[test]
        fn the_first_terminal_state_wins(events in proptest::collection::vec(0_usize..8, 0..40)) {
            let mut state = State::Reserving;
            let mut ended = None;
            for event in events {
                state = state.apply(EVENTS[event]).unwrap_or(state);
                if let Some(end) = ended {
                    prop_assert_eq!(state, end);
                } else if state.is_terminal() {
                    ended = Some(state);
                }
                prop_assert_eq!(state.is_terminal(), ended.is_some());
            }
        }
    }
}
