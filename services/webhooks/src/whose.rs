//! Whose things a call is about. Everything that is not theirs is not there.

use domain::{AccountId, Mode};
use proto::{Fault, code};

/// Whose things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// Those of an account and mode.
    Owner(AccountId, Mode),
    /// Those of everybody: an operator asks.
    Everybody,
}

// === impl Whose ===

impl Whose {
    /// Whether a thing of this account and mode is among them.
    pub(crate) fn holds(self, account: AccountId, mode: Mode) -> bool {
        match self {
            Self::Owner(owner, of_mode) => (owner, of_mode) == (account, mode),
            Self::Everybody => true,
        }
    }

    /// Refuses what is not there, or not theirs: the same words for both.
    pub(crate) fn nothing(self, noun: &str) -> Fault {
        let message = match self {
            Self::Owner(..) => format!("there is no such {noun} for this key"),
            Self::Everybody => format!("there is no such {noun}"),
        };
        Fault::new(code::NOT_FOUND, message)
    }
}
