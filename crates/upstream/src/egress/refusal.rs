//! Why a URL is refused, in words for the customer: what is wrong, and what is allowed.
//!
//! A refusal never repeats the URL, whose path and query may hold secrets, nor the addresses a name led to, which would
//! let a stranger ask our name server about the inside.

use std::fmt;

/// Why a URL is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Longer than the limit.
    TooLong {
        /// The limit, in bytes.
        max_bytes: usize,
    },
    /// Not a URL, or one with characters that have no place in it.
    Malformed,
    /// A scheme that is not allowed.
    Scheme {
        /// What is allowed, such as `https`.
        allowed: String,
    },
    /// A user name or password before the host.
    Credentials,
    /// A port that is not allowed.
    Port {
        /// The port.
        port: u16,
        /// What is allowed, such as `443, 80`.
        allowed: String,
    },
    /// A host name that cannot be public: a single label, or below a reserved or refused name.
    Name,
    /// The host of this installation itself, and no link of a file that it gives.
    Own,
    /// A literal address that is not public.
    Literal {
        /// What it is, such as "a loopback address".
        what: &'static str,
    },
    /// The name leads to at least one address that is not allowed, or its connection to another one than had passed.
    Resolved,
    /// The name leads to more addresses than a sane name has.
    TooManyAddresses {
        /// The limit.
        max: usize,
    },
    /// A redirect too many.
    TooManyRedirects {
        /// How many are followed.
        max: usize,
    },
    /// A redirect from `https` to `http`.
    Downgrade,
}

// === impl Refusal ===

impl Refusal {
    /// A stable word for metrics and logs.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::TooLong { .. } => "too_long",
            Self::Malformed => "malformed",
            Self::Scheme { .. } => "scheme",
            Self::Credentials => "credentials",
            Self::Port { .. } => "port",
            Self::Name => "name",
            Self::Own => "own",
            Self::Literal { .. } => "literal",
            Self::Resolved => "resolved",
            Self::TooManyAddresses { .. } => "too_many_addresses",
            Self::TooManyRedirects { .. } => "too_many_redirects",
            Self::Downgrade => "downgrade",
        }
    }

    /// What kind of host it is that was refused, as far as that is known.
    pub(super) fn host(&self) -> &'static str {
        match self {
            Self::Literal { what } => what,
            Self::Name => "an internal name",
            Self::Own => "this service itself",
            Self::Resolved | Self::TooManyAddresses { .. } => "a name",
            Self::TooLong { .. }
            | Self::Malformed
            | Self::Scheme { .. }
            | Self::Credentials
            | Self::Port { .. }
            | Self::TooManyRedirects { .. }
            | Self::Downgrade => "any",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { max_bytes } => {
                write!(out, "the URL is longer than {max_bytes} bytes")
            }
            Self::Malformed => out.write_str("this is not a valid URL; write one such as https://example.com/path"),
            Self::Scheme { allowed } => {
                write!(out, "the URL's scheme is not allowed; use {allowed}")
            }
            Self::Credentials => out.write_str("the URL has a user name or password before its host; leave them out"),
            Self::Port { port, allowed } => {
                write!(out, "port {port} is not allowed; use one of {allowed}")
            }
            Self::Name => out.write_str("the URL's host is an internal name; use a public host name such as example.com"),
            Self::Own => out.write_str("the URL's host is this service itself, of which only the links of its files can be named"),
            Self::Literal { what } => {
                write!(out, "the URL's host is {what}; only public addresses can be reached")
            }
            Self::Resolved => out.write_str("the URL's host leads to an address that is not public; only public addresses can be reached"),
            Self::TooManyAddresses { max } => {
                write!(out, "the URL's host has more than {max} addresses")
            }
            Self::TooManyRedirects { max } => {
                write!(out, "the URL redirects more than {max} times")
            }
            Self::Downgrade => out.write_str("the URL redirects from https to http"),
        }
    }
}

impl std::error::Error for Refusal {}
