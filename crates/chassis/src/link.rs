//! Signed links to outputs, and to uploaded files that providers fetch: the one capability that may stand in a URL.

use std::fmt::{self, Write as _};

use domain::{FileId, TaskId};
use subtle::ConstantTimeEq as _;

use crate::secrets::hmac_sha256;

/// Bytes of the signature that are written: 128 bits.
const SIGNATURE_LEN: usize = 16;

/// Signs and checks links to outputs and files, and the addresses that providers are told to call.
#[derive(Clone)]
pub struct LinkSigner([u8; 32]);

// === impl LinkSigner ===

impl LinkSigner {
    pub(crate) const fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// The query of a link to output `index` of `task`, good until `expires` (seconds UTC): `exp=…&sig=…`.
    pub fn query(&self, task: TaskId, index: u32, expires: i64) -> String {
        format!("exp={expires}&sig={}", self.signature(task, index, expires))
    }

    /// Whether the link is ours and still good at `now` (seconds UTC).
    pub fn verify(&self, task: TaskId, index: u32, claim: LinkClaim<'_>, now: i64) -> bool {
        let expected = self.signature(task, index, claim.expires);
        is_good(&expected, claim, now)
    }

    /// The query of a link to an uploaded file, good until `expires` (seconds UTC).
    pub fn file_query(&self, file: FileId, expires: i64) -> String {
        let signature = self.mac(&format!("{file}?{expires}"));
        format!("exp={expires}&sig={signature}")
    }

    /// Whether the link to a file is ours and still good at `now` (seconds UTC).
    pub fn verify_file(&self, file: FileId, claim: LinkClaim<'_>, now: i64) -> bool {
        let expected = self.mac(&format!("{file}?{}", claim.expires));
        is_good(&expected, claim, now)
    }

    /// What stands at the end of the address that a provider is told to call about `task`. Nobody else can know it.
    pub fn callback(&self, task: TaskId) -> String {
        format!("{task}.{}", self.mac(&format!("callback/{task}")))
    }

    /// The task whose [`callback`](Self::callback) this is; `None`: it is not ours.
    pub fn verify_callback(&self, text: &str) -> Option<TaskId> {
        let (task, _) = text.split_once('.')?;
        let task = TaskId::parse(task)?;
        let ours: bool = self.callback(task).as_bytes().ct_eq(text.as_bytes()).into();
        ours.then_some(task)
    }

    fn signature(&self, task: TaskId, index: u32, expires: i64) -> String {
        self.mac(&format!("{task}/{index}?{expires}"))
    }

    /// In hex. No two kinds of text may be equal.
    fn mac(&self, text: &str) -> String {
        let mac = hmac_sha256(&self.0, text.as_bytes());
        mac.iter()
            .take(SIGNATURE_LEN)
            .fold(String::new(), |mut hex, byte| {
                // Writing to a String cannot fail.
                let _ = write!(hex, "{byte:02x}");
                hex
            })
    }
}

fn is_good(expected: &str, claim: LinkClaim<'_>, now: i64) -> bool {
    let ours: bool = expected.as_bytes().ct_eq(claim.signature.as_bytes()).into();
    ours && now < claim.expires
}

/// What a link says of itself.
#[derive(Clone, Copy)]
pub struct LinkClaim<'a> {
    /// Until when it is good, seconds UTC.
    pub expires: i64,
    /// The signature, in hex.
    pub signature: &'a str,
}

impl fmt::Debug for LinkClaim<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "link good until {}", self.expires)
    }
}

impl fmt::Debug for LinkSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::mint;

    #[test]
    fn a_callback_names_its_own_task_and_no_other() {
        let (signer, task) = (LinkSigner::new([1; 32]), mint());
        let token = signer.callback(task);
        assert_eq!(signer.verify_callback(&token), Some(task));
        let other = mint::<domain::ids::Task>().to_string();
        let (_, mac) = token.split_once('.').unwrap();
        let long = format!("{token}0");
        let forged = format!("{other}.{mac}");
        for wrong in ["", ".", "task_", &token[..token.len() - 1], &long, &forged] {
            assert_eq!(signer.verify_callback(wrong), None, "{wrong}");
        }
        assert_eq!(LinkSigner::new([2; 32]).verify_callback(&token), None);
        let link = signer.query(task, 0, 1);
        assert!(!link.contains(mac), "a link to an output is none");
    }

    #[test]
    fn a_link_to_a_file_opens_that_file_until_it_expires() {
        let signer = LinkSigner::new([1; 32]);
        let file = mint();
        let query = signer.file_query(file, 1_000);
        let claim = LinkClaim {
            expires: 1_000,
            signature: query.strip_prefix("exp=1000&sig=").unwrap(),
        };
        assert!(signer.verify_file(file, claim, 999));
        assert!(!signer.verify_file(file, claim, 1_000), "expired");
        assert!(!signer.verify_file(mint(), claim, 999), "another file");
        let longer = LinkClaim {
            expires: 2_000,
            ..claim
        };
        assert!(!signer.verify_file(file, longer, 999), "a longer life");
        let output = file.cast::<domain::ids::Task>();
        assert!(!signer.verify(output, 0, claim, 999), "an output");
    }

    #[test]
    fn a_link_opens_its_own_output_until_it_expires() {
        let signer = LinkSigner::new([1; 32]);
        let task = mint();
        let query = signer.query(task, 0, 1_000);
        let signature = query.strip_prefix("exp=1000&sig=").unwrap();
        let claim = LinkClaim {
            expires: 1_000,
            signature,
        };
        assert!(signer.verify(task, 0, claim, 999));
        assert!(!signer.verify(task, 0, claim, 1_000), "expired");
        assert!(!signer.verify(task, 1, claim, 999), "another output");
        assert!(!signer.verify(mint(), 0, claim, 999), "another task");
        assert!(
            !signer.verify(
                task,
                0,
                LinkClaim {
                    expires: 2_000,
                    ..claim
                },
                999
            ),
            "a longer life"
        );
        assert!(
            !signer.verify(
                task,
                0,
                LinkClaim {
                    signature: "",
                    ..claim
                },
                999
            ),
            "no signature"
        );
        assert!(
            !LinkSigner::new([2; 32]).verify(task, 0, claim, 999),
            "another key"
        );
    }
}
