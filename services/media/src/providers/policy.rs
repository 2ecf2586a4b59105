//! The words by which providers without a code for it say that their content policy refused something. Pure.

/// In lower case, with spaces for `_` and `-`.
const POLICY: [&str; 13] = [
    "content polic",
    "copyright",
    "flagged",
    "guardrail",
    "inappropriate",
    "moderat",
    "nsfw",
    "prohibited",
    "risk control",
    "safety",
    "sensitive",
    "usage polic",
    "use polic",
];

/// xAI's words for content that it refuses, in whose place a status says that our key may not ask.
const OF_XAI: [&str; 2] = ["violates usage guidelines", "SAFETY_CHECK_TYPE"];
/// What stands in words that name our account at a provider: they are nobody's to read.
const NAMES_US: [&str; 2] = ["API key ID", "Team: "];

/// Whether these words tell of a content policy.
pub(super) fn tells(words: &str) -> bool {
    let words = words.to_lowercase().replace(['_', '-'], " ");
    POLICY.iter().any(|policy| words.contains(policy))
}

/// Whether these words tell of a content policy, whatever the status beside them says.
pub(super) fn tells_surely(words: &str) -> bool {
    OF_XAI.iter().any(|policy| words.contains(policy))
}

/// Whether these words name our account there, so that no customer may read them.
pub(super) fn names_us(words: &str) -> bool {
    NAMES_US.iter().any(|name| words.contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_told_by_its_words() {
        let refused = "Content violates usage guidelines. Team: t, API key ID: k, Model: m, Failed check: SAFETY_CHECK_TYPE_BIO";
        assert!(tells_surely(refused) && names_us(refused));
        assert!(tells("against our Content-Policy") && !tells("prompt is too long"));
        assert!(!tells_surely("against our Content-Policy") && !names_us("prompt is too long"));
    }
}
