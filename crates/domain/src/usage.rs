//! What a chat request used, in disjoint classes of tokens.

/// Tokens by class. The classes do not overlap: a cached input token is not counted as input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Input tokens that were not in the provider's cache.
    pub input: u64,
    /// Input tokens read from the provider's cache.
    pub cached: u64,
    /// Output tokens the customer sees.
    pub output: u64,
    /// Output tokens spent on reasoning.
    pub reasoning: u64,
}
