//! Who may call: each role shows a token of its own.

use std::{collections::BTreeMap, fmt, sync::Arc};

use domain::Secret;
use http::{HeaderMap, header::AUTHORIZATION};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::Role;

/// Who may call a server. Keeps hashes, so that comparing takes the same time whatever is shown.
#[derive(Clone)]
pub struct Callers(Arc<[Known]>);

/// What a call that shows a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Welcome,
    /// One of us, who has no business here.
    NotHere,
    /// Nobody we know.
    Stranger,
}

struct Known {
    hash: [u8; 32],
    verdict: Verdict,
}

// === impl Callers ===

impl Callers {
    pub(super) fn new(tokens: &BTreeMap<Role, Secret>, welcome: &[Role]) -> Self {
        let known = tokens.iter().map(|(role, token)| Known {
            hash: Sha256::digest(token.expose()).into(),
            verdict: if welcome.contains(role) {
                Verdict::Welcome
            } else {
                Verdict::NotHere
            },
        });
        Self(known.collect())
    }

    /// Looks at every token there is, so that the time tells nothing.
    pub(super) fn judge(&self, headers: &HeaderMap) -> Verdict {
        let Some(shown) = bearer(headers) else {
            return Verdict::Stranger;
        };
        let hash: [u8; 32] = Sha256::digest(shown).into();
        self.0.iter().fold(Verdict::Stranger, |verdict, known| {
            match bool::from(known.hash.ct_eq(&hash)) {
                // Two roles may share a token: what one may, both may.
                true if verdict != Verdict::Welcome => known.verdict,
                true | false => verdict,
            }
        })
    }
}

impl fmt::Debug for Callers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "callers ({} tokens)", self.0.len())
    }
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    headers
        .get(AUTHORIZATION)?
        .as_bytes()
        .strip_prefix(b"Bearer ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_opens_what_its_role_may() {
        let secret = |text: &str| Secret::new(text);
        let tokens = BTreeMap::from([
            (Role::Edge, secret("edge's")),
            (Role::Chat, secret("chat's")),
            (Role::Media, secret("edge's")),
        ]);
        let callers = Callers::new(&tokens, &[Role::Edge]);
        for (shown, verdict) in [
            ("Bearer edge's", Verdict::Welcome),
            ("Bearer chat's", Verdict::NotHere),
            ("Bearer nobody's", Verdict::Stranger),
            ("Bearer ", Verdict::Stranger),
            ("edge's", Verdict::Stranger),
        ] {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, shown.parse().unwrap())]);
            assert_eq!(callers.judge(&headers), verdict, "{shown}");
        }
        assert_eq!(callers.judge(&HeaderMap::new()), Verdict::Stranger);
    }
}
