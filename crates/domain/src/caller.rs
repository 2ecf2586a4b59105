//! Who asks, and for which of an account's two balances.

use crate::{AccountId, KeyId, UserId, price::PriceFactor};

/// Test and live are two balances of one account. What belongs to one does not exist for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mode {
    /// Play money against the sandbox.
    Test,
    /// Real credit against real providers.
    Live,
}

/// What a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// Paid routes.
    Inference,
    /// Look at tasks, balances and usage.
    Read,
    /// Keys and webhooks of the own account.
    Manage,
    /// Everything of every account.
    Admin,
}

/// Who asks: carried by every internal request that belongs to a customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Whose money and things.
    pub account: AccountId,
    /// Which balance.
    pub mode: Mode,
    /// The key that was presented; `None` on the operator's own socket.
    pub key: Option<KeyId>,
    /// The person who asks through the dashboard, where no key is presented.
    pub user: Option<UserId>,
    /// What the key may do.
    pub scopes: Vec<Scope>,
    /// The request this belongs to, for logs and errors.
    pub request_id: String,
    /// What the account pays of a price.
    pub price_factor: PriceFactor,
}

// === impl Mode ===

impl Mode {
    /// The word customers see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Test => "test",
            Self::Live => "live",
        }
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Test, Self::Live]
            .into_iter()
            .find(|mode| mode.as_str() == word)
    }
}

// === impl Scope ===

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 4] = [Self::Inference, Self::Read, Self::Manage, Self::Admin];

    /// The word customers see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inference => "inference",
            Self::Read => "read",
            Self::Manage => "manage",
            Self::Admin => "admin",
        }
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == word)
    }
}
