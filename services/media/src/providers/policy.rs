//! The words by which providers without a code for it say that their content policy refused something. Pure.

/// In lower case, with spaces for `_` and `-`.
const POLICY: [&str; 12] = [
    "content polic",
    "copyright",
    "flagged",
    "guardrail",
    "inappropriate",
    "moderat",
    "nsfw",
    "prohibited",
    "safety",
    "sensitive",
    "usage polic",
    "use polic",
];

/// Whether these words tell of a content policy.
pub(super) fn tells(words: &str) -> bool {
    let words = words.to_lowercase().replace(['_', '-'], " ");
    POLICY.iter().any(|policy| words.contains(policy))
}
