//! Passwords: argon2id with OWASP's figures, computed away from where pages are made.

use std::{collections::HashSet, sync::Arc};

use argon2::{
    Algorithm, Argon2, PasswordHasher as _, PasswordVerifier as _, Version,
    password_hash::{
        self,
        phc::{Output, ParamsString, PasswordHash, Salt},
    },
};
use http::StatusCode;
use rand::Rng as _;
use tokio::{sync::Semaphore, task, time};

use crate::{Site, error::Error, refused::Refused};

/// Characters of a password that differ, at least.
const DIFFERENT: usize = 5;

/// What it takes to look at passwords.
pub(crate) struct Passwords {
    /// For those that are being hashed: each takes 19 MiB and some 20 ms.
    places: Arc<Semaphore>,
    /// The hash of a password that nobody has.
    nobody: String,
}

// === impl Passwords ===

impl Passwords {
    /// Room for so many at once.
    ///
    /// # Errors
    /// Never in practice: there is nothing wrong with the hash that is made up.
    pub(crate) fn new(at_once: usize) -> Result<Self, Error> {
        Ok(Self {
            places: Arc::new(Semaphore::new(at_once)),
            nobody: nobody().map_err(|_| Error::Hash)?.to_string(),
        })
    }
}

/// A hash that takes as long to look at as any other and that no password has: it is random, and nothing was hashed for it.
fn nobody() -> password_hash::Result<PasswordHash> {
    let (mut salt, mut hash) = ([0; 16], [0; 32]);
    rand::rng().fill_bytes(&mut salt);
    rand::rng().fill_bytes(&mut hash);
    Ok(PasswordHash {
        algorithm: Algorithm::default().ident(),
        version: Some(Version::default().into()),
        params: ParamsString::try_from(Argon2::default().params())?,
        salt: Some(Salt::new(&salt)?),
        hash: Some(Output::new(&hash)?),
    })
}

/// The hash of a new password.
///
/// # Errors
/// When it is too short, too long, or the same few characters again and again.
pub(crate) async fn hash(site: &Arc<Site>, password: &str) -> Result<String, Refused> {
    let (least, most) = (site.config.passwords.characters, 1024);
    let count = password.chars().count();
    if !(least..=most).contains(&count) {
        let told = format!("A password has {least} to {most} characters.");
        return Err(Refused::new(StatusCode::BAD_REQUEST, told).of("password"));
    }
    if is_plain(password) {
        let told = "A password of so few different characters is guessed at once. Take a sentence.";
        return Err(Refused::new(StatusCode::BAD_REQUEST, told).of("password"));
    }
    let password = password.to_owned();
    let hashed = away(site, move || {
        let hash = Argon2::default().hash_password(password.as_bytes());
        hash.map(|hash| hash.to_string()).map_err(|_| Error::Hash)
    });
    Ok(hashed.await??)
}

/// Whether a text has fewer than [`DIFFERENT`] characters that differ.
fn is_plain(password: &str) -> bool {
    let different: HashSet<char> = password.chars().collect();
    different.len() < DIFFERENT
}

/// Whether a password is the one that was hashed. It takes as long where there is none.
///
/// # Errors
/// When it cannot be computed.
pub(crate) async fn verify(
    site: &Arc<Site>,
    password: &str,
    hash: Option<String>,
) -> Result<bool, Refused> {
    let (password, known) = (password.to_owned(), hash.is_some());
    let hash = hash.unwrap_or_else(|| site.door.passwords.nobody.clone());
    let verified = away(site, move || {
        let hash = PasswordHash::new(&hash).map_err(|_| Error::Damaged("a password's hash"))?;
        Ok::<_, Error>(
            Argon2::default()
                .verify_password(password.as_bytes(), &hash)
                .is_ok(),
        )
    });
    Ok(verified.await?? && known)
}

/// Computes in a thread for such work, a few at a time.
async fn away<T: Send + 'static>(
    site: &Arc<Site>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refused> {
    let busy = || {
        Refused::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "Many sign in at this moment. Please try again.",
        )
    };
    let place = time::timeout(
        site.config.passwords.patience,
        Arc::clone(&site.door.passwords.places).acquire_owned(),
    );
    let place = place.await.map_err(|_| busy())?.map_err(|_| busy())?;
    // The place is taken until the work is done, also where nobody waits for it any more.
    let work = task::spawn_blocking(move || {
        let _place = place;
        work()
    });
    work.await.map_err(|_| Refused::internal())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_nobody_is_made_as_any_other() {
        let (made_up, real) = (
            nobody().unwrap(),
            Argon2::default().hash_password(b"a sentence").unwrap(),
        );
        let made_up = PasswordHash::new(&made_up.to_string()).unwrap();
        let lengths = |hash: &PasswordHash| {
            let (salt, output) = (hash.salt.as_ref(), hash.hash.as_ref());
            (salt.map(|salt| salt.len()), output.map(|hash| hash.len()))
        };
        assert_eq!(lengths(&made_up), lengths(&real));
        let verified = Argon2::default().verify_password(b"a sentence", &made_up);
        assert!(verified.is_err());
        assert_eq!(
            (made_up.algorithm, made_up.version, made_up.params),
            (real.algorithm, real.version, real.params)
        );
    }

    #[test]
    fn the_same_few_characters_are_no_password() {
        for (password, plain) in [
            ("aaaaaaaaaaaaaaaa", true),
            ("121212121212", true),
            ("abcdabcdabcd", true),
            ("a sentence is good", false),
            ("\u{1f98a}\u{1f984}\u{1f99c}\u{1f988}\u{1f989}", false),
        ] {
            assert_eq!(is_plain(password), plain, "{password}");
        }
    }
}
