//! What is served here, synchronously and by token. Pure.

use domain::catalogue::{CHAT_ROUTE, EMBEDDINGS_ROUTE, MESSAGES_ROUTE, RESPONSES_ROUTE};

/// A route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Surface {
    /// Chat.
    Chat,
    /// Chat that was asked for in Anthropic's words, and is in OpenAI's by now.
    Messages,
    /// Chat that was asked for in the words of OpenAI's Responses API, and is in those of chat by now.
    Responses,
    /// Embeddings: always answered in one piece.
    Embeddings,
}

// === impl Surface ===

impl Surface {
    /// Reads a route, below `/api/v1/`; empty is chat, as callers of an older version say it.
    pub(crate) fn parse(route: &str) -> Option<Self> {
        match route {
            "" | CHAT_ROUTE => Some(Self::Chat),
            MESSAGES_ROUTE => Some(Self::Messages),
            RESPONSES_ROUTE => Some(Self::Responses),
            EMBEDDINGS_ROUTE => Some(Self::Embeddings),
            _ => None,
        }
    }

    /// The route, below `/api/v1/`.
    pub(crate) const fn route(self) -> &'static str {
        match self {
            Self::Chat => CHAT_ROUTE,
            Self::Messages => MESSAGES_ROUTE,
            Self::Responses => RESPONSES_ROUTE,
            Self::Embeddings => EMBEDDINGS_ROUTE,
        }
    }

    /// Whether the request was written in other words than those that it is in by now.
    pub(crate) const fn is_translated(self) -> bool {
        match self {
            Self::Messages | Self::Responses => true,
            Self::Chat | Self::Embeddings => false,
        }
    }

    /// The route whose models it serves.
    pub(crate) const fn models(self) -> &'static str {
        match self {
            Self::Chat | Self::Messages | Self::Responses => CHAT_ROUTE,
            Self::Embeddings => EMBEDDINGS_ROUTE,
        }
    }
}
