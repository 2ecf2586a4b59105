//! The secrets of an installation, and the few things done with them: MACs of keys, sealing of content, signing of links.

use std::{fs, io, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use chacha20poly1305::{
    Key, KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use domain::Secret;
use hmac::{Hmac, Mac};
use rand::Rng as _;
use serde::Deserialize;
use sha2::Sha256;

use crate::LinkSigner;

/// The file in the data directory that holds the secrets `aio up` makes for itself.
const FILE: &str = "secrets.toml";
/// Its name until it is whole.
const UNFINISHED: &str = "secrets.toml.new";
/// XChaCha20's nonce: 192 bits, so random ones do not collide.
const NONCE_LEN: usize = 24;

/// The secrets of an installation.
#[derive(Clone, Debug)]
pub struct Secrets {
    key_mac: KeyMac,
    content: Sealer,
    links: LinkSigner,
}

/// Computes the MAC under which an API key is kept.
#[derive(Clone)]
pub struct KeyMac([u8; 32]);

/// Seals customers' content for SQL and for live state (XChaCha20-Poly1305).
#[derive(Clone)]
pub struct Sealer(XChaCha20Poly1305);

/// Sealed content that does not open: another key, another place, or damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("sealed content does not open")]
pub struct SealError;

/// The section `secrets`: each is 32 bytes in base64.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Keys the MACs of API keys. Losing it makes every API key invalid.
    #[serde(default)]
    pub key_mac: Option<Secret>,
    /// Seals customers' content. Losing it makes that content unreadable.
    #[serde(default)]
    pub content_key: Option<Secret>,
    /// Signs links to outputs. Losing it makes old links invalid.
    #[serde(default)]
    pub link_key: Option<Secret>,
}

/// Why the secrets could not be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read or written.
    #[error("cannot read or write {FILE}")]
    Io(#[from] io::Error),
    /// There are databases, and no secrets that belong to them.
    #[error(
        "{FILE} is missing, and there are databases that were made with it: put it back from a backup, or set secrets.key_mac, \
         secrets.content_key and secrets.link_key; with new secrets every key would be invalid and all content unreadable"
    )]
    Lost,
    /// The file is not what we wrote.
    #[error("{FILE} is damaged")]
    Damaged(#[source] toml::de::Error),
    /// A secret is not 32 bytes in base64.
    #[error("secrets.{0} must be 32 bytes in base64")]
    Malformed(&'static str),
    /// A secret that all processes share is not configured.
    #[error(
        "secrets.{0} is not set: 32 bytes in base64, the same for every process (`openssl rand -base64 32`)"
    )]
    Missing(&'static str),
}

// === impl Secrets ===

impl Secrets {
    /// Takes configured secrets; the ones not configured come from the data directory, made there (mode 0600) at first start.
    ///
    /// # Errors
    /// When the file cannot be read or written, is missing beside databases that need it, or a secret is not 32 bytes in
    /// base64.
    pub fn load_or_create(directory: &Path, configured: &Config) -> Result<Self, Error> {
        let text = match fs::read_to_string(directory.join(FILE)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if configured.is_whole() {
                    String::new()
                } else if has_databases(directory)? {
                    return Err(Error::Lost);
                } else {
                    create(directory)?
                }
            }
            Err(error) => return Err(error.into()),
        };
        let kept: Config = toml::from_str(&text).map_err(Error::Damaged)?;
        Self::configured(&Config {
            key_mac: configured.key_mac.clone().or(kept.key_mac),
            content_key: configured.content_key.clone().or(kept.content_key),
            link_key: configured.link_key.clone().or(kept.link_key),
        })
    }

    /// Takes configured secrets alone, and makes none: for a process that shares its databases with others, which need the same.
    ///
    /// # Errors
    /// When a secret is missing or is not 32 bytes in base64.
    pub fn configured(config: &Config) -> Result<Self, Error> {
        let read = |name, secret: &Option<Secret>| {
            let secret = secret.as_ref().ok_or(Error::Missing(name))?;
            let bytes = BASE64.decode(secret.expose()).ok();
            let key = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
            key.ok_or(Error::Malformed(name))
        };
        Ok(Self::from_keys(
            read("key_mac", &config.key_mac)?,
            read("content_key", &config.content_key)?,
            read("link_key", &config.link_key)?,
        ))
    }

    /// Fresh secrets that nobody keeps: for tests.
    pub fn random() -> Self {
        Self::from_keys(random_key(), random_key(), random_key())
    }

    fn from_keys(key_mac: [u8; 32], content: [u8; 32], links: [u8; 32]) -> Self {
        Self {
            key_mac: KeyMac(key_mac),
            content: Sealer(XChaCha20Poly1305::new(&Key::from(content))),
            links: LinkSigner::new(links),
        }
    }

    /// Computes the MAC under which an API key is kept.
    pub fn key_mac(&self) -> &KeyMac {
        &self.key_mac
    }

    /// Seals customers' content.
    pub fn content(&self) -> &Sealer {
        &self.content
    }

    /// Signs links to outputs.
    pub fn links(&self) -> &LinkSigner {
        &self.links
    }
}

// === impl Config ===

impl Config {
    /// Whether nothing is left to be kept in the data directory.
    fn is_whole(&self) -> bool {
        self.key_mac.is_some() && self.content_key.is_some() && self.link_key.is_some()
    }
}

