//! People, and what they may do in an account. Pure.

use domain::{AccountId, Id, Mode, Scope, UserId, ids::Kind};

/// A browser that is signed in, as its person's list names it.
pub(crate) type SessionId = Id<SessionKind>;
/// An invitation, as the list of an account names it.
pub(crate) type InviteId = Id<InviteKind>;
/// A passkey, as its person's list names it.
pub(crate) type PasskeyId = Id<PasskeyKind>;
/// What somebody did here.
pub(crate) type ActId = Id<ActKind>;

/// Names sessions.
#[derive(Debug)]
pub(crate) enum SessionKind {}
/// Names invitations.
#[derive(Debug)]
pub(crate) enum InviteKind {}
/// Names passkeys.
#[derive(Debug)]
pub(crate) enum PasskeyKind {}
/// Names acts.
#[derive(Debug)]
pub(crate) enum ActKind {}

/// How much of an account somebody may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    /// Looks.
    Viewer,
    /// Makes keys, buys credit, sets up webhooks.
    Member,
    /// Also says who else may.
    Owner,
}

/// Somebody who is signed in, and what they look at.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) id: UserId,
    pub(crate) email: String,
    pub(crate) name: String,
    /// Whether the address was confirmed.
    pub(crate) confirmed: bool,
    /// Whether they may see what operators see.
    pub(crate) operator: bool,
    pub(crate) view: View,
}

/// What somebody looks at.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) account: AccountId,
    /// What the account is called.
    pub(crate) name: String,
    pub(crate) mode: Mode,
    pub(crate) role: Role,
}

// === impl Kind ===

impl Kind for SessionKind {
    const PREFIX: &'static str = "ses";
}

impl Kind for InviteKind {
    const PREFIX: &'static str = "inv";
}

impl Kind for PasskeyKind {
    const PREFIX: &'static str = "pass";
}

impl Kind for ActKind {
    const PREFIX: &'static str = "act";
}

// === impl Role ===

impl Role {
    /// The word that is kept and shown.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Member => "member",
            Self::Owner => "owner",
        }
    }

    /// Reads the word.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        [Self::Viewer, Self::Member, Self::Owner]
            .into_iter()
            .find(|role| role.as_str() == word)
    }

    /// The same for people.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "Viewer",
            Self::Member => "Member",
            Self::Owner => "Owner",
        }
    }

    /// What other services are told that somebody may do. Nobody hands out more than they have, so that keys made here have these at
    /// most.
    pub(crate) fn scopes(self) -> &'static [Scope] {
        match self {
            Self::Viewer => &[Scope::Read],
            Self::Member | Self::Owner => &[Scope::Inference, Scope::Read, Scope::Manage],
        }
    }
}