// === impl KeyMac ===

impl KeyMac {
    /// HMAC-SHA256 of a text.
    pub fn mac(&self, text: &str) -> [u8; 32] {
        hmac_sha256(&self.0, text.as_bytes())
    }
}

impl std::fmt::Debug for KeyMac {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[secret]")
    }
}

// === impl Sealer ===

impl Sealer {
    /// Seals `plain` for one place: `aad` names it, such as a table, a column and a row, and must be given again to open.
    ///
    /// # Errors
    /// When there is more to seal than the cipher takes (256 GiB).
    pub fn seal(&self, aad: &[u8], plain: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut nonce = [0; NONCE_LEN];
        rand::rng().fill_bytes(&mut nonce);
        let sealed = self
            .0
            .encrypt(&XNonce::from(nonce), Payload { msg: plain, aad })
            .map_err(|_| SealError)?;
        Ok([nonce.as_slice(), sealed.as_slice()].concat())
    }

    /// Opens what was sealed for this place.
    ///
    /// # Errors
    /// When it was sealed elsewhere, with another key, or was damaged.
    pub fn open(&self, aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(SealError)?;
        self.0
            .decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad })
            .map_err(|_| SealError)
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[secret]")
    }
}

/// HMAC-SHA256 of a message. HMAC takes keys of any length, so nothing can go wrong.
pub(crate) fn hmac_sha256(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    use hmac::KeyInit as _;
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return [0; 32];
    };
    mac.update(message);
    mac.finalize().into_bytes().into()
}

fn random_key() -> [u8; 32] {
    let mut key = [0; 32];
    rand::rng().fill_bytes(&mut key);
    key
}

fn has_databases(directory: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(directory)? {
        if entry?.path().extension().is_some_and(|end| end == "db") {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Makes the file whole or not at all: a half of it would be taken for damage, and databases would follow it.
fn create(directory: &Path) -> io::Result<String> {
    use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};
    let line = |name: &str| format!("{name} = \"{}\"\n", BASE64.encode(random_key()));
    let text = format!(
        "# Made at first start. Keep it with the databases: without it, keys and content are lost.\n{}{}{}",
        line("key_mac"),
        line("content_key"),
        line("link_key")
    );
    let unfinished = directory.join(UNFINISHED);
    // What a process left that died here is worth nothing.
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&unfinished)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&unfinished, directory.join(FILE))?;
    // The name is on disk only when its directory is.
    fs::File::open(directory)?.sync_all()?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_content_opens_only_in_its_place() {
        let secrets = Secrets::random();
        let sealed = secrets.content().seal(b"task/1/request", b"a fox").unwrap();
        assert!(!sealed.windows(5).any(|window| window == b"a fox"));
        assert_eq!(
            secrets.content().open(b"task/1/request", &sealed).unwrap(),
            b"a fox"
        );
        assert_eq!(
            secrets.content().open(b"task/2/request", &sealed),
            Err(SealError)
        );
        assert_eq!(
            Secrets::random().content().open(b"task/1/request", &sealed),
            Err(SealError)
        );
        assert_eq!(
            secrets.content().open(b"task/1/request", b"short"),
            Err(SealError)
        );
    }

    #[test]
    fn made_secrets_are_kept_and_private() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let none = Config {
            key_mac: None,
            content_key: None,
            link_key: None,
        };
        let first = Secrets::load_or_create(directory.path(), &none).unwrap();
        let again = Secrets::load_or_create(directory.path(), &none).unwrap();
        assert_eq!(first.key_mac().mac("x"), again.key_mac().mac("x"));
        let mode = fs::metadata(directory.path().join(FILE))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn secrets_are_not_made_anew_beside_databases() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("billing.db"), "").unwrap();
        let configured = |key: Option<&str>| Config {
            key_mac: key.map(Secret::new),
            content_key: key.map(Secret::new),
            link_key: key.map(Secret::new),
        };
        let error = Secrets::load_or_create(directory.path(), &configured(None)).unwrap_err();
        assert!(error.to_string().starts_with("secrets.toml is missing"));
        let key = BASE64.encode([7; 32]);
        assert!(Secrets::load_or_create(directory.path(), &configured(Some(&key))).is_ok());
        assert!(!directory.path().join(FILE).exists());
    }

    #[test]
    fn what_a_dead_process_left_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(UNFINISHED), "half").unwrap();
        let none = Config {
            key_mac: None,
            content_key: None,
            link_key: None,
        };
        assert!(Secrets::load_or_create(directory.path(), &none).is_ok());
        assert!(!directory.path().join(UNFINISHED).exists());
    }

    #[test]
    fn a_configured_secret_wins_and_is_checked() {
        let directory = tempfile::tempdir().unwrap();
        let with = |text: &str| Config {
            key_mac: Some(Secret::new(text)),
            content_key: None,
            link_key: None,
        };
        let good = BASE64.encode([7; 32]);
        let secrets = Secrets::load_or_create(directory.path(), &with(&good)).unwrap();
        assert_eq!(secrets.key_mac().mac("x"), hmac_sha256(&[7; 32], b"x"));
        let error = Secrets::load_or_create(directory.path(), &with("short")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "secrets.key_mac must be 32 bytes in base64"
        );
        let error = Secrets::configured(&with(&good)).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("secrets.content_key is not set")
        );
    }
}
